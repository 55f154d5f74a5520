//! FHIR R4 resources into flat tables by SQL-on-FHIR views, with the resources themselves kept.
//!
//! Files come in by the [`FhirImporter`], single writes and transactions by the [`Repository`].

mod import;
pub mod repository;
mod resources;
mod source;
mod table;

pub use import::{FhirImportError, FhirImporter, FhirProgress, FhirReport, FhirSource, TableRows};
pub use repository::Repository;
pub use resources::FHIR_DATASET;
pub use source::FhirFormat;
