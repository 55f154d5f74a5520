//! `salus anonymise`: the least lossy version of a table at which privacy models hold.

use std::num::{NonZeroU8, NonZeroU32};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use cpu_time::ProcessTime;
use salus_deid::utility::{Accuracy, Utility, classification_accuracy};
use salus_deid::{Loss, Outcome, QuasiIdentifiers, Table};
use salus_model::{Clock, Entropy};
use serde::Serialize;

use crate::Answer;
use crate::adjust::{self, Adjustment, Attempt, Change, NoRoom, Room};
use crate::error::FilesError;
use crate::evidence::{AttackLine, Effort, Evidence, Trial};
use crate::file::{Format, Source, Staged, check_outputs, given, table_bytes};
use crate::hierarchies;
use crate::numbers;
use crate::person;
use crate::risk::EstimatorName;
use crate::study::Tried;
use crate::watch::{Unwatched, Watch};

mod models;
mod recipe;
mod report;
pub mod scheme;

use models::Models;
use recipe::Recipe;

/// Makes a table anonymous with the least loss, attacks the result and scores it.
#[derive(Debug, Clone, Args)]
pub struct AnonymiseArgs {
    /// The table: CSV with column names in the first line and a record of a person in each other.
    pub file: PathBuf,
    /// A folder of generalisation hierarchies, a file for each column such as
    /// adult_hierarchy_age.csv; columns without one get a hierarchy made from their values.
    #[arg(long)]
    pub hierarchies: Option<PathBuf>,
    /// What a column holds, which says how it coarsens: column=icd10, column=atc, column=postcode,
    /// column=date or column=interval:5; repeat for more. It goes before a file.
    #[arg(long, value_parser = hierarchies::stated)]
    pub hierarchy: Vec<hierarchies::StatedHierarchy>,
    /// Columns by which others could recognise a person: `all` (but for the sensitive ones), or
    /// names joined by commas.
    #[arg(long, value_delimiter = ',', value_parser = crate::text::name, default_value = "all")]
    pub quasi_identifiers: Vec<String>,
    /// Each released record is alike to at least K − 1 others in the quasi-identifiers.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub k: Option<u32>,
    /// Columns whose values nobody should learn about a person; for --l, --t and --beta.
    #[arg(long, value_delimiter = ',', value_parser = crate::text::name)]
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
    /// No sensitive value is likelier in a group than overall by more than BETA times its share.
    #[arg(long)]
    pub beta: Option<f64>,
    /// Which likeness --beta means.
    #[arg(long, value_enum, default_value = "enhanced", requires = "beta")]
    pub likeness: LikenessName,
    /// The average over records of 1 / group size is at most this.
    #[arg(long)]
    pub average_risk: Option<f64>,
    /// A table of the population, for --k-map and --presence.
    #[arg(long)]
    pub population: Option<PathBuf>,
    /// Each group of released records is alike to at least K people of --population.
    #[arg(long, requires = "population", value_parser = clap::value_parser!(u32).range(1..))]
    pub k_map: Option<u32>,
    /// For everybody in --population, the chance to be in the table lies between LEAST:MOST.
    #[arg(long, requires = "population", value_parser = presence)]
    pub presence: Option<(f64, f64)>,
    /// The estimated share of the population that is unique is at most this.
    #[arg(long, requires = "population_size")]
    pub population_unique: Option<f64>,
    /// How many people the table is a sample of.
    #[arg(long, value_parser = numbers::people)]
    pub population_size: Option<u64>,
    /// The estimator of population uniqueness.
    #[arg(long, value_enum, default_value = "dankar")]
    pub estimator: EstimatorName,
    /// Generalise with (ε, δ)-differential privacy (SafePub): records are sampled, and only the
    /// quasi-identifiers are published. Needs hierarchies that do not come from the table.
    #[arg(long, requires = "hierarchies", conflicts_with_all = ["local", "sensitive"], value_parser = numbers::epsilon)]
    pub epsilon: Option<f64>,
    /// The δ of --epsilon; well below one in the number of people.
    #[arg(long, default_value_t = 1e-6, value_parser = numbers::delta)]
    pub delta: f64,
    /// The share of records that may be suppressed.
    #[arg(long, default_value_t = 0.0)]
    pub suppression: f64,
    /// Give each group of records its own levels and suppress nothing; so no --suppression.
    #[arg(long)]
    pub local: bool,
    /// How --local divides the records.
    #[arg(long, value_enum, default_value = "auto", requires = "local")]
    pub partition: Partition,
    /// Columns that name a person, left out of the result.
    #[arg(long, value_delimiter = ',', value_parser = crate::text::name)]
    pub identifiers: Vec<String>,
    /// The column that says whose a record is, where people have several: groups then count
    /// people, halves are split by person, and the column is left out of the result.
    #[arg(long, value_parser = crate::text::name, conflicts_with_all = ["epsilon", "presence"])]
    pub person: Option<String>,
    /// How to search the combinations of levels.
    #[arg(long, value_enum, default_value = "auto")]
    pub search: Search,
    /// How long the search may take where no optimum can be proved, in seconds.
    #[arg(long, default_value_t = 3.0, value_parser = numbers::seconds)]
    pub seconds: f64,
    /// What suppressing weighs against generalising in the loss: 0.5 alike, less makes suppressing
    /// cheaper.
    #[arg(long, default_value_t = 0.5)]
    pub suppression_weight: f64,
    /// A column that is to be predicted: how well it is from the quasi-identifiers, before and
    /// after.
    #[arg(long, value_parser = crate::text::name, conflicts_with = "epsilon")]
    pub target: Option<String>,
    /// Refuse to write a result whose score is below this.
    #[arg(long, value_parser = numbers::score)]
    pub least_score: Option<f64>,
    /// Adjust and try again until the score is at least this, or --utility-floor is reached. Every
    /// attempt of a private method is charged.
    #[arg(long, conflicts_with = "least_score", value_parser = numbers::score)]
    pub until_score: Option<f64>,
    /// Give up where the granularity (1 is untouched) falls below this.
    #[arg(long, default_value_t = 0.0, requires = "until_score", value_parser = numbers::share)]
    pub utility_floor: f64,
    /// Attempts at most; each is judged as one of so many.
    #[arg(long, default_value_t = 8, requires = "until_score", value_parser = clap::value_parser!(u8).range(1..=50))]
    pub most_attempts: u8,
    /// Attempts of each attack on members and as many on control people; as many as fit into the
    /// time if not given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub attempts: Option<u32>,
    /// Do not attack the result; there is no score then.
    #[arg(long, conflicts_with_all = ["least_score", "until_score"])]
    pub no_attacks: bool,
    /// The file for the levels found, for `salus recode --scheme` on new records.
    #[arg(long, conflicts_with_all = ["local", "epsilon", "person"])]
    pub save_scheme: Option<PathBuf>,
    /// The file for a certificate of the release (PDF for .pdf, else HTML).
    #[arg(long)]
    pub certificate: Option<PathBuf>,
    /// The file for the anonymous table.
    #[arg(long)]
    pub out: PathBuf,
    #[command(flatten)]
    pub(crate) format: Format,
}

