use salus_ledger::TxId;
use salus_ledger::block::{self, HistoryEntry};
use salus_ledger::call::{Call, Method};

use super::damaged;
use crate::explorer::answers::{
    About, Outcome, SignerLine, TransactionDetail, TransactionLine, TransactionPage,
};
use crate::explorer::index::{Filter, Index, Subject, member_of};
use crate::store::{Recorded, StoreError, View};

impl From<&block::Outcome> for Outcome {
    fn from(outcome: &block::Outcome) -> Self {
        match outcome {
            block::Outcome::Applied => Self { word: "applied".into(), rule: None },
            block::Outcome::Refused(rule) => {
                Self { word: "refused".into(), rule: Some(rule.as_str().to_owned()) }
            }
        }
    }
}

impl From<Subject> for About {
    fn from(subject: Subject) -> Self {
        match subject {
            Subject::Member(member) => Self::Member { id: member.to_string() },
            Subject::Dataset(dataset) => Self::Dataset { id: dataset.to_string() },
            Subject::Permit(permit) => Self::Permit { id: permit.to_string() },
        }
    }
}

pub(in crate::explorer) fn line(
    index: &Index,
    at: u64,
    entry: &HistoryEntry,
) -> Result<TransactionLine, StoreError> {
    Ok(TransactionLine {
        id: entry.transaction.to_string(),
        history_index: at,
        height: entry.height.get(),
        time: entry.time.to_string(),
        method: entry.method.as_str().to_owned(),
        outcome: Outcome::from(&entry.outcome),
        about: index.subjects(at)?.into_iter().map(About::from).collect(),
    })
}

pub(in crate::explorer) fn page(
    view: &View,
    index: &Index,
    filter: &Filter,
    before: Option<u64>,
    limit: usize,
) -> Result<TransactionPage, StoreError> {
    let before = before.unwrap_or(u64::MAX).min(view.tip().history_size);
    let page = index.page(filter, before, limit)?;
    let mut items = Vec::with_capacity(page.places.len());
    for at in page.places {
        let entries = view.entries(at, 1)?;
        let entry = entries.first().ok_or(StoreError::Damaged { what: "entry" })?;
        items.push(line(index, at, entry)?);
    }
    Ok(TransactionPage { items, next: page.next })
}

pub(in crate::explorer) fn detail(
    view: &View,
    index: &Index,
    at: &Recorded,
) -> Result<TransactionDetail, StoreError> {
    let entry = &at.entry;
    let height = entry.height;
    let header = view.header(height)?.ok_or(StoreError::NoBlock { height })?;
    let transaction = view.transaction(at)?;
    let mut signers = Vec::new();
    for key in transaction.iter().flat_map(|signed| signed.keys()) {
        let member = member_of(view, key)?.map(|member| member.to_string());
        signers.push(SignerLine { key: key.to_string(), member });
    }
    let said = transaction.as_ref().map(salus_ledger::transaction::SignedTransaction::transaction);
    Ok(TransactionDetail {
        line: line(index, at.history_index, entry)?,
        index: u64::from(entry.index),
        block: header.hash().map_err(damaged("block"))?.to_string(),
        envelope: entry.envelope.to_string(),
        last: said.map(|said| said.last().get()),
        signers,
        content: said.map(|said| content(said.call())).transpose()?,
        created: created(entry.method, &entry.transaction),
    })
}

/// The fields of a call, without the name of its kind.
fn content(call: &Call) -> Result<serde_json::Value, StoreError> {
    let value = serde_json::to_value(call).map_err(damaged("transaction"))?;
    match value {
        serde_json::Value::Object(kinds) => {
            Ok(kinds.into_iter().next().map_or(serde_json::Value::Null, |(_, fields)| fields))
        }
        other => Ok(other),
    }
}

fn created(method: Method, id: &TxId) -> Option<String> {
    match method {
        Method::ApplyForPermit => id.permit().ok().map(|id| id.to_string()),
        method if method.is_release() => id.receipt().ok().map(|id| id.to_string()),
        Method::Reserve => id.job().ok().map(|id| id.to_string()),
        Method::OpenDeal => id.deal().ok().map(|id| id.to_string()),
        Method::PostOrder => Some(id.order().to_string()),
        Method::RegisterArtefact => Some(id.artefact().to_string()),
        Method::SubmitForReview => Some(id.review().to_string()),
        _ => None,
    }
}
