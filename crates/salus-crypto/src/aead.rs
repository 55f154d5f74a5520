//! Envelopes under a symmetric key: AES-256-GCM with a random nonce and mandatory context.
//!
//! Version 1 of an envelope is `01 | nonce (12 bytes) | ciphertext | tag (16 bytes)`. The version
//! byte and the caller's [`Aad`] are authenticated.
//!
//! # Privacy
//! An envelope hides its plaintext but not the plaintext's length. One key seals at most 2³²
//! envelopes: with random 96-bit nonces a repetition, which would give away the authentication
//! key, then has a probability below 2⁻³² (NIST SP 800-38D, section 8.3). Derive a key per file,
//! segment or recipient ([`AeadKey::derive_key`]) to stay far below.
//!
//! # Source
//! NIST SP 800-38D (GCM); RFC 5869 (HKDF).

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use hkdf::Hkdf;
use salus_model::{Class, Classified, Entropy, EntropyFailed, Secret};
use sha2::Sha256;
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// How many bytes an envelope is longer than its plaintext.
pub const OVERHEAD_BYTES: usize = 1 + NONCE_BYTES + TAG_BYTES;

/// What an envelope is bound to: a domain and parts, each preceded by its length.
///
/// There is no empty one: an envelope that opens anywhere is an envelope that can be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aad(Vec<u8>);

impl Aad {
    /// Binds to `domain` and to every one of `parts`, in order.
    #[must_use]
    pub fn new(domain: &'static str, parts: &[&[u8]]) -> Self {
        let mut bytes = Vec::new();
        for part in std::iter::once(domain.as_bytes()).chain(parts.iter().copied()) {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        Self(bytes)
    }

    /// The bytes that are authenticated.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn versioned(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.0.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.0);
        bytes
    }
}

/// A plaintext could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealFailed {
    /// No nonce could be drawn.
    #[error("no random nonce could be drawn")]
    Entropy(#[from] EntropyFailed),
    /// The plaintext is longer than the cipher allows under one nonce.
    #[error("one envelope holds less than 64 GiB")]
    TooLong,
}

impl Classified for SealFailed {
    fn class(&self) -> Class {
        match self {
            Self::Entropy(_) => Class::Unavailable,
            Self::TooLong => Class::BadRequest,
        }
    }
}

/// An envelope that was not sealed under this key and context, or was changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the envelope does not open with this key and context")]
pub struct OpenRefused;

impl Classified for OpenRefused {
    fn class(&self) -> Class {
        Class::Corrupt
    }
}

/// A 256-bit key for envelopes.
#[derive(Debug)]
pub struct AeadKey(Secret<[u8; 32]>);

impl AeadKey {
    /// How much longer an envelope is than what it holds: version, nonce and tag.
    pub const OVERHEAD_BYTES: usize = 1 + NONCE_BYTES + 16;

    /// Makes a new key.
    ///
    /// # Errors
    /// When the source of randomness fails.
    pub fn generate(entropy: &mut dyn Entropy) -> Result<Self, EntropyFailed> {
        let mut bytes = Zeroizing::new([0; 32]);
        entropy.fill(bytes.as_mut())?;
        Ok(Self(Secret::new(*bytes)))
    }

