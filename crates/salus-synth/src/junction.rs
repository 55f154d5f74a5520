//! Junction trees: triangulation, message passing and marginals across cliques.
//!
//! # Source
//! Lauritzen and Spiegelhalter 1988; Koller and Friedman 2009, chapter 10. Hugin updates, in place.

use crate::marginal::{Scope, normalise, scale_by, sum_by};

struct Edge {
    child: usize,
    parent: usize,
    separator: Scope,
    child_map: Vec<u32>,
    parent_map: Vec<u32>,
}

/// Cliques joined so that each attribute's cliques hang together.
pub(crate) struct Junction {
    pub(crate) sizes: Vec<usize>,
    pub(crate) cliques: Vec<Scope>,
    /// Children before their parents.
    edges: Vec<Edge>,
}

/// The maximal cliques of a triangulation by least-weight elimination.
fn triangulate(attrs: usize, sizes: &[usize], scopes: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut near = vec![vec![false; attrs]; attrs];
    let link = |a: usize, b: usize, near: &mut Vec<Vec<bool>>| {
        if let Some(slot) = near.get_mut(a).and_then(|row| row.get_mut(b)) {
            *slot = a != b;
        }
    };
    for scope in scopes {
        for &a in scope {
            for &b in scope {
                link(a, b, &mut near);
            }
        }
    }
    let mut left: Vec<usize> = (0..attrs).collect();
    let mut cliques: Vec<Vec<usize>> = Vec::new();
    while !left.is_empty() {
        let around = |a: usize, near: &Vec<Vec<bool>>| -> Vec<usize> {
            let linked = |b: &usize| near.get(a).and_then(|r| r.get(*b)).copied().unwrap_or(false);
            let mut clique: Vec<usize> = left.iter().copied().filter(linked).collect();
            clique.push(a);
            clique.sort_unstable();
            clique
        };
        let weight = |a: usize| -> f64 {
            around(a, &near).iter().filter_map(|b| sizes.get(*b)).map(|s| (*s as f64).ln()).sum()
        };
        let Some(next) = left.iter().copied().min_by(|a, b| weight(*a).total_cmp(&weight(*b)))
        else {
            break;
        };
        let clique = around(next, &near);
        for &a in &clique {
            for &b in &clique {
                link(a, b, &mut near);
            }
        }
        left.retain(|a| *a != next);
        if !cliques.iter().any(|c| clique.iter().all(|a| c.contains(a))) {
            cliques.push(clique);
        }
    }
    cliques
}

/// The cells of all cliques that a model over these scopes would have.
pub(crate) fn model_cells(sizes: &[usize], scopes: &[Vec<usize>]) -> f64 {
    triangulate(sizes.len(), sizes, scopes)
        .iter()
        .map(|c| c.iter().filter_map(|a| sizes.get(*a)).map(|s| *s as f64).product::<f64>())
        .sum()
}

impl Junction {
    pub(crate) fn new(sizes: &[usize], scopes: &[Vec<usize>]) -> Self {
        let cliques: Vec<Scope> = triangulate(sizes.len(), sizes, scopes)
            .into_iter()
            .map(|attrs| Scope::new(attrs, sizes))
            .collect();
        let mut edges = span(&cliques, sizes);
        edges.reverse();
        Self { sizes: sizes.to_vec(), cliques, edges }
    }

    /// The smallest clique that holds all of these attributes.
    pub(crate) fn home(&self, attrs: &[usize]) -> Option<usize> {
        (0..self.cliques.len())
            .filter(|c| self.cliques.get(*c).is_some_and(|s| s.contains(attrs)))
            .min_by_key(|c| self.cliques.get(*c).map_or(usize::MAX, Scope::cells))
    }

