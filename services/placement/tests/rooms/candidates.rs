//! Allocation candidates: who is found, and that what is found can be had.

use base::World;
use serde_json::{Value, json};

use crate::world::{AGGREGATE, Cloud, P1, P2, P3, run};

async fn find(cloud: &Cloud, query: &str) -> Vec<Value> {
    let found = cloud.get(&format!("/allocation_candidates?{query}")).await;
    let requests = found["allocation_requests"].as_array().unwrap().clone();
    for request in &requests {
        for provider in request["allocations"].as_object().unwrap().keys() {
            assert!(found["provider_summaries"].get(provider).is_some(), "{provider}");
        }
    }
    requests
}

/// The providers of each candidate, sorted.
async fn who(cloud: &Cloud, query: &str) -> Vec<Vec<String>> {
    let all = find(cloud, query).await;
    let names =
        |request: &Value| request["allocations"].as_object().unwrap().keys().cloned().collect();
    let mut all: Vec<Vec<String>> = all.iter().map(names).collect();
    all.iter_mut().for_each(|names| names.sort());
    all.sort();
    all
}

const LEFT: &str = "51111111-1111-4111-8111-111111111111";
const RIGHT: &str = "52222222-2222-4222-8222-222222222222";
const OTHER: &str = "eeeeeeee-eeee-4eee-8eee-eeeeeeeeeeee";

/// P1 is a node with two devices (LEFT, RIGHT), P2 one with nothing but processors, P3 shares its disk with
/// P1.
async fn furnish(cloud: &Cloud) {
    cloud.provider(P1, None, &[("VCPU", 8), ("MEMORY_MB", 1024)]).await;
    cloud.provider(P2, None, &[("VCPU", 4), ("MEMORY_MB", 512), ("DISK_GB", 10)]).await;
    cloud.provider(P3, None, &[("DISK_GB", 100)]).await;
    cloud.provider(LEFT, Some(P1), &[("VGPU", 2)]).await;
    cloud.provider(RIGHT, Some(P1), &[("VGPU", 1)]).await;
    cloud.traits(LEFT, &["CUSTOM_FAST"]).await;
    cloud.traits(P1, &["HW_CPU_X86_AVX2"]).await;
    cloud.traits(P3, &["MISC_SHARES_VIA_AGGREGATE", "CUSTOM_SSD"]).await;
    cloud.aggregates(P1, &[AGGREGATE]).await;
    cloud.aggregates(P2, &[OTHER]).await;
    cloud.aggregates(P3, &[AGGREGATE]).await;
}

fn sets(expected: &[&[&str]]) -> Vec<Vec<String>> {
    let mut all: Vec<Vec<String>> =
        expected.iter().map(|one| one.iter().map(|id| (*id).to_owned()).collect()).collect();
    all.iter_mut().for_each(|names| names.sort());
    all.sort();
    all
}

