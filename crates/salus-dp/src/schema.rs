use std::collections::BTreeMap;

use salus_model::{Class, Classified, ColumnPath, Timestamp};
use serde::{Deserialize, Serialize};

use crate::unit::{ContributionBound, PrivacyUnit, RowsPerUnit};

/// Why a part of a schema is not usable for private answers.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SchemaError {
    /// Bounds that hold no range.
    #[error("the lower bound {low} must lie below the upper bound {high}")]
    EmptyRange {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
    },
    /// Bounds that are not finite, or too many steps between them.
    #[error(
        "bounds must be finite, with at most 9 decimals and at most 2^40 steps between them, and \
         within ±2^52 steps; use fewer decimals"
    )]
    TooFine,
    /// A domain without values.
    #[error("a public domain needs at least one value")]
    EmptyDomain,
    /// More values than an answer can hold.
    #[error("a public domain has at most 1,048,576 values, and this one has {found}")]
    LargeDomain {
        /// How many.
        found: usize,
    },
    /// The same value twice.
    #[error("the value {value:?} stands in the domain twice")]
    Repeated {
        /// Which value.
        value: String,
    },
    /// Histogram edges that do not rise, or leave the bounds.
    #[error("histogram edges must rise and stay within the column's bounds; edge {index} does not")]
    Edge {
        /// Which edge, counted from 0.
        index: usize,
    },
    /// No bin or too many.
    #[error("a histogram has 1 to 65,536 bins within its range, and {found} do not fit")]
    Bins {
        /// How many.
        found: u64,
    },
}

impl Classified for SchemaError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// A number column's public range, and the step to which its values are rounded.
///
/// # Shape and units
/// Held in whole steps of 10^-`decimals`. Values outside are moved to the nearer bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "(i64, i64, u8)", into = "(i64, i64, u8)")]
pub struct Bounds {
    low: i64,
    high: i64,
    decimals: u8,
}

const MOST_STEPS: i64 = 1 << 40;
const FARTHEST_STEP: i64 = 1 << 52;

impl Bounds {
    /// A range from its ends.
    ///
    /// # Errors
    /// When the ends are not finite, not in order, or too many steps apart.
    pub fn new(low: f64, high: f64, decimals: u8) -> Result<Self, SchemaError> {
        if !low.is_finite() || !high.is_finite() || decimals > 9 {
            return Err(SchemaError::TooFine);
        }
        let step = |x: f64| (x * 10f64.powi(i32::from(decimals))).round();
        let far = FARTHEST_STEP as f64;
        if step(low).abs() > far || step(high).abs() > far {
            return Err(SchemaError::TooFine);
        }
        Self::from_steps(step(low) as i64, step(high) as i64, decimals)
    }

    /// A range from whole steps of 10^-`decimals`.
    ///
    /// # Errors
    /// As [`Bounds::new`].
    pub fn from_steps(low: i64, high: i64, decimals: u8) -> Result<Self, SchemaError> {
        let bounds = Self { low, high, decimals };
        if decimals > 9 || low.max(high) > FARTHEST_STEP || low.min(high) < -FARTHEST_STEP {
            return Err(SchemaError::TooFine);
        }
        if low >= high {
            return Err(SchemaError::EmptyRange {
                low: bounds.value(low.into()),
                high: bounds.value(high.into()),
            });
        }
        if high - low > MOST_STEPS {
            return Err(SchemaError::TooFine);
        }
        Ok(bounds)
    }

    /// The lower end, in steps.
    #[must_use]
    pub const fn low(self) -> i64 {
        self.low
    }

    /// The upper end, in steps.
    #[must_use]
    pub const fn high(self) -> i64 {
        self.high
    }

    /// Decimals of a step: it is 10^-decimals.
    #[must_use]
    pub const fn decimals(self) -> u8 {
        self.decimals
    }

    /// Steps between the ends.
    pub(crate) const fn width(self) -> i64 {
        self.high - self.low
    }

    /// The value in steps, rounded to the nearest and moved into the range; none for a value that
    /// is not a number.
    #[must_use]
    pub fn clamp(self, value: f64) -> Option<i64> {
        if value.is_nan() {
            return None;
        }
        // The cast saturates, so that infinities and huge values land on a bound.
        let steps = (value * 10f64.powi(i32::from(self.decimals))).round() as i64;
        Some(steps.clamp(self.low, self.high))
    }

    /// Steps as a number in the column's own unit.
    #[must_use]
    pub fn value(self, steps: i128) -> f64 {
        steps as f64 / self.unit()
    }

    /// Steps in one of the column's own units.
    pub(crate) fn unit(self) -> f64 {
        10f64.powi(i32::from(self.decimals))
    }
}

impl TryFrom<(i64, i64, u8)> for Bounds {
    type Error = SchemaError;

    fn try_from((low, high, decimals): (i64, i64, u8)) -> Result<Self, SchemaError> {
        Self::from_steps(low, high, decimals)
    }
}

impl From<Bounds> for (i64, i64, u8) {
    fn from(b: Bounds) -> Self {
        (b.low, b.high, b.decimals)
    }
}

/// A column's public list of values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Domain {
    values: Vec<String>,
    codes: BTreeMap<String, u32>,
}

impl Domain {
    /// A domain of these values, in this order.
    ///
    /// # Errors
    /// When there is none, there are too many, or one stands twice.
    pub fn new(values: Vec<String>) -> Result<Self, SchemaError> {
        if values.is_empty() {
            return Err(SchemaError::EmptyDomain);
        }
        if values.len() > 1 << 20 {
            return Err(SchemaError::LargeDomain { found: values.len() });
        }
        let mut codes = BTreeMap::new();
        for (value, code) in values.iter().zip(0u32..) {
            if codes.insert(value.clone(), code).is_some() {
                return Err(SchemaError::Repeated { value: value.clone() });
            }
        }
        Ok(Self { values, codes })
    }

