//! Re-identification risk of a table as it stands.

mod population;
mod suggest;

pub use population::{Estimator, PopulationUnique};
pub use suggest::{Suggestion, suggest};

use std::collections::BTreeMap;

use hashbrown::HashMap;
use serde::Serialize;

use crate::table::{Table, TableError};

/// How many equivalence classes there are of each size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassSizes {
    classes_of_size: BTreeMap<u64, u64>,
    records: u64,
    classes: u64,
}

impl ClassSizes {
    /// Counts classes by size; empty ones do not count.
    #[must_use]
    pub fn from_sizes(sizes: impl IntoIterator<Item = u64>) -> Self {
        let mut built = Self { classes_of_size: BTreeMap::new(), records: 0, classes: 0 };
        for size in sizes.into_iter().filter(|&size| size > 0) {
            *built.classes_of_size.entry(size).or_insert(0) += 1;
            built.records += size;
            built.classes += 1;
        }
        built
    }

    /// The classes that the records of a table form by some of its columns.
    ///
    /// # Errors
    /// When a column is unknown.
    pub fn of_table(table: &Table, columns: &[&str]) -> Result<Self, TableError> {
        let (class_of, number) = classes(table, columns)?;
        Ok(Self::from_sizes(sizes(&class_of, number)))
    }

    /// The classes that the records form, sized by the people whose records are in them.
    ///
    /// # Errors
    /// When a column is unknown.
    pub fn of_people(table: &Table, columns: &[&str], person: &str) -> Result<Self, TableError> {
        Ok(Self::from_sizes(people_of_classes(table, columns, person)?.1))
    }

    /// Takes all classes of a size out.
    pub(crate) fn remove(&mut self, size: u64) {
        if let Some(classes) = self.classes_of_size.remove(&size) {
            self.records -= size * classes;
            self.classes -= classes;
        }
    }

    /// Records in all classes.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// How many classes there are.
    #[must_use]
    pub const fn classes(&self) -> u64 {
        self.classes
    }

    /// Pairs of size and number of classes, small first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> {
        self.classes_of_size.iter().map(|(&size, &classes)| (size, classes))
    }

    /// Classes of one size.
    #[must_use]
    pub fn of_size(&self, size: u64) -> u64 {
        self.classes_of_size.get(&size).copied().unwrap_or(0)
    }

    /// The smallest size; none without records.
    #[must_use]
    pub fn smallest(&self) -> Option<u64> {
        self.classes_of_size.keys().next().copied()
    }

    /// The mean over records of 1 / class size, which is classes / records; 0 without records.
    #[must_use]
    pub fn average_risk(&self) -> f64 {
        if self.records == 0 { 0.0 } else { self.classes as f64 / self.records as f64 }
    }

    /// The share of records whose 1 / class size exceeds `threshold`.
    #[must_use]
    pub fn records_at_risk(&self, threshold: f64) -> f64 {
        let at_risk: u64 = self
            .iter()
            .filter(|(size, _)| 1.0 / *size as f64 > threshold)
            .map(|(size, classes)| size * classes)
            .sum();
        if self.records == 0 { 0.0 } else { at_risk as f64 / self.records as f64 }
    }
}

/// The class of each record by some columns, and how many classes there are.
pub(crate) fn classes(table: &Table, columns: &[&str]) -> Result<(Vec<u32>, usize), TableError> {
    let columns = columns.iter().map(|name| table.column(name)).collect::<Result<Vec<_>, _>>()?;
    let parts: Vec<(&[u32], usize)> =
        columns.iter().map(|c| (c.codes(), c.dictionary().len())).collect();
    Ok(refine(table.rows(), &parts))
}

/// The class of each record by some columns, and how many people each class holds.
fn people_of_classes(
    table: &Table,
    columns: &[&str],
    person: &str,
) -> Result<(Vec<u32>, Vec<u64>), TableError> {
    let (class_of, number) = classes(table, columns)?;
    let mut met = hashbrown::HashSet::new();
    let mut people = vec![0; number];
    for (&class, &person) in class_of.iter().zip(table.column(person)?.codes()) {
        if met.insert((class, person)) {
            people[class as usize] += 1;
        }
    }
    Ok((class_of, people))
}

