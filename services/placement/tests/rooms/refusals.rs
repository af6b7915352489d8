//! Who is refused, and in which words and codes.

use http::Method;
use serde_json::{Value, json};

use crate::world::{C1, NOBODY, P1, P2, P3, allocation, run};

#[test]
fn everybody_else() {
    run(1, async |cloud| {
        for (token, status) in [("demo", 403), ("reader", 403), ("none", 403), ("service", 200)] {
            let answer = cloud.as_at(token, "1.39").get("/placement/resource_providers").await;
            assert_eq!(answer.status, status, "{token}");
        }
        cloud.as_at("forged", "1.39").get("/placement/resource_providers").await.expect(401);
        // What a project uses, its readers may see.
        let own = "/placement/usages?project_id=demo";
        cloud.as_at("reader", "1.9").get(own).await.expect(200);
        cloud.as_at("other", "1.9").get(own).await.expect(403);
        // Only services reshape.
        let body = json!({"inventories": {}, "allocations": {}});
        cloud.at("1.30").post("/placement/reshaper", body.clone()).await.expect(403);
        cloud.as_at("service", "1.30").post("/placement/reshaper", body).await.expect(400);
    });
}

#[test]
fn wrong_requests() {
    run(2, async |cloud| {
        cloud.provider(P1, None, &[("VCPU", 8)]).await;
        cloud.provider(P2, Some(P1), &[]).await;
        let put = allocation(P1, json!({"VCPU": 8}), Value::Null);
        cloud.put(&format!("/allocations/{C1}"), put).await.expect(204);
        let p1 = format!("/resource_providers/{P1}");
        let inventories = format!("{p1}/inventories");
        let own = format!("/allocations/{C1}");
        let other = format!("/allocations/{NOBODY}");
        let again = json!({"name": format!("p-{P1}")});
        let inventory = |total: i64, reserved: i64| {
            json!({"resource_provider_generation": 2,
                   "inventories": {"VCPU": {"total": total, "reserved": reserved}}})
        };
        let class = |class: &str| {
            json!({"resource_provider_generation": 2,
                   "inventories": {"VCPU": {"total": 8}, class: {"total": 1}}})
        };
        let asks = |provider: &str, resources: Value| allocation(provider, resources, Value::Null);
        let none = Value::Null;
        for (method, path, body, status, code, words) in [
            (
                "GET",
                format!("/resource_providers/{NOBODY}"),
                &none,
                404,
                "",
                "No resource provider",
            ),
            ("POST", "/resource_providers".into(), &json!({}), 400, "", "'name' is a required"),
            (
                "POST",
                "/resource_providers".into(),
                &json!({"name": ""}),
                400,
                "",
                "name is required",
            ),
            (
                "POST",
                "/resource_providers".into(),
                &json!({"name": "a".repeat(201)}),
                400,
                "",
                "too long",
            ),
            (
                "POST",
                "/resource_providers".into(),
                &json!({"name": "x", "uuid": "y"}),
                400,
                "",
                "uuid",
            ),
            (
                "POST",
                "/resource_providers".into(),
                &again,
                409,
                "placement.duplicate_name",
                "already",
            ),
            (
                "POST",
                "/resource_providers".into(),
                &json!({"name": "x", "parent_provider_uuid": NOBODY}),
                400,
                "",
                "parent provider UUID does not exist",
            ),
            (
                "PUT",
                p1.clone(),
                &json!({"name": "x", "parent_provider_uuid": P2}),
                400,
                "",
                "creating loop",
            ),
            (
                "PUT",
                p1.clone(),
                &json!({"name": "x", "parent_provider_uuid": P1}),
                400,
                "",
                "creating loop",
            ),
            (
                "DELETE",
                p1.clone(),
                &none,
                409,
                "placement.resource_provider.cannot_delete_parent",
                "child",
            ),
            ("DELETE", format!("/resource_providers/{NOBODY}"), &none, 404, "", "found for delete"),
            (
                "GET",
                "/resource_providers?colour=blue".into(),
                &none,
                400,
                "",
                "Invalid query string",
            ),
            ("GET", "/resource_providers?resources=VCPU".into(), &none, 400, "", "Badly formed"),
            (
                "GET",
                "/resource_providers?resources=FOO:1".into(),
                &none,
                400,
                "",
                "No such resource class",
            ),
            (
                "GET",
                "/resource_providers?required=FOO".into(),
                &none,
                400,
                "",
                "No such trait(s): FOO",
            ),
            ("GET", "/resource_providers?in_tree=x".into(), &none, 400, "", "uuid"),
            (
                "PUT",
                inventories.clone(),
                &json!({"resource_provider_generation": 7, "inventories": {}}),
                409,
                "placement.concurrent_update",
                "generation conflict",
            ),
            (
                "PUT",
                inventories.clone(),
                &json!({"resource_provider_generation": 2, "inventories": {}}),
                409,
                "placement.inventory.inuse",
                "in use",
            ),
            ("DELETE", inventories.clone(), &none, 409, "placement.inventory.inuse", "in use"),
            (
                "DELETE",
                format!("{inventories}/VCPU"),
                &none,
                409,
                "placement.concurrent_update",
                "in use",
            ),
            ("DELETE", format!("{inventories}/DISK_GB"), &none, 404, "", "No inventory of class"),
            ("PUT", inventories.clone(), &inventory(0, 0), 400, "", "less than the minimum"),
            (
                "PUT",
                inventories.clone(),
                &inventory(1 << 40, 0),
                400,
                "",
                "greater than the maximum",
            ),
            ("PUT", inventories.clone(), &inventory(8, 9), 400, "", "reserved value is greater"),
            (
                "PUT",
                inventories.clone(),
                &class("CUSTOM_NO"),
                400,
                "",
                "No such resource class CUSTOM_NO",
            ),
            ("PUT", inventories.clone(), &class("no"), 400, "", "does not match"),
            (
                "PUT",
                format!("{p1}/traits"),
                &json!({"resource_provider_generation": 2, "traits": ["CUSTOM_NO"]}),
                400,
                "",
                "No such trait",
            ),
            (
                "PUT",
                format!("{p1}/aggregates"),
                &json!({"resource_provider_generation": 9, "aggregates": []}),
                409,
                "placement.concurrent_update",
                "already changed",
            ),
            ("PUT", "/traits/NO".into(), &json!({}), 400, "", "The trait is invalid"),
            ("DELETE", "/traits/HW_CPU_X86_AVX2".into(), &none, 400, "", "Cannot delete standard"),
            ("DELETE", "/traits/CUSTOM_NO".into(), &none, 404, "", "No such trait"),
            ("GET", "/traits?name=x".into(), &none, 400, "", "Badly formatted name"),
            ("GET", "/traits?associated=x".into(), &none, 400, "", "only accepts"),
            ("DELETE", "/resource_classes/VCPU".into(), &none, 400, "", "Cannot delete standard"),
            ("PUT", "/resource_classes/no".into(), &json!({}), 400, "", "does not match"),
            (
                "PUT",
                "/allocations/x".into(),
                &asks(P1, json!({"VCPU": 1})),
                400,
                "",
                "Malformed consumer_uuid",
            ),
            ("PUT", other.clone(), &asks(P1, json!({"VCPU": 1})), 409, "", "exceed the capacity"),
            ("PUT", other.clone(), &asks(P1, json!({"DISK_GB": 1})), 409, "", "invalid"),
            (
                "PUT",
                other.clone(),
                &asks(P1, json!({"CUSTOM_NO": 1})),
                400,
                "",
                "No such resource class",
            ),
            ("PUT", other.clone(), &asks(P1, json!({"VCPU": 0})), 400, "", "less than the minimum"),
            ("PUT", other.clone(), &asks(P1, json!({})), 400, "", "non-empty"),
            (
                "PUT",
                other.clone(),
                &asks(NOBODY, json!({"VCPU": 1})),
                400,
                "",
                "that does not exist",
            ),
            (
                "PUT",
                own.clone(),
                &asks(P1, json!({"VCPU": 1})),
                409,
                "placement.concurrent_update",
                "expected 1 but got None",
            ),
            (
                "PUT",
                other.clone(),
                &allocation(P1, json!({"VCPU": 1}), json!(3)),
                409,
                "placement.concurrent_update",
                "expected null but got 3",
            ),
            ("DELETE", other.clone(), &none, 404, "", "No allocations for consumer"),
            ("POST", "/allocations".into(), &json!({}), 400, "", "non-empty"),
            ("GET", "/usages".into(), &none, 400, "", "'project_id' is a required"),
            (
                "GET",
                "/allocation_candidates".into(),
                &none,
                400,
                "placement.query.missing_value",
                "at least one",
            ),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let url = format!("/placement{path}");
            let client = cloud.at("1.39");
            let answer = match body {
                Value::Null => {
                    client.send(method.clone(), &url, web::RequestBody::Full("".into())).await
                }
                body => client.json(method.clone(), &url, body.clone()).await,
            };
            assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.text());
            let message = answer.message();
            assert!(message.contains(words), "{method} {path} {body}: {message}");
            let code = if code.is_empty() { "placement.undefined_code" } else { code };
            assert_eq!(
                answer.json()["errors"][0]["code"],
                code,
                "{method} {path} {body}: {message}"
            );
        }
        assert_eq!(cloud.generation(P1).await, 2);
    });
}

