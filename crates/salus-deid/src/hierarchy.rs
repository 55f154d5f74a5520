//! Generalisation hierarchies: what each value becomes, level by level.

mod auto;
mod code;
mod date;
mod interval;
mod stated;

use std::io::Read;

use hashbrown::HashMap;
use salus_model::{Class, Classified};

use crate::table::{CsvFormat, TableError, each_record};

pub use code::CodeSystem;
pub use date::DateLevel;
pub use interval::Intervals;
pub use stated::Stated;

/// What is written for a value that was generalised away or suppressed.
pub const SUPPRESSED: &str = "*";

/// Why a hierarchy could not be built or fitted to a column.
#[derive(Debug, thiserror::Error)]
pub enum HierarchyError {
    /// The file could not be read.
    #[error("the hierarchy could not be read")]
    Table(#[from] TableError),
    /// There is no value.
    #[error("the hierarchy has no value")]
    Empty,
    /// More than 255 levels.
    #[error("the hierarchy has {found} levels; at most 255 are possible")]
    TooHigh {
        /// Levels found.
        found: usize,
    },
    /// A value is listed twice.
    #[error("entry {entry}: the same value is listed before; keep one of the two")]
    Duplicate {
        /// Entry, counted from 1.
        entry: usize,
    },
    /// Two values share a node but not its parent.
    #[error(
        "entry {entry}: '{label}' of level {level} lies under another group here than in an \
         earlier entry; a level must be made of whole groups of the level below"
    )]
    NotNested {
        /// Entry, counted from 1.
        entry: usize,
        /// Level of the node, counted from 0.
        level: usize,
        /// Label of the node.
        label: String,
    },
    /// A record's value is missing from the hierarchy.
    #[error("column '{column}', record {record}: the value is not in the hierarchy; add it")]
    MissingValue {
        /// The column.
        column: String,
        /// Record, counted from 1.
        record: usize,
    },
    /// A value cannot be read as what the builder needs.
    #[error("value {entry} of the column is no {expected}")]
    Unreadable {
        /// Distinct value, counted from 1 in order of first appearance.
        entry: usize,
        /// What was expected: `number`, `date`.
        expected: &'static str,
    },
    /// A builder was given parameters that make no hierarchy.
    #[error("{0}")]
    Parameter(&'static str),
}

impl Classified for HierarchyError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Level {
    labels: Vec<String>,
    /// Values below each node.
    leaves: Vec<u32>,
    node_of_value: Vec<u32>,
}

/// A value generalisation hierarchy: level 0 is the value itself, each further level coarser.
///
/// # Shape and units
/// Every level is made of whole groups of the level below; the constructor checks it. The domain
/// is what the hierarchy lists, which may be more than what a table contains; the domain's size
/// is what losses are relative to.
#[derive(Clone, PartialEq, Eq)]
pub struct Hierarchy {
    index: HashMap<String, u32>,
    levels: Vec<Level>,
}

/// Prints sizes only: values may be personal.
impl std::fmt::Debug for Hierarchy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hierarchy({} values, {} levels)", self.domain(), self.levels.len())
    }
}

impl Hierarchy {
    /// A hierarchy from one row per value: the value, then its label at each level.
    ///
    /// # Errors
    /// When rows differ in length, a value comes twice, or levels do not nest.
    pub fn from_rows<S: AsRef<str>>(rows: &[Vec<S>]) -> Result<Self, HierarchyError> {
        let height = rows.first().map_or(0, Vec::len);
        if height == 0 {
            return Err(HierarchyError::Empty);
        }
        if height > usize::from(u8::MAX) {
            return Err(HierarchyError::TooHigh { found: height });
        }
        if let Some((i, row)) = rows.iter().enumerate().find(|(_, row)| row.len() != height) {
            return Err(TableError::Ragged {
                line: i as u64 + 1,
                found: row.len(),
                expected: height,
            }
            .into());
        }
        let mut index = HashMap::with_capacity(rows.len());
        for (i, row) in rows.iter().enumerate() {
            if index.insert(row[0].as_ref().to_owned(), i as u32).is_some() {
                return Err(HierarchyError::Duplicate { entry: i + 1 });
            }
        }
        let levels = (0..height).map(|level| Level::build(rows, level)).collect();
        let built = Self { index, levels };
        built.check_nesting()?;
        Ok(built)
    }