/// Classes by several code lists: as many as fit are packed into 64 bits, then numbered anew.
pub(crate) fn refine(rows: usize, parts: &[(&[u32], usize)]) -> (Vec<u32>, usize) {
    let mut keys = vec![0u64; rows];
    let mut used = 0;
    let mut numbered = (vec![0; rows], usize::from(rows > 0));
    for (codes, cardinality) in parts {
        let bits = (usize::BITS - cardinality.saturating_sub(1).leading_zeros()).max(1);
        if used + bits > u64::BITS {
            numbered = renumber(&keys);
            for (key, &class) in keys.iter_mut().zip(&numbered.0) {
                *key = class.into();
            }
            used = usize::BITS - numbered.1.leading_zeros();
        }
        for (key, &code) in keys.iter_mut().zip(*codes) {
            *key = (*key << bits) | u64::from(code);
        }
        used += bits;
    }
    if parts.is_empty() { numbered } else { renumber(&keys) }
}

fn renumber(keys: &[u64]) -> (Vec<u32>, usize) {
    let mut known: HashMap<u64, u32> = HashMap::with_capacity(keys.len() / 4);
    let classes = keys
        .iter()
        .map(|&key| {
            let next = known.len() as u32;
            *known.entry(key).or_insert(next)
        })
        .collect();
    (classes, known.len())
}

pub(crate) fn sizes(class_of: &[u32], number: usize) -> Vec<u64> {
    let mut sizes = vec![0; number];
    for &class in class_of {
        sizes[class as usize] += 1;
    }
    sizes
}

/// Risk of re-identification by a set of columns, under the three usual attackers.
///
/// # Privacy
/// The prosecutor knows that the target is in the table; the journalist does not, and compares
/// with the population; the marketer wants as many matches as possible. All three assume that the
/// attacker knows the named columns exactly, and nothing else.
///
/// # Source
/// El Emam 2013, "Guide to the De-Identification of Personal Health Information", chapter 16.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Risk {
    /// Records.
    pub records: u64,
    /// Equivalence classes.
    pub classes: u64,
    /// Prosecutor: mean over records of 1 / class size.
    pub average: f64,
    /// Prosecutor: the largest 1 / class size.
    pub highest: f64,
    /// Records in the smallest class or classes, as a share.
    pub at_highest: f64,
    /// Records that are alone in their class, as a share.
    pub sample_unique: f64,
    /// The journalist's and marketer's view, when there is a population table.
    pub population: Option<PopulationRisk>,
}

/// Risk against a population table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PopulationRisk {
    /// Records that match exactly one person, as a share.
    pub unique_match: f64,
    /// Records that match nobody: the table and the population disagree.
    pub unmatched: f64,
    /// Journalist: the largest 1 / number of matching people.
    pub journalist_highest: f64,
    /// Journalist: the larger of classes / matching people and the mean over classes of
    /// 1 / matching people.
    pub journalist_average: f64,
    /// Marketer: the share of records that are matched correctly by chance within their class.
    pub marketer: f64,
}

impl Risk {
    /// Measures a table by some columns, and against a population table if there is one.
    ///
    /// # Errors
    /// When a column is unknown in either table.
    pub fn of_table(
        table: &Table,
        columns: &[&str],
        population: Option<&Table>,
    ) -> Result<Self, TableError> {
        let sizes = ClassSizes::of_table(table, columns)?;
        let population = population
            .map(|people| PopulationRisk::of_table(table, columns, people))
            .transpose()?;
        let smallest = sizes.smallest().unwrap_or(0);
        let share = |records: u64| records as f64 / sizes.records().max(1) as f64;
        Ok(Self {
            records: sizes.records(),
            classes: sizes.classes(),
            average: sizes.average_risk(),
            highest: if smallest == 0 { 0.0 } else { 1.0 / smallest as f64 },
            at_highest: share(smallest * sizes.of_size(smallest)),
            sample_unique: share(sizes.of_size(1)),
            population,
        })
    }
}

