use std::collections::BTreeSet;

use arrow::array::{Array, ArrayAccessor, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::boolean::{and, is_null, not, or};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use salus_dp::Column;
use salus_model::{Class, Classified, ColumnPath, Timestamp};
use serde::{Deserialize, Serialize};

use crate::profile::Profile;

/// How deep conditions may nest.
const MAX_DEPTH: usize = 16;
/// How many conditions a filter may have.
const MAX_CONDITIONS: usize = 256;
/// How many values a list may have.
const MAX_VALUES: usize = 4096;

/// A value that a column is compared with.
// Read through a JSON value: what serde buffers for untagged enums keeps no fractions of numbers that
// are read with arbitrary precision.
#[derive(Debug, Clone, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(untagged, try_from = "serde_json::Value")]
pub enum Literal {
    /// A number.
    Number(f64),
    /// Text; for columns of moments an RFC 3339 moment.
    Text(String),
}

impl TryFrom<serde_json::Value> for Literal {
    type Error = &'static str;

    fn try_from(value: serde_json::Value) -> Result<Self, Self::Error> {
        match value {
            serde_json::Value::String(text) => Ok(Self::Text(text)),
            serde_json::Value::Number(number) => {
                number.as_f64().map(Self::Number).ok_or("the number is too large")
            }
            _ => Err("a column is compared with a number or a text"),
        }
    }
}

/// How a column is compared with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Comparison {
    /// Equal.
    #[serde(rename = "=")]
    Equal,
    /// Different.
    #[serde(rename = "!=")]
    NotEqual,
    /// Less; for moments, before.
    #[serde(rename = "<")]
    Less,
    /// At most.
    #[serde(rename = "<=")]
    AtMost,
    /// More; for moments, after.
    #[serde(rename = ">")]
    More,
    /// At least.
    #[serde(rename = ">=")]
    AtLeast,
}

/// Which rows a question is about.
///
/// A condition on a missing value is false, and so is its negation by [`Predicate::Not`] of the
/// single condition: only [`Predicate::IsNull`] is true of a missing value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Predicate {
    /// A column against a value.
    Compare {
        /// The column.
        column: ColumnPath,
        /// How.
        is: Comparison,
        /// The value.
        value: Literal,
    },
    /// A column among values.
    In {
        /// The column.
        column: ColumnPath,
        /// The values.
        values: Vec<Literal>,
    },
    /// A column between two values, both included.
    Between {
        /// The column.
        column: ColumnPath,
        /// The lower.
        low: Literal,
        /// The higher.
        high: Literal,
    },
    /// A text column that contains a text.
    Contains {
        /// The column.
        column: ColumnPath,
        /// The text.
        text: String,
    },
    /// A text column that starts with a text.
    StartsWith {
        /// The column.
        column: ColumnPath,
        /// The text.
        text: String,
    },
    /// A text column that ends with a text.
    EndsWith {
        /// The column.
        column: ColumnPath,
        /// The text.
        text: String,
    },
    /// A column without a value.
    IsNull {
        /// The column.
        column: ColumnPath,
    },
    /// All of them.
    And(Vec<Predicate>),
    /// Any of them.
    Or(Vec<Predicate>),
    /// Not this one.
    Not(Box<Predicate>),
}

/// Why a filter is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PredicateError {
    /// The dataset's profile does not know the column.
    #[error("column '{column}' is not in the dataset's privacy profile")]
    UnknownColumn {
        /// The column.
        column: ColumnPath,
    },
    /// The value does not fit the column.
    #[error("column '{column}' is compared with {wanted}")]
    Value {
        /// The column.
        column: ColumnPath,
        /// What it can be compared with.
        wanted: &'static str,
    },
    /// Too many or too deep conditions.
    #[error(
        "a filter has at most {MAX_CONDITIONS} conditions, {MAX_DEPTH} deep, lists of {MAX_VALUES}"
    )]
    Large,
    /// A list of conditions or values without any.
    #[error("'and', 'or' and 'in' need at least one entry")]
    Empty,
}

impl Classified for PredicateError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// What a column's values are compared as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Instant,
    Text,
}

fn kind(column: &Column) -> Kind {
    match column {
        Column::Number(_) => Kind::Number,
        Column::Instant(_) => Kind::Instant,
        Column::Category(_) | Column::Open => Kind::Text,
    }
}

fn moment(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_micros)
}

impl Predicate {
    /// Whether the filter fits what is publicly known of the dataset.
    pub(crate) fn check(&self, profile: &Profile) -> Result<(), PredicateError> {
        let mut conditions = 0;
        self.check_within(profile, 0, &mut conditions)
    }

