//! Limits: what a project may have and has, for clients that ask before they try. Nothing is stored here.

use base::Result;
use serde_json::{Map, Value, json};
use web::{
    Call, Card, Policy, Reply, v,
    validate::{self, Schema, Style, prop},
};

use crate::{
    Compute,
    policies::{ADMIN, ANY},
    quotas::{Limits, Resource, UsageRecord},
};

const OTHER: (&str, &str) = ("os_compute_api:limits:other_project", ADMIN);
const BASE: (&str, &str) = ("os_compute_api:limits", ANY);

const QUERY: Schema = Schema::object(&[prop("tenant_id", Schema::string())]).open_until(v(2, 75));

/// This room's routes.
pub(crate) fn cards() -> Vec<Card<Compute>> {
    vec![Card::get("/limits", Policy::Checked(&[BASE, OTHER]), show)]
}

/// What is shown of a limit: its name and the last microversion that shows it.
const LIMITS: [(Resource, &str, Option<u16>); 13] = [
    (Resource::Cores, "maxTotalCores", None),
    (Resource::FloatingIps, "maxTotalFloatingIps", Some(35)),
    (Resource::InjectedFileContentBytes, "maxPersonalitySize", Some(56)),
    (Resource::InjectedFiles, "maxPersonality", Some(56)),
    (Resource::Instances, "maxTotalInstances", None),
    (Resource::KeyPairs, "maxTotalKeypairs", None),
    (Resource::MetadataItems, "maxServerMeta", None),
    (Resource::MetadataItems, "maxImageMeta", Some(38)),
    (Resource::Ram, "maxTotalRAMSize", None),
    (Resource::SecurityGroupRules, "maxSecurityGroupRules", Some(35)),
    (Resource::SecurityGroups, "maxSecurityGroups", Some(35)),
    (Resource::ServerGroupMembers, "maxServerGroupMembers", None),
    (Resource::ServerGroups, "maxServerGroups", None),
];

/// What is shown of a use.
const USED: [(Resource, &str, Option<u16>); 6] = [
    (Resource::Ram, "totalRAMUsed", None),
    (Resource::Cores, "totalCoresUsed", None),
    (Resource::Instances, "totalInstancesUsed", None),
    (Resource::FloatingIps, "totalFloatingIpsUsed", Some(35)),
    (Resource::SecurityGroups, "totalSecurityGroupsUsed", Some(35)),
    (Resource::ServerGroups, "totalServerGroupsUsed", None),
];

async fn show(call: Call<Compute>) -> Result<Reply> {
    validate::check_query(&QUERY, &call.query, call.version, Style::Nova)?;
    call.allow(BASE.0, &call.own())?;
    let project = match call.query.get("tenant_id") {
        Some(project) => {
            call.allow(OTHER.0, &call.own())?;
            project
        }
        None => call.actor.project_id(),
    };
    let snapshot = call.context.state.fresh().await?;
    let limits = Limits::seen(&snapshot, project)?;
    let used = snapshot.find::<UsageRecord>(project)?.map(|used| *used).unwrap_or_default();
    let shown = |until: Option<u16>| until.is_none_or(|until| call.version <= v(2, until));
    let mut absolute: Map<String, Value> = Map::new();
    for (resource, name, _) in LIMITS.into_iter().filter(|(_, _, until)| shown(*until)) {
        absolute.insert(name.to_owned(), limits.project(resource).into());
    }
    for (resource, name, _) in USED.into_iter().filter(|(_, _, until)| shown(*until)) {
        absolute.insert(name.to_owned(), used.of(resource).into());
    }
    Ok(Reply::ok(json!({"limits": {"rate": [], "absolute": absolute}})))
}

#[cfg(test)]
mod tests;
