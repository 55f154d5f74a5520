#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::{
    Aggregate, Column, GroundDistance, Hierarchy, Levels, Loss, Optimality, PrivacyModel, Problem,
    QuasiIdentifier, QuasiIdentifiers, SearchError, SuppressionLimit, Table,
};

/// Eight values, joined by twos, fours and all.
fn tree() -> Hierarchy {
    let rows: Vec<Vec<String>> = (0..8)
        .map(|v| vec![format!("{v}"), format!("p{}", v / 2), format!("q{}", v / 4), "*".into()])
        .collect();
    Hierarchy::from_rows(&rows).unwrap()
}

fn quasi(columns: usize) -> QuasiIdentifiers {
    QuasiIdentifiers::new(
        (0..columns)
            .map(|c| QuasiIdentifier { column: format!("c{c}"), hierarchy: tree() })
            .collect(),
    )
    .unwrap()
}

fn table(rows: &[(Vec<u8>, u8)], columns: usize) -> Table {
    let mut built: Vec<Column> = (0..columns)
        .map(|c| {
            Column::from_values(format!("c{c}"), rows.iter().map(|(q, _)| q[c].to_string()))
                .unwrap()
        })
        .collect();
    built.push(Column::from_values("s", rows.iter().map(|(_, s)| s.to_string())).unwrap());
    Table::from_columns(built).unwrap()
}

#[derive(Debug, Clone, Copy)]
struct Demand {
    k: usize,
    entropy_l: Option<f64>,
    close: Option<f64>,
    average: Option<f64>,
}

/// The loss at a node by the definitions alone, on texts; infinite when the models fail.
fn naive(
    table: &Table,
    quasi: &QuasiIdentifiers,
    levels: &[u8],
    demand: Demand,
    limit: usize,
    (generalisation, suppression): (f64, f64),
) -> f64 {
    let n = table.rows();
    let sensitive = table.column("s").unwrap();
    let mut classes: BTreeMap<Vec<String>, Vec<usize>> = BTreeMap::new();
    for row in 0..n {
        let key = quasi
            .items()
            .iter()
            .zip(levels)
            .map(|(item, &level)| {
                let text = table.column(&item.column).unwrap().value(row).unwrap();
                item.hierarchy.generalise(text, level).unwrap().to_owned()
            })
            .collect();
        classes.entry(key).or_default().push(row);
    }
    let share = |rows: &[usize], s: &str| {
        rows.iter().filter(|&&r| sensitive.value(r).unwrap() == s).count() as f64
            / rows.len() as f64
    };
    let everybody: Vec<usize> = (0..n).collect();
    let holds = |rows: &[usize]| {
        let shares: Vec<f64> = sensitive.dictionary().iter().map(|s| share(rows, s)).collect();
        let entropy: f64 = shares.iter().filter(|s| **s > 0.0).map(|s| -s * s.ln()).sum();
        let apart: f64 = sensitive
            .dictionary()
            .iter()
            .map(|s| (share(rows, s) - share(&everybody, s)).abs())
            .sum::<f64>()
            / 2.0;
        rows.len() >= demand.k
            && demand.entropy_l.is_none_or(|l| entropy + 1e-9 >= l.ln())
            && demand.close.is_none_or(|t| apart <= t + 1e-9)
    };
    let mut kept: Vec<&Vec<usize>> = classes.values().filter(|rows| holds(rows)).collect();
    kept.sort_by_key(|rows| rows.len());
    if let Some(most) = demand.average {
        while !kept.is_empty()
            && kept.len() as f64 / kept.iter().map(|r| r.len()).sum::<usize>() as f64 > most
        {
            let smallest = kept[0].len();
            kept.retain(|rows| rows.len() > smallest);
        }
    }
    let kept: Vec<usize> = kept.into_iter().flatten().copied().collect();
    if n - kept.len() > limit {
        return f64::INFINITY;
    }
    let mut product = 1.0;
    for &level in levels {
        let open = f64::from(1u32 << level) / 8.0;
        let one = open + suppression * (1.0 - open);
        let sum = kept.len() as f64 * open * generalisation + (n - kept.len()) as f64 * one;
        let low = generalisation * n as f64 / 8.0;
        product *= 1.0 + ((sum - low) / (n as f64 - low)).max(0.0);
    }
    product.powf(1.0 / levels.len() as f64) - 1.0
}

fn all_levels(columns: usize) -> Vec<Vec<u8>> {
    (0..4usize.pow(columns as u32))
        .map(|mut i| {
            (0..columns)
                .map(|_| {
                    let level = (i % 4) as u8;
                    i /= 4;
                    level
                })
                .collect()
        })
        .collect()
}

