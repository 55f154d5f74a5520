//! The transaction decoder: whatever it accepts has one form only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use salus_ledger::transaction::Envelope;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(envelope) = Envelope::from_bytes(bytes) {
        let ledger = *envelope.transaction().ledger();
        if let Ok(tx) = envelope.verify(&ledger) {
            assert_eq!(tx.as_bytes(), bytes);
        }
    }
});
