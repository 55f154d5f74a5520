#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use salus_dp::ExpectedError;
use salus_model::Timestamp;
use salus_private::Profiles;
use salus_spine::SignedRequest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::answers::described;
use super::*;

#[test]
fn the_committed_openapi_document_of_the_console_is_the_programs() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/openapi/console.json");
    let document = format!("{:#}\n", document());
    if std::env::var_os("SALUS_OPENAPI").is_some_and(|v| v == "write") {
        std::fs::write(&file, &document).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == document, "web/openapi/console.json is stale: run cargo xtask openapi");
}

#[test]
fn every_route_that_answers_json_is_in_the_document_once() {
    let document = document();
    let mut ids = BTreeSet::new();
    let mut found = 0;
    for (route, endpoint) in &TABLE.0 {
        let described = &document["paths"][route.path][route.method.to_lowercase()];
        assert_eq!(described.is_object(), operation(*endpoint).is_some(), "{route:?}");
        if described.is_object() {
            assert!(ids.insert(described["operationId"].as_str().unwrap().to_owned()));
            found += 1;
        }
    }
    let written: usize =
        document["paths"].as_object().unwrap().values().map(|p| p.as_object().unwrap().len()).sum();
    assert_eq!(found, written);
    assert!(found > 20, "{found}");
}

/// Every reference leads somewhere, and no name means two things.
#[test]
fn references_lead_to_definitions_and_both_directions_agree() {
    let document = document();
    let mut wanted = BTreeSet::new();
    references(&document, &mut wanted);
    let defined = document["components"]["schemas"].as_object().unwrap();
    for reference in &wanted {
        let name = reference.strip_prefix("#/components/schemas/").unwrap();
        assert!(defined.contains_key(name), "{reference}");
    }
    let (mut sent, mut answered) = (
        generator(SchemaSettings::draft2020_12().for_deserialize()),
        generator(SchemaSettings::draft2020_12().for_serialize()),
    );
    for (_, endpoint) in &TABLE.0 {
        let Some(operation) = operation(*endpoint) else { continue };
        operation.body.map(|body| body(&mut sent));
        operation.answer.map(|answer| answer(&mut answered));
    }
    let answered = answered.take_definitions(true);
    for (name, schema) in sent.take_definitions(true) {
        if let Some(other) = answered.get(&name) {
            assert_eq!(other, &schema, "{name} is one thing when sent and another when answered");
        }
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                found.insert(reference.clone());
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// Takes a value to JSON, and that through its description back.
fn same<D: Serialize + DeserializeOwned>(value: &impl Serialize) {
    let json = serde_json::to_value(value).unwrap();
    let described: D = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(described).unwrap(), json);
}

#[test]
fn forms_of_other_crates_are_as_described() {
    let text = r#"
        [visits]
        unit_column = "patient_id"
        unit = "patient"
        contribution = [8, 2]
        rows_per_unit = "many"
        [visits.columns]
        sex = { category = ["female", "male"] }
        age = { number = [0, 1200, 1] }
        seen = { instant = [0, 86400, 0] }
        ward = "open"
    "#;
    let profiles = Profiles::parse(text).unwrap();
    let (_, profile) = profiles.iter().next().unwrap();
    same::<described::Profile>(profile);
    let (standard_error, half_width) = (1.5, 2.9);
    for error in [
        ExpectedError::Value { standard_error, half_width },
        ExpectedError::AtRows { rows: 1000, standard_error, half_width },
        ExpectedError::Rank { standard_error, half_width },
    ] {
        same::<described::ExpectedError>(&error);
    }
    same::<described::SignedRequest>(&signed());
}

fn signed() -> SignedRequest {
    use salus_crypto::hpke::RecipientKey;
    use salus_crypto::{Digest, OsEntropy, SigningKey};
    let hash = |byte: u8| hex::encode([byte; 32]);
    let request = json!({
        "ledger": hash(1),
        "permit": format!("permit-{}", "0".repeat(32)),
        "holder": "st-mary",
        "deal": "q-1",
        "purpose": "research",
        "code": hash(2),
        "question": Digest::of_parts("question", &[]).to_string(),
        "recipient": RecipientKey::generate(&mut OsEntropy).unwrap().public_key().to_string(),
        "issued": Timestamp::EPOCH,
        "expires": Timestamp::EPOCH,
    });
    let key = SigningKey::generate(&mut OsEntropy).unwrap();
    SignedRequest::sign(serde_json::from_value(request).unwrap(), &key)
}
