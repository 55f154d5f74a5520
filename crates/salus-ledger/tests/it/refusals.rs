//! What the issue names, each refused and each by its name.

use salus_ledger::block::{
    BlockHeader, Equivocation, ExecuteError, Vote, VoteCollector, VoteRefused, check_proposal,
    execute,
};
use salus_ledger::call::{
    ApplyForPermit, GrantPermit, RecordRelease, ReleaseRule, ReportEquivocation, RevokeMember,
};
use salus_ledger::cbor::CborError;
use salus_ledger::proof::{FinalityError, ReceiptError, verify_receipt};
use salus_ledger::transaction::{Envelope, SignedTransaction, TransactionError};
use salus_ledger::{BlockHash, Height, Opaque, SignatureBytes, StateRoot};

use crate::ca::signer;
use crate::proofs::Archive;
use crate::world::{
    ANNA, CHARITE, HUB, UNI, VALIDATORS, World, bounded, dataset, genesis, hash, member, release,
    used,
};

fn revoke_uni() -> RevokeMember {
    RevokeMember { member: member(UNI) }
}

#[test]
fn a_forged_signature_is_refused() {
    let mut world = World::new();
    let draft = world.transaction(revoke_uni()).draft().unwrap();
    let key = signer(HUB).public_key();
    let forged = draft.clone().with_signature(key, SignatureBytes::new([7; 64])).finish();
    assert_eq!(forged, Err(TransactionError::ForgedSignature { key }));
    // A signature over the same payload by another key, under this key's name.
    let other = draft.clone().sign(&signer(ANNA)).finish().unwrap();
    let bytes = other.as_bytes().to_vec();
    let at = bytes.windows(32).position(|w| w == signer(ANNA).public_key().as_bytes()).unwrap();
    let mut renamed = bytes.clone();
    renamed[at..at + 32].copy_from_slice(key.as_bytes());
    let refused = SignedTransaction::from_bytes(&renamed, &world.ledger);
    assert_eq!(refused, Err(TransactionError::ForgedSignature { key }));
    // A block that carries it is refused as a whole.
    let result = execute(
        &world.store,
        world.tip(),
        world.now.saturating_add_micros(1),
        vec![Opaque::new(renamed)],
    );
    assert!(matches!(
        result,
        Err(ExecuteError::Transaction {
            index: 0,
            source: TransactionError::ForgedSignature { .. }
        })
    ));
}

#[test]
fn every_changed_byte_of_a_transaction_is_refused() {
    let mut world = World::new();
    let tx = world.signed(revoke_uni(), &[&signer(HUB), &signer(ANNA)]);
    for at in 0..tx.as_bytes().len() {
        let mut bytes = tx.as_bytes().to_vec();
        bytes[at] ^= 1;
        assert!(SignedTransaction::from_bytes(&bytes, &world.ledger).is_err(), "byte {at}");
    }
}

#[test]
fn a_replayed_transaction_is_refused() {
    let mut world = World::new();
    let tx = world.signed(revoke_uni(), &[&signer(HUB), &signer(ANNA)]);
    world.block(std::slice::from_ref(&tx));
    let again = |world: &World, times: usize| {
        let bytes = vec![Opaque::new(tx.as_bytes().to_vec()); times];
        execute(&world.store, world.tip(), world.now.saturating_add_micros(1), bytes)
    };
    assert!(matches!(again(&world, 1), Err(ExecuteError::Replayed { id }) if id == tx.id()));
    // Up to its last block the ledger remembers it, and after that no block may carry it.
    let last = tx.transaction().last();
    while world.tip().height < last {
        assert!(again(&world, 1).is_err());
        world.block(&[]);
    }
    assert!(matches!(again(&world, 1), Err(ExecuteError::OutsideLifetime { .. })));
    world.block(&[]);
    // What has run out is forgotten: the state does not grow with the history.
    let fresh = World::new();
    let grown = world.store.len() - fresh.store.len();
    assert_eq!(grown, 0, "{grown} values more than at the genesis");
}

#[test]
fn a_transaction_twice_in_one_block_is_refused() {
    let mut world = World::new();
    let tx = world.signed(revoke_uni(), &[&signer(HUB), &signer(ANNA)]);
    let bytes = vec![Opaque::new(tx.as_bytes().to_vec()); 2];
    let result = execute(&world.store, world.tip(), world.now.saturating_add_micros(1), bytes);
    assert!(matches!(result, Err(ExecuteError::Replayed { .. })));
}

