//! Files as people have them: every delimiter, encoding, gap and mistake.

use std::fmt::Write as _;

use chrono::NaiveDate;

use crate::{Folder, json, refusal, text};

/// A small table of patients with that delimiter and line end.
fn patients(delimiter: char, end: &str) -> String {
    let mut lines = vec![["age", "sex", "city", "weight"].join(&delimiter.to_string())];
    for i in 0..60 {
        let sex = if i % 2 == 0 { "f" } else { "m" };
        let city = ["Basel", "Bern", "Genève"][i % 3];
        let weight = format!("{}", 50 + i % 20);
        lines.push(
            [(20 + i % 30).to_string().as_str(), sex, city, &weight].join(&delimiter.to_string()),
        );
    }
    lines.join(end) + end
}

fn risk(path: &std::path::Path) -> serde_json::Value {
    json(&["risk", text(path), "--no-attacks"])
}

#[test]
fn delimiters_marks_and_line_ends_are_found_out() {
    let folder = Folder::new();
    for (name, bytes) in [
        ("comma", patients(',', "\n").into_bytes()),
        ("semicolon", patients(';', "\r\n").into_bytes()),
        ("tab", patients('\t', "\n").into_bytes()),
        ("pipe", patients('|', "\r\n").into_bytes()),
        ("mark", format!("\u{feff}{}", patients(';', "\n")).into_bytes()),
        ("excel", format!("sep=;\r\n{}", patients(';', "\r\n")).into_bytes()),
        ("no last line end", patients(',', "\n").trim_end().as_bytes().to_vec()),
        (
            "utf-16",
            [0xFF, 0xFE]
                .into_iter()
                .chain(patients(';', "\n").encode_utf16().flat_map(u16::to_le_bytes))
                .collect(),
        ),
    ] {
        let answer = risk(&folder.write(name, bytes));
        assert_eq!(answer["records"], 60, "{name}");
        assert_eq!(
            answer["quasi_identifiers"],
            serde_json::json!(["age", "sex", "city", "weight"]),
            "{name}"
        );
    }
}

#[test]
fn quotes_hold_delimiters_and_line_breaks_and_come_out_again() {
    let folder = Folder::new();
    let mut csv = "name,note\n".to_owned();
    for i in 0..12 {
        writeln!(csv, "\"Doe, J. {}\",\"said \"\"no\"\"\nand left\"", i % 3).unwrap();
    }
    let table = folder.write("t.csv", csv);
    let out = folder.path("out.csv");
    let words = ["anonymise", text(&table), "--k", "2", "--out", text(&out)];
    let answer = json(&words);
    assert_eq!((&answer["records"], &answer["loss"]), (&12.into(), &0.0.into()));
    assert_eq!(risk(&out)["records"], 12);
    assert!(std::fs::read_to_string(out).unwrap().contains("\"said \"\"no\"\"\nand left\""));
}

#[test]
fn another_encoding_is_named_and_then_read() {
    let folder = Folder::new();
    let bytes: Vec<u8> =
        patients(';', "\n").chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let table = folder.write("t.csv", bytes);
    let said = refusal(&["risk", text(&table)]);
    println!("{said}");
    assert!(said.contains("line 4: byte 9 ") && said.contains("--encoding windows-1252"));
    let words = ["risk", text(&table), "--encoding", "windows-1252", "--no-attacks"];
    assert_eq!(json(&words)["records"], 60);
}

