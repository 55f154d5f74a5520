//! The release gate as a site uses it: a holder submits what wants out, reviewers decide, and the
//! release names the approvals that it goes out on.
//!
//! # Privacy
//! The ledger gets salted hashes and a score. The checks' report travels from the holder to the
//! reviewers as a file, and the result itself stays with the holder.

use std::collections::BTreeSet;

use salus_crypto::Digest;
use salus_ledger::call::{DecideReview, Release, SetReviewRule, SubmitForReview};
use salus_ledger::contract::records::{PermitRecord, ReviewRecord, ReviewState};
use salus_ledger::policy::Endorser;
use salus_ledger::proof::{EvidenceError, Fact, ProvenState, facts_of_key};
use salus_ledger::review::{ReviewRule, ReviewScore, Reviewed, Tally, Verdict};
use salus_ledger::{DatasetRef, Height, PublicKey, ReportDigest, ReviewId, TxId, cbor};
use salus_model::{Class, Classified, Entropy, EntropyFailed, PermitId, ReceiptId, Timestamp};
use salus_private::LedgerRefused;
use serde::{Deserialize, Serialize};

use crate::ledger::HolderLedger;

/// The most bytes of a report's file.
pub const MAX_REPORT_BYTES: usize = 16 * 1024 * 1024;
const FORMAT: u8 = 1;
const KIND: &str = "salus review report";

/// Bytes that are no report of the automatic checks.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It cannot be read.
    #[error("the file is no report of the automatic checks: {reason}")]
    Form {
        /// Why.
        reason: String,
    },
    /// It comes from a newer Salus.
    #[error("the report has format {found}; this Salus reads {FORMAT}")]
    Format {
        /// The format found.
        found: u8,
    },
    /// Larger than a report may be.
    #[error("a report has at most {MAX_REPORT_BYTES} bytes")]
    TooLarge,
    /// No salt can be drawn.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
}

