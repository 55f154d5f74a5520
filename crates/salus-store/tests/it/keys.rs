//! A key store in memory, with versions, revocation and a fault switch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use salus_crypto::aead::{Aad, AeadKey};
use salus_crypto::{Digest, OsEntropy};
use salus_keys::{
    Health, KeyInfo, KeyState, KeyStore, KeyStoreError, KeyVersion, VersionInfo, WrapContext,
    WrappedKey,
};
use salus_model::{KeyName, Secret, Timestamp};

/// A master key's versions, the first at 0; destroyed ones are none.
#[derive(Default)]
struct Master {
    versions: Vec<Option<AeadKey>>,
    revoked: bool,
}

/// Master keys by name.
#[derive(Default)]
pub struct MemoryKeys {
    masters: Mutex<BTreeMap<KeyName, Master>>,
    /// When set, keys are derived from it, so that two processes have the same.
    seed: Option<&'static str>,
    away: AtomicBool,
}

fn version(index: usize) -> KeyVersion {
    KeyVersion::new(u32::try_from(index + 1).unwrap()).unwrap()
}

impl MemoryKeys {
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    pub fn seeded(seed: &'static str) -> Arc<Self> {
        Arc::new(Self { seed: Some(seed), ..Self::default() })
    }

    fn fresh(&self, key: &KeyName, version: usize) -> AeadKey {
        match self.seed {
            None => AeadKey::generate(&mut OsEntropy).unwrap(),
            Some(seed) => {
                let parts = [seed.as_bytes(), key.as_str().as_bytes(), &version.to_be_bytes()];
                let bytes = Digest::of_parts("test master keys", &parts);
                AeadKey::from_secret(Secret::new(*bytes.as_bytes()))
            }
        }
    }

    /// Makes a master key where there is none.
    pub async fn ensure(&self, key: &KeyName) -> Result<(), KeyStoreError> {
        match self.create(key).await {
            Ok(_) | Err(KeyStoreError::Exists { .. }) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Destroys every version but the newest.
    pub fn forget_old_versions(&self, key: &KeyName) {
        let mut masters = self.masters.lock();
        let versions = &mut masters.get_mut(key).unwrap().versions;
        let newest = versions.len() - 1;
        versions[..newest].iter_mut().for_each(|v| *v = None);
    }

    pub fn names(&self) -> Vec<KeyName> {
        self.masters.lock().keys().cloned().collect()
    }

    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    fn aad(key: &KeyName, context: WrapContext<'_>) -> Aad {
        Aad::new("test wrap", &[key.as_str().as_bytes(), context.as_bytes()])
    }

    fn with<T>(
        &self,
        name: &KeyName,
        work: impl FnOnce(&mut Master) -> Result<T, KeyStoreError>,
    ) -> Result<T, KeyStoreError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(KeyStoreError::Unavailable { what: "switched off".into(), source: None });
        }
        let mut masters = self.masters.lock();
        let master = masters.get_mut(name);
        work(master.ok_or_else(|| KeyStoreError::NoSuchKey { name: name.clone() })?)
    }

    fn info(name: &KeyName, master: &Master) -> KeyInfo {
        let versions = (0..master.versions.len())
            .map(|v| VersionInfo { version: version(v), created: Timestamp::EPOCH });
        let state = if master.revoked { KeyState::Revoked } else { KeyState::Active };
        KeyInfo { name: name.clone(), state, versions: versions.collect() }
    }
}

fn usable(name: &KeyName, master: &Master) -> Result<(), KeyStoreError> {
    if master.revoked { Err(KeyStoreError::Revoked { name: name.clone() }) } else { Ok(()) }
}

#[async_trait::async_trait]
impl KeyStore for MemoryKeys {
    async fn create(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        let first = self.fresh(name, 0);
        let mut masters = self.masters.lock();
        if masters.contains_key(name) {
            return Err(KeyStoreError::Exists { name: name.clone() });
        }
        let master = Master { versions: vec![Some(first)], revoked: false };
        let info = Self::info(name, &master);
        masters.insert(name.clone(), master);
        Ok(info)
    }

    async fn rotate(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        self.with(name, |master| {
            let next = self.fresh(name, master.versions.len());
            master.versions.push(Some(next));
            Ok(Self::info(name, master))
        })
    }

    async fn wrap(
        &self,
        name: &KeyName,
        context: WrapContext<'_>,
        key: &Secret<Vec<u8>>,
    ) -> Result<WrappedKey, KeyStoreError> {
        self.with(name, |master| {
            usable(name, master)?;
            let newest = master.versions.len() - 1;
            let latest = master.versions[newest].as_ref().unwrap();
            let sealed = latest.seal(&mut OsEntropy, &Self::aad(name, context), key.expose());
            Ok(WrappedKey::new(version(newest), &sealed.unwrap()))
        })
    }

    async fn unwrap(
        &self,
        name: &KeyName,
        context: WrapContext<'_>,
        wrapped: &WrappedKey,
    ) -> Result<Secret<Vec<u8>>, KeyStoreError> {
        self.with(name, |master| {
            usable(name, master)?;
            let index = wrapped.version().number() as usize - 1;
            let key = master.versions.get(index).and_then(Option::as_ref);
            let key = key.ok_or_else(|| KeyStoreError::NoSuchVersion {
                name: name.clone(),
                version: wrapped.version(),
            })?;
            let opened = key.open(&Self::aad(name, context), &wrapped.sealed());
            let opened = opened.map_err(|_| KeyStoreError::Unwrap { name: name.clone() })?;
            Ok(Secret::new(opened.to_vec()))
        })
    }

    async fn describe(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        self.with(name, |master| Ok(Self::info(name, master)))
    }

    async fn list(&self) -> Result<Vec<KeyInfo>, KeyStoreError> {
        Ok(self.masters.lock().iter().map(|(name, m)| Self::info(name, m)).collect())
    }

    async fn revoke(&self, name: &KeyName) -> Result<(), KeyStoreError> {
        self.with(name, |master| {
            master.revoked = true;
            Ok(())
        })
    }

    async fn reinstate(&self, name: &KeyName) -> Result<(), KeyStoreError> {
        self.with(name, |master| {
            master.revoked = false;
            Ok(())
        })
    }

    async fn shred(&self, name: &KeyName) -> Result<(), KeyStoreError> {
        self.with(name, |_| Ok(()))?;
        self.masters.lock().remove(name);
        Ok(())
    }

    async fn health(&self) -> Result<Health, KeyStoreError> {
        Ok(Health { store: "in memory, for tests".into(), warnings: vec![] })
    }
}

#[test]
fn settings_from_before_there_was_internal_material_mean_external() {
    let old = r#"{"key_bits":256,"wrapping":"double","footer":"encrypted"}"#;
    let settings: salus_store::EncryptionSettings = serde_json::from_str(old).unwrap();
    assert_eq!(settings, salus_store::EncryptionSettings::STRICT);
    let unknown = old.replace("encrypted\"", "encrypted\",\"plaintext\":true");
    assert!(serde_json::from_str::<salus_store::EncryptionSettings>(&unknown).is_err());
}
