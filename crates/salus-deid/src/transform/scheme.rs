//! A generalisation scheme, applied to tables and to streams.

use std::io::{Read, Write};

use hashbrown::HashMap;

use super::TransformError;
use crate::hierarchy::{HierarchyError, SUPPRESSED};
use crate::quasi::{Levels, QuasiIdentifierError, QuasiIdentifiers};
use crate::search::Outcome;
use crate::table::{Column, CsvFormat, Header, Table, TableError, each_record};

/// What happens to a value that the hierarchy does not list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownValue {
    /// The transformation stops and says where.
    Refuse,
    /// The cell is suppressed.
    Suppress,
}

/// Levels bound to their quasi-identifiers: found once, used on this table, on new data, or on a
/// stream.
///
/// # Privacy
/// What the search proved holds for the table it searched. On new data the classes are new:
/// count them (in one pass with [`Scheme::count`]) and suppress the small ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Scheme<'q> {
    quasi: &'q QuasiIdentifiers,
    levels: Levels,
    unknown: UnknownValue,
    columns: Option<StreamColumns>,
}

/// Which columns of a stream are written, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamColumns {
    /// Columns that are left out where a stream has them.
    pub dropped: Vec<String>,
    /// Columns that are written. A stream that has any other is refused.
    pub written: Vec<String>,
    /// Columns in which suppressed records have `*`, as in the quasi-identifiers.
    pub hidden: Vec<String>,
}

/// Sizes of the classes that a stream forms under a scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamCounts {
    sizes: HashMap<Vec<u32>, u64>,
    /// Records seen.
    pub records: u64,
    /// Columns of the stream that are left out.
    pub dropped: Vec<String>,
}

/// A quasi-identifier as a stream sees it.
struct Lane<'q> {
    field: usize,
    item: &'q crate::quasi::QuasiIdentifier,
    level: u8,
}

/// The columns of a stream.
struct Layout<'q> {
    names: Vec<String>,
    lanes: Vec<Lane<'q>>,
    /// Fields that are written.
    kept: Vec<usize>,
    /// Fields that suppressed records do not show.
    hidden: Vec<usize>,
}

impl Layout<'_> {
    fn kept<'f>(&self, fields: &[&'f str]) -> Vec<&'f str> {
        self.kept.iter().filter_map(|&field| fields.get(field).copied()).collect()
    }
}

/// The node of a value that is unknown and suppressed.
const UNKNOWN: u32 = u32::MAX;

impl<'q> Scheme<'q> {
    /// Binds levels to quasi-identifiers.
    ///
    /// # Errors
    /// When there are too many or too few levels, or one does not exist.
    pub fn new(
        quasi: &'q QuasiIdentifiers,
        levels: Levels,
        unknown: UnknownValue,
    ) -> Result<Self, QuasiIdentifierError> {
        if levels.as_slice().len() != quasi.len() {
            return Err(QuasiIdentifierError::SchemeWidth {
                found: levels.as_slice().len(),
                expected: quasi.len(),
            });
        }
        for (item, &level) in quasi.items().iter().zip(levels.as_slice()) {
            if level > item.hierarchy.top() {
                return Err(QuasiIdentifierError::NoSuchLevel {
                    column: item.column.clone(),
                    level,
                    top: item.hierarchy.top(),
                });
            }
        }
        Ok(Self { quasi, levels, unknown, columns: None })
    }

    /// The same for streams of which only the columns that are named are known. Without it all
    /// columns of a stream are written, and suppressed records lose their quasi-identifiers only.
    #[must_use]
    pub fn for_columns(self, columns: StreamColumns) -> Self {
        Self { columns: Some(columns), ..self }
    }

    /// The levels.
    #[must_use]
    pub const fn levels(&self) -> &Levels {
        &self.levels
    }

    /// Generalises a table; suppressed records keep their place with `*` in every
    /// quasi-identifier, and in the columns named `hidden` as well.
    ///
    /// # Errors
    /// When a column or value is missing.
    pub fn apply(
        &self,
        table: &Table,
        suppressed: &[u32],
        hidden: &[&str],
    ) -> Result<Table, TransformError> {
        let mut result = table.clone();
        for (item, &level) in self.quasi.items().iter().zip(self.levels.as_slice()) {
            let column = table.column(&item.column)?;
            self.refuse_unknown(item, column)?;
            let coarse = column.map(|text| {
                item.hierarchy.generalise(text, level).unwrap_or(SUPPRESSED).to_owned()
            });
            result = result.with_column(blank(&coarse, suppressed))?;
        }
        for name in hidden {
            let column = blank(result.column(name)?, suppressed);
            result = result.with_column(column)?;
        }
        Ok(result)
    }

