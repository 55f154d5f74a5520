//! False all-clears: attacks that would find nothing because they were set up wrongly.

use std::fmt::Write as _;

use crate::person::Draws;
use crate::{Folder, json, refusal, run, text};

/// The same people with an income, which hardly two of them share.
fn earning(from: u64, number: u64) -> String {
    let mut csv = String::new();
    for (i, line) in people(from, number).lines().enumerate() {
        let income = match i {
            0 => "income".to_owned(),
            _ => Draws::of(from + i as u64).below(1_000_000).to_string(),
        };
        writeln!(csv, "{line},{income}").unwrap();
    }
    csv
}

/// People with an age, a height, a postcode of 400 and one of six diagnoses.
fn people(from: u64, number: u64) -> String {
    let mut csv = "age,height,postcode,diagnosis\n".to_owned();
    for person in from..from + number {
        let mut draws = Draws::of(person);
        writeln!(
            csv,
            "{},{},{:05},{}",
            18 + draws.below(72),
            150 + draws.below(50),
            10_000 + draws.below(400),
            ["E11.9", "I10", "I21.0", "J18.9", "C34.1", "K35.8"][draws.below(6) as usize]
        )
        .unwrap();
    }
    csv
}

/// The lines of several tables under one header.
fn together(tables: &[&str]) -> String {
    let mut csv = tables[0].lines().next().unwrap().to_owned();
    for line in tables.iter().flat_map(|table| table.lines().skip(1)) {
        csv.push('\n');
        csv.push_str(line);
    }
    csv
}

fn attack<'a>(answer: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    answer["attacks"].as_array().unwrap().iter().find(|a| a["attack"] == name).unwrap()
}

const KINDS: [&str; 6] = [
    "--hierarchy",
    "age=interval:5",
    "--hierarchy",
    "height=interval:5",
    "--hierarchy",
    "postcode=postcode",
];

/// The release of 1,000 people at k = 3, with or without what is suppressed.
fn released(folder: &Folder, csv: &str, name: &str) -> std::path::PathBuf {
    let (file, out) = (folder.write("in.csv", csv), folder.path(name));
    let words = [
        "anonymise",
        text(&file),
        "--quasi-identifiers",
        "age,height,postcode",
        "--k",
        "3",
        "--suppression",
        "0.1",
        "--no-attacks",
        "--out",
        text(&out),
    ];
    json(&[&words[..], &KINDS].concat());
    out
}

#[test]
fn membership_is_found_in_generalised_tables() {
    let folder = Folder::new();
    let (real, control, other) = (people(0, 1_000), people(5_000, 1_000), people(9_000, 1_000));
    let (members, others) = (folder.write("real.csv", &real), folder.write("control.csv", control));
    let answer_of = |release: &std::path::Path| {
        let words = [
            "attack",
            "--real",
            text(&members),
            "--control",
            text(&others),
            "--released",
            text(release),
            "--attempts",
            "1000",
        ];
        json(&[&words[..], &KINDS].concat())
    };
    let answer = answer_of(&released(&folder, &real, "own.csv"));
    let found = attack(&answer, "membership");
    println!("generalised: {found}");
    assert!(found["leak"] == true && found["successes"].as_u64() > Some(0), "{found}");
    assert!(answer.get("unmatched").is_none(), "{answer}");
    // A release of other people at the same levels tells nothing of these.
    let answer = answer_of(&released(&folder, &other, "other.csv"));
    let found = attack(&answer, "membership");
    println!("independent: {found}");
    assert_eq!(found["leak"], false);
}

