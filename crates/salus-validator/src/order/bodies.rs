use std::collections::{HashMap, VecDeque};

use salus_ledger::block::Block;
use salus_ledger::{BlockHash, Height, PublicKey};

/// How many blocks that nobody asked for one validator may leave here.
const UNASKED: usize = 32;

/// Blocks above the tip, whoever brought them; not necessarily right.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    blocks: HashMap<BlockHash, Block>,
    /// What each validator sent unasked, oldest first: the next one displaces it, so that nobody
    /// can fill this memory.
    unasked: HashMap<PublicKey, VecDeque<BlockHash>>,
}

impl Bodies {
    pub(super) fn get(&self, hash: &BlockHash) -> Option<&Block> {
        self.blocks.get(hash)
    }

    /// Keeps a block of this validator's own.
    pub(super) fn keep(&mut self, hash: BlockHash, block: Block) {
        self.blocks.insert(hash, block);
    }

    /// Keeps a block that was asked for, or one of the few that a validator may send unasked.
    pub(super) fn insert(&mut self, hash: BlockHash, block: Block, unasked: Option<PublicKey>) {
        if self.blocks.contains_key(&hash) {
            return;
        }
        if let Some(from) = unasked {
            let sent = self.unasked.entry(from).or_default();
            sent.push_back(hash);
            if sent.len() > UNASKED
                && let Some(oldest) = sent.pop_front()
            {
                self.blocks.remove(&oldest);
            }
        }
        self.blocks.insert(hash, block);
    }

    /// The blocks after `tip` up to `hash`, in order; none when one of them is missing.
    pub(super) fn path(&self, tip: &BlockHash, hash: &BlockHash) -> Option<Vec<BlockHash>> {
        let mut path = Vec::new();
        let mut at = *hash;
        while at != *tip {
            path.push(at);
            at = self.blocks.get(&at)?.header.parent;
        }
        path.reverse();
        Some(path)
    }

    /// Forgets what is not above the tip.
    pub(super) fn settle(&mut self, tip: Height) {
        self.blocks.retain(|_, block| block.header.height > tip);
        let blocks = &self.blocks;
        for sent in self.unasked.values_mut() {
            sent.retain(|hash| blocks.contains_key(hash));
        }
    }
}
