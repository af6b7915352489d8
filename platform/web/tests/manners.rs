//! The way of a request, called in process: who is let in, what is found, in which words it is refused.

use std::{sync::Arc, time::Duration};

use base::{Error, Kind, Result, World};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use web::{
    Call, Card, Envelope, Limits, MicroversionScheme, Overrides, Policy, Reply, RequestBody,
    Router, RouterBuilder, Schema, Service, Target,
    testing::{AuditKeeper, Client, FixedActors},
    v,
    validate::prop,
};

#[derive(Clone)]
struct Context {
    name: &'static str,
}

const NAME: Schema = Schema::object(&[prop(
    "thing",
    Schema::object(&[prop("name", Schema::name(1, 10)).required()]),
)
.required()]);

async fn show(call: Call<Context>) -> Result<Reply> {
    Ok(Reply::ok(json!({
        "service": call.context.name,
        "id": call.param("id"),
        "user": call.actor.user_id,
        "version": call.version.to_string(),
        "self": call.link(&format!("/things/{}", call.param("id"))),
        "bookmark": call.bookmark("/things/x"),
        "query": call.query.get("q"),
    })))
}

async fn make(call: Call<Context>) -> Result<Reply> {
    let body = call.input(&NAME)?;
    Ok(Reply::json(201, body).header("location", call.link("/things/new")))
}

async fn upload(mut call: Call<Context>) -> Result<Reply> {
    let mut stream = call.take_stream();
    let mut length = 0;
    while let Some(chunk) = stream.chunk().await {
        length += chunk?.len();
    }
    Ok(Reply::ok(json!({ "length": length })))
}

async fn loaded(call: Call<Context>) -> Result<Reply> {
    match call.param("id") {
        "forgotten" => Ok(Reply::empty(204)),
        owner => {
            call.allow("thing:loaded", &Target::project(owner))?;
            Ok(Reply::empty(204))
        }
    }
}

async fn fail(call: Call<Context>) -> Result<Reply> {
    Err(match call.param("id") {
        "missing" => Error::not_found("Thing missing could not be found."),
        "conflict" => Error::conflict("Thing is in use."),
        "panic" => panic!("as asked"),
        "slow" => {
            call.world.sleep(Duration::from_secs(600)).await;
            Error::internal("too late")
        }
        _ => Error::internal("the secret disk broke"),
    })
}

fn cards() -> Vec<Card<Context>> {
    let member = Policy::Rule("thing:get", "role:reader and project_id:%(project_id)s");
    let admin = Policy::Rule("thing:admin", "rule:is_admin");
    vec![
        Card::get("/things/{id}", member, show),
        Card::get("/public", Policy::Public, async |_| Ok(Reply::ok(json!({"public": true})))),
        Card::post("/things", Policy::Rule("thing:make", "role:member"), make),
        Card::put("/things/{id}/file", Policy::AnyToken, upload).streaming(),
        Card::put("/small", Policy::AnyToken, upload).limit(10),
        Card::get("/admin", admin, async |_| Ok(Reply::empty(204))),
        Card::delete(
            "/loaded/{id}",
            Policy::Checked(&[("thing:loaded", "project_id:%(project_id)s")]),
            loaded,
        ),
        Card::get("/own/{user_id}", Policy::Rule("thing:own", "user_id:%(user_id)s"), async |_| {
            Ok(Reply::empty(204))
        }),
        Card::get("/old", Policy::AnyToken, async |_| Ok(Reply::ok(json!("old")))).until("2.10"),
        Card::get("/old", Policy::AnyToken, async |_| Ok(Reply::ok(json!("new")))).since("2.20"),
        Card::get("/fail/{id}", Policy::AnyToken, fail),
        Card::post("/fail/{id}", Policy::AnyToken, fail),
    ]
}

fn service(name: &'static str, prefix: &'static str, envelope: Envelope) -> Service<Context> {
    Service::new(name, prefix, envelope, Context { name })
        .rules(&[("is_admin", "role:admin")])
        .room(cards())
}

