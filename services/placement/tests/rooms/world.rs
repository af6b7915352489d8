//! A controller with this service, and what must hold of its records.

use std::sync::Arc;

use base::{Map, World};
use placement::{
    AllocationRecord, ClassRecord, Placement, ProviderRecord, Resources, TraitRecord, UsageRecord,
};
use serde_json::{Value, json};
use state::{Schema, Snapshot, State, backend::MemoryStore};
use web::{
    Router,
    testing::{Answer, Client, FixedActors, actor},
};

pub const P1: &str = "11111111-1111-4111-8111-111111111111";
pub const P2: &str = "22222222-2222-4222-8222-222222222222";
pub const P3: &str = "33333333-3333-4333-8333-333333333333";
pub const C1: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
pub const C2: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";
pub const AGGREGATE: &str = "dddddddd-dddd-4ddd-8ddd-dddddddddddd";
pub const NOBODY: &str = "99999999-9999-4999-8999-999999999999";

#[derive(Clone)]
pub struct Cloud {
    pub world: World,
    pub store: MemoryStore,
    pub state: State,
    pub router: Router,
}

/// Runs a test in a cloud without providers.
pub fn run(seed: u64, test: impl AsyncFnOnce(Cloud)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("runtime");
    runtime.block_on(async {
        let world = World::simulated(seed);
        let store = MemoryStore::new(world.clone());
        let cloud = Cloud::on(world, store, "c1").await;
        test(cloud.clone()).await;
        cloud.check(&format!("seed {seed}"));
    });
}

impl Cloud {
    /// A controller on this store.
    pub async fn on(world: World, store: MemoryStore, name: &str) -> Cloud {
        let schema = placement::schema(Schema::new());
        let state =
            State::open(world.clone(), Arc::new(store.clone()), schema, name).await.expect("state");
        let actors = FixedActors::usual();
        actors.add("service", actor("service", "service", &["service"]));
        let router = Router::builder(world.clone(), Arc::new(actors))
            .mount(placement::service(Placement { state: state.clone() }))
            .build()
            .expect("router");
        Cloud { world, store, state, router }
    }

    /// Who asks at this microversion.
    pub fn at(&self, version: &str) -> Client {
        self.as_at("admin", version)
    }

    pub fn as_at(&self, token: &str, version: &str) -> Client {
        Client::new(&self.router).token(token).version(&format!("placement {version}"))
    }

    pub async fn get(&self, path: &str) -> Value {
        self.at("1.39").get(&format!("/placement{path}")).await.expect(200).json()
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.at("1.39").put(&format!("/placement{path}"), body).await
    }

    /// A provider with these inventories: class and total.
    pub async fn provider(&self, id: &str, parent: Option<&str>, has: &[(&str, u64)]) {
        let body = json!({"uuid": id, "name": format!("p-{id}"), "parent_provider_uuid": parent});
        self.at("1.39").post("/placement/resource_providers", body).await.expect(200);
        let all: Map<&str, Value> =
            has.iter().map(|(class, total)| (*class, json!({"total": total}))).collect();
        let body = json!({"resource_provider_generation": 0, "inventories": all});
        self.put(&format!("/resource_providers/{id}/inventories"), body).await.expect(200);
    }

    pub async fn generation(&self, id: &str) -> u64 {
        let one = self.get(&format!("/resource_providers/{id}")).await;
        one["generation"].as_u64().expect("a generation")
    }

    pub async fn traits(&self, id: &str, traits: &[&str]) {
        for name in traits.iter().filter(|name| name.starts_with("CUSTOM_")) {
            let status = self.put(&format!("/traits/{name}"), json!({})).await.status;
            assert!(status.is_success());
        }
        let generation = self.generation(id).await;
        let body = json!({"resource_provider_generation": generation, "traits": traits});
        self.put(&format!("/resource_providers/{id}/traits"), body).await.expect(200);
    }

    pub async fn aggregates(&self, id: &str, aggregates: &[&str]) {
        let generation = self.generation(id).await;
        let body = json!({"resource_provider_generation": generation, "aggregates": aggregates});
        self.put(&format!("/resource_providers/{id}/aggregates"), body).await.expect(200);
    }

    /// Checks what must hold in every state.
    pub fn check(&self, when: &str) {
        let faults = faults(&self.state.known());
        assert!(faults.is_empty(), "{when}: {faults:#?}");
    }
}

/// What allocations ask for, of one provider.
pub fn allocation(provider: &str, resources: Value, generation: Value) -> Value {
    json!({
        "allocations": {provider: {"resources": resources}},
        "project_id": "p",
        "user_id": "u",
        "consumer_generation": generation,
        "consumer_type": "THING",
    })
}

/// What does not add up.
pub fn faults(known: &Snapshot) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut sums = Map::<String, Resources>::new();
    for record in known.all::<AllocationRecord>() {
        if record.held.is_empty() || record.held.values().any(Map::is_empty) {
            wrong.push(format!("{}: holds nothing", record.id));
        }
        for (provider, amounts) in &record.held {
            for (class, amount) in amounts {
                sums.entry(provider.clone()).or_default().add(class, *amount);
            }
        }
    }
    for usage in known.all::<UsageRecord>() {
        let sum = sums.remove(&*usage.id).unwrap_or_default();
        if sum != usage.used {
            wrong.push(format!("{}: counted {:?}, held {sum:?}", usage.id, usage.used));
        }
        match known.get::<ProviderRecord>(&usage.id) {
            None if !usage.used.is_empty() => wrong.push(format!("{}: used, but gone", usage.id)),
            None => {}
            Some(provider) => {
                for (class, used) in usage.used.iter() {
                    let capacity = provider.inventories.get(class).map(|own| own.capacity());
                    if capacity.is_none_or(|capacity| used > capacity) {
                        wrong.push(format!("{}: {used} {class} of {capacity:?}", usage.id));
                    }
                }
            }
        }
    }
    if !sums.is_empty() {
        wrong.push(format!("held, but not counted: {sums:?}"));
    }
    let mut names = Map::new();
    for provider in known.all::<ProviderRecord>() {
        if let Some(other) = names.insert(provider.name.clone(), provider.id.clone()) {
            wrong.push(format!("{} and {other} are both {}", provider.id, provider.name));
        }
        let mut above = provider.parent.clone();
        let mut depth = 0;
        while let Some(id) = above {
            depth += 1;
            match known.get::<ProviderRecord>(&id) {
                None => {
                    wrong.push(format!("{}: the parent {id} is gone", provider.id));
                    break;
                }
                Some(_) if depth > 100 => {
                    wrong.push(format!("{}: is its own ancestor", provider.id));
                    break;
                }
                Some(parent) => above = parent.parent.clone(),
            }
        }
        for class in provider.inventories.keys().filter(|class| class.starts_with("CUSTOM_")) {
            if known.get::<ClassRecord>(class).is_none() {
                wrong.push(format!("{}: the class {class} is gone", provider.id));
            }
        }
        for name in provider.traits.iter().filter(|name| name.starts_with("CUSTOM_")) {
            if known.get::<TraitRecord>(name).is_none() {
                wrong.push(format!("{}: the trait {name} is gone", provider.id));
            }
        }
    }
    wrong
}
