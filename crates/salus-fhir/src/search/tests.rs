#![allow(clippy::unwrap_used)]

use serde_json::{Value as Json, json};

use super::{Others, ResourceIndex, SearchQuery, index};
use crate::definitions::definitions;
use crate::fhirpath::Expression;

fn patient() -> ResourceIndex {
    read(json!({"resourceType": "Patient", "id": "p1", "active": true, "gender": "female",
        "birthDate": "1980-05", "deceasedBoolean": false,
        "meta": {"lastUpdated": "2026-01-02T03:04:05.678Z", "tag": [{"system": "http://t", "code": "x"}]},
        "identifier": [{"system": "http://s", "value": "a|b"}, {"value": "plain"}],
        "name": [{"family": "Müller", "given": ["Änne Maria"]}],
        "telecom": [{"system": "email", "value": "a@example.org", "use": "home"}],
        "address": [{"city": "Zürich"}],
        "generalPractitioner": [{"reference": "https://h.example/fhir/Practitioner/d1"}],
        "managingOrganization": {"identifier": {"system": "http://o", "value": "7"}}}))
}

fn observation() -> ResourceIndex {
    read(json!({"resourceType": "Observation", "id": "o1", "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8302-2", "display": "Body Height"}], "text": "Height"},
        "subject": {"reference": "Patient/p1"},
        "effectivePeriod": {"start": "2020-01-10", "end": "2020-01-20"},
        "valueQuantity": {"value": 5.40, "unit": "cm", "system": "http://unitsofmeasure.org", "code": "cm"}}))
}

fn read(json: Json) -> ResourceIndex {
    assert!(crate::validate(&json).is_empty(), "{:?}", crate::validate(&json));
    index(&json).unwrap().unwrap()
}

fn parse(resource: &str, query: &str) -> Result<SearchQuery, super::SearchError> {
    SearchQuery::parse(resource, query, "2026-01-01T00:00:00Z".parse().unwrap())
}

/// A patient, and an observation of them.
struct Two {
    patient: ResourceIndex,
    observation: ResourceIndex,
}

impl<'i> Others<'i> for &'i Two {
    fn find(&self, name: &str, id: &str) -> Option<&'i ResourceIndex> {
        (name == "Patient" && id == "p1").then_some(&self.patient)
    }

    fn referring(&self, source: &str, _: &str, _: &str) -> Vec<&'i ResourceIndex> {
        // More than refers, as a store may give.
        if source == "Observation" { vec![&self.observation, &self.patient] } else { Vec::new() }
    }
}

fn check(resource: &ResourceIndex, cases: &[(&str, bool)]) {
    let two = Two { patient: patient(), observation: observation() };
    let others: &dyn Others<'_> = &&two;
    for (query, expected) in cases {
        let parsed =
            parse(resource.resource_type, query).unwrap_or_else(|e| panic!("{query}: {e}"));
        assert_eq!(parsed.matches(resource, others), *expected, "{query}");
    }
}

#[test]
fn tokens_strings_references_and_uris_match_as_specified() {
    check(
        &patient(),
        &[
            ("", true),
            ("_id=p1", true),
            ("_id=p2,p1", true),
            ("_id=p1&_id=p2", false),
            ("gender=female", true),
            ("gender=male,female", true),
            ("gender:not=male", true),
            ("gender:not=female,male", false),
            ("active=true", true),
            ("deceased=false", true),
            ("deceased=true", false),
            ("identifier=http://s|a\\|b", true),
            ("identifier=http://x|a\\|b", false),
            ("identifier=http://s|", true),
            ("identifier=|plain", true),
            ("identifier=|a\\|b", false),
            ("identifier=plain", true),
            ("email=a@example.org", true),
            ("phone=a@example.org", false),
            ("_tag=http://t|x", true),
            ("name=mull", true),
            ("name=ANNE", true),
            ("name=maria", false),
            ("name:contains=maria", true),
            ("family:exact=Müller", true),
            ("family:exact=muller", false),
            ("address=zurich", true),
            ("address-city:missing=false", true),
            ("address-state:missing=true", true),
            ("address-state:missing=false", false),
            ("general-practitioner=d1", true),
            ("general-practitioner=Practitioner/d1", true),
            ("general-practitioner=Organization/d1", false),
            ("general-practitioner:Practitioner=d1", true),
            ("general-practitioner=https://h.example/fhir/Practitioner/d1", true),
            ("organization:identifier=http://o|7", true),
            ("organization:identifier=http://o|8", false),
        ],
    );
}

