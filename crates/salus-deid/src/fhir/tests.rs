#![allow(clippy::unwrap_used, clippy::print_stdout)]

use chrono::NaiveDate;
use serde_json::{Value, json};

use super::{Deidentifier, FhirError, Identifier, Profile};
use crate::transform::{DateShift, Pseudonyms};

fn by(profile: Profile) -> Deidentifier {
    let key = || vec![7; 32];
    let shift = DateShift::new(key(), std::num::NonZeroU32::new(180).unwrap()).unwrap();
    let shift = (profile == Profile::ExpertDetermination).then_some(shift);
    let today = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
    Deidentifier::new(profile, Pseudonyms::new(key(), "study").unwrap(), shift, today).unwrap()
}

fn patient(born: &str) -> Value {
    json!({
        "resourceType": "Patient",
        "id": "pat-1",
        "meta": { "lastUpdated": "2020-01-02T03:04:05Z", "profile": ["http://example.org/p"] },
        "text": { "status": "generated", "div": "<div>Anna Muster</div>" },
        "identifier": [{ "system": "http://hl7.org/fhir/sid/us-ssn", "value": "999-12-3456" }],
        "name": [{ "family": "Muster", "given": ["Anna"] }],
        "telecom": [{ "system": "phone", "value": "555-123-4567" }],
        "gender": "female",
        "birthDate": born,
        "_birthDate": { "extension": [{ "url": "x", "valueDateTime": "1950-02-03T04:05:06Z" }] },
        "deceasedDateTime": "2019-07-08T10:00:00Z",
        "address": [{ "line": ["1 Elm St"], "city": "Boston", "state": "MA", "postalCode": "02139" }],
        "maritalStatus": { "coding": [{ "code": "M", "display": "Married" }], "text": "married to Bob" },
        "extension": [
            { "url": "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName", "valueString": "Kunz" },
            { "url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex", "valueCode": "F" }
        ],
        "multipleBirthBoolean": false,
        "newElement": "something that nobody listed"
    })
}

#[test]
fn safe_harbor_leaves_of_a_patient_what_the_rule_allows() {
    let (clean, removed) = by(Profile::SafeHarbor).resource(&patient("1950-02-03")).unwrap();
    println!("{clean:#}");
    let id = clean["id"].as_str().unwrap();
    assert_eq!(id.len(), 36);
    let expected = json!({
        "resourceType": "Patient",
        "id": id,
        "meta": { "profile": ["http://example.org/p"] },
        "gender": "female",
        "birthDate": "1950",
        "deceasedDateTime": "2019",
        "address": [{ "state": "MA", "postalCode": "021" }],
        "maritalStatus": { "coding": [{ "code": "M", "display": "Married" }] },
        "extension": [
            { "url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex", "valueCode": "F" }
        ],
        "multipleBirthBoolean": false
    });
    assert_eq!(clean, expected);
    for kind in [Identifier::Name, Identifier::Contact, Identifier::Place, Identifier::Number] {
        assert!(removed.by_kind[&kind] >= 1, "{kind:?}");
    }
}

#[test]
fn whoever_is_over_89_is_only_said_to_be() {
    let mut old = patient("1920-02-03");
    let (clean, _) = by(Profile::SafeHarbor).resource(&old).unwrap();
    assert!(clean.get("birthDate").is_none() && clean.get("deceasedDateTime").is_none());
    assert_eq!(clean["deceasedBoolean"], true);
    assert!(clean["extension"].to_string().contains("urn:salus:age-over-89"));
    old["birthDate"] = json!("1920");
    let (clean, _) = by(Profile::SafeHarbor).resource(&old).unwrap();
    assert!(!clean.to_string().contains("1920"));
    let condition = json!({
        "resourceType": "Condition",
        "onsetAge": { "value": 93, "unit": "a", "system": "http://unitsofmeasure.org", "code": "a" }
    });
    let (clean, _) = by(Profile::SafeHarbor).resource(&condition).unwrap();
    assert_eq!(clean["onsetAge"]["value"], 90);
}

#[test]
fn postcodes_of_few_people_are_hidden() {
    let mut patient = patient("1950-02-03");
    patient["address"][0]["postalCode"] = json!("03601");
    let (clean, _) = by(Profile::SafeHarbor).resource(&patient).unwrap();
    assert_eq!(clean["address"][0]["postalCode"], "000");
}

#[test]
fn an_experts_profile_shifts_all_dates_of_a_patient_alike() {
    let bundle = json!({
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            { "fullUrl": "urn:uuid:pat-1", "resource": patient("1950-02-03") },
            { "resource": {
                "resourceType": "Encounter",
                "id": "enc-1",
                "status": "finished",
                "subject": { "reference": "Patient/pat-1", "display": "Anna Muster" },
                "period": { "start": "2018-03-01T08:30:00-05:00", "end": "2018-03-04T09:00:00-05:00" }
            } }
        ]
    });
    let (clean, _) = by(Profile::ExpertDetermination).resource(&bundle).unwrap();
    println!("{clean:#}");
    let encounter = &clean["entry"][1]["resource"];
    let day = |text: &str| NaiveDate::parse_from_str(&text[..10], "%Y-%m-%d").unwrap();
    let start = encounter["period"]["start"].as_str().unwrap();
    let end = encounter["period"]["end"].as_str().unwrap();
    assert_eq!((day(end) - day(start)).num_days(), 3);
    assert!(start.ends_with("T08:30:00-05:00") && !start.starts_with("2018-03-01"));
    let moved = day(start) - NaiveDate::from_ymd_opt(2018, 3, 1).unwrap();
    let born = clean["entry"][0]["resource"]["birthDate"].as_str().unwrap();
    assert_eq!(day(born) - NaiveDate::from_ymd_opt(1950, 2, 3).unwrap(), moved);
    // References still meet.
    let id = clean["entry"][0]["resource"]["id"].as_str().unwrap();
    assert_eq!(encounter["subject"], json!({ "reference": format!("Patient/{id}") }));
    assert_eq!(clean["entry"][0]["fullUrl"], format!("urn:uuid:{id}"));
}

#[test]
fn another_key_gives_other_pseudonyms_and_the_same_key_the_same() {
    let key = |byte: u8| Pseudonyms::new(vec![byte; 32], "study").unwrap();
    let today = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
    let id = |byte: u8| {
        let by = Deidentifier::new(Profile::SafeHarbor, key(byte), None, today).unwrap();
        by.resource(&patient("1950-02-03")).unwrap().0["id"].clone()
    };
    assert_eq!(id(1), id(1));
    assert_ne!(id(1), id(2));
    let refused = Deidentifier::new(Profile::ExpertDetermination, key(1), None, today);
    assert_eq!(refused.map(|_| ()).unwrap_err(), FhirError::NoShift);
}

#[test]
fn what_is_no_resource_or_too_deep_is_refused() {
    let by = by(Profile::SafeHarbor);
    assert_eq!(by.resource(&json!([])).unwrap_err(), FhirError::NoResource);
    assert_eq!(by.resource(&json!({ "id": "x" })).unwrap_err(), FhirError::NoResource);
    let mut deep = json!({ "code": { "coding": [] } });
    for _ in 0..200 {
        deep = json!({ "component": deep });
    }
    deep["resourceType"] = json!("Observation");
    assert_eq!(by.resource(&deep).unwrap_err(), FhirError::TooDeep);
}
