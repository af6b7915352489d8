//! Key pairs through the API.

use serde_json::{Value, json};

use super::{KeypairCountRecord, KeypairRecord};
use crate::servers::tests::world::{Answer, Cloud, new_server, run};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@here";
const FINGERPRINT: &str = "65:96:2d:fc:e8:d5:a9:11:64:0c:0f:ea:00:6e:5b:bd";

fn key(name: &str) -> Value {
    json!({"keypair": {"name": name, "public_key": KEY}})
}

async fn make(cloud: &Cloud, token: &str, version: &str, body: Value) -> Answer {
    cloud.ask(token, version, "POST /os-keypairs", Some(body)).await
}

async fn delete(cloud: &Cloud, token: &str, version: &str, path: &str) -> Answer {
    cloud.ask(token, version, &format!("DELETE /os-keypairs/{path}"), None).await
}

#[test]
fn shapes_by_microversion() {
    run(1, 1, async |cloud| {
        let public = crate::keypairs::public::fingerprint(crate::keypairs::Kind::Ssh, KEY);
        let fingerprint = public.expect("a key");
        assert_eq!(fingerprint, FINGERPRINT);
        assert_eq!(
            make(cloud, "demo", "2.1", key("old")).await.expect(200),
            json!({"keypair": {
                "name": "old", "public_key": KEY, "fingerprint": fingerprint, "user_id": "u-demo",
            }})
        );
        assert_eq!(
            make(cloud, "demo", "2.2", key("new")).await.expect(201),
            json!({"keypair": {
                "name": "new", "public_key": KEY, "fingerprint": fingerprint, "user_id": "u-demo",
                "type": "ssh",
            }})
        );
        let mut shown = cloud.get("demo", "/os-keypairs/new").await.expect(200);
        let created = shown["keypair"]["created_at"].take();
        assert_eq!(created.as_str().map(str::len), Some(26));
        assert_eq!(
            shown,
            json!({"keypair": {
                "name": "new", "public_key": KEY, "fingerprint": fingerprint, "user_id": "u-demo",
                "type": "ssh", "created_at": null, "deleted": false, "deleted_at": null, "id": 2,
                "updated_at": null,
            }})
        );
        assert_eq!(
            cloud.ask("demo", "2.1", "GET /os-keypairs", None).await.expect(200),
            json!({"keypairs": [
                {"keypair": {"name": "new", "public_key": KEY, "fingerprint": fingerprint}},
                {"keypair": {"name": "old", "public_key": KEY, "fingerprint": fingerprint}},
            ]})
        );
        let page = cloud.get("demo", "/os-keypairs?limit=1").await.expect(200);
        assert_eq!(page["keypairs"].as_array().map(Vec::len), Some(1));
        let next = page["keypairs_links"][0]["href"].as_str().expect("a link");
        assert!(next.ends_with("/compute/v2.1/os-keypairs?limit=1&marker=new"), "{next}");
        let rest = cloud.get("demo", "/os-keypairs?marker=new").await.expect(200);
        assert_eq!(rest["keypairs"][0]["keypair"]["name"], "old");
        assert_eq!(
            cloud.get("demo", "/os-keypairs?marker=none").await.refusal(400),
            "Marker none could not be found."
        );
        delete(cloud, "demo", "2.1", "old").await.expect(202);
        delete(cloud, "demo", "2.2", "new").await.expect(204);
        assert_eq!(
            delete(cloud, "demo", "2.2", "new").await.refusal(404),
            "Keypair new not found for user u-demo"
        );
        assert_eq!(cloud.controller().state.known().count::<KeypairCountRecord>(), 0);
    });
}

#[test]
fn private_keys_are_made_and_not_kept() {
    run(2, 1, async |cloud| {
        let made = make(cloud, "demo", "2.2", json!({"keypair": {"name": "k"}})).await.expect(201);
        let made = &made["keypair"];
        let private = made["private_key"].as_str().expect("a private key");
        assert!(private.starts_with("-----BEGIN RSA PRIVATE KEY-----"));
        assert!(made["public_key"].as_str().expect("a key").ends_with(" Generated-by-Nova"));
        let shown = cloud.get("demo", "/os-keypairs/k").await.expect(200);
        assert_eq!(shown["keypair"]["public_key"], made["public_key"]);
        assert_eq!(shown["keypair"].get("private_key"), None);
        let body = json!({"keypair": {"name": "w", "type": "x509"}});
        let made = make(cloud, "demo", "2.2", body).await.expect(201);
        assert_eq!(made["keypair"]["type"], "x509");
        let certificate = made["keypair"]["public_key"].as_str().expect("a certificate");
        let again = json!({"keypair": {"name": "w2", "type": "x509", "public_key": certificate}});
        let again = make(cloud, "demo", "2.92", again).await.expect(201);
        assert_eq!(again["keypair"]["fingerprint"], made["keypair"]["fingerprint"]);
    });
}

