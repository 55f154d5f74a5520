//! MST: a spanning tree of two-way marginals.
//!
//! # Source
//! McKenna, Miklau, Sheldon 2021, "Winning the NIST Contest: A scalable and general approach to
//! differentially private synthetic data", Algorithm 1. Two deviations: the weights are integers, so
//! that they are compared exactly; and what large tables differ by chance alone is taken off.

use salus_model::MicroRho;

use crate::estimate::{Measured, total};
use crate::fit::{FitError, Looks};
use crate::marginal::Scope;

/// Whole expected counts of a scope under independence of its measured attributes, and the L1
/// distance from them that independent rows would have by chance alone.
pub(crate) fn independent(scope: &Scope, one_way: &[Measured], rows: f64) -> (Vec<i64>, i64) {
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
    // A Poisson count's mean distance from its mean, for large and for small means.
    let chance = |mean: &f64| (2.0 * mean / std::f64::consts::PI).sqrt().min(2.0 * mean);
    let by_chance = cells.iter().map(chance).sum::<f64>() as i64;
    (cells.into_iter().map(|c| c.round() as i64).collect(), by_chance)
}

pub(crate) fn measure(
    looks: &mut Looks<'_>,
    one_way: Vec<Measured>,
) -> Result<Vec<Measured>, FitError> {
    let attributes = one_way.len();
    let sizes: Vec<usize> = one_way.iter().map(|m| m.counts.len()).collect();
    let rows = total(&one_way);
    // Half of what is left selects the tree, half measures it.
    let each = MicroRho::new(looks.left().get() / 2 / (attributes as u64 - 1));
    let pairs: Vec<(Scope, Vec<i64>, u32, i64)> = (0..attributes)
        .flat_map(|a| (a + 1..attributes).map(move |b| vec![a, b]))
        .map(|pair| {
            let scope = Scope::new(pair, &sizes);
            let (expected, by_chance) = independent(&scope, &one_way, rows);
            (scope, expected, 1, by_chance)
        })
        .collect();
    let mut group: Vec<usize> = (0..attributes).collect();
    let mut chosen = Vec::new();
    while chosen.len() + 1 < attributes {
        let apart = |scope: &Scope| match scope.attrs.as_slice() {
            [a, b] => group.get(*a) != group.get(*b),
            _ => false,
        };
        let open: Vec<_> = pairs.iter().filter(|p| apart(&p.0)).cloned().collect();
        let best = looks.select(&open, each)?;
        let Some((scope, ..)) = open.into_iter().nth(best) else { break };
        if let [a, b] = scope.attrs.as_slice()
            && let (Some(&from), Some(&to)) = (group.get(*a), group.get(*b))
        {
            group.iter_mut().filter(|g| **g == from).for_each(|g| *g = to);
        }
        chosen.push(scope);
    }
    let mut measured = one_way;
    let each = MicroRho::new(looks.left().get() / chosen.len().max(1) as u64);
    for scope in &chosen {
        measured.push(looks.measure(scope, each)?);
    }
    Ok(measured)
}
