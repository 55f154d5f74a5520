//! Permits: applied for by a person's key, decided by the hub's officer.

use std::collections::BTreeSet;

use salus_model::{MemberId, MicroRho, PermitId, Purpose, Timestamp};

use super::datasets::concerned;
use super::records::{PermitRecord, PermitSpending, PermitState};
use super::{Context, Contract, ContractVersion, Stop, misrouted};
use crate::call::{
    AmendPermit, ApplyForPermit, Call, GrantPermit, PermitTerms, RefusePermit, ReleaseRule,
    RevokePermit,
};
use crate::policy::Role;
use crate::state::slot;
use crate::words::{CodeHash, Column, DatasetRef, PublicKey};

/// The most datasets of one permit.
const MAX_GROUNDS: usize = 64;
/// The most columns of one dataset in a permit.
const MAX_COLUMNS: usize = 512;
/// Ten years of 366 days, in microseconds.
const TEN_YEARS_MICROS: i64 = 10 * 366 * 86_400 * 1_000_000;

super::refusal::refusals! {
    /// Rules of the permits contract.
    PermitRefusal {
        Unknown { permit: PermitId } = "permits.unknown", "there is no permit {permit}";
        NotSecondary { purpose: Purpose } = "permits.not-secondary",
            "purpose {purpose} is care, which needs no permit";
        NoGrounds = "permits.no-grounds", "a permit names 1 to 64 datasets, each once";
        NoColumns { dataset: DatasetRef } = "permits.no-columns",
            "a permit names 1 to 512 columns of dataset {dataset}";
        UnknownDataset { dataset: DatasetRef } = "permits.unknown-dataset",
            "there is no dataset {dataset}";
        PseudonymTaken { key: PublicKey } = "permits.pseudonym-taken",
            "key {key} was used before; make one for this permit alone";
        Over { expires: Timestamp } = "permits.over", "the permit would be over before it begins, at {expires}";
        TooLong { expires: Timestamp } = "permits.too-long",
            "a permit runs for ten years at most, not until {expires}";
        NotApplied { permit: PermitId } = "permits.not-applied",
            "permit {permit} was decided already";
        NotGranted { permit: PermitId } = "permits.not-granted",
            "permit {permit} is not granted";
        Revoked { permit: PermitId } = "permits.revoked", "permit {permit} was revoked";
        Expired { permit: PermitId } = "permits.expired", "permit {permit} has expired";
        StaleRevision { permit: PermitId } = "permits.stale-revision",
            "permit {permit} has changed since; look at it and decide anew";
        BelowSpent { dataset: DatasetRef } = "permits.below-spent",
            "the budget for {dataset} would be below what is spent and reserved";
        OtherPerson { permit: PermitId } = "permits.other-person",
            "permit {permit} belongs to another key";
        OutsideDataset { dataset: DatasetRef } = "permits.outside-dataset",
            "the permit does not cover dataset {dataset}";
        OutsideColumn { dataset: DatasetRef, column: Column } = "permits.outside-column",
            "the permit does not cover column {column} of {dataset}";
        OutsideCode { code: CodeHash } = "permits.outside-code",
            "the permit does not cover code {code}";
        DpOnly { permit: PermitId } = "permits.dp-only",
            "permit {permit} covers bounded releases only";
        Budget { dataset: DatasetRef } = "permits.budget",
            "the permit's budget for {dataset} does not suffice";
    }
}

pub(super) fn decide(call: &Call, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    match call {
        Call::ApplyForPermit(call) => apply(call, cx),
        Call::GrantPermit(call) => grant(call, cx),
        Call::RefusePermit(call) => refuse(call, cx),
        Call::AmendPermit(call) => amend(call, cx),
        Call::RevokePermit(call) => revoke(call, cx),
        other => Err(misrouted(other.method())),
    }
}

