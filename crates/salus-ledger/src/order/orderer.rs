use std::collections::BTreeSet;

use salus_model::Timestamp;

use crate::block::{Block, BlockHeader, Equivocation, FinalBlock, Vote};
use crate::words::{BlockHash, PublicKey};

/// Why a replica does not take a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// It never will.
    Invalid,
    /// It cannot yet: the block is ahead of this clock, or its parent is not known.
    NotYet,
}

/// What a driver tells an orderer.
#[derive(Debug, Clone)]
pub enum OrdererInput {
    /// Transactions wait in this replica's pool. Without any, an orderer proposes nothing.
    Pending,
    /// Time has passed, or an engine beneath the orderer has something to say.
    Tick,
    /// A message of another validator, whose key the transport has authenticated.
    Message {
        /// Who sent it.
        from: PublicKey,
        /// What.
        bytes: Vec<u8>,
    },
    /// The replica's answer to [`OrdererOutput::Propose`]; no block when nothing waits after all.
    /// The block is durable and counts as checked.
    Proposed {
        /// On which parent.
        parent: BlockHash,
        /// The block.
        block: Option<Block>,
    },
    /// A block that the orderer missed, from this node's store or from another validator.
    Found(Block),
    /// The replica has executed this block again and agrees; its bytes are durable.
    Checked(BlockHash),
    /// The replica does not agree with this block.
    Rejected {
        /// The block.
        block: BlockHash,
        /// For good, or for now.
        rejection: Rejection,
    },
    /// The replica's vote, asked for by [`OrdererOutput::Vote`].
    Voted(Vote),
    /// The replica has committed this block durably.
    Committed {
        /// Its header.
        header: Box<BlockHeader>,
        /// Its hash.
        block: BlockHash,
        /// Whose votes make the next one final.
        validators: BTreeSet<PublicKey>,
        /// The version of the configuration after it.
        config_version: u64,
    },
}

/// What an orderer asks of its driver.
#[derive(Debug, Clone)]
pub enum OrdererOutput {
    /// Ask the replica for a block on this parent.
    Propose {
        /// The parent: the last committed block, or one that was checked.
        parent: BlockHash,
    },
    /// Ask the replica to execute a proposed block again.
    Check(Block),
    /// The validators agreed on this block alone: let the replica vote for it.
    Vote(BlockHash),
    /// Look for a block in the store, or ask the others for it.
    Fetch(BlockHash),
    /// Send a message to one validator.
    Send {
        /// To whom.
        to: PublicKey,
        /// What.
        bytes: Vec<u8>,
    },
    /// Send a message to every validator.
    Broadcast(Vec<u8>),
    /// A block is final: let the replica commit it.
    Final(FinalBlock),
    /// A validator voted for two blocks of one height: keep the proof and report it.
    Misbehaviour(Equivocation),
}

/// Decides which block comes next: one validator alone, or a consensus engine among several.
///
/// The driver calls [`Orderer::step`] with whatever happened, does what comes back in its order,
/// and tells the outcome with further steps. Delivery is at least once and in order of height;
/// a replica passes over what it has committed already.
///
/// Checking and voting are two steps: an engine has rounds of its own in which several blocks of
/// one height may be proposed, and all of them are executed before the engine's votes. The votes
/// of the ledger, which make its certificate, are given once per height and only after the engine
/// has agreed; so the certificate and its verifier know nothing of the engine.
pub trait Orderer {
    /// Takes one input at a moment, and gives what is to be done.
    fn step(&mut self, input: OrdererInput, now: Timestamp) -> Vec<OrdererOutput>;
}
