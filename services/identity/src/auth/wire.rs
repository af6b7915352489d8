//! The body of `POST /auth/tokens`: how somebody proves who it is, and what it asks a token for.

use base::{Error, Result, Secret};
use serde_json::{Map, Value};
use web::{
    Microversion,
    validate::{self, Schema, Style, prop},
};

use crate::{tokens::format::Methods, words};

const TEXT: Schema = Schema::string();
const DOMAIN: Schema = Schema::object(&[prop("id", TEXT), prop("name", TEXT)]).open();
const USER: Schema = Schema::object(&[
    prop("id", TEXT),
    prop("name", TEXT),
    prop("password", TEXT),
    prop("domain", DOMAIN),
])
.open();
const METHOD: Schema = TEXT;
const IDENTITY: Schema = Schema::object(&[
    prop("methods", Schema::array(&METHOD)).required(),
    prop("password", Schema::object(&[prop("user", USER)]).open()),
    prop("token", Schema::object(&[prop("id", TEXT).required()]).open()),
    prop(
        "application_credential",
        Schema::object(&[
            prop("id", TEXT),
            prop("name", TEXT),
            prop("secret", TEXT),
            prop("user", USER),
        ])
        .open(),
    ),
])
.open();
const SCOPE: Schema = Schema::object(&[
    prop(
        "project",
        Schema::object(&[prop("name", TEXT), prop("id", TEXT), prop("domain", DOMAIN)]).open(),
    ),
    prop("domain", DOMAIN),
    prop("OS-TRUST:trust", Schema::object(&[prop("id", TEXT)]).open()),
    prop("system", Schema::object(&[prop("all", Schema::boolean())]).open()),
])
.open();
const AUTH: Schema = Schema::object(&[prop("identity", IDENTITY).required()]).open();

/// What somebody sent to get a token.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) proofs: Vec<Proof>,
    pub(crate) scope: Option<AskedScope>,
}

/// One proof.
#[derive(Debug)]
pub(crate) enum Proof {
    Password { user: UserRef, password: Secret },
    Token { id: String },
    AppCred { which: AppCredRef, secret: Secret },
}

#[derive(Debug)]
pub(crate) enum AppCredRef {
    Id(String),
    Name(String, UserRef),
}

/// A user by its id, or by its name in a domain.
#[derive(Debug)]
pub(crate) enum UserRef {
    Id(String),
    Name(String, DomainRef),
}

#[derive(Debug)]
pub(crate) enum DomainRef {
    Id(String),
    Name(String),
}

#[derive(Debug)]
pub(crate) enum AskedScope {
    Unscoped,
    System,
    ProjectId(String),
    ProjectName(String, DomainRef),
    Domain(DomainRef),
    Trust(String),
}

