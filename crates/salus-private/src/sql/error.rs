use salus_dp::{PlanError, SchemaError};
use salus_model::{Class, Classified, ColumnPath, IdError};
use sqlparser::tokenizer::Span;

use crate::predicate::PredicateError;

/// A place in a text, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The character in the line.
    pub column: u64,
}

impl Default for Place {
    fn default() -> Self {
        Self { line: 1, column: 1 }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

impl Place {
    /// Where a span starts; the parser has none for some things, and then it is `or`.
    pub(super) fn of(span: Span, or: Self) -> Self {
        match (span.start.line, span.start.column) {
            (0, _) | (_, 0) => or,
            (line, column) => Self { line, column },
        }
    }
}

/// Why a text is not a question.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct SqlError {
    /// Where.
    pub place: Place,
    /// What is wrong there.
    #[source]
    pub fault: SqlFault,
}

/// What is wrong at a place of a text.
#[derive(Debug, thiserror::Error)]
pub enum SqlFault {
    /// The text is no SQL.
    #[error("this is no SQL: {reason}")]
    Syntax {
        /// What was expected and what was found.
        reason: String,
    },
    /// The text is too long.
    #[error("the text is too long: at most {most} {what}")]
    Long {
        /// How many are allowed.
        most: usize,
        /// Of what.
        what: &'static str,
    },
    /// SQL that private questions do not have.
    #[error("{found} cannot be asked with differential privacy here; {instead}")]
    Outside {
        /// What it is.
        found: String,
        /// What to write instead.
        instead: String,
    },
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] IdError),
    /// The dataset's profile does not know the column.
    #[error("the dataset has no column '{column}' for private questions; it has {known}")]
    Column {
        /// The column.
        column: ColumnPath,
        /// Those that it has.
        known: String,
    },
    /// A date against a column of something else.
    #[error("column '{column}' holds no dates; write its values as they are, without DATE")]
    NoDates {
        /// The column.
        column: ColumnPath,
    },
    /// The filter does not fit the profile.
    #[error(transparent)]
    Filter(#[from] PredicateError),
    /// The bins do not fit the column's bounds.
    #[error("the bins of '{column}' do not fit its bounds, {low} to {high}: {reason}")]
    Bins {
        /// The column.
        column: ColumnPath,
        /// Its lower bound.
        low: String,
        /// Its upper bound.
        high: String,
        /// Why.
        #[source]
        reason: SchemaError,
    },
    /// The question does not fit the profile or the spend.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl SqlError {
    pub(super) fn outside(
        place: Place,
        found: impl Into<String>,
        instead: impl Into<String>,
    ) -> Self {
        let (found, instead) = (found.into(), instead.into());
        Self { place, fault: SqlFault::Outside { found, instead } }
    }
}

impl Classified for SqlError {
    fn class(&self) -> Class {
        match &self.fault {
            SqlFault::Plan(e) => e.class(),
            _ => Class::BadRequest,
        }
    }
}