#[test]
fn mistakes_are_named_with_place_and_remedy() {
    let folder = Folder::new();
    let good = folder.write("good.csv", patients(',', "\n"));
    let empty = folder.write("empty.csv", "");
    let header = folder.write("header.csv", "a,b,c\n");
    let ragged = folder.write("ragged.csv", "a,b\n1,2\n3\n4,5\n");
    let twice = folder.write("twice.csv", "a,a\n1,2\n");
    let out = folder.path("out.csv");
    for (words, parts) in [
        (vec!["risk", "absent.csv"], vec!["absent.csv", "cannot be read"]),
        (vec!["risk", text(&empty)], vec!["empty.csv", "is empty"]),
        (vec!["risk", text(&header)], vec!["header.csv", "no record"]),
        (vec!["risk", text(&ragged)], vec!["ragged.csv", "line 3 has 1 fields"]),
        (vec!["risk", text(&twice)], vec!["twice.csv", "'a'"]),
        (
            vec!["risk", text(&good), "--quasi-identifiers", "age,Sex"],
            vec!["--quasi-identifiers", "'Sex'", "did you mean 'sex'?", "age, sex, city"],
        ),
        (
            vec!["risk", text(&good), "--delimiter", ";", "--quasi-identifiers", "age"],
            vec!["check --delimiter"],
        ),
        (
            vec!["anonymise", text(&good), "--out", text(&out)],
            vec!["--k", "--l", "say what must hold"],
        ),
        (
            vec!["anonymise", text(&good), "--k", "5", "--l", "2", "--out", text(&out)],
            vec!["--sensitive"],
        ),
        (
            vec!["anonymise", text(&good), "--k", "61", "--out", text(&out)],
            vec!["--k 61 is more than the"],
        ),
        (
            vec!["anonymise", text(&good), "--k", "2", "--out", text(&good)],
            vec!["--out", "is a file that is read"],
        ),
        (
            vec!["anonymise", text(&good), "--k", "2", "--suppression", "5", "--out", text(&out)],
            vec!["between 0 and 1"],
        ),
        (
            vec![
                "anonymise",
                text(&good),
                "--k",
                "2",
                "--quasi-identifiers",
                "age,sex",
                "--sensitive",
                "sex",
                "--out",
                text(&out),
            ],
            vec!["'sex'", "leave it out of one"],
        ),
        (
            vec!["unbias", text(&good), "--sensitive", "sex", "--favourable", "city=Rom"],
            vec!["--favourable", "it has Basel, Bern"],
        ),
        (
            vec!["synthesise", text(&good), "--epsilon", "1e-9", "--out", text(&out)],
            vec!["--epsilon", "allow a larger one"],
        ),
    ] {
        let said = refusal(&words);
        println!("{said}");
        for part in parts {
            assert!(said.contains(part), "{words:?} said: {said}");
        }
    }
    assert!(!out.exists(), "nothing is written when something is refused");
}

#[test]
fn one_record_is_all_risk_and_no_attack() {
    let folder = Folder::new();
    let table = folder.write("t.csv", "age,sex\n31,f\n");
    let answer = json(&["risk", text(&table)]);
    assert_eq!((&answer["records"], &answer["highest_risk"]), (&1.into(), &1.0.into()));
    assert!(answer["score"].is_null());
    assert!(answer["attacks"][0]["not_run"].as_str().unwrap().contains("20 records"));
}

#[test]
fn gaps_decimal_commas_and_columns_without_hierarchies_are_anonymised() {
    let folder = Folder::new();
    let mut csv = "age;pressure;visit;city\n".to_owned();
    for i in 0..200u32 {
        let age = if i % 17 == 0 { String::new() } else { (20 + i * 7 % 60).to_string() };
        let pressure =
            if i % 23 == 0 { "NA".to_owned() } else { format!("{},{}", 70 + i % 40, i % 10) };
        let city = if i % 31 == 0 { "?" } else { ["Ulm", "Trier", "Jena"][i as usize % 3] };
        writeln!(csv, "{age};{pressure};2024-{:02}-{:02};{city}", i % 12 + 1, i % 28 + 1).unwrap();
    }
    let table = folder.write("t.csv", csv);
    folder.write("h_hierarchy_city.csv", "Ulm,south,*\nTrier,west,*\n");
    let out = folder.path("out.csv");
    let hierarchies = folder.path("");
    let answer = json(&[
        "anonymise",
        text(&table),
        "--hierarchies",
        text(&hierarchies),
        "--k",
        "5",
        "--suppression",
        "0.1",
        "--out",
        text(&out),
    ]);
    println!("{answer}");
    let notes = answer["notes"].to_string();
    assert!(notes.contains("no hierarchy file for age, pressure, visit"));
    assert!(notes.contains("column 'city': 2 values, the first in record 1,"), "{notes}");
    assert!(answer["smallest_group"].as_u64().unwrap() >= 5);
    assert!(answer["loss"].as_f64().unwrap() < 0.999);
}

#[test]
fn a_file_without_names_gets_some() {
    let folder = Folder::new();
    let mut csv = String::new();
    for i in 0..60 {
        writeln!(csv, "{}, {}, {}, ?", 30 + i % 20, ["m", "f"][i % 2], f64::from(i as u32) / 2.0)
            .unwrap();
    }
    let answer = risk(&folder.write("heart.data", csv));
    assert_eq!(answer["records"], 60);
    assert_eq!(answer["quasi_identifiers"][3], "column-4");
    assert!(answer["notes"][0].as_str().unwrap().contains("--header"));
    // A year as a column's name is no record.
    let years = folder.write("years.csv", "id,2019,2020\na,1,2\nb,3,4\n");
    assert_eq!(risk(&years)["records"], 2);
}

