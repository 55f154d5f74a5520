use std::collections::{BTreeMap, BTreeSet};

use salus_ledger::block::{Block, FinalBlock, Outcome, Vote, VoteCollector, VoteRefused};
use salus_ledger::invariant::{invariant_spent_only_grows, invariants};
use salus_ledger::order::{Pool, Replica, ReplicaError};
use salus_ledger::{BlockHash, Height, LedgerId, PublicKey, TxId};
use salus_model::Timestamp;

use super::disk::Disk;
use super::workload::{Dice, Prelude};
use crate::ca::signer;
use crate::world::VALIDATORS;

/// What is planted for the checkers to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// Every replica loses the writes to accounts.
    ForgottenCharge,
    /// One replica does.
    ForgottenChargeOnOne,
    /// One validator also votes for a block of its own.
    DoubleSigner,
    /// One replica acknowledges before its disk has synced.
    SkippedFsync,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) blocks: u64,
    pub(super) acknowledged: usize,
    pub(super) crashes: usize,
    pub(super) last_block: BlockHash,
}

struct Node {
    disk: Disk,
    /// None while it is down.
    replica: Option<Replica>,
    acknowledged: BTreeMap<TxId, (Height, Outcome)>,
}

/// A block on its way to a quorum: the service sticks to one block a height.
struct Round {
    block: Block,
    votes: VoteCollector,
}

pub(super) struct Cluster {
    dice: Dice,
    fault: Fault,
    prelude: Prelude,
    nodes: Vec<Node>,
    start: Height,
    now: Timestamp,
    ledger: LedgerId,
    keys: BTreeSet<PublicKey>,
    round: Option<Round>,
    log: Vec<FinalBlock>,
    crashes: usize,
}

type Checked = Result<(), String>;

const STEPS: usize = 120;
/// The replica in which a fault of one replica is planted.
const ODD_ONE: usize = 2;

impl Cluster {
    pub(super) fn new(seed: u64, fault: Fault) -> Self {
        let prelude = Prelude::shared();
        let header = prelude.world.tip().clone();
        let disk = Disk::new(prelude.world.store.clone(), header.clone());
        let nodes = (0..VALIDATORS.len())
            .map(|_| Node {
                disk: disk.clone(),
                replica: Some(resume(&disk)),
                acknowledged: BTreeMap::new(),
            })
            .collect();
        Self {
            dice: Dice::new(seed),
            fault,
            nodes,
            start: header.height,
            now: prelude.world.now,
            ledger: header.ledger,
            keys: VALIDATORS.iter().map(|name| signer(name).public_key()).collect(),
            prelude,
            round: None,
            log: Vec::new(),
            crashes: 0,
        }
    }

    pub(super) fn summary(&self) -> Summary {
        let last = self.nodes[0].disk.header();
        Summary {
            blocks: last.height.get() - self.start.get(),
            acknowledged: self.nodes.iter().map(|node| node.acknowledged.len()).sum(),
            crashes: self.crashes,
            last_block: last.hash().unwrap(),
        }
    }

    pub(super) fn run(&mut self) -> Checked {
        for _ in 0..STEPS {
            self.now = self.now.saturating_add_micros(1_000 + 100_000 * self.pick(9) as i64);
            match self.pick(100) {
                0..20 => self.submit(),
                20..24 => self.crash(),
                24..32 => self.restart()?,
                32..50 => self.propose(),
                50..70 => self.vote_some()?,
                _ => self.deliver_one()?,
            }
        }
        self.heal()?;
        self.check_all()
    }

    fn pick(&mut self, end: u64) -> u64 {
        self.dice.below(end)
    }

    fn any_node(&mut self) -> usize {
        self.dice.below(VALIDATORS.len() as u64) as usize
    }

    /// A client hands transactions to one replica, or to two of them.
    fn submit(&mut self) {
        let transactions = self.prelude.transactions(&mut self.dice);
        for bytes in transactions {
            for _ in 0..=self.pick(2) {
                let (at, now) = (self.any_node(), self.now);
                let node = &mut self.nodes[at];
                if let Some(replica) = &mut node.replica {
                    // Refusals at the door are the client's to handle.
                    let _ = replica.admit(node.disk.store(), &bytes, now);
                }
            }
        }
    }

