//! Subscriptions over REST, and the reading for subscribers who are not there.
//!
//! Subscriptions are no records of patients: they are kept apart from the resources, are seen by
//! their own subscriber alone, and are made one by one, never in a Bundle or by an import.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use salus_fhir::{IssueCode, ResourceId};
use salus_ingest::fhir::Repository;
use salus_ingest::fhir::repository::{Answer, Ask, SearchPage, Stored};
use salus_ingest::fhir::subscribe::{
    Candidates, Standing, StandingError, SubscribeError, Subscriber, Subscriptions,
};
use salus_model::{Class, Classified as _};
use salus_query::{AccessKind, AccessToken, Acting, DisclosureError, Gateway};
use serde_json::{Value as Json, json};

use super::access::{Past, disclosure, line};
use super::outcome::FhirError;
use super::searchset::{Links, searchset};
use super::write::resource;
use super::{Fhir, headers};

pub(super) const SUBSCRIPTION: &str = "Subscription";

/// What the CapabilityStatement says of subscriptions.
pub(super) fn advertise(statement: &mut Json, offered: Option<&Subscriptions>) {
    let resources = statement.pointer_mut("/rest/0/resource").and_then(Json::as_array_mut);
    let Some(resources) = resources else { return };
    if offered.is_none() {
        resources.retain(|resource| resource["type"] != SUBSCRIPTION);
        return;
    }
    let own = resources.iter_mut().find(|resource| resource["type"] == SUBSCRIPTION);
    if let Some(own) = own.and_then(Json::as_object_mut) {
        let codes = ["read", "update", "delete", "create", "search-type"];
        let codes: Vec<Json> = codes.iter().map(|code| json!({"code": code})).collect();
        own.insert("interaction".to_owned(), Json::Array(codes));
        own.insert("versioning".to_owned(), json!("versioned"));
        own.insert("conditionalDelete".to_owned(), json!("not-supported"));
        for not_offered in ["readHistory", "updateCreate", "conditionalCreate", "conditionalUpdate"]
        {
            own.insert(not_offered.to_owned(), json!(false));
        }
    }
}

impl From<DisclosureError<SubscribeError>> for FhirError {
    fn from(error: DisclosureError<SubscribeError>) -> Self {
        let error = match error {
            DisclosureError::Gateway(e) => return e.into(),
            DisclosureError::Job(e) => e,
        };
        let message = error.to_string();
        match error {
            SubscribeError::Refused(issues) => {
                Self { status: StatusCode::UNPROCESSABLE_ENTITY, issues }
            }
            SubscribeError::Absent => Self::not_found(),
            SubscribeError::OtherVersion => {
                Self::new(StatusCode::PRECONDITION_FAILED, IssueCode::Conflict, message)
            }
            SubscribeError::TooMany { .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, IssueCode::TooCostly, message)
            }
            failed => {
                let transient = failed.class() == Class::Unavailable;
                tracing::error!(error = %failed, "a subscription cannot be kept");
                if transient {
                    Self::new(StatusCode::SERVICE_UNAVAILABLE, IssueCode::Transient, message)
                } else {
                    Self::new(StatusCode::INTERNAL_SERVER_ERROR, IssueCode::Exception, message)
                }
            }
        }
    }
}

/// Whether a request changes subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Shows,
    Changes,
}

impl Fhir {
    /// The subscriptions; whether there are any is told to those who have a token.
    async fn subscriptions(&self, token: &AccessToken) -> Result<Subscriptions, FhirError> {
        if let Some(subscriptions) = &self.subscriptions {
            return Ok(subscriptions.clone());
        }
        self.gateway.identify(token).await?;
        let message = "this site notifies nobody: the holder lists origins in salus.toml, \
                       [fhir.subscriptions] allow";
        Err(FhirError::new(StatusCode::NOT_FOUND, IssueCode::NotSupported, message))
    }

    /// Lets a person work on their subscriptions, as their role allows, on record.
    async fn on_subscriptions<T, R>(
        &self,
        headers: &HeaderMap,
        (work, statement): (Work, String),
        job: impl FnOnce(Subscriptions, Subscriber) -> R + Send + 'static,
    ) -> Result<T, FhirError>
    where
        T: Send + 'static,
        R: Future<Output = Result<(T, u64), SubscribeError>> + Send + 'static,
    {
        let token = headers::token(headers)?;
        let subscriptions = self.subscriptions(&token).await?;
        let kind = match work {
            Work::Shows => AccessKind::FhirRead,
            Work::Changes => AccessKind::FhirWrite,
        };
        let mut disclosure = disclosure(headers::role(headers)?, kind, statement, Past::NotNeeded)?;
        if work == Work::Changes {
            disclosure.writes.insert(SUBSCRIPTION.to_owned());
        }
        let done = self.gateway.disclose(&token, disclosure, async move |release, acting| {
            let Acting { staff, role, purpose } = acting;
            let subscriber = Subscriber { staff, role, purpose };
            job(subscriptions, subscriber).await.map(|done| release.enclose(done))
        });
        Ok(done.await?)
    }
}

fn id(text: &str) -> Result<ResourceId, FhirError> {
    ResourceId::new(text).map_err(|_| FhirError::not_found())
}

fn shown(fhir: &Fhir, status: StatusCode, stored: &Stored) -> Response {
    let mut response = headers::json(status, stored.text.to_string());
    headers::versioned(&mut response, stored.version, stored.last_updated);
    if status == StatusCode::CREATED {
        let location = format!("{}/{}", fhir.base_url, stored.key);
        headers::put(response.headers_mut(), LOCATION, &location);
    }
    response
}

