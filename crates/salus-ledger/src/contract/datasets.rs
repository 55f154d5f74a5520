//! Datasets: names, versions and salted commitments. No row, count or key ever comes here.

use std::collections::BTreeMap;

use salus_model::{DatasetVersion, MicroRho};

use super::records::{Account, DatasetRecord};
use super::{Context, Stop, misrouted};
use crate::call::{Call, CommitDataset, RegisterDataset, SetDatasetPolicy};
use crate::policy::Role;
use crate::state::slot;
use crate::words::DatasetRef;

super::refusal::refusals! {
    /// Rules of the datasets contract.
    DatasetRefusal {
        Exists { dataset: DatasetRef } = "datasets.exists", "dataset {dataset} exists already";
        Unknown { dataset: DatasetRef } = "datasets.unknown", "there is no dataset {dataset}";
        NextVersion { wanted: DatasetVersion, found: DatasetVersion } = "datasets.next-version",
            "the next version is {wanted}, this one is {found}";
    }
}

pub(super) fn decide(call: &Call, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    match call {
        Call::RegisterDataset(call) => register(call, cx),
        Call::CommitDataset(call) => commit(call, cx),
        Call::SetDatasetPolicy(call) => set_policy(call, cx),
        other => Err(misrouted(other.method())),
    }
}

fn register(call: &RegisterDataset, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    let dataset = &call.dataset;
    cx.require_member_as(&dataset.holder, Role::Holder)?;
    if cx.view.holds(&slot::dataset(dataset))? {
        return Err(DatasetRefusal::Exists { dataset: dataset.clone() }.into());
    }
    let record =
        DatasetRecord { version: DatasetVersion::FIRST, commitment: call.commitment, policy: None };
    cx.view.write(&slot::dataset(dataset), &record)?;
    let account = Account {
        budget: call.budget,
        delta: call.delta,
        releases: call.releases,
        spent: MicroRho::ZERO,
        not_bounded: 0,
        reservations: BTreeMap::new(),
    };
    Ok(cx.view.write(&slot::account(dataset), &account)?)
}

/// The dataset's record, once its own policy is satisfied.
pub(super) fn concerned(dataset: &DatasetRef, cx: &Context<'_, '_>) -> Result<DatasetRecord, Stop> {
    let unknown = || DatasetRefusal::Unknown { dataset: dataset.clone() };
    let record = cx.view.read(&slot::dataset(dataset))?.ok_or_else(unknown)?;
    cx.require_policy_of(dataset, record.policy.as_ref())?;
    Ok(record)
}

fn commit(call: &CommitDataset, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    cx.require_member_as(&call.dataset.holder, Role::Holder)?;
    let mut record = concerned(&call.dataset, cx)?;
    let wanted = record.version.next();
    if call.version != wanted {
        return Err(DatasetRefusal::NextVersion { wanted, found: call.version }.into());
    }
    record.version = call.version;
    record.commitment = call.commitment;
    Ok(cx.view.write(&slot::dataset(&call.dataset), &record)?)
}

/// The present policy has to agree to its own replacement.
fn set_policy(call: &SetDatasetPolicy, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    cx.require_member_as(&call.dataset.holder, Role::Holder)?;
    let mut record = concerned(&call.dataset, cx)?;
    record.policy.clone_from(&call.policy);
    Ok(cx.view.write(&slot::dataset(&call.dataset), &record)?)
}
