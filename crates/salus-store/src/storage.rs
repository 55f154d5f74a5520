//! Where objects lie: a local folder with fsync, or an S3-compatible store.

use std::io::{ErrorKind, Write};
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use salus_model::{Class, Classified, Timestamp};

/// A place that keeps whole objects, with publication that is atomic and durable.
///
/// An object is visible whole or not at all. When a put returns, a local object and its folder
/// have been synced to disk; for a remote store, the store has acknowledged it.
#[derive(Debug, Clone)]
pub struct Storage {
    objects: Arc<dyn ObjectStore>,
    local_root: Option<PathBuf>,
}

const STAGED: &str = ".put-";
/// Where objects lie that only try the store out.
const PROBE: &str = "probe";

/// Why an object could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// There is no such object.
    #[error("there is no object {path}")]
    Missing {
        /// The object.
        path: Path,
    },
    /// An object that was to be new is there already: somebody else published it.
    #[error("the object {path} exists already")]
    Exists {
        /// The object.
        path: Path,
    },
    /// The disk is full.
    #[error("no space is left for {path}; free some and try again, nothing was published")]
    Full {
        /// The object.
        path: Path,
    },
    /// The folder cannot be opened.
    #[error("the lake's folder {folder} cannot be used")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A local file cannot be written or synced.
    #[error("{path} cannot be written")]
    Io {
        /// The object.
        path: Path,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The settings of a remote store do not fit.
    #[error("the object store cannot be set up")]
    Settings {
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// The certificate authorities for a remote store are no PEM.
    #[error("the certificate authorities for the object store are no PEM certificates")]
    Certificates {
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// The store stopped answering while an object was put.
    #[error(
        "the object store stopped answering while {path} was put; whether it was is not known, so \
         look before you do it again"
    )]
    Unsure {
        /// The object.
        path: Path,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// The store does not put conditionally, on which publication rests.
    #[error(
        "the object store overwrote {path} although it was to be new: it does not know \
         If-None-Match on PUT, without which two writers destroy each other's versions; use a \
         store that does"
    )]
    Unconditional {
        /// The object.
        path: Path,
    },
    /// The store did not do it.
    #[error("the object store failed at {path}")]
    Store {
        /// The object.
        path: Path,
        /// Why.
        #[source]
        source: object_store::Error,
    },
}

impl Classified for StorageError {
    fn class(&self) -> Class {
        match self {
            Self::Missing { .. } => Class::Corrupt,
            Self::Exists { .. } | Self::Settings { .. } | Self::Certificates { .. } => {
                Class::BadRequest
            }
            Self::Unconditional { .. } => Class::BadRequest,
            _ => Class::Unavailable,
        }
    }
}

fn io_error(path: &Path, source: std::io::Error) -> StorageError {
    let path = path.clone();
    match source.kind() {
        ErrorKind::AlreadyExists => StorageError::Exists { path },
        ErrorKind::NotFound => StorageError::Missing { path },
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StorageError::Full { path },
        _ => StorageError::Io { path, source },
    }
}

fn store_error(path: &Path, source: object_store::Error) -> StorageError {
    let path = path.clone();
    match source {
        object_store::Error::NotFound { .. } => StorageError::Missing { path },
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
            StorageError::Exists { path }
        }
        source => StorageError::Store { path, source },
    }
}

impl Storage {
    /// A local folder, made when it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made or opened.
    pub fn local(folder: &FsPath) -> Result<Self, StorageError> {
        let refused = |source| StorageError::Folder { folder: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(refused)?;
        let root = folder.canonicalize().map_err(refused)?;
        let objects = LocalFileSystem::new_with_prefix(&root)
            .map_err(|e| refused(std::io::Error::other(e)))?;
        Ok(Self { objects: Arc::new(objects), local_root: Some(root) })
    }

    /// A remote store that is atomic and durable by itself, such as S3.
    #[must_use]
    pub fn remote(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects, local_root: None }
    }