fn builder(world: &World) -> RouterBuilder {
    let scheme = |service_type, min, max, legacy_header| MicroversionScheme {
        service_type,
        min,
        max,
        legacy_header,
    };
    Router::builder(world.clone(), Arc::new(FixedActors::usual()))
        .base_url(web::BaseUrl::new("http://cloud:1/"))
        .mount(
            service("compute", "/compute/v2.1", Envelope::Nova)
                .microversions(scheme(
                    "compute",
                    v(2, 1),
                    v(2, 96),
                    Some("x-openstack-nova-api-version"),
                ))
                .project_in_path(),
        )
        .mount(service("identity", "/identity/v3", Envelope::Keystone))
        .mount(service("image", "/image/v2", Envelope::Glance))
        .mount(service("placement", "/placement", Envelope::Placement).microversions(scheme(
            "placement",
            v(1, 0),
            v(1, 39),
            None,
        )))
}

fn run(test: impl AsyncFnOnce(World)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("runtime");
    runtime.block_on(async { test(World::simulated(1)).await });
}

fn with(test: impl AsyncFnOnce(Client)) {
    run(async |world| test(Client::new(&builder(&world).build().expect("router"))).await);
}

const ALL: [&str; 4] = ["/compute/v2.1", "/identity/v3", "/image/v2", "/placement"];

#[test]
fn answers() {
    with(async |client| {
        let answer =
            client.token("demo").get("/compute/v2.1/things/a%20b?q=1%2B1").await.expect(200);
        assert_eq!(
            answer.json(),
            json!({
                "service": "compute", "id": "a b", "user": "demo", "version": "2.1",
                "self": "http://cloud:1/compute/v2.1/things/a b",
                "bookmark": "http://cloud:1/compute/things/x", "query": "1+1",
            })
        );
        assert_eq!(answer.header("content-type"), "application/json");
        assert!(answer.header("x-openstack-request-id").starts_with("req-"));
        assert_eq!(answer.header("x-compute-request-id"), answer.header("x-openstack-request-id"));
        assert_eq!(answer.header("openstack-api-version"), "compute 2.1");
        assert_eq!(answer.header("x-openstack-nova-api-version"), "2.1");
        assert_eq!(answer.header("vary"), "OpenStack-API-Version, X-OpenStack-Nova-API-Version");
        let answer = client.token("demo").get("/identity/v3/things/x/").await.expect(200);
        assert_eq!(answer.header("vary"), "X-Auth-Token");
        assert_eq!(answer.header("x-compute-request-id"), "");
    });
}

#[test]
fn a_head_is_a_get_without_its_body() {
    with(async |client| {
        let client = client.token("demo");
        let get = client.get("/identity/v3/things/x").await.expect(200);
        let head = client.head("/identity/v3/things/x").await.expect(200);
        assert!(head.bytes.is_empty());
        assert_eq!(head.header("content-length"), get.bytes.len().to_string());
    });
}

#[test]
fn nobody_gets_in_without_a_token() {
    with(async |client| {
        for prefix in ALL {
            for client in [client.clone(), client.token("nonsense"), client.token("")] {
                for path in ["/things/x", "/admin", "/old"] {
                    let answer = client.get(&format!("{prefix}{path}")).await.expect(401);
                    assert_eq!(
                        answer.json(),
                        json!({"error": {
                            "code": 401, "title": "Unauthorized",
                            "message": "The request you have made requires authentication.",
                        }})
                    );
                    assert_eq!(
                        answer.header("www-authenticate"),
                        "Keystone uri=\"http://cloud:1/identity\""
                    );
                }
                client.get(&format!("{prefix}/public")).await.expect(200);
                // Filters stand before routes, but Keystone has none.
                let nowhere = client.get(&format!("{prefix}/nowhere")).await;
                nowhere.expect(if prefix == "/identity/v3" { 404 } else { 401 });
            }
        }
    });
}

#[test]
fn what_is_not_there() {
    with(async |client| {
        let client = client.token("demo");
        let answer = client.get("/compute/v2.1/nowhere").await.expect(404);
        assert_eq!(
            answer.json(),
            json!({"itemNotFound": {
                "code": 404, "message": "The resource could not be found.",
            }})
        );
        // To Nova another method is another path.
        client.delete("/compute/v2.1/admin").await.expect(404);
        for prefix in &ALL[1..] {
            client.get(&format!("{prefix}/nowhere")).await.expect(404);
            let answer = client.delete(&format!("{prefix}/things/x")).await.expect(405);
            assert_eq!(answer.header("allow"), "GET, HEAD");
        }
        client.get("/nowhere").await.expect(404);
        client.get("/compute/v2.10/things/x").await.expect(404);
        client.get("/computev2.1/things/x").await.expect(404);
    });
}

