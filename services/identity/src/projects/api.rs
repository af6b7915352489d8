//! `/projects` and `/projects/{project_id}/tags`.

use base::{Error, Kind, Result};
use serde_json::{Map, Value, json};
use state::{Entry, Snapshot};
use web::{Call, Card, Policy, Reply, Target};

use super::{actions, record::Project, wire};
use crate::{
    Identity,
    assignments::effective,
    manners::{self, flag, inner, is_true},
    rules::{checked, own},
    words,
};

const GET_RULE: &str = "rule:admin_or_system_reader or \
    (role:reader and domain_id:%(target.project.domain_id)s) or project_id:%(target.project.id)s";
const CHANGE_RULE: &str =
    "rule:admin_required or (role:manager and domain_id:%(target.project.domain_id)s)";
const GET: Policy = checked(&[("identity:get_project", GET_RULE)]);
const LIST: Policy = checked(&[(
    "identity:list_projects",
    "rule:admin_or_system_reader or (role:reader and domain_id:%(target.domain_id)s)",
)]);
const CREATE: Policy = checked(&[("identity:create_project", CHANGE_RULE)]);
const UPDATE: Policy = checked(&[("identity:update_project", CHANGE_RULE)]);
const DELETE: Policy = checked(&[("identity:delete_project", CHANGE_RULE)]);
const LIST_TAGS: Policy = checked(&[("identity:list_project_tags", GET_RULE)]);
const GET_TAG: Policy = checked(&[("identity:get_project_tag", GET_RULE)]);
const UPDATE_TAGS: Policy = checked(&[("identity:update_project_tags", CHANGE_RULE)]);
const CREATE_TAG: Policy = checked(&[("identity:create_project_tag", CHANGE_RULE)]);
const DELETE_TAGS: Policy = checked(&[("identity:delete_project_tags", CHANGE_RULE)]);
const DELETE_TAG: Policy = checked(&[("identity:delete_project_tag", CHANGE_RULE)]);

pub(crate) fn cards() -> Vec<Card<Identity>> {
    vec![
        Card::get("/projects", LIST, list),
        Card::post("/projects", CREATE, create),
        Card::get("/projects/{project_id}", GET, show),
        Card::patch("/projects/{project_id}", UPDATE, update),
        Card::delete("/projects/{project_id}", DELETE, delete),
        Card::get("/projects/{project_id}/tags", LIST_TAGS, list_tags),
        Card::put("/projects/{project_id}/tags", UPDATE_TAGS, set_tags),
        Card::delete("/projects/{project_id}/tags", DELETE_TAGS, clear_tags),
        Card::get("/projects/{project_id}/tags/{tag}", GET_TAG, show_tag),
        Card::put("/projects/{project_id}/tags/{tag}", CREATE_TAG, add_tag),
        Card::delete("/projects/{project_id}/tags/{tag}", DELETE_TAG, remove_tag),
    ]
}

fn target<'t>(call: &'t Call<Identity>, id: &'t str, project: Option<&'t Project>) -> Target<'t> {
    own(call)
        .with("target.project.id", id)
        .with_some("target.project.domain_id", project.and_then(|p| p.domain_id.as_deref()))
}

/// The project in the path, if the actor may do this to it.
async fn allowed(call: &Call<Identity>, policy: &str) -> Result<(Snapshot, Entry<Project>)> {
    let snapshot = call.context.state().fresh().await?;
    let id = call.param("project_id");
    let project = snapshot.find::<Project>(id)?;
    call.allow(policy, &target(call, id, project.as_deref()))?;
    let project = project.ok_or_else(|| words::not_found("project", id))?;
    Ok((snapshot, project))
}

async fn list(call: Call<Identity>) -> Result<Reply> {
    let scope = call.actor.domain.as_ref().map(|domain| domain.id.clone());
    call.allow(
        "identity:list_projects",
        &own(&call).with_some("target.domain_id", scope.as_deref()),
    )?;
    let snapshot = call.context.state().fresh().await?;
    let wants_domains = call.query.get("is_domain").is_some_and(is_true);
    let tags = TagFilter::of(&call);
    let found = narrow(&call, &snapshot).into_iter().filter(|project| {
        project.is_domain() == wants_domains
            && scope.as_ref().is_none_or(|id| project.domain_id.as_ref() == Some(id))
            && tags.fits(project)
    });
    let items: Vec<Value> = found.map(|p| wire::show(&p.id, &p)).collect();
    manners::list(&call, "projects", items, &["name", "domain_id", "enabled", "parent_id"])
}

/// The projects that an index gives for the query; the filters then look at each.
fn narrow(call: &Call<Identity>, snapshot: &Snapshot) -> Vec<Entry<Project>> {
    for (name, index) in [("name", "name"), ("parent_id", "parent"), ("domain_id", "domain")] {
        if let Some(value) = call.query.get(name).filter(|value| !value.is_empty()) {
            return snapshot.by::<Project>(index, value);
        }
    }
    snapshot.all::<Project>().collect()
}

