//! Parts of a server that have no records of their own here: addresses, interfaces, volumes and security
//! groups (there is no service for them yet), diagnostics, password, topology, consoles, migrations.

#[cfg(test)]
mod tests;

use base::{Error, Kind, Result};
use orders::{Answer, Question, VmId};
use serde_json::{Value, json};
use web::{
    Call, Card, Policy, Reply, Schema, v,
    validate::{Format, Style, check_query, prop},
};

use crate::{
    Compute,
    policies::{ADMIN, MANAGER, MEMBER, READER},
    servers::{self, CONSOLES, refuse},
};

/// This room's routes.
pub(crate) fn cards() -> Vec<Card<Compute>> {
    let mut cards = networks();
    cards.extend(volumes());
    cards.extend(machine());
    cards.extend(migrations());
    cards
}

macro_rules! policy {
    ($($name:literal $rule:expr),* $(,)?) => { Policy::Checked(&[$(($name, $rule)),*]) };
}

/// An empty list, once the policy lets.
async fn nothing(call: Call<Compute>, policy: &'static str, name: &'static str) -> Result<Reply> {
    servers::allowed(&call, policy).await?;
    Ok(Reply::ok(json!({ name: [] })))
}

fn networks() -> Vec<Card<Compute>> {
    const INTERFACES: &str = "/servers/{server_id}/os-interface";
    const INTERFACE: &str = "/servers/{server_id}/os-interface/{port_id}";
    vec![
        Card::get(
            "/servers/{server_id}/ips",
            policy!("os_compute_api:ips:index" READER),
            |call| async move {
                servers::allowed(&call, "os_compute_api:ips:index").await?;
                Ok(Reply::ok(json!({ "addresses": {} })))
            },
        ),
        Card::get(
            "/servers/{server_id}/ips/{network}",
            policy!("os_compute_api:ips:show" READER),
            |call| async move {
                servers::allowed(&call, "os_compute_api:ips:show").await?;
                Err(Error::not_found("Instance is not a member of specified network"))
            },
        ),
        Card::get(INTERFACES, policy!("os_compute_api:os-attach-interfaces:list" READER), |call| {
            nothing(call, "os_compute_api:os-attach-interfaces:list", "interfaceAttachments")
        }),
        Card::get(
            INTERFACE,
            policy!("os_compute_api:os-attach-interfaces:show" READER),
            |call| async move {
                servers::allowed(&call, "os_compute_api:os-attach-interfaces:show").await?;
                Err(no_port(&call))
            },
        ),
        Card::post(
            INTERFACES,
            policy!("os_compute_api:os-attach-interfaces:create" MEMBER),
            attach_interface,
        ),
        Card::delete(
            INTERFACE,
            policy!("os_compute_api:os-attach-interfaces:delete" MEMBER),
            |call| async move {
                servers::allowed(&call, "os_compute_api:os-attach-interfaces:delete").await?;
                Err(no_port(&call))
            },
        ),
        Card::get(
            "/servers/{server_id}/os-security-groups",
            policy!("os_compute_api:os-security-groups:list" READER),
            |call| nothing(call, "os_compute_api:os-security-groups:list", "security_groups"),
        ),
    ]
}

fn no_port(call: &Call<Compute>) -> Error {
    Error::not_found(format!("Port id {} could not be found.", call.param("port_id")))
}

const ATTACH_INTERFACE: Schema = Schema::object(&[prop(
    "interfaceAttachment",
    Schema::object(&[
        prop("net_id", Schema::uuid()),
        prop("port_id", Schema::uuid()),
        prop("fixed_ips", Schema::array(&Schema::any()).len(1, 1)),
        prop("tag", servers::TAG).since("2.49"),
    ]),
)]);

async fn attach_interface(call: Call<Compute>) -> Result<Reply> {
    let body = call.input(&ATTACH_INTERFACE)?;
    servers::allowed(&call, "os_compute_api:os-attach-interfaces:create").await?;
    let asked = &body["interfaceAttachment"];
    match (asked["net_id"].as_str(), asked["port_id"].as_str()) {
        (Some(_), Some(_)) => Err(Error::bad_request("Must not input both network_id and port_id")),
        (Some(id), None) => Err(Error::not_found(format!("Network {id} could not be found."))),
        (None, Some(id)) => Err(Error::not_found(format!("Port id {id} could not be found."))),
        (None, None) => Err(Error::bad_request(
            "No specific network was requested and none are available for project: there is no network \
             service in this cloud.",
        )),
    }
}

