//! Cold loads: many keys at one revision, in parts side by side. No paging by `limit`: etcd counts the
//! rest of the range for each page.

use std::sync::Arc;

use base::{Error, Result, Revision};
use tokio::sync::Semaphore;

use super::{
    ATTEMPTS, EtcdStore, LOAD, is_compacted, item, number, range_end, range_start, refused,
    revision, wire,
};
use crate::store::{Item, Reading, prefix_end};

/// So many keys are loaded at once, about,
const PART: i64 = 4_000;
/// and so many parts side by side.
const SIDE_BY_SIDE: usize = 6;

/// Why a load at some revision stopped.
enum Stop {
    /// Its revision was compacted away: begin again at the newest.
    Compacted,
    Failed(Error),
}

/// Of one table, and of those after it.
type Tables = Result<Option<(Vec<Range>, Option<Range>)>, Stop>;

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// A range of keys. An end of `\0` is none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    start: Vec<u8>,
    end: Vec<u8>,
}

impl Range {
    /// The part of it that lies in the other; `None` when there is none.
    fn within(&self, other: &Range) -> Option<Range> {
        let start = self.start.clone().max(other.start.clone());
        let end = match (&self.end[..], &other.end[..]) {
            ([0], end) | (end, [0]) => end.to_vec(),
            (one, two) => one.min(two).to_vec(),
        };
        (end == [0] || start < end).then_some(Range { start, end })
    }
}

impl EtcdStore {
    pub(super) async fn load_sharded(&self, prefix: &str) -> Result<Reading<Vec<Item>>> {
        let all = Range { start: range_start(prefix), end: range_end(prefix) };
        for _ in 0..ATTEMPTS {
            let count = self.range(&all, 0, |request| request.count_only = true).await;
            let count = match count {
                Ok(count) => count,
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::Compacted) => continue,
            };
            let at = revision(count.header.as_ref());
            match self.load_at(&all, at, count.count).await {
                Ok(items) => return Ok(Reading { revision: at, items }),
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::Compacted) => {}
            }
        }
        Err(Error::unavailable("etcd compacts faster than it can be read. Try again."))
    }

    async fn load_at(&self, all: &Range, at: Revision, count: i64) -> Result<Vec<Item>, Stop> {
        let at = number(at).unwrap_or(0);
        if count <= PART {
            return self.load_part(all.clone(), at).await;
        }
        // Tables are found one after the other while the parts of those before are loaded.
        let room = Arc::new(Semaphore::new(SIDE_BY_SIDE));
        let mut loads = Vec::new();
        let mut left = Some(all.clone());
        while let Some(range) = left {
            let Some((parts, rest)) = self.next_table(&range, at).await? else { break };
            left = rest;
            for part in parts {
                let (store, room) = (self.clone(), room.clone());
                loads.push(self.inner.world.spawn("etcd-load", async move {
                    let _permit = room.acquire_owned().await;
                    store.load_part(part, at).await
                }));
            }
        }
        let mut items = Vec::new();
        for load in loads {
            match load.await {
                Some(part) => items.append(&mut part?),
                None => return Err(Error::internal("A part of a load failed.").into()),
            }
        }
        Ok(items)
    }

    /// The parts of the first table in this range, and what is left after it.
    async fn next_table(&self, left: &Range, at: i64) -> Tables {
        let first = self
            .range(left, at, |request| {
                request.limit = 1;
                request.keys_only = true;
            })
            .await?;
        let Some(first) = first.kvs.into_iter().next() else { return Ok(None) };
        let first = String::from_utf8(first.key)
            .map_err(|_| Error::internal("etcd holds a key that is not text."))?;
        let table = table(&first);
        let whole = Range { start: table.as_bytes().to_vec(), end: range_end(table) };
        let Some(inside) = whole.within(left) else { return Ok(None) };
        let count = self.range(&inside, at, |request| request.count_only = true).await?.count;
        let parts = parts(table, count).iter().filter_map(|part| part.within(&inside)).collect();
        let rest = Range { start: whole.end, end: left.end.clone() };
        let rest =
            (rest.start != [0] && (rest.end == [0] || rest.start < rest.end)).then_some(rest);
        Ok(Some((parts, rest)))
    }

    async fn load_part(&self, part: Range, at: i64) -> Result<Vec<Item>, Stop> {
        let answer = self.range(&part, at, |_| {}).await?;
        Ok(answer.kvs.into_iter().map(item).collect::<Result<_>>()?)
    }

    async fn range(
        &self,
        range: &Range,
        at: i64,
        change: impl FnOnce(&mut wire::RangeRequest),
    ) -> Result<wire::RangeResponse, Stop> {
        let mut request = wire::RangeRequest {
            key: range.start.clone(),
            range_end: range.end.clone(),
            revision: at,
            ..Default::default()
        };
        change(&mut request);
        match self.ask_or_status(wire::RANGE, &request, LOAD).await? {
            Ok(answer) => Ok(answer),
            Err(status) if is_compacted(&status) => Err(Stop::Compacted),
            Err(status) => Err(refused(&status).into()),
        }
    }
}

