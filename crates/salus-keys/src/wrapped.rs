use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use salus_model::{Class, Classified};
use serde::{Deserialize, Serialize};

/// A master key's version: 1 for the first, one more after each rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyVersion(NonZeroU32);

impl KeyVersion {
    /// The first version.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The version with this number; none for zero.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(n) => Some(Self(n)),
            None => None,
        }
    }

    /// The version after this one; none after the last that fits.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }

    /// The version's number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for KeyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a wrapped key is bound to besides its master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrapContext<'a> {
    /// Nothing more. Parquet key tools' material is wrapped so, because Spark's and pyarrow's
    /// Vault clients send no associated data.
    KeyTools,
    /// These bytes, which must be given again to unwrap (Vault's `associated_data`).
    Bound(&'a [u8]),
}

impl WrapContext<'_> {
    /// The bytes that are authenticated.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::KeyTools => &[],
            Self::Bound(bytes) => bytes,
        }
    }
}

/// Text that is no wrapped key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a wrapped key has the form vault:v1:BASE64, with the master key's version after the v")]
pub struct WrappedKeyText;

impl Classified for WrappedKeyText {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// A wrapped key in Vault's format: `vault:v`, the master key's version, `:` and base64.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WrappedKey {
    text: String,
    version: KeyVersion,
}

impl WrappedKey {
    /// A key that a store wrapped under this version of its master key.
    #[must_use]
    pub fn new(version: KeyVersion, sealed: &[u8]) -> Self {
        Self { text: format!("vault:v{version}:{}", BASE64.encode(sealed)), version }
    }

    /// The version of the master key that wrapped it.
    #[must_use]
    pub const fn version(&self) -> KeyVersion {
        self.version
    }

    /// The text, as key material carries it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What the master key made.
    #[must_use]
    pub fn sealed(&self) -> Vec<u8> {
        let sealed = self.text.rsplit(':').next().and_then(|text| BASE64.decode(text).ok());
        // The constructors have decoded it before.
        sealed.unwrap_or_default()
    }
}

impl FromStr for WrappedKey {
    type Err = WrappedKeyText;

    fn from_str(text: &str) -> Result<Self, WrappedKeyText> {
        let rest = text.strip_prefix("vault:v").ok_or(WrappedKeyText)?;
        let (number, sealed) = rest.split_once(':').ok_or(WrappedKeyText)?;
        let plain = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
        let version = number.parse().ok().filter(|_| plain).and_then(KeyVersion::new);
        BASE64.decode(sealed).map_err(|_| WrappedKeyText)?;
        Ok(Self { text: text.to_owned(), version: version.ok_or(WrappedKeyText)? })
    }
}

impl fmt::Display for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for WrappedKey {
    type Error = WrappedKeyText;

    fn try_from(text: String) -> Result<Self, WrappedKeyText> {
        text.parse()
    }
}

impl From<WrappedKey> for String {
    fn from(wrapped: WrappedKey) -> Self {
        wrapped.text
    }
}
