//! `/users/{user_id}/access_rules`.

use base::Result;
use serde_json::Value;
use web::{Call, Card, Policy, Reply};

use super::{actions, api::allow, record::AccessRule, wire};
use crate::{Identity, manners, rules::checked, words};

const ALL: &str = "/users/{user_id}/access_rules";
const ONE: &str = "/users/{user_id}/access_rules/{access_rule_id}";

pub(crate) fn cards() -> Vec<Card<Identity>> {
    const READ: &str = "rule:system_reader or user_id:%(target.user.id)s";
    const CHANGE: &str = "(role:admin and system_scope:all) or user_id:%(target.user.id)s";
    const GET: Policy = checked(&[("identity:get_access_rule", READ)]);
    const LIST: Policy = checked(&[("identity:list_access_rules", READ)]);
    const DELETE: Policy = checked(&[("identity:delete_access_rule", CHANGE)]);
    vec![Card::get(ALL, LIST, list), Card::get(ONE, GET, show), Card::delete(ONE, DELETE, delete)]
}

async fn list(call: Call<Identity>) -> Result<Reply> {
    allow(&call, "identity:list_access_rules")?;
    let snapshot = call.context.state().fresh().await?;
    let user_id = call.param("user_id");
    let found = snapshot.by::<AccessRule>("user", user_id);
    let items: Vec<Value> = found.iter().map(|rule| wire::show_rule(&rule.id, rule)).collect();
    let collection = format!("users/{user_id}/access_rules");
    manners::list(&call, &collection, items, &["service", "path", "method"])
}

async fn show(call: Call<Identity>) -> Result<Reply> {
    allow(&call, "identity:get_access_rule")?;
    let snapshot = call.context.state().fresh().await?;
    let (user_id, id) = (call.param("user_id"), call.param("access_rule_id"));
    let rule = snapshot.find::<AccessRule>(id)?.filter(|rule| rule.user_id == user_id);
    let rule = rule.ok_or_else(|| words::not_found("Access Rule", id))?;
    let shown = wire::show_rule(&rule.id, &rule);
    let collection = format!("users/{user_id}/access_rules");
    Ok(Reply::ok(manners::member(&call, &collection, "access_rule", shown)))
}

async fn delete(call: Call<Identity>) -> Result<Reply> {
    allow(&call, "identity:delete_access_rule")?;
    let (user_id, id) = (call.param("user_id").to_owned(), call.param("access_rule_id").to_owned());
    let missing = words::not_found("Access Rule", &id);
    let gone = call
        .context
        .state()
        .transact("app_creds::delete_rule", move |txn| actions::remove_rule(txn, &user_id, &id))
        .await?;
    if gone { Ok(Reply::empty(204)) } else { Err(missing) }
}
