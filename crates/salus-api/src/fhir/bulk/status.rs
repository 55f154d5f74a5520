use axum::extract::{Path, State};
use axum::http::header::{EXPIRES, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::Response;
use salus_fhir::IssueCode;
use salus_model::{Class, Timestamp};
use salus_node::exports::{ExportRefused, ExportSeen, ExportStanding, ExportedFile};
use salus_query::Acting;
use serde_json::{Value as Json, json};

use super::super::headers;
use super::super::outcome::FhirError;
use super::{Bulk, owner};

impl Bulk {
    /// Who asks.
    pub(super) async fn acting(&self, asked: &HeaderMap) -> Result<Acting, FhirError> {
        let (token, role) = (headers::token(asked)?, headers::role(asked)?);
        Ok(self.gateway.acting(&token, role.as_ref()).await?)
    }
}

impl From<ExportRefused> for FhirError {
    fn from(refused: ExportRefused) -> Self {
        let (status, code) = match refused {
            ExportRefused::NoJob => (StatusCode::NOT_FOUND, IssueCode::NotFound),
            ExportRefused::TooMany | ExportRefused::Busy => {
                (StatusCode::TOO_MANY_REQUESTS, IssueCode::Transient)
            }
            ExportRefused::Entropy => (StatusCode::SERVICE_UNAVAILABLE, IssueCode::Transient),
        };
        Self::new(status, code, refused.to_string())
    }
}

pub(super) async fn seen(
    State(bulk): State<Bulk>,
    Path(job): Path<String>,
    headers: HeaderMap,
) -> Result<Response, FhirError> {
    let acting = bulk.acting(&headers).await?;
    let seen = bulk.exports.seen(&job, &owner(acting))?;
    match &seen.standing {
        ExportStanding::Running { resources } => {
            let mut response = Response::new(axum::body::Body::empty());
            *response.status_mut() = StatusCode::ACCEPTED;
            let progress = format!("{resources} resources");
            let headers = response.headers_mut();
            headers::put(headers, HeaderName::from_static("x-progress"), &progress);
            headers::put(headers, RETRY_AFTER, "1");
            Ok(response)
        }
        ExportStanding::Failed { class } => Err(failed(*class)),
        ExportStanding::Done { files } => {
            let manifest = manifest(&bulk.base_url, &job, &seen, files);
            let mut response = headers::json(StatusCode::OK, manifest.to_string());
            let kind = axum::http::HeaderValue::from_static("application/json");
            response.headers_mut().insert(axum::http::header::CONTENT_TYPE, kind);
            if let Some(date) = headers::http_date(seen.expires) {
                headers::put(response.headers_mut(), EXPIRES, &date);
            }
            Ok(response)
        }
    }
}

fn failed(class: Class) -> FhirError {
    let (status, code, message) = match class {
        Class::Refused => {
            let message = "the role allows the export no longer, or not at all";
            (StatusCode::FORBIDDEN, IssueCode::Forbidden, message)
        }
        Class::Unavailable => {
            let message = "the export failed for a reason that may pass; begin another";
            (StatusCode::INTERNAL_SERVER_ERROR, IssueCode::Exception, message)
        }
        _ => {
            let message = "the export failed; the site's log says why";
            (StatusCode::INTERNAL_SERVER_ERROR, IssueCode::Exception, message)
        }
    };
    FhirError::new(status, code, message)
}

fn manifest(base_url: &str, job: &str, seen: &ExportSeen, files: &[ExportedFile]) -> Json {
    let (mut output, mut deleted) = (Vec::new(), Vec::new());
    for (at, exported) in files.iter().enumerate() {
        let url = format!("{base_url}/$export-file/{job}/{at}");
        let count = exported.file.lines();
        match exported.resource_type {
            Some(name) => output.push(json!({"type": name, "url": url, "count": count})),
            None => deleted.push(json!({"type": "Bundle", "url": url, "count": count})),
        }
    }
    let at: Timestamp = seen.transaction_time;
    json!({
        "transactionTime": at.to_string(),
        "request": seen.request,
        "requiresAccessToken": true,
        "output": output,
        "deleted": deleted,
        "error": [],
    })
}

pub(super) async fn remove(
    State(bulk): State<Bulk>,
    Path(job): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, FhirError> {
    let acting = bulk.acting(&headers).await?;
    bulk.exports.remove(&job, &owner(acting))?;
    Ok(StatusCode::ACCEPTED)
}
