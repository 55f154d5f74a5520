use salus_ledger::contract::records::{Account, DatasetRecord};
use salus_ledger::{DatasetRef, cbor, query};
use salus_model::{DatasetId, MemberId, Timestamp};

use super::{MAX_RECORD_BYTES, cut, damaged, loss, release_rule};
use crate::explorer::answers::{AccountLine, DatasetLine, DatasetPage};
use crate::store::{StoreError, View};

const DATASETS: &[u8] = b"dataset/";

/// `holder/dataset`.
pub(in crate::explorer) fn parse(text: &str) -> Option<DatasetRef> {
    let (holder, dataset) = text.split_once('/')?;
    let holder = MemberId::new(holder).ok()?;
    Some(DatasetRef { holder, dataset: DatasetId::new(dataset).ok()? })
}

fn account_line(account: &Account, time: Timestamp) -> Result<AccountLine, StoreError> {
    let overdrawn = || StoreError::Damaged { what: "account" };
    let reserved = account.reserved_at(time).ok_or_else(overdrawn)?;
    let left = account.left_at(time).ok_or_else(overdrawn)?;
    let delta = account.delta;
    Ok(AccountLine {
        delta_exponent: delta.get(),
        budget: loss(account.budget, delta)?,
        spent: loss(account.spent, delta)?,
        reserved: loss(reserved, delta)?,
        left: loss(left, delta)?,
        not_bounded: account.not_bounded,
        releases: release_rule(account.releases).to_owned(),
    })
}

fn line(
    view: &View,
    dataset: &DatasetRef,
    record: &DatasetRecord,
) -> Result<DatasetLine, StoreError> {
    let account = query::account(view, dataset).map_err(damaged("account"))?;
    Ok(DatasetLine {
        id: dataset.to_string(),
        holder: dataset.holder.to_string(),
        dataset: dataset.dataset.to_string(),
        version: record.version.number(),
        commitment: record.commitment.to_string(),
        policy: record.policy.as_ref().map(ToString::to_string),
        account: account.as_ref().map(|a| account_line(a, view.tip().time)).transpose()?,
    })
}

pub(in crate::explorer) fn page(
    view: &View,
    after: Option<&str>,
    limit: usize,
) -> Result<DatasetPage, StoreError> {
    let after = after.map(|after| [DATASETS, after.as_bytes()].concat());
    let mut items = Vec::new();
    for (key, value) in view.page(DATASETS, after.as_deref(), limit + 1)? {
        let record = cbor::decode(&value, MAX_RECORD_BYTES).map_err(damaged("dataset"))?;
        let name = String::from_utf8_lossy(key.get(DATASETS.len()..).unwrap_or_default());
        let dataset = parse(&name).ok_or(StoreError::Damaged { what: "dataset" })?;
        items.push(line(view, &dataset, &record)?);
    }
    let next = cut(&mut items, limit, |line: &DatasetLine| line.id.clone());
    Ok(DatasetPage { items, next })
}

pub(in crate::explorer) fn detail(
    view: &View,
    dataset: &DatasetRef,
) -> Result<Option<DatasetLine>, StoreError> {
    let record = query::dataset(view, dataset).map_err(damaged("dataset"))?;
    record.map(|record| line(view, dataset, &record)).transpose()
}
