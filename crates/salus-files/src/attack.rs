//! `salus attack`: a release judged by what attacks achieve on it.

mod inputs;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use cpu_time::ProcessTime;
use salus_deid::QuasiIdentifiers;
use salus_deid::Table;
use salus_deid::attack::{Aggregate, Halves, Linking, Scene, Unmatched, unmatched};
use salus_model::Entropy;
use serde::Serialize;

use crate::Answer;
use crate::error::FilesError;
use crate::evidence::{self, AttackLine, Effort, Evidence, Trial};
use crate::file::{Format, Source};
use crate::text::{count, counted, notes, percent};
use crate::{generator, hierarchies, person};

use inputs::Inputs;

/// So many unique values that are met again may be chance.
const FEW_BY_CHANCE: u64 = 3;

/// Attacks a release: real people's records against a control group who are not in it.
#[derive(Debug, Clone, Args)]
pub struct AttackArgs {
    /// The records that the release was made from.
    #[arg(long)]
    pub real: PathBuf,
    /// Records of people of the same population who are not in it.
    #[arg(long)]
    pub control: PathBuf,
    /// The release.
    #[arg(long)]
    pub released: PathBuf,
    /// An earlier release of the same data; repeat for more.
    #[arg(long)]
    pub earlier: Vec<PathBuf>,
    /// A file of identified people that an attacker may have.
    #[arg(long)]
    pub population: Option<PathBuf>,
    /// A table of counts published from the same data: columns, and a column `count`; repeat for
    /// more.
    #[arg(long)]
    pub aggregates: Vec<PathBuf>,
    /// The model that a synthetic release was sampled from, as `salus synthesise --model` wrote it.
    #[arg(long)]
    pub generator: Option<PathBuf>,
    /// How many models are fitted like the generator, to learn what membership looks like.
    #[arg(long, default_value_t = 8, requires = "generator", value_parser = clap::value_parser!(u8).range(4..=128))]
    pub shadows: u8,
    /// The folder of hierarchies that a generalised release was made with.
    #[arg(long)]
    pub hierarchies: Option<PathBuf>,
    /// What a generalised column holds, as `salus anonymise --hierarchy` was told; repeat for more.
    #[arg(long, value_parser = hierarchies::stated)]
    pub hierarchy: Vec<hierarchies::StatedHierarchy>,
    /// Columns that the attacker tries to guess, all others known; all columns in turn if not
    /// given.
    #[arg(long, value_delimiter = ',', value_parser = crate::text::name)]
    pub secrets: Vec<String>,
    /// Columns of the first of two files that are linked through the release, the second having
    /// all others; a random half if not given.
    #[arg(long, value_delimiter = ',', value_parser = crate::text::name)]
    pub first_file: Vec<String>,
    /// How many nearest records of each of the two files may hold the one that links them.
    #[arg(long, default_value_t = NonZeroUsize::MIN)]
    pub neighbours: NonZeroUsize,
    /// The column of --real and --control that says whose a record is, where people have several:
    /// each person is attacked once, known by one of their records.
    #[arg(long, value_parser = crate::text::name, conflicts_with = "generator")]
    pub person: Option<String>,
    /// Attempts of each attack on members and as many on control people.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub attempts: Option<u32>,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// What `salus attack` answers.
#[derive(Debug, Clone, Serialize)]
pub struct AttackReport {
    /// An entry for each attack.
    pub attacks: Vec<AttackLine>,
    /// 100 · (1 − the largest upper bound of risk); 0 when people are published verbatim and chance
    /// does not explain it.
    pub score: Option<f64>,
    /// People with a value that nobody else has whose whole record is in the release.
    pub published_verbatim: u64,
    /// The result in words.
    pub words: String,
    /// Columns of the release with labels that stand for nobody's value: what they say is lost on
    /// every attack.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmatched: Vec<Unmatched>,
    /// Processor time of the attacks in milliseconds.
    pub cpu_ms: f64,
    /// What to note.
    pub notes: Vec<String>,
}

/// Attacks.
///
/// # Errors
/// When a file cannot be read, a column does not exist, a file has nothing to do with the others,
/// or the control people are the real ones.
pub fn run(args: &AttackArgs, entropy: &mut dyn Entropy) -> Result<Answer, FilesError> {
    let read = |path: &PathBuf| Source::read(path, &args.format);
    let (real, control) = (read(&args.real)?, read(&args.control)?);
    let released = read(&args.released)?;
    let earlier = args.earlier.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let population = args.population.as_ref().map(read).transpose()?;
    real.require("--secrets", &args.secrets)?;
    real.require("--first-file", &args.first_file)?;
    for source in [&real, &control] {
        person::check(source, args.person.as_ref())?;
    }
    let (members, others) = match &args.person {
        Some(person) => people(&real, &control, person)?,
        None => (real.table.rows() as u64, control.table.rows() as u64),
    };
    let quasi = hierarchies_of(args, &real, &control)?;
    let tables: Vec<&Table> = earlier.iter().map(|s| &s.table).collect();
    let counts = args.aggregates.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let aggregates: Vec<Aggregate<'_>> = counts.iter().map(|s| Aggregate(&s.table)).collect();
    let stored = args.generator.as_deref().map(generator::Stored::read).transpose()?;
    let inputs = Inputs {
        args,
        real: &real,
        control: &control,
        released: &released,
        earlier: &earlier,
        population: population.as_ref(),
        aggregates: &counts,
    };
    let of_inputs = inputs.check(others)?;
    let start = ProcessTime::now();
    let generator = stored.as_ref().map(|stored| {
        let model = &stored.model;
        for (source, option) in [(&real, "--real"), (&control, "--control")] {
            let names: Vec<String> =
                model.attributes().iter().map(|a| a.name().to_string()).collect();
            source.require(option, &names)?;
        }
        generator::attacked(stored, &real.table, &control.table, args.shadows.into(), entropy)
    });
    let generator = generator.transpose()?;
    let scene = Scene {
        earlier: &tables,
        population: population.as_ref().map(|p| &p.table),
        hierarchies: quasi.as_ref(),
        aggregates: &aggregates,
        generator: generator.as_ref(),
        person: args.person.as_deref(),
        // Models that `synthesise` writes have a proven bound.
        drawn: generator.is_some(),
        ..Scene::new(&real.table, &control.table, &released.table)
    };
    let effort = args.attempts.map_or(Effort::Alone, |n| Effort::Attempts(n as usize));
    let linking = Linking {
        neighbours: args.neighbours,
        halves: match args.first_file.as_slice() {
            [] => Halves::ByLot,
            first => Halves::First(first.to_vec()),
        },
    };
    let trial = Trial { effort, ..Trial::ONCE };
    let evidence = evidence::attack(&scene, &args.secrets, linking, trial, entropy)?;
    control_is_apart(&evidence, args)?;
    let unmatched = unmatched(&scene)?;
    let mut noted = what_was_lost(&unmatched, &real.table, &released.table, args);
    noted.extend(of_inputs);
    if evidence.control_verbatim > 0 {
        noted.push(format!(
            "WARNING: {}: check that nobody of the control group is in the data",
            counted(
                evidence.control_verbatim,
                "control person with a value that nobody else has is in the release unchanged",
                "control people with a value that nobody else has are in the release unchanged"
            )
        ));
    }
    if members != others {
        let what = if args.person.is_some() { "people" } else { "records" };
        noted.push(format!(
            "{} real and {} control {what}: people are attacked in equal numbers, and what a \
             released record tells is looked for among all real ones, with chance reckoned from the \
             control ones: the fewer they are, the wider is every interval",
            count(members),
            count(others)
        ));
    }
    if args.person.is_none() {
        noted.extend(person::noted(&real.table, &[]));
    }
    noted.extend(of_reading(
        [&real, &control, &released],
        [&earlier, &counts, population.as_slice()],
    ));
    let text = format!(
        "Attacks\n{}\n\n{}\n\nScore: {}{}",
        evidence.text(),
        evidence.words,
        evidence.score.map_or("none".to_owned(), |s| format!("{s:.1} of 100")),
        notes(&noted)
    );
    let report = AttackReport {
        attacks: evidence.attacks,
        score: evidence.score,
        published_verbatim: evidence.published_verbatim,
        words: evidence.words,
        unmatched,
        cpu_ms: start.elapsed().as_secs_f64() * 1_000.0,
        notes: noted,
    };
    Answer::new(&report, text)
}

/// What there is to say of how files were read, each with its file.
fn of_reading(files: [&Source; 3], more: [&[Source]; 3]) -> Vec<String> {
    let mut noted: Vec<String> = Vec::new();
    for file in files.into_iter().chain(more.into_iter().flatten()) {
        for note in &file.notes {
            let said = format!("{}: {note}", file.path.display());
            if !noted.contains(&said) {
                noted.push(said);
            }
        }
    }
    noted
}

/// Refuses control people who are in the release themselves: every rate would be compared with one
/// that is no chance, and a leak would be taken for it.
fn control_is_apart(evidence: &Evidence, args: &AttackArgs) -> Result<(), FilesError> {
    let verbatim = evidence.control_verbatim;
    // A model repeats records of members and of others alike.
    let drawn = args.generator.is_some();
    let copied = !drawn && verbatim >= FEW_BY_CHANCE && verbatim * 2 >= evidence.published_verbatim;
    let seen = match &evidence.backwards {
        Some(words) => words.clone(),
        None if copied => format!(
            "{verbatim} control people with a value that nobody else has are in the release as \
             they are"
        ),
        None => return Ok(()),
    };
    Err(FilesError::option(format!(
        "--control {}: {seen}. Nothing is known of {} by comparing with people who are in it: give \
         people who are not in the data, or exchange --real and --control",
        args.control.display(),
        args.released.display()
    )))
}

/// Columns that are on one side only, and labels that stand for nobody's value.
fn what_was_lost(
    unmatched: &[Unmatched],
    real: &Table,
    released: &Table,
    args: &AttackArgs,
) -> Vec<String> {
    let only = |one: &Table, other: &Table| -> Vec<String> {
        let names = one.columns().iter().map(|c| c.name());
        let whose = args.person.as_deref();
        names.filter(|n| other.column(n).is_err() && whose != Some(*n)).map(str::to_owned).collect()
    };
    let mut noted = Vec::new();
    for (names, side, other) in [
        (only(released, real), "the release", "--real"),
        (only(real, released), "--real", "the release"),
    ] {
        if !names.is_empty() {
            noted.push(format!(
                "columns of {side} that {other} lacks, which no attack uses: {}",
                names.join(", ")
            ));
        }
    }
    for lost in unmatched {
        let share = lost.records as f64 / released.rows().max(1) as f64;
        let remedy = match &args.hierarchies {
            None => "say --hierarchies or --hierarchy where it was generalised",
            Some(_) => "check its hierarchy file, or say --hierarchy",
        };
        noted.push(format!(
            "WARNING: column '{}': {} of the released records, the first in record {}, have a \
             label that stands for no value of --real or --control; attacks cannot use them, and \
             the score is too good. Is it written alike? {remedy}",
            lost.column,
            percent(share),
            lost.first
        ));
    }
    noted
}

/// How many people both files are of, which must be different ones.
fn people(real: &Source, control: &Source, person: &str) -> Result<(u64, u64), FilesError> {
    let known: std::collections::HashSet<&str> =
        real.table.column(person)?.dictionary().iter().map(String::as_str).collect();
    let both = control.table.column(person)?.dictionary();
    let both = both.iter().filter(|whose| known.contains(whose.as_str())).count();
    if both > 0 {
        return Err(FilesError::option(format!(
            "--person: {both} people are in {} and in {}: nobody of the control group may be in \
             the data",
            real.path.display(),
            control.path.display()
        )));
    }
    Ok((person::people(&real.table, person)?, person::people(&control.table, person)?))
}

/// The hierarchies of the real table's columns that have one in the folder.
fn hierarchies_of(
    args: &AttackArgs,
    real: &Source,
    control: &Source,
) -> Result<Option<QuasiIdentifiers>, FilesError> {
    if args.hierarchies.is_none() && args.hierarchy.is_empty() {
        return Ok(None);
    }
    let stated: Vec<String> = args.hierarchy.iter().map(|h| h.column.clone()).collect();
    real.require("--hierarchy", &stated)?;
    let origins = hierarchies::Origins {
        folder: args.hierarchies.as_deref(),
        stated: &args.hierarchy,
        encoding: args.format.encoding,
    };
    // People of the control group may have values that no member has.
    hierarchies::listed(&[real, control], origins)
}
