//! The services as rows, as other rooms show them too.

use base::{Set, Timestamp};
use nodes::NodeRecord;
use sha2::{Digest, Sha256};
use state::{SessionRecord, Snapshot};

use crate::{Compute, aggregates::zone_of};

/// The binary on nodes.
pub(crate) const NODE_BINARY: &str = "nova-compute";
/// The binaries of a controller.
const CONTROLLER_BINARIES: [&str; 2] = ["nova-scheduler", "nova-conductor"];
/// The zone that controllers are shown in; nobody's servers are.
pub(crate) const INTERNAL: &str = "internal";

/// One service.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) uuid: String,
    pub(crate) binary: &'static str,
    pub(crate) host: String,
    pub(crate) zone: String,
    /// It is switched off, and why (may be empty).
    pub(crate) disabled: Option<String>,
    pub(crate) up: bool,
    pub(crate) forced_down: bool,
    pub(crate) updated_at: Timestamp,
}

impl Row {
    /// Why it is disabled, if that was said.
    pub(crate) fn disabled_reason(&self) -> Option<&str> {
        self.disabled.as_deref().filter(|reason| !reason.is_empty())
    }

    /// What Nova's hosts API calls it.
    pub(crate) fn topic(&self) -> &'static str {
        self.binary.strip_prefix("nova-").unwrap_or(self.binary)
    }
}

/// The number that clients before 2.53 know a thing by: made from its UUID, always the same.
pub(crate) fn number(uuid: &str) -> u64 {
    let digest = Sha256::digest(uuid.as_bytes());
    let number = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) & 0x7FFF_FFFF;
    u64::from(number.max(1))
}

/// A stable UUID of a controller's service, which has no record.
fn uuid_of(host: &str, binary: &str) -> String {
    let digest = Sha256::digest(format!("everstack/{binary}/{host}").as_bytes());
    let hex = |from: usize, to: usize| -> String {
        digest[from..to].iter().map(|byte| format!("{byte:02x}")).collect()
    };
    // Marked as one that was made from a name (RFC 9562, version 8).
    format!(
        "{}-{}-8{}-8{}-{}",
        hex(0, 4),
        hex(4, 6),
        &hex(6, 8)[1..],
        &hex(8, 10)[1..],
        hex(10, 16)
    )
}

/// A node's service.
pub(crate) fn of_node(
    compute: &Compute,
    snapshot: &Snapshot,
    name: &str,
    node: &NodeRecord,
) -> Row {
    let up = node.is_up();
    Row {
        uuid: node.uuid.clone(),
        binary: NODE_BINARY,
        host: name.to_owned(),
        zone: zone_of(snapshot, name, &compute.config.default_zone),
        disabled: node.disabled.clone(),
        up,
        forced_down: node.forced_down,
        // Whoever is up was heard of just now: beats are not stored.
        updated_at: if up { compute.world().wall() } else { node.presence.since },
    }
}

/// All services: the controllers', then the nodes', by name.
pub(crate) fn rows(compute: &Compute, snapshot: &Snapshot) -> Vec<Row> {
    // This controller is there, for it answers.
    let mut controllers = Set::from([compute.state.name().to_owned()]);
    controllers.extend(snapshot.all::<SessionRecord>().map(|session| session.id.to_string()));
    let now = compute.world().wall();
    let of_controller = |host: &String| {
        CONTROLLER_BINARIES.map(|binary| Row {
            uuid: uuid_of(host, binary),
            binary,
            host: host.clone(),
            zone: INTERNAL.to_owned(),
            disabled: None,
            up: true,
            forced_down: false,
            updated_at: now,
        })
    };
    let nodes = snapshot.all::<NodeRecord>();
    controllers
        .iter()
        .flat_map(of_controller)
        .chain(nodes.map(|node| of_node(compute, snapshot, &node.id, &node)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_ids_are_stable_and_well_formed() {
        let id = uuid_of("c1", "nova-scheduler");
        assert_eq!(id, uuid_of("c1", "nova-scheduler"));
        assert_ne!(id, uuid_of("c1", "nova-conductor"));
        assert!(web::validate::Format::Uuid.fits(&id), "{id}");
        assert!((1..=0x7FFF_FFFF).contains(&number(&id)));
    }
}
