use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use salus_crypto::Digest;
use salus_crypto::merkle::ConsistencyProof;
use salus_model::{Class, Classified, Timestamp};

use super::checkpoint::{
    Checkpoint, CheckpointError, CheckpointTrust, NoteSignature, SignedCheckpoint, WitnessName,
};
use crate::sign::Signer;
use crate::words::PublicKey;

/// The most hashes of a consistency proof in a request.
const MAX_PROOF: usize = 63;
/// The most bytes of a request.
pub const MAX_ADD_CHECKPOINT_BYTES: usize = 128 * 1024;

/// A request that a witness cosign a checkpoint.
///
/// # Source
/// C2SP `tlog-witness`, `add-checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the witness is thought to have cosigned last; zero for none.
    pub old: u64,
    /// The way from there to the checkpoint.
    pub path: Vec<Digest>,
    /// The checkpoint.
    pub checkpoint: SignedCheckpoint,
}

impl AddCheckpoint {
    /// Reads a request; nothing in it is trusted yet.
    ///
    /// # Errors
    /// Names the line that is wrong.
    pub fn from_text(text: &str) -> Result<Self, CheckpointError> {
        let wrong = |line, wanted| CheckpointError::Form { line, wanted };
        if text.len() > MAX_ADD_CHECKPOINT_BYTES {
            return Err(wrong(1, "at most 128 KiB"));
        }
        let (head, checkpoint) =
            text.split_once("\n\n").ok_or(wrong(1, "an empty line before the checkpoint"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old "));
        let old = old.and_then(|size| size.parse().ok()).ok_or(wrong(1, "'old' and a size"))?;
        let mut path = Vec::new();
        for (index, line) in lines.enumerate() {
            let node = BASE64.decode(line).ok().and_then(|bytes| bytes.try_into().ok());
            path.push(Digest::from_bytes(node.ok_or(wrong(index + 2, "32 bytes in base64"))?));
        }
        if path.len() > MAX_PROOF {
            return Err(wrong(MAX_PROOF + 2, "at most 63 hashes"));
        }
        let read = Self { old, path, checkpoint: SignedCheckpoint::from_text(checkpoint)? };
        if read.to_string() == text {
            Ok(read)
        } else {
            Err(wrong(1, "the one form of its content"))
        }
    }

    fn proof(&self) -> Option<ConsistencyProof> {
        let size = self.checkpoint.checkpoint().size;
        (self.old > 0).then(|| ConsistencyProof {
            earlier: self.old,
            size,
            path: self.path.clone(),
        })
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        for node in &self.path {
            writeln!(f, "{}", BASE64.encode(node.as_bytes()))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

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
    /// The proof starts at another size than what was cosigned last.
    #[error("a checkpoint of {known} transactions was cosigned last; begin the proof there")]
    Conflict {
        /// The size that was cosigned last; zero for none.
        known: u64,
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

    /// The witness's name.
    #[must_use]
    pub const fn name(&self) -> &WitnessName {
        &self.name
    }

    /// From now on these validators' signatures count, as the ones before have agreed.
    pub fn follow(&mut self, validators: &BTreeSet<PublicKey>) {
        self.trust.validators.clone_from(validators);
    }

    /// Answers a request.
    ///
    /// # Errors
    /// When the request begins elsewhere than at what was cosigned last, or as in
    /// [`Witness::cosign`].
    pub fn add(
        &mut self,
        request: &AddCheckpoint,
        at: Timestamp,
    ) -> Result<NoteSignature, WitnessRefused> {
        // A stranger learns nothing of what was cosigned.
        request.checkpoint.verify(&self.trust)?;
        let known = self.last.map_or(0, |last| last.size);
        if request.old != known {
            return Err(WitnessRefused::Conflict { known });
        }
        self.cosign(&request.checkpoint, request.proof().as_ref(), at)
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
