use std::collections::BTreeMap;
use std::fmt;

use salus_crypto::Digest;
use salus_crypto::aead::Aad;
use salus_crypto::hpke::SealFailed;
use salus_ledger::call::{AttestationRef, DatasetUse, Release};
use salus_ledger::review::Reviewed;
use salus_ledger::{Commitment, LedgerId, ResultHash};
use salus_model::{
    Class, Classified, DatasetId, DatasetVersion, Entropy, EntropyFailed, IdError, PermitId,
    PrivacyCharge,
};
use serde::{Deserialize, Serialize};

use super::dataset_ref;
use crate::scope::{Scope, Secondary};
use crate::unreleased::{Held, Unreleased};

/// A result with what its release costs each dataset that it was computed from.
///
/// Whoever computed says what it costs; the ledger charges exactly that, or the result stays.
pub struct Priced<T> {
    /// The result.
    pub value: T,
    /// What it costs, dataset by dataset.
    pub charges: BTreeMap<DatasetId, PrivacyCharge>,
}

/// A result that only its recipient can open, with what the ledger is told about it.
pub struct SealedResult {
    message: Vec<u8>,
    salt: [u8; 32],
    hash: ResultHash,
    charges: BTreeMap<DatasetId, PrivacyCharge>,
}

impl SealedResult {
    /// The sealed message, for the recipient.
    #[must_use]
    pub fn into_message(self) -> Vec<u8> {
        self.message
    }

    /// The salt of the hash on the ledger: with it, recipient and holder can show that a message
    /// is the one of the receipt. It goes to nobody else, and is erased on erasure.
    #[must_use]
    pub const fn salt(&self) -> &[u8; 32] {
        &self.salt
    }

    pub(super) const fn hash(&self) -> ResultHash {
        self.hash
    }

    pub(super) fn message(&self) -> &[u8] {
        &self.message
    }

    pub(super) const fn resumed(
        message: Vec<u8>,
        salt: [u8; 32],
        hash: ResultHash,
        charges: BTreeMap<DatasetId, PrivacyCharge>,
    ) -> Self {
        Self { message, salt, hash, charges }
    }

    pub(super) const fn charges(&self) -> &BTreeMap<DatasetId, PrivacyCharge> {
        &self.charges
    }
}

impl fmt::Debug for SealedResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedResult({} bytes)", self.message.len())
    }
}

/// The salted hash of a sealed message, as receipts carry it.
#[must_use]
pub fn result_hash(salt: &[u8; 32], message: &[u8]) -> ResultHash {
    let digest = Digest::of_parts("salus result v1", &[salt, message]);
    ResultHash::new(*digest.as_bytes())
}

/// The context that a result is sealed under; the recipient needs the same to open it.
pub(super) fn context(ledger: &LedgerId, permit: &PermitId, scope: &Scope) -> Aad {
    Aad::new(
        "salus secondary result v1",
        &[
            ledger.as_bytes(),
            permit.as_str().as_bytes(),
            scope.holder().as_str().as_bytes(),
            scope.deal().as_str().as_bytes(),
        ],
    )
}

/// Why a result cannot be sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealResultRefused {
    /// The price leaves out a dataset of the permit's use, or names another.
    #[error("the result has no price for dataset {dataset}, or one too many")]
    Unpriced {
        /// The dataset.
        dataset: DatasetId,
    },
    /// No salt could be drawn.
    #[error("no salt can be drawn")]
    Entropy(#[from] EntropyFailed),
    /// The recipient's key takes no message.
    #[error("the result cannot be sealed to the recipient's key")]
    Seal(#[from] SealFailed),
}

impl Classified for SealResultRefused {
    fn class(&self) -> Class {
        match self {
            Self::Unpriced { .. } => Class::Bug,
            Self::Entropy(_) => Class::Unavailable,
            Self::Seal(e) => e.class(),
        }
    }
}

/// Seals a result to the permit's person, together with its price.
///
/// # Errors
/// When a dataset of the use has no price, or sealing fails; the result is gone then.
pub fn seal_result(
    unreleased: Unreleased<Priced<Vec<u8>>, Secondary>,
    entropy: &mut dyn Entropy,
) -> Result<Held<SealedResult, Secondary>, SealResultRefused> {
    let Unreleased { scope, terms, value: Priced { value, charges } } = unreleased;
    let missing = terms.columns.keys().find(|id| !charges.contains_key(*id));
    let foreign = charges.keys().find(|id| !terms.columns.contains_key(*id));
    if let Some(dataset) = missing.or(foreign) {
        return Err(SealResultRefused::Unpriced { dataset: dataset.clone() });
    }
    let mut salt = [0; 32];
    entropy.fill(&mut salt)?;
    let context = context(&terms.ledger, &terms.permit, &scope);
    let message = terms.recipient.seal(entropy, &context, &[], &value)?;
    let hash = result_hash(&salt, &message);
    Ok(Held { scope, terms, sealed: SealedResult { message, salt, hash, charges } })
}

/// What a computation read, as the store pinned it. It has to be the same when a result is
/// submitted for review and when it is released, so whoever waits between the two keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputRead {
    /// The version of each dataset.
    pub versions: BTreeMap<DatasetId, DatasetVersion>,
    /// A salted commitment to the manifests of these versions.
    pub input: Commitment,
}

impl Held<SealedResult, Secondary> {
    /// What the ledger has to record, word for word, before the result can be released. Without a
    /// review it is what is submitted for one; what reviewers decide on is the same either way.
    ///
    /// # Errors
    /// When `read` lacks a dataset of the use, which is a bug.
    pub fn receipt_wanted(
        &self,
        read: &InputRead,
        review: Option<Reviewed>,
    ) -> Result<Release, IdError> {
        let mut uses = Vec::new();
        for (dataset, columns) in &self.terms.columns {
            let version = read.versions.get(dataset).copied();
            let charge = self.sealed.charges.get(dataset).copied();
            // `seal_result` saw to the charge; a version that was not read names no receipt.
            let (Some(version), Some(charge)) = (version, charge) else { continue };
            uses.push(DatasetUse {
                dataset: dataset_ref(self.scope.holder(), dataset)?,
                version,
                columns: columns.clone(),
                optout_epoch: self.terms.optout_epoch,
                charge,
            });
        }
        Ok(Release {
            actor: self.terms.pseudonym,
            permit: self.terms.permit.clone(),
            uses,
            code: self.terms.code,
            input: read.input,
            result: self.sealed.hash,
            attestation: AttestationRef::Premises,
            gate: None,
            review,
        })
    }
}
