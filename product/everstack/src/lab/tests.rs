//! The promises, in a simulated cloud.

use std::time::Duration;

use base::World;
use http::Method;
use serde_json::{Value, json};
use state::faulty::{At, Fault, Rates};

use super::{Lab, run};

impl Lab {
    async fn flavor(&self) -> String {
        let flavor = json!({"flavor": {"name": "f", "id": "f", "ram": 64, "vcpus": 1, "disk": 1}});
        self.insist(Method::POST, "/compute/v2.1/flavors", Some(flavor)).await;
        "f".into()
    }

    async fn image(&self) -> String {
        let image = json!({"name": "i", "disk_format": "raw", "container_format": "bare"});
        let made =
            self.insist(Method::POST, "/image/v2/images", Some(image)).await.expect(201).json();
        let id = made["id"].as_str().unwrap().to_owned();
        let controller = self.any().unwrap();
        let token = self.token();
        web::testing::Client::new(&controller.router)
            .token(&token)
            .header("content-type", "application/octet-stream")
            .send(
                Method::PUT,
                &format!("/image/v2/images/{id}/file"),
                web::RequestBody::Full(vec![0; 65536].into()),
            )
            .await
            .expect(204);
        id
    }

    fn wish(&self, name: &str, image: &str) -> Value {
        json!({"server": {"name": name, "flavorRef": "f", "imageRef": image, "networks": "none"}})
    }

    async fn server(&self, id: &str) -> Value {
        let path = format!("/compute/v2.1/servers/{id}");
        self.insist(Method::GET, &path, None).await.json()["server"].clone()
    }

    /// Asks for a server; none when nobody knows whether it was made.
    async fn create(&self, name: &str, image: &str) -> Option<String> {
        let body = self.wish(name, image);
        let answer = self.ask(Method::POST, "/compute/v2.1/servers", Some(body)).await?;
        answer
            .status
            .is_success()
            .then(|| answer.json()["server"]["id"].as_str().unwrap().to_owned())
    }
}

#[test]
fn a_server_is_active_after_three_commits_and_gone_after_three() {
    run(1, async |world| {
        let lab = Lab::new(&world, 1, 2).await;
        lab.flavor().await;
        let image = lab.image().await;
        lab.settle().await;
        lab.store.reset_counts();
        let id = lab.create("one", &image).await.unwrap();
        lab.settle().await;
        assert_eq!(lab.server(&id).await["status"], "ACTIVE");
        assert!(lab.store.commits() <= 3, "{:?}", lab.store.counts());
        lab.check_settled().await;
        lab.store.reset_counts();
        lab.insist(Method::DELETE, &format!("/compute/v2.1/servers/{id}"), None).await.expect(204);
        lab.settle().await;
        assert!(lab.store.commits() <= 3, "{:?}", lab.store.counts());
        lab.insist(Method::GET, &format!("/compute/v2.1/servers/{id}"), None).await.expect(404);
        lab.check_settled().await;
    });
}

#[test]
fn compute_answers_old_clients_and_refuses_what_it_cannot_do() {
    run(2, async |world| {
        let lab = Lab::new(&world, 1, 1).await;
        lab.flavor().await;
        let image = lab.image().await;
        let versions = lab.insist(Method::GET, "/compute", None).await.json();
        assert_eq!(versions["versions"][0]["id"], "v2.0");
        let one = lab.insist(Method::GET, "/compute/v2", None).await.expect(200).json();
        assert_eq!(one["version"]["id"], "v2.0");
        // As 2.1 has it, though 2.37 is asked for: no description, which came with 2.19.
        let id = lab.create("one", &image).await.unwrap();
        let path = format!("/compute/v2/servers/{id}");
        let server = lab.insist(Method::GET, &path, None).await.expect(200).json();
        assert_eq!(server["server"]["name"], "one");
        assert!(server["server"].get("description").is_none(), "{server}");
        assert!(lab.server(&id).await.get("description").is_some());

        let path = format!("/compute/v2.1/servers/{id}");
        let long = json!({"server": {"accessIPv6": "0:0:0:0:0:babe:220.12.22.2"}});
        lab.insist(Method::PUT, &path, Some(long)).await.expect(200);
        assert_eq!(lab.server(&id).await["accessIPv6"], "::babe:dc0c:1602");

        lab.settle().await;
        let rebuild = json!({"rebuild": {"imageRef": image}});
        let action = format!("{path}/action");
        let refused = lab.insist(Method::POST, &action, Some(rebuild)).await.expect(409).json();
        let text = refused["conflictingRequest"]["message"].as_str().unwrap();
        assert!(text.contains("this cloud cannot do it yet"), "{text}");
        lab.check_settled().await;
    });
}

