//! A value that is watched. As tokio's `watch`, but those who wait are woken in the order in which they
//! came: tokio picks a random one of its own, and one seed must give one order.

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// A watched value. Clones are the same one.
pub struct Beacon<T>(Arc<Inner<T>>);

struct Inner<T> {
    /// How often it was lit, and the value.
    state: Mutex<(u64, T)>,
    lit: Notify,
}

/// One who watches a [`Beacon`].
pub struct Watcher<T> {
    beacon: Beacon<T>,
    seen: u64,
}

impl<T> Clone for Beacon<T> {
    fn clone(&self) -> Self {
        Beacon(self.0.clone())
    }
}

impl<T: Default> Default for Beacon<T> {
    fn default() -> Self {
        Beacon::new(T::default())
    }
}

impl<T> Beacon<T> {
    /// With this value.
    pub fn new(value: T) -> Beacon<T> {
        Beacon(Arc::new(Inner { state: Mutex::new((0, value)), lit: Notify::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, (u64, T)> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the value; everybody is woken if `change` says so.
    pub fn light(&self, change: impl FnOnce(&mut T) -> bool) {
        let mut state = self.lock();
        let news = change(&mut state.1);
        state.0 += u64::from(news);
        drop(state);
        if news {
            self.0.lit.notify_waiters();
        }
    }

    /// Replaces the value and wakes everybody.
    pub fn set(&self, value: T) {
        self.light(|held| {
            *held = value;
            true
        });
    }

    /// Looks at the value.
    pub fn look<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock().1)
    }

    /// Waits until `reached` holds of the value. May be dropped while it waits.
    pub async fn until(&self, mut reached: impl FnMut(&T) -> bool) {
        loop {
            let mut woken = pin!(self.0.lit.notified());
            // Before the look, so that no change falls between.
            woken.as_mut().enable();
            if reached(&self.lock().1) {
                return;
            }
            woken.await;
        }
    }

    /// Watches from now on.
    pub fn watch(&self) -> Watcher<T> {
        Watcher { beacon: self.clone(), seen: self.lock().0 }
    }
}

impl<T> Watcher<T> {
    /// Waits for a change since the last one that was seen. May be dropped while it waits.
    pub async fn changed(&mut self) {
        loop {
            let mut woken = pin!(self.beacon.0.lit.notified());
            woken.as_mut().enable();
            let now = self.beacon.lock().0;
            if now != self.seen {
                self.seen = now;
                return;
            }
            woken.await;
        }
    }

    /// Looks at the value, which counts as seen.
    pub fn look<R>(&mut self, look: impl FnOnce(&T) -> R) -> R {
        let state = self.beacon.lock();
        self.seen = state.0;
        look(&state.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_change_is_missed() {
        let beacon = Beacon::new(0);
        let mut watcher = beacon.watch();
        let counted = async {
            let mut last = 0;
            while last < 100 {
                watcher.changed().await;
                let now = watcher.look(|value| *value);
                assert!(now > last);
                last = now;
            }
        };
        let lit = async {
            for _ in 0..100 {
                beacon.light(|value| {
                    *value += 1;
                    true
                });
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(counted, lit, beacon.until(|value| *value == 100));
    }
}
