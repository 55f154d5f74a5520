use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use rust_decimal::Decimal;
use salus_dp::{Bounds, Column, Edges, Query, Rank};
use salus_model::{Class, Classified, ColumnPath, Timestamp};
use sqlparser::ast::{Expr, SelectItem};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::{Ask, Bins, Edge, Period, Place, Places, Statement};
use crate::predicate::{Comparison, Literal, Predicate};
use crate::profile::Profile;
use crate::question::Question;

/// Why a question cannot be said in SQL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The histogram's column has no bounds in the profile.
    #[error("column '{column}' has no bounds in the dataset's profile, so its bins have no values")]
    Bounds {
        /// The column.
        column: ColumnPath,
    },
    /// The subset has no thresholds.
    #[error("SQL has no word for the threshold of open groups; keep the question as JSON")]
    Threshold,
    /// A number that no text says, or a list without entries.
    #[error("the filter has a number that is not finite, or a list without entries")]
    Filter,
}

impl Classified for RenderError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// A question's text; spend and noise are not part of it.
///
/// Parsed again, and fitted to the same profile, it is the same question.
///
/// # Errors
/// When the question does not fit the profile, or says what SQL does not.
pub fn render(question: &Question, profile: &Profile) -> Result<String, RenderError> {
    Statement::of(question, profile).map(|statement| statement.to_string())
}

impl Statement {
    /// The statement that asks a question.
    ///
    /// # Errors
    /// As [`render`].
    pub fn of(question: &Question, profile: &Profile) -> Result<Self, RenderError> {
        let bounds = |column: &ColumnPath| match profile.schema.columns.get(column) {
            Some(Column::Number(bounds)) => Ok((*bounds, false)),
            Some(Column::Instant(bounds)) => Ok((*bounds, true)),
            _ => Err(RenderError::Bounds { column: column.clone() }),
        };
        let ask = match &question.query {
            Query::DistinctUnits => {
                Ask::Query(Query::DistinctCount { column: profile.unit_column.clone() })
            }
            Query::Histogram { column, edges } => {
                let (bounds, dates) = bounds(column)?;
                Ask::Histogram { column: column.clone(), bins: bins(edges, bounds, dates) }
            }
            Query::GroupedCount { threshold_delta: Some(_), .. }
            | Query::TopK { threshold_delta: Some(_), .. } => return Err(RenderError::Threshold),
            other => Ask::Query(other.clone()),
        };
        if question.filter.as_ref().is_some_and(|f| !sayable(f)) {
            return Err(RenderError::Filter);
        }
        let moments = profile
            .schema
            .columns
            .iter()
            .filter(|(_, column)| matches!(column, Column::Instant(_)))
            .map(|(name, _)| (name.clone(), Place::default()))
            .collect();
        Ok(Self {
            dataset: question.dataset.clone(),
            ask,
            filter: question.filter.clone(),
            places: Places { moments, ..Places::default() },
        })
    }
}

fn bins(edges: &Edges, bounds: Bounds, dates: bool) -> Bins {
    if let Ok(n) = u32::try_from(edges.bins())
        && Edges::equal(bounds, n).as_ref() == Ok(edges)
    {
        return Bins::Equal(n);
    }
    let (_, _, decimals) = bounds.into();
    let edge = |&step: &i64| match Timestamp::from_micros(step.saturating_mul(1_000_000)) {
        Ok(moment) if dates => Edge::Moment(moment),
        _ => Edge::Number(Decimal::new(step, decimals.into()).normalize()),
    };
    let inner = edges.steps().get(1..edges.bins()).unwrap_or_default();
    Bins::At(inner.iter().map(edge).collect())
}

fn sayable(filter: &Predicate) -> bool {
    let number = |value: &Literal| match value {
        Literal::Number(n) => n.is_finite(),
        Literal::Text(_) => true,
    };
    match filter {
        Predicate::And(parts) | Predicate::Or(parts) => {
            !parts.is_empty() && parts.iter().all(sayable)
        }
        Predicate::Not(part) => sayable(part),
        Predicate::Compare { value, .. } => number(value),
        Predicate::In { values, .. } => !values.is_empty() && values.iter().all(number),
        Predicate::Between { low, high, .. } => number(low) && number(high),
        _ => true,
    }
}

/// A name, in quotes where it would read as something else without.
struct Name<'a>(&'a str);

