//! Hierarchies for a table's columns: found in a folder, or built.

use std::path::{Path, PathBuf};

use salus_deid::hierarchy::{CodeSystem, Stated};
use salus_deid::{
    Column, CsvFormat, Hierarchy, HierarchyError, QuasiIdentifier, QuasiIdentifiers, TableError,
    Whitespace, is_missing,
};

use crate::error::FilesError;
use crate::file::{Encoding, Named, Source, check_outputs, given, guess_delimiter, read_text};

/// Quasi-identifiers, and what a person should know about their hierarchies.
pub(crate) struct Found {
    pub(crate) quasi: QuasiIdentifiers,
    pub(crate) notes: Vec<String>,
    /// Columns whose hierarchy was built over the table's own values.
    pub(crate) built: Vec<String>,
}

/// What `--hierarchy` says of a column.
#[derive(Debug, Clone, PartialEq)]
pub struct StatedHierarchy {
    /// The column.
    pub(crate) column: String,
    /// What it holds.
    pub(crate) stated: Stated,
}

/// Reads `column=icd10`, `column=atc`, `column=postcode`, `column=date` or `column=interval:5`.
pub(crate) fn stated(text: &str) -> Result<StatedHierarchy, String> {
    let kind = |kind: &str| match kind.to_ascii_lowercase().as_str() {
        "icd10" | "icd-10" => Some(Stated::Codes(CodeSystem::Icd10)),
        "atc" => Some(Stated::Codes(CodeSystem::Atc)),
        "postcode" => Some(Stated::Codes(CodeSystem::Postcode)),
        "date" => Some(Stated::Dates),
        other => {
            let width: f64 = other.strip_prefix("interval:")?.trim().parse().ok()?;
            (width.is_finite() && width > 0.0).then_some(Stated::Intervals(width))
        }
    };
    let parsed = text.rsplit_once('=').and_then(|(column, word)| {
        let column = column.trim().to_owned();
        Some(StatedHierarchy { column, stated: kind(word.trim())? })
    });
    parsed.ok_or_else(|| {
        "a hierarchy is written as column=icd10, column=atc, column=postcode, column=date or \
         column=interval:5"
            .to_owned()
    })
}

/// The hierarchy of a column by what it is said to hold.
fn by_statement(
    column: &Column,
    stated: Stated,
    notes: &mut Vec<String>,
) -> Result<Hierarchy, FilesError> {
    let made = Hierarchy::stated(column, stated);
    let (hierarchy, odd) = made.map_err(|source| FilesError::Problem(source.into()))?;
    if odd > 0 {
        notes.push(format!(
            "column '{}': {odd} values are something else than --hierarchy says; they are \
             suppressed from level 1 on",
            column.name()
        ));
    }
    Ok(hierarchy)
}

/// Where hierarchies come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origins<'a> {
    /// Files, a column each.
    pub(crate) folder: Option<&'a Path>,
    /// What is said of columns; it goes before files.
    pub(crate) stated: &'a [StatedHierarchy],
    pub(crate) encoding: Encoding,
}

impl Origins<'_> {
    fn of(&self, column: &str) -> Option<Stated> {
        self.stated.iter().find(|s| s.column == column).map(|s| s.stated)
    }
}

/// A hierarchy for each column: as it is said, or from the folder where it has one, built where
/// not.
pub(crate) fn of_columns(
    source: &Source,
    columns: &[String],
    origins: Origins<'_>,
    people: Option<&Source>,
) -> Result<Found, FilesError> {
    let Origins { folder, encoding, .. } = origins;
    let files = folder.map(files_of).transpose()?.unwrap_or_default();
    let mut notes = Vec::new();
    let (mut built, mut stated) = (Vec::new(), Vec::new());
    let mut items = Vec::with_capacity(columns.len());
    for name in columns {
        let column = source.table.column(name)?;
        let said = origins.of(name);
        let file = if said.is_some() { None } else { file_of(&files, name)? };
        let hierarchy = match (said, file) {
            (Some(kind), _) => {
                stated.push(name.clone());
                match people {
                    Some(people) => {
                        let all = joined(column, people.table.column(name)?)?;
                        by_statement(&all, kind, &mut notes)?
                    }
                    None => by_statement(column, kind, &mut notes)?,
                }
            }
            (None, Some(path)) => {
                let mut hierarchy = read(path, encoding)?;
                if let Some(people) = people {
                    hierarchy =
                        complete(hierarchy, people.table.column(name)?, path, &mut Vec::new())?;
                }
                complete(hierarchy, column, path, &mut notes)?
            }
            (None, None) => {
                built.push(name.as_str());
                let built = |column: &Column| {
                    Hierarchy::automatic(column)
                        .map_err(|source| FilesError::Problem(source.into()))
                };
                match people {
                    // Everybody's values need a place.
                    Some(people) => built(&joined(column, people.table.column(name)?)?)?,
                    None => built(column)?,
                }
            }
        };
        items.push(QuasiIdentifier { column: name.clone(), hierarchy });
    }
    if folder.is_some() && !built.is_empty() {
        notes.push(format!(
            "no hierarchy file for {}: built from the values (intervals, dates, prefixes, or rare \
             values taken together)",
            built.join(", ")
        ));
    }
    let built = built.into_iter().map(str::to_owned).chain(stated).collect();
    Ok(Found { quasi: QuasiIdentifiers::new(items)?, notes, built })
}

