//! Plaintext Parquet from elsewhere, on its way in.

use std::io::Read;

use arrow::array::RecordBatchReader;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Why a Parquet source cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PlainError {
    /// The source cannot be read.
    #[error("the source cannot be read")]
    Io(#[from] std::io::Error),
    /// It is not Parquet, encrypted, or damaged.
    #[error("the source is not plain Parquet")]
    Parquet(#[from] parquet::errors::ParquetError),
}

/// The record batches of a plaintext Parquet source.
///
/// # Errors
/// When it is not Parquet, encrypted, or damaged.
pub fn parquet_batches(mut source: impl Read) -> Result<impl RecordBatchReader + Send, PlainError> {
    let mut bytes = Vec::new();
    source.read_to_end(&mut bytes)?;
    Ok(ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes))?.build()?)
}
