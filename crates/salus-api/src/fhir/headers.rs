//! What a request's headers say, and what an answer's must.

use axum::body::Body;
use axum::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LAST_MODIFIED,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use salus_fhir::IssueCode;
use salus_model::{RoleName, Timestamp};
use salus_query::AccessToken;

use super::outcome::FhirError;

pub(super) const FHIR_JSON: &str = "application/fhir+json; charset=utf-8";
const PREFER: &str = "prefer";
const ROLE: &str = "salus-role";

fn text(headers: &HeaderMap, name: impl axum::http::header::AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The access token.
pub(super) fn token(headers: &HeaderMap) -> Result<AccessToken, FhirError> {
    let token = text(headers, AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    token.map(|token| AccessToken::new(token.trim().to_owned())).ok_or_else(|| {
        let message = "send an access token: Authorization: Bearer <token>";
        FhirError::new(StatusCode::UNAUTHORIZED, IssueCode::Login, message)
    })
}

/// The role that the person asks in.
pub(super) fn role(headers: &HeaderMap) -> Result<Option<RoleName>, FhirError> {
    let wrong = |_| FhirError::bad_request(IssueCode::Value, "Salus-Role is no role's name");
    text(headers, ROLE).map(|name| name.parse().map_err(wrong)).transpose()
}

/// Refuses what cannot be answered as JSON; `_format` goes before `Accept`.
pub(super) fn acceptable(headers: &HeaderMap, query: &str) -> Result<(), FhirError> {
    let json = |range: &str| {
        let kind = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        matches!(
            kind.as_str(),
            "" | "json"
                | "application/json"
                | "application/fhir+json"
                | "application/fhir json"
                | "text/json"
                | "application/*"
                | "*/*"
        )
    };
    let format = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "_format");
    let fits = match (format, text(headers, ACCEPT)) {
        (Some((_, format)), _) => json(&format),
        (None, Some(accept)) => accept.split(',').any(json),
        (None, None) => true,
    };
    if fits {
        return Ok(());
    }
    let message = "answers are application/fhir+json; XML and others are not supported";
    Err(FhirError::new(StatusCode::NOT_ACCEPTABLE, IssueCode::NotSupported, message))
}

/// Refuses a body that is not JSON.
pub(super) fn json_body(headers: &HeaderMap) -> Result<(), FhirError> {
    let kind = text(headers, CONTENT_TYPE).unwrap_or("application/fhir+json");
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if matches!(kind.as_str(), "application/fhir+json" | "application/json" | "text/json") {
        return Ok(());
    }
    let message = "send resources as application/fhir+json";
    Err(FhirError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, IssueCode::NotSupported, message))
}

/// What an answer to a write holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Return {
    Representation,
    Minimal,
    OperationOutcome,
}

fn preferences(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split([',', ';'])).map(str::trim)
}

/// `Prefer: return=`; the representation when nothing else is asked for.
pub(super) fn wanted_return(headers: &HeaderMap) -> Return {
    let named = preferences(headers).find_map(|p| match p.strip_prefix("return=")? {
        "minimal" => Some(Return::Minimal),
        "OperationOutcome" => Some(Return::OperationOutcome),
        "representation" => Some(Return::Representation),
        _ => None,
    });
    named.unwrap_or(Return::Representation)
}

/// What is done about search parameters that are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handling {
    Strict,
    Lenient,
}

/// Whether one of the preferences is `wanted`.
pub(super) fn prefers(headers: &HeaderMap, wanted: &str) -> bool {
    preferences(headers).any(|preference| preference == wanted)
}

/// `Prefer: handling=`.
pub(super) fn handling(headers: &HeaderMap) -> Handling {
    if preferences(headers).any(|p| p == "handling=strict") {
        Handling::Strict
    } else {
        Handling::Lenient
    }
}

/// `If-Match`, as it goes into a Bundle entry.
pub(super) fn if_match(headers: &HeaderMap) -> Option<&str> {
    text(headers, IF_MATCH)
}

/// `If-None-Exist`.
pub(super) fn if_none_exist(headers: &HeaderMap) -> Option<&str> {
    text(headers, HeaderName::from_static("if-none-exist"))
}

pub(super) fn etag(version: u64) -> String {
    format!("W/\"{version}\"")
}

/// Whether `If-None-Match` names this version.
pub(super) fn is_known(headers: &HeaderMap, version: u64) -> bool {
    let tags = text(headers, IF_NONE_MATCH).unwrap_or_default();
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    tags.split(',').any(|tag| bare(tag) == version.to_string())
}

/// The date form of HTTP.
///
/// # Source
/// RFC 9110 §5.6.7, IMF-fixdate.
pub(super) fn http_date(at: Timestamp) -> Option<String> {
    let at = chrono::DateTime::<chrono::Utc>::from_timestamp_micros(at.as_micros())?;
    Some(at.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

pub(super) fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// An answer with a JSON body.
pub(super) fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(FHIR_JSON));
    response
}

/// Puts version and time of what is shown or stored into the headers.
pub(super) fn versioned(response: &mut Response, version: u64, last_updated: Timestamp) {
    put(response.headers_mut(), ETAG, &etag(version));
    if let Some(date) = http_date(last_updated) {
        put(response.headers_mut(), LAST_MODIFIED, &date);
    }
}
