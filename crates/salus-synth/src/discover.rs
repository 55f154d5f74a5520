//! Attributes of a table whose domains nobody has published, found privately.
//!
//! # Source
//! Thresholded groups as in `salus_dp` (Korolova et al. 2009); bounds from noisy counts on a
//! logarithmic scale, after Durfee 2023, "Unbounded Differentially Private Quantile and Maximum
//! Estimation".

use std::collections::{BTreeMap, HashMap};

use salus_dp::{
    Answer, Bounds, Column, ContributionBound, Cost, Delta, Domain, Field, MarginalError,
    Mechanism, ObserveError, PlanError, PrivacyUnit, Query, RowsPerUnit, Schema, SchemaError,
    SelectionError, Spend, UnitError, UnitKey, plan, select,
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
    /// Rows of a unit whose noise would not fit its number.
    #[error(
        "{rows_per_unit} records of a person are too many: their noise does not fit its number"
    )]
    TooManyRows {
        /// How many a unit was allowed.
        rows_per_unit: u32,
    },
    /// A contribution bound of no rows.
    #[error("a unit must be allowed at least one row")]
    Unit(#[from] UnitError),
    /// A question could not be asked.
    #[error("a column could not be looked at")]
    Plan(#[from] PlanError),
    /// A row could not be taken in.
    #[error("a row could not be counted")]
    Observe(#[from] ObserveError),
    /// An end of the numbers could not be selected.
    #[error("bounds could not be selected")]
    Select(#[from] SelectionError),
    /// Noise could not be drawn.
    #[error("a column could not be measured")]
    Measure(#[from] MarginalError),
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
            Self::Select(e) => e.class(),
            Self::Measure(e) => e.class(),
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
    /// The most rows of a unit that count.
    rows_per_unit: u32,
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
    let look = Look { rows: &counts, column: 0, bound, rows_per_unit };
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
        let look = Look { rows, column, bound, rows_per_unit };
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
            Kind::Number { bounds: look.bounds(name, rest, decimals)?, bins: BINS }
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
        let look = Look { rows: &missing, column: 0, ..*self };
        let over = words(["missing".to_owned()].into_iter())?;
        let counted = look.count(over, None, rho, |text| Some(text.to_owned()))?;
        let estimate = counted.rows.first().and_then(|r| r.estimate);
        Ok(estimate.is_some_and(|e| e.value > 3.5 * e.standard_error))
    }

    /// Bounds of a number column: first by powers of two, then more closely.
    fn bounds(
        &self,
        name: &ColumnPath,
        rho: MicroRho,
        decimals: u8,
    ) -> Result<Bounds, DiscoverError> {
        let half = MicroRho::new(rho.get() / 2);
        let wide = sizes(name, self, half, decimals)?;
        self.tightened(wide, MicroRho::new(rho.get() - half.get()))
    }

    /// The numbers, at most so many of a unit as count.
    fn numbers(&self) -> Vec<f64> {
        let mut seen: HashMap<UnitKey, u32> = HashMap::new();
        let mut kept = Vec::with_capacity(self.rows.len());
        for (unit, row) in self.rows {
            let Some(x) = row.get(self.column).and_then(|v| number(v.as_deref()?)) else {
                continue;
            };
            let seen = seen.entry(*unit).or_insert(0);
            if *seen < self.rows_per_unit {
                *seen += 1;
                kept.push(x);
            }
        }
        kept
    }

    /// Bounds that leave the empty cells at both ends out.
    ///
    /// Each end is one selection by the exponential mechanism: a cell that is kept costs a little,
    /// and so does a person who is cut off. One selection errs by a few of its own noise scales,
    /// however many empty cells there are; noisy counts summed up from the end err by the root of
    /// their number, and so cut off a third of the people where cells were many and people few. Too
    /// wide costs resolution, too narrow costs people, so width is cheap: the whole of it as much
    /// as six scales.
    fn tightened(&self, wide: Bounds, rho: MicroRho) -> Result<Bounds, DiscoverError> {
        let span = i128::from(wide.high() - wide.low()) + 1;
        let cells = i128::from(u32::try_from(span).unwrap_or(u32::MAX)).min(CELLS as i128);
        let mut counts = vec![0i64; cells as usize];
        for x in self.numbers() {
            let cell = wide.clamp(x).map(|s| i128::from(s - wide.low()) * cells / span);
            let slot = cell.and_then(|c| usize::try_from(c).ok()).and_then(|c| counts.get_mut(c));
            slot.into_iter().for_each(|n| *n += 1);
        }
        let half = MicroRho::new(rho.get() / 2);
        let first = self.end(&counts, half)?;
        counts.reverse();
        let last = counts.len() - 1 - self.end(&counts, MicroRho::new(rho.get() - half.get()))?;
        if first > last {
            return Ok(wide);
        }
        // The tail beyond is too thin to be seen: leave it an eighth of the span.
        let spare = (last - first + 1) / 8 + 1;
        let (first, last) = (first.saturating_sub(spare), (last + spare).min(counts.len() - 1));
        let start = |c: usize| {
            wide.low() + i64::try_from((c as i128 * span + cells - 1) / cells).unwrap_or(0)
        };
        let (low, high) = (start(first), start(last + 1) - 1);
        let tight = Bounds::new(
            wide.value(low.into()),
            wide.value(high.max(low + 1).min(wide.high()).into()),
            wide.decimals(),
        );
        Ok(tight.unwrap_or(wide))
    }

    /// The first cell to be kept, of counts from the end that is looked for.
    fn end(&self, counts: &[i64], rho: MicroRho) -> Result<usize, DiscoverError> {
        /// Scores are in parts of a person, so that a cell may cost less than one.
        const PARTS: u32 = 64;
        let rows_per_unit = self.rows_per_unit;
        let sensitivity =
            PARTS.checked_mul(rows_per_unit).ok_or(DiscoverError::TooManyRows { rows_per_unit })?;
        let scale = f64::from(rows_per_unit) / (2e-6 * rho.get().max(1) as f64).sqrt();
        let cell = 6.0 * scale * f64::from(PARTS) / counts.len().max(1) as f64;
        let mut cut = 0;
        let scores: Vec<i64> = counts
            .iter()
            .enumerate()
            .map(|(first, here)| {
                let width = ((counts.len() - first) as f64 * cell).round() as i64;
                let score = -(cut * i64::from(PARTS)) - width;
                cut += here;
                score
            })
            .collect();
        Ok(select(&scores, sensitivity, rho)?)
    }
}

/// Bounds of one column of numbers, found privately.
///
/// # Privacy
/// `rho`-zCDP for a unit with at most `rows_per_unit` of its rows.
///
/// # Errors
/// When hardly any number is frequent, or too little is allowed.
pub fn discover_bounds(
    name: &ColumnPath,
    numbers: &[(UnitKey, f64)],
    rows_per_unit: u32,
    rho: MicroRho,
    decimals: u8,
) -> Result<Bounds, DiscoverError> {
    if rho.get() < 20 {
        return Err(DiscoverError::TooLittle);
    }
    let rows: Vec<(UnitKey, Vec<Option<String>>)> =
        numbers.iter().map(|(unit, x)| (*unit, vec![Some(x.to_string())])).collect();
    let bound = ContributionBound::new(rows_per_unit, rows_per_unit)?;
    Look { rows: &rows, column: 0, bound, rows_per_unit }.bounds(name, rho, decimals)
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

/// Bounds by powers of two.
fn sizes(
    name: &ColumnPath,
    look: &Look<'_>,
    rho: MicroRho,
    decimals: u8,
) -> Result<Bounds, DiscoverError> {
    let most = SIZES.end() - SIZES.start() + 1;
    let over = words((-most..=most).map(|size| size.to_string()))?;
    let counts =
        look.count(over, None, rho, |text| number(text).map(|x| size_of(x).to_string()))?;
    let errors: BTreeMap<i32, f64> = counts
        .rows
        .iter()
        .filter_map(|row| {
            let (size, e) = (row.key.first()?.parse().ok()?, row.estimate?);
            Some((size, e.value / e.standard_error))
        })
        .collect();
    // 4.5 standard errors: none of 75 empty sizes passes, but for one time in 4,000.
    let mut occupied = errors.iter().filter(|(_, errors)| **errors > 4.5).map(|(size, _)| *size);
    let Some(lowest) = occupied.next() else {
        return Err(DiscoverError::NothingFrequent { column: name.clone() });
    };
    let highest = occupied.next_back().unwrap_or(lowest);
    // The size beside what stands out holds its tail, which is not to vanish: far less is enough
    // there, for what is empty of it is left out again.
    let seen = |size: i32| errors.get(&size).is_some_and(|errors| *errors > 2.0);
    let lowest = if seen(lowest - 1) { lowest - 1 } else { lowest };
    let highest = if seen(highest + 1) { highest + 1 } else { highest };
    let (low, high) = (span_of(lowest).0, span_of(highest).1);
    // A column of nothing but zeros still needs a range; a wide one has no room for every decimal.
    let fits = |decimals| Bounds::new(low, high.max(low + 1.0), decimals);
    let finest = (0..=decimals.min(9)).rev().map(fits).find(Result::is_ok);
    Ok(finest.unwrap_or_else(|| fits(0))?)
}
