//! Opens one encrypted Parquet file with the keys of the wanted columns.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use object_store::ObjectStoreExt;
use parquet::encryption::decrypt::FileDecryptionProperties;
use parquet::errors::ParquetError;
use parquet::file::column_crypto_metadata::ColumnCryptoMetaData;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use salus_crypto::pkmt1::{ExternalMaterial, KeyMaterial, KeyMetadata, MaterialRefused};
use salus_model::{Class, Classified, ColumnPath};

use crate::footer::Footer;
use crate::keytools::{ColumnKeys, KeyToolsError, Unwrapped, column_material};
use crate::lake::Lake;
use crate::manifest::{DataFile, Manifest};
use crate::object_reader::ObjectReader;
use crate::storage::StorageError;
use crate::visible::leaves;

/// Why a file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file's key material is not where it should be.
    #[error("the key material of file {file} cannot be read")]
    MaterialObject {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: StorageError,
    },
    /// The file's key material is damaged.
    #[error("the key material of file {file} is damaged")]
    Material {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: MaterialRefused,
    },
    /// A key is not available.
    #[error("a key of file {file} is not available")]
    Keys {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: KeyToolsError,
    },
    /// The footer does not open: another file was put in this place, or it was altered.
    #[error(
        "the footer of file {file} does not open: it is damaged, was altered, or was put here \
         from another place or version"
    )]
    Footer {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: ParquetError,
    },
    /// A file in plaintext, or with a column in plaintext, stands in the place of an encrypted one.
    #[error(
        "file {file} is not encrypted as a whole: it was put here by somebody without the keys"
    )]
    NotEncrypted {
        /// The file.
        file: String,
    },
    /// The footer opens and tells another number of rows than the manifest.
    #[error("file {file} has another number of rows than the manifest says")]
    Rows {
        /// The file.
        file: String,
    },
}

impl Classified for FileError {
    fn class(&self) -> Class {
        match self {
            Self::MaterialObject { source, .. } => source.class(),
            Self::Keys { source, .. } => source.class(),
            Self::Material { .. }
            | Self::Footer { .. }
            | Self::NotEncrypted { .. }
            | Self::Rows { .. } => Class::Corrupt,
        }
    }
}

/// A file whose footer has been read and authenticated.
pub(crate) struct OpenFile {
    pub(crate) reader: ObjectReader,
    pub(crate) metadata: Arc<ParquetMetaData>,
}

/// The material of a file's keys.
pub(crate) enum FileMaterial {
    /// In the file; this is the footer's.
    Inside(KeyMaterial),
    /// In the object beside it.
    Beside(ExternalMaterial),
}

impl Lake {
    async fn read_external(
        &self,
        manifest: &Manifest,
        file: &DataFile,
    ) -> Result<ExternalMaterial, FileError> {
        let name = || file.name.clone();
        let path = self.material_path(&manifest.dataset, &file.name);
        let bytes = self
            .storage
            .read(&path)
            .await
            .map_err(|source| FileError::MaterialObject { file: name(), source })?;
        ExternalMaterial::from_json(&String::from_utf8_lossy(&bytes))
            .map_err(|source| FileError::Material { file: name(), source })
    }

    async fn read_footer(&self, manifest: &Manifest, file: &DataFile) -> Result<Footer, FileError> {
        let path = self.data_path(&manifest.dataset, &file.name);
        let objects = self.storage.objects();
        let (path, objects) = (&path, &objects);
        let fetch = |range: Range<u64>| async move {
            let failed = |e| ParquetError::External(Box::new(e));
            objects.get_range(path, range).await.map_err(failed)
        };
        Footer::fetch(file.bytes, fetch).await.map_err(|source| footer_error(file, source))
    }

    /// Where a file keeps its keys' material, and the material as far as it can be read by now.
    pub(crate) async fn read_material(
        &self,
        manifest: &Manifest,
        file: &DataFile,
    ) -> Result<FileMaterial, FileError> {
        let footer = self.read_footer(manifest, file).await?;
        self.material_of(manifest, file, &footer).await
    }

