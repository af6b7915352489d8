//! The catalog of a token: the enabled endpoints of the enabled services, with their addresses filled in.

use serde_json::{Value, json};
use state::Snapshot;
use web::BaseUrl;

use super::{
    filter,
    record::{Endpoint, Service},
};

/// The catalog as tokens show it.
pub(crate) fn catalog(
    snapshot: &Snapshot,
    base: &BaseUrl,
    user_id: &str,
    project_id: Option<&str>,
) -> Value {
    let wanted = filter::of_project(snapshot, project_id);
    let mut services: Vec<_> = snapshot.all::<Service>().filter(|s| s.enabled).collect();
    services.sort_by(|a, b| (&a.kind, &a.id).cmp(&(&b.kind, &b.id)));
    let shown = services.iter().map(|service| {
        let mut endpoints = snapshot.by::<Endpoint>("service", &service.id);
        endpoints.retain(|endpoint| endpoint.enabled && wanted.has(&endpoint.id));
        endpoints.sort_by(|a, b| (&a.interface, &a.id).cmp(&(&b.interface, &b.id)));
        let endpoints = endpoints.iter().filter_map(|endpoint| {
            let url = fill(&endpoint.url, base, user_id, project_id)?;
            Some(json!({
                "id": &*endpoint.id,
                "interface": endpoint.interface,
                "region_id": endpoint.region_id,
                "url": url,
                "region": endpoint.region_id,
            }))
        });
        json!({
            "endpoints": endpoints.collect::<Vec<_>>(),
            "id": &*service.id,
            "type": service.kind,
            "name": service.name(),
        })
    });
    Value::Array(shown.collect())
}

/// What stands for this cloud's own address in an endpoint's URL.
const PUBLIC_URL: &str = "$(public_url)s";

/// An endpoint's URL for people: with this cloud's address, other placeholders as they are.
pub(crate) fn shown(url: &str, base: &BaseUrl) -> String {
    url.replace(PUBLIC_URL, base.as_str())
}

/// A URL with its placeholders filled in; none when it needs a project and there is none, or when it
/// asks for something unknown.
fn fill(url: &str, base: &BaseUrl, user_id: &str, project_id: Option<&str>) -> Option<String> {
    let mut filled = String::with_capacity(url.len() + 48);
    let mut rest = url;
    while let Some(at) = rest.find(['$', '%']) {
        let (before, tail) = rest.split_at(at);
        filled.push_str(before);
        let Some(inner) = tail.get(1..).and_then(|tail| tail.strip_prefix('(')) else {
            filled.push_str(&tail[..1]);
            rest = &tail[1..];
            continue;
        };
        let (name, tail) = inner.split_once(")s")?;
        filled.push_str(match name {
            "public_url" => base.as_str(),
            "tenant_id" | "project_id" => project_id?,
            "user_id" => user_id,
            _ => return None,
        });
        rest = tail;
    }
    filled.push_str(rest);
    Some(filled)
}

/// Whether a URL has only placeholders that are known.
pub(crate) fn is_fillable(url: &str) -> bool {
    fill(url, &BaseUrl::new(""), "", Some("")).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills() {
        let base = BaseUrl::new("http://c:1");
        let fill = |url, project| fill(url, &base, "u", project);
        assert_eq!(
            fill("$(public_url)s/compute/v2.1", None).as_deref(),
            Some("http://c:1/compute/v2.1")
        );
        assert_eq!(fill("http://x/%(tenant_id)s", Some("p")).as_deref(), Some("http://x/p"));
        assert_eq!(
            fill("http://x/$(project_id)s/$(user_id)s/a%20b$", Some("p")).as_deref(),
            Some("http://x/p/u/a%20b$")
        );
        assert_eq!(fill("http://x/%(tenant_id)s", None), None);
        assert_eq!(fill("http://x/$(admin_token)s", Some("p")), None);
        assert_eq!(fill("http://x/$(broken", Some("p")), None);
    }
}
