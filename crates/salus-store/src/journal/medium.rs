use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::storage::sync_folder;

/// How a journal changes what lies on a disk.
///
/// [`LocalMedium`] is the one that services use. The tests have a second one, which loses what was
/// not synced and fails when it is told to.
pub trait Medium: Send + Sync {
    /// Opens a file that is there, for writing behind its end.
    ///
    /// # Errors
    /// When the operating system refuses.
    fn open(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>>;

    /// Puts a whole small file in place, durably: after a crash it is there whole or not at all.
    ///
    /// # Errors
    /// When the operating system refuses.
    fn publish(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Cuts a file to `length` bytes, durably.
    ///
    /// # Errors
    /// When the operating system refuses.
    fn cut(&self, path: &Path, length: u64) -> io::Result<()>;

    /// Removes a file, durably; one that is not there is as good as removed.
    ///
    /// # Errors
    /// When the operating system refuses.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// A file that only grows.
pub trait SegmentFile: Send {
    /// Writes behind the end.
    ///
    /// # Errors
    /// When not all could be written; how much was is unknown then.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns when everything appended is on the disk.
    ///
    /// # Errors
    /// When the disk did not take it; what is on it is unknown then.
    fn sync(&mut self) -> io::Result<()>;
}

/// The local file system.
#[derive(Debug, Clone, Copy)]
pub struct LocalMedium;

/// What a file is called until it is whole.
pub(super) const STAGED: &str = "staged";

impl Medium for LocalMedium {
    fn open(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(OpenOptions::new().append(true).open(path)?))
    }

    fn publish(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let staged = path.with_extension(STAGED);
        let mut file = File::create(&staged)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&staged, path)?;
        sync_folder(path.parent().unwrap_or(path))
    }

    fn cut(&self, path: &Path, length: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(length)?;
        file.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => sync_folder(path.parent().unwrap_or(path)),
        }
    }
}

impl SegmentFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        // Sizes are synced with the data; times are not, and nobody asks for them.
        self.sync_data()
    }
}