fn models(demand: Demand) -> Vec<PrivacyModel> {
    let mut models = vec![PrivacyModel::k_anonymity(demand.k as u32).unwrap()];
    models.extend(demand.entropy_l.map(|l| PrivacyModel::entropy_diversity("s", l).unwrap()));
    models.extend(
        demand.close.map(|t| PrivacyModel::t_closeness("s", t, GroundDistance::Equal).unwrap()),
    );
    models.extend(demand.average.map(|most| PrivacyModel::average_risk(most).unwrap()));
    models
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_search_finds_what_weighing_every_node_finds(
        rows in prop::collection::vec((prop::collection::vec(0u8..8, 3), 0u8..4), 5..60),
        k in 1usize..6,
        entropy_l in prop::option::of(1.0..3.0f64),
        close in prop::option::of(0.05..0.6f64),
        average in prop::option::of(0.1..0.5f64),
        limit in prop::sample::select(vec![0.0, 0.05, 0.2, 0.5, 1.0]),
        factor in prop::sample::select(vec![0.0, 0.25, 0.5, 0.8, 1.0]),
    ) {
        let (table, quasi) = (table(&rows, 3), quasi(3));
        let demand = Demand { k, entropy_l, close, average };
        let weights: (f64, f64) = (
            if factor <= 0.5 { 1.0 } else { 2.0 * (1.0 - factor) },
            if factor < 0.5 { 2.0 * factor } else { 1.0 },
        );
        let most = (limit * rows.len() as f64).floor() as usize;
        let best = all_levels(3)
            .iter()
            .map(|levels| naive(&table, &quasi, levels, demand, most, weights))
            .fold(f64::INFINITY, f64::min);
        let loss = Loss::new(Aggregate::GeometricMean, factor).unwrap();
        let models = models(demand);
        let share = SuppressionLimit::new(limit).unwrap();
        let problem = Problem::new(&table, &quasi, &models, share, loss, None).unwrap();
        match problem.optimum() {
            Ok(found) => {
                prop_assert!((found.loss - best).abs() < 1e-9, "{} where {best}", found.loss);
                let again =
                    naive(&table, &quasi, found.levels.as_slice(), demand, most, weights);
                prop_assert!((again - best).abs() < 1e-9);
                prop_assert!(found.suppressed.len() <= most);
            }
            Err(SearchError::Unsatisfiable) => prop_assert!(best.is_infinite(), "missed {best}"),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}

#[test]
fn suppressed_rows_are_those_in_failing_classes() {
    let rows: Vec<(Vec<u8>, u8)> =
        [0, 0, 0, 0, 0, 4, 4, 4, 4, 7].iter().map(|&v| (vec![v], 0)).collect();
    let (table, quasi) = (table(&rows, 1), quasi(1));
    let models = [PrivacyModel::k_anonymity(3).unwrap()];
    let share = SuppressionLimit::new(0.1).unwrap();
    let problem = Problem::new(&table, &quasi, &models, share, Loss::REFERENCE, None).unwrap();
    let found = problem.optimum().unwrap();
    assert_eq!(found.levels, Levels::new(vec![0]));
    assert_eq!(found.suppressed, [9]);
}

/// Records that no few levels make alike.
fn varied(rows: usize, columns: usize) -> Vec<(Vec<u8>, u8)> {
    let mut state = 7_u64;
    let mut value = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % 8) as u8
    };
    (0..rows).map(|_| ((0..columns).map(|_| value().min(value())).collect(), 0)).collect()
}

#[test]
fn a_proof_that_takes_too_long_ends_with_the_best_that_was_found() {
    let (table, quasi) = (table(&varied(3_000, 5), 5), quasi(5));
    let models = [PrivacyModel::k_anonymity(4).unwrap()];
    let share = SuppressionLimit::new(0.05).unwrap();
    let problem = Problem::new(&table, &quasi, &models, share, Loss::REFERENCE, None).unwrap();
    let whole = problem.optimum().unwrap();
    assert_eq!(whole.optimality, Optimality::Proven);
    assert_eq!(problem.optimum_until(&|| false).unwrap(), whole);
    // However early it is late, what comes back satisfies the models, and is called a find.
    let (mut least, mut asked_in_all) = (f64::INFINITY, 0);
    for patience in [0, 1, 10, 50, u64::MAX] {
        let asked = Cell::new(0_u64);
        let late = || {
            asked.set(asked.get() + 1);
            asked.get() > patience
        };
        let found = problem.optimum_until(&late).unwrap();
        println!("{patience}: asked {}, checked {}, {}", asked.get(), found.checked, found.loss);
        let again = problem.evaluate(&found.levels).unwrap();
        assert!((again.loss - found.loss).abs() < 1e-12 && again.suppressed == found.suppressed);
        assert!(found.loss >= whole.loss - 1e-12 && found.loss <= least + 1e-12);
        least = found.loss;
        let proven = found.optimality == Optimality::Proven;
        assert!(proven || found.optimality == Optimality::BestFound);
        if patience == 0 {
            assert!(!proven && found.checked < whole.checked, "{found:?}");
        }
        asked_in_all = asked.get();
    }
    assert!(asked_in_all > 20, "the search asks too rarely: {asked_in_all}");
    assert!((least - whole.loss).abs() < 1e-12);
}

