//! `salus synthesise`: synthetic records with differential privacy.

use std::num::{NonZeroU8, NonZeroU32};
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use clap::{Args, ValueEnum};
use cpu_time::ProcessTime;
use salus_deid::{Column, Table, is_missing};
use salus_dp::{
    Bounds, Cost, Delta, Domain, Epsilon, UnitKey, epsilon_from_rho, rho_from_epsilon, sequential,
};
use salus_model::{Clock, ColumnPath, Entropy, MicroRho};
use salus_synth::quality::{Similarity, similarity};
use salus_synth::{
    Attribute, Condition, Constraint, Kind, Method, Missing, Model, Reading, TableBuilder,
    discover, fit, noisy_rows,
};
use serde::Serialize;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::Answer;
use crate::adjust::{self, Adjustment, Attempt, Change, Room};
use crate::error::FilesError;
use crate::evidence::{self, AttackLine, Effort, Evidence, Trial};
use crate::file::{Format, Source, not_over, table_bytes, write_bytes};
use crate::generator::{Extras, Stored};
use crate::hierarchies;

mod report;

use report::{certificate, report, text};

/// Makes synthetic records whose making tells little of anybody: (ε, δ)-differential privacy.
#[derive(Debug, Clone, Args)]
pub struct SynthesiseArgs {
    /// The table: CSV with column names in the first line.
    pub file: PathBuf,
    /// How the distribution is modelled.
    #[arg(long, value_enum, default_value = "aim")]
    pub method: MethodName,
    /// The most that the result tells of a person: less is more private; 1 is usual.
    #[arg(long)]
    pub epsilon: f64,
    /// The chance that ε is exceeded; well below one in the number of people.
    #[arg(long, default_value_t = 1e-6)]
    pub delta: f64,
    /// How many synthetic records; as many as were counted, with noise, if not given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub rows: Option<u32>,
    /// Drives sampling from the fitted model, never the privacy noise.
    #[arg(long)]
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
    /// Only records like this: column=value, or column=lowest:highest for numbers; repeat for
    /// more. A cohort is never empty: what the records never showed together is drawn from what is
    /// known of its parts.
    #[arg(long, value_parser = only)]
    pub only: Vec<Only>,
    /// One number is never above another, as admission:discharge; repeat for more.
    #[arg(long, value_parser = ordered)]
    pub not_above: Vec<(String, String)>,
    /// Attack the way of releasing, on a random half of the people, and score it.
    #[arg(long)]
    pub attacks: bool,
    /// Refuse to write a result whose score is below this.
    #[arg(long)]
    pub least_score: Option<f64>,
    /// Halve ε and try again until the score is at least this, or --utility-floor is reached.
    /// Every attempt is charged.
    #[arg(long, conflicts_with = "least_score")]
    pub until_score: Option<f64>,
    /// Give up where the quality (1 is alike) falls below this.
    #[arg(long, default_value_t = 0.0, requires = "until_score")]
    pub utility_floor: f64,
    /// Attempts at most; each is judged as one of so many.
    #[arg(long, default_value_t = 5, requires = "until_score", value_parser = clap::value_parser!(u8).range(1..=50))]
    pub most_attempts: u8,
    /// Attempts of each attack on members and as many on control people; as many as fit into the
    /// time if not given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub attempts: Option<u32>,
    /// Columns to leave out.
    #[arg(long, value_delimiter = ',')]
    pub without: Vec<String>,
    /// Where to write the fitted model, for more samples and for `salus attack --generator`.
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// The file for a certificate of the release (PDF for .pdf, else HTML).
    #[arg(long)]
    pub certificate: Option<PathBuf>,
    /// The file for the synthetic table.
    #[arg(long)]
    pub out: PathBuf,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// How the distribution is modelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MethodName {
    /// Two-way marginals chosen where the model errs most; the best in most cases.
    Aim,
    /// A tree of two-way marginals; fast.
    Mst,
    /// A Bayesian network.
    Privbayes,
    /// A Gaussian copula.
    Copula,
}

