use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use salus_fhir::{IssueCode, Temporal};
use salus_ingest::fhir::repository::{Answer, Ask, HistoryOf, HistoryPage};
use salus_model::Timestamp;

use super::access::{Past, line};
use super::cursor::CURSOR;
use super::outcome::FhirError;
use super::read::key;
use super::searchset::{self, Links};
use super::{Fhir, headers, resource_type};

/// Versions on a page when the client does not say.
const PAGE: usize = 50;
/// The most versions on a page.
const MOST: usize = 1000;

/// `GET _history`.
pub(super) async fn system(
    State(fhir): State<Fhir>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, FhirError> {
    answer(&fhir, &headers, query, "_history".to_owned(), HistoryOf::System).await
}

/// `GET Type/_history`.
pub(super) async fn of_type(
    State(fhir): State<Fhir>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, FhirError> {
    let name = resource_type(&name)?;
    answer(&fhir, &headers, query, format!("{name}/_history"), HistoryOf::Type(name)).await
}

/// `GET Type/id/_history`.
pub(super) async fn of_instance(
    State(fhir): State<Fhir>,
    Path((name, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, FhirError> {
    let key = key(&name, &id)?;
    answer(&fhir, &headers, query, format!("{key}/_history"), HistoryOf::Instance(key)).await
}

struct Wanted {
    count: usize,
    since: Option<Timestamp>,
    cursor: Option<String>,
    /// The parameters that are used, as a URL has them.
    used: String,
}

fn wanted(query: &str) -> Result<Wanted, FhirError> {
    let value = |name: &str, takes: &str| {
        FhirError::bad_request(IssueCode::Value, format!("'{name}' takes {takes}"))
    };
    let mut used = form_urlencoded::Serializer::new(String::new());
    let mut wanted = Wanted { count: PAGE, since: None, cursor: None, used: String::new() };
    for (name, given) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "_count" => {
                let count: usize = given.parse().map_err(|_| value("_count", "a whole number"))?;
                wanted.count = count.min(MOST);
            }
            "_since" => {
                let moment = Temporal::parse(&given)
                    .and_then(|moment| Timestamp::from_micros(moment.earliest_micros()).ok());
                let takes = "an instant such as 2026-01-01T00:00:00Z";
                wanted.since = Some(moment.ok_or_else(|| value("_since", takes))?);
            }
            CURSOR => {
                wanted.cursor = Some(given.into_owned());
                continue;
            }
            "_format" | "_pretty" => continue,
            _ => {
                let message = "a history takes _count and _since";
                return Err(FhirError::bad_request(IssueCode::NotSupported, message));
            }
        }
        used.append_pair(&name, &given);
    }
    wanted.used = used.finish();
    Ok(wanted)
}

async fn answer(
    fhir: &Fhir,
    headers: &HeaderMap,
    query: Option<String>,
    path: String,
    of: HistoryOf,
) -> Result<Response, FhirError> {
    let query = query.unwrap_or_default();
    headers::acceptable(headers, &query)?;
    headers::token(headers)?;
    let Wanted { count, since, cursor, used } = wanted(&query)?;
    let request = format!("{path}?{used}");
    let after = cursor.map(|cursor| fhir.cursors.open(&request, &cursor)).transpose()?;
    let is_instance = matches!(of, HistoryOf::Instance(_));
    let ask = Ask::History { of, since, after, count };
    let answer = fhir.ask(headers, line("GET", &path, &query), ask, Past::Needed).await?;
    let Answer::History(page) = answer else { return Err(FhirError::not_found()) };
    let HistoryPage { total, next, .. } = &page;
    if is_instance && *total == 0 && since.is_none() {
        return Err(FhirError::not_found());
    }
    let own = format!("{}/{}", fhir.base_url, request.trim_end_matches('?'));
    let next = next.and_then(|after| fhir.cursors.seal(&request, after));
    let next = next.map(|cursor| {
        let separator = if used.is_empty() { "" } else { "&" };
        format!("{}/{request}{separator}{CURSOR}={cursor}", fhir.base_url)
    });
    let body = searchset::history(&fhir.base_url, &Links { own, next }, &page);
    Ok(headers::json(StatusCode::OK, body))
}
