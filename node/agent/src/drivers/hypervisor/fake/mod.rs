//! A hypervisor that behaves but runs nothing: machines take time to start, boot, print text and stop,
//! fail when told to, and outlive the agent as processes do. The host, not the driver, is the state:
//! an agent that starts again on the same [`FakeHost`] finds its machines running.

mod guest;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use base::{Epoch, Error, Map, Result, World};
use orders::{VmId, VmOrder};

use self::guest::Guest;
use super::{Changes, Hypervisor, Power, SeenVm, check, lock};

/// How long things take on a fake host. All zero by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FakeTimes {
    /// Making disks.
    pub prepare: Duration,
    /// From the order to the running guest.
    pub start: Duration,
    /// From the running guest to its `login:`; before that it does not hear the power button.
    pub boot: Duration,
    /// From the power button to off.
    pub shutdown: Duration,
}

/// What shall go wrong on a fake host.
#[derive(Clone, Debug, Default)]
struct Faults {
    prepares: u32,
    starts: u32,
    hopeless: bool,
    deaf: bool,
}

/// A simulated computer: keep it over restarts of its agent. Clones are the same computer.
#[derive(Clone)]
pub struct FakeHost {
    inner: Arc<Inner>,
}

struct Inner {
    /// The world of the computer, not of the agent on it: what was begun goes on without the agent.
    world: World,
    times: FakeTimes,
    changes: Changes,
    state: Mutex<State>,
}

struct State {
    boot: Arc<str>,
    machines: Map<VmId, Guest>,
    faults: Faults,
    launches: u64,
}

impl FakeHost {
    /// A computer that has just booted.
    pub fn new(world: &World, times: FakeTimes) -> FakeHost {
        let state = State {
            boot: world.hex_id().into(),
            machines: Map::new(),
            faults: Faults::default(),
            launches: 0,
        };
        let inner = Inner {
            world: world.clone(),
            times,
            changes: Changes::default(),
            state: Mutex::new(state),
        };
        FakeHost { inner: Arc::new(inner) }
    }

    /// The computer's present boot.
    pub fn boot(&self) -> Arc<str> {
        lock(&self.inner.state).boot.clone()
    }

    /// Power off and on: all machines are lost, their disks are not.
    pub fn reboot(&self) {
        let mut state = lock(&self.inner.state);
        state.boot = self.inner.world.hex_id().into();
        for guest in state.machines.values_mut() {
            guest.lose("the host was rebooted");
        }
    }

    /// The machine's process is killed.
    pub fn crash(&self, id: &VmId) {
        self.change(id, |guest| guest.lose("its process was killed"));
    }

    /// The guest switches itself off.
    pub fn guest_power_off(&self, id: &VmId) {
        let now = self.inner.world.now();
        self.change(id, |guest| guest.power_off(now));
    }

    /// The guest's processors are held, as by `stop`.
    pub fn pause(&self, id: &VmId) {
        self.change(id, Guest::pause);
    }

    /// So many of the next preparations and starts fail; `hopeless`: in a way that trying again cannot
    /// help.
    pub fn fail_next(&self, prepares: u32, starts: u32, hopeless: bool) {
        let mut state = lock(&self.inner.state);
        state.faults = Faults { prepares, starts, hopeless, ..state.faults.clone() };
    }

    /// Guests ignore the power button from now on.
    pub fn deafen(&self) {
        lock(&self.inner.state).faults.deaf = true;
    }

    /// How often any process of any machine was launched on this computer.
    pub fn launches(&self) -> u64 {
        lock(&self.inner.state).launches
    }

    /// Which machines have a process now, and under which epoch.
    pub fn on(&self) -> Vec<(VmId, Epoch)> {
        let state = lock(&self.inner.state);
        let on = state.machines.iter().filter(|(_, guest)| !guest.power().is_off());
        on.map(|(id, guest)| (id.clone(), guest.epoch())).collect()
    }

    fn change(&self, id: &VmId, change: impl FnOnce(&mut Guest)) {
        if let Some(guest) = lock(&self.inner.state).machines.get_mut(id) {
            change(guest);
        }
        self.inner.changes.mark(id);
    }

    fn with<T>(&self, id: &VmId, work: impl FnOnce(&mut Guest) -> Result<T>) -> Result<T> {
        match lock(&self.inner.state).machines.get_mut(id) {
            Some(guest) => work(guest),
            None => Err(Error::not_found(format!("There is no machine {id} on this node."))),
        }
    }
}

