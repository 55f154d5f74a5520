//! `salus anonymise`: the least lossy version of a table at which privacy models hold.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use cpu_time::ProcessTime;
use salus_deid::risk::{ClassSizes, Risk};
use salus_deid::transform::UnknownValue;
use salus_deid::utility::Utility;
use salus_deid::{
    GroundDistance, Likeness, Loss, Optimality, Outcome, PrivacyModel, Problem, QuasiIdentifiers,
    SearchError, SuppressionLimit, Table,
};
use salus_model::{Clock, Entropy};
use serde::Serialize;

use crate::Answer;
use crate::certificate::Certificate;
use crate::error::FilesError;
use crate::evidence::{self, AttackLine, Evidence};
use crate::file::{Format, Source, not_over, table_bytes, write_bytes};
use crate::hierarchies;
use crate::text::{columns, count, notes, pairs, percent};

/// Makes a table anonymous with the least loss, attacks the result and scores it.
#[derive(Debug, Clone, Args)]
pub struct AnonymiseArgs {
    /// The table: CSV with column names in the first line and a record of a person in each other.
    pub file: PathBuf,
    /// A folder of generalisation hierarchies, a file for each column such as
    /// adult_hierarchy_age.csv; columns without one get a hierarchy made from their values.
    #[arg(long)]
    pub hierarchies: Option<PathBuf>,
    /// Columns by which others could recognise a person: `all` (but for the sensitive ones), or
    /// names joined by commas.
    #[arg(long, value_delimiter = ',', default_value = "all")]
    pub quasi_identifiers: Vec<String>,
    /// Each released record is alike to at least K − 1 others in the quasi-identifiers.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub k: Option<u32>,
    /// Columns whose values nobody should learn about a person; for --l, --t and --beta.
    #[arg(long, value_delimiter = ',')]
    pub sensitive: Vec<String>,
    /// Each group of alike records has L different values of each sensitive column.
    #[arg(long)]
    pub l: Option<f64>,
    /// What different means for --l.
    #[arg(long, value_enum, default_value = "distinct", requires = "l")]
    pub diversity: Diversity,
    /// The c of recursive (c, l)-diversity.
    #[arg(long, default_value_t = 3.0, requires = "l")]
    pub c: f64,
    /// Sensitive values are distributed in each group as in the whole table, within T.
    #[arg(long)]
    pub t: Option<f64>,
    /// How far apart two sensitive values are for --t.
    #[arg(long, value_enum, default_value = "equal", requires = "t")]
    pub distance: Distance,
    /// No sensitive value is more than BETA times likelier in a group than overall (enhanced).
    #[arg(long)]
    pub beta: Option<f64>,
    /// The average over records of 1 / group size is at most this.
    #[arg(long)]
    pub average_risk: Option<f64>,
    /// The share of records that may be suppressed.
    #[arg(long, default_value_t = 0.0)]
    pub suppression: f64,
    /// Give each group of records its own levels and suppress nothing.
    #[arg(long)]
    pub local: bool,
    /// Columns that name a person, left out of the result.
    #[arg(long, value_delimiter = ',')]
    pub identifiers: Vec<String>,
    /// How to search the combinations of levels.
    #[arg(long, value_enum, default_value = "auto")]
    pub search: Search,
    /// How long the search may take where no optimum can be proved, in seconds.
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// What suppressing weighs against generalising in the loss: 0.5 alike, less makes suppressing
    /// cheaper.
    #[arg(long, default_value_t = 0.5)]
    pub suppression_weight: f64,
    /// Refuse to write a result whose score is below this.
    #[arg(long)]
    pub least_score: Option<f64>,
    /// Do not attack the result; there is no score then.
    #[arg(long, conflicts_with = "least_score")]
    pub no_attacks: bool,
    /// The file for a certificate of the release (HTML, to be read and printed in a browser).
    #[arg(long)]
    pub certificate: Option<PathBuf>,
    /// The file for the anonymous table.
    #[arg(long)]
    pub out: PathBuf,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// Which l-diversity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Diversity {
    /// L distinct values.
    Distinct,
    /// An entropy of at least ln L.
    Entropy,
    /// The most frequent value less than c times as frequent as the rare ones together.
    Recursive,
}

/// Which ground distance of t-closeness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Distance {
    /// All values are equally far apart.
    Equal,
    /// Values are ordered.
    Ordered,
    /// Values are as far apart as their groups in the column's hierarchy.
    Hierarchical,
}

