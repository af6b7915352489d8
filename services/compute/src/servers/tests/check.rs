//! What must hold in every state of the cloud: sums equal counts, one machine for a server at most.

use base::Map;
use placement::AllocationRecord;

use super::{
    super::{BatchRecord, GoneRecord, Phase, ServerRecord, create::resources},
    world::Cloud,
};
use crate::quotas::{UsageRecord, actions::Delta};

impl Cloud {
    /// What does not add up.
    pub(crate) fn inconsistencies(&self) -> Vec<String> {
        let known = self.controller().state.known();
        let mut wrong = Vec::new();

        let mut used: Map<String, Delta> = Map::new();
        let mut count = |server: &ServerRecord| {
            for id in
                [server.project_id.clone(), format!("{}/{}", server.project_id, server.user_id)]
            {
                let delta = server.use_of_quota();
                let sum = used.entry(id).or_default();
                sum.instances += delta.instances;
                sum.cores += delta.cores;
                sum.ram += delta.ram;
            }
        };
        known.all::<ServerRecord>().for_each(|server| count(&server));
        for batch in known.all::<BatchRecord>() {
            batch.servers().for_each(|server| count(&server));
        }
        let counted: Map<String, Delta> =
            known.all::<UsageRecord>().map(|usage| (usage.id.to_string(), *usage)).collect();
        if counted != used {
            wrong.push(format!("quota: counters {counted:?}, servers {used:?}"));
        }

        let mut holders: Map<String, String> = Map::new();
        for server in known.all::<ServerRecord>() {
            if let Some(place) = &server.place {
                holders.insert(server.id.to_string(), place.node.clone());
                let held = known.get::<AllocationRecord>(&server.id).map(|a| a.held.clone());
                let node = known.get::<nodes::NodeRecord>(&place.node).map(|n| n.uuid.clone());
                let claim = resources(&server.flavor).unwrap().to_map();
                let expected = node.map(|uuid| Map::from([(uuid, claim)]));
                if held != expected {
                    wrong.push(format!("{}: holds {held:?}, not {expected:?}", server.id));
                }
            } else if server.phase != Phase::New && server.phase != Phase::Failed {
                wrong.push(format!("{}: {:?} without a place", server.id, server.phase));
            }
        }
        for gone in known.all::<GoneRecord>() {
            if gone.holds {
                holders.insert(gone.server.clone(), gone.node.clone());
            }
        }
        for allocation in known.all::<AllocationRecord>() {
            if !holders.contains_key(&*allocation.id) {
                wrong.push(format!("{} holds resources and is nothing", allocation.id));
            }
        }

        let mut places: Map<String, Vec<String>> = Map::new();
        for node in &self.nodes {
            for (vm, _) in node.host().on() {
                places.entry(vm.to_string()).or_default().push(node.name().to_owned());
            }
        }
        for (vm, places) in &places {
            if places.len() > 1 {
                wrong.push(format!("{vm} runs on {places:?}"));
            }
        }
        wrong
    }
}
