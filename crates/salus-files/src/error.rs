//! What went wrong, where, and what to do about it.

use std::path::{Path, PathBuf};

use salus_deid::attack::AttackError;
use salus_deid::fhir::FhirError;
use salus_deid::model::ModelError;
use salus_deid::quasi::QuasiIdentifierError;
use salus_deid::review::inference::InferenceError;
use salus_deid::transform::TransformError;
use salus_deid::unbias::BiasError;
use salus_deid::{HierarchyError, ProblemError, SearchError, TableError};
use salus_dp::{LossError, SchemaError};
use salus_model::{Class, Classified, IdError};
use salus_synth::{AttributeError, DiscoverError, FitError, SampleError};

use crate::adjust::Attempt;

/// Why a command on plain files could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file cannot be opened, read or written.
    #[error("{}: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file is no text in the encoding that it should have.
    #[error(
        "{}, line {line}: byte {column} of the line is not UTF-8; save the file as UTF-8, or say \
         which encoding it has, as in --encoding windows-1252",
        path.display()
    )]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// Byte of the line, counted from 1.
        column: usize,
    },
    /// A file has bytes that its stated encoding does not have.
    #[error("{}: the file is not {encoding}", path.display())]
    Undecodable {
        /// The file.
        path: PathBuf,
        /// The encoding that was stated.
        encoding: &'static str,
    },
    /// A file holds nothing.
    #[error("{}: the file is empty; it needs a line with the column names and at least one record", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A file is no table.
    #[error("{}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: TableError,
    },
    /// A file is no hierarchy.
    #[error("hierarchy {}", path.display())]
    Hierarchy {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: HierarchyError,
    },
    /// Several files could be the hierarchy of a column.
    #[error(
        "column '{column}': both {} and {} look like its hierarchy; rename one",
        one.display(), other.display()
    )]
    TwoHierarchies {
        /// The column.
        column: String,
        /// One file.
        one: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// A column that an option names does not exist.
    #[error("{option}: {} has no column '{name}'{hint}; its columns are {known}", path.display())]
    NoSuchColumn {
        /// The option.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// The name that was asked for.
        name: String,
        /// A guess at the reason, or nothing.
        hint: String,
        /// The names that exist.
        known: String,
    },
    /// Options that do not go together, or make no sense.
    #[error("{0}")]
    Option(String),
    /// The score stayed below what was asked for.
    #[error("{0}")]
    Threshold(String),
    /// No release that was tried reached the score that was asked for.
    #[error("{}", crate::adjust::told(why, attempts, charged))]
    NoRelease {
        /// Why there was no further attempt.
        why: String,
        /// What the attempts have cost, in words; empty for nothing.
        charged: String,
        /// What was tried.
        attempts: Vec<Attempt>,
    },
    /// Whoever waited for the work has stopped it.
    #[error("it was stopped before it was done")]
    Stopped,
    /// A stored model cannot be read.
    #[error("{}: this is no model that `salus synthesise --model` wrote", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A stored scheme cannot be read.
    #[error("{}: this is no scheme that `salus anonymise --save-scheme` wrote", path.display())]
    Scheme {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A register of exam questions cannot be read.
    #[error("{}: this is no register that `salus exam` wrote", path.display())]
    Register {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A plan cannot be understood.
    #[error("{}", path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// Why, with line and column.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The records cannot be learnt from.
    #[error(transparent)]
    Classify(#[from] salus_deid::utility::ClassifyError),
    /// A privacy model makes no sense.
    #[error(transparent)]
    PrivacyModel(#[from] ModelError),
    /// A quasi-identifier is named twice, or none is.
    #[error(transparent)]
    Quasi(#[from] QuasiIdentifierError),
    /// The problem cannot be posed.
    #[error(transparent)]
    Problem(#[from] ProblemError),
    /// Nothing satisfies the models.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The table cannot be transformed.
    #[error(transparent)]
    Transform(#[from] TransformError),
    /// A table operation failed.
    #[error(transparent)]
    Plain(#[from] TableError),
    /// Lists could not be anonymised.
    #[error(transparent)]
    Sets(#[from] salus_deid::sets::SetError),
    /// A private generalisation was not made.
    #[error(transparent)]
    SafePub(#[from] salus_deid::safepub::SafePubError),
    /// The attacks could not be set up.
    #[error(transparent)]
    Attack(#[from] AttackError),
    /// A resource could not be de-identified.
    #[error(transparent)]
    Fhir(#[from] FhirError),
    /// Nothing can be inferred from a table of counts.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// Bias could not be measured or mended.
    #[error(transparent)]
    Bias(#[from] BiasError),
    /// ε or δ makes no sense.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// A column name cannot be used.
    #[error("a column's name cannot be used")]
    Name(#[from] IdError),
    /// Values make no domain.
    #[error("a column's values make no domain")]
    Schema(#[from] SchemaError),
    /// A column cannot be synthesised.
    #[error(transparent)]
    Attribute(#[from] AttributeError),
    /// The rows make no table to synthesise.
    #[error(transparent)]
    SynthTable(#[from] salus_synth::TableError),
    /// Domains could not be found.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// No model could be fitted.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// Nothing could be sampled.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// An outcome could not be made fair.
    #[error(transparent)]
    Fair(#[from] salus_synth::FairError),
    /// Linked tables could not be modelled.
    #[error(transparent)]
    Linked(#[from] salus_synth::LinkedError),
    /// Series could not be modelled.
    #[error(transparent)]
    Series(#[from] salus_synth::SequenceError),
    /// Hospitals could not fit a model together.
    #[error(transparent)]
    Together(#[from] salus_synth::FederationError),
    /// A file that hospitals exchange cannot be read.
    #[error("{}: this is no {what} of `salus synthesise-together`", path.display())]
    Exchange {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Records do not become FHIR resources.
    #[error(transparent)]
    Rows(#[from] salus_fhir::rows::RowsError),
}

impl FilesError {
    pub(crate) fn option(message: impl Into<String>) -> Self {
        Self::Option(message.into())
    }

    pub(crate) fn no_release(wanted: f64, why: &str, charged: &str, attempts: &[Attempt]) -> Self {
        Self::NoRelease {
            why: format!("no release reaches a score of {wanted}: {why}. Nothing was written."),
            charged: charged.to_owned(),
            attempts: attempts.to_vec(),
        }
    }

    /// What was tried in vain for a score, with the sentence that says so without their table; none
    /// of other errors.
    #[must_use]
    pub fn attempts(&self) -> Option<(String, &[Attempt])> {
        match self {
            Self::NoRelease { why, charged, attempts } => {
                Some((format!("{why} {charged}").trim_end().to_owned(), attempts))
            }
            _ => None,
        }
    }

    pub(crate) fn file(path: &Path, what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, what, source }
    }
}

impl Classified for FilesError {
    fn class(&self) -> Class {
        match self {
            Self::File { .. }
            | Self::NotUtf8 { .. }
            | Self::Undecodable { .. }
            | Self::Empty { .. }
            | Self::Table { .. }
            | Self::Hierarchy { .. }
            | Self::TwoHierarchies { .. }
            | Self::NoSuchColumn { .. }
            | Self::Option(_)
            | Self::Model { .. }
            | Self::Scheme { .. }
            | Self::Plan { .. }
            | Self::Register { .. }
            | Self::Exchange { .. }
            | Self::Name(_)
            | Self::Schema(_) => Class::BadRequest,
            Self::Threshold(_) | Self::NoRelease { .. } | Self::Stopped => Class::Refused,
            Self::Classify(e) => e.class(),
            Self::PrivacyModel(e) => e.class(),
            Self::Quasi(e) => e.class(),
            Self::Problem(e) => e.class(),
            Self::Search(e) => e.class(),
            Self::Transform(e) => e.class(),
            Self::Plain(e) => e.class(),
            Self::SafePub(e) => e.class(),
            Self::Sets(e) => e.class(),
            Self::Attack(e) => e.class(),
            Self::Fhir(e) => e.class(),
            Self::Inference(e) => e.class(),
            Self::Bias(e) => e.class(),
            Self::Loss(e) => e.class(),
            Self::Attribute(e) => e.class(),
            Self::SynthTable(e) => e.class(),
            Self::Discover(e) => e.class(),
            Self::Fit(e) => e.class(),
            Self::Sample(e) => e.class(),
            Self::Fair(e) => e.class(),
            Self::Linked(e) => e.class(),
            Self::Series(e) => e.class(),
            Self::Together(e) => e.class(),
            Self::Rows(e) => e.class(),
        }
    }
}
