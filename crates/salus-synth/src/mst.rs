//! MST: a spanning tree of two-way marginals, and a few more pairs on which the tree errs most.
//!
//! # Source
//! McKenna, Miklau, Sheldon 2021, "Winning the NIST Contest: A scalable and general approach to
//! differentially private synthetic data", Algorithm 1. Three deviations: the weights are integers,
//! so that they are compared exactly; what large tables differ by chance alone is taken off; and a
//! tree leaves an attribute with the one neighbour that tells most of it, so that pairs beyond the
//! tree are measured as well, half as many as there are attributes, chosen as in AIM.

use salus_model::MicroRho;

use crate::aim;
use crate::estimate::{Estimator, Measured, total};
use crate::fit::{Expected, FitError, Looks};
use crate::junction::model_cells;
use crate::marginal::Scope;

/// Cells that the tree may have in all; attributes whose pairs do not fit are left apart.
pub(crate) const MOST_TREE_CELLS: usize = 1 << 20;

/// Whole expected counts of a scope under independence of its measured attributes, and the L1
/// distance from them that independent rows would have by chance alone.
pub(crate) fn independent(scope: &Scope, one_way: &[Measured], rows: f64) -> Expected {
    let share = |attribute: usize| -> Vec<f64> {
        let counts = one_way.iter().find(|m| m.scope.attrs == [attribute]).map(|m| &m.counts);
        let counts: Vec<f64> = counts.into_iter().flatten().map(|c| c.max(0.0)).collect();
        let sum = counts.iter().sum::<f64>().max(1.0);
        counts.into_iter().map(|c| c / sum).collect()
    };
    let mut cells = vec![rows];
    for attribute in &scope.attrs {
        let shares = share(*attribute);
        cells = cells.iter().flat_map(|c| shares.iter().map(move |s| c * s)).collect();
    }
    let by_chance = by_chance(cells.iter().copied()) as i64;
    (cells.into_iter().map(|c| c.round() as i64).collect(), by_chance)
}

/// The L1 distance of counts from their means by chance: a Poisson count's mean distance, for large
/// and for small means.
fn by_chance(means: impl Iterator<Item = f64>) -> f64 {
    means.map(|mean| (2.0 * mean / std::f64::consts::PI).sqrt().min(2.0 * mean)).sum()
}

pub(crate) fn measure(
    looks: &mut Looks<'_>,
    one_way: Vec<Measured>,
) -> Result<Vec<Measured>, FitError> {
    let attributes = one_way.len();
    let sizes: Vec<usize> = one_way.iter().map(|m| m.counts.len()).collect();
    let rows = total(&one_way);
    // Half of what is left selects pairs, half measures them.
    let more = attributes / 2;
    let each = MicroRho::new(looks.left().get() / 2 / (attributes + more - 1) as u64);
    let pairs: Vec<(Scope, u32)> = (0..attributes)
        .flat_map(|a| (a + 1..attributes).map(move |b| vec![a, b]))
        .map(|pair| (Scope::new(pair, &sizes), 1))
        .filter(|(scope, _)| scope.cells() <= MOST_TREE_CELLS)
        .collect();
    let scores = looks.scores(&pairs, |scope| independent(scope, &one_way, rows));
    let mut group: Vec<usize> = (0..attributes).collect();
    let (mut chosen, mut cells) = (Vec::new(), 0);
    while chosen.len() + 1 < attributes {
        let apart = |scope: &Scope| match scope.attrs.as_slice() {
            [a, b] => group.get(*a) != group.get(*b),
            _ => false,
        };
        let fits = |scope: &Scope| cells + scope.cells() <= MOST_TREE_CELLS;
        let open = pairs.iter().enumerate().filter(|(_, (scope, _))| apart(scope) && fits(scope));
        let open: Vec<usize> = open.map(|(i, _)| i).collect();
        if open.is_empty() {
            break;
        }
        let best = looks.select(&scores, &open, each)?;
        let Some((scope, _)) = pairs.get(best) else { break };
        if let [a, b] = scope.attrs.as_slice()
            && let (Some(&from), Some(&to)) = (group.get(*a), group.get(*b))
        {
            group.iter_mut().filter(|g| **g == from).for_each(|g| *g = to);
        }
        cells += scope.cells();
        chosen.push(scope.clone());
    }
    let mut measured = one_way;
    for scope in &chosen {
        measured.push(looks.measure(scope, each)?);
    }
    let beyond = beyond(looks, &mut measured, more, each)?;
    // What is left sharpens the tree where there is nothing more to be measured.
    let last = if beyond.is_empty() { &chosen } else { &beyond };
    let each = MicroRho::new(looks.left().get() / last.len().max(1) as u64);
    for scope in last {
        if each > MicroRho::ZERO {
            aim::add(&mut measured, looks.measure(scope, each)?);
        }
    }
    Ok(measured)
}

/// Steps in which the tree is fitted before it is asked where it errs.
const STEPS: u32 = 100;
/// Cells that the model may have.
const MOST_CELLS: f64 = 60_000.0;

/// Pairs on which the model errs by more than noise and chance would, at most `most`.
fn beyond(
    looks: &mut Looks<'_>,
    measured: &mut [Measured],
    most: usize,
    each: MicroRho,
) -> Result<Vec<Scope>, FitError> {
    let rows = total(measured);
    let singles = measured.iter().filter(|m| m.scope.attrs.len() == 1);
    let sizes: Vec<usize> = singles.map(|m| m.counts.len()).collect();
    let mut estimator = Estimator::new(&sizes, measured);
    estimator.fit(measured, rows, STEPS);
    let deviation = f64::from(looks.unit_rows) / (2e-6 * each.get().max(1) as f64).sqrt();
    let mut scopes: Vec<Vec<usize>> = measured.iter().map(|m| m.scope.attrs.clone()).collect();
    let mut chosen = Vec::new();
    while chosen.len() < most {
        let fits = |pair: &Vec<usize>| {
            !scopes.contains(pair)
                && model_cells(&sizes, &[scopes.as_slice(), std::slice::from_ref(pair)].concat())
                    <= MOST_CELLS
        };
        let mut open: Vec<(Scope, u32)> = (0..sizes.len())
            .flat_map(|a| (a + 1..sizes.len()).map(move |b| vec![a, b]))
            .filter(fits)
            .map(|pair| (Scope::new(pair, &sizes), 1))
            .collect();
        if open.is_empty() {
            break;
        }
        // None of them, which scores nothing.
        open.push((Scope::new(vec![0], &sizes), 0));
        let scores = looks.scores(&open, |scope| {
            let expected = aim::expected(&sizes, &estimator, scope, rows);
            let allowance = by_chance(expected.iter().map(|n| *n as f64))
                + aim::noise_distance(deviation, scope.cells());
            (expected, allowance as i64)
        });
        let all: Vec<usize> = (0..open.len()).collect();
        let best = looks.select(&scores, &all, each)?;
        match open.into_iter().nth(best) {
            Some((scope, 1)) => {
                scopes.push(scope.attrs.clone());
                chosen.push(scope);
            }
            _ => break,
        }
    }
    Ok(chosen)
}
