//! Which columns, alone or together, tell records apart.

use serde::Serialize;

use super::{classes, sizes};
use crate::table::{Table, TableError};

/// How well a set of columns tells records apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Suggestion {
    /// The columns.
    pub columns: Vec<String>,
    /// Distinct combinations per record: 1 identifies everybody.
    pub distinction: f64,
    /// The share of pairs of records that differ.
    pub separation: f64,
}

/// Ranks sets of up to `largest` columns by how well they tell records apart, best first; sets
/// that a smaller one matches within a hundredth are left out.
///
/// # Errors
/// None but those of a table.
///
/// # Cost
/// A pass over the records for each set of columns: with 10 columns and `largest` 3, 175 passes.
///
/// # Source
/// Motwani and Xu 2007, "Efficient algorithms for masking and finding quasi-identifiers",
/// definitions 1 and 2.
pub fn suggest(table: &Table, largest: usize) -> Result<Vec<Suggestion>, TableError> {
    let names: Vec<&str> = table.columns().iter().map(crate::table::Column::name).collect();
    let mut found: Vec<Suggestion> = Vec::new();
    let mut sets: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..largest.min(names.len()) {
        sets = sets
            .iter()
            .flat_map(|set| {
                let from = set.last().map_or(0, |&last| last + 1);
                (from..names.len()).map(move |next| [set.as_slice(), &[next]].concat())
            })
            .collect();
        for set in &sets {
            let columns: Vec<&str> = set.iter().map(|&i| names[i]).collect();
            let measured = measure(table, &columns)?;
            let no_better = |smaller: &Suggestion| {
                smaller.columns.iter().all(|c| columns.contains(&c.as_str()))
                    && smaller.distinction + 0.01 >= measured.distinction
                    && smaller.separation + 0.01 >= measured.separation
            };
            if !found.iter().any(no_better) {
                found.push(measured);
            }
        }
    }
    found.sort_by(|a, b| {
        b.distinction.total_cmp(&a.distinction).then(b.separation.total_cmp(&a.separation))
    });
    Ok(found)
}

fn measure(table: &Table, columns: &[&str]) -> Result<Suggestion, TableError> {
    let (class_of, number) = classes(table, columns)?;
    let n = table.rows() as f64;
    let pairs = |x: f64| x * (x - 1.0) / 2.0;
    let alike: f64 = sizes(&class_of, number).iter().map(|&size| pairs(size as f64)).sum();
    Ok(Suggestion {
        columns: columns.iter().map(|&c| c.to_owned()).collect(),
        distinction: number as f64 / n,
        separation: if n > 1.0 { 1.0 - alike / pairs(n) } else { 1.0 },
    })
}
