//! The Placement API and the scheduler: what there is, who holds how much of it, and where the next
//! machine fits. Other services call [`providers::actions`] and [`allocations::actions`] inside their
//! own transactions. Knows nothing of servers.

pub mod allocations;
pub mod inventories;
mod look;
pub mod providers;
mod resources;
pub mod scheduler;
pub mod usages;

pub use allocations::{AllocationRecord, Consumer, Owner};
pub use inventories::Inventory;
pub use look::Look;
pub use providers::ProviderRecord;
pub use resources::{DISK_GB, MEMORY_MB, Resources, VCPU};
pub use usages::{Room, UsageRecord, capacity_of, room_of, usage_of};

use state::Schema;

/// The tables of this crate.
#[must_use]
pub fn schema(schema: Schema) -> Schema {
    schema.table::<ProviderRecord>().table::<UsageRecord>().table::<AllocationRecord>()
}
