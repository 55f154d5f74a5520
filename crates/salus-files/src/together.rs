//! `salus synthesise-together`: one private model of several hospitals' records, and no pooled rows.
//!
//! ```text
//! coordinator                    each hospital                       what leaves the hospital
//! plan  ─▶ plan.json        ──▶  answer ─▶ north-1.json         ──▶  noisy counts of single columns
//! ask   ─▶ question.json    ──▶  answer ─▶ north-2.json         ──▶  noisy counts of pairs
//! fit   ─▶ model.json            (salus sample model.json …)
//! ```
//!
//! # Privacy
//! Each hospital draws its own noise before anything leaves it: its two files together are
//! (ε, δ)-differentially private for each of its patients against everybody, the coordinator, the
//! other hospitals and whoever reads the files on their way. A patient of several hospitals is
//! protected by the sum of what those agreed to. What files say in the clear: the hospital's name,
//! and for how many records of a patient the noise is made. A hospital's account of what it answered
//! has a budget over all plans, however they are numbered, and gives the same question the same
//! answer.

mod codebook;
mod exchange;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use salus_deid::is_missing;
use salus_dp::{Delta, Epsilon, epsilon_from_rho, rho_from_epsilon};
use salus_model::{Entropy, MicroRho};
use salus_synth::{Ask, Federation, Kind, Next, TableBuilder};
use serde::Serialize;

use crate::Answer;
use crate::error::FilesError;
use crate::file::{Format, Named, Source, check_outputs};
use crate::generator::{Extras, Stored};
use crate::numbers;
use crate::synthesise::{Lane, Look, units};
use crate::text::pairs;

use exchange::{Account, Given, Held, Question, Reply};

/// One private model of several hospitals' records.
#[derive(Debug, Clone, Subcommand)]
pub enum Together {
    /// Agree on columns, hospitals and ε: writes the plan, which is the first question.
    #[command(allow_negative_numbers = true)]
    Plan(PlanArgs),
    /// At a hospital: answer a question from its own records, with its own noise.
    #[command(allow_negative_numbers = true)]
    Answer(AnswerArgs),
    /// Write the second question, from everybody's first answers.
    Ask(AskArgs),
    /// Fit the model, from everybody's answers to both questions.
    Fit(FitArgs),
}

/// Agrees on what is fitted.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// The columns with their public values and bounds (TOML); docs/plain-files.md shows one.
    pub codebook: PathBuf,
    /// A hospital's name; repeat for each.
    #[arg(long, required = true)]
    pub hospital: Vec<String>,
    /// The most that both answers of a hospital tell of each of its patients.
    #[arg(long, value_parser = numbers::epsilon)]
    pub epsilon: f64,
    /// The chance that ε is exceeded.
    #[arg(long, default_value_t = 1e-6, value_parser = numbers::delta)]
    pub delta: f64,
    /// Two columns that are known to go together, as smoker:copd; repeat for more. The others are
    /// chained in their order.
    #[arg(long, value_parser = pair)]
    pub pair: Vec<(String, String)>,
    /// The file for the plan.
    #[arg(long)]
    pub out: PathBuf,
}

