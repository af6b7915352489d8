//! The scheduler against what it promises.

use base::{Map, Set};
use proptest::prelude::*;

use super::*;
use crate::{Resources, Room};

fn node(name: &str, vcpu: u64, memory_mb: u64) -> Candidate {
    let capacity = Resources::vm(vcpu, memory_mb, 1000);
    Candidate {
        id: format!("id-{name}"),
        name: name.to_owned(),
        zone: "nova".into(),
        up: true,
        room: Room { largest: capacity.clone(), capacity, ..Room::default() },
        architecture: "x86_64".into(),
        hypervisor_type: "QEMU".into(),
        hypervisor_version: 7_002_000,
        acceleration: "kvm".into(),
        ..Candidate::default()
    }
}

fn asks(vcpu: u64, memory_mb: u64) -> Request {
    Request { seed: "s".into(), resources: Resources::vm(vcpu, memory_mb, 1), ..Request::default() }
}

fn refused(request: &Request, host: Candidate) -> String {
    let pool = Pool::new(vec![host]);
    match pool.choose(request) {
        Ok(_) => "taken".into(),
        Err(refusals) => refusals[0].reason.to_string(),
    }
}

#[test]
fn each_filter_says_what_it_refused() {
    let full = |mut host: Candidate, used| {
        host.room.used = used;
        host
    };
    let n = || node("n", 16, 1000);
    assert_eq!(refused(&asks(8, 10), n()), "taken");
    let used = Resources::vm(14, 0, 0);
    assert_eq!(refused(&asks(8, 10), full(n(), used)), "cores: 8 asked, 2 of 16 free");
    let used = Resources::vm(0, 900, 0);
    assert_eq!(
        refused(&asks(8, 101), full(n(), used)),
        "memory (MiB): 101 asked, 100 of 1000 free"
    );
    let mut small = n();
    small.room.capacity.vcpu = 64;
    assert_eq!(refused(&asks(17, 1), small), "cores: 17 asked, one consumer may take 16");
    let mut request = asks(1, 1);
    request.resources.set("CUSTOM_GPU", 1);
    assert_eq!(refused(&request, n()), "CUSTOM_GPU: 1 asked, 0 of 0 free");
    assert_eq!(refused(&asks(1, 1), Candidate { up: false, ..n() }), "it is down");
    let off = |why: &str| Candidate { disabled: Some(why.into()), ..n() };
    assert_eq!(refused(&asks(1, 1), off("new disks")), "it is disabled: new disks");
    assert_eq!(refused(&asks(1, 1), off("")), "it is disabled");
    assert_eq!(
        refused(&asks(1, 1), Candidate { maintenance: true, ..n() }),
        "it is in maintenance"
    );

    let say = |change: &dyn Fn(&mut Request)| {
        let mut request = asks(1, 1);
        change(&mut request);
        refused(&request, n())
    };
    assert_eq!(say(&|r| r.zone = Some("west".into())), "zone west asked, it is in nova");
    assert_eq!(say(&|r| r.host = Some("m".into())), "another host was asked for");
    assert_eq!(say(&|r| r.host = Some("n".into())), "taken");
    assert_eq!(say(&|r| r.ignore_hosts = ["id-n".to_owned()].into()), "the request leaves it out");
    assert_eq!(
        say(&|r| r.same_hosts = Some(Set::new())),
        "none of the servers of same_host is here"
    );
    assert_eq!(say(&|r| r.same_hosts = Some(["n".into()].into())), "taken");
    assert_eq!(
        say(&|r| r.different_hosts = ["n".to_owned()].into()),
        "a server of different_host is here"
    );
    let spec =
        |key: &str, value: &str| say(&|r| drop(r.extra_specs.insert(key.into(), value.into())));
    assert_eq!(
        spec("aggregate_instance_extra_specs:ssd", "true"),
        "the flavor wants its aggregates to have ssd true, it has none"
    );
    assert_eq!(spec("capabilities:hypervisor_type", "s== QEMU"), "taken");
    assert_eq!(
        spec("capabilities:cpu_info:arch", "s== ppc64"),
        "the flavor wants cpu_info:arch s== ppc64, it is x86_64"
    );
    assert_eq!(spec("colour", "blue"), "the flavor wants colour blue, it has none");
    assert_eq!(spec("quota:cpu_shares", "10"), "taken");
    assert_eq!(spec("trait:CUSTOM_SSD", "required"), "it has not the trait CUSTOM_SSD");
    let image = |key: &str, value: &str| say(&|r| drop(r.image.insert(key.into(), value.into())));
    assert_eq!(image("hw_architecture", "amd64"), "taken");
    assert_eq!(
        image("hw_architecture", "aarch64"),
        "the image wants hw_architecture aarch64, it is x86_64"
    );
    assert_eq!(image("img_hv_type", "kvm"), "taken");
    assert_eq!(image("img_hv_type", "xen"), "the image wants img_hv_type xen, it is QEMU");
    assert_eq!(image("img_hv_requested_version", ">=7.2,<8"), "taken");
    assert_eq!(
        image("img_hv_requested_version", ">8.0"),
        "the image wants img_hv_requested_version >8.0, it is 7.2.0"
    );
}