fn presence(text: &str) -> Result<(f64, f64), String> {
    let parsed = text.split_once(':').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    parsed.ok_or_else(|| "presence is written as least:most, as in 0.01:0.2".to_owned())
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

/// Which β-likeness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LikenessName {
    /// A relative gain of at most β, whatever the value's share.
    Basic,
    /// At most β and at most −ln of the share, which keeps frequent values from certainty as well.
    Enhanced,
}

/// How local recoding divides the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Partition {
    /// A sweep over the combinations of levels where they are few, else Mondrian.
    Auto,
    /// Mondrian: top-down, by the column that is coarsest in a group.
    Mondrian,
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
    /// What else the result is still good for: discernibility, group size, entropy, divergence, and
    /// each column by itself.
    pub utility: Utility,
    /// How often a classifier guesses `--target` right: always the most frequent value, from the
    /// table as it is, and from the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Accuracy>,
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
    /// People, where `--person` tells them apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people: Option<u64>,
    /// Records of the smallest published group; people with `--person`.
    pub smallest_group: u64,
    /// The mean over published records of 1 / group size; with `--person` the mean over people of
    /// 1 / the smallest of their groups.
    pub average_risk: f64,
    /// 100 · (1 − the largest upper bound of risk over the attacks); none when none could run.
    pub score: Option<f64>,
    /// Attacks on this way of releasing: applied to a random half of the records, with the other
    /// half as control.
    pub attacks: Vec<AttackLine>,
    /// The attempts of `--until-score`, whose scores are for the steward; empty without it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// ε charged over all attempts; none for methods that have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon_spent: Option<f64>,
    /// δ charged over all attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta_spent: Option<f64>,
    /// What to do next when the score is below `--least-score`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Adjustment>,
    /// The file written.
    pub out: PathBuf,
    /// The file of the scheme, with `--save-scheme`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<PathBuf>,
    /// The file of the certificate, with `--certificate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// What to note.
    pub notes: Vec<String>,
}

