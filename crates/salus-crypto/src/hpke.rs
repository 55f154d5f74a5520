//! Sealing to a recipient's public key: HPKE base mode with X25519, HKDF-SHA256 and
//! ChaCha20-Poly1305.
//!
//! Version 1 of a sealed message is `01 | encapsulated key (32 bytes) | ciphertext and tag`. The
//! version byte is part of HPKE's `info`.
//!
//! # Privacy
//! Only the holder of the private key opens a message. Base mode does not say who sealed it: sign
//! the message where that matters. There is no forward secrecy against theft of the recipient's
//! private key.
//!
//! # Source
//! RFC 9180, sections 5.1.1 and 6.1; suite DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
//! ChaCha20Poly1305.

use std::fmt;
use std::str::FromStr;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _};
use salus_model::{Class, Classified, Entropy, EntropyFailed, Secret};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::EntropyRng;
use crate::aead::Aad;

type PrivateKey = <X25519HkdfSha256 as hpke::Kem>::PrivateKey;
type PublicKey = <X25519HkdfSha256 as hpke::Kem>::PublicKey;
type EncappedKey = <X25519HkdfSha256 as hpke::Kem>::EncappedKey;

const VERSION: u8 = 1;
const ENCAPPED_BYTES: usize = 32;

/// A message could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealFailed {
    /// No ephemeral key could be drawn.
    #[error("no random ephemeral key could be drawn")]
    Entropy(#[from] EntropyFailed),
    /// The recipient's key or the message does not fit the scheme.
    #[error("the message cannot be sealed to this recipient key")]
    Refused,
}

impl Classified for SealFailed {
    fn class(&self) -> Class {
        match self {
            Self::Entropy(_) => Class::Unavailable,
            Self::Refused => Class::BadRequest,
        }
    }
}

/// A message that was not sealed to this key and context, or was changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed message does not open with this key and context")]
pub struct OpenRefused;

impl Classified for OpenRefused {
    fn class(&self) -> Class {
        Class::Peer
    }
}

/// Bytes or text that are no usable X25519 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an X25519 public key is 64 hexadecimal characters that name a point of full order")]
pub struct RecipientKeyRefused;

impl Classified for RecipientKeyRefused {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// An X25519 private key that opens what was sealed to its public key.
pub struct RecipientKey(pub(crate) PrivateKey);

impl RecipientKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// When the source of randomness fails.
    pub fn generate(entropy: &mut dyn Entropy) -> Result<Self, EntropyFailed> {
        EntropyRng::draw(entropy, |rng| Self(X25519HkdfSha256::gen_keypair_with_rng(rng).0))
    }

    /// The key with these bytes; none when they are no X25519 private key.
    #[must_use]
    pub fn from_secret(bytes: &Secret<[u8; 32]>) -> Option<Self> {
        PrivateKey::from_bytes(bytes.expose()).ok().map(Self)
    }

    /// The key's bytes, clamped, for sealing it.
    #[must_use]
    pub fn to_secret(&self) -> Secret<[u8; 32]> {
        Secret::new(self.0.to_bytes().into())
    }

    /// The public key that others seal to.
    #[must_use]
    pub fn public_key(&self) -> RecipientPublicKey {
        RecipientPublicKey(X25519HkdfSha256::sk_to_pk(&self.0))
    }

    /// Opens a message that was sealed to this key under `info` and `aad`.
    ///
    /// # Errors
    /// When the version is unknown, or key, context or any byte differ; which of them is not told.
    pub fn open(
        &self,
        info: &Aad,
        aad: &[u8],
        message: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenRefused> {
        let (&version, rest) = message.split_first().ok_or(OpenRefused)?;
        let (encapped, ciphertext) = rest.split_at_checked(ENCAPPED_BYTES).ok_or(OpenRefused)?;
        if version != VERSION {
            return Err(OpenRefused);
        }
        open_parts(&self.0, &versioned(info), aad, encapped, ciphertext)
    }
}

impl fmt::Debug for RecipientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecipientKey({}, redacted)", self.public_key())
    }
}

/// An X25519 public key to seal to; its text and serde form is 64 lower-case hexadecimal
/// characters.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecipientPublicKey(pub(crate) PublicKey);

impl RecipientPublicKey {
    /// The key with this encoding.
    ///
    /// # Errors
    /// When the bytes are no usable public key.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, RecipientKeyRefused> {
        PublicKey::from_bytes(bytes).map(Self).map_err(|_| RecipientKeyRefused)
    }

    /// The key's encoding.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes().into()
    }

    /// Seals `plaintext` so that only this key's holder opens it, and only under `info` and `aad`.
    ///
    /// `info` says what the message is for; `aad` is what travels beside it in clear.
    ///
    /// # Errors
    /// When no ephemeral key can be drawn, or the key or the message does not fit the scheme.
    pub fn seal(
        &self,
        entropy: &mut dyn Entropy,
        info: &Aad,
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, SealFailed> {
        let (encapped, ciphertext) =
            seal_parts(entropy, &self.0, &versioned(info), aad, plaintext)?;
        let mut message = Vec::with_capacity(1 + ENCAPPED_BYTES + ciphertext.len());
        message.push(VERSION);
        message.extend_from_slice(&encapped);
        message.extend_from_slice(&ciphertext);
        Ok(message)
    }
}

impl fmt::Display for RecipientPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.to_bytes()))
    }
}

impl fmt::Debug for RecipientPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecipientPublicKey({self})")
    }
}

impl FromStr for RecipientPublicKey {
    type Err = RecipientKeyRefused;

    fn from_str(text: &str) -> Result<Self, RecipientKeyRefused> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| RecipientKeyRefused)?;
        Self::from_bytes(&bytes)
    }
}

impl TryFrom<String> for RecipientPublicKey {
    type Error = RecipientKeyRefused;

    fn try_from(text: String) -> Result<Self, RecipientKeyRefused> {
        text.parse()
    }
}

impl From<RecipientPublicKey> for String {
    fn from(key: RecipientPublicKey) -> Self {
        key.to_string()
    }
}

fn versioned(info: &Aad) -> Vec<u8> {
    let mut bytes = b"salus/hpke/".to_vec();
    bytes.push(VERSION);
    bytes.extend_from_slice(info.as_bytes());
    bytes
}

pub(crate) fn seal_parts(
    entropy: &mut dyn Entropy,
    recipient: &PublicKey,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<(Vec<u8>, Vec<u8>), SealFailed> {
    let (encapped, ciphertext) = EntropyRng::draw(entropy, |rng| {
        hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            recipient,
            info,
            plaintext,
            aad,
            rng,
        )
    })?
    .map_err(|_| SealFailed::Refused)?;
    Ok((encapped.to_bytes().to_vec(), ciphertext))
}

pub(crate) fn open_parts(
    key: &PrivateKey,
    info: &[u8],
    aad: &[u8],
    encapped: &[u8],
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenRefused> {
    let encapped = EncappedKey::from_bytes(encapped).map_err(|_| OpenRefused)?;
    hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        key,
        &encapped,
        info,
        ciphertext,
        aad,
    )
    .map(Zeroizing::new)
    .map_err(|_| OpenRefused)
}
