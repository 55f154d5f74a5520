use std::collections::{BTreeMap, BTreeSet};

use salus_ledger::block::{Block, Certificate, Equivocation, Vote, VoteCollector, VoteRefused};
use salus_ledger::{BlockHash, Height, LedgerId, PublicKey};

/// How far above the tip votes are collected, and how far below a second vote is still noticed.
const WINDOW: u64 = 256;

/// What became of a vote.
pub(super) enum Counted {
    Yes,
    /// The validator voted for two blocks of one height.
    Equivocation(Box<Equivocation>),
    No(VoteRefused),
}

/// The ledger's own votes, height by height.
#[derive(Debug)]
pub(super) struct Votes {
    ledger: LedgerId,
    tip: Height,
    validators: BTreeSet<PublicKey>,
    collected: BTreeMap<Height, VoteCollector>,
    certificates: BTreeMap<Height, Certificate>,
    ours: BTreeMap<Height, Vote>,
    /// What the replica was asked to vote for.
    asked: BTreeMap<Height, BlockHash>,
}

impl Votes {
    pub(super) const fn new(
        ledger: LedgerId,
        tip: Height,
        validators: BTreeSet<PublicKey>,
    ) -> Self {
        Self {
            ledger,
            tip,
            validators,
            collected: BTreeMap::new(),
            certificates: BTreeMap::new(),
            ours: BTreeMap::new(),
            asked: BTreeMap::new(),
        }
    }

    pub(super) fn count(&mut self, vote: Vote) -> Counted {
        let height = vote.height;
        let window = self.tip.get().saturating_sub(WINDOW)..=self.tip.get().saturating_add(WINDOW);
        if !window.contains(&height.get()) {
            return Counted::Yes;
        }
        let collector = self
            .collected
            .entry(height)
            .or_insert_with(|| VoteCollector::new(self.ledger, height, self.validators.clone()));
        match collector.add(vote) {
            Ok(Some(certificate)) => {
                self.certificates.entry(height).or_insert(certificate);
                Counted::Yes
            }
            Ok(None) => Counted::Yes,
            Err(VoteRefused::Equivocation { evidence, .. }) => Counted::Equivocation(evidence),
            Err(other) => Counted::No(other),
        }
    }

    /// Whether the replica has not been asked to vote for this block yet.
    pub(super) fn shall_vote(&mut self, hash: &BlockHash, block: Option<&Block>) -> bool {
        let Some(height) = block.map(|block| block.header.height) else { return false };
        self.asked.insert(height, *hash) != Some(*hash)
    }

    pub(super) fn gave(&mut self, vote: &Vote) {
        self.ours.insert(vote.height, vote.clone());
    }

    /// The votes of this validator whose blocks it has not committed yet: the others may have
    /// missed them.
    pub(super) fn ours(&self) -> impl Iterator<Item = &Vote> {
        self.ours.values()
    }

    pub(super) fn certificate(&self, height: Height) -> Option<&Certificate> {
        self.certificates.get(&height)
    }

    pub(super) fn committed(&mut self, tip: Height, validators: BTreeSet<PublicKey>) {
        self.tip = tip;
        if self.validators != validators {
            // Votes for later blocks were counted against the validators before.
            self.validators = validators;
            self.collected.clear();
        }
        let oldest = Height::new(tip.get().saturating_sub(WINDOW));
        self.collected = self.collected.split_off(&oldest);
        let next = tip.next();
        self.certificates = self.certificates.split_off(&next);
        // The last one stays, for a validator that is one block behind and misses a vote.
        self.ours = self.ours.split_off(&tip);
        self.asked = self.asked.split_off(&next);
    }
}
