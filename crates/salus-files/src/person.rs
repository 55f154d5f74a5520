//! Whose each record is, where a person may have several.

use salus_deid::{Column, Table, is_missing};

use crate::error::FilesError;
use crate::file::Source;

/// Names that columns of people's numbers have.
const USUAL: [&str; 12] = [
    "patient",
    "patientid",
    "patientnumber",
    "patientnr",
    "person",
    "personid",
    "subject",
    "subjectid",
    "participantid",
    "mrn",
    "pseudonym",
    "memberid",
];

/// Checks the column that says whose a record is.
///
/// # Errors
/// When it does not exist, or leaves out whose a record is.
pub(crate) fn check(source: &Source, person: Option<&String>) -> Result<(), FilesError> {
    let Some(person) = person else { return Ok(()) };
    source.require("--person", std::slice::from_ref(person))?;
    let column = source.table.column(person)?;
    let unknown = (0..source.table.rows()).find(|&row| column.value(row).is_none_or(is_missing));
    match unknown {
        None => Ok(()),
        Some(record) => Err(FilesError::option(format!(
            "--person: column '{person}', record {}: it is not said whose the record is; fill it \
             in, or leave the record out",
            record + 1
        ))),
    }
}

/// How many people the records are of.
pub(crate) fn people(table: &Table, person: &str) -> Result<u64, FilesError> {
    Ok(table.column(person)?.counts().iter().filter(|n| **n > 0).count() as u64)
}

/// Refuses identifiers that together come again: groups of records would be taken for groups of
/// people.
///
/// # Errors
/// When more than a tenth of the records have identifiers that another has.
pub(crate) fn one_record_each(table: &Table, identifiers: &[String]) -> Result<(), FilesError> {
    if identifiers.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = identifiers.iter().map(String::as_str).collect();
    let distinct = salus_deid::risk::ClassSizes::of_table(table, &names)?.classes() as usize;
    if distinct * 10 >= table.rows() * 9 {
        return Ok(());
    }
    Err(FilesError::option(format!(
        "--identifiers {}: {} records have {distinct} different ones, so people seem to have \
         several records, and groups of records would pass for groups of people. Say --person with \
         the column that tells people apart; where each record is another person's, give each a \
         number of its own in such a column",
        identifiers.join(","),
        table.rows(),
    )))
}

/// Refuses a population that is smaller than the table, which is a sample of it.
///
/// # Errors
/// When it is.
pub(crate) fn in_population(size: Option<u64>, many: u64, noun: &str) -> Result<(), FilesError> {
    match size {
        Some(size) if size < many => Err(FilesError::option(format!(
            "--population-size {size}: the population is smaller than the table's {noun}, which \
             are a sample of it; say how many people it has"
        ))),
        _ => Ok(()),
    }
}

/// Columns that seem to say whose a record is and come again, where nobody said so. A column with
/// the name of people's numbers settles it: where it tells all records apart, each is of one person.
pub(crate) fn noted(table: &Table, known: &[String]) -> Vec<String> {
    let plain = |name: &str| -> String {
        name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let rows = table.rows();
    let named = |name: &str| USUAL.contains(&plain(name).as_str());
    let several = |values: usize| values > 1 && values * 20 < rows * 19;
    let values = |c: &Column| c.counts().iter().filter(|n| **n > 0).count();
    let settled = table
        .columns()
        .iter()
        .any(|c| named(c.name()) && known.iter().any(|k| k == c.name()) && values(c) == rows);
    table
        .columns()
        .iter()
        .filter(|c| named(c.name()) || (!settled && known.iter().any(|k| k == c.name())))
        .map(|c| (c.name(), values(c)))
        .filter(|(_, values)| several(*values))
        .map(|(name, values)| {
            format!(
                "WARNING: column '{name}' has {values} values in {rows} records. If it says whose \
                 a record is, say --person {name}: without it groups count records, and five \
                 records of one person pass for five people"
            )
        })
        .collect()
}
