use salus_fhir::Issue;
use salus_model::{Class, Classified, EntropyFailed};
use salus_store::SealedError;

use crate::fhir::pull::PullError;
use crate::fhir::sealed_folder::SealedFileError;

/// Why a subscription is not kept.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// It asks for what is not offered, or not allowed.
    #[error("the subscription asks for what this server does not do")]
    Refused(Vec<Issue>),
    /// There is none, or it is somebody else's.
    #[error("there is no such subscription")]
    Absent,
    /// The client knows another version.
    #[error("the subscription has another version now; read it again and redo the change")]
    OtherVersion,
    /// There are too many.
    #[error("this site keeps {most} subscriptions at most; remove some")]
    TooMany {
        /// How many.
        most: usize,
    },
    /// A certificate is none.
    #[error("the authorities for endpoints' certificates cannot be used")]
    Client(#[source] PullError),
    /// What is kept does not parse.
    #[error("a subscription that is kept is damaged")]
    Damaged,
    /// What is kept comes from a newer Salus.
    #[error("a subscription is kept in format {found}; a newer Salus is needed")]
    Format {
        /// The format.
        found: u32,
    },
    /// The disk refuses.
    #[error("the folder of subscriptions cannot be used")]
    Io(#[from] std::io::Error),
    /// The site's key is not available, or a file was altered.
    #[error("a subscription that is kept does not open")]
    Sealed(#[from] SealedError),
    /// No random bytes.
    #[error("a subscription gets no id")]
    Entropy(#[from] EntropyFailed),
}

impl From<SealedFileError> for SubscribeError {
    fn from(error: SealedFileError) -> Self {
        match error {
            SealedFileError::Io(e) => Self::Io(e),
            SealedFileError::Sealed(e) => Self::Sealed(e),
        }
    }
}

impl Classified for SubscribeError {
    fn class(&self) -> Class {
        match self {
            Self::Refused(_) | Self::Absent | Self::OtherVersion | Self::TooMany { .. } => {
                Class::BadRequest
            }
            Self::Client(e) => e.class(),
            Self::Sealed(e) => e.class(),
            Self::Damaged | Self::Format { .. } => Class::Corrupt,
            Self::Io(_) | Self::Entropy(_) => Class::Unavailable,
        }
    }
}

/// Why nothing is read for a subscriber.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StandingError {
    /// They may not, at this moment.
    #[error("the subscriber may not see such resources in this role any more")]
    Refused,
    /// It cannot be decided or read now.
    #[error("the resources cannot be read at this moment")]
    Unavailable,
}