#[test]
fn dates_match_by_span() {
    check(
        &patient(),
        &[
            ("birthdate=1980", true),
            ("birthdate=1980-05", true),
            ("birthdate=1980-05-03", false),
            ("birthdate=ne1980-05-03", true),
            ("birthdate=gt1980-04", true),
            ("birthdate=gt1980-05", false),
            ("birthdate=ge1980-05", true),
            ("birthdate=lt1980-06", true),
            ("birthdate=sa1980-04", true),
            ("birthdate=eb1980-06", true),
            ("birthdate=eb1980-05", false),
            ("birthdate=ap1979", true),
            ("birthdate=ap1930", false),
            ("_lastUpdated=2026-01-02", true),
            ("_lastUpdated=gt2026-01-02T04:00:00%2B01:00", true),
            ("_lastUpdated=gt2026-01-02T04:00:00+01:00", true),
        ],
    );
    check(
        &observation(),
        &[
            ("date=2020-01", true),
            ("date=2020-01-15", false),
            ("date=ap2020-01-15", true),
            ("date=ge2020-01-15&date=le2020-01-15", true),
            ("date=sa2020-01-15", false),
            ("date=gt2020-01-20", false),
        ],
    );
}

#[test]
fn quantities_match_within_their_precision_and_unit() {
    check(
        &observation(),
        &[
            ("value-quantity=5.4", true),
            ("value-quantity=5.40", true),
            ("value-quantity=5", true),
            ("value-quantity=5.41", false),
            ("value-quantity=ne5.41", true),
            ("value-quantity=gt5.4", false),
            ("value-quantity=ge5.4", true),
            ("value-quantity=lt5.41", true),
            ("value-quantity=ap5.9", true),
            ("value-quantity=ap7", false),
            ("value-quantity=5.4|http://unitsofmeasure.org|cm", true),
            ("value-quantity=5.4|http://unitsofmeasure.org|mm", false),
            ("value-quantity=5.4||cm", true),
            ("code=http://loinc.org|8302-2", true),
            ("code:text=heig", true),
            ("combo-code=8302-2", true),
            ("patient=p1", true),
            ("subject:Patient.name=mull", true),
            ("patient.name=else", false),
            ("subject:Patient.general-practitioner=d1", true),
            ("subject:Group._id=p1", false),
        ],
    );
}

#[test]
fn errors_name_the_parameter() {
    for (query, message) in [
        (
            "colour=red",
            "'colour' is no search parameter of Patient; its CapabilityStatement lists them",
        ),
        ("gender:exact=male", "the search parameter 'gender' does not take the modifier ':exact'"),
        (
            "birthdate=soon",
            "the search parameter 'birthdate' takes a date or date and time, perhaps after a prefix such as ge",
        ),
        ("name=", "the search parameter 'name' takes a value that is not empty"),
        (
            "identifier=a|b|c",
            "the search parameter 'identifier' takes a code, system|code, |code or system|",
        ),
        ("_count=many", "the search parameter '_count' takes a whole number from 0"),
        (
            "_sort=colour",
            "'colour' is no search parameter of Patient; its CapabilityStatement lists them",
        ),
        (
            "_has:Observation:patient:colour=1",
            "'colour' is no search parameter of Observation; its CapabilityStatement lists them",
        ),
        (
            "_include=Patient:name",
            "the search parameter '_include' takes Type:parameter or Type:parameter:TargetType, of a reference parameter",
        ),
        (
            "general-practitioner=Colour/1",
            "the search parameter 'general-practitioner' takes an id, Type/id or a URL",
        ),
        (
            "general-practitioner.name=x",
            "the search parameter 'general-practitioner' takes the type that it refers to, as in subject:Patient.name",
        ),
        ("name.family=x", "the search parameter 'name' takes no chain, because it is no reference"),
        (
            "active:missing=maybe",
            "the search parameter 'active:missing' takes true or false with the modifier :missing",
        ),
    ] {
        assert_eq!(parse("Patient", query).unwrap_err().to_string(), message, "{query}");
    }
    assert!(parse("Colour", "").is_err());
    assert!(parse("Patient", &"name=x&".repeat(101)).is_err());
    assert!(parse("Patient", &format!("name={}", ",x".repeat(1001))).is_err());
}

