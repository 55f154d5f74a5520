//! A Bayesian network of at most two parents, measured family by family.
//!
//! # Source
//! Zhang et al. 2017, "PrivBayes: Private Data Release via Bayesian Networks", Algorithm 4, with
//! their score R in counts of rows, less what chance alone would make of it. One deviation: the
//! families are fitted together by graphical-model inference instead of being turned into
//! conditionals one by one.

use salus_model::MicroRho;

use crate::estimate::{Measured, total};
use crate::fit::{FitError, Looks};
use crate::junction::model_cells;
use crate::marginal::Scope;
use crate::mst::{MOST_TREE_CELLS, independent};

/// Mean rows per cell, over the noise's standard error, below which a family is not useful.
const USEFULNESS: f64 = 4.0;

pub(crate) fn measure(
    looks: &mut Looks<'_>,
    one_way: Vec<Measured>,
) -> Result<Vec<Measured>, FitError> {
    let attributes = one_way.len();
    let sizes: Vec<usize> = one_way.iter().map(|m| m.counts.len()).collect();
    let rows = total(&one_way);
    let families = attributes as u64 - 1;
    let each = MicroRho::new(looks.left().get() / 2 / families);
    let deviation = (f64::from(looks.unit_rows).powi(2) / (2e-6 * each.get().max(1) as f64)).sqrt();
    let useful = |scope: &Scope| rows / scope.cells() as f64 >= USEFULNESS * deviation;
    // The first attribute is the one with the most values: it has no parents to pay for.
    let first = (0..attributes).max_by_key(|a| sizes.get(*a)).unwrap_or(0);
    let mut placed = vec![first];
    let mut chosen: Vec<(usize, Scope)> = Vec::new();
    while placed.len() < attributes {
        let mut candidates: Vec<(usize, Scope, i64)> = Vec::new();
        let cells: usize = chosen.iter().map(|(_, scope)| scope.cells()).sum();
        let fits = |scope: &Scope| scope.cells() <= MOST_TREE_CELLS.saturating_sub(cells);
        for child in (0..attributes).filter(|a| !placed.contains(a)) {
            for (i, a) in placed.iter().enumerate() {
                let pair = Scope::new(vec![child, *a], &sizes);
                let triples =
                    placed.iter().skip(i + 1).map(|b| Scope::new(vec![child, *a, *b], &sizes));
                for scope in std::iter::once(pair.clone()).chain(triples) {
                    // A pair is possible wherever it has room, so that hardly an attribute is left
                    // alone.
                    if fits(&scope) && (scope == pair || useful(&scope)) {
                        let (_, by_chance) = independent(&scope, &one_way, rows);
                        candidates.push((child, scope, by_chance));
                    }
                }
            }
        }
        if candidates.is_empty() {
            break;
        }
        let best = looks.select_family(&candidates, &sizes, each)?;
        let Some((child, scope, _)) = candidates.into_iter().nth(best) else { break };
        chosen.push((child, scope));
        placed.push(child);
    }
    let chosen = within_room(chosen, &sizes);
    let mut measured = one_way;
    let each = MicroRho::new(looks.left().get() / chosen.len().max(1) as u64);
    for scope in &chosen {
        measured.push(looks.measure(scope, each)?);
    }
    Ok(measured)
}

/// The families, of which the last lose a parent until the model that joins them has room.
fn within_room(mut families: Vec<(usize, Scope)>, sizes: &[usize]) -> Vec<Scope> {
    let scopes = |families: &[(usize, Scope)]| -> Vec<Vec<usize>> {
        families.iter().map(|(_, scope)| scope.attrs.clone()).collect()
    };
    while model_cells(sizes, &scopes(&families)) > MOST_TREE_CELLS as f64 {
        let Some((child, scope)) = families.iter_mut().rfind(|(_, s)| s.attrs.len() > 2) else {
            break;
        };
        let child = *child;
        let parent = scope.attrs.iter().copied().find(|a| *a != child);
        *scope = Scope::new(parent.into_iter().chain([child]).collect(), sizes);
    }
    families.into_iter().map(|(_, scope)| scope).collect()
}
