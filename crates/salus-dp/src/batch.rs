//! Many rows at once, where all that a row adds is its group.

use std::sync::Arc;

use crate::partial::{Exact, ObserveError, Partial, bump};
use crate::plan::Layout;
use crate::unit::{RowsPerUnit, UnitKey};

/// Whose rows a batch brings.
#[derive(Debug, Clone, Copy)]
pub enum Units<'a> {
    /// Each row is the only one of its unit.
    OneRowEach,
    /// The unit of each row.
    Keys(&'a [UnitKey]),
}

/// The code of a row that has no value, or one outside the public domain.
pub const OUTSIDE: u32 = u32::MAX;

impl Partial {
    /// Whether the question counts groups of public domains, so that rows may come as codes.
    #[must_use]
    pub fn takes_codes(&self) -> bool {
        matches!(self.shape.layout, Layout::Cells { .. })
    }

    /// Takes in rows that are counted in groups of public domains: the same as
    /// [`Partial::observe`] of each of them, in their order.
    ///
    /// # Shape and units
    /// `codes` has one slice for each of the plan's columns, all of one length: each row's place in
    /// the column's domain. A row with a place that the domain does not have is left out, as is one
    /// with [`OUTSIDE`].
    ///
    /// # Privacy
    /// As [`Partial::observe`].
    ///
    /// # Errors
    /// When the question does not count groups of public domains, the slices do not fit it or each
    /// other, or the table may hold several rows of a unit and the units are not told.
    ///
    /// # Cost
    /// Some nanoseconds a row; where a unit has one row, no map of units.
    pub fn observe_codes(
        &mut self,
        units: Units<'_>,
        codes: &[&[u32]],
    ) -> Result<(), ObserveError> {
        let shape = Arc::clone(&self.shape);
        let (Layout::Cells { keys, .. }, Exact::Vector(sums)) = (&shape.layout, &mut self.exact)
        else {
            return Err(ObserveError::NotGrouped);
        };
        if codes.len() != keys.len() {
            return Err(ObserveError::Columns { wanted: keys.len(), found: codes.len() });
        }
        let rows = codes.first().map_or(0, |column| column.len());
        let told = match units {
            Units::Keys(units) => Some(units),
            Units::OneRowEach => None,
        };
        if codes.iter().any(|column| column.len() != rows)
            || told.is_some_and(|units| units.len() != rows)
        {
            return Err(ObserveError::Rows);
        }
        let cells = cells(keys.iter().map(|(_, domain)| domain.values().len()).zip(codes));
        let counted = cells.into_iter().map(|cell| (cell != OUTSIDE).then_some(cell as usize));
        match (shape.rows_per_unit, told) {
            (RowsPerUnit::One, _) => counted.flatten().for_each(|cell| bump(sums, cell, 1)),
            (RowsPerUnit::Many, Some(units)) => {
                for (unit, cell) in units.iter().zip(counted) {
                    let Some(cell) = cell else { continue };
                    if self.contributions.admit(shape.bound, *unit, Some(cell as u64)) {
                        bump(sums, cell, 1);
                    }
                }
            }
            (RowsPerUnit::Many, None) => return Err(ObserveError::UnitSplit),
        }
        Ok(())
    }
}

/// Each row's cell in the table of all groups, the last column's values next to each other; a plan
/// has at most 2²⁰ cells.
fn cells<'a>(columns: impl Iterator<Item = (usize, &'a &'a [u32])>) -> Vec<u32> {
    let mut cells: Vec<u32> = Vec::new();
    for (place, (values, codes)) in columns.enumerate() {
        let values = u32::try_from(values).unwrap_or(OUTSIDE);
        if place == 0 {
            cells.extend(codes.iter().map(|&c| if c < values { c } else { OUTSIDE }));
            continue;
        }
        for (cell, &code) in cells.iter_mut().zip(*codes) {
            let inside = *cell != OUTSIDE && code < values;
            *cell = if inside { cell.wrapping_mul(values).wrapping_add(code) } else { OUTSIDE };
        }
    }
    cells
}