#[test]
fn presence_counts_people_in_classes_that_nobody_of_the_release_is_in() {
    let people: Vec<(Vec<u8>, u8)> = (0..8).map(|v| (vec![v], 0)).collect();
    let sample: Vec<(Vec<u8>, u8)> = [0, 1, 2].iter().map(|&v| (vec![v], 0)).collect();
    let (table, population, quasi) = (table(&sample, 1), table(&people, 1), quasi(1));
    let at_least_a_quarter = [PrivacyModel::delta_presence(0.25, 0.9).unwrap()];
    let share = SuppressionLimit::new(1.0).unwrap();
    let problem = Problem::new(
        &table,
        &quasi,
        &at_least_a_quarter,
        share,
        Loss::REFERENCE,
        Some(&population),
    )
    .unwrap();
    // 3 of 8 at the top; lower down somebody in 4..8 has no chance at all.
    assert_eq!(problem.optimum().unwrap().levels, Levels::new(vec![3]));
    let at_most_three_quarters = [PrivacyModel::delta_presence(0.0, 0.75).unwrap()];
    let problem = Problem::new(
        &table,
        &quasi,
        &at_most_three_quarters,
        SuppressionLimit::NONE,
        Loss::REFERENCE,
        Some(&population),
    )
    .unwrap();
    assert_eq!(problem.optimum().unwrap().levels, Levels::new(vec![2]));
}

#[test]
fn k_map_counts_people_and_not_records() {
    let people: Vec<(Vec<u8>, u8)> = [0, 0, 0, 1, 1].iter().map(|&v| (vec![v], 0)).collect();
    let sample: Vec<(Vec<u8>, u8)> = [0, 1].iter().map(|&v| (vec![v], 0)).collect();
    let (table, population, quasi) = (table(&sample, 1), table(&people, 1), quasi(1));
    for (k, level) in [(2, 0), (3, 1), (5, 1)] {
        let models = [PrivacyModel::k_map(k).unwrap()];
        let problem = Problem::new(
            &table,
            &quasi,
            &models,
            SuppressionLimit::NONE,
            Loss::REFERENCE,
            Some(&population),
        )
        .unwrap();
        assert_eq!(problem.optimum().unwrap().levels, Levels::new(vec![level]), "k = {k}");
    }
    let models = [PrivacyModel::k_map(2).unwrap()];
    let unposed =
        Problem::new(&table, &quasi, &models, SuppressionLimit::NONE, Loss::REFERENCE, None);
    assert!(unposed.is_err(), "k-map without a population must be refused");
}

#[test]
fn keys_of_many_columns_group_as_texts_do() {
    let share = SuppressionLimit::new(1.0).unwrap();
    let demand = Demand { k: 5, entropy_l: None, close: None, average: None };
    let rows = |columns: usize| -> Vec<(Vec<u8>, u8)> {
        // Rows 0 to 7 differ in every column and come back five times, the last one four times.
        (0..39).map(|i| ((0..columns).map(|c| ((c * 3 + i) % 8) as u8).collect(), 0)).collect()
    };
    for columns in [1, 21, 22, 50, 100, 300] {
        let (table, quasi) = (table(&rows(columns), columns), quasi(columns));
        let models = models(demand);
        let problem = Problem::new(&table, &quasi, &models, share, Loss::REFERENCE, None).unwrap();
        let levels = vec![0; columns];
        let found = problem.evaluate(&Levels::new(levels.clone())).unwrap();
        assert_eq!(found.suppressed, [7, 15, 23, 31], "{columns} columns");
        let loss = naive(&table, &quasi, &levels, demand, 39, (1.0, 1.0));
        assert!((found.loss - loss).abs() < 1e-9, "{columns} columns: {} {loss}", found.loss);
    }
    let (table, quasi) = (table(&rows(400), 400), quasi(400));
    let models = models(demand);
    let problem = Problem::new(&table, &quasi, &models, share, Loss::REFERENCE, None).unwrap();
    assert!(matches!(
        problem.evaluate(&quasi.lattice().bottom()),
        Err(SearchError::Problem(crate::ProblemError::TooWide { .. }))
    ));
}
