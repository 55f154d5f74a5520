//! Set-valued columns, such as lists of diagnoses: k^m-anonymity by item generalisation.

use hashbrown::HashMap;
use salus_model::{Class, Classified};

use crate::hierarchy::{Hierarchy, HierarchyError};
use crate::table::Column;

/// Why lists could not be anonymised.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// An item is missing from the hierarchy.
    #[error(transparent)]
    Hierarchy(#[from] HierarchyError),
    /// k or m is 0, or m is too large to count combinations.
    #[error("k must be at least 1 and m between 1 and 4")]
    Parameter,
    /// A record has so many items that their combinations cannot be counted.
    #[error("record {record} lists {items} items; combinations of more than 200 are not counted")]
    TooManyItems {
        /// Record, counted from 1.
        record: usize,
        /// Items on it.
        items: usize,
    },
}

impl Classified for SetError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// What k^m-anonymity protects: whoever knows up to `m` items of a record finds at least `k`
/// records that have them all, or none.
///
/// # Source
/// Terrovitis, Mamoulis and Kalnis 2008, "Privacy-preserving anonymization of set-valued data",
/// definition 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KmAnonymity {
    k: u32,
    m: usize,
}

/// Lists in which every combination of up to m items is frequent enough.
#[derive(Debug, Clone, PartialEq)]
pub struct AnonymousSets {
    /// The column, items joined by the same separator, sorted.
    pub column: Column,
    /// The mean over item occurrences of the share of the domain that the published item leaves
    /// open: 0 when every item is published as it was, 1 when all are suppressed.
    pub loss: f64,
    /// Items of the hierarchy that are suppressed altogether.
    pub suppressed_items: usize,
}

/// One level of the hierarchy per item; whole groups move together.
struct Cut<'h> {
    hierarchy: &'h Hierarchy,
    level_of: Vec<u8>,
    suppressed: Vec<bool>,
    uses: Vec<u64>,
}

impl Cut<'_> {
    /// The published node of an item; none when it is suppressed.
    fn node(&self, item: u32) -> Option<(u8, u32)> {
        if self.suppressed[item as usize] {
            return None;
        }
        let level = self.level_of[item as usize];
        Some((level, self.hierarchy.node(item, level)))
    }

    /// Items published as `node` or lying below the node's parent.
    fn below(&self, level: u8, node: u32) -> impl Iterator<Item = u32> + '_ {
        (0..self.level_of.len() as u32)
            .filter(move |&item| self.hierarchy.node(item, level) == node)
    }

    /// What raising a node to its parent costs, in occurrences times domain share.
    fn price(&self, (level, node): (u8, u32)) -> f64 {
        let Some(first) = self.below(level, node).next() else { return f64::INFINITY };
        let domain = self.hierarchy.domain() as f64;
        let (items, open): (Vec<u32>, f64) = if level < self.hierarchy.top() {
            let parent = self.hierarchy.node(first, level + 1);
            let open = f64::from(self.hierarchy.leaves(parent, level + 1)) / domain;
            (self.below(level + 1, parent).collect(), open)
        } else {
            (self.below(level, node).collect(), 1.0)
        };
        items
            .iter()
            .map(|&item| {
                let now = self.node(item).map_or(1.0, |(l, n)| {
                    if l == 0 { 0.0 } else { f64::from(self.hierarchy.leaves(n, l)) / domain }
                });
                self.uses[item as usize] as f64 * (open - now).max(0.0)
            })
            .sum()
    }

    /// Moves a node and its siblings to their parent, or off the release at the top.
    fn raise(&mut self, (level, node): (u8, u32)) {
        let Some(first) = self.below(level, node).next() else { return };
        if level == self.hierarchy.top() {
            let gone: Vec<u32> = self.below(level, node).collect();
            for item in gone {
                self.suppressed[item as usize] = true;
            }
            return;
        }
        let parent = self.hierarchy.node(first, level + 1);
        let moved: Vec<u32> = self.below(level + 1, parent).collect();
        for item in moved {
            let own = &mut self.level_of[item as usize];
            *own = (*own).max(level + 1);
        }
    }
}

impl KmAnonymity {
    /// Protection against knowledge of up to `m` items.
    ///
    /// # Errors
    /// When `k` is 0 or `m` lies outside 1 to 4.
    pub fn new(k: u32, m: usize) -> Result<Self, SetError> {
        if k == 0 || !(1..=4).contains(&m) {
            return Err(SetError::Parameter);
        }
        Ok(Self { k, m })
    }

    /// Whether the lists satisfy it as they are.
    ///
    /// # Errors
    /// When a record has too many items to count.
    pub fn holds(&self, lists: &Column, separator: char) -> Result<bool, SetError> {
        let mut known: HashMap<&str, u32> = HashMap::new();
        let mut records = Vec::with_capacity(lists.codes().len());
        for row in 0..lists.codes().len() {
            let mut set: Vec<(u8, u32)> = items(lists.value(row).unwrap_or_default(), separator)
                .map(|item| {
                    let next = known.len() as u32;
                    (0, *known.entry(item).or_insert(next))
                })
                .collect();
            tidy(&mut set, row)?;
            records.push(set);
        }
        Ok((1..=self.m).all(|size| self.rarest(&records, size).is_none()))
    }

