use chrono::{
    DateTime, Datelike as _, Days, Months, NaiveDate, NaiveDateTime, TimeDelta, Timelike as _,
};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use salus_dp::{Bounds, Column, Edges, Mechanism, PlanError, Query, SchemaError, Spend, plan};
use salus_model::{ColumnPath, Timestamp};

use super::error::{Place, SqlError, SqlFault};
use super::literal::read_moment;
use super::{Ask, Bins, Edge, Period, Statement};
use crate::predicate::{Literal, Predicate, PredicateError};
use crate::profile::Profile;
use crate::question::Question;

/// How many columns an error lists.
const LISTED: usize = 20;
/// The most edges that are worked out; a histogram has fewer bins.
const MAX_EDGES: usize = 70_000;

impl Statement {
    /// The question that the statement asks of a dataset with this profile.
    ///
    /// `count(DISTINCT c)` of the profile's unit column counts units. Dates are read into moments
    /// where the column holds moments.
    ///
    /// # Errors
    /// Names the place of what does not fit the profile or the spend.
    pub fn question(
        &self,
        profile: &Profile,
        spend: Spend,
        mechanism: Mechanism,
    ) -> Result<Question, SqlError> {
        self.names(profile)?;
        let query = self.query(profile)?;
        let filter = self.filter.clone().map(|filter| with_moments(filter, profile));
        if let Some(filter) = &filter {
            filter.check(profile).map_err(|e| self.misfit(e))?;
        }
        plan(&query, &profile.schema, spend, mechanism).map_err(|e| {
            let place = column_of(&e).map_or(self.places.ask, |column| self.places.of(column));
            SqlError { place, fault: e.into() }
        })?;
        Ok(Question { dataset: self.dataset.clone(), query, filter, spend, mechanism })
    }

    fn counts_units(&self, profile: &Profile) -> bool {
        matches!(&self.ask, Ask::Query(Query::DistinctCount { column }) if *column == profile.unit_column)
    }

    /// Whether every name is one of the profile's.
    fn names(&self, profile: &Profile) -> Result<(), SqlError> {
        let mut in_filter = std::collections::BTreeSet::new();
        if let Some(filter) = &self.filter {
            filter.name_columns(&mut in_filter);
        }
        for (column, &place) in &self.places.columns {
            let unit = self.counts_units(profile)
                && *column == profile.unit_column
                && !in_filter.contains(column);
            if !unit && !profile.schema.columns.contains_key(column) {
                let fault = SqlFault::Column { column: column.clone(), known: known(profile) };
                return Err(SqlError { place, fault });
            }
        }
        for (column, &place) in &self.places.moments {
            if !matches!(profile.schema.columns.get(column), Some(Column::Instant(_))) {
                return Err(SqlError {
                    place,
                    fault: SqlFault::NoDates { column: column.clone() },
                });
            }
        }
        Ok(())
    }

    fn misfit(&self, error: PredicateError) -> SqlError {
        let place = match &error {
            PredicateError::UnknownColumn { column } | PredicateError::Value { column, .. } => {
                self.places.of(column)
            }
            PredicateError::Large | PredicateError::Empty => self.places.ask,
        };
        SqlError { place, fault: error.into() }
    }

    fn query(&self, profile: &Profile) -> Result<Query, SqlError> {
        match &self.ask {
            Ask::Query(_) if self.counts_units(profile) => Ok(Query::DistinctUnits),
            Ask::Query(query) => Ok(query.clone()),
            Ask::Histogram { column, bins } => {
                let place = self.places.of(column);
                let (bounds, dates) = match profile.schema.columns.get(column) {
                    Some(Column::Number(bounds)) => (*bounds, false),
                    Some(Column::Instant(bounds)) => (*bounds, true),
                    _ => {
                        let (column, wanted) = (column.clone(), "number or date");
                        let fault = PlanError::WrongColumn { column, wanted }.into();
                        return Err(SqlError { place, fault });
                    }
                };
                let edges = Range { column, bounds, dates, place }.edges(bins)?;
                Ok(Query::Histogram { column: column.clone(), edges })
            }
        }
    }
}

