use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use salus_fhir::{IssueCode, ResourceId, ResourceKey};
use salus_ingest::fhir::repository::{Answer, Ask, Stored};

use super::access::{Past, line};
use super::outcome::FhirError;
use super::{Fhir, headers, resource_type};

/// A key from a URL; an id that is none names nothing.
pub(super) fn key(name: &str, id: &str) -> Result<ResourceKey, FhirError> {
    let name = resource_type(name)?;
    let id = ResourceId::new(id).map_err(|_| FhirError::not_found())?;
    ResourceKey::new(name, id).ok_or_else(FhirError::not_found)
}

/// `GET Type/id`.
pub(super) async fn current(
    State(fhir): State<Fhir>,
    Path((name, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, FhirError> {
    headers::acceptable(&headers, query.as_deref().unwrap_or_default())?;
    let key = key(&name, &id)?;
    let statement = line("GET", &key.to_string(), "");
    let answer = fhir.ask(&headers, statement, Ask::Read(key), Past::NotNeeded).await?;
    shown(&headers, answer)
}

/// `GET Type/id/_history/version`.
pub(super) async fn version(
    State(fhir): State<Fhir>,
    Path((name, id, version)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, FhirError> {
    headers::acceptable(&headers, query.as_deref().unwrap_or_default())?;
    let key = key(&name, &id)?;
    let version: u64 = version.parse().map_err(|_| FhirError::not_found())?;
    let statement = line("GET", &format!("{key}/_history/{version}"), "");
    let ask = Ask::VersionRead(key, version);
    let answer = fhir.ask(&headers, statement, ask, Past::Needed).await?;
    shown(&headers, answer)
}

fn shown(headers: &HeaderMap, answer: Answer) -> Result<Response, FhirError> {
    match answer {
        Answer::Found(stored) => Ok(found(headers, &stored)),
        Answer::Deleted { version, last_updated } => {
            let message = "the resource was deleted";
            let error = FhirError::new(StatusCode::GONE, IssueCode::Deleted, message);
            let mut response = error.response();
            headers::versioned(&mut response, version, last_updated);
            Ok(response)
        }
        _ => Err(FhirError::not_found()),
    }
}

fn found(headers: &HeaderMap, stored: &Stored) -> Response {
    let mut response = if headers::is_known(headers, stored.version) {
        let mut response = Response::new(axum::body::Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        headers::json(StatusCode::OK, stored.text.to_string())
    };
    headers::versioned(&mut response, stored.version, stored.last_updated);
    response
}
