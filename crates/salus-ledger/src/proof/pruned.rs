use salus_model::{Class, Classified};
use serde::{Deserialize, Serialize};

use super::anchor::{FinalityError, FinalityProof, TrustAnchor};
use crate::block::{Block, Certificate, HistoryEntry, receipts_root, transactions_root};
use crate::words::Opaque;

/// A block without its transactions: whatever was proved from it stays provable.
///
/// The history tree keeps its nodes, the entries keep what became of each transaction, and whoever
/// holds a transaction's bytes can still show that they are the ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrunedBlock {
    finality: FinalityProof,
    entries: Vec<HistoryEntry>,
}

/// Why a pruned block does not stand for its block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrunedError {
    /// The entries are not those of the block.
    #[error("the entries are not those that the header commits to")]
    OtherEntries,
    /// The block is not final.
    #[error("the block is not final")]
    NotFinal(#[from] FinalityError),
}

impl Classified for PrunedError {
    fn class(&self) -> Class {
        Class::Corrupt
    }
}

impl PrunedBlock {
    /// Drops a final block's transactions.
    ///
    /// # Errors
    /// When the entries are not the block's.
    pub fn of(
        block: &Block,
        certificate: Certificate,
        entries: Vec<HistoryEntry>,
    ) -> Result<Self, PrunedError> {
        let same = transactions_root(&block.transactions) == block.header.transactions
            && entries.len() == block.transactions.len()
            && entries.iter().zip(&block.transactions).all(|(e, t): (_, &Opaque)| {
                e.height == block.header.height && e.is_of(t.as_bytes())
            });
        if !same || receipts_root(&entries).ok() != Some(block.header.receipts) {
            return Err(PrunedError::OtherEntries);
        }
        Ok(Self { finality: FinalityProof { header: block.header.clone(), certificate }, entries })
    }

    /// Puts a block that was pruned before together again from what was kept of it.
    ///
    /// # Errors
    /// When the entries are not those that the header commits to.
    pub fn kept(finality: FinalityProof, entries: Vec<HistoryEntry>) -> Result<Self, PrunedError> {
        match receipts_root(&entries) {
            Ok(root) if root == finality.header.receipts => Ok(Self { finality, entries }),
            _ => Err(PrunedError::OtherEntries),
        }
    }

    /// The header and its votes.
    #[must_use]
    pub const fn finality(&self) -> &FinalityProof {
        &self.finality
    }

    /// What became of the transactions.
    #[must_use]
    pub fn entries(&self) -> &[HistoryEntry] {
        &self.entries
    }

    /// Accepts when the block is final and the outcomes are those that it commits to.
    ///
    /// # Errors
    /// When either does not hold.
    pub fn verify(&self, anchor: &TrustAnchor) -> Result<(), PrunedError> {
        self.finality.verify(anchor)?;
        match receipts_root(&self.entries) {
            Ok(root) if root == self.finality.header.receipts => Ok(()),
            _ => Err(PrunedError::OtherEntries),
        }
    }
}
