//! What the release studio asks of a table in memory: how recognisable its people are, which way of
//! releasing it is the best for a purpose, and what a plan would make of it.
//!
//! The functions are those of the commands: what is measured here is what `salus risk`,
//! `salus anonymise` and `salus release` measure on the same records.
//!
//! # Privacy
//! Everything is measured without noise, for whoever holds the records. Names of columns, figures
//! and settings come back, and no value of a record.

mod advise;
mod assess;
mod ladder;
mod tried;

use salus_deid::Table;
use salus_model::KeyClass;

use crate::error::FilesError;
use crate::file::Source;

pub use advise::{Advice, AdviseWanted, Purpose, advise};
pub use assess::{AssessWanted, Assessed, ColumnRole, Role, assess};
pub use tried::{AccuracyKept, Came, Figures, Settings, Tried};

/// What is studied.
pub struct Subject {
    /// The name that messages call it.
    pub name: String,
    /// The columns that were read, as text.
    pub table: Table,
    /// The column of the table that says whose a record is; it is never published.
    pub person: Option<String>,
    /// What is known of all columns of the dataset, also of those that were not read.
    pub columns: Vec<SubjectColumn>,
}

/// What is known of a column beside its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectColumn {
    /// Its name.
    pub name: String,
    /// How sensitive it was declared; none where it has a key of its own.
    pub class: Option<KeyClass>,
    /// What it holds.
    pub holds: Holds,
}

/// What a column holds, as far as its role depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Numbers.
    Numbers,
    /// Dates or moments.
    Moments,
    /// Anything else.
    Words,
}

impl Subject {
    /// These columns of the table, as a source that the commands take.
    fn source(&self, columns: &[String]) -> Result<Source, FilesError> {
        let whole = Source::of_table(&self.name, self.table.clone());
        whole.require("columns", columns)?;
        let columns = columns.iter().map(|name| self.table.column(name).cloned());
        let table = Table::from_columns(columns.collect::<Result<_, _>>()?)?;
        Ok(whole.with_table(table))
    }
}