    /// The values in order; a value's place is its code.
    #[must_use]
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// A value's code; none for a value outside the domain.
    #[must_use]
    pub fn code(&self, value: &str) -> Option<u32> {
        self.codes.get(value).copied()
    }
}

impl TryFrom<Vec<String>> for Domain {
    type Error = SchemaError;

    fn try_from(values: Vec<String>) -> Result<Self, SchemaError> {
        Self::new(values)
    }
}

impl From<Domain> for Vec<String> {
    fn from(domain: Domain) -> Self {
        domain.values
    }
}

/// A histogram's public edges, in steps of its column, the first and last included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<i64>", into = "Vec<i64>")]
pub struct Edges {
    steps: Vec<i64>,
}

impl TryFrom<Vec<i64>> for Edges {
    type Error = SchemaError;

    fn try_from(steps: Vec<i64>) -> Result<Self, SchemaError> {
        if steps.len() < 2 || steps.len() > 65_537 {
            return Err(SchemaError::Bins { found: steps.len().saturating_sub(1) as u64 });
        }
        match steps.windows(2).position(|pair| matches!(pair, [a, b] if a >= b)) {
            Some(before) => Err(SchemaError::Edge { index: before + 1 }),
            None => Ok(Self { steps }),
        }
    }
}

impl From<Edges> for Vec<i64> {
    fn from(edges: Edges) -> Self {
        edges.steps
    }
}

impl Edges {
    /// `bins` bins over the whole range, as equal as whole steps allow.
    ///
    /// # Errors
    /// When there are none, or more than steps or 65,536.
    pub fn equal(bounds: Bounds, bins: u32) -> Result<Self, SchemaError> {
        if bins == 0 || bins > 65_536 || i64::from(bins) > bounds.width() {
            return Err(SchemaError::Bins { found: bins.into() });
        }
        let edge = |i: u32| {
            let along = i128::from(bounds.width()) * i128::from(i) / i128::from(bins);
            bounds.low() + i64::try_from(along).unwrap_or(0)
        };
        Ok(Self { steps: (0..=bins).map(edge).collect() })
    }

    /// Bins between the bounds' ends and these inner edges, in the column's own unit.
    ///
    /// # Errors
    /// When an edge does not rise above the one before it or leaves the bounds.
    pub fn inner(bounds: Bounds, inner: &[f64]) -> Result<Self, SchemaError> {
        if inner.len() > 65_535 {
            return Err(SchemaError::Bins { found: inner.len() as u64 + 1 });
        }
        let mut steps = vec![bounds.low()];
        for (index, &edge) in inner.iter().enumerate() {
            let step = bounds.clamp(edge).ok_or(SchemaError::Edge { index })?;
            if step <= steps.last().copied().unwrap_or(step) || step >= bounds.high() {
                return Err(SchemaError::Edge { index });
            }
            steps.push(step);
        }
        steps.push(bounds.high());
        Ok(Self { steps })
    }

    /// The edges in steps.
    #[must_use]
    pub fn steps(&self) -> &[i64] {
        &self.steps
    }

    /// Whether the first and last edge are the column's bounds.
    pub(crate) fn span(&self, bounds: Bounds) -> bool {
        self.steps.first() == Some(&bounds.low()) && self.steps.last() == Some(&bounds.high())
    }

    /// How many bins.
    #[must_use]
    pub fn bins(&self) -> usize {
        self.steps.len().saturating_sub(1)
    }

    /// The bin of a clamped value: lower edges belong to their bin, the last edge to the last bin.
    pub(crate) fn bin(&self, steps: i64) -> usize {
        let at_or_below = self.steps.partition_point(|&edge| edge <= steps);
        at_or_below.saturating_sub(1).min(self.bins().saturating_sub(1))
    }
}

/// What is publicly known of a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Column {
    /// Numbers within bounds.
    Number(Bounds),
    /// Moments within bounds, in whole seconds since 1970.
    Instant(Bounds),
    /// Values of a public list; rows with any other are left out of groups.
    Category(Domain),
    /// Values of any kind; groups over it are shown above a threshold only.
    Open,
}

impl Column {
    /// A column of moments between two.
    ///
    /// # Errors
    /// When they are not in order.
    pub fn instant(low: Timestamp, high: Timestamp) -> Result<Self, SchemaError> {
        let seconds = |t: Timestamp| t.as_micros().div_euclid(1_000_000);
        Ok(Self::Instant(Bounds::from_steps(seconds(low), seconds(high), 0)?))
    }
}

/// What is publicly known of a dataset, and whose presence its answers must hide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Whose presence an answer hides.
    pub unit: PrivacyUnit,
    /// How many rows of a unit count.
    pub contribution: ContributionBound,
    /// Whether a unit can have several rows.
    pub rows_per_unit: RowsPerUnit,
    /// The columns that questions may name.
    pub columns: BTreeMap<ColumnPath, Column>,
}

impl Schema {
    /// How many rows of a unit count: one when the table has no more.
    #[must_use]
    pub fn rows_that_count(&self) -> u32 {
        self.effective_bound().rows()
    }

    /// The bound that applies: one row when the table has no more.
    pub(crate) fn effective_bound(&self) -> ContributionBound {
        match self.rows_per_unit {
            RowsPerUnit::One => ContributionBound::ONE_ROW,
            RowsPerUnit::Many => self.contribution,
        }
    }
}