impl From<MethodName> for Method {
    fn from(name: MethodName) -> Self {
        match name {
            MethodName::Aim => Self::Aim,
            MethodName::Mst => Self::Mst,
            MethodName::Privbayes => Self::PrivBayes,
            MethodName::Copula => Self::Copula,
        }
    }
}

fn bounds_option(text: &str) -> Result<(String, f64, f64), String> {
    let parsed = text.rsplit_once('=').and_then(|(name, range)| {
        let (low, high) = range.split_once(':')?;
        Some((name.to_owned(), low.trim().parse().ok()?, high.trim().parse().ok()?))
    });
    parsed.ok_or_else(|| "bounds are written as column=lowest:highest, as in age=0:120".to_owned())
}

/// What every record of a cohort has.
#[derive(Debug, Clone, PartialEq)]
pub struct Only {
    column: String,
    wanted: Wanted,
}

#[derive(Debug, Clone, PartialEq)]
enum Wanted {
    Value(String),
    Between(f64, f64),
}

fn only(text: &str) -> Result<Only, String> {
    let (column, wanted) = text
        .split_once('=')
        .ok_or("a cohort is written as column=value, or as column=lowest:highest")?;
    let range = wanted
        .split_once(':')
        .and_then(|(low, high)| Some((low.trim().parse().ok()?, high.trim().parse().ok()?)));
    Ok(Only {
        column: column.to_owned(),
        wanted: match range {
            Some((low, high)) => Wanted::Between(low, high),
            None => Wanted::Value(wanted.to_owned()),
        },
    })
}

fn ordered(text: &str) -> Result<(String, String), String> {
    let parsed = text.split_once(':').map(|(a, b)| (a.to_owned(), b.to_owned()));
    parsed.ok_or_else(|| "an order is written as smaller:larger".to_owned())
}

impl Only {
    fn condition(&self, model: &Model) -> Result<Condition, FilesError> {
        let attribute = ColumnPath::new(self.column.as_str())?;
        let known = model.attributes().iter().find(|a| *a.name() == attribute);
        let number = known.is_some_and(|a| matches!(a.kind(), Kind::Number { .. }));
        Ok(match &self.wanted {
            Wanted::Between(low, high) => Condition::Between { attribute, low: *low, high: *high },
            Wanted::Value(text) => match (number, text.replace(',', ".").parse()) {
                (true, Ok(value)) => Condition::Between { attribute, low: value, high: value },
                _ => Condition::OneOf { attribute, values: vec![text.clone()] },
            },
        })
    }
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
    /// What to note.
    pub notes: Vec<String>,
}

/// Similarity by how many columns are looked at together.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Ways {
    /// Single columns.
    pub one: f64,
    /// Pairs.
    pub two: f64,
    /// Triples; none where there are more than 2,000 of them.
    pub three: Option<f64>,
}

/// How a column is written, which counts as public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Number {
        decimals: u8,
        comma: bool,
    },
    /// Dates in this form, modelled as days since 1970: bounds are first told by their power of two,
    /// and powers of two from there are months and decades, not millennia.
    Date(&'static str),
    Text,
}

const DATE_FORMS: [&str; 3] = ["%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y"];

/// A column on its way into the model.
pub(crate) struct Lane {
    name: ColumnPath,
    column: Column,
    look: Look,
    /// Each dictionary entry as the model reads it.
    texts: Vec<Option<String>>,
}

impl Lane {
    pub(crate) fn of(column: &Column) -> Result<Self, FilesError> {
        let look = look_of(column);
        let texts = column.dictionary().iter().map(|text| look.read(text)).collect();
        Ok(Self { name: ColumnPath::new(column.name())?, column: column.clone(), look, texts })
    }

    pub(crate) fn field(&self, row: usize) -> Option<&str> {
        let code = *self.column.codes().get(row)?;
        self.texts.get(code as usize)?.as_deref()
    }