    fn crash(&mut self) {
        let at = self.any_node();
        let node = &mut self.nodes[at];
        if node.replica.take().is_some() {
            node.disk.crash();
            self.crashes += 1;
        }
    }

    fn restart(&mut self) -> Checked {
        let at = self.any_node();
        self.restart_node(at)
    }

    fn restart_node(&mut self, at: usize) -> Checked {
        let node = &mut self.nodes[at];
        if node.replica.is_none() {
            invariant_acknowledged_is_durable(node, at)?;
            node.replica = Some(resume(&node.disk));
        }
        Ok(())
    }

    fn next_height(&self) -> Height {
        self.start.after(self.log.len() as u64).next()
    }

    /// The service asks some replica that is up to date for the next block.
    fn propose(&mut self) {
        if self.round.is_some() {
            return;
        }
        let (first, next, now) = (self.any_node(), self.next_height(), self.now);
        for step in 0..VALIDATORS.len() {
            let node = &self.nodes[(first + step) % VALIDATORS.len()];
            let Some(replica) = &node.replica else { continue };
            if replica.tip().height.next() != next {
                continue;
            }
            if let Ok(Some(block)) = replica.propose(node.disk.store(), now) {
                let votes = VoteCollector::new(self.ledger, next, self.keys.clone());
                self.round = Some(Round { block, votes });
                return;
            }
        }
    }

    /// The proposal reaches some replicas, maybe for the second time, and their votes come back.
    fn vote_some(&mut self) -> Checked {
        let first = self.any_node();
        for step in 0..VALIDATORS.len() {
            if self.dice.chance(60) {
                self.vote((first + step) % VALIDATORS.len())?;
            }
        }
        Ok(())
    }

    fn vote(&mut self, at: usize) -> Checked {
        let Some(round) = &mut self.round else { return Ok(()) };
        let node = &mut self.nodes[at];
        let Some(replica) = &mut node.replica else { return Ok(()) };
        let key = signer(VALIDATORS[at]);
        let now = self.now.max(round.block.header.time);
        let Ok(vote) = replica.vote(node.disk.store(), &round.block, &key, now) else {
            return Ok(());
        };
        node.disk.write_vote(replica.voted().copied());
        let mut votes = vec![vote];
        if self.fault == Fault::DoubleSigner && at == ODD_ONE {
            let height = round.block.header.height;
            votes.push(Vote::cast(&key, &self.ledger, height, BlockHash::new([9; 32])));
        }
        for vote in votes {
            match round.votes.add(vote) {
                Ok(Some(certificate)) => {
                    let block = round.block.clone();
                    self.log.push(FinalBlock { block, certificate });
                    self.round = None;
                    return Ok(());
                }
                Ok(None) => {}
                Err(VoteRefused::Equivocation { evidence, key, .. }) => {
                    evidence.verify(&self.ledger).map_err(|e| e.to_string())?;
                    return Err(format!("one vote a height: {key}"));
                }
                Err(other) => return Err(other.to_string()),
            }
        }
        Ok(())
    }

    /// A final block reaches one replica: the next one, or one that it has already.
    fn deliver_one(&mut self) -> Checked {
        let at = self.any_node();
        let Some(replica) = &self.nodes[at].replica else { return Ok(()) };
        let have = (replica.tip().height.get() - self.start.get()) as usize;
        let again = self.dice.chance(15) && have > 0;
        let index = if again { self.dice.below(have as u64) as usize } else { have };
        self.deliver(at, index)
    }

