//! Why a release comes to nothing.

use salus_dp::LossError;
use salus_files::FilesError;
use salus_ledger::proof::ReceiptError;
use salus_model::{Class, Classified, ColumnPath, DatasetId, IdError};
use salus_private::{DeskError, LedgerRefused, ProfileError};
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
    /// The ledger has charged it, and its sealed result is kept; the publication is not yet.
    #[error(
        "the release was charged, and its sealed result is kept. Give exactly the same release \
         again, which costs nothing more as long as the dataset's version and opt-outs on the ledger \
         stay as they are"
    )]
    ChargedAndSealed(#[source] Box<ReleaseError>),
    /// The ledger has charged it and it is kept, and is not published yet.
    #[error(
        "the release was charged and is kept, and is not published yet. Give exactly the same \
         release again: that costs nothing more"
    )]
    Charged(#[source] Box<ReleaseError>),
    /// The ledger has recorded it without a charge and it is kept, and is not published yet.
    #[error(
        "the release is recorded on the ledger and is kept, and is not published yet. Give exactly \
         the same release again: nothing is recorded twice"
    )]
    Recorded(#[source] Box<ReleaseError>),
    /// The charge was sent to the ledger, or about to be, and nobody knows what came of it.
    #[error(
        "the release may have been charged. Give exactly the same release again: what was charged \
         is not charged a second time"
    )]
    Uncertain(#[source] Box<ReleaseError>),
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
            Self::ChargedAndSealed(e)
            | Self::Charged(e)
            | Self::Recorded(e)
            | Self::Uncertain(e) => e.class(),
            Self::Result | Self::Ended => Class::Bug,
        }
    }
}

impl ReleaseError {
    /// Whether the release stands on the ledger, or may: its words say so then.
    pub(crate) const fn may_be_booked(&self) -> bool {
        matches!(
            self,
            Self::ChargedAndSealed(_) | Self::Charged(_) | Self::Recorded(_) | Self::Uncertain(_)
        )
    }
}

/// How a release is booked that is on the ledger already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Booked {
    /// With what it cost.
    Charged,
    /// Without a bound, and so without a charge.
    Recorded,
}

impl Booked {
    /// Says of a failure that only publishing is left to do.
    pub(super) fn unpublished(self, error: impl Into<ReleaseError>) -> ReleaseError {
        let error = Box::new(error.into());
        match self {
            Self::Charged => ReleaseError::Charged(error),
            Self::Recorded => ReleaseError::Recorded(error),
        }
    }
}

/// What the desk's failure means for the charge, once the release itself was computed.
///
/// A rule that refuses has charged nothing, and so has whatever fails before the release is sealed.
pub(super) fn after_computing(error: DeskError, is_computed: bool) -> ReleaseError {
    let is_open = match &error {
        // The ledger did not say, or what it said could not be kept or put on record.
        DeskError::Ledger(LedgerRefused::Unavailable { .. })
        | DeskError::Outbox(_)
        | DeskError::Audit(_) => is_computed,
        _ => false,
    };
    let error = ReleaseError::from(error);
    if is_open { ReleaseError::Uncertain(Box::new(error)) } else { error }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn unavailable() -> LedgerRefused {
        LedgerRefused::Unavailable { reason: "no validator answers".to_owned() }
    }

    #[test]
    fn a_failure_after_the_charge_says_so_and_keeps_its_class_and_cause() {
        for booked in [Booked::Charged, Booked::Recorded] {
            let failed = booked.unpublished(PublishError::Ledger(unavailable()));
            let words = failed.to_string();
            let said = match booked {
                Booked::Charged => ["was charged and is kept", "costs nothing more"],
                Booked::Recorded => ["is recorded", "nothing is recorded twice"],
            };
            assert!(said.iter().all(|part| words.contains(part)), "{words}");
            assert!(words.contains("exactly the same release again"), "{words}");
            assert_eq!(failed.class(), Class::Unavailable);
            let cause = failed.source().map(ToString::to_string).unwrap_or_default();
            assert!(cause.contains("no validator answers"), "{cause}");
        }
    }

    #[test]
    fn what_came_of_a_charge_is_open_once_it_may_have_been_sent_and_not_before() {
        let open = |error: DeskError, is_computed: bool| {
            let class = error.class();
            let failed = after_computing(error, is_computed);
            assert_eq!(failed.class(), class);
            let words = failed.to_string();
            assert_eq!(words.contains("exactly the same"), words.contains("may have been charged"));
            words.contains("may have been charged")
        };
        assert!(open(DeskError::Ledger(unavailable()), true));
        assert!(open(DeskError::Outbox(std::io::Error::other("full")), true));
        assert!(!open(DeskError::Ledger(unavailable()), false), "nothing was read yet");
        let rule = LedgerRefused::Rule { rule: "budget".to_owned(), says: String::new() };
        assert!(!open(DeskError::Ledger(rule), true), "a rule refused it");
        assert!(!open(DeskError::Replayed, true));
    }
}