/// The values of both columns.
fn joined(one: &Column, other: &Column) -> Result<Column, FilesError> {
    let values = |c: &Column| {
        let all = (0..c.codes().len()).filter_map(|row| c.value(row).map(str::to_owned));
        all.collect::<Vec<String>>()
    };
    Ok(Column::from_values(one.name(), [values(one), values(other)].concat())?)
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>, FilesError> {
    let entries = std::fs::read_dir(folder)
        .map_err(FilesError::file(folder, "the folder of hierarchies cannot be read"))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| {
            let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
            path.is_file()
                && ["csv", "txt", "tsv"].iter().any(|e| extension.eq_ignore_ascii_case(e))
        })
        .collect();
    files.sort();
    Ok(files)
}

/// The column that a file's name speaks of: `adult_hierarchy_age.csv`, `hierarchy-age.csv`,
/// `age_hierarchy.csv` and `age.csv` are all about `age`.
fn column_of(path: &Path) -> &str {
    const WORD: &str = "hierarchy";
    let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let joint = |c: char| matches!(c, '_' | '-' | '.' | ' ');
    let lower = stem.to_ascii_lowercase();
    match lower.find(WORD) {
        Some(at) => {
            let after = stem.get(at + WORD.len()..).unwrap_or_default().trim_start_matches(joint);
            let before = stem.get(..at).unwrap_or_default().trim_end_matches(joint);
            if after.is_empty() { before } else { after }
        }
        None => stem,
    }
}

/// The file of a column: one with its exact name, or else the only one that differs in case or in
/// what joins its words.
fn file_of<'f>(files: &'f [PathBuf], column: &str) -> Result<Option<&'f PathBuf>, FilesError> {
    let plain = |text: &str| -> String {
        text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let exact: Vec<&PathBuf> = files.iter().filter(|f| column_of(f) == column).collect();
    let like = || files.iter().filter(|f| plain(column_of(f)) == plain(column)).collect();
    let found: Vec<&PathBuf> = if exact.is_empty() { like() } else { exact };
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        [one, other, ..] => Err(FilesError::TwoHierarchies {
            column: column.to_owned(),
            one: (*one).clone(),
            other: (*other).clone(),
        }),
    }
}

