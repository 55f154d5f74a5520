use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use salus_crypto::Digest;
use salus_crypto::merkle::{InclusionProof, LeafHash};
use salus_model::{Class, Classified};

use super::checkpoint::{CheckpointError, CheckpointTrust, SignedCheckpoint};
use crate::block::HistoryEntry;
use crate::cbor::{self, CborError};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
/// The most nodes of a path: a tree of 2^64 entries.
const MAX_PATH: usize = 64;
/// The most bytes of a proof.
const MAX_BYTES: usize = 128 * 1024;

/// Why a tlog proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlogError {
    /// Not a tlog proof.
    #[error("the tlog proof is not what it has to be: {wanted}")]
    Form {
        /// What has to stand there.
        wanted: &'static str,
    },
    /// The checkpoint does not count.
    #[error("the proof's checkpoint does not count")]
    Checkpoint(#[from] CheckpointError),
    /// The history entry cannot be read.
    #[error("the proof's entry cannot be read")]
    Entry(#[from] CborError),
    /// The path leads elsewhere.
    #[error("the entry is not in the history of the checkpoint")]
    NotIncluded,
}

impl Classified for TlogError {
    fn class(&self) -> Class {
        match self {
            Self::Form { .. } | Self::Entry(_) => Class::BadRequest,
            _ => Class::Peer,
        }
    }
}

/// A history entry's inclusion under a checkpoint, as text; the entry itself is its extra data.
///
/// # Source
/// C2SP `tlog-proof`, version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    entry: Vec<u8>,
    inclusion: InclusionProof,
    checkpoint: SignedCheckpoint,
}

/// An entry that a trusted checkpoint covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedEntry {
    /// The entry.
    pub entry: HistoryEntry,
    /// Its place in the history.
    pub index: u64,
    /// The history's size at the checkpoint.
    pub size: u64,
}

impl TlogProof {
    /// Puts a proof together.
    ///
    /// # Errors
    /// When the inclusion proof is not of the checkpoint's history.
    pub fn new(
        entry: &HistoryEntry,
        inclusion: InclusionProof,
        checkpoint: SignedCheckpoint,
    ) -> Result<Self, TlogError> {
        let proof = Self { entry: cbor::encode(entry)?, inclusion, checkpoint };
        proof.check_path()?;
        Ok(proof)
    }

    fn check_path(&self) -> Result<(), TlogError> {
        let checkpoint = self.checkpoint.checkpoint();
        let root = Digest::from_bytes(*checkpoint.root.as_bytes());
        let leads = self.inclusion.verify(LeafHash::of(&self.entry), root).is_ok();
        if leads && self.inclusion.size == checkpoint.size {
            Ok(())
        } else {
            Err(TlogError::NotIncluded)
        }
    }

    /// Reads a proof; nothing in it is trusted yet.
    ///
    /// # Errors
    /// Says what has to stand where something else does.
    pub fn from_text(text: &str) -> Result<Self, TlogError> {
        let wrong = |wanted| TlogError::Form { wanted };
        if text.len() > MAX_BYTES {
            return Err(wrong("at most 128 KiB"));
        }
        let (head, checkpoint) =
            text.split_once("\n\n").ok_or(wrong("an empty line before the checkpoint"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(FIRST_LINE) {
            return Err(wrong(FIRST_LINE));
        }
        let extra = lines.next().and_then(|line| line.strip_prefix("extra "));
        let entry = extra.and_then(|text| BASE64.decode(text).ok());
        let entry = entry.ok_or(wrong("'extra' and the history entry in base64"))?;
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index.and_then(|text| text.parse().ok());
        let index: u64 = index.ok_or(wrong("'index' and a number"))?;
        let path: Option<Vec<Digest>> = lines.map(read_node).collect();
        let path = path.ok_or(wrong("32 bytes in base64 on each line of the path"))?;
        if path.len() > MAX_PATH {
            return Err(wrong("at most 64 lines of path"));
        }
        let checkpoint = SignedCheckpoint::from_text(checkpoint)?;
        let inclusion = InclusionProof { index, size: checkpoint.checkpoint().size, path };
        let proof = Self { entry, inclusion, checkpoint };
        if proof.to_string() == text {
            Ok(proof)
        } else {
            Err(wrong("the one form of its content"))
        }
    }

    /// Gives the entry once checkpoint and path are right.
    ///
    /// # Errors
    /// When the checkpoint does not count, or the path leads elsewhere.
    pub fn verify(&self, trust: &CheckpointTrust) -> Result<VerifiedEntry, TlogError> {
        let checkpoint = self.checkpoint.verify(trust)?;
        self.check_path()?;
        let entry = cbor::decode(&self.entry, MAX_BYTES)?;
        Ok(VerifiedEntry { entry, index: self.inclusion.index, size: checkpoint.size })
    }
}

fn read_node(line: &str) -> Option<Digest> {
    Some(Digest::from_bytes(BASE64.decode(line).ok()?.try_into().ok()?))
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}\nextra {}", BASE64.encode(&self.entry))?;
        writeln!(f, "index {}", self.inclusion.index)?;
        for node in &self.inclusion.path {
            writeln!(f, "{}", BASE64.encode(node.as_bytes()))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}
