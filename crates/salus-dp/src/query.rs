use salus_model::{Class, Classified, ColumnPath};
use serde::{Deserialize, Serialize};

use crate::loss::Delta;
use crate::schema::Edges;

/// A rank that is not strictly between 0 and 1.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "a quantile's rank lies between 0 and 1, and {found} does not; ask for the minimum or maximum"
)]
pub struct RankError {
    found: f64,
}

impl Classified for RankError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// A quantile's rank: 0.5 is the median.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Rank(f64);

impl Rank {
    /// A rank strictly between 0 and 1.
    ///
    /// # Errors
    /// When it is not.
    pub fn new(rank: f64) -> Result<Self, RankError> {
        if rank > 0.0 && rank < 1.0 { Ok(Self(rank)) } else { Err(RankError { found: rank }) }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Rank {
    type Error = RankError;

    fn try_from(rank: f64) -> Result<Self, RankError> {
        Self::new(rank)
    }
}

impl From<Rank> for f64 {
    fn from(rank: Rank) -> Self {
        rank.0
    }
}

/// A question that can be answered with differential privacy, after filters have been applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Query {
    /// How many rows.
    Count,
    /// How many different units have a row, whatever a unit's contribution bound.
    DistinctUnits,
    /// How many different values of a column.
    DistinctCount {
        /// Which column.
        column: ColumnPath,
    },
    /// How many rows in each group of one or two columns.
    GroupedCount {
        /// One or two columns, each with a public domain or open.
        keys: Vec<ColumnPath>,
        /// The chance of showing a group that one unit alone made; needed for open columns only.
        threshold_delta: Option<Delta>,
    },
    /// The sum of a column.
    Sum {
        /// Which column.
        column: ColumnPath,
    },
    /// The mean of a column.
    Mean {
        /// Which column.
        column: ColumnPath,
    },
    /// The population variance and standard deviation of a column, with its mean.
    Variance {
        /// Which column.
        column: ColumnPath,
    },
    /// The smallest value of a column, as far as it can be told.
    Minimum {
        /// Which column.
        column: ColumnPath,
    },
    /// The largest value of a column, as far as it can be told.
    Maximum {
        /// Which column.
        column: ColumnPath,
    },
    /// Quantiles of a column, any number of them for one charge.
    Quantiles {
        /// Which column.
        column: ColumnPath,
        /// Which ranks.
        ranks: Vec<Rank>,
    },
    /// How many rows in each bin of a number or date column.
    Histogram {
        /// Which column.
        column: ColumnPath,
        /// The bins.
        edges: Edges,
    },
    /// Ordinary least squares of one column on another: slope, intercept, root mean squared error.
    LinearRegression {
        /// The explaining column.
        x: ColumnPath,
        /// The explained column.
        y: ColumnPath,
    },
    /// The groups with the largest counts.
    TopK {
        /// One or two columns.
        keys: Vec<ColumnPath>,
        /// How many groups.
        k: u32,
        /// As in [`Query::GroupedCount`].
        threshold_delta: Option<Delta>,
    },
}
