//! What went wrong, as an OperationOutcome.

use axum::body::Body;
use axum::extract::rejection::BytesRejection;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use salus_fhir::bundle::Status;
use salus_fhir::{Issue, IssueCode, JsonError, operation_outcome};
use salus_ingest::fhir::repository::RepositoryError;
use salus_model::{Class, Classified};
use salus_query::{DisclosureError, QueryError};
use salus_store::journal::JournalError;

use super::access::CarryError;
use super::headers::FHIR_JSON;

/// A request that was not carried out.
#[derive(Debug)]
pub(super) struct FhirError {
    pub(super) status: StatusCode,
    pub(super) issues: Vec<Issue>,
}

impl FhirError {
    pub(super) fn new(status: StatusCode, code: IssueCode, message: impl Into<String>) -> Self {
        Self { status, issues: vec![Issue::request(code, message)] }
    }

    pub(super) fn bad_request(code: IssueCode, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn refused(status: Status, issues: Vec<Issue>) -> Self {
        let status = StatusCode::from_u16(status.code());
        Self { status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), issues }
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, IssueCode::NotFound, "there is no such resource")
    }

    /// The status among those of Bundle entries.
    pub(super) fn entry_status(&self) -> Status {
        match self.status.as_u16() {
            400 | 405 | 406 | 415 => Status::BadRequest,
            401 => Status::Unauthorized,
            403 => Status::Forbidden,
            404 => Status::NotFound,
            409 => Status::Conflict,
            410 => Status::Gone,
            412 => Status::PreconditionFailed,
            422 => Status::Unprocessable,
            503 => Status::Unavailable,
            _ => Status::ServerError,
        }
    }

    pub(super) fn response(self) -> Response {
        let body = operation_outcome(&self.issues).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(FHIR_JSON));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl IntoResponse for FhirError {
    fn into_response(self) -> Response {
        self.response()
    }
}

impl From<JsonError> for FhirError {
    fn from(error: JsonError) -> Self {
        let message = error.to_string();
        match error {
            JsonError::TooLong { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, IssueCode::TooLong, message)
            }
            JsonError::Text { .. } => Self::bad_request(IssueCode::Structure, message),
        }
    }
}

impl From<BytesRejection> for FhirError {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let most = super::BODY_BYTES / (1024 * 1024);
            let message = format!("a request has at most {most} MiB; split it, or use $import");
            return Self::new(StatusCode::PAYLOAD_TOO_LARGE, IssueCode::TooLong, message);
        }
        Self::bad_request(IssueCode::Structure, "the request's body cannot be read")
    }
}

/// Status and kind of issue by who has to act.
const fn by_class(class: Class) -> (StatusCode, IssueCode) {
    match class {
        Class::BadRequest => (StatusCode::BAD_REQUEST, IssueCode::Invalid),
        Class::Refused => (StatusCode::FORBIDDEN, IssueCode::Forbidden),
        Class::Unavailable | Class::Peer => (StatusCode::SERVICE_UNAVAILABLE, IssueCode::Transient),
        Class::Corrupt | Class::Bug => (StatusCode::INTERNAL_SERVER_ERROR, IssueCode::Exception),
    }
}

impl From<QueryError> for FhirError {
    fn from(error: QueryError) -> Self {
        let (status, code) = match &error {
            QueryError::Authentication(e) if e.class() == Class::Refused => {
                (StatusCode::UNAUTHORIZED, IssueCode::Login)
            }
            other => by_class(other.class()),
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<RepositoryError> for FhirError {
    fn from(error: RepositoryError) -> Self {
        if let RepositoryError::Journal(JournalError::TooLong { .. }) = error {
            let message = "the transaction is too long to be stored at once; split it";
            return Self::new(StatusCode::PAYLOAD_TOO_LARGE, IssueCode::TooLong, message);
        }
        let (status, code) = by_class(error.class());
        if matches!(error.class(), Class::Corrupt | Class::Bug) {
            tracing::error!(error = %error, "a FHIR request failed");
        }
        Self::new(status, code, error.to_string())
    }
}

impl From<DisclosureError<CarryError>> for FhirError {
    fn from(error: DisclosureError<CarryError>) -> Self {
        match error {
            DisclosureError::Gateway(e) => e.into(),
            DisclosureError::Job(CarryError::Repository(e)) => e.into(),
            DisclosureError::Job(CarryError::Forbidden(issues)) => {
                Self { status: StatusCode::FORBIDDEN, issues }
            }
        }
    }
}

impl From<DisclosureError<RepositoryError>> for FhirError {
    fn from(error: DisclosureError<RepositoryError>) -> Self {
        match error {
            DisclosureError::Gateway(e) => e.into(),
            DisclosureError::Job(e) => e.into(),
        }
    }
}
