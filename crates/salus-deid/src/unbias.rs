//! Bias in tables and predictions: measured, and mended.

mod mend;
mod report;
mod train;

use salus_model::{Class, Classified};
use serde::Serialize;

use crate::risk::classes;
use crate::table::{Table, TableError};

pub use mend::{Repair, Thresholds, Weights};
pub use report::{BiasReport, GroupBias, Predictions, Representation};
pub use train::trained;

/// Why bias could not be measured or mended.
#[derive(Debug, thiserror::Error)]
pub enum BiasError {
    /// A column is missing.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The favourable value never occurs.
    #[error("no record has the favourable value in column '{column}'")]
    NoFavourable {
        /// The outcome column.
        column: String,
    },
    /// Fewer than two groups.
    #[error("the sensitive columns form one group only; there is nothing to compare")]
    OneGroup,
    /// A group has nobody with one of the two outcomes, so that no weight balances it. Its message
    /// leaves out which: a group's name is made of people's values.
    #[error(
        "one of the groups that the sensitive columns form has only one outcome, which no weights \
         can balance; name fewer sensitive columns, or coarsen them"
    )]
    EmptyCell {
        /// The group.
        group: String,
    },
    /// Scores do not fit.
    #[error("{0}")]
    Input(&'static str),
}

impl Classified for BiasError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// Which outcome counts as good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Favourable {
    /// The outcome column.
    pub column: String,
    /// Its good value.
    pub value: String,
}

/// A table by groups of sensitive columns (their intersections) and outcome.
pub(crate) struct Grouped {
    /// Values of the sensitive columns, joined by ` & `.
    pub(crate) names: Vec<String>,
    pub(crate) group_of: Vec<u32>,
    pub(crate) good: Vec<bool>,
    /// Records by group, all and with the good outcome.
    pub(crate) size: Vec<f64>,
    pub(crate) good_size: Vec<f64>,
}

impl Grouped {
    pub(crate) fn of(
        table: &Table,
        sensitive: &[&str],
        favourable: &Favourable,
    ) -> Result<Self, BiasError> {
        let outcome = table.column(&favourable.column)?;
        let good: Vec<bool> = (0..table.rows())
            .map(|row| outcome.value(row) == Some(favourable.value.as_str()))
            .collect();
        if !good.contains(&true) {
            return Err(BiasError::NoFavourable { column: favourable.column.clone() });
        }
        let (group_of, number) = classes(table, sensitive)?;
        if number < 2 {
            return Err(BiasError::OneGroup);
        }
        let columns = sensitive.iter().map(|s| table.column(s)).collect::<Result<Vec<_>, _>>()?;
        let mut names = vec![String::new(); number];
        let (mut size, mut good_size) = (vec![0.0; number], vec![0.0; number]);
        for (row, &group) in group_of.iter().enumerate() {
            let group = group as usize;
            if size[group] == 0.0 {
                let values: Vec<&str> =
                    columns.iter().map(|c| c.value(row).unwrap_or_default()).collect();
                names[group] = values.join(" & ");
            }
            size[group] += 1.0;
            good_size[group] += f64::from(u8::from(good[row]));
        }
        Ok(Self { names, group_of, good, size, good_size })
    }
}

#[cfg(test)]
mod tests;
