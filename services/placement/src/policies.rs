//! Rules that the rooms' policies refer to: Placement's own defaults.

/// Who may do nearly everything.
pub(crate) const ADMIN_OR_SERVICE: &str = "rule:admin_or_service_api";
/// Who may reshape.
pub(crate) const SERVICE: &str = "rule:service_api";
/// Who may see what a project uses.
pub(crate) const READER: &str = "rule:admin_or_project_reader_or_service_api";

/// The rules behind these names.
pub(crate) const RULES: &[(&str, &str)] = &[
    ("admin_api", "role:admin"),
    ("service_api", "role:service"),
    ("admin_or_service_api", "role:admin or role:service"),
    ("project_reader_api", "role:reader and project_id:%(project_id)s"),
    (
        "admin_or_project_reader_or_service_api",
        "role:admin or rule:project_reader_api or role:service",
    ),
];
