//! What is asked of synthetic records.

use clap::{Args, ValueEnum};
use salus_model::ColumnPath;
use salus_synth::{Attribute, Condition, Constraint, Kind, Method, check_wanted, satisfies};

use super::column::Look;
use crate::error::FilesError;

/// How the distribution is modelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MethodName {
    /// Two-way marginals chosen where the model errs most; the best in most cases.
    Aim,
    /// A tree of two-way marginals and a few more; fast.
    Mst,
    /// A Bayesian network.
    Privbayes,
    /// A Gaussian copula.
    Copula,
}

impl From<MethodName> for Method {
    fn from(name: MethodName) -> Self {
        match name {
            MethodName::Aim => Self::Aim,
            MethodName::Mst => Self::Mst,
            MethodName::Privbayes => Self::PrivBayes,
            MethodName::Copula => Self::Copula,
        }
    }
}

/// The most records that are made at once: they are in memory whole.
pub(crate) const MOST_RECORDS: u32 = 2_000_000;

/// Reads `--rows`.
pub(crate) fn rows_option(text: &str) -> Result<u32, String> {
    match text.trim().parse::<u64>() {
        Ok(rows) if (1..=u64::from(MOST_RECORDS)).contains(&rows) => Ok(rows as u32),
        Ok(0) => Err("at least one record has to be made".to_owned()),
        Ok(_) => Err(format!(
            "at most {MOST_RECORDS} records are made at once; make more in several files, from a \
             model and with another --seed each"
        )),
        Err(_) => Err("it is a whole number of records, such as 10000".to_owned()),
    }
}

pub(super) fn bounds_option(text: &str) -> Result<(String, f64, f64), String> {
    let parsed = text.rsplit_once('=').and_then(|(name, range)| {
        let (low, high) = range.split_once(':')?;
        Some((name.to_owned(), low.trim().parse().ok()?, high.trim().parse().ok()?))
    });
    parsed.ok_or_else(|| "bounds are written as column=lowest:highest, as in age=0:120".to_owned())
}

/// What every synthetic record has to satisfy.
#[derive(Debug, Clone, Default, Args)]
pub struct WishArgs {
    /// Only records like this: column=value, or column=lowest:highest for numbers and dates (either
    /// end may be left out); repeat for more. A cohort is never empty: what the records never showed
    /// together is drawn from what is known of its parts.
    #[arg(long, value_parser = only)]
    pub only: Vec<Only>,
    /// One number or date is never above another, as admission:discharge; repeat for more.
    #[arg(long, value_parser = ordered)]
    pub not_above: Vec<(String, String)>,
    /// Two values never stand in one record, as sex=m:pregnant=yes; repeat for more.
    #[arg(long, value_parser = never)]
    pub never: Vec<Never>,
}

/// What every record of a cohort has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Only {
    column: String,
    wanted: String,
}

/// Two values that exclude each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Never {
    one: (String, String),
    other: (String, String),
}

fn only(text: &str) -> Result<Only, String> {
    match text.split_once('=') {
        Some((column, wanted)) if !column.is_empty() && !wanted.is_empty() => {
            Ok(Only { column: column.to_owned(), wanted: wanted.to_owned() })
        }
        _ => Err("a cohort is written as column=value, or as column=lowest:highest".to_owned()),
    }
}

fn ordered(text: &str) -> Result<(String, String), String> {
    let parsed = text.split_once(':').map(|(a, b)| (a.to_owned(), b.to_owned()));
    parsed.ok_or_else(|| "an order is written as smaller:larger".to_owned())
}

fn never(text: &str) -> Result<Never, String> {
    let pair = |text: &str| {
        let (column, value) = text.split_once('=')?;
        (!column.is_empty() && !value.is_empty()).then(|| (column.to_owned(), value.to_owned()))
    };
    // A value may hold the sign between the two: the first place that makes two pairs splits.
    let mut places = text.match_indices(':').map(|(at, _)| text.split_at(at));
    let parsed = places.find_map(|(one, other)| Some((pair(one)?, pair(other.get(1..)?)?)));
    let (one, other) = parsed.ok_or(
        "what excludes each other is written as column=value:column=value, as in \
                sex=m:pregnant=yes",
    )?;
    if one.0 == other.0 {
        return Err(format!(
            "a record has one value of '{}': what excludes each other is in two columns",
            one.0
        ));
    }
    Ok(Never { one, other })
}

