//! What a list's query asks for, refused or passed over as Nova does.

use base::{Error, Map, Result, Timestamp};
use regex::{Regex, RegexBuilder};
use web::{
    Call, Schema, v,
    validate::{self, Format, Literal, Prop, Style, check_query, prop},
};

use super::{super::states, sort::Sort};
use crate::Compute;

const TEXT: Schema = Schema::string();
const TIME: Schema = Schema::string().format(Format::DateTime);

const fn keys(list: &'static [Literal]) -> Schema {
    Schema::string().literals(list)
}

macro_rules! texts {
    ($($text:literal),* $(,)?) => { &[$(Literal::Text($text)),*] };
}

const OLD_KEYS: &[Literal] = texts![
    "access_ip_v4",
    "access_ip_v6",
    "auto_disk_config",
    "availability_zone",
    "config_drive",
    "created_at",
    "display_description",
    "display_name",
    "host",
    "hostname",
    "image_ref",
    "instance_type_id",
    "kernel_id",
    "key_name",
    "launch_index",
    "launched_at",
    "locked_by",
    "node",
    "power_state",
    "progress",
    "project_id",
    "ramdisk_id",
    "root_device_name",
    "task_state",
    "terminated_at",
    "updated_at",
    "user_id",
    "uuid",
    "vm_state",
    "architecture",
    "cell_name",
    "cleaned",
    "default_ephemeral_device",
    "default_swap_device",
    "deleted",
    "deleted_at",
    "disable_terminate",
    "ephemeral_gb",
    "ephemeral_key_uuid",
    "id",
    "key_data",
    "launched_on",
    "locked",
    "memory_mb",
    "os_type",
    "reservation_id",
    "root_gb",
    "shutdown_terminate",
    "user_data",
    "vcpus",
    "vm_mode",
];
/// Passed over before 2.75, refused since.
const IGNORED_KEYS: &[&str] = &[
    "architecture",
    "cell_name",
    "cleaned",
    "default_ephemeral_device",
    "default_swap_device",
    "deleted",
    "deleted_at",
    "disable_terminate",
    "ephemeral_gb",
    "ephemeral_key_uuid",
    "id",
    "key_data",
    "launched_on",
    "locked",
    "memory_mb",
    "os_type",
    "reservation_id",
    "root_gb",
    "shutdown_terminate",
    "user_data",
    "vcpus",
    "vm_mode",
];
const NEW_KEYS: &[Literal] = texts![
    "locked",
    "access_ip_v4",
    "access_ip_v6",
    "auto_disk_config",
    "availability_zone",
    "config_drive",
    "created_at",
    "display_description",
    "display_name",
    "host",
    "hostname",
    "image_ref",
    "instance_type_id",
    "kernel_id",
    "key_name",
    "launch_index",
    "launched_at",
    "locked_by",
    "node",
    "power_state",
    "progress",
    "project_id",
    "ramdisk_id",
    "root_device_name",
    "task_state",
    "terminated_at",
    "updated_at",
    "user_id",
    "uuid",
    "vm_state",
];

const PROPS: &[Prop] = &[
    prop("user_id", TEXT),
    prop("project_id", TEXT),
    prop("tenant_id", TEXT),
    prop("launch_index", TEXT),
    prop("image_ref", TEXT),
    prop("image", TEXT),
    prop("kernel_id", TEXT),
    prop("ramdisk_id", TEXT),
    prop("hostname", TEXT),
    prop("key_name", TEXT),
    prop("power_state", TEXT),
    prop("vm_state", TEXT),
    prop("task_state", TEXT),
    prop("host", TEXT),
    prop("node", TEXT),
    prop("flavor", TEXT),
    prop("reservation_id", TEXT),
    prop("launched_at", TEXT),
    prop("terminated_at", TEXT),
    prop("availability_zone", TEXT),
    prop("name", TEXT),
    prop("display_name", TEXT),
    prop("description", TEXT),
    prop("display_description", TEXT),
    prop("locked_by", TEXT),
    prop("uuid", TEXT),
    prop("root_device_name", TEXT),
    prop("config_drive", TEXT),
    prop("access_ip_v4", TEXT),
    prop("access_ip_v6", TEXT),
    prop("auto_disk_config", TEXT),
    prop("progress", TEXT),
    prop("sort_key", keys(OLD_KEYS)).until("2.74"),
    prop("sort_key", keys(NEW_KEYS)).since("2.75"),
    prop("sort_dir", TEXT),
    prop("all_tenants", TEXT),
    prop("soft_deleted", TEXT),
    prop("deleted", TEXT),
    prop("status", TEXT),
    prop("changes-since", TIME),
    prop("changes-before", TIME).since("2.66"),
    prop("ip", TEXT),
    prop("ip6", TEXT),
    prop("created_at", TEXT),
    prop("tags", TEXT).since("2.26"),
    prop("tags-any", TEXT).since("2.26"),
    prop("not-tags", TEXT).since("2.26"),
    prop("not-tags-any", TEXT).since("2.26"),
    prop("locked", TEXT).since("2.73"),
    prop("limit", Schema::number_or_text()),
    prop("marker", TEXT),
    prop("block_device_mapping", TEXT),
    prop("services", TEXT),
    prop("metadata", TEXT),
    prop("system_metadata", TEXT),
    prop("info_cache", TEXT),
    prop("security_groups", TEXT),
    prop("pci_devices", TEXT),
];
const LIST: Schema = Schema::object(PROPS).open_until(v(2, 75));

