//! The Compute API, as Nova v2.1 has it. One folder for each resource; [`service`] lists them.

mod context;
pub mod quotas;
pub mod servers;
// pub mod aggregates;
// pub mod availability_zones;
// pub mod flavors;
// pub mod hosts;
// pub mod hypervisors;
// pub mod keypairs;
// pub mod limits;
// pub mod server_groups;
// pub mod services;
// pub mod usage;

pub use context::{Compute, ComputeConfig};

use state::Schema;

/// The tables of this crate.
pub fn schema(schema: Schema) -> Schema {
    let schema = quotas::schema(schema);
    // let schema = keypairs::schema(schema);
    // let schema = server_groups::schema(schema);
    // let schema = aggregates::schema(schema);
    servers::schema(schema)
}
