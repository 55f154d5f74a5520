//! Privacy accounts: one charge wins, nothing is refunded, what runs out returns.

use salus_ledger::GateDecision;
use salus_ledger::call::{
    CancelReservation, CommitReservation, ExpireReservations, RecordRelease, RecordTick,
    ReleaseRule, Reserve, Reserved, RevocationReason, RevokePermit, Tick,
};
use salus_model::PrivacyCharge;

use crate::ca::signer;
use crate::world::{
    ANNA, CHARITE, HUB, UNI, World, bounded, dataset, hash, release, rule_of, used,
};

#[test]
fn two_transactions_race_for_the_last_budget_and_one_wins() {
    let mut world = World::new();
    let data = dataset(ANNA, "observations");
    world.register(&data, 1_000, ReleaseRule::DpOnly);
    let terms = world.terms(&[(&data, 1_000)]);
    let permit = world.permit("ada", terms);
    world.applied(
        RecordRelease { release: release("ada", &permit, vec![used(&data, bounded(400))]) },
        &[ANNA],
    );
    let race = |world: &mut World| {
        let release = release("ada", &permit, vec![used(&data, bounded(600))]);
        world.signed(RecordRelease { release }, &[&signer(ANNA)])
    };
    let both = [race(&mut world), race(&mut world)];
    let executed = world.block(&both);
    let outcomes: Vec<_> = executed.entries.iter().map(|e| rule_of(&e.outcome)).collect();
    assert_eq!(outcomes, ["applied", "accounts.budget"]);
}

#[test]
fn a_reservation_holds_returns_what_is_left_and_returns_all_when_it_runs_out() {
    let mut world = World::new();
    let data = dataset(ANNA, "observations");
    world.register(&data, 1_000, ReleaseRule::DpOnly);
    let terms = world.terms(&[(&data, 1_000)]);
    let permit = world.permit("ada", terms);
    let reserve = |world: &World, amount| Reserve {
        permit: permit.clone(),
        amounts: vec![Reserved { dataset: data.clone(), charge: bounded(amount) }],
        expires: world.now.saturating_add_micros(3_600_000_000),
    };
    let now = |amount| RecordRelease {
        release: release("ada", &permit, vec![used(&data, bounded(amount))]),
    };
    let call = reserve(&world, 700);
    let job = world.applied(call, &[ANNA]).job().unwrap();
    world.refused(now(301), &[ANNA], "accounts.budget");
    let commit = |job: &salus_model::JobId, amount| CommitReservation {
        job: job.clone(),
        release: release("ada", &permit, vec![used(&data, bounded(amount))]),
    };
    world.refused(commit(&job, 701), &[ANNA], "accounts.above-reserved");
    world.applied(commit(&job, 500), &[ANNA]);
    // Nothing is charged or refunded twice: the reservation is gone.
    world.refused(commit(&job, 1), &[ANNA], "accounts.unknown-job");
    world.refused(CancelReservation { job: job.clone() }, &[ANNA], "accounts.unknown-job");
    let call = reserve(&world, 500);
    let late = world.applied(call, &[ANNA]).job().unwrap();
    world.refused(now(1), &[ANNA], "accounts.budget");
    world.pass_days(1);
    world.refused(commit(&late, 1), &[ANNA], "accounts.job-expired");
    world.applied(now(499), &[ANNA]);
    world.applied(ExpireReservations { dataset: data.clone() }, &[UNI]);
    world.refused(ExpireReservations { dataset: data.clone() }, &[UNI], "accounts.nothing-expired");
    world.refused(now(2), &[ANNA], "accounts.budget");
    world.applied(now(1), &[ANNA]);
}

