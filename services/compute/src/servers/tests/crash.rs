//! Every workflow, with a fault of each kind at each of its commits, ends the same.

use serde_json::{Value, json};
use state::faulty::{At, Fault};

use super::world::{Cloud, new_server, run};
use crate::servers::{BatchRecord, GoneRecord, ServerRecord};

/// Something that is done to a cloud, by a client that looks before it repeats.
struct Workflow {
    name: &'static str,
    /// What is there before.
    prepare: Steps,
    /// What is done.
    act: Steps,
    /// The labels of its commits are these, by name.
    labels: &'static [&'static str],
}

type Steps = for<'c> fn(&'c Cloud) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'c>>;

macro_rules! steps {
    (|$cloud:ident| $body:block) => {{
        fn steps($cloud: &Cloud) -> std::pin::Pin<Box<dyn Future<Output = ()> + '_>> {
            Box::pin(async move { $body })
        }
        steps
    }};
}

/// Labels of commits that are nobody's workflow.
const BACKGROUND: &[&str] = &["session::announce", "nodes::join", "nodes::leave", "nodes::away"];

impl Cloud {
    /// Repeats a request until it is answered well. `done`: whether a request that was not answered was
    /// carried out all the same.
    async fn insist(&self, request: &str, body: Option<Value>, done: impl AsyncFn(&Cloud) -> bool) {
        for _ in 0..200 {
            self.revive().await;
            match self.try_ask("demo", "2.96", request, body.clone()).await {
                Some(answer) if answer.status < 300 => return,
                Some(answer) if answer.status != 503 => {
                    if done(self).await {
                        return;
                    }
                    panic!("{request}: {} {}", answer.status, answer.body);
                }
                _ => {}
            }
            self.revive().await;
            self.world.sleep(std::time::Duration::from_secs(1)).await;
            if done(self).await {
                return;
            }
        }
        panic!("{request} was never answered");
    }

    async fn list(&self) -> Vec<Value> {
        for _ in 0..200 {
            self.revive().await;
            if let Some(answer) = self.try_ask("demo", "2.96", "GET /servers/detail", None).await
                && answer.status == 200
            {
                return answer.body["servers"].as_array().unwrap().clone();
            }
        }
        panic!("no list");
    }

    async fn only(&self) -> String {
        let list = self.list().await;
        assert_eq!(list.len(), 1, "{list:?}");
        list[0]["id"].as_str().unwrap().to_owned()
    }

    async fn insist_on(&self, action: Value, task_or_status: &'static [&'static str]) {
        let id = self.only().await;
        self.insist(&format!("POST /servers/{id}/action"), Some(action), async |cloud: &Cloud| {
            let list = cloud.list().await;
            let server = &list[0];
            let is = |value: &Value| value.as_str().is_some_and(|v| task_or_status.contains(&v));
            is(&server["OS-EXT-STS:task_state"]) || is(&server["status"])
        })
        .await;
    }
}

const CREATE: Workflow = Workflow {
    name: "create",
    prepare: steps!(|_cloud| {}),
    act: steps!(|cloud| {
        cloud
            .insist("POST /servers", Some(new_server("vm")), async |cloud: &Cloud| {
                !cloud.list().await.is_empty()
            })
            .await;
        let id = cloud.only().await;
        cloud.status("demo", &id, "ACTIVE").await;
        machines(cloud, 1).await;
    }),
    labels: &["servers::create", "servers::place", "servers::report"],
};

const DELETE: Workflow = Workflow {
    name: "delete",
    prepare: steps!(|cloud| {
        cloud.active("demo", "vm").await;
    }),
    act: steps!(|cloud| {
        let id = cloud.only().await;
        cloud
            .insist(&format!("DELETE /servers/{id}"), None, async |cloud: &Cloud| {
                let list = cloud.list().await;
                list.first().is_none_or(|s| s["OS-EXT-STS:task_state"] == "deleting")
            })
            .await;
        cloud.gone("demo", &id).await;
        machines(cloud, 0).await;
        cloud
            .until("nothing is left", |cloud| {
                let known = cloud.controller().state.known();
                known.count::<ServerRecord>() == 0 && known.count::<GoneRecord>() == 0
            })
            .await;
    }),
    labels: &["servers::delete", "servers::report"],
};

const STOP: Workflow = Workflow {
    name: "stop",
    prepare: steps!(|cloud| {
        cloud.active("demo", "vm").await;
    }),
    act: steps!(|cloud| {
        cloud.insist_on(json!({"os-stop": null}), &["powering-off", "SHUTOFF"]).await;
        let id = cloud.only().await;
        cloud.status("demo", &id, "SHUTOFF").await;
        machines(cloud, 0).await;
    }),
    labels: &["servers::report", "servers::stop"],
};