    const fn reading(&self) -> Reading {
        match self.look {
            Look::Number { decimals, .. } => Reading::Number { decimals },
            Look::Date(_) => Reading::Number { decimals: 0 },
            Look::Text => Reading::Text,
        }
    }
}

impl Look {
    /// A text as the model reads it; none for a missing value.
    fn read(self, text: &str) -> Option<String> {
        let text = text.trim();
        if is_missing(text) {
            return None;
        }
        match self {
            Self::Number { .. } => {
                let number: f64 = text.replace(',', ".").parse().ok()?;
                number.is_finite().then(|| number.to_string())
            }
            Self::Date(form) => {
                Some(NaiveDate::parse_from_str(text, form).ok()?.to_epoch_days().to_string())
            }
            Self::Text => Some(text.to_owned()),
        }
    }

    /// A sampled text as the file writes it.
    fn write(self, text: &str) -> String {
        match self {
            Self::Number { comma: true, .. } => text.replace('.', ","),
            Self::Date(form) => text
                .parse()
                .ok()
                .and_then(NaiveDate::from_epoch_days)
                .map_or_else(String::new, |day| day.format(form).to_string()),
            _ => text.to_owned(),
        }
    }
}

fn look_of(column: &Column) -> Look {
    let present: Vec<&str> =
        column.dictionary().iter().map(|t| t.trim()).filter(|t| !is_missing(t)).collect();
    if present.is_empty() {
        return Look::Text;
    }
    let most = |fits: &dyn Fn(&str) -> bool| {
        present.iter().filter(|t| fits(t)).count() * 20 >= present.len() * 19
    };
    if most(&|t| t.replace(',', ".").parse::<f64>().is_ok_and(f64::is_finite)) {
        // `63.0` is a whole number that a spreadsheet or a program wrote.
        let fraction = |t: &&str| {
            let digits = t.split_once(['.', ',']).map_or("", |(_, digits)| digits);
            digits.trim_end_matches('0').len()
        };
        let decimals = present.iter().map(fraction).max().unwrap_or(0).min(6) as u8;
        return Look::Number { decimals, comma: present.iter().any(|t| t.contains(',')) };
    }
    let form =
        DATE_FORMS.into_iter().find(|form| most(&|t| NaiveDate::parse_from_str(t, form).is_ok()));
    form.map_or(Look::Text, Look::Date)
}

/// Attributes, which of them have no gaps, the columns left out, and what finding them cost.
struct Domains {
    attributes: Vec<Attribute>,
    without_gaps: Vec<ColumnPath>,
    left_out: Vec<String>,
    cost: Cost,
}

/// A fitted model with a sample of it.
pub(crate) struct Made {
    pub(crate) table: Table,
    model: Model,
    domains: Domains,
    near: Similarity,
    spent: Cost,
    /// The δ at which the loss is shown as ε.
    at: Delta,
    cpu_ms: f64,
    /// How each column is written.
    looks: Vec<(String, Look)>,
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
    not_over(&args.out, &[&args.file])?;
    let source = Source::read(&args.file, &args.format)?;
    let (made, report, evidence) = tried(args, &source, entropy)?;
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
    let released = table_bytes(&args.out, &made.table, source.format)?;
    write_bytes(&args.out, &released)?;
    if let Some(path) = &args.model {
        store(path, &made, Delta::new(args.delta)?)?;
    }
    if let Some(path) = &args.certificate {
        not_over(path, &[&args.file, &args.out])?;
        certificate(args, &report, evidence.as_ref(), &released, clock).write(path)?;
    }
    let text = text(&report, evidence.as_ref());
    Answer::new(&report, text)
}

