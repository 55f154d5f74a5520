//! Rules of medicine, as a teacher writes them: cases in order, the first that fits is right.

use std::path::Path;

use serde::Deserialize;

use super::cohort::Cohort;
use crate::error::FilesError;

/// What a file of rules says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    rule: Vec<WrittenRule>,
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

struct Condition {
    column: String,
    sign: Sign,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    AtLeast,
    AtMost,
    Above,
    Below,
    Is,
    IsNot,
}

/// Longer signs first, so that `>=` is not read as `>`.
const SIGNS: [(&str, Sign); 6] = [
    (">=", Sign::AtLeast),
    ("<=", Sign::AtMost),
    ("!=", Sign::IsNot),
    (">", Sign::Above),
    ("<", Sign::Below),
    ("=", Sign::Is),
];

impl Condition {
    fn parse(text: &str) -> Option<Self> {
        // The sign that stands first; of those that begin there, the longest.
        let (at, (word, sign)) =
            SIGNS
                .iter()
                .filter_map(|pair| Some((text.find(pair.0)?, pair)))
                .min_by_key(|(at, (word, _))| (*at, std::cmp::Reverse(word.len())))?;
        let (column, value) = (text.get(..at)?.trim(), text.get(at + word.len()..)?.trim());
        if column.is_empty() || value.is_empty() {
            return None;
        }
        Some(Self { column: column.to_owned(), sign: *sign, value: value.to_owned() })
    }

    /// None when the patient lacks the value.
    fn holds(&self, cohort: &Cohort, patient: usize) -> Option<bool> {
        let field = cohort.field(&self.column)?;
        let own = field.value(patient)?;
        if let (Some(own), Ok(value)) = (field.number(patient), self.value.parse::<f64>()) {
            return Some(match self.sign {
                Sign::AtLeast => own >= value,
                Sign::AtMost => own <= value,
                Sign::Above => own > value,
                Sign::Below => own < value,
                Sign::Is => (own - value).abs() < 1e-9,
                Sign::IsNot => (own - value).abs() >= 1e-9,
            });
        }
        match self.sign {
            Sign::Is => Some(own == self.value),
            Sign::IsNot => Some(own != self.value),
            _ => None,
        }
    }
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
                        parsed.ok_or_else(|| refuse(format!(
                            "'{text}' is no condition; write one as column >= 140, with >=, <=, \
                             >, <, = or !="
                        )))
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
                all &= condition.holds(cohort, patient)?;
            }
            if all {
                return Some(i);
            }
        }
        None
    }
}
