//! OS-EP-FILTER: which endpoints a project's catalog shows. Without any association: all.

use base::{Result, Set};
use serde_json::{Map, Value, json};
use state::{Entry, Index, Record, Scope, Snapshot, Txn};
use web::{Call, Card, Policy, Reply};

use serde::{Deserialize, Serialize};

use super::{
    endpoint_groups::{self, EndpointGroup},
    endpoints,
    record::Endpoint,
};
use crate::{
    Identity, manners,
    projects::{self, record::Project},
    rules::{CLOUD_ADMIN, CLOUD_READER, checked, own},
    words,
};

/// A project's catalog shows an endpoint, or the endpoints of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Association {
    /// The project.
    pub project_id: String,
    /// The endpoint or group.
    pub of: String,
    /// It is a group.
    pub group: bool,
}

impl Association {
    fn id(&self) -> String {
        let kind = if self.group { "group" } else { "endpoint" };
        format!("{}/{kind}/{}", self.project_id, self.of)
    }
}

impl Record for Association {
    const TABLE: &'static str = "identity.endpoint_filters";
    const SCOPE: Scope = Scope::Global;
    const INDEXES: &'static [Index<Association>] = &[
        Index { name: "project", keys: |a, _| vec![a.project_id.clone()] },
        Index { name: "of", keys: |a, _| vec![a.of.clone()] },
    ];
}

/// What a catalog shows.
pub(super) struct Wanted(Option<Set<String>>);

impl Wanted {
    pub(super) fn has(&self, endpoint: &str) -> bool {
        self.0.as_ref().is_none_or(|wanted| wanted.contains(endpoint))
    }
}

/// What a project's catalog shows.
pub(super) fn of_project(snapshot: &Snapshot, project_id: Option<&str>) -> Wanted {
    let Some(project_id) = project_id else { return Wanted(None) };
    let found = endpoints_of(snapshot, project_id);
    Wanted((!found.is_empty()).then(|| found.iter().map(|e| e.id.to_string()).collect()))
}

fn endpoints_of(snapshot: &Snapshot, project_id: &str) -> Vec<Entry<Endpoint>> {
    let mut found: Vec<Entry<Endpoint>> = Vec::new();
    for association in snapshot.by::<Association>("project", project_id) {
        let more = match association.group {
            false => snapshot.get::<Endpoint>(&association.of).into_iter().collect(),
            true => snapshot
                .get::<EndpointGroup>(&association.of)
                .map(|group| endpoint_groups::endpoints_of(snapshot, &group))
                .unwrap_or_default(),
        };
        for endpoint in more {
            if found.iter().all(|known| known.id != endpoint.id) {
                found.push(endpoint);
            }
        }
    }
    found
}

const ENDPOINT: &str = "/OS-EP-FILTER/projects/{project_id}/endpoints/{endpoint_id}";
const GROUP: &str = "/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/projects/{project_id}";

pub(crate) fn cards() -> Vec<Card<Identity>> {
    const READ: &str = CLOUD_READER;
    const CHANGE: &str = CLOUD_ADMIN;
    const PROJECTS: Policy = checked(&[("identity:list_projects_for_endpoint", READ)]);
    const ENDPOINTS: Policy = checked(&[("identity:list_endpoints_for_project", READ)]);
    const CHECK: Policy = checked(&[("identity:check_endpoint_in_project", READ)]);
    const ADD: Policy = checked(&[("identity:add_endpoint_to_project", CHANGE)]);
    const REMOVE: Policy = checked(&[("identity:remove_endpoint_from_project", CHANGE)]);
    const GROUPS: Policy = checked(&[("identity:list_endpoint_groups_for_project", READ)]);
    const GROUP_PROJECTS: Policy =
        checked(&[("identity:list_projects_associated_with_endpoint_group", READ)]);
    const GET_GROUP: Policy = checked(&[("identity:get_endpoint_group_in_project", READ)]);
    const ADD_GROUP: Policy = checked(&[("identity:add_endpoint_group_to_project", CHANGE)]);
    const REMOVE_GROUP: Policy =
        checked(&[("identity:remove_endpoint_group_from_project", CHANGE)]);
    vec![
        Card::get("/OS-EP-FILTER/endpoints/{endpoint_id}/projects", PROJECTS, |call| {
            list_projects(call, false)
        }),
        Card::get("/OS-EP-FILTER/projects/{project_id}/endpoints", ENDPOINTS, list_endpoints),
        Card::get(ENDPOINT, CHECK, |call| check(call, "identity:check_endpoint_in_project", false)),
        Card::put(ENDPOINT, ADD, |call| add(call, "identity:add_endpoint_to_project", false)),
        Card::delete(ENDPOINT, REMOVE, |call| {
            remove(call, "identity:remove_endpoint_from_project", false)
        }),
        Card::get("/OS-EP-FILTER/projects/{project_id}/endpoint_groups", GROUPS, list_groups),
        Card::get(
            "/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/projects",
            GROUP_PROJECTS,
            |call| list_projects(call, true),
        ),
        Card::get(GROUP, GET_GROUP, |call| {
            check(call, "identity:get_endpoint_group_in_project", true)
        }),
        Card::put(GROUP, ADD_GROUP, |call| {
            add(call, "identity:add_endpoint_group_to_project", true)
        }),
        Card::delete(GROUP, REMOVE_GROUP, |call| {
            remove(call, "identity:remove_endpoint_group_from_project", true)
        }),
    ]
}

/// What the path names; what it names must exist.
fn named(call: &Call<Identity>, snapshot: &Snapshot, group: bool) -> Result<Association> {
    let project_id = call.param("project_id").to_owned();
    if !projects::exists(snapshot, &project_id) {
        return Err(words::not_found("project", &project_id));
    }
    Ok(Association { project_id, of: of(call, snapshot, group)?, group })
}

