//! Arrow columns of a Parquet source as the schema's types, nested ones too.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, ListArray, MapArray, OffsetSizeTrait,
    RecordBatch, StructArray, make_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{CastOptions, cast_with_options, filter};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::builder::ColumnBuilder;
use super::reader::ReadError;
use super::schema::{Column, ColumnKind, Requirement, SchemaFile};
use super::shape::{Part, Shape};
use super::value::{self, Unfit, Value};

/// How values are shown that have to be read as another type, or are quarantined.
const SHOWN: FormatOptions<'static> = FormatOptions::new()
    .with_date_format(Some("%Y-%m-%d"))
    .with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S%.6f"))
    .with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.6f%:z"));

/// A place that does not fit: a row, the leaf column there, and why.
pub(crate) type Misfit = (usize, String, Unfit);

/// Rows of a source, taken apart.
pub(crate) struct Sorted {
    /// Those that fit, in the schema's types.
    pub(crate) accepted: RecordBatch,
    /// The others, with the first thing that does not fit in each and the row as it stood.
    pub(crate) refused: Vec<(Misfit, String)>,
}

/// Whether a source's columns can become the schema's.
///
/// # Errors
/// Names a column that is unknown, missing, or nested in another way.
pub(crate) fn check_columns(
    schema: &SchemaFile,
    source: &arrow::datatypes::Schema,
) -> Result<(), ReadError> {
    for field in source.fields() {
        let known = schema.columns.iter().any(|c| c.source_name() == field.name());
        if !known && !schema.ignore.contains(field.name()) {
            return Err(ReadError::Unknown { column: field.name().clone() });
        }
    }
    for column in &schema.columns {
        let name = column.source_name();
        let field = source
            .field_with_name(name)
            .map_err(|_| ReadError::Lacking { column: name.to_owned() })?;
        nests(&column.shape, name, field.data_type())?;
    }
    Ok(())
}

fn nests(shape: &Shape, path: &str, found: &DataType) -> Result<(), ReadError> {
    let other = || ReadError::Nesting {
        column: path.to_owned(),
        wanted: shape.as_str(),
        found: found.to_string(),
    };
    let part = |part: &Part, name: &str, field: &Field| {
        nests(&part.shape, &format!("{path}.{name}"), field.data_type())
    };
    match (shape, found) {
        (Shape::List(item), DataType::List(field)) => part(item, "list.element", field),
        (Shape::Map { key, value }, DataType::Map(entries, _)) => match entries.data_type() {
            DataType::Struct(fields) => {
                let [keys, values] = fields.as_ref() else { return Err(other()) };
                part(key, "key_value.key", keys)?;
                part(value, "key_value.value", values)
            }
            _ => Err(other()),
        },
        (Shape::Struct(parts), DataType::Struct(fields)) => {
            if let Some(field) = fields.iter().find(|f| !parts.iter().any(|(n, _)| n == f.name())) {
                return Err(ReadError::Unknown { column: format!("{path}.{}", field.name()) });
            }
            for (name, inner) in parts {
                let field = fields.iter().find(|f| f.name() == name);
                let lacking = || ReadError::Lacking { column: format!("{path}.{name}") };
                part(inner, name, field.ok_or_else(lacking)?)?;
            }
            Ok(())
        }
        (Shape::One(_), found) if !found.is_nested() => Ok(()),
        _ => Err(other()),
    }
}

/// Takes the rows that fit the schema from those that do not.
///
/// # Errors
/// When the batch does not have the columns that [`check_columns`] saw.
pub(crate) fn sort(
    columns: &[Column],
    schema: &SchemaRef,
    batch: &RecordBatch,
) -> Result<Sorted, ArrowError> {
    let mut first: Vec<Option<Misfit>> = vec![None; batch.num_rows()];
    let mut converted = Vec::with_capacity(columns.len());
    for column in columns {
        let missing = || ArrowError::SchemaError(format!("column '{}' is gone", column.name));
        let source = batch.column_by_name(column.source_name()).ok_or_else(missing)?;
        let mut misfits = Vec::new();
        let array = convert(&column.shape, &column.name, source, &mut misfits)?;
        bounds(column, &array, source, &mut misfits);
        for misfit in misfits {
            if let Some(slot) = first.get_mut(misfit.0).filter(|slot| slot.is_none()) {
                *slot = Some(misfit);
            }
        }
        converted.push(array);
    }
    let fits: BooleanArray = first.iter().map(|misfit| Some(misfit.is_none())).collect();
    let refused: Vec<Misfit> = first.into_iter().flatten().collect();
    if !refused.is_empty() {
        for array in &mut converted {
            *array = filter(array, &fits)?;
        }
    }
    let rows = refused.iter().map(|(row, ..)| *row);
    let shown = show(batch, rows)?;
    Ok(Sorted {
        accepted: RecordBatch::try_new(Arc::clone(schema), converted)?,
        refused: refused.into_iter().zip(shown).collect(),
    })
}

