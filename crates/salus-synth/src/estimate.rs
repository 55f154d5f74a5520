//! The graphical model nearest to a set of noisy marginals.
//!
//! # Source
//! McKenna, Sheldon, Miklau 2019, "Graphical-model Based Estimation and Inference for Differential
//! Privacy", Algorithm 1 (proximal estimation by mirror descent), with the potentials kept per
//! measured marginal so that they survive a change of the junction tree, and with Nesterov's
//! momentum, restarted where it leads uphill (O'Donoghue and Candès 2015, section 3.2).

use crate::junction::Junction;
use crate::marginal::{Scope, sum_by};

/// A noisy marginal: counts with the inverse of their noise variance.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) scope: Scope,
    pub(crate) counts: Vec<f64>,
    pub(crate) precision: Vec<f64>,
    /// Log-potential of each cell.
    pub(crate) potential: Vec<f64>,
}

impl Measured {
    pub(crate) fn new(scope: Scope, counts: Vec<f64>, variance: f64) -> Self {
        let cells = counts.len();
        Self { scope, counts, precision: vec![1.0 / variance; cells], potential: vec![0.0; cells] }
    }

    /// Joins a second measurement of the same cells, weighed by precision.
    pub(crate) fn join(&mut self, other: &Self) {
        let cells = self.counts.iter_mut().zip(&mut self.precision);
        for ((count, precision), (more, weight)) in
            cells.zip(other.counts.iter().zip(&other.precision))
        {
            *count = (*count * *precision + more * weight) / (*precision + weight);
            *precision += weight;
        }
    }
}

/// The number of rows that the measured marginals agree on best.
pub(crate) fn total(measured: &[Measured]) -> f64 {
    let (mut sum, mut weight) = (0.0, 0.0);
    for m in measured {
        let precision = 1.0 / m.precision.iter().map(|p| 1.0 / p).sum::<f64>();
        sum += precision * m.counts.iter().sum::<f64>();
        weight += precision;
    }
    if weight > 0.0 { (sum / weight).max(1.0) } else { 1.0 }
}

/// A step that gains less than this share of the loss is idle.
const ENOUGH: f64 = 1e-7;
/// So many idle steps on end are the last.
const IDLE: u32 = 5;

/// As good as minus infinity, among log-potentials whose largest is 0.
const LEAST_POTENTIAL: f64 = -100.0;

/// A model: beliefs, the measured marginals under them, and their loss.
struct Point {
    beliefs: Vec<Vec<f64>>,
    shares: Vec<Vec<f64>>,
    loss: f64,
}

/// A junction tree with its beliefs, fitted to measurements.
pub(crate) struct Estimator {
    pub(crate) junction: Junction,
    pub(crate) beliefs: Vec<Vec<f64>>,
    /// For each measurement, its clique and the map of the clique's cells.
    homes: Vec<(usize, Vec<u32>)>,
    /// For each measurement of several attributes, the measurement of each alone, and the map of
    /// the cells onto it.
    singles: Vec<Vec<(usize, Vec<u32>)>>,
    step: f64,
}

impl Estimator {
    pub(crate) fn new(sizes: &[usize], measured: &[Measured]) -> Self {
        let scopes: Vec<Vec<usize>> = measured.iter().map(|m| m.scope.attrs.clone()).collect();
        let junction = Junction::new(sizes, &scopes);
        let homes = measured
            .iter()
            .map(|m| {
                let clique = junction.home(&m.scope.attrs).unwrap_or(0);
                let map = junction.cliques.get(clique).map(|c| c.map_onto(&m.scope));
                (clique, map.unwrap_or_default())
            })
            .collect();
        let alone = |a: usize| measured.iter().position(|m| m.scope.attrs == [a]);
        let singles = measured
            .iter()
            .map(|m| {
                let several = m.scope.attrs.iter().filter(|_| m.scope.attrs.len() > 1);
                let single =
                    |a: &usize| Some((alone(*a)?, m.scope.map_onto(&Scope::new(vec![*a], sizes))));
                several.filter_map(single).collect()
            })
            .collect();
        let mut estimator = Self { junction, beliefs: Vec::new(), homes, singles, step: 0.0 };
        let tables: Vec<Vec<f64>> = measured.iter().map(|m| m.potential.clone()).collect();
        estimator.beliefs = estimator.junction.beliefs(&estimator.potentials(&tables));
        estimator
    }

    /// Clique potentials: the sum of the measurements' own.
    fn potentials(&self, tables: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let mut potentials: Vec<Vec<f64>> =
            self.junction.cliques.iter().map(|c| vec![0.0; c.cells()]).collect();
        for (table, (clique, map)) in tables.iter().zip(&self.homes) {
            if let Some(theta) = potentials.get_mut(*clique) {
                for (t, to) in theta.iter_mut().zip(map) {
                    *t += table.get(*to as usize).copied().unwrap_or(0.0);
                }
            }
        }
        potentials
    }

