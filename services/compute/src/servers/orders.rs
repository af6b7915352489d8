//! The orders of servers: pure functions of their records (and of long texts kept apart). Nothing about an
//! order is stored.

use std::sync::Arc;

use async_trait::async_trait;
use base::{Error, Result, Version};
use bytes::Bytes;
use nodes::{Object, OrderSource};
use orders::{ConfigDrive, ImageRef, Order, Reboot, Report, VmId, VmOrder, VmSpec, Wanted};
use state::{Record, Snapshot, State};

use super::{
    blobs,
    gone::GoneRecord,
    record::{ImageCopy, Power, ServerRecord},
    reports,
};
use crate::{around, metadata};

/// Makes orders for servers, and takes reports of them.
pub(crate) struct ServerOrders {
    pub(crate) state: State,
    pub(crate) default_zone: String,
}

#[async_trait]
impl OrderSource for ServerOrders {
    fn objects(&self, snapshot: &Snapshot, node: &str) -> Vec<Arc<str>> {
        let mut objects = snapshot.index_ids::<ServerRecord>("host", node);
        for id in snapshot.index_ids::<GoneRecord>("node", node) {
            if let Some(gone) = snapshot.get::<GoneRecord>(&id) {
                objects.push(gone.server.as_str().into());
            }
        }
        objects.sort();
        objects.dedup();
        objects
    }

    fn touched(&self, snapshot: &Snapshot, table: &str, id: &str) -> Vec<Object> {
        match table {
            ServerRecord::TABLE => {
                let server = snapshot.get::<ServerRecord>(id);
                let node = server.and_then(|server| server.node().map(Arc::<str>::from));
                node.map(|node| Object { node, id: id.into() }).into_iter().collect()
            }
            GoneRecord::TABLE => match id.split_once('/') {
                Some((node, server)) => {
                    vec![Object { node: node.into(), id: server.into() }]
                }
                None => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    async fn order(&self, snapshot: &Snapshot, object: &Object) -> Result<Option<Order>> {
        let here = snapshot
            .find::<ServerRecord>(&object.id)?
            .filter(|server| server.node() == Some(&*object.node));
        if let Some(server) = here {
            let Some(place) = &server.place else { return Ok(None) };
            let wanted = match (server.is_deleted(), server.intent.power) {
                (true, _) => Wanted::Gone,
                (false, Power::On) => Wanted::Running,
                (false, Power::Off) => Wanted::Stopped,
            };
            let spec = match wanted {
                // What ends needs no disk and no drive.
                Wanted::Gone => nothing(&server.name),
                _ => self.spec(snapshot, &object.id, &server).await?,
            };
            return Ok(Some(Order::Vm(VmOrder {
                id: VmId::from(&*object.id),
                epoch: place.epoch,
                version: self.version(server.intent.version),
                wanted,
                reboot: Reboot { number: server.intent.reboots, hard: server.intent.hard },
                spec,
            })));
        }
        let gone = snapshot.find::<GoneRecord>(&GoneRecord::id(&object.node, &object.id))?;
        Ok(gone.map(|gone| {
            Order::Vm(VmOrder {
                id: VmId::from(&*object.id),
                epoch: gone.epoch,
                version: self.version(gone.modified),
                wanted: Wanted::Gone,
                reboot: Reboot::default(),
                spec: nothing(&object.id),
            })
        }))
    }

    async fn report(&self, node: &str, reports: Vec<Report>) -> Result<Vec<VmId>> {
        reports::take(&self.state, node, reports).await
    }
}

fn nothing(name: &str) -> VmSpec {
    VmSpec {
        name: name.to_owned(),
        vcpus: 1,
        ram_mib: 1,
        root_gib: 0,
        ephemeral_gib: 0,
        swap_mib: 0,
        image: None,
        config_drive: None,
        only_here: true,
    }
}

impl ServerOrders {
    fn version(&self, revision: base::Revision) -> Version {
        Version { era: self.state.era().clone(), revision }
    }

    async fn spec(&self, snapshot: &Snapshot, id: &str, server: &ServerRecord) -> Result<VmSpec> {
        let config_drive = match server.config_drive {
            false => None,
            true => Some(self.drive(snapshot, id, server).await?),
        };
        let flavor = &server.flavor;
        Ok(VmSpec {
            name: server.name.clone(),
            vcpus: flavor.vcpus.max(1),
            ram_mib: flavor.ram,
            root_gib: flavor.disk,
            ephemeral_gib: flavor.ephemeral,
            swap_mib: flavor.swap,
            image: server.image.as_ref().map(reference),
            config_drive,
            only_here: true,
        })
    }

    async fn drive(
        &self,
        snapshot: &Snapshot,
        id: &str,
        server: &ServerRecord,
    ) -> Result<ConfigDrive> {
        let lost = |what: &str| {
            Error::unavailable(format!("The {what} of server {id} cannot be read just now."))
        };
        let user_data = match blobs::read(&self.state, server.user_data.as_ref()).await? {
            None if server.user_data.is_some() => return Err(lost("user data")),
            found => found,
        };
        let files = match blobs::read(&self.state, server.personality.as_ref()).await? {
            None if server.personality.is_some() => return Err(lost("files")),
            found => found,
        };
        let zone = match server.node() {
            Some(node) => around::zone_of(snapshot, node, &self.default_zone),
            None => self.default_zone.clone(),
        };
        let about = metadata::About::new(id, server, &zone, user_data.as_deref(), files.as_deref());
        let files = metadata::drive(&about);
        Ok(ConfigDrive {
            files: files.into_iter().map(|(path, bytes)| (path, Bytes::from(bytes))).collect(),
        })
    }
}

fn reference(image: &ImageCopy) -> ImageRef {
    ImageRef {
        id: image.id.clone(),
        size: image.size,
        sha512: image.sha512.clone(),
        disk_format: image.disk_format.clone(),
        virtual_size: image.virtual_size,
    }
}
