#![allow(clippy::unwrap_used)]

use super::{BiasError, BiasReport, Favourable, Predictions, Repair, Thresholds, Weights};
use crate::{Column, Table};

fn favourable() -> Favourable {
    Favourable { column: "hired".into(), value: "yes".into() }
}

/// Ten men of whom six are hired, ten women of whom three are.
fn table() -> Table {
    let sex = (0..20).map(|i| if i < 10 { "m" } else { "f" });
    let hired = (0..20).map(|i| if i < 6 || (10..13).contains(&i) { "yes" } else { "no" });
    let skill = (0..20).map(|i| (if i < 10 { 2 * i + 10 } else { i - 10 }).to_string());
    Table::from_columns(vec![
        Column::from_values("sex", sex).unwrap(),
        Column::from_values("hired", hired).unwrap(),
        Column::from_values("skill", skill).unwrap(),
    ])
    .unwrap()
}

#[test]
fn outcomes_are_compared_by_rate() {
    let report = BiasReport::measure(&table(), &["sex"], &favourable(), None, None).unwrap();
    assert!((report.disparate_impact - 0.5).abs() < 1e-12);
    assert!((report.statistical_parity + 0.3).abs() < 1e-12);
    assert_eq!(report.equal_opportunity, None);
    assert_eq!(report.groups[1].group, "f");
}

#[test]
fn predictions_are_compared_by_their_errors() {
    // All hired men and one of three hired women are found; one man is chosen wrongly.
    let scores = (0..20).map(|i| if i < 7 || i == 10 { 0.9 } else { 0.1 }).collect();
    let predictions = Predictions { scores, threshold: 0.5 };
    let report =
        BiasReport::measure(&table(), &["sex"], &favourable(), None, Some(&predictions)).unwrap();
    let opportunity = report.equal_opportunity.unwrap();
    assert!((opportunity - (1.0 / 3.0 - 1.0)).abs() < 1e-12);
    let odds = report.average_odds.unwrap();
    assert!((odds - f64::midpoint(opportunity, -0.25)).abs() < 1e-12);
    // Men: mean score 0.66 where 0.6 are hired; women: 0.18 where 0.3 are.
    assert!((report.calibration.unwrap() - 0.12).abs() < 1e-12);
}

#[test]
fn weights_make_the_outcome_independent_of_the_group() {
    let weights = Weights::reweigh(&table(), &["sex"], &favourable()).unwrap();
    let (_, hired, other) = &weights.by_group[0];
    assert!((hired - 0.75).abs() < 1e-12 && (other - 1.375).abs() < 1e-12);
    let after =
        BiasReport::measure(&table(), &["sex"], &favourable(), Some(&weights.by_record), None)
            .unwrap();
    assert!((after.disparate_impact - 1.0).abs() < 1e-12);
    let total: f64 = weights.by_record.iter().sum();
    assert!((total - 20.0).abs() < 1e-9);
}

#[test]
fn what_cannot_be_compared_or_balanced_is_said_so() {
    let none = Favourable { column: "hired".into(), value: "maybe".into() };
    assert!(matches!(
        BiasReport::measure(&table(), &["sex"], &none, None, None),
        Err(BiasError::NoFavourable { .. })
    ));
    let men = table().select(0..10).unwrap();
    assert!(matches!(Weights::reweigh(&men, &["sex"], &favourable()), Err(BiasError::OneGroup)));
    let only = table().select((0..6).chain(10..20)).unwrap();
    assert!(matches!(
        Weights::reweigh(&only, &["sex"], &favourable()),
        Err(BiasError::EmptyCell { .. })
    ));
    assert!(Repair::new(1.1).is_err());
}

#[test]
fn a_fully_repaired_feature_has_one_distribution() {
    let table = table();
    let sorted = |column: &Column, rows: std::ops::Range<usize>| {
        let mut values: Vec<f64> =
            rows.map(|r| column.value(r).unwrap().parse().unwrap()).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let full = Repair::new(1.0).unwrap().apply(&table, "skill", &["sex"]).unwrap();
    assert_eq!(sorted(&full, 0..10), sorted(&full, 10..20));
    let untouched = Repair::new(0.0).unwrap().apply(&table, "skill", &["sex"]).unwrap();
    assert_eq!(sorted(&untouched, 0..20), sorted(table.column("skill").unwrap(), 0..20));
    // Ranks within a group stay.
    let men: Vec<f64> = (0..10).map(|r| full.value(r).unwrap().parse().unwrap()).collect();
    assert!(men.windows(2).all(|w| w[0] <= w[1]));
}

#[test]
fn thresholds_by_group_equalise_the_true_positive_rate() {
    let n = 400;
    let sex = (0..n).map(|i| if i % 2 == 0 { "m" } else { "f" });
    let hired = (0..n).map(|i| if i % 4 < 2 { "yes" } else { "no" });
    let table = Table::from_columns(vec![
        Column::from_values("sex", sex).unwrap(),
        Column::from_values("hired", hired).unwrap(),
    ])
    .unwrap();
    // Women score lower at equal merit.
    let scores: Vec<f64> = (0..n)
        .map(|i| {
            let merit = f64::from((i * 37) % 100) / 100.0 + if i % 4 < 2 { 0.5 } else { 0.0 };
            merit - if i % 2 == 0 { 0.0 } else { 0.3 }
        })
        .collect();
    let measure = |scores: Vec<f64>, threshold| {
        let predictions = Predictions { scores, threshold };
        BiasReport::measure(&table, &["sex"], &favourable(), None, Some(&predictions)).unwrap()
    };
    let before = measure(scores.clone(), 0.7).equal_opportunity.unwrap();
    let fair =
        Thresholds::equal_opportunity(&table, &["sex"], &favourable(), &scores, 0.7).unwrap();
    let decided = fair.favoured.iter().map(|&f| f64::from(u8::from(f))).collect();
    let after = measure(decided, 0.5).equal_opportunity.unwrap();
    assert!(before < -0.2 && after > -0.02, "{before} {after}");
}

#[test]
fn representation_names_the_largest_shortfall_first() {
    let reference = table();
    let men_mostly = table().select((0..10).chain(10..12)).unwrap();
    let shares = BiasReport::representation(&men_mostly, &reference, &["sex"]).unwrap();
    assert_eq!(shares[0].group, "f");
    assert!((shares[0].share - 2.0 / 12.0).abs() < 1e-12);
    assert!((shares[0].reference - 0.5).abs() < 1e-12);
}
