//! What a transformed table is still good for.

mod classify;
mod volume;

use serde::Serialize;

use crate::hierarchy::SUPPRESSED;
use crate::quasi::QuasiIdentifiers;
use crate::risk::{ClassSizes, joint_classes, sizes};
use crate::table::{Column, Table, TableError};

pub use classify::{Accuracy, ClassifyError, classification_accuracy};
pub use volume::{ClassCoverage, Curve, CurvePoint, Volume};

/// Utility of a release against its input, record by record.
///
/// # Shape and units
/// Both tables have the same records in the same order; a record with `*` in every
/// quasi-identifier counts as suppressed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Utility {
    /// Mean over quasi-identifiers of 1 − (m − 1)/(D − 1): 1 is untouched.
    pub granularity: f64,
    /// Σ over classes of size², suppressed records counted n each, over n²: 1/n at best, 1 at
    /// worst (Bayardo and Agrawal 2005).
    pub discernibility: f64,
    /// Records per class, suppressed ones left out; where every record is so, all are one class.
    pub average_class_size: f64,
    /// Suppressed records.
    pub suppressed: u64,
    /// Mean over quasi-identifiers of the information lost, as a share of the input's entropy
    /// (De Waal and Willenborg 1999, non-uniform entropy).
    pub entropy_loss: f64,
    /// Kullback–Leibler divergence in nats of the input's joint distribution from the release's,
    /// where a label is spread evenly over the values that it stands for.
    pub divergence: f64,
    /// By column.
    pub columns: Vec<ColumnUtility>,
}

/// Utility of one quasi-identifier.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnUtility {
    /// The column.
    pub column: String,
    /// 1 − (m − 1)/(D − 1) on average over records.
    pub granularity: f64,
    /// Information lost, as a share of the input's entropy; 0 where that is 0.
    pub entropy_loss: f64,
    /// Total variation between the input's distribution and the release's, a label spread evenly.
    pub error: f64,
}

/// A released column over the domain of its hierarchy.
struct Lane<'t> {
    input: &'t Column,
    output: &'t Column,
    /// By released label: how many values of the domain it stands for, and which input codes.
    open: Vec<f64>,
    covered: Vec<Vec<u32>>,
    domain: f64,
}

impl Utility {
    /// Measures a release against its input.
    ///
    /// # Errors
    /// When a column is missing or the tables differ in length.
    pub fn measure(
        input: &Table,
        output: &Table,
        quasi: &QuasiIdentifiers,
    ) -> Result<Self, TableError> {
        let names: Vec<&str> = quasi.items().iter().map(|q| q.column.as_str()).collect();
        let lanes = quasi
            .items()
            .iter()
            .map(|item| Lane::new(input.column(&item.column)?, output.column(&item.column)?, item))
            .collect::<Result<Vec<_>, TableError>>()?;
        let rows = input.rows();
        let gone: Vec<bool> = (0..rows)
            .map(|row| lanes.iter().all(|lane| lane.output.value(row) == Some(SUPPRESSED)))
            .collect();
        let suppressed = gone.iter().filter(|g| **g).count() as u64;
        let (classes, number) = joint_classes(&[output], &names)?;
        let kept = classes[0].iter().zip(&gone).filter(|(_, gone)| !**gone);
        let kept: Vec<u32> = kept.map(|(&class, _)| class).collect();
        let published = ClassSizes::from_sizes(sizes(&kept, number));
        let n = rows as f64;
        let squares: f64 = published.iter().map(|(s, c)| (s * s * c) as f64).sum();
        let columns: Vec<ColumnUtility> = lanes.iter().map(Lane::measure).collect();
        let mean = |pick: fn(&ColumnUtility) -> f64| {
            columns.iter().map(pick).sum::<f64>() / columns.len() as f64
        };
        Ok(Self {
            granularity: mean(|c| c.granularity),
            discernibility: (squares + suppressed as f64 * n) / (n * n),
            average_class_size: match published.classes() {
                0 => n,
                classes => published.records() as f64 / classes as f64,
            },
            suppressed,
            entropy_loss: mean(|c| c.entropy_loss),
            divergence: divergence(&lanes, input, &names)?,
            columns,
        })
    }
}

