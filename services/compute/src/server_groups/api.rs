//! Routes of server groups: parse, act, show.

use base::Result;
use serde_json::{Value, json};
use web::{
    Call, Card, Policy, Reply, Target,
    validate::{self, Style},
};

use super::{ServerGroupRecord, actions, wire};
use crate::{
    Compute,
    policies::{ADMIN, MEMBER, READER},
};

const CREATE: (&str, &str) = ("os_compute_api:os-server-groups:create", MEMBER);
const DELETE: (&str, &str) = ("os_compute_api:os-server-groups:delete", MEMBER);
const INDEX: (&str, &str) = ("os_compute_api:os-server-groups:index", READER);
const ALL: (&str, &str) = ("os_compute_api:os-server-groups:index:all_projects", ADMIN);
const SHOW: (&str, &str) = ("os_compute_api:os-server-groups:show", READER);

/// This room's routes.
pub(crate) fn cards() -> Vec<Card<Compute>> {
    vec![
        Card::get("/os-server-groups", Policy::Checked(&[INDEX, ALL]), index),
        Card::post("/os-server-groups", Policy::Rule(CREATE.0, CREATE.1), create),
        Card::get("/os-server-groups/{id}", Policy::Checked(&[SHOW]), show),
        Card::delete("/os-server-groups/{id}", Policy::Checked(&[DELETE]), delete),
    ]
}

async fn index(call: Call<Compute>) -> Result<Reply> {
    validate::check_query(&wire::LIST, &call.query, call.version, Style::Nova)?;
    call.allow(INDEX.0, &call.own())?;
    let snapshot = call.context.state.fresh().await?;
    let mut groups: Vec<_> = if call.query.has("all_projects") && call.actor.is_admin {
        call.allow(ALL.0, &call.own())?;
        snapshot.all::<ServerGroupRecord>().collect()
    } else {
        snapshot.by::<ServerGroupRecord>("project", call.actor.project_id())
    };
    groups.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    let number = |name: &str| {
        let text = Value::from(call.query.get(name)?);
        usize::try_from(validate::integer(&text)?).ok()
    };
    let most = call.context.config.max_limit;
    // As Nova: no limit is the longest page, and so is 0.
    let limit = number("limit").filter(|limit| *limit > 0).map_or(most, |limit| limit.min(most));
    let page = groups.iter().skip(number("offset").unwrap_or(0)).take(limit);
    let shown: Vec<_> = page.map(|group| wire::show(&call, &group.id, group)).collect();
    Ok(Reply::ok(json!({"server_groups": shown})))
}

async fn create(call: Call<Compute>) -> Result<Reply> {
    let body = call.input(&wire::CREATE)?;
    let group = wire::parse_create(&body, &call, call.world.wall())?;
    let id = call.world.uuid().to_string();
    let shown = wire::show(&call, &id, &group);
    let lane = format!("quota/{}", group.project_id);
    call.context
        .state
        .transact_in_lane(&lane, "server_groups::create", move |txn| {
            actions::create(txn, &id, group.clone())
        })
        .await?;
    Ok(Reply::ok(json!({"server_group": shown})))
}

async fn show(call: Call<Compute>) -> Result<Reply> {
    let id = call.param("id");
    let found = call.context.state.fresh().await?.find::<ServerGroupRecord>(id)?;
    // Whether anything is there is asked first: then every outcome has asked.
    let project = found.as_ref().map_or(call.actor.project_id(), |group| &group.project_id);
    call.allow(SHOW.0, &Target::project(project))?;
    let group = found.ok_or_else(|| actions::not_found(id))?;
    Ok(Reply::ok(json!({"server_group": wire::show(&call, id, &group)})))
}

async fn delete(call: Call<Compute>) -> Result<Reply> {
    let id = call.param("id");
    call.context
        .state
        .transact("server_groups::delete", |txn| {
            actions::delete(txn, id, |group| {
                call.allow(DELETE.0, &Target::project(&group.project_id))
            })
        })
        .await?;
    Ok(Reply::empty(204))
}
