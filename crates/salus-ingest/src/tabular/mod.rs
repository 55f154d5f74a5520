//! Tables from CSV, NDJSON and Parquet files, by a schema that somebody has confirmed.

mod builder;
mod import;
mod infer;
mod parquet_rows;
mod quarantine;
mod reader;
mod schema;
mod value;

pub use import::{ImportError, ImportReport, Importer, Progress, Reason};
pub use infer::{InferError, infer};
pub use quarantine::{QUARANTINE_SUFFIX, quarantine_dataset};
pub(crate) use quarantine::{QuarantineBuilder, spec as quarantine_spec};
pub use reader::{Format, FormatUnknown, ReadError};
pub use schema::{Column, ColumnKind, SchemaFile, SchemaFileError};
pub use value::Unfit;

#[cfg(test)]
mod tests;
