use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use salus_crypto::pkmt1::{
    DataKey, ExternalMaterial, KeyMaterial, KeyMetadata, MasterKeyId, UnwrapRefused,
};
use salus_keys::{KeyStore, KeyStoreError, WrapContext, WrappedKey};
use salus_model::{Class, Classified, ColumnPath, KeyName, Secret};

use super::{SourceError, data_key};
use crate::keytools::FOOTER;

/// Why a master key did not unwrap.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The key store refused, or is out of reach.
    #[error(transparent)]
    Store(#[from] KeyStoreError),
    /// No key of this key store has such a name.
    #[error("no key of this key store can have that name")]
    Name,
    /// It was wrapped by another kind of key store.
    #[error("it was wrapped by another kind of key store: Vault's form vault:vN: is wanted")]
    Format,
    /// It was wrapped by another key, or altered.
    #[error("it was wrapped by another key, or altered")]
    Unwrap(#[from] UnwrapRefused),
}

impl Classified for MasterKeyError {
    fn class(&self) -> Class {
        match self {
            Self::Store(e) => crate::keytools::key_class(e),
            Self::Name | Self::Format | Self::Unwrap(_) => Class::BadRequest,
        }
    }
}

/// Whoever unwraps keys under master keys that others named.
#[async_trait]
pub trait MasterKeys: Send + Sync {
    /// The key inside `wrapped`.
    ///
    /// # Errors
    /// When there is no such master key, or it refuses.
    async fn unwrap(
        &self,
        master: &MasterKeyId,
        wrapped: &str,
    ) -> Result<Secret<Vec<u8>>, MasterKeyError>;
}

/// The master keys of one of Salus's key stores.
pub struct StoreMasterKeys(Arc<dyn KeyStore>);

impl StoreMasterKeys {
    /// Those of this store.
    #[must_use]
    pub fn new(store: Arc<dyn KeyStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl MasterKeys for StoreMasterKeys {
    async fn unwrap(
        &self,
        master: &MasterKeyId,
        wrapped: &str,
    ) -> Result<Secret<Vec<u8>>, MasterKeyError> {
        let master = KeyName::new(master.as_str()).map_err(|_| MasterKeyError::Name)?;
        let wrapped: WrappedKey = wrapped.parse().map_err(|_| MasterKeyError::Format)?;
        Ok(self.0.unwrap(&master, WrapContext::KeyTools, &wrapped).await?)
    }
}

/// How the keys of an encrypted Parquet source are found.
#[derive(Clone)]
pub enum SourceKeys {
    /// Not at all: an encrypted source is refused.
    None,
    /// By Parquet key tools' material, in the file or beside it.
    KeyTools(Arc<dyn MasterKeys>),
    /// By name: the file's key metadata is the name of the data key itself.
    Named(Arc<BTreeMap<String, Secret<Vec<u8>>>>),
}

/// Finds the keys of one file.
pub(super) struct Finder {
    file: String,
    how: How,
}

enum How {
    Named(Arc<BTreeMap<String, Secret<Vec<u8>>>>),
    KeyTools { masters: Arc<dyn MasterKeys>, beside: Option<ExternalMaterial> },
}

impl Finder {
    /// For a file whose footer's key metadata is this.
    pub(super) fn new(
        file: &str,
        beside: &Path,
        keys: &SourceKeys,
        footer: &[u8],
    ) -> Result<Self, SourceError> {
        let name = || file.to_owned();
        let how = match keys {
            SourceKeys::None => return Err(SourceError::KeysWanted { file: name() }),
            SourceKeys::Named(keys) => How::Named(Arc::clone(keys)),
            SourceKeys::KeyTools(masters) => {
                let what = FOOTER.to_owned();
                let metadata = KeyMetadata::from_bytes(footer)
                    .map_err(|source| SourceError::Material { file: name(), what, source })?;
                let beside = match metadata {
                    KeyMetadata::Internal(_) => None,
                    KeyMetadata::External { .. } => Some(read_beside(file, beside)?),
                };
                How::KeyTools { masters: Arc::clone(masters), beside }
            }
        };
        Ok(Self { file: name(), how })
    }

    pub(super) fn path(&self, path: &str) -> Result<ColumnPath, SourceError> {
        ColumnPath::new(path).map_err(|_| SourceError::NoMaterial {
            file: self.file.clone(),
            what: "a column whose name does not fit".to_owned(),
        })
    }

    pub(super) async fn footer(&self, metadata: &[u8]) -> Result<DataKey, SourceError> {
        self.key(FOOTER.to_owned(), metadata).await
    }

    pub(super) async fn column(
        &self,
        column: &ColumnPath,
        metadata: &[u8],
    ) -> Result<DataKey, SourceError> {
        self.key(format!("column '{column}'"), metadata).await
    }

    async fn key(&self, what: String, metadata: &[u8]) -> Result<DataKey, SourceError> {
        if metadata.is_empty() {
            return Err(SourceError::NoMaterial { file: self.file.clone(), what });
        }
        match &self.how {
            How::Named(keys) => {
                let key = String::from_utf8_lossy(metadata).into_owned();
                let Some(bytes) = keys.get(&key) else {
                    let source = MasterKeyError::Name;
                    return Err(SourceError::Key { file: self.file.clone(), what, key, source });
                };
                let file = self.file.clone();
                data_key(bytes).ok_or(SourceError::Unwrap { file, what, key })
            }
            How::KeyTools { masters, beside } => {
                let material = self.material(beside.as_ref(), &what, metadata)?;
                self.unwrap(&**masters, what, &material).await
            }
        }
    }

    fn material(
        &self,
        beside: Option<&ExternalMaterial>,
        what: &str,
        metadata: &[u8],
    ) -> Result<KeyMaterial, SourceError> {
        let (file, what) = (self.file.clone(), what.to_owned());
        match KeyMetadata::from_bytes(metadata) {
            Err(source) => Err(SourceError::Material { file, what, source }),
            Ok(KeyMetadata::Internal(material)) => Ok(material),
            Ok(KeyMetadata::External { reference }) => {
                let found = beside.and_then(|b| b.0.get(&reference)).cloned();
                found.ok_or(SourceError::NoMaterial { file, what })
            }
        }
    }

    async fn unwrap(
        &self,
        masters: &dyn MasterKeys,
        what: String,
        material: &KeyMaterial,
    ) -> Result<DataKey, SourceError> {
        let (master, wrapped) = material.request();
        let (file, key) = (self.file.clone(), master.to_string());
        match masters.unwrap(master, wrapped).await {
            Err(source) => Err(SourceError::Key { file, what, key, source }),
            Ok(answer) => {
                material.data_key(answer).map_err(|_| SourceError::Unwrap { file, what, key })
            }
        }
    }
}

fn read_beside(file: &str, beside: &Path) -> Result<ExternalMaterial, SourceError> {
    let shown = beside.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(beside).map_err(|source| SourceError::Beside {
        file: file.to_owned(),
        beside: shown,
        source,
    })?;
    ExternalMaterial::from_json(&text).map_err(|source| SourceError::Material {
        file: file.to_owned(),
        what: "the columns".to_owned(),
        source,
    })
}
