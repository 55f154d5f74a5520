//! Answers of several holders, each noised and charged by itself, put together (independent mode).

use std::collections::BTreeMap;

use salus_dp::{Answer, CombineError, Noised, NoisedParts, Plan};
use salus_model::{Class, Classified, HolderId};
use serde::{Deserialize, Serialize};

/// Why a holder's numbers are not in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissingReason {
    /// It was not reached, or did not answer in time.
    Unreachable,
    /// It refused: its permit, its budget or its policy does not cover the question.
    Refused,
    /// It failed while it worked.
    Failed,
    /// It answered another question, or over another schema.
    OtherQuestion,
}

/// What a holder gave.
#[derive(Debug, Clone, PartialEq)]
pub enum HolderOutcome {
    /// The released numbers of its answer.
    Answered(NoisedParts),
    /// Nothing.
    Missing(MissingReason),
}

/// A holder that is not in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MissingHolder {
    /// Which.
    pub holder: HolderId,
    /// Why.
    pub reason: MissingReason,
}

/// An answer over several holders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CombinedAnswer {
    /// The answer over those that are in it: sums of their numbers, and ratios of those sums, with
    /// intervals for the noise of all of them.
    pub answer: Answer,
    /// Whose numbers are in it.
    pub holders: Vec<HolderId>,
    /// Whose are not, and why.
    pub missing: Vec<MissingHolder>,
}

/// Why there is no answer over several holders.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeveralError {
    /// Fewer than were asked for.
    #[error("{answered} holders answered, and {wanted} are the fewest that were asked for")]
    TooFew {
        /// How many answered.
        answered: usize,
        /// How many are the fewest.
        wanted: usize,
    },
    /// Answers do not combine, which is a bug after each was adopted.
    #[error(transparent)]
    Combine(#[from] CombineError),
}

impl Classified for SeveralError {
    fn class(&self) -> Class {
        match self {
            Self::TooFew { .. } => Class::Unavailable,
            Self::Combine(e) => e.class(),
        }
    }
}

/// Puts together what several holders gave to `plan`'s question.
///
/// A holder whose numbers do not fit the question is named among the missing, and does not spoil
/// the rest.
///
/// # Privacy
/// Works on released numbers alone, and costs nothing. Each holder's account was charged by itself;
/// a person whom several of them know is protected by each with its own charge, which add up.
///
/// # Errors
/// When fewer than `fewest` holders (at least one) answered.
pub fn combine(
    plan: &Plan,
    outcomes: BTreeMap<HolderId, HolderOutcome>,
    fewest: usize,
) -> Result<CombinedAnswer, SeveralError> {
    let mut numbers: Vec<Noised> = Vec::new();
    let (mut holders, mut missing) = (Vec::new(), Vec::new());
    for (holder, outcome) in outcomes {
        let adopted = match outcome {
            HolderOutcome::Missing(reason) => Err(reason),
            HolderOutcome::Answered(parts) => {
                plan.adopt(parts).map_err(|_| MissingReason::OtherQuestion)
            }
        };
        match adopted {
            Ok(noised) => {
                numbers.push(noised);
                holders.push(holder);
            }
            Err(reason) => missing.push(MissingHolder { holder, reason }),
        }
    }
    let (answered, wanted) = (holders.len(), fewest.max(1));
    if answered < wanted {
        return Err(SeveralError::TooFew { answered, wanted });
    }
    let answer = Noised::combine(numbers)?.answer();
    Ok(CombinedAnswer { answer, holders, missing })
}