#[test]
fn who_is_found() {
    run(1, async |cloud| {
        furnish(&cloud).await;
        let (in_p1, in_aggregate) = (format!("in_tree={P1}"), format!("member_of={AGGREGATE}"));
        for (query, expected) in [
            ("resources=VCPU:1".to_owned(), &[&[P1][..], &[P2]][..]),
            ("resources=VCPU:5".into(), &[&[P1]]),
            ("resources=VCPU:9".into(), &[]),
            ("resources=VCPU:1,DISK_GB:5".into(), &[&[P1, P3], &[P2]]),
            ("resources=VCPU:1,DISK_GB:50".into(), &[&[P1, P3]]),
            ("resources=DISK_GB:5".into(), &[&[P3], &[P2]]),
            ("resources=VCPU:1,VGPU:1".into(), &[&[P1, LEFT], &[P1, RIGHT]]),
            ("resources=VCPU:1,VGPU:2".into(), &[&[P1, LEFT]]),
            ("resources=VCPU:1,VGPU:1&required=CUSTOM_FAST".into(), &[&[P1, LEFT]]),
            ("resources=VCPU:1,VGPU:1&required=!CUSTOM_FAST".into(), &[&[P1, RIGHT]]),
            ("resources=VCPU:1&required=in:HW_CPU_X86_AVX2,CUSTOM_FAST".into(), &[&[P1]]),
            ("resources=VCPU:1,DISK_GB:1&required=CUSTOM_SSD".into(), &[&[P1, P3]]),
            ("resources=VCPU:1&root_required=!HW_CPU_X86_AVX2".into(), &[&[P2]]),
            ("resources=VCPU:1&root_required=HW_CPU_X86_AVX2".into(), &[&[P1]]),
            (format!("resources=VCPU:1&{in_p1}"), &[&[P1]]),
            (format!("resources=VCPU:1,DISK_GB:1&{in_p1}"), &[]),
            (format!("resources=VCPU:1&{in_aggregate}"), &[&[P1]]),
            (format!("resources=VCPU:1,VGPU:1&{in_aggregate}"), &[&[P1, LEFT], &[P1, RIGHT]]),
            (format!("resources=VCPU:1&member_of=!{AGGREGATE}"), &[&[P2]]),
            (format!("resources=VCPU:1&member_of=in:{AGGREGATE},{OTHER}"), &[&[P1], &[P2]]),
            (format!("resources=VCPU:1&member_of={AGGREGATE}&member_of={OTHER}"), &[]),
            ("resources_A=VGPU:1".into(), &[&[LEFT], &[RIGHT]]),
            ("resources=VCPU:1&resources_A=VGPU:1&required_A=CUSTOM_FAST".into(), &[&[P1, LEFT]]),
            (
                "resources_A=VGPU:1&resources_B=VGPU:1&group_policy=isolate".into(),
                &[&[LEFT, RIGHT], &[LEFT, RIGHT]],
            ),
            (
                "resources_A=VGPU:1&resources_B=VGPU:1&group_policy=none".into(),
                &[&[LEFT], &[LEFT, RIGHT], &[LEFT, RIGHT]],
            ),
            (
                "resources_A=VCPU:1&resources_B=VGPU:1&group_policy=none&same_subtree=_A,_B".into(),
                &[&[P1, LEFT], &[P1, RIGHT]],
            ),
            (
                "resources_A=VGPU:1&resources_B=VGPU:1&group_policy=isolate&same_subtree=_A,_B".into(),
                &[],
            ),
            (
                "resources_A=VGPU:1&required_B=HW_CPU_X86_AVX2&group_policy=none&same_subtree=_A,_B"
                    .into(),
                &[&[LEFT], &[RIGHT]],
            ),
        ] {
            assert_eq!(who(&cloud, &query).await, sets(expected), "{query}");
        }
        assert_eq!(find(&cloud, "resources=VCPU:1&limit=1").await.len(), 1);
        // Those who know no trees get nothing that is taken of two of one.
        let old = cloud.at("1.28");
        let path = "/placement/allocation_candidates?resources=VCPU:1";
        let none = old.get(&format!("{path},VGPU:1")).await.expect(200).json();
        assert_eq!(none["allocation_requests"], json!([]));
        let old = old.get(&format!("{path},DISK_GB:50")).await.expect(200).json();
        assert_eq!(old["allocation_requests"].as_array().unwrap().len(), 1);
        assert_eq!(old["provider_summaries"].as_object().unwrap().len(), 2);
    });
}

/// A random cloud of small trees, some of which share.
async fn grow(cloud: &Cloud, world: &World) {
    let mut roots = Vec::new();
    for tree in 0..1 + world.below(4) {
        let root = world.uuid().to_string();
        let mut places = vec![root.clone()];
        for _ in 0..1 + world.below(4) {
            let id = if places.len() == 1 && roots.len() <= tree as usize {
                root.clone()
            } else {
                world.uuid().to_string()
            };
            let parent =
                (id != root).then(|| places[world.below(places.len() as u64) as usize].clone());
            let classes =
                [("VCPU", world.below(5)), ("MEMORY_MB", world.below(5)), ("VGPU", world.below(3))];
            let has: Vec<(&str, u64)> =
                classes.into_iter().filter(|(_, total)| *total > 0).collect();
            cloud.provider(&id, parent.as_deref(), &has).await;
            let mut traits = Vec::new();
            for (name, odds) in [("CUSTOM_A", 2), ("CUSTOM_B", 2), ("MISC_SHARES_VIA_AGGREGATE", 4)]
            {
                if world.below(odds) == 0 {
                    traits.push(name);
                }
            }
            cloud.traits(&id, &traits).await;
            let aggregates: Vec<&str> =
                [AGGREGATE, OTHER].into_iter().filter(|_| world.below(2) == 0).collect();
            cloud.aggregates(&id, &aggregates).await;
            if id != root {
                places.push(id);
            } else {
                roots.push(id);
            }
        }
    }
}

