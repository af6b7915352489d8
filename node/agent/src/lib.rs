//! The agent: carries a cloud's orders out on one node and reports what it sees.
//!
//! It knows `base` and `orders` only, never the services or the store. Choices are made in [`plan`],
//! which is pure; [`Agent`] is the thin loop around it; [`drivers`] touch the outside world.

mod agent;
pub mod config_drive;
pub mod drivers;
pub mod fake;
pub mod images;
mod inventory;
pub mod orders_store;
pub mod plan;
pub mod qmp;

pub use agent::{Agent, AgentConfig, Manners, Pace, park};
pub use inventory::{HostFacts, boot_id, disk_gib, inventory};
