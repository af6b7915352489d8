//! `POST /servers/{id}/action`: one route, many verbs. A verb is a row: its name, its policy, its body,
//! since when and until when there is it, and what it does.

use base::{Error, Result};
use orders::{Answer, Question, VmId};
use serde_json::{Value, json};
use state::Txn;
use web::{
    Call, Microversion, Reply, Schema, Target, v,
    validate::{self, Format, Literal, Prop, check, prop},
};

use super::{
    actions::{self, By},
    api::not_here,
    create,
    find::{self, Server},
    refuse::{self, Needs},
    states::VmState,
};
use crate::{
    Compute,
    policies::{ADMIN, MANAGER, MEMBER, owned},
};

use VmState::{Active, Error as Failed, Stopped};

/// What is asked for.
#[derive(Clone, Copy)]
enum Verb {
    Start,
    Stop,
    Reboot,
    Lock,
    Unlock,
    ForceDelete,
    ResetState,
    ConsoleOutput,
    /// Known to Nova, done by no node of this cloud. Refused for the reasons that Nova has first.
    NotHere(&'static Needs, &'static str),
    /// Only for states that no server of this cloud is in.
    Never(&'static Needs),
}

struct Row {
    name: &'static str,
    policy: (&'static str, &'static str),
    schema: &'static Schema,
    since: Microversion,
    until: Microversion,
    verb: Verb,
}

const FIRST: Microversion = v(2, 1);
const LAST: Microversion = v(2, u16::MAX);

const fn row(
    name: &'static str,
    policy: (&'static str, &'static str),
    schema: &'static Schema,
    verb: Verb,
) -> Row {
    Row { name, policy, schema, since: FIRST, until: LAST, verb }
}

macro_rules! body {
    ($name:literal, $schema:expr) => {{
        const PROPS: &[Prop] = &[prop($name, $schema).required()];
        const BODY: Schema = Schema::object(PROPS);
        &BODY
    }};
}

const ANY: Schema = Schema::any();
const HARD_OR_SOFT: &[Literal] = &[
    Literal::Text("HARD"),
    Literal::Text("Hard"),
    Literal::Text("hard"),
    Literal::Text("SOFT"),
    Literal::Text("Soft"),
    Literal::Text("soft"),
];
const REBOOT: Schema =
    Schema::object(&[prop("type", Schema::string().literals(HARD_OR_SOFT)).required()]);
const LOCK: Schema = Schema::any_of(&[
    Schema::object(&[prop("locked_reason", Schema::string().len(1, 255))]),
    Schema::null(),
]);
const RESET: Schema = Schema::object(&[prop(
    "state",
    Schema::string().literals(&[Literal::Text("active"), Literal::Text("error")]),
)
.required()]);
const LENGTH: Schema =
    Schema::any_of(&[Schema::signed_or_text().pattern("^-?[0-9]+$"), Schema::null()]);
const CONSOLE: Schema = Schema::object(&[prop("length", LENGTH)]);
const PASSWORD: Schema = Schema::object(&[prop("adminPass", Schema::string()).required()]);
const RESIZE: Schema = Schema::object(&[
    prop("flavorRef", Schema::any_of(&[Schema::string().min_len(1), Schema::integer()])).required(),
    prop("OS-DCF:diskConfig", create::DISK_CONFIG),
]);
const CREATE_IMAGE: Schema = Schema::object(&[
    prop("name", Schema::name(1, 255)).required(),
    prop("metadata", create::METADATA),
]);
const BACKUP: Schema = Schema::object(&[
    prop("name", Schema::name(1, 255)).required(),
    prop("backup_type", Schema::string()).required(),
    prop("rotation", Schema::number_or_text()).required(),
    prop("metadata", create::METADATA),
]);
const REBUILD: Schema = Schema::object(&[
    prop("name", Schema::name(1, 255)),
    prop("imageRef", Schema::uuid()).required(),
    prop("adminPass", Schema::string()),
    prop("metadata", create::METADATA),
    prop("preserve_ephemeral", Schema::boolean_or_text()),
    prop("OS-DCF:diskConfig", create::DISK_CONFIG),
    prop("accessIPv4", Schema::string().format(Format::Ipv4)),
    prop("accessIPv6", Schema::string().format(Format::Ipv6)),
    prop("personality", ANY).until("2.56"),
    prop("description", create::DESCRIPTION).since("2.19"),
    prop("key_name", Schema::string().len(1, 255).nullable()).since("2.54"),
    prop("user_data", Schema::string().max_len(65_535).format(Format::Base64).nullable())
        .since("2.57"),
    prop("trusted_image_certificates", create::TRUSTED_CERTS).since("2.63"),
    prop("hostname", create::HOSTNAME).since("2.90").until("2.93"),
    prop("hostname", create::FQDN).since("2.94"),
]);
const RESCUE: Schema = Schema::any_of(&[
    Schema::object(&[
        prop("adminPass", Schema::string()),
        prop("rescue_image_ref", Schema::uuid()),
    ]),
    Schema::null(),
]);

const RUNNING: &[VmState] = &[Active];
const ON_OR_OFF: &[VmState] = &[Active, Stopped];
const ON_OFF_FAILED: &[VmState] = &[Active, Stopped, Failed];
/// A state that no server here is in, for verbs that need such.
const NONE: &[VmState] = &[VmState::Deleted];

macro_rules! needs {
    ($action:literal, $states:expr) => {{
        const NEEDS: Needs = Needs::of($action, $states);
        &NEEDS
    }};
}

/// All verbs.
const ROWS: &[Row] = &[
    row("os-start", ("os_compute_api:servers:start", MEMBER), body!("os-start", ANY), Verb::Start),
    row("os-stop", ("os_compute_api:servers:stop", MEMBER), body!("os-stop", ANY), Verb::Stop),
    row("reboot", ("os_compute_api:servers:reboot", MEMBER), body!("reboot", REBOOT), Verb::Reboot),
    Row {
        until: v(2, 72),
        ..row(
            "lock",
            ("os_compute_api:os-lock-server:lock", MEMBER),
            body!("lock", ANY),
            Verb::Lock,
        )
    },
    Row {
        since: v(2, 73),
        ..row(
            "lock",
            ("os_compute_api:os-lock-server:lock", MEMBER),
            body!("lock", LOCK),
            Verb::Lock,
        )
    },
    row(
        "unlock",
        ("os_compute_api:os-lock-server:unlock", MEMBER),
        body!("unlock", ANY),
        Verb::Unlock,
    ),
    row(
        "forceDelete",
        ("os_compute_api:os-deferred-delete:force", MEMBER),
        body!("forceDelete", ANY),
        Verb::ForceDelete,
    ),
    row(
        "restore",
        ("os_compute_api:os-deferred-delete:restore", MEMBER),
        body!("restore", ANY),
        Verb::Never(needs!("restore", NONE)),
    ),
    row(
        "os-resetState",
        ("os_compute_api:os-admin-actions:reset_state", ADMIN),
        body!("os-resetState", RESET),
        Verb::ResetState,
    ),
    row(
        "os-getConsoleOutput",
        ("os_compute_api:os-console-output", MEMBER),
        body!("os-getConsoleOutput", CONSOLE),
        Verb::ConsoleOutput,
    ),
    row(
        "pause",
        ("os_compute_api:os-pause-server:pause", MEMBER),
        body!("pause", ANY),
        Verb::NotHere(needs!("pause", RUNNING), "pausing servers"),
    ),
    row(
        "unpause",
        ("os_compute_api:os-pause-server:unpause", MEMBER),
        body!("unpause", ANY),
        Verb::Never(needs!("unpause", NONE)),
    ),
    row(
        "suspend",
        ("os_compute_api:os-suspend-server:suspend", MEMBER),
        body!("suspend", ANY),
        Verb::NotHere(needs!("suspend", RUNNING), "suspending servers"),
    ),
    row(
        "resume",
        ("os_compute_api:os-suspend-server:resume", MEMBER),
        body!("resume", ANY),
        Verb::Never(needs!("resume", NONE)),
    ),
    row(
        "rescue",
        ("os_compute_api:os-rescue", MEMBER),
        body!("rescue", RESCUE),
        Verb::NotHere(needs!("rescue", ON_OFF_FAILED), "rescuing servers"),
    ),
    row(
        "unrescue",
        ("os_compute_api:os-unrescue", MEMBER),
        body!("unrescue", ANY),
        Verb::Never(needs!("unrescue", NONE)),
    ),
    row(
        "shelve",
        ("os_compute_api:os-shelve:shelve", MEMBER),
        body!("shelve", ANY),
        Verb::NotHere(needs!("shelve", ON_OR_OFF), "shelving servers"),
    ),
    row(
        "shelveOffload",
        ("os_compute_api:os-shelve:shelve_offload", ADMIN),
        body!("shelveOffload", ANY),
        Verb::Never(needs!("shelveOffload", NONE)),
    ),
    row(
        "unshelve",
        ("os_compute_api:os-shelve:unshelve", MEMBER),
        body!("unshelve", ANY),
        Verb::Never(needs!("unshelve", NONE)),
    ),
    row(
        "rebuild",
        ("os_compute_api:servers:rebuild", MEMBER),
        body!("rebuild", REBUILD),
        Verb::NotHere(needs!("rebuild", ON_OFF_FAILED), "rebuilding servers"),
    ),
    row(
        "resize",
        ("os_compute_api:servers:resize", MEMBER),
        body!("resize", RESIZE),
        Verb::NotHere(needs!("resize", ON_OR_OFF), "resizing servers"),
    ),
    row(
        "confirmResize",
        ("os_compute_api:servers:confirm_resize", MEMBER),
        body!("confirmResize", ANY),
        Verb::Never(needs!("confirmResize", NONE)),
    ),
    row(
        "revertResize",
        ("os_compute_api:servers:revert_resize", MEMBER),
        body!("revertResize", ANY),
        Verb::Never(needs!("revertResize", NONE)),
    ),
    row(
        "createImage",
        ("os_compute_api:servers:create_image", MEMBER),
        body!("createImage", CREATE_IMAGE),
        Verb::NotHere(needs!("createImage", ON_OR_OFF), "making images of servers"),
    ),
    row(
        "createBackup",
        ("os_compute_api:os-create-backup", MEMBER),
        body!("createBackup", BACKUP),
        Verb::NotHere(needs!("createBackup", ON_OR_OFF), "backing servers up"),
    ),
    row(
        "changePassword",
        ("os_compute_api:os-admin-password", MEMBER),
        body!("changePassword", PASSWORD),
        Verb::NotHere(needs!("changePassword", RUNNING), "setting passwords inside servers"),
    ),
    row(
        "migrate",
        ("os_compute_api:os-migrate-server:migrate", MANAGER),
        body!("migrate", ANY),
        Verb::NotHere(needs!("migrate", ON_OR_OFF), "migrating servers"),
    ),
    row(
        "os-migrateLive",
        ("os_compute_api:os-migrate-server:migrate_live", MANAGER),
        body!("os-migrateLive", ANY),
        Verb::NotHere(needs!("os-migrateLive", RUNNING), "migrating servers while they run"),
    ),
    row(
        "evacuate",
        ("os_compute_api:os-evacuate", ADMIN),
        body!("evacuate", ANY),
        Verb::NotHere(needs!("evacuate", ON_OFF_FAILED), "evacuating servers"),
    ),
    row(
        "injectNetworkInfo",
        ("os_compute_api:os-admin-actions:inject_network_info", ADMIN),
        body!("injectNetworkInfo", ANY),
        Verb::NotHere(INJECT, "injecting network information"),
    ),
    Row {
        since: v(2, 17),
        ..row(
            "trigger_crash_dump",
            ("os_compute_api:servers:trigger_crash_dump", MEMBER),
            body!("trigger_crash_dump", Schema::null()),
            Verb::NotHere(needs!("trigger_crash_dump", RUNNING), "triggering crash dumps"),
        )
    },
    row(
        "addSecurityGroup",
        ("os_compute_api:os-security-groups:add", MEMBER),
        body!("addSecurityGroup", ANY),
        Verb::NotHere(needs!("addSecurityGroup", &[]), "security groups without a network service"),
    ),
    row(
        "removeSecurityGroup",
        ("os_compute_api:os-security-groups:remove", MEMBER),
        body!("removeSecurityGroup", ANY),
        Verb::NotHere(
            needs!("removeSecurityGroup", &[]),
            "security groups without a network service",
        ),
    ),
    Row {
        until: v(2, 5),
        ..row(
            "os-getVNCConsole",
            ("os_compute_api:os-remote-consoles", MEMBER),
            body!("os-getVNCConsole", ANY),
            Verb::NotHere(CONSOLES, "graphical consoles"),
        )
    },
    Row {
        until: v(2, 5),
        ..row(
            "os-getSPICEConsole",
            ("os_compute_api:os-remote-consoles", MEMBER),
            body!("os-getSPICEConsole", ANY),
            Verb::NotHere(CONSOLES, "graphical consoles"),
        )
    },
    Row {
        until: v(2, 5),
        ..row(
            "os-getSerialConsole",
            ("os_compute_api:os-remote-consoles", MEMBER),
            body!("os-getSerialConsole", ANY),
            Verb::NotHere(CONSOLES, "interactive consoles"),
        )
    },
    Row {
        until: v(2, 43),
        ..row(
            "addFixedIp",
            ("os_compute_api:os-multinic:add", MEMBER),
            body!("addFixedIp", ANY),
            Verb::NotHere(needs!("addFixedIp", &[]), "addresses without a network service"),
        )
    },
    Row {
        until: v(2, 43),
        ..row(
            "removeFixedIp",
            ("os_compute_api:os-multinic:remove", MEMBER),
            body!("removeFixedIp", ANY),
            Verb::NotHere(needs!("removeFixedIp", &[]), "addresses without a network service"),
        )
    },
];

const INJECT: &Needs = &Needs { launched: false, ..Needs::of("injectNetworkInfo", &[]).any_task() };

/// What consoles need: a node.
pub(crate) const CONSOLES: &Needs = &Needs {
    launched: false,
    unlocked: false,
    ..Needs::of("get_console", &[]).on_host().any_task()
};

/// The policies of all verbs.
pub(super) const POLICIES: &[(&str, &str)] = &POLICY_ROWS;
const EXTRA: [(&str, &str); 1] = [("os_compute_api:os-lock-server:unlock:unlock_override", ADMIN)];
const POLICY_ROWS: [(&str, &str); ROWS.len() + EXTRA.len()] = {
    let mut all = [EXTRA[0]; ROWS.len() + EXTRA.len()];
    let mut at = 0;
    while at < ROWS.len() {
        all[at] = ROWS[at].policy;
        at += 1;
    }
    all
};

/// `POST /servers/{server_id}/action`
pub(super) async fn action(call: Call<Compute>) -> Result<Reply> {
    let body = call.value()?;
    let names: Vec<&String> = body.as_object().into_iter().flat_map(|map| map.keys()).collect();
    let [name] = names.as_slice() else {
        let first = names.first().and_then(|name| find_row(name, call.version));
        return refuse_body(&call, &body, first).await;
    };
    let Some(row) = find_row(name, call.version) else {
        return refuse_body(&call, &body, None).await;
    };
    check(row.schema, &body, call.version, validate::Style::Nova)?;
    let snapshot = call.context.state.fresh().await?;
    let server = find::visible(&call.actor, &snapshot, call.param("server_id"))?;
    let target = owned(&server.project_id, &server.user_id);
    call.allow(row.policy.0, &target)?;
    carry_out(&call, row, &body, &server, &target).await
}

fn find_row(name: &str, version: Microversion) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name && version >= row.since && version <= row.until)
}

