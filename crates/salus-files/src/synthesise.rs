//! `salus synthesise`: synthetic records with differential privacy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use salus_deid::Column;
use salus_dp::Delta;
use salus_model::{Clock, Entropy};
use salus_synth::Method;
use serde::Serialize;

use crate::Answer;
use crate::adjust::{Adjustment, Attempt};
use crate::error::FilesError;
use crate::evidence::AttackLine;
use crate::file::{Format, Named, Source, Staged, check_outputs, given, table_bytes};
use crate::hierarchies;
use crate::numbers;
use crate::person;

mod attempts;
mod column;
mod domains;
mod linked;
mod make;
mod measures;
mod options;
mod report;
mod series;

pub use column::Stated;
pub use linked::{LinkedArgs, LinkedReport};
pub use measures::{Correlations, Fairness, Plausibility, Propensity, Target, WorstPair};
pub use options::{MethodName, Never, Only, WishArgs};
pub use series::{SeriesArgs, SeriesReport, Signature};

pub(crate) use attempts::{Meter, tried};
pub(crate) use column::{DATE_FORMS, Lane, Look, table_of};
pub(crate) use domains::whole;
pub(crate) use linked::{Outs, StoredLinked, names, stage_both};
pub(crate) use make::{make, seed, units};
pub(crate) use options::{MOST_RECORDS, rows_option};
pub(crate) use series::StoredSeries;

use make::stored;
use options::bounds_option;
use report::{certificate, text};

/// Makes synthetic records whose making tells little of anybody: (ε, δ)-differential privacy.
#[derive(Debug, Clone, Args)]
pub struct SynthesiseArgs {
    /// The table: CSV with column names in the first line.
    pub file: PathBuf,
    /// How the distribution is modelled.
    #[arg(long, value_enum, default_value = "aim")]
    pub method: MethodName,
    /// The most that the result tells of a person: less is more private; 1 is usual.
    #[arg(long, value_parser = numbers::epsilon)]
    pub epsilon: f64,
    /// The chance that ε is exceeded; well below one in the number of people.
    #[arg(long, default_value_t = 1e-6, value_parser = numbers::delta)]
    pub delta: f64,
    /// How many synthetic records; as many as were counted, with noise, if not given.
    #[arg(long, value_parser = rows_option)]
    pub rows: Option<u32>,
    /// Drives sampling from the fitted model, never the privacy noise.
    #[arg(long, value_parser = numbers::seed)]
    pub seed: Option<u64>,
    /// The column that says whose a record is; without it each record is a person of its own.
    #[arg(long)]
    pub person: Option<String>,
    /// How many records of a person count; later ones are left out.
    #[arg(long, default_value_t = 1, requires = "person", value_parser = clap::value_parser!(u32).range(1..))]
    pub records_per_person: u32,
    /// A folder of hierarchies whose values are the public domains of their columns.
    #[arg(long)]
    pub hierarchies: Option<PathBuf>,
    /// A column's public bounds, as age=0:120; repeat for more.
    #[arg(long, value_parser = bounds_option)]
    pub bounds: Vec<(String, f64, f64)>,
    /// The values and bounds that occur in the file are public knowledge, as from a codebook, and
    /// may be taken from it for nothing. Wrong where a rare value names a person.
    #[arg(long)]
    pub domains_are_public: bool,
    /// What the records have to satisfy.
    #[command(flatten)]
    pub wishes: WishArgs,
    /// What no longer depends on who a person is.
    #[command(flatten)]
    pub fair: FairArgs,
    /// Say what is learnt of this column from the synthetic records, beside the real ones.
    #[arg(long)]
    pub target: Option<String>,
    /// Rules of medicine: which share of the records shows what none should (TOML);
    /// docs/plain-files.md shows some.
    #[arg(long)]
    pub rules: Option<PathBuf>,
    /// A second table.
    #[command(flatten)]
    pub linked: LinkedArgs,
    /// Series in place of records.
    #[command(flatten)]
    pub series: SeriesArgs,
    /// Attack the way of releasing, on a random half of the people, and score it.
    #[arg(long)]
    pub attacks: bool,
    /// Refuse to write a result whose score is below this.
    #[arg(long, value_parser = numbers::score)]
    pub least_score: Option<f64>,
    /// Halve ε and try again until the score is at least this, or --utility-floor is reached.
    /// Every attempt is charged.
    #[arg(long, conflicts_with = "least_score", value_parser = numbers::score)]
    pub until_score: Option<f64>,
    /// Give up where the quality (1 is alike) falls below this.
    #[arg(long, default_value_t = 0.0, requires = "until_score", value_parser = numbers::share)]
    pub utility_floor: f64,
    /// Attempts at most; each is judged as one of so many.
    #[arg(long, default_value_t = 5, requires = "until_score", value_parser = clap::value_parser!(u8).range(1..=50))]
    pub most_attempts: u8,
    /// Attempts of each attack on members and as many on control people; as many as fit into the
    /// time if not given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub attempts: Option<u32>,
    /// Columns to leave out.
    #[arg(long, value_delimiter = ',', value_parser = crate::text::name)]
    pub without: Vec<String>,
    /// Where to write the fitted model, for more samples and for `salus attack --generator`.
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// The file for a certificate of the release (PDF for .pdf, else HTML).
    #[arg(long)]
    pub certificate: Option<PathBuf>,
    /// Write FHIR R4 resources of this type, one a line, in place of a table: Patient, Condition or
    /// Observation, with the columns of the view of that type. Each is validated.
    #[arg(long, value_name = "TYPE")]
    pub fhir: Option<String>,
    /// The file for the synthetic table.
    #[arg(long)]
    pub out: PathBuf,
    #[command(flatten)]
    pub(crate) format: Format,
    /// What is publicly known of columns, where the caller knows it and the words do not say it.
    #[arg(skip)]
    pub(crate) stated: BTreeMap<String, Stated>,
}
/// An outcome that no longer depends on who a person is.
#[derive(Debug, Clone, Default, Args)]
pub struct FairArgs {
    /// Columns by which nobody should fare worse; the outcome is made independent of them in the
    /// fitted model, of each and of all combinations.
    #[arg(long, value_delimiter = ',', requires = "favourable")]
    pub sensitive: Vec<String>,
    /// The outcome that is good for a person, as column=value.
    #[arg(long, value_parser = crate::unbias::favourable, requires = "sensitive")]
    pub favourable: Option<(String, String)>,
}

