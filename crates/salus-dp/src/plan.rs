use std::sync::Arc;

use salus_model::{Class, Classified, ColumnPath, MicroRho};
use serde::{Deserialize, Serialize};

use crate::cost::Cost;
use crate::loss::{
    Delta, Epsilon, gaussian_tail_bound, pure_epsilon_from_rho, rho_down, rho_from_epsilon,
    rho_from_pure_epsilon,
};
use crate::noise::{Mechanism, Noise, NoiseError};
use crate::noised::{Noised, Values};
use crate::outward::{down, from_u128_up, ln_up, mul_up};
use crate::partial::{Exact, Partial};
use crate::query::{Query, Rank};
use crate::schema::{Bounds, Column, Domain, Edges, Schema};
use crate::tree::Grid;
use crate::unit::{ContributionBound, PrivacyUnit, RowsPerUnit};

/// How much a question may cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spend {
    /// This much of the account.
    Rho(MicroRho),
    /// The part of the account that is `epsilon` at `delta`, the dataset's.
    Epsilon {
        /// ε.
        epsilon: Epsilon,
        /// The dataset's δ.
        delta: Delta,
    },
    /// Pure ε-differential privacy, which only the Laplace mechanism gives.
    PureEpsilon(Epsilon),
}

/// Why a question cannot be planned or executed.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The schema does not know the column.
    #[error("column '{column}' is not in the dataset's schema for private answers")]
    UnknownColumn {
        /// Which column.
        column: ColumnPath,
    },
    /// The column cannot be used in this place.
    #[error("column '{column}' is no {wanted} column")]
    WrongColumn {
        /// Which column.
        column: ColumnPath,
        /// What was wanted.
        wanted: &'static str,
    },
    /// Not one or two group columns.
    #[error("groups are over one or two columns, not {found}")]
    Keys {
        /// How many were named.
        found: usize,
    },
    /// More cells than an answer can hold.
    #[error("the groups have {cells} cells, and at most 1,048,576 can be answered")]
    TooManyCells {
        /// How many.
        cells: usize,
    },
    /// Open groups without the chance that a threshold needs.
    #[error("column '{column}' has no public list of values, so its groups need a threshold δ")]
    NeedsThreshold {
        /// Which column.
        column: ColumnPath,
    },
    /// A histogram whose edges are not those of the column.
    #[error("the histogram's first and last edge must be the bounds of column '{column}'")]
    EdgesOutside {
        /// Which column.
        column: ColumnPath,
    },
    /// Nothing asked: no ranks, or no places in a top list.
    #[error("ask for at least one quantile or place")]
    NothingAsked,
    /// No loss allowed.
    #[error("a question costs more than nothing; allow it at least 1 µρ")]
    NothingToSpend,
    /// The Gaussian mechanism has no pure ε.
    #[error("pure ε is for the Laplace mechanism; give the Gaussian a ρ, or ε with δ")]
    PureNeedsLaplace,
    /// The noise would not fit.
    #[error("no usable noise scale follows from this spend and these bounds")]
    Noise(#[from] NoiseError),
    /// A partial made by another plan.
    #[error("the partial result belongs to another question")]
    ForeignPartial,
}

impl Classified for PlanError {
    fn class(&self) -> Class {
        match self {
            Self::Noise(e) => e.class(),
            Self::ForeignPartial => Class::Bug,
            _ => Class::BadRequest,
        }
    }
}

/// What a plan counts, with every bound resolved from the schema.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Layout {
    Count,
    Units,
    Distinct,
    Cells { keys: Vec<(ColumnPath, Domain)>, top: Option<u32> },
    Open { keys: Vec<ColumnPath>, top: Option<u32>, threshold: i128 },
    Sum { bounds: Bounds },
    Mean { bounds: Bounds },
    Variance { bounds: Bounds },
    Tree { grid: Grid, want: Want },
    Histogram { bounds: Bounds, edges: Edges, ends: Ends },
    Regression { x: Bounds, y: Bounds },
}

impl Layout {
    /// Whether both count the same; thresholds follow each holder's own noise.
    pub(crate) fn same_question(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Open { keys: a, top: k, .. }, Self::Open { keys: b, top: l, .. }) => {
                a == b && k == l
            }
            _ => self == other,
        }
    }
}

/// How a histogram's edges are written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Ends {
    Numbers,
    Instants,
}

/// What is read from a tree.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Want {
    Minimum,
    Maximum,
    Ranks(Vec<Rank>),
}

