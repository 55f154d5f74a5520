//! Differentially private answers from encrypted datasets, under a permit.
//!
//! ```text
//! Question + Profile ──prepare──▶ Prepared        cost, expected error, columns; no key, no row
//! Prepared + ReadSession<Secondary> ──compute──▶ Unreleased<Priced<…>>
//! ```
//!
//! The rest of the way is the spine's: [`salus_spine::seal_result`], receipt, release. [`Desk`] walks
//! all of it for a holder's node.
//!
//! What a holder's own program makes of rows, such as a synthetic table, goes the same way as a
//! [`Job`]: the desk reads, seals, charges and releases, the job computes and says the price. A job
//! whose result has no bound is held until reviewers have decided ([`Desk::for_review`]).
//!
//! A question comes as JSON ([`Question::parse`]) or as a subset of SQL ([`sql::parse`]).
//!
//! **Invariant:** no SQL engine takes part. What a question can do is what [`Predicate`] and
//! [`salus_dp::Query`] can say, and neither can fail, loop or grow because of a value in a row.
//!
//! **Invariant:** what comes out of [`Prepared::compute`] is noised and carries the price of
//! exactly that noise; the exact partial result cannot be read by anybody.
//!
//! # Privacy
//! Zero-concentrated differential privacy as `salus-dp` states it, for the unit that the dataset's
//! [`Profile`] names. Not protected: the question itself, and the time that an answer takes, which
//! follows the number of rows in files and of those that pass the filter.

mod compute;
mod desk;
mod job;
pub mod joint;
mod outbox;
mod predicate;
mod profile;
mod question;
mod reader;
pub mod several;
pub mod sql;
pub mod standing;

pub use compute::ComputeError;
pub use desk::{
    Desk, DeskError, DeskParts, Gated, HeldResult, Ledger, LedgerRefused, Reply, built_in_code,
};
pub use job::{Job, JobFailed, MAX_RESULT_BYTES, read_texts, texts_of};
pub use outbox::{Outbox, SignedRelease};
pub use predicate::{Comparison, Literal, Predicate, PredicateError};
pub use profile::{Profile, ProfileError, Profiles};
pub use question::{Asked, Prepared, Question, QuestionError, QuestionVersion, UnknownVersion};

#[cfg(test)]
mod tests;
