//! What clients ask about tables and columns, limited to what the role may know.

mod dialect;
mod functions;
mod pg;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use datafusion::catalog::{MemTable, TableProvider};

pub(crate) use dialect::rewrite;
pub(crate) use functions::functions;
pub(crate) use pg::{is_pg_table, type_oid};

use crate::engine::{CATALOG, SCHEMA};
use crate::error::QueryError;
use crate::gateway::VisibleDataset;

/// The SQL standard's schema about schemas.
pub(crate) const INFORMATION_SCHEMA: &str = "information_schema";
/// PostgreSQL's own.
pub(crate) const PG_CATALOG: &str = "pg_catalog";

/// A table's schema, name and rows.
pub(crate) type Other = (String, String, Arc<dyn TableProvider>);

/// The tables about tables, made for one statement from what its role may see.
pub(crate) fn tables(visible: &[VisibleDataset]) -> Result<Vec<Other>, QueryError> {
    let mut all = information_schema(visible)?;
    all.extend(pg::tables(visible)?);
    Ok(all)
}

/// A column of a table about tables.
pub(crate) enum Cells {
    Text(Vec<Option<String>>),
    Int(Vec<Option<i32>>),
    Bool(Vec<Option<bool>>),
}

impl Cells {
    pub(crate) fn same(text: &str, rows: usize) -> Self {
        Self::Text(vec![Some(text.to_owned()); rows])
    }

    pub(crate) fn null(rows: usize) -> Self {
        Self::Text(vec![None; rows])
    }
}

impl From<Cells> for ArrayRef {
    fn from(cells: Cells) -> Self {
        match cells {
            Cells::Text(cells) => Arc::new(StringArray::from(cells)),
            Cells::Int(cells) => Arc::new(Int32Array::from(cells)),
            Cells::Bool(cells) => Arc::new(arrow::array::BooleanArray::from(cells)),
        }
    }
}

pub(crate) fn table(
    schema: &str,
    name: &str,
    columns: Vec<(&str, Cells)>,
) -> Result<Other, QueryError> {
    let columns = columns.into_iter().map(|(name, cells)| (name, cells.into(), true));
    let bug = |_| QueryError::Bug("catalogue");
    let batch = RecordBatch::try_from_iter_with_nullable(columns).map_err(bug)?;
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]])
        .map_err(|_| QueryError::Bug("catalogue"))?;
    Ok((schema.to_owned(), name.to_owned(), Arc::new(table)))
}

fn texts(of: impl Iterator<Item = impl ToString>) -> Cells {
    Cells::Text(of.map(|t| Some(t.to_string())).collect())
}

fn information_schema(visible: &[VisibleDataset]) -> Result<Vec<Other>, QueryError> {
    let n = visible.len();
    let schemata = vec![
        ("catalog_name", Cells::same(CATALOG, 1)),
        ("schema_name", Cells::same(SCHEMA, 1)),
        ("schema_owner", Cells::null(1)),
    ];
    let tables = vec![
        ("table_catalog", Cells::same(CATALOG, n)),
        ("table_schema", Cells::same(SCHEMA, n)),
        ("table_name", texts(visible.iter().map(|d| &d.dataset))),
        ("table_type", Cells::same("BASE TABLE", n)),
    ];
    let columns: Vec<_> = visible
        .iter()
        .flat_map(|d| d.columns.iter().enumerate().map(move |(place, c)| (d, place, c)))
        .collect();
    let n = columns.len();
    let yes_or_no = |yes: bool| if yes { "YES" } else { "NO" };
    let places = columns.iter().map(|(_, place, _)| i32::try_from(place + 1).ok()).collect();
    let columns = vec![
        ("table_catalog", Cells::same(CATALOG, n)),
        ("table_schema", Cells::same(SCHEMA, n)),
        ("table_name", texts(columns.iter().map(|(d, _, _)| &d.dataset))),
        ("column_name", texts(columns.iter().map(|(_, _, c)| &c.name))),
        ("ordinal_position", Cells::Int(places)),
        ("column_default", Cells::null(n)),
        ("is_nullable", texts(columns.iter().map(|(_, _, c)| yes_or_no(c.nullable)))),
        ("data_type", texts(columns.iter().map(|(_, _, c)| &c.data_type))),
        ("is_masked", texts(columns.iter().map(|(_, _, c)| yes_or_no(c.masked)))),
    ];
    let views = vec![
        ("table_catalog", Cells::null(0)),
        ("table_schema", Cells::null(0)),
        ("table_name", Cells::null(0)),
        ("definition", Cells::null(0)),
    ];
    let constraints = vec![
        ("constraint_catalog", Cells::null(0)),
        ("constraint_schema", Cells::null(0)),
        ("constraint_name", Cells::null(0)),
        ("table_schema", Cells::null(0)),
        ("table_name", Cells::null(0)),
        ("constraint_type", Cells::null(0)),
    ];
    Ok(vec![
        table(INFORMATION_SCHEMA, "schemata", schemata)?,
        table(INFORMATION_SCHEMA, "tables", tables)?,
        table(INFORMATION_SCHEMA, "columns", columns)?,
        table(INFORMATION_SCHEMA, "views", views)?,
        table(INFORMATION_SCHEMA, "table_constraints", constraints)?,
    ])
}
