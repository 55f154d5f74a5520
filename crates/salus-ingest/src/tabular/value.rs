use chrono::{DateTime, NaiveDate, NaiveDateTime};

use super::schema::{Column, ColumnKind, Requirement};

/// A value that has been read as its column's type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Text(String),
    Integer(i64),
    Number(f64),
    Boolean(bool),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
}

/// Why a value does not fit its column. It never holds the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Unfit {
    /// No value in a required column.
    #[error("a value is required and missing")]
    Missing,
    /// Not a whole number of 64 bits.
    #[error("is not a whole number of 64 bits")]
    Integer,
    /// Not a finite number.
    #[error("is not a finite number")]
    Number,
    /// Neither true nor false.
    #[error("is neither true nor false (true, false, yes, no, t, f, y, n, 1, 0)")]
    Boolean,
    /// Not a date.
    #[error("is not a date of the form YYYY-MM-DD")]
    Date,
    /// Not a moment.
    #[error("is not a time of the form YYYY-MM-DDThh:mm:ss with an offset or Z")]
    Timestamp,
    /// Below `min`.
    #[error("is below the column's min")]
    BelowMin,
    /// Above `max`.
    #[error("is above the column's max")]
    AboveMax,
    /// Not among `values`.
    #[error("is not among the column's values")]
    NotListed,
    /// A list or object where one value is wanted.
    #[error("is a list or an object where one value is wanted")]
    Nested,
    /// A row with another number of fields than the header.
    #[error("the row has another number of fields than the header")]
    FieldCount,
    /// A field that the schema does not name; its value would be lost.
    #[error("the line has a field that the schema does not name")]
    UnknownField,
    /// A line that is no JSON object.
    #[error("the line is no JSON object")]
    NotJson,
    /// Text that is not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
}

/// Reads one field as its column's type, and checks the column's bounds.
pub(crate) fn read(column: &Column, kind: ColumnKind, text: Option<&str>) -> Result<Value, Unfit> {
    let text = text.filter(|t| !t.is_empty());
    let value = text.map_or(Ok(Value::Null), |text| read_one(kind, text))?;
    check(column, &value)?;
    Ok(value)
}

/// Whether a value satisfies what its column asks beyond its type.
pub(crate) fn check(column: &Column, value: &Value) -> Result<(), Unfit> {
    match value {
        Value::Null if column.required == Requirement::Required => Err(Unfit::Missing),
        Value::Text(text) if !column.values.is_empty() && !column.values.contains(text) => {
            Err(Unfit::NotListed)
        }
        #[allow(clippy::cast_precision_loss, reason = "bounds are given as f64")]
        Value::Integer(n) => within(column, *n as f64),
        Value::Number(n) => within(column, *n),
        _ => Ok(()),
    }
}

/// Reads a value that is not missing.
pub(crate) fn read_one(kind: ColumnKind, text: &str) -> Result<Value, Unfit> {
    match kind {
        ColumnKind::Text => Ok(Value::Text(text.to_owned())),
        ColumnKind::Integer => {
            text.trim().parse::<i64>().map(Value::Integer).map_err(|_| Unfit::Integer)
        }
        ColumnKind::Number => {
            let n = text.trim().parse::<f64>().ok().filter(|n| n.is_finite());
            n.map(Value::Number).ok_or(Unfit::Number)
        }
        ColumnKind::Boolean => boolean(text.trim()).map(Value::Boolean).ok_or(Unfit::Boolean),
        ColumnKind::Date => date(text.trim()).map(Value::Date).ok_or(Unfit::Date),
        ColumnKind::Timestamp => {
            timestamp(text.trim()).map(Value::Timestamp).ok_or(Unfit::Timestamp)
        }
    }
}

fn within(column: &Column, n: f64) -> Result<(), Unfit> {
    if column.min.is_some_and(|min| n < min) {
        return Err(Unfit::BelowMin);
    }
    if column.max.is_some_and(|max| n > max) {
        return Err(Unfit::AboveMax);
    }
    Ok(())
}

pub(crate) fn boolean(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|w| w.eq_ignore_ascii_case(text));
    if is(&["true", "t", "yes", "y", "1"]) {
        Some(true)
    } else if is(&["false", "f", "no", "n", "0"]) {
        Some(false)
    } else {
        None
    }
}

pub(crate) fn date(text: &str) -> Option<i32> {
    let strict = text.len() == 10;
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| strict)?;
    let days = day.signed_duration_since(NaiveDate::default()).num_days();
    i32::try_from(days).ok()
}

pub(crate) fn timestamp(text: &str) -> Option<i64> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Some(moment.timestamp_micros());
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .map(|moment| moment.and_utc().timestamp_micros())
}
