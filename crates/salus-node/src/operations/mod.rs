//! What an operator may ask of a site: statements, changes to keys, the access log.
//!
//! Each is put on record, and the access log is one process's at a time. So while a node runs, an
//! operator's command asks the node, over a socket in the site's folder; and does it itself when
//! none runs. Both ways lead to [`Operations::perform`].
//!
//! # Privacy
//! The socket lies in a folder of the site's owner alone, and a call has to prove that whoever
//! sends it can use the site's master key: it is sealed under it, with the time.

mod call;
mod gate;
mod key_log;
mod on_ledger;
mod release;
mod socket;
mod study;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use salus_crypto::OsEntropy;
use salus_keys::{KeyInfo, KeyStoreError};
use salus_model::{
    Class, Classified, ColumnPath, DatasetId, DealId, Entropy as _, EntropyFailed, IdError,
    KeyName, Purpose, RoleName, StaffId, Timestamp,
};
use salus_query::{AccessToken, Limits, QueryError, Request};
use salus_spine::{AuditReading, AuditReadingOrder, StatementRefused, Upkeep};
use salus_store::audit::{
    AccessKind, AuditEntry, AuditError, AuditFilter, AuditHead, AuditLog, AuditRecord, Outcome,
};
use salus_store::{Lake, LakeError};
use tokio::sync::mpsc;

pub use self::call::{
    AuditChecked, Call, KeyChange, KeyChanged, OptOutChange, OptOutsShown, PermitCall, PermitDone,
    Removed, Reply, ReviewCall, Shredded, SqlCall, Status,
};
pub use self::key_log::{KeyLog, KeyLogError};
pub use self::on_ledger::OnLedger;
pub use self::socket::{CallError, Listening, call_node, listen};
use crate::Operator;
use crate::site::{Site, SiteError};

/// Columns of datasets that were seen.
type Accessed = BTreeMap<DatasetId, BTreeSet<ColumnPath>>;

/// The role in which uses of keys by other programs are on record.
pub const KEY_CLIENT: &str = "key-client";
/// The role in which the operator's own work is on record.
const OPERATOR: &str = "operator";
/// How long an order to read the access log holds.
const ORDER_MICROS: i64 = 60_000_000;

/// How long the access log is continued in one segment; records go with their segment.
const SEGMENT_MICROS: i64 = 30 * 24 * 3_600_000_000;

