//! Risk of the Adult table, against published values and independent solvers.

use salus_deid::risk::{ClassSizes, Estimator, Risk};

use crate::adult;

fn names() -> Vec<&'static str> {
    adult::table().columns().iter().map(salus_deid::Column::name).collect()
}

#[test]
fn the_input_risk_is_the_published_one() {
    let risk = Risk::of_table(adult::table(), &names(), None).unwrap();
    assert_eq!((risk.records, risk.classes), (30_162, 19_502));
    assert!((risk.average - 0.646_575).abs() < 5e-7, "{}", risk.average);
    assert!((risk.sample_unique - 0.514).abs() < 5e-4, "{}", risk.sample_unique);
    assert!((risk.highest - 1.0).abs() < 1e-12);
}

#[test]
fn population_uniqueness_agrees_with_independent_solvers() {
    // testdata/reference/population.py, scipy 1.17.
    let expected = [
        (60_324, 0.435_902_776, 0.431_949_448, 0.427_023_314),
        (100_000, 0.377_986_813, 0.386_906_541, 0.369_736_048),
        (1_000_000, 0.197_435_667, 0.284_895_826, 0.206_201_688),
        (310_000_000, 0.039_150_243, 0.264_566_372, 0.214_601_249),
    ];
    let sizes = ClassSizes::of_table(adult::table(), &names()).unwrap();
    for (people, pitman, zayatz, slide) in expected {
        let share = |model| {
            let found = sizes.population_unique(model, people);
            assert!(found.solved, "{model:?} at {people}");
            found.share
        };
        for (model, value) in [
            (Estimator::Pitman, pitman),
            (Estimator::Zayatz, zayatz),
            (Estimator::SlideNegativeBinomial, slide),
        ] {
            let found = share(model);
            println!("{model:?} N {people}: {found:.9} reference {value:.9}");
            assert!((found - value).abs() < 2e-6, "{model:?} at {people}: {found}");
        }
        let rule = if people > 301_620 { pitman } else { zayatz.min(slide) };
        assert!((share(Estimator::Dankar) - rule).abs() < 2e-6);
    }
}
