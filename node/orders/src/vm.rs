//! Virtual machines: what a controller wants and what a node sees.

use base::{Epoch, Map, Timestamp, Version};
use serde::{Deserialize, Serialize};

use crate::ImageRef;

base::typed_id!(
    /// A virtual machine's id: the server's.
    VmId
);

/// The whole wanted state of one machine on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmOrder {
    /// Which machine.
    pub id: VmId,
    /// Who may run it: a node that knows a greater one refuses this order.
    pub epoch: Epoch,
    /// Newest wins within an epoch.
    pub version: Version,
    /// What shall become of it.
    pub wanted: Wanted,
    /// The last reboot asked for; carried out once when its number is greater than the last done.
    pub reboot: Reboot,
    /// What to run.
    pub spec: VmSpec,
}

/// What shall become of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// It runs. Lost without its guest's wish, it is started again, within a limit.
    Running,
    /// It is off, its disk kept. A running guest is asked by ACPI first, then cut off.
    Stopped,
    /// It and its disk end here. Confirmed by [`VmState::Gone`].
    Gone,
}

/// A numbered reboot, so that carrying it out twice is impossible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reboot {
    /// 0: none was ever asked for.
    pub number: u64,
    /// Reset at once; otherwise the guest is asked by ACPI and reset after a grace.
    pub hard: bool,
}

/// What to run. All sizes are the guest's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmSpec {
    /// For people: the server's name.
    pub name: String,
    /// Virtual CPUs, at least 1.
    pub vcpus: u32,
    /// Memory in MiB.
    pub ram_mib: u64,
    /// The root disk in GiB; 0 means as large as the image.
    pub root_gib: u64,
    /// A second, empty disk in GiB; 0 means none.
    pub ephemeral_gib: u64,
    /// A swap disk in MiB; 0 means none.
    pub swap_mib: u64,
    /// What the root disk starts from; none boots from an empty disk.
    pub image: Option<ImageRef>,
    /// The config drive, if the server has one.
    pub config_drive: Option<ConfigDrive>,
    /// The disk is on this node alone: after a reboot of the node it may start without a new permit.
    pub only_here: bool,
}

/// The files of a config drive (volume label `config-2`): path below the root, and content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigDrive {
    /// Such as `openstack/latest/meta_data.json`.
    #[serde(with = "as_base64")]
    pub files: Map<String, bytes::Bytes>,
}

/// File contents as base64: in JSON, bytes would be a list of numbers, four times as long.
mod as_base64 {
    use base::Map;
    use base64::{Engine, prelude::BASE64_STANDARD};
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(
        files: &Map<String, Bytes>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer
            .collect_map(files.iter().map(|(path, bytes)| (path, BASE64_STANDARD.encode(bytes))))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Map<String, Bytes>, D::Error> {
        Map::<String, String>::deserialize(deserializer)?
            .into_iter()
            .map(|(path, text)| match BASE64_STANDARD.decode(text) {
                Ok(bytes) => Ok((path, bytes.into())),
                Err(_) => Err(D::Error::custom(format!("the content of {path} is not base64"))),
            })
            .collect()
    }
}

/// What a node sees of one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmReport {
    /// Which machine.
    pub id: VmId,
    /// The epoch that this node holds it under.
    pub epoch: Epoch,
    /// The newest order that this node has taken in.
    pub version: Version,
    /// What it does.
    pub state: VmState,
    /// The number of the last reboot done ([`Reboot::number`]).
    pub rebooted: u64,
    /// How often it was started under this epoch.
    pub starts: u64,
    /// Since when it is in this state, by the node's clock.
    pub since: Timestamp,
}

/// What a machine does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum VmState {
    /// On its way to running: its image is fetched, its disk is made, it waits to be started (again).
    Preparing,
    /// It runs.
    Running,
    /// It runs, but its processors are held (QMP `stop`).
    Paused,
    /// Off, because so ordered or because the guest powered itself off.
    Stopped {
        /// The guest switched itself off: not started again.
        by_guest: bool,
    },
    /// It cannot be made to run; the node tries no more until a newer order comes.
    Failed {
        /// For the server's fault.
        reason: String,
    },
    /// Nothing of it is left here.
    Gone,
    /// It is here without an order.
    Stranger,
}
