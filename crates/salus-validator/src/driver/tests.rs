#![allow(clippy::unwrap_used)]

use commonware_consensus::Automaton as _;
use commonware_consensus::simplex::types::Context;
use commonware_consensus::types::{Epoch, Round, View};
use commonware_cryptography::Signer as _;
use commonware_cryptography::sha256::Digest;
use futures::executor::block_on;
use salus_ledger::block::{self, Block, Certificate, FinalBlock, Vote};
use salus_ledger::order::{Orderer as _, OrdererInput, OrdererOutput};
use salus_ledger::{BlockHash, Height, PublicKey, SignatureBytes, query};
use salus_model::Timestamp;

use super::*;
use crate::order::{Application, CommonwareOrderer, participants, to_digest};
use crate::packet::Packet;
use crate::simulation::disk::Disk;
use crate::simulation::world::{genesis, issue, secret, signer, validator_name};
use crate::store::Store;

fn start() -> Timestamp {
    "2026-04-01T00:00:00Z".parse().unwrap()
}

fn core(number: usize) -> Core<CommonwareOrderer> {
    let store = Store::found_on(Disk::new(), &genesis(4, 4)).unwrap();
    let config = query::config(store.view()).unwrap().unwrap();
    let orderer = CommonwareOrderer::new(store.view().tip(), config.validator_keys(), 0).unwrap();
    Core::new(store, orderer, signer(&validator_name(number))).unwrap()
}

fn key(number: usize) -> PublicKey {
    signer(&validator_name(number)).public_key()
}

fn first_block(core: &Core<CommonwareOrderer>, number: u64) -> Block {
    let view = core.store().view();
    let tx = issue(*view.ledger(), number);
    block::propose(view, view.tip(), start(), &[tx]).unwrap().block
}

fn votes(block: &Block, voters: &[&str]) -> FinalBlock {
    let (ledger, height) = (block.header.ledger, block.header.height);
    let hash = block.header.hash().unwrap();
    let votes = voters
        .iter()
        .map(|name| Vote::cast(&signer(name), &ledger, height, hash))
        .map(|vote| (vote.validator, vote.signature))
        .collect();
    FinalBlock { block: block.clone(), certificate: Certificate { height, block: hash, votes } }
}

fn hand_over(core: &mut Core<CommonwareOrderer>, block: FinalBlock) -> Height {
    let bytes = Packet::Final(vec![block]).to_bytes().unwrap();
    core.receive(key(1), bytes, start());
    core.store().view().tip().height
}

#[test]
fn a_forged_certificate_is_refused_and_a_right_one_is_committed() {
    let mut core = core(0);
    let block = first_block(&core, 1);
    let (none, one) = (Height::GENESIS, Height::new(1));
    assert_eq!(hand_over(&mut core, votes(&block, &["val-0", "val-1"])), none, "too few");
    let stranger = votes(&block, &["val-0", "val-1", "hub"]);
    assert_eq!(hand_over(&mut core, stranger), none, "a member that is no validator");
    let mut forged = votes(&block, &["val-0", "val-1", "val-2"]);
    forged.certificate.votes.insert(key(2), SignatureBytes::new([7; 64]));
    assert_eq!(hand_over(&mut core, forged), none, "a forged signature");
    let mut other = votes(&block, &["val-0", "val-1", "val-2"]);
    other.block = first_block(&core, 2);
    assert_eq!(hand_over(&mut core, other), none, "votes for another block");
    let mut emptied = votes(&block, &["val-0", "val-1", "val-2"]);
    emptied.block.transactions.clear();
    assert_eq!(hand_over(&mut core, emptied), none, "transactions left out");
    assert_eq!(hand_over(&mut core, votes(&block, &["val-0", "val-1", "val-2"])), one);
    assert_eq!(hand_over(&mut core, votes(&block, &["val-0", "val-1", "val-3"])), one, "again");
}

#[test]
fn votes_make_a_block_final_and_two_of_one_validator_are_evidence() {
    let mut core = core(0);
    let block = first_block(&core, 1);
    let bytes = Packet::Proposal(block.clone()).to_bytes().unwrap();
    core.receive(key(1), bytes, start());
    let (ledger, hash) = (block.header.ledger, block.header.hash().unwrap());
    let cast = |name: &str, hash: BlockHash| {
        Packet::Vote(Vote::cast(&signer(name), &ledger, Height::new(1), hash)).to_bytes().unwrap()
    };
    core.receive(key(2), cast("val-2", BlockHash::new([9; 32])), start());
    core.receive(key(2), cast("val-2", hash), start());
    let evidence = core.store().view().evidence().unwrap();
    assert_eq!(evidence.len(), 1);
    evidence[0].verify(&ledger).unwrap();
    assert_eq!(*evidence[0].validator(), key(2));
    core.receive(key(1), cast("val-1", hash), start());
    core.receive(key(3), cast("val-3", hash), start());
    assert_eq!(core.store().view().tip().height, Height::GENESIS, "the liar's vote does not count");
    core.receive(key(3), cast("val-0", hash), start());
    assert_eq!(core.store().view().tip().height, Height::new(1));
}