fn show(batch: &RecordBatch, rows: impl Iterator<Item = usize>) -> Result<Vec<String>, ArrowError> {
    let shown: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &SHOWN))
        .collect::<Result<_, _>>()?;
    let cells = |row| shown.iter().map(|s| s.value(row).to_string()).collect::<Vec<_>>().join("\t");
    Ok(rows.map(cells).collect())
}

/// What a column asks of its values beyond their type.
fn bounds(column: &Column, array: &ArrayRef, source: &ArrayRef, misfits: &mut Vec<Misfit>) {
    let Shape::One(kind) = column.shape else {
        if column.required == Requirement::Required {
            let absent = (0..array.len()).filter(|&row| source.is_null(row));
            misfits.extend(absent.map(|row| (row, column.name.clone(), Unfit::Missing)));
        }
        return;
    };
    let asks = column.required == Requirement::Required
        || column.min.is_some()
        || column.max.is_some()
        || !column.values.is_empty();
    for row in (0..array.len()).filter(|_| asks) {
        let value = match kind {
            // A value that was there and could not be read has been told already.
            _ if array.is_null(row) && source.is_valid(row) => continue,
            _ if array.is_null(row) => Value::Null,
            ColumnKind::Integer => Value::Integer(array.as_primitive::<Int64Type>().value(row)),
            ColumnKind::Number => Value::Number(array.as_primitive::<Float64Type>().value(row)),
            ColumnKind::Text => Value::Text(array.as_string::<i32>().value(row).to_owned()),
            ColumnKind::Boolean | ColumnKind::Date | ColumnKind::Timestamp => continue,
        };
        if let Err(unfit) = value::check(column, &value) {
            misfits.push((row, column.name.clone(), unfit));
        }
    }
}

/// An array as the type of `shape`; where a value does not fit there is a null and a misfit.
fn convert(
    shape: &Shape,
    path: &str,
    array: &ArrayRef,
    misfits: &mut Vec<Misfit>,
) -> Result<ArrayRef, ArrowError> {
    let unexpected = || ArrowError::SchemaError(format!("column '{path}' changed its type"));
    match (shape, shape.data_type()) {
        (Shape::Struct(parts), DataType::Struct(fields)) => {
            let source = array.as_struct_opt().ok_or_else(unexpected)?;
            let mut children = Vec::with_capacity(parts.len());
            for (name, part) in parts {
                let child = source.column_by_name(name).ok_or_else(unexpected)?;
                let mut below = Vec::new();
                let path = format!("{path}.{name}");
                children.push(convert(&part.shape, &path, child, &mut below)?);
                misfits.extend(below.into_iter().filter(|(row, ..)| source.is_valid(*row)));
            }
            Ok(Arc::new(StructArray::try_new(fields, children, source.nulls().cloned())?))
        }
        (Shape::List(item), DataType::List(field)) => {
            let source = array.as_list_opt::<i32>().ok_or_else(unexpected)?;
            let path = format!("{path}.list.element");
            let mut below = Vec::new();
            let values = convert(&item.shape, &path, source.values(), &mut below)?;
            misfits.extend(raised(below, source.offsets(), source));
            let (offsets, nulls) = (source.offsets().clone(), source.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(field, offsets, values, nulls)?))
        }
        (Shape::Map { key, value }, DataType::Map(field, ordered)) => {
            let source = array.as_map_opt().ok_or_else(unexpected)?;
            let mut below = Vec::new();
            let name = |part: &str| format!("{path}.key_value.{part}");
            let keys = convert(&key.shape, &name("key"), source.keys(), &mut below)?;
            let values = convert(&value.shape, &name("value"), source.values(), &mut below)?;
            misfits.extend(raised(below, source.offsets(), source));
            let entries = entries(&field, without_nulls(&keys)?, values)?;
            let (offsets, nulls) = (source.offsets().clone(), source.nulls().cloned());
            Ok(Arc::new(MapArray::try_new(field, offsets, entries, nulls, ordered)?))
        }
        (Shape::One(kind), _) => one(*kind, path, array, misfits),
        _ => Err(unexpected()),
    }
}

