//! Files that are written: looked at before any work, and put in their places when all are whole.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use salus_deid::{CsvFormat, Table};
use tempfile::TempPath;

use crate::error::FilesError;

/// A file with the option that names it, or with what it is.
pub(crate) type Named<'a> = (&'static str, &'a Path);

/// A file, where the option that names it was given.
pub(crate) fn given<'a>(option: &'static str, path: Option<&'a Path>) -> Option<Named<'a>> {
    path.map(|path| (option, path))
}

/// Looks at the files that a command will write before it does any work: none is one that it reads,
/// no two are the same, each is nothing yet or a plain file, and its folder exists.
///
/// # Errors
/// Names the option and what to do.
pub(crate) fn check_outputs(
    read: &[Option<Named<'_>>],
    written: &[Option<Named<'_>>],
) -> Result<(), FilesError> {
    let mut places: Vec<(&'static str, PathBuf)> = Vec::with_capacity(written.len());
    for &(option, path) in written.iter().flatten() {
        let place = place(option, path)?;
        let same = |read: &Path| read.canonicalize().is_ok_and(|read| read == place);
        if let Some((what, _)) = read.iter().flatten().find(|read| same(read.1)) {
            return Err(FilesError::option(format!(
                "{option} {} is a file that is read ({what}); name another",
                path.display()
            )));
        }
        if let Some((other, _)) = places.iter().find(|(_, known)| *known == place) {
            return Err(FilesError::option(format!(
                "{other} and {option} are the same file, {}; name another",
                path.display()
            )));
        }
        places.push((option, place));
    }
    Ok(())
}

/// Where a file will be: its folder without links and detours, and its name.
fn place(option: &str, path: &Path) -> Result<PathBuf, FilesError> {
    let refuse = |why: String| Err(FilesError::option(format!("{option} {}{why}", path.display())));
    let Some(name) = path.file_name() else { return refuse(" names no file".to_owned()) };
    if name == "-" {
        return refuse(": results go to a file, not to the screen; name one, as result.csv".into());
    }
    if path.to_string_lossy().ends_with(std::path::is_separator) {
        return refuse(" is a folder: name a file in it".to_owned());
    }
    if let Some(what) = in_the_way(path) {
        return refuse(format!(" {what}"));
    }
    let folder = folder_of(path);
    match folder.canonicalize() {
        // Of a file that exists the name as the disk has it, where case does not count.
        Ok(found) if found.is_dir() => Ok(path.canonicalize().unwrap_or_else(|_| found.join(name))),
        _ => refuse(format!(
            ": there is no folder {}; make it, or name another place",
            folder.display()
        )),
    }
}

/// The folder of a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What stands where a file is to be, unless that is nothing or a plain file: moving a file there
/// would put it in a device's or a link's place.
fn in_the_way(path: &Path) -> Option<&'static str> {
    let kind = std::fs::symlink_metadata(path).ok()?.file_type();
    if kind.is_file() {
        None
    } else if kind.is_symlink() {
        Some("is a symbolic link: name the file that it leads to, or another")
    } else if kind.is_dir() {
        Some("is a folder: name a file")
    } else {
        Some("is a device or a pipe, and no plain file: name a file")
    }
}

/// Why a file was not written. It is named itself, not the file beside it that has a random name.
pub(crate) fn unwritten(path: &Path, error: std::io::Error) -> FilesError {
    let bare = match error.raw_os_error() {
        Some(_) => error,
        None => std::io::Error::from(error.kind()),
    };
    let what = "the file cannot be written; check that its folder exists and lets you write";
    FilesError::file(path, what)(bare)
}

/// Files that lie whole beside their places until all of them do, and are then moved there.
/// What is not moved is gone again, and so are the folders that were made for it.
#[derive(Default)]
pub(crate) struct Staged {
    files: Vec<(TempPath, PathBuf)>,
    folders: Vec<PathBuf>,
}

impl Staged {
    /// Makes a folder for files, with those that it lies in.
    pub(crate) fn folder(&mut self, path: &Path) -> Result<(), FilesError> {
        let missing = path.ancestors().filter(|p| !p.as_os_str().is_empty());
        let missing = missing.take_while(|p| !p.exists()).map(Path::to_path_buf);
        let missing: Vec<PathBuf> = missing.collect();
        self.folders.extend(missing.into_iter().rev());
        std::fs::create_dir_all(path).map_err(FilesError::file(path, "the folder cannot be made"))
    }

    /// Writes a file beside its place.
    pub(crate) fn add(&mut self, path: &Path, bytes: &[u8]) -> Result<(), FilesError> {
        if let Some(what) = in_the_way(path) {
            return Err(FilesError::option(format!("{} {what}", path.display())));
        }
        let failed = |error| unwritten(path, error);
        let mut file = tempfile::NamedTempFile::new_in(folder_of(path)).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        // Closed: there may be more files than may be open.
        self.files.push((file.into_temp_path(), path.to_owned()));
        Ok(())
    }

    /// The places of the files, in the order in which they came.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(_, path)| path.as_path())
    }

    /// Moves all files to their places.
    pub(crate) fn persist(mut self) -> Result<(), FilesError> {
        for (file, path) in std::mem::take(&mut self.files) {
            file.persist(&path).map_err(|e| unwritten(&path, e.error))?;
        }
        self.folders.clear();
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.files.clear();
        for folder in self.folders.drain(..).rev() {
            // Only an empty folder goes: what somebody else put there stays.
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// A table as the file at `path` is to hold it.
pub(crate) fn table_bytes(
    path: &Path,
    table: &Table,
    format: CsvFormat,
) -> Result<Vec<u8>, FilesError> {
    let mut bytes = Vec::new();
    table
        .write_csv(&mut bytes, format)
        .map_err(|source| FilesError::Table { path: path.to_owned(), source })?;
    Ok(bytes)
}

/// Writes a table whole or not at all.
pub(crate) fn write_table(path: &Path, table: &Table, format: CsvFormat) -> Result<(), FilesError> {
    write_bytes(path, &table_bytes(path, table, format)?)
}

/// Writes a file whole or not at all.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), FilesError> {
    let mut staged = Staged::default();
    staged.add(path, bytes)?;
    staged.persist()
}

#[cfg(test)]
mod tests;