#[test]
fn traits_and_aggregates_let_in() {
    let mut host = node("n", 4, 100);
    host.room.traits = vec!["CUSTOM_A".into(), "CUSTOM_B".into()];
    host.metadata =
        std::sync::Arc::new([("ssd".to_owned(), Set::from(["true".to_owned()]))].into());
    let with = |key: &str, value: &str| {
        let mut request = asks(1, 1);
        request.extra_specs.insert(key.into(), value.into());
        refused(&request, host.clone())
    };
    assert_eq!(with("trait:CUSTOM_B", "required"), "taken");
    assert_eq!(with("trait:CUSTOM_B", "forbidden"), "it has the forbidden trait CUSTOM_B");
    assert_eq!(with("aggregate_instance_extra_specs:ssd", "<or> true <or> yes"), "taken");
    assert_eq!(
        with("aggregate_instance_extra_specs:ssd", "no"),
        "the flavor wants its aggregates to have ssd no, it is true"
    );
}

fn grouped(policy: GroupPolicy, members: &[(&str, u64)], most: u64) -> Request {
    let members = members.iter().map(|(host, count)| ((*host).to_owned(), *count)).collect();
    Request { group: Some(GroupRule { policy, members, max_server_per_host: most }), ..asks(1, 1) }
}

#[test]
fn groups() {
    let pool = Pool::new(vec![node("a", 4, 100), node("b", 64, 100_000), node("c", 4, 100)]);
    let chosen = |request: &Request| pool.choose(request).map(str::to_owned).map_err(|r| r.len());
    assert_eq!(chosen(&grouped(GroupPolicy::Affinity, &[("a", 1)], 1)), Ok("id-a".into()));
    assert_eq!(chosen(&grouped(GroupPolicy::Affinity, &[("gone", 1)], 1)), Err(3));
    assert_eq!(chosen(&grouped(GroupPolicy::Affinity, &[], 1)), Ok("id-b".into()));
    let apart = grouped(GroupPolicy::AntiAffinity, &[("b", 1), ("c", 1)], 1);
    assert_eq!(chosen(&apart), Ok("id-a".into()));
    let apart = grouped(GroupPolicy::AntiAffinity, &[("a", 1), ("b", 1), ("c", 1)], 1);
    assert_eq!(chosen(&apart), Err(3));
    let two = grouped(GroupPolicy::AntiAffinity, &[("a", 2), ("b", 1), ("c", 2)], 2);
    assert_eq!(chosen(&two), Ok("id-b".into()));
    let soft = grouped(GroupPolicy::SoftAffinity, &[("id-c", 1)], 1);
    assert_eq!(chosen(&soft), Ok("id-c".into()));
    let soft = grouped(GroupPolicy::SoftAntiAffinity, &[("b", 3), ("c", 1)], 1);
    assert_eq!(chosen(&soft), Ok("id-a".into()));
}

#[test]
fn the_emptier_host_wins_and_equals_share() {
    let mut busy = node("busy", 16, 1000);
    busy.room.used = Resources::vm(12, 800, 0);
    let pool = Pool::new(vec![busy, node("free", 16, 1000)]);
    for n in 0..50 {
        let request = Request { seed: format!("s{n}"), ..asks(1, 10) };
        assert_eq!(pool.choose(&request), Ok("id-free"));
    }
    let pool = Pool::new((0..100).map(|n| node(&format!("n{n}"), 16, 1000)).collect());
    let mut counts = Map::<&str, u32>::new();
    for n in 0..1000 {
        let request = Request { seed: format!("server-{n}"), ..asks(1, 10) };
        *counts.entry(pool.choose(&request).unwrap()).or_default() += 1;
    }
    // A thousand choices on one state: about ten on each of a hundred equal hosts.
    assert!(counts.len() == 100 && counts.values().all(|count| *count < 40), "{counts:?}");
}

#[test]
fn the_text_counts_and_is_bounded() {
    assert_eq!(no_valid_host(&[], 1000), "There are no nodes.");
    let refusals: Vec<_> = (0..3)
        .map(|n| Refusal { host: format!("n{n}"), reason: Reason::Down })
        .chain([Refusal { host: "m".into(), reason: Reason::Disabled("why".into()) }])
        .collect();
    assert_eq!(
        no_valid_host(&refusals, 1000),
        "3 of 4 nodes: down\n1 of 4 nodes: disabled\nm: it is disabled: why\nn0: it is down\n\
         n1: it is down\nn2: it is down"
    );
    let many: Vec<_> = (0..16_000)
        .map(|n| Refusal {
            host: format!("node-{n:05}"),
            reason: Reason::Zone { wanted: "a".into(), own: format!("z{n}") },
        })
        .collect();
    let text = no_valid_host(&many, 4000);
    assert!(text.len() < 4100 && text.starts_with("16000 of 16000 nodes: not in zone a\n"));
    assert!(text.contains("node-00000: zone a asked, it is in z0\n"), "{text}");
    assert!(text.ends_with("more nodes"), "{text}");
}

