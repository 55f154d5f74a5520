//! `salus risk`: how recognisable the people of a table are as it stands.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use salus_deid::risk::{ClassSizes, Estimator, PopulationRisk, Risk, suggest};
use salus_deid::table::Table;
use salus_model::Entropy;
use serde::Serialize;

use crate::Answer;
use crate::adjust::{self, Adjustment};
use crate::error::FilesError;
use crate::evidence::{self, AttackLine, Evidence, Trial};
use crate::file::{Format, Source};
use crate::text::{count, notes, pairs, percent};

/// How recognisable the people of a table are, by the columns that others may know of them.
#[derive(Debug, Clone, Args)]
pub struct RiskArgs {
    /// The table: CSV with column names in the first line and a record of a person in each other.
    pub file: PathBuf,
    /// Columns by which others could recognise a person: `all`, or names joined by commas.
    #[arg(long, value_delimiter = ',', default_value = "all")]
    pub quasi_identifiers: Vec<String>,
    /// How many people the table is a sample of; gives `population_unique`.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub population_size: Option<u64>,
    /// The estimator of population uniqueness.
    #[arg(long, value_enum, default_value = "dankar")]
    pub estimator: EstimatorName,
    /// A table of the population, for the journalist's and the marketer's risk.
    #[arg(long)]
    pub population: Option<PathBuf>,
    /// Do not run the attacks.
    #[arg(long)]
    pub no_attacks: bool,
    /// The score that a release needs: below it, say what to do first.
    #[arg(long, conflicts_with = "no_attacks", default_value_t = USUAL_THRESHOLD)]
    pub least_score: f64,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// An estimator of population uniqueness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EstimatorName {
    /// Pitman's sampling formula up to a tenth of the population, else the better of the others.
    Dankar,
    /// Pitman's sampling formula.
    Pitman,
    /// Zayatz.
    Zayatz,
    /// Slide negative binomial.
    Snb,
}

impl From<EstimatorName> for Estimator {
    fn from(name: EstimatorName) -> Self {
        match name {
            EstimatorName::Dankar => Self::Dankar,
            EstimatorName::Pitman => Self::Pitman,
            EstimatorName::Zayatz => Self::Zayatz,
            EstimatorName::Snb => Self::SlideNegativeBinomial,
        }
    }
}

/// What `salus risk` answers.
#[derive(Debug, Clone, Serialize)]
pub struct RiskReport {
    /// Records.
    pub records: u64,
    /// The columns that were taken as known.
    pub quasi_identifiers: Vec<String>,
    /// Groups of records that agree in all of them.
    pub classes: u64,
    /// The mean over records of 1 / group size.
    pub average_risk: f64,
    /// The largest 1 / group size.
    pub highest_risk: f64,
    /// The share of records at the largest.
    pub records_at_highest_risk: f64,
    /// The share of records that are alone in their group.
    pub sample_unique: f64,
    /// The estimated share of the population that is unique; none without `--population-size`.
    pub population_unique: Option<f64>,
    /// The estimator that had a solution; none without `--population-size`.
    pub population_estimator: Option<Estimator>,
    /// Risks against a population table; none without `--population`.
    pub population: Option<PopulationRisk>,
    /// Small sets of columns that tell most records apart.
    pub telling_columns: Vec<Telling>,
    /// Attacks on the table released as it is: a random half of the records attacked, the other
    /// half as control. Empty with `--no-attacks`.
    pub attacks: Vec<AttackLine>,
    /// 100 · (1 − the largest upper bound of risk over the attacks).
    pub score: Option<f64>,
    /// What to do first when the score is below the threshold; none when it is not.
    pub next: Option<Adjustment>,
    /// What to note.
    pub notes: Vec<String>,
}

/// The score below which a table as it is gets an adjustment proposed, if nobody says another.
const USUAL_THRESHOLD: f64 = 80.0;

/// A set of columns, and the share of records that they alone make unique or nearly so.
#[derive(Debug, Clone, Serialize)]
pub struct Telling {
    /// The columns.
    pub columns: Vec<String>,
    /// Distinct combinations per record: 1 tells everybody apart.
    pub distinction: f64,
}

