//! Released tables as FHIR resources, one a line.

use salus_deid::{Table, is_missing};
use salus_fhir::rows::RowWriter;

use crate::error::FilesError;

/// Every record as a resource of one type, validated, as NDJSON.
pub(crate) fn ndjson(resource: &str, table: &Table) -> Result<Vec<u8>, FilesError> {
    let names: Vec<&str> = table.columns().iter().map(|c| c.name()).collect();
    let writer = RowWriter::new(resource, &names)?;
    let mut bytes = Vec::new();
    for row in 0..table.rows() {
        let value = |column: &salus_deid::Column| {
            column.value(row).filter(|value| !is_missing(value)).map(str::to_owned)
        };
        let fields: Vec<Option<String>> = table.columns().iter().map(value).collect();
        let fields: Vec<Option<&str>> = fields.iter().map(Option::as_deref).collect();
        let resource = writer.resource(row as u64 + 1, &fields)?;
        bytes.extend_from_slice(resource.to_string().as_bytes());
        bytes.push(b'\n');
    }
    Ok(bytes)
}