/// Makes a sample, and where a score is asked for, tries the same way on a half of the people;
/// with `--until-score`, at ever smaller ε.
pub(crate) fn tried(
    args: &SynthesiseArgs,
    source: &Source,
    entropy: &mut dyn Entropy,
) -> Result<(Made, SynthesiseReport, Option<Evidence>), FilesError> {
    let wanted = args.until_score.or(args.least_score);
    let looks = match args.until_score {
        Some(_) => NonZeroU32::from(NonZeroU8::new(args.most_attempts).unwrap_or(NonZeroU8::MIN)),
        None => NonZeroU32::MIN,
    };
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut now = args.clone();
    let mut earlier: Option<Cost> = None;
    loop {
        let made = make(&now, source, entropy)?;
        let spent = sequential([Some(made.spent), earlier].into_iter().flatten())
            .ok_or_else(|| FilesError::option("the privacy loss does not fit its number"))?;
        let mut report = report(&now, source, &made, spent);
        if wanted.is_none() && !args.attacks {
            return Ok((made, report, None));
        }
        let effort = now.attempts.map_or(Effort::Beside, |n| Effort::Attempts(n as usize));
        let person = args.person.as_deref();
        let trial = Trial { effort, looks, person };
        let evidence = evidence::of_recipe(&source.table, None, &[], trial, entropy, |half, e| {
            let half = source.with_table(half.clone());
            Ok(make(&now, &half, e)?.table)
        })?;
        report.score = evidence.score;
        report.attacks.clone_from(&evidence.attacks);
        let Some(wanted) = wanted else { return Ok((made, report, Some(evidence))) };
        let room = Room {
            k: None,
            l: None,
            t: None,
            sensitive: Vec::new(),
            most_diverse: 0,
            members: (source.table.rows() / 2) as u64,
            epsilon: Some(now.epsilon),
        };
        let enough = report.score.is_some_and(|score| score >= wanted);
        let next = if enough { None } else { Some(adjust::propose(&evidence, wanted, &room)) };
        if args.until_score.is_none() {
            report.next = next.and_then(Result::ok);
            return Ok((made, report, Some(evidence)));
        }
        attempts.push(Attempt {
            attempt: attempts.len() as u32 + 1,
            settings: vec![format!("--epsilon {}", now.epsilon)],
            score: report.score,
            utility: report.quality,
            epsilon_charged: Some(epsilon_from_rho(made.spent.rho, made.at).get()),
            adjusted: None,
        });
        let stop = |why: &str| {
            Err(FilesError::Threshold(format!(
                "no release reaches a score of {wanted}: {why}. Nothing was written.\n{}\nAll \
                 attempts are charged: ε = {:.4} at δ = {:e} in all.",
                adjust::table(&attempts),
                report.epsilon_spent,
                report.delta,
            )))
        };
        if report.quality < args.utility_floor {
            return stop(&format!("the quality fell below {}", args.utility_floor));
        }
        let next = match next {
            None => {
                report.notes.push(format!(
                    "{} attempts are charged; that this one was the first to pass was found out \
                     from the records without noise, and ε does not cover that",
                    attempts.len()
                ));
                report.attempts = attempts;
                return Ok((made, report, Some(evidence)));
            }
            Some(Err(none)) => return stop(&none.0),
            Some(Ok(next)) => next,
        };
        if attempts.len() >= looks.get() as usize {
            return stop(&format!("{looks} attempts were made (next would be {})", next.option));
        }
        match next.change {
            Change::Epsilon(epsilon) => now.epsilon = epsilon,
            Change::Attempts(n) => now.attempts = Some(n),
            _ => return stop("nothing else can be changed"),
        }
        if let Some(last) = attempts.last_mut() {
            last.adjusted = Some(next);
        }
        // A trial with more attempts needs no new model, but the table is made anew: it is
        // charged again rather than chosen after a look.
        earlier = Some(spent);
    }
}

