//! What a key may do, proved from a block's state: the same as the contracts would decide.

use salus_ledger::PublicKey;
use salus_ledger::call::{MarkTime, PublishCrl, RevokeKey, RevokeMember, SetMemberRoles};
use salus_ledger::policy::Role;
use salus_ledger::proof::{
    EvidenceError, Fact, FinalityProof, KeyStanding, NoStanding, ProvenState, StateEvidence,
    TrustAnchor, facts_of_key,
};
use salus_model::Timestamp;

use crate::ca::{serial_of, signer};
use crate::world::{
    ANNA, CHARITE, HUB, UNI, VALIDATORS, World, certify, genesis, member, roles_of,
};

fn evidence(world: &World, facts: &[Fact]) -> StateEvidence {
    let header = world.tip().clone();
    let certificate = certify(&header, &VALIDATORS, &VALIDATORS[..3]);
    let finality = FinalityProof { header, certificate };
    StateEvidence::of(&world.store, (finality, Vec::new()), facts).unwrap()
}

fn proven(world: &World, facts: &[Fact]) -> ProvenState {
    let anchor = TrustAnchor::from_genesis(&genesis(&world.authority, 1, &VALIDATORS)).unwrap();
    ProvenState::verify(&evidence(world, facts), &anchor).unwrap()
}

/// A ledger with a block after the genesis, which whoever reads it knows already.
fn at_work() -> World {
    let mut world = World::new();
    world.applied(MarkTime {}, &[ANNA]);
    world
}

/// The two rounds that a reader of the ledger makes.
fn standing(world: &World, key: &PublicKey, now: Timestamp) -> Result<KeyStanding, NoStanding> {
    let first = proven(world, &facts_of_key(key, None));
    let record = first.key(key)?;
    proven(world, &facts_of_key(key, record.as_ref())).key_standing(key, now)
}

#[test]
fn a_key_stands_for_its_member_until_either_or_the_certificate_is_revoked() {
    let mut world = at_work();
    let key = |name: &str| signer(name).public_key();
    let found = standing(&world, &key(ANNA), world.now).unwrap();
    assert_eq!(found.member, member(ANNA));
    assert_eq!(found.roles, roles_of(ANNA).iter().copied().collect());
    let strange = key("nobody");
    assert_eq!(standing(&world, &strange, world.now), Err(NoStanding::Unknown(strange)));

    // A role that the member loses, its key loses.
    let narrow = SetMemberRoles { member: member(CHARITE), roles: [Role::Holder].into() };
    world.applied(narrow, &[HUB, ANNA]);
    let found = standing(&world, &key(CHARITE), world.now).unwrap();
    assert_eq!(found.roles, [Role::Holder].into());

    let second = world.authority.member_key(&member(ANNA), "anna-2", roles_of(ANNA));
    world.applied(
        salus_ledger::call::BindKey { member: member(ANNA), key: second.clone() },
        &[ANNA],
    );
    standing(&world, &second.key, world.now).unwrap();
    world.applied(RevokeKey { key: second.key }, &[ANNA]);
    assert_eq!(standing(&world, &second.key, world.now), Err(NoStanding::RevokedKey));

    let charite = world.authority.member_key(&member(CHARITE), CHARITE, roles_of(CHARITE));
    let serials = [serial_of(&charite.chain[0])];
    let crl = world.authority.crl(5, &serials, (2026, 2, 1), (2026, 4, 1));
    world.applied(PublishCrl { crl, issuer: Vec::new() }, &[UNI]);
    let refused = standing(&world, &key(CHARITE), world.now);
    assert_eq!(refused, Err(NoStanding::RevokedCertificate(member(CHARITE))));

    let later = world.now.saturating_add_micros(3000 * 86_400_000_000);
    let refused = standing(&world, &key(ANNA), later);
    assert_eq!(refused, Err(NoStanding::Expired(member(ANNA))));
    let early = Timestamp::EPOCH;
    assert_eq!(standing(&world, &key(ANNA), early), Err(NoStanding::NotYetValid(member(ANNA))));

    world.applied(RevokeMember { member: member(UNI) }, &[HUB, ANNA]);
    let refused = standing(&world, &key(UNI), world.now);
    assert_eq!(refused, Err(NoStanding::RevokedMember(member(UNI))));
}

#[test]
fn evidence_that_is_short_of_a_fact_gives_no_standing() {
    let world = at_work();
    let key = signer(ANNA).public_key();
    let record = proven(&world, &facts_of_key(&key, None)).key(&key).unwrap().unwrap();
    let all = facts_of_key(&key, Some(&record));
    assert!(all.len() >= 3, "key, member and at least one certificate: {all:?}");
    proven(&world, &all).key_standing(&key, world.now).unwrap();
    for left_out in 0..all.len() {
        let mut some = all.clone();
        let missing = some.remove(left_out);
        let refused = proven(&world, &some).key_standing(&key, world.now);
        let wanted = NoStanding::Evidence(EvidenceError::NotProven { fact: missing });
        assert_eq!(refused, Err(wanted));
    }
}
