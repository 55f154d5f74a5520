#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{InferenceError, inferred, protect};
use crate::review::{Cell, Rules};

fn rules(least: u64) -> Rules {
    Rules::new(least, 2, 0.85, 0.1).unwrap()
}

fn cell(categories: &[&str], count: u64) -> Cell {
    let name = |c: &&str| (*c != "*").then(|| (*c).to_owned());
    Cell { categories: categories.iter().map(name).collect(), count, contributions: Vec::new() }
}

/// Two wards by three outcomes, with all totals.
fn table(inner: [[u64; 3]; 2]) -> Vec<Cell> {
    let (wards, outcomes) = (["a", "b"], ["x", "y", "z"]);
    let mut cells = Vec::new();
    for (row, ward) in inner.iter().zip(wards) {
        cells.extend(row.iter().zip(outcomes).map(|(n, outcome)| cell(&[ward, outcome], *n)));
        cells.push(cell(&[ward, "*"], row.iter().sum()));
    }
    for (at, outcome) in outcomes.iter().enumerate() {
        cells.push(cell(&["*", outcome], inner.iter().map(|row| row[at]).sum()));
    }
    cells.push(cell(&["*", "*"], inner.iter().flatten().sum()));
    cells
}

#[test]
fn a_single_gap_is_filled_from_its_margin() {
    let cells = table([[3, 40, 50], [20, 30, 25]]);
    let found = inferred(rules(5), &cells, &BTreeSet::from([0])).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].low, found[0].high), (3, 3));
    assert_eq!(found[0].place, [Some("a".to_owned()), Some("x".to_owned())]);
}

#[test]
fn a_gap_beside_counts_of_millions_is_told_to_the_person() {
    for small in [1, 3, 9] {
        let cells = table([[small, 4_000_003, 5_000_001], [2_000_001, 30_000_007, 25_000_009]]);
        let found = inferred(rules(10), &cells, &BTreeSet::from([0])).unwrap();
        let ranges: Vec<_> = found.iter().map(|f| (f.low, f.high)).collect();
        assert_eq!(ranges, [(small, small)]);
    }
}

#[test]
fn three_gaps_that_one_chain_of_margins_fills_are_found() {
    // No row and no column has one gap alone in row a; column x has.
    let cells = table([[3, 4, 50], [20, 30, 25]]);
    let held_back = BTreeSet::from([0, 1, 5]);
    let found = inferred(rules(5), &cells, &held_back).unwrap();
    // Column x gives 3, then row a gives 4; the 30 is inferred as well, and harmless.
    let ranges: Vec<_> = found.iter().map(|f| (f.low, f.high)).collect();
    assert_eq!(ranges, [(3, 3), (4, 4)]);
}

#[test]
fn two_tables_of_the_same_people_are_reasoned_about_together() {
    // By ward alone, and by outcome alone within the first ward but for one outcome.
    let cells =
        [cell(&["a", "*"], 93), cell(&["a", "x"], 50), cell(&["a", "y"], 41), cell(&["a", "z"], 2)];
    let found = inferred(rules(5), &cells, &BTreeSet::from([3])).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].low, found[0].high), (2, 2));
}

#[test]
fn a_narrow_range_is_as_good_as_a_number() {
    // 2 in row a; at most 4 in either of the two gaps of column x.
    let cells = table([[2, 2, 50], [2, 30, 25]]);
    let held_back = BTreeSet::from([0, 1, 4]);
    let found = inferred(rules(5), &cells, &held_back).unwrap();
    assert!(!found.is_empty());
    let suppression = protect(rules(5), &cells).unwrap();
    assert_eq!(suppression.primary, [0, 1, 4, 8]);
    let all = suppression.primary.iter().chain(&suppression.secondary).copied().collect();
    assert!(inferred(rules(5), &cells, &all).unwrap().is_empty());
}

