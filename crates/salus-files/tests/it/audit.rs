//! The loss of a private generalisation, measured from its releases of neighbouring tables.

use salus_crypto::OsEntropy;
use salus_deid::safepub::SafePub;
use salus_deid::{
    Column, Hierarchy, Loss, PrivacyModel, Problem, QuasiIdentifier, QuasiIdentifiers,
    SuppressionLimit, Table,
};
use salus_dp::audit::audit;

const RUNS: usize = 6_000;
const ALPHA: f64 = 1e-5;

fn table(records: u64) -> Table {
    let values = (0..records).map(|_| "a");
    Table::from_columns(vec![Column::from_values("x", values).unwrap()]).unwrap()
}

/// How many records are published.
fn published(plan: &SafePub, table: &Table, quasi: &QuasiIdentifiers) -> f64 {
    let models = [PrivacyModel::k_anonymity(1).unwrap()];
    let limit = SuppressionLimit::new(1.0).unwrap();
    let problem = Problem::new(table, quasi, &models, limit, Loss::REFERENCE, None).unwrap();
    plan.publish(&problem, &mut OsEntropy).unwrap().published.len() as f64
}

fn quasi() -> QuasiIdentifiers {
    let hierarchy = Hierarchy::from_rows(&[vec!["a", "*"], vec!["b", "*"]]).unwrap();
    QuasiIdentifiers::new(vec![QuasiIdentifier { column: "x".into(), hierarchy }]).unwrap()
}

const DELTA: f64 = 1e-3;

fn plan() -> SafePub {
    SafePub::new(1.0, 0.3, DELTA, 3).unwrap()
}

#[test]
fn a_private_generalisation_loses_no_more_than_it_says() {
    let (plan, quasi) = (plan(), quasi());
    assert!((plan.epsilon() - 1.3).abs() < 1e-12);
    // One group whose publication hangs on a single record as much as any can.
    for records in [plan.smallest_class() + 2, (plan.smallest_class() as f64 / 0.632) as u64] {
        let (with, without) = (table(records), table(records - 1));
        let found = audit(
            RUNS,
            ALPHA,
            DELTA,
            || published(&plan, &with, &quasi),
            || published(&plan, &without, &quasi),
        );
        println!(
            "n {RUNS}, k {}, {records} records: ε ≥ {:.3} at δ = {DELTA}, claimed 1.3, alpha {ALPHA}",
            plan.smallest_class(),
            found.epsilon.at_least
        );
        assert!(found.epsilon.at_least <= 1.3, "{found:?}");
    }
}

/// Groups of k without sampling: whether one person is there decides, and the audit sees it.
#[test]
fn a_generalisation_without_sampling_is_found_to_lose_more() {
    let (plan, quasi) = (plan(), quasi());
    let k = plan.smallest_class();
    let model = [PrivacyModel::k_anonymity(k as u32).unwrap()];
    let limit = SuppressionLimit::new(1.0).unwrap();
    let kept = |table: &Table| {
        let problem = Problem::new(table, &quasi, &model, limit, Loss::REFERENCE, None).unwrap();
        let found = problem.evaluate(&quasi.lattice().bottom());
        found.map_or(0.0, |found| (table.rows() - found.suppressed.len()) as f64)
    };
    let (with, without) = (table(k), table(k - 1));
    let found = audit(400, ALPHA, DELTA, || kept(&with), || kept(&without));
    println!("n 400, k {k}: ε ≥ {:.3} at δ = {DELTA}, alpha {ALPHA}", found.epsilon.at_least);
    assert!(found.epsilon.at_least > 1.3, "{found:?}");
}
