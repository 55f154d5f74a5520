//! A held result outlives the process, so that a crash between receipt and release loses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use salus_crypto::Digest;
use salus_crypto::aead::{Aad, AeadKey, OpenRefused, SealFailed};
use salus_crypto::hpke::RecipientPublicKey;
use salus_ledger::cbor::{self, CborError};
use salus_ledger::{CodeHash, Column, LedgerId, Opaque, PublicKey};
use salus_model::{
    Class, Classified, DatasetId, DealId, Entropy, HolderId, PermitId, PrivacyCharge,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::request::SecondaryTerms;
use super::result::{SealedResult, result_hash};
use crate::scope::{Scope, Secondary};
use crate::unreleased::{Held, Unreleased};

const FORMAT: u8 = 1;
/// The most bytes of a kept result: a sealed answer with the terms of its use.
const MAX_KEPT_BYTES: usize = 64 * 1024 * 1024;

/// Why a held result is not kept, or a kept one not taken up again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// It cannot be sealed.
    #[error("the held result cannot be sealed for keeping")]
    Seal(#[from] SealFailed),
    /// It was altered, or kept under another key or for another holder.
    #[error("the kept result does not open")]
    Open(#[from] OpenRefused),
    /// It is not in its one form.
    #[error("the kept result cannot be read")]
    Form(#[from] CborError),
    /// It comes from a newer Salus.
    #[error("the kept result has format {found}; this Salus reads {FORMAT}")]
    Format {
        /// The format found.
        found: u8,
    },
}

impl Classified for KeepError {
    fn class(&self) -> Class {
        match self {
            Self::Seal(e) => e.class(),
            Self::Format { .. } => Class::BadRequest,
            Self::Open(_) | Self::Form(_) => Class::Corrupt,
        }
    }
}

/// What a computation leaves behind for the holder's next one, closed under the holder's own key
/// before it leaves: a standing question's memory of who was counted.
///
/// # Privacy
/// Its content is as sensitive as the rows. It is sealed and opened inside computations only, and
/// goes to nobody but the holder's own disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptState(Vec<u8>);

fn state_aad(holder: &HolderId, name: &Digest) -> Aad {
    Aad::new("salus kept state v1", &[holder.as_str().as_bytes(), name.as_bytes()])
}

impl KeptState {
    /// Closes a state that is remembered under a name.
    ///
    /// # Errors
    /// When no nonce can be drawn, or it is too long.
    pub fn seal(
        state: &[u8],
        holder: &HolderId,
        name: &Digest,
        key: &AeadKey,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, KeepError> {
        Ok(Self(key.seal(entropy, &state_aad(holder, name), state)?))
    }

    /// Opens it, inside the next computation.
    ///
    /// # Errors
    /// When it was altered, or kept under another name or key, or for another holder.
    pub fn open(
        &self,
        holder: &HolderId,
        name: &Digest,
        key: &AeadKey,
    ) -> Result<Zeroizing<Vec<u8>>, KeepError> {
        Ok(key.open(&state_aad(holder, name), &self.0)?)
    }

    /// A kept state as it lay on the disk.
    #[must_use]
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Its closed form, for the holder's disk.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Takes what the holder keeps, which is closed, from beside what is not released yet.
    #[must_use]
    pub fn part<T>(
        unreleased: Unreleased<(T, Self), Secondary>,
    ) -> (Unreleased<T, Secondary>, Self) {
        let Unreleased { scope, terms, value: (value, kept) } = unreleased;
        (Unreleased { scope, terms, value }, kept)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    format: u8,
    deal: DealId,
    ledger: LedgerId,
    permit: PermitId,
    pseudonym: PublicKey,
    code: CodeHash,
    question: Digest,
    recipient: RecipientPublicKey,
    columns: BTreeMap<DatasetId, BTreeSet<Column>>,
    optout_epoch: u64,
    message: Opaque,
    salt: Opaque,
    charges: BTreeMap<DatasetId, PrivacyCharge>,
}

fn aad(holder: &HolderId) -> Aad {
    Aad::new("salus kept result v1", &[holder.as_str().as_bytes()])
}

impl Held<SealedResult, Secondary> {
    /// The held result as bytes that only the holder's `key` opens, to be on the disk before the
    /// ledger records it.
    ///
    /// # Privacy
    /// The recipient cannot open these bytes: sealed to them, and sealed once more under a key of
    /// the holder. What leaves still leaves through [`crate::release`].
    ///
    /// # Errors
    /// When no nonce can be drawn, or it is too long.
    pub fn keep(&self, key: &AeadKey, entropy: &mut dyn Entropy) -> Result<Vec<u8>, KeepError> {
        let terms = &self.terms;
        let kept = Kept {
            format: FORMAT,
            deal: self.scope.deal().clone(),
            ledger: terms.ledger,
            permit: terms.permit.clone(),
            pseudonym: terms.pseudonym,
            code: terms.code,
            question: terms.question,
            recipient: terms.recipient.clone(),
            columns: terms.columns.clone(),
            optout_epoch: terms.optout_epoch,
            message: Opaque::new(self.sealed.message().to_vec()),
            salt: Opaque::new(self.sealed.salt().to_vec()),
            charges: self.sealed.charges().clone(),
        };
        let bytes = cbor::encode(&kept)?;
        Ok(key.seal(entropy, &aad(self.scope.holder()), &bytes)?)
    }

    /// Takes up a result that [`Held::keep`] wrote. It is as held as before: only a receipt that
    /// verifies and names exactly it releases it.
    ///
    /// # Errors
    /// When the bytes were altered, or are of another holder or key.
    pub fn resume(bytes: &[u8], holder: &HolderId, key: &AeadKey) -> Result<Self, KeepError> {
        let opened = key.open(&aad(holder), bytes)?;
        let kept: Kept = cbor::decode(&opened, MAX_KEPT_BYTES)?;
        if kept.format != FORMAT {
            return Err(KeepError::Format { found: kept.format });
        }
        let salt: [u8; 32] = kept.salt.as_bytes().try_into().map_err(|_| OpenRefused)?;
        let message = kept.message.as_bytes().to_vec();
        let hash = result_hash(&salt, &message);
        let terms = SecondaryTerms {
            ledger: kept.ledger,
            permit: kept.permit,
            pseudonym: kept.pseudonym,
            code: kept.code,
            question: kept.question,
            recipient: kept.recipient,
            columns: kept.columns,
            optout_epoch: kept.optout_epoch,
        };
        Ok(Self {
            scope: Scope::new(holder.clone(), kept.deal),
            terms: Arc::new(terms),
            sealed: SealedResult::resumed(message, salt, hash, kept.charges),
        })
    }

    /// The deal that the result was computed for.
    #[must_use]
    pub const fn deal(&self) -> &DealId {
        self.scope.deal()
    }
}
