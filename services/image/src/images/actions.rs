//! What can be done to an image: each verb is one transaction, given the time and all ids from outside.

use std::sync::Arc;

use base::{Error, Kind, Result};
use state::Txn;

use super::{
    Data, GarbageRecord, ImageRecord, Status, Upload,
    access::{Asker, not_found, refused},
    patch::{self, Change},
    wire::check_amounts,
};

/// Makes an image without bytes.
pub(crate) fn create(txn: &mut Txn, asker: &Asker, id: &str, image: ImageRecord) -> Result<()> {
    if !asker.allows("add_image", &image) {
        let owner = image.owner.as_deref();
        return Err(match owner {
            Some(owner) if Some(owner) != asker.project() => Error::forbidden(format!(
                "You are not permitted to create images owned by '{owner}'"
            )),
            _ => refused("add_image"),
        });
    }
    asker.may_show(&image, image.visibility)?;
    if txn.get::<ImageRecord>(id)?.is_some() {
        return Err(Error::conflict(format!("Image ID {id} already exists!")));
    }
    txn.create(id, image)
}

/// Carries a patch out and gives the image as it is then.
pub(super) fn change(
    txn: &mut Txn,
    asker: &Asker,
    id: &str,
    changes: &[Change],
) -> Result<Arc<ImageRecord>> {
    let before = asker.hold(txn, id)?;
    let mut image = ImageRecord::clone(&before);
    patch::apply(&mut image, changes, asker, txn.now())?;
    if image != *before {
        txn.put(id, image.clone())?;
    }
    Ok(Arc::new(image))
}

/// Takes an image away. Its bytes are left to the [`super::ImageKeeper`].
pub(crate) fn delete(txn: &mut Txn, asker: &Asker, id: &str) -> Result<()> {
    let missing = || Error::not_found(format!("Failed to find image {id} to delete"));
    let image = asker.hold(txn, id).map_err(|error| match error.kind() {
        Kind::NotFound => missing(),
        _ => error,
    })?;
    asker.may("delete_image", &image)?;
    if image.protected {
        return Err(Error::forbidden(format!("Image {id} is protected and cannot be deleted.")));
    }
    if let Some(data) = &image.data {
        discard(txn, id, &data.object, &data.place)?;
    }
    if let Some(upload) = &image.upload {
        discard(txn, id, &upload.object, &upload.place)?;
    }
    txn.delete::<ImageRecord>(id)?;
    Ok(())
}

/// Writes down that an object is to be removed.
pub(crate) fn discard(txn: &mut Txn, image: &str, object: &str, place: &str) -> Result<()> {
    let since = txn.now();
    let garbage = GarbageRecord { place: place.to_owned(), image: image.to_owned(), since };
    txn.put(object, garbage)
}

/// Bytes may be read no more, except by admins.
pub(crate) fn deactivate(txn: &mut Txn, asker: &Asker, id: &str) -> Result<()> {
    switch(txn, asker, id, "deactivate", Status::Active, Status::Deactivated)
}

/// Bytes may be read again.
pub(crate) fn reactivate(txn: &mut Txn, asker: &Asker, id: &str) -> Result<()> {
    switch(txn, asker, id, "reactivate", Status::Deactivated, Status::Active)
}

fn switch(
    txn: &mut Txn,
    asker: &Asker,
    id: &str,
    verb: &str,
    from: Status,
    to: Status,
) -> Result<()> {
    let image = asker.hold(txn, id)?;
    asker.may(verb, &image)?;
    if image.status == to {
        return Ok(());
    }
    if image.status != from {
        return Err(Error::forbidden(format!(
            "Not allowed to {verb} image in status '{}'",
            image.status.name()
        )));
    }
    let now = txn.now();
    save(txn, id, &image, |image| {
        image.status = to;
        image.updated_at = now;
    })
}

/// Adds a tag; there already is fine.
pub(crate) fn tag(txn: &mut Txn, asker: &Asker, id: &str, tag: &str) -> Result<()> {
    let image = for_tags(txn, asker, id)?;
    if image.tags.contains(tag) {
        return Ok(());
    }
    let now = txn.now();
    let mut tagged = ImageRecord::clone(&image);
    tagged.tags.insert(tag.to_owned());
    tagged.updated_at = now;
    check_amounts(&tagged).map_err(|error| {
        let why = format!("Image tag limit exceeded for image {id}: {}:", error.message());
        Error::new(error.kind(), why)
    })?;
    txn.put(id, tagged)
}

