//! Organisations and their certificates: rotation, revocation, and what only warns.

use rcgen::DnType;
use salus_ledger::CertificateError;
use salus_ledger::block::{Outcome, propose};
use salus_ledger::call::{
    AdmitMember, BindKey, MemberKey, PublishCrl, RevokeKey, RevokeMember, SetMemberRoles,
};
use salus_ledger::contract::{MemberRefusal, Refusal};
use salus_ledger::policy::{Expression, Policy, PolicyError, Role};
use salus_ledger::query::{self, Warning};

use crate::ca::{Authority, Subject, serial_of, signer};
use crate::world::{ANNA, CHARITE, HUB, UNI, VALIDATORS, World, at, certify, member, roles_of};

fn bind(member_name: &str, key: MemberKey) -> BindKey {
    BindKey { member: member(member_name), key }
}

#[test]
fn a_certificate_is_rotated_before_and_after_it_expires() {
    let mut world = World::new();
    let renewed = |world: &World| {
        world.authority.member_key_until(&member(ANNA), ANNA, roles_of(ANNA), (2028, 1, 1))
    };
    let call = bind(ANNA, renewed(&world));
    world.applied(call, &[ANNA]);
    world.pass_days(400);
    // St. Anna goes on; the hub did not renew and cannot bind its own any more.
    let key =
        world.authority.member_key_until(&member(ANNA), "anna-2", roles_of(ANNA), (2028, 6, 1));
    world.applied(bind(ANNA, key), &[ANNA]);
    let hub = world.authority.member_key_until(&member(HUB), HUB, roles_of(HUB), (2028, 1, 1));
    world.refused(bind(HUB, hub), &[HUB], "members.certificate-expired");
}

#[test]
fn a_revoked_key_and_a_taken_key_are_refused() {
    let mut world = World::new();
    let key = world.authority.member_key(&member(ANNA), "anna-2", roles_of(ANNA));
    world.applied(bind(ANNA, key.clone()), &[ANNA]);
    world.refused(RevokeKey { key: key.key }, &[UNI], "endorsement.governance");
    world.applied(RevokeKey { key: key.key }, &[ANNA]);
    world.refused(RevokeMember { member: member(UNI) }, &["anna-2", HUB], "members.revoked-key");
    world.refused(bind(ANNA, key), &[ANNA], "members.key-taken");
    let stolen = world.authority.member_key(&member(ANNA), HUB, roles_of(ANNA));
    world.refused(bind(ANNA, stolen), &[ANNA], "members.key-taken");
}

#[test]
fn a_key_has_no_role_that_its_member_lacks_and_loses_those_its_member_loses() {
    let mut world = World::new();
    let key = world.authority.member_key(&member(UNI), "uni-2", &[Role::Officer]);
    // Not by itself, and not even with governance while the member is not allowed it.
    world.refused(bind(UNI, key.clone()), &[UNI], "endorsement.governance");
    world.refused(bind(UNI, key), &[HUB, ANNA], "members.role-beyond-member");
    // A key hands on no role that it does not have: a holder's makes no administrator.
    let weak = world.authority.member_key(&member(ANNA), "anna-2", &[Role::Holder]);
    world.applied(bind(ANNA, weak), &[ANNA]);
    let strong = world.authority.member_key(&member(ANNA), "anna-3", roles_of(ANNA));
    world.refused(bind(ANNA, strong), &["anna-2"], "endorsement.governance");
    let narrow = SetMemberRoles { member: member(CHARITE), roles: [Role::Holder].into() };
    world.applied(narrow, &[HUB, ANNA]);
    let call = RevokeMember { member: member(UNI) };
    world.refused(call, &[CHARITE, ANNA], "endorsement.governance");
}