    fn refuse_unknown(
        &self,
        item: &crate::quasi::QuasiIdentifier,
        column: &Column,
    ) -> Result<(), TransformError> {
        if self.unknown == UnknownValue::Refuse {
            crate::problem::values_of(item, column)?;
        }
        Ok(())
    }

    /// Counts the classes of a stream, in memory for the classes only.
    ///
    /// # Errors
    /// When a line does not fit, a column is missing, unknown or there twice, or an unknown value
    /// is refused.
    pub fn count(
        &self,
        input: impl Read,
        format: CsvFormat,
    ) -> Result<StreamCounts, TransformError> {
        let mut counts = StreamCounts { sizes: HashMap::new(), records: 0, dropped: Vec::new() };
        let mut dropped = Vec::new();
        self.each(
            input,
            format,
            |layout| {
                let left_out = |(field, _): &(usize, &String)| !layout.kept.contains(field);
                let names = layout.names.iter().enumerate().filter(left_out);
                dropped = names.map(|(_, name)| name.clone()).collect();
                Ok(())
            },
            |key, _, _| {
                counts.records += 1;
                match counts.sizes.get_mut(key) {
                    Some(size) => *size += 1,
                    None => {
                        counts.sizes.insert(key.to_vec(), 1);
                    }
                }
                Ok(())
            },
        )?;
        counts.dropped = dropped;
        Ok(counts)
    }

    /// Generalises a stream of the same records once more, writing record by record; records of
    /// classes below `smallest` are suppressed. Returns how many were.
    ///
    /// # Privacy
    /// `counts` must come from the same records; a record of a class that was not counted counts
    /// as alone and is suppressed.
    ///
    /// # Errors
    /// As [`Scheme::count`], and when the writer fails.
    pub fn stream(
        &self,
        input: impl Read,
        output: impl Write,
        format: CsvFormat,
        counts: &StreamCounts,
        smallest: u64,
    ) -> Result<u64, TransformError> {
        let mut suppressed = 0;
        let writer = std::cell::RefCell::new(
            csv::WriterBuilder::new()
                .delimiter(format.delimiter)
                .quote(format.quote)
                .from_writer(output),
        );
        let write = |record: &[&str]| {
            writer
                .borrow_mut()
                .write_record(record)
                .map_err(|source| TableError::Csv { line: None, source })
        };
        self.each(
            input,
            format,
            |layout| {
                if format.header == Header::Absent {
                    return Ok(());
                }
                let names: Vec<&str> = layout.names.iter().map(String::as_str).collect();
                Ok(write(&layout.kept(&names))?)
            },
            |key, fields, layout| {
                let small = counts.sizes.get(key).is_none_or(|&size| size < smallest);
                suppressed += u64::from(small);
                let mut record = fields.to_vec();
                for (lane, &node) in layout.lanes.iter().zip(key) {
                    record[lane.field] = if small || node == UNKNOWN {
                        SUPPRESSED
                    } else {
                        lane.item.hierarchy.label(node, lane.level)
                    };
                }
                if small {
                    layout.hidden.iter().for_each(|&field| record[field] = SUPPRESSED);
                }
                Ok(write(&layout.kept(&record))?)
            },
        )?;
        writer
            .into_inner()
            .flush()
            .map_err(|e| TableError::Csv { line: None, source: e.into() })?;
        Ok(suppressed)
    }

