//! Attacks on a release, run and not estimated, and the score that they give.
//!
//! Each attack is tried on people who are in the data and on as many control people who are not:
//! what succeeds on both is what the release says about the population, not about its members.

mod differencing;
mod frame;
mod generator;
mod genome;
mod linkability;
mod linkage;
mod loss;
mod neighbours;
mod overlap;
mod reconstruction;
mod score;
mod singling_out;
mod statistics;
mod verbatim;

use std::num::{NonZeroU32, NonZeroUsize};

use salus_model::{Class, Classified, Entropy, EntropyFailed};
use serde::Serialize;

use crate::dice::Dice;
use crate::quasi::QuasiIdentifiers;
use crate::table::{Table, TableError};

pub use frame::{Unmatched, unmatched};
pub use generator::{Generator, Likelihoods, Shadow};
pub use genome::{Dosage, Frequencies, Genotypes, allele_frequencies};
pub use loss::by_loss;
pub use overlap::Overlap;
pub use reconstruction::{Aggregate, COUNT};
pub use score::{Report, confidence_of_each};
pub use statistics::{Rate, normal_quantile, residual, wilson};

use frame::Frame;
use verbatim::Verbatim;

/// Why attacks could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum AttackError {
    /// A column is missing in one of the tables.
    #[error(transparent)]
    Table(#[from] TableError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
    /// Fewer than two columns are shared, or no attempt may be made.
    #[error("{0}")]
    Plan(&'static str),
}

impl Classified for AttackError {
    fn class(&self) -> Class {
        match self {
            Self::Table(_) | Self::Plan(_) => Class::BadRequest,
            Self::Entropy(_) => Class::Unavailable,
        }
    }
}

/// What the attacker tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attack {
    /// Isolate a person by one rare or extreme value.
    SinglingOutUnivariate,
    /// Isolate a person by a combination of values.
    SinglingOutMultivariate,
    /// Join two files about the same people through the release: the nearest records of both
    /// halves of a person, drawn by lot among equally near ones, share one.
    Linkability,
    /// The same by an attacker who keeps all equally near records: those of both halves leave one.
    LinkabilityAllNearest,
    /// Guess an unknown value of a person from the known ones.
    Inference,
    /// Find the one person of a population file that a released record fits.
    PopulationLinkage,
    /// Intersect what this and earlier releases of the same data leave possible.
    Differencing,
    /// Subtract the counts of an earlier release, from before somebody joined.
    Joining,
    /// Tell members from others by their distance to the nearest released record.
    Membership,
    /// Tell members from others by how much likelier the generator deems them than the population.
    LikelihoodRatio,
    /// Tell members from others by models fitted with and without them.
    ShadowModels,
    /// Tell members from others by how little a model errs on them.
    SmallLoss,
    /// Tell members from others by how much a model errs on them.
    LargeLoss,
    /// Work secrets out from published tables of counts.
    Reconstruction,
    /// Tell members of a group from others by its allele frequencies.
    AlleleFrequency,
}

impl Attack {
    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SinglingOutUnivariate => "singling out by one value",
            Self::SinglingOutMultivariate => "singling out by several values",
            Self::Linkability => "linking two files",
            Self::LinkabilityAllNearest => "linking two files, all nearest kept",
            Self::Inference => "inference",
            Self::PopulationLinkage => "linking to a population file",
            Self::Differencing => "differencing earlier releases",
            Self::Joining => "subtracting an earlier release",
            Self::Membership => "membership by nearness",
            Self::LikelihoodRatio => "membership by likelihood",
            Self::ShadowModels => "membership by shadow models",
            Self::SmallLoss => "membership by a small loss",
            Self::LargeLoss => "membership by a large loss",
            Self::Reconstruction => "reconstruction from counts",
            Self::AlleleFrequency => "membership by allele frequencies",
        }
    }
}

/// What an attack achieved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The attack.
    pub attack: Attack,
    /// The column that was guessed, for inference and differencing.
    pub secret: Option<String>,
    /// Attempts on members; as many were made on control people.
    pub attempts: u64,
    /// Successful attempts on members.
    pub successes: u64,
    /// Successful attempts on control people; of attacks that start from a released record, with
    /// fewer control people than members, how many there would be on as many.
    pub control_successes: u64,
    /// The success rate on members.
    pub rate: Rate,
    /// The success rate on control people, or on as many as there are members.
    pub control: Rate,
    /// (rate − control) / (1 − control), held within 0 and 1: [`residual`], which says what becomes
    /// of it where control people are nearly all guessed.
    pub risk: Rate,
}

/// One line of the result vector.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// The attack was run.
    Run(Finding),
    /// The attack could not be run.
    NotRun {
        /// The attack.
        attack: Attack,
        /// Why not.
        reason: String,
    },
}

/// The tables that attacks need.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The data that the release was made from.
    pub real: &'a Table,
    /// People of the same population who are not in the data.
    pub control: &'a Table,
    /// The release.
    pub released: &'a Table,
    /// Earlier releases of the same data.
    pub earlier: &'a [&'a Table],
    /// A file of identified people, if the attacker may have one.
    pub population: Option<&'a Table>,
    /// The hierarchies that released labels come from, for generalised releases.
    pub hierarchies: Option<&'a QuasiIdentifiers>,
    /// Tables of counts published from the same data.
    pub aggregates: &'a [Aggregate<'a>],
    /// The generator of a synthetic release, if the attacker may query it.
    pub generator: Option<&'a Generator>,
    /// The column of the real and the control table that says whose a record is, where a person
    /// may have several: each person is attacked once, known by one of their records drawn by lot.
    pub person: Option<&'a str>,
    /// The release was drawn from a model with a proven bound: a record of it that somebody has is
    /// chance or within that bound, and members are exposed where they have more of them than
    /// control people, beyond chance. False where records of the release may be anybody's own.
    pub drawn: bool,
}

