use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchReader as _};
use arrow::error::ArrowError;
use salus_crypto::OsEntropy;
use salus_model::{Class, Classified, DatasetId, DatasetVersion, Entropy, EntropyFailed, IdError};
use salus_store::{EncryptionSettings, Lake, LakeError, Writer, parquet_batches};
use serde::Serialize;
use tokio::sync::mpsc;

use super::builder::BatchBuilder;
use super::quarantine::{self, QuarantineBuilder, quarantine_dataset};
use super::reader::{Format, ReadError, Record, records};
use super::schema::{SchemaFile, SchemaFileError};
use super::value::{self, Unfit, Value};

const BATCH_ROWS: usize = 16 * 1024;

/// How far an import has come.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    /// Rows accepted so far.
    pub accepted: u64,
    /// Records quarantined so far.
    pub quarantined: u64,
}

/// What an import did.
#[derive(Debug, Clone, Serialize)]
pub struct ImportReport {
    /// The import's id, by which the quarantine names it.
    pub import: String,
    /// The dataset.
    pub dataset: DatasetId,
    /// The version that holds the rows.
    pub version: DatasetVersion,
    /// Rows accepted.
    pub accepted: u64,
    /// Records quarantined.
    pub quarantined: u64,
    /// The dataset that keeps the quarantined records; none when there are none.
    pub quarantine: Option<DatasetId>,
    /// How many records were quarantined for what, by field and reason.
    pub reasons: Vec<Reason>,
}

/// A reason with its count.
#[derive(Debug, Clone, Serialize)]
pub struct Reason {
    /// The field; empty when it is the record as a whole.
    pub field: String,
    /// The reason.
    pub reason: String,
    /// How many records.
    pub records: u64,
}

