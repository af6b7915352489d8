//! Hosts prepared once for many choices: what is chosen can be counted in at once, so that the next
//! choice sees it before the store does.

use std::sync::Arc;

use base::Map;

use super::{Facts, Host, Metadata, Refusal, Request, choose};
use crate::Room;

/// A host with everything it needs, to be kept.
#[derive(Clone, Debug, Default)]
pub struct Candidate {
    /// The id of its resource provider.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its availability zone.
    pub zone: Arc<str>,
    /// It can be given work.
    pub up: bool,
    /// It gets no new machines, and why.
    pub disabled: Option<String>,
    /// It is being worked on.
    pub maintenance: bool,
    /// What it has and what is taken: [`crate::room_of`].
    pub room: Room,
    /// What its aggregates say.
    pub metadata: Arc<Metadata>,
    /// `x86_64`.
    pub architecture: String,
    /// `QEMU`, `fake`.
    pub hypervisor_type: String,
    /// As Nova shows it.
    pub hypervisor_version: u64,
    /// `kvm`, `tcg`, `none`.
    pub acceleration: String,
    /// As in /proc/cpuinfo.
    pub cpu_model: String,
    /// How many machines it has.
    pub servers: u64,
    /// How many of them are being built or moved.
    pub busy: u64,
}

impl Candidate {
    /// As the scheduler looks at it.
    pub fn host(&self) -> Host<'_> {
        Host {
            id: &self.id,
            name: &self.name,
            zone: &self.zone,
            up: self.up,
            disabled: self.disabled.as_deref(),
            maintenance: self.maintenance,
            capacity: &self.room.capacity,
            largest: &self.room.largest,
            used: &self.room.used,
            traits: &self.room.traits,
            metadata: &self.metadata,
            facts: Facts {
                architecture: &self.architecture,
                hypervisor_type: &self.hypervisor_type,
                hypervisor_version: self.hypervisor_version,
                acceleration: &self.acceleration,
                cpu_model: &self.cpu_model,
            },
            servers: self.servers,
            busy: self.busy,
        }
    }
}

/// Many hosts.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    hosts: Vec<Candidate>,
    by_id: Map<String, usize>,
}

impl Pool {
    /// Of these hosts.
    pub fn new(hosts: Vec<Candidate>) -> Pool {
        let by_id = hosts.iter().enumerate().map(|(at, host)| (host.id.clone(), at)).collect();
        Pool { hosts, by_id }
    }

    /// All of them.
    pub fn hosts(&self) -> impl Iterator<Item = Host<'_>> {
        self.hosts.iter().map(Candidate::host)
    }

    /// One of them, to bring it up to date.
    pub fn host_mut(&mut self, id: &str) -> Option<&mut Candidate> {
        self.by_id.get(id).and_then(|at| self.hosts.get_mut(*at))
    }

    /// As [`choose`], from these hosts.
    ///
    /// # Errors
    /// One refusal for each host.
    pub fn choose(&self, request: &Request) -> Result<&str, Vec<Refusal>> {
        choose(request, self.hosts())
    }

    /// [`Pool::choose`], and counts the machine in.
    ///
    /// # Errors
    /// One refusal for each host.
    pub fn take(&mut self, request: &Request) -> Result<String, Vec<Refusal>> {
        let id = self.choose(request)?.to_owned();
        if let Some(host) = self.host_mut(&id) {
            host.room.used.add_all(&request.resources);
            host.servers += 1;
            host.busy += 1;
        }
        Ok(id)
    }
}