fn volumes() -> Vec<Card<Compute>> {
    const ALL: &str = "/servers/{server_id}/os-volume_attachments";
    const ONE: &str = "/servers/{server_id}/os-volume_attachments/{volume_id}";
    vec![
        Card::get(ALL, policy!("os_compute_api:os-volumes-attachments:index" READER), |call| {
            list_volumes(call)
        }),
        Card::get(ONE, policy!("os_compute_api:os-volumes-attachments:show" READER), |call| {
            no_volume(call, "os_compute_api:os-volumes-attachments:show")
        }),
        Card::post(
            ALL,
            policy!("os_compute_api:os-volumes-attachments:create" MEMBER),
            attach_volume,
        ),
        Card::put(ONE, policy!("os_compute_api:os-volumes-attachments:update" MEMBER), |call| {
            no_volume(call, "os_compute_api:os-volumes-attachments:update")
        }),
        Card::delete(ONE, policy!("os_compute_api:os-volumes-attachments:delete" MEMBER), |call| {
            no_volume(call, "os_compute_api:os-volumes-attachments:delete")
        }),
    ]
}

const VOLUMES: Schema = Schema::object(&[
    prop("limit", Schema::number_or_text()),
    prop("offset", Schema::number_or_text()),
])
.open_until(v(2, 75));

async fn list_volumes(call: Call<Compute>) -> Result<Reply> {
    check_query(&VOLUMES, &call.query, call.version, Style::Nova)?;
    nothing(call, "os_compute_api:os-volumes-attachments:index", "volumeAttachments").await
}

async fn no_volume(call: Call<Compute>, policy: &'static str) -> Result<Reply> {
    let server = servers::allowed(&call, policy).await?;
    Err(Error::not_found(format!(
        "Instance {} is not attached to volume {}",
        server.id,
        call.param("volume_id")
    )))
}

const ATTACH_VOLUME: Schema = Schema::object(&[prop(
    "volumeAttachment",
    Schema::object(&[
        prop("volumeId", Schema::uuid()).required(),
        prop("device", Schema::string().nullable()),
        prop("tag", servers::TAG).since("2.49"),
        prop("delete_on_termination", Schema::boolean_or_text()).since("2.79"),
    ]),
)
.required()]);

async fn attach_volume(call: Call<Compute>) -> Result<Reply> {
    let body = call.input(&ATTACH_VOLUME)?;
    servers::allowed(&call, "os_compute_api:os-volumes-attachments:create").await?;
    let id = body["volumeAttachment"]["volumeId"].as_str().unwrap_or_default();
    Err(Error::not_found(format!("Volume {id} could not be found.")))
}

fn machine() -> Vec<Card<Compute>> {
    const PASSWORD: &str = "/servers/{server_id}/os-server-password";
    vec![
        Card::get(
            "/servers/{server_id}/diagnostics",
            policy!("os_compute_api:os-server-diagnostics" ADMIN),
            diagnostics,
        ),
        // Nothing on the way from a guest takes its password in yet.
        Card::get(
            PASSWORD,
            policy!("os_compute_api:os-server-password:show" READER),
            |call| async move {
                servers::allowed(&call, "os_compute_api:os-server-password:show").await?;
                Ok(Reply::ok(json!({ "password": "" })))
            },
        ),
        Card::delete(
            PASSWORD,
            policy!("os_compute_api:os-server-password:clear" MEMBER),
            |call| async move {
                servers::allowed(&call, "os_compute_api:os-server-password:clear").await?;
                Ok(Reply::empty(204))
            },
        ),
        Card::get(
            "/servers/{server_id}/topology",
            policy!("compute:server:topology:index" READER),
            |call| async move {
                servers::allowed(&call, "compute:server:topology:index").await?;
                Ok(Reply::ok(json!({ "nodes": [], "pagesize_kb": null })))
            },
        )
        .since("2.78"),
        Card::post(
            "/servers/{server_id}/remote-consoles",
            policy!("os_compute_api:os-remote-consoles" MEMBER),
            remote_console,
        )
        .since("2.6"),
    ]
}

/// 2.48 gave diagnostics one form for all drivers; before, each had its own.
async fn diagnostics(call: Call<Compute>) -> Result<Reply> {
    let server = servers::allowed(&call, "os_compute_api:os-server-diagnostics").await?;
    let node = refuse::on_a_node(&server.id, &server)?;
    if server.power_state() != 1 {
        let state = server.vm_state().name();
        return Err(refuse::wrong("get_diagnostics", &server.id, "power state", state));
    }
    let question = Question::Diagnostics { vm: VmId::from(&*server.id) };
    let seen = match call.context.hub.ask(node, question).await? {
        Answer::Json(seen) => seen,
        Answer::NotHere => {
            return Err(refuse::wrong("get_diagnostics", &server.id, "vm_state", "gone"));
        }
        Answer::Failed(why) => return Err(Error::new(Kind::Conflict, why)),
        Answer::Text(_) => return Err(Error::internal("diagnostics came as text")),
    };
    if call.version < v(2, 48) {
        return Ok(Reply::ok(seen));
    }
    let number = |name: &str| seen.get(name).filter(|n| n.is_u64()).cloned().unwrap_or(Value::Null);
    let list = |name: &str| seen.get(name).filter(|l| l.is_array()).cloned().unwrap_or(json!([]));
    let cpu = |seen: &Value| {
        let of = |name: &str| seen.get(name).cloned().unwrap_or(Value::Null);
        json!({"id": of("id"), "time": of("time"), "utilisation": of("utilisation")})
    };
    let cpus: Vec<Value> = list("cpu_details").as_array().into_iter().flatten().map(cpu).collect();
    Ok(Reply::ok(json!({
        "state": "running",
        "driver": "libvirt",
        "hypervisor": seen.get("hypervisor").cloned().unwrap_or(json!("qemu")),
        "hypervisor_os": "linux",
        "uptime": number("uptime"),
        "config_drive": server.config_drive,
        "num_cpus": server.flavor.vcpus,
        "num_nics": 0,
        "num_disks": seen.get("num_disks").filter(|n| n.is_u64()).cloned().unwrap_or(json!(1)),
        "memory_details": {
            "maximum": server.flavor.ram,
            "used": number("memory_used_mib"),
        },
        "cpu_details": cpus,
        "nic_details": [],
        "disk_details": list("disk_details"),
    })))
}

