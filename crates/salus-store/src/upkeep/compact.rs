use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::errors::ParquetError;
use salus_model::{ColumnPath, DatasetId, DatasetVersion};
use salus_spine::{Upkeep, UpkeepAuthorised};

use super::ONE_AT_A_TIME;
use crate::admit::Admission;
use crate::file::OpenFile;
use crate::keytools::Unwrapped;
use crate::lake::{Lake, LakeError, Snapshot};
use crate::manifest::{DataFile, Manifest};
use crate::scan::leaf;
use crate::upsert::Census;
use crate::visible::{leaves, leaves_of};

/// When a file is worth rewriting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactSettings {
    /// Files smaller than this are merged when there are two or more.
    pub small_bytes: u64,
    /// A larger file is rewritten when at least this many percent of its rows are superseded.
    pub superseded_percent: u8,
}

/// What compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compacted {
    /// There was nothing worth rewriting.
    NothingToDo,
    /// A new version names new files in place of old ones.
    Published {
        /// The version.
        version: DatasetVersion,
        /// How many files were replaced.
        replaced: usize,
        /// Rows that were left out because later ones replace them.
        dropped_rows: u64,
    },
    /// Somebody else replaced one of the files meanwhile; nothing was changed. Try again later.
    Overtaken,
}

pub(crate) type Batches = BoxStream<'static, Result<RecordBatch, ParquetError>>;

impl Lake {
    /// Merges small files into larger ones, and leaves superseded rows out of them, and entries
    /// that hide nothing any more out of the list of those; a row that arrives late still loses.
    ///
    /// Older versions still name the old files, until [`Lake::expire_versions`].
    ///
    /// # Privacy
    /// Decrypts in memory, and encrypts under new keys; yields no rows.
    ///
    /// # Errors
    /// When the order does not cover it, or reading or writing fails; the dataset is then as
    /// before.
    pub async fn compact(
        self: &Arc<Self>,
        order: &UpkeepAuthorised,
        dataset: &DatasetId,
        settings: CompactSettings,
    ) -> Result<Compacted, LakeError> {
        let not_ordered = |source| LakeError::Upkeep { dataset: dataset.clone(), source };
        order.covers(dataset, Upkeep::Compact).map_err(not_ordered)?;
        let _one_at_a_time = ONE_AT_A_TIME.lock().await;
        let newest = self.versions(dataset).await?.last().copied();
        // By its number, so that rows that are still in the journal stay there.
        let base = self.snapshot(dataset, newest).await?;
        let census = self.census(&base).await?;
        let chosen = worth_rewriting(&base, settings, census.as_ref());
        let settled = census.map_or_else(Vec::new, |census| census.settled(&base, &chosen));
        // A new version for the list alone pays when a good part of it goes.
        let shrinks =
            !settled.is_empty() && settled.len().saturating_mul(4) >= base.superseded.len();
        if chosen.is_empty() && !shrinks {
            return Ok(Compacted::NothingToDo);
        }
        let session = Unwrapped::default();
        let admission = admission(&base);
        let mut writer = self.writer(Arc::clone(&base)).await?;
        let mut dropped_rows = 0;
        for file in &chosen {
            let mut batches =
                self.rows(&base.manifest, file, leaves(&base.manifest.schema), &session).await?;
            while let Some(batch) = batches.try_next().await.map_err(|e| rewritten(dataset, e))? {
                let kept = admitted(&admission, &batch).map_err(|e| rewritten(dataset, e))?;
                dropped_rows += (batch.num_rows() - kept.num_rows()) as u64;
                if kept.num_rows() > 0 {
                    writer.write(&kept).await?;
                }
            }
        }
        writer.settle(settled);
        let names: Vec<String> = chosen.iter().map(|f| f.name.clone()).collect();
        Ok(match writer.publish_replacing(&names).await? {
            Some(version) => Compacted::Published { version, replaced: names.len(), dropped_rows },
            None => Compacted::Overtaken,
        })
    }

    /// Rows of a file, of all columns that hold one of `columns`.
    pub(crate) async fn rows(
        &self,
        manifest: &Manifest,
        file: &DataFile,
        columns: Vec<ColumnPath>,
        session: &Unwrapped,
    ) -> Result<Batches, LakeError> {
        let fields = manifest.schema.fields().iter().enumerate();
        let roots: Vec<usize> = fields
            .filter(|(_, field)| leaves_of(field).iter().any(|leaf| columns.contains(leaf)))
            .map(|(root, _)| root)
            .collect();
        let wanted: BTreeSet<ColumnPath> = columns.into_iter().collect();
        let refused = |source| LakeError::File { dataset: manifest.dataset.clone(), source };
        let opened = self.open_file(manifest, file, &wanted, session).await.map_err(refused)?;
        let OpenFile { reader, metadata } = opened;
        let failed = |e| rewritten(&manifest.dataset, e);
        let options = ArrowReaderOptions::new().with_schema(Arc::clone(&manifest.schema));
        let metadata = ArrowReaderMetadata::try_new(metadata, options).map_err(failed)?;
        let mask = ProjectionMask::roots(metadata.parquet_schema(), roots);
        let batches = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
            .with_projection(mask)
            .build()
            .map_err(failed)?;
        Ok(batches.boxed())
    }
}

fn worth_rewriting(
    base: &Snapshot,
    settings: CompactSettings,
    census: Option<&Census>,
) -> Vec<DataFile> {
    let all = base.manifest.files.iter().enumerate();
    let (mut chosen, mut rest): (Vec<_>, Vec<_>) =
        all.partition(|(_, file)| file.bytes < settings.small_bytes);
    if chosen.len() < 2 {
        // One small file alone is rewritten only for what it would lose.
        rest.append(&mut chosen);
    }
    let share = u64::from(settings.superseded_percent);
    let loses = |at: usize, file: &DataFile| {
        let hidden = census.map_or(0, |census| census.hidden(at));
        hidden > 0 && hidden.saturating_mul(100) >= share.saturating_mul(file.rows)
    };
    chosen.extend(rest.into_iter().filter(|(at, file)| loses(*at, file)));
    chosen.into_iter().map(|(_, file)| file.clone()).collect()
}

/// That files cannot be rewritten.
pub(crate) fn rewritten(dataset: &DatasetId, source: ParquetError) -> LakeError {
    LakeError::Rewrite { dataset: dataset.clone(), source }
}

fn admission(base: &Snapshot) -> Admission {
    let identity = base.manifest.identity.clone().map(|i| (i, base.superseded.clone()));
    Admission::new(Vec::new(), identity)
}

fn admitted(admission: &Admission, batch: &RecordBatch) -> Result<RecordBatch, ParquetError> {
    if admission.is_open() {
        return Ok(batch.clone());
    }
    let verdict = admission.decide(batch.num_rows(), |path| leaf(batch, path))?;
    Ok(filter_record_batch(batch, &verdict)?)
}
