//! New files and new versions.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use salus_crypto::{Digest, OsEntropy};
use salus_model::{DatasetId, DatasetVersion, Entropy};

use crate::admit::{Identity, Superseded};
use crate::keytools::{KeyToolsError, NewFileKeys, WriteKeys};
use crate::lake::{Lake, LakeError, Snapshot};
use crate::manifest::{DataFile, Manifest, aad_prefix, root_of};
use crate::storage::StorageError;
use crate::upsert::Newest;
use crate::visible::leaves;

/// Rows in one row group.
pub(crate) const GROUP_ROWS: usize = 256 * 1024;
/// A file is closed when it has this many bytes.
const FILE_BYTES: usize = 128 * 1024 * 1024;
/// How often a version is prepared anew because others published first.
const ATTEMPTS: usize = 16;

/// Writes rows into new files; they are visible, all together, once [`Writer::publish`] returns.
///
/// A writer that is dropped leaves files that no version names; `dataset compact` removes them.
pub struct Writer {
    lake: Arc<Lake>,
    base: Arc<Snapshot>,
    version: DatasetVersion,
    keys: WriteKeys,
    open: Option<Open>,
    files: Vec<DataFile>,
    superseded: Superseded,
    newest: Option<Newest>,
    /// Entries of the list that hide nothing, as far as the version goes from which it began.
    settled: Vec<(String, i64)>,
    /// The lowest sequence that was written.
    least: Option<i64>,
    journal_through: Option<u64>,
}

struct Open {
    name: String,
    material: Option<String>,
    writer: ArrowWriter<Vec<u8>>,
    rows: u64,
}

/// How the lake lays out a data file, before its keys are added.
#[must_use]
pub fn file_layout() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
}

/// A name that no other file has.
pub(crate) fn file_name(version: DatasetVersion, ending: &str) -> Result<String, KeyToolsError> {
    let mut random = [0; 8];
    OsEntropy.fill(&mut random)?;
    let random = u64::from_be_bytes(random);
    Ok(format!("{:020}-{random:016x}.{ending}", version.number()))
}

pub(crate) fn difference(wanted: &Schema, found: &Schema) -> Option<String> {
    if wanted.fields().len() != found.fields().len() {
        let (wanted, found) = (wanted.fields().len(), found.fields().len());
        return Some(format!("{wanted} columns are wanted, there are {found}"));
    }
    let pairs = wanted.fields().iter().zip(found.fields());
    pairs.into_iter().find_map(|(w, f)| {
        let same = w.name() == f.name() && w.data_type() == f.data_type();
        (!same).then(|| {
            let (wanted, found) = (w.data_type(), f.data_type());
            format!("column '{}' of {wanted} is wanted, it is '{}' of {found}", w.name(), f.name())
        })
    })
}

impl Lake {
    /// Begins to append to a dataset's newest version.
    ///
    /// # Errors
    /// When the dataset is not there, or its keys are not available.
    pub async fn append(self: &Arc<Self>, dataset: &DatasetId) -> Result<Writer, LakeError> {
        let base = self.snapshot(dataset, None).await?;
        self.writer(base).await
    }

    pub(crate) async fn writer(self: &Arc<Self>, base: Arc<Snapshot>) -> Result<Writer, LakeError> {
        let manifest = &base.manifest;
        let leaves = leaves(&manifest.schema);
        let keys = WriteKeys::prepare(
            Arc::clone(&self.keys),
            manifest.encryption,
            &manifest.dataset,
            &leaves,
            &manifest.keys,
        )
        .await
        .map_err(|source| LakeError::Keys { dataset: manifest.dataset.clone(), source })?;
        let version = manifest.version.next();
        Ok(Writer {
            lake: Arc::clone(self),
            base,
            version,
            keys,
            open: None,
            files: Vec::new(),
            superseded: Superseded::default(),
            newest: None,
            settled: Vec::new(),
            least: None,
            journal_through: None,
        })
    }
}

impl Writer {
    fn dataset(&self) -> &DatasetId {
        &self.base.manifest.dataset
    }

    fn encode_error(&self) -> impl Fn(parquet::errors::ParquetError) -> LakeError + use<> {
        let dataset = self.dataset().clone();
        move |source| LakeError::Encode { dataset: dataset.clone(), source }
    }

