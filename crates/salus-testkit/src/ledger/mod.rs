//! A small ledger network in memory, with a certificate authority, the same in every run.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot build it has failed")]

pub mod ca;
pub mod world;