/// A release with what is known of it.
pub(crate) struct Made {
    pub(crate) table: Table,
    pub(crate) report: AnonymiseReport,
    pub(crate) evidence: Evidence,
    /// The settings that it was made with, after all adjustments.
    pub(crate) args: AnonymiseArgs,
    pub(crate) quasi: QuasiIdentifiers,
    /// Records of the table that are suppressed, or none where only what is published is in it.
    suppressed: Vec<u32>,
    outcome: Option<Outcome>,
}

impl Made {
    /// Whether these settings made the same again: another attack would be another look at one
    /// release. What is drawn by lot is never the same.
    fn is(&self, args: &AnonymiseArgs, table: &Table, suppressed: &[u32]) -> bool {
        args.epsilon.is_none()
            && self.args.attempts == args.attempts
            && self.suppressed == suppressed
            && self.table == *table
    }

    /// The published records alone.
    pub(crate) fn published(&self) -> Result<Table, FilesError> {
        kept(&self.table, &self.suppressed)
    }

    /// Other records, released the same way: at the levels that were found.
    pub(crate) fn same_way(
        &self,
        source: &Source,
        others: &Table,
        clock: &dyn Clock,
        entropy: &mut dyn Entropy,
    ) -> Result<Table, FilesError> {
        let people = self
            .args
            .population
            .as_ref()
            .map(|p| Source::read(p, &self.args.format))
            .transpose()?;
        let share = others.rows() as f64 / self.table.rows().max(1) as f64;
        let recipe = Recipe {
            args: &self.args,
            quasi: &self.quasi,
            models: Models::of(&of_part(&self.args, share), source)?.models,
            loss: loss(&self.args)?,
            population: people.as_ref().map(|p| &p.table),
            clock,
        };
        let others = unnamed(others, &self.args)?;
        let release = recipe.release(&others, self.outcome.as_ref(), entropy)?;
        kept(&release.table, &release.published_as_gaps())
    }
}

/// What has to hold of a part of the records that is released as the whole is: it has that part of
/// each group, and what the whole publishes must not be missing from it. Groups have two people at
/// least, as those of the whole do: nobody stands alone there.
fn of_part(args: &AnonymiseArgs, share: f64) -> AnonymiseArgs {
    let part = |k: u32| ((f64::from(k) * share.min(1.0)).ceil() as u32).max(2).min(k);
    AnonymiseArgs { k: args.k.map(part), ..args.clone() }
}

/// Where the hierarchies come from.
fn origins(args: &AnonymiseArgs) -> hierarchies::Origins<'_> {
    hierarchies::Origins {
        folder: args.hierarchies.as_deref(),
        stated: &args.hierarchy,
        encoding: args.format.encoding,
    }
}

/// The records without what names a person; whose they are stays, and goes when they are released.
fn unnamed(table: &Table, args: &AnonymiseArgs) -> Result<Table, FilesError> {
    let mut names = args.identifiers.clone();
    names.retain(|name| args.person.as_ref() != Some(name));
    report::without(table, &names)
}

fn kept(table: &Table, suppressed: &[u32]) -> Result<Table, FilesError> {
    let gone: std::collections::HashSet<u32> = suppressed.iter().copied().collect();
    Ok(table.select((0..table.rows()).filter(|row| !gone.contains(&(*row as u32))))?)
}

fn loss(args: &AnonymiseArgs) -> Result<Loss, FilesError> {
    Loss::new(salus_deid::Aggregate::GeometricMean, args.suppression_weight)
        .map_err(|_| FilesError::option("--suppression-weight must lie between 0 and 1"))
}

