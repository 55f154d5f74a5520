//! A small key store in memory, real in what it does: AES-256-GCM under keys that stay inside.
//!
//! The one place of these tests that knows the key store's trait.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use salus_crypto::OsEntropy;
use salus_crypto::aead::{Aad, AeadKey};
use salus_keys::{
    Health, KeyInfo, KeyState, KeyStore, KeyStoreError, KeyVersion, VersionInfo, WrapContext,
    WrappedKey,
};
use salus_model::{KeyName, Secret, Timestamp};

struct Kept {
    versions: Vec<AeadKey>,
    state: KeyState,
}

#[derive(Default)]
pub struct MemoryKeys {
    keys: Mutex<BTreeMap<KeyName, Kept>>,
    asked: Mutex<Vec<KeyName>>,
}

impl MemoryKeys {
    /// Takes a key away for good.
    pub fn remove(&self, name: &str) {
        assert!(self.keys.lock().remove(&KeyName::new(name).unwrap()).is_some(), "no key {name}");
    }

    /// The keys that were asked for since the last call.
    pub fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock()).iter().map(ToString::to_string).collect()
    }

    fn with<T>(
        &self,
        name: &KeyName,
        work: impl FnOnce(&mut Kept) -> Result<T, KeyStoreError>,
    ) -> Result<T, KeyStoreError> {
        let mut keys = self.keys.lock();
        work(keys.get_mut(name).ok_or_else(|| KeyStoreError::NoSuchKey { name: name.clone() })?)
    }
}

fn aad(name: &KeyName, context: WrapContext<'_>) -> Aad {
    Aad::new("test key store", &[name.as_str().as_bytes(), context.as_bytes()])
}

fn info(name: &KeyName, kept: &Kept) -> KeyInfo {
    let version = |number: usize| VersionInfo {
        version: KeyVersion::new(u32::try_from(number).unwrap()).unwrap(),
        created: Timestamp::EPOCH,
    };
    let versions = (1..=kept.versions.len()).map(version).collect();
    KeyInfo { name: name.clone(), state: kept.state, versions }
}

fn usable(name: &KeyName, kept: &Kept) -> Result<(), KeyStoreError> {
    match kept.state {
        KeyState::Active => Ok(()),
        KeyState::Revoked => Err(KeyStoreError::Revoked { name: name.clone() }),
    }
}

#[async_trait::async_trait]
impl KeyStore for MemoryKeys {
    async fn create(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        let mut keys = self.keys.lock();
        if keys.contains_key(name) {
            return Err(KeyStoreError::Exists { name: name.clone() });
        }
        let versions = vec![AeadKey::generate(&mut OsEntropy).unwrap()];
        let kept = Kept { versions, state: KeyState::Active };
        Ok(info(name, keys.entry(name.clone()).or_insert(kept)))
    }

    async fn rotate(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        self.with(name, |kept| {
            kept.versions.push(AeadKey::generate(&mut OsEntropy).unwrap());
            Ok(info(name, kept))
        })
    }

    async fn wrap(
        &self,
        name: &KeyName,
        context: WrapContext<'_>,
        key: &Secret<Vec<u8>>,
    ) -> Result<WrappedKey, KeyStoreError> {
        self.with(name, |kept| {
            usable(name, kept)?;
            let version = u32::try_from(kept.versions.len()).unwrap();
            let master = kept.versions.last().unwrap();
            let sealed = master.seal(&mut OsEntropy, &aad(name, context), key.expose()).unwrap();
            Ok(WrappedKey::new(KeyVersion::new(version).unwrap(), &sealed))
        })
    }

    async fn unwrap(
        &self,
        name: &KeyName,
        context: WrapContext<'_>,
        wrapped: &WrappedKey,
    ) -> Result<Secret<Vec<u8>>, KeyStoreError> {
        self.asked.lock().push(name.clone());
        self.with(name, |kept| {
            usable(name, kept)?;
            let refused = || KeyStoreError::Unwrap { name: name.clone() };
            let place = usize::try_from(wrapped.version().number()).unwrap() - 1;
            let master = kept.versions.get(place).ok_or_else(refused)?;
            let opened = master.open(&aad(name, context), &wrapped.sealed());
            Ok(Secret::new(opened.map_err(|_| refused())?.to_vec()))
        })
    }

    async fn describe(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        self.with(name, |kept| Ok(info(name, kept)))
    }

    async fn list(&self) -> Result<Vec<KeyInfo>, KeyStoreError> {
        Ok(self.keys.lock().iter().map(|(name, kept)| info(name, kept)).collect())
    }

    async fn revoke(&self, name: &KeyName) -> Result<(), KeyStoreError> {
        self.with(name, |kept| {
            kept.state = KeyState::Revoked;
            Ok(())
        })
    }

    async fn reinstate(&self, name: &KeyName) -> Result<(), KeyStoreError> {
        self.with(name, |kept| {
            kept.state = KeyState::Active;
            Ok(())
        })
    }

    async fn shred(&self, name: &KeyName) -> Result<(), KeyStoreError> {
        let gone = self.keys.lock().remove(name);
        gone.map(drop).ok_or_else(|| KeyStoreError::NoSuchKey { name: name.clone() })
    }

    async fn health(&self) -> Result<Health, KeyStoreError> {
        Ok(Health { store: "memory".to_owned(), warnings: Vec::new() })
    }
}