    /// Generalises items over their hierarchy until it holds; what is rare even at the top of
    /// the hierarchy is suppressed.
    ///
    /// Combinations are treated from small to large; the member that costs least to generalise
    /// moves up together with its siblings.
    ///
    /// # Errors
    /// When an item is missing from the hierarchy or a record has too many.
    ///
    /// # Cost
    /// Counts all combinations of up to m items of each record after each move.
    ///
    /// # Source
    /// Terrovitis et al. 2008, section 4.2 (apriori anonymization).
    pub fn anonymise(
        &self,
        lists: &Column,
        separator: char,
        hierarchy: &Hierarchy,
    ) -> Result<AnonymousSets, SetError> {
        let raw = coded(lists, separator, hierarchy)?;
        let mut uses = vec![0; hierarchy.domain()];
        for &item in raw.iter().flatten() {
            uses[item as usize] += 1;
        }
        let mut cut = Cut {
            hierarchy,
            level_of: vec![0; hierarchy.domain()],
            suppressed: vec![false; hierarchy.domain()],
            uses,
        };
        for size in 1..=self.m {
            loop {
                let published = publish(&raw, &cut)?;
                let Some(rare) = self.rarest(&published, size) else { break };
                let cheapest =
                    rare.iter().copied().min_by(|a, b| cut.price(*a).total_cmp(&cut.price(*b)));
                if let Some(node) = cheapest {
                    cut.raise(node);
                }
            }
        }
        finish(lists, separator, &raw, &cut)
    }

    /// The rarest combination of `size` items that fewer than k records share.
    fn rarest(&self, records: &[Vec<(u8, u32)>], size: usize) -> Option<Vec<(u8, u32)>> {
        let mut support: HashMap<Vec<(u8, u32)>, u32> = HashMap::new();
        for record in records {
            each_combination(record, size, &mut |set| {
                *support.entry_ref(set).or_insert(0) += 1;
            });
        }
        support
            .into_iter()
            .filter(|(_, count)| *count < self.k)
            .min_by(|a, b| a.1.cmp(&b.1).then_with(|| a.0.cmp(&b.0)))
            .map(|(set, _)| set)
    }
}

fn items(text: &str, separator: char) -> impl Iterator<Item = &str> {
    text.split(separator).map(str::trim).filter(|item| !item.is_empty())
}

fn coded(
    lists: &Column,
    separator: char,
    hierarchy: &Hierarchy,
) -> Result<Vec<Vec<u32>>, SetError> {
    let missing = |row: usize| HierarchyError::MissingValue {
        column: lists.name().to_owned(),
        record: row + 1,
    };
    (0..lists.codes().len())
        .map(|row| {
            items(lists.value(row).unwrap_or_default(), separator)
                .map(|item| hierarchy.value(item).ok_or_else(|| missing(row).into()))
                .collect()
        })
        .collect()
}

fn tidy(set: &mut Vec<(u8, u32)>, row: usize) -> Result<(), SetError> {
    set.sort_unstable();
    set.dedup();
    if set.len() > 200 {
        return Err(SetError::TooManyItems { record: row + 1, items: set.len() });
    }
    Ok(())
}

fn publish(raw: &[Vec<u32>], cut: &Cut<'_>) -> Result<Vec<Vec<(u8, u32)>>, SetError> {
    raw.iter()
        .enumerate()
        .map(|(row, record)| {
            let mut set = record.iter().filter_map(|&item| cut.node(item)).collect();
            tidy(&mut set, row)?;
            Ok(set)
        })
        .collect()
}

fn each_combination<T: Copy>(set: &[T], size: usize, visit: &mut impl FnMut(&[T])) {
    fn extend<T: Copy>(rest: &[T], size: usize, chosen: &mut Vec<T>, visit: &mut impl FnMut(&[T])) {
        if chosen.len() == size {
            visit(chosen);
            return;
        }
        for (i, &item) in rest.iter().enumerate() {
            chosen.push(item);
            extend(&rest[i + 1..], size, chosen, visit);
            chosen.pop();
        }
    }
    extend(set, size, &mut Vec::with_capacity(size), visit);
}

fn finish(
    lists: &Column,
    separator: char,
    raw: &[Vec<u32>],
    cut: &Cut<'_>,
) -> Result<AnonymousSets, SetError> {
    let published = publish(raw, cut)?;
    let domain = cut.hierarchy.domain() as f64;
    let texts = published.iter().map(|set| {
        let mut labels: Vec<&str> =
            set.iter().map(|&(level, node)| cut.hierarchy.label(node, level)).collect();
        labels.sort_unstable();
        labels.join(&separator.to_string())
    });
    let column = Column::from_values(lists.name(), texts).map_err(HierarchyError::Table)?;
    let (mut open, mut occurrences) = (0.0, 0.0);
    for &item in raw.iter().flatten() {
        occurrences += 1.0;
        open += match cut.node(item) {
            None => 1.0,
            Some((0, _)) => 0.0,
            Some((level, node)) => f64::from(cut.hierarchy.leaves(node, level)) / domain,
        };
    }
    Ok(AnonymousSets {
        column,
        loss: if occurrences > 0.0 { open / occurrences } else { 0.0 },
        suppressed_items: cut.suppressed.iter().filter(|gone| **gone).count(),
    })
}

#[cfg(test)]
mod tests;
