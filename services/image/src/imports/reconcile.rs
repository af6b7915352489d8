//! Carries imports out: looks at the staged bytes, then one transaction makes them the image's or not.

use std::time::Duration;

use async_trait::async_trait;
use base::{Kind, Result};
use control::{Next, Reconciler};
use state::{Record, Snapshot};

use super::{TaskRecord, TaskStatus, actions};
use crate::{context::Images, data, images::ImageRecord};

/// See the module.
pub struct ImportKeeper(Images);

impl ImportKeeper {
    /// For one controller.
    pub fn new(images: &Images) -> ImportKeeper {
        ImportKeeper(images.clone())
    }
}

#[async_trait]
impl Reconciler for ImportKeeper {
    fn name(&self) -> &'static str {
        "image.imports"
    }

    fn keys(&self, snapshot: &Snapshot, table: &'static str, id: &str) -> Vec<String> {
        let task = snapshot.get::<TaskRecord>(id).filter(|_| table == TaskRecord::TABLE);
        task.filter(|task| task.status == TaskStatus::Pending)
            .map(|_| id.to_owned())
            .into_iter()
            .collect()
    }

    fn unsettled(&self, snapshot: &Snapshot) -> Vec<String> {
        let now = self.0.world().wall();
        snapshot
            .all::<TaskRecord>()
            .filter(|task| task.expires_at.is_none_or(|at| at <= now))
            .map(|task| task.id.to_string())
            .collect()
    }

    async fn step(&self, key: &str) -> Result<Next> {
        let images = &self.0;
        let snapshot = images.state().fresh().await?;
        let Some(task) = snapshot.find::<TaskRecord>(key)? else { return Ok(Next::Settled) };
        if task.status != TaskStatus::Pending {
            let forget =
                images.state().transact("image.imports::forget", |txn| actions::forget(txn, key));
            forget.await?;
            return Ok(Next::Settled);
        }
        let image = snapshot.find::<ImageRecord>(&task.image)?;
        let outcome = match image.as_ref().and_then(|image| Some((image, image.data.clone()?))) {
            None => Err("The image was deleted.".to_owned()),
            // Another controller has the bytes.
            Some((_, data)) if data.place != images.store().place() => {
                return Ok(Next::After(Duration::from_secs(30)));
            }
            Some((image, mut found)) => {
                match data::look_into(images, &image.id, image, &mut found).await {
                    Ok(()) => Ok(found),
                    Err(error) if error.kind() == Kind::UnsupportedMedia => {
                        Err(error.message().to_owned())
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        images
            .state()
            .transact("image.imports::end", |txn| actions::end(txn, key, &outcome))
            .await?;
        Ok(Next::Settled)
    }

    /// The bytes may be with this controller alone.
    fn shared(&self) -> bool {
        false
    }
}
