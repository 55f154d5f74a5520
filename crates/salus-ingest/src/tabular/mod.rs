//! Tables from CSV, NDJSON and Parquet files, by a schema that somebody has confirmed.
//!
//! Parquet sources may be encrypted and have nested columns. No source is held in memory whole.

mod builder;
mod convert;
mod import;
mod infer;
mod quarantine;
mod reader;
mod schema;
mod shape;
mod value;

pub use import::{ImportError, ImportReport, Importer, Progress, Reason, Source};
pub use infer::{InferError, infer, infer_parquet};
pub use quarantine::{QUARANTINE_SUFFIX, quarantine_dataset};
pub(crate) use quarantine::{QuarantineBuilder, spec as quarantine_spec};
pub use reader::{Format, FormatUnknown, LineFormat, ReadError};
pub use schema::{Column, ColumnKind, SchemaFile, SchemaFileError};
pub use shape::{Part, Shape};
pub use value::Unfit;

#[cfg(test)]
mod tests;
