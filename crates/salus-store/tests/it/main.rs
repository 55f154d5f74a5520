//! The lake, its journal and its audit log, from outside.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::print_stdout)]

mod keys;
mod site;

mod attacks;
mod audit;
mod foreign;
mod journal;
mod journal_crash;
mod lake;
mod lake_crash;
mod upkeep;
