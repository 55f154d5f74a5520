use std::io::{BufRead, BufReader, Read};
use std::str::FromStr;

use arrow::error::ArrowError;
use salus_model::{Class, Classified};
use salus_store::SourceError;
use serde_json::Value as Json;

use super::schema::SchemaFile;
use super::value::Unfit;

/// No line may be longer: a file without line ends must not fill the memory.
const LINE_BYTES: usize = 16 * 1024 * 1024;

/// The form of a file of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFormat {
    /// Comma-separated values with a header, RFC 4180, with this delimiter.
    Csv {
        /// The byte between two fields.
        delimiter: u8,
    },
    /// One JSON object a line.
    Ndjson,
}

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Records on lines.
    Lines(LineFormat),
    /// Apache Parquet, encrypted or not.
    Parquet,
}

/// A file name whose ending tells no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{name}' ends in none of .csv, .tsv, .ndjson, .jsonl or .parquet; name the format")]
pub struct FormatUnknown {
    name: String,
}

impl FromStr for Format {
    type Err = FormatUnknown;

    /// The format that a file's name tells; `.gz` after it is looked through.
    fn from_str(name: &str) -> Result<Self, FormatUnknown> {
        let plain = name.strip_suffix(".gz").unwrap_or(name);
        match plain.rsplit('.').next() {
            Some("csv") => Ok(Self::Lines(LineFormat::Csv { delimiter: b',' })),
            Some("tsv") => Ok(Self::Lines(LineFormat::Csv { delimiter: b'\t' })),
            Some("ndjson" | "jsonl") => Ok(Self::Lines(LineFormat::Ndjson)),
            Some("parquet") => Ok(Self::Parquet),
            _ => Err(FormatUnknown { name: name.to_owned() }),
        }
    }
}

/// Why a file as a whole cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk or the network failed.
    #[error("the file cannot be read on")]
    Io(#[from] std::io::Error),
    /// The CSV has no header line.
    #[error("the file is empty: a header line is wanted")]
    NoHeader,
    /// The header cannot be read.
    #[error("the header line cannot be read")]
    Header(#[source] csv::Error),
    /// The header names a column that the schema does not know; its values would be lost.
    #[error(
        "the file has a column '{column}' that the schema does not name; add it as a [[column]], \
         or list it under ignore"
    )]
    Unknown {
        /// The column.
        column: String,
    },
    /// The header names a column twice.
    #[error("the file's header names the column '{column}' twice")]
    Twice {
        /// The column.
        column: String,
    },
    /// A Parquet file, or a key of it, that is not to be had.
    #[error("the Parquet file cannot be opened")]
    Source(#[from] SourceError),
    /// A page of a Parquet file that cannot be read.
    #[error("the Parquet file cannot be read on: it is damaged, or was altered")]
    Parquet(#[source] ArrowError),
    /// A column that is nested in another way than the schema says.
    #[error("the file's column '{column}' is {found}; the schema says {wanted}")]
    Nesting {
        /// The column, or a part of one.
        column: String,
        /// What the schema says.
        wanted: &'static str,
        /// The type in the file.
        found: String,
    },
    /// A nested column in a source that has single values only.
    #[error("the schema's column '{column}' is nested, which only Parquet files can be")]
    NotNested {
        /// The column.
        column: String,
    },
    /// The header lacks a column of the schema.
    #[error("the file has no column '{column}', which the schema names")]
    Lacking {
        /// The column.
        column: String,
    },
}

impl Classified for ReadError {
    fn class(&self) -> Class {
        match self {
            Self::Io(_) => Class::Unavailable,
            Self::Source(e) => e.class(),
            _ => Class::BadRequest,
        }
    }
}

/// One record of a source, with what is needed to quarantine it.
pub(crate) struct Record {
    /// Its line, counted from 1.
    pub(crate) line: u64,
    /// The record as it stood.
    pub(crate) raw: String,
    /// Its fields in the schema's order, or why it has none.
    pub(crate) fields: Result<Vec<Field>, (String, Unfit)>,
}

/// One field of a record.
pub(crate) type Field = Result<Option<String>, Unfit>;

pub(crate) type Records = Box<dyn Iterator<Item = Result<Record, ReadError>> + Send>;

/// The records of a CSV or NDJSON source.
pub(crate) fn records(
    source: Box<dyn Read + Send>,
    format: LineFormat,
    schema: &SchemaFile,
) -> Result<Records, ReadError> {
    match format {
        LineFormat::Csv { delimiter } => csv_records(source, delimiter, schema),
        LineFormat::Ndjson => Ok(ndjson_records(source, schema)),
    }
}

fn csv_records(
    source: Box<dyn Read + Send>,
    delimiter: u8,
    schema: &SchemaFile,
) -> Result<Records, ReadError> {
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(source);
    let header = reader.headers().map_err(ReadError::Header)?.clone();
    let header: Vec<String> =
        header.iter().map(|h| h.trim_start_matches('\u{feff}').to_owned()).collect();
    let places = places(&header, schema)?;
    let width = header.len();
    let rows = reader.into_byte_records();
    let records = rows.map(move |row| {
        let row = row.map_err(|e| ReadError::Io(e.into()))?;
        let line = row.position().map_or(0, csv::Position::line);
        let raw = raw_line(&row, delimiter);
        let fields = if row.len() == width {
            let field = |&place: &usize| match std::str::from_utf8(row.get(place).unwrap_or(&[])) {
                Ok(text) => Ok(Some(text.to_owned())),
                Err(_) => Err(Unfit::NotUtf8),
            };
            Ok(places.iter().map(field).collect())
        } else {
            Err((String::new(), Unfit::FieldCount))
        };
        Ok(Record { line, raw, fields })
    });
    Ok(Box::new(records))
}

/// Where in the header each column of the schema stands.
fn places(header: &[String], schema: &SchemaFile) -> Result<Vec<usize>, ReadError> {
    if header.iter().all(String::is_empty) {
        return Err(ReadError::NoHeader);
    }
    for (at, column) in header.iter().enumerate() {
        if header[..at].contains(column) {
            return Err(ReadError::Twice { column: column.clone() });
        }
        let known = schema.columns.iter().any(|c| c.source_name() == column);
        if !known && !schema.ignore.contains(column) {
            return Err(ReadError::Unknown { column: column.clone() });
        }
    }
    let place = |c: &super::schema::Column| {
        let found = header.iter().position(|h| h == c.source_name());
        found.ok_or_else(|| ReadError::Lacking { column: c.source_name().to_owned() })
    };
    schema.columns.iter().map(place).collect()
}

/// The record as text again, so that whoever mends it sees what came.
fn raw_line(row: &csv::ByteRecord, delimiter: u8) -> String {
    let mut writer = csv::WriterBuilder::new()
        .delimiter(delimiter)
        .terminator(csv::Terminator::Any(b'\n'))
        .flexible(true)
        .from_writer(Vec::new());
    let written = writer.write_byte_record(row).and_then(|()| Ok(writer.flush()?));
    let bytes = writer.into_inner().unwrap_or_default();
    match written {
        Ok(()) => String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned(),
        Err(_) => String::new(),
    }
}

fn ndjson_records(source: Box<dyn Read + Send>, schema: &SchemaFile) -> Records {
    let mut reader = BufReader::with_capacity(256 * 1024, source);
    let names: Vec<Vec<String>> = schema
        .columns
        .iter()
        .map(|c| c.source_name().split('.').map(str::to_owned).collect())
        .collect();
    let ignore = schema.ignore.clone();
    let mut line = 0;
    Box::new(std::iter::from_fn(move || {
        loop {
            let bytes = match next_line(&mut reader) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return None,
                Err(e) => return Some(Err(ReadError::Io(e))),
            };
            line += 1;
            if !bytes.iter().all(u8::is_ascii_whitespace) {
                return Some(Ok(json_record(line, &bytes, &names, &ignore)));
            }
        }
    }))
}

