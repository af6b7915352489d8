//! `/allocation_candidates`

use base::{Error, Result};
use state::Snapshot;
use web::{Card, Microversion, Policy, Reply, v};

use super::{forest::Forest, search::search, wanted::Wanted, wire};
use crate::{
    Placement, classes,
    manners::{PlacementCall, dated, gives_json},
    policies::ADMIN_OR_SERVICE,
    traits,
};

/// The routes.
pub(crate) fn cards() -> Vec<Card<Placement>> {
    let rule = Policy::Rule("placement:allocation_candidates:list", ADMIN_OR_SERVICE);
    vec![Card::get("/allocation_candidates", rule, list).since("1.10")]
}

async fn list(call: PlacementCall) -> Result<Reply> {
    gives_json(&call)?;
    let version = call.version;
    let wanted = Wanted::read(&call.query, version)?;
    let snapshot = call.context.state.fresh().await?;
    check_names(&snapshot, &wanted)?;
    // Ten thousand nodes take some milliseconds, which others need not wait for.
    let reply = call.world.blocking(move || found(&snapshot, &wanted, version)).await?;
    Ok(dated(reply, &call, None))
}

fn check_names(snapshot: &Snapshot, wanted: &Wanted) -> Result<()> {
    for group in wanted.groups.values() {
        let unknown = |class: &&String| !classes::is_known(snapshot, class);
        if let Some(class) = group.resources.keys().find(unknown) {
            return Err(Error::bad_request(format!(
                "Invalid resource class in resources parameter: No such resource class {class}."
            )));
        }
    }
    let groups = wanted.groups.values().flat_map(|group| group.traits.names());
    traits::all_known(snapshot, groups.chain(wanted.root.names()))
        .map_err(|name| Error::bad_request(format!("No such trait(s): {name}.")))
}

fn found(snapshot: &Snapshot, wanted: &Wanted, version: Microversion) -> Result<Reply> {
    let forest = Forest::read(snapshot);
    let candidates = search(&forest, wanted, version >= v(1, 29));
    Reply::rendered(200, &wire::answer(&forest, wanted, &candidates, version))
}
