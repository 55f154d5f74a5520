//! As much of PostgreSQL's catalogue as `\d`, `\dt` and the first queries of SQL tools need.
//!
//! # Source
//! PostgreSQL 17 documentation, chapter 53 "System Catalogs".

use arrow::datatypes::DataType;

use super::{Cells, Other, PG_CATALOG, table, texts};
use crate::engine::{CATALOG, SCHEMA};
use crate::error::QueryError;
use crate::gateway::{VisibleColumn, VisibleDataset};

const NAMESPACE_PG_CATALOG: i32 = 11;
const NAMESPACE_PUBLIC: i32 = 2200;
const OWNER: i32 = 10;
/// Objects that are not built in have oids from here on.
const FIRST_OID: i32 = 16_384;

/// Types that answers use: oid, name, length.
const TYPES: &[(i32, &str, i32)] = &[
    (16, "bool", 1),
    (17, "bytea", -1),
    (20, "int8", 8),
    (21, "int2", 2),
    (23, "int4", 4),
    (25, "text", -1),
    (114, "json", -1),
    (700, "float4", 4),
    (701, "float8", 8),
    (1082, "date", 4),
    (1083, "time", 8),
    (1114, "timestamp", 8),
    (1184, "timestamptz", 8),
    (1186, "interval", 16),
    (1700, "numeric", -1),
];

/// Tables that are there and have no rows, with the columns that clients name.
const EMPTY: &[(&str, &[&str])] = &[
    ("pg_attrdef", &["oid", "adrelid", "adnum", "adbin"]),
    ("pg_collation", &["oid", "collname", "collnamespace"]),
    ("pg_constraint", &["oid", "conname", "conrelid", "confrelid", "contype", "conkey", "confkey"]),
    ("pg_description", &["objoid", "classoid", "objsubid", "description"]),
    ("pg_enum", &["oid", "enumtypid", "enumlabel"]),
    ("pg_index", &["indexrelid", "indrelid", "indisprimary", "indisunique", "indkey"]),
    ("pg_inherits", &["inhrelid", "inhparent", "inhseqno", "inhdetachpending"]),
    ("pg_policy", &["oid", "polname", "polrelid", "polpermissive", "polroles", "polcmd"]),
    ("pg_proc", &["oid", "proname", "pronamespace"]),
    ("pg_publication", &["oid", "pubname", "puballtables"]),
    ("pg_publication_rel", &["oid", "prpubid", "prrelid", "prqual", "prattrs"]),
    ("pg_publication_namespace", &["oid", "pnpubid", "pnnspid"]),
    ("pg_shdescription", &["objoid", "classoid", "description"]),
    ("pg_statistic_ext", &["oid", "stxrelid", "stxname", "stxnamespace"]),
    ("pg_trigger", &["oid", "tgrelid", "tgname"]),
];

/// Whether an unqualified name is one of PostgreSQL's tables.
pub(crate) fn is_pg_table(name: &str) -> bool {
    is_empty(name)
        || [
            "pg_class",
            "pg_namespace",
            "pg_attribute",
            "pg_type",
            "pg_database",
            "pg_am",
            "pg_roles",
            "pg_user",
            "pg_tables",
            "pg_views",
            "pg_matviews",
            "pg_settings",
            "pg_tablespace",
        ]
        .contains(&name)
}

/// Whether it is one of the tables that never have a row.
pub(crate) fn is_empty(name: &str) -> bool {
    EMPTY.iter().any(|(empty, _)| *empty == name)
}

/// The oid of the type that a value of this Arrow type has on the PostgreSQL wire.
pub(crate) const fn type_oid(kind: &DataType) -> i32 {
    match kind {
        DataType::Boolean => 16,
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => 21,
        DataType::UInt16 | DataType::Int32 => 23,
        DataType::UInt32 | DataType::Int64 => 20,
        DataType::UInt64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => 1700,
        DataType::Float16 | DataType::Float32 => 700,
        DataType::Float64 => 701,
        DataType::Date32 | DataType::Date64 => 1082,
        DataType::Time32(_) | DataType::Time64(_) => 1083,
        DataType::Timestamp(_, None) => 1114,
        DataType::Timestamp(_, Some(_)) => 1184,
        DataType::Interval(_) | DataType::Duration(_) => 1186,
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => 17,
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::Struct(_)
        | DataType::Map(..) => 114,
        _ => 25,
    }
}

