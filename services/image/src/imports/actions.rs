//! What can be done to imports, each in one transaction.

use std::time::Duration;

use base::{Error, Result};
use serde_json::Value;
use state::Txn;

use super::{TaskRecord, TaskStatus};
use crate::images::{
    Data, ImageRecord, Status,
    access::Asker,
    actions::{discard, formats_set, save},
};

/// An ended task is shown for so long.
const SHOWN_FOR: Duration = Duration::from_secs(48 * 3600);

/// Begins to import what was staged.
pub(super) fn begin(
    txn: &mut Txn,
    asker: &Asker,
    id: &str,
    task: &str,
    request: &str,
    input: &Value,
) -> Result<()> {
    let image = asker.hold(txn, id)?;
    let conflict = |why: &str| Err(Error::conflict(why));
    if image.status == Status::Active {
        return conflict("Image with status active cannot be target for import");
    }
    if image.status != Status::Uploading || image.upload.is_some() || image.data.is_none() {
        return conflict("Image needs to be staged before 'glance-direct' method can be used");
    }
    if image.container_format.is_none() {
        return conflict("'container_format' needs to be set before import");
    }
    if image.disk_format.is_none() {
        return conflict("'disk_format' needs to be set before import");
    }
    formats_set(&image)?;
    asker.may("modify_image", &image)?;
    let now = txn.now();
    txn.create(
        task,
        TaskRecord {
            status: TaskStatus::Pending,
            image: id.to_owned(),
            owner: asker.project().map(str::to_owned),
            user: asker.user().to_owned(),
            request: request.to_owned(),
            input: input.clone(),
            message: String::new(),
            created_at: now,
            updated_at: now,
            expires_at: None,
        },
    )?;
    save(txn, id, &image, |image| {
        image.status = Status::Importing;
        image.import = Some(task.to_owned());
        image.updated_at = now;
    })
}

/// Ends an import: with the bytes as they were found, or with the reason why they are not taken.
pub(super) fn end(txn: &mut Txn, task: &str, outcome: &Result<Data, String>) -> Result<()> {
    let Some(found) = txn.get::<TaskRecord>(task)? else { return Ok(()) };
    if found.status != TaskStatus::Pending {
        return Ok(());
    }
    let id = found.image.clone();
    let now = txn.now();
    let image = txn.get::<ImageRecord>(&id)?.filter(|image| image.import.as_deref() == Some(task));
    let message = match (&image, outcome) {
        (None, _) => "The image was deleted.",
        (Some(_), Ok(_)) => "",
        (Some(_), Err(why)) => why,
    };
    txn.update(task, |task: &mut TaskRecord| {
        task.status = if message.is_empty() { TaskStatus::Success } else { TaskStatus::Failure };
        task.message = message.to_owned();
        task.updated_at = now;
        task.expires_at = Some(now.plus(SHOWN_FOR));
        Ok(())
    })?;
    let Some(image) = image else { return Ok(()) };
    if outcome.is_err()
        && let Some(data) = &image.data
    {
        discard(txn, &id, &data.object, &data.place)?;
    }
    save(txn, &id, &image, |image| {
        image.import = None;
        image.updated_at = now;
        match outcome {
            Ok(data) => {
                image.status = Status::Active;
                image.data = Some(data.clone());
            }
            Err(_) => {
                image.status = Status::Queued;
                image.data = None;
            }
        }
    })
}

/// Forgets a task that ended long ago; true when it is not yet time.
pub(super) fn forget(txn: &mut Txn, task: &str) -> Result<bool> {
    let Some(found) = txn.get::<TaskRecord>(task)? else { return Ok(false) };
    if found.expires_at.is_none_or(|at| at > txn.now()) {
        return Ok(true);
    }
    txn.delete::<TaskRecord>(task)?;
    Ok(false)
}
