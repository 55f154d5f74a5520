//! Keys of data files: made, wrapped and unwrapped as Parquet key tools (PKMT1) do it.

mod read;
mod settings;
mod write;

pub(crate) use read::{ColumnKeys, Unwrapped, column_material};
pub use settings::{EncryptionSettings, FooterMode, MaterialStorage, WrappingMode};
pub(crate) use write::{NewFileKeys, WriteKeys};

use salus_crypto::pkmt1::{MaterialRefused, UnwrapRefused};
use salus_keys::KeyStoreError;
use salus_model::{Class, Classified, ColumnPath, EntropyFailed, IdError, KeyName};

/// Why a file's keys could not be made or unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum KeyToolsError {
    /// The key store refused, or is out of reach.
    #[error("the key '{key}' that protects {what} is not available")]
    KeyStore {
        /// The master key.
        key: KeyName,
        /// A column, or the footer.
        what: String,
        /// Why.
        #[source]
        source: KeyStoreError,
    },
    /// The key material of a column is not there.
    #[error("the key material of {what} is missing")]
    NoMaterial {
        /// A column, or the footer.
        what: String,
    },
    /// The key material names another master key than the dataset's policy.
    #[error("the key material of {what} names another master key than the manifest")]
    OtherKey {
        /// A column, or the footer.
        what: String,
    },
    /// The key material cannot be read.
    #[error("the key material is damaged")]
    Material(#[from] MaterialRefused),
    /// The data key does not unwrap.
    #[error("the data key of {what} does not unwrap: wrong key, or damaged material")]
    Unwrap {
        /// A column, or the footer.
        what: String,
        /// Why.
        #[source]
        source: UnwrapRefused,
    },
    /// No random bytes.
    #[error("no key can be made")]
    Entropy(#[from] EntropyFailed),
    /// A key name that does not fit.
    #[error("the dataset's key has no valid name")]
    KeyName(#[from] IdError),
    /// Parquet refused the keys.
    #[error("the keys do not fit the file")]
    Parquet(#[from] parquet::errors::ParquetError),
}

impl KeyToolsError {
    /// A column's master key cannot be used.
    pub(crate) fn key_store(leaf: &ColumnPath, key: KeyName, source: KeyStoreError) -> Self {
        Self::KeyStore { key, what: column(leaf), source }
    }
}

impl Classified for KeyToolsError {
    fn class(&self) -> Class {
        match self {
            Self::KeyStore { source, .. } => key_class(source),
            Self::NoMaterial { .. }
            | Self::OtherKey { .. }
            | Self::Material(_)
            | Self::Unwrap { .. } => Class::Corrupt,
            Self::Entropy(_) => Class::Unavailable,
            Self::KeyName(_) => Class::BadRequest,
            Self::Parquet(_) => Class::Bug,
        }
    }
}

/// Who has to act: a key that was there when the data were written and is gone was destroyed by
/// its owner, which refuses its columns.
pub(crate) fn key_class(error: &KeyStoreError) -> Class {
    match error {
        KeyStoreError::NoSuchKey { .. } => Class::Refused,
        other => other.class(),
    }
}

pub(crate) const FOOTER: &str = "the footer";

fn column(path: &ColumnPath) -> String {
    format!("column '{path}'")
}
