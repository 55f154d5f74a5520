//! What a steward finds out in the release studio: how recognisable the people of a dataset are,
//! which release is the best for a purpose, what a plan would make; and the release itself.
//!
//! ```text
//! wanted ──read as staff──▶ rows ──opted out, of nobody: gone──▶ table in memory ──salus_files::study──▶ found
//! plan + permit ──Operations::perform(Call::Release)──▶ released        the way of `salus release`
//! ```
//!
//! # Privacy
//! Rows are read in the site's role `steward` for operations: its policies decide, and each read is
//! on record under the account. They stay in memory, on the node, for as long as a study runs. What
//! is found is measured without noise and is for the steward alone; no value of a record is in it,
//! but for categories that the privacy profile publishes. Studies are forgotten with the process.

mod error;
mod outset;
mod read;
mod run;
mod told;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use salus_crypto::OsEntropy;
use salus_files::release::DatasetPlan;
use salus_files::study::{AdviseWanted, AssessWanted, Tried};
use salus_files::watch::Watch;
use salus_model::{Class, DatasetId, Entropy as _, MicroRho, PermitId, StaffId, Timestamp};
use serde::Serialize;

use crate::operations::Operations;

pub use self::error::StudyError;
pub use self::outset::{
    AccountFound, AccountLeft, KnownColumn, KnownDomain, Outset, PermitHeld, PublishedLine,
    ReviewLine,
};
pub use self::read::RowsRead;
pub use self::run::Finding;

/// The most rows that a study takes.
pub const MOST_ROWS: u64 = 1_000_000;
/// The most values that a study takes: rows times columns.
const MOST_VALUES: u64 = 20_000_000;
/// The longest search that a plan may ask for.
const MOST_SECONDS: f64 = 60.0;
/// The most attempts of each attack that a plan may ask for.
const MOST_ATTEMPTS: u32 = 50_000;
/// How many studies run at a time, of all accounts together.
const MOST_AT_ONCE: usize = 2;
/// How many studies of an account are kept.
const KEPT: usize = 16;

/// A study.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct StudyId(String);

impl StudyId {
    fn draw() -> Result<Self, StudyError> {
        let mut random = [0; 16];
        OsEntropy.fill(&mut random)?;
        Ok(Self(format!("study-{}", hex::encode(random))))
    }
}

impl fmt::Display for StudyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for StudyId {
    type Err = StudyError;

    fn from_str(text: &str) -> Result<Self, StudyError> {
        let random = text.strip_prefix("study-").and_then(|hex| hex::decode(hex).ok());
        match random {
            Some(random) if random.len() == 16 => Ok(Self(text.to_owned())),
            _ => Err(StudyError::Unknown),
        }
    }
}

/// What is wanted of a study.
#[derive(Debug, Clone)]
pub enum StudyWanted {
    /// How recognisable people are in the dataset as it is.
    Assess(AssessWanted),
    /// Which release is the best for a purpose.
    Advise(AdviseWanted),
    /// What a plan would make; its JSON has the fields of plan.toml.
    Rehearse(serde_json::Value),
    /// What it makes, under a permit.
    Release {
        /// The plan.
        plan: serde_json::Value,
        /// The permit.
        permit: PermitId,
    },
}

/// What a study is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StudyKind {
    /// The dataset as it is.
    Assess,
    /// Ways of releasing it.
    Advise,
    /// A plan, and nothing leaves.
    Rehearse,
    /// A plan, and what comes of it leaves.
    Release,
}

impl StudyWanted {
    const fn kind(&self) -> StudyKind {
        match self {
            Self::Assess(_) => StudyKind::Assess,
            Self::Advise(_) => StudyKind::Advise,
            Self::Rehearse(_) => StudyKind::Rehearse,
            Self::Release { .. } => StudyKind::Release,
        }
    }
}

/// The most that a plan can cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Most {
    /// So much, all attempts together.
    Bounded {
        /// In the account's unit.
        micro_rho: MicroRho,
        /// The same as ε at the account's δ.
        epsilon: f64,
    },
    /// It is bounded, and there is no account whose δ would say by what.
    NoAccount,
    /// It has no bound, and leaves through the release gate.
    NotBounded,
}

/// A plan that was understood.
#[derive(Debug, Clone)]
pub struct PlanRead {
    /// As `salus release` takes it.
    pub text: String,
    /// What it makes.
    pub makes: salus_files::release::Kind,
    /// The dataset to be made.
    pub dataset: String,
    /// The most that it can cost.
    pub most: Most,
}

