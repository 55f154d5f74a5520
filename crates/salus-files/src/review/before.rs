//! Tables that went out before, made comparable with the one that is reviewed.

use std::collections::BTreeSet;

use salus_deid::review::Cell;
use serde::Serialize;

use super::columns::Shape;
use super::{COLUMNS, LINES, ReviewArgs, cells_of, totals};
use crate::file::Source;

/// What became of a table that went out before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Compared {
    /// Its cells were subtracted.
    Subtracted {
        /// Cells shown now that it has too.
        alike: u64,
        /// Cells shown now that it does not have.
        new: u64,
    },
    /// It could not be subtracted.
    NotCompared {
        /// Why.
        why: String,
    },
}

/// The cells of a table with categories as they are compared between files.
pub(super) fn folded(cells: &[Cell]) -> Vec<Cell> {
    let fold = |cell: &Cell| {
        let categories = cell.categories.iter();
        Cell {
            categories: categories.map(|c| c.as_deref().map(totals::folded)).collect(),
            ..cell.clone()
        }
    };
    cells.iter().map(fold).collect()
}

/// The cells that an earlier table showed, with the categories of the reviewed one in its order.
pub(super) fn cells(
    source: &Source,
    args: &ReviewArgs,
    shape: &Shape,
) -> Result<Vec<Cell>, &'static str> {
    if source.table.rows() > LINES || source.table.columns().len() > COLUMNS {
        return Err("it has more lines or columns than a table of counts");
    }
    let sums = [&args.sum, &args.largest, &args.second];
    let told = |name: &str| {
        name == args.count
            || sums.iter().any(|sum| sum.as_deref() == Some(name))
            || shape.measures.iter().any(|measure| measure == name)
    };
    let names = source.table.columns().iter().map(|column| column.name());
    let own: BTreeSet<&str> = names.filter(|name| !told(name)).collect();
    let wanted: BTreeSet<&str> = shape.categories.iter().map(String::as_str).collect();
    if own != wanted || source.table.column(&args.count).is_err() {
        return Err("it has other columns");
    }
    let total =
        |category: &str| totals::is_total(category, &args.total) || totals::is_usual(category);
    let (cells, held_back) = cells_of(source, &args.count, &shape.categories, total)
        .map_err(|_| "its counts are no whole numbers")?;
    let shown = |(row, _): &(usize, Cell)| !held_back.contains(row);
    let shown = cells.into_iter().enumerate().filter(shown).map(|(_, cell)| cell);
    Ok(folded(&shown.collect::<Vec<_>>()))
}

/// How many of the cells shown now a table has that went out before.
pub(super) fn subtracted(shown: &[Cell], before: &[Cell]) -> Compared {
    let known: BTreeSet<&[Option<String>]> =
        before.iter().map(|cell| cell.categories.as_slice()).collect();
    let alike = shown.iter().filter(|cell| known.contains(cell.categories.as_slice())).count();
    Compared::Subtracted { alike: alike as u64, new: (shown.len() - alike) as u64 }
}
