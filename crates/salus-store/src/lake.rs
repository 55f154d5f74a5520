//! Datasets: what there is, opened at a version, published as a new version.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use object_store::path::Path;
use parking_lot::RwLock;
use salus_crypto::Digest;
use salus_crypto::aead::Aad;
use salus_keys::{Caller, KeyCache, KeyStore, KeyStoreError};
use salus_model::{
    Class, Classified, Clock, ColumnPath, DatasetId, DatasetVersion, HolderId, IdError, KeyClass,
    KeyName, RoleName, StaffId,
};
use salus_spine::{Authority, HolderAuthority, KeyRelease, Use};

use crate::admit::{Identity, Superseded};
use crate::keytools::{EncryptionSettings, KeyToolsError};
use crate::manifest::{DataFile, Manifest, ManifestError, root_of};
use crate::policy::{KeyChoice, KeyPolicy, PolicyError};
use crate::scan::{ReadSession, ScanError};
use crate::sealed::{self, SealedError};
use crate::storage::{Storage, StorageError};
use crate::visible::leaves;
use crate::write::difference;

/// Why the lake could not do something with a dataset.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// There is no such dataset.
    #[error("there is no dataset {dataset}")]
    NoDataset {
        /// The dataset.
        dataset: DatasetId,
    },
    /// There is no such version.
    #[error("dataset {dataset} has no version {version}; its newest is {newest}")]
    NoVersion {
        /// The dataset.
        dataset: DatasetId,
        /// The version asked for.
        version: DatasetVersion,
        /// The newest version.
        newest: DatasetVersion,
    },
    /// There is such a dataset already.
    #[error("there is a dataset {dataset} already; append to it, or choose another name")]
    DatasetExists {
        /// The dataset.
        dataset: DatasetId,
    },
    /// A key of its own protects another dataset too.
    #[error(
        "dataset {dataset} is not destroyed: its key '{key}' protects dataset {other} too; destroy \
         that one first, or give one of them another key"
    )]
    SharedKey {
        /// The dataset.
        dataset: DatasetId,
        /// The other one.
        other: DatasetId,
        /// The key.
        key: KeyName,
    },
    /// Its keys have been destroyed.
    #[error("dataset {dataset} cannot be opened: its key '{key}' is not available")]
    Locked {
        /// The dataset.
        dataset: DatasetId,
        /// The key.
        key: KeyName,
        /// Why.
        #[source]
        source: KeyStoreError,
    },
    /// The key policy does not fit the schema.
    #[error("the key policy of dataset {dataset} does not fit its schema")]
    Policy {
        /// The dataset.
        dataset: DatasetId,
        /// Why.
        #[source]
        source: PolicyError,
    },
    /// A column that the dataset's settings name is not in its schema.
    #[error("dataset {dataset} has no column '{column}', which its {what} names")]
    NoColumn {
        /// The dataset.
        dataset: DatasetId,
        /// The column.
        column: ColumnPath,
        /// What names it.
        what: &'static str,
    },
    /// The rows have another schema.
    #[error("the rows do not have the schema of dataset {dataset}: {difference}")]
    OtherSchema {
        /// The dataset.
        dataset: DatasetId,
        /// The first difference.
        difference: String,
    },
    /// A dataset that a service keeps is another table.
    #[error(
        "dataset {dataset} is another table already: {difference}; keep that one under another name, \
         and shred it under this"
    )]
    NameTaken {
        /// The dataset.
        dataset: DatasetId,
        /// The first difference.
        difference: String,
    },
    /// The files that were to be published have been removed as those of a crashed writer.
    #[error("the files were written so long ago that upkeep removed them; write them again")]
    Retired {
        /// The dataset.
        dataset: DatasetId,
    },
    /// Too many others published at the same time.
    #[error("dataset {dataset} is being changed by others; try again")]
    Busy {
        /// The dataset.
        dataset: DatasetId,
    },
    /// The storage failed.
    #[error("the lake's storage failed")]
    Storage(#[from] StorageError),
    /// A manifest is not believed.
    #[error("a manifest is refused")]
    Manifest(#[from] ManifestError),
    /// A sealed object does not open.
    #[error("a sealed object of dataset {dataset} does not open")]
    Sealed {
        /// The dataset.
        dataset: DatasetId,
        /// Why.
        #[source]
        source: SealedError,
    },
    /// Keys could not be made.
    #[error("the keys of dataset {dataset} cannot be made")]
    Keys {
        /// The dataset.
        dataset: DatasetId,
        /// Why.
        #[source]
        source: KeyToolsError,
    },
    /// A key has no valid name.
    #[error("the dataset's name is too long for its keys' names")]
    KeyName(#[from] IdError),
    /// A file could not be encoded.
    #[error("a file of dataset {dataset} cannot be written")]
    Encode {
        /// The dataset.
        dataset: DatasetId,
        /// Why.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A file could not be rewritten.
    #[error("a file of dataset {dataset} cannot be read to rewrite it; verify the dataset")]
    Rewrite {
        /// The dataset.
        dataset: DatasetId,
        /// Why.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A manifest could not be encoded, which is a bug.
    #[error("the manifest cannot be written")]
    EncodeManifest(#[from] serde_json::Error),
    /// An upkeep order does not cover the work.
    #[error("the upkeep of dataset {dataset} is not ordered")]
    Upkeep {
        /// The dataset.
        dataset: DatasetId,
        /// Why.
        #[source]
        source: salus_spine::StatementRefused,
    },
    /// A file could not be read back.
    #[error("a file of dataset {dataset} cannot be read")]
    File {
        /// The dataset.
        dataset: DatasetId,
        /// Why.
        #[source]
        source: crate::file::FileError,
    },
}

impl Classified for LakeError {
    fn class(&self) -> Class {
        match self {
            Self::NoDataset { .. }
            | Self::NoVersion { .. }
            | Self::DatasetExists { .. }
            | Self::SharedKey { .. }
            | Self::Policy { .. }
            | Self::NoColumn { .. }
            | Self::OtherSchema { .. }
            | Self::NameTaken { .. }
            | Self::KeyName(_) => Class::BadRequest,
            Self::Locked { source, .. } => crate::keytools::key_class(source),
            Self::Busy { .. } | Self::Retired { .. } => Class::Unavailable,
            Self::Storage(e) => e.class(),
            Self::Manifest(e) => e.class(),
            Self::Sealed { source, .. } => source.class(),
            Self::Keys { source, .. } => source.class(),
            Self::Encode { .. } | Self::EncodeManifest(_) => Class::Bug,
            Self::Rewrite { .. } => Class::Corrupt,
            Self::Upkeep { .. } => Class::Refused,
            Self::File { source, .. } => source.class(),
        }
    }
}

/// What a new dataset is to be.
#[derive(Debug, Clone)]
pub struct DatasetSpec {
    /// Its name.
    pub dataset: DatasetId,
    /// Its Arrow schema.
    pub schema: SchemaRef,
    /// The column that names the person (or device) whom a row is about.
    pub subject: Option<ColumnPath>,
    /// How rows replace each other; none for a dataset that is only appended to.
    pub identity: Option<Identity>,
    /// Which key protects which column.
    pub policy: KeyPolicy,
    /// How files are encrypted.
    pub encryption: EncryptionSettings,
}

/// A dataset at one version, with the rows that are not in files yet.
pub struct Snapshot {
    pub(crate) manifest: Manifest,
    pub(crate) digest: Digest,
    pub(crate) superseded: Superseded,
    pub(crate) memory: Vec<RecordBatch>,
}

impl Snapshot {
    /// What the version consists of.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest's digest, by which the next version names it.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

/// Rows that have been acknowledged and are not in files yet, such as a journal holds.
pub trait LiveRows: Send + Sync {
    /// The rows after a journal position, and what they replace; none when some of those rows are
    /// in the files of a newer version by now and no longer here.
    fn after(&self, position: u64) -> Option<(Vec<RecordBatch>, Superseded)>;
}

/// How often a snapshot is taken anew because rows moved into files meanwhile.
const SNAPSHOT_ATTEMPTS: usize = 64;

/// A holder's datasets in one storage, under one key store.
pub struct Lake {
    pub(crate) storage: Storage,
    pub(crate) keys: Arc<dyn KeyStore>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) verifier: HolderAuthority,
    pub(crate) clock: Arc<dyn Clock>,
    /// Keys that were unwrapped lately, apart for each caller, and the store behind them; none
    /// where every use asks the store.
    cache: Option<(Arc<KeyCache>, Arc<dyn KeyStore>)>,
    live: Arc<RwLock<HashMap<DatasetId, Arc<dyn LiveRows>>>>,
}

impl Lake {
    /// The lake in `storage`, whose holder signs with `authority`.
    #[must_use]
    pub fn new(
        storage: Storage,
        keys: Arc<dyn KeyStore>,
        authority: Arc<Authority>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        Self::made(storage, keys, None, authority, clock)
    }

    /// As [`Lake::new`], with unwrapped keys of the store kept for a while, apart for each caller.
    #[must_use]
    pub fn with_cache(
        storage: Storage,
        keys: Arc<dyn KeyStore>,
        cache: (Arc<KeyCache>, Arc<dyn KeyStore>),
        authority: Arc<Authority>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        Self::made(storage, keys, Some(cache), authority, clock)
    }

    fn made(
        storage: Storage,
        keys: Arc<dyn KeyStore>,
        cache: Option<(Arc<KeyCache>, Arc<dyn KeyStore>)>,
        authority: Arc<Authority>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let verifier = authority.verifier();
        let live = Arc::default();
        Arc::new(Self { storage, keys, authority, verifier, clock, cache, live })
    }

    /// The same lake as one person in one role sees it: keys that were unwrapped for somebody
    /// else, or for the same person in another role, are unwrapped anew.
    #[must_use]
    pub fn seen_by(self: &Arc<Self>, staff: &StaffId, role: &RoleName) -> Arc<Self> {
        let Some((cache, store)) = &self.cache else { return Arc::clone(self) };
        let view = cache.view(Caller::staff(staff, role), Arc::clone(store));
        Arc::new(Self {
            storage: self.storage.clone(),
            keys: Arc::new(view),
            authority: Arc::clone(&self.authority),
            verifier: self.verifier.clone(),
            clock: Arc::clone(&self.clock),
            cache: None,
            live: Arc::clone(&self.live),
        })
    }

    /// Whose lake it is.
    #[must_use]
    pub fn holder(&self) -> &HolderId {
        self.verifier.holder()
    }

    /// Shows the rows of `live` with those of the dataset's files from now on.
    pub fn attach(&self, dataset: DatasetId, live: Arc<dyn LiveRows>) {
        self.live.write().insert(dataset, live);
    }

    pub(crate) fn folder(dataset: &DatasetId) -> Path {
        Path::from_iter(["datasets", dataset.as_str()])
    }

    pub(crate) fn data_path(&self, dataset: &DatasetId, file: &str) -> Path {
        Self::folder(dataset).join("data").join(file)
    }

    pub(crate) fn material_path(&self, dataset: &DatasetId, file: &str) -> Path {
        self.data_path(dataset, &salus_crypto::pkmt1::external_material_file_name(file))
    }

    pub(crate) fn versions_folder(dataset: &DatasetId) -> Path {
        Self::folder(dataset).join("versions")
    }

    pub(crate) fn manifest_path(dataset: &DatasetId, version: DatasetVersion) -> Path {
        Self::versions_folder(dataset).join(format!("{:020}", version.number()))
    }

    pub(crate) fn footer_key(dataset: &DatasetId) -> Result<KeyName, IdError> {
        KeyChoice::Class(KeyClass::Footer).key_name(dataset)
    }

    fn manifest_aad(&self, dataset: &DatasetId, version: DatasetVersion) -> Aad {
        let holder = self.holder().as_str().as_bytes();
        let version = version.number().to_be_bytes();
        Aad::new("salus manifest object v1", &[holder, dataset.as_str().as_bytes(), &version])
    }

    /// The datasets, in the order of their names.
    ///
    /// # Errors
    /// When the storage cannot list.
    pub async fn datasets(&self) -> Result<Vec<DatasetId>, LakeError> {
        let mut found: Vec<DatasetId> = self
            .storage
            .folders(&Path::from("datasets"))
            .await?
            .into_iter()
            .filter_map(|name| DatasetId::new(name).ok())
            .collect();
        found.sort();
        Ok(found)
    }

    /// A dataset's published versions, oldest first.
    ///
    /// # Errors
    /// [`LakeError::NoDataset`] when there is none.
    pub async fn versions(&self, dataset: &DatasetId) -> Result<Vec<DatasetVersion>, LakeError> {
        let found = self.storage.list(&Self::versions_folder(dataset)).await?;
        let mut versions: Vec<DatasetVersion> = found
            .iter()
            .filter_map(|(path, _)| path.filename()?.parse().ok().and_then(DatasetVersion::new))
            .collect();
        versions.sort_unstable();
        if versions.is_empty() {
            return Err(LakeError::NoDataset { dataset: dataset.clone() });
        }
        Ok(versions)
    }

    pub(crate) async fn read_manifest(
        &self,
        dataset: &DatasetId,
        version: DatasetVersion,
    ) -> Result<(Manifest, Digest), LakeError> {
        let object = self.storage.read(&Self::manifest_path(dataset, version)).await?;
        let key = Self::footer_key(dataset)?;
        let aad = self.manifest_aad(dataset, version);
        let bytes = self.open_sealed(dataset, &key, &aad, &object).await?;
        Ok(Manifest::open(&bytes, &self.verifier, (dataset, version))?)
    }

    async fn open_sealed(
        &self,
        dataset: &DatasetId,
        key: &KeyName,
        aad: &Aad,
        object: &[u8],
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, LakeError> {
        sealed::open(&*self.keys, key, aad, object).await.map_err(|source| match source {
            SealedError::KeyStore { key, source } => {
                LakeError::Locked { dataset: dataset.clone(), key, source }
            }
            source => LakeError::Sealed { dataset: dataset.clone(), source },
        })
    }

    /// A dataset at a version, by default the newest; the newest has the live rows too.
    ///
    /// # Errors
    /// When dataset or version are not there, or do not open.
    pub async fn snapshot(
        &self,
        dataset: &DatasetId,
        version: Option<DatasetVersion>,
    ) -> Result<Arc<Snapshot>, LakeError> {
        for _ in 0..SNAPSHOT_ATTEMPTS {
            if let Some(snapshot) = self.snapshot_once(dataset, version).await? {
                return Ok(snapshot);
            }
        }
        Err(LakeError::Busy { dataset: dataset.clone() })
    }

    /// None when the live rows have moved on from the version that was read.
    async fn snapshot_once(
        &self,
        dataset: &DatasetId,
        version: Option<DatasetVersion>,
    ) -> Result<Option<Arc<Snapshot>>, LakeError> {
        let versions = self.versions(dataset).await?;
        let no_dataset = || LakeError::NoDataset { dataset: dataset.clone() };
        let newest = versions.last().copied().ok_or_else(no_dataset)?;
        let wanted = version.unwrap_or(newest);
        if !versions.contains(&wanted) {
            let dataset = dataset.clone();
            return Err(LakeError::NoVersion { dataset, version: wanted, newest });
        }
        let (manifest, digest) = self.read_manifest(dataset, wanted).await?;
        let mut superseded = self.stored_superseded(&manifest).await?;
        let mut memory = Vec::new();
        let live = self.live.read().get(dataset).cloned();
        if let (Some(live), None) = (live, version) {
            let Some((batches, replaced)) = live.after(manifest.journal_through) else {
                return Ok(None);
            };
            superseded = superseded.merged(&replaced);
            memory = batches;
        }
        Ok(Some(Arc::new(Snapshot { manifest, digest, superseded, memory })))
    }

    pub(crate) async fn stored_superseded(
        &self,
        manifest: &Manifest,
    ) -> Result<Superseded, LakeError> {
        let Some(file) = &manifest.superseded else { return Ok(Superseded::default()) };
        let dataset = &manifest.dataset;
        let object = self.storage.read(&self.data_path(dataset, &file.name)).await?;
        let aad = Aad::new("salus superseded v1", &[&manifest.aad_prefix(file)]);
        let bytes = self.open_sealed(dataset, &Self::footer_key(dataset)?, &aad, &object).await?;
        let from: HashMap<String, i64> = serde_json::from_slice(&bytes)?;
        Ok(Superseded::new(from))
    }

    pub(crate) async fn write_superseded(
        &self,
        dataset: &DatasetId,
        version: DatasetVersion,
        superseded: &Superseded,
    ) -> Result<DataFile, LakeError> {
        let from: BTreeMap<&str, i64> = superseded.iter().collect();
        let plaintext = serde_json::to_vec(&from)?;
        let name = crate::write::file_name(version, "superseded")
            .map_err(|source| LakeError::Keys { dataset: dataset.clone(), source })?;
        let prefix = crate::manifest::aad_prefix(self.holder(), dataset, version, &name);
        let aad = Aad::new("salus superseded v1", &[&prefix]);
        let object = sealed::seal(&*self.keys, &Self::footer_key(dataset)?, &aad, &plaintext)
            .await
            .map_err(|source| LakeError::Sealed { dataset: dataset.clone(), source })?;
        let rows = from.len() as u64;
        let (bytes, sha256) = sealed::measure(&object)
            .map_err(|source| LakeError::Sealed { dataset: dataset.clone(), source })?;
        self.storage.put_new(&self.data_path(dataset, &name), object.into()).await?;
        Ok(DataFile { name, first_version: version, rows, bytes, sha256 })
    }

    /// A dataset of a service: as it is, or made where there is none.
    ///
    /// # Errors
    /// [`LakeError::NameTaken`] when there is a dataset with another schema; else as
    /// [`Lake::create`].
    pub async fn open_or_create(&self, spec: DatasetSpec) -> Result<Arc<Snapshot>, LakeError> {
        let (dataset, schema) = (spec.dataset.clone(), Arc::clone(&spec.schema));
        let found = match self.snapshot(&dataset, None).await {
            Err(LakeError::NoDataset { .. }) => match self.create(spec).await {
                Err(LakeError::DatasetExists { .. }) => self.snapshot(&dataset, None).await?,
                created => return created,
            },
            found => found?,
        };
        match difference(&schema, &found.manifest.schema) {
            Some(difference) => Err(LakeError::NameTaken { dataset, difference }),
            None => Ok(found),
        }
    }

    /// Makes a dataset: its master keys where they are not there, and an empty first version.
    ///
    /// # Errors
    /// When there is one already, or policy, subject or identity do not fit the schema.
    pub async fn create(&self, spec: DatasetSpec) -> Result<Arc<Snapshot>, LakeError> {
        let dataset = spec.dataset.clone();
        let leaves = leaves(&spec.schema);
        let keys = spec
            .policy
            .expand(&leaves)
            .map_err(|source| LakeError::Policy { dataset: dataset.clone(), source })?;
        let named = spec.subject.iter().map(|c| (c, "subject"));
        let identity = spec.identity.iter();
        let identity = identity.flat_map(|i| [(&i.key, "identity"), (&i.sequence, "identity")]);
        if let Some((column, what)) = named.chain(identity).find(|(c, _)| !leaves.contains(c)) {
            return Err(LakeError::NoColumn { dataset, column: column.clone(), what });
        }
        if !self.storage.list(&Self::versions_folder(&dataset)).await?.is_empty() {
            return Err(LakeError::DatasetExists { dataset });
        }
        self.make_keys(&dataset, &keys).await?;
        let manifest = Manifest {
            format: Manifest::format_for(None),
            holder: self.holder().clone(),
            dataset: dataset.clone(),
            version: DatasetVersion::FIRST,
            previous: None,
            created: self.clock.now(),
            schema: spec.schema,
            subject: spec.subject,
            identity: spec.identity,
            keys,
            encryption: spec.encryption,
            files: Vec::new(),
            superseded: None,
            journal_through: 0,
            retired_before: DatasetVersion::FIRST,
            settled_below: None,
            root: root_of(&[], None),
        };
        match self.publish(&manifest).await {
            Err(LakeError::Storage(StorageError::Exists { .. })) => {
                Err(LakeError::DatasetExists { dataset })
            }
            published => {
                let digest = published?;
                let superseded = Superseded::default();
                Ok(Arc::new(Snapshot { manifest, digest, superseded, memory: Vec::new() }))
            }
        }
    }

    async fn make_keys(
        &self,
        dataset: &DatasetId,
        keys: &BTreeMap<ColumnPath, KeyChoice>,
    ) -> Result<(), LakeError> {
        let mut names = vec![Self::footer_key(dataset)?];
        for choice in keys.values() {
            names.push(choice.key_name(dataset)?);
        }
        names.sort();
        names.dedup();
        for key in names {
            match self.keys.create(&key).await {
                Ok(_) | Err(KeyStoreError::Exists { .. }) => {}
                Err(source) => {
                    let what = format!("dataset {dataset}");
                    let source = KeyToolsError::KeyStore { key, what, source };
                    return Err(LakeError::Keys { dataset: dataset.clone(), source });
                }
            }
        }
        Ok(())
    }

    /// Publishes a manifest as a version that is not there yet.
    pub(crate) async fn publish(&self, manifest: &Manifest) -> Result<Digest, LakeError> {
        let (dataset, version) = (&manifest.dataset, manifest.version);
        let (bytes, digest) = manifest.sign(&self.authority)?;
        let key = Self::footer_key(dataset)?;
        let object = sealed::seal(&*self.keys, &key, &self.manifest_aad(dataset, version), &bytes)
            .await
            .map_err(|source| LakeError::Sealed { dataset: dataset.clone(), source })?;
        self.storage.put_new(&Self::manifest_path(dataset, version), object.into()).await?;
        Ok(digest)
    }

    /// Opens the datasets of a key release, each at its newest version.
    ///
    /// # Errors
    /// When a dataset is not there or does not open.
    pub async fn open<U: Use>(
        self: &Arc<Self>,
        release: KeyRelease<U>,
    ) -> Result<ReadSession<U>, ScanError> {
        self.open_at(release, &BTreeMap::new()).await
    }

    /// Opens the datasets of a key release at given versions; the newest where none is given.
    ///
    /// # Errors
    /// When a dataset or version is not there or does not open.
    pub async fn open_at<U: Use>(
        self: &Arc<Self>,
        release: KeyRelease<U>,
        versions: &BTreeMap<DatasetId, DatasetVersion>,
    ) -> Result<ReadSession<U>, ScanError> {
        if self.clock.now() >= release.expires() {
            return Err(ScanError::Ended { at: release.expires() });
        }
        if release.scope().holder() != self.holder() {
            return Err(ScanError::OtherHolder { holder: release.scope().holder().clone() });
        }
        let mut snapshots = Vec::new();
        for dataset in release.datasets() {
            snapshots.push(self.snapshot(dataset, versions.get(dataset).copied()).await?);
        }
        ReadSession::new(release, self, snapshots)
    }
}