const CONSOLE: Schema = Schema::object(&[prop(
    "remote_console",
    Schema::object(&[
        prop("protocol", Schema::string()).required(),
        prop("type", Schema::string()).required(),
    ]),
)
.required()]);

async fn remote_console(call: Call<Compute>) -> Result<Reply> {
    let body = call.input(&CONSOLE)?;
    let server = servers::allowed(&call, "os_compute_api:os-remote-consoles").await?;
    CONSOLES.check(&server.id, &server, call.actor.is_admin)?;
    let kind = body["remote_console"]["type"].as_str().unwrap_or_default();
    Err(Error::bad_request(format!("Unavailable console type {kind}.")))
}

fn migrations() -> Vec<Card<Compute>> {
    const ALL: &str = "/servers/{server_id}/migrations";
    const ONE: &str = "/servers/{server_id}/migrations/{migration_id}";
    vec![
        Card::get(
            "/os-migrations",
            policy!(
                "os_compute_api:os-migrations:index" MANAGER,
                "os_compute_api:os-migrations:index:all_projects" ADMIN,
            ),
            all_migrations,
        ),
        Card::get(ALL, policy!("os_compute_api:servers:migrations:index" MANAGER), |call| {
            nothing(call, "os_compute_api:servers:migrations:index", "migrations")
        })
        .since("2.23"),
        Card::get(ONE, policy!("os_compute_api:servers:migrations:show" ADMIN), |call| {
            no_migration(call, "os_compute_api:servers:migrations:show")
        })
        .since("2.23"),
        Card::delete(ONE, policy!("os_compute_api:servers:migrations:delete" MANAGER), |call| {
            no_migration(call, "os_compute_api:servers:migrations:delete")
        })
        .since("2.24"),
        Card::post(
            "/servers/{server_id}/migrations/{migration_id}/action",
            policy!("os_compute_api:servers:migrations:force_complete" MANAGER),
            |call| no_migration(call, "os_compute_api:servers:migrations:force_complete"),
        )
        .since("2.22"),
    ]
}

async fn no_migration(call: Call<Compute>, policy: &'static str) -> Result<Reply> {
    let server = servers::allowed(&call, policy).await?;
    Err(Error::not_found(format!(
        "Migration {} not found for instance {}.",
        call.param("migration_id"),
        server.id
    )))
}

const TIME: Schema = Schema::string().format(Format::DateTime);
const TEXT: Schema = Schema::string();
const MIGRATIONS: Schema = Schema::object(&[
    prop("hidden", TEXT),
    prop("host", TEXT),
    prop("instance_uuid", TEXT),
    prop("source_compute", TEXT),
    prop("status", TEXT),
    prop("migration_type", TEXT),
    prop("limit", Schema::number_or_text()).single().since("2.59"),
    prop("marker", Schema::uuid()).single().since("2.59"),
    prop("changes-since", TIME).single().since("2.59"),
    prop("changes-before", TIME).single().since("2.66"),
    prop("user_id", TEXT).single().since("2.80"),
    prop("project_id", TEXT).single().since("2.80"),
])
.open_until(v(2, 59));

async fn all_migrations(call: Call<Compute>) -> Result<Reply> {
    check_query(&MIGRATIONS, &call.query, call.version, Style::Nova)?;
    call.allow("os_compute_api:os-migrations:index", &call.own())?;
    let project = call.query.get("project_id");
    if project.is_none_or(|project| project != call.actor.project_id()) {
        call.allow("os_compute_api:os-migrations:index:all_projects", &call.own())?;
    }
    if let Some(marker) = call.query.get("marker").filter(|_| call.version >= v(2, 59)) {
        return Err(Error::bad_request(format!("Marker {marker} could not be found.")));
    }
    Ok(Reply::ok(json!({ "migrations": [] })))
}