/// Why an import stopped. Nothing of it is visible then.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The source cannot be read.
    #[error("the import stopped, and nothing of it was published")]
    Read(#[from] ReadError),
    /// The schema does not fit.
    #[error("the schema does not fit")]
    Schema(#[from] SchemaFileError),
    /// The lake refused or failed.
    #[error("the lake did not take the rows, and nothing of them was published")]
    Lake(#[from] LakeError),
    /// The quarantine's name does not fit.
    #[error("the quarantine's name does not fit")]
    Quarantine(#[from] IdError),
    /// No random bytes.
    #[error("the import has no id")]
    Entropy(#[from] EntropyFailed),
    /// A batch could not be put together, which is a bug.
    #[error("the rows could not be put together")]
    Arrow(#[from] ArrowError),
    /// The reading task stopped by itself, which is a bug.
    #[error("reading stopped unexpectedly")]
    Stopped,
}

impl Classified for ImportError {
    fn class(&self) -> Class {
        match self {
            Self::Read(e) => e.class(),
            Self::Schema(_) | Self::Quarantine(_) => Class::BadRequest,
            Self::Lake(e) => e.class(),
            Self::Entropy(_) => Class::Unavailable,
            Self::Arrow(_) | Self::Stopped => Class::Bug,
        }
    }
}

/// Imports files into one dataset of a lake.
pub struct Importer {
    lake: Arc<Lake>,
    schema: SchemaFile,
    encryption: EncryptionSettings,
}

enum Batch {
    Accepted(RecordBatch),
    Quarantined(RecordBatch),
}

impl Importer {
    /// Imports by `schema`; a dataset that is not there is made with `encryption`.
    #[must_use]
    pub const fn new(lake: Arc<Lake>, schema: SchemaFile, encryption: EncryptionSettings) -> Self {
        Self { lake, schema, encryption }
    }

    async fn writer(&self) -> Result<Writer, ImportError> {
        match self.lake.append(&self.schema.dataset).await {
            Err(LakeError::NoDataset { .. }) => {
                self.lake.create(self.schema.spec(self.encryption)?).await?;
                Ok(self.lake.append(&self.schema.dataset).await?)
            }
            writer => Ok(writer?),
        }
    }

    async fn quarantine_writer(&self, dataset: &DatasetId) -> Result<Writer, ImportError> {
        match self.lake.append(dataset).await {
            Err(LakeError::NoDataset { .. }) => {
                self.lake.create(quarantine::spec(dataset.clone(), self.encryption)).await?;
                Ok(self.lake.append(dataset).await?)
            }
            writer => Ok(writer?),
        }
    }

    /// Imports a source, all of it or nothing.
    ///
    /// The quarantine is published before the rows: a crash in between leaves a record there that
    /// a second import will add again, and loses none.
    ///
    /// # Errors
    /// When the source as a whole cannot be read, or the lake fails.
    pub async fn run(
        &self,
        name: &str,
        source: Box<dyn Read + Send>,
        format: Format,
        mut progress: impl FnMut(Progress),
    ) -> Result<ImportReport, ImportError> {
        let mut id = [0; 8];
        OsEntropy.fill(&mut id)?;
        let import = format!("{:016x}", u64::from_be_bytes(id));
        let quarantine = quarantine_dataset(&self.schema.dataset)?;
        let mut writer = self.writer().await?;
        let mut beside: Option<Writer> = None;

        let (send, mut receive) = mpsc::channel(2);
        let reading = Reading {
            schema: self.schema.clone(),
            import: import.clone(),
            name: name.to_owned(),
            send,
            reasons: BTreeMap::new(),
        };
        let task = tokio::task::spawn_blocking(move || reading.run(source, format));
        let mut so_far = Progress::default();
        while let Some(batch) = receive.recv().await {
            match batch {
                Batch::Accepted(rows) => {
                    so_far.accepted += rows.num_rows() as u64;
                    writer.write(&rows).await?;
                }
                Batch::Quarantined(rows) => {
                    so_far.quarantined += rows.num_rows() as u64;
                    if beside.is_none() {
                        beside = Some(self.quarantine_writer(&quarantine).await?);
                    }
                    if let Some(beside) = &mut beside {
                        beside.write(&rows).await?;
                    }
                }
            }
            progress(so_far);
        }
        let reasons = task.await.map_err(|_| ImportError::Stopped)??;
        let quarantined = beside.is_some();
        if let Some(beside) = beside {
            beside.publish().await?;
        }
        let snapshot = writer.publish().await?;
        let reason = |((field, reason), records): ((String, Unfit), u64)| Reason {
            field,
            reason: reason.to_string(),
            records,
        };
        Ok(ImportReport {
            import,
            dataset: self.schema.dataset.clone(),
            version: snapshot.manifest().version,
            accepted: so_far.accepted,
            quarantined: so_far.quarantined,
            quarantine: quarantined.then_some(quarantine),
            reasons: reasons.into_iter().map(reason).collect(),
        })
    }
}

type Reasons = BTreeMap<(String, Unfit), u64>;

struct Reading {
    schema: SchemaFile,
    import: String,
    name: String,
    send: mpsc::Sender<Batch>,
    reasons: Reasons,
}

impl Reading {
    fn run(mut self, source: Box<dyn Read + Send>, format: Format) -> Result<Reasons, ImportError> {
        let mut accepted = BatchBuilder::new(self.schema.arrow(), &self.schema.columns);
        let mut refused = QuarantineBuilder::new();
        let records = match format {
            Format::Parquet => Box::new(parquet_records(source, &self.schema)?),
            _ => records(source, format, &self.schema)?,
        };
        for record in records {
            let record = record?;
            match self.values(&record) {
                Ok(row) => accepted.push(&row),
                Err((field, reason)) => {
                    let origin = (self.import.as_str(), self.name.as_str());
                    let why = reason.to_string();
                    refused.push(origin, record.line, (&field, &why), &record.raw);
                    *self.reasons.entry((field, reason)).or_default() += 1;
                }
            }
            if accepted.len() >= BATCH_ROWS {
                self.hand_on(Batch::Accepted(accepted.finish()?))?;
            }
            if refused.len() >= BATCH_ROWS {
                self.hand_on(Batch::Quarantined(refused.finish()?))?;
            }
        }
        if accepted.len() > 0 {
            self.hand_on(Batch::Accepted(accepted.finish()?))?;
        }
        if refused.len() > 0 {
            self.hand_on(Batch::Quarantined(refused.finish()?))?;
        }
        Ok(self.reasons)
    }

    fn hand_on(&self, batch: Batch) -> Result<(), ImportError> {
        // The other side is gone only when it failed, and then says why itself.
        self.send.blocking_send(batch).map_err(|_| ImportError::Stopped)
    }

    fn values(&self, record: &Record) -> Result<Vec<Value>, (String, Unfit)> {
        let fields = record.fields.as_ref().map_err(Clone::clone)?;
        let pairs = self.schema.columns.iter().zip(fields);
        pairs
            .map(|(column, field)| {
                let value = match field {
                    Ok(text) => value::read(column, text.as_deref()),
                    Err(unfit) => Err(*unfit),
                };
                value.map_err(|unfit| (column.name.clone(), unfit))
            })
            .collect()
    }
}

/// A Parquet source's rows as records, so that they pass the same checks.
fn parquet_records(
    source: Box<dyn Read + Send>,
    schema: &SchemaFile,
) -> Result<impl Iterator<Item = Result<Record, ReadError>> + Send + use<>, ImportError> {
    let wanted: Vec<String> = schema.columns.iter().map(|c| c.source_name().to_owned()).collect();
    let ignore = schema.ignore.clone();
    let mut batches = parquet_batches(source).map_err(|e| ReadError::Parquet(Box::new(e)))?;
    let names: Vec<String> = batches.schema().fields().iter().map(|f| f.name().clone()).collect();
    if let Some(column) = names.iter().find(|n| !wanted.contains(n) && !ignore.contains(n)) {
        return Err(ReadError::Unknown { column: column.clone() }.into());
    }
    if let Some(column) = wanted.iter().find(|w| !names.contains(w)) {
        return Err(ReadError::Lacking { column: column.clone() }.into());
    }
    let mut line = 0;
    let mut waiting: std::vec::IntoIter<Record> = Vec::new().into_iter();
    Ok(std::iter::from_fn(move || {
        loop {
            if let Some(record) = waiting.next() {
                return Some(Ok(record));
            }
            let batch = match batches.next()? {
                Ok(batch) => batch,
                Err(e) => return Some(Err(ReadError::Parquet(Box::new(e)))),
            };
            match super::parquet_rows::records_of(&batch, &wanted, &mut line) {
                Ok(records) => waiting = records.into_iter(),
                Err(e) => return Some(Err(ReadError::Parquet(Box::new(e)))),
            }
        }
    }))
}
