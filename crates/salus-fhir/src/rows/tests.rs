#![allow(clippy::unwrap_used, clippy::print_stdout)]

use super::*;

fn written(resource: &str, columns: &[&str], rows: &[&[&str]]) -> Vec<Result<Json, RowsError>> {
    let writer = RowWriter::new(resource, columns).unwrap();
    let fields = |row: &[&str]| row.iter().map(|v| Some((*v).to_owned())).collect::<Vec<_>>();
    rows.iter()
        .enumerate()
        .map(|(at, row)| {
            let row = fields(row);
            let row: Vec<Option<&str>> = row.iter().map(Option::as_deref).collect();
            writer.resource(at as u64 + 1, &row)
        })
        .collect()
}

#[test]
fn every_mapping_fits_its_view_and_r4() {
    assert_eq!(mapping::all().len(), 3);
    for mapping in mapping::all() {
        let view = &crate::shipped::view(mapping.view).unwrap().view;
        assert_eq!(view.resource(), mapping.resource);
        for (name, slot) in &mapping.columns {
            assert!(view.columns().iter().any(|c| c.name == *name), "{}: {name}", mapping.view);
            let mut draft = Draft::new(view.resource());
            for (path, constant) in &slot.with {
                draft.put(path, constant).map_err(|e| e.at(0, name)).unwrap();
            }
            // A path that leads nowhere fails as a mapping, one that ends in a number as a value.
            if let Err(error) = draft.put(&slot.path, "x").map_err(|e| e.at(0, name)) {
                assert!(matches!(error, RowsError::Value { .. }), "{name}: {error}");
            }
            if let Some(other) = &slot.unless {
                assert!(mapping.columns.contains_key(other), "{name} unless {other}");
            }
        }
    }
}

/// A value for each column of a view, as a table would have it.
fn sample(column: &str) -> &'static str {
    match column {
        "id" => "p-1",
        "gender" => "female",
        "birth_date" | "onset" | "abatement" | "recorded" | "effective" => "1954-03-01",
        "deceased" | "value_boolean" => "false",
        "deceased_at" => "2026-03-01",
        "active" => "true",
        "last_updated" | "issued" => "2026-03-01T10:00:00Z",
        "clinical_status" => "active",
        "verification_status" => "confirmed",
        "onset_age_years" | "value_number" | "value_low" | "reference_low" => "36.50",
        "value_high" | "reference_high" => "41",
        "status" => "final",
        "code_system" | "value_code_system" => "http://example.org/codes",
        "value_comparator" => "<",
        "value_time" => "2026-03-01T10:00:00+01:00",
        "phone" => "+49 30 1",
        _ => "abc",
    }
}

/// Columns that exclude each other: choices of type, and one element under two names.
fn apart(column: &str) -> &'static [&'static str] {
    match column {
        "deceased" => &["deceased_at"],
        "onset" => &["onset_age_years"],
        "value_number" | "value_comparator" | "value_unit" => &[
            "value_code_system",
            "value_code",
            "value_code_display",
            "value_text",
            "value_boolean",
            "value_time",
            "value_low",
            "value_high",
        ],
        _ => &[],
    }
}

