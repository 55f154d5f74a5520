//! The ledger's state: typed slots over a key-value store, with an authenticated tree beside it.

mod memory;
pub(crate) mod slot;
mod tree;
mod view;

pub use memory::{MemoryStore, PendingStore};
pub use tree::{StateProof, StateProofError, prove, root};
pub(crate) use tree::{rebuild, update};
pub(crate) use view::View;

use std::collections::BTreeMap;

use salus_model::{Class, Classified};

use crate::cbor::CborError;
use crate::words::StateRoot;

/// Where committed state is kept: in memory, or in the node's database.
///
/// Values and nodes are opaque bytes. All reads are of the last committed block.
pub trait StateStore {
    /// The value at a key.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFailed>;

    /// A node of the state tree or of the history tree.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn node(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFailed>;

    /// All values whose keys begin with `prefix`, in the order of their keys.
    ///
    /// # Errors
    /// When the store cannot answer.
    #[allow(clippy::type_complexity, reason = "keys and values, each a string of bytes")]
    fn scan(&self, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreFailed>;
}

/// The store did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ledger's store did not answer: {reason}")]
pub struct StoreFailed {
    /// What the store says.
    pub reason: String,
}

impl Classified for StoreFailed {
    fn class(&self) -> Class {
        Class::Unavailable
    }
}

/// Why state cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The store did not answer.
    #[error("the state cannot be reached")]
    Store(#[from] StoreFailed),
    /// A stored value is not what was written.
    #[error("the value at {slot} is damaged")]
    Damaged {
        /// Which kind of value.
        slot: &'static str,
        /// What does not fit.
        #[source]
        source: CborError,
    },
    /// The authenticated tree does not fit together.
    #[error("the state tree is damaged: {reason}")]
    Tree {
        /// What the tree says.
        reason: String,
    },
}

impl Classified for StateError {
    fn class(&self) -> Class {
        match self {
            Self::Store(_) => Class::Unavailable,
            Self::Damaged { .. } | Self::Tree { .. } => Class::Corrupt,
        }
    }
}

/// All that one block writes; to be made durable as a whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChanges {
    /// Values written, and keys deleted.
    pub values: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// New nodes of the state tree and of the history tree.
    pub nodes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Nodes of the state tree that only older blocks still need.
    pub stale: Vec<Vec<u8>>,
    /// The root of the state after the block.
    pub root: StateRoot,
}
