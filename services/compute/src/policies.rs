//! Nova's default rules: the personas that every room's policies are written in.

use web::Target;

/// Rules that the rooms' own refer to.
pub(crate) const RULES: &[(&str, &str)] = &[
    ("context_is_admin", "role:admin"),
    ("admin_or_owner", "is_admin:True or project_id:%(project_id)s"),
    ("admin_api", "is_admin:True"),
    ("project_manager_api", "role:manager and project_id:%(project_id)s"),
    ("project_member_api", "role:member and project_id:%(project_id)s"),
    ("project_reader_api", "role:reader and project_id:%(project_id)s"),
    ("service_api", "role:service"),
    ("project_manager_or_admin", "rule:project_manager_api or rule:context_is_admin"),
    ("project_member_or_admin", "rule:project_member_api or rule:context_is_admin"),
    ("project_reader_or_admin", "rule:project_reader_api or rule:context_is_admin"),
    ("service_or_admin", "rule:service_api or rule:context_is_admin"),
];

/// Administrators.
pub(crate) const ADMIN: &str = "rule:context_is_admin";
/// Managers of the project, and administrators.
pub(crate) const MANAGER: &str = "rule:project_manager_or_admin";
/// Members of the project, and administrators.
pub(crate) const MEMBER: &str = "rule:project_member_or_admin";
/// Readers of the project, and administrators.
pub(crate) const READER: &str = "rule:project_reader_or_admin";
/// Anybody with a token.
pub(crate) const ANY: &str = "@";

/// A thing of this project and user, as rules see it.
pub(crate) fn owned<'t>(project_id: &'t str, user_id: &'t str) -> Target<'t> {
    Target::owned(project_id, user_id)
}
