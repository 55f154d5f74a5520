//! The official SQL-on-FHIR v2 tests.

use std::path::Path;

use salus_fhir::view::{Value, View};
use serde_json::{Value as Json, json};

/// A cell as the tests write it.
fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(b) => json!(b),
        Value::Integer(i) => json!(i),
        Value::Decimal(d) => serde_json::from_str(&d.normalize().to_string()).unwrap(),
        Value::String(s) => json!(**s),
        Value::Date(t) | Value::DateTime(t) | Value::Instant(t) => json!(t.to_string()),
        Value::Time(t) => json!(t.to_string()),
        Value::List(items) => Json::Array(items.iter().map(to_json).collect()),
    }
}

/// The rows of a test, or why there are none.
fn run(view: &Json, resources: &[Json]) -> Result<(Vec<String>, Vec<Json>), String> {
    let view = View::parse(view).map_err(|e| e.to_string())?;
    let names: Vec<_> = view.columns().iter().map(|c| c.name.clone()).collect();
    let mut rows = Vec::new();
    for resource in resources {
        for row in view.rows(resource).map_err(|e| e.to_string())? {
            let cells = names.iter().cloned().zip(row.iter().map(to_json));
            rows.push(Json::Object(cells.collect()));
        }
    }
    Ok((names, rows))
}

/// Rows count as equal in any order, as the test specification says; columns that are absent
/// in the expectation are null.
fn sorted(rows: &[Json]) -> Vec<String> {
    let mut out: Vec<_> = rows
        .iter()
        .map(|row| {
            let mut cells: Vec<_> =
                row.as_object().unwrap().iter().filter(|(_, v)| !v.is_null()).collect();
            cells.sort_by_key(|(name, _)| name.as_str());
            format!("{cells:?}")
        })
        .collect();
    out.sort();
    out
}

fn judge(test: &Json, resources: &[Json]) -> Result<(), String> {
    let outcome = run(&test["view"], resources);
    if test["expectError"] == json!(true) {
        return outcome.map_or(Ok(()), |(_, rows)| Err(format!("no error but {rows:?}")));
    }
    let (names, rows) = outcome?;
    if let Some(expected) = test.get("expectColumns").and_then(Json::as_array) {
        let expected: Vec<_> = expected.iter().filter_map(Json::as_str).collect();
        if names != expected {
            return Err(format!("columns {names:?} instead of {expected:?}"));
        }
    }
    let expected = test["expect"].as_array().ok_or("the test has no expectation")?;
    if sorted(&rows) != sorted(expected) {
        return Err(format!("rows {rows:?} instead of {expected:?}"));
    }
    Ok(())
}

#[test]
fn official_tests_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/sql_on_fhir_v2");
    let (mut total, mut passed, mut experimental) = (0, 0, 0);
    let mut failures = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    files.sort();
    for path in &files {
        let file: Json = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let resources = file["resources"].as_array().unwrap();
        for test in file["tests"].as_array().unwrap() {
            total += 1;
            let tags = test["tags"].as_array().into_iter().flatten();
            let is_experimental = tags.clone().any(|t| t == "experimental");
            experimental += usize::from(is_experimental);
            match judge(test, resources) {
                Ok(()) => passed += 1,
                Err(why) => {
                    let name = format!("{}: {}", file["title"], test["title"]);
                    println!(
                        "not passed{}: {name}: {why}",
                        if is_experimental { " (experimental)" } else { "" }
                    );
                    if !is_experimental {
                        failures.push(name);
                    }
                }
            }
        }
    }
    println!(
        "{passed} of {total} official SQL-on-FHIR v2 tests pass, {experimental} of them experimental"
    );
    assert_eq!((files.len(), total), (22, 134), "the test files are not complete");
    assert!(failures.is_empty(), "{failures:#?}");
}
