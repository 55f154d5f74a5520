use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use salus_crypto::OsEntropy;
use salus_fhir::shipped::{ShippedView, views};
use salus_model::{Class, Classified, Clock, DatasetId, Entropy, EntropyFailed, IdError};
use salus_store::{DatasetSpec, EncryptionSettings, Lake, LakeError, Superseded, Writer};
use serde::Serialize;
use serde_json::Value as Json;
use tokio::sync::mpsc;

use super::intake::{Intake, TakeAll, Verdict};
use super::resources::{FHIR_DATASET, ResourceBuilder, resources_spec};
use super::source::{Deletion, Fault, FhirFormat, Found, Item, resources};
use super::table::{TableBuilder, spec};
use crate::tabular::{QuarantineBuilder, Reason, quarantine_dataset, quarantine_spec};

const BATCH_ROWS: usize = 8 * 1024;
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// How far an import has come.
#[derive(Debug, Clone, Copy, Default)]
pub struct FhirProgress {
    /// Sources read to their end.
    pub sources: u64,
    /// Resources accepted so far.
    pub accepted: u64,
    /// Resources that were here already.
    pub unchanged: u64,
    /// Resources deleted so far.
    pub deleted: u64,
    /// Resources quarantined so far.
    pub quarantined: u64,
}

/// Rows that an import added to a dataset.
#[derive(Debug, Clone, Serialize)]
pub struct TableRows {
    /// The dataset.
    pub dataset: DatasetId,
    /// Rows added.
    pub rows: u64,
}

/// What an import did.
#[derive(Debug, Clone, Serialize)]
pub struct FhirReport {
    /// The import's id, by which the quarantine names it.
    pub import: String,
    /// Resources accepted.
    pub accepted: u64,
    /// Resources that were here already, in this version or a later one.
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
}

