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
    #[error("finding domains needs a larger ρ and δ: at least 20 µρ for each column")]
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

/// How a column's values are written, publicly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// As numbers with at most that many decimals.
    Number {
        /// Digits after the decimal mark, at most 9.
        decimals: u8,
    },
    /// As words.
    Text,
}

/// Attributes with what finding them must be charged, beside the fit.
#[derive(Debug, Clone)]
pub struct Discovery {
    /// One for each column in which enough is frequent.
    pub attributes: Vec<Attribute>,
    /// Those of them in which no more values are missing than noise alone would make seem so.
    pub without_gaps: Vec<ColumnPath>,
    /// Columns in which hardly any value is frequent enough to be shown.
    pub left_out: Vec<ColumnPath>,
    /// What it cost.
    pub cost: Cost,
}

/// Powers of two that a number's size is told by; smaller sizes count as the smallest.
const SIZES: std::ops::RangeInclusive<i32> = -7..=29;
/// Cells over which bounds are tightened once their power of two is known.
const CELLS: usize = 64;
/// Bins of a number attribute.
const BINS: u16 = 32;

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

/// A noisy count of units' rows, for `rho`.
///
/// # Privacy
/// `rho`-zCDP for a unit with at most `rows_per_unit` of its rows.
///
/// # Errors
/// When it cannot be drawn.
pub fn noisy_rows(
    rows: &[(UnitKey, Vec<Option<String>>)],
    rows_per_unit: u32,
    rho: MicroRho,
) -> Result<f64, DiscoverError> {
    let bound = ContributionBound::new(rows_per_unit, rows_per_unit)?;
    let counts: Vec<(UnitKey, Vec<Option<String>>)> =
        rows.iter().map(|(unit, _)| (*unit, vec![Some("row".to_owned())])).collect();
    let look = Look { rows: &counts, column: 0, bound };
    let over = words(["row".to_owned()].into_iter())?;
    let answer = look.count(over, None, rho, |text| Some(text.to_owned()))?;
    Ok(answer.rows.first().and_then(|r| r.estimate).map_or(0.0, |e| e.value))
}

/// Finds attributes for the columns of `rows`: categories that are frequent, and bounds of numbers.
///
/// # Privacy
/// `rho`-zCDP, and `delta` for values that one unit alone has, for a unit with at most
/// `rows_per_unit` of its rows. Rare values count as missing; numbers beyond the bounds move to
/// them. Names and readings are taken for public.
///
/// # Errors
/// When nothing in any column is frequent enough, or too little is allowed.
pub fn discover(
    columns: &[(ColumnPath, Reading)],
    rows: &[(UnitKey, Vec<Option<String>>)],
    rows_per_unit: u32,
    rho: MicroRho,
    delta: Delta,
) -> Result<Discovery, DiscoverError> {
    let bound = ContributionBound::new(rows_per_unit, rows_per_unit)?;
    let number = columns.len().max(1) as u64;
    let each = MicroRho::new(rho.get() / number);
    let each_delta = Delta::from_atto(delta.atto() / number).ok_or(DiscoverError::TooLittle)?;
    if each.get() < 20 {
        return Err(DiscoverError::TooLittle);
    }
    let cost = Cost { rho, threshold_delta: Some(delta) };
    let mut found =
        Discovery { attributes: Vec::new(), without_gaps: Vec::new(), left_out: Vec::new(), cost };
    for (column, (name, reading)) in columns.iter().enumerate() {
        let look = Look { rows, column, bound };
        match attribute(name, *reading, &look, each, each_delta) {
            Ok((attribute, gaps)) => {
                found.attributes.push(attribute);
                if !gaps {
                    found.without_gaps.push(name.clone());
                }
            }
            Err(DiscoverError::NothingFrequent { column }) => found.left_out.push(column),
            Err(other) => return Err(other),
        }
    }
    match found.left_out.first() {
        Some(column) if found.attributes.is_empty() => {
            Err(DiscoverError::NothingFrequent { column: column.clone() })
        }
        _ => Ok(found),
    }
}

