//! Agreement with anonymeter (PyPI) on the same equal-size split.
//!
//! Of two rules we have others, and agree all the same. anonymeter takes several predicates of one
//! record for as many attempts at singling out; here a record gives one, so that an interval says
//! how many records were tried. A number is guessed there when it is off by 5 % of itself, here by
//! 5 % of the column's spread; the secret that is compared is no number.

use std::path::Path;

use salus_deid::Table;
use salus_deid::attack::{Attack, Halves, Linking, Plan, Scene, run};
use salus_testkit::Venv;

use crate::attack::{Sequence, thirds, with_copies};

const FINDINGS: &str = include_str!("../../testdata/anonymeter/findings.csv");

#[test]
fn risks_agree_with_what_anonymeter_found_within_both_intervals() {
    assert_eq!(compared(FINDINGS), 9);
}

/// The same against anonymeter itself, on the same equal-size split, in the same run.
#[test]
fn risks_agree_with_anonymeter_at_work_within_both_intervals() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = Venv::with(&["anonymeter==1.1.0"]).run(
        folder.join("testdata/anonymeter/make.py"),
        |command| {
            command.arg(folder.join("../../testdata/adult/adult_arx_30162x9.csv"));
        },
    );
    assert_eq!(compared(&found), 9);
}

/// The two files as `make.py` splits the columns.
fn first_four(table: &Table) -> Halves {
    Halves::First(table.columns().iter().take(4).map(|c| c.name().to_owned()).collect())
}

/// How many findings of anonymeter's were compared with ours; panics where one disagrees.
fn compared(findings: &str) -> u32 {
    let [real, control, others] = thirds();
    let copies = with_copies(&real, &others);
    let mut compared = 0;
    for (name, released) in [("independent", &others), ("copies", &copies), ("verbatim", &real)] {
        let scene = Scene::new(&real, &control, released);
        let plan = Plan {
            attempts: 2_000,
            predicate_columns: 6,
            linking: Linking { halves: first_four(&real), ..Linking::by_lot() },
            secrets: vec!["salary-class".into()],
            looks: std::num::NonZeroU32::MIN,
        };
        let report = run(&scene, &plan, &mut Sequence(2026)).unwrap();
        for line in findings.lines().filter(|l| l.starts_with(name)) {
            let fields: Vec<&str> = line.split(',').collect();
            let attack = match fields[1] {
                "singling-out-multivariate" => Attack::SinglingOutMultivariate,
                "inference" => Attack::Inference,
                "linkability" => Attack::Linkability,
                other => panic!("anonymeter has no attack '{other}' here"),
            };
            let theirs: Vec<f64> = fields[2..].iter().map(|f| f.parse().unwrap()).collect();
            let ours = report.findings().find(|f| f.attack == attack).unwrap().risk;
            println!(
                "{name} {attack:?}: ours {:.4} [{:.4}, {:.4}] theirs {:.4} [{:.4}, {:.4}]",
                ours.value, ours.lower, ours.upper, theirs[0], theirs[1], theirs[2]
            );
            assert!(ours.lower <= theirs[2] && theirs[1] <= ours.upper, "{name} {attack:?}");
            compared += 1;
        }
        let risk = |attack| report.findings().find(|f| f.attack == attack).unwrap().risk;
        let [lots, all] = [Attack::Linkability, Attack::LinkabilityAllNearest].map(risk);
        println!("{name} linked: by lot {:.4}, all nearest kept {:.4}", lots.value, all.value);
        // Where there are copies, who keeps all nearest links more than who draws lots: of a tenth
        // more than lots may, of all of them beyond doubt.
        let more = match name {
            "independent" => true,
            "copies" => all.value > lots.upper,
            _ => all.lower > lots.upper,
        };
        assert!(more, "{name}: {all:?} {lots:?}");
    }
    compared
}