#[test]
fn synthetic_tables_keep_dates_gaps_and_decimal_marks() {
    let folder = Folder::new();
    let mut csv = "born;weight;sex;note\n".to_owned();
    for i in 0..4_000u32 {
        let weight = if i % 3 == 0 { String::new() } else { format!("{},5", 50 + i % 40) };
        let sex = ["f", "m"][i as usize % 2];
        writeln!(csv, "19{:02}-0{}-1{};{weight};{sex};note {i}", 30 + i % 60, 1 + i % 9, i % 9)
            .unwrap();
    }
    let table = folder.write("t.csv", csv);
    let out = folder.path("out.csv");
    let answer =
        json(&["synthesise", text(&table), "--epsilon", "3", "--rows", "500", "--out", text(&out)]);
    assert_eq!(answer["left_out"], serde_json::json!(["note"]));
    let written = std::fs::read_to_string(&out).unwrap();
    let mut lines = written.lines();
    assert_eq!(lines.next(), Some("born;weight;sex"));
    let (mut gaps, mut rows) = (0, 0);
    for line in lines {
        let fields: Vec<&str> = line.split(';').collect();
        // Dates from 1930 to 1989 lie between 2^14 days before 1970 and 2^13 after it, and so do
        // those of the model, unless one of the empty sizes stands out: alpha = 3e-4.
        let date = NaiveDate::parse_from_str(fields[0], "%Y-%m-%d").unwrap();
        assert!((-16_384..=8_192).contains(&date.to_epoch_days()), "{line}");
        gaps += u32::from(fields[1].is_empty());
        assert!(fields[1].is_empty() || !fields[1].contains('.'), "{line}");
        assert!(matches!(fields[2], "f" | "m"), "{line}");
        rows += 1;
    }
    assert_eq!(rows, 500);
    assert!((100..240).contains(&gaps), "{gaps} of 500 where a third is missing");
}

#[test]
fn columns_are_coded_shifted_and_replaced_as_asked() {
    let folder = Folder::new();
    let mut csv = "id,age,weight,city,visit,diagnoses\n".to_owned();
    for i in 0..60u32 {
        let list = ["A00|B20", "A00|B21", "A01|B20"][i as usize % 3];
        writeln!(
            csv,
            "p{},{},{}.{},{},2024-01-{:02},{list}",
            i / 2,
            10 + i * 3 / 2,
            60 + i % 20,
            i % 10,
            ["Ulm", "Bern", "Rom"][usize::from(i % 7 == 0) + usize::from(i % 30 == 0)],
            1 + i % 28
        )
        .unwrap();
    }
    let table = folder.write("t.csv", csv);
    folder.write("diagnoses.csv", "A00,A,*\nA01,A,*\nB20,B,*\nB21,B,*\n");
    let (out, key, hierarchies) =
        (folder.path("o.csv"), folder.write("key", [7; 32]), folder.path(""));
    let words = [
        "transform",
        text(&table),
        "--top-bottom",
        "age=18:89",
        "--round",
        "weight=5",
        "--rare",
        "city=5",
        "--shift-dates",
        "visit",
        "--patient",
        "id",
        "--pseudonyms",
        "id",
        "--key-file",
        text(&key),
        "--lists",
        "diagnoses",
        "--alike",
        "25",
        "--hierarchies",
        text(&hierarchies),
        "--out",
        text(&out),
    ];
    let answer = json(&words);
    println!("{answer}");
    let written = std::fs::read_to_string(&out).unwrap();
    let rows: Vec<Vec<&str>> = written.lines().skip(1).map(|l| l.split(',').collect()).collect();
    assert_eq!((rows[0][1], rows[59][1], rows[20][1]), ("<18", ">89", "40"));
    assert!(rows.iter().all(|r| r[2].parse::<u32>().unwrap() % 5 == 0));
    assert_eq!(rows[0][3], "*", "one of sixty lives in Rome");
    let day = |row: &[&str]| row[4].parse::<chrono::NaiveDate>().unwrap();
    for pair in rows.chunks(2) {
        // Two visits of one patient stay a day apart, or as far as they were.
        assert_eq!(pair[0][0], pair[1][0]);
        let apart = (day(&pair[1]) - day(&pair[0])).num_days();
        assert!(apart == 1 || apart == -27, "{apart}");
        assert_eq!(pair[0][0].len(), 32, "a pseudonym has 128 bits");
    }
    assert!(rows.iter().any(|r| !r[4].starts_with("2024-01")));
    // Of A01 with B20 there are twenty only: something of it is coarser now.
    assert!(answer["list_loss"].as_f64().unwrap() > 0.0);
    let again = folder.path("again.csv");
    let mut words = words.to_vec();
    if let Some(out) = words.last_mut() {
        *out = text(&again);
    }
    json(&words);
    assert_eq!(std::fs::read(&out).unwrap(), std::fs::read(&again).unwrap(), "one key, one result");
    let said = refusal(&["transform", text(&table), "--out", text(&again)]);
    assert!(said.contains("say what to change"), "{said}");
    let said = refusal(&["transform", text(&table), "--round", "city=5", "--out", text(&again)]);
    assert!(said.contains("'city'") && said.contains("number"), "{said}");
}

