use salus_model::{ColumnPath, Timestamp};
use serde::{Deserialize, Serialize};

use crate::cost::Cost;
use crate::noise::{Mechanism, Noise, normal_quantile};
use crate::noised::{Noised, NoisedParts, Values};
use crate::plan::{Ends, Layout, Want};
use crate::query::Rank;
use crate::schema::{Bounds, Domain, Edges};
use crate::simulate::{DRAWS, Simulation, middle};
use crate::tree::Grid;

/// A number with its 95 % interval.
///
/// The interval is about the noise: it covers the exact answer over the clipped rows in 95 of 100
/// releases. It says nothing of sampling error or of the truth of the data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// Standard error of the noise.
    pub standard_error: f64,
}

/// How the intervals were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IntervalMethod {
    /// From the noise distribution itself.
    Exact,
    /// From the normal distribution of the summed noise of several holders.
    SummedNoise,
    /// From the noise distribution, for all groups at once (Bonferroni), because the shown ones
    /// were selected by their noisy counts.
    Simultaneous,
    /// From 2,000 simulated draws of the noise around the released moments.
    Simulated,
    /// From a band of ranks around the noisy distribution function.
    RankBand,
}

/// What is known of an answer's systematic error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bias {
    /// None over the rows that count: each unit's first rows up to the contribution bound.
    None,
    /// None over the clipped values; values outside the bounds pull towards them.
    Clipping,
    /// A ratio of noisy sums: bias of the order of (noise/rows)², beside clipping.
    Ratio,
    /// A root of a noisy variance: biased downwards when the noise is not small beside it.
    Root,
    /// Values are known to a grid of the bounds, and only where enough rows stand.
    Grid,
    /// An extreme value is found only when enough rows lie at it: the minimum is overstated, the
    /// maximum understated.
    Extreme,
    /// Shown counts were selected for being large and are overstated; groups below the threshold
    /// are left out.
    Selected,
    /// A value that several holders know is counted once by each.
    CountedPerHolder,
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswerRow {
    /// The group's key, a bin's two ends (numbers, or RFC 3339 times) or a quantile's rank; nothing
    /// for a single number. Quantiles, minimum and maximum of dates are seconds since 1970.
    pub key: Vec<String>,
    /// What the number is: `count`, `sum`, `mean`, `variance`, `standard_deviation`, `slope`, …
    pub name: String,
    /// The estimate; none where the noise is larger than what would define it.
    pub estimate: Option<Estimate>,
}

/// What the asker gets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The columns that keys belong to.
    pub key_columns: Vec<ColumnPath>,
    /// The numbers.
    pub rows: Vec<AnswerRow>,
    /// For each kind of released number, the noise of each holder.
    pub noise: Vec<Vec<Noise>>,
    /// How the intervals were made.
    pub interval: IntervalMethod,
    /// What is known of the systematic error.
    pub bias: Bias,
    /// What each holder's account was charged.
    pub cost: Cost,
    /// The released numbers themselves, for whoever puts several holders' answers together.
    pub released: NoisedParts,
}

/// The half width of an interval around a sum of noise terms that misses with probability `miss`.
fn half_width(terms: &[Noise], miss: f64) -> f64 {
    match terms {
        [one] => one.half_width(miss),
        _ if terms.iter().all(|n| n.mechanism == Mechanism::Gaussian) => {
            (deviation(terms) * normal_quantile(1.0 - miss / 2.0)).ceil()
        }
        // Each term within its own interval, at its share of the misses.
        _ => terms.iter().map(|n| n.half_width(miss / terms.len() as f64)).sum::<f64>(),
    }
}

fn deviation(terms: &[Noise]) -> f64 {
    terms.iter().map(|n| n.variance()).sum::<f64>().sqrt()
}

/// How far a noisy number may be from the exact one. The same for all numbers of a block, and the
/// quantile in it takes longer than everything else around a number.
#[derive(Clone, Copy)]
struct Width {
    half: f64,
    deviation: f64,
}

impl Width {
    fn of(terms: &[Noise], miss: f64) -> Self {
        Self { half: half_width(terms, miss), deviation: deviation(terms) }
    }

    fn around(self, value: i128, unit: f64) -> Estimate {
        let value = value as f64;
        Estimate {
            value: value / unit,
            lower: (value - self.half) / unit,
            upper: (value + self.half) / unit,
            standard_error: self.deviation / unit,
        }
    }
}

fn around(value: i128, terms: &[Noise], miss: f64, unit: f64) -> Estimate {
    Width::of(terms, miss).around(value, unit)
}

fn single(name: &str, estimate: Option<Estimate>) -> AnswerRow {
    AnswerRow { key: Vec::new(), name: name.to_owned(), estimate }
}

