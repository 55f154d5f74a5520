//! `salus recode`: levels found earlier, on new records or on a file larger than memory.

mod stream;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use salus_deid::transform::{Scheme, StreamColumns, UnknownValue};
use salus_deid::{Hierarchy, Levels, QuasiIdentifier, QuasiIdentifiers, QuotedFields};
use serde::{Deserialize, Serialize};

use super::Made;
use crate::Answer;
use crate::error::FilesError;
use crate::file::{Form, Format, astray, check_outputs, folder_of, no_record, unwritten};
use crate::text::{count, notes, pairs};

use stream::{Sink, Text};

/// The version of the format. The first did not say which columns were left out.
const VERSION: u8 = 2;

/// Applies levels that `salus anonymise --save-scheme` found to new records, reading the file
/// twice and holding no more of it than its groups. What was left out is left out again, and
/// columns that the scheme does not know are refused.
#[derive(Debug, Clone, Args)]
pub struct RecodeArgs {
    /// The table, of any size.
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
    /// Groups with fewer records were suppressed.
    pub k: u32,
    /// Columns of the file that were left out, as `anonymise` left them out.
    pub left_out: Vec<String>,
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
    /// Columns that were left out.
    left_out: Vec<String>,
    /// Columns that were written.
    written: Vec<String>,
    /// Columns that suppressed records lost with their quasi-identifiers.
    sensitive: Vec<String>,
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

/// The version alone, whatever else a version holds.
#[derive(Deserialize)]
struct Version {
    version: u8,
}

fn rows(hierarchy: &Hierarchy) -> Vec<Vec<String>> {
    let row = |value: &str| {
        let labels = (1..=hierarchy.top()).filter_map(|level| hierarchy.generalise(value, level));
        std::iter::once(value).chain(labels).map(str::to_owned).collect()
    };
    hierarchy.values().map(row).collect()
}

/// The levels that were found, as the file at `path` is to hold them.
pub(super) fn stored(path: &Path, made: &Made) -> Result<Vec<u8>, FilesError> {
    let Made { args, report, quasi, table, .. } = made;
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
    let stored = Stored {
        version: VERSION,
        k,
        others,
        left_out: args.identifiers.clone(),
        written: table.columns().iter().map(|c| c.name().to_owned()).collect(),
        sensitive: args.sensitive.clone(),
        columns,
    };
    serde_json::to_vec_pretty(&stored)
        .map_err(|source| FilesError::Scheme { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<Stored, FilesError> {
    let bytes = std::fs::read(path).map_err(FilesError::file(path, "the scheme cannot be read"))?;
    let failed = |source| FilesError::Scheme { path: path.to_owned(), source };
    let Version { version } = serde_json::from_slice(&bytes).map_err(failed)?;
    if version != VERSION {
        return Err(FilesError::option(format!(
            "{}: the scheme was stored in version {version} of the format, and this is version \
             {VERSION}: the first does not say which columns were left out. Make it anew with \
             `salus anonymise --save-scheme`",
            path.display()
        )));
    }
    serde_json::from_slice(&bytes).map_err(failed)
}

/// Recodes.
///
/// # Errors
/// When a file cannot be read or written, lacks a column of the scheme, or has one that the scheme
/// does not know.
pub fn run(args: &RecodeArgs) -> Result<Answer, FilesError> {
    check_outputs(
        &[Some(("the table", args.file.as_path())), Some(("--scheme", args.scheme.as_path()))],
        &[Some(("--out", args.out.as_path()))],
    )?;
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
    let scheme = scheme.for_columns(StreamColumns {
        dropped: stored.left_out,
        written: stored.written,
        hidden: stored.sensitive,
    });
    let Form { format, hint, notes: mut noted } = Text::form(&args.file, &args.format)?;
    let mut text = Text::open(&args.file, &args.format, hint)?;
    let mut fields = QuotedFields::new(&mut text, format);
    let counted = scheme.count(&mut fields, format);
    noted.extend(astray(&fields));
    let seen = text.seen();
    let counts = counted.map_err(|error| text.misfit(error))?;
    if counts.records == 0 {
        return Err(no_record(&args.file));
    }
    let suppressed = whole(&args.out, |out| {
        let mut text = Text::open(&args.file, &args.format, hint)?;
        let mut out = Sink::new(out);
        let suppressed = match scheme.stream(&mut text, &mut out, format, &counts, u64::from(k)) {
            Ok(suppressed) => suppressed,
            Err(error) => return Err(out.blame(&args.out, text, error)),
        };
        if text.seen() != seen {
            return Err(FilesError::option(format!(
                "{}: the file changed between its two readings; run again when it is whole",
                args.file.display()
            )));
        }
        Ok(suppressed)
    })?;
    if !stored.others.is_empty() {
        noted.push(format!(
            "new records form new groups: {k}-anonymity is checked on them, {} not",
            stored.others.join(", ")
        ));
    }
    let left = suppressed < counts.records;
    if !left {
        noted.push(format!(
            "no record is left: every group of alike records has fewer than {k}, or values that \
             the scheme does not know; find the scheme anew on more records, or lower --k"
        ));
    }
    let report = RecodeReport {
        records: counts.records,
        suppressed,
        k,
        left_out: counts.dropped,
        out: args.out.clone(),
        notes: noted,
    };
    let smallest = if left { format!("at least {k}") } else { "no record is left".to_owned() };
    let mut rows = vec![
        ("records", count(report.records)),
        ("suppressed", count(suppressed)),
        ("smallest group", smallest),
    ];
    if !report.left_out.is_empty() {
        rows.push(("left out", report.left_out.join(", ")));
    }
    rows.push(("written to", report.out.display().to_string()));
    let text = format!("Recoded\n{}{}", pairs(&rows), notes(&report.notes));
    Answer::new(&report, text)
}

/// Writes a file as it comes, and puts it in its place when it is whole.
fn whole<T>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<T, FilesError>,
) -> Result<T, FilesError> {
    let failed = |error| unwritten(path, error);
    let file = tempfile::NamedTempFile::new_in(folder_of(path)).map_err(failed)?;
    let mut out = BufWriter::with_capacity(1 << 20, file.as_file());
    let done = write(&mut out)?;
    out.flush().map_err(failed)?;
    drop(out);
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(done)
}