const START: Workflow = Workflow {
    name: "start",
    prepare: steps!(|cloud| {
        let id = cloud.active("demo", "vm").await;
        cloud.act("demo", &id, json!({"os-stop": null})).await.expect(202);
        cloud.status("demo", &id, "SHUTOFF").await;
    }),
    act: steps!(|cloud| {
        cloud.insist_on(json!({"os-start": null}), &["powering-on", "ACTIVE"]).await;
        let id = cloud.only().await;
        cloud.status("demo", &id, "ACTIVE").await;
        machines(cloud, 1).await;
    }),
    labels: &["servers::report", "servers::start"],
};

const REBOOT: Workflow = Workflow {
    name: "reboot",
    prepare: steps!(|cloud| {
        cloud.active("demo", "vm").await;
    }),
    act: steps!(|cloud| {
        // Once more is no harm, and whether it was done cannot be seen.
        cloud.insist_on(json!({"reboot": {"type": "HARD"}}), &["rebooting_hard", "ACTIVE"]).await;
        let id = cloud.only().await;
        cloud.status("demo", &id, "ACTIVE").await;
        machines(cloud, 1).await;
    }),
    labels: &["servers::reboot", "servers::report"],
};

const MANY: Workflow = Workflow {
    name: "many",
    prepare: steps!(|cloud| {
        cloud.raise_quota("p-demo", 50).await;
    }),
    act: steps!(|cloud| {
        let mut body = new_server("vm");
        body["server"]["min_count"] = json!(50);
        cloud
            .insist("POST /servers", Some(body), async |cloud: &Cloud| {
                !cloud.list().await.is_empty()
            })
            .await;
        assert_eq!(cloud.list().await.len(), 50);
        cloud
            .until("all run", |cloud| {
                let known = cloud.controller().state.known();
                known.count::<BatchRecord>() == 0
                    && known.all::<ServerRecord>().filter(|s| s.on).count() == 50
            })
            .await;
        machines(cloud, 50).await;
    }),
    labels: &["servers::create", "servers::expand", "servers::place", "servers::report"],
};

/// Waits until so many machines run, in all.
async fn machines(cloud: &Cloud, count: usize) {
    cloud
        .until("the machines are as wanted", |cloud| {
            cloud.nodes.iter().map(|node| node.host().on().len()).sum::<usize>() == count
        })
        .await;
}

async fn whole(cloud: &mut Cloud, workflow: &Workflow, fault: Option<(At, Fault)>) {
    (workflow.prepare)(cloud).await;
    cloud.settle().await;
    cloud.store.reset_counts();
    if let Some((at, fault)) = fault {
        cloud.store.script(at, fault);
    }
    (workflow.act)(cloud).await;
    cloud.store.calm();
    cloud.revive().await;
    cloud.settle().await;
    let list = cloud.list().await;
    let unsettled: Vec<_> = list.iter().filter(|s| !s["OS-EXT-STS:task_state"].is_null()).collect();
    assert!(unsettled.is_empty(), "{unsettled:?}");
}

fn survives(workflow: &Workflow) {
    let mut commits: Vec<(&'static str, u64)> = Vec::new();
    run(100, 2, async |cloud| {
        whole(cloud, workflow, None).await;
        let counts = cloud.store.counts();
        commits = counts
            .into_iter()
            .filter(|(label, _)| !BACKGROUND.contains(label))
            .map(|(label, count)| (label, count.asked))
            .collect();
    });
    let labels: Vec<_> = commits.iter().map(|(label, _)| *label).collect();
    assert_eq!(labels, workflow.labels, "{}", workflow.name);
    let mut seed = 1000;
    for (label, times) in &commits {
        for time in 1..=(*times).min(3) {
            for fault in Fault::EACH {
                seed += 1;
                eprintln!("{}: {fault:?} at {label} {time}, seed {seed}", workflow.name);
                run(seed, 2, async |cloud| {
                    whole(cloud, workflow, Some((At::Labeled(label, time), fault))).await;
                });
            }
        }
    }
}

#[test]
fn create_survives() {
    survives(&CREATE);
}

#[test]
fn delete_survives() {
    survives(&DELETE);
}

#[test]
fn stop_survives() {
    survives(&STOP);
}

#[test]
fn start_survives() {
    survives(&START);
}

#[test]
fn reboot_survives() {
    survives(&REBOOT);
}

#[test]
fn many_survive() {
    survives(&MANY);
}