pub(crate) fn derive(noised: &Noised) -> Answer {
    let several = noised.sources > 1;
    let plain = if several { IntervalMethod::SummedNoise } else { IntervalMethod::Exact };
    let terms = noised.noise.first().map_or(&[][..], Vec::as_slice);
    let numbers: &[i128] = match &noised.values {
        Values::Vector(numbers) => numbers,
        Values::Groups(_) => &[],
    };
    let first = numbers.first().copied().unwrap_or(0);
    let (rows, interval, bias) = match &noised.shape.layout {
        Layout::Count => {
            (vec![single("count", Some(around(first, terms, 0.05, 1.0)))], plain, Bias::None)
        }
        Layout::Distinct | Layout::Units => {
            let bias = if several { Bias::CountedPerHolder } else { Bias::None };
            (vec![single("distinct_count", Some(around(first, terms, 0.05, 1.0)))], plain, bias)
        }
        Layout::Sum { bounds } => {
            let sum = around(first, terms, 0.05, bounds.unit());
            (vec![single("sum", Some(sum))], plain, Bias::Clipping)
        }
        Layout::Cells { keys, top: None } => (cells(keys, numbers, terms, 0.05), plain, Bias::None),
        Layout::Cells { keys, top: Some(k) } => {
            let miss = 0.05 / numbers.len().max(1) as f64;
            let rows = largest(cells(keys, numbers, terms, miss), *k);
            (rows, IntervalMethod::Simultaneous, Bias::Selected)
        }
        Layout::Open { top, .. } => open(&noised.values, terms, *top),
        Layout::Mean { bounds } => {
            (mean(noised, numbers, *bounds), IntervalMethod::Simulated, Bias::Ratio)
        }
        Layout::Variance { bounds } => {
            (variance(noised, numbers, *bounds), IntervalMethod::Simulated, Bias::Root)
        }
        Layout::Regression { x, y } => {
            (regression(noised, numbers, *x, *y), IntervalMethod::Simulated, Bias::Ratio)
        }
        Layout::Histogram { bounds, edges, ends } => {
            (bins(*bounds, edges, *ends, numbers, terms), plain, Bias::None)
        }
        Layout::Tree { grid, want } => quantiles(noised, numbers, *grid, want),
    };
    Answer {
        key_columns: if matches!(noised.shape.layout, Layout::Cells { .. } | Layout::Open { .. }) {
            noised.shape.columns.clone()
        } else {
            Vec::new()
        },
        rows,
        noise: noised.noise.clone(),
        interval,
        bias,
        cost: noised.shape.cost,
        released: noised.clone().into_parts(),
    }
}

fn cells(
    keys: &[(ColumnPath, Domain)],
    numbers: &[i128],
    terms: &[Noise],
    miss: f64,
) -> Vec<AnswerRow> {
    let key_of = |cell: usize| {
        let mut rest = cell;
        let mut key: Vec<String> = keys
            .iter()
            .rev()
            .filter_map(|(_, domain)| {
                let values = domain.values();
                let value = values.get(rest % values.len()).cloned();
                rest /= values.len();
                value
            })
            .collect();
        key.reverse();
        key
    };
    let width = Width::of(terms, miss);
    numbers
        .iter()
        .enumerate()
        .map(|(cell, &count)| AnswerRow {
            key: key_of(cell),
            name: "count".to_owned(),
            estimate: Some(width.around(count, 1.0)),
        })
        .collect()
}

fn value_of(row: &AnswerRow) -> f64 {
    row.estimate.map_or(f64::NEG_INFINITY, |e| e.value)
}

fn largest(mut rows: Vec<AnswerRow>, k: u32) -> Vec<AnswerRow> {
    rows.sort_by(|a, b| value_of(b).total_cmp(&value_of(a)).then_with(|| a.key.cmp(&b.key)));
    rows.truncate(k as usize);
    rows
}

fn open(
    values: &Values,
    terms: &[Noise],
    top: Option<u32>,
) -> (Vec<AnswerRow>, IntervalMethod, Bias) {
    let groups: &[(Vec<String>, i128)] = match values {
        Values::Groups(groups) => groups,
        Values::Vector(_) => &[],
    };
    let width = Width::of(terms, 0.05);
    let rows: Vec<AnswerRow> = groups
        .iter()
        .map(|(key, count)| AnswerRow {
            key: key.clone(),
            name: "count".to_owned(),
            estimate: Some(width.around(*count, 1.0)),
        })
        .collect();
    let rows = match top {
        Some(k) => largest(rows, k),
        None => rows,
    };
    (rows, IntervalMethod::Exact, Bias::Selected)
}