fn oid(place: usize) -> i32 {
    FIRST_OID.saturating_add(i32::try_from(place).unwrap_or(i32::MAX))
}

fn ints(of: impl Iterator<Item = i32>) -> Cells {
    Cells::Int(of.map(Some).collect())
}

fn same(value: i32, rows: usize) -> Cells {
    Cells::Int(vec![Some(value); rows])
}

fn all(value: bool, rows: usize) -> Cells {
    Cells::Bool(vec![Some(value); rows])
}

pub(super) fn tables(visible: &[VisibleDataset]) -> Result<Vec<Other>, QueryError> {
    let mut found = vec![
        namespaces()?,
        classes(visible)?,
        attributes(visible)?,
        types()?,
        databases()?,
        views(visible)?,
        table(PG_CATALOG, "pg_am", vec![("oid", same(2, 1)), ("amname", Cells::same("heap", 1))])?,
        roles("pg_roles", "rolname")?,
        roles("pg_user", "usename")?,
        table(
            PG_CATALOG,
            "pg_settings",
            vec![("name", Cells::same("max_index_keys", 1)), ("setting", Cells::same("32", 1))],
        )?,
        table(
            PG_CATALOG,
            "pg_tablespace",
            vec![("oid", same(1663, 1)), ("spcname", Cells::same("pg_default", 1))],
        )?,
    ];
    for (name, columns) in EMPTY {
        let columns = columns.iter().map(|column| {
            let is_text = column.ends_with("name") || column.ends_with("description");
            (*column, if is_text { Cells::null(0) } else { same(0, 0) })
        });
        found.push(table(PG_CATALOG, name, columns.collect())?);
    }
    let unqualified: Vec<Other> = found
        .iter()
        .map(|(_, name, rows)| (SCHEMA.to_owned(), name.clone(), std::sync::Arc::clone(rows)))
        .collect();
    found.extend(unqualified);
    Ok(found)
}

fn namespaces() -> Result<Other, QueryError> {
    let names = ["pg_catalog", SCHEMA, "information_schema"];
    let columns = vec![
        ("oid", ints([NAMESPACE_PG_CATALOG, NAMESPACE_PUBLIC, 13_000].into_iter())),
        ("nspname", texts(names.iter())),
        ("nspowner", same(OWNER, names.len())),
        ("nspacl", Cells::null(names.len())),
    ];
    table(PG_CATALOG, "pg_namespace", columns)
}

fn classes(visible: &[VisibleDataset]) -> Result<Other, QueryError> {
    let n = visible.len();
    let attributes = visible.iter().map(|d| i32::try_from(d.columns.len()).unwrap_or(i32::MAX));
    let columns = vec![
        ("oid", ints((0..n).map(oid))),
        ("relname", texts(visible.iter().map(|d| &d.dataset))),
        ("relnamespace", same(NAMESPACE_PUBLIC, n)),
        ("reltype", same(0, n)),
        ("reloftype", same(0, n)),
        ("relowner", same(OWNER, n)),
        ("relam", same(2, n)),
        ("reltablespace", same(0, n)),
        // Not told: the planner's estimate of rows is a statistic like any other.
        ("reltuples", same(-1, n)),
        ("relpages", same(0, n)),
        ("reltoastrelid", same(0, n)),
        ("relhasindex", all(false, n)),
        ("relisshared", all(false, n)),
        ("relpersistence", Cells::same("p", n)),
        ("relkind", Cells::same("r", n)),
        ("relnatts", ints(attributes)),
        ("relchecks", same(0, n)),
        ("relhasrules", all(false, n)),
        ("relhastriggers", all(false, n)),
        ("relhassubclass", all(false, n)),
        ("relrowsecurity", all(false, n)),
        ("relforcerowsecurity", all(false, n)),
        ("relreplident", Cells::same("d", n)),
        ("relispartition", all(false, n)),
        ("relpartbound", Cells::null(n)),
        ("relacl", Cells::null(n)),
        ("reloptions", Cells::null(n)),
    ];
    table(PG_CATALOG, "pg_class", columns)
}