/// A body that asks for nothing known, or for several things.
async fn refuse_body(
    call: &Call<Compute>,
    body: &Value,
    row: Option<&'static Row>,
) -> Result<Reply> {
    // Asked, so that the answer is a refusal of the body and not of the policy.
    call.allowed(ROWS[0].policy.0, &call.own());
    if let Some(row) = row {
        check(row.schema, body, call.version, validate::Style::Nova)?;
    }
    Err(actions::no_such_action(body))
}

async fn carry_out(
    call: &Call<Compute>,
    row: &Row,
    body: &Value,
    server: &Server,
    target: &Target<'_>,
) -> Result<Reply> {
    let id = server.id.to_string();
    let by = By::of(call);
    let state = &call.context.state;
    let asked = &body[row.name];
    match row.verb {
        Verb::Start => {
            state.transact("servers::start", |txn| actions::start(txn, &id, &by)).await?;
        }
        Verb::Stop => {
            state.transact("servers::stop", |txn| actions::stop(txn, &id, &by)).await?;
        }
        Verb::Reboot => {
            let hard = asked["type"].as_str().is_some_and(|t| t.eq_ignore_ascii_case("hard"));
            state.transact("servers::reboot", |txn| actions::reboot(txn, &id, &by, hard)).await?;
        }
        Verb::Lock => {
            let by_owner = server.project_id == call.actor.project_id();
            let reason = match call.version >= v(2, 73) {
                true => asked["locked_reason"].as_str().map(str::to_owned),
                false => None,
            };
            let act = |txn: &mut Txn| actions::lock(txn, &id, &by, by_owner, reason.clone());
            state.transact("servers::lock", act).await?;
        }
        Verb::Unlock => {
            let owner = server.project_id == call.actor.project_id();
            if server.locked.as_ref().is_some_and(|lock| lock.by_owner != owner) {
                call.allow(EXTRA[0].0, target)?;
            }
            state.transact("servers::unlock", |txn| actions::unlock(txn, &id, &by)).await?;
        }
        Verb::ForceDelete => {
            let lane = format!("quota/{}", server.project_id);
            let act = move |txn: &mut Txn| actions::delete(txn, &id, &by);
            state.transact_in_lane(&lane, "servers::delete", act).await?;
        }
        Verb::ResetState => {
            let error = asked["state"] == "error";
            let act = |txn: &mut Txn| actions::reset_state(txn, &id, &by, error);
            state.transact("servers::reset_state", act).await?;
        }
        Verb::ConsoleOutput => return console(call, server, asked).await,
        Verb::NotHere(needs, what) => {
            needs.check(&id, server, by.is_admin)?;
            return Err(not_here(what));
        }
        Verb::Never(needs) => {
            needs.check(&id, server, by.is_admin)?;
            return Err(refuse::wrong(needs.action, &id, "vm_state", server.vm_state().name()));
        }
    }
    Ok(Reply::empty(202))
}

