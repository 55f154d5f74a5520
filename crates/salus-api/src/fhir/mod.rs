//! `/fhir`: the FHIR R4 REST interface over a repository, every request a care access.
//!
//! `metadata` alone is open. Everything else needs `Authorization: Bearer <token>`, and a person
//! with several roles names one with `Salus-Role`.
//!
//! # Privacy
//! A resource that the caller's row rules hide answers as one that does not exist: it is not
//! found, not counted, not included and matches no condition. Page links are sealed, because
//! places in them count all resources. Request lines go on record with the names of search
//! parameters and without their values.
//!
//! # Source
//! HL7 FHIR R4 §3.1.0 (RESTful API) and §3.1.1 (search).

mod access;
pub mod bulk;
mod bundle;
mod cursor;
mod headers;
mod history;
mod hooks;
mod metadata;
mod outcome;
mod patch;
mod read;
mod search;
mod searchset;
mod subscription;
mod validation;
mod write;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use salus_crypto::OsEntropy;
use salus_crypto::aead::AeadKey;
use salus_fhir::{IssueCode, definitions};
use salus_ingest::fhir::Repository;
use salus_ingest::fhir::subscribe::Subscriptions;
use salus_model::{Clock, EntropyFailed};
use salus_node::Hooks;
use salus_query::Gateway;

use self::cursor::Cursors;
use self::outcome::FhirError;
pub use self::subscription::standing;

/// No request body is longer; a transaction has to fit into one append to the journal.
pub const BODY_BYTES: usize = 32 * 1024 * 1024;

/// A knock has no body worth reading.
const HOOK_BYTES: usize = 64 * 1024;

/// What the FHIR interface is made of.
pub struct FhirParts {
    /// Decides and puts on record.
    pub gateway: Gateway,
    /// Keeps the resources.
    pub repository: Repository,
    /// Who is told of changes; none where nobody is.
    pub subscriptions: Option<Subscriptions>,
    /// The present moment.
    pub clock: Arc<dyn Clock>,
    /// What links begin with, such as `https://127.0.0.1:7080/fhir`.
    pub base_url: String,
}

/// What every handler has.
#[derive(Clone)]
struct Fhir(Arc<Inner>);

struct Inner {
    gateway: Gateway,
    repository: Repository,
    subscriptions: Option<Subscriptions>,
    clock: Arc<dyn Clock>,
    base_url: String,
    cursors: Cursors,
}

impl std::ops::Deref for Fhir {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// The routes below `/fhir`.
///
/// # Errors
/// When no key for page links can be made.
pub fn router(parts: FhirParts) -> Result<Router, EntropyFailed> {
    let FhirParts { gateway, repository, subscriptions, clock, base_url } = parts;
    let cursors = Cursors::new(AeadKey::generate(&mut OsEntropy)?);
    let base_url = base_url.trim_end_matches('/').to_owned();
    let inner = Inner { gateway, repository, subscriptions, clock, base_url, cursors };
    let fhir = Fhir(Arc::new(inner));
    Ok(Router::new()
        .route("/fhir", get(search::system).post(bundle::process))
        .route("/fhir/", get(search::system).post(bundle::process))
        .route("/fhir/metadata", get(metadata::statement))
        .route("/fhir/_history", get(history::system))
        .route(
            "/fhir/{type}",
            get(search::by_url)
                .post(write::create)
                .put(write::update_where)
                .delete(write::delete_where),
        )
        .route("/fhir/{type}/_search", post(search::by_form))
        .route("/fhir/{type}/_history", get(history::of_type))
        .route("/fhir/{type}/$validate", post(validation::of_type))
        .route(
            "/fhir/{type}/{id}",
            get(read::current).put(write::update).patch(patch::instance).delete(write::delete),
        )
        .route("/fhir/{type}/{id}/_history", get(history::of_instance))
        .route("/fhir/{type}/{id}/_history/{version}", get(read::version))
        .route("/fhir/Subscription", get(subscription::search).post(subscription::create))
        .route(
            "/fhir/Subscription/{id}",
            get(subscription::read).put(subscription::update).delete(subscription::delete),
        )
        .method_not_allowed_fallback(async || not_allowed())
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(fhir))
}

/// Where servers that the site pulls from knock.
pub fn hook_router(hooks: Hooks) -> Router {
    Router::new()
        .route("/fhir-hooks/{source}", post(hooks::knock))
        .layer(DefaultBodyLimit::max(HOOK_BYTES))
        .with_state(hooks)
}

fn not_allowed() -> Response {
    let message = "this method is not supported here; metadata lists what is";
    FhirError::new(StatusCode::METHOD_NOT_ALLOWED, IssueCode::NotSupported, message).response()
}

/// A resource type by the name that a URL has.
fn resource_type(name: &str) -> Result<&'static str, FhirError> {
    let known = definitions().resource_named(name);
    known.map(|id| definitions().definition(id).name).ok_or_else(|| {
        let shown: String = name.chars().take(64).filter(|c| !c.is_control()).collect();
        let message = format!("R4 has no resource type '{shown}'; metadata lists those there are");
        FhirError::new(StatusCode::NOT_FOUND, IssueCode::NotSupported, message)
    })
}
