//! Bytes in and out through the router: whole, broken off, refused, raced, crashed.

use std::{sync::Arc, time::Duration};

use base::{Error, World};
use bytes::Bytes;
use futures_util::stream;
use md5::{Digest, Md5};
use serde_json::json;
use sha2::Sha512;
use state::backend::MemoryStore as Keys;
use tokio::sync::mpsc;
use web::RequestBody;

use crate::{
    Options,
    images::{GarbageRecord, ImageRecord},
    store::{MemoryStore, Store},
    testing::{ADMIN, ALICE, BOB, Cloud, READER},
};

fn raw() -> serde_json::Value {
    json!({"disk_format": "raw", "container_format": "bare"})
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that come in pieces of uneven sizes.
fn pieces(bytes: &Bytes) -> RequestBody {
    let mut rest = bytes.clone();
    let mut pieces = Vec::new();
    for size in [1, 3000, 70_000, 1, 1_500_000, 5].into_iter().cycle() {
        if rest.is_empty() {
            break;
        }
        pieces.push(Ok(rest.split_to(rest.len().min(size))));
    }
    RequestBody::Stream(Box::pin(stream::iter(pieces)))
}

fn noise(length: usize) -> Bytes {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect::<Vec<u8>>().into()
}

/// A body that its test feeds.
fn fed() -> (mpsc::UnboundedSender<base::Result<Bytes>>, RequestBody) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let stream = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|item| (item, receiver))
    });
    (sender, RequestBody::Stream(Box::pin(stream)))
}

fn objects(cloud: &Cloud) -> usize {
    cloud.store.list().expect("list").len()
}

#[tokio::test]
async fn bytes_come_back_as_they_went() {
    let cloud = Cloud::new().await;
    let id = cloud.make(ALICE, raw()).await;
    let path = format!("/images/{id}/file");
    let empty = cloud.get(ALICE, &path).await.expect(204);
    assert!(empty.body.is_empty());
    let bytes = noise(5_000_001);
    cloud.upload(ALICE, &id, pieces(&bytes)).await.expect(204);
    let image = cloud.show(ALICE, &id).await;
    assert_eq!(image["size"], 5_000_001);
    assert_eq!(image["checksum"], hex(&Md5::digest(&bytes)));
    assert_eq!(image["os_hash_value"], hex(&Sha512::digest(&bytes)));
    let back = cloud.get(ALICE, &path).await.expect(200);
    assert!(back.body == bytes, "the bytes differ");
    assert_eq!(back.headers["content-type"], "application/octet-stream");
    assert_eq!(back.headers["content-length"], "5000001");
    assert_eq!(back.headers["content-md5"].to_str().expect("text"), image["checksum"]);
    for (range, part, shown) in [
        ("bytes=0-9", 0..10, "bytes 0-9/5000001"),
        ("bytes=4999990-", 4_999_990..5_000_001, "bytes 4999990-5000000/5000001"),
        ("bytes=-3", 4_999_998..5_000_001, "bytes 4999998-5000000/5000001"),
        ("bytes=100-2000000", 100..2_000_001, "bytes 100-2000000/5000001"),
    ] {
        let answer = cloud.send(ALICE, "GET", &path, &[("range", range)], "").await.expect(206);
        assert!(answer.body == bytes.slice(part), "{range}");
        assert_eq!(answer.headers["content-range"], shown);
        assert!(!answer.headers.contains_key("content-md5"));
    }
    for (range, status) in [("bytes=5000001-", 416), ("bytes=a", 416), ("bytes=0-1,2-3", 400)] {
        cloud.send(ALICE, "GET", &path, &[("range", range)], "").await.expect(status);
    }
    let node = cloud.images.read(&id, 7..20).await.expect("read");
    assert_eq!(node, bytes.slice(7..20));
    assert!(cloud.images.read(&id, 5_000_001..5_000_002).await.is_err());
    assert!(cloud.images.read("none", 0..1).await.is_err());
    cloud.get(BOB, &path).await.expect(404);
    cloud.get(READER, &path).await.expect(403);
    let again = cloud.upload(ALICE, &id, "x").await.expect(409);
    assert_eq!(again.error(), "Image status transition from active to saving is not allowed");
}

