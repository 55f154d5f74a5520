//! The one path from a holder's rows to anybody's eyes, in types.
//!
//! ```text
//! PermitChecked<U> + U::Rows + Place ──authorise──▶ KeyRelease<U>
//! store.scan(KeyRelease<U>)          ────────────▶ Unreleased<T, U>   (compute stays inside)
//! seal(Unreleased<T, U>, recipient)  ────────────▶ Held<T, U>
//! release(Held, clearance, receipt)  ────────────▶ Released<T>
//! ```
//!
//! Every token has private fields, one maker that verifies a signature or proof, and no `Clone`.
//! Leaving a step out is a compile error (`tests/compile_fail`); using tokens of two different
//! deals together is refused at run time, because all carry the deal that they were made for.
//!
//! **Invariant:** no function here decrypts, stores or sends anything. The spine decides; the
//! store obeys, because its only scan asks for a [`KeyRelease`].
//!
//! **Invariant:** nothing here holds a reference to a clock: `now` is an argument of each maker.
//!
//! | | [`Care`] | [`Secondary`] |
//! | --- | --- | --- |
//! | permit | [`CareGrant`], signed by the holder's policy decision point | [`SignedRequest`] under a permit that the ledger's state proves |
//! | rows | [`CareRestricted`] | [`OptOutsApplied`], the ledger's present epoch |
//! | recipient | [`CareSession`] | the permit's person, by HPKE ([`seal_result`]) |
//! | clearance | [`CareDisclosure`] | [`BudgetCharged`] or [`ReleaseApproved`] |
//! | receipt | [`AccessRecorded`] in the holder's access log | [`ReceiptFinal`] on the ledger |

mod audit;
mod authority;
mod care;
mod place;
mod release;
mod rows;
mod scope;
mod secondary;
mod unreleased;
mod upkeep;

pub use audit::{AuditReading, AuditReadingOrder};
pub use authority::{Authority, HolderAuthority, SignedStatement, Statement, StatementRefused};
pub use care::{
    AccessRecord, AccessRecorded, CareAccess, CareDisclosure, CareGrant, CareRestricted,
    CareSession,
};
pub use place::{OnPremises, Place, PremisesStatement};
pub use release::{AuthoriseError, KeyRelease, PermitChecked, authorise};
pub use rows::{DatasetAccess, NoSubject, RowRule, SubjectSet};
pub use scope::{Care, Scope, ScopeMismatch, Secondary, Use};
pub use secondary::{
    BudgetCharged, Checked, ForReview, ForReviewRefused, Freshness, InputRead, KeepError,
    KeptState, MAX_REQUEST_MICROS, OptOutList, OptOutsApplied, OptOutsRefused, Priced,
    ReceiptFinal, ReceiptRefused, ReleaseApproved, RequestRefused, ReviewCopy, SealResultRefused,
    SealedResult, SecondaryClearance, SecondaryRequest, SecondaryTerms, SignedRequest, result_hash,
    seal_for_review, seal_result,
};
pub use unreleased::{
    Acknowledges, Held, Recipient, ReleaseRefused, Released, Unreleased, release, seal,
};
pub use upkeep::{Upkeep, UpkeepAuthorised, UpkeepOrder};

#[cfg(test)]
mod tests;
