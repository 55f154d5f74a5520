//! From reports to datasets, each report once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::error::ArrowError;
use bytes::Bytes;
use parking_lot::RwLock;
use salus_crypto::hpke::RecipientKey;
use salus_dp::PrivacyUnit;
use salus_keys::KeyStore;
use salus_model::{
    Class, Classified, Clock, ColumnPath, DatasetId, DatasetVersion, HolderId, IdError,
    JournalName, KeyClass, Timestamp,
};
use salus_store::journal::{Journal, JournalError, JournalSettings, Medium};
use salus_store::{EncryptionSettings, KeyChoice, Lake, LakeError, Superseded};

use crate::arrow_form::{
    DEVICES, DEVICES_HISTORY, DEVICES_QUARANTINE, QuarantineRow, batch, devices_spec, history_spec,
    quarantine_batch, quarantine_spec,
};
use crate::enrolment::Enrolment;
use crate::entry::{Entry, Quarantined};
use crate::fleet::{Fleet, Place};
use crate::profile::unit_column;
use crate::record::{DeviceId, DeviceRecord, Form, ReasonRefused, Refusal, read_record};
use crate::report;

/// Why the journal's content is not understood.
type VisitError = Box<dyn std::error::Error + Send + Sync>;

/// Reports that are written with one sync at most, and their bytes.
const MOST_TOGETHER: usize = 4096;
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Where a report came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// An MQTT broker.
    Mqtt,
    /// The collector's HTTP endpoint.
    Http,
    /// A FHIR server.
    Fhir,
    /// A folder for CSV files.
    Csv,
}

impl Source {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Http => "http",
            Self::Fhir => "fhir",
            Self::Csv => "csv",
        }
    }
}

/// What comes in.
#[derive(Debug, Clone)]
pub enum Incoming {
    /// A report that a device signed and sealed.
    Report(Vec<u8>),
    /// A record of a source that is trusted as a whole, as text and as it was read.
    Record {
        /// Its text, for the quarantine.
        text: String,
        /// The record, or why it is none.
        record: Box<Result<DeviceRecord, Refusal>>,
    },
}

/// What became of what came in; all of it is on the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Taken {
    /// Records taken in.
    pub accepted: u64,
    /// Those among them that came after a newer one of their device.
    pub late: u64,
    /// Reports that had been taken in before.
    pub duplicates: u64,
    /// Records that do not fit the schema.
    pub quarantined: u64,
    /// Reports that no enrolled device signed; nothing of them is kept.
    pub unauthentic: u64,
}

impl Taken {
    fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.late += other.late;
        self.duplicates += other.duplicates;
        self.quarantined += other.quarantined;
        self.unauthentic += other.unauthentic;
    }
}

/// What a publication brought into the lake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// Rows of the dataset of devices, one for each device with news.
    pub devices: usize,
    /// Rows of the history.
    pub history: usize,
    /// Rows of the quarantine.
    pub quarantined: usize,
    /// The datasets that have a new version.
    pub versions: Vec<(DatasetId, DatasetVersion)>,
}

