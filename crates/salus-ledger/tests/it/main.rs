//! The ledger's rules and proofs, end to end and without I/O.
#![allow(clippy::unwrap_used)]

mod accounts;
mod ca;
mod proofs;
mod refusals;
mod world;
