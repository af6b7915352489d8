//! Keeps bytes and records together: removes objects whose images are gone, puts images back whose upload
//! died with its controller, and at the start looks for objects that no record names.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use base::{Kind, Map, Moment, Result, Set};
use control::{Next, Reconciler};
use state::{Record, SessionRecord, Snapshot};

use super::{GarbageRecord, ImageRecord, Upload, actions};
use crate::{context::Images, data};

/// A controller's session may end early: so long is waited before its uploads are given up.
const GRACE: Duration = Duration::from_secs(300);
const SWEEP_EVERY: Duration = Duration::from_secs(6 * 3600);

/// See the module.
pub struct ImageKeeper {
    images: Images,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    swept: Option<Moment>,
    /// Controllers without a session, and since when.
    absent: Map<String, Moment>,
}

impl ImageKeeper {
    /// For one controller.
    pub fn new(images: &Images) -> ImageKeeper {
        ImageKeeper { images: images.clone(), seen: Mutex::default() }
    }

    fn ours(&self, place: &str) -> bool {
        place == self.images.store().place()
    }

    /// Removes an object, then what says that it is to be removed.
    async fn remove(&self, object: &str) -> Result<Next> {
        let state = self.images.state();
        let garbage = state.known().find::<GarbageRecord>(object)?;
        let Some(garbage) = garbage.filter(|garbage| self.ours(&garbage.place)) else {
            return Ok(Next::Settled);
        };
        if self.images.writing().contains(object) {
            // It is not there yet. Its writer finds the image gone and removes it too.
            return Ok(Next::After(Duration::from_secs(1)));
        }
        let (store, name) = (self.images.store().clone(), object.to_owned());
        let world = self.images.world();
        world.blocking(move || store.delete(&name)).await.map_err(data::failed)?;
        state
            .transact("image.garbage::removed", |txn| {
                txn.delete::<GarbageRecord>(object).map(|_gone_already_is_fine| ())
            })
            .await?;
        tracing::debug!(image.id = garbage.image, object, "bytes of a deleted image are removed");
        Ok(Next::Settled)
    }

    async fn look_after(&self, id: &str) -> Result<Next> {
        let state = self.images.state();
        let snapshot = state.fresh().await?;
        let Some(image) = snapshot.find::<ImageRecord>(id)? else { return Ok(Next::Settled) };
        let Some(upload) = image.upload.clone() else { return Ok(Next::Settled) };
        if let Some(wait) = self.living(&snapshot, &upload) {
            return Ok(Next::After(wait));
        }
        let back = state
            .transact("image.images::upload_lost", |txn| {
                actions::break_off(txn, id, &upload.object)?;
                actions::discard(txn, id, &upload.object, &upload.place)
            })
            .await;
        match back {
            // It ended meanwhile.
            Err(error) if error.kind() != Kind::NotFound => return Err(error),
            Err(_) => {}
            Ok(()) => tracing::warn!(
                image.id = id,
                controller = upload.controller,
                "an upload ended with its controller; the image waits for another"
            ),
        }
        Ok(Next::Settled)
    }

    /// How long to wait before looking at an upload again; none when it is dead.
    fn living(&self, snapshot: &Snapshot, upload: &Upload) -> Option<Duration> {
        let state = self.images.state();
        let look_again = Duration::from_secs(30);
        if upload.controller == state.name() {
            let ours = upload.incarnation == state.incarnation();
            return (ours && self.images.writing().contains(&upload.object)).then_some(look_again);
        }
        let now = state.world().now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match snapshot.get::<SessionRecord>(&upload.controller) {
            Some(session) => {
                seen.absent.remove(&upload.controller);
                (session.incarnation == upload.incarnation).then_some(look_again)
            }
            None => {
                let since = *seen.absent.entry(upload.controller.clone()).or_insert(now);
                (now.since(since) < GRACE).then_some(look_again)
            }
        }
    }

    /// Removes objects that no record names: what is left when a controller dies between the last byte
    /// and the record.
    async fn sweep(&self) -> Result<Next> {
        let world = self.images.world();
        let store = self.images.store().clone();
        let objects = world.blocking(move || store.list()).await.map_err(data::failed)?;
        // After the list: an object is named by a record before it is there.
        let snapshot = self.images.state().fresh().await?;
        let mut named: Set<String> = Set::new();
        for image in snapshot.all::<ImageRecord>() {
            named.extend(image.data.as_ref().map(|data| data.object.clone()));
            named.extend(image.upload.as_ref().map(|upload| upload.object.clone()));
        }
        // A record that cannot be read may name any of them.
        let sure =
            snapshot.unreadable().iter().all(|(key, _)| !key.starts_with(ImageRecord::TABLE));
        for object in objects {
            let kept = named.contains(&object)
                || snapshot.get::<GarbageRecord>(&object).is_some()
                || self.images.writing().contains(&object);
            if kept || !sure {
                continue;
            }
            tracing::info!(object, "bytes that belong to no image are removed");
            let store = self.images.store().clone();
            world.blocking(move || store.delete(&object)).await.map_err(data::failed)?;
        }
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).swept = Some(world.now());
        Ok(Next::Settled)
    }
}

#[async_trait]
impl Reconciler for ImageKeeper {
    fn name(&self) -> &'static str {
        "image.images"
    }

    fn keys(&self, snapshot: &Snapshot, table: &'static str, id: &str) -> Vec<String> {
        let key = match table {
            GarbageRecord::TABLE => snapshot
                .get::<GarbageRecord>(id)
                .filter(|garbage| self.ours(&garbage.place))
                .map(|_| format!("garbage/{id}")),
            ImageRecord::TABLE => snapshot
                .get::<ImageRecord>(id)
                .filter(|image| image.upload.is_some())
                .map(|_| format!("upload/{id}")),
            _ => None,
        };
        key.into_iter().collect()
    }

    fn unsettled(&self, snapshot: &Snapshot) -> Vec<String> {
        let garbage = snapshot
            .all::<GarbageRecord>()
            .filter(|garbage| self.ours(&garbage.place))
            .map(|garbage| format!("garbage/{}", garbage.id));
        let uploads = snapshot
            .all::<ImageRecord>()
            .filter(|image| image.upload.is_some())
            .map(|image| format!("upload/{}", image.id));
        let now = self.images.world().now();
        let swept = self.seen.lock().unwrap_or_else(PoisonError::into_inner).swept;
        let sweep = swept.is_none_or(|at| now.since(at) >= SWEEP_EVERY);
        garbage.chain(uploads).chain(sweep.then(|| "sweep".to_owned())).collect()
    }

    async fn step(&self, key: &str) -> Result<Next> {
        match key.split_once('/') {
            Some(("garbage", object)) => self.remove(object).await,
            Some(("upload", id)) => self.look_after(id).await,
            _ => self.sweep().await,
        }
    }

    /// Each controller has its own directory and its own uploads.
    fn shared(&self) -> bool {
        false
    }
}
