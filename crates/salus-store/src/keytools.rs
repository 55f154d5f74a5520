//! Keys of data files: made, wrapped and unwrapped as Parquet key tools (PKMT1) do it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parquet::encryption::decrypt::FileDecryptionProperties;
use parquet::encryption::encrypt::FileEncryptionProperties;
use salus_crypto::OsEntropy;
use salus_crypto::pkmt1::{
    DataKey, DataKeyLength, ExternalMaterial, Kek, KeyMaterial, KeyMetadata, KeyRole,
    MaterialRefused, UnwrapRefused,
};
use salus_keys::{KeyStore, KeyStoreError, WrapContext};
use salus_model::{
    Class, Classified, ColumnPath, DatasetId, EntropyFailed, IdError, KeyClass, KeyName, Secret,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::policy::KeyChoice;

/// How a file's footer is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FooterMode {
    /// Encrypted: schema and row counts are hidden.
    Encrypted,
    /// In plaintext and signed: old readers see schema and unencrypted statistics of no column.
    SignedPlaintext,
}

/// How data keys are wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WrappingMode {
    /// Each data key by its master key: one request to the key store a column.
    Single,
    /// Data keys by a key-encryption key, and that by the master key: one request a master key.
    Double,
}

/// How new files of a dataset are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptionSettings {
    /// Length of data keys and key-encryption keys, in bits: 128 or 256.
    #[serde(with = "key_bits")]
    pub key_bits: DataKeyLength,
    /// How data keys are wrapped.
    pub wrapping: WrappingMode,
    /// How the footer is protected.
    pub footer: FooterMode,
}

impl EncryptionSettings {
    /// AES-256, double wrapping, encrypted footer: what `salus init` sets.
    pub const STRICT: Self = Self {
        key_bits: DataKeyLength::Bits256,
        wrapping: WrappingMode::Double,
        footer: FooterMode::Encrypted,
    };
}

