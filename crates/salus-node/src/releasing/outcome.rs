//! What is asked of a release, and what comes of it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use salus_ledger::ReviewId;
use salus_ledger::contract::records::Decision;
use salus_ledger::review::{Independence, ReviewScore};
use salus_model::{DatasetId, MicroRho, PermitId};
use serde::{Deserialize, Serialize};

use crate::published::{PublishedDataset, from_base64};

/// What is to be released.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseWanted {
    /// The dataset.
    pub dataset: DatasetId,
    /// Under which permit.
    pub permit: PermitId,
    /// The plan's text.
    pub plan: String,
    /// Where the files are that the plan names.
    pub folder: PathBuf,
}

/// What became of a release.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReleaseDone {
    /// What came of it.
    pub outcome: ReleaseOutcome,
    /// The permit.
    pub permit: PermitId,
    /// What this command charged; nothing when an earlier one did, or where the release has no
    /// bound.
    pub charged: Option<Charged>,
    /// The receipt's file, in base64; none while nothing is on record.
    pub receipt: Option<String>,
}

impl ReleaseDone {
    /// The receipt's file.
    #[must_use]
    pub fn receipt_file(&self) -> Option<Vec<u8>> {
        self.receipt.as_deref().and_then(from_base64)
    }

    /// The certificate as PDF or as a page; none when nothing was published.
    #[must_use]
    pub fn certificate(&self, form: CertificateForm) -> Option<Vec<u8>> {
        match (&self.outcome, form) {
            (ReleaseOutcome::Withheld { .. } | ReleaseOutcome::UnderReview(_), _) => None,
            (ReleaseOutcome::Published { pdf, .. }, CertificateForm::Pdf) => from_base64(pdf),
            (ReleaseOutcome::Published { html, .. }, CertificateForm::Html) => {
                Some(html.clone().into_bytes())
            }
        }
    }
}

/// How a certificate is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateForm {
    /// As a page that needs nothing else.
    Html,
    /// As a tagged PDF.
    Pdf,
}

/// What a release has cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Charged {
    /// In the unit of the account.
    pub micro_rho: MicroRho,
    /// The same as ε at the account's δ.
    pub epsilon: f64,
}

/// What came of a release.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseOutcome {
    /// It is published.
    Published {
        /// As everybody sees it.
        published: Box<PublishedDataset>,
        /// What was measured, for the steward; none when an earlier command showed it.
        report: Option<serde_json::Value>,
        /// The certificate as a page.
        html: String,
        /// The certificate as PDF, in base64.
        pdf: String,
    },
    /// Nothing is published.
    Withheld {
        /// Why.
        words: String,
    },
    /// It has no bound, and people decide on it: nothing is published yet, and nothing booked.
    UnderReview(Box<UnderReview>),
}

/// A release that is before its reviewers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UnderReview {
    /// The review.
    pub review: ReviewId,
    /// What it is called once it is out: the dataset's name, or the file's.
    pub name: String,
    /// The dataset whose records it was made from.
    pub source: DatasetId,
    /// Where it stands.
    pub state: GateState,
    /// Whether this command put it there.
    pub submission: Submission,
    /// How many approvals count now.
    pub approvals: usize,
    /// How many it takes.
    pub needed: u8,
    /// Of keys, or of organisations.
    pub of: Independence,
    /// The score that the ledger was told.
    pub score: Option<ReviewScore>,
    /// Every decision in its order; of each reviewer the last one counts.
    pub decisions: Vec<Decision>,
    /// The reviews whose place it took.
    pub supersedes: BTreeSet<ReviewId>,
    /// The report for the reviewers, in base64: the file whose digest the ledger has.
    pub report: String,
}

impl UnderReview {
    /// The report's file.
    #[must_use]
    pub fn report_file(&self) -> Option<Vec<u8>> {
        from_base64(&self.report)
    }
}

/// Where something stands that is before its reviewers. One that they have approved goes out by
/// the next command, and does not stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateState {
    /// Too few approvals count yet.
    Waiting,
    /// A reviewer refused, and has not approved since.
    Refused,
}

/// How something came before its reviewers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Submission {
    /// By this command.
    Now,
    /// By an earlier one, of the same plan, dataset version and opt-outs.
    Earlier,
}
