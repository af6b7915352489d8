//! The fake against the suite that QEMU passes.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use base::World;
use orders::{VmId, VmOrder};

use super::{
    super::{Hypervisor, conformance},
    FakeHost, FakeTimes,
};

struct Lab {
    world: World,
    host: FakeHost,
}

#[async_trait]
impl conformance::Lab for Lab {
    fn world(&self) -> &World {
        &self.world
    }

    fn hypervisor(&self) -> Arc<dyn Hypervisor> {
        Arc::new(self.host.clone())
    }

    fn equip(&self, _order: &mut VmOrder) {}

    async fn restart(&mut self) {
        // The driver has nothing in memory: all is the host's.
        self.host.attach().await.expect("attached");
    }

    async fn kill(&self, id: &VmId) {
        self.host.crash(id);
    }

    async fn power_off_inside(&self, id: &VmId) {
        self.host.guest_power_off(id);
    }

    async fn anything_left(&self, id: &VmId) -> bool {
        self.host.look(id).is_some()
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }
}

async fn conform(times: FakeTimes) {
    let world = World::simulated(1);
    let host = FakeHost::new(&world, times);
    conformance::run(&mut Lab { world, host }).await;
}

#[tokio::test(start_paused = true)]
async fn conforms_at_once() {
    conform(FakeTimes::default()).await;
}

#[tokio::test(start_paused = true)]
async fn conforms_with_all_its_times() {
    conform(FakeTimes {
        prepare: Duration::from_secs(1),
        start: Duration::from_secs(2),
        boot: Duration::from_secs(8),
        shutdown: Duration::from_secs(3),
    })
    .await;
}
