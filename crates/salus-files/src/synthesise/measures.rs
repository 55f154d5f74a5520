//! How near synthetic records are to the real ones, by several measures.
//!
//! # Privacy
//! Computed from the records without noise, for the holder of the file.

use std::path::Path;

use salus_deid::Table;
use salus_deid::unbias::{BiasReport, Favourable};
use salus_model::ColumnPath;
use salus_synth::quality::{Similarity, Values, associations, propensity, similarity, usefulness};
use salus_synth::{Attribute, Kind};
use serde::{Deserialize, Serialize};

use super::SynthesiseArgs;
use super::column::Lane;
use super::make::{Made, lanes_of};
use crate::conditions::{Condition, HOW};
use crate::error::FilesError;
use crate::file::Source;

/// Whether columns go together alike.
#[derive(Debug, Clone, Serialize)]
pub struct Correlations {
    /// The mean over pairs of columns of how alike their correlation is: 1 is alike.
    pub similarity: f64,
    /// Pairs that were compared.
    pub pairs: u64,
    /// The pair that differs most.
    pub worst: WorstPair,
}

/// A pair of columns.
#[derive(Debug, Clone, Serialize)]
pub struct WorstPair {
    /// The two columns.
    pub columns: [String; 2],
    /// Pearson's r, Cramér's V or the correlation ratio in the real records.
    pub real: f64,
    /// The same in the synthetic records.
    pub synthetic: f64,
}

/// How well a classifier tells real from synthetic records.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Propensity {
    /// Area under its ROC curve: 0.5 is not at all.
    pub auc: f64,
    /// The mean squared deviation of its score from the share of synthetic records: 0 is not at all.
    pub pmse: f64,
}

/// What is learnt of a column from synthetic records.
#[derive(Debug, Clone, Serialize)]
pub struct Target {
    /// The column.
    pub column: String,
    /// Area under the ROC curve on held-back real records after training on other real ones.
    pub auc_real: f64,
    /// The same after training on synthetic records.
    pub auc_synthetic: f64,
}

/// A rule of medicine, and which share of records breaks it.
#[derive(Debug, Clone, Serialize)]
pub struct Plausibility {
    /// What no record should show.
    pub what: String,
    /// The share of real records that show it.
    pub real: f64,
    /// The share of synthetic records.
    pub synthetic: f64,
}

/// How alike the groups fare.
#[derive(Debug, Clone, Serialize)]
pub struct Fairness {
    /// The lowest rate of good outcomes over the highest, over all combinations of the sensitive
    /// columns, in the real records: 1 is fair.
    pub disparate_impact_before: f64,
    /// The same in the synthetic records.
    pub disparate_impact: f64,
    /// The largest difference of rates in the real records: 0 is fair.
    pub statistical_parity_before: f64,
    /// The same in the synthetic records.
    pub statistical_parity: f64,
    /// Combinations in the synthetic records that were compared.
    pub groups: u64,
    /// Combinations of fewer than 30 records, whose rates are chance.
    pub groups_left_out: u64,
}

/// All of them.
pub(super) struct Measures {
    pub(super) near: Similarity,
    pub(super) correlations: Option<Correlations>,
    pub(super) propensity: Option<Propensity>,
    pub(super) target: Option<Target>,
    pub(super) plausibility: Vec<Plausibility>,
    pub(super) fairness: Option<Fairness>,
}

