use std::collections::HashMap;

use salus_dp::{Cost, MarginalError, SelectionError, measure_counts};
use salus_model::{Class, Classified, MicroRho};
use serde::{Deserialize, Serialize};

use crate::compression::Compression;
use crate::estimate::{Estimator, Measured, total};
use crate::marginal::{Scope, sum_by};
use crate::model::{Graph, Inner, Model};
use crate::table::Table;
use crate::{aim, copula, mst, privbayes};

/// How the distribution is modelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// A tree of two-way marginals, and a few more where the tree errs most: fast.
    Mst,
    /// Two-way marginals chosen one after the other where the model errs most.
    Aim,
    /// A Bayesian network with at most two parents.
    PrivBayes,
    /// A Gaussian copula: one-way marginals and correlations of ordered codes.
    Copula,
}

/// Why no model was fitted.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// Too little to look at anything.
    #[error("fitting needs a larger ρ; at least 10 µρ for each attribute")]
    TooLittle,
    /// Rows of a unit whose noise would not fit its number.
    #[error(
        "{rows_per_unit} records of a person are too many: their noise does not fit its number"
    )]
    TooManyRows {
        /// How many a unit was allowed.
        rows_per_unit: u32,
    },
    /// A marginal that takes more room than there is.
    #[error("a marginal has more than 4,194,304 cells; take values together, or fewer bins")]
    TooLarge,
    /// Noise could not be drawn.
    #[error("a marginal could not be measured")]
    Measure(#[from] MarginalError),
    /// Nothing could be selected.
    #[error("a marginal could not be selected")]
    Select(#[from] SelectionError),
}

impl Classified for FitError {
    fn class(&self) -> Class {
        match self {
            Self::TooLittle | Self::TooManyRows { .. } | Self::TooLarge => Class::BadRequest,
            Self::Measure(e) => e.class(),
            Self::Select(e) => e.class(),
        }
    }
}

/// Cells that a measured marginal may have.
pub(crate) const MOST_MARGINAL_CELLS: usize = 1 << 22;
/// Exact counts that are kept rather than counted again, in cells.
const MOST_KEPT: usize = 1 << 23;

/// Looks at the rows, and counts what that costs.
pub(crate) struct Looks<'a> {
    columns: &'a [Vec<u16>],
    /// The most rows of one unit.
    pub(crate) unit_rows: u32,
    left: MicroRho,
    /// Exact marginals counted already, as many as there is room for; they never leave.
    counted: HashMap<Vec<usize>, Vec<i64>>,
    kept: usize,
}

/// Exact scores of candidates: they never leave, but for the one that is selected.
pub(crate) struct Scores {
    exact: Vec<i64>,
    /// By how much one row moves each of them.
    row: u32,
}

/// What is expected of a candidate's cells, and the part of the difference that chance or noise
/// alone would make.
pub(crate) type Expected = (Vec<i64>, i64);

impl<'a> Looks<'a> {
    fn new(columns: &'a [Vec<u16>], unit_rows: u32, left: MicroRho) -> Self {
        Self { columns, unit_rows, left, counted: HashMap::new(), kept: 0 }
    }

    pub(crate) fn left(&self) -> MicroRho {
        self.left
    }

    /// Takes a part of what is left; all of it when it is less.
    fn take(&mut self, rho: MicroRho) -> Result<MicroRho, FitError> {
        let part = rho.min(self.left);
        if part == MicroRho::ZERO {
            return Err(FitError::TooLittle);
        }
        self.left = self.left.checked_sub(part).unwrap_or(MicroRho::ZERO);
        Ok(part)
    }

    /// What one unit moves where one row moves `row`.
    fn sensitivity(&self, row: u32) -> Result<u32, FitError> {
        let rows_per_unit = self.unit_rows;
        row.checked_mul(rows_per_unit).ok_or(FitError::TooManyRows { rows_per_unit })
    }

    /// A noisy marginal.
    pub(crate) fn measure(&mut self, scope: &Scope, rho: MicroRho) -> Result<Measured, FitError> {
        if scope.cells() > MOST_MARGINAL_CELLS {
            return Err(FitError::TooLarge);
        }
        let rho = self.take(rho)?;
        let noisy = measure_counts(&scope.count(self.columns), self.unit_rows, rho)?;
        let counts = noisy.counts.iter().map(|c| *c as f64).collect();
        // A floor keeps precisions finite where the budget leaves no noise at all.
        Ok(Measured::new(scope.clone(), counts, noisy.noise.variance().max(1e-3)))
    }

    /// What `of` makes of a scope's exact counts.
    fn counted<T>(&mut self, scope: &Scope, of: impl FnOnce(&[i64]) -> T) -> T {
        if let Some(counts) = self.counted.get(&scope.attrs) {
            return of(counts);
        }
        let counts = scope.count(self.columns);
        let found = of(&counts);
        if self.kept + counts.len() <= MOST_KEPT {
            self.kept += counts.len();
            self.counted.insert(scope.attrs.clone(), counts);
        }
        found
    }

