//! Keystone's default rules, as names that policies are put together from. "Cloud" rules are for tokens
//! of a project or of the system: a token of a domain does not reach beyond its domain.

use web::{Call, Policy, Target};

use crate::Identity;

/// What the policies of this service refer to.
pub(crate) const RULES: &[(&str, &str)] = &[
    ("admin_required", "role:admin"),
    ("service_role", "role:service"),
    ("owner", "user_id:%(user_id)s"),
    ("system_reader", "role:reader and system_scope:all"),
    // The target of every policy holds the actor's own project; paths with a project are checked by hand.
    ("outside_domains", "system_scope:all or project_id:%(project_id)s"),
    ("cloud_admin", "rule:admin_required and rule:outside_domains"),
    ("admin_or_system_reader", "rule:admin_required or rule:system_reader"),
    ("cloud_reader", "rule:admin_or_system_reader and rule:outside_domains"),
    (
        "domain_managed_target_role",
        "'manager':%(target.role.name)s or 'member':%(target.role.name)s or \
         'reader':%(target.role.name)s",
    ),
];

/// For who runs the cloud.
pub(crate) const CLOUD_ADMIN: &str = "rule:cloud_admin";
/// For who runs or watches the cloud.
pub(crate) const CLOUD_READER: &str = "rule:cloud_reader";

/// What every policy of this service is checked against at least: the actor's own user, project and domain.
pub(crate) fn own(call: &Call<Identity>) -> Target<'_> {
    call.own().with_some("actor.domain_id", call.actor.domain.as_ref().map(|d| d.id.as_str()))
}

/// A policy that the handler checks.
pub(crate) const fn checked(rules: &'static [(&'static str, &'static str)]) -> Policy {
    Policy::Checked(rules)
}