fn column_of(error: &PlanError) -> Option<&ColumnPath> {
    match error {
        PlanError::UnknownColumn { column }
        | PlanError::WrongColumn { column, .. }
        | PlanError::NeedsThreshold { column }
        | PlanError::EdgesOutside { column } => Some(column),
        _ => None,
    }
}

fn known(profile: &Profile) -> String {
    let columns = &profile.schema.columns;
    let mut names: Vec<&str> = columns.keys().take(LISTED).map(ColumnPath::as_str).collect();
    if columns.len() > LISTED {
        names.push("…");
    }
    names.join(", ")
}

/// Reads what stands against columns of moments as moments, in one form.
fn with_moments(filter: Predicate, profile: &Profile) -> Predicate {
    let all = |parts: Vec<Predicate>| parts.into_iter().map(|p| with_moments(p, profile)).collect();
    let is_instant = |column: &ColumnPath| {
        matches!(profile.schema.columns.get(column), Some(Column::Instant(_)))
    };
    let read = |value: Literal| match &value {
        // What is a moment already stays as it was written.
        Literal::Text(text) if text.parse::<Timestamp>().is_err() => {
            read_moment(text).map_or(value, |moment| Literal::Text(moment.to_string()))
        }
        _ => value,
    };
    match filter {
        Predicate::And(parts) => Predicate::And(all(parts)),
        Predicate::Or(parts) => Predicate::Or(all(parts)),
        Predicate::Not(part) => Predicate::Not(Box::new(with_moments(*part, profile))),
        Predicate::Compare { column, is, value } if is_instant(&column) => {
            Predicate::Compare { column, is, value: read(value) }
        }
        Predicate::In { column, values } if is_instant(&column) => {
            Predicate::In { column, values: values.into_iter().map(read).collect() }
        }
        Predicate::Between { column, low, high } if is_instant(&column) => {
            Predicate::Between { column, low: read(low), high: read(high) }
        }
        other => other,
    }
}

/// The range of a column that is cut into bins.
struct Range<'s> {
    column: &'s ColumnPath,
    bounds: Bounds,
    dates: bool,
    place: Place,
}

