//! The lake's only scan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use futures::stream::BoxStream;
use futures::{StreamExt, TryFutureExt, TryStreamExt, stream};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{
    ArrowPredicate, ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, RowFilter,
};
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::schema::types::SchemaDescriptor;
use salus_crypto::Digest;
use salus_keys::{KeyState, KeyStoreError};
use salus_model::{Class, Classified, ColumnPath, DatasetId, DatasetVersion, Timestamp};
use salus_spine::{KeyRelease, Unreleased, Use};

use crate::admit::Admission;
use crate::coded::coded;
use crate::file::{FileError, OpenFile};
use crate::keytools::{KeyToolsError, Unwrapped};
use crate::lake::{Lake, LakeError, Snapshot};
use crate::slices::{Slice, slices};
use crate::visible::{VisibleColumn, leaves_of, visible};

/// Rows in one batch.
const BATCH_ROWS: usize = 8192;

/// Batches in the shape of the visible schema's projection.
pub type BatchStream = BoxStream<'static, Result<RecordBatch, ScanError>>;

/// A filter that the scan applies to admitted rows, as early as it can.
///
/// Applying it is not a duty of the scan alone: the engine keeps its own filter, so a filter that
/// only prunes may be offered too.
pub trait ScanFilter: Send + Sync {
    /// The columns that it looks at, by their places in the visible schema, ascending.
    fn columns(&self) -> &[usize];

    /// Which rows pass; the batch has exactly [`ScanFilter::columns`].
    ///
    /// # Errors
    /// When it cannot be computed.
    fn passes(&self, batch: &RecordBatch) -> Result<BooleanArray, ArrowError>;

    /// Which row groups may hold a row that passes; by default all.
    fn may_pass(&self, statistics: &RowGroupStatistics) -> Vec<bool> {
        vec![true; statistics.row_groups]
    }
}

/// Least and largest values by row group, of columns that the reader may see.
pub struct RowGroupStatistics {
    /// How many row groups there are.
    pub row_groups: usize,
    /// Rows in each.
    pub rows: Vec<u64>,
    columns: BTreeMap<usize, ColumnStatistics>,
}

/// One column's statistics, one entry a row group.
#[derive(Debug, Clone)]
pub struct ColumnStatistics {
    /// Least values; null when unknown.
    pub min: ArrayRef,
    /// Largest values; null when unknown.
    pub max: ArrayRef,
    /// Nulls.
    pub nulls: ArrayRef,
}

impl RowGroupStatistics {
    /// The statistics of a column, by its place in the visible schema.
    #[must_use]
    pub fn column(&self, column: usize) -> Option<&ColumnStatistics> {
        self.columns.get(&column)
    }
}

