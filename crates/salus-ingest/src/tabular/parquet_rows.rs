use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::reader::{Field, Record};
use super::value::Unfit;

/// The rows of a batch as records of text fields, in the order of `wanted`.
pub(crate) fn records_of(
    batch: &RecordBatch,
    wanted: &[String],
    line: &mut u64,
) -> Result<Vec<Record>, ArrowError> {
    let options = FormatOptions::new()
        .with_date_format(Some("%Y-%m-%d"))
        .with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S%.6f"))
        .with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.6f%:z"));
    let mut columns = Vec::with_capacity(wanted.len());
    for name in wanted {
        let missing = || ArrowError::SchemaError(format!("column '{name}' is not there"));
        let column = batch.column_by_name(name).ok_or_else(missing)?;
        columns.push((column, ArrayFormatter::try_new(column.as_ref(), &options)?));
    }
    let field = |column: &dyn Array, shown: &ArrayFormatter<'_>, row: usize| -> Field {
        if column.is_null(row) {
            return Ok(None);
        }
        match column.data_type() {
            DataType::Struct(_)
            | DataType::List(_)
            | DataType::LargeList(_)
            | DataType::Map(_, _) => Err(Unfit::Nested),
            _ => Ok(Some(shown.value(row).to_string())),
        }
    };
    let mut records = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        *line += 1;
        let fields: Vec<Field> =
            columns.iter().map(|(column, shown)| field(column.as_ref(), shown, row)).collect();
        let cells = columns.iter().map(|(_, shown)| shown.value(row).to_string());
        let raw = cells.collect::<Vec<_>>().join("\t");
        records.push(Record { line: *line, raw, fields: Ok(fields) });
    }
    Ok(records)
}
