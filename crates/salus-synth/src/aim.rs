//! AIM: the marginal on which the model errs most, measured and fitted, again and again.
//!
//! # Source
//! McKenna, Mullins, Sheldon, Miklau 2022, "AIM: An Adaptive and Iterative Mechanism for
//! Differentially Private Synthetic Data", Algorithms 2 to 4; workload of all pairs.

use salus_model::MicroRho;

use crate::estimate::{Estimator, Measured, total};
use crate::fit::{FitError, Looks, part};
use crate::junction::model_cells;
use crate::marginal::Scope;

pub(crate) const ONE_WAY_SHARE: f64 = 0.1;
/// Rounds that the rest of the budget is first divided into, per attribute.
const ROUNDS: u64 = 8;
/// The share of a round that selects; the rest measures.
const SELECT_SHARE: f64 = 0.1;
/// Cells that the model may have in the end.
const MOST_CELLS: f64 = 300_000.0;
/// Less than this pays for no round.
const LEAST_ROUND: MicroRho = MicroRho::new(20);
/// Descent steps after each round.
const STEPS: u32 = 25;

pub(crate) fn measure(
    looks: &mut Looks<'_>,
    one_way: Vec<Measured>,
    budget: MicroRho,
) -> Result<Vec<Measured>, FitError> {
    let attributes = one_way.len();
    let sizes: Vec<usize> = one_way.iter().map(|m| m.counts.len()).collect();
    let mut measured = one_way;
    let mut estimator = Estimator::new(&sizes, &measured);
    let rows = total(&measured);
    estimator.fit(&mut measured, rows, STEPS);
    let mut round = MicroRho::new((looks.left().get() / (ROUNDS * attributes as u64)).max(20));
    while looks.left() >= LEAST_ROUND {
        // What would not pay for two more rounds goes into this one.
        if looks.left().get() < 2 * round.get() {
            round = looks.left();
        }
        let spent = budget.get() - looks.left().get() + round.get();
        let limit = MOST_CELLS * spent as f64 / budget.get() as f64;
        let measure_rho = part(round, 1.0 - SELECT_SHARE);
        let deviation = f64::from(looks.unit_rows) / (2e-6 * measure_rho.get() as f64).sqrt();
        let rows = total(&measured);
        let candidates = candidates(&sizes, &measured, &estimator, limit);
        let select_rho = MicroRho::new(round.get() - measure_rho.get());
        let scores = looks.scores(&candidates, |scope| {
            let allowance = noise_distance(deviation, scope.cells()) as i64;
            (expected(&sizes, &estimator, scope, rows), allowance)
        });
        let all: Vec<usize> = (0..candidates.len()).collect();
        let chosen = looks.select(&scores, &all, select_rho)?;
        let Some((scope, _)) = candidates.into_iter().nth(chosen) else { break };
        let before = expected(&sizes, &estimator, &scope, rows);
        let last = round == looks.left() || looks.left() <= measure_rho;
        let fresh = looks.measure(&scope, measure_rho)?;
        let grown = add(&mut measured, fresh);
        if grown {
            estimator = Estimator::new(&sizes, &measured);
        }
        let rows = total(&measured);
        estimator.fit(&mut measured, rows, STEPS);
        if last {
            break;
        }
        let after = expected(&sizes, &estimator, &scope, rows);
        let moved: i64 = after.iter().zip(&before).map(|(a, b)| (a - b).abs()).sum();
        // The round taught less than its own noise: look closer from now on.
        if (moved as f64) <= noise_distance(deviation, scope.cells()) {
            round = MicroRho::new(round.get().saturating_mul(4).min(looks.left().get()));
        }
    }
    Ok(measured)
}

/// The expected L1 distance that noise alone makes.
pub(crate) fn noise_distance(deviation: f64, cells: usize) -> f64 {
    (2.0 / std::f64::consts::PI).sqrt() * deviation * cells as f64
}

/// Joins a measurement to an earlier one of the same scope; true when there was none.
pub(crate) fn add(measured: &mut Vec<Measured>, fresh: Measured) -> bool {
    match measured.iter_mut().find(|m| m.scope == fresh.scope) {
        Some(earlier) => {
            earlier.join(&fresh);
            false
        }
        None => {
            measured.push(fresh);
            true
        }
    }
}

pub(crate) fn expected(
    sizes: &[usize],
    estimator: &Estimator,
    scope: &Scope,
    rows: f64,
) -> Vec<i64> {
    let shares = match scope.attrs.as_slice() {
        [a, b] => estimator.junction.pair(&estimator.beliefs, *a, *b),
        [a] => estimator
            .junction
            .home(&[*a])
            .and_then(|c| {
                let clique = estimator.junction.cliques.get(c)?;
                let map = clique.map_onto(&Scope::new(vec![*a], sizes));
                Some(crate::marginal::sum_by(estimator.beliefs.get(c)?, &map, scope.cells()))
            })
            .unwrap_or_default(),
        _ => Vec::new(),
    };
    shares.into_iter().map(|s| (s * rows).round() as i64).collect()
}

/// What may be measured next, with its weight: how much of the workload of pairs it shares in.
fn candidates(
    sizes: &[usize],
    measured: &[Measured],
    estimator: &Estimator,
    limit: f64,
) -> Vec<(Scope, u32)> {
    let scopes: Vec<Vec<usize>> = measured.iter().map(|m| m.scope.attrs.clone()).collect();
    let fits = |attrs: &[usize]| {
        estimator.junction.home(attrs).is_some()
            || model_cells(sizes, &[scopes.as_slice(), &[attrs.to_vec()]].concat()) <= limit
    };
    let attributes = sizes.len();
    let d = attributes as u32;
    let singles = (0..attributes).map(|a| vec![a]);
    let pairs = (0..attributes).flat_map(|a| (a + 1..attributes).map(move |b| vec![a, b]));
    singles
        .chain(pairs)
        .filter(|attrs| fits(attrs))
        .map(|attrs| {
            let weight = if attrs.len() == 1 { d - 1 } else { 2 + 2 * (d - 2) };
            (Scope::new(attrs, sizes), weight)
        })
        .collect()
}
