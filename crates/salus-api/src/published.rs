//! `/v1/published`: the tables that the site has released, for everybody.
//!
//! No permit is asked for: what stands here left through a charge on its account or through the
//! release gate, and its receipt is on the ledger. A site may want a certificate of a member of its
//! ledger from whoever comes, as for questions.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use parking_lot::Mutex;
use salus_model::{Class, Classified as _, DatasetId, HolderId};
use salus_node::Site;
use salus_node::published::{PublishError, PublishedDataset, PublishedFile};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::questions::Callers;
use crate::route::{Access, HttpRoute, RouteTable};
use crate::sql::problem;

/// So many files are opened at once.
const AT_ONCE: usize = 4;

/// Files that are on their way to somebody, each in memory once, however many read it and however
/// slowly: strangers cannot fill the memory with more than what is published.
type OnTheirWay = HashMap<(DatasetId, PublishedFile), Weak<Vec<u8>>>;

#[derive(Clone, Copy)]
enum Endpoint {
    List,
    File,
}

const TABLE: RouteTable<Endpoint, 2> = RouteTable([
    (HttpRoute::new("GET", "/v1/published", Access::Published), Endpoint::List),
    (HttpRoute::new("GET", "/v1/published/{dataset}/{file}", Access::Published), Endpoint::File),
]);

/// Every route here.
pub const ROUTES: [HttpRoute; 2] = TABLE.routes();

/// What a site has released.
#[derive(Debug, Serialize, Deserialize)]
pub struct Released {
    /// The holder.
    pub holder: HolderId,
    /// Its published tables.
    pub datasets: Vec<PublishedDataset>,
}

#[derive(Clone)]
struct Shared {
    site: Site,
    at_once: Arc<Semaphore>,
    on_their_way: Arc<Mutex<OnTheirWay>>,
}

/// A file that is sent; the last one to let go of it frees it.
struct Sent(Arc<Vec<u8>>);

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Shared {
    async fn file(&self, dataset: &DatasetId, file: PublishedFile) -> Result<Bytes, PublishError> {
        let key = (dataset.clone(), file);
        let known = || self.on_their_way.lock().get(&key).and_then(Weak::upgrade);
        if let Some(known) = known() {
            return Ok(Bytes::from_owner(Sent(known)));
        }
        let _turn = self.turn().await;
        // Whoever waited may find that the one before opened the same.
        let opened = match known() {
            Some(known) => known,
            None => Arc::new(self.site.published_file(dataset, file).await?),
        };
        let mut on_their_way = self.on_their_way.lock();
        on_their_way.retain(|_, file| file.strong_count() > 0);
        on_their_way.insert(key, Arc::downgrade(&opened));
        Ok(Bytes::from_owner(Sent(opened)))
    }

    /// The semaphore is never closed, so that a turn always comes.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.at_once.acquire().await.ok()
    }
}

/// The routes over a site.
pub fn router(site: Site, callers: Callers) -> Router {
    let handler = |endpoint| -> MethodRouter<Shared> {
        match endpoint {
            Endpoint::List => get(list),
            Endpoint::File => get(file),
        }
    };
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let shared = Shared { site, at_once, on_their_way: Arc::default() };
    callers.guard(TABLE.router(handler).with_state(shared))
}

fn failed(error: &PublishError) -> Response {
    if error.class() == Class::BadRequest {
        return problem(StatusCode::NOT_FOUND, "bad-request", error);
    }
    tracing::error!(error = crate::questions::sentences(error), "a publication cannot be read");
    problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "unavailable",
        "the publication cannot be read; the site's operator has the reason in the log",
    )
}

async fn list(State(shared): State<Shared>) -> Response {
    let _turn = shared.turn().await;
    match shared.site.published().await {
        Ok(mut datasets) => {
            // What a crash left half way has no artefact to compare it with.
            datasets.retain(PublishedDataset::is_complete);
            Json(Released { holder: shared.site.config.holder.clone(), datasets }).into_response()
        }
        Err(error) => failed(&error),
    }
}

async fn file(
    State(shared): State<Shared>,
    Path((dataset, file)): Path<(String, String)>,
) -> Response {
    let unknown = || {
        let words = "there is no such publication, or no such file of it: records.csv, \
                     resources.ndjson, certificate.html, certificate.pdf, receipt.cbor";
        problem(StatusCode::NOT_FOUND, "bad-request", words)
    };
    let (wanted, kind) = match file.as_str() {
        "records.csv" => (PublishedFile::Csv, "text/csv; charset=utf-8; header=present"),
        "resources.ndjson" => (PublishedFile::Ndjson, "application/fhir+ndjson"),
        "certificate.html" => (PublishedFile::Html, "text/html; charset=utf-8"),
        "certificate.pdf" => (PublishedFile::Pdf, "application/pdf"),
        "receipt.cbor" => (PublishedFile::Receipt, "application/cbor"),
        _ => return unknown(),
    };
    let Ok(dataset) = DatasetId::new(dataset) else { return unknown() };
    let name = format!("attachment; filename=\"{dataset}-{file}\"");
    let Ok(name) = HeaderValue::from_str(&name) else { return unknown() };
    match shared.file(&dataset, wanted).await {
        Ok(bytes) => {
            // Never a page of this origin, on which people sign in.
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
                (header::CONTENT_DISPOSITION, name),
                (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
                (
                    header::CONTENT_SECURITY_POLICY,
                    HeaderValue::from_static("sandbox; default-src 'none'"),
                ),
            ];
            (headers, bytes).into_response()
        }
        Err(error) => failed(&error),
    }
}