impl Range<'_> {
    fn edges(&self, bins: &Bins) -> Result<Edges, SqlError> {
        let cut = |inner: Vec<i64>| {
            let all = [vec![self.bounds.low()], inner, vec![self.bounds.high()]].concat();
            Edges::try_from(all)
        };
        let edges = match bins {
            Bins::Equal(n) => Edges::equal(self.bounds, *n),
            Bins::At(edges) => {
                cut(edges.iter().map(|e| self.step(*e)).collect::<Result<_, _>>()?)
            }
            Bins::Between { low, high, bins } => {
                self.between(self.step(*low)?, self.step(*high)?, *bins)
            }
            Bins::Calendar(_) if !self.dates => {
                let (column, wanted) = (self.column.clone(), "date");
                let fault = PlanError::WrongColumn { column, wanted }.into();
                return Err(SqlError { place: self.place, fault });
            }
            Bins::Calendar(period) => cut(self.starts(*period)),
        };
        edges.map_err(|e| self.refused(e))
    }

    fn refused(&self, reason: SchemaError) -> SqlError {
        let end = |steps: i64| match self.dates {
            true => moment(steps).map_or_else(|| steps.to_string(), |t| t.to_string()),
            false => self.bounds.value(steps.into()).to_string(),
        };
        let (low, high) = (end(self.bounds.low()), end(self.bounds.high()));
        let fault = SqlFault::Bins { column: self.column.clone(), low, high, reason };
        SqlError { place: self.place, fault }
    }

    /// An edge in the column's steps, rounded to the nearest.
    fn step(&self, edge: Edge) -> Result<i64, SqlError> {
        let (_, _, decimals) = self.bounds.into();
        let step = match (edge, self.dates) {
            (Edge::Number(number), false) => Decimal::from(10u64.pow(decimals.into()))
                .checked_mul(number)
                .and_then(|steps| steps.round().to_i64()),
            (Edge::Moment(moment), true) => Some(moment.as_micros().div_euclid(1_000_000)),
            _ => {
                let found = if self.dates { "a number" } else { "a date" };
                let instead = if self.dates { "write DATE '2026-01-31'" } else { "write a number" };
                return Err(SqlError::outside(
                    self.place,
                    format!("{found} among the edges of '{}'", self.column),
                    instead,
                ));
            }
        };
        step.ok_or_else(|| self.refused(SchemaError::TooFine))
    }

    /// Equal bins between two steps, and what lies outside in a bin on each side.
    fn between(&self, low: i64, high: i64, bins: u32) -> Result<Edges, SchemaError> {
        if (low, high) == (self.bounds.low(), self.bounds.high()) {
            return Edges::equal(self.bounds, bins);
        }
        let (from, to) = (self.bounds.low().min(low), self.bounds.high().max(high));
        if (from, to) != (self.bounds.low(), self.bounds.high()) {
            return Err(SchemaError::Edge { index: if from == low { 0 } else { bins as usize } });
        }
        if bins as usize >= MAX_EDGES {
            return Err(SchemaError::Bins { found: bins.into() });
        }
        let width = i128::from(high) - i128::from(low);
        let edge =
            |i: u32| low + i64::try_from(width * i128::from(i) / i128::from(bins)).unwrap_or(0);
        let mut steps = vec![self.bounds.low()];
        steps.extend((0..=bins).map(edge).skip_while(|step| *step == self.bounds.low()));
        if steps.last() != Some(&self.bounds.high()) {
            steps.push(self.bounds.high());
        }
        Edges::try_from(steps)
    }

    /// The first moments of periods that lie within the bounds.
    fn starts(&self, period: Period) -> Vec<i64> {
        let Some(low) = DateTime::from_timestamp(self.bounds.low(), 0) else { return Vec::new() };
        let mut starts = Vec::new();
        let mut at = period.start(low.naive_utc()).and_then(|first| period.next(first));
        while let Some(start) = at {
            let step = start.and_utc().timestamp();
            if step >= self.bounds.high() || starts.len() > MAX_EDGES {
                break;
            }
            starts.push(step);
            at = period.next(start);
        }
        starts
    }
}

fn moment(seconds: i64) -> Option<Timestamp> {
    Timestamp::from_micros(seconds.checked_mul(1_000_000)?).ok()
}

impl Period {
    /// The first moment of the period that holds a moment.
    fn start(self, at: NaiveDateTime) -> Option<NaiveDateTime> {
        let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day);
        let date = match self {
            Self::Year => day(at.year(), 1, 1)?,
            Self::Quarter => day(at.year(), (at.month() - 1) / 3 * 3 + 1, 1)?,
            Self::Month => day(at.year(), at.month(), 1)?,
            Self::Week => {
                let since_monday = at.weekday().num_days_from_monday();
                at.date().checked_sub_days(Days::new(since_monday.into()))?
            }
            Self::Day => at.date(),
            Self::Hour => return at.date().and_hms_opt(at.hour(), 0, 0),
        };
        date.and_hms_opt(0, 0, 0)
    }

    fn next(self, start: NaiveDateTime) -> Option<NaiveDateTime> {
        match self {
            Self::Year => start.checked_add_months(Months::new(12)),
            Self::Quarter => start.checked_add_months(Months::new(3)),
            Self::Month => start.checked_add_months(Months::new(1)),
            Self::Week => start.checked_add_days(Days::new(7)),
            Self::Day => start.checked_add_days(Days::new(1)),
            Self::Hour => start.checked_add_signed(TimeDelta::hours(1)),
        }
    }
}
