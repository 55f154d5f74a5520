//! Bias measured.

use serde::Serialize;

use super::{BiasError, Favourable, Grouped};
use crate::table::Table;

/// What a model said about each record.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// The predicted chance of the favourable outcome.
    pub scores: Vec<f64>,
    /// From here on the prediction is favourable.
    pub threshold: f64,
}

/// Bias between groups.
///
/// # Shape and units
/// Differences are least minus greatest rate over groups (0 is fair), ratios least over greatest
/// (1 is fair, 0.8 the usual limit). Without predictions the recorded outcome is judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BiasReport {
    /// By group, in order of first appearance.
    pub groups: Vec<GroupBias>,
    /// Difference in the rate of favourable outcomes.
    pub statistical_parity: f64,
    /// Ratio of the rates of favourable outcomes.
    pub disparate_impact: f64,
    /// Difference in the true positive rate, with predictions.
    pub equal_opportunity: Option<f64>,
    /// Mean of the differences in true and false positive rate, with predictions.
    pub average_odds: Option<f64>,
    /// The largest gap over groups between mean score and rate of favourable outcomes.
    pub calibration: Option<f64>,
}

/// One group of the sensitive columns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupBias {
    /// Its values, joined by ` & `.
    pub group: String,
    /// Records, or the sum of their weights.
    pub records: f64,
    /// Rate of favourable outcomes, predicted ones where there are predictions.
    pub favourable: f64,
    /// Of those with the favourable outcome, the share predicted so.
    pub true_positive: Option<f64>,
    /// Of the others, the share predicted favourable.
    pub false_positive: Option<f64>,
    /// Mean score minus rate of favourable outcomes.
    pub calibration: Option<f64>,
}

/// How a group's share compares with a reference population.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Representation {
    /// The group's values, joined by ` & `.
    pub group: String,
    /// Its share of the table.
    pub share: f64,
    /// Its share of the reference.
    pub reference: f64,
}

impl BiasReport {
    /// Measures bias by the intersections of the sensitive columns.
    ///
    /// # Errors
    /// When a column or the favourable value is missing, there is one group only, or weights or
    /// scores are not one per record.
    ///
    /// # Source
    /// Bellamy et al. 2018, "AI Fairness 360", section 4; Hardt, Price and Srebro 2016 for equal
    /// opportunity.
    pub fn measure(
        table: &Table,
        sensitive: &[&str],
        favourable: &Favourable,
        weights: Option<&[f64]>,
        predictions: Option<&Predictions>,
    ) -> Result<Self, BiasError> {
        let grouped = Grouped::of(table, sensitive, favourable)?;
        let rows = table.rows();
        if weights
            .is_some_and(|w| w.len() != rows || w.iter().any(|x| !(x.is_finite() && *x >= 0.0)))
        {
            return Err(BiasError::Input("there must be one weight of at least 0 for each record"));
        }
        if predictions.is_some_and(|p| p.scores.len() != rows) {
            return Err(BiasError::Input("there must be one score for each record"));
        }
        let mut tallies = vec![Tally::default(); grouped.names.len()];
        for row in 0..rows {
            let weight = weights.map_or(1.0, |w| w[row]);
            let score = predictions.map(|p| (p.scores[row], p.scores[row] >= p.threshold));
            tallies[grouped.group_of[row] as usize].add(weight, grouped.good[row], score);
        }
        let groups: Vec<GroupBias> = grouped
            .names
            .into_iter()
            .zip(&tallies)
            .map(|(name, tally)| tally.group(name, predictions.is_some()))
            .collect();
        Ok(Self::compare(groups))
    }

    fn compare(groups: Vec<GroupBias>) -> Self {
        let range = |pick: &dyn Fn(&GroupBias) -> Option<f64>| -> Option<(f64, f64)> {
            let values: Option<Vec<f64>> = groups.iter().map(pick).collect();
            let values = values?;
            Some((
                values.iter().copied().fold(f64::INFINITY, f64::min),
                values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            ))
        };
        let gap = |pick: &dyn Fn(&GroupBias) -> Option<f64>| range(pick).map(|(l, h)| l - h);
        let (low, high) = range(&|g| Some(g.favourable)).unwrap_or((0.0, 0.0));
        let (opportunity, odds) = (gap(&|g| g.true_positive), gap(&|g| g.false_positive));
        let calibration = range(&|g| g.calibration.map(f64::abs)).map(|(_, worst)| worst);
        Self {
            statistical_parity: low - high,
            disparate_impact: if high > 0.0 { low / high } else { 1.0 },
            equal_opportunity: opportunity,
            average_odds: opportunity.zip(odds).map(|(a, b)| f64::midpoint(a, b)),
            calibration,
            groups,
        }
    }

    /// Shares of groups in the table and in a reference table, largest shortfall first.
    ///
    /// # Errors
    /// When a column is missing in either table.
    pub fn representation(
        table: &Table,
        reference: &Table,
        sensitive: &[&str],
    ) -> Result<Vec<Representation>, BiasError> {
        let (split, number) = crate::risk::joint_classes(&[table, reference], sensitive)?;
        let own = crate::risk::sizes(&split[0], number);
        let theirs = crate::risk::sizes(&split[1], number);
        let mut names = vec![String::new(); number];
        for (source, classes) in [table, reference].iter().zip(&split) {
            let columns =
                sensitive.iter().map(|s| source.column(s)).collect::<Result<Vec<_>, _>>()?;
            for (row, &class) in classes.iter().enumerate() {
                if names[class as usize].is_empty() {
                    let values: Vec<&str> =
                        columns.iter().map(|c| c.value(row).unwrap_or_default()).collect();
                    names[class as usize] = values.join(" & ");
                }
            }
        }
        let mut shares: Vec<Representation> = names
            .into_iter()
            .enumerate()
            .map(|(i, group)| Representation {
                group,
                share: own[i] as f64 / table.rows() as f64,
                reference: theirs[i] as f64 / reference.rows() as f64,
            })
            .collect();
        shares.sort_by(|a, b| {
            (a.share - a.reference).total_cmp(&(b.share - b.reference)).then(a.group.cmp(&b.group))
        });
        Ok(shares)
    }
}

#[derive(Debug, Clone, Default)]
struct Tally {
    all: f64,
    good: f64,
    chosen: f64,
    chosen_good: f64,
    score: f64,
}

impl Tally {
    fn add(&mut self, weight: f64, good: bool, score: Option<(f64, bool)>) {
        let good = if good { weight } else { 0.0 };
        self.all += weight;
        self.good += good;
        if let Some((score, chosen)) = score {
            self.score += weight * score;
            if chosen {
                self.chosen += weight;
                self.chosen_good += good;
            }
        }
    }

    fn group(&self, group: String, predicted: bool) -> GroupBias {
        let rate = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let bad = self.all - self.good;
        GroupBias {
            group,
            records: self.all,
            favourable: rate(if predicted { self.chosen } else { self.good }, self.all),
            true_positive: predicted.then(|| rate(self.chosen_good, self.good)),
            false_positive: predicted.then(|| rate(self.chosen - self.chosen_good, bad)),
            calibration: predicted.then(|| rate(self.score, self.all) - rate(self.good, self.all)),
        }
    }
}
