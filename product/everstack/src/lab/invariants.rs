//! What must hold after every step, whatever went wrong.

use agent::fake::FakeNode;
use base::{Map, Set};
use compute::{
    quotas::UsageRecord,
    servers::{GoneRecord, Phase, Power, ServerRecord},
};
use placement::AllocationRecord;
use state::Snapshot;

use super::Lab;

impl Lab {
    /// What the cloud knows: the newest state, from any controller.
    pub async fn state(&self) -> Snapshot {
        for _ in 0..1000 {
            if let Some(controller) = self.any()
                && let Ok(snapshot) = controller.state.fresh().await
            {
                return snapshot;
            }
            self.world.sleep(std::time::Duration::from_millis(100)).await;
            self.revive().await;
        }
        panic!("the state cannot be read");
    }

    /// Whether every server is where its owner wants it, or failed.
    pub fn servers_settled(&self) -> bool {
        let Some(controller) = self.any() else { return false };
        let known = controller.state.known();
        known.all::<ServerRecord>().all(|server| {
            let reached = matches!(
                (server.phase, server.intent.power),
                (Phase::Failed | Phase::Off, _) | (Phase::Running, Power::On)
            );
            server.is_settled() && reached
        }) && known.count::<GoneRecord>() == 0
    }

    /// Holds at every moment.
    pub async fn check(&self) {
        let state = self.state().await;
        let mut instances: Map<String, i64> = Map::new();
        for server in state.all::<ServerRecord>() {
            // Also one that is being deleted, until it is gone.
            *instances.entry(server.project_id.clone()).or_default() += 1;
            assert_eq!(
                state.get::<AllocationRecord>(&server.id).is_some(),
                server.place.is_some(),
                "the server {} has a place without an allocation, or the reverse",
                server.id
            );
        }
        // What may still be on a node that is away goes on holding its room there.
        let held: Set<String> = state
            .all::<GoneRecord>()
            .filter(|gone| gone.holds)
            .map(|gone| gone.server.clone())
            .collect();
        for allocation in state.all::<AllocationRecord>() {
            assert!(
                state.get::<ServerRecord>(&allocation.id).is_some()
                    || held.contains(&*allocation.id),
                "the allocation of {} has no server",
                allocation.id
            );
        }
        for usage in state.all::<UsageRecord>().filter(|usage| !usage.id.contains('/')) {
            let counted = instances.remove(&*usage.id).unwrap_or(0);
            assert_eq!(usage.instances, counted, "the project {} uses another number", usage.id);
        }
        assert!(instances.is_empty(), "servers without use of quota: {instances:?}");
        let mut places = Map::new();
        for node in &self.nodes {
            for (id, _) in node.host().on() {
                if let Some(other) = places.insert(id.clone(), node.name().to_owned()) {
                    panic!("{id} runs on {other} and on {}", node.name());
                }
            }
        }
    }

    /// Holds when all is settled: what runs is what shall run, where it shall. A node that was just
    /// switched on is given time to start its machines again.
    pub async fn check_settled(&self) {
        self.check().await;
        for _ in 0..1200 {
            let (wanted, running) = self.wanted_and_running().await;
            if wanted == running {
                return;
            }
            self.world.sleep(std::time::Duration::from_millis(100)).await;
        }
        let (wanted, running) = self.wanted_and_running().await;
        assert_eq!(running, wanted, "what runs is not what shall run");
    }

    async fn wanted_and_running(&self) -> (Set<(String, String)>, Set<(String, String)>) {
        let state = self.state().await;
        let wanted = state
            .all::<ServerRecord>()
            .filter(|server| server.phase == Phase::Running)
            .filter_map(|server| Some((server.id.to_string(), server.place.as_ref()?.node.clone())))
            .collect();
        let on = |node: &FakeNode| {
            let name = node.name().to_owned();
            node.host().on().into_iter().map(move |(id, _)| (id.to_string(), name.clone()))
        };
        (wanted, self.nodes.iter().flat_map(on).collect())
    }
}