    /// Calls `header` with the columns, then `visit` with the class key, the fields and the columns
    /// of each record.
    fn each(
        &self,
        input: impl Read,
        format: CsvFormat,
        mut header: impl FnMut(&Layout<'q>) -> Result<(), TransformError>,
        mut visit: impl FnMut(&[u32], &[&str], &Layout<'q>) -> Result<(), TransformError>,
    ) -> Result<(), TransformError> {
        let mut layout: Option<Layout<'q>> = None;
        let mut key = Vec::new();
        let mut records = 0usize;
        each_record(input, format, |fields| {
            if layout.is_none() {
                let found = self.layout(fields, format.header)?;
                header(&found)?;
                layout = Some(found);
                if format.header == Header::Present {
                    return Ok(());
                }
            }
            let Some(layout) = &layout else { return Ok(()) };
            records += 1;
            key.clear();
            for lane in &layout.lanes {
                let value = fields.get(lane.field).and_then(|text| lane.item.hierarchy.value(text));
                key.push(match (value, self.unknown) {
                    (Some(value), _) => lane.item.hierarchy.node(value, lane.level),
                    (None, UnknownValue::Suppress) => UNKNOWN,
                    (None, UnknownValue::Refuse) => {
                        return Err(HierarchyError::MissingValue {
                            column: lane.item.column.clone(),
                            record: records,
                        }
                        .into());
                    }
                });
            }
            visit(&key, fields, layout)
        })
    }

    /// The columns of a stream by its first line: columns without a name are called by their place.
    fn layout(&self, first: &[&str], header: Header) -> Result<Layout<'q>, TransformError> {
        let named = |(i, field): (usize, &&str)| match (header, *field) {
            (Header::Absent, _) | (Header::Present, "") => format!("column-{}", i + 1),
            (Header::Present, name) => name.to_owned(),
        };
        let names: Vec<String> = first.iter().enumerate().map(named).collect();
        for (i, name) in names.iter().enumerate() {
            if names.iter().take(i).any(|known| known == name) {
                return Err(TableError::DuplicateColumn { name: name.clone() }.into());
            }
        }
        let lanes = self.lanes(&names)?;
        let Some(columns) = &self.columns else {
            let kept = (0..names.len()).collect();
            return Ok(Layout { names, lanes, kept, hidden: Vec::new() });
        };
        let known =
            |name: &String| columns.dropped.contains(name) || columns.written.contains(name);
        let unknown: Vec<&str> =
            names.iter().filter(|name| !known(name)).map(String::as_str).collect();
        if !unknown.is_empty() {
            return Err(TransformError::UnknownColumns { names: unknown.join(", ") });
        }
        let fields = |wanted: &dyn Fn(&String) -> bool| -> Vec<usize> {
            let chosen = names.iter().enumerate().filter(|(_, name)| wanted(name));
            chosen.map(|(field, _)| field).collect()
        };
        let kept = fields(&|name: &String| !columns.dropped.contains(name));
        let hidden = fields(&|name: &String| columns.hidden.contains(name));
        Ok(Layout { names, lanes, kept, hidden })
    }

    fn lanes(&self, header: &[String]) -> Result<Vec<Lane<'q>>, TableError> {
        self.quasi
            .items()
            .iter()
            .zip(self.levels.as_slice())
            .map(|(item, &level)| {
                let field = header.iter().position(|name| *name == item.column);
                field.map(|field| Lane { field, item, level }).ok_or_else(|| {
                    TableError::NoSuchColumn { name: item.column.clone(), known: header.join(", ") }
                })
            })
            .collect()
    }
}

impl Outcome {
    /// The outcome as a scheme for its quasi-identifiers.
    ///
    /// # Errors
    /// When `quasi` are not those that were searched.
    pub fn scheme<'q>(
        &self,
        quasi: &'q QuasiIdentifiers,
        unknown: UnknownValue,
    ) -> Result<Scheme<'q>, QuasiIdentifierError> {
        Scheme::new(quasi, self.levels.clone(), unknown)
    }
}

/// The column with `*` in some records.
pub(super) fn blank(column: &Column, rows: &[u32]) -> Column {
    if rows.is_empty() {
        return column.clone();
    }
    let mut dictionary = column.dictionary().to_vec();
    let star = dictionary.iter().position(|t| t == SUPPRESSED).unwrap_or_else(|| {
        dictionary.push(SUPPRESSED.to_owned());
        dictionary.len() - 1
    }) as u32;
    let mut codes = column.codes().to_vec();
    for &row in rows {
        if let Some(code) = codes.get_mut(row as usize) {
            *code = star;
        }
    }
    Column::from_parts(column.name().to_owned(), dictionary, codes)
}
