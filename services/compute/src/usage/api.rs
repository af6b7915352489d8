//! Routes of usage.

use std::sync::Arc;

use base::{Error, Result, Timestamp};
use serde_json::{Value, json};
use state::Snapshot;
use web::{
    Call, Card, Policy, Reply, Request, Target, v,
    validate::{self, Schema, Style, prop},
};

use super::count::{self, Period, Used};
use crate::{
    Compute,
    paging::{self, Page},
    policies::{ADMIN, READER},
    servers::{DeletedServer, ServerRecord},
};

const COLLECTION: &str = "os-simple-tenant-usage";
const SHOW: (&str, &str) = ("os_compute_api:os-simple-tenant-usage:show", READER);

const LIST_QUERY: Schema = Schema::object(&[
    prop("start", Schema::string()),
    prop("end", Schema::string()),
    prop("detailed", Schema::string()),
    prop("limit", Schema::number_or_text()).since("2.40"),
    prop("marker", Schema::string()).since("2.40"),
])
.open_until(v(2, 75));
const SHOW_QUERY: Schema = Schema::object(&[
    prop("start", Schema::string()),
    prop("end", Schema::string()),
    prop("limit", Schema::number_or_text()).since("2.40"),
    prop("marker", Schema::string()).since("2.40"),
])
.open_until(v(2, 75));

/// This room's routes.
pub(crate) fn cards() -> Vec<Card<Compute>> {
    vec![
        Card::get(
            "/os-simple-tenant-usage",
            Policy::Rule("os_compute_api:os-simple-tenant-usage:list", ADMIN),
            index,
        ),
        Card::get("/os-simple-tenant-usage/{project}", Policy::Checked(&[SHOW]), show),
    ]
}

/// The time that is asked about, not beyond now.
fn period(call: &Request, now: Timestamp) -> Result<Period> {
    let time = |name: &str| match call.query.all(name).next().filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => parse_time(text).map(Some).ok_or_else(|| {
            Error::bad_request("Invalid datetime string: Datetime is in invalid format")
        }),
    };
    let stop = time("end")?.unwrap_or(now);
    // Without a start there is nothing to count, but nothing wrong either.
    let start =
        time("start")?.unwrap_or_else(|| Timestamp::from_micros(now.micros().saturating_sub(1)));
    if start >= stop {
        return Err(Error::bad_request(
            "Invalid start time. The start time cannot occur after the end time.",
        ));
    }
    Ok(Period { start, stop: stop.min(now) })
}

/// The three forms that Nova takes; none of them has a zone.
fn parse_time(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_at_checked(10)?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let date_fits = date.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let (separator, clock) = time.split_at_checked(1)?;
    let (clock, fraction) = match clock.split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (clock, None),
    };
    let clock_fits = clock.len() == 8
        && clock.bytes().enumerate().all(|(at, byte)| match at {
            2 | 5 => byte == b':',
            _ => byte.is_ascii_digit(),
        });
    let fraction_fits = match (separator, fraction) {
        ("T", None) => true,
        ("T" | " ", Some(fraction)) => (1..=6).contains(&fraction.len()) && digits(fraction),
        _ => false,
    };
    (date_fits && clock_fits && fraction_fits).then(|| Timestamp::parse(text)).flatten()
}

/// Servers that ran within the time, of one project or of all, by project and id.
fn servers(
    snapshot: &Snapshot,
    period: &Period,
    project: Option<&str>,
) -> Vec<(Arc<str>, Arc<ServerRecord>)> {
    let counted = |server: &ServerRecord| {
        project.is_none_or(|project| server.project_id == project) && period.holds(server)
    };
    let living = snapshot
        .all::<ServerRecord>()
        .filter(|server| counted(server))
        .map(|server| (server.id.clone(), server.record()));
    let dead = snapshot
        .all::<DeletedServer>()
        .filter(|server| counted(&server.0))
        .map(|server| (server.id.clone(), Arc::new(server.0.clone())));
    let mut all: Vec<_> = living.chain(dead).collect();
    all.sort_by(|(a_id, a), (b_id, b)| (&a.project_id, a_id).cmp(&(&b.project_id, b_id)));
    all
}

/// Servers with their ids.
type Servers = Vec<(Arc<str>, Arc<ServerRecord>)>;

/// One page of them; before 2.40 there are no pages.
fn page(
    call: &Call<Compute>,
    servers: Servers,
    collection: &str,
) -> Result<(Servers, Option<Value>)> {
    if call.version < v(2, 40) {
        return Ok((servers, None));
    }
    let page = Page::of(call, call.context.config.max_limit)?;
    let servers = page.cut(servers, |(id, _)| id).map_err(|_| {
        let marker = page.marker.as_deref().unwrap_or_default();
        Error::bad_request(format!("Marker {marker} could not be found."))
    })?;
    let last = servers.last().map(|(id, _)| &**id);
    let links = paging::next(call, &page, collection, servers.len(), last);
    Ok((servers, links))
}

async fn index(call: Call<Compute>) -> Result<Reply> {
    if call.path.ends_with('/') {
        // A project without an id, not the list.
        return Err(Error::not_found("The resource could not be found."));
    }
    validate::check_query(&LIST_QUERY, &call.query, call.version, Style::Nova)?;
    let now = call.world.wall();
    let period = period(&call, now)?;
    let detailed = call.query.all("detailed").next() == Some("1");
    let snapshot = call.context.state.fresh().await?;
    let (servers, links) = page(&call, servers(&snapshot, &period, None), COLLECTION)?;
    let usages: Vec<_> = servers
        .chunk_by(|(_, a), (_, b)| a.project_id == b.project_id)
        .filter_map(|of_project| {
            let (_, first) = of_project.first()?;
            Some(count::project(&period, &first.project_id, &used(of_project), detailed, now))
        })
        .collect();
    let mut body = json!({"tenant_usages": usages});
    if let Some(links) = links {
        body["tenant_usages_links"] = links;
    }
    Ok(Reply::ok(body))
}

fn used(servers: &[(Arc<str>, Arc<ServerRecord>)]) -> Vec<Used<'_>> {
    servers.iter().map(|(id, server)| Used { id, server }).collect()
}

async fn show(call: Call<Compute>) -> Result<Reply> {
    validate::check_query(&SHOW_QUERY, &call.query, call.version, Style::Nova)?;
    let project = call.param("project");
    call.allow(SHOW.0, &Target::project(project))?;
    let now = call.world.wall();
    let period = period(&call, now)?;
    let snapshot = call.context.state.fresh().await?;
    let of_project = servers(&snapshot, &period, Some(project));
    let (servers, links) = page(&call, of_project, &format!("{COLLECTION}/{project}"))?;
    let usage = match servers.is_empty() {
        true => json!({}),
        false => count::project(&period, project, &used(&servers), true, now),
    };
    let mut body = json!({"tenant_usage": usage});
    if let Some(links) = links {
        body["tenant_usage_links"] = links;
    }
    Ok(Reply::ok(body))
}
