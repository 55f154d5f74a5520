//! Logistic regression on codes, one weight for each value of each attribute.

use crate::random::Random;

pub(crate) struct Logistic {
    offsets: Vec<usize>,
    weights: Vec<f64>,
    bias: f64,
}

/// Passes over the rows.
const PASSES: usize = 12;
const RIDGE: f64 = 1e-5;

impl Logistic {
    /// Fits by adaptive stochastic gradient (Duchi, Hazan, Singer 2011). `features` are columns.
    pub(crate) fn fit(features: &[&[u16]], sizes: &[usize], labels: &[bool]) -> Self {
        let mut offsets = Vec::with_capacity(sizes.len());
        let mut width = 0;
        for size in sizes {
            offsets.push(width);
            width += size;
        }
        let mut model = Self { offsets, weights: vec![0.0; width], bias: 0.0 };
        let mut slopes = vec![1e-6; width + 1];
        let mut order: Vec<usize> = (0..labels.len()).collect();
        let mut random = Random::new(7);
        for pass in 0..PASSES {
            random.shuffle(&mut order);
            let rate = 0.4 / (1.0 + pass as f64);
            for &row in &order {
                let label = labels.get(row).copied().unwrap_or(false);
                let error = sigmoid(model.margin(features, row)) - f64::from(u8::from(label));
                let at: Vec<usize> = model.active(features, row).collect();
                for index in at {
                    if let (Some(w), Some(s)) =
                        (model.weights.get_mut(index), slopes.get_mut(index))
                    {
                        let slope = error + RIDGE * *w;
                        *s += slope * slope;
                        *w -= rate * slope / s.sqrt();
                    }
                }
                if let Some(s) = slopes.last_mut() {
                    *s += error * error;
                    model.bias -= rate * error / s.sqrt();
                }
            }
        }
        model
    }

    fn active<'a>(
        &'a self,
        features: &'a [&[u16]],
        row: usize,
    ) -> impl Iterator<Item = usize> + 'a {
        features
            .iter()
            .zip(&self.offsets)
            .filter_map(move |(column, offset)| Some(offset + usize::from(*column.get(row)?)))
    }

    pub(crate) fn margin(&self, features: &[&[u16]], row: usize) -> f64 {
        let sum: f64 = self.active(features, row).filter_map(|i| self.weights.get(i)).sum();
        self.bias + sum
    }
}

pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The area under the ROC curve, ties counted half.
pub(crate) fn area_under_curve(scores: &[f64], labels: &[bool]) -> Option<f64> {
    let mut order: Vec<(f64, bool)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let positives = labels.iter().filter(|l| **l).count() as f64;
    let negatives = labels.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let mut ranks = 0.0;
    let mut done = 0;
    for tied in order.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let middle = done as f64 + (tied.len() as f64 + 1.0) / 2.0;
        ranks += middle * tied.iter().filter(|t| t.1).count() as f64;
        done += tied.len();
    }
    Some((ranks - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}
