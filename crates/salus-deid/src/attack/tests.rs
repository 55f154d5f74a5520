#![allow(clippy::unwrap_used, clippy::print_stdout)]

use super::{Attack, Entry, Plan, Report, Scene, normal_quantile, residual, run, wilson};
use crate::test_entropy::Sequence;
use crate::{Column, Hierarchy, QuasiIdentifier, QuasiIdentifiers, Table};

#[test]
fn quantiles_and_intervals_are_those_of_the_textbook() {
    assert!((normal_quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-12);
    assert!((normal_quantile(0.999) - 3.090_232_306_167_813_6).abs() < 1e-12);
    assert!(normal_quantile(0.5).abs() < 1e-12);
    // Wilson 1927 for 10 of 100 at 95 %, as R's prop.test(correct = FALSE) gives it.
    let rate = wilson(10, 100, normal_quantile(0.975));
    assert!((rate.lower - 0.055_229_14).abs() < 1e-7 && (rate.upper - 0.174_365_7).abs() < 1e-7);
    let nothing = wilson(0, 0, 2.0);
    assert!(nothing.lower.abs() < 1e-12 && (nothing.upper - 1.0).abs() < 1e-12);
}

#[test]
fn the_residual_subtracts_what_control_people_explain() {
    let z = 1.96;
    let same = residual(wilson(300, 1000, z), wilson(300, 1000, z));
    assert!(same.value.abs() < 1e-12 && same.lower.abs() < 1e-12 && same.upper > 0.0);
    let worse = residual(wilson(500, 1000, z), wilson(100, 1000, z));
    assert!((worse.value - (0.5 - 0.1) / 0.9).abs() < 0.01);
    assert!(worse.lower > 0.35 && worse.upper < 0.5);
    let sure = residual(wilson(1000, 1000, z), wilson(0, 1000, z));
    assert!(sure.value > 0.99);
}

/// People told apart by a number and a text; `from` numbers them on.
fn people(from: usize, n: usize) -> Table {
    let ids = || from..from + n;
    Table::from_columns(vec![
        Column::from_values("age", ids().map(|i| (20 + (i * 7) % 60).to_string())).unwrap(),
        Column::from_values("ward", ids().map(|i| format!("w{}", (i * 13) % 11))).unwrap(),
        Column::from_values("code", ids().map(|i| format!("c{}", (i * i + i) % 23))).unwrap(),
        Column::from_values("result", ids().map(|i| format!("r{}", (i * 31 + i / 3) % 7))).unwrap(),
    ])
    .unwrap()
}

fn plan() -> Plan {
    Plan { attempts: 400, predicate_columns: 3, secrets: vec!["result".into()] }
}

fn scene<'a>(real: &'a Table, control: &'a Table, released: &'a Table) -> Scene<'a> {
    Scene { real, control, released, earlier: &[], population: None, hierarchies: None }
}

fn attack(scene: &Scene<'_>) -> Report {
    run(scene, &plan(), &mut Sequence::new(11)).unwrap()
}

#[test]
fn a_published_copy_is_found_by_every_attack_that_runs() {
    let (real, control) = (people(0, 500), people(500, 500));
    let report = attack(&scene(&real, &control, &real));
    println!("{}", report.words);
    for finding in report.findings() {
        assert!(finding.risk.lower > 0.0 || finding.attack == Attack::SinglingOutUnivariate);
    }
    assert!(report.score < 50.0, "{}", report.score);
    let none = |e: &Entry| matches!(e, Entry::NotRun { attack: Attack::Differencing, reason } if reason.contains("earlier"));
    assert!(report.entries.iter().any(none), "differencing needs an earlier release");
}

#[test]
fn a_release_about_nobody_is_cleared() {
    let (real, control, other) = (people(0, 500), people(500, 500), people(1_000, 500));
    let report = attack(&scene(&real, &control, &other));
    assert_eq!(report.proven().count(), 0, "{:?}", report.entries);
    assert_eq!(report.published_verbatim, 0);
}

