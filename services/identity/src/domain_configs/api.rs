//! `/domains/{domain_id}/config` and `/domains/config/default`.

use base::{Error, Result};
use serde_json::{Map, Value, json};
use state::Txn;
use web::{Call, Card, Policy, Reply, Schema, validate::prop};

use super::{known, record::DomainConfig};
use crate::{
    Identity, domains,
    manners::inner,
    projects::record::Project,
    rules::{CLOUD_ADMIN, CLOUD_READER},
    words,
};

const CONFIG: Schema = Schema::object(&[prop("config", Schema::object(&[]).open()).required()]);
const ALL: &str = "/domains/{domain_id}/config";
const GROUP: &str = "/domains/{domain_id}/config/{group}";
const OPTION: &str = "/domains/{domain_id}/config/{group}/{option}";

pub(crate) fn cards() -> Vec<Card<Identity>> {
    let get = Policy::Rule("identity:get_domain_config", CLOUD_READER);
    let defaults = Policy::Rule("identity:get_domain_config_default", CLOUD_READER);
    let create = Policy::Rule("identity:create_domain_config", CLOUD_ADMIN);
    let change = Policy::Rule("identity:update_domain_config", CLOUD_ADMIN);
    let remove = Policy::Rule("identity:delete_domain_config", CLOUD_ADMIN);
    vec![
        Card::get("/domains/config/default", defaults, |call| show_defaults(call, "", "")),
        Card::get("/domains/config/{group}/default", defaults, |call| {
            let group = call.param("group").to_owned();
            async move { show_defaults(call, &group, "").await }
        }),
        Card::get("/domains/config/{group}/{option}/default", defaults, |call| {
            let (group, option) = (call.param("group").to_owned(), call.param("option").to_owned());
            async move { show_defaults(call, &group, &option).await }
        }),
        Card::put(ALL, create, replace),
        Card::get(ALL, get, |call| show(call, Depth::All)),
        Card::get(GROUP, get, |call| show(call, Depth::Group)),
        Card::get(OPTION, get, |call| show(call, Depth::Option)),
        Card::patch(ALL, change, |call| update(call, Depth::All)),
        Card::patch(GROUP, change, |call| update(call, Depth::Group)),
        Card::patch(OPTION, change, |call| update(call, Depth::Option)),
        Card::delete(ALL, remove, |call| delete(call, Depth::All)),
        Card::delete(GROUP, remove, |call| delete(call, Depth::Group)),
        Card::delete(OPTION, remove, |call| delete(call, Depth::Option)),
    ]
}

/// How much of the options the path names.
#[derive(Clone, Copy, PartialEq)]
enum Depth {
    All,
    Group,
    Option,
}

fn invalid(reason: impl std::fmt::Display) -> Error {
    words::refused(format!("Invalid domain specific configuration: {reason}."))
}

fn check_known(group: &str, option: Option<&str>) -> Result<bool> {
    if !known::has_group(group) {
        return Err(invalid(format!(
            "Group {group} is not supported for domain specific configurations"
        )));
    }
    let Some(option) = option else { return Ok(false) };
    let found = known::all().into_iter().find(|k| k.group == group && k.name == option);
    found.map(|known| known.secret).ok_or_else(|| {
        invalid(format!(
            "Option {option} in group {group} is not supported for domain specific configurations"
        ))
    })
}

async fn show_defaults(_call: Call<Identity>, group: &str, option: &str) -> Result<Reply> {
    if !group.is_empty() {
        check_known(group, (!option.is_empty()).then_some(option))?;
    }
    let mut groups = Map::new();
    for known in known::all().into_iter().filter(|known| !known.secret) {
        if known.group == group && known.name == option {
            return Ok(Reply::ok(json!({"config": {option: known.default}})));
        }
        if group.is_empty() || known.group == group {
            let entry = groups.entry(known.group).or_insert_with(|| json!({}));
            entry[known.name] = known.default;
        }
    }
    Ok(Reply::ok(json!({"config": groups})))
}