#[test]
fn a_release_without_a_bound_needs_gate_officer_permit_and_dataset() {
    let mut world = World::new();
    let (strict, open) = (dataset(ANNA, "strict"), dataset(CHARITE, "open"));
    world.register(&strict, 1_000, ReleaseRule::DpOnly);
    world.register(&open, 1_000, ReleaseRule::GateAllowed);
    let terms = world.terms(&[(&strict, 100), (&open, 100)]);
    let permit = world.permit("ada", terms.clone());
    let call = |data, gate| {
        let mut release = release("ada", &permit, vec![used(data, PrivacyCharge::NotBounded)]);
        release.gate = gate;
        RecordRelease { release }
    };
    let gate = Some(GateDecision::new(hash("gate")));
    world.refused(call(&open, None), &[CHARITE, HUB], "accounts.no-gate");
    world.refused(call(&open, gate), &[CHARITE], "accounts.no-gate");
    world.refused(call(&strict, gate), &[ANNA, HUB], "accounts.dp-only");
    world.applied(call(&open, gate), &[CHARITE, HUB]);
    let mut narrow = terms;
    narrow.releases = ReleaseRule::DpOnly;
    let bounded_only = world.permit("ben", narrow);
    let mut other = release("ben", &bounded_only, vec![used(&open, PrivacyCharge::NotBounded)]);
    other.gate = gate;
    world.refused(RecordRelease { release: other }, &[CHARITE, HUB], "permits.dp-only");
}

/// A standing question is charged once, answers no more than it was charged for, each number once,
/// and ends with its permit.
#[test]
fn a_standing_question_is_charged_once_and_answers_as_often_as_it_said() {
    let mut world = World::new();
    let (data, other) = (dataset(ANNA, "devices"), dataset(ANNA, "observations"));
    world.register(&data, 1_000, ReleaseRule::DpOnly);
    world.register(&other, 1_000, ReleaseRule::DpOnly);
    let terms = world.terms(&[(&data, 500), (&other, 500)]);
    let permit = world.permit("ada", terms.clone());
    let tick = |tick, data, amount| RecordTick {
        tick,
        release: release("ada", &permit, vec![used(data, bounded(amount))]),
    };
    world.refused(tick(Tick::First { ticks: 0 }, &data, 400), &[ANNA], "accounts.no-ticks");
    world.refused(tick(Tick::First { ticks: 3 }, &data, 0), &[ANNA], "accounts.free-release");
    // What has no bound is reviewed answer by answer, and never in advance.
    let open = RecordTick {
        tick: Tick::First { ticks: 3 },
        release: release("ada", &permit, vec![used(&data, PrivacyCharge::NotBounded)]),
    };
    world.refused(open, &[ANNA, HUB], "accounts.tick-unbounded");
    world.refused(tick(Tick::First { ticks: 3 }, &data, 501), &[ANNA], "permits.budget");
    let job = world.applied(tick(Tick::First { ticks: 3 }, &data, 400), &[ANNA]).job().unwrap();
    let next = |number| Tick::Next { job: job.clone(), number };
    // Not twice the same, none left out, none that charges, none of another dataset or person.
    world.refused(tick(next(1), &data, 0), &[ANNA], "accounts.tick-order");
    world.refused(tick(next(3), &data, 0), &[ANNA], "accounts.tick-order");
    world.refused(tick(next(2), &data, 1), &[ANNA], "accounts.tick-charged");
    world.refused(tick(next(2), &other, 0), &[ANNA], "accounts.not-standing");
    let theirs = world.permit("ben", terms);
    let stolen = RecordTick {
        tick: next(2),
        release: release("ben", &theirs, vec![used(&data, bounded(0))]),
    };
    world.refused(stolen, &[ANNA], "accounts.not-standing");
    world.applied(tick(next(2), &data, 0), &[ANNA]);
    world.refused(tick(next(2), &data, 0), &[ANNA], "accounts.tick-order");
    // All of it was charged with the first: 100 of the permit's 500 are left.
    let now = |amount| RecordRelease {
        release: release("ada", &permit, vec![used(&data, bounded(amount))]),
    };
    world.refused(now(101), &[ANNA], "permits.budget");
    world.applied(tick(next(3), &data, 0), &[ANNA]);
    world.refused(tick(next(4), &data, 0), &[ANNA], "accounts.ticks-over");
    let again = world.applied(tick(Tick::First { ticks: 9 }, &data, 100), &[ANNA]);
    let job = again.job().unwrap();
    let reason = RevocationReason::Requested;
    world.applied(RevokePermit { permit: permit.clone(), reason }, &[HUB]);
    let late = tick(Tick::Next { job, number: 2 }, &data, 0);
    world.refused(late, &[ANNA], "permits.revoked");
}
