//! Released tables as FHIR resources, one a line.

use chrono::NaiveDate;
use salus_deid::{Column, Table, is_missing};
use salus_fhir::rows::RowWriter;
use salus_model::Timestamp;

use crate::error::FilesError;

/// The column of the view of patients that becomes `Patient.birthDate`.
const BIRTH: &str = "birth_date";

/// Every record as a resource of one type, validated, as NDJSON.
pub(crate) fn ndjson(resource: &str, table: &Table) -> Result<Vec<u8>, FilesError> {
    let names: Vec<&str> = table.columns().iter().map(|c| c.name()).collect();
    let writer = RowWriter::new(resource, &names)?;
    let mut bytes = Vec::new();
    for row in 0..table.rows() {
        let value = |column: &salus_deid::Column| {
            column.value(row).filter(|value| !is_missing(value)).map(str::to_owned)
        };
        let fields: Vec<Option<String>> = table.columns().iter().map(value).collect();
        let fields: Vec<Option<&str>> = fields.iter().map(Option::as_deref).collect();
        let resource = writer.resource(row as u64 + 1, &fields)?;
        bytes.extend_from_slice(resource.to_string().as_bytes());
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// The same of drawn records, of whom nobody is born after `now`: bounds that were found privately
/// may reach beyond it, and a birth in the future is no patient.
///
/// # Privacy
/// What day it is, is public: changing what was drawn by it tells nothing more.
pub(crate) fn of_drawn(
    resource: &str,
    table: &Table,
    now: Timestamp,
) -> Result<Vec<u8>, FilesError> {
    match table.column(BIRTH) {
        Ok(births) if resource == "Patient" => {
            let births = born_by(births, now)?;
            ndjson(resource, &table.clone().with_column(births)?)
        }
        _ => ndjson(resource, table),
    }
}

/// Days of birth, those after `now` moved to it.
fn born_by(births: &Column, now: Timestamp) -> Result<Column, FilesError> {
    let day = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let written: String = now.to_string().chars().take(10).collect();
    let today = day(&written);
    let values = (0..births.codes().len()).map(|row| {
        let value = births.value(row).unwrap_or_default();
        let later = day(value).zip(today).is_some_and(|(born, today)| born > today);
        if later { written.as_str() } else { value }
    });
    Ok(Column::from_values(births.name(), values)?)
}

#[cfg(test)]
mod tests;
