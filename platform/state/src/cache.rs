//! The watch cache: follows the store's one watch, a whole revision at a time, and publishes snapshots.
//! Behind, cut or compacted, it opens the watch again or loads anew; it is never stale as fresh.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use base::{Beacon, Error, Result, Revision, World};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Batch, Store, WatchEnd,
    record::{self, Place, Schema},
    snapshot::Snapshot,
};

/// What changed, for those who wake on it. Carries no data: look at the state.
#[derive(Clone, Debug)]
pub enum Notice {
    /// These records changed: (table, id).
    Changed(Arc<Vec<(&'static str, Arc<str>)>>),
    /// The cache was loaded anew: anything may have changed.
    Reset,
}

pub(crate) struct Cache {
    world: World,
    store: Arc<dyn Store>,
    schema: Arc<Schema>,
    snapshot: ArcSwap<Snapshot>,
    revision: Beacon<Revision>,
    subscribers: Mutex<Vec<mpsc::UnboundedSender<Notice>>>,
    questions: mpsc::UnboundedSender<oneshot::Sender<Result<Revision>>>,
}

/// How long a reader waits for the cache to reach the store's revision before it is told so.
const CATCH_UP: Duration = Duration::from_secs(5);

impl Cache {
    pub(crate) async fn open(
        world: World,
        store: Arc<dyn Store>,
        schema: Arc<Schema>,
    ) -> Result<Arc<Cache>> {
        let reading = store.load("/").await?;
        let snapshot = Snapshot::loaded(schema.clone(), reading.revision, &reading.items);
        let (questions, asked) = mpsc::unbounded_channel();
        let cache = Arc::new(Cache {
            revision: Beacon::new(snapshot.revision()),
            snapshot: ArcSwap::from_pointee(snapshot),
            subscribers: Mutex::default(),
            world: world.clone(),
            store,
            schema,
            questions,
        });
        world.spawn("watch-cache", cache.clone().follow());
        world.spawn("revision-probe", cache.clone().probe(asked));
        Ok(cache)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot::clone(&self.snapshot.load())
    }

    /// The state at a revision that is at least that of any commit acknowledged before the call.
    pub(crate) async fn fresh(&self) -> Result<Snapshot> {
        let revision = match self.store.local_revision() {
            Some(revision) => revision,
            None => self.ask().await?,
        };
        self.reach(revision).await?;
        Ok(self.snapshot())
    }

    /// Waits until the cache has reached a revision.
    pub(crate) async fn reach(&self, revision: Revision) -> Result<()> {
        if self.revision.look(|now| *now >= revision) {
            return Ok(());
        }
        let reached = self.revision.until(|now| *now >= revision);
        match self.world.timeout(CATCH_UP, reached).await {
            Ok(()) => Ok(()),
            Err(_) => Err(Error::unavailable(format!(
                "This controller has not seen the store's revision {revision} yet; try again."
            ))
            .with_retry_after(Duration::from_secs(1))),
        }
    }

    pub(crate) fn subscribe(&self) -> mpsc::UnboundedReceiver<Notice> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    async fn ask(&self) -> Result<Revision> {
        let (answer, answered) = oneshot::channel();
        let gone = || Error::unavailable("The controller is shutting down.");
        self.questions.send(answer).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// One question to the store serves all who asked before it was sent, and nobody who asked later.
    async fn probe(
        self: Arc<Cache>,
        mut asked: mpsc::UnboundedReceiver<oneshot::Sender<Result<Revision>>>,
    ) {
        let mut waiting = Vec::new();
        while asked.recv_many(&mut waiting, usize::MAX).await > 0 {
            let answer = self.store.revision().await;
            for asker in waiting.drain(..) {
                let copy = match &answer {
                    Ok(revision) => Ok(*revision),
                    Err(error) => Err(Error::new(error.kind(), error.message())
                        .with_retry_after(Duration::from_secs(1))),
                };
                // Who asked may have gone away meanwhile.
                let _gone = asker.send(copy);
            }
        }
    }

    async fn follow(self: Arc<Cache>) {
        let mut wait = Duration::from_millis(10);
        loop {
            let seen = self.snapshot.load().revision();
            let end = match self.store.watch(seen).await {
                Ok(mut watch) => loop {
                    match watch.next().await {
                        Ok(batch) => {
                            wait = Duration::from_millis(10);
                            self.apply(&batch);
                        }
                        Err(end) => break end,
                    }
                },
                Err(error) => WatchEnd::Lost(error.to_string()),
            };
            match end {
                WatchEnd::Compacted => self.reload().await,
                WatchEnd::Lost(why) => {
                    tracing::warn!(revision = seen.0, "the store's watch was lost: {why}");
                }
            }
            self.world.sleep(wait + self.world.jitter(wait)).await;
            wait = (wait * 2).min(Duration::from_secs(1));
        }
    }

    fn apply(&self, batch: &Batch) {
        let current = self.snapshot.load();
        if batch.revision <= current.revision() {
            return;
        }
        let mut next = Snapshot::clone(&current);
        next.apply(batch);
        drop(current);
        self.publish(next);
        let mut changed = Vec::new();
        for change in &batch.changes {
            if let Place::Record { table, id } = record::place(&self.schema, change.key()) {
                changed.push((self.schema.tables()[table].name, Arc::from(id)));
            }
        }
        if !changed.is_empty() {
            self.notify(&Notice::Changed(Arc::new(changed)));
        }
    }

    async fn reload(&self) {
        match self.store.load("/").await {
            Ok(reading) => {
                self.publish(Snapshot::loaded(
                    self.schema.clone(),
                    reading.revision,
                    &reading.items,
                ));
                self.notify(&Notice::Reset);
            }
            Err(error) => tracing::warn!("the store could not be loaded anew: {error:?}"),
        }
    }

    fn publish(&self, snapshot: Snapshot) {
        let revision = snapshot.revision();
        self.snapshot.store(Arc::new(snapshot));
        self.revision.set(revision);
    }

    fn notify(&self, notice: &Notice) {
        let mut subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        subscribers.retain(|subscriber| subscriber.send(notice.clone()).is_ok());
    }
}
