//! Why a release comes to nothing.

use salus_dp::LossError;
use salus_files::FilesError;
use salus_ledger::proof::ReceiptError;
use salus_model::{Class, Classified, ColumnPath, DatasetId, IdError};
use salus_private::{DeskError, ProfileError};
use salus_store::LakeError;

use crate::gate::GateError;
use crate::permits::PermitError;
use crate::published::PublishError;
use crate::site::SiteError;

/// Why a release came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The plan does not fit.
    #[error(transparent)]
    Plan(#[from] FilesError),
    /// The name is taken.
    #[error(
        "there is a dataset {dataset} already; name another in the plan: [publish] dataset = \"…\""
    )]
    Taken {
        /// The name.
        dataset: DatasetId,
    },
    /// Another plan made the dataset of that name.
    #[error(
        "{dataset} was released by another plan, or from another dataset, under receipt {receipt}; \
         name another in the plan: [publish] dataset = \"…\""
    )]
    OtherPlan {
        /// The name.
        dataset: DatasetId,
        /// Its receipt.
        receipt: salus_model::ReceiptId,
    },
    /// It does not come before the reviewers, or not out.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// There is not enough budget for all that the plan may cost.
    #[error(
        "the plan may cost up to ε = {most:.4}, and ε = {left:.4} is left of the permit's and the \
         dataset's budget; nothing was read or charged"
    )]
    Budget {
        /// The most that it may cost.
        most: f64,
        /// What is left.
        left: f64,
    },
    /// The plan leaves out a column that is not read.
    #[error("plan: 'without' names {column}, which is not among the columns that are read")]
    NotRead {
        /// The column.
        column: String,
    },
    /// The desk refused or failed.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// The permit cannot be used from here.
    #[error(transparent)]
    Permit(#[from] PermitError),
    /// The dataset has no privacy profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The site refused.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The lake refused.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The result does not open, which is a bug.
    #[error("the released result does not open")]
    Result,
    /// The receipt does not verify, which is a bug.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The released table cannot be kept or published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// ε or δ makes no sense.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// A domain does not fit its column.
    #[error("the privacy profile's bounds of column {column} do not fit days")]
    Bounds {
        /// The column.
        column: ColumnPath,
    },
    /// A name cannot be used.
    #[error("a name cannot be used")]
    Name(#[from] IdError),
    /// The work ended without a word, which is a bug.
    #[error("the release was not finished; give the same command again")]
    Ended,
}

impl Classified for ReleaseError {
    fn class(&self) -> Class {
        match self {
            Self::Plan(e) => e.class(),
            Self::Taken { .. } | Self::OtherPlan { .. } | Self::NotRead { .. } => Class::BadRequest,
            Self::Budget { .. } => Class::Refused,
            Self::Gate(e) => e.class(),
            Self::Desk(e) => e.class(),
            Self::Permit(e) => e.class(),
            Self::Profile(e) => e.class(),
            Self::Site(e) => e.class(),
            Self::Lake(e) => e.class(),
            Self::Receipt(e) => e.class(),
            Self::Publish(e) => e.class(),
            Self::Loss(e) => e.class(),
            Self::Bounds { .. } | Self::Name(_) => Class::BadRequest,
            Self::Result | Self::Ended => Class::Bug,
        }
    }
}
