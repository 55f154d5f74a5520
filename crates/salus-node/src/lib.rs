//! A holder's site: its folder, its key store, its authority, its lake.
//!
//! **Invariant:** this is where the wall clock enters; everything below takes time as an argument.
//!
//! **Invariant:** what a site keeps outside its key store is sealed under a key in it.

mod clock;
mod config;
mod gateway;
mod keystore;
mod metrics;
pub mod operations;
mod operator;
mod site;
mod staff;
mod tls;

pub use clock::SystemClock;
pub use config::{
    AuditConfig, Config, ConfigError, KeepDays, KeyStoreConfig, LakeConfig, ListenConfig,
    MonitoringConfig, RevocationDelay, TlsConfig,
};
pub use gateway::{ROLES_DEFAULT, ROLES_FILE, SiteAudit};
pub use keystore::{SecretFileError, Unlock, read_secret};
pub use metrics::{Ended, METRICS, MetricInfo, SiteMetrics};
pub use operator::Operator;
pub use site::{Site, SiteError};
pub use staff::{Staff, StaffError, StaffMember, write_private};

pub use tls::{AUTHORITY_CERTIFICATE, Certificates, TlsError, TrustFile, trust_of};

#[cfg(test)]
mod tests;
