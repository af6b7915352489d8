//! `/os-aggregates`

use base::{Error, Map, Result, Set};
use serde_json::{Value, json};
use state::Txn;
use web::{Call, Card, Policy, Reply, Target};

use super::{
    AggregateRecord,
    actions::{self, not_found},
    wire,
};
use crate::{Compute, policies::ADMIN};

type Handled = Result<Reply>;

const ADD_HOST: (&str, &str) = ("os_compute_api:os-aggregates:add_host", ADMIN);
const REMOVE_HOST: (&str, &str) = ("os_compute_api:os-aggregates:remove_host", ADMIN);
const SET_METADATA: (&str, &str) = ("os_compute_api:os-aggregates:set_metadata", ADMIN);

/// This room's routes.
pub(crate) fn cards() -> Vec<Card<Compute>> {
    const ONE: &str = "/os-aggregates/{aggregate_id}";
    let rule = |name| Policy::Rule(name, ADMIN);
    vec![
        Card::get("/os-aggregates", rule("os_compute_api:os-aggregates:index"), index),
        Card::post("/os-aggregates", rule("os_compute_api:os-aggregates:create"), create),
        Card::get(ONE, rule("os_compute_api:os-aggregates:show"), show),
        Card::put(ONE, rule("os_compute_api:os-aggregates:update"), update),
        Card::delete(ONE, rule("os_compute_api:os-aggregates:delete"), delete),
        Card::post(
            "/os-aggregates/{aggregate_id}/action",
            Policy::Checked(&[ADD_HOST, REMOVE_HOST, SET_METADATA]),
            action,
        ),
        Card::post(
            "/os-aggregates/{aggregate_id}/images",
            rule("compute:aggregates:images"),
            images,
        )
        .since("2.81"),
    ]
}

/// The id in the path, in its one form.
fn number(call: &Call<Compute>) -> Result<String> {
    match call.param("aggregate_id").trim().parse::<i64>() {
        Ok(number) => Ok(number.to_string()),
        Err(_) => Err(Error::bad_request("Invalid input received: id must be an integer")),
    }
}

fn shown(call: &Call<Compute>, id: &str, aggregate: &AggregateRecord) -> Value {
    wire::show(id.parse().unwrap_or(0), aggregate, call.version, false)
}

/// Carries a change out and shows what became of the aggregate.
async fn change(
    call: &Call<Compute>,
    label: &'static str,
    id: &str,
    act: impl Fn(&mut Txn) -> Result<()> + Send + Sync,
) -> Handled {
    let state = &call.context.state;
    let aggregate = state
        .transact(label, |txn| {
            act(txn)?;
            txn.get::<AggregateRecord>(id)?.ok_or_else(|| not_found(id))
        })
        .await?;
    Ok(Reply::ok(json!({"aggregate": shown(call, id, &aggregate)})))
}

async fn index(call: Call<Compute>) -> Handled {
    let snapshot = call.context.state.fresh().await?;
    let mut aggregates: Vec<_> = snapshot
        .all::<AggregateRecord>()
        .filter_map(|aggregate| Some((aggregate.id.parse::<u64>().ok()?, aggregate)))
        .collect();
    aggregates.sort_by_key(|(number, _)| *number);
    let shown: Vec<Value> = aggregates
        .iter()
        .map(|(number, aggregate)| wire::show(*number, aggregate, call.version, false))
        .collect();
    Ok(Reply::ok(json!({"aggregates": shown})))
}

async fn create(call: Call<Compute>) -> Handled {
    let body = call.input(&wire::CREATE)?;
    let name = body["aggregate"]["name"].as_str().unwrap_or_default().trim();
    let zone = body["aggregate"]["availability_zone"].as_str().map(str::trim);
    let uuid = call.world.uuid().to_string();
    let state = &call.context.state;
    let (number, aggregate) = state
        .transact("aggregates::create", |txn| {
            let number = actions::create(txn, &uuid, name, zone)?;
            let id = number.to_string();
            let made = txn.get::<AggregateRecord>(&id)?.ok_or_else(|| not_found(&id))?;
            Ok((number, made))
        })
        .await?;
    Ok(Reply::ok(json!({"aggregate": wire::show(number, &aggregate, call.version, true)})))
}