    /// How far each candidate's exact counts are from what is expected of it, times its weight.
    ///
    /// One candidate after the other: what is expected of all of them together need not fit into
    /// memory.
    pub(crate) fn scores(
        &mut self,
        candidates: &[(Scope, u32)],
        expected: impl Fn(&Scope) -> Expected,
    ) -> Scores {
        let mut exact = Vec::with_capacity(candidates.len());
        for (scope, weight) in candidates {
            if *weight == 0 {
                exact.push(0);
                continue;
            }
            let (expected, allowance) = expected(scope);
            let off = self.counted(scope, |counts| -> i64 {
                counts.iter().zip(&expected).map(|(a, b)| (a - b).abs()).sum()
            });
            exact.push(i64::from(*weight).saturating_mul(off.saturating_sub(allowance)));
        }
        // One row moves one cell by one, and so a weighted L1 distance by at most the weight.
        Scores { exact, row: candidates.iter().map(|c| c.1).max().unwrap_or(1) }
    }

    /// The open candidate with a high score, by the exponential mechanism.
    pub(crate) fn select(
        &mut self,
        scores: &Scores,
        open: &[usize],
        rho: MicroRho,
    ) -> Result<usize, FitError> {
        let sensitivity = self.sensitivity(scores.row)?;
        let rho = self.take(rho)?;
        let exact: Vec<i64> = open.iter().filter_map(|i| scores.exact.get(*i)).copied().collect();
        let chosen = salus_dp::select(&exact, sensitivity, rho)?;
        Ok(open.get(chosen).copied().unwrap_or(usize::MAX))
    }

    /// The family whose child depends most on its parents, beyond an allowance for chance, by the
    /// exponential mechanism. Each is its child and its scope, the child included.
    pub(crate) fn select_family(
        &mut self,
        families: &[(usize, Scope, i64)],
        sizes: &[usize],
        rho: MicroRho,
    ) -> Result<usize, FitError> {
        let sensitivity = self.sensitivity(DEPENDENCE_SENSITIVITY)?;
        let rho = self.take(rho)?;
        let mut scores = Vec::with_capacity(families.len());
        for (child, scope, allowance) in families {
            let found = self.counted(scope, |counts| dependence(scope, *child, sizes, counts));
            scores.push(found - allowance);
        }
        Ok(salus_dp::select(&scores, sensitivity, rho)?)
    }

    /// Sums of products of scores in whole steps; see [`copula`].
    pub(crate) fn sums(
        &mut self,
        sums: &[i64],
        row_l2: u32,
        rho: MicroRho,
    ) -> Result<(Vec<i128>, f64), FitError> {
        let sensitivity = self.sensitivity(row_l2)?;
        let rho = self.take(rho)?;
        let noisy = measure_counts(sums, sensitivity, rho)?;
        let variance = noisy.noise.variance();
        Ok((noisy.counts, variance))
    }

    pub(crate) fn columns(&self) -> &[Vec<u16>] {
        self.columns
    }
}

/// One row moves a cell by 1 and the product of the margins by at most 3 in all; rounding down to
/// whole numbers adds less than 1.
const DEPENDENCE_SENSITIVITY: u32 = 5;

/// The whole part of the L1 distance between a family's counts and the product of its child's and
/// its parents' margins.
fn dependence(scope: &Scope, child: usize, sizes: &[usize], counts: &[i64]) -> i64 {
    let parents = scope.attrs.iter().copied().filter(|a| *a != child).collect();
    let (own, parents) = (Scope::new(vec![child], sizes), Scope::new(parents, sizes));
    let cells: Vec<f64> = counts.iter().map(|c| *c as f64).collect();
    let (to_own, to_parents) = (scope.map_onto(&own), scope.map_onto(&parents));
    let by_child = sum_by(&cells, &to_own, own.cells());
    let by_parents = sum_by(&cells, &to_parents, parents.cells());
    let rows = cells.iter().sum::<f64>().max(1.0);
    let margin = |of: &[f64], at: &u32| of.get(*at as usize).copied().unwrap_or(0.0);
    let off = |(cell, (c, p)): (&f64, (&u32, &u32))| {
        (cell - margin(&by_child, c) * margin(&by_parents, p) / rows).abs()
    };
    cells.iter().zip(to_own.iter().zip(&to_parents)).map(off).sum::<f64>().floor() as i64
}

pub(crate) fn part(rho: MicroRho, share: f64) -> MicroRho {
    MicroRho::new((rho.get() as f64 * share) as u64)
}

