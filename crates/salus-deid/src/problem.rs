//! An anonymisation problem: a table, its quasi-identifiers, the models, the loss and the limit.

use salus_model::{Class, Classified};

use crate::hierarchy::HierarchyError;
use crate::loss::Loss;
use crate::model::{ClassRule, Kind, PrivacyModel, SensitiveReference};
use crate::quasi::{QuasiIdentifier, QuasiIdentifiers};
use crate::table::{Column, Table, TableError};

/// Why a problem cannot be posed.
#[derive(Debug, thiserror::Error)]
pub enum ProblemError {
    /// A column is missing.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A hierarchy does not fit.
    #[error(transparent)]
    Hierarchy(#[from] HierarchyError),
    /// The suppression limit is no share.
    #[error("the suppression limit must lie between 0 and 1")]
    SuppressionLimit,
    /// No model was required.
    #[error("no privacy model was required; name at least one")]
    NoModel,
    /// A sensitive column is also a quasi-identifier.
    #[error(
        "column '{0}' is both sensitive and a quasi-identifier; take it out of the \
         quasi-identifiers"
    )]
    SensitiveQuasiIdentifier(String),
    /// A model compares with a population that was not given.
    #[error("the model compares with a population; give the population table")]
    NoPopulation,
    /// A person has several values of a sensitive column.
    #[error(
        "column '{0}': some people have several values of it, and diversity, closeness and \
         likeness are defined for one value a person; keep one record of each person, or make a \
         column that is the same in all records of a person"
    )]
    SeveralValues(String),
    /// The column that says whose a record is is published as well.
    #[error(
        "column '{0}' says whose a record is: it can be neither a quasi-identifier nor sensitive"
    )]
    PublishedPerson(String),
    /// A model that compares with one person a record.
    #[error(
        "δ-presence compares with one record a person: keep one record of each person, or leave \
         it out"
    )]
    PresenceOfPeople,
    /// The keys of the records do not fit.
    #[error("the quasi-identifiers need {bits} bits; at most 1,024 are possible")]
    TooWide {
        /// Bits needed.
        bits: usize,
    },
}

impl Classified for ProblemError {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// The largest share of records that may be suppressed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SuppressionLimit(f64);

impl SuppressionLimit {
    /// No record may be suppressed.
    pub const NONE: Self = Self(0.0);

    /// A limit as a share of all records.
    ///
    /// # Errors
    /// When it lies outside 0 to 1.
    pub fn new(share: f64) -> Result<Self, ProblemError> {
        if (0.0..=1.0).contains(&share) {
            Ok(Self(share))
        } else {
            Err(ProblemError::SuppressionLimit)
        }
    }

    /// The most records of `rows` that may be suppressed, rounded down.
    #[must_use]
    pub fn records(self, rows: usize) -> u64 {
        (self.0 * rows as f64).floor() as u64
    }
}

/// One level of a quasi-identifier, over the values that occur.
#[derive(Debug, Clone)]
pub(crate) struct Rung {
    /// Values of the domain below each node.
    pub(crate) leaves: Vec<u32>,
    /// `up[h][node]` is the node `h + 1` levels higher.
    pub(crate) up: Vec<Vec<u32>>,
}

/// A quasi-identifier bound to a table: nodes numbered over the values that occur.
#[derive(Debug, Clone)]
pub(crate) struct Ladder {
    pub(crate) domain: u64,
    pub(crate) rungs: Vec<Rung>,
    /// Node at level 0 of each dictionary code of the table.
    pub(crate) node_of_code: Vec<u32>,
    /// The same for the population table.
    pub(crate) node_of_population_code: Vec<u32>,
}

impl Ladder {
    fn bind(
        item: &QuasiIdentifier,
        column: &Column,
        population: Option<&Column>,
    ) -> Result<Self, HierarchyError> {
        let mut present: Vec<u32> = Vec::new();
        let mut known = hashbrown::HashMap::new();
        let mut number = |column: &Column| -> Result<Vec<u32>, HierarchyError> {
            values_of(item, column)?
                .into_iter()
                .map(|value| {
                    Ok(*known.entry(value).or_insert_with(|| {
                        present.push(value);
                        present.len() as u32 - 1
                    }))
                })
                .collect()
        };
        let node_of_code = number(column)?;
        let node_of_population_code = population.map(&mut number).transpose()?.unwrap_or_default();
        Ok(Self {
            domain: item.hierarchy.domain() as u64,
            rungs: Self::rungs(item, &present),
            node_of_code,
            node_of_population_code,
        })
    }