#[test]
fn flavors_take_what_their_specs_say() {
    let specs = |pairs: &[(&str, &str)]| -> Map<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    };
    let taken = flavor_resources(
        2,
        512,
        3,
        &specs(&[("resources:VCPU", "0"), ("resources:CUSTOM_X", "2")]),
    );
    let mut expected = Resources::vm(0, 512, 3);
    expected.set("CUSTOM_X", 2);
    assert_eq!(taken.ok(), Some(expected));
    assert!(flavor_resources(2, 512, 3, &specs(&[("resources:VCPU", "-1")])).is_err());
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (0..40_u64, 0..4000_u64, 0..40_u64, 0..4000_u64, 0..3_u64, any::<bool>(), 0..2_u8);
    prop::collection::vec(one, 0..40).prop_map(|all| {
        all.into_iter()
            .enumerate()
            .map(|(n, (vcpu, memory, used_vcpu, used_memory, busy, up, zone))| {
                let mut host = node(&format!("n{n}"), vcpu, memory);
                host.room.used = Resources::vm(used_vcpu, used_memory, 0);
                host.busy = busy;
                host.up = up;
                host.zone = format!("z{zone}").into();
                host
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn never_overcommits_and_order_does_not_matter(
        hosts in candidates().prop_flat_map(|hosts| {
            let shuffled = Just(hosts.clone()).prop_shuffle();
            (Just(hosts), shuffled)
        }),
        vcpu in 0..20_u64,
        memory in 0..2000_u64,
        zone in prop::option::of(0..2_u8),
        seed in "[a-z0-9-]{0,40}",
    ) {
        let (hosts, shuffled) = hosts;
        let request = Request {
            seed,
            zone: zone.map(|zone| format!("z{zone}")),
            ..asks(vcpu, memory)
        };
        let one = Pool::new(hosts.clone());
        let two = Pool::new(shuffled);
        let fits = |host: &Candidate| {
            let free = |have: u64, used: u64, asked: u64| have.saturating_sub(used) >= asked;
            host.up
                && request.zone.as_deref().is_none_or(|zone| zone == &*host.zone)
                && free(host.room.capacity.vcpu, host.room.used.vcpu, vcpu)
                && free(host.room.capacity.memory_mb, host.room.used.memory_mb, memory)
        };
        // What is free may be zero and asked zero, even where more is used than there is.
        let fits = |host: &Candidate| fits(host)
            || (host.up && request.zone.as_deref().is_none_or(|zone| zone == &*host.zone)
                && (vcpu == 0 || host.room.used.vcpu + vcpu <= host.room.capacity.vcpu)
                && (memory == 0 || host.room.used.memory_mb + memory <= host.room.capacity.memory_mb));
        match one.choose(&request) {
            Ok(id) => {
                prop_assert_eq!(two.choose(&request).ok(), Some(id));
                let host = hosts.iter().find(|host| host.id == id).unwrap();
                prop_assert!(fits(host), "{:?}", host);
            }
            Err(refusals) => {
                prop_assert_eq!(refusals.len(), hosts.len());
                prop_assert!(two.choose(&request).is_err());
                for host in &hosts {
                    prop_assert!(!fits(host), "{:?}", host);
                }
            }
        }
    }

    #[test]
    fn a_burst_fills_what_there_is(hosts in candidates(), vcpu in 1..4_u64) {
        let mut pool = Pool::new(hosts.clone());
        let room: u64 = hosts
            .iter()
            .filter(|host| host.up)
            .map(|host| host.room.capacity.vcpu.saturating_sub(host.room.used.vcpu) / vcpu)
            .sum();
        let mut taken = 0;
        let mut request = Request { resources: Resources::vm(vcpu, 0, 0), ..Request::default() };
        loop {
            request.seed = format!("s{taken}");
            if pool.take(&request).is_err() {
                break;
            }
            taken += 1;
        }
        prop_assert_eq!(taken, room);
        let over = pool.hosts().filter(|host| {
            host.used.vcpu > host.capacity.vcpu
                && !hosts.iter().any(|old| old.id == host.id && old.room.used == *host.used)
        });
        prop_assert_eq!(over.count(), 0);
    }

    #[test]
    fn nothing_in_flavor_or_image_panics(key in "\\PC{0,30}", value in "\\PC{0,30}") {
        for scope in ["", "capabilities:", "aggregate_instance_extra_specs:", "trait:"] {
            let mut request = asks(1, 1);
            request.extra_specs.insert(format!("{scope}{key}"), value.clone());
            request.image.insert("img_hv_requested_version".into(), value.clone());
            let _ = refused(&request, node("n", 4, 100));
        }
    }
}