#[test]
fn a_block_whose_transactions_are_not_its_own_displaces_nothing() {
    let tip = core(0).store().view().tip().clone();
    let block = first_block(&core(0), 1);
    let hash = block.header.hash().unwrap();
    let config = genesis(4, 4).config;
    let mut orderer = CommonwareOrderer::new(&tip, config.validator_keys(), 0).unwrap();
    let mut hollow = block.clone();
    hollow.transactions.clear();
    let send = |block: &Block| OrdererInput::Message {
        from: key(3),
        bytes: Packet::Proposal(block.clone()).to_bytes().unwrap(),
    };
    orderer.step(send(&hollow), start());
    orderer.step(send(&block), start());
    let final_after = |orderer: &mut CommonwareOrderer| {
        let votes = ["val-0", "val-1", "val-2"]
            .map(|name| Vote::cast(&signer(name), &tip.ledger, Height::new(1), hash));
        let step = |vote| {
            let bytes = Packet::Vote(vote).to_bytes().unwrap();
            orderer.step(OrdererInput::Message { from: key(1), bytes }, start())
        };
        votes.into_iter().flat_map(step).collect::<Vec<_>>()
    };
    let asked = final_after(&mut orderer);
    let whole = asked
        .iter()
        .any(|output| matches!(output, OrdererOutput::Final(found) if found.block == block));
    assert!(whole, "{asked:?}");
}

#[test]
fn a_validator_that_was_away_is_served_and_commits_what_it_is_served() {
    let (mut ahead, mut behind) = (core(0), core(1));
    for number in 1..=5 {
        let view = ahead.store().view();
        let tx = issue(*view.ledger(), number);
        let time = start().saturating_add_micros(number as i64 * 1000);
        let block = block::propose(view, view.tip(), time, &[tx]).unwrap().block;
        hand_over(&mut ahead, votes(&block, &["val-0", "val-1", "val-2"]));
    }
    let status = Packet::Status(ahead.store().view().tip().height).to_bytes().unwrap();
    let asked = behind.receive(key(0), status, start()).outgoing;
    let wanted = asked.into_iter().find_map(|message| match message {
        Outgoing::To(to, bytes) if to == key(0) => Some(bytes),
        _ => None,
    });
    let served = ahead.receive(key(1), wanted.unwrap(), start()).outgoing;
    let Some(Outgoing::To(to, bytes)) = served.into_iter().next() else { panic!("not served") };
    assert_eq!(to, key(1));
    assert!(behind.receive(key(0), bytes, start()).committed);
    assert_eq!(behind.store().view().tip(), ahead.store().view().tip());
    // What was pruned cannot be served, and that is said.
    ahead.store_mut().prune_below(Height::new(4)).unwrap();
    let want = Packet::WantFinal(Height::GENESIS).to_bytes().unwrap();
    let said = ahead.receive(key(1), want, start()).outgoing;
    let Some(Outgoing::To(_, bytes)) = said.into_iter().next() else { panic!("silence") };
    assert_eq!(Packet::from_bytes(&bytes).unwrap(), Packet::PrunedTo(Height::new(5)));
}

fn context(parent: &BlockHash) -> Context<Digest, commonware_cryptography::ed25519::PublicKey> {
    let leader = engine_key(&secret(&validator_name(1))).unwrap().public_key();
    let round = Round::new(Epoch::new(0), View::new(2));
    Context { round, leader, parent: (View::new(1), to_digest(parent)) }
}

#[test]
fn a_block_that_hangs_is_proposed_again_and_taken_again() {
    let mut core = core(0);
    let keys = core.replica().config().validator_keys();
    let mut engine = Application::new(0, core.orderer().queue(), participants(&keys).unwrap());
    let (tip, block) = (core.replica().tip_hash(), first_block(&core, 1));
    let hash = block.header.hash().unwrap();
    core.receive(key(1), Packet::Proposal(block).to_bytes().unwrap(), start());
    let mut verdict = block_on(engine.verify(context(&tip), to_digest(&hash)));
    core.step(OrdererInput::Tick, start());
    assert_eq!(verdict.try_recv(), Ok(true));
    assert!(core.store().has_proposal(&hash).unwrap(), "voted for before it was on the disk");
    // A quorum supported it, it is not final, and nothing else waits.
    let mut answer = block_on(engine.propose(context(&hash)));
    core.step(OrdererInput::Tick, start());
    assert!(answer.try_recv().is_err(), "its votes may still come");
    core.step(OrdererInput::Tick, start().saturating_add_micros(300_000));
    assert_eq!(answer.try_recv(), Ok(to_digest(&hash)));
    let mut verdict = block_on(engine.verify(context(&hash), to_digest(&hash)));
    core.step(OrdererInput::Tick, start());
    assert_eq!(verdict.try_recv(), Ok(true));
    // On the last committed block there is nothing to make final.
    let mut answer = block_on(engine.propose(context(&tip)));
    core.step(OrdererInput::Tick, start());
    core.step(OrdererInput::Tick, start().saturating_add_micros(900_000));
    assert!(answer.try_recv().is_err());
}
