//! What a token is worth now: whether its user and scope still are, and with which roles. Done against a
//! snapshot at each use; nothing about it is remembered in the token.

use std::sync::Arc;

use base::{Result, Timestamp};
use state::{Entry, Snapshot};
use web::{Actor, ApplicationCredentialScope, DomainScope, ProjectScope};

use super::{
    format::{Token, TokenScope},
    revoke::{self, Of},
};
use crate::{
    app_creds::record::AppCred,
    assignments::effective::{self, NamedRole},
    passwords::record::Password,
    projects::record::Project,
    trusts::record::Trust,
    users::record::User,
    words,
};

/// A token with all that it names.
pub(crate) struct Resolved {
    pub(crate) token: Arc<Token>,
    pub(crate) user: Entry<User>,
    pub(crate) user_domain: Entry<Project>,
    pub(crate) password_expires: Option<Timestamp>,
    pub(crate) scope: ResolvedScope,
    pub(crate) roles: Vec<NamedRole>,
    pub(crate) app_cred: Option<Entry<AppCred>>,
    pub(crate) trust: Option<Entry<Trust>>,
}

pub(crate) enum ResolvedScope {
    Unscoped,
    Project { project: Entry<Project>, domain: Entry<Project> },
    Domain(Entry<Project>),
    System,
}

/// Resolves a token as of now. `late`: how long after its end it is still taken.
pub(crate) fn resolve(
    snapshot: &Snapshot,
    token: Arc<Token>,
    now: Timestamp,
    late: std::time::Duration,
) -> Result<Resolved> {
    if now >= token.expires.plus(late) || revoke::is_ended(snapshot, &token) {
        return Err(words::token_not_found());
    }
    let holder = enabled_user(snapshot, &token.user_id, token.revision)?;
    let app_cred = match &token.app_cred {
        Some(id) => Some(live_app_cred(snapshot, id, &token.user_id, now)?),
        None => None,
    };
    let trust = match &token.trust {
        Some(id) => Some(live_trust(snapshot, id, &token.user_id, now)?),
        None => None,
    };
    let scope = match &token.scope {
        TokenScope::Unscoped => ResolvedScope::Unscoped,
        TokenScope::System => ResolvedScope::System,
        TokenScope::Project(id) => {
            let (project, domain) = live_project(snapshot, id)?;
            if revoke::is_revoked(snapshot, token.revision, Of::Project(id))
                || revoke::is_revoked(snapshot, token.revision, Of::Domain(&domain.id))
            {
                return Err(words::token_not_found());
            }
            ResolvedScope::Project { project, domain }
        }
        TokenScope::Domain(id) => {
            if revoke::is_revoked(snapshot, token.revision, Of::Domain(id)) {
                return Err(words::token_not_found());
            }
            ResolvedScope::Domain(live_domain(snapshot, id)?)
        }
    };
    let roles = roles(snapshot, &token, app_cred.as_ref(), trust.as_ref());
    if roles.is_empty() && token.scope != TokenScope::Unscoped {
        return Err(words::token_not_found());
    }
    // Who uses a trust with impersonation acts as the one who gave it.
    let (user, user_domain) = match &trust {
        Some(trust) => {
            let trustor = enabled_user(snapshot, &trust.trustor_id, token.revision)?;
            if trust.impersonation { trustor } else { holder }
        }
        None => holder,
    };
    let password_expires = snapshot.get::<Password>(&user.id).and_then(|p| p.expires);
    Ok(Resolved { token, user, user_domain, password_expires, scope, roles, app_cred, trust })
}

fn enabled_user(
    snapshot: &Snapshot,
    id: &str,
    revision: u64,
) -> Result<(Entry<User>, Entry<Project>)> {
    let user = snapshot.get::<User>(id).filter(|user| user.enabled);
    let user = user.ok_or_else(words::token_not_found)?;
    let domain = live_domain(snapshot, &user.domain_id)?;
    if revoke::is_revoked(snapshot, revision, Of::User(id))
        || revoke::is_revoked(snapshot, revision, Of::Domain(&domain.id))
    {
        return Err(words::token_not_found());
    }
    Ok((user, domain))
}

/// The domain, if it is there and enabled.
pub(crate) fn live_domain(snapshot: &Snapshot, id: &str) -> Result<Entry<Project>> {
    let domain = snapshot.get::<Project>(id).filter(|d| d.is_domain() && d.enabled);
    domain.ok_or_else(words::token_not_found)
}

