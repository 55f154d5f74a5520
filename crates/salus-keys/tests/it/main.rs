//! Key stores: one contract for all of them, and each one's own dangers.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod cache;
mod contract;
mod local;
mod pkcs11;
mod vault;

use std::sync::Arc;

use salus_model::{KeyName, ManualClock, Secret};

pub(crate) fn name(text: &str) -> KeyName {
    KeyName::new(text).unwrap()
}

pub(crate) fn key(byte: u8) -> Secret<Vec<u8>> {
    Secret::new(vec![byte; 32])
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new("2026-03-01T08:00:00Z".parse().unwrap()))
}
