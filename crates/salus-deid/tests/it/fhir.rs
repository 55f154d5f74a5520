//! De-identification of Synthea's patients: a scan for everything that named them finds nothing.

use std::collections::BTreeSet;
use std::io::Read as _;

use chrono::NaiveDate;
use salus_deid::fhir::{Deidentifier, Profile, Removed};
use salus_deid::transform::{DateShift, Pseudonyms};
use serde_json::Value;

fn bundles() -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/fhir_synthea_r4");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths
        .iter()
        .filter(|p| p.extension().is_some_and(|e| e == "gz"))
        .map(|path| {
            let mut text = String::new();
            let file = std::fs::File::open(path).unwrap();
            flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
            serde_json::from_str(&text).unwrap()
        })
        .collect()
}

/// Everything in a resource that names somebody: under these keys, or under none of the others.
fn names(value: &Value, key: &str, found: &mut BTreeSet<String>) {
    const NAMING: [&str; 11] = [
        "family",
        "given",
        "line",
        "city",
        "postalCode",
        "value",
        "id",
        "reference",
        "fullUrl",
        "valueString",
        "data",
    ];
    match value {
        Value::String(text) => {
            let text = text.trim();
            let dated = text.len() >= 10
                && NaiveDate::parse_from_str(text.get(..10).unwrap_or(""), "%Y-%m-%d").is_ok();
            if dated {
                found.insert(text[..10].to_owned());
            } else if NAMING.contains(&key)
                && text.len() >= 4
                // A contained resource may be called like an element: `#coverage`.
                && !(key == "id" && text.bytes().all(|b| b.is_ascii_alphabetic()))
            {
                found.insert(text.trim_start_matches("urn:uuid:").to_owned());
            }
        }
        Value::Array(list) => list.iter().for_each(|v| names(v, key, found)),
        Value::Object(map) => {
            for shown in ["display", "name"] {
                if let (Some(text), false) =
                    (map.get(shown).and_then(Value::as_str), map.contains_key("code"))
                {
                    found.insert(text.to_owned());
                }
            }
            let extension = map.get("url").and_then(Value::as_str).unwrap_or_default();
            // Race and ethnicity stay, by their words.
            if !extension.contains("us-core-race") && !extension.contains("us-core-ethnicity") {
                map.iter().for_each(|(k, v)| names(v, k, found));
            }
        }
        _ => {}
    }
}

fn by(profile: Profile) -> Deidentifier {
    let key = || (0..32).collect::<Vec<u8>>();
    let shift = DateShift::new(key(), std::num::NonZeroU32::new(365).unwrap()).unwrap();
    let today = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
    Deidentifier::new(profile, Pseudonyms::new(key(), "study").unwrap(), Some(shift), today)
        .unwrap()
}

/// What codes are called, which stays.
fn meanings(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(list) => list.iter().for_each(|v| meanings(v, found)),
        Value::Object(map) => {
            if let (Some(text), true) =
                (map.get("display").and_then(Value::as_str), map.contains_key("code"))
            {
                found.insert(text.to_owned());
            }
            map.values().for_each(|v| meanings(v, found));
        }
        _ => {}
    }
}

#[test]
fn no_name_number_place_or_day_of_a_synthetic_patient_is_left() {
    let (mut resources, mut searched) = (0, 0);
    let mut all = Removed::default();
    let bundles = bundles();
    assert!(bundles.len() >= 20);
    for bundle in &bundles {
        let mut naming = BTreeSet::new();
        names(bundle, "", &mut naming);
        let mut coded = BTreeSet::new();
        meanings(bundle, &mut coded);
        naming.retain(|name| !coded.contains(name));
        let (clean, removed) = by(Profile::SafeHarbor).resource(bundle).unwrap();
        let text = clean.to_string();
        for name in &naming {
            assert!(!text.contains(&format!("{name}\"")), "left: {name}");
            assert!(!text.contains(&format!("\"{name}")), "left: {name}");
        }
        assert_eq!(
            bundle["entry"].as_array().unwrap().len(),
            clean["entry"].as_array().unwrap().len()
        );
        searched += naming.len();
        resources += clean["entry"].as_array().unwrap().len();
        all.add(&removed);
    }
    println!("{} bundles, {resources} resources, {searched} names searched", bundles.len());
    println!("removed {:?}", all.by_kind);
    assert!(searched > 5_000);
}

#[test]
fn what_research_needs_is_left_and_references_meet() {
    let bundle = &bundles()[0];
    let (clean, _) = by(Profile::SafeHarbor).resource(bundle).unwrap();
    let entries = clean["entry"].as_array().unwrap();
    let ids: BTreeSet<&str> = entries.iter().filter_map(|e| e["resource"]["id"].as_str()).collect();
    assert_eq!(ids.len(), entries.len());
    let mut met = 0;
    for entry in entries {
        for key in ["subject", "patient", "encounter"] {
            if let Some(reference) = entry["resource"][key]["reference"].as_str() {
                let id = reference.rsplit([':', '/']).next().unwrap();
                assert!(ids.contains(id), "{reference} meets nothing");
                met += 1;
            }
        }
    }
    assert!(met > 20, "{met}");
    let count = |value: &Value| {
        value.to_string().matches("\"http://snomed.info/sct\"").count()
            + value.to_string().matches("\"http://loinc.org\"").count()
    };
    println!("{met} references meet, {} codes of {} are left", count(&clean), count(bundle));
    assert_eq!(count(&clean), count(bundle), "codes are what the data are for");
}
