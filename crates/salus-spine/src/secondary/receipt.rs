use std::collections::BTreeMap;

use salus_ledger::ResultHash;
use salus_ledger::proof::{GatePassed, ReceiptError, TrustAnchor, VerifiedReceipt, verify_receipt};
use salus_ledger::review::Reviewed;
use salus_model::{Class, Classified, DatasetId, PrivacyCharge};

use super::dataset_ref;
use super::result::SealedResult;
use crate::scope::{Scope, Secondary};
use crate::unreleased::{Acknowledges, Held, Scoped};

/// Why a receipt does not release a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptRefused {
    /// It does not verify.
    #[error("the receipt does not verify")]
    Receipt(#[from] ReceiptError),
    /// It was given for another result or use.
    #[error("the receipt differs from what was computed in its {field}")]
    Differs {
        /// In what.
        field: &'static str,
    },
    /// A charge without a bound, where a bounded one is wanted.
    #[error("the receipt has a charge without a bound, which only the release gate clears")]
    NotBounded,
    /// No decision of the release gate.
    #[error("the receipt has no decision of the release gate")]
    NoGate,
    /// A decision from before reviewers' approvals were counted.
    #[error(
        "the receipt shows an officer's signature and no review; the ledger's rules of then counted no reviewers"
    )]
    NotReviewed,
}

impl Classified for ReceiptRefused {
    fn class(&self) -> Class {
        match self {
            Self::Receipt(e) => e.class(),
            Self::Differs { .. } => Class::Peer,
            Self::NotBounded | Self::NoGate | Self::NotReviewed => Class::Refused,
        }
    }
}

fn matches(
    receipt: &VerifiedReceipt,
    held: &Held<SealedResult, Secondary>,
) -> Result<(), ReceiptRefused> {
    let terms = &held.terms;
    let differs = |field| Err(ReceiptRefused::Differs { field });
    if receipt.ledger != terms.ledger {
        return differs("ledger");
    }
    if receipt.permit != terms.permit || receipt.pseudonym != terms.pseudonym {
        return differs("permit");
    }
    if receipt.code != terms.code {
        return differs("code");
    }
    if receipt.result != held.sealed.hash() {
        return differs("result");
    }
    let mut uses: BTreeMap<_, _> = receipt.uses.iter().map(|used| (&used.dataset, used)).collect();
    for (dataset, columns) in &terms.columns {
        let reference = dataset_ref(held.scope.holder(), dataset)
            .map_err(|_| ReceiptRefused::Differs { field: "dataset" })?;
        let Some(used) = uses.remove(&reference) else { return differs("dataset") };
        if used.columns != *columns {
            return differs("columns");
        }
        if used.optout_epoch != terms.optout_epoch {
            return differs("opt-out epoch");
        }
        if Some(&used.charge) != held.sealed.charges().get(dataset) {
            return differs("charge");
        }
    }
    if uses.is_empty() { Ok(()) } else { differs("dataset") }
}

/// What a receipt proves, once it is the one that was given for this result.
fn verified(
    receipt: &[u8],
    anchor: &TrustAnchor,
    held: &Held<SealedResult, Secondary>,
) -> Result<VerifiedReceipt, ReceiptRefused> {
    let verified = verify_receipt(receipt, anchor)?;
    matches(&verified, held)?;
    Ok(verified)
}

/// Proof that a use is on the ledger for good.
#[derive(Debug)]
pub struct ReceiptFinal {
    scope: Scope,
    result: ResultHash,
}

impl ReceiptFinal {
    /// Of a receipt that [`verified`] let through for this result.
    fn of(verified: &VerifiedReceipt, held: &Held<SealedResult, Secondary>) -> Self {
        Self { scope: held.scope.clone(), result: verified.result }
    }
}

impl Scoped for ReceiptFinal {
    fn scope(&self) -> &Scope {
        &self.scope
    }
}