    /// The same model in log-potentials that do not drift.
    ///
    /// Noisy measurements contradict each other in what they say of an attribute alone, and pull
    /// their tables apart for ever, with no effect on their sum. What a table says of an attribute
    /// alone, as the largest value of each of its codes, is moved to that attribute's own table,
    /// where such pulls cancel.
    fn settle(&self, mut tables: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        for (from, singles) in self.singles.iter().enumerate() {
            for (to, map) in singles {
                let Ok([table, single]) = tables.get_disjoint_mut([from, *to]) else { continue };
                let mut tops = vec![f64::NEG_INFINITY; single.len()];
                for (value, code) in table.iter().zip(map) {
                    if let Some(top) = tops.get_mut(*code as usize) {
                        *top = top.max(*value);
                    }
                }
                for (value, code) in table.iter_mut().zip(map) {
                    *value -= tops.get(*code as usize).copied().unwrap_or(0.0);
                }
                single.iter_mut().zip(&tops).for_each(|(s, top)| *s += top);
            }
        }
        for table in &mut tables {
            let top = table.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            table.iter_mut().for_each(|v| *v = (*v - top).max(LEAST_POTENTIAL));
        }
        tables
    }

    /// The model at the measurements' log-potentials `tables`.
    fn at(&self, measured: &[Measured], tables: &[Vec<f64>], total: f64) -> Point {
        let beliefs = self.junction.beliefs(&self.potentials(tables));
        let shares: Vec<Vec<f64>> = measured
            .iter()
            .zip(&self.homes)
            .map(|(m, (clique, map))| {
                let belief = beliefs.get(*clique).map_or(&[][..], Vec::as_slice);
                sum_by(belief, map, m.counts.len())
            })
            .collect();
        let loss = loss_of(measured, &shares, total);
        Point { beliefs, shares, loss }
    }

    /// Moves the potentials towards the least squared error, for at most `rounds` steps.
    ///
    /// Each step sets out from where the last ones were heading. Without that momentum the share
    /// of a cell that nobody is in falls only as fast as one over the steps, and impossible rows
    /// stay ten times as frequent as the noise makes them.
    pub(crate) fn fit(&mut self, measured: &mut [Measured], total: f64, rounds: u32) {
        let mut tables = self.settle(measured.iter().map(|m| m.potential.clone()).collect());
        let mut before = tables.clone();
        let mut here = self.at(measured, &tables, total);
        let (mut age, mut idle) = (0_u32, 0);
        for _ in 0..rounds {
            let share = f64::from(age) / f64::from(age + 3);
            let from = self.settle(combine(&tables, &before, |t, b| t + share * (t - b)));
            let ahead = (age > 0).then(|| self.at(measured, &from, total));
            let base = ahead.as_ref().unwrap_or(&here);
            let moved = self.search(measured, &from, base, total);
            let Some((next, there)) = moved.filter(|(_, there)| there.loss <= here.loss) else {
                if age == 0 {
                    break;
                }
                // Momentum led uphill: from here again, without it.
                age = 0;
                continue;
            };
            idle = if here.loss - there.loss < ENOUGH * here.loss { idle + 1 } else { 0 };
            before = std::mem::replace(&mut tables, next);
            here = there;
            age += 1;
            if idle == IDLE {
                break;
            }
            self.step *= 1.6;
        }
        self.beliefs = here.beliefs;
        for (m, table) in measured.iter_mut().zip(tables) {
            m.potential = table;
        }
    }

    /// A step down from `from`, shortened until it gains what its length promises.
    fn search(
        &mut self,
        measured: &[Measured],
        from: &[Vec<f64>],
        base: &Point,
        total: f64,
    ) -> Option<(Vec<Vec<f64>>, Point)> {
        let slopes = measured.iter().zip(&base.shares).map(|(m, s)| gradient(m, s, total));
        let slopes: Vec<Vec<f64>> = slopes.collect();
        if self.step <= 0.0 {
            let steepest = slopes.iter().flatten().map(|g| g.abs()).fold(1e-300, f64::max);
            self.step = 1.0 / steepest;
        }
        for _ in 0..30 {
            let tables = self.settle(combine(from, &slopes, |t, g| t - self.step * g));
            let there = self.at(measured, &tables, total);
            let promised: f64 = slopes
                .iter()
                .zip(base.shares.iter().zip(&there.shares))
                .map(|(d, (s, m))| {
                    d.iter().zip(s.iter().zip(m)).map(|(g, (s, m))| g * (s - m)).sum::<f64>()
                })
                .sum();
            if base.loss - there.loss >= 0.3 * promised && there.loss.is_finite() {
                return Some((tables, there));
            }
            self.step *= 0.5;
        }
        None
    }
}

/// Cell by cell.
fn combine(a: &[Vec<f64>], b: &[Vec<f64>], of: impl Fn(f64, f64) -> f64) -> Vec<Vec<f64>> {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| of(*a, *b)).collect()).collect()
}

fn loss_of(measured: &[Measured], shares: &[Vec<f64>], total: f64) -> f64 {
    let of = |m: &Measured, s: &Vec<f64>| -> f64 {
        let cells = m.counts.iter().zip(&m.precision).zip(s);
        cells.map(|((count, weight), share)| weight * (total * share - count).powi(2)).sum()
    };
    0.5 * measured.iter().zip(shares).map(|(m, s)| of(m, s)).sum::<f64>()
}

fn gradient(m: &Measured, shares: &[f64], total: f64) -> Vec<f64> {
    let cells = m.counts.iter().zip(&m.precision).zip(shares);
    cells.map(|((count, weight), share)| weight * total * (total * share - count)).collect()
}
