//! Choosing: filters, weighers, and among the best few a pick by a hash of the seed, so that a burst of
//! machines that all see the same state does not pile up on one host.

use std::cmp::Ordering;

use super::{
    Host, Refusal, Request,
    filters::Filters,
    request::{GroupPolicy, GroupRule},
};

/// Weights that differ by no more are equally good: weights are sums of four parts in 0..=1.
const SLACK: f64 = 0.15;

impl GroupRule {
    /// How many members are on this host.
    pub(super) fn here(&self, host: &Host<'_>) -> u64 {
        let count = |key: &str| self.members.get(key).copied();
        count(host.name).or_else(|| count(host.id)).unwrap_or(0)
    }
}

struct Passed<'a> {
    id: &'a str,
    /// What a soft group rule makes of it; more is better.
    soft: i64,
    /// Free after the machine is there: memory, processors, disk.
    free: [u64; 3],
    busy: u64,
    weight: f64,
    hash: u64,
}

/// The provider id of the host that the machine shall go to; when there is none, what each host refused
/// it for. The same for the same request and the same hosts, in whatever order they come.
///
/// # Errors
/// One refusal for each host.
pub fn choose<'a>(
    request: &Request,
    hosts: impl Iterator<Item = Host<'a>>,
) -> Result<&'a str, Vec<Refusal>> {
    let filters = Filters::new(request);
    let mut passed = Vec::new();
    let mut refused = Vec::new();
    for host in hosts {
        match filters.pass(&host) {
            Ok(()) => passed.push(look(request, &host)),
            // Their words are needed only when nobody passes, but then of all.
            Err(reason) => refused.push((host.name, reason)),
        }
    }
    if passed.is_empty() {
        let words = |(host, reason): (&str, _)| Refusal { host: host.to_owned(), reason };
        return Err(refused.into_iter().map(words).collect());
    }
    weigh(&mut passed);
    Ok(pick(&request.seed, passed))
}

fn look<'a>(request: &Request, host: &Host<'a>) -> Passed<'a> {
    let asked = &request.resources;
    let left =
        |capacity: u64, used: u64, asked: u64| capacity.saturating_sub(used).saturating_sub(asked);
    let soft = match &request.group {
        Some(group) => {
            let here = i64::try_from(group.here(host)).unwrap_or(i64::MAX);
            match group.policy {
                GroupPolicy::SoftAffinity => here,
                GroupPolicy::SoftAntiAffinity => -here,
                GroupPolicy::Affinity | GroupPolicy::AntiAffinity => 0,
            }
        }
        None => 0,
    };
    Passed {
        id: host.id,
        soft,
        free: [
            left(host.capacity.memory_mb, host.used.memory_mb, asked.memory_mb),
            left(host.capacity.vcpu, host.used.vcpu, asked.vcpu),
            left(host.capacity.disk_gb, host.used.disk_gb, asked.disk_gb),
        ],
        busy: host.busy,
        weight: 0.0,
        hash: 0,
    }
}

/// Nova's default weighers: more free memory, processors and disk are better, more machines being built
/// are worse. Each is taken relative to the greatest, so that nearly equal hosts weigh nearly the same.
fn weigh(passed: &mut [Passed<'_>]) {
    let mut most = [0_u64; 3];
    let mut busiest = 0;
    for host in &*passed {
        for (most, free) in most.iter_mut().zip(host.free) {
            *most = free.max(*most);
        }
        busiest = busiest.max(host.busy);
    }
    let part = |value: u64, most: u64| if most == 0 { 0.0 } else { value as f64 / most as f64 };
    for host in passed {
        let free: f64 = host.free.iter().zip(most).map(|(free, most)| part(*free, most)).sum();
        host.weight = free - part(host.busy, busiest);
    }
}

/// Among the best few by weight, the one with the greatest hash.
fn pick<'a>(seed: &str, mut passed: Vec<Passed<'a>>) -> &'a str {
    let better = |a: &Passed<'_>, b: &Passed<'_>| {
        b.soft.cmp(&a.soft).then_with(|| b.weight.total_cmp(&a.weight))
    };
    let Some(best) = passed.iter().min_by(|a, b| better(a, b)) else { return "" };
    let (soft, least) = (best.soft, best.weight - SLACK);
    passed.retain(|host| host.soft == soft && host.weight >= least);
    let seed = hash(0, seed);
    for host in &mut passed {
        host.hash = hash(seed, host.id);
    }
    let few = (passed.len() / 16).max(16);
    if few < passed.len() {
        let order = |a: &Passed<'_>, b: &Passed<'_>| -> Ordering {
            better(a, b).then_with(|| b.hash.cmp(&a.hash)).then_with(|| a.id.cmp(b.id))
        };
        passed.select_nth_unstable_by(few, order);
        passed.truncate(few);
    }
    let chosen = passed.iter().max_by(|a, b| a.hash.cmp(&b.hash).then_with(|| b.id.cmp(a.id)));
    chosen.map_or("", |host| host.id)
}

/// A quick hash, the same on every machine and in every version: choices must not change with them.
fn hash(seed: u64, text: &str) -> u64 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |hash: u64| {
        let hash = (hash ^ (hash >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        hash ^ (hash >> 29)
    };
    let mut hash = seed ^ ODD;
    for chunk in text.as_bytes().chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = mix(hash ^ u64::from_le_bytes(word)).wrapping_add(ODD);
    }
    mix(hash ^ text.len() as u64)
}
