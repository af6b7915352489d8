//! Killed before and after the first commit of each name that a day in a cloud makes.

use std::{fs, time::Duration};

use base::World;
use http::Method;
use serde_json::{Value, json};

use crate::{
    cloud::{Cloud, SETTLED},
    doomed,
    ledger::{Known, Ledger, wish},
};

/// More than one transaction makes.
const SEVERAL: usize = 11;

/// A day in the cloud is repeated until nothing dies any more: each start of the cloud dies at the first
/// commit (before it, then after it) whose name nothing died at yet.
pub async fn killed_at_each_commit(world: World) {
    let mut cloud = Cloud::doomed(&world);
    let mut ledger = Ledger::default();
    let bytes = cloud.directory().with_extension("raw");
    fs::write(&bytes, vec![0; 1 << 20]).expect("an image");
    for day in 1.. {
        let starts = cloud.starts;
        live(&mut cloud, &mut ledger, &bytes, day).await;
        if cloud.starts == starts {
            break;
        }
        assert!(day < 20, "it dies and dies: {:?}", doomed::deaths(&cloud.directory()));
    }
    let deaths = doomed::deaths(&cloud.directory());
    let names: Vec<&str> =
        deaths.iter().filter_map(|death| death.strip_prefix("before ")).collect();
    for name in [
        "servers::create",
        "servers::expand",
        "servers::place",
        "servers::report",
        "servers::delete",
    ] {
        assert!(names.contains(&name), "{name} was not among {names:?}");
        assert!(deaths.contains(&format!("after {name}")), "not after {name}");
    }
    println!("died before and after: {}", names.join(", "));
}

async fn live(cloud: &mut Cloud, ledger: &mut Ledger, bytes: &std::path::Path, day: usize) {
    cloud.ready().await;
    cloud.flavor(64).await;
    cloud.plenty().await;
    let image = cloud.image("i", "raw", bytes).await;
    people(cloud, day).await;
    rooms(cloud, day).await;

    let keep = format!("keep-{day}");
    let drop = format!("drop-{day}");
    for name in [&keep, &drop] {
        // Looked for by its name first, since an answer that was lost says nothing.
        ledger.settle(cloud).await;
        ledger.create(cloud, name, &image).await;
    }
    ledger.settle(cloud).await;
    for name in [&keep, &drop] {
        let find = format!("/compute/v2.1/servers?name=^{name}$");
        cloud.make(&find, "servers", "/compute/v2.1/servers", wish(name, &image)).await;
        ledger.0.insert(name.clone(), Known::There);
    }
    several(cloud, ledger, &image, day).await;
    let id = id_of(cloud, &keep).await;
    let path = format!("/compute/v2.1/servers/{id}");
    let metadata = json!({"metadata": {"day": day.to_string()}});
    cloud.insist(Method::PUT, &format!("{path}/metadata"), Some(metadata), &[200]).await;
    let renamed = json!({"server": {"name": keep}});
    cloud.insist(Method::PUT, &path, Some(renamed), &[200]).await;
    for (action, status) in
        [("lock", "ACTIVE"), ("unlock", "ACTIVE"), ("os-stop", "SHUTOFF"), ("os-start", "ACTIVE")]
    {
        act(cloud, &path, json!({action: null}), status).await;
    }
    act(cloud, &path, json!({"reboot": {"type": "HARD"}}), "ACTIVE").await;
    let of_drop = id_of(cloud, &drop).await;
    ledger.delete(cloud, &drop, &of_drop).await;
    let gone = format!("/compute/v2.1/servers/{of_drop}");
    cloud.insist(Method::DELETE, &gone, None, &[204, 404]).await;
    ledger.0.insert(drop, Known::Gone);

    let servers = ledger.settle(cloud).await;
    let kept = servers.iter().find(|server| server["name"] == keep.as_str()).expect("it is kept");
    assert_eq!(kept["metadata"]["day"], day.to_string());
}

/// So many servers by one request that they are carried out in steps; then they are deleted.
async fn several(cloud: &mut Cloud, ledger: &mut Ledger, image: &str, day: usize) {
    let name = format!("several-{day}");
    let mut body = wish(&name, image);
    body["server"]["min_count"] = json!(SEVERAL);
    let find = format!("/compute/v2.1/servers?name=^{name}-");
    cloud.make(&find, "servers", "/compute/v2.1/servers", body).await;
    let names: Vec<String> = (1..=SEVERAL).map(|number| format!("{name}-{number}")).collect();
    for name in &names {
        ledger.0.insert(name.clone(), Known::There);
    }
    let servers = ledger.settle(cloud).await;
    for server in &servers {
        let name = server["name"].as_str().expect("a name").to_owned();
        if names.contains(&name) {
            let path = format!("/compute/v2.1/servers/{}", server["id"].as_str().expect("an id"));
            cloud.insist(Method::DELETE, &path, None, &[204, 404]).await;
            ledger.0.insert(name, Known::Gone);
        }
    }
}

