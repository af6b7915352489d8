//! `/resource_providers/{uuid}/usages` and `/usages`

use base::{Error, Map, Result};
use serde_json::{Value, json};
use state::{Entry, Snapshot};
use web::{Card, Policy, Reply, Schema, Target, v, validate::prop};

use super::usage_of;
use crate::{
    AllocationRecord, Placement, ProviderRecord, Resources,
    manners::{PlacementCall, check_query, dated, gives_json},
    policies::{ADMIN_OR_SERVICE, READER},
};

const TOTAL: &str = "placement:usages";
const NAME: Schema = Schema::string().len(1, 255);
const TOTALS: Schema = Schema::object(&[
    prop("project_id", NAME).required(),
    prop("user_id", NAME),
    prop("consumer_type", NAME.pattern("^[A-Z0-9_]+$|^all|^unknown$")).since("1.38"),
]);

/// The routes.
pub(crate) fn cards() -> Vec<Card<Placement>> {
    const OF_PROVIDER: &str = "/resource_providers/{uuid}/usages";
    let rule = Policy::Rule("placement:resource_providers:usages", ADMIN_OR_SERVICE);
    vec![
        Card::get(OF_PROVIDER, rule, of_provider),
        Card::get("/usages", Policy::Checked(&[(TOTAL, READER)]), totals).since("1.9"),
    ]
}

async fn of_provider(call: PlacementCall) -> Result<Reply> {
    gives_json(&call)?;
    let snapshot = call.context.state.fresh().await?;
    let id = call.param("uuid");
    let Some(provider) = snapshot.find::<ProviderRecord>(id)? else {
        return Err(Error::not_found(format!(
            "No resource provider with uuid {id} found: No resource provider with uuid {id} found"
        )));
    };
    let used = usage_of(&snapshot, id);
    let usages: Map<&str, u64> =
        provider.inventories.keys().map(|class| (class.as_str(), used.get(class))).collect();
    let body = json!({
        "resource_provider_generation": provider.shown_generation(&snapshot, id),
        "usages": usages,
    });
    Ok(dated(Reply::ok(body), &call, None))
}

async fn totals(call: PlacementCall) -> Result<Reply> {
    gives_json(&call)?;
    let project = call.query.get("project_id").unwrap_or_default();
    call.allow(TOTAL, &Target::new().with("project_id", project))?;
    check_query(&call, &TOTALS)?;
    let user = call.query.get("user_id");
    let snapshot = call.context.state.fresh().await?;
    let mut records = of_project(&snapshot, project);
    records.retain(|record| user.is_none_or(|user| record.user_id == user));
    let usages = match call.version >= v(1, 38) {
        false => json!(sum(&records).to_map()),
        true => by_type(records, call.query.get("consumer_type")),
    };
    Ok(dated(Reply::ok(json!({"usages": usages})), &call, None))
}

fn of_project(snapshot: &Snapshot, project: &str) -> Vec<Entry<AllocationRecord>> {
    snapshot.by::<AllocationRecord>("project", project)
}

fn sum<'r>(records: impl IntoIterator<Item = &'r Entry<AllocationRecord>>) -> Resources {
    let mut sum = Resources::default();
    for amounts in records.into_iter().flat_map(|record| record.held.values()) {
        for (class, amount) in amounts {
            sum.add(class, *amount);
        }
    }
    sum
}

/// Sums by type of consumer; `all` puts all in one, `unknown` shows those without a type.
fn by_type(records: Vec<Entry<AllocationRecord>>, wanted: Option<&str>) -> Value {
    let mut groups = Map::<String, Vec<Entry<AllocationRecord>>>::new();
    for record in records {
        let own = record.consumer_type.as_deref().unwrap_or("unknown");
        let group = match wanted {
            None => own,
            Some("all") => "all",
            Some(wanted) if wanted == own => own,
            Some(_) => continue,
        };
        groups.entry(group.to_owned()).or_default().push(record);
    }
    let mut shown = serde_json::Map::new();
    for (name, records) in groups {
        let mut one = json!(sum(&records).to_map());
        one["consumer_count"] = records.len().into();
        shown.insert(name, one);
    }
    Value::Object(shown)
}
