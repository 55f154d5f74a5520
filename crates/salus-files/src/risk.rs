//! `salus risk`: how recognisable the people of a table are as it stands.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use salus_deid::risk::{ClassSizes, Estimator, PopulationRisk, Risk, suggest};
use salus_deid::table::Table;
use salus_model::Entropy;
use serde::Serialize;

use crate::Answer;
use crate::adjust::{self, Adjustment, Change};
use crate::error::FilesError;
use crate::evidence::{self, AttackLine, Evidence, Trial};
use crate::file::{Encoding, Format, Source};
use crate::numbers;
use crate::person;
use crate::text::{columns, count, notes, pairs, percent};
use crate::watch::{Unwatched, Watch};

/// How recognisable the people of a table are, by the columns that others may know of them.
#[derive(Debug, Clone, Args)]
pub struct RiskArgs {
    /// The table: CSV with column names in the first line and a record of a person in each other.
    pub file: PathBuf,
    /// Columns by which others could recognise a person: `all`, or names joined by commas.
    #[arg(long, value_delimiter = ',', value_parser = crate::text::name, default_value = "all")]
    pub quasi_identifiers: Vec<String>,
    /// How many people the table is a sample of; gives `population_unique`.
    #[arg(long, value_parser = numbers::people)]
    pub population_size: Option<u64>,
    /// The estimator of population uniqueness.
    #[arg(long, value_enum, default_value = "dankar")]
    pub estimator: EstimatorName,
    /// A table of the population, for the journalist's and the marketer's risk.
    #[arg(long)]
    pub population: Option<PathBuf>,
    /// The column that says whose a record is, where people have several: groups then count
    /// people, and a person is as safe as the smallest group that one of their records is in.
    #[arg(long, value_parser = crate::text::name)]
    pub person: Option<String>,
    /// Do not run the attacks.
    #[arg(long)]
    pub no_attacks: bool,
    /// The score that a release needs: below it, say what to do first.
    #[arg(long, conflicts_with = "no_attacks", default_value_t = USUAL_THRESHOLD, value_parser = numbers::score)]
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
    /// People, where `--person` tells them apart; the shares below are then of people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people: Option<u64>,
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

/// The size of groups that is proposed first.
const FIRST_SIZE: u32 = 5;

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
    let (report, evidence) = measure(args, &source, &Unwatched, entropy)?;
    let text = text(args, &report, evidence.as_ref());
    Answer::new(&report, text)
}

