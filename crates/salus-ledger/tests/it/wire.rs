//! Forms on the wire: vectors that are kept for ever, an independent implementation of COSE, and
//! the fuzzers' corpora on the stable toolchain.

use salus_ledger::cbor;
use salus_ledger::proof::{
    AddCheckpoint, SignedCheckpoint, TlogProof, TrustAnchor, verify_receipt,
};
use salus_ledger::transaction::{Envelope, SignedTransaction};

use crate::ca::signer;
use crate::golden::{path, same_as_file};
use crate::proofs::Archive;
use crate::samples::{SIGNER, sample};
use crate::world::World;

fn kept(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

#[test]
fn version_1_is_written_as_ever() {
    let archive = Archive::new();
    same_as_file("wire-v1/anchor.cbor", &cbor::encode(&archive.anchor).unwrap());
    same_as_file("wire-v1/receipt.cbor", &archive.receipt());
    same_as_file("wire-v1/proof.tlog-proof", archive.tlog_proof().to_string().as_bytes());
    let mut world = World::new();
    for method in salus_ledger::call::Method::ALL {
        let call = sample(&world, *method, "nobody");
        let tx = world.signed(call, &[&signer(SIGNER)]);
        same_as_file(&format!("wire-v1/{}.cose", method.as_str()), tx.as_bytes());
    }
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

/// What the fuzz targets do with their input.
fn feed(bytes: &[u8], anchor: &TrustAnchor) {
    if let Ok(envelope) = Envelope::from_bytes(bytes) {
        let ledger = *envelope.transaction().ledger();
        if let Ok(tx) = envelope.verify(&ledger) {
            assert_eq!(tx.as_bytes(), bytes, "one form only");
        }
    }
    let _ = verify_receipt(bytes, anchor);
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(checkpoint) = SignedCheckpoint::from_text(text) {
            assert_eq!(checkpoint.to_string(), text, "one form only");
        }
        if let Ok(request) = AddCheckpoint::from_text(text) {
            assert_eq!(request.to_string(), text, "one form only");
        }
        if let Ok(proof) = TlogProof::from_text(text) {
            assert_eq!(proof.to_string(), text, "one form only");
        }
    }
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

#[test]
fn the_corpus_and_its_neighbours_are_read_without_panic() {
    let anchor: TrustAnchor = cbor::decode(&kept("wire-v1/anchor.cbor"), 4096).unwrap();
    let mut count = 0;
    for file in std::fs::read_dir(path("wire-v1")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        feed(&bytes, &anchor);
        for seed in 0..150 {
            feed(&bent(&bytes, seed), &anchor);
            count += 1;
        }
    }
    println!("{count} inputs");
    assert!(count > 5_000);
    // Deeply nested, and lengths that nothing follows.
    feed(&[0x81; 60_000], &anchor);
    feed(&[0xd8; 60_000], &anchor);
    feed(&[0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &anchor);
    feed(&[0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &anchor);
}
