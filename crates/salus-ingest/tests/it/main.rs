//! Imports into a real encrypted lake and a FHIR repository over it, read back through the spine.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod bulk_server;
mod hook;
mod import;
mod parquet;
mod pull;
mod pull_attacks;
mod repository;
mod repository_crash;
mod site;
mod subscribe;
