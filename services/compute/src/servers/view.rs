//! A server as JSON, at every microversion. Written straight into bytes: lists are long.

use base::{Map, Timestamp};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha224};
use state::Snapshot;
use web::{Call, Microversion, Request, Target, v};

use super::{
    find::Server,
    record::{FlavorCopy, ServerRecord},
    states::has_progress,
};
use crate::{Compute, around, links::ROOT};

/// Policies that decide what is shown.
pub(super) const POLICIES: &[(&str, &str)] = &[
    ("os_compute_api:os-extended-server-attributes", crate::policies::ADMIN),
    ("os_compute_api:servers:show:flavor-extra-specs", crate::policies::READER),
    ("os_compute_api:servers:show:host_status", crate::policies::ADMIN),
    ("os_compute_api:servers:show:host_status:unknown-only", crate::policies::ADMIN),
];

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// All of one server.
    Show,
    /// Of each in a list.
    Detail,
    /// After a change: less before 2.75.
    Changed,
}

/// What is the same for all servers of an answer.
pub(super) struct View<'a> {
    version: Microversion,
    snapshot: &'a Snapshot,
    /// `https://…/compute/v2.1/servers/`
    own: String,
    /// `https://…/compute/servers/`
    bookmark: String,
    /// `https://…/compute/flavors/`
    flavors: String,
    /// `https://…/compute/images/`
    images: String,
    depth: Depth,
    extended: bool,
    extra_specs: bool,
    host_status: HostStatusShown,
    is_admin: bool,
    default_zone: &'a str,
    /// What was found out about nodes for this answer.
    nodes: Map<String, NodeView>,
    /// For one server only: user data that is kept apart.
    user_data: Option<String>,
}

struct NodeView {
    zone: String,
    status: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum HostStatusShown {
    No,
    UnknownOnly,
    All,
}

impl<'a> View<'a> {
    /// For this request; `owner` is the project whose servers are shown.
    pub(super) fn of(
        call: &'a Call<Compute>,
        snapshot: &'a Snapshot,
        depth: Depth,
        owner: &str,
    ) -> View<'a> {
        let target = Target::project(owner);
        let all = depth != Depth::Changed || call.version >= v(2, 75);
        let host_status = if call.version < v(2, 16) || !all {
            HostStatusShown::No
        } else if call.allowed(POLICIES[2].0, &target) {
            HostStatusShown::All
        } else if call.allowed(POLICIES[3].0, &target) {
            HostStatusShown::UnknownOnly
        } else {
            HostStatusShown::No
        };
        View {
            version: call.version,
            snapshot,
            own: call.link("/servers/"),
            bookmark: call.root_link(&format!("{ROOT}/servers/")),
            flavors: call.root_link(&format!("{ROOT}/flavors/")),
            images: call.root_link(&format!("{ROOT}/images/")),
            depth,
            extended: all && call.allowed(POLICIES[0].0, &target),
            extra_specs: call.version >= v(2, 47) && call.allowed(POLICIES[1].0, &target),
            host_status,
            is_admin: call.actor.is_admin,
            default_zone: &call.context.config.default_zone,
            nodes: Map::new(),
            user_data: None,
        }
    }

    /// Looks up once what all servers of a node have in common.
    pub(super) fn prepare<'s>(&mut self, servers: impl Iterator<Item = &'s Server>) {
        for node in servers.filter_map(|server| server.record.node().map(str::to_owned)) {
            if !self.nodes.contains_key(&node) {
                let zone = around::zone_of(self.snapshot, &node, self.default_zone);
                let status = host_status(self.snapshot, &node);
                self.nodes.insert(node, NodeView { zone, status });
            }
        }
    }

    /// User data that is not in the record.
    pub(super) fn with_user_data(mut self, data: Option<String>) -> View<'a> {
        self.user_data = data;
        self
    }

    /// Whether user data is to be shown.
    pub(super) fn shows_user_data(&self) -> bool {
        self.extended && self.version >= v(2, 3)
    }

    /// All of a server.
    pub(super) fn full<'v>(&'v self, server: &'v Server) -> Full<'v> {
        Full { view: self, id: &server.id, server: &server.record }
    }

    /// Id, name, links.
    pub(super) fn brief<'v>(&'v self, server: &'v Server) -> Brief<'v> {
        Brief { view: self, server }
    }

    fn since(&self, minor: u16) -> bool {
        self.version >= v(2, minor)
    }

    fn shows_all(&self) -> bool {
        self.depth != Depth::Changed || self.since(75)
    }
}

/// Nova's word for how a node is.
pub(super) fn host_status(snapshot: &Snapshot, node: &str) -> &'static str {
    match snapshot.get::<nodes::NodeRecord>(node) {
        None => "",
        Some(node) if node.forced_down => "DOWN",
        Some(node) if node.disabled.is_some() => "MAINTENANCE",
        Some(node) if node.is_up() => "UP",
        Some(_) => "UNKNOWN",
    }
}

