//! What a model that is trained on a table does to its groups.

use super::{BiasError, Favourable, Predictions};
use crate::table::{Column, Table};

/// Parts into which the records are divided: each is predicted by a model of the others.
const FOLDS: usize = 5;
/// The least variance of a number, as a share of its variance over all records.
const FLOOR: f64 = 1e-3;

/// Predicted chances of the favourable outcome, each record by a model that has not seen it.
///
/// Naive Bayes: numbers by a normal distribution within each outcome, all else by shares with one
/// added; missing values say nothing. The folds depend on the places of the records alone.
///
/// # Errors
/// When a column is missing, weights are not one per record, or nothing tells the outcomes apart.
///
/// # Source
/// Hastie, Tibshirani and Friedman 2009, "The Elements of Statistical Learning", section 6.6.3.
pub fn trained(
    table: &Table,
    features: &[&str],
    favourable: &Favourable,
    weights: Option<&[f64]>,
) -> Result<Predictions, BiasError> {
    let rows = table.rows();
    if weights.is_some_and(|w| w.len() != rows) {
        return Err(BiasError::Input("there must be one weight of at least 0 for each record"));
    }
    let outcome = table.column(&favourable.column)?;
    let good: Vec<usize> = (0..rows)
        .map(|row| usize::from(outcome.value(row) == Some(favourable.value.as_str())))
        .collect();
    let columns = features.iter().map(|f| table.column(f)).collect::<Result<Vec<_>, _>>()?;
    let lanes: Vec<Lane<'_>> = columns.into_iter().map(Lane::of).collect();
    if lanes.is_empty() {
        return Err(BiasError::Input("no column is left to predict the outcome from"));
    }
    let weight = |row: usize| weights.map_or(1.0, |w| w[row]);
    let mut scores = vec![0.0; rows];
    for fold in 0..FOLDS {
        let used: Vec<usize> = (0..rows).filter(|&row| fold_of(row) != fold).collect();
        let mut mass = [1.0f64; 2];
        for &row in &used {
            mass[good[row]] += weight(row);
        }
        let models: Vec<Model> = lanes.iter().map(|lane| lane.fit(&used, &good, &weight)).collect();
        for row in (0..rows).filter(|&row| fold_of(row) == fold) {
            let mut odds = (mass[1] / mass[0]).ln();
            for (lane, model) in lanes.iter().zip(&models) {
                odds += lane.evidence(model, row);
            }
            scores[row] = 1.0 / (1.0 + (-odds).exp());
        }
    }
    Ok(Predictions { scores, threshold: 0.5 })
}

/// Spread over the table, so that a sorted one is divided evenly.
fn fold_of(row: usize) -> usize {
    ((row as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize % FOLDS
}

/// A column as a model reads it.
enum Lane<'t> {
    /// The number of each record, if it has one.
    Numbers(Vec<Option<f64>>),
    Words(&'t Column),
}

/// What a column tells of the outcomes, others first.
enum Model {
    /// Mean and variance.
    Normal([(f64, f64); 2]),
    /// By value.
    Shares([Vec<f64>; 2]),
}

impl<'t> Lane<'t> {
    fn of(column: &'t Column) -> Self {
        match column.numbers_and_gaps() {
            Some(numbers) => {
                let own = |&code: &u32| numbers.get(code as usize).copied().flatten();
                Self::Numbers(column.codes().iter().map(own).collect())
            }
            None => Self::Words(column),
        }
    }

    fn fit(&self, used: &[usize], good: &[usize], weight: &dyn Fn(usize) -> f64) -> Model {
        match self {
            Self::Numbers(numbers) => {
                let all = moments(used.iter().filter_map(|&r| Some((numbers[r]?, weight(r)))));
                let of = |class: usize| {
                    let own = used.iter().filter(|&&r| good[r] == class);
                    let (mean, variance) =
                        moments(own.filter_map(|&r| Some((numbers[r]?, weight(r)))));
                    (mean, variance.max(FLOOR * all.1).max(f64::MIN_POSITIVE))
                };
                Model::Normal([of(0), of(1)])
            }
            Self::Words(column) => {
                let values = column.dictionary().len();
                let mut counts = [vec![1.0; values], vec![1.0; values]];
                for &row in used {
                    counts[good[row]][column.codes()[row] as usize] += weight(row);
                }
                for own in &mut counts {
                    let total: f64 = own.iter().sum();
                    own.iter_mut().for_each(|count| *count /= total);
                }
                Model::Shares(counts)
            }
        }
    }

    /// ln P(value | favourable) − ln P(value | other).
    fn evidence(&self, model: &Model, row: usize) -> f64 {
        match (self, model) {
            (Self::Numbers(numbers), Model::Normal(of)) => numbers[row].map_or(0.0, |x| {
                let log = |(mean, variance): (f64, f64)| {
                    -0.5 * (variance.ln() + (x - mean).powi(2) / variance)
                };
                log(of[1]) - log(of[0])
            }),
            (Self::Words(column), Model::Shares(of)) => {
                let value = column.codes()[row] as usize;
                (of[1][value] / of[0][value]).ln()
            }
            _ => 0.0,
        }
    }
}

/// Mean and variance of weighted numbers.
fn moments(numbers: impl Iterator<Item = (f64, f64)> + Clone) -> (f64, f64) {
    let total: f64 = numbers.clone().map(|(_, w)| w).sum();
    if total <= 0.0 {
        return (0.0, 0.0);
    }
    let mean = numbers.clone().map(|(x, w)| x * w).sum::<f64>() / total;
    (mean, numbers.map(|(x, w)| w * (x - mean).powi(2)).sum::<f64>() / total)
}
