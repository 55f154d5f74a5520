use salus_ledger::block::HistoryEntry;
use salus_ledger::call::{AttestationRef, Ground, Release};
use salus_ledger::contract::records::{PermitRecord, PermitState, ReceiptRecord};
use salus_ledger::query;
use salus_model::{MicroRho, PermitId, PrivacyCharge, ReceiptId};

use super::{damaged, loss, release_rule};
use crate::explorer::answers::{
    ChargeLine, GroundLine, PermitLine, PermitPage, ReceiptDetail, ReceiptLine, ReceiptPage,
    SignerLine, UseLine,
};
use crate::explorer::index::{Filter, Index, List, member_of};
use crate::store::{StoreError, View};

fn ground_line(
    view: &View,
    permit: &PermitId,
    ground: &Ground,
) -> Result<Option<GroundLine>, StoreError> {
    let account = query::account(view, &ground.dataset).map_err(damaged("account"))?;
    let Some(account) = account else { return Ok(None) };
    let (delta, time) = (account.delta, view.tip().time);
    let held = account.reservations.values();
    let reserved = held
        .filter(|held| held.permit == *permit && held.expires > time)
        .filter_map(|held| match held.charge {
            PrivacyCharge::Bounded(rho) => Some(rho),
            PrivacyCharge::NotBounded => None,
        })
        .try_fold(MicroRho::ZERO, MicroRho::checked_add)
        .ok_or(StoreError::Damaged { what: "account" })?;
    let spending = query::spending(view, permit, &ground.dataset).map_err(damaged("spending"))?;
    let spent = spending.as_ref().map_or(MicroRho::ZERO, |spending| spending.spent);
    let gone = spent.checked_add(reserved).ok_or(StoreError::Damaged { what: "account" })?;
    // No amendment goes below what is spent and reserved.
    let left = ground.budget.checked_sub(gone).unwrap_or(MicroRho::ZERO);
    Ok(Some(GroundLine {
        dataset: ground.dataset.to_string(),
        columns: ground.columns.iter().map(ToString::to_string).collect(),
        budget: loss(ground.budget, delta)?,
        spent: loss(spent, delta)?,
        reserved: loss(reserved, delta)?,
        left: loss(left, delta)?,
        not_bounded: spending.map_or(0, |spending| spending.not_bounded),
    }))
}

fn state(state: &PermitState) -> (&'static str, Option<u64>, Option<String>) {
    match state {
        PermitState::Applied => ("applied", None, None),
        PermitState::Granted(at) => ("granted", Some(at.get()), None),
        PermitState::Refused(at) => ("refused", Some(at.get()), None),
        PermitState::Revoked { at, reason } => {
            let reason = serde_json::to_value(reason).ok();
            let reason = reason.and_then(|word| word.as_str().map(ToOwned::to_owned));
            ("revoked", Some(at.get()), reason)
        }
    }
}

fn line(view: &View, id: &PermitId, record: &PermitRecord) -> Result<PermitLine, StoreError> {
    let terms = &record.terms;
    let grounds = terms.grounds.iter().filter_map(|g| ground_line(view, id, g).transpose());
    let (word, state_since, reason) = state(&record.state);
    Ok(PermitLine {
        id: id.to_string(),
        pseudonym: record.pseudonym.to_string(),
        state: word.to_owned(),
        state_since,
        reason,
        expired: terms.expires <= view.tip().time,
        purpose: terms.purpose.as_str().to_owned(),
        code: terms.code.map(|code| code.to_string()),
        releases: release_rule(terms.releases).to_owned(),
        expires: terms.expires.to_string(),
        revision: record.revision,
        grounds: grounds.collect::<Result<_, _>>()?,
    })
}

pub(in crate::explorer) fn detail(
    view: &View,
    id: &PermitId,
) -> Result<Option<PermitLine>, StoreError> {
    let record = query::permit(view, id).map_err(damaged("permit"))?;
    record.map(|record| line(view, id, &record)).transpose()
}

fn entry(view: &View, at: u64) -> Result<HistoryEntry, StoreError> {
    let entry = view.entries(at, 1)?.into_iter().next();
    entry.ok_or(StoreError::Damaged { what: "entry" })
}

