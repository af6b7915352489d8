//! The options that a domain may have, with their defaults.

use serde_json::{Value, json};

/// An option: its group, its name, and whether it may be shown.
pub(crate) struct Known {
    pub(crate) group: &'static str,
    pub(crate) name: &'static str,
    pub(crate) secret: bool,
    pub(crate) default: Value,
}

/// Whether there is such a group.
pub(crate) fn has_group(group: &str) -> bool {
    matches!(group, "identity" | "ldap")
}

/// All of them.
pub(crate) fn all() -> Vec<Known> {
    let identity = [("driver", json!("sql")), ("list_limit", Value::Null)];
    let ldap = [
        ("url", json!("ldap://localhost")),
        ("user", Value::Null),
        ("suffix", json!("cn=example,cn=com")),
        ("query_scope", json!("one")),
        ("page_size", json!(0)),
        ("alias_dereferencing", json!("default")),
        ("debug_level", Value::Null),
        ("chase_referrals", Value::Null),
        ("user_tree_dn", Value::Null),
        ("user_filter", Value::Null),
        ("user_objectclass", json!("inetOrgPerson")),
        ("user_id_attribute", json!("cn")),
        ("user_name_attribute", json!("sn")),
        ("user_mail_attribute", json!("mail")),
        ("user_description_attribute", json!("description")),
        ("user_pass_attribute", json!("userPassword")),
        ("user_enabled_attribute", json!("enabled")),
        ("user_enabled_invert", json!(false)),
        ("user_enabled_mask", json!(0)),
        ("user_enabled_default", json!("True")),
        ("user_attribute_ignore", json!(["default_project_id"])),
        ("user_default_project_id_attribute", Value::Null),
        ("user_enabled_emulation", json!(false)),
        ("user_enabled_emulation_dn", Value::Null),
        ("user_enabled_emulation_use_group_config", json!(false)),
        ("user_additional_attribute_mapping", json!([])),
        ("group_tree_dn", Value::Null),
        ("group_filter", Value::Null),
        ("group_objectclass", json!("groupOfNames")),
        ("group_id_attribute", json!("cn")),
        ("group_name_attribute", json!("ou")),
        ("group_members_are_ids", json!(false)),
        ("group_member_attribute", json!("member")),
        ("group_desc_attribute", json!("description")),
        ("group_attribute_ignore", json!([])),
        ("group_additional_attribute_mapping", json!([])),
        ("tls_cacertfile", Value::Null),
        ("tls_cacertdir", Value::Null),
        ("use_tls", json!(false)),
        ("tls_req_cert", json!("demand")),
        ("use_pool", json!(true)),
        ("pool_size", json!(10)),
        ("pool_retry_max", json!(3)),
        ("pool_retry_delay", json!(0.1)),
        ("pool_connection_timeout", json!(-1)),
        ("pool_connection_lifetime", json!(600)),
        ("use_auth_pool", json!(true)),
        ("auth_pool_size", json!(100)),
        ("auth_pool_connection_lifetime", json!(60)),
    ];
    let shown = |group| move |(name, default)| Known { group, name, secret: false, default };
    let mut all: Vec<Known> = identity.into_iter().map(shown("identity")).collect();
    all.extend(ldap.into_iter().map(shown("ldap")));
    all.push(Known { group: "ldap", name: "password", secret: true, default: Value::Null });
    all
}