impl Only {
    fn condition(&self, attributes: &[Attribute], look: Look) -> Result<Condition, FilesError> {
        known("--only", &self.column, attributes)?;
        let attribute = ColumnPath::new(self.column.as_str())?;
        let known = attributes.iter().find(|a| *a.name() == attribute).map(Attribute::kind);
        if let Some(Kind::Category(domain)) = known
            && domain.code(&self.wanted).is_none()
        {
            return Err(FilesError::option(format!(
                "--only: column '{}' has no value '{}'; it has {}",
                self.column,
                self.wanted,
                listed(domain.values().iter().map(String::as_str))
            )));
        }
        let word = |attribute| Condition::OneOf { attribute, values: vec![self.wanted.clone()] };
        let Some(Kind::Number { bounds, .. }) = known else { return Ok(word(attribute)) };
        let number = |text: &str, end: i64| match text.trim() {
            "" => Some(bounds.value(end.into())),
            text => look.read(text)?.parse::<f64>().ok(),
        };
        let range = match self.wanted.split_once(':') {
            Some((low, high)) => number(low, bounds.low()).zip(number(high, bounds.high())),
            None => number(&self.wanted, 0).map(|value| (value, value)),
        };
        let (low, high) = range.ok_or_else(|| {
            FilesError::option(format!(
                "--only {}={}: the column holds numbers or dates; write one, or a range as \
                 lowest:highest, in the way of the file",
                self.column, self.wanted
            ))
        })?;
        let ends = [bounds.low(), bounds.high()].map(|end| bounds.value(end.into()));
        if high < ends[0] || low > ends[1] {
            let [first, last] = ends.map(|end| look.write(&end.to_string()));
            return Err(FilesError::option(format!(
                "--only {}={}: the column has no such value; it lies between {first} and {last}",
                self.column, self.wanted
            )));
        }
        if low > high {
            return Err(FilesError::option(format!(
                "--only {}={}: the bounds are reversed; the lowest comes first",
                self.column, self.wanted
            )));
        }
        Ok(Condition::Between { attribute, low, high })
    }
}

/// Refuses a column that there is none of, naming the option and the columns that there are.
fn known(option: &str, column: &str, attributes: &[Attribute]) -> Result<(), FilesError> {
    if attributes.iter().any(|a| a.name().as_str() == column) {
        return Ok(());
    }
    Err(FilesError::option(format!(
        "{option}: there is no column '{column}' in the model; it has {}",
        listed(attributes.iter().map(|a| a.name().as_str()))
    )))
}

/// Names after each other; of many the first ones.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const MOST: usize = 30;
    let all: Vec<&str> = names.collect();
    match all.get(..MOST) {
        Some(first) if all.len() > MOST => {
            format!("{} and {} more", first.join(", "), all.len() - MOST)
        }
        _ => all.join(", "),
    }
}

impl WishArgs {
    /// The columns that each wish speaks of.
    pub(crate) fn columns(&self) -> Vec<&str> {
        let only = self.only.iter().map(|o| o.column.as_str());
        let orders = self.not_above.iter().flat_map(|(a, b)| [a.as_str(), b.as_str()]);
        let never = self.never.iter().flat_map(|n| [n.one.0.as_str(), n.other.0.as_str()]);
        only.chain(orders).chain(never).collect()
    }

    /// Those wishes that speak of columns for which `mine` holds only.
    pub(crate) fn of(&self, mine: impl Fn(&str) -> bool) -> Self {
        let mut own = self.clone();
        own.only.retain(|o| mine(&o.column));
        own.not_above.retain(|(a, b)| mine(a) && mine(b));
        own.never.retain(|n| mine(&n.one.0) && mine(&n.other.0));
        own
    }

    pub(crate) fn count(&self) -> usize {
        self.only.len() + self.not_above.len() + self.never.len()
    }

    /// What was asked of every record, where the attributes can satisfy it.
    pub(crate) fn wishes(
        &self,
        attributes: &[Attribute],
        look: impl Fn(&str) -> Look,
    ) -> Result<Wishes, FilesError> {
        let only = self.only.iter().map(|o| o.condition(attributes, look(&o.column)));
        let conditions = only.collect::<Result<Vec<_>, _>>()?;
        let mut constraints = Vec::with_capacity(self.not_above.len() + self.never.len());
        for (smaller, larger) in &self.not_above {
            known("--not-above", smaller, attributes)?;
            known("--not-above", larger, attributes)?;
            constraints.push(Constraint::NotAbove {
                smaller: ColumnPath::new(smaller.as_str())?,
                larger: ColumnPath::new(larger.as_str())?,
            });
        }
        for Never { one, other } in &self.never {
            known("--never", &one.0, attributes)?;
            known("--never", &other.0, attributes)?;
            let read = |(column, value): &(String, String)| {
                look(column).read(value).unwrap_or_else(|| value.clone())
            };
            constraints.push(Constraint::Never {
                attribute: ColumnPath::new(one.0.as_str())?,
                value: read(one),
                with: ColumnPath::new(other.0.as_str())?,
                with_value: read(other),
            });
        }
        check_wanted(attributes, &conditions, &constraints)?;
        Ok(Wishes { conditions, constraints })
    }
}

/// What every record has to satisfy, as the model understands it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wishes {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) constraints: Vec<Constraint>,
}

impl Wishes {
    pub(crate) const fn is_empty(&self) -> bool {
        self.conditions.is_empty() && self.constraints.is_empty()
    }

    /// Whether a record, as the model reads it, is one of those wished for.
    pub(crate) fn hold(
        &self,
        attributes: &[Attribute],
        record: &[Option<String>],
    ) -> Result<bool, FilesError> {
        Ok(satisfies(attributes, &self.conditions, &self.constraints, record)?)
    }
}
