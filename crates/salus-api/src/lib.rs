//! Salus's HTTP interfaces.
//!
//! **Invariant:** a handler parses, asks a lower crate, and shapes the answer. Nothing is decided
//! here that a test without a server could not try.

pub mod console;
pub mod fhir;
pub mod flight;
pub mod joint;
pub mod monitor;
pub mod oauth;
pub mod published;
pub mod questions;
mod route;
pub mod sql;
pub mod studies;
pub mod transit;
mod unread;

pub use route::{Access, HttpRoute};
pub use unread::reading_to_the_end;

/// For implementing [`transit::TransitAudit`].
pub use async_trait::async_trait;
