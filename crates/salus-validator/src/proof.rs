//! Proofs as validators send them and clients check them: nobody trusts the validator that sends.

use salus_crypto::Digest;
use salus_crypto::merkle::InclusionProof;
use salus_ledger::block::HistoryEntry;
use salus_ledger::proof::{AnchorError, FinalityError, FinalityProof, Handover, TrustAnchor};
use salus_ledger::state::{StateProof, StateProofError};
use salus_ledger::{Height, TreeRoot, TxId, cbor};
use salus_model::{Class, Classified};
use serde::{Deserialize, Serialize};

/// The most bytes of a proof.
pub const MAX_PROOF_BYTES: usize = 4 * 1024 * 1024;

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The bytes are no proof.
    #[error("the bytes are no proof of this kind")]
    Malformed(#[from] cbor::CborError),
    /// A change of validators is not proved.
    #[error("the change of validators is not proved")]
    Handover(#[from] AnchorError),
    /// The block is not final, or of another ledger.
    #[error("the block is not final under the trusted validators")]
    NotFinal(#[from] FinalityError),
    /// The transaction is not in the history.
    #[error("the transaction is not in the history that the validators signed")]
    NotIncluded,
    /// About another transaction than the one that was asked for.
    #[error("the proof is of another transaction than {wanted}")]
    OtherTransaction {
        /// The one that was asked for.
        wanted: TxId,
    },
    /// The value is not in the state.
    #[error("the value is not in the state that the validators signed")]
    NotInState(#[from] StateProofError),
    /// About another key than the one that was asked for.
    #[error("the proof is of another key of the state")]
    OtherKey,
}

impl Classified for ProofError {
    fn class(&self) -> Class {
        Class::Peer
    }
}

/// A block that is final, and the way to its validators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvedBlock {
    /// The header and its votes.
    pub finality: FinalityProof,
    /// Every change of configuration before it.
    pub handovers: Vec<Handover>,
}

impl ProvedBlock {
    /// Accepts when the anchor's validators, or those that they handed over to, voted for it.
    /// Gives the anchor that knows them.
    ///
    /// # Errors
    /// Names the link that does not hold.
    pub fn verify(&self, anchor: &TrustAnchor) -> Result<TrustAnchor, ProofError> {
        let mut anchor = anchor.clone();
        for handover in &self.handovers {
            match anchor.follow(handover) {
                Ok(next) => anchor = next,
                // The anchor knows this one already.
                Err(AnchorError::Older { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.finality.verify(&anchor)?;
        Ok(anchor)
    }
}

/// That a transaction is recorded, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransactionProof {
    /// What the history says of it.
    pub entry: HistoryEntry,
    /// Its place in the history.
    pub history_index: u64,
    /// The Merkle path to the root in the block's header.
    pub path: Vec<TreeRoot>,
    /// The block.
    pub block: ProvedBlock,
}

impl TransactionProof {
    /// Puts a proof together.
    #[must_use]
    pub fn new(entry: HistoryEntry, inclusion: &InclusionProof, block: ProvedBlock) -> Self {
        let path = inclusion.path.iter().map(|node| TreeRoot::new(*node.as_bytes())).collect();
        Self { entry, history_index: inclusion.index, path, block }
    }

    /// Reads a proof; what it claims is not checked yet.
    ///
    /// # Errors
    /// When it is too large, or not in its one form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofError> {
        Ok(cbor::decode(bytes, MAX_PROOF_BYTES)?)
    }

    /// Accepts when the transaction is in the history of a final block. Gives the anchor after it.
    ///
    /// # Errors
    /// Names the link that does not hold.
    pub fn verify(&self, wanted: &TxId, anchor: &TrustAnchor) -> Result<TrustAnchor, ProofError> {
        if self.entry.transaction != *wanted {
            return Err(ProofError::OtherTransaction { wanted: *wanted });
        }
        let anchor = self.block.verify(anchor)?;
        let header = &self.block.finality.header;
        let inclusion = InclusionProof {
            index: self.history_index,
            size: header.history_size,
            path: self.path.iter().map(|node| Digest::from_bytes(*node.as_bytes())).collect(),
        };
        let leaf = self.entry.leaf()?;
        inclusion
            .verify(leaf, Digest::from_bytes(*header.history.as_bytes()))
            .map_err(|_| ProofError::NotIncluded)?;
        Ok(anchor)
    }
}

/// What the state says at a key, or that it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateAnswer {
    /// The path to the state's root.
    pub proof: StateProof,
    /// The block whose state it is.
    pub block: ProvedBlock,
}

/// A value of the state that was proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvedValue {
    /// After which block.
    pub height: Height,
    /// The value in its one form, or none.
    pub value: Option<Vec<u8>>,
}

impl StateAnswer {
    /// Reads an answer; what it claims is not checked yet.
    ///
    /// # Errors
    /// When it is too large, or not in its one form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofError> {
        Ok(cbor::decode(bytes, MAX_PROOF_BYTES)?)
    }

    /// Accepts when the value is in the state of a final block.
    ///
    /// # Errors
    /// Names the link that does not hold.
    pub fn verify(
        &self,
        wanted: &[u8],
        anchor: &TrustAnchor,
    ) -> Result<(ProvedValue, TrustAnchor), ProofError> {
        if self.proof.key() != wanted {
            return Err(ProofError::OtherKey);
        }
        let anchor = self.block.verify(anchor)?;
        let header = &self.block.finality.header;
        let value = self.proof.verify(&header.state)?.map(<[u8]>::to_vec);
        Ok((ProvedValue { height: header.height, value }, anchor))
    }
}
