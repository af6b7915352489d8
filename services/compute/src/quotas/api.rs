//! Routes of quota sets and quota classes: parse, act, show.

use base::{Error, Result};
use state::Snapshot;
use web::{
    Call, Card, Policy, Reply, Target,
    validate::{self, Style},
};

use super::{
    QuotaClassRecord, UsageRecord, actions,
    record::{Limits, user_usage_id},
    wire,
};
use crate::{
    Compute, around,
    policies::{ADMIN, ANY, READER},
};

const SHOW: (&str, &str) = ("os_compute_api:os-quota-sets:show", READER);
const DETAIL: (&str, &str) = ("os_compute_api:os-quota-sets:detail", READER);

/// This room's routes.
pub(crate) fn cards() -> Vec<Card<Compute>> {
    const ONE: &str = "/os-quota-sets/{project}";
    const CLASS: &str = "/os-quota-class-sets/{class}";
    vec![
        Card::get(ONE, Policy::Checked(&[SHOW]), show),
        Card::get("/os-quota-sets/{project}/detail", Policy::Checked(&[DETAIL]), detail),
        Card::get(
            "/os-quota-sets/{project}/defaults",
            Policy::Rule("os_compute_api:os-quota-sets:defaults", ANY),
            defaults,
        ),
        Card::put(ONE, Policy::Rule("os_compute_api:os-quota-sets:update", ADMIN), update),
        Card::delete(ONE, Policy::Rule("os_compute_api:os-quota-sets:delete", ADMIN), delete),
        Card::get(
            CLASS,
            Policy::Rule("os_compute_api:os-quota-class-sets:show", ADMIN),
            show_class,
        ),
        Card::put(
            CLASS,
            Policy::Rule("os_compute_api:os-quota-class-sets:update", ADMIN),
            update_class,
        ),
    ]
}

fn check_query(call: &Call<Compute>) -> Result<()> {
    validate::check_query(&wire::QUERY, &call.query, call.version, Style::Nova)
}

/// The user of the query; of several, the first counts.
fn user(call: &Call<Compute>) -> Option<&str> {
    call.query.all("user_id").next().filter(|user| !user.is_empty())
}

fn check_project(snapshot: &Snapshot, id: &str) -> Result<()> {
    if around::project_exists(snapshot, id) {
        return Ok(());
    }
    Err(Error::bad_request(format!("Project ID {id} is not a valid project.")))
}

/// The limits of the path's project.
async fn asked(call: &Call<Compute>) -> Result<(Snapshot, Limits)> {
    let project = call.param("project");
    let snapshot = call.context.state.fresh().await?;
    check_project(&snapshot, project)?;
    let limits = Limits::seen(&snapshot, project)?;
    Ok((snapshot, limits))
}

async fn show(call: Call<Compute>) -> Result<Reply> {
    check_query(&call)?;
    let project = call.param("project");
    call.allow(SHOW.0, &Target::project(project))?;
    let (_, limits) = asked(&call).await?;
    let limit = wire::limits(&limits, user(&call));
    Ok(Reply::ok(wire::set(call.version, Some(project), limit)))
}

async fn detail(call: Call<Compute>) -> Result<Reply> {
    check_query(&call)?;
    let project = call.param("project");
    call.allow(DETAIL.0, &Target::project(project))?;
    let (snapshot, limits) = asked(&call).await?;
    let id = match user(&call) {
        Some(user) => user_usage_id(project, user),
        None => project.to_owned(),
    };
    let used = snapshot.find::<UsageRecord>(&id)?.map(|used| *used).unwrap_or_default();
    let limit = wire::limits(&limits, user(&call));
    Ok(Reply::ok(wire::detail(call.version, project, limit, &used)))
}

async fn defaults(call: Call<Compute>) -> Result<Reply> {
    let (_, limits) = asked(&call).await?;
    let limit = |resource| limits.default(resource);
    Ok(Reply::ok(wire::set(call.version, Some(call.param("project")), limit)))
}

async fn update(call: Call<Compute>) -> Result<Reply> {
    let body = call.input(&wire::UPDATE)?;
    check_query(&call)?;
    let project = call.param("project");
    let state = &call.context.state;
    check_project(&state.fresh().await?, project)?;
    let set = wire::parse(&body["quota_set"]);
    let force = validate::boolean(&body["quota_set"]["force"]).unwrap_or(false);
    let user = user(&call);
    let limits = state
        .transact("quotas::update", |txn| actions::set(txn, project, user, &set, force))
        .await?;
    Ok(Reply::ok(wire::set(call.version, None, wire::limits(&limits, user))))
}

async fn delete(call: Call<Compute>) -> Result<Reply> {
    check_query(&call)?;
    let (project, user) = (call.param("project"), user(&call));
    call.context.state.transact("quotas::delete", |txn| actions::unset(txn, project, user)).await?;
    Ok(Reply::empty(202))
}

async fn show_class(call: Call<Compute>) -> Result<Reply> {
    let class = call.param("class");
    let found = call.context.state.fresh().await?.find::<QuotaClassRecord>(class)?;
    let limits = found.map(|class| class.limits.clone()).unwrap_or_default();
    Ok(Reply::ok(wire::class(call.version, Some(class), &limits)))
}

async fn update_class(call: Call<Compute>) -> Result<Reply> {
    let body = call.input(&wire::UPDATE_CLASS)?;
    let class = call.param("class");
    let length = class.chars().count();
    if length > 255 {
        return Err(Error::bad_request(format!(
            "Invalid input received: quota_class_name has {length} characters, more than 255."
        )));
    }
    let set = wire::parse(&body["quota_class_set"]);
    let limits = call
        .context
        .state
        .transact("quotas::update_class", |txn| actions::set_class(txn, class, &set))
        .await?;
    Ok(Reply::ok(wire::class(call.version, None, &limits)))
}
