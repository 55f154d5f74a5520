//! Hierarchies for a table's columns: found in a folder, or built.

use std::path::{Path, PathBuf};

use salus_deid::{
    Column, CsvFormat, Hierarchy, HierarchyError, QuasiIdentifier, QuasiIdentifiers, TableError,
    Whitespace, is_missing,
};

use crate::error::FilesError;
use crate::file::{Encoding, Source, guess_delimiter, read_text};

/// Quasi-identifiers, and what a person should know about their hierarchies.
pub(crate) struct Found {
    pub(crate) quasi: QuasiIdentifiers,
    pub(crate) notes: Vec<String>,
    /// Columns whose hierarchy was built from the table's own values.
    pub(crate) built: Vec<String>,
}

/// A hierarchy for each column: from the folder where it has one, built where not.
pub(crate) fn of_columns(
    source: &Source,
    columns: &[String],
    folder: Option<&Path>,
    people: Option<&Source>,
    encoding: Encoding,
) -> Result<Found, FilesError> {
    let files = folder.map(files_of).transpose()?.unwrap_or_default();
    let mut notes = Vec::new();
    let mut built = Vec::new();
    let mut items = Vec::with_capacity(columns.len());
    for name in columns {
        let column = source.table.column(name)?;
        let hierarchy = match file_of(&files, name)? {
            Some(path) => {
                let mut hierarchy = read(path, encoding)?;
                if let Some(people) = people {
                    hierarchy =
                        complete(hierarchy, people.table.column(name)?, path, &mut Vec::new())?;
                }
                complete(hierarchy, column, path, &mut notes)?
            }
            None => {
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
    let built = built.into_iter().map(str::to_owned).collect();
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

/// The hierarchies that a folder has for the first table's columns, complete for all tables.
pub(crate) fn listed(
    sources: &[&Source],
    folder: &Path,
    encoding: Encoding,
) -> Result<Option<QuasiIdentifiers>, FilesError> {
    let files = files_of(folder)?;
    let mut items = Vec::new();
    for column in sources.iter().take(1).flat_map(|source| source.table.columns()) {
        let Some(path) = file_of(&files, column.name())? else { continue };
        let mut hierarchy = read(path, encoding)?;
        for source in sources {
            if let Ok(own) = source.table.column(column.name()) {
                hierarchy = complete(hierarchy, own, path, &mut Vec::new())?;
            }
        }
        items.push(QuasiIdentifier { column: column.name().to_owned(), hierarchy });
    }
    if items.is_empty() {
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