    /// The key with these bytes, which must be uniformly random.
    #[must_use]
    pub const fn from_secret(bytes: Secret<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// Lends the key's bytes out, for wrapping it.
    #[must_use]
    pub const fn secret(&self) -> &Secret<[u8; 32]> {
        &self.0
    }

    /// Seals `plaintext` so that it opens with this key and `aad` only.
    ///
    /// # Errors
    /// When no nonce can be drawn, or the plaintext is 64 GiB or longer.
    pub fn seal(
        &self,
        entropy: &mut dyn Entropy,
        aad: &Aad,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, SealFailed> {
        let mut nonce = [0; NONCE_BYTES];
        entropy.fill(&mut nonce)?;
        let sealed = self
            .cipher()
            .encrypt(Nonce::from_slice(&nonce), Payload { msg: plaintext, aad: &aad.versioned() })
            .map_err(|_| SealFailed::TooLong)?;
        let mut envelope = Vec::with_capacity(1 + NONCE_BYTES + sealed.len());
        envelope.push(VERSION);
        envelope.extend_from_slice(&nonce);
        envelope.extend_from_slice(&sealed);
        Ok(envelope)
    }

    /// Opens an envelope that was sealed with this key and `aad`.
    ///
    /// # Errors
    /// When the version is unknown, or key, context or any byte differ; which of them is not told.
    pub fn open(&self, aad: &Aad, envelope: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenRefused> {
        let (&version, rest) = envelope.split_first().ok_or(OpenRefused)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_BYTES).ok_or(OpenRefused)?;
        if version != VERSION {
            return Err(OpenRefused);
        }
        self.cipher()
            .decrypt(Nonce::from_slice(nonce), Payload { msg: sealed, aad: &aad.versioned() })
            .map(Zeroizing::new)
            .map_err(|_| OpenRefused)
    }

    /// The key for `info` below this one; the same for the same parent and `info`.
    ///
    /// Knowing it gives away neither the parent nor any sibling.
    #[must_use]
    pub fn derive_key(&self, info: &Aad) -> Self {
        derive_key(&self.0, info)
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(self.0.expose().into())
    }
}

/// The key for `info` below a parent secret of at least 32 uniformly random bytes.
///
/// # Source
/// RFC 5869, extract and expand with SHA-256; the salt is a fixed domain string (section 3.1
/// allows a public one).
#[must_use]
pub fn derive_key(parent: &Secret<[u8; 32]>, info: &Aad) -> AeadKey {
    let mut bytes = Zeroizing::new([0; 32]);
    hkdf(b"salus/hkdf/v1", parent.expose(), info.as_bytes(), bytes.as_mut());
    AeadKey(Secret::new(*bytes))
}

/// HKDF-SHA256 for at most 255 blocks of 32 bytes.
pub(crate) fn hkdf(salt: &[u8], parent: &[u8], info: &[u8], out: &mut [u8]) {
    // No caller asks for more than 255 blocks. An untouched buffer would be an all-zero key, so
    // the impossible is checked all the same.
    let expanded = Hkdf::<Sha256>::new(Some(salt), parent).expand(info, out);
    assert!(expanded.is_ok(), "HKDF output of {} bytes", out.len());
}

/// AES-256-GCM as `nonce (12 bytes) | ciphertext | tag (16 bytes)`, with the context as given.
///
/// This is the form that Vault's transit engine keeps behind `vault:vN:`, for key stores that must
/// be read by others. Whatever Salus alone reads uses [`AeadKey::seal`], which is versioned and
/// never without context.
///
/// # Errors
/// When no nonce can be drawn, or the plaintext is 64 GiB or longer.
pub fn seal_bare(
    entropy: &mut dyn Entropy,
    key: &AeadKey,
    context: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, SealFailed> {
    let mut nonce = [0; NONCE_BYTES];
    entropy.fill(&mut nonce)?;
    let payload = Payload { msg: plaintext, aad: context };
    let sealed = key.cipher().encrypt(Nonce::from_slice(&nonce), payload);
    Ok([nonce.as_slice(), &sealed.map_err(|_| SealFailed::TooLong)?].concat())
}

/// Opens what [`seal_bare`] made with the same key and context.
///
/// # Errors
/// When key, context or any byte differ; which of them is not told.
pub fn open_bare(
    key: &AeadKey,
    context: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenRefused> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES).ok_or(OpenRefused)?;
    let payload = Payload { msg: sealed, aad: context };
    let opened = key.cipher().decrypt(Nonce::from_slice(nonce), payload);
    opened.map(Zeroizing::new).map_err(|_| OpenRefused)
}