    /// Each clique's distribution under these log-potentials.
    pub(crate) fn beliefs(&self, potentials: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let mut beliefs: Vec<Vec<f64>> = potentials
            .iter()
            .map(|theta| {
                let top = theta.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                theta.iter().map(|t| (t - top).exp()).collect()
            })
            .collect();
        let mut messages = Vec::with_capacity(self.edges.len());
        for edge in &self.edges {
            let child = beliefs.get(edge.child).map_or(&[][..], Vec::as_slice);
            let mut message = sum_by(child, &edge.child_map, edge.separator.cells());
            normalise(&mut message);
            if let Some(parent) = beliefs.get_mut(edge.parent) {
                scale_by(parent, &edge.parent_map, &message);
                rescale(parent);
            }
            messages.push(message);
        }
        for (edge, message) in self.edges.iter().zip(&messages).rev() {
            let parent = beliefs.get(edge.parent).map_or(&[][..], Vec::as_slice);
            let mut down = sum_by(parent, &edge.parent_map, edge.separator.cells());
            normalise(&mut down);
            for (d, m) in down.iter_mut().zip(message) {
                *d = if *m > 0.0 { *d / m } else { 0.0 };
            }
            if let Some(child) = beliefs.get_mut(edge.child) {
                scale_by(child, &edge.child_map, &down);
                rescale(child);
            }
        }
        beliefs.iter_mut().for_each(|b| normalise(b));
        beliefs
    }

    /// The order in which cliques are sampled: a root, then each with the separator to its parent.
    pub(crate) fn sampling_order(&self) -> Vec<(usize, Vec<usize>)> {
        let children: Vec<usize> = self.edges.iter().map(|e| e.child).collect();
        let roots = (0..self.cliques.len()).filter(|c| !children.contains(c));
        let rest = self.edges.iter().rev().map(|e| (e.child, e.separator.attrs.clone()));
        roots.map(|c| (c, Vec::new())).chain(rest).collect()
    }

    /// The marginal over two attributes, within a clique or along the path between two.
    pub(crate) fn pair(&self, beliefs: &[Vec<f64>], a: usize, b: usize) -> Vec<f64> {
        let wanted = Scope::new(vec![a, b], &self.sizes);
        if let Some((scope, belief)) =
            self.home(&[a, b]).and_then(|c| Some((self.cliques.get(c)?, beliefs.get(c)?)))
        {
            return sum_by(belief, &scope.map_onto(&wanted), wanted.cells());
        }
        let path = self.path(a, b);
        let mut carried: Option<(Scope, Vec<f64>)> = None;
        for (at, &(clique, ref onward)) in path.iter().enumerate() {
            let (Some(scope), Some(belief)) = (self.cliques.get(clique), beliefs.get(clique))
            else {
                return Vec::new();
            };
            let keep = if at + 1 == path.len() { vec![b] } else { onward.clone() };
            carried = Some(carry(&self.sizes, carried, scope, belief, a, &keep));
        }
        carried.map(|(_, values)| values).unwrap_or_default()
    }

    /// Cliques from one that holds `a` to one that holds `b`, each with the separator to the next.
    fn path(&self, a: usize, b: usize) -> Vec<(usize, Vec<usize>)> {
        let to_root = |from: usize| {
            let mut line = vec![from];
            let mut at = from;
            while let Some(edge) = self.edges.iter().find(|e| e.child == at) {
                at = edge.parent;
                line.push(at);
            }
            line
        };
        let holds = |x: usize| {
            (0..self.cliques.len())
                .filter(move |c| self.cliques.get(*c).is_some_and(|s| s.attrs.contains(&x)))
        };
        let mut best: Option<Vec<usize>> = None;
        for from in holds(a) {
            let up = to_root(from);
            for to in holds(b) {
                let down = to_root(to);
                let Some((i, j)) = up
                    .iter()
                    .enumerate()
                    .find_map(|(i, c)| down.iter().position(|d| d == c).map(|j| (i, j)))
                else {
                    continue;
                };
                let line: Vec<usize> =
                    up.iter().take(i + 1).chain(down.iter().take(j).rev()).copied().collect();
                if best.as_ref().is_none_or(|b| line.len() < b.len()) {
                    best = Some(line);
                }
            }
        }
        let line = best.unwrap_or_default();
        let onward = |pair: &[usize]| match pair {
            [x, y] => self
                .edges
                .iter()
                .find(|e| (e.child, e.parent) == (*x, *y) || (e.child, e.parent) == (*y, *x))
                .map(|e| e.separator.attrs.clone())
                .unwrap_or_default(),
            _ => Vec::new(),
        };
        let mut separators: Vec<Vec<usize>> = line.windows(2).map(onward).collect();
        separators.push(Vec::new());
        line.into_iter().zip(separators).collect()
    }
}

