//! The register of questions ever given.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use salus_model::Clock;
use serde::{Deserialize, Serialize};

use crate::error::FilesError;
use crate::file::write_bytes;

/// Digests of questions by the day on which they were given. Says nothing of students.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u8,
    given: BTreeMap<String, String>,
}

/// The register, held by this run alone.
pub(super) struct Register {
    path: PathBuf,
    stored: Stored,
    fresh: Vec<String>,
    met_again: u64,
    /// Held until the register is dropped, so that two runs give no question both.
    _lock: File,
}

impl Register {
    /// Opens the register, or begins one; waits for another run that has it open.
    pub(super) fn open(path: &Path) -> Result<Self, FilesError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let beside = PathBuf::from(name);
        // What is there stays: the name may be another file's.
        let lock = File::options().create(true).truncate(false).write(true).open(&beside);
        let lock = lock.map_err(FilesError::file(&beside, "the register's lock cannot be made"))?;
        lock.lock().map_err(FilesError::file(&beside, "the register cannot be locked"))?;
        let stored = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| FilesError::Register { path: path.to_owned(), source })?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                Stored { version: 1, given: BTreeMap::new() }
            }
            Err(e) => return Err(FilesError::file(path, "the register cannot be read")(e)),
        };
        if stored.version != 1 {
            return Err(FilesError::option(format!(
                "{}: the register was kept in another version of the format",
                path.display()
            )));
        }
        Ok(Self { path: path.to_owned(), stored, fresh: Vec::new(), met_again: 0, _lock: lock })
    }

    /// Takes a question, unless it was given before.
    pub(super) fn take(&mut self, digest: &str) -> bool {
        if self.stored.given.contains_key(digest) {
            self.met_again += 1;
            return false;
        }
        // The day is filled in when the register is stored.
        self.stored.given.insert(digest.to_owned(), String::new());
        self.fresh.push(digest.to_owned());
        true
    }

    pub(super) const fn met_again(&self) -> u64 {
        self.met_again
    }

    /// Puts what was taken on the disk; returns how many questions the register has.
    pub(super) fn store(&mut self, clock: &dyn Clock) -> Result<u64, FilesError> {
        let day: String = clock.now().to_string().chars().take(10).collect();
        for digest in self.fresh.drain(..) {
            self.stored.given.insert(digest, day.clone());
        }
        let bytes = serde_json::to_vec(&self.stored)
            .map_err(|source| FilesError::Register { path: self.path.clone(), source })?;
        write_bytes(&self.path, &bytes)?;
        Ok(self.stored.given.len() as u64)
    }
}
