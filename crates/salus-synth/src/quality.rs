//! How near a synthetic table is to a real one.
//!
//! # Privacy
//! Reads real rows without noise: for the holder's steward, not for release.

mod association;

pub use association::{Pair, Values, association, associations};

use crate::attribute::{Attribute, Kind};
use crate::logistic::{Logistic, area_under_curve, sigmoid};
use crate::marginal::Scope;
use crate::random::Random;
use crate::table::Table;

/// Bins into which numbers are taken together before tables are compared.
const NUMBER_BINS: usize = 10;
/// Triples that are looked at, at most: of more, so many evenly chosen ones stand for all.
const MOST_TRIPLES: usize = 2_000;

/// Similarity of two tables over the same attributes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    /// Mean over attributes of 1 - total variation distance.
    pub one_way: f64,
    /// Mean over pairs.
    pub two_way: f64,
    /// Mean over triples; where there are more than 2,000, over 2,000 evenly chosen ones.
    pub three_way: f64,
}

impl Similarity {
    /// One number: the mean of one- and two-way similarity.
    #[must_use]
    pub const fn quality(self) -> f64 {
        f64::midpoint(self.one_way, self.two_way)
    }
}

/// Columns with numbers in at most ten bins.
fn coarse(table: &Table) -> (Vec<Vec<u16>>, Vec<usize>) {
    let one = |(column, attribute): (&Vec<u16>, &Attribute)| {
        let size = attribute.size();
        if matches!(attribute.kind(), Kind::Number { .. }) && size > NUMBER_BINS {
            let bin = |code: &u16| (usize::from(*code) * NUMBER_BINS / size) as u16;
            (column.iter().map(bin).collect(), NUMBER_BINS)
        } else {
            (column.clone(), size)
        }
    };
    table.columns.iter().zip(table.attributes.iter()).map(one).unzip()
}

/// One-, two- and three-way similarity, numbers in ten bins of equal width.
///
/// # Cost
/// A sort of the rows for each attribute, pair and triple, however many cells they have.
#[must_use]
pub fn similarity(real: &Table, synthetic: &Table) -> Similarity {
    let ((a, sizes), (b, _)) = (coarse(real), coarse(synthetic));
    let n = sizes.len();
    let mean = |scopes: Vec<Vec<usize>>| {
        let all = scopes.len().max(1) as f64;
        let of = |attrs| {
            let scope = Scope::new(attrs, &sizes);
            1.0 - distance(scope.cells_of(&a), scope.cells_of(&b))
        };
        scopes.into_iter().map(of).sum::<f64>() / all
    };
    let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| vec![i, j]));
    let triples = pairs.clone().flat_map(|p| {
        let last = p.last().copied().unwrap_or(0);
        (last + 1..n).map(move |k| [p.as_slice(), &[k]].concat())
    });
    Similarity {
        one_way: mean((0..n).map(|i| vec![i]).collect()),
        two_way: mean(pairs.collect()),
        three_way: mean(evenly(triples.collect(), MOST_TRIPLES)),
    }
}

/// At most so many of a list, evenly chosen.
fn evenly<T>(all: Vec<T>, most: usize) -> Vec<T> {
    let n = all.len();
    let chosen = |i: usize| n <= most || i * most / n != (i + 1) * most / n;
    all.into_iter().enumerate().filter(|(i, _)| chosen(*i)).map(|(_, one)| one).collect()
}

/// Total variation distance of two tables of counts, from the cell of each row. Cells without a
/// row take no room.
fn distance(mut a: Vec<u64>, mut b: Vec<u64>) -> f64 {
    a.sort_unstable();
    b.sort_unstable();
    let (n, m) = (a.len().max(1) as f64, b.len().max(1) as f64);
    let (mut a, mut b) = (a.as_slice(), b.as_slice());
    let mut sum = 0.0;
    // Both are sorted, so that one of them begins with the least cell.
    while let Some(cell) = a.first().into_iter().chain(b.first()).min().copied() {
        sum += (run(&mut a, cell) / n - run(&mut b, cell) / m).abs();
    }
    sum / 2.0
}

/// How often a sorted list begins with a value, which is taken off it.
fn run(list: &mut &[u64], value: u64) -> f64 {
    let many = list.partition_point(|v| *v <= value);
    *list = list.get(many..).unwrap_or_default();
    many as f64
}

fn features(table: &Table, without: usize) -> Vec<&[u16]> {
    let columns = table.columns.iter().map(Vec::as_slice).enumerate();
    columns.filter(|(i, _)| *i != without).map(|(_, column)| column).collect()
}

/// Area under the ROC curve of a classifier trained on one table and tested on another: whether
/// `target` has the code `positive`. None when the test table has one class only.
#[must_use]
pub fn train_test_auc(train: &Table, test: &Table, target: usize, positive: u16) -> Option<f64> {
    auc(train, test, target, &|code| code == positive)
}