    fn check_within(
        &self,
        profile: &Profile,
        depth: usize,
        conditions: &mut usize,
    ) -> Result<(), PredicateError> {
        *conditions += 1;
        if depth > MAX_DEPTH || *conditions > MAX_CONDITIONS {
            return Err(PredicateError::Large);
        }
        match self {
            Self::And(parts) | Self::Or(parts) => {
                if parts.is_empty() {
                    return Err(PredicateError::Empty);
                }
                parts.iter().try_for_each(|p| p.check_within(profile, depth + 1, conditions))
            }
            Self::Not(part) => part.check_within(profile, depth + 1, conditions),
            Self::Compare { column, value, .. } => fits(profile, column, value),
            Self::In { column, values } => {
                if values.is_empty() {
                    return Err(PredicateError::Empty);
                }
                if values.len() > MAX_VALUES {
                    return Err(PredicateError::Large);
                }
                values.iter().try_for_each(|value| fits(profile, column, value))
            }
            Self::Between { column, low, high } => {
                fits(profile, column, low)?;
                fits(profile, column, high)
            }
            Self::Contains { column, .. }
            | Self::StartsWith { column, .. }
            | Self::EndsWith { column, .. } => match kind(known(profile, column)?) {
                Kind::Text => Ok(()),
                _ => Err(PredicateError::Value { column: column.clone(), wanted: "no text" }),
            },
            Self::IsNull { column } => known(profile, column).map(|_| ()),
        }
    }

    /// The columns that the filter looks at.
    pub(crate) fn name_columns(&self, columns: &mut BTreeSet<ColumnPath>) {
        match self {
            Self::And(parts) | Self::Or(parts) => {
                parts.iter().for_each(|p| p.name_columns(columns));
            }
            Self::Not(part) => part.name_columns(columns),
            Self::Compare { column, .. }
            | Self::In { column, .. }
            | Self::Between { column, .. }
            | Self::Contains { column, .. }
            | Self::StartsWith { column, .. }
            | Self::EndsWith { column, .. }
            | Self::IsNull { column } => {
                columns.insert(column.clone());
            }
        }
    }

    /// Which rows of a batch pass.
    pub(crate) fn passes(&self, batch: &RecordBatch) -> Result<BooleanArray, ArrowError> {
        match self {
            Self::And(parts) => fold(parts, batch, true, and),
            Self::Or(parts) => fold(parts, batch, false, or),
            Self::Not(part) => match part.as_ref() {
                Self::And(_) | Self::Or(_) | Self::Not(_) | Self::IsNull { .. } => {
                    not(&part.passes(batch)?)
                }
                condition => {
                    let absent = is_null(&column(batch, condition.single())?)?;
                    and(&not(&part.passes(batch)?)?, &not(&absent)?)
                }
            },
            Self::IsNull { column: name } => is_null(&column(batch, Some(name))?),
            Self::Compare { column: name, is, value } => {
                let array = column(batch, Some(name))?;
                each(&array, value, |order| compares(*is, order))
            }
            Self::In { column: name, values } => {
                let array = column(batch, Some(name))?;
                let mut found = BooleanArray::from(vec![false; array.len()]);
                for value in values {
                    let equal =
                        each(&array, value, |order| order == Some(std::cmp::Ordering::Equal))?;
                    found = or(&found, &equal)?;
                }
                Ok(found)
            }
            Self::Between { column: name, low, high } => {
                let array = column(batch, Some(name))?;
                let above = each(&array, low, |order| compares(Comparison::AtLeast, order))?;
                let below = each(&array, high, |order| compares(Comparison::AtMost, order))?;
                and(&above, &below)
            }
            Self::Contains { column: name, text } => {
                texts(&column(batch, Some(name))?, |value| value.contains(text.as_str()))
            }
            Self::StartsWith { column: name, text } => {
                texts(&column(batch, Some(name))?, |value| value.starts_with(text.as_str()))
            }
            Self::EndsWith { column: name, text } => {
                texts(&column(batch, Some(name))?, |value| value.ends_with(text.as_str()))
            }
        }
    }

    pub(crate) const fn single(&self) -> Option<&ColumnPath> {
        match self {
            Self::And(_) | Self::Or(_) | Self::Not(_) => None,
            Self::Compare { column, .. }
            | Self::In { column, .. }
            | Self::Between { column, .. }
            | Self::Contains { column, .. }
            | Self::StartsWith { column, .. }
            | Self::EndsWith { column, .. }
            | Self::IsNull { column } => Some(column),
        }
    }
}