/// A node's name, so that a project can tell its nodes apart and nobody else can.
pub(crate) fn host_id(node: Option<&str>, project_id: &str) -> String {
    use std::fmt::Write;
    let Some(node) = node else { return String::new() };
    let digest = Sha224::digest([project_id.as_bytes(), node.as_bytes()].concat());
    let mut text = String::with_capacity(56);
    for byte in digest {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

struct Links<'v>(&'v View<'v>, &'v str);

impl Serialize for Links<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(2))?;
        list.serialize_element(&Link { rel: "self", href: Joined(&self.0.own, self.1) })?;
        list.serialize_element(&Link { rel: "bookmark", href: Joined(&self.0.bookmark, self.1) })?;
        list.end()
    }
}

#[derive(Serialize)]
struct Link<'v> {
    rel: &'static str,
    href: Joined<'v>,
}

struct Joined<'v>(&'v str, &'v str);

impl Serialize for Joined<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}{}", self.0, self.1))
    }
}

/// Id, name, links.
pub(super) struct Brief<'v> {
    view: &'v View<'v>,
    server: &'v Server,
}

impl Serialize for Brief<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("id", &*self.server.id)?;
        map.serialize_entry("name", &self.server.name)?;
        map.serialize_entry("links", &Links(self.view, &self.server.id))?;
        map.end()
    }
}

/// All of a server.
pub(super) struct Full<'v> {
    view: &'v View<'v>,
    id: &'v str,
    server: &'v ServerRecord,
}

impl Serialize for Full<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Full { view, id, server } = self;
        let mut map = serializer.serialize_map(None)?;
        let status = server.status();
        map.serialize_entry("id", id)?;
        map.serialize_entry("name", &server.name)?;
        map.serialize_entry("status", status)?;
        map.serialize_entry("tenant_id", &server.project_id)?;
        map.serialize_entry("user_id", &server.user_id)?;
        map.serialize_entry("metadata", &server.metadata)?;
        map.serialize_entry("hostId", &host_id(server.node(), &server.project_id))?;
        map.serialize_entry("image", &self.image())?;
        map.serialize_entry("flavor", &FlavorView { view, flavor: &server.flavor })?;
        map.serialize_entry("created", &server.created_at.iso())?;
        map.serialize_entry("updated", &server.updated_at.iso())?;
        map.serialize_entry("addresses", &json!({}))?;
        map.serialize_entry("accessIPv4", server.access_ip_v4.as_deref().unwrap_or(""))?;
        map.serialize_entry("accessIPv6", server.access_ip_v6.as_deref().unwrap_or(""))?;
        map.serialize_entry("links", &Links(view, id))?;
        let disk_config = if server.auto_disk_config { "AUTO" } else { "MANUAL" };
        map.serialize_entry("OS-DCF:diskConfig", disk_config)?;
        if has_progress(status) {
            map.serialize_entry("progress", &0)?;
        }
        if matches!(status, "ERROR" | "DELETED") {
            self.fault(&mut map)?;
        }
        if view.shows_all() {
            self.all(&mut map)?;
        }
        if view.extended {
            self.extended(&mut map)?;
        }
        self.newer(&mut map)?;
        map.end()
    }
}