impl Risk {
    /// Measures a table in which a person may have several records: a class is as large as the
    /// number of people in it, and a person as safe as the smallest class that one of their records
    /// is in. All shares and means are over people; a population table is compared with by record.
    ///
    /// # Errors
    /// When a column is unknown in either table.
    pub fn of_people(
        table: &Table,
        columns: &[&str],
        person: &str,
        population: Option<&Table>,
    ) -> Result<Self, TableError> {
        let (class_of, people) = people_of_classes(table, columns, person)?;
        let whose = table.column(person)?;
        let mut smallest = vec![u64::MAX; whose.dictionary().len()];
        for (&class, &person) in class_of.iter().zip(whose.codes()) {
            let own = &mut smallest[person as usize];
            *own = (*own).min(people[class as usize]);
        }
        smallest.retain(|size| *size < u64::MAX);
        let all = smallest.len().max(1) as f64;
        let least = smallest.iter().copied().min().unwrap_or(u64::MAX);
        let share = |size: u64| smallest.iter().filter(|s| **s == size).count() as f64 / all;
        Ok(Self {
            records: table.rows() as u64,
            classes: people.len() as u64,
            average: smallest.iter().map(|&size| 1.0 / size as f64).sum::<f64>() / all,
            highest: 1.0 / least as f64,
            at_highest: share(least),
            sample_unique: share(1),
            population: population
                .map(|people| PopulationRisk::of_table(table, columns, people))
                .transpose()?,
        })
    }
}

impl PopulationRisk {
    fn of_table(table: &Table, columns: &[&str], people: &Table) -> Result<Self, TableError> {
        let matches = matching_people(table, columns, people)?;
        let (class_of, number) = classes(table, columns)?;
        let mut people_of_class = vec![0u64; number];
        for (&class, &people) in class_of.iter().zip(&matches) {
            people_of_class[class as usize] = people;
        }
        let known: Vec<u64> = people_of_class.iter().copied().filter(|&p| p > 0).collect();
        let total: u64 = known.iter().sum();
        let records = matches.len() as f64;
        let share = |p: fn(u64) -> bool| {
            matches.iter().filter(|&&people| p(people)).count() as f64 / records
        };
        let inverse = |people: &[u64]| people.iter().map(|&p| 1.0 / p as f64).sum::<f64>();
        let matched: Vec<u64> = matches.iter().copied().filter(|&p| p > 0).collect();
        let classes = known.len().max(1) as f64;
        Ok(Self {
            unique_match: share(|people| people == 1),
            unmatched: share(|people| people == 0),
            journalist_highest: known.iter().min().map_or(0.0, |&p| 1.0 / p as f64),
            journalist_average: (known.len() as f64 / total.max(1) as f64)
                .max(inverse(&known) / classes),
            marketer: inverse(&matched) / records,
        })
    }
}

/// How many people of `people` match each record of `table` by some columns.
pub(crate) fn matching_people(
    table: &Table,
    columns: &[&str],
    people: &Table,
) -> Result<Vec<u64>, TableError> {
    let joined = joint_classes(&[table, people], columns)?;
    let (record_class, person_class) = (&joined.0[0], &joined.0[1]);
    let people_of_class = sizes(person_class, joined.1);
    Ok(record_class.iter().map(|&class| people_of_class[class as usize]).collect())
}

/// Classes numbered alike in several tables.
pub(crate) fn joint_classes(
    tables: &[&Table],
    columns: &[&str],
) -> Result<(Vec<Vec<u32>>, usize), TableError> {
    let rows: usize = tables.iter().map(|t| t.rows()).sum();
    let mut lists = Vec::with_capacity(columns.len());
    for name in columns {
        let mut known: HashMap<&str, u32> = HashMap::new();
        let mut codes = Vec::with_capacity(rows);
        for table in tables {
            let column = table.column(name)?;
            let renamed: Vec<u32> = column
                .dictionary()
                .iter()
                .map(|text| {
                    let next = known.len() as u32;
                    *known.entry(text).or_insert(next)
                })
                .collect();
            codes.extend(column.codes().iter().map(|&c| renamed[c as usize]));
        }
        lists.push((codes, known.len()));
    }
    let parts: Vec<(&[u32], usize)> = lists.iter().map(|(c, n)| (c.as_slice(), *n)).collect();
    let (all, number) = refine(rows, &parts);
    let mut rest = all.as_slice();
    let split = tables
        .iter()
        .map(|table| {
            let (own, later) = rest.split_at(table.rows());
            rest = later;
            own.to_vec()
        })
        .collect();
    Ok((split, number))
}

#[cfg(test)]
mod tests;
