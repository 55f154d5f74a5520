use std::collections::HashMap;

use crate::block::Executed;
use crate::state::{PendingStore, StateStore};
use crate::words::BlockHash;

/// Blocks that were executed and are not committed, each on the tip or on another of them.
#[derive(Debug, Default)]
pub(super) struct Pending(HashMap<BlockHash, Executed>);

impl Pending {
    pub(super) fn insert(&mut self, hash: BlockHash, executed: Executed) {
        self.0.insert(hash, executed);
    }

    pub(super) fn get(&self, hash: &BlockHash) -> Option<&Executed> {
        self.0.get(hash)
    }

    pub(super) fn contains(&self, hash: &BlockHash) -> bool {
        self.0.contains_key(hash)
    }

    /// The blocks from the tip to `hash`, that one included; none when they do not connect.
    pub(super) fn path(&self, tip: &BlockHash, hash: &BlockHash) -> Option<Vec<&Executed>> {
        let mut path = Vec::new();
        let mut at = *hash;
        while at != *tip {
            let executed = self.0.get(&at)?;
            at = executed.block.header.parent;
            path.push(executed);
        }
        path.reverse();
        Some(path)
    }

    /// Forgets whatever does not build on the new tip.
    pub(super) fn settle(&mut self, tip: &BlockHash) {
        let kept: Vec<BlockHash> =
            self.0.keys().filter(|hash| self.path(tip, hash).is_some()).copied().collect();
        self.0.retain(|hash, _| kept.contains(hash) && hash != tip);
    }
}

/// Gives `then` the state after the blocks of a path.
pub(super) fn on_top<R>(
    store: &dyn StateStore,
    path: &[&Executed],
    then: &mut dyn FnMut(&dyn StateStore) -> R,
) -> R {
    match path.split_first() {
        None => then(store),
        Some((first, rest)) => on_top(&PendingStore::new(store, &first.changes), rest, then),
    }
}
