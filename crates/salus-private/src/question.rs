use std::collections::{BTreeMap, BTreeSet};

use salus_crypto::Digest;
use salus_dp::standing::StandingError;
use salus_dp::{Cost, ExpectedError, Mechanism, Plan, PlanError, Query, Spend, plan};
use salus_model::{Class, Classified, ColumnPath, DatasetId};
use serde::{Deserialize, Serialize};

use crate::joint::{Contribution, JointQuestion, JointRefused};
use crate::predicate::{Predicate, PredicateError};
use crate::profile::Profile;
use crate::standing::{Following, MOST_TICKS, MOST_TURNS, StandingQuestion};

/// The longest question, in bytes of its text.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// The version of a question's JSON form. A program that does not know it refuses the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub enum QuestionVersion {
    /// The form of this program.
    V1,
}

/// A version that this program does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the question is of version {found}, and this program knows version 1")]
pub struct UnknownVersion {
    found: u32,
}

impl TryFrom<u32> for QuestionVersion {
    type Error = UnknownVersion;

    fn try_from(version: u32) -> Result<Self, UnknownVersion> {
        match version {
            1 => Ok(Self::V1),
            found => Err(UnknownVersion { found }),
        }
    }
}

impl From<QuestionVersion> for u32 {
    fn from(version: QuestionVersion) -> Self {
        match version {
            QuestionVersion::V1 => 1,
        }
    }
}

/// A question as it is written, with the version of its form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    // Texts from before versions were told are of the first.
    #[serde(default = "first_version")]
    version: QuestionVersion,
    dataset: DatasetId,
    query: Query,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filter: Option<Predicate>,
    spend: Spend,
    mechanism: Mechanism,
}

const fn first_version() -> QuestionVersion {
    QuestionVersion::V1
}

impl From<Written> for Question {
    fn from(written: Written) -> Self {
        let Written { version: QuestionVersion::V1, dataset, query, filter, spend, mechanism } =
            written;
        Self { dataset, query, filter, spend, mechanism }
    }
}

impl From<Question> for Written {
    fn from(question: Question) -> Self {
        let Question { dataset, query, filter, spend, mechanism } = question;
        Self { version: QuestionVersion::V1, dataset, query, filter, spend, mechanism }
    }
}

/// What is asked of one dataset, as JSON; [`crate::sql`] says the same in SQL.
///
/// ```json
/// { "version": 1,
///   "dataset": "devices",
///   "query": { "grouped-count": { "keys": ["os_version"], "threshold_delta": null } },
///   "filter": { "compare": { "column": "battery", "is": "<", "value": 20 } },
///   "spend": { "rho": 1000 },
///   "mechanism": "gaussian" }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Question {
    /// Of which dataset.
    pub dataset: DatasetId,
    /// What is asked.
    pub query: Query,
    /// Which rows it is about; all when there is none.
    pub filter: Option<Predicate>,
    /// How much it may cost.
    pub spend: Spend,
    /// Which noise.
    pub mechanism: Mechanism,
}

/// Why a question cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    /// The text is no question.
    #[error("the question cannot be read: {reason}")]
    Text {
        /// What is wrong, with line and column.
        reason: String,
    },
    /// The text is too long.
    #[error("the question has {found} bytes; {MAX_TEXT_BYTES} are the most")]
    Long {
        /// How many.
        found: usize,
    },
    /// The filter does not fit the dataset.
    #[error(transparent)]
    Filter(#[from] PredicateError),
    /// The question costs a part of δ, which the account cannot book.
    #[error(
        "groups over an open column cost a part of δ, which the ledger's accounts do not book; \
         state the column's domain in the privacy profile"
    )]
    Threshold,
    /// The question does not fit the dataset or the spend.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// What is asked cannot be followed over time.
    #[error(
        "only a count of units with Gaussian noise is followed: count(*) where each unit has one \
         row, or count(DISTINCT) of the dataset's unit"
    )]
    NotFollowed,
    /// A standing question without an end, or for units that turn too often.
    #[error(
        "a standing question has 1 to {MOST_TICKS} answers, and makes noise for 1 to {MOST_TURNS} \
         turns of a unit"
    )]
    StandingTerms,
    /// The noise of a standing question cannot be made.
    #[error(transparent)]
    Standing(#[from] StandingError),
    /// The invitation to answer jointly is not accepted.
    #[error(transparent)]
    Joint(#[from] JointRefused),
}

impl Classified for QuestionError {
    fn class(&self) -> Class {
        match self {
            Self::Plan(e) => e.class(),
            Self::Joint(e) => e.class(),
            Self::Standing(e) => e.class(),
            _ => Class::BadRequest,
        }
    }
}

impl Question {
    /// Reads a question.
    ///
    /// # Errors
    /// Names line and column of what is wrong.
    pub fn parse(text: &str) -> Result<Self, QuestionError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(QuestionError::Long { found: text.len() });
        }
        serde_json::from_str(text).map_err(|e| QuestionError::Text { reason: e.to_string() })
    }

    /// What a person signs who asks the question with exactly this text.
    #[must_use]
    pub fn digest(text: &str) -> Digest {
        Digest::of_parts("salus private question v1", &[text.as_bytes()])
    }

    /// What the question is over a profile: cost, noise and shape, without its filter.
    ///
    /// # Errors
    /// When the question does not fit what is publicly known of the dataset.
    pub fn plan(&self, profile: &Profile) -> Result<Plan, QuestionError> {
        Ok(plan(&self.query, &profile.schema, self.spend, self.mechanism)?)
    }

    /// Fixes columns, cost and noise, before any key is touched.
    ///
    /// # Errors
    /// When the question does not fit what is publicly known of the dataset.
    pub fn prepare(self, profile: &Profile) -> Result<Prepared, QuestionError> {
        if let Some(filter) = &self.filter {
            filter.check(profile)?;
        }
        let plan = self.plan(profile)?;
        if plan.cost().threshold_delta.is_some() {
            return Err(QuestionError::Threshold);
        }
        Ok(Prepared {
            joint: None,
            standing: None,
            dataset: self.dataset,
            filter: self.filter,
            unit_column: profile.unit_column.clone(),
            rows_per_unit: profile.schema.rows_per_unit,
            kinds: plan
                .columns()
                .iter()
                .filter_map(|column| profile.schema.columns.get(column).cloned())
                .collect(),
            plan,
        })
    }
}