/// A member vouches that it knows the person; the person's key shows that it is theirs.
fn apply(call: &ApplyForPermit, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    cx.require_any_member()?;
    cx.require_pseudonym(&call.pseudonym)?;
    check_terms(&call.terms, cx)?;
    let taken = slot::pseudonym(&call.pseudonym);
    if cx.view.holds(&taken)? || cx.view.holds(&slot::key(&call.pseudonym))? {
        return Err(PermitRefusal::PseudonymTaken { key: call.pseudonym }.into());
    }
    let id = id_of(cx)?;
    let record = PermitRecord {
        pseudonym: call.pseudonym,
        terms: call.terms.clone(),
        state: PermitState::Applied,
        revision: 0,
        vouched: vouching(cx)?,
    };
    cx.view.write(&taken, &id)?;
    Ok(cx.view.write(&slot::permit(&id), &record)?)
}

/// The organisations that vouch for the person, where the rules keep them.
fn vouching(cx: &Context<'_, '_>) -> Result<BTreeSet<MemberId>, Stop> {
    if cx.version_of(Contract::Permits)? < ContractVersion::new(3) {
        return Ok(BTreeSet::new());
    }
    Ok(cx.endorsers.iter().map(|endorser| endorser.member.clone()).collect())
}

fn id_of(cx: &Context<'_, '_>) -> Result<PermitId, Stop> {
    cx.tx
        .permit()
        .map_err(|e| Stop::State(crate::state::StateError::Tree { reason: e.to_string() }))
}

fn check_terms(terms: &PermitTerms, cx: &Context<'_, '_>) -> Result<(), Stop> {
    if !terms.purpose.is_secondary() {
        return Err(PermitRefusal::NotSecondary { purpose: terms.purpose }.into());
    }
    let datasets: BTreeSet<_> = terms.grounds.iter().map(|ground| &ground.dataset).collect();
    if !(1..=MAX_GROUNDS).contains(&terms.grounds.len()) || datasets.len() != terms.grounds.len() {
        return Err(PermitRefusal::NoGrounds.into());
    }
    for ground in &terms.grounds {
        let dataset = ground.dataset.clone();
        if !(1..=MAX_COLUMNS).contains(&ground.columns.len()) {
            return Err(PermitRefusal::NoColumns { dataset }.into());
        }
        if !cx.view.holds(&slot::dataset(&dataset))? {
            return Err(PermitRefusal::UnknownDataset { dataset }.into());
        }
    }
    let expires = terms.expires;
    if expires <= cx.time {
        return Err(PermitRefusal::Over { expires }.into());
    }
    let version = cx.version_of(Contract::Permits)?;
    if version >= ContractVersion::new(2)
        && expires > cx.time.saturating_add_micros(TEN_YEARS_MICROS)
    {
        return Err(PermitRefusal::TooLong { expires }.into());
    }
    Ok(())
}

fn record(permit: &PermitId, cx: &Context<'_, '_>) -> Result<PermitRecord, Stop> {
    let unknown = || PermitRefusal::Unknown { permit: permit.clone() };
    Ok(cx.view.read(&slot::permit(permit))?.ok_or_else(unknown)?)
}

fn applied(permit: &PermitId, cx: &Context<'_, '_>) -> Result<PermitRecord, Stop> {
    let record = record(permit, cx)?;
    match record.state {
        PermitState::Applied => Ok(record),
        _ => Err(PermitRefusal::NotApplied { permit: permit.clone() }.into()),
    }
}

fn grant(call: &GrantPermit, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    cx.require_role(Role::Officer)?;
    let mut record = applied(&call.permit, cx)?;
    check_terms(&record.terms, cx)?;
    for ground in &record.terms.grounds {
        concerned(&ground.dataset, cx)?;
    }
    record.state = PermitState::Granted(cx.height);
    Ok(cx.view.write(&slot::permit(&call.permit), &record)?)
}

fn refuse(call: &RefusePermit, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    cx.require_role(Role::Officer)?;
    let mut record = applied(&call.permit, cx)?;
    record.state = PermitState::Refused(cx.height);
    Ok(cx.view.write(&slot::permit(&call.permit), &record)?)
}