fn bins(
    bounds: Bounds,
    edges: &Edges,
    ends: Ends,
    numbers: &[i128],
    terms: &[Noise],
) -> Vec<AnswerRow> {
    let number = |step: &i64| bounds.value(i128::from(*step)).to_string();
    let end = |step: &i64| match ends {
        Ends::Numbers => number(step),
        Ends::Instants => Timestamp::from_micros(step.saturating_mul(1_000_000))
            .map_or_else(|_| number(step), |t| t.to_string()),
    };
    let width = Width::of(terms, 0.05);
    numbers
        .iter()
        .zip(edges.steps().windows(2))
        .map(|(&count, ends)| AnswerRow {
            key: ends.iter().map(end).collect(),
            name: "count".to_owned(),
            estimate: Some(width.around(count, 1.0)),
        })
        .collect()
}

fn floats(numbers: &[i128]) -> Vec<f64> {
    numbers.iter().map(|&n| n as f64).collect()
}

/// Estimates of what `work_out` makes of the released numbers, with intervals from simulated noise.
fn simulated(
    noised: &Noised,
    numbers: &[i128],
    work_out: impl Fn(&[f64]) -> Option<Vec<f64>>,
    names: &[&str],
) -> Vec<AnswerRow> {
    let released = floats(numbers);
    let central = work_out(&released);
    let mut simulation = Simulation::new();
    let mut draws: Vec<Vec<f64>> = vec![Vec::with_capacity(DRAWS); names.len()];
    for _ in 0..DRAWS {
        // What the exact numbers may have been.
        let exact: Vec<f64> = released
            .iter()
            .zip(&noised.noise)
            .map(|(value, terms)| value - simulation.draw(terms))
            .collect();
        let Some(values) = work_out(&exact) else { continue };
        for (column, value) in draws.iter_mut().zip(values) {
            column.push(value);
        }
    }
    names
        .iter()
        .zip(draws)
        .enumerate()
        .map(|(i, (name, draws))| {
            let value = central.as_ref().and_then(|c| c.get(i).copied());
            let estimate =
                value.zip(middle(draws)).map(|(value, (lower, upper, standard_error))| Estimate {
                    value,
                    lower: lower.min(value),
                    upper: upper.max(value),
                    standard_error,
                });
            single(name, estimate)
        })
        .collect()
}

/// Count and mean, the mean held within the bounds.
fn mean_of(n: f64, s: f64, bounds: Bounds) -> Option<f64> {
    let (low, high) = (bounds.value(bounds.low().into()), bounds.value(bounds.high().into()));
    (n >= 1.0).then(|| (f64::midpoint(low, high) + s / n / (2.0 * bounds.unit())).clamp(low, high))
}

fn mean(noised: &Noised, numbers: &[i128], bounds: Bounds) -> Vec<AnswerRow> {
    let work_out = |m: &[f64]| match m {
        [n, s] => mean_of(*n, *s, bounds).map(|mean| vec![mean, n.max(0.0)]),
        _ => None,
    };
    simulated(noised, numbers, work_out, &["mean", "count"])
}

fn variance(noised: &Noised, numbers: &[i128], bounds: Bounds) -> Vec<AnswerRow> {
    let widest = (bounds.width() as f64 / bounds.unit()).powi(2) / 4.0;
    let scale = 4.0 * bounds.unit() * bounds.unit();
    let work_out = |m: &[f64]| match m {
        [n, s, q] if *n >= 1.0 => {
            let variance = ((q / n - (s / n).powi(2)) / scale).clamp(0.0, widest);
            Some(vec![variance, variance.sqrt(), mean_of(*n, *s, bounds)?, *n])
        }
        _ => None,
    };
    simulated(noised, numbers, work_out, &["variance", "standard_deviation", "mean", "count"])
}

fn regression(noised: &Noised, numbers: &[i128], x: Bounds, y: Bounds) -> Vec<AnswerRow> {
    let middle_of = |b: Bounds| f64::midpoint(b.value(b.low().into()), b.value(b.high().into()));
    let (unit_x, unit_y) = (2.0 * x.unit(), 2.0 * y.unit());
    let widest = y.width() as f64 / y.unit();
    let work_out = |m: &[f64]| match m {
        [n, sx, sy, sxx, sxy, syy] if *n >= 2.0 => {
            let (mx, my) = (sx / n, sy / n);
            let (vx, cxy, vy) = (sxx / n - mx * mx, sxy / n - mx * my, syy / n - my * my);
            // Noise has swallowed the spread of x: no line is defined.
            if vx <= 0.0 {
                return None;
            }
            let slope = cxy / vx;
            let residual = (vy - slope * cxy).max(0.0).sqrt() / unit_y;
            let slope = slope * unit_x / unit_y;
            let intercept = (middle_of(y) + my / unit_y) - slope * (middle_of(x) + mx / unit_x);
            Some(vec![slope, intercept, residual.min(widest), *n])
        }
        _ => None,
    };
    simulated(noised, numbers, work_out, &["slope", "intercept", "rmse", "count"])
}