impl Name<'_> {
    /// Whether the parser takes the bare word for this column, wherever a column may stand.
    fn is_plain(&self) -> bool {
        let mut chars = self.0.chars();
        let word = chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
            && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let is_it = |expr: &Expr| matches!(expr, Expr::Identifier(i) if i.value == self.0);
        let parsed = |text: String| {
            Parser::new(&PostgreSqlDialect {}).try_with_sql(&text).and_then(|mut p| p.parse_expr())
        };
        word && parsed(format!("{} IS NULL AND {} < 1", self.0, self.0)).is_ok_and(|e| match e {
            Expr::BinaryOp { left, right, .. } => {
                matches!(*left, Expr::IsNull(inner) if is_it(&inner))
                    && matches!(*right, Expr::BinaryOp { left, .. } if is_it(&left))
            }
            _ => false,
        }) && Parser::new(&PostgreSqlDialect {})
            .try_with_sql(&format!("{}, count(*)", self.0))
            .and_then(|mut p| p.parse_projection())
            .is_ok_and(
                |items| matches!(items.as_slice(), [SelectItem::UnnamedExpr(e), _] if is_it(e)),
            )
            && Parser::parse_sql(
                &PostgreSqlDialect {},
                &format!(
                    "SELECT count(*) FROM {} WHERE {} = 1 GROUP BY {}",
                    self.0, self.0, self.0
                ),
            )
            .is_ok()
    }
}

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_plain() {
            f.write_str(self.0)
        } else {
            write!(f, "\"{}\"", self.0.replace('"', "\"\""))
        }
    }
}

fn name(column: &ColumnPath) -> Name<'_> {
    Name(column.as_str())
}

/// A text in single quotes.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0.replace('\'', "''"))
    }
}

/// A moment as `DATE` where it is midnight, and as `TIMESTAMP` otherwise.
struct Moment(Timestamp);

impl Display for Moment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let (day, time) = text.split_once('T').unwrap_or((&text, ""));
        let time = time.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
        match self.0.as_micros().rem_euclid(86_400_000_000) {
            0 => write!(f, "DATE '{day}'"),
            _ => write!(f, "TIMESTAMP '{day} {time}'"),
        }
    }
}

impl Display for Edge {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Moment(moment) => Moment(*moment).fmt(f),
        }
    }
}

impl Display for Period {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Year => "year",
            Self::Quarter => "quarter",
            Self::Month => "month",
            Self::Week => "week",
            Self::Day => "day",
            Self::Hour => "hour",
        })
    }
}

fn list<T: Display>(f: &mut Formatter<'_>, items: impl IntoIterator<Item = T>) -> fmt::Result {
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("SELECT ")?;
        self.ask.select(f)?;
        write!(f, "\nFROM {}", Name(self.dataset.as_str()))?;
        if let Some(filter) = &self.filter {
            f.write_str("\nWHERE ")?;
            let moments = &self.places.moments;
            Condition { predicate: filter, moments, place: Within::Alone }.fmt(f)?;
        }
        self.ask.groups(f)
    }
}

impl Ask {
    fn select(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let query = match self {
            Self::Query(query) => query,
            Self::Histogram { column, bins } => return bins.select(name(column), f),
        };
        match query {
            // Units are counted by the profile's column, which `Statement::of` has put in place.
            Query::Count | Query::DistinctUnits | Query::Histogram { .. } => {
                f.write_str("count(*)")
            }
            Query::DistinctCount { column } => write!(f, "count(DISTINCT {})", name(column)),
            Query::GroupedCount { keys, .. } | Query::TopK { keys, .. } => {
                list(f, keys.iter().map(name))?;
                f.write_str(", count(*)")
            }
            Query::Sum { column } => write!(f, "sum({})", name(column)),
            Query::Mean { column } => write!(f, "avg({})", name(column)),
            Query::Variance { column } => {
                let column = name(column);
                write!(f, "var_pop({column}), stddev_pop({column}), avg({column})")
            }
            Query::Minimum { column } => write!(f, "min({})", name(column)),
            Query::Maximum { column } => write!(f, "max({})", name(column)),
            Query::Quantiles { column, ranks } => {
                list(f, ranks.iter().map(|rank| QuantileOf(column, *rank)))
            }
            Query::LinearRegression { x, y } => {
                let (x, y) = (name(x), name(y));
                write!(f, "regr_slope({y}, {x}), regr_intercept({y}, {x})")
            }
        }
    }

    fn groups(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(Query::GroupedCount { keys, .. }) => {
                f.write_str("\nGROUP BY ")?;
                list(f, keys.iter().map(name))
            }
            Self::Query(Query::TopK { keys, k, .. }) => {
                f.write_str("\nGROUP BY ")?;
                list(f, keys.iter().map(name))?;
                write!(f, "\nORDER BY count(*) DESC\nLIMIT {k}")
            }
            Self::Histogram { bins: Bins::Between { .. } | Bins::Calendar(_), .. } => {
                f.write_str("\nGROUP BY 1")
            }
            _ => Ok(()),
        }
    }
}

