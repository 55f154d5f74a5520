use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{OriginalUri, Path, RawQuery, State};
use axum::http::header::CONTENT_LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use salus_fhir::{Issue, IssueCode, Severity, operation_outcome};
use salus_ingest::fhir::patient_of;
use salus_ingest::fhir::repository::{After, Answer, Ask, RepositoryError, Stored};
use salus_model::{RoleName, Timestamp};
use salus_node::clients::Clients;
use salus_node::exports::{ExportOrder, ExportPages, ExportedPage};
use salus_query::{AccessKind, AccessToken, DisclosureError, Gateway};
use serde_json::Value as Json;

use super::super::access::{Past, disclosure, line};
use super::super::headers;
use super::super::outcome::FhirError;
use super::super::read::key;
use super::request::ExportRequest;
use super::{Bulk, owner};

/// Resources in one access.
const PAGE: usize = 1000;

/// Whose records.
#[derive(Debug, Clone)]
enum Level {
    System,
    Patients,
    /// Of these, as `Patient/id`.
    Of(Arc<BTreeSet<String>>),
}

impl Level {
    /// Whether a resource belongs to it: one that names a patient as its subject, patient or
    /// beneficiary, and the patient.
    fn has(&self, stored: &Stored) -> bool {
        if matches!(self, Self::System) {
            return true;
        }
        let Ok(resource) = serde_json::from_str::<Json>(&stored.text) else { return false };
        let key = stored.key.to_string();
        let patient = patient_of(stored.key.resource_type(), &key, &resource);
        match (self, patient) {
            (Self::System, _) | (Self::Patients, Some(_)) => true,
            (Self::Of(patients), Some(patient)) => patients.contains(&patient),
            (_, None) => false,
        }
    }
}

