//! Which servers a query wants.

use base::{Set, Timestamp};
use regex::Regex;
use state::Snapshot;

use super::{super::find::Server, query::Asked};
use crate::around;

/// A query, ready to look at servers.
pub(super) struct Filter<'a> {
    asked: &'a Asked,
    snapshot: &'a Snapshot,
    default_zone: &'a str,
}

impl<'a> Filter<'a> {
    pub(super) fn new(
        asked: &'a Asked,
        snapshot: &'a Snapshot,
        default_zone: &'a str,
    ) -> Filter<'a> {
        Filter { asked, snapshot, default_zone }
    }

    pub(super) fn fits(&self, server: &Server) -> bool {
        let asked = self.asked;
        asked.since.is_none_or(|since| server.updated_at >= since)
            && asked.before.is_none_or(|before| server.updated_at <= before)
            && asked.locked.is_none_or(|locked| server.locked.is_some() == locked)
            && self.status(server)
            && asked.exact.iter().all(|(field, values)| exact(field, values, server))
            && asked.like.iter().all(|(field, like)| self.like(field, like, server))
            && asked.tags.iter().all(|(which, tags)| tagged(which, tags, &server.tags))
    }

    /// A status means a state, and only some mean a task too: `ACTIVE` finds those that reboot.
    fn status(&self, server: &Server) -> bool {
        let wanted = &self.asked.statuses;
        if wanted.is_empty() {
            return true;
        }
        let state = match server.vm_state().name() {
            "active" => "active",
            "building" => "build",
            "stopped" => "shutoff",
            "error" => "error",
            _ => "deleted",
        };
        let status = server.status();
        wanted.iter().any(|wanted| wanted == state || wanted.eq_ignore_ascii_case(status))
    }

    fn like(&self, field: &str, like: &Regex, server: &Server) -> bool {
        let some = |text: Option<&str>| text.is_some_and(|text| like.is_match(text));
        let time = |time: Option<Timestamp>| {
            time.is_some_and(|time| {
                let iso = time.iso_micros_zoneless();
                like.is_match(&iso) || like.is_match(&iso.replace('T', " "))
            })
        };
        match field {
            "name" => like.is_match(&server.name),
            "description" => some(server.description.as_deref()),
            "hostname" => like.is_match(&server.hostname),
            "key_name" => some(server.key.as_ref().map(|key| key.name.as_str())),
            "power_state" => like.is_match(&server.power_state().to_string()),
            "node" => some(server.node()),
            "reservation_id" => like.is_match(&server.reservation_id),
            "launched_at" => time(server.launched_at),
            "terminated_at" => time(server.terminated_at),
            "created_at" => time(Some(server.created_at)),
            "availability_zone" => match server.node() {
                Some(node) => {
                    like.is_match(&around::zone_of(self.snapshot, node, self.default_zone))
                }
                None => some(server.availability_zone.as_deref()),
            },
            "locked_by" => some(
                server.locked.as_ref().map(|lock| if lock.by_owner { "owner" } else { "admin" }),
            ),
            "root_device_name" => like.is_match("/dev/vda"),
            "config_drive" => like.is_match(if server.config_drive { "True" } else { "" }),
            "access_ip_v4" => some(server.access_ip_v4.as_deref()),
            "access_ip_v6" => some(server.access_ip_v6.as_deref()),
            "auto_disk_config" => {
                like.is_match(if server.auto_disk_config { "1 true" } else { "0 false" })
            }
            "progress" => like.is_match("0"),
            "launch_index" => like.is_match(&server.launch_index.to_string()),
            // No server has an address yet.
            _ => false,
        }
    }
}

fn exact(field: &str, values: &[String], server: &Server) -> bool {
    let is = |text: Option<&str>| values.iter().any(|value| text == Some(value.as_str()));
    match field {
        "user_id" => is(Some(&server.user_id)),
        "image" => is(server.image.as_ref().map(|image| image.id.as_str())),
        "vm_state" => is(Some(server.vm_state().name())),
        "task_state" => is(server.task().map(|task| task.name())),
        "flavor" => is(Some(&server.flavor.id)),
        "uuid" => is(Some(&server.id)),
        "host" => is(server.node()),
        _ => true,
    }
}

fn tagged(which: &str, wanted: &[String], tags: &Set<String>) -> bool {
    let all = || wanted.iter().all(|tag| tags.contains(tag));
    let any = || wanted.iter().any(|tag| tags.contains(tag));
    match which {
        "tags" => all(),
        "tags-any" => any(),
        "not-tags" => !all(),
        _ => !any(),
    }
}
