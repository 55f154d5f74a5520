//! Master keys in one file, sealed with a passphrase: the embedded default.

mod file;
mod ring;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use salus_crypto::OsEntropy;
use salus_crypto::passphrase::{GuessCost, Passphrase, SealFailed, StretchedPassphrase};
use salus_model::{Class, Classified, Clock, KeyName, Secret};

use self::file::{FileError, KeyFile, Replaced, Stamp};
use self::ring::{Ring, RingError};
use crate::store::check_length;
use crate::{Health, KeyInfo, KeyState, KeyStore, KeyStoreError, WrapContext, WrappedKey};

/// Why a key file cannot be made or opened.
#[derive(Debug, thiserror::Error)]
#[error("the key file {} cannot be used", path.display())]
pub struct LocalOpenError {
    /// The key file.
    path: PathBuf,
    /// Why.
    #[source]
    cause: FileError,
}

impl Classified for LocalOpenError {
    fn class(&self) -> Class {
        self.cause.class()
    }
}

/// A key store in one file, sealed with a passphrase (Argon2id, then AES-256-GCM).
///
/// Several processes may use the file at once: writers take turns by a lock file beside it, and
/// every use notices a change that another process made. A change is written to a new file,
/// flushed, and put in place at once, so a crash leaves the old or the new file, never a mixture.
///
/// # Privacy
/// Whoever has the file and the passphrase has every key. After [`KeyStore::shred`] the folder
/// holds no earlier copy: the file is replaced, the old file's blocks are overwritten, and what a
/// crash may have left of a change is removed. Copies that were made of the file elsewhere, file
/// system snapshots and the spare blocks of a flash disk are beyond its reach: keep the key file
/// out of backups that outlive a shred, or use a hardware token.
///
/// # Cost
/// Opening derives the sealing key once: about 0.1 s and the memory that the file's [`GuessCost`]
/// names. Changes, by this process or another, keep the file's salt and so that key; it is derived
/// again only when the cost is another, or somebody has put another file in its place.
#[derive(Clone)]
pub struct LocalKeyStore(Arc<Inner>);

struct Inner {
    file: KeyFile,
    passphrase: Passphrase,
    cost: GuessCost,
    clock: Arc<dyn Clock>,
    held: Mutex<Held>,
}

struct Held {
    stamp: Stamp,
    ring: Ring,
    sealing: Arc<StretchedPassphrase>,
}

impl LocalKeyStore {
    /// Makes a new key file with no keys in it, readable by its owner only.
    ///
    /// # Errors
    /// When there is a file already, or the folder cannot be written.
    pub fn create(
        path: &Path,
        passphrase: Passphrase,
        cost: GuessCost,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LocalOpenError> {
        let refused = |cause| LocalOpenError { path: path.to_owned(), cause };
        let file = KeyFile::at(path).map_err(refused)?;
        let sealing = StretchedPassphrase::generate(&mut OsEntropy, &passphrase, cost)
            .map_err(|_| refused(FileError::Entropy))?;
        let sealed =
            ring::seal(&Ring::default(), &sealing).map_err(|_| refused(FileError::Entropy))?;
        file.create(&sealed).map_err(refused)?;
        let held = read(&file, &passphrase, Some(&Arc::new(sealing))).map_err(refused)?;
        Ok(Self::holding(file, passphrase, cost, clock, held))
    }

    /// Opens a key file.
    ///
    /// `cost` is what later changes are sealed with.
    ///
    /// # Errors
    /// When there is none, others may read it, it is damaged, or the passphrase is another.
    pub fn open(
        path: &Path,
        passphrase: Passphrase,
        cost: GuessCost,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LocalOpenError> {
        let refused = |cause| LocalOpenError { path: path.to_owned(), cause };
        let file = KeyFile::at(path).map_err(refused)?;
        let held = read(&file, &passphrase, None).map_err(refused)?;
        Ok(Self::holding(file, passphrase, cost, clock, held))
    }

    fn holding(
        file: KeyFile,
        passphrase: Passphrase,
        cost: GuessCost,
        clock: Arc<dyn Clock>,
        held: Held,
    ) -> Self {
        Self(Arc::new(Inner { file, passphrase, cost, clock, held: Mutex::new(held) }))
    }

    /// Runs file work where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, KeyStoreError> + Send + 'static,
    ) -> Result<T, KeyStoreError> {
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .map_err(|e| KeyStoreError::Bug { what: format!("the key file's task ended: {e}") })?
    }
}

/// Reads the file; derives the key only when the one that is known is not the file's.
fn read(
    file: &KeyFile,
    passphrase: &Passphrase,
    known: Option<&Arc<StretchedPassphrase>>,
) -> Result<Held, FileError> {
    let (stamp, container) = file.read()?;
    let sealing = match known.filter(|known| known.fits(&container)) {
        Some(known) => Arc::clone(known),
        None => Arc::new(
            StretchedPassphrase::of_container(passphrase, &container).map_err(FileError::Sealed)?,
        ),
    };
    let ring = ring::open(&container, &sealing)?;
    Ok(Held { stamp, ring, sealing })
}

impl Inner {
    /// Uses the keys as they are in the file at this moment.
    fn look<T>(
        &self,
        use_of: impl FnOnce(&Ring) -> Result<T, KeyStoreError>,
    ) -> Result<T, KeyStoreError> {
        let mut held = self.held.lock();
        self.refresh(&mut held)?;
        use_of(&held.ring)
    }