#[tokio::test]
async fn what_is_not_taken() {
    let cloud = Cloud::new().await;
    let bare = cloud.make(ALICE, json!({"container_format": "bare"})).await;
    let refused = cloud.upload(ALICE, &bare, "x").await.expect(400);
    assert_eq!(refused.error(), "Property disk_format must be set prior to saving data.");
    let nothing = cloud.make(ALICE, json!({})).await;
    let refused = cloud.upload(ALICE, &nothing, "x").await.expect(400);
    assert_eq!(
        refused.error(),
        "Properties disk_format, container_format must be set prior to saving data."
    );
    let id = cloud.make(ALICE, raw()).await;
    let path = format!("/images/{id}/file");
    for headers in [vec![], vec![("content-type", "application/json")]] {
        cloud.send(ALICE, "PUT", &path, &headers, "x").await.expect(415);
    }
    let octets = ("content-type", "application/octet-stream");
    for (size, status) in [("two", 400), ("3", 400), ("1", 204)] {
        let headers = [octets, ("x-openstack-image-size", size)];
        cloud.send(ALICE, "PUT", &path, &headers, "x").await.expect(status);
    }
    let id = cloud
        .make(
            ALICE,
            json!({
                "disk_format": "raw", "container_format": "bare", "visibility": "community",
            }),
        )
        .await;
    cloud.upload(BOB, &id, "x").await.expect(403);
    cloud.upload(READER, &id, "x").await.expect(403);
    cloud.upload(BOB, "none", "x").await.expect(404);
    cloud.upload("", &id, "x").await.expect(401);
    let other = [octets, ("x-image-meta-store", "elsewhere")];
    cloud.send(ALICE, "PUT", &format!("/images/{id}/file"), &other, "x").await.expect(400);
    assert_eq!(objects(&cloud), 1);
}

#[tokio::test]
async fn other_content_than_declared_is_refused_and_may_be_tried_again() {
    let cloud = Cloud::new().await;
    let id = cloud.make(ALICE, json!({"disk_format": "qcow2", "container_format": "bare"})).await;
    let refused = cloud.upload(ALICE, &id, "no qcow2 at all").await.expect(415);
    assert_eq!(refused.error(), "Image disk_format qcow2 does not match stream data raw");
    let image = cloud.show(ALICE, &id).await;
    assert_eq!((&image["status"], &image["size"]), (&json!("queued"), &json!(null)));
    assert_eq!(objects(&cloud), 0);
    let change = json!([{"op": "replace", "path": "/disk_format", "value": "raw"}]);
    cloud.patch(ALICE, &id, change).await.expect(200);
    cloud.upload(ALICE, &id, "no qcow2 at all").await.expect(204);
    let change = json!([{"op": "replace", "path": "/disk_format", "value": "qcow2"}]);
    let refused = cloud.patch(ALICE, &id, change).await.expect(403);
    assert_eq!(refused.error(), "Attribute disk_format can be only replaced for a queued image.");
}

#[tokio::test]
async fn without_enforcement_strange_content_is_kept_but_never_booted() {
    let options = Options { require_format_match: false, ..Options::default() };
    let cloud = Cloud::with(options, MemoryStore::new("here")).await;
    let id = cloud.make(ALICE, json!({"disk_format": "qcow2", "container_format": "bare"})).await;
    cloud.upload(ALICE, &id, "no qcow2 at all").await.expect(204);
    let image = cloud.show(ALICE, &id).await;
    assert_eq!((&image["status"], &image["virtual_size"]), (&json!("active"), &json!(null)));
    let record = cloud.state.known().get::<ImageRecord>(&id).expect("image");
    assert!(crate::images::bootable(&id, &record).is_err());
    // What reaches outside itself is refused all the same, under any name.
    for format in ["qcow2", "raw", "vmdk"] {
        let mut hostile = b"QFI\xfb\0\0\0\x02\0\0\0\0\0\0\x10\0\0\0\0\x10\0\0\0\x10".to_vec();
        hostile.resize(4096, 0);
        let body = json!({"disk_format": format, "container_format": "bare"});
        let id = cloud.make(ALICE, body).await;
        let refused = cloud.upload(ALICE, &id, hostile).await.expect(415);
        assert_eq!(refused.error(), "Image failed safety checks: qcow2: it has a backing file");
    }
}

#[tokio::test]
async fn a_broken_off_upload_leaves_nothing() {
    let cloud = Cloud::new().await;
    let id = cloud.make(ALICE, raw()).await;
    let (feed, body) = fed();
    feed.send(Ok(noise(2_000_000))).expect("sent");
    feed.send(Err(Error::bad_request("The request's body ended too early."))).expect("sent");
    cloud.upload(ALICE, &id, body).await.expect(400);
    assert_eq!(cloud.show(ALICE, &id).await["status"], "queued");
    assert_eq!(objects(&cloud), 0);
    cloud.upload(ALICE, &id, "whole").await.expect(204);
}

#[tokio::test]
async fn too_much_is_refused() {
    let options = Options { largest: 10, ..Options::default() };
    let cloud = Cloud::with(options, MemoryStore::new("here")).await;
    let id = cloud.make(ALICE, raw()).await;
    let refused = cloud.upload(ALICE, &id, "eleven byte").await.expect(413);
    assert!(refused.error().starts_with("The incoming image is too large"), "{}", refused.error());
    cloud.upload(ALICE, &id, "ten  bytes").await.expect(204);
    let cloud = Cloud::with(Options::default(), MemoryStore::with_room("here", 10)).await;
    let id = cloud.make(ALICE, raw()).await;
    let refused = cloud.upload(ALICE, &id, "eleven byte").await.expect(413);
    assert!(refused.error().starts_with("Image storage media is full"), "{}", refused.error());
    assert_eq!(cloud.show(ALICE, &id).await["status"], "queued");
    cloud.upload(ALICE, &id, "ten  bytes").await.expect(204);
}

