//! Bulk Data: `$export` in the background, its files, and `$import` of NDJSON.
//!
//! | Request | What it does |
//! | --- | --- |
//! | `GET $export`, `Patient/$export`, `Group/{id}/$export` | begins an export; `Prefer: respond-async` is needed |
//! | `GET $export-status/{job}` | 202 with `X-Progress`, then the manifest |
//! | `DELETE $export-status/{job}` | stops it, or removes its files |
//! | `GET $export-file/{job}/{file}` | a file, whole or from a byte on |
//! | `POST $import` | takes in NDJSON |
//!
//! # Privacy
//! An export is read page by page under the caller's role and row rules, each page on record with
//! how many resources it showed. Until it is fetched it lies encrypted under a key that is in
//! memory alone. Job and files answer only to who began it, in the same role; to anybody else
//! they are not there.
//!
//! # Source
//! Bulk Data Access IG 2.0.0; FHIR R4, "Asynchronous Request Pattern".

mod export;
mod files;
mod import;
mod request;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use salus_ingest::fhir::{FhirImporter, Repository};
use salus_model::Clock;
use salus_node::clients::Clients;
use salus_node::exports::{ExportOwner, Exports};
use salus_query::{Acting, Gateway};
use serde_json::{Value as Json, json};

pub use self::import::IMPORT_BYTES;

/// What bulk data is made of.
pub struct BulkParts {
    /// Decides and puts on record.
    pub gateway: Gateway,
    /// Keeps the resources.
    pub repository: Repository,
    /// Exports that wait to be fetched.
    pub exports: Arc<Exports>,
    /// Programs that sign in with a key of their own, whose tokens are shorter than an export.
    pub clients: Arc<Clients>,
    /// Keeps what `$import` does not accept.
    pub importer: FhirImporter,
    /// The present moment.
    pub clock: Arc<dyn Clock>,
    /// What links begin with, such as `https://127.0.0.1:7080/fhir`.
    pub base_url: String,
}

#[derive(Clone)]
struct Bulk(Arc<BulkParts>);

impl std::ops::Deref for Bulk {
    type Target = BulkParts;
    fn deref(&self) -> &BulkParts {
        &self.0
    }
}

/// The routes, to be merged with those of [`super::router`].
pub fn router(mut parts: BulkParts) -> Router {
    parts.base_url = parts.base_url.trim_end_matches('/').to_owned();
    Router::new()
        .route("/fhir/$export", get(export::system))
        .route("/fhir/Patient/$export", get(export::patients))
        .route("/fhir/Group/{id}/$export", get(export::group))
        .route("/fhir/$export-status/{job}", get(status::seen).delete(status::remove))
        .route("/fhir/$export-file/{job}/{file}", get(files::file))
        .route("/fhir/$import", post(import::ndjson).layer(DefaultBodyLimit::disable()))
        .with_state(Bulk(Arc::new(parts)))
}

fn owner(acting: Acting) -> ExportOwner {
    ExportOwner { staff: acting.staff, role: Some(acting.role) }
}

/// Adds to a CapabilityStatement what these routes offer.
pub(super) fn advertise(statement: &mut Json) {
    let definition =
        |name: &str| format!("http://hl7.org/fhir/uv/bulkdata/OperationDefinition/{name}");
    let operation = |name: &str| json!([{"name": "export", "definition": definition(name)}]);
    if let Some(object) = statement.as_object_mut() {
        let canonical = "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data";
        object.insert("instantiates".to_owned(), json!([canonical]));
    }
    let Some(rest) = statement.pointer_mut("/rest/0").and_then(Json::as_object_mut) else { return };
    rest.insert("operation".to_owned(), operation("export"));
    for resource in rest.get_mut("resource").and_then(Json::as_array_mut).into_iter().flatten() {
        let name = match resource.get("type").and_then(Json::as_str) {
            Some("Patient") => "patient-export",
            Some("Group") => "group-export",
            _ => continue,
        };
        if let Some(object) = resource.as_object_mut() {
            let all = object.entry("operation").or_insert_with(|| json!([]));
            let own = operation(name);
            if let (Some(all), Some(own)) = (all.as_array_mut(), own.as_array()) {
                all.extend(own.iter().cloned());
            }
        }
    }
}