/// The text of the serial console, from the node's own eyes.
async fn console(call: &Call<Compute>, server: &Server, asked: &Value) -> Result<Reply> {
    let node = refuse::on_a_node(&server.id, server)?;
    // -1 and null: all of it.
    let lines = validate::integer(&asked["length"]).and_then(|n| u64::try_from(n).ok());
    let question = Question::ConsoleText { vm: VmId::from(&*server.id), lines };
    let text = match call.context.hub.ask(node, question).await? {
        Answer::Text(text) => text,
        Answer::NotHere => {
            return Err(Error::not_found("Guest does not have a console available."));
        }
        Answer::Failed(why) => {
            return Err(Error::not_found(format!(
                "Guest does not have a console available. {why}"
            )));
        }
        Answer::Json(_) => return Err(Error::internal("a console's text came as JSON")),
    };
    let shown: String =
        text.chars().filter(|c| !matches!(c, '\0'..='\x08' | '\x0B'..='\x1F')).collect();
    Ok(Reply::ok(json!({ "output": shown })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_in_its_versions_only() {
        for row in ROWS {
            assert!(find_row(row.name, row.since).is_some(), "{}", row.name);
            assert!(POLICIES.contains(&row.policy), "{}", row.name);
        }
        assert!(find_row("trigger_crash_dump", v(2, 16)).is_none());
        assert!(find_row("addFixedIp", v(2, 44)).is_none());
        assert!(find_row("nothing", v(2, 96)).is_none());
    }

    #[test]
    fn an_empty_body_has_no_name() {
        assert_eq!(actions::no_such_action(&json!({})).message(), "Malformed request body");
    }
}