fn of(call: &Call<Identity>, snapshot: &Snapshot, group: bool) -> Result<String> {
    let (name, what) = match group {
        true => ("endpoint_group_id", "Endpoint Group"),
        false => ("endpoint_id", "endpoint"),
    };
    let id = call.param(name);
    let there = match group {
        true => snapshot.get::<EndpointGroup>(id).is_some(),
        false => snapshot.get::<Endpoint>(id).is_some(),
    };
    if there { Ok(id.to_owned()) } else { Err(words::not_found(what, id)) }
}

async fn check(call: Call<Identity>, policy: &str, group: bool) -> Result<Reply> {
    call.allow(policy, &own(&call))?;
    let snapshot = call.context.state().fresh().await?;
    let wanted = named(&call, &snapshot, group)?;
    if snapshot.get::<Association>(&wanted.id()).is_none() {
        return Err(not_associated(&wanted));
    }
    if !group {
        return Ok(Reply::empty(204));
    }
    let found = snapshot.get::<EndpointGroup>(&wanted.of);
    let found = found.ok_or_else(|| not_associated(&wanted))?;
    Ok(Reply::ok(endpoint_groups::member(&call, &found.id, &found)))
}

fn not_associated(wanted: &Association) -> base::Error {
    let what = if wanted.group { "Endpoint Group" } else { "endpoint" };
    words::not_found(what, &wanted.of)
}

async fn add(call: Call<Identity>, policy: &str, group: bool) -> Result<Reply> {
    call.allow(policy, &own(&call))?;
    let snapshot = call.context.state().fresh().await?;
    let wanted = named(&call, &snapshot, group)?;
    call.context
        .state()
        .transact("endpoint_filters::add", move |txn| associate(txn, &wanted))
        .await?;
    Ok(Reply::empty(204))
}

/// Associates. Doing it again changes nothing.
fn associate(txn: &mut Txn, wanted: &Association) -> Result<()> {
    if txn.alive::<Project>(&wanted.project_id)?.is_none() {
        return Err(words::not_found("project", &wanted.project_id));
    }
    let there = match wanted.group {
        true => txn.alive::<EndpointGroup>(&wanted.of)?.is_some(),
        false => txn.alive::<Endpoint>(&wanted.of)?.is_some(),
    };
    if !there {
        return Err(not_associated(wanted));
    }
    if txn.get::<Association>(&wanted.id())?.is_none() {
        txn.create(&wanted.id(), wanted.clone())?;
    }
    Ok(())
}

async fn remove(call: Call<Identity>, policy: &str, group: bool) -> Result<Reply> {
    call.allow(policy, &own(&call))?;
    let snapshot = call.context.state().fresh().await?;
    let wanted = named(&call, &snapshot, group)?;
    let missing = not_associated(&wanted);
    let gone = call
        .context
        .state()
        .transact("endpoint_filters::remove", move |txn| txn.delete::<Association>(&wanted.id()))
        .await?;
    if gone { Ok(Reply::empty(204)) } else { Err(missing) }
}

async fn list_projects(call: Call<Identity>, group: bool) -> Result<Reply> {
    let policy = match group {
        true => "identity:list_projects_associated_with_endpoint_group",
        false => "identity:list_projects_for_endpoint",
    };
    call.allow(policy, &own(&call))?;
    let snapshot = call.context.state().fresh().await?;
    let of = of(&call, &snapshot, group)?;
    let found = snapshot.by::<Association>("of", &of);
    let found = found.iter().filter_map(|a| snapshot.get::<Project>(&a.project_id));
    let items = found.map(|project| {
        let mut shown = projects::wire::show(&project.id, &project);
        manners::link(&call, "projects", &mut shown);
        shown
    });
    Ok(Reply::ok(manners::wrap(&call, "projects", items.collect(), None)))
}

fn checked_project(call: &Call<Identity>, snapshot: &Snapshot) -> Result<String> {
    let id = call.param("project_id");
    projects::find(snapshot, id).ok_or_else(|| words::not_found("project", id))?;
    Ok(id.to_owned())
}

async fn list_endpoints(call: Call<Identity>) -> Result<Reply> {
    call.allow("identity:list_endpoints_for_project", &own(&call))?;
    let snapshot = call.context.state().fresh().await?;
    let project = checked_project(&call, &snapshot)?;
    let items = endpoints_of(&snapshot, &project).into_iter().map(|endpoint| {
        let mut shown = endpoints::wire::show(&call.base_url, &endpoint.id, &endpoint);
        manners::link(&call, "endpoints", &mut shown);
        shown
    });
    Ok(Reply::ok(manners::wrap(&call, "endpoints", items.collect(), None)))
}

async fn list_groups(call: Call<Identity>) -> Result<Reply> {
    call.allow("identity:list_endpoint_groups_for_project", &own(&call))?;
    let snapshot = call.context.state().fresh().await?;
    let project = checked_project(&call, &snapshot)?;
    let found = snapshot.by::<Association>("project", &project);
    let found = found.iter().filter(|association| association.group);
    let found = found.filter_map(|a| snapshot.get::<EndpointGroup>(&a.of));
    let items: Vec<Value> =
        found.map(|group| endpoint_groups::linked(&call, &group.id, &group)).collect();
    let mut body = Map::new();
    body.insert("endpoint_groups".to_owned(), Value::Array(items));
    let links = json!({"self": manners::here(&call), "next": null, "previous": null});
    body.insert("links".to_owned(), links);
    Ok(Reply::ok(Value::Object(body)))
}
