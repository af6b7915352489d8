//! `/os-services`

use base::{Error, Result};
use serde_json::{Value, json};
use web::{
    Call, Card, Policy, Reply, v,
    validate::{self, Format, Style},
};

use super::{
    actions::{self, Said},
    rows::{NODE_BINARY, Row, number, rows},
    wire,
};
use crate::{Compute, policies::ADMIN};

type Handled = Result<Reply>;

/// This room's routes.
pub(crate) fn cards() -> Vec<Card<Compute>> {
    const ONE: &str = "/os-services/{service_id}";
    let rule = |name| Policy::Rule(name, ADMIN);
    vec![
        Card::get("/os-services", rule("os_compute_api:os-services:list"), index),
        Card::put(ONE, rule("os_compute_api:os-services:update"), update),
        Card::delete(ONE, rule("os_compute_api:os-services:delete"), delete),
    ]
}

async fn index(call: Call<Compute>) -> Handled {
    validate::check_query(&wire::LIST, &call.query, call.version, Style::Nova)?;
    let wanted = |name: &str| call.query.get(name).filter(|value| !value.is_empty());
    let (host, binary) = (wanted("host"), wanted("binary"));
    let snapshot = call.context.state.fresh().await?;
    let mut rows = rows(&call.context, &snapshot);
    rows.retain(|row| {
        host.is_none_or(|host| row.host == host) && binary.is_none_or(|one| row.binary == one)
    });
    let shown: Vec<Value> = rows.iter().map(|row| wire::show(row, call.version)).collect();
    Ok(Reply::ok(json!({"services": shown})))
}

fn only_nodes(binary: &str) -> Error {
    Error::bad_request(format!(
        "Updating a {binary} service is not supported. Only {NODE_BINARY} services can be updated."
    ))
}

/// The service with the id in the path.
async fn find(call: &Call<Compute>) -> Result<Option<Row>> {
    let id = call.param("service_id");
    let snapshot = call.context.state.fresh().await?;
    let mut rows = rows(&call.context, &snapshot).into_iter();
    if call.version >= v(2, 53) {
        if !Format::Uuid.fits(id) {
            return Err(Error::bad_request(format!("Invalid uuid {id}")));
        }
        return Ok(rows.find(|row| row.uuid.eq_ignore_ascii_case(id)));
    }
    let Ok(wanted) = id.parse::<i64>() else {
        return Err(Error::bad_request("Invalid input received: id must be an integer"));
    };
    Ok(rows.find(|row| i64::try_from(number(&row.uuid)).is_ok_and(|number| number == wanted)))
}

async fn say(call: &Call<Compute>, host: &str, said: Said) -> Result<bool> {
    let state = &call.context.state;
    state.transact("services::say", |txn| actions::say(txn, host, &said)).await
}

async fn update(call: Call<Compute>) -> Handled {
    if call.version < v(2, 53) {
        return update_named(call).await;
    }
    let body = call.input(&wire::UPDATE)?;
    let row = find(&call).await?;
    let row = row.ok_or_else(|| {
        Error::not_found(format!("Service {} could not be found.", call.param("service_id")))
    })?;
    if row.binary != NODE_BINARY {
        return Err(only_nodes(row.binary));
    }
    let reason = body["disabled_reason"].as_str();
    let disabled = match body["status"].as_str() {
        Some("enabled") if reason.is_some() => {
            return Err(Error::bad_request(
                "Specifying 'disabled_reason' with status 'enabled' is invalid.",
            ));
        }
        Some("enabled") => Some(None),
        Some(_) => Some(Some(reason.unwrap_or_default().to_owned())),
        None => None,
    };
    let forced_down = body.get("forced_down").and_then(validate::boolean);
    if disabled.is_none() && forced_down.is_none() {
        return Err(Error::bad_request(
            "No updates were requested. Fields 'status' or 'forced_down' should be specified.",
        ));
    }
    say(&call, &row.host, Said { disabled, forced_down }).await?;
    let snapshot = call.context.state.known();
    let row = rows(&call.context, &snapshot).into_iter().find(|other| other.uuid == row.uuid);
    let row = row.ok_or_else(|| {
        Error::not_found(format!("Service {} could not be found.", call.param("service_id")))
    })?;
    Ok(Reply::ok(json!({"service": wire::show(&row, call.version)})))
}

/// Before 2.53: what is done stands in the path, to whom in the body.
async fn update_named(call: Call<Compute>) -> Handled {
    let body = call.input(&wire::NAMED)?;
    let reason = body["disabled_reason"].as_str();
    let host = body["host"].as_str().unwrap_or_default();
    let binary = body["binary"].as_str().unwrap_or_default();
    let mut shown = json!({"host": host, "binary": binary});
    let said = match call.param("service_id") {
        "enable" => {
            shown["status"] = "enabled".into();
            Said { disabled: Some(None), forced_down: None }
        }
        "disable" => {
            shown["status"] = "disabled".into();
            Said { disabled: Some(Some(String::new())), forced_down: None }
        }
        "disable-log-reason" => {
            let Some(reason) = reason else {
                return Err(Error::bad_request("Missing disabled reason field"));
            };
            shown["status"] = "disabled".into();
            shown["disabled_reason"] = reason.into();
            Said { disabled: Some(Some(reason.to_owned())), forced_down: None }
        }
        "force-down" if call.version >= v(2, 11) => {
            let Some(forced_down) = body.get("forced_down").and_then(validate::boolean) else {
                return Err(Error::bad_request("Missing forced_down field"));
            };
            shown["forced_down"] = forced_down.into();
            Said { disabled: None, forced_down: Some(forced_down) }
        }
        _ => return Err(Error::not_found("Unknown action")),
    };
    if binary != NODE_BINARY {
        return Err(only_nodes(binary));
    }
    if !say(&call, host, said).await? {
        return Err(Error::not_found(format!("Host '{host}' is not mapped to any cell")));
    }
    Ok(Reply::ok(json!({"service": shown})))
}

async fn delete(call: Call<Compute>) -> Handled {
    let row = find(&call).await?.ok_or_else(|| {
        Error::not_found(format!("Service {} not found.", call.param("service_id")))
    })?;
    if row.binary != NODE_BINARY {
        return Err(Error::conflict(format!(
            "The {} service of {} is a part of that controller and goes with it.",
            row.binary, row.host
        )));
    }
    let state = &call.context.state;
    state.transact("services::remove", |txn| actions::remove(txn, &row.host)).await?;
    call.context.hub.cut(&row.host);
    Ok(Reply::empty(204))
}
