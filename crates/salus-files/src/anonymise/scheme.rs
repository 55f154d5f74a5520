//! `salus recode`: levels found earlier, on new records or on a file larger than memory.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use salus_deid::transform::{Scheme, UnknownValue};
use salus_deid::{CsvFormat, Hierarchy, Levels, QuasiIdentifier, QuasiIdentifiers, Whitespace};
use serde::{Deserialize, Serialize};

use super::{AnonymiseArgs, AnonymiseReport};
use crate::Answer;
use crate::error::FilesError;
use crate::file::{Format, guess_delimiter, not_over, write_bytes};
use crate::text::{count, notes, pairs};

/// Applies levels that `salus anonymise --save-scheme` found to new records, reading the file
/// twice and holding no more of it than its groups.
#[derive(Debug, Clone, Args)]
pub struct RecodeArgs {
    /// The table, UTF-8, of any size.
    pub file: PathBuf,
    /// The levels.
    #[arg(long)]
    pub scheme: PathBuf,
    /// Records of groups smaller than this are suppressed; what the scheme was found for if not
    /// given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub k: Option<u32>,
    /// The file for the result.
    #[arg(long)]
    pub out: PathBuf,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// What `salus recode` answers.
#[derive(Debug, Clone, Serialize)]
pub struct RecodeReport {
    /// Records.
    pub records: u64,
    /// Records suppressed, for their group is smaller than k.
    pub suppressed: u64,
    /// The smallest group that is left.
    pub k: u32,
    /// The file written.
    pub out: PathBuf,
    /// What to note.
    pub notes: Vec<String>,
}

/// Levels with what they are levels of. Holds values of the table that it was found on.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u8,
    k: u32,
    /// Models besides k-anonymity, which are not checked on new records.
    others: Vec<String>,
    columns: Vec<StoredColumn>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredColumn {
    column: String,
    level: u8,
    /// From each value to its coarsest group.
    hierarchy: Vec<Vec<String>>,
}

fn rows(hierarchy: &Hierarchy) -> Vec<Vec<String>> {
    let row = |value: &str| {
        let labels = (1..=hierarchy.top()).filter_map(|level| hierarchy.generalise(value, level));
        std::iter::once(value).chain(labels).map(str::to_owned).collect()
    };
    hierarchy.values().map(row).collect()
}

/// Writes the levels that were found.
pub(super) fn store(
    path: &Path,
    args: &AnonymiseArgs,
    report: &AnonymiseReport,
    quasi: &QuasiIdentifiers,
) -> Result<(), FilesError> {
    let Some(levels) = &report.levels else {
        return Err(FilesError::option("--save-scheme: there are no levels to store"));
    };
    let columns = quasi
        .items()
        .iter()
        .map(|item| StoredColumn {
            column: item.column.clone(),
            level: levels.get(&item.column).and_then(|l| l.as_u64()).unwrap_or(0) as u8,
            hierarchy: rows(&item.hierarchy),
        })
        .collect();
    let k = args.k.unwrap_or(1);
    let others =
        report.models.iter().filter(|m| **m != format!("{k}-anonymity")).cloned().collect();
    let bytes = serde_json::to_vec_pretty(&Stored { version: 1, k, others, columns })
        .map_err(|source| FilesError::Scheme { path: path.to_owned(), source })?;
    write_bytes(path, &bytes)
}

fn read(path: &Path) -> Result<Stored, FilesError> {
    let bytes = std::fs::read(path).map_err(FilesError::file(path, "the scheme cannot be read"))?;
    let stored: Stored = serde_json::from_slice(&bytes)
        .map_err(|source| FilesError::Scheme { path: path.to_owned(), source })?;
    if stored.version != 1 {
        return Err(FilesError::option(format!(
            "{}: the scheme was stored in another version of the format",
            path.display()
        )));
    }
    Ok(stored)
}

/// Recodes.
///
/// # Errors
/// When a file cannot be read or written, or lacks a column of the scheme.
pub fn run(args: &RecodeArgs) -> Result<Answer, FilesError> {
    not_over(&args.out, &[&args.file, &args.scheme])?;
    let stored = read(&args.scheme)?;
    let k = args.k.unwrap_or(stored.k);
    let mut items = Vec::with_capacity(stored.columns.len());
    let mut levels = Vec::with_capacity(stored.columns.len());
    for column in stored.columns {
        let hierarchy = Hierarchy::from_rows(&column.hierarchy)
            .map_err(|source| FilesError::Hierarchy { path: args.scheme.clone(), source })?;
        levels.push(column.level);
        items.push(QuasiIdentifier { column: column.column, hierarchy });
    }
    let quasi = QuasiIdentifiers::new(items)?;
    let scheme = Scheme::new(&quasi, Levels::new(levels), UnknownValue::Suppress)
        .map_err(|e| FilesError::Transform(e.into()))?;
    let format = format(args)?;
    let open = || {
        let file = File::open(&args.file)
            .map_err(FilesError::file(&args.file, "the file cannot be read"))?;
        Ok::<_, FilesError>(BufReader::with_capacity(1 << 20, file))
    };
    let counts = scheme.count(open()?, format)?;
    let suppressed =
        whole(&args.out, |out| Ok(scheme.stream(open()?, out, format, &counts, u64::from(k))?))?;
    let mut noted = Vec::new();
    if !stored.others.is_empty() {
        noted.push(format!(
            "new records form new groups: {k}-anonymity is checked on them, {} not",
            stored.others.join(", ")
        ));
    }
    let report = RecodeReport {
        records: counts.records,
        suppressed,
        k,
        out: args.out.clone(),
        notes: noted,
    };
    let rows = [
        ("records", count(report.records)),
        ("suppressed", count(report.suppressed)),
        ("smallest group", format!("at least {k}")),
        ("written to", report.out.display().to_string()),
    ];
    let text = format!("Recoded\n{}{}", pairs(&rows), notes(&report.notes));
    Answer::new(&report, text)
}

fn format(args: &RecodeArgs) -> Result<CsvFormat, FilesError> {
    let failed = || FilesError::file(&args.file, "the file cannot be read");
    let delimiter = match args.format.delimiter {
        Some(delimiter) => delimiter,
        None => {
            let file = File::open(&args.file).map_err(failed())?;
            let mut start = Vec::new();
            file.take(1 << 16).read_to_end(&mut start).map_err(failed())?;
            let start = String::from_utf8_lossy(&start);
            // The last line may be cut off.
            guess_delimiter(start.rsplit_once('\n').map_or(&start, |(whole, _)| whole))
        }
    };
    Ok(CsvFormat { whitespace: Whitespace::Trim, ..CsvFormat::with_delimiter(delimiter) })
}

/// Writes a file as it comes, and puts it in its place when it is whole.
fn whole<T>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<T, FilesError>,
) -> Result<T, FilesError> {
    let failed =
        || FilesError::file(path, "the file cannot be written; check that its folder exists");
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::NamedTempFile::new_in(folder).map_err(failed())?;
    let mut out = BufWriter::with_capacity(1 << 20, file.as_file());
    let done = write(&mut out)?;
    out.flush().map_err(failed())?;
    drop(out);
    file.as_file().sync_all().map_err(failed())?;
    file.persist(path).map_err(|e| failed()(e.error))?;
    Ok(done)
}
