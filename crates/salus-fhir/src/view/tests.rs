#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::{ColumnType, RowError, Value, View, ViewError};

fn error(view: serde_json::Value) -> ViewError {
    View::parse(&view).unwrap_err()
}

#[test]
fn errors_name_the_place_in_the_view() {
    let column = json!({"name": "id", "path": "id"});
    for (view, message) in [
        (json!([]), "the ViewDefinition must be a JSON object"),
        (json!({}), "resource is missing"),
        (json!({"resource": "Patients"}), "resource must be the name of an R4 resource type"),
        (json!({"resource": "Patient"}), "select is missing"),
        (json!({"resource": "Patient", "select": [{}]}), "select[0].column is missing"),
        (
            json!({"resource": "Patient", "select": [{"column": [{"name": "1x", "path": "id"}]}]}),
            "select[0].column[0].name must be a letter, then letters, digits and _, at most 255",
        ),
        (
            json!({"resource": "Patient", "select": [{"column": [column, {"name": "b", "path": "name.("}]}]}),
            "select[0].column[1].path is no FHIRPath expression",
        ),
        (
            json!({"resource": "Patient", "select": [{"column": [column, column]}]}),
            "select: there is already a column 'id'",
        ),
        (
            json!({"resource": "Patient", "select": [{"column": [column], "forEach": "name", "forEachOrNull": "name"}]}),
            "select[0] must be given one of forEach, forEachOrNull and repeat",
        ),
        (
            json!({"resource": "Patient", "select": [{"column": [{"name": "x", "path": "name", "type": "HumanName"}]}]}),
            "select[0].column[0].type must be the name of a primitive FHIR type",
        ),
        (
            json!({"resource": "Patient", "select": [{"unionAll": [{"column": [column]}, {"column": [{"name": "id", "path": "active"}]}]}]}),
            "select[0].unionAll[1] must have the columns of the first branch, id (string), in that order and type",
        ),
    ] {
        assert_eq!(error(view.clone()).to_string(), message, "{view}");
    }
}

#[test]
fn column_types_follow_from_the_path_when_none_is_given() {
    let view = json!({"resource": "Observation", "select": [{"column": [
        {"name": "a", "path": "status"}, {"name": "b", "path": "issued"},
        {"name": "c", "path": "value.ofType(Quantity).value"}, {"name": "d", "path": "effective.ofType(dateTime)"},
        {"name": "e", "path": "component.count()"}, {"name": "f", "path": "subject.getReferenceKey(Patient)"},
        {"name": "g", "path": "value"}, {"name": "h", "path": "value.exists()"},
        {"name": "i", "path": "category.coding.code", "collection": true}
    ]}]});
    let view = View::parse(&view).unwrap();
    let kinds: Vec<_> = view.columns().iter().map(|c| (c.kind, c.fhir_type.as_str())).collect();
    assert_eq!(
        kinds,
        [
            (ColumnType::String, "code"),
            (ColumnType::Instant, "instant"),
            (ColumnType::Decimal, "decimal"),
            (ColumnType::DateTime, "dateTime"),
            (ColumnType::Integer, "integer"),
            (ColumnType::String, "string"),
            (ColumnType::String, "string"),
            (ColumnType::Boolean, "boolean"),
            (ColumnType::String, "code"),
        ]
    );
}

#[test]
fn row_errors_tell_the_place_and_nothing_of_the_patient() {
    let view = json!({"resource": "Patient", "select": [{"column": [
        {"name": "id", "path": "id"}, {"name": "family", "path": "name.family"}]}]});
    let view = View::parse(&view).unwrap();
    let patient = json!({"resourceType": "Patient", "id": "secret-id",
        "name": [{"family": "Doe"}, {"family": "Roe"}]});
    let error = view.rows(&patient).unwrap_err();
    assert_eq!(error, RowError::SeveralValues { place: "select[0].column[1]".into(), found: 2 });
    assert!(!error.to_string().contains("secret-id"));
    let complex = json!({"resource": "Patient", "select": [{"column": [
        {"name": "n", "path": "name.first()"}]}]});
    let error = View::parse(&complex).unwrap().rows(&patient).unwrap_err();
    assert_eq!(
        error,
        RowError::Type { place: "select[0].column[0]".into(), wanted: ColumnType::String }
    );
}

#[test]
fn sibling_iterations_cannot_multiply_without_bound() {
    let select = json!({"forEach": "name"});
    let column = |n: usize| {
        let mut select = select.clone();
        select["column"] = json!([{"name": format!("c{n}"), "path": "family"}]);
        select
    };
    let view = json!({"resource": "Patient", "select": (0..8).map(column).collect::<Vec<_>>()});
    let names: Vec<_> = (0..50).map(|n| json!({"family": n.to_string()})).collect();
    let patient = json!({"resourceType": "Patient", "name": names});
    let error = View::parse(&view).unwrap().rows(&patient).unwrap_err();
    assert!(matches!(error, RowError::TooManyRows { .. }), "{error}");
}

#[test]
fn a_decimal_keeps_its_places() {
    let view = json!({"resource": "Observation", "select": [{"column": [
        {"name": "v", "path": "value.ofType(Quantity).value"}]}]});
    let text = r#"{"resourceType":"Observation","valueQuantity":{"value":1.50}}"#;
    let rows = View::parse(&view).unwrap().rows(&serde_json::from_str(text).unwrap()).unwrap();
    assert!(matches!(&rows[0][0], Value::Decimal(d) if d.to_string() == "1.50"));
}
