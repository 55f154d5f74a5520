#![allow(clippy::unwrap_used)]

use salus_model::{Entropy, EntropyFailed};
use serde_json::{Value as Json, json};

use super::{BundlePlan, BundleRequest, LookupAnswer, Operation, PlanError, Status, StepOutcome};
use crate::resource::ResourceId;
use crate::validate;

/// Counts up, so that ids differ and are the same in every run.
struct Counter(u8);

impl Entropy for Counter {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), EntropyFailed> {
        self.0 += 1;
        buffer.fill(self.0);
        Ok(())
    }
}

fn bundle(kind: &str, entries: Json) -> Json {
    json!({"resourceType": "Bundle", "type": kind, "entry": entries})
}

fn entry(method: &str, url: &str, full_url: &str, resource: Json) -> Json {
    let mut entry = json!({"request": {"method": method, "url": url}});
    if !full_url.is_empty() {
        entry["fullUrl"] = json!(full_url);
    }
    if !resource.is_null() {
        entry["resource"] = resource;
    }
    entry
}

fn patient() -> Json {
    json!({"resourceType": "Patient", "active": true})
}

fn observation(subject: &str) -> Json {
    json!({"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": {"reference": subject}})
}

fn plan(kind: &str, entries: Json, answers: &[LookupAnswer]) -> Result<BundlePlan, PlanError> {
    BundleRequest::parse(bundle(kind, entries)).unwrap().plan(answers, &mut Counter(0))
}

/// The place and code of each issue.
fn issues(result: Result<BundlePlan, PlanError>) -> Vec<String> {
    let Err(PlanError::Refused { issues, .. }) = result else { panic!("{result:?}") };
    issues
        .iter()
        .map(|i| format!("{} {}", i.expression.clone().unwrap(), i.code.as_str()))
        .collect()
}

const A: &str = "urn:uuid:00000000-0000-4000-8000-00000000000a";
const B: &str = "urn:uuid:00000000-0000-4000-8000-00000000000b";

#[test]
fn steps_come_in_the_order_of_the_specification_and_answers_in_that_of_the_request() {
    let update = json!({"resourceType": "Patient", "id": "u"});
    let entries = json!([
        entry("GET", "Patient/r", "", Json::Null),
        entry("PUT", "Patient/u", "", update),
        entry("POST", "Patient", A, patient()),
        entry("DELETE", "Patient/d", "", Json::Null),
    ]);
    let plan = plan("transaction", entries, &[]).unwrap();
    assert_eq!(plan.steps().iter().map(|s| s.entry).collect::<Vec<_>>(), [3, 2, 1, 0]);
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    let stored = |status| StepOutcome::Stored { status, version: 1, last_updated: at };
    let outcomes = [
        StepOutcome::Deleted,
        stored(Status::Created),
        stored(Status::Ok),
        StepOutcome::Read { resource: patient() },
    ];
    let response = plan.response(&outcomes);
    assert!(validate(&response).is_empty(), "{:?}", validate(&response));
    let statuses: Vec<_> = response["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["response"]["status"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(statuses, ["200 OK", "200 OK", "201 Created", "204 No Content"]);
    assert_eq!(response["entry"][1]["response"]["location"], "Patient/u/_history/1");
    assert_eq!(response["entry"][1]["response"]["etag"], "W/\"1\"");
    assert!(plan.response(&[]).to_string().contains("500"));
}

#[test]
fn references_between_entries_are_rewritten_also_against_the_order() {
    let mut first = observation(B);
    first["derivedFrom"] = json!([{"reference": "Observation/unrelated"}]);
    first["extension"] = json!([{"url": "http://x", "valueUri": B}]);
    first["identifier"] = json!([{"value": B}]);
    first["text"] = json!({"status": "generated",
        "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\"><a href=\"{B}\">p</a></div>")});
    first["contained"] = json!([{"resourceType": "Patient", "id": "c", "link": [{"type": "refer", "other": {"reference": B}}]}]);
    let entries =
        json!([entry("POST", "Observation", A, first), entry("POST", "Patient", B, patient())]);
    let plan = plan("transaction", entries, &[]).unwrap();
    let Operation::Create { key, .. } = &plan.steps()[1].operation else { panic!() };
    let target = key.to_string();
    let Operation::Create { resource, .. } = &plan.steps()[0].operation else { panic!() };
    assert_eq!(resource["subject"]["reference"], target.as_str());
    assert_eq!(resource["extension"][0]["valueUri"], target.as_str());
    assert_eq!(resource["contained"][0]["link"][0]["other"]["reference"], target.as_str());
    assert!(resource["text"]["div"].as_str().unwrap().contains(&format!("href=\"{target}\"")));
    assert_eq!(resource["identifier"][0]["value"], B, "a string is no link");
    assert_eq!(resource["derivedFrom"][0]["reference"], "Observation/unrelated");
}

