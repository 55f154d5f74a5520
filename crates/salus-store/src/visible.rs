//! Which columns a reader sees, derived from a dataset's schema and what was allowed.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use salus_model::ColumnPath;
use salus_spine::DatasetAccess;

/// Every leaf below a top-level field, as Parquet names it.
pub(crate) fn leaves_of(field: &Field) -> Vec<ColumnPath> {
    let mut found = Vec::new();
    walk(field.data_type(), field.name().clone(), &mut found);
    found
}

/// Every leaf of a schema, in Parquet's order.
#[must_use]
pub fn leaves(schema: &Schema) -> Vec<ColumnPath> {
    schema.fields().iter().flat_map(|f| leaves_of(f)).collect()
}

fn walk(kind: &DataType, path: String, found: &mut Vec<ColumnPath>) {
    match kind {
        DataType::Struct(fields) => {
            for field in fields {
                walk(field.data_type(), format!("{path}.{}", field.name()), found);
            }
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            walk(item.data_type(), format!("{path}.list.{}", item.name()), found);
        }
        DataType::Map(entries, _) => {
            if let DataType::Struct(fields) = entries.data_type() {
                for field in fields {
                    let path = format!("{path}.{}.{}", entries.name(), field.name());
                    walk(field.data_type(), path, found);
                }
            }
        }
        _ => found.extend(ColumnPath::new(path).ok()),
    }
}

/// A top-level column that a reader sees.
#[derive(Debug, Clone)]
pub(crate) struct VisibleColumn {
    /// Its place among the top-level columns of the file.
    pub(crate) root: usize,
    /// Whether it is shown as null instead of its values.
    pub(crate) masked: bool,
}

/// The schema as a reader sees it: allowed columns, and masked ones as nullable.
///
/// A column is seen when all its leaves are allowed, masked when all are allowed or masked and at
/// least one is masked, and otherwise left out: half a nested value is never shown.
pub(crate) fn visible(schema: &Schema, access: &DatasetAccess) -> (SchemaRef, Vec<VisibleColumn>) {
    let mut fields: Vec<FieldRef> = Vec::new();
    let mut columns = Vec::new();
    for (root, field) in schema.fields().iter().enumerate() {
        let leaves: BTreeSet<ColumnPath> = leaves_of(field).into_iter().collect();
        let masked = leaves.iter().any(|leaf| access.masked().contains(leaf));
        let known =
            |leaf: &ColumnPath| access.columns().contains(leaf) || access.masked().contains(leaf);
        if leaves.is_empty() || !leaves.iter().all(known) {
            continue;
        }
        columns.push(VisibleColumn { root, masked });
        fields.push(if masked {
            Arc::new(field.as_ref().clone().with_nullable(true))
        } else {
            Arc::clone(field)
        });
    }
    (Arc::new(Schema::new(fields)), columns)
}
