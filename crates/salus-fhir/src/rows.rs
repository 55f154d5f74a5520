//! Rows of flat tables as resources: shipped views turned round.
//!
//! A mapping says for each column of a view into which element its value is written. What comes out
//! is validated, and read through the view again: a row either becomes a resource that conforms to
//! R4 and says exactly what the row said, or an error that names row and element.

mod mapping;
mod write;

use std::str::FromStr as _;

use rust_decimal::Decimal;
use serde_json::Value as Json;

use crate::definitions::definitions;
use crate::outcome::Issue;
use crate::validate::validate;
use crate::view::{Value, View};

use mapping::{Mapping, Slot};
use write::Draft;

/// Why rows do not become resources. No message carries a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowsError {
    /// There is no mapping for such resources.
    #[error("rows become {known}, and not {resource}")]
    Resource {
        /// What was asked for.
        resource: String,
        /// What there is.
        known: String,
    },
    /// The view has no such column, or it cannot be written.
    #[error(
        "column '{column}' has no place in a {resource}: name it as the view '{view}' does ({known})"
    )]
    Column {
        /// The column.
        column: String,
        /// The resource type.
        resource: &'static str,
        /// The view.
        view: &'static str,
        /// The columns that there are.
        known: String,
    },
    /// A value is none of its element's type.
    #[error("row {row}, column '{column}': {element} is {wanted}")]
    Value {
        /// Which row, counted from 1.
        row: u64,
        /// The column.
        column: String,
        /// The element.
        element: String,
        /// What it has to be.
        wanted: &'static str,
    },
    /// Two columns write different values into one element.
    #[error("row {row}, column '{column}': {element} has another value from another column")]
    Twice {
        /// Which row, counted from 1.
        row: u64,
        /// The column.
        column: String,
        /// The element.
        element: String,
    },
    /// The resource does not conform to R4.
    #[error("row {row}: {element}: {problem}")]
    Invalid {
        /// Which row, counted from 1.
        row: u64,
        /// The element.
        element: String,
        /// What is wrong.
        problem: String,
    },
    /// The view reads something else than what the row says.
    #[error(
        "row {row}, column '{column}': its value cannot be told in a {resource} that has the other columns' values"
    )]
    ReadBack {
        /// Which row, counted from 1.
        row: u64,
        /// The column.
        column: String,
        /// The resource type.
        resource: &'static str,
    },
    /// A mapping does not fit the definitions, which is a bug.
    #[error("the mapping of {resource} does not fit R4 at {place}")]
    Mapping {
        /// The resource type.
        resource: String,
        /// Where.
        place: String,
    },
}

impl salus_model::Classified for RowsError {
    fn class(&self) -> salus_model::Class {
        match self {
            Self::Mapping { .. } => salus_model::Class::Bug,
            _ => salus_model::Class::BadRequest,
        }
    }
}

/// Writes rows of a table as resources of one type.
#[derive(Debug)]
pub struct RowWriter {
    mapping: &'static Mapping,
    /// For each column of the table: its name, where it goes, and its place in the view.
    columns: Vec<(String, &'static Slot, usize)>,
    view: &'static View,
}

/// The resource types that rows become.
pub fn writable() -> impl Iterator<Item = &'static str> {
    mapping::all().iter().map(|m| m.resource.as_str())
}

