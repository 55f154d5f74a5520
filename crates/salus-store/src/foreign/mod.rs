//! Parquet files from elsewhere, encrypted or not, on their way in.
//!
//! An encrypted one is opened with the keys of the columns that are wanted and no other. Its keys
//! are found as Parquet key tools (Spark, pyarrow) keep them, or by name.

mod error;
mod keys;

pub use error::SourceError;
pub use keys::{MasterKeyError, MasterKeys, SourceKeys, StoreMasterKeys};

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::encryption::decrypt::FileDecryptionProperties;
use parquet::errors::ParquetError;
use parquet::file::column_crypto_metadata::ColumnCryptoMetaData;
use parquet::file::metadata::ParquetMetaData;
use salus_crypto::pkmt1::DataKey;
use salus_model::{ColumnPath, Secret};

use crate::footer::{Footer, guarded};
use keys::Finder;

/// Rows in one batch.
const BATCH_ROWS: usize = 4096;

/// A Parquet file whose footer has been read.
pub struct ParquetSource {
    name: String,
    file: File,
    footer: Footer,
    opened: ParquetMetaData,
    schema: SchemaRef,
    finder: Option<(Finder, DataKey)>,
    aad_prefix: Option<Vec<u8>>,
}

/// The rows of a Parquet source, batch by batch.
///
/// # Cost
/// Holds a page of each wanted column and one batch of rows, whatever the file's size.
pub struct ParquetBatches {
    reader: Option<ParquetRecordBatchReader>,
    schema: SchemaRef,
}

impl Iterator for ParquetBatches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = self.reader.take()?;
        let next = guarded(|| Ok::<_, ArrowError>((reader.next(), reader)));
        match next {
            Ok((Some(Ok(batch)), reader)) => {
                self.reader = Some(reader);
                Some(Ok(batch))
            }
            Ok((end, _)) => end,
            Err(e) => Some(Err(e)),
        }
    }
}

impl RecordBatchReader for ParquetBatches {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

async fn read_footer(file: &File, name: &str) -> Result<Footer, SourceError> {
    let io = |source| SourceError::Io { file: name.to_owned(), source };
    let bytes = file.metadata().map_err(io)?.len();
    let fetch = |range: Range<u64>| async move {
        let length = usize::try_from(range.end.saturating_sub(range.start))?;
        let mut bytes = vec![0; length];
        let read = file.read_exact_at(&mut bytes, range.start);
        read.map_err(|e| ParquetError::External(Box::new(e)))?;
        Ok(Bytes::from(bytes))
    };
    Footer::fetch(bytes, fetch).await.map_err(|e| SourceError::footer(name, e))
}

impl ParquetSource {
    /// Reads a file's footer, with its key when it has one.
    ///
    /// `aad_prefix` is what the writer bound the file to, where it did not store that in the file.
    ///
    /// # Errors
    /// When the file is not Parquet, or the footer's key is not to be had, or wrong.
    pub async fn open(
        path: &Path,
        keys: &SourceKeys,
        aad_prefix: Option<Vec<u8>>,
    ) -> Result<Self, SourceError> {
        let name = file_name(path);
        let file =
            File::open(path).map_err(|source| SourceError::Io { file: name.clone(), source })?;
        let footer = read_footer(&file, &name).await?;
        let wrong = |e| SourceError::footer(&name, e);
        let metadata = footer.key_metadata().map_err(wrong)?;
        let (opened, finder) = match metadata {
            None => (footer.decode(None).map_err(wrong)?, None),
            Some(metadata) => {
                let beside = beside(path);
                let finder = Finder::new(&name, &beside, keys, &metadata)?;
                let key = finder.footer(&metadata).await?;
                let properties = properties(&key, &BTreeMap::new(), aad_prefix.as_deref());
                let opened = properties.and_then(|p| footer.decode(Some(p)));
                let opened = opened.map_err(wrong)?;
                (opened, Some((finder, key)))
            }
        };
        let schema = guarded(|| arrow_schema(&opened)).map_err(wrong)?;
        Ok(Self { name, file, footer, opened, schema, finder, aad_prefix })
    }

