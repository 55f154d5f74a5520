//! Plain tables in files: found out how they are written, read, and written again.

mod written;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use salus_deid::{CsvFormat, Header, QuotedFields, Table, TableError, Whitespace, is_missing};

use crate::error::FilesError;

pub(crate) use written::{
    Named, Staged, check_outputs, folder_of, given, table_bytes, unwritten, write_bytes,
    write_table,
};

/// How the files are written; what is not said is found out from the file.
#[derive(Debug, Clone, Default, Args)]
pub struct Format {
    /// The character between fields, such as ';' or tab; found out from the file if not given.
    #[arg(long, value_parser = delimiter)]
    pub delimiter: Option<u8>,
    /// The first line holds column names even though it looks like a record.
    #[arg(long, conflicts_with = "no_header")]
    pub header: bool,
    /// The first line is a record; columns are called column-1, column-2 and so on.
    #[arg(long)]
    pub no_header: bool,
    /// The encoding of files that are not UTF-8.
    #[arg(long, value_enum, default_value = "utf-8")]
    pub encoding: Encoding,
}

/// A text encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Encoding {
    /// UTF-8, or UTF-16 with a byte-order mark.
    #[default]
    #[value(name = "utf-8")]
    Utf8,
    /// Western Europe, as older Windows programs write it; also ISO 8859-1.
    #[value(name = "windows-1252", alias = "latin1", alias = "iso-8859-1")]
    Windows1252,
    /// Central Europe, as older Windows programs write it.
    #[value(name = "windows-1250")]
    Windows1250,
    /// UTF-16, little end first.
    #[value(name = "utf-16le")]
    Utf16Le,
    /// UTF-16, big end first.
    #[value(name = "utf-16be")]
    Utf16Be,
}

impl Encoding {
    /// The encoding of a file that begins with these bytes.
    pub(crate) fn of_bytes(self, start: &[u8]) -> &'static encoding_rs::Encoding {
        match self {
            Self::Utf8 => encoding_rs::Encoding::for_bom(start)
                .map_or(encoding_rs::UTF_8, |(marked, _)| marked),
            Self::Windows1252 => encoding_rs::WINDOWS_1252,
            Self::Windows1250 => encoding_rs::WINDOWS_1250,
            Self::Utf16Le => encoding_rs::UTF_16LE,
            Self::Utf16Be => encoding_rs::UTF_16BE,
        }
    }
}

pub(crate) fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [one] if one.is_ascii() && !matches!(one, b'"' | b'\n' | b'\r') => Ok(*one),
        _ if text.eq_ignore_ascii_case("tab") || text == "\\t" => Ok(b'\t'),
        _ => Err("a delimiter is one ASCII character, such as ';', or the word tab".to_owned()),
    }
}

/// A table with the file that it came from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// Its table.
    pub table: Table,
    /// How it is written.
    pub format: CsvFormat,
    /// What a person should know about the reading.
    pub notes: Vec<String>,
    first_line: usize,
}

impl Source {
    /// The line of the first record, counted from 1, if every record has one line.
    pub(crate) const fn first_line(&self) -> usize {
        self.first_line
    }

    /// A table that came otherwise, under the name that messages call it.
    pub(crate) fn of_table(name: &str, table: Table) -> Self {
        let format = CsvFormat::with_delimiter(b',');
        Self { path: PathBuf::from(name), table, format, notes: Vec::new(), first_line: 1 }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or is no table; the message names the line.
    pub fn read(path: &Path, options: &Format) -> Result<Self, FilesError> {
        Self::of_text(path, &read_text(path, options.encoding)?, options)
    }

    /// Reads the bytes of a file that its caller has read already.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn of_bytes(path: &Path, bytes: &[u8], options: &Format) -> Result<Self, FilesError> {
        Self::of_text(path, &text_of(path, bytes.to_vec(), options.encoding)?, options)
    }

    fn of_text(path: &Path, text: &str, options: &Format) -> Result<Self, FilesError> {
        let Form { format, hint, mut notes } = Form::of_text(path, text, options)?;
        let failed = |source| FilesError::Table { path: path.to_owned(), source };
        let mut fields = QuotedFields::new(text.get(hint..).unwrap_or(text).as_bytes(), format);
        let read = match Table::read_csv(&mut fields, format) {
            Err(TableError::Empty) if format.header == Header::Present => {
                return Err(no_record(path));
            }
            other => other,
        };
        let table = named(read.map_err(failed)?).map_err(failed)?;
        notes.extend(astray(&fields));
        let before = usize::from(format.header == Header::Present) + usize::from(hint > 0);
        Ok(Self { path: path.to_owned(), table, format, notes, first_line: before + 1 })
    }