#[test]
fn controls_of_the_result_are_parsed() {
    let query = "_count=5&_sort=-birthdate,family&_include=Patient:organization\
                 &_revinclude:iterate=Observation:subject:Patient&_format=json";
    let parsed = parse("Patient", query).unwrap();
    assert_eq!(parsed.count, Some(5));
    assert_eq!(
        parsed.sort.iter().map(|s| s.parameter).collect::<Vec<_>>(),
        ["birthdate", "family"]
    );
    assert_eq!(parsed.include[0].parameter, "organization");
    assert_eq!(parsed.revinclude[0].target, Some("Patient"));
    assert!(parsed.revinclude[0].iterate && parsed.criteria.is_empty());
}

#[test]
fn sorting_puts_what_has_no_value_last_in_both_directions() {
    let with = |id: &str, birth: Option<&str>| {
        let mut json = json!({"resourceType": "Patient", "id": id});
        if let Some(birth) = birth {
            json["birthDate"] = json!(birth);
        }
        read(json)
    };
    let mut all = [with("a", None), with("b", Some("1990")), with("c", Some("1980"))];
    let ids = |all: &[ResourceIndex]| all.iter().map(|r| r.id.clone()).collect::<String>();
    let up = parse("Patient", "_sort=birthdate").unwrap();
    all.sort_by(|a, b| up.compare(a, b));
    assert_eq!(ids(&all), "cba");
    let down = parse("Patient", "_sort=-birthdate").unwrap();
    all.sort_by(|a, b| down.compare(a, b));
    assert_eq!(ids(&all), "bca");
}

#[test]
fn every_official_expression_parses() {
    let mut count = 0;
    for resource in definitions().resource_types() {
        for parameter in definitions().search_parameters(resource) {
            Expression::parse(parameter.expression)
                .unwrap_or_else(|e| panic!("{resource}.{}: {e}", parameter.code));
            count += usize::from(parameter.resource == resource);
        }
    }
    assert!(count > 400, "only {count}");
}

#[test]
fn what_refers_to_a_resource_finds_it() {
    check(
        &patient(),
        &[
            ("_has:Observation:patient:code=8302-2", true),
            ("_has:Observation:subject:code=http://loinc.org|8302-2", true),
            ("_has:Observation:patient:code=other", false),
            ("_has:Observation:patient:status:not=final", false),
            ("_has:Observation:patient:value-quantity=gt5", true),
            ("_has:Observation:patient:patient.gender=female", true),
            ("_has:Observation:patient:patient.gender=male", false),
            ("_has:Observation:performer:code=8302-2", false),
            ("_has:NutritionOrder:patient:status=active", false),
        ],
    );
    check(&observation(), &[("subject:Patient._has:Observation:patient:code=8302-2", true)]);
    for query in [
        "_has:Observation:code:status=final",
        "_has:Observation:patient",
        "_has:Planet:patient:code=x",
        "_has:Observation:colour:code=x",
        "_has=x",
    ] {
        assert!(parse("Patient", query).is_err(), "{query}");
    }
    let endless = format!("{}_id=x", "_has:Observation:subject:subject:Patient.".repeat(20));
    assert!(matches!(parse("Patient", &endless), Err(super::SearchError::TooMany { .. })));
    assert!(parse("Medication", "_has:Observation:patient:code=x").is_err(), "it leads elsewhere");
}