/// Fits a model and draws a sample.
pub(crate) fn make(
    args: &SynthesiseArgs,
    source: &Source,
    entropy: &mut dyn Entropy,
) -> Result<Made, FilesError> {
    source.require("--without", &args.without)?;
    source.require("--person", args.person.as_slice())?;
    let bounded: Vec<String> = args.bounds.iter().map(|(name, ..)| name.clone()).collect();
    source.require("--bounds", &bounded)?;
    let (epsilon, delta) = (Epsilon::new(args.epsilon)?, Delta::new(args.delta)?);
    let units = units(&source.table, args.person.as_deref(), entropy)?;
    let skipped =
        |name: &str| args.without.iter().any(|w| w == name) || args.person.as_deref() == Some(name);
    let lanes: Vec<Lane> = source
        .table
        .columns()
        .iter()
        .filter(|c| !skipped(c.name()))
        .map(Lane::of)
        .collect::<Result<_, _>>()?;

    let start = ProcessTime::now();
    let rows = rows(&lanes, &units);
    let (domains, rho, at) = domains(args, &lanes, &rows, epsilon, delta)?;
    let kept: Vec<&Lane> = domains
        .attributes
        .iter()
        .filter_map(|a| lanes.iter().find(|l| l.name == *a.name()))
        .collect();
    let mut builder = TableBuilder::new(domains.attributes.clone(), args.records_per_person)?;
    for (row, unit) in units.iter().enumerate() {
        let fields: Vec<Option<&str>> = kept.iter().map(|lane| lane.field(row)).collect();
        builder.push(*unit, &fields)?;
    }
    let real = builder.finish();
    let left = rho.checked_sub(domains.cost.rho).unwrap_or(MicroRho::ZERO);
    let model = fit(&real, args.method.into(), left)?;
    let seed = match args.seed {
        Some(seed) => seed,
        None => {
            let mut bytes = [0; 8];
            entropy.fill(&mut bytes).map_err(|e| FilesError::Transform(e.into()))?;
            u64::from_le_bytes(bytes)
        }
    };
    let wanted = args.rows.map_or(model.rows().round().max(1.0) as usize, |n| n as usize);
    let sample = sampled(args, &model, &domains, wanted, seed)?;
    let cpu_ms = start.elapsed().as_secs_f64() * 1_000.0;
    let near = similarity(&real, sample.table());
    let spent = sequential([domains.cost, model.cost()])
        .ok_or_else(|| FilesError::option("the privacy loss does not fit its number"))?;
    let table = table_of(sample.records(), &kept)?;
    let looks = kept.iter().map(|lane| (lane.name.to_string(), lane.look)).collect();
    Ok(Made { table, model, domains, near, spent, at, cpu_ms, looks })
}

/// Rows that satisfy what was asked for.
fn sampled(
    args: &SynthesiseArgs,
    model: &Model,
    domains: &Domains,
    rows: usize,
    seed: u64,
) -> Result<salus_synth::Sample, FilesError> {
    let mut conditions = whole(model, &domains.without_gaps);
    for wanted in &args.only {
        conditions.push(wanted.condition(model)?);
    }
    let constraints = args
        .not_above
        .iter()
        .map(|(smaller, larger)| {
            Ok(Constraint::NotAbove {
                smaller: ColumnPath::new(smaller.as_str())?,
                larger: ColumnPath::new(larger.as_str())?,
            })
        })
        .collect::<Result<Vec<_>, FilesError>>()?;
    Ok(model.sample(rows, seed, &conditions, &constraints)?)
}

/// Stores a fitted model with what it cost and how its values are written.
fn store(path: &Path, made: &Made, delta: Delta) -> Result<(), FilesError> {
    let looks = |pick: &dyn Fn(Look) -> bool| {
        made.looks.iter().filter(|(_, look)| pick(*look)).map(|(name, _)| name.clone()).collect()
    };
    let dates = made.looks.iter().filter_map(|(name, look)| match look {
        Look::Date(form) => Some((name.clone(), (*form).to_owned())),
        _ => None,
    });
    let files = Extras {
        micro_rho: made.spent.rho.get(),
        at: made.at,
        delta,
        dates: dates.collect(),
        commas: looks(&|look| matches!(look, Look::Number { comma: true, .. })),
        without_gaps: made.domains.without_gaps.iter().map(ToString::to_string).collect(),
    };
    Stored::new(made.model.clone(), files).write(path)
}

