//! Routes of flavors: parse, act, show.

use std::{cmp::Ordering, sync::Arc};

use base::{Error, Result};
use serde_json::{Value, json};
use state::{Entry, Snapshot};
use web::{
    Call, Card, Policy, Reply, Request, Target, v,
    validate::{self, Style},
};

use super::{actions, extra_specs, record::FlavorRecord, wire};
use crate::{
    Compute,
    paging::{self, Page},
    policies::{ADMIN, READER},
};

type Handled = Result<Reply>;
type Flavor = (Arc<str>, Arc<FlavorRecord>);

const SPECS_INDEX: (&str, &str) = ("os_compute_api:os-flavor-extra-specs:index", READER);

/// This room's routes.
pub(crate) fn cards() -> Vec<Card<Compute>> {
    let manage = |name| Policy::Rule(name, ADMIN);
    // Who sees extra specs is asked while showing.
    let seen = Policy::Checked(&[SPECS_INDEX]);
    vec![
        Card::get("/flavors", Policy::AnyToken, index),
        Card::get("/flavors/detail", seen, detail),
        Card::post("/flavors", manage("os_compute_api:os-flavor-manage:create"), create),
        Card::get("/flavors/{flavor_id}", seen, show),
        Card::put("/flavors/{flavor_id}", manage("os_compute_api:os-flavor-manage:update"), update)
            .since("2.55"),
        Card::delete(
            "/flavors/{flavor_id}",
            manage("os_compute_api:os-flavor-manage:delete"),
            delete,
        ),
        Card::post(
            "/flavors/{flavor_id}/action",
            Policy::Checked(&[
                ("os_compute_api:os-flavor-access:add_tenant_access", ADMIN),
                ("os_compute_api:os-flavor-access:remove_tenant_access", ADMIN),
            ]),
            action,
        ),
        Card::get(
            "/flavors/{flavor_id}/os-flavor-access",
            manage("os_compute_api:os-flavor-access"),
            access,
        ),
        Card::get(
            "/flavors/{flavor_id}/os-extra_specs",
            Policy::Rule(SPECS_INDEX.0, SPECS_INDEX.1),
            specs_index,
        ),
        Card::post(
            "/flavors/{flavor_id}/os-extra_specs",
            manage("os_compute_api:os-flavor-extra-specs:create"),
            specs_create,
        ),
        Card::get(
            "/flavors/{flavor_id}/os-extra_specs/{key}",
            Policy::Rule("os_compute_api:os-flavor-extra-specs:show", READER),
            specs_show,
        ),
        Card::put(
            "/flavors/{flavor_id}/os-extra_specs/{key}",
            manage("os_compute_api:os-flavor-extra-specs:update"),
            specs_update,
        ),
        Card::delete(
            "/flavors/{flavor_id}/os-extra_specs/{key}",
            manage("os_compute_api:os-flavor-extra-specs:delete"),
            specs_delete,
        ),
    ]
}

/// The flavor, if the actor may see it.
fn visible(call: &Request, snapshot: &Snapshot, id: &str) -> Result<Entry<FlavorRecord>> {
    snapshot
        .find::<FlavorRecord>(id)?
        .filter(|flavor| call.actor.is_admin || flavor.is_open_to(call.actor.project_id()))
        .ok_or_else(|| actions::not_found(id))
}

fn shows_extra_specs(call: &Request) -> bool {
    let allowed = call.allowed(SPECS_INDEX.0, &call.own());
    allowed && call.version >= v(2, 61)
}

async fn index(call: Call<Compute>) -> Handled {
    let (page, flavors) = list(&call).await?;
    let shown = flavors.iter().map(|(id, flavor)| wire::brief(&call, id, flavor)).collect();
    Ok(listed(&call, &page, "flavors", &flavors, shown))
}

async fn detail(call: Call<Compute>) -> Handled {
    let extra_specs = shows_extra_specs(&call);
    let (page, flavors) = list(&call).await?;
    let shown =
        flavors.iter().map(|(id, flavor)| wire::full(&call, id, flavor, extra_specs)).collect();
    Ok(listed(&call, &page, "flavors/detail", &flavors, shown))
}

fn listed(
    call: &Request,
    page: &Page,
    collection: &str,
    flavors: &[Flavor],
    shown: Vec<Value>,
) -> Reply {
    let mut body = json!({ "flavors": shown });
    let last = flavors.last().map(|(id, _)| &**id);
    if let Some(links) = paging::next(call, page, collection, flavors.len(), last) {
        body["flavors_links"] = links;
    }
    Reply::ok(body)
}