#[test]
fn policies() {
    with(async |client| {
        let (admin, demo, none) =
            (client.token("admin"), client.token("demo"), client.token("none"));
        for (prefix, words) in ALL.into_iter().zip([
            "Policy doesn't allow thing:admin to be performed.",
            "You are not authorized to perform the requested action: thing:admin.",
            "You are not authorized to complete thing:admin action.",
            "Access was denied to this resource.\n\n Policy does not allow thing:admin to be performed.  ",
        ]) {
            admin.get(&format!("{prefix}/admin")).await.expect(204);
            let answer = demo.get(&format!("{prefix}/admin")).await.expect(403);
            assert_eq!(answer.message(), words);
            none.get(&format!("{prefix}/things/x")).await.expect(403);
        }
        // Parameters of the path are the target's attributes.
        demo.get("/identity/v3/own/demo").await.expect(204);
        demo.get("/identity/v3/own/admin").await.expect(403);
        // Checked by the handler.
        demo.delete("/identity/v3/loaded/demo").await.expect(204);
        demo.delete("/identity/v3/loaded/other").await.expect(403);
        // A handler that forgot to ask gives nothing away.
        demo.delete("/identity/v3/loaded/forgotten").await.expect(500);
    });
}

#[test]
fn a_policy_file_overrides() {
    run(async |world| {
        let overrides = Overrides::parse("\"thing:admin\": \"role:reader\"\n").expect("file");
        let router = builder(&world).policy("image", overrides).build().expect("router");
        let demo = Client::new(&router).token("demo");
        demo.get("/image/v2/admin").await.expect(204);
        demo.get("/identity/v3/admin").await.expect(403);
        let wrong = Overrides::default().with("thing:nope", "@");
        assert!(builder(&world).policy("image", wrong).build().is_err());
        assert!(builder(&world).policy("volume", Overrides::default()).build().is_err());
    });
}

#[test]
fn versions() {
    with(async |client| {
        let client = client.token("demo");
        let at = async |version: &str| client.version(version).get("/compute/v2.1/old").await;
        assert_eq!(at("compute 2.10").await.expect(200).json(), json!("old"));
        at("compute 2.11").await.expect(404);
        assert_eq!(at("compute 2.20").await.expect(200).json(), json!("new"));
        assert_eq!(at("compute latest").await.header("openstack-api-version"), "compute 2.96");
        let answer = at("compute 2.97").await.expect(406);
        assert_eq!(
            answer.json(),
            json!({"computeFault": {"code": 406, "message":
            "Version 2.97 is not supported by the API. Minimum is 2.1 and maximum is 2.96."}})
        );
        let answer = at("compute x").await.expect(400);
        assert!(answer.message().starts_with("API Version String x is of invalid format."));
        // Only who is known may ask for a version.
        client.token("bad").version("compute 2.97").get("/compute/v2.1/old").await.expect(401);
        let answer = client.version("placement 1.99").get("/placement/things/x").await.expect(406);
        let error = &answer.json()["errors"][0];
        assert_eq!(error["max_version"], "1.39");
        assert_eq!(error["min_version"], "1.0");
        assert_eq!(error["title"], "Not Acceptable");
        let answer = client.version("placement 1.22").get("/placement/nowhere").await.expect(404);
        assert_eq!(answer.json()["errors"][0].get("code"), None);
        let answer = client.version("placement 1.23").get("/placement/nowhere").await.expect(404);
        assert_eq!(answer.json()["errors"][0]["code"], "placement.undefined_code");
        assert_eq!(
            answer.json()["errors"][0]["request_id"],
            answer.header("x-openstack-request-id")
        );
        assert_eq!(answer.header("openstack-api-version"), "placement 1.23");
    });
}

