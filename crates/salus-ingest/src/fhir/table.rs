use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, ListBuilder,
    RecordBatch, StringBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use rust_decimal::prelude::ToPrimitive;
use salus_fhir::shipped::ShippedView;
use salus_fhir::view::{Column, ColumnType, Value};
use salus_model::{ColumnPath, DatasetId, IdError, KeyClass};
use salus_store::{DatasetSpec, EncryptionSettings, Identity, KeyChoice, KeyPolicy};

/// The column that orders the versions of a resource.
pub(crate) const SEQUENCE: &str = "sequence_";
/// The column that every shipped view has for the resource's key.
const KEY: &str = "id";

/// The Arrow type of a view's column.
///
/// Decimals become 64-bit floating point; their exact form stays in the resource. A date or time
/// that is known less precisely becomes its first day or moment.
fn data_type(column: &Column) -> DataType {
    if column.collection {
        return DataType::List(Arc::new(Field::new("element", DataType::Utf8, true)));
    }
    match column.kind {
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Integer => DataType::Int64,
        ColumnType::Decimal => DataType::Float64,
        ColumnType::String => DataType::Utf8,
        ColumnType::Date => DataType::Date32,
        ColumnType::DateTime | ColumnType::Instant => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        ColumnType::Time => DataType::Time64(TimeUnit::Microsecond),
    }
}

fn schema(view: &ShippedView) -> SchemaRef {
    let column = |c: &Column| Field::new(&c.name, data_type(c), c.name != KEY);
    let mut fields: Vec<Field> = view.view.columns().iter().map(column).collect();
    fields.push(Field::new(SEQUENCE, DataType::Int64, false));
    Arc::new(Schema::new(fields))
}

/// What the lake has to know to make a view's dataset.
pub(crate) fn spec(
    view: &ShippedView,
    encryption: EncryptionSettings,
) -> Result<DatasetSpec, IdError> {
    let columns = view.view.columns();
    let classes = columns.iter().zip(&view.key_classes);
    let rules = classes.map(|(c, class)| {
        let pattern = if c.collection { format!("{}.*", c.name) } else { c.name.clone() };
        (pattern, KeyChoice::Class(*class))
    });
    let sequence = (SEQUENCE.to_owned(), KeyChoice::Class(KeyClass::Quasi));
    let is_patients = view.name == "patients";
    let subject = columns
        .iter()
        .map(|c| c.name.as_str())
        .find(|name| if is_patients { *name == KEY } else { *name == "patient_id" });
    Ok(DatasetSpec {
        dataset: DatasetId::new(view.name)?,
        schema: schema(view),
        subject: subject.map(ColumnPath::new).transpose()?,
        identity: Some(Identity {
            key: ColumnPath::new(KEY)?,
            sequence: ColumnPath::new(SEQUENCE)?,
        }),
        policy: KeyPolicy::new(rules.chain([sequence])),
        encryption,
    })
}

enum Cells {
    Boolean(BooleanBuilder),
    Integer(Int64Builder),
    Decimal(Float64Builder),
    String(StringBuilder),
    Date(Date32Builder),
    Moment(TimestampMicrosecondBuilder),
    Time(Time64MicrosecondBuilder),
    List(ListBuilder<StringBuilder>),
}

impl Cells {
    fn new(column: &Column) -> Self {
        if column.collection {
            let element = Field::new("element", DataType::Utf8, true);
            return Self::List(ListBuilder::new(StringBuilder::new()).with_field(element));
        }
        match column.kind {
            ColumnType::Boolean => Self::Boolean(BooleanBuilder::new()),
            ColumnType::Integer => Self::Integer(Int64Builder::new()),
            ColumnType::Decimal => Self::Decimal(Float64Builder::new()),
            ColumnType::String => Self::String(StringBuilder::new()),
            ColumnType::Date => Self::Date(Date32Builder::new()),
            ColumnType::DateTime | ColumnType::Instant => {
                Self::Moment(TimestampMicrosecondBuilder::new().with_timezone("UTC"))
            }
            ColumnType::Time => Self::Time(Time64MicrosecondBuilder::new()),
        }
    }

    /// Takes a cell of the column's kind; the view gives no other, and any other would be null.
    fn push(&mut self, value: &Value) {
        match (self, value) {
            (Self::Boolean(b), Value::Boolean(v)) => b.append_value(*v),
            (Self::Boolean(b), _) => b.append_null(),
            (Self::Integer(b), Value::Integer(v)) => b.append_value(*v),
            (Self::Integer(b), _) => b.append_null(),
            (Self::Decimal(b), Value::Decimal(v)) => b.append_option(v.to_f64()),
            (Self::Decimal(b), _) => b.append_null(),
            (Self::String(b), Value::String(v)) => b.append_value(v),
            (Self::String(b), _) => b.append_null(),
            (Self::Date(b), Value::Date(v)) => b.append_option(v.low_date_boundary().as_days()),
            (Self::Date(b), _) => b.append_null(),
            (Self::Moment(b), Value::DateTime(v) | Value::Instant(v)) => {
                b.append_value(v.earliest_micros());
            }
            (Self::Moment(b), _) => b.append_null(),
            (Self::Time(b), Value::Time(v)) => b.append_value(v.as_micros()),
            (Self::Time(b), _) => b.append_null(),
            (Self::List(b), Value::List(items)) => {
                for item in items {
                    b.values().append_option(text(item));
                }
                b.append(true);
            }
            (Self::List(b), _) => b.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean(b) => Arc::new(b.finish()),
            Self::Integer(b) => Arc::new(b.finish()),
            Self::Decimal(b) => Arc::new(b.finish()),
            Self::String(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Moment(b) => Arc::new(b.finish()),
            Self::Time(b) => Arc::new(b.finish()),
            Self::List(b) => Arc::new(b.finish()),
        }
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::List(_) => None,
        Value::Boolean(v) => Some(v.to_string()),
        Value::Integer(v) => Some(v.to_string()),
        Value::Decimal(v) => Some(v.to_string()),
        Value::String(v) => Some(v.to_string()),
        Value::Date(v) | Value::DateTime(v) | Value::Instant(v) => Some(v.to_string()),
        Value::Time(v) => Some(v.to_string()),
    }
}

/// Collects a view's rows into batches.
pub(crate) struct TableBuilder {
    schema: SchemaRef,
    cells: Vec<Cells>,
    sequences: Int64Builder,
    rows: usize,
}

impl TableBuilder {
    pub(crate) fn new(view: &ShippedView) -> Self {
        let cells = view.view.columns().iter().map(Cells::new).collect();
        Self { schema: schema(view), cells, sequences: Int64Builder::new(), rows: 0 }
    }

    pub(crate) fn push(&mut self, row: &[Value], sequence: i64) {
        for (cells, value) in self.cells.iter_mut().zip(row) {
            cells.push(value);
        }
        self.sequences.append_value(sequence);
        self.rows += 1;
    }

    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.rows = 0;
        let mut columns: Vec<ArrayRef> = self.cells.iter_mut().map(Cells::finish).collect();
        columns.push(Arc::new(self.sequences.finish()));
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}