impl Classified for ReportError {
    fn class(&self) -> Class {
        match self {
            Self::Entropy(_) => Class::Unavailable,
            _ => Class::BadRequest,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportForm {
    format: u8,
    kind: String,
    /// Random, so that nobody finds a report by hashing what it might say.
    salt: String,
    score: Option<ReviewScore>,
    checks: serde_json::Value,
}

/// The automatic checks' report about what wants out, as a file that goes to the reviewers.
///
/// # Privacy
/// It is made from the records and may tell small counts: it is for the reviewers, and not for
/// whoever asked. The ledger gets its digest, which covers the salt in it.
#[derive(Debug, Clone)]
pub struct ReviewReport {
    form: ReportForm,
    bytes: Vec<u8>,
}

impl ReviewReport {
    /// A report of what the checks gave.
    ///
    /// # Errors
    /// When no salt can be drawn, or it is too large.
    pub fn new(
        checks: serde_json::Value,
        score: Option<ReviewScore>,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, ReportError> {
        let mut salt = [0; 32];
        entropy.fill(&mut salt)?;
        let (kind, salt) = (KIND.to_owned(), hex::encode(salt));
        let form = ReportForm { format: FORMAT, kind, salt, score, checks };
        let bytes = serde_json::to_vec_pretty(&form)
            .map_err(|e| ReportError::Form { reason: e.to_string() })?;
        Self::from_bytes(&bytes)
    }

    /// Reads a report's file; whether it is the one that was submitted, its digest tells.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReportError> {
        if bytes.len() > MAX_REPORT_BYTES {
            return Err(ReportError::TooLarge);
        }
        let form: ReportForm = serde_json::from_slice(bytes)
            .map_err(|e| ReportError::Form { reason: e.to_string() })?;
        let salted = hex::decode(&form.salt).is_ok_and(|salt| salt.len() == 32);
        if form.kind != KIND || !salted {
            let reason = format!("its kind is not '{KIND}', or it has no salt of 32 bytes");
            return Err(ReportError::Form { reason });
        }
        if form.format != FORMAT {
            return Err(ReportError::Format { found: form.format });
        }
        Ok(Self { form, bytes: bytes.to_vec() })
    }

    /// The file, byte for byte as the digest covers it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the ledger is told of it.
    #[must_use]
    pub fn digest(&self) -> ReportDigest {
        ReportDigest::new(*Digest::of_parts("salus review report v1", &[&self.bytes]).as_bytes())
    }

    /// The score.
    #[must_use]
    pub const fn score(&self) -> Option<ReviewScore> {
        self.form.score
    }

    /// What the checks said.
    #[must_use]
    pub const fn checks(&self) -> &serde_json::Value {
        &self.form.checks
    }
}

/// Why a review tells nothing, or does not clear a release.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// There is no such review.
    #[error("there is no review {review} on this ledger")]
    Unknown {
        /// The review.
        review: ReviewId,
    },
    /// Too few approvals count.
    #[error(
        "review {review} waits: {found} approvals count of {needed} that are needed; reviewers decide by `salus gate approve`"
    )]
    Waiting {
        /// The review.
        review: ReviewId,
        /// How many count.
        found: usize,
        /// How many it takes.
        needed: u8,
    },
    /// It was refused.
    #[error(
        "review {review} was refused by {by}; submit a changed result that supersedes it, or have that reviewer decide anew"
    )]
    Refused {
        /// The review.
        review: ReviewId,
        /// By whom.
        by: PublicKey,
    },
    /// It led to a release, or another took its place.
    #[error("review {review} is closed: {why}")]
    Closed {
        /// The review.
        review: ReviewId,
        /// By what.
        why: String,
    },
    /// The ledger refused.
    #[error(transparent)]
    Ledger(#[from] LedgerRefused),
    /// The ledger's proofs do not hold.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// What is to be released cannot be encoded, which is a bug.
    #[error(transparent)]
    Encoding(#[from] cbor::CborError),
}

impl Classified for ReviewError {
    fn class(&self) -> Class {
        match self {
            Self::Unknown { .. } => Class::BadRequest,
            Self::Waiting { .. } | Self::Refused { .. } | Self::Closed { .. } => Class::Refused,
            Self::Ledger(e) => e.class(),
            Self::Evidence(e) => e.class(),
            Self::Encoding(_) => Class::Bug,
        }
    }
}

/// What became of a review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReviewOutcome {
    /// Too few approvals count yet.
    Waiting {
        /// How many count.
        found: usize,
        /// How many it takes.
        needed: u8,
    },
    /// It may be released, once, on these approvals.
    Approved(Reviewed),
    /// Somebody refused, and has not approved since.
    Refused {
        /// Who.
        by: BTreeSet<PublicKey>,
    },
    /// It was released.
    Released(ReceiptId),
    /// Another review took its place.
    Superseded(ReviewId),
}

/// A review as a proven state of the ledger has it.
#[derive(Debug, Clone)]
pub struct ReviewStanding {
    /// Which one.
    pub id: ReviewId,
    /// What was submitted, and every decision.
    pub record: ReviewRecord,
    /// The permit that it is under.
    pub permit: PermitRecord,
    /// What is asked for: the configuration's rule with those of the datasets.
    pub rule: ReviewRule,
    /// The approvals that count at that block.
    pub tally: Tally,
    /// When that block was made.
    pub time: Timestamp,
}

impl ReviewStanding {
    /// What became of it.
    #[must_use]
    pub fn outcome(&self) -> ReviewOutcome {
        match &self.record.state {
            ReviewState::Released(receipt) => return ReviewOutcome::Released(receipt.clone()),
            ReviewState::Superseded(by) => return ReviewOutcome::Superseded(*by),
            ReviewState::Waiting => {}
        }
        let by = self.record.refused_by();
        if !by.is_empty() {
            return ReviewOutcome::Refused { by };
        }
        if self.tally.suffices(&self.rule) && self.rule.takes(self.record.score) {
            let approvals = self.tally.approvals.clone();
            return ReviewOutcome::Approved(Reviewed { review: self.id, approvals });
        }
        ReviewOutcome::Waiting { found: self.tally.different, needed: self.rule.reviewers() }
    }
}