/// Answers a question.
#[derive(Debug, Clone, Args)]
pub struct AnswerArgs {
    /// The question: the plan, or what the coordinator wrote with `ask`.
    pub question: PathBuf,
    /// The hospital's own records.
    pub file: PathBuf,
    /// Which hospital of the plan this is.
    #[arg(long)]
    pub hospital: String,
    /// The most that the whole plan may tell of a patient; a plan that asks for more is refused.
    #[arg(long, value_parser = numbers::epsilon)]
    pub epsilon: f64,
    /// The most that all plans of the account together may tell of a patient, as an ε; kept in the
    /// account until another is stated. As much as --epsilon if none ever was; at 0 no other
    /// question is answered.
    #[arg(long, value_parser = numbers::budget)]
    pub budget: Option<f64>,
    /// The δ that goes with both, and at which losses are shown.
    #[arg(long, default_value_t = 1e-6, value_parser = numbers::delta)]
    pub delta: f64,
    /// The column that says whose a record is; without it each record is a person of its own.
    /// Records that do not say it are left out.
    #[arg(long)]
    pub person: Option<String>,
    /// How many records of a person count; later ones are left out.
    #[arg(long, default_value_t = 1, requires = "person", value_parser = clap::value_parser!(u32).range(1..))]
    pub records_per_person: u32,
    /// The hospital's account of what it answered; made if it does not exist, and never handed out.
    #[arg(long)]
    pub account: PathBuf,
    /// The file to be handed out.
    #[arg(long)]
    pub out: PathBuf,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// Writes the second question.
#[derive(Debug, Clone, Args)]
pub struct AskArgs {
    /// The plan.
    pub plan: PathBuf,
    /// Each hospital's first answer.
    #[arg(required = true)]
    pub answers: Vec<PathBuf>,
    /// The file for the question.
    #[arg(long)]
    pub out: PathBuf,
}

/// Fits the model.
#[derive(Debug, Clone, Args)]
pub struct FitArgs {
    /// The plan.
    pub plan: PathBuf,
    /// Each hospital's answers to both questions, in any order.
    #[arg(required = true)]
    pub answers: Vec<PathBuf>,
    /// The file for the model; `salus sample` draws records from it.
    #[arg(long)]
    pub model: PathBuf,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let parsed = text.split_once(':').map(|(a, b)| (a.to_owned(), b.to_owned()));
    parsed.ok_or_else(|| "two columns are written as one:other".to_owned())
}

/// What the commands answer.
#[derive(Debug, Clone, Serialize)]
pub struct TogetherReport {
    /// The plan's number.
    pub plan: String,
    /// The question that was written or answered; none of a fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<u8>,
    /// What this command has cost each patient of this hospital; 0 where no record was looked at.
    pub epsilon_spent: f64,
    /// What the whole plan costs each patient of each hospital.
    pub epsilon: f64,
    /// The δ of all of these: the hospital's own where it answers, else the plan's.
    pub delta: f64,
    /// What this hospital's account holds in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_epsilon: Option<f64>,
    /// The most that it may hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_budget: Option<f64>,
    /// Records that do not say whose they are, which were left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<u64>,
    /// A noisy count of all hospitals' records, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<f64>,
    /// The file written.
    pub out: PathBuf,
}

/// Does what was asked.
///
/// # Errors
/// When a file cannot be read, does not belong to the plan, or asks for more than was allowed.
pub fn run(what: &Together, entropy: &mut dyn Entropy) -> Result<Answer, FilesError> {
    let report = match what {
        Together::Plan(args) => plan(args, entropy),
        Together::Answer(args) => answer(args, entropy),
        Together::Ask(args) => ask(args),
        Together::Fit(args) => fit(args),
    }?;
    let text = text(&report);
    Answer::new(&report, text)
}

/// What a plan has to spend on each column at least, in millionths of ρ, as [`Federation::new`] says.
const LEAST_OF_COLUMN: u64 = 20;

fn plan(args: &PlanArgs, entropy: &mut dyn Entropy) -> Result<TogetherReport, FilesError> {
    check_outputs(
        &[Some(("the codebook", args.codebook.as_path()))],
        &[Some(("--out", args.out.as_path()))],
    )?;
    let columns = codebook::read(&args.codebook)?;
    let mut hospitals: Vec<&String> = args.hospital.iter().collect();
    hospitals.sort();
    hospitals.dedup();
    if hospitals.len() < args.hospital.len() {
        return Err(FilesError::option("--hospital: two have the same name"));
    }
    if hospitals.iter().any(|name| name.trim().is_empty()) {
        return Err(FilesError::option("--hospital: one has no name; say what it is called"));
    }
    let place = |name: &String| {
        let at = columns.attributes.iter().position(|a| a.name().as_str() == name);
        at.ok_or_else(|| FilesError::option(format!("--pair: the codebook has no column '{name}'")))
    };
    let pairs = args
        .pair
        .iter()
        .map(|(a, b)| Ok([place(a)?, place(b)?]))
        .collect::<Result<Vec<_>, FilesError>>()?;
    let (epsilon, delta) = (Epsilon::new(args.epsilon)?, Delta::new(args.delta)?);
    let rho = rho_from_epsilon(epsilon, delta);
    let many = columns.attributes.len() as u64;
    let needed = MicroRho::new(many * LEAST_OF_COLUMN);
    if rho < needed {
        let least = (shown(needed, delta) * 10_000.0).ceil() / 10_000.0;
        return Err(FilesError::option(format!(
            "--epsilon {}: {many} columns take at least ε = {least} at δ = {:e}; allow that, or \
             agree on fewer columns",
            args.epsilon, args.delta
        )));
    }
    let (_, ask) = Federation::new(columns.attributes.clone(), args.hospital.len(), rho, &pairs)?;
    let mut number = [0; 16];
    entropy.fill(&mut number).map_err(|e| FilesError::Transform(e.into()))?;
    let question = Question::new(&number, &args.hospital, rho, delta, pairs, columns.dates, ask);
    question.write(&args.out)?;
    Ok(TogetherReport::of(&question, Some(1), &args.out))
}

/// Answers from a hospital's own records: the only step that looks at any.
fn answer(args: &AnswerArgs, entropy: &mut dyn Entropy) -> Result<TogetherReport, FilesError> {
    check_outputs(
        &[
            Some(("the question", args.question.as_path())),
            Some(("the table", args.file.as_path())),
        ],
        &[Some(("--account", args.account.as_path())), Some(("--out", args.out.as_path()))],
    )?;
    let question = Question::read(&args.question)?;
    question.place(&args.hospital)?;
    // The plan's δ is the coordinator's word; what a patient loses is told at the hospital's.
    let delta = Delta::new(args.delta)?;
    let allowed = rho_from_epsilon(Epsilon::new(args.epsilon)?, delta);
    if question.rho() > allowed {
        return Err(FilesError::option(format!(
            "the plan asks for ε = {:.4} at δ = {:e}; that is more than --epsilon {} allows",
            shown(question.rho(), delta),
            args.delta,
            args.epsilon
        )));
    }
    let asked = question.asks(&args.question)?;
    let _held = Held::wait(&args.account)?;
    let mut account = Account::open(&args.account)?;
    account.allow(budget(args)?, allowed);
    let mut report = TogetherReport::of(&question, Some(question.ask().round()), &args.out);
    let given = match account.given(&asked) {
        Some(given) => given.clone(),
        None => {
            let spent = account.charge(&question, delta)?;
            let source = Source::read(&args.file, &args.format)?;
            let own = own_table(args, &question, &source, entropy)?;
            let answer = question.ask().answer(&own.table)?;
            report.epsilon_spent = shown(spent, delta);
            report.left_out = (own.left_out > 0).then_some(own.left_out);
            Given { records_per_person: args.records_per_person, answer }
        }
    };
    account.keep(asked, given.clone());
    // What was answered is on the account before it can be handed out.
    account.write(&args.account)?;
    Reply::new(&question, &args.hospital, given.records_per_person, given.answer)
        .write(&args.out)?;
    report.epsilon = shown(question.rho(), delta);
    report.delta = args.delta;
    report.account_epsilon = Some(shown(account.total(), delta));
    report.account_budget = Some(shown(account.budget(), delta));
    Ok(report)
}

/// The budget that the hospital states, if any.
fn budget(args: &AnswerArgs) -> Result<Option<MicroRho>, FilesError> {
    let Some(budget) = args.budget else { return Ok(None) };
    Ok(Some(rho_from_epsilon(Epsilon::new(budget)?, Delta::new(args.delta)?)))
}

/// A hospital's records as the plan has them.
struct Own {
    table: salus_synth::Table,
    /// Records that do not say whose they are: together they would pass for one person's.
    left_out: u64,
}

fn own_table(
    args: &AnswerArgs,
    question: &Question,
    source: &Source,
    entropy: &mut dyn Entropy,
) -> Result<Own, FilesError> {
    source.require("--person", args.person.as_slice())?;
    let attributes = question.ask().attributes();
    let names: Vec<String> = attributes.iter().map(|a| a.name().to_string()).collect();
    source.require("the plan", &names)?;
    let mut lanes = Vec::with_capacity(attributes.len());
    for attribute in attributes {
        let column = source.table.column(attribute.name().as_str())?;
        lanes.push(match attribute.kind() {
            Kind::Category(_) => Lane::written(column, Look::Text)?,
            // Each hospital, and each record, writes dates in its own way.
            Kind::Number { .. } if question.is_date(attribute.name().as_str()) => {
                Lane::dated(column)?
            }
            Kind::Number { bounds, .. } => {
                let look = Look::Number { decimals: bounds.decimals(), comma: false };
                Lane::written(column, look)?
            }
        });
    }
    let person = match &args.person {
        Some(person) => Some(source.table.column(person)?),
        None => None,
    };
    let named =
        |row: usize| person.is_none_or(|column| column.value(row).is_some_and(|p| !is_missing(p)));
    let units = units(&source.table, args.person.as_deref(), entropy)?;
    let mut builder = TableBuilder::new(attributes.to_vec(), args.records_per_person)?;
    let mut left_out = 0;
    for (row, unit) in units.iter().enumerate() {
        if !named(row) {
            left_out += 1;
            continue;
        }
        let fields: Vec<Option<&str>> = lanes.iter().map(|lane| lane.field(row)).collect();
        builder.push(*unit, &fields)?;
    }
    Ok(Own { table: builder.finish(), left_out })
}

/// The files of a coordinator.
fn read_for<'a>(plan: &'a Path, answers: &'a [PathBuf]) -> Vec<Option<Named<'a>>> {
    let answers = answers.iter().map(|path| Some(("an answer", path.as_path())));
    answers.chain([Some(("the plan", plan))]).collect()
}

fn ask(args: &AskArgs) -> Result<TogetherReport, FilesError> {
    check_outputs(&read_for(&args.plan, &args.answers), &[Some(("--out", args.out.as_path()))])?;
    let plan = Question::read(&args.plan)?;
    let (_, next) = first_round(&plan, &replies(&plan, &args.answers)?)?;
    let question = plan.with(next);
    question.write(&args.out)?;
    Ok(TogetherReport::of(&question, Some(2), &args.out))
}

fn fit(args: &FitArgs) -> Result<TogetherReport, FilesError> {
    let written = [Some(("--model", args.model.as_path()))];
    check_outputs(&read_for(&args.plan, &args.answers), &written)?;
    let plan = Question::read(&args.plan)?;
    let replies = replies(&plan, &args.answers)?;
    let (mut federation, _) = first_round(&plan, &replies)?;
    let model = match all(&mut federation, &plan, &replies, 2)? {
        Next::Done(model) => *model,
        Next::Ask(_) => {
            return Err(FilesError::option("the plan has more than two questions"));
        }
    };
    let mut report = TogetherReport::of(&plan, None, &args.model);
    report.records = Some(model.rows());
    let looks = plan.looks();
    let files = Extras::new(plan.rho(), plan.delta(), plan.delta(), &looks);
    Stored::new(model, files).write(&args.model)?;
    Ok(report)
}

/// Everybody's answers, each to this plan.
fn replies(plan: &Question, files: &[PathBuf]) -> Result<Vec<Reply>, FilesError> {
    let replies: Vec<Reply> =
        files.iter().map(|path| Reply::read(path, plan)).collect::<Result<_, _>>()?;
    for (i, (reply, path)) in replies.iter().zip(files).enumerate() {
        let same =
            |other: &Reply| other.hospital() == reply.hospital() && other.round() == reply.round();
        let earlier = replies.iter().zip(files).take(i).find(|(other, _)| same(other));
        if let Some((_, earlier)) = earlier {
            return Err(FilesError::option(format!(
                "{}: '{}' answered question {} in {} already; name each answer once",
                path.display(),
                reply.hospital(),
                reply.round(),
                earlier.display()
            )));
        }
    }
    Ok(replies)
}

/// The coordinator's state after the first answers, with the second question.
fn first_round(plan: &Question, replies: &[Reply]) -> Result<(Federation, Ask), FilesError> {
    let attributes = plan.ask().attributes().to_vec();
    let (mut federation, first) =
        Federation::new(attributes, plan.hospitals().len(), plan.rho(), plan.pairs())?;
    if first != *plan.ask() {
        return Err(FilesError::option("the first file is no plan: name what `plan` wrote"));
    }
    match all(&mut federation, plan, replies, 1)? {
        Next::Ask(ask) => Ok((federation, ask)),
        Next::Done(_) => Err(FilesError::option("the plan has one question only")),
    }
}

/// Takes everybody's answer to a question.
fn all(
    federation: &mut Federation,
    plan: &Question,
    replies: &[Reply],
    round: u8,
) -> Result<Next, FilesError> {
    let mut next = None;
    for reply in replies.iter().filter(|reply| reply.round() == round) {
        next = federation.take(plan.place(reply.hospital())?, reply.answer().clone())?;
    }
    next.ok_or_else(|| {
        let answered = |name: &&String| {
            replies.iter().any(|r| r.round() == round && r.hospital() == name.as_str())
        };
        let missing: Vec<&str> =
            plan.hospitals().iter().filter(|name| !answered(name)).map(String::as_str).collect();
        FilesError::option(format!(
            "answers to question {round} are missing: {}",
            missing.join(", ")
        ))
    })
}

impl TogetherReport {
    fn of(question: &Question, round: Option<u8>, out: &Path) -> Self {
        Self {
            plan: question.number().to_owned(),
            question: round,
            epsilon_spent: 0.0,
            epsilon: question.epsilon(),
            delta: question.delta().probability(),
            account_epsilon: None,
            account_budget: None,
            left_out: None,
            records: None,
            out: out.to_owned(),
        }
    }
}

fn text(report: &TogetherReport) -> String {
    let mut rows = vec![("plan", report.plan.clone())];
    rows.extend(report.question.map(|n| ("question", format!("{n} of 2"))));
    rows.push((
        "the whole plan",
        format!("ε = {:.4} at δ = {:e}, at each hospital", report.epsilon, report.delta),
    ));
    if let Some((total, budget)) = report.account_epsilon.zip(report.account_budget) {
        let spent = format!("ε = {:.4}, in all {total:.4}", report.epsilon_spent);
        let spent = if total > budget {
            format!("{spent}: the budget is {budget:.4}, so no other question is answered")
        } else {
            format!("{spent} of {budget:.4}")
        };
        rows.push(("spent here", spent));
    }
    rows.extend(report.left_out.map(|n| ("left out", format!("{n} records without a person"))));
    rows.extend(report.records.map(|n| ("records of all", format!("about {n:.0}"))));
    rows.push(("written to", report.out.display().to_string()));
    format!("Synthesising together\n{}", pairs(&rows))
}

/// ε of a loss, for what is shown.
fn shown(rho: MicroRho, delta: Delta) -> f64 {
    epsilon_from_rho(rho, delta).get()
}
