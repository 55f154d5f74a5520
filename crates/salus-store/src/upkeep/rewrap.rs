use std::collections::{BTreeSet, HashMap};

use salus_crypto::pkmt1::{ExternalMaterial, KeyMaterial, UnwrapRefused};
use salus_keys::WrappedKey;
use salus_model::{DatasetId, KeyName};

use super::ONE_AT_A_TIME;
use crate::file::{FileError, FileMaterial};
use crate::keytools::KeyToolsError;
use crate::lake::{Lake, LakeError};
use crate::manifest::{DataFile, Manifest};
use crate::sealed::{self, SealedError};

/// What was wrapped anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rewrapped {
    /// Files whose key material was replaced.
    pub files: usize,
    /// Sealed objects, such as manifests.
    pub objects: usize,
    /// Keys that the key store wrapped.
    pub keys: usize,
    /// Files that keep their key material inside and were left as they are: they need the versions
    /// of the master keys that they were written under for as long as they exist.
    pub internal: usize,
}

/// Keys that were wrapped anew already: by master key and old wrapping.
type Known = HashMap<(String, String), String>;

impl Lake {
    /// Wraps all of a dataset's keys anew under the newest versions of its master keys, without
    /// touching a data file. Afterwards the older versions of the master keys can go, unless
    /// [`Rewrapped::internal`] counts files: key material inside a file cannot be replaced without
    /// writing the file anew.
    ///
    /// # Privacy
    /// Unwraps keys in memory; no column is decrypted.
    ///
    /// # Errors
    /// When the key store or the storage refuse. What was wrapped until then stays valid, and
    /// doing it again goes on; keep the older versions until it has succeeded.
    ///
    /// # Cost
    /// Two requests to the key store for each key-encryption key (with single wrapping: column
    /// and file), and for each version.
    pub async fn rewrap(&self, dataset: &DatasetId) -> Result<Rewrapped, LakeError> {
        let _one_at_a_time = ONE_AT_A_TIME.lock().await;
        let (mut done, mut known, mut seen) = Default::default();
        for version in self.versions(dataset).await? {
            let (manifest, _) = self.read_manifest(dataset, version).await?;
            for file in &manifest.files {
                if BTreeSet::insert(&mut seen, file.name.clone()) {
                    self.rewrap_material(&manifest, file, &mut known, &mut done).await?;
                }
            }
            if let Some(file) = manifest.superseded.as_ref().filter(|f| seen.insert(f.name.clone()))
            {
                self.rewrap_object(dataset, &self.data_path(dataset, &file.name)).await?;
                done.objects += 1;
            }
            self.rewrap_object(dataset, &Self::manifest_path(dataset, version)).await?;
            done.objects += 1;
        }
        Ok(done)
    }

    async fn rewrap_object(
        &self,
        dataset: &DatasetId,
        path: &object_store::path::Path,
    ) -> Result<(), LakeError> {
        let object = self.storage.read(path).await?;
        let key = Self::footer_key(dataset)?;
        let rewrapped = sealed::rewrap(&*self.keys, &key, &object).await.map_err(|source| {
            let dataset = dataset.clone();
            match source {
                SealedError::KeyStore { key, source } => LakeError::Locked { dataset, key, source },
                source => LakeError::Sealed { dataset, source },
            }
        })?;
        Ok(self.storage.replace(path, rewrapped.into()).await?)
    }

    async fn rewrap_material(
        &self,
        manifest: &Manifest,
        file: &DataFile,
        known: &mut Known,
        done: &mut Rewrapped,
    ) -> Result<(), LakeError> {
        let dataset = &manifest.dataset;
        let refused = |source| LakeError::File { dataset: dataset.clone(), source };
        let material = match self.read_material(manifest, file).await.map_err(refused)? {
            FileMaterial::Beside(material) => material,
            FileMaterial::Inside(_) => {
                done.internal += 1;
                return Ok(());
            }
        };
        let mut rewrapped = ExternalMaterial::default();
        for (name, entry) in material.0 {
            let entry = self
                .rewrap_entry(entry, known, done)
                .await
                .map_err(|source| refused(FileError::Keys { file: file.name.clone(), source }))?;
            rewrapped.0.insert(name, entry);
        }
        let path = self.material_path(dataset, &file.name);
        self.storage.replace(&path, rewrapped.to_json().into()).await?;
        done.files += 1;
        Ok(())
    }

    async fn rewrap_entry(
        &self,
        entry: KeyMaterial,
        known: &mut Known,
        done: &mut Rewrapped,
    ) -> Result<KeyMaterial, KeyToolsError> {
        let (master, wrapped) = entry.request();
        let slot = (master.as_str().to_owned(), wrapped.to_owned());
        if let Some(wrapped) = known.get(&slot) {
            let wrapped = wrapped.clone();
            return Ok(entry.rewrapped(wrapped));
        }
        let key = KeyName::new(master.as_str())?;
        let what = format!("the columns under '{key}'");
        let unreadable = |_| KeyToolsError::Unwrap { what: what.clone(), source: UnwrapRefused };
        let wrapped: WrappedKey = wrapped.parse().map_err(unreadable)?;
        let wrapped =
            sealed::rewrap_key(&*self.keys, &key, &wrapped).await.map_err(|e| match e {
                SealedError::KeyStore { key, source } => {
                    KeyToolsError::KeyStore { key, what, source }
                }
                _ => KeyToolsError::NoMaterial { what },
            })?;
        done.keys += 1;
        let wrapped = wrapped.as_str().to_owned();
        known.insert(slot, wrapped.clone());
        Ok(entry.rewrapped(wrapped))
    }
}
