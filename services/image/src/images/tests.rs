//! Images through the router.

use serde_json::{Value, json};

use super::{ImageRecord, Viewer, bootable, find_visible};
use crate::{
    images::GarbageRecord,
    testing::{ADMIN, ALICE, BOB, Cloud, READER},
};

/// The same for each run: ids and times replaced.
fn golden(mut image: Value, id: &str) -> Value {
    let text = image.to_string().replace(id, "ID");
    image = serde_json::from_str(&text).expect("json");
    for name in ["created_at", "updated_at"] {
        let time = image[name].as_str().expect("a time");
        assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
        image[name] = "TIME".into();
    }
    image
}

#[tokio::test]
async fn an_image_as_it_is_made_and_shown() {
    let cloud = Cloud::new().await;
    let body = json!({
        "name": "debian", "disk_format": "raw", "container_format": "bare", "min_ram": 64,
        "tags": ["b", "a", "a"], "os_distro": "debian",
    });
    let made = cloud.post(ALICE, "/images", body).await.expect(201);
    assert_eq!(made.headers["openstack-image-import-methods"], "glance-direct");
    assert_eq!(made.headers["openstack-image-store-ids"], "local");
    let made_body = made.json();
    let id = made_body["id"].as_str().expect("id").to_owned();
    assert_eq!(
        made.headers["location"].to_str().expect("text"),
        format!("http://localhost/image/v2/images/{id}")
    );
    assert_eq!(made_body, cloud.show(ALICE, &id).await);
    assert_eq!(
        golden(made_body, &id),
        json!({
            "os_distro": "debian",
            "name": "debian",
            "disk_format": "raw",
            "container_format": "bare",
            "visibility": "shared",
            "size": null,
            "virtual_size": null,
            "status": "queued",
            "checksum": null,
            "protected": false,
            "min_ram": 64,
            "min_disk": 0,
            "owner": "alpha",
            "os_hidden": false,
            "os_hash_algo": null,
            "os_hash_value": null,
            "id": "ID",
            "created_at": "TIME",
            "updated_at": "TIME",
            "tags": ["a", "b"],
            "self": "/v2/images/ID",
            "file": "/v2/images/ID/file",
            "schema": "/v2/schemas/image",
        })
    );
    cloud.upload(ALICE, &id, "hello").await.expect(204);
    let image = golden(cloud.show(ALICE, &id).await, &id);
    for (name, expected) in [
        ("status", json!("active")),
        ("size", json!(5)),
        ("virtual_size", json!(5)),
        ("checksum", json!("5d41402abc4b2a76b9719d911017c592")),
        ("os_hash_algo", json!("sha512")),
        ("stores", json!("local")),
    ] {
        assert_eq!(image[name], expected, "{name}");
    }
    assert!(image["os_hash_value"].as_str().expect("hash").starts_with("9b71d224bd62f378"));
}

#[tokio::test]
async fn what_cannot_be_made() {
    let cloud = Cloud::new().await;
    let long = "x".repeat(256);
    for (body, status, words) in [
        (json!({"disk_format": "zip"}), 400, "'zip' is not one of"),
        (json!({"container_format": "wrong"}), 400, "'wrong' is not one of"),
        (json!({"name": 5}), 400, "5 is not of type"),
        (json!({"name": long}), 400, "is too long"),
        (json!({"min_disk": "5"}), 400, "'5' is not of type"),
        (json!({"min_disk": -1}), 400, "Cannot be a negative value"),
        (json!({"min_ram": 5_000_000_000_u64}), 400, "Cannot be greater than"),
        (json!({"protected": "true"}), 400, "'true' is not of type"),
        (json!({"visibility": "secret"}), 400, "'secret' is not one of"),
        (json!({"tags": [long]}), 400, "is too long"),
        (json!({"anything": 5}), 400, "5 is not of type"),
        (json!({"id": "not-a-uuid"}), 400, "does not match"),
        (json!({"status": "active"}), 403, "Attribute 'status' is read-only."),
        (json!({"self": "/x"}), 403, "Attribute 'self' is read-only."),
        (json!({"location": "x"}), 403, "Attribute 'location' is reserved."),
        (json!({"os_glance_foo": "x"}), 403, "Attribute 'os_glance_foo' is reserved."),
        (json!({"owner": "beta"}), 403, "You are not permitted to create images owned by 'beta'"),
        (
            json!({"visibility": "public"}),
            403,
            "You are not authorized to complete publicize_image",
        ),
        (json!(["x"]), 400, "Malformed JSON"),
    ] {
        let answer = cloud.post(ALICE, "/images", body.clone()).await.expect(status);
        assert!(answer.error().contains(words), "{body}: {}", answer.error());
    }
    cloud.send(ALICE, "POST", "/images", &[], "{").await.expect(400);
    cloud.send(ALICE, "POST", "/images", &[], "").await.expect(400);
    cloud.post(READER, "/images", json!({})).await.expect(403);
    cloud.post("", "/images", json!({})).await.expect(401);
    let many: serde_json::Map<_, _> = (0..129).map(|n| (format!("p{n}"), json!("x"))).collect();
    cloud.post(ALICE, "/images", Value::Object(many)).await.expect(413);
    let large: serde_json::Map<_, _> =
        (0..100).map(|n| (format!("p{n}"), json!("x".repeat(4000)))).collect();
    cloud.post(ALICE, "/images", Value::Object(large)).await.expect(413);
    assert_eq!(cloud.state.known().count::<ImageRecord>(), 0);
    let id = "11111111-2222-3333-4444-555555555555";
    cloud.post(ALICE, "/images", json!({"id": id})).await.expect(201);
    let again = cloud.post(BOB, "/images", json!({"id": id})).await.expect(409);
    assert_eq!(again.error(), format!("Image ID {id} already exists!"));
}