/// Anonymises.
///
/// # Errors
/// When a file cannot be read or written, an option makes no sense, nothing satisfies the models,
/// or the score stays too low.
pub fn run(
    args: &AnonymiseArgs,
    clock: &dyn Clock,
    entropy: &mut dyn Entropy,
) -> Result<Answer, FilesError> {
    let written = [
        Some(("--out", args.out.as_path())),
        given("--save-scheme", args.save_scheme.as_deref()),
        given("--certificate", args.certificate.as_deref()),
    ];
    let population = given("--population", args.population.as_deref());
    check_outputs(&[Some(("the table", args.file.as_path())), population], &written)?;
    let source = Source::read(&args.file, &args.format)?;
    hierarchies::not_over(args.hierarchies.as_deref(), &source, &written)?;
    let made = make(args, &source, &Unwatched, clock, entropy)?;
    if let Some(least) = args.least_score
        && made.report.score.is_none_or(|score| score < least)
    {
        return Err(FilesError::Threshold(format!(
            "the score is {}, below {least}: nothing was written. {} {}",
            made.report.score.map_or("unknown".to_owned(), |s| format!("{s:.1}")),
            made.evidence.words,
            match &made.report.next {
                Some(next) => format!("Try {}: {}", next.option, next.why),
                None => "More records, or a lower threshold, are needed".to_owned(),
            }
        )));
    }
    let released = table_bytes(&args.out, &made.table, source.format)?;
    let mut staged = Staged::default();
    staged.add(&args.out, &released)?;
    if let Some(path) = &args.save_scheme {
        let scheme = scheme::stored(path, &made)?;
        staged.add(path, &scheme)?;
    }
    if let Some(path) = &args.certificate {
        staged.add(path, &report::certificate(&made, &released, clock).bytes(path)?)?;
    }
    staged.persist()?;
    let text = report::text(&made.report, &made.evidence);
    Answer::new(&made.report, text)
}

/// Makes a release, adjusting until its score is reached where that is asked for.
pub(crate) fn make(
    args: &AnonymiseArgs,
    source: &Source,
    watch: &dyn Watch,
    clock: &dyn Clock,
    entropy: &mut dyn Entropy,
) -> Result<Made, FilesError> {
    let setting = Setting::of(args, source)?;
    let Some(wanted) = args.until_score else {
        let mut made = setting.attempt(args, NonZeroU32::MIN, clock, entropy)?;
        if let (Some(least), Some(score)) = (args.least_score, made.report.score)
            && score < least
        {
            made.report.next = setting.next(&made, least).ok();
        }
        return Ok(made);
    };
    let most = NonZeroU32::from(NonZeroU8::new(args.most_attempts).unwrap_or(NonZeroU8::MIN));
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut now = args.clone();
    let mut last: Option<Made> = None;
    loop {
        let number = attempts.len() as u32 + 1;
        watch.go_on()?;
        watch.stage(&format!("attempt {number} of at most {most}: {}", settings(&now).join(" ")));
        let tried = setting.attempt_after(last.as_ref(), &now, most, clock, entropy);
        let mut made = match tried {
            // What earlier attempts were charged must be told.
            Err(error @ (FilesError::Option(_) | FilesError::Search(_))) if number > 1 => {
                attempts.push(Attempt {
                    attempt: number,
                    settings: settings(&now),
                    score: None,
                    utility: 0.0,
                    epsilon_charged: now.epsilon,
                    adjusted: None,
                });
                let why = format!("attempt {number} could not be made: {error}");
                return Err(stopped(&why, wanted, &attempts));
            }
            other => other?,
        };
        let again = last.as_ref().is_some_and(|last| last.is(&now, &made.table, &made.suppressed));
        let (score, utility) = (made.report.score, made.report.granularity);
        let passes = utility >= args.utility_floor && score.is_some_and(|score| score >= wanted);
        watch.tried(Tried::of_loop(number, &made, passes));
        attempts.push(Attempt {
            attempt: number,
            settings: settings(&now),
            score,
            utility,
            epsilon_charged: now.epsilon,
            adjusted: None,
        });
        let stop = |why: &str| Err(stopped(why, wanted, &attempts));
        if utility < args.utility_floor {
            return stop(&format!("the utility fell below {}", args.utility_floor));
        }
        if score.is_some_and(|score| score >= wanted) {
            charge(&mut made.report, &attempts, args);
            made.report.attempts = attempts;
            return Ok(made);
        }
        let mut next = match setting.next(&made, wanted) {
            Ok(next) => next,
            Err(none) => return stop(&none.0),
        };
        if again {
            next.why = format!("the release is the same as before, and {}", next.why);
        }
        if attempts.len() >= most.get() as usize {
            return stop(&format!("{most} attempts were made (next would be {})", next.option));
        }
        apply(&next.change, &mut now);
        if let Some(attempt) = attempts.last_mut() {
            attempt.adjusted = Some(next);
        }
        last = Some(made);
    }
}

