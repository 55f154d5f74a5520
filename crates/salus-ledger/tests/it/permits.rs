//! Permits: what they cover, until when, and who decides.

use salus_ledger::block::{ExecuteError, execute};
use salus_ledger::call::{
    ActivateContract, AdvanceOptOutEpoch, AmendPermit, ApplyForPermit, CommitDataset, GrantPermit,
    RecordRelease, RefusePermit, ReleaseRule, RevocationReason, RevokePermit, SetDatasetPolicy,
};
use salus_ledger::contract::{Contract, ContractVersion, PermitRefusal};
use salus_ledger::policy::{Policy, Role};
use salus_ledger::query::{self, Access, AccessError};
use salus_ledger::{CodeHash, Commitment, OptOutRoot};
use salus_model::{DatasetVersion, MicroRho, Purpose};

use crate::ca::signer;
use crate::world::{
    ANNA, CHARITE, HUB, UNI, World, at, bounded, columns, dataset, hash, height, member, release,
    used,
};

#[test]
fn a_release_outside_the_permit_is_refused_by_what_is_outside() {
    let mut world = World::new();
    let (data, other) = (dataset(ANNA, "observations"), dataset(ANNA, "other"));
    world.register(&data, 1_000, ReleaseRule::DpOnly);
    world.register(&other, 1_000, ReleaseRule::DpOnly);
    let mut terms = world.terms(&[(&data, 500)]);
    terms.code = Some(CodeHash::new(hash("code")));
    let permit = world.permit("ada", terms);
    let good = release("ada", &permit, vec![used(&data, bounded(10))]);
    let call = |change: &dyn Fn(&mut salus_ledger::call::Release)| {
        let mut release = good.clone();
        change(&mut release);
        RecordRelease { release }
    };
    let ben = signer("ben").public_key();
    world.refused(call(&|r| r.actor = ben), &[ANNA], "permits.other-person");
    world.refused(
        call(&|r| r.uses[0].columns = columns(&["sex", "name"])),
        &[ANNA],
        "permits.outside-column",
    );
    world.refused(call(&|r| r.uses[0].columns.clear()), &[ANNA], "accounts.uses");
    world.refused(call(&|r| r.uses.push(r.uses[0].clone())), &[ANNA], "accounts.uses");
    world.refused(call(&|r| r.uses[0].dataset = other.clone()), &[ANNA], "permits.outside-dataset");
    world.refused(call(&|r| r.code = CodeHash::new([0; 32])), &[ANNA], "permits.outside-code");
    world.refused(call(&|r| r.uses[0].charge = bounded(501)), &[ANNA], "permits.budget");
    world.refused(call(&|r| r.uses[0].charge = bounded(0)), &[ANNA], "accounts.free-release");
    world.refused(
        call(&|r| r.uses[0].version = DatasetVersion::FIRST.next()),
        &[ANNA],
        "accounts.unknown-version",
    );
    world.applied(call(&|_| ()), &[ANNA]);
}

#[test]
fn a_scan_under_an_older_opt_out_epoch_is_refused() {
    let mut world = World::new();
    let data = dataset(ANNA, "observations");
    world.register(&data, 1_000, ReleaseRule::DpOnly);
    let terms = world.terms(&[(&data, 500)]);
    let permit = world.permit("ada", terms);
    let advance = |epoch, root: &str| AdvanceOptOutEpoch {
        holder: member(ANNA),
        epoch,
        root: OptOutRoot::new(hash(root)),
    };
    world.refused(advance(2, "one"), &[ANNA], "optouts.next-epoch");
    world.refused(advance(1, "one"), &[CHARITE], "endorsement.wrong-member-or-role");
    world.applied(advance(1, "one"), &[ANNA]);
    world.refused(advance(2, "one"), &[ANNA], "optouts.same-root");
    let call = |epoch| {
        let mut used = used(&data, bounded(1));
        used.optout_epoch = epoch;
        RecordRelease { release: release("ada", &permit, vec![used]) }
    };
    world.refused(call(0), &[ANNA], "accounts.stale-opt-outs");
    world.applied(call(1), &[ANNA]);
    world.applied(advance(2, "two"), &[ANNA]);
    world.refused(call(1), &[ANNA], "accounts.stale-opt-outs");
}

