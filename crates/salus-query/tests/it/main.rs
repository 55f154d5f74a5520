//! The query gateway over a real encrypted lake.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs, unreachable_pub)]

mod brute_force;
mod encoders;
mod flight;
mod keys;
mod leaks;
mod limits;
mod postgres;
mod roles_file;
mod sql_files;
mod world;
