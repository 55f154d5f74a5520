//! A Gaussian copula over ordered codes.
//!
//! # Source
//! Li, Xiong, Jiang 2014, "Differentially Private Synthesization of Multi-Dimensional Data using
//! Copula Functions"; correlations from clipped normal scores, in whole steps, instead of Kendall's
//! τ, so that one row's part is bounded and small.

use salus_model::MicroRho;
use serde::{Deserialize, Serialize};

use crate::estimate::{Measured, total};
use crate::fit::{FitError, Looks};
use crate::model::{Allowed, Model};
use crate::random::Random;
use crate::sample::evidence;

const STEPS: f64 = 64.0;
const CLIP: f64 = 2.5;

/// Margins and correlations.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Copula {
    /// For each attribute, the probability of each code.
    margins: Vec<Vec<f64>>,
    correlations: Vec<Vec<f64>>,
}

fn normal_cdf(z: f64) -> f64 {
    0.5 * statrs::function::erf::erfc(-z / std::f64::consts::SQRT_2)
}

fn normal_quantile(p: f64) -> f64 {
    let p = p.clamp(1e-12, 1.0 - 1e-12);
    -std::f64::consts::SQRT_2 * statrs::function::erf::erfc_inv(2.0 * p)
}

/// The clipped normal score of each code's middle.
fn scores(margin: &[f64]) -> Vec<f64> {
    let mut below = 0.0;
    margin
        .iter()
        .map(|p| {
            let middle = below + p / 2.0;
            below += p;
            normal_quantile(middle).clamp(-CLIP, CLIP)
        })
        .collect()
}

pub(crate) fn fit(looks: &mut Looks<'_>, one_way: &[Measured]) -> Result<Copula, FitError> {
    let margins: Vec<Vec<f64>> = one_way
        .iter()
        .map(|m| {
            let counts: Vec<f64> = m.counts.iter().map(|c| c.max(0.0) + 1e-6).collect();
            let sum: f64 = counts.iter().sum();
            counts.into_iter().map(|c| c / sum).collect()
        })
        .collect();
    let scores: Vec<Vec<f64>> = margins.iter().map(|m| scores(m)).collect();
    let steps: Vec<Vec<i64>> =
        scores.iter().map(|s| s.iter().map(|z| (z * STEPS).round() as i64).collect()).collect();
    let attributes = margins.len();
    let pairs: Vec<(usize, usize)> =
        (0..attributes).flat_map(|a| (a + 1..attributes).map(move |b| (a, b))).collect();
    let sums: Vec<i64> =
        pairs.iter().map(|(a, b)| product_sum(looks.columns(), &steps, *a, *b)).collect();
    // One row adds at most CLIP² in each pair, here in whole steps and rounded up by one.
    let each = (CLIP * CLIP * STEPS).ceil() + 1.0;
    let row_l2 = (each * (pairs.len() as f64).sqrt()).ceil() as u32;
    let left: MicroRho = looks.left();
    let (noisy, _) = looks.sums(&sums, row_l2, left)?;
    let rows = total(one_way);
    let spread: Vec<f64> = margins
        .iter()
        .zip(&scores)
        .map(|(m, s)| m.iter().zip(s).map(|(p, z)| p * z * z).sum::<f64>().sqrt().max(1e-6))
        .collect();
    let mut correlations = vec![vec![0.0; attributes]; attributes];
    for ((a, b), sum) in pairs.into_iter().zip(noisy) {
        let (Some(u), Some(v)) = (spread.get(a), spread.get(b)) else { continue };
        let r = (sum as f64 / STEPS / rows / (u * v)).clamp(-0.98, 0.98);
        set(&mut correlations, a, b, r);
        set(&mut correlations, b, a, r);
    }
    for a in 0..attributes {
        set(&mut correlations, a, a, 1.0);
    }
    Ok(Copula { margins, correlations: nearest(correlations) })
}

fn set(matrix: &mut [Vec<f64>], a: usize, b: usize, value: f64) {
    if let Some(slot) = matrix.get_mut(a).and_then(|row| row.get_mut(b)) {
        *slot = value;
    }
}

fn at(matrix: &[Vec<f64>], a: usize, b: usize) -> f64 {
    matrix.get(a).and_then(|row| row.get(b)).copied().unwrap_or(0.0)
}

/// The sum over rows of the product of two scores, each product rounded to whole steps.
fn product_sum(columns: &[Vec<u16>], steps: &[Vec<i64>], a: usize, b: usize) -> i64 {
    let (Some(x), Some(y)) = (columns.get(a), columns.get(b)) else { return 0 };
    let score = |attribute: usize, code: &u16| {
        steps.get(attribute).and_then(|s| s.get(usize::from(*code))).copied().unwrap_or(0)
    };
    let product = |(x, y): (&u16, &u16)| score(a, x) * score(b, y) / STEPS as i64;
    x.iter().zip(y).map(product).sum()
}

/// A correlation matrix near the given one: shrunk towards none until it can be factored.
fn nearest(matrix: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let shrunk = |by: f64| -> Vec<Vec<f64>> {
        let row = |(a, row): (usize, &Vec<f64>)| {
            row.iter().enumerate().map(|(b, r)| if a == b { 1.0 } else { r * by }).collect()
        };
        matrix.iter().enumerate().map(row).collect()
    };
    (0..100)
        .map(|i| shrunk(1.0 - f64::from(i) / 100.0))
        .find(|m| cholesky(m).is_some())
        .unwrap_or_else(|| shrunk(0.0))
}