#[test]
fn labels_that_stand_for_nobody_are_named() {
    let folder = Folder::new();
    let (real, control) = (people(0, 300), people(5_000, 300));
    let release = released(&folder, &real, "own.csv");
    let (members, others) = (folder.write("real.csv", &real), folder.write("control.csv", control));
    // As it was generalised, but nobody says so.
    let words = [
        "attack",
        "--real",
        text(&members),
        "--control",
        text(&others),
        "--released",
        text(&release),
    ];
    let blind = json(&words);
    let columns: Vec<&str> = blind["unmatched"]
        .as_array()
        .unwrap()
        .iter()
        .map(|lost| lost["column"].as_str().unwrap())
        .collect();
    println!("{}: {}", blind["score"], blind["notes"]);
    assert!(!columns.is_empty() && !columns.contains(&"diagnosis"), "{columns:?}");
    let notes = blind["notes"].to_string();
    assert!(notes.contains("WARNING") && notes.contains("--hierarchies"), "{notes}");
    let seeing = json(&[&words[..], &KINDS].concat());
    assert!(seeing.get("unmatched").is_none());
    // Columns on one side only are named too.
    let renamed = std::fs::read_to_string(&release).unwrap().replacen("postcode", "plz", 1);
    let renamed = folder.write("renamed.csv", renamed);
    let words = [
        "attack",
        "--real",
        text(&members),
        "--control",
        text(&others),
        "--released",
        text(&renamed),
    ];
    let notes = json(&words)["notes"].to_string();
    assert!(notes.contains("lacks, which no attack uses: plz"), "{notes}");
    assert!(notes.contains("lacks, which no attack uses: postcode"), "{notes}");
}

#[test]
fn control_people_who_are_in_the_release_are_refused() {
    let folder = Folder::new();
    let (real, control) = (earning(0, 600), earning(5_000, 600));
    let tenth = earning(0, 60);
    let members = folder.write("real.csv", &real);
    let others = folder.write("control.csv", &control);
    let apart = folder.write("apart.csv", earning(9_000, 600));
    let words = |control, released| {
        ["attack", "--real", text(&members), "--control", control, "--released", released]
    };
    // All of the control group and a tenth of the members: the leak would look like chance.
    let leaky = folder.write("leaky.csv", together(&[&control, &tenth]));
    let refused = refusal(&words(text(&others), text(&leaky)));
    println!("{refused}");
    assert!(refused.contains("--control") && refused.contains("control people"), "{refused}");
    // As many of both.
    let half = folder.write("half.csv", together(&[&tenth, &earning(5_000, 60)]));
    let refused = refusal(&words(text(&others), text(&half)));
    assert!(refused.contains("has are in the release as they are"), "{refused}");
    // With people who are in none of them, the leak is found.
    let answer = json(&words(text(&apart), text(&leaky)));
    assert_eq!(attack(&answer, "population-linkage")["leak"], true);
    assert!(answer["score"].as_f64().unwrap() < 50.0);
    assert!(answer["published_verbatim"].as_u64().unwrap() > 0);
}

#[test]
fn what_coarsens_by_its_kind_is_said_by_column() {
    let folder = Folder::new();
    let file = folder.write("people.csv", people(0, 800));
    let out = folder.path("out.csv");
    let base = ["anonymise", text(&file), "--quasi-identifiers", "age,diagnosis", "--k", "5"];
    let tail = ["--no-attacks", "--out", text(&out)];
    let stated = ["--hierarchy", "age=interval:10", "--hierarchy", "diagnosis=icd10"];
    json(&[&base[..], &stated, &tail].concat());
    let published = std::fs::read_to_string(&out).unwrap();
    let labels = |column: usize| -> std::collections::BTreeSet<String> {
        let mut reader = csv::Reader::from_reader(published.as_bytes());
        reader.records().map(|r| r.unwrap()[column].to_owned()).collect()
    };
    println!("{:?} {:?}", labels(0), labels(3));
    assert!(labels(0).iter().all(|l| l == "*" || l.starts_with('[')));
    let icd = |l: &String| l == "*" || l.starts_with("chapter") || l.len() <= 5;
    assert!(labels(3).iter().all(icd));
    for (wrong, says) in [("age=interval:0", "interval:5"), ("age=weeks", "column=icd10")] {
        let words = [&base[..], &["--hierarchy", wrong], &tail].concat();
        assert!(crate::unparsed(&words).contains(says), "{wrong}");
    }
    let refused = refusal(&[&base[..], &["--hierarchy", "diagnosis=interval:5"], &tail].concat());
    assert!(refused.contains("number"), "{refused}");
    let refused = refusal(&[&base[..], &["--hierarchy", "sex=icd10"], &tail].concat());
    assert!(refused.contains("no column 'sex'"), "{refused}");
    assert!(run(&[&base[..], &tail].concat()).is_ok());
}

