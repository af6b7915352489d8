//! Which providers a list shows.

use base::{Error, Map, Result};
use state::{Entry, Snapshot};
use web::{Request, Schema, validate::prop};

use super::{ProviderRecord, root_of};
use crate::{
    classes,
    manners::{check_query, dashed},
    query::{self, Member, Traits},
    traits,
    usages::usage_of,
};

const QUERY: Schema = Schema::object(&[
    prop("name", Schema::string()),
    prop("uuid", Schema::uuid()),
    prop("member_of", Schema::string()).since("1.3"),
    prop("resources", Schema::string()).since("1.4"),
    prop("in_tree", Schema::uuid()).since("1.14"),
    prop("required", Schema::string()).since("1.18"),
]);

/// What a list is asked for.
pub(super) struct Filter {
    name: Option<String>,
    uuid: Option<String>,
    in_tree: Option<String>,
    member: Member,
    traits: Traits,
    resources: Map<String, u64>,
}

impl Filter {
    /// Reads a query.
    pub(super) fn read(request: &Request) -> Result<Filter> {
        let (query, version) = (&request.query, request.version);
        check_query(request, &QUERY)?;
        let id = |name: &str| query.get(name).map(|id| dashed(id).unwrap_or_default());
        Ok(Filter {
            name: query.get("name").filter(|name| !name.is_empty()).map(str::to_owned),
            uuid: id("uuid"),
            in_tree: id("in_tree"),
            member: query::members(query, "", version)?,
            traits: query::traits(query, "", version)?,
            resources: match query.get("resources") {
                Some(text) => query::resources(text)?,
                None => Map::new(),
            },
        })
    }

    /// The providers that it lets through, by id.
    pub(super) fn apply(&self, snapshot: &Snapshot) -> Result<Vec<Entry<ProviderRecord>>> {
        for class in self.resources.keys() {
            if !classes::is_known(snapshot, class) {
                return Err(Error::bad_request(format!(
                    "Invalid resource class in resources parameter: No such resource class {class}."
                )));
            }
        }
        if let Err(name) = traits::all_known(snapshot, self.traits.names()) {
            return Err(Error::bad_request(format!(
                "Invalid trait(s) in \"required\" parameter: No such trait(s): {name}."
            )));
        }
        let root = match &self.in_tree {
            None => None,
            Some(id) => match snapshot.get::<ProviderRecord>(id) {
                Some(provider) => Some(root_of(snapshot, id, &provider)),
                None => return Ok(Vec::new()),
            },
        };
        let fits = |provider: &Entry<ProviderRecord>| {
            self.name.as_ref().is_none_or(|name| *name == provider.name)
                && self.uuid.as_deref().is_none_or(|uuid| uuid == &*provider.id)
                && is_member(&self.member, &provider.aggregates)
                && has_traits(&self.traits, &provider.traits)
                && self.has_room(snapshot, provider)
                && root
                    .as_ref()
                    .is_none_or(|root| root_of(snapshot, &provider.id, provider) == *root)
        };
        // By uuid or name it is one at most, found without looking at all.
        if let Some(uuid) = &self.uuid {
            return Ok(snapshot.get::<ProviderRecord>(uuid).filter(fits).into_iter().collect());
        }
        if let Some(name) = &self.name {
            let mut named = snapshot.by::<ProviderRecord>("name", name);
            named.retain(fits);
            return Ok(named);
        }
        Ok(snapshot.all::<ProviderRecord>().filter(fits).collect())
    }

    fn has_room(&self, snapshot: &Snapshot, provider: &Entry<ProviderRecord>) -> bool {
        if self.resources.is_empty() {
            return true;
        }
        let used = usage_of(snapshot, &provider.id);
        self.resources.iter().all(|(class, amount)| {
            let own = provider.inventories.get(class);
            own.is_some_and(|own| own.fits(*amount, used.get(class)).is_ok())
        })
    }
}

/// Whether a provider in these (sorted) aggregates is where it must be.
pub(crate) fn is_member(member: &Member, aggregates: &[String]) -> bool {
    let within = |id: &String| aggregates.binary_search(id).is_ok();
    member.of.iter().all(|any| any.iter().any(within)) && !member.not_of.iter().any(within)
}

/// Whether a provider with these (sorted) traits has what it must have.
pub(crate) fn has_traits(wanted: &Traits, traits: &[String]) -> bool {
    let has = |name: &String| traits.binary_search(name).is_ok();
    wanted.required.iter().all(|any| any.iter().any(has)) && !wanted.forbidden.iter().any(has)
}
