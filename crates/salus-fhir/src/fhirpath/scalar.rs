use std::borrow::Cow;
use std::cmp::Ordering;

use rust_decimal::Decimal;

use crate::temporal::{Temporal, TimeOfDay};

/// A FHIRPath system value.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub enum Scalar<'a> {
    Boolean(bool),
    Integer(i64),
    Decimal(Decimal),
    String(Cow<'a, str>),
    Date(Temporal),
    DateTime(Temporal),
    Time(TimeOfDay),
    Quantity(Box<Quantity<'a>>),
}

/// A number with a unit: a UCUM code, or a calendar duration such as `month`.
#[derive(Debug, Clone)]
pub struct Quantity<'a> {
    /// The number.
    pub value: Decimal,
    /// The unit, `1` when there is none.
    pub unit: Cow<'a, str>,
}

impl Quantity<'_> {
    /// The singular of a calendar duration's word.
    pub(crate) fn calendar_unit(word: &str) -> Option<String> {
        let singular = word.strip_suffix('s').unwrap_or(word);
        matches!(
            singular,
            "year" | "month" | "week" | "day" | "hour" | "minute" | "second" | "millisecond"
        )
        .then(|| singular.to_owned())
    }

    /// Calendar durations from seconds down mean the same as their UCUM units.
    fn same_unit(&self, other: &Self) -> bool {
        fn plain(unit: &str) -> &str {
            match unit {
                "second" | "seconds" => "s",
                "millisecond" | "milliseconds" => "ms",
                other => other,
            }
        }
        plain(&self.unit) == plain(&other.unit)
    }
}

impl<'a> Scalar<'a> {
    /// The value as a number.
    pub(crate) fn number(&self) -> Option<Decimal> {
        match self {
            Self::Integer(i) => Some(Decimal::from(*i)),
            Self::Decimal(d) => Some(*d),
            _ => None,
        }
    }

    /// The same value, lent.
    pub(crate) fn lend(&'a self) -> Self {
        match self {
            Self::String(text) => Self::String(Cow::Borrowed(text.as_ref())),
            Self::Quantity(q) => Self::Quantity(Box::new(Quantity {
                value: q.value,
                unit: Cow::Borrowed(q.unit.as_ref()),
            })),
            other => other.clone(),
        }
    }

    /// `=`: none when it cannot be told.
    pub(crate) fn equal(&self, other: &Self) -> Option<bool> {
        match (self, other) {
            (Self::Boolean(a), Self::Boolean(b)) => Some(a == b),
            (Self::String(a), Self::String(b)) => Some(a == b),
            (Self::Quantity(a), Self::Quantity(b)) => a.same_unit(b).then(|| a.value == b.value),
            _ => match (self.number(), other.number()) {
                (Some(a), Some(b)) => Some(a == b),
                _ if self.is_temporal() && other.is_temporal() => {
                    self.temporal_order(other).map(|o| o == Ordering::Equal)
                }
                _ => Some(false),
            },
        }
    }

    /// `~`: case and whitespace do not count in text, nor differing precision in numbers.
    pub(crate) fn equivalent(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::String(a), Self::String(b)) => {
                let folded =
                    |t: &str| t.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
                folded(a) == folded(b)
            }
            _ => match (self.number(), other.number()) {
                (Some(a), Some(b)) => {
                    let places = a.normalize().scale().min(b.normalize().scale());
                    a.round_dp(places) == b.round_dp(places)
                }
                _ => self.equal(other) == Some(true),
            },
        }
    }

    fn is_temporal(&self) -> bool {
        matches!(self, Self::Date(_) | Self::DateTime(_) | Self::Time(_))
    }

    fn temporal_order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Date(a) | Self::DateTime(a), Self::Date(b) | Self::DateTime(b)) => a.compare(b),
            (Self::Time(a), Self::Time(b)) => a.compare(b),
            _ => None,
        }
    }

    /// `<` and its like. The outer result is none when the two are of kinds that have no order,
    /// the inner when their order cannot be told.
    pub(crate) fn order(&self, other: &Self) -> Option<Option<Ordering>> {
        match (self, other) {
            (Self::String(a), Self::String(b)) => Some(Some(a.cmp(b))),
            (Self::Quantity(a), Self::Quantity(b)) => {
                Some(a.same_unit(b).then(|| a.value.cmp(&b.value)))
            }
            (Self::Time(_), Self::Time(_))
            | (Self::Date(_) | Self::DateTime(_), Self::Date(_) | Self::DateTime(_)) => {
                Some(self.temporal_order(other))
            }
            // A date in text meets a typed one where the element's type is not known.
            (Self::String(text), Self::Date(b) | Self::DateTime(b)) => {
                Some(Temporal::parse(text)?.compare(b))
            }
            (Self::Date(a) | Self::DateTime(a), Self::String(text)) => {
                Some(a.compare(&Temporal::parse(text)?))
            }
            _ => Some(Some(self.number()?.cmp(&other.number()?))),
        }
    }

    /// The value as text, as `toString()` gives it.
    pub(crate) fn to_text(&self) -> Cow<'_, str> {
        match self {
            Self::Boolean(b) => Cow::Borrowed(if *b { "true" } else { "false" }),
            Self::Integer(i) => i.to_string().into(),
            Self::Decimal(d) => d.to_string().into(),
            Self::String(s) => Cow::Borrowed(s.as_ref()),
            Self::Date(t) | Self::DateTime(t) => t.to_string().into(),
            Self::Time(t) => t.to_string().into(),
            Self::Quantity(q) => format!("{} '{}'", q.value, q.unit).into(),
        }
    }
}
