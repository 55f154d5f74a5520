//! Tables with dictionary-coded columns, and their CSV form.

mod column;
mod quotes;

use std::io::{Read, Write};

use salus_model::{Class, Classified};

pub use column::Column;
pub(crate) use column::ColumnBuilder;
pub use quotes::{LongField, QuotedFields};

/// Whether the first line of a CSV file names the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The first line names the columns.
    Present,
    /// Every line is a record; columns are named `column-1`, `column-2` and so on.
    Absent,
}

/// What happens to white space around a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whitespace {
    /// It is part of the value.
    Keep,
    /// It is removed.
    Trim,
}

/// How a CSV file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CsvFormat {
    /// The byte between fields.
    pub delimiter: u8,
    /// The byte around a field that holds a delimiter or a line break; doubled inside.
    pub quote: u8,
    /// Whether the first line names the columns.
    pub header: Header,
    /// What happens to white space around a field.
    pub whitespace: Whitespace,
}

impl CsvFormat {
    /// RFC 4180 with a header line and `delimiter` between fields.
    #[must_use]
    pub const fn with_delimiter(delimiter: u8) -> Self {
        Self { delimiter, quote: b'"', header: Header::Present, whitespace: Whitespace::Keep }
    }

    /// The same format without a header line, as hierarchy files have it.
    #[must_use]
    pub const fn without_header(self) -> Self {
        Self { header: Header::Absent, ..self }
    }

    pub(crate) fn reader<R: Read>(self, input: R) -> csv::Reader<R> {
        csv::ReaderBuilder::new()
            .delimiter(self.delimiter)
            .quote(self.quote)
            .has_headers(false)
            .flexible(true)
            .trim(match self.whitespace {
                Whitespace::Keep => csv::Trim::None,
                Whitespace::Trim => csv::Trim::All,
            })
            .from_reader(input)
    }
}

/// Why a table could not be read or built.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The reader failed, or the text is no CSV.
    #[error("the CSV text could not be read{}", line.map_or(String::new(), |n| format!(" at line {n}")))]
    Csv {
        /// Line of the trouble, counted from 1.
        line: Option<u64>,
        /// What the reader said.
        #[source]
        source: csv::Error,
    },
    /// A field is not UTF-8.
    #[error("line {line}, column {column}: the field is not UTF-8; convert the file to UTF-8")]
    NotUtf8 {
        /// Line, counted from 1.
        line: u64,
        /// Column, counted from 1.
        column: usize,
    },
    /// A line has more or fewer fields than the first.
    #[error(
        "line {line} has {found} fields where the first line has {expected}; check the delimiter and the quotes"
    )]
    Ragged {
        /// Line, counted from 1.
        line: u64,
        /// Fields on that line.
        found: usize,
        /// Fields on the first line.
        expected: usize,
    },
    /// The text ends within a quoted field.
    #[error(
        "line {line}: a quoted field opens there and never ends, so that all that follows would be part of it; close the quote, remove it, or double it where it belongs to the text"
    )]
    UnclosedQuote {
        /// The line on which the field opens, counted from 1.
        line: u64,
    },
    /// There is no record.
    #[error("the table has no record")]
    Empty,
    /// Two columns share a name.
    #[error("two columns are called '{name}'; rename one")]
    DuplicateColumn {
        /// The shared name.
        name: String,
    },
    /// No column has that name.
    #[error("there is no column '{name}'; the columns are {known}")]
    NoSuchColumn {
        /// The name that was asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// Columns of one table differ in length.
    #[error("column '{name}' has {found} values where the table has {expected} records")]
    Length {
        /// The column.
        name: String,
        /// Its values.
        found: usize,
        /// Records of the table.
        expected: usize,
    },
    /// More records or values than 32 bits count.
    #[error("more than 4,294,967,294 records or distinct values; split the table")]
    TooLarge,
}

impl Classified for TableError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// Records with named columns, each a dictionary and a code per record.
///
/// # Shape and units
/// At least one column and one record; every column as long as the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    columns: Vec<Column>,
    rows: usize,
}

impl Table {
    /// A table from columns of one length.
    ///
    /// # Errors
    /// When a name comes twice, a length differs, or nothing is there.
    pub fn from_columns(columns: Vec<Column>) -> Result<Self, TableError> {
        let rows = columns.first().map_or(0, |c| c.codes.len());
        if rows == 0 {
            return Err(TableError::Empty);
        }
        for (i, column) in columns.iter().enumerate() {
            if columns.iter().take(i).any(|c| c.name == column.name) {
                return Err(TableError::DuplicateColumn { name: column.name.clone() });
            }
            if column.codes.len() != rows {
                return Err(TableError::Length {
                    name: column.name.clone(),
                    found: column.codes.len(),
                    expected: rows,
                });
            }
        }
        Ok(Self { columns, rows })
    }