/// Whose each record is: a hash under a key that nobody keeps.
fn units(
    table: &Table,
    person: Option<&str>,
    entropy: &mut dyn Entropy,
) -> Result<Vec<UnitKey>, FilesError> {
    let Some(person) = person else {
        return Ok((0..table.rows() as u128).map(UnitKey::new).collect());
    };
    let mut key = [0; 16];
    entropy.fill(&mut key).map_err(|e| FilesError::Transform(e.into()))?;
    let column = table.column(person)?;
    let of = |text: &String| {
        let mut hasher = SipHasher13::new_with_key(&key);
        std::hash::Hasher::write(&mut hasher, text.as_bytes());
        UnitKey::new(hasher.finish128().as_u128())
    };
    let hashes: Vec<UnitKey> = column.dictionary().iter().map(of).collect();
    Ok(column.codes().iter().filter_map(|&c| hashes.get(c as usize).copied()).collect())
}

type Rows = Vec<(UnitKey, Vec<Option<String>>)>;

fn rows(lanes: &[Lane], units: &[UnitKey]) -> Rows {
    let row = |(row, unit): (usize, &UnitKey)| {
        (*unit, lanes.iter().map(|lane| lane.field(row).map(str::to_owned)).collect())
    };
    units.iter().enumerate().map(row).collect()
}

/// Domains for all columns; with the whole ρ, and the δ at which it is shown as ε.
fn domains(
    args: &SynthesiseArgs,
    lanes: &[Lane],
    rows: &Rows,
    epsilon: Epsilon,
    delta: Delta,
) -> Result<(Domains, MicroRho, Delta), FilesError> {
    let mut known: Vec<Option<Attribute>> = Vec::with_capacity(lanes.len());
    for lane in lanes {
        known.push(public_domain(args, lane)?);
    }
    let open: Vec<usize> = (0..lanes.len()).filter(|&i| known[i].is_none()).collect();
    if open.is_empty() {
        let all = Domains {
            attributes: known.into_iter().flatten().collect(),
            without_gaps: Vec::new(),
            left_out: Vec::new(),
            cost: Cost::of_rho(MicroRho::ZERO),
        };
        return Ok((all, rho_from_epsilon(epsilon, delta), delta));
    }
    // Half of δ is for the thresholds at which values are shown, half for ρ as ε.
    let half = Delta::from_atto(delta.atto() / 2).ok_or_else(|| {
        FilesError::option("--delta is too small to find domains with; give public ones")
    })?;
    let rho = rho_from_epsilon(epsilon, half);
    let least = MicroRho::new(100 * lanes.len() as u64);
    if rho < least {
        return Err(FilesError::option(format!(
            "--epsilon {} is too small for {} columns: allow a larger one, from about {:.2} on, or \
             leave columns out with --without",
            args.epsilon,
            lanes.len(),
            epsilon_from_rho(least, half).get()
        )));
    }
    let counting = MicroRho::new(rho.get() / 100);
    let people = noisy_rows(rows, args.records_per_person, counting)?;
    let spare = MicroRho::new((rho.get() as f64 * share(people, open.len(), rho)) as u64);
    let asked: Vec<(ColumnPath, Reading)> =
        open.iter().map(|&i| (lanes[i].name.clone(), lanes[i].reading())).collect();
    let part: Rows = rows
        .iter()
        .map(|(unit, row)| (*unit, open.iter().map(|&i| row.get(i).cloned().flatten()).collect()))
        .collect();
    let found = discover(&asked, &part, args.records_per_person, spare, half)?;
    let cost = sequential([Cost::of_rho(counting), found.cost])
        .ok_or_else(|| FilesError::option("the privacy loss does not fit its number"))?;
    let mut discovered = found.attributes.into_iter();
    let attributes = known
        .into_iter()
        .zip(lanes)
        .filter_map(|(attribute, lane)| match attribute {
            Some(public) => Some(public),
            None if found.left_out.contains(&lane.name) => None,
            None => discovered.next(),
        })
        .collect();
    let left_out = found.left_out.iter().map(ToString::to_string).collect();
    let all = Domains { attributes, without_gaps: found.without_gaps, left_out, cost };
    Ok((all, rho, half))
}

