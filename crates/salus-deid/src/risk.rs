//! Re-identification risk.

mod population;

pub use population::{Estimator, PopulationUnique};

use std::collections::BTreeMap;

/// How many equivalence classes there are of each size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassSizes {
    classes_of_size: BTreeMap<u64, u64>,
    records: u64,
    classes: u64,
}

impl ClassSizes {
    /// Counts classes by size; empty ones do not count.
    #[must_use]
    pub fn from_sizes(sizes: impl IntoIterator<Item = u64>) -> Self {
        let mut built = Self { classes_of_size: BTreeMap::new(), records: 0, classes: 0 };
        for size in sizes.into_iter().filter(|&size| size > 0) {
            *built.classes_of_size.entry(size).or_insert(0) += 1;
            built.records += size;
            built.classes += 1;
        }
        built
    }

    /// Takes all classes of a size out.
    pub(crate) fn remove(&mut self, size: u64) {
        if let Some(classes) = self.classes_of_size.remove(&size) {
            self.records -= size * classes;
            self.classes -= classes;
        }
    }

    /// Records in all classes.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// How many classes there are.
    #[must_use]
    pub const fn classes(&self) -> u64 {
        self.classes
    }

    /// Pairs of size and number of classes, small first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> {
        self.classes_of_size.iter().map(|(&size, &classes)| (size, classes))
    }

    /// Classes of one size.
    #[must_use]
    pub fn of_size(&self, size: u64) -> u64 {
        self.classes_of_size.get(&size).copied().unwrap_or(0)
    }

    /// The mean over records of 1 / class size, which is classes / records; 0 without records.
    #[must_use]
    pub fn average_risk(&self) -> f64 {
        if self.records == 0 { 0.0 } else { self.classes as f64 / self.records as f64 }
    }
}
