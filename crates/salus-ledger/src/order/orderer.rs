use salus_model::Timestamp;

use crate::block::{Block, FinalBlock, Vote};
use crate::words::{BlockHash, Height, PublicKey};

/// What a driver tells an orderer.
#[derive(Debug, Clone)]
pub enum OrdererInput {
    /// Transactions wait in this replica's pool. Without any, an orderer proposes nothing.
    Pending,
    /// Time has passed.
    Tick,
    /// A message of another validator, whose key the transport has authenticated.
    Message {
        /// Who sent it.
        from: PublicKey,
        /// What.
        bytes: Vec<u8>,
    },
    /// The replica's answer to [`OrdererOutput::Propose`]; none when nothing waits after all.
    Proposed(Option<Block>),
    /// The replica's answer to [`OrdererOutput::Check`]; the vote was made durable first.
    Voted(Vote),
    /// The replica does not vote for this block.
    Rejected(BlockHash),
    /// The replica has committed this block durably.
    Committed(Height),
}

/// What an orderer asks of its driver.
#[derive(Debug, Clone)]
pub enum OrdererOutput {
    /// Ask the replica for the block of this height.
    Propose(Height),
    /// Ask the replica to execute a proposed block again and to vote.
    Check(Block),
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
}

/// Decides which block comes next: one validator alone, or a consensus engine among several.
///
/// The driver calls [`Orderer::step`] with whatever happened, does what comes back in its order,
/// and tells the outcome with further steps. Delivery is at least once and in order of height;
/// a replica passes over what it has committed already.
pub trait Orderer {
    /// Takes one input at a moment, and gives what is to be done.
    fn step(&mut self, input: OrdererInput, now: Timestamp) -> Vec<OrdererOutput>;
}
