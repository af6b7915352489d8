//! Which order is taken, which is refused. Pure: the caller keeps what is taken before it acts on it.

use std::sync::Arc;

use base::Epoch;
use orders::{VmId, VmOrder, VmSpec, Wanted};

use super::{Eras, Held};
use crate::drivers::hypervisor::{SeenVm, plain_id};

/// What becomes of an order that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the newest: keep it, then act on it.
    Take(Held),
    /// It is the one already held, and its permit is too.
    Same,
    /// It is older than what is known, or of another era, or malformed; why.
    Refuse(String),
}

/// Judges one order against what is held and seen of its machine. `boot` is the host's present boot:
/// an order from a link is a permit to start within it.
pub fn judge(
    eras: &Eras,
    held: Option<&Held>,
    seen: Option<&SeenVm>,
    order: VmOrder,
    boot: &Arc<str>,
) -> Verdict {
    if !plain_id(&order.id) {
        return Verdict::Refuse(format!("{:?} cannot be a machine's id", order.id.as_str()));
    }
    if eras.current.as_ref() != Some(&order.version.era) {
        return Verdict::Refuse(format!(
            "it is of the era {}, and the controller was welcomed with {}",
            order.version.era,
            eras.current.as_ref().map_or("none", |era| &era.0),
        ));
    }
    let fresh = |order, forgiven| Held {
        order: Arc::new(order),
        permit: Some(boot.clone()),
        outcome: None,
        forgiven,
        was: None,
        clear_first: false,
        stranger: false,
        forgotten: None,
    };
    // What ended before this order came does not stand against starting again.
    let ended = seen.filter(|seen| seen.power.is_off()).map(|seen| seen.starts);
    let Some(held) = held else {
        if let Some(seen) = seen
            && seen.epoch > order.epoch
        {
            return Verdict::Refuse(format!(
                "its epoch {} is older than {}, under which the machine is here",
                order.epoch, seen.epoch
            ));
        }
        return Verdict::Take(fresh(order, ended.unwrap_or(0)));
    };
    let same_era = held.order.version.era == order.version.era;
    if same_era {
        if order.epoch < held.order.epoch {
            return Verdict::Refuse(format!(
                "its epoch {} is older than {}",
                order.epoch, held.order.epoch
            ));
        }
        // Within an epoch the revision decides; a newer epoch was given by a newer record anyway.
        if !order.version.replaces(&held.order.version) {
            return Verdict::Refuse(format!(
                "its revision {} is older than {}",
                order.version.revision, held.order.version.revision
            ));
        }
    }
    if held.forgotten.is_some() {
        if same_era && order.version == held.order.version {
            return Verdict::Refuse("it was carried out and forgotten".to_owned());
        }
        return Verdict::Take(fresh(order, 0));
    }
    if *held.order == order {
        if held.permit.as_ref() == Some(boot) && !held.stranger {
            return Verdict::Same;
        }
        return Verdict::Take(Held { permit: Some(boot.clone()), stranger: false, ..held.clone() });
    }
    let same_epoch = same_era && order.epoch == held.order.epoch;
    if same_epoch && order.version == held.order.version && order.wanted == held.order.wanted {
        // The same wish in other words, such as a new name: no reason to try again what was given up.
        let permit = Some(boot.clone());
        return Verdict::Take(Held {
            order: Arc::new(order),
            permit,
            stranger: false,
            ..held.clone()
        });
    }
    let mut next = fresh(order, 0);
    if !same_era {
        // The numbers of two lives of the store say nothing about each other, but the machine is the
        // one that this node was told to keep: it is not restarted for a restored database.
        next.was = seen
            .map(|seen| seen.epoch)
            .filter(|epoch| *epoch == held.order.epoch || Some(*epoch) == held.was);
        next.forgiven = ended.unwrap_or(held.forgiven);
    } else if same_epoch {
        next.was = held.was;
        next.forgiven = ended.unwrap_or(held.forgiven);
    }
    next.clear_first = held.clear_first
        || (held.order.wanted == Wanted::Gone
            && next.order.wanted != Wanted::Gone
            && seen.is_some());
    Verdict::Take(next)
}

impl Held {
    /// What is left of an order that was carried out to its end: enough to refuse older ones.
    #[must_use]
    pub fn tombstone(&self, at: base::Timestamp) -> Held {
        let spec = VmSpec {
            name: String::new(),
            vcpus: 0,
            ram_mib: 0,
            root_gib: 0,
            ephemeral_gib: 0,
            swap_mib: 0,
            image: None,
            config_drive: None,
            only_here: false,
        };
        let order = VmOrder { spec, ..VmOrder::clone(&self.order) };
        Held { order: Arc::new(order), forgotten: Some(at), permit: None, ..self.clone() }
    }

    /// Which machine.
    pub fn id(&self) -> &VmId {
        &self.order.id
    }

    /// Whether the machine may be started now: a controller said so since this boot of the host, or
    /// nobody else could run it.
    pub fn may_start(&self, boot: &str) -> bool {
        self.permit.as_deref() == Some(boot) || self.order.spec.only_here
    }

    /// The epoch under which a process that is here may go on running.
    pub fn runs_under(&self, epoch: Epoch) -> bool {
        epoch == self.order.epoch
    }
}