impl HolderLedger {
    /// Puts a release before the reviewers, as [`salus_spine::Held::receipt_wanted`] gives it
    /// without a review. Doing it again after a crash gives the same review.
    ///
    /// # Errors
    /// When a rule refuses it, which is named, or no validator answers.
    pub async fn submit_for_review(
        &self,
        release: &Release,
        report: &ReviewReport,
        supersedes: BTreeSet<ReviewId>,
    ) -> Result<ReviewId, ReviewError> {
        let call = SubmitForReview {
            release: release.clone(),
            report: report.digest(),
            score: report.score(),
            supersedes,
        };
        match self.submit(call).await {
            Ok(recorded) => Ok(recorded.entry.transaction.review()),
            Err(LedgerRefused::Rule { rule, says }) if rule == "reviews.submitted-already" => {
                let found = self.review_of(release).await?;
                let same = |(_, record): &(_, ReviewRecord)| record.report == report.digest();
                let refused = LedgerRefused::Rule { rule, says };
                found.filter(same).map(|(id, _)| id).ok_or_else(|| refused.into())
            }
            Err(refused) => Err(refused.into()),
        }
    }

    /// The review of exactly this release that waits, where there is one.
    ///
    /// # Errors
    /// When no validator gives a proof that holds.
    pub async fn review_of(
        &self,
        release: &Release,
    ) -> Result<Option<(ReviewId, ReviewRecord)>, ReviewError> {
        let subject = release.subject()?;
        let found = self.reviews_waiting(&release.permit).await?;
        Ok(found.into_iter().find(|(_, record)| record.subject == subject))
    }

    /// The reviews under a permit that have led to nothing yet, proved.
    ///
    /// # Errors
    /// When no validator gives a proof that holds.
    pub async fn reviews_waiting(
        &self,
        permit: &PermitId,
    ) -> Result<Vec<(ReviewId, ReviewRecord)>, ReviewError> {
        let state = self.state(&[Fact::ReviewsWaiting(permit.clone())]).await?;
        let waiting = state.reviews_waiting(permit)?;
        let facts: Vec<Fact> = waiting.iter().copied().map(Fact::Review).collect();
        if facts.is_empty() {
            return Ok(Vec::new());
        }
        let state = self.state(&facts).await?;
        let mut found = Vec::new();
        for review in waiting {
            found.extend(state.review(&review)?.map(|record| (review, record)));
        }
        Ok(found)
    }

    /// What the ledger's last state says of a review, proved.
    ///
    /// # Errors
    /// When there is none, or no validator gives a proof that holds.
    pub async fn review(&self, review: &ReviewId) -> Result<ReviewStanding, ReviewError> {
        let unknown = || ReviewError::Unknown { review: *review };
        let state = self.state(&[Fact::Review(*review)]).await?;
        let record = state.review(review)?.ok_or_else(unknown)?;
        let facts = self.facts_of(review, &record).await?;
        let state = self.state(&facts).await?;
        let record = state.review(review)?.ok_or_else(unknown)?;
        let permit = state.permit(&record.permit)?.ok_or_else(unknown)?;
        let mut rule = self.config().await?.form().review.unwrap_or(ReviewRule::STANDARD);
        for dataset in &record.datasets {
            if let Some(own) = state.review_rule(dataset)? {
                rule = rule.with(own);
            }
        }
        let tally = record.tally(&permit, &rule, &in_good_standing(&record, &state));
        Ok(ReviewStanding { id: *review, record, permit, rule, tally, time: state.time() })
    }

    /// Everything that it takes to count a review's approvals.
    async fn facts_of(
        &self,
        review: &ReviewId,
        record: &ReviewRecord,
    ) -> Result<Vec<Fact>, ReviewError> {
        let mut facts = vec![Fact::Review(*review), Fact::Permit(record.permit.clone())];
        facts.extend(record.datasets.iter().cloned().map(Fact::ReviewRule));
        let keys: Vec<Fact> = record.approved_by().into_iter().map(Fact::Key).collect();
        if keys.is_empty() {
            return Ok(facts);
        }
        let state = self.state(&keys).await?;
        for key in record.approved_by() {
            for fact in facts_of_key(&key, state.key(&key)?.as_ref()) {
                if !facts.contains(&fact) {
                    facts.push(fact);
                }
            }
        }
        Ok(facts)
    }