/// Neighbouring numbers of one kind, which share a noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Block {
    pub(crate) len: usize,
    pub(crate) noise: Noise,
    /// L2 sensitivity of the block, which joint noise is sized by.
    pub(crate) l2: f64,
    /// The block's part of the loss.
    pub(crate) rho: f64,
    /// The most that one row adds to one number of the block.
    pub(crate) most_per_row: f64,
    /// Whether rows can also take away.
    pub(crate) negative: bool,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Shape {
    pub(crate) layout: Layout,
    pub(crate) columns: Vec<ColumnPath>,
    pub(crate) unit: PrivacyUnit,
    pub(crate) bound: ContributionBound,
    pub(crate) rows_per_unit: RowsPerUnit,
    pub(crate) blocks: Vec<Block>,
    pub(crate) cost: Cost,
}

/// A question with its cost and its noise fixed, before any row is read.
///
/// Not `Clone`: a plan is executed once, and each execution is charged.
#[derive(Debug)]
pub struct Plan {
    pub(crate) shape: Arc<Shape>,
}

/// The error to expect, known before asking.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpectedError {
    /// Of each number itself.
    Value {
        /// Standard error.
        standard_error: f64,
        /// Half of the 95 % interval.
        half_width: f64,
    },
    /// Of a ratio, at the number of rows assumed.
    AtRows {
        /// The rows assumed.
        rows: u64,
        /// Standard error.
        standard_error: f64,
        /// Half of the 95 % interval.
        half_width: f64,
    },
    /// Of a rank: the value found stands at most this many rows away from the rank asked for.
    Rank {
        /// Standard error, in rows.
        standard_error: f64,
        /// Half of the 95 % interval, in rows.
        half_width: f64,
    },
}

/// Fixes cost and noise of a question from the schema and the spend alone.
///
/// # Privacy
/// Bounds and group keys come from the schema, never from rows. The plan's cost is what executing
/// it must be charged.
///
/// # Errors
/// When the question does not fit the schema or the spend.
pub fn plan(
    query: &Query,
    schema: &Schema,
    spend: Spend,
    mechanism: Mechanism,
) -> Result<Plan, PlanError> {
    let bound = match query {
        // One row of each unit says that the unit is there.
        Query::DistinctUnits => ContributionBound::ONE_ROW,
        _ => schema.effective_bound(),
    };
    let (mut layout, columns, threshold_delta) = resolve(query, schema)?;
    let sensitivities = sensitivities(&layout, bound);
    let (rho, epsilon) = loss(spend, mechanism)?;
    let parts = u32::try_from(sensitivities.len()).unwrap_or(u32::MAX);
    let blocks = sensitivities
        .iter()
        .map(|s| {
            block(s, mechanism, down(rho_down(rho) / f64::from(parts)), epsilon / f64::from(parts))
        })
        .collect::<Result<Vec<_>, _>>()?;
    if let (Layout::Open { threshold, .. }, Some(delta), Some(first)) =
        (&mut layout, threshold_delta, blocks.first())
    {
        *threshold = threshold_of(first.noise, bound, delta);
    }
    let open = matches!(layout, Layout::Open { .. });
    let cost = Cost { rho, threshold_delta: threshold_delta.filter(|_| open) };
    let (unit, rows_per_unit) = (schema.unit, schema.rows_per_unit);
    Ok(Plan {
        shape: Arc::new(Shape { layout, columns, unit, bound, rows_per_unit, blocks, cost }),
    })
}

/// The account's part and, for Laplace, the pure ε.
fn loss(spend: Spend, mechanism: Mechanism) -> Result<(MicroRho, f64), PlanError> {
    let rho = match spend {
        Spend::Rho(rho) => rho,
        Spend::Epsilon { epsilon, delta } => rho_from_epsilon(epsilon, delta),
        Spend::PureEpsilon(_) if mechanism == Mechanism::Gaussian => {
            return Err(PlanError::PureNeedsLaplace);
        }
        Spend::PureEpsilon(epsilon) => {
            let rho = rho_from_pure_epsilon(epsilon).ok_or(PlanError::NothingToSpend)?;
            return if epsilon.get() > 0.0 {
                Ok((rho, epsilon.get()))
            } else {
                Err(PlanError::NothingToSpend)
            };
        }
    };
    let epsilon = match mechanism {
        Mechanism::Gaussian => 0.0,
        Mechanism::Laplace => pure_epsilon_from_rho(rho).get(),
    };
    if rho == MicroRho::ZERO || (mechanism == Mechanism::Laplace && epsilon <= 0.0) {
        return Err(PlanError::NothingToSpend);
    }
    Ok((rho, epsilon))
}