impl Acknowledges<SealedResult> for ReceiptFinal {
    fn acknowledges(&self, sealed: &SealedResult) -> bool {
        self.result == sealed.hash()
    }
}

/// Proof that the account of every dataset was charged with a bounded loss.
#[derive(Debug)]
pub struct BudgetCharged {
    scope: Scope,
}

impl BudgetCharged {
    /// Verifies the receipt's proof, that it says what was computed (this permit and person, these
    /// columns, this opt-out epoch, this charge, this result), and that every charge has a bound.
    /// Gives both of what a release asks for, by one verification.
    ///
    /// # Errors
    /// When the proof does not hold, has a charge without a bound, or names the first thing that
    /// differs.
    ///
    /// # Cost
    /// Signatures of a quorum of validators, and one Merkle path.
    pub fn verify(
        receipt: &[u8],
        anchor: &TrustAnchor,
        held: &Held<SealedResult, Secondary>,
    ) -> Result<(Self, ReceiptFinal), ReceiptRefused> {
        let verified = verified(receipt, anchor, held)?;
        let bounded = |charge: &PrivacyCharge| matches!(charge, PrivacyCharge::Bounded(_));
        if !verified.uses.iter().all(|used| bounded(&used.charge)) {
            return Err(ReceiptRefused::NotBounded);
        }
        Ok((Self { scope: held.scope.clone() }, ReceiptFinal::of(&verified, held)))
    }
}

/// Proof that reviewers approved a result without a bound, as the release gate asks.
///
/// It holds nobody's word. The receipt shows that the release is in the ledger's history as
/// applied, under the votes of more than two thirds of the validators, each of which counted the
/// approvals that the release names when it executed the block: as many as the rule of review asks
/// for, of reviewers in good standing who neither asked nor submitted, on exactly this release, and
/// no refusal standing ([`salus_ledger::proof::GatePassed`]).
#[derive(Debug)]
pub struct ReleaseApproved {
    scope: Scope,
    reviewed: Reviewed,
}

impl ReleaseApproved {
    /// Verifies as [`BudgetCharged::verify`] does, and that the release went out on a review that
    /// the ledger's rules found approved. An officer's signature alone, which the first version of
    /// the rules took, is none.
    ///
    /// # Errors
    /// When the proof does not hold, differs from the result, or shows no review.
    pub fn verify(
        receipt: &[u8],
        anchor: &TrustAnchor,
        held: &Held<SealedResult, Secondary>,
    ) -> Result<(Self, ReceiptFinal), ReceiptRefused> {
        let verified = verified(receipt, anchor, held)?;
        let reviewed = match &verified.gate {
            Some(GatePassed::Reviewed(reviewed)) => reviewed.clone(),
            Some(GatePassed::SignedOff(_)) => return Err(ReceiptRefused::NotReviewed),
            None => return Err(ReceiptRefused::NoGate),
        };
        Ok((Self { scope: held.scope.clone(), reviewed }, ReceiptFinal::of(&verified, held)))
    }

    /// The review, and the keys of those who approved.
    #[must_use]
    pub const fn reviewed(&self) -> &Reviewed {
        &self.reviewed
    }
}

/// What clears a result of secondary use.
#[derive(Debug)]
pub enum SecondaryClearance {
    /// The privacy budget was charged.
    Charged(BudgetCharged),
    /// The release gate approved.
    Approved(ReleaseApproved),
}

impl Scoped for SecondaryClearance {
    fn scope(&self) -> &Scope {
        match self {
            Self::Charged(token) => &token.scope,
            Self::Approved(token) => &token.scope,
        }
    }
}

/// The charges of a result by dataset, for whoever shows them beside it.
impl Held<SealedResult, Secondary> {
    /// What the release costs.
    #[must_use]
    pub const fn charges(&self) -> &BTreeMap<DatasetId, PrivacyCharge> {
        self.sealed.charges()
    }
}
