//! An outcome that no longer depends on who a person is.

use salus_model::MicroRho;
use salus_synth::{FairError, Method, Missing, Model, Table, fit};

use crate::support::{category, name, table};

/// Men, and of them those of group a, get the good outcome more often; the ward goes with the
/// outcome.
fn records() -> (Table, Vec<[usize; 4]>) {
    let attributes = vec![
        category("sex", &["f", "m"], Missing::Never),
        category("origin", &["a", "b", "c"], Missing::Never),
        category("treated", &["no", "yes"], Missing::Never),
        category("ward", &["x", "y"], Missing::Never),
    ];
    let mut codes = Vec::new();
    for i in 0..24_000usize {
        let (sex, origin) = (i % 2, (i / 2) % 3);
        // Out of ten.
        let good =
            2 + 4 * sex + usize::from(sex == 1 && origin == 0) * 3 + usize::from(origin == 2);
        let treated = usize::from((i / 6) % 10 < good);
        let ward = usize::from((i / 60) % 10 < if treated == 1 { 8 } else { 3 });
        codes.push([sex, origin, treated, ward]);
    }
    let word = |a: usize, code: usize| {
        [["f", "m", ""], ["a", "b", "c"], ["no", "yes", ""], ["x", "y", ""]][a][code].to_owned()
    };
    let rows: Vec<Vec<Option<String>>> = codes
        .iter()
        .map(|row| row.iter().enumerate().map(|(a, c)| Some(word(a, *c))).collect())
        .collect();
    (table(attributes, &rows), codes)
}

const ROWS: usize = 120_000;

/// Rows of each combination of sex, origin, outcome and ward.
fn drawn(model: &Model) -> Vec<[usize; 4]> {
    let sample = model.sample(ROWS, 5, &[], &[]).unwrap();
    let code = |record: &Vec<Option<String>>, a: usize, list: &[&str]| {
        list.iter().position(|v| Some(*v) == record[a].as_deref()).unwrap()
    };
    let of = |r: &Vec<Option<String>>| {
        [
            code(r, 0, &["f", "m"]),
            code(r, 1, &["a", "b", "c"]),
            code(r, 2, &["no", "yes"]),
            code(r, 3, &["x", "y"]),
        ]
    };
    sample.records().iter().map(of).collect()
}

fn share(
    rows: &[[usize; 4]],
    of: impl Fn(&[usize; 4]) -> bool,
    with: impl Fn(&[usize; 4]) -> bool,
) -> f64 {
    let all = rows.iter().filter(|r| with(r)).count();
    rows.iter().filter(|r| with(r) && of(r)).count() as f64 / all as f64
}

/// The lowest rate over the highest, over all six groups.
fn impact(rows: &[[usize; 4]]) -> f64 {
    let groups = (0..2).flat_map(|s| (0..3).map(move |o| (s, o)));
    let rates: Vec<f64> =
        groups.map(|(s, o)| share(rows, |r| r[2] == 1, |r| r[0] == s && r[1] == o)).collect();
    rates.iter().copied().fold(1.0, f64::min) / rates.iter().copied().fold(0.0, f64::max)
}

#[test]
fn the_outcome_is_independent_of_all_groups_and_the_rest_stays() {
    let (real, codes) = records();
    let sensitive = [name("sex"), name("origin")];
    for method in [Method::Aim, Method::Mst, Method::PrivBayes] {
        // So much that the noise is next to nothing.
        let model = fit(&real, method, MicroRho::new(400_000_000)).unwrap();
        let fair = model.independent(&name("treated"), &sensitive).unwrap();
        assert_eq!((fair.cost(), fair.method()), (model.cost(), method));
        let (before, after) = (drawn(&model), drawn(&fair));
        println!(
            "{method:?}: disparate impact {:.4}, fair {:.4}, in the records {:.4}",
            impact(&before),
            impact(&after),
            impact(&codes)
        );
        assert!(impact(&after) > 0.97, "{method:?}");
        assert!(impact(&before) < 0.6, "there was something to mend");
        // Each of the two alone follows.
        let of_sex = |s: usize| share(&after, |r| r[2] == 1, |r| r[0] == s);
        assert!((of_sex(0) / of_sex(1) - 1.0).abs() < 0.02);
        // How frequent outcome and groups are stays, and so does what goes with the outcome in a
        // group: the model's own chance of the ward, as reweighing leaves it.
        let all = |_: &[usize; 4]| true;
        let rate = |rows: &[[usize; 4]]| share(rows, |r| r[2] == 1, all);
        assert!((rate(&after) - rate(&before)).abs() < 0.01, "{method:?}");
        for group in 0..3 {
            let of = |rows: &[[usize; 4]]| share(rows, |r| r[1] == group, all);
            assert!((of(&after) - of(&before)).abs() < 0.01, "{method:?}");
            for treated in 0..2 {
                let ward = |rows: &[[usize; 4]]| {
                    share(rows, |r| r[3] == 1, |r| r[1] == group && r[2] == treated && r[0] == 1)
                };
                let (was, is) = (ward(&before), ward(&after));
                // Groups have 3,000 rows and more: five standard errors at most.
                assert!((was - is).abs() < 0.05, "{method:?}: ward {was:.3} became {is:.3}");
            }
        }
    }
}

#[test]
fn a_fair_model_survives_being_stored_and_conditions() {
    let (real, _) = records();
    let model = fit(&real, Method::Mst, MicroRho::new(1_000_000)).unwrap();
    let fair = model.independent(&name("treated"), &[name("sex")]).unwrap();
    let stored = serde_json::to_string(&fair).unwrap();
    let again: Model = serde_json::from_str(&stored).unwrap();
    assert_eq!(
        again.sample(500, 3, &[], &[]).unwrap().records(),
        fair.sample(500, 3, &[], &[]).unwrap().records()
    );
    let rate = |sex: &str| {
        let only =
            salus_synth::Condition::OneOf { attribute: name("sex"), values: vec![sex.to_owned()] };
        let sample = fair.sample(20_000, 1, &[only], &[]).unwrap();
        sample.records().iter().filter(|r| r[2].as_deref() == Some("yes")).count() as f64
    };
    let ratio = rate("f") / rate("m");
    println!("women alone to men alone: {ratio:.4}");
    assert!((ratio - 1.0).abs() < 0.03);
}

#[test]
fn what_cannot_be_made_fair_is_refused() {
    let (real, _) = records();
    let model = fit(&real, Method::Mst, MicroRho::new(1_000_000)).unwrap();
    let refused = |outcome: &str, sensitive: &[&str]| {
        let sensitive: Vec<_> = sensitive.iter().map(|s| name(s)).collect();
        model.independent(&name(outcome), &sensitive).unwrap_err()
    };
    assert_eq!(refused("treated", &[]), FairError::Sensitive);
    assert_eq!(refused("treated", &["sex", "treated"]), FairError::Sensitive);
    assert!(matches!(refused("treated", &["height"]), FairError::Attribute(_)));
    let copula = fit(&real, Method::Copula, MicroRho::new(1_000_000)).unwrap();
    let refused = copula.independent(&name("treated"), &[name("sex")]).unwrap_err();
    assert_eq!(refused, FairError::Copula);
}