/// How to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Search {
    /// A proven optimum where the combinations are few, else the best within the time.
    Auto,
    /// A proven optimum, however long it takes.
    Optimal,
    /// The best within the time.
    Anytime,
}

/// Combinations of levels up to which an optimum is proved without asking for the time.
const FEW_NODES: u64 = 50_000;

/// What `salus anonymise` answers.
#[derive(Debug, Clone, Serialize)]
pub struct AnonymiseReport {
    /// Records, suppressed ones included.
    pub records: u64,
    /// The quasi-identifiers.
    pub quasi_identifiers: Vec<String>,
    /// What holds in the result.
    pub models: Vec<String>,
    /// The share of information lost: the geometric mean over columns of the share of the domain
    /// that a published value leaves open, a suppressed one leaving all of it.
    pub loss: f64,
    /// The mean over quasi-identifiers and records of 1 − (m − 1)/(D − 1), where a published label
    /// stands for m of D values: 1 is untouched.
    pub granularity: f64,
    /// The level that each quasi-identifier is generalised to; none with `--local`.
    pub levels: Option<serde_json::Map<String, serde_json::Value>>,
    /// Records suppressed.
    pub suppressed: u64,
    /// Combinations of levels that were checked.
    pub checked: u64,
    /// Combinations there are; none when 64 bits do not count them, or with `--local`.
    pub combinations: Option<u64>,
    /// Whether no combination of levels has a smaller loss, proved.
    pub optimal: bool,
    /// Processor time of posing, searching and applying, in milliseconds.
    pub cpu_ms: f64,
    /// Records of the smallest published group.
    pub smallest_group: u64,
    /// The mean over published records of 1 / group size.
    pub average_risk: f64,
    /// 100 · (1 − the largest upper bound of risk over the attacks); none when none could run.
    pub score: Option<f64>,
    /// Attacks on this way of releasing: applied to a random half of the records, with the other
    /// half as control.
    pub attacks: Vec<AttackLine>,
    /// The file written.
    pub out: PathBuf,
    /// What to note.
    pub notes: Vec<String>,
}

/// What was found, whichever way.
struct Release {
    table: Table,
    loss: f64,
    granularity: f64,
    outcome: Option<Outcome>,
}

/// Everything that a release is made with.
struct Recipe<'a> {
    args: &'a AnonymiseArgs,
    quasi: QuasiIdentifiers,
    models: Vec<PrivacyModel>,
    loss: Loss,
    clock: &'a dyn Clock,
}

/// Anonymises.
///
/// # Errors
/// When a file cannot be read or written, an option makes no sense, or nothing satisfies the
/// models.
pub fn run(
    args: &AnonymiseArgs,
    clock: &dyn Clock,
    entropy: &mut dyn Entropy,
) -> Result<Answer, FilesError> {
    not_over(&args.out, &[&args.file])?;
    let source = Source::read(&args.file, &args.format)?;
    source.require("--sensitive", &args.sensitive)?;
    source.require("--identifiers", &args.identifiers)?;
    let apart = [args.sensitive.as_slice(), args.identifiers.as_slice()].concat();
    let names = source.columns("--quasi-identifiers", &args.quasi_identifiers, &apart)?;
    let folder = args.hierarchies.as_deref();
    let found = hierarchies::of_columns(&source, &names, folder, args.format.encoding)?;
    let (models, words) = models(args, &source)?;
    let loss = Loss::new(salus_deid::Aggregate::GeometricMean, args.suppression_weight)
        .map_err(|_| FilesError::option("--suppression-weight must lie between 0 and 1"))?;
    let recipe = Recipe { args, quasi: found.quasi, models, loss, clock };
    let input = without(&source.table, &args.identifiers)?;

    let start = ProcessTime::now();
    let release = recipe.release(&input, None)?;
    let cpu_ms = start.elapsed().as_secs_f64() * 1_000.0;

    let mut noted = source.notes.clone();
    noted.extend(found.notes);
    noted.extend(likely_identifiers(&input, &names, &args.sensitive));
    let evidence = recipe.attack(&input, &release, entropy)?;
    let report = report(args, &names, words, &release, &evidence, cpu_ms, noted)?;
    if let Some(least) = args.least_score
        && report.score.is_none_or(|score| score < least)
    {
        return Err(FilesError::Threshold(format!(
            "the score is {}, below {least}: nothing was written. {} Raise --k, add a sensitive \
             column with --l or --t, or generalise more",
            report.score.map_or("unknown".to_owned(), |s| format!("{s:.1}")),
            evidence.words,
        )));
    }
    let released = table_bytes(&args.out, &release.table, source.format)?;
    write_bytes(&args.out, &released)?;
    if let Some(path) = &args.certificate {
        not_over(path, &[&args.file, &args.out])?;
        certificate(args, &report, &evidence, &released, clock).write(path)?;
    }
    let text = text(&report, &evidence);
    Answer::new(&report, text)
}

