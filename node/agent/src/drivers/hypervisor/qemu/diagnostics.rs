//! Counters of a running machine, in the words of Nova's server diagnostics.

use std::fs;

use base::Result;
use serde_json::{Value, json};

use super::{Shared, machine::Machine, machine::Status};

/// The kernel's unit of time towards programs (USER_HZ): the same on all architectures that QEMU's
/// machines run on.
const TICKS_PER_SECOND: u64 = 100;

/// None if it does not run.
pub async fn ask(shared: &Shared, machine: &Machine) -> Result<Option<Value>> {
    let Some(running) = machine.running() else { return Ok(None) };
    let state = match running.status {
        Status::Running => "running",
        Status::Paused => "paused",
        Status::Loaded | Status::Down | Status::Broken => return Ok(None),
    };
    let Some(monitor) = running.monitor else {
        return Err(base::Error::unavailable("QEMU's monitor does not answer."));
    };
    let patience = shared.config.patience;
    let ask = |command| monitor.ask(command, json!({}), patience);
    let (cpus, blocks, balloon) =
        tokio::try_join!(ask("query-cpus-fast"), ask("query-blockstats"), ask("query-balloon"))?;
    let pid = running.process.pid;
    let threads = cpus
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|cpu| Some((cpu.get("cpu-index")?.as_u64()?, cpu.get("thread-id")?.as_u64()?)))
        .collect::<Vec<_>>();
    let ticks = running.process.ticks;
    let (times, uptime) = shared
        .world
        .blocking(move || {
            let times = threads
                .iter()
                .map(|(index, thread)| {
                    let stat = fs::read_to_string(format!("/proc/{pid}/task/{thread}/stat"));
                    (*index, stat.ok().and_then(|stat| processor_time(&stat)))
                })
                .collect::<Vec<_>>();
            (times, uptime(ticks))
        })
        .await;
    let cpu_details =
        times.iter().map(|(id, time)| json!({"id": id, "time": time})).collect::<Vec<_>>();
    let disk_details = disks(&blocks);
    let memory = balloon.get("actual").and_then(Value::as_u64).map(|bytes| bytes >> 20);
    Ok(Some(json!({
        "state": state,
        "uptime": uptime,
        "num_cpus": cpu_details.len(),
        "num_nics": 0,
        "num_disks": disk_details.len(),
        "cpu_details": cpu_details,
        "nic_details": [],
        "disk_details": disk_details,
        "memory_details": {"maximum": memory, "used": memory},
    })))
}

/// Disks with a device; QEMU also tells of the files under them.
fn disks(blocks: &Value) -> Vec<Value> {
    blocks
        .as_array()
        .into_iter()
        .flatten()
        .filter(|block| block.get("qdev").and_then(Value::as_str).is_some_and(|q| !q.is_empty()))
        .filter_map(|block| block.get("stats"))
        .map(|stats| {
            let figure = |key: &str| stats.get(key).and_then(Value::as_u64);
            let failed = figure("failed_rd_operations")
                .zip(figure("failed_wr_operations"))
                .map(|(reads, writes)| reads + writes);
            json!({
                "read_bytes": figure("rd_bytes"),
                "read_requests": figure("rd_operations"),
                "write_bytes": figure("wr_bytes"),
                "write_requests": figure("wr_operations"),
                "errors_count": failed,
            })
        })
        .collect()
}

/// Nanoseconds that a thread ran, of the kernel's line on it.
fn processor_time(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11).map(str::parse::<u64>);
    let ticks = fields.next()?.ok()? + fields.next()?.ok()?;
    Some(ticks * (1_000_000_000 / TICKS_PER_SECOND))
}

fn uptime(started: u64) -> Option<u64> {
    let text = fs::read_to_string("/proc/uptime").ok()?;
    let seconds = text.split('.').next()?.parse::<u64>().ok()?;
    seconds.checked_sub(started / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read() {
        let stat = "7 (CPU 0/TCG) R 1 7 7 0 -1 0 1 2 3 4 250 50 0 0 20 0 3 0 100";
        assert_eq!(processor_time(stat), Some(300 * (1_000_000_000 / TICKS_PER_SECOND)));
        let blocks = json!([
            {"device": "", "qdev": "/machine/peripheral/disk-root/virtio-backend", "stats": {
                "rd_bytes": 1, "rd_operations": 2, "wr_bytes": 3, "wr_operations": 4,
                "failed_rd_operations": 5, "failed_wr_operations": 6, "new_field": []}},
            {"node-name": "root-file", "stats": {}},
        ]);
        assert_eq!(
            disks(&blocks),
            [json!({
            "read_bytes": 1, "read_requests": 2, "write_bytes": 3, "write_requests": 4,
            "errors_count": 11})]
        );
    }
}
