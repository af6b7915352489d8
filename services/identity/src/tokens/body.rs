//! A token as `POST` and `GET /auth/tokens` show it.

use base::Timestamp;
use serde_json::{Value, json};
use state::{Entry, Snapshot};
use web::BaseUrl;

use super::resolve::{Resolved, ResolvedScope};
use crate::{app_creds, catalog::render, projects::record::Project, trusts::record::Trust};

/// Renders `{"token": ...}`.
pub(crate) fn render(
    snapshot: &Snapshot,
    resolved: &Resolved,
    with_catalog: bool,
    base: &BaseUrl,
) -> Value {
    let token = &resolved.token;
    let mut body = json!({
        "methods": token.methods.names(),
        "user": {
            "domain": named(&resolved.user_domain),
            "id": &*resolved.user.id,
            "name": resolved.user.name,
            "password_expires_at": resolved.password_expires.map(Timestamp::iso_micros_zoneless),
        },
        "audit_ids": token.audit_ids(),
        "expires_at": token.expires.iso_micros(),
        "issued_at": token.issued.iso_micros(),
    });
    let mut project_id = None;
    match &resolved.scope {
        ResolvedScope::Unscoped => {}
        ResolvedScope::System => body["system"] = json!({"all": true}),
        ResolvedScope::Domain(domain) => body["domain"] = named(domain),
        ResolvedScope::Project { project, domain } => {
            body["project"] = json!({
                "domain": named(domain),
                "id": &*project.id,
                "name": project.name,
            });
            if resolved.trust.is_none() {
                body["is_domain"] = json!(false);
            }
            project_id = Some(&*project.id);
        }
    }
    if let Some(trust) = &resolved.trust {
        body["OS-TRUST:trust"] = trust_part(trust);
    }
    if !matches!(resolved.scope, ResolvedScope::Unscoped) {
        let roles = resolved.roles.iter().map(|role| json!({"id": role.id, "name": role.name}));
        body["roles"] = Value::Array(roles.collect());
        if with_catalog {
            let user_id = resolved.trust.as_ref().map_or(&*resolved.user.id, |t| &t.trustor_id);
            body["catalog"] = render::catalog(snapshot, base, user_id, project_id);
        }
    }
    if let Some(app_cred) = &resolved.app_cred {
        let mut part = json!({
            "id": &*app_cred.id,
            "name": app_cred.name,
            "restricted": !app_cred.unrestricted,
        });
        if let Some(rules) = &app_cred.access_rules {
            part["access_rules"] = app_creds::wire::rules(snapshot, rules);
        }
        body["application_credential"] = part;
    }
    json!({"token": body})
}

fn named(domain: &Entry<Project>) -> Value {
    json!({"id": &*domain.id, "name": domain.name})
}

fn trust_part(trust: &Entry<Trust>) -> Value {
    json!({
        "id": &*trust.id,
        "trustor_user": {"id": trust.trustor_id},
        "trustee_user": {"id": trust.trustee_id},
        "impersonation": trust.impersonation,
    })
}