async fn list(call: &Call<Compute>) -> Result<(Page, Vec<Flavor>)> {
    validate::check_query(&wire::LIST, &call.query, call.version, Style::Nova)?;
    let page = Page::of(call, call.context.config.max_limit)?;
    let project = call.actor.project_id();
    // Some(true): public and own; Some(false): not public; None: all.
    let public = match call.query.get("is_public") {
        _ if !call.actor.is_admin => Some(true),
        None => Some(true),
        Some(text) if text.eq_ignore_ascii_case("none") => None,
        Some(text) => Some(
            validate::boolean_word(text)
                .ok_or_else(|| Error::bad_request(format!("Invalid is_public filter [{text}]")))?,
        ),
    };
    let least = |name: &str| match call.query.get(name) {
        None => Ok(i64::MIN),
        Some(text) => text
            .trim()
            .parse::<i64>()
            .map_err(|_| Error::bad_request(format!("Invalid {name} filter [{text}]"))),
    };
    let (ram, disk) = (least("minRam")?, least("minDisk")?);
    let at_least = |value: u64, least: i64| i64::try_from(value).unwrap_or(i64::MAX) >= least;
    let snapshot = call.context.state.fresh().await?;
    let mut flavors: Vec<Flavor> = snapshot
        .all::<FlavorRecord>()
        .filter(|flavor| match public {
            Some(true) => flavor.is_open_to(project),
            Some(false) => !flavor.is_public,
            None => true,
        })
        .filter(|flavor| at_least(flavor.ram, ram) && at_least(flavor.disk, disk))
        .map(|flavor| (flavor.id.clone(), flavor.record()))
        .collect();
    let key = call.query.get("sort_key").unwrap_or("flavorid");
    let descending = call.query.get("sort_dir") == Some("desc");
    flavors.sort_by(|a, b| {
        let order = compare(key, a, b);
        // Ties by id, always ascending.
        (if descending { order.reverse() } else { order }).then_with(|| a.0.cmp(&b.0))
    });
    let flavors = page.cut(flavors, |(id, _)| id)?;
    Ok((page, flavors))
}

fn compare(key: &str, (a_id, a): &Flavor, (b_id, b): &Flavor) -> Ordering {
    match key {
        "created_at" | "id" => a.created_at.cmp(&b.created_at),
        "updated_at" => a.updated_at.cmp(&b.updated_at),
        "description" => a.description.cmp(&b.description),
        "ephemeral_gb" => a.ephemeral.cmp(&b.ephemeral),
        "is_public" => a.is_public.cmp(&b.is_public),
        "memory_mb" => a.ram.cmp(&b.ram),
        "name" => a.name.cmp(&b.name),
        "root_gb" => a.disk.cmp(&b.disk),
        "rxtx_factor" => a.rxtx_factor.total_cmp(&b.rxtx_factor),
        "swap" => a.swap.cmp(&b.swap),
        "vcpus" => a.vcpus.cmp(&b.vcpus),
        "disabled" | "vcpu_weight" => Ordering::Equal,
        _ => a_id.cmp(b_id),
    }
}

async fn show(call: Call<Compute>) -> Handled {
    let extra_specs = shows_extra_specs(&call);
    let snapshot = call.context.state.fresh().await?;
    let id = call.param("flavor_id");
    let flavor = visible(&call, &snapshot, id)?;
    Ok(Reply::ok(json!({ "flavor": wire::full(&call, id, &flavor, extra_specs) })))
}

async fn create(call: Call<Compute>) -> Handled {
    let body = call.input(&wire::CREATE)?;
    let (asked, flavor) = wire::parse_create(&body, call.world.wall())?;
    let id = asked.unwrap_or_else(|| call.world.uuid().to_string());
    call.context
        .state
        .transact("flavors::create", |txn| actions::create(txn, &id, flavor.clone()))
        .await?;
    let extra_specs = shows_extra_specs(&call);
    Ok(Reply::ok(json!({ "flavor": wire::full(&call, &id, &flavor, extra_specs) })))
}

async fn update(call: Call<Compute>) -> Handled {
    let body = call.input(&wire::UPDATE)?;
    let description = body["flavor"]["description"].as_str();
    let id = call.param("flavor_id");
    let flavor = call
        .context
        .state
        .transact("flavors::describe", |txn| {
            actions::describe(txn, id, description.map(str::to_owned))
        })
        .await?;
    let extra_specs = shows_extra_specs(&call);
    Ok(Reply::ok(json!({ "flavor": wire::full(&call, id, &flavor, extra_specs) })))
}

