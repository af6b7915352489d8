//! The Compute API, as Nova v2.1 has it. One folder for each resource; [`service`] lists them.

pub mod aggregates;
mod around;
mod availability_zones;
mod context;
pub mod flavors;
mod hosts;
mod hypervisors;
pub mod instance_actions;
pub mod keypairs;
mod limits;
mod links;
pub mod metadata;
mod paging;
mod policies;
pub mod quotas;
pub mod server_groups;
mod server_metadata;
mod server_parts;
mod server_tags;
pub mod servers;
mod services;
mod usage;
mod versions;

use std::sync::Arc;

use control::Runtime;
use state::Schema;
use web::{Envelope, Service};

pub use context::{Compute, ComputeConfig};

/// The tables of this crate.
pub fn schema(schema: Schema) -> Schema {
    let schema = flavors::schema(schema);
    let schema = instance_actions::schema(schema);
    let schema = quotas::schema(schema);
    let schema = keypairs::schema(schema);
    let schema = server_groups::schema(schema);
    let schema = aggregates::schema(schema);
    servers::schema(schema)
}

/// The service with all its rooms, ready to be mounted.
pub fn service(compute: Compute) -> Service<Compute> {
    let rooms = vec![
        versions::cards(),
        flavors::cards(),
        servers::cards(),
        server_metadata::cards(),
        server_tags::cards(),
        server_parts::cards(),
        instance_actions::cards(),
        keypairs::cards(),
        server_groups::cards(),
        quotas::cards(),
        limits::cards(),
        usage::cards(),
        aggregates::cards(),
        availability_zones::cards(),
        hosts::cards(),
        hypervisors::cards(),
        services::cards(),
    ];
    let service = Service::new("compute", versions::PREFIX, Envelope::Nova, compute)
        .microversions(versions::MICROVERSIONS)
        .discovery(versions::discovery())
        .rules(policies::RULES)
        .project_in_path()
        .legacy(versions::LEGACY);
    rooms.into_iter().fold(service, Service::room)
}

/// Starts what keeps servers as they are wanted, and gives the hub their orders. Before the hub starts.
pub fn start(compute: &Compute, runtime: &Runtime) {
    compute.hub.serve(Arc::new(servers::ServerOrders {
        state: compute.state.clone(),
        default_zone: compute.config.default_zone.clone(),
    }));
    runtime.start(Arc::new(servers::ServerKeeper::new(compute)));
    runtime.start(Arc::new(servers::BatchKeeper { compute: compute.clone() }));
    runtime.start(Arc::new(servers::GoneKeeper { state: compute.state.clone() }));
    runtime.start(Arc::new(servers::TombstoneKeeper { compute: compute.clone() }));
}