#[test]
fn more_signatures_do_not_make_another_transaction() {
    let mut world = World::new();
    let draft = world.transaction(revoke_uni()).draft().unwrap();
    let one = draft.clone().sign(&signer(HUB)).finish().unwrap();
    let two = draft.sign(&signer(HUB)).sign(&signer(ANNA)).finish().unwrap();
    assert_eq!(one.id(), two.id());
    world.block(std::slice::from_ref(&one));
    let bytes = vec![Opaque::new(two.as_bytes().to_vec())];
    let result = execute(&world.store, world.tip(), world.now.saturating_add_micros(1), bytes);
    assert!(matches!(result, Err(ExecuteError::Replayed { .. })));
}

#[test]
fn the_wrong_role_is_refused() {
    let mut world = World::new();
    world.refused(revoke_uni(), &[UNI], "endorsement.governance");
    // Two keys of one member are one administrator, not two.
    world.refused(revoke_uni(), &[HUB], "endorsement.governance");
    let data = dataset(ANNA, "observations");
    world.register(&data, 100, ReleaseRule::DpOnly);
    let terms = world.terms(&[(&data, 100)]);
    let apply = ApplyForPermit { pseudonym: signer("ada").public_key(), terms };
    let permit = world.applied(apply, &[UNI, "ada"]).permit().unwrap();
    world.refused(GrantPermit { permit: permit.clone() }, &[UNI], "endorsement.wrong-role");
    world.refused(GrantPermit { permit: permit.clone() }, &["ada"], "endorsement.wrong-role");
    world.applied(GrantPermit { permit: permit.clone() }, &[HUB]);
    let call = RecordRelease { release: release("ada", &permit, vec![used(&data, bounded(1))]) };
    world.refused(call.clone(), &[CHARITE], "endorsement.wrong-member-or-role");
    world.refused(call.clone(), &["ada"], "endorsement.wrong-member-or-role");
    world.applied(call, &[ANNA]);
}

#[test]
fn an_expired_certificate_is_refused() {
    let mut world = World::new();
    world.pass_days(306);
    // Certificates run to 2027-01-01; the block after that refuses the member, not the ledger.
    world.refused(revoke_uni(), &[HUB, ANNA], "members.certificate-expired");
}

#[test]
fn a_revoked_member_is_refused() {
    let mut world = World::new();
    world.applied(RevokeMember { member: member(CHARITE) }, &[HUB, ANNA]);
    world.refused(revoke_uni(), &[CHARITE, ANNA], "members.revoked-member");
    // Nor does its key pass as a person's: the signature itself is what is refused.
    world.refused(revoke_uni(), &[HUB, ANNA, CHARITE], "members.revoked-member");
}

/// A COSE_Sign with the payload and everything else as given, in CBOR by hand.
fn envelope(protected: &[u8], unprotected: &[u8], payload: &[u8], signers: &[u8]) -> Vec<u8> {
    [&[0xd8, 98, 0x84], protected, unprotected, payload, signers].concat()
}

#[test]
fn bytes_in_another_form_are_refused() {
    let mut world = World::new();
    let tx = world.signed(revoke_uni(), &[&signer(HUB)]);
    let bytes = tx.as_bytes();
    assert_eq!(&bytes[..5], &[0xd8, 98, 0x84, 0x40, 0xa0], "tag, array, no headers");
    let not_canonical = Err(TransactionError::EnvelopeNotCanonical);
    // The protected header as an encoded empty map instead of an empty string.
    let rest = &bytes[5..];
    let mapped = envelope(&[0x41, 0xa0], &[0xa0], rest, &[]);
    assert_eq!(Envelope::from_bytes(&mapped).map(|_| ()), not_canonical);
    // Something unprotected.
    let noted = envelope(&[0x40], &[0xa1, 0x04, 0x41, 0x00], rest, &[]);
    assert_eq!(Envelope::from_bytes(&noted).map(|_| ()), not_canonical);
    // Without its tag, and with bytes behind it.
    assert_eq!(Envelope::from_bytes(&bytes[2..]).map(|_| ()), Err(TransactionError::NotCose));
    let trailing = [bytes, &[0]].concat();
    assert_eq!(Envelope::from_bytes(&trailing).map(|_| ()), Err(TransactionError::NotCose));
    // The array of signatures with an indefinite length.
    let signers_at = bytes.windows(3).rposition(|w| w == [0x81, 0x83, 0x58]).unwrap();
    let mut long = bytes[..signers_at].to_vec();
    long.push(0x9f);
    long.extend_from_slice(&bytes[signers_at + 1..]);
    long.push(0xff);
    assert_eq!(Envelope::from_bytes(&long).map(|_| ()), not_canonical);
}

