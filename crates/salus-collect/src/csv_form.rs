use std::io::{Read, Write};

use salus_model::{Class, Classified, Timestamp};
use serde_json::{Map, Value};

use crate::fields::{FIELDS, FieldKind};
use crate::record::{DeviceRecord, Form, ReasonRefused, Refusal, read_record};

/// Why a CSV file as a whole cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the file is no CSV with the fields' names in its first line: {reason}")]
pub struct CsvError {
    reason: String,
}

impl Classified for CsvError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

fn unreadable(error: &csv::Error) -> CsvError {
    // The crate's own words may repeat a part of the file.
    let line = error.position().map(csv::Position::line);
    let reason = match (error.kind(), line) {
        (csv::ErrorKind::Io(_), _) => "it cannot be read to its end".to_owned(),
        (csv::ErrorKind::UnequalLengths { .. }, Some(line)) => {
            format!("line {line} has another number of fields than the first")
        }
        (_, Some(line)) => format!("line {line} cannot be read"),
        (_, None) => "its first line cannot be read".to_owned(),
    };
    CsvError { reason }
}

/// The records of a CSV file, one for each line, as the line says it and as it was read.
pub struct CsvRecords<R> {
    reader: csv::Reader<R>,
    headers: csv::StringRecord,
    now: Timestamp,
}

/// One line: its number, its text, and the record or why it is none.
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) record: Result<DeviceRecord, Refusal>,
}

impl<R: Read> CsvRecords<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// When it cannot be read, names a field twice, or none that the schema has.
    pub fn new(source: R, now: Timestamp) -> Result<Self, CsvError> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(source);
        let headers = reader.headers().map_err(|e| unreadable(&e))?.clone();
        if !headers.iter().any(|name| name == "device_id") {
            return Err(CsvError { reason: "there is no field 'device_id'".to_owned() });
        }
        let mut names: Vec<&str> = headers.iter().collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            return Err(CsvError { reason: "a field stands there twice".to_owned() });
        }
        Ok(Self { reader, headers, now })
    }

    /// Records and refusals, without the lines' text.
    ///
    /// # Errors
    /// Each entry may be a line that is no CSV.
    pub fn records(self) -> impl Iterator<Item = Result<Result<DeviceRecord, Refusal>, CsvError>> {
        self.lines().map(|line| line.map(|line| line.record))
    }

    pub(crate) fn lines(self) -> impl Iterator<Item = Result<Line, CsvError>> {
        let Self { reader, headers, now } = self;
        reader.into_records().map(move |record| {
            let record = record.map_err(|e| unreadable(&e))?;
            let fields: Map<String, Value> = headers
                .iter()
                .zip(&record)
                .map(|(name, value)| (name.to_owned(), Value::String(value.to_owned())))
                .collect();
            let read = if record.len() == headers.len() {
                read_record(&fields, Form::Text, now)
            } else {
                Err(Refusal { field: String::new(), reason: ReasonRefused::Unreadable })
            };
            let text = serde_json::to_string(&fields).unwrap_or_default();
            Ok(Line { text, record: read })
        })
    }
}

/// Writes records as CSV that [`CsvRecords`] reads.
///
/// # Errors
/// When the target cannot be written.
pub fn write_csv(target: impl Write, records: &[DeviceRecord]) -> Result<(), CsvError> {
    let mut writer = csv::Writer::from_writer(target);
    let names: Vec<&str> = FIELDS
        .iter()
        .filter(|f| f.name != "received" && !matches!(f.kind, FieldKind::Length))
        .map(|f| f.name)
        .collect();
    writer.write_record(&names).map_err(|e| unreadable(&e))?;
    for record in records {
        let fields = serde_json::to_value(record).unwrap_or_default();
        let cells = names.iter().map(|name| cell(fields.get(name).unwrap_or(&Value::Null)));
        writer.write_record(cells).map_err(|e| unreadable(&e))?;
    }
    writer.flush().map_err(|_| CsvError { reason: "it cannot be written".to_owned() })
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(entries) => entries.iter().map(cell).collect::<Vec<_>>().join(";"),
        other => other.to_string(),
    }
}
