//! What a cloud begins with: the default domain, projects, roles, users, and the catalog of what is
//! built in. Doing it again changes nothing that an operator may have changed since.

use base::{Result, Secret};
use serde_json::{Map, Value, json};
use state::{Scope, Txn};

use crate::{
    DEFAULT_DOMAIN, Identity,
    assignments::{
        self,
        record::{Assignment, Where, Who},
    },
    catalog::{
        endpoints,
        record::{Endpoint, Region, Service},
        regions,
    },
    config::Config,
    names,
    passwords::{self, record::Password},
    projects::{self, record::Project},
    roles::{self, record::Role},
    users::{self, record::User},
    words,
};

/// What a cloud begins with.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// The password of `admin`, if that user has none yet.
    pub admin_password: Secret,
    /// The user `demo`'s, a member of the project `demo`; none: no such user is made.
    pub demo_password: Option<Secret>,
    /// The region of what is built in.
    pub region: String,
    /// What is built in.
    pub services: Vec<BuiltIn>,
}

/// A service of this program, in the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// `compute`
    pub kind: String,
    /// `nova`
    pub name: String,
    /// For people.
    pub description: String,
    /// Below the address that the cloud is reached at: `/compute/v2.1`.
    pub path: String,
    /// `public`, `internal`, `admin`.
    pub interfaces: Vec<String>,
}

impl BuiltIn {
    /// With all three interfaces.
    pub fn new(kind: &str, name: &str, description: &str, path: &str) -> BuiltIn {
        BuiltIn {
            kind: kind.to_owned(),
            name: name.to_owned(),
            description: description.to_owned(),
            path: path.to_owned(),
            interfaces: ["public", "internal", "admin"].map(str::to_owned).to_vec(),
        }
    }
}

/// What is made for everybody: role, and the one that it implies.
const ROLES: &[(&str, Option<&str>)] = &[
    ("reader", None),
    ("member", Some("reader")),
    ("manager", Some("member")),
    ("admin", Some("manager")),
    ("service", None),
];
const PROJECTS: &[(&str, &str)] = &[
    ("admin", "Of who runs the cloud."),
    ("demo", "To try things out."),
    ("service", "Of the services themselves."),
];

impl Identity {
    /// Makes what a cloud begins with, as far as it is not there. Safe to run at each start, on several
    /// controllers at once.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn bootstrap(&self, bootstrap: &Bootstrap) -> Result<()> {
        let admin_hash = self.hash_if_new("admin", Some(&bootstrap.admin_password)).await?;
        let demo_hash = self.hash_if_new("demo", bootstrap.demo_password.as_ref()).await?;
        let config = self.config().clone();
        let ids = self.fresh_ids();
        self.state()
            .transact("bootstrap::people", move |txn| {
                people(txn, &config, &ids, admin_hash.clone(), demo_hash.clone())
            })
            .await?;
        let region = bootstrap.region.clone();
        self.state()
            .transact("bootstrap::region", move |txn| {
                if txn.get::<Region>(&region)?.is_none() {
                    regions::actions::ensure(txn, &region)?;
                }
                Ok(())
            })
            .await?;
        for built_in in &bootstrap.services {
            let ids = self.fresh_ids();
            let (built_in, region) = (built_in.clone(), bootstrap.region.clone());
            self.state()
                .transact("bootstrap::service", move |txn| service(txn, &ids, &built_in, &region))
                .await?;
        }
        let snapshot = self.state().fresh().await?;
        if snapshot.count::<crate::tokens::record::KeyRecord>() == 0 {
            self.make_key().await?;
        }
        Ok(())
    }

    /// Sets a user's password from outside, as who runs the cloud's host may. All its tokens end, and a
    /// disabled or locked account works again.
    ///
    /// # Errors
    /// When there is no such user, or the store cannot be reached.
    pub async fn reset_password(&self, domain: &str, user: &str, password: &Secret) -> Result<()> {
        self.check_new_password(password)?;
        let hash = self.hash(password).await?;
        let config = self.config().clone();
        let (domain, user) = (domain.to_owned(), user.to_owned());
        self.state()
            .transact("bootstrap::reset_password", move |txn| {
                let snapshot = txn.snapshot().clone();
                let owner = names::DOMAINS
                    .owner(&snapshot, "", &domain)
                    .or_else(|| Some(domain.clone()))
                    .and_then(|domain_id| names::USERS.owner(&snapshot, &domain_id, &user));
                let id = owner.ok_or_else(|| words::not_found("user", &user))?;
                let change = users::actions::Change {
                    enabled: Some(true),
                    hash: Some(hash.clone()),
                    ..Default::default()
                };
                let done = users::actions::update(txn, &config, &id, change)?;
                done.map(drop).ok_or_else(|| words::not_found("user", &user))
            })
            .await
    }

    async fn hash_if_new(&self, user: &str, password: Option<&Secret>) -> Result<Option<String>> {
        let Some(password) = password else { return Ok(None) };
        let snapshot = self.state().fresh().await?;
        let has = names::USERS
            .owner(&snapshot, DEFAULT_DOMAIN, user)
            .is_some_and(|id| snapshot.get::<Password>(&id).is_some());
        if has { Ok(None) } else { self.hash(password).await.map(Some) }
    }

    /// Ids made once, so that a repeated transaction makes the same things.
    fn fresh_ids(&self) -> Vec<String> {
        (0..16).map(|_| self.world().hex_id()).collect()
    }
}

