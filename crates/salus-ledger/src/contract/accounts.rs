//! Privacy accounts and receipts: charge in one transaction, or reserve first and commit later.
//!
//! One account per dataset takes every kind of release. Spent budget only grows. A reservation
//! that runs out returns by itself: it stops counting at its moment, whether or not anybody has
//! cleared it away.

use std::collections::BTreeSet;

use salus_model::{DatasetVersion, DealId, JobId, MicroRho, PermitId, PrivacyCharge, Timestamp};

use super::datasets::concerned;
use super::permits::{self, PermitRefusal};
use super::records::{Account, Job, PermitRecord, ReceiptRecord, Reservation};
use super::reviews::{self, ReviewRefusal};
use super::{Context, Stop, misrouted, standing};
use crate::call::{
    Call, CancelReservation, CommitReservation, DatasetUse, ExpireReservations, Release,
    ReleaseRule, Reserve, Reserved,
};
use crate::policy::Role;
use crate::state::{StateError, slot};
use crate::words::DatasetRef;

/// The most reservations that one account holds at a time.
const MAX_RESERVATIONS: usize = 1024;
/// The longest that a reservation holds: 30 days, in microseconds.
const MAX_HOLD_MICROS: i64 = 30 * 86_400 * 1_000_000;

super::refusal::refusals! {
    /// Rules of the accounts contract.
    AccountRefusal {
        NoAccount { dataset: DatasetRef } = "accounts.unknown", "there is no account for {dataset}";
        Uses = "accounts.uses", "a job names 1 to 64 datasets, each once, and the columns that it read";
        Budget { dataset: DatasetRef } = "accounts.budget",
            "the budget left on dataset {dataset} does not suffice";
        DpOnly { dataset: DatasetRef } = "accounts.dp-only",
            "dataset {dataset} takes releases with a bounded privacy loss only";
        FreeRelease { dataset: DatasetRef } = "accounts.free-release",
            "a release from {dataset} has to cost something; an answer that is repeated needs no receipt";
        NoGate = "accounts.no-gate",
            "a release without a bound needs the release gate's decision, signed by an officer";
        StaleOptOuts { dataset: DatasetRef, current: u64, applied: u64 } = "accounts.stale-opt-outs",
            "opt-outs of {dataset} are at epoch {current}, the scan applied {applied}; scan again";
        StaleVersion { dataset: DatasetRef, version: DatasetVersion } = "accounts.unknown-version",
            "dataset {dataset} has no version {version}";
        HoldTime { expires: Timestamp } = "accounts.hold-time",
            "a reservation holds up to 30 days from now, not until {expires}";
        TooManyReservations { dataset: DatasetRef } = "accounts.too-many-reservations",
            "dataset {dataset} has 1024 open reservations";
        UnknownJob { job: JobId } = "accounts.unknown-job",
            "there is no open reservation {job}; it may have been used or returned";
        JobExpired { job: JobId } = "accounts.job-expired", "reservation {job} has run out";
        AboveReserved { dataset: DatasetRef } = "accounts.above-reserved",
            "the charge on {dataset} is above what is reserved";
        OtherDatasets { job: JobId } = "accounts.other-datasets",
            "the receipt names other datasets than reservation {job}";
        OtherPermit { job: JobId } = "accounts.other-permit",
            "reservation {job} is for another permit";
        NoTicks = "accounts.no-ticks", "a standing question has 1 to 4,294,967,295 answers";
        NotStanding { job: JobId } = "accounts.not-standing",
            "{job} is no standing question of this permit and these datasets";
        TickOrder { job: JobId, expected: u32 } = "accounts.tick-order",
            "the next answer of {job} is number {expected}";
        TicksOver { job: JobId, ticks: u32 } = "accounts.ticks-over",
            "{job} was charged for {ticks} answers, and all are given; ask anew, at a new charge";
        TickUnbounded = "accounts.tick-unbounded",
            "a standing question has a bound: nobody can review the answers that are still to come";
        TickCharged { dataset: DatasetRef } = "accounts.tick-charged",
            "a later answer of a standing question charges nothing on {dataset}: the first one did";
        BelongsToDeal { job: JobId } = "accounts.belongs-to-deal",
            "reservation {job} belongs to a deal; settle or refund that";
        NothingExpired { dataset: DatasetRef } = "accounts.nothing-expired",
            "no reservation on {dataset} has run out";
    }
}

pub(super) fn decide(call: &Call, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    match call {
        Call::RecordRelease(call) => release_now(&call.release, cx),
        Call::RecordTick(call) => standing::tick(call, cx),
        Call::Reserve(call) => reserve(call, cx),
        Call::CommitReservation(call) => commit(call, cx),
        Call::CancelReservation(call) => cancel(call, cx),
        Call::ExpireReservations(call) => expire(call, cx),
        Call::SubmitForReview(_) | Call::DecideReview(_) | Call::SetReviewRule(_) => {
            reviews::decide(call, cx)
        }
        other => Err(misrouted(other.method())),
    }
}

