//! Members through the router.

use serde_json::json;

use crate::testing::{ADMIN, ALICE, BOB, Cloud, READER};

const CAROL: &str = "gamma/member,reader";

#[tokio::test]
async fn shared_with_a_project() {
    let cloud = Cloud::new().await;
    let id = cloud.make(ALICE, json!({"name": "x"})).await;
    let members = format!("/images/{id}/members");
    let beta = format!("{members}/beta");
    let made = cloud.post(ALICE, &members, json!({"member": "beta"})).await.expect(200).json();
    assert_eq!(
        (&made["member_id"], &made["image_id"], &made["status"], &made["schema"]),
        (&json!("beta"), &json!(id), &json!("pending"), &json!("/v2/schemas/member"))
    );
    assert_eq!(cloud.get(ALICE, &beta).await.expect(200).json(), made);
    let twice = cloud.post(ALICE, &members, json!({"member": "beta"})).await.expect(409);
    assert_eq!(twice.error(), format!("Member beta is duplicated for image {id}"));
    // Seen, but in no list before it is accepted.
    cloud.get(BOB, &format!("/images/{id}")).await.expect(200);
    assert_eq!(cloud.ids(BOB, "").await, Vec::<String>::new());
    let pending = "?member_status=pending&visibility=shared";
    assert_eq!(cloud.ids(BOB, pending).await, [id.as_str()]);
    assert_eq!(cloud.ids(BOB, "?member_status=all").await, [id.as_str()]);
    let accepted = cloud.put(BOB, &beta, json!({"status": "accepted"})).await.expect(200).json();
    assert_eq!(accepted["status"], "accepted");
    assert_eq!(cloud.ids(BOB, "").await, [id.as_str()]);
    cloud.put(BOB, &beta, json!({"status": "rejected"})).await.expect(200);
    assert_eq!(cloud.ids(BOB, "").await, Vec::<String>::new());
    assert_eq!(cloud.ids(BOB, "?member_status=rejected").await, [id.as_str()]);
    // A member may look on, not change or share further.
    cloud.post(BOB, &members, json!({"member": "gamma"})).await.expect(403);
    let patch = json!([{"op": "replace", "path": "/name", "value": "y"}]);
    cloud.patch(BOB, &id, patch).await.expect(403);
    cloud.delete(BOB, &beta).await.expect(403);
    cloud.post(ALICE, &members, json!({"member": "gamma"})).await.expect(200);
    let list = |token: &'static str| {
        let (cloud, members) = (&cloud, members.clone());
        async move {
            let list = cloud.get(token, &members).await.expect(200).json();
            let list = list["members"].as_array().expect("members").clone();
            list.iter().map(|m| m["member_id"].as_str().expect("id").to_owned()).collect::<Vec<_>>()
        }
    };
    assert_eq!(list(ALICE).await, ["beta", "gamma"]);
    assert_eq!(list(BOB).await, ["beta"]);
    assert_eq!(list(ADMIN).await, ["beta", "gamma"]);
    cloud.get(BOB, &format!("{members}/gamma")).await.expect(404);
    cloud.put(BOB, &format!("{members}/gamma"), json!({"status": "accepted"})).await.expect(404);
    // The owner does not answer for others; who is no member sees nothing.
    cloud.put(ALICE, &beta, json!({"status": "accepted"})).await.expect(403);
    cloud.put(ADMIN, &beta, json!({"status": "accepted"})).await.expect(200);
    cloud.get("delta/member,reader", &members).await.expect(404);
    cloud.delete(ALICE, &beta).await.expect(204);
    let gone = cloud.delete(ALICE, &beta).await.expect(404);
    assert_eq!(gone.error(), format!("beta not found in the member list of the image {id}."));
    cloud.get(BOB, &format!("/images/{id}")).await.expect(404);
    cloud.get(CAROL, &format!("/images/{id}")).await.expect(200);
}

#[tokio::test]
async fn only_shared_images_have_members() {
    let cloud = Cloud::new().await;
    let id = cloud.make(ALICE, json!({"visibility": "private"})).await;
    let members = format!("/images/{id}/members");
    let refused = cloud.post(ALICE, &members, json!({"member": "beta"})).await.expect(403);
    assert_eq!(refused.error(), format!("Not allowed to create members for image {id}."));
    cloud.get(ALICE, &members).await.expect(403);
    cloud.get(ALICE, &format!("{members}/beta")).await.expect(404);
    cloud.get(BOB, &members).await.expect(404);
    let missing =
        cloud.post(ALICE, "/images/none/members", json!({"member": "b"})).await.expect(404);
    assert_eq!(missing.error(), "Image none not found.");
}

#[tokio::test]
async fn what_is_no_member() {
    let cloud = Cloud::new().await;
    let id = cloud.make(ALICE, json!({})).await;
    let members = format!("/images/{id}/members");
    for (body, words) in [
        (json!({}), "Member to be added not specified"),
        (json!({"member": ""}), "Member can't be empty"),
        (json!({"member": 5}), "Expected a member in the form"),
        (json!(["x"]), "Expected a member in the form"),
    ] {
        let answer = cloud.post(ALICE, &members, body.clone()).await.expect(400);
        assert!(answer.error().contains(words), "{body}: {}", answer.error());
    }
    cloud.post(ALICE, &members, json!({"member": "beta"})).await.expect(200);
    let beta = format!("{members}/beta");
    for (body, words) in [
        (json!({}), "Status not specified"),
        (json!({"status": "maybe"}), "Status must be \"pending\", \"accepted\" or \"rejected\"."),
        (json!("x"), "Expected a status in the form"),
    ] {
        let answer = cloud.put(BOB, &beta, body.clone()).await.expect(400);
        assert!(answer.error().contains(words), "{body}: {}", answer.error());
    }
    cloud.post(READER, &members, json!({"member": "gamma"})).await.expect(403);
}