/// A study that has begun.
#[derive(Debug, Clone)]
pub struct Begun {
    /// Which one.
    pub study: StudyId,
    /// What it is of.
    pub kind: StudyKind,
    /// Its plan, where it has one.
    pub plan: Option<PlanRead>,
}

/// How far a study is.
#[derive(Debug, Clone)]
pub enum State {
    /// It is being carried out.
    Running,
    /// It is done.
    Done(Arc<Finding>),
    /// Somebody stopped it.
    Stopped,
    /// It came to nothing.
    Failed {
        /// Why.
        words: String,
        /// Who has to act.
        class: Class,
    },
}

/// A study as its account sees it.
#[derive(Debug, Clone)]
pub struct StudySeen {
    /// Which one.
    pub study: StudyId,
    /// Of which dataset.
    pub dataset: DatasetId,
    /// What it is of.
    pub kind: StudyKind,
    /// What was asked.
    pub wanted: StudyWanted,
    /// How far it is.
    pub state: State,
    /// What is being done, or was done last.
    pub stage: String,
    /// When it began.
    pub begun: Timestamp,
    /// How long it has taken.
    pub seconds: f64,
    /// What was read; none before that, and for a release, which reads under its permit.
    pub rows: Option<RowsRead>,
    /// What was tried so far.
    pub tried: Vec<Tried>,
}

/// One study, as the node keeps it.
struct Study {
    id: StudyId,
    by: StaffId,
    dataset: DatasetId,
    kind: StudyKind,
    wanted: StudyWanted,
    begun: Timestamp,
    is_wanted: AtomicBool,
    progress: Mutex<Progress>,
}

struct Progress {
    stage: String,
    rows: Option<RowsRead>,
    tried: Vec<Tried>,
    state: State,
    ended: Option<Timestamp>,
}

impl Study {
    fn is_running(&self) -> bool {
        matches!(self.progress.lock().state, State::Running)
    }

    fn seen(&self, now: Timestamp) -> StudySeen {
        let progress = self.progress.lock();
        let micros = progress.ended.unwrap_or(now).as_micros() - self.begun.as_micros();
        StudySeen {
            study: self.id.clone(),
            dataset: self.dataset.clone(),
            kind: self.kind,
            wanted: self.wanted.clone(),
            state: progress.state.clone(),
            stage: progress.stage.clone(),
            begun: self.begun,
            seconds: micros.max(0) as f64 / 1e6,
            rows: progress.rows,
            tried: progress.tried.clone(),
        }
    }

    fn end(&self, state: State, now: Timestamp) {
        let mut progress = self.progress.lock();
        progress.state = state;
        progress.ended = Some(now);
    }
}

impl Watch for Study {
    fn stage(&self, words: &str) {
        words.clone_into(&mut self.progress.lock().stage);
    }

    fn tried(&self, tried: Tried) {
        self.progress.lock().tried.push(tried);
    }

    fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }
}

/// The studies of a node's accounts.
pub struct Studies {
    operations: Operations,
    /// In the order in which they began.
    known: Mutex<Vec<Arc<Study>>>,
}

impl Studies {
    /// None yet, on a site whose operations these are.
    #[must_use]
    pub fn new(operations: Operations) -> Self {
        Self { operations, known: Mutex::default() }
    }

    /// Begins a study of a dataset in the name of an account.
    ///
    /// # Errors
    /// When the account has one running, too many run, or what is wanted is refused before any row
    /// is read.
    pub async fn begin(
        &self,
        by: &StaffId,
        dataset: DatasetId,
        wanted: StudyWanted,
    ) -> Result<Begun, StudyError> {
        let kind = wanted.kind();
        let work = self.prepared(by, &dataset, wanted.clone()).await?;
        let study = Arc::new(Study {
            id: StudyId::draw()?,
            by: by.clone(),
            dataset,
            kind,
            wanted,
            begun: self.operations.site().clock.now(),
            is_wanted: AtomicBool::new(true),
            progress: Mutex::new(Progress {
                stage: "reading the records".to_owned(),
                rows: None,
                tried: Vec::new(),
                state: State::Running,
                ended: None,
            }),
        });
        self.admit(&study)?;
        let begun = Begun { study: study.id.clone(), kind, plan: work.plan().cloned() };
        let operations = self.operations.clone();
        tokio::spawn(async move {
            let clock = Arc::clone(&operations.site().clock);
            let done = tokio::spawn(work.carried_out(operations, Arc::clone(&study))).await;
            let state = match done.unwrap_or(Err(StudyError::Ended)) {
                Ok(finding) => State::Done(Arc::new(finding)),
                Err(StudyError::Files(salus_files::FilesError::Stopped)) => State::Stopped,
                Err(error) => error.into_state(),
            };
            study.end(state, clock.now());
        });
        Ok(begun)
    }

