//! The files that pass between coordinator and hospitals, and a hospital's own account.

use std::collections::BTreeMap;
use std::path::Path;

use salus_dp::Delta;
use salus_model::MicroRho;
use salus_synth::Ask;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::FilesError;
use crate::file::write_bytes;
use crate::synthesise::{DATE_FORMS, Look};

fn read<T: DeserializeOwned>(path: &Path, what: &'static str) -> Result<T, FilesError> {
    let bytes = std::fs::read(path).map_err(FilesError::file(path, "the file cannot be read"))?;
    serde_json::from_slice(&bytes).map_err(|source| FilesError::Exchange {
        path: path.to_owned(),
        what,
        source,
    })
}

fn write(path: &Path, what: &'static str, value: &impl Serialize) -> Result<(), FilesError> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|source| FilesError::Exchange {
        path: path.to_owned(),
        what,
        source,
    })?;
    write_bytes(path, &bytes)
}

/// The version of all files here.
const VERSION: u8 = 1;

/// A question to every hospital; the first is the plan.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Question {
    version: u8,
    plan: String,
    hospitals: Vec<String>,
    micro_rho: u64,
    delta: Delta,
    pairs: Vec<[usize; 2]>,
    dates: BTreeMap<String, String>,
    ask: Ask,
}

impl Question {
    pub(super) fn new(
        number: &[u8; 16],
        hospitals: &[String],
        rho: MicroRho,
        delta: Delta,
        pairs: Vec<[usize; 2]>,
        dates: BTreeMap<String, String>,
        ask: Ask,
    ) -> Self {
        Self {
            version: VERSION,
            plan: number.iter().map(|b| format!("{b:02x}")).collect(),
            hospitals: hospitals.to_vec(),
            micro_rho: rho.get(),
            delta,
            pairs,
            dates,
            ask,
        }
    }

    pub(super) fn read(path: &Path) -> Result<Self, FilesError> {
        let found: Self = read(path, "question")?;
        check_version(path, found.version)?;
        Ok(found)
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), FilesError> {
        write(path, "question", self)
    }

    /// The same plan with its next question.
    pub(super) fn with(mut self, ask: Ask) -> Self {
        self.ask = ask;
        self
    }

    pub(super) fn number(&self) -> &str {
        &self.plan
    }

    pub(super) const fn ask(&self) -> &Ask {
        &self.ask
    }

    pub(super) fn hospitals(&self) -> &[String] {
        &self.hospitals
    }

    pub(super) fn pairs(&self) -> &[[usize; 2]] {
        &self.pairs
    }

    /// The loss of the whole plan, at each hospital.
    pub(super) const fn rho(&self) -> MicroRho {
        MicroRho::new(self.micro_rho)
    }

    pub(super) const fn delta(&self) -> Delta {
        self.delta
    }

    pub(super) fn epsilon(&self) -> f64 {
        super::shown(self.rho(), self.delta)
    }

    pub(super) fn is_date(&self, column: &str) -> bool {
        self.dates.contains_key(column)
    }

    pub(super) fn looks(&self) -> Vec<(String, Look)> {
        let date = |name: &String| (name.clone(), Look::Date(DATE_FORMS[0]));
        self.dates.keys().map(date).collect()
    }

    /// Which hospital of the plan that is.
    pub(super) fn place(&self, hospital: &str) -> Result<usize, FilesError> {
        self.hospitals.iter().position(|name| name == hospital).ok_or_else(|| {
            FilesError::option(format!(
                "the plan has no hospital '{hospital}'; it has {}",
                self.hospitals.join(", ")
            ))
        })
    }
}

fn check_version(path: &Path, version: u8) -> Result<(), FilesError> {
    if version == VERSION {
        return Ok(());
    }
    Err(FilesError::option(format!(
        "{}: it is of version {version} of its format; this program writes {VERSION}",
        path.display()
    )))
}

/// What a hospital hands out: counts with its own noise.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Reply {
    version: u8,
    plan: String,
    hospital: String,
    /// For how many records of a person the noise is made.
    records_per_person: u32,
    answer: salus_synth::Reply,
}

impl Reply {
    pub(super) fn new(
        question: &Question,
        hospital: &str,
        records_per_person: u32,
        answer: salus_synth::Reply,
    ) -> Self {
        let plan = question.plan.clone();
        Self { version: VERSION, plan, hospital: hospital.to_owned(), records_per_person, answer }
    }

    pub(super) fn read(path: &Path, plan: &Question) -> Result<Self, FilesError> {
        let found: Self = read(path, "answer")?;
        check_version(path, found.version)?;
        if found.plan != plan.plan {
            return Err(FilesError::option(format!(
                "{}: it answers plan {}, and this is plan {}",
                path.display(),
                found.plan,
                plan.plan
            )));
        }
        plan.place(&found.hospital)?;
        Ok(found)
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), FilesError> {
        write(path, "answer", self)
    }

    pub(super) fn hospital(&self) -> &str {
        &self.hospital
    }

    pub(super) const fn round(&self) -> u8 {
        self.answer.round()
    }

    pub(super) const fn answer(&self) -> &salus_synth::Reply {
        &self.answer
    }
}

/// What a hospital has answered, by plan and question, in millionths of ρ.
///
/// A question is answered once: two answers to it have different noise, and their mean tells more
/// than either. A plan gets no more than it says it costs, whatever its questions ask for.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Account {
    version: u8,
    plans: BTreeMap<String, BTreeMap<u8, u64>>,
}

impl Account {
    pub(super) fn open(path: &Path) -> Result<Self, FilesError> {
        if !path.exists() {
            return Ok(Self { version: VERSION, plans: BTreeMap::new() });
        }
        let found: Self = read(path, "account")?;
        check_version(path, found.version)?;
        Ok(found)
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), FilesError> {
        write(path, "account", self)
    }

    /// Books a question; says what it costs.
    pub(super) fn charge(&mut self, question: &Question) -> Result<MicroRho, FilesError> {
        let (cost, round) = (question.ask.cost().rho, question.ask.round());
        let answered = self.plans.entry(question.plan.clone()).or_default();
        if answered.contains_key(&round) {
            return Err(FilesError::option(format!(
                "question {round} of plan {} was answered already: hand the same file out again. A \
                 second answer would tell more than was agreed",
                question.plan
            )));
        }
        let before: u64 = answered.values().fold(0, |sum, rho| sum.saturating_add(*rho));
        if before.saturating_add(cost.get()) > question.micro_rho {
            return Err(FilesError::option(format!(
                "question {round} of plan {} asks for more than is left of what the plan says it \
                 costs: {} of {} µρ",
                question.plan,
                cost.get(),
                question.micro_rho.saturating_sub(before)
            )));
        }
        answered.insert(round, cost.get());
        Ok(cost)
    }

    /// The loss of all plans together.
    pub(super) fn total(&self) -> MicroRho {
        let all = self.plans.values().flat_map(BTreeMap::values);
        MicroRho::new(all.fold(0, |sum, rho| sum.saturating_add(*rho)))
    }
}