#[test]
fn presence_that_cannot_hold_is_not_a_matter_of_the_limit() {
    let folder = Folder::new();
    let (sample, population) = (people(0, 60), people(0, 3_000));
    let file = folder.write("sample.csv", sample);
    let population = folder.write("population.csv", population);
    let out = folder.path("out.csv");
    let refused = refusal(&[
        "anonymise",
        text(&file),
        "--population",
        text(&population),
        "--presence",
        "0.5:0.9",
        "--quasi-identifiers",
        "diagnosis",
        "--suppression",
        "0.5",
        "--no-attacks",
        "--out",
        text(&out),
    ]);
    assert!(refused.contains("δ-presence") && !refused.contains("raise the limit"), "{refused}");
    assert!(refused.contains("lower the least chance"), "{refused}");
}

#[test]
fn one_text_is_one_text() {
    let folder = Folder::new();
    let letter = folder.write("letter.txt", "Dr Hodgkin diagnosed it.");
    let out = folder.path("clean.txt");
    let answer = run(&["deidentify", "text", text(&letter), "--out", text(&out)]).unwrap();
    assert!(answer.text().starts_with("De-identified 1 text of 1 file into"), "{}", answer.text());
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "Dr [name] diagnosed it.");
}

#[test]
fn missing_values_pass_through_what_is_done_to_numbers() {
    let folder = Folder::new();
    let mut csv = "sex;hr;weight;good\n".to_owned();
    let mut draws = Draws::of(3);
    for i in 0..90 {
        let hr = match i % 9 {
            4 => "NA".to_owned(),
            _ => format!("{},5", 50 + draws.below(70)),
        };
        let weight = if i % 10 == 7 { String::new() } else { (50 + draws.below(60)).to_string() };
        let (sex, good) = (["f", "m"][i % 2], ["yes", "no"][i % 3 % 2]);
        writeln!(csv, "{sex};{hr};{weight};{good}").unwrap();
    }
    let file = folder.write("gaps.csv", csv);
    let out = folder.path("out.csv");
    let column = |name: usize| -> Vec<String> {
        let bytes = std::fs::read(&out).unwrap();
        let mut reader = csv::ReaderBuilder::new().delimiter(b';').from_reader(&bytes[..]);
        reader.records().map(|r| r.unwrap()[name].to_owned()).collect()
    };
    let transform = |words: &[&str]| {
        json(&[&["transform", text(&file)], words, &["--out", text(&out)]].concat());
        assert_eq!(column(1).iter().filter(|v| *v == "NA").count(), 10);
        assert_eq!(column(2).iter().filter(|v| v.is_empty()).count(), 9);
    };
    transform(&["--round", "hr=5", "--top-bottom", "weight=60:100"]);
    assert!(column(1).iter().filter(|v| *v != "NA").all(|v| v.parse::<u32>().unwrap() % 5 == 0));
    let coded = column(2).iter().filter(|v| v.starts_with(['<', '>'])).count();
    assert!(coded > 0);
    // A comma is a decimal mark here too: what it hides is coded all the same.
    transform(&["--top-bottom", "hr=60:100"]);
    let left: Vec<f64> =
        column(1).iter().filter_map(|v| v.replace(',', ".").parse().ok()).collect();
    assert!(left.iter().all(|x| (60.0..=100.0).contains(x)), "{left:?}");
    // Every average is over at least five numbers.
    transform(&["--microaggregate", "hr, weight", "--group-size", "5"]);
    for name in [1, 2] {
        let mut often: std::collections::BTreeMap<String, u32> = std::collections::BTreeMap::new();
        for value in column(name).into_iter().filter(|v| v != "NA" && !v.is_empty()) {
            *often.entry(value).or_default() += 1;
        }
        assert!(often.values().all(|n| *n >= 5), "{often:?}");
    }
    let answer = json(&[
        "unbias",
        text(&file),
        "--sensitive",
        "sex",
        "--favourable",
        "good=yes",
        "--method",
        "repair",
        "--features",
        "hr",
        "--out",
        text(&out),
    ]);
    assert!(
        answer["repaired"][0]["gap_after"].as_f64() < answer["repaired"][0]["gap_before"].as_f64()
    );
    assert!(answer["notes"].to_string().contains("missing values stay"));
    assert_eq!(column(1).iter().filter(|v| *v == "NA").count(), 10);
    let words = ["transform", text(&file), "--round", "sex=5", "--out", text(&out)];
    assert!(refusal(&words).contains("column 'sex', record 1: the value is no number"));
}
