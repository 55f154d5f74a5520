use parquet::errors::ParquetError;
use salus_crypto::pkmt1::MaterialRefused;
use salus_model::{Class, Classified};

use super::keys::MasterKeyError;

/// The algorithm of Parquet encryption that leaves pages unauthenticated.
const CTR: &str = "AES_GCM_CTR_V1";

/// Why a Parquet source cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The disk failed, or the file is not there.
    #[error("{file} cannot be read")]
    Io {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not Parquet, or damaged.
    #[error("{file} is no Parquet file, or is damaged")]
    NotParquet {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: ParquetError,
    },
    /// It is encrypted by an algorithm that Salus does not read.
    #[error(
        "{file}: not supported: {algorithm}; write it again with parquet.encryption.algorithm = \
         AES_GCM_V1, which authenticates the data too"
    )]
    Algorithm {
        /// The file.
        file: String,
        /// The algorithm, as Parquet names it.
        algorithm: &'static str,
    },
    /// It is encrypted, and no keys were given.
    #[error("{file} is encrypted, and no key store was named that has its keys")]
    KeysWanted {
        /// The file.
        file: String,
    },
    /// Its writer bound it to a prefix that it does not store.
    #[error("{file} is bound to an AAD prefix that it does not store; give the prefix")]
    PrefixWanted {
        /// The file.
        file: String,
    },
    /// The footer does not open with the key.
    #[error(
        "the footer of {file} does not open: its key or AAD prefix is another, or it was altered"
    )]
    Footer {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: ParquetError,
    },
    /// Key metadata or material that cannot be read.
    #[error("the key material of {what} of {file} cannot be read")]
    Material {
        /// The file.
        file: String,
        /// A column, or the footer.
        what: String,
        /// Why.
        #[source]
        source: MaterialRefused,
    },
    /// Key material that should lie beside the file.
    #[error("{file} keeps its key material in {beside}, which cannot be read")]
    Beside {
        /// The file.
        file: String,
        /// The file beside it.
        beside: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file names no key for it.
    #[error("{file} does not say which key {what} has")]
    NoMaterial {
        /// The file.
        file: String,
        /// A column, or the footer.
        what: String,
    },
    /// A master key is not to be had.
    #[error("the key '{key}' of {what} of {file} is not available")]
    Key {
        /// The file.
        file: String,
        /// A column, or the footer.
        what: String,
        /// The master key, as the file names it.
        key: String,
        /// Why.
        #[source]
        source: MasterKeyError,
    },
    /// The data key does not unwrap.
    #[error("the data key of {what} of {file} does not unwrap with '{key}'")]
    Unwrap {
        /// The file.
        file: String,
        /// A column, or the footer.
        what: String,
        /// The master key, as the file names it.
        key: String,
    },
    /// A column that the file does not have.
    #[error("{file} has no column '{column}'")]
    NoColumn {
        /// The file.
        file: String,
        /// The column.
        column: String,
    },
}

impl SourceError {
    /// What a footer that does not decode means for a person.
    pub(super) fn footer(file: &str, source: ParquetError) -> Self {
        let file = file.to_owned();
        match &source {
            ParquetError::NYI(text) if text.contains(CTR) => {
                Self::Algorithm { file, algorithm: CTR }
            }
            ParquetError::General(text) if text.contains("AAD prefix that is not stored") => {
                Self::PrefixWanted { file }
            }
            ParquetError::General(text) if text.contains("decrypt") || text.contains("verify") => {
                Self::Footer { file, source }
            }
            _ => Self::NotParquet { file, source },
        }
    }
}

impl Classified for SourceError {
    fn class(&self) -> Class {
        match self {
            Self::Io { source, .. } | Self::Beside { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound => Class::BadRequest,
                _ => Class::Unavailable,
            },
            Self::Key { source, .. } => source.class(),
            Self::NotParquet { .. }
            | Self::Algorithm { .. }
            | Self::KeysWanted { .. }
            | Self::PrefixWanted { .. }
            | Self::Footer { .. }
            | Self::Material { .. }
            | Self::NoMaterial { .. }
            | Self::Unwrap { .. }
            | Self::NoColumn { .. } => Class::BadRequest,
        }
    }
}