fn account(dataset: &DatasetRef, cx: &Context<'_, '_>) -> Result<Account, Stop> {
    let unknown = || AccountRefusal::NoAccount { dataset: dataset.clone() };
    Ok(cx.view.read(&slot::account(dataset))?.ok_or_else(unknown)?)
}

fn overflow(dataset: &DatasetRef) -> AccountRefusal {
    AccountRefusal::Budget { dataset: dataset.clone() }
}

impl Account {
    /// What is set aside and has not run out at `time`; none when it does not fit.
    #[must_use]
    pub fn reserved_at(&self, time: Timestamp) -> Option<MicroRho> {
        self.reserved_where(time, |_| true)
    }

    fn reserved_where(
        &self,
        time: Timestamp,
        counts: impl Fn(&Reservation) -> bool,
    ) -> Option<MicroRho> {
        self.reservations.values().filter(|held| held.expires > time && counts(held)).try_fold(
            MicroRho::ZERO,
            |sum, held| match held.charge {
                PrivacyCharge::Bounded(rho) => sum.checked_add(rho),
                PrivacyCharge::NotBounded => Some(sum),
            },
        )
    }

    /// What can still be charged at `time`.
    #[must_use]
    pub fn left_at(&self, time: Timestamp) -> Option<MicroRho> {
        self.budget.checked_sub(self.spent.checked_add(self.reserved_at(time)?)?)
    }
}

/// What a permit has spent on a dataset and holds reserved; none when it does not fit.
pub(super) fn used(
    permit: &PermitId,
    dataset: &DatasetRef,
    cx: &Context<'_, '_>,
) -> Result<Option<MicroRho>, Stop> {
    let reserved = account(dataset, cx)?.reserved_where(cx.time, |held| &held.permit == permit);
    let spent = permits::spending(permit, dataset, cx)?.spent;
    Ok(reserved.and_then(|reserved| spent.checked_add(reserved)))
}

/// Whether `charge` fits beside all that is spent and reserved, on the dataset and the permit.
fn check_room(
    id: &PermitId,
    permit: &PermitRecord,
    dataset: &DatasetRef,
    charge: PrivacyCharge,
    cx: &Context<'_, '_>,
) -> Result<(), Stop> {
    let account = account(dataset, cx)?;
    let rho = match charge {
        PrivacyCharge::NotBounded => {
            permits::budget_for(permit, dataset)?;
            return check_not_bounded(id, permit, dataset, cx);
        }
        PrivacyCharge::Bounded(MicroRho::ZERO) => {
            return Err(AccountRefusal::FreeRelease { dataset: dataset.clone() }.into());
        }
        PrivacyCharge::Bounded(rho) => rho,
    };
    if account.left_at(cx.time).is_none_or(|left| rho > left) {
        return Err(overflow(dataset).into());
    }
    let budget = permits::budget_for(permit, dataset)?;
    let after = used(id, dataset, cx)?.and_then(|used| used.checked_add(rho));
    if after.is_none_or(|after| after > budget) {
        return Err(PermitRefusal::Budget { dataset: dataset.clone() }.into());
    }
    Ok(())
}

/// Whether dataset and permit both take releases without a bound.
fn check_not_bounded(
    id: &PermitId,
    permit: &PermitRecord,
    dataset: &DatasetRef,
    cx: &Context<'_, '_>,
) -> Result<(), Stop> {
    if account(dataset, cx)?.releases == ReleaseRule::DpOnly {
        return Err(AccountRefusal::DpOnly { dataset: dataset.clone() }.into());
    }
    if permits::allows_not_bounded(permit) {
        Ok(())
    } else {
        Err(PermitRefusal::DpOnly { permit: id.clone() }.into())
    }
}

/// All that has to hold for a release, except that there is room for its charges.
pub(super) fn check_release(release: &Release, cx: &Context<'_, '_>) -> Result<PermitRecord, Stop> {
    let permit = check_content(release, cx)?;
    if reviews::in_force(cx)? {
        reviews::check(release, &permit, cx)?;
        return Ok(permit);
    }
    if release.review.is_some() {
        return Err(ReviewRefusal::LaterRules.into());
    }
    let officer = cx.endorsers.iter().any(|e| e.roles.contains(&Role::Officer));
    if release.has_unbounded_use() && (release.gate.is_none() || !officer) {
        return Err(AccountRefusal::NoGate.into());
    }
    Ok(permit)
}

