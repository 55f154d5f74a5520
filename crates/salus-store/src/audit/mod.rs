//! The access log: who used what, for what purpose, with what result.
//!
//! Append-only, hash-chained, sealed on the disk by the [`crate::journal`] below it. An append
//! returns once the record is on the disk, with the holder's signed word of it
//! ([`salus_spine::AccessRecord`]), without which the spine releases nothing.
//!
//! **Invariant:** a record is removed only when it is older than the retention, and only together
//! with all before it.
//!
//! **Invariant:** records leave the log by [`AuditLog::read`] only, which takes an
//! [`salus_spine::AuditReading`] and is recorded itself.
//!
//! # Privacy
//! The journal finds every change by whoever lacks the keys. Whoever holds the keys can write a
//! log anew; its chain then differs from the heads in the access records that were handed out,
//! which [`AuditLog::verify`] compares.

mod entry;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use salus_crypto::Digest;
use salus_keys::KeyStore;
use salus_model::{Class, Classified, Clock, DatasetId, Purpose, RoleName, StaffId, Timestamp};
use salus_spine::{AccessRecord, AuditReading, Authority, Scope, SignedStatement};
use serde::{Deserialize, Serialize};

pub use self::entry::{AccessKind, AuditEntry, AuditHead, AuditRecord, Outcome, RefusalReason};
use crate::journal::{
    Journal, JournalError, JournalReader, JournalRecord, JournalSettings, Opened,
};

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// For how long records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Retention {
    days: u32,
}

/// A retention that is too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("access records are kept for at least {} days, not {days}", Retention::LEAST.days)]
pub struct RetentionTooShort {
    /// What was asked for.
    pub days: u32,
}

impl Classified for RetentionTooShort {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

impl Retention {
    /// A year, as the law asks.
    ///
    /// # Source
    /// Regulation (EU) 2025/327, Art. 73(1)(e): logs are kept for at least one year.
    pub const LEAST: Self = Self { days: 366 };

    /// A retention in days.
    ///
    /// # Errors
    /// When it is shorter than [`Retention::LEAST`].
    pub const fn new(days: u32) -> Result<Self, RetentionTooShort> {
        if days < Self::LEAST.days { Err(RetentionTooShort { days }) } else { Ok(Self { days }) }
    }

    /// The days.
    #[must_use]
    pub const fn days(self) -> u32 {
        self.days
    }

    /// The moment before which records may be removed at `now`.
    #[must_use]
    pub fn before(self, now: Timestamp) -> Timestamp {
        now.saturating_add_micros(-DAY_MICROS * i64::from(self.days))
    }
}

/// Why the access log could not do something.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The journal below it failed.
    #[error("the access log cannot be read or written")]
    Journal(#[from] JournalError),
    /// A record does not follow the one before it.
    #[error("the access log is broken at record {sequence}: {what}")]
    Broken {
        /// The first record that does not fit.
        sequence: u64,
        /// What does not fit.
        what: AuditBreak,
    },
    /// A record is from a newer Salus.
    #[error("access record {sequence} has format {found}, which this Salus does not read")]
    Format {
        /// The record.
        sequence: u64,
        /// Its format.
        found: u32,
    },
    /// A record could not be encoded, which is a bug.
    #[error("the access record cannot be written")]
    Encode(#[source] serde_json::Error),
    /// Records that must be kept were to be removed.
    #[error("access records are kept until they are older than {kept_from}; none was removed")]
    Retained {
        /// The moment before which records may be removed now.
        kept_from: Timestamp,
    },
    /// The order is for another holder's log.
    #[error("the order to read is for another holder's log")]
    OtherHolder,
}

impl Classified for AuditError {
    fn class(&self) -> Class {
        match self {
            Self::Journal(e) => e.class(),
            Self::Broken { .. } | Self::Format { .. } => Class::Corrupt,
            Self::Encode(_) => Class::Bug,
            Self::Retained { .. } | Self::OtherHolder => Class::Refused,
        }
    }
}

/// What does not fit where a log is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditBreak {
    /// The record cannot be read.
    Unreadable,
    /// The record says another place of itself.
    Place,
    /// The record follows something else than what is before it.
    Chain,
    /// The head there is not the one that was handed out or remembered.
    Head,
    /// The log ends before a record that was handed out or remembered.
    Missing,
}

impl std::fmt::Display for AuditBreak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "it cannot be read",
            Self::Place => "it belongs to another place",
            Self::Chain => "it does not follow the record before it",
            Self::Head => "it is not the record that was acknowledged",
            Self::Missing => "it was acknowledged and is missing",
        })
    }
}

