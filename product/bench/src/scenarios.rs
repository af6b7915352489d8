//! The measurements, one function each.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    client::{Connection, Failure, Target, log_in},
    cloud::{Cloud, Place},
    figures::{Figures, Goal, quantile},
};

/// Runs all scenarios, or only those named.
pub async fn run(place: &Place, only: &[String], figures: &mut Figures) -> Result<(), Failure> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|o| o == name);
    if wanted("start") {
        start(place, figures).await?;
    }
    if wanted("tokens") {
        tokens(place, figures).await?;
    }
    if wanted("servers") {
        servers(place, figures).await?;
    }
    if wanted("candidates") {
        candidates(place, figures).await?;
    }
    Ok(())
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

async fn start(place: &Place, figures: &mut Figures) -> Result<(), Failure> {
    eprintln!("start: an empty all-in-one cloud, five times");
    let mut times = Vec::new();
    let mut memory = Vec::new();
    for _ in 0..5 {
        let cloud = place.up("start", &[]).await?;
        times.push(ms(cloud.started_in));
        tokio::time::sleep(Duration::from_secs(3)).await;
        memory.push(cloud.pss_mib()?);
    }
    figures.add(
        "start to first authenticated answer, p50",
        quantile(&mut times, 0.5),
        "ms",
        Goal::AtMost(300.0),
    );
    figures.add("idle memory (PSS), p50", quantile(&mut memory, 0.5), "MiB", Goal::AtMost(100.0));
    Ok(())
}

