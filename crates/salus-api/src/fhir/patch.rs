use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use salus_fhir::{IssueCode, JsonLimits, PatchRefused, apply_json_patch, parse_json, validate};
use salus_ingest::fhir::repository::{Answer, Ask};
use serde_json::{Value as Json, json};

use super::access::{Past, line};
use super::outcome::FhirError;
use super::read::key;
use super::write::{carried, single};
use super::{Fhir, headers};

const JSON_PATCH: &str = "application/json-patch+json";
/// How often a patch is applied anew because somebody else wrote meanwhile.
const ATTEMPTS: usize = 4;

/// The patch in a body.
fn patch(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Json, FhirError> {
    headers::acceptable(headers, "")?;
    headers::token(headers)?;
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind != JSON_PATCH {
        let message =
            "send a patch as application/json-patch+json; FHIRPath Patch is not supported";
        let (status, code) = (StatusCode::UNSUPPORTED_MEDIA_TYPE, IssueCode::NotSupported);
        return Err(FhirError::new(status, code, message));
    }
    Ok(parse_json(&body?, JsonLimits::RESOURCE)?)
}

fn patched(text: &str, patch: &Json) -> Result<Json, FhirError> {
    let unreadable = |_| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        FhirError::new(status, IssueCode::Exception, "the resource cannot be read")
    };
    let resource: Json = serde_json::from_str(text).map_err(unreadable)?;
    let resource = apply_json_patch(&resource, patch).map_err(|refused| match refused {
        PatchRefused::Malformed(issue) => {
            FhirError { status: StatusCode::BAD_REQUEST, issues: vec![issue] }
        }
        PatchRefused::Unfit(issue) => {
            FhirError { status: StatusCode::UNPROCESSABLE_ENTITY, issues: vec![issue] }
        }
    })?;
    let issues = validate(&resource);
    if issues.is_empty() {
        Ok(resource)
    } else {
        Err(FhirError { status: StatusCode::UNPROCESSABLE_ENTITY, issues })
    }
}

/// `PATCH Type/id`: what is read, changed and written is one version, or it is done anew.
pub(super) async fn instance(
    State(fhir): State<Fhir>,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, FhirError> {
    let key = key(&name, &id)?;
    let patch = patch(&headers, body)?;
    let name = key.resource_type();
    let asked = headers::if_match(&headers).map(str::to_owned);
    let statement = line("PATCH", &key.to_string(), "");
    let mut attempt = 0;
    loop {
        attempt += 1;
        let read = fhir.ask(&headers, statement.clone(), Ask::Read(key.clone()), Past::NotNeeded);
        let stored = match read.await? {
            Answer::Found(stored) => stored,
            Answer::Deleted { .. } => {
                let message = "the resource was deleted";
                return Err(FhirError::new(StatusCode::GONE, IssueCode::Deleted, message));
            }
            _ => return Err(FhirError::not_found()),
        };
        let resource = patched(&stored.text, &patch)?;
        let etag = asked.clone().unwrap_or_else(|| headers::etag(stored.version));
        let request = json!({"method": "PUT", "url": key.to_string(), "ifMatch": etag});
        let request = single(name, request, Some(resource))?;
        match carried(&fhir, &headers, (name, statement.clone()), request).await {
            Err(error)
                if error.status == StatusCode::PRECONDITION_FAILED
                    && asked.is_none()
                    && attempt < ATTEMPTS => {}
            done => return done,
        }
    }
}
