//! Automatic checks of what wants out and has no bound, for the people who decide on it.
//!
//! # Privacy
//! A check tells how many, and never which: no value of a record stands in its words. Column names,
//! counts and scores do, and are for reviewers.
//!
//! # Source
//! Bond, Brandt and de Wolf 2015, "Guidelines for output checking" (DwB), chapters 3 and 4: small
//! counts, class disclosure, identifiers, free text; and that what no program can check is named.

mod counts;
mod model;
mod model_file;
mod picture;

use std::path::Path;

use salus_deid::Table;
use salus_deid::risk::ClassSizes;
use serde::{Deserialize, Serialize};

use crate::error::FilesError;
use crate::generator::Recognised;
use crate::review::{self, TableRules};
use crate::text::{count, counted};

pub use model::{Attacked, TrainingPeople, attack_model, training_in_dataset};

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckVerdict {
    /// Nothing stands against release.
    Passes,
    /// A person has to look at it.
    Look,
    /// It stands against release.
    Objects,
    /// No program can check it.
    NotChecked,
}

impl CheckVerdict {
    /// The word that people see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passes => "passes",
            Self::Look => "look",
            Self::Objects => "objects",
            Self::NotChecked => "not checked",
        }
    }
}

/// One check of what wants out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputCheck {
    /// What was checked.
    pub check: String,
    /// What it came to.
    pub verdict: CheckVerdict,
    /// In words.
    pub words: String,
}

impl OutputCheck {
    fn new(check: &str, verdict: CheckVerdict, words: impl Into<String>) -> Self {
        Self { check: check.to_owned(), verdict, words: words.into() }
    }
}

/// A value that fewer published records have is rare.
const RARE: u64 = 10;
/// A value longer than this is somebody's words.
const LONG: usize = 64;

/// Checks of a table of records, one of a person each, that shall be published.
///
/// # Errors
/// When a quasi-identifier is no column of it.
pub(crate) fn of_records(
    table: &Table,
    quasi: &[String],
    verbatim: u64,
) -> Result<Vec<OutputCheck>, FilesError> {
    let mut checks = Vec::new();
    let known: Vec<&str> =
        quasi.iter().map(String::as_str).filter(|name| table.column(name).is_ok()).collect();
    if !known.is_empty() {
        checks.push(groups(&ClassSizes::of_table(table, &known)?));
    }
    checks.push(match verbatim {
        0 => OutputCheck::new(
            "whole records",
            CheckVerdict::Passes,
            "no record that stands out in the original is published as it was",
        ),
        n => {
            let one = "record that stands out is published as it was";
            let words = counted(n, one, "records that stand out are published as they were");
            OutputCheck::new("whole records", CheckVerdict::Objects, words)
        }
    });
    checks.push(identifiers(table));
    checks.push(rare_values(table));
    checks.push(long_texts(table));
    checks.push(OutputCheck::new(
        "other releases",
        CheckVerdict::NotChecked,
        "what this table tells together with earlier releases of the same people",
    ));
    Ok(checks)
}

fn groups(sizes: &ClassSizes) -> OutputCheck {
    let smallest = sizes.smallest().unwrap_or(0);
    let small: u64 = sizes.iter().filter(|(size, _)| *size < RARE).map(|(_, groups)| groups).sum();
    let words = format!(
        "the smallest group of records alike in the quasi-identifiers has {}; {} fewer than {RARE}",
        count(smallest),
        counted(small, "group has", "groups have")
    );
    let verdict = match (smallest, small) {
        (0 | 1, _) => CheckVerdict::Objects,
        (_, 0) => CheckVerdict::Passes,
        _ => CheckVerdict::Look,
    };
    OutputCheck::new("groups", verdict, words)
}

/// Distinct values that occur, and how many records have the rarest of them.
fn values(column: &salus_deid::Column) -> impl Iterator<Item = (&str, u64)> {
    let counted = column.dictionary().iter().zip(column.counts());
    counted.filter(|(_, n)| *n > 0).map(|(value, n)| (value.as_str(), n))
}

fn identifiers(table: &Table) -> OutputCheck {
    let rows = table.rows();
    let tells_apart = |c: &&salus_deid::Column| rows >= 20 && values(c).count() * 10 >= rows * 9;
    let named: Vec<&str> = table.columns().iter().filter(tells_apart).map(|c| c.name()).collect();
    if named.is_empty() {
        let words = "no column has nearly as many values as there are records";
        return OutputCheck::new("identifiers", CheckVerdict::Passes, words);
    }
    let words = format!("nearly every record has a value of its own in: {}", named.join(", "));
    OutputCheck::new("identifiers", CheckVerdict::Objects, words)
}

fn rare_values(table: &Table) -> OutputCheck {
    let rare = |c: &salus_deid::Column| values(c).filter(|(_, n)| *n < RARE).count() as u64;
    let found: Vec<String> = table
        .columns()
        .iter()
        .map(|c| (c.name(), rare(c)))
        .filter(|(_, n)| *n > 0)
        .map(|(name, n)| format!("{name} ({})", count(n)))
        .collect();
    if found.is_empty() {
        let words = format!("every published value is shared by {RARE} records or more");
        return OutputCheck::new("rare values", CheckVerdict::Passes, words);
    }
    let words = format!("values that fewer than {RARE} records share, in: {}", found.join(", "));
    OutputCheck::new("rare values", CheckVerdict::Look, words)
}

