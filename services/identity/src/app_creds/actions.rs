//! What can be done to application credentials and access rules. Each is one transaction.

use base::{Error, Result};
use sha2::{Digest, Sha256};
use state::{Scope, Txn};

use super::record::{AccessRule, AppCred};
use crate::{
    assignments::effective, names, projects::record::Project, roles::record::Role,
    users::record::User, words,
};

/// The parent of an edge: what credentials that use a rule hang on.
fn node(rule_id: &str) -> String {
    format!("identity.access-rule.{rule_id}")
}

/// The id of a rule: the same for the same rule of the same user.
pub(crate) fn rule_id(rule: &AccessRule) -> String {
    let mut hash = Sha256::new();
    for part in [&rule.user_id, &rule.service, &rule.path, &rule.method] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Makes a credential; rules that are new are made too. `rules`: rules by what they say, or by id.
pub(crate) fn create(
    txn: &mut Txn,
    id: &str,
    mut app_cred: AppCred,
    rules: Option<&[RuleRef]>,
) -> Result<()> {
    let user_id = app_cred.user_id.clone();
    if txn.alive::<User>(&user_id)?.is_none() {
        return Err(words::not_found("user", &user_id));
    }
    if txn.alive::<Project>(&app_cred.project_id)?.is_none() {
        return Err(words::not_found("project", &app_cred.project_id));
    }
    // A role lost meanwhile is lost at each use of the credential too.
    let has = effective::in_project(txn.snapshot(), &user_id, &app_cred.project_id);
    let has = effective::with_implied(txn.snapshot(), has);
    for role in &app_cred.roles {
        if txn.alive::<Role>(role)?.is_none() || !has.contains(role) {
            return Err(Error::bad_request(
                "Invalid application credential: Cannot create an application credential with \
                 unassigned role",
            ));
        }
    }
    if !names::APP_CREDS.take(txn, &user_id, &app_cred.name, id) {
        return Err(words::conflict(
            "application_credential",
            format!("Duplicate entry found with name {}", app_cred.name),
        ));
    }
    if let Some(rules) = rules {
        let mut ids = Vec::new();
        for rule in rules {
            let rule_id = ensure_rule(txn, &user_id, rule)?;
            txn.link(Scope::Global, &node(&rule_id), id);
            ids.push(rule_id);
        }
        app_cred.access_rules = Some(ids);
    }
    txn.create(id, app_cred)
}

/// A rule that a credential is to have.
#[derive(Clone, Debug)]
pub(crate) enum RuleRef {
    Id(String),
    New(AccessRule),
}

fn ensure_rule(txn: &mut Txn, user_id: &str, rule: &RuleRef) -> Result<String> {
    match rule {
        RuleRef::Id(id) => {
            let found = txn.alive::<AccessRule>(id)?.filter(|rule| rule.user_id == user_id);
            found.ok_or_else(|| words::not_found("Access Rule", id))?;
            Ok(id.clone())
        }
        RuleRef::New(rule) => {
            let id = rule_id(rule);
            if txn.alive::<AccessRule>(&id)?.is_none() {
                txn.create(&id, rule.clone())?;
            }
            Ok(id)
        }
    }
}

/// Deletes a credential; false when there is none.
pub(crate) fn remove(txn: &mut Txn, id: &str) -> Result<bool> {
    let Some(app_cred) = txn.get::<AppCred>(id)? else { return Ok(false) };
    names::APP_CREDS.release(txn, &app_cred.user_id, &app_cred.name, id);
    for rule in app_cred.access_rules.iter().flatten() {
        txn.unlink(Scope::Global, &node(rule), id);
    }
    txn.delete::<AppCred>(id)
}

/// Deletes a rule that no credential uses; false when there is none.
pub(crate) fn remove_rule(txn: &mut Txn, user_id: &str, id: &str) -> Result<bool> {
    let Some(rule) = txn.get::<AccessRule>(id)? else { return Ok(false) };
    if rule.user_id != user_id {
        return Ok(false);
    }
    if !txn.childless(Scope::Global, &node(id)) {
        return Err(words::refused(
            "Could not delete the access rule: it is still used by an application credential.",
        ));
    }
    txn.delete::<AccessRule>(id)
}
