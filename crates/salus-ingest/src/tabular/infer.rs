use std::collections::HashSet;
use std::io::Read;

use salus_model::{Class, Classified, DatasetId, KeyClass};
use salus_store::KeyChoice;
use serde_json::Value as Json;

use super::reader::{Format, ReadError};
use super::schema::{Column, ColumnKind, Requirement, SchemaFile};
use super::value;

/// How many records are looked at.
const SAMPLE: usize = 10_000;

/// Why no schema can be proposed.
#[derive(Debug, thiserror::Error)]
pub enum InferError {
    /// The source cannot be read.
    #[error("the file cannot be read")]
    Read(#[from] ReadError),
    /// There is no record.
    #[error("the file has no records to propose a schema from")]
    Empty,
    /// A Parquet file carries its schema itself.
    #[error("a Parquet file carries its schema; only the classes are to be named")]
    Parquet,
}

impl Classified for InferError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// Proposes a schema from the first records of a source, for somebody to confirm.
///
/// Types are the narrowest that fit every value seen. Classes are guesses from the columns' names
/// and take the stricter class in doubt; a person has to confirm them.
///
/// # Errors
/// When the source cannot be read or is empty.
pub fn infer(
    dataset: DatasetId,
    source: impl Read,
    format: Format,
) -> Result<SchemaFile, InferError> {
    let (names, seen) = match format {
        Format::Csv { delimiter } => sample_csv(source, delimiter)?,
        Format::Ndjson => sample_ndjson(source)?,
        Format::Parquet => return Err(InferError::Parquet),
    };
    if seen.iter().all(|s| s.values == 0) {
        return Err(InferError::Empty);
    }
    let mut taken = HashSet::new();
    let columns: Vec<Column> = names
        .iter()
        .zip(&seen)
        .map(|(source, seen)| {
            let mut name = column_name(source);
            while !taken.insert(name.clone()) {
                name.push('_');
            }
            let kind = seen.kind();
            Column {
                source: (name != *source).then(|| source.clone()),
                class: KeyChoice::Class(guess_class(source, kind)),
                name,
                kind,
                required: Requirement::Optional,
                unit: None,
                min: None,
                max: None,
                values: Vec::new(),
            }
        })
        .collect();
    let subject = columns.iter().find(|c| is_subject(&c.name)).map(|c| c.name.clone());
    Ok(SchemaFile { dataset, subject, identity: None, ignore: Vec::new(), columns })
}

/// What has been seen of a column so far.
#[derive(Clone)]
struct Seen {
    values: usize,
    fits: [(ColumnKind, bool); 5],
}

impl Seen {
    const fn nothing() -> Self {
        Self {
            values: 0,
            fits: [
                (ColumnKind::Integer, true),
                (ColumnKind::Number, true),
                (ColumnKind::Date, true),
                (ColumnKind::Timestamp, true),
                (ColumnKind::Boolean, true),
            ],
        }
    }

    fn take(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.values += 1;
        for (kind, fits) in &mut self.fits {
            *fits = *fits && fits_kind(*kind, text.trim());
        }
    }