/// A column's attribute, and whether values are missing in it.
fn attribute(
    name: &ColumnPath,
    reading: Reading,
    look: &Look<'_>,
    rho: MicroRho,
    delta: Delta,
) -> Result<(Attribute, bool), DiscoverError> {
    let few = MicroRho::new(rho.get() / 10);
    let rest = MicroRho::new(rho.get() - few.get());
    let gaps = look.gaps(few)?;
    let kind = match reading {
        Reading::Text => {
            let shown =
                look.count(Column::Open, Some(delta), rest, |text| Some(text.to_owned()))?;
            let found: Vec<String> =
                shown.rows.into_iter().filter_map(|r| r.key.into_iter().next()).collect();
            if found.is_empty() {
                return Err(DiscoverError::NothingFrequent { column: name.clone() });
            }
            Kind::Category(Domain::new(found)?)
        }
        Reading::Number { decimals } => {
            let half = MicroRho::new(rest.get() / 2);
            let wide = bounds(name, look, half, decimals)?;
            let other_half = MicroRho::new(rest.get() - half.get());
            Kind::Number { bounds: look.tightened(wide, other_half)?, bins: BINS }
        }
    };
    Ok((Attribute::new(name.clone(), kind, Missing::Possible)?, gaps))
}

impl Look<'_> {
    /// Whether more values are missing than noise makes seem so three and a half times in 10,000.
    fn gaps(&self, rho: MicroRho) -> Result<bool, DiscoverError> {
        let missing: Vec<(UnitKey, Vec<Option<String>>)> = self
            .rows
            .iter()
            .map(|(unit, row)| {
                let gone = row.get(self.column).is_none_or(Option::is_none);
                (*unit, vec![gone.then(|| "missing".to_owned())])
            })
            .collect();
        let look = Look { rows: &missing, column: 0, bound: self.bound };
        let over = words(["missing".to_owned()].into_iter())?;
        let counted = look.count(over, None, rho, |text| Some(text.to_owned()))?;
        let estimate = counted.rows.first().and_then(|r| r.estimate);
        Ok(estimate.is_some_and(|e| e.value > 3.5 * e.standard_error))
    }

    /// Bounds that leave the empty cells at both ends out.
    fn tightened(&self, wide: Bounds, rho: MicroRho) -> Result<Bounds, DiscoverError> {
        let span = i128::from(wide.high() - wide.low()) + 1;
        let cells = i128::from(u32::try_from(span).unwrap_or(u32::MAX)).min(CELLS as i128);
        let cell = |steps: i64| i128::from(steps - wide.low()) * cells / span;
        let over = words((0..cells).map(|c| c.to_string()))?;
        let counts =
            self.count(over, None, rho, |text| Some(cell(wide.clamp(number(text)?)?).to_string()))?;
        let mut noisy: Vec<(i128, f64, f64)> = counts
            .rows
            .iter()
            .filter_map(|row| {
                let (cell, e) = (row.key.first()?.parse().ok()?, row.estimate?);
                Some((cell, e.value, e.standard_error))
            })
            .collect();
        noisy.sort_by_key(|(cell, ..)| *cell);
        let Some((first, last)) = reached(noisy.iter()).zip(reached(noisy.iter().rev())) else {
            return Ok(wide);
        };
        // The tail beyond is too thin to be seen: leave it an eighth of the span.
        let spare = (last - first + 1) / 8 + 1;
        let (first, last) = ((first - spare).max(0), (last + spare).min(cells - 1));
        let start =
            |c: i128| wide.low() + i64::try_from((c * span + cells - 1) / cells).unwrap_or(0);
        let (low, high) = (start(first), start(last + 1) - 1);
        let tight = Bounds::new(
            wide.value(low.into()),
            wide.value(high.max(low + 1).min(wide.high()).into()),
            decimals_of(wide),
        );
        Ok(tight.unwrap_or(wide))
    }
}

/// The first cell by which counts from one end on stand out of their noise together.
fn reached<'a>(counts: impl Iterator<Item = &'a (i128, f64, f64)>) -> Option<i128> {
    let (mut sum, mut variance) = (0.0, 0.0);
    for (cell, count, error) in counts {
        sum += count;
        variance += error * error;
        if sum > 3.5 * variance.sqrt() {
            return Some(*cell);
        }
    }
    None
}

fn decimals_of(bounds: Bounds) -> u8 {
    <(i64, i64, u8)>::from(bounds).2
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
    // A column of nothing but zeros still needs a range; a wide one has no room for every decimal.
    let fits = |decimals| Bounds::new(low, high.max(low + 1.0), decimals);
    let finest = (0..=decimals.min(9)).rev().map(fits).find(Result::is_ok);
    Ok(finest.unwrap_or_else(|| fits(0))?)
}