/// Whether permit, datasets and holders' signatures cover what a release says.
pub(super) fn check_content(release: &Release, cx: &Context<'_, '_>) -> Result<PermitRecord, Stop> {
    let permit = permits::in_force(&release.permit, cx)?;
    if permit.pseudonym != release.actor {
        return Err(PermitRefusal::OtherPerson { permit: release.permit.clone() }.into());
    }
    if permit.terms.code.is_some_and(|code| code != release.code) {
        return Err(PermitRefusal::OutsideCode { code: release.code }.into());
    }
    let datasets: BTreeSet<_> = release.uses.iter().map(|used| &used.dataset).collect();
    let columns = release.uses.iter().all(|used| !used.columns.is_empty());
    if !(1..=64).contains(&release.uses.len()) || datasets.len() != release.uses.len() || !columns {
        return Err(AccountRefusal::Uses.into());
    }
    for used in &release.uses {
        check_use(used, &permit, cx)?;
        // Also for a reservation: the permit may have been amended since.
        if used.charge == PrivacyCharge::NotBounded {
            check_not_bounded(&release.permit, &permit, &used.dataset, cx)?;
        }
    }
    Ok(permit)
}

fn check_use(used: &DatasetUse, permit: &PermitRecord, cx: &Context<'_, '_>) -> Result<(), Stop> {
    let dataset = &used.dataset;
    cx.require_member_as(&dataset.holder, Role::Holder)?;
    let record = concerned(dataset, cx)?;
    permit.covers(dataset, &used.columns)?;
    if used.version > record.version {
        let (dataset, version) = (dataset.clone(), used.version);
        return Err(AccountRefusal::StaleVersion { dataset, version }.into());
    }
    let current = cx.view.read(&slot::opt_outs(&dataset.holder))?.map_or(0, |list| list.epoch);
    if used.optout_epoch != current {
        return Err(AccountRefusal::StaleOptOuts {
            dataset: dataset.clone(),
            current,
            applied: used.optout_epoch,
        }
        .into());
    }
    Ok(())
}

/// Books a charge for good.
fn charge(
    permit: &PermitId,
    dataset: &DatasetRef,
    charge: PrivacyCharge,
    cx: &mut Context<'_, '_>,
) -> Result<(), Stop> {
    let mut account = account(dataset, cx)?;
    let mut spending = permits::spending(permit, dataset, cx)?;
    match charge {
        PrivacyCharge::Bounded(rho) => {
            account.spent = account.spent.checked_add(rho).ok_or_else(|| overflow(dataset))?;
            spending.spent = spending.spent.checked_add(rho).ok_or_else(|| overflow(dataset))?;
        }
        PrivacyCharge::NotBounded => {
            account.not_bounded = account.not_bounded.saturating_add(1);
            spending.not_bounded = spending.not_bounded.saturating_add(1);
        }
    }
    cx.view.write(&slot::account(dataset), &account)?;
    Ok(cx.view.write(&slot::spending(permit, dataset), &spending)?)
}

pub(super) fn record_receipt(release: &Release, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    let id = cx.tx.receipt().map_err(|e| StateError::Tree { reason: e.to_string() })?;
    reviews::close(release, &id, cx)?;
    let (permit, charges) = (release.permit.clone(), charged(release));
    let record = ReceiptRecord { transaction: cx.tx, height: cx.height, permit, charges };
    Ok(cx.view.write(&slot::receipt(&id), &record)?)
}

pub(super) fn charged(release: &Release) -> Vec<Reserved> {
    let charge =
        |used: &DatasetUse| Reserved { dataset: used.dataset.clone(), charge: used.charge };
    release.uses.iter().map(charge).collect()
}

pub(super) fn release_now(release: &Release, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    let permit = check_release(release, cx)?;
    for used in &release.uses {
        check_room(&release.permit, &permit, &used.dataset, used.charge, cx)?;
    }
    for used in &release.uses {
        charge(&release.permit, &used.dataset, used.charge, cx)?;
    }
    record_receipt(release, cx)
}

fn reserve(call: &Reserve, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    for amount in &call.amounts {
        cx.require_member_as(&amount.dataset.holder, Role::Holder)?;
    }
    let job = cx.tx.job().map_err(|e| StateError::Tree { reason: e.to_string() })?;
    reserve_for(&job, &call.permit, &call.amounts, call.expires, None, cx)
}

