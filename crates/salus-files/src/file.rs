//! Plain tables in files: found out how they are written, read, and written again.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use salus_deid::{CsvFormat, Header, Table, TableError, Whitespace, is_missing};

use crate::error::FilesError;

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
        let (text, stated) = spreadsheet_hint(text);
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
        let failed = |source| FilesError::Table { path: path.to_owned(), source };
        let read = Table::read_csv(text.as_bytes(), format);
        let read = match read {
            Err(TableError::Empty) if format.header == Header::Present => {
                return Err(FilesError::Option(format!(
                    "{}: there are column names and no record; say --no-header if the one line is \
                     a record",
                    path.display()
                )));
            }
            other => other,
        };
        let table = named(read.map_err(failed)?).map_err(failed)?;
        let before = usize::from(format.header == Header::Present) + usize::from(stated.is_some());
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

/// Reads a file as text.
pub(crate) fn read_text(path: &Path, encoding: Encoding) -> Result<String, FilesError> {
    let bytes = std::fs::read(path).map_err(FilesError::file(path, "the file cannot be read"))?;
    text_of(path, bytes, encoding)
}

/// The text that a file's bytes are.
fn text_of(path: &Path, bytes: Vec<u8>, encoding: Encoding) -> Result<String, FilesError> {
    let marked = encoding_rs::Encoding::for_bom(&bytes).map(|(found, _)| found);
    let stated = match encoding {
        Encoding::Utf8 => marked.unwrap_or(encoding_rs::UTF_8),
        Encoding::Windows1252 => encoding_rs::WINDOWS_1252,
        Encoding::Windows1250 => encoding_rs::WINDOWS_1250,
        Encoding::Utf16Le => encoding_rs::UTF_16LE,
        Encoding::Utf16Be => encoding_rs::UTF_16BE,
    };
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

/// A first line `sep=;`, as spreadsheets understand it, and the text after it.
fn spreadsheet_hint(text: &str) -> (&str, Option<u8>) {
    let Some((first, rest)) = text.split_once('\n') else { return (text, None) };
    let stated = first.trim_end_matches('\r').strip_prefix("sep=").and_then(|d| delimiter(d).ok());
    if stated.is_some() { (rest, stated) } else { (text, None) }
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

/// A table as the file at `path` is to hold it.
pub(crate) fn table_bytes(
    path: &Path,
    table: &Table,
    format: CsvFormat,
) -> Result<Vec<u8>, FilesError> {
    let mut bytes = Vec::new();
    table
        .write_csv(&mut bytes, format)
        .map_err(|source| FilesError::Table { path: path.to_owned(), source })?;
    Ok(bytes)
}

/// Writes a table beside its final place and moves it there when it is whole.
pub(crate) fn write_table(path: &Path, table: &Table, format: CsvFormat) -> Result<(), FilesError> {
    write_bytes(path, &table_bytes(path, table, format)?)
}

/// Writes a file whole or not at all.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), FilesError> {
    let failed =
        || FilesError::file(path, "the file cannot be written; check that its folder exists");
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed())?;
    file.write_all(bytes).map_err(failed())?;
    file.as_file().sync_all().map_err(failed())?;
    file.persist(path).map_err(|e| failed()(e.error))?;
    Ok(())
}

/// Refuses to write over what was read.
pub(crate) fn not_over(out: &Path, read: &[&Path]) -> Result<(), FilesError> {
    let same = |a: &Path, b: &Path| match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    };
    match read.iter().find(|path| same(out, path)) {
        Some(_) => Err(FilesError::option(format!(
            "--out {} is a file that is read; name another",
            out.display()
        ))),
        None => Ok(()),
    }
}
