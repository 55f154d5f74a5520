//! Channels: nothing of one counts, or shows, in another.

use salus_ledger::channel::{Channels, Charter, CharterError, RouteError};
use salus_ledger::order::{Pool, Replica, ReplicaError};
use salus_ledger::proof::{FinalityError, FinalityProof, TrustAnchor};
use salus_ledger::state::{MemoryStore, StateStore};
use salus_ledger::transaction::TransactionError;
use salus_ledger::{Signer, call::RevokeMember};

use crate::ca::signer;
use crate::world::{ANNA, CHARITE, HUB, UNI, VALIDATORS, WORKER, World, certify, genesis, member};

/// A channel of the hub, two hospitals, and what else a genesis has, beside a main ledger.
fn charter(world: &World, agreed: &[&str]) -> Charter {
    let genesis = genesis(&world.authority, 77, &VALIDATORS);
    agreed
        .iter()
        .fold(Charter::new(world.ledger, genesis), |c, name| c.agree(&signer(name)).unwrap())
}

fn everybody() -> Vec<&'static str> {
    [HUB, ANNA, CHARITE, UNI, WORKER].into_iter().chain(VALIDATORS).collect()
}

#[test]
fn a_channel_needs_the_consent_of_each_of_its_members() {
    let mut world = World::new();
    let all = charter(&world, &everybody());
    let read = Charter::from_bytes(&all.to_bytes().unwrap()).unwrap();
    let channel = read.verify(&world.store, world.now).unwrap();
    assert_ne!(channel, world.ledger);
    let few = charter(&world, &everybody()[1..]).verify(&world.store, world.now);
    assert_eq!(few, Err(CharterError::NoConsent { member: member(HUB) }));
    let mut forged = all.clone();
    let (key, _) = forged.consents.pop_first().unwrap();
    forged.consents.insert(key, salus_ledger::SignatureBytes::new([1; 64]));
    assert_eq!(forged.verify(&world.store, world.now), Err(CharterError::Forged { key }));
    world.applied(RevokeMember { member: member(UNI) }, &[HUB, ANNA]);
    let revoked = all.verify(&world.store, world.now);
    assert_eq!(revoked, Err(CharterError::NoConsent { member: member(UNI) }));
    let elsewhere = all.verify(&MemoryStore::new(), world.now);
    assert!(matches!(elsewhere, Err(CharterError::OtherParent { .. })));
}

#[test]
fn consents_that_were_given_on_copies_are_put_together() {
    let world = World::new();
    let names = everybody();
    let (left, right) = names.split_at(3);
    let (one, other) = (charter(&world, left), charter(&world, right));
    let agreed = |charter: &Charter| charter.agreed().unwrap().len();
    assert_eq!((agreed(&one), agreed(&other)), (left.len(), right.len()));
    let both = one.clone().with_consents_of(other.clone()).unwrap();
    assert_eq!(agreed(&both), names.len());
    both.verify(&world.store, world.now).unwrap();
    let mut elsewhere = other.clone();
    elsewhere.genesis.nonce = salus_ledger::Nonce::new([78; 16]);
    let refused = one.clone().with_consents_of(elsewhere);
    assert_eq!(refused, Err(CharterError::OtherChannel));
    let mut forged = other;
    let (key, _) = forged.consents.pop_first().unwrap();
    forged.consents.insert(key, salus_ledger::SignatureBytes::new([1; 64]));
    assert_eq!(forged.agreed(), Err(CharterError::Forged { key }));
    assert_eq!(one.with_consents_of(forged), Err(CharterError::Forged { key }));
}

#[test]
fn a_transaction_and_a_receipt_of_one_channel_are_refused_in_another() {
    let main = World::new();
    let mut side = World::with(|mut genesis| {
        genesis.nonce = salus_ledger::Nonce::new([77; 16]);
        genesis
    });
    assert_ne!(main.ledger, side.ledger);
    let keys: Vec<Signer> = [HUB, ANNA].map(signer).into();
    let tx = side.signed(RevokeMember { member: member(UNI) }, &keys.iter().collect::<Vec<_>>());
    let replica = |world: &World| {
        let pool = Pool::new(1024 * 1024);
        Replica::resume(&world.store, world.tip().clone(), None, pool).unwrap()
    };
    let refused = replica(&main).admit(&main.store, tx.as_bytes(), main.now);
    assert!(matches!(
        refused,
        Err(ReplicaError::Transaction(TransactionError::OtherLedger { .. }))
    ));
    assert!(replica(&side).admit(&side.store, tx.as_bytes(), side.now).is_ok());
    // Routing goes by the signed ledger id, and a ledger without a part in it gets nothing.
    let mut channels = Channels::new(main.ledger, replica(&main));
    let refused = channels.route(tx.as_bytes()).map(|_| ());
    assert_eq!(refused, Err(RouteError::NoPart(side.ledger)));
    channels.join(side.ledger, replica(&side)).unwrap();
    assert!(channels.join(side.ledger, replica(&side)).is_err());
    let (found, envelope) = channels.route(tx.as_bytes()).unwrap();
    assert_eq!((found.tip().ledger, envelope.id()), (side.ledger, tx.id()));
    // Finality of one proves nothing in the other, although the validators are the same.
    side.block(&[tx]);
    let header = side.tip().clone();
    let certificate = certify(&header, &VALIDATORS, &VALIDATORS[..3]);
    let anchor = TrustAnchor::from_genesis(&genesis(&main.authority, 1, &VALIDATORS)).unwrap();
    let mut proof = FinalityProof { header, certificate };
    assert!(matches!(proof.verify(&anchor), Err(FinalityError::OtherLedger { .. })));
    proof.header.ledger = main.ledger;
    assert!(matches!(proof.verify(&anchor), Err(FinalityError::Certificate(_))));
}

#[test]
fn nothing_of_a_channel_is_written_elsewhere() {
    let main = World::new();
    let before = main.store.clone();
    let mut side = main.clone();
    // A whole ledger of its own: its blocks touch its own store only.
    side.run(RevokeMember { member: member(UNI) }, &[HUB, ANNA]);
    assert_eq!(main.store, before);
    assert_ne!(side.store, before);
    let key = |world: &World| world.store.scan(b"member/uni").unwrap();
    assert_ne!(key(&main), key(&side));
}
