use std::collections::HashSet;
use std::io::Read;

use arrow::datatypes::{DataType, Field, Schema};
use salus_model::{Class, Classified, DatasetId, KeyClass};
use salus_store::KeyChoice;
use serde_json::Value as Json;

use super::reader::{LineFormat, ReadError};
use super::schema::{Column, ColumnKind, Requirement, SchemaFile};
use super::shape::{Part, Shape};
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
    /// A column of a type that Salus does not keep.
    #[error(
        "the file's column '{column}' is of type {found}, which Salus does not keep; ignore it"
    )]
    Type {
        /// The column.
        column: String,
        /// Its type in the file.
        found: String,
    },
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
    format: LineFormat,
) -> Result<SchemaFile, InferError> {
    let (names, seen) = match format {
        LineFormat::Csv { delimiter } => sample_csv(source, delimiter)?,
        LineFormat::Ndjson => sample_ndjson(source)?,
    };
    if seen.iter().all(|s| s.values == 0) {
        return Err(InferError::Empty);
    }
    let shapes = seen.iter().map(|seen| Shape::One(seen.kind()));
    Ok(proposal(dataset, names.iter().map(String::as_str).zip(shapes)))
}

/// Proposes a schema for a Parquet source, whose types it declares; nothing but the footer is
/// read, and no column's key is needed. Names and classes are guesses, as with [`infer`].
///
/// # Errors
/// When a column has a type that Salus does not keep.
pub fn infer_parquet(dataset: DatasetId, source: &Schema) -> Result<SchemaFile, InferError> {
    if source.fields().is_empty() {
        return Err(InferError::Empty);
    }
    let mut shapes = Vec::with_capacity(source.fields().len());
    for field in source.fields() {
        shapes.push((field.name().as_str(), shape(field.name(), field.data_type())?));
    }
    Ok(proposal(dataset, shapes))
}

fn proposal<'a>(
    dataset: DatasetId,
    found: impl IntoIterator<Item = (&'a str, Shape)>,
) -> SchemaFile {
    let mut taken = HashSet::new();
    let column = |(source, shape): (&str, Shape)| {
        let mut name = column_name(source);
        while !taken.insert(name.clone()) {
            name.push('_');
        }
        let (class, shape) = classified(source, shape);
        Column {
            source: (name != source).then(|| source.to_owned()),
            class: KeyChoice::Class(class),
            name,
            shape,
            required: Requirement::Optional,
            unit: None,
            min: None,
            max: None,
            values: Vec::new(),
        }
    };
    let columns: Vec<Column> = found.into_iter().map(column).collect();
    let subject = columns.iter().find(|c| is_subject(&c.name)).map(|c| c.name.clone());
    SchemaFile { dataset, subject, identity: None, ignore: vec![], encryption: None, columns }
}

/// The shape of a type that Parquet declares.
fn shape(path: &str, kind: &DataType) -> Result<Shape, InferError> {
    let part = |name: &str, field: &Field| {
        let shape = shape(&format!("{path}.{name}"), field.data_type())?;
        Ok::<_, InferError>(Part { shape, class: None })
    };
    let other = || InferError::Type { column: path.to_owned(), found: kind.to_string() };
    Ok(match kind {
        DataType::Struct(fields) => {
            let named = fields.iter().map(|f| Ok((f.name().clone(), part(f.name(), f)?)));
            Shape::Struct(named.collect::<Result<_, InferError>>()?)
        }
        DataType::List(item) => Shape::List(Box::new(part("list.element", item)?)),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => match fields.as_ref() {
                [key, value] => Shape::Map {
                    key: Box::new(part("key_value.key", key)?),
                    value: Box::new(part("key_value.value", value)?),
                },
                _ => return Err(other()),
            },
            _ => return Err(other()),
        },
        DataType::Boolean => Shape::One(ColumnKind::Boolean),
        DataType::Date32 | DataType::Date64 => Shape::One(ColumnKind::Date),
        DataType::Timestamp(..) => Shape::One(ColumnKind::Timestamp),
        // A double holds fifteen digits exactly; what has more stays text rather than be rounded.
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..=15, _) => {
            Shape::One(ColumnKind::Number)
        }
        kind if kind.is_integer() => Shape::One(ColumnKind::Integer),
        kind if kind.is_floating() => Shape::One(ColumnKind::Number),
        kind if kind.is_nested() => return Err(other()),
        _ => Shape::One(ColumnKind::Text),
    })
}

/// The class of a column, and its shape with the classes of those parts that have others.
fn classified(name: &str, shape: Shape) -> (KeyClass, Shape) {
    match shape {
        Shape::One(kind) => (guess_class(name, kind), shape),
        shape => {
            let class = guess_class(name, ColumnKind::Text);
            (class, with_classes(name, class, shape))
        }
    }
}

fn with_classes(path: &str, above: KeyClass, shape: Shape) -> Shape {
    let part = |name: &str, part: Part| {
        let path = if name.is_empty() { path.to_owned() } else { format!("{path}.{name}") };
        let guessed = match &part.shape {
            Shape::One(kind) => guess_class(&path, *kind),
            _ => guess_class(&path, ColumnKind::Text),
        };
        let class = (guessed != above).then_some(KeyChoice::Class(guessed));
        Part { class, shape: with_classes(&path, guessed, part.shape) }
    };
    match shape {
        Shape::One(kind) => Shape::One(kind),
        Shape::List(item) => Shape::List(Box::new(part("", *item))),
        Shape::Struct(parts) => {
            let named = parts.into_iter().map(|(name, p)| (name.clone(), part(&name, p)));
            Shape::Struct(named.collect())
        }
        Shape::Map { key, value } => {
            Shape::Map { key: Box::new(part("", *key)), value: Box::new(part("", *value)) }
        }
    }
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
