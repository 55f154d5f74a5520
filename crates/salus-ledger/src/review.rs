//! The release gate: how many people have to approve what goes out without a bound, and which
//! approvals count.
//!
//! A release whose privacy loss has no bound is looked at by automatic checks and then by people.
//! The holder submits exactly what is to be released ([`crate::call::SubmitForReview`]), each
//! reviewer decides by a call of their own ([`crate::call::DecideReview`]), and the release itself
//! names the approvals that it goes out on ([`Reviewed`]). Every validator counts them again when
//! it executes the release: one that is on record as applied was approved.
//!
//! # Privacy
//! Nothing of what is reviewed comes here: a salted hash of the result, a salted hash of the
//! checks' report, a score in whole points. A reviewer appears as the key of an organisation.

use std::collections::BTreeSet;
use std::fmt;

use salus_model::{Class, Classified, MemberId};
use serde::{Deserialize, Serialize};

use crate::contract::records::{PermitRecord, ReviewRecord};
use crate::policy::{Endorser, Role};
use crate::words::{PublicKey, ReviewId};

/// The most reviewers that a rule may ask for.
pub const MAX_REVIEWERS: u8 = 8;

/// A score that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a score is a number from 0 to 100")]
pub struct ScoreError;

impl Classified for ScoreError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// What the automatic checks gave, in whole points from 0 to 100; more is safer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct ReviewScore(u8);

impl ReviewScore {
    /// A score of so many points.
    ///
    /// # Errors
    /// Above 100.
    pub const fn new(points: u8) -> Result<Self, ScoreError> {
        if points <= 100 { Ok(Self(points)) } else { Err(ScoreError) }
    }

    /// The whole points of a score, so that rounding never flatters.
    ///
    /// # Errors
    /// When it is not from 0 to 100.
    pub fn rounded_down(score: f64) -> Result<Self, ScoreError> {
        let points = (0..=100_u8).rev().find(|points| f64::from(*points) <= score);
        points.filter(|_| score <= 100.0).map(Self).ok_or(ScoreError)
    }

    /// The points.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for ReviewScore {
    type Error = ScoreError;
    fn try_from(points: u8) -> Result<Self, ScoreError> {
        Self::new(points)
    }
}

impl From<ReviewScore> for u8 {
    fn from(score: ReviewScore) -> Self {
        score.0
    }
}

impl fmt::Display for ReviewScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Whose approvals count as those of different people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Independence {
    /// Different keys, also of one organisation.
    Keys,
    /// Keys of different organisations.
    Members,
}

impl Independence {
    /// The word used in commands and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Members => "members",
        }
    }
}

/// The form of a [`ReviewRule`], before its check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewRuleForm {
    /// How many have to approve.
    pub reviewers: u8,
    /// Who counts as different.
    pub independence: Independence,
    /// The least score that may go out at all; without one, a score is not asked for.
    pub least_score: Option<ReviewScore>,
}

/// A rule that nobody could keep, or that asks for nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a rule of review asks for 1 to {MAX_REVIEWERS} reviewers, this one for {found}")]
pub struct ReviewRuleError {
    found: u8,
}

impl Classified for ReviewRuleError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// How many people have to approve, and who counts.
///
/// There is no rule that asks for nobody: the ledger cannot run the automatic checks again, so it
/// takes nobody's word that they passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ReviewRuleForm", into = "ReviewRuleForm")]
pub struct ReviewRule {
    reviewers: u8,
    independence: Independence,
    least_score: Option<ReviewScore>,
}

impl ReviewRule {
    /// What holds where the configuration states no rule: two reviewers with keys of their own.
    pub const STANDARD: Self =
        Self { reviewers: 2, independence: Independence::Keys, least_score: None };

    /// A rule.
    ///
    /// # Errors
    /// When it asks for nobody, or for more than [`MAX_REVIEWERS`].
    pub const fn new(form: ReviewRuleForm) -> Result<Self, ReviewRuleError> {
        let ReviewRuleForm { reviewers, independence, least_score } = form;
        if reviewers == 0 || reviewers > MAX_REVIEWERS {
            return Err(ReviewRuleError { found: reviewers });
        }
        Ok(Self { reviewers, independence, least_score })
    }

    /// How many have to approve.
    #[must_use]
    pub const fn reviewers(&self) -> u8 {
        self.reviewers
    }

    /// Who counts as different.
    #[must_use]
    pub const fn independence(&self) -> Independence {
        self.independence
    }

    /// The least score that may go out.
    #[must_use]
    pub const fn least_score(&self) -> Option<ReviewScore> {
        self.least_score
    }

