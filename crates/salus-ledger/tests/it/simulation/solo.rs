//! One validator in one process, driven as a node drives it.

use salus_ledger::genesis::Genesis;
use salus_ledger::order::{
    Orderer, OrdererInput, OrdererOutput, Pool, Replica, ReplicaError, ResumeError, SoloOrderer,
};
use salus_ledger::state::MemoryStore;
use salus_ledger::transaction::{SignedTransaction, Transaction};
use salus_ledger::{Commitment, block::FinalBlock, call::IssueFunds, query};
use salus_ledger::{Height, Money, Nonce};
use salus_model::Timestamp;

use crate::ca::{Authority, signer};
use crate::world::{HUB, UNI, genesis, hash, member};

struct Solo {
    store: MemoryStore,
    replica: Replica,
    orderer: SoloOrderer,
    log: Vec<FinalBlock>,
    acknowledged: usize,
    now: Timestamp,
    genesis: Genesis,
}

impl Solo {
    fn new() -> Self {
        let genesis = genesis(&Authority::new("Dev CA"), 3, &["val-1"]);
        let founded = genesis.found().unwrap();
        let mut store = MemoryStore::new();
        store.commit(&founded.changes);
        let header = founded.block.header;
        let first = header.hash().unwrap();
        let replica = Replica::resume(&store, header, None, Pool::new(1024 * 1024)).unwrap();
        let key = signer("val-1").public_key();
        let orderer = SoloOrderer::new(founded.ledger, key, Height::GENESIS, first);
        let now = genesis.time;
        Self { store, replica, orderer, log: Vec::new(), acknowledged: 0, now, genesis }
    }

    fn issue(&self, number: u64) -> SignedTransaction {
        let ledger = self.genesis.ledger_id().unwrap();
        let call = IssueFunds {
            to: member(UNI),
            amount: Money::new(number),
            reference: Commitment::new(hash("paper")),
        };
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&number.to_be_bytes());
        let last = self.replica.tip().height.after(20);
        let tx = Transaction::new(ledger, Nonce::new(nonce), last, call);
        tx.draft().unwrap().sign(&signer(HUB)).finish().unwrap()
    }

    fn drive(&mut self, input: OrdererInput) {
        self.now = self.now.saturating_add_micros(1_000);
        let mut todo = self.orderer.step(input, self.now);
        while let Some(output) = todo.pop() {
            let input = match output {
                OrdererOutput::Propose { parent } => OrdererInput::Proposed {
                    parent,
                    block: self.replica.propose_on(&self.store, &parent, self.now).unwrap(),
                },
                OrdererOutput::Vote(block) => {
                    let vote = self.replica.cast(block, &signer("val-1"));
                    OrdererInput::Voted(vote.unwrap())
                }
                OrdererOutput::Final(block) => {
                    self.log.push(block.clone());
                    let commit = self.replica.finalise(&self.store, block).unwrap().unwrap();
                    self.store.commit(&commit.changes);
                    let header = Box::new(commit.block.block.header.clone());
                    let block = header.hash().unwrap();
                    self.acknowledged += self.replica.committed(commit).unwrap().len();
                    let config = self.replica.config();
                    let (validators, config_version) =
                        (config.validator_keys(), config.form().version);
                    OrdererInput::Committed { header, block, validators, config_version }
                }
                other => panic!("a validator alone has nobody to talk to: {other:?}"),
            };
            todo.extend(self.orderer.step(input, self.now));
        }
    }
}

#[test]
fn one_validator_in_one_process_orders_and_is_idle_when_nothing_waits() {
    let mut solo = Solo::new();
    solo.drive(OrdererInput::Tick);
    assert!(solo.log.is_empty(), "nothing waits, so nothing is proposed");
    for number in 1..=10 {
        let tx = solo.issue(number);
        solo.replica.admit(&solo.store, tx.as_bytes(), solo.now).unwrap();
        if number % 3 == 0 {
            solo.drive(OrdererInput::Pending);
        }
    }
    solo.drive(OrdererInput::Pending);
    solo.drive(OrdererInput::Tick);
    assert_eq!((solo.acknowledged, solo.log.len()), (10, 4));
    assert_eq!(query::wallet(&solo.store, &member(UNI)).unwrap(), Some(Money::new(55)));
    assert!(solo.replica.pool().is_empty());
    // Another node follows from the log alone.
    let founded = solo.genesis.found().unwrap();
    let mut store = MemoryStore::new();
    store.commit(&founded.changes);
    let header = founded.block.header;
    let mut follower = Replica::resume(&store, header, None, Pool::new(1024)).unwrap();
    for block in &solo.log {
        let bytes = block.to_bytes().unwrap();
        let block = FinalBlock::from_bytes(&bytes).unwrap();
        let commit = follower.finalise(&store, block).unwrap().unwrap();
        store.commit(&commit.changes);
        follower.committed(commit).unwrap();
    }
    assert_eq!(follower.tip(), solo.replica.tip());
    assert_eq!(store, solo.store);
}

#[test]
fn a_replica_freezes_when_a_commit_is_not_durable() {
    let mut solo = Solo::new();
    let tx = solo.issue(1);
    solo.replica.admit(&solo.store, tx.as_bytes(), solo.now).unwrap();
    let block = solo.replica.propose(&solo.store, solo.now).unwrap().unwrap();
    let vote = solo.replica.vote(&solo.store, &block, &signer("val-1"), block.header.time).unwrap();
    let keys = std::collections::BTreeSet::from([vote.validator]);
    let mut votes =
        salus_ledger::block::VoteCollector::new(block.header.ledger, block.header.height, keys);
    let certificate = votes.add(vote).unwrap().unwrap();
    let last = FinalBlock { block, certificate };
    let commit = solo.replica.finalise(&solo.store, last.clone()).unwrap().unwrap();
    solo.replica.commit_failed();
    drop(commit);
    let other = solo.issue(2);
    let frozen = |result: Result<_, ReplicaError>| matches!(result, Err(ReplicaError::Frozen { height }) if height == Height::new(1));
    assert!(frozen(solo.replica.admit(&solo.store, other.as_bytes(), solo.now).map(|_| ())));
    assert!(frozen(solo.replica.propose(&solo.store, solo.now).map(|_| ())));
    assert!(frozen(solo.replica.finalise(&solo.store, last).map(|_| ())));
}