/// The share of ρ that finding domains gets: as much as makes a value of one record in fifty plain
/// to see, between a fifteenth and a half.
fn share(people: f64, columns: usize, rho: MicroRho) -> f64 {
    // 4.5 standard errors of a count at ρ/2.5 are a fiftieth of the people.
    let error = (people / 50.0 / 4.5).max(1.0);
    let each = 2.5 / (2.0 * error * error);
    (each * columns as f64 * 1e6 / rho.get().max(1) as f64).clamp(1.0 / 15.0, 0.5)
}

/// A column's domain where the caller made it public.
fn public_domain(args: &SynthesiseArgs, lane: &Lane) -> Result<Option<Attribute>, FilesError> {
    let made = |kind| Ok(Some(Attribute::new(lane.name.clone(), kind, Missing::Possible)?));
    let decimals = match lane.look {
        Look::Number { decimals, .. } => decimals,
        _ => 0,
    };
    if let Some((_, low, high)) = args.bounds.iter().find(|(n, ..)| n == lane.name.as_str()) {
        return made(Kind::Number { bounds: Bounds::new(*low, *high, decimals)?, bins: 32 });
    }
    let mut values = None;
    if let Some(folder) = &args.hierarchies {
        values = hierarchies::listed_values(folder, lane.name.as_str(), args.format.encoding)?;
    }
    if values.is_none() && args.domains_are_public {
        values = Some(lane.column.dictionary().to_vec());
    }
    let Some(values) = values else { return Ok(None) };
    let mut texts: Vec<String> = values.iter().filter_map(|v| lane.look.read(v)).collect();
    if lane.look != Look::Text {
        let numbers: Vec<f64> = texts.iter().filter_map(|t| t.parse().ok()).collect();
        let low = numbers.iter().copied().reduce(f64::min);
        let high = numbers.iter().copied().reduce(f64::max);
        if let (Some(low), Some(high)) = (low, high) {
            let bounds = Bounds::new(low, high.max(low + 1.0), decimals)
                .or_else(|_| Bounds::new(low.floor(), high.ceil().max(low.floor() + 1.0), 0))?;
            return made(Kind::Number { bounds, bins: 32 });
        }
    }
    texts.sort();
    texts.dedup();
    if texts.is_empty() {
        return Ok(None);
    }
    made(Kind::Category(Domain::new(texts)?))
}

/// Conditions by which columns without gaps get none.
pub(crate) fn whole(model: &Model, without_gaps: &[ColumnPath]) -> Vec<Condition> {
    model
        .attributes()
        .iter()
        .filter(|a| without_gaps.contains(a.name()))
        .map(|a| match a.kind() {
            Kind::Category(domain) => {
                Condition::OneOf { attribute: a.name().clone(), values: domain.values().to_vec() }
            }
            Kind::Number { bounds, .. } => Condition::Between {
                attribute: a.name().clone(),
                low: bounds.value(bounds.low().into()),
                high: bounds.value(bounds.high().into()),
            },
        })
        .collect()
}

fn table_of(records: &[Vec<Option<String>>], lanes: &[&Lane]) -> Result<Table, FilesError> {
    let columns = lanes
        .iter()
        .enumerate()
        .map(|(i, lane)| {
            let values = records.iter().map(|record| {
                let text = record.get(i).and_then(Option::as_deref);
                text.map_or_else(String::new, |t| lane.look.write(t))
            });
            Column::from_values(lane.name.as_str(), values)
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Table::from_columns(columns)?)
}
