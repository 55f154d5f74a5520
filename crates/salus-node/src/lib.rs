//! A holder's site: its folder, its key store, its authority, its lake.
//!
//! **Invariant:** this is where the wall clock enters; everything below takes time as an argument.
//!
//! **Invariant:** what a site keeps outside its key store is sealed under a key in it.

mod accounts;
pub mod clients;
mod clock;
mod config;
mod door;
pub mod exports;
mod fhir;
mod following;
pub mod gate;
mod gateway;
pub mod holders;
mod hooks;
pub mod joint;
mod keystore;
mod ledger;
pub mod membership;
mod metrics;
pub mod operations;
mod operator;
pub mod permits;
mod private;
pub mod proposals;
pub mod published;
mod pull;
pub mod releasing;
pub mod review;
pub mod sharing;
mod site;
mod staff;
pub mod study;
mod subscriptions;
mod tls;

pub use accounts::{AccountsError, Vouching, VouchingError, is_vouched};
pub use clock::SystemClock;
pub use config::{
    AccountsConfig, AuditConfig, Config, ConfigError, KeepDays, KeyStoreConfig, LakeConfig,
    LedgerConfig, ListenConfig, MonitoringConfig, QuestionsFrom, RevocationDelay, TlsConfig,
};
pub use door::{MEMBER_KEY_HEADER, MemberDoor, NotAdmitted};
pub use fhir::FhirUpkeep;
pub use following::{Followed, Following, PullTrouble, Pulled};
pub use gateway::{ROLES_DEFAULT, ROLES_FILE, SiteAudit};
pub use hooks::Hooks;
pub use keystore::{SecretFileError, Unlock, read_secret};
pub use ledger::HolderLedger;
pub use metrics::{Ended, METRICS, MetricInfo, SiteMetrics};
pub use operator::Operator;
pub use private::PROFILES_FILE;
pub use pull::{FhirConfig, FollowError, open_hook};
pub use site::{Site, SiteError};
pub use staff::{Staff, StaffError, StaffMember, write_private};
pub use subscriptions::SubscriptionsConfig;

pub use tls::{AUTHORITY_CERTIFICATE, Certificates, TlsError, TrustFile, trust_of};

#[cfg(test)]
mod tests;