#[test]
fn what_is_no_key_pair() {
    run(3, 1, async |cloud| {
        for (version, keypair) in [
            ("2.1", json!({})),
            ("2.1", json!({"name": ""})),
            ("2.1", json!({"name": "x".repeat(256)})),
            ("2.1", json!({"name": r"key_/.\@:"})),
            ("2.1", json!({"name": "a.b"})),
            ("2.1", json!({"name": "k", "type": "ssh"})),
            ("2.9", json!({"name": "k", "user_id": "u"})),
            ("2.2", json!({"name": "k", "type": "dsa"})),
            ("2.92", json!({"name": "k"})),
            ("2.92", json!({"name": "a/b", "public_key": KEY})),
            ("2.1", json!({"name": "k", "public_key": " "})),
            ("2.1", json!({"name": "k", "public_key": "ssh-rsa JUNK nova@ubuntu"})),
            ("2.2", json!({"name": "k", "public_key": KEY, "type": "x509"})),
        ] {
            make(cloud, "demo", version, json!({"keypair": keypair})).await.refusal(400);
        }
        assert_eq!(cloud.controller().state.known().count::<KeypairRecord>(), 0);
        make(cloud, "demo", "2.92", key("a.b@c")).await.expect(201);
        make(cloud, "demo", "2.1", key("k")).await.expect(200);
        assert_eq!(
            make(cloud, "demo", "2.1", key("k")).await.refusal(409),
            "Key pair 'k' already exists."
        );
        cloud.get("demo", "/os-keypairs?unknown=1").await.refusal(400);
        cloud.ask("demo", "2.74", "GET /os-keypairs?unknown=1", None).await.expect(200);
    });
}

#[test]
fn each_user_has_its_own() {
    run(4, 1, async |cloud| {
        make(cloud, "demo", "2.96", key("k")).await.expect(201);
        make(cloud, "other", "2.96", key("k")).await.expect(201);
        cloud.get("other", "/os-keypairs/k?user_id=u-demo").await.refusal(403);
        cloud.get("other", "/os-keypairs?user_id=u-demo").await.refusal(403);
        delete(cloud, "other", "2.96", "k?user_id=u-demo").await.refusal(403);
        let mut body = key("theirs");
        body["keypair"]["user_id"] = "u-demo".into();
        make(cloud, "other", "2.96", body.clone()).await.refusal(403);
        make(cloud, "admin", "2.96", body).await.expect(201);
        let list = cloud.get("admin", "/os-keypairs?user_id=u-demo").await.expect(200);
        assert_eq!(list["keypairs"].as_array().map(Vec::len), Some(2));
        // Before 2.10 nobody speaks for others.
        let own =
            cloud.ask("other", "2.9", "GET /os-keypairs?user_id=u-demo", None).await.expect(200);
        assert_eq!(own["keypairs"].as_array().map(Vec::len), Some(1));
        delete(cloud, "admin", "2.96", "theirs?user_id=u-demo").await.expect(204);
        // Readers have keys too, and servers take a copy.
        make(cloud, "reader", "2.96", key("k")).await.expect(201);
        let mut body = new_server("vm");
        body["server"]["key_name"] = "k".into();
        let made = cloud.post("demo", "/servers", body.clone()).await.expect(202);
        let id = made["server"]["id"].as_str().expect("id").to_owned();
        delete(cloud, "demo", "2.96", "k").await.expect(204);
        assert_eq!(cloud.status("demo", &id, "ACTIVE").await["key_name"], "k");
        assert_eq!(
            cloud.post("demo", "/servers", body).await.refusal(400),
            "Invalid key_name provided."
        );
    });
}

#[test]
fn no_more_than_the_quota() {
    run(5, 1, async |cloud| {
        crate::quotas::tests::furnish(cloud).await;
        let limits = json!({"quota_set": {"key_pairs": 3}});
        cloud.ask("admin", "2.96", "PUT /os-quota-sets/p-demo", Some(limits)).await.expect(200);
        let names = ["a", "b", "c", "d", "e"];
        let asked: Vec<_> =
            names.iter().map(|name| make(cloud, "demo", "2.96", key(name))).collect();
        let answers = futures_util::future::join_all(asked).await;
        let refused: Vec<_> = answers.into_iter().filter(|answer| answer.status != 201).collect();
        assert_eq!(refused.len(), 2);
        for answer in refused {
            assert_eq!(answer.refusal(403), "Quota exceeded, too many key pairs.");
        }
        let known = cloud.controller().state.known();
        assert_eq!(known.get::<KeypairCountRecord>("u-demo").expect("counted").count, 3);
        assert_eq!(known.count::<KeypairRecord>(), 3);
    });
}