fn stopped(why: &str, wanted: f64, attempts: &[Attempt]) -> FilesError {
    let charged: f64 = attempts.iter().filter_map(|a| a.epsilon_charged).sum();
    let charged = match charged {
        0.0 => String::new(),
        epsilon => format!("All attempts are charged: ε = {epsilon:.4} in all."),
    };
    FilesError::no_release(wanted, why, &charged, attempts)
}

/// ε and δ of all attempts together: they are about the same people, so they add up.
fn charge(report: &mut AnonymiseReport, attempts: &[Attempt], args: &AnonymiseArgs) {
    if args.epsilon.is_none() {
        return;
    }
    report.epsilon_spent = Some(attempts.iter().filter_map(|a| a.epsilon_charged).sum());
    report.delta_spent = Some(args.delta * attempts.len() as f64);
    report.notes.push(format!(
        "{} attempts are charged; that this one was the first to pass was found out from the \
         records without noise, and ε does not cover that",
        attempts.len()
    ));
}

/// The settings that adjustments change, as options.
pub(crate) fn settings(args: &AnonymiseArgs) -> Vec<String> {
    let mut said = Vec::new();
    let mut say = |option: &str, value: Option<String>| {
        said.extend(value.map(|value| format!("--{option} {value}")));
    };
    say("k", args.k.map(|k| k.to_string()));
    say("l", args.l.map(|l| l.to_string()));
    say("t", args.t.map(|t| t.to_string()));
    say("epsilon", args.epsilon.map(|e| e.to_string()));
    say("attempts", args.attempts.map(|n| n.to_string()));
    said
}

fn apply(change: &Change, args: &mut AnonymiseArgs) {
    match change {
        Change::GroupSize(k) => args.k = Some(*k),
        Change::Diversity(l) => args.l = Some(*l),
        Change::Closeness(t) => args.t = Some(*t),
        Change::Attempts(n) => args.attempts = Some(*n),
        Change::Epsilon(epsilon) => args.epsilon = Some(*epsilon),
    }
}

/// What stays the same over all attempts.
pub(crate) struct Setting<'a> {
    source: &'a Source,
    people: Option<Source>,
    names: Vec<String>,
    found: hierarchies::Found,
    input: Table,
}

impl<'a> Setting<'a> {
    pub(crate) fn of(args: &AnonymiseArgs, source: &'a Source) -> Result<Self, FilesError> {
        models::agree(args)?;
        source.require("--sensitive", &args.sensitive)?;
        source.require("--identifiers", &args.identifiers)?;
        source.require("--target", args.target.as_slice())?;
        person::check(source, args.person.as_ref())?;
        models::within_reach(args, source)?;
        let people = args.population.as_ref().map(|p| Source::read(p, &args.format)).transpose()?;
        let whose = args.person.as_slice();
        let apart = [args.sensitive.as_slice(), args.identifiers.as_slice(), whose].concat();
        if args.person.is_none() {
            person::one_record_each(&source.table, &args.identifiers)?;
        }
        let names = source.columns("--quasi-identifiers", &args.quasi_identifiers, &apart)?;
        if let Some(people) = &people {
            people.require("--population", &names)?;
        }
        let stated: Vec<String> = args.hierarchy.iter().map(|h| h.column.clone()).collect();
        source.require("--hierarchy", &stated)?;
        let found = hierarchies::of_columns(source, &names, origins(args), people.as_ref())?;
        if args.epsilon.is_some() && !found.built.is_empty() {
            return Err(FilesError::option(format!(
                "--epsilon needs hierarchies that do not come from the table: there is no file for \
                 {}",
                found.built.join(", ")
            )));
        }
        let input = unnamed(&source.table, args)?;
        Ok(Self { source, people, names, found, input })
    }

    /// The quasi-identifiers with their hierarchies.
    pub(crate) const fn quasi(&self) -> &QuasiIdentifiers {
        &self.found.quasi
    }