#[tokio::test]
async fn who_sees_what() {
    let cloud = Cloud::new().await;
    let private = cloud.make(ALICE, json!({"visibility": "private"})).await;
    let shared = cloud.make(ALICE, json!({})).await;
    let community = cloud.make(ALICE, json!({"visibility": "community"})).await;
    let public = cloud.make(ADMIN, json!({"visibility": "public"})).await;
    for (token, id, seen) in [
        (ALICE, &private, true),
        (READER, &private, true),
        (BOB, &private, false),
        (ADMIN, &private, true),
        (BOB, &shared, false),
        (BOB, &community, true),
        (BOB, &public, true),
        ("alpha/other", &private, false),
    ] {
        let status = if seen { 200 } else { 404 };
        let answer = cloud.get(token, &format!("/images/{id}")).await.expect(status);
        if !seen {
            assert_eq!(answer.error(), format!("No image found with ID {id}"));
        }
        let snapshot = cloud.state.known();
        let project = token.split('/').next();
        let viewer = Viewer { project, admin: token == ADMIN };
        if token != "alpha/other" {
            assert_eq!(find_visible(&snapshot, &viewer, id).is_ok(), seen);
        }
    }
    let list = |token: &'static str, query: &'static str| {
        let cloud = &cloud;
        async move {
            let mut ids = cloud.ids(token, query).await;
            ids.sort();
            ids
        }
    };
    let sorted = |ids: &[&String]| {
        let mut ids: Vec<String> = ids.iter().map(|id| (*id).clone()).collect();
        ids.sort();
        ids
    };
    assert_eq!(list(ALICE, "").await, sorted(&[&private, &shared, &community, &public]));
    assert_eq!(list(BOB, "").await, sorted(&[&public]));
    assert_eq!(list(BOB, "?visibility=community").await, sorted(&[&community]));
    assert_eq!(list(BOB, "?visibility=all").await, sorted(&[&community, &public]));
    assert_eq!(list(BOB, "?visibility=private").await, sorted(&[]));
    assert_eq!(list(ADMIN, "").await, sorted(&[&private, &shared, &public]));
    assert_eq!(list(ADMIN, "?visibility=all").await.len(), 4);
    // Others may look, not touch.
    for id in [&community, &public] {
        cloud.patch(BOB, id, json!([])).await.expect(200);
        let change = json!([{"op": "replace", "path": "/name", "value": "mine"}]);
        cloud.patch(BOB, id, change).await.expect(403);
        cloud.delete(BOB, &format!("/images/{id}")).await.expect(403);
        cloud.put(BOB, &format!("/images/{id}/tags/x"), Value::Null).await.expect(403);
    }
    cloud.delete(BOB, &format!("/images/{private}")).await.expect(404);
    cloud.delete(READER, &format!("/images/{private}")).await.expect(403);
}

