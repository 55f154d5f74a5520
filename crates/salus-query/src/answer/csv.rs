use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::csv::WriterBuilder;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;

use super::{Answer, EncodeFailed};

impl Answer {
    /// Writes CSV with a header line; null is an empty field, a nested value is JSON text.
    ///
    /// # Privacy
    /// A field may begin with `=`, `+`, `-` or `@`, which spreadsheet programs take for a formula.
    /// The text is written as it is, since changing it would falsify records; whoever opens the
    /// file in a spreadsheet imports the columns as text.
    ///
    /// # Source
    /// RFC 4180, with LF line ends as its section 2 tolerates.
    ///
    /// # Errors
    /// When a type has no CSV form.
    pub fn write_csv(&self, to: impl Write) -> Result<(), EncodeFailed> {
        let failed = |source| EncodeFailed { form: "CSV", source };
        let mut writer = WriterBuilder::new().with_header(true).build(to);
        if self.batches.is_empty() {
            let empty = RecordBatch::new_empty(Arc::clone(&self.schema));
            writer.write(&flat(&empty).map_err(failed)?).map_err(failed)?;
        }
        for batch in &self.batches {
            writer.write(&flat(batch).map_err(failed)?).map_err(failed)?;
        }
        Ok(())
    }
}

fn flat(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if field.data_type().is_nested() {
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
            columns.push(as_json_text(column)?);
        } else {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// Each value as JSON text, by way of one object a line with the single member `v`.
pub(crate) fn as_json_text(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let field = Field::new("v", column.data_type().clone(), true);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::clone(column)])?;
    let mut lines = Vec::new();
    let mut writer = LineDelimitedWriter::new(&mut lines);
    writer.write(&batch)?;
    writer.finish()?;
    let text = String::from_utf8_lossy(&lines);
    let value = |line: &str| {
        let value = line.strip_prefix("{\"v\":").and_then(|v| v.strip_suffix('}'));
        value.map(str::to_owned)
    };
    Ok(Arc::new(text.lines().map(value).collect::<StringArray>()))
}
