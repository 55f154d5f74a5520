//! How well a column can be predicted from the others, before and after.

use salus_model::{Entropy, EntropyFailed};
use serde::Serialize;

use crate::dice::Dice;
use crate::table::{Column, Table, TableError};

/// Accuracy of a classifier trained on input and on release.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Accuracy {
    /// Always guessing the most frequent value.
    pub baseline: f64,
    /// Trained and tested on the input.
    pub input: f64,
    /// Trained and tested on the release's features, with the input's target.
    pub output: f64,
}

impl Accuracy {
    /// How much of the input's gain over the baseline the release keeps; 1 where there is none.
    #[must_use]
    pub fn relative(&self) -> f64 {
        let gain = self.input - self.baseline;
        if gain <= 0.0 { 1.0 } else { (self.output - self.baseline) / gain }
    }
}

/// Accuracy of naive Bayes over `folds`-fold cross-validation, with the same folds on input and
/// release.
///
/// # Errors
/// When a column is missing or the tables differ in length.
///
/// # Source
/// Categorical naive Bayes with add-one smoothing; numbers are taken as categories.
pub fn classification_accuracy(
    input: &Table,
    output: &Table,
    features: &[&str],
    target: &str,
    folds: std::num::NonZeroU32,
    entropy: &mut dyn Entropy,
) -> Result<Accuracy, ClassifyError> {
    let truth = input.column(target)?;
    if output.rows() != input.rows() {
        return Err(TableError::Length {
            name: target.to_owned(),
            found: output.rows(),
            expected: input.rows(),
        }
        .into());
    }
    let order = Dice::new(entropy).choose(input.rows(), input.rows())?;
    let mut fold_of = vec![0; input.rows()];
    for (i, &row) in order.iter().enumerate() {
        fold_of[row] = i as u32 % folds.get();
    }
    let columns = |table: &Table| -> Result<Vec<Column>, TableError> {
        features.iter().filter(|f| **f != target).map(|f| table.column(f).cloned()).collect()
    };
    let n = input.rows() as f64;
    let most = truth.counts().into_iter().max().unwrap_or(0);
    Ok(Accuracy {
        baseline: most as f64 / n,
        input: right(&columns(input)?, truth, &fold_of, folds.get()) / n,
        output: right(&columns(output)?, truth, &fold_of, folds.get()) / n,
    })
}

/// Why accuracy could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum ClassifyError {
    /// A column is missing.
    #[error(transparent)]
    Table(#[from] TableError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
}

impl salus_model::Classified for ClassifyError {
    fn class(&self) -> salus_model::Class {
        match self {
            Self::Table(inner) => inner.class(),
            Self::Entropy(_) => salus_model::Class::Unavailable,
        }
    }
}

/// Records that are predicted right when their own fold is left out of training.
fn right(features: &[Column], truth: &Column, fold_of: &[u32], folds: u32) -> f64 {
    let classes = truth.dictionary().len();
    let mut hits = 0u64;
    for fold in 0..folds {
        let model = Bayes::train(features, truth, |row| fold_of[row] != fold);
        hits += (0..truth.codes().len())
            .filter(|&row| fold_of[row] == fold)
            .filter(|&row| model.guess(features, row, classes) == truth.codes()[row])
            .count() as u64;
    }
    hits as f64
}

pub(super) struct Bayes {
    prior: Vec<f64>,
    /// By feature: ln P(value | class), classes running fastest.
    likelihood: Vec<Vec<f64>>,
}

impl Bayes {
    pub(super) fn train(features: &[Column], truth: &Column, used: impl Fn(usize) -> bool) -> Self {
        let classes = truth.dictionary().len();
        let mut totals = vec![0.0; classes];
        let mut counts: Vec<Vec<f64>> =
            features.iter().map(|f| vec![0.0; f.dictionary().len() * classes]).collect();
        for (row, &class) in truth.codes().iter().enumerate().filter(|(row, _)| used(*row)) {
            totals[class as usize] += 1.0;
            for (feature, count) in features.iter().zip(&mut counts) {
                count[feature.codes()[row] as usize * classes + class as usize] += 1.0;
            }
        }
        let all: f64 = totals.iter().sum();
        let likelihood = counts
            .iter()
            .map(|count| {
                let values = (count.len() / classes.max(1)) as f64;
                count
                    .iter()
                    .enumerate()
                    .map(|(i, c)| ((c + 1.0) / (totals[i % classes] + values)).ln())
                    .collect()
            })
            .collect();
        let prior = totals.iter().map(|t| ((t + 1.0) / (all + classes as f64)).ln()).collect();
        Self { prior, likelihood }
    }

    pub(super) fn guess(&self, features: &[Column], row: usize, classes: usize) -> u32 {
        let score = |class: usize| {
            features.iter().zip(&self.likelihood).fold(self.prior[class], |sum, (feature, l)| {
                sum + l[feature.codes()[row] as usize * classes + class]
            })
        };
        (0..classes).max_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap_or(0) as u32
    }
}
