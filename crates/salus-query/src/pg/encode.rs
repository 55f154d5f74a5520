//! Between Arrow's types and PostgreSQL's, in text and in binary.

use std::error::Error;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, TimeUnit};
use arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions as ArrowFormat};
use bytes::{BufMut, BytesMut};
use pgwire::api::Type;
use pgwire::api::portal::Format;
use pgwire::api::results::{DataRowEncoder, FieldFormat, FieldInfo};
use pgwire::error::PgWireResult;
use pgwire::messages::data::DataRow;
use pgwire::types::ToSqlText;
use pgwire::types::format::FormatOptions;
use postgres_types::{IsNull, ToSql};

use super::connection::error;
use crate::answer::as_json_text;
use crate::catalog::type_oid;
use crate::gateway::Parameter;

/// Days and microseconds from 1970, Arrow's epoch, to 2000, PostgreSQL's.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// The PostgreSQL type that values of an Arrow type have.
pub(super) fn pg_type(kind: &DataType) -> Type {
    u32::try_from(type_oid(kind)).ok().and_then(Type::from_oid).unwrap_or(Type::TEXT)
}

fn wanted(format: &Format, place: usize) -> FieldFormat {
    match format {
        Format::UnifiedText => FieldFormat::Text,
        Format::UnifiedBinary => FieldFormat::Binary,
        Format::Individual(codes) => {
            codes.get(place).map_or(FieldFormat::Text, |code| FieldFormat::from(*code))
        }
    }
}

/// The columns of an answer.
pub(super) fn fields(schema: &Schema, format: &Format) -> Vec<FieldInfo> {
    let field = |(place, field): (usize, &Arc<arrow::datatypes::Field>)| {
        let kind = pg_type(field.data_type());
        FieldInfo::new(field.name().clone(), None, None, kind, wanted(format, place))
    };
    schema.fields().iter().enumerate().map(field).collect()
}

/// A value that is encoded already.
#[derive(Debug)]
struct Encoded(Option<Vec<u8>>);

impl Encoded {
    fn put(&self, out: &mut BytesMut) -> IsNull {
        match &self.0 {
            Some(bytes) => {
                out.put_slice(bytes);
                IsNull::No
            }
            None => IsNull::Yes,
        }
    }
}

impl ToSql for Encoded {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        Ok(self.put(out))
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    postgres_types::to_sql_checked!();
}

impl ToSqlText for Encoded {
    fn to_sql_text(
        &self,
        _: &Type,
        out: &mut BytesMut,
        _: &FormatOptions,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        Ok(self.put(out))
    }
}

/// One row of an answer on the wire.
pub(super) fn row(
    batch: &RecordBatch,
    at: usize,
    fields: &Arc<Vec<FieldInfo>>,
) -> PgWireResult<DataRow> {
    let mut encoder = DataRowEncoder::new(Arc::clone(fields));
    for (column, field) in batch.columns().iter().zip(fields.iter()) {
        let value = column.slice(at, 1);
        let encoded = if value.is_null(0) || matches!(value.data_type(), DataType::Null) {
            None
        } else if field.format() == FieldFormat::Text {
            Some(text(&value)?)
        } else {
            Some(binary(&value, field.datatype())?)
        };
        encoder.encode_field(&Encoded(encoded))?;
    }
    Ok(encoder.take_row())
}

fn unfit<E>(_: E) -> pgwire::error::PgWireError {
    error("ERROR", "22000", "a value has no form on the PostgreSQL wire; CAST it".to_owned())
}

