//! Killed at random times beside real machines, which run on.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use base::{Map, World};

use crate::{cloud::Cloud, ledger::Ledger};

/// How often it is killed.
const KILLS: u32 = 20;

/// Three machines stay the processes that they are; a fourth comes and goes.
pub async fn killed_beside_machines(world: World) {
    let image = PathBuf::from(std::env::var_os("EVERSTACK_TEST_IMAGE").expect("it names it"));
    let mut cloud = Cloud::program(&world, &[]);
    let mut ledger = Ledger::default();
    cloud.ready().await;
    cloud.flavor(256).await;
    let image = cloud.image("i", "qcow2", &image).await;
    for number in 0..3 {
        ledger.create(&mut cloud, &format!("stays-{number}"), &image).await.expect("an answer");
    }
    let servers = ledger.settle(&mut cloud).await;
    let ids: Vec<String> =
        servers.iter().filter_map(|server| server["id"].as_str().map(str::to_owned)).collect();
    let machines = machines(&cloud);
    assert_eq!(machines.len(), 3, "{machines:?}");
    let mut guest: Option<(String, String)> = None;
    for kill in 0..KILLS {
        let at = world.now() + Duration::from_millis(world.below(1500));
        {
            let work = Box::pin(async {
                match guest.take() {
                    Some((name, id)) => ledger.delete(&mut cloud, &name, &id).await,
                    None => {
                        ledger.create(&mut cloud, &format!("guest-{kill}"), &image).await;
                    }
                }
                world.sleep(Duration::from_secs(5)).await;
            });
            let left = at.since(world.now());
            let _in_time = world.timeout(left, work).await;
        }
        cloud.kill();
        let servers = ledger.settle(&mut cloud).await;
        guest = servers.iter().find_map(|server| {
            let name = server["name"].as_str()?;
            name.starts_with("guest")
                .then(|| (name.into(), server["id"].as_str().expect("an id").into()))
        });
        only_known_machines_run(&mut cloud, &servers).await;
        let now = self::machines(&cloud);
        for id in &ids {
            assert_eq!(now.get(id), machines.get(id), "the machine of {id} is another process");
        }
    }
    let program = env!("CARGO_BIN_EXE_everstack");
    cloud.kill();
    let mut down = Command::new(program);
    down.args(["down", "--wipe", "--state-dir"]).arg(cloud.directory());
    let down = down.env_remove("EVERSTACK_TEST_IMAGE").output().expect("it runs");
    assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
    assert!(self::machines(&cloud).is_empty(), "machines are left: {:?}", self::machines(&cloud));
}

/// One machine for each server, and none that no server has: a deleted one's may need a moment to end.
async fn only_known_machines_run(cloud: &mut Cloud, servers: &[serde_json::Value]) {
    let deadline = cloud.world.now() + crate::cloud::SETTLED;
    loop {
        let running = machines(cloud);
        let known = |id: &String| servers.iter().any(|server| server["id"] == id.as_str());
        if running.len() == servers.len() && running.keys().all(known) {
            return;
        }
        let late = cloud.world.now() >= deadline;
        assert!(!late, "{running:?} run for {servers:?}\n{}", cloud.log());
        cloud.world.sleep(Duration::from_millis(50)).await;
    }
}

/// Which QEMUs run below the cloud's directory: by server, the process and when it was started. One
/// server's twice is the worst that can be.
fn machines(cloud: &Cloud) -> Map<String, (u32, u64)> {
    let directory = cloud.directory().join("node/machines");
    let mut found = Map::new();
    for entry in fs::read_dir("/proc").expect("processes").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).into_owned();
        let mut arguments = line.split('\0').skip_while(|argument| *argument != "-pidfile");
        let Some(file) = arguments.nth(1).map(PathBuf::from) else { continue };
        let Ok(rest) = file.strip_prefix(&directory) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
        if fields.starts_with('Z') {
            continue;
        }
        let server = rest.iter().next().expect("a name").to_string_lossy().into_owned();
        let ticks = fields.split(' ').nth(19).expect("ticks").parse().expect("a number");
        let twice = found.insert(server.clone(), (pid, ticks));
        assert!(twice.is_none(), "the machine of {server} runs twice: {pid} and {twice:?}");
    }
    found
}