/// What `salus synthesise` answers.
#[derive(Debug, Clone, Serialize)]
pub struct SynthesiseReport {
    /// Synthetic records written.
    pub records: u64,
    /// How the distribution was modelled.
    pub method: Method,
    /// ε at the stated δ, never less than what was spent.
    pub epsilon_spent: f64,
    /// The stated δ, of which up to a half is for showing values that are frequent.
    pub delta: f64,
    /// The same loss in millionths of ρ (zCDP).
    pub micro_rho: u64,
    /// The mean of one- and two-way similarity of the synthetic to the real records: 1 is alike.
    /// Computed without noise, for the holder of the file.
    pub quality: f64,
    /// 1 − total variation distance, on average over columns, pairs and triples of columns.
    pub similarity: Ways,
    /// Whether columns go together alike; none where no pair can be compared.
    pub correlations: Option<Correlations>,
    /// How well a classifier tells real from synthetic records.
    pub propensity: Option<Propensity>,
    /// What is learnt of `--target`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// What `--rules` found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plausibility: Vec<Plausibility>,
    /// How alike the groups of `--sensitive` fare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fairness: Option<Fairness>,
    /// Processor time of finding domains, fitting and sampling, in milliseconds.
    pub cpu_ms: f64,
    /// Columns without a frequent value, which the result does not have.
    pub left_out: Vec<String>,
    /// 100 · (1 − the largest upper bound of risk over the attacks); none without attacks.
    pub score: Option<f64>,
    /// Attacks on this way of releasing: applied to a random half of the people, with the others
    /// as control.
    pub attacks: Vec<AttackLine>,
    /// The attempts of `--until-score`, whose scores are for the steward; empty without it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// What to do next when the score is below `--least-score`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Adjustment>,
    /// The file written.
    pub out: PathBuf,
    /// The file of the model, with `--model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<PathBuf>,
    /// The file of the certificate, with `--certificate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// What to note.
    pub notes: Vec<String>,
    /// What is noted of a cohort, which counts records: for whoever has them, and on no certificate.
    #[serde(skip)]
    pub(crate) cohort: Option<String>,
}

