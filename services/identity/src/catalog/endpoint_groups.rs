//! `/OS-EP-FILTER/endpoint_groups`: endpoints by what they have in common.

use base::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use state::{Entry, Record, Scope, Snapshot};
use web::{
    Call, Card, Policy, Reply, Schema,
    validate::{Literal, prop},
};

use super::{endpoints, record::Endpoint};
use crate::{
    Identity,
    manners::{self, NAME_PATTERN, inner, take_nullable, take_object, take_text},
    purge::{self, record::Kind},
    rules::{CLOUD_ADMIN, CLOUD_READER},
    words,
};

/// Endpoints by what they have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointGroup {
    /// For people.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// `service_id`, `interface`, `region_id`: all must fit.
    pub filters: Map<String, Value>,
}

impl Record for EndpointGroup {
    const TABLE: &'static str = "identity.endpoint_groups";
    const SCOPE: Scope = Scope::Global;
}

/// The endpoints of a group.
pub(super) fn endpoints_of(snapshot: &Snapshot, group: &EndpointGroup) -> Vec<Entry<Endpoint>> {
    let fits = |endpoint: &Endpoint| {
        group.filters.iter().all(|(name, wanted)| {
            let has = match name.as_str() {
                "service_id" => Some(endpoint.service_id.as_str()),
                "interface" => Some(endpoint.interface.as_str()),
                "region_id" => endpoint.region_id.as_deref(),
                _ => return true,
            };
            has == wanted.as_str()
        })
    };
    snapshot.all::<Endpoint>().filter(|endpoint| fits(endpoint)).collect()
}

const NAME: Schema = Schema::string().len(1, 255).pattern(NAME_PATTERN);
const TEXT: Schema = Schema::string().nullable();
const FILTERS: Schema = Schema::object(&[
    prop("service_id", Schema::string()),
    prop("region_id", Schema::string()),
    prop(
        "interface",
        Schema::string().literals(&[
            Literal::Text("admin"),
            Literal::Text("internal"),
            Literal::Text("public"),
        ]),
    ),
]);
const CREATE: Schema = Schema::object(&[prop(
    "endpoint_group",
    Schema::object(&[
        prop("name", NAME).required(),
        prop("filters", FILTERS).required(),
        prop("description", TEXT),
    ])
    .open(),
)
.required()]);
const UPDATE: Schema = Schema::object(&[prop(
    "endpoint_group",
    Schema::object(&[prop("name", NAME), prop("filters", FILTERS), prop("description", TEXT)])
        .open()
        .min_len(1),
)
.required()]);

const ALL: &str = "/OS-EP-FILTER/endpoint_groups";
const ONE: &str = "/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}";

pub(crate) fn cards() -> Vec<Card<Identity>> {
    let rule = |name, rule| Policy::Rule(name, rule);
    vec![
        Card::get(ALL, rule("identity:list_endpoint_groups", CLOUD_READER), list),
        Card::post(ALL, rule("identity:create_endpoint_group", CLOUD_ADMIN), create),
        Card::get(ONE, rule("identity:get_endpoint_group", CLOUD_READER), show),
        Card::patch(ONE, rule("identity:update_endpoint_group", CLOUD_ADMIN), update),
        Card::delete(ONE, rule("identity:delete_endpoint_group", CLOUD_ADMIN), delete),
        Card::get(
            "/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/endpoints",
            rule("identity:list_endpoints_associated_with_endpoint_group", CLOUD_READER),
            list_endpoints,
        ),
    ]
}

fn missing(id: &str) -> base::Error {
    words::not_found("Endpoint Group", id)
}

fn shown(id: &str, group: &EndpointGroup) -> Value {
    json!({
        "id": id,
        "name": group.name,
        "description": group.description,
        "filters": group.filters,
    })
}

