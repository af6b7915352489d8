//! `/os-hypervisors`

use base::{Error, Result};
use serde_json::{Value, json};
use web::{
    Call, Card, Policy, Reply, Schema, v,
    validate::{self, Style, prop},
};

use super::{
    find::{self, Node, id_of},
    wire::{self, Form, Servers, show, statistics},
};
use crate::{
    Compute,
    paging::{self, Page},
    policies::ADMIN,
};

type Handled = Result<Reply>;

const LIMIT: Schema = Schema::number_or_text();
const HOST: Schema = Schema::string().len(1, 255).pattern("^[a-zA-Z0-9-._]*$");
/// From 2.33 on there are pages; from 2.53 on other parameters are refused.
const LIST: Schema = Schema::object(&[
    prop("limit", LIMIT).single().since("2.33"),
    prop("marker", Schema::string()).single().since("2.33"),
    prop("hypervisor_hostname_pattern", HOST).single().since("2.53"),
    prop("with_servers", Schema::boolean_or_text()).single().since("2.53"),
])
.open_until(v(2, 53));
const SHOW: Schema =
    Schema::object(&[prop("with_servers", Schema::boolean_or_text()).single().since("2.53")])
        .open_until(v(2, 53));

/// This room's routes.
pub(crate) fn cards() -> Vec<Card<Compute>> {
    const ONE: &str = "/os-hypervisors/{hypervisor_id}";
    let rule = |name| Policy::Rule(name, ADMIN);
    vec![
        Card::get("/os-hypervisors", rule("os_compute_api:os-hypervisors:list"), brief),
        Card::get(
            "/os-hypervisors/detail",
            rule("os_compute_api:os-hypervisors:list-detail"),
            detail,
        ),
        Card::get(
            "/os-hypervisors/statistics",
            rule("os_compute_api:os-hypervisors:statistics"),
            sums,
        )
        .until("2.87"),
        Card::get(ONE, rule("os_compute_api:os-hypervisors:show"), one),
        Card::get(
            "/os-hypervisors/{hypervisor_id}/uptime",
            rule("os_compute_api:os-hypervisors:uptime"),
            uptime,
        )
        .until("2.87"),
        Card::get(
            "/os-hypervisors/{hypervisor_id}/search",
            rule("os_compute_api:os-hypervisors:search"),
            search,
        )
        .until("2.52"),
        Card::get(
            "/os-hypervisors/{hypervisor_id}/servers",
            rule("os_compute_api:os-hypervisors:servers"),
            servers,
        )
        .until("2.52"),
    ]
}

/// Whether the request wants to see servers (from 2.53 on).
fn wants_servers(call: &Call<Compute>) -> Servers {
    let asked = call.query.get("with_servers").and_then(validate::boolean_word);
    match call.version >= v(2, 53) && asked == Some(true) {
        true => Servers::Shown,
        false => Servers::Hidden,
    }
}

async fn brief(call: Call<Compute>) -> Handled {
    list(call, "os-hypervisors", Form::Brief).await
}

async fn detail(call: Call<Compute>) -> Handled {
    list(call, "os-hypervisors/detail", Form::Full).await
}

async fn list(call: Call<Compute>, collection: &str, form: Form) -> Handled {
    validate::check_query(&LIST, &call.query, call.version, Style::Nova)?;
    let snapshot = call.context.state.fresh().await?;
    let pattern = match call.version >= v(2, 53) {
        true => call.query.get("hypervisor_hostname_pattern"),
        false => None,
    };
    let mut links = None;
    let nodes: Vec<Node> = match pattern {
        Some(_) if call.query.has("limit") || call.query.has("marker") => {
            return Err(Error::bad_request(
                "Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not \
                 supported.",
            ));
        }
        Some(pattern) => find::matching(&call, &snapshot, pattern)?,
        None if call.version >= v(2, 33) => {
            let page = Page::of(&call, call.context.config.max_limit)?;
            let all = find::all(&call, &snapshot).into_iter();
            let all: Vec<(String, Node)> = all.map(|node| (id_of(&call, &node), node)).collect();
            let cut = page.cut(all, |(id, _)| id)?;
            let last = cut.last().map(|(id, _)| id.as_str());
            links = paging::next(&call, &page, collection, cut.len(), last);
            cut.into_iter().map(|(_, node)| node).collect()
        }
        None => find::all(&call, &snapshot),
    };
    let servers = wants_servers(&call);
    let shown: Vec<Value> = nodes
        .iter()
        .map(|node| show(&call.context, &call, &snapshot, node, form, servers))
        .collect();
    let mut body = json!({"hypervisors": shown});
    if let Some(links) = links {
        body["hypervisors_links"] = links;
    }
    Ok(Reply::ok(body))
}

async fn one(call: Call<Compute>) -> Handled {
    validate::check_query(&SHOW, &call.query, call.version, Style::Nova)?;
    let snapshot = call.context.state.fresh().await?;
    let node = find::by_id(&call, &snapshot, call.param("hypervisor_id"))?;
    let servers = wants_servers(&call);
    let shown = show(&call.context, &call, &snapshot, &node, Form::Full, servers);
    Ok(Reply::ok(json!({"hypervisor": shown})))
}

async fn uptime(call: Call<Compute>) -> Handled {
    let snapshot = call.context.state.fresh().await?;
    let node = find::by_id(&call, &snapshot, call.param("hypervisor_id"))?;
    let Some(uptime) = wire::uptime(call.world.wall(), &node) else {
        return Err(Error::bad_request(format!(
            "Compute service of {} is unavailable at this time.",
            node.id
        )));
    };
    let mut shown = show(&call.context, &call, &snapshot, &node, Form::Brief, Servers::Hidden);
    shown["uptime"] = uptime.into();
    Ok(Reply::ok(json!({"hypervisor": shown})))
}

async fn search(call: Call<Compute>) -> Handled {
    by_name(call, Servers::Hidden).await
}

async fn servers(call: Call<Compute>) -> Handled {
    by_name(call, Servers::Shown).await
}

async fn by_name(call: Call<Compute>, servers: Servers) -> Handled {
    let snapshot = call.context.state.fresh().await?;
    let nodes = find::matching(&call, &snapshot, call.param("hypervisor_id"))?;
    let shown: Vec<Value> = nodes
        .iter()
        .map(|node| show(&call.context, &call, &snapshot, node, Form::Brief, servers))
        .collect();
    Ok(Reply::ok(json!({"hypervisors": shown})))
}

async fn sums(call: Call<Compute>) -> Handled {
    let snapshot = call.context.state.fresh().await?;
    Ok(Reply::ok(json!({"hypervisor_statistics": statistics(&snapshot)})))
}
