//! Studies, as the studio shows them.

use axum::http::StatusCode;
use axum::response::Response;
use salus_files::release::Kind;
use salus_files::study::{Advice, AdviseWanted, AssessWanted};
use salus_model::{DatasetId, MicroRho, PermitId, Timestamp};
use salus_node::releasing::ReleaseDone;
use salus_node::study::{
    Begun, Finding, Most, PlanRead, RowsRead, State, StudyId, StudyKind, StudySeen, StudyWanted,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::asked::{Plan, PurposeSent};
use super::report::{AssessedShown, ReportShown, TriedShown};
use crate::console::guard::{problem, word};

/// The same under another type, which names the fields that are told.
fn told<T: DeserializeOwned>(of: &impl Serialize) -> Result<T, Response> {
    serde_json::to_value(of).and_then(serde_json::from_value).map_err(|error| {
        tracing::error!(%error, "what was measured cannot be told");
        let text = "the node measured something else than the studio knows; its operator has the \
                    reason in the log";
        problem(StatusCode::INTERNAL_SERVER_ERROR, "bug", None, text)
    })
}

/// The most that a plan can cost.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[schemars(rename = "ReleaseCost")]
struct CostShown {
    /// At the account's δ, all attempts together.
    epsilon: f64,
    #[schemars(with = "u64")]
    micro_rho: MicroRho,
}

/// A plan that was understood.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReleasePlanRead")]
pub(crate) struct PlanShown {
    /// As `salus release` takes it.
    plan_toml: String,
    /// `synthetic` or `anonymised`.
    #[schemars(with = "String")]
    makes: Kind,
    /// The dataset to be made.
    dataset: String,
    /// The most that it can cost; none without a bound, or without an account whose δ tells.
    most: Option<CostShown>,
    /// Whether it has a bound; otherwise it leaves through the release gate.
    bounded: bool,
}

impl From<PlanRead> for PlanShown {
    fn from(plan: PlanRead) -> Self {
        let PlanRead { text, makes, dataset, most } = plan;
        let (most, bounded) = match most {
            Most::Bounded { micro_rho, epsilon } => (Some(CostShown { epsilon, micro_rho }), true),
            Most::NoAccount => (None, true),
            Most::NotBounded => (None, false),
        };
        Self { plan_toml: text, makes, dataset, most, bounded }
    }
}

/// A study that has begun.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StudyBegun")]
pub(crate) struct BegunShown {
    #[schemars(with = "String")]
    study: StudyId,
    /// `assess`, `advise`, `rehearse` or `release`.
    #[schemars(with = "String")]
    kind: StudyKind,
    plan_toml: Option<String>,
    /// The most that the plan can cost; none without a plan, a bound or an account.
    most: Option<CostShown>,
    /// Whether the plan has a bound; none without a plan.
    bounded: Option<bool>,
}

impl From<Begun> for BegunShown {
    fn from(begun: Begun) -> Self {
        let Begun { study, kind, plan } = begun;
        let plan = plan.map(PlanShown::from);
        Self {
            study,
            kind,
            most: plan.as_ref().and_then(|plan| plan.most),
            bounded: plan.as_ref().map(|plan| plan.bounded),
            plan_toml: plan.map(|plan| plan.plan_toml),
        }
    }
}

/// A study: how far it is, and what it found.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Study")]
pub(crate) struct StudyShown {
    #[schemars(with = "String")]
    study: StudyId,
    #[schemars(with = "String")]
    dataset: DatasetId,
    /// `assess`, `advise`, `rehearse` or `release`.
    #[schemars(with = "String")]
    kind: StudyKind,
    /// What was asked, as it was sent.
    asked: AskedShown,
    /// `running`, `done`, `stopped` or `failed`.
    state: &'static str,
    /// What is being done, or was done last.
    stage: String,
    #[schemars(with = "String")]
    begun: Timestamp,
    seconds: f64,
    /// None before they are read, and for a release, which reads under its permit.
    rows: Option<RowsShown>,
    /// What was tried so far.
    tried: Vec<TriedShown>,
    assessed: Option<AssessedShown>,
    advised: Option<AdvisedShown>,
    rehearsed: Option<RehearsedShown>,
    released: Option<ReleasedShown>,
    /// Why it came to nothing, when it did.
    problem: Option<ProblemShown>,
}

/// What a study is to find out, as it was asked.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "StudyAsked")]
enum AskedShown {
    /// How recognisable people are in the dataset as it is.
    Assess {
        quasi_identifiers: Option<Vec<String>>,
        population_size: Option<u64>,
        least_score: f64,
    },
    /// Which release is the best for a purpose.
    Advise {
        purpose: PurposeSent,
        quasi_identifiers: Vec<String>,
        sensitive: Vec<String>,
        unchanged: Vec<String>,
        least_score: f64,
    },
    /// What a plan would make.
    Rehearse { plan: Box<Plan> },
    /// What it makes, under a permit.
    Release {
        plan: Box<Plan>,
        #[schemars(with = "String")]
        permit: PermitId,
    },
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StudyRows")]
struct RowsShown {
    read: u64,
    opted_out: u64,
    /// Without a value in the column that says whose they are.
    of_nobody: u64,
    studied: u64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StudyProblem")]
struct ProblemShown {
    error: String,
    /// Who has to act: `bad-request`, `refused`, `unavailable`, `peer`, `corrupt` or `bug`.
    class: &'static str,
}

/// Which release is recommended, and why.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Advised")]
struct AdvisedShown {
    purpose: PurposeSent,
    least_score: f64,
    /// The best score that any release of so many people can be shown to have.
    attainable: f64,
    /// Among how many ways each try was judged (Bonferroni).
    looks: u32,
    /// The number of the best try that passes.
    recommended: Option<u32>,
    /// Why, a sentence each.
    why: Vec<String>,
    plan: Option<Plan>,
    plan_toml: Option<String>,
}

/// What a plan would make.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Rehearsed")]
struct RehearsedShown {
    /// Whether it would be published.
    passes: bool,
    /// Why not.
    words: Option<String>,
    report: ReportShown,
}

/// What became of a release.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReleaseDone")]
struct ReleasedShown {
    outcome: OutcomeShown,
    #[schemars(with = "String")]
    permit: PermitId,
    /// What was charged this time.
    charged: Option<CostShown>,
}

/// What came of a release; read from what the operation says, so that nothing else is handed on.
#[derive(Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "ReleaseOutcome")]
enum OutcomeShown {
    /// It is published.
    Published {
        /// As everybody sees it.
        published: Box<PublishedShown>,
        /// What was measured; none when an earlier command showed it.
        report: Option<Box<ReportShown>>,
    },
    /// Nothing is published.
    Withheld {
        /// Why.
        words: String,
    },
    /// It has no bound, and reviewers decide on it.
    UnderReview(Box<UnderReviewShown>),
}

/// A release that is before its reviewers. Their report, which may tell small counts, stays on the
/// node: `salus gate report` writes it.
#[derive(Serialize, serde::Deserialize, JsonSchema)]
#[schemars(rename = "UnderReview")]
struct UnderReviewShown {
    review: String,
    /// The dataset to be made.
    name: String,
    /// `waiting` or `refused`.
    state: String,
    /// `now` by this release, or `earlier`.
    submission: String,
    /// Approvals that count.
    approvals: usize,
    /// How many it takes.
    needed: u8,
    /// What the automatic checks gave, 0 to 100.
    score: Option<u8>,
}

/// A table that was released, as everybody sees it.
#[derive(Serialize, serde::Deserialize, JsonSchema)]
#[schemars(rename = "Published")]
struct PublishedShown {
    dataset: String,
    source: String,
    /// `synthetic` or `anonymised`.
    kind: String,
    purpose: String,
    columns: Vec<PublishedColumnShown>,
    records: u64,
    /// None where it has no bound.
    epsilon: Option<f64>,
    micro_rho: Option<u64>,
    permit: String,
    receipt: String,
    made: String,
    /// SHA-256 of the CSV.
    sha256: String,
    /// On the ledger, once it stands there.
    artefact: Option<String>,
    /// In the site's lake, once it is there.
    version: Option<u64>,
}

#[derive(Serialize, serde::Deserialize, JsonSchema)]
#[schemars(rename = "PublishedColumn")]
struct PublishedColumnShown {
    name: String,
    holds: String,
}

impl AskedShown {
    fn of(wanted: StudyWanted) -> Result<Self, Response> {
        Ok(match wanted {
            StudyWanted::Assess(wanted) => {
                let AssessWanted { quasi_identifiers, population_size, least_score } = wanted;
                Self::Assess { quasi_identifiers, population_size, least_score }
            }
            StudyWanted::Advise(wanted) => {
                let AdviseWanted { purpose, quasi_identifiers, sensitive, unchanged, least_score } =
                    wanted;
                let purpose = purpose.into();
                Self::Advise { purpose, quasi_identifiers, sensitive, unchanged, least_score }
            }
            StudyWanted::Rehearse(plan) => Self::Rehearse { plan: told(&plan)? },
            StudyWanted::Release { plan, permit } => Self::Release { plan: told(&plan)?, permit },
        })
    }
}

impl AdvisedShown {
    fn of(advice: &Advice) -> Result<Self, Response> {
        Ok(Self {
            purpose: advice.purpose.clone().into(),
            least_score: advice.least_score,
            attainable: advice.attainable,
            looks: advice.looks,
            recommended: advice.recommended,
            why: advice.why.clone(),
            plan: advice.plan.as_ref().map(told).transpose()?,
            plan_toml: advice.plan_toml.clone(),
        })
    }
}

impl ReleasedShown {
    fn of(done: &ReleaseDone) -> Result<Self, Response> {
        let charged = done.charged;
        let charged = charged.map(|c| CostShown { epsilon: c.epsilon, micro_rho: c.micro_rho });
        Ok(Self { outcome: told(&done.outcome)?, permit: done.permit.clone(), charged })
    }
}

impl From<RowsRead> for RowsShown {
    fn from(rows: RowsRead) -> Self {
        let RowsRead { read, opted_out, of_nobody, studied } = rows;
        Self { read, opted_out, of_nobody, studied }
    }
}

impl StudyShown {
    pub(super) fn of(seen: StudySeen) -> Result<Self, Response> {
        let (state, problem) = match &seen.state {
            State::Running => ("running", None),
            State::Done(_) => ("done", None),
            State::Stopped => {
                let error = "it was stopped before it was done".to_owned();
                ("stopped", Some(ProblemShown { error, class: "refused" }))
            }
            State::Failed { words, class } => {
                ("failed", Some(ProblemShown { error: words.clone(), class: word(*class) }))
            }
        };
        let mut shown = Self {
            study: seen.study,
            dataset: seen.dataset,
            kind: seen.kind,
            asked: AskedShown::of(seen.wanted)?,
            state,
            stage: seen.stage,
            begun: seen.begun,
            seconds: seen.seconds,
            rows: seen.rows.map(RowsShown::from),
            tried: seen.tried.iter().map(told).collect::<Result<_, _>>()?,
            assessed: None,
            advised: None,
            rehearsed: None,
            released: None,
            problem,
        };
        let State::Done(found) = &seen.state else { return Ok(shown) };
        match &**found {
            Finding::Assessed(found) => shown.assessed = Some(told(found)?),
            Finding::Advised(advice) => shown.advised = Some(AdvisedShown::of(advice)?),
            Finding::Rehearsed { withheld, report } => {
                let report = told(report)?;
                let (passes, words) = (withheld.is_none(), withheld.clone());
                shown.rehearsed = Some(RehearsedShown { passes, words, report });
            }
            Finding::Released(done) => shown.released = Some(ReleasedShown::of(done)?),
        }
        Ok(shown)
    }
}

#[cfg(test)]
mod tests;