/// Measures.
///
/// # Errors
/// When a file cannot be read or a column does not exist.
pub fn run(args: &RiskArgs, entropy: &mut dyn Entropy) -> Result<Answer, FilesError> {
    let source = Source::read(&args.file, &args.format)?;
    let names = source.columns("--quasi-identifiers", &args.quasi_identifiers, &[])?;
    let people = args.population.as_ref().map(|p| Source::read(p, &args.format)).transpose()?;
    if let Some(people) = &people {
        people.require("--population", &names)?;
    }
    let columns: Vec<&str> = names.iter().map(String::as_str).collect();
    let risk = Risk::of_table(&source.table, &columns, people.as_ref().map(|p| &p.table))?;
    let unique = args
        .population_size
        .map(|size| {
            let sizes = ClassSizes::of_table(&source.table, &columns)?;
            Ok::<_, FilesError>(sizes.population_unique(args.estimator.into(), size))
        })
        .transpose()?;
    let mut report = RiskReport {
        records: risk.records,
        quasi_identifiers: names.clone(),
        classes: risk.classes,
        average_risk: risk.average,
        highest_risk: risk.highest,
        records_at_highest_risk: risk.at_highest,
        sample_unique: risk.sample_unique,
        population_unique: unique.map(|u| u.share),
        population_estimator: unique.map(|u| u.model),
        population: risk.population,
        telling_columns: telling(&source.table, &names)?,
        attacks: Vec::new(),
        score: None,
        next: None,
        notes: source.notes.clone(),
    };
    if args.population_size.is_some_and(|size| size < risk.records) {
        report.notes.push(
            "the population is smaller than the table; its uniqueness is taken to be the table's"
                .to_owned(),
        );
    }
    let mut evidence = None;
    if !args.no_attacks {
        let found =
            evidence::of_recipe(&source.table, None, &[], Trial::ONCE, entropy, |half, _| {
                Ok(half.clone())
            })?;
        report.attacks.clone_from(&found.attacks);
        report.score = found.score;
        report.next = first_step(&found, args.least_score, report.records);
        evidence = Some(found);
    }
    let text = text(&report, evidence.as_ref());
    Answer::new(&report, text)
}

/// What to do with a table whose score as it is is too low.
fn first_step(evidence: &Evidence, wanted: f64, records: u64) -> Option<Adjustment> {
    if evidence.score.is_none_or(|score| score >= wanted) {
        return None;
    }
    let room = adjust::Room {
        // A table as it is promises groups of one: five is where most begin.
        k: Some(3),
        l: None,
        t: None,
        sensitive: Vec::new(),
        most_diverse: 0,
        members: records / 2,
        epsilon: None,
    };
    adjust::propose(evidence, wanted, &room).ok()
}

/// The best few sets of up to three columns.
fn telling(table: &Table, names: &[String]) -> Result<Vec<Telling>, FilesError> {
    // Sets of three grow with the cube of the columns: few enough passes over the records.
    let largest = match names.len() {
        0..=10 => 3,
        11..=40 => 2,
        _ => 1,
    };
    let columns = names.iter().map(|n| table.column(n).cloned()).collect::<Result<Vec<_>, _>>()?;
    let found = suggest(&Table::from_columns(columns)?, largest)?;
    let best = found.into_iter().take(5);
    Ok(best.map(|s| Telling { columns: s.columns, distinction: s.distinction }).collect())
}

fn text(report: &RiskReport, evidence: Option<&Evidence>) -> String {
    let mut rows = vec![
        ("records", count(report.records)),
        ("quasi-identifiers", report.quasi_identifiers.join(", ")),
        ("groups of alike records", count(report.classes)),
        ("average risk", percent(report.average_risk)),
        (
            "highest risk",
            format!(
                "{} for {} of the records",
                percent(report.highest_risk),
                percent(report.records_at_highest_risk)
            ),
        ),
        ("unique in the table", percent(report.sample_unique)),
    ];
    if let Some(share) = report.population_unique {
        rows.push(("unique in the population", format!("{} (estimated)", percent(share))));
    }
    if let Some(people) = &report.population {
        rows.push(("one match in the population", percent(people.unique_match)));
        rows.push(("journalist, highest", percent(people.journalist_highest)));
        rows.push(("marketer", percent(people.marketer)));
    }
    let telling: Vec<String> = report
        .telling_columns
        .iter()
        .map(|t| format!("{} ({})", t.columns.join(" + "), percent(t.distinction)))
        .collect();
    rows.push(("columns that tell most", telling.join("; ")));
    let mut said = format!("Re-identification risk\n{}", pairs(&rows));
    if let Some(evidence) = evidence {
        said.push_str(&format!(
            "\n\nAttacks, if the table were released as it is\n{}\n\n{}",
            evidence.text(),
            evidence.words
        ));
    }
    if let Some(next) = &report.next {
        said.push_str(&format!("\n\nNext: salus anonymise {}, for {}", next.option, next.why));
    }
    said.push_str(&notes(&report.notes));
    said
}