struct Sensitivity {
    len: usize,
    l1: f64,
    l2: f64,
    most_per_row: f64,
    negative: bool,
}

fn block(
    s: &Sensitivity,
    mechanism: Mechanism,
    rho: f64,
    epsilon: f64,
) -> Result<Block, PlanError> {
    let noise = match mechanism {
        Mechanism::Gaussian => Noise::gaussian(s.l2, rho)?,
        Mechanism::Laplace => Noise::laplace(s.l1, down(epsilon))?,
    };
    let Sensitivity { len, l2, most_per_row, negative, .. } = *s;
    Ok(Block { len, noise, l2, rho, most_per_row, negative })
}

/// The count that a group made by one unit alone reaches with a chance of at most `delta`.
///
/// # Source
/// Korolova et al. 2009, with the union over the groups of one unit; tails as in
/// [`Noise::half_width`].
fn threshold_of(noise: Noise, bound: ContributionBound, delta: Delta) -> i128 {
    let each = down(delta.probability_down() / f64::from(bound.rows()));
    let s = noise.scale.get();
    let above = match noise.mechanism {
        Mechanism::Gaussian => 1.0 + mul_up(s, gaussian_tail_bound(each)).ceil(),
        Mechanism::Laplace => mul_up(s, ln_up(1.0 / each)).ceil(),
    };
    i128::from(bound.per_group()) + above as i128
}

fn number(schema: &Schema, column: &ColumnPath) -> Result<Bounds, PlanError> {
    match column_of(schema, column)? {
        Column::Number(bounds) => Ok(*bounds),
        _ => Err(PlanError::WrongColumn { column: column.clone(), wanted: "number" }),
    }
}

fn ordered(schema: &Schema, column: &ColumnPath) -> Result<Bounds, PlanError> {
    match column_of(schema, column)? {
        Column::Number(bounds) | Column::Instant(bounds) => Ok(*bounds),
        _ => Err(PlanError::WrongColumn { column: column.clone(), wanted: "number or date" }),
    }
}

fn column_of<'a>(schema: &'a Schema, column: &ColumnPath) -> Result<&'a Column, PlanError> {
    schema.columns.get(column).ok_or_else(|| PlanError::UnknownColumn { column: column.clone() })
}

type Resolved = (Layout, Vec<ColumnPath>, Option<Delta>);

fn resolve(query: &Query, schema: &Schema) -> Result<Resolved, PlanError> {
    let one = |layout, column: &ColumnPath| Ok((layout, vec![column.clone()], None));
    match query {
        Query::Count => Ok((Layout::Count, Vec::new(), None)),
        Query::DistinctUnits => Ok((Layout::Units, Vec::new(), None)),
        Query::DistinctCount { column } => {
            column_of(schema, column)?;
            one(Layout::Distinct, column)
        }
        Query::GroupedCount { keys, threshold_delta } => {
            groups(schema, keys, None, *threshold_delta)
        }
        Query::TopK { k: 0, .. } => Err(PlanError::NothingAsked),
        Query::TopK { keys, k, threshold_delta } => {
            groups(schema, keys, Some(*k), *threshold_delta)
        }
        Query::Sum { column } => one(Layout::Sum { bounds: number(schema, column)? }, column),
        Query::Mean { column } => one(Layout::Mean { bounds: number(schema, column)? }, column),
        Query::Variance { column } => {
            one(Layout::Variance { bounds: number(schema, column)? }, column)
        }
        Query::Minimum { column } => one(tree(schema, column, Want::Minimum)?, column),
        Query::Maximum { column } => one(tree(schema, column, Want::Maximum)?, column),
        Query::Quantiles { ranks, .. } if ranks.is_empty() => Err(PlanError::NothingAsked),
        Query::Quantiles { column, ranks } => {
            one(tree(schema, column, Want::Ranks(ranks.clone()))?, column)
        }
        Query::Histogram { column, edges } => {
            let bounds = ordered(schema, column)?;
            let instant = matches!(column_of(schema, column)?, Column::Instant(_));
            let ends = if instant { Ends::Instants } else { Ends::Numbers };
            if !edges.span(bounds) {
                return Err(PlanError::EdgesOutside { column: column.clone() });
            }
            one(Layout::Histogram { bounds, edges: edges.clone(), ends }, column)
        }
        Query::LinearRegression { x, y } => {
            let layout = Layout::Regression { x: number(schema, x)?, y: number(schema, y)? };
            Ok((layout, vec![x.clone(), y.clone()], None))
        }
    }
}