#[test]
fn older_versions_know_less() {
    run(3, async |cloud| {
        cloud.provider(P1, None, &[("VCPU", 8)]).await;
        cloud.provider(P2, Some(P1), &[]).await;
        cloud.provider(P3, None, &[]).await;
        for (version, path, status) in [
            ("1.1", "/resource_classes", 404),
            ("1.5", "/traits", 404),
            ("1.8", "/usages?project_id=x", 404),
            ("1.9", "/allocation_candidates?resources=VCPU:1", 404),
            ("1.10", "/allocation_candidates?resources=VCPU:1&limit=1", 400),
            ("1.16", "/allocation_candidates?resources=VCPU:1&limit=1", 200),
            ("1.16", "/allocation_candidates?resources=VCPU:1&limit=0", 400),
            ("1.24", "/allocation_candidates?resources1=VCPU:1", 400),
            ("1.25", "/allocation_candidates?resources1=VCPU:1", 200),
            ("1.25", "/allocation_candidates?resources01=VCPU:1", 400),
            ("1.32", "/allocation_candidates?resources_A=VCPU:1", 400),
            ("1.33", "/allocation_candidates?resources_A=VCPU:1", 200),
            ("1.34", "/allocation_candidates?resources=VCPU:1&root_required=HW_CPU_X86_AVX2", 400),
            ("1.35", "/allocation_candidates?resources=VCPU:1&root_required=HW_CPU_X86_AVX2", 200),
            ("1.38", "/allocation_candidates?resources=VCPU:1&required=in:HW_CPU_X86_AVX2", 400),
            ("1.39", "/allocation_candidates?resources=VCPU:1&required=in:HW_CPU_X86_AVX2", 200),
            ("1.13", "/resource_providers?in_tree=11111111-1111-4111-8111-111111111111", 400),
            ("1.14", "/resource_providers?in_tree=11111111-1111-4111-8111-111111111111", 200),
        ] {
            let answer = cloud.at(version).get(&format!("/placement{path}")).await;
            assert_eq!(answer.status, status, "{version} {path}: {}", answer.text());
        }
        let path = format!("/placement/resource_providers/{P3}/inventories");
        cloud.at("1.4").delete(&path).await.expect(405);
        cloud.at("1.5").delete(&path).await.expect(204);
        let path = format!("/placement/resource_providers/{P2}");
        for body in [
            json!({"name": "c", "parent_provider_uuid": P3}),
            json!({"name": "c", "parent_provider_uuid": null}),
        ] {
            cloud.at("1.36").put(&path, body.clone()).await.expect(400);
            let moved = cloud.at("1.37").put(&path, body.clone()).await.expect(200).json();
            assert_eq!(moved["parent_provider_uuid"], body["parent_provider_uuid"]);
        }
        let seen = cloud.get(&format!("/resource_providers/{P2}")).await;
        assert_eq!(seen["root_provider_uuid"], P2);
        // Before 1.23 errors have no code.
        let old = cloud.at("1.22").get(&format!("/placement/resource_providers/{NOBODY}")).await;
        assert!(old.expect(404).json()["errors"][0].get("code").is_none());
    });
}

#[test]
fn media_types() {
    run(4, async |cloud| {
        let path = "/placement/resource_providers";
        let client = cloud.at("1.39");
        client.header("accept", "text/plain").get(path).await.expect(406);
        client.header("accept", "text/html, */*;q=0.1").get(path).await.expect(200);
        let named = || web::RequestBody::Full(r#"{"name": "x"}"#.into());
        let post = Method::POST;
        let bare = client.send(post.clone(), path, named()).await.expect(400);
        assert!(bare.message().contains("content-type header required"), "{}", bare.text());
        let typed = client.header("content-type", "text/plain");
        typed.send(post.clone(), path, named()).await.expect(415);
        client.send(post.clone(), path, web::RequestBody::Full("".into())).await.expect(415);
        let json = client.header("content-type", "application/json; charset=utf-8");
        json.send(post.clone(), path, web::RequestBody::Full("{".into())).await.expect(400);
        json.send(post, path, named()).await.expect(200);
    });
}