    /// Takes a study among those that are known, and forgets the oldest that has ended.
    fn admit(&self, study: &Arc<Study>) -> Result<(), StudyError> {
        let mut known = self.known.lock();
        let running = known.iter().filter(|s| s.is_running());
        let (own, others): (Vec<_>, Vec<_>) = running.partition(|s| s.by == study.by);
        if let Some(own) = own.first() {
            return Err(StudyError::Running { study: own.id.clone() });
        }
        if others.len() >= MOST_AT_ONCE {
            return Err(StudyError::Busy);
        }
        known.push(Arc::clone(study));
        if known.iter().filter(|s| s.by == study.by).count() > KEPT
            && let Some(oldest) = known.iter().position(|s| s.by == study.by && !s.is_running())
        {
            known.remove(oldest);
        }
        Ok(())
    }

    fn own(&self, by: &StaffId, study: &StudyId) -> Result<Arc<Study>, StudyError> {
        let known = self.known.lock();
        // Whether others have such a study is nobody's business.
        let found = known.iter().find(|s| s.id == *study && s.by == *by);
        found.cloned().ok_or(StudyError::Unknown)
    }

    /// A study of this account.
    ///
    /// # Errors
    /// When there is none: it never was, it is another account's, or it was forgotten.
    pub fn study(&self, by: &StaffId, study: &StudyId) -> Result<StudySeen, StudyError> {
        Ok(self.own(by, study)?.seen(self.operations.site().clock.now()))
    }

    /// Stops a study of this account: a search that it is in ends at once, anything else with the
    /// attempt that it belongs to. One that has ended stays as it is.
    ///
    /// # Errors
    /// When there is none, or it is a release, which goes on.
    pub fn stop(&self, by: &StaffId, study: &StudyId) -> Result<(), StudyError> {
        let study = self.own(by, study)?;
        if study.kind == StudyKind::Release {
            return Err(StudyError::Releasing);
        }
        study.is_wanted.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Stops all studies, for a node that stops. A release goes on as long as its process does: what
    /// of it is not charged by then was for nothing, and what is is taken up by the same release.
    pub fn stop_all(&self) {
        for study in self.known.lock().iter() {
            study.is_wanted.store(false, Ordering::Relaxed);
        }
    }

    /// The study that an account has running.
    #[must_use]
    pub fn running(&self, by: &StaffId) -> Option<StudyId> {
        let known = self.known.lock();
        known.iter().find(|s| s.by == *by && s.is_running()).map(|s| s.id.clone())
    }

    /// Understands a plan of a dataset; nothing is read or begun.
    ///
    /// # Errors
    /// When it cannot be understood, or names a file.
    pub async fn read_plan(
        &self,
        dataset: &DatasetId,
        plan: &serde_json::Value,
    ) -> Result<PlanRead, StudyError> {
        self.dataset(dataset).await?;
        let (_, read) = self.understood(dataset, plan).await?;
        Ok(read)
    }

    async fn understood(
        &self,
        dataset: &DatasetId,
        plan: &serde_json::Value,
    ) -> Result<(DatasetPlan, PlanRead), StudyError> {
        let text = salus_files::release::plan_text(plan)?;
        let plan = DatasetPlan::parse_alone(&text)?;
        let (seconds, attempts) = plan.effort();
        if seconds > MOST_SECONDS || attempts > MOST_ATTEMPTS {
            return Err(StudyError::TooLong);
        }
        let most = self.most(dataset, &plan).await?;
        let read = PlanRead { text, makes: plan.kind(), dataset: plan.dataset()?.to_owned(), most };
        Ok((plan, read))
    }
}

impl Drop for Studies {
    /// Whoever waits for studies that nobody can ask for any more waits for nothing.
    fn drop(&mut self) {
        self.stop_all();
    }
}
