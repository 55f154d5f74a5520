use std::collections::BTreeMap;

use super::{StateChanges, StateStore, StoreFailed};

/// A store in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryStore {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    nodes: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a block's changes part of the state.
    pub fn commit(&mut self, changes: &StateChanges) {
        for (key, value) in &changes.values {
            match value {
                Some(value) => drop(self.values.insert(key.clone(), value.clone())),
                None => drop(self.values.remove(key)),
            }
        }
        for key in &changes.stale {
            self.nodes.remove(key);
        }
        self.nodes.extend(changes.nodes.iter().map(|(k, v)| (k.clone(), v.clone())));
    }

    pub(super) fn put_node(&mut self, key: Vec<u8>, node: Vec<u8>) {
        self.nodes.insert(key, node);
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

fn begins_with<'a>(
    map: &'a BTreeMap<Vec<u8>, Vec<u8>>,
    prefix: &'a [u8],
) -> impl Iterator<Item = (&'a Vec<u8>, &'a Vec<u8>)> {
    map.range(prefix.to_vec()..).take_while(move |(key, _)| key.starts_with(prefix))
}

impl StateStore for MemoryStore {
    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFailed> {
        Ok(self.values.get(key).cloned())
    }

    fn node(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFailed> {
        Ok(self.nodes.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreFailed> {
        Ok(begins_with(&self.values, prefix).map(|(k, v)| (k.clone(), v.clone())).collect())
    }
}

/// A store with the changes of a block on top that is not committed yet.
pub struct PendingStore<'a> {
    base: &'a dyn StateStore,
    changes: &'a StateChanges,
}

impl<'a> PendingStore<'a> {
    /// Lays `changes` over `base`.
    #[must_use]
    pub const fn new(base: &'a dyn StateStore, changes: &'a StateChanges) -> Self {
        Self { base, changes }
    }
}

impl StateStore for PendingStore<'_> {
    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFailed> {
        match self.changes.values.get(key) {
            Some(changed) => Ok(changed.clone()),
            None => self.base.value(key),
        }
    }

    fn node(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFailed> {
        match self.changes.nodes.get(key) {
            Some(node) => Ok(Some(node.clone())),
            None => self.base.node(key),
        }
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreFailed> {
        let mut found: BTreeMap<_, _> = self.base.scan(prefix)?.into_iter().collect();
        for (key, value) in &self.changes.values {
            if key.starts_with(prefix) {
                match value {
                    Some(value) => drop(found.insert(key.clone(), value.clone())),
                    None => drop(found.remove(key)),
                }
            }
        }
        Ok(found.into_iter().collect())
    }
}
