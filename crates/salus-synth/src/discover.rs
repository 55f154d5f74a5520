//! Attributes of a table whose domains nobody has published, found privately.
//!
//! # Source
//! Thresholded groups as in `salus_dp` (Korolova et al. 2009); bounds from noisy counts on a
//! logarithmic scale, after Durfee 2023, "Unbounded Differentially Private Quantile and Maximum
//! Estimation".

use std::collections::BTreeMap;

use salus_dp::{
    Answer, Bounds, Column, ContributionBound, Cost, Delta, Domain, Field, Mechanism, ObserveError,
    PlanError, PrivacyUnit, Query, RowsPerUnit, Schema, SchemaError, Spend, UnitError, UnitKey,
    plan,
};
use salus_model::{Class, Classified, ColumnPath, IdError, MicroRho};

use crate::attribute::{Attribute, AttributeError, Kind, Missing};

/// Why no domains were found.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// A column in which hardly anything is frequent.
    #[error(
        "hardly any value of '{column}' is frequent enough to be shown; give its domain or leave it \
         out"
    )]
    NothingFrequent {
        /// Which column.
        column: ColumnPath,
    },
    /// Too little to look at each column.
    #[error("finding domains needs a larger ρ and δ: at least 100 µρ for each column")]
    TooLittle,
    /// A contribution bound of no rows.
    #[error("a unit must be allowed at least one row")]
    Unit(#[from] UnitError),
    /// A question could not be asked.
    #[error("a column could not be looked at")]
    Plan(#[from] PlanError),
    /// A row could not be taken in.
    #[error("a row could not be counted")]
    Observe(#[from] ObserveError),
    /// What was found is no domain.
    #[error("the values found are no usable domain")]
    Schema(#[from] SchemaError),
    /// What was found is no attribute.
    #[error("the values found are no usable attribute")]
    Attribute(#[from] AttributeError),
    /// A built-in name is no column path.
    #[error("a built-in column name is wrong")]
    Name(#[from] IdError),
}

impl Classified for DiscoverError {
    fn class(&self) -> Class {
        match self {
            Self::Plan(e) => e.class(),
            Self::Observe(_) | Self::Name(_) => Class::Bug,
            _ => Class::BadRequest,
        }
    }
}

/// Attributes with what finding them must be charged, beside the fit.
#[derive(Debug, Clone)]
pub struct Discovery {
    /// One for each column.
    pub attributes: Vec<Attribute>,
    /// What it cost.
    pub cost: Cost,
}

/// Powers of two that a number's size is told by; smaller sizes count as the smallest.
const SIZES: std::ops::RangeInclusive<i32> = -7..=29;
const DECIMALS: u8 = 2;

struct Look<'a> {
    rows: &'a [(UnitKey, Vec<Option<String>>)],
    column: usize,
    bound: ContributionBound,
}

impl Look<'_> {
    /// A grouped count of what `word` makes of the column's values.
    fn count(
        &self,
        over: Column,
        threshold_delta: Option<Delta>,
        rho: MicroRho,
        word: impl Fn(&str) -> Option<String>,
    ) -> Result<Answer, DiscoverError> {
        let name = ColumnPath::new("value")?;
        let schema = Schema {
            unit: PrivacyUnit::Patient,
            contribution: self.bound,
            rows_per_unit: RowsPerUnit::Many,
            columns: BTreeMap::from([(name.clone(), over)]),
        };
        let query = Query::GroupedCount { keys: vec![name], threshold_delta };
        let plan = plan(&query, &schema, Spend::Rho(rho), Mechanism::Gaussian)?;
        let mut partial = plan.partial();
        for (unit, row) in self.rows {
            let value = row.get(self.column).and_then(|v| v.as_deref()).and_then(&word);
            let field = value.as_deref().map_or(Field::Missing, Field::Text);
            partial.observe(*unit, &[field])?;
        }
        Ok(plan.execute(partial)?.answer())
    }
}

fn words(list: impl Iterator<Item = String>) -> Result<Column, SchemaError> {
    Ok(Column::Category(Domain::new(list.collect())?))
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|x| x.is_finite())
}

/// Finds attributes for the columns of `rows`: categories that are frequent, and bounds of numbers.
///
/// # Privacy
/// `rho`-zCDP, and `delta` for values that one unit alone has, for a unit with at most
/// `rows_per_unit` of its rows. Rare values count as missing; numbers beyond the bounds move to
/// them.
///
/// # Errors
/// When nothing in a column is frequent enough, or too little is allowed.
pub fn discover(
    names: &[ColumnPath],
    rows: &[(UnitKey, Vec<Option<String>>)],
    rows_per_unit: u32,
    rho: MicroRho,
    delta: Delta,
) -> Result<Discovery, DiscoverError> {
    let bound = ContributionBound::new(rows_per_unit, rows_per_unit)?;
    let columns = names.len().max(1) as u64;
    let each = MicroRho::new(rho.get() / columns);
    let each_delta = Delta::from_atto(delta.atto() / columns).ok_or(DiscoverError::TooLittle)?;
    if each.get() < 100 {
        return Err(DiscoverError::TooLittle);
    }
    let attributes = names
        .iter()
        .enumerate()
        .map(|(column, name)| attribute(name, &Look { rows, column, bound }, each, each_delta))
        .collect::<Result<_, _>>()?;
    Ok(Discovery { attributes, cost: Cost { rho, threshold_delta: Some(delta) } })
}

fn attribute(
    name: &ColumnPath,
    look: &Look<'_>,
    rho: MicroRho,
    delta: Delta,
) -> Result<Attribute, DiscoverError> {
    let few = MicroRho::new(rho.get() / 10);
    let rest = MicroRho::new(rho.get() - few.get());
    let kinds = ["whole", "fraction", "text"].map(str::to_owned).into_iter();
    let kind = look.count(words(kinds)?, None, few, |text| {
        let kind =
            number(text).map_or("text", |x| if x.fract() == 0.0 { "whole" } else { "fraction" });
        Some(kind.to_owned())
    })?;
    let count = |word: &str| {
        let row = kind.rows.iter().find(|r| r.key.first().is_some_and(|k| k == word));
        row.and_then(|r| r.estimate)
    };
    let value = |word| count(word).map_or(0.0, |e| e.value);
    if value("text") > value("whole") + value("fraction") {
        let nothing = || DiscoverError::NothingFrequent { column: name.clone() };
        let shown = look.count(Column::Open, Some(delta), rest, |text| Some(text.to_owned()))?;
        let found: Vec<String> =
            shown.rows.into_iter().filter_map(|r| r.key.into_iter().next()).collect();
        let domain = if found.is_empty() { return Err(nothing()) } else { Domain::new(found)? };
        return Ok(Attribute::new(name.clone(), Kind::Category(domain), Missing::Possible)?);
    }
    // As for sizes: whole numbers pass for fractions one time in 300,000.
    let fractions = count("fraction").is_some_and(|e| e.value > 4.5 * e.standard_error);
    let bounds = bounds(name, look, rest, if fractions { DECIMALS } else { 0 })?;
    Ok(Attribute::new(name.clone(), Kind::Number { bounds, bins: 20 }, Missing::Possible)?)
}

/// The signed size of a number: 0, or one more than its power of two above the smallest.
fn size_of(x: f64) -> i32 {
    if x == 0.0 {
        return 0;
    }
    let power = x.abs().log2().floor().clamp(f64::from(*SIZES.start()), f64::from(*SIZES.end()));
    let size = power as i32 - SIZES.start() + 1;
    if x < 0.0 { -size } else { size }
}

/// The numbers between which those of a size lie.
fn span_of(size: i32) -> (f64, f64) {
    let end = |size: i32| 2f64.powi(size + SIZES.start() - 1);
    match size {
        0 => (0.0, 0.0),
        s if s > 0 => (end(s), end(s + 1)),
        s => (-end(1 - s), -end(-s)),
    }
}

fn bounds(
    name: &ColumnPath,
    look: &Look<'_>,
    rho: MicroRho,
    decimals: u8,
) -> Result<Bounds, DiscoverError> {
    let most = SIZES.end() - SIZES.start() + 1;
    let sizes = words((-most..=most).map(|size| size.to_string()))?;
    let counts =
        look.count(sizes, None, rho, |text| number(text).map(|x| size_of(x).to_string()))?;
    // 4.5 standard errors: none of 75 empty sizes passes, but for one time in 4,000.
    let occupied = counts.rows.iter().filter_map(|row| {
        let seen = row.estimate.is_some_and(|e| e.value > 4.5 * e.standard_error);
        row.key.first().filter(|_| seen)?.parse::<i32>().ok()
    });
    let spans: Vec<(f64, f64)> = occupied.map(span_of).collect();
    let low = spans.iter().map(|s| s.0).reduce(f64::min);
    let high = spans.iter().map(|s| s.1).reduce(f64::max);
    let nothing = || DiscoverError::NothingFrequent { column: name.clone() };
    let (low, high) = low.zip(high).ok_or_else(nothing)?;
    // A column of nothing but zeros still needs a range.
    Ok(Bounds::new(low, high.max(low + 1.0), decimals)?)
}
