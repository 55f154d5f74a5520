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
    /// The columns that are read, of a site's dataset; those of the permit if not given.
    columns: Option<Vec<String>>,
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
    /// The file, where a file is released.
    out: Option<PathBuf>,
    /// The dataset, where a site's dataset is released.
    dataset: Option<String>,
    pub(super) certificate: Option<PathBuf>,
    /// As FHIR resources of this type: a file in place of a table, a dataset also so.
    pub(super) fhir: Option<String>,
    /// The score of the whole chain below which nothing is published.
    pub(super) least_score: f64,
}

const fn usual_method() -> MethodName {
    MethodName::Mst
}

fn method<'de, D: serde::Deserializer<'de>>(from: D) -> Result<MethodName, D::Error> {
    use clap::ValueEnum as _;
    let word = String::deserialize(from)?;
    MethodName::from_str(&word, true).map_err(|_| {
        let named =
            MethodName::value_variants().iter().filter_map(clap::ValueEnum::to_possible_value);
        let known: Vec<String> = named.map(|value| value.get_name().to_owned()).collect();
        serde::de::Error::custom(format!("method is one of {}, not '{word}'", known.join(", ")))
    })
}

/// How the people's records become publishable.
#[derive(Debug, Clone)]
pub(super) enum How {
    Anonymise(Box<AnonymiseArgs>),
    Synthesise(Box<SynthesiseArgs>),
}

#[derive(Parser)]
#[command(no_binary_name = true, disable_help_flag = true, allow_negative_numbers = true)]
struct Words<T: Args> {
    #[command(flatten)]
    args: T,
}

/// Options whose values are paths beside the plan.
const PATHS: [&str; 4] = ["hierarchies", "population", "reference", "rules"];
/// Options that belong to another part of the plan.
const ELSEWHERE: [&str; 8] =
    ["out", "certificate", "fhir", "least-score", "model", "save-scheme", "linked", "series"];

impl Plan {
    /// Reads a plan; paths in it are relative to its folder.
    pub(super) fn read(path: &Path) -> Result<Self, FilesError> {
        let text = std::fs::read_to_string(path)
            .map_err(FilesError::file(path, "the plan cannot be read"))?;
        Self::parse(&text, path)
    }

