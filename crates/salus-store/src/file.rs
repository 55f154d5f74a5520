//! Opens one encrypted Parquet file with the keys of the wanted columns.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use salus_crypto::pkmt1::{ExternalMaterial, MaterialRefused};
use salus_model::{Class, Classified, ColumnPath};

use crate::keytools::{KeyToolsError, Unwrapped, unwrap_file};
use crate::lake::Lake;
use crate::manifest::{DataFile, Manifest};
use crate::object_reader::ObjectReader;
use crate::storage::StorageError;
use crate::visible::leaves;

/// Read at once from a file's end: more than most footers have.
const FOOTER_GUESS_BYTES: usize = 64 * 1024;

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
            Self::Material { .. } | Self::Footer { .. } | Self::Rows { .. } => Class::Corrupt,
        }
    }
}

/// A file whose footer has been read and authenticated.
pub(crate) struct OpenFile {
    pub(crate) reader: ObjectReader,
    pub(crate) metadata: Arc<ParquetMetaData>,
}

struct Fetch<'a>(&'a dyn ObjectStore, &'a Path);

impl parquet::arrow::async_reader::MetadataFetch for Fetch<'_> {
    fn fetch(
        &mut self,
        range: Range<u64>,
    ) -> futures::future::BoxFuture<'_, parquet::errors::Result<Bytes>> {
        Box::pin(async move {
            let failed = |e| ParquetError::External(Box::new(e));
            self.0.get_range(self.1, range).await.map_err(failed)
        })
    }
}

impl Lake {
    pub(crate) async fn read_material(
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

    /// Opens a file with the keys of `wanted` leaves and no other.
    pub(crate) async fn open_file(
        &self,
        manifest: &Manifest,
        file: &DataFile,
        wanted: &BTreeSet<ColumnPath>,
        session: &Unwrapped,
    ) -> Result<OpenFile, FileError> {
        let material = self.read_material(manifest, file).await?;
        let leaves = leaves(&manifest.schema);
        let policy = (&manifest.dataset, leaves.as_slice(), &manifest.keys);
        let aad = manifest.aad_prefix(file);
        let properties = unwrap_file(&*self.keys, session, policy, wanted, &material, aad)
            .await
            .map_err(|source| FileError::Keys { file: file.name.clone(), source })?;
        let path = self.data_path(&manifest.dataset, &file.name);
        let objects = self.storage.objects();
        let metadata = ParquetMetaDataReader::new()
            .with_decryption_properties(Some(properties))
            .with_page_index_policy(PageIndexPolicy::Skip)
            .with_prefetch_hint(Some(FOOTER_GUESS_BYTES))
            .load_and_finish(Fetch(&*objects, &path), file.bytes)
            .await
            .map_err(|source| FileError::Footer { file: file.name.clone(), source })?;
        if u64::try_from(metadata.file_metadata().num_rows()) != Ok(file.rows) {
            return Err(FileError::Rows { file: file.name.clone() });
        }
        let metadata = Arc::new(metadata);
        let reader = ObjectReader { objects, path, metadata: Arc::clone(&metadata) };
        Ok(OpenFile { reader, metadata })
    }
}