#[test]
fn a_path_may_name_the_project() {
    run(async |world| {
        let project = "0123456789abcdef0123456789abcdef";
        let actors = FixedActors::usual();
        actors.add("p", web::testing::actor("p", project, &["reader"]));
        let router = Router::builder(world, Arc::new(actors))
            .mount(service("compute", "/compute/v2.1", Envelope::Nova).project_in_path())
            .build()
            .expect("router");
        let client = Client::new(&router);
        client.token("p").get(&format!("/compute/v2.1/{project}/things/x")).await.expect(200);
        let answer = client.token("demo").get(&format!("/compute/v2.1/{project}/things/x")).await;
        assert_eq!(
            answer.expect(400).message(),
            format!(
                "Malformed request URL: URL's project_id '{project}' doesn't match Context's \
                     project_id 'demo'"
            )
        );
        client.token("p").get(&format!("/compute/v2.1/{project}/nowhere")).await.expect(404);
        client.token("p").get("/compute/v2.1/demo/things/x").await.expect(404);
    });
}

#[test]
fn bodies() {
    with(async |client| {
        let client = client.token("demo");
        let answer = client.post("/compute/v2.1/things", json!({"thing": {"name": "x"}})).await;
        assert_eq!(answer.expect(201).header("location"), "http://cloud:1/compute/v2.1/things/new");
        let send = async |prefix: &str, kind: Option<&str>, body: &'static [u8]| {
            let client = kind.map_or(client.clone(), |kind| client.header("content-type", kind));
            let path = format!("{prefix}/things");
            let answer =
                client.send(Method::POST, &path, RequestBody::Full(Bytes::from_static(body))).await;
            (answer.status.as_u16(), answer.message())
        };
        let (nova, keystone, glance, placement) = (ALL[0], ALL[1], ALL[2], ALL[3]);
        let json = Some("application/json");
        let keystone_wants = |what: &str, place: &str| {
            (
                400,
                format!(
                    "Expecting to find {what} in {place}. The server could not comply with the \
                           request since it is either malformed or otherwise incorrect. The client is \
                           assumed to be in error."
                ),
            )
        };
        let say = |status, text: &str| (status, text.to_owned());
        assert_eq!(send(nova, json, b"{").await, say(400, "Malformed request body"));
        assert_eq!(send(nova, json, b"\xff\"").await, say(400, "Malformed request body"));
        assert_eq!(send(nova, json, b"{\"thing\": NaN}").await, say(400, "Malformed request body"));
        assert_eq!(send(nova, json, b"[]").await, say(400, "[] is not of type 'object'"));
        assert_eq!(send(nova, json, b"").await, say(400, "None is not of type 'object'"));
        assert_eq!(send(nova, Some("text/plain"), b"{}").await, say(400, "Malformed request body"));
        assert_eq!(send(nova, None, b"{}").await, say(400, "Malformed request body"));
        assert_eq!(send(nova, Some("text/xml"), b"{}").await, say(415, "Unsupported Content-Type"));
        assert_eq!(send(keystone, json, b"{").await, keystone_wants("valid JSON", "request body"));
        assert_eq!(send(keystone, json, b"[]").await, keystone_wants("valid JSON", "request body"));
        assert_eq!(send(keystone, json, b"").await, say(400, "'thing' is a required property"));
        assert_eq!(send(keystone, None, b"{}").await, say(400, "'thing' is a required property"));
        assert_eq!(
            send(keystone, Some("text/xml"), b"{}").await,
            keystone_wants("application/json", "Content-Type header")
        );
        assert_eq!(send(glance, json, b"{").await, say(400, "Malformed JSON in request body."));
        assert_eq!(send(glance, json, b"").await, say(400, "Body expected in request."));
        assert_eq!(send(glance, Some("text/xml"), b"{}").await.0, 415);
        let (status, message) = send(placement, json, b"{").await;
        assert_eq!(status, 400);
        assert!(message.contains("Malformed JSON: "), "{message}");
        assert!(send(placement, None, b"{}").await.1.contains("content-type header required"));
        assert!(
            send(placement, Some("text/xml"), b"{}")
                .await
                .1
                .contains("The media type text/xml is not supported, use application/json")
        );
        let (status, _) = send(nova, json, Box::leak(vec![b'['; 100_000].into_boxed_slice())).await;
        assert_eq!(status, 400);
        let (status, _) = send(
            nova,
            Some("application/json; charset=UTF-8"),
            b"{\"thing\":{\"name\":\"x\"},\"thing\":{\"name\":\"y\"}}",
        )
        .await;
        assert_eq!(status, 201);
        assert_eq!(
            send(nova, json, Box::leak(vec![b' '; 1024 * 1024 + 1].into_boxed_slice())).await,
            say(413, "Request is too large.")
        );
    });
}

