//! Tokens through the router: what gives one, what it says, what ends it.

use serde_json::{Value, json};
use web::testing::{Client, golden, stable};

use crate::testing::{Cloud, by_password, project, run};

const TOKENS: &str = "/identity/v3/auth/tokens";

async fn refused(cloud: &Cloud, body: Value) -> (u16, String) {
    let answer = cloud.nobody().post(TOKENS, body).await;
    (answer.status.as_u16(), answer.message())
}

async fn works(client: &Client) -> bool {
    client.get("/identity/v3/auth/projects").await.status == 200
}

#[test]
fn a_token_says_who_where_and_what() {
    run(async |cloud| {
        let (token, body) = cloud.token("demo", "demo", project("demo")).await;
        golden(env!("CARGO_MANIFEST_DIR"), "token_project", &stable(&without_audit(&body)));
        assert!(token.len() < 255);
        let client = cloud.nobody().token(&token).header("x-subject-token", &token);
        let seen = client.get(TOKENS).await.expect(200);
        assert_eq!(seen.json(), body);
        assert_eq!(seen.header("x-subject-token"), token);
        client.head(TOKENS).await.expect(200);
        let bare = client.get(&format!("{TOKENS}?nocatalog")).await.expect(200).json();
        assert!(bare["token"].get("catalog").is_none());
        let (_, body) = cloud.token("admin", "admin", Some(json!({"system": {"all": true}}))).await;
        golden(env!("CARGO_MANIFEST_DIR"), "token_system", &stable(&without_audit(&body)));
        let (_, body) =
            cloud.token("admin", "admin", Some(json!({"domain": {"name": "Default"}}))).await;
        assert_eq!(body["token"]["domain"], json!({"id": "default", "name": "Default"}));
        let (_, body) = cloud.token("demo", "demo", None).await;
        golden(env!("CARGO_MANIFEST_DIR"), "token_unscoped", &stable(&without_audit(&body)));
    });
}

fn without_audit(body: &Value) -> Value {
    let mut body = body.clone();
    for id in body["token"]["audit_ids"].as_array_mut().expect("audit ids") {
        assert_eq!(id.as_str().expect("text").len(), 22);
        *id = json!("<audit>");
    }
    body
}

#[test]
fn wrong_proofs_are_all_the_same() {
    run(async |cloud| {
        let same = (401, "The request you have made requires authentication.".to_owned());
        for (user, password, scope) in [
            ("demo", "wrong", None),
            ("demo", "", None),
            ("nobody", "demo", None),
            ("demo", "demo", project("admin")),
            ("demo", "demo", project("nothing")),
            ("demo", "demo", Some(json!({"system": {"all": true}}))),
            ("demo", "demo", Some(json!({"domain": {"id": "default"}}))),
            ("demo", "demo", Some(json!({"project": {"id": "default"}}))),
        ] {
            let scope_text = format!("{user} {password} {scope:?}");
            assert_eq!(
                refused(&cloud, by_password(user, password, scope)).await,
                same,
                "{scope_text}"
            );
        }
        let long = "x".repeat(100_000);
        assert_eq!(refused(&cloud, by_password("demo", &long, None)).await, same);
    });
}

#[test]
fn wrong_bodies_are_told_what_is_wrong() {
    run(async |cloud| {
        let wrong = [
            (json!({}), "Expecting to find auth in request body."),
            (json!({"auth": {}}), "'identity' is a required property"),
            (json!({"auth": {"identity": {}}}), "'methods' is a required property"),
            (
                json!({"auth": {"identity": {"methods": ["password"]}}}),
                "Expecting to find password in identity.",
            ),
            (
                json!({"auth": {"identity": {"methods": "password"}}}),
                "'password' is not of type 'array'",
            ),
            (
                json!({"auth": {"identity": {"methods": ["password"], "password": {}}}}),
                "Expecting to find user in password.",
            ),
            (
                by_password("demo", "demo", Some(json!({}))),
                "Expecting to find system, project, domain",
            ),
            (
                by_password("demo", "demo", Some(json!({"project": {}}))),
                "Invalid input for field scope/project: id or name must be present.",
            ),
            (
                by_password("demo", "demo", Some(json!({"project": {"name": "x"}}))),
                "Expecting to find domain in project.",
            ),
            (by_password("demo", "demo", Some(json!({"project": 5}))), "5 is not of type 'object'"),
            (
                by_password("demo", "demo", Some(json!({"system": {}, "domain": {"id": "d"}}))),
                "Expecting to find system",
            ),
        ];
        for (body, words) in wrong {
            let (status, message) = refused(&cloud, body.clone()).await;
            assert_eq!(status, 400, "{body}: {message}");
            assert!(message.contains(words), "{body}: {message}");
        }
        let unknown = json!({"auth": {"identity": {"methods": ["saml2"], "saml2": {}}}});
        assert_eq!(refused(&cloud, unknown).await.0, 401);
    });
}