    /// How rows of the dataset replace each other.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.base.manifest.identity.as_ref()
    }

    /// Writes a batch of the dataset's schema.
    ///
    /// # Errors
    /// When the schema differs, or a finished file cannot be stored.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        let schema = Arc::clone(&self.base.manifest.schema);
        if let Some(difference) = difference(&schema, &batch.schema()) {
            return Err(LakeError::OtherSchema { dataset: self.dataset().clone(), difference });
        }
        let failed = self.encode_error();
        let batch =
            RecordBatch::try_new(schema, batch.columns().to_vec()).map_err(|e| failed(e.into()))?;
        if let Some(identity) = &self.base.manifest.identity {
            let mut least = self.least;
            let seen =
                |_: &str, sequence| least = Some(least.map_or(sequence, |l| sequence.min(l)));
            identity.rows(&batch, seen).map_err(|e| failed(e.into()))?;
            self.least = least;
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin().await?,
        };
        // Encoding and encrypting is work for a processor, not for the thread that serves others.
        let rows = batch.num_rows() as u64;
        let (writer, full) = tokio::task::block_in_place(|| {
            open.writer.write(&batch).map_err(&failed)?;
            let bytes = open.writer.bytes_written() + open.writer.in_progress_size();
            Ok::<_, LakeError>((open, bytes >= FILE_BYTES))
        })?;
        open = writer;
        open.rows += rows;
        if full {
            self.close(open).await
        } else {
            self.open = Some(open);
            Ok(())
        }
    }

    /// Stores what was written so far as a whole file, so that a long import
    /// holds little in memory; it stays invisible until [`Writer::publish`].
    ///
    /// # Errors
    /// When the file cannot be stored.
    pub async fn flush(&mut self) -> Result<(), LakeError> {
        match self.open.take() {
            Some(open) => self.close(open).await,
            None => Ok(()),
        }
    }

    /// From which sequence on the rows of a key count.
    pub fn supersede(&mut self, superseded: &Superseded) {
        self.superseded = self.superseded.merged(superseded);
    }

    /// Whatever `newest` tells a sequence of replaces the dataset's older rows of that key, those
    /// too that others publish before this; where others have a newer row, theirs counts.
    ///
    /// # Cost
    /// Publication reads keys and sequences of the dataset's files.
    pub fn replace(&mut self, newest: Newest) {
        self.newest = Some(newest);
    }

    /// Leaves entries out of the list that hide nothing in the version from which this began.
    pub(crate) fn settle(&mut self, entries: Vec<(String, i64)>) {
        self.settled = entries;
    }

    /// Up to which position the journal's rows are in these files.
    pub const fn set_journal_through(&mut self, position: u64) {
        self.journal_through = Some(position);
    }

    // By unique reference, as the Parquet writer inside may change threads and not be shared.
    async fn begin(&mut self) -> Result<Open, LakeError> {
        let dataset = &self.base.manifest.dataset;
        let no_keys = |source| LakeError::Keys { dataset: dataset.clone(), source };
        let name = file_name(self.version, "parquet").map_err(no_keys)?;
        let aad = aad_prefix(self.lake.holder(), dataset, self.version, &name);
        let NewFileKeys { properties, material } =
            self.keys.new_file(aad).await.map_err(no_keys)?;
        let properties = file_layout().with_file_encryption_properties(properties).build();
        let schema = Arc::clone(&self.base.manifest.schema);
        let writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties))
            .map_err(self.encode_error())?;
        let material = material.map(|material| material.to_json());
        Ok(Open { name, material, writer, rows: 0 })
    }

    async fn close(&mut self, open: Open) -> Result<(), LakeError> {
        let failed = self.encode_error();
        let Open { name, material, writer, rows } = open;
        let (bytes, sha256) = tokio::task::block_in_place(|| {
            let bytes = writer.into_inner().map_err(failed)?;
            let sha256 = Digest::of(&bytes);
            Ok::<_, LakeError>((bytes, sha256))
        })?;
        let (lake, dataset) = (&self.lake, self.dataset());
        let size = bytes.len() as u64;
        if let Some(material) = material {
            let beside = lake.material_path(dataset, &name);
            lake.storage.put_new(&beside, material.into()).await?;
        }
        lake.storage.put_new(&lake.data_path(dataset, &name), bytes.into()).await?;
        let file = DataFile { name, first_version: self.version, rows, bytes: size, sha256 };
        self.files.push(file);
        Ok(())
    }

    /// Publishes what was written as the dataset's next version.
    ///
    /// When others publish first, their rows stay and these come on top. Nothing is published
    /// when there is nothing to publish.
    ///
    /// # Errors
    /// When storing fails; the dataset is then as before.
    pub async fn publish(self) -> Result<Arc<Snapshot>, LakeError> {
        let (lake, dataset) = (Arc::clone(&self.lake), self.dataset().clone());
        self.publish_replacing(&[]).await?;
        lake.snapshot(&dataset, None).await
    }

    /// As [`Writer::publish`]; the version that has what was written, which others may have
    /// followed with newer ones.
    ///
    /// # Errors
    /// When storing fails; the dataset is then as before.
    pub async fn publish_version(self) -> Result<DatasetVersion, LakeError> {
        let dataset = self.dataset().clone();
        let published = self.publish_replacing(&[]).await?;
        // None is for files to be replaced that are gone, and none are replaced here.
        published.ok_or(LakeError::Busy { dataset })
    }

    /// As [`Writer::publish`], in place of the named files; false when one of them is gone.
    pub(crate) async fn publish_replacing(
        mut self,
        replaced: &[String],
    ) -> Result<Option<DatasetVersion>, LakeError> {
        self.flush().await?;
        let moved_on = self.journal_through.is_some_and(|p| p > self.base.manifest.journal_through);
        let changes = moved_on
            || !self.files.is_empty()
            || !replaced.is_empty()
            || !self.superseded.is_empty()
            || !self.settled.is_empty();
        let dataset = self.dataset().clone();
        let mut base = Arc::clone(&self.base);
        for _ in 0..ATTEMPTS {
            let gone = |name: &String| !base.manifest.files.iter().any(|f| f.name == *name);
            if replaced.iter().any(gone) {
                return Ok(None);
            }
            if !self.files.is_empty() && self.version < base.manifest.retired_before {
                return Err(LakeError::Retired { dataset });
            }
            let added = self.added(&base, replaced).await?;
            if !changes && added.is_empty() {
                return Ok(Some(base.manifest.version));
            }
            let manifest = self.next_manifest(&base, replaced, &added).await?;
            match self.lake.publish(&manifest).await {
                Ok(_) => return Ok(Some(manifest.version)),
                Err(LakeError::Storage(StorageError::Exists { .. })) => {
                    base = self.lake.snapshot(&dataset, None).await?;
                }
                Err(e) => return Err(e),
            }
        }
        Err(LakeError::Busy { dataset })
    }

    /// What goes on the list of superseded rows when this is published on top of `base`.
    // By unique reference as well, as in `begin`.
    async fn added(
        &mut self,
        base: &Snapshot,
        replaced: &[String],
    ) -> Result<Superseded, LakeError> {
        // Rows that only move from file to file were compared when they came.
        let below = base.manifest.settled_below.filter(|_| replaced.is_empty());
        let below = below.filter(|below| self.least.is_some_and(|least| least < *below));
        let late = below.map(|below| (self.files.as_slice(), below));
        let found = self.lake.replaced(base, self.newest.as_ref(), late).await?;
        Ok(self.superseded.merged(&found))
    }

    async fn next_manifest(
        &mut self,
        base: &Snapshot,
        replaced: &[String],
        added: &Superseded,
    ) -> Result<Manifest, LakeError> {
        let version = base.manifest.version.next();
        let kept = base.manifest.files.iter().filter(|f| !replaced.contains(&f.name));
        let mut files: Vec<DataFile> = kept.chain(&self.files).cloned().collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        // What others published meanwhile may be hidden by these very entries.
        let as_found = base.manifest.version == self.base.manifest.version;
        let settled = if as_found { self.settled.as_slice() } else { &[] };
        let below = settled.iter().map(|(_, from)| *from).max();
        let settled_below = base.manifest.settled_below.max(below);
        let superseded = if added.is_empty() && settled.is_empty() {
            base.manifest.superseded.clone()
        } else {
            let stored = self.lake.stored_superseded(&base.manifest).await?;
            let all = stored.merged(added).without(settled);
            let dataset = &base.manifest.dataset;
            match all.is_empty() {
                true => None,
                false => Some(self.lake.write_superseded(dataset, version, &all).await?),
            }
        };
        let through = self.journal_through.unwrap_or(0).max(base.manifest.journal_through);
        Ok(Manifest {
            format: Manifest::format_for(settled_below),
            version,
            previous: Some(base.digest),
            created: self.lake.clock.now(),
            root: root_of(&files, superseded.as_ref()),
            files,
            superseded,
            journal_through: through,
            settled_below,
            ..base.manifest.clone()
        })
    }
}
