//! What a host refused a machine for, in words.

use std::fmt::{self, Write};

use base::Map;

use crate::{DISK_GB, MEMORY_MB, VCPU, inventories::Misfit};

/// One host that refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its name.
    pub host: String,
    /// What for.
    pub reason: Reason,
}

/// What a host refuses for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Another host was asked for.
    NotAsked,
    /// The request leaves it out.
    Ignored,
    /// It does not answer, or was said to be down.
    Down,
    /// It is switched off, and why.
    Disabled(String),
    /// It is being worked on.
    Maintenance,
    /// It is in another zone.
    Zone {
        /// The one asked for.
        wanted: String,
        /// Its own.
        own: String,
    },
    /// Not enough of something.
    Full {
        /// Of which class.
        class: String,
        /// How not.
        misfit: Misfit,
    },
    /// Members of the group are elsewhere.
    Affinity,
    /// As many members of the group as may be are here.
    AntiAffinity {
        /// So many are here.
        here: u64,
        /// So many may be.
        most: u64,
    },
    /// None of the servers of hint `same_host` is here.
    SameHost,
    /// A server of hint `different_host` is here.
    DifferentHost,
    /// An extra spec of the flavor about aggregates.
    Aggregate {
        /// Its key.
        key: String,
        /// What it wants.
        wanted: String,
        /// What the aggregates say.
        own: Option<String>,
    },
    /// An extra spec of the flavor about the host.
    Capability {
        /// Its key.
        key: String,
        /// What it wants.
        wanted: String,
        /// What the host has.
        own: Option<String>,
    },
    /// A trait that the flavor or the image wants.
    MissingTrait(String),
    /// A trait that the flavor or the image forbids.
    ForbiddenTrait(String),
    /// A property of the image.
    Image {
        /// Its name.
        property: &'static str,
        /// What it wants.
        wanted: String,
        /// What the host is.
        own: String,
    },
}

fn class_name(class: &str) -> &str {
    match class {
        VCPU => "cores",
        MEMORY_MB => "memory (MiB)",
        DISK_GB => "disk (GiB)",
        other => other,
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NotAsked => f.write_str("another host was asked for"),
            Reason::Ignored => f.write_str("the request leaves it out"),
            Reason::Down => f.write_str("it is down"),
            Reason::Disabled(why) if why.is_empty() => f.write_str("it is disabled"),
            Reason::Disabled(why) => write!(f, "it is disabled: {why}"),
            Reason::Maintenance => f.write_str("it is in maintenance"),
            Reason::Zone { wanted, own } => write!(f, "zone {wanted} asked, it is in {own}"),
            Reason::Full { class, misfit } => write!(f, "{}: {misfit}", class_name(class)),
            Reason::Affinity => f.write_str("the server group's members are on another host"),
            Reason::AntiAffinity { here, most } => {
                write!(f, "the server group has {here} of at most {most} members here")
            }
            Reason::SameHost => f.write_str("none of the servers of same_host is here"),
            Reason::DifferentHost => f.write_str("a server of different_host is here"),
            Reason::Aggregate { key, wanted, own } => {
                differs(f, "the flavor wants its aggregates to have", key, wanted, own.as_deref())
            }
            Reason::Capability { key, wanted, own } => {
                differs(f, "the flavor wants", key, wanted, own.as_deref())
            }
            Reason::MissingTrait(name) => write!(f, "it has not the trait {name}"),
            Reason::ForbiddenTrait(name) => write!(f, "it has the forbidden trait {name}"),
            Reason::Image { property, wanted, own } => {
                write!(f, "the image wants {property} {wanted}, it is {own}")
            }
        }
    }
}

fn differs(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    key: &str,
    wanted: &str,
    own: Option<&str>,
) -> fmt::Result {
    match own {
        Some(own) => write!(f, "{what} {key} {wanted}, it is {own}"),
        None => write!(f, "{what} {key} {wanted}, it has none"),
    }
}

impl Reason {
    /// The reason without the host's own figures: what a count is made by.
    fn kind(&self) -> String {
        match self {
            Reason::Disabled(_) => "disabled".into(),
            Reason::Down => "down".into(),
            Reason::Maintenance => "in maintenance".into(),
            Reason::Zone { wanted, .. } => format!("not in zone {wanted}"),
            Reason::Full { class, misfit: Misfit::Full { asked, .. } } => {
                format!("not enough {} free for {asked}", class_name(class))
            }
            Reason::Full { class, misfit: Misfit::Unit { asked, .. } } => {
                format!("{asked} {} too much or too little for one machine", class_name(class))
            }
            Reason::AntiAffinity { .. } => "as many members of the server group as may be".into(),
            Reason::Aggregate { key, wanted, .. } => format!("no aggregate with {key} {wanted}"),
            Reason::Capability { key, wanted, .. } => format!("not {key} {wanted}"),
            Reason::Image { property, wanted, .. } => format!("not {property} {wanted}"),
            Reason::NotAsked
            | Reason::Ignored
            | Reason::Affinity
            | Reason::SameHost
            | Reason::DifferentHost
            | Reason::MissingTrait(_)
            | Reason::ForbiddenTrait(_) => self.to_string(),
        }
    }
}

/// What to tell about a machine that found no host, in at most about `bound` bytes: a count for each
/// reason first, then each node with what refused it. For a server's `fault.details`.
pub fn no_valid_host(refusals: &[Refusal], bound: usize) -> String {
    if refusals.is_empty() {
        return "There are no nodes.".into();
    }
    let mut counts = Map::<String, usize>::new();
    for refusal in refusals {
        *counts.entry(refusal.reason.kind()).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut text = String::new();
    let mut left = counts.len();
    for (kind, count) in counts {
        let line = format!("{count} of {} nodes: {kind}\n", refusals.len());
        // Reasons may take half of the room.
        if text.len() + line.len() > bound / 2 {
            // Writing into text cannot fail.
            let _ok = writeln!(text, "and {left} more reasons");
            break;
        }
        text.push_str(&line);
        left -= 1;
    }
    let mut by_name: Vec<_> = refusals.iter().collect();
    by_name.sort_by(|a, b| a.host.cmp(&b.host));
    let mut left = by_name.len();
    for refusal in by_name {
        let line = format!("{}: {}\n", refusal.host, refusal.reason);
        if text.len() + line.len() > bound {
            let _ok = writeln!(text, "and {left} more nodes");
            break;
        }
        text.push_str(&line);
        left -= 1;
    }
    text.truncate(text.trim_end().len());
    text
}
