//! Ed25519 exactly as COSE (RFC 9053, section 2.2) and C2SP signed notes want it.
//!
//! `salus_crypto` frames every message with a domain of its own. Receipts and checkpoints have to
//! verify in other people's tools, so the framing is that of their formats: a COSE structure
//! begins with an array head and a context string, a note with its origin line, a cosignature
//! with `cosignature/v1`, and this crate's own messages with a tag that ends in a zero byte. No
//! two of them can be equal.

use std::fmt;

use ed25519_dalek::Signer as _;
use salus_model::{Class, Classified};

use crate::words::{PublicKey, SignatureBytes};

/// A signature that does not belong to its key and message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not belong to this key and content")]
pub struct ForgedSignature;

impl Classified for ForgedSignature {
    fn class(&self) -> Class {
        Class::Peer
    }
}

/// Signs for the ledger with one Ed25519 key.
pub struct Signer(ed25519_dalek::SigningKey);

impl Signer {
    /// A signer with this key.
    #[must_use]
    pub fn new(key: &salus_crypto::SigningKey) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(key.to_secret().expose()))
    }

    /// The key that verifies.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey::new(self.0.verifying_key().to_bytes())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> SignatureBytes {
        SignatureBytes::new(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({}, redacted)", self.public_key())
    }
}

/// Checks a signature, refusing weak keys and malleable encodings.
pub(crate) fn verify(
    key: &PublicKey,
    message: &[u8],
    signature: &SignatureBytes,
) -> Result<(), ForgedSignature> {
    let key =
        ed25519_dalek::VerifyingKey::from_bytes(key.as_bytes()).map_err(|_| ForgedSignature)?;
    let signature = ed25519_dalek::Signature::from_bytes(signature.as_bytes());
    key.verify_strict(message, &signature).map_err(|_| ForgedSignature)
}