impl Full<'_> {
    fn image(&self) -> Value {
        match &self.server.image {
            None => json!(""),
            Some(image) => {
                let mut shown = json!({
                    "id": image.id,
                    "links": [{
                        "rel": "bookmark",
                        "href": format!("{}{}", self.view.images, image.id),
                    }],
                });
                if self.view.since(98) {
                    shown["properties"] = json!(image.properties);
                }
                shown
            }
        }
    }

    fn fault<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Some(fault) = &self.server.fault else { return Ok(()) };
        let mut shown = json!({
            "code": fault.code,
            "created": fault.created.iso(),
            "message": fault.message,
        });
        if !fault.details.is_empty() && (self.view.is_admin || fault.code != 500) {
            shown["details"] = json!(fault.details);
        }
        map.serialize_entry("fault", &shown)
    }

    fn zone(&self) -> &str {
        match self.server.node() {
            Some(node) => self.view.nodes.get(node).map_or(self.view.default_zone, |n| &n.zone),
            None => self.server.availability_zone.as_deref().unwrap_or(""),
        }
    }

    /// What a change did not show before 2.75.
    fn all<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let server = self.server;
        map.serialize_entry("OS-EXT-AZ:availability_zone", self.zone())?;
        map.serialize_entry("config_drive", if server.config_drive { "True" } else { "" })?;
        map.serialize_entry("key_name", &server.key.as_ref().map(|key| &key.name))?;
        let time = |time: Option<Timestamp>| time.map(Timestamp::iso_micros_zoneless);
        map.serialize_entry("OS-SRV-USG:launched_at", &time(server.launched_at))?;
        map.serialize_entry("OS-SRV-USG:terminated_at", &time(server.terminated_at))?;
        map.serialize_entry(
            "OS-EXT-STS:task_state",
            &server.task().map(super::states::Task::name),
        )?;
        map.serialize_entry("OS-EXT-STS:vm_state", server.vm_state().name())?;
        map.serialize_entry("OS-EXT-STS:power_state", &server.power_state())?;
        let volumes: [Value; 0] = [];
        map.serialize_entry("os-extended-volumes:volumes_attached", &volumes)
    }

    fn extended<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let server = self.server;
        let node = server.node();
        map.serialize_entry("OS-EXT-SRV-ATTR:host", &node)?;
        map.serialize_entry("OS-EXT-SRV-ATTR:instance_name", &instance_name(self.id))?;
        map.serialize_entry("OS-EXT-SRV-ATTR:hypervisor_hostname", &node)?;
        if !self.view.since(3) {
            return Ok(());
        }
        map.serialize_entry("OS-EXT-SRV-ATTR:hostname", &server.hostname)?;
        map.serialize_entry("OS-EXT-SRV-ATTR:kernel_id", "")?;
        map.serialize_entry("OS-EXT-SRV-ATTR:ramdisk_id", "")?;
        map.serialize_entry("OS-EXT-SRV-ATTR:launch_index", &server.launch_index)?;
        map.serialize_entry("OS-EXT-SRV-ATTR:reservation_id", &server.reservation_id)?;
        map.serialize_entry("OS-EXT-SRV-ATTR:root_device_name", "/dev/vda")?;
        let user_data = match (&self.view.user_data, &server.user_data) {
            (Some(apart), _) => Some(apart.as_str()),
            (None, Some(super::record::Text::Here(data))) => Some(data.as_str()),
            _ => None,
        };
        map.serialize_entry("OS-EXT-SRV-ATTR:user_data", &user_data)
    }

    /// What came with later microversions.
    fn newer<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let (view, server) = (self.view, self.server);
        if view.since(9) {
            map.serialize_entry("locked", &server.locked.is_some())?;
        }
        let status = match server.node() {
            Some(node) => view.nodes.get(node).map_or("", |node| node.status),
            None => "",
        };
        match view.host_status {
            HostStatusShown::All => map.serialize_entry("host_status", status)?,
            HostStatusShown::UnknownOnly if status == "UNKNOWN" => {
                map.serialize_entry("host_status", status)?;
            }
            _ => {}
        }
        if view.since(19) {
            map.serialize_entry("description", &server.description)?;
        }
        if view.since(26) {
            map.serialize_entry("tags", &server.tags)?;
        }
        if view.since(63) {
            map.serialize_entry("trusted_image_certificates", &Value::Null)?;
        }
        if view.since(71) && view.depth != Depth::Detail {
            map.serialize_entry("server_groups", &server.group.iter().collect::<Vec<_>>())?;
        }
        if view.since(73) {
            let reason = server.locked.as_ref().and_then(|lock| lock.reason.as_ref());
            map.serialize_entry("locked_reason", &reason)?;
        }
        if view.since(90) && !view.extended {
            map.serialize_entry("OS-EXT-SRV-ATTR:hostname", &server.hostname)?;
        }
        if view.since(96) {
            map.serialize_entry("pinned_availability_zone", &server.availability_zone)?;
        }
        if view.since(100) {
            map.serialize_entry("scheduler_hints", &server.hints)?;
        }
        Ok(())
    }
}

/// The hypervisor's name for a machine: Nova's is made from a number that nobody counts here.
pub(crate) fn instance_name(id: &str) -> String {
    let digits: String = id.chars().filter(char::is_ascii_hexdigit).take(8).collect();
    format!("instance-{digits}")
}

struct FlavorView<'v> {
    view: &'v View<'v>,
    flavor: &'v FlavorCopy,
}

impl Serialize for FlavorView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let FlavorView { view, flavor } = self;
        let mut map = serializer.serialize_map(None)?;
        if !view.since(47) {
            map.serialize_entry("id", &flavor.id)?;
            let link = Link { rel: "bookmark", href: Joined(&view.flavors, &flavor.id) };
            map.serialize_entry("links", &[link])?;
            return map.end();
        }
        map.serialize_entry("vcpus", &flavor.vcpus)?;
        map.serialize_entry("ram", &flavor.ram)?;
        map.serialize_entry("disk", &flavor.disk)?;
        map.serialize_entry("ephemeral", &flavor.ephemeral)?;
        map.serialize_entry("swap", &flavor.swap)?;
        map.serialize_entry("original_name", &flavor.name)?;
        if view.extra_specs {
            map.serialize_entry("extra_specs", &flavor.extra_specs)?;
        }
        map.end()
    }
}

/// The links of a list's next page, for [`crate::paging::next`].
pub(super) fn collection(call: &Request) -> &'static str {
    if call.route == "/servers/detail" { "servers/detail" } else { "servers" }
}
