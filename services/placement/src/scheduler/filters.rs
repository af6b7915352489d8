//! The filters, in the order in which they are asked: the first that refuses names the reason. Cheap ones
//! and those that say most come first.

use super::{Host, Reason, Request, request::GroupPolicy, specs};
use crate::{DISK_GB, MEMORY_MB, VCPU, inventories::Misfit};

/// A request, with what all hosts are asked picked out once.
pub(super) struct Filters<'r> {
    request: &'r Request,
    /// Extra specs about aggregates: key without scope, wanted.
    aggregate: Vec<(&'r str, &'r str)>,
    /// Extra specs about the host: key without scope, wanted.
    capabilities: Vec<(&'r str, &'r str)>,
    /// Wanted traits, and forbidden ones.
    required: Vec<&'r str>,
    forbidden: Vec<&'r str>,
    /// Of the image.
    architecture: Option<&'r str>,
    hypervisor: Option<&'r str>,
    version: Option<&'r str>,
    mode: Option<&'r str>,
}

impl<'r> Filters<'r> {
    pub(super) fn new(request: &'r Request) -> Filters<'r> {
        let mut filters = Filters {
            request,
            aggregate: Vec::new(),
            capabilities: Vec::new(),
            required: Vec::new(),
            forbidden: Vec::new(),
            architecture: None,
            hypervisor: None,
            version: None,
            mode: None,
        };
        for (key, wanted) in &request.extra_specs {
            match key.split_once(':') {
                Some(("aggregate_instance_extra_specs", key)) => {
                    filters.aggregate.push((key, wanted));
                }
                Some(("capabilities", key)) => filters.capabilities.push((key, wanted)),
                Some(("trait", name)) => filters.wants_trait(name, wanted),
                Some(_) => {}
                None => filters.capabilities.push((key, wanted)),
            }
        }
        for (key, wanted) in &request.image {
            if let Some(name) = key.strip_prefix("trait:") {
                filters.wants_trait(name, wanted);
            }
        }
        let property = |names: &[&str]| {
            let value = names.iter().find_map(|name| request.image.get(*name));
            value.map(String::as_str).filter(|value| !value.is_empty())
        };
        filters.architecture = property(&["hw_architecture", "architecture"]);
        filters.hypervisor = property(&["img_hv_type", "hypervisor_type"]);
        filters.version = property(&["img_hv_requested_version", "hypervisor_version_requires"]);
        filters.mode = property(&["hw_vm_mode", "vm_mode"]);
        filters
    }

    fn wants_trait(&mut self, name: &'r str, wanted: &str) {
        match wanted {
            "required" => self.required.push(name),
            "forbidden" => self.forbidden.push(name),
            _ => {}
        }
    }

    /// Asks all filters.
    pub(super) fn pass(&self, host: &Host<'_>) -> Result<(), Reason> {
        let request = self.request;
        if request.host.as_ref().is_some_and(|wanted| !host.is(wanted)) {
            return Err(Reason::NotAsked);
        }
        if host.is_in(&request.ignore_hosts) {
            return Err(Reason::Ignored);
        }
        if !host.up {
            return Err(Reason::Down);
        }
        if !request.force {
            self.open(host)?;
        }
        enough(request, host)?;
        self.hints(host)?;
        self.group(host)?;
        if !request.force {
            self.flavor(host)?;
            self.image(host)?;
        }
        Ok(())
    }

    fn open(&self, host: &Host<'_>) -> Result<(), Reason> {
        if let Some(why) = host.disabled {
            return Err(Reason::Disabled(why.to_owned()));
        }
        if host.maintenance {
            return Err(Reason::Maintenance);
        }
        match &self.request.zone {
            Some(wanted) if wanted != host.zone => {
                Err(Reason::Zone { wanted: wanted.clone(), own: host.zone.to_owned() })
            }
            _ => Ok(()),
        }
    }

    fn hints(&self, host: &Host<'_>) -> Result<(), Reason> {
        if self.request.same_hosts.as_ref().is_some_and(|hosts| !host.is_in(hosts)) {
            return Err(Reason::SameHost);
        }
        if host.is_in(&self.request.different_hosts) {
            return Err(Reason::DifferentHost);
        }
        Ok(())
    }

    fn group(&self, host: &Host<'_>) -> Result<(), Reason> {
        let Some(group) = &self.request.group else { return Ok(()) };
        let here = group.here(host);
        match group.policy {
            GroupPolicy::Affinity
                if here == 0 && group.members.values().any(|count| *count > 0) =>
            {
                Err(Reason::Affinity)
            }
            GroupPolicy::AntiAffinity if here >= group.max_server_per_host.max(1) => {
                Err(Reason::AntiAffinity { here, most: group.max_server_per_host.max(1) })
            }
            _ => Ok(()),
        }
    }

    fn flavor(&self, host: &Host<'_>) -> Result<(), Reason> {
        for name in &self.required {
            if !has_trait(host, name) {
                return Err(Reason::MissingTrait((*name).to_owned()));
            }
        }
        for name in &self.forbidden {
            if has_trait(host, name) {
                return Err(Reason::ForbiddenTrait((*name).to_owned()));
            }
        }
        for (key, wanted) in &self.aggregate {
            let own = host.metadata.get(*key);
            if !own.is_some_and(|own| own.iter().any(|value| specs::matches(value, wanted))) {
                return Err(Reason::Aggregate {
                    key: (*key).to_owned(),
                    wanted: (*wanted).to_owned(),
                    own: own.map(|own| own.iter().cloned().collect::<Vec<_>>().join(", ")),
                });
            }
        }
        for (key, wanted) in &self.capabilities {
            let own = capability(host, key);
            if !own.as_ref().is_some_and(|own| specs::matches(own, wanted)) {
                return Err(Reason::Capability {
                    key: (*key).to_owned(),
                    wanted: (*wanted).to_owned(),
                    own,
                });
            }
        }
        Ok(())
    }

    fn image(&self, host: &Host<'_>) -> Result<(), Reason> {
        let refuse = |property, wanted: &str, own: &str| {
            Err(Reason::Image { property, wanted: wanted.to_owned(), own: own.to_owned() })
        };
        let facts = &host.facts;
        if let Some(wanted) = self.architecture
            && canonical(wanted) != canonical(facts.architecture)
        {
            return refuse("hw_architecture", wanted, facts.architecture);
        }
        // A fake host stands in for any hypervisor.
        let fake = facts.hypervisor_type.eq_ignore_ascii_case("fake");
        if let Some(wanted) = self.hypervisor
            && !fake
            && !wanted.eq_ignore_ascii_case(facts.hypervisor_type)
            && !wanted.eq_ignore_ascii_case(facts.acceleration)
        {
            return refuse("img_hv_type", wanted, facts.hypervisor_type);
        }
        if let Some(wanted) = self.mode
            && !wanted.eq_ignore_ascii_case("hvm")
        {
            return refuse("hw_vm_mode", wanted, "hvm");
        }
        if let Some(wanted) = self.version
            && !version_holds(facts.hypervisor_version, wanted)
        {
            return refuse("img_hv_requested_version", wanted, &dotted(facts.hypervisor_version));
        }
        Ok(())
    }
}

fn enough(request: &Request, host: &Host<'_>) -> Result<(), Reason> {
    let asked = &request.resources;
    one(host, VCPU, asked.vcpu, host.capacity.vcpu, host.used.vcpu, host.largest.vcpu)?;
    let (capacity, used, most) =
        (host.capacity.memory_mb, host.used.memory_mb, host.largest.memory_mb);
    one(host, MEMORY_MB, asked.memory_mb, capacity, used, most)?;
    let (capacity, used, most) = (host.capacity.disk_gb, host.used.disk_gb, host.largest.disk_gb);
    one(host, DISK_GB, asked.disk_gb, capacity, used, most)?;
    for (class, amount) in &asked.other {
        let (capacity, used) = (host.capacity.get(class), host.used.get(class));
        one(host, class, *amount, capacity, used, host.largest.get(class))?;
    }
    Ok(())
}

fn one(
    _host: &Host<'_>,
    class: &str,
    asked: u64,
    capacity: u64,
    used: u64,
    most: u64,
) -> Result<(), Reason> {
    if asked == 0 {
        return Ok(());
    }
    let free = capacity.saturating_sub(used);
    let misfit = if asked > free {
        Misfit::Full { asked, free, capacity }
    } else if asked > most {
        Misfit::Unit { asked, min: 0, max: most, step: 1 }
    } else {
        return Ok(());
    };
    Err(Reason::Full { class: class.to_owned(), misfit })
}

fn has_trait(host: &Host<'_>, name: &str) -> bool {
    host.traits.binary_search_by(|own| own.as_str().cmp(name)).is_ok()
}

fn capability(host: &Host<'_>, key: &str) -> Option<String> {
    let facts = &host.facts;
    let free = |class: &str| host.capacity.get(class).saturating_sub(host.used.get(class));
    Some(match key {
        "hypervisor_type" => facts.hypervisor_type.to_owned(),
        "hypervisor_version" => facts.hypervisor_version.to_string(),
        "hypervisor_hostname" | "host" => host.name.to_owned(),
        "cpu_info:arch" | "cpu_arch" => facts.architecture.to_owned(),
        "cpu_info:model" => facts.cpu_model.to_owned(),
        "vcpus_total" => host.largest.vcpu.to_string(),
        "vcpus_used" => host.used.vcpu.to_string(),
        "total_usable_ram_mb" => host.largest.memory_mb.to_string(),
        "free_ram_mb" => free(MEMORY_MB).to_string(),
        "total_usable_disk_gb" => host.largest.disk_gb.to_string(),
        "free_disk_mb" => free(DISK_GB).saturating_mul(1024).to_string(),
        "num_instances" => host.servers.to_string(),
        "num_io_ops" => host.busy.to_string(),
        _ => return None,
    })
}

/// One name for each architecture, as Nova has them.
fn canonical(architecture: &str) -> String {
    let lower = architecture.to_ascii_lowercase();
    match lower.as_str() {
        "x86_32" | "i386" | "i486" | "i586" | "i686" => "i686".into(),
        "amd64" => "x86_64".into(),
        "arm64" => "aarch64".into(),
        _ => lower,
    }
}

/// `>=7.2,<9`: every part must hold.
fn version_holds(own: u64, wanted: &str) -> bool {
    wanted.split(',').all(|part| {
        let part = part.trim();
        let digits = part.trim_start_matches(['<', '>', '=', '!']);
        let operator = &part[..part.len() - digits.len()];
        let Some(wanted) = number(digits.trim()) else { return false };
        match operator {
            ">=" => own >= wanted,
            ">" => own > wanted,
            "<=" => own <= wanted,
            "<" => own < wanted,
            "!=" => own != wanted,
            "=" | "==" => own == wanted,
            _ => false,
        }
    })
}

fn number(dotted: &str) -> Option<u64> {
    let mut number = 0;
    let mut parts = dotted.split('.');
    for _ in 0..3 {
        let part = match parts.next() {
            Some(text) => text.parse::<u64>().ok().filter(|n| *n < 1000)?,
            None => 0,
        };
        number = number * 1000 + part;
    }
    parts.next().is_none().then_some(number)
}

fn dotted(number: u64) -> String {
    format!("{}.{}.{}", number / 1_000_000, number / 1000 % 1000, number % 1000)
}