    /// Makes a release, and attacks this way of releasing; it is judged as one of so many looks.
    pub(crate) fn attempt(
        &self,
        args: &AnonymiseArgs,
        looks: NonZeroU32,
        clock: &dyn Clock,
        entropy: &mut dyn Entropy,
    ) -> Result<Made, FilesError> {
        self.attempt_after(None, args, looks, clock, entropy)
    }

    /// The same after another attempt: a release that comes out as it was keeps its score.
    fn attempt_after(
        &self,
        before: Option<&Made>,
        args: &AnonymiseArgs,
        looks: NonZeroU32,
        clock: &dyn Clock,
        entropy: &mut dyn Entropy,
    ) -> Result<Made, FilesError> {
        let Models { models, words } = Models::of(args, self.source)?;
        let loss = loss(args)?;
        let population = self.people.as_ref().map(|p| &p.table);
        let recipe = Recipe { args, quasi: &self.found.quasi, models, loss, population, clock };
        let start = ProcessTime::now();
        let release = recipe.release(&self.input, None, entropy)?;
        let cpu_ms = start.elapsed().as_secs_f64() * 1_000.0;
        let effort = args.attempts.map_or(Effort::Beside, |n| Effort::Attempts(n as usize));
        let trial = Trial { effort, looks, person: args.person.as_deref(), drawn: false };
        let suppressed = release.published_as_gaps();
        let evidence = match before.filter(|made| made.is(args, &release.table, &suppressed)) {
            Some(made) => made.evidence.clone(),
            None => {
                let models = Models::of(&of_part(args, 0.5), self.source)?.models;
                let loss = self::loss(args)?;
                let half =
                    Recipe { args, quasi: &self.found.quasi, models, loss, population, clock };
                half.attack(&self.input, &release, trial, entropy)?
            }
        };
        let mut noted = self.source.notes.clone();
        noted.extend(self.found.notes.iter().cloned());
        if args.epsilon.is_none() {
            noted.extend(report::likely_identifiers(&self.input, &self.names, &args.sensitive));
        }
        noted.extend(models::noted(args));
        match &args.person {
            Some(_) => noted.push(
                "groups count people; an attacker who can tell which released records are of one \
                 person may intersect their groups"
                    .to_owned(),
            ),
            None => noted.extend(person::noted(&self.source.table, &args.identifiers)),
        }
        let asked = report::Asked {
            args,
            names: &self.names,
            words,
            input: &self.input,
            quasi: &self.found.quasi,
        };
        let mut report = report::report(asked, &release, &evidence, cpu_ms, noted)?;
        report.accuracy = self.accuracy(args, &release.table, entropy)?;
        let quasi = self.found.quasi.clone();
        Ok(Made {
            table: release.table,
            report,
            evidence,
            args: args.clone(),
            quasi,
            suppressed,
            outcome: release.outcome,
        })
    }

    /// How well the target is predicted from the quasi-identifiers.
    fn accuracy(
        &self,
        args: &AnonymiseArgs,
        released: &Table,
        entropy: &mut dyn Entropy,
    ) -> Result<Option<Accuracy>, FilesError> {
        const FOLDS: NonZeroU32 = NonZeroU32::new(10).unwrap();
        let Some(target) = &args.target else { return Ok(None) };
        let known: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let input = &self.input;
        let found = classification_accuracy(input, released, &known, target, FOLDS, entropy)?;
        Ok(Some(found))
    }

    fn next(&self, made: &Made, wanted: f64) -> Result<Adjustment, NoRoom> {
        let args = &made.args;
        let values = |name: &String| {
            let column = self.source.table.column(name).ok()?;
            Some(column.counts().iter().filter(|n| **n > 0).count() as u32)
        };
        // Groups are often larger than was asked for: up to that size nothing would change.
        let reached = u32::try_from(made.report.smallest_group).unwrap_or(u32::MAX);
        let room = Room {
            k: Some(args.k.unwrap_or(1).max(reached)),
            l: args.l,
            t: args.t,
            sensitive: args.sensitive.clone(),
            most_diverse: args.sensitive.iter().filter_map(values).min().unwrap_or(0),
            members: match &args.person {
                Some(person) => person::people(&self.input, person).unwrap_or(0) / 2,
                None => (self.input.rows() / 2) as u64,
            },
            epsilon: args.epsilon,
        };
        adjust::propose(&made.evidence, wanted, &room)
    }
}