/// `/<cell>/<table>/` of a key of ours; of any other the part up to its last slash.
fn table(key: &str) -> &str {
    let mut slashes = key.match_indices('/').map(|(at, _)| at + 1);
    match slashes.nth(2).or_else(|| key.rfind('/').map(|at| at + 1)) {
        Some(end) => &key[..end],
        None => key,
    }
}

/// Cuts a table where the hashes in its keys begin, into parts without a gap.
fn parts(table: &str, count: i64) -> Vec<Range> {
    let digits: &[u8] = b"0123456789abcdef";
    let cuts: Vec<Vec<u8>> = match count {
        ..=PART => vec![],
        _ if count <= PART * 16 => digits.iter().map(|digit| vec![*digit]).collect(),
        _ => digits.iter().flat_map(|one| digits.iter().map(|two| vec![*one, *two])).collect(),
    };
    let name = table.as_bytes();
    let mut start = name.to_vec();
    let mut parts = Vec::with_capacity(cuts.len() + 1);
    for cut in cuts {
        let end = [name, &cut].concat();
        parts.push(Range { start, end: end.clone() });
        start = end;
    }
    let end = prefix_end(table).map_or_else(|| vec![0], String::into_bytes);
    parts.push(Range { start, end });
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: &str, end: &str) -> Range {
        Range { start: start.into(), end: end.into() }
    }

    #[test]
    fn tables_of_keys() {
        assert_eq!(table("/cell/servers/3f/id"), "/cell/servers/");
        assert_eq!(table("/cell/servers/"), "/cell/servers/");
        assert_eq!(table("/cell/odd"), "/cell/");
        assert_eq!(table("/odd"), "/");
    }

    #[test]
    fn parts_leave_no_gap() {
        for count in [0, PART, PART + 1, PART * 16, PART * 16 + 1] {
            let parts = parts("/c/t/", count);
            assert_eq!(parts[0].start, b"/c/t/");
            assert_eq!(parts[parts.len() - 1].end, b"/c/t0");
            for pair in parts.windows(2) {
                assert_eq!(pair[0].end, pair[1].start);
                assert!(pair[0].start < pair[0].end);
            }
        }
        assert_eq!(parts("/c/t/", 1).len(), 1);
        assert_eq!(parts("/c/t/", PART + 1).len(), 17);
    }

    #[test]
    fn ranges_within_ranges() {
        let within = |one: Range, two: Range| one.within(&two);
        assert_eq!(within(range("/a", "/c"), range("/b", "/d")), Some(range("/b", "/c")));
        assert_eq!(within(range("/a", "/c"), range("/b", "\0")), Some(range("/b", "/c")));
        assert_eq!(within(range("/a", "\0"), range("/b", "\0")), Some(range("/b", "\0")));
        assert_eq!(within(range("/a", "/b"), range("/b", "/c")), None);
    }
}
