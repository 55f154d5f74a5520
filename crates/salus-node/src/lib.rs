//! A holder's site: its folder, its key store, its authority, its lake.
//!
//! **Invariant:** this is where the wall clock enters; everything below takes time as an argument.
//!
//! **Invariant:** what a site keeps outside its key store is sealed under a key in it.

pub mod clients;
mod clock;
mod config;
pub mod exports;
mod fhir;
mod gateway;
mod ledger;
mod operator;
mod private;
mod pull;
mod site;
mod staff;

pub use clock::SystemClock;
pub use config::{Config, ConfigError, KeyStoreConfig, LakeConfig, ListenConfig};
pub use fhir::FhirUpkeep;
pub use gateway::{ROLES_DEFAULT, ROLES_FILE, SiteAudit};
pub use ledger::HolderLedger;
pub use operator::Operator;
pub use private::PROFILES_FILE;
pub use pull::{FhirConfig, FollowError};
pub use site::{Site, SiteError};
pub use staff::{Staff, StaffError, StaffMember, write_private};

#[cfg(test)]
mod tests;
