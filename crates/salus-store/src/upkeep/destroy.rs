use std::collections::BTreeSet;

use salus_keys::KeyStoreError;
use salus_model::{DatasetId, KeyClass, KeyName};
use salus_spine::{Upkeep, UpkeepAuthorised};

use crate::keytools::KeyToolsError;
use crate::lake::{Lake, LakeError};
use crate::policy::KeyChoice;

/// What a destruction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destroyed {
    /// The master keys that are gone for ever.
    pub keys: Vec<KeyName>,
    /// How many objects were removed from the lake.
    pub objects: usize,
}

impl Lake {
    /// Destroys a dataset: its master keys first, so that no copy of its files can be read from
    /// then on, and then its files.
    ///
    /// Done again after a crash, it goes on where it stopped.
    ///
    /// # Privacy
    /// Whoever has a copy of the files, or unwrapped a key before, is beyond its reach: a copy is
    /// unreadable without the keys, an unwrapped key lives as long as the key cache says.
    ///
    /// # Errors
    /// When the order does not cover it, there is no such dataset, another dataset is under one of
    /// its keys, or key store or storage refuse.
    pub async fn destroy(
        &self,
        order: &UpkeepAuthorised,
        dataset: &DatasetId,
    ) -> Result<Destroyed, LakeError> {
        let not_ordered = |source| LakeError::Upkeep { dataset: dataset.clone(), source };
        order.covers(dataset, Upkeep::Destroy).map_err(not_ordered)?;
        let _one_at_a_time = super::ONE_AT_A_TIME.lock().await;
        self.versions(dataset).await?;
        let own = self.keys_of(dataset).await?;
        for other in self.datasets().await?.into_iter().filter(|other| other != dataset) {
            let shared = self.keys_of(&other).await?.intersection(&own).next().cloned();
            if let Some(key) = shared {
                return Err(LakeError::SharedKey { dataset: dataset.clone(), other, key });
            }
        }
        let mut keys = Vec::new();
        for key in own {
            match self.keys.shred(&key).await {
                Ok(()) => keys.push(key),
                Err(KeyStoreError::NoSuchKey { .. }) => {}
                Err(source) => {
                    let what = format!("dataset {dataset}");
                    let source = KeyToolsError::KeyStore { key, what, source };
                    return Err(LakeError::Keys { dataset: dataset.clone(), source });
                }
            }
        }
        let objects = self.storage.remove_below(&Self::folder(dataset)).await?;
        Ok(Destroyed { keys, objects })
    }

    /// The master keys of a dataset: those of its classes, and the ones that any of its versions
    /// names for a column. A version that does not open names none.
    async fn keys_of(&self, dataset: &DatasetId) -> Result<BTreeSet<KeyName>, LakeError> {
        let class = |class| KeyChoice::Class(class).key_name(dataset);
        let mut keys: BTreeSet<KeyName> =
            KeyClass::ALL.into_iter().map(class).collect::<Result<_, _>>()?;
        for version in self.versions(dataset).await? {
            let Ok((manifest, _)) = self.read_manifest(dataset, version).await else { continue };
            for choice in manifest.keys.values() {
                keys.insert(choice.key_name(dataset)?);
            }
        }
        Ok(keys)
    }
}
