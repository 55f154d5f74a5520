//! The bodies of the transit engine's answers.

use std::collections::BTreeMap;

use salus_model::{KeyName, Timestamp};
use serde::Deserialize;

use crate::{KeyInfo, KeyState, KeyStoreError, KeyVersion, VersionInfo, WrappedKey};

/// Every answer has its content under `data`.
#[derive(Deserialize)]
pub(super) struct Envelope<T> {
    pub(super) data: T,
}

#[derive(Deserialize)]
pub(super) struct Errors {
    #[serde(default)]
    pub(super) errors: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Ciphertext {
    pub(super) ciphertext: WrappedKey,
}

#[derive(Deserialize)]
pub(super) struct Plaintext {
    pub(super) plaintext: String,
}

#[derive(Deserialize)]
pub(super) struct Names {
    pub(super) keys: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Token {
    #[serde(default)]
    ttl: u64,
    #[serde(default)]
    policies: Vec<String>,
}

impl Token {
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.policies.iter().any(|policy| policy == "root") {
            warnings.push(
                "the token is a root token; make one whose policy names the keys it needs".into(),
            );
        }
        // Zero means that it does not expire.
        if (1..86_400).contains(&self.ttl) {
            let hours = self.ttl / 3600;
            warnings.push(format!("the token expires within {} h; renew it", hours + 1));
        }
        warnings
    }
}

#[derive(Deserialize)]
pub(super) struct Key {
    #[serde(rename = "type")]
    kind: String,
    /// Seconds since 1970 for symmetric keys; an object for others.
    keys: BTreeMap<String, serde_json::Value>,
    #[serde(default = "first")]
    min_decryption_version: u32,
    #[serde(default)]
    soft_deleted: bool,
}

const fn first() -> u32 {
    1
}

impl Key {
    pub(super) fn info(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        if self.kind != "aes256-gcm96" {
            return Err(KeyStoreError::Unsupported {
                operation: "use a key that is not of type aes256-gcm96",
                instead: "create another one",
            });
        }
        let mut versions = Vec::new();
        for (number, created) in &self.keys {
            let version = number.parse().ok().and_then(KeyVersion::new);
            let created = created
                .as_i64()
                .and_then(|seconds| seconds.checked_mul(1_000_000))
                .and_then(|micros| Timestamp::from_micros(micros).ok());
            let (Some(version), Some(created)) = (version, created) else {
                return Err(KeyStoreError::Peer {
                    what: format!("the versions of the key '{name}'"),
                });
            };
            if version.number() >= self.min_decryption_version {
                versions.push(VersionInfo { version, created });
            }
        }
        versions.sort_by_key(|v| v.version);
        let state = if self.soft_deleted { KeyState::Revoked } else { KeyState::Active };
        Ok(KeyInfo { name: name.clone(), state, versions })
    }
}
