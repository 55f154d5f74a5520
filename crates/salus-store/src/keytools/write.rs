use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parquet::encryption::encrypt::FileEncryptionProperties;
use salus_crypto::OsEntropy;
use salus_crypto::pkmt1::{DataKey, ExternalMaterial, Kek, KeyMaterial, KeyMetadata, KeyRole};
use salus_keys::{KeyStore, WrapContext};
use salus_model::{ColumnPath, DatasetId, KeyClass, KeyName, Secret};

use super::settings::{EncryptionSettings, FooterMode, MaterialStorage, WrappingMode};
use super::{FOOTER, KeyToolsError, column};
use crate::policy::KeyChoice;

/// Makes the keys of the files of one write, with one request a master key.
pub(crate) struct WriteKeys {
    store: Arc<dyn KeyStore>,
    settings: EncryptionSettings,
    footer: KeyName,
    columns: Vec<(ColumnPath, KeyName)>,
    wrappers: HashMap<KeyName, (Kek, String)>,
}

/// A new file's keys: what Parquet needs, and the material to keep beside the file, if any.
pub(crate) struct NewFileKeys {
    pub(crate) properties: Arc<FileEncryptionProperties>,
    pub(crate) material: Option<ExternalMaterial>,
}

impl WriteKeys {
    /// Prepares the wrapping keys for a dataset whose leaves, in order, have these keys.
    pub(crate) async fn prepare(
        store: Arc<dyn KeyStore>,
        settings: EncryptionSettings,
        dataset: &DatasetId,
        leaves: &[ColumnPath],
        keys: &BTreeMap<ColumnPath, KeyChoice>,
    ) -> Result<Self, KeyToolsError> {
        let footer = KeyChoice::Class(KeyClass::Footer).key_name(dataset)?;
        let mut columns = Vec::with_capacity(leaves.len());
        for leaf in leaves {
            let choice =
                keys.get(leaf).ok_or_else(|| KeyToolsError::NoMaterial { what: column(leaf) })?;
            columns.push((leaf.clone(), choice.key_name(dataset)?));
        }
        let mut wrappers = HashMap::new();
        if settings.wrapping == WrappingMode::Double {
            let mut masters: BTreeSet<&KeyName> = columns.iter().map(|(_, key)| key).collect();
            masters.insert(&footer);
            for master in masters {
                let kek = Kek::generate(&mut OsEntropy, settings.key_bits)?;
                let what = format!("the columns under '{master}'");
                let wrapped = wrap(&*store, master, kek.key(), what).await?;
                wrappers.insert(master.clone(), (kek, wrapped));
            }
        }
        Ok(Self { store, settings, footer, columns, wrappers })
    }

    async fn material(
        &self,
        role: KeyRole,
        master: &KeyName,
        key: &DataKey,
        what: String,
    ) -> Result<KeyMaterial, KeyToolsError> {
        let id = master.into();
        match self.wrappers.get(master) {
            Some((kek, wrapped)) => {
                let wrapped = wrapped.clone();
                Ok(KeyMaterial::double(&mut OsEntropy, role, id, kek, wrapped, key)?)
            }
            None => {
                let wrapped = wrap(&*self.store, master, key, what).await?;
                Ok(KeyMaterial::single(role, id, wrapped))
            }
        }
    }

    /// Makes the keys of one new file, bound to it by `aad_prefix`.
    pub(crate) async fn new_file(&self, aad_prefix: Vec<u8>) -> Result<NewFileKeys, KeyToolsError> {
        let bits = self.settings.key_bits;
        let mut kept = Kept::new(self.settings.material);
        let footer = DataKey::generate(&mut OsEntropy, bits)?;
        let role = KeyRole::default_footer();
        let entry = self.material(role, &self.footer, &footer, FOOTER.to_owned()).await?;
        let metadata = kept.keep(ExternalMaterial::FOOTER.to_owned(), entry);
        let mut properties = FileEncryptionProperties::builder(footer.expose().to_vec())
            .with_footer_key_metadata(metadata)
            .with_plaintext_footer(self.settings.footer == FooterMode::SignedPlaintext)
            .with_aad_prefix(aad_prefix)
            .with_aad_prefix_storage(true);
        for (index, (path, master)) in self.columns.iter().enumerate() {
            let key = DataKey::generate(&mut OsEntropy, bits)?;
            let entry = self.material(KeyRole::Column, master, &key, column(path)).await?;
            let metadata = kept.keep(ExternalMaterial::column(index), entry);
            let bytes = key.expose().to_vec();
            properties = properties.with_column_key_and_metadata(path.as_str(), bytes, metadata);
        }
        Ok(NewFileKeys { properties: properties.build()?, material: kept.beside() })
    }
}

/// Key material on its way into a file or into the object beside it.
enum Kept {
    Inside,
    Beside(ExternalMaterial),
}

impl Kept {
    fn new(storage: MaterialStorage) -> Self {
        match storage {
            MaterialStorage::Internal => Self::Inside,
            MaterialStorage::External => Self::Beside(ExternalMaterial::default()),
        }
    }

    /// Keeps an entry; what stands in the file in its place.
    fn keep(&mut self, name: String, entry: KeyMaterial) -> Vec<u8> {
        match self {
            Self::Inside => KeyMetadata::Internal(entry),
            Self::Beside(material) => {
                material.0.insert(name.clone(), entry);
                KeyMetadata::External { reference: name }
            }
        }
        .to_bytes()
    }

    fn beside(self) -> Option<ExternalMaterial> {
        match self {
            Self::Inside => None,
            Self::Beside(material) => Some(material),
        }
    }
}

async fn wrap(
    store: &dyn KeyStore,
    master: &KeyName,
    key: &DataKey,
    what: String,
) -> Result<String, KeyToolsError> {
    let bytes = Secret::new(key.expose().to_vec());
    match store.wrap(master, WrapContext::KeyTools, &bytes).await {
        Ok(wrapped) => Ok(wrapped.into()),
        Err(source) => Err(KeyToolsError::KeyStore { key: master.clone(), what, source }),
    }
}