#[test]
fn a_value_in_another_form_is_refused() {
    use std::collections::BTreeMap;

    use salus_ledger::cbor::{decode, encode};
    type Map = BTreeMap<String, u64>;
    let value = Map::from([("aa".into(), 1), ("b".into(), 2), ("c".into(), 1000)]);
    // RFC 8949, section 4.2.1: keys by their encodings, so the shorter ones first.
    let one_form = encode(&value).unwrap();
    assert_eq!(hex::encode(&one_form), "a3616202616319 03e862616101".replace(' ', ""));
    assert_eq!(decode::<Map>(&one_form, 64), Ok(value));
    for (why, other) in [
        ("keys out of order", "a3626161016162026163 1903e8"),
        ("a number longer than it has to be", "a361620261631a000003e862616101"),
        ("an indefinite length", "bf6162026163 1903e862616101ff"),
        ("a key twice", "a46162026162026163 1903e862616101"),
        ("a length longer than it has to be", "b8036162026163 1903e862616101"),
    ] {
        let bytes = hex::decode(other.replace(' ', "")).unwrap();
        assert_eq!(decode::<Map>(&bytes, 64), Err(CborError::NotCanonical), "{why}");
    }
    let trailing = [one_form.as_slice(), &[0]].concat();
    assert_eq!(decode::<Map>(&trailing, 64), Err(CborError::Malformed));
}

#[test]
fn an_oversized_block_is_refused() {
    let mut world = World::with(|mut genesis| {
        let mut form = genesis.config.form().clone();
        form.limits.block_bytes = 64 * 1024;
        form.limits.block_transactions = 100;
        genesis.config = salus_ledger::config::PlatformConfig::new(form).unwrap();
        genesis
    });
    let many: Vec<_> =
        (0..101).map(|_| world.signed(revoke_uni(), &[&signer(HUB), &signer(ANNA)])).collect();
    let bytes =
        |count: usize| many[..count].iter().map(|t| Opaque::new(t.as_bytes().to_vec())).collect();
    let later = world.now.saturating_add_micros(1);
    let result = execute(&world.store, world.tip(), later, bytes(101));
    assert!(matches!(result, Err(ExecuteError::TooManyTransactions { count: 101, limit: 100 })));
    assert!(execute(&world.store, world.tip(), later, bytes(100)).is_ok());
    // By bytes: transactions as large as they may be.
    let data: Vec<_> = (0..6)
        .map(|n| {
            let mut terms = world.terms(&[]);
            terms.grounds = (0..60)
                .map(|g| salus_ledger::call::Ground {
                    dataset: dataset(ANNA, &format!("d{g}")),
                    columns: (0..12)
                        .map(|c| format!("column_{c}_{}", "x".repeat(8)))
                        .map(|c| salus_ledger::Column::new(c).unwrap())
                        .collect(),
                    budget: salus_model::MicroRho::new(n),
                })
                .collect();
            let apply = ApplyForPermit { pseudonym: signer("ada").public_key(), terms };
            world.signed(apply, &[&signer(UNI), &signer("ada")])
        })
        .collect();
    let bytes = data.iter().map(|t| Opaque::new(t.as_bytes().to_vec())).collect();
    let result = execute(&world.store, world.tip(), later, bytes);
    assert!(
        matches!(result, Err(ExecuteError::OversizedBlock { limit: 65_536, .. })),
        "{result:?}"
    );
}

#[test]
fn a_transaction_that_is_too_large_is_refused_before_it_is_read() {
    let bytes = vec![0xff; salus_ledger::transaction::MAX_TRANSACTION_BYTES + 1];
    assert!(matches!(Envelope::from_bytes(&bytes), Err(TransactionError::TooLarge { .. })));
    assert!(matches!(
        salus_ledger::cbor::decode::<u64>(&[0; 9], 8),
        Err(CborError::TooLarge { len: 9, limit: 8 })
    ));
}

fn vote(world: &World, name: &str, block: u8) -> Vote {
    let hash = BlockHash::new([block; 32]);
    Vote::cast(&signer(name), &world.ledger, Height::new(7), hash)
}

