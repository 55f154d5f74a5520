//! Functions that PostgreSQL clients call on the catalogue.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

use super::pg::type_name;
use crate::engine::{CATALOG, SCHEMA};

fn constant(name: &str, arguments: usize, value: ScalarValue) -> Vec<ScalarUDF> {
    let kind = value.data_type();
    let answer = Arc::new(move |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(value.clone())));
    let types = vec![DataType::Int32; arguments];
    both(name, |name| {
        create_udf(name, types.clone(), kind.clone(), Volatility::Stable, answer.clone())
    })
}

/// Under its own name and under PostgreSQL's schema, as psql writes it.
fn both(name: &str, make: impl Fn(&str) -> ScalarUDF) -> Vec<ScalarUDF> {
    vec![make(name), make(&format!("pg_catalog.{name}"))]
}

fn per_row(
    values: &ColumnarValue,
    answer: impl Fn(&ArrayRef) -> ArrayRef,
) -> Result<ColumnarValue> {
    let values = ColumnarValue::values_to_arrays(std::slice::from_ref(values))?;
    let value =
        values.into_iter().next().unwrap_or_else(|| Arc::new(BooleanArray::from(vec![true])));
    Ok(ColumnarValue::Array(answer(&value)))
}

fn format_type() -> Vec<ScalarUDF> {
    let answer = Arc::new(|arguments: &[ColumnarValue]| {
        let null = ColumnarValue::Scalar(ScalarValue::Int32(None));
        per_row(arguments.first().unwrap_or(&null), |oids| {
            let oids = cast(oids, &DataType::Int32).unwrap_or_else(|_| Arc::clone(oids));
            let names = oids.as_primitive::<Int32Type>().iter().map(|oid| oid.map(type_name));
            Arc::new(names.collect::<StringArray>())
        })
    });
    let types = vec![DataType::Int32, DataType::Int32];
    both("format_type", |name| {
        create_udf(name, types.clone(), DataType::Utf8, Volatility::Stable, answer.clone())
    })
}

/// All of them.
pub(crate) fn functions() -> Vec<ScalarUDF> {
    let text = |t: &str| ScalarValue::Utf8(Some(t.to_owned()));
    let mut all = format_type();
    all.extend(constant("pg_table_is_visible", 1, ScalarValue::Boolean(Some(true))));
    all.extend(constant("pg_get_userbyid", 1, text("salus")));
    all.extend(constant("current_database", 0, text(CATALOG)));
    all.extend(constant("current_schema", 0, text(SCHEMA)));
    all.extend(constant("version", 0, text("PostgreSQL 17.0 (Salus)")));
    all.extend(constant("pg_backend_pid", 0, ScalarValue::Int32(Some(0))));
    all
}