    /// Another table that was read, or made, the same way.
    pub(crate) fn with_table(&self, table: Table) -> Self {
        Self { table, ..self.clone() }
    }

    /// Checks that columns exist.
    ///
    /// # Errors
    /// When one does not; `option` is the option that named it.
    pub fn require(&self, option: &'static str, names: &[String]) -> Result<(), FilesError> {
        for name in names {
            if self.table.column(name).is_err() {
                return Err(self.no_such_column(option, name));
            }
        }
        Ok(())
    }

    fn no_such_column(&self, option: &'static str, name: &str) -> FilesError {
        let known: Vec<&str> = self.table.columns().iter().map(|c| c.name()).collect();
        let likely = known.iter().find(|k| k.eq_ignore_ascii_case(name));
        let hint = match (likely, known.as_slice()) {
            (Some(likely), _) => format!(" (did you mean '{likely}'?)"),
            (None, [_]) => " (the file was read as one column: check --delimiter)".to_owned(),
            _ => String::new(),
        };
        let mut listed = known.join(", ");
        if known.len() > 30 {
            listed = format!("{} and {} more", known[..30].join(", "), known.len() - 30);
        }
        FilesError::NoSuchColumn {
            option,
            path: self.path.clone(),
            name: name.to_owned(),
            hint,
            known: listed,
        }
    }

    /// The columns of a list such as `a,b`, or all of them for `all`, but for `without`.
    ///
    /// # Errors
    /// When a named column does not exist or is one of `without`.
    pub fn columns(
        &self,
        option: &'static str,
        list: &[String],
        without: &[String],
    ) -> Result<Vec<String>, FilesError> {
        let all = matches!(list, [only] if only.eq_ignore_ascii_case("all"));
        if all && self.table.column("all").is_err() {
            let names = self.table.columns().iter().map(|c| c.name().to_owned());
            return Ok(names.filter(|n| !without.contains(n)).collect());
        }
        self.require(option, list)?;
        if let Some(name) = list.iter().find(|n| without.contains(n)) {
            return Err(FilesError::option(format!(
                "{option}: column '{name}' is given another part by another option; leave it out \
                 of one"
            )));
        }
        let mut seen: Vec<String> = Vec::new();
        for name in list {
            if !seen.contains(name) {
                seen.push(name.clone());
            }
        }
        Ok(seen)
    }
}

/// How a text is written.
pub(crate) struct Form {
    pub(crate) format: CsvFormat,
    /// Bytes of a first line such as `sep=;` without its end, which are no part of the table.
    pub(crate) hint: usize,
    /// What a person should know about the reading.
    pub(crate) notes: Vec<String>,
}

impl Form {
    /// Finds out what is not said.
    ///
    /// # Errors
    /// When there is nothing but the hint and white space.
    pub(crate) fn of_text(path: &Path, text: &str, options: &Format) -> Result<Self, FilesError> {
        let (hint, stated) = spreadsheet_hint(text);
        let text = text.get(hint..).unwrap_or(text);
        if text.trim().is_empty() {
            return Err(FilesError::Empty { path: path.to_owned() });
        }
        let delimiter = options.delimiter.or(stated).unwrap_or_else(|| guess_delimiter(text));
        let mut format =
            CsvFormat { whitespace: Whitespace::Trim, ..CsvFormat::with_delimiter(delimiter) };
        let mut notes = Vec::new();
        if options.no_header {
            format.header = Header::Absent;
        } else if !options.header && looks_headerless(text, format) {
            format.header = Header::Absent;
            notes.push(
                "the first line looks like a record, so columns are called column-1, column-2 and \
                 so on; say --header if it holds their names"
                    .to_owned(),
            );
        }
        Ok(Self { format, hint, notes })
    }
}

/// A file with column names alone.
pub(crate) fn no_record(path: &Path) -> FilesError {
    FilesError::Option(format!(
        "{}: there are column names and no record; say --no-header if the one line is a record",
        path.display()
    ))
}