#[test]
fn relative_references_follow_an_entry_with_the_same_base() {
    let entries = json!([
        entry("POST", "Patient", "https://h.example/fhir/Patient/1", patient()),
        entry(
            "POST",
            "Observation",
            "https://h.example/fhir/Observation/1",
            observation("Patient/1")
        ),
        entry(
            "POST",
            "Observation",
            "https://other.example/fhir/Observation/1",
            observation("Patient/1")
        ),
    ]);
    let plan = plan("transaction", entries, &[]).unwrap();
    let subject = |at: usize| match &plan.steps()[at].operation {
        Operation::Create { resource, .. } => resource["subject"]["reference"].clone(),
        other => panic!("{other:?}"),
    };
    assert_ne!(subject(1), "Patient/1");
    assert_eq!(subject(2), "Patient/1");
}

#[test]
fn a_dangling_reference_refuses_the_transaction_and_only_its_entry_of_a_batch() {
    let entries = || {
        json!([
            entry("POST", "Patient", A, patient()),
            entry("POST", "Observation", "", observation(B))
        ])
    };
    assert_eq!(
        issues(plan("transaction", entries(), &[])),
        ["Bundle.entry[1].resource.subject.reference not-found"]
    );
    let batch = plan("batch", entries(), &[]).unwrap();
    assert!(matches!(batch.steps()[0].operation, Operation::Create { .. }));
    assert!(matches!(batch.steps()[1].operation, Operation::Refused { .. }));
}

#[test]
fn conditional_creates_ask_first() {
    let mut create = entry("POST", "Patient", A, patient());
    create["request"]["ifNoneExist"] = json!("identifier=1");
    let entries = json!([create, entry("POST", "Observation", "", observation(A))]);
    let parsed = BundleRequest::parse(bundle("transaction", entries.clone())).unwrap();
    assert_eq!(parsed.lookups().len(), 1);
    assert_eq!(parsed.lookups()[0].query, "identifier=1");
    assert!(matches!(parsed.plan(&[], &mut Counter(0)), Err(PlanError::Answers { .. })));
    let one = LookupAnswer::One(ResourceId::new("p7").unwrap());
    let matched = plan("transaction", entries.clone(), &[one]).unwrap();
    assert!(
        matches!(&matched.steps()[0].operation, Operation::Exists { key } if key.to_string() == "Patient/p7")
    );
    let Operation::Create { resource, .. } = &matched.steps()[1].operation else { panic!() };
    assert_eq!(resource["subject"]["reference"], "Patient/p7");
    let none = plan("transaction", entries.clone(), &[LookupAnswer::None]).unwrap();
    assert!(matches!(none.steps()[0].operation, Operation::Create { .. }));
    assert_eq!(
        issues(plan("transaction", entries, &[LookupAnswer::Several])),
        [
            "Bundle.entry[0].request.ifNoneExist multiple-matches",
            "Bundle.entry[1].resource.subject.reference not-found"
        ]
    );
}

#[test]
fn conditional_references_need_exactly_one_match() {
    let entries =
        || json!([entry("POST", "Observation", "", observation("Patient?identifier=s|1"))]);
    let one = LookupAnswer::One(ResourceId::new("p7").unwrap());
    let found = plan("transaction", entries(), &[one]).unwrap();
    let Operation::Create { resource, .. } = &found.steps()[0].operation else { panic!() };
    assert_eq!(resource["subject"]["reference"], "Patient/p7");
    assert_eq!(
        issues(plan("transaction", entries(), &[LookupAnswer::None])),
        ["Bundle.entry[0].resource not-found"]
    );
    assert_eq!(
        issues(plan("transaction", entries(), &[LookupAnswer::Several])),
        ["Bundle.entry[0].resource multiple-matches"]
    );
    let refused = LookupAnswer::Refused("no parameter 'x'".into());
    assert_eq!(
        issues(plan("transaction", entries(), &[refused])),
        ["Bundle.entry[0].resource not-supported"]
    );
}

