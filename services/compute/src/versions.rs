//! Which microversions there are, the version documents, and the list of extensions that old clients read.

use base::{Error, Result};
use serde_json::{Value, json};
use web::{
    Call, Card, Discovery, DiscoveryStyle, MicroversionScheme, Policy, Reply, VersionDoc, v,
};

use crate::{Compute, policies::ANY};

/// Nova's 2.1 to 2.96: what came later is not all here.
pub(crate) const MICROVERSIONS: MicroversionScheme = MicroversionScheme {
    service_type: "compute",
    min: v(2, 1),
    max: v(2, 96),
    legacy_header: Some("x-openstack-nova-api-version"),
};

/// Where the API is.
pub(crate) const PREFIX: &str = "/compute/v2.1";

/// Where old clients look for it: v2.1 without microversions.
pub(crate) const LEGACY: &str = "/compute/v2";

/// The version documents.
pub(crate) fn discovery() -> Discovery {
    Discovery {
        style: DiscoveryStyle::Nova,
        root: crate::links::ROOT,
        // Tools expect the oldest first, as Nova lists them.
        versions: vec![
            VersionDoc {
                id: "v2.0",
                status: "SUPPORTED",
                updated: "2011-01-21T11:33:21Z",
                path: LEGACY,
                microversions: None,
            },
            VersionDoc {
                id: "v2.1",
                status: "CURRENT",
                updated: "2013-07-23T11:33:21Z",
                path: PREFIX,
                microversions: Some(MICROVERSIONS),
            },
        ],
    }
}

/// Name and alias: what clients ask for is the alias.
const EXTENSIONS: &[(&str, &str)] = &[
    ("AdminActions", "os-admin-actions"),
    ("Aggregates", "os-aggregates"),
    ("AttachInterfaces", "os-attach-interfaces"),
    ("AvailabilityZone", "os-availability-zone"),
    ("ConfigDrive", "os-config-drive"),
    ("ConsoleOutput", "os-console-output"),
    ("DiskConfig", "OS-DCF"),
    ("ExtendedAvailabilityZone", "OS-EXT-AZ"),
    ("ExtendedServerAttributes", "OS-EXT-SRV-ATTR"),
    ("ExtendedStatus", "OS-EXT-STS"),
    ("ExtendedVolumes", "os-extended-volumes"),
    ("Extensions", "extensions"),
    ("FlavorAccess", "os-flavor-access"),
    ("FlavorDisabled", "OS-FLV-DISABLED"),
    ("FlavorExtraData", "OS-FLV-EXT-DATA"),
    ("FlavorExtraSpecs", "os-flavor-extra-specs"),
    ("FlavorManage", "os-flavor-manage"),
    ("Flavors", "flavors"),
    ("Hosts", "os-hosts"),
    ("Hypervisors", "os-hypervisors"),
    ("InstanceActions", "os-instance-actions"),
    ("Ips", "ips"),
    ("Keypairs", "os-keypairs"),
    ("Limits", "limits"),
    ("LockServer", "os-lock-server"),
    ("Migrations", "os-migrations"),
    ("MultipleCreate", "os-multiple-create"),
    ("QuotaClasses", "os-quota-class-sets"),
    ("Quotas", "os-quota-sets"),
    ("SchedulerHints", "OS-SCH-HNT"),
    ("ServerDiagnostics", "os-server-diagnostics"),
    ("ServerGroups", "os-server-groups"),
    ("ServerMetadata", "server-metadata"),
    ("ServerPassword", "os-server-password"),
    ("ServerUsage", "OS-SRV-USG"),
    ("Servers", "servers"),
    ("Services", "os-services"),
    ("SimpleTenantUsage", "os-simple-tenant-usage"),
    ("UserData", "os-user-data"),
    ("Versions", "versions"),
];

/// Routes of extensions.
pub(crate) fn cards() -> Vec<Card<Compute>> {
    let policy = Policy::Rule("os_compute_api:extensions", ANY);
    vec![Card::get("/extensions", policy, index), Card::get("/extensions/{alias}", policy, show)]
}

fn shown(name: &str, alias: &str) -> Value {
    json!({
        "name": name,
        "alias": alias,
        "description": "",
        "links": [],
        "namespace": "http://docs.openstack.org/compute/ext/fake_xml",
        "updated": "2014-12-03T00:00:00Z",
    })
}

async fn index(_: Call<Compute>) -> Result<Reply> {
    let list: Vec<Value> = EXTENSIONS.iter().map(|(name, alias)| shown(name, alias)).collect();
    Ok(Reply::ok(json!({ "extensions": list })))
}

async fn show(call: Call<Compute>) -> Result<Reply> {
    let alias = call.param("alias");
    let found = EXTENSIONS.iter().find(|(_, known)| *known == alias);
    match found {
        Some((name, alias)) => Ok(Reply::ok(json!({ "extension": shown(name, alias) }))),
        None => Err(Error::not_found("The resource could not be found.")),
    }
}
