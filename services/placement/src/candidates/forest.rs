//! All providers at one revision, in a vector, with their places in their trees.

use std::sync::Arc;

use base::{Map, Set};
use state::Snapshot;

use crate::{Inventory, ProviderRecord, UsageRecord, standard::SHARES};

/// A provider's place in the [`Forest`]. In the order of the ids.
pub(super) type Place = usize;

/// A provider.
pub(super) struct Node {
    pub(super) id: Arc<str>,
    pub(super) record: Arc<ProviderRecord>,
    usage: Option<Arc<UsageRecord>>,
    pub(super) parent: Option<Place>,
    pub(super) root: Place,
}

impl Node {
    /// How much of a class is taken.
    pub(super) fn used(&self, class: &str) -> u64 {
        self.usage.as_ref().map_or(0, |usage| usage.used.get(class))
    }

    pub(super) fn inventory(&self, class: &str) -> Option<&Inventory> {
        self.record.inventories.get(class)
    }

    /// Whether there is room for so much.
    pub(super) fn fits(&self, class: &str, amount: u64) -> bool {
        self.inventory(class).is_some_and(|own| own.fits(amount, self.used(class)).is_ok())
    }

    /// Whether others use its inventory through a common aggregate.
    fn shares(&self) -> bool {
        self.record.traits.binary_search_by(|own| own.as_str().cmp(SHARES)).is_ok()
    }
}

/// All providers.
pub(super) struct Forest {
    pub(super) nodes: Vec<Node>,
    /// Some provider has a parent.
    pub(super) nested: bool,
    /// The roots that a sharing provider is shared with, its own among them.
    sharing: Map<Place, Set<Place>>,
    /// The providers of each tree, when there are such of more than one.
    trees: Map<Place, Vec<Place>>,
}

impl Forest {
    /// Reads all providers.
    pub(super) fn read(snapshot: &Snapshot) -> Forest {
        // Both come in the order of their ids: read side by side.
        let mut usages = snapshot.all::<UsageRecord>().peekable();
        let mut nodes: Vec<Node> = Vec::with_capacity(snapshot.count::<ProviderRecord>());
        for entry in snapshot.all::<ProviderRecord>() {
            while usages.next_if(|usage| usage.id < entry.id).is_some() {}
            let usage = usages.next_if(|usage| usage.id == entry.id).map(|usage| usage.record());
            let root = nodes.len();
            let (id, record) = (entry.id.clone(), entry.record());
            nodes.push(Node { id, record, usage, parent: None, root });
        }
        let mut forest = Forest { nodes, nested: false, sharing: Map::new(), trees: Map::new() };
        forest.plant();
        forest.share();
        forest
    }

    /// The provider with this id.
    pub(super) fn find(&self, id: &str) -> Option<Place> {
        self.nodes.binary_search_by(|node| (*node.id).cmp(id)).ok()
    }

    fn plant(&mut self) {
        let parents: Vec<Option<Place>> = self
            .nodes
            .iter()
            .map(|node| node.record.parent.as_deref().and_then(|parent| self.find(parent)))
            .collect();
        self.nested = parents.iter().any(Option::is_some);
        if !self.nested {
            return;
        }
        for (place, parent) in parents.iter().enumerate() {
            let mut root = place;
            // Trees have no loops; a damaged one shall not hang anybody.
            for _ in 0..1000 {
                match parents.get(root).copied().flatten() {
                    Some(above) => root = above,
                    None => break,
                }
            }
            let node = &mut self.nodes[place];
            (node.parent, node.root) = (*parent, root);
            self.trees.entry(root).or_default().push(place);
        }
    }

    fn share(&mut self) {
        let sharing: Vec<Place> =
            (0..self.nodes.len()).filter(|place| self.nodes[*place].shares()).collect();
        if sharing.is_empty() {
            return;
        }
        let mut roots = Map::<&str, Set<Place>>::new();
        for place in &sharing {
            for aggregate in &self.nodes[*place].record.aggregates {
                roots.entry(aggregate).or_default();
            }
        }
        for node in &self.nodes {
            for aggregate in &node.record.aggregates {
                if let Some(roots) = roots.get_mut(aggregate.as_str()) {
                    roots.insert(node.root);
                }
            }
        }
        let with = |place: &Place| {
            let aggregates = &self.nodes[*place].record.aggregates;
            aggregates.iter().filter_map(|one| roots.get(one.as_str())).flatten().copied().collect()
        };
        let sharing = sharing.iter().map(|place| (*place, with(place))).collect();
        self.sharing = sharing;
    }

    /// Whether anything is shared.
    pub(super) fn has_sharing(&self) -> bool {
        !self.sharing.is_empty()
    }

    /// Sharing providers with the roots that they are shared with.
    pub(super) fn sharing(&self) -> impl Iterator<Item = (Place, &Set<Place>)> {
        self.sharing.iter().map(|(place, roots)| (*place, roots))
    }

    /// The roots that this provider is shared with, if it is.
    pub(super) fn shared_with(&self, place: Place) -> Option<&Set<Place>> {
        self.sharing.get(&place)
    }

    /// All providers of the tree with this root.
    pub(super) fn tree(&self, root: Place) -> Vec<Place> {
        self.trees.get(&root).cloned().unwrap_or_else(|| vec![root])
    }

    /// Whether `above` is `below` or an ancestor of it.
    pub(super) fn is_above(&self, above: Place, below: Place) -> bool {
        let mut place = Some(below);
        for _ in 0..1000 {
            match place {
                Some(here) if here == above => return true,
                Some(here) => place = self.nodes[here].parent,
                None => return false,
            }
        }
        false
    }
}
