//! Orders on a real disk: what was kept is there, whole, and what is broken is set aside.

use std::{fs, sync::Arc};

use base::{Epoch, Era, Timestamp, World};
use bytes::Bytes;
use orders::{ConfigDrive, VmOrder};

use super::{Directory, Disk, Eras, Held, MemoryDisk, Outcome, Verdict, judge};
use crate::drivers::hypervisor::conformance;

fn held(id: &str) -> Held {
    let mut order = conformance::order(id.into());
    let files = [("a".to_owned(), Bytes::from_static(b"\0\xff"))];
    order.spec.config_drive = Some(ConfigDrive { files: files.into() });
    let eras = Eras { current: Some(order.version.era.clone()), left: vec![] };
    match judge(&eras, None, None, order, &"boot".into()) {
        Verdict::Take(held) => held,
        other => panic!("{other:?}"),
    }
}

async fn keeps(disk: &dyn Disk) {
    assert_eq!(disk.load().await.expect("loaded").held, []);
    let (a, b) = (held("a"), held("b"));
    disk.keep(&[a.clone(), b.clone()]).await.expect("kept");
    let changed = Held {
        outcome: Some(Outcome::Failed("why".to_owned())),
        forgiven: 3,
        was: Some(Epoch(9)),
        clear_first: true,
        stranger: true,
        ..a.clone()
    };
    disk.keep(std::slice::from_ref(&changed)).await.expect("kept");
    let tombstone = b.tombstone(Timestamp::from_micros(7));
    disk.keep(std::slice::from_ref(&tombstone)).await.expect("kept");
    let eras = Eras { current: Some(Era("2".into())), left: vec![Era("1".into())] };
    disk.keep_eras(&eras).await.expect("kept");
    let kept = disk.load().await.expect("loaded");
    assert_eq!((kept.held, kept.eras), (vec![changed, tombstone], eras));
    disk.discard(&["a".into(), "not-there".into()]).await.expect("discarded");
    assert_eq!(disk.load().await.expect("loaded").held.len(), 1);
}

#[tokio::test]
async fn kept_in_memory() {
    keeps(&MemoryDisk::default()).await;
}

#[tokio::test]
async fn kept_in_a_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("orders");
    let world = World::real();
    keeps(&Directory::open(&world, &path).await.expect("opened")).await;
    let again = Directory::open(&world, &path).await.expect("opened");
    assert_eq!(again.load().await.expect("loaded").held.len(), 1);
}

#[tokio::test]
async fn half_written_and_broken_files() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let disk = Directory::open(&World::real(), path).await.expect("opened");
    disk.keep(&[held("a"), held("b"), held("c")]).await.expect("kept");
    fs::write(path.join("vm-b.json"), "{\"order\": ").expect("broken");
    fs::write(path.join("vm-d.json.new"), "half").expect("half-written");
    fs::write(path.join("something-else"), "").expect("not ours");
    let kept = disk.load().await.expect("loaded");
    let ids = kept.held.iter().map(|held| held.id().to_string()).collect::<Vec<_>>();
    assert_eq!(ids, ["a", "c"]);
    assert!(path.join("vm-b.json.unreadable").exists(), "kept for a person to look at");
    assert!(!path.join("vm-d.json.new").exists());
}

#[tokio::test]
async fn no_id_leads_out_of_the_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = Directory::open(&World::real(), &directory.path().join("o")).await.expect("opened");
    let mut bad = held("a");
    bad.order = Arc::new(VmOrder { id: "../../x".into(), ..VmOrder::clone(&bad.order) });
    assert!(disk.keep(&[bad]).await.is_err());
    assert!(disk.discard(&["../o/eras.json".into()]).await.is_err());
}
