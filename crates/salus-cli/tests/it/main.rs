//! The real binary, as a person or a script runs it.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod audit;
mod demo;
mod doctor;
mod fhir_pull;
mod flight;
mod food_coach;
mod founding;
mod inventory;
mod keyserver;
mod keystores;
mod node;
mod permits;
mod plain_files;
mod psql;
mod pyarrow;
mod refusals;
mod revocation;
mod s3;
mod shred;
mod site;
mod spark;
mod tabular;
mod tls;
mod world;
