//! How strongly columns go together, and whether they do so alike in two tables.

use std::collections::{BTreeMap, HashMap};

/// A column's values, as correlations are measured of them; none for missing.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Numbers.
    Numbers(Vec<Option<f64>>),
    /// Words.
    Words(Vec<Option<String>>),
}

/// How two columns go together in two tables.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// The first column, by position.
    pub a: usize,
    /// The second.
    pub b: usize,
    /// In the real table.
    pub real: f64,
    /// In the synthetic table.
    pub synthetic: f64,
    /// From 1, alike, to 0, as different as can be.
    pub likeness: f64,
}

/// How each pair of columns goes together in two tables: Pearson's r of two columns of numbers,
/// Cramér's V of two of words (without correction for bias), and the correlation ratio η of one of
/// numbers and one of words. Rows that lack a value of a pair do not count for it, and a pair in
/// which either table shows nothing, such as a column with one value, is left out.
#[must_use]
pub fn associations(real: &[Values], synthetic: &[Values]) -> Vec<Pair> {
    let columns = real.len().min(synthetic.len());
    let pairs = (0..columns).flat_map(|a| (a + 1..columns).map(move |b| (a, b)));
    pairs
        .filter_map(|(a, b)| {
            let of = |table: &[Values]| association(table.get(a)?, table.get(b)?);
            let (ours, theirs) = (of(synthetic)?, of(real)?);
            let both = |table: &[Values]| {
                matches!(
                    (table.get(a), table.get(b)),
                    (Some(Values::Numbers(_)), Some(Values::Numbers(_)))
                )
            };
            // r may have either sign.
            let range = if both(real) { 2.0 } else { 1.0 };
            let likeness = 1.0 - (ours - theirs).abs() / range;
            Some(Pair { a, b, real: theirs, synthetic: ours, likeness })
        })
        .collect()
}

/// How strongly two columns of the same rows go together; none where that is not defined.
#[must_use]
pub fn association(a: &Values, b: &Values) -> Option<f64> {
    match (a, b) {
        (Values::Numbers(a), Values::Numbers(b)) => pearson(a, b),
        (Values::Words(a), Values::Words(b)) => cramer(a, b),
        (Values::Numbers(x), Values::Words(g)) | (Values::Words(g), Values::Numbers(x)) => {
            ratio(x, g)
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn pearson(a: &[Option<f64>], b: &[Option<f64>]) -> Option<f64> {
    let (a, b): (Vec<f64>, Vec<f64>) = a.iter().zip(b).filter_map(|(a, b)| a.zip(*b)).unzip();
    let (middle, other) = (mean(&a), mean(&b));
    let sum = |of: &dyn Fn(f64, f64) -> f64| {
        a.iter().zip(&b).map(|(a, b)| of(a - middle, b - other)).sum::<f64>()
    };
    let (aa, bb, ab) = (sum(&|a, _| a * a), sum(&|_, b| b * b), sum(&|a, b| a * b));
    (aa > 0.0 && bb > 0.0).then(|| (ab / (aa * bb).sqrt()).clamp(-1.0, 1.0))
}

fn cramer(a: &[Option<String>], b: &[Option<String>]) -> Option<f64> {
    let mut cells: HashMap<(&str, &str), f64> = HashMap::new();
    let (mut rows, mut columns): (BTreeMap<&str, f64>, BTreeMap<&str, f64>) = Default::default();
    let mut n = 0.0;
    for (a, b) in a.iter().zip(b).filter_map(|(a, b)| a.as_deref().zip(b.as_deref())) {
        *cells.entry((a, b)).or_insert(0.0) += 1.0;
        *rows.entry(a).or_insert(0.0) += 1.0;
        *columns.entry(b).or_insert(0.0) += 1.0;
        n += 1.0;
    }
    let least = rows.len().min(columns.len());
    if least < 2 {
        return None;
    }
    let mut chi = 0.0;
    for (row, in_row) in &rows {
        for (column, in_column) in &columns {
            let expected = in_row * in_column / n;
            let seen = cells.get(&(*row, *column)).copied().unwrap_or(0.0);
            chi += (seen - expected).powi(2) / expected;
        }
    }
    Some((chi / n / (least - 1) as f64).sqrt().min(1.0))
}

fn ratio(x: &[Option<f64>], groups: &[Option<String>]) -> Option<f64> {
    let mut by: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (x, group) in x.iter().zip(groups).filter_map(|(x, g)| x.zip(g.as_deref())) {
        by.entry(group).or_default().push(x);
    }
    let all: Vec<f64> = by.values().flatten().copied().collect();
    let middle = mean(&all);
    let total: f64 = all.iter().map(|x| (x - middle).powi(2)).sum();
    if by.len() < 2 || total <= 0.0 {
        return None;
    }
    let between: f64 = by.values().map(|own| own.len() as f64 * (mean(own) - middle).powi(2)).sum();
    Some((between / total).sqrt().min(1.0))
}
