//! Bias by groups, by single attributes, of predictions, and of models trained before and after.

use std::fmt::Write as _;

use crate::person::Draws;
use crate::{Folder, adult, json, refusal, run, text};

/// People of two sexes and two ages whose skill, outcome, score and decision are known.
fn people() -> String {
    let mut csv = "sex,age,skill,hired,chance,decided\n".to_owned();
    for i in 0..1_200u64 {
        let mut draws = Draws::of(i);
        let (sex, age) = (["m", "f"][(i % 2) as usize], ["young", "old"][(i / 2 % 2) as usize]);
        let skill = draws.below(100) + if sex == "m" { 40 } else { 0 };
        let hired = skill + draws.below(30) > 85;
        let chance = (skill as f64 / 170.0).min(1.0);
        let decided = if chance >= 0.5 { "yes" } else { "no" };
        writeln!(
            csv,
            "{sex},{age},{skill},{},{chance},{decided}",
            if hired { "yes" } else { "no" }
        )
        .unwrap();
    }
    csv
}

fn near(value: &serde_json::Value, expected: f64, within: f64) {
    let value = value.as_f64().unwrap();
    assert!((value - expected).abs() < within, "{value} where {expected}");
}

/// The measures of a prediction by the definitions, from the lines of the table.
fn by_definition(csv: &str, group: usize) -> [f64; 4] {
    let mut rates: std::collections::BTreeMap<String, [f64; 6]> = Default::default();
    for line in csv.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let (good, chance) = (fields[3] == "yes", fields[4].parse::<f64>().unwrap());
        let chosen = chance >= 0.5;
        let own = rates.entry(fields[group].to_owned()).or_default();
        own[0] += 1.0;
        own[1] += f64::from(u8::from(good));
        own[2] += f64::from(u8::from(chosen));
        own[3] += f64::from(u8::from(good && chosen));
        own[4] += f64::from(u8::from(!good && chosen));
        own[5] += chance;
    }
    let spread = |of: &dyn Fn(&[f64; 6]) -> f64| {
        let all: Vec<f64> = rates.values().map(of).collect();
        all.iter().copied().fold(f64::INFINITY, f64::min)
            - all.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    };
    let opportunity = spread(&|r| r[3] / r[1]);
    let false_alarms = spread(&|r| r[4] / (r[0] - r[1]));
    let worst = rates.values().map(|r| ((r[5] - r[1]) / r[0]).abs()).fold(0.0, f64::max);
    [spread(&|r| r[2] / r[0]), opportunity, f64::midpoint(opportunity, false_alarms), worst]
}

fn measured(report: &serde_json::Value, expected: [f64; 4]) {
    let names = ["statistical_parity", "equal_opportunity", "average_odds", "calibration"];
    for (name, expected) in names.into_iter().zip(expected) {
        near(&report[name], expected, 1e-9);
    }
}

#[test]
fn predictions_are_measured_whatever_mends_the_table() {
    let folder = Folder::new();
    let csv = people();
    let file = folder.write("people.csv", &csv);
    let base = ["unbias", text(&file), "--favourable", "hired=yes"];
    for method in ["reweigh", "repair", "threshold"] {
        let more = ["--sensitive", "sex, age", "--method", method, "--score", "chance"];
        let answer = json(&[&base[..], &more].concat());
        let attributes = answer["by_attribute"].as_array().unwrap();
        for (attribute, (name, column)) in attributes.iter().zip([("sex", 0), ("age", 1)]) {
            assert_eq!(attribute["column"], name);
            measured(&attribute["predictions"], by_definition(&csv, column));
        }
        assert_eq!(attributes.len(), 2);
        // The intersections are four groups.
        assert_eq!(answer["predictions"]["groups"].as_array().unwrap().len(), 4);
        assert!(answer["predictions"]["calibration"].is_number());
        let said = run(&[&base[..], &more].concat()).unwrap();
        for words in ["By sex alone", "equal opportunity", "average odds", "calibration"] {
            assert!(said.text().contains(words), "{method}: {words}\n{}", said.text());
        }
    }
    // Decisions in place of chances: the same but for calibration.
    let words = ["--sensitive", "sex", "--method", "reweigh", "--predicted", "decided"];
    let answer = json(&[&base[..], &words].concat());
    let expected = by_definition(&csv, 0);
    near(&answer["predictions"]["equal_opportunity"], expected[1], 1e-9);
    near(&answer["predictions"]["average_odds"], expected[2], 1e-9);
    assert!(answer["predictions"]["calibration"].is_null());
    assert!(answer.get("by_attribute").is_none());
    let refused = refusal(&[&base[..], &["--sensitive", "sex", "--predicted", "age"]].concat());
    assert!(refused.contains("never has the good outcome"), "{refused}");
}

#[test]
fn a_model_trained_on_the_mended_table_is_fairer() {
    let folder = Folder::new();
    let file = folder.write("people.csv", people());
    let out = folder.path("out.csv");
    let answer = json(&[
        "unbias",
        text(&file),
        "--favourable",
        "hired=yes",
        "--sensitive",
        "sex",
        "--method",
        "repair",
        "--features",
        "skill,chance",
        "--out",
        text(&out),
    ]);
    let impact = |at: &str| answer["trained"][at]["disparate_impact"].as_f64().unwrap();
    println!(
        "disparate impact of a trained model {:.3} before, {:.3} after; right {} and {}",
        impact("before"),
        impact("after"),
        answer["trained"]["accuracy_before"],
        answer["trained"]["accuracy_after"]
    );
    assert!(impact("before") < 0.6 && impact("after") > impact("before") + 0.2);
    // The outcomes themselves are what they were.
    assert_eq!(answer["before"]["disparate_impact"], answer["after"]["disparate_impact"]);
    // On Adult, weights from before make a model's choices more alike, too.
    let answer = json(&[
        "unbias",
        text(&adult("adult_arx_30162x9.csv")),
        "--sensitive",
        "sex",
        "--favourable",
        "salary-class=>50K",
    ]);
    let impact = |at: &str| answer["trained"][at]["disparate_impact"].as_f64().unwrap();
    println!("adult, reweighed: {:.3} before, {:.3} after", impact("before"), impact("after"));
    assert!(impact("after") > impact("before"));
    assert!(answer["trained"]["accuracy_before"].as_f64().unwrap() > 0.75);
}