pub(super) fn measured(
    args: &SynthesiseArgs,
    source: &Source,
    made: &Made,
) -> Result<Measures, FilesError> {
    let (real, sample) = (&made.compared.real, &made.compared.sample);
    let attributes = &made.domains.attributes;
    let lanes = lanes_of(args, &source.table, &[])?;
    let kept = made.domains.lanes(&lanes);
    let target = args.target.as_deref().map(|name| {
        let at = attributes.iter().position(|a| a.name().as_str() == name);
        let found = at.and_then(|at| usefulness(real, sample.table(), at));
        found.map(|found| Target {
            column: name.to_owned(),
            auc_real: found.real,
            auc_synthetic: found.synthetic,
        })
    });
    let real_rows = source.table.select(made.compared.rows.iter().copied())?;
    let plausibility = match &args.rules {
        Some(path) => plausibility(path, &real_rows, &made.table)?,
        None => Vec::new(),
    };
    Ok(Measures {
        near: similarity(real, sample.table()),
        correlations: correlations(attributes, &kept, made),
        propensity: propensity(real, sample.table()).map(|(auc, pmse)| Propensity { auc, pmse }),
        target: target.flatten(),
        plausibility,
        fairness: fairness(args, &real_rows, &made.table)?,
    })
}

/// Whether the target and the rules' columns exist, before anything is spent.
pub(super) fn check(args: &SynthesiseArgs, source: &Source) -> Result<(), FilesError> {
    source.require("--target", args.target.as_slice())?;
    let Some(path) = &args.rules else { return Ok(()) };
    let mut columns = Vec::new();
    for rule in read(path)? {
        columns.extend(rule.when.into_iter().map(|c| c.column));
    }
    source.require("--rules", &columns)
}

fn correlations(attributes: &[Attribute], lanes: &[&Lane], made: &Made) -> Option<Correlations> {
    let numeric = |a: &Attribute| matches!(a.kind(), Kind::Number { .. });
    let values = |a: &Attribute, texts: Vec<Option<&str>>| {
        if numeric(a) {
            Values::Numbers(texts.into_iter().map(|t| t?.parse().ok()).collect())
        } else {
            Values::Words(texts.into_iter().map(|t| t.map(str::to_owned)).collect())
        }
    };
    let rows = &made.compared.rows;
    let real: Vec<Values> = attributes
        .iter()
        .zip(lanes)
        .map(|(a, lane)| values(a, rows.iter().map(|row| lane.field(*row)).collect()))
        .collect();
    let records = made.compared.sample.records();
    let synthetic: Vec<Values> = attributes
        .iter()
        .enumerate()
        .map(|(i, a)| {
            let of = |record: &'_ Vec<Option<String>>| record.get(i).cloned().flatten();
            let texts: Vec<Option<String>> = records.iter().map(of).collect();
            values(a, texts.iter().map(Option::as_deref).collect())
        })
        .collect();
    let pairs = associations(&real, &synthetic);
    let worst = pairs.iter().min_by(|a, b| a.likeness.total_cmp(&b.likeness))?;
    let name = |at: usize| attributes.get(at).map_or_else(String::new, |a| a.name().to_string());
    Some(Correlations {
        similarity: pairs.iter().map(|p| p.likeness).sum::<f64>() / pairs.len() as f64,
        pairs: pairs.len() as u64,
        worst: WorstPair {
            columns: [name(worst.a), name(worst.b)],
            real: worst.real,
            synthetic: worst.synthetic,
        },
    })
}

/// Of fewer records than this a group's rate is chance.
const LEAST_GROUP: f64 = 30.0;

fn fairness(
    args: &SynthesiseArgs,
    real: &Table,
    synthetic: &Table,
) -> Result<Option<Fairness>, FilesError> {
    let Some((column, value)) = &args.fair.favourable else { return Ok(None) };
    let good = Favourable { column: column.clone(), value: value.clone() };
    let sensitive: Vec<&str> = args.fair.sensitive.iter().map(String::as_str).collect();
    let (before, after) = (rates(real, &sensitive, &good)?, rates(synthetic, &sensitive, &good)?);
    Ok(Some(Fairness {
        disparate_impact_before: before.impact,
        disparate_impact: after.impact,
        statistical_parity_before: before.parity,
        statistical_parity: after.parity,
        groups: after.groups,
        groups_left_out: after.left_out,
    }))
}

/// How differently the groups of a table fare.
struct Rates {
    impact: f64,
    parity: f64,
    groups: u64,
    left_out: u64,
}

