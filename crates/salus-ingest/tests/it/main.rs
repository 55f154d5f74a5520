//! Imports into a real encrypted lake, read back through the spine.
#![allow(clippy::unwrap_used)]

mod import;
mod site;