fn without(table: &Table, columns: &[String]) -> Result<Table, FilesError> {
    let names: Vec<&str> = columns.iter().map(String::as_str).collect();
    Ok(table.clone().without_columns(&names)?)
}

/// The models that the options ask for, and their names.
fn models(
    args: &AnonymiseArgs,
    source: &Source,
) -> Result<(Vec<PrivacyModel>, Vec<String>), FilesError> {
    let mut models = Vec::new();
    let mut words = Vec::new();
    let mut add = |model: PrivacyModel, word: String| {
        models.push(model);
        words.push(word);
    };
    if let Some(k) = args.k {
        add(PrivacyModel::k_anonymity(k)?, format!("{k}-anonymity"));
    }
    if let Some(most) = args.average_risk {
        add(PrivacyModel::average_risk(most)?, format!("average risk at most {most}"));
    }
    let about_sensitive = args.l.is_some() || args.t.is_some() || args.beta.is_some();
    if about_sensitive && args.sensitive.is_empty() {
        return Err(FilesError::option(
            "--l, --t and --beta are about a sensitive column: name it with --sensitive",
        ));
    }
    for column in args.sensitive.iter().filter(|_| about_sensitive) {
        if let Some(l) = args.l {
            add(diversity(args, column, l)?, format!("{} {l}-diversity of {column}", name(args)));
        }
        if let Some(t) = args.t {
            let distance = match args.distance {
                Distance::Equal => GroundDistance::Equal,
                Distance::Ordered => GroundDistance::Ordered,
                Distance::Hierarchical => {
                    let folder = args.hierarchies.as_deref();
                    let one = std::slice::from_ref(column);
                    let found = hierarchies::of_columns(source, one, folder, args.format.encoding)?;
                    match found.quasi.items() {
                        [item, ..] => GroundDistance::Hierarchical(item.hierarchy.clone()),
                        [] => GroundDistance::Equal,
                    }
                }
            };
            add(
                PrivacyModel::t_closeness(column, t, distance)?,
                format!("{t}-closeness of {column}"),
            );
        }
        if let Some(beta) = args.beta {
            add(
                PrivacyModel::beta_likeness(column, beta, Likeness::Enhanced)?,
                format!("enhanced {beta}-likeness of {column}"),
            );
        }
    }
    if models.is_empty() {
        return Err(FilesError::option(
            "say what must hold: --k, --l or --t with --sensitive, --beta or --average-risk",
        ));
    }
    Ok((models, words))
}

const fn name(args: &AnonymiseArgs) -> &'static str {
    match args.diversity {
        Diversity::Distinct => "distinct",
        Diversity::Entropy => "entropy",
        Diversity::Recursive => "recursive",
    }
}

fn diversity(args: &AnonymiseArgs, column: &str, l: f64) -> Result<PrivacyModel, FilesError> {
    let whole = || {
        if l.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(&l) {
            Ok(l as u32)
        } else {
            Err(FilesError::option("--l must be a whole number from 1 on, but for entropy"))
        }
    };
    Ok(match args.diversity {
        Diversity::Distinct => PrivacyModel::distinct_diversity(column, whole()?)?,
        Diversity::Entropy => PrivacyModel::entropy_diversity(column, l)?,
        Diversity::Recursive => PrivacyModel::recursive_diversity(column, args.c, whole()?)?,
    })
}