/// Measures a table that was read.
pub(crate) fn measure(
    args: &RiskArgs,
    source: &Source,
    watch: &dyn Watch,
    entropy: &mut dyn Entropy,
) -> Result<(RiskReport, Option<Evidence>), FilesError> {
    watch.stage("measuring groups of alike records, and who is alone in one");
    person::check(source, args.person.as_ref())?;
    let person = args.person.as_deref();
    let (many, noun) = match person {
        Some(person) => (person::people(&source.table, person)?, "people"),
        None => (source.table.rows() as u64, "records"),
    };
    person::in_population(args.population_size, many, noun)?;
    let apart = args.person.as_slice();
    let names = source.columns("--quasi-identifiers", &args.quasi_identifiers, apart)?;
    let people = args.population.as_ref().map(|p| Source::read(p, &args.format)).transpose()?;
    if let Some(people) = &people {
        people.require("--population", &names)?;
    }
    let columns: Vec<&str> = names.iter().map(String::as_str).collect();
    let population = people.as_ref().map(|p| &p.table);
    let risk = match person {
        Some(person) => Risk::of_people(&source.table, &columns, person, population)?,
        None => Risk::of_table(&source.table, &columns, population)?,
    };
    let unique = args
        .population_size
        .map(|size| {
            let sizes = match person {
                Some(person) => ClassSizes::of_people(&source.table, &columns, person)?,
                None => ClassSizes::of_table(&source.table, &columns)?,
            };
            Ok::<_, FilesError>(sizes.population_unique(args.estimator.into(), size))
        })
        .transpose()?;
    let mut report = RiskReport {
        records: risk.records,
        people: person.map(|p| person::people(&source.table, p)).transpose()?,
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
    if person.is_none() {
        report.notes.extend(person::noted(&source.table, &[]));
    }
    let sampled = report.people.unwrap_or(risk.records);
    let mut evidence = None;
    if !args.no_attacks {
        watch.go_on()?;
        watch.stage("attacking a random half of the records as they are");
        let trial = Trial { person, ..Trial::ONCE };
        let found = evidence::of_recipe(&source.table, None, &[], trial, entropy, |half, _| {
            let whose: Vec<&str> = person.into_iter().collect();
            Ok(half.clone().without_columns(&whose)?)
        })?;
        report.attacks.clone_from(&found.attacks);
        report.score = found.score;
        report.next = first_step(&found, args.least_score, sampled);
        evidence = Some(found);
    }
    Ok((report, evidence))
}

/// What to do with a table whose score as it is is too low.
fn first_step(evidence: &Evidence, wanted: f64, records: u64) -> Option<Adjustment> {
    if evidence.score.is_none_or(|score| score >= wanted) {
        return None;
    }
    let room = adjust::Room {
        // A table as it is promises groups of one: five is where most begin.
        k: Some(FIRST_SIZE - 1),
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

/// The whole command that does what is proposed, as it is typed.
fn command(args: &RiskArgs, next: &Adjustment) -> String {
    let stem = args.file.file_stem().unwrap_or_default().to_string_lossy();
    let out = args.file.with_file_name(format!("{stem}-anonymous.csv"));
    let mut words = vec![args.file.display().to_string()];
    let mut say = |option: &str, value: String| words.extend([option.to_owned(), value]);
    if !matches!(args.quasi_identifiers.as_slice(), [all] if all.eq_ignore_ascii_case("all")) {
        say("--quasi-identifiers", args.quasi_identifiers.join(","));
    }
    if let Some(person) = &args.person {
        say("--person", person.clone());
    }
    if let Some(delimiter) = args.format.delimiter {
        let named = match delimiter {
            b'\t' => "tab".to_owned(),
            other => char::from(other).to_string(),
        };
        say("--delimiter", named);
    }
    let encoding = args.format.encoding.to_possible_value();
    if let Some(named) = encoding.filter(|_| args.format.encoding != Encoding::default()) {
        say("--encoding", named.get_name().to_owned());
    }
    words.extend(args.format.header.then(|| "--header".to_owned()));
    words.extend(args.format.no_header.then(|| "--no-header".to_owned()));
    // More attempts alone make nothing anonymous: some model has to hold.
    if !matches!(next.change, Change::GroupSize(_)) {
        words.extend(["--k".to_owned(), FIRST_SIZE.to_string()]);
    }
    words.extend(next.option.split(' ').map(str::to_owned));
    words.extend(["--out".to_owned(), out.display().to_string()]);
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("salus anonymise {}", words.join(" "))
}

/// A word as a shell takes it for one.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./,=:@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn text(args: &RiskArgs, report: &RiskReport, evidence: Option<&Evidence>) -> String {
    let mut rows = vec![
        ("records", count(report.records)),
        ("people", report.people.map_or("one a record".to_owned(), count)),
        ("quasi-identifiers", report.quasi_identifiers.join(", ")),
        ("groups of alike records", count(report.classes)),
        ("average risk", percent(report.average_risk)),
        (
            "highest risk",
            format!(
                "{}, for {} of the {}",
                percent(report.highest_risk),
                percent(report.records_at_highest_risk),
                if report.people.is_some() { "people" } else { "records" }
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
    if let Some(score) = report.score {
        rows.push(("score as it is", format!("{score:.1} of 100")));
    }
    let mut said = format!("Re-identification risk\n{}", pairs(&rows));
    if !report.telling_columns.is_empty() {
        let telling = report.telling_columns.iter();
        let rows: Vec<Vec<String>> =
            telling.map(|t| vec![t.columns.join(" + "), percent(t.distinction)]).collect();
        let table = columns(&["columns", "different ones per record"], &rows);
        said.push_str(&format!("\n\nColumns that tell most records apart together\n{table}"));
    }
    if let Some(evidence) = evidence {
        said.push_str(&format!(
            "\n\nAttacks, if the table were released as it is\n{}\n\n{}",
            evidence.text(),
            evidence.words
        ));
    }
    if let Some(next) = &report.next {
        said.push_str(&format!("\n\nNext, for {}:\n  {}", next.why, command(args, next)));
    }
    said.push_str(&notes(&report.notes));
    said
}