    async fn material_of(
        &self,
        manifest: &Manifest,
        file: &DataFile,
        footer: &Footer,
    ) -> Result<FileMaterial, FileError> {
        let metadata = footer.key_metadata().map_err(|source| footer_error(file, source))?;
        let metadata =
            metadata.ok_or_else(|| FileError::NotEncrypted { file: file.name.clone() })?;
        match KeyMetadata::from_bytes(&metadata) {
            Ok(KeyMetadata::Internal(material)) => Ok(FileMaterial::Inside(material)),
            Ok(KeyMetadata::External { .. }) => {
                Ok(FileMaterial::Beside(self.read_external(manifest, file).await?))
            }
            Err(source) => Err(FileError::Material { file: file.name.clone(), source }),
        }
    }

    /// Opens a file with the keys of `wanted` leaves and no other.
    pub(crate) async fn open_file(
        &self,
        manifest: &Manifest,
        file: &DataFile,
        wanted: &BTreeSet<ColumnPath>,
        session: &Unwrapped,
    ) -> Result<OpenFile, FileError> {
        let footer = self.read_footer(manifest, file).await?;
        let material = self.material_of(manifest, file, &footer).await?;
        let keys = ColumnKeys {
            store: &*self.keys,
            session,
            dataset: &manifest.dataset,
            keys: &manifest.keys,
            wanted,
        };
        let properties = file_properties(&keys, &footer, &material, manifest, file).await?;
        let metadata = footer.decode(Some(properties)).map_err(|e| footer_error(file, e))?;
        if u64::try_from(metadata.file_metadata().num_rows()) != Ok(file.rows) {
            return Err(FileError::Rows { file: file.name.clone() });
        }
        let mut chunks = metadata.row_groups().iter().flat_map(RowGroupMetaData::columns);
        if !chunks.all(has_own_key) {
            return Err(FileError::NotEncrypted { file: file.name.clone() });
        }
        let path = self.data_path(&manifest.dataset, &file.name);
        let metadata = Arc::new(metadata);
        let objects = self.storage.objects();
        let reader = ObjectReader { objects, path, metadata: Arc::clone(&metadata) };
        Ok(OpenFile { reader, metadata })
    }
}

fn footer_error(file: &DataFile, source: ParquetError) -> FileError {
    FileError::Footer { file: file.name.clone(), source }
}

fn has_own_key(chunk: &ColumnChunkMetaData) -> bool {
    matches!(chunk.crypto_metadata(), Some(ColumnCryptoMetaData::ENCRYPTION_WITH_COLUMN_KEY(_)))
}

async fn file_properties(
    keys: &ColumnKeys<'_>,
    footer: &Footer,
    material: &FileMaterial,
    manifest: &Manifest,
    file: &DataFile,
) -> Result<Arc<FileDecryptionProperties>, FileError> {
    let refused = |source| FileError::Keys { file: file.name.clone(), source };
    let (leaves, aad) = (leaves(&manifest.schema), manifest.aad_prefix(file));
    match material {
        FileMaterial::Beside(material) => {
            let entry = material.0.get(ExternalMaterial::FOOTER);
            let key = keys.footer(entry).await.map_err(refused)?;
            let find = |place, _: &ColumnPath| {
                Ok(material.0.get(&ExternalMaterial::column(place)).cloned())
            };
            keys.properties(&key, &leaves, aad, find).await.map_err(refused)
        }
        FileMaterial::Inside(material) => {
            let key = keys.footer(Some(material)).await.map_err(refused)?;
            let opening = FileDecryptionProperties::builder(key.expose().to_vec())
                .with_aad_prefix(aad.clone())
                .build()
                .map_err(|e| refused(e.into()))?;
            let opened = footer.decode(Some(opening)).map_err(|e| footer_error(file, e))?;
            if opened.num_row_groups() == 0 {
                let nothing = BTreeSet::new();
                let keys = ColumnKeys { wanted: &nothing, ..*keys };
                return keys.properties(&key, &leaves, aad, |_, _| Ok(None)).await.map_err(refused);
            }
            let find = |place, _: &ColumnPath| column_material(&opened, place);
            keys.properties(&key, &leaves, aad, find).await.map_err(refused)
        }
    }
}
