//! The proof verifiers: receipts, checkpoints, requests to witnesses, tlog proofs, forks, charters.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use salus_ledger::channel::Charter;
use salus_ledger::proof::{
    AddCheckpoint, Fork, SignedCheckpoint, TlogProof, TrustAnchor, WitnessKey, verify_receipt,
};

static ANCHOR: OnceLock<TrustAnchor> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let anchor = ANCHOR.get_or_init(|| {
        let kept = include_bytes!("../../../crates/salus-ledger/testdata/wire-v1/anchor.cbor");
        salus_ledger::cbor::decode(kept, 4096).expect("the kept anchor")
    });
    let _ = verify_receipt(bytes, anchor);
    if let Ok(fork) = Fork::from_bytes(bytes) {
        let _ = fork.verify(anchor.ledger(), anchor.validators());
    }
    let _ = Charter::from_bytes(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(checkpoint) = SignedCheckpoint::from_text(text) {
            assert_eq!(checkpoint.to_string(), text);
        }
        if let Ok(request) = AddCheckpoint::from_text(text) {
            assert_eq!(request.to_string(), text);
        }
        if let Ok(key) = text.parse::<WitnessKey>() {
            assert_eq!(key.to_string(), text);
        }
        if let Ok(proof) = TlogProof::from_text(text) {
            assert_eq!(proof.to_string(), text);
        }
    }
});
