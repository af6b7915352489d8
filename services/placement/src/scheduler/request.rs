//! What is asked of the scheduler.

use std::str::FromStr;

use base::{Error, Map, Result, Set};

use crate::Resources;

/// One machine that wants a host. Hosts are named by id or by name, as the caller has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The server's id: breaks ties, always the same way.
    pub seed: String,
    /// What it takes; see [`flavor_resources`].
    pub resources: Resources,
    /// The availability zone asked for.
    pub zone: Option<String>,
    /// The one host asked for.
    pub host: Option<String>,
    /// The host was forced by an administrator: zones, switched off hosts, flavor and image are not looked at.
    pub force: bool,
    /// Hosts that must not be chosen.
    pub ignore_hosts: Set<String>,
    /// The server group's rule.
    pub group: Option<GroupRule>,
    /// Hint `same_host`: the hosts of those servers (none of them anywhere is an empty set).
    pub same_hosts: Option<Set<String>>,
    /// Hint `different_host`: the hosts of those servers.
    pub different_hosts: Set<String>,
    /// The flavor's extra specs.
    pub extra_specs: Map<String, String>,
    /// The image's properties.
    pub image: Map<String, String>,
}

/// What a server group wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRule {
    /// Together or apart.
    pub policy: GroupPolicy,
    /// How many of its members are on which host.
    pub members: Map<String, u64>,
    /// With anti-affinity: so many on one host are fine. At least 1.
    pub max_server_per_host: u64,
}

/// Together or apart, by all means or if possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupPolicy {
    /// All on one host.
    Affinity,
    /// Each on another.
    AntiAffinity,
    /// As many together as possible.
    SoftAffinity,
    /// As few together as possible.
    SoftAntiAffinity,
}

impl FromStr for GroupPolicy {
    type Err = ();

    fn from_str(text: &str) -> Result<GroupPolicy, ()> {
        Ok(match text {
            "affinity" => GroupPolicy::Affinity,
            "anti-affinity" => GroupPolicy::AntiAffinity,
            "soft-affinity" => GroupPolicy::SoftAffinity,
            "soft-anti-affinity" => GroupPolicy::SoftAntiAffinity,
            _ => return Err(()),
        })
    }
}

/// What a flavor takes of a host: `disk_gib` is root, ephemeral and swap together. Extra specs
/// `resources:CLASS=N` replace an amount or add a class.
///
/// # Errors
/// `BadRequest` when such a spec has no number.
pub fn flavor_resources(
    vcpus: u64,
    ram_mib: u64,
    disk_gib: u64,
    extra_specs: &Map<String, String>,
) -> Result<Resources> {
    let mut resources = Resources::vm(vcpus, ram_mib, disk_gib);
    for (key, value) in extra_specs {
        let Some(class) = key.strip_prefix("resources:") else { continue };
        let amount = value.trim().parse::<u64>().ok().filter(|n| *n <= crate::inventories::MAX_INT);
        let Some(amount) = amount else {
            return Err(Error::bad_request(format!(
                "The flavor's extra spec {key} must be a whole number, not {value:?}."
            )));
        };
        resources.set(class, amount);
    }
    Ok(resources)
}
