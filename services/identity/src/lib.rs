//! The Identity API, Keystone v3: who there is (domains, projects, users, groups), who may what (roles
//! and their assignments), where things are (the catalog), and tokens, which name all that and grant
//! nothing.
//!
//! Everybody else uses [`Identity`] as the [`web::Authenticator`], and [`projects`], [`users`] and
//! [`domains`] to look things up in a snapshot.

pub mod app_creds;
pub mod assignments;
mod auth;
mod bootstrap;
pub mod catalog;
pub mod config;
pub mod consumers;
pub mod credentials;
pub mod domain_configs;
pub mod domains;
pub mod groups;
mod handle;
mod janitor;
pub mod limits;
mod manners;
mod names;
mod options;
pub mod passwords;
pub mod policies;
pub mod projects;
pub mod purge;
pub mod roles;
mod rules;
#[cfg(test)]
mod testing;
pub mod tokens;
pub mod trusts;
pub mod users;
mod words;

pub use bootstrap::{Bootstrap, BuiltIn};
pub use config::Config;
pub use handle::Identity;

use state::Schema;
use web::{Discovery, DiscoveryStyle, Envelope, Service, VersionDoc};

/// The domain that is there from the beginning.
pub const DEFAULT_DOMAIN: &str = "default";

/// Adds the tables of this service.
#[must_use]
pub fn schema(schema: Schema) -> Schema {
    schema
        .table::<app_creds::record::AccessRule>()
        .table::<app_creds::record::AppCred>()
        .table::<assignments::record::Assignment>()
        .table::<catalog::endpoint_groups::EndpointGroup>()
        .table::<catalog::filter::Association>()
        .table::<catalog::record::Endpoint>()
        .table::<catalog::record::Region>()
        .table::<catalog::record::Service>()
        .table::<consumers::record::Consumer>()
        .table::<credentials::record::Credential>()
        .table::<domain_configs::record::DomainConfig>()
        .table::<groups::record::Group>()
        .table::<groups::record::Membership>()
        .table::<limits::record::Limit>()
        .table::<limits::record::RegisteredLimit>()
        .table::<passwords::record::Password>()
        .table::<policies::record::PolicyBlob>()
        .table::<projects::record::Project>()
        .table::<purge::record::Purge>()
        .table::<roles::record::Implication>()
        .table::<roles::record::Role>()
        .table::<tokens::record::KeyRecord>()
        .table::<tokens::record::Revocation>()
        .table::<trusts::record::Trust>()
        .table::<users::record::User>()
}

/// The service, ready to be mounted.
pub fn service(identity: &Identity) -> Service<Identity> {
    let rooms = [
        auth::api::cards(),
        domains::api::cards(),
        projects::api::cards(),
        users::api::cards(),
        groups::api::cards(),
        roles::api::cards(),
        roles::implied::cards(),
        assignments::api::cards(),
        assignments::list::cards(),
        catalog::regions::api::cards(),
        catalog::services::api::cards(),
        catalog::endpoints::api::cards(),
        app_creds::api::cards(),
        app_creds::rules_api::cards(),
        catalog::endpoint_groups::cards(),
        catalog::filter::cards(),
        consumers::api::cards(),
        credentials::api::cards(),
        credentials::ec2::cards(),
        domain_configs::api::cards(),
        limits::api::cards(),
        limits::registered::cards(),
        policies::api::cards(),
        trusts::api::cards(),
    ];
    let discovery = Discovery {
        style: DiscoveryStyle::Keystone,
        root: "/identity",
        versions: vec![VersionDoc {
            id: "v3.14",
            status: "stable",
            updated: "2020-04-07T00:00:00Z",
            path: "/identity/v3",
            microversions: None,
        }],
    };
    let mut service =
        Service::new("identity", "/identity/v3", Envelope::Keystone, identity.clone())
            .rules(rules::RULES)
            .rules(assignments::api::RULES)
            .discovery(discovery);
    for cards in rooms {
        service = service.room(cards);
    }
    service
}
