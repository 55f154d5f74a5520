//! Proofs that verify with a trust anchor and nothing else: no network, no ledger, no clock.

mod anchor;
mod checkpoint;
mod facts;
mod misbehaviour;
mod pruned;
mod receipt;
mod standing;
mod tlog;
mod witness;

pub use anchor::{AnchorError, FinalityError, FinalityProof, Handover, TrustAnchor};
pub use checkpoint::{
    Checkpoint, CheckpointError, CheckpointTrust, NoteSignature, SignedCheckpoint, WitnessKey,
    WitnessKeyError, WitnessName, WitnessNameError,
};
pub use facts::{EvidenceError, Fact, MAX_FACTS, ProvenState, StateEvidence};
pub use misbehaviour::{Fork, ForkError, MAX_FORK_BYTES};
pub use pruned::{PrunedBlock, PrunedError};
pub use receipt::{
    GatePassed, MAX_RECEIPT_BYTES, ReceiptError, ReceiptParts, VerifiedReceipt, issue_receipt,
    verify_receipt,
};
pub use standing::{KeyStanding, NoStanding, facts_of_key};
pub use tlog::{TlogError, TlogProof, VerifiedEntry};
pub use witness::{AddCheckpoint, MAX_ADD_CHECKPOINT_BYTES, Witness, WitnessRefused};

#[cfg(test)]
mod tests;
