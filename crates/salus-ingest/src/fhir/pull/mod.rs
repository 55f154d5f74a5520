//! Pulls records from an existing FHIR server, and keeps up with it.
//!
//! A [`SourceConfig`] says which server and who we are to it; [`Puller`] asks it by Bulk Data
//! `$export`, or by search and history where it has none, and hands what comes to the
//! [`FhirImporter`](super::FhirImporter).
//!
//! **Invariant:** nothing that was pulled is lost, and pulling it again changes nothing: how far
//! a pull is stands in a sealed file, written after the records are published, and an index knows
//! the version of each resource.
//!
//! **Invariant:** a credential goes to the origin that it was made for, and to those that a
//! person listed; never to where an answer or a redirect points.
//!
//! **Invariant:** no record touches the disk except through the lake. Addresses of jobs and
//! files, which may be credentials, are sealed on disk and in no message.
//!
//! # Source
//! Bulk Data Access IG 2.0.0; SMART App Launch 2.2.0, "Backend Services"; FHIR R4 "Search",
//! "History".

mod config;
mod download;
mod error;
mod export;
mod hook;
mod key;
mod manifest;
mod origin;
mod pace;
mod puller;
mod report;
mod search;
mod seen;
mod sift;
mod state;
mod token;
mod wire;

pub use config::{PullLimits, PullSource, SourceConfig, SourceError, SourceName, Told, Way};
pub use error::PullError;
pub use export::ExportLevel;
pub use hook::Nudge;
pub use key::{ClientKey, KeyFileError, SigningAlgorithm};
pub use manifest::ManifestError;
pub(crate) use origin::address;
pub use origin::{AddressError, BaseUrl, Origin};
pub use pace::Pace;
pub use puller::{PullInto, Puller};
pub use report::{PullProgress, PullReport};
pub use state::PullFolder;
pub use token::{BackendServices, Credentials};
pub(crate) use wire::client as http_client;