    /// Reads the text of the plan at `path`.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, FilesError> {
        let mut plan: Self = toml::from_str(text).map_err(|source| FilesError::Plan {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        plan.in_range()?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        plan.publish.out = plan.publish.out.map(|out| folder.join(out));
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

    /// Refuses thresholds that nothing could meet, or everything does.
    fn in_range(&self) -> Result<(), FilesError> {
        if !(0.0..=100.0).contains(&self.publish.least_score) {
            return Err(FilesError::option(format!(
                "plan, [publish] least-score: a score lies between 0 and 100, and {} does not",
                self.publish.least_score
            )));
        }
        match &self.volume {
            Some(volume) if !(0.0..=1.0).contains(&volume.gain) => {
                Err(FilesError::option(format!(
                    "plan, [volume] gain: a gain in accuracy lies between 0 and 1, and {} does not",
                    volume.gain
                )))
            }
            _ => Ok(()),
        }
    }

    /// How the file is read.
    pub(super) fn format(&self) -> Result<crate::file::Format, FilesError> {
        parsed::<crate::file::Format>("read", &self.read, Vec::new())
    }

    /// The file that is to be written.
    pub(super) fn out(&self) -> Result<&Path, FilesError> {
        if self.columns.is_some() || self.publish.dataset.is_some() {
            return Err(FilesError::option(
                "the plan's 'columns' and [publish] 'dataset' are for a site's dataset; a file's \
                 columns are left out with 'without', and it goes to [publish] 'out'",
            ));
        }
        self.publish.out.as_deref().ok_or_else(|| {
            FilesError::option("the plan's [publish] has no 'out', the file to be written")
        })
    }

    /// The dataset that is to be made, and the columns that are to be read for it.
    pub(super) fn dataset(&self) -> Result<(&str, Option<&[String]>), FilesError> {
        if self.publish.out.is_some() || !self.read.is_empty() {
            return Err(FilesError::option(
                "the plan's [publish] 'out' and [read] are for plain files; a site's dataset is \
                 published as another one: [publish] dataset = \"name\"",
            ));
        }
        let name = self.publish.dataset.as_deref().ok_or_else(|| {
            FilesError::option(
                "the plan's [publish] has no 'dataset', the name of the dataset to be made",
            )
        })?;
        Ok((name, self.columns.as_deref()))
    }

    /// The first option by which the plan names a file beside itself, or one to be written.
    pub(super) fn names_a_file(&self) -> Option<&'static str> {
        let tables = [&self.anonymise, &self.synthesise, &self.unbias];
        let named =
            |option: &&str| tables.iter().any(|t| matches!(t, Some(t) if t.contains_key(*option)));
        let certificate = self.publish.certificate.is_some().then_some("certificate");
        PATHS.into_iter().find(named).or(certificate)
    }

    /// Files and folders that the plan names, beside itself.
    pub(super) fn named_files(&self) -> Vec<PathBuf> {
        let tables = [&self.anonymise, &self.synthesise, &self.unbias];
        let named = |table: &toml::Table| {
            let value = |name: &&str| table.get(*name)?.as_str().map(PathBuf::from);
            PATHS.iter().filter_map(value).collect::<Vec<_>>()
        };
        tables.into_iter().flatten().flat_map(named).collect()
    }

    /// How the records become publishable.
    pub(super) fn how(&self, file: &Path, out: &Path) -> Result<How, FilesError> {
        let fixed = || {
            let out = out.display().to_string();
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

/// Options of `salus anonymise` as a plan has them, for a table of that name.
pub(crate) fn anonymise_options(
    options: &toml::Table,
    name: &Path,
) -> Result<AnonymiseArgs, FilesError> {
    let name = name.display().to_string();
    parsed("anonymise", options, vec![name.clone(), "--out".to_owned(), name])
}

/// The text of a plan that came as JSON. What is null there is left out.
///
/// # Errors
/// When it is no object, or holds a number that TOML does not have.
pub fn plan_text(plan: &serde_json::Value) -> Result<String, FilesError> {
    let Some(toml::Value::Table(table)) = as_toml(plan)? else {
        return Err(FilesError::option("the plan is an object with the fields of plan.toml"));
    };
    toml::to_string(&table).map_err(|_| FilesError::option("the plan cannot be written as TOML"))
}

/// None for null, which TOML lacks.
fn as_toml(value: &serde_json::Value) -> Result<Option<toml::Value>, FilesError> {
    use serde_json::Value as Json;
    Ok(Some(match value {
        Json::Null => return Ok(None),
        Json::Bool(value) => (*value).into(),
        Json::String(text) => text.as_str().into(),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(real)) if real.is_finite() => real.into(),
            _ => return Err(FilesError::option(format!("plan: {number} is too large"))),
        },
        Json::Array(values) => {
            let values = values.iter().filter_map(|value| as_toml(value).transpose());
            toml::Value::Array(values.collect::<Result<_, _>>()?)
        }
        Json::Object(fields) => {
            let mut table = toml::Table::new();
            for (name, value) in fields {
                if let Some(value) = as_toml(value)? {
                    table.insert(name.clone(), value);
                }
            }
            toml::Value::Table(table)
        }
    }))
}

/// A part of the plan, read as the options of its command.
fn parsed<T: Args>(
    part: &str,
    options: &toml::Table,
    mut words: Vec<String>,
) -> Result<T, FilesError> {
    for (name, value) in options {
        // Each name becomes an option: one with a value in it would be another option's.
        if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(FilesError::option(format!(
                "plan, [{part}]: '{name}' is no option; options are written as k or until-score"
            )));
        }
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
            toml::Value::Array(values) if values.is_empty() => {}
            // Columns are one list; bounds and cohorts are said again for each.
            toml::Value::Array(values)
                if matches!(
                    name.as_str(),
                    "bounds" | "only" | "not-above" | "never" | "hierarchy"
                ) =>
            {
                words.extend(many(values).into_iter().map(|v| format!("{option}={v}")));
            }
            // A value beside its option is never taken for another option.
            toml::Value::Array(values) => {
                words.push(format!("{option}={}", many(values).join(",")));
            }
            other => words.push(format!("{option}={}", plain(other))),
        }
    }
    Words::<T>::try_parse_from(&words)
        .map(|words| words.args)
        .map_err(|e| FilesError::option(format!("plan, [{part}]: {}", in_one_line(&e.to_string()))))
}

/// What is wrong, with the values that are possible or what is missing, and without how a command
/// is used.
fn in_one_line(said: &str) -> String {
    let what = said.trim_start_matches("error: ").lines().map(str::trim);
    what.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