    pub(crate) fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.objects)
    }

    fn local_path(&self, path: &Path) -> Option<PathBuf> {
        let root = self.local_root.as_ref()?;
        Some(path.parts().fold(root.clone(), |folder, part| folder.join(part.as_ref())))
    }

    /// Where an object lies, for other programs: a path on this machine, or the object's name.
    pub(crate) fn location(&self, path: &Path) -> String {
        self.local_path(path).map_or_else(|| path.to_string(), |file| file.display().to_string())
    }

    /// Writes a new object; refuses when one is there.
    ///
    /// # Errors
    /// [`StorageError::Exists`] when somebody else was first.
    pub async fn put_new(&self, path: &Path, bytes: Bytes) -> Result<(), StorageError> {
        self.put(path, bytes, PutMode::Create).await
    }

    /// Writes an object, in place of one that may be there.
    ///
    /// # Errors
    /// When it cannot be written; the old one is then still there.
    pub async fn replace(&self, path: &Path, bytes: Bytes) -> Result<(), StorageError> {
        self.put(path, bytes, PutMode::Overwrite).await
    }

    async fn put(&self, path: &Path, bytes: Bytes, mode: PutMode) -> Result<(), StorageError> {
        if let (Some(file), Some(root)) = (self.local_path(path), self.local_root.clone()) {
            let shown = path.clone();
            let create = mode == PutMode::Create;
            let write = move || write_durably(&root, &file, &bytes, create);
            return match tokio::task::spawn_blocking(write).await {
                Ok(done) => done.map_err(|e| io_error(&shown, e)),
                Err(e) => Err(io_error(&shown, std::io::Error::other(e))),
            };
        }
        let create = mode == PutMode::Create;
        let options = PutOptions { mode, ..PutOptions::default() };
        match self.objects.put_opts(path, bytes.clone().into(), options).await {
            Ok(_) => Ok(()),
            // The answer to a put may be lost and the put be sent again, or given up: what lies
            // there then is the caller's own. Sealed bytes are random, so equal means the same.
            Err(e) if create => self.put_in_doubt(path, &bytes, e).await,
            Err(e) => Err(store_error(path, e)),
        }
    }

    /// Whether an object that was to be new, and whose put failed, is there after all.
    async fn put_in_doubt(
        &self,
        path: &Path,
        bytes: &Bytes,
        error: object_store::Error,
    ) -> Result<(), StorageError> {
        let found = match self.objects.get(path).await {
            Ok(found) => found.bytes().await,
            Err(e) => Err(e),
        };
        match (found, store_error(path, error)) {
            (Ok(found), _) if found == *bytes => Ok(()),
            (Ok(_), _) => Err(StorageError::Exists { path: path.clone() }),
            (Err(object_store::Error::NotFound { .. }), error) => Err(error),
            (Err(_), StorageError::Store { path, source }) => {
                Err(StorageError::Unsure { path, source })
            }
            (Err(_), error) => Err(error),
        }
    }

    /// Tries with an object of its own whether the store refuses to put a new object over one that
    /// is there, on which publication rests.
    ///
    /// # Errors
    /// [`StorageError::Unconditional`] when it does not; otherwise when it does not answer.
    pub async fn try_conditional_put(&self, name: &str) -> Result<(), StorageError> {
        let path = Path::from(PROBE).join(name);
        self.put_new(&path, Bytes::from_static(b"one")).await?;
        let second = self.put_new(&path, Bytes::from_static(b"another")).await;
        self.remove(&path).await?;
        match second {
            Err(StorageError::Exists { .. }) => Ok(()),
            Ok(()) => Err(StorageError::Unconditional { path }),
            Err(e) => Err(e),
        }
    }

    /// Reads a whole object.
    ///
    /// # Errors
    /// [`StorageError::Missing`] when it is not there.
    pub async fn read(&self, path: &Path) -> Result<Bytes, StorageError> {
        let found = self.objects.get(path).await.map_err(|e| store_error(path, e))?;
        found.bytes().await.map_err(|e| store_error(path, e))
    }

    /// Removes an object; one that is not there is as good as removed.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn remove(&self, path: &Path) -> Result<(), StorageError> {
        match self.objects.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(store_error(path, e)),
        }
    }

    /// Removes every object below a folder, and a local folder with them; how many.
    ///
    /// # Errors
    /// When the store refuses; what was removed until then stays removed.
    pub async fn remove_below(&self, folder: &Path) -> Result<usize, StorageError> {
        let objects = self.list(folder).await?;
        for (path, _) in &objects {
            self.remove(path).await?;
        }
        if let (Some(local), Some(root)) = (self.local_path(folder), self.local_root.clone()) {
            let gone = tokio::task::spawn_blocking(move || {
                match std::fs::remove_dir_all(&local) {
                    Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                    _ => {}
                }
                local.parent().filter(|p| p.starts_with(&root)).map_or(Ok(()), sync_folder)
            });
            let gone = gone.await.unwrap_or_else(|e| Err(std::io::Error::other(e)));
            gone.map_err(|e| io_error(folder, e))?;
        }
        Ok(objects.len())
    }

    /// The objects below a folder, with their sizes in bytes, in the order of their names.
    ///
    /// # Errors
    /// When the store cannot list.
    pub async fn list(&self, folder: &Path) -> Result<Vec<(Path, u64)>, StorageError> {
        let mut found: Vec<(Path, u64)> = self
            .objects
            .list(Some(folder))
            .map_ok(|meta| (meta.location, meta.size))
            // What a crash left half written was never published.
            .try_filter(|(path, _)| {
                let staged = path.filename().is_some_and(|name| name.starts_with(STAGED));
                std::future::ready(!staged)
            })
            .try_collect()
            .await
            .map_err(|e| store_error(folder, e))?;
        found.sort();
        Ok(found)
    }

    /// When an object was last written, by the store's clock; none when it is not there.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn written(&self, path: &Path) -> Result<Option<Timestamp>, StorageError> {
        match self.objects.head(path).await {
            Ok(meta) => Ok(Timestamp::from_micros(meta.last_modified.timestamp_micros()).ok()),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(store_error(path, e)),
        }
    }

    /// The names of the folders directly below a folder.
    ///
    /// # Errors
    /// When the store cannot list.
    pub async fn folders(&self, folder: &Path) -> Result<Vec<String>, StorageError> {
        let found = self
            .objects
            .list_with_delimiter(Some(folder))
            .await
            .map_err(|e| store_error(folder, e))?;
        let name = |path: &Path| path.filename().map(str::to_owned);
        Ok(found.common_prefixes.iter().filter_map(name).collect())
    }
}

/// Writes to a file beside the final one, syncs it, gives it its name, syncs the folder.
fn write_durably(
    root: &FsPath,
    file: &FsPath,
    bytes: &[u8],
    must_be_new: bool,
) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(root);
    make_folder_durably(root, folder)?;
    let mut staged = tempfile::Builder::new().prefix(STAGED).tempfile_in(folder)?;
    staged.write_all(bytes)?;
    staged.as_file().sync_all()?;
    if must_be_new {
        staged.persist_noclobber(file).map_err(|e| e.error)?;
    } else {
        staged.persist(file).map_err(|e| e.error)?;
    }
    sync_folder(folder)
}

fn make_folder_durably(root: &FsPath, folder: &FsPath) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(folder)?;
    folder.ancestors().take_while(|f| f.starts_with(root)).try_for_each(sync_folder)
}

pub(crate) fn sync_folder(folder: &FsPath) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}
