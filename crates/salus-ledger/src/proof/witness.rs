use salus_crypto::Digest;
use salus_crypto::merkle::ConsistencyProof;
use salus_model::{Class, Classified, Timestamp};

use super::checkpoint::{
    Checkpoint, CheckpointError, CheckpointTrust, NoteSignature, SignedCheckpoint, WitnessName,
};
use crate::sign::Signer;

/// Why a witness does not cosign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessRefused {
    /// The checkpoint itself does not count.
    #[error("the checkpoint does not count")]
    Checkpoint(#[from] CheckpointError),
    /// It is older than what was cosigned.
    #[error("a checkpoint of {known} transactions was cosigned before, this one has {size}")]
    Older {
        /// The size that was cosigned.
        known: u64,
        /// The size now.
        size: u64,
    },
    /// The proof starts or ends elsewhere, or does not lead there.
    #[error("the checkpoint is not shown to extend the one that was cosigned before")]
    NotConsistent,
    /// Same size, another root: the ledger has forked.
    #[error("the ledger has forked: {size} transactions with two roots")]
    Fork {
        /// The size.
        size: u64,
        /// What was cosigned before; with the new one it is the proof.
        known: Box<Checkpoint>,
    },
}

impl Classified for WitnessRefused {
    fn class(&self) -> Class {
        Class::Peer
    }
}

/// A witness of one ledger: cosigns only what extends everything that it has cosigned before.
#[derive(Debug)]
pub struct Witness {
    name: WitnessName,
    signer: Signer,
    trust: CheckpointTrust,
    last: Option<Checkpoint>,
}

impl Witness {
    /// A witness that has cosigned `last` most recently. Whoever runs it keeps that durably before
    /// a cosignature leaves.
    #[must_use]
    pub const fn new(
        name: WitnessName,
        signer: Signer,
        trust: CheckpointTrust,
        last: Option<Checkpoint>,
    ) -> Self {
        Self { name, signer, trust, last }
    }

    /// What was cosigned last.
    #[must_use]
    pub const fn last(&self) -> Option<&Checkpoint> {
        self.last.as_ref()
    }

    /// Cosigns a checkpoint that extends the last one.
    ///
    /// # Errors
    /// When it does not, or is not signed by the ledger's validators.
    pub fn cosign(
        &mut self,
        signed: &SignedCheckpoint,
        proof: Option<&ConsistencyProof>,
        at: Timestamp,
    ) -> Result<NoteSignature, WitnessRefused> {
        let new = signed.verify(&self.trust)?;
        if let Some(known) = self.last.filter(|known| known.size > 0) {
            check_extends(&known, &new, proof)?;
        }
        self.last = Some(new);
        Ok(NoteSignature::by_witness(&new, &self.name, &self.signer, at))
    }
}

fn check_extends(
    known: &Checkpoint,
    new: &Checkpoint,
    proof: Option<&ConsistencyProof>,
) -> Result<(), WitnessRefused> {
    if new.size < known.size {
        return Err(WitnessRefused::Older { known: known.size, size: new.size });
    }
    if new.size == known.size {
        let fork = WitnessRefused::Fork { size: new.size, known: Box::new(*known) };
        return if new.root == known.root { Ok(()) } else { Err(fork) };
    }
    let proof = proof.ok_or(WitnessRefused::NotConsistent)?;
    let ends = proof.earlier == known.size && proof.size == new.size;
    let (old, new) = (known.root.as_bytes(), new.root.as_bytes());
    let leads = proof.verify(Digest::from_bytes(*old), Digest::from_bytes(*new)).is_ok();
    if ends && leads { Ok(()) } else { Err(WitnessRefused::NotConsistent) }
}