/// `POST Subscription`.
pub(super) async fn create(
    State(fhir): State<Fhir>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, FhirError> {
    let resource = resource(&headers, body, SUBSCRIPTION)?;
    let statement = (Work::Changes, line("POST", SUBSCRIPTION, ""));
    let stored = fhir.on_subscriptions(&headers, statement, async move |kept, subscriber| {
        Ok((kept.create(subscriber, resource).await?, 1))
    });
    Ok(shown(&fhir, StatusCode::CREATED, &stored.await?))
}

/// `GET Subscription/id`.
pub(super) async fn read(
    State(fhir): State<Fhir>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, FhirError> {
    headers::acceptable(&headers, "")?;
    let id = id(&name)?;
    let statement = (Work::Shows, line("GET", &format!("{SUBSCRIPTION}/{id}"), ""));
    let stored = fhir.on_subscriptions(&headers, statement, async move |kept, subscriber| {
        let stored = kept.read(&subscriber.staff, &id).ok_or(SubscribeError::Absent)?;
        Ok((stored, 1))
    });
    Ok(shown(&fhir, StatusCode::OK, &stored.await?))
}

/// `GET Subscription?…`: the caller's own ones, all on one page.
pub(super) async fn search(
    State(fhir): State<Fhir>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, FhirError> {
    let query = query.unwrap_or_default();
    headers::acceptable(&headers, &query)?;
    headers::token(&headers)?;
    let handling = headers::handling(&headers);
    let parsed = super::search::parse(SUBSCRIPTION, &query, handling, fhir.clock.now())?;
    let statement = (Work::Shows, line("GET", SUBSCRIPTION, &query));
    let asked = parsed.query;
    let found = fhir.on_subscriptions(&headers, statement, async move |kept, subscriber| {
        let found = kept.search(&subscriber.staff, &asked);
        let count = found.len() as u64;
        Ok((found, count))
    });
    let matches = found.await?;
    let page = SearchPage {
        total: matches.len(),
        matches,
        included: Vec::new(),
        included_all: true,
        next: None,
    };
    let own = format!("{}/{SUBSCRIPTION}?{}", fhir.base_url, parsed.used);
    let links = Links { own: own.trim_end_matches('?').to_owned(), next: None };
    let body = searchset(&fhir.base_url, &links, &page, &parsed.notes);
    Ok(headers::json(StatusCode::OK, body))
}

/// The version that `If-Match` names.
fn wanted_version(headers: &HeaderMap) -> Result<Option<u64>, FhirError> {
    let Some(tag) = headers::if_match(headers) else { return Ok(None) };
    let bare = tag.trim().trim_start_matches("W/").trim_matches('"');
    let wrong = |_| FhirError::bad_request(IssueCode::Value, "If-Match is written W/\"3\"");
    bare.parse().map(Some).map_err(wrong)
}

/// `PUT Subscription/id`.
pub(super) async fn update(
    State(fhir): State<Fhir>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, FhirError> {
    let resource = resource(&headers, body, SUBSCRIPTION)?;
    let (id, if_match) = (id(&name)?, wanted_version(&headers)?);
    if resource.get("id").and_then(Json::as_str) != Some(id.as_str()) {
        let message = "its id must be the one in the URL";
        return Err(FhirError::bad_request(IssueCode::Value, message));
    }
    let statement = (Work::Changes, line("PUT", &format!("{SUBSCRIPTION}/{id}"), ""));
    let stored = fhir.on_subscriptions(&headers, statement, async move |kept, subscriber| {
        Ok((kept.update(subscriber, &id, resource, if_match).await?, 1))
    });
    Ok(shown(&fhir, StatusCode::OK, &stored.await?))
}

/// `DELETE Subscription/id`.
pub(super) async fn delete(
    State(fhir): State<Fhir>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, FhirError> {
    let (id, if_match) = (id(&name)?, wanted_version(&headers)?);
    let statement = (Work::Changes, line("DELETE", &format!("{SUBSCRIPTION}/{id}"), ""));
    let removed = fhir.on_subscriptions(&headers, statement, async move |kept, subscriber| {
        let removed = kept.remove(&subscriber.staff, &id, if_match).await?;
        Ok((removed, u64::from(removed)))
    });
    removed.await?;
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// Reads for subscribers through the gateway.
struct Reader {
    gateway: Gateway,
    repository: Repository,
}

/// What reads for subscribers who are not there: through the gateway, in the role in which they
/// subscribed, under its rules of the moment.
#[must_use]
pub fn standing(gateway: Gateway, repository: Repository) -> Arc<dyn Standing> {
    Arc::new(Reader { gateway, repository })
}

#[async_trait::async_trait]
impl Standing for Reader {
    async fn matching(
        &self,
        subscriber: &Subscriber,
        candidates: Candidates,
    ) -> Result<Vec<Stored>, StandingError> {
        let Subscriber { staff, role, purpose } = subscriber.clone();
        let Candidates { subscription, query, keys } = candidates;
        let statement = format!("notify {SUBSCRIPTION}/{subscription} of {}", query.resource_type);
        let kind = AccessKind::FhirRead;
        let disclosure = disclosure(Some(role.clone()), kind, statement, Past::NotNeeded);
        let disclosure = disclosure.map_err(|_| StandingError::Unavailable)?;
        let (repository, query) = (self.repository.clone(), Box::new(query));
        let acting = Acting { staff, role, purpose };
        let answered =
            self.gateway.disclose_standing(&acting, disclosure, async move |release, _| {
                repository.answer_counted(release, Ask::Among { query, keys }).await
            });
        match answered.await {
            Ok(Answer::Matches(page)) => Ok(page.matches),
            Ok(_) => Err(StandingError::Unavailable),
            Err(error) if error.class() == Class::Refused => Err(StandingError::Refused),
            Err(_) => Err(StandingError::Unavailable),
        }
    }
}