/// Reads the body.
pub(crate) fn parse(body: &Value) -> Result<Asked> {
    let auth = match body.get("auth") {
        None | Some(Value::Null) => return Err(words::expecting("auth", "request body")),
        Some(auth) => auth,
    };
    validate::check(&AUTH, auth, Microversion::default(), Style::Keystone)?;
    let scope = auth.get("scope");
    if let Some(scope) = scope
        && !scope.is_string()
    {
        let holder = Value::Object(Map::from_iter([("scope".to_owned(), scope.clone())]));
        const HOLDER: Schema = Schema::object(&[prop("scope", SCOPE)]);
        validate::check(&HOLDER, &holder, Microversion::default(), Style::Keystone)?;
    }
    let empty = Value::Null;
    let identity = auth.get("identity").unwrap_or(&empty);
    let mut methods: Vec<&str> = Vec::new();
    for method in identity.get("methods").and_then(Value::as_array).into_iter().flatten() {
        let method = method.as_str().unwrap_or_default();
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    if let Some(missing) = methods.iter().find(|method| identity.get(**method).is_none()) {
        return Err(words::expecting(missing, "identity"));
    }
    let mut proofs = Vec::new();
    for method in &methods {
        let payload = identity.get(*method).unwrap_or(&empty);
        proofs.push(match *method {
            "password" => Proof::Password {
                user: user(payload, "password")?,
                password: secret(payload.pointer("/user/password")),
            },
            "token" => Proof::Token { id: text(payload, "id").unwrap_or_default().to_owned() },
            "application_credential" => app_cred(payload)?,
            _ => return Err(words::unauthorized()),
        });
    }
    if proofs.is_empty() {
        return Err(words::unauthorized());
    }
    let scope = match scope {
        None => None,
        Some(scope) => Some(parse_scope(scope)?),
    };
    if scope.is_some() && methods.contains(&"application_credential") {
        // They bring their own.
        return Err(words::unauthorized());
    }
    Ok(Asked { proofs, scope })
}

fn app_cred(payload: &Value) -> Result<Proof> {
    let which = match (text(payload, "id"), text(payload, "name")) {
        (Some(id), _) => AppCredRef::Id(id.to_owned()),
        (None, Some(name)) => {
            AppCredRef::Name(name.to_owned(), user(payload, "application_credential")?)
        }
        (None, None) => return Err(words::expecting("id or name", "application credential")),
    };
    Ok(Proof::AppCred { which, secret: secret(payload.get("secret")) })
}

fn user(payload: &Value, method: &str) -> Result<UserRef> {
    let Some(user) = payload.get("user") else { return Err(words::expecting("user", method)) };
    match (text(user, "name"), text(user, "id")) {
        (Some(name), None) => match user.get("domain") {
            Some(domain) => {
                let domain = domain_ref(domain, "identity/password/user/domain")?;
                Ok(UserRef::Name(name.to_owned(), domain))
            }
            None => Err(words::expecting("domain", "user")),
        },
        (_, Some(id)) => Ok(UserRef::Id(id.to_owned())),
        (None, None) => Err(Error::bad_request(
            "Invalid input for field identity/password/user: id or name must be present.",
        )),
    }
}

fn domain_ref(domain: &Value, field: &str) -> Result<DomainRef> {
    match (text(domain, "name"), text(domain, "id")) {
        (Some(name), _) => Ok(DomainRef::Name(name.to_owned())),
        (None, Some(id)) => Ok(DomainRef::Id(id.to_owned())),
        (None, None) => Err(Error::bad_request(format!(
            "Invalid input for field {field}: id or name must be present."
        ))),
    }
}

fn parse_scope(scope: &Value) -> Result<AskedScope> {
    if scope == "unscoped" {
        return Ok(AskedScope::Unscoped);
    }
    let kinds = ["system", "project", "domain", "OS-TRUST:trust", "unscoped"];
    let mut given = kinds.iter().filter_map(|kind| scope.get(*kind).map(|value| (*kind, value)));
    let (Some((kind, value)), None) = (given.next(), given.next()) else {
        return Err(words::expecting(
            "system, project, domain, OS-TRUST:trust or unscoped",
            "scope",
        ));
    };
    Ok(match kind {
        "system" => AskedScope::System,
        "unscoped" => AskedScope::Unscoped,
        "domain" => AskedScope::Domain(domain_ref(value, "scope/domain")?),
        "project" => match (text(value, "name"), text(value, "id")) {
            (Some(name), _) => match value.get("domain") {
                Some(domain) => AskedScope::ProjectName(
                    name.to_owned(),
                    domain_ref(domain, "scope/project/domain")?,
                ),
                None => return Err(words::expecting("domain", "project")),
            },
            (None, Some(id)) => AskedScope::ProjectId(id.to_owned()),
            (None, None) => {
                return Err(Error::bad_request(
                    "Invalid input for field scope/project: id or name must be present.",
                ));
            }
        },
        _ => match text(value, "id") {
            Some(id) => AskedScope::Trust(id.to_owned()),
            None => return Err(words::expecting("trust_id", "trust")),
        },
    })
}

/// A text that is not empty.
fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn secret(value: Option<&Value>) -> Secret {
    Secret::new(value.and_then(Value::as_str).unwrap_or_default())
}

impl Proof {
    /// As a token's methods name it.
    pub(crate) fn method(&self) -> Methods {
        match self {
            Proof::Password { .. } => Methods::PASSWORD,
            Proof::Token { .. } => Methods::TOKEN,
            Proof::AppCred { .. } => Methods::APPLICATION_CREDENTIAL,
        }
    }
}
