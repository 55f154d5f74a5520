//! How likely a model deems rows: what membership inference against it starts from.

use crate::copula::Copula;
use crate::junction::Junction;
use crate::marginal::{Scope, sum_by};
use crate::model::{Graph, Inner, Model};
use crate::sample::Tilt;
use crate::table::Table;

/// What a model deems impossible still has a likelihood.
const FLOOR: f64 = 1e-30;

impl Model {
    /// The natural logarithm of the probability that the model gives each row of a table; none when
    /// the table has other attributes.
    ///
    /// # Privacy
    /// The model is public once charged; whose rows are looked up here is up to the caller.
    #[must_use]
    pub fn log_likelihoods(&self, table: &Table) -> Option<Vec<f64>> {
        if table.attributes() != self.attributes() {
            return None;
        }
        let short = self.compression().columns(&table.columns);
        let mut found = match self.inner() {
            Inner::Graph(graph) => of_graph(graph, &short),
            Inner::Copula(copula) => copula.log_likelihoods(&short),
        };
        for (a, column) in table.columns.iter().enumerate() {
            let within = self.compression().log_shares(a, column);
            for (total, own) in found.iter_mut().zip(within) {
                *total += own;
            }
        }
        Some(found)
    }
}

/// Σ over cliques of ln P(clique) − Σ over separators of ln P(separator).
fn of_graph(graph: &Graph, columns: &[Vec<u16>]) -> Vec<f64> {
    let scopes: Vec<Vec<usize>> = graph.potentials.iter().map(|(attrs, _)| attrs.clone()).collect();
    let junction = Junction::new(&graph.sizes, &scopes);
    let theta = Tilt::of(graph, &junction).into_cells();
    let beliefs = junction.beliefs(&theta);
    let rows = columns.first().map_or(0, Vec::len);
    let mut found = vec![0.0; rows];
    for (clique, separator) in junction.sampling_order() {
        let (Some(scope), Some(belief)) = (junction.cliques.get(clique), beliefs.get(clique))
        else {
            continue;
        };
        let sum: f64 = belief.iter().sum::<f64>().max(FLOOR);
        let whole: Vec<f64> = belief.iter().map(|b| (b / sum).max(FLOOR).ln()).collect();
        add(&mut found, scope, &whole, columns, 1.0);
        if !separator.is_empty() {
            let between = Scope::new(separator, &graph.sizes);
            let part = sum_by(belief, &scope.map_onto(&between), between.cells());
            let part: Vec<f64> = part.iter().map(|b| (b / sum).max(FLOOR).ln()).collect();
            add(&mut found, &between, &part, columns, -1.0);
        }
    }
    found
}

fn add(found: &mut [f64], scope: &Scope, logs: &[f64], columns: &[Vec<u16>], sign: f64) {
    for (row, total) in found.iter_mut().enumerate() {
        let cell = scope.attrs.iter().zip(&scope.sizes).fold(0, |cell, (a, size)| {
            let code = columns.get(*a).and_then(|c| c.get(row)).copied().unwrap_or(0);
            cell * size + usize::from(code)
        });
        *total += sign * logs.get(cell).copied().unwrap_or(0.0);
    }
}

impl Copula {
    /// ln of the margins' probabilities and of the copula's density at the codes' middles.
    fn log_likelihoods(&self, columns: &[Vec<u16>]) -> Vec<f64> {
        let rows = columns.first().map_or(0, Vec::len);
        let margins = self.margins();
        let [scores, lower] = self.at_middles();
        let logs: Vec<Vec<f64>> =
            margins.iter().map(|m| m.iter().map(|p| p.max(FLOOR).ln()).collect()).collect();
        let half_determinant: f64 =
            lower.iter().enumerate().filter_map(|(a, row)| row.get(a)).map(|l| l.ln()).sum();
        let of = |table: &[Vec<f64>], a: usize, code: u16| {
            table.get(a).and_then(|t| t.get(usize::from(code))).copied().unwrap_or(0.0)
        };
        (0..rows)
            .map(|row| {
                let codes: Vec<u16> =
                    columns.iter().map(|c| c.get(row).copied().unwrap_or(0)).collect();
                let z: Vec<f64> =
                    codes.iter().enumerate().map(|(a, c)| of(&scores, a, *c)).collect();
                // Forward substitution: L y = z, so that |y|² = zᵀ R⁻¹ z.
                let mut y: Vec<f64> = Vec::with_capacity(z.len());
                for (own, z) in lower.iter().zip(&z) {
                    let dot: f64 = own.iter().zip(&y).map(|(l, y)| l * y).sum();
                    y.push((z - dot) / own.get(y.len()).copied().unwrap_or(1.0));
                }
                let square = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>();
                let margins: f64 = codes.iter().enumerate().map(|(a, c)| of(&logs, a, *c)).sum();
                margins - half_determinant - (square(&y) - square(&z)) / 2.0
            })
            .collect()
    }
}
