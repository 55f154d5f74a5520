//! Rules of medicine, as a teacher writes them: cases in order, the first that fits is right.

use std::path::Path;

use serde::Deserialize;

use super::cohort::Cohort;
use crate::conditions::{Condition, HOW};
use crate::error::FilesError;

/// What a file of rules says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    rule: Vec<WrittenRule>,
    /// What no record should show: `salus synthesise --rules` looks for it.
    #[serde(default, rename = "implausible")]
    _implausible: Vec<toml::Table>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    ask: String,
    show: Vec<String>,
    case: Vec<WrittenCase>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCase {
    answer: String,
    #[serde(default)]
    when: Vec<String>,
    explain: String,
}

/// Rules about columns of a cohort.
pub(super) struct Rules(pub(super) Vec<Rule>);

/// One thing to ask about a patient.
pub(super) struct Rule {
    pub(super) ask: String,
    /// Columns that the vignette shows.
    pub(super) show: Vec<String>,
    pub(super) cases: Vec<Case>,
}

/// An answer and when it is right.
pub(super) struct Case {
    pub(super) answer: String,
    conditions: Vec<Condition>,
    pub(super) explain: String,
}

/// None when the patient lacks the value.
fn holds(condition: &Condition, cohort: &Cohort, patient: usize) -> Option<bool> {
    condition.holds(cohort.field(&condition.column)?.value(patient)?)
}

impl Rules {
    /// Reads rules and checks that they speak of the cohort's columns.
    pub(super) fn read(path: &Path, cohort: &Cohort) -> Result<Self, FilesError> {
        let text = std::fs::read_to_string(path)
            .map_err(FilesError::file(path, "the rules cannot be read"))?;
        let written: Written = toml::from_str(&text).map_err(|source| FilesError::Plan {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        let refuse = |what: String| FilesError::option(format!("{}: {what}", path.display()));
        let mut rules = Vec::with_capacity(written.rule.len());
        for rule in written.rule {
            let mut cases = Vec::with_capacity(rule.case.len());
            for case in rule.case {
                let conditions = case
                    .when
                    .iter()
                    .map(|text| {
                        let parsed = Condition::parse(text);
                        parsed.ok_or_else(|| refuse(format!("'{text}' {HOW}")))
                    })
                    .collect::<Result<Vec<_>, _>>()?;
                cases.push(Case { answer: case.answer, conditions, explain: case.explain });
            }
            let named = cases.iter().flat_map(|c| c.conditions.iter().map(|x| &x.column));
            if let Some(name) = rule.show.iter().chain(named).find(|n| cohort.field(n).is_none()) {
                return Err(refuse(format!("the model has no column '{name}'")));
            }
            if cases.len() < 3 {
                return Err(refuse(format!("'{}' needs at least three cases", rule.ask)));
            }
            rules.push(Rule { ask: rule.ask, show: rule.show, cases });
        }
        if rules.is_empty() {
            return Err(refuse("there is no rule".to_owned()));
        }
        Ok(Self(rules))
    }
}

impl Rule {
    /// The first case that holds for a patient; none when it cannot be told.
    pub(super) fn right(&self, cohort: &Cohort, patient: usize) -> Option<usize> {
        for (i, case) in self.cases.iter().enumerate() {
            let mut all = true;
            for condition in &case.conditions {
                all &= holds(condition, cohort, patient)?;
            }
            if all {
                return Some(i);
            }
        }
        None
    }
}