/// Of records that say both group and outcome, and of groups large enough to have a rate.
fn rates(table: &Table, sensitive: &[&str], good: &Favourable) -> Result<Rates, FilesError> {
    let mut said = vec![table.column(&good.column)?];
    for name in sensitive {
        said.push(table.column(name)?);
    }
    let says = |row: &usize| {
        said.iter().all(|c| c.value(*row).is_some_and(|v| !salus_deid::is_missing(v.trim())))
    };
    let whole = table.select((0..table.rows()).filter(says))?;
    let groups = BiasReport::measure(&whole, sensitive, good, None, None)?.groups;
    let large: Vec<f64> =
        groups.iter().filter(|g| g.records >= LEAST_GROUP).map(|g| g.favourable).collect();
    let low = large.iter().copied().fold(1.0, f64::min);
    let high = large.iter().copied().fold(0.0, f64::max);
    Ok(Rates {
        impact: if high > 0.0 { low / high } else { 1.0 },
        parity: (high - low).max(0.0),
        groups: large.len() as u64,
        left_out: (groups.len() - large.len()) as u64,
    })
}

/// The same file as for exams; only what is implausible is read here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, rename = "rule")]
    _rule: Vec<toml::Table>,
    #[serde(default)]
    implausible: Vec<WrittenRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    what: String,
    when: Vec<String>,
}

struct Rule {
    what: String,
    when: Vec<Condition>,
}

fn read(path: &Path) -> Result<Vec<Rule>, FilesError> {
    let text = std::fs::read_to_string(path)
        .map_err(FilesError::file(path, "the rules cannot be read"))?;
    let written: Written = toml::from_str(&text)
        .map_err(|source| FilesError::Plan { path: path.to_owned(), source: Box::new(source) })?;
    let refuse = |what: String| FilesError::option(format!("{}: {what}", path.display()));
    if written.implausible.is_empty() {
        return Err(refuse("there is no [[implausible]] in it".to_owned()));
    }
    let mut rules = Vec::with_capacity(written.implausible.len());
    for WrittenRule { what, when } in written.implausible {
        let parse =
            |text: &String| Condition::parse(text).ok_or_else(|| refuse(format!("'{text}' {HOW}")));
        let when = when.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        if when.is_empty() {
            return Err(refuse(format!("'{what}' has no condition in 'when'")));
        }
        rules.push(Rule { what, when });
    }
    Ok(rules)
}

/// Shares of records that show what they should not.
pub(crate) fn plausibility(
    path: &Path,
    real: &Table,
    synthetic: &Table,
) -> Result<Vec<Plausibility>, FilesError> {
    let rules = read(path)?;
    let found = rules.iter().map(|rule| Plausibility {
        what: rule.what.clone(),
        real: rule.share(real),
        synthetic: rule.share(synthetic),
    });
    Ok(found.collect())
}

impl Rule {
    /// The share of records for which all conditions hold; one that lacks a value shows nothing.
    fn share(&self, table: &Table) -> f64 {
        let shows = |row: usize| {
            self.when.iter().all(|condition| {
                let value = |name: &str| {
                    let value = table.column(name).ok()?.value(row)?;
                    (!salus_deid::is_missing(value.trim())).then_some(value)
                };
                let held = value(&condition.column).and_then(|own| {
                    // Two columns are compared where the right side names one.
                    match table.column(&condition.value) {
                        Ok(_) => condition.compare(own, value(&condition.value)?),
                        Err(_) => condition.holds(own),
                    }
                });
                held == Some(true)
            })
        };
        (0..table.rows()).filter(|row| shows(*row)).count() as f64 / table.rows().max(1) as f64
    }
}

/// Columns by name, for callers that need them as paths.
pub(super) fn paths(names: &[String]) -> Result<Vec<ColumnPath>, FilesError> {
    Ok(names.iter().map(|n| ColumnPath::new(n.as_str())).collect::<Result<Vec<_>, _>>()?)
}