/// The same for whether the target's code is a good one.
fn auc(train: &Table, test: &Table, target: usize, good: &dyn Fn(u16) -> bool) -> Option<f64> {
    let sizes: Vec<usize> = train
        .attributes
        .iter()
        .enumerate()
        .filter(|(i, _)| *i != target)
        .map(|(_, a)| a.size())
        .collect();
    let labels = |t: &Table| -> Vec<bool> {
        t.columns.get(target).into_iter().flatten().map(|c| good(*c)).collect()
    };
    let model = Logistic::fit(&features(train, target), &sizes, &labels(train));
    let columns = features(test, target);
    let scores: Vec<f64> = (0..test.rows()).map(|row| model.margin(&columns, row)).collect();
    area_under_curve(&scores, &labels(test))
}

/// What is learnt from synthetic rows, beside what is learnt from real ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usefulness {
    /// The area under the ROC curve of a classifier trained on a half of the real rows.
    pub real: f64,
    /// The same of one trained on the synthetic rows. Both are tested on the other half of the real
    /// rows; the model that the synthetic rows come from has seen those, as far as ε lets it.
    pub synthetic: f64,
}

/// Train on synthetic, test on real, beside train on real: how well each class of `target` is told
/// from all others, as the mean over classes by how frequent they are. Numbers are told from those
/// below the median. None where the test rows have one class only.
#[must_use]
pub fn usefulness(real: &Table, synthetic: &Table, target: usize) -> Option<Usefulness> {
    let attribute = real.attributes.get(target)?;
    let mut order: Vec<usize> = (0..real.rows()).collect();
    Random::new(11).shuffle(&mut order);
    let (train, test) = order.split_at(order.len() / 2);
    let (train, test) = (real.at(train), real.at(test));
    let codes = test.columns.get(target)?;
    if matches!(attribute.kind(), Kind::Number { .. }) {
        let mut sorted = codes.clone();
        sorted.sort_unstable();
        let middle = *sorted.get(sorted.len() / 2)?;
        let good = |code: u16| code >= middle;
        return Some(Usefulness {
            real: auc(&train, &test, target, &good)?,
            synthetic: auc(synthetic, &test, target, &good)?,
        });
    }
    let mut counts = vec![0usize; attribute.size()];
    for code in codes {
        if let Some(slot) = counts.get_mut(usize::from(*code)) {
            *slot += 1;
        }
    }
    let present: Vec<u16> =
        (0u16..).zip(&counts).filter(|(_, n)| **n > 0).map(|(code, _)| code).collect();
    // Of two classes each is the other's opposite.
    let asked = if present.len() == 2 { present.get(..1)? } else { present.as_slice() };
    let (mut sums, mut weights) = ([0.0; 2], 0.0);
    for code in asked {
        let good = |c: u16| c == *code;
        let own = auc(&train, &test, target, &good).zip(auc(synthetic, &test, target, &good));
        let weight = counts.get(usize::from(*code)).copied().unwrap_or(0) as f64;
        if let Some((real, synthetic)) = own {
            sums = [sums[0] + weight * real, sums[1] + weight * synthetic];
            weights += weight;
        }
    }
    (weights > 0.0).then(|| Usefulness { real: sums[0] / weights, synthetic: sums[1] / weights })
}

/// How well a classifier tells real from synthetic rows: area under its ROC curve on rows that it
/// was not trained on, and the mean squared deviation of its score from one half (pMSE).
///
/// # Source
/// Snoke, Raab, Nowok, Dibben, Slavkovic 2018, "General and specific utility measures for synthetic
/// data".
#[must_use]
pub fn propensity(real: &Table, synthetic: &Table) -> Option<(f64, f64)> {
    let sizes: Vec<usize> = real.attributes.iter().map(Attribute::size).collect();
    let split = |odd: usize| -> (Vec<Vec<u16>>, Vec<bool>) {
        let take =
            |column: &Vec<u16>| column.iter().copied().skip(odd).step_by(2).collect::<Vec<_>>();
        let columns: Vec<Vec<u16>> = real
            .columns
            .iter()
            .zip(&synthetic.columns)
            .map(|(a, b)| [take(a), take(b)].concat())
            .collect();
        let reals = real.columns.first().map_or(0, |c| take(c).len());
        let rows = columns.first().map_or(0, Vec::len);
        (columns, (0..rows).map(|row| row >= reals).collect())
    };
    let ((train, train_labels), (test, labels)) = (split(0), split(1));
    let train: Vec<&[u16]> = train.iter().map(Vec::as_slice).collect();
    let test: Vec<&[u16]> = test.iter().map(Vec::as_slice).collect();
    let model = Logistic::fit(&train, &sizes, &train_labels);
    let scores: Vec<f64> = (0..labels.len()).map(|row| sigmoid(model.margin(&test, row))).collect();
    let share = labels.iter().filter(|l| **l).count() as f64 / labels.len().max(1) as f64;
    let deviation =
        scores.iter().map(|s| (s - share).powi(2)).sum::<f64>() / scores.len().max(1) as f64;
    Some((area_under_curve(&scores, &labels)?, deviation))
}
