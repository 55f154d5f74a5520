use std::collections::BTreeSet;

use salus_model::Timestamp;

use super::{Orderer, OrdererInput, OrdererOutput};
use crate::block::{Block, FinalBlock, VoteCollector};
use crate::words::{BlockHash, Height, LedgerId, PublicKey};

/// Orders for a single validator in the same process: a newcomer's ledger, with everything but
/// the others.
#[derive(Debug)]
pub struct SoloOrderer {
    ledger: LedgerId,
    validator: PublicKey,
    committed: Height,
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
    /// Orders after block `committed`.
    #[must_use]
    pub const fn new(ledger: LedgerId, validator: PublicKey, committed: Height) -> Self {
        Self { ledger, validator, committed, state: State::Idle, pending: false }
    }

    fn next(&mut self) -> Vec<OrdererOutput> {
        if !self.pending || !matches!(self.state, State::Idle) {
            return Vec::new();
        }
        self.pending = false;
        self.state = State::Proposing;
        vec![OrdererOutput::Propose(self.committed.next())]
    }

    fn rejected(&mut self, hash: BlockHash) {
        let ours = matches!(&self.state, State::Voting(block) if block.header.hash() == Ok(hash));
        if ours {
            self.state = State::Idle;
        }
    }

    fn voted(&mut self, vote: crate::block::Vote) -> Vec<OrdererOutput> {
        let State::Voting(block) = std::mem::replace(&mut self.state, State::Idle) else {
            return Vec::new();
        };
        let validators = BTreeSet::from([self.validator]);
        let mut votes = VoteCollector::new(self.ledger, self.committed.next(), validators);
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
            // A validator alone has nobody to talk to.
            OrdererInput::Message { .. } => Vec::new(),
            OrdererInput::Proposed(proposed) => match (&self.state, proposed) {
                (State::Proposing, Some(block)) => {
                    self.state = State::Voting(Box::new(block.clone()));
                    vec![OrdererOutput::Check(block)]
                }
                (State::Proposing, None) => {
                    self.state = State::Idle;
                    Vec::new()
                }
                _ => Vec::new(),
            },
            OrdererInput::Voted(vote) => self.voted(vote),
            OrdererInput::Rejected(hash) => {
                self.rejected(hash);
                Vec::new()
            }
            OrdererInput::Committed(height) => {
                self.committed = self.committed.max(height);
                self.state = State::Idle;
                self.next()
            }
        }
    }
}
