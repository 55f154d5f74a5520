//! An answer, and the forms in which it goes out.

mod csv;
mod ipc;
mod json;

pub(crate) use csv::as_json_text;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use salus_model::{Class, Classified};

/// The rows of a statement that has been cleared and put on record.
#[derive(Debug, Clone)]
pub struct Answer {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

/// An answer could not be put into the form asked for.
#[derive(Debug, thiserror::Error)]
#[error("the answer cannot be written as {form}; ask for another form, or CAST the column")]
pub struct EncodeFailed {
    form: &'static str,
    #[source]
    source: ArrowError,
}

impl Classified for EncodeFailed {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

impl Answer {
    pub(crate) const fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self { schema, batches }
    }

    /// The columns.
    #[must_use]
    pub const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The rows, in batches.
    #[must_use]
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}