struct QuantileOf<'a>(&'a ColumnPath, Rank);

impl Display for QuantileOf<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "quantile({}, {})", name(self.0), self.1.get())
    }
}

impl Bins {
    fn select(&self, column: Name<'_>, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal(n) => write!(f, "histogram({column}, {n})"),
            Self::At(edges) => {
                write!(f, "histogram({column}, ARRAY[")?;
                list(f, edges)?;
                f.write_str("])")
            }
            Self::Between { low, high, bins } => {
                write!(f, "width_bucket({column}, {low}, {high}, {bins}), count(*)")
            }
            Self::Calendar(period) => write!(f, "date_trunc('{period}', {column}), count(*)"),
        }
    }
}

/// Where a condition stands, which decides its parentheses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Alone,
    Joined,
}

struct Condition<'a> {
    predicate: &'a Predicate,
    moments: &'a BTreeMap<ColumnPath, Place>,
    place: Within,
}

impl Condition<'_> {
    fn joined(&self, f: &mut Formatter<'_>, parts: &[Predicate], word: &str) -> fmt::Result {
        let (open, close) = match (self.place, parts.len()) {
            (Within::Joined, 2..) => ("(", ")"),
            _ => ("", ""),
        };
        f.write_str(open)?;
        for (i, predicate) in parts.iter().enumerate() {
            if i > 0 {
                write!(f, " {word} ")?;
            }
            let place = if parts.len() == 1 { self.place } else { Within::Joined };
            Condition { predicate, place, ..*self }.fmt(f)?;
        }
        f.write_str(close)
    }

    fn negated(&self, f: &mut Formatter<'_>, part: &Predicate) -> fmt::Result {
        let inner = Condition { predicate: part, place: Within::Alone, ..*self };
        match part {
            Predicate::IsNull { column } => write!(f, "{} IS NOT NULL", name(column)),
            // True wherever the part is not, be it false or unknown.
            Predicate::And(_) | Predicate::Or(_) | Predicate::Not(_) => {
                write!(f, "({inner}) IS NOT TRUE")
            }
            _ => write!(f, "NOT ({inner})"),
        }
    }

    fn value(&self, column: &ColumnPath, value: &Literal) -> String {
        match value {
            Literal::Number(number) => number.to_string(),
            Literal::Text(text) => match text.parse::<Timestamp>() {
                Ok(moment) if self.moments.contains_key(column) && moment.to_string() == *text => {
                    Moment(moment).to_string()
                }
                _ => Text(text).to_string(),
            },
        }
    }
}

/// A text with what patterns read otherwise made plain.
fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| matches!(c, '\\' | '%' | '_').then_some('\\').into_iter().chain([c]))
        .collect()
}

impl Display for Condition<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.predicate {
            Predicate::And(parts) => self.joined(f, parts, "AND"),
            Predicate::Or(parts) => self.joined(f, parts, "OR"),
            Predicate::Not(part) => self.negated(f, part),
            Predicate::IsNull { column } => write!(f, "{} IS NULL", name(column)),
            Predicate::Compare { column, is, value } => {
                let sign = match is {
                    Comparison::Equal => "=",
                    Comparison::NotEqual => "<>",
                    Comparison::Less => "<",
                    Comparison::AtMost => "<=",
                    Comparison::More => ">",
                    Comparison::AtLeast => ">=",
                };
                write!(f, "{} {sign} {}", name(column), self.value(column, value))
            }
            Predicate::In { column, values } => {
                write!(f, "{} IN (", name(column))?;
                list(f, values.iter().map(|value| self.value(column, value)))?;
                f.write_str(")")
            }
            Predicate::Between { column, low, high } => {
                let (low, high) = (self.value(column, low), self.value(column, high));
                write!(f, "{} BETWEEN {low} AND {high}", name(column))
            }
            Predicate::Contains { column, text } => {
                let pattern = format!("%{}%", escaped(text));
                write!(f, "{} LIKE {}", name(column), Text(&pattern))
            }
            Predicate::StartsWith { column, text } => {
                let pattern = format!("{}%", escaped(text));
                write!(f, "{} LIKE {}", name(column), Text(&pattern))
            }
            Predicate::EndsWith { column, text } => {
                let pattern = format!("%{}", escaped(text));
                write!(f, "{} LIKE {}", name(column), Text(&pattern))
            }
        }
    }
}
