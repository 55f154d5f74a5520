use std::collections::{BTreeMap, BTreeSet};

use salus_crypto::Digest;
use salus_model::{ColumnPath, DatasetId, DealId, Purpose, RoleName, StaffId, Timestamp};
use serde::{Deserialize, Serialize};

/// What kind of access it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccessKind {
    /// A SQL statement.
    Sql,
    /// A FHIR read, search or history.
    FhirRead,
    /// A FHIR create, update, delete or transaction.
    FhirWrite,
    /// A question answered under a permit.
    UnderPermit,
    /// Data taken out as files.
    Export,
    /// Master keys made, rotated, revoked or destroyed.
    KeyOperation,
    /// Accounts, policies, settings.
    Administration,
    /// Compaction, verification, trimming.
    Upkeep,
    /// Reading this log.
    AuditReading,
}

/// Why an access was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalReason {
    /// Who asked could not be established.
    Authentication,
    /// The policy does not allow it.
    Policy,
    /// The person whose data it is has objected.
    Consent,
    /// The privacy budget does not suffice.
    Budget,
    /// The grant or permit had ended.
    Expired,
    /// A key was revoked, destroyed or withheld.
    Key,
    /// The request itself was malformed.
    Malformed,
    /// A limit on memory, time or rows was reached.
    Limit,
}

/// How an access ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// It was answered.
    Answered {
        /// How many rows (or resources) went out.
        rows: u64,
    },
    /// It was refused, and nothing went out.
    Refused {
        /// Why.
        reason: RefusalReason,
    },
    /// It failed; whether part of the answer went out is unknown.
    Failed,
}

/// One access, as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditEntry {
    /// The deal or statement under which it was.
    pub deal: DealId,
    /// Who.
    pub staff: StaffId,
    /// In which role.
    pub role: RoleName,
    /// For what.
    pub purpose: Purpose,
    /// What kind of access.
    pub kind: AccessKind,
    /// The SQL statement or request line, as it was asked.
    pub statement: String,
    /// Which leaf columns of which datasets.
    pub datasets: BTreeMap<DatasetId, BTreeSet<ColumnPath>>,
    /// How it ended.
    pub outcome: Outcome,
}

/// An entry with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRecord {
    /// The format of this record.
    pub format: u32,
    /// Its place, counted from 1 without gaps.
    pub sequence: u64,
    /// When it was recorded, by the holder's clock.
    pub at: Timestamp,
    /// The chain's head before it.
    pub previous: Digest,
    /// What happened.
    pub entry: AuditEntry,
}

impl AuditRecord {
    /// The format that this Salus writes.
    pub const FORMAT: u32 = 1;
}

/// A place in the log and the chain's head there: who remembers one finds out when anything up to
/// it was changed or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditHead {
    /// The record's place; 0 before the first.
    pub sequence: u64,
    /// The chain's head after it.
    pub head: Digest,
}

impl From<&salus_spine::AccessRecord> for AuditHead {
    fn from(record: &salus_spine::AccessRecord) -> Self {
        Self { sequence: record.sequence, head: record.head }
    }
}

/// The chain's head after a record, over the exact bytes that are stored.
///
/// # Source
/// Schneier and Kelsey, Secure Audit Logs to Support Computer Forensics, 1999, section 3: the hash
/// chain; the authentication of entries is the journal's.
pub(super) fn extended(previous: Digest, stored: &[u8]) -> Digest {
    Digest::of_parts("salus audit chain v1", &[previous.as_bytes(), stored])
}
