use std::collections::BTreeSet;

use salus_model::{DatasetVersion, JobId, PermitId, PrivacyCharge, Timestamp};
use serde::{Deserialize, Serialize};

use crate::cbor::{self, CborError};
use crate::review::Reviewed;
use crate::words::{
    AttestationDigest, CodeHash, Column, Commitment, DatasetRef, GateDecision, PublicKey,
    ResultHash, SubjectDigest, tagged_hash,
};

/// What one job used of one dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetUse {
    /// The dataset.
    pub dataset: DatasetRef,
    /// The version that was read.
    pub version: DatasetVersion,
    /// The columns that were read.
    pub columns: BTreeSet<Column>,
    /// The epoch of the holder's opt-out list that was applied; 0 when it has none.
    pub optout_epoch: u64,
    /// What it costs.
    pub charge: PrivacyCharge,
}

/// Where the computation ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttestationRef {
    /// On the premises of the holders.
    Premises,
    /// Elsewhere, under evidence with this digest.
    Evidence(AttestationDigest),
}

/// What a receipt says.
///
/// # Privacy
/// No query text, no literal, no count and no seed: the input commitment and the result hash are
/// salted, and the salts stay with whoever computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The person's key for the permit.
    pub actor: PublicKey,
    /// The permit.
    pub permit: PermitId,
    /// Dataset by dataset, each once; every holder has to sign.
    pub uses: Vec<DatasetUse>,
    /// The code that ran.
    pub code: CodeHash,
    /// A salted commitment to what was read.
    pub input: Commitment,
    /// The salted hash of the sealed result.
    pub result: ResultHash,
    /// Where it ran.
    pub attestation: AttestationRef,
    /// Under the first version of the accounts' rules: the release gate's decision; a charge
    /// without a bound needs one, signed by an officer. Later versions take none.
    pub gate: Option<GateDecision>,
    /// From the second version on: the review of exactly this release, and the approvals that it
    /// goes out on; a charge without a bound needs it. The first version refuses it, so that a
    /// release which is on record with it was decided by rules that count the approvals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Reviewed>,
}

impl Release {
    /// What reviewers decide on: everything that the release says, but for who decided.
    ///
    /// # Errors
    /// None in practice: a release can always be encoded.
    pub fn subject(&self) -> Result<SubjectDigest, CborError> {
        let bare = Self { gate: None, review: None, ..self.clone() };
        Ok(SubjectDigest::new(tagged_hash("salus-ledger/review/v1", &cbor::encode(&bare)?)))
    }

    /// Whether any dataset's loss has no bound.
    #[must_use]
    pub fn has_unbounded_use(&self) -> bool {
        self.uses.iter().any(|used| used.charge == PrivacyCharge::NotBounded)
    }
}

/// Charges and records a short job in one transaction; only then is it released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordRelease {
    /// The receipt.
    pub release: Release,
}

/// Which answer of a standing question a release is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Tick {
    /// The first, which is charged for all of them.
    First {
        /// How many there will be at the most.
        ticks: u32,
    },
    /// A later one, for nothing.
    Next {
        /// The job that the first one began.
        job: JobId,
        /// The answer's number; the first is 1.
        number: u32,
    },
}

/// Records one answer of a standing question, whose first answer is charged for all.
///
/// # Privacy
/// The loss of all answers together is bounded by the charge of the first: by the mechanism that
/// the job's code runs, which the ledger cannot see. What it sees to is that no more answers go out
/// than were charged for, each number once, and none after the permit's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordTick {
    /// Which answer.
    pub tick: Tick,
    /// The receipt; a later answer charges nothing.
    pub release: Release,
}

/// What is set aside on one dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reserved {
    /// The dataset.
    pub dataset: DatasetRef,
    /// The most that the job may cost.
    pub charge: PrivacyCharge,
}

/// Reserves budget for a long job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reserve {
    /// The permit.
    pub permit: PermitId,
    /// Dataset by dataset, each once; every holder has to sign.
    pub amounts: Vec<Reserved>,
    /// When the reservation runs out and returns.
    pub expires: Timestamp,
}

/// Charges a long job against its reservation and records it; what is left over returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitReservation {
    /// The job.
    pub job: JobId,
    /// The receipt; no charge above what is reserved.
    pub release: Release,
}

/// Returns a reservation that was not used; every holder has to sign that nothing was released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelReservation {
    /// The job.
    pub job: JobId,
}

/// Returns the reservations of a dataset that have run out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpireReservations {
    /// The dataset.
    pub dataset: DatasetRef,
}
