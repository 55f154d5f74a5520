//! Small files that a service keeps between two runs, each sealed under the site's key.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use salus_crypto::aead::Aad;
use salus_keys::KeyStore;
use salus_model::{HolderId, KeyName};
use salus_store::{SealedError, open_sealed, seal_object};
use zeroize::Zeroizing;

/// Why a sealed file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealedFileError {
    /// The disk refuses.
    #[error("a file of the site's folder cannot be used")]
    Io(#[from] std::io::Error),
    /// The key store refuses, or the file was altered.
    #[error(transparent)]
    Sealed(#[from] SealedError),
}

/// A folder of sealed files, bound to a holder, a use and their names.
#[derive(Clone)]
pub(crate) struct SealedFolder {
    folder: PathBuf,
    keys: Arc<dyn KeyStore>,
    master: KeyName,
    holder: HolderId,
    used_for: &'static str,
}

impl SealedFolder {
    /// The folder, made when it is first needed.
    pub(crate) fn new(
        folder: PathBuf,
        (keys, master): (Arc<dyn KeyStore>, KeyName),
        holder: HolderId,
        used_for: &'static str,
    ) -> Self {
        Self { folder, keys, master, holder, used_for }
    }

    /// Where a file lies, or would.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn aad(&self, name: &str) -> Aad {
        Aad::new(self.used_for, &[self.holder.as_str().as_bytes(), name.as_bytes()])
    }

    /// What a file holds; none when it is not there.
    pub(crate) async fn read(
        &self,
        name: &str,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, SealedFileError> {
        let sealed = match std::fs::read(self.path(name)) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            sealed => sealed?,
        };
        Ok(Some(open_sealed(&*self.keys, &self.master, &self.aad(name), &sealed).await?))
    }

    /// Puts a file in place of one that may be there; it is on the disk when this returns.
    pub(crate) async fn write(&self, name: &str, bytes: &[u8]) -> Result<(), SealedFileError> {
        let sealed = seal_object(&*self.keys, &self.master, &self.aad(name), bytes).await?;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        Ok(replace(&self.folder, name, &sealed)?)
    }

    /// Removes a file, if there is one.
    pub(crate) fn remove(&self, name: &str) -> Result<(), SealedFileError> {
        match std::fs::remove_file(self.path(name)) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e.into()),
            Ok(()) => Ok(std::fs::File::open(&self.folder)?.sync_all()?),
        }
    }

    /// Names of files with this ending, in order.
    pub(crate) fn names(&self, ending: &str) -> Result<Vec<String>, SealedFileError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name().into_string().unwrap_or_default();
            names.extend(Some(name).filter(|name| name.ends_with(ending)));
        }
        names.sort();
        Ok(names)
    }
}

/// Puts a file in place of another, so that a crash leaves one of the two.
fn replace(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, folder.join(name))?;
    std::fs::File::open(folder)?.sync_all()
}
