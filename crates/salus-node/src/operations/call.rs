use salus_ledger::call::{PermitTerms, RevocationReason};
use salus_ledger::review::{ReviewRule, Verdict};
use salus_ledger::{ReviewId, TxId};
use salus_model::{DatasetId, KeyName, PermitId, Purpose, RoleName, Timestamp};
use salus_query::Answer;
use salus_store::audit::{AuditEntry, AuditFilter, AuditHead, AuditRecord};
use serde::{Deserialize, Serialize};

use crate::gate::{GateCall, GateReply};
use crate::published::PublishedDataset;
use crate::releasing::{ReleaseDone, ReleaseWanted};
use crate::sharing::{AccountTerms, Shared};

/// What an operator asks of a site.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "call", content = "of", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Call {
    /// Whether it is there.
    Status,
    /// To answer a statement.
    Sql(SqlCall),
    /// To change a master key.
    Key {
        /// The key.
        key: KeyName,
        /// How.
        change: KeyChange,
    },
    /// To destroy a dataset with its quarantine.
    ShredDataset {
        /// The dataset.
        dataset: DatasetId,
    },
    /// To read the access log.
    ReadAudit {
        /// Which records.
        filter: AuditFilter,
    },
    /// To walk the access log's chain.
    VerifyAudit {
        /// Heads that were kept elsewhere.
        remembered: Vec<AuditHead>,
    },
    /// To remove access records beyond the retention.
    TrimAudit,
    /// To put on record that a process which serves keys let one be used.
    RecordKeyUse {
        /// The record.
        entry: Box<AuditEntry>,
    },
    /// To leave the access log to a node that starts.
    HandOver,
    /// To look at or change the list of those who opted out.
    OptOuts(OptOutChange),
    /// To put a dataset on the ledger, or to commit to its newest version there.
    Share {
        /// The dataset.
        dataset: DatasetId,
        /// Its account, which it gets once.
        account: Option<AccountTerms>,
    },
    /// To apply for a permit, or to decide on one.
    Permit(PermitCall),
    /// To decide on what wants out, or to say how many have to.
    Review(ReviewCall),
    /// To release a dataset as another one, by a plan.
    Release(Box<ReleaseWanted>),
    /// To say what was released.
    Published,
    /// To look at what waits for reviewers here, or to bring a file before them.
    Gate(GateCall),
}

/// What is decided at the release gate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ReviewCall {
    /// Approves or refuses what is under review.
    Decide {
        /// The review.
        review: ReviewId,
        /// What is said.
        verdict: Verdict,
    },
    /// Sets how many have to approve what goes out of a dataset, or takes the dataset's own rule
    /// away.
    Rule {
        /// The dataset.
        dataset: DatasetId,
        /// The rule.
        rule: Option<ReviewRule>,
    },
}

impl ReviewCall {
    pub(super) fn statement(&self) -> String {
        match self {
            Self::Decide { review, verdict } => format!("{} review {review}", verdict.as_str()),
            Self::Rule { dataset, .. } => format!("set the rule of review of dataset {dataset}"),
        }
    }
}

/// A change to the list of those who opted out.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum OptOutChange {
    /// None: to look at it.
    List,
    /// These people opt out.
    Add(Vec<String>),
    /// These people withdraw their opt-out.
    Withdraw(Vec<String>),
}

impl std::fmt::Debug for OptOutChange {
    /// Without the people.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::List => f.write_str("List"),
            Self::Add(people) => write!(f, "Add({} people)", people.len()),
            Self::Withdraw(people) => write!(f, "Withdraw({} people)", people.len()),
        }
    }
}

/// The list of those who opted out.
#[derive(Clone, Serialize, Deserialize)]
pub struct OptOutsShown {
    /// The epoch, as on the ledger.
    pub epoch: u64,
    /// The people.
    pub people: Vec<String>,
    /// How many were added or taken off just now.
    pub changed: usize,
}

impl std::fmt::Debug for OptOutsShown {
    /// Without the people.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OptOutsShown(epoch {}, {} people)", self.epoch, self.people.len())
    }
}