impl RowWriter {
    /// A writer for a table with these columns, named as in the shipped view of the resource type.
    ///
    /// # Errors
    /// When there is no mapping for the type, or a column has no place in it.
    pub fn new(resource: &str, columns: &[&str]) -> Result<Self, RowsError> {
        let mapping = mapping::all().iter().find(|m| m.resource == resource);
        let mapping = mapping.ok_or_else(|| RowsError::Resource {
            resource: resource.to_owned(),
            known: writable().collect::<Vec<_>>().join(", "),
        })?;
        let missing =
            || RowsError::Mapping { resource: resource.to_owned(), place: mapping.view.to_owned() };
        let view = &crate::shipped::view(mapping.view).ok_or_else(missing)?.view;
        let resource = view.resource();
        let placed = columns
            .iter()
            .map(|name| {
                let place = view.columns().iter().position(|c| c.name == **name);
                match (mapping.columns.get(*name), place) {
                    (Some(slot), Some(place)) => Ok(((*name).to_owned(), slot, place)),
                    _ => Err(RowsError::Column {
                        column: (*name).to_owned(),
                        resource,
                        view: mapping.view,
                        known: mapping.columns.keys().cloned().collect::<Vec<_>>().join(", "),
                    }),
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { mapping, columns: placed, view })
    }

    /// The resource that says what a row says; `number` counts rows from 1 and names the resource
    /// where the table has no column `id`. Missing values are none or empty.
    ///
    /// # Errors
    /// Names row and element.
    pub fn resource(&self, number: u64, fields: &[Option<&str>]) -> Result<Json, RowsError> {
        let present = |at: usize| fields.get(at).copied().flatten().filter(|v| !v.is_empty());
        let mut draft = Draft::new(self.view.resource());
        for (at, (name, slot, _)) in self.columns.iter().enumerate() {
            let Some(value) = present(at) else { continue };
            let hidden = slot.unless.as_ref().is_some_and(|other| {
                self.columns.iter().position(|(n, ..)| n == other).and_then(present).is_some()
            });
            if hidden {
                continue;
            }
            for (path, constant) in &slot.with {
                draft.put(path, constant).map_err(|e| e.at(number, name))?;
            }
            let value = format!("{}{value}", slot.prefix);
            draft.put(&slot.path, &value).map_err(|e| e.at(number, name))?;
        }
        for (path, constant) in &self.mapping.defaults {
            if !draft.has_root_of(path) {
                draft.put(path, constant).map_err(|e| e.at(number, "none"))?;
            }
        }
        let resource = draft.finish(&format!("synthetic-{number}"));
        if let Some(Issue { expression, diagnostics, .. }) = validate(&resource).into_iter().next()
        {
            let element = expression.unwrap_or_else(|| self.view.resource().to_owned());
            return Err(RowsError::Invalid { row: number, element, problem: diagnostics });
        }
        self.read_back(number, &resource, &present)?;
        Ok(resource)
    }

    /// Compares what the view reads with what the row says.
    fn read_back<'a>(
        &self,
        number: u64,
        resource: &Json,
        present: &impl Fn(usize) -> Option<&'a str>,
    ) -> Result<(), RowsError> {
        let differs = |column: &str| RowsError::ReadBack {
            row: number,
            column: column.to_owned(),
            resource: self.view.resource(),
        };
        let rows = self.view.rows(resource).unwrap_or_default();
        let first = self.columns.first().map_or("", |(name, ..)| name.as_str());
        let [row] = rows.as_slice() else { return Err(differs(first)) };
        for (at, (name, _, place)) in self.columns.iter().enumerate() {
            let same = row.get(*place).is_some_and(|read| says(read, present(at)));
            if !same {
                return Err(differs(name));
            }
        }
        Ok(())
    }
}

/// Whether a cell says what a text says.
fn says(read: &Value, wanted: Option<&str>) -> bool {
    match (read, wanted) {
        (Value::Null, None) => true,
        (Value::Boolean(read), Some(text)) => text.parse() == Ok(*read),
        (Value::Integer(read), Some(text)) => text.parse() == Ok(*read),
        (Value::Decimal(read), Some(text)) => {
            Decimal::from_str(text).or_else(|_| Decimal::from_scientific(text)) == Ok(*read)
        }
        (Value::String(read), Some(text)) => **read == *text,
        (Value::Date(read) | Value::DateTime(read) | Value::Instant(read), Some(text)) => {
            read.to_string() == text
        }
        (Value::Time(read), Some(text)) => read.to_string() == text,
        _ => false,
    }
}

/// Whether a resource type is one of R4's.
pub(crate) fn resource_type(name: &str) -> Option<crate::definitions::TypeId> {
    definitions().resource_named(name)
}

#[cfg(test)]
mod tests;
