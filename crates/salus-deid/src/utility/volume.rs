//! Whether a table is large and varied enough to train on: learning curve and class coverage.

use salus_model::Entropy;
use serde::Serialize;

use super::classify::{Bayes, ClassifyError};
use crate::dice::Dice;
use crate::table::{Column, Table};

/// How the curve is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Curve {
    /// Sizes, each half of the next; the last is all records but those that are tested on.
    pub points: u32,
    /// Random divisions into training and test records.
    pub repeats: u32,
}

impl Curve {
    /// Five sizes, ten divisions.
    pub const USUAL: Self = Self { points: 5, repeats: 10 };
}

/// What a learner achieves with that many records.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Records that it was trained on.
    pub records: u64,
    /// Balanced accuracy: the mean over classes of the share that is recognised.
    pub accuracy: f64,
    /// Its standard error over the divisions.
    pub error: f64,
}

/// How many records a class has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassCoverage {
    /// The class.
    pub class: String,
    /// Its records.
    pub records: u64,
}

/// A table as training data for one target.
///
/// # Privacy
/// Computed from the records without noise: for the holder's steward.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Volume {
    /// Records.
    pub records: u64,
    /// Balanced accuracy of a learner that knows nothing: 1 / classes.
    pub chance: f64,
    /// The learning curve, from small to large.
    pub curve: Vec<CurvePoint>,
    /// What the last doubling of the records gained.
    pub gain: f64,
    /// The standard error of the gain, from differences within each division.
    pub gain_error: f64,
    /// Records of each class, the rarest first.
    pub classes: Vec<ClassCoverage>,
}

impl Volume {
    /// Measures how well `target` is learnt from `features`, by size.
    ///
    /// The learner is naive Bayes over categories: it needs few records. One with more freedom
    /// needs more, so what is too small for this one is too small for all.
    ///
    /// # Errors
    /// When a column is missing, or randomness is.
    ///
    /// # Cost
    /// repeats × points × records × features × classes.
    pub fn measure(
        table: &Table,
        features: &[&str],
        target: &str,
        curve: Curve,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, ClassifyError> {
        let truth = table.column(target)?;
        let features = features
            .iter()
            .filter(|name| **name != target)
            .map(|name| table.column(name).cloned())
            .collect::<Result<Vec<Column>, _>>()?;
        let mut dice = Dice::new(entropy);
        let sizes = sizes(table.rows(), curve.points);
        let mut runs: Vec<Vec<f64>> = Vec::new();
        for _ in 0..curve.repeats.max(2) {
            let order = dice.choose(table.rows(), table.rows())?;
            runs.push(sizes.iter().map(|&n| balanced(&features, truth, &order, n)).collect());
        }
        let column = |point: usize| runs.iter().map(move |run| run[point]);
        let curve = sizes
            .iter()
            .enumerate()
            .map(|(point, &records)| {
                let (accuracy, error) = mean(column(point));
                CurvePoint { records: records as u64, accuracy, error }
            })
            .collect();
        let (gain, gain_error) = match sizes.len() {
            0 | 1 => (0.0, f64::INFINITY),
            n => mean(runs.iter().map(|run| run[n - 1] - run[n - 2])),
        };
        let mut classes: Vec<ClassCoverage> = truth
            .dictionary()
            .iter()
            .zip(truth.counts())
            .filter(|(_, records)| *records > 0)
            .map(|(class, records)| ClassCoverage { class: class.clone(), records })
            .collect();
        classes.sort_by(|a, b| a.records.cmp(&b.records).then_with(|| a.class.cmp(&b.class)));
        Ok(Self {
            records: table.rows() as u64,
            chance: 1.0 / classes.len().max(1) as f64,
            curve,
            gain,
            gain_error,
            classes,
        })
    }

    /// Whether another doubling would gain less than `least`, beyond doubt: the last one, which
    /// gains more than the next, did so by two standard errors.
    #[must_use]
    pub fn is_settled(&self, least: f64) -> bool {
        self.gain + 2.0 * self.gain_error <= least
    }

    /// Classes with fewer records than that.
    pub fn thin_classes(&self, least: u64) -> impl Iterator<Item = &ClassCoverage> {
        self.classes.iter().filter(move |class| class.records < least)
    }
}

/// A fifth is tested on; the rest, a half of it, and so on.
fn sizes(rows: usize, points: u32) -> Vec<usize> {
    let train = rows - rows / 5;
    let mut sizes: Vec<usize> =
        (0..points.clamp(2, 20)).map(|halvings| train >> halvings).filter(|n| *n > 0).collect();
    sizes.reverse();
    sizes
}

/// Trained on the first `n` of `order`, tested on its last fifth.
fn balanced(features: &[Column], truth: &Column, order: &[usize], n: usize) -> f64 {
    let classes = truth.dictionary().len();
    let mut used = vec![false; order.len()];
    for &row in order.iter().take(n) {
        used[row] = true;
    }
    let model = Bayes::train(features, truth, |row| used[row]);
    let (mut met, mut hits) = (vec![0.0; classes], vec![0.0; classes]);
    for &row in order.iter().skip(order.len() - order.len() / 5) {
        let class = truth.codes()[row];
        met[class as usize] += 1.0;
        if model.guess(features, row, classes) == class {
            hits[class as usize] += 1.0;
        }
    }
    let recalls: Vec<f64> =
        met.iter().zip(&hits).filter(|(met, _)| **met > 0.0).map(|(m, h)| h / m).collect();
    recalls.iter().sum::<f64>() / recalls.len().max(1) as f64
}

/// Mean and standard error.
fn mean(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let values: Vec<f64> = values.collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0) / n).sqrt())
}