/// `tags`, `tags-any`, `not-tags`, `not-tags-any`: comma separated.
struct TagFilter {
    all: Vec<String>,
    any: Vec<String>,
    not_all: Vec<String>,
    not_any: Vec<String>,
}

impl TagFilter {
    fn of(call: &Call<Identity>) -> TagFilter {
        let tags = |name: &str| {
            let text = call.query.get(name).unwrap_or_default();
            text.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
        };
        TagFilter {
            all: tags("tags"),
            any: tags("tags-any"),
            not_all: tags("not-tags"),
            not_any: tags("not-tags-any"),
        }
    }

    fn fits(&self, project: &Project) -> bool {
        let has = |tag: &String| project.tags.contains(tag);
        self.all.iter().all(has)
            && (self.any.is_empty() || self.any.iter().any(has))
            && (self.not_all.is_empty() || !self.not_all.iter().all(has))
            && !self.not_any.iter().any(has)
    }
}

async fn create(call: Call<Identity>) -> Result<Reply> {
    let body = inner(call.input(&wire::CREATE)?, "project");
    let project = wire::parse(body, crate::DEFAULT_DOMAIN)?;
    let id = call.world.hex_id();
    call.allow("identity:create_project", &target(&call, &id, Some(&project)))?;
    let identity = &call.context;
    let config = identity.config().clone();
    let (new_id, new) = (id.clone(), project.clone());
    identity
        .state()
        .transact("projects::create", move |txn| {
            actions::create(txn, &config, &new_id, new.clone())
        })
        .await?;
    let shown = wire::show(&id, &project);
    Ok(Reply::json(201, manners::member(&call, "projects", "project", shown)))
}

async fn show(call: Call<Identity>) -> Result<Reply> {
    let (snapshot, project) = allowed(&call, "identity:get_project").await?;
    let mut shown = wire::show(&project.id, &project);
    expand(&call, &snapshot, &project, &mut shown)?;
    Ok(Reply::ok(manners::member(&call, "projects", "project", shown)))
}

/// `parents_as_list`, `parents_as_ids`, `subtree_as_list`, `subtree_as_ids`.
fn expand(
    call: &Call<Identity>,
    snapshot: &Snapshot,
    project: &Entry<Project>,
    shown: &mut Value,
) -> Result<()> {
    let asked = |name: &str| flag(&call.query, name);
    for family in ["parents", "subtree"] {
        if asked(&format!("{family}_as_list")) && asked(&format!("{family}_as_ids")) {
            return Err(Error::bad_request(format!(
                "Cannot use {family}_as_list and {family}_as_ids query params at the same time."
            )));
        }
    }
    let mine = |found: Vec<Entry<Project>>| {
        let own = effective::projects_of(snapshot, &call.actor.user_id);
        let members = found
            .into_iter()
            .filter(|p| own.iter().any(|o| o.id == p.id))
            .map(|p| manners::member(call, "projects", "project", wire::show(&p.id, &p)));
        Value::Array(members.collect())
    };
    if asked("parents_as_list") {
        shown["parents"] = mine(effective::above(snapshot, project));
    } else if asked("parents_as_ids") {
        let above = effective::above(snapshot, project);
        let ids = above.iter().rev().fold(Value::Null, |inner, parent| {
            Value::Object(Map::from_iter([(parent.id.to_string(), inner)]))
        });
        shown["parents"] = ids;
    }
    if asked("subtree_as_list") {
        shown["subtree"] = mine(effective::below(snapshot, &project.id));
    } else if asked("subtree_as_ids") {
        shown["subtree"] = subtree_ids(snapshot, &project.id);
    }
    Ok(())
}

fn subtree_ids(snapshot: &Snapshot, id: &str) -> Value {
    let children = snapshot.by::<Project>("parent", id);
    if children.is_empty() {
        return Value::Null;
    }
    let pairs = children.iter().map(|c| (c.id.to_string(), subtree_ids(snapshot, &c.id)));
    Value::Object(pairs.collect())
}

async fn update(call: Call<Identity>) -> Result<Reply> {
    let (_, project) = allowed(&call, "identity:update_project").await?;
    let mut body = inner(call.input(&wire::UPDATE)?, "project");
    manners::same_id(&mut body, &project.id)?;
    check_fixed(&mut body, &project)?;
    let change = wire::parse_change(body);
    let shown = change_project(&call, &project.id, change).await?;
    Ok(Reply::ok(manners::member(&call, "projects", "project", shown)))
}