/// Why a scan stopped.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The release does not cover the dataset.
    #[error("dataset {dataset} is not covered by the grant or permit")]
    NotCovered {
        /// The dataset.
        dataset: DatasetId,
    },
    /// Opt-outs cannot be applied.
    #[error("dataset {dataset} cannot be used under a permit")]
    NoSubject {
        /// The dataset.
        dataset: DatasetId,
        /// Why.
        #[source]
        source: salus_spine::NoSubject,
    },
    /// The release is another holder's.
    #[error("the grant or permit is for data of {holder}")]
    OtherHolder {
        /// That holder.
        holder: salus_model::HolderId,
    },
    /// The release ended before or while reading.
    #[error("the grant or permit ended at {at}; ask again")]
    Ended {
        /// When it ended.
        at: Timestamp,
    },
    /// The lake could not give the dataset.
    #[error("the dataset cannot be opened")]
    Lake(#[from] LakeError),
    /// A file could not be opened.
    #[error("a file of dataset {dataset} cannot be read")]
    File {
        /// The dataset.
        dataset: DatasetId,
        /// Why.
        #[source]
        source: FileError,
    },
    /// A page could not be read: altered, torn, or out of reach.
    #[error("a page of file {file} cannot be read: it is damaged, or was altered")]
    Page {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A batch could not be put together.
    #[error("the rows read cannot be put into the dataset's schema")]
    Arrow(#[from] ArrowError),
}

impl Classified for ScanError {
    fn class(&self) -> Class {
        match self {
            Self::NotCovered { .. }
            | Self::NoSubject { .. }
            | Self::OtherHolder { .. }
            | Self::Ended { .. } => Class::Refused,
            Self::Lake(e) => e.class(),
            Self::File { source, .. } => source.class(),
            Self::Page { .. } => Class::Corrupt,
            Self::Arrow(_) => Class::Bug,
        }
    }
}

/// Datasets opened under one key release, each pinned to one version.
pub struct ReadSession<U: Use> {
    release: KeyRelease<U>,
    tables: BTreeMap<DatasetId, TableSource>,
}

impl<U: Use> ReadSession<U> {
    pub(crate) fn new(
        release: KeyRelease<U>,
        lake: &Arc<Lake>,
        snapshots: Vec<Arc<Snapshot>>,
    ) -> Result<Self, ScanError> {
        let unwrapped = Arc::new(Unwrapped::default());
        let mut tables = BTreeMap::new();
        for snapshot in snapshots {
            let dataset = snapshot.manifest.dataset.clone();
            let access = release
                .access(&dataset)
                .ok_or_else(|| ScanError::NotCovered { dataset: dataset.clone() })?;
            let (schema, columns) = visible(&snapshot.manifest.schema, access);
            let identity =
                snapshot.manifest.identity.clone().map(|i| (i, snapshot.superseded.clone()));
            let rules = access
                .rules(snapshot.manifest.subject.as_ref())
                .map_err(|source| ScanError::NoSubject { dataset: dataset.clone(), source })?;
            let admission = Admission::new(rules, identity);
            let ends = release.expires();
            let (lake, unwrapped) = (Arc::clone(lake), Arc::clone(&unwrapped));
            let source = Source { lake, ends, snapshot, schema, columns, admission, unwrapped };
            let table = TableSource { source: Arc::new(source), coded: BTreeSet::new() };
            tables.insert(dataset, table);
        }
        Ok(Self { release, tables })
    }

    /// The version of each dataset that is read, and the digest of its manifest.
    #[must_use]
    pub fn versions(&self) -> BTreeMap<DatasetId, (DatasetVersion, Digest)> {
        let pinned = |source: &Source| (source.snapshot.manifest.version, source.snapshot.digest);
        self.tables.iter().map(|(id, table)| (id.clone(), pinned(&table.source))).collect()
    }

    /// What a reader sees of a dataset: the columns allowed and those masked.
    #[must_use]
    pub fn schema(&self, dataset: &DatasetId) -> Option<SchemaRef> {
        self.tables.get(dataset).map(TableSource::schema)
    }

    /// Computes on the tables; what comes out is unreleased.
    ///
    /// # Privacy
    /// The one place where decrypted rows meet code. `engine` must not keep, log or send them.
    pub async fn compute<R, F>(
        self,
        engine: impl FnOnce(BTreeMap<DatasetId, TableSource>) -> F,
    ) -> Unreleased<R, U>
    where
        F: Future<Output = R>,
    {
        let Self { release, tables } = self;
        release.enclose(engine(tables).await)
    }
}

/// A dataset's rows as a key release shows them; lives inside [`ReadSession::compute`] only.
#[derive(Clone)]
pub struct TableSource {
    source: Arc<Source>,
    /// Columns of the visible schema that may come as codes.
    coded: BTreeSet<usize>,
}

struct Source {
    lake: Arc<Lake>,
    ends: Timestamp,
    snapshot: Arc<Snapshot>,
    schema: SchemaRef,
    columns: Vec<VisibleColumn>,
    admission: Admission,
    unwrapped: Arc<Unwrapped>,
}

/// Part of a scan that can run beside the others.
#[derive(Debug, Clone)]
pub struct Partition(PartitionKind);

#[derive(Debug, Clone)]
enum PartitionKind {
    Files(Vec<Slice>),
    Memory,
}

impl TableSource {
    /// The visible schema.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.source.schema)
    }

    /// The same table, whose batches may bring these columns of the visible schema as dictionaries
    /// of texts: where they are texts, and a file keeps them so. Whoever groups by them saves to
    /// write every text out and to compare it.
    #[must_use]
    pub fn with_codes(self, columns: impl IntoIterator<Item = usize>) -> Self {
        Self { coded: columns.into_iter().collect(), ..self }
    }

    /// How many rows there are, when every row is visible and the answer is no secret.
    #[must_use]
    pub fn rows_if_open(&self) -> Option<u64> {
        let source = &self.source;
        let memory: usize = source.snapshot.memory.iter().map(RecordBatch::num_rows).sum();
        source.admission.is_open().then(|| source.snapshot.manifest.rows() + memory as u64)
    }

    /// Splits the scan into at most `wanted` parts of similar size, and one for rows in memory.
    #[must_use]
    pub fn partitions(&self, wanted: usize) -> Vec<Partition> {
        let snapshot = &self.source.snapshot;
        let parts = slices(&snapshot.manifest.files, wanted).into_iter();
        let mut partitions: Vec<Partition> =
            parts.map(|part| Partition(PartitionKind::Files(part))).collect();
        if partitions.is_empty() || !snapshot.memory.is_empty() {
            partitions.push(Partition(PartitionKind::Memory));
        }
        partitions
    }

    /// Scans a partition.
    ///
    /// `projection` names columns of the visible schema. Rows that are not admitted are gone
    /// before a filter sees them.
    pub fn scan(
        &self,
        partition: Partition,
        projection: Vec<usize>,
        filters: Vec<Arc<dyn ScanFilter>>,
        limit: Option<usize>,
    ) -> BatchStream {
        let (source, coded) = (Arc::clone(&self.source), self.coded.clone());
        let request = Arc::new(Request { source, projection, filters, coded });
        let batches: BatchStream = match partition.0 {
            PartitionKind::Memory => {
                let batches = self.source.snapshot.memory.clone();
                let checked = async move {
                    request.may_use_keys().await?;
                    Ok(stream::iter(batches).map(move |batch| request.rows_in_memory(&batch)))
                };
                checked.try_flatten_stream().boxed()
            }
            PartitionKind::Files(slices) => stream::iter(slices)
                .then(move |slice| {
                    let request = Arc::clone(&request);
                    async move { request.from_file(slice).await }
                })
                .try_flatten()
                .boxed(),
        };
        match limit {
            Some(limit) => limited(batches, limit),
            None => batches,
        }
    }
}

fn limited(batches: BatchStream, limit: usize) -> BatchStream {
    let cut = stream::try_unfold((batches, limit), |(mut batches, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        match batches.try_next().await? {
            None => Ok(None),
            Some(batch) => {
                let batch = batch.slice(0, batch.num_rows().min(left));
                let left = left - batch.num_rows();
                Ok(Some((batch, (batches, left))))
            }
        }
    });
    cut.boxed()
}

struct Request {
    source: Arc<Source>,
    projection: Vec<usize>,
    filters: Vec<Arc<dyn ScanFilter>>,
    coded: BTreeSet<usize>,
}

impl Request {
    fn not_ended(&self) -> Result<(), ScanError> {
        let ends = self.source.ends;
        if self.source.lake.clock.now() < ends {
            Ok(())
        } else {
            Err(ScanError::Ended { at: ends })
        }
    }

    /// Columns of the visible schema whose values the request needs.
    fn shown(&self) -> BTreeSet<usize> {
        let filtered = self.filters.iter().flat_map(|f| f.columns().iter().copied());
        filtered.chain(self.projection.iter().copied()).filter(|&c| !self.masked(c)).collect()
    }

    fn masked(&self, column: usize) -> bool {
        self.source.columns.get(column).is_none_or(|c| c.masked)
    }

    fn root(&self, column: usize) -> usize {
        self.source.columns.get(column).map_or(usize::MAX, |c| c.root)
    }

    /// Every leaf whose key the request needs: shown ones, and those that decide about rows.
    fn leaves(&self) -> BTreeSet<ColumnPath> {
        let fields = self.source.snapshot.manifest.schema.fields();
        let shown = self.shown();
        let shown = shown.iter().filter_map(|&c| fields.get(self.root(c)));
        let mut leaves: BTreeSet<ColumnPath> = shown.flat_map(|f| leaves_of(f)).collect();
        leaves.extend(self.source.admission.columns());
        leaves
    }

    async fn from_file(self: Arc<Self>, slice: Slice) -> Result<BatchStream, ScanError> {
        self.not_ended()?;
        let file = &slice.file;
        let source = &self.source;
        let dataset = &source.snapshot.manifest.dataset;
        let opened = source
            .lake
            .open_file(&source.snapshot.manifest, file, &self.leaves(), &source.unwrapped)
            .await
            .map_err(|source| ScanError::File { dataset: dataset.clone(), source })?;
        let page = {
            let name = file.name.clone();
            move |source| ScanError::Page { file: name.clone(), source }
        };
        let OpenFile { reader, metadata } = opened;
        let schema = coded(&source.snapshot.manifest.schema, &metadata, &self.coded_roots());
        let options = ArrowReaderOptions::new().with_schema(schema);
        let metadata = ArrowReaderMetadata::try_new(metadata, options).map_err(&page)?;
        let descriptor = metadata.parquet_schema();
        let shown: Vec<usize> = self.shown_roots();
        let filter = RowFilter::new(self.predicates(descriptor));
        let mask = ProjectionMask::roots(descriptor, shown.iter().copied());
        let groups = self.row_groups(&metadata, &slice)?;
        let stream = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata.clone())
            .with_batch_size(BATCH_ROWS)
            .with_row_groups(groups)
            .with_projection(mask)
            .with_row_filter(filter)
            .build()
            .map_err(&page)?;
        let request = Arc::clone(&self);
        let batches = stream.map(move |batch| {
            request.not_ended()?;
            request.assemble(&batch.map_err(&page)?, &shown)
        });
        Ok(batches.boxed())
    }

    /// Top-level places in the file of the projected columns that are shown, ascending.
    fn shown_roots(&self) -> Vec<usize> {
        let shown = self.projection.iter().filter(|&&c| !self.masked(c));
        let roots: BTreeSet<usize> = shown.map(|&c| self.root(c)).collect();
        roots.into_iter().collect()
    }

    /// Top-level places of the columns that may come as codes. One that decides about rows comes as
    /// it is.
    fn coded_roots(&self) -> BTreeSet<usize> {
        let filters = self.filters.iter().flat_map(|filter| filter.columns());
        let mut deciding: BTreeSet<usize> = filters.map(|&column| self.root(column)).collect();
        deciding.extend(self.roots_of(&self.source.admission.columns()));
        let coded = self.coded.iter().filter(|&&column| !self.masked(column));
        coded.map(|&column| self.root(column)).filter(|root| !deciding.contains(root)).collect()
    }

    fn predicates(&self, descriptor: &SchemaDescriptor) -> Vec<Box<dyn ArrowPredicate>> {
        let mut predicates: Vec<Box<dyn ArrowPredicate>> = Vec::new();
        let admission = self.source.admission.clone();
        if !admission.is_open() {
            let roots = self.roots_of(&admission.columns());
            let mask = ProjectionMask::roots(descriptor, roots);
            predicates.push(Box::new(ArrowPredicateFn::new(mask, move |batch: RecordBatch| {
                admission.decide(batch.num_rows(), |path| leaf(&batch, path))
            })));
        }
        for filter in &self.filters {
            if filter.columns().iter().any(|&c| self.masked(c)) {
                // The engine applies it to the masked values, which are null.
                continue;
            }
            let roots = filter.columns().iter().map(|&c| self.root(c));
            let mask = ProjectionMask::roots(descriptor, roots);
            let filter = Arc::clone(filter);
            predicates.push(Box::new(ArrowPredicateFn::new(mask, move |batch: RecordBatch| {
                filter.passes(&batch)
            })));
        }
        predicates
    }

    fn roots_of(&self, columns: &[ColumnPath]) -> Vec<usize> {
        let fields = self.source.snapshot.manifest.schema.fields();
        let is_among = |field: &arrow::datatypes::Field| {
            leaves_of(field).iter().any(|leaf| columns.contains(leaf))
        };
        (0..fields.len()).filter(|&i| is_among(&fields[i])).collect()
    }

    /// The row groups of a slice that are worth reading.
    ///
    /// # Privacy
    /// When rows are hidden because of whom they are about, statistics of the hidden rows decide
    /// nothing: the time that a question takes would tell what they hold.
    fn row_groups(
        &self,
        metadata: &ArrowReaderMetadata,
        slice: &Slice,
    ) -> Result<Vec<usize>, ScanError> {
        let groups = metadata.metadata().row_groups();
        let firsts = groups.iter().scan(0, |before, group| {
            let first = *before;
            *before += u64::try_from(group.num_rows()).unwrap_or(0);
            Some(first)
        });
        let mut wanted: Vec<bool> = firsts.map(|first| slice.has(first)).collect();
        if !self.source.admission.hides_subjects() {
            for filter in &self.filters {
                let statistics = self.statistics(metadata, filter.columns())?;
                for (wanted, passes) in wanted.iter_mut().zip(filter.may_pass(&statistics)) {
                    *wanted &= passes;
                }
            }
        }
        Ok((0..groups.len()).filter(|&g| wanted[g]).collect())
    }

    fn statistics(
        &self,
        metadata: &ArrowReaderMetadata,
        columns: &[usize],
    ) -> Result<RowGroupStatistics, ScanError> {
        let groups = metadata.metadata().row_groups();
        let rows = groups.iter().map(|g| u64::try_from(g.num_rows()).unwrap_or(0)).collect();
        let mut found = BTreeMap::new();
        for &column in columns.iter().filter(|&&c| !self.masked(c)) {
            let field = self.source.schema.field(column);
            if matches!(field.data_type(), DataType::Struct(_) | DataType::List(_)) {
                continue;
            }
            let read = || -> Result<ColumnStatistics, parquet::errors::ParquetError> {
                let converter = StatisticsConverter::try_new(
                    field.name(),
                    metadata.schema(),
                    metadata.parquet_schema(),
                )?;
                Ok(ColumnStatistics {
                    min: converter.row_group_mins(groups)?,
                    max: converter.row_group_maxes(groups)?,
                    nulls: Arc::new(converter.row_group_null_counts(groups)?),
                })
            };
            if let Ok(statistics) = read() {
                found.insert(column, statistics);
            }
        }
        Ok(RowGroupStatistics { row_groups: groups.len(), rows, columns: found })
    }

    /// Puts what was read from a file into the order of the projection, masked columns as null.
    fn assemble(&self, read: &RecordBatch, shown: &[usize]) -> Result<RecordBatch, ScanError> {
        let schema = self.source.schema.project(&self.projection)?;
        let columns = self.projection.iter().zip(schema.fields()).map(|(&column, field)| {
            let place = shown.iter().position(|&root| root == self.root(column));
            match place.filter(|_| !self.masked(column)) {
                Some(place) => Arc::clone(read.column(place)),
                None => new_null_array(field.data_type(), read.num_rows()),
            }
        });
        let columns: Vec<ArrayRef> = columns.collect();
        let schema = if self.coded.is_empty() { schema } else { self.as_read(&schema, &columns) };
        let options = RecordBatchOptions::new().with_row_count(Some(read.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::new(schema), columns, &options)?)
    }

    /// The projection's schema with the types that columns came in: a file that keeps texts in full
    /// gives no codes.
    fn as_read(&self, schema: &Schema, columns: &[ArrayRef]) -> Schema {
        let fields = self.projection.iter().zip(schema.fields()).zip(columns);
        let typed = fields.map(|((column, field), array)| {
            let coded = || field.as_ref().clone().with_data_type(array.data_type().clone());
            if self.coded.contains(column) { Arc::new(coded()) } else { Arc::clone(field) }
        });
        Schema::new(typed.collect::<Vec<_>>())
    }

    /// Rows that are not in files yet are open already; a column whose key is revoked or destroyed
    /// is refused for them as it is for files.
    async fn may_use_keys(&self) -> Result<(), ScanError> {
        let source = &self.source;
        let manifest = &source.snapshot.manifest;
        let mut asked = BTreeSet::new();
        for leaf in self.leaves() {
            let named = manifest.keys.get(&leaf).map(|choice| choice.key_name(&manifest.dataset));
            let Some(Ok(key)) = named else { continue };
            if !asked.insert(key.clone()) {
                continue;
            }
            let state = match source.lake.keys.describe(&key).await {
                Ok(info) if info.state == KeyState::Active => continue,
                Ok(_) => KeyStoreError::Revoked { name: key.clone() },
                Err(error) => error,
            };
            let source = KeyToolsError::key_store(&leaf, key, state);
            let file = "of rows not in files yet".to_owned();
            let (dataset, source) = (manifest.dataset.clone(), FileError::Keys { file, source });
            return Err(ScanError::File { dataset, source });
        }
        Ok(())
    }

    fn rows_in_memory(&self, batch: &RecordBatch) -> Result<RecordBatch, ScanError> {
        self.not_ended()?;
        let admission = &self.source.admission;
        let admitted = admission.decide(batch.num_rows(), |path| leaf(batch, path))?;
        let batch = filter_record_batch(batch, &admitted)?;
        let shown = self.shown_roots();
        self.assemble(&batch.project(&shown)?, &shown)
    }
}

/// A leaf column by its path, as long as no list lies on the way.
pub(crate) fn leaf(batch: &RecordBatch, path: &ColumnPath) -> Option<ArrayRef> {
    let mut parts = path.as_str().split('.');
    let mut column = Arc::clone(batch.column_by_name(parts.next()?)?);
    for part in parts {
        let inner = column.as_any().downcast_ref::<arrow::array::StructArray>()?;
        let next = Arc::clone(inner.column_by_name(part)?);
        column = next;
    }
    Some(column)
}
