//! Measures of quality against scipy and scikit-learn.

use std::fmt::Write as _;
use std::path::Path;

use salus_model::MicroRho;
use salus_synth::quality::{
    Values, association, associations, propensity, train_test_auc, usefulness,
};
use salus_synth::{Method, fit};
use salus_testkit::Venv;

use crate::support::{adult, table};

type Rows = Vec<Vec<Option<String>>>;

/// A third of Adult, whose ages have a companion that goes with them.
fn people() -> (Vec<salus_synth::Attribute>, Rows) {
    let (attributes, rows) = adult();
    (attributes, rows.into_iter().step_by(3).collect())
}

fn hours(row: &[Option<String>]) -> f64 {
    let age: f64 = row[1].as_deref().unwrap().parse().unwrap();
    let letters = row[6].as_deref().unwrap().len() as f64;
    60.0 - age / 3.0 + letters
}

fn write(path: &Path, names: &str, rows: &Rows) {
    let mut text = format!("{names},hours\n");
    for row in rows {
        let fields: Vec<&str> = row.iter().map(|f| f.as_deref().unwrap_or("")).collect();
        writeln!(text, "{},{}", fields.join(","), hours(row)).unwrap();
    }
    std::fs::write(path, text).unwrap();
}

fn near(what: &str, ours: f64, theirs: f64, within: f64) {
    println!("{what}: ours {ours:.6}, reference {theirs:.6}, allowed difference {within}");
    assert!((ours - theirs).abs() <= within, "{what}");
}

#[test]
fn the_measures_are_those_of_scipy_and_scikit_learn() {
    let (attributes, rows) = people();
    let real = table(attributes.clone(), &rows);
    let model = fit(&real, Method::Mst, MicroRho::new(20_000)).unwrap();
    let sample = model.sample(rows.len(), 3, &[], &[]).unwrap();
    let folder = salus_testkit::scratch();
    let (ours, theirs) = (folder.path().join("real.csv"), folder.path().join("synthetic.csv"));
    let names: Vec<&str> = attributes.iter().map(|a| a.name().as_str()).collect();
    // The reference sees the codes' values, and ages as the bins that the model sees.
    let seen = |rows: &Rows| -> Rows {
        let age = |row: &Vec<Option<String>>| {
            let code = attributes[1].encode(row[1].as_deref()).unwrap();
            let mut row = row.clone();
            row[1] = attributes[1].number(code).map(|x| x.to_string());
            row
        };
        rows.iter().map(age).collect()
    };
    let (real_rows, made_rows) = (seen(&rows), seen(&sample.records().to_vec()));
    write(&ours, &names.join(","), &real_rows);
    write(&theirs, &names.join(","), &made_rows);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/quality/measures.py");
    let said = Venv::with(&["scikit-learn==1.9.1", "scipy==1.17.1", "numpy==2.3.5"]).run(
        script,
        |command| {
            command.args([&ours, &theirs]).args(["salary-class", ">50K"]);
        },
    );
    let reference: serde_json::Value = serde_json::from_str(&said).unwrap();
    let of = |what: &str| reference[what].as_f64().unwrap();
    let target = names.iter().position(|n| *n == "salary-class").unwrap();
    let good = attributes[target].encode(Some(">50K")).unwrap();
    let auc = train_test_auc(sample.table(), &real, target, good).unwrap();
    near("train on synthetic, test on real", auc, of("auc"), 0.01);
    let (told, deviation) = propensity(&real, sample.table()).unwrap();
    near("propensity", told, reference["propensity"][0].as_f64().unwrap(), 0.02);
    near("pMSE", deviation, reference["propensity"][1].as_f64().unwrap(), 0.002);
    let words = |at: usize| Values::Words(real_rows.iter().map(|r| r[at].clone()).collect());
    let place = |name: &str| names.iter().position(|n| *n == name).unwrap();
    let ages = real_rows.iter().map(|r| r[1].as_deref().and_then(|t| t.parse().ok())).collect();
    let ages = Values::Numbers(ages);
    let hours = Values::Numbers(real_rows.iter().map(|r| Some(hours(r))).collect());
    let (marital, occupation) = (words(place("marital-status")), words(place("occupation")));
    near("Cramér's V", association(&marital, &occupation).unwrap(), of("cramer"), 1e-9);
    near("correlation ratio", association(&ages, &marital).unwrap(), of("ratio"), 1e-9);
    near("Pearson's r", association(&ages, &hours).unwrap(), of("pearson"), 1e-9);
    // Learnt from the real half itself, it is at least as good.
    let both = usefulness(&real, sample.table(), target).unwrap();
    println!("AUC from real {:.4}, from synthetic {:.4}", both.real, both.synthetic);
    assert!(both.real > 0.85 && both.real >= both.synthetic - 0.005);
    let own = usefulness(&real, &real, target).unwrap();
    assert!((own.real - own.synthetic).abs() < 0.01, "{own:?}");
}

#[test]
fn what_goes_together_alike_is_told_from_what_does_not() {
    let numbers =
        |of: &dyn Fn(usize) -> f64| Values::Numbers((0..600).map(|i| Some(of(i))).collect());
    let words = |of: &dyn Fn(usize) -> usize| {
        Values::Words((0..600).map(|i| Some(format!("w{}", of(i)))).collect())
    };
    let up = numbers(&|i| (i % 30) as f64);
    let real =
        [up.clone(), numbers(&|i| (i % 30) as f64 * 2.0), words(&|i| i % 30 / 10), words(&|_| 1)];
    let made = [up, numbers(&|i| -((i % 30) as f64)), words(&|i| i % 30 / 10), words(&|i| i % 2)];
    let pairs = associations(&real, &made);
    println!("{pairs:?}");
    // The constant column tells nothing.
    assert_eq!(pairs.len(), 3);
    let of = |a: usize, b: usize| *pairs.iter().find(|p| (p.a, p.b) == (a, b)).unwrap();
    assert!((of(0, 1).real - 1.0).abs() < 1e-12 && (of(0, 1).synthetic + 1.0).abs() < 1e-12);
    assert!(of(0, 1).likeness.abs() < 1e-12, "turned round is as different as can be");
    assert!((of(0, 2).likeness - 1.0).abs() < 1e-12);
    let gaps = Values::Numbers(vec![None; 600]);
    assert_eq!(association(&gaps, &real[0]), None);
    near("with itself", association(&real[2], &real[2]).unwrap(), 1.0, 1e-12);
}