/// What a whole and unbroken log consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditVerdict {
    /// The first record that is still kept.
    pub first: u64,
    /// The last record, and the chain's head.
    pub head: AuditHead,
    /// How many of the remembered heads were compared; the others lie before the first record.
    pub compared: usize,
}

/// Which records a reader wants.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditFilter {
    /// Recorded at or after this moment.
    pub from: Option<Timestamp>,
    /// Recorded before this moment.
    pub until: Option<Timestamp>,
    /// Of this member of staff.
    pub staff: Option<StaffId>,
    /// In this role.
    pub role: Option<RoleName>,
    /// That touched this dataset.
    pub dataset: Option<DatasetId>,
    /// Of this kind.
    pub kind: Option<AccessKind>,
    /// The record at this place, only.
    pub sequence: Option<u64>,
    /// At most so many, the latest ones.
    pub latest: Option<usize>,
}

impl AuditFilter {
    fn wants(&self, record: &AuditRecord) -> bool {
        self.from.is_none_or(|from| record.at >= from)
            && self.until.is_none_or(|until| record.at < until)
            && self.staff.as_ref().is_none_or(|staff| record.entry.staff == *staff)
            && self.role.as_ref().is_none_or(|role| record.entry.role == *role)
            && self.dataset.as_ref().is_none_or(|d| record.entry.datasets.contains_key(d))
            && self.kind.is_none_or(|kind| record.entry.kind == kind)
            && self.sequence.is_none_or(|sequence| record.sequence == sequence)
    }
}

/// Walks a chain record by record.
struct Chain {
    next: u64,
    /// None before the first record that is kept, whose own word is taken.
    head: Option<Digest>,
}

fn genesis() -> Digest {
    Digest::of_parts("salus audit genesis v1", &[])
}

impl Chain {
    /// A chain whose first record is at `next`; the very first follows the genesis.
    fn from(next: u64) -> Self {
        Self { next, head: (next == 1).then(genesis) }
    }

    fn take(&mut self, position: u64, stored: &[u8]) -> Result<AuditRecord, AuditError> {
        let sequence = self.next;
        let broken = |what| AuditError::Broken { sequence, what };
        let record: AuditRecord =
            serde_json::from_slice(stored).map_err(|_| broken(AuditBreak::Unreadable))?;
        if record.format != AuditRecord::FORMAT {
            return Err(AuditError::Format { sequence, found: record.format });
        }
        if record.sequence != sequence || position != sequence {
            return Err(broken(AuditBreak::Place));
        }
        if self.head.is_some_and(|head| head != record.previous) {
            return Err(broken(AuditBreak::Chain));
        }
        self.head = Some(entry::extended(record.previous, stored));
        self.next += 1;
        Ok(record)
    }

    fn head(&self) -> AuditHead {
        AuditHead { sequence: self.next - 1, head: self.head.unwrap_or_else(genesis) }
    }
}

/// A holder's access log, open for appending.
pub struct AuditLog {
    journal: Journal,
    authority: Arc<Authority>,
    clock: Arc<dyn Clock>,
    retention: Retention,
    /// After the last record in the queue.
    head: Mutex<AuditHead>,
    /// After the last record known to be on the disk.
    durable: Mutex<AuditHead>,
}

impl AuditLog {
    /// Opens the log in a journal of its own, or makes it; checks the whole chain.
    ///
    /// `reached` is a record that is known to have been acknowledged, or 0.
    ///
    /// # Errors
    /// When the journal does not open, or the chain is broken.
    pub async fn open(
        settings: JournalSettings,
        keys: Arc<dyn KeyStore>,
        (authority, clock): (Arc<Authority>, Arc<dyn Clock>),
        retention: Retention,
        reached: u64,
    ) -> Result<(Self, Opened), AuditError> {
        let mut chain: Option<Chain> = None;
        let mut broken = None;
        let mut visit = |position: u64, stored: &[u8]| {
            let chain = chain.get_or_insert_with(|| Chain::from(position));
            match chain.take(position, stored) {
                Ok(_) => Ok(()),
                Err(e) => {
                    broken = Some(e);
                    Err("the chain is broken".into())
                }
            }
        };
        let opened = Journal::open(settings, keys, reached, &mut visit).await;
        let (journal, opened) = match (opened, broken) {
            (Err(_), Some(broken)) => return Err(broken),
            (opened, _) => opened?,
        };
        // A trimmed log keeps its last segment, so a chain without a record is a new one.
        let head = chain.unwrap_or_else(|| Chain::from(1)).head();
        let (head, durable) = (Mutex::new(head), Mutex::new(head));
        Ok((Self { journal, authority, clock, retention, head, durable }, opened))
    }