    fn deliver(&mut self, at: usize, index: usize) -> Checked {
        let Some(block) = self.log.get(index).cloned() else { return Ok(()) };
        let torn = self.dice.chance(3);
        let applied = self.dice.chance(50);
        let node = &mut self.nodes[at];
        let Some(replica) = &mut node.replica else { return Ok(()) };
        let commit = match replica.finalise(node.disk.store(), block) {
            Ok(Some(commit)) => commit,
            Ok(None) => return Ok(()),
            Err(error) => return Err(format!("replica {at} cannot follow: {}", chain(&error))),
        };
        let forgets = match self.fault {
            Fault::ForgottenCharge => true,
            Fault::ForgottenChargeOnOne => at == ODD_ONE,
            _ => false,
        };
        let before = node.disk.store().clone();
        node.disk.write(&commit, forgets.then_some("account/"));
        if torn {
            // The power goes in the middle of the transaction: it is there or it is not.
            if applied {
                node.disk.sync();
            }
            node.replica = None;
            node.disk.crash();
            self.crashes += 1;
            return Ok(());
        }
        let lazy = self.fault == Fault::SkippedFsync && at == ODD_ONE;
        if !lazy {
            node.disk.sync();
        }
        invariant_spent_only_grows(&before, node.disk.store()).map_err(|e| e.to_string())?;
        let acknowledged = replica.committed(commit).map_err(|e| e.to_string())?;
        for ack in acknowledged {
            node.acknowledged.insert(ack.transaction, (ack.height, ack.outcome));
        }
        Ok(())
    }

    /// Everything comes back, and everything under way arrives.
    fn heal(&mut self) -> Checked {
        for at in 0..self.nodes.len() {
            self.restart_node(at)?;
        }
        for _ in 0..4 {
            for at in 0..self.nodes.len() {
                self.catch_up(at)?;
            }
            self.propose();
            for at in 0..self.nodes.len() {
                self.vote(at)?;
            }
        }
        (0..self.nodes.len()).try_for_each(|at| self.catch_up(at))
    }

    fn catch_up(&mut self, at: usize) -> Checked {
        // A torn commit may take it down again on the way.
        for _ in 0..self.log.len() * 4 {
            self.restart_node(at)?;
            let height = self.nodes[at].disk.header().height;
            let have = (height.get() - self.start.get()) as usize;
            if have == self.log.len() {
                break;
            }
            self.deliver(at, have)?;
        }
        self.restart_node(at)
    }

    fn check_all(&self) -> Checked {
        for (at, node) in self.nodes.iter().enumerate() {
            invariant_acknowledged_is_durable(node, at)?;
            invariants(node.disk.store(), node.disk.header()).map_err(|e| e.to_string())?;
            invariant_agreement(&self.nodes[0], node, at)?;
            invariant_recorded_once(node, at)?;
        }
        Ok(())
    }
}

fn resume(disk: &Disk) -> Replica {
    let pool = Pool::new(1024 * 1024);
    Replica::resume(disk.store(), disk.header().clone(), disk.voted(), pool).unwrap()
}

fn chain(error: &ReplicaError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

/// Whatever a replica has acknowledged is on its disk, as it was acknowledged.
fn invariant_acknowledged_is_durable(node: &Node, at: usize) -> Checked {
    let recorded: BTreeMap<_, _> = node
        .disk
        .entries()
        .iter()
        .map(|entry| (entry.transaction, (entry.height, entry.outcome.clone())))
        .collect();
    match node.acknowledged.iter().find(|(id, found)| recorded.get(*id) != Some(*found)) {
        Some((id, _)) => Err(format!("acknowledged is durable: {id} on replica {at}")),
        None => Ok(()),
    }
}

/// Replicas that have a block have the same one.
fn invariant_agreement(one: &Node, other: &Node, at: usize) -> Checked {
    let same = one.disk.log().iter().zip(other.disk.log()).all(|(a, b)| a.block == b.block);
    let level = one.disk.header() == other.disk.header();
    if same && level { Ok(()) } else { Err(format!("agreement: replicas 0 and {at}")) }
}

/// No transaction stands in the history twice.
fn invariant_recorded_once(node: &Node, at: usize) -> Checked {
    let mut seen = BTreeSet::new();
    match node.disk.entries().iter().find(|entry| !seen.insert(entry.transaction)) {
        Some(entry) => Err(format!("recorded once: {} on replica {at}", entry.transaction)),
        None => Ok(()),
    }
}
