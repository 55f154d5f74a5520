use std::collections::BTreeSet;

use salus_model::{MicroRho, PermitId, Purpose, Timestamp};
use serde::{Deserialize, Serialize};

use crate::words::{CodeHash, Column, DatasetRef, PublicKey};

/// Whether releases without a stated bound are possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseRule {
    /// Only releases with a bounded privacy loss.
    DpOnly,
    /// Also releases that the gate approved, booked as not bounded.
    GateAllowed,
}

/// What a permit allows on one dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ground {
    /// The dataset.
    pub dataset: DatasetRef,
    /// The columns; never all of them by default.
    pub columns: BTreeSet<Column>,
    /// All that the permit may spend on the dataset.
    pub budget: MicroRho,
}

/// What a permit allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermitTerms {
    /// Dataset by dataset, each once.
    pub grounds: Vec<Ground>,
    /// What for; a secondary purpose.
    pub purpose: Purpose,
    /// The only code that may run, where the permit names one.
    pub code: Option<CodeHash>,
    /// Whether releases without a bound are possible under it.
    pub releases: ReleaseRule,
    /// The first moment at which it is over.
    pub expires: Timestamp,
}

/// Applies for a permit.
///
/// # Privacy
/// The person appears as a key made for this one permit; the hub keeps the name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyForPermit {
    /// The person's key for this permit; it has to sign.
    pub pseudonym: PublicKey,
    /// What is asked for.
    pub terms: PermitTerms,
}

/// Grants a permit as applied for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantPermit {
    /// The application.
    pub permit: PermitId,
}

/// Refuses an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusePermit {
    /// The application.
    pub permit: PermitId,
}

/// Changes the terms of a granted permit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmendPermit {
    /// The permit.
    pub permit: PermitId,
    /// Its revision that this change is based on; of two racing changes one loses.
    pub revision: u64,
    /// The terms from now on; no budget below what is spent and reserved.
    pub terms: PermitTerms,
}

/// Why a permit is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevocationReason {
    /// The person asked for it.
    Requested,
    /// The terms were broken.
    Breach,
    /// The application was not true.
    FalseStatement,
    /// An order of an authority.
    Authority,
}

/// Revokes a permit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokePermit {
    /// The permit.
    pub permit: PermitId,
    /// Why.
    pub reason: RevocationReason,
}