    /// The approvals on which a release may go out now; they go into the release that is recorded.
    ///
    /// # Errors
    /// Names what the review lacks: approvals, or that it was refused or is closed.
    pub async fn cleared(&self, review: &ReviewId) -> Result<Reviewed, ReviewError> {
        let review = *review;
        match self.review(&review).await?.outcome() {
            ReviewOutcome::Approved(reviewed) => Ok(reviewed),
            ReviewOutcome::Waiting { found, needed } => {
                Err(ReviewError::Waiting { review, found, needed })
            }
            ReviewOutcome::Refused { by } => match by.into_iter().next() {
                Some(by) => Err(ReviewError::Refused { review, by }),
                None => Err(ReviewError::Unknown { review }),
            },
            ReviewOutcome::Released(receipt) => {
                Err(ReviewError::Closed { review, why: format!("released as {receipt}") })
            }
            ReviewOutcome::Superseded(by) => {
                Err(ReviewError::Closed { review, why: format!("superseded by {by}") })
            }
        }
    }

    /// Records what this site's reviewer decides.
    ///
    /// # Errors
    /// When a rule refuses it, which is named, or no validator answers.
    pub async fn decide_review(
        &self,
        review: &ReviewId,
        verdict: Verdict,
    ) -> Result<TxId, LedgerRefused> {
        let call = DecideReview { review: *review, reviewer: self.key(), verdict };
        Ok(self.submit(call).await?.entry.transaction)
    }

    /// Whether this site's key may decide on a review, as far as a proven state tells.
    ///
    /// # Errors
    /// When no validator gives a proof that holds.
    pub async fn may_review(&self, standing: &ReviewStanding) -> Result<bool, ReviewError> {
        if standing.record.state != ReviewState::Waiting {
            return Ok(false);
        }
        let key = self.key();
        let state = self.state(&[Fact::Key(key)]).await?;
        let state = self.state(&facts_of_key(&key, state.key(&key)?.as_ref())).await?;
        let Ok(found) = state.key_standing(&key, state.time()) else { return Ok(false) };
        let own = standing.record.is_own(&standing.permit, &key, &found.member);
        let endorser = Endorser { member: found.member, key, roles: found.roles };
        Ok(standing.record.is_reviewer(&endorser) && !own)
    }

    /// Sets how many have to approve what goes out of a dataset of this holder, or takes its own
    /// rule away, so that the configuration's alone holds.
    ///
    /// # Errors
    /// When a rule refuses it, which is named, or no validator answers.
    pub async fn set_review_rule(
        &self,
        dataset: DatasetRef,
        rule: Option<ReviewRule>,
    ) -> Result<TxId, LedgerRefused> {
        Ok(self.submit(SetReviewRule { dataset, rule }).await?.entry.transaction)
    }

    /// Every review that was ever asked for, the latest first.
    ///
    /// # Errors
    /// When no validator tells its blocks.
    ///
    /// # Cost
    /// A page of blocks each 200. The ids come from one validator; what stands behind each,
    /// [`HolderLedger::review`] proves.
    pub async fn reviews(&self) -> Result<Vec<ReviewId>, LedgerRefused> {
        let (mut found, mut after) = (Vec::new(), Height::GENESIS);
        loop {
            let page = self.client().blocks(after).await.map_err(|e| crate::ledger::refused(&e))?;
            let Some(last) = page.last().map(|line| line.height) else { break };
            let submitted = page.iter().flat_map(|line| &line.transactions);
            let submitted = submitted.filter(|t| t.method == "accounts.submit-review");
            found.extend(submitted.map(|t| t.transaction.review()));
            after = last;
        }
        found.reverse();
        Ok(found)
    }
}

/// Those who approved and whose keys count in that state. A key of which nothing is proved, since
/// its approval came a moment ago, does not count yet.
fn in_good_standing(record: &ReviewRecord, state: &ProvenState) -> Vec<Endorser> {
    let standing = |key: PublicKey| {
        let found = state.key_standing(&key, state.time()).ok()?;
        Some(Endorser { member: found.member, key, roles: found.roles })
    };
    record.approved_by().into_iter().filter_map(standing).collect()
}

#[cfg(test)]
mod tests;
