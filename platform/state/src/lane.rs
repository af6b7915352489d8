//! Lanes: actions that race on one hot guard line up in the controller and share commits. The ones at
//! other controllers meet them as conflicts, as usual.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base::{Error, Result};
use tokio::sync::oneshot;

use crate::{
    state::{State, too_busy},
    txn::Txn,
};

#[derive(Clone, Default)]
pub(crate) struct Lanes(Arc<Mutex<BTreeMap<String, VecDeque<Job>>>>);

type Action = Box<dyn FnMut(&mut Txn) -> Result<()> + Send>;

struct Job {
    label: &'static str,
    action: Action,
    done: oneshot::Sender<Result<()>>,
}

/// Room kept free in a shared transaction for the next action's operations.
const SPARE: usize = 24;
const ATTEMPTS: u32 = 40;

impl Lanes {
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        state: &State,
        lane: &str,
        label: &'static str,
        mut action: impl FnMut(&mut Txn) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let kept = Arc::new(Mutex::new(None));
        let keep = kept.clone();
        let (done, finished) = oneshot::channel();
        let job = Job {
            label,
            action: Box::new(move |txn| {
                let result = action(txn)?;
                *keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                Ok(())
            }),
            done,
        };
        let first = {
            let mut lanes = self.lock();
            let first = !lanes.contains_key(lane);
            lanes.entry(lane.to_owned()).or_default().push_back(job);
            first
        };
        if first {
            let driver =
                Driver { lanes: self.clone(), state: state.clone(), lane: lane.to_owned() };
            state.world().spawn("lane", driver.drive());
        }
        let lost = || Error::unavailable("The controller is shutting down.");
        finished.await.map_err(|_| lost())??;
        let result = kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        result.ok_or_else(lost)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, VecDeque<Job>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Driver {
    lanes: Lanes,
    state: State,
    lane: String,
}

impl Driver {
    async fn drive(self) {
        loop {
            let waiting = {
                let mut lanes = self.lanes.lock();
                match lanes.get_mut(&self.lane) {
                    Some(queue) if !queue.is_empty() => std::mem::take(queue),
                    _ => {
                        lanes.remove(&self.lane);
                        return;
                    }
                }
            };
            self.carry_out(waiting).await;
        }
    }

    async fn carry_out(&self, mut waiting: VecDeque<Job>) {
        let mut most = usize::MAX;
        let mut attempt = 0;
        while let Some(label) = waiting.front().map(|job| job.label) {
            let mut txn = match self.state.fresh().await {
                Ok(snapshot) => Txn::new(snapshot, self.state.world().wall()),
                Err(error) => return answer_all(waiting, &error),
            };
            let mut results = Vec::new();
            for job in waiting.iter_mut().take(most) {
                let before = txn.savepoint();
                let result = (job.action)(&mut txn);
                if result.is_err() {
                    txn.roll_back(before);
                }
                results.push(result);
                if !txn.fits(SPARE) {
                    break;
                }
            }
            // An answer, also a refusal, may rest on what an earlier action of this batch wrote: none is
            // given before the commit.
            let committed =
                if txn.changes_nothing() { Ok(true) } else { self.state.commit(label, &txn).await };
            match committed {
                Ok(true) => {
                    let done = waiting.drain(..results.len()).collect::<Vec<_>>();
                    for (result, job) in results.into_iter().zip(done) {
                        let _asker_gone = job.done.send(result);
                    }
                    attempt = 0;
                }
                Ok(false) if attempt < ATTEMPTS => {
                    self.state.back_off(attempt).await;
                    attempt += 1;
                }
                Ok(false) => return answer_all(waiting, &too_busy(label)),
                // One that is too large must not take the others down with it.
                Err(error) if results.len() > 1 && error.kind() == base::Kind::BadRequest => {
                    most = 1
                }
                Err(error) => {
                    for job in waiting.drain(..results.len()) {
                        let copy = copy_of(&error);
                        let _asker_gone = job.done.send(Err(copy));
                    }
                }
            }
        }
    }
}

fn copy_of(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.message());
    match error.retry_after() {
        Some(after) => copy.with_retry_after(after),
        None => copy,
    }
}

fn answer_all(jobs: VecDeque<Job>, error: &Error) {
    for job in jobs {
        let _asker_gone = job.done.send(Err(copy_of(error)));
    }
}