#[test]
fn every_column_is_read_back_alone_and_beside_the_others() {
    for mapping in mapping::all() {
        let resource = mapping.resource.as_str();
        for name in mapping.columns.keys() {
            // What a resource of the type has to have.
            let mut columns = vec![name.as_str()];
            if resource == "Observation"
                && ![
                    "code",
                    "panel_code",
                    "code_system",
                    "code_display",
                    "code_text",
                    "loinc_code",
                    "snomed_code",
                ]
                .contains(&columns[0])
            {
                columns.push("code");
            }
            if name == "value_comparator" || name == "value_unit" {
                columns.push("value_number");
            }
            let row: Vec<&str> = columns.iter().map(|c| sample(c)).collect();
            let found = written(resource, &columns, &[&row]).remove(0);
            assert!(found.is_ok(), "{resource}: {columns:?}: {found:?}");
        }
        let mut columns: Vec<&str> = Vec::new();
        for name in mapping.columns.keys() {
            let clash = |a: &str, b: &str| apart(a).contains(&b);
            if !columns.iter().any(|c| clash(c, name) || clash(name, c)) {
                columns.push(name);
            }
        }
        columns.retain(|c| {
            !c.starts_with("value_")
                || ["value_code", "value_code_system", "value_code_display"].contains(c)
        });
        let row: Vec<&str> = columns.iter().map(|c| sample(c)).collect();
        let found = written(resource, &columns, &[&row]).remove(0);
        println!("{resource}: {} columns at once", columns.len());
        assert!(found.is_ok(), "{resource}: {columns:?}: {found:?}");
    }
}

#[test]
fn a_row_that_does_not_fit_names_row_and_element_and_no_value() {
    let error = |resource: &str, columns: &[&str], row: &[&str]| {
        let good: Vec<&str> = columns.iter().map(|c| sample(c)).collect();
        let found = written(resource, columns, &[&good, row]);
        assert!(found[0].is_ok(), "{:?}", found[0]);
        let said = found[1].as_ref().unwrap_err().to_string();
        println!("{said}");
        for value in row.iter().filter(|v| v.len() > 3) {
            assert!(!said.contains(value), "{said}");
        }
        said
    };
    let said = error("Patient", &["gender"], &["neither-of-them"]);
    assert!(said.starts_with("row 2") && said.contains("Patient.gender"), "{said}");
    let said = error("Patient", &["birth_date"], &["01.03.1954"]);
    assert!(said.contains("Patient.birthDate"), "{said}");
    let said = error("Condition", &["onset_age_years"], &["thirty"]);
    assert!(said.contains("column 'onset_age_years'") && said.contains("a number"), "{said}");
    let said = error("Patient", &["deceased_at"], &["2026-13-01"]);
    assert!(said.contains("Patient.deceased"), "{said}");
    // A person who is said to be alive and to have died cannot be told.
    let found = written("Patient", &["deceased", "deceased_at"], &[&["false", "2026-03-01"]]);
    assert!(matches!(found[0], Err(RowsError::ReadBack { row: 1, .. })), "{:?}", found[0]);
    // Two choices of one element.
    let found = written("Condition", &["onset", "onset_age_years"], &[&["1954", "36"]]);
    assert!(found[0].is_err(), "{:?}", found[0]);
    // An observation of nothing.
    let found = written("Observation", &["value_number"], &[&["36.5"]]);
    let said = found[0].as_ref().unwrap_err().to_string();
    assert!(said.contains("Observation.code"), "{said}");
}

#[test]
fn a_column_or_type_without_a_place_is_refused_before_any_row() {
    let error = RowWriter::new("Patient", &["shoe_size"]).unwrap_err().to_string();
    assert!(error.contains("'shoe_size'") && error.contains("birth_date"), "{error}");
    let error = RowWriter::new("Encounter", &["id"]).unwrap_err().to_string();
    assert!(error.contains("Patient, Condition, Observation"), "{error}");
}

#[test]
fn what_is_missing_in_a_row_is_missing_in_its_resource() {
    let found =
        written("Patient", &["gender", "birth_date"], &[&["", "1954-03"]]).remove(0).unwrap();
    assert_eq!(
        found,
        serde_json::json!({"resourceType": "Patient", "id": "synthetic-1", "birthDate": "1954-03"})
    );
    let found =
        written("Condition", &["snomed_code", "code"], &[&["38341003", "I10"]]).remove(0).unwrap();
    assert_eq!(found["code"]["coding"][0]["code"], "I10");
    assert_eq!(found["code"]["coding"][1]["system"], "http://snomed.info/sct");
    assert_eq!(found["subject"]["display"], "not disclosed");
}
