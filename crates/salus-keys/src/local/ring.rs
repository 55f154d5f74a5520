use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use salus_crypto::OsEntropy;
use salus_crypto::aead::{self, AeadKey};
use salus_crypto::passphrase::{self, StretchedPassphrase};
use salus_model::{Entropy, EntropyFailed, KeyName, Secret, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::file::FileError;
use crate::{KeyInfo, KeyState, KeyVersion, VersionInfo, WrappedKey};

/// What a passphrase container must have been sealed for.
const PURPOSE: &str = "salus key file";

/// The version of the JSON inside the container.
const FORMAT: u32 = 1;

/// Why the ring did not do what was asked.
#[derive(Debug)]
pub(super) enum RingError {
    NoSuchKey(KeyName),
    Exists(KeyName),
    Revoked(KeyName),
    NoSuchVersion(KeyName, KeyVersion),
    Unwrap(KeyName),
    VersionsUsedUp(KeyName),
    Entropy(EntropyFailed),
}

/// The master keys of a key file, in memory.
#[derive(Default)]
pub(super) struct Ring(BTreeMap<KeyName, RingKey>);

struct RingKey {
    state: KeyState,
    versions: BTreeMap<KeyVersion, RingVersion>,
}

struct RingVersion {
    created: Timestamp,
    key: AeadKey,
}

impl RingKey {
    fn info(&self, name: &KeyName) -> KeyInfo {
        let version = |(&version, of): (&KeyVersion, &RingVersion)| VersionInfo {
            version,
            created: of.created,
        };
        let versions = self.versions.iter().map(version).collect();
        KeyInfo { name: name.clone(), state: self.state, versions }
    }
}

impl Ring {
    fn key(&self, name: &KeyName) -> Result<&RingKey, RingError> {
        self.0.get(name).ok_or_else(|| RingError::NoSuchKey(name.clone()))
    }

    fn key_mut(&mut self, name: &KeyName) -> Result<&mut RingKey, RingError> {
        self.0.get_mut(name).ok_or_else(|| RingError::NoSuchKey(name.clone()))
    }

    fn usable(&self, name: &KeyName) -> Result<&RingKey, RingError> {
        let key = self.key(name)?;
        match key.state {
            KeyState::Active => Ok(key),
            KeyState::Revoked => Err(RingError::Revoked(name.clone())),
        }
    }

    pub(super) fn create(
        &mut self,
        name: &KeyName,
        created: Timestamp,
        entropy: &mut dyn Entropy,
    ) -> Result<KeyInfo, RingError> {
        if self.0.contains_key(name) {
            return Err(RingError::Exists(name.clone()));
        }
        let key = AeadKey::generate(entropy).map_err(RingError::Entropy)?;
        let versions = BTreeMap::from([(KeyVersion::FIRST, RingVersion { created, key })]);
        let key = RingKey { state: KeyState::Active, versions };
        let info = key.info(name);
        self.0.insert(name.clone(), key);
        Ok(info)
    }

    pub(super) fn rotate(
        &mut self,
        name: &KeyName,
        created: Timestamp,
        entropy: &mut dyn Entropy,
    ) -> Result<KeyInfo, RingError> {
        self.usable(name)?;
        let held = self.key_mut(name)?;
        let last = held.versions.last_key_value().map(|(&version, _)| version);
        let next = last.map_or(Some(KeyVersion::FIRST), KeyVersion::next);
        let next = next.ok_or_else(|| RingError::VersionsUsedUp(name.clone()))?;
        let key = AeadKey::generate(entropy).map_err(RingError::Entropy)?;
        held.versions.insert(next, RingVersion { created, key });
        Ok(held.info(name))
    }

    pub(super) fn wrap(
        &self,
        name: &KeyName,
        context: &[u8],
        key: &[u8],
        entropy: &mut dyn Entropy,
    ) -> Result<WrappedKey, RingError> {
        let held = self.usable(name)?;
        let (&version, with) = held
            .versions
            .last_key_value()
            .ok_or_else(|| RingError::NoSuchVersion(name.clone(), KeyVersion::FIRST))?;
        let sealed = aead::seal_bare(entropy, &with.key, context, key)
            // The length was checked before, so only randomness can have failed.
            .map_err(|_| RingError::Entropy(EntropyFailed))?;
        Ok(WrappedKey::new(version, &sealed))
    }

    pub(super) fn unwrap(
        &self,
        name: &KeyName,
        context: &[u8],
        wrapped: &WrappedKey,
    ) -> Result<Secret<Vec<u8>>, RingError> {
        let version = wrapped.version();
        let with = self
            .usable(name)?
            .versions
            .get(&version)
            .ok_or_else(|| RingError::NoSuchVersion(name.clone(), version))?;
        let mut opened = aead::open_bare(&with.key, context, &wrapped.sealed())
            .map_err(|_| RingError::Unwrap(name.clone()))?;
        Ok(Secret::new(std::mem::take(&mut *opened)))
    }

    pub(super) fn set_state(&mut self, name: &KeyName, state: KeyState) -> Result<(), RingError> {
        self.key_mut(name)?.state = state;
        Ok(())
    }

    pub(super) fn shred(&mut self, name: &KeyName) -> Result<(), RingError> {
        match self.0.remove(name) {
            Some(_) => Ok(()),
            None => Err(RingError::NoSuchKey(name.clone())),
        }
    }

    pub(super) fn describe(&self, name: &KeyName) -> Result<KeyInfo, RingError> {
        Ok(self.key(name)?.info(name))
    }

    pub(super) fn list(&self) -> Vec<KeyInfo> {
        self.0.iter().map(|(name, key)| key.info(name)).collect()
    }
}

/// The JSON inside the container.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: u32,
    keys: Vec<WireKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireKey {
    name: KeyName,
    state: KeyState,
    versions: Vec<WireVersion>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireVersion {
    version: KeyVersion,
    created: Timestamp,
    key: String,
}

impl Drop for WireVersion {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// The ring as the content of a key file.
pub(super) fn seal(
    ring: &Ring,
    with: &StretchedPassphrase,
) -> Result<Vec<u8>, passphrase::SealFailed> {
    let keys: Vec<WireKey> = ring.0.iter().map(|(name, key)| wire_key(name, key)).collect();
    let versions: usize = keys.iter().map(|key| key.versions.len()).sum();
    // Reserved in full, so that no copy of the keys is left behind by growing.
    let mut json = Zeroizing::new(Vec::with_capacity(64 + 256 * keys.len() + 160 * versions));
    serde_json::to_writer(&mut *json, &Wire { format: FORMAT, keys })
        .map_err(|_| passphrase::SealFailed::Refused)?;
    with.seal(&mut OsEntropy, PURPOSE, &json)
}

fn wire_key(name: &KeyName, key: &RingKey) -> WireKey {
    let version = |(&version, of): (&KeyVersion, &RingVersion)| WireVersion {
        version,
        created: of.created,
        key: BASE64.encode(of.key.secret().expose()),
    };
    let versions = key.versions.iter().map(version).collect();
    WireKey { name: name.clone(), state: key.state, versions }
}

/// The ring from the content of a key file.
pub(super) fn open(container: &[u8], with: &StretchedPassphrase) -> Result<Ring, FileError> {
    let json = with.open(PURPOSE, container).map_err(FileError::Sealed)?;
    let wire: Wire = serde_json::from_slice(&json).map_err(|_| FileError::Damaged)?;
    if wire.format != FORMAT {
        return Err(FileError::Format { found: wire.format });
    }
    let mut ring = Ring::default();
    for key in wire.keys {
        let mut versions = BTreeMap::new();
        for version in &key.versions {
            let mut bytes = Zeroizing::new([0; 32]);
            let length = BASE64.decode_slice(&version.key, bytes.as_mut());
            if length != Ok(32) {
                return Err(FileError::Damaged);
            }
            let created = version.created;
            let secret = AeadKey::from_secret(Secret::new(*bytes));
            versions.insert(version.version, RingVersion { created, key: secret });
        }
        ring.0.insert(key.name, RingKey { state: key.state, versions });
    }
    Ok(ring)
}