fn text(value: &ArrayRef) -> PgWireResult<Vec<u8>> {
    let format = ArrowFormat::default()
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"))
        .with_duration_format(DurationFormat::ISO8601);
    match value.data_type() {
        DataType::Boolean => {
            Ok(if value.as_boolean().value(0) { b"t".to_vec() } else { b"f".to_vec() })
        }
        kind if kind.is_nested() => {
            let text = as_json_text(value).map_err(unfit)?;
            Ok(text.as_string::<i32>().value(0).as_bytes().to_vec())
        }
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => {
            Ok(format!("\\x{}", hex::encode(bytes_of(value)?)).into_bytes())
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let number = cast(value, &DataType::Float64).map_err(unfit)?;
            let number = number.as_primitive::<arrow::datatypes::Float64Type>().value(0);
            Ok(if number.is_nan() {
                b"NaN".to_vec()
            } else if number.is_infinite() {
                (if number > 0.0 { "Infinity" } else { "-Infinity" }).as_bytes().to_vec()
            } else {
                display(value, &ArrowFormat::default())?.into_bytes()
            })
        }
        _ => Ok(display(value, &format)?.into_bytes()),
    }
}

fn display(value: &ArrayRef, format: &ArrowFormat<'_>) -> PgWireResult<String> {
    let formatter = ArrayFormatter::try_new(value, format).map_err(unfit)?;
    formatter.value(0).try_to_string().map_err(unfit)
}

fn bytes_of(value: &ArrayRef) -> PgWireResult<Vec<u8>> {
    let bytes = cast(value, &DataType::LargeBinary).map_err(unfit)?;
    Ok(bytes.as_binary::<i64>().value(0).to_vec())
}

macro_rules! primitive {
    ($value:expr, $kind:expr, $primitive:ident) => {
        cast($value, &$kind).map_err(unfit)?.as_primitive::<arrow::datatypes::$primitive>().value(0)
    };
}

/// # Source
/// PostgreSQL's `send` functions, as `postgres-types` reads them.
fn binary(value: &ArrayRef, kind: &Type) -> PgWireResult<Vec<u8>> {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    Ok(match *kind {
        Type::BOOL => vec![u8::from(value.as_boolean().value(0))],
        Type::INT2 => primitive!(value, DataType::Int16, Int16Type).to_be_bytes().to_vec(),
        Type::INT4 => primitive!(value, DataType::Int32, Int32Type).to_be_bytes().to_vec(),
        Type::INT8 => primitive!(value, DataType::Int64, Int64Type).to_be_bytes().to_vec(),
        Type::FLOAT4 => primitive!(value, DataType::Float32, Float32Type).to_be_bytes().to_vec(),
        Type::FLOAT8 => primitive!(value, DataType::Float64, Float64Type).to_be_bytes().to_vec(),
        Type::DATE => {
            let days = primitive!(value, DataType::Date32, Date32Type);
            days.saturating_sub(EPOCH_DAYS).to_be_bytes().to_vec()
        }
        Type::TIME => {
            let kind = DataType::Time64(TimeUnit::Microsecond);
            primitive!(value, kind, Time64MicrosecondType).to_be_bytes().to_vec()
        }
        Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            let moment = match value.data_type() {
                DataType::Timestamp(_, Some(zone)) => {
                    let kind = DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::clone(zone)));
                    primitive!(value, kind, TimestampMicrosecondType)
                }
                _ => primitive!(value, micros, TimestampMicrosecondType),
            };
            moment.saturating_sub(EPOCH_MICROS).to_be_bytes().to_vec()
        }
        Type::BYTEA => bytes_of(value)?,
        Type::NUMERIC => numeric(&display(value, &ArrowFormat::default())?)?,
        _ => text(value)?,
    })
}