/// A project and a user of it, with a role; one that is deleted; a token that is revoked.
async fn people(cloud: &mut Cloud, day: usize) {
    let name = format!("someone-{day}");
    let find = |kind: &str| format!("/identity/v3/{kind}?name={name}");
    let wish = json!({"project": {"name": name}});
    let project = cloud.make(&find("projects"), "projects", "/identity/v3/projects", wish).await;
    let wish = json!({"user": {"name": name, "password": "secret"}});
    let user = cloud.make(&find("users"), "users", "/identity/v3/users", wish).await;
    let roles = cloud.get("/identity/v3/roles?name=member").await;
    let id = |value: &Value| value["id"].as_str().expect("an id").to_owned();
    let (project, user, role) = (id(&project), id(&user), id(&roles["roles"][0]));
    let grant = format!("/identity/v3/projects/{project}/users/{user}/roles/{role}");
    cloud.insist(Method::PUT, &grant, None, &[204]).await;
    let renamed = json!({"project": {"description": "of a day"}});
    let path = format!("/identity/v3/projects/{project}");
    cloud.insist(Method::PATCH, &path, Some(renamed), &[200]).await;
    cloud.insist(Method::DELETE, &grant, None, &[204, 404]).await;
    cloud.insist(Method::DELETE, &format!("/identity/v3/users/{user}"), None, &[204, 404]).await;
    cloud.insist(Method::DELETE, &path, None, &[204, 404]).await;
}

/// What lies around servers.
async fn rooms(cloud: &mut Cloud, day: usize) {
    let name = format!("thing-{day}");
    let group = json!({"server_group": {"name": name, "policies": ["anti-affinity"]}});
    let groups = "/compute/v2.1/os-server-groups";
    // Groups have no filter by name: one a day, found by the count of days.
    let made = loop {
        let all = cloud.get(groups).await["server_groups"].take();
        let found = all.as_array().and_then(|all| all.iter().find(|g| g["name"] == name.as_str()));
        if let Some(found) = found {
            break found.clone();
        }
        cloud.ask(Method::POST, groups, Some(group.clone())).await;
    };
    let id = made["id"].as_str().expect("an id");
    cloud.insist(Method::DELETE, &format!("{groups}/{id}"), None, &[204, 404]).await;
    let flavor = json!({"flavor": {"name": name, "id": name, "ram": 1, "vcpus": 1, "disk": 0}});
    let path = "/compute/v2.1/flavors";
    cloud.insist(Method::POST, path, Some(flavor), &[200, 409]).await;
    let specs = json!({"extra_specs": {"day": "1"}});
    let of_flavor = format!("{path}/{name}");
    let of_specs = format!("{of_flavor}/os-extra_specs");
    cloud.insist(Method::POST, &of_specs, Some(specs), &[200]).await;
    cloud.insist(Method::DELETE, &of_flavor, None, &[202, 404]).await;
    let image = json!({"name": name, "disk_format": "raw", "container_format": "bare"});
    let find = format!("/image/v2/images?name={name}");
    let image = cloud.make(&find, "images", "/image/v2/images", image).await;
    let path = format!("/image/v2/images/{}", image["id"].as_str().expect("an id"));
    cloud.insist(Method::PUT, &format!("{path}/tags/day"), None, &[204]).await;
    cloud.insist(Method::DELETE, &path, None, &[204, 404]).await;
}

async fn id_of(cloud: &mut Cloud, name: &str) -> String {
    let found = cloud.get(&format!("/compute/v2.1/servers?name=^{name}$")).await;
    found["servers"][0]["id"].as_str().unwrap_or_else(|| panic!("{name}: {found}")).to_owned()
}

/// Asks for an action until its end is seen; a conflict says that it was taken before.
async fn act(cloud: &mut Cloud, server: &str, action: Value, status: &str) {
    let path = format!("{server}/action");
    let deadline = cloud.world.now() + SETTLED;
    cloud.insist(Method::POST, &path, Some(action.clone()), &[202, 409]).await;
    loop {
        let now = cloud.get(server).await["server"].take();
        if now["status"] == status && now["OS-EXT-STS:task_state"].is_null() {
            return;
        }
        assert!(cloud.world.now() < deadline, "{action} does not end: {now}\n{}", cloud.log());
        cloud.world.sleep(Duration::from_millis(20)).await;
    }
}