/// Why reports are not taken in, or not published. Nothing was acknowledged then.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The disk does not take them.
    #[error("the collector's disk does not take the reports")]
    Journal(#[from] JournalError),
    /// The lake does not.
    #[error("the lake does not take the records")]
    Lake(#[from] LakeError),
    /// Too many wait for the lake.
    #[error("{waiting} reports wait for the lake, which is the most; it has to take them first")]
    Waiting {
        /// How many.
        waiting: usize,
    },
    /// A name that does not fit.
    #[error(transparent)]
    Name(#[from] IdError),
    /// An entry cannot be written, which is a bug.
    #[error("a report cannot be written down")]
    Entry(#[source] serde_json::Error),
    /// Rows cannot be put together, which is a bug.
    #[error("records cannot be put into rows")]
    Rows(#[from] ArrowError),
}

impl Classified for CollectError {
    fn class(&self) -> Class {
        match self {
            Self::Journal(e) => e.class(),
            Self::Lake(e) => e.class(),
            Self::Waiting { .. } => Class::Unavailable,
            Self::Name(_) => Class::BadRequest,
            Self::Entry(_) | Self::Rows(_) => Class::Bug,
        }
    }
}

/// What a collector is made of.
pub struct CollectorParts {
    /// The holder's datasets.
    pub lake: Arc<Lake>,
    /// The holder's key store.
    pub keys: Arc<dyn KeyStore>,
    /// The present moment.
    pub clock: Arc<dyn Clock>,
    /// How the disk is written.
    pub medium: Arc<dyn Medium>,
    /// The journal's folder; nothing else uses it.
    pub folder: PathBuf,
    /// The journal's segments are closed when they have this many bytes: several times what all
    /// devices' records have, of which each is about 1,200 bytes.
    pub segment_bytes: u64,
    /// How datasets that are not there yet are made.
    pub encryption: EncryptionSettings,
    /// Whose presence answers from the dataset of devices are to hide; it becomes the subject.
    pub unit: PrivacyUnit,
    /// The key that devices seal to.
    pub key: RecipientKey,
    /// The devices that may report.
    pub enrolment: Enrolment,
    /// How many reports may wait for the lake.
    pub most_waiting: usize,
}

/// An entry that is not in every dataset's files yet.
#[derive(Debug, Clone)]
enum Waiting {
    Accepted { received: Timestamp, record: Arc<DeviceRecord>, place: Place },
    Quarantined(Quarantined),
}

/// Up to which position of the journal each dataset's files go.
#[derive(Debug, Clone, Copy, Default)]
struct Through {
    devices: u64,
    history: u64,
    quarantine: u64,
}

struct Open {
    journal: Journal,
    waiting: VecDeque<(u64, Waiting)>,
    through: Through,
}

/// Takes reports in, keeps them on an encrypted disk, and brings them into the lake.
///
/// One collector at a time uses a folder, and one folder feeds the datasets of devices of a lake.
pub struct Collector {
    parts: CollectorParts,
    enrolment: RwLock<Arc<Enrolment>>,
    fleet: RwLock<Fleet>,
    /// None after a write that failed: the next use opens the journal again.
    open: tokio::sync::Mutex<Option<Open>>,
    /// One publication at a time.
    publishing: tokio::sync::Mutex<()>,
}

impl Collector {
    /// Opens a collector, and takes up what its disk holds.
    ///
    /// # Errors
    /// When the datasets cannot be made, or the journal does not open.
    pub async fn open(mut parts: CollectorParts) -> Result<Self, CollectError> {
        let enrolment = RwLock::new(Arc::new(std::mem::take(&mut parts.enrolment)));
        let subject = ColumnPath::new(unit_column(parts.unit))?;
        for spec in [
            devices_spec(&subject, parts.encryption)?,
            history_spec(&subject, parts.encryption)?,
            quarantine_spec(parts.encryption)?,
        ] {
            parts.lake.open_or_create(spec).await?;
        }
        let collector = Self {
            parts,
            enrolment,
            fleet: RwLock::default(),
            open: tokio::sync::Mutex::new(None),
            publishing: tokio::sync::Mutex::default(),
        };
        let open = collector.open_journal().await?;
        *collector.open.lock().await = Some(open);
        Ok(collector)
    }

    /// The holder whose devices report.
    #[must_use]
    pub fn holder(&self) -> &HolderId {
        self.parts.lake.holder()
    }

    /// The present moment, as the collector sees it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// Puts another list of enrolled devices in force.
    pub fn enrol(&self, enrolment: Enrolment) {
        *self.enrolment.write() = Arc::new(enrolment);
    }

    /// Looks at the fleet as it is now.
    ///
    /// # Privacy
    /// Exact, and for the holder's own staff only.
    pub fn with_fleet<T>(&self, look: impl FnOnce(&Fleet) -> T) -> T {
        look(&self.fleet.read())
    }

    /// How many entries wait for the lake.
    pub async fn waiting(&self) -> usize {
        self.open.lock().await.as_ref().map_or(0, |open| open.waiting.len())
    }

    async fn journal_through(&self, dataset: &str) -> Result<u64, CollectError> {
        let snapshot = self.parts.lake.snapshot(&DatasetId::new(dataset)?, None).await?;
        Ok(snapshot.manifest().journal_through)
    }

    async fn open_journal(&self) -> Result<Open, CollectError> {
        let through = Through {
            devices: self.journal_through(DEVICES).await?,
            history: self.journal_through(DEVICES_HISTORY).await?,
            quarantine: self.journal_through(DEVICES_QUARANTINE).await?,
        };
        let settings = JournalSettings {
            folder: self.parts.folder.clone(),
            holder: self.holder().clone(),
            name: JournalName::new("devices")?,
            master: KeyChoice::Class(KeyClass::Clinical).key_name(&DatasetId::new(DEVICES)?)?,
            segment_bytes: self.parts.segment_bytes,
        };
        let mut fleet = Fleet::new();
        let mut waiting = VecDeque::new();
        let reached = through.devices.max(through.history).max(through.quarantine);
        let mut visit = |position: u64, bytes: &[u8]| -> Result<(), VisitError> {
            match Entry::from_bytes(bytes)? {
                Entry::Known(known) => fleet.restore(*known),
                Entry::Quarantined(entry) if position > through.quarantine => {
                    waiting.push_back((position, Waiting::Quarantined(entry)));
                }
                Entry::Quarantined(_) => {}
                Entry::Accepted { received, record } => {
                    let place = fleet.take(&record, received);
                    if position > through.devices.min(through.history) {
                        let entry = Waiting::Accepted { received, record, place };
                        waiting.push_back((position, entry));
                    }
                }
            }
            Ok(())
        };
        let medium = Arc::clone(&self.parts.medium);
        let keys = Arc::clone(&self.parts.keys);
        let (journal, opened) =
            Journal::open_on(medium, settings, keys, reached, &mut visit).await?;
        if let Some(torn) = opened.torn {
            tracing::info!(bytes = torn.bytes, "cut off what was never acknowledged");
        }
        *self.fleet.write() = fleet;
        Ok(Open { journal, waiting, through })
    }

    /// Takes reports in. When this returns, they are on the disk.
    ///
    /// # Errors
    /// When they are not, or it is unknown; whoever sent them sends them again.
    pub async fn take(
        &self,
        source: Source,
        incoming: Vec<Incoming>,
    ) -> Result<Taken, CollectError> {
        let mut guard = self.open.lock().await;
        let mut taken = Taken::default();
        let mut rest = incoming.into_iter().peekable();
        while rest.peek().is_some() {
            if guard.is_none() {
                *guard = Some(self.open_journal().await?);
            }
            let Some(open) = guard.as_mut() else { break };
            let waiting = open.waiting.len();
            if waiting >= self.parts.most_waiting {
                return Err(CollectError::Waiting { waiting });
            }
            let mut bytes = 0;
            let mut some = Vec::new();
            while let Some(next) =
                rest.next_if(|_| some.len() < MOST_TOGETHER && bytes < MOST_BYTES)
            {
                bytes += next.len();
                some.push(next);
            }
            match self.take_some(open, source, some).await {
                Ok(more) => taken.add(more),
                Err(e) => {
                    // What is on the disk is unknown; the next use reads it back.
                    if let Some(open) = guard.take() {
                        open.journal.close().await;
                    }
                    return Err(e);
                }
            }
        }
        Ok(taken)
    }

    async fn take_some(
        &self,
        open: &mut Open,
        source: Source,
        some: Vec<Incoming>,
    ) -> Result<Taken, CollectError> {
        let received = self.parts.clock.now();
        let enrolled = Arc::clone(&self.enrolment.read());
        let mut taken = Taken::default();
        let mut entries = Vec::new();
        let mut together: HashSet<(DeviceId, u64)> = HashSet::new();
        for incoming in some {
            let (text, read) = match self.read(incoming, &enrolled, received) {
                Some(read) => read,
                None => {
                    taken.unauthentic += 1;
                    continue;
                }
            };
            match read {
                Ok(record) => {
                    let id = (record.device_id.clone(), record.sequence);
                    let place = self.fleet.read().place(&id.0, id.1);
                    if place == Place::Duplicate || !together.insert(id) {
                        taken.duplicates += 1;
                        continue;
                    }
                    entries.push(Entry::Accepted { received, record: Arc::new(record) });
                }
                Err(Refusal { field, reason }) => {
                    taken.quarantined += 1;
                    entries.push(Entry::Quarantined(Quarantined {
                        received,
                        source: source.as_str().to_owned(),
                        field,
                        reason: reason.to_string(),
                        record: text,
                    }));
                }
            }
        }
        if entries.is_empty() {
            return Ok(taken);
        }
        let records = entries
            .iter()
            .map(|entry| entry.to_bytes().map(Bytes::from))
            .collect::<Result<Vec<_>, _>>()
            .map_err(CollectError::Entry)?;
        let positions = open.journal.append(records).await?;
        let mut fleet = self.fleet.write();
        for (position, entry) in positions.zip(entries) {
            let waiting = match entry {
                Entry::Accepted { received, record } => {
                    let place = fleet.take(&record, received);
                    taken.accepted += 1;
                    taken.late += u64::from(place == Place::Late);
                    Waiting::Accepted { received, record, place }
                }
                Entry::Quarantined(entry) => Waiting::Quarantined(entry),
                Entry::Known(_) => continue,
            };
            open.waiting.push_back((position, waiting));
        }
        Ok(taken)
    }

    /// A report's text and record; none when nobody known signed it.
    fn read(
        &self,
        incoming: Incoming,
        enrolled: &Enrolment,
        now: Timestamp,
    ) -> Option<(String, Result<DeviceRecord, Refusal>)> {
        match incoming {
            Incoming::Record { text, record } => Some((text, *record)),
            Incoming::Report(bytes) => {
                let report = report::open(&self.parts.key, self.holder(), enrolled, &bytes).ok()?;
                let read = read_record(&report.fields, Form::Json, now).and_then(|record| {
                    if record.device_id == report.device {
                        Ok(record)
                    } else {
                        let field = "device_id".to_owned();
                        Err(Refusal { field, reason: ReasonRefused::OtherDevice })
                    }
                });
                Some((report.text, read))
            }
        }
    }

    /// Brings what waits into the lake, and removes from the disk what every dataset has.
    ///
    /// # Errors
    /// When the lake or the disk fails. What the lake has by then it will not get again.
    pub async fn publish(&self) -> Result<Published, CollectError> {
        let _one = self.publishing.lock().await;
        let (waiting, mut through) = {
            let mut guard = self.open.lock().await;
            if guard.is_none() {
                *guard = Some(self.open_journal().await?);
            }
            match guard.as_ref() {
                Some(open) => (open.waiting.clone(), open.through),
                None => return Ok(Published::default()),
            }
        };
        let Some(head) = waiting.back().map(|(position, _)| *position) else {
            return Ok(Published::default());
        };
        let mut published = Published::default();
        self.publish_devices(&waiting, through.devices, head, &mut published).await?;
        through.devices = head;
        self.publish_history(&waiting, through.history, head, &mut published).await?;
        through.history = head;
        self.publish_quarantine(&waiting, through.quarantine, head, &mut published).await?;
        through.quarantine = head;
        let mut guard = self.open.lock().await;
        if let Some(open) = guard.as_mut() {
            open.through = through;
            open.waiting.retain(|(position, _)| *position > head);
            self.trim(open, head).await?;
        }
        Ok(published)
    }

    async fn publish_devices(
        &self,
        waiting: &VecDeque<(u64, Waiting)>,
        through: u64,
        head: u64,
        published: &mut Published,
    ) -> Result<(), CollectError> {
        let mut newest: HashMap<&DeviceId, (&DeviceRecord, Timestamp)> = HashMap::new();
        for (position, entry) in waiting {
            let Waiting::Accepted { received, record, place: Place::Newest } = entry else {
                continue;
            };
            if *position > through {
                newest.insert(&record.device_id, (record.as_ref(), *received));
            }
        }
        let mut rows: Vec<(&DeviceRecord, Timestamp)> = newest.into_values().collect();
        if rows.is_empty() {
            return Ok(());
        }
        rows.sort_by(|a, b| a.0.device_id.cmp(&b.0.device_id));
        let sequence = |r: &DeviceRecord| i64::try_from(r.sequence).unwrap_or(i64::MAX);
        let superseded =
            rows.iter().map(|(r, _)| (r.device_id.as_str().to_owned(), sequence(r))).collect();
        let mut writer = self.parts.lake.append(&DatasetId::new(DEVICES)?).await?;
        writer.write(&batch(&rows)?).await?;
        writer.supersede(&Superseded::new(superseded));
        writer.set_journal_through(head);
        published.devices = rows.len();
        published.versions.push((DatasetId::new(DEVICES)?, writer.publish_version().await?));
        Ok(())
    }

    async fn publish_history(
        &self,
        waiting: &VecDeque<(u64, Waiting)>,
        through: u64,
        head: u64,
        published: &mut Published,
    ) -> Result<(), CollectError> {
        let rows: Vec<(&DeviceRecord, Timestamp)> = waiting
            .iter()
            .filter(|(position, _)| *position > through)
            .filter_map(|(_, entry)| match entry {
                Waiting::Accepted { received, record, .. } => Some((record.as_ref(), *received)),
                Waiting::Quarantined(_) => None,
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let mut writer = self.parts.lake.append(&DatasetId::new(DEVICES_HISTORY)?).await?;
        writer.write(&batch(&rows)?).await?;
        writer.set_journal_through(head);
        published.history = rows.len();
        let version = writer.publish_version().await?;
        published.versions.push((DatasetId::new(DEVICES_HISTORY)?, version));
        Ok(())
    }

    async fn publish_quarantine(
        &self,
        waiting: &VecDeque<(u64, Waiting)>,
        through: u64,
        head: u64,
        published: &mut Published,
    ) -> Result<(), CollectError> {
        let rows: Vec<QuarantineRow<'_>> = waiting
            .iter()
            .filter(|(position, _)| *position > through)
            .filter_map(|(position, entry)| match entry {
                Waiting::Quarantined(entry) => Some(QuarantineRow {
                    position: *position,
                    received: entry.received,
                    source: &entry.source,
                    field: &entry.field,
                    reason: &entry.reason,
                    record: &entry.record,
                }),
                Waiting::Accepted { .. } => None,
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let mut writer = self.parts.lake.append(&DatasetId::new(DEVICES_QUARANTINE)?).await?;
        writer.write(&quarantine_batch(&rows)?).await?;
        writer.set_journal_through(head);
        published.quarantined = rows.len();
        let version = writer.publish_version().await?;
        published.versions.push((DatasetId::new(DEVICES_QUARANTINE)?, version));
        Ok(())
    }

    /// Removes the segments that hold nothing that waits, after what they told of devices has been
    /// written down anew.
    async fn trim(&self, open: &mut Open, through: u64) -> Result<(), CollectError> {
        let segments = open.journal.segments();
        if segments.get(1).is_none_or(|second| *second > through.saturating_add(1)) {
            return Ok(());
        }
        let known: Vec<Vec<u8>> = {
            let fleet = self.fleet.read();
            let entries =
                fleet.iter().map(|known| Entry::Known(Box::new(known.clone())).to_bytes());
            entries.collect::<Result<_, _>>().map_err(CollectError::Entry)?
        };
        let mut some = Vec::new();
        let mut bytes = 0;
        for entry in known {
            bytes += entry.len();
            some.push(Bytes::from(entry));
            if bytes >= MOST_BYTES {
                open.journal.append(std::mem::take(&mut some)).await?;
                bytes = 0;
            }
        }
        if !some.is_empty() {
            open.journal.append(some).await?;
        }
        open.journal.trim(through).await?;
        Ok(())
    }

    /// Writes what is under way, and gives the folder free.
    pub async fn close(self) {
        if let Some(open) = self.open.into_inner() {
            open.journal.close().await;
        }
    }
}

impl Incoming {
    fn len(&self) -> usize {
        match self {
            Self::Report(bytes) => bytes.len(),
            // Its JSON in the journal is about as long again.
            Self::Record { text, .. } => 2 * text.len(),
        }
    }
}
