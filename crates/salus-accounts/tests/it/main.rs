//! Accounts over both databases, and what an attacker would try.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]

mod accounts;
mod database;
