//! The Loss metric: the share of the domain that a published value leaves open.

use salus_model::{Class, Classified};

/// How losses of columns become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// Geometric mean of 1 + loss, minus 1, so that a column without loss does not hide others.
    GeometricMean,
    /// Arithmetic mean.
    ArithmeticMean,
    /// The largest.
    Maximum,
}

/// A generalisation/suppression factor outside 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("the generalisation/suppression factor must lie between 0 and 1")]
pub struct LossError;

impl Classified for LossError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// What the search makes small: iloss averaged over records, aggregated over columns.
///
/// A published value that stands for `m` of the `D` values of its column's hierarchy costs `m/D`;
/// a suppressed record costs 1 in every column. Per column the sum over records is scaled so that
/// no generalisation gives 0 and full suppression gives 1. The factor weighs the two ways to lose:
/// at 0.5 they count alike, towards 0 suppression gets cheaper, towards 1 generalisation does.
///
/// # Source
/// Iyengar 2002, "Transforming data to satisfy privacy constraints", section 3; the scaling, the
/// factor and the geometric aggregation are those that ARX documents, so that its published
/// optimum values can be compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    aggregate: Aggregate,
    generalisation: f64,
    suppression: f64,
}

impl Loss {
    /// The reference's default: geometric mean, both ways of losing counted alike.
    pub const REFERENCE: Self =
        Self { aggregate: Aggregate::GeometricMean, generalisation: 1.0, suppression: 1.0 };

    /// A loss with its aggregate and its generalisation/suppression factor.
    ///
    /// # Errors
    /// When the factor lies outside 0 to 1.
    pub fn new(aggregate: Aggregate, factor: f64) -> Result<Self, LossError> {
        if !(0.0..=1.0).contains(&factor) {
            return Err(LossError);
        }
        let suppression = if factor < 0.5 { 2.0 * factor } else { 1.0 };
        let generalisation = if factor <= 0.5 { 1.0 } else { 2.0 * (1.0 - factor) };
        Ok(Self { aggregate, generalisation, suppression })
    }

    /// Loss of one column from exact sums over records.
    pub(crate) fn column(&self, records: u64, domain: u64, sums: ColumnSums) -> f64 {
        let (n, d) = (records as f64, domain as f64);
        let low = self.generalisation * n / d;
        let all = self.generalisation * sums.shares as f64 / d + self.suppressed(d, sums);
        let span = n - low;
        if span <= 0.0 { 0.0 } else { ((all - low) / span).max(0.0) }
    }

    /// What suppressing adds to the cost of merely generalising.
    fn suppressed(&self, domain: f64, sums: ColumnSums) -> f64 {
        let share = sums.suppressed_shares as f64 / domain;
        let count = sums.suppressed as f64;
        share + self.suppression * (count - share) - self.generalisation * share
    }

    pub(crate) const fn start(&self) -> f64 {
        match self.aggregate {
            Aggregate::GeometricMean => 1.0,
            Aggregate::ArithmeticMean | Aggregate::Maximum => 0.0,
        }
    }

    pub(crate) fn fold(&self, sum: f64, column: f64) -> f64 {
        match self.aggregate {
            Aggregate::GeometricMean => sum * (1.0 + column),
            Aggregate::ArithmeticMean => sum + column,
            Aggregate::Maximum => sum.max(column),
        }
    }

    pub(crate) fn finish(&self, sum: f64, columns: usize) -> f64 {
        match self.aggregate {
            Aggregate::GeometricMean => sum.powf(1.0 / columns as f64) - 1.0,
            Aggregate::ArithmeticMean => sum / columns as f64,
            Aggregate::Maximum => sum,
        }
    }
}

/// Exact sums of one column, in units of one value of the domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ColumnSums {
    /// Σ m over all records, as if none were suppressed.
    pub(crate) shares: u64,
    /// Σ m over the suppressed records.
    pub(crate) suppressed_shares: u64,
    /// How many are suppressed.
    pub(crate) suppressed: u64,
}