    fn kind(&self) -> ColumnKind {
        let narrowest = self.fits.iter().find(|(_, fits)| *fits && self.values > 0);
        narrowest.map_or(ColumnKind::Text, |(kind, _)| *kind)
    }
}

fn fits_kind(kind: ColumnKind, text: &str) -> bool {
    match kind {
        // A leading zero carries meaning: a postcode, a record number.
        ColumnKind::Integer => text.parse::<i64>().is_ok_and(|n| n.to_string() == text),
        ColumnKind::Number => {
            let padded = text.len() > 1 && text.starts_with('0') && !text.starts_with("0.");
            !padded && text.parse::<f64>().is_ok_and(f64::is_finite)
        }
        ColumnKind::Date => value::date(text).is_some(),
        ColumnKind::Timestamp => value::timestamp(text).is_some(),
        ColumnKind::Boolean => value::boolean(text).is_some(),
        ColumnKind::Text => true,
    }
}

fn sample_csv(source: impl Read, delimiter: u8) -> Result<(Vec<String>, Vec<Seen>), InferError> {
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(source);
    let header = reader.headers().map_err(ReadError::Header)?;
    let names: Vec<String> =
        header.iter().map(|h| h.trim_start_matches('\u{feff}').to_owned()).collect();
    let mut seen = vec![Seen::nothing(); names.len()];
    for row in reader.byte_records().take(SAMPLE) {
        let row = row.map_err(|e| ReadError::Io(e.into()))?;
        for (seen, field) in seen.iter_mut().zip(&row) {
            seen.take(&String::from_utf8_lossy(field));
        }
    }
    Ok((names, seen))
}

fn sample_ndjson(source: impl Read) -> Result<(Vec<String>, Vec<Seen>), InferError> {
    let (mut names, mut seen): (Vec<String>, Vec<Seen>) = (Vec::new(), Vec::new());
    let objects = serde_json::Deserializer::from_reader(source).into_iter::<Json>();
    for object in objects.take(SAMPLE).map_while(Result::ok) {
        let mut found = Vec::new();
        flatten(String::new(), &object, &mut found);
        for (name, text) in found {
            let place = names.iter().position(|n| *n == name).unwrap_or_else(|| {
                names.push(name);
                seen.push(Seen::nothing());
                names.len() - 1
            });
            seen[place].take(&text);
        }
    }
    Ok((names, seen))
}

fn flatten(path: String, value: &Json, found: &mut Vec<(String, String)>) {
    match value {
        Json::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(path, value, found);
            }
        }
        Json::String(text) => found.push((path, text.clone())),
        Json::Null => found.push((path, String::new())),
        other => found.push((path, other.to_string())),
    }
}

/// A name for SQL: lower case, with `_` for what does not fit.
fn column_name(source: &str) -> String {
    let fit = |c: char| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let name: String = source.trim().chars().map(fit).collect();
    let name = name.trim_matches('_').to_owned();
    if name.is_empty() { "column".to_owned() } else { name }
}

fn is_subject(name: &str) -> bool {
    matches!(name, "patient_id" | "patient" | "subject_id" | "subject" | "person_id" | "mrn")
}

const IDENTIFIERS: &[&str] = &[
    "id",
    "mrn",
    "ssn",
    "name",
    "surname",
    "firstname",
    "lastname",
    "phone",
    "telephone",
    "fax",
    "email",
    "mail",
    "address",
    "street",
    "insurance",
    "passport",
    "license",
    "licence",
    "account",
    "serial",
    "url",
    "ip",
    "patient",
    "subject",
    "person",
    "device",
];
const QUASI: &[&str] = &[
    "age",
    "birth",
    "birthdate",
    "born",
    "dob",
    "sex",
    "gender",
    "race",
    "ethnicity",
    "zip",
    "postcode",
    "postal",
    "city",
    "town",
    "county",
    "state",
    "country",
    "nationality",
    "marital",
    "education",
    "occupation",
    "profession",
    "religion",
    "language",
    "income",
    "salary",
    "workclass",
    "death",
    "deceased",
];
const FREETEXT: &[&str] = &[
    "note",
    "notes",
    "text",
    "comment",
    "comments",
    "description",
    "narrative",
    "report",
    "remark",
];

fn guess_class(name: &str, kind: ColumnKind) -> KeyClass {
    let lower = name.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).collect();
    let names_one_of = |list: &[&str]| words.iter().any(|w| list.contains(w));
    if names_one_of(IDENTIFIERS) {
        KeyClass::Identifiers
    } else if kind == ColumnKind::Text && names_one_of(FREETEXT) {
        KeyClass::Freetext
    } else if names_one_of(QUASI) {
        KeyClass::Quasi
    } else {
        KeyClass::Clinical
    }
}
