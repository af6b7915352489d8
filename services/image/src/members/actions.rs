//! What can be done to an image's members.

use std::sync::Arc;

use base::{Error, Kind, Result};
use state::{Snapshot, Txn};

use crate::images::{
    ImageRecord, Member, MemberStatus, Visibility,
    access::{Asker, refused},
    actions::save,
    check_amounts,
};

pub(super) fn image_not_found(id: &str) -> Error {
    Error::not_found(format!("Image {id} not found."))
}

fn not_a_member(id: &str, member: &str) -> Error {
    Error::not_found(format!("{member} not found in the member list of the image {id}."))
}

/// The image, if it is seen and can have members; `refusal` is said when it cannot.
fn shared(image: Result<Arc<ImageRecord>>, id: &str, refusal: &str) -> Result<Arc<ImageRecord>> {
    let image = image.map_err(|error| match error.kind() {
        Kind::NotFound => image_not_found(id),
        _ => error,
    })?;
    if image.visibility != Visibility::Shared {
        return Err(Error::forbidden(refusal));
    }
    Ok(image)
}

/// Shares an image with a project.
pub(super) fn add(txn: &mut Txn, asker: &Asker, id: &str, project: &str) -> Result<Member> {
    let refusal = format!("Not allowed to create members for image {id}.");
    let image = shared(asker.hold(txn, id), id, &refusal)?;
    asker.may("add_member", &image)?;
    if image.members.contains_key(project) {
        return Err(Error::conflict(format!("Member {project} is duplicated for image {id}")));
    }
    let now = txn.now();
    let member = Member { status: MemberStatus::Pending, created_at: now, updated_at: now };
    let mut more = ImageRecord::clone(&image);
    more.members.insert(project.to_owned(), member);
    check_amounts(&more).map_err(|error| {
        let why = format!("Image member limit exceeded for image {id}: {}:", error.message());
        Error::new(error.kind(), why)
    })?;
    txn.put(id, more)?;
    Ok(member)
}

/// Writes down what a project says to an image that is shared with it.
pub(super) fn answer(
    txn: &mut Txn,
    asker: &Asker,
    id: &str,
    project: &str,
    status: MemberStatus,
) -> Result<Member> {
    let refusal = format!("Not allowed to update members for image {id}.");
    let image = shared(asker.hold(txn, id), id, &refusal)?;
    let member = one(asker, &image, id, project)?;
    // The rule speaks of who asks; only admins answer for others.
    if !asker.allows("modify_member", &image) || !(asker.admin || asker.project() == Some(project))
    {
        return Err(refused("modify_member"));
    }
    let now = txn.now();
    let member = Member { status, updated_at: now, ..member };
    save(txn, id, &image, |image| {
        image.members.insert(project.to_owned(), member);
    })?;
    Ok(member)
}

/// Shares an image with a project no more.
pub(super) fn remove(txn: &mut Txn, asker: &Asker, id: &str, project: &str) -> Result<()> {
    let refusal = format!("Not allowed to delete members for image {id}.");
    let image = shared(asker.hold(txn, id), id, &refusal)?;
    one(asker, &image, id, project)?;
    asker.may("delete_member", &image)?;
    save(txn, id, &image, |image| {
        image.members.remove(project);
    })
}

/// One member. What is not for the asker's eyes is not there.
pub(super) fn find(snapshot: &Snapshot, asker: &Asker, id: &str, project: &str) -> Result<Member> {
    let image = asker.find(snapshot, id).map(|image| image.record());
    let image = shared(image, id, "Only shared images have members.");
    let hidden = |error: Error| match error.kind() {
        Kind::Forbidden => Error::not_found(error.message()),
        _ => error,
    };
    let image = image.map_err(hidden)?;
    one(asker, &image, id, project).map_err(hidden)
}

/// The members that the asker may see.
pub(super) fn list(snapshot: &Snapshot, asker: &Asker, id: &str) -> Result<Vec<(String, Member)>> {
    let refusal =
        format!("Not allowed to list members for image {id}: Only shared images have members.");
    let image = shared(asker.find(snapshot, id).map(|image| image.record()), id, &refusal)?;
    asker.may("get_members", &image)?;
    if !asker.allows("get_member", &image) {
        return Ok(Vec::new());
    }
    let members = image.members.iter().filter(|(project, _)| visible(asker, &image, project));
    Ok(members.map(|(project, member)| (project.clone(), *member)).collect())
}

fn one(asker: &Asker, image: &ImageRecord, id: &str, project: &str) -> Result<Member> {
    if !asker.allows("get_member", image) {
        return Err(Error::forbidden(format!(
            "You are not authorized to lookup the members of the image {id}."
        )));
    }
    match image.members.get(project) {
        Some(member) if visible(asker, image, project) => Ok(*member),
        _ => Err(not_a_member(id, project)),
    }
}

/// The owner sees all members, each member sees itself.
fn visible(asker: &Asker, image: &ImageRecord, project: &str) -> bool {
    asker.admin || asker.viewer().owns(image) || asker.project() == Some(project)
}
