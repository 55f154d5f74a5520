use axum::extract::{Path, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use salus_fhir::IssueCode;
use salus_node::Hooks;

use super::outcome::FhirError;

/// `POST /fhir-hooks/source`: a server that the site pulls from tells that something changed.
pub(super) async fn knock(
    State(hooks): State<Hooks>,
    Path(source): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, FhirError> {
    let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if hooks.knock(&source, shown) {
        return Ok(StatusCode::OK);
    }
    let message = "this is not the secret that the server was given";
    Err(FhirError::new(StatusCode::UNAUTHORIZED, IssueCode::Login, message))
}
