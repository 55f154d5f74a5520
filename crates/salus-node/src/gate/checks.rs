//! What reviewers are told of what wants out.

use salus_files::output::OutputCheck;
use salus_files::{AttackLine, AttackResult};
use salus_ledger::review::ReviewScore;
use salus_model::Class;
use salus_private::JobFailed;
use serde::{Deserialize, Serialize};

/// What the automatic checks say of something without a bound, as it stands in the report.
///
/// # Privacy
/// Parameters, counts, scores and names of columns; never a record.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewChecks {
    /// What wants out: `dataset`, `table`, `model` or `plot`.
    pub of: String,
    /// Words and what they are, what matters most first.
    pub about: Vec<(String, String)>,
    /// Every check, those that nobody could make included.
    pub checks: Vec<OutputCheck>,
    /// What attacks achieved; none where there are no records to attack.
    pub attacks: Vec<AttackShown>,
    /// What to note.
    pub notes: Vec<String>,
    /// Why it should go out all the same, in the words of whoever submits it.
    pub reason: Option<String>,
    /// The plan that made it.
    pub plan: Option<String>,
    /// The certificate as everybody will see it, but for who approved, as a page.
    pub certificate: Option<String>,
    /// All that was measured.
    pub details: serde_json::Value,
}

impl ReviewChecks {
    /// Reads what stands in a report; none where another program wrote it.
    #[must_use]
    pub fn of_report(checks: &serde_json::Value) -> Option<Self> {
        serde_json::from_value(checks.clone()).ok()
    }
}

/// One attack, as reviewers read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttackShown {
    /// What people call it.
    pub attack: String,
    /// What it achieved.
    pub result: AttackOutcome,
}

/// What an attack achieved on people in the data, beside as many who are not.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttackOutcome {
    /// It ran.
    Ran {
        /// The share of people exposed by being in the data.
        risk: f64,
        /// Where that lies, jointly over all attacks at 95 %.
        interval: [f64; 2],
        /// Attempts on people in the data; as many were made on others.
        attempts: u64,
        /// Successful ones.
        successes: u64,
        /// Successful ones on others.
        control_successes: u64,
        /// Whether people are exposed beyond what chance explains.
        leak: bool,
    },
    /// It could not run.
    NotRun {
        /// Why not.
        why: String,
    },
}

impl From<&AttackLine> for AttackShown {
    fn from(line: &AttackLine) -> Self {
        let attack = match &line.secret {
            Some(secret) => format!("{} of {secret}", line.attack.name()),
            None => line.attack.name().to_owned(),
        };
        let result = match &line.result {
            AttackResult::Ran { risk, interval, attempts, successes, control_successes, leak } => {
                AttackOutcome::Ran {
                    risk: *risk,
                    interval: *interval,
                    attempts: *attempts,
                    successes: *successes,
                    control_successes: *control_successes,
                    leak: *leak,
                }
            }
            AttackResult::NotRun { not_run } => AttackOutcome::NotRun { why: not_run.clone() },
        };
        Self { attack, result }
    }
}

/// What comes out of a job beside its result.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobChecks {
    pub(crate) score: Option<ReviewScore>,
    pub(crate) checks: ReviewChecks,
}

impl JobChecks {
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, JobFailed> {
        serde_json::to_vec(self).map_err(|_| JobFailed {
            message: "the report for the reviewers cannot be written".to_owned(),
            class: Class::Bug,
        })
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}
