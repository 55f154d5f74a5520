use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use salus_fhir::search::{SearchError, SearchQuery};
use salus_fhir::{Issue, IssueCode};
use salus_ingest::fhir::repository::{Answer, Ask};
use salus_model::Timestamp;

use super::access::{Past, line};
use super::cursor::CURSOR;
use super::headers::Handling;
use super::outcome::FhirError;
use super::searchset::{Links, note, searchset};
use super::{Fhir, headers, resource_type};

/// Matches on a page when the client does not say.
const PAGE: usize = 50;
/// The most matches on a page.
const MOST: usize = 1000;

/// A search that can be answered.
pub(super) struct Parsed {
    pub(super) query: SearchQuery,
    /// The parameters that are used, as a URL has them.
    pub(super) used: String,
    pub(super) cursor: Option<String>,
    /// What was passed over.
    pub(super) notes: Vec<Issue>,
}

/// Reads parameters; with lenient handling, unknown ones are passed over and told.
pub(super) fn parse(
    name: &'static str,
    query: &str,
    handling: Handling,
    now: Timestamp,
) -> Result<Parsed, FhirError> {
    let (mut used, mut cursor) = (form_urlencoded::Serializer::new(String::new()), None);
    let mut notes = Vec::new();
    for (parameter, value) in form_urlencoded::parse(query.as_bytes()) {
        if parameter == CURSOR {
            cursor = Some(value.into_owned());
            continue;
        }
        if matches!(parameter.as_ref(), "_format" | "_pretty") {
            continue;
        }
        let mut alone = form_urlencoded::Serializer::new(String::new());
        alone.append_pair(&parameter, &value);
        match SearchQuery::parse(name, &alone.finish(), now) {
            Err(error @ SearchError::Unknown { .. }) if handling == Handling::Lenient => {
                notes.push(note(format!("{error}; it was passed over")));
            }
            Err(error) => return Err(wrong(&error)),
            Ok(_) => {
                used.append_pair(&parameter, &value);
            }
        }
    }
    let used = used.finish();
    let query = SearchQuery::parse(name, &used, now).map_err(|e| wrong(&e))?;
    Ok(Parsed { query, used, cursor, notes })
}

fn wrong(error: &SearchError) -> FhirError {
    let code = match error {
        SearchError::Unknown { .. } | SearchError::Modifier { .. } => IssueCode::NotSupported,
        SearchError::TooMany { .. } => IssueCode::TooCostly,
        SearchError::ResourceType { .. } | SearchError::Value { .. } => IssueCode::Value,
    };
    FhirError::bad_request(code, error.to_string())
}

/// `GET Type?…`.
pub(super) async fn by_url(
    State(fhir): State<Fhir>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, FhirError> {
    search(&fhir, &name, &query.unwrap_or_default(), &headers, "GET").await
}

/// `POST Type/_search`, which keeps values out of URLs and the logs of proxies.
pub(super) async fn by_form(
    State(fhir): State<Fhir>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, FhirError> {
    let body = body?;
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !body.is_empty() && !kind.starts_with("application/x-www-form-urlencoded") {
        let message = "send search parameters as application/x-www-form-urlencoded";
        let (status, code) = (StatusCode::UNSUPPORTED_MEDIA_TYPE, IssueCode::NotSupported);
        return Err(FhirError::new(status, code, message));
    }
    let body = std::str::from_utf8(&body);
    let body =
        body.map_err(|_| FhirError::bad_request(IssueCode::Structure, "the form is not UTF-8"))?;
    let parts = [query.as_deref().unwrap_or_default(), body];
    let all: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    search(&fhir, &name, &all.join("&"), &headers, "POST").await
}

async fn search(
    fhir: &Fhir,
    name: &str,
    query: &str,
    headers: &HeaderMap,
    method: &str,
) -> Result<Response, FhirError> {
    headers::acceptable(headers, query)?;
    headers::token(headers)?;
    let name = resource_type(name)?;
    let Parsed { query: search, used, cursor, notes } =
        parse(name, query, headers::handling(headers), fhir.clock.now())?;
    let request = format!("{name}?{used}");
    let after = cursor.map(|cursor| fhir.cursors.open(&request, &cursor)).transpose()?;
    let count = search.count.unwrap_or(PAGE).min(MOST);
    let statement = line(method, name, query);
    let ask = Ask::Search { query: Box::new(search), after, count };
    let Answer::Matches(page) = fhir.ask(headers, statement, ask, Past::NotNeeded).await? else {
        return Err(FhirError::not_found());
    };
    let mut links = Links { own: link(&fhir.base_url, &request), next: None };
    let next = page.next.and_then(|after| fhir.cursors.seal(&request, after));
    links.next = next.map(|cursor| {
        let separator = if used.is_empty() { "" } else { "&" };
        format!("{}/{request}{separator}{CURSOR}={cursor}", fhir.base_url)
    });
    let body = searchset(&fhir.base_url, &links, &page, &notes);
    Ok(headers::json(StatusCode::OK, body))
}

/// A link without a question mark that nothing follows.
fn link(base: &str, request: &str) -> String {
    format!("{base}/{}", request.trim_end_matches('?'))
}

/// `GET ?…`: a search over all types is not offered.
pub(super) async fn system(headers: HeaderMap) -> FhirError {
    if let Err(refused) = headers::token(&headers) {
        return refused;
    }
    let message = "a search names a resource type, as in Patient?name=…";
    FhirError::new(StatusCode::NOT_FOUND, IssueCode::NotSupported, message)
}
