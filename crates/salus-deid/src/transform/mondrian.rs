//! Mondrian: top-down partitioning, for tables with many quasi-identifiers.

use super::local::{LocalOutcome, recoded};
use crate::model::{ClassRule, Histogram};
use crate::problem::Problem;
use crate::search::SearchError;

/// A class that may still be split.
struct Part {
    rows: Vec<u32>,
    levels: Vec<u8>,
}

impl Problem<'_> {
    /// Partitions the records top-down over the hierarchies: a class is split by the column that
    /// is coarsest in it, as long as every part satisfies the models.
    ///
    /// # Privacy
    /// As for local recoding; the classes of the result are disjoint.
    ///
    /// # Errors
    /// When the whole table as one class fails a model, or a model compares with a population or
    /// with the whole release.
    ///
    /// # Cost
    /// Time in records × columns × levels at worst, whatever the size of the lattice.
    ///
    /// # Source
    /// LeFevre, DeWitt and Ramakrishnan 2006, "Mondrian multidimensional k-anonymity", section 3,
    /// with the children of a hierarchy's node in place of the median.
    pub fn mondrian(&self) -> Result<LocalOutcome, SearchError> {
        if self.population.is_some() || !self.release_rules.is_empty() {
            return Err(SearchError::NotLocal);
        }
        let mut histograms: Vec<Histogram> = self
            .sensitive
            .iter()
            .map(|&at| Histogram::with_values(self.table.columns()[at].dictionary().len()))
            .collect();
        let all = Part {
            rows: (0..self.table.rows() as u32).collect(),
            levels: self.ladders.iter().map(crate::problem::Ladder::top).collect(),
        };
        if !self.rows_hold(&all.rows, &mut histograms) {
            return Err(SearchError::Unsatisfiable);
        }
        let mut class_of_row = vec![0; self.table.rows()];
        let mut levels = Vec::new();
        let mut open = vec![all];
        while let Some(part) = open.pop() {
            match self.split(&part, &mut histograms) {
                Some(parts) => open.extend(parts),
                None => {
                    for &row in &part.rows {
                        class_of_row[row as usize] = levels.len() as u32;
                    }
                    levels.push(part.levels);
                }
            }
        }
        Ok(recoded(self, &class_of_row, &levels))
    }

    /// Splits by the coarsest column that can be split.
    fn split(&self, part: &Part, histograms: &mut [Histogram]) -> Option<Vec<Part>> {
        let first = *part.rows.first()? as usize;
        let mut columns: Vec<(f64, usize)> = (0..self.ladders.len())
            .filter(|&c| part.levels[c] > 0)
            .map(|c| {
                let (ladder, level) = (&self.ladders[c], part.levels[c]);
                let node = ladder.node(self.quasi_column(c).codes()[first], level);
                let leaves = ladder.rungs[usize::from(level)].leaves[node as usize];
                (f64::from(leaves) / ladder.domain as f64, c)
            })
            .collect();
        columns.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        columns.into_iter().find_map(|(_, c)| self.split_by(part, c, histograms))
    }

    fn split_by(&self, part: &Part, c: usize, histograms: &mut [Histogram]) -> Option<Vec<Part>> {
        let level = part.levels[c] - 1;
        let codes = self.quasi_column(c).codes();
        let mut children: std::collections::BTreeMap<u32, Vec<u32>> =
            std::collections::BTreeMap::new();
        for &row in &part.rows {
            let node = self.ladders[c].node(codes[row as usize], level);
            children.entry(node).or_default().push(row);
        }
        let whole = children.values().all(|rows| self.rows_hold(rows, histograms));
        let mut levels = part.levels.clone();
        levels[c] = level;
        whole.then(|| {
            children.into_values().map(|rows| Part { rows, levels: levels.clone() }).collect()
        })
    }

    /// Whether some rows as one class satisfy all models.
    fn rows_hold(&self, rows: &[u32], histograms: &mut [Histogram]) -> bool {
        let once = self.person.map(|person| {
            let mut met = hashbrown::HashSet::new();
            let mut once = rows.to_vec();
            once.retain(|&row| met.insert(person.codes()[row as usize]));
            once
        });
        let rows = once.as_deref().unwrap_or(rows);
        self.class_rules.iter().all(|rule| match rule {
            ClassRule::Sensitive { slot, .. } => {
                let codes = self.table.columns()[self.sensitive[*slot]].codes();
                let histogram = &mut histograms[*slot];
                histogram.clear();
                for &row in rows {
                    histogram.add(codes[row as usize], 1);
                }
                rule.holds(rows.len() as u64, 0, Some(histogram))
            }
            _ => rule.holds(rows.len() as u64, 0, None),
        })
    }
}
