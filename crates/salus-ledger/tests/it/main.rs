//! The ledger's rules and proofs, end to end and without I/O.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod accounts;
mod channels;
mod gate_model;
mod golden;
mod market;
mod members;
mod model;
mod permits;
mod privacy;
mod proofs;
mod refusals;
mod reviews;
mod samples;
mod simulation;
mod standing;
mod wire;

use salus_testkit::ledger::{ca, world};
