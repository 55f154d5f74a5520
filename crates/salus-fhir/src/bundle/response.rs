use salus_model::Timestamp;
use serde_json::{Map, Value as Json, json};

use super::plan::{BundlePlan, Operation};
use super::request::BundleKind;
use crate::outcome::{Issue, operation_outcome};
use crate::resource::ResourceKey;

/// The HTTP statuses of FHIR interactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Status {
    Ok,
    Created,
    NoContent,
    NotModified,
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    Conflict,
    Gone,
    PreconditionFailed,
    Unprocessable,
    ServerError,
    Unavailable,
}

impl Status {
    /// Code and phrase, such as `201 Created`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::Created => "201 Created",
            Self::NoContent => "204 No Content",
            Self::NotModified => "304 Not Modified",
            Self::BadRequest => "400 Bad Request",
            Self::Unauthorized => "401 Unauthorized",
            Self::Forbidden => "403 Forbidden",
            Self::NotFound => "404 Not Found",
            Self::Conflict => "409 Conflict",
            Self::Gone => "410 Gone",
            Self::PreconditionFailed => "412 Precondition Failed",
            Self::Unprocessable => "422 Unprocessable Entity",
            Self::ServerError => "500 Internal Server Error",
            Self::Unavailable => "503 Service Unavailable",
        }
    }

    /// The code alone.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::Created => 201,
            Self::NoContent => 204,
            Self::NotModified => 304,
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::Gone => 410,
            Self::PreconditionFailed => 412,
            Self::Unprocessable => 422,
            Self::ServerError => 500,
            Self::Unavailable => 503,
        }
    }
}

/// What the store did for one step.
#[derive(Debug, Clone, PartialEq)]
pub enum StepOutcome {
    /// A version was written or is there: created, updated, or matched by a conditional create.
    Stored {
        /// [`Status::Created`] for a first version, otherwise [`Status::Ok`].
        status: Status,
        /// The version.
        version: u64,
        /// When it was written.
        last_updated: Timestamp,
    },
    /// The resource is no longer there.
    Deleted,
    /// A resource or search set was read.
    Read {
        /// The resource.
        resource: Json,
    },
    /// It could not be done.
    Failed {
        /// How to answer.
        status: Status,
        /// Why.
        issues: Vec<Issue>,
    },
}

impl BundlePlan {
    /// The Bundle to answer with; `outcomes` are those of the steps, in the order of the steps.
    /// A step without an outcome is answered as a server error.
    ///
    /// # Privacy
    /// Holds what was read, and the keys of what was written.
    #[must_use]
    pub fn response(&self, outcomes: &[StepOutcome]) -> Json {
        let mut entries: Vec<(usize, Json)> = self
            .steps
            .iter()
            .enumerate()
            .map(|(nth, step)| (step.entry, entry(&step.operation, outcomes.get(nth))))
            .collect();
        entries.sort_by_key(|(at, _)| *at);
        let kind = match self.kind {
            BundleKind::Transaction => "transaction-response",
            BundleKind::Batch => "batch-response",
        };
        let mut bundle = json!({"resourceType": "Bundle", "type": kind});
        if let (false, Some(object)) = (entries.is_empty(), bundle.as_object_mut()) {
            let entries = entries.into_iter().map(|(_, entry)| entry).collect();
            object.insert("entry".to_owned(), Json::Array(entries));
        }
        bundle
    }
}

fn entry(operation: &Operation, outcome: Option<&StepOutcome>) -> Json {
    let mut response = Map::new();
    let mut out = Map::new();
    let mut status = Status::ServerError;
    match (operation, outcome) {
        (Operation::Refused { status: refused, issues }, _) => {
            status = *refused;
            response.insert("outcome".to_owned(), operation_outcome(issues));
        }
        (_, None) => {}
        (_, Some(StepOutcome::Failed { status: failed, issues })) => {
            status = *failed;
            response.insert("outcome".to_owned(), operation_outcome(issues));
        }
        (_, Some(StepOutcome::Deleted)) => status = Status::NoContent,
        (_, Some(StepOutcome::Read { resource })) => {
            status = Status::Ok;
            out.insert("resource".to_owned(), resource.clone());
        }
        (operation, Some(StepOutcome::Stored { status: stored, version, last_updated })) => {
            status = *stored;
            if let Some(key) = key_of(operation) {
                response.insert("location".to_owned(), json!(format!("{key}/_history/{version}")));
            }
            response.insert("etag".to_owned(), json!(format!("W/\"{version}\"")));
            response.insert("lastModified".to_owned(), json!(last_updated.to_string()));
        }
    }
    response.insert("status".to_owned(), json!(status.as_str()));
    out.insert("response".to_owned(), Json::Object(response));
    Json::Object(out)
}

fn key_of(operation: &Operation) -> Option<&ResourceKey> {
    match operation {
        Operation::Create { key, .. }
        | Operation::Exists { key }
        | Operation::Update { key, .. } => Some(key),
        _ => None,
    }
}
