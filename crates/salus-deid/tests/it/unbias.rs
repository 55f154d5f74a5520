//! Bias on Adult, against the published weights.

use salus_deid::unbias::{BiasReport, Favourable, Weights};

use crate::adult;

#[test]
fn reweighing_adult_by_sex_gives_the_published_weights() {
    let favourable = Favourable { column: "salary-class".into(), value: ">50K".into() };
    let measure = |weights: Option<&[f64]>| {
        BiasReport::measure(adult::table(), &["sex"], &favourable, weights, None)
            .unwrap()
            .disparate_impact
    };
    assert!((measure(None) - 0.362_22).abs() < 5e-6, "{}", measure(None));
    let weights = Weights::reweigh(adult::table(), &["sex"], &favourable).unwrap();
    for (group, good, other) in [("Male", 0.793_16, 1.094_61), ("Female", 2.189_71, 0.847_41)] {
        let (_, found_good, found_other) =
            weights.by_group.iter().find(|(name, _, _)| name == group).unwrap();
        assert!((found_good - good).abs() < 5e-6, "{group}: {found_good}");
        assert!((found_other - other).abs() < 5e-6, "{group}: {found_other}");
    }
    assert!((measure(Some(&weights.by_record)) - 1.0).abs() < 1e-12);
}
