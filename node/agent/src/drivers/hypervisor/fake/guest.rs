//! One machine of a fake host: what a real one's process, disk and guest would remember.

use std::{fmt::Write, sync::Arc, time::Duration};

use base::{Epoch, Error, Moment, Result};
use orders::{VmId, VmOrder};

use super::super::{Exit, Power, SeenVm};

/// A guest that goes down within this time of the power button did so because of it.
const ASKED_COUNTS: Duration = Duration::from_secs(600);

pub(super) struct Guest {
    /// The order of its last preparation or start.
    order: Arc<VmOrder>,
    epoch: Epoch,
    starts: u64,
    rebooted: u64,
    power: Power,
    asked: Option<Moment>,
    /// Tells one process from the next.
    launch: u64,
    /// When the guest booted, the last time last.
    boots: Vec<Moment>,
}

impl Guest {
    pub fn new(order: &Arc<VmOrder>) -> Guest {
        Guest {
            order: order.clone(),
            epoch: order.epoch,
            starts: 0,
            rebooted: 0,
            power: Power::Off(Exit::NotYet),
            asked: None,
            launch: 0,
            boots: Vec::new(),
        }
    }

    pub fn seen(&self, id: &VmId) -> SeenVm {
        SeenVm {
            id: id.clone(),
            epoch: self.epoch,
            prepared: true,
            power: self.power.clone(),
            starts: self.starts,
            rebooted: self.rebooted,
        }
    }

    pub fn power(&self) -> &Power {
        &self.power
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub fn prepare(&mut self, order: &Arc<VmOrder>) -> Result<()> {
        if !self.power.is_off() {
            return Err(Error::conflict(format!("{} runs and cannot be prepared.", order.id)));
        }
        if self.epoch != order.epoch {
            self.epoch = order.epoch;
            self.starts = 0;
            self.rebooted = 0;
            self.power = Power::Off(Exit::NotYet);
        }
        self.order = order.clone();
        Ok(())
    }

    /// A process is launched; its guest does not run yet.
    pub fn load(&mut self, order: &Arc<VmOrder>) -> Result<()> {
        if self.epoch != order.epoch {
            return Err(Error::conflict(format!(
                "{} is here under epoch {}, not {}.",
                order.id, self.epoch, order.epoch
            )));
        }
        self.order = order.clone();
        self.power = Power::Loaded;
        self.starts += 1;
        self.launch += 1;
        self.rebooted = self.rebooted.max(order.reboot.number);
        self.asked = None;
        Ok(())
    }

    /// The guest runs from now on.
    pub fn run(&mut self, now: Moment) -> Result<()> {
        match self.power {
            Power::Loaded => {
                self.power = Power::Running;
                self.boot(now);
                Ok(())
            }
            Power::Running | Power::Paused => Ok(()),
            Power::Off(_) => {
                Err(Error::unavailable(format!("{} ended while it was started.", self.order.id)))
            }
        }
    }

    fn boot(&mut self, now: Moment) {
        if self.boots.len() >= 8 {
            self.boots.remove(0);
        }
        self.boots.push(now);
    }

    pub fn reset(&mut self, number: u64, now: Moment) -> Result<()> {
        if self.power.is_off() {
            return Err(Error::conflict(format!("{} does not run.", self.order.id)));
        }
        if number > self.rebooted {
            self.rebooted = number;
            self.power = Power::Running;
            self.boot(now);
        }
        Ok(())
    }

    /// The power button. Names the process whose guest heard it.
    pub fn press(&mut self, now: Moment, boot: Duration) -> Option<u64> {
        if self.power != Power::Running {
            return None;
        }
        self.asked = Some(now);
        let up = self.boots.last().is_some_and(|at| now.since(*at) >= boot);
        up.then_some(self.launch)
    }

    /// The guest of that process has gone down.
    pub fn go_down(&mut self, launch: u64, now: Moment) {
        if self.launch == launch {
            self.power_off(now);
        }
    }

    pub fn power_off(&mut self, now: Moment) {
        if self.power == Power::Running {
            let asked = self.asked.is_some_and(|at| now.since(at) < ASKED_COUNTS);
            self.power = Power::Off(if asked { Exit::Ordered } else { Exit::ByGuest });
        }
    }

    pub fn cut_off(&mut self) {
        if !self.power.is_off() {
            self.power = Power::Off(Exit::Ordered);
        }
    }

    pub fn lose(&mut self, how: &str) {
        if !self.power.is_off() {
            self.power = Power::Off(Exit::Lost(how.to_owned()));
        }
    }

    pub fn pause(&mut self) {
        if self.power == Power::Running {
            self.power = Power::Paused;
        }
    }

    pub fn adopt(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    /// What a serial console would show: one boot after the other, each ending in a prompt.
    pub fn console(&self, now: Moment, boot: Duration) -> String {
        let name = &self.order.spec.name;
        let mut text = String::new();
        for at in &self.boots {
            let _ = writeln!(text, "Booting {name} on a simulated computer");
            let _ = writeln!(text, "[    0.000000] Linux version 6.1.0 (simulated)");
            let _ = writeln!(
                text,
                "[    0.004000] Memory: {} MiB, {} CPUs",
                self.order.spec.ram_mib, self.order.spec.vcpus
            );
            if now.since(*at) >= boot {
                let _ = write!(
                    text,
                    "[{:>5}.{:06}] boot done\n\n{name} login: ",
                    boot.as_secs(),
                    boot.subsec_micros()
                );
            }
        }
        text
    }

    pub fn diagnostics(&self, now: Moment) -> Option<serde_json::Value> {
        let state = match self.power {
            Power::Running => "running",
            Power::Paused => "paused",
            Power::Loaded | Power::Off(_) => return None,
        };
        let spec = &self.order.spec;
        let uptime = self.boots.last().map_or(0, |at| now.since(*at).as_secs());
        let cpus = (0..spec.vcpus)
            .map(|id| serde_json::json!({"id": id, "time": uptime * 1_000_000}))
            .collect::<Vec<_>>();
        Some(serde_json::json!({
            "state": state,
            "uptime": uptime,
            "config_drive": spec.config_drive.is_some(),
            "num_cpus": spec.vcpus,
            "num_nics": 0,
            "num_disks": 1,
            "cpu_details": cpus,
            "nic_details": [],
            "disk_details": [{
                "read_bytes": 0, "read_requests": 0,
                "write_bytes": 0, "write_requests": 0,
                "errors_count": null,
            }],
            "memory_details": {"maximum": spec.ram_mib, "used": spec.ram_mib},
        }))
    }
}