#[tokio::test]
async fn changes() {
    let cloud = Cloud::new().await;
    let id = cloud.make(ALICE, json!({"name": "one", "disk_format": "raw"})).await;
    let one =
        |op: &str, path: &str, value: Value| json!([{"op": op, "path": path, "value": value}]);
    let shown =
        cloud.patch(ALICE, &id, one("replace", "/name", json!("two"))).await.expect(200).json();
    assert_eq!(shown["name"], "two");
    let several = json!([
        {"op": "add", "path": "/a~1b", "value": "1"},
        {"op": "replace", "path": "/tags", "value": ["t"]},
        {"op": "replace", "path": "/min_disk", "value": 3},
        {"op": "replace", "path": "/os_hidden", "value": true},
    ]);
    let shown = cloud.patch(ALICE, &id, several).await.expect(200).json();
    assert_eq!((&shown["a/b"], &shown["tags"]), (&json!("1"), &json!(["t"])));
    assert_eq!((&shown["min_disk"], &shown["os_hidden"]), (&json!(3), &json!(true)));
    let gone = cloud
        .patch(ALICE, &id, json!([{"op": "remove", "path": "/a~1b"}]))
        .await
        .expect(200)
        .json();
    assert_eq!(gone.get("a/b"), None);
    for (change, status, words) in [
        (one("replace", "/missing", json!("x")), 409, "Property missing does not exist."),
        (json!([{"op": "remove", "path": "/missing"}]), 409, "Property missing does not exist."),
        (json!([{"op": "remove", "path": "/name"}]), 403, "Property name may not be removed."),
        (one("replace", "/id", json!("x")), 403, "Attribute 'id' is read-only."),
        (one("replace", "/owner", json!("beta")), 403, "Owner can't be updated by non admin."),
        (one("replace", "/visibility", json!("public")), 403, "complete publicize_image action"),
        (one("replace", "/locations", json!([])), 403, "Cannot set locations to empty list."),
        (one("replace", "/a/b", json!("x")), 400, "Invalid JSON pointer for this resource: '/a/b'"),
    ] {
        let answer = cloud.patch(ALICE, &id, change.clone()).await.expect(status);
        assert!(answer.error().contains(words), "{change}: {}", answer.error());
    }
    // All of a list or nothing of it.
    let half = json!([
        {"op": "replace", "path": "/name", "value": "half"},
        {"op": "remove", "path": "/missing"},
    ]);
    cloud.patch(ALICE, &id, half).await.expect(409);
    assert_eq!(cloud.show(ALICE, &id).await["name"], "two");
    let old = [("content-type", "application/openstack-images-v2.0-json-patch")];
    let path = format!("/images/{id}");
    let add = json!([{"add": "/speed", "value": "88mph"}]).to_string();
    cloud.send(ALICE, "PATCH", &path, &old, add.clone()).await.expect(200);
    let twice = cloud.send(ALICE, "PATCH", &path, &old, add).await.expect(409);
    assert_eq!(twice.error(), "Property speed already present.");
    for media in ["application/json", "text/plain"] {
        let headers = [("content-type", media)];
        cloud.send(ALICE, "PATCH", &path, &headers, "[]").await.expect(415);
    }
    cloud.send(ALICE, "PATCH", &path, &[], "[]").await.expect(415);
    cloud.patch(ADMIN, &id, one("replace", "/owner", json!("beta"))).await.expect(200);
    cloud.get(ALICE, &path).await.expect(404);
    assert_eq!(cloud.show(BOB, &id).await["owner"], "beta");
}