fn long_texts(table: &Table) -> OutputCheck {
    let long = |c: &&salus_deid::Column| values(c).any(|(v, _)| v.chars().count() > LONG);
    let named: Vec<&str> = table.columns().iter().filter(long).map(|c| c.name()).collect();
    if named.is_empty() {
        let words = format!("no published value is longer than {LONG} characters");
        return OutputCheck::new("free text", CheckVerdict::Passes, words);
    }
    let words = format!("values longer than {LONG} characters, in: {}", named.join(", "));
    OutputCheck::new("free text", CheckVerdict::Objects, words)
}

/// What kind of file wants out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum OutputKind {
    /// A table of counts: CSV, a line for each cell.
    Table {
        /// The column with the number of people.
        count: String,
        /// How a total over a column is written in it.
        total: String,
        /// The fewest people that a cell may show.
        least: u64,
        /// The columns of categories; all but the count if there are none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        by: Vec<String>,
    },
    /// A model, as `salus synthesise --model` or another program wrote it.
    Model,
    /// A picture of results.
    Plot,
}

impl OutputKind {
    /// The word for it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Table { .. } => "table",
            Self::Model => "model",
            Self::Plot => "plot",
        }
    }
}

/// What the checks say of a file.
#[derive(Debug, Clone)]
pub struct OutputChecks {
    /// Each check.
    pub checks: Vec<OutputCheck>,
    /// How often what was found, and about which columns; no value and no count of a cell.
    pub details: serde_json::Value,
    /// What a person should know about the reading.
    pub notes: Vec<String>,
}

impl OutputChecks {
    /// Whether something stands against release.
    #[must_use]
    pub fn objects(&self) -> bool {
        self.checks.iter().any(|check| check.verdict == CheckVerdict::Objects)
    }
}

/// Checks a file that wants out as far as its kind can be, and says what could not be checked.
///
/// Of the tables that went out before, `earlier`, those with other columns are said to be not
/// compared.
///
/// # Errors
/// When it is not of the kind that it is said to be.
pub fn check(
    file: (&Path, &[u8]),
    kind: &OutputKind,
    earlier: &[(&Path, Vec<u8>)],
) -> Result<OutputChecks, FilesError> {
    match kind {
        OutputKind::Table { count, total, least, by } => {
            let (count, total, by) = (count.clone(), total.clone(), by.clone());
            let rules = TableRules { count, total, least: *least, by };
            Ok(counts::of_counts(&review::check(file, earlier, &rules)?, &rules))
        }
        OutputKind::Model => Ok(of_model(file)),
        OutputKind::Plot => of_plot(file),
    }
}

/// The check of who was in a model's training data.
const MEMBERSHIP: &str = "membership";

fn of_model((_, bytes): (&Path, &[u8])) -> OutputChecks {
    let size = OutputCheck::new(
        "size",
        CheckVerdict::Look,
        format!("{} bytes: a model may hold as many bytes of records", count(bytes.len() as u64)),
    );
    let ours = Recognised::of_bytes(bytes);
    let stated = match &ours {
        Some(Recognised { of, spent: (epsilon, delta), .. }) => OutputCheck::new(
            "stated loss",
            CheckVerdict::Look,
            format!(
                "a model of {of} of `salus synthesise`, which says that fitting it cost ε = \
                 {epsilon:.4} at δ = {delta:e}; nothing here proves that"
            ),
        ),
        None => OutputCheck::new(
            "stated loss",
            CheckVerdict::NotChecked,
            "no model of `salus synthesise`: it states no privacy loss, and may hold anything",
        ),
    };
    let members = OutputCheck::new(
        MEMBERSHIP,
        CheckVerdict::NotChecked,
        "who was in the training data: that takes the records that it was fitted to (--trained-on) \
         and people who were not among them (--control), and none were named",
    );
    let checks = vec![size, stated, members, model_file::form(bytes, ours.as_ref())];
    OutputChecks { checks, details: serde_json::Value::Null, notes: Vec::new() }
}

fn of_plot((path, bytes): (&Path, &[u8])) -> Result<OutputChecks, FilesError> {
    let form = match picture::form(bytes) {
        Some(form) => form,
        None if bytes.starts_with(b"%PDF-") => {
            let words = "PDF: it may hold every point that it was drawn from, beside what is seen";
            OutputCheck::new("form", CheckVerdict::Look, words)
        }
        None => {
            return Err(FilesError::option(format!(
                "{}: a plot is taken as PNG, JPEG or PDF; a drawing that is text (SVG) holds every \
                 point it was drawn from",
                path.display()
            )));
        }
    };
    let shown = OutputCheck::new(
        "what is seen",
        CheckVerdict::NotChecked,
        "single people among points, outliers, extremes of axes: look at it",
    );
    let checks = vec![form, shown];
    Ok(OutputChecks { checks, details: serde_json::Value::Null, notes: Vec::new() })
}

#[cfg(test)]
mod tests;
