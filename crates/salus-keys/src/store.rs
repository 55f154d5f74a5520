use std::error::Error;

use async_trait::async_trait;
use salus_model::{Class, Classified, KeyName, Secret, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{KeyVersion, WrapContext, WrappedKey};

/// The most bytes that a master key wraps at once: it wraps keys, not data.
pub const PLAINTEXT_BYTES_MAX: usize = 4096;

/// Whether a master key may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// It wraps and unwraps.
    Active,
    /// It exists and refuses to be used, until its owner reinstates it.
    Revoked,
}

/// One version of a master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// The version.
    pub version: KeyVersion,
    /// When it was made, as precisely as the store keeps it.
    pub created: Timestamp,
}

/// What a store tells about a master key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    /// Its name.
    pub name: KeyName,
    /// Whether it may be used.
    pub state: KeyState,
    /// Its versions, the oldest first; the last one wraps.
    pub versions: Vec<VersionInfo>,
}

impl KeyInfo {
    /// The version that wraps.
    #[must_use]
    pub fn latest(&self) -> Option<KeyVersion> {
        self.versions.last().map(|v| v.version)
    }
}

/// What a store that answers says of itself, for `doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Which store this is, in words.
    pub store: String,
    /// What works but should be mended, each with how.
    pub warnings: Vec<String>,
}

/// Why a key store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// No master key has this name.
    #[error("there is no key '{name}'; create it or correct the name")]
    NoSuchKey {
        /// The name.
        name: KeyName,
    },
    /// A master key has this name already.
    #[error("the key '{name}' exists already; rotate it to get a new version")]
    Exists {
        /// The name.
        name: KeyName,
    },
    /// The master key was revoked.
    #[error("the key '{name}' is revoked; its owner can reinstate it")]
    Revoked {
        /// The name.
        name: KeyName,
    },
    /// The master key never had this version, or lost it.
    #[error("the key '{name}' has no version {version}")]
    NoSuchVersion {
        /// The name.
        name: KeyName,
        /// The version.
        version: KeyVersion,
    },
    /// Key, context or any byte of the wrapped key differ.
    #[error("the wrapped key does not unwrap with the key '{name}'")]
    Unwrap {
        /// The name.
        name: KeyName,
    },
    /// More was to be wrapped than a key.
    #[error("{found} bytes are too many to wrap; at most {PLAINTEXT_BYTES_MAX} are")]
    TooLong {
        /// How many there were.
        found: usize,
    },
    /// The store does not accept the credential, or not for this.
    #[error("the key store refuses to {operation} with this credential")]
    Denied {
        /// What was asked.
        operation: &'static str,
    },
    /// This kind of store cannot do it.
    #[error("this key store cannot {operation}; {instead}")]
    Unsupported {
        /// What was asked.
        operation: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// The store does not answer.
    #[error("the key store is out of reach: {what}")]
    Unavailable {
        /// Which part of it.
        what: String,
        /// The cause.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// What the store has kept is not what was written.
    #[error("the key store's contents are damaged: {what}")]
    Corrupt {
        /// What is wrong.
        what: String,
    },
    /// The store answered against its own protocol.
    #[error("the key store answered against its protocol: {what}")]
    Peer {
        /// What was wrong.
        what: String,
    },
    /// Salus asked wrongly.
    #[error("the key store was asked wrongly: {what}")]
    Bug {
        /// What was wrong.
        what: String,
    },
}

impl KeyStoreError {
    pub(crate) fn unavailable(
        what: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { what: what.into(), source: Some(source.into()) }
    }
}

impl Classified for KeyStoreError {
    fn class(&self) -> Class {
        match self {
            Self::NoSuchKey { .. } | Self::Exists { .. } | Self::TooLong { .. } => {
                Class::BadRequest
            }
            Self::Unsupported { .. } => Class::BadRequest,
            Self::Revoked { .. } | Self::Denied { .. } => Class::Refused,
            Self::NoSuchVersion { .. } | Self::Unwrap { .. } | Self::Corrupt { .. } => {
                Class::Corrupt
            }
            Self::Unavailable { .. } => Class::Unavailable,
            Self::Peer { .. } => Class::Peer,
            Self::Bug { .. } => Class::Bug,
        }
    }
}

/// Where master keys live. They are AES-256 keys, made inside, and never leave.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// Makes a master key with its first version.
    async fn create(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError>;

    /// Makes a new version, which wraps from now on; older ones still unwrap.
    async fn rotate(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError>;

    /// Wraps a key under the latest version.
    async fn wrap(
        &self,
        name: &KeyName,
        context: WrapContext<'_>,
        key: &Secret<Vec<u8>>,
    ) -> Result<WrappedKey, KeyStoreError>;

    /// Unwraps a key with the version that wrapped it.
    async fn unwrap(
        &self,
        name: &KeyName,
        context: WrapContext<'_>,
        wrapped: &WrappedKey,
    ) -> Result<Secret<Vec<u8>>, KeyStoreError>;

    /// Wraps a wrapped key anew, under the latest version.
    async fn rewrap(
        &self,
        name: &KeyName,
        context: WrapContext<'_>,
        wrapped: &WrappedKey,
    ) -> Result<WrappedKey, KeyStoreError> {
        let key = self.unwrap(name, context, wrapped).await?;
        self.wrap(name, context, &key).await
    }

    /// One master key.
    async fn describe(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError>;

    /// Every master key, in the order of their names.
    async fn list(&self) -> Result<Vec<KeyInfo>, KeyStoreError>;

    /// Makes a master key refuse all use; doing it twice is no error.
    async fn revoke(&self, name: &KeyName) -> Result<(), KeyStoreError>;

    /// Takes a revocation back; doing it twice is no error.
    async fn reinstate(&self, name: &KeyName) -> Result<(), KeyStoreError>;

    /// Destroys a master key with all its versions, for ever: whatever it wrapped is lost.
    async fn shred(&self, name: &KeyName) -> Result<(), KeyStoreError>;

    /// Tries whether the store answers.
    async fn health(&self) -> Result<Health, KeyStoreError>;
}

pub(crate) fn check_length(key: &Secret<Vec<u8>>) -> Result<(), KeyStoreError> {
    let found = key.expose().len();
    if found > PLAINTEXT_BYTES_MAX { Err(KeyStoreError::TooLong { found }) } else { Ok(()) }
}