/// An application for a permit, or a decision on one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum PermitCall {
    /// Applies, for a person who appears as a new key.
    Apply(PermitTerms),
    /// Grants an application.
    Grant(PermitId),
    /// Refuses an application.
    Refuse(PermitId),
    /// Changes the terms of a granted permit.
    Amend {
        /// The permit.
        permit: PermitId,
        /// Its revision that the change is based on.
        revision: u64,
        /// The terms from now on.
        terms: PermitTerms,
    },
    /// Revokes a permit.
    Revoke {
        /// The permit.
        permit: PermitId,
        /// Why.
        reason: RevocationReason,
    },
}

impl PermitCall {
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Apply(_) => "apply for a permit",
            Self::Grant(_) => "grant",
            Self::Refuse(_) => "refuse",
            Self::Amend { .. } => "amend",
            Self::Revoke { .. } => "revoke",
        }
    }

    pub(super) const fn permit(&self) -> Option<&PermitId> {
        match self {
            Self::Apply(_) => None,
            Self::Grant(permit) | Self::Refuse(permit) => Some(permit),
            Self::Amend { permit, .. } | Self::Revoke { permit, .. } => Some(permit),
        }
    }
}

/// A permit's transaction, on the ledger for good.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PermitDone {
    /// The permit.
    pub permit: PermitId,
    /// The transaction.
    pub transaction: TxId,
}

/// A statement of the operator.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlCall {
    /// The statement.
    pub statement: String,
    /// In which role.
    pub role: RoleName,
    /// For what.
    pub purpose: Purpose,
    /// The most rows.
    pub rows: usize,
    /// The most memory.
    pub memory_bytes: usize,
    /// The most time.
    pub seconds: u64,
}

/// A change to a master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyChange {
    /// A new version, with everything under it wrapped anew.
    Rotate,
    /// No use until it is reinstated.
    Revoke,
    /// The revocation is taken back.
    Reinstate,
    /// Destroyed for ever.
    Shred,
}

impl KeyChange {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Rotate => "rotate",
            Self::Revoke => "revoke",
            Self::Reinstate => "reinstate",
            Self::Shred => "shred",
        }
    }
}

/// What a change to a key did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyChanged {
    /// The key.
    pub key: KeyName,
    /// How many versions it has after a rotation.
    pub versions: usize,
    /// Which datasets were wrapped anew.
    pub datasets: Vec<DatasetId>,
    /// How many files of them.
    pub files: usize,
    /// How many sealed objects.
    pub objects: usize,
    /// Files that keep their key material inside, and need the older versions of the key.
    pub internal: usize,
}

impl KeyChanged {
    pub(super) fn of(key: &KeyName) -> Self {
        let datasets = Vec::new();
        Self { key: key.clone(), versions: 0, datasets, files: 0, objects: 0, internal: 0 }
    }
}

/// What the destruction of a dataset did.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Shredded {
    /// The datasets that are gone.
    pub datasets: Vec<DatasetId>,
    /// The master keys that are gone.
    pub keys: Vec<KeyName>,
    /// How many objects were removed.
    pub objects: usize,
}

/// What a walk over the access log found.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct AuditChecked {
    /// The first record that is kept.
    pub first: u64,
    /// The last one, and the chain's head.
    pub head: AuditHead,
    /// How many remembered heads were compared.
    pub compared: usize,
}

/// What expiry of the access log did.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Removed {
    /// How many segments went.
    pub segments: usize,
    /// Records before this moment may go.
    pub before: Timestamp,
}

/// A process that has the site's access log open.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Status {
    /// Its id.
    pub process: u32,
    /// How many access records there are.
    pub records: u64,
}

/// What a site answers an operator.
#[derive(Debug)]
pub enum Reply {
    /// A statement's answer.
    Answer(Answer),
    /// What became of a key.
    Key(KeyChanged),
    /// What became of a dataset.
    Shredded(Shredded),
    /// Access records.
    Records(Vec<AuditRecord>),
    /// A whole access log.
    Checked(AuditChecked),
    /// What expired.
    Removed(Removed),
    /// It is there.
    Status(Status),
    /// It is on record.
    Recorded,
    /// Who opted out.
    OptOuts(OptOutsShown),
    /// What became of a dataset on the ledger.
    Shared(Shared),
    /// What became of a permit.
    Permit(PermitDone),
    /// It was decided at the release gate, by this transaction.
    Reviewed(TxId),
    /// What became of a release.
    Released(Box<ReleaseDone>),
    /// What was released.
    Published(Vec<PublishedDataset>),
    /// What waits for reviewers here.
    Gate(GateReply),
}
