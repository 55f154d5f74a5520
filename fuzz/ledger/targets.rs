//! What the fuzz targets do with their bytes; the tests of `salus-ledger` run the corpus through
//! the same functions. None of them may panic, whatever the bytes.

use std::collections::BTreeSet;

use salus_ledger::block::{
    Block, BlockHeader, Equivocation, FinalBlock, MAX_ENCODED_BLOCK_BYTES, check_proposal, execute,
};
use salus_ledger::call::Call;
use salus_ledger::cbor;
use salus_ledger::channel::Charter;
use salus_ledger::genesis::{Genesis, MAX_GENESIS_BYTES};
use salus_ledger::invariant::invariants;
use salus_ledger::proof::{
    AddCheckpoint, Checkpoint, FinalityProof, Fork, Handover, NoteSignature, ProvenState,
    PrunedBlock, SignedCheckpoint, StateEvidence, TlogProof, TrustAnchor, Witness, WitnessKey,
    WitnessName, verify_receipt,
};
use salus_ledger::state::MemoryStore;
use salus_ledger::transaction::{Envelope, MAX_TRANSACTION_BYTES};
use salus_ledger::{LedgerId, Opaque};
use salus_model::Timestamp;
use salus_testkit::ledger::ca::signer;
use serde::Serialize;
use serde::de::DeserializeOwned;

#[path = "ground.rs"]
mod ground;

use ground::{Ground, ground};

/// The most calls that one input makes, each in a block of its own.
const MOST_CALLS: usize = 8;

/// Writes and reads again what was read: there is one form only.
fn one_form<T: Serialize + DeserializeOwned>(bytes: &[u8], most: usize) -> Option<T> {
    let value: T = cbor::decode(bytes, most).ok()?;
    assert_eq!(cbor::encode(&value).expect("it was read"), bytes, "one form only");
    Some(value)
}

/// Bytes as a transaction: decoded, verified, and executed if it counts.
pub(crate) fn transaction(bytes: &[u8]) {
    let ground = ground();
    let Ok(envelope) = Envelope::from_bytes(bytes) else { return };
    let ledger: LedgerId = *envelope.transaction().ledger();
    let id = envelope.id();
    let Ok(tx) = envelope.verify(&ledger) else { return };
    assert_eq!(tx.as_bytes(), bytes, "one form only");
    assert_eq!(tx.id(), id, "signatures change no id");
    let mut store = ground.kept.store.clone();
    apply(&mut store, ground.kept.tip(), vec![Opaque::new(bytes.to_vec())]);
}

/// Executes on top of a block; whatever is carried out leaves a state that holds together.
fn apply(
    store: &mut MemoryStore,
    parent: &BlockHeader,
    transactions: Vec<Opaque>,
) -> Option<BlockHeader> {
    let time = parent.time.saturating_add_micros(1_000_000);
    let executed = execute(store, parent, time, transactions).ok()?;
    let checked = check_proposal(store, parent, &executed.block, time);
    assert!(checked.is_ok(), "a block that was made here is taken here: {checked:?}");
    store.commit(&executed.changes);
    if let Err(broken) = invariants(store, &executed.block.header) {
        panic!("{broken}");
    }
    Some(executed.block.header)
}

/// Bytes as a block: decoded, compared with its header and votes, executed again; and what is left
/// of a pruned one, evidence against validators, and the genesis.
pub(crate) fn block(bytes: &[u8]) {
    let ground = ground();
    let most = MAX_ENCODED_BLOCK_BYTES;
    let mut found: Vec<Block> = one_form(bytes, most).into_iter().collect();
    if let Some(FinalBlock { block, certificate }) = one_form(bytes, most) {
        let _ = certificate.verify(&block.header, ground.anchor.validators());
        found.push(block);
    }
    for block in found {
        let whole = block.is_whole();
        let (store, parent) = (&ground.kept.store, ground.kept.tip());
        if let Ok(executed) = check_proposal(store, parent, &block, block.header.time) {
            assert!(whole, "a block is taken whose transactions are others");
            assert_eq!(executed.block, block);
        }
    }
    if let Some(pruned) = one_form::<PrunedBlock>(bytes, most) {
        let _ = pruned.verify(&ground.anchor);
    }
    if let Some(evidence) = one_form::<Equivocation>(bytes, MAX_TRANSACTION_BYTES) {
        let _ = evidence.verify(ground.anchor.ledger());
    }
    if let Some(genesis) = one_form::<Genesis>(bytes, MAX_GENESIS_BYTES) {
        let _ = genesis.found();
        let _ = TrustAnchor::from_genesis(&genesis);
    }
}

