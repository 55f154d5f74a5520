use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parquet::encryption::decrypt::FileDecryptionProperties;
use parquet::file::column_crypto_metadata::ColumnCryptoMetaData;
use parquet::file::metadata::ParquetMetaData;
use salus_crypto::pkmt1::{DataKey, KeyMaterial, KeyMetadata, UnwrapRefused};
use salus_keys::{KeyStore, WrapContext};
use salus_model::{ColumnPath, DatasetId, KeyClass, KeyName, Secret};
use tokio::sync::Mutex;

use super::{FOOTER, KeyToolsError, column};
use crate::policy::KeyChoice;

/// Unwrapped key-encryption keys of one session, so that many files cost one request.
#[derive(Default)]
pub(crate) struct Unwrapped(Mutex<HashMap<(KeyName, String), Arc<DataKey>>>);

/// Unwraps a file's data keys under the master keys that the dataset's policy names, and no other.
pub(crate) struct ColumnKeys<'a> {
    pub(crate) store: &'a dyn KeyStore,
    pub(crate) session: &'a Unwrapped,
    pub(crate) dataset: &'a DatasetId,
    pub(crate) keys: &'a BTreeMap<ColumnPath, KeyChoice>,
    /// The leaves whose keys are unwrapped.
    pub(crate) wanted: &'a BTreeSet<ColumnPath>,
}

impl ColumnKeys<'_> {
    /// The footer's key, from material in the file or beside it.
    pub(crate) async fn footer(
        &self,
        material: Option<&KeyMaterial>,
    ) -> Result<DataKey, KeyToolsError> {
        let master = KeyChoice::Class(KeyClass::Footer).key_name(self.dataset)?;
        self.key(material, &master, FOOTER.to_owned()).await
    }

    /// What opens the file, where `material` finds that of each wanted leaf by its place among
    /// `leaves`.
    pub(crate) async fn properties(
        &self,
        footer: &DataKey,
        leaves: &[ColumnPath],
        aad_prefix: Vec<u8>,
        material: impl Fn(usize, &ColumnPath) -> Result<Option<KeyMaterial>, KeyToolsError>,
    ) -> Result<Arc<FileDecryptionProperties>, KeyToolsError> {
        let mut properties =
            FileDecryptionProperties::builder(footer.expose().to_vec()).with_aad_prefix(aad_prefix);
        for (place, leaf) in leaves.iter().enumerate().filter(|(_, l)| self.wanted.contains(*l)) {
            let missing = || KeyToolsError::NoMaterial { what: column(leaf) };
            let master = self.keys.get(leaf).ok_or_else(missing)?.key_name(self.dataset)?;
            let material = material(place, leaf)?;
            let key = self.key(material.as_ref(), &master, column(leaf)).await?;
            properties = properties.with_column_key(leaf.as_str(), key.expose().to_vec());
        }
        Ok(properties.build()?)
    }

    async fn key(
        &self,
        material: Option<&KeyMaterial>,
        master: &KeyName,
        what: String,
    ) -> Result<DataKey, KeyToolsError> {
        let Some(material) = material else {
            return Err(KeyToolsError::NoMaterial { what });
        };
        let (named, wrapped) = material.request();
        if named.as_str() != master.as_str() {
            return Err(KeyToolsError::OtherKey { what });
        }
        let slot = (master.clone(), wrapped.to_owned());
        let mut known = self.session.0.lock().await;
        let answer = match known.get(&slot) {
            Some(key) => Arc::clone(key),
            None => {
                let damaged =
                    |_| KeyToolsError::Unwrap { what: what.clone(), source: UnwrapRefused };
                let wrapped = wrapped.parse().map_err(damaged)?;
                let answer = self.store.unwrap(master, WrapContext::KeyTools, &wrapped).await;
                let bytes = answer.map_err(|source| KeyToolsError::KeyStore {
                    key: master.clone(),
                    what: what.clone(),
                    source,
                })?;
                let refused =
                    |_| KeyToolsError::Unwrap { what: what.clone(), source: UnwrapRefused };
                let key = Arc::new(DataKey::new(bytes).map_err(refused)?);
                known.insert(slot, Arc::clone(&key));
                key
            }
        };
        drop(known);
        let bytes = Secret::new(answer.expose().to_vec());
        material.data_key(bytes).map_err(|source| KeyToolsError::Unwrap { what, source })
    }
}

/// The material of a leaf that stands in the file, from a footer that was opened without its key;
/// none when the file has no row groups, or keeps the leaf's material elsewhere.
pub(crate) fn column_material(
    metadata: &ParquetMetaData,
    place: usize,
) -> Result<Option<KeyMaterial>, KeyToolsError> {
    let chunk = metadata.row_groups().first().and_then(|group| group.columns().get(place));
    let Some(ColumnCryptoMetaData::ENCRYPTION_WITH_COLUMN_KEY(with)) =
        chunk.and_then(|chunk| chunk.crypto_metadata())
    else {
        return Ok(None);
    };
    match KeyMetadata::from_bytes(with.key_metadata.as_deref().unwrap_or_default())? {
        KeyMetadata::Internal(material) => Ok(Some(material)),
        KeyMetadata::External { .. } => Ok(None),
    }
}
