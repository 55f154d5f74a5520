//! The RFC 9162 tree over all transactions ever, kept as its complete subtrees, so that appending
//! and proving cost the tree's depth and pruned transactions stay provable.

use std::collections::BTreeMap;

use salus_crypto::Digest;
use salus_crypto::merkle::{ConsistencyProof, InclusionProof, LeafHash};
use salus_model::{Class, Classified};
use sha2::{Digest as _, Sha256};

use crate::state::{StateError, StateStore};
use crate::words::TreeRoot;

const NODE: u8 = b'h';

/// Why a proof cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// No such entry, or no such earlier tree.
    #[error("the history of {size} transactions has no {wanted}")]
    NoSuch {
        /// Which entry or size was asked for.
        wanted: u64,
        /// The size at hand.
        size: u64,
    },
    /// The store cannot answer.
    #[error("the history cannot be read")]
    State(#[from] StateError),
}

impl Classified for HistoryError {
    fn class(&self) -> Class {
        match self {
            Self::NoSuch { .. } => Class::BadRequest,
            Self::State(error) => error.class(),
        }
    }
}

type Nodes = BTreeMap<Vec<u8>, Vec<u8>>;

/// Leaves `index · 2^level` to `(index + 1) · 2^level`, not including the last.
fn node_key(level: u32, index: u64) -> Vec<u8> {
    let mut key = vec![NODE, u8::try_from(level).unwrap_or(u8::MAX)];
    key.extend_from_slice(&index.to_be_bytes());
    key
}

fn parent(left: Digest, right: Digest) -> Digest {
    let mut hash = Sha256::new();
    hash.update([1]);
    hash.update(left.as_bytes());
    hash.update(right.as_bytes());
    Digest::from_bytes(hash.finalize().into())
}

/// The tree as it is being read, with the nodes that a block adds on top.
struct Tree<'a> {
    store: &'a dyn StateStore,
    new: Nodes,
}

impl Tree<'_> {
    fn node(&self, level: u32, index: u64) -> Result<Digest, StateError> {
        let key = node_key(level, index);
        let found = match self.new.get(&key) {
            Some(node) => Some(node.clone()),
            None => self.store.node(&key)?,
        };
        let bytes: Option<[u8; 32]> = found.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Digest::from_bytes).ok_or_else(|| StateError::Tree {
            reason: format!("history node {index} of level {level} is missing"),
        })
    }

    fn put(&mut self, level: u32, index: u64, node: Digest) {
        self.new.insert(node_key(level, index), node.as_bytes().to_vec());
    }

    /// Adds a leaf and every subtree that it completes.
    fn append(&mut self, index: u64, leaf: LeafHash) -> Result<(), StateError> {
        let (mut level, mut at, mut node) = (0, index, leaf.digest());
        self.put(level, at, node);
        while at & 1 == 1 {
            node = parent(self.node(level, at - 1)?, node);
            level += 1;
            at >>= 1;
            self.put(level, at, node);
        }
        Ok(())
    }

    /// The root over leaves `from` to `to`, where `from` is a multiple of the first split.
    fn subtree(&self, from: u64, to: u64) -> Result<Digest, StateError> {
        let size = to - from;
        if size == 0 {
            return Ok(Digest::of(&[]));
        }
        if size.is_power_of_two() {
            let level = size.trailing_zeros();
            return self.node(level, from >> level);
        }
        let split = from + split(size);
        Ok(parent(self.subtree(from, split)?, self.subtree(split, to)?))
    }

    fn inclusion(
        &self,
        index: u64,
        from: u64,
        to: u64,
        path: &mut Vec<Digest>,
    ) -> Result<(), StateError> {
        if to - from < 2 {
            return Ok(());
        }
        let middle = from + split(to - from);
        if index < middle {
            self.inclusion(index, from, middle, path)?;
            path.push(self.subtree(middle, to)?);
        } else {
            self.inclusion(index, middle, to, path)?;
            path.push(self.subtree(from, middle)?);
        }
        Ok(())
    }

    fn consistency(
        &self,
        earlier: u64,
        (from, to): (u64, u64),
        whole: bool,
        path: &mut Vec<Digest>,
    ) -> Result<(), StateError> {
        if earlier == to {
            if !whole {
                path.push(self.subtree(from, to)?);
            }
            return Ok(());
        }
        let middle = from + split(to - from);
        if earlier <= middle {
            self.consistency(earlier, (from, middle), whole, path)?;
            path.push(self.subtree(middle, to)?);
        } else {
            self.consistency(earlier, (middle, to), false, path)?;
            path.push(self.subtree(from, middle)?);
        }
        Ok(())
    }
}

/// The largest power of two below `n`, for `n` of two or more.
const fn split(n: u64) -> u64 {
    1 << (u64::BITS - 1 - (n - 1).leading_zeros())
}

/// Appends leaves to a history of `size`, and gives the new nodes and the new root.
pub(crate) fn append(
    store: &dyn StateStore,
    size: u64,
    leaves: &[LeafHash],
) -> Result<(Nodes, TreeRoot), StateError> {
    let mut tree = Tree { store, new: Nodes::new() };
    let mut end = size;
    for leaf in leaves {
        tree.append(end, *leaf)?;
        end += 1;
    }
    let root = tree.subtree(0, end)?;
    Ok((tree.new, TreeRoot::new(*root.as_bytes())))
}

/// The root of the first `size` transactions.
///
/// # Errors
/// When the store cannot answer, or does not have so many.
///
/// # Cost
/// The tree's depth in reads.
pub fn root(store: &dyn StateStore, size: u64) -> Result<TreeRoot, StateError> {
    let root = Tree { store, new: Nodes::new() }.subtree(0, size)?;
    Ok(TreeRoot::new(*root.as_bytes()))
}

/// Proves that transaction `index` is in the history of `size`.
///
/// # Errors
/// When there is no such transaction, or the store cannot answer.
///
/// # Cost
/// The square of the tree's depth in reads.
pub fn prove_inclusion(
    store: &dyn StateStore,
    index: u64,
    size: u64,
) -> Result<InclusionProof, HistoryError> {
    if index >= size {
        return Err(HistoryError::NoSuch { wanted: index, size });
    }
    let mut path = Vec::new();
    Tree { store, new: Nodes::new() }.inclusion(index, 0, size, &mut path)?;
    Ok(InclusionProof { index, size, path })
}

/// Proves that the history of `size` extends the one of `earlier`.
///
/// # Errors
/// When `earlier` is zero or above `size`, or the store cannot answer.
pub fn prove_consistency(
    store: &dyn StateStore,
    earlier: u64,
    size: u64,
) -> Result<ConsistencyProof, HistoryError> {
    if earlier == 0 || earlier > size {
        return Err(HistoryError::NoSuch { wanted: earlier, size });
    }
    let mut path = Vec::new();
    Tree { store, new: Nodes::new() }.consistency(earlier, (0, size), true, &mut path)?;
    Ok(ConsistencyProof { earlier, size, path })
}