    /// The file's columns. A schema that the writer embedded is not looked at: types are those
    /// that Parquet itself declares.
    #[must_use]
    pub const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many rows the footer announces.
    #[must_use]
    pub fn rows(&self) -> u64 {
        u64::try_from(self.opened.file_metadata().num_rows()).unwrap_or(0)
    }

    /// Whether the file is encrypted, or at least its footer signed.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.finder.is_some()
    }

    /// The rows of these top-level columns, in the file's order of columns.
    ///
    /// # Errors
    /// When there is no such column, or its key is not to be had.
    pub async fn batches(self, columns: &[String]) -> Result<ParquetBatches, SourceError> {
        let mut roots = Vec::with_capacity(columns.len());
        for column in columns {
            let place = self.schema.fields().iter().position(|f| f.name() == column);
            roots.push(place.ok_or_else(|| SourceError::NoColumn {
                file: self.name.clone(),
                column: column.clone(),
            })?);
        }
        let name = self.name;
        let wrong = |e| SourceError::footer(&name, e);
        let metadata = match &self.finder {
            None => self.opened,
            Some((finder, footer_key)) => {
                let keys = column_keys(&self.opened, finder, &roots).await?;
                let properties = properties(footer_key, &keys, self.aad_prefix.as_deref());
                properties.and_then(|p| self.footer.decode(Some(p))).map_err(wrong)?
            }
        };
        let file = self.file;
        let build = || {
            let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata), reader_options())?;
            let mask = ProjectionMask::roots(metadata.parquet_schema(), roots.iter().copied());
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
                .with_projection(mask)
                .with_batch_size(BATCH_ROWS)
                .build()
        };
        let reader = guarded(build).map_err(wrong)?;
        let schema = reader.schema();
        Ok(ParquetBatches { reader: Some(reader), schema })
    }
}

/// Where external key material would lie.
fn beside(path: &Path) -> PathBuf {
    path.with_file_name(salus_crypto::pkmt1::external_material_file_name(&file_name(path)))
}

fn reader_options() -> ArrowReaderOptions {
    ArrowReaderOptions::new().with_skip_arrow_metadata(true)
}

fn arrow_schema(metadata: &ParquetMetaData) -> Result<SchemaRef, ParquetError> {
    let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata.clone()), reader_options())?;
    // Without the writer's own key-value pairs.
    let fields: Vec<FieldRef> = metadata.schema().fields().iter().cloned().collect();
    Ok(Arc::new(Schema::new(fields)))
}

fn properties(
    footer: &DataKey,
    columns: &BTreeMap<ColumnPath, DataKey>,
    aad_prefix: Option<&[u8]>,
) -> Result<Arc<FileDecryptionProperties>, ParquetError> {
    let mut properties = FileDecryptionProperties::builder(footer.expose().to_vec());
    for (path, key) in columns {
        properties = properties.with_column_key(path.as_str(), key.expose().to_vec());
    }
    if let Some(prefix) = aad_prefix {
        properties = properties.with_aad_prefix(prefix.to_vec());
    }
    properties.build()
}

/// The keys of the leaves below these top-level columns that have one of their own.
async fn column_keys(
    opened: &ParquetMetaData,
    finder: &Finder,
    roots: &[usize],
) -> Result<BTreeMap<ColumnPath, DataKey>, SourceError> {
    let mut keys = BTreeMap::new();
    let schema = opened.file_metadata().schema_descr();
    // A column has one key in the whole file; the first row group tells which.
    let chunks = opened.row_groups().first().map(|group| group.columns()).unwrap_or_default();
    for (place, chunk) in chunks.iter().enumerate() {
        let wanted =
            place < schema.num_columns() && roots.contains(&schema.get_column_root_idx(place));
        let Some(ColumnCryptoMetaData::ENCRYPTION_WITH_COLUMN_KEY(with)) =
            chunk.crypto_metadata().filter(|_| wanted)
        else {
            continue;
        };
        let path = with.path_in_schema.join(".");
        let column = finder.path(&path)?;
        let key = finder.column(&column, with.key_metadata.as_deref().unwrap_or_default()).await?;
        keys.insert(column, key);
    }
    Ok(keys)
}

/// A data key from bytes that somebody holds.
fn data_key(bytes: &Secret<Vec<u8>>) -> Option<DataKey> {
    DataKey::new(Secret::new(bytes.expose().clone())).ok()
}
