//! The graphical model nearest to a set of noisy marginals.
//!
//! # Source
//! McKenna, Sheldon, Miklau 2019, "Graphical-model Based Estimation and Inference for Differential
//! Privacy", Algorithm 1 (proximal estimation by mirror descent), with the potentials kept per
//! measured marginal so that they survive a change of the junction tree.

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

/// A step that gains less than this share of the loss is the last.
const ENOUGH: f64 = 1e-7;

/// Beliefs, the measured marginals under them, and their loss.
type Found = (Vec<Vec<f64>>, Vec<Vec<f64>>, f64);

/// A junction tree with its beliefs, fitted to measurements.
pub(crate) struct Estimator {
    pub(crate) junction: Junction,
    pub(crate) beliefs: Vec<Vec<f64>>,
    /// For each measurement, its clique and the map of the clique's cells.
    homes: Vec<(usize, Vec<u32>)>,
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
        let mut estimator = Self { junction, beliefs: Vec::new(), homes, step: 0.0 };
        estimator.beliefs = estimator.junction.beliefs(&estimator.potentials(measured, None));
        estimator
    }

    /// Clique potentials: the sum of the measurements' own, moved along `direction`.
    fn potentials(
        &self,
        measured: &[Measured],
        direction: Option<(&[Vec<f64>], f64)>,
    ) -> Vec<Vec<f64>> {
        let mut potentials: Vec<Vec<f64>> =
            self.junction.cliques.iter().map(|c| vec![0.0; c.cells()]).collect();
        for (i, (m, (clique, map))) in measured.iter().zip(&self.homes).enumerate() {
            let along = direction.and_then(|(d, step)| Some((d.get(i)?, step)));
            let table: Vec<f64> = match along {
                Some((d, step)) => m.potential.iter().zip(d).map(|(p, g)| p - step * g).collect(),
                None => m.potential.clone(),
            };
            if let Some(theta) = potentials.get_mut(*clique) {
                for (t, to) in theta.iter_mut().zip(map) {
                    *t += table.get(*to as usize).copied().unwrap_or(0.0);
                }
            }
        }
        potentials
    }

    fn marginals(&self, measured: &[Measured], beliefs: &[Vec<f64>]) -> Vec<Vec<f64>> {
        measured
            .iter()
            .zip(&self.homes)
            .map(|(m, (clique, map))| {
                let belief = beliefs.get(*clique).map_or(&[][..], Vec::as_slice);
                sum_by(belief, map, m.counts.len())
            })
            .collect()
    }

    /// Moves the potentials towards the least squared error, for at most `rounds` steps.
    pub(crate) fn fit(&mut self, measured: &mut [Measured], total: f64, rounds: u32) {
        let mut shares = self.marginals(measured, &self.beliefs);
        let mut loss = loss_of(measured, &shares, total);
        for _ in 0..rounds {
            let direction: Vec<Vec<f64>> =
                measured.iter().zip(&shares).map(|(m, s)| gradient(m, s, total)).collect();
            if self.step <= 0.0 {
                let steepest = direction.iter().flatten().map(|g| g.abs()).fold(1e-300, f64::max);
                self.step = 1.0 / steepest;
            }
            let Some((beliefs, moved, after)) =
                self.search(measured, &shares, &direction, loss, total)
            else {
                return;
            };
            for (m, d) in measured.iter_mut().zip(&direction) {
                for (p, g) in m.potential.iter_mut().zip(d) {
                    *p -= self.step * g;
                }
            }
            let gained = loss - after;
            (self.beliefs, shares, loss) = (beliefs, moved, after);
            if gained < ENOUGH * loss {
                return;
            }
            self.step *= 1.6;
        }
    }

    /// Shortens the step until it gains what its length promises.
    fn search(
        &mut self,
        measured: &[Measured],
        shares: &[Vec<f64>],
        direction: &[Vec<f64>],
        loss: f64,
        total: f64,
    ) -> Option<Found> {
        for _ in 0..30 {
            let potentials = self.potentials(measured, Some((direction, self.step)));
            let beliefs = self.junction.beliefs(&potentials);
            let moved = self.marginals(measured, &beliefs);
            let after = loss_of(measured, &moved, total);
            let promised: f64 = direction
                .iter()
                .zip(shares.iter().zip(&moved))
                .map(|(d, (s, m))| {
                    d.iter().zip(s.iter().zip(m)).map(|(g, (s, m))| g * (s - m)).sum::<f64>()
                })
                .sum();
            if loss - after >= 0.3 * promised && after.is_finite() {
                return Some((beliefs, moved, after));
            }
            self.step *= 0.5;
        }
        None
    }
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