/// A decimal number in groups of four digits.
fn numeric(text: &str) -> PgWireResult<Vec<u8>> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let padded_whole = format!("{}{whole}", "0".repeat((4 - whole.len() % 4) % 4));
    let padded_fraction = format!("{fraction}{}", "0".repeat((4 - fraction.len() % 4) % 4));
    let all = format!("{padded_whole}{padded_fraction}");
    let mut groups = Vec::new();
    for group in all.as_bytes().chunks(4) {
        let group = std::str::from_utf8(group).map_err(unfit)?;
        groups.push(group.parse::<i16>().map_err(unfit)?);
    }
    let mut weight = i16::try_from(padded_whole.len() / 4).map_err(unfit)? - 1;
    while groups.first() == Some(&0) {
        groups.remove(0);
        weight -= 1;
    }
    while groups.last() == Some(&0) {
        groups.pop();
    }
    if groups.is_empty() {
        weight = 0;
    }
    let mut out = Vec::with_capacity(8 + 2 * groups.len());
    out.put_i16(i16::try_from(groups.len()).map_err(unfit)?);
    out.put_i16(weight);
    out.put_u16(if negative { 0x4000 } else { 0 });
    out.put_i16(i16::try_from(fraction.len()).map_err(unfit)?);
    groups.iter().for_each(|group| out.put_i16(*group));
    Ok(out)
}

/// A parameter's value from the wire.
pub(super) fn parameter(
    place: usize,
    bytes: Option<&[u8]>,
    kind: &Type,
    is_text: bool,
) -> PgWireResult<Parameter> {
    let Some(bytes) = bytes else { return Ok(Parameter::Null) };
    let wrong = || {
        let what = format!("parameter ${} is no valid {kind}", place + 1);
        error("ERROR", "22P02", what)
    };
    let value = if is_text { from_text(bytes, kind) } else { from_binary(bytes, kind) };
    value.ok_or_else(wrong)
}

fn from_text(bytes: &[u8], kind: &Type) -> Option<Parameter> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(match *kind {
        Type::BOOL => match text {
            "t" | "true" | "on" | "1" => Parameter::Boolean(true),
            "f" | "false" | "off" | "0" => Parameter::Boolean(false),
            _ => return None,
        },
        Type::INT2 | Type::INT4 | Type::INT8 => Parameter::Integer(text.parse().ok()?),
        Type::FLOAT4 | Type::FLOAT8 => Parameter::Real(text.parse().ok()?),
        _ => Parameter::Text(text.to_owned()),
    })
}

fn from_binary(bytes: &[u8], kind: &Type) -> Option<Parameter> {
    Some(match *kind {
        Type::BOOL => Parameter::Boolean(bytes.first().copied()? != 0),
        Type::INT2 => Parameter::Integer(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::INT4 => Parameter::Integer(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::INT8 => Parameter::Integer(i64::from_be_bytes(bytes.try_into().ok()?)),
        Type::FLOAT4 => Parameter::Real(f32::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::FLOAT8 => Parameter::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
            Parameter::Text(std::str::from_utf8(bytes).ok()?.to_owned())
        }
        Type::DATE => {
            let days = i32::from_be_bytes(bytes.try_into().ok()?).checked_add(EPOCH_DAYS)?;
            Parameter::Arrow(Arc::new(arrow::array::Date32Array::from(vec![days])))
        }
        Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            let micros = i64::from_be_bytes(bytes.try_into().ok()?).checked_add(EPOCH_MICROS)?;
            let moment = arrow::array::TimestampMicrosecondArray::from(vec![micros]);
            let zoned = *kind == Type::TIMESTAMPTZ;
            Parameter::Arrow(Arc::new(if zoned { moment.with_timezone_utc() } else { moment }))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::numeric;

    /// Against the bytes that PostgreSQL's documentation of `numeric_send` leads to.
    #[test]
    fn numerics_are_groups_of_four_digits() {
        let bytes = |text: &str| numeric(text).ok().unwrap_or_default();
        assert_eq!(bytes("0"), [0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes("0.00"), [0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(bytes("1"), [0, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(bytes("-12345.678"), [0, 3, 0, 1, 0x40, 0, 0, 3, 0, 1, 0x09, 0x29, 0x1a, 0x7c]);
        assert_eq!(bytes("0.0001"), [0, 1, 0xff, 0xff, 0, 0, 0, 4, 0, 1]);
    }
}