    /// What satisfies both: a holder's rule comes on top of the configuration's, and can only ask
    /// for more.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            reviewers: self.reviewers.max(other.reviewers),
            independence: self.independence.max(other.independence),
            least_score: self.least_score.max(other.least_score),
        }
    }

    /// Whether a score suffices; where one is asked for, none does not.
    #[must_use]
    pub fn takes(&self, score: Option<ReviewScore>) -> bool {
        self.least_score.is_none_or(|least| score.is_some_and(|score| score >= least))
    }
}

impl TryFrom<ReviewRuleForm> for ReviewRule {
    type Error = ReviewRuleError;
    fn try_from(form: ReviewRuleForm) -> Result<Self, ReviewRuleError> {
        Self::new(form)
    }
}

impl From<ReviewRule> for ReviewRuleForm {
    fn from(rule: ReviewRule) -> Self {
        let ReviewRule { reviewers, independence, least_score } = rule;
        Self { reviewers, independence, least_score }
    }
}

/// What one reviewer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It may go out.
    Approve,
    /// It must not.
    Refuse,
}

impl Verdict {
    /// The word used in logs and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Refuse => "refuse",
        }
    }
}

/// The review that a release goes out on, and the approvals that it counts on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reviewed {
    /// The review: of exactly this release.
    pub review: ReviewId,
    /// The keys of the reviewers who approved; each of them has to count.
    pub approvals: BTreeSet<PublicKey>,
}

/// The approvals of a review that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// By which keys.
    pub approvals: BTreeSet<PublicKey>,
    /// Of how many that the rule takes for different.
    pub different: usize,
}

impl Tally {
    /// Whether the rule is satisfied.
    #[must_use]
    pub fn suffices(&self, rule: &ReviewRule) -> bool {
        self.different >= usize::from(rule.reviewers)
    }
}

impl ReviewRecord {
    /// What a reviewer said last.
    #[must_use]
    pub fn verdict_of(&self, reviewer: &PublicKey) -> Option<Verdict> {
        let said = self.decisions.iter().rev().find(|decision| decision.reviewer == *reviewer);
        said.map(|decision| decision.verdict)
    }

    /// The reviewers whose refusal stands, which is until each of them approves in its place.
    /// Also one whose key counts no longer: nobody else lifts a refusal.
    #[must_use]
    pub fn refused_by(&self) -> BTreeSet<PublicKey> {
        self.saying(Verdict::Refuse)
    }

    /// The reviewers whose approval stands, whether or not their keys count.
    #[must_use]
    pub fn approved_by(&self) -> BTreeSet<PublicKey> {
        self.saying(Verdict::Approve)
    }

    fn saying(&self, verdict: Verdict) -> BTreeSet<PublicKey> {
        let keys = self.decisions.iter().map(|decision| decision.reviewer);
        keys.filter(|key| self.verdict_of(key) == Some(verdict)).collect()
    }

    /// Whether the key may review this at all: an officer, or a reviewer of an organisation that
    /// holds one of the datasets.
    #[must_use]
    pub fn is_reviewer(&self, endorser: &Endorser) -> bool {
        let holds = || self.datasets.iter().any(|dataset| dataset.holder == endorser.member);
        endorser.roles.contains(&Role::Officer)
            || (endorser.roles.contains(&Role::Reviewer) && holds())
    }

    /// Whether the key would review what is its own: it submitted it, it is the person's who
    /// asked, or it is of an organisation that vouched for that person.
    #[must_use]
    pub fn is_own(&self, permit: &PermitRecord, key: &PublicKey, member: &MemberId) -> bool {
        self.submitters.contains(key) || permit.pseudonym == *key || permit.vouched.contains(member)
    }

    /// Which approvals count, of those whose keys are in good standing as `endorsers` says.
    #[must_use]
    pub fn tally(&self, permit: &PermitRecord, rule: &ReviewRule, endorsers: &[Endorser]) -> Tally {
        let counts = |endorser: &&Endorser| {
            self.verdict_of(&endorser.key) == Some(Verdict::Approve)
                && self.is_reviewer(endorser)
                && !self.is_own(permit, &endorser.key, &endorser.member)
        };
        let counted: Vec<&Endorser> = endorsers.iter().filter(counts).collect();
        let members: BTreeSet<&MemberId> = counted.iter().map(|e| &e.member).collect();
        let approvals: BTreeSet<PublicKey> = counted.iter().map(|e| e.key).collect();
        let different = match rule.independence {
            Independence::Keys => approvals.len(),
            Independence::Members => members.len(),
        };
        Tally { approvals, different }
    }
}

#[cfg(test)]
mod tests;