fn cholesky(matrix: &[Vec<f64>]) -> Option<Vec<Vec<f64>>> {
    let n = matrix.len();
    let mut lower = vec![vec![0.0; n]; n];
    for a in 0..n {
        for b in 0..=a {
            let dot: f64 = (0..b).map(|k| at(&lower, a, k) * at(&lower, b, k)).sum();
            let rest = at(matrix, a, b) - dot;
            let value = if a == b {
                if rest < 1e-6 {
                    return None;
                }
                rest.sqrt()
            } else {
                rest / at(&lower, b, b)
            };
            set(&mut lower, a, b, value);
        }
    }
    Some(lower)
}

impl Copula {
    pub(crate) fn fits(&self, sizes: &[usize]) -> bool {
        let n = sizes.len();
        self.margins.len() == n
            && self.margins.iter().zip(sizes).all(|(m, s)| m.len() == *s)
            && self.correlations.len() == n
            && self.correlations.iter().all(|row| row.len() == n)
            && cholesky(&self.correlations).is_some()
    }

    pub(crate) fn margins(&self) -> &[Vec<f64>] {
        &self.margins
    }

    /// The normal scores of the codes' middles, and the factor of the correlations.
    pub(crate) fn at_middles(&self) -> [Vec<Vec<f64>>; 2] {
        let n = self.margins.len();
        let scores = self.margins.iter().map(|m| scores(m)).collect();
        let lower = cholesky(&self.correlations).unwrap_or_else(|| {
            (0..n).map(|a| (0..n).map(|b| f64::from(u8::from(a == b))).collect()).collect()
        });
        [scores, lower]
    }

    /// Codes drawn attribute by attribute, those under a condition first, each given the ones
    /// before it (Geweke, Hajivassiliou, Keane).
    pub(crate) fn draw(
        &self,
        model: &Model,
        allowed: &[Option<Allowed>],
        rows: usize,
        random: &mut Random,
    ) -> Vec<Vec<u16>> {
        let n = self.margins.len();
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by_key(|a| allowed.get(*a).is_none_or(Option::is_none));
        let pick = |a: &usize| order.iter().map(|b| at(&self.correlations, *a, *b)).collect();
        let permuted: Vec<Vec<f64>> = order.iter().map(pick).collect();
        let lower = cholesky(&permuted).unwrap_or_else(|| {
            (0..n).map(|a| (0..n).map(|b| f64::from(u8::from(a == b))).collect()).collect()
        });
        let weights: Vec<Option<Vec<f64>>> = (0..n)
            .map(|a| {
                let size = self.margins.get(a).map_or(0, Vec::len);
                let allowed = allowed.get(a).and_then(Option::as_ref)?;
                Some(evidence(model, a, size, allowed).into_iter().map(f64::exp).collect())
            })
            .collect();
        let cuts: Vec<Vec<f64>> = self.margins.iter().map(|m| cuts(m)).collect();
        let mut columns = vec![vec![0u16; rows]; n];
        let mut drawn = vec![0.0; n];
        for row in 0..rows {
            for (k, &a) in order.iter().enumerate() {
                let mean: f64 =
                    drawn.iter().take(k).enumerate().map(|(j, g)| at(&lower, k, j) * g).sum();
                let spread = at(&lower, k, k);
                let (Some(cuts), Some(weights)) = (cuts.get(a), weights.get(a)) else { continue };
                let (code, g) = draw_code(cuts, weights.as_deref(), mean, spread, random);
                if let Some(slot) = drawn.get_mut(k) {
                    *slot = g;
                }
                if let Some(slot) = columns.get_mut(a).and_then(|c| c.get_mut(row)) {
                    *slot = code;
                }
            }
        }
        columns
    }
}

/// The normal quantiles between codes, without the two infinite ends.
fn cuts(margin: &[f64]) -> Vec<f64> {
    let mut below = 0.0;
    let inner = margin.len().saturating_sub(1);
    margin
        .iter()
        .take(inner)
        .map(|p| {
            below += p;
            normal_quantile(below)
        })
        .collect()
}

fn draw_code(
    cuts: &[f64],
    weights: Option<&[f64]>,
    mean: f64,
    spread: f64,
    random: &mut Random,
) -> (u16, f64) {
    let Some(weights) = weights else {
        let g = random.normal();
        let z = mean + spread * g;
        return (cuts.partition_point(|c| *c < z) as u16, g);
    };
    let share = |i: usize| {
        let cdf = |at: Option<&f64>, end: f64| at.map_or(end, |c| normal_cdf((c - mean) / spread));
        let low = i.checked_sub(1).map_or(0.0, |j| cdf(cuts.get(j), 0.0));
        (low, cdf(cuts.get(i), 1.0))
    };
    // A tiny floor keeps codes that the copula deems impossible possible.
    let mass: Vec<f64> = weights
        .iter()
        .enumerate()
        .map(|(i, w)| {
            let (low, high) = share(i);
            if *w > 0.0 { w * (high - low).max(1e-12) } else { 0.0 }
        })
        .collect();
    let mut left = random.unit() * mass.iter().sum::<f64>();
    let mut code = mass.iter().rposition(|m| *m > 0.0).unwrap_or(0);
    for (i, m) in mass.iter().enumerate() {
        left -= m;
        if left < 0.0 {
            code = i;
            break;
        }
    }
    let (low, high) = share(code);
    let g = normal_quantile(low + random.unit() * (high - low));
    (code as u16, g)
}
