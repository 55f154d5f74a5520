//! The routes of bulk data and of signing in, for the node.

use std::sync::Arc;

use axum::Router;
use salus_api::fhir::bulk::{self, BulkParts};
use salus_api::oauth::{self, PublicUrl};
use salus_ingest::fhir::{FhirImporter, Repository};
use salus_node::Site;
use salus_node::clients::Clients;
use salus_node::exports::Exports;
use salus_query::Gateway;
use salus_store::EncryptionSettings;

use crate::output::Failure;

/// Exports wait in this folder of the site.
const FOLDER: &str = "exports";

pub(crate) fn routes(
    site: &Site,
    gateway: &Gateway,
    repository: &Repository,
    clients: &Arc<Clients>,
    url: &str,
) -> Result<Router, Failure> {
    let exports = Exports::open(site.folder.join(FOLDER), Arc::clone(&site.clock))?;
    let (lake, clock) = (Arc::clone(&site.lake), Arc::clone(&site.clock));
    let public = PublicUrl::new(url);
    let bulk = bulk::router(BulkParts {
        gateway: gateway.clone(),
        repository: repository.clone(),
        exports: Arc::new(exports),
        clients: Arc::clone(clients),
        importer: FhirImporter::new(lake, Arc::clone(&clock), EncryptionSettings::STRICT),
        clock,
        base_url: public.below("/fhir"),
    });
    Ok(bulk.merge(oauth::router(Arc::clone(clients), public)))
}