#[test]
fn an_equivocating_member_is_refused() {
    let mut world = World::new();
    let keys = VALIDATORS.iter().map(|name| signer(name).public_key()).collect();
    let mut votes = VoteCollector::new(world.ledger, Height::new(7), keys);
    assert_eq!(votes.add(vote(&world, "val-1", 1)), Ok(None));
    assert_eq!(votes.add(vote(&world, "val-1", 1)), Ok(None), "the same vote twice is no fault");
    let refused = votes.add(vote(&world, "val-1", 2));
    let Err(VoteRefused::Equivocation { evidence, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(evidence.verify(&world.ledger), Ok(()));
    let call = ReportEquivocation { evidence: *evidence };
    world.applied(call.clone(), &[UNI]);
    world.refused(call, &[UNI], "members.equivocated");
    world.refused(revoke_uni(), &[HUB, ANNA, "val-1"], "members.equivocated");
    // Votes for one block, of two validators, or of another ledger prove nothing.
    let no_conflict = Equivocation::new(vote(&world, "val-2", 1), vote(&world, "val-2", 1));
    let two = Equivocation::new(vote(&world, "val-2", 1), vote(&world, "val-3", 2));
    let foreign = genesis(&world.authority, 9, &VALIDATORS).ledger_id().unwrap();
    let elsewhere =
        |b: u8| Vote::cast(&signer("val-2"), &foreign, Height::new(7), BlockHash::new([b; 32]));
    let other = Equivocation::new(elsewhere(1), elsewhere(2));
    for evidence in [no_conflict, two, other] {
        world.refused(ReportEquivocation { evidence }, &[UNI], "members.false-evidence");
    }
}

#[test]
fn a_receipt_of_another_ledger_is_refused() {
    let archive = Archive::new();
    let bytes = archive.receipt();
    assert!(verify_receipt(&bytes, &archive.anchor).is_ok());
    let other = genesis(&archive.world.authority, 9, &VALIDATORS);
    let anchor = salus_ledger::proof::TrustAnchor::from_genesis(&other).unwrap();
    let refused = verify_receipt(&bytes, &anchor);
    assert!(
        matches!(refused, Err(ReceiptError::NotFinal(FinalityError::OtherLedger { .. }))),
        "{refused:?}"
    );
}

#[test]
fn a_transaction_of_another_ledger_is_refused() {
    let mut world = World::new();
    let tx = world.signed(revoke_uni(), &[&signer(HUB), &signer(ANNA)]);
    let other = genesis(&world.authority, 9, &VALIDATORS).ledger_id().unwrap();
    assert!(matches!(
        SignedTransaction::from_bytes(tx.as_bytes(), &other),
        Err(TransactionError::OtherLedger { .. })
    ));
}

#[test]
fn a_block_that_says_something_else_than_execution_gives_is_not_voted_for() {
    let mut world = World::new();
    let tx = world.signed(revoke_uni(), &[&signer(HUB), &signer(ANNA)]);
    let later = world.now.saturating_add_micros(1_000_000);
    let bytes = vec![Opaque::new(tx.as_bytes().to_vec())];
    let good = execute(&world.store, world.tip(), later, bytes).unwrap().block;
    assert!(check_proposal(&world.store, world.tip(), &good, later).is_ok());
    type Change = (&'static str, fn(&mut BlockHeader));
    let changes: [Change; 4] = [
        ("state", |h| h.state = StateRoot::new(hash("other"))),
        ("history", |h| h.history = salus_ledger::TreeRoot::new(hash("other"))),
        ("receipts", |h| h.receipts = salus_ledger::TreeRoot::new(hash("other"))),
        ("config", |h| h.config = salus_ledger::ConfigHash::new(hash("other"))),
    ];
    for (wanted, change) in changes {
        let mut bad = good.clone();
        change(&mut bad.header);
        let result = check_proposal(&world.store, world.tip(), &bad, later);
        assert!(
            matches!(result, Err(ExecuteError::OtherResult { field }) if field == wanted),
            "{wanted}"
        );
    }
    let early = world.now.saturating_add_micros(-10_000_000);
    let result = check_proposal(&world.store, world.tip(), &good, early);
    assert!(matches!(result, Err(ExecuteError::TimeAhead { .. })));
    let result = execute(&world.store, world.tip(), world.tip().time, Vec::new());
    assert!(matches!(result, Err(ExecuteError::TimeBackwards { .. })));
}
