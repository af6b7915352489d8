//! `everstack status`: what the cloud in the state directory does.

use std::{fmt::Write, fs, io::IsTerminal};

use base::{Result, World};
use serde_json::{Value, json};

use crate::{client::Client, config::Config, credentials::Passwords, state_dir::StateDir};

/// The status as text (or JSON), and whether the cloud is up and ready.
///
/// # Errors
/// When the state directory cannot be looked into.
pub async fn status(world: &World, config: &Config, as_json: bool) -> Result<(String, bool)> {
    let found = look(world, config).await?;
    let ready = found["ready"] == json!(true);
    if as_json {
        return Ok((format!("{found:#}\n"), ready));
    }
    let colour = std::io::stdout().is_terminal();
    let paint = |text: &str, good: bool| match (colour, good) {
        (true, true) => format!("\x1b[32m{text}\x1b[0m"),
        (true, false) => format!("\x1b[31m{text}\x1b[0m"),
        (false, _) => text.to_owned(),
    };
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _never = writeln!(text, "{name:10}  {value}");
    };
    line("state", found["state_dir"].as_str().unwrap_or_default());
    match found["pid"].as_i64() {
        Some(pid) => line("process", &paint(&format!("running, pid {pid}"), true)),
        None => line("process", &paint("not running; start it by `everstack up`", false)),
    }
    if let Some(url) = found["url"].as_str() {
        line("APIs", url);
    }
    if found["pid"].is_i64() {
        let word = if ready { "ready".to_owned() } else { format!("not ready: {}", found["why"]) };
        line("readiness", &paint(&word, ready));
    }
    if let Some(nodes) = found["nodes"].as_array() {
        let up = nodes.iter().filter(|node| node["state"] == "up").count();
        line("nodes", &format!("{} of {} up", up, nodes.len()));
        for node in nodes.iter().filter(|node| node["state"] != "up").take(20) {
            line("", &paint(&format!("{} is {}", node["name"], node["state"]), false));
        }
    }
    if let Some(servers) = found["servers"].as_object() {
        let parts: Vec<_> = servers.iter().map(|(state, n)| format!("{n} {state}")).collect();
        line("servers", &if parts.is_empty() { "none".to_owned() } else { parts.join(", ") });
    }
    Ok((text, ready))
}

async fn look(world: &World, config: &Config) -> Result<Value> {
    let mut found = json!({"state_dir": config.state_dir, "pid": null, "ready": false});
    if !config.state_dir.exists() {
        return Ok(found);
    }
    let dir = StateDir::open(&config.state_dir)?;
    let Some(pid) = dir.running()? else { return Ok(found) };
    found["pid"] = json!(pid);
    let Ok(url) = fs::read_to_string(dir.url_file()) else {
        found["why"] = json!("it is starting");
        return Ok(found);
    };
    found["url"] = json!(url);
    let ca = fs::read_to_string(dir.pki().join("ca.pem")).ok();
    let mut client = Client::new(world, &url, ca);
    match client.status("/readyz").await {
        Ok((code, _)) if code.is_success() => found["ready"] = json!(true),
        Ok((_, why)) => found["why"] = json!(why.trim()),
        Err(error) => found["why"] = json!(error.to_string()),
    }
    if found["ready"] == json!(true) {
        let passwords = Passwords::open_or_make(world, dir.path())?;
        if let Err(error) = client.log_in(passwords.admin.expose()).await {
            found["why"] = json!(format!("{error}; `everstack admin password` sets a new one"));
            return Ok(found);
        }
        let services = client.get("/compute/v2.1/os-services?binary=nova-compute").await?;
        let nodes = services["services"].as_array().cloned().unwrap_or_default();
        found["nodes"] = nodes
            .iter()
            .map(|node| json!({"name": node["host"], "state": node["state"], "status": node["status"]}))
            .collect();
        let servers = client.get("/compute/v2.1/servers/detail?all_tenants=1").await?;
        let mut states = base::Map::<String, u64>::new();
        for server in servers["servers"].as_array().into_iter().flatten() {
            *states.entry(server["status"].as_str().unwrap_or("?").to_owned()).or_default() += 1;
        }
        found["servers"] = json!(states);
    }
    Ok(found)
}
