//! What is put on record about every statement.

use std::collections::{BTreeMap, BTreeSet};

use salus_model::{
    Class, Classified, ColumnPath, DatasetId, Purpose, RoleName, StaffId, Timestamp,
};
use salus_spine::{AccessRecord, Scope, SignedStatement};
use salus_store::audit::AccessKind;
use serde::Serialize;

/// How a statement ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It was answered.
    Answered {
        /// With so many rows.
        rows: u64,
    },
    /// Policy forbade it; no key was asked for.
    Refused {
        /// Why, without any value of a row.
        reason: String,
    },
    /// It failed.
    Failed {
        /// Why, without any value of a row.
        reason: String,
    },
    /// The person or their connection went away.
    Cancelled,
}

/// One access, or attempt: who, in which role, for what, which statement, columns, rows, when.
///
/// # Privacy
/// The statement is kept as it was written, and may name patients; the audit log is as sensitive
/// as the data.
#[derive(Debug, Clone, Serialize)]
pub struct AccessEvent {
    /// The holder, and the id of the statement.
    #[serde(skip)]
    pub scope: Scope,
    /// The statement's id.
    pub statement_id: String,
    /// Who asked.
    pub staff: StaffId,
    /// In which role; `policy` when a row rule was evaluated on the person's behalf.
    pub role: RoleName,
    /// For what.
    pub purpose: Purpose,
    /// What kind of access.
    pub kind: AccessKind,
    /// The SQL text or request line, without the values of its parameters.
    pub statement: String,
    /// The top-level columns that it named, by dataset, masked ones included.
    pub columns: BTreeMap<DatasetId, BTreeSet<ColumnPath>>,
    /// When it was asked.
    pub asked: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// The holder's audit log, or the way to it.
#[async_trait::async_trait]
pub trait AuditSink: Send + Sync {
    /// Puts an event on record for good and acknowledges it under the holder's signature.
    ///
    /// # Errors
    /// When the record is not durable; the answer is then withheld.
    async fn append(
        &self,
        event: AccessEvent,
    ) -> Result<SignedStatement<AccessRecord>, AuditFailed>;
}

/// An access could not be put on record.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the audit log cannot be written")]
pub struct AuditFailed;

impl Classified for AuditFailed {
    fn class(&self) -> Class {
        Class::Unavailable
    }
}
