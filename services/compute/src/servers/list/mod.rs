//! Lists of servers: what is asked (`query`), which servers fit (`filter`), in which order (`sort`). The
//! usual order is that of an index, so that a page costs what it shows and not what there is.

mod filter;
mod query;
mod sort;

use std::{iter::Peekable, sync::Arc};

use base::Result;
use serde::{Serialize, Serializer, ser::SerializeSeq};
use serde_json::Value;
use state::Snapshot;
use web::{Call, Reply};

use super::{
    batch::BatchRecord,
    find::{self, Server},
    record::{ServerRecord, newest_first, project_key},
    tombstone::DeletedServer,
    view::{self, Depth, View},
};
use crate::{
    Compute,
    paging::{self, Page},
};
use filter::Filter;
use query::Asked;

/// `GET /servers`
pub(super) async fn index(call: Call<Compute>) -> Result<Reply> {
    let (page, servers, snapshot) = list(&call, "os_compute_api:servers:index").await?;
    let view = View::of(&call, &snapshot, Depth::Detail, call.actor.project_id());
    let list = rendered(&servers, |server| view.brief(server));
    reply(&call, &page, &servers, &list)
}

/// `GET /servers/detail`
pub(super) async fn detail(call: Call<Compute>) -> Result<Reply> {
    let (page, servers, snapshot) = list(&call, "os_compute_api:servers:detail").await?;
    let mut view = View::of(&call, &snapshot, Depth::Detail, call.actor.project_id());
    view.prepare(servers.iter());
    let list = rendered(&servers, |server| view.full(server));
    reply(&call, &page, &servers, &list)
}

/// Each server by the same function.
fn rendered<'s, F, V>(servers: &'s [Server], show: F) -> Rendered<'s, F>
where
    F: Fn(&'s Server) -> V,
{
    Rendered(show, servers)
}

struct Rendered<'s, F>(F, &'s [Server]);

impl<'s, F, V> Serialize for Rendered<'s, F>
where
    F: Fn(&'s Server) -> V,
    V: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.1.len()))?;
        for server in self.1 {
            list.serialize_element(&(self.0)(server))?;
        }
        list.end()
    }
}

fn reply(
    call: &Call<Compute>,
    page: &Page,
    servers: &[Server],
    list: &impl Serialize,
) -> Result<Reply> {
    let last = servers.last().map(|server| &*server.id);
    let links = paging::next(call, page, view::collection(call), servers.len(), last);
    #[derive(Serialize)]
    struct Body<'b, L> {
        servers: &'b L,
        #[serde(skip_serializing_if = "Option::is_none")]
        servers_links: Option<Value>,
    }
    Reply::rendered(200, &Body { servers: list, servers_links: links })
}

async fn list(call: &Call<Compute>, policy: &'static str) -> Result<(Page, Vec<Server>, Snapshot)> {
    call.allow(policy, &call.own())?;
    let asked = Asked::of(call, policy)?;
    let page = Page::of(call, call.context.config.max_limit)?;
    let snapshot = call.context.state.fresh().await?;
    let servers = match &asked {
        // Nothing can fit.
        None => Vec::new(),
        Some(_) if page.limit == 0 => Vec::new(),
        Some(asked) => select(&snapshot, asked, &page, call)?,
    };
    Ok((page, servers, snapshot))
}

fn select(
    snapshot: &Snapshot,
    asked: &Asked,
    page: &Page,
    call: &Call<Compute>,
) -> Result<Vec<Server>> {
    let filter = Filter::new(asked, snapshot, &call.context.config.default_zone);
    let marker = match &page.marker {
        None => None,
        Some(id) => Some(marked(snapshot, id).ok_or_else(|| paging::no_marker(id))?),
    };
    let project = asked.project.as_deref();
    if asked.sort.is_newest_first() {
        let after = marker.as_ref().map(|m| (key(project, m), m.id.clone()));
        let from = Sources { snapshot, project, after, live: asked.live, deleted: asked.deleted };
        let fitting = from.servers().filter(|server| filter.fits(server));
        return Ok(fitting.take(page.limit).collect());
    }
    let from = Sources { snapshot, project, after: None, live: asked.live, deleted: asked.deleted };
    let mut all: Vec<Server> = from.servers().filter(|server| filter.fits(server)).collect();
    asked.sort.sort(&mut all);
    let start = match &marker {
        None => 0,
        // The marker itself need not fit.
        Some(marker) => all.partition_point(|server| asked.sort.compare(server, marker).is_le()),
    };
    Ok(all.into_iter().skip(start).take(page.limit).collect())
}

