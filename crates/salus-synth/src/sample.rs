use crate::attribute::{Attribute, Kind};
use crate::constraint::{Check, Constraint};
use crate::junction::Junction;
use crate::marginal::{Scope, sum_by};
use crate::model::{Allowed, Graph, Inner, Model, SampleError, position};
use crate::random::Random;
use crate::table::Table;

/// Synthetic rows.
#[derive(Debug, Clone)]
pub struct Sample {
    table: Table,
    records: Vec<Vec<Option<String>>>,
}

impl Sample {
    /// The rows as values; none for missing.
    #[must_use]
    pub fn records(&self) -> &[Vec<Option<String>>] {
        &self.records
    }

    /// The rows as codes, to be compared with a real table.
    #[must_use]
    pub const fn table(&self) -> &Table {
        &self.table
    }
}

/// Batches after which constraints are taken for unsatisfiable.
const MOST_BATCHES: u64 = 200;

pub(crate) fn draw(
    model: &Model,
    rows: usize,
    seed: u64,
    allowed: &[Option<Allowed>],
    constraints: &[Constraint],
) -> Result<Sample, SampleError> {
    let checks =
        constraints.iter().map(|c| check(model.attributes(), c)).collect::<Result<Vec<_>, _>>()?;
    let attributes: std::sync::Arc<[Attribute]> = model.attributes().to_vec().into();
    // A number of rows that does not fit memory ends where memory does, and not before the first.
    let room = rows.min(1 << 20);
    let mut columns = vec![Vec::with_capacity(room); attributes.len()];
    let mut records = Vec::with_capacity(room);
    for batch in 0..MOST_BATCHES {
        let missing = rows - records.len();
        if missing == 0 {
            break;
        }
        if batch >= 20 && records.len() * 10_000 < rows * batch as usize {
            return Err(SampleError::Unsatisfiable);
        }
        let mut random = Random::new(seed.wrapping_add(batch.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let short = match model.inner() {
            Inner::Graph(graph) => from_graph(graph, model, allowed, missing, &mut random),
            Inner::Copula(copula) => copula.draw(model, allowed, missing, &mut random),
        };
        let codes: Vec<Vec<u16>> = short
            .iter()
            .enumerate()
            .map(|(a, column)| {
                let fits = allowed.get(a).and_then(Option::as_ref).map(|x| x.codes.as_slice());
                let expand = |s: &u16| model.compression().expand(a, *s, fits, &mut random);
                column.iter().map(expand).collect()
            })
            .collect();
        for row in 0..missing {
            let of = |a: usize| codes.get(a).and_then(|c| c.get(row)).copied().unwrap_or(0);
            let record: Vec<Option<String>> = attributes
                .iter()
                .enumerate()
                .map(|(a, attribute)| {
                    let range = allowed.get(a).and_then(Option::as_ref).and_then(|x| x.range);
                    attribute.decode(of(a), range, &mut random)
                })
                .collect();
            if checks.iter().all(|c| c.holds(&record)) {
                records.push(record);
                for (a, column) in columns.iter_mut().enumerate() {
                    column.push(of(a));
                }
            }
        }
    }
    if records.len() < rows {
        return Err(SampleError::Unsatisfiable);
    }
    Ok(Sample { table: Table { attributes, columns, rows_per_unit: 1 }, records })
}

pub(crate) fn check<'a>(
    attributes: &[Attribute],
    constraint: &'a Constraint,
) -> Result<Check<'a>, SampleError> {
    match constraint {
        Constraint::NotAbove { smaller, larger } => {
            for name in [smaller, larger] {
                let at = position(attributes, name)?;
                let number = |a: &Attribute| matches!(a.kind(), Kind::Number { .. });
                if !attributes.get(at).is_some_and(number) {
                    return Err(SampleError::WrongKind { attribute: name.clone() });
                }
            }
            Ok(Check::NotAbove(position(attributes, smaller)?, position(attributes, larger)?))
        }
        Constraint::Never { attribute, value, with, with_value } => {
            let (a, b) = (position(attributes, attribute)?, position(attributes, with)?);
            Ok(Check::Never(a, value, b, with_value))
        }
    }
}