/// A field so long that a stray quote may have made it of records; for people to look at.
pub(crate) fn astray<R: std::io::Read>(fields: &QuotedFields<R>) -> Option<String> {
    /// As long as a letter in a field may well be.
    const LINES: u64 = 100;
    let longest = fields.longest().filter(|field| field.breaks > LINES)?;
    Some(format!(
        "WARNING: the quoted field that opens on line {} goes on over {} more lines. If it is no \
         long text, a quote is astray there, and those lines are records that are missing",
        longest.line, longest.breaks
    ))
}

/// Reads a file as text.
pub(crate) fn read_text(path: &Path, encoding: Encoding) -> Result<String, FilesError> {
    let bytes = std::fs::read(path).map_err(FilesError::file(path, "the file cannot be read"))?;
    text_of(path, bytes, encoding)
}

/// The text that a file's bytes are.
fn text_of(path: &Path, bytes: Vec<u8>, encoding: Encoding) -> Result<String, FilesError> {
    let stated = encoding.of_bytes(&bytes);
    if stated == encoding_rs::UTF_8 {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").map(<[u8]>::to_vec).unwrap_or(bytes);
        return String::from_utf8(bytes).map_err(|e| {
            let good = e.utf8_error().valid_up_to();
            let before = e.as_bytes().get(..good).unwrap_or_default();
            let line = before.iter().filter(|b| **b == b'\n').count() + 1;
            let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            FilesError::NotUtf8 { path: path.to_owned(), line, column: good - start + 1 }
        });
    }
    let (text, damaged) = stated.decode_with_bom_removal(&bytes);
    if damaged {
        return Err(FilesError::Undecodable { path: path.to_owned(), encoding: stated.name() });
    }
    Ok(text.into_owned())
}

/// How many bytes a first line `sep=;` has without its end, as spreadsheets understand it, and
/// what it says. Its end stays: lines are counted as the file has them.
fn spreadsheet_hint(text: &str) -> (usize, Option<u8>) {
    let Some((first, _)) = text.split_once('\n') else { return (0, None) };
    let stated = first.trim_end_matches('\r').strip_prefix("sep=").and_then(|d| delimiter(d).ok());
    (stated.map_or(0, |_| first.trim_end_matches('\r').len()), stated)
}

/// The delimiter that splits the first records into the most fields, equally many in each.
pub(crate) fn guess_delimiter(text: &str) -> u8 {
    let width = |delimiter: u8| {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        let mut widths = reader.byte_records().take(200).map(|r| r.map_or(0, |r| r.len()));
        let first = widths.next().unwrap_or(0);
        if widths.all(|w| w == first) { first } else { 0 }
    };
    // `max_by_key` keeps the last of equals: the comma wins those.
    [b'|', b'\t', b';', b',']
        .into_iter()
        .max_by_key(|&d| width(d))
        .filter(|&d| width(d) > 1)
        .unwrap_or_else(|| {
            // No delimiter fits every line: the most frequent in the first line, so that the error
            // about the odd line is about that line.
            let first = text.lines().next().unwrap_or_default();
            let often = |d: u8| first.bytes().filter(|b| *b == d).count();
            [b'|', b'\t', b';', b','].into_iter().max_by_key(|&d| often(d)).unwrap_or(b',')
        })
}

/// Whether the first line is a record: it has numbers above columns of numbers, or texts that come
/// again below, and nothing that speaks for names.
fn looks_headerless(text: &str, format: CsvFormat) -> bool {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(format.delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut records = reader.records().take(1_000).filter_map(Result::ok);
    let Some(first) = records.next() else { return false };
    let rest: Vec<csv::StringRecord> = records.collect();
    if rest.is_empty() {
        return false;
    }
    let number = |text: &str| text.replace(',', ".").parse::<f64>().is_ok();
    let mut numbers = 0;
    for (i, field) in first.iter().enumerate() {
        let mut below = rest.iter().filter_map(|r| r.get(i));
        if number(field) {
            numbers += 1;
            if !below.all(|text| number(text) || is_missing(text)) {
                return false;
            }
        } else if !is_missing(field) && !below.any(|text| text == field) {
            return false;
        }
    }
    numbers > 0
}

/// Gives columns without a name one by their place.
fn named(table: Table) -> Result<Table, TableError> {
    if table.columns().iter().all(|c| !c.name().is_empty()) {
        return Ok(table);
    }
    let columns = table.columns().iter().enumerate().map(|(i, column)| match column.name() {
        "" => column.clone().renamed(format!("column-{}", i + 1)),
        _ => column.clone(),
    });
    Table::from_columns(columns.collect())
}
