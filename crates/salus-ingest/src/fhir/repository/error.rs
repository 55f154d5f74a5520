use arrow::error::ArrowError;
use salus_model::{Class, Classified, ColumnPath, EntropyFailed, IdError};
use salus_spine::{AuthoriseError, StatementRefused};
use salus_store::journal::JournalError;
use salus_store::{LakeError, ScanError};

/// Why the repository could not do something.
///
/// # Privacy
/// Tells what failed, never of which resource: whether a resource is there is part of the answer.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The journal did not take the write, or does not open; nothing was acknowledged.
    #[error("the FHIR journal cannot be read or written; nothing was stored")]
    Journal(#[from] JournalError),
    /// A dataset could not be read or written.
    #[error("the lake cannot be read or written")]
    Lake(#[from] LakeError),
    /// A dataset could not be scanned.
    #[error("the stored resources cannot be read")]
    Scan(#[from] ScanError),
    /// A record of the journal or a row of a dataset is not what the repository wrote.
    #[error("a stored resource is not what was written: {what}")]
    Record {
        /// What is wrong.
        what: &'static str,
    },
    /// A record is from a newer Salus.
    #[error("a record of the FHIR journal has format {found}, which this Salus does not read")]
    Format {
        /// Its format.
        found: u32,
    },
    /// A row rule looks at a column that is not kept in memory.
    #[error(
        "a row rule of the role looks at column '{column}'; rules for FHIR look at patient_id, id \
         or resource_type"
    )]
    RuleColumn {
        /// The column.
        column: ColumnPath,
    },
    /// The key release does not cover the dataset of resources.
    #[error("the grant does not cover the FHIR resources")]
    NotCovered,
    /// The keys of the resources are not available.
    #[error("the key '{key}' of the FHIR resources is not available")]
    Key {
        /// The key.
        key: salus_model::KeyName,
        /// Why.
        #[source]
        source: salus_keys::KeyStoreError,
    },
    /// The key of the resources has been revoked.
    #[error("the key '{key}' of the FHIR resources is revoked")]
    KeyRevoked {
        /// The key.
        key: salus_model::KeyName,
    },
    /// The repository's own grant was refused, which is a bug.
    #[error("the repository may not read its own resources")]
    Grant(#[from] StatementRefused),
    /// The repository's own tokens do not fit, which is a bug.
    #[error("the repository may not read its own resources")]
    Authorise(#[from] AuthoriseError),
    /// No random bytes.
    #[error("no id can be made")]
    Entropy(#[from] EntropyFailed),
    /// A fixed name does not fit, which is a bug.
    #[error("a fixed name does not fit")]
    Name(#[from] IdError),
    /// Rows could not be put together, which is a bug.
    #[error("the rows could not be put together")]
    Arrow(#[from] ArrowError),
    /// A record could not be encoded, which is a bug.
    #[error("the record cannot be written")]
    Encode(#[from] serde_json::Error),
}

impl Classified for RepositoryError {
    fn class(&self) -> Class {
        match self {
            Self::Journal(e) => e.class(),
            Self::Lake(e) => e.class(),
            Self::Scan(e) => e.class(),
            Self::Record { .. } | Self::Format { .. } => Class::Corrupt,
            Self::RuleColumn { .. } | Self::NotCovered | Self::KeyRevoked { .. } => Class::Refused,
            Self::Key { source, .. } => source.class(),
            Self::Entropy(_) => Class::Unavailable,
            _ => Class::Bug,
        }
    }
}
