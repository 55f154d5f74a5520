//! `POST $import`: the body is what one file of a Bulk Data export has, a resource a line.
//!
//! # Source
//! No specification is in force. The media type and the answer follow Bulk Data's files and FHIR's
//! OperationOutcome; the drafts by manifest ("ping and pull") have the server fetch addresses that
//! a caller names, which `salus import --fhir` does for addresses that the holder configured.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures::StreamExt as _;
use salus_fhir::bundle::BundleRequest;
use salus_fhir::{Issue, IssueCode, Severity, operation_outcome};
use salus_ingest::fhir::repository::{Author, Carried, RepositoryError};
use salus_ingest::fhir::{Deletion, FhirFormat, FhirSource, Intake, Verdict, resource_of_line};
use salus_query::AccessKind;
use serde_json::{Value as Json, json};

use super::super::access::{Past, disclosure};
use super::super::headers;
use super::super::outcome::FhirError;
use super::Bulk;

/// The most that one import may have.
pub const IMPORT_BYTES: u64 = 8 << 30;
/// A line above this is quarantined with its beginning.
const LINE_BYTES: usize = salus_fhir::JsonLimits::RESOURCE.bytes;
/// Resources and bytes that are stored together, as one transaction.
const TOGETHER: usize = 200;
const TOGETHER_BYTES: usize = 4 << 20;
/// Bytes of refused lines that are put into quarantine together.
const REFUSED_BYTES: usize = 32 << 20;
/// Issues in the answer; what is beyond is counted.
const ISSUES: usize = 100;

pub(super) async fn ndjson(
    State(bulk): State<Bulk>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, FhirError> {
    headers::acceptable(&headers, "")?;
    bulk.acting(&headers).await?;
    media_type(&headers)?;
    let mut import = Import::new(&bulk, &headers);
    let mut pieces = body.into_data_stream();
    let mut bytes = 0;
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| {
            let message = "the body broke off; what came before is stored. Send it again: what is \
                           here already gets a new version and nothing else";
            FhirError::bad_request(IssueCode::Transient, message)
        })?;
        bytes += piece.len() as u64;
        if bytes > IMPORT_BYTES {
            let message = "the body has more than 8 GiB; send it in several files";
            return Err(FhirError::new(StatusCode::PAYLOAD_TOO_LARGE, IssueCode::TooLong, message));
        }
        import.take(&piece).await?;
    }
    let issues = import.finish().await?;
    Ok(headers::json(StatusCode::OK, operation_outcome(&issues).to_string()))
}

fn media_type(headers: &HeaderMap) -> Result<(), FhirError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if matches!(kind.as_str(), "application/fhir+ndjson" | "application/ndjson") {
        return Ok(());
    }
    let message = "send one resource a line, as application/fhir+ndjson";
    Err(FhirError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, IssueCode::NotSupported, message))
}

/// A line that conforms and is not stored yet.
struct Ready {
    line: u64,
    key: String,
    resource: Json,
    bytes: usize,
}

struct Import<'b> {
    bulk: &'b Bulk,
    headers: &'b HeaderMap,
    /// The line of the moment, and whether its end is passed over.
    line: Vec<u8>,
    overlong: bool,
    number: u64,
    ready: Vec<Ready>,
    keys: BTreeSet<String>,
    /// Lines that are refused, each at its place; other lines are blank.
    refused: Vec<u8>,
    refused_after: u64,
    accepted: u64,
    quarantined: u64,
    issues: Vec<Issue>,
    beyond: u64,
}

impl<'b> Import<'b> {
    fn new(bulk: &'b Bulk, headers: &'b HeaderMap) -> Self {
        Self {
            bulk,
            headers,
            line: Vec::new(),
            overlong: false,
            number: 0,
            ready: Vec::new(),
            keys: BTreeSet::new(),
            refused: Vec::new(),
            refused_after: 0,
            accepted: 0,
            quarantined: 0,
            issues: Vec::new(),
            beyond: 0,
        }
    }

