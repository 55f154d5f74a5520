use std::collections::HashMap;
use std::sync::Arc;

use salus_dp::UnitKey;
use salus_model::{Class, Classified, ColumnPath};

use crate::attribute::Attribute;

/// Why a table cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Fewer than two attributes, or more than 64.
    #[error("a table to synthesise has 2 to 64 attributes, not {found}")]
    Attributes {
        /// How many.
        found: usize,
    },
    /// Units that may have no rows.
    #[error("a unit must be allowed at least one row")]
    NoRows,
    /// A row with another number of fields.
    #[error("row {row} has {found} fields and the table has {wanted} attributes")]
    Fields {
        /// Which row, counted from 1.
        row: u64,
        /// How many attributes.
        wanted: usize,
        /// How many fields.
        found: usize,
    },
    /// A value without a code.
    #[error(
        "row {row} has no usable value for '{attribute}'; extend its domain, or let it be missing"
    )]
    Value {
        /// Which row, counted from 1.
        row: u64,
        /// Which attribute.
        attribute: ColumnPath,
    },
}

impl Classified for TableError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// Rows as codes, bounded per unit.
#[derive(Clone)]
pub struct Table {
    pub(crate) attributes: Arc<[Attribute]>,
    pub(crate) columns: Vec<Vec<u16>>,
    pub(crate) rows_per_unit: u32,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table({} attributes, redacted)", self.attributes.len())
    }
}

/// Takes rows in and bounds them per unit.
pub struct TableBuilder {
    table: Table,
    seen: HashMap<UnitKey, u32>,
    met: u64,
}

impl TableBuilder {
    /// A table of these attributes, with at most `rows_per_unit` rows of a unit: the first ones.
    ///
    /// # Errors
    /// When there are too few or too many attributes, or units may have no rows.
    pub fn new(attributes: Vec<Attribute>, rows_per_unit: u32) -> Result<Self, TableError> {
        if !(2..=64).contains(&attributes.len()) {
            return Err(TableError::Attributes { found: attributes.len() });
        }
        if rows_per_unit == 0 {
            return Err(TableError::NoRows);
        }
        let columns = vec![Vec::new(); attributes.len()];
        let table = Table { attributes: attributes.into(), columns, rows_per_unit };
        Ok(Self { table, seen: HashMap::new(), met: 0 })
    }

    /// Takes one row of `unit` in.
    ///
    /// # Errors
    /// When a field is missing, or a value has no code.
    pub fn push(&mut self, unit: UnitKey, fields: &[Option<&str>]) -> Result<(), TableError> {
        self.met += 1;
        let (row, wanted) = (self.met, self.table.attributes.len());
        if fields.len() != wanted {
            return Err(TableError::Fields { row, wanted, found: fields.len() });
        }
        let codes = fields
            .iter()
            .zip(self.table.attributes.iter())
            .map(|(field, attribute)| {
                let refused = || TableError::Value { row, attribute: attribute.name().clone() };
                attribute.encode(*field).ok_or_else(refused)
            })
            .collect::<Result<Vec<u16>, _>>()?;
        let seen = self.seen.entry(unit).or_insert(0);
        if *seen < self.table.rows_per_unit {
            *seen += 1;
            for (column, code) in self.table.columns.iter_mut().zip(codes) {
                column.push(code);
            }
        }
        Ok(())
    }

    /// The table.
    #[must_use]
    pub fn finish(self) -> Table {
        self.table
    }
}

impl Table {
    /// The attributes in order.
    #[must_use]
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// The rows at these places.
    pub(crate) fn at(&self, rows: &[usize]) -> Self {
        let pick =
            |column: &Vec<u16>| rows.iter().filter_map(|row| column.get(*row)).copied().collect();
        let columns = self.columns.iter().map(pick).collect();
        Self { attributes: self.attributes.clone(), columns, rows_per_unit: self.rows_per_unit }
    }

    pub(crate) fn rows(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }
}
