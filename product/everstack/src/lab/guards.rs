//! Guards that walk everything there is: what is forgotten in a new room shows here.

use base::Set;
use bytes::Bytes;
use http::Method;
use web::{Policy, RequestBody, testing::Client};

use super::{Lab, run};

/// A path with something in the place of each parameter.
fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[test]
fn every_route_is_refused_without_a_token() {
    run(1, async |world| {
        let lab = Lab::new(&world, 1, 0).await;
        let router = lab.any().unwrap().router;
        let mut walked = 0;
        for route in router.routes() {
            if route.policy == Policy::Public {
                continue;
            }
            let body = RequestBody::Full(Bytes::new());
            let answer =
                Client::new(&router).send(route.method.clone(), &filled(&route.path), body).await;
            assert_eq!(answer.status, 401, "{} {}", route.method, route.path);
            walked += 1;
        }
        assert!(walked > 100, "only {walked} routes were walked");
    });
}

/// What anybody may ask, by name: a new one is a decision.
#[test]
fn what_needs_no_token_is_a_short_list() {
    run(1, async |world| {
        let lab = Lab::new(&world, 1, 0).await;
        let router = lab.any().unwrap().router;
        let public: Set<String> = router
            .routes()
            .filter(|route| route.policy == Policy::Public)
            .map(|route| format!("{} {}", route.method, route.path))
            .collect();
        // Both show who asks by a password.
        let known = ["POST /identity/v3/auth/tokens", "POST /identity/v3/users/{user_id}/password"];
        let known = known.map(str::to_owned).into();
        assert_eq!(public, known);
    });
}

#[test]
fn no_request_of_a_stranger_or_a_reader_is_a_server_error() {
    run(1, async |world| {
        let lab = Lab::new(&world, 1, 1).await;
        let router = lab.any().unwrap().router;
        let token = lab.token();
        for route in router.routes() {
            for body in ["", "{", "[]", "{}", "{\"x\": 1}", "\"text\"", "null", "{\"server\": 5}"] {
                let client =
                    Client::new(&router).token(&token).header("content-type", "application/json");
                let body = RequestBody::Full(Bytes::from(body));
                let answer = client.send(route.method.clone(), &filled(&route.path), body).await;
                assert!(
                    !answer.status.is_server_error() || answer.status == 501,
                    "{} {}: {} {}",
                    route.method,
                    route.path,
                    answer.status,
                    answer.text()
                );
            }
        }
    });
}

#[test]
fn every_reconciler_settles_on_an_empty_cloud() {
    run(1, async |world| {
        let lab = Lab::new(&world, 2, 2).await;
        lab.settle().await;
        let controller = lab.any().unwrap();
        let status = controller.runtime.status();
        assert!(status.len() >= 3, "{status:?}");
        for reconciler in status {
            assert!(reconciler.failing.is_empty(), "{reconciler:?}");
        }
    });
}

#[test]
fn versions_are_found_without_a_token() {
    run(1, async |world| {
        let lab = Lab::new(&world, 1, 0).await;
        let client = Client::new(&lab.any().unwrap().router);
        let places =
            ["/", "/identity", "/identity/v3", "/compute", "/compute/v2.1", "/image", "/placement"];
        for path in places {
            let body = RequestBody::Full(Bytes::new());
            let answer = client.send(Method::GET, path, body).await;
            assert!(matches!(answer.status.as_u16(), 200 | 300), "{path}: {}", answer.status);
            assert!(answer.json().is_object(), "{path}");
        }
    });
}
