use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use salus_ledger::block::{Equivocation, HistoryEntry};
use salus_ledger::order::{Acknowledgement, ReplicaError};
use salus_ledger::{BlockHash, Height, LedgerId, PublicKey, TxId};
use salus_model::{Class, Classified, Timestamp};
use serde::{Deserialize, Serialize};

use crate::driver::SubmitError;
use crate::order::EngineFault;

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome", content = "rule")]
pub enum Outcome {
    /// It took effect.
    Applied,
    /// It broke this rule, and changed nothing.
    Refused(String),
}

impl From<&salus_ledger::block::Outcome> for Outcome {
    fn from(outcome: &salus_ledger::block::Outcome) -> Self {
        match outcome {
            salus_ledger::block::Outcome::Applied => Self::Applied,
            salus_ledger::block::Outcome::Refused(rule) => Self::Refused(rule.as_str().to_owned()),
        }
    }
}

/// A transaction that is recorded durably and for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The transaction.
    pub transaction: TxId,
    /// The block.
    pub height: Height,
    /// Its place in the history.
    pub history_index: u64,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl From<&Acknowledgement> for Accepted {
    fn from(acknowledgement: &Acknowledgement) -> Self {
        Self {
            transaction: acknowledgement.transaction,
            height: acknowledgement.height,
            history_index: acknowledgement.history_index,
            outcome: Outcome::from(&acknowledgement.outcome),
        }
    }
}

/// How a validator is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusAnswer {
    /// The ledger.
    pub ledger: LedgerId,
    /// The last committed block.
    pub height: Height,
    /// Its hash.
    pub block: BlockHash,
    /// Its time.
    pub time: Timestamp,
    /// How many transactions the history has.
    pub transactions: u64,
    /// How many transactions wait here.
    pub waiting: usize,
    /// Whether a write failed, so that nothing is committed here any more.
    pub frozen: bool,
    /// Whose votes make the next block final.
    pub validators: Vec<PublicKey>,
    /// What somebody has to see to.
    pub warnings: Vec<String>,
}

/// What this validator can prove against others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Misbehaviour {
    /// Votes of one validator for two blocks of one height.
    pub votes: Vec<Equivocation>,
    /// Messages to the consensus engine that contradict each other.
    pub consensus: Vec<EngineFault>,
}

/// A block as explorers list it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockLine {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub block: BlockHash,
    /// Its time.
    pub time: Timestamp,
    /// What became of its transactions.
    pub transactions: Vec<TransactionLine>,
}

/// A transaction as explorers list it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionLine {
    /// The transaction.
    pub transaction: TxId,
    /// What it asked for, such as `permits.grant`.
    pub method: String,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl From<&HistoryEntry> for TransactionLine {
    fn from(entry: &HistoryEntry) -> Self {
        Self {
            transaction: entry.transaction,
            method: entry.method.as_str().to_owned(),
            outcome: Outcome::from(&entry.outcome),
        }
    }
}

/// An answer that tells what was wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What was wrong and what to do, sentence by sentence.
    pub problem: String,
    /// The rule of the ledger that a transaction would break.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// A failed request.
#[derive(Debug)]
pub(crate) struct Failure(StatusCode, String, Option<&'static str>);

impl Failure {
    pub(crate) fn not_found(what: &str) -> Self {
        Self(StatusCode::NOT_FOUND, format!("{what} is not on this ledger, or not yet"), None)
    }

    /// A transaction that is not taken; names the rule that it would break.
    pub(crate) fn not_taken(error: SubmitError) -> Self {
        match &error {
            SubmitError::Refused(ReplicaError::Refused(refusal)) => {
                Self(status(error.class()), refusal.to_string(), Some(refusal.rule()))
            }
            _ => error.into(),
        }
    }

    pub(crate) fn bad_request(text: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, text.into(), None)
    }

    pub(crate) fn conflict(text: impl Into<String>) -> Self {
        Self(StatusCode::CONFLICT, text.into(), None)
    }

    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self(status, text.into(), None)
    }

    pub(crate) fn forbidden() -> Self {
        Self(
            StatusCode::FORBIDDEN,
            "the certificate of this connection does not count on the ledger any more".into(),
            None,
        )
    }
}

fn status(class: Class) -> StatusCode {
    match class {
        Class::BadRequest => StatusCode::BAD_REQUEST,
        Class::Refused => StatusCode::CONFLICT,
        Class::Peer => StatusCode::BAD_GATEWAY,
        Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Class::Corrupt | Class::Bug => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl<E: Classified + std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(next) = cause {
            let more = next.to_string();
            if !text.ends_with(&more) {
                text = format!("{text}: {more}");
            }
            cause = next.source();
        }
        Self(status(error.class()), text, None)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let rule = self.2.map(str::to_owned);
        (self.0, Json(Problem { problem: self.1, rule })).into_response()
    }
}