#[test]
fn rescoping_keeps_the_end_and_the_chain() {
    run(async |cloud| {
        let (first, first_body) = cloud.token("admin", "admin", Some(json!("unscoped"))).await;
        let body = json!({"auth": {
            "identity": {"methods": ["token"], "token": {"id": first}},
            "scope": project("admin"),
        }});
        cloud.wait(10).await;
        let answer = cloud.nobody().post(TOKENS, body).await.expect(201);
        let (second, body) = (answer.header("x-subject-token").to_owned(), answer.json());
        assert_eq!(body["token"]["expires_at"], first_body["token"]["expires_at"]);
        assert_ne!(body["token"]["issued_at"], first_body["token"]["issued_at"]);
        assert_eq!(body["token"]["methods"], json!(["password", "token"]));
        assert_eq!(body["token"]["audit_ids"][1], first_body["token"]["audit_ids"][0]);
        // Ending one does not end the other.
        let client = cloud.nobody().token(&second).header("x-subject-token", &second);
        client.delete(TOKENS).await.expect(204);
        assert!(!works(&cloud.nobody().token(&second)).await);
        assert!(works(&cloud.nobody().token(&first)).await);
        let gone = cloud.nobody().token(&first).header("x-subject-token", &second);
        gone.get(TOKENS).await.expect(404);
    });
}

#[test]
fn what_ends_tokens() {
    run(async |cloud| {
        let admin = cloud.admin().await;
        let make = async |name: &str| {
            let user =
                cloud.make("/users", json!({"user": {"name": name, "password": "pw"}})).await;
            let place = cloud.make("/projects", json!({"project": {"name": name}})).await;
            let roles = admin.get("/identity/v3/roles?name=member").await.json();
            let role = roles["roles"][0]["id"].as_str().expect("id").to_owned();
            let grant = format!("/identity/v3/projects/{place}/users/{user}/roles/{role}");
            admin.put(&grant, json!({})).await.expect(204);
            let (token, _) = cloud.token(name, "pw", project(name)).await;
            let client = cloud.nobody().token(&token);
            assert!(works(&client).await);
            (user, place, grant, client)
        };
        let (user, _, _, client) = make("a").await;
        let disable = json!({"user": {"enabled": false}});
        admin.patch(&format!("/identity/v3/users/{user}"), disable).await.expect(200);
        assert!(!works(&client).await, "user disabled");
        let enable = json!({"user": {"enabled": true}});
        admin.patch(&format!("/identity/v3/users/{user}"), enable).await.expect(200);
        assert!(!works(&client).await, "user enabled again");
        cloud.token("a", "pw", project("a")).await;

        let (_, place, _, client) = make("b").await;
        let disable = json!({"project": {"enabled": false}});
        admin.patch(&format!("/identity/v3/projects/{place}"), disable).await.expect(200);
        assert!(!works(&client).await, "project disabled");

        let (_, _, grant, client) = make("c").await;
        admin.delete(&grant).await.expect(204);
        assert!(!works(&client).await, "the only role taken away");

        let (user, _, _, client) = make("d").await;
        let body = json!({"user": {"password": "new", "original_password": "pw"}});
        cloud.nobody().post(&format!("/identity/v3/users/{user}/password"), body).await.expect(204);
        assert!(!works(&client).await, "password changed");
        cloud.token("d", "new", project("d")).await;

        let (user, _, _, client) = make("e").await;
        admin.delete(&format!("/identity/v3/users/{user}")).await.expect(204);
        assert!(!works(&client).await, "user deleted");

        let (_, place, _, client) = make("f").await;
        admin.delete(&format!("/identity/v3/projects/{place}")).await.expect(204);
        assert!(!works(&client).await, "project deleted");

        let (_, _, _, client) = make("g").await;
        cloud.wait(3599).await;
        assert!(works(&client).await, "almost over");
        cloud.wait(2).await;
        assert!(!works(&client).await, "over");
    });
}

#[test]
fn keys_rotate_and_old_tokens_live_on() {
    run(async |cloud| {
        let day = 24 * 3600;
        cloud.wait(day - 60).await;
        let (old, _) = cloud.token("demo", "demo", project("demo")).await;
        cloud.wait(120).await;
        let (new, _) = cloud.token("demo", "demo", project("demo")).await;
        assert_ne!(old[..7], new[..7], "another key");
        assert!(works(&cloud.nobody().token(&old)).await);
        assert!(works(&cloud.nobody().token(&new)).await);
        cloud.wait(4 * day).await;
        cloud.identity.tidy().await.expect("tidied");
        let snapshot = cloud.state.fresh().await.expect("snapshot");
        assert_eq!(snapshot.count::<super::record::KeyRecord>(), 1);
        cloud.token("demo", "demo", project("demo")).await;
    });
}

#[test]
fn services_may_ask_about_ended_tokens_for_a_while() {
    run(async |cloud| {
        let (token, _) = cloud.token("demo", "demo", project("demo")).await;
        cloud.wait(3 * 3600).await;
        let admin = cloud.admin().await.header("x-subject-token", &token);
        admin.get(TOKENS).await.expect(404);
        admin.get(&format!("{TOKENS}?allow_expired=1")).await.expect(200);
        cloud.wait(48 * 3600).await;
        let admin = cloud.admin().await.header("x-subject-token", &token);
        admin.get(&format!("{TOKENS}?allow_expired=1")).await.expect(404);
    });
}

#[test]
fn others_tokens_are_none_of_ones_business() {
    run(async |cloud| {
        let (token, _) = cloud.token("admin", "admin", project("admin")).await;
        let demo = cloud.demo().await.header("x-subject-token", &token);
        demo.get(TOKENS).await.expect(403);
        demo.delete(TOKENS).await.expect(403);
        cloud.admin().await.header("x-subject-token", "rubbish").get(TOKENS).await.expect(404);
        cloud.admin().await.get(TOKENS).await.expect(404);
        cloud.nobody().get(TOKENS).await.expect(401);
        cloud.nobody().token("rubbish").get("/identity/v3/users").await.expect(401);
    });
}