/// Takes a tag away.
pub(crate) fn untag(txn: &mut Txn, asker: &Asker, id: &str, tag: &str) -> Result<()> {
    let image = for_tags(txn, asker, id)?;
    if !image.tags.contains(tag) {
        return Err(Error::not_found("The resource could not be found."));
    }
    let now = txn.now();
    save(txn, id, &image, |image| {
        image.tags.remove(tag);
        image.updated_at = now;
    })
}

fn for_tags(txn: &mut Txn, asker: &Asker, id: &str) -> Result<Arc<ImageRecord>> {
    let image = asker.hold(txn, id).map_err(|error| match error.kind() {
        Kind::NotFound => Error::not_found(format!("Image {id} not found.")),
        _ => error,
    })?;
    asker.may("modify_image", &image)?;
    Ok(image)
}

pub(crate) fn save(
    txn: &mut Txn,
    id: &str,
    image: &ImageRecord,
    change: impl FnOnce(&mut ImageRecord),
) -> Result<()> {
    let mut image = image.clone();
    change(&mut image);
    txn.put(id, image)
}

/// How bytes come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To be used at once.
    Upload,
    /// To be imported later.
    Stage,
}

/// Marks an image as taking bytes in.
pub(crate) fn begin(
    txn: &mut Txn,
    asker: &Asker,
    id: &str,
    way: Way,
    upload: Upload,
) -> Result<()> {
    let image = asker.hold(txn, id)?;
    let (policy, to) = match way {
        Way::Upload => ("upload_image", Status::Saving),
        Way::Stage => ("modify_image", Status::Uploading),
    };
    asker.may(policy, &image)?;
    if image.status != Status::Queued {
        return Err(Error::conflict(format!(
            "Image status transition from {} to {} is not allowed",
            image.status.name(),
            to.name()
        )));
    }
    if way == Way::Upload {
        formats_set(&image)?;
    }
    let now = txn.now();
    save(txn, id, &image, |image| {
        image.status = to;
        image.upload = Some(upload);
        image.updated_at = now;
    })
}

/// Bytes without a declared format are not taken.
pub(crate) fn formats_set(image: &ImageRecord) -> Result<()> {
    let formats = [
        ("disk_format", image.disk_format.is_none()),
        ("container_format", image.container_format.is_none()),
    ];
    let missing: Vec<_> =
        formats.iter().filter(|(_, missing)| *missing).map(|(name, _)| *name).collect();
    match missing.as_slice() {
        [] => Ok(()),
        [one] => {
            Err(Error::bad_request(format!("Property {one} must be set prior to saving data.")))
        }
        many => Err(Error::bad_request(format!(
            "Properties {} must be set prior to saving data.",
            many.join(", ")
        ))),
    }
}

/// The bytes are there: the image can be used, or imported.
pub(crate) fn complete(txn: &mut Txn, id: &str, way: Way, data: Data) -> Result<()> {
    let image = taking(txn, id, &data.object)?;
    let now = txn.now();
    save(txn, id, &image, |image| {
        if way == Way::Upload {
            image.status = Status::Active;
        }
        image.upload = None;
        image.data = Some(data);
        image.updated_at = now;
    })
}

/// The bytes will not come: the image waits for others. Nothing is left of the object.
pub(crate) fn break_off(txn: &mut Txn, id: &str, object: &str) -> Result<()> {
    let image = taking(txn, id, object)?;
    let now = txn.now();
    save(txn, id, &image, |image| {
        image.status = Status::Queued;
        image.upload = None;
        image.updated_at = now;
    })
}

/// The image, while that upload is still its own.
fn taking(txn: &mut Txn, id: &str, object: &str) -> Result<Arc<ImageRecord>> {
    let image = txn.get::<ImageRecord>(id)?;
    let own = |image: &Arc<ImageRecord>| {
        image.upload.as_ref().is_some_and(|upload| upload.object == object)
    };
    image.filter(own).ok_or_else(|| not_found(id))
}
