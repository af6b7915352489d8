//! Routes of instance actions.

use std::sync::Arc;

use base::{Error, Result, Timestamp};
use serde_json::{Value, json};
use state::Snapshot;
use web::{
    Call, Card, Policy, Reply, Schema, Target, v,
    validate::{Format, Style, check_query, prop},
};

use super::record::{Action, ActionsRecord, Event};
use crate::{
    Compute,
    paging::{self, Page},
    policies::{ADMIN, READER},
    servers::{self, Server, host_id},
};

/// This room's routes.
pub(crate) fn cards() -> Vec<Card<Compute>> {
    vec![
        Card::get(
            "/servers/{server_id}/os-instance-actions",
            Policy::Checked(&[("os_compute_api:os-instance-actions:list", READER)]),
            index,
        ),
        Card::get(
            "/servers/{server_id}/os-instance-actions/{request_id}",
            Policy::Checked(&[
                ("os_compute_api:os-instance-actions:show", READER),
                ("os_compute_api:os-instance-actions:events", ADMIN),
                ("os_compute_api:os-instance-actions:events:details", ADMIN),
            ]),
            show,
        ),
    ]
}

const TIME: Schema = Schema::string().format(Format::DateTime);
const LIST: Schema = Schema::object(&[
    prop("limit", Schema::number_or_text()).single(),
    prop("marker", Schema::string()).single(),
    prop("changes-since", TIME).single(),
    prop("changes-before", TIME).single().since("2.66"),
]);

/// The server and what was done to it; from 2.21 on also when it is no more.
async fn found(call: &Call<Compute>) -> Result<(Server, Arc<ActionsRecord>, Snapshot)> {
    let snapshot = call.context.state.fresh().await?;
    let id = call.param("server_id");
    let server = match call.version >= v(2, 21) {
        true => servers::visible_or_deleted(&call.actor, &snapshot, id)?,
        false => servers::visible(&call.actor, &snapshot, id)?,
    };
    let actions = snapshot.find::<ActionsRecord>(id)?.map(|entry| entry.record());
    Ok((server, actions.unwrap_or_default(), snapshot))
}

fn shown(call: &Call<Compute>, action: &Action) -> Value {
    let mut shown = json!({
        "action": action.action,
        "instance_uuid": call.param("server_id"),
        "request_id": action.request_id,
        "user_id": action.user_id,
        "project_id": action.project_id,
        "start_time": action.start_time.iso_micros_zoneless(),
        "message": action.message,
    });
    if call.version >= v(2, 58) {
        shown["updated_at"] = json!(action.updated_at.iso_micros_zoneless());
    }
    shown
}

async fn index(call: Call<Compute>) -> Result<Reply> {
    let paged = call.version >= v(2, 58);
    if paged {
        check_query(&LIST, &call.query, call.version, Style::Nova)?;
    }
    let (server, record, _) = found(&call).await?;
    call.allow("os_compute_api:os-instance-actions:list", &Target::project(&server.project_id))?;
    let mut actions: Vec<&Action> = record.actions.iter().rev().collect();
    if !paged {
        let list: Vec<Value> = actions.into_iter().map(|action| shown(&call, action)).collect();
        return Ok(Reply::ok(json!({ "instanceActions": list })));
    }
    let time = |name: &str| call.query.get(name).and_then(Timestamp::parse);
    let since = time("changes-since");
    let before = if call.version >= v(2, 66) { time("changes-before") } else { None };
    if let (Some(since), Some(before)) = (since, before)
        && before < since
    {
        return Err(Error::bad_request(
            "The value of changes-since must be less than or equal to changes-before.",
        ));
    }
    actions.retain(|action| {
        since.is_none_or(|since| action.updated_at >= since)
            && before.is_none_or(|before| action.updated_at <= before)
    });
    let page = Page::of(&call, call.context.config.max_limit)?;
    let actions = page
        .cut(actions, |action| &action.request_id)
        .map_err(|_| marker_not_found(page.marker.as_deref()))?;
    let list: Vec<Value> = actions.iter().map(|action| shown(&call, action)).collect();
    let mut body = json!({ "instanceActions": list });
    let collection = format!("servers/{}/os-instance-actions", server.id);
    let last = actions.last().map(|action| action.request_id.as_str());
    if let Some(links) = paging::next(&call, &page, &collection, actions.len(), last) {
        body["links"] = links;
    }
    Ok(Reply::ok(body))
}

fn marker_not_found(marker: Option<&str>) -> Error {
    Error::bad_request(format!("Marker {} could not be found.", marker.unwrap_or_default()))
}

async fn show(call: Call<Compute>) -> Result<Reply> {
    let (server, record, _) = found(&call).await?;
    let target = Target::project(&server.project_id);
    call.allow("os_compute_api:os-instance-actions:show", &target)?;
    let id = call.param("request_id");
    let action = record
        .actions
        .iter()
        .rev()
        .find(|action| action.request_id == id)
        .ok_or_else(|| Error::not_found(format!("Action {id} not found")))?;
    let mut body = shown(&call, action);
    let all = call.allowed("os_compute_api:os-instance-actions:events", &target);
    if all || call.version >= v(2, 51) {
        let details = call.version >= v(2, 84)
            && call.allowed("os_compute_api:os-instance-actions:events:details", &target);
        let event = |event: &Event| {
            let mut shown = json!({
                "event": event.event,
                "start_time": event.start_time.iso_micros_zoneless(),
                "finish_time": event.finish_time.map(Timestamp::iso_micros_zoneless),
                "result": event.result,
            });
            if all {
                shown["traceback"] = Value::Null;
            }
            if call.version >= v(2, 62) {
                if all {
                    shown["host"] = json!(event.host.as_deref().unwrap_or_default());
                }
                shown["hostId"] = json!(host_id(event.host.as_deref(), &action.project_id));
            }
            if details {
                shown["details"] = json!(event.details);
            }
            shown
        };
        body["events"] = action.events.iter().map(event).collect();
    }
    Ok(Reply::ok(json!({ "instanceAction": body })))
}
