//! The release gate: what is submitted, who decides, and whether a release was approved.
//!
//! A refusal stops a review. It stands until the reviewer who gave it approves in its place, or
//! until the holder submits anew and names the refused review as superseded; then everybody has to
//! decide anew, and the refusal stays on record. An approval clears one release, once.

use std::collections::BTreeSet;

use salus_model::{PermitId, ReceiptId};

use super::context::endorser;
use super::permits;
use super::records::{Decision, PermitRecord, ReviewRecord, ReviewState};
use super::{Context, Contract, ContractVersion, Stop, accounts, misrouted};
use crate::call::{Call, DatasetUse, DecideReview, Release, SetReviewRule, SubmitForReview};
use crate::policy::{Endorser, Role};
use crate::review::ReviewRule;
use crate::state::{StateError, slot};
use crate::words::{PublicKey, ReviewId};

/// From this version of the accounts' rules on, a release without a bound needs a review.
pub(super) const SINCE: ContractVersion = ContractVersion::new(2);
/// From this version on, a review takes the place of others about its own datasets alone.
const OWN_DATASETS: ContractVersion = ContractVersion::new(3);
/// The most reviews that wait under one permit.
const MAX_WAITING: usize = 64;
/// The most decisions of one review, changes of mind included.
const MAX_DECISIONS: usize = 64;

super::refusal::refusals! {
    /// Rules of the release gate.
    ReviewRefusal {
        LaterRules = "reviews.later-rules",
            "reviews belong to version 2 of the accounts' rules, which does not decide yet";
        OldGate = "reviews.old-gate",
            "a digest of a decision clears nothing any more: submit the release for review, and name the review";
        NotReviewed = "reviews.not-reviewed",
            "a release without a bound needs a review; submit it, and have it approved";
        DecidedAlready = "reviews.decided-already",
            "what is submitted for review names no decision yet";
        Unknown { review: ReviewId } = "reviews.unknown", "there is no review {review}";
        Closed { review: ReviewId } = "reviews.closed",
            "review {review} has led to a release already, or was superseded";
        SubmittedAlready { review: ReviewId } = "reviews.submitted-already",
            "exactly this waits for review already, as {review}";
        RefusedBefore { review: ReviewId } = "reviews.refused-before",
            "review {review} about the same datasets was refused; name it as superseded";
        OtherDatasets { review: ReviewId } = "reviews.other-datasets",
            "review {review} is about a dataset that this is not made from; it is not this one's to supersede";
        TooManyWaiting { permit: PermitId } = "reviews.too-many-waiting",
            "64 reviews wait under permit {permit}; supersede those that are out of date";
        Score = "reviews.score",
            "the score is below what the rule of review asks for, or there is none";
        NoReviewer { key: PublicKey } = "reviews.no-reviewer",
            "key {key} is no reviewer of this: that takes the role officer, or the role reviewer at a holder of its datasets, and the key's own signature";
        Own { key: PublicKey } = "reviews.own",
            "key {key} would review its own: it submits or signs the release, or its organisation vouched for whoever asks";
        Twice { key: PublicKey } = "reviews.twice", "key {key} has said so already";
        TooManyDecisions { review: ReviewId } = "reviews.too-many-decisions",
            "review {review} has 64 decisions; submit anew and supersede it";
        OtherRelease { review: ReviewId } = "reviews.other-release",
            "review {review} is of another release than this";
        Refused { review: ReviewId, by: PublicKey } = "reviews.refused",
            "review {review} was refused by {by}, who has not approved since";
        NoApproval { key: PublicKey } = "reviews.no-approval",
            "no approval by key {key} counts now";
        TooFew { review: ReviewId, found: usize, needed: u8 } = "reviews.too-few",
            "review {review} has {found} approvals of the {needed} that it needs";
    }
}

pub(super) fn decide(call: &Call, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    if !in_force(cx)? {
        return Err(ReviewRefusal::LaterRules.into());
    }
    match call {
        Call::SubmitForReview(call) => submit(call, cx),
        Call::DecideReview(call) => decide_one(call, cx),
        Call::SetReviewRule(call) => set_rule(call, cx),
        other => Err(misrouted(other.method())),
    }
}

/// Whether the block is decided by rules that know reviews.
pub(super) fn in_force(cx: &Context<'_, '_>) -> Result<bool, Stop> {
    Ok(cx.version_of(Contract::Accounts)? >= SINCE)
}

