//! The real binary, as a person or a script runs it.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod demo;
mod fhir_pull;
mod keyserver;
mod psql;
mod pyarrow;
mod site;
mod spark;
mod tabular;
