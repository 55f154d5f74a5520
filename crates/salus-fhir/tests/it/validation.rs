//! Parsing and structural validation.

use std::collections::BTreeMap;

use salus_fhir::{IssueCode, JsonLimits, operation_outcome, parse_json, validate};
use serde_json::{Value as Json, json};

use crate::synthea;

#[test]
fn all_synthea_resources_conform() {
    let mut wrong = BTreeMap::new();
    let mut count = 0;
    for bundle in synthea::bundles() {
        for resource in synthea::resources(&bundle) {
            count += 1;
            for issue in validate(resource) {
                let place: String = issue
                    .expression
                    .unwrap_or_default()
                    .chars()
                    .filter(|c| !c.is_ascii_digit())
                    .collect();
                *wrong.entry(format!("{place}: {}", issue.diagnostics)).or_insert(0) += 1;
            }
        }
        assert!(validate(&bundle).is_empty());
    }
    assert_eq!(count, 6374);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The issues of a patient with these properties, as `expression: code`.
fn issues(properties: Json) -> Vec<String> {
    let mut patient = json!({"resourceType": "Patient"});
    patient.as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
    let issues = validate(&patient);
    issues
        .iter()
        .map(|i| format!("{}: {}", i.expression.clone().unwrap_or_default(), i.code.as_str()))
        .collect()
}

#[test]
fn issues_name_the_element() {
    for (properties, expected) in [
        (json!({"nmae": []}), "Patient: structure"),
        (json!({"name": {"family": "x"}}), "Patient.name: structure"),
        (json!({"name": []}), "Patient.name: structure"),
        (json!({"active": "true"}), "Patient.active: value"),
        (json!({"active": null}), "Patient.active: structure"),
        (json!({"active": [true]}), "Patient.active: structure"),
        (json!({"gender": "m"}), "Patient.gender: code-invalid"),
        (json!({"birthDate": "12.3.1980"}), "Patient.birthDate: value"),
        (json!({"birthDate": "1980-02-30"}), "Patient.birthDate: value"),
        (json!({"birthDate": "1980-02-20T10:00:00Z"}), "Patient.birthDate: value"),
        (json!({"deceasedDateTime": "2020-01-01T10:00"}), "Patient.deceased: value"),
        (json!({"deceasedDateTime": "2020-01-01T10:00:00"}), "Patient.deceased: value"),
        (
            json!({"deceasedBoolean": true, "deceasedDateTime": "2020"}),
            "Patient.deceased: structure",
        ),
        (json!({"name": [{"given": ["a", null]}]}), "Patient.name[0].given[1]: structure"),
        (json!({"name": [{"family": " "}]}), "Patient.name[0].family: value"),
        (json!({"name": [{}]}), "Patient.name[0]: invariant"),
        (json!({"name": ["x"]}), "Patient.name[0]: structure"),
        (json!({"id": "a/b"}), "Patient.id: value"),
        (json!({"id": ""}), "Patient.id: value"),
        (json!({"multipleBirthInteger": 1.5}), "Patient.multipleBirth: value"),
        (
            json!({"communication": [{"preferred": true}]}),
            "Patient.communication[0].language: required",
        ),
        (
            json!({"managingOrganization": {"reference": "Patient/1"}}),
            "Patient.managingOrganization: value",
        ),
        (json!({"extension": [{"valueString": "x"}]}), "Patient.extension[0].url: required"),
        (json!({"extension": [{"url": "http://x"}]}), "Patient.extension[0]: invariant"),
        (json!({"contained": [{"id": "x"}]}), "Patient.contained[0]: required"),
        (json!({"contained": [{"resourceType": "Nothing"}]}), "Patient.contained[0]: value"),
        (json!({"_name": [{"id": "x"}]}), "Patient.name: structure"),
        (json!({"_birthDate": [{"id": "x"}]}), "Patient.birthDate: structure"),
        (json!({"_birthDate": {"x": 1}}), "Patient.birthDate: structure"),
        (
            json!({"name": [{"given": ["a"], "_given": [null, {"id": "b"}]}]}),
            "Patient.name[0].given: structure",
        ),
        (json!({"photo": [{"size": -1}]}), "Patient.photo[0].size: value"),
        (json!({"photo": [{"data": "a?"}]}), "Patient.photo[0].data: value"),
    ] {
        assert_eq!(issues(properties.clone()), [expected], "{properties}");
    }
}

#[test]
fn absent_values_with_extensions_are_accepted() {
    let unknown = json!([{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]);
    for properties in [
        json!({"_birthDate": {"extension": unknown}}),
        json!({"name": [{"given": ["a", null], "_given": [null, {"extension": unknown}]}]}),
        json!({"communication": [{"language": {"text": "x"}}]}),
    ] {
        assert_eq!(issues(properties.clone()), Vec::<String>::new(), "{properties}");
    }
}

#[test]
fn no_message_repeats_what_the_client_sent_as_a_value() {
    let secret = "s3cr3t";
    let properties = json!({"gender": secret, "birthDate": secret, "id": "s3cr3t/",
        "name": [secret], "active": secret, "managingOrganization": {"reference": "Patient/s3cr3t"}});
    let mut patient = json!({"resourceType": "Patient"});
    patient.as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
    let issues = validate(&patient);
    assert_eq!(issues.len(), 6);
    let outcome = operation_outcome(&issues);
    assert!(!outcome.to_string().contains(secret), "{outcome}");
    assert!(validate(&outcome).is_empty(), "{:?}", validate(&outcome));
    assert!(validate(&operation_outcome(&[])).is_empty());
}

#[test]
fn hostile_json_is_refused_with_its_place() {
    let parse = |text: &str| parse_json(text.as_bytes(), JsonLimits::RESOURCE);
    let message = |text: &str| parse(text).unwrap_err().to_string();
    assert_eq!(
        message("{\"id\": \"a\",\n \"id\": \"b\"}"),
        "the property 'id' is repeated, at line 2, column 5"
    );
    assert!(message(&"[".repeat(100_000)).contains("nests deeper than 64"));
    assert!(message(&"{\"a\":".repeat(100_000)).contains("nests deeper than 64"));
    assert!(message("{\"a\": 1").contains("ends too early"));
    assert!(message("{\"a\": 01}").contains("not valid JSON"));
    assert!(message("{} {}").contains("not valid JSON"));
    assert!(message("\u{feff}{}").contains("not valid JSON"));
    assert!(parse_json(b"{\"a\": \"\xff\"}", JsonLimits::RESOURCE).is_err());
    let tiny = JsonLimits { bytes: 1000, depth: 4, values: 10 };
    assert!(parse_json(&[b' '; 1001], tiny).is_err());
    assert!(parse_json(b"[1,2,3,4,5,6,7,8,9]", tiny).is_ok());
    assert!(parse_json(b"[1,2,3,4,5,6,7,8,9,10]", tiny).is_err());
    assert_eq!(parse("{\"a\": 1.50}").unwrap().to_string(), "{\"a\":1.50}");
    assert!(parse("{\"$serde_json::private::Number\": \"x\"}").is_err());
}

#[test]
fn a_decimal_beyond_exact_arithmetic_is_an_issue_and_no_panic() {
    for number in ["1e400", "1e-400", "0.1234567890123456789012345678901", "-1E+28"] {
        let text = format!(
            r#"{{"resourceType":"Observation","status":"final","code":{{"text":"x"}},"valueQuantity":{{"value":{number}}}}}"#
        );
        let observation = parse_json(text.as_bytes(), JsonLimits::RESOURCE).unwrap();
        let issues = validate(&observation);
        if number != "-1E+28" {
            assert_eq!(issues[0].code, IssueCode::Value, "{number}");
            assert_eq!(issues[0].expression.as_deref(), Some("Observation.value.value"));
        }
    }
}