/// Why an import stopped.
#[derive(Debug, thiserror::Error)]
pub enum FhirImportError {
    /// A source cannot be read.
    #[error("a source cannot be read on; nothing of this import was published")]
    Io(#[from] std::io::Error),
    /// The lake refused or failed.
    #[error("the lake did not take the rows")]
    Lake(#[from] LakeError),
    /// No random bytes.
    #[error("the import has no id")]
    Entropy(#[from] EntropyFailed),
    /// A fixed name does not fit, which is a bug.
    #[error("a fixed name does not fit")]
    Name(#[from] IdError),
    /// A batch could not be put together, which is a bug.
    #[error("the rows could not be put together")]
    Arrow(#[from] ArrowError),
    /// The reading task stopped by itself, which is a bug.
    #[error("reading stopped unexpectedly")]
    Stopped,
}

impl Classified for FhirImportError {
    fn class(&self) -> Class {
        match self {
            Self::Io(_) | Self::Entropy(_) => Class::Unavailable,
            Self::Lake(e) => e.class(),
            Self::Name(_) | Self::Arrow(_) | Self::Stopped => Class::Bug,
        }
    }
}

/// A named source of resources.
pub type FhirSource = (String, FhirFormat, Box<dyn Read + Send>);

/// Imports resources into a lake, all of an import or nothing.
pub struct FhirImporter {
    lake: Arc<Lake>,
    clock: Arc<dyn Clock>,
    encryption: EncryptionSettings,
}

enum Message {
    Rows(DatasetId, RecordBatch),
    Progress(FhirProgress),
}

/// What the reading task knows at its end.
struct WhatWasRead<I> {
    intake: I,
    reasons: BTreeMap<(String, String), u64>,
    /// The newest sequence of every resource, by type and id.
    newest: Newest,
    /// Those of resources that came more than once, or were deleted.
    repeated: Newest,
}

/// Sequences by type and id.
type Newest = HashMap<String, HashMap<String, i64>>;

/// What a dataset is to hide: ids of the view's type, or types and ids of all.
///
/// Ids are unique within a type alone, so a patient's new version hides no observation.
fn superseded(newest: &Newest, resource_type: Option<&str>) -> Superseded {
    match resource_type {
        Some(name) => Superseded::new(newest.get(name).cloned().unwrap_or_default()),
        None => {
            let all = newest.iter().flat_map(|(name, ids)| {
                ids.iter().map(move |(id, sequence)| (format!("{name}/{id}"), *sequence))
            });
            Superseded::new(all.collect())
        }
    }
}

/// What an import replaces in a dataset of one resource type, or in that of all resources.
fn replacing(newest: Arc<Newest>, resource_type: Option<&'static str>) -> salus_store::Newest {
    Arc::new(move |key| {
        let (kind, id) = match resource_type {
            Some(kind) => (kind, key),
            None => key.split_once('/')?,
        };
        newest.get(kind)?.get(id).copied()
    })
}

impl FhirImporter {
    /// Imports into `lake`; datasets that are not there are made with `encryption`.
    #[must_use]
    pub const fn new(
        lake: Arc<Lake>,
        clock: Arc<dyn Clock>,
        encryption: EncryptionSettings,
    ) -> Self {
        Self { lake, clock, encryption }
    }

    async fn writer(&self, spec: DatasetSpec) -> Result<Writer, LakeError> {
        let dataset = spec.dataset.clone();
        match self.lake.append(&dataset).await {
            Err(LakeError::NoDataset { .. }) => {
                self.lake.create(spec).await?;
                self.lake.append(&dataset).await
            }
            writer => writer,
        }
    }

    async fn writers(&self) -> Result<BTreeMap<DatasetId, Writer>, FhirImportError> {
        let mut writers = BTreeMap::new();
        let mut specs = vec![resources_spec(self.encryption)?];
        for view in views() {
            specs.push(spec(view, self.encryption)?);
        }
        for spec in specs {
            writers.insert(spec.dataset.clone(), self.writer(spec).await?);
        }
        Ok(writers)
    }

    /// Imports sources.
    ///
    /// A resource that is there already is replaced by the one that comes; time travel still
    /// shows the old one. Each dataset is published whole; the quarantine first, the resources
    /// themselves next, the tables last.
    ///
    /// # Errors
    /// When a source cannot be read, or the lake fails.
    pub async fn run(
        &self,
        sources: Vec<FhirSource>,
        progress: impl FnMut(FhirProgress),
    ) -> Result<FhirReport, FhirImportError> {
        Ok(self.run_through(sources, TakeAll, progress).await?.0)
    }

    /// As [`FhirImporter::run`], where `intake` decides what is taken; it is given back at the
    /// end, when everything is published.
    ///
    /// # Errors
    /// When a source cannot be read, or the lake fails.
    pub async fn run_through<I: Intake + 'static>(
        &self,
        sources: Vec<FhirSource>,
        intake: I,
        mut progress: impl FnMut(FhirProgress),
    ) -> Result<(FhirReport, I), FhirImportError> {
        let mut id = [0; 8];
        OsEntropy.fill(&mut id)?;
        let import = format!("{:016x}", u64::from_be_bytes(id));
        let resources_dataset = DatasetId::new(FHIR_DATASET)?;
        let quarantine = quarantine_dataset(&resources_dataset)?;
        let mut writers = self.writers().await?;
        let (send, mut receive) = mpsc::channel(4);
        let first = self.clock.now().as_micros();
        let reading = Reading::new(&import, quarantine.clone(), send, first, intake)?;
        let task = tokio::task::spawn_blocking(move || reading.run(sources));
        let mut so_far = FhirProgress::default();
        let mut rows: BTreeMap<DatasetId, u64> = BTreeMap::new();
        while let Some(message) = receive.recv().await {
            match message {
                Message::Progress(now) => so_far = now,
                Message::Rows(dataset, batch) => {
                    *rows.entry(dataset.clone()).or_default() += batch.num_rows() as u64;
                    if !writers.contains_key(&dataset) {
                        let spec = quarantine_spec(dataset.clone(), self.encryption);
                        writers.insert(dataset.clone(), self.writer(spec).await?);
                    }
                    if let Some(writer) = writers.get_mut(&dataset) {
                        writer.write(&batch).await?;
                    }
                }
            }
            progress(so_far);
        }
        let WhatWasRead { intake, reasons, newest, repeated } =
            task.await.map_err(|_| FhirImportError::Stopped)??;
        let newest = Arc::new(newest);
        let mut order: Vec<DatasetId> = vec![quarantine.clone(), resources_dataset];
        order.extend(writers.keys().filter(|d| !order.contains(d)).cloned().collect::<Vec<_>>());
        for dataset in order {
            let Some(mut writer) = writers.remove(&dataset) else { continue };
            if dataset != quarantine {
                let resource_type = salus_fhir::shipped::view(dataset.as_str());
                let resource_type = resource_type.map(|view| view.view.resource());
                // Within the import, by what came twice; of what is there already, by looking.
                writer.supersede(&superseded(&repeated, resource_type));
                writer.replace(replacing(Arc::clone(&newest), resource_type));
            }
            writer.publish().await?;
        }
        let quarantined = rows.remove(&quarantine);
        let reason = |((field, reason), records)| Reason { field, reason, records };
        let report = FhirReport {
            import,
            accepted: so_far.accepted,
            unchanged: so_far.unchanged,
            deleted: so_far.deleted,
            quarantined: so_far.quarantined,
            quarantine: quarantined.map(|_| quarantine),
            reasons: reasons.into_iter().map(reason).collect(),
            tables: rows.into_iter().map(|(dataset, rows)| TableRows { dataset, rows }).collect(),
        };
        Ok((report, intake))
    }
}

struct Reading<I> {
    import: String,
    quarantine: DatasetId,
    send: mpsc::Sender<Message>,
    sequence: i64,
    resources_dataset: DatasetId,
    resources: ResourceBuilder,
    tables: Vec<(DatasetId, &'static ShippedView, TableBuilder)>,
    refused: QuarantineBuilder,
    progress: FhirProgress,
    read: WhatWasRead<I>,
}

impl<I: Intake> Reading<I> {
    fn new(
        import: &str,
        quarantine: DatasetId,
        send: mpsc::Sender<Message>,
        sequence: i64,
        intake: I,
    ) -> Result<Self, IdError> {
        let mut tables = Vec::new();
        for view in views() {
            tables.push((DatasetId::new(view.name)?, view, TableBuilder::new(view)));
        }
        Ok(Self {
            import: import.to_owned(),
            quarantine,
            send,
            sequence,
            resources_dataset: DatasetId::new(FHIR_DATASET)?,
            resources: ResourceBuilder::new(),
            tables,
            refused: QuarantineBuilder::new(),
            progress: FhirProgress::default(),
            read: WhatWasRead {
                intake,
                reasons: BTreeMap::new(),
                newest: HashMap::new(),
                repeated: HashMap::new(),
            },
        })
    }

    fn run(mut self, sources: Vec<FhirSource>) -> Result<WhatWasRead<I>, FhirImportError> {
        for (at, (name, format, source)) in sources.into_iter().enumerate() {
            let before = self.read.intake.lines_before(at);
            resources(source, format, |mut found| {
                found.place += before;
                self.take(at, &name, found)
            })?;
            if let Some((element, reason)) = self.read.intake.end(at)
                && self.read.intake.refused(&format!("{name}: {reason}")) != Verdict::Known
            {
                self.quarantine(&name, 0, &Fault { element, reason, raw: String::new() });
            }
            self.progress.sources += 1;
            self.hand_on(Message::Progress(self.progress))?;
        }
        self.flush(0, 0)?;
        Ok(self.read)
    }

    fn take(&mut self, at: usize, source: &str, found: Found) -> Result<(), FhirImportError> {
        match found.item {
            Ok(Item::Resource(resource)) => match self.read.intake.resource(at, &resource) {
                Verdict::Take => {
                    if let Err((element, reason)) = self.accept(&resource)? {
                        let raw = resource.to_string();
                        self.quarantine(source, found.place, &Fault { element, reason, raw });
                    }
                }
                Verdict::Known => self.progress.unchanged += 1,
                Verdict::Refuse { element, reason } => {
                    let raw = resource.to_string();
                    self.refuse(source, found.place, Fault { element, reason, raw });
                }
            },
            Ok(Item::Deletion(deletion)) => match self.read.intake.deletion(at, &deletion) {
                Verdict::Take => self.delete(&deletion),
                Verdict::Known => self.progress.unchanged += 1,
                Verdict::Refuse { element, reason } => {
                    let raw = deletion.key.to_string();
                    self.refuse(source, found.place, Fault { element, reason, raw });
                }
            },
            Err(fault) => {
                self.read.intake.malformed(at);
                self.refuse(source, found.place, fault);
            }
        }
        self.flush(BATCH_ROWS, BATCH_BYTES)
    }

    /// Quarantines, unless the same was quarantined before.
    fn refuse(&mut self, source: &str, place: u64, fault: Fault) {
        match self.read.intake.refused(&fault.raw) {
            Verdict::Known => self.progress.unchanged += 1,
            _ => self.quarantine(source, place, &fault),
        }
    }

    fn delete(&mut self, deletion: &Deletion) {
        let (kind, id) = (deletion.key.resource_type(), deletion.key.id().as_str());
        self.sequence += 1;
        // What this import itself brought a moment ago goes with what was there.
        for from in [&mut self.read.newest, &mut self.read.repeated] {
            from.entry(kind.to_owned()).or_default().insert(id.to_owned(), self.sequence);
        }
        self.progress.deleted += 1;
    }

    fn quarantine(&mut self, source: &str, place: u64, fault: &Fault) {
        let origin = (self.import.as_str(), source);
        self.refused.push(origin, place, (&fault.element, &fault.reason), &fault.raw);
        *self.read.reasons.entry((fault.element.clone(), fault.reason.clone())).or_default() += 1;
        self.progress.quarantined += 1;
    }

    /// Adds a resource and its rows; when a view refuses it, nothing of it is added.
    fn accept(&mut self, resource: &Json) -> Result<Result<(), (String, String)>, FhirImportError> {
        let text = |name: &str| resource.get(name).and_then(Json::as_str).unwrap_or_default();
        let (kind, id) = (text("resourceType"), text("id"));
        let key = format!("{kind}/{id}");
        let mut rows = Vec::with_capacity(self.tables.len());
        for (_, view, _) in &self.tables {
            match view.view.rows(resource) {
                Ok(found) => rows.push(found),
                Err(e) => return Ok(Err((format!("view {}", view.name), e.to_string()))),
            }
        }
        self.sequence += 1;
        for (found, (_, _, table)) in rows.iter().zip(&mut self.tables) {
            for row in found {
                table.push(row, self.sequence);
            }
        }
        self.resources.push(&key, kind, resource, self.sequence);
        let newest = self.read.newest.entry(kind.to_owned()).or_default();
        if newest.insert(id.to_owned(), self.sequence).is_some() {
            let repeated = self.read.repeated.entry(kind.to_owned()).or_default();
            repeated.insert(id.to_owned(), self.sequence);
        }
        self.progress.accepted += 1;
        Ok(Ok(()))
    }

    fn flush(&mut self, rows: usize, bytes: usize) -> Result<(), FhirImportError> {
        let mut ready = Vec::new();
        let full = self.resources.rows > rows || self.resources.bytes > bytes;
        if full && self.resources.rows > 0 {
            ready.push((self.resources_dataset.clone(), self.resources.finish()?));
        }
        for (dataset, _, table) in &mut self.tables {
            if table.rows() > rows {
                ready.push((dataset.clone(), table.finish()?));
            }
        }
        if self.refused.len() > rows {
            ready.push((self.quarantine.clone(), self.refused.finish()?));
        }
        let any = !ready.is_empty();
        for (dataset, batch) in ready {
            self.hand_on(Message::Rows(dataset, batch))?;
        }
        if any { self.hand_on(Message::Progress(self.progress)) } else { Ok(()) }
    }

    fn hand_on(&self, message: Message) -> Result<(), FhirImportError> {
        // The other side is gone only when it failed, and then says why itself.
        self.send.blocking_send(message).map_err(|_| FhirImportError::Stopped)
    }
}
