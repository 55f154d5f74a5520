//! The table as it is: what its columns are to an attacker, and what attacks on it achieve.

use std::path::PathBuf;

use salus_deid::{Column, is_missing};
use salus_model::{Entropy, KeyClass};
use serde::Serialize;

use super::{Holds, Subject, SubjectColumn};
use crate::error::FilesError;
use crate::file::Format;
use crate::risk::{self, EstimatorName, RiskArgs, RiskReport};
use crate::watch::Watch;

/// From so many records on, a column with nearly as many values as records looks like a number of
/// its people.
const FEWEST: usize = 20;

/// How the table is to be assessed.
#[derive(Debug, Clone)]
pub struct AssessWanted {
    /// Columns that others may know; those that the roles suggest if none is named.
    pub quasi_identifiers: Option<Vec<String>>,
    /// How many people the table is a sample of.
    pub population_size: Option<u64>,
    /// The score below which the next step is proposed.
    pub least_score: f64,
}

/// What a column is to somebody who wants to recognise people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Names a person, or may: leave it out.
    Identifier,
    /// May be known to others, and narrows people down.
    Quasi,
    /// Nobody should learn it of a person.
    Sensitive,
    /// Tells nothing.
    Other,
}

/// The role that is suggested for a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnRole {
    /// The column.
    pub column: String,
    /// Its role.
    pub role: Role,
    /// Why.
    pub why: String,
    /// Different values; none for a column that was not read.
    pub distinct: Option<u64>,
    /// Different values for each record: 1 tells everybody apart.
    pub distinction: Option<f64>,
    /// Records without a value.
    pub missing: Option<u64>,
}

/// What was found of a table as it is.
#[derive(Debug, Clone, Serialize)]
pub struct Assessed {
    /// What each column is.
    pub roles: Vec<ColumnRole>,
    /// As `salus risk` says it.
    pub risk: RiskReport,
}

/// Suggests roles, measures the risk and attacks the table as it is.
///
/// # Errors
/// When a column does not exist, or randomness fails.
pub fn assess(
    subject: &Subject,
    wanted: &AssessWanted,
    watch: &dyn Watch,
    entropy: &mut dyn Entropy,
) -> Result<Assessed, FilesError> {
    watch.stage("looking at the columns");
    let roles: Vec<ColumnRole> = subject.columns.iter().map(|c| role(subject, c)).collect();
    let suggested = || -> Vec<String> {
        let known = roles.iter().filter(|r| matches!(r.role, Role::Quasi | Role::Sensitive));
        known.filter(|r| r.distinct.is_some()).map(|r| r.column.clone()).collect()
    };
    let quasi_identifiers = wanted.quasi_identifiers.clone().unwrap_or_else(suggested);
    if quasi_identifiers.is_empty() {
        return Err(FilesError::option(
            "no column looks like one that others may know: name the quasi-identifiers",
        ));
    }
    let args = RiskArgs {
        file: PathBuf::from(&subject.name),
        quasi_identifiers,
        person: subject.person.clone(),
        population_size: wanted.population_size,
        estimator: EstimatorName::Dankar,
        population: None,
        no_attacks: false,
        least_score: wanted.least_score,
        format: Format::default(),
    };
    let names: Vec<String> =
        subject.table.columns().iter().map(|column| column.name().to_owned()).collect();
    let source = subject.source(&names)?;
    let (mut risk, _) = risk::measure(&args, &source, watch, entropy)?;
    if let Some(person) = &subject.person
        && subject.table.column(person)?.counts().iter().any(|n| *n > 1)
    {
        risk.notes.push(
            "some people have several records: risks are those of a record, and an attack has all \
             records of a person or none"
                .to_owned(),
        );
    }
    Ok(Assessed { roles, risk })
}

fn role(subject: &Subject, known: &SubjectColumn) -> ColumnRole {
    let measured = subject.table.column(&known.name).ok().map(Measured::of);
    let (role, why) = if subject.person.as_ref() == Some(&known.name) {
        (Role::Identifier, "names the person whose record it is".to_owned())
    } else {
        suggested(known, measured.as_ref())
    };
    ColumnRole {
        column: known.name.clone(),
        role,
        why,
        distinct: measured.as_ref().map(|m| m.distinct as u64),
        distinction: measured.as_ref().map(|m| m.distinct as f64 / m.records.max(1) as f64),
        missing: measured.as_ref().map(|m| m.missing),
    }
}

struct Measured {
    records: usize,
    distinct: usize,
    missing: u64,
}

impl Measured {
    fn of(column: &Column) -> Self {
        let used = column.dictionary().iter().zip(column.counts()).filter(|(_, n)| *n > 0);
        let (gone, there): (Vec<_>, Vec<_>) = used.partition(|(text, _)| is_missing(text));
        Self {
            records: column.codes().len(),
            distinct: there.len(),
            missing: gone.into_iter().map(|(_, n)| n).sum(),
        }
    }

    const fn tells_nearly_everybody_apart(&self) -> bool {
        self.records >= FEWEST && self.distinct * 10 >= self.records * 9
    }
}

fn suggested(known: &SubjectColumn, measured: Option<&Measured>) -> (Role, String) {
    let declared = |role, why: &str| (role, why.to_owned());
    match known.class {
        Some(KeyClass::Identifiers) => {
            return declared(Role::Identifier, "its key class is identifiers");
        }
        Some(KeyClass::Freetext) => {
            return declared(Role::Identifier, "narrative may name anybody");
        }
        Some(KeyClass::Signal | KeyClass::Footer) => {
            return declared(Role::Identifier, "a signal is one person's alone");
        }
        Some(KeyClass::Quasi | KeyClass::Clinical) | None => {}
    }
    if let Some(measured) = measured {
        if measured.distinct <= 1 {
            return declared(Role::Other, "has the same value everywhere");
        }
        if known.holds == Holds::Words && measured.tells_nearly_everybody_apart() {
            let why = format!("{} values in {} records", measured.distinct, measured.records);
            return (Role::Identifier, why);
        }
    }
    match (known.class, known.holds) {
        (Some(KeyClass::Quasi), _) => declared(Role::Quasi, "its key class is quasi"),
        (_, Holds::Moments) => declared(Role::Quasi, "others may know when it was"),
        (Some(_), _) => {
            let values = measured.map_or(0, |m| m.distinct);
            (Role::Sensitive, format!("clinical, with {values} values"))
        }
        (None, _) => declared(Role::Quasi, "it was not said how sensitive it is"),
    }
}
