//! Server groups as JSON, in and out.

use base::{Error, Result, Timestamp};
use serde_json::{Value, json};
use web::{
    Request, v,
    validate::{self, Literal, Schema, prop},
};

use super::{Policy, ServerGroupRecord};

const HARD: &[Literal] = &[Literal::Text("anti-affinity"), Literal::Text("affinity")];
const ALL: &[Literal] = &[
    Literal::Text("anti-affinity"),
    Literal::Text("affinity"),
    Literal::Text("soft-anti-affinity"),
    Literal::Text("soft-affinity"),
];
const ONE_HARD: Schema = Schema::string().literals(HARD);
const ONE: Schema = Schema::string().literals(ALL);

/// `POST /os-server-groups`
pub(super) const CREATE: Schema = Schema::object(&[prop(
    "server_group",
    Schema::object(&[
        prop("name", Schema::name(1, 255)).required(),
        prop("policies", Schema::array(&ONE_HARD).len(1, 1).unique()).required().until("2.14"),
        prop("policies", Schema::array(&ONE).len(1, 1).unique())
            .required()
            .since("2.15")
            .until("2.63"),
        prop("policy", ONE).required().since("2.64"),
        prop(
            "rules",
            Schema::object(&[prop(
                "max_server_per_host",
                Schema::number_or_text().pattern("^[0-9]+$").min(1),
            )]),
        )
        .since("2.64"),
    ]),
)
.required()]);

/// `GET /os-server-groups`
pub(super) const LIST: Schema = Schema::object(&[
    prop("all_projects", Schema::string()),
    prop("limit", Schema::number_or_text()),
    prop("offset", Schema::number_or_text()),
])
.open_until(v(2, 75));

/// What a valid `POST` asks for.
pub(super) fn parse_create(
    body: &Value,
    call: &Request,
    now: Timestamp,
) -> Result<ServerGroupRecord> {
    let asked = &body["server_group"];
    let policy = if call.version >= v(2, 64) { &asked["policy"] } else { &asked["policies"][0] };
    let policy = policy.as_str().and_then(Policy::named);
    let policy = policy.ok_or_else(|| Error::bad_request("The policy is not known."))?;
    let rules = asked["rules"].as_object().filter(|rules| !rules.is_empty());
    if policy != Policy::AntiAffinity && rules.is_some() {
        return Err(Error::bad_request("Only anti-affinity policy supports rules."));
    }
    let most = rules.and_then(|rules| rules.get("max_server_per_host"));
    Ok(ServerGroupRecord {
        name: asked["name"].as_str().unwrap_or_default().trim().to_owned(),
        project_id: call.actor.project_id().to_owned(),
        user_id: call.actor.user_id.clone(),
        policy,
        max_server_per_host: most
            .and_then(validate::integer)
            .and_then(|most| u64::try_from(most).ok()),
        members: Vec::new(),
        created_at: now,
    })
}

/// A group as it is shown.
pub(super) fn show(call: &Request, id: &str, group: &ServerGroupRecord) -> Value {
    let mut view = json!({"id": id, "name": group.name});
    if call.version >= v(2, 64) {
        view["policy"] = group.policy.name().into();
        view["rules"] = match group.max_server_per_host {
            Some(most) => json!({"max_server_per_host": most}),
            None => json!({}),
        };
    } else {
        view["policies"] = json!([group.policy.name()]);
        view["metadata"] = json!({});
    }
    view["members"] = group.members.iter().map(|member| member.server.as_str()).collect();
    if call.version >= v(2, 13) {
        view["project_id"] = group.project_id.as_str().into();
        view["user_id"] = group.user_id.as_str().into();
    }
    view
}
