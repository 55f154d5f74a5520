//! The contracts against a small reference model: plain numbers, no state tree, no signatures.

use std::collections::BTreeMap;

use proptest::prelude::*;
use salus_ledger::block::Outcome;
use salus_ledger::call::{
    CancelReservation, CommitReservation, IssueFunds, RecordRelease, RedeemFunds, ReleaseRule,
    Reserve, Reserved, RevocationReason, RevokePermit,
};
use salus_ledger::invariant::invariants;
use salus_ledger::{Commitment, DatasetRef, Money, query};
use salus_model::{JobId, MicroRho, PermitId};

use crate::world::{
    ANNA, CHARITE, HUB, UNI, World, bounded, dataset, hash, member, release, rule_of, used,
};

#[derive(Debug, Clone)]
enum Step {
    Release { dataset: usize, permit: usize, charge: u64 },
    Reserve { dataset: usize, permit: usize, charge: u64, hours: i64 },
    Commit { job: usize, charge: u64 },
    Cancel { job: usize },
    Revoke { permit: usize },
    Wait { hours: i64 },
    Issue { amount: u64 },
    Redeem { amount: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let (dataset, permit) = (0..2_usize, 0..2_usize);
    prop_oneof![
        6 => (dataset.clone(), permit.clone(), 0..400_u64)
            .prop_map(|(dataset, permit, charge)| Step::Release { dataset, permit, charge }),
        5 => (dataset, permit.clone(), 0..600_u64, 0..6_i64)
            .prop_map(|(dataset, permit, charge, hours)| Step::Reserve { dataset, permit, charge, hours }),
        5 => (0..6_usize, 0..600_u64).prop_map(|(job, charge)| Step::Commit { job, charge }),
        2 => (0..6_usize).prop_map(|job| Step::Cancel { job }),
        1 => permit.prop_map(|permit| Step::Revoke { permit }),
        3 => (1..4_i64).prop_map(|hours| Step::Wait { hours }),
        2 => (0..100_u64).prop_map(|amount| Step::Issue { amount }),
        2 => (0..150_u64).prop_map(|amount| Step::Redeem { amount }),
    ]
}

/// A job as the model knows it: where, under what, how much, until which second.
#[derive(Debug, Clone)]
struct Held {
    dataset: usize,
    permit: usize,
    charge: u64,
    until: i64,
    open: bool,
}

/// The rules in plain numbers, written from the design and not from the contracts.
#[derive(Debug, Default)]
struct Model {
    clock: i64,
    spent: [u64; 2],
    permit_spent: BTreeMap<(usize, usize), u64>,
    revoked: [bool; 2],
    jobs: Vec<Held>,
    wallet: u64,
    supply: u64,
}

const BUDGET: [u64; 2] = [1_000, 700];
const PERMIT_BUDGET: [[u64; 2]; 2] = [[600, 700], [1_000, 300]];

impl Model {
    fn held(&self, counts: impl Fn(&Held) -> bool) -> u64 {
        let live = |job: &&Held| job.open && job.until > self.clock && counts(job);
        self.jobs.iter().filter(live).map(|job| job.charge).sum()
    }

    fn fits(&self, dataset: usize, permit: usize, charge: u64) -> bool {
        let on_dataset = self.spent[dataset] + self.held(|j| j.dataset == dataset);
        let on_permit = self.permit_spent.get(&(permit, dataset)).copied().unwrap_or(0)
            + self.held(|j| j.dataset == dataset && j.permit == permit);
        charge > 0
            && !self.revoked[permit]
            && on_dataset + charge <= BUDGET[dataset]
            && on_permit + charge <= PERMIT_BUDGET[permit][dataset]
    }

    fn spend(&mut self, dataset: usize, permit: usize, charge: u64) {
        self.spent[dataset] += charge;
        *self.permit_spent.entry((permit, dataset)).or_default() += charge;
    }

    /// Whether the step takes effect, and its effect.
    fn apply(&mut self, step: &Step) -> bool {
        match *step {
            Step::Release { dataset, permit, charge } => {
                let fits = self.fits(dataset, permit, charge);
                if fits {
                    self.spend(dataset, permit, charge);
                }
                fits
            }
            Step::Reserve { dataset, permit, charge, hours } => {
                let fits = hours > 0 && self.fits(dataset, permit, charge);
                let until = self.clock + hours * 3600;
                self.jobs.push(Held { dataset, permit, charge, until, open: fits });
                fits
            }
            Step::Commit { job, charge } => {
                let Some(held) = self.jobs.get(job).cloned() else { return false };
                let fits = held.open
                    && held.until > self.clock
                    && !self.revoked[held.permit]
                    && (1..=held.charge).contains(&charge);
                if fits {
                    self.jobs[job].open = false;
                    self.spend(held.dataset, held.permit, charge);
                }
                fits
            }
            Step::Cancel { job } => match self.jobs.get_mut(job) {
                Some(held) => std::mem::replace(&mut held.open, false),
                None => false,
            },
            Step::Revoke { permit } => !std::mem::replace(&mut self.revoked[permit], true),
            Step::Wait { .. } => true,
            Step::Issue { amount } => {
                self.wallet += amount;
                self.supply += amount;
                amount > 0
            }
            Step::Redeem { amount } => {
                let fits = (1..=self.wallet).contains(&amount);
                if fits {
                    self.wallet -= amount;
                    self.supply -= amount;
                }
                fits
            }
        }
    }
}

const HOLDERS: [&str; 2] = [ANNA, CHARITE];
const PERSONS: [&str; 2] = ["ada", "ben"];

struct Real {
    world: World,
    datasets: [DatasetRef; 2],
    permits: Vec<PermitId>,
    jobs: Vec<(JobId, usize, usize)>,
}

impl Real {
    fn new() -> Self {
        let mut world = World::new();
        let datasets = [dataset(ANNA, "one"), dataset(CHARITE, "two")];
        for (data, budget) in datasets.iter().zip(BUDGET) {
            world.register(data, budget, ReleaseRule::DpOnly);
        }
        let permits = (0..2)
            .map(|permit| {
                let [one, two] = PERMIT_BUDGET[permit];
                let terms = world.terms(&[(&datasets[0], one), (&datasets[1], two)]);
                world.permit(PERSONS[permit], terms)
            })
            .collect();
        Self { world, datasets, permits, jobs: Vec::new() }
    }

