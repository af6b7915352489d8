//! What a careful owner of servers knows, and whether the cloud agrees: what was acknowledged is there,
//! what was not is there once or not at all, and all counts add up.

use std::time::Duration;

use base::{Map, Set};
use http::Method;
use serde_json::{Value, json};

use crate::cloud::{Cloud, SETTLED};

/// What is known of a server of some name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nobody knows whether it was made.
    Perhaps,
    /// It is there.
    There,
    /// Nobody knows whether it was deleted.
    PerhapsGone,
    /// It is gone.
    Gone,
}

/// Servers by their names, which are used once each.
#[derive(Default)]
pub struct Ledger(pub Map<String, Known>);

impl Ledger {
    /// Asks for a server once.
    pub async fn create(&mut self, cloud: &mut Cloud, name: &str, image: &str) -> Option<String> {
        self.0.insert(name.to_owned(), Known::Perhaps);
        let wish = wish(name, image);
        let (status, body) = cloud.ask(Method::POST, "/compute/v2.1/servers", Some(wish)).await?;
        assert_eq!(status, 202, "{body}");
        self.0.insert(name.to_owned(), Known::There);
        body["server"]["id"].as_str().map(str::to_owned)
    }

    /// Asks for its end once.
    pub async fn delete(&mut self, cloud: &mut Cloud, name: &str, id: &str) {
        self.0.insert(name.to_owned(), Known::PerhapsGone);
        let path = format!("/compute/v2.1/servers/{id}");
        if let Some((status, body)) = cloud.ask(Method::DELETE, &path, None).await {
            assert!(status == 204 || status == 404, "{status} {body}");
            self.0.insert(name.to_owned(), Known::Gone);
        }
    }

    /// Waits until the cloud agrees; what was unknown is known then. All servers that there are.
    pub async fn settle(&mut self, cloud: &mut Cloud) -> Vec<Value> {
        let deadline = cloud.world.now() + SETTLED;
        loop {
            match self.compare(cloud).await {
                Ok(servers) => return servers,
                Err(wrong) => {
                    let late = cloud.world.now() >= deadline;
                    assert!(!late, "not settled in time: {wrong}\n{}", cloud.log());
                }
            }
            cloud.world.sleep(Duration::from_millis(50)).await;
        }
    }

    async fn compare(&mut self, cloud: &mut Cloud) -> Result<Vec<Value>, String> {
        let servers = cloud.get("/compute/v2.1/servers/detail").await["servers"].take();
        let Value::Array(servers) = servers else { return Err("no list".into()) };
        let mut names = Set::new();
        for server in &servers {
            let name = server["name"].as_str().unwrap_or_default();
            if server["status"] != "ACTIVE" || !server["OS-EXT-STS:task_state"].is_null() {
                return Err(format!("{server}"));
            }
            assert!(names.insert(name), "two servers are called {name}: made twice");
            let known = self.0.get(name).copied();
            assert!(known.is_some(), "nobody asked for {name}");
            assert_ne!(known, Some(Known::Gone), "{name} was deleted, and is there");
        }
        for (name, known) in &mut self.0 {
            let there = names.contains(name.as_str());
            assert!(there || *known != Known::There, "{name} was acknowledged, and is lost");
            *known = if there { Known::There } else { Known::Gone };
        }
        self.sums(cloud, servers.len()).await?;
        Ok(servers)
    }

    /// Quotas, allocations and usages are the sums of what there is.
    async fn sums(&self, cloud: &mut Cloud, count: usize) -> Result<(), String> {
        let limits = cloud.get("/compute/v2.1/limits").await["limits"]["absolute"].take();
        let used = &limits["totalInstancesUsed"];
        if *used != json!(count) || limits["totalCoresUsed"] != json!(count) {
            return Err(format!("{count} servers use {limits} of the quota"));
        }
        let providers = cloud.get("/placement/resource_providers").await;
        let mut vcpus = 0;
        for provider in providers["resource_providers"].as_array().into_iter().flatten() {
            let id = provider["uuid"].as_str().unwrap_or_default();
            let usages = cloud.get(&format!("/placement/resource_providers/{id}/usages")).await;
            vcpus += usages["usages"]["VCPU"].as_u64().unwrap_or_default();
        }
        if vcpus != count as u64 {
            return Err(format!("{count} servers of one processor hold {vcpus} of them"));
        }
        Ok(())
    }
}

/// A server of flavor `f`.
pub fn wish(name: &str, image: &str) -> Value {
    json!({"server": {"name": name, "flavorRef": "f", "imageRef": image}})
}