/// The permit, when it is in force at the block's time.
pub(super) fn in_force(permit: &PermitId, cx: &Context<'_, '_>) -> Result<PermitRecord, Stop> {
    let record = record(permit, cx)?;
    let permit = permit.clone();
    match record.state {
        PermitState::Granted(_) => {}
        PermitState::Revoked { .. } => return Err(PermitRefusal::Revoked { permit }.into()),
        _ => return Err(PermitRefusal::NotGranted { permit }.into()),
    }
    if cx.time >= record.terms.expires {
        return Err(PermitRefusal::Expired { permit }.into());
    }
    Ok(record)
}

fn amend(call: &AmendPermit, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    cx.require_role(Role::Officer)?;
    let mut record = in_force(&call.permit, cx)?;
    if call.revision != record.revision {
        return Err(PermitRefusal::StaleRevision { permit: call.permit.clone() }.into());
    }
    check_terms(&call.terms, cx)?;
    for ground in &call.terms.grounds {
        concerned(&ground.dataset, cx)?;
    }
    let before: BTreeSet<_> = record.terms.grounds.iter().map(|g| g.dataset.clone()).collect();
    for dataset in before {
        let new = call.terms.grounds.iter().find(|ground| ground.dataset == dataset);
        let budget = new.map_or(MicroRho::ZERO, |ground| ground.budget);
        if super::accounts::used(&call.permit, &dataset, cx)?.is_none_or(|used| used > budget) {
            return Err(PermitRefusal::BelowSpent { dataset }.into());
        }
    }
    record.terms.clone_from(&call.terms);
    record.revision += 1;
    Ok(cx.view.write(&slot::permit(&call.permit), &record)?)
}

/// The person may give the permit back; an officer may take it.
fn revoke(call: &RevokePermit, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    let mut record = record(&call.permit, cx)?;
    if !cx.pseudonyms.contains(&record.pseudonym) {
        cx.require_role(Role::Officer)?;
    }
    if !matches!(record.state, PermitState::Granted(_)) {
        return Err(PermitRefusal::NotGranted { permit: call.permit.clone() }.into());
    }
    record.state = PermitState::Revoked { at: cx.height, reason: call.reason };
    Ok(cx.view.write(&slot::permit(&call.permit), &record)?)
}

/// The budget that a permit has for a dataset.
pub(super) fn budget_for(
    record: &PermitRecord,
    dataset: &DatasetRef,
) -> Result<MicroRho, PermitRefusal> {
    let ground = record.terms.grounds.iter().find(|ground| &ground.dataset == dataset);
    ground
        .map(|ground| ground.budget)
        .ok_or_else(|| PermitRefusal::OutsideDataset { dataset: dataset.clone() })
}

impl PermitRecord {
    /// Whether the permit covers these columns of a dataset.
    ///
    /// # Errors
    /// Names the dataset or the first column outside it.
    pub fn covers(
        &self,
        dataset: &DatasetRef,
        columns: &BTreeSet<Column>,
    ) -> Result<(), PermitRefusal> {
        let ground = self.terms.grounds.iter().find(|ground| &ground.dataset == dataset);
        let ground =
            ground.ok_or_else(|| PermitRefusal::OutsideDataset { dataset: dataset.clone() })?;
        match columns.difference(&ground.columns).next() {
            None => Ok(()),
            Some(column) => Err(PermitRefusal::OutsideColumn {
                dataset: dataset.clone(),
                column: column.clone(),
            }),
        }
    }
}

/// Whether the permit covers releases without a bound.
pub(super) fn allows_not_bounded(record: &PermitRecord) -> bool {
    record.terms.releases == ReleaseRule::GateAllowed
}

/// What a permit has spent on a dataset.
pub(super) fn spending(
    permit: &PermitId,
    dataset: &DatasetRef,
    cx: &Context<'_, '_>,
) -> Result<PermitSpending, Stop> {
    let none = PermitSpending { spent: MicroRho::ZERO, not_bounded: 0 };
    Ok(cx.view.read(&slot::spending(permit, dataset))?.unwrap_or(none))
}