/// The noisy distribution function of a tree: rows in the first leaves, and its standard error.
struct Ranks {
    grid: Grid,
    prefix: Vec<f64>,
    deviation: Vec<f64>,
}

impl Ranks {
    fn new(noised: &Noised, numbers: &[i128], grid: Grid) -> Self {
        let variances: Vec<f64> =
            noised.noise.iter().map(|terms| deviation(terms).powi(2)).collect();
        let variance = |level: u32| variances.get(level as usize).copied().unwrap_or(f64::INFINITY);
        let leaves = grid.consistent_leaves(&floats(numbers), variance);
        let prefix = leaves.iter().scan(0.0, |sum, leaf| {
            *sum += leaf;
            Some(*sum)
        });
        let deviation =
            (1..=grid.leaves()).map(|i| grid.prefix_variance(i, variance).sqrt()).collect();
        Self { grid, prefix: prefix.collect(), deviation }
    }

    /// The first leaf up to which at least `rows` plus `z` standard errors stand.
    fn first_reaching(&self, rows: f64, z: f64) -> Option<usize> {
        let reaches = |(p, d): (&f64, &f64)| *p >= rows + z * d;
        self.prefix.iter().zip(&self.deviation).position(reaches)
    }

    /// The last leaf from which half a row and `z` standard errors of rows stand.
    fn last_reaching(&self, z: f64) -> Option<usize> {
        let total = *self.prefix.last()?;
        let spread = *self.deviation.last()?;
        (0..self.grid.leaves()).rev().find(|&leaf| {
            let before = leaf.checked_sub(1);
            let at = |v: &[f64]| before.and_then(|b| v.get(b).copied()).unwrap_or(0.0);
            total - at(&self.prefix) >= 0.5 + z * spread.hypot(at(&self.deviation))
        })
    }

    fn value(&self, steps: i128) -> f64 {
        self.grid.bounds().value(steps)
    }

    fn extreme(&self, want: &Want) -> Option<Estimate> {
        // So that no leaf without rows below it is taken for one with: all leaves at once.
        let z = normal_quantile(1.0 - 0.05 / self.grid.leaves() as f64);
        let bounds = self.grid.bounds();
        let (low, high) = (self.value(bounds.low().into()), self.value(bounds.high().into()));
        if *want == Want::Minimum {
            let leaf = self.first_reaching(0.5, z)?;
            let upper = self.value(self.grid.high_of(leaf));
            Some(Estimate { value: upper, lower: low, upper, standard_error: f64::NAN })
        } else {
            let leaf = self.last_reaching(z)?;
            let lower = self.value(self.grid.low_of(leaf));
            Some(Estimate { value: lower, lower, upper: high, standard_error: f64::NAN })
        }
        .map(|e| Estimate { standard_error: (e.upper - e.lower) / 4.0, ..e })
    }

    fn at(&self, rank: Rank) -> Option<Estimate> {
        let total = *self.prefix.last()?;
        if total < 1.0 {
            return None;
        }
        let last = self.grid.leaves() - 1;
        let wanted = rank.get() * total;
        // The total is noisy too; its part moves with the rank.
        let slack = 1.96 * rank.get() * self.deviation.last()?;
        // A hair below, because the consistent counts are sums of fractions.
        let leaf = self.first_reaching(wanted - 1e-6, 0.0).unwrap_or(last);
        let lower = self.first_reaching(wanted - slack, -1.96).unwrap_or(last).min(leaf);
        let upper = self.first_reaching(wanted + slack, 1.96).unwrap_or(last).max(leaf);
        let (low, high) =
            (self.value(self.grid.low_of(lower)), self.value(self.grid.high_of(upper)));
        let value =
            f64::midpoint(self.value(self.grid.low_of(leaf)), self.value(self.grid.high_of(leaf)));
        Some(Estimate { value, lower: low, upper: high, standard_error: (high - low) / 3.92 })
    }
}

fn quantiles(
    noised: &Noised,
    numbers: &[i128],
    grid: Grid,
    want: &Want,
) -> (Vec<AnswerRow>, IntervalMethod, Bias) {
    let ranks = Ranks::new(noised, numbers, grid);
    let rows = match want {
        Want::Minimum => vec![single("minimum", ranks.extreme(want))],
        Want::Maximum => vec![single("maximum", ranks.extreme(want))],
        Want::Ranks(wanted) => wanted
            .iter()
            .map(|&rank| AnswerRow {
                key: vec![rank.get().to_string()],
                name: "quantile".to_owned(),
                estimate: ranks.at(rank),
            })
            .collect(),
    };
    let bias = if matches!(want, Want::Ranks(_)) { Bias::Grid } else { Bias::Extreme };
    (rows, IntervalMethod::RankBand, bias)
}
