use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use salus_fhir::bundle::{BundleKind, BundleRequest, Operation, Status, StepOutcome};
use salus_fhir::{Issue, IssueCode, JsonLimits, operation_outcome, parse_json};
use salus_ingest::fhir::repository::{Answer, Carried, Done, SearchPage};
use serde_json::{Value as Json, json};

use super::outcome::FhirError;
use super::searchset::{Links, searchset};
use super::{Fhir, headers};

/// `POST` to the root: a transaction or a batch.
pub(super) async fn process(
    State(fhir): State<Fhir>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, FhirError> {
    headers::acceptable(&headers, "")?;
    headers::token(&headers)?;
    headers::json_body(&headers)?;
    let limits = JsonLimits { bytes: super::BODY_BYTES, ..JsonLimits::BUNDLE };
    let bundle = parse_json(&body?, limits)?;
    let is_batch = bundle.get("type").and_then(Json::as_str) == Some("batch");
    let bad = |issues| FhirError { status: StatusCode::BAD_REQUEST, issues };
    if is_batch {
        // Whether it is a Bundle at all; what is wrong with an entry is the entry's own matter.
        BundleRequest::parse(bundle.clone()).map_err(bad)?;
        let answer = batch(&fhir, &headers, &bundle).await?;
        return Ok(headers::json(StatusCode::OK, answer.to_string()));
    }
    let request = BundleRequest::parse(bundle).map_err(bad)?;
    let entries = request.len();
    let kind = request.kind();
    debug_assert_eq!(kind, BundleKind::Transaction);
    let statement = format!("POST transaction of {entries} entries");
    let answer = transaction(&fhir, &headers, statement, request).await?;
    Ok(headers::json(StatusCode::OK, answer.to_string()))
}

async fn transaction(
    fhir: &Fhir,
    headers: &HeaderMap,
    statement: String,
    request: BundleRequest,
) -> Result<Json, FhirError> {
    match fhir.carry_out(headers, statement, request).await? {
        Carried::Refused { status, issues } => Err(FhirError::refused(status, issues)),
        Carried::Done { plan, steps } => {
            let outcomes: Vec<StepOutcome> = plan
                .steps()
                .iter()
                .zip(steps)
                .map(|(step, done)| outcome(fhir, &step.operation, done))
                .collect();
            Ok(plan.response(&outcomes))
        }
    }
}

fn outcome(fhir: &Fhir, operation: &Operation, done: Done) -> StepOutcome {
    let failed = |status, code, message: &str| StepOutcome::Failed {
        status,
        issues: vec![Issue::request(code, message)],
    };
    match (operation, done) {
        (_, Done::Stored { status, stored }) => StepOutcome::Stored {
            status,
            version: stored.version,
            last_updated: stored.last_updated,
        },
        (_, Done::Removed(_)) => StepOutcome::Deleted,
        (Operation::Exists { .. }, Done::Answered(Answer::Found(stored))) => StepOutcome::Stored {
            status: Status::Ok,
            version: stored.version,
            last_updated: stored.last_updated,
        },
        (_, Done::Answered(Answer::Found(stored))) => match serde_json::from_str(&stored.text) {
            Ok(resource) => StepOutcome::Read { resource },
            Err(_) => failed(Status::ServerError, IssueCode::Exception, "it cannot be read"),
        },
        (Operation::Search { resource_type, query }, Done::Answered(Answer::Matches(page))) => {
            found(fhir, resource_type, query, &page)
        }
        (_, Done::Answered(Answer::Deleted { .. })) => {
            failed(Status::Gone, IssueCode::Deleted, "the resource was deleted")
        }
        (_, Done::Answered(_)) => {
            failed(Status::NotFound, IssueCode::NotFound, "there is no such resource")
        }
    }
}

/// The matches of a search inside a Bundle.
fn found(fhir: &Fhir, resource_type: &str, query: &str, page: &SearchPage) -> StepOutcome {
    let own = format!("{}/{resource_type}?{query}", fhir.base_url);
    let own = own.trim_end_matches('?').to_owned();
    let text = searchset(&fhir.base_url, &Links { own, next: None }, page, &[]);
    match serde_json::from_str(&text) {
        Ok(resource) => StepOutcome::Read { resource },
        Err(_) => StepOutcome::Failed {
            status: Status::ServerError,
            issues: vec![Issue::request(IssueCode::Exception, "it cannot be read")],
        },
    }
}

/// Each entry for itself, with a record and a decision of its own.
async fn batch(fhir: &Fhir, headers: &HeaderMap, bundle: &Json) -> Result<Json, FhirError> {
    let entries = bundle.get("entry").and_then(Json::as_array);
    let mut answers = Vec::new();
    for (at, entry) in entries.into_iter().flatten().enumerate() {
        let alone = json!({"resourceType": "Bundle", "type": "batch", "entry": [entry]});
        let answer = match BundleRequest::parse(alone) {
            Ok(request) => transaction(fhir, headers, statement(entry), request).await,
            Err(issues) => Err(FhirError { status: StatusCode::BAD_REQUEST, issues }),
        };
        match answer {
            // Without a valid token no entry can be answered.
            Err(error) if error.status == StatusCode::UNAUTHORIZED => return Err(error),
            Err(error) => answers.push(refused(error, at)),
            Ok(mut answer) => answers.extend(answer.pointer_mut("/entry/0").map(Json::take)),
        }
    }
    let mut response = json!({"resourceType": "Bundle", "type": "batch-response"});
    if let (false, Some(response)) = (answers.is_empty(), response.as_object_mut()) {
        response.insert("entry".to_owned(), Json::Array(answers));
    }
    Ok(response)
}

/// The request line of an entry, for the record.
fn statement(entry: &Json) -> String {
    let text = |name: &str| entry.pointer(name).and_then(Json::as_str).unwrap_or_default();
    let url: String = text("/request/url").chars().filter(|c| !c.is_control()).take(256).collect();
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    super::access::line(&format!("batch {}", text("/request/method")), path, query)
}

fn refused(mut error: FhirError, at: usize) -> Json {
    for issue in &mut error.issues {
        let place = issue.expression.take();
        let own = place.as_deref().and_then(|place| place.strip_prefix("Bundle.entry[0]"));
        issue.expression = match own {
            Some(below) => Some(format!("Bundle.entry[{at}]{below}")),
            None => place,
        };
    }
    let (status, outcome) = (error.entry_status(), operation_outcome(&error.issues));
    json!({"response": {"status": status.as_str(), "outcome": outcome}})
}
