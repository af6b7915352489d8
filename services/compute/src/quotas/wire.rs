//! Quotas as JSON, in and out: one table of resources with the microversions that show them.

use serde_json::{Map, Value, json};
use web::{
    Microversion, v,
    validate::{self, Prop, Schema, prop},
};

use super::{Resource, Set, record::Limits, record::UsageRecord};

const LIMIT: Schema = Schema::signed_or_text().pattern("^-?[0-9]+$").max(0x7FFF_FFFF);

const SET: &[Prop] = &[
    prop("instances", LIMIT),
    prop("cores", LIMIT),
    prop("ram", LIMIT),
    prop("floating_ips", LIMIT).until("2.35"),
    prop("fixed_ips", LIMIT).until("2.35"),
    prop("metadata_items", LIMIT),
    prop("key_pairs", LIMIT),
    prop("security_groups", LIMIT).until("2.35"),
    prop("security_group_rules", LIMIT).until("2.35"),
    prop("injected_files", LIMIT).until("2.56"),
    prop("injected_file_content_bytes", LIMIT).until("2.56"),
    prop("injected_file_path_bytes", LIMIT).until("2.56"),
    prop("server_groups", LIMIT),
    prop("server_group_members", LIMIT),
    prop("force", Schema::boolean_or_text()),
];

const CLASS: &[Prop] = &[
    prop("instances", LIMIT),
    prop("cores", LIMIT),
    prop("ram", LIMIT),
    prop("floating_ips", LIMIT).until("2.49"),
    prop("fixed_ips", LIMIT).until("2.49"),
    prop("metadata_items", LIMIT),
    prop("key_pairs", LIMIT),
    prop("security_groups", LIMIT).until("2.49"),
    prop("security_group_rules", LIMIT).until("2.49"),
    prop("injected_files", LIMIT).until("2.56"),
    prop("injected_file_content_bytes", LIMIT).until("2.56"),
    prop("injected_file_path_bytes", LIMIT).until("2.56"),
    prop("server_groups", LIMIT),
    prop("server_group_members", LIMIT),
];

/// `PUT /os-quota-sets/{project}`
pub(super) const UPDATE: Schema =
    Schema::object(&[prop("quota_set", Schema::object(SET)).required()]);

/// `PUT /os-quota-class-sets/{class}`
pub(super) const UPDATE_CLASS: Schema =
    Schema::object(&[prop("quota_class_set", Schema::object(CLASS)).required()]);

/// Queries of `/os-quota-sets/{project}`.
pub(super) const QUERY: Schema =
    Schema::object(&[prop("user_id", Schema::string())]).open_until(v(2, 75));

/// Whether quota sets of this microversion have the resource.
fn in_sets(resource: Resource, version: Microversion) -> bool {
    match resource {
        Resource::FixedIps
        | Resource::FloatingIps
        | Resource::SecurityGroups
        | Resource::SecurityGroupRules => version < v(2, 36),
        Resource::InjectedFiles
        | Resource::InjectedFileContentBytes
        | Resource::InjectedFilePathBytes => version < v(2, 57),
        _ => true,
    }
}

/// Whether quota classes of this microversion have the resource.
fn in_classes(resource: Resource, version: Microversion) -> bool {
    match resource {
        Resource::FixedIps
        | Resource::FloatingIps
        | Resource::SecurityGroups
        | Resource::SecurityGroupRules => version < v(2, 50),
        Resource::ServerGroups | Resource::ServerGroupMembers => version >= v(2, 50),
        _ => in_sets(resource, version),
    }
}

/// Limits that a valid body sets.
pub(super) fn parse(set: &Value) -> Set {
    let set = set.as_object().into_iter().flatten();
    set.filter_map(|(name, value)| {
        let resource = Resource::named(name)?;
        Some((resource.name().to_owned(), validate::integer(value)?))
    })
    .collect()
}

fn list(
    id: Option<&str>,
    has: impl Fn(Resource) -> bool,
    value: impl Fn(Resource) -> Value,
) -> Value {
    let mut view = Map::new();
    if let Some(id) = id {
        view.insert("id".to_owned(), id.into());
    }
    for resource in Resource::ALL.into_iter().filter(|resource| has(*resource)) {
        view.insert(resource.name().to_owned(), value(resource));
    }
    Value::Object(view)
}

/// A quota set.
pub(super) fn set(
    version: Microversion,
    id: Option<&str>,
    limit: impl Fn(Resource) -> i64,
) -> Value {
    let set = list(id, |resource| in_sets(resource, version), |resource| limit(resource).into());
    json!({"quota_set": set})
}

/// A quota set with what is used.
pub(super) fn detail(
    version: Microversion,
    id: &str,
    limit: impl Fn(Resource) -> i64,
    used: &UsageRecord,
) -> Value {
    let one =
        |resource| json!({"in_use": used.of(resource), "limit": limit(resource), "reserved": 0});
    json!({"quota_set": list(Some(id), |resource| in_sets(resource, version), one)})
}

/// A quota class.
pub(super) fn class(version: Microversion, id: Option<&str>, limits: &Set) -> Value {
    let limit = |resource: Resource| {
        limits.get(resource.name()).copied().unwrap_or_else(|| resource.default_limit()).into()
    };
    json!({"quota_class_set": list(id, |resource| in_classes(resource, version), limit)})
}

/// The limits of a project or of a user in it, by resource.
pub(super) fn limits<'l>(
    limits: &'l Limits,
    user: Option<&'l str>,
) -> impl Fn(Resource) -> i64 + 'l {
    move |resource| match user {
        Some(user) => limits.user(user, resource),
        None => limits.project(resource),
    }
}
