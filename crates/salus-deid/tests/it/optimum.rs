//! The optimum and its loss as the reference publishes them for Adult.

use salus_deid::{
    GroundDistance, Likeness, Loss, Optimality, Outcome, PrivacyModel, Problem, SearchError,
    SuppressionLimit,
};

use crate::adult;

fn optimum(models: &[PrivacyModel], limit: f64, left_out: &[&str]) -> Outcome {
    let quasi = adult::quasi_without(left_out);
    let limit = SuppressionLimit::new(limit).unwrap();
    let problem =
        Problem::new(adult::table(), &quasi, models, limit, Loss::REFERENCE, None).unwrap();
    let outcome = problem.optimum().unwrap();
    assert_eq!(outcome.optimality, Optimality::Proven);
    println!(
        "loss {:.8} levels {:?} suppressed {} checked {}",
        outcome.loss,
        outcome.levels.as_slice(),
        outcome.suppressed.len(),
        outcome.checked
    );
    outcome
}

fn k(k: u32) -> PrivacyModel {
    PrivacyModel::k_anonymity(k).unwrap()
}

#[test]
fn k_anonymity_with_five_percent_suppression_has_the_published_optimum() {
    for (size, loss) in
        [(2, 0.169_005_86), (3, 0.213_340_99), (5, 0.241_932_37), (10, 0.291_270_02)]
    {
        let found = optimum(&[k(size)], 0.05, &[]);
        assert!((found.loss - loss).abs() < 5e-9, "k = {size}: {}", found.loss);
    }
}

#[test]
fn five_anonymity_has_the_published_levels_and_suppression() {
    let found = optimum(&[k(5)], 0.05, &[]);
    assert_eq!(found.levels.as_slice(), [0, 3, 0, 0, 2, 1, 1, 2, 0]);
    assert_eq!(found.suppressed.len(), 1346);
    assert_eq!(found.nodes, Some(12_960));
    assert!(found.checked < 1_000, "pruning left {} checks", found.checked);
}

#[test]
fn the_suppression_limit_moves_the_optimum_as_published() {
    assert!((optimum(&[k(5)], 0.0, &[]).loss - 0.573_15).abs() < 5e-6);
    assert!((optimum(&[k(5)], 1.0, &[]).loss - 0.220_41).abs() < 5e-6);
}

#[test]
fn three_distinct_occupations_have_the_published_optimum() {
    let diverse = PrivacyModel::distinct_diversity("occupation", 3).unwrap();
    let found = optimum(&[k(5), diverse], 0.05, &["occupation"]);
    assert!((found.loss - 0.171_70).abs() < 5e-6, "{}", found.loss);
}

#[test]
fn models_combine_and_every_one_of_them_costs() {
    let diverse = PrivacyModel::distinct_diversity("occupation", 3).unwrap();
    let close = PrivacyModel::t_closeness("occupation", 0.3, GroundDistance::Equal).unwrap();
    let like = PrivacyModel::beta_likeness("occupation", 4.0, Likeness::Enhanced).unwrap();
    let one = optimum(&[k(5)], 0.05, &["occupation"]).loss;
    let two = optimum(&[k(5), diverse.clone()], 0.05, &["occupation"]).loss;
    let all = optimum(&[k(5), diverse, close, like], 0.05, &["occupation"]).loss;
    assert!(one <= two && two < all, "{one} {two} {all}");
}

#[test]
fn what_cannot_be_satisfied_is_said_so() {
    let quasi = adult::quasi_without(&[]);
    let models = [k(30_163)];
    let limit = SuppressionLimit::new(0.5).unwrap();
    let problem =
        Problem::new(adult::table(), &quasi, &models, limit, Loss::REFERENCE, None).unwrap();
    assert!(matches!(problem.optimum(), Err(SearchError::Unsatisfiable)));
}

#[test]
fn a_scheme_found_once_is_evaluated_on_new_data() {
    let quasi = adult::quasi_without(&[]);
    let limit = SuppressionLimit::new(0.05).unwrap();
    let models = [k(5)];
    let pose =
        |table, limit| Problem::new(table, &quasi, &models, limit, Loss::REFERENCE, None).unwrap();
    let found = pose(adult::table(), limit).optimum().unwrap();
    let again = pose(adult::table(), limit).evaluate(&found.levels).unwrap();
    assert!((again.loss - found.loss).abs() < 1e-12);
    assert_eq!((again.suppressed, again.optimality), (found.suppressed, Optimality::Given));
    // A tenth of the records forms smaller classes: the same scheme no longer suffices.
    let tenth = adult::table().select((0..30_162).step_by(10)).unwrap();
    assert!(matches!(pose(&tenth, limit).evaluate(&found.levels), Err(SearchError::Unsatisfiable)));
    let all = pose(&tenth, SuppressionLimit::new(1.0).unwrap()).evaluate(&found.levels).unwrap();
    assert!(all.suppressed.len() > 300);
    let short = salus_deid::Levels::new(vec![0, 3]);
    assert!(matches!(pose(adult::table(), limit).evaluate(&short), Err(SearchError::NoSuchLevels)));
}