/// The rule for what goes out of all these datasets together.
fn rule_of(uses: &[DatasetUse], cx: &Context<'_, '_>) -> Result<ReviewRule, Stop> {
    let mut rule = cx.config.form().review.unwrap_or(ReviewRule::STANDARD);
    for used in uses {
        if let Some(own) = cx.view.read(&slot::review_rule(&used.dataset))? {
            rule = rule.with(own);
        }
    }
    Ok(rule)
}

fn submit(call: &SubmitForReview, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    let release = &call.release;
    if release.gate.is_some() || release.review.is_some() {
        return Err(ReviewRefusal::DecidedAlready.into());
    }
    accounts::check_content(release, cx)?;
    if !rule_of(&release.uses, cx)?.takes(call.score) {
        return Err(ReviewRefusal::Score.into());
    }
    let id = cx.tx.review();
    let record = ReviewRecord {
        permit: release.permit.clone(),
        subject: subject(release)?,
        result: release.result,
        datasets: release.uses.iter().map(|used| used.dataset.clone()).collect(),
        report: call.report,
        score: call.score,
        submitted: cx.height,
        submitters: holders_keys(release, cx),
        supersedes: call.supersedes.clone(),
        decisions: Vec::new(),
        state: ReviewState::Waiting,
    };
    let mut waiting = waiting_under(&release.permit, cx)?;
    supersede(&call.supersedes, (&id, &record), &mut waiting, cx)?;
    check_beside(&record, &waiting, cx)?;
    waiting.insert(id);
    cx.view.write(&slot::reviews_waiting(&release.permit), &waiting)?;
    Ok(cx.view.write(&slot::review(&id), &record)?)
}

/// Closes reviews whose place a new one takes.
fn supersede(
    old: &BTreeSet<ReviewId>,
    (id, new): (&ReviewId, &ReviewRecord),
    waiting: &mut BTreeSet<ReviewId>,
    cx: &mut Context<'_, '_>,
) -> Result<(), Stop> {
    let own_datasets = cx.version_of(Contract::Accounts)? >= OWN_DATASETS;
    for review in old {
        let mut record = open(review, cx)?;
        if record.permit != new.permit || !waiting.remove(review) {
            return Err(ReviewRefusal::Unknown { review: *review }.into());
        }
        if own_datasets && !record.datasets.is_subset(&new.datasets) {
            return Err(ReviewRefusal::OtherDatasets { review: *review }.into());
        }
        record.state = ReviewState::Superseded(*id);
        cx.view.write(&slot::review(review), &record)?;
    }
    Ok(())
}

/// Whether a submission may stand beside the reviews that wait under its permit.
fn check_beside(
    new: &ReviewRecord,
    waiting: &BTreeSet<ReviewId>,
    cx: &Context<'_, '_>,
) -> Result<(), Stop> {
    for review in waiting {
        let review = *review;
        let other = open(&review, cx)?;
        if other.subject == new.subject {
            return Err(ReviewRefusal::SubmittedAlready { review }.into());
        }
        let shares = other.datasets.iter().any(|dataset| new.datasets.contains(dataset));
        if shares && !other.refused_by().is_empty() {
            return Err(ReviewRefusal::RefusedBefore { review }.into());
        }
    }
    if waiting.len() >= MAX_WAITING {
        return Err(ReviewRefusal::TooManyWaiting { permit: new.permit.clone() }.into());
    }
    Ok(())
}

fn subject(release: &Release) -> Result<crate::words::SubjectDigest, Stop> {
    release.subject().map_err(|source| StateError::Damaged { slot: "review", source }.into())
}

fn waiting_under(permit: &PermitId, cx: &Context<'_, '_>) -> Result<BTreeSet<ReviewId>, Stop> {
    Ok(cx.view.read(&slot::reviews_waiting(permit))?.unwrap_or_default())
}

/// A review that has led to nothing yet.
fn open(review: &ReviewId, cx: &Context<'_, '_>) -> Result<ReviewRecord, Stop> {
    let review = *review;
    let unknown = ReviewRefusal::Unknown { review };
    let record = cx.view.read(&slot::review(&review))?.ok_or(unknown)?;
    match record.state {
        ReviewState::Waiting => Ok(record),
        _ => Err(ReviewRefusal::Closed { review }.into()),
    }
}

/// The keys that sign for the holders of a release's datasets.
fn holders_keys(release: &Release, cx: &Context<'_, '_>) -> BTreeSet<PublicKey> {
    let holds = |endorser: &&Endorser| {
        endorser.roles.contains(&Role::Holder)
            && release.uses.iter().any(|used| used.dataset.holder == endorser.member)
    };
    cx.endorsers.iter().filter(holds).map(|endorser| endorser.key).collect()
}

