//! Who sees an image and who may change it. An image that is not seen is not there: 404, never 403.

use std::sync::Arc;

use base::{Error, Result};
use state::{Snapshot, Txn};
use web::{Actor, Request, ServiceInfo, Target};

use super::{ImageRecord, Visibility};

pub(crate) const MEMBER: &str =
    "rule:context_is_admin or (role:member and project_id:%(project_id)s)";
pub(crate) const READER: &str =
    "rule:context_is_admin or (role:reader and project_id:%(project_id)s)";
const GET: &str = "rule:context_is_admin or (role:reader and (project_id:%(project_id)s or \
     project_id:%(member_id)s or 'community':%(visibility)s or 'public':%(visibility)s or \
     'shared':%(visibility)s))";
const DOWNLOAD: &str = "rule:context_is_admin or (role:member and (project_id:%(project_id)s or \
     project_id:%(member_id)s or 'community':%(visibility)s or 'public':%(visibility)s or \
     'shared':%(visibility)s))";
pub(crate) const ADMIN: &str = "rule:context_is_admin";

/// Rules that others refer to.
pub(crate) const BASE: &[(&str, &str)] = &[
    ("default", ""),
    ("context_is_admin", "role:admin"),
    ("service_api", "role:service or role:admin"),
];
pub(crate) const GET_IMAGE: (&str, &str) = ("get_image", GET);
pub(crate) const DOWNLOAD_IMAGE: (&str, &str) = ("download_image", DOWNLOAD);
pub(crate) const MODIFY_IMAGE: (&str, &str) = ("modify_image", MEMBER);
pub(crate) const PUBLICIZE_IMAGE: (&str, &str) = ("publicize_image", ADMIN);
pub(crate) const COMMUNITIZE_IMAGE: (&str, &str) = ("communitize_image", MEMBER);

/// Who looks, as far as visibility asks.
#[derive(Clone, Copy, Debug)]
pub struct Viewer<'a> {
    /// The project of the token, if there is one.
    pub project: Option<&'a str>,
    /// Sees everything.
    pub admin: bool,
}

impl Viewer<'_> {
    /// Whether the image is there for this viewer.
    pub fn sees(&self, image: &ImageRecord) -> bool {
        let open = matches!(image.visibility, Visibility::Public | Visibility::Community);
        self.admin || open || image.owner.is_none() || self.owns(image) || self.is_member(image)
    }

    /// Whether the image is the viewer's own.
    pub fn owns(&self, image: &ImageRecord) -> bool {
        self.project.is_some() && image.owner.as_deref() == self.project
    }

    fn is_member(&self, image: &ImageRecord) -> bool {
        image.visibility == Visibility::Shared
            && self.project.is_some_and(|project| image.members.contains_key(project))
    }
}

/// Who asks, kept apart from the request, so that a transaction can ask again at each repetition.
#[derive(Clone)]
pub(crate) struct Asker {
    actor: Arc<Actor>,
    service: Arc<ServiceInfo>,
    /// Has the role that sees and changes everything.
    pub(crate) admin: bool,
}

impl Asker {
    /// Who asks by this request.
    pub(crate) fn of(request: &Request) -> Asker {
        Asker {
            actor: request.actor.clone(),
            service: request.service.clone(),
            admin: request.allowed("context_is_admin", &Target::new()),
        }
    }

    pub(crate) fn project(&self) -> Option<&str> {
        self.actor.project.as_ref().map(|project| project.id.as_str())
    }

    pub(crate) fn user(&self) -> &str {
        &self.actor.user_id
    }

    pub(crate) fn viewer(&self) -> Viewer<'_> {
        Viewer { project: self.project(), admin: self.admin }
    }

    fn target<'t>(&'t self, image: &'t ImageRecord) -> Target<'t> {
        let member = self.project().filter(|project| image.members.contains_key(*project));
        Target::new()
            .with_some("project_id", image.owner.as_deref())
            .with_some("owner", image.owner.as_deref())
            .with("visibility", image.visibility.name())
            .with_some("member_id", member)
    }

    /// Whether a policy allows something with this image.
    pub(crate) fn allows(&self, policy: &str, image: &ImageRecord) -> bool {
        self.service.rules.allows(policy, &self.actor, &self.target(image))
    }

    /// Whether a policy allows something that is about no image.
    pub(crate) fn allows_own(&self, policy: &str) -> bool {
        let target = Target::new().with_some("project_id", self.project());
        self.service.rules.allows(policy, &self.actor, &target)
    }

    pub(crate) fn sees(&self, image: &ImageRecord) -> bool {
        self.viewer().sees(image) && self.allows("get_image", image)
    }

    /// Refuses what a policy does not allow with an image that is seen.
    pub(crate) fn may(&self, policy: &str, image: &ImageRecord) -> Result<()> {
        if self.allows(policy, image) { Ok(()) } else { Err(refused(policy)) }
    }

    /// The image as it was.
    pub(crate) fn find(&self, snapshot: &Snapshot, id: &str) -> Result<state::Entry<ImageRecord>> {
        match snapshot.find::<ImageRecord>(id)? {
            Some(image) if self.sees(&image) => Ok(image),
            _ => Err(not_found(id)),
        }
    }

    /// The image as it must still be at the commit.
    pub(crate) fn hold(&self, txn: &mut Txn, id: &str) -> Result<Arc<ImageRecord>> {
        match txn.get::<ImageRecord>(id)? {
            Some(image) if self.sees(&image) => Ok(image),
            _ => Err(not_found(id)),
        }
    }

    /// Refuses a visibility that is not everybody's to give.
    pub(crate) fn may_show(&self, image: &ImageRecord, as_: Visibility) -> Result<()> {
        match as_ {
            Visibility::Public => self.may("publicize_image", image),
            Visibility::Community => self.may("communitize_image", image),
            Visibility::Shared | Visibility::Private => Ok(()),
        }
    }
}

pub(crate) fn refused(policy: &str) -> Error {
    Error::forbidden(format!("You are not authorized to complete {policy} action."))
}

pub(crate) fn not_found(id: &str) -> Error {
    Error::not_found(format!("No image found with ID {id}"))
}
