//! Routes of servers: parse, act, show.

use base::{Error, Result};
use serde::Serialize;
use serde_json::Value;
use state::Txn;
use web::{
    Call, Card, Policy, Reply, Schema,
    validate::{Format, prop},
};

use super::{
    action_api,
    actions::{self, By, Update},
    blobs, create,
    find::{self, Server},
    list,
    view::{self, Depth, View},
};
use crate::{
    Compute,
    policies::{ADMIN, MEMBER, READER, owned},
};

const SHOW: &[(&str, &str)] = &[
    ("os_compute_api:servers:show", READER),
    view::POLICIES[0],
    view::POLICIES[1],
    view::POLICIES[2],
    view::POLICIES[3],
];
const INDEX: &[(&str, &str)] = &[
    ("os_compute_api:servers:index", READER),
    ("os_compute_api:servers:index:get_all_tenants", ADMIN),
    ("os_compute_api:servers:allow_all_filters", ADMIN),
    view::POLICIES[0],
    view::POLICIES[1],
    view::POLICIES[2],
    view::POLICIES[3],
];
const DETAIL: &[(&str, &str)] = &[
    ("os_compute_api:servers:detail", READER),
    ("os_compute_api:servers:detail:get_all_tenants", ADMIN),
    ("os_compute_api:servers:allow_all_filters", ADMIN),
];

/// This room's routes.
pub(crate) fn cards() -> Vec<Card<Compute>> {
    vec![
        Card::get("/servers", Policy::Checked(INDEX), list::index),
        Card::get("/servers/detail", Policy::Checked(DETAIL), list::detail),
        Card::post("/servers", Policy::Checked(create::POLICIES), create::create),
        Card::get("/servers/{server_id}", Policy::Checked(SHOW), show),
        Card::put(
            "/servers/{server_id}",
            Policy::Checked(&[("os_compute_api:servers:update", MEMBER)]),
            update,
        ),
        Card::delete(
            "/servers/{server_id}",
            Policy::Checked(&[("os_compute_api:servers:delete", MEMBER)]),
            delete,
        ),
        Card::post(
            "/servers/{server_id}/action",
            Policy::Checked(action_api::POLICIES),
            action_api::action,
        ),
    ]
}

/// A whole server as an answer.
async fn rendered(call: &Call<Compute>, server: &Server, depth: Depth) -> Result<Reply> {
    let snapshot = call.context.state.known();
    let mut view = View::of(call, &snapshot, depth, &server.project_id);
    view.prepare(std::iter::once(server));
    if view.shows_user_data() {
        let data = blobs::read(&call.context.state, server.user_data.as_ref()).await?;
        view = view.with_user_data(data);
    }
    #[derive(Serialize)]
    struct Body<S> {
        server: S,
    }
    Reply::rendered(200, &Body { server: view.full(server) })
}

async fn show(call: Call<Compute>) -> Result<Reply> {
    let snapshot = call.context.state.fresh().await?;
    let server = find::visible(&call.actor, &snapshot, call.param("server_id"))?;
    let target = owned(&server.project_id, &server.user_id);
    call.allow("os_compute_api:servers:show", &target)?;
    rendered(&call, &server, Depth::Show).await
}

const UPDATE: Schema = Schema::object(&[prop(
    "server",
    Schema::object(&[
        prop("name", Schema::name(1, 255)),
        prop("OS-DCF:diskConfig", create::DISK_CONFIG),
        prop("accessIPv4", Schema::string().format(Format::Ipv4)),
        prop("accessIPv6", Schema::string().format(Format::Ipv6)),
        prop("description", create::DESCRIPTION).since("2.19"),
        prop("hostname", create::HOSTNAME).since("2.90").until("2.93"),
        prop("hostname", create::FQDN).since("2.94"),
    ]),
)
.required()]);

async fn update(call: Call<Compute>) -> Result<Reply> {
    let body = call.input(&UPDATE)?;
    let id = call.param("server_id");
    let snapshot = call.context.state.fresh().await?;
    let server = find::visible(&call.actor, &snapshot, id)?;
    call.allow("os_compute_api:servers:update", &owned(&server.project_id, &server.user_id))?;
    let asked = &body["server"];
    let text = |name: &str| asked[name].as_str().map(str::to_owned);
    let update = Update {
        name: text("name").map(|name| name.trim().to_owned()),
        description: match asked.get("description") {
            None => None,
            Some(Value::Null) => Some(None),
            Some(_) => Some(text("description")),
        },
        hostname: text("hostname"),
        access_ip_v4: text("accessIPv4").as_deref().map(canonical_address),
        access_ip_v6: text("accessIPv6").as_deref().map(canonical_address),
        auto_disk_config: asked["OS-DCF:diskConfig"].as_str().map(|word| word == "AUTO"),
    };
    let record = call
        .context
        .state
        .transact("servers::update", |txn| actions::update(txn, id, &update))
        .await?;
    let server = Server { id: id.into(), record: record.into() };
    rendered(&call, &server, Depth::Changed).await
}

async fn delete(call: Call<Compute>) -> Result<Reply> {
    delete_server(&call, "os_compute_api:servers:delete").await?;
    Ok(Reply::empty(204))
}

/// Deletes the server of the path, if the policy lets.
pub(super) async fn delete_server(call: &Call<Compute>, policy: &'static str) -> Result<()> {
    let snapshot = call.context.state.fresh().await?;
    let server = find::visible(&call.actor, &snapshot, call.param("server_id"))?;
    call.allow(policy, &owned(&server.project_id, &server.user_id))?;
    let (id, by) = (server.id.to_string(), By::of(call));
    let lane = format!("quota/{}", server.project_id);
    let transaction = move |txn: &mut Txn| actions::delete(txn, &id, &by);
    call.context.state.transact_in_lane(&lane, "servers::delete", transaction).await
}

/// The server of the path, if the policy lets: how most of a server's parts begin.
pub(crate) async fn allowed(call: &Call<Compute>, policy: &str) -> Result<Server> {
    let snapshot = call.context.state.fresh().await?;
    let server = find::visible(&call.actor, &snapshot, call.param("server_id"))?;
    call.allow(policy, &owned(&server.project_id, &server.user_id))?;
    Ok(server)
}

/// 409: the real service has it, this cloud has not (yet).
pub(crate) fn not_here(what: &str) -> Error {
    Error::conflict(format!(
        "The requested functionality is not supported: this cloud cannot do it yet ({what})."
    ))
}

/// An address in its short form, as Nova keeps it; anything else as it is.
pub(crate) fn canonical_address(text: &str) -> String {
    text.parse::<std::net::IpAddr>().map_or_else(|_| text.to_owned(), |address| address.to_string())
}
