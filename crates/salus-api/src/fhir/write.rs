use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use salus_fhir::bundle::{BundleRequest, Status};
use salus_fhir::{Issue, IssueCode, JsonLimits, operation_outcome, parse_json, validate};
use salus_ingest::fhir::repository::{Answer, Carried, Done, Stored};
use serde_json::{Value as Json, json};

use super::access::line;
use super::headers::Return;
use super::outcome::FhirError;
use super::read::key;
use super::{Fhir, headers, resource_type};

/// A resource from a body, valid and of the type that the URL names.
pub(super) fn resource(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    name: &'static str,
) -> Result<Json, FhirError> {
    headers::acceptable(headers, "")?;
    // Nobody without a token has a body looked at.
    headers::token(headers)?;
    headers::json_body(headers)?;
    let resource = parse_json(&body?, JsonLimits::RESOURCE)?;
    let mut issues = validate(&resource);
    if issues.is_empty() && resource.get("resourceType").and_then(Json::as_str) != Some(name) {
        let message = format!("its resourceType must be {name}, the type in the URL");
        issues.push(Issue::error(IssueCode::Value, "resourceType", message));
    }
    if issues.is_empty() {
        Ok(resource)
    } else {
        Err(FhirError { status: StatusCode::BAD_REQUEST, issues })
    }
}

/// A single write as a batch of one entry, so that conditions mean the same in both.
pub(super) fn single(
    name: &str,
    request: Json,
    resource: Option<Json>,
) -> Result<BundleRequest, FhirError> {
    let mut entry = json!({ "request": request });
    if let (Some(resource), Some(entry)) = (resource, entry.as_object_mut()) {
        entry.insert("resource".to_owned(), resource);
    }
    let bundle = json!({"resourceType": "Bundle", "type": "batch", "entry": [entry]});
    BundleRequest::parse(bundle)
        .map_err(|issues| own_places(name, FhirError { status: StatusCode::BAD_REQUEST, issues }))
}

/// Issues that name places in the batch name those of the request itself.
fn own_places(name: &str, mut error: FhirError) -> FhirError {
    for issue in &mut error.issues {
        let place = issue.expression.take();
        let below = place.as_deref().and_then(|place| place.strip_prefix("Bundle.entry[0]"));
        issue.expression = match below {
            Some(below) => below.strip_prefix(".resource").map(|rest| format!("{name}{rest}")),
            None => place,
        };
    }
    error
}

pub(super) async fn carried(
    fhir: &Fhir,
    headers: &HeaderMap,
    (name, statement): (&'static str, String),
    request: BundleRequest,
) -> Result<Response, FhirError> {
    let carried = fhir.carry_out(headers, statement, request).await;
    match carried.map_err(|e| own_places(name, e))? {
        Carried::Refused { status, issues } => {
            Err(own_places(name, FhirError::refused(status, issues)))
        }
        Carried::Done { steps, .. } => match steps.into_iter().next() {
            Some(Done::Stored { status, stored }) => Ok(written(fhir, headers, status, &stored)),
            // The match of a conditional create.
            Some(Done::Answered(Answer::Found(stored))) => {
                Ok(written(fhir, headers, Status::Ok, &stored))
            }
            Some(Done::Removed(version)) => Ok(removed(version)),
            Some(Done::Answered(_)) | None => Err(FhirError::not_found()),
        },
    }
}

fn written(fhir: &Fhir, headers: &HeaderMap, status: Status, stored: &Stored) -> Response {
    let status = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::OK);
    let mut response = match headers::wanted_return(headers) {
        Return::Representation => headers::json(status, stored.text.to_string()),
        Return::OperationOutcome => headers::json(status, operation_outcome(&[]).to_string()),
        Return::Minimal => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = status;
            response
        }
    };
    headers::versioned(&mut response, stored.version, stored.last_updated);
    let location = format!("{}/{}/_history/{}", fhir.base_url, stored.key, stored.version);
    headers::put(response.headers_mut(), LOCATION, &location);
    response
}

fn removed(version: Option<u64>) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if let Some(version) = version {
        let etag = headers::etag(version);
        headers::put(response.headers_mut(), axum::http::header::ETAG, &etag);
    }
    response
}

/// `POST Type`, also under a condition.
pub(super) async fn create(
    State(fhir): State<Fhir>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, FhirError> {
    let name = resource_type(&name)?;
    let resource = resource(&headers, body, name)?;
    let mut request = json!({"method": "POST", "url": name});
    let mut statement = line("POST", name, "");
    if let (Some(condition), Some(request)) =
        (headers::if_none_exist(&headers), request.as_object_mut())
    {
        request.insert("ifNoneExist".to_owned(), json!(condition));
        statement.push_str(&line(" If-None-Exist", "", condition.trim_start_matches('?')));
    }
    let request = single(name, request, Some(resource))?;
    carried(&fhir, &headers, (name, statement), request).await
}

/// `PUT Type/id`.
pub(super) async fn update(
    State(fhir): State<Fhir>,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, FhirError> {
    let known = resource_type(&name)?;
    let resource = resource(&headers, body, known)?;
    let wrong = |_| FhirError::bad_request(IssueCode::Value, "the id in the URL is no id");
    let key = key(&name, &id).map_err(wrong)?;
    let mut request = json!({"method": "PUT", "url": key.to_string()});
    if let (Some(etag), Some(request)) = (headers::if_match(&headers), request.as_object_mut()) {
        request.insert("ifMatch".to_owned(), json!(etag));
    }
    let request = single(known, request, Some(resource))?;
    let statement = line("PUT", &key.to_string(), "");
    carried(&fhir, &headers, (known, statement), request).await
}

/// `PUT Type?…`.
pub(super) async fn update_where(
    State(fhir): State<Fhir>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, FhirError> {
    let name = resource_type(&name)?;
    let resource = resource(&headers, body, name)?;
    let query = condition(query)?;
    let request = json!({"method": "PUT", "url": format!("{name}?{query}")});
    let request = single(name, request, Some(resource))?;
    carried(&fhir, &headers, (name, line("PUT", name, &query)), request).await
}

/// `DELETE Type/id`.
pub(super) async fn delete(
    State(fhir): State<Fhir>,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, FhirError> {
    headers::acceptable(&headers, "")?;
    headers::token(&headers)?;
    let key = key(&name, &id)?;
    let mut request = json!({"method": "DELETE", "url": key.to_string()});
    if let (Some(etag), Some(request)) = (headers::if_match(&headers), request.as_object_mut()) {
        request.insert("ifMatch".to_owned(), json!(etag));
    }
    let name = key.resource_type();
    let request = single(name, request, None)?;
    carried(&fhir, &headers, (name, line("DELETE", &key.to_string(), "")), request).await
}

/// `DELETE Type?…`, of the one resource that matches.
pub(super) async fn delete_where(
    State(fhir): State<Fhir>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, FhirError> {
    headers::acceptable(&headers, "")?;
    headers::token(&headers)?;
    let name = resource_type(&name)?;
    let query = condition(query)?;
    let request = json!({"method": "DELETE", "url": format!("{name}?{query}")});
    let request = single(name, request, None)?;
    carried(&fhir, &headers, (name, line("DELETE", name, &query)), request).await
}

/// A condition that names something.
fn condition(query: Option<String>) -> Result<String, FhirError> {
    query.filter(|query| !query.is_empty()).ok_or_else(|| {
        let message = "name the resource by its id, or a condition such as ?identifier=…";
        FhirError::bad_request(IssueCode::Required, message)
    })
}