#[test]
fn what_cannot_be_is_told() {
    let wrong = [cell(&["a"], 3), cell(&["b"], 4), cell(&["*"], 6)];
    let refused = inferred(rules(5), &wrong, &BTreeSet::from([0])).unwrap();
    // 6 less 4: a table whose gap is not what its author says.
    assert_eq!((refused[0].low, refused[0].high), (2, 2));
    let refused = inferred(rules(5), &wrong, &BTreeSet::new()).unwrap_err();
    assert_eq!(refused, InferenceError::Contradiction);
    let uneven = [cell(&["a"], 3), cell(&["a", "b"], 4)];
    let refused = inferred(rules(5), &uneven, &BTreeSet::new()).unwrap_err();
    assert!(matches!(refused, InferenceError::Dimensions { cell: 1, .. }));
    let names: Vec<String> = (0..50).map(|i| i.to_string()).collect();
    let wide: Vec<Cell> = names.iter().map(|n| cell(&[n, n], 9)).collect();
    let refused = inferred(rules(5), &wide, &BTreeSet::new()).unwrap_err();
    assert_eq!(refused, InferenceError::TooLarge { cells: 2_500 });
}

/// The counts of [`table`], in its order.
fn counts([[a, b, c], [d, e, f]]: [[u64; 3]; 2]) -> [u64; 12] {
    let (first, second) = (a + b + c, d + e + f);
    [a, b, c, first, d, e, f, second, a + d, b + e, c + f, first + second]
}

/// The least and greatest count at each gap, by trying every table of counts up to six.
fn by_trying(inner: [[u64; 3]; 2], gaps: &BTreeSet<usize>) -> Vec<(usize, u64, u64)> {
    let real = counts(inner);
    let mut ends = [(u64::MAX, 0); 12];
    let mut tried = [0_u64; 6];
    loop {
        let [a, b, c, d, e, f] = tried;
        let other = counts([[a, b, c], [d, e, f]]);
        if (0..12).all(|i| gaps.contains(&i) || other[i] == real[i]) {
            for (end, count) in ends.iter_mut().zip(other) {
                *end = (end.0.min(count), end.1.max(count));
            }
        }
        let Some(at) = tried.iter().position(|n| *n < 6) else { break };
        tried[at] += 1;
        tried[..at].fill(0);
    }
    gaps.iter().map(|i| (*i, ends[*i].0, ends[*i].1)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Against every table with the same published cells; outcomes' totals are published, so that
    /// no gap exceeds six.
    #[test]
    fn agrees_with_trying_every_table(
        inner in proptest::array::uniform2(proptest::array::uniform3(0_u64..=3)),
        gaps in proptest::collection::btree_set(0_usize..7, 1..5),
    ) {
        // Inner cells stand at 0–2 and 4–6.
        let gaps: BTreeSet<usize> = gaps.into_iter().filter(|i| *i != 3).collect();
        prop_assume!(!gaps.is_empty());
        let cells = table(inner);
        let found = inferred(rules(5), &cells, &gaps).unwrap();
        let wanted: Vec<_> = by_trying(inner, &gaps)
            .into_iter()
            .filter(|(_, low, high)| *low >= 1 && *high < 5)
            .collect();
        let mut got: Vec<_> = found
            .iter()
            .map(|f| (cells.iter().position(|c| c.categories == f.place).unwrap(), f.low, f.high))
            .collect();
        got.sort_unstable();
        prop_assert_eq!(got, wanted);
    }

    #[test]
    fn nothing_small_can_be_inferred_after_protection(
        inner in proptest::array::uniform2(proptest::array::uniform3(0_u64..=60)),
    ) {
        let cells = table(inner);
        let suppression = protect(rules(10), &cells).unwrap();
        let held_back: BTreeSet<usize> =
            suppression.primary.iter().chain(&suppression.secondary).copied().collect();
        prop_assert!(inferred(rules(10), &cells, &held_back).unwrap().is_empty());
        for (i, cell) in cells.iter().enumerate() {
            prop_assert!(held_back.contains(&i) || !(1..10).contains(&cell.count));
        }
    }
}