fn people(
    txn: &mut Txn,
    config: &Config,
    ids: &[String],
    admin_hash: Option<String>,
    demo_hash: Option<String>,
) -> Result<()> {
    let mut ids = ids.iter().cloned();
    let mut id = || ids.next().unwrap_or_default();
    if txn.get::<Project>(DEFAULT_DOMAIN)?.is_none() {
        let mut domain = plain_project("Default", "The default domain");
        (domain.domain_id, domain.parent_id) = (None, None);
        projects::actions::create(txn, config, DEFAULT_DOMAIN, domain)?;
    }
    for (name, description) in PROJECTS {
        let made = id();
        if names::PROJECTS.holder(txn, DEFAULT_DOMAIN, name).is_none() {
            projects::actions::create(txn, config, &made, plain_project(name, description))?;
        }
    }
    for (name, implies) in ROLES {
        let made = id();
        if names::ROLES.holder(txn, "", name).is_none() {
            let options = Map::from_iter([("immutable".to_owned(), Value::Bool(true))]);
            let role = Role {
                name: (*name).to_owned(),
                domain_id: None,
                description: None,
                options,
                extra: Map::new(),
            };
            roles::actions::create(txn, &made, role)?;
            if let Some(implied) = implies.and_then(|i| names::ROLES.holder(txn, "", i)) {
                roles::actions::imply(txn, &made, &implied)?;
            }
        }
    }
    let made = id();
    if user(txn, config, &made, "admin", admin_hash)? {
        let project = place(txn, "admin");
        let domain = Some(Where::Domain(DEFAULT_DOMAIN.to_owned()));
        grant_all(txn, "admin", "admin", &[project, domain, Some(Where::System)])?;
    }
    let made = id();
    if demo_hash.is_some() && user(txn, config, &made, "demo", demo_hash)? {
        let demo = place(txn, "demo");
        grant_all(txn, "demo", "member", &[demo])?;
    }
    Ok(())
}

fn plain_project(name: &str, description: &str) -> Project {
    Project {
        name: name.to_owned(),
        domain_id: Some(DEFAULT_DOMAIN.to_owned()),
        parent_id: Some(DEFAULT_DOMAIN.to_owned()),
        enabled: true,
        description: Some(description.to_owned()),
        tags: Vec::new(),
        options: Map::new(),
        extra: Map::new(),
    }
}

/// Makes a user, if it is not there; says whether it did.
fn user(
    txn: &mut Txn,
    config: &Config,
    id: &str,
    name: &str,
    hash: Option<String>,
) -> Result<bool> {
    if let Some(id) = names::USERS.holder(txn, DEFAULT_DOMAIN, name) {
        if let Some(hash) = hash {
            passwords::set(txn, config, &id, hash, true)?;
        }
        return Ok(false);
    }
    let made = User {
        name: name.to_owned(),
        domain_id: DEFAULT_DOMAIN.to_owned(),
        enabled: true,
        default_project_id: None,
        options: Map::new(),
        extra: Map::new(),
    };
    users::actions::create(txn, config, id, made, None)?;
    if let Some(hash) = hash {
        // As if the user had set it: nothing asks for another one at once.
        passwords::set(txn, config, id, hash, true)?;
    }
    Ok(true)
}

fn place(txn: &mut Txn, project: &str) -> Option<Where> {
    names::PROJECTS.holder(txn, DEFAULT_DOMAIN, project).map(Where::Project)
}

fn grant_all(txn: &mut Txn, user: &str, role: &str, places: &[Option<Where>]) -> Result<()> {
    let user = names::USERS.holder(txn, DEFAULT_DOMAIN, user);
    let role = names::ROLES.holder(txn, "", role);
    let (Some(user), Some(role)) = (user, role) else { return Ok(()) };
    for place in places.iter().flatten() {
        let assignment = Assignment {
            who: Who::User(user.clone()),
            place: place.clone(),
            role_id: role.clone(),
            inherited: false,
        };
        assignments::actions::grant(txn, &assignment)?;
    }
    Ok(())
}

/// One service and its endpoints, if no service of that type and name is there. The type and name are
/// claimed, so that two controllers that start at once make one.
fn service(txn: &mut Txn, ids: &[String], built_in: &BuiltIn, region: &str) -> Result<()> {
    let mut ids = ids.iter().cloned();
    let mut id = || ids.next().unwrap_or_default();
    let service_id = id();
    let key = format!("{}/{}", built_in.kind, built_in.name);
    let space = "identity.built-in";
    if txn.claimed(Scope::Global, space, &key).is_some() {
        return Ok(());
    }
    txn.claim(Scope::Global, space, &key, &service_id)?;
    let extra = json!({"name": built_in.name, "description": built_in.description});
    let extra = match extra {
        Value::Object(extra) => extra,
        _ => Map::new(),
    };
    let service = Service { kind: built_in.kind.clone(), enabled: true, extra };
    txn.create(&service_id, service)?;
    for interface in &built_in.interfaces {
        let endpoint = Endpoint {
            service_id: service_id.clone(),
            interface: interface.clone(),
            region_id: Some(region.to_owned()),
            url: format!("$(public_url)s{}", built_in.path),
            enabled: true,
            extra: Map::new(),
        };
        endpoints::actions::create(txn, &id(), endpoint, true)?;
    }
    Ok(())
}