    /// Records an access; returns once the record is on the disk.
    ///
    /// # Errors
    /// When it is not; then the access must not be answered.
    pub async fn append(
        &self,
        entry: AuditEntry,
    ) -> Result<SignedStatement<AccessRecord>, AuditError> {
        let scope = Scope::new(self.authority.verifier().holder().clone(), entry.deal.clone());
        // Its length does not depend on its place but for a few digits; room for it is got first,
        // so that nothing waits between taking a place in the chain and a place in the queue.
        let draft = self.record(entry, AuditHead { sequence: u64::MAX - 1, head: genesis() });
        let stored = serde_json::to_vec(&draft).map_err(AuditError::Encode)?;
        let room = self.journal.reserve(&[Bytes::from(stored)]).await?;
        let (pending, acknowledged) = {
            let mut head = self.head.lock();
            let record = self.record(draft.entry, *head);
            let stored = serde_json::to_vec(&record).map_err(AuditError::Encode)?;
            let next = entry::extended(record.previous, &stored);
            let pending =
                self.journal.submit(room, vec![Bytes::from(stored)], Some(record.sequence))?;
            *head = AuditHead { sequence: record.sequence, head: next };
            (pending, *head)
        };
        if let Err(e) = pending.durable().await {
            // Those behind it in the queue expect places that they will not get and are turned
            // away; the chain goes on from what is on the disk.
            *self.head.lock() = *self.durable.lock();
            return Err(e.into());
        }
        let mut durable = self.durable.lock();
        *durable = (*durable).max(acknowledged);
        drop(durable);
        let AuditHead { sequence, head } = acknowledged;
        Ok(self.authority.sign(AccessRecord { scope, sequence, head }))
    }

    fn record(&self, entry: AuditEntry, after: AuditHead) -> AuditRecord {
        AuditRecord {
            format: AuditRecord::FORMAT,
            sequence: after.sequence + 1,
            at: self.clock.now(),
            previous: after.head,
            entry,
        }
    }

    /// The last record that was acknowledged, and the chain's head; worth keeping elsewhere.
    #[must_use]
    pub fn head(&self) -> AuditHead {
        *self.durable.lock()
    }

    /// Walks the chain from its first record, and compares it with heads from elsewhere, such as
    /// those of access records that were handed out.
    ///
    /// # Errors
    /// [`AuditError::Broken`] at the first record that does not fit.
    pub async fn verify(&self, remembered: &[AuditHead]) -> Result<AuditVerdict, AuditError> {
        verify(self.journal.read(0).await?, remembered).await
    }

    /// The records that the order covers and the filter wants, oldest first. The reading itself
    /// is recorded before anything is read.
    ///
    /// # Errors
    /// When the order is for another holder's log, the reading cannot be recorded, or the log is
    /// broken.
    pub async fn read(
        &self,
        reading: AuditReading,
        (deal, role): (salus_model::DealId, RoleName),
        filter: &AuditFilter,
    ) -> Result<Vec<AuditRecord>, AuditError> {
        if reading.holder() != self.authority.verifier().holder() {
            return Err(AuditError::OtherHolder);
        }
        let wanted = self.journal.head().position;
        self.append(AuditEntry {
            deal,
            staff: reading.auditor().clone(),
            role,
            purpose: Purpose::Operations,
            kind: AccessKind::AuditReading,
            statement: format!("read the access log: {filter:?}"),
            datasets: BTreeMap::new(),
            outcome: Outcome::Answered { rows: wanted },
        })
        .await?;
        let mut found = std::collections::VecDeque::new();
        let mut walk = Walk::over(self.journal.read(0).await?);
        while let Some(record) = walk.next().await? {
            if record.sequence > wanted || !reading.covers(record.at) || !filter.wants(&record) {
                continue;
            }
            found.push_back(record);
            if filter.latest.is_some_and(|latest| found.len() > latest) {
                found.pop_front();
            }
        }
        Ok(found.into())
    }