#[tokio::test]
async fn lists_filter_sort_and_page() {
    let cloud = Cloud::new().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let body = json!({
            "name": format!("n{n}"), "disk_format": if n % 2 == 0 { "raw" } else { "qcow2" },
            "container_format": "bare", "min_ram": n, "tags": [format!("t{}", n % 2)], "speed": format!("{n}"),
            "os_hidden": n == 4, "protected": n == 3,
        });
        ids.push(cloud.make(ALICE, body).await);
    }
    cloud.upload(ALICE, &ids[0], "12345").await.expect(204);
    cloud.upload(ALICE, &ids[2], "123").await.expect(204);
    let pick = |wanted: &[usize]| wanted.iter().map(|n| ids[*n].clone()).collect::<Vec<_>>();
    for (query, expected) in [
        ("", vec![3, 2, 1, 0]),
        ("?sort=name:asc", vec![0, 1, 2, 3]),
        ("?sort_key=name&sort_dir=asc", vec![0, 1, 2, 3]),
        ("?sort=disk_format:asc,name:desc", vec![3, 1, 2, 0]),
        ("?sort=size:desc", vec![0, 2, 3, 1]),
        ("?name=n1", vec![1]),
        ("?name=in:n1,n2&sort=name:asc", vec![1, 2]),
        ("?name=in:%22n1%22,n3&sort=name:asc", vec![1, 3]),
        ("?status=active&sort=name:asc", vec![0, 2]),
        ("?disk_format=qcow2&sort=name:asc", vec![1, 3]),
        ("?size=5", vec![0]),
        ("?size_min=3&size_max=4", vec![2]),
        ("?min_ram=2", vec![2]),
        ("?min_ram_min=2&sort=name:asc", vec![2, 3]),
        ("?tag=t0&sort=name:asc", vec![0, 2]),
        ("?tag=t0&tag=t1", vec![]),
        ("?speed=3", vec![3]),
        ("?owner=alpha&limit=1&sort=name:asc", vec![0]),
        ("?owner=beta", vec![]),
        ("?protected=true", vec![3]),
        ("?os_hidden=true", vec![4]),
        ("?os_hidden=True", vec![4]),
        ("?created_at=lt:2001-01-01T00:00:00Z", vec![]),
        ("?created_at=gte:2001-01-01T00:00:00Z&limit=1&sort=name:asc", vec![0]),
        ("?limit=0", vec![]),
        ("?checksum=827ccb0eea8a706c4c34a16891f84e7b", vec![0]),
    ] {
        assert_eq!(cloud.ids(ALICE, query).await, pick(&expected), "{query}");
    }
    for (query, words) in [
        ("?limit=x", "limit param must be an integer"),
        ("?limit=-1", "limit param must be positive"),
        ("?sort_key=owner", "Invalid sort key: owner."),
        ("?sort_dir=up", "Invalid sort direction: up"),
        ("?sort=name&sort_key=name", "Old and new sorting syntax cannot be combined"),
        (
            "?sort_key=name&sort_key=size&sort_key=id&sort_dir=asc&sort_dir=asc",
            "Number of sort dirs",
        ),
        ("?visibility=secret", "Invalid visibility value: secret"),
        ("?member_status=maybe", "Invalid status: maybe"),
        ("?marker=nothing", "No image found with ID nothing"),
        ("?size_min=x", "Unable to filter on a range with a non-numeric value."),
        ("?created_at=gt:tomorrow", "Use ISO 8601 DateTime notation."),
        ("?name=gt:x", "Unable to filter by unknown operator 'gt'."),
        ("?protected=yes", "Invalid value 'yes' for 'protected' filter."),
        ("?os_hidden=maybe", "Invalid value 'maybe' for 'os_hidden' filter."),
        ("?changes-since=x", "no longer available"),
    ] {
        let answer = cloud.get(ALICE, &format!("/images{query}")).await.expect(400);
        assert!(answer.error().contains(words), "{query}: {}", answer.error());
    }
    // Page by page, in every order, comes to the same.
    for order in ["name:asc", "disk_format:desc", "size:asc", "created_at:asc"] {
        let whole = cloud.ids(ALICE, &format!("?sort={order}")).await;
        let mut paged = Vec::new();
        let mut next = Some(format!("/v2/images?sort={order}&limit=1"));
        while let Some(link) = next {
            let page = cloud.get(ALICE, &format!("/image{link}")).await.expect(200).json();
            for image in page["images"].as_array().expect("images") {
                paged.push(image["id"].as_str().expect("id").to_owned());
            }
            assert_eq!(
                page["first"],
                format!("/v2/images?sort={}&limit=1", order.replace(':', "%3A"))
            );
            next = page["next"].as_str().map(str::to_owned);
        }
        assert_eq!(paged, whole, "{order}");
    }
}

#[tokio::test]
async fn deleted_images_leave_nothing() {
    let cloud = Cloud::new().await;
    cloud.start();
    let id = cloud.active(ALICE, b"bytes").await;
    use crate::store::Store as _;
    assert_eq!(cloud.store.list().expect("list").len(), 1);
    let protect = |on: bool| json!([{"op": "replace", "path": "/protected", "value": on}]);
    cloud.patch(ALICE, &id, protect(true)).await.expect(200);
    let refused = cloud.delete(ALICE, &format!("/images/{id}")).await.expect(403);
    assert_eq!(refused.error(), format!("Image {id} is protected and cannot be deleted."));
    cloud.patch(ALICE, &id, protect(false)).await.expect(200);
    cloud.delete(ALICE, &format!("/images/{id}")).await.expect(204);
    cloud.get(ALICE, &format!("/images/{id}")).await.expect(404);
    let again = cloud.delete(ALICE, &format!("/images/{id}")).await.expect(404);
    assert_eq!(again.error(), format!("Failed to find image {id} to delete"));
    cloud
        .until("an empty store", async || {
            cloud.store.list().expect("list").is_empty()
                && cloud.state.known().count::<GarbageRecord>() == 0
        })
        .await;
}

