//! A site on a real ledger of four validators.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod door;
mod under_permit;