#[tokio::test]
async fn deleted_while_its_bytes_come() {
    let cloud = Cloud::new().await;
    cloud.start();
    let id = cloud.make(ALICE, raw()).await;
    let (feed, body) = fed();
    feed.send(Ok("first".into())).expect("sent");
    let uploading = cloud.upload(ALICE, &id, body);
    let deleting = async {
        cloud.until("saving", async || cloud.show(ALICE, &id).await["status"] == "saving").await;
        cloud.get(ALICE, &format!("/images/{id}/file")).await.expect(204);
        cloud.delete(ALICE, &format!("/images/{id}")).await.expect(204);
        feed.send(Ok("last".into())).expect("sent");
        drop(feed);
    };
    let (uploaded, ()) = futures_util::future::join(uploading, deleting).await;
    assert!(uploaded.expect(410).error().contains("may have been deleted during the upload"));
    cloud
        .until("nothing left", async || {
            objects(&cloud) == 0 && cloud.state.known().count::<GarbageRecord>() == 0
        })
        .await;
}

#[tokio::test]
async fn of_two_uploads_at_once_one_is_taken() {
    for round in 0..20 {
        let cloud = Cloud::new().await;
        let id = cloud.make(ALICE, raw()).await;
        let (a, b) = futures_util::future::join(
            cloud.upload(ALICE, &id, "aaaa"),
            cloud.upload(ADMIN, &id, "bbbb"),
        )
        .await;
        let mut statuses = [a.status, b.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 409], "round {round}");
        let won = if a.status == 204 { "aaaa" } else { "bbbb" };
        assert_eq!(cloud.get(ALICE, &format!("/images/{id}/file")).await.expect(200).text(), won);
        assert_eq!(objects(&cloud), 1);
    }
}

#[tokio::test]
async fn an_upload_that_dies_with_its_controller_is_put_back() {
    let world = World::real();
    let keys = Arc::new(Keys::new(world.clone()));
    let store = MemoryStore::new("here");
    let process = world.scope("first life");
    let first =
        Cloud::over(process.clone(), keys.clone(), "c1", Options::default(), store.clone()).await;
    let id = first.make(ALICE, raw()).await;
    let kept = first.active(ALICE, b"kept").await;
    let (feed, body) = fed();
    feed.send(Ok("first".into())).expect("sent");
    let state = first.state.clone();
    let uploading = world.spawn("upload", {
        let id = id.clone();
        async move { first.upload(ALICE, &id, body).await.status }
    });
    while state.known().get::<ImageRecord>(&id).is_none_or(|image| image.upload.is_none()) {
        world.sleep(Duration::from_millis(1)).await;
    }
    process.kill();
    uploading.abort();
    // What a controller leaves that dies after the last byte and before the record.
    let mut orphan = store.create("00112233445566778899aabbccddeeff").expect("create");
    orphan.write(b"orphan").expect("write");
    orphan.keep().expect("keep");
    let again = Cloud::over(world.clone(), keys, "c1", Options::default(), store).await;
    again.start();
    again.until("queued again", async || again.show(ALICE, &id).await["status"] == "queued").await;
    again
        .until("only what is named", async || {
            objects(&again) == 1 && again.state.known().count::<GarbageRecord>() == 0
        })
        .await;
    assert_eq!(again.get(ALICE, &format!("/images/{kept}/file")).await.expect(200).text(), "kept");
    again.upload(ALICE, &id, "anew").await.expect(204);
}

#[tokio::test]
async fn bytes_of_another_place_are_not_looked_for_here() {
    let world = World::real();
    let keys = Arc::new(Keys::new(world.clone()));
    let options = Options::default();
    let one =
        Cloud::over(world.clone(), keys.clone(), "c1", options.clone(), MemoryStore::new("one"))
            .await;
    let two = Cloud::over(world.clone(), keys, "c2", options, MemoryStore::new("two")).await;
    let id = one.active(ALICE, b"bytes").await;
    two.get(ALICE, &format!("/images/{id}/file")).await.expect(503);
    // Nor are they removed by who has not got them.
    two.start();
    one.delete(ALICE, &format!("/images/{id}")).await.expect(204);
    two.world.sleep(Duration::from_millis(50)).await;
    assert_eq!(one.state.known().count::<GarbageRecord>(), 1);
    one.start();
    one.until("removed", async || {
        objects(&one) == 0 && one.state.known().count::<GarbageRecord>() == 0
    })
    .await;
}