fn marked(snapshot: &Snapshot, id: &str) -> Option<Server> {
    find::find(snapshot, id).ok().flatten().or_else(|| {
        let gone = snapshot.get::<DeletedServer>(id)?;
        Some(Server { id: gone.id.clone(), record: Arc::new(gone.0.clone()) })
    })
}

/// The text of the index that is walked.
fn key(project: Option<&str>, server: &Server) -> String {
    match project {
        Some(project) => project_key(project, server.created_at),
        None => newest_first(server.created_at),
    }
}

/// Where servers come from: records, batches, tombstones.
struct Sources<'s> {
    snapshot: &'s Snapshot,
    /// Of this project only.
    project: Option<&'s str>,
    /// Behind this place in the order.
    after: Option<(String, Arc<str>)>,
    live: bool,
    deleted: bool,
}

type Place = (Arc<str>, Arc<str>);

enum Source {
    Record(Place),
    Member(Place, Server),
    Tombstone(Place),
}

impl<'s> Sources<'s> {
    /// All of them, the newest first.
    fn servers(self) -> impl Iterator<Item = Server> + use<'s> {
        let snapshot = self.snapshot;
        let nothing = || Box::new(std::iter::empty()) as Box<dyn Iterator<Item = Source> + 's>;
        let records: Box<dyn Iterator<Item = Source> + 's> = match self.live {
            true => Box::new(self.places::<ServerRecord>().map(Source::Record)),
            false => nothing(),
        };
        let members: Box<dyn Iterator<Item = Source> + 's> = match self.live {
            true => Box::new(self.members().into_iter()),
            false => nothing(),
        };
        let tombstones: Box<dyn Iterator<Item = Source> + 's> = match self.deleted {
            true => Box::new(self.places::<DeletedServer>().map(Source::Tombstone)),
            false => nothing(),
        };
        Merged(Merged(records.peekable(), members.peekable()).peekable(), tombstones.peekable())
            .filter_map(move |source| source.server(snapshot))
    }

    fn places<T: state::Record>(&self) -> Box<dyn Iterator<Item = Place> + 's> {
        let (index, prefix) = match self.project {
            Some(project) => ("project", format!("{project}/")),
            None => ("created", String::new()),
        };
        match &self.after {
            None => Box::new(self.snapshot.index_range::<T>(index, &prefix)),
            Some((text, id)) => Box::new(self.snapshot.index_after::<T>(index, &prefix, text, id)),
        }
    }

    /// Members of batches are few, and not for long.
    fn members(&self) -> Vec<Source> {
        let (index, prefix) = match self.project {
            Some(project) => ("project", format!("{project}/")),
            None => ("created", String::new()),
        };
        let mut found: Vec<(Place, Server)> = Vec::new();
        for (text, batch) in self.snapshot.index_range::<BatchRecord>(index, &prefix) {
            let Some(batch) = self.snapshot.get::<BatchRecord>(&batch) else { continue };
            found.extend(batch.servers().map(|s| ((text.clone(), s.id.clone()), s)));
        }
        if let Some((text, id)) = &self.after {
            found.retain(|((t, i), _)| (&**t, &**i) > (text.as_str(), &**id));
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        found.into_iter().map(|(place, server)| Source::Member(place, server)).collect()
    }
}

impl Source {
    fn place(&self) -> &Place {
        match self {
            Source::Record(place) | Source::Member(place, _) | Source::Tombstone(place) => place,
        }
    }

    fn server(self, snapshot: &Snapshot) -> Option<Server> {
        match self {
            Source::Record((_, id)) => {
                let entry = snapshot.get::<ServerRecord>(&id)?;
                Some(Server { id, record: entry.record() })
            }
            Source::Member(_, server) => Some(server),
            Source::Tombstone((_, id)) => {
                let entry = snapshot.get::<DeletedServer>(&id)?;
                Some(Server { id, record: Arc::new(entry.0.clone()) })
            }
        }
    }
}

/// Two ordered sources as one.
struct Merged<A: Iterator, B: Iterator>(Peekable<A>, Peekable<B>);

impl<A, B> Iterator for Merged<A, B>
where
    A: Iterator<Item = Source>,
    B: Iterator<Item = Source>,
{
    type Item = Source;

    fn next(&mut self) -> Option<Source> {
        match (self.0.peek(), self.1.peek()) {
            (Some(a), Some(b)) if a.place() <= b.place() => self.0.next(),
            (_, Some(_)) => self.1.next(),
            _ => self.0.next(),
        }
    }
}