#[tokio::test]
async fn deactivated_bytes_are_for_admins() {
    let cloud = Cloud::new().await;
    let id = cloud.active(ALICE, b"bytes").await;
    let act = |token: &'static str, verb: &'static str| {
        let path = format!("/images/{id}/actions/{verb}");
        let cloud = &cloud;
        async move { cloud.post(token, &path, Value::Null).await }
    };
    act(BOB, "deactivate").await.expect(404);
    act(READER, "deactivate").await.expect(403);
    act(ALICE, "deactivate").await.expect(204);
    act(ALICE, "deactivate").await.expect(204);
    assert_eq!(cloud.show(ALICE, &id).await["status"], "deactivated");
    let file = format!("/images/{id}/file");
    let refused = cloud.get(ALICE, &file).await.expect(403);
    assert_eq!(
        refused.error(),
        "The requested image has been deactivated. Image data download is forbidden."
    );
    assert_eq!(cloud.get(ADMIN, &file).await.expect(200).text(), "bytes");
    assert!(bootable(&id, &cloud.state.known().get::<ImageRecord>(&id).expect("image")).is_err());
    act(ALICE, "reactivate").await.expect(204);
    assert_eq!(cloud.get(ALICE, &file).await.expect(200).text(), "bytes");
    let queued = cloud.make(ALICE, json!({})).await;
    let refused = cloud
        .post(ALICE, &format!("/images/{queued}/actions/deactivate"), Value::Null)
        .await
        .expect(403);
    assert_eq!(refused.error(), "Not allowed to deactivate image in status 'queued'");
}

#[tokio::test]
async fn tags() {
    let cloud = Cloud::new().await;
    let id = cloud.make(ALICE, json!({})).await;
    let path = format!("/images/{id}/tags/a%20b");
    cloud.send(ALICE, "PUT", &path, &[], "").await.expect(204);
    cloud.send(ALICE, "PUT", &path, &[], "").await.expect(204);
    assert_eq!(cloud.show(ALICE, &id).await["tags"], json!(["a b"]));
    cloud.delete(ALICE, &path).await.expect(204);
    cloud.delete(ALICE, &path).await.expect(404);
    let long = format!("/images/{id}/tags/{}", "x".repeat(256));
    cloud.send(ALICE, "PUT", &long, &[], "").await.expect(400);
    let missing = cloud.send(ALICE, "PUT", "/images/none/tags/x", &[], "").await.expect(404);
    assert_eq!(missing.error(), "Image none not found.");
    for n in 0..128 {
        cloud.send(ALICE, "PUT", &format!("/images/{id}/tags/{n}"), &[], "").await.expect(204);
    }
    cloud.send(ALICE, "PUT", &format!("/images/{id}/tags/more"), &[], "").await.expect(413);
}

#[tokio::test]
async fn what_the_service_says_of_itself() {
    let cloud = Cloud::new().await;
    for (path, status) in [("/image", 300), ("/image/", 300), ("/image/versions", 200)] {
        let versions = cloud.get("", path).await.expect(status).json();
        assert_eq!(versions["versions"][0]["id"], "v2.16");
        assert_eq!(versions["versions"][0]["status"], "CURRENT");
        assert_eq!(versions["versions"][0]["links"][0]["href"], "http://localhost/image/v2/");
    }
    for (path, name) in [
        ("image", "image"),
        ("images", "images"),
        ("member", "member"),
        ("members", "members"),
        ("task", "task"),
        ("tasks", "tasks"),
    ] {
        let schema = cloud.get(ALICE, &format!("/schemas/{path}")).await.expect(200).json();
        assert_eq!(schema["name"], name);
    }
    let methods = cloud.get(ALICE, "/info/import").await.expect(200).json();
    assert_eq!(methods["import-methods"]["value"], json!(["glance-direct"]));
    let stores = cloud.get(ALICE, "/info/stores").await.expect(200).json();
    assert_eq!(stores, json!({"stores": [{"id": "local", "default": "true"}]}));
    cloud.get(ALICE, "/info/stores/detail").await.expect(403);
    cloud.get(ADMIN, "/info/stores/detail").await.expect(200);
    cloud.active(ALICE, b"bytes").await;
    let usage = cloud.get(ALICE, "/info/usage").await.expect(200).json();
    assert_eq!(usage["usage"]["image_count_total"], json!({"usage": 1, "limit": -1}));
    cloud.get(ALICE, "/images/").await.expect(404);
    cloud.delete(ALICE, "/images/").await.expect(404);
    cloud.get(ALICE, "/cache").await.expect(404);
}