    fn rungs(item: &QuasiIdentifier, present: &[u32]) -> Vec<Rung> {
        let hierarchy = &item.hierarchy;
        // Per level: number of each value's node among the nodes that occur.
        let levels: Vec<(Vec<u32>, Vec<u32>)> = (0..=hierarchy.top())
            .map(|level| {
                let mut known = hashbrown::HashMap::new();
                let mut leaves = Vec::new();
                let nodes = present
                    .iter()
                    .map(|&value| {
                        let node = hierarchy.node(value, level);
                        *known.entry(node).or_insert_with(|| {
                            leaves.push(hierarchy.leaves(node, level));
                            leaves.len() as u32 - 1
                        })
                    })
                    .collect();
                (nodes, leaves)
            })
            .collect();
        levels
            .iter()
            .enumerate()
            .map(|(i, (nodes, leaves))| Rung {
                leaves: leaves.clone(),
                up: levels
                    .iter()
                    .skip(i + 1)
                    .map(|(higher, _)| {
                        let mut up = vec![0; leaves.len()];
                        for (&from, &to) in nodes.iter().zip(higher) {
                            up[from as usize] = to;
                        }
                        up
                    })
                    .collect(),
            })
            .collect()
    }

    pub(crate) fn top(&self) -> u8 {
        (self.rungs.len() - 1) as u8
    }

    /// Node of a table's code at a level.
    pub(crate) fn node(&self, code: u32, level: u8) -> u32 {
        let node = self.node_of_code[code as usize];
        match level {
            0 => node,
            _ => self.rungs[0].up[usize::from(level) - 1][node as usize],
        }
    }
}

/// The hierarchy's value of each dictionary entry, or the first record whose value is missing.
pub(crate) fn values_of(
    item: &QuasiIdentifier,
    column: &Column,
) -> Result<Vec<u32>, HierarchyError> {
    let found: Vec<Option<u32>> =
        column.dictionary().iter().map(|text| item.hierarchy.value(text)).collect();
    // A dictionary may hold entries that no record uses; only used ones have to be known.
    if let Some(record) = column.codes().iter().position(|&c| found[c as usize].is_none()) {
        return Err(HierarchyError::MissingValue {
            column: column.name().to_owned(),
            record: record + 1,
        });
    }
    Ok(found.into_iter().map(Option::unwrap_or_default).collect())
}

/// The value of each person, in the coding of the column.
fn value_of_each(column: &Column, person: &Column) -> Result<Column, ProblemError> {
    let mut values: Vec<Option<u32>> = vec![None; person.dictionary().len()];
    for (&whose, &value) in person.codes().iter().zip(column.codes()) {
        if *values[whose as usize].get_or_insert(value) != value {
            return Err(ProblemError::SeveralValues(column.name().to_owned()));
        }
    }
    let codes = values.into_iter().flatten().collect();
    Ok(Column::from_parts(column.name().to_owned(), column.dictionary().to_vec(), codes))
}

/// A model that looks at the sizes of all released classes at once.
#[derive(Debug, Clone)]
pub(crate) enum ReleaseRule {
    AverageRisk { most: f64 },
    PopulationUnique { most: f64, estimator: crate::risk::Estimator, population: u64 },
}

/// What is to be anonymised, how coarse it may get, and what must hold afterwards.
///
/// Pose it once, then search with [`Problem::optimum`] or [`Problem::anytime`], or
/// recode locally with [`Problem::recode_locally`].
#[derive(Debug, Clone)]
pub struct Problem<'a> {
    pub(crate) table: &'a Table,
    pub(crate) quasi: &'a QuasiIdentifiers,
    pub(crate) population: Option<&'a Table>,
    /// Whose each record is, where classes count people.
    pub(crate) person: Option<&'a Column>,
    pub(crate) loss: Loss,
    pub(crate) limit: u64,
    pub(crate) ladders: Vec<Ladder>,
    pub(crate) class_rules: Vec<ClassRule>,
    pub(crate) release_rules: Vec<ReleaseRule>,
    /// Columns of the table that class rules look at.
    pub(crate) sensitive: Vec<usize>,
    pub(crate) models: Vec<PrivacyModel>,
}

impl<'a> Problem<'a> {
    /// Poses the problem and checks that everything fits.
    ///
    /// # Errors
    /// When a column or a value of a hierarchy is missing, or a model lacks what it compares with.
    pub fn new(
        table: &'a Table,
        quasi: &'a QuasiIdentifiers,
        models: &[PrivacyModel],
        limit: SuppressionLimit,
        loss: Loss,
        population: Option<&'a Table>,
    ) -> Result<Self, ProblemError> {
        if models.is_empty() {
            return Err(ProblemError::NoModel);
        }
        let ladders = quasi
            .items()
            .iter()
            .map(|item| {
                let column = table.column(&item.column)?;
                let people = population.map(|p| p.column(&item.column)).transpose()?;
                Ok(Ladder::bind(item, column, people)?)
            })
            .collect::<Result<Vec<_>, ProblemError>>()?;
        let mut posed = Self {
            table,
            quasi,
            population,
            person: None,
            loss,
            limit: limit.records(table.rows()),
            ladders,
            class_rules: Vec::new(),
            release_rules: Vec::new(),
            sensitive: Vec::new(),
            models: models.to_vec(),
        };
        for model in models {
            posed.require(model)?;
        }
        Ok(posed)
    }