fn stream(chunks: Vec<Result<Bytes>>, forever: bool) -> RequestBody {
    use futures_util::StreamExt;
    let chunks = futures_util::stream::iter(chunks);
    match forever {
        true => RequestBody::Stream(Box::pin(chunks.chain(futures_util::stream::pending()))),
        false => RequestBody::Stream(Box::pin(chunks)),
    }
}

#[test]
fn streams() {
    with(async |client| {
        let client = client.token("demo");
        let chunk = || Ok(Bytes::from(vec![0; 1_000_000]));
        let big = stream((0..5).map(|_| chunk()).collect(), false);
        let answer = client.send(Method::PUT, "/image/v2/things/x/file", big).await.expect(200);
        assert_eq!(answer.json(), json!({"length": 5_000_000}));
        let broken = stream(vec![chunk(), Err(Error::bad_request("The body broke off."))], false);
        let answer = client.send(Method::PUT, "/image/v2/things/x/file", broken).await.expect(400);
        assert_eq!(answer.message(), "The body broke off.");
        let silent = stream(vec![chunk()], true);
        let answer = client.send(Method::PUT, "/image/v2/things/x/file", silent).await.expect(400);
        assert_eq!(answer.message(), "The request&#x27;s body stood still for 60 seconds.");
        // Whole bodies: in parts, too large in parts, never ending.
        let client = client.header("content-type", "application/json");
        let part = |text: &'static str| Ok(Bytes::from_static(text.as_bytes()));
        let parts = stream(vec![part("12345"), part(""), part("67890")], false);
        let answer = client.send(Method::PUT, "/identity/v3/small", parts).await.expect(200);
        assert_eq!(answer.json(), json!({"length": 10}));
        let parts = stream(vec![part("12345"), part("678901")], false);
        client.send(Method::PUT, "/identity/v3/small", parts).await.expect(413);
        let parts = stream(vec![part("12345")], true);
        client.send(Method::PUT, "/identity/v3/small", parts).await.expect(400);
    });
}

#[test]
fn failures() {
    with(async |client| {
        let client = client.token("demo");
        let answer = client.get("/compute/v2.1/fail/missing").await.expect(404);
        assert_eq!(answer.message(), "Thing missing could not be found.");
        client.get("/placement/fail/conflict").await.expect(409);
        for prefix in ALL {
            let answer = client.get(&format!("{prefix}/fail/x")).await.expect(500);
            assert!(!answer.text().contains("secret"));
        }
        client.get("/compute/v2.1/fail/panic").await.expect(500);
        client.post("/compute/v2.1/fail/panic", json!({})).await.expect(500);
        client.get("/compute/v2.1/fail/slow").await.expect(503);
        let answer = client.post("/compute/v2.1/fail/slow", json!({})).await.expect(503);
        assert!(answer.message().contains("may still be carried out"), "{}", answer.message());
        assert_eq!(answer.header("retry-after"), "1");
    });
}

#[test]
fn a_change_goes_on_when_its_client_is_gone() {
    run(async |world| {
        let done = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = async |call: Call<Arc<std::sync::atomic::AtomicUsize>>| {
            call.world.sleep(Duration::from_secs(5)).await;
            call.context.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(Reply::empty(204))
        };
        let service = Service::new("x", "/x", Envelope::Plain, done.clone()).room(vec![
            Card::post("/y", Policy::AnyToken, count),
            Card::get("/y", Policy::AnyToken, count),
        ]);
        let router = Router::builder(world.clone(), Arc::new(FixedActors::usual()))
            .mount(service)
            .build()
            .expect("router");
        let client = Client::new(&router).token("demo");
        for method in [Method::POST, Method::GET] {
            let call = client.send(method, "/x/y", RequestBody::Full(Bytes::new()));
            assert!(world.timeout(Duration::from_secs(1), call).await.is_err());
        }
        world.sleep(Duration::from_secs(60)).await;
        assert_eq!(done.load(std::sync::atomic::Ordering::Relaxed), 1, "the POST and only it");
    });
}

