//! Local recoding, Mondrian and the anytime search on Adult and on a wide table.

use salus_deid::risk::ClassSizes;
use salus_deid::{
    Column, GroundDistance, Hierarchy, Loss, PrivacyModel, Problem, QuasiIdentifier,
    QuasiIdentifiers, SuppressionLimit, Table,
};
use salus_model::{Clock, Timestamp};

use crate::adult;

fn k(k: u32) -> PrivacyModel {
    PrivacyModel::k_anonymity(k).unwrap()
}

/// The system's clock.
pub(crate) struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap()).unwrap()
    }
}

fn sizes(table: &Table, quasi: &QuasiIdentifiers) -> ClassSizes {
    let names: Vec<&str> = quasi.items().iter().map(|q| q.column.as_str()).collect();
    ClassSizes::of_table(table, &names).unwrap()
}

#[test]
fn local_recoding_keeps_the_granularity_of_the_reference_and_suppresses_nothing() {
    let quasi = adult::quasi_without(&[]);
    let problem = Problem::new(
        adult::table(),
        &quasi,
        &[k(5)],
        SuppressionLimit::NONE,
        Loss::REFERENCE,
        None,
    )
    .unwrap();
    let start = std::time::Instant::now();
    let found = problem.recode_locally().unwrap();
    println!(
        "local: granularity {:.5} classes {} smallest {} in {:?}",
        found.granularity,
        found.classes,
        found.smallest,
        start.elapsed()
    );
    assert!(found.granularity >= 0.932, "{}", found.granularity);
    assert!(sizes(&found.table, &quasi).smallest().unwrap() >= 5);
    assert_eq!(found.table.rows(), 30_162);
    let mondrian = problem.mondrian().unwrap();
    println!("mondrian: granularity {:.5} classes {}", mondrian.granularity, mondrian.classes);
    assert!(sizes(&mondrian.table, &quasi).smallest().unwrap() >= 5);
    assert!(mondrian.granularity < found.granularity);
}

#[test]
fn local_recoding_keeps_models_about_sensitive_values() {
    let quasi = adult::quasi_without(&["occupation"]);
    let models = [
        k(5),
        PrivacyModel::distinct_diversity("occupation", 3).unwrap(),
        PrivacyModel::t_closeness("occupation", 0.6, GroundDistance::Equal).unwrap(),
    ];
    let problem = Problem::new(
        adult::table(),
        &quasi,
        &models,
        SuppressionLimit::NONE,
        Loss::REFERENCE,
        None,
    )
    .unwrap();
    for found in [problem.recode_locally().unwrap(), problem.mondrian().unwrap()] {
        let mut names: Vec<&str> = quasi.items().iter().map(|q| q.column.as_str()).collect();
        let classes = ClassSizes::of_table(&found.table, &names).unwrap();
        assert!(classes.smallest().unwrap() >= 5);
        names.push("occupation");
        // Three values in each class, counted over the published table itself.
        let pairs = ClassSizes::of_table(&found.table, &names).unwrap();
        assert!(pairs.classes() >= 3 * classes.classes());
    }
}

/// 24 columns of three levels each, correlated as records of one person are.
fn wide(rows: usize) -> (Table, QuasiIdentifiers) {
    let mut state = 42u64;
    let mut draw = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let people: Vec<(u64, Vec<u64>)> =
        (0..rows).map(|_| (draw(6), (0..24).map(|_| draw(100)).collect())).collect();
    let columns = (0..24)
        .map(|c| {
            let values = people.iter().map(|(kind, noise)| {
                let value = if noise[c] < 85 + c as u64 / 2 { kind + c as u64 } else { noise[c] };
                (value % 8).to_string()
            });
            Column::from_values(format!("q{c}"), values).unwrap()
        })
        .collect();
    let tree: Vec<Vec<String>> =
        (0..8).map(|v| vec![format!("{v}"), format!("g{}", v / 4), "*".into()]).collect();
    let items = (0..24)
        .map(|c| QuasiIdentifier {
            column: format!("q{c}"),
            hierarchy: Hierarchy::from_rows(&tree).unwrap(),
        })
        .collect();
    (Table::from_columns(columns).unwrap(), QuasiIdentifiers::new(items).unwrap())
}

#[test]
fn the_anytime_search_meets_its_deadline_and_reaches_the_optimum_where_it_is_known() {
    let quasi = adult::quasi_without(&[]);
    let limit = SuppressionLimit::new(0.05).unwrap();
    let problem =
        Problem::new(adult::table(), &quasi, &[k(5)], limit, Loss::REFERENCE, None).unwrap();
    let deadline = Wall.now().saturating_add_micros(3_000_000);
    let found = problem.anytime(&Wall, deadline).unwrap();
    println!(
        "adult anytime: loss {:.8} checked {} {:?}",
        found.loss, found.checked, found.optimality
    );
    assert!((found.loss - 0.241_932_37).abs() < 5e-9);

    let (table, quasi) = wide(30_000);
    let limit = SuppressionLimit::new(0.05).unwrap();
    let problem = Problem::new(&table, &quasi, &[k(5)], limit, Loss::REFERENCE, None).unwrap();
    let start = std::time::Instant::now();
    let deadline = Wall.now().saturating_add_micros(4_000_000);
    let found = problem.anytime(&Wall, deadline).unwrap();
    let took = start.elapsed();
    println!(
        "wide: loss {:.6} levels {:?} suppressed {} checked {} in {took:?}",
        found.loss,
        found.levels.as_slice(),
        found.suppressed.len(),
        found.checked
    );
    assert!(took.as_secs_f64() < 5.0, "{took:?}");
    assert!(found.suppressed.len() <= 1_500);
    // A lattice of this size is recoded top-down.
    let recoded = problem.recode_locally().unwrap();
    println!("wide, local: granularity {:.4} smallest {}", recoded.granularity, recoded.smallest);
    assert!(sizes(&recoded.table, &quasi).smallest().unwrap() >= 5);
    // Suppressing records and generalising everything are both dearer than what is found.
    assert!(found.loss < 0.9);
}
