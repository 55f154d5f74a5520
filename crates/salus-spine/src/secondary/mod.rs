//! Secondary use: under a permit on the ledger, with opt-outs applied, charged and receipted.

mod keep;
mod optout;
mod receipt;
mod request;
mod result;
mod review;

pub use keep::{KeepError, KeptState};
pub use optout::{OptOutList, OptOutsApplied, OptOutsRefused};
pub use receipt::{
    BudgetCharged, ReceiptFinal, ReceiptRefused, ReleaseApproved, SecondaryClearance,
};
pub use request::{
    Freshness, MAX_REQUEST_MICROS, RequestRefused, SecondaryRequest, SecondaryTerms, SignedRequest,
};
pub use result::{InputRead, Priced, SealResultRefused, SealedResult, result_hash, seal_result};
pub use review::{Checked, ForReview, ForReviewRefused, ReviewCopy, seal_for_review};

use salus_ledger::DatasetRef;
use salus_model::{DatasetId, HolderId, IdError, MemberId};

/// The ledger's name for a holder's dataset: holders are members under the same id.
fn dataset_ref(holder: &HolderId, dataset: &DatasetId) -> Result<DatasetRef, IdError> {
    Ok(DatasetRef { holder: MemberId::new(holder.as_str())?, dataset: dataset.clone() })
}

#[cfg(test)]
mod tests;