/// Fits a model at a loss of `rho`.
///
/// # Privacy
/// `rho`-zCDP for a unit with all of its rows in the table.
///
/// # Errors
/// When ρ is too small, a unit has too many rows, or the private generator does not answer.
///
/// # Cost
/// On 24,000 rows and 9 attributes, seconds for AIM and less for the others.
pub fn fit(table: &Table, method: Method, rho: MicroRho) -> Result<Model, FitError> {
    let attributes = table.attributes.len() as u64;
    if rho.get() / 10 < attributes {
        return Err(FitError::TooLittle);
    }
    let sizes: Vec<usize> = table.attributes.iter().map(|a| a.size()).collect();
    let first_share = match method {
        Method::Aim => aim::ONE_WAY_SHARE,
        Method::Mst | Method::PrivBayes => 1.0 / 3.0,
        Method::Copula => 0.4,
    };
    let unit_rows = table.rows_per_unit;
    let mut looks = Looks::new(&table.columns, unit_rows, rho);
    let each = MicroRho::new(part(rho, first_share).get() / attributes);
    let one_way = (0..sizes.len())
        .map(|a| looks.measure(&Scope::new(vec![a], &sizes), each))
        .collect::<Result<Vec<_>, _>>()?;
    let compression = Compression::of(&one_way);
    let short = compression.columns(&table.columns);
    let mut looks = Looks::new(&short, unit_rows, looks.left);
    let one_way = compression.measured(&one_way);
    let cost = Cost::of_rho(rho);
    let rows = total(&one_way);
    let inner = if method == Method::Copula {
        Inner::Copula(copula::fit(&mut looks, &one_way)?)
    } else {
        let measured = match method {
            Method::Aim => aim::measure(&mut looks, one_way, rho)?,
            Method::PrivBayes => privbayes::measure(&mut looks, one_way)?,
            _ => mst::measure(&mut looks, one_way)?,
        };
        Inner::Graph(finish(measured, &compression.sizes()))
    };
    Ok(Model::new(table.attributes.to_vec(), method, cost, rows, compression, inner))
}

const LAST_ROUNDS: u32 = 400;

pub(crate) fn finish(measured: Vec<Measured>, sizes: &[usize]) -> Graph {
    finish_in(measured, sizes, LAST_ROUNDS)
}

fn finish_in(mut measured: Vec<Measured>, sizes: &[usize], rounds: u32) -> Graph {
    let rows = total(&measured);
    let mut estimator = Estimator::new(sizes, &measured);
    estimator.fit(&mut measured, rows, rounds);
    Graph::new(sizes.to_vec(), measured.into_iter().map(|m| (m.scope.attrs, m.potential)).collect())
}

/// Marginals of a refit are fitted in so many steps: it is one of many, and its momentum gets it
/// where the last digits start.
const REFIT_ROUNDS: u32 = 120;

/// Fits a model that looks where another one looked, at a loss of `rho`: what that one chose is
/// public, and choosing again is most of the work of a fit.
///
/// # Privacy
/// `rho`-zCDP for a unit with all of its rows in the table.
///
/// # Errors
/// As [`fit`].
pub fn refit(table: &Table, like: &Model, rho: MicroRho) -> Result<Model, FitError> {
    let Inner::Graph(graph) = like.inner() else { return fit(table, like.method(), rho) };
    let sizes: Vec<usize> = table.attributes.iter().map(|a| a.size()).collect();
    let attributes = sizes.len() as u64;
    let pairs: Vec<&Vec<usize>> =
        graph.potentials.iter().map(|(attrs, _)| attrs).filter(|attrs| attrs.len() > 1).collect();
    if rho.get() / 10 < attributes + pairs.len() as u64 {
        return Err(FitError::TooLittle);
    }
    let mut looks = Looks::new(&table.columns, table.rows_per_unit, rho);
    let share = if pairs.is_empty() { 1.0 } else { aim::ONE_WAY_SHARE };
    let each = MicroRho::new(part(rho, share).get() / attributes);
    let one_way = (0..sizes.len())
        .map(|a| looks.measure(&Scope::new(vec![a], &sizes), each))
        .collect::<Result<Vec<_>, _>>()?;
    let compression = Compression::of(&one_way);
    let short = compression.columns(&table.columns);
    let mut looks = Looks::new(&short, table.rows_per_unit, looks.left);
    let mut measured = compression.measured(&one_way);
    let rows = total(&measured);
    let sizes = compression.sizes();
    let each = MicroRho::new(looks.left().get() / pairs.len().max(1) as u64);
    for attrs in pairs {
        measured.push(looks.measure(&Scope::new(attrs.clone(), &sizes), each)?);
    }
    let inner = Inner::Graph(finish_in(measured, &sizes, REFIT_ROUNDS));
    let attributes = table.attributes.to_vec();
    Ok(Model::new(attributes, like.method(), Cost::of_rho(rho), rows, compression, inner))
}