#[test]
fn a_validator_votes_once_a_height_and_remembers_it_over_a_restart() {
    let mut solo = Solo::new();
    let key = signer("val-1");
    let tx = solo.issue(1);
    solo.replica.admit(&solo.store, tx.as_bytes(), solo.now).unwrap();
    let first = solo.replica.propose(&solo.store, solo.now).unwrap().unwrap();
    let later = solo.now.saturating_add_micros(5);
    let second = solo.replica.propose(&solo.store, later).unwrap().unwrap();
    assert_ne!(first, second);
    let vote = solo.replica.vote(&solo.store, &first, &key, later).unwrap();
    assert_eq!(solo.replica.vote(&solo.store, &first, &key, later).unwrap(), vote);
    let refused = solo.replica.vote(&solo.store, &second, &key, later);
    assert!(matches!(refused, Err(ReplicaError::VotedAlready { .. })));
    let voted = solo.replica.voted().copied();
    let header = solo.replica.tip().clone();
    let mut restarted = Replica::resume(&solo.store, header, voted, Pool::new(1024)).unwrap();
    let refused = restarted.vote(&solo.store, &second, &key, later);
    assert!(matches!(refused, Err(ReplicaError::VotedAlready { .. })));
}

#[test]
fn a_store_that_is_torn_from_its_blocks_is_not_resumed() {
    let mut solo = Solo::new();
    let tx = solo.issue(1);
    solo.replica.admit(&solo.store, tx.as_bytes(), solo.now).unwrap();
    let old = (solo.store.clone(), solo.replica.tip().clone());
    solo.drive(OrdererInput::Pending);
    let pool = || Pool::new(1024);
    let torn = Replica::resume(&solo.store, old.1, None, pool());
    assert!(matches!(torn, Err(ResumeError::Torn { .. })));
    let mut header = solo.replica.tip().clone();
    header.state = salus_ledger::StateRoot::new([1; 32]);
    let other = Replica::resume(&solo.store, header, None, pool());
    assert!(matches!(other, Err(ResumeError::OtherRoot(_))));
    let empty = Replica::resume(&MemoryStore::new(), solo.replica.tip().clone(), None, pool());
    assert!(matches!(empty, Err(ResumeError::NoGenesis)));
}

#[test]
fn blocks_are_checked_on_blocks_that_are_not_committed_and_committed_in_order() {
    let mut leader = Solo::new();
    let mut other = Solo::new();
    let start = leader.replica.tip_hash();
    let first = leader.issue(1);
    leader.replica.admit(&leader.store, first.as_bytes(), leader.now).unwrap();
    let one = leader.replica.propose_on(&leader.store, &start, leader.now).unwrap().unwrap();
    let one_hash = one.header.hash().unwrap();
    assert!(!leader.replica.has_work_on(&one_hash), "the only transaction is in the parent");
    let second = leader.issue(2);
    leader.replica.admit(&leader.store, second.as_bytes(), leader.now).unwrap();
    assert!(leader.replica.has_work_on(&one_hash));
    let two = leader.replica.propose_on(&leader.store, &one_hash, leader.now).unwrap().unwrap();
    assert_eq!((two.transactions.len(), two.header.parent), (1, one_hash));
    // Another replica cannot check the second before the first, nor vote for what it did not check.
    let now = other.now.saturating_add_micros(10);
    let early = other.replica.check(&other.store, &two, now);
    assert!(matches!(early, Err(ReplicaError::UnknownParent { .. })), "{early:?}");
    let key = signer("val-1");
    let blind = other.replica.cast(one_hash, &key);
    assert!(matches!(blind, Err(ReplicaError::NotChecked { .. })), "{blind:?}");
    for block in [&one, &two] {
        other.replica.check(&other.store, block, now).unwrap();
    }
    for block in [one, two] {
        let hash = block.header.hash().unwrap();
        let vote = other.replica.cast(hash, &key).unwrap();
        let keys = std::collections::BTreeSet::from([vote.validator]);
        let (ledger, height) = (block.header.ledger, block.header.height);
        let mut votes = salus_ledger::block::VoteCollector::new(ledger, height, keys);
        let certificate = votes.add(vote).unwrap().unwrap();
        let last = FinalBlock { block, certificate };
        let commit = other.replica.finalise(&other.store, last).unwrap().unwrap();
        other.store.commit(&commit.changes);
        other.replica.committed(commit).unwrap();
    }
    assert_eq!(query::wallet(&other.store, &member(UNI)).unwrap(), Some(Money::new(3)));
}

#[test]
fn a_relayed_transaction_is_not_taken_once_it_is_recorded() {
    let mut solo = Solo::new();
    let tx = solo.issue(1);
    solo.replica.admit_relayed(&solo.store, tx.as_bytes()).unwrap();
    solo.drive(OrdererInput::Pending);
    let again = solo.replica.admit_relayed(&solo.store, tx.as_bytes());
    assert!(matches!(again, Err(ReplicaError::Execute(_))), "{again:?}");
    let mut forged = tx.as_bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let forged = solo.replica.admit_relayed(&solo.store, &forged);
    assert!(matches!(forged, Err(ReplicaError::Transaction(_))), "{forged:?}");
}
