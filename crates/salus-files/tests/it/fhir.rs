//! Synthetic records as FHIR resources.

use std::fmt::Write as _;

use salus_fhir::view::Value;
use serde_json::Value as Json;

use crate::{Folder, json, refusal, text};

/// People of a small town, as the view `patients` would show them.
fn people(folder: &Folder) -> std::path::PathBuf {
    let mut csv = "gender,birth_date,city,deceased\n".to_owned();
    for n in 0..1200 {
        let gender = ["female", "male", "other"][n % 3];
        let (year, city) = (1940 + n % 60, ["Delft", "Leiden"][n % 2]);
        writeln!(csv, "{gender},{year}-0{}-1{},{city},{}", 1 + n % 9, n % 10, n % 7 == 0).unwrap();
    }
    folder.write("people.csv", csv)
}

#[test]
fn synthetic_records_become_resources_from_which_the_view_reads_the_same_table() {
    let folder = Folder::new();
    let (table, out) = (people(&folder), folder.path("people.ndjson"));
    let words = [
        "synthesise",
        text(&table),
        "--method",
        "mst",
        "--epsilon",
        "3",
        "--rows",
        "300",
        "--domains-are-public",
        "--seed",
        "7",
        "--fhir",
        "Patient",
        "--out",
        text(&out),
    ];
    let answer = json(&words);
    assert_eq!(answer["records"], 300);
    let written = std::fs::read_to_string(&out).unwrap();
    let view = &salus_fhir::shipped::view("patients").unwrap().view;
    let place = |name: &str| view.columns().iter().position(|c| c.name == *name).unwrap();
    let mut cities = std::collections::BTreeMap::new();
    for line in written.lines() {
        let resource: Json = serde_json::from_str(line).unwrap();
        assert_eq!(salus_fhir::validate(&resource), [], "{resource}");
        let rows = view.rows(&resource).unwrap();
        assert_eq!(rows.len(), 1);
        let read = |name: &str| rows[0][place(name)].clone();
        // What the resource says outright is what the view reads.
        match (read("gender"), resource["gender"].as_str()) {
            (Value::String(read), Some(said)) => assert_eq!(*read, *said),
            (Value::Null, None) => {}
            other => panic!("{other:?}"),
        }
        if let Value::Date(day) = read("birth_date") {
            assert_eq!(Some(day.to_string().as_str()), resource["birthDate"].as_str());
        }
        if let Value::String(city) = read("city") {
            *cities.entry(city.to_string()).or_insert(0) += 1;
        }
        assert!(matches!(read("deceased"), Value::Boolean(_) | Value::Null));
        assert_eq!(read("family_name"), Value::Null);
    }
    assert_eq!(written.lines().count(), 300);
    println!("{cities:?}");
    assert!(cities.len() == 2 && cities.values().all(|n| *n > 60), "{cities:?}");
}

#[test]
fn a_column_without_a_place_is_refused_before_anything_is_spent() {
    let folder = Folder::new();
    let table = folder.write("t.csv", "gender,shoe_size\nfemale,38\nmale,43\n");
    let out = folder.path("out.ndjson");
    let words = [
        "synthesise",
        text(&table),
        "--epsilon",
        "1",
        "--domains-are-public",
        "--fhir",
        "Patient",
        "--out",
        text(&out),
    ];
    let said = refusal(&words);
    assert!(said.contains("'shoe_size'") && said.contains("birth_date"), "{said}");
    assert!(!out.exists());
    // A value that no resource of that type can have: the row and the element, and nothing written.
    let mut bad = "gender,city\n".to_owned();
    (0..400).for_each(|n| bad.push_str(if n % 2 == 0 { "dragon,Delft\n" } else { "elf,Leiden\n" }));
    let table = folder.write("bad.csv", bad);
    let words = [
        "synthesise",
        text(&table),
        "--epsilon",
        "3",
        "--rows",
        "50",
        "--domains-are-public",
        "--fhir",
        "Patient",
        "--out",
        text(&out),
    ];
    let said = refusal(&words);
    println!("{said}");
    assert!(said.starts_with("row ") && said.contains("Patient.gender"), "{said}");
    assert!(!out.exists());
}
