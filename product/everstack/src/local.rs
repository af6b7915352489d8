//! The link between a controller and a node of the same process.

use async_trait::async_trait;
use base::{Result, World};
use nodes::Hub;
use orders::{Connector, NodeEnd};

/// Dials the hub of this process.
pub struct LocalHub {
    world: World,
    hub: Hub,
}

impl LocalHub {
    /// Links are served in the controller's world, so that they end with it.
    pub fn new(world: &World, hub: &Hub) -> LocalHub {
        LocalHub { world: world.clone(), hub: hub.clone() }
    }
}

#[async_trait]
impl Connector for LocalHub {
    async fn connect(&self) -> Result<NodeEnd> {
        if self.world.killed() {
            return Err(base::Error::unavailable("the controller is gone"));
        }
        let (node, controller) = orders::link();
        let hub = self.hub.clone();
        self.world.spawn("local-link", async move { hub.accept(controller).await });
        Ok(node)
    }
}