    async fn take(&mut self, mut piece: &[u8]) -> Result<(), FhirError> {
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = piece.split_at(end);
            self.grow(line);
            self.end_of_line().await?;
            piece = rest.get(1..).unwrap_or_default();
        }
        self.grow(piece);
        Ok(())
    }

    fn grow(&mut self, bytes: &[u8]) {
        // One byte more than is accepted shows that it is too long.
        let room = (LINE_BYTES + 1).saturating_sub(self.line.len());
        self.overlong |= bytes.len() > room;
        self.line.extend(bytes.iter().take(room));
    }

    async fn end_of_line(&mut self) -> Result<(), FhirError> {
        self.number += 1;
        self.overlong = false;
        let line = std::mem::take(&mut self.line);
        if line.iter().all(u8::is_ascii_whitespace) {
            self.refused.push(b'\n');
            return Ok(());
        }
        match resource_of_line(&line) {
            Ok(resource) => {
                self.refused.push(b'\n');
                self.add(resource, line.len()).await?;
            }
            Err((element, reason)) => {
                self.refused.extend(line);
                self.refused.push(b'\n');
                self.quarantined += 1;
                let expression = (!element.is_empty()).then_some(element);
                let diagnostics = format!("line {}: {reason}", self.number);
                self.tell(Issue {
                    severity: Severity::Error,
                    code: IssueCode::Invalid,
                    diagnostics,
                    expression,
                });
            }
        }
        if self.refused.len() >= REFUSED_BYTES {
            self.quarantine().await?;
        }
        Ok(())
    }

    async fn add(&mut self, resource: Json, bytes: usize) -> Result<(), FhirError> {
        let text = |name: &str| resource.get(name).and_then(Json::as_str).unwrap_or_default();
        let key = format!("{}/{}", text("resourceType"), text("id"));
        let together: usize = self.ready.iter().map(|ready| ready.bytes).sum();
        let full = self.ready.len() >= TOGETHER || together + bytes > TOGETHER_BYTES;
        // A transaction names no resource twice.
        if full || !self.keys.insert(key.clone()) {
            self.store().await?;
            self.keys.insert(key.clone());
        }
        self.ready.push(Ready { line: self.number, key, resource, bytes });
        Ok(())
    }

    /// Stores what is ready: all together, and where that is refused, one by one.
    async fn store(&mut self) -> Result<(), FhirError> {
        self.keys.clear();
        let ready = std::mem::take(&mut self.ready);
        if ready.is_empty() {
            return Ok(());
        }
        match self.carry_out(&ready).await {
            Ok(()) => {
                self.accepted += ready.len() as u64;
                return Ok(());
            }
            Err(error) if error.status.is_server_error() || error.status == 401 => {
                return Err(error);
            }
            Err(_) => {}
        }
        for one in ready {
            match self.carry_out(std::slice::from_ref(&one)).await {
                Ok(()) => self.accepted += 1,
                Err(error) if error.status.is_server_error() || error.status == 401 => {
                    return Err(error);
                }
                // Not into quarantine: the caller may not bring it here at all.
                Err(error) => {
                    for issue in error.issues {
                        let diagnostics = format!("line {}: {}", one.line, issue.diagnostics);
                        self.tell(Issue { diagnostics, ..issue });
                    }
                }
            }
        }
        Ok(())
    }

    async fn carry_out(&self, ready: &[Ready]) -> Result<(), FhirError> {
        let entry = |ready: &Ready| {
            let request = json!({"method": "PUT", "url": ready.key});
            json!({"resource": ready.resource, "request": request})
        };
        let entries: Vec<Json> = ready.iter().map(entry).collect();
        let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
        let request = BundleRequest::parse(bundle)
            .map_err(|issues| FhirError { status: StatusCode::BAD_REQUEST, issues })?;
        let (token, role) = (headers::token(self.headers)?, headers::role(self.headers)?);
        let statement = format!("POST $import of {} resources", ready.len());
        let mut disclosure = disclosure(role, AccessKind::FhirWrite, statement, Past::NotNeeded)?;
        disclosure.writes = request.written_types().into_iter().map(str::to_owned).collect();
        let repository = self.bulk.repository.clone();
        let carried =
            self.bulk.gateway.disclose(&token, disclosure, async move |release, acting| {
                let author = Author { staff: acting.staff, role: acting.role };
                let carried = repository.carry_out(release, &author, &request).await?;
                Ok::<_, RepositoryError>(carried.compute(|carried| {
                    let count = carried.resources();
                    (carried, count)
                }))
            });
        match carried.await? {
            Carried::Done { .. } => Ok(()),
            Carried::Refused { status, issues } => Err(FhirError::refused(status, issues)),
        }
    }

    fn tell(&mut self, issue: Issue) {
        if self.issues.len() < ISSUES { self.issues.push(issue) } else { self.beyond += 1 }
    }

    /// Puts the refused lines into quarantine, with their numbers.
    async fn quarantine(&mut self) -> Result<(), FhirError> {
        let lines = std::mem::take(&mut self.refused);
        let before = std::mem::replace(&mut self.refused_after, self.number);
        if lines.iter().all(|byte| *byte == b'\n') {
            return Ok(());
        }
        let source = Box::new(std::io::Cursor::new(lines));
        let sources: Vec<FhirSource> = vec![("$import".to_owned(), FhirFormat::Ndjson, source)];
        let kept = self.bulk.importer.run_through(sources, RefuseAll { before }, |_| ()).await;
        kept.map(|_| ()).map_err(|error| {
            tracing::error!(%error, "refused lines cannot be put into quarantine");
            let message = "what was refused cannot be kept; send the rest again later";
            FhirError::new(StatusCode::SERVICE_UNAVAILABLE, IssueCode::Transient, message)
        })
    }

    async fn finish(mut self) -> Result<Vec<Issue>, FhirError> {
        if !self.line.is_empty() {
            self.end_of_line().await?;
        }
        self.store().await?;
        self.quarantine().await?;
        let mut diagnostics =
            format!("{} resources stored, {} lines quarantined", self.accepted, self.quarantined);
        if self.beyond > 0 {
            diagnostics.push_str(&format!("; {} more issues are not listed", self.beyond));
        }
        let summary = Issue {
            severity: Severity::Information,
            code: IssueCode::Informational,
            diagnostics,
            expression: None,
        };
        let mut issues = vec![summary];
        issues.append(&mut self.issues);
        Ok(issues)
    }
}

/// Sees to it that nothing gets into the lake past the repository.
struct RefuseAll {
    before: u64,
}

impl Intake for RefuseAll {
    fn resource(&mut self, _: usize, _: &Json) -> Verdict {
        Verdict::Refuse { element: String::new(), reason: "it was refused at first".to_owned() }
    }

    fn deletion(&mut self, _: usize, _: &Deletion) -> Verdict {
        Verdict::Refuse { element: String::new(), reason: "no deletion belongs here".to_owned() }
    }

    fn malformed(&mut self, _: usize) {}

    fn refused(&mut self, _: &str) -> Verdict {
        Verdict::Take
    }

    fn lines_before(&self, _: usize) -> u64 {
        self.before
    }

    fn end(&mut self, _: usize) -> Option<(String, String)> {
        None
    }
}
