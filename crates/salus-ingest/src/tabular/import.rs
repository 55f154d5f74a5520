use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use salus_crypto::OsEntropy;
use salus_model::{Class, Classified, DatasetId, DatasetVersion, Entropy, EntropyFailed, IdError};
use salus_store::{
    EncryptionSettings, Lake, LakeError, ParquetBatches, ParquetSource, Superseded, Writer,
};
use serde::Serialize;
use tokio::sync::mpsc;

use super::builder::BatchBuilder;
use super::convert;
use super::quarantine::{self, QuarantineBuilder, quarantine_dataset};
use super::reader::{LineFormat, ReadError, Record, records};
use super::schema::{Column, ColumnKind, SchemaFile, SchemaFileError};
use super::shape::Shape;
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
    /// The dataset is there, and encrypted otherwise than the schema says.
    #[error(
        "dataset {dataset} is encrypted with other settings than the schema's [encryption] says; \
         they are chosen when a dataset is made: take them out, or import into a new dataset"
    )]
    OtherEncryption {
        /// The dataset.
        dataset: DatasetId,
    },
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
            Self::Schema(_) | Self::Quarantine(_) | Self::OtherEncryption { .. } => {
                Class::BadRequest
            }
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

/// Where records come from.
pub enum Source {
    /// Lines of text.
    Lines(Box<dyn Read + Send>, LineFormat),
    /// A Parquet file.
    Parquet(Box<ParquetSource>),
}

enum Prepared {
    Lines(Box<dyn Read + Send>, LineFormat),
    Parquet(ParquetBatches),
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
        let dataset = &self.schema.dataset;
        match self.lake.snapshot(dataset, None).await {
            Err(LakeError::NoDataset { .. }) => {
                self.lake.create(self.schema.spec(self.encryption)?).await?;
            }
            snapshot => {
                let found = snapshot?.manifest().encryption;
                if self.schema.encryption.is_some_and(|wanted| wanted != found) {
                    return Err(ImportError::OtherEncryption { dataset: dataset.clone() });
                }
            }
        }
        Ok(self.lake.append(dataset).await?)
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

    /// A source that fits the schema, and of which the keys that it takes are to be had.
    async fn prepared(&self, source: Source) -> Result<Prepared, ReadError> {
        match source {
            Source::Lines(source, format) => {
                single_values(&self.schema)?;
                Ok(Prepared::Lines(source, format))
            }
            Source::Parquet(source) => {
                convert::check_columns(&self.schema, source.schema())?;
                let named = self.schema.columns.iter().map(|c| c.source_name().to_owned());
                let columns: Vec<String> = named.collect();
                Ok(Prepared::Parquet(source.batches(&columns).await?))
            }
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
        source: Source,
        mut progress: impl FnMut(Progress),
    ) -> Result<ImportReport, ImportError> {
        let mut id = [0; 8];
        OsEntropy.fill(&mut id)?;
        let import = format!("{:016x}", u64::from_be_bytes(id));
        let quarantine = quarantine_dataset(&self.schema.dataset)?;
        let source = self.prepared(source).await?;
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
        let task = tokio::task::spawn_blocking(move || match source {
            Prepared::Lines(source, format) => reading.lines(source, format),
            Prepared::Parquet(batches) => reading.parquet(batches),
        });
        let mut so_far = Progress::default();
        let identity = writer.identity().cloned();
        let (mut newest, mut repeated) = (HashMap::new(), HashMap::new());
        while let Some(batch) = receive.recv().await {
            match batch {
                Batch::Accepted(rows) => {
                    so_far.accepted += rows.num_rows() as u64;
                    if let Some(identity) = &identity {
                        identity
                            .rows(&rows, |key, at| note(&mut newest, &mut repeated, key, at))?;
                    }
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
        if identity.is_some() {
            writer.supersede(&Superseded::new(repeated));
            writer.replace(Arc::new(move |key: &str| newest.get(key).copied()));
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

/// Remembers the newest row of a key, and from which one on its rows count when there are several.
fn note(
    newest: &mut HashMap<String, i64>,
    repeated: &mut HashMap<String, i64>,
    key: &str,
    sequence: i64,
) {
    let Some(known) = newest.get_mut(key) else {
        newest.insert(key.to_owned(), sequence);
        return;
    };
    if *known != sequence {
        *known = sequence.max(*known);
        repeated.insert(key.to_owned(), *known);
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
    fn lines(
        mut self,
        source: Box<dyn Read + Send>,
        format: LineFormat,
    ) -> Result<Reasons, ImportError> {
        let kinds = single_values(&self.schema)?;
        let mut accepted = BatchBuilder::new(self.schema.arrow(), &kinds);
        let mut refused = QuarantineBuilder::new();
        for record in records(source, format, &self.schema)? {
            let record = record?;
            match self.values(&record, &kinds) {
                Ok(row) => accepted.push(&row),
                Err(why) => self.refuse(&mut refused, record.line, why, &record.raw),
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

    /// Rows are counted from 1, as lines are.
    fn parquet(mut self, batches: ParquetBatches) -> Result<Reasons, ImportError> {
        let schema = self.schema.arrow();
        let mut before = 0;
        for batch in batches {
            let batch = batch.map_err(ReadError::Parquet)?;
            let sorted = convert::sort(&self.schema.columns, &schema, &batch)?;
            if sorted.accepted.num_rows() > 0 {
                self.hand_on(Batch::Accepted(sorted.accepted))?;
            }
            let mut refused = QuarantineBuilder::new();
            for ((row, field, unfit), raw) in sorted.refused {
                self.refuse(&mut refused, before + row as u64 + 1, (field, unfit), &raw);
            }
            if refused.len() > 0 {
                self.hand_on(Batch::Quarantined(refused.finish()?))?;
            }
            before += batch.num_rows() as u64;
        }
        Ok(self.reasons)
    }

    fn refuse(
        &mut self,
        refused: &mut QuarantineBuilder,
        line: u64,
        (field, reason): (String, Unfit),
        raw: &str,
    ) {
        let origin = (self.import.as_str(), self.name.as_str());
        refused.push(origin, line, (&field, &reason.to_string()), raw);
        *self.reasons.entry((field, reason)).or_default() += 1;
    }

    fn hand_on(&self, batch: Batch) -> Result<(), ImportError> {
        // The other side is gone only when it failed, and then says why itself.
        self.send.blocking_send(batch).map_err(|_| ImportError::Stopped)
    }

    fn values(&self, record: &Record, kinds: &[ColumnKind]) -> Result<Vec<Value>, (String, Unfit)> {
        let fields = record.fields.as_ref().map_err(Clone::clone)?;
        let triples = self.schema.columns.iter().zip(kinds).zip(fields);
        triples
            .map(|((column, kind), field)| {
                let value = match field {
                    Ok(text) => value::read(column, *kind, text.as_deref()),
                    Err(unfit) => Err(*unfit),
                };
                value.map_err(|unfit| (column.name.clone(), unfit))
            })
            .collect()
    }
}

/// What each column is, where none is nested.
fn single_values(schema: &SchemaFile) -> Result<Vec<ColumnKind>, ReadError> {
    let kind = |column: &Column| match column.shape {
        Shape::One(kind) => Ok(kind),
        _ => Err(ReadError::NotNested { column: column.name.clone() }),
    };
    schema.columns.iter().map(kind).collect()
}