/// Parts of a server that cannot be asked for.
const JOINED: &[&str] = &[
    "block_device_mapping",
    "services",
    "metadata",
    "system_metadata",
    "info_cache",
    "security_groups",
    "pci_devices",
];
/// Values of these are regular expressions.
const REGEX: &[&str] = &[
    "kernel_id",
    "ramdisk_id",
    "hostname",
    "key_name",
    "power_state",
    "node",
    "flavor",
    "reservation_id",
    "launched_at",
    "terminated_at",
    "availability_zone",
    "name",
    "display_name",
    "description",
    "display_description",
    "locked_by",
    "root_device_name",
    "config_drive",
    "access_ip_v4",
    "access_ip_v6",
    "auto_disk_config",
    "progress",
    "ip",
    "ip6",
    "created_at",
    "tags",
    "tags-any",
    "not-tags",
    "not-tags-any",
];
/// What everybody may filter by, and since when.
const OPEN: &[(&str, u16)] = &[
    ("reservation_id", 1),
    ("name", 1),
    ("status", 1),
    ("image", 1),
    ("flavor", 1),
    ("ip", 1),
    ("changes-since", 1),
    ("all_tenants", 1),
    ("ip6", 5),
    ("tags", 26),
    ("tags-any", 26),
    ("not-tags", 26),
    ("not-tags-any", 26),
    ("changes-before", 66),
    ("locked", 73),
    ("availability_zone", 83),
    ("config_drive", 83),
    ("key_name", 83),
    ("created_at", 83),
    ("launched_at", 83),
    ("terminated_at", 83),
    ("power_state", 83),
    ("task_state", 83),
    ("vm_state", 83),
    ("progress", 83),
    ("user_id", 83),
    ("hostname", 90),
];

/// A valid query.
pub(super) struct Asked {
    /// Of this project; none: of all.
    pub(super) project: Option<String>,
    /// Servers that are there.
    pub(super) live: bool,
    /// Servers that are no more.
    pub(super) deleted: bool,
    pub(super) since: Option<Timestamp>,
    pub(super) before: Option<Timestamp>,
    /// Wanted statuses, in lower case.
    pub(super) statuses: Vec<String>,
    /// Exact values.
    pub(super) exact: Map<&'static str, Vec<String>>,
    /// Expressions.
    pub(super) like: Vec<(&'static str, Regex)>,
    pub(super) tags: Map<&'static str, Vec<String>>,
    pub(super) locked: Option<bool>,
    pub(super) sort: Sort,
}

impl Asked {
    /// None when no server can fit.
    pub(super) fn of(call: &Call<Compute>, policy: &str) -> Result<Option<Asked>> {
        check_query(&LIST, &call.query, call.version, Style::Nova)?;
        for name in REGEX {
            for value in call.query.all(name) {
                expression(name, value)?;
            }
        }
        if let Some((name, value)) = call.query.pairs().find(|(name, _)| name.starts_with('_')) {
            let _ = value;
            return Err(invalid_field(name));
        }
        let all = call.allowed("os_compute_api:servers:allow_all_filters", &call.own());
        let open = |name: &str| {
            all || OPEN.iter().any(|(n, since)| *n == name && call.version >= v(2, *since))
        };
        let get = |name: &str| call.query.get(name).filter(|_| open(name));
        if let Some(name) = JOINED.iter().find(|name| get(name).is_some()) {
            return Err(invalid_field(name));
        }
        let statuses: Vec<String> = call.query.all("status").map(str::to_lowercase).collect();
        if !statuses.is_empty() && !statuses.iter().any(|status| states::is_status(status)) {
            if call.version >= v(2, 38) {
                return Err(Error::bad_request("Invalid status value"));
            }
            return Ok(None);
        }
        let time = |name: &str| get(name).and_then(Timestamp::parse);
        let (since, before) = (time("changes-since"), time("changes-before"));
        if let (Some(since), Some(before)) = (since, before)
            && before < since
        {
            return Err(Error::bad_request(
                "The value of changes-since must be less than or equal to changes-before.",
            ));
        }
        let (mut live, mut deleted) = (true, since.is_some() || before.is_some());
        if let Some(text) = get("deleted") {
            deleted = validate::boolean_word(text).unwrap_or(false);
            live = !deleted;
        }
        if statuses.iter().all(|status| status == "deleted") && !statuses.is_empty() {
            if !call.actor.is_admin {
                return Err(Error::forbidden("Only administrators may list deleted instances"));
            }
            (live, deleted) = (false, true);
        }
        let project = project(call, policy, &get)?;
        let locked = match get("locked") {
            None => None,
            Some(text) => Some(validate::boolean_word(text).ok_or_else(|| {
                Error::bad_request(format!(
                    "Invalid input received: Unrecognized value '{text}', acceptable values are: '0', \
                     '1', 'f', 'false', 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes'"
                ))
            })?),
        };
        let mut asked = Asked {
            project,
            live,
            deleted,
            since,
            before,
            statuses,
            exact: Map::new(),
            like: Vec::new(),
            tags: Map::new(),
            locked,
            sort: sort(call)?,
        };
        asked.filters(call, &open)?;
        Ok(Some(asked))
    }

