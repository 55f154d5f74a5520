//! What validators send each other beside the engine's own messages.

use salus_ledger::block::{Block, FinalBlock, MAX_ENCODED_BLOCK_BYTES, Vote};
use salus_ledger::cbor::{self, CborError};
use salus_ledger::{BlockHash, Height, Opaque};
use serde::{Deserialize, Serialize};

/// The most bytes of one message.
pub(crate) const MAX_PACKET_BYTES: usize = MAX_ENCODED_BLOCK_BYTES + 1024 * 1024;
/// How many bytes of final blocks go into one answer.
pub(crate) const CATCH_UP_BYTES: usize = 4 * 1024 * 1024;

/// A message of one validator to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Packet {
    /// Transactions that a client handed in.
    Transactions(Vec<Opaque>),
    /// A proposed block.
    Proposal(Block),
    /// Asks for a block by its hash.
    WantProposal(BlockHash),
    /// A vote for an agreed block.
    Vote(Vote),
    /// How far the sender is.
    Status(Height),
    /// Asks for the final blocks after a height.
    WantFinal(Height),
    /// Final blocks in order.
    Final(Vec<FinalBlock>),
    /// The wanted blocks were pruned: only a snapshot of this height or later helps.
    PrunedTo(Height),
}

impl Packet {
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, CborError> {
        cbor::encode(self)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, MAX_PACKET_BYTES)
    }
}