/// The group and option in the path, as far as it names them.
fn path(call: &Call<Identity>, depth: Depth) -> Result<(Option<String>, Option<String>)> {
    let group = (depth != Depth::All).then(|| call.param("group").to_owned());
    let option = (depth == Depth::Option).then(|| call.param("option").to_owned());
    if let Some(group) = &group {
        check_known(group, option.as_deref())?;
    }
    Ok((group, option))
}

fn missing(domain: &str, group: Option<&str>, option: Option<&str>) -> Error {
    let what = match (group, option) {
        (Some(group), Some(option)) => format!("option {option} in group {group}"),
        (Some(group), None) => format!("group {group}"),
        _ => "any options".to_owned(),
    };
    Error::not_found(format!("Could not find {what} in domain configuration for domain {domain}."))
}

/// The part of the options that is asked for; none: there is nothing.
fn part(config: &DomainConfig, group: Option<&str>, option: Option<&str>) -> Option<Value> {
    match (group, option) {
        (Some(group), Some(option)) => {
            let value = config.groups.get(group)?.get(option)?;
            Some(json!({option: value}))
        }
        (Some(group), None) => Some(json!({group: config.groups.get(group)?})),
        _ if config.groups.is_empty() => None,
        _ => Some(json!(config.groups)),
    }
}

async fn find_domain(call: &Call<Identity>) -> Result<String> {
    let snapshot = call.context.state().fresh().await?;
    let id = call.param("domain_id");
    domains::find(&snapshot, id).ok_or_else(|| words::not_found("domain", id))?;
    Ok(id.to_owned())
}

async fn show(call: Call<Identity>, depth: Depth) -> Result<Reply> {
    let domain = find_domain(&call).await?;
    let (group, option) = path(&call, depth)?;
    let snapshot = call.context.state().fresh().await?;
    let config = snapshot.get::<DomainConfig>(&domain);
    let found = config.and_then(|c| part(&c, group.as_deref(), option.as_deref()));
    let found = found.ok_or_else(|| missing(&domain, group.as_deref(), option.as_deref()))?;
    Ok(Reply::ok(json!({"config": found})))
}

/// What a body asks for, checked: (group, option, value) each, secrets sealed.
struct Wanted(Vec<(String, String, Kept)>);

#[derive(Clone)]
enum Kept {
    Shown(Value),
    Sealed(String),
}

fn wanted(
    call: &Call<Identity>,
    domain: &str,
    body: Map<String, Value>,
    group: Option<&str>,
    option: Option<&str>,
) -> Result<Wanted> {
    let mut groups = body;
    if let (Some(group), Some(_)) = (group, option) {
        // Only the option itself stands in such a body.
        groups = Map::from_iter([(group.to_owned(), Value::Object(groups))]);
    }
    if groups.is_empty() {
        return Err(invalid("No options specified"));
    }
    let mut wanted = Vec::new();
    for (name, options) in groups {
        if group.is_some_and(|group| group != name) {
            return Err(invalid(format!(
                "Trying to update group {}, so that, and only that, group must be specified in the config",
                group.unwrap_or_default()
            )));
        }
        let Value::Object(options) = options else {
            return Err(not_a_dictionary(&name));
        };
        if options.is_empty() {
            return Err(not_a_dictionary(&name));
        }
        for (key, value) in options {
            if option.is_some_and(|option| option != key) {
                return Err(invalid(format!(
                    "Trying to update option {} in group {name}, so that, and only that, option must be specified in the config",
                    option.unwrap_or_default()
                )));
            }
            let kept = match check_known(&name, Some(&key))? {
                false => Kept::Shown(value),
                true => {
                    let place = format!("identity.domain_configs/{domain}");
                    let field = format!("{name}.{key}");
                    let text = value.to_string();
                    Kept::Sealed(call.context.sealer().seal(&place, &field, text.as_bytes())?)
                }
            };
            wanted.push((name.clone(), key, kept));
        }
    }
    Ok(Wanted(wanted))
}

fn not_a_dictionary(group: &str) -> Error {
    invalid(format!(
        "The value of group {group} specified in the config should be a dictionary of options"
    ))
}