impl Recipe<'_> {
    /// Releases a table, by levels found earlier if there are any.
    fn release(&self, table: &Table, levels: Option<&Outcome>) -> Result<Release, FilesError> {
        let limit = match levels {
            Some(_) => SuppressionLimit::new(1.0)?,
            None => SuppressionLimit::new(self.args.suppression)?,
        };
        let problem = Problem::new(table, &self.quasi, &self.models, limit, self.loss, None)?;
        if self.args.local {
            let local = problem.recode_locally()?;
            let utility = Utility::measure(table, &local.table, &self.quasi)?;
            return Ok(Release {
                table: local.table,
                loss: loss_of(&utility),
                granularity: local.granularity,
                outcome: None,
            });
        }
        let outcome = match levels {
            Some(found) => problem.evaluate(&found.levels)?,
            None => self.search(&problem)?,
        };
        let hidden: Vec<&str> = self.args.sensitive.iter().map(String::as_str).collect();
        let released = outcome.scheme(&self.quasi, UnknownValue::Refuse)?.apply(
            table,
            &outcome.suppressed,
            &hidden,
        )?;
        Ok(Release {
            granularity: match levels {
                Some(_) => 0.0,
                None => Utility::measure(table, &released, &self.quasi)?.granularity,
            },
            table: released,
            loss: outcome.loss,
            outcome: Some(outcome),
        })
    }

    fn search(&self, problem: &Problem<'_>) -> Result<Outcome, FilesError> {
        let few = self.quasi.lattice().size().is_some_and(|nodes| nodes <= FEW_NODES);
        let exact = match self.args.search {
            Search::Auto => few,
            Search::Optimal => true,
            Search::Anytime => false,
        };
        if exact {
            return Ok(problem.optimum()?);
        }
        let seconds = Duration::try_from_secs_f64(self.args.seconds)
            .map_err(|_| FilesError::option("--seconds must be a number from 0 on"))?;
        let micros = i64::try_from(seconds.as_micros()).unwrap_or(i64::MAX);
        let deadline = self.clock.now().saturating_add_micros(micros);
        Ok(problem.anytime(self.clock, deadline)?)
    }

    fn attack(
        &self,
        input: &Table,
        release: &Release,
        entropy: &mut dyn Entropy,
    ) -> Result<Evidence, FilesError> {
        if self.args.no_attacks {
            return Ok(Evidence::none("not asked for"));
        }
        let secrets = &self.args.sensitive;
        let done = evidence::of_recipe(input, Some(&self.quasi), secrets, entropy, |half| {
            Ok(self.release(half, release.outcome.as_ref())?.table)
        });
        match done {
            // A half may be too small for models that the whole satisfies.
            Err(FilesError::Search(SearchError::Unsatisfiable)) => Ok(Evidence::none(
                "half of the records cannot satisfy the models, so that no control group is left",
            )),
            other => other,
        }
    }
}

/// The loss of a table by its columns' granularities: the geometric mean of 2 − granularity,
/// minus 1, which is what the search makes small.
fn loss_of(utility: &Utility) -> f64 {
    let columns = utility.columns.len().max(1) as f64;
    let product: f64 = utility.columns.iter().map(|c| 2.0 - c.granularity).product();
    product.powf(1.0 / columns) - 1.0
}

/// Columns that leave as they are and look like names or numbers of people.
fn likely_identifiers(table: &Table, quasi: &[String], sensitive: &[String]) -> Vec<String> {
    let named = |name: &str| quasi.iter().chain(sensitive).any(|n| n == name);
    let rows = table.rows();
    table
        .columns()
        .iter()
        .filter(|c| !named(c.name()) && rows >= 20)
        .filter(|c| c.counts().iter().filter(|n| **n > 0).count() * 10 >= rows * 9)
        .map(|c| {
            format!(
                "column '{}' is left as it is and has nearly as many values as there are records: \
                 name it with --identifiers to leave it out, or with --quasi-identifiers",
                c.name()
            )
        })
        .collect()
}

fn report(
    args: &AnonymiseArgs,
    names: &[String],
    models: Vec<String>,
    release: &Release,
    evidence: &Evidence,
    cpu_ms: f64,
    notes: Vec<String>,
) -> Result<AnonymiseReport, FilesError> {
    let columns: Vec<&str> = names.iter().map(String::as_str).collect();
    let suppressed: &[u32] =
        release.outcome.as_ref().map_or(&[], |outcome| outcome.suppressed.as_slice());
    let gone: std::collections::BTreeSet<u32> = suppressed.iter().copied().collect();
    let kept = (0..release.table.rows()).filter(|row| !gone.contains(&(*row as u32)));
    let (smallest, average) = match release.table.select(kept) {
        Ok(published) => {
            let sizes = ClassSizes::of_table(&published, &columns)?;
            let risk = Risk::of_table(&published, &columns, None)?;
            (sizes.smallest().unwrap_or(0), risk.average)
        }
        Err(_) => (0, 0.0),
    };
    let outcome = release.outcome.as_ref();
    Ok(AnonymiseReport {
        records: release.table.rows() as u64,
        quasi_identifiers: names.to_vec(),
        models,
        loss: release.loss,
        granularity: release.granularity,
        levels: outcome.map(|o| {
            let levels = o.levels.as_slice().iter().map(|l| serde_json::Value::from(*l));
            names.iter().cloned().zip(levels).collect()
        }),
        suppressed: suppressed.len() as u64,
        checked: outcome.map_or(0, |o| o.checked),
        combinations: outcome.and_then(|o| o.nodes),
        optimal: outcome.is_some_and(|o| o.optimality == Optimality::Proven),
        cpu_ms,
        smallest_group: smallest,
        average_risk: average,
        score: evidence.score,
        attacks: if args.no_attacks { Vec::new() } else { evidence.attacks.clone() },
        out: args.out.clone(),
        notes,
    })
}