async fn show(call: Call<Compute>) -> Handled {
    let id = number(&call)?;
    let snapshot = call.context.state.fresh().await?;
    let aggregate = snapshot.find::<AggregateRecord>(&id)?.ok_or_else(|| not_found(&id))?;
    Ok(Reply::ok(json!({"aggregate": shown(&call, &id, &aggregate)})))
}

async fn update(call: Call<Compute>) -> Handled {
    let body = call.input(&wire::UPDATE)?;
    let id = number(&call)?;
    let fields = &body["aggregate"];
    let name = fields["name"].as_str().map(str::trim);
    if name.is_some_and(str::is_empty) {
        return Err(Error::bad_request(
            "Invalid input for field/attribute name. Value:  . The name must not be empty.",
        ));
    }
    let zone = fields.get("availability_zone").map(|zone| zone.as_str().map(str::trim));
    change(&call, "aggregates::update", &id, |txn| actions::update(txn, &id, name, zone)).await
}

async fn delete(call: Call<Compute>) -> Handled {
    let id = number(&call)?;
    let state = &call.context.state;
    state.transact("aggregates::delete", |txn| actions::delete(txn, &id)).await?;
    Ok(Reply::empty(200))
}

async fn action(call: Call<Compute>) -> Handled {
    let body = call.value()?;
    let names: Vec<&str> =
        body.as_object().into_iter().flatten().map(|(n, _)| n.as_str()).collect();
    let target = Target::new();
    match names.as_slice() {
        ["add_host"] => {
            call.allow(ADD_HOST.0, &target)?;
            let body = call.input(&wire::ADD_HOST)?;
            let id = number(&call)?;
            let host = body["add_host"]["host"].as_str().unwrap_or_default();
            change(&call, "aggregates::add_host", &id, |txn| actions::add_host(txn, &id, host))
                .await
        }
        ["remove_host"] => {
            call.allow(REMOVE_HOST.0, &target)?;
            let body = call.input(&wire::REMOVE_HOST)?;
            let id = number(&call)?;
            let host = body["remove_host"]["host"].as_str().unwrap_or_default();
            let act = |txn: &mut Txn| actions::remove_host(txn, &id, host);
            change(&call, "aggregates::remove_host", &id, act).await
        }
        ["set_metadata"] => {
            call.allow(SET_METADATA.0, &target)?;
            let body = call.input(&wire::SET_METADATA)?;
            let id = number(&call)?;
            let metadata = body["set_metadata"]["metadata"].as_object();
            let changes: Map<String, Option<String>> = metadata
                .into_iter()
                .flatten()
                .map(|(key, value)| (key.clone(), value.as_str().map(str::to_owned)))
                .collect();
            let act = |txn: &mut Txn| actions::set_metadata(txn, &id, &changes);
            change(&call, "aggregates::set_metadata", &id, act).await
        }
        _ => {
            // Refused alike, whoever asks.
            call.allow(SET_METADATA.0, &target)?;
            Err(crate::servers::no_such_action(&body))
        }
    }
}

/// Images cannot be fetched ahead here: a node fetches one when its first server needs it.
async fn images(call: Call<Compute>) -> Handled {
    let body = call.input(&wire::CACHE)?;
    let id = number(&call)?;
    let wanted: Vec<&str> = body["cache"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["id"].as_str())
        .collect();
    if wanted.iter().collect::<Set<_>>().len() != wanted.len() {
        return Err(Error::bad_request("Duplicate images in request"));
    }
    let snapshot = call.context.state.fresh().await?;
    snapshot.find::<AggregateRecord>(&id)?.ok_or_else(|| not_found(&id))?;
    Err(Error::conflict(
        "Images cannot be fetched ahead in this cloud: a node fetches an image when its first server \
         needs it.",
    ))
}