fn write(txn: &mut Txn, domain: &str, mut config: DomainConfig, wanted: &Wanted) -> Result<()> {
    if txn.alive::<Project>(domain)?.is_none() {
        return Err(words::not_found("domain", domain));
    }
    for (group, option, kept) in &wanted.0 {
        match kept.clone() {
            Kept::Shown(value) => {
                config.groups.entry(group.clone()).or_default().insert(option.clone(), value);
            }
            Kept::Sealed(text) => {
                config.sealed.entry(group.clone()).or_default().insert(option.clone(), text);
            }
        }
    }
    txn.put(domain, config)
}

async fn replace(call: Call<Identity>) -> Result<Reply> {
    let domain = find_domain(&call).await?;
    let body = inner(call.input(&CONFIG)?, "config");
    let wanted = wanted(&call, &domain, body, None, None)?;
    let owned = domain.clone();
    let (there, config) = call
        .context
        .state()
        .transact("domain_configs::replace", move |txn| {
            let there = txn.get::<DomainConfig>(&owned)?.is_some();
            write(txn, &owned, DomainConfig::default(), &wanted)?;
            Ok((there, txn.peek::<DomainConfig>(&owned)?))
        })
        .await?;
    let shown = config.and_then(|c| part(&c, None, None)).unwrap_or_else(|| json!({}));
    Ok(Reply::json(if there { 200 } else { 201 }, json!({"config": shown})))
}

async fn update(call: Call<Identity>, depth: Depth) -> Result<Reply> {
    let domain = find_domain(&call).await?;
    let (group, option) = path(&call, depth)?;
    let body = inner(call.input(&CONFIG)?, "config");
    let wanted = wanted(&call, &domain, body, group.as_deref(), option.as_deref())?;
    let owned = domain.clone();
    let config = call
        .context
        .state()
        .transact("domain_configs::update", move |txn| {
            let old = txn.get::<DomainConfig>(&owned)?;
            // Only what is there is changed.
            let there = old.as_ref().is_some_and(|old| {
                let (group, option) = (group.as_deref(), option.as_deref());
                let sealed = group.and_then(|g| old.sealed.get(g));
                part(old, group, option).is_some()
                    || sealed.is_some_and(|s| option.is_none_or(|o| s.contains_key(o)))
            });
            let Some(old) = old.filter(|_| there) else {
                return Err(missing(&owned, group.as_deref(), option.as_deref()));
            };
            write(txn, &owned, DomainConfig::clone(&old), &wanted)?;
            txn.peek::<DomainConfig>(&owned)
        })
        .await?;
    // The whole, whatever part was changed.
    let shown = config.and_then(|c| part(&c, None, None)).unwrap_or_else(|| json!({}));
    Ok(Reply::ok(json!({"config": shown})))
}

async fn delete(call: Call<Identity>, depth: Depth) -> Result<Reply> {
    let domain = find_domain(&call).await?;
    let (group, option) = path(&call, depth)?;
    let owned = domain.clone();
    call.context
        .state()
        .transact("domain_configs::delete", move |txn| {
            let missing = || missing(&owned, group.as_deref(), option.as_deref());
            let old = txn.get::<DomainConfig>(&owned)?.ok_or_else(missing)?;
            let mut new = DomainConfig::clone(&old);
            match (&group, &option) {
                (Some(group), Some(option)) => {
                    if let Some(options) = new.groups.get_mut(group) {
                        options.remove(option);
                    }
                    if let Some(options) = new.sealed.get_mut(group) {
                        options.remove(option);
                    }
                    new.groups.retain(|_, options| !options.is_empty());
                    new.sealed.retain(|_, options| !options.is_empty());
                }
                (Some(group), None) => {
                    new.groups.remove(group);
                    new.sealed.remove(group);
                }
                _ => new = DomainConfig::default(),
            }
            if new == *old {
                return Err(missing());
            }
            if new == DomainConfig::default() {
                txn.delete::<DomainConfig>(&owned)?;
                return Ok(());
            }
            txn.put(&owned, new)
        })
        .await?;
    Ok(Reply::empty(204))
}