/// What a key for a new member would be refused for.
fn certificate_error(world: &mut World, key: MemberKey, name: &str) -> CertificateError {
    let call =
        AdmitMember { member: member(name), roles: [Role::Research].into(), keys: vec![key] };
    let tx = world.signed(call, &[&signer(HUB), &signer(ANNA)]);
    let later = world.now.saturating_add_micros(1);
    let executed = propose(&world.store, world.tip(), later, &[tx]).unwrap();
    match executed.refusals.into_iter().next() {
        Some((_, Refusal::Members(MemberRefusal::Certificate { reason }))) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn certificates_that_do_not_count_are_refused_by_name() {
    let mut world = World::new();
    let authority = world.authority.clone();
    let id = member("lab");
    let subject = |extra, until| Subject { organisation: "lab", from: (2026, 1, 1), until, extra };
    let key = |chain| authority.bind(&id, "lab", &[Role::Research], chain);
    let with = |extra| authority.certificate("x509 lab", &subject(Some(extra), (2027, 1, 1)));
    let mut error = |chain| certificate_error(&mut world, key(chain), "lab");
    // Of an authority that nobody trusts.
    let stranger = Authority::new("Other CA");
    let foreign = stranger.certificate("x509 lab", &subject(None, (2027, 1, 1)));
    assert!(matches!(error(vec![foreign]), CertificateError::Chain { .. }));
    // Expired, or a person's.
    let old = authority.certificate("x509 lab", &subject(None, (2026, 2, 1)));
    let CertificateError::Chain { reason } = error(vec![old]) else { panic!("not a chain error") };
    assert!(reason.contains("Expired"), "{reason}");
    for oid in [&[2, 5, 4, 42][..], &[2, 5, 4, 4], &[1, 2, 840, 113_549, 1, 9, 1]] {
        let person = with((DnType::CustomDnType(oid.to_vec()), "ada"));
        assert_eq!(error(vec![person]), CertificateError::Personal { position: 1 });
    }
    assert_eq!(error(Vec::new()), CertificateError::Size);
    let garbage = salus_ledger::Opaque::new(vec![0x30, 1]);
    assert_eq!(error(vec![garbage]), CertificateError::Unreadable { position: 1 });
    // Another certificate's key signed the binding.
    let other = authority.certificate("x509 other", &subject(None, (2027, 1, 1)));
    assert_eq!(error(vec![other]), CertificateError::Proof);
    // An authority's own certificate is nobody's identity.
    let CertificateError::Chain { reason } = error(vec![authority.der.clone()]) else {
        panic!("not a chain error")
    };
    assert!(reason.contains("CaUsedAsEndEntity"), "{reason}");
}

#[test]
fn a_chain_goes_through_an_intermediate_authority_and_its_list_revokes() {
    let mut world = World::new();
    let below = world.authority.intermediate("Regional CA");
    let id = member("lab");
    let subject =
        Subject { organisation: "lab", from: (2026, 1, 1), until: (2027, 1, 1), extra: None };
    let leaf = below.certificate("x509 lab", &subject);
    let key = below.bind(&id, "lab", &[Role::Research], vec![leaf.clone(), below.der.clone()]);
    let admit = AdmitMember { member: id, roles: [Role::Research].into(), keys: vec![key] };
    world.applied(admit, &[HUB, ANNA]);
    let serials = [serial_of(&leaf)];
    let list = below.crl(1, &serials, (2026, 2, 1), (2026, 12, 1));
    let publish = |issuer| PublishCrl { crl: list.clone(), issuer };
    world.refused(publish(Vec::new()), &[UNI], "members.certificate");
    world.applied(publish(vec![below.der.clone()]), &["lab"]);
    let call = salus_ledger::call::ExpireReservations {
        dataset: crate::world::dataset(ANNA, "observations"),
    };
    world.refused(call, &["lab"], "members.certificate-revoked");
}

#[test]
fn revocation_lists_are_checked_at_block_time() {
    let mut world = World::new();
    let charite = world.authority.member_key(&member(CHARITE), CHARITE, roles_of(CHARITE));
    let serials = [serial_of(&charite.chain[0])];
    let publish = |crl| PublishCrl { crl, issuer: Vec::new() };
    let authority = world.authority.clone();
    let forged = Authority::new("Other CA").crl(5, &serials, (2026, 2, 1), (2026, 12, 1));
    world.refused(publish(forged), &[UNI], "members.certificate");
    let over = authority.crl(5, &serials, (2026, 1, 2), (2026, 2, 1));
    world.refused(publish(over), &[UNI], "members.certificate");
    let early = authority.crl(5, &serials, (2026, 6, 1), (2026, 12, 1));
    world.refused(publish(early), &[UNI], "members.certificate");
    let call = || RevokeMember { member: member(UNI) };
    let good = authority.crl(5, &serials, (2026, 2, 1), (2026, 4, 1));
    world.applied(publish(good.clone()), &[UNI]);
    world.refused(publish(good), &[UNI], "members.stale-crl");
    world.refused(call(), &[CHARITE, HUB], "members.certificate-revoked");
    // Binding the revoked certificate anew is refused too.
    world.refused(bind(CHARITE, charite), &[HUB, ANNA], "members.certificate-revoked");
    // A list that is overdue warns.
    world.pass_days(40);
    let warnings = query::warnings(&world.store, world.now).unwrap();
    assert!(matches!(warnings[..], [Warning::RevocationListOverdue { .. }]), "{warnings:?}");
}

#[test]
fn expiry_warns_thirty_days_ahead_and_a_validators_expiry_stops_nothing() {
    let mut world = World::new();
    let count = |now| query::warnings(&world.store, at(now)).unwrap().len();
    assert_eq!(count("2026-12-01T00:00:00Z"), 0);
    assert_eq!(count("2026-12-03T00:00:00Z"), 9, "five members and four validators");
    let after = query::warnings(&world.store, at("2027-01-02T00:00:00Z")).unwrap();
    let validators =
        after.iter().filter(|w| matches!(w, Warning::ValidatorCertificateExpired { .. })).count();
    assert_eq!((after.len(), validators), (9, 4));
    // Every validator's certificate has expired: blocks go on being made and voted for.
    world.pass_days(400);
    let executed = world.block(&[]);
    let certificate = certify(&executed.block.header, &VALIDATORS, &VALIDATORS[..3]);
    let keys = query::config(&world.store).unwrap().unwrap().validator_keys();
    assert_eq!(certificate.verify(&executed.block.header, &keys), Ok(()));
}

#[test]
fn policies_count_members_not_signatures() {
    let quorum = |k| Policy::new(Expression::Quorum { k, role: Role::Administrator }).unwrap();
    let endorser = |name: &str, key: &str, roles: &[Role]| salus_ledger::policy::Endorser {
        member: member(name),
        key: signer(key).public_key(),
        roles: roles.iter().copied().collect(),
    };
    let admin = &[Role::Administrator];
    let twice = [endorser(HUB, "a", admin), endorser(HUB, "b", admin)];
    assert!(quorum(1).is_satisfied_by(&twice) && !quorum(2).is_satisfied_by(&twice));
    let two = [endorser(HUB, "a", admin), endorser(ANNA, "b", &[Role::Holder])];
    assert!(!quorum(2).is_satisfied_by(&two));
    let all = Policy::new(Expression::All(vec![
        Expression::Quorum { k: 1, role: Role::Administrator },
        Expression::MemberAs { member: member(ANNA), role: Role::Holder },
    ]))
    .unwrap();
    assert!(all.is_satisfied_by(&two) && !all.is_satisfied_by(&two[..1]));
    let some = Policy::new(Expression::AtLeast {
        k: 1,
        of: vec![Expression::Member(member(UNI)), Expression::Member(member(HUB))],
    })
    .unwrap();
    assert!(some.is_satisfied_by(&two) && !some.is_satisfied_by(&two[1..]));
    // Nothing is satisfied by nobody: no policy is "any".
    for policy in [quorum(1), all, some] {
        assert!(!policy.is_satisfied_by(&[]), "{policy}");
    }
}

#[test]
fn policies_that_mean_anybody_or_nobody_are_refused() {
    let member_of = || Expression::Member(member(HUB));
    for (form, error) in [
        (Expression::All(Vec::new()), PolicyError::Empty),
        (Expression::OneOf(Vec::new()), PolicyError::Empty),
        (
            Expression::AtLeast { k: 0, of: vec![member_of()] },
            PolicyError::Threshold { k: 0, n: 1 },
        ),
        (
            Expression::AtLeast { k: 2, of: vec![member_of()] },
            PolicyError::Threshold { k: 2, n: 1 },
        ),
        (Expression::Quorum { k: 0, role: Role::Holder }, PolicyError::Threshold { k: 0, n: 1 }),
        (Expression::OneOf(vec![member_of(); 64]), PolicyError::TooComplex),
        (
            (0..4).fold(member_of(), |inner, _| Expression::All(vec![inner])),
            PolicyError::TooComplex,
        ),
    ] {
        assert_eq!(Policy::new(form.clone()), Err(error.clone()), "{form:?}");
        // And the same through serde.
        let bytes = salus_ledger::cbor::encode(&form).unwrap();
        assert!(salus_ledger::cbor::decode::<Policy>(&bytes, 4096).is_err());
    }
}

#[test]
fn a_configured_policy_comes_on_top_of_a_contracts_own() {
    let mut world = World::with(|mut genesis| {
        let mut form = genesis.config.form().clone();
        let both = Expression::Quorum { k: 2, role: Role::Holder };
        form.policies
            .insert(salus_ledger::call::Method::RegisterDataset, Policy::new(both).unwrap());
        genesis.config = salus_ledger::config::PlatformConfig::new(form).unwrap();
        genesis
    });
    let call = salus_ledger::call::RegisterDataset {
        dataset: crate::world::dataset(ANNA, "observations"),
        budget: salus_model::MicroRho::new(1),
        delta: salus_ledger::call::DeltaExponent::new(6).unwrap(),
        releases: salus_ledger::call::ReleaseRule::DpOnly,
        commitment: salus_ledger::Commitment::new([1; 32]),
    };
    world.refused(call.clone(), &[ANNA], "endorsement.policy");
    let (_, outcome) = world.run(call, &[ANNA, CHARITE]);
    assert_eq!(outcome, Outcome::Applied);
}