#[async_trait]
impl Hypervisor for FakeHost {
    async fn attach(&self) -> Result<()> {
        Ok(())
    }

    fn list(&self) -> Vec<SeenVm> {
        lock(&self.inner.state).machines.iter().map(|(id, guest)| guest.seen(id)).collect()
    }

    fn look(&self, id: &VmId) -> Option<SeenVm> {
        lock(&self.inner.state).machines.get(id).map(|guest| guest.seen(id))
    }

    fn changes(&self) -> &Changes {
        &self.inner.changes
    }

    async fn prepare(&self, order: &Arc<VmOrder>) -> Result<()> {
        check(order)?;
        wait(&self.inner.world, self.inner.times.prepare).await;
        let mut state = lock(&self.inner.state);
        let hopeless = state.faults.hopeless;
        if take(&mut state.faults.prepares) {
            return Err(failure(hopeless, "the fake host was told to fail preparing"));
        }
        match state.machines.get_mut(&order.id) {
            Some(guest) => guest.prepare(order),
            None => {
                state.machines.insert(order.id.clone(), Guest::new(order));
                Ok(())
            }
        }
    }

    async fn start(&self, order: &Arc<VmOrder>) -> Result<()> {
        {
            let mut state = lock(&self.inner.state);
            let State { machines, faults, launches, .. } = &mut *state;
            let Some(guest) = machines.get_mut(&order.id) else {
                return Err(Error::not_found(format!("{} was not prepared.", order.id)));
            };
            match guest.power() {
                Power::Running | Power::Paused => return Ok(()),
                Power::Loaded => {}
                Power::Off(_) => {
                    if take(&mut faults.starts) {
                        return Err(failure(
                            faults.hopeless,
                            "the fake host was told to fail starting",
                        ));
                    }
                    guest.load(order)?;
                    *launches += 1;
                }
            }
        }
        wait(&self.inner.world, self.inner.times.start).await;
        let now = self.inner.world.now();
        self.with(&order.id, |guest| guest.run(now))
    }

    async fn reset(&self, id: &VmId, number: u64) -> Result<()> {
        let now = self.inner.world.now();
        self.with(id, |guest| guest.reset(number, now))
    }

    async fn powerdown(&self, id: &VmId) -> Result<()> {
        let now = self.inner.world.now();
        let deaf = lock(&self.inner.state).faults.deaf;
        let heard = self.with(id, |guest| Ok(guest.press(now, self.inner.times.boot)))?;
        let Some(launch) = heard.filter(|_| !deaf) else { return Ok(()) };
        if self.inner.times.shutdown.is_zero() {
            self.guest_power_off(id);
            return Ok(());
        }
        // The guest goes down by itself, whether an agent is there to see it or not.
        let (host, id) = (self.clone(), id.clone());
        self.inner.world.spawn("guest", async move {
            host.inner.world.sleep(host.inner.times.shutdown).await;
            let now = host.inner.world.now();
            host.change(&id, |guest| guest.go_down(launch, now));
        });
        Ok(())
    }

    async fn cut_off(&self, id: &VmId) -> Result<()> {
        self.with(id, |guest| {
            guest.cut_off();
            Ok(())
        })
    }

    async fn adopt(&self, id: &VmId, epoch: Epoch) -> Result<()> {
        self.with(id, |guest| {
            guest.adopt(epoch);
            Ok(())
        })
    }

    async fn remove(&self, id: &VmId) -> Result<()> {
        lock(&self.inner.state).machines.remove(id);
        Ok(())
    }

    async fn console_text(&self, id: &VmId) -> Result<Option<String>> {
        let now = self.inner.world.now();
        let state = lock(&self.inner.state);
        Ok(state.machines.get(id).map(|guest| guest.console(now, self.inner.times.boot)))
    }

    async fn diagnostics(&self, id: &VmId) -> Result<Option<serde_json::Value>> {
        let now = self.inner.world.now();
        Ok(lock(&self.inner.state).machines.get(id).and_then(|guest| guest.diagnostics(now)))
    }
}

async fn wait(world: &World, time: Duration) {
    if !time.is_zero() {
        world.sleep(time).await;
    }
}

fn take(count: &mut u32) -> bool {
    let some = *count > 0;
    *count = count.saturating_sub(1);
    some
}

fn failure(hopeless: bool, message: &str) -> Error {
    if hopeless { Error::bad_request(message) } else { Error::unavailable(message) }
}
