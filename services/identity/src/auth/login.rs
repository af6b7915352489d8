//! From proofs to a token. The snapshot is taken before anything is checked, and the token carries its
//! revision: what changes meanwhile (a new password, a user disabled) ends the token by itself.

use std::{sync::Arc, time::Duration};

use base::{Result, Secret, Timestamp};
use serde_json::Value;
use state::{Entry, Snapshot};

use super::wire::{AppCredRef, Asked, AskedScope, DomainRef, Proof, UserRef};
use crate::{
    Identity,
    app_creds::{self, record::AppCred},
    assignments::effective,
    names,
    passwords::Purpose,
    projects::record::Project,
    tokens::{
        cache::Validated,
        format::{Methods, Token, TokenScope},
        resolve,
    },
    trusts::{self, record::Trust},
    users::record::User,
    words,
};

/// A token that was just made.
pub(crate) struct Issued {
    pub(crate) text: String,
    pub(crate) snapshot: Snapshot,
    pub(crate) validated: Arc<Validated>,
}

/// What the proofs together say.
#[derive(Default)]
struct Proven {
    user_id: String,
    methods: Methods,
    /// The end and the audit id of the token that it began with.
    from: Option<(Timestamp, [u8; 16])>,
    app_cred: Option<Entry<AppCred>>,
    system_only: bool,
}

impl Identity {
    /// Checks the proofs and makes a token.
    pub(crate) async fn log_in(&self, asked: Asked) -> Result<Issued> {
        let snapshot = self.state().fresh().await?;
        let mut proven = Proven::default();
        for proof in &asked.proofs {
            self.prove(&snapshot, proof, asked.scope.as_ref(), &mut proven).await?;
        }
        let user = snapshot.get::<User>(&proven.user_id).ok_or_else(words::unauthorized)?;
        check_factors(&user, proven.methods)?;
        let (scope, trust) = find_scope(&snapshot, &user, asked.scope, &proven)?;
        let token = self.token(&snapshot, &proven, scope, trust.as_ref())?;
        if let Some(trust) = &trust {
            trusts::check_use(&snapshot, trust, &token)?;
        }
        let text = self.seal_token(&snapshot, &token).await?;
        // The key may have been made just now.
        let snapshot = self.state().fresh().await?;
        let validated = self.validate(&snapshot, &text, Duration::ZERO);
        let validated = validated.map_err(|_| words::unauthorized())?;
        if let Some(trust) = &trust {
            trusts::actions::consume(self, &trust.id).await?;
        }
        Ok(Issued { text, snapshot, validated })
    }

    fn token(
        &self,
        snapshot: &Snapshot,
        proven: &Proven,
        scope: TokenScope,
        trust: Option<&Entry<Trust>>,
    ) -> Result<Token> {
        let now = self.world().wall();
        let end = match proven.from {
            Some((end, _)) => end,
            None => now.plus(self.config().token_lifetime),
        };
        let ends = [
            Some(end),
            proven.app_cred.as_ref().and_then(|app_cred| app_cred.expires),
            trust.and_then(|trust| trust.expires),
        ];
        Ok(Token {
            user_id: proven.user_id.clone(),
            scope,
            methods: proven.methods,
            issued: now,
            expires: ends.into_iter().flatten().min().unwrap_or(end),
            audit: self.world().random(),
            chain: proven.from.map(|(_, audit)| audit),
            revision: snapshot.revision().0,
            app_cred: proven.app_cred.as_ref().map(|app_cred| app_cred.id.to_string()),
            trust: trust.map(|trust| trust.id.to_string()),
        })
    }

    async fn prove(
        &self,
        snapshot: &Snapshot,
        proof: &Proof,
        scope: Option<&AskedScope>,
        proven: &mut Proven,
    ) -> Result<()> {
        let user_id = match proof {
            Proof::Password { user, password } => {
                let user = find_user(snapshot, user);
                self.check_password(snapshot, user.as_ref(), password, Purpose::LogIn).await?;
                let user = user.ok_or_else(words::unauthorized)?;
                resolve::live_domain(snapshot, &user.domain_id)
                    .map_err(|_| words::unauthorized())?;
                user.id.to_string()
            }
            Proof::Token { id } => self.prove_by_token(snapshot, id, scope, proven)?,
            Proof::AppCred { which, secret } => {
                self.prove_by_app_cred(snapshot, which, secret, proven).await?
            }
        };
        proven.methods = proven.methods.and(proof.method());
        if !proven.user_id.is_empty() && proven.user_id != user_id {
            return Err(words::unauthorized());
        }
        proven.user_id = user_id;
        Ok(())
    }

    fn prove_by_token(
        &self,
        snapshot: &Snapshot,
        text: &str,
        scope: Option<&AskedScope>,
        proven: &mut Proven,
    ) -> Result<String> {
        let validated = self.validate(snapshot, text, Duration::ZERO)?;
        let token = &validated.resolved.token;
        if token.trust.is_some() {
            return Err(words::forbidden());
        }
        let wants_less = matches!(
            scope,
            Some(AskedScope::ProjectId(_) | AskedScope::ProjectName(..) | AskedScope::Domain(_))
        );
        if token.scope == TokenScope::System && wants_less {
            return Err(words::forbidden());
        }
        proven.methods = proven.methods.and(token.methods);
        proven.from = Some((token.expires, token.chain.unwrap_or(token.audit)));
        proven.system_only = token.scope == TokenScope::System;
        proven.app_cred = validated.resolved.app_cred.clone();
        Ok(token.user_id.clone())
    }

