//! People with several records: groups count people, and halves are split between people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::{Folder, json, refusal, run, text};

/// Numbers that look random and are the same in every run.
pub(crate) struct Draws(u64);

impl Draws {
    /// Others for each seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut draws = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        draws.below(2);
        draws
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Visits of 300 people, five of each, who grow older meanwhile; and whose each is.
fn visits(separate: bool) -> (String, Vec<usize>) {
    let mut draws = Draws(1);
    let mut csv = if separate { "sex,age,ward\n" } else { "patient,sex,age,ward\n" }.to_owned();
    let mut whose = Vec::new();
    for person in 0..300 {
        let (sex, born) = (["f", "m"][draws.below(2) as usize], 20 + draws.below(60));
        for visit in 0..5 {
            let ward = ["heart", "lung", "skin"][draws.below(3) as usize];
            let patient = if separate { String::new() } else { format!("P{person:04},") };
            writeln!(csv, "{patient}{sex},{},{ward}", born + visit / 2).unwrap();
            whose.push(person);
        }
    }
    (csv, whose)
}

/// People by group of alike published records, suppressed ones left out.
fn people_by_group(csv: &str, quasi: usize, whose: &[usize]) -> BTreeMap<String, BTreeSet<usize>> {
    let mut groups: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (line, person) in csv.lines().skip(1).zip(whose) {
        let fields: Vec<&str> = line.split(',').take(quasi).collect();
        if fields.iter().any(|field| *field != "*") {
            groups.entry(fields.join(",")).or_default().insert(*person);
        }
    }
    groups
}

#[test]
fn groups_count_people_where_people_are_told_apart() {
    let folder = Folder::new();
    let (csv, whose) = visits(false);
    let (file, out) = (folder.write("visits.csv", csv), folder.path("out.csv"));
    let words = |more: &[&'static str]| -> Vec<String> {
        let base = ["anonymise", text(&file), "--quasi-identifiers", "sex, age", "--k", "5"];
        let tail = ["--no-attacks", "--out", text(&out)];
        let suppression: &[&str] =
            if more.contains(&"--local") { &[] } else { &["--suppression", "0.1"] };
        base.iter().chain(more).chain(suppression).chain(&tail).map(|w| (*w).to_owned()).collect()
    };
    for more in [&["--person", "patient"][..], &["--person", "patient", "--local"]] {
        let words = words(more);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let answer = json(&words);
        let published = std::fs::read_to_string(&out).unwrap();
        assert_eq!(published.lines().next().unwrap(), "sex,age,ward");
        let groups = people_by_group(&published, 2, &whose);
        let smallest = groups.values().map(BTreeSet::len).min().unwrap();
        println!("{more:?}: {} groups, the smallest of {smallest} people", groups.len());
        assert!(smallest >= 5);
        assert_eq!(answer["smallest_group"], smallest);
        assert_eq!(answer["people"], 300);
        assert_eq!(answer["records"], 1_500);
    }
    // As identifiers, they would be dropped and five visits of one person would pass for five
    // people.
    let identifiers = words(&["--identifiers", "patient"]);
    let refused = refusal(&identifiers.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(refused.contains("1500 records have 300 different") && refused.contains("--person"));
    // What is neither is noted.
    let noted = json(&words(&[]).iter().map(String::as_str).collect::<Vec<_>>());
    assert!(noted["notes"].to_string().contains("say --person patient"));
}

#[test]
fn without_people_told_apart_groups_of_one_person_pass() {
    let folder = Folder::new();
    let (csv, whose) = visits(true);
    let (file, out) = (folder.write("visits.csv", csv), folder.path("out.csv"));
    json(&[
        "anonymise",
        text(&file),
        "--quasi-identifiers",
        "sex,age",
        "--k",
        "5",
        "--suppression",
        "0.1",
        "--no-attacks",
        "--out",
        text(&out),
    ]);
    let groups = people_by_group(&std::fs::read_to_string(&out).unwrap(), 2, &whose);
    let alone = groups.values().filter(|people| people.len() < 5).count();
    println!("{alone} of {} groups of five records have fewer than five people", groups.len());
    assert!(alone > 0, "the table does not show what --person is for");
}

/// Records of people with ten columns of eight values each, the same in all three of a person.
fn threefold(people: u64, with_patient: bool) -> String {
    let mut draws = Draws(7);
    let columns: Vec<String> = (0..10).map(|c| format!("c{c}")).collect();
    let mut csv = format!("{}{}\n", if with_patient { "patient," } else { "" }, columns.join(","));
    for person in 0..people {
        let values: Vec<String> = (0..10).map(|_| format!("v{}", draws.below(8))).collect();
        for _ in 0..3 {
            let patient = if with_patient { format!("P{person},") } else { String::new() };
            writeln!(csv, "{patient}{}", values.join(",")).unwrap();
        }
    }
    csv
}

#[test]
fn the_control_group_are_other_people() {
    let folder = Folder::new();
    let file = folder.write("known.csv", threefold(400, true));
    let answer = json(&["risk", text(&file), "--person", "patient"]);
    let membership = attack(&answer, "membership");
    println!("by person: {membership}, score {}", answer["score"]);
    // The table is published as it is: whoever is in it is found, and nobody of the others.
    assert_eq!(membership["leak"], true);
    assert!(answer["score"].as_f64().unwrap() < 10.0);
    let attempts = membership["attempts"].as_u64().unwrap();
    assert!(attempts <= 200, "{attempts} attempts on 200 people");
    assert!((answer["sample_unique"].as_f64().unwrap() - 1.0).abs() < 1e-12);
    // Split by records, nearly everybody of the control group is in the table as well, and the
    // same attack finds nothing.
    let file = folder.write("unknown.csv", threefold(400, false));
    let blind = json(&["risk", text(&file)]);
    println!("by record: {}", attack(&blind, "membership"));
    assert!(
        attack(&blind, "membership")["risk"].as_f64().unwrap()
            < membership["risk"].as_f64().unwrap() / 2.0
    );
    assert!(blind["sample_unique"].as_f64().unwrap().abs() < 1e-12);
}

fn attack<'a>(answer: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    answer["attacks"].as_array().unwrap().iter().find(|a| a["attack"] == name).unwrap()
}

#[test]
fn people_on_both_sides_of_an_attack_are_refused() {
    let folder = Folder::new();
    let csv = threefold(60, true);
    let lines: Vec<&str> = csv.lines().collect();
    let side =
        |range: std::ops::Range<usize>| [&lines[..1], &lines[1..][range]].concat().join("\n");
    let real = folder.write("real.csv", side(0..90));
    let control = folder.write("control.csv", side(90..180));
    let overlapping = folder.write("overlapping.csv", side(87..180));
    let words = |control| {
        [
            "attack",
            "--real",
            text(&real),
            "--control",
            control,
            "--released",
            text(&real),
            "--person",
            "patient",
        ]
    };
    let refused = refusal(&words(text(&overlapping)));
    assert!(refused.contains("1 people are in"), "{refused}");
    let answer = json(&words(text(&control)));
    assert_eq!(attack(&answer, "membership")["leak"], true);
    // A record of nobody is refused by its number.
    let unknown = folder.write("unknown.csv", csv.replacen("P3,", ",", 1));
    let refused = refusal(&["risk", text(&unknown), "--person", "patient"]);
    assert!(refused.contains("column 'patient', record 10"), "{refused}");
    assert!(run(&["risk", text(&unknown), "--no-attacks"]).is_ok());
}
