use std::collections::BTreeMap;

use salus_model::DatasetId;
use serde::Serialize;

use super::config::SourceName;
use crate::fhir::{FhirReport, TableRows};
use crate::tabular::Reason;

/// How far a pull has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullProgress {
    /// The server makes an export, and says this of it.
    Waiting {
        /// Its words; empty when it has none.
        said: String,
    },
    /// Records come.
    Taking {
        /// Files or pages read to their end.
        files: u64,
        /// How many there are, where that is known.
        of: Option<u64>,
        /// Resources looked at.
        records: u64,
    },
}

/// What a pull did.
#[derive(Debug, Clone, Serialize)]
pub struct PullReport {
    /// The source.
    pub source: SourceName,
    /// Up to when everything is here, in the server's time.
    pub through: String,
    /// Resources accepted.
    pub accepted: u64,
    /// Resources that were here already.
    pub unchanged: u64,
    /// Resources deleted.
    pub deleted: u64,
    /// Resources quarantined.
    pub quarantined: u64,
    /// The dataset that keeps the quarantined resources; none when there are none.
    pub quarantine: Option<DatasetId>,
    /// How many resources were quarantined for what, by element and reason.
    pub reasons: Vec<Reason>,
    /// Rows by dataset.
    pub tables: Vec<TableRows>,
    /// What a person should know of the server.
    pub remarks: Vec<String>,
}

/// Adds up what the pieces of a pull did.
#[derive(Default)]
pub(crate) struct Sum {
    accepted: u64,
    unchanged: u64,
    deleted: u64,
    quarantined: u64,
    quarantine: Option<DatasetId>,
    reasons: BTreeMap<(String, String), u64>,
    tables: BTreeMap<DatasetId, u64>,
    pub(crate) remarks: Vec<String>,
}

impl Sum {
    pub(crate) fn add(&mut self, piece: FhirReport) {
        self.accepted += piece.accepted;
        self.unchanged += piece.unchanged;
        self.deleted += piece.deleted;
        self.quarantined += piece.quarantined;
        self.quarantine = piece.quarantine.or(self.quarantine.take());
        for reason in piece.reasons {
            *self.reasons.entry((reason.field, reason.reason)).or_default() += reason.records;
        }
        for table in piece.tables {
            *self.tables.entry(table.dataset).or_default() += table.rows;
        }
    }

    pub(crate) const fn records(&self) -> u64 {
        self.accepted + self.unchanged + self.deleted + self.quarantined
    }

    pub(crate) fn report(self, source: SourceName, through: String) -> PullReport {
        let reason = |((field, reason), records)| Reason { field, reason, records };
        PullReport {
            source,
            through,
            accepted: self.accepted,
            unchanged: self.unchanged,
            deleted: self.deleted,
            quarantined: self.quarantined,
            quarantine: self.quarantine,
            reasons: self.reasons.into_iter().map(reason).collect(),
            tables: self
                .tables
                .into_iter()
                .map(|(dataset, rows)| TableRows { dataset, rows })
                .collect(),
            remarks: self.remarks,
        }
    }
}