    fn release(&self, dataset: usize, permit: usize, charge: u64) -> salus_ledger::call::Release {
        let uses = vec![used(&self.datasets[dataset], bounded(charge))];
        release(PERSONS[permit], &self.permits[permit], uses)
    }

    fn run(&mut self, step: &Step) -> Option<Outcome> {
        let reference = Commitment::new(hash("paper"));
        Some(match *step {
            Step::Release { dataset, permit, charge } => {
                let release = self.release(dataset, permit, charge);
                self.world.run(RecordRelease { release }, &[HOLDERS[dataset]]).1
            }
            Step::Reserve { dataset, permit, charge, hours } => {
                // The block comes a second later; a reservation of no time is over by then.
                let expires =
                    self.world.now.saturating_add_micros(1_000_000 + hours * 3_600_000_000);
                let data = self.datasets[dataset].clone();
                let call = Reserve {
                    permit: self.permits[permit].clone(),
                    amounts: vec![Reserved { dataset: data, charge: bounded(charge) }],
                    expires,
                };
                let (id, outcome) = self.world.run(call, &[HOLDERS[dataset]]);
                self.jobs.push((id.job().unwrap(), dataset, permit));
                outcome
            }
            Step::Commit { job, charge } => {
                let (job, dataset, permit) = self.jobs.get(job)?.clone();
                let release = self.release(dataset, permit, charge);
                self.world.run(CommitReservation { job, release }, &[HOLDERS[dataset]]).1
            }
            Step::Cancel { job } => {
                let (job, dataset, _) = self.jobs.get(job)?.clone();
                self.world.run(CancelReservation { job }, &[HOLDERS[dataset]]).1
            }
            Step::Revoke { permit } => {
                let permit = self.permits[permit].clone();
                let call = RevokePermit { permit, reason: RevocationReason::Breach };
                self.world.run(call, &[HUB]).1
            }
            Step::Wait { hours } => {
                self.world.now = self.world.now.saturating_add_micros(hours * 3_600_000_000);
                return None;
            }
            Step::Issue { amount } => {
                let call = IssueFunds { to: member(UNI), amount: Money::new(amount), reference };
                self.world.run(call, &[HUB]).1
            }
            Step::Redeem { amount } => {
                let call = RedeemFunds { from: member(UNI), amount: Money::new(amount), reference };
                self.world.run(call, &[HUB, UNI]).1
            }
        })
    }
}

fn check(steps: &[Step]) -> Result<(), TestCaseError> {
    let mut real = Real::new();
    let start = real.world.now;
    let mut model = Model::default();
    for (at, step) in steps.iter().enumerate() {
        let outcome = real.run(step);
        model.clock = real.world.now.micros_since(start) / 1_000_000;
        let expected = model.apply(step);
        if let Some(outcome) = outcome {
            let applied = outcome == Outcome::Applied;
            prop_assert_eq!(applied, expected, "step {} {:?}: {}", at, step, rule_of(&outcome));
        }
        for (dataset, spent) in real.datasets.iter().zip(model.spent) {
            let account = query::account(&real.world.store, dataset).unwrap().unwrap();
            prop_assert_eq!(account.spent, MicroRho::new(spent));
        }
        for (permit, id) in real.permits.iter().enumerate() {
            for (index, dataset) in real.datasets.iter().enumerate() {
                let spent = query::spending(&real.world.store, id, dataset).unwrap();
                let spent = spent.map_or(0, |s| s.spent.get());
                let wanted = model.permit_spent.get(&(permit, index)).copied().unwrap_or(0);
                prop_assert_eq!(spent, wanted);
            }
        }
        let wallet = query::wallet(&real.world.store, &member(UNI)).unwrap();
        prop_assert_eq!(wallet.map_or(0, Money::get), model.wallet);
    }
    invariants(&real.world.store, real.world.tip()).map_err(|e| TestCaseError::fail(e.to_string()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_contracts_do_what_the_reference_model_does(
        steps in proptest::collection::vec(step(), 1..40)
    ) {
        check(&steps)?;
    }
}
