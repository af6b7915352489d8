//! Who asks. The identity service makes an [`Actor`] from a token; everybody else only reads it.

use std::sync::Arc;

use async_trait::async_trait;
use base::{Result, Timestamp};

/// Who asks, in which scope, with which roles. A snapshot: made anew (or taken from identity's cache) for
/// each request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// The user.
    pub user_id: String,
    /// The user's name.
    pub user_name: String,
    /// The domain that holds the user.
    pub user_domain_id: String,
    /// That domain's name.
    pub user_domain_name: String,
    /// The project, when the token is scoped to one.
    pub project: Option<ProjectScope>,
    /// The domain, when the token is scoped to one.
    pub domain: Option<DomainScope>,
    /// The token is scoped to the whole system.
    pub system: bool,
    /// Names of the effective roles, implied ones included.
    pub roles: Vec<String>,
    /// Has the role `admin` in this scope. Policies decide by rules, not by this.
    pub is_admin: bool,
    /// When the token was made.
    pub token_issued: Option<Timestamp>,
    /// When the token ends.
    pub token_expires: Option<Timestamp>,
    /// The token's audit id, then its chain's.
    pub audit_ids: Vec<String>,
    /// How the user proved to be: `password`, `token`, `application_credential`.
    pub methods: Vec<String>,
    /// Set when the token came from an application credential.
    pub application_credential: Option<ApplicationCredentialScope>,
}

/// The project of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectScope {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The domain that holds it.
    pub domain_id: String,
    /// That domain's name.
    pub domain_name: String,
}

/// The domain of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DomainScope {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// The application credential behind a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationCredentialScope {
    /// Its id.
    pub id: String,
    /// It may make and delete credentials itself.
    pub unrestricted: bool,
}

impl Actor {
    /// Nobody: what public routes see.
    pub fn anonymous() -> Arc<Actor> {
        static NOBODY: std::sync::LazyLock<Arc<Actor>> = std::sync::LazyLock::new(Arc::default);
        NOBODY.clone()
    }

    /// Whether this is [`Actor::anonymous`].
    pub fn is_anonymous(&self) -> bool {
        self.user_id.is_empty()
    }

    /// The project's id; empty when the token is not scoped to a project.
    pub fn project_id(&self) -> &str {
        self.project.as_ref().map_or("", |project| &project.id)
    }

    /// Whether one of the roles has this name. Case does not matter, as in oslo.policy.
    pub fn has_role(&self, name: &str) -> bool {
        self.roles.iter().any(|role| role.eq_ignore_ascii_case(name))
    }

    /// An attribute by its name in policy rules. None: there is none in this scope, and it equals nothing.
    pub(crate) fn attribute(&self, attribute: Attribute) -> Option<&str> {
        fn borrowed(text: &str) -> Option<&str> {
            (!text.is_empty()).then_some(text)
        }
        match attribute {
            Attribute::UserId => borrowed(&self.user_id),
            Attribute::UserName => borrowed(&self.user_name),
            Attribute::UserDomainId => borrowed(&self.user_domain_id),
            Attribute::ProjectId => borrowed(self.project_id()),
            Attribute::ProjectDomainId => {
                self.project.as_ref().and_then(|project| borrowed(&project.domain_id))
            }
            Attribute::DomainId => self.domain.as_ref().and_then(|domain| borrowed(&domain.id)),
            Attribute::SystemScope => self.system.then_some("all"),
            Attribute::IsAdmin => Some(if self.is_admin { "True" } else { "False" }),
            // There is no admin project here, so that, as in Keystone without one, any token is of it.
            Attribute::IsAdminProject => Some("True"),
        }
    }
}

/// What a policy rule may ask about an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    UserId,
    UserName,
    UserDomainId,
    ProjectId,
    ProjectDomainId,
    DomainId,
    SystemScope,
    IsAdmin,
    IsAdminProject,
}

impl Attribute {
    /// By the name that rules use.
    pub(crate) fn named(name: &str) -> Option<Attribute> {
        Some(match name {
            "user_id" | "user" => Attribute::UserId,
            "user_name" | "username" => Attribute::UserName,
            "user_domain_id" | "user_domain" => Attribute::UserDomainId,
            "project_id" | "tenant_id" | "tenant" | "project" => Attribute::ProjectId,
            "project_domain_id" | "project_domain" => Attribute::ProjectDomainId,
            "domain_id" => Attribute::DomainId,
            "system_scope" | "system" => Attribute::SystemScope,
            "is_admin" => Attribute::IsAdmin,
            "is_admin_project" | "token.is_admin_project" => Attribute::IsAdminProject,
            _ => return None,
        })
    }
}

/// Turns a token into who asks. The identity service is the one that does.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// Who this token is for; [`base::Kind::Unauthorized`] when it is bad, ended or revoked.
    async fn authenticate(&self, token: &str) -> Result<Arc<Actor>>;
}
