//! Placeholder until the estimators land in the next commit.

use super::ClassSizes;

/// Which estimator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Estimator {
    /// Zayatz.
    Zayatz,
}

/// An estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PopulationUnique {
    /// Share.
    pub share: f64,
}

impl ClassSizes {
    /// Estimate.
    #[must_use]
    pub fn population_unique(&self, _: Estimator, _: u64) -> PopulationUnique {
        PopulationUnique { share: 0.0 }
    }
}
