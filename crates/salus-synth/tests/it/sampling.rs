use proptest::prelude::*;
use salus_dp::UnitKey;
use salus_model::MicroRho;
use salus_synth::quality::similarity;
use salus_synth::{
    Attribute, Condition, Constraint, FitError, Method, Missing, Model, SampleError, TableBuilder,
    fit,
};

use crate::support::{category, name, number, table};

const METHODS: [Method; 4] = [Method::Mst, Method::Aim, Method::PrivBayes, Method::Copula];
/// So much that noise hardly matters.
const PLENTY: MicroRho = MicroRho::new(100_000_000);

fn attributes() -> Vec<Attribute> {
    vec![
        category("sex", &["f", "m"], Missing::Never),
        number("age", 0.0, 99.0, 10, Missing::Never),
        category("diabetes", &["no", "yes"], Missing::Possible),
        number("admitted", 0.0, 30.0, 8, Missing::Never),
        number("discharged", 0.0, 60.0, 12, Missing::Possible),
        category("ward", &["a", "b", "c", "never used"], Missing::Never),
    ]
}

/// 3,000 patients: diabetes with age, a stay of 0 to 9 days, no man on ward c.
fn rows() -> Vec<Vec<Option<String>>> {
    (0u32..3_000)
        .map(|i| {
            let h = i.wrapping_mul(2_654_435_761) >> 8;
            let (age, sex) = (h % 100, if h / 100 % 2 == 0 { "f" } else { "m" });
            let diabetes = (h / 7 % 100) < age / 2;
            let admitted = h / 13 % 31;
            let ward = ["a", "b", if sex == "f" { "c" } else { "a" }][(h / 31 % 3) as usize];
            let some = |x: String| Some(x);
            vec![
                some(sex.to_owned()),
                some(age.to_string()),
                if h % 11 == 0 {
                    None
                } else {
                    some(if diabetes { "yes" } else { "no" }.to_owned())
                },
                some(admitted.to_string()),
                if h % 17 == 0 { None } else { some((admitted + h / 5 % 10).to_string()) },
                some(ward.to_owned()),
            ]
        })
        .collect()
}

fn model(method: Method, rho: MicroRho) -> Model {
    fit(&table(attributes(), &rows()), method, rho).unwrap()
}

fn share(records: &[Vec<Option<String>>], holds: impl Fn(&[Option<String>]) -> bool) -> f64 {
    records.iter().filter(|r| holds(r)).count() as f64 / records.len() as f64
}

#[test]
fn with_plenty_to_spend_the_models_are_the_data() {
    let real = table(attributes(), &rows());
    for (method, bar) in
        [(Method::Aim, 0.97), (Method::Mst, 0.95), (Method::PrivBayes, 0.95), (Method::Copula, 0.9)]
    {
        let sample = model(method, PLENTY).sample(3_000, 5, &[], &[]).unwrap();
        let near = similarity(&real, sample.table());
        println!("{method:?}: {near:?}");
        assert!(near.quality() >= bar, "{method:?}: {near:?}");
        let missing = share(sample.records(), |r| r[2].is_none());
        assert!((missing - 1.0 / 11.0).abs() < 0.02, "{method:?} lacks {missing} of diabetes");
    }
}

#[test]
fn a_seed_repeats_a_sample_and_never_a_fit() {
    for method in METHODS {
        let rho = MicroRho::new(100_000);
        let (a, b) = (model(method, rho), model(method, rho));
        let of = |m: &Model, seed| m.sample(200, seed, &[], &[]).unwrap().records().to_vec();
        assert_eq!(of(&a, 1), of(&a, 1));
        assert_ne!(of(&a, 1), of(&a, 2));
        assert_ne!(serde_json::to_string(&a).unwrap(), serde_json::to_string(&b).unwrap());
    }
}

#[test]
fn five_hundred_women_over_sixty_with_diabetes() {
    let cohort = [
        Condition::OneOf { attribute: name("sex"), values: vec!["f".to_owned()] },
        Condition::Between { attribute: name("age"), low: 61.0, high: 99.0 },
        Condition::OneOf { attribute: name("diabetes"), values: vec!["yes".to_owned()] },
    ];
    for method in METHODS {
        let sample = model(method, PLENTY).sample(500, 9, &cohort, &[]).unwrap();
        assert_eq!(sample.records().len(), 500);
        for record in sample.records() {
            assert_eq!((record[0].as_deref(), record[2].as_deref()), (Some("f"), Some("yes")));
            assert!(record[1].as_deref().unwrap().parse::<f64>().unwrap() >= 61.0, "{record:?}");
        }
        // What the condition does not name follows the rows that satisfy it.
        let ward = |r: &[Option<String>]| r[5].as_deref() == Some("c");
        if method != Method::Copula {
            let (real, ours) = (
                share(&rows(), |r| r[0].as_deref() == Some("f") && ward(r)) * 2.0,
                share(sample.records(), ward),
            );
            assert!((real - ours).abs() < 0.1, "{method:?}: {ours} of ward c for {real}");
        }
    }
}

