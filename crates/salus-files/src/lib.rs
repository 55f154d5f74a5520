//! Work on a person's own plain files, alone: no node, no account, no set-up.
//!
//! **Invariant:** this crate knows no key, permit or network. It reads the files that its caller
//! names and writes the files that its caller names, whole or not at all; sealed data never comes
//! here. Of a site's dataset it gets a table in memory ([`release::DatasetPlan`], [`study`]), and
//! gives back one, or what was measured of it: nothing of that is written here.
//!
//! **Invariant:** it is synchronous, and what protects lives below it: risks, models, attacks and
//! mending and de-identification in `salus_deid`, private models in `salus_synth`.
//!
//! | Command | Where |
//! | --- | --- |
//! | `salus risk` | [`risk`] |
//! | `salus anonymise` | [`anonymise`] |
//! | `salus recode` | [`anonymise::scheme`] |
//! | `salus transform` | [`transform`] |
//! | `salus synthesise` | [`synthesise`] |
//! | `salus sample` | [`sample`] |
//! | `salus synthesise-together` | [`together`] |
//! | `salus attack` | [`attack`] |
//! | `salus release` | [`release`] |
//! | `salus unbias` | [`unbias`] |
//! | `salus review` | [`review`] |
//! | `salus exam` | [`exam`] |
//! | `salus genome` | [`genome`] |
//! | `salus deidentify` | [`mod@deidentify`] |
//! | the release studio | [`study`] |
//!
//! The commands' words are defined here, so that `salus` shows them and tests without the data
//! engine run them.
//!
//! # Privacy
//! Reports are for the person who holds the file: risks, losses, qualities and scores are computed
//! from the records without noise. What may leave is the file named with `--out`, and of that only
//! a synthetic one comes with a bound (ε, δ) of what it tells; nothing is charged to any account.

mod adjust;
pub mod anonymise;
pub mod attack;
mod certificate;
mod clock;
mod conditions;
pub mod deidentify;
mod error;
mod evidence;
pub mod exam;
mod fhir;
mod file;
mod generator;
pub mod genome;
mod hierarchies;
mod numbers;
pub mod output;
mod page;
mod person;
pub mod release;
pub mod review;
pub mod risk;
pub mod sample;
pub mod study;
pub mod synthesise;
mod text;
pub mod together;
pub mod transform;
pub mod unbias;
pub mod watch;

use clap::Subcommand;
use salus_crypto::OsEntropy;
use serde::Serialize;

use anonymise::AnonymiseArgs;
use anonymise::scheme::RecodeArgs;
use attack::AttackArgs;
use deidentify::Deidentify;
use exam::ExamArgs;
use genome::GenomeArgs;
use release::ReleaseArgs;
use review::ReviewArgs;
use risk::RiskArgs;
use sample::SampleArgs;
use synthesise::SynthesiseArgs;
use together::Together;
use transform::TransformArgs;
use unbias::UnbiasArgs;

pub use adjust::{Adjustment, Attempt};
pub use certificate::CertificatePage;
pub use clock::SystemClock;
pub use error::FilesError;
pub use evidence::{AttackLine, AttackResult, Evidence};
pub use file::{Encoding, Format, Source};
pub use text::laid_out;

/// What a command on plain files is asked.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Measure how recognisable the people of a CSV file are.
    #[command(allow_negative_numbers = true)]
    Risk(RiskArgs),
    /// Make a CSV file anonymous with the least loss, attack the result and score it.
    #[command(allow_negative_numbers = true)]
    Anonymise(Box<AnonymiseArgs>),
    /// Apply a scheme that `anonymise` found to new records, also more than fit into memory.
    #[command(allow_negative_numbers = true)]
    Recode(RecodeArgs),
    /// Code, round, shift, average or replace columns.
    #[command(allow_negative_numbers = true)]
    Transform(Box<TransformArgs>),
    /// Make a synthetic CSV file with differential privacy.
    #[command(allow_negative_numbers = true)]
    Synthesise(Box<SynthesiseArgs>),
    /// Draw more records from a private model, for nothing.
    #[command(allow_negative_numbers = true)]
    Sample(SampleArgs),
    /// Fit one private model to the records of several hospitals, none of which hands rows out.
    #[command(subcommand)]
    SynthesiseTogether(Together),
    /// Attack a release with every attack that the files allow, and score it.
    #[command(allow_negative_numbers = true)]
    Attack(AttackArgs),
    /// Carry a plan out: assess, make anonymous, attack, augment, unbias, attack again, publish.
    #[command(allow_negative_numbers = true)]
    Release(ReleaseArgs),
    /// Measure bias between groups and mend it.
    #[command(allow_negative_numbers = true)]
    Unbias(UnbiasArgs),
    /// Check a table of counts before it leaves a secure environment.
    #[command(allow_negative_numbers = true)]
    Review(ReviewArgs),
    /// Make exam sheets from a synthetic cohort, no question ever given twice.
    #[command(allow_negative_numbers = true)]
    Exam(ExamArgs),
    /// Attack a group's allele frequencies before they are published.
    #[command(allow_negative_numbers = true)]
    Genome(GenomeArgs),
    /// Take what names a person out of FHIR resources or a clinical text.
    #[command(subcommand)]
    Deidentify(Deidentify),
}

/// What a command answers: one JSON object, and the same for people.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Answer {
    /// The object.
    pub json: serde_json::Value,
    #[serde(skip)]
    text: String,
    #[serde(skip)]
    verdict: Verdict,
}

/// What a command that judges says of what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing stands against it, or the command judges nothing.
    Passes,
    /// It must not go out as it is. Scripts see that by the exit code.
    Objected,
}

impl Answer {
    fn new(report: &impl Serialize, text: String) -> Result<Self, FilesError> {
        let json = serde_json::to_value(report)
            .map_err(|_| FilesError::option("the report cannot be written as JSON"))?;
        Ok(Self { json, text, verdict: Verdict::Passes })
    }

    fn with(self, verdict: Verdict) -> Self {
        Self { verdict, ..self }
    }

    /// What the command says of what it judged.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The answer for people, with lines of any length.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The answer for people, laid out for lines of that length.
    #[must_use]
    pub fn text_within(&self, width: usize) -> String {
        laid_out(&self.text, width)
    }
}

impl Command {
    /// Does what it says, with the system's clock and randomness.
    ///
    /// # Errors
    /// As [`FilesError`] says, naming the place and the remedy.
    pub fn run(&self) -> Result<Answer, FilesError> {
        let entropy = &mut OsEntropy;
        match self {
            Self::Risk(args) => risk::run(args, entropy),
            Self::Anonymise(args) => anonymise::run(args, &SystemClock, entropy),
            Self::Recode(args) => anonymise::scheme::run(args),
            Self::Transform(args) => transform::run(args, entropy),
            Self::Synthesise(args) => synthesise::run(args, &SystemClock, entropy),
            Self::Sample(args) => sample::run(args, &SystemClock, entropy),
            Self::SynthesiseTogether(what) => together::run(what, entropy),
            Self::Attack(args) => attack::run(args, entropy),
            Self::Release(args) => release::run(args, &SystemClock, entropy),
            Self::Unbias(args) => unbias::run(args),
            Self::Review(args) => review::run(args),
            Self::Exam(args) => exam::run(args, &SystemClock, entropy),
            Self::Genome(args) => genome::run(args, entropy),
            Self::Deidentify(what) => deidentify::run(what, &SystemClock, entropy),
        }
    }
}
