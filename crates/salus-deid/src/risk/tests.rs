#![allow(clippy::unwrap_used)]

use super::{ClassSizes, Estimator, Risk, refine, suggest};
use crate::{Column, Table};

fn table(columns: &[(&str, &[&str])]) -> Table {
    let columns = columns
        .iter()
        .map(|(name, values)| Column::from_values(*name, values.iter()).unwrap())
        .collect();
    Table::from_columns(columns).unwrap()
}

#[test]
fn the_three_attackers_are_measured_by_their_formulas() {
    let sample = table(&[("q", &["a", "a", "b", "c"])]);
    let people = table(&[("q", &["a", "a", "a", "a", "b", "c", "c", "d"])]);
    let risk = Risk::of_table(&sample, &["q"], Some(&people)).unwrap();
    assert_eq!((risk.records, risk.classes), (4, 3));
    assert!((risk.average - 0.75).abs() < 1e-12);
    assert!((risk.highest - 1.0).abs() < 1e-12);
    assert!((risk.sample_unique - 0.5).abs() < 1e-12);
    let against = risk.population.unwrap();
    assert!((against.unique_match - 0.25).abs() < 1e-12);
    assert!((against.journalist_highest - 1.0).abs() < 1e-12);
    // max(3 / 7, (1/4 + 1 + 1/2) / 3)
    assert!((against.journalist_average - 1.75 / 3.0).abs() < 1e-12);
    // (2·1/4 + 1 + 1/2) / 4
    assert!((against.marketer - 0.5).abs() < 1e-12);
    assert!(against.unmatched.abs() < 1e-12);
}

#[test]
fn many_columns_are_told_apart_beyond_one_word() {
    let codes: Vec<Vec<u32>> =
        (0..40).map(|c| (0..64u32).map(|row| u32::from(row == c)).collect()).collect();
    let parts: Vec<(&[u32], usize)> = codes.iter().map(|c| (c.as_slice(), 1 << 20)).collect();
    let (classes, number) = refine(64, &parts);
    // Rows 0 to 39 differ in one column each, the rest are alike.
    assert_eq!(number, 41);
    assert_eq!(classes[40..].iter().collect::<std::collections::HashSet<_>>().len(), 1);
}

#[test]
fn suggestions_rank_what_tells_records_apart() {
    let data = table(&[
        ("id", &["1", "2", "3", "4"]),
        ("sex", &["m", "f", "m", "f"]),
        ("age", &["30", "30", "40", "40"]),
        ("land", &["x", "x", "x", "x"]),
    ]);
    let found = suggest(&data, 2).unwrap();
    assert_eq!(found[0].columns, ["id"]);
    assert!((found[0].distinction - 1.0).abs() < 1e-12);
    let pair = found.iter().find(|s| s.columns == ["sex", "age"]).unwrap();
    assert!((pair.distinction - 1.0).abs() < 1e-12);
    // Four of six pairs differ in sex.
    let sex = found.iter().find(|s| s.columns == ["sex"]).unwrap();
    assert!((sex.separation - 4.0 / 6.0).abs() < 1e-12);
    // Adding a column to an identifier adds nothing.
    assert!(found.iter().all(|s| s.columns == ["id"] || !s.columns.contains(&"id".to_owned())));
}

#[test]
fn estimates_fall_with_the_population_and_vanish_without_uniques() {
    let classes = [(1, 40), (2, 15), (3, 8), (4, 5), (6, 3), (9, 2), (15, 1), (30, 1)];
    let sizes =
        ClassSizes::from_sizes(classes.iter().flat_map(|&(s, n)| std::iter::repeat_n(s, n)));
    let (records, alone) = (sizes.records(), 40.0 / sizes.records() as f64);
    for model in [Estimator::Pitman, Estimator::Zayatz, Estimator::Dankar] {
        let near = sizes.population_unique(model, 4 * records);
        let far = sizes.population_unique(model, 400 * records);
        assert!(near.solved && far.solved, "{model:?}");
        assert!(far.share < near.share && near.share < alone, "{model:?} {near:?} {far:?}");
    }
    let none = ClassSizes::from_sizes([2, 3]).population_unique(Estimator::Dankar, 1_000);
    assert!(none.share.abs() < 1e-15);
    let whole = sizes.population_unique(Estimator::Dankar, records);
    assert!((whole.share - alone).abs() < 1e-12);
}

#[test]
fn people_with_several_records_are_as_safe_as_their_smallest_class() {
    // Class a holds Ann and Ben, class b Ann three times, class c Ben and Cy.
    let visits = table(&[
        ("q", &["a", "a", "b", "b", "b", "c", "c"]),
        ("who", &["Ann", "Ben", "Ann", "Ann", "Ann", "Ben", "Cy"]),
    ]);
    let records = Risk::of_table(&visits, &["q"], None).unwrap();
    assert!(records.sample_unique.abs() < 1e-12 && (records.highest - 0.5).abs() < 1e-12);
    let people = Risk::of_people(&visits, &["q"], "who", None).unwrap();
    // Ann is alone in b, the others are two wherever they are.
    assert!((people.highest - 1.0).abs() < 1e-12);
    assert!((people.sample_unique - 1.0 / 3.0).abs() < 1e-12);
    assert!((people.average - (1.0 + 0.5 + 0.5) / 3.0).abs() < 1e-12);
    let sizes = ClassSizes::of_people(&visits, &["q"], "who").unwrap();
    assert_eq!(sizes, ClassSizes::from_sizes([2, 1, 2]));
}