/// Permits by their applications.
pub(in crate::explorer) fn page(
    view: &View,
    index: &Index,
    filter: Filter,
    before: Option<u64>,
    limit: usize,
) -> Result<PermitPage, StoreError> {
    let before = before.unwrap_or(u64::MAX).min(view.tip().history_size);
    let filter = Filter { list: Some(List::Applications), ..filter };
    let page = index.page(&filter, before, limit)?;
    let mut items = Vec::new();
    for at in page.places {
        let id = entry(view, at)?.transaction.permit().map_err(damaged("permit"))?;
        items.extend(detail(view, &id)?);
    }
    Ok(PermitPage { items, next: page.next })
}

fn receipt_line(
    view: &View,
    id: &ReceiptId,
    record: &ReceiptRecord,
) -> Result<ReceiptLine, StoreError> {
    let mut charges = Vec::new();
    for charge in &record.charges {
        let account = query::account(view, &charge.dataset).map_err(damaged("account"))?;
        let delta = account.ok_or(StoreError::Damaged { what: "account" })?.delta;
        let loss = match charge.charge {
            PrivacyCharge::Bounded(rho) => Some(loss(rho, delta)?),
            PrivacyCharge::NotBounded => None,
        };
        charges.push(ChargeLine { dataset: charge.dataset.to_string(), loss });
    }
    let height = record.height;
    let header = view.header(height)?.ok_or(StoreError::NoBlock { height })?;
    Ok(ReceiptLine {
        id: id.to_string(),
        transaction: record.transaction.to_string(),
        height: height.get(),
        time: header.time.to_string(),
        permit: record.permit.to_string(),
        charges,
    })
}

pub(in crate::explorer) fn receipts(
    view: &View,
    index: &Index,
    filter: Filter,
    before: Option<u64>,
    limit: usize,
) -> Result<ReceiptPage, StoreError> {
    let before = before.unwrap_or(u64::MAX).min(view.tip().history_size);
    let filter = Filter { list: Some(List::Releases), ..filter };
    let page = index.page(&filter, before, limit)?;
    let mut items = Vec::new();
    for at in page.places {
        let id = entry(view, at)?.transaction.receipt().map_err(damaged("receipt"))?;
        let Some(record) = query::receipt(view, &id).map_err(damaged("receipt"))? else { continue };
        items.push(receipt_line(view, &id, &record)?);
    }
    Ok(ReceiptPage { items, next: page.next })
}

pub(in crate::explorer) fn receipt(
    view: &View,
    id: &ReceiptId,
) -> Result<Option<ReceiptDetail>, StoreError> {
    let Some(record) = query::receipt(view, id).map_err(damaged("receipt"))? else {
        return Ok(None);
    };
    let recorded = view.recorded(&record.transaction)?;
    let transaction = match &recorded {
        Some(recorded) => view.transaction(recorded)?,
        None => None,
    };
    let release = transaction.as_ref().and_then(|signed| signed.transaction().call().release());
    let reviewed = release.and_then(|release| release.review.as_ref());
    let mut approvals = Vec::new();
    for key in reviewed.iter().flat_map(|reviewed| &reviewed.approvals) {
        let member = member_of(view, key)?.map(|member| member.to_string());
        approvals.push(SignerLine { key: key.to_string(), member });
    }
    Ok(Some(ReceiptDetail {
        line: receipt_line(view, id, &record)?,
        actor: release.map(|release| release.actor.to_string()),
        uses: release.map_or_else(Vec::new, uses),
        code: release.map(|release| release.code.to_string()),
        input: release.map(|release| release.input.to_string()),
        result: release.map(|release| release.result.to_string()),
        attestation: release.map(|release| match release.attestation {
            AttestationRef::Premises => "premises".to_owned(),
            AttestationRef::Evidence(digest) => digest.to_string(),
        }),
        gate: release.and_then(|release| release.gate).map(|gate| gate.to_string()),
        review: reviewed.map(|reviewed| reviewed.review.to_string()),
        approvals,
    }))
}

fn uses(release: &Release) -> Vec<UseLine> {
    release
        .uses
        .iter()
        .map(|used| UseLine {
            dataset: used.dataset.to_string(),
            version: used.version.number(),
            columns: used.columns.iter().map(ToString::to_string).collect(),
            opt_out_epoch: used.optout_epoch,
        })
        .collect()
}