/// Why an operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// The statement was refused or failed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The site refused.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The lake refused.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The key store refused.
    #[error(transparent)]
    Key(#[from] KeyStoreError),
    /// The access log refused.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The holder's own order was refused, which is a bug.
    #[error("the site's own order is refused")]
    Order(#[from] StatementRefused),
    /// A key without which the site itself does not open.
    #[error("the key '{key}' opens the site itself; without it nothing of the site can be read")]
    SitesOwn {
        /// The key.
        key: KeyName,
    },
    /// A node keeps the access log for as long as it runs.
    #[error("a node runs on this site already")]
    Stays,
    /// Something else was to be recorded as the use of a key.
    #[error("this is no record of the use of a key")]
    NoKeyUse,
    /// The membership of the ledger cannot be used.
    #[error(transparent)]
    Membership(#[from] crate::membership::MembershipError),
    /// The dataset is not shared.
    #[error(transparent)]
    Share(#[from] crate::sharing::ShareError),
    /// The permit cannot be used.
    #[error(transparent)]
    Permit(#[from] crate::permits::PermitError),
    /// The dataset is not released.
    #[error(transparent)]
    Release(#[from] Box<crate::releasing::ReleaseError>),
    /// It does not come before the reviewers, or not out.
    #[error(transparent)]
    Gate(#[from] Box<crate::gate::GateError>),
    /// The opt-outs do not get onto the ledger.
    #[error(transparent)]
    Ledger(#[from] salus_private::LedgerRefused),
    /// The ledger's proofs do not hold.
    #[error(transparent)]
    Evidence(#[from] salus_ledger::proof::EvidenceError),
    /// The list here is not the one on the ledger.
    #[error(
        "the opt-out list here is of epoch {here}, the ledger is at epoch {there}: restore the newest opt-outs file from a backup"
    )]
    OptOutEpoch {
        /// The list's epoch.
        here: u64,
        /// The ledger's.
        there: u64,
    },
    /// No random bytes.
    #[error("no id can be drawn")]
    Entropy(#[from] EntropyFailed),
    /// A fixed name does not fit, which is a bug.
    #[error("a fixed name does not fit")]
    Name(#[from] IdError),
}

impl Classified for OperationError {
    fn class(&self) -> Class {
        match self {
            Self::Query(e) => e.class(),
            Self::Site(e) => e.class(),
            Self::Lake(e) => e.class(),
            Self::Key(e) => e.class(),
            Self::Audit(e) => e.class(),
            Self::SitesOwn { .. } | Self::Stays | Self::NoKeyUse => Class::Refused,
            Self::Membership(e) => e.class(),
            Self::Share(e) => e.class(),
            Self::Permit(e) => e.class(),
            Self::Release(e) => e.class(),
            Self::Gate(e) => e.class(),
            Self::Ledger(e) => e.class(),
            Self::Evidence(e) => e.class(),
            Self::OptOutEpoch { .. } => Class::Corrupt,
            Self::Entropy(_) => Class::Unavailable,
            Self::Order(_) | Self::Name(_) => Class::Bug,
        }
    }
}

/// A site with its access log open: what operators ask is done and put on record.
#[derive(Clone)]
pub struct Operations {
    site: Site,
    audit: Arc<AuditLog>,
    /// Who is told that a node wants the access log; none where it stays.
    hand_over: Option<mpsc::Sender<()>>,
    on_ledger: Option<OnLedger>,
    /// One release of a dataset at a time.
    releasing: Arc<tokio::sync::Mutex<()>>,
}

/// What a call's statement may use.
fn limits(sql: &SqlCall) -> Limits {
    let cores = std::thread::available_parallelism().unwrap_or(std::num::NonZeroUsize::MIN);
    Limits {
        memory_bytes: sql.memory_bytes,
        time: Duration::from_secs(sql.seconds),
        rows: sql.rows,
        statement_bytes: 256 * 1024,
        nesting: 50,
        partitions: cores,
        at_once: cores,
    }
}

fn deal() -> Result<DealId, OperationError> {
    let mut random = [0; 16];
    OsEntropy.fill(&mut random)?;
    Ok(DealId::new(format!("o-{}", hex::encode(random)))?)
}

impl Operations {
    /// Operations on a site whose access log is open here.
    #[must_use]
    pub fn new(site: Site, audit: Arc<AuditLog>) -> Self {
        Self { site, audit, hand_over: None, on_ledger: None, releasing: Arc::default() }
    }

    /// The same, where the access log is left to a node that asks for it.
    pub(crate) fn handing_over(self, tell: mpsc::Sender<()>) -> Self {
        Self { hand_over: Some(tell), ..self }
    }

    /// The same on a site whose ledger and desk are open here.
    #[must_use]
    pub fn with_ledger(self, on_ledger: OnLedger) -> Self {
        Self { on_ledger: Some(on_ledger), ..self }
    }

    /// The site.
    #[must_use]
    pub const fn site(&self) -> &Site {
        &self.site
    }

    /// Does what an operator asks.
    ///
    /// # Errors
    /// When it is refused or fails; the record says so then.
    pub async fn perform(&self, operator: &StaffId, call: Call) -> Result<Reply, OperationError> {
        match call {
            Call::Status => Ok(Reply::Status(self.status())),
            Call::Sql(sql) => self.sql(operator, sql).await,
            Call::Key { key, change } => self.change_key(operator, &key, change).await,
            Call::ShredDataset { dataset } => self.shred_dataset(operator, &dataset).await,
            Call::ReadAudit { filter } => {
                Ok(Reply::Records(self.read_audit(operator, &filter).await?))
            }
            Call::VerifyAudit { remembered } => self.verify_audit(&remembered).await,
            Call::TrimAudit => self.trim_audit(operator).await,
            Call::RecordKeyUse { entry } => self.record_key_use(*entry).await,
            Call::HandOver => {
                let tell = self.hand_over.as_ref().ok_or(OperationError::Stays)?;
                // Full when it was asked for a moment ago.
                let _ = tell.try_send(());
                Ok(Reply::Status(self.status()))
            }
            Call::OptOuts(change) => self.opt_outs(operator, change).await,
            Call::Share { dataset, account } => self.share(operator, &dataset, account).await,
            Call::Permit(call) => self.permit(operator, call).await,
            Call::Review(call) => self.review(operator, call).await,
            Call::Release(wanted) => self.release(operator, *wanted).await,
            Call::Published => Ok(Reply::Published(self.published().await?)),
            Call::Gate(call) => Ok(Reply::Gate(self.gate(operator, call).await?)),
        }
    }

    fn status(&self) -> Status {
        Status { process: std::process::id(), records: self.audit.head().sequence }
    }

    async fn record_key_use(&self, entry: AuditEntry) -> Result<Reply, OperationError> {
        if entry.kind != AccessKind::KeyOperation || entry.role.as_str() != KEY_CLIENT {
            return Err(OperationError::NoKeyUse);
        }
        self.audit.append(entry).await?;
        Ok(Reply::Recorded)
    }

    async fn sql(&self, operator: &StaffId, sql: SqlCall) -> Result<Reply, OperationError> {
        let limits = limits(&sql);
        let operator = Arc::new(Operator::new(operator.clone(), sql.role, sql.purpose));
        let gateway = self.site.gateway(operator, Arc::clone(&self.audit), limits)?;
        let request = Request { sql: sql.statement, role: None, parameters: Vec::new() };
        Ok(Reply::Answer(gateway.answer(&AccessToken::new(String::new()), request).await?))
    }

    /// Puts on record that something is about to be done.
    async fn record(
        &self,
        operator: &StaffId,
        (kind, statement): (AccessKind, String),
        datasets: Accessed,
        outcome: Outcome,
    ) -> Result<(), OperationError> {
        let entry = AuditEntry {
            deal: deal()?,
            staff: operator.clone(),
            role: RoleName::new(OPERATOR)?,
            purpose: Purpose::Operations,
            kind,
            statement,
            datasets,
            outcome,
        };
        self.audit.append(entry).await?;
        Ok(())
    }

    /// Does what is on record already; a failure goes on record too.
    async fn recorded<T>(
        &self,
        operator: &StaffId,
        kind: AccessKind,
        statement: String,
        work: impl Future<Output = Result<T, OperationError>>,
    ) -> Result<T, OperationError> {
        self.recorded_about(operator, (kind, statement), Accessed::new(), work).await
    }

    /// The same, where the data of datasets are seen.
    async fn recorded_about<T>(
        &self,
        operator: &StaffId,
        (kind, statement): (AccessKind, String),
        datasets: Accessed,
        work: impl Future<Output = Result<T, OperationError>>,
    ) -> Result<T, OperationError> {
        // Before and not after: what was done without a record could never be told.
        let begun = Outcome::Answered { rows: 0 };
        self.record(operator, (kind, statement.clone()), datasets.clone(), begun).await?;
        let done = work.await;
        if done.is_err() {
            self.record(operator, (kind, statement), datasets, Outcome::Failed).await?;
        }
        done
    }

    async fn change_key(
        &self,
        operator: &StaffId,
        key: &KeyName,
        change: KeyChange,
    ) -> Result<Reply, OperationError> {
        if *key == self.site.master && matches!(change, KeyChange::Revoke | KeyChange::Shred) {
            return Err(OperationError::SitesOwn { key: key.clone() });
        }
        let keys = &self.site.keys;
        let work = async {
            let mut changed = KeyChanged::of(key);
            match change {
                KeyChange::Rotate => {
                    let info: KeyInfo = keys.rotate(key).await?;
                    changed.versions = info.versions.len();
                    self.rewrap(key, &mut changed).await?;
                }
                KeyChange::Revoke => keys.revoke(key).await?,
                KeyChange::Reinstate => keys.reinstate(key).await?,
                KeyChange::Shred => keys.shred(key).await?,
            }
            Ok(changed)
        };
        let statement = format!("{} key {key}", change.word());
        let changed = self.recorded(operator, AccessKind::KeyOperation, statement, work).await?;
        Ok(Reply::Key(changed))
    }

    /// Wraps what is under a rotated key anew.
    async fn rewrap(&self, key: &KeyName, changed: &mut KeyChanged) -> Result<(), OperationError> {
        if *key == self.site.master {
            changed.objects += self.audit.rewrap().await?;
        }
        let lake: &Arc<Lake> = &self.site.lake;
        for dataset in lake.datasets().await? {
            let Ok(snapshot) = lake.snapshot(&dataset, None).await else { continue };
            let footer = format!("{dataset}.footer");
            let uses = |choice: &salus_store::KeyChoice| {
                choice.key_name(&dataset).is_ok_and(|name| name == *key)
            };
            if key.as_str() == footer || snapshot.manifest().keys.values().any(uses) {
                let done = lake.rewrap(&dataset).await?;
                changed.files += done.files;
                changed.objects += done.objects;
                changed.internal += done.internal;
                changed.datasets.push(dataset);
            }
        }
        Ok(())
    }

    /// Destroys a dataset, and the quarantine of its import, which holds the same people's records.
    async fn shred_dataset(
        &self,
        operator: &StaffId,
        dataset: &DatasetId,
    ) -> Result<Reply, OperationError> {
        let lake = &self.site.lake;
        // Before anything is on record: whether there is such a dataset.
        lake.versions(dataset).await?;
        let quarantine = DatasetId::new(format!("{dataset}_quarantine"));
        let work = async {
            let mut shredded = Shredded::default();
            for victim in quarantine.iter().chain([dataset]) {
                let there = lake.versions(victim).await;
                if matches!(there, Err(LakeError::NoDataset { .. })) {
                    continue;
                }
                let order = self.site.order_upkeep(victim, Upkeep::Destroy)?;
                let done = lake.destroy(&order, victim).await?;
                shredded.datasets.push(victim.clone());
                shredded.keys.extend(done.keys);
                shredded.objects += done.objects;
                if self.site.config.ledger.is_some() {
                    self.site.forget_salts(victim).await?;
                }
            }
            Ok(shredded)
        };
        let statement = format!("shred dataset {dataset}");
        let done = self.recorded(operator, AccessKind::KeyOperation, statement, work).await?;
        Ok(Reply::Shredded(done))
    }

    async fn read_audit(
        &self,
        operator: &StaffId,
        filter: &AuditFilter,
    ) -> Result<Vec<AuditRecord>, OperationError> {
        let now = self.site.clock.now();
        let order = self.site.authority.sign(AuditReadingOrder {
            holder: self.site.config.holder.clone(),
            auditor: operator.clone(),
            entries_from: filter.from.unwrap_or(Timestamp::EPOCH),
            entries_until: filter.until.unwrap_or(now),
            issued: now,
            expires: now.saturating_add_micros(ORDER_MICROS),
        });
        let verifier = self.site.authority.verifier();
        let reading = AuditReading::verify(&order, &verifier, now, operator)?;
        let role = RoleName::new("auditor")?;
        Ok(self.audit.read(reading, (deal()?, role), filter).await?)
    }

    async fn verify_audit(&self, remembered: &[AuditHead]) -> Result<Reply, OperationError> {
        let verdict = self.audit.verify(remembered).await?;
        Ok(Reply::Checked(AuditChecked {
            first: verdict.first,
            head: verdict.head,
            compared: verdict.compared,
        }))
    }

    async fn trim_audit(&self, operator: &StaffId) -> Result<Reply, OperationError> {
        Ok(Reply::Removed(self.expire_records(operator).await?))
    }

    /// Removes access records that are older than the configured retention, in whole segments;
    /// none of which spans more than a month of a log that is looked after daily.
    ///
    /// # Errors
    /// When the log refuses.
    pub async fn expire_records(&self, operator: &StaffId) -> Result<Removed, OperationError> {
        let now = self.site.clock.now();
        if self.audit.end_segment(now.saturating_add_micros(-SEGMENT_MICROS)).await? {
            let statement = "began a new segment of the access log".to_owned();
            let done = Outcome::Answered { rows: 0 };
            self.record(operator, (AccessKind::Upkeep, statement), Accessed::new(), done).await?;
        }
        let before = self.site.config.audit.keep_days.retention().before(now);
        let segments = self.audit.trim(before).await?;
        if segments > 0 {
            let statement = format!("removed access records before {before}");
            let done = Outcome::Answered { rows: 0 };
            self.record(operator, (AccessKind::Upkeep, statement), Accessed::new(), done).await?;
        }
        Ok(Removed { segments, before })
    }
}