fn tree(schema: &Schema, column: &ColumnPath, want: Want) -> Result<Layout, PlanError> {
    Ok(Layout::Tree { grid: Grid::new(ordered(schema, column)?), want })
}

fn groups(
    schema: &Schema,
    keys: &[ColumnPath],
    top: Option<u32>,
    threshold_delta: Option<Delta>,
) -> Result<Resolved, PlanError> {
    if keys.is_empty() || keys.len() > 2 {
        return Err(PlanError::Keys { found: keys.len() });
    }
    let mut closed = Vec::new();
    let mut open = None;
    for key in keys {
        match column_of(schema, key)? {
            Column::Category(domain) => closed.push((key.clone(), domain.clone())),
            Column::Open => open = Some(key),
            _ => return Err(PlanError::WrongColumn { column: key.clone(), wanted: "category" }),
        }
    }
    let columns = keys.to_vec();
    if let Some(column) = open {
        if threshold_delta.is_none() {
            return Err(PlanError::NeedsThreshold { column: column.clone() });
        }
        let layout = Layout::Open { keys: columns.clone(), top, threshold: i128::MAX };
        return Ok((layout, columns, threshold_delta));
    }
    let cells = closed.iter().map(|(_, d)| d.values().len()).product();
    if cells > 1 << 20 {
        return Err(PlanError::TooManyCells { cells });
    }
    Ok((Layout::Cells { keys: closed, top }, columns, None))
}

/// What one unit can move in each block, at most.
fn sensitivities(layout: &Layout, bound: ContributionBound) -> Vec<Sensitivity> {
    let rows = bound.l1();
    // A block where each of the unit's rows adds up to `most` to the same number.
    let moved = |most: u128, negative| {
        let most_per_row = from_u128_up(most);
        let moved = mul_up(rows, most_per_row);
        Sensitivity { len: 1, l1: moved, l2: moved, most_per_row, negative }
    };
    let (sum, signed) = (|most| moved(most, false), |most| moved(most, true));
    let counts = |len, l2| Sensitivity { len, l1: rows, l2, most_per_row: 1.0, negative: false };
    let groups = |len| counts(len, bound.grouped_l2());
    // Bins and nodes are not groups that a bound per group applies to: all rows may share one.
    let bins = |len| counts(len, rows);
    let width = |b: &Bounds| u128::from(b.width().unsigned_abs());
    match layout {
        Layout::Count | Layout::Units | Layout::Distinct => vec![sum(1)],
        Layout::Cells { keys, .. } => {
            vec![groups(keys.iter().map(|(_, d)| d.values().len()).product())]
        }
        Layout::Open { .. } => vec![groups(0)],
        Layout::Sum { bounds } => {
            vec![signed(bounds.low().unsigned_abs().max(bounds.high().unsigned_abs()).into())]
        }
        Layout::Mean { bounds } => vec![sum(1), signed(width(bounds))],
        Layout::Variance { bounds } => {
            let w = width(bounds);
            vec![sum(1), signed(w), sum(w * w)]
        }
        Layout::Tree { grid, .. } => (0..grid.levels()).map(|l| bins(grid.nodes(l))).collect(),
        Layout::Histogram { edges, .. } => vec![bins(edges.bins())],
        Layout::Regression { x, y } => {
            let (wx, wy) = (width(x), width(y));
            vec![sum(1), signed(wx), signed(wy), sum(wx * wx), signed(wx * wy), sum(wy * wy)]
        }
    }
}