fn next_line(reader: &mut impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let limit = LINE_BYTES as u64 + 1;
    let read = reader.by_ref().take(limit).read_until(b'\n', &mut bytes)?;
    if read == 0 {
        return Ok(None);
    }
    if bytes.len() > LINE_BYTES {
        let message = format!("a line is longer than {} MiB", LINE_BYTES / (1024 * 1024));
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, message));
    }
    while matches!(bytes.last(), Some(b'\n' | b'\r')) {
        bytes.pop();
    }
    Ok(Some(bytes))
}

fn json_record(line: u64, bytes: &[u8], names: &[Vec<String>], ignore: &[String]) -> Record {
    let raw = String::from_utf8_lossy(bytes).into_owned();
    let fields = match serde_json::from_slice::<Json>(bytes) {
        Ok(Json::Object(object)) => {
            let known = |key: &String| {
                names.iter().any(|path| path.first() == Some(key)) || ignore.contains(key)
            };
            match object.keys().find(|key| !known(key)) {
                Some(_) => Err((String::new(), Unfit::UnknownField)),
                None => Ok(names.iter().map(|path| json_field(&object, path)).collect()),
            }
        }
        _ => Err((String::new(), Unfit::NotJson)),
    };
    Record { line, raw, fields }
}

fn json_field(object: &serde_json::Map<String, Json>, path: &[String]) -> Field {
    let mut parts = path.iter();
    let mut value = parts.next().and_then(|first| object.get(first));
    for part in parts {
        value = value.and_then(|v| v.get(part));
    }
    match value {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.clone())),
        Some(Json::Number(n)) => Ok(Some(n.to_string())),
        Some(Json::Bool(b)) => Ok(Some(b.to_string())),
        Some(Json::Array(_) | Json::Object(_)) => Err(Unfit::Nested),
    }
}
