use std::sync::Arc;

use arrow::array::{Int64Builder, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use salus_model::{DatasetId, IdError, KeyClass};
use salus_store::{DatasetSpec, EncryptionSettings, KeyChoice, KeyPolicy};

/// A dataset's quarantine is a dataset of its own, with this behind the name.
pub const QUARANTINE_SUFFIX: &str = "_quarantine";

/// The dataset that keeps what `dataset` did not accept, encrypted as free text.
///
/// # Errors
/// When the name becomes too long.
pub fn quarantine_dataset(dataset: &DatasetId) -> Result<DatasetId, IdError> {
    DatasetId::new(format!("{dataset}{QUARANTINE_SUFFIX}"))
}

fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    Arc::new(Schema::new(vec![
        text("import"),
        text("source"),
        Field::new("line", DataType::Int64, false),
        text("field"),
        text("reason"),
        text("record"),
    ]))
}

pub(crate) fn spec(dataset: DatasetId, encryption: EncryptionSettings) -> DatasetSpec {
    let policy = KeyPolicy::new([
        ("*".to_owned(), KeyChoice::Class(KeyClass::Clinical)),
        ("record".to_owned(), KeyChoice::Class(KeyClass::Freetext)),
        ("source".to_owned(), KeyChoice::Class(KeyClass::Freetext)),
    ]);
    DatasetSpec { dataset, schema: schema(), subject: None, identity: None, policy, encryption }
}

/// Collects what was not accepted.
pub(crate) struct QuarantineBuilder {
    import: StringBuilder,
    source: StringBuilder,
    line: Int64Builder,
    field: StringBuilder,
    reason: StringBuilder,
    record: StringBuilder,
    rows: usize,
}

impl QuarantineBuilder {
    pub(crate) fn new() -> Self {
        Self {
            import: StringBuilder::new(),
            source: StringBuilder::new(),
            line: Int64Builder::new(),
            field: StringBuilder::new(),
            reason: StringBuilder::new(),
            record: StringBuilder::new(),
            rows: 0,
        }
    }

    pub(crate) fn push(
        &mut self,
        (import, source): (&str, &str),
        line: u64,
        (field, reason): (&str, &str),
        record: &str,
    ) {
        self.import.append_value(import);
        self.source.append_value(source);
        self.line.append_value(i64::try_from(line).unwrap_or(i64::MAX));
        self.field.append_value(field);
        self.reason.append_value(reason);
        self.record.append_value(record);
        self.rows += 1;
    }

    pub(crate) const fn len(&self) -> usize {
        self.rows
    }

    pub(crate) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.rows = 0;
        RecordBatch::try_new(
            schema(),
            vec![
                Arc::new(self.import.finish()),
                Arc::new(self.source.finish()),
                Arc::new(self.line.finish()),
                Arc::new(self.field.finish()),
                Arc::new(self.reason.finish()),
                Arc::new(self.record.finish()),
            ],
        )
    }
}
