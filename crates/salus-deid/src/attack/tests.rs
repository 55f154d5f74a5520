#![allow(clippy::unwrap_used)]

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

fn binned(hierarchy: &Hierarchy, table: &Table, level: u8) -> Table {
    let age = table
        .column("age")
        .unwrap()
        .map(|v| hierarchy.generalise(v, level).unwrap_or("*").to_owned());
    let star = |name: &str| table.column(name).unwrap().map(|_| "*".to_owned());
    let kept = table.column("result").unwrap().clone();
    Table::from_columns(vec![age, star("ward"), star("code"), kept]).unwrap()
}

#[test]
fn two_releases_together_give_away_what_each_hides() {
    // By tens or by windows shifted by five, each group holds several results; both together
    // pin down people of five years, who share one result here.
    let rows: Vec<Vec<String>> = (20..80)
        .map(|a| vec![a.to_string(), format!("t{}", a / 10), format!("s{}", (a + 5) / 10)])
        .collect();
    let by = |column: usize| {
        let rows: Vec<Vec<String>> =
            rows.iter().map(|r| vec![r[0].clone(), r[column].clone(), "*".into()]).collect();
        Hierarchy::from_rows(&rows).unwrap()
    };
    let ages = |from: usize| (0..480).map(move |i| 20 + (i * 7 + from) % 60);
    let make = |from: usize, result: &dyn Fn(usize) -> String| {
        let text = |t: &str| vec![t.to_owned(); 480];
        Table::from_columns(vec![
            Column::from_values("age", ages(from).map(|a| a.to_string())).unwrap(),
            Column::from_values("ward", text("w")).unwrap(),
            Column::from_values("code", text("c")).unwrap(),
            Column::from_values("result", ages(from).map(result)).unwrap(),
        ])
        .unwrap()
    };
    let real = make(0, &|age| format!("r{}", age / 5));
    let control = make(0, &|age| format!("r{}", (age * 17) % 12));
    let (now, before) = (binned(&by(1), &real, 1), binned(&by(2), &real, 1));
    // Labels of both releases must be known to the attacker.
    let both: Vec<Vec<String>> =
        rows.iter().map(|r| vec![r[0].clone(), r[1].clone(), "*".into()]).collect();
    let hierarchies = QuasiIdentifiers::new(vec![QuasiIdentifier {
        column: "age".into(),
        hierarchy: Hierarchy::from_rows(&both).unwrap(),
    }])
    .unwrap();
    let alone = Scene {
        real: &real,
        control: &control,
        released: &now,
        earlier: &[&now],
        population: None,
        hierarchies: Some(&hierarchies),
    };
    let find = |report: &Report| {
        report.findings().find(|f| f.attack == Attack::Differencing).unwrap().clone()
    };
    let before_is_no_help = find(&attack(&alone));
    assert_eq!(before_is_no_help.successes, 0, "one release leaves two results possible");
    let halves = before.column("age").unwrap().map(|s| s.replace('s', "t"));
    assert_eq!(halves.name(), "age");
    let shifted: Vec<String> = ages(0).map(|a| (a / 5 * 5).to_string()).collect();
    let finer = now.clone().with_column(Column::from_values("age", shifted).unwrap()).unwrap();
    let together = Scene { earlier: &[&finer], ..alone };
    let found = find(&attack(&together));
    assert!(found.successes > 0 && found.successes > found.control_successes, "{found:?}");
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