/// The log-weight that a condition leaves to each short code.
pub(crate) fn evidence(
    model: &Model,
    attribute: usize,
    size: usize,
    allowed: &Allowed,
) -> Vec<f64> {
    let weight = |short: usize| {
        let codes = model.compression().codes(attribute, short);
        let all: f64 = codes.iter().map(|(_, w)| w).sum();
        let fits = |c: &u16| allowed.codes.get(usize::from(*c)) == Some(&true);
        let kept: f64 = codes.iter().filter(|(c, _)| fits(c)).map(|(_, w)| w).sum();
        (kept / all).ln()
    };
    (0..size).map(weight).collect()
}

/// The weight of the model in which attributes are independent, mixed in so that what the graph
/// deems impossible is still drawn from what is known of its parts, and no condition starves.
const INDEPENDENT: f64 = 1e-30;

/// ln(aᵉ + bᵉ) of two logarithms.
fn ln_sum(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if high == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// Log-potentials in the cliques of a junction tree: each clique's distribution given its
/// separator, so that no clique has to undo what another one says.
pub(crate) struct Tilt<'a> {
    junction: &'a Junction,
    sizes: &'a [usize],
    theta: Vec<Vec<f64>>,
}

impl<'a> Tilt<'a> {
    pub(crate) fn of(graph: &'a Graph, junction: &'a Junction) -> Self {
        let theta = junction.cliques.iter().map(|c| vec![0.0; c.cells()]).collect();
        let mut tilt = Self { junction, sizes: &graph.sizes, theta };
        for (attrs, values) in &graph.potentials {
            tilt.add(attrs, values);
        }
        let beliefs = junction.beliefs(&tilt.theta);
        let margins = tilt.margins(&beliefs);
        for (clique, separator) in junction.sampling_order() {
            let (Some(scope), Some(belief)) = (junction.cliques.get(clique), beliefs.get(clique))
            else {
                continue;
            };
            let mut cells = mixed(scope, belief, &margins);
            let between = Scope::new(separator, &graph.sizes);
            let map = scope.map_onto(&between);
            let below = mixed(&between, &sum_by(belief, &map, between.cells()), &margins);
            for (cell, to) in cells.iter_mut().zip(&map) {
                *cell -= below.get(*to as usize).copied().unwrap_or(0.0);
            }
            if let Some(slot) = tilt.theta.get_mut(clique) {
                *slot = cells;
            }
        }
        tilt
    }

    /// ln of each attribute's own distribution; no code's is zero.
    fn margins(&self, beliefs: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let margin = |a: usize, size: usize| {
            let home = self.junction.home(&[a]);
            let clique = home.and_then(|c| self.junction.cliques.get(c).zip(beliefs.get(c)));
            let own = clique.map_or_else(Vec::new, |(scope, belief)| {
                sum_by(belief, &scope.map_onto(&Scope::new(vec![a], self.sizes)), size)
            });
            own.iter().map(|m| (m + INDEPENDENT / size as f64).ln()).collect()
        };
        self.sizes.iter().enumerate().map(|(a, size)| margin(a, *size)).collect()
    }

    fn add(&mut self, attrs: &[usize], values: &[f64]) {
        let Some(home) = self.junction.home(attrs) else { return };
        let Some((clique, cells)) = self.junction.cliques.get(home).zip(self.theta.get_mut(home))
        else {
            return;
        };
        let map = clique.map_onto(&Scope::new(attrs.to_vec(), self.sizes));
        for (cell, to) in cells.iter_mut().zip(&map) {
            *cell += values.get(*to as usize).copied().unwrap_or(0.0);
        }
    }

    pub(crate) fn into_cells(self) -> Vec<Vec<f64>> {
        self.theta
    }
}

