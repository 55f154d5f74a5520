//! What tests need from the machine: Python environments, servers that die with the test, folders.
//!
//! **Invariant:** only `dev-dependencies` and `xtask` name this crate.
//!
//! Everything here panics with a sentence that says what is missing and how to get it: a test
//! that cannot run has failed.

pub mod ledger;
mod server;
mod venv;

pub use server::{Server, wait_for_port};
pub use venv::Venv;

use std::net::TcpListener;
use std::path::PathBuf;

/// Where tests keep what is dear to make: `$SALUS_TEST_CACHE`, else `salus` in the user's cache.
///
/// # Panics
/// When the environment names no such place, or it cannot be made.
#[must_use]
pub fn cache_dir() -> PathBuf {
    let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let dir = var("SALUS_TEST_CACHE")
        .or_else(|| var("XDG_CACHE_HOME").map(|d| d.join("salus")))
        .or_else(|| var("HOME").map(|d| d.join(".cache/salus")))
        .unwrap_or_else(|| panic!("set SALUS_TEST_CACHE or HOME: tests keep Python there"));
    std::fs::create_dir_all(&dir)
        .unwrap_or_else(|e| panic!("the test cache {} cannot be made: {e}", dir.display()));
    dir
}

/// A folder that is removed when dropped.
///
/// # Panics
/// When the temporary folder cannot be written.
#[must_use]
pub fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("salus-test-")
        .tempdir()
        .unwrap_or_else(|e| panic!("no temporary folder can be made: {e}"))
}

/// A TCP port on the loopback address that nobody listened on a moment ago.
///
/// For servers that cannot choose their own; where they can, give them port 0.
///
/// # Panics
/// When no port is left.
#[must_use]
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .unwrap_or_else(|e| panic!("no free port: {e}"))
        .port()
}

/// The path of a program, with the Debian package that has it.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn program(name: &str, debian_package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("`{name}` is not installed: apt-get install {debian_package}"))
}

#[cfg(test)]
mod tests;