/// Bytes as a proof: receipts, evidence of the state, handovers, checkpoints, requests to
/// witnesses, tlog proofs, forks, charters.
pub(crate) fn proof(bytes: &[u8]) {
    let ground = ground();
    let anchor = &ground.anchor;
    if let Ok(receipt) = verify_receipt(bytes, anchor) {
        assert_eq!(receipt.ledger, *anchor.ledger());
    }
    let most = 1024 * 1024;
    if let Some(evidence) = one_form::<StateEvidence>(bytes, most) {
        let _ = ProvenState::verify(&evidence, anchor);
    }
    if let Some(handover) = one_form::<Handover>(bytes, most) {
        let _ = anchor.follow(&handover);
    }
    if let Some(finality) = one_form::<FinalityProof>(bytes, most) {
        let _ = finality.verify(anchor);
    }
    if let Ok(fork) = Fork::from_bytes(bytes)
        && let Ok(guilty) = fork.verify(anchor.ledger(), anchor.validators())
    {
        assert!(!guilty.is_empty(), "a fork is nobody's fault");
    }
    if let Ok(charter) = Charter::from_bytes(bytes) {
        let _ = charter.agreed();
        let _ = charter.verify(&ground.kept.store, ground.kept.now);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        notes(text, ground);
    }
}

/// Signed notes and what is built of them.
fn notes(text: &str, ground: &Ground) {
    if let Ok(line) = NoteSignature::from_line(text) {
        let _ = line.name();
    }
    if let Ok(key) = text.parse::<WitnessKey>() {
        assert_eq!(key.to_string(), text, "one form only");
    }
    if let Ok(checkpoint) = SignedCheckpoint::from_text(text) {
        assert_eq!(checkpoint.to_string(), text, "one form only");
        let _ = checkpoint.verify(&ground.trust);
        let none = checkpoint.only_validators(&BTreeSet::new());
        assert!(
            none.is_ok_and(|none| none.signatures().is_empty()),
            "nobody's signatures are left"
        );
    }
    if let Ok(request) = AddCheckpoint::from_text(text) {
        assert_eq!(request.to_string(), text, "one form only");
        let name = WitnessName::new("witness.example.org/w1").expect("a name");
        let last = Checkpoint::of(ground.kept.tip());
        let mut witness = Witness::new(name, signer("witness"), ground.trust.clone(), Some(last));
        if witness.add(&request, Timestamp::EPOCH).is_ok() {
            let now = witness.last().expect("it has cosigned");
            assert!(now.size >= last.size, "a witness has gone back");
        }
    }
    if let Ok(proof) = TlogProof::from_text(text) {
        assert_eq!(proof.to_string(), text, "one form only");
        let _ = proof.verify(&ground.trust);
    }
}

/// Bytes as a list of calls, agreed to by everybody, each in a block of its own: what the contracts
/// carry out leaves the state in order, whatever is asked of them.
pub(crate) fn call(bytes: &[u8]) {
    let ground = ground();
    let Some(calls) = one_form::<Vec<Call>>(bytes, MAX_TRANSACTION_BYTES) else { return };
    let mut world = ground.busy.clone();
    for call in calls.into_iter().take(MOST_CALLS) {
        let Ok(draft) = world.transaction(call).draft() else { continue };
        let signed = ground.signers.iter().fold(draft, |draft, signer| draft.sign(signer));
        let Ok(tx) = signed.finish() else { continue };
        let parent = world.tip().clone();
        let transactions = vec![Opaque::new(tx.as_bytes().to_vec())];
        if let Some(header) = apply(&mut world.store, &parent, transactions) {
            world.now = header.time;
            world.headers.push(header);
        }
    }
}

/// What a fuzzer feeds bytes to.
type Target = fn(&[u8]);

/// The targets by name.
pub(crate) const ALL: [(&str, Target); 4] =
    [("transaction", transaction), ("block", block), ("proof", proof), ("call", call)];

/// The lists of calls that were written by hand, as [`call`] takes them.
#[allow(dead_code, reason = "the tests write them; the fuzzers read the files")]
pub(crate) fn seed_calls() -> Vec<(&'static str, Vec<u8>)> {
    let encoded = |calls: &Vec<Call>| cbor::encode(calls).expect("calls can be encoded");
    ground().seeds().iter().map(|(name, calls)| (*name, encoded(calls))).collect()
}
