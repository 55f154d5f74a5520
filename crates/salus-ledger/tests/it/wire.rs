//! Forms on the wire: vectors that are kept for ever, an independent implementation of COSE, and
//! the fuzzers' corpora on the stable toolchain.

use std::path::{Path, PathBuf};

use salus_ledger::block::FinalBlock;
use salus_ledger::call::Call;
use salus_ledger::cbor;
use salus_ledger::config::{ConfigForm, PlatformConfig};
use salus_ledger::genesis::{Genesis, MAX_GENESIS_BYTES};
use salus_ledger::proof::{
    ProvenState, PrunedBlock, StateEvidence, TlogProof, TrustAnchor, verify_receipt,
};
use salus_ledger::review::ReviewRule;
use salus_ledger::transaction::SignedTransaction;

use crate::ca::signer;
use crate::golden::{path, same_as_file};
use crate::proofs::Archive;
use crate::samples::{SIGNER, reviewed_release, sample};
use crate::world::{ANNA, World, dataset, newest};

#[path = "../../../../fuzz/ledger/targets.rs"]
mod targets;

fn kept(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

#[test]
fn version_1_is_written_as_ever() {
    let archive = Archive::new();
    same_as_file("wire-v1/anchor.cbor", &cbor::encode(&archive.anchor).unwrap());
    same_as_file("wire-v1/receipt.cbor", &archive.receipt());
    same_as_file("wire-v1/proof.tlog-proof", archive.tlog_proof().to_string().as_bytes());
    same_as_file("wire-v1/block.cbor", &archive.final_block().to_bytes().unwrap());
    same_as_file("wire-v1/pruned.cbor", &cbor::encode(&archive.pruned()).unwrap());
    same_as_file("wire-v1/evidence.cbor", &cbor::encode(&archive.evidence()).unwrap());
    same_as_file("wire-v1/genesis.cbor", &cbor::encode(&archive.genesis()).unwrap());
    same_as_file("wire-v1/checkpoint.txt", archive.checkpoint().to_string().as_bytes());
    let mut world = World::new();
    for method in salus_ledger::call::Method::ALL {
        let call = sample(&world, *method, "nobody");
        let tx = world.signed(call, &[&signer(SIGNER)]);
        same_as_file(&format!("wire-v1/{}.cose", method.as_str()), tx.as_bytes());
    }
    // What came later, in the same form: a release on a review, a rule of review, a first version.
    let tx = world.signed(reviewed_release(), &[&signer(SIGNER)]);
    same_as_file("wire-v1/accounts.release-reviewed.cose", tx.as_bytes());
    let mut later = newest(archive.genesis());
    let mut form: ConfigForm = later.config.form().clone();
    form.review = Some(ReviewRule::STANDARD);
    later.config = PlatformConfig::new(form).unwrap();
    same_as_file("wire-v1/genesis-newest.cbor", &cbor::encode(&later).unwrap());
}

#[test]
fn version_1_is_read_as_ever() {
    let anchor: TrustAnchor = cbor::decode(&kept("wire-v1/anchor.cbor"), 4096).unwrap();
    let verified = verify_receipt(&kept("wire-v1/receipt.cbor"), &anchor).unwrap();
    assert_eq!(verified.uses[0].dataset.to_string(), "st-anna/observations");
    for method in salus_ledger::call::Method::ALL {
        let bytes = kept(&format!("wire-v1/{}.cose", method.as_str()));
        let tx = SignedTransaction::from_bytes(&bytes, anchor.ledger()).unwrap();
        assert_eq!(tx.transaction().call().method(), *method);
    }
    let block = FinalBlock::from_bytes(&kept("wire-v1/block.cbor")).unwrap();
    assert!(block.block.is_whole());
    block.certificate.verify(&block.block.header, anchor.validators()).unwrap();
    let pruned: PrunedBlock = cbor::decode(&kept("wire-v1/pruned.cbor"), 1 << 16).unwrap();
    pruned.verify(&anchor).unwrap();
    let evidence: StateEvidence = cbor::decode(&kept("wire-v1/evidence.cbor"), 1 << 16).unwrap();
    let proven = ProvenState::verify(&evidence, &anchor).unwrap();
    assert!(proven.account(&dataset(ANNA, "observations")).unwrap().is_some());
    let genesis: Genesis = cbor::decode(&kept("wire-v1/genesis.cbor"), MAX_GENESIS_BYTES).unwrap();
    assert_eq!(genesis.ledger_id().unwrap(), *anchor.ledger());
    assert!(genesis.contracts.is_empty() && genesis.config.form().review.is_none());
    let later = kept("wire-v1/genesis-newest.cbor");
    let later: Genesis = cbor::decode(&later, MAX_GENESIS_BYTES).unwrap();
    assert_eq!(later.config.form().review, Some(ReviewRule::STANDARD));
    let bytes = kept("wire-v1/accounts.release-reviewed.cose");
    let tx = SignedTransaction::from_bytes(&bytes, anchor.ledger()).unwrap();
    let Call::RecordRelease(call) = tx.transaction().call() else { panic!("another call") };
    assert_eq!(call.release.review.as_ref().unwrap().approvals.len(), 2);
    let text = String::from_utf8(kept("wire-v1/proof.tlog-proof")).unwrap();
    assert!(TlogProof::from_text(&text).is_ok());
}

#[test]
fn another_implementation_of_cose_signs_and_verifies_the_same() {
    // Written by testdata/cose/make.py with cbor2 and cryptography, from the payloads alone.
    let lines = String::from_utf8(kept("cose/expected.txt")).unwrap();
    let expected: Vec<_> = lines
        .lines()
        .filter(|line| !line.starts_with("# "))
        .filter_map(|line| line.split_once(" "))
        .collect();
    assert!(expected.len() >= 3, "{lines}");
    for (name, bytes) in expected {
        assert_eq!(hex::encode(kept(&format!("wire-v1/{name}"))), bytes, "{name}");
    }
    assert!(lines.contains("receipt.cbor-cose-verified-by-cryptography"));
}

/// Bytes bent by a seed: flipped, cut, doubled, overwritten with heads that promise much.
fn bent(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut roll = |end: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % end.max(1)
    };
    let mut bent = bytes.to_vec();
    for _ in 0..=roll(4) {
        if bent.is_empty() {
            break;
        }
        let at = roll(bent.len());
        match roll(5) {
            0 => bent[at] ^= 1 << roll(8),
            1 => bent.truncate(at.max(1)),
            2 => {
                let copy = bent[at..(at + 40).min(bent.len())].to_vec();
                bent.splice(at..at, copy);
            }
            3 => bent[at] = [0x9b, 0xbb, 0x5b, 0x7b, 0x9f, 0xbf, 0xff, 0xd9][roll(8)],
            _ => drop(bent.drain(at..(at + 3).min(bent.len()))),
        }
    }
    bent
}

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/ledger/corpus").join(target)
}

fn files(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect()
}

#[test]
fn no_input_of_the_corpus_panics() {
    for (name, bytes) in targets::seed_calls() {
        same_as_file(&format!("../../../fuzz/ledger/corpus/call/{name}"), &bytes);
    }
    for (name, run) in targets::ALL {
        let inputs = files(&corpus(name));
        inputs.iter().for_each(|bytes| run(bytes));
        println!("{name}: {} inputs", inputs.len());
        assert!(inputs.len() >= 10, "{name} has {} inputs", inputs.len());
    }
}

#[test]
fn the_vectors_and_their_neighbours_are_read_without_panic() {
    let mut count = 0;
    let mut feed = |bytes: &[u8]| {
        count += 1;
        targets::ALL.iter().for_each(|(_, run)| run(bytes));
    };
    for bytes in files(&path("wire-v1")) {
        feed(&bytes);
        for seed in 0..150 {
            feed(&bent(&bytes, seed));
        }
    }
    // Deeply nested, and lengths that nothing follows.
    feed(&[0x81; 60_000]);
    feed(&[0xd8; 60_000]);
    feed(&[0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    feed(&[0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    println!("{count} inputs");
    assert!(count > 5_000);
}