    /// Reads a hierarchy file: a line per value, level 0 first.
    ///
    /// # Errors
    /// As [`Hierarchy::from_rows`], and when the text is no CSV.
    pub fn read_csv(input: impl Read, format: CsvFormat) -> Result<Self, HierarchyError> {
        let mut rows: Vec<Vec<String>> = Vec::new();
        each_record(input, format, |fields| {
            rows.push(fields.iter().map(|f| (*f).to_owned()).collect());
            Ok::<(), HierarchyError>(())
        })?;
        Self::from_rows(&rows)
    }

    /// Two levels: the value itself, or nothing.
    ///
    /// # Errors
    /// When there is no value or one comes twice.
    pub fn suppression<S: AsRef<str>>(values: &[S]) -> Result<Self, HierarchyError> {
        let rows: Vec<Vec<&str>> = values.iter().map(|v| vec![v.as_ref(), SUPPRESSED]).collect();
        Self::from_rows(&rows)
    }

    /// A hierarchy from what each value becomes at levels 1, 2 and so on; a last level with one
    /// node is added when the given ones do not end in one.
    fn from_steps(values: &[String], steps: Vec<Vec<String>>) -> Result<Self, HierarchyError> {
        let whole = steps.last().is_some_and(|top| top.iter().all(|label| label == SUPPRESSED));
        let rows: Vec<Vec<String>> = values
            .iter()
            .enumerate()
            .map(|(i, value)| {
                let mut row = vec![value.clone()];
                row.extend(steps.iter().map(|step| step[i].clone()));
                if !whole {
                    row.push(SUPPRESSED.to_owned());
                }
                row
            })
            .collect();
        Self::from_rows(&rows)
    }

    /// How many values the hierarchy lists.
    #[must_use]
    pub fn domain(&self) -> usize {
        self.index.len()
    }

    /// The highest level; 0 when nothing can be generalised.
    #[must_use]
    pub fn top(&self) -> u8 {
        (self.levels.len() - 1) as u8
    }

    /// The values, in the order in which they were listed.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.levels.first().into_iter().flat_map(|level| level.labels.iter().map(String::as_str))
    }

    /// Position of a value in the hierarchy.
    #[must_use]
    pub fn value(&self, text: &str) -> Option<u32> {
        self.index.get(text).copied()
    }

    /// What a value becomes at a level; none for an unknown value or level.
    #[must_use]
    pub fn generalise(&self, text: &str, level: u8) -> Option<&str> {
        let level = self.levels.get(usize::from(level))?;
        let node = *level.node_of_value.get(self.value(text)? as usize)?;
        level.labels.get(node as usize).map(String::as_str)
    }

    /// Nodes at a level.
    pub(crate) fn nodes(&self, level: u8) -> usize {
        self.levels[usize::from(level)].labels.len()
    }

    pub(crate) fn node(&self, value: u32, level: u8) -> u32 {
        self.levels[usize::from(level)].node_of_value[value as usize]
    }

    pub(crate) fn label(&self, node: u32, level: u8) -> &str {
        &self.levels[usize::from(level)].labels[node as usize]
    }

    /// Values below a node.
    pub(crate) fn leaves(&self, node: u32, level: u8) -> u32 {
        self.levels[usize::from(level)].leaves[node as usize]
    }

    fn check_nesting(&self) -> Result<(), HierarchyError> {
        for (level, pair) in self.levels.windows(2).enumerate() {
            let (below, above) = (&pair[0], &pair[1]);
            let mut parent = vec![None; below.labels.len()];
            for (value, (&child, &node)) in
                below.node_of_value.iter().zip(&above.node_of_value).enumerate()
            {
                let known = parent[child as usize].get_or_insert(node);
                if *known != node {
                    return Err(HierarchyError::NotNested {
                        entry: value + 1,
                        level,
                        label: below.labels[child as usize].clone(),
                    });
                }
            }
        }
        Ok(())
    }
}

impl Level {
    fn build<S: AsRef<str>>(rows: &[Vec<S>], level: usize) -> Self {
        let mut index: HashMap<&str, u32> = HashMap::new();
        let mut built = Self { labels: Vec::new(), leaves: Vec::new(), node_of_value: Vec::new() };
        for row in rows {
            let label = row[level].as_ref();
            let node = *index.entry(label).or_insert_with(|| {
                built.labels.push(label.to_owned());
                built.leaves.push(0);
                built.labels.len() as u32 - 1
            });
            built.leaves[node as usize] += 1;
            built.node_of_value.push(node);
        }
        built
    }
}

#[cfg(test)]
mod tests;