impl<'a> Scene<'a> {
    /// A release, its data and a control group, and nothing else to attack with. Nothing is said of
    /// where the release comes from: whole records in it are taken for people's own.
    #[must_use]
    pub const fn new(real: &'a Table, control: &'a Table, released: &'a Table) -> Self {
        Self {
            real,
            control,
            released,
            earlier: &[],
            population: None,
            hierarchies: None,
            aggregates: &[],
            generator: None,
            person: None,
            drawn: false,
        }
    }
}

/// How the attacks go about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Attempts per attack and group, where there are as many targets.
    pub attempts: usize,
    /// Columns in a multivariate singling-out predicate.
    pub predicate_columns: usize,
    /// Columns that inference and differencing try to guess; the others are known.
    pub secrets: Vec<String>,
    /// How two files are linked.
    pub linking: Linking,
    /// Releases among which the caller chooses by their scores, this one included: intervals are
    /// wide enough to hold over all of them together.
    pub looks: NonZeroU32,
}

/// How two files about the same people are linked through a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linking {
    /// How many nearest records of each half may hold the shared one.
    pub neighbours: NonZeroUsize,
    /// Which columns each of the two files has.
    pub halves: Halves,
}

impl Linking {
    /// By the one nearest record, over halves drawn by lot.
    #[must_use]
    pub const fn by_lot() -> Self {
        Self { neighbours: NonZeroUsize::MIN, halves: Halves::ByLot }
    }
}

/// Which columns each of two files has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halves {
    /// Half of them each, drawn by lot for each run.
    ByLot,
    /// These for the first file, and all others for the second.
    First(Vec<String>),
}

/// Runs every attack that the scene allows and scores the release.
///
/// # Privacy
/// The report is about the release and may itself reveal something of the data: results of failed
/// attempts are for the steward. What no attack here finds may still be found by another; a score
/// is evidence, not proof. Where a release is differentially private its (ε, δ) is the proof.
///
/// # Errors
/// When a shared column is missing, or the plan makes no attempt.
///
/// # Cost
/// Nearest neighbours cost attempts × distinct released records × columns at worst.
///
/// # Source
/// Giomi et al. 2023, "A unified framework for quantifying privacy risk in synthetic data",
/// sections 4 and 5, for singling out, linkability, inference and the residual risk; Stadler,
/// Oprisanu and Troncoso 2022 for equal-size control groups.
pub fn run(
    scene: &Scene<'_>,
    plan: &Plan,
    entropy: &mut dyn Entropy,
) -> Result<Report, AttackError> {
    if plan.attempts == 0 {
        return Err(AttackError::Plan("an attack needs at least one attempt"));
    }
    let mut dice = Dice::new(entropy);
    let frame = Frame::new(scene, &mut dice)?;
    let halves = match &plan.linking.halves {
        Halves::First(names) => names.as_slice(),
        Halves::ByLot => &[],
    };
    for name in plan.secrets.iter().chain(halves) {
        scene.real.position(name)?;
    }
    let mut outcomes = vec![
        singling_out::univariate(&frame, plan, &mut dice)?,
        singling_out::multivariate(&frame, plan, &mut dice)?,
        neighbours::membership(&frame, plan, &mut dice)?,
        linkage::population(&frame, scene, plan, &mut dice)?,
    ];
    outcomes.extend(linkability::linkability(&frame, plan, &mut dice)?);
    match scene.generator {
        Some(generator) => {
            outcomes.push(generator.likelihood_ratio(plan, &mut dice)?);
            outcomes.push(generator.shadow_models(plan, &mut dice)?);
        }
        None => {
            for attack in [Attack::LikelihoodRatio, Attack::ShadowModels] {
                outcomes.push(Tally::not_run(attack, "no generator was given"));
            }
        }
    }
    if plan.secrets.is_empty() {
        for attack in
            [Attack::Inference, Attack::Differencing, Attack::Joining, Attack::Reconstruction]
        {
            outcomes.push(Tally::not_run(attack, "no column to guess was named"));
        }
    }
    for secret in &plan.secrets {
        outcomes.push(neighbours::inference(&frame, plan, secret, &mut dice)?);
        if !scene.earlier.is_empty() {
            outcomes.push(differencing::differencing(&frame, scene, plan, secret, &mut dice)?);
            outcomes.push(differencing::joining(&frame, scene, plan, secret, &mut dice)?);
        }
        if !scene.aggregates.is_empty() {
            outcomes.push(reconstruction::reconstruction(scene, plan, secret, &mut dice)?);
        }
    }
    if !plan.secrets.is_empty() {
        if scene.earlier.is_empty() {
            for attack in [Attack::Differencing, Attack::Joining] {
                outcomes.push(Tally::not_run(attack, "there is no earlier release"));
            }
        }
        if scene.aggregates.is_empty() {
            outcomes.push(Tally::not_run(Attack::Reconstruction, "there is no table of counts"));
        }
    }
    Ok(Report::from_tallies(outcomes, Verbatim::of(scene)?, plan.looks))
}

/// Counts of one attack before intervals are put around them.
pub(crate) enum Tally {
    Counted {
        attack: Attack,
        secret: Option<String>,
        attempts: u64,
        hits: u64,
        control: u64,
        /// How often chance has its way with members for each time that it has with control
        /// people: as many times as there are more of them, where any of them will do.
        times: f64,
    },
    NotRun {
        attack: Attack,
        reason: String,
    },
}

impl Tally {
    fn not_run(attack: Attack, reason: impl Into<String>) -> Self {
        Self::NotRun { attack, reason: reason.into() }
    }
}

#[cfg(test)]
mod tests;