    /// Removes records that are older than `before`, in whole segments; how many segments.
    ///
    /// # Errors
    /// [`AuditError::Retained`] when `before` is not older than the retention allows.
    pub async fn trim(&self, before: Timestamp) -> Result<usize, AuditError> {
        let kept_from = self.retention.before(self.clock.now());
        if before > kept_from {
            return Err(AuditError::Retained { kept_from });
        }
        let mut walk = Walk::over(self.journal.read(0).await?);
        let mut through = 0;
        while let Some(record) = walk.next().await? {
            // The first young record ends it, whatever an older clock says behind it.
            if record.at >= before {
                break;
            }
            through = record.sequence;
        }
        Ok(self.journal.trim(through).await?)
    }

    /// Has the next record begin a new segment when the present one began before `before`, so that
    /// records of a log that grows slowly expire too; whether it does.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn end_segment(&self, before: Timestamp) -> Result<bool, AuditError> {
        let first = self.journal.segments().last().copied().unwrap_or(0);
        let mut walk = Walk::over(self.journal.read(first).await?);
        let began = walk.next().await?.map(|record| record.at);
        let ends = began.is_some_and(|at| at < before);
        if ends {
            self.journal.end_segment();
        }
        Ok(ends)
    }

    /// Wraps the log's keys anew under the master key's newest version.
    ///
    /// # Errors
    /// When the key store or the disk refuse.
    pub async fn rewrap(&self) -> Result<usize, AuditError> {
        Ok(self.journal.rewrap().await?)
    }

    /// Writes what is under way, and gives the folder free.
    pub async fn close(self) {
        self.journal.close().await;
    }
}

/// Walks a log that is not open here, such as a copy or that of a running node.
///
/// # Errors
/// [`AuditError::Broken`] at the first record that does not fit; [`AuditError::Journal`] when the
/// bytes on the disk are not what was written.
pub async fn verify_offline(
    settings: JournalSettings,
    keys: Arc<dyn KeyStore>,
    remembered: &[AuditHead],
) -> Result<AuditVerdict, AuditError> {
    verify(JournalReader::open(settings, keys, 0).await?, remembered).await
}

struct Walk {
    journal: JournalReader,
    chain: Option<Chain>,
}

impl Walk {
    const fn over(journal: JournalReader) -> Self {
        Self { journal, chain: None }
    }

    async fn next(&mut self) -> Result<Option<AuditRecord>, AuditError> {
        let Some(JournalRecord { position, bytes }) = self.journal.next().await? else {
            return Ok(None);
        };
        let chain = self.chain.get_or_insert_with(|| Chain::from(position));
        chain.take(position, &bytes).map(Some)
    }
}

async fn verify(
    journal: JournalReader,
    remembered: &[AuditHead],
) -> Result<AuditVerdict, AuditError> {
    let mut expected: BTreeMap<u64, Vec<Digest>> = BTreeMap::new();
    for AuditHead { sequence, head } in remembered.iter().filter(|h| h.sequence > 0) {
        expected.entry(*sequence).or_default().push(*head);
    }
    let (mut walk, mut first, mut compared) = (Walk::over(journal), None, 0);
    while let Some(record) = walk.next().await? {
        first.get_or_insert(record.sequence);
        let head = walk.chain.as_ref().map(Chain::head);
        for wanted in expected.remove(&record.sequence).unwrap_or_default() {
            if head.is_none_or(|head| head.head != wanted) {
                let sequence = record.sequence;
                return Err(AuditError::Broken { sequence, what: AuditBreak::Head });
            }
            compared += 1;
        }
    }
    let head = walk.chain.unwrap_or_else(|| Chain::from(1)).head();
    if let Some((&sequence, _)) = expected.range(head.sequence + 1..).next() {
        return Err(AuditError::Broken { sequence, what: AuditBreak::Missing });
    }
    Ok(AuditVerdict { first: first.unwrap_or(head.sequence + 1), head, compared })
}
