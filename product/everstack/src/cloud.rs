//! One controller's services, put together: the state, the rooms of all services behind one router, the
//! hub and the reconcilers. Sockets, files and processes are the roles' business; a cloud in a simulated
//! world is put together by the same lines.

use std::{sync::Arc, time::Duration};

use base::{Result, World};
use compute::{Compute, ComputeConfig};
use control::Runtime;
use identity::{Bootstrap, BuiltIn, Identity};
use image::Images;
use nodes::{Hub, HubConfig};
use state::{Schema, Sealer, Session, State, Store};
use web::{AuditSink, BaseUrl, Overrides, Router};

use crate::credentials::Passwords;

/// What a controller needs from outside.
pub struct Parts {
    /// How the image service behaves.
    pub images: image::Options,
    /// Its own scope of the world.
    pub world: World,
    /// The store, shared with the other controllers.
    pub store: Arc<dyn Store>,
    /// The key that seals secrets in the store.
    pub sealer: Sealer,
    /// Its name among the controllers.
    pub name: String,
    /// Where peers reach it; empty when there are none.
    pub address: String,
    /// What the catalog's URLs begin with.
    pub url: String,
    /// The region in the catalog.
    pub region: String,
    /// Where the images' bytes are.
    pub image_store: Arc<dyn image::store::Store>,
    /// The first users' passwords.
    pub passwords: Passwords,
    /// How identity behaves.
    pub identity: identity::Config,
    /// Rules that replace defaults, by service.
    pub policies: Vec<(String, Overrides)>,
    /// The session's length.
    pub session_ttl: Duration,
    /// Where changes are written down.
    pub audit: Arc<dyn AuditSink>,
}

/// A controller that works.
#[derive(Clone)]
pub struct Controller {
    /// The state.
    pub state: State,
    /// The links to nodes.
    pub hub: Hub,
    /// The reconcilers.
    pub runtime: Runtime,
    /// The APIs.
    pub router: Router,
    /// The images' bytes.
    pub images: Images,
    /// The session among the controllers.
    pub session: Session,
}

/// The tables of all services.
pub fn schema() -> Schema {
    let schema = identity::schema(Schema::new());
    let schema = image::schema(schema);
    let schema = placement::schema(schema);
    let schema = nodes::schema(schema);
    compute::schema(schema)
}

/// The services of the catalog: type, name, description, path.
pub const CATALOG: &[(&str, &str, &str, &str)] = &[
    ("identity", "keystone", "Identity", "/identity"),
    ("image", "glance", "Images", "/image"),
    ("placement", "placement", "Resources and where there is room", "/placement"),
    ("compute", "nova", "Servers", "/compute/v2.1"),
];

/// Puts a controller together and starts its reconcilers.
///
/// # Errors
/// When the store cannot be read, or a policy is wrong.
pub async fn start(parts: Parts) -> Result<Controller> {
    let state = State::open(parts.world.clone(), parts.store, schema(), &parts.name).await?;
    let session = Session::begin(&state, parts.session_ttl, &parts.address).await?;
    let identity = Identity::new(&state, parts.identity, &parts.sealer);
    let services = CATALOG
        .iter()
        .map(|(kind, name, description, path)| BuiltIn::new(kind, name, description, path))
        .collect();
    let begin = Bootstrap {
        admin_password: parts.passwords.admin,
        demo_password: Some(parts.passwords.demo),
        region: parts.region,
        services,
    };
    identity.bootstrap(&begin).await?;
    let runtime = Runtime::new(&state);
    let hub = Hub::new(&state, HubConfig::default());
    let images = Images::new(&state, parts.image_store, parts.images);
    let compute =
        Compute { state: state.clone(), hub: hub.clone(), config: ComputeConfig::default() };
    compute::start(&compute, &runtime);
    hub.start(&runtime, Some(session.clone()));
    identity.start();
    for reconciler in images.reconcilers() {
        runtime.start(reconciler);
    }
    let mut builder = Router::builder(parts.world.clone(), Arc::new(identity.clone()))
        .audit(parts.audit)
        .base_url(BaseUrl::new(&parts.url))
        .mount(identity::service(&identity))
        .mount(image::service(images.clone()))
        .mount(placement::service(placement::Placement { state: state.clone() }))
        .mount(compute::service(compute));
    for (service, overrides) in parts.policies {
        builder = builder.policy(&service, overrides);
    }
    let router = builder.build()?;
    measure(router.metrics(), &state, &hub);
    Ok(Controller { state, hub, runtime, router, images, session })
}

fn measure(metrics: &web::metrics::Registry, state: &State, hub: &Hub) {
    let known = state.clone();
    metrics.gauge_measured(
        "everstack_state_revision",
        "The newest revision seen.",
        &[],
        move || known.known().revision().0 as f64,
    );
    let links = hub.clone();
    metrics.gauge_measured("everstack_nodes_linked", "Nodes linked here.", &[], move || {
        links.linked().len() as f64
    });
}
