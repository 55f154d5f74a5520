//! `salus attack`: a release judged by what attacks achieve on it.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use cpu_time::ProcessTime;
use salus_deid::QuasiIdentifiers;
use salus_deid::Table;
use salus_deid::attack::{Aggregate, Halves, Linking, Scene};
use salus_model::Entropy;
use serde::Serialize;

use crate::Answer;
use crate::error::FilesError;
use crate::evidence::{self, AttackLine, Effort, Trial};
use crate::file::{Format, Source};
use crate::text::notes;
use crate::{generator, hierarchies};

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
    /// Columns that the attacker tries to guess, all others known; all columns in turn if not
    /// given.
    #[arg(long, value_delimiter = ',')]
    pub secrets: Vec<String>,
    /// Columns of the first of two files that are linked through the release, the second having
    /// all others; a random half if not given.
    #[arg(long, value_delimiter = ',')]
    pub first_file: Vec<String>,
    /// How many nearest records of each of the two files may hold the one that links them.
    #[arg(long, default_value_t = NonZeroUsize::MIN)]
    pub neighbours: NonZeroUsize,
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
    /// 100 · (1 − the largest upper bound of risk); 0 when a person is published verbatim.
    pub score: Option<f64>,
    /// People with a value that nobody else has whose whole record is in the release.
    pub published_verbatim: u64,
    /// The result in words.
    pub words: String,
    /// Processor time of the attacks in milliseconds.
    pub cpu_ms: f64,
    /// What to note.
    pub notes: Vec<String>,
}

/// Attacks.
///
/// # Errors
/// When a file cannot be read or a column does not exist.
pub fn run(args: &AttackArgs, entropy: &mut dyn Entropy) -> Result<Answer, FilesError> {
    let read = |path: &PathBuf| Source::read(path, &args.format);
    let (real, control) = (read(&args.real)?, read(&args.control)?);
    let released = read(&args.released)?;
    let earlier = args.earlier.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let population = args.population.as_ref().map(read).transpose()?;
    real.require("--secrets", &args.secrets)?;
    real.require("--first-file", &args.first_file)?;
    let quasi = hierarchies_of(args, &real, &control)?;
    let tables: Vec<&Table> = earlier.iter().map(|s| &s.table).collect();
    let counts = args.aggregates.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let aggregates: Vec<Aggregate<'_>> = counts.iter().map(|s| Aggregate(&s.table)).collect();
    let start = ProcessTime::now();
    let generator = args.generator.as_ref().map(|path| {
        let model = generator::read(path)?;
        for (source, option) in [(&real, "--real"), (&control, "--control")] {
            let names: Vec<String> =
                model.attributes().iter().map(|a| a.name().to_string()).collect();
            source.require(option, &names)?;
        }
        generator::attacked(&model, &real.table, &control.table, args.shadows.into(), entropy)
    });
    let generator = generator.transpose()?;
    let scene = Scene {
        earlier: &tables,
        population: population.as_ref().map(|p| &p.table),
        hierarchies: quasi.as_ref(),
        aggregates: &aggregates,
        generator: generator.as_ref(),
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
    let mut noted: Vec<String> = Vec::new();
    if real.table.rows() != control.table.rows() {
        noted.push(format!(
            "{} real and {} control records: as many of each are drawn, for an unequal control \
             group inflates the risk",
            real.table.rows(),
            control.table.rows()
        ));
    }
    let mut texts = real.notes.clone();
    texts.extend(released.notes.clone());
    texts.dedup();
    noted.extend(texts);
    let text = format!(
        "{}\n\n{}\n\nScore: {}{}",
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
        cpu_ms: start.elapsed().as_secs_f64() * 1_000.0,
        notes: noted,
    };
    Answer::new(&report, text)
}

/// The hierarchies of the real table's columns that have one in the folder.
fn hierarchies_of(
    args: &AttackArgs,
    real: &Source,
    control: &Source,
) -> Result<Option<QuasiIdentifiers>, FilesError> {
    let Some(folder) = &args.hierarchies else { return Ok(None) };
    // People of the control group may have values that no member has.
    hierarchies::listed(&[real, control], folder, args.format.encoding)
}