/// The project and its domain, if both are there and enabled.
pub(crate) fn live_project(
    snapshot: &Snapshot,
    id: &str,
) -> Result<(Entry<Project>, Entry<Project>)> {
    let project = snapshot.get::<Project>(id).filter(|p| p.enabled);
    let project = project.ok_or_else(words::token_not_found)?;
    let domain_id = project.domain_id.as_deref().ok_or_else(words::token_not_found)?;
    let domain = live_domain(snapshot, domain_id)?;
    Ok((project, domain))
}

fn live_app_cred(
    snapshot: &Snapshot,
    id: &str,
    user_id: &str,
    now: Timestamp,
) -> Result<Entry<AppCred>> {
    let app_cred = snapshot.get::<AppCred>(id).filter(|app_cred| {
        app_cred.user_id == user_id && app_cred.expires.is_none_or(|end| now < end)
    });
    app_cred.ok_or_else(words::token_not_found)
}

fn live_trust(
    snapshot: &Snapshot,
    id: &str,
    user_id: &str,
    now: Timestamp,
) -> Result<Entry<Trust>> {
    let trust = snapshot
        .get::<Trust>(id)
        .filter(|trust| trust.trustee_id == user_id && trust.expires.is_none_or(|end| now < end));
    trust.ok_or_else(words::token_not_found)
}

/// The roles that a token carries now.
pub(crate) fn roles(
    snapshot: &Snapshot,
    token: &Token,
    app_cred: Option<&Entry<AppCred>>,
    trust: Option<&Entry<Trust>>,
) -> Vec<NamedRole> {
    let whose = trust.map_or(token.user_id.as_str(), |trust| &trust.trustor_id);
    let direct = match &token.scope {
        TokenScope::Unscoped => return Vec::new(),
        TokenScope::Project(id) => effective::in_project(snapshot, whose, id),
        TokenScope::Domain(id) => effective::in_domain(snapshot, whose, id),
        TokenScope::System => effective::in_system(snapshot, whose),
    };
    let has = effective::with_implied(snapshot, direct);
    let carried = app_cred.map(|a| &a.roles).or(trust.map(|trust| &trust.roles));
    match carried {
        None => effective::named(snapshot, &has),
        Some(carried) => {
            // A trust is all or nothing: it is void once its giver has lost one of its roles.
            if trust.is_some() && !carried.iter().all(|role| has.contains(role)) {
                return Vec::new();
            }
            let carried = carried.iter().filter(|role| has.contains(*role)).cloned().collect();
            effective::named(snapshot, &effective::with_implied(snapshot, carried))
        }
    }
}

impl Resolved {
    /// As the other services see it.
    pub(crate) fn actor(&self) -> Actor {
        let (project, domain) = match &self.scope {
            ResolvedScope::Project { project, domain } => {
                let scope = ProjectScope {
                    id: project.id.to_string(),
                    name: project.name.clone(),
                    domain_id: domain.id.to_string(),
                    domain_name: domain.name.clone(),
                };
                (Some(scope), None)
            }
            ResolvedScope::Domain(domain) => {
                let scope = DomainScope { id: domain.id.to_string(), name: domain.name.clone() };
                (None, Some(scope))
            }
            ResolvedScope::Unscoped | ResolvedScope::System => (None, None),
        };
        let app_cred = self.app_cred.as_ref().map(|app_cred| ApplicationCredentialScope {
            id: app_cred.id.to_string(),
            unrestricted: app_cred.unrestricted,
        });
        Actor {
            user_id: self.user.id.to_string(),
            user_name: self.user.name.clone(),
            user_domain_id: self.user_domain.id.to_string(),
            user_domain_name: self.user_domain.name.clone(),
            project,
            domain,
            system: matches!(self.scope, ResolvedScope::System),
            roles: self.roles.iter().map(|role| role.name.clone()).collect(),
            is_admin: self.roles.iter().any(|role| role.name.eq_ignore_ascii_case("admin")),
            token_issued: Some(self.token.issued),
            token_expires: Some(self.token.expires),
            audit_ids: self.token.audit_ids(),
            methods: self.token.methods.names().into_iter().map(str::to_owned).collect(),
            application_credential: app_cred,
        }
    }
}