/// What a text asks: a question of one holder, or one that several answer jointly.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// Of one holder.
    Alone(Question),
    /// Of several together.
    Joint(Box<JointQuestion>),
    /// Of one holder, again and again.
    Standing(Box<StandingQuestion>),
}

/// What stands in a joint or in a standing question's text and in no other.
#[derive(Default, Deserialize)]
struct Marked {
    joint: Option<serde::de::IgnoredAny>,
    standing: Option<serde::de::IgnoredAny>,
}

impl Asked {
    /// Reads what is asked.
    ///
    /// # Errors
    /// Names line and column of what is wrong.
    pub fn parse(text: &str) -> Result<Self, QuestionError> {
        let short = text.len() <= MAX_TEXT_BYTES;
        let marked: Marked =
            if short { serde_json::from_str(text).unwrap_or_default() } else { Marked::default() };
        let unread = |e: serde_json::Error| QuestionError::Text { reason: e.to_string() };
        if marked.standing.is_some() {
            return serde_json::from_str(text).map(Self::Standing).map_err(unread);
        }
        if marked.joint.is_none() {
            return Question::parse(text).map(Self::Alone);
        }
        let joint: JointQuestion = serde_json::from_str(text).map_err(unread)?;
        if joint.joint.question != Question::digest(&joint.question) {
            return Err(JointRefused::OtherQuestion.into());
        }
        Ok(Self::Joint(Box::new(joint)))
    }
}

impl Asked {
    /// Which dataset is asked about.
    ///
    /// # Errors
    /// When the question inside is none.
    pub fn about(&self) -> Result<DatasetId, QuestionError> {
        Ok(match self {
            Self::Alone(question) => question.dataset.clone(),
            Self::Joint(joint) => joint.inner()?.dataset,
            Self::Standing(standing) => standing.inner()?.dataset,
        })
    }
}

impl JointQuestion {
    /// The question itself, apart from who answers it.
    ///
    /// # Errors
    /// Names line and column of what is wrong.
    pub fn inner(&self) -> Result<Question, QuestionError> {
        Question::parse(&self.question)
    }
}

/// A question that is ready to be computed, once.
#[derive(Debug)]
pub struct Prepared {
    /// How its numbers leave when several holders answer together; noised alone otherwise.
    pub(crate) joint: Option<Contribution>,
    /// How it is followed, if it is.
    pub(crate) standing: Option<Following>,
    pub(crate) dataset: DatasetId,
    pub(crate) filter: Option<Predicate>,
    pub(crate) unit_column: ColumnPath,
    pub(crate) rows_per_unit: salus_dp::RowsPerUnit,
    pub(crate) kinds: Vec<salus_dp::Column>,
    pub(crate) plan: Plan,
}

impl Prepared {
    /// The same question, whose numbers leave as shares that only all parties together can add up.
    pub(crate) fn jointly(self, contribution: Contribution) -> Self {
        Self { joint: Some(contribution), ..self }
    }

    /// The same question, followed over time.
    pub(crate) fn followed(self, following: Following) -> Self {
        Self { standing: Some(following), ..self }
    }

    /// What the answer will be charged; of a standing question, all of its answers together.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.plan.cost()
    }

    /// The error to expect, if `assumed_rows` rows pass the filter.
    #[must_use]
    pub fn expected_error(&self, assumed_rows: u64) -> ExpectedError {
        match &self.standing {
            Some(following) => following.expected_error(),
            None => self.plan.expected_error(assumed_rows),
        }
    }

    /// The dataset.
    #[must_use]
    pub const fn dataset(&self) -> &DatasetId {
        &self.dataset
    }

    /// The columns that the answer reads; a permit has to cover each.
    #[must_use]
    pub fn wanted(&self) -> BTreeMap<DatasetId, BTreeSet<ColumnPath>> {
        let mut columns: BTreeSet<ColumnPath> = self.plan.columns().iter().cloned().collect();
        columns.insert(self.unit_column.clone());
        if let Some(filter) = &self.filter {
            filter.name_columns(&mut columns);
        }
        BTreeMap::from([(self.dataset.clone(), columns)])
    }
}
