//! Tables that refer to each other: people, and their visits, samples or prescriptions.
//!
//! The number of a person's rows is modelled as one more attribute of the person. The other table
//! is modelled together with those attributes of the person that its rows depend on; its rows are
//! drawn under the condition of the person that they belong to. So every row refers to a person who
//! exists, and a person has as many rows as were drawn for them.
//!
//! # Privacy
//! For a person with the row in the first table and all rows in the second: ρ is divided between
//! the two fits, and sequential composition adds them up. At most `most` rows of a person count.

use salus_dp::{Bounds, Cost, SchemaError, UnitKey, sequential};
use salus_model::{Class, Classified, ColumnPath, IdError, MicroRho};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

use crate::attribute::{Attribute, AttributeError, Kind, Missing};
use crate::constraint::Constraint;
use crate::fit::{FitError, Method, fit, part};
use crate::model::{Condition, Model, SampleError};
use crate::table::{TableBuilder, TableError};

/// Fields of a row; none for missing.
pub type Row = Vec<Option<String>>;

/// Why linked tables were not modelled.
#[derive(Debug, thiserror::Error)]
pub enum LinkedError {
    /// Attributes or numbers of rows that make no model.
    #[error("{0}")]
    Setup(&'static str),
    /// A row of a person who is not in the first table.
    #[error("row {row} of the second table refers to nobody in the first")]
    Dangling {
        /// Which row, counted from 1.
        row: usize,
    },
    /// A person with two rows in the first table.
    #[error("row {row} of the first table is about somebody who has a row already")]
    Twice {
        /// Which row, counted from 1.
        row: usize,
    },
    /// A table cannot be built.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The number of rows makes no attribute.
    #[error(transparent)]
    Attribute(#[from] AttributeError),
    /// The number of rows has no bounds.
    #[error("the number of rows makes no attribute")]
    Schema(#[from] SchemaError),
    /// The name of the number of rows cannot be used.
    #[error("the number of rows has no name")]
    Name(#[from] IdError),
    /// A model could not be fitted.
    #[error(transparent)]
    Fit(#[from] FitError),
}

impl Classified for LinkedError {
    fn class(&self) -> Class {
        match self {
            Self::Fit(e) => e.class(),
            Self::Name(_) => Class::Bug,
            _ => Class::BadRequest,
        }
    }
}

/// What the two tables are, publicly.
#[derive(Debug, Clone)]
pub struct Link {
    /// Attributes of people.
    pub people: Vec<Attribute>,
    /// Attributes of the other table's rows.
    pub rows: Vec<Attribute>,
    /// Attributes of people that their rows depend on.
    pub depends_on: Vec<ColumnPath>,
    /// The most rows of a person that count.
    pub most: u32,
}

/// A private model of two linked tables.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkedModel {
    people: Model,
    rows: Model,
    depends_on: Vec<usize>,
}

/// What everybody, or every row, has to satisfy.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Terms {
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// Constraints.
    pub constraints: Vec<Constraint>,
}

/// Synthetic people and rows that refer to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedSample {
    /// People.
    pub people: Vec<Row>,
    /// Rows, each with the position of its person.
    pub rows: Vec<(usize, Row)>,
}

/// The attribute for the number of rows; no column of a file is called so.
const NUMBER: &str = "salus-number-of-rows";

/// Fits a model to two linked tables at a loss of `rho`.
///
/// # Privacy
/// `rho`-zCDP for a person with all rows in both tables.
///
/// # Errors
/// When rows refer to nobody, the attributes make no model, or ρ is too small.
pub fn fit_linked(
    link: &Link,
    people: &[(UnitKey, Row)],
    rows: &[(UnitKey, Row)],
    method: Method,
    rho: MicroRho,
) -> Result<LinkedModel, LinkedError> {
    if link.most == 0 {
        return Err(LinkedError::Setup("a person must be allowed at least one row"));
    }
    let place = |name: &ColumnPath| link.people.iter().position(|a| a.name() == name);
    let depends_on: Vec<usize> = link
        .depends_on
        .iter()
        .map(|name| place(name).ok_or(LinkedError::Setup("rows depend on no such attribute")))
        .collect::<Result<_, _>>()?;
    let mut numbers: HashMap<UnitKey, u32> = HashMap::new();
    let mut known: HashMap<UnitKey, &Row> = HashMap::new();
    for (i, (unit, row)) in people.iter().enumerate() {
        if known.insert(*unit, row).is_some() {
            return Err(LinkedError::Twice { row: i + 1 });
        }
    }
    for (i, (unit, _)) in rows.iter().enumerate() {
        if !known.contains_key(unit) {
            return Err(LinkedError::Dangling { row: i + 1 });
        }
        *numbers.entry(*unit).or_insert(0) += 1;
    }
    let first = first_table(link, people, &numbers)?;
    let second = second_table(link, &depends_on, &known, rows)?;
    let half = part(rho, 0.5);
    Ok(LinkedModel {
        people: fit(&first, method, half)?,
        rows: fit(&second, method, half)?,
        depends_on,
    })
}

fn first_table(
    link: &Link,
    people: &[(UnitKey, Row)],
    numbers: &HashMap<UnitKey, u32>,
) -> Result<crate::table::Table, LinkedError> {
    let bounds = Bounds::new(0.0, f64::from(link.most), 0)?;
    let bins = u16::try_from(link.most.min(63) + 1).unwrap_or(64);
    let kind = Kind::Number { bounds, bins };
    let mut attributes = link.people.clone();
    attributes.push(Attribute::new(ColumnPath::new(NUMBER)?, kind, Missing::Never)?);
    let mut builder = TableBuilder::new(attributes, 1)?;
    for (unit, row) in people {
        let number = numbers.get(unit).copied().unwrap_or(0).min(link.most).to_string();
        let mut fields: Vec<Option<&str>> = row.iter().map(Option::as_deref).collect();
        fields.push(Some(&number));
        builder.push(*unit, &fields)?;
    }
    Ok(builder.finish())
}

fn second_table(
    link: &Link,
    depends_on: &[usize],
    known: &HashMap<UnitKey, &Row>,
    rows: &[(UnitKey, Row)],
) -> Result<crate::table::Table, LinkedError> {
    let inherited = depends_on.iter().filter_map(|at| link.people.get(*at)).cloned();
    let attributes: Vec<Attribute> = inherited.chain(link.rows.iter().cloned()).collect();
    let mut builder = TableBuilder::new(attributes, link.most)?;
    for (unit, row) in rows {
        let person = known.get(unit).copied();
        let own = depends_on.iter().map(|at| person?.get(*at)?.as_deref());
        let fields: Vec<Option<&str>> = own.chain(row.iter().map(Option::as_deref)).collect();
        builder.push(*unit, &fields)?;
    }
    Ok(builder.finish())
}

impl LinkedModel {
    /// What fitting must be charged; none when the sum does not fit its number.
    #[must_use]
    pub fn cost(&self) -> Option<Cost> {
        sequential([self.people.cost(), self.rows.cost()])
    }

    /// The model of people; its last attribute is the number of a person's rows.
    #[must_use]
    pub const fn people(&self) -> &Model {
        &self.people
    }

    /// The model of rows; its first attributes are those of people that rows depend on.
    #[must_use]
    pub const fn rows(&self) -> &Model {
        &self.rows
    }

    /// How many of the rows' attributes are those of people that rows depend on.
    #[must_use]
    pub const fn inherited(&self) -> usize {
        self.depends_on.len()
    }

    /// Synthetic people with their rows.
    ///
    /// # Errors
    /// When a model was stored without its attributes.
    pub fn sample(&self, people: usize, seed: u64) -> Result<LinkedSample, SampleError> {
        self.sample_where(people, seed, &Terms::default(), &Terms::default())
    }

    /// Synthetic people who satisfy terms, with rows that satisfy others.
    ///
    /// # Errors
    /// As [`Model::sample`].
    pub fn sample_where(
        &self,
        people: usize,
        seed: u64,
        of_people: &Terms,
        of_rows: &Terms,
    ) -> Result<LinkedSample, SampleError> {
        let drawn =
            self.people.sample(people, seed, &of_people.conditions, &of_people.constraints)?;
        let mut found = LinkedSample { people: Vec::with_capacity(people), rows: Vec::new() };
        // People who agree in what rows depend on have their rows drawn together.
        let mut alike: BTreeMap<Vec<Option<String>>, Vec<usize>> = BTreeMap::new();
        for (person, record) in drawn.records().iter().enumerate() {
            let mut record = record.clone();
            let number = record.pop().flatten().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0);
            let key = self.depends_on.iter().map(|at| self.place_of(*at, &record)).collect();
            let owners = std::iter::repeat_n(person, number as usize);
            alike.entry(key).or_default().extend(owners);
            found.people.push(record);
        }
        for (group, (key, owners)) in alike.into_iter().enumerate() {
            if owners.is_empty() {
                continue;
            }
            let seed = seed.wrapping_add(0x517C_C1B7 * (1 + group as u64));
            let mut conditions = self.conditions(&key);
            conditions.extend(of_rows.conditions.iter().cloned());
            let rows = self.rows.sample(owners.len(), seed, &conditions, &of_rows.constraints)?;
            for (owner, row) in owners.into_iter().zip(rows.records()) {
                let own = row.get(self.depends_on.len()..).unwrap_or_default().to_vec();
                found.rows.push((owner, own));
            }
        }
        found.rows.sort_by_key(|(owner, _)| *owner);
        Ok(found)
    }

    /// The bin of a person's value, so that people who differ within it only count as alike.
    fn place_of(&self, at: usize, record: &Row) -> Option<String> {
        let attribute = self.people.attributes().get(at)?;
        let value = record.get(at)?.as_deref();
        match attribute.kind() {
            Kind::Category(_) => value.map(str::to_owned),
            Kind::Number { .. } => {
                value?;
                let middle = attribute.number(attribute.encode(value)?)?;
                Some(middle.to_string())
            }
        }
    }

    /// Conditions by which rows belong to people of a kind. What a person lacks binds nothing.
    fn conditions(&self, key: &[Option<String>]) -> Vec<Condition> {
        self.rows
            .attributes()
            .iter()
            .zip(key)
            .filter_map(|(attribute, value)| {
                let (name, value) = (attribute.name().clone(), value.clone()?);
                Some(match attribute.kind() {
                    Kind::Category(_) => Condition::OneOf { attribute: name, values: vec![value] },
                    Kind::Number { .. } => {
                        let middle: f64 = value.parse().ok()?;
                        let code = attribute.encode(Some(&value))?;
                        let (low, high) = attribute.ends(code).unwrap_or((middle, middle));
                        Condition::Between { attribute: name, low, high }
                    }
                })
            })
            .collect()
    }
}