#[test]
fn averages_of_nearest_records_and_samples_keep_the_mean_and_the_count() {
    let folder = Folder::new();
    let mut csv = "x,y\n".to_owned();
    for i in 0..97u32 {
        writeln!(csv, "{},{}", i * i % 31, i % 13).unwrap();
    }
    let (table, out) = (folder.write("t.csv", csv.clone()), folder.path("o.csv"));
    json(&[
        "transform",
        text(&table),
        "--microaggregate",
        "x,y",
        "--group-size",
        "5",
        "--out",
        text(&out),
    ]);
    let sum = |text: &str| -> f64 {
        text.lines().skip(1).map(|l| l.split(',').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    let written = std::fs::read_to_string(&out).unwrap();
    assert!((sum(&written) - sum(&csv)).abs() < 1e-6);
    let mut groups: std::collections::BTreeMap<&str, u32> = Default::default();
    for line in written.lines().skip(1) {
        *groups.entry(line).or_insert(0) += 1;
    }
    assert!(groups.values().all(|n| *n >= 5), "{groups:?}");
    let few = json(&["transform", text(&table), "--sample", "40", "--out", text(&out)]);
    assert_eq!(few["records"], 40);
}

#[test]
fn a_scheme_is_used_again_on_new_records_and_small_groups_are_suppressed() {
    let folder = Folder::new();
    let rows = |from: u32, n: u32| -> String {
        (from..from + n).fold("age,sex,note\n".to_owned(), |mut csv, i| {
            writeln!(csv, "{},{},n{i}", 20 + i % 40, ["f", "m"][i as usize % 2]).unwrap();
            csv
        })
    };
    let table = folder.write("t.csv", rows(0, 400));
    let ages: String = (0..100).map(|a| format!("{a},{}0s,*\n", a / 10)).collect();
    folder.write("age.csv", ages);
    let (out, scheme, hierarchies) =
        (folder.path("o.csv"), folder.path("scheme.json"), folder.path(""));
    let answer = json(&[
        "anonymise",
        text(&table),
        "--hierarchies",
        text(&hierarchies),
        "--quasi-identifiers",
        "age,sex",
        "--k",
        "15",
        "--suppression",
        "0.1",
        "--no-attacks",
        "--save-scheme",
        text(&scheme),
        "--out",
        text(&out),
    ]);
    assert_eq!(answer["levels"]["age"], 1);
    // New records: many like before, three of an age that was not there, one of no age at all.
    let mut more = rows(400, 3_000);
    more.push_str("91,f,x\n92,f,y\n93,m,z\nunknown,m,u\n");
    let new = folder.write("new.csv", more);
    let report = json(&["recode", text(&new), "--scheme", text(&scheme), "--out", text(&out)]);
    assert_eq!(
        (&report["records"], &report["suppressed"], &report["k"]),
        (&3_004.into(), &4.into(), &15.into())
    );
    let written = std::fs::read_to_string(&out).unwrap();
    assert_eq!(written.lines().count(), 3_005);
    assert!(written.contains("20s,f,n400\n") && written.ends_with("*,*,u\n"));
    let said = refusal(&["recode", text(&new), "--scheme", text(&new), "--out", text(&out)]);
    assert!(said.contains("no scheme"), "{said}");
}
