//! Orders of a list. Servers that a key does not tell apart are ordered by when they were made.

use std::cmp::Ordering;

use super::super::find::Server;

/// An order.
pub(super) struct Sort {
    /// Keys, and whether greater ones come first.
    pub(super) keys: Vec<(String, bool)>,
    /// For those that the keys do not tell apart.
    pub(super) descending: bool,
}

impl Sort {
    /// Whether it is the order of the index.
    pub(super) fn is_newest_first(&self) -> bool {
        self.descending
            && self.keys.iter().all(|(key, descending)| key == "created_at" && *descending)
    }

    pub(super) fn sort(&self, servers: &mut [Server]) {
        servers.sort_by(|a, b| self.compare(a, b));
    }

    pub(super) fn compare(&self, a: &Server, b: &Server) -> Ordering {
        let turned = |order: Ordering, descending| if descending { order.reverse() } else { order };
        self.keys
            .iter()
            .map(|(key, descending)| turned(by(key, a, b), *descending))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| {
                turned(a.created_at.cmp(&b.created_at), self.descending)
                    .then_with(|| a.id.cmp(&b.id))
            })
    }
}

fn by(key: &str, a: &Server, b: &Server) -> Ordering {
    match key {
        "access_ip_v4" => a.access_ip_v4.cmp(&b.access_ip_v4),
        "access_ip_v6" => a.access_ip_v6.cmp(&b.access_ip_v6),
        "auto_disk_config" => a.auto_disk_config.cmp(&b.auto_disk_config),
        "availability_zone" => a.availability_zone.cmp(&b.availability_zone),
        "config_drive" => a.config_drive.cmp(&b.config_drive),
        "created_at" => a.created_at.cmp(&b.created_at),
        "display_description" => a.description.cmp(&b.description),
        "display_name" => a.name.cmp(&b.name),
        "host" | "node" => a.node().cmp(&b.node()),
        "hostname" => a.hostname.cmp(&b.hostname),
        "image_ref" => {
            let id = |s: &Server| s.image.as_ref().map(|image| image.id.clone());
            id(a).cmp(&id(b))
        }
        "instance_type_id" => a.flavor.id.cmp(&b.flavor.id),
        "key_name" => {
            let name = |s: &Server| s.key.as_ref().map(|key| key.name.clone());
            name(a).cmp(&name(b))
        }
        "launch_index" => a.launch_index.cmp(&b.launch_index),
        "launched_at" => a.launched_at.cmp(&b.launched_at),
        "locked" => a.locked.is_some().cmp(&b.locked.is_some()),
        "locked_by" => {
            let by = |s: &Server| s.locked.as_ref().map(|lock| lock.by_owner);
            by(a).cmp(&by(b))
        }
        "power_state" => a.power_state().cmp(&b.power_state()),
        "project_id" => a.project_id.cmp(&b.project_id),
        "task_state" => {
            let name = |s: &Server| s.task().map(|task| task.name());
            name(a).cmp(&name(b))
        }
        "terminated_at" => a.terminated_at.cmp(&b.terminated_at),
        "updated_at" => a.updated_at.cmp(&b.updated_at),
        "user_id" => a.user_id.cmp(&b.user_id),
        "uuid" => a.id.cmp(&b.id),
        "vm_state" => a.vm_state().name().cmp(b.vm_state().name()),
        // The same for all: kernel, ramdisk, root device, progress.
        _ => Ordering::Equal,
    }
}
