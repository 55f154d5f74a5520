use std::fmt;
use std::sync::Arc;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::definitions::{Primitive, TypeId, definitions};
use crate::fhirpath::Scalar;
use crate::temporal::{Temporal, TimeOfDay};

/// One cell of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// `boolean`.
    Boolean(bool),
    /// `integer`, `positiveInt`, `unsignedInt`, `integer64`.
    Integer(i64),
    /// `decimal`, exact, with the places that were written.
    Decimal(Decimal),
    /// Any type whose value is text.
    String(Arc<str>),
    /// `date`, as precise as it was written.
    Date(Temporal),
    /// `dateTime`, as precise as it was written.
    DateTime(Temporal),
    /// `instant`.
    Instant(Temporal),
    /// `time`.
    Time(TimeOfDay),
    /// The values of a collection column, in order; empty when there are none.
    List(Vec<Value>),
}

/// How a column's values are represented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// [`Value::Boolean`].
    Boolean,
    /// [`Value::Integer`].
    Integer,
    /// [`Value::Decimal`].
    Decimal,
    /// [`Value::String`].
    String,
    /// [`Value::Date`].
    Date,
    /// [`Value::DateTime`].
    DateTime,
    /// [`Value::Instant`].
    Instant,
    /// [`Value::Time`].
    Time,
}

impl ColumnType {
    pub(super) fn of_primitive(primitive: Primitive) -> Self {
        match primitive {
            Primitive::Boolean => Self::Boolean,
            Primitive::Integer | Primitive::PositiveInt | Primitive::UnsignedInt => Self::Integer,
            Primitive::Decimal => Self::Decimal,
            Primitive::Date => Self::Date,
            Primitive::DateTime => Self::DateTime,
            Primitive::Instant => Self::Instant,
            Primitive::Time => Self::Time,
            _ => Self::String,
        }
    }

    pub(super) fn of_type(id: TypeId) -> Option<Self> {
        definitions().primitive(id).map(Self::of_primitive)
    }

    /// A FHIR type's name, or a System type's.
    pub(super) fn named(name: &str) -> Option<Self> {
        let name = name.strip_prefix("http://hl7.org/fhir/StructureDefinition/").unwrap_or(name);
        match name {
            // R5's, which R4 resources do not have but views may name.
            "integer64" => Some(Self::Integer),
            "http://hl7.org/fhirpath/System.String" => Some(Self::String),
            _ => Self::of_type(definitions().type_named(name)?),
        }
    }

    /// The FHIR type that stands for it in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Decimal => "decimal",
            Self::String => "string",
            Self::Date => "date",
            Self::DateTime => "dateTime",
            Self::Instant => "instant",
            Self::Time => "time",
        }
    }

    /// The value in this representation; none when it has no such form.
    pub(super) fn convert(self, from: &Scalar<'_>) -> Option<Value> {
        let text = |text: &str| Some(Value::String(Arc::from(text)));
        match (self, from) {
            (Self::String, Scalar::String(s)) => text(s),
            (Self::String, other) => text(&other.to_text()),
            (Self::Boolean, Scalar::Boolean(b)) => Some(Value::Boolean(*b)),
            (Self::Integer, Scalar::Integer(i)) => Some(Value::Integer(*i)),
            (Self::Integer, Scalar::Decimal(d)) if d.is_integer() => d.to_i64().map(Value::Integer),
            (Self::Decimal, Scalar::Integer(i)) => Some(Value::Decimal(Decimal::from(*i))),
            (Self::Decimal, Scalar::Decimal(d)) => Some(Value::Decimal(*d)),
            (Self::Date, Scalar::Date(t)) => Some(Value::Date(*t)),
            (Self::Date, Scalar::DateTime(t)) => Some(Value::Date(t.date())),
            (Self::DateTime, Scalar::Date(t) | Scalar::DateTime(t)) => Some(Value::DateTime(*t)),
            (Self::Instant, Scalar::Date(t) | Scalar::DateTime(t)) => Some(Value::Instant(*t)),
            (Self::Time, Scalar::Time(t)) => Some(Value::Time(*t)),
            (Self::Date, Scalar::String(s)) => Temporal::parse(s).map(|t| Value::Date(t.date())),
            (Self::DateTime, Scalar::String(s)) => Temporal::parse(s).map(Value::DateTime),
            (Self::Instant, Scalar::String(s)) => Temporal::parse(s).map(Value::Instant),
            (Self::Time, Scalar::String(s)) => TimeOfDay::parse(s).map(Value::Time),
            _ => None,
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A column of a view's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, safe as an SQL identifier.
    pub name: String,
    /// The FHIR type that the view names or that the path implies, such as `code`.
    pub fhir_type: String,
    /// How its values are represented.
    pub kind: ColumnType,
    /// Whether every cell is a [`Value::List`].
    pub collection: bool,
    /// What the view says about the column.
    pub description: Option<String>,
    /// The view's tags on the column, name and value.
    pub tags: Vec<(String, String)>,
}

impl Column {
    /// The value of the tag called `name`.
    #[must_use]
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}