/// Two servers are made, one is stopped and started, one deleted; each commit of it fails once in each
/// way, and the end is the same.
#[test]
fn every_workflow_ends_the_same_whichever_commit_fails_and_how() {
    let workflow = async |world: World, fault: Option<(u64, Fault)>| {
        let lab = Lab::new(&world, 2, 2).await;
        lab.flavor().await;
        let image = lab.image().await;
        lab.settle().await;
        lab.store.reset_counts();
        if let Some((number, fault)) = fault {
            lab.store.script(At::Nth(number), fault);
        }
        let path = |id: &str| format!("/compute/v2.1/servers/{id}");
        for name in ["keep", "drop"] {
            // A lost answer is looked up by the name, as a careful client does.
            for _ in 0..20 {
                let found = lab
                    .insist(Method::GET, &format!("/compute/v2.1/servers?name=^{name}$"), None)
                    .await;
                if found.json()["servers"].as_array().is_some_and(|all| !all.is_empty()) {
                    break;
                }
                lab.create(name, &image).await;
                world.sleep(Duration::from_secs(1)).await;
                lab.revive().await;
            }
        }
        let all = lab.insist(Method::GET, "/compute/v2.1/servers", None).await.json();
        let id = |name: &str| {
            let all = all["servers"].as_array().unwrap();
            let of_name: Vec<_> = all.iter().filter(|s| s["name"] == name).collect();
            assert_eq!(of_name.len(), 1, "{all:?}");
            of_name[0]["id"].as_str().unwrap().to_owned()
        };
        let (keep, drop) = (id("keep"), id("drop"));
        wait_for(&lab, &keep, "ACTIVE").await;
        let action = format!("{}/action", path(&keep));
        lab.insist(Method::POST, &action, Some(json!({"os-stop": null}))).await;
        wait_for(&lab, &keep, "SHUTOFF").await;
        lab.insist(Method::POST, &action, Some(json!({"os-start": null}))).await;
        wait_for(&lab, &keep, "ACTIVE").await;
        lab.insist(Method::DELETE, &path(&drop), None).await;
        lab.settle().await;
        lab.check_settled().await;
        assert_eq!(lab.server(&keep).await["status"], "ACTIVE");
        lab.insist(Method::GET, &path(&drop), None).await.expect(404);
        lab.store.commits()
    };
    let commits = run(3, async |world| workflow(world, None).await);
    assert!(commits >= 8, "only {commits} commits");
    for number in 1..=commits {
        for fault in Fault::EACH {
            run(1000 + number, async |world| workflow(world, Some((number, fault))).await);
        }
    }
}

async fn wait_for(lab: &Lab, id: &str, status: &str) {
    for _ in 0..600 {
        let server = lab.server(id).await;
        if server["status"] == status && server["OS-EXT-STS:task_state"].is_null() {
            return;
        }
        assert_ne!(server["status"], "ERROR", "{server}");
        lab.world.sleep(Duration::from_millis(200)).await;
        lab.revive().await;
    }
    panic!("{id} is never {status}: {}", lab.server(id).await);
}

/// Creates and deletes by the seed while everything fails that can, controllers and agents die and nodes
/// reboot.
async fn storm(world: World) -> (u64, u64, Vec<String>) {
    world.keep_trace();
    let lab = Lab::new(&world, 3, 4).await;
    lab.flavor().await;
    let image = lab.image().await;
    lab.store.rates(Rates::BAD);
    let mut known: Vec<String> = Vec::new();
    for step in 0..60 {
        match world.below(10) {
            0..5 => known.extend(lab.create(&format!("s{step}"), &image).await),
            5..7 if !known.is_empty() => {
                let at = usize::try_from(world.below(known.len() as u64)).unwrap();
                let path = format!("/compute/v2.1/servers/{}", known[at]);
                if lab.ask(Method::DELETE, &path, None).await.is_some_and(|a| a.status.is_success())
                {
                    known.swap_remove(at);
                }
            }
            7 => lab.kill_controller(usize::try_from(world.below(3)).unwrap()),
            8 => {
                let node = &lab.nodes[usize::try_from(world.below(4)).unwrap()];
                if world.below(2) == 0 { node.start() } else { node.reboot() }
            }
            _ => lab.revive().await,
        }
        world.sleep(world.jitter(Duration::from_millis(400))).await;
        lab.check().await;
    }
    lab.settle().await;
    lab.check_settled().await;
    let state = lab.state().await;
    for id in &known {
        assert!(
            state.get::<compute::servers::ServerRecord>(id).is_some(),
            "the acknowledged server {id} is lost"
        );
    }
    let (hash, lines) = world.trace_hash();
    (hash, lines, world.kept_trace())
}

#[test]
fn nothing_is_lost_whatever_dies() {
    for seed in 0..20 {
        run(seed, async |world| storm(world).await);
    }
}

#[test]
fn one_seed_gives_one_trace() {
    for seed in 0..10 {
        let first = run(seed, async |world| storm(world).await);
        let again = run(seed, async |world| storm(world).await);
        // The first line that differs says more than two hashes.
        if let Some(at) = first.2.iter().zip(&again.2).position(|(one, two)| one != two) {
            let before = first.2[at.saturating_sub(8)..at].join("\n  ");
            panic!(
                "seed {seed} gives two traces:\n  {before}\n1 {}\n2 {}",
                first.2[at], again.2[at]
            );
        }
        assert_eq!((first.0, first.1), (again.0, again.1), "seed {seed} gives two traces");
        assert!(first.1 > 100, "seed {seed} traces too little");
    }
}
