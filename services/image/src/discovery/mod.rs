//! What this service offers: its versions, ways to import, stores, and what a project uses.

use base::Result;
use serde_json::json;
use web::{Call, Card, Discovery, DiscoveryStyle, Policy, Reply, VersionDoc};

use crate::{
    context::Images,
    images::{ImageRecord, Status},
    imports::METHODS,
};

/// The version documents at `/image`. 2.14 (the cache) is not offered; 2.8 to 2.13 and 2.15 are those of a
/// service that names its stores, of which there is one.
pub(crate) fn versions() -> Discovery {
    const VERSIONS: [&str; 16] = [
        "v2.16", "v2.15", "v2.13", "v2.12", "v2.11", "v2.10", "v2.9", "v2.8", "v2.7", "v2.6",
        "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0",
    ];
    let version = |id: &'static str| VersionDoc {
        id,
        status: if Some(&id) == VERSIONS.first() { "CURRENT" } else { "SUPPORTED" },
        updated: "",
        path: "/image/v2",
        microversions: None,
    };
    Discovery {
        style: DiscoveryStyle::Glance,
        root: "/image",
        versions: VERSIONS.into_iter().map(version).collect(),
    }
}

pub(crate) fn cards() -> Vec<Card<Images>> {
    vec![
        Card::get("/info/import", Policy::AnyToken, import),
        Card::get("/info/stores", Policy::AnyToken, stores),
        Card::get(
            "/info/stores/detail",
            Policy::Rule("stores_info_detail", "rule:context_is_admin or rule:service_api"),
            stores_detail,
        ),
        Card::get("/info/usage", Policy::AnyToken, usage),
    ]
}

async fn import(_call: Call<Images>) -> Result<Reply> {
    Ok(Reply::ok(json!({"import-methods": {
        "description": "Import methods available.",
        "type": "array",
        "value": METHODS,
    }})))
}

async fn stores(call: Call<Images>) -> Result<Reply> {
    let id = &call.context.options().store_name;
    Ok(Reply::ok(json!({"stores": [{"id": id, "default": "true"}]})))
}

async fn stores_detail(call: Call<Images>) -> Result<Reply> {
    let id = &call.context.options().store_name;
    Ok(Reply::ok(json!({"stores": [{
        "id": id,
        "default": "true",
        "type": "file",
        "weight": 0,
        "properties": {},
    }]})))
}

/// What the project uses; there are no limits.
async fn usage(call: Call<Images>) -> Result<Reply> {
    const MIB: u64 = 1 << 20;
    let project = call.actor.project_id();
    let snapshot = call.context.state().fresh().await?;
    let (mut count, mut coming, mut size, mut staged) = (0_u64, 0_u64, 0_u64, 0_u64);
    let images = snapshot.by::<ImageRecord>("owner", project);
    for image in images.iter().filter(|_| !project.is_empty()) {
        count += 1;
        let bytes = image.size().unwrap_or(0);
        match image.status {
            Status::Active | Status::Deactivated => size += bytes,
            Status::Uploading | Status::Importing => {
                coming += 1;
                staged += bytes;
            }
            Status::Saving => coming += 1,
            Status::Queued => {}
        }
    }
    let used = |usage: u64| json!({"usage": usage, "limit": -1});
    Ok(Reply::ok(json!({"usage": {
        "image_size_total": used(size / MIB),
        "image_stage_total": used(staged / MIB),
        "image_count_total": used(count),
        "image_count_uploading": used(coming),
    }})))
}
