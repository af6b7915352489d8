//! Staging and importing through the router.

use serde_json::{Value, json};

use super::{TaskRecord, TaskStatus};
use crate::{
    store::Store,
    testing::{ADMIN, ALICE, Answer, BOB, Cloud},
};

const OCTETS: &[(&str, &str)] = &[("content-type", "application/octet-stream")];

async fn stage(cloud: &Cloud, id: &str, bytes: &'static str) -> Answer {
    cloud.send(ALICE, "PUT", &format!("/images/{id}/stage"), OCTETS, bytes).await
}

async fn import(cloud: &Cloud, id: &str, method: &str) -> Answer {
    cloud.post(ALICE, &format!("/images/{id}/import"), json!({"method": {"name": method}})).await
}

async fn tasks(cloud: &Cloud, id: &str) -> Vec<Value> {
    let list = cloud.get(ALICE, &format!("/images/{id}/tasks")).await.expect(200).json();
    list["tasks"].as_array().expect("tasks").clone()
}

#[tokio::test]
async fn staged_bytes_become_the_images() {
    let cloud = Cloud::new().await;
    cloud.start();
    let id = cloud.make(ALICE, json!({"disk_format": "raw", "container_format": "bare"})).await;
    import(&cloud, &id, "glance-direct").await.expect(409);
    stage(&cloud, &id, "bytes").await.expect(204);
    let image = cloud.show(ALICE, &id).await;
    assert_eq!((&image["status"], &image["size"]), (&json!("uploading"), &json!(5)));
    assert_eq!(image["checksum"], json!(null));
    cloud.get(ALICE, &format!("/images/{id}/file")).await.expect(204);
    stage(&cloud, &id, "more").await.expect(409);
    cloud.upload(ALICE, &id, "more").await.expect(409);
    let asked = import(&cloud, &id, "glance-direct").await.expect(202);
    cloud.until("active", async || cloud.show(ALICE, &id).await["status"] == "active").await;
    let tasks = tasks(&cloud, &id).await;
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0]["status"], "success");
    assert_eq!(
        tasks[0]["request_id"].as_str().expect("id"),
        asked.headers["x-openstack-request-id"].to_str().expect("text")
    );
    assert_eq!(tasks[0]["input"]["import_req"]["method"]["name"], "glance-direct");
    assert_eq!(cloud.get(ALICE, &format!("/images/{id}/file")).await.expect(200).text(), "bytes");
    let image = cloud.show(ALICE, &id).await;
    assert_eq!(image["checksum"], "4b3a6218bb3e3a7303e8a171a60fcf92");
    assert_eq!(image.get("os_glance_import_task"), None);
    import(&cloud, &id, "glance-direct").await.expect(409);
    // Tasks are for admins.
    let task = tasks[0]["id"].as_str().expect("id");
    cloud.get(ALICE, "/tasks").await.expect(403);
    let all = cloud.get(ADMIN, "/tasks").await.expect(200).json();
    assert_eq!(all["tasks"][0]["id"], task);
    let one = cloud.get(ADMIN, &format!("/tasks/{task}")).await.expect(200).json();
    assert_eq!(one["type"], "api_image_import");
    cloud.delete(ADMIN, &format!("/tasks/{task}")).await.expect(405);
    cloud.get(ADMIN, "/tasks/none").await.expect(404);
    cloud.get(BOB, &format!("/images/{id}/tasks")).await.expect(404);
}

#[tokio::test]
async fn staged_bytes_that_are_something_else_are_dropped() {
    let cloud = Cloud::new().await;
    cloud.start();
    let id = cloud.make(ALICE, json!({"disk_format": "qcow2", "container_format": "bare"})).await;
    stage(&cloud, &id, "no qcow2").await.expect(204);
    import(&cloud, &id, "glance-direct").await.expect(202);
    cloud.until("queued", async || cloud.show(ALICE, &id).await["status"] == "queued").await;
    let tasks = tasks(&cloud, &id).await;
    assert_eq!(tasks[0]["status"], "failure");
    assert_eq!(tasks[0]["message"], "Image disk_format qcow2 does not match stream data raw");
    cloud.until("no bytes", async || cloud.store.list().expect("list").is_empty()).await;
    stage(&cloud, &id, "again").await.expect(204);
}

#[tokio::test]
async fn deleted_in_the_middle() {
    let cloud = Cloud::new().await;
    let id = cloud.make(ALICE, json!({"disk_format": "raw", "container_format": "bare"})).await;
    stage(&cloud, &id, "bytes").await.expect(204);
    import(&cloud, &id, "glance-direct").await.expect(202);
    assert_eq!(cloud.show(ALICE, &id).await["status"], "importing");
    cloud.delete(ALICE, &format!("/images/{id}")).await.expect(204);
    cloud.start();
    cloud
        .until("the task ended and nothing is left", async || {
            let known = cloud.state.known();
            known.all::<TaskRecord>().all(|task| task.status == TaskStatus::Failure)
                && cloud.store.list().expect("list").is_empty()
        })
        .await;
}

#[tokio::test]
async fn what_is_not_imported() {
    let cloud = Cloud::new().await;
    let id = cloud.make(ALICE, json!({"disk_format": "raw", "container_format": "bare"})).await;
    for method in ["web-download", "glance-download", "copy-image", "x"] {
        let refused = import(&cloud, &id, method).await.expect(400);
        assert!(
            refused.error().starts_with(&format!("Unknown import method name '{method}'.")),
            "{}",
            refused.error()
        );
    }
    let path = format!("/images/{id}/import");
    for (body, status) in [
        (json!({}), 400),
        (json!({"method": {}}), 400),
        (json!({"method": {"name": "glance-direct"}, "all_stores": "yes"}), 400),
        (json!({"method": {"name": "glance-direct"}, "stores": ["other"]}), 409),
        (
            json!({"method": {"name": "glance-direct"}, "all_stores": true, "stores": ["local"]}),
            400,
        ),
    ] {
        cloud.post(ALICE, &path, body.clone()).await.expect(status);
    }
    let bare = cloud.make(ALICE, json!({})).await;
    stage(&cloud, &bare, "x").await.expect(204);
    let refused = import(&cloud, &bare, "glance-direct").await.expect(409);
    assert_eq!(refused.error(), "'container_format' needs to be set before import");
    let legacy = json!({"type": "import", "input": {"import_from": "http://x/y"}});
    cloud.post(ADMIN, "/tasks", legacy).await.expect(400);
}
