//! FHIR R4 resources into flat tables by SQL-on-FHIR views, with the resources themselves kept.

mod import;
mod source;
mod table;

pub use import::{
    FHIR_DATASET, FhirImportError, FhirImporter, FhirProgress, FhirReport, FhirSource, TableRows,
};
pub use source::FhirFormat;
