#![allow(clippy::unwrap_used, clippy::print_stdout)]

use super::{SafePub, delta_of, exponential, upper_tail};
use crate::test_entropy::Sequence;
use crate::{
    Column, Hierarchy, Loss, PrivacyModel, Problem, QuasiIdentifier, QuasiIdentifiers,
    SuppressionLimit, Table,
};

#[test]
fn class_sizes_and_deltas_are_those_of_exact_binomial_tails() {
    // testdata/reference/safepub.py, scipy.stats.binom.
    let expected = [
        (0.1, 1e-4, 38, 8.040_159e-5),
        (0.5, 1e-5, 51, 9.113_203e-6),
        (1.0, 1e-4, 47, 9.209_919e-5),
        (1.0, 1e-6, 74, 8.994_781e-7),
        (3f64.ln(), 1e-6, 77, 8.300_481e-7),
        (2.0, 1e-6, 131, 9.445_777e-7),
    ];
    for (epsilon, delta, k, delta_k) in expected {
        let plan = SafePub::new(epsilon, 0.1, delta, 10).unwrap();
        assert_eq!(plan.smallest_class(), k, "ε = {epsilon}, δ = {delta}");
        let reached = delta_of(k, epsilon, plan.sampling());
        assert!((reached / delta_k - 1.0).abs() < 1e-5, "{reached} where {delta_k}");
        assert!((plan.sampling() - (1.0 - (-epsilon).exp())).abs() < 1e-15);
        assert!((plan.epsilon() - epsilon - 0.1).abs() < 1e-12);
    }
}

#[test]
fn the_tail_is_the_binomial_tail() {
    // P(Binomial(4, 1/2) > 2) = 5/16.
    assert!((upper_tail(4, 0.5, 2) - 0.3125).abs() < 1e-12);
}

#[test]
fn parameters_that_guarantee_nothing_are_refused() {
    assert!(SafePub::new(0.0, 0.1, 1e-6, 10).is_err());
    assert!(SafePub::new(1.0, f64::NAN, 1e-6, 10).is_err());
    assert!(SafePub::new(1.0, 0.1, 0.0, 10).is_err());
    assert!(SafePub::new(1.0, 0.1, 1e-6, 0).is_err());
}

#[test]
fn draws_follow_the_exponential_of_the_score() {
    let mut entropy = Sequence::new(7);
    let (scores, epsilon, n) = ([0.0, -1.0, -3.0], 2.0, 40_000);
    let mut drawn = [0u32; 3];
    for _ in 0..n {
        drawn[exponential(&scores, epsilon, &mut entropy).unwrap()] += 1;
    }
    let weights = scores.map(|s: f64| (epsilon * s / 2.0).exp());
    let total: f64 = weights.iter().sum();
    for (count, weight) in drawn.iter().zip(weights) {
        let (p, estimate) = (weight / total, f64::from(*count) / f64::from(n));
        // α = 1e-6 per share: 4.9 standard deviations.
        let bound = 4.9 * (p * (1.0 - p) / f64::from(n)).sqrt();
        println!("n {n} estimate {estimate:.5} expected {p:.5} bound {bound:.5} alpha 1e-6");
        assert!((estimate - p).abs() < bound);
    }
}

fn problem_parts(rows: usize) -> (Table, QuasiIdentifiers) {
    let values = (0..rows).map(|i| (i % 8).to_string());
    let table = Table::from_columns(vec![Column::from_values("q", values).unwrap()]).unwrap();
    let tree: Vec<Vec<String>> = (0..8)
        .map(|v| vec![format!("{v}"), format!("p{}", v / 2), format!("q{}", v / 4), "*".into()])
        .collect();
    let hierarchy = Hierarchy::from_rows(&tree).unwrap();
    let quasi = vec![QuasiIdentifier { column: "q".into(), hierarchy }];
    (table, QuasiIdentifiers::new(quasi).unwrap())
}

fn publish(rows: usize, seed: u64) -> (super::PrivateRelease, SafePub) {
    let (table, quasi) = problem_parts(rows);
    let models = [PrivacyModel::k_anonymity(1).unwrap()];
    let limit = SuppressionLimit::NONE;
    let problem = Problem::new(&table, &quasi, &models, limit, Loss::REFERENCE, None).unwrap();
    let plan = SafePub::new(1.0, 20.0, 1e-6, 5).unwrap();
    (plan.publish(&problem, &mut Sequence::new(seed)).unwrap(), plan)
}

#[test]
fn published_classes_have_at_least_k_sampled_records() {
    let (release, plan) = publish(8_000, 3);
    let mut sizes = std::collections::BTreeMap::new();
    for &row in &release.published {
        let node = (row % 8) >> release.levels.as_slice()[0];
        *sizes.entry(node).or_insert(0u64) += 1;
    }
    assert!(sizes.values().all(|&size| size >= plan.smallest_class()), "{sizes:?}");
    let share = release.published.len() as f64 / 8_000.0;
    assert!((share - plan.sampling()).abs() < 0.03, "{share}");
    // With plenty of records nothing has to be generalised, and the search finds that.
    assert_eq!(release.levels.as_slice(), [0]);
}

#[test]
fn a_table_too_small_for_any_class_publishes_nothing() {
    assert!(publish(40, 5).0.published.is_empty());
}