    /// The same problem where classes count people: `person` says whose each record is.
    ///
    /// # Privacy
    /// Every model then holds for people: a class of five records of one person is a class of one.
    /// Losses and the suppression limit go on counting records. What is released must not tell
    /// which records are of one person: whoever can join them may intersect their classes.
    ///
    /// # Errors
    /// When the column does not fit the table or is published, people have several values of a
    /// sensitive column, or δ-presence is asked for.
    pub fn for_people(mut self, person: &'a Column) -> Result<Self, ProblemError> {
        if person.codes().len() != self.table.rows() {
            return Err(ProblemError::Table(TableError::Length {
                name: person.name().to_owned(),
                found: person.codes().len(),
                expected: self.table.rows(),
            }));
        }
        let published = self.quasi.items().iter().any(|item| item.column == person.name());
        let sensitive = |at: &usize| self.table.columns()[*at].name() == person.name();
        if published || self.sensitive.iter().any(sensitive) {
            return Err(ProblemError::PublishedPerson(person.name().to_owned()));
        }
        if self.class_rules.iter().any(|rule| matches!(rule, ClassRule::Presence { .. })) {
            return Err(ProblemError::PresenceOfPeople);
        }
        for rule in &mut self.class_rules {
            if let ClassRule::Sensitive { slot, rule, reference } = rule {
                let column = &self.table.columns()[self.sensitive[*slot]];
                *reference = SensitiveReference::of(&value_of_each(column, person)?, rule)?;
            }
        }
        self.person = Some(person);
        Ok(self)
    }

    /// The models that must hold.
    #[must_use]
    pub fn models(&self) -> &[PrivacyModel] {
        &self.models
    }

    /// The quasi-identifiers.
    #[must_use]
    pub const fn quasi_identifiers(&self) -> &'a QuasiIdentifiers {
        self.quasi
    }

    fn require(&mut self, model: &PrivacyModel) -> Result<(), ProblemError> {
        if model.needs_population() && self.population.is_none() {
            return Err(ProblemError::NoPopulation);
        }
        match &model.0 {
            Kind::Size { k } => self.class_rules.push(ClassRule::Size { k: *k }),
            Kind::PopulationSize { k } => {
                self.class_rules.push(ClassRule::PopulationSize { k: *k });
            }
            Kind::Presence { least, most } => {
                if *least > 0.0 {
                    // Whoever is suppressed is certainly absent from the release.
                    self.limit = 0;
                }
                self.class_rules.push(ClassRule::Presence { least: *least, most: *most });
            }
            Kind::AverageRisk { most } => {
                self.release_rules.push(ReleaseRule::AverageRisk { most: *most });
            }
            Kind::PopulationUnique { most, estimator, population } => {
                self.release_rules.push(ReleaseRule::PopulationUnique {
                    most: *most,
                    estimator: *estimator,
                    population: *population,
                });
            }
            Kind::Sensitive { column, rule } => {
                if self.quasi.items().iter().any(|item| item.column == *column) {
                    return Err(ProblemError::SensitiveQuasiIdentifier(column.clone()));
                }
                let at = self.table.position(column)?;
                let slot = self.sensitive.iter().position(|&s| s == at).unwrap_or_else(|| {
                    self.sensitive.push(at);
                    self.sensitive.len() - 1
                });
                let reference = SensitiveReference::of(&self.table.columns()[at], rule)?;
                self.class_rules.push(ClassRule::Sensitive { slot, rule: rule.clone(), reference });
            }
        }
        Ok(())
    }

    /// Whether records that must go at a node must go at every more specific node too, by `rule`.
    ///
    /// With no suppression allowed that is so for every class rule: each of them is convex, so a
    /// class that fails has a part that fails. Not so where people count: one who has records in
    /// both parts counts once in the whole, which is then no mixture of its parts.
    pub(crate) fn prunes(&self, rule: &ClassRule) -> bool {
        rule.survives_joining() || (self.limit == 0 && self.person.is_none())
    }

    /// What a group of alike records of one person adds to a class, or a group of `records` where
    /// nobody is told apart.
    pub(crate) fn weight(&self, records: u32) -> u32 {
        if self.person.is_some() { records.min(1) } else { records }
    }
}
