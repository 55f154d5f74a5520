use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::Signer as _;
use salus_model::{Class, Classified, Entropy, EntropyFailed, Secret};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A signature that does not belong to this key, domain and message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not belong to this key and content")]
pub struct SignatureRefused;

impl Classified for SignatureRefused {
    fn class(&self) -> Class {
        Class::Peer
    }
}

/// Bytes or text that are no usable Ed25519 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an Ed25519 public key is 64 hexadecimal characters that name a point of full order")]
pub struct VerifyingKeyRefused;

impl Classified for VerifyingKeyRefused {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// An Ed25519 private key.
///
/// # Source
/// RFC 8032, section 5.1 (Ed25519, pure).
pub struct SigningKey(pub(crate) ed25519_dalek::SigningKey);

impl SigningKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// When the source of randomness fails.
    pub fn generate(entropy: &mut dyn Entropy) -> Result<Self, EntropyFailed> {
        let mut seed = Zeroizing::new([0; 32]);
        entropy.fill(seed.as_mut())?;
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(&seed)))
    }

    /// The key with this 32-byte seed.
    #[must_use]
    pub fn from_secret(seed: &Secret<[u8; 32]>) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed.expose()))
    }

    /// The key's 32-byte seed, for sealing it.
    #[must_use]
    pub fn to_secret(&self) -> Secret<[u8; 32]> {
        Secret::new(self.0.to_bytes())
    }

    /// The public key that verifies what this key signs.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.0.verifying_key())
    }

    /// Signs `message` for use in `domain` only.
    #[must_use]
    pub fn sign(&self, domain: &'static str, message: &[u8]) -> Signature {
        Signature(self.0.sign(&framed(domain, message)))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, redacted)", self.verifying_key())
    }
}

/// What is signed in truth: the scheme's name, the domain with its length, the message.
fn framed(domain: &str, message: &[u8]) -> Vec<u8> {
    const SCHEME: &[u8] = b"salus/ed25519/v1\0";
    let mut bytes = Vec::with_capacity(SCHEME.len() + 8 + domain.len() + message.len());
    bytes.extend_from_slice(SCHEME);
    bytes.extend_from_slice(&(domain.len() as u64).to_be_bytes());
    bytes.extend_from_slice(domain.as_bytes());
    bytes.extend_from_slice(message);
    bytes
}

/// An Ed25519 public key; its text and serde form is 64 lower-case hexadecimal characters.
///
/// Points of small order are refused: they verify a signature over any message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VerifyingKey(pub(crate) ed25519_dalek::VerifyingKey);

impl VerifyingKey {
    /// The key with this encoding.
    ///
    /// # Errors
    /// When the bytes are no point of the curve, or one of small order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, VerifyingKeyRefused> {
        let key =
            ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| VerifyingKeyRefused)?;
        if key.is_weak() { Err(VerifyingKeyRefused) } else { Ok(Self(key)) }
    }

    /// The key's encoding.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Accepts exactly the signatures that [`SigningKey::sign`] makes for this domain and message.
    ///
    /// # Errors
    /// When the signature is any other; non-canonical encodings included.
    pub fn verify(
        &self,
        domain: &'static str,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureRefused> {
        self.0.verify_strict(&framed(domain, message), &signature.0).map_err(|_| SignatureRefused)
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.to_bytes()))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({self})")
    }
}

impl FromStr for VerifyingKey {
    type Err = VerifyingKeyRefused;

    fn from_str(text: &str) -> Result<Self, VerifyingKeyRefused> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| VerifyingKeyRefused)?;
        Self::from_bytes(&bytes)
    }
}

impl TryFrom<String> for VerifyingKey {
    type Error = VerifyingKeyRefused;

    fn try_from(text: String) -> Result<Self, VerifyingKeyRefused> {
        text.parse()
    }
}

impl From<VerifyingKey> for String {
    fn from(key: VerifyingKey) -> Self {
        key.to_string()
    }
}

/// An Ed25519 signature; its text and serde form is base64 of 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signature(ed25519_dalek::Signature);

impl Signature {
    /// A signature that was received; whether it holds is for [`VerifyingKey::verify`] to say.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        Self(ed25519_dalek::Signature::from_bytes(bytes))
    }

    /// The signature's 64 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 64] {
        self.0.to_bytes()
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(self.to_bytes()))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

impl FromStr for Signature {
    type Err = SignatureRefused;

    fn from_str(text: &str) -> Result<Self, SignatureRefused> {
        let bytes = BASE64.decode(text).map_err(|_| SignatureRefused)?;
        Ok(Self::from_bytes(bytes.as_slice().try_into().map_err(|_| SignatureRefused)?))
    }
}

impl TryFrom<String> for Signature {
    type Error = SignatureRefused;

    fn try_from(text: String) -> Result<Self, SignatureRefused> {
        text.parse()
    }
}

impl From<Signature> for String {
    fn from(signature: Signature) -> Self {
        signature.to_string()
    }
}
