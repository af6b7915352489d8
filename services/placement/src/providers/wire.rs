//! A provider as JSON, at each microversion.

use serde::{Serialize, Serializer, ser::SerializeSeq};
use state::{Entry, Snapshot};
use web::{Microversion, Request, v};

use super::{ProviderRecord, root_of};

/// What hangs below a provider, and since when.
const PARTS: [(&str, Microversion); 5] = [
    ("inventories", v(1, 0)),
    ("usages", v(1, 0)),
    ("aggregates", v(1, 1)),
    ("traits", v(1, 6)),
    ("allocations", v(1, 11)),
];

/// A provider as clients see it. Serialized straight, for there may be very many.
#[derive(Serialize)]
pub(super) struct View<'v> {
    uuid: &'v str,
    name: &'v str,
    generation: u64,
    links: Links<'v>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_provider_uuid: Option<Option<&'v str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root_provider_uuid: Option<String>,
}

struct Links<'v> {
    prefix: &'static str,
    id: &'v str,
    version: Microversion,
}

#[derive(Serialize)]
struct Link<'v> {
    rel: &'v str,
    href: String,
}

impl Serialize for Links<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let own = format!("{}/resource_providers/{}", self.prefix, self.id);
        let mut list = serializer.serialize_seq(None)?;
        list.serialize_element(&Link { rel: "self", href: own.clone() })?;
        for (rel, _) in PARTS.iter().filter(|(_, since)| self.version >= *since) {
            list.serialize_element(&Link { rel, href: format!("{own}/{rel}") })?;
        }
        list.end()
    }
}

/// A provider as this request wants it.
pub(super) fn view<'v>(
    request: &Request,
    provider: &'v Entry<ProviderRecord>,
    snapshot: &Snapshot,
) -> View<'v> {
    let id: &str = &provider.id;
    let nested = request.version >= v(1, 14);
    View {
        uuid: id,
        name: &provider.name,
        generation: provider.shown_generation(snapshot, id),
        links: Links { prefix: request.service.prefix, id, version: request.version },
        parent_provider_uuid: nested.then_some(provider.parent.as_deref()),
        root_provider_uuid: nested.then(|| root_of(snapshot, id, provider)),
    }
}
