//! What waits for the release gate: held like any result, beside a copy that the holder's own
//! people may look at.

use salus_crypto::aead::{Aad, AeadKey, OpenRefused};
use salus_model::{Class, Classified, Entropy};
use zeroize::Zeroizing;

use super::keep::KeepError;
use super::result::{Priced, SealResultRefused, SealedResult, seal_result};
use crate::place::OnPremises;
use crate::scope::{Scope, Secondary};
use crate::unreleased::{Held, Unreleased};

/// A result with its price, and what the automatic checks say of it.
pub struct Checked {
    /// The result.
    pub result: Priced<Vec<u8>>,
    /// The checks' report, for the reviewers; empty where nobody has to review.
    ///
    /// # Privacy
    /// It leaves the computation without a charge, for the reviewers and the holder's own steward.
    /// It may tell counts and scores, and never a record.
    pub checks: Vec<u8>,
}

/// What reviewers decide on.
pub struct ForReview {
    /// The result, closed to everybody but the permit's person, who does not have it yet.
    pub held: Held<SealedResult, Secondary>,
    /// The same, for the holder's own people.
    pub copy: ReviewCopy,
    /// The checks' report.
    pub checks: Vec<u8>,
}

/// Why nothing can be put before reviewers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForReviewRefused {
    /// The result is not sealed.
    #[error(transparent)]
    Result(#[from] SealResultRefused),
    /// The copy is not sealed.
    #[error(transparent)]
    Copy(#[from] KeepError),
}

impl Classified for ForReviewRefused {
    fn class(&self) -> Class {
        match self {
            Self::Result(e) => e.class(),
            Self::Copy(e) => e.class(),
        }
    }
}

/// A copy of a held result under the holder's own key, so that reviewers see what they decide on
/// where the records are anyhow.
///
/// # Privacy
/// As sensitive as the rows until the result is released. It goes to the holder's own disk, sealed,
/// and opens on the holder's premises alone ([`ReviewCopy::open`]); a reviewer elsewhere gets the
/// checks' report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewCopy(Vec<u8>);

fn aad(scope: &Scope, held: &SealedResult) -> Aad {
    let (holder, deal, result) = (scope.holder().as_str(), scope.deal().as_str(), held.hash());
    let parts: [&[u8]; 3] = [holder.as_bytes(), deal.as_bytes(), result.as_bytes()];
    Aad::new("salus review copy v1", &parts)
}

impl ReviewCopy {
    /// Opens it on the premises of the holder whose records it was made from.
    ///
    /// # Errors
    /// When the premises are for another deal than the result's, or the copy is of another result,
    /// was altered, or is under another key.
    pub fn open(
        &self,
        held: &Held<SealedResult, Secondary>,
        premises: &OnPremises,
        key: &AeadKey,
    ) -> Result<Zeroizing<Vec<u8>>, KeepError> {
        premises.scope.same_as(&held.scope).map_err(|_| OpenRefused)?;
        Ok(key.open(&aad(&held.scope, &held.sealed), &self.0)?)
    }

    /// A copy as it lay on the disk.
    #[must_use]
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Its closed form, for the holder's disk.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Seals a result to the permit's person as [`seal_result`] does, and a copy of it to the holder.
///
/// # Errors
/// When a dataset of the use has no price, or sealing fails; the result is gone then.
pub fn seal_for_review(
    unreleased: Unreleased<Checked, Secondary>,
    key: &AeadKey,
    entropy: &mut dyn Entropy,
) -> Result<ForReview, ForReviewRefused> {
    let Unreleased { scope, terms, value: Checked { result, checks } } = unreleased;
    let plain = Zeroizing::new(result.value.clone());
    let held = seal_result(Unreleased { scope, terms, value: result }, entropy)?;
    let copy = key.seal(entropy, &aad(&held.scope, &held.sealed), &plain);
    let copy = ReviewCopy(copy.map_err(KeepError::from)?);
    Ok(ForReview { held, copy, checks })
}
