//! A plan of a release, as a person writes it.

use std::path::{Path, PathBuf};

use clap::{Args, Parser};
use serde::Deserialize;

use crate::anonymise::AnonymiseArgs;
use crate::error::FilesError;
use crate::synthesise::{MethodName, SynthesiseArgs};
use crate::unbias::UnbiasArgs;

/// What a plan says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Plan {
    /// What the release is for, in words; stands in the certificate.
    pub(super) purpose: String,
    /// How the file is read: options of all commands.
    #[serde(default)]
    read: toml::Table,
    pub(super) volume: Option<VolumePlan>,
    /// Options of `salus anonymise`.
    anonymise: Option<toml::Table>,
    /// Options of `salus synthesise`.
    synthesise: Option<toml::Table>,
    pub(super) augment: Option<AugmentPlan>,
    /// Options of `salus unbias`.
    unbias: Option<toml::Table>,
    pub(super) publish: PublishPlan,
}

/// When a table is large and varied enough.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct VolumePlan {
    /// The column that is to be predicted.
    pub(super) target: String,
    /// Enough when twice as many records gain less than this in balanced accuracy.
    pub(super) gain: f64,
    /// Records that each class needs.
    pub(super) least_per_class: u64,
}

/// How many records there are to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct AugmentPlan {
    /// Records in all.
    pub(super) to: u32,
    /// How the published records are modelled.
    #[serde(default = "usual_method", deserialize_with = "method")]
    pub(super) method: MethodName,
}

/// Where it goes, and what it needs for that.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct PublishPlan {
    pub(super) out: PathBuf,
    pub(super) certificate: Option<PathBuf>,
    /// The score of the whole chain below which nothing is published.
    pub(super) least_score: f64,
}

const fn usual_method() -> MethodName {
    MethodName::Mst
}

fn method<'de, D: serde::Deserializer<'de>>(from: D) -> Result<MethodName, D::Error> {
    use clap::ValueEnum as _;
    let word = String::deserialize(from)?;
    MethodName::from_str(&word, true).map_err(serde::de::Error::custom)
}

/// How the people's records become publishable.
#[derive(Debug)]
pub(super) enum How {
    Anonymise(Box<AnonymiseArgs>),
    Synthesise(Box<SynthesiseArgs>),
}

#[derive(Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Words<T: Args> {
    #[command(flatten)]
    args: T,
}

/// Options whose values are paths beside the plan.
const PATHS: [&str; 3] = ["hierarchies", "population", "reference"];
/// Options that belong to another part of the plan.
const ELSEWHERE: [&str; 5] = ["out", "certificate", "least-score", "model", "save-scheme"];

impl Plan {
    /// Reads a plan; paths in it are relative to its folder.
    pub(super) fn read(path: &Path) -> Result<Self, FilesError> {
        let text = std::fs::read_to_string(path)
            .map_err(FilesError::file(path, "the plan cannot be read"))?;
        let mut plan: Self = toml::from_str(&text).map_err(|source| FilesError::Plan {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        plan.publish.out = folder.join(&plan.publish.out);
        plan.publish.certificate = plan.publish.certificate.map(|c| folder.join(c));
        let tables = [&mut plan.anonymise, &mut plan.synthesise, &mut plan.unbias];
        for table in tables.into_iter().flatten() {
            for name in PATHS {
                if let Some(toml::Value::String(value)) = table.get_mut(name) {
                    *value = folder.join(&*value).display().to_string();
                }
            }
        }
        Ok(plan)
    }

    /// How the file is read.
    pub(super) fn format(&self) -> Result<crate::file::Format, FilesError> {
        parsed::<crate::file::Format>("read", &self.read, Vec::new())
    }

    /// How the records become publishable.
    pub(super) fn how(&self, file: &Path) -> Result<How, FilesError> {
        let fixed = || {
            let out = self.publish.out.display().to_string();
            vec![file.display().to_string(), "--out".to_owned(), out]
        };
        match (&self.anonymise, &self.synthesise) {
            (Some(options), None) => {
                let options = self.with_read(options);
                Ok(How::Anonymise(Box::new(parsed("anonymise", &options, fixed())?)))
            }
            (None, Some(options)) => {
                let options = self.with_read(options);
                Ok(How::Synthesise(Box::new(parsed("synthesise", &options, fixed())?)))
            }
            _ => Err(FilesError::option(
                "the plan needs one of [anonymise] and [synthesise], and not both",
            )),
        }
    }

    /// How bias is mended, if the plan wants that.
    pub(super) fn unbias(&self, file: &Path) -> Result<Option<UnbiasArgs>, FilesError> {
        let fixed = vec![file.display().to_string()];
        self.unbias.as_ref().map(|options| parsed("unbias", options, fixed)).transpose()
    }

    fn with_read(&self, options: &toml::Table) -> toml::Table {
        let mut all = options.clone();
        for (name, value) in &self.read {
            all.entry(name.clone()).or_insert_with(|| value.clone());
        }
        all
    }
}

/// A part of the plan, read as the options of its command.
fn parsed<T: Args>(
    part: &str,
    options: &toml::Table,
    mut words: Vec<String>,
) -> Result<T, FilesError> {
    for (name, value) in options {
        if ELSEWHERE.contains(&name.as_str()) {
            return Err(FilesError::option(format!(
                "plan, [{part}]: '{name}' belongs into [publish], or is made by no plan"
            )));
        }
        let option = format!("--{name}");
        let many = |values: &[toml::Value]| values.iter().map(plain).collect::<Vec<_>>();
        match value {
            toml::Value::Boolean(true) => words.push(option),
            toml::Value::Boolean(false) => {}
            // Columns are one list; bounds and cohorts are said again for each.
            toml::Value::Array(values)
                if matches!(name.as_str(), "bounds" | "only" | "not-above") =>
            {
                words.extend(many(values).into_iter().flat_map(|v| [option.clone(), v]));
            }
            toml::Value::Array(values) => words.extend([option, many(values).join(",")]),
            other => words.extend([option, plain(other)]),
        }
    }
    Words::<T>::try_parse_from(&words).map(|words| words.args).map_err(|e| {
        let said = e.to_string();
        let first = said.lines().next().unwrap_or_default().trim_start_matches("error: ");
        FilesError::option(format!("plan, [{part}]: {first}"))
    })
}

fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