    fn filters(&mut self, call: &Call<Compute>, open: &dyn Fn(&str) -> bool) -> Result<()> {
        for (name, field) in [
            ("user_id", "user_id"),
            ("image", "image"),
            ("image_ref", "image"),
            ("vm_state", "vm_state"),
            ("task_state", "task_state"),
            ("flavor", "flavor"),
            ("uuid", "uuid"),
            ("host", "host"),
        ] {
            if let Some(value) = call.query.get(name).filter(|_| open(name)) {
                self.exact.insert(field, vec![value.to_owned()]);
            }
        }
        for (name, field) in [
            ("name", "name"),
            ("display_name", "name"),
            ("description", "description"),
            ("display_description", "description"),
            ("hostname", "hostname"),
            ("key_name", "key_name"),
            ("power_state", "power_state"),
            ("node", "node"),
            ("reservation_id", "reservation_id"),
            ("launched_at", "launched_at"),
            ("terminated_at", "terminated_at"),
            ("created_at", "created_at"),
            ("availability_zone", "availability_zone"),
            ("locked_by", "locked_by"),
            ("root_device_name", "root_device_name"),
            ("config_drive", "config_drive"),
            ("access_ip_v4", "access_ip_v4"),
            ("access_ip_v6", "access_ip_v6"),
            ("auto_disk_config", "auto_disk_config"),
            ("progress", "progress"),
            ("launch_index", "launch_index"),
            ("ip", "ip"),
            ("ip6", "ip"),
        ] {
            if let Some(value) = call.query.get(name).filter(|_| open(name)) {
                self.like.push((field, expression(name, value)?));
            }
        }
        for name in ["tags", "tags-any", "not-tags", "not-tags-any"] {
            if let Some(value) =
                call.query.get(name).filter(|_| open(name) && call.version >= v(2, 26))
            {
                self.tags.insert(name, value.split(',').map(str::to_owned).collect());
            }
        }
        Ok(())
    }
}

fn invalid_field(name: &str) -> Error {
    Error::bad_request(format!("Invalid filter field: {name}."))
}

fn expression(name: &str, value: &str) -> Result<Regex> {
    let refused = || {
        Error::bad_request(format!(
            "Invalid input for query parameters {name}. Value: {value}. '{value}' is not a 'regex'"
        ))
    };
    if value.is_empty() {
        return Err(refused());
    }
    RegexBuilder::new(value)
        .size_limit(1 << 20)
        .case_insensitive(true)
        .build()
        .map_err(|_| refused())
}

/// Whose servers are asked for.
fn project<'q>(
    call: &Call<Compute>,
    policy: &str,
    get: &dyn Fn(&str) -> Option<&'q str>,
) -> Result<Option<String>> {
    let all_tenants = match get("all_tenants") {
        None => false,
        Some("") => true,
        Some(text) => validate::boolean_word(text).ok_or_else(|| {
            Error::bad_request(format!(
                "Invalid input received: Unrecognized value '{text}', acceptable values are: '0', '1', \
                 'f', 'false', 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes'"
            ))
        })?,
    };
    if !all_tenants {
        return Ok(Some(call.actor.project_id().to_owned()));
    }
    call.allow(&format!("{policy}:get_all_tenants"), &call.own())?;
    Ok(get("tenant_id").or_else(|| get("project_id")).map(str::to_owned))
}

fn sort(call: &Call<Compute>) -> Result<Sort> {
    let mut keys: Vec<&str> = call.query.all("sort_key").map(str::trim).collect();
    let mut dirs: Vec<bool> = Vec::new();
    for dir in call.query.all("sort_dir") {
        dirs.push(match dir.trim().to_lowercase().as_str() {
            "desc" => true,
            "asc" => false,
            other => {
                return Err(Error::bad_request(format!(
                    "Invalid input received: Unknown sort direction, must be one of: asc, desc; not \
                     {other}"
                )));
            }
        });
    }
    if keys.is_empty() {
        keys.push("created_at");
    }
    let first = dirs.first().copied().unwrap_or(true);
    let mut sort = Sort { keys: Vec::new(), descending: first };
    for (at, key) in keys.into_iter().enumerate() {
        let ignored = IGNORED_KEYS.contains(&key) && (key != "locked" || call.version < v(2, 73));
        if ignored {
            continue;
        }
        if matches!(key, "host" | "node") && !call.actor.is_admin {
            return Err(Error::forbidden(format!("Only administrators can sort servers by {key}")));
        }
        sort.keys.push((key.to_owned(), dirs.get(at).copied().unwrap_or(first)));
    }
    Ok(sort)
}