fn known<'p>(profile: &'p Profile, column: &ColumnPath) -> Result<&'p Column, PredicateError> {
    let unknown = || PredicateError::UnknownColumn { column: column.clone() };
    profile.schema.columns.get(column).ok_or_else(unknown)
}

fn fits(profile: &Profile, column: &ColumnPath, value: &Literal) -> Result<(), PredicateError> {
    let wanted = |wanted| Err(PredicateError::Value { column: column.clone(), wanted });
    match (kind(known(profile, column)?), value) {
        (Kind::Number, Literal::Number(n)) if n.is_finite() => Ok(()),
        (Kind::Number, _) => wanted("numbers"),
        (Kind::Instant, Literal::Text(text)) if moment(text).is_some() => Ok(()),
        (Kind::Instant, _) => wanted("moments such as \"2026-01-31T00:00:00Z\""),
        (Kind::Text, Literal::Text(_)) => Ok(()),
        (Kind::Text, Literal::Number(_)) => wanted("texts"),
    }
}

fn fold(
    parts: &[Predicate],
    batch: &RecordBatch,
    empty: bool,
    join: impl Fn(&BooleanArray, &BooleanArray) -> Result<BooleanArray, ArrowError>,
) -> Result<BooleanArray, ArrowError> {
    let mut all = BooleanArray::from(vec![empty; batch.num_rows()]);
    for part in parts {
        all = join(&all, &part.passes(batch)?)?;
    }
    Ok(all)
}

pub(crate) fn column(
    batch: &RecordBatch,
    name: Option<&ColumnPath>,
) -> Result<ArrayRef, ArrowError> {
    let name = name.map_or("", ColumnPath::as_str);
    let missing = || ArrowError::SchemaError(format!("column '{name}' was not read"));
    batch.column_by_name(name).cloned().ok_or_else(missing)
}

fn compares(is: Comparison, order: Option<std::cmp::Ordering>) -> bool {
    match (is, order) {
        (_, None) => false,
        (Comparison::Equal, Some(o)) => o.is_eq(),
        (Comparison::NotEqual, Some(o)) => o.is_ne(),
        (Comparison::Less, Some(o)) => o.is_lt(),
        (Comparison::AtMost, Some(o)) => o.is_le(),
        (Comparison::More, Some(o)) => o.is_gt(),
        (Comparison::AtLeast, Some(o)) => o.is_ge(),
    }
}

/// A value that does not fit becomes null: no value of a row makes an answer fail.
const SAFE: CastOptions<'_> =
    CastOptions { safe: true, format_options: arrow::util::display::FormatOptions::new() };

pub(crate) fn as_numbers(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, &DataType::Float64, &SAFE)
}

pub(crate) fn as_moments(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, &DataType::Timestamp(TimeUnit::Microsecond, None), &SAFE)
}

pub(crate) fn as_texts(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, &DataType::Utf8, &SAFE)
}

fn is_moments(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
}

/// Compares every value with a literal; a missing value passes nothing.
fn each(
    array: &ArrayRef,
    value: &Literal,
    verdict: impl Fn(Option<std::cmp::Ordering>) -> bool,
) -> Result<BooleanArray, ArrowError> {
    let rows = array.len();
    let passes = match value {
        Literal::Number(number) => {
            let array = as_numbers(array)?;
            let values = array.as_primitive::<Float64Type>();
            BooleanBuffer::collect_bool(rows, |row| {
                verdict(known_at(values, row).and_then(|v| v.partial_cmp(number)))
            })
        }
        Literal::Text(text) => match moment(text).filter(|_| is_moments(array.data_type())) {
            Some(moment) => {
                let array = as_moments(array)?;
                let values = array.as_primitive::<TimestampMicrosecondType>();
                BooleanBuffer::collect_bool(rows, |row| {
                    verdict(known_at(values, row).map(|v| v.cmp(&moment)))
                })
            }
            None => {
                let array = as_texts(array)?;
                let values = array.as_string::<i32>();
                BooleanBuffer::collect_bool(rows, |row| {
                    verdict(known_at(values, row).map(|v| v.cmp(text.as_str())))
                })
            }
        },
    };
    Ok(BooleanArray::new(passes, None))
}

/// A row's value, if it has one.
fn known_at<A: ArrayAccessor>(values: A, row: usize) -> Option<A::Item> {
    values.is_valid(row).then(|| values.value(row))
}

fn texts(array: &ArrayRef, verdict: impl Fn(&str) -> bool) -> Result<BooleanArray, ArrowError> {
    let texts = as_texts(array)?;
    let passes: Vec<bool> =
        texts.as_string::<i32>().iter().map(|v| v.is_some_and(&verdict)).collect();
    Ok(BooleanArray::from(passes))
}
