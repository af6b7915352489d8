//! The Placement API and the scheduler: what there is, who holds how much of it, and where the next
//! machine fits. Other services call [`providers::actions`] and [`allocations::actions`] inside their
//! own transactions. Knows nothing of servers.

mod aggregates;
pub mod allocations;
mod candidates;
mod classes;
pub mod inventories;
mod look;
mod manners;
mod policies;
pub mod providers;
mod query;
mod reshaper;
mod resources;
pub mod scheduler;
mod standard;
mod traits;
pub mod usages;

pub use allocations::{AllocationRecord, Consumer, Held, Owner};
pub use classes::ClassRecord;
pub use inventories::Inventory;
pub use look::Look;
pub use providers::ProviderRecord;
pub use resources::{DISK_GB, MEMORY_MB, Resources, VCPU};
pub use traits::TraitRecord;
pub use usages::{Room, UsageRecord, capacity_of, room_of, usage_of};

use state::{Schema, State};
use web::{Discovery, DiscoveryStyle, Envelope, MicroversionScheme, Service, VersionDoc, v};

/// The microversions.
pub const MICROVERSIONS: MicroversionScheme = MicroversionScheme {
    service_type: "placement",
    min: v(1, 0),
    max: v(1, 39),
    legacy_header: None,
};

/// What the rooms work with.
#[derive(Clone)]
pub struct Placement {
    /// The cloud's state.
    pub state: State,
}

/// The tables of this crate.
#[must_use]
pub fn schema(schema: Schema) -> Schema {
    schema
        .table::<ProviderRecord>()
        .table::<UsageRecord>()
        .table::<AllocationRecord>()
        .table::<ClassRecord>()
        .table::<TraitRecord>()
}

/// The API under `/placement`.
pub fn service(context: Placement) -> Service<Placement> {
    Service::new("placement", "/placement", Envelope::Placement, context)
        .microversions(MICROVERSIONS)
        .rules(policies::RULES)
        .room(providers::cards())
        .room(inventories::cards())
        .room(usages::cards())
        .room(aggregates::cards())
        .room(traits::cards())
        .room(classes::cards())
        .room(allocations::cards())
        .room(candidates::cards())
        .room(reshaper::cards())
        .discovery(Discovery {
            style: DiscoveryStyle::Placement,
            root: "/placement",
            versions: vec![VersionDoc {
                id: "v1.0",
                status: "CURRENT",
                updated: "",
                path: "/placement",
                microversions: Some(MICROVERSIONS),
            }],
        })
}