    async fn prove_by_app_cred(
        &self,
        snapshot: &Snapshot,
        which: &AppCredRef,
        secret: &Secret,
        proven: &mut Proven,
    ) -> Result<String> {
        let app_cred = match which {
            AppCredRef::Id(id) => snapshot
                .get::<AppCred>(id)
                .ok_or_else(|| words::not_found("Application Credential", id))?,
            AppCredRef::Name(name, user) => find_user(snapshot, user)
                .and_then(|user| names::APP_CREDS.owner(snapshot, &user.id, name))
                .and_then(|id| snapshot.get::<AppCred>(&id))
                .ok_or_else(words::unauthorized)?,
        };
        let right = app_creds::secret::matches(self, &app_cred.secret, secret).await;
        let over = app_cred.expires.is_some_and(|end| end <= self.world().wall());
        if !right || over {
            return Err(words::unauthorized());
        }
        let user_id = app_cred.user_id.clone();
        proven.app_cred = Some(app_cred);
        Ok(user_id)
    }
}

/// A user's own rules about how many factors a log-in needs. Rules of methods that are not spoken here
/// do not count, so that nobody locks himself out.
fn check_factors(user: &User, methods: Methods) -> Result<()> {
    let rules = user.options.get("multi_factor_auth_rules").and_then(Value::as_array);
    let enabled = user.options.get("multi_factor_auth_enabled") != Some(&Value::Bool(false));
    let Some(rules) = rules.filter(|_| enabled) else { return Ok(()) };
    let spoken = Methods::PASSWORD.and(Methods::TOKEN).and(Methods::APPLICATION_CREDENTIAL).names();
    let given = methods.names();
    let mut any = false;
    for rule in rules.iter().filter_map(Value::as_array) {
        let mut wanted =
            rule.iter().filter_map(Value::as_str).filter(|m| spoken.contains(m)).peekable();
        if wanted.peek().is_none() {
            continue;
        }
        any = true;
        if wanted.all(|method| given.contains(&method)) {
            return Ok(());
        }
    }
    if any { Err(words::unauthorized()) } else { Ok(()) }
}

fn find_user(snapshot: &Snapshot, user: &UserRef) -> Option<Entry<User>> {
    match user {
        UserRef::Id(id) => snapshot.get::<User>(id),
        UserRef::Name(name, domain) => {
            let domain = find_domain(snapshot, domain)?;
            snapshot.get::<User>(&names::USERS.owner(snapshot, &domain.id, name)?)
        }
    }
}

fn find_domain(snapshot: &Snapshot, domain: &DomainRef) -> Option<Entry<Project>> {
    let domain = match domain {
        DomainRef::Id(id) => snapshot.get::<Project>(id),
        DomainRef::Name(name) => {
            snapshot.get::<Project>(&names::DOMAINS.owner(snapshot, "", name)?)
        }
    };
    domain.filter(|domain| domain.is_domain())
}

/// What the token is for: what was asked, what an application credential is for, or the user's default
/// project if it has a role there.
fn find_scope(
    snapshot: &Snapshot,
    user: &Entry<User>,
    asked: Option<AskedScope>,
    proven: &Proven,
) -> Result<(TokenScope, Option<Entry<Trust>>)> {
    let mut trust = None;
    let scope = match asked {
        Some(AskedScope::Unscoped) => TokenScope::Unscoped,
        Some(AskedScope::System) => TokenScope::System,
        Some(AskedScope::ProjectId(id)) => TokenScope::Project(id),
        Some(AskedScope::ProjectName(name, domain)) => {
            let domain = find_domain(snapshot, &domain).ok_or_else(words::unauthorized)?;
            let id = names::PROJECTS.owner(snapshot, &domain.id, &name);
            TokenScope::Project(id.ok_or_else(words::unauthorized)?)
        }
        Some(AskedScope::Domain(domain)) => {
            let domain = find_domain(snapshot, &domain).ok_or_else(words::unauthorized)?;
            TokenScope::Domain(domain.id.to_string())
        }
        Some(AskedScope::Trust(id)) => {
            let found = snapshot.get::<Trust>(&id).ok_or_else(words::unauthorized)?;
            let scope = match &found.project_id {
                Some(project) => TokenScope::Project(project.clone()),
                None => TokenScope::Unscoped,
            };
            trust = Some(found);
            scope
        }
        None => match &proven.app_cred {
            Some(app_cred) => TokenScope::Project(app_cred.project_id.clone()),
            None => default_scope(snapshot, user),
        },
    };
    match &scope {
        TokenScope::Project(id) => {
            resolve::live_project(snapshot, id).map_err(|_| words::unauthorized())?;
        }
        TokenScope::Domain(id) => {
            resolve::live_domain(snapshot, id).map_err(|_| words::unauthorized())?;
        }
        TokenScope::Unscoped | TokenScope::System => {}
    }
    if let Some(app_cred) = &proven.app_cred
        && scope != TokenScope::Project(app_cred.project_id.clone())
    {
        // What came from an application credential stays within its bounds.
        return Err(words::forbidden());
    }
    if proven.system_only && matches!(scope, TokenScope::Project(_) | TokenScope::Domain(_)) {
        return Ok((TokenScope::Unscoped, None));
    }
    Ok((scope, trust))
}

fn default_scope(snapshot: &Snapshot, user: &Entry<User>) -> TokenScope {
    let Some(project) = &user.default_project_id else { return TokenScope::Unscoped };
    let has_role = resolve::live_project(snapshot, project).is_ok()
        && !effective::named(
            snapshot,
            &effective::with_implied(snapshot, effective::in_project(snapshot, &user.id, project)),
        )
        .is_empty();
    if has_role { TokenScope::Project(project.clone()) } else { TokenScope::Unscoped }
}
