//! Bias mended: weights before training, features repaired, thresholds after it.

use super::{BiasError, Favourable, Grouped};
use crate::risk::classes;
use crate::table::{Column, Table};
use crate::transform::{TransformError, numbers_of};

/// Weights that make the outcome independent of the group.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// A weight per record.
    pub by_record: Vec<f64>,
    /// By group: its name, the weight of favourable outcomes and of the others.
    pub by_group: Vec<(String, f64, f64)>,
}

impl Weights {
    /// Gives each record P(group)·P(outcome) / P(group, outcome).
    ///
    /// # Errors
    /// When a column or the favourable value is missing, or a group has one outcome only.
    ///
    /// # Source
    /// Kamiran and Calders 2012, "Data preprocessing techniques for classification without
    /// discrimination", section 4.2.
    pub fn reweigh(
        table: &Table,
        sensitive: &[&str],
        favourable: &Favourable,
    ) -> Result<Self, BiasError> {
        let grouped = Grouped::of(table, sensitive, favourable)?;
        let n = table.rows() as f64;
        let good: f64 = grouped.good_size.iter().sum();
        let by_group = grouped
            .names
            .iter()
            .zip(grouped.size.iter().zip(&grouped.good_size))
            .map(|(name, (&size, &own))| {
                if own <= 0.0 || own >= size {
                    return Err(BiasError::EmptyCell { group: name.clone() });
                }
                Ok((name.clone(), size * good / (n * own), size * (n - good) / (n * (size - own))))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let by_record = grouped
            .group_of
            .iter()
            .zip(&grouped.good)
            .map(|(&group, &good)| {
                let (_, high, low) = &by_group[group as usize];
                if good { *high } else { *low }
            })
            .collect();
        Ok(Self { by_record, by_group })
    }
}

/// How far a feature is moved towards the same distribution in every group, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Repair(f64);

impl Repair {
    /// A repair level.
    ///
    /// # Errors
    /// When it lies outside 0 to 1.
    pub fn new(level: f64) -> Result<Self, BiasError> {
        if (0.0..=1.0).contains(&level) {
            Ok(Self(level))
        } else {
            Err(BiasError::Input("the repair level must lie between 0 and 1"))
        }
    }

    /// Moves each number of a feature towards the median over groups of the number at the same
    /// rank, so that at level 1 the feature says nothing about the group while ranks within a
    /// group stay. Missing values stay, and whether one is missing may tell the group.
    ///
    /// # Errors
    /// When a column is missing or a value is something else than a number.
    ///
    /// # Source
    /// Feldman et al. 2015, "Certifying and removing disparate impact", section 5.
    pub fn apply(
        self,
        table: &Table,
        feature: &str,
        sensitive: &[&str],
    ) -> Result<Column, TransformError> {
        let column = table.column(feature)?;
        let numbers = numbers_of(column)?;
        let (group_of, groups) = classes(table, sensitive)?;
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); groups];
        let own = |row: usize| numbers[column.codes()[row] as usize];
        for (row, &group) in group_of.iter().enumerate() {
            if own(row).is_some() {
                members[group as usize].push(row);
            }
        }
        // Those without a number are nobody's neighbours.
        members.retain(|rows| !rows.is_empty());
        let number = |row: usize| own(row).unwrap_or_default();
        for rows in &mut members {
            rows.sort_by(|&a, &b| number(a).total_cmp(&number(b)).then(a.cmp(&b)));
        }
        let mut repaired: Vec<String> =
            (0..table.rows()).map(|row| column.value(row).unwrap_or_default().to_owned()).collect();
        for rows in &members {
            for (rank, &row) in rows.iter().enumerate() {
                let quantile = (rank as f64 + 0.5) / rows.len() as f64;
                let mut at: Vec<f64> = members
                    .iter()
                    .map(|other| {
                        let index = (quantile * other.len() as f64) as usize;
                        number(other[index.min(other.len() - 1)])
                    })
                    .collect();
                at.sort_by(f64::total_cmp);
                let median = at[(at.len() - 1) / 2];
                repaired[row] = ((1.0 - self.0) * number(row) + self.0 * median).to_string();
            }
        }
        Ok(Column::from_values(feature, repaired)?)
    }
}

/// A threshold per group, so that groups are treated alike by a given score.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds {
    /// By group: its name and the score from which on it is favoured.
    pub by_group: Vec<(String, f64)>,
    /// The decision for each record.
    pub favoured: Vec<bool>,
}

impl Thresholds {
    /// Finds for each group the threshold that gives it the same true positive rate: that which a
    /// single threshold gives to all together.
    ///
    /// # Errors
    /// When a column or the favourable value is missing, scores are not one per record, or a
    /// group has nobody with the favourable outcome.
    ///
    /// # Source
    /// Hardt, Price and Srebro 2016, "Equality of opportunity in supervised learning", section 4,
    /// with deterministic thresholds.
    pub fn equal_opportunity(
        table: &Table,
        sensitive: &[&str],
        favourable: &Favourable,
        scores: &[f64],
        threshold: f64,
    ) -> Result<Self, BiasError> {
        let grouped = Grouped::of(table, sensitive, favourable)?;
        if scores.len() != table.rows() || scores.iter().any(|s| !s.is_finite()) {
            return Err(BiasError::Input("there must be one finite score for each record"));
        }
        let good: Vec<usize> = (0..scores.len()).filter(|&row| grouped.good[row]).collect();
        let chosen = good.iter().filter(|&&row| scores[row] >= threshold).count();
        let rate = chosen as f64 / good.len() as f64;
        let mut by_group = Vec::with_capacity(grouped.names.len());
        for (group, name) in grouped.names.iter().enumerate() {
            let mut own: Vec<f64> = good
                .iter()
                .filter(|&&row| grouped.group_of[row] as usize == group)
                .map(|&row| scores[row])
                .collect();
            if own.is_empty() {
                return Err(BiasError::EmptyCell { group: name.clone() });
            }
            own.sort_by(|a, b| b.total_cmp(a));
            let take = (rate * own.len() as f64).round() as usize;
            let cut = match take.checked_sub(1) {
                Some(last) => own[last.min(own.len() - 1)],
                None => own[0].next_up(),
            };
            by_group.push((name.clone(), cut));
        }
        let favoured = scores
            .iter()
            .zip(&grouped.group_of)
            .map(|(&score, &group)| score >= by_group[group as usize].1)
            .collect();
        Ok(Self { by_group, favoured })
    }
}
