//! Questions as a documented subset of SQL: `docs/query-sql.md` is its grammar.
//!
//! ```text
//! text ──parse──▶ Statement ──question(profile, spend, mechanism)──▶ Question
//! Question ──render(profile)──▶ text, which parses to the same question again
//! ```
//!
//! No SQL engine takes part: the text is read into the same [`Question`] that JSON says, and what
//! the subset cannot say is refused with the place and with what to write instead. What it does
//! say means what it means in SQL, missing values included: a `WHERE` keeps the rows for which it
//! is true, and `NOT` of a comparison with a missing value is not true.
//!
//! Spend and noise are not part of the text.

mod aggregate;
mod condition;
mod error;
mod fit;
mod literal;
mod read;
mod write;

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use salus_dp::Query;
use salus_model::{ColumnPath, DatasetId, Timestamp};

pub use error::{Place, SqlError, SqlFault};
pub use read::parse;
pub use write::{RenderError, render};

use crate::predicate::Predicate;

/// What a text asks of one dataset, before the dataset's profile has been looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Of which dataset.
    pub dataset: DatasetId,
    /// What is asked.
    pub ask: Ask,
    /// Which rows it is about; all when there is none.
    pub filter: Option<Predicate>,
    places: Places,
}

/// What is asked; bins wait for the bounds in the dataset's profile.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// All that is said without bounds.
    Query(Query),
    /// How many rows in each bin of a number or date column.
    Histogram {
        /// Which column.
        column: ColumnPath,
        /// The bins.
        bins: Bins,
    },
}

/// How a histogram's bins are said.
#[derive(Debug, Clone, PartialEq)]
pub enum Bins {
    /// This many, equally wide, over the column's bounds.
    Equal(u32),
    /// This many, equally wide, between two values, and one on each side up to the bounds.
    Between {
        /// The lower value.
        low: Edge,
        /// The higher value.
        high: Edge,
        /// How many.
        bins: u32,
    },
    /// Between the bounds' ends and these edges.
    At(Vec<Edge>),
    /// One for each period of the calendar, in UTC.
    Calendar(Period),
}

/// A bin's edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// Of a number column, exactly as it was written.
    Number(Decimal),
    /// Of a date column.
    Moment(Timestamp),
}

/// A period of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// A year.
    Year,
    /// A quarter of a year.
    Quarter,
    /// A month.
    Month,
    /// A week from Monday on.
    Week,
    /// A day.
    Day,
    /// An hour.
    Hour,
}

/// Where in the text things stand, so that what the profile refuses has a place too.
#[derive(Debug, Clone, Default)]
struct Places {
    ask: Place,
    columns: BTreeMap<ColumnPath, Place>,
    /// Columns that stand against a `DATE` or `TIMESTAMP`.
    moments: BTreeMap<ColumnPath, Place>,
}

/// Two statements are the same wherever their words stand.
impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Places {
    fn of(&self, column: &ColumnPath) -> Place {
        self.columns.get(column).copied().unwrap_or(self.ask)
    }
}

#[cfg(test)]
mod tests;
