//! The console's files, built from `web/` and carried inside the program.
//!
//! **Invariant:** nothing is fetched at run time. What the browser gets is what the build made.
//!
//! The build script runs `npm ci` and Vite when Node 20 or newer and npm are there; without them it
//! says so in one line, [`FILES`] is empty, and everything but the console works.

/// One file of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// Its path below the console's address, such as `assets/index-3f2a.js`.
    pub path: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// What is in it.
    pub bytes: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The page itself.
pub const PAGE: &str = "index.html";

/// Whether the console was built into this program.
#[must_use]
pub fn is_built() -> bool {
    file(PAGE).is_some()
}

/// The file at a path.
#[must_use]
pub fn file(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

/// Whether the file's name changes with its content, so that a browser may keep it for ever.
#[must_use]
pub fn is_immutable(path: &str) -> bool {
    path.starts_with("assets/")
}

#[cfg(test)]
mod tests;
