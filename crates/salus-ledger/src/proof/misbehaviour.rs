use std::collections::BTreeSet;

use salus_crypto::Digest;
use salus_crypto::merkle::ConsistencyProof;
use salus_model::{Class, Classified};
use serde::{Deserialize, Serialize};

use super::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::cbor::{self, CborError};
use crate::words::{LedgerId, PublicKey, TreeRoot};

/// The most bytes of a fork's proof.
pub const MAX_FORK_BYTES: usize = 256 * 1024;

/// Two checkpoints of one ledger that cannot both be true, whoever reads them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    first: String,
    second: String,
    prefix: Option<Prefix>,
}

/// What the larger history really has where the smaller checkpoint speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prefix {
    root: TreeRoot,
    path: Vec<TreeRoot>,
}

/// Why two checkpoints prove no fork.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForkError {
    /// The proof cannot be read.
    #[error("the proof cannot be read")]
    File(#[from] CborError),
    /// A checkpoint cannot be read, or is forged.
    #[error("a checkpoint of the proof does not count")]
    Checkpoint(#[from] CheckpointError),
    /// Two ledgers, which may differ.
    #[error("the checkpoints are not both of ledger {wanted}")]
    OtherLedger {
        /// The ledger in question.
        wanted: LedgerId,
    },
    /// The checkpoints agree, or are not shown to disagree.
    #[error("the checkpoints do not contradict each other")]
    NoContradiction,
    /// No validator signed both.
    #[error("no validator signed both checkpoints")]
    NobodyAtFault,
}

impl Classified for ForkError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

impl Fork {
    /// Two checkpoints of one size with two roots.
    #[must_use]
    pub fn of_one_size(first: &SignedCheckpoint, second: &SignedCheckpoint) -> Self {
        Self { first: first.to_string(), second: second.to_string(), prefix: None }
    }

    /// A checkpoint, a later one, and the root that the later history has at the size of the
    /// first: `proof` leads from `root` to the later checkpoint.
    #[must_use]
    pub fn of_two_sizes(
        first: &SignedCheckpoint,
        second: &SignedCheckpoint,
        root: TreeRoot,
        proof: &ConsistencyProof,
    ) -> Self {
        let path = proof.path.iter().map(|node| TreeRoot::new(*node.as_bytes())).collect();
        Self {
            first: first.to_string(),
            second: second.to_string(),
            prefix: Some(Prefix { root, path }),
        }
    }

    /// Reads a proof; what it claims is not checked yet.
    ///
    /// # Errors
    /// When it is too large, or not in its one form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ForkError> {
        Ok(cbor::decode(bytes, MAX_FORK_BYTES)?)
    }

    /// Its one form in bytes.
    ///
    /// # Errors
    /// None in practice: a proof can always be encoded.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ForkError> {
        Ok(cbor::encode(self)?)
    }

    /// Names the validators that signed both sides.
    ///
    /// # Errors
    /// When the checkpoints do not contradict each other, or nobody signed both.
    pub fn verify(
        &self,
        ledger: &LedgerId,
        validators: &BTreeSet<PublicKey>,
    ) -> Result<BTreeSet<PublicKey>, ForkError> {
        let first = SignedCheckpoint::from_text(&self.first)?;
        let second = SignedCheckpoint::from_text(&self.second)?;
        let of_ledger = |signed: &SignedCheckpoint| signed.checkpoint().ledger == *ledger;
        if !of_ledger(&first) || !of_ledger(&second) {
            return Err(ForkError::OtherLedger { wanted: *ledger });
        }
        if !self.contradicts(&first, &second) {
            return Err(ForkError::NoContradiction);
        }
        let both: BTreeSet<_> = first
            .signed_by(validators)?
            .intersection(&second.signed_by(validators)?)
            .copied()
            .collect();
        if both.is_empty() { Err(ForkError::NobodyAtFault) } else { Ok(both) }
    }

    fn contradicts(&self, first: &SignedCheckpoint, second: &SignedCheckpoint) -> bool {
        let (first, second) = (first.checkpoint(), second.checkpoint());
        let Some(prefix) = &self.prefix else {
            return first.size == second.size && first.root != second.root;
        };
        let digest = |root: &TreeRoot| Digest::from_bytes(*root.as_bytes());
        let proof = ConsistencyProof {
            earlier: first.size,
            size: second.size,
            path: prefix.path.iter().map(digest).collect(),
        };
        let leads = proof.verify(digest(&prefix.root), digest(&second.root)).is_ok();
        leads && prefix.root != first.root
    }
}