fn certificate<'a>(
    args: &'a AnonymiseArgs,
    report: &'a AnonymiseReport,
    evidence: &'a Evidence,
    released: &'a [u8],
    clock: &dyn Clock,
) -> Certificate<'a> {
    let search = match (&report.levels, report.optimal) {
        (None, _) => "local recoding",
        (Some(_), true) => "full-domain generalisation, proven optimum",
        (Some(_), false) => "full-domain generalisation, best found in the time given",
    };
    let levels = report.levels.as_ref().map(|levels| {
        let row = |(c, l): (&String, &serde_json::Value)| vec![c.clone(), l.to_string()];
        (vec!["Column", "Level of generalisation"], levels.iter().map(row).collect())
    });
    Certificate {
        title: "Anonymised table",
        made: clock.now(),
        file: &args.out,
        released,
        holds: report.models.clone(),
        parameters: vec![
            ("Quasi-identifiers", report.quasi_identifiers.join(", ")),
            (
                "Sensitive columns",
                match args.sensitive.as_slice() {
                    [] => "none named".to_owned(),
                    named => named.join(", "),
                },
            ),
            ("Method", search.to_owned()),
            ("Suppression allowed", percent(args.suppression)),
        ],
        utility: vec![
            ("Records", count(report.records)),
            ("Suppressed", count(report.suppressed)),
            ("Loss", format!("{:.5} (0 is untouched, 1 is nothing left)", report.loss)),
            ("Granularity", format!("{:.4} (1 is untouched)", report.granularity)),
            ("Smallest group", count(report.smallest_group)),
            ("Average risk of re-identification", percent(report.average_risk)),
        ],
        columns: levels,
        evidence: (!report.attacks.is_empty()).then_some(evidence),
        setting: "The same way of releasing was applied to a random half of the records and \
                  attacked; the other half, who are not in it, is the control group.",
        notes: &report.notes,
    }
}

fn text(report: &AnonymiseReport, evidence: &Evidence) -> String {
    let how = match (&report.levels, report.optimal) {
        (None, _) => "local recoding: each group has its own levels".to_owned(),
        (Some(_), true) => "proven optimum".to_owned(),
        (Some(_), false) => "best found in the time; more may be found with --seconds".to_owned(),
    };
    let rows = [
        ("holds", report.models.join(", ")),
        ("records", count(report.records)),
        (
            "suppressed",
            format!(
                "{} ({})",
                count(report.suppressed),
                percent(report.suppressed as f64 / report.records.max(1) as f64)
            ),
        ),
        ("loss", format!("{:.5} ({how})", report.loss)),
        ("granularity", format!("{:.4} (1 is untouched)", report.granularity)),
        ("smallest group", count(report.smallest_group)),
        ("average risk", percent(report.average_risk)),
        (
            "score",
            report
                .score
                .map_or("none: no attack could run".to_owned(), |s| format!("{s:.1} of 100")),
        ),
        ("processor time", format!("{:.0} ms", report.cpu_ms)),
        ("written to", report.out.display().to_string()),
    ];
    let mut said = format!("Anonymised\n{}", pairs(&rows));
    if let Some(levels) = &report.levels {
        let rows: Vec<Vec<String>> =
            levels.iter().map(|(column, level)| vec![column.clone(), level.to_string()]).collect();
        said.push_str(&format!("\n\nLevels\n{}", columns(&["column", "level"], &rows)));
    }
    if !report.attacks.is_empty() {
        said.push_str(&format!(
            "\n\nAttacks, on a random half of the records released in the same way\n{}\n\n{}",
            evidence.text(),
            evidence.words
        ));
    }
    said.push_str(&notes(&report.notes));
    said
}