fn entries(field: &FieldRef, keys: ArrayRef, values: ArrayRef) -> Result<StructArray, ArrowError> {
    match field.data_type() {
        DataType::Struct(fields) => StructArray::try_new(fields.clone(), vec![keys, values], None),
        other => Err(ArrowError::SchemaError(format!("a map has entries, not {other}"))),
    }
}

/// Keys of a map are never null; one that does not fit has its row quarantined, whatever it is.
fn without_nulls(keys: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if keys.null_count() == 0 {
        return Ok(Arc::clone(keys));
    }
    Ok(make_array(keys.to_data().into_builder().nulls(None).build()?))
}

/// Misfits among the items of lists as misfits of the lists' rows.
fn raised<O: OffsetSizeTrait>(
    below: Vec<Misfit>,
    offsets: &OffsetBuffer<O>,
    lists: &dyn Array,
) -> Vec<Misfit> {
    let row_of = |item: usize| {
        let row = offsets.partition_point(|offset| offset.as_usize() <= item).checked_sub(1)?;
        (row < lists.len() && lists.is_valid(row)).then_some(row)
    };
    let raise = |(item, path, unfit): Misfit| Some((row_of(item)?, path, unfit));
    below.into_iter().filter_map(raise).collect()
}

const fn unfit(kind: ColumnKind) -> Unfit {
    match kind {
        ColumnKind::Text => Unfit::NotUtf8,
        ColumnKind::Integer => Unfit::Integer,
        ColumnKind::Number => Unfit::Number,
        ColumnKind::Boolean => Unfit::Boolean,
        ColumnKind::Date => Unfit::Date,
        ColumnKind::Timestamp => Unfit::Timestamp,
    }
}

/// Whether the type becomes the kind by a cast that loses nothing, but for values out of range.
fn casts(kind: ColumnKind, from: &DataType) -> bool {
    match kind {
        ColumnKind::Text => {
            matches!(from, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        }
        ColumnKind::Integer => from.is_integer(),
        ColumnKind::Number => from.is_floating() || matches!(from, DataType::Int32),
        ColumnKind::Boolean => matches!(from, DataType::Boolean),
        ColumnKind::Date => matches!(from, DataType::Date32),
        ColumnKind::Timestamp => matches!(from, DataType::Timestamp(..)),
    }
}

fn one(
    kind: ColumnKind,
    path: &str,
    array: &ArrayRef,
    misfits: &mut Vec<Misfit>,
) -> Result<ArrayRef, ArrowError> {
    let wanted = kind.data_type();
    let mut converted = if *array.data_type() == wanted {
        Arc::clone(array)
    } else if casts(kind, array.data_type()) {
        cast_with_options(array, &wanted, &CastOptions { safe: true, format_options: SHOWN })?
    } else {
        return by_text(kind, path, array, misfits);
    };
    if kind == ColumnKind::Number {
        let numbers = converted.as_primitive::<Float64Type>();
        if numbers.iter().flatten().any(|n| !n.is_finite()) {
            let finite = numbers.iter().map(|n| n.filter(|n| n.is_finite()));
            converted = Arc::new(finite.collect::<Float64Array>());
        }
    }
    let lost = (0..array.len()).filter(|&row| array.is_valid(row) && converted.is_null(row));
    misfits.extend(lost.map(|row| (row, path.to_owned(), unfit(kind))));
    Ok(converted)
}

fn by_text(
    kind: ColumnKind,
    path: &str,
    array: &ArrayRef,
    misfits: &mut Vec<Misfit>,
) -> Result<ArrayRef, ArrowError> {
    let shown = ArrayFormatter::try_new(array, &SHOWN)?;
    let mut builder = ColumnBuilder::new(kind);
    for row in 0..array.len() {
        let value = if array.is_null(row) {
            Value::Null
        } else {
            value::read_one(kind, &shown.value(row).to_string()).unwrap_or_else(|unfit| {
                misfits.push((row, path.to_owned(), unfit));
                Value::Null
            })
        };
        builder.push(&value);
    }
    Ok(builder.finish())
}