impl Plan {
    /// What executing the plan must be charged.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.shape.cost
    }

    /// The columns whose values each observed row brings, in this order.
    #[must_use]
    pub fn columns(&self) -> &[ColumnPath] {
        &self.shape.columns
    }

    /// Whose presence the answer hides.
    #[must_use]
    pub fn unit(&self) -> PrivacyUnit {
        self.shape.unit
    }

    /// The smallest noisy count at which an open group is shown; none over public domains.
    #[must_use]
    pub fn threshold(&self) -> Option<i128> {
        match self.shape.layout {
            Layout::Open { threshold, .. } => Some(threshold),
            _ => None,
        }
    }

    /// The error to expect; `assumed_rows` is the asker's guess and matters to ratios only.
    #[must_use]
    pub fn expected_error(&self, assumed_rows: u64) -> ExpectedError {
        let deviation = |i: usize| {
            self.shape.blocks.get(i).map_or(f64::INFINITY, |b| b.noise.variance().sqrt())
        };
        let n = assumed_rows.max(1) as f64;
        let at_rows = |standard_error: f64| ExpectedError::AtRows {
            rows: assumed_rows,
            standard_error,
            half_width: 1.96 * standard_error,
        };
        match &self.shape.layout {
            Layout::Mean { bounds } => {
                // With the mean half way between the middle and a bound.
                let (w, unit) = (bounds.width() as f64, 2.0 * bounds.unit());
                at_rows(deviation(1).hypot(0.5 * w * deviation(0)) / (n * unit))
            }
            Layout::Variance { bounds } => {
                let (w, unit) = (bounds.width() as f64, 2.0 * bounds.unit());
                let second =
                    deviation(2).hypot(w * deviation(1)).hypot(0.25 * w * w * deviation(0));
                at_rows(second / (n * unit * unit))
            }
            Layout::Regression { x, y } => {
                // With x spread evenly over its range and y following it.
                let (wx, wy) = (x.width() as f64, y.width() as f64);
                let spread = n * wx * wx / 3.0;
                let slope = deviation(4).hypot(deviation(3) * wy / wx) / spread;
                at_rows(slope * x.unit() / y.unit())
            }
            Layout::Tree { grid, .. } => {
                let variance = |level: u32| deviation(level as usize).powi(2);
                let middle = grid.leaves() / 2 - 1;
                let standard_error = grid.prefix_variance(middle, variance).sqrt();
                ExpectedError::Rank { standard_error, half_width: 1.96 * standard_error }
            }
            Layout::Sum { bounds } => self.value_error(bounds.unit()),
            _ => self.value_error(1.0),
        }
    }

    fn value_error(&self, unit: f64) -> ExpectedError {
        let noise = self.shape.blocks.first().map(|b| b.noise);
        ExpectedError::Value {
            standard_error: noise.map_or(f64::INFINITY, |n| n.variance().sqrt()) / unit,
            half_width: noise.map_or(f64::INFINITY, |n| n.half_width(0.05)) / unit,
        }
    }

    /// An empty partial result, to be filled from one part of the scan.
    #[must_use]
    pub fn partial(&self) -> Partial {
        Partial::new(Arc::clone(&self.shape))
    }

    /// Adds the noise. The plan is used up, and what comes out is public once it has been charged.
    ///
    /// # Privacy
    /// [`Plan::cost`] of the plan's unit, whatever the rows were.
    ///
    /// # Errors
    /// When the partial belongs to another plan or the private generator does not answer.
    pub fn execute(self, partial: Partial) -> Result<Noised, PlanError> {
        if !Arc::ptr_eq(&self.shape, &partial.shape) {
            return Err(PlanError::ForeignPartial);
        }
        let values = match partial.into_exact() {
            Exact::Vector(exact) => Values::Vector(add_noise(&self.shape.blocks, exact)?),
            Exact::Distinct(set) => {
                Values::Vector(add_noise(&self.shape.blocks, vec![set.len() as i128])?)
            }
            Exact::Groups(groups) => Values::Groups(self.threshold_groups(groups)?),
        };
        Ok(Noised::of_one(self.shape, values))
    }

    fn threshold_groups(
        &self,
        groups: impl IntoIterator<Item = (Vec<String>, i128)>,
    ) -> Result<Vec<(Vec<String>, i128)>, PlanError> {
        let threshold = self.threshold().unwrap_or(i128::MAX);
        let block = self.shape.blocks.first().ok_or(PlanError::ForeignPartial)?;
        let noise = block.noise.source();
        let mut shown = Vec::new();
        for (key, count) in groups {
            let noisy = count.saturating_add(noise.draw()?);
            if noisy >= threshold {
                shown.push((key, noisy));
            }
        }
        // The order in which groups were met would tell of rows.
        shown.sort();
        Ok(shown)
    }
}

fn add_noise(blocks: &[Block], mut exact: Vec<i128>) -> Result<Vec<i128>, PlanError> {
    if exact.len() != blocks.iter().map(|b| b.len).sum::<usize>() {
        return Err(PlanError::ForeignPartial);
    }
    let mut rest = exact.as_mut_slice();
    for block in blocks {
        let noise = block.noise.source();
        let (of_block, others) =
            rest.split_at_mut_checked(block.len).ok_or(PlanError::ForeignPartial)?;
        for value in of_block {
            *value = value.saturating_add(noise.draw()?);
        }
        rest = others;
    }
    Ok(exact)
}