#[test]
fn one_verbatim_person_from_the_tail_is_enough_for_a_score_of_zero() {
    let with_tail = |table: Table| {
        let add = |c: &Column, value: &str| {
            let rows: Vec<String> = (0..table.rows())
                .map(|r| c.value(r).unwrap().to_owned())
                .chain([value.to_owned()])
                .collect();
            Column::from_values(c.name(), rows).unwrap()
        };
        let tail = ["104", "w1", "c2", "r3"];
        Table::from_columns(table.columns().iter().zip(tail).map(|(c, v)| add(c, v)).collect())
            .unwrap()
    };
    let (real, control, other) = (with_tail(people(0, 500)), people(500, 501), people(1_000, 500));
    let clean = attack(&scene(&real, &control, &other));
    assert_eq!(clean.published_verbatim, 0);
    let released = with_tail(other);
    let leaky = attack(&scene(&real, &control, &released));
    assert_eq!(leaky.published_verbatim, 1);
    assert!(leaky.score.abs() < 1e-12 && clean.score > leaky.score);
    assert!(leaky.words.contains("published as they are"));
}

#[test]
fn two_releases_together_give_away_what_each_hides() {
    // One release coarsens the age, the other the ward. Each leaves two results possible for
    // everybody; only one of them is possible in both.
    let ages = || (0..480u32).map(|i| 20 + i % 40);
    let wards = || (0..480u32).map(|i| (i / 40) % 2);
    let make = |result: &dyn Fn(u32, u32) -> u32| {
        let results = ages().zip(wards()).map(|(a, w)| format!("r{}", result(a, w)));
        Table::from_columns(vec![
            Column::from_values("age", ages().map(|a| a.to_string())).unwrap(),
            Column::from_values("ward", wards().map(|w| format!("w{w}"))).unwrap(),
            Column::from_values("result", results).unwrap(),
        ])
        .unwrap()
    };
    let real = make(&|age, ward| 2 * (age % 2) + ward);
    let control = make(&|age, ward| (age / 2 + ward) % 4);
    let tens: Vec<Vec<String>> =
        (20..60).map(|a| vec![a.to_string(), format!("{}0s", a / 10), "*".into()]).collect();
    let age = Hierarchy::from_rows(&tens).unwrap();
    let by_ten = real.column("age").unwrap().map(|a| age.generalise(a, 1).unwrap().to_owned());
    let no_ward = real.column("ward").unwrap().map(|_| "*".to_owned());
    let coarse_age = real.clone().with_column(by_ten).unwrap();
    let coarse_ward = real.clone().with_column(no_ward).unwrap();
    let hierarchies =
        QuasiIdentifiers::new(vec![QuasiIdentifier { column: "age".into(), hierarchy: age }])
            .unwrap();
    let find = |released: &Table, earlier: &Table| {
        let scene = Scene {
            real: &real,
            control: &control,
            released,
            earlier: &[earlier],
            population: None,
            hierarchies: Some(&hierarchies),
        };
        attack(&scene).findings().find(|f| f.attack == Attack::Differencing).unwrap().clone()
    };
    assert_eq!(find(&coarse_age, &coarse_age).successes, 0);
    assert_eq!(find(&coarse_ward, &coarse_ward).successes, 0);
    let both = find(&coarse_age, &coarse_ward);
    assert_eq!(both.successes, both.attempts);
    assert!(both.control_successes < both.attempts / 2 && both.risk.lower > 0.5, "{both:?}");
}

#[test]
fn a_population_file_in_which_nobody_is_unique_prevents_linkage() {
    let (real, control) = (people(0, 300), people(300, 300));
    let doubled: Vec<usize> = (0..300).chain(0..300).collect();
    let crowd = real.select(doubled).unwrap();
    let alone = scene(&real, &control, &real);
    let crowded = Scene { population: Some(&crowd), ..alone };
    let linked = |scene: &Scene<'_>| {
        attack(scene)
            .findings()
            .find(|f| f.attack == Attack::PopulationLinkage)
            .map(|f| f.successes)
            .unwrap()
    };
    assert!(linked(&alone) > 200);
    assert_eq!(linked(&crowded), 0);
}
