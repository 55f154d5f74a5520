//! FHIR R4 resources into flat tables by SQL-on-FHIR views, with the resources themselves kept.
//!
//! Files come in by the [`FhirImporter`], single writes and transactions by the [`Repository`], and
//! what another server has by the [`pull::Puller`]. [`subscribe::Subscriptions`] tell others of
//! what changed.

mod import;
mod intake;
pub mod pull;
pub mod repository;
mod resources;
mod sealed_folder;
mod source;
pub mod subscribe;
mod table;

pub use import::{FhirImportError, FhirImporter, FhirProgress, FhirReport, FhirSource, TableRows};
pub use intake::{Intake, TakeAll, Verdict};
pub use repository::Repository;
pub use resources::{FHIR_DATASET, patient_of};
pub use source::{Deletion, FhirFormat, resource_of_line};