#[test]
fn limits() {
    run(async |world| {
        let limits = Limits { concurrent: 2, uri: 100, ..Limits::default() };
        let router = builder(&world).limits(limits).build().expect("router");
        let client = Client::new(&router).token("demo");
        client.get(&format!("/compute/v2.1/things/{}", "x".repeat(100))).await.expect(414);
        let slow = async || client.get("/compute/v2.1/fail/slow").await.status.as_u16();
        let (a, b, c) = futures_util::join!(slow(), slow(), async {
            world.sleep(Duration::from_secs(1)).await;
            let answer = client.get("/compute/v2.1/things/x").await;
            (answer.status.as_u16(), answer.header("retry-after").to_owned())
        });
        assert_eq!((a, b, c), (503, 503, (503, "1".to_owned())));
        client.get("/compute/v2.1/things/x").await.expect(200);
    });
}

#[test]
fn changes_are_audited() {
    run(async |world| {
        let keeper = AuditKeeper::default();
        let router = builder(&world).audit(Arc::new(keeper.clone())).build().expect("router");
        let client = Client::new(&router);
        client.token("demo").get("/compute/v2.1/things/x").await.expect(200);
        assert!(keeper.take().is_empty());
        let answer = client.token("demo").delete("/identity/v3/loaded/demo").await.expect(204);
        client.token("demo").delete("/identity/v3/loaded/other").await.expect(403);
        client.post("/compute/v2.1/things", json!({})).await.expect(401);
        client.token("demo").post("/compute/v2.1/fail/slow", json!({})).await.expect(503);
        let events = keeper.take();
        let seen: Vec<_> = events
            .iter()
            .map(|e| (e.action, e.outcome, e.status, &*e.initiator.user_id, e.service, e.route))
            .collect();
        assert_eq!(
            seen,
            [
                ("delete", "success", 204, "demo", "identity", "/loaded/{id}"),
                ("delete", "failure", 403, "demo", "identity", "/loaded/{id}"),
                ("create", "failure", 401, "", "compute", ""),
                ("create", "unknown", 503, "demo", "compute", "/fail/{id}"),
            ]
        );
        assert_eq!(&*events[0].request_id, answer.header("x-openstack-request-id"));
        assert_eq!(events[0].path, "/identity/v3/loaded/demo");
    });
}

#[test]
fn requests_are_counted_by_route() {
    run(async |world| {
        let router = builder(&world).build().expect("router");
        let client = Client::new(&router).token("demo");
        client.get("/compute/v2.1/things/a").await.expect(200);
        client.get("/compute/v2.1/things/b").await.expect(200);
        client.get("/compute/v2.1/nowhere/c").await.expect(404);
        let text = client.get("/metrics").await.expect(200).text();
        for line in [
            "everstack_web_requests_total{service=\"compute\",method=\"GET\",route=\"/things/{id}\",status=\"200\"} 2",
            "everstack_web_requests_total{service=\"compute\",method=\"none\",route=\"none\",status=\"404\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{text}");
        }
        assert!(!text.contains("nowhere"), "a client makes no series");
    });
}

#[test]
fn wrong_tables_are_refused() {
    run(async |world| {
        let ok = async |_: Call<()>| Ok(Reply::empty(204));
        let build = |cards: Vec<Card<()>>| {
            Router::builder(world.clone(), Arc::new(FixedActors::new()))
                .mount(Service::new("x", "/x", Envelope::Nova, ()).room(cards))
                .build()
        };
        let any = Policy::AnyToken;
        assert!(build(vec![Card::get("/a/{id}", any, ok), Card::get("/a/{b}", any, ok)]).is_err());
        assert!(
            build(vec![Card::get("/a", any, ok), Card::get("/a", any, ok).since("2.5")]).is_err()
        );
        assert!(
            build(vec![
                Card::get("/a", any, ok).until("2.4"),
                Card::get("/a", any, ok).since("2.5"),
                Card::put("/a", any, ok)
            ])
            .is_ok()
        );
        assert!(build(vec![Card::get("a", any, ok)]).is_err());
        assert!(build(vec![Card::get("/a", Policy::Rule("p", "role:"), ok)]).is_err());
        assert!(build(vec![Card::get("/a", Policy::Rule("p", "rule:missing"), ok)]).is_err());
        let twice = Router::builder(world.clone(), Arc::new(FixedActors::new()))
            .mount(Service::new("x", "/x", Envelope::Nova, ()))
            .mount(Service::new("y", "/x", Envelope::Nova, ()))
            .build();
        assert!(twice.is_err());
    });
}

