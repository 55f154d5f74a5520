//! The lake: datasets as versioned sets of encrypted Parquet files.
//!
//! **Invariant:** this is the only crate that knows Parquet and object stores. It knows no SQL.
//!
//! **Invariant:** rows leave it in one way, [`Lake::open`], which takes a
//! [`salus_spine::KeyRelease`] and yields [`salus_spine::Unreleased`]. Upkeep yields none.
//!
//! **Invariant:** no leaf column is ever written in plaintext; a schema with an unmapped leaf is
//! refused before the first byte.
//!
//! **Invariant:** a version is visible whole or not at all, and never changes once it is.

mod admit;
pub mod audit;
mod coded;
mod export;
mod file;
mod footer;
mod foreign;
pub mod journal;
mod keytools;
mod lake;
mod manifest;
mod object_reader;
mod policy;
mod s3;
mod scan;
mod sealed;
mod slices;
mod storage;
mod upkeep;
mod upsert;
mod visible;
mod write;

pub use admit::{Identity, Superseded};
pub use export::{KeyExport, KeyExportError};
pub use file::FileError;
pub use foreign::{
    MasterKeyError, MasterKeys, ParquetBatches, ParquetSource, SourceError, SourceKeys,
    StoreMasterKeys,
};
pub use keytools::{EncryptionSettings, FooterMode, KeyToolsError, MaterialStorage, WrappingMode};
pub use lake::{DatasetSpec, Lake, LakeError, LiveRows, Snapshot};
pub use manifest::{DataFile, Manifest, ManifestError, root_of};
pub use policy::{KeyChoice, KeyPolicy, PolicyError};
pub use s3::{S3Credentials, S3Settings, S3Transport};
pub use scan::{
    BatchStream, ColumnStatistics, Partition, ReadSession, RowGroupStatistics, ScanError,
    ScanFilter, TableSource,
};
pub use sealed::{SealedError, open as open_sealed, seal as seal_object};
pub use storage::{Storage, StorageError};
pub use upkeep::{
    CompactSettings, Compacted, Destroyed, Expired, Finding, Problem, Rewrapped, VerifyReport,
};
pub use upsert::Newest;
pub use visible::leaves;
pub use write::{Writer, file_layout};