    /// Reads CSV text, UTF-8 with or without a byte-order mark.
    ///
    /// Every line counts: an empty line is skipped only because CSV has no record there; a line
    /// with another number of fields than the first is an error, never a guess; so is a quoted field
    /// that the text ends in.
    ///
    /// # Errors
    /// As [`TableError`] says, by line and column.
    ///
    /// # Cost
    /// Memory for each distinct value once and four bytes per cell.
    pub fn read_csv(input: impl Read, format: CsvFormat) -> Result<Self, TableError> {
        let mut builders: Vec<ColumnBuilder> = Vec::new();
        let mut seen_header = false;
        each_record(input, format, |fields| {
            if !seen_header {
                seen_header = true;
                builders = match format.header {
                    Header::Present => {
                        fields.iter().map(|f| ColumnBuilder::new((*f).to_owned())).collect()
                    }
                    Header::Absent => (1..=fields.len())
                        .map(|n| ColumnBuilder::new(format!("column-{n}")))
                        .collect(),
                };
                if format.header == Header::Present {
                    return Ok(());
                }
            }
            for (builder, field) in builders.iter_mut().zip(fields) {
                builder.push(field)?;
            }
            Ok(())
        })?;
        Self::from_columns(builders.into_iter().map(ColumnBuilder::finish).collect())
    }

    /// Writes the table as CSV, quoting where needed.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn write_csv(&self, output: impl Write, format: CsvFormat) -> Result<(), TableError> {
        let failed = |source| TableError::Csv { line: None, source };
        let mut writer = csv::WriterBuilder::new()
            .delimiter(format.delimiter)
            .quote(format.quote)
            .from_writer(output);
        if format.header == Header::Present {
            writer.write_record(self.columns.iter().map(|c| &c.name)).map_err(failed)?;
        }
        for row in 0..self.rows {
            writer
                .write_record(self.columns.iter().map(|c| &c.dictionary[c.codes[row] as usize]))
                .map_err(failed)?;
        }
        writer.flush().map_err(|e| failed(e.into()))
    }

    /// How many records there are.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// The columns in file order.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Where a column stands.
    ///
    /// # Errors
    /// When no column has that name.
    pub fn position(&self, name: &str) -> Result<usize, TableError> {
        self.columns.iter().position(|c| c.name == name).ok_or_else(|| TableError::NoSuchColumn {
            name: name.to_owned(),
            known: self.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// The column of that name.
    ///
    /// # Errors
    /// When no column has that name.
    pub fn column(&self, name: &str) -> Result<&Column, TableError> {
        Ok(&self.columns[self.position(name)?])
    }

    /// The records at `rows`, in that order; positions beyond the end are left out.
    ///
    /// # Errors
    /// When nothing is left.
    pub fn select(&self, rows: impl IntoIterator<Item = usize>) -> Result<Self, TableError> {
        let rows: Vec<usize> = rows.into_iter().filter(|&r| r < self.rows).collect();
        if rows.is_empty() {
            return Err(TableError::Empty);
        }
        let columns = self
            .columns
            .iter()
            .map(|c| Column {
                name: c.name.clone(),
                dictionary: c.dictionary.clone(),
                codes: rows.iter().map(|&r| c.codes[r]).collect(),
            })
            .collect();
        Ok(Self { columns, rows: rows.len() })
    }

    /// The table with one column put in place of that of the same name, or added at the end.
    ///
    /// # Errors
    /// When its length differs.
    pub fn with_column(mut self, column: Column) -> Result<Self, TableError> {
        if column.codes.len() != self.rows {
            return Err(TableError::Length {
                name: column.name,
                found: column.codes.len(),
                expected: self.rows,
            });
        }
        match self.columns.iter_mut().find(|c| c.name == column.name) {
            Some(old) => *old = column,
            None => self.columns.push(column),
        }
        Ok(self)
    }

    /// The table without some columns: attribute suppression.
    ///
    /// # Errors
    /// When a name is unknown or nothing is left.
    pub fn without_columns(mut self, names: &[&str]) -> Result<Self, TableError> {
        for name in names {
            let at = self.position(name)?;
            self.columns.remove(at);
        }
        Self::from_columns(self.columns)
    }
}

/// Calls `visit` with the fields of each record, all of one length.
pub(crate) fn each_record<E: From<TableError>>(
    input: impl Read,
    format: CsvFormat,
    mut visit: impl FnMut(&[&str]) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = format.reader(QuotedFields::new(input, format));
    let mut record = csv::ByteRecord::new();
    let mut width = None;
    loop {
        let more = reader.read_byte_record(&mut record).map_err(|source| TableError::Csv {
            line: source.position().map(csv::Position::line),
            source,
        })?;
        if let Some(line) = reader.get_ref().unclosed() {
            return Err(TableError::UnclosedQuote { line }.into());
        }
        if !more {
            return Ok(());
        }
        // The reader takes the LF of a CRLF for the start of the next record.
        let late = u64::from(width.is_some() && reader.get_ref().has_crlf());
        let line = record.position().map_or(0, csv::Position::line) + late;
        let expected = *width.get_or_insert(record.len());
        if record.len() != expected {
            return Err(TableError::Ragged { line, found: record.len(), expected }.into());
        }
        let mut fields = Vec::with_capacity(expected);
        for (i, bytes) in record.iter().enumerate() {
            let text = std::str::from_utf8(bytes)
                .map_err(|_| TableError::NotUtf8 { line, column: i + 1 })?;
            fields.push(text);
        }
        visit(&fields)?;
    }
}

#[cfg(test)]
mod tests;