async fn delete(call: Call<Compute>) -> Handled {
    let id = call.param("flavor_id");
    call.context.state.transact("flavors::delete", |txn| actions::delete(txn, id)).await?;
    Ok(Reply::empty(202))
}

async fn action(call: Call<Compute>) -> Handled {
    let id = call.param("flavor_id");
    let body = call.value()?;
    let state = &call.context.state;
    let flavor = if body.get("addTenantAccess").is_some() {
        call.allow("os_compute_api:os-flavor-access:add_tenant_access", &Target::new())?;
        let body = call.input(&wire::ADD_ACCESS)?;
        let tenant = body["addTenantAccess"]["tenant"].as_str().unwrap_or_default();
        let refuse_public = call.version >= v(2, 7);
        let snapshot = state.fresh().await?;
        visible(&call, &snapshot, id)?;
        if !crate::around::project_exists(&snapshot, tenant) {
            return Err(Error::bad_request(format!("Project ID {tenant} is not a valid project.")));
        }
        state
            .transact("flavors::add_access", |txn| {
                actions::add_access(txn, id, tenant, refuse_public)
            })
            .await?
    } else if body.get("removeTenantAccess").is_some() {
        call.allow("os_compute_api:os-flavor-access:remove_tenant_access", &Target::new())?;
        let body = call.input(&wire::REMOVE_ACCESS)?;
        let tenant = body["removeTenantAccess"]["tenant"].as_str().unwrap_or_default();
        state
            .transact("flavors::remove_access", |txn| actions::remove_access(txn, id, tenant))
            .await?
    } else {
        // Refused alike, whoever asks.
        call.allow("os_compute_api:os-flavor-access:add_tenant_access", &Target::new())?;
        return Err(crate::servers::no_such_action(&body));
    };
    Ok(Reply::ok(wire::access(id, &flavor)))
}

async fn access(call: Call<Compute>) -> Handled {
    let snapshot = call.context.state.fresh().await?;
    let id = call.param("flavor_id");
    let flavor = visible(&call, &snapshot, id)?;
    if flavor.is_public {
        return Err(Error::not_found("Access list not available for public flavors."));
    }
    Ok(Reply::ok(wire::access(id, &flavor)))
}

async fn specs_index(call: Call<Compute>) -> Handled {
    let snapshot = call.context.state.fresh().await?;
    let flavor = visible(&call, &snapshot, call.param("flavor_id"))?;
    Ok(Reply::ok(json!({ "extra_specs": flavor.extra_specs })))
}

async fn specs_show(call: Call<Compute>) -> Handled {
    let snapshot = call.context.state.fresh().await?;
    let (id, key) = (call.param("flavor_id"), call.param("key"));
    let flavor = visible(&call, &snapshot, id)?;
    let value = flavor.extra_specs.get(key).ok_or_else(|| actions::no_extra_spec(id, key))?;
    Ok(Reply::ok(json!({ key: value })))
}

async fn specs_create(call: Call<Compute>) -> Handled {
    let body = call.input(&wire::SET_EXTRA_SPECS)?;
    set_specs(&call, &body["extra_specs"]).await?;
    Ok(Reply::ok(body))
}

async fn specs_update(call: Call<Compute>) -> Handled {
    let body = call.input(&wire::SET_EXTRA_SPEC)?;
    if body.get(call.param("key")).is_none() {
        return Err(Error::bad_request("Request body and URI mismatch"));
    }
    set_specs(&call, &body).await?;
    Ok(Reply::ok(body))
}

async fn set_specs(call: &Call<Compute>, specs: &Value) -> Result<()> {
    let specs = wire::parse_extra_specs(specs)?;
    if call.version >= v(2, 86) {
        for (name, value) in &specs {
            extra_specs::check(name, value)?;
        }
    }
    let id = call.param("flavor_id");
    call.context
        .state
        .transact("flavors::set_extra_specs", |txn| {
            actions::set_extra_specs(txn, id, specs.clone())
        })
        .await?;
    Ok(())
}

async fn specs_delete(call: Call<Compute>) -> Handled {
    let (id, key) = (call.param("flavor_id"), call.param("key"));
    call.context
        .state
        .transact("flavors::delete_extra_spec", |txn| actions::delete_extra_spec(txn, id, key))
        .await?;
    Ok(Reply::empty(200))
}