/// Refuses to write over a hierarchy in the folder that a column of the table has.
pub(crate) fn not_over(
    folder: Option<&Path>,
    source: &Source,
    written: &[Option<Named<'_>>],
) -> Result<(), FilesError> {
    let files = folder.map(files_of).transpose()?.unwrap_or_default();
    for column in source.table.columns() {
        // Where there are two, the work says so if it needs one.
        let file = file_of(&files, column.name()).ok().flatten().map(PathBuf::as_path);
        check_outputs(&[given("a file of --hierarchies", file)], written)?;
    }
    Ok(())
}

fn read(path: &Path, encoding: Encoding) -> Result<Hierarchy, FilesError> {
    let text = read_text(path, encoding)?;
    let format = CsvFormat {
        whitespace: Whitespace::Trim,
        ..CsvFormat::with_delimiter(guess_delimiter(&text)).without_header()
    };
    Hierarchy::read_csv(text.as_bytes(), format)
        .map_err(|source| FilesError::Hierarchy { path: path.to_owned(), source })
}

/// Adds the values that records have and the hierarchy lacks.
fn complete(
    hierarchy: Hierarchy,
    column: &Column,
    path: &Path,
    notes: &mut Vec<String>,
) -> Result<Hierarchy, FilesError> {
    let counts = column.counts();
    let values = column.dictionary().iter().zip(&counts);
    let unknown: Vec<&str> = values
        .filter(|(text, count)| **count > 0 && hierarchy.value(text).is_none())
        .map(|(text, _)| text.as_str())
        .collect();
    if unknown.is_empty() {
        return Ok(hierarchy);
    }
    let first = (0..column.codes().len())
        .find(|&row| column.value(row).is_some_and(|v| hierarchy.value(v).is_none()))
        .unwrap_or(0);
    let whole = unknown.len() == column.dictionary().len();
    if whole {
        return Err(FilesError::Hierarchy {
            path: path.to_owned(),
            source: HierarchyError::MissingValue {
                column: column.name().to_owned(),
                record: first + 1,
            },
        });
    }
    if !unknown.iter().all(|text| is_missing(text)) {
        notes.push(format!(
            "column '{}': {} values, the first in record {}, are not in {}; they are suppressed \
             from level 1 on: add them there for a better result",
            column.name(),
            unknown.len(),
            first + 1,
            path.display()
        ));
    }
    hierarchy
        .with_values(&unknown)
        .map_err(|source| FilesError::Hierarchy { path: path.to_owned(), source })
}

/// The hierarchy that a folder has for the items of a column of lists.
pub(crate) fn of_items(
    lists: &Column,
    separator: char,
    folder: &Path,
    encoding: Encoding,
) -> Result<Hierarchy, FilesError> {
    let files = files_of(folder)?;
    let Some(path) = file_of(&files, lists.name())? else {
        return Err(FilesError::option(format!(
            "--hierarchies {}: there is no file for column '{}'",
            folder.display(),
            lists.name()
        )));
    };
    let items = lists.dictionary().iter().flat_map(|text| text.split(separator));
    let items: Vec<&str> = items.map(str::trim).filter(|item| !item.is_empty()).collect();
    let items = Column::from_values(lists.name(), items)?;
    complete(read(path, encoding)?, &items, path, &mut Vec::new())
}

/// The hierarchies that are said or that a folder has for the first table's columns, complete for
/// all tables.
pub(crate) fn listed(
    sources: &[&Source],
    origins: Origins<'_>,
) -> Result<Option<QuasiIdentifiers>, FilesError> {
    let encoding = origins.encoding;
    let files = origins.folder.map(files_of).transpose()?.unwrap_or_default();
    let mut items = Vec::new();
    for column in sources.iter().take(1).flat_map(|source| source.table.columns()) {
        if let Some(kind) = origins.of(column.name()) {
            let mut all = column.clone();
            for source in sources.iter().skip(1) {
                if let Ok(own) = source.table.column(column.name()) {
                    all = joined(&all, own)?;
                }
            }
            let hierarchy = by_statement(&all, kind, &mut Vec::new())?;
            items.push(QuasiIdentifier { column: column.name().to_owned(), hierarchy });
            continue;
        }
        let Some(path) = file_of(&files, column.name())? else { continue };
        let mut hierarchy = read(path, encoding)?;
        for source in sources {
            if let Ok(own) = source.table.column(column.name()) {
                hierarchy = complete(hierarchy, own, path, &mut Vec::new())?;
            }
        }
        items.push(QuasiIdentifier { column: column.name().to_owned(), hierarchy });
    }
    if let (true, Some(folder)) = (items.is_empty(), origins.folder) {
        return Err(FilesError::option(format!(
            "--hierarchies {}: no file there is named after a column of the tables",
            folder.display()
        )));
    }
    Ok(Some(QuasiIdentifiers::new(items)?))
}

/// What a hierarchy file in a folder lists for a column: a public domain of its values.
pub(crate) fn listed_values(
    folder: &Path,
    column: &str,
    encoding: Encoding,
) -> Result<Option<Vec<String>>, FilesError> {
    let files = files_of(folder)?;
    let Some(path) = file_of(&files, column)? else { return Ok(None) };
    let text = read_text(path, encoding)?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(guess_delimiter(&text))
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut values: Vec<String> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|source| FilesError::Table {
            path: path.clone(),
            source: TableError::Csv { line: source.position().map(csv::Position::line), source },
        })?;
        if let Some(value) = record.get(0).filter(|v| !values.iter().any(|known| known == v)) {
            values.push(value.to_owned());
        }
    }
    Ok(Some(values))
}

#[cfg(test)]
mod tests;