fn rescale(values: &mut [f64]) {
    let top = values.iter().copied().fold(0.0, f64::max);
    if top > 0.0 {
        values.iter_mut().for_each(|v| *v /= top);
    }
}

/// From P(a, incoming separator) to P(a, `keep`) across one clique.
fn carry(
    sizes: &[usize],
    carried: Option<(Scope, Vec<f64>)>,
    scope: &Scope,
    belief: &[f64],
    a: usize,
    keep: &[usize],
) -> (Scope, Vec<f64>) {
    let Some((incoming, joint)) = carried else {
        let onto = Scope::new([&[a][..], keep].concat(), sizes);
        let values = sum_by(belief, &scope.map_onto(&onto), onto.cells());
        return (onto, values);
    };
    let separator: Vec<usize> = incoming.attrs.iter().copied().filter(|x| *x != a).collect();
    let separator = Scope::new(separator, sizes);
    // P(separator, keep), divided by P(separator), is what one clique adds.
    let both = Scope::new([separator.attrs.as_slice(), keep].concat(), sizes);
    let local = sum_by(belief, &scope.map_onto(&both), both.cells());
    let to_separator = both.map_onto(&separator);
    let mass = sum_by(&local, &to_separator, separator.cells());
    let onto = Scope::new([&[a][..], keep].concat(), sizes);
    let wide = Scope::new([&[a][..], both.attrs.as_slice()].concat(), sizes);
    let (from_incoming, from_local) = (wide.map_onto(&incoming), wide.map_onto(&both));
    let to_onto = wide.map_onto(&onto);
    let mut values = vec![0.0; onto.cells()];
    for ((i, l), o) in from_incoming.iter().zip(&from_local).zip(&to_onto) {
        let conditional = to_separator
            .get(*l as usize)
            .and_then(|s| mass.get(*s as usize))
            .filter(|m| **m > 0.0)
            .map_or(0.0, |m| local.get(*l as usize).copied().unwrap_or(0.0) / m);
        if let Some(slot) = values.get_mut(*o as usize) {
            *slot += joint.get(*i as usize).copied().unwrap_or(0.0) * conditional;
        }
    }
    (onto, values)
}

/// A spanning tree with the largest separators, parents before children.
fn span(cliques: &[Scope], sizes: &[usize]) -> Vec<Edge> {
    let shared = |a: &Scope, b: &Scope| -> Vec<usize> {
        a.attrs.iter().copied().filter(|x| b.attrs.contains(x)).collect()
    };
    let mut inside = vec![0];
    let mut edges = Vec::new();
    while inside.len() < cliques.len() {
        let best = (0..cliques.len())
            .filter(|c| !inside.contains(c))
            .flat_map(|c| inside.iter().map(move |p| (c, *p)))
            .filter_map(|(c, p)| Some((c, p, shared(cliques.get(c)?, cliques.get(p)?))))
            .max_by_key(|(_, _, s)| s.len());
        let Some((child, parent, attrs)) = best else { break };
        let separator = Scope::new(attrs, sizes);
        let map = |c: usize| cliques.get(c).map(|s| s.map_onto(&separator)).unwrap_or_default();
        let (child_map, parent_map) = (map(child), map(parent));
        edges.push(Edge { child, parent, separator, child_map, parent_map });
        inside.push(child);
    }
    edges
}