#[test]
fn a_permit_is_applied_for_granted_amended_and_revoked() {
    let mut world = World::new();
    let data = dataset(ANNA, "observations");
    world.register(&data, 1_000, ReleaseRule::DpOnly);
    let terms = world.terms(&[(&data, 500)]);
    let apply = ApplyForPermit { pseudonym: signer("ada").public_key(), terms: terms.clone() };
    world.refused(apply.clone(), &[UNI], "endorsement.pseudonym");
    world.refused(apply.clone(), &["ada"], "endorsement.no-member");
    let permit = world.applied(apply.clone(), &[UNI, "ada"]).permit().unwrap();
    // One key is one permit: a second would tie the two together.
    world.refused(apply, &[UNI, "ada"], "permits.pseudonym-taken");
    let members = ApplyForPermit { pseudonym: signer(ANNA).public_key(), terms: terms.clone() };
    world.refused(members, &[UNI, ANNA], "endorsement.pseudonym");
    let use_it =
        || RecordRelease { release: release("ada", &permit, vec![used(&data, bounded(100))]) };
    world.refused(use_it(), &[ANNA], "permits.not-granted");
    world.applied(GrantPermit { permit: permit.clone() }, &[HUB]);
    world.refused(RefusePermit { permit: permit.clone() }, &[HUB], "permits.not-applied");
    world.applied(use_it(), &[ANNA]);
    let amend = |revision, budget| {
        let mut terms = terms.clone();
        terms.grounds[0].budget = MicroRho::new(budget);
        AmendPermit { permit: permit.clone(), revision, terms }
    };
    world.refused(amend(0, 99), &[HUB], "permits.below-spent");
    world.refused(amend(1, 150), &[HUB], "permits.stale-revision");
    world.applied(amend(0, 150), &[HUB]);
    world.refused(use_it(), &[ANNA], "permits.budget");
    let revoke = || RevokePermit { permit: permit.clone(), reason: RevocationReason::Requested };
    world.refused(revoke(), &[UNI], "endorsement.wrong-role");
    world.applied(revoke(), &["ada"]);
    world.refused(use_it(), &[ANNA], "permits.revoked");
    world.refused(revoke(), &[HUB], "permits.not-granted");
}

#[test]
fn a_query_asks_the_ledger_before_any_key_is_touched() {
    let mut world = World::new();
    let data = dataset(ANNA, "observations");
    world.register(&data, 1_000, ReleaseRule::DpOnly);
    let terms = world.terms(&[(&data, 500)]);
    let expires = terms.expires;
    let permit = world.permit("ada", terms);
    let (actor, code) = (signer("ada").public_key(), CodeHash::new(hash("code")));
    let (inside, outside) = (columns(&["sex"]), columns(&["name"]));
    let access = Access {
        permit: &permit,
        actor: &actor,
        dataset: &data,
        columns: &inside,
        purpose: Purpose::Research,
        code: &code,
    };
    let ask = |access: Access<'_>, now| query::permitted(&world.store, &access, now).map(|_| ());
    assert_eq!(ask(access, world.now), Ok(()));
    let none = salus_model::PermitId::new("permit-none").unwrap();
    let refused = ask(Access { permit: &none, ..access }, world.now);
    assert!(matches!(refused, Err(AccessError::Refused(PermitRefusal::Unknown { .. }))));
    let refused = ask(access, expires);
    assert!(matches!(refused, Err(AccessError::Refused(PermitRefusal::Expired { .. }))));
    let refused = ask(Access { columns: &outside, ..access }, world.now);
    assert!(matches!(refused, Err(AccessError::Refused(PermitRefusal::OutsideColumn { .. }))));
    let refused = ask(Access { purpose: Purpose::Statistics, ..access }, world.now);
    assert!(matches!(refused, Err(AccessError::OtherPurpose { .. })));
    // And the ledger itself refuses the release once the permit has run out.
    world.now = expires;
    let call = RecordRelease { release: release("ada", &permit, vec![used(&data, bounded(1))]) };
    world.refused(call, &[ANNA], "permits.expired");
}

