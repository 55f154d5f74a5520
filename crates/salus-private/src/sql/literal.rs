use std::str::FromStr as _;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use rust_decimal::Decimal;
use salus_model::{ColumnPath, Timestamp};
use sqlparser::ast::{DataType, Expr, Ident, Spanned as _, TypedString, UnaryOperator, Value};

use super::error::{Place, SqlError};
use super::{Edge, Places};
use crate::predicate::Literal;

/// What the names of a statement mean: the dataset's own name and its alias may precede a column's.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) tables: Vec<String>,
    pub(super) places: Places,
}

/// How an identifier reads: as it is within quotes, in lower case without.
pub(super) fn folded(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

impl Scope {
    pub(super) fn place(&self, expr: &Expr) -> Place {
        Place::of(expr.span(), self.places.ask)
    }

    /// The column that an expression names, if it names one.
    pub(super) fn column(&mut self, expr: &Expr) -> Option<Result<ColumnPath, SqlError>> {
        let parts: Vec<String> = match expr {
            Expr::Identifier(ident) => vec![folded(ident)],
            Expr::CompoundIdentifier(idents) => idents.iter().map(folded).collect(),
            Expr::Nested(inner) => return self.column(inner),
            _ => return None,
        };
        let place = self.place(expr);
        let own = match parts.as_slice() {
            [table, rest @ ..] if !rest.is_empty() && self.tables.contains(table) => rest,
            all => all,
        };
        Some(match ColumnPath::new(own.join(".")) {
            Ok(column) => {
                self.places.columns.entry(column.clone()).or_insert(place);
                Ok(column)
            }
            Err(e) => Err(SqlError { place, fault: e.into() }),
        })
    }

    /// The column that must stand here.
    pub(super) fn wanted_column(&mut self, expr: &Expr) -> Result<ColumnPath, SqlError> {
        self.column(expr).unwrap_or_else(|| Err(self.no_column(expr)))
    }

    pub(super) fn no_column(&self, expr: &Expr) -> SqlError {
        SqlError::outside(
            self.place(expr),
            "an expression over columns",
            "name one column: values are used as they are stored",
        )
    }

    /// The value that must stand here, to be compared with `column`.
    pub(super) fn literal(
        &mut self,
        expr: &Expr,
        column: &ColumnPath,
    ) -> Result<Literal, SqlError> {
        let place = self.place(expr);
        match expr {
            Expr::Nested(inner) => self.literal(inner, column),
            Expr::Value(value) => plain(&value.value, place),
            Expr::UnaryOp { .. } => {
                let number = signed(expr).and_then(|text| number(&text));
                number.map(Literal::Number).ok_or_else(|| {
                    SqlError::outside(place, "this sign", "a sign stands before a number only")
                })
            }
            Expr::TypedString(typed) => {
                let moment = moment(typed, place)?;
                self.places.moments.entry(column.clone()).or_insert(place);
                Ok(Literal::Text(moment.to_string()))
            }
            Expr::Identifier(Ident { quote_style: Some('"'), value, .. }) => {
                Err(SqlError::outside(
                    place,
                    "a column in the place of a value",
                    format!("texts stand in single quotes: '{value}'"),
                ))
            }
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => Err(SqlError::outside(
                place,
                "a comparison of two columns",
                "compare each with a value; texts stand in single quotes",
            )),
            Expr::Function(_) | Expr::Interval(_) | Expr::BinaryOp { .. } | Expr::Cast { .. } => {
                Err(SqlError::outside(
                    place,
                    "a computed value",
                    "write the value itself, such as 20, 'text' or DATE '2026-01-31'",
                ))
            }
            Expr::Subquery(_) => Err(subquery(place)),
            _ => Err(SqlError::outside(
                place,
                "this",
                "write a value: 20, 'text', TRUE or DATE '2026-01-31'",
            )),
        }
    }
}

pub(super) fn subquery(place: Place) -> SqlError {
    SqlError::outside(place, "a subquery", "ask one question of one dataset")
}

fn plain(value: &Value, place: Place) -> Result<Literal, SqlError> {
    match value {
        Value::Number(text, _) => number(text).map(Literal::Number).ok_or_else(|| {
            SqlError::outside(place, format!("the number {text}"), "write it in decimals")
        }),
        Value::SingleQuotedString(text) => Ok(Literal::Text(text.clone())),
        // As a column of truth values reads as text.
        Value::Boolean(truth) => Ok(Literal::Text(truth.to_string())),
        Value::Null => Err(SqlError::outside(
            place,
            "a comparison with NULL, which is never true,",
            "write IS NULL or IS NOT NULL",
        )),
        Value::Placeholder(_) => Err(SqlError::outside(
            place,
            "a parameter",
            "write the value itself: the text is what is signed",
        )),
        _ => Err(SqlError::outside(
            place,
            "this kind of text",
            "write an ordinary text in single quotes",
        )),
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|n: &f64| n.is_finite())
}

/// A number's text, with its sign.
fn signed(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Nested(inner) => signed(inner),
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => Some(text.clone()),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => signed(expr),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            signed(expr).filter(|text| !text.starts_with('-')).map(|text| format!("-{text}"))
        }
        _ => None,
    }
}

/// A number that counts something.
pub(super) fn whole(expr: &Expr) -> Option<u32> {
    signed(expr)?.parse().ok()
}

/// A number between two others.
pub(super) fn fraction(expr: &Expr) -> Option<f64> {
    number(&signed(expr)?)
}

/// A bin's edge, without rounding.
pub(super) fn edge(expr: &Expr, or: Place) -> Result<Edge, SqlError> {
    let place = Place::of(expr.span(), or);
    let refused =
        || SqlError::outside(place, "this edge", "write a number, or DATE '2026-01-31' for dates");
    match expr {
        Expr::Nested(inner) => edge(inner, or),
        Expr::TypedString(typed) => Ok(Edge::Moment(moment(typed, place)?)),
        Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)) => {
            let Value::SingleQuotedString(text) = &value.value else { return Err(refused()) };
            read_moment(text).map(Edge::Moment).ok_or_else(refused)
        }
        _ => {
            let text = signed(expr).ok_or_else(refused)?;
            Decimal::from_str(&text)
                .or_else(|_| Decimal::from_scientific(&text))
                .map(|d| Edge::Number(d.normalize()))
                .map_err(|_| refused())
        }
    }
}

fn moment(typed: &TypedString, place: Place) -> Result<Timestamp, SqlError> {
    let refused = || {
        SqlError::outside(
            place,
            "this date",
            "write DATE '2026-01-31' or TIMESTAMP '2026-01-31 08:30:00' (UTC)",
        )
    };
    let Value::SingleQuotedString(text) = &typed.value.value else { return Err(refused()) };
    let read = match typed.data_type {
        DataType::Date => date(text),
        DataType::Timestamp(..) => read_moment(text),
        _ => None,
    };
    read.ok_or_else(refused)
}

fn in_utc(at: NaiveDateTime) -> Option<Timestamp> {
    Timestamp::from_micros(at.and_utc().timestamp_micros()).ok()
}

fn date(text: &str) -> Option<Timestamp> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    in_utc(day.and_time(NaiveTime::MIN))
}

/// A moment as people write it; without a zone it is UTC.
pub(super) fn read_moment(text: &str) -> Option<Timestamp> {
    if let Ok(moment) = text.replacen(' ', "T", 1).parse() {
        return Some(moment);
    }
    ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .and_then(in_utc)
        .or_else(|| date(text))
}
