//! Killed at random times, while it starts and while it works.

use std::{fs, time::Duration};

use base::World;

use crate::{cloud::Cloud, ledger::Ledger};

/// How often it is killed.
const KILLS: u32 = 200;
/// How many servers there are all the time.
const SERVERS: usize = 20;

/// Twenty simulated servers, two hundred kills; after each, everything settles in time.
pub async fn killed_at_random_times(world: World) {
    let mut cloud = Cloud::program(&world, &["--simulated", "4", "--set", "log.filter=warn"]);
    let mut ledger = Ledger::default();
    let bytes = cloud.directory().with_extension("raw");
    fs::write(&bytes, vec![0; 1 << 20]).expect("an image");
    cloud.ready().await;
    cloud.flavor(64).await;
    let image = cloud.image("i", "raw", &bytes).await;
    cloud.plenty().await;
    for number in 0..SERVERS {
        ledger.create(&mut cloud, &format!("first-{number}"), &image).await;
    }
    let mut longest = Duration::ZERO;
    for kill in 0..KILLS {
        let servers = ledger.settle(&mut cloud).await;
        // One is deleted and one is made; the kill comes at some time from before to after both.
        let victim = &servers[usize::try_from(world.below(servers.len() as u64)).expect("small")];
        let (name, id) = (victim["name"].as_str().expect("a name"), victim["id"].as_str());
        let at = world.now() + Duration::from_micros(world.below(60_000));
        {
            let work = Box::pin(async {
                ledger.create(&mut cloud, &format!("s-{kill}"), &image).await;
                ledger.delete(&mut cloud, name, id.expect("an id")).await;
            });
            let left = at.since(world.now());
            // Given up in the middle: what is not answered by then is unknown.
            let _in_time = world.timeout(left, work).await;
        }
        cloud.kill();
        if world.below(3) == 0 {
            // Once more, while it starts.
            cloud.start();
            world.sleep(Duration::from_millis(world.below(300))).await;
            cloud.kill();
        }
        let killed = world.now();
        cloud.ready().await;
        ledger.settle(&mut cloud).await;
        longest = longest.max(world.now().since(killed));
    }
    println!("{} starts, longest time to settle {longest:?}", cloud.starts);
}
