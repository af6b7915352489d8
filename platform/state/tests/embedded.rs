//! The embedded store: conforms, survives a restart, keeps others out, is copied while it runs.

use std::{os::unix::fs::MetadataExt as _, path::Path, sync::Arc, time::Duration};

use base::{Kind, Revision, World};
use bytes::Bytes;
use state::{
    Change, Condition, Key, Outcome, Store, Transaction, WatchEnd, Write,
    backend::{EmbeddedStore, embedded::Options},
    conformance,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = World::real();
    let store = EmbeddedStore::open(world.clone(), dir.path()).await.expect("opened");
    let shared: Arc<dyn Store> = Arc::new(store.clone());
    conformance::run_all(&world, async || shared.clone()).await;
    store.close().await.expect("closed");
}