#[test]
fn routes_are_listed_for_guards() {
    run(async |world| {
        let router = builder(&world).build().expect("router");
        assert_eq!(router.routes().count(), 4 * cards().len());
        let old: Vec<_> = router.routes().filter(|r| r.path == "/compute/v2.1/old").collect();
        assert_eq!((old[0].until, old[1].since), (Some(v(2, 10)), Some(v(2, 20))));
        let public = web::testing::public_routes(&router);
        assert_eq!(public.iter().filter(|route| route.ends_with("/public")).count(), 4);
        assert_eq!(public.len(), 4, "{public:?}");
        assert_eq!(web::testing::unguarded_routes(&router).await, Vec::<String>::new());
        let policies: Vec<_> = router.policies("image").expect("image").collect();
        assert!(policies.contains(&("thing:admin", "rule:is_admin")));
    });
}

#[test]
fn the_wire_form_of_every_error_kind_is_json_or_html_but_never_empty() {
    let kinds = [
        Kind::BadRequest,
        Kind::Forbidden,
        Kind::OverQuota,
        Kind::NotFound,
        Kind::MethodNotAllowed,
        Kind::NotAcceptable,
        Kind::Conflict,
        Kind::Gone,
        Kind::PreconditionFailed,
        Kind::TooLarge,
        Kind::UnsupportedMedia,
        Kind::RangeNotSatisfiable,
        Kind::Unprocessable,
        Kind::TooManyRequests,
        Kind::NotImplemented,
        Kind::Unavailable,
        Kind::Internal,
    ];
    run(async |world| {
        for envelope in [Envelope::Nova, Envelope::Keystone, Envelope::Glance, Envelope::Placement]
        {
            for kind in kinds {
                let service = Service::new("x", "/x", envelope, kind).room(vec![Card::get(
                    "/y",
                    Policy::AnyToken,
                    async |call: Call<Kind>| Err(Error::new(call.context, "Why.")),
                )]);
                let router = Router::builder(world.clone(), Arc::new(FixedActors::usual()))
                    .mount(service)
                    .build()
                    .expect("router");
                let client =
                    Client::new(&router).token("demo").header("accept", "application/json");
                let answer = client.get("/x/y").await;
                assert_eq!(answer.status, envelope.status(kind));
                let shown = answer.json().to_string();
                assert_eq!(shown.contains("Why."), kind != Kind::Internal, "{shown}");
                let _: Value = answer.json();
            }
        }
    });
}

mod hostile {
    //! Whatever comes in, the answer is no 500 and nothing panics.

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn requests(
            service in 0..4usize,
            method in "GET|PUT|POST|PATCH|DELETE|HEAD|OPTIONS|NONSENSE",
            path in "/(things|small|admin|old|own|loaded)?(/[a-z%0-9./]{0,12}){0,3}",
            query in "[a-z=&%0-9+]{0,20}",
            token in "demo|admin|none|[ -~]{0,20}",
            version in "(compute|placement) [0-9.x]{0,8}|[ -~]{0,30}",
            kind in "application/json|text/plain|[a-z/;=]{0,20}",
            body in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            with(async |client| {
                let client = client
                    .token(token.trim())
                    .header("openstack-api-version", version.trim())
                    .header("content-type", &kind);
                let uri = format!("{}{path}?{query}", ALL[service]);
                let method = Method::from_bytes(method.as_bytes()).expect("method");
                // Nobody asked a policy: the one 500 that these cards have.
                if !uri.contains("loaded/forgotten") {
                    let answer = client.send(method, &uri, RequestBody::from(Bytes::from(body))).await;
                    assert!(!answer.status.is_server_error(), "{uri}: {}", answer.text());
                    assert!(answer.header("x-openstack-request-id").starts_with("req-"));
                }
            });
        }
    }
}