pub(super) async fn system(
    State(bulk): State<Bulk>,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, FhirError> {
    begin(&bulk, &uri, &query.unwrap_or_default(), &headers, Level::System).await
}

pub(super) async fn patients(
    State(bulk): State<Bulk>,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, FhirError> {
    begin(&bulk, &uri, &query.unwrap_or_default(), &headers, Level::Patients).await
}

pub(super) async fn group(
    State(bulk): State<Bulk>,
    Path(id): Path<String>,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, FhirError> {
    let query = query.unwrap_or_default();
    ExportRequest::parse(&query, &headers)?;
    let group = key("Group", &id)?;
    let statement = line("GET", &format!("{group}/$export"), "");
    let pages = pages(&bulk, &headers, Level::System, statement, None)?;
    let answer = pages.ask(Ask::Read(group)).await?;
    let Answer::Found(stored) = answer else { return Err(FhirError::not_found()) };
    let level = Level::Of(Arc::new(members(&stored)));
    begin(&bulk, &uri, &query, &headers, level).await
}

/// The patients whom a Group names, without those that it says have left.
fn members(group: &Stored) -> BTreeSet<String> {
    let group: Json = serde_json::from_str(&group.text).unwrap_or_default();
    let members = group.get("member").and_then(Json::as_array);
    let active = |member: &&Json| member.get("inactive").and_then(Json::as_bool) != Some(true);
    let reference = |member: &Json| {
        let reference = member.get("entity")?.get("reference")?.as_str()?;
        let (_, id) = reference.rsplit_once("Patient/")?;
        Some(format!("Patient/{}", id.split('/').next()?))
    };
    members.into_iter().flatten().filter(active).filter_map(reference).collect()
}

fn pages(
    bulk: &Bulk,
    headers: &HeaderMap,
    level: Level,
    statement: String,
    request: Option<ExportRequest>,
) -> Result<Pages, FhirError> {
    let token = headers::token(headers)?;
    // A client's own token runs out before a long export is done.
    let (token, lease) = match bulk.clients.for_job(&token) {
        Some(token) => {
            let token = Arc::new(token);
            let clients = Arc::clone(&bulk.clients);
            (Arc::clone(&token), Some(Lease { clients, token }))
        }
        None => (Arc::new(token), None),
    };
    let request = request.unwrap_or(ExportRequest { types: None, since: None });
    Ok(Pages {
        gateway: bulk.gateway.clone(),
        repository: bulk.repository.clone(),
        token,
        _lease: lease,
        role: headers::role(headers)?,
        level,
        request,
        statement,
    })
}

async fn begin(
    bulk: &Bulk,
    uri: &axum::http::Uri,
    query: &str,
    headers: &HeaderMap,
    level: Level,
) -> Result<Response, FhirError> {
    headers::acceptable(headers, "")?;
    let acting = bulk.acting(headers).await?;
    let request = ExportRequest::parse(query, headers)?;
    let path = uri.path().trim_start_matches("/fhir").trim_start_matches('/');
    let statement = line("GET", path, query);
    let transaction_time: Timestamp = bulk.clock.now();
    let pages = pages(bulk, headers, level, statement, Some(request))?;
    let below = uri.path_and_query().map_or("", |path| path.as_str());
    let below = below.strip_prefix("/fhir").unwrap_or(below);
    let order = ExportOrder {
        owner: owner(acting),
        request: format!("{}{below}", bulk.base_url),
        transaction_time,
        pages,
    };
    let job = bulk.exports.begin(order)?;
    let accepted = Issue {
        severity: Severity::Information,
        code: IssueCode::Informational,
        diagnostics: "the export is being made; ask at Content-Location".to_owned(),
        expression: None,
    };
    let body = operation_outcome(&[accepted]).to_string();
    let mut response = headers::json(StatusCode::ACCEPTED, body);
    let location = format!("{}/$export-status/{job}", bulk.base_url);
    headers::put(response.headers_mut(), CONTENT_LOCATION, &location);
    Ok(response)
}

/// Holds a client's token for as long as a job runs.
struct Lease {
    clients: Arc<Clients>,
    token: Arc<AccessToken>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.clients.forget(&self.token);
    }
}

/// The repository as the caller sees it.
struct Pages {
    gateway: Gateway,
    repository: salus_ingest::fhir::Repository,
    token: Arc<AccessToken>,
    _lease: Option<Lease>,
    role: Option<RoleName>,
    level: Level,
    request: ExportRequest,
    statement: String,
}

impl Pages {
    /// One access, on record with how many resources of the level it showed.
    async fn ask(&self, ask: Ask) -> Result<Answer, DisclosureError<RepositoryError>> {
        let kind = AccessKind::FhirRead;
        let (role, statement) = (self.role.clone(), self.statement.clone());
        let disclosure =
            disclosure(role, kind, statement, Past::NotNeeded).map_err(DisclosureError::Job)?;
        let (repository, level) = (self.repository.clone(), self.level.clone());
        let answered = self.gateway.disclose(&self.token, disclosure, async move |release, _| {
            let answers = repository.answer(release, vec![ask]).await?;
            Ok::<_, RepositoryError>(answers.compute(|mut answers| {
                let mut answer = answers.pop().unwrap_or(Answer::Absent);
                if let Answer::Export(page) = &mut answer {
                    page.resources.retain(|stored| level.has(stored));
                }
                let count = answer.resources();
                (answer, count)
            }))
        });
        answered.await
    }
}

#[async_trait::async_trait]
impl ExportPages for Pages {
    type Cursor = After;
    type Refused = DisclosureError<RepositoryError>;

    async fn page(&self, after: Option<After>) -> Result<ExportedPage<After>, Self::Refused> {
        let ask = Ask::Export {
            types: self.request.types.clone(),
            since: self.request.since,
            after,
            count: PAGE,
        };
        let Answer::Export(page) = self.ask(ask).await? else {
            return Ok(ExportedPage { resources: Vec::new(), deleted: Vec::new(), next: None });
        };
        let resource = |stored: Stored| (stored.key.resource_type(), stored.text);
        Ok(ExportedPage {
            resources: page.resources.into_iter().map(resource).collect(),
            deleted: page.deleted.into_iter().map(|(key, _)| key.to_string()).collect(),
            next: page.next,
        })
    }
}
