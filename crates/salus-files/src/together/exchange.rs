//! The files that pass between coordinator and hospitals, and a hospital's own account.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use salus_crypto::Digest;
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

    /// The digest of what is asked: attributes, sets of them, values taken together, and which are
    /// dates. Neither the plan's number nor ρ nor names are in it.
    pub(super) fn asks(&self, path: &Path) -> Result<Digest, FilesError> {
        let asked = (self.ask.asked(), self.dates.keys().collect::<Vec<_>>());
        let bytes = serde_json::to_vec(&asked).map_err(|source| FilesError::Exchange {
            path: path.to_owned(),
            what: "question",
            source,
        })?;
        Ok(Digest::of_parts("salus-synthesise-together-question-1", &[&bytes]))
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
/// # Privacy
/// Who coordinates writes the plans, and can number them anew as often as they like. So the ceiling
/// is over all plans, and what was asked is told by its content: the same question has the same
/// answer, for the mean of two answers with their own noise tells more than either. A plan gets no
/// more than it says it costs, whatever its questions ask for.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Account {
    version: u8,
    /// The most that all plans together may tell of a patient; none in accounts that were begun
    /// before there was one.
    #[serde(default)]
    budget_micro_rho: Option<u64>,
    plans: BTreeMap<String, BTreeMap<u8, u64>>,
    /// What was handed out, by the digest of what was asked.
    #[serde(default)]
    answers: BTreeMap<Digest, Given>,
}

/// An answer that was handed out.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Given {
    /// For how many records of a person its noise is made.
    pub(super) records_per_person: u32,
    pub(super) answer: salus_synth::Reply,
}

/// An exclusive hold on an account: between reading and writing it nobody else reads it.
///
/// The lock is on a file beside it, for the account itself is replaced whole when it is written.
pub(super) struct Held {
    file: File,
}

impl Drop for Held {
    fn drop(&mut self) {
        // The system lets go of it when the file is closed, whatever comes of this.
        self.file.unlock().ok();
    }
}

impl Held {
    /// Waits until nobody else has the account.
    pub(super) fn wait(account: &Path) -> Result<Self, FilesError> {
        let mut name = account.as_os_str().to_owned();
        name.push(".lock");
        let path = Path::new(&name);
        let failed = || FilesError::file(path, "the account's lock cannot be taken");
        let file =
            File::options().create(true).truncate(false).write(true).open(path).map_err(failed())?;
        file.lock().map_err(failed())?;
        Ok(Self { file })
    }
}

impl Account {
    pub(super) fn open(path: &Path) -> Result<Self, FilesError> {
        if !path.exists() {
            return Ok(Self {
                version: VERSION,
                budget_micro_rho: None,
                plans: BTreeMap::new(),
                answers: BTreeMap::new(),
            });
        }
        let found: Self = read(path, "account")?;
        check_version(path, found.version)?;
        Ok(found)
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), FilesError> {
        write(path, "account", self)
    }

    /// Sets the ceiling: to what is stated, else it stays; an account without one gets the usual.
    pub(super) fn allow(&mut self, stated: Option<MicroRho>, usual: MicroRho) {
        let known = self.budget_micro_rho.map(MicroRho::new);
        self.budget_micro_rho = Some(stated.or(known).unwrap_or(usual).get());
    }

    /// The most that all plans together may tell of a patient.
    pub(super) fn budget(&self) -> MicroRho {
        MicroRho::new(self.budget_micro_rho.unwrap_or(0))
    }

    /// What was handed out to the same question.
    pub(super) fn given(&self, asked: &Digest) -> Option<&Given> {
        self.answers.get(asked)
    }

    /// Keeps what is to be handed out.
    pub(super) fn keep(&mut self, asked: Digest, given: Given) {
        self.answers.insert(asked, given);
    }

    /// Books a question that was not answered yet, and shows losses at `shown_at`.
    pub(super) fn charge(
        &mut self,
        question: &Question,
        shown_at: Delta,
    ) -> Result<MicroRho, FilesError> {
        let (cost, round) = (question.ask.cost().rho, question.ask.round());
        let answered = self.plans.get(&question.plan);
        if answered.is_some_and(|rounds| rounds.contains_key(&round)) {
            return Err(FilesError::option(format!(
                "question {round} of plan {} was answered already, and this is another one: a \
                 second answer would tell more than was agreed",
                question.plan
            )));
        }
        let own = answered.into_iter().flat_map(BTreeMap::values);
        let before: u64 = own.fold(0, |sum, rho| sum.saturating_add(*rho));
        if before.saturating_add(cost.get()) > question.micro_rho {
            return Err(FilesError::option(format!(
                "question {round} of plan {} asks for more than is left of what the plan says it \
                 costs: {} of {} µρ",
                question.plan,
                cost.get(),
                question.micro_rho.saturating_sub(before)
            )));
        }
        let after = self.total().get().saturating_add(cost.get());
        if after > self.budget().get() {
            return Err(FilesError::option(format!(
                "all plans together would tell ε = {:.4} of each patient, and the account's budget \
                 is ε = {:.4}, at δ = {:e}: nothing was answered. Whoever answers for the patients \
                 may allow more with --budget",
                super::shown(MicroRho::new(after), shown_at),
                super::shown(self.budget(), shown_at),
                shown_at.probability()
            )));
        }
        self.plans.entry(question.plan.clone()).or_default().insert(round, cost.get());
        Ok(cost)
    }

    /// The loss of all plans together.
    pub(super) fn total(&self) -> MicroRho {
        let all = self.plans.values().flat_map(BTreeMap::values);
        MicroRho::new(all.fold(0, |sum, rho| sum.saturating_add(*rho)))
    }
}
