use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::review::{ReviewRule, ReviewScore, Verdict};
use crate::words::{DatasetRef, PublicKey, ReportDigest, ReviewId};

use super::Release;

/// Puts a release before the reviewers, word for word as it shall be recorded.
///
/// Every holder signs it, as for the release. Nothing is charged.
///
/// # Privacy
/// What people look at stays with the holder: the result's hash and the report's are salted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitForReview {
    /// What is to be released, without `gate` and without `review`.
    pub release: Release,
    /// The salted digest of the automatic checks' report.
    pub report: ReportDigest,
    /// What the checks gave; none where they give no score, as for a plot.
    pub score: Option<ReviewScore>,
    /// Waiting reviews under the permit that this takes the place of. A refused one about any of
    /// the datasets has to be among them, so that no refusal is passed over in silence.
    pub supersedes: BTreeSet<ReviewId>,
}

/// One reviewer's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecideReview {
    /// The review. Its id is the hash of what was submitted, so that the decision is about exactly
    /// that release, report and score.
    pub review: ReviewId,
    /// The reviewer's key; it has to sign.
    pub reviewer: PublicKey,
    /// What the reviewer says, in place of what they said before.
    pub verdict: Verdict,
}

/// Sets how many have to approve what goes out of a dataset without a bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetReviewRule {
    /// The dataset.
    pub dataset: DatasetRef,
    /// The rule, on top of the configuration's; none takes it away.
    pub rule: Option<ReviewRule>,
}
