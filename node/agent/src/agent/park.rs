//! Stops every machine of a node without any order: for `everstack down`. What shall run is started
//! again by its order, which stays.

use std::{sync::Arc, time::Duration};

use base::{Result, World};

use crate::drivers::hypervisor::{Hypervisor, Power};

/// Presses the power button of every running machine, waits up to `grace`, then cuts off what is left.
/// Says how many were stopped.
pub async fn park(
    world: &World,
    hypervisor: &Arc<dyn Hypervisor>,
    grace: Duration,
) -> Result<usize> {
    let on = || hypervisor.list().into_iter().filter(|seen| !seen.power.is_off());
    let all = on().count();
    let end = world.now() + grace;
    for seen in on().filter(|seen| seen.power == Power::Running) {
        if let Err(error) = hypervisor.powerdown(&seen.id).await {
            tracing::warn!(server.id = %seen.id, "its guest cannot be asked to stop: {error:?}");
        }
    }
    while on().any(|seen| seen.power == Power::Running) && world.now() < end {
        // An event may be for another machine or lost: so look again after a moment in any case.
        let _ = world.timeout(Duration::from_millis(200), hypervisor.changes().next()).await;
    }
    let mut failed = None;
    for seen in on() {
        if let Err(error) = hypervisor.cut_off(&seen.id).await {
            failed = Some(error);
        }
    }
    failed.map_or(Ok(all), Err)
}