impl<'t> Lane<'t> {
    fn new(
        input: &'t Column,
        output: &'t Column,
        item: &crate::quasi::QuasiIdentifier,
    ) -> Result<Self, TableError> {
        if input.codes().len() != output.codes().len() {
            return Err(TableError::Length {
                name: item.column.clone(),
                found: output.codes().len(),
                expected: input.codes().len(),
            });
        }
        let hierarchy = &item.hierarchy;
        let domain = hierarchy.domain().max(1) as f64;
        let (mut open, mut covered) = (Vec::new(), Vec::new());
        for label in output.dictionary() {
            let mut codes = Vec::new();
            let mut values = domain;
            for (code, text) in input.dictionary().iter().enumerate() {
                let level = (0..=hierarchy.top())
                    .find(|&level| hierarchy.generalise(text, level) == Some(label.as_str()));
                if let Some((level, value)) = level.zip(hierarchy.value(text)) {
                    codes.push(code as u32);
                    values = f64::from(hierarchy.leaves(hierarchy.node(value, level), level));
                }
            }
            if codes.is_empty() {
                codes = (0..input.dictionary().len() as u32).collect();
            }
            open.push(if label == SUPPRESSED { domain } else { values });
            covered.push(codes);
        }
        Ok(Self { input, output, open, covered, domain })
    }

    fn measure(&self) -> ColumnUtility {
        let n = self.output.codes().len() as f64;
        let counts = self.output.counts();
        let open: f64 =
            counts.iter().zip(&self.open).map(|(&c, open)| c as f64 * (open - 1.0)).sum();
        let before: Vec<f64> = self.input.counts().iter().map(|&c| c as f64 / n).collect();
        let mut after = vec![0.0; before.len()];
        for (label, codes) in self.covered.iter().enumerate() {
            for &code in codes {
                after[code as usize] += counts[label] as f64 / n / codes.len() as f64;
            }
        }
        let error = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).sum::<f64>() / 2.0;
        ColumnUtility {
            column: self.output.name().to_owned(),
            granularity: 1.0 - open / (n * (self.domain - 1.0).max(1.0)),
            entropy_loss: self.entropy_loss(&before),
            error,
        }
    }

    /// Σ −ln P(value | label) over records, over the same for full suppression.
    fn entropy_loss(&self, before: &[f64]) -> f64 {
        let mass: Vec<f64> = self
            .covered
            .iter()
            .map(|codes| codes.iter().map(|&c| before[c as usize]).sum())
            .collect();
        let (mut lost, mut whole) = (0.0, 0.0);
        for (&value, &label) in self.input.codes().iter().zip(self.output.codes()) {
            let own = before[value as usize];
            lost -= (own / mass[label as usize]).ln();
            whole -= own.ln();
        }
        if whole > 0.0 { (lost / whole).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// Σ over records of ln(P_in / P_out)/n, P_out by spreading each published class evenly.
fn divergence(lanes: &[Lane<'_>], input: &Table, names: &[&str]) -> Result<f64, TableError> {
    let (classes, number) = joint_classes(&[input], names)?;
    let share = sizes(&classes[0], number);
    let n = input.rows() as f64;
    // The published probability of a record's cell: its class's share over the cell count of the
    // class. Classes that overlap only add to it, so this bounds the divergence from above.
    let parts: Vec<(&[u32], usize)> =
        lanes.iter().map(|l| (l.output.codes(), l.output.dictionary().len())).collect();
    let (published, groups) = crate::risk::refine(input.rows(), &parts);
    let group_sizes = sizes(&published, groups);
    let total: f64 = (0..input.rows())
        .map(|row| {
            let cells: f64 = lanes.iter().map(|l| l.open[l.output.codes()[row] as usize]).product();
            let out = group_sizes[published[row] as usize] as f64 / n / cells;
            (share[classes[0][row] as usize] as f64 / n / out).ln()
        })
        .sum();
    Ok((total / n).max(0.0))
}

#[cfg(test)]
mod tests;
