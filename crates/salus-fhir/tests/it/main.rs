//! The crate's public interface against official and synthetic data.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

mod fuzz_corpus;
mod search_peer;
mod shipped_views;
mod sql_on_fhir;
mod synthea;
mod validation;