/// Where a project stands never changes.
fn check_fixed(body: &mut Map<String, Value>, project: &Project) -> Result<()> {
    if let Some(parent) = body.shift_remove("parent_id")
        && parent.as_str() != project.parent_id.as_deref()
    {
        return Err(Error::new(Kind::Forbidden, "Update of `parent_id` is not allowed."));
    }
    if let Some(is_domain) = body.shift_remove("is_domain")
        && is_domain != project.is_domain()
    {
        return Err(Error::bad_request("Update of `is_domain` is not allowed."));
    }
    if let Some(domain) = body.shift_remove("domain_id")
        && domain.as_str() != project.domain_id.as_deref()
    {
        return Err(Error::bad_request("Cannot change Domain ID"));
    }
    Ok(())
}

async fn change_project(call: &Call<Identity>, id: &str, change: actions::Change) -> Result<Value> {
    let identity = &call.context;
    let config = identity.config().clone();
    let owned = id.to_owned();
    let changed = identity
        .state()
        .transact("projects::update", move |txn| {
            actions::update(txn, &config, &owned, change.clone())
        })
        .await?;
    let changed = changed.ok_or_else(|| words::not_found("project", id))?;
    Ok(wire::show(id, &changed))
}

async fn delete(call: Call<Identity>) -> Result<Reply> {
    let (_, project) = allowed(&call, "identity:delete_project").await?;
    let id = project.id.to_string();
    let identity = &call.context;
    let owned = id.clone();
    let gone = identity
        .state()
        .transact("projects::delete", move |txn| actions::delete(txn, &owned))
        .await?;
    let kind = gone.ok_or_else(|| words::not_found("project", &id))?;
    identity.purge(kind, &id).await;
    Ok(Reply::empty(204))
}

fn tags_body(call: &Call<Identity>, tags: &[String]) -> Value {
    json!({"links": {"self": manners::here(call)}, "tags": tags})
}

async fn list_tags(call: Call<Identity>) -> Result<Reply> {
    let (_, project) = allowed(&call, "identity:list_project_tags").await?;
    Ok(Reply::ok(tags_body(&call, &project.tags)))
}

async fn set_tags(call: Call<Identity>) -> Result<Reply> {
    let (_, project) = allowed(&call, "identity:update_project_tags").await?;
    let mut body = call.input(&wire::SET_TAGS)?;
    let tags: Vec<String> = serde_json::from_value(body["tags"].take())
        .map_err(|_| words::expecting("tags", "request body"))?;
    let change = actions::Change { tags: Some(tags.clone()), ..Default::default() };
    change_project(&call, &project.id, change).await?;
    Ok(Reply::ok(tags_body(&call, &tags)))
}

async fn clear_tags(call: Call<Identity>) -> Result<Reply> {
    let (_, project) = allowed(&call, "identity:delete_project_tags").await?;
    let change = actions::Change { tags: Some(Vec::new()), ..Default::default() };
    change_project(&call, &project.id, change).await?;
    Ok(Reply::empty(204))
}

async fn show_tag(call: Call<Identity>) -> Result<Reply> {
    let (_, project) = allowed(&call, "identity:get_project_tag").await?;
    let tag = call.param("tag");
    if !project.tags.iter().any(|has| has == tag) {
        return Err(words::not_found("project tag", tag));
    }
    Ok(Reply::empty(204))
}

async fn add_tag(call: Call<Identity>) -> Result<Reply> {
    let (_, project) = allowed(&call, "identity:create_project_tag").await?;
    let tag = call.param("tag").to_owned();
    let id = project.id.to_string();
    call.context
        .state()
        .transact("projects::add_tag", move |txn| {
            let done = txn.update::<Project, ()>(&id, |project| {
                if project.immutable() {
                    return Err(words::immutable_update("project", &id));
                }
                if !project.tags.contains(&tag) {
                    project.tags.push(tag.clone());
                }
                check_tags(&project.tags)
            })?;
            done.ok_or_else(|| words::not_found("project", &id))
        })
        .await?;
    let here = manners::here(&call);
    Ok(Reply::empty(201).header("location", here))
}

fn check_tags(tags: &[String]) -> Result<()> {
    let body = json!({"tags": tags});
    web::validate::check(
        &wire::SET_TAGS,
        &body,
        web::Microversion::default(),
        web::validate::Style::Keystone,
    )
}

async fn remove_tag(call: Call<Identity>) -> Result<Reply> {
    let (_, project) = allowed(&call, "identity:delete_project_tag").await?;
    let tag = call.param("tag").to_owned();
    let id = project.id.to_string();
    call.context
        .state()
        .transact("projects::remove_tag", move |txn| {
            let done = txn.update::<Project, ()>(&id, |project| {
                if project.immutable() {
                    return Err(words::immutable_update("project", &id));
                }
                let before = project.tags.len();
                project.tags.retain(|has| *has != tag);
                if project.tags.len() == before {
                    return Err(words::not_found("project tag", &tag));
                }
                Ok(())
            })?;
            done.ok_or_else(|| words::not_found("project", &id))
        })
        .await?;
    Ok(Reply::empty(204))
}
