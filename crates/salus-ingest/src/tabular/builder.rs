use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder,
    RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::schema::ColumnKind;
use super::value::Value;

pub(crate) enum ColumnBuilder {
    Text(StringBuilder),
    Integer(Int64Builder),
    Number(Float64Builder),
    Boolean(BooleanBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
}

impl ColumnBuilder {
    pub(crate) fn new(kind: ColumnKind) -> Self {
        match kind {
            ColumnKind::Text => Self::Text(StringBuilder::new()),
            ColumnKind::Integer => Self::Integer(Int64Builder::new()),
            ColumnKind::Number => Self::Number(Float64Builder::new()),
            ColumnKind::Boolean => Self::Boolean(BooleanBuilder::new()),
            ColumnKind::Date => Self::Date(Date32Builder::new()),
            ColumnKind::Timestamp => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_timezone("UTC"))
            }
        }
    }

    /// Takes a value that was read for this column's kind; any other is null.
    pub(crate) fn push(&mut self, value: &Value) {
        match (self, value) {
            (Self::Text(b), Value::Text(v)) => b.append_value(v),
            (Self::Text(b), _) => b.append_null(),
            (Self::Integer(b), Value::Integer(v)) => b.append_value(*v),
            (Self::Integer(b), _) => b.append_null(),
            (Self::Number(b), Value::Number(v)) => b.append_value(*v),
            (Self::Number(b), _) => b.append_null(),
            (Self::Boolean(b), Value::Boolean(v)) => b.append_value(*v),
            (Self::Boolean(b), _) => b.append_null(),
            (Self::Date(b), Value::Date(v)) => b.append_value(*v),
            (Self::Date(b), _) => b.append_null(),
            (Self::Timestamp(b), Value::Timestamp(v)) => b.append_value(*v),
            (Self::Timestamp(b), _) => b.append_null(),
        }
    }

    pub(crate) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(b) => Arc::new(b.finish()),
            Self::Integer(b) => Arc::new(b.finish()),
            Self::Number(b) => Arc::new(b.finish()),
            Self::Boolean(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Timestamp(b) => Arc::new(b.finish()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(b) => b.len(),
            Self::Integer(b) => b.len(),
            Self::Number(b) => b.len(),
            Self::Boolean(b) => b.len(),
            Self::Date(b) => b.len(),
            Self::Timestamp(b) => b.len(),
        }
    }
}

/// Collects rows into batches.
pub(crate) struct BatchBuilder {
    schema: SchemaRef,
    columns: Vec<ColumnBuilder>,
}

impl BatchBuilder {
    pub(crate) fn new(schema: SchemaRef, kinds: &[ColumnKind]) -> Self {
        let columns = kinds.iter().map(|kind| ColumnBuilder::new(*kind)).collect();
        Self { schema, columns }
    }

    pub(crate) fn push(&mut self, row: &[Value]) {
        for (builder, value) in self.columns.iter_mut().zip(row) {
            builder.push(value);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.columns.first().map_or(0, ColumnBuilder::len)
    }

    pub(crate) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let columns = self.columns.iter_mut().map(ColumnBuilder::finish).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}