fn attributes(visible: &[VisibleDataset]) -> Result<Other, QueryError> {
    let rows: Vec<(i32, i32, &VisibleColumn)> = visible
        .iter()
        .enumerate()
        .flat_map(|(table, dataset)| {
            let number = |place: usize| i32::try_from(place + 1).unwrap_or(i32::MAX);
            dataset.columns.iter().enumerate().map(move |(at, c)| (oid(table), number(at), c))
        })
        .collect();
    let n = rows.len();
    let columns = vec![
        ("attrelid", ints(rows.iter().map(|r| r.0))),
        ("attname", texts(rows.iter().map(|r| &r.2.name))),
        ("atttypid", ints(rows.iter().map(|r| type_oid(&r.2.data_type)))),
        ("attlen", same(-1, n)),
        ("attnum", ints(rows.iter().map(|r| r.1))),
        ("atttypmod", same(-1, n)),
        ("attnotnull", Cells::Bool(rows.iter().map(|r| Some(!r.2.nullable)).collect())),
        ("atthasdef", all(false, n)),
        ("attidentity", Cells::same("", n)),
        ("attgenerated", Cells::same("", n)),
        ("attisdropped", all(false, n)),
        ("attcollation", same(0, n)),
        ("attndims", same(0, n)),
    ];
    table(PG_CATALOG, "pg_attribute", columns)
}

fn types() -> Result<Other, QueryError> {
    let n = TYPES.len();
    let columns = vec![
        ("oid", ints(TYPES.iter().map(|t| t.0))),
        ("typname", texts(TYPES.iter().map(|t| t.1))),
        ("typlen", ints(TYPES.iter().map(|t| t.2))),
        ("typnamespace", same(NAMESPACE_PG_CATALOG, n)),
        ("typowner", same(OWNER, n)),
        ("typtype", Cells::same("b", n)),
        ("typcategory", Cells::same("U", n)),
        ("typrelid", same(0, n)),
        ("typelem", same(0, n)),
        ("typarray", same(0, n)),
        ("typbasetype", same(0, n)),
        ("typtypmod", same(-1, n)),
        ("typnotnull", all(false, n)),
        ("typcollation", same(0, n)),
        ("typdelim", Cells::same(",", n)),
        ("typinput", Cells::null(n)),
    ];
    table(PG_CATALOG, "pg_type", columns)
}

fn databases() -> Result<Other, QueryError> {
    let columns = vec![
        ("oid", same(FIRST_OID - 1, 1)),
        ("datname", Cells::same(CATALOG, 1)),
        ("datdba", same(OWNER, 1)),
        ("encoding", same(6, 1)),
        ("datistemplate", all(false, 1)),
        ("datallowconn", all(true, 1)),
        ("datacl", Cells::null(1)),
    ];
    table(PG_CATALOG, "pg_database", columns)
}

fn views(visible: &[VisibleDataset]) -> Result<Other, QueryError> {
    let n = visible.len();
    let columns = vec![
        ("schemaname", Cells::same(SCHEMA, n)),
        ("tablename", texts(visible.iter().map(|d| &d.dataset))),
        ("tableowner", Cells::same("salus", n)),
    ];
    table(PG_CATALOG, "pg_tables", columns)
}

fn roles(name: &str, column: &str) -> Result<Other, QueryError> {
    let columns = vec![
        ("oid", same(OWNER, 1)),
        (column, Cells::same("salus", 1)),
        ("rolsuper", all(false, 1)),
        ("rolcanlogin", all(true, 1)),
    ];
    table(PG_CATALOG, name, columns)
}

/// What PostgreSQL calls a type, by its oid.
pub(super) fn type_name(oid: i32) -> &'static str {
    match oid {
        16 => "boolean",
        17 => "bytea",
        20 => "bigint",
        21 => "smallint",
        23 => "integer",
        25 => "text",
        114 => "json",
        700 => "real",
        701 => "double precision",
        1082 => "date",
        1083 => "time without time zone",
        1114 => "timestamp without time zone",
        1184 => "timestamp with time zone",
        1186 => "interval",
        1700 => "numeric",
        _ => "unknown",
    }
}
