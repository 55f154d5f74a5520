//! Imports into a real encrypted lake, read back through the spine.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod import;
mod parquet;
mod site;