/// ln of a distribution with a little of the independent one in it. Both have the same margins, so
/// that cliques still agree on their separators.
fn mixed(scope: &Scope, belief: &[f64], margins: &[Vec<f64>]) -> Vec<f64> {
    let mut apart = vec![INDEPENDENT.ln()];
    for (attribute, size) in scope.attrs.iter().zip(&scope.sizes) {
        let own = |code: usize| margins.get(*attribute).and_then(|m| m.get(code)).copied();
        apart = apart
            .iter()
            .flat_map(|c| (0..*size).map(move |code| c + own(code).unwrap_or(0.0)))
            .collect();
    }
    belief.iter().zip(&apart).map(|(b, apart)| ln_sum(b.ln(), *apart)).collect()
}

fn from_graph(
    graph: &Graph,
    model: &Model,
    allowed: &[Option<Allowed>],
    rows: usize,
    random: &mut Random,
) -> Vec<Vec<u16>> {
    let scopes: Vec<Vec<usize>> = graph.potentials.iter().map(|(attrs, _)| attrs.clone()).collect();
    let junction = Junction::new(&graph.sizes, &scopes);
    let mut tilt = Tilt::of(graph, &junction);
    for (a, allowed) in allowed.iter().enumerate() {
        if let Some(allowed) = allowed {
            let size = graph.sizes.get(a).copied().unwrap_or(0);
            tilt.add(&[a], &evidence(model, a, size, allowed));
        }
    }
    let theta = tilt.into_cells();
    let beliefs = junction.beliefs(&theta);
    let mut columns = vec![vec![0u16; rows]; graph.sizes.len()];
    for (clique, separator) in junction.sampling_order() {
        let (Some(scope), Some(belief)) = (junction.cliques.get(clique), beliefs.get(clique))
        else {
            continue;
        };
        let mut given = separator;
        let mut fresh: Vec<usize> =
            scope.attrs.iter().copied().filter(|a| !given.contains(a)).collect();
        fresh.sort_by_key(|a| graph.sizes.get(*a));
        for attribute in fresh {
            let column =
                column_given(&columns, scope, belief, &given, attribute, &graph.sizes, random);
            if let Some(slot) = columns.get_mut(attribute) {
                *slot = column;
            }
            given.push(attribute);
        }
    }
    columns
}

/// One attribute's column, given the attributes already drawn: within each group of rows that
/// agree on them, counts follow the conditional distribution as nearly as whole numbers can.
fn column_given(
    columns: &[Vec<u16>],
    scope: &Scope,
    belief: &[f64],
    given: &[usize],
    attribute: usize,
    sizes: &[usize],
    random: &mut Random,
) -> Vec<u16> {
    let before = Scope::new(given.to_vec(), sizes);
    let both = Scope::new([given, &[attribute]].concat(), sizes);
    let joint = sum_by(belief, &scope.map_onto(&both), both.cells());
    let to_before = both.map_onto(&before);
    let to_code = both.map_onto(&Scope::new(vec![attribute], sizes));
    let size = sizes.get(attribute).copied().unwrap_or(1);
    let mut weights = vec![0.0; before.cells() * size];
    for ((value, group), code) in joint.iter().zip(&to_before).zip(&to_code) {
        if let Some(slot) = weights.get_mut(*group as usize * size + *code as usize) {
            *slot += value;
        }
    }
    let rows = columns.get(attribute).map_or(0, Vec::len);
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); before.cells()];
    for row in 0..rows {
        let cell = before.attrs.iter().zip(&before.sizes).fold(0, |cell, (a, size)| {
            let code = columns.get(*a).and_then(|c| c.get(row)).copied().unwrap_or(0);
            cell * size + usize::from(code)
        });
        if let Some(group) = members.get_mut(cell) {
            group.push(row as u32);
        }
    }
    let mut column = vec![0u16; rows];
    for (group, rows) in members.iter().enumerate().filter(|(_, r)| !r.is_empty()) {
        let weights = weights.get(group * size..(group + 1) * size).unwrap_or_default();
        let counts = random.rounded_counts(weights, rows.len());
        let mut codes: Vec<u16> = counts
            .iter()
            .enumerate()
            .flat_map(|(code, n)| std::iter::repeat_n(code as u16, *n))
            .collect();
        random.shuffle(&mut codes);
        for (row, code) in rows.iter().zip(codes) {
            if let Some(slot) = column.get_mut(*row as usize) {
                *slot = code;
            }
        }
    }
    column
}
