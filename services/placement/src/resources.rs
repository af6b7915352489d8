//! Amounts of resource classes. The three that every machine takes have fields of their own, so that
//! comparing thousands of hosts costs no look-ups; a class that is not named counts as zero.

use base::Map;
use serde::{Deserialize, Serialize};

/// Virtual processors.
pub const VCPU: &str = "VCPU";
/// Memory in MiB.
pub const MEMORY_MB: &str = "MEMORY_MB";
/// Disk in GiB.
pub const DISK_GB: &str = "DISK_GB";

/// How much of each resource class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// `VCPU`.
    pub vcpu: u64,
    /// `MEMORY_MB`.
    pub memory_mb: u64,
    /// `DISK_GB`.
    pub disk_gb: u64,
    /// All other classes by name, none of them zero.
    #[serde(default)]
    pub other: Map<String, u64>,
}

impl Resources {
    /// What a machine takes: processors, MiB of memory, GiB of disk.
    pub fn vm(vcpu: u64, memory_mb: u64, disk_gb: u64) -> Resources {
        Resources { vcpu, memory_mb, disk_gb, other: Map::new() }
    }

    /// The amount of a class.
    pub fn get(&self, class: &str) -> u64 {
        match class {
            VCPU => self.vcpu,
            MEMORY_MB => self.memory_mb,
            DISK_GB => self.disk_gb,
            _ => self.other.get(class).copied().unwrap_or(0),
        }
    }

    /// Sets the amount of a class.
    pub fn set(&mut self, class: &str, amount: u64) {
        match class {
            VCPU => self.vcpu = amount,
            MEMORY_MB => self.memory_mb = amount,
            DISK_GB => self.disk_gb = amount,
            _ if amount == 0 => drop(self.other.remove(class)),
            _ => drop(self.other.insert(class.to_owned(), amount)),
        }
    }

    /// Adds to a class.
    pub fn add(&mut self, class: &str, amount: u64) {
        self.set(class, self.get(class).saturating_add(amount));
    }

    /// Adds all of `more`.
    pub fn add_all(&mut self, more: &Resources) {
        for (class, amount) in more.iter() {
            self.add(class, amount);
        }
    }

    /// Takes all of `less` away, down to zero.
    pub fn take_all(&mut self, less: &Resources) {
        for (class, amount) in less.iter() {
            self.set(class, self.get(class).saturating_sub(amount));
        }
    }

    /// The classes that are not zero.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        [(VCPU, self.vcpu), (MEMORY_MB, self.memory_mb), (DISK_GB, self.disk_gb)]
            .into_iter()
            .chain(self.other.iter().map(|(class, amount)| (class.as_str(), *amount)))
            .filter(|(_, amount)| *amount > 0)
    }

    /// Whether all are zero.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// As the API shows it: class and amount, without zeros.
    pub fn to_map(&self) -> Map<String, u64> {
        self.iter().map(|(class, amount)| (class.to_owned(), amount)).collect()
    }
}

impl<K: AsRef<str>> FromIterator<(K, u64)> for Resources {
    fn from_iter<I: IntoIterator<Item = (K, u64)>>(amounts: I) -> Resources {
        let mut resources = Resources::default();
        for (class, amount) in amounts {
            resources.add(class.as_ref(), amount);
        }
        resources
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_is_nothing() {
        let mut some = Resources::vm(2, 512, 0);
        some.add("CUSTOM_X", 3);
        assert_eq!(some.iter().collect::<Vec<_>>(), [(VCPU, 2), (MEMORY_MB, 512), ("CUSTOM_X", 3)]);
        let copy = some.clone();
        some.take_all(&copy);
        assert!(some.is_empty() && some.other.is_empty());
        assert_eq!(copy.to_map().into_iter().collect::<Resources>(), copy);
    }
}
