//! What a steward asks of the studio.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use salus_files::study::{AdviseWanted, AssessWanted, Purpose};
use salus_model::PermitId;
use salus_node::study::StudyWanted;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::console::guard::problem;

/// The score that is asked for where nobody says another.
const fn usual_score() -> f64 {
    80.0
}

/// What a study is to find out.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "StudyWanted")]
pub(crate) enum StudySent {
    /// How recognisable people are in the dataset as it is.
    Assess(AssessSent),
    /// Which release is the best for a purpose.
    Advise(AdviseSent),
    /// What a plan would make.
    Rehearse(PlanSent),
    /// What it makes, under a permit.
    Release(ReleaseSent),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AssessWanted")]
pub(crate) struct AssessSent {
    /// Columns that others may know; those that their roles suggest if none is named.
    #[serde(default)]
    quasi_identifiers: Option<Vec<String>>,
    /// How many people the dataset is a sample of.
    #[serde(default)]
    population_size: Option<u64>,
    /// The score below which the next step is proposed; 80 if none is said.
    #[serde(default = "usual_score")]
    least_score: f64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AdviseWanted")]
pub(crate) struct AdviseSent {
    /// What the release is for.
    purpose: PurposeSent,
    /// Columns that others may know; they are coarsened.
    quasi_identifiers: Vec<String>,
    /// Columns that nobody should learn of a person.
    #[serde(default)]
    sensitive: Vec<String>,
    /// Columns that are published as they are, beside those.
    #[serde(default)]
    unchanged: Vec<String>,
    /// The score that a release needs.
    least_score: f64,
}

/// What a release is for.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "ReleasePurpose")]
pub(crate) enum PurposeSent {
    /// Figures about people.
    Statistics,
    /// A model that predicts a column from the others.
    Train {
        /// The column.
        target: String,
    },
}

/// A plan.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PlanWanted")]
pub(crate) struct PlanSent {
    pub(super) plan: Plan,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReleaseWanted")]
pub(crate) struct ReleaseSent {
    plan: Plan,
    /// The permit under which it is released.
    #[schemars(with = "String")]
    permit: PermitId,
}

/// A plan of a release, with the fields of plan.toml of a site's dataset.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "ReleasePlan")]
pub(crate) struct Plan {
    /// What the release is for, in words; stands in the certificate.
    purpose: String,
    /// The columns that are read; those of the permit if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    volume: Option<VolumePlan>,
    /// Options of `salus anonymise` under their own names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    anonymise: Option<Options>,
    /// Options of `salus synthesise` under their own names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    synthesise: Option<Options>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    augment: Option<AugmentPlan>,
    /// Options of `salus unbias` under their own names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unbias: Option<Options>,
    publish: PublishPlan,
}

type Options = BTreeMap<String, serde_json::Value>;

/// When a release is large and varied enough.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct VolumePlan {
    /// The column that is to be predicted.
    target: String,
    /// Enough when twice as many records gain less than this in balanced accuracy.
    gain: f64,
    /// Records that each class needs.
    least_per_class: u64,
}

/// How many records there are to be.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct AugmentPlan {
    /// Records in all.
    to: u32,
    /// How the published records are modelled: `mst`, `aim`, `privbayes` or `copula`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
}

/// Where it goes, and what it needs for that.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct PublishPlan {
    /// The dataset to be made.
    dataset: String,
    /// The score of the whole chain below which nothing is published.
    least_score: f64,
    /// The type of FHIR resource that is published as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fhir: Option<String>,
}

impl Plan {
    pub(super) fn to_json(&self) -> Result<serde_json::Value, Response> {
        serde_json::to_value(self)
            .map_err(|e| problem(StatusCode::BAD_REQUEST, "bad-request", None, e))
    }
}

impl From<PurposeSent> for Purpose {
    fn from(sent: PurposeSent) -> Self {
        match sent {
            PurposeSent::Statistics => Self::Statistics,
            PurposeSent::Train { target } => Self::Train { target },
        }
    }
}

impl From<Purpose> for PurposeSent {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Statistics => Self::Statistics,
            Purpose::Train { target } => Self::Train { target },
        }
    }
}

impl StudySent {
    pub(super) fn wanted(self) -> Result<StudyWanted, Response> {
        Ok(match self {
            Self::Assess(AssessSent { quasi_identifiers, population_size, least_score }) => {
                let wanted = AssessWanted { quasi_identifiers, population_size, least_score };
                StudyWanted::Assess(wanted)
            }
            Self::Advise(sent) => {
                let AdviseSent { purpose, quasi_identifiers, sensitive, unchanged, least_score } =
                    sent;
                StudyWanted::Advise(AdviseWanted {
                    purpose: purpose.into(),
                    quasi_identifiers,
                    sensitive,
                    unchanged,
                    least_score,
                })
            }
            Self::Rehearse(PlanSent { plan }) => StudyWanted::Rehearse(plan.to_json()?),
            Self::Release(ReleaseSent { plan, permit }) => {
                StudyWanted::Release { plan: plan.to_json()?, permit }
            }
        })
    }
}
