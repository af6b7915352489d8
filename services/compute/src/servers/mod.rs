//! Servers: virtual machines as their owners see them.
//!
//! ```text
//!                        ┌──────────── reset_state ───────────┐
//!  create ──▶ New ── place ──▶ New (on a node) ── runs ──▶ Running ⇄ Off
//!              │                    │                         │      │
//!              └── no valid host ──▶│◀── failed, node away ───┴──────┘
//!                                   ▼
//!                                Failed ── hard reboot, newer order ──▶ Running
//!
//!  any ── delete ──▶ (deleted_at) ── node says gone ──▶ tombstone
//!                        └── node is away, or too slow ──▶ tombstone + order to clear away
//! ```
//!
//! What the owner wants is the [`Intent`]; what its node sees comes as reports. OpenStack's states are
//! rendered from both in `states`. POST to ACTIVE is three commits: create, place, report. DELETE is two.
//!
//! Guards: the server's record; the project's and user's quota counters (lane `quota/<project>`); the
//! allocation and the node's usage (lane `placement`); a group's turn, written by every placement of a
//! member; the node's record, which a delete reads to know whether it must wait. Reports share commits in
//! lane `reports`.

mod action_api;
mod actions;
mod api;
mod batch;
mod blobs;
mod create;
mod find;
mod gone;
mod list;
mod orders;
mod placing;
mod reconcile;
mod record;
pub(crate) mod refuse;
mod reports;
mod states;
mod tombstone;
mod view;

#[cfg(test)]
pub(crate) mod tests;

pub use batch::{BatchRecord, Member};
pub use blobs::BlobUsers;
pub use find::{Server, find, not_found, visible, visible_or_deleted};
pub use gone::{GoneRecord, any_on_node};
pub use reconcile::{GroupTurn, clear_node};
pub use record::{
    Fault, FlavorCopy, ImageCopy, Intent, KeyCopy, Lock, OnlyOn, Phase, Place, Power, ServerRecord,
    Text, Wish, in_group, on_node,
};
pub use tombstone::DeletedServer;

pub(crate) use action_api::CONSOLES;
pub(crate) use actions::{By, no_such_action};
pub(crate) use api::{allowed, cards};
pub(crate) use batch::BatchKeeper;
pub(crate) use create::{MAX_TAGS, METADATA, TAG, metadata_fits};
pub(crate) use find::{change, held};
pub(crate) use orders::ServerOrders;
pub(crate) use reconcile::{GoneKeeper, ServerKeeper};
pub(crate) use refuse::Needs;
pub(crate) use states::VmState;
pub(crate) use tombstone::TombstoneKeeper;
pub(crate) use view::host_id;

use state::Schema;

/// This room's tables.
pub fn schema(schema: Schema) -> Schema {
    schema
        .table::<ServerRecord>()
        .table::<BatchRecord>()
        .table::<BlobUsers>()
        .table::<GoneRecord>()
        .table::<GroupTurn>()
        .table::<DeletedServer>()
}