#[test]
fn what_is_found_can_be_had() {
    for seed in 0..40 {
        run(seed, async |cloud| {
            cloud.traits_exist(&["CUSTOM_A", "CUSTOM_B"]).await;
            let world = cloud.world.clone();
            grow(&cloud, &world).await;
            let mut had = 0;
            for query in [
                "resources=VCPU:2",
                "resources=VCPU:1,MEMORY_MB:2",
                "resources=VCPU:1,MEMORY_MB:1,VGPU:1&required=CUSTOM_A",
                "resources=VCPU:1&required=!CUSTOM_B&root_required=CUSTOM_A",
                "resources_1=VCPU:1&resources_2=VCPU:1&group_policy=isolate",
                "resources=MEMORY_MB:1&resources_1=VCPU:1&resources_2=VCPU:1&group_policy=none",
                "resources_1=VCPU:1&resources_2=VGPU:1&group_policy=none&same_subtree=_1,_2",
                &format!("resources=VCPU:1,VGPU:1&member_of={AGGREGATE}"),
            ] {
                let found = cloud.get(&format!("/allocation_candidates?{query}")).await;
                let summaries = &found["provider_summaries"];
                let requests = found["allocation_requests"].as_array().unwrap();
                let unique: std::collections::BTreeSet<String> =
                    requests.iter().map(Value::to_string).collect();
                assert_eq!(unique.len(), requests.len(), "seed {seed}, {query}: one comes twice");
                for request in requests {
                    check(query, request, summaries, seed);
                    // Every one of them can be claimed as it is.
                    let consumer = world.uuid().to_string();
                    let body = json!({
                        "allocations": request["allocations"],
                        "mappings": request["mappings"],
                        "project_id": "p", "user_id": "u",
                        "consumer_generation": null, "consumer_type": "THING",
                    });
                    let path = format!("/placement/allocations/{consumer}");
                    let taken = cloud.at("1.39").put(&path, body).await;
                    assert_eq!(
                        taken.status,
                        204,
                        "seed {seed}, {query}, {request}: {}",
                        taken.text()
                    );
                    cloud.at("1.39").delete(&path).await.expect(204);
                    had += 1;
                }
            }
            cloud.world.trace(|| format!("{had} candidates"));
        });
    }
}

/// What every candidate must be, whatever was asked.
fn check(query: &str, request: &Value, summaries: &Value, seed: u64) {
    let at = |what: &str| format!("seed {seed}, {query}, {request}: {what}");
    let providers: Vec<&String> = request["allocations"].as_object().unwrap().keys().collect();
    let traits = |id: &str| -> Vec<&str> {
        summaries[id]["traits"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
    };
    let shares = |id: &str| traits(id).contains(&"MISC_SHARES_VIA_AGGREGATE");
    let roots: std::collections::BTreeSet<&str> = providers
        .iter()
        .filter(|id| !shares(id))
        .map(|id| summaries[id.as_str()]["root_provider_uuid"].as_str().unwrap())
        .collect();
    assert!(roots.len() <= 1, "{}", at("more than one tree that does not share"));
    if query.contains("required=!CUSTOM_B") {
        assert!(
            !providers.iter().any(|id| traits(id).contains(&"CUSTOM_B")),
            "{}",
            at("forbidden")
        );
    }
    if query.contains("VGPU:1&required=CUSTOM_A") {
        assert!(providers.iter().any(|id| traits(id).contains(&"CUSTOM_A")), "{}", at("no trait"));
    }
    if query.contains("isolate") {
        assert_ne!(request["mappings"]["_1"], request["mappings"]["_2"], "{}", at("not isolated"));
    }
    let mut sums = std::collections::BTreeMap::<&str, u64>::new();
    for one in request["allocations"].as_object().unwrap().values() {
        for (class, amount) in one["resources"].as_object().unwrap() {
            *sums.entry(class).or_default() += amount.as_u64().unwrap();
        }
    }
    let mut wanted = std::collections::BTreeMap::<&str, u64>::new();
    for part in query.split('&').filter(|part| part.starts_with("resources")) {
        for amount in part.split_once('=').unwrap().1.split(',') {
            let (class, amount) = amount.split_once(':').unwrap();
            *wanted.entry(class).or_default() += amount.parse::<u64>().unwrap();
        }
    }
    assert_eq!(sums, wanted, "{}", at("not what was asked"));
}

impl Cloud {
    async fn traits_exist(&self, names: &[&str]) {
        for name in names {
            self.put(&format!("/traits/{name}"), json!({})).await.expect(201);
        }
    }
}