#[test]
fn a_cohort_that_never_was_is_not_empty() {
    // No man was ever on ward c, and nobody on the last ward.
    for (ward, method) in [
        ("c", Method::Aim),
        ("never used", Method::Mst),
        ("c", Method::PrivBayes),
        ("never used", Method::Copula),
    ] {
        let cohort = [
            Condition::OneOf { attribute: name("sex"), values: vec!["m".to_owned()] },
            Condition::OneOf { attribute: name("ward"), values: vec![ward.to_owned()] },
        ];
        let sample = model(method, MicroRho::new(500_000)).sample(50, 3, &cohort, &[]).unwrap();
        assert!(
            sample
                .records()
                .iter()
                .all(|r| r[0].as_deref() == Some("m") && r[5].as_deref() == Some(ward)),
            "{method:?}"
        );
    }
}

#[test]
fn conditions_that_fit_nothing_are_refused() {
    let model = model(Method::Mst, PLENTY);
    let ask = |condition| model.sample(5, 1, &[condition], &[]).unwrap_err();
    let unknown = Condition::OneOf { attribute: name("height"), values: Vec::new() };
    assert!(matches!(ask(unknown), SampleError::UnknownAttribute { .. }));
    let outside = Condition::OneOf { attribute: name("ward"), values: vec!["z".to_owned()] };
    assert!(matches!(ask(outside), SampleError::OutsideDomain { .. }));
    let kind = Condition::Between { attribute: name("ward"), low: 0.0, high: 1.0 };
    assert!(matches!(ask(kind), SampleError::WrongKind { .. }));
    let empty = Condition::Between { attribute: name("age"), low: 200.0, high: 300.0 };
    assert!(matches!(ask(empty), SampleError::OutsideDomain { .. }));
}

#[test]
fn nobody_is_discharged_before_admission() {
    let order = Constraint::NotAbove { smaller: name("admitted"), larger: name("discharged") };
    let apart = Constraint::Never {
        attribute: name("sex"),
        value: "m".to_owned(),
        with: name("ward"),
        with_value: "c".to_owned(),
    };
    for method in METHODS {
        let model = model(method, MicroRho::new(200_000));
        let free = model.sample(2_000, 4, &[], &[]).unwrap();
        let breaks = |r: &[Option<String>]| {
            let number = |i: usize| r[i].as_deref().and_then(|t| t.parse::<f64>().ok());
            number(3).zip(number(4)).is_some_and(|(a, d)| a > d)
                || (r[0].as_deref(), r[5].as_deref()) == (Some("m"), Some("c"))
        };
        assert!(share(free.records(), breaks) > 0.0, "the constraint would do nothing");
        let bound = model.sample(2_000, 4, &[], &[order.clone(), apart.clone()]).unwrap();
        assert_eq!(bound.records().len(), 2_000);
        assert!(share(bound.records(), breaks) == 0.0, "{method:?}");
    }
}

#[test]
fn a_stored_model_is_checked_and_samples_alike() {
    for method in METHODS {
        let model = model(method, PLENTY);
        let text = serde_json::to_string(&model).unwrap();
        let again: Model = serde_json::from_str(&text).unwrap();
        let of = |m: &Model| m.sample(100, 1, &[], &[]).unwrap().records().to_vec();
        assert_eq!(of(&model), of(&again));
        assert!(
            serde_json::from_str::<Model>(&text.replace("\"version\":1", "\"version\":2")).is_err()
        );
        assert!(serde_json::from_str::<Model>(&text.replacen("\"ward\"", "\"\"", 1)).is_err());
    }
}

#[test]
fn a_unit_with_many_rows_counts_as_few() {
    let mut builder = TableBuilder::new(attributes(), 2).unwrap();
    let row = &rows()[0];
    let fields: Vec<Option<&str>> = row.iter().map(Option::as_deref).collect();
    for _ in 0..1_000 {
        builder.push(UnitKey::new(1), &fields).unwrap();
    }
    let model = fit(&builder.finish(), Method::Mst, PLENTY).unwrap();
    assert!(model.rows() < 4.0, "{} rows of one unit with a bound of 2", model.rows());
}

#[test]
fn tables_and_budgets_that_cannot_do_are_refused() {
    assert!(TableBuilder::new(attributes()[..1].to_vec(), 1).is_err());
    assert!(TableBuilder::new(attributes(), 0).is_err());
    let mut builder = TableBuilder::new(attributes(), 1).unwrap();
    let refused = builder.push(UnitKey::new(1), &[None; 6]).unwrap_err().to_string();
    assert!(refused.contains("row 1") && refused.contains("'sex'"), "{refused}");
    assert!(builder.push(UnitKey::new(1), &[None]).is_err());
    let table = table(attributes(), &rows());
    assert!(matches!(fit(&table, Method::Aim, MicroRho::new(9)), Err(FitError::TooLittle)));
}

proptest! {
    #[test]
    fn a_number_keeps_its_bin(value in -10i32..120, bins in 1u16..200) {
        let attribute = number("age", 0.0, 99.0, bins, Missing::Possible);
        let code = attribute.encode(Some(&value.to_string())).unwrap();
        prop_assert!(usize::from(code) < attribute.size());
        let middle = attribute.number(code).unwrap();
        let width = 100.0 / f64::from(bins.min(100));
        prop_assert!((middle - f64::from(value.clamp(0, 99))).abs() <= width, "{value} in the bin at {middle}");
        prop_assert_eq!(attribute.encode(None), Some(attribute.size() as u16 - 1));
    }
}
