//! A ledger's state and history from a snapshot, trusted only as far as a final block proves them.

use std::collections::BTreeMap;

use salus_model::{Class, Classified};

use crate::block::{BlockHeader, HistoryEntry};
use crate::cbor::CborError;
use crate::history;
use crate::state::{self, MemoryStore, StateChanges, StateError};

/// Why a snapshot is not the state and the history of its block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The values are not those that the header commits to.
    #[error("the snapshot's state is not that of its block")]
    OtherState,
    /// The entries are not those that the header commits to.
    #[error("the snapshot's history is not that of its block")]
    OtherHistory,
    /// The trees cannot be built.
    #[error("the snapshot's trees cannot be built")]
    State(#[from] StateError),
    /// An entry cannot be encoded.
    #[error("an entry of the snapshot cannot be encoded")]
    Encoding(#[from] CborError),
}

impl Classified for RestoreError {
    fn class(&self) -> Class {
        match self {
            Self::OtherState | Self::OtherHistory => Class::Peer,
            Self::State(error) => error.class(),
            Self::Encoding(_) => Class::Bug,
        }
    }
}

/// Builds the trees over all values and all entries, and accepts them when their roots are those
/// of the header. The caller has verified that the header is final.
///
/// # Errors
/// When a root differs.
///
/// # Cost
/// One hash per value and per entry, all of them in memory.
pub fn restore(
    header: &BlockHeader,
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    entries: &[HistoryEntry],
) -> Result<StateChanges, RestoreError> {
    let mut changes = state::rebuild(header.height, values)?;
    if changes.root != header.state {
        return Err(RestoreError::OtherState);
    }
    let leaves = entries.iter().map(HistoryEntry::leaf).collect::<Result<Vec<_>, _>>()?;
    let (nodes, root) = history::append(&MemoryStore::new(), 0, &leaves)?;
    if root != header.history || leaves.len() as u64 != header.history_size {
        return Err(RestoreError::OtherHistory);
    }
    changes.nodes.extend(nodes);
    Ok(changes)
}
