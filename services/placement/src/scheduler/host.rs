//! A host as the scheduler sees it: borrowed, so that thousands cost nothing to look at.

use base::{Map, Set};

use crate::Resources;

/// Metadata of all aggregates that a host is in: a key may have several values.
pub type Metadata = Map<String, Set<String>>;

/// One host.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    /// The id of its resource provider.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its availability zone.
    pub zone: &'a str,
    /// It can be given work.
    pub up: bool,
    /// It gets no new machines, and why (may be empty).
    pub disabled: Option<&'a str>,
    /// It is being worked on.
    pub maintenance: bool,
    /// What it can give in all.
    pub capacity: &'a Resources,
    /// The most that one machine may take.
    pub largest: &'a Resources,
    /// What is taken.
    pub used: &'a Resources,
    /// The traits of its resource provider.
    pub traits: &'a [String],
    /// What its aggregates say.
    pub metadata: &'a Metadata,
    /// What it is.
    pub facts: Facts<'a>,
    /// How many machines it has.
    pub servers: u64,
    /// How many of them are being built or moved.
    pub busy: u64,
}

/// What a host is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// `x86_64`.
    pub architecture: &'a str,
    /// `QEMU`, `fake`.
    pub hypervisor_type: &'a str,
    /// As Nova shows it.
    pub hypervisor_version: u64,
    /// `kvm`, `tcg`, `none`.
    pub acceleration: &'a str,
    /// As in /proc/cpuinfo.
    pub cpu_model: &'a str,
}

impl Host<'_> {
    /// Whether a name or id means this host.
    pub(super) fn is(&self, name_or_id: &str) -> bool {
        self.name == name_or_id || self.id == name_or_id
    }

    /// Whether this host is in a set of names or ids.
    pub(super) fn is_in(&self, set: &Set<String>) -> bool {
        !set.is_empty() && (set.contains(self.name) || set.contains(self.id))
    }
}
