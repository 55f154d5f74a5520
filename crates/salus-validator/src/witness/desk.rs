use std::path::PathBuf;

use salus_crypto::merkle::ConsistencyProof;
use salus_ledger::proof::{
    AddCheckpoint, CheckpointTrust, Fork, SignedCheckpoint, TrustAnchor, Witness, WitnessName,
    WitnessRefused,
};
use salus_ledger::{LedgerId, Signer, TreeRoot};
use salus_model::{Class, Classified, Timestamp};

use super::files::WitnessFolder;
use crate::folder::FolderError;

/// Why a witness does not cosign.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// It may not.
    #[error("the checkpoint is not cosigned")]
    Refused(#[from] WitnessRefused),
    /// The history forked; the proof is in this file.
    #[error("the ledger has forked; the proof is in {}", proof.display())]
    Forked {
        /// The proof.
        proof: PathBuf,
    },
    /// What it cosigned could not be kept; the cosignature is withheld.
    #[error("the cosigned checkpoint cannot be kept")]
    Folder(#[from] FolderError),
    /// It is being stopped.
    #[error("the witness is stopping")]
    Stopping,
    /// What it cosigned last is of another ledger than its genesis.
    #[error("the folder has a checkpoint of ledger {found}, its genesis begins {wanted}")]
    OtherLedger {
        /// The checkpoint's ledger.
        found: LedgerId,
        /// The genesis's ledger.
        wanted: LedgerId,
    },
}

impl Classified for DeskError {
    fn class(&self) -> Class {
        match self {
            Self::Refused(error) => error.class(),
            Self::Forked { .. } => Class::Peer,
            Self::Folder(error) => error.class(),
            Self::Stopping => Class::Unavailable,
            Self::OtherLedger { .. } => Class::BadRequest,
        }
    }
}

/// The witness with its memory: what was cosigned is on the disk before the cosignature leaves.
#[derive(Debug)]
pub(super) struct Desk {
    folder: WitnessFolder,
    witness: Witness,
    last: Option<SignedCheckpoint>,
}

impl Desk {
    pub(super) fn open(
        folder: WitnessFolder,
        name: WitnessName,
        signer: Signer,
        anchor: &TrustAnchor,
    ) -> Result<Self, DeskError> {
        let last = folder.cosigned()?;
        let wanted = *anchor.ledger();
        if let Some(found) = last.as_ref().map(|last| last.checkpoint().ledger)
            && found != wanted
        {
            return Err(DeskError::OtherLedger { found, wanted });
        }
        let trust = CheckpointTrust {
            ledger: wanted,
            validators: anchor.validators().clone(),
            witnesses: std::collections::BTreeMap::new(),
            threshold: 0,
        };
        let known = last.as_ref().map(|last| *last.checkpoint());
        Ok(Self { folder, witness: Witness::new(name, signer, trust, known), last })
    }

    /// What was cosigned last.
    pub(super) const fn last(&self) -> Option<&SignedCheckpoint> {
        self.last.as_ref()
    }

    /// Whose signatures count, as proved by the handovers since the genesis.
    pub(super) fn trust(&mut self, anchor: &TrustAnchor) {
        self.witness.follow(anchor.validators());
    }

    /// Cosigns, keeps that, and gives the checkpoint with the cosignature on it.
    pub(super) fn add(
        &mut self,
        request: &AddCheckpoint,
        at: Timestamp,
    ) -> Result<SignedCheckpoint, DeskError> {
        match self.witness.add(request, at) {
            Ok(cosignature) => {
                let cosigned = request.checkpoint.clone().renewed_by(cosignature);
                self.folder.keep_cosigned(&cosigned)?;
                self.last = Some(cosigned.clone());
                Ok(cosigned)
            }
            Err(WitnessRefused::Fork { size, known }) => match &self.last {
                Some(last) => {
                    let fork = Fork::of_one_size(last, &request.checkpoint);
                    Err(self.keep_fork(&fork)?)
                }
                None => Err(WitnessRefused::Fork { size, known }.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Takes note of a later checkpoint whose history has another root at the size that was
    /// cosigned last.
    pub(super) fn forked(
        &self,
        later: &SignedCheckpoint,
        root: TreeRoot,
        proof: &ConsistencyProof,
    ) -> Result<DeskError, DeskError> {
        let Some(last) = &self.last else { return Err(WitnessRefused::NotConsistent.into()) };
        self.keep_fork(&Fork::of_two_sizes(last, later, root, proof))
    }

    fn keep_fork(&self, fork: &Fork) -> Result<DeskError, DeskError> {
        let proof = self.folder.keep_fork(fork)?;
        tracing::error!(proof = %proof.display(), "the ledger has forked: two histories are signed; give the proof to every member");
        Ok(DeskError::Forked { proof })
    }
}
