//! Totals that are not written as totals.

use std::collections::{BTreeSet, HashMap};

use salus_deid::review::Cell;

use super::columns::{Finding, FindingKind, listed};
use super::{Counted, ReviewArgs};
use crate::output::CheckVerdict;

/// What people call a total.
const WORDS: [&str; 14] = [
    "total",
    "totals",
    "grand total",
    "subtotal",
    "all",
    "sum",
    "overall",
    "gesamt",
    "summe",
    "totaal",
    "totale",
    "insgesamt",
    "everybody",
    "everyone",
];

/// A word as it is compared: whatever its case and the white space around it.
pub(super) fn folded(text: &str) -> String {
    text.trim().to_lowercase()
}

fn bare(text: &str) -> String {
    folded(text).trim_matches(|c: char| !c.is_alphanumeric()).to_owned()
}

/// Whether a category is how a total is written.
pub(super) fn is_total(category: &str, total: &str) -> bool {
    folded(category) == folded(total)
}

/// Whether a category is a word that is usual for totals.
pub(super) fn is_usual(category: &str) -> bool {
    WORDS.contains(&bare(category).as_str())
}

/// What is remarkable about the totals of a table.
pub(super) fn findings(table: &Counted, args: &ReviewArgs) -> Vec<Finding> {
    let mut found: Vec<Finding> = other_words(table, args).into_iter().collect();
    found.extend(disguised(table, args.least));
    found.extend(loose(table));
    found
}

fn other_words(table: &Counted, args: &ReviewArgs) -> Option<Finding> {
    let another = |value: &String| {
        let alike = is_usual(value) || bare(value) == bare(&args.total);
        !is_total(value, &args.total) && alike && !bare(value).is_empty()
    };
    let has = |name: &&String| {
        let column = table.source.table.column(name);
        column.is_ok_and(|column| column.dictionary().iter().any(another))
    };
    let columns: Vec<String> = table.shape.categories.iter().filter(has).cloned().collect();
    let words = format!(
        "a word that is usual for totals stands among the categories of: {}; write totals as one \
         word, and name it with --total",
        listed(&columns)
    );
    let kind = FindingKind::HiddenTotal;
    let verdict = CheckVerdict::Objects;
    (!columns.is_empty()).then_some(Finding { kind, verdict, columns, words })
}

/// Cells that differ in one category alone.
#[derive(Default)]
struct Parts {
    counts: Vec<u64>,
    held_back: usize,
    total: Option<u64>,
}

impl Parts {
    /// Whether one of them is the total of the others; none where that is nothing to wonder at.
    fn verdict(&self, least: u64) -> Option<CheckVerdict> {
        let sum: i128 = self.counts.iter().map(|count| i128::from(*count)).sum();
        // With all of them below a total, none of them is one.
        if self.total.is_some_and(|total| i128::from(total) >= sum) {
            return None;
        }
        let others = self.counts.len().saturating_sub(1);
        // What is left of it without the others.
        let left = |count: &u64| 2 * i128::from(*count) - sum;
        let counts = || self.counts.iter().filter(|count| **count > 0);
        let whole = others > 1 && counts().any(|count| left(count) == 0);
        let small = |count: &u64| (1..i128::from(least)).contains(&left(count));
        let nearly = self.held_back > 0 && others > 0 && counts().any(small);
        match (whole, nearly) {
            (true, _) => Some(CheckVerdict::Objects),
            // Two counts may well be that near to each other.
            (_, true) if others == 1 => Some(CheckVerdict::Look),
            (_, true) => Some(CheckVerdict::Objects),
            _ => None,
        }
    }
}

/// Cells by what they have in common when one category is left out.
fn parts_of(table: &Counted, dimension: usize) -> HashMap<Vec<Option<String>>, Parts> {
    let mut found: HashMap<Vec<Option<String>>, Parts> = HashMap::new();
    for (row, cell) in table.cells.iter().enumerate() {
        let mut margin = cell.categories.clone();
        let Some(own) = margin.get_mut(dimension).map(Option::take) else { continue };
        let parts = found.entry(margin).or_default();
        match (own.is_some(), table.held_back.contains(&row)) {
            (true, true) => parts.held_back += 1,
            (true, false) => parts.counts.push(cell.count),
            (false, true) => {}
            (false, false) => parts.total = Some(cell.count),
        }
    }
    found
}

/// Lines that are the sum of the others, and not called a total.
fn disguised(table: &Counted, least: u64) -> Option<Finding> {
    let mut found: Vec<(String, CheckVerdict)> = Vec::new();
    for (dimension, name) in table.shape.categories.iter().enumerate() {
        let all = parts_of(table, dimension);
        let verdicts: Vec<CheckVerdict> =
            all.values().filter_map(|parts| parts.verdict(least)).collect();
        if verdicts.contains(&CheckVerdict::Objects) {
            found.push((name.clone(), CheckVerdict::Objects));
        } else if !verdicts.is_empty() {
            found.push((name.clone(), CheckVerdict::Look));
        }
    }
    let objects = found.iter().any(|(_, verdict)| *verdict == CheckVerdict::Objects);
    let verdict = if objects { CheckVerdict::Objects } else { CheckVerdict::Look };
    let columns: Vec<String> = found.into_iter().map(|(name, _)| name).collect();
    let words = format!(
        "a line is, or nearly is, the sum of all others with the same other categories, and is not \
         written as a total, in: {}; write totals as one word, and name it with --total",
        listed(&columns)
    );
    let kind = FindingKind::HiddenTotal;
    (!columns.is_empty()).then_some(Finding { kind, verdict, columns, words })
}

/// The dimensions in which a cell has a category, as bits.
fn named(cell: &Cell) -> u64 {
    let bit = |(at, category): (usize, &Option<String>)| {
        if category.is_some() { 1_u64.checked_shl(at as u32).unwrap_or(0) } else { 0 }
    };
    cell.categories.iter().enumerate().map(bit).fold(0, |all, bit| all | bit)
}

/// Totals with a category that no part of them has: of what they are totals, nobody can tell.
fn loose(table: &Counted) -> Option<Finding> {
    let mut beside: HashMap<(usize, &str), u64> = HashMap::new();
    for cell in &table.cells {
        for (at, category) in cell.categories.iter().enumerate() {
            if let Some(category) = category {
                *beside.entry((at, category.as_str())).or_default() |= named(cell);
            }
        }
    }
    let mut found: BTreeSet<usize> = BTreeSet::new();
    for cell in &table.cells {
        let dimensions = u32::try_from(cell.categories.len()).unwrap_or(u32::MAX);
        let all = 1_u64.checked_shl(dimensions).map_or(u64::MAX, |bit| bit - 1);
        let total = all & !named(cell);
        if total == 0 {
            continue;
        }
        for (at, category) in cell.categories.iter().enumerate() {
            let Some(category) = category else { continue };
            if beside.get(&(at, category.as_str())).is_some_and(|with| with & total == 0) {
                found.insert(at);
            }
        }
    }
    let name = |at: &usize| table.shape.categories.get(*at).cloned();
    let columns: Vec<String> = found.iter().filter_map(name).collect();
    let verdict =
        if table.held_back.is_empty() { CheckVerdict::Look } else { CheckVerdict::Objects };
    let words = format!(
        "totals have a value that none of their parts has, in: {}; name the columns of categories \
         with --by",
        listed(&columns)
    );
    let kind = FindingKind::LooseTotal;
    (!columns.is_empty()).then_some(Finding { kind, verdict, columns, words })
}