#[test]
fn conditional_updates_and_deletes_follow_the_match() {
    let put = || json!([entry("PUT", "Patient?identifier=1", "", patient())]);
    let one = || LookupAnswer::One(ResourceId::new("p7").unwrap());
    let operation = |entries, answer| {
        plan("transaction", entries, &[answer]).unwrap().steps()[0].operation.clone()
    };
    assert!(
        matches!(operation(put(), one()), Operation::Update { key, .. } if key.id().as_str() == "p7")
    );
    assert!(matches!(operation(put(), LookupAnswer::None), Operation::Create { .. }));
    let delete = || json!([entry("DELETE", "Patient?identifier=1", "", Json::Null)]);
    assert!(matches!(operation(delete(), one()), Operation::Delete { key: Some(_), .. }));
    assert!(matches!(operation(delete(), LookupAnswer::None), Operation::Delete { key: None, .. }));
    let other = json!({"resourceType": "Patient", "id": "else"});
    let mismatch = json!([entry("PUT", "Patient?identifier=1", "", other)]);
    assert_eq!(
        issues(plan("transaction", mismatch, &[one()])),
        ["Bundle.entry[0].resource.id value"]
    );
}

#[test]
fn one_resource_is_written_once() {
    let update = json!({"resourceType": "Patient", "id": "1"});
    let entries = json!([
        entry("PUT", "Patient/1", "", update),
        entry("DELETE", "Patient/1", "", Json::Null)
    ]);
    assert_eq!(issues(plan("transaction", entries, &[])), ["Bundle.entry[1] duplicate"]);
    let twice =
        json!([entry("POST", "Patient", A, patient()), entry("POST", "Patient", A, patient())]);
    assert_eq!(issues(plan("transaction", twice, &[])), ["Bundle.entry[1].fullUrl duplicate"]);
}

#[test]
fn what_is_wrong_with_an_entry_names_it() {
    let bad = json!({"resourceType": "Patient", "gender": "m"});
    for (entry, expected) in [
        (json!(1), "Bundle.entry[0] structure"),
        (json!({"resource": patient(), "fullUrl": A}), "Bundle.entry[0].request required"),
        (entry("POST", "Patient", "", bad), "Bundle.entry[0].resource.gender code-invalid"),
        (entry("POST", "Patient", "", Json::Null), "Bundle.entry[0].resource required"),
        (entry("POST", "Observation", "", patient()), "Bundle.entry[0].resource value"),
        (entry("POST", "Patients", "", patient()), "Bundle.entry[0].request.url value"),
        (entry("POST", "Patient/1", "", patient()), "Bundle.entry[0].request.url value"),
        (entry("PUT", "Patient/1", "", patient()), "Bundle.entry[0].resource.id value"),
        (entry("PUT", "Patient/a_b", "", patient()), "Bundle.entry[0].request.url value"),
        (
            entry("PATCH", "Patient/1", "", patient()),
            "Bundle.entry[0].request.method not-supported",
        ),
        (entry("BREW", "Patient/1", "", patient()), "Bundle.entry[0].request.method code-invalid"),
        (
            json!({"resource": patient(), "request": {"method": "POST", "url": "Patient", "ifNoneExists": "x=1"}}),
            "Bundle.entry[0].request structure",
        ),
        (
            json!({"resource": patient(), "request": {"method": "POST"}}),
            "Bundle.entry[0].request.url required",
        ),
    ] {
        let issues = BundleRequest::parse(bundle("transaction", json!([entry]))).unwrap_err();
        let found =
            format!("{} {}", issues[0].expression.clone().unwrap(), issues[0].code.as_str());
        assert_eq!(found, expected, "{entry}");
        let batch = BundleRequest::parse(bundle("batch", json!([entry]))).unwrap();
        let response = batch.plan(&[], &mut Counter(0)).unwrap().response(&[]);
        assert_eq!(response["entry"][0]["response"]["status"], "400 Bad Request");
    }
    assert!(BundleRequest::parse(bundle("document", json!([]))).is_err());
    assert!(BundleRequest::parse(json!([])).is_err());
    let misspelt = json!({"resourceType": "Bundle", "type": "transaction", "entries": []});
    assert!(BundleRequest::parse(misspelt).is_err(), "a misspelt property is no empty Bundle");
}