/// A group with its link.
pub(super) fn linked(call: &Call<Identity>, id: &str, group: &EndpointGroup) -> Value {
    let mut shown = shown(id, group);
    manners::link(call, "OS-EP-FILTER/endpoint_groups", &mut shown);
    shown
}

/// A group as an answer of its own.
pub(super) fn member(call: &Call<Identity>, id: &str, group: &EndpointGroup) -> Value {
    json!({"endpoint_group": linked(call, id, group)})
}

fn change(group: &mut EndpointGroup, mut body: Map<String, Value>) {
    if let Some(name) = take_text(&mut body, "name") {
        group.name = name;
    }
    if let Some(description) = take_nullable(&mut body, "description") {
        group.description = description;
    }
    if let Some(filters) = take_object(&mut body, "filters") {
        group.filters = filters;
    }
}

async fn list(call: Call<Identity>) -> Result<Reply> {
    let snapshot = call.context.state().fresh().await?;
    let items: Vec<Value> = snapshot.all::<EndpointGroup>().map(|g| shown(&g.id, &g)).collect();
    manners::list(&call, "OS-EP-FILTER/endpoint_groups", items, &["name"])
}

async fn create(call: Call<Identity>) -> Result<Reply> {
    let body = inner(call.input(&CREATE)?, "endpoint_group");
    let mut group = EndpointGroup { name: String::new(), description: None, filters: Map::new() };
    change(&mut group, body);
    let id = call.world.hex_id();
    let (new_id, new) = (id.clone(), group.clone());
    call.context
        .state()
        .transact("endpoint_groups::create", move |txn| txn.create(&new_id, new.clone()))
        .await?;
    Ok(Reply::json(201, member(&call, &id, &group)))
}

async fn find(call: &Call<Identity>) -> Result<(Snapshot, Entry<EndpointGroup>)> {
    let snapshot = call.context.state().fresh().await?;
    let id = call.param("endpoint_group_id");
    let group = snapshot.find::<EndpointGroup>(id)?.ok_or_else(|| missing(id))?;
    Ok((snapshot, group))
}

async fn show(call: Call<Identity>) -> Result<Reply> {
    let (_, group) = find(&call).await?;
    Ok(Reply::ok(member(&call, &group.id, &group)))
}

async fn list_endpoints(call: Call<Identity>) -> Result<Reply> {
    let (snapshot, group) = find(&call).await?;
    let items = endpoints_of(&snapshot, &group).into_iter().map(|endpoint| {
        let mut shown = endpoints::wire::show(&call.base_url, &endpoint.id, &endpoint);
        manners::link(&call, "endpoints", &mut shown);
        shown
    });
    Ok(Reply::ok(manners::wrap(&call, "endpoints", items.collect(), None)))
}

async fn update(call: Call<Identity>) -> Result<Reply> {
    let id = call.param("endpoint_group_id").to_owned();
    let body = inner(call.input(&UPDATE)?, "endpoint_group");
    let owned = id.clone();
    let changed = call
        .context
        .state()
        .transact("endpoint_groups::update", move |txn| {
            txn.update::<EndpointGroup, EndpointGroup>(&owned, |group| {
                change(group, body.clone());
                Ok(group.clone())
            })
        })
        .await?;
    let changed = changed.ok_or_else(|| missing(&id))?;
    Ok(Reply::ok(member(&call, &id, &changed)))
}

async fn delete(call: Call<Identity>) -> Result<Reply> {
    let id = call.param("endpoint_group_id").to_owned();
    let owned = id.clone();
    let gone = call
        .context
        .state()
        .transact("endpoint_groups::delete", move |txn| {
            let gone = txn.delete::<EndpointGroup>(&owned)?;
            if gone {
                purge::request(txn, Kind::Endpoint, &owned)?;
            }
            Ok(gone)
        })
        .await?;
    if !gone {
        return Err(missing(&id));
    }
    call.context.purge(Kind::Endpoint, &id).await;
    Ok(Reply::empty(204))
}