/// Sets budget aside for a job, of a deal or alone.
pub(super) fn reserve_for(
    job: &JobId,
    permit: &PermitId,
    amounts: &[Reserved],
    expires: Timestamp,
    deal: Option<DealId>,
    cx: &mut Context<'_, '_>,
) -> Result<(), Stop> {
    let record = permits::in_force(permit, cx)?;
    let datasets: BTreeSet<_> = amounts.iter().map(|amount| &amount.dataset).collect();
    if !(1..=64).contains(&amounts.len()) || datasets.len() != amounts.len() {
        return Err(AccountRefusal::Uses.into());
    }
    if expires <= cx.time || expires > cx.time.saturating_add_micros(MAX_HOLD_MICROS) {
        return Err(AccountRefusal::HoldTime { expires }.into());
    }
    for amount in amounts {
        let dataset = &amount.dataset;
        concerned(dataset, cx)?;
        check_room(permit, &record, dataset, amount.charge, cx)?;
        let mut account = account(dataset, cx)?;
        let time = cx.time;
        account.reservations.retain(|_, held| held.expires > time);
        if account.reservations.len() >= MAX_RESERVATIONS {
            return Err(AccountRefusal::TooManyReservations { dataset: dataset.clone() }.into());
        }
        let held = Reservation { permit: permit.clone(), charge: amount.charge, expires };
        account.reservations.insert(job.clone(), held);
        cx.view.write(&slot::account(dataset), &account)?;
    }
    let record = Job { permit: permit.clone(), amounts: amounts.to_vec(), expires, deal };
    Ok(cx.view.write(&slot::job(job), &record)?)
}

fn open_job(job: &JobId, cx: &Context<'_, '_>) -> Result<Job, Stop> {
    let unknown = || AccountRefusal::UnknownJob { job: job.clone() };
    Ok(cx.view.read(&slot::job(job))?.ok_or_else(unknown)?)
}

fn without_deal(id: &JobId, job: &Job) -> Result<(), AccountRefusal> {
    match job.deal {
        Some(_) => Err(AccountRefusal::BelongsToDeal { job: id.clone() }),
        None => Ok(()),
    }
}

fn commit(call: &CommitReservation, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    without_deal(&call.job, &open_job(&call.job, cx)?)?;
    commit_job(&call.job, &call.release, cx)
}

/// Charges a job within its reservation, returns the rest, and records the receipt.
pub(super) fn commit_job(
    id: &JobId,
    release: &Release,
    cx: &mut Context<'_, '_>,
) -> Result<(), Stop> {
    let job = open_job(id, cx)?;
    if cx.time >= job.expires {
        return Err(AccountRefusal::JobExpired { job: id.clone() }.into());
    }
    if release.permit != job.permit {
        return Err(AccountRefusal::OtherPermit { job: id.clone() }.into());
    }
    check_release(release, cx)?;
    let reserved: BTreeSet<_> = job.amounts.iter().map(|amount| &amount.dataset).collect();
    let used: BTreeSet<_> = release.uses.iter().map(|used| &used.dataset).collect();
    if reserved != used {
        return Err(AccountRefusal::OtherDatasets { job: id.clone() }.into());
    }
    for used in &release.uses {
        let held = job.amounts.iter().find(|amount| amount.dataset == used.dataset);
        if !held.is_some_and(|held| is_within(used.charge, held.charge)) {
            return Err(AccountRefusal::AboveReserved { dataset: used.dataset.clone() }.into());
        }
    }
    free(id, &job, cx)?;
    for used in &release.uses {
        charge(&release.permit, &used.dataset, used.charge, cx)?;
    }
    record_receipt(release, cx)
}

fn is_within(charge: PrivacyCharge, held: PrivacyCharge) -> bool {
    match (charge, held) {
        (PrivacyCharge::Bounded(MicroRho::ZERO), _) => false,
        (PrivacyCharge::Bounded(charge), PrivacyCharge::Bounded(held)) => charge <= held,
        (PrivacyCharge::NotBounded, PrivacyCharge::NotBounded) => true,
        _ => false,
    }
}

/// Takes a job's reservations off its accounts and closes it.
pub(super) fn free(id: &JobId, job: &Job, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    for amount in &job.amounts {
        let mut account = account(&amount.dataset, cx)?;
        account.reservations.remove(id);
        cx.view.write(&slot::account(&amount.dataset), &account)?;
    }
    cx.view.delete(&slot::job(id));
    Ok(())
}

/// Closes the job of a deal that ran out.
pub(super) fn free_job(id: &JobId, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    match cx.view.read(&slot::job(id))? {
        Some(job) => free(id, &job, cx),
        None => Ok(()),
    }
}

fn cancel(call: &CancelReservation, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    let job = open_job(&call.job, cx)?;
    without_deal(&call.job, &job)?;
    for amount in &job.amounts {
        cx.require_member_as(&amount.dataset.holder, Role::Holder)?;
    }
    free(&call.job, &job, cx)
}

fn expire(call: &ExpireReservations, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    cx.require_any_member()?;
    let mut account = account(&call.dataset, cx)?;
    let before = account.reservations.len();
    let time = cx.time;
    account.reservations.retain(|_, held| held.expires > time);
    if account.reservations.len() == before {
        return Err(AccountRefusal::NothingExpired { dataset: call.dataset.clone() }.into());
    }
    Ok(cx.view.write(&slot::account(&call.dataset), &account)?)
}
