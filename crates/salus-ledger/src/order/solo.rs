use std::collections::BTreeSet;

use salus_model::Timestamp;

use super::{Orderer, OrdererInput, OrdererOutput};
use crate::block::{Block, FinalBlock, Vote, VoteCollector};
use crate::words::{BlockHash, Height, LedgerId, PublicKey};

/// Orders for a single validator in the same process: a newcomer's ledger, with everything but
/// the others.
#[derive(Debug)]
pub struct SoloOrderer {
    ledger: LedgerId,
    validator: PublicKey,
    committed: (Height, BlockHash),
    state: State,
    pending: bool,
}

#[derive(Debug)]
enum State {
    Idle,
    Proposing,
    Voting(Box<Block>),
    Committing,
}

impl SoloOrderer {
    /// Orders after the last committed block.
    #[must_use]
    pub const fn new(
        ledger: LedgerId,
        validator: PublicKey,
        height: Height,
        block: BlockHash,
    ) -> Self {
        let committed = (height, block);
        Self { ledger, validator, committed, state: State::Idle, pending: false }
    }

    fn next(&mut self) -> Vec<OrdererOutput> {
        if !self.pending || !matches!(self.state, State::Idle) {
            return Vec::new();
        }
        self.pending = false;
        self.state = State::Proposing;
        vec![OrdererOutput::Propose { parent: self.committed.1 }]
    }

    /// Nobody else proposes, so the block that was made is the only one of its height.
    fn proposed(&mut self, block: Option<Block>) -> Vec<OrdererOutput> {
        if !matches!(self.state, State::Proposing) {
            return Vec::new();
        }
        let hash = block.as_ref().and_then(|block| block.header.hash().ok());
        let (Some(block), Some(hash)) = (block, hash) else {
            self.state = State::Idle;
            return Vec::new();
        };
        self.state = State::Voting(Box::new(block));
        vec![OrdererOutput::Vote(hash)]
    }

    fn rejected(&mut self, hash: BlockHash) {
        let ours = matches!(&self.state, State::Voting(block) if block.header.hash() == Ok(hash));
        if ours {
            self.state = State::Idle;
        }
    }

    fn voted(&mut self, vote: Vote) -> Vec<OrdererOutput> {
        let State::Voting(block) = std::mem::replace(&mut self.state, State::Idle) else {
            return Vec::new();
        };
        let validators = BTreeSet::from([self.validator]);
        let mut votes = VoteCollector::new(self.ledger, self.committed.0.next(), validators);
        match votes.add(vote) {
            Ok(Some(certificate)) if block.header.hash() == Ok(certificate.block) => {
                self.state = State::Committing;
                vec![OrdererOutput::Final(FinalBlock { block: *block, certificate })]
            }
            // A vote for something else: propose again, from what the pool then has.
            _ => {
                self.pending = true;
                self.next()
            }
        }
    }
}

impl Orderer for SoloOrderer {
    fn step(&mut self, input: OrdererInput, _now: Timestamp) -> Vec<OrdererOutput> {
        match input {
            OrdererInput::Pending => {
                self.pending = true;
                self.next()
            }
            OrdererInput::Tick => self.next(),
            // A validator alone has nobody to talk to, and checks nothing but its own.
            OrdererInput::Message { .. } | OrdererInput::Found(_) | OrdererInput::Checked(_) => {
                Vec::new()
            }
            OrdererInput::Proposed { block, .. } => self.proposed(block),
            OrdererInput::Voted(vote) => self.voted(vote),
            OrdererInput::Rejected { block, .. } => {
                self.rejected(block);
                Vec::new()
            }
            OrdererInput::Committed { header, block, .. } => {
                if header.height > self.committed.0 {
                    self.committed = (header.height, block);
                }
                self.state = State::Idle;
                self.next()
            }
        }
    }
}
