//! The simplest store there is, to compare the others with: no history, no leases, no speed.

use base::Revision;

use crate::store::{Batch, Change, Condition, Item, Key, Transaction, Write};

#[derive(Clone, Default)]
pub struct Model {
    items: base::Map<Key, Item>,
}

impl Model {
    pub fn items(&self) -> Vec<Item> {
        self.items.values().cloned().collect()
    }

    pub fn item(&self, key: &str) -> Option<&Item> {
        self.items.get(key)
    }

    pub fn holds(&self, conditions: &[Condition]) -> bool {
        conditions.iter().all(|condition| match condition {
            Condition::Unchanged { key, modified } => {
                self.item(key).map(|item| item.modified) == Some(*modified)
            }
            Condition::Alive { key, created } => {
                self.item(key).map(|item| item.created) == Some(*created)
            }
            Condition::Absent { key } => self.item(key).is_none(),
            Condition::Empty { prefix } => !self.items.keys().any(|k| k.starts_with(&**prefix)),
        })
    }

    /// What the writes change, if that is anything.
    pub fn effect(&self, revision: Revision, transaction: &Transaction) -> Option<Batch> {
        let changes: Vec<_> = transaction
            .writes
            .iter()
            .filter_map(|write| match write {
                Write::Put { key, value, lease } => Some(Change::Put(Item {
                    key: key.clone(),
                    value: value.clone(),
                    created: self.item(key).map_or(revision, |item| item.created),
                    modified: revision,
                    lease: *lease,
                })),
                Write::Delete { key } => {
                    self.item(key).map(|item| Change::Deleted(item.key.clone()))
                }
            })
            .collect();
        (!changes.is_empty()).then_some(Batch { revision, changes })
    }

    pub fn follow(&mut self, batch: &Batch) {
        for change in &batch.changes {
            match change {
                Change::Put(item) => self.items.insert(item.key.clone(), item.clone()),
                Change::Deleted(key) => self.items.remove(key),
            };
        }
    }
}

/// The same batch with its changes in key order: stores may tell them in any.
pub fn sorted(batch: &Batch) -> Batch {
    let mut batch = batch.clone();
    batch.changes.sort_by(|a, b| a.key().cmp(b.key()));
    batch
}