fn decide_one(call: &DecideReview, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    let (review, key) = (call.review, call.reviewer);
    let mut record = open(&review, cx)?;
    let permit = permits::in_force(&record.permit, cx)?;
    let reviewer = cx.endorsers.iter().find(|e| e.key == key && record.is_reviewer(e));
    let Some(reviewer) = reviewer else { return Err(ReviewRefusal::NoReviewer { key }.into()) };
    if record.is_own(&permit, &key, &reviewer.member) {
        return Err(ReviewRefusal::Own { key }.into());
    }
    if record.verdict_of(&key) == Some(call.verdict) {
        return Err(ReviewRefusal::Twice { key }.into());
    }
    if record.decisions.len() >= MAX_DECISIONS {
        return Err(ReviewRefusal::TooManyDecisions { review }.into());
    }
    record.decisions.push(Decision {
        reviewer: key,
        member: reviewer.member.clone(),
        verdict: call.verdict,
        at: cx.height,
        transaction: cx.tx,
    });
    Ok(cx.view.write(&slot::review(&review), &record)?)
}

fn set_rule(call: &SetReviewRule, cx: &mut Context<'_, '_>) -> Result<(), Stop> {
    cx.require_member_as(&call.dataset.holder, Role::Holder)?;
    super::datasets::concerned(&call.dataset, cx)?;
    let slot = slot::review_rule(&call.dataset);
    match &call.rule {
        Some(rule) => Ok(cx.view.write(&slot, rule)?),
        None => {
            cx.view.delete(&slot);
            Ok(())
        }
    }
}

/// Whether a release may go out as far as the gate is concerned: one without a bound needs a
/// review of exactly itself, and one that names a review stands by it, bound or not.
pub(super) fn check(
    release: &Release,
    permit: &PermitRecord,
    cx: &Context<'_, '_>,
) -> Result<(), Stop> {
    if release.gate.is_some() {
        return Err(ReviewRefusal::OldGate.into());
    }
    let Some(reviewed) = &release.review else {
        let bounded = !release.has_unbounded_use();
        return if bounded { Ok(()) } else { Err(ReviewRefusal::NotReviewed.into()) };
    };
    let review = reviewed.review;
    let record = open(&review, cx)?;
    if record.subject != subject(release)? {
        return Err(ReviewRefusal::OtherRelease { review }.into());
    }
    if let Some(by) = record.refused_by().first() {
        return Err(ReviewRefusal::Refused { review, by: *by }.into());
    }
    let rule = rule_of(&release.uses, cx)?;
    if !rule.takes(record.score) {
        return Err(ReviewRefusal::Score.into());
    }
    let endorsers = in_good_standing(&reviewed.approvals, cx)?;
    let tally = record.tally(permit, &rule, &endorsers);
    let lacks = reviewed.approvals.difference(&tally.approvals).next();
    if let Some(key) = lacks {
        return Err(ReviewRefusal::NoApproval { key: *key }.into());
    }
    if let Some(key) = holders_keys(release, cx).intersection(&tally.approvals).next() {
        return Err(ReviewRefusal::Own { key: *key }.into());
    }
    if !tally.suffices(&rule) {
        let (found, needed) = (tally.different, rule.reviewers());
        return Err(ReviewRefusal::TooFew { review, found, needed }.into());
    }
    Ok(())
}

/// The keys among these that would be taken as signatures in this block, with what they may do.
fn in_good_standing(
    keys: &BTreeSet<PublicKey>,
    cx: &Context<'_, '_>,
) -> Result<Vec<Endorser>, Stop> {
    let mut found = Vec::new();
    for key in keys {
        match endorser(key, cx.view, cx.time) {
            Ok(endorser) => found.extend(endorser),
            // Revoked, expired, or of a member that is none any more.
            Err(Stop::Refused(_)) => {}
            Err(stop) => return Err(stop),
        }
    }
    Ok(found)
}

/// An approval clears one release: the review is closed by its receipt.
pub(super) fn close(
    release: &Release,
    receipt: &ReceiptId,
    cx: &mut Context<'_, '_>,
) -> Result<(), Stop> {
    let Some(reviewed) = &release.review else { return Ok(()) };
    let mut record = open(&reviewed.review, cx)?;
    record.state = ReviewState::Released(receipt.clone());
    cx.view.write(&slot::review(&reviewed.review), &record)?;
    let mut waiting = waiting_under(&release.permit, cx)?;
    waiting.remove(&reviewed.review);
    Ok(cx.view.write(&slot::reviews_waiting(&release.permit), &waiting)?)
}
