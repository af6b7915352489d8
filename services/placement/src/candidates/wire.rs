//! Candidates as JSON, at each microversion. Serialized straight, for there may be very many.

use std::sync::Arc;

use base::{Map, Set};
use serde::{Serialize, Serializer, ser::SerializeMap};
use web::{Microversion, v};

use super::{
    forest::{Forest, Place},
    search::Candidate,
    wanted::Wanted,
};

/// The whole answer.
#[derive(Serialize)]
pub(super) struct Answer<'a> {
    allocation_requests: Vec<Request<'a>>,
    provider_summaries: Summaries<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Request<'a> {
    /// From 1.12 on.
    ByProvider {
        allocations: ByProvider<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        mappings: Option<Mappings<'a>>,
    },
    /// Before.
    List { allocations: Vec<InList<'a>> },
}

#[derive(Serialize)]
struct InList<'a> {
    resource_provider: Provider<'a>,
    resources: Amounts<'a>,
}

#[derive(Serialize)]
struct Provider<'a> {
    uuid: &'a str,
}

/// What is taken of one provider.
struct Amounts<'a>(&'a [(Place, &'a str, u64)]);

impl Serialize for Amounts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(_, class, amount)| (class, amount)))
    }
}

#[derive(Serialize)]
struct Resources<'a> {
    resources: Amounts<'a>,
}

struct ByProvider<'a> {
    forest: &'a Forest,
    takes: &'a [(Place, &'a str, u64)],
}

/// What is taken, provider by provider.
fn by_provider<'a>(
    forest: &'a Forest,
    takes: &'a [(Place, &'a str, u64)],
) -> impl Iterator<Item = (&'a str, Amounts<'a>)> {
    takes.chunk_by(|(a, ..), (b, ..)| a == b).filter_map(|chunk| {
        let (place, ..) = chunk.first()?;
        Some((&*forest.nodes[*place].id, Amounts(chunk)))
    })
}

impl Serialize for ByProvider<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            by_provider(self.forest, self.takes)
                .map(|(id, resources)| (id, Resources { resources })),
        )
    }
}

struct Mappings<'a> {
    forest: &'a Forest,
    mappings: &'a [(&'a str, Vec<Place>)],
}

impl Serialize for Mappings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.mappings.iter().map(|(suffix, places)| {
            let ids: Vec<&str> =
                places.iter().map(|place| &*self.forest.nodes[*place].id).collect();
            (suffix, ids)
        }))
    }
}

struct Summaries<'a> {
    forest: &'a Forest,
    places: Set<Place>,
    /// Only these classes are shown, before 1.27.
    classes: Option<Set<&'a str>>,
    version: Microversion,
}

#[derive(Serialize)]
struct Summary<'a> {
    resources: Map<&'a str, Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traits: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_provider_uuid: Option<Option<Arc<str>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root_provider_uuid: Option<&'a str>,
}

#[derive(Serialize)]
struct Amount {
    capacity: u64,
    used: u64,
}

impl Serialize for Summaries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.places.len()))?;
        for place in &self.places {
            let node = &self.forest.nodes[*place];
            let shown =
                |class: &str| self.classes.as_ref().is_none_or(|classes| classes.contains(class));
            let resources = node
                .record
                .inventories
                .iter()
                .filter(|(class, _)| shown(class))
                .map(|(class, own)| {
                    let amount = Amount { capacity: own.capacity(), used: node.used(class) };
                    (class.as_str(), amount)
                })
                .collect();
            let nested = self.version >= v(1, 29);
            let parent = node.parent.map(|parent| self.forest.nodes[parent].id.clone());
            let summary = Summary {
                resources,
                traits: (self.version >= v(1, 17)).then_some(&node.record.traits),
                parent_provider_uuid: nested.then_some(parent),
                root_provider_uuid: nested.then_some(&self.forest.nodes[node.root].id),
            };
            map.serialize_entry(&*node.id, &summary)?;
        }
        map.end()
    }
}

/// The answer with these candidates.
pub(super) fn answer<'a>(
    forest: &'a Forest,
    wanted: &'a Wanted,
    candidates: &'a [Candidate<'a>],
    version: Microversion,
) -> Answer<'a> {
    let request = |candidate: &'a Candidate<'a>| {
        let takes = &candidate.takes;
        if version < v(1, 12) {
            let one =
                |(uuid, resources)| InList { resource_provider: Provider { uuid }, resources };
            return Request::List { allocations: by_provider(forest, takes).map(one).collect() };
        }
        let mappings = Mappings { forest, mappings: &candidate.mappings };
        Request::ByProvider {
            allocations: ByProvider { forest, takes },
            mappings: (version >= v(1, 34)).then_some(mappings),
        }
    };
    let taken: Set<Place> =
        candidates.iter().flat_map(|one| one.takes.iter().map(|(place, ..)| *place)).collect();
    // Whole trees are shown; to those who know no trees, only what is taken of.
    let places = match version >= v(1, 29) || !forest.nested {
        true => {
            let roots: Set<Place> = taken.iter().map(|place| forest.nodes[*place].root).collect();
            roots.into_iter().flat_map(|root| forest.tree(root)).collect()
        }
        false => taken,
    };
    let requested =
        || wanted.groups.values().flat_map(|group| group.resources.keys().map(String::as_str));
    Answer {
        allocation_requests: candidates.iter().map(request).collect(),
        provider_summaries: Summaries {
            forest,
            places,
            classes: (version < v(1, 27)).then(|| requested().collect()),
            version,
        },
    }
}