#[test]
fn a_datasets_own_policy_has_a_say_in_grants_charges_and_versions() {
    let mut world = World::new();
    let data = dataset(ANNA, "observations");
    world.register(&data, 1_000, ReleaseRule::DpOnly);
    let policy = Some(Policy::role(Role::Treasurer));
    let set = |policy| SetDatasetPolicy { dataset: data.clone(), policy };
    world.refused(set(policy.clone()), &[CHARITE], "endorsement.wrong-member-or-role");
    world.applied(set(policy), &[ANNA]);
    let next = CommitDataset {
        dataset: data.clone(),
        version: DatasetVersion::FIRST.next(),
        commitment: Commitment::new(hash("two")),
    };
    world.refused(next.clone(), &[ANNA], "endorsement.dataset-policy");
    world.applied(next.clone(), &[ANNA, HUB]);
    world.refused(next, &[ANNA, HUB], "datasets.next-version");
    let terms = world.terms(&[(&data, 500)]);
    let permit = world.permit("ada", terms);
    let call = RecordRelease { release: release("ada", &permit, vec![used(&data, bounded(1))]) };
    world.refused(call.clone(), &[ANNA], "endorsement.dataset-policy");
    world.applied(call, &[ANNA, HUB]);
    world.refused(set(None), &[ANNA], "endorsement.dataset-policy");
    world.applied(set(None), &[ANNA, HUB]);
}

#[test]
fn a_contracts_next_version_decides_from_its_height_on() {
    let mut world = World::new();
    let data = dataset(ANNA, "observations");
    world.register(&data, 1_000, ReleaseRule::DpOnly);
    let apply = |world: &World, person: &str| {
        let mut terms = world.terms(&[(&data, 1)]);
        terms.expires = at("2037-01-01T00:00:00Z");
        ApplyForPermit { pseudonym: signer(person).public_key(), terms }
    };
    let call = apply(&world, "ada");
    world.applied(call, &[UNI, "ada"]);
    let activate = |contract, version, at| ActivateContract {
        contract,
        version: ContractVersion::new(version),
        at: height(at),
    };
    let now = world.tip().height.get();
    let permits = Contract::Permits;
    world.refused(activate(permits, 2, now + 9), &[HUB], "endorsement.governance");
    world.refused(activate(permits, 2, now), &[HUB, ANNA], "platform.past-height");
    world.refused(activate(permits, 3, now + 9), &[HUB, ANNA], "platform.not-next-version");
    let from = world.tip().height.get() + 3;
    world.applied(activate(permits, 2, from), &[HUB, ANNA]);
    let call = apply(&world, "ben");
    world.applied(call, &[UNI, "ben"]);
    let call = apply(&world, "cyd");
    world.refused(call, &[UNI, "cyd"], "permits.too-long");
}

#[test]
fn a_program_without_the_active_rules_stops_by_name_and_a_plan_can_be_taken_back() {
    let mut world = World::new();
    let plan = |world: &World, version, after| ActivateContract {
        contract: Contract::Market,
        version: ContractVersion::new(version),
        at: world.tip().height.after(after),
    };
    let call = plan(&world, 2, 3);
    world.applied(call, &[HUB, ANNA]);
    let call = plan(&world, 1, 2);
    world.applied(call, &[HUB, ANNA]);
    for _ in 0..5 {
        world.block(&[]);
    }
    let call = plan(&world, 2, 2);
    world.applied(call, &[HUB, ANNA]);
    let later = world.now.saturating_add_micros(1);
    let stopped = execute(&world.store, world.tip(), later, Vec::new());
    assert!(
        matches!(stopped, Err(ExecuteError::ContractTooNew { contract: Contract::Market, .. })),
        "{stopped:?}"
    );
}
