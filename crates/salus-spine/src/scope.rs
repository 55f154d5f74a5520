use std::fmt;

use salus_model::{DealId, HolderId};

/// What all tokens of one use have in common: the holder, and the deal or statement.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    holder: HolderId,
    deal: DealId,
}

impl Scope {
    /// The scope of `deal` at `holder`.
    #[must_use]
    pub const fn new(holder: HolderId, deal: DealId) -> Self {
        Self { holder, deal }
    }

    /// Whose data it is.
    #[must_use]
    pub const fn holder(&self) -> &HolderId {
        &self.holder
    }

    /// Under which deal; for care, the id of the one statement.
    #[must_use]
    pub const fn deal(&self) -> &DealId {
        &self.deal
    }

    pub(crate) fn same_as(&self, other: &Self) -> Result<(), ScopeMismatch> {
        if self == other {
            Ok(())
        } else {
            Err(ScopeMismatch { one: self.clone(), other: other.clone() })
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.deal, self.holder)
    }
}

/// Tokens of two different deals were used together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a token of {one} was used together with one of {other}")]
pub struct ScopeMismatch {
    one: Scope,
    other: Scope,
}

/// Care: the holder's own staff, for the person whose data it is.
#[derive(Debug, Clone, Copy)]
pub enum Care {}

/// Secondary use: under a permit, with the opt-outs applied.
#[derive(Debug, Clone, Copy)]
pub enum Secondary {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Care {}
    impl Sealed for super::Secondary {}
}

/// How data are used; [`Care`] or [`Secondary`], and nothing else can be.
pub trait Use: sealed::Sealed + Send + Sync + Sized + 'static {
    /// The terms of the use, which every token of it carries on.
    type Terms: Clone + Send + Sync + 'static;
    /// The token that says which rows may be seen.
    type Rows: crate::rows::RowRestriction;
    /// The token that says that a result may go out.
    type Clearance: crate::unreleased::Scoped;
    /// The token that says that the use is on record for good.
    type Receipt: crate::unreleased::Scoped;

    /// The terms, with what the row restriction adds to them.
    fn restricted(terms: Self::Terms, rows: &Self::Rows) -> Self::Terms;
}

impl Use for Care {
    type Terms = ();
    type Rows = crate::CareRestricted;
    type Clearance = crate::CareDisclosure;
    type Receipt = crate::AccessRecorded;

    fn restricted((): (), _: &Self::Rows) {}
}

impl Use for Secondary {
    type Terms = std::sync::Arc<crate::SecondaryTerms>;
    type Rows = crate::OptOutsApplied;
    type Clearance = crate::SecondaryClearance;
    type Receipt = crate::ReceiptFinal;

    fn restricted(terms: Self::Terms, rows: &Self::Rows) -> Self::Terms {
        std::sync::Arc::new(crate::SecondaryTerms {
            optout_epoch: rows.epoch(),
            ..terms.as_ref().clone()
        })
    }
}