/// `lanes` connections send requests for `time`; answers per second.
async fn rate(
    target: &Target,
    lanes: usize,
    time: Duration,
    make: impl Fn(usize) -> (http::Method, String, Option<Value>, Vec<(&'static str, String)>)
    + Clone
    + Send
    + 'static,
) -> Result<f64, Failure> {
    let begin = Instant::now();
    let mut tasks = Vec::new();
    for lane in 0..lanes {
        let (target, make) = (target.clone(), make.clone());
        tasks.push(tokio::spawn(async move {
            let mut connection = Connection::open(&target).await?;
            let mut done = 0_u64;
            let (method, path, body, headers) = make(lane);
            let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
            while begin.elapsed() < time {
                let answer =
                    connection.send(method.clone(), &path, body.as_ref(), &headers).await?;
                if !answer.status.is_success() {
                    let text = String::from_utf8_lossy(&answer.body).into_owned();
                    return Err::<u64, Failure>(
                        format!("{path}: {}: {text}", answer.status).into(),
                    );
                }
                done += 1;
            }
            Ok(done)
        }));
    }
    let mut done = 0;
    for task in tasks {
        done += task.await??;
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(done as f64 / begin.elapsed().as_secs_f64())
}

const LANES: usize = 32;
const TIME: Duration = Duration::from_secs(5);

async fn tokens(place: &Place, figures: &mut Figures) -> Result<(), Failure> {
    eprintln!("tokens: issue and validate");
    let cloud = place.up("tokens", &["--simulated", "1"]).await?;
    let token = cloud.target.token.to_string();
    let body = log_in("admin", &cloud.password, "admin");
    let issued = rate(&cloud.target, 8, TIME, move |_| {
        (http::Method::POST, "/identity/v3/auth/tokens".into(), Some(body.clone()), vec![])
    })
    .await?;
    figures.add("tokens issued by password", issued, "/s", Goal::Known);
    let subject = token.clone();
    let validated = rate(&cloud.target, LANES, TIME, move |_| {
        let headers = vec![("x-subject-token", subject.clone())];
        (http::Method::GET, "/identity/v3/auth/tokens".into(), None, headers)
    })
    .await?;
    figures.add("tokens validated, catalog rendered", validated, "/s", Goal::AtLeast(20_000.0));
    Ok(())
}

async fn prepare(cloud: &Cloud) -> Result<(String, String), Failure> {
    let mut connection = Connection::open(&cloud.target).await?;
    let flavor = json!({"flavor": {"name": "bench", "ram": 64, "vcpus": 1, "disk": 1}});
    let flavor = connection.post("/compute/v2.1/flavors", &flavor).await?.json()?;
    let flavor = flavor["flavor"]["id"].as_str().ok_or("no flavor id")?.to_owned();
    let image = json!({"name": "bench", "disk_format": "raw", "container_format": "bare"});
    let image = connection.post("/image/v2/images", &image).await?.json()?;
    let image = image["id"].as_str().ok_or("no image id")?.to_owned();
    upload(cloud, &image).await?;
    let quota = json!({"quota_set": {"instances": -1, "cores": -1, "ram": -1}});
    let project = connection.get("/identity/v3/auth/projects").await?.json()?;
    let project = project["projects"][0]["id"].as_str().ok_or("no project")?.to_owned();
    let path = format!("/compute/v2.1/os-quota-sets/{project}");
    connection.send(http::Method::PUT, &path, Some(&quota), &[]).await?.json()?;
    Ok((flavor, image))
}

async fn upload(cloud: &Cloud, image: &str) -> Result<(), Failure> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(cloud.target.address).await?;
    let body = vec![0_u8; 1024 * 1024];
    let head = format!(
        "PUT /image/v2/images/{image}/file HTTP/1.1\r\nhost: bench\r\nx-auth-token: {}\r\n\
         content-type: application/octet-stream\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        cloud.target.token,
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    if answer.starts_with("HTTP/1.1 204") { Ok(()) } else { Err(answer.into()) }
}

fn wish(name: &str, flavor: &str, image: &str) -> Value {
    json!({"server": {"name": name, "flavorRef": flavor, "imageRef": image, "networks": "none"}})
}

async fn create(connection: &mut Connection, body: &Value) -> Result<String, Failure> {
    let headers = [("openstack-api-version", "compute 2.37")];
    let answer =
        connection.send(http::Method::POST, "/compute/v2.1/servers", Some(body), &headers).await?;
    Ok(answer.json()?["server"]["id"].as_str().ok_or("no server id")?.to_owned())
}

async fn active(connection: &mut Connection, id: &str) -> Result<(), Failure> {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(60) {
        let server = connection.get(&format!("/compute/v2.1/servers/{id}")).await?.json()?;
        match server["server"]["status"].as_str() {
            Some("ACTIVE") => return Ok(()),
            Some("ERROR") => return Err(format!("{server}").into()),
            _ => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    Err(format!("{id} is not ACTIVE after a minute").into())
}

async fn servers(place: &Place, figures: &mut Figures) -> Result<(), Failure> {
    eprintln!("servers: create, get, list on 16 simulated nodes");
    let cloud = place.up("servers", &["--simulated", "16", "--node-vcpus", "4096"]).await?;
    let (flavor, image) = prepare(&cloud).await?;
    let mut connection = Connection::open(&cloud.target).await?;
    let mut alone = Vec::new();
    let mut last = String::new();
    for n in 0..50 {
        let begin = Instant::now();
        last = create(&mut connection, &wish(&format!("alone-{n}"), &flavor, &image)).await?;
        active(&mut connection, &last).await?;
        alone.push(ms(begin.elapsed()));
    }
    figures.add("POST to ACTIVE alone, p50", quantile(&mut alone, 0.5), "ms", Goal::AtMost(30.0));

    let path = format!("/compute/v2.1/servers/{last}");
    let got =
        rate(&cloud.target, LANES, TIME, move |_| (http::Method::GET, path.clone(), None, vec![]))
            .await?;
    figures.add("GET one server", got, "/s", Goal::AtLeast(20_000.0));

    let before = cloud.metric("everstack_state_revision").await?;
    let count = 2000;
    let per_second = burst(&cloud.target, count, &flavor, &image).await?;
    figures.add(
        "servers to ACTIVE, sustained, one project",
        per_second,
        "/s",
        Goal::AtLeast(500.0),
    );
    let commits = cloud.metric("everstack_state_revision").await? - before;
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let each = commits / count as f64;
    figures.add("commits per server in a burst", each, "", Goal::AtMost(3.0));

    let mut lists = Vec::new();
    for _ in 0..50 {
        let begin = Instant::now();
        let answer = connection.get("/compute/v2.1/servers/detail?limit=1000").await?;
        // To the last byte; reading it is this program's work.
        lists.push(ms(begin.elapsed()));
        let answer = answer.json()?;
        if answer["servers"].as_array().map(Vec::len) != Some(1000) {
            return Err("the list is not of 1,000 servers".into());
        }
    }
    figures.add(
        "list of 1,000 with details, p50",
        quantile(&mut lists, 0.5),
        "ms",
        Goal::AtMost(10.0),
    );
    figures.add("memory (PSS) with 2,050 servers", cloud.pss_mib()?, "MiB", Goal::Known);
    Ok(())
}

/// Creates `count` servers as fast as the cloud takes them; servers per second until all are ACTIVE.
async fn burst(target: &Target, count: usize, flavor: &str, image: &str) -> Result<f64, Failure> {
    let begin = Instant::now();
    let mut tasks = Vec::new();
    for lane in 0..LANES {
        let (target, flavor, image) = (target.clone(), flavor.to_owned(), image.to_owned());
        tasks.push(tokio::spawn(async move {
            let mut connection = Connection::open(&target).await?;
            let mut ids = Vec::new();
            for n in (lane..count).step_by(LANES) {
                ids.push(
                    create(&mut connection, &wish(&format!("burst-{n}"), &flavor, &image)).await?,
                );
            }
            for id in &ids {
                active(&mut connection, id).await?;
            }
            Ok::<(), Failure>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    Ok(count as f64 / begin.elapsed().as_secs_f64())
}

async fn candidates(place: &Place, figures: &mut Figures) -> Result<(), Failure> {
    for nodes in [1_000, 10_000] {
        eprintln!("candidates: over {nodes} nodes");
        let cloud = place.up("candidates", &["--simulated", &nodes.to_string()]).await?;
        let mut connection = Connection::open(&cloud.target).await?;
        let path = format!(
            "/placement/allocation_candidates?resources=VCPU:1,MEMORY_MB:512,DISK_GB:1&limit={nodes}"
        );
        let headers = [("openstack-api-version", "placement 1.36")];
        let mut times = Vec::new();
        for round in 0..400 {
            let begin = Instant::now();
            let answer = connection.send(http::Method::GET, &path, None, &headers).await?;
            let took = ms(begin.elapsed());
            let answer = answer.json()?;
            let found = answer["provider_summaries"].as_object().map_or(0, serde_json::Map::len);
            if found < nodes {
                // Nodes are still joining.
                if round == 399 {
                    return Err(format!("only {found} of {nodes} nodes joined").into());
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
            times.push(took);
            if times.len() == 20 {
                break;
            }
        }
        let name = format!("allocation_candidates over {nodes} nodes, p50");
        figures.add(name, quantile(&mut times, 0.5), "ms", Goal::Known);
    }
    Ok(())
}