    fn refresh(&self, held: &mut Held) -> Result<(), KeyStoreError> {
        if self.file.stamp().map_err(outside)? != held.stamp {
            let known = Arc::clone(&held.sealing);
            *held = read(&self.file, &self.passphrase, Some(&known)).map_err(outside)?;
        }
        Ok(())
    }

    /// Changes the keys: in the file first, in memory when that has succeeded.
    fn change<T>(
        &self,
        replaced: Replaced,
        change: impl FnOnce(&mut Ring) -> Result<T, RingError>,
    ) -> Result<T, KeyStoreError> {
        let mut held = self.held.lock();
        let writing = self.file.lock_for_writing().map_err(outside)?;
        self.refresh(&mut held)?;
        let changed = change(&mut held.ring)?;
        let written = self
            .seal(&mut held)
            .map_err(|e| KeyStoreError::unavailable("no randomness", e))
            .and_then(|sealed| writing.replace(&sealed, replaced).map_err(outside));
        match written {
            Ok(stamp) => held.stamp = stamp,
            Err(error) => {
                // Memory is ahead of the file; what the file says counts.
                held.stamp = Stamp::NONE;
                return Err(error);
            }
        }
        Ok(changed)
    }

    fn seal(&self, held: &mut Held) -> Result<Vec<u8>, SealFailed> {
        if held.sealing.cost() != self.cost {
            let anew = StretchedPassphrase::generate(&mut OsEntropy, &self.passphrase, self.cost)?;
            held.sealing = Arc::new(anew);
        }
        ring::seal(&held.ring, &held.sealing)
    }
}

fn outside(error: FileError) -> KeyStoreError {
    match error {
        FileError::Damaged => KeyStoreError::Corrupt { what: error.to_string() },
        other => KeyStoreError::unavailable("the key file", other),
    }
}

impl From<RingError> for KeyStoreError {
    fn from(error: RingError) -> Self {
        match error {
            RingError::NoSuchKey(name) => Self::NoSuchKey { name },
            RingError::Exists(name) => Self::Exists { name },
            RingError::Revoked(name) => Self::Revoked { name },
            RingError::NoSuchVersion(name, version) => Self::NoSuchVersion { name, version },
            RingError::Unwrap(name) => Self::Unwrap { name },
            RingError::VersionsUsedUp(name) => {
                Self::Bug { what: format!("the key '{name}' cannot have a further version") }
            }
            RingError::Entropy(cause) => Self::unavailable("no randomness", cause),
        }
    }
}

#[async_trait]
impl KeyStore for LocalKeyStore {
    async fn create(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        let name = name.clone();
        self.blocking(move |inner| {
            let now = inner.clock.now();
            inner.change(Replaced::Unlinked, |ring| ring.create(&name, now, &mut OsEntropy))
        })
        .await
    }

    async fn rotate(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        let name = name.clone();
        self.blocking(move |inner| {
            let now = inner.clock.now();
            inner.change(Replaced::Unlinked, |ring| ring.rotate(&name, now, &mut OsEntropy))
        })
        .await
    }

    async fn wrap(
        &self,
        name: &KeyName,
        context: WrapContext<'_>,
        key: &Secret<Vec<u8>>,
    ) -> Result<WrappedKey, KeyStoreError> {
        check_length(key)?;
        let (name, context) = (name.clone(), context.as_bytes().to_vec());
        let key = Secret::new(key.expose().clone());
        self.blocking(move |inner| {
            inner.look(|ring| Ok(ring.wrap(&name, &context, key.expose(), &mut OsEntropy)?))
        })
        .await
    }

    async fn unwrap(
        &self,
        name: &KeyName,
        context: WrapContext<'_>,
        wrapped: &WrappedKey,
    ) -> Result<Secret<Vec<u8>>, KeyStoreError> {
        let (name, context) = (name.clone(), context.as_bytes().to_vec());
        let wrapped = wrapped.clone();
        self.blocking(move |inner| inner.look(|ring| Ok(ring.unwrap(&name, &context, &wrapped)?)))
            .await
    }

    async fn describe(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        let name = name.clone();
        self.blocking(move |inner| inner.look(|ring| Ok(ring.describe(&name)?))).await
    }

    async fn list(&self) -> Result<Vec<KeyInfo>, KeyStoreError> {
        self.blocking(|inner| inner.look(|ring| Ok(ring.list()))).await
    }

    async fn revoke(&self, name: &KeyName) -> Result<(), KeyStoreError> {
        let name = name.clone();
        self.blocking(move |inner| {
            inner.change(Replaced::Unlinked, |ring| ring.set_state(&name, KeyState::Revoked))
        })
        .await
    }

    async fn reinstate(&self, name: &KeyName) -> Result<(), KeyStoreError> {
        let name = name.clone();
        self.blocking(move |inner| {
            inner.change(Replaced::Unlinked, |ring| ring.set_state(&name, KeyState::Active))
        })
        .await
    }

    async fn shred(&self, name: &KeyName) -> Result<(), KeyStoreError> {
        let name = name.clone();
        self.blocking(move |inner| inner.change(Replaced::Overwritten, |ring| ring.shred(&name)))
            .await
    }

    async fn health(&self) -> Result<Health, KeyStoreError> {
        self.blocking(|inner| {
            inner.look(|_| Ok(()))?;
            let warnings = inner.file.warnings().map_err(outside)?;
            Ok(Health { store: format!("key file {}", inner.file.path().display()), warnings })
        })
        .await
    }
}
