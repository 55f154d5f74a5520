//! A holder's site: its folder, its key store, its authority, its lake.
//!
//! **Invariant:** this is where the wall clock enters; everything below takes time as an argument.
//!
//! **Invariant:** what a site keeps outside its key store is sealed under a key in it.

mod clock;
mod config;
mod site;

pub use clock::SystemClock;
pub use config::{Config, ConfigError, KeyStoreConfig, LakeConfig, ListenConfig};
pub use site::{Site, SiteError};

#[cfg(test)]
mod tests;
