//! Changes to tables: schemes, coding, noise-free perturbation, pseudonyms.

mod coding;
mod local;
mod micro;
mod mondrian;
mod pseudonym;
mod scheme;

use salus_model::{Class, Classified, EntropyFailed};

use crate::hierarchy::HierarchyError;
use crate::quasi::QuasiIdentifierError;
use crate::search::SearchError;
use crate::table::TableError;

pub use coding::{Bounds, round_to, suppress_rare, top_and_bottom_code};
pub use local::LocalOutcome;
pub use micro::{Average, mdav, microaggregate};
pub use pseudonym::{DateShift, KeyTooShort, Pseudonyms, sample, shuffle};
pub use scheme::{Scheme, StreamColumns, StreamCounts, UnknownValue};

/// Why a table could not be transformed.
#[derive(Debug, thiserror::Error)]
pub enum TransformError {
    /// A column is missing, or the text is no table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A value has no place in a hierarchy.
    #[error(transparent)]
    Hierarchy(#[from] HierarchyError),
    /// The scheme does not fit its quasi-identifiers.
    #[error(transparent)]
    Scheme(#[from] QuasiIdentifierError),
    /// The search found nothing.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
    /// A cell is not what the transformation needs.
    #[error("column '{column}', record {record}: the value is no {expected}")]
    Value {
        /// The column.
        column: String,
        /// Record, counted from 1.
        record: usize,
        /// `number`, `date`.
        expected: &'static str,
    },
    /// A stream has columns of which the scheme does not say whether they may be written.
    #[error(
        "the scheme does not know the columns {names}, and so not whether they tell who somebody is; leave them out of the file, or find the scheme anew on a table that has them"
    )]
    UnknownColumns {
        /// The columns.
        names: String,
    },
    /// A parameter makes no sense.
    #[error("{0}")]
    Parameter(&'static str),
}

impl Classified for TransformError {
    fn class(&self) -> Class {
        match self {
            Self::Entropy(_) => Class::Unavailable,
            _ => Class::BadRequest,
        }
    }
}

/// The numbers of a column's dictionary, none where a value is missing, or which record holds
/// something else.
pub(crate) fn numbers_of(
    column: &crate::table::Column,
) -> Result<Vec<Option<f64>>, TransformError> {
    let dictionary = column.dictionary();
    let parsed: Vec<Option<f64>> = dictionary.iter().map(|t| crate::number::parse(t)).collect();
    let odd = |code: usize| parsed[code].is_none() && !crate::number::is_missing(&dictionary[code]);
    match column.codes().iter().position(|&code| odd(code as usize)) {
        Some(record) => Err(TransformError::Value {
            column: column.name().to_owned(),
            record: record + 1,
            expected: "number",
        }),
        None => Ok(parsed),
    }
}

#[cfg(test)]
mod tests;
