//! The real binary, as a person or a script runs it.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod audit;
mod demo;
mod doctor;
mod flight;
mod inventory;
mod keystores;
mod node;
mod psql;
mod refusals;
mod revocation;
mod s3;
mod shred;
mod site;
mod tabular;
mod tls;
