use salus_model::{Class, Classified, EntropyFailed, IdError};
use salus_store::{LakeError, SealedError};

use super::key::KeyFileError;
use super::manifest::ManifestError;
use super::origin::{AddressError, Origin};
use crate::fhir::FhirImportError;
use crate::fhir::sealed_folder::SealedFileError;

/// Why records could not be pulled from a server.
///
/// # Privacy
/// Messages name what was asked for, never its address beyond the origin, nor a token; of what a
/// server says about its failure they have the codes, and its words only where these answer the
/// kick-off or the sign-in, before any record is involved.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// An address is refused.
    #[error("an address is refused")]
    Address(#[from] AddressError),
    /// A key or token file is refused.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The HTTP client does not start.
    #[error("the client cannot be set up; is the certificate file PEM?")]
    Client(#[source] reqwest::Error),
    /// The server cannot be reached.
    #[error("{what}: the server at {origin} cannot be reached")]
    Unreachable {
        /// What was asked for.
        what: &'static str,
        /// Of whom.
        origin: Origin,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The server answers with an error.
    #[error("{what}: the server at {origin} answers {status}{said}")]
    Status {
        /// What was asked for.
        what: &'static str,
        /// Of whom.
        origin: Origin,
        /// The HTTP status.
        status: u16,
        /// What its OperationOutcome or OAuth error says, as far as it may be shown.
        said: String,
    },
    /// The server sends us elsewhere.
    #[error("{what}: {origin} sends us on to {to}, which is not followed with a credential")]
    Redirected {
        /// What was asked for.
        what: &'static str,
        /// Who answered.
        origin: Origin,
        /// Where to.
        to: Origin,
    },
    /// A redirect that leads nowhere, or too many.
    #[error("{what}: {origin} redirects without end, or without saying where to")]
    RedirectLoop {
        /// What was asked for.
        what: &'static str,
        /// Who answered.
        origin: Origin,
    },
    /// The credential would be shown to somebody else.
    #[error(
        "{what}: the server wants its token shown to {origin}; if that host is yours as well, \
         list it as trusted"
    )]
    ForeignToken {
        /// What was asked for.
        what: &'static str,
        /// Who would see it.
        origin: Origin,
    },
    /// The server does not answer as the specification says.
    #[error("{what}: {origin} does not answer as the specification says: {how}")]
    Protocol {
        /// What was asked for.
        what: &'static str,
        /// Of whom.
        origin: Origin,
        /// What is wrong.
        how: &'static str,
    },
    /// More bytes than accepted.
    #[error("{what}: the answer has more than {most} bytes")]
    TooLong {
        /// What was asked for.
        what: &'static str,
        /// How many are accepted.
        most: u64,
    },
    /// A manifest is refused.
    #[error("the export's manifest is refused")]
    Manifest(#[from] ManifestError),
    /// The export or a file of it is gone.
    #[error("{what}: the server no longer has it")]
    Expired {
        /// What was asked for.
        what: &'static str,
    },
    /// A file is not what it was when its download began.
    #[error("a file of the export changed while it was downloaded")]
    Changed,
    /// The export took too long.
    #[error("the export is not done after {hours} hours; it was cancelled")]
    OutOfPatience {
        /// How long it was waited for.
        hours: u64,
    },
    /// The assertion cannot be signed, which is a bug.
    #[error("the client's key does not sign")]
    Sign,
    /// The import failed.
    #[error("the records cannot be taken in")]
    Import(#[from] FhirImportError),
    /// The lake failed.
    #[error("the lake cannot be looked at")]
    Lake(#[from] LakeError),
    /// What is kept between two pulls does not open.
    #[error("what was kept of the last pull does not open; remove the folder 'pull' to begin anew")]
    Sealed(#[from] SealedError),
    /// What is kept between two pulls does not parse.
    #[error("what was kept of the last pull is damaged; remove the folder 'pull' to begin anew")]
    Damaged,
    /// The folder cannot be used.
    #[error("the folder in which a pull keeps its state cannot be used")]
    Io(#[from] std::io::Error),
    /// Another process pulls.
    #[error("another process of this site pulls at this moment; wait for it, or stop it")]
    Busy,
    /// The index of what is here already failed.
    #[error("the index of what is here already cannot be used")]
    Index(#[source] Box<redb::Error>),
    /// No random bytes.
    #[error("there is no randomness")]
    Entropy(#[from] EntropyFailed),
    /// A fixed name does not fit, which is a bug.
    #[error("a fixed name does not fit")]
    Name(#[from] IdError),
    /// The server offers neither way.
    #[error("the server's CapabilityStatement offers neither $export nor search; name the types")]
    NoWay,
}

impl Classified for PullError {
    fn class(&self) -> Class {
        match self {
            Self::Address(e) => e.class(),
            Self::KeyFile(e) => e.class(),
            Self::Manifest(e) => e.class(),
            Self::Import(e) => e.class(),
            Self::Lake(e) => e.class(),
            Self::Sealed(e) => e.class(),
            Self::Client(_) | Self::NoWay => Class::BadRequest,
            Self::Status { status: 400..=499, .. } => Class::Refused,
            Self::Unreachable { .. }
            | Self::Status { .. }
            | Self::Expired { .. }
            | Self::Changed
            | Self::OutOfPatience { .. }
            | Self::Busy
            | Self::Io(_)
            | Self::Entropy(_) => Class::Unavailable,
            Self::Redirected { .. }
            | Self::RedirectLoop { .. }
            | Self::ForeignToken { .. }
            | Self::Protocol { .. }
            | Self::TooLong { .. } => Class::Peer,
            Self::Damaged | Self::Index(_) => Class::Corrupt,
            Self::Sign | Self::Name(_) => Class::Bug,
        }
    }
}

impl PullError {
    /// Whether the same may work in a while, so that whoever follows a server goes on.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Import(FhirImportError::Io(_)) => true,
            Self::Status { status, .. } => matches!(status, 401 | 408 | 429 | 500..=599),
            other => other.class() == Class::Unavailable,
        }
    }
}

impl From<SealedFileError> for PullError {
    fn from(error: SealedFileError) -> Self {
        match error {
            SealedFileError::Io(e) => Self::Io(e),
            SealedFileError::Sealed(e) => Self::Sealed(e),
        }
    }
}