mod key_bits {
    use salus_crypto::pkmt1::DataKeyLength;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(
        length: &DataKeyLength,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_u64(length.bits() as u64)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<DataKeyLength, D::Error> {
        match u64::deserialize(from)? {
            128 => Ok(DataKeyLength::Bits128),
            256 => Ok(DataKeyLength::Bits256),
            other => Err(D::Error::custom(format!("key_bits is 128 or 256, not {other}"))),
        }
    }
}

/// Why a file's keys could not be made or unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum KeyToolsError {
    /// The key store refused, or is out of reach.
    #[error("the key '{key}' that protects {what} is not available")]
    KeyStore {
        /// The master key.
        key: KeyName,
        /// A column, or the footer.
        what: String,
        /// Why.
        #[source]
        source: KeyStoreError,
    },
    /// The key material of a column is not there.
    #[error("the key material of {what} is missing")]
    NoMaterial {
        /// A column, or the footer.
        what: String,
    },
    /// The key material names another master key than the dataset's policy.
    #[error("the key material of {what} names another master key than the manifest")]
    OtherKey {
        /// A column, or the footer.
        what: String,
    },
    /// The key material cannot be read.
    #[error("the key material is damaged")]
    Material(#[from] MaterialRefused),
    /// The data key does not unwrap.
    #[error("the data key of {what} does not unwrap: wrong key, or damaged material")]
    Unwrap {
        /// A column, or the footer.
        what: String,
        /// Why.
        #[source]
        source: UnwrapRefused,
    },
    /// No random bytes.
    #[error("no key can be made")]
    Entropy(#[from] EntropyFailed),
    /// A key name that does not fit.
    #[error("the dataset's key has no valid name")]
    KeyName(#[from] IdError),
    /// Parquet refused the keys.
    #[error("the keys do not fit the file")]
    Parquet(#[from] parquet::errors::ParquetError),
}

impl Classified for KeyToolsError {
    fn class(&self) -> Class {
        match self {
            Self::KeyStore { source, .. } => key_class(source),
            Self::NoMaterial { .. }
            | Self::OtherKey { .. }
            | Self::Material(_)
            | Self::Unwrap { .. } => Class::Corrupt,
            Self::Entropy(_) => Class::Unavailable,
            Self::KeyName(_) => Class::BadRequest,
            Self::Parquet(_) => Class::Bug,
        }
    }
}

/// Who has to act: a key that was there when the data were written and is gone was destroyed by
/// its owner, which refuses its columns.
pub(crate) fn key_class(error: &KeyStoreError) -> Class {
    match error {
        KeyStoreError::NoSuchKey { .. } => Class::Refused,
        other => other.class(),
    }
}

pub(crate) const FOOTER: &str = "the footer";

fn column(path: &ColumnPath) -> String {
    format!("column '{path}'")
}

/// Makes the keys of the files of one write, with one request a master key.
pub(crate) struct WriteKeys {
    store: Arc<dyn KeyStore>,
    settings: EncryptionSettings,
    footer: KeyName,
    columns: Vec<(ColumnPath, KeyName)>,
    wrappers: HashMap<KeyName, (Kek, String)>,
}

/// A new file's keys: what Parquet needs, and the material to keep beside the file.
pub(crate) struct NewFileKeys {
    pub(crate) properties: Arc<FileEncryptionProperties>,
    pub(crate) material: ExternalMaterial,
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
        let mut material = BTreeMap::new();
        let footer = DataKey::generate(&mut OsEntropy, bits)?;
        let role = KeyRole::default_footer();
        let entry = self.material(role, &self.footer, &footer, FOOTER.to_owned()).await?;
        material.insert(ExternalMaterial::FOOTER.to_owned(), entry);
        let mut properties = FileEncryptionProperties::builder(footer.expose().to_vec())
            .with_footer_key_metadata(reference(ExternalMaterial::FOOTER.to_owned()))
            .with_plaintext_footer(self.settings.footer == FooterMode::SignedPlaintext)
            .with_aad_prefix(aad_prefix)
            .with_aad_prefix_storage(true);
        for (index, (path, master)) in self.columns.iter().enumerate() {
            let key = DataKey::generate(&mut OsEntropy, bits)?;
            let entry = self.material(KeyRole::Column, master, &key, column(path)).await?;
            let name = ExternalMaterial::column(index);
            material.insert(name.clone(), entry);
            let bytes = key.expose().to_vec();
            properties =
                properties.with_column_key_and_metadata(path.as_str(), bytes, reference(name));
        }
        let material = ExternalMaterial(material);
        Ok(NewFileKeys { properties: properties.build()?, material })
    }
}

fn reference(name: String) -> Vec<u8> {
    KeyMetadata::External { reference: name }.to_bytes()
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

/// Unwrapped key-encryption keys of one session, so that many files cost one request.
#[derive(Default)]
pub(crate) struct Unwrapped(Mutex<HashMap<(KeyName, String), Arc<DataKey>>>);

/// Unwraps the keys of one file: the footer's, and those of the wanted leaves and no other.
pub(crate) async fn unwrap_file(
    store: &dyn KeyStore,
    session: &Unwrapped,
    (dataset, leaves, keys): (&DatasetId, &[ColumnPath], &BTreeMap<ColumnPath, KeyChoice>),
    wanted: &BTreeSet<ColumnPath>,
    material: &ExternalMaterial,
    aad_prefix: Vec<u8>,
) -> Result<Arc<FileDecryptionProperties>, KeyToolsError> {
    let unwrapping = Unwrapping { store, session, material };
    let footer = KeyChoice::Class(KeyClass::Footer).key_name(dataset)?;
    let footer = unwrapping.key(ExternalMaterial::FOOTER, &footer, FOOTER.to_owned()).await?;
    let mut properties =
        FileDecryptionProperties::builder(footer.expose().to_vec()).with_aad_prefix(aad_prefix);
    for (index, leaf) in leaves.iter().enumerate().filter(|(_, leaf)| wanted.contains(leaf)) {
        let choice =
            keys.get(leaf).ok_or_else(|| KeyToolsError::NoMaterial { what: column(leaf) })?;
        let master = choice.key_name(dataset)?;
        let key = unwrapping.key(&ExternalMaterial::column(index), &master, column(leaf)).await?;
        properties = properties.with_column_key(leaf.as_str(), key.expose().to_vec());
    }
    Ok(properties.build()?)
}

struct Unwrapping<'a> {
    store: &'a dyn KeyStore,
    session: &'a Unwrapped,
    material: &'a ExternalMaterial,
}

impl Unwrapping<'_> {
    async fn key(
        &self,
        name: &str,
        master: &KeyName,
        what: String,
    ) -> Result<DataKey, KeyToolsError> {
        let Some(material) = self.material.0.get(name) else {
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
