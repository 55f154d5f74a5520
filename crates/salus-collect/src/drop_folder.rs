use std::path::{Path, PathBuf};
use std::sync::Arc;

use salus_model::{Class, Classified};
use serde_json::Value;

use crate::collector::{CollectError, Collector, Incoming, Source, Taken};
use crate::csv_form::{CsvError, CsvRecords, Line};
use crate::fhir;

/// Records that are handed on together.
const TOGETHER: usize = 1000;

/// What becomes of a file whose records are all on the collector's disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AfterImport {
    /// It is removed, so that no plaintext stays.
    Remove,
    /// It is moved to this folder, which must be on the same file system.
    MoveTo(PathBuf),
}

/// A folder in which another system leaves files: `*.csv` tables and `*.json` FHIR Bundles.
///
/// A file is read when its name ends so; whoever writes one gives it another name until it is whole.
/// One that cannot be read as a whole is renamed with `.refused` behind it.
#[derive(Debug, Clone)]
pub struct DropFolder {
    folder: PathBuf,
    after: AfterImport,
}

/// Why a folder cannot be read; files that were not finished are read again next time.
#[derive(Debug, thiserror::Error)]
pub enum DropError {
    /// The folder or a file in it cannot be read, moved or removed.
    #[error("{path} cannot be read, moved or removed")]
    File {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The records are not taken in.
    #[error(transparent)]
    Collect(#[from] CollectError),
    /// Reading stopped by itself, which is a bug.
    #[error("reading a file stopped unexpectedly")]
    Stopped,
}

impl Classified for DropError {
    fn class(&self) -> Class {
        match self {
            Self::File { .. } => Class::Unavailable,
            Self::Collect(e) => e.class(),
            Self::Stopped => Class::Bug,
        }
    }
}

/// What a look into the folder brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Files that were taken in.
    pub files: usize,
    /// Files that are neither tables nor Bundles.
    pub refused: Vec<PathBuf>,
    /// Their records.
    pub taken: Taken,
}

impl DropFolder {
    /// A folder.
    #[must_use]
    pub const fn new(folder: PathBuf, after: AfterImport) -> Self {
        Self { folder, after }
    }

    /// Takes in every file that is there, in the order of names. A crash in between repeats a file,
    /// whose records are then known already.
    ///
    /// # Errors
    /// When the folder cannot be read, or the collector does not take the records.
    pub async fn take_in(&self, collector: &Arc<Collector>) -> Result<Dropped, DropError> {
        let mut dropped = Dropped::default();
        for path in self.files()? {
            let (source, entries) = match read(path.clone(), collector).await? {
                Some(read) => read,
                None => {
                    let mut refused = path.clone().into_os_string();
                    refused.push(".refused");
                    let refused = PathBuf::from(refused);
                    std::fs::rename(&path, &refused).map_err(|e| failed(&path, e))?;
                    dropped.refused.push(refused);
                    continue;
                }
            };
            for some in entries.chunks(TOGETHER) {
                let taken = collector.take(source, some.to_vec()).await?;
                dropped.taken.accepted += taken.accepted;
                dropped.taken.late += taken.late;
                dropped.taken.duplicates += taken.duplicates;
                dropped.taken.quarantined += taken.quarantined;
            }
            self.finish(&path)?;
            dropped.files += 1;
        }
        Ok(dropped)
    }

    fn files(&self) -> Result<Vec<PathBuf>, DropError> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(|e| failed(&self.folder, e))? {
            let path = entry.map_err(|e| failed(&self.folder, e))?.path();
            let ending = path.extension().and_then(|e| e.to_str());
            if matches!(ending, Some("csv" | "json")) && path.is_file() {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    fn finish(&self, path: &Path) -> Result<(), DropError> {
        match &self.after {
            AfterImport::Remove => std::fs::remove_file(path),
            AfterImport::MoveTo(folder) => {
                std::fs::rename(path, folder.join(path.file_name().unwrap_or_default()))
            }
        }
        .map_err(|e| failed(path, e))
    }
}

fn failed(path: &Path, source: std::io::Error) -> DropError {
    DropError::File { path: path.to_owned(), source }
}

/// What kind of source a file is, and its records.
type Found = (Source, Vec<Incoming>);

/// The records of a file; none when it is neither a table nor a Bundle.
async fn read(path: PathBuf, collector: &Arc<Collector>) -> Result<Option<Found>, DropError> {
    let now = collector.now();
    let reading = tokio::task::spawn_blocking(move || -> Result<Option<Found>, DropError> {
        let bytes = std::fs::read(&path).map_err(|e| failed(&path, e))?;
        if path.extension().is_some_and(|e| e == "json") {
            let bundle: Option<Value> = serde_json::from_slice(&bytes).ok();
            let devices = bundle.map(|bundle| fhir::resources(&bundle, now));
            return Ok(devices.filter(|d| !d.is_empty()).map(|devices| {
                let of = |r: fhir::Resource| record(r.text, r.record);
                (Source::Fhir, devices.into_iter().map(of).collect())
            }));
        }
        let lines: Result<Vec<Line>, CsvError> =
            CsvRecords::new(bytes.as_slice(), now).and_then(|records| records.lines().collect());
        Ok(lines.ok().map(|lines| {
            (Source::Csv, lines.into_iter().map(|l| record(l.text, l.record)).collect())
        }))
    });
    reading.await.map_err(|_| DropError::Stopped)?
}

fn record(text: String, record: Result<crate::DeviceRecord, crate::Refusal>) -> Incoming {
    Incoming::Record { text, record: Box::new(record) }
}
