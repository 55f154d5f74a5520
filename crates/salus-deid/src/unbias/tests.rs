#![allow(clippy::unwrap_used, clippy::print_stdout)]

use proptest::strategy::Strategy as _;

use super::{BiasError, BiasReport, Favourable, Predictions, Repair, Thresholds, Weights, trained};
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

/// What a model is trained on decides what it does: skill tells the sexes apart, and repaired it
/// does not.
#[test]
fn a_model_trained_on_repaired_numbers_treats_groups_more_alike() {
    let n = 600usize;
    let sex = (0..n).map(|i| if i % 2 == 0 { "m" } else { "f" });
    let merit = |i: usize| ((i / 2 * 37) % 100) as f64;
    let skill = (0..n).map(|i| (merit(i) + if i % 2 == 0 { 60.0 } else { 0.0 }).to_string());
    let hired = (0..n).map(|i| {
        let seen = merit(i) + if i % 2 == 0 { 40.0 } else { 0.0 };
        if seen > 70.0 { "yes" } else { "no" }
    });
    let table = Table::from_columns(vec![
        Column::from_values("sex", sex).unwrap(),
        Column::from_values("hired", hired).unwrap(),
        Column::from_values("skill", skill).unwrap(),
    ])
    .unwrap();
    let impact = |table: &Table| {
        let predictions = trained(table, &["skill"], &favourable(), None).unwrap();
        let report =
            BiasReport::measure(table, &["sex"], &favourable(), None, Some(&predictions)).unwrap();
        report.disparate_impact
    };
    let repaired = Repair::new(1.0).unwrap().apply(&table, "skill", &["sex"]).unwrap();
    let (before, after) = (impact(&table), impact(&table.clone().with_column(repaired).unwrap()));
    println!("disparate impact of a trained model: {before:.3} before, {after:.3} after");
    assert!(before < 0.6 && after > 0.9);
    assert!(trained(&table, &[], &favourable(), None).is_err());
    assert!(trained(&table, &["skill"], &favourable(), Some(&[1.0])).is_err());
}

/// With one column of words, naive Bayes is Bayes' rule on counts.
#[test]
fn a_trained_model_predicts_as_counted_shares_do() {
    let n = 1_000usize;
    let ward = |i: usize| ["a", "b", "c"][(i * 7 / 3) % 3];
    let well = |i: usize| {
        (i * 13 + i / 7) % 10
            < match ward(i) {
                "a" => 8,
                "b" => 5,
                _ => 2,
            }
    };
    let table = Table::from_columns(vec![
        Column::from_values("ward", (0..n).map(ward)).unwrap(),
        Column::from_values("hired", (0..n).map(|i| if well(i) { "yes" } else { "no" })).unwrap(),
    ])
    .unwrap();
    let found = trained(&table, &["ward"], &favourable(), None).unwrap();
    for word in ["a", "b", "c"] {
        let own: Vec<usize> = (0..n).filter(|&i| ward(i) == word).collect();
        let share = own.iter().filter(|&&i| well(i)).count() as f64 / own.len() as f64;
        let mean = own.iter().map(|&i| found.scores[i]).sum::<f64>() / own.len() as f64;
        // Each fold leaves a fifth out, and one is added to every count.
        assert!((mean - share).abs() < 0.02, "{word}: {mean} where {share}");
    }
    // A weight of three is a record three times.
    let weights: Vec<f64> = (0..n).map(|i| if well(i) { 3.0 } else { 1.0 }).collect();
    let heavy = trained(&table, &["ward"], &favourable(), Some(&weights)).unwrap();
    let own: Vec<usize> = (0..n).filter(|&i| ward(i) == "b").collect();
    let share = own.iter().filter(|&&i| well(i)).count() as f64 / own.len() as f64;
    let mean = own.iter().map(|&i| heavy.scores[i]).sum::<f64>() / own.len() as f64;
    assert!((mean - 3.0 * share / (1.0 + 2.0 * share)).abs() < 0.02, "{mean}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(100))]

    /// Against every threshold that a group could have: none comes nearer to the rate of all.
    #[test]
    fn no_other_threshold_brings_a_group_nearer_to_the_rate_of_all(
        order in proptest::prelude::Just((0..40usize).collect::<Vec<_>>()).prop_shuffle(),
        good in proptest::collection::vec(proptest::prelude::any::<bool>(), 40),
        threshold in 0.0..1.0f64,
    ) {
        let mut good = good;
        // Each group has somebody with the good outcome.
        (good[0], good[1]) = (true, true);
        let table = Table::from_columns(vec![
            Column::from_values("sex", (0..40).map(|i| ["m", "f"][i % 2])).unwrap(),
            Column::from_values("hired", good.iter().map(|g| if *g { "yes" } else { "no" })).unwrap(),
        ])
        .unwrap();
        let scores: Vec<f64> = order.iter().map(|&at| at as f64 / 40.0).collect();
        let found =
            Thresholds::equal_opportunity(&table, &["sex"], &favourable(), &scores, threshold)
                .unwrap();
        let rate = |rows: &mut dyn Iterator<Item = usize>, cut: f64| {
            let own: Vec<usize> = rows.filter(|&row| good[row]).collect();
            own.iter().filter(|&&row| scores[row] >= cut).count() as f64 / own.len() as f64
        };
        let all = rate(&mut (0..40), threshold);
        for (group, (_, cut)) in found.by_group.iter().enumerate() {
            let off = |cut: f64| (rate(&mut (group..40).step_by(2), cut) - all).abs();
            let best = (0..=40).map(|at| off(f64::from(at) / 40.0)).fold(f64::INFINITY, f64::min);
            proptest::prop_assert!(off(*cut) <= best + 1e-9, "{} where {best}", off(*cut));
        }
        for (row, favoured) in found.favoured.iter().enumerate() {
            proptest::prop_assert_eq!(*favoured, scores[row] >= found.by_group[row % 2].1);
        }
    }
}
