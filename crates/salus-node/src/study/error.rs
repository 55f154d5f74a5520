use salus_dp::LossError;
use salus_files::FilesError;
use salus_model::{Class, Classified, DatasetId, DatasetVersion, EntropyFailed, IdError, KeyClass};
use salus_private::{LedgerRefused, ProfileError};
use salus_spine::NoSubject;
use salus_store::LakeError;

use super::{MOST_ATTEMPTS, MOST_ROWS, MOST_SECONDS, MOST_VALUES, State, StudyId};
use crate::operations::OperationError;
use crate::permits::PermitError;
use crate::published::PublishError;
use crate::review::ReviewError;
use crate::site::SiteError;

/// Why there is no study, or nothing came of one.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// There is no such study of this account.
    #[error(
        "there is no such study of yours; studies are forgotten when the node is started anew, and \
         when many others have followed"
    )]
    Unknown,
    /// One runs already.
    #[error("your study {study} is running; wait for it, or stop it")]
    Running {
        /// Which one.
        study: StudyId,
    },
    /// Others' studies take all that the node gives to studies.
    #[error("the node carries out as many studies as it may; try again in a few minutes")]
    Busy,
    /// A release cannot be stopped.
    #[error("a release goes on until it is charged and published, or refused")]
    Releasing,
    /// There is no such dataset.
    #[error("there is no dataset {dataset}")]
    NoDataset {
        /// The name.
        dataset: DatasetId,
    },
    /// There is more of it than a study takes.
    #[error(
        "{dataset} has {rows} rows in the columns wanted, and a study takes {MOST_ROWS} rows and \
         {MOST_VALUES} values at most; use `salus risk` and `salus anonymise` on an export"
    )]
    TooLarge {
        /// The dataset.
        dataset: DatasetId,
        /// Its rows.
        rows: u64,
    },
    /// The site's policies do not show it.
    #[error(
        "the site's policies do not let the role steward read {what} of {dataset}; roles.toml says \
         who may"
    )]
    Withheld {
        /// The dataset.
        dataset: DatasetId,
        /// What of it.
        what: String,
    },
    /// A column that is not there, or that no study can take.
    #[error("{dataset} has no column '{column}' that holds plain values")]
    NoColumn {
        /// The dataset.
        dataset: DatasetId,
        /// The column.
        column: String,
    },
    /// A column that no study reads, whoever names it.
    #[error(
        "column '{column}' of {dataset} is of class {class}: studies read no identifiers, narrative \
         or signals, since these name people, or may; leave it out"
    )]
    Closed {
        /// The dataset.
        dataset: DatasetId,
        /// The column.
        column: String,
        /// Its class.
        class: KeyClass,
    },
    /// A rehearsal would measure other rows than a release publishes.
    #[error(
        "a release reads version {committed} of {dataset}, which the ledger has a commitment to, and \
         version {newest} is the newest. Put that on the ledger first: `salus dataset share \
         {dataset}`"
    )]
    NotCommitted {
        /// The dataset.
        dataset: DatasetId,
        /// The version on the ledger.
        committed: DatasetVersion,
        /// The newest one.
        newest: DatasetVersion,
    },
    /// A new version came between looking and reading.
    #[error("a new version of {dataset} came while it was read; begin the study again")]
    Moved {
        /// The dataset.
        dataset: DatasetId,
    },
    /// Nobody knows whose rows they are.
    #[error(transparent)]
    NoSubject(#[from] NoSubject),
    /// Nobody's rows are left.
    #[error("no rows are left: all are of people who opted out, or of nobody")]
    Empty,
    /// A plan that would keep the node for too long.
    #[error(
        "plan: from the console, 'seconds' is {MOST_SECONDS} and 'attempts' {MOST_ATTEMPTS} at most; \
         use `salus release` on the site's machine"
    )]
    TooLong,
    /// A private plan is charged whatever comes of it.
    #[error(transparent)]
    Private(FilesError),
    /// The work was refused or failed.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The rows cannot be read, or the release was refused.
    #[error(transparent)]
    Operation(#[from] Box<OperationError>),
    /// The site refused.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The lake refused.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The dataset has no privacy profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// A permit's key cannot be looked for.
    #[error(transparent)]
    Permit(#[from] PermitError),
    /// What was published cannot be told.
    #[error(transparent)]
    Publish(#[from] Box<PublishError>),
    /// A review cannot be told.
    #[error(transparent)]
    Review(#[from] ReviewError),
    /// The ledger refused, or is out of reach.
    #[error(transparent)]
    Ledger(#[from] LedgerRefused),
    /// The ledger's proofs do not hold.
    #[error(transparent)]
    Evidence(#[from] salus_ledger::proof::EvidenceError),
    /// ε or δ makes no sense.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// A value that is no text, which is a bug.
    #[error("the rows cannot be read as text")]
    Arrow(#[from] arrow::error::ArrowError),
    /// A name cannot be used.
    #[error("a name cannot be used")]
    Name(#[from] IdError),
    /// No id can be drawn.
    #[error("no study can be begun")]
    Entropy(#[from] EntropyFailed),
    /// The work ended without a word, which is a bug.
    #[error("the study was not finished")]
    Ended,
}

impl Classified for StudyError {
    fn class(&self) -> Class {
        match self {
            Self::Unknown
            | Self::NoDataset { .. }
            | Self::NoColumn { .. }
            | Self::Closed { .. }
            | Self::NotCommitted { .. }
            | Self::TooLong
            | Self::TooLarge { .. }
            | Self::NoSubject(_)
            | Self::Empty
            | Self::Name(_) => Class::BadRequest,
            Self::Running { .. } | Self::Releasing | Self::Withheld { .. } | Self::Private(_) => {
                Class::Refused
            }
            Self::Busy | Self::Moved { .. } | Self::Entropy(_) => Class::Unavailable,
            Self::Files(e) => e.class(),
            Self::Operation(e) => e.class(),
            Self::Site(e) => e.class(),
            Self::Lake(e) => e.class(),
            Self::Profile(e) => e.class(),
            Self::Permit(e) => e.class(),
            Self::Publish(e) => e.class(),
            Self::Review(e) => e.class(),
            Self::Ledger(e) => e.class(),
            Self::Evidence(e) => e.class(),
            Self::Loss(e) => e.class(),
            Self::Arrow(_) | Self::Ended => Class::Bug,
        }
    }
}

impl From<OperationError> for StudyError {
    fn from(error: OperationError) -> Self {
        Self::Operation(Box::new(error))
    }
}

impl From<PublishError> for StudyError {
    fn from(error: PublishError) -> Self {
        Self::Publish(Box::new(error))
    }
}

impl StudyError {
    /// What its account is told. What is broken inside stays in the log.
    pub(super) fn into_state(self) -> State {
        let class = self.class();
        let mut words = self.to_string();
        let mut cause = std::error::Error::source(&self);
        while let Some(error) = cause {
            // A transparent error says what its source says.
            let said = error.to_string();
            if !words.ends_with(&said) {
                words = format!("{words}: {said}");
            }
            cause = error.source();
        }
        if matches!(class, Class::Bug | Class::Corrupt) {
            tracing::error!(error = words, "a study came to nothing");
            let said = "the node cannot do it; its operator has the reason in the log";
            words = match self.charge() {
                Some(charge) => format!("{charge}. {said}"),
                None => said.to_owned(),
            };
        }
        State::Failed { words, class }
    }

    /// What the failure of a release means for its charge, where it may stand on the ledger.
    fn charge(&self) -> Option<String> {
        let Self::Operation(error) = self else { return None };
        match &**error {
            OperationError::Release(error) if error.may_be_booked() => Some(error.to_string()),
            _ => None,
        }
    }
}
