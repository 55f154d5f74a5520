#![allow(clippy::unwrap_used)]

use super::{Cell, Objection, Rules};

fn rules() -> Rules {
    Rules::new(5, 2, 0.85, 0.1).unwrap()
}

fn cell(categories: &[&str], count: u64) -> Cell {
    let name = |c: &&str| (*c != "total").then(|| (*c).to_owned());
    Cell { categories: categories.iter().map(name).collect(), count, contributions: Vec::new() }
}

fn sum(contributions: &[f64]) -> Cell {
    Cell {
        categories: vec![Some("a".into())],
        count: contributions.len() as u64,
        contributions: contributions.to_vec(),
    }
}

#[test]
fn small_cells_are_held_back_and_empty_ones_pass() {
    let found = rules().review(&[cell(&["a"], 4), cell(&["b"], 5), cell(&["c"], 0)], &[]);
    assert_eq!(found, [Objection::SmallCount { cell: 0, count: 4 }]);
}

#[test]
fn a_few_contributors_must_not_make_up_the_sum() {
    assert!(rules().review(&[sum(&[10.0, 9.0, 8.0, 7.0, 6.0])], &[]).is_empty());
    let found = rules().review(&[sum(&[90.0, 5.0, 2.0, 2.0, 1.0])], &[]);
    assert!(matches!(found[0], Objection::Dominance { share, .. } if (share - 0.95).abs() < 1e-12));
    // The second largest knows the rest to be 5 of 90.
    assert!(
        matches!(found[1], Objection::Estimable { error, .. } if (error - 5.0 / 90.0).abs() < 1e-12)
    );
    let mut short = sum(&[1.0; 6]);
    short.count = 7;
    assert_eq!(rules().review(&[short], &[]), [Objection::Contributions { cell: 0 }]);
}

#[test]
fn a_total_must_not_give_away_a_cell_that_is_missing() {
    let table = [cell(&["a", "x"], 20), cell(&["b", "x"], 30), cell(&["total", "x"], 52)];
    assert_eq!(rules().review(&table, &[]), [Objection::Differencing { total: 2, count: 2 }]);
    let complete = [cell(&["a", "x"], 20), cell(&["b", "x"], 30), cell(&["total", "x"], 50)];
    assert!(rules().review(&complete, &[]).is_empty());
}

#[test]
fn a_margin_in_one_category_tells_it_of_everybody() {
    let table = [cell(&["ward", "ill"], 12), cell(&["ward", "well"], 0)];
    assert_eq!(rules().review(&table, &[]), [Objection::GroupDisclosure { cell: 0 }]);
}

#[test]
fn an_update_that_differs_by_one_person_is_held_back() {
    let found = rules().review(&[cell(&["a"], 31)], &[cell(&["b"], 30), cell(&["a"], 30)]);
    assert_eq!(found, [Objection::EarlierOutput { cell: 0, earlier: 1, count: 1 }]);
    assert!(rules().review(&[cell(&["a"], 30)], &[cell(&["a"], 30)]).is_empty());
}

#[test]
fn counts_beyond_all_bounds_do_not_overflow() {
    let table = [cell(&["a"], u64::MAX), cell(&["b"], u64::MAX), cell(&["total"], u64::MAX)];
    // The sum stops at the largest number, which is what the first of them shows.
    assert_eq!(rules().review(&table, &[]), [Objection::GroupDisclosure { cell: 0 }]);
}

#[test]
fn the_word_for_a_kind_is_the_one_in_json() {
    let found = rules().review(&[cell(&["a"], 4), cell(&["ward"], 0)], &[cell(&["a"], 5)]);
    assert!(found.len() > 1);
    for objection in found {
        let json = serde_json::to_value(&objection).unwrap();
        assert_eq!(json["kind"], objection.kind());
    }
}

#[test]
fn rules_that_protect_nobody_are_refused() {
    assert!(Rules::new(1, 2, 0.85, 0.1).is_err());
    assert!(Rules::new(5, 0, 0.85, 0.1).is_err());
    assert!(Rules::new(5, 2, 1.0, 0.1).is_err());
}

#[test]
fn the_largest_two_and_the_sum_are_judged_as_all_contributions_are() {
    for all in
        [&[90.0, 5.0, 2.0, 2.0, 1.0][..], &[10.0, 9.0, 8.0, 7.0, 6.0], &[50.0, 40.0, 1.0, 1.0, 1.0]]
    {
        let known = Rules::contributions(5, all.iter().sum(), all[0], all[1]).unwrap();
        let told = |found: Vec<Objection>| -> Vec<String> {
            found.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            told(rules().review(&[sum(&known)], &[])),
            told(rules().review(&[sum(all)], &[]))
        );
    }
    // Three others with at most 2 each cannot make up 90.
    assert_eq!(Rules::contributions(5, 100.0, 8.0, 2.0), None);
    assert_eq!(Rules::contributions(5, 10.0, 8.0, 9.0), None);
    assert_eq!(Rules::contributions(2, 10.0, 6.0, 3.0), None);
    assert_eq!(Rules::contributions(1, 10.0, 10.0, 0.0), Some(vec![10.0]));
    assert_eq!(Rules::contributions(0, 0.0, 0.0, 0.0), Some(Vec::new()));
}