/// Similarity by how many columns are looked at together.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Ways {
    /// Single columns.
    pub one: f64,
    /// Pairs.
    pub two: f64,
    /// Triples; of more than 2,000 of them, 2,000 evenly chosen ones.
    pub three: Option<f64>,
}

/// Synthesises.
///
/// # Errors
/// When a file cannot be read or written, ε is too small for the columns, no column has a
/// frequent value, or the score stays too low.
pub fn run(
    args: &SynthesiseArgs,
    clock: &dyn Clock,
    entropy: &mut dyn Entropy,
) -> Result<Answer, FilesError> {
    check_outputs(&args.read(), &args.written())?;
    if let Some(linked) = &args.linked.linked {
        return linked::run(args, linked, clock, entropy);
    }
    if let Some(value) = &args.series.series {
        return series::run(args, value, entropy);
    }
    let source = args.source(&args.file)?;
    check_fhir(args, &source)?;
    check_delta(args, &source)?;
    let (made, mut report, evidence) = tried(args, &source, &mut Meter::new(), entropy)?;
    if let Some(least) = args.least_score
        && report.score.is_none_or(|score| score < least)
    {
        return Err(FilesError::Threshold(format!(
            "the score is {}, below {least}: nothing was written, and ε = {:.4} is charged all \
             the same. {} {}",
            report.score.map_or("unknown".to_owned(), |s| format!("{s:.1}")),
            report.epsilon_spent,
            evidence.as_ref().map_or("", |e| e.words.as_str()),
            report.next.as_ref().map_or(String::new(), |n| format!("Try {}: {}", n.option, n.why)),
        )));
    }
    let released = match &args.fhir {
        Some(resource) => crate::fhir::of_drawn(resource, &made.table, clock.now())?,
        None => table_bytes(&args.out, &made.table, source.format)?,
    };
    let mut staged = Staged::default();
    staged.add(&args.out, &released)?;
    if let Some(path) = &args.model {
        staged.add(path, &stored(path, &made, Delta::new(args.delta)?, &source)?)?;
    }
    if let Some(path) = &args.certificate {
        let certificate = certificate(args, &report, evidence.as_ref(), &released, clock);
        staged.add(path, &certificate.bytes(path)?)?;
    }
    staged.persist()?;
    report.notes.extend(report.cohort.clone());
    let text = text(&report, evidence.as_ref());
    Answer::new(&report, text)
}

impl SynthesiseArgs {
    /// The files that are read, but for those of hierarchies.
    fn read(&self) -> [Option<Named<'_>>; 3] {
        [
            Some(("the table", self.file.as_path())),
            given("--linked", self.linked.linked.as_deref()),
            given("--rules", self.rules.as_deref()),
        ]
    }

    /// The files that are written.
    fn written(&self) -> [Option<Named<'_>>; 4] {
        [
            Some(("--out", self.out.as_path())),
            given("--linked-out", self.linked.linked_out.as_deref()),
            given("--model", self.model.as_deref()),
            given("--certificate", self.certificate.as_deref()),
        ]
    }

    /// A table, whose hierarchies are not among the files to be written.
    fn source(&self, path: &Path) -> Result<Source, FilesError> {
        let source = Source::read(path, &self.format)?;
        hierarchies::not_over(self.hierarchies.as_deref(), &source, &self.written())?;
        Ok(source)
    }
}

/// Whether δ is below one in the number of people, before anything is spent.
pub(crate) fn check_delta(args: &SynthesiseArgs, source: &Source) -> Result<(), FilesError> {
    let people = match &args.person {
        Some(person) => {
            source.require("--person", std::slice::from_ref(person))?;
            person::people(&source.table, person)?
        }
        None => source.table.rows() as u64,
    };
    match numbers::too_large(args.delta, people) {
        Some(words) => Err(FilesError::option(words)),
        None => Ok(()),
    }
}

/// Whether the columns have a place in the resource type, before anything is spent.
fn check_fhir(args: &SynthesiseArgs, source: &Source) -> Result<(), FilesError> {
    let Some(resource) = &args.fhir else { return Ok(()) };
    let gone =
        |name: &str| args.without.iter().any(|w| w == name) || args.person.as_deref() == Some(name);
    let kept = source.table.columns().iter().map(Column::name).filter(|name| !gone(name));
    salus_fhir::rows::RowWriter::new(resource, &kept.collect::<Vec<_>>())?;
    Ok(())
}
