use salus_model::{DatasetVersion, MicroRho, ReceiptId};
use serde::{Deserialize, Serialize};

use crate::policy::Policy;
use crate::words::{ArtefactId, Commitment, DatasetRef, OptOutRoot};

use super::ReleaseRule;

/// Registers a dataset and opens its one privacy account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterDataset {
    /// The dataset.
    pub dataset: DatasetRef,
    /// All that may ever be spent on it; it never grows.
    pub budget: MicroRho,
    /// The δ at which the spent budget is shown as ε, fixed for the dataset's life.
    pub delta: DeltaExponent,
    /// Whether releases without a bound are possible at all.
    pub releases: ReleaseRule,
    /// A salted commitment to the first version.
    pub commitment: Commitment,
}

/// δ = 10^-k, for k from 3 to 15.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct DeltaExponent(u8);

/// A δ that is too large to mean anything or too small to compute with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("δ is 10 to the minus k, with k from 3 to 15; this k is {0}")]
pub struct DeltaExponentError(u8);

impl DeltaExponent {
    /// δ = 10^-`k`.
    ///
    /// # Errors
    /// When `k` is not from 3 to 15.
    pub const fn new(k: u8) -> Result<Self, DeltaExponentError> {
        if matches!(k, 3..=15) { Ok(Self(k)) } else { Err(DeltaExponentError(k)) }
    }

    /// k, where δ = 10^-k.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for DeltaExponent {
    type Error = DeltaExponentError;
    fn try_from(k: u8) -> Result<Self, DeltaExponentError> {
        Self::new(k)
    }
}

impl From<DeltaExponent> for u8 {
    fn from(delta: DeltaExponent) -> Self {
        delta.0
    }
}

/// Commits to a dataset's next version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitDataset {
    /// The dataset.
    pub dataset: DatasetRef,
    /// The version; one more than the last.
    pub version: DatasetVersion,
    /// A salted commitment to its manifest.
    pub commitment: Commitment,
}

/// Sets who else has to sign whatever concerns a dataset: a grant, a charge, a new version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetDatasetPolicy {
    /// The dataset.
    pub dataset: DatasetRef,
    /// The policy, on top of what the contracts demand; none takes it away.
    pub policy: Option<Policy>,
}

/// What a device is, coarsely enough to single nobody out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceClass {
    /// Worn by a person.
    Wearable,
    /// Stands at a bed.
    Bedside,
    /// Takes images.
    Imaging,
    /// Analyses samples.
    Laboratory,
    /// Delivers a drug or a gas.
    Therapy,
    /// Collects for others.
    Gateway,
}

/// Registers a device by a salted commitment to its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterDevice {
    /// The salted commitment; a serial number never comes here.
    pub device: Commitment,
    /// What it is.
    pub class: DeviceClass,
}

/// Takes a device out of service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetireDevice {
    /// The salted commitment.
    pub device: Commitment,
}

/// Advances a holder's opt-out list by one epoch.
///
/// # Privacy
/// The root is salted: neither the list nor its length can be read or guessed from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdvanceOptOutEpoch {
    /// The holder; one of its keys has to sign.
    pub holder: salus_model::MemberId,
    /// The new epoch; one more than the last, the first being 1.
    pub epoch: u64,
    /// The salted root of the list.
    pub root: OptOutRoot,
}

/// What an artefact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtefactKind {
    /// A trained model.
    Model,
    /// An anonymised set.
    AnonymisedSet,
    /// A synthetic set.
    SyntheticSet,
}

/// Registers what a job made, by the receipt under which it was released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterArtefact {
    /// What it is.
    pub kind: ArtefactKind,
    /// A salted commitment to it.
    pub commitment: Commitment,
    /// The receipt of its release.
    pub receipt: ReceiptId,
    /// The member that offers it; one of its keys has to sign.
    pub owner: salus_model::MemberId,
}

/// Withdraws an artefact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawArtefact {
    /// The artefact.
    pub artefact: ArtefactId,
}
