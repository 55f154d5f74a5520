use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use salus_crypto::{Digest, passphrase};
use salus_model::{Class, Classified};

/// What a key file begins with; the digest of the rest follows.
const MAGIC: &[u8; 10] = b"SALUSKEYS1";

/// A key file is some kilobytes; more is no key file.
const BYTES_MAX: u64 = 16 << 20;

/// How long a writer waits for another one.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// What is wrong with a key file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("it does not exist")]
    Missing,
    #[error("there is a file of that name already")]
    Exists,
    #[error("the path names no file in a folder")]
    NoFileName,
    #[error("it is no regular file")]
    NotAFile,
    #[error("its mode is {mode:03o}, so others can read or change it; run chmod 600 on it")]
    OpenToOthers { mode: u32 },
    #[error("it is no key file, or damaged: its bytes are not those that were written")]
    Damaged,
    #[error("its format is {found}, which this version of Salus does not know")]
    Format { found: u32 },
    #[error("it does not open")]
    Sealed(#[source] passphrase::OpenRefused),
    #[error("no random bytes could be drawn")]
    Entropy,
    #[error("another process has been changing it for {} s", LOCK_PATIENCE.as_secs())]
    Locked,
    #[error("{doing} failed")]
    Io {
        doing: &'static str,
        #[source]
        source: io::Error,
    },
}

impl Classified for FileError {
    fn class(&self) -> Class {
        match self {
            Self::Missing | Self::Exists | Self::NoFileName | Self::NotAFile => Class::BadRequest,
            Self::OpenToOthers { .. } => Class::Refused,
            Self::Damaged | Self::Format { .. } => Class::Corrupt,
            Self::Sealed(cause) => cause.class(),
            Self::Entropy | Self::Locked | Self::Io { .. } => Class::Unavailable,
        }
    }
}

fn doing(doing: &'static str) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError::Io { doing, source }
}

/// What becomes of the file that is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replaced {
    /// Its name goes; the disk gives its blocks away when it likes.
    Unlinked,
    /// Its blocks are overwritten too.
    Overwritten,
}

/// Which file, as last written, this is; another writer's change gives another stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of no file.
    pub(super) const NONE: Self =
        Self { device: 0, inode: 0, bytes: 0, modified: (0, 0), changed: (0, 0) };

    fn of(meta: &fs::Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// Refuses what others can read or change.
fn private(meta: &fs::Metadata) -> Result<(), FileError> {
    if !meta.is_file() {
        return Err(FileError::NotAFile);
    }
    let mode = meta.mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(FileError::OpenToOthers { mode }) }
}

/// A key file's place on disk.
pub(super) struct KeyFile {
    path: PathBuf,
    folder: PathBuf,
    name: OsString,
}

impl KeyFile {
    pub(super) fn at(path: &Path) -> Result<Self, FileError> {
        let name = path.file_name().ok_or(FileError::NoFileName)?.to_owned();
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        Ok(Self { path: path.to_owned(), folder, name })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(".");
        name.push(&self.name);
        name.push(suffix);
        self.folder.join(name)
    }

    pub(super) fn stamp(&self) -> Result<Stamp, FileError> {
        match fs::metadata(&self.path) {
            Ok(meta) => {
                private(&meta)?;
                Ok(Stamp::of(&meta))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(FileError::Missing),
            Err(e) => Err(doing("looking at it")(e)),
        }
    }

    /// The sealed container, when the file is private and its bytes are those that were written.
    pub(super) fn read(&self) -> Result<(Stamp, Vec<u8>), FileError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(FileError::Missing),
            Err(e) => return Err(doing("opening it")(e)),
        };
        // Of the open file, so that nothing can be swapped in between check and use.
        let meta = file.metadata().map_err(doing("looking at it"))?;
        private(&meta)?;
        let mut bytes = Vec::new();
        file.take(BYTES_MAX).read_to_end(&mut bytes).map_err(doing("reading it"))?;
        let rest = bytes.strip_prefix(MAGIC).ok_or(FileError::Damaged)?;
        let (digest, container) = rest.split_at_checked(32).ok_or(FileError::Damaged)?;
        if Digest::of(container).as_bytes() != digest {
            return Err(FileError::Damaged);
        }
        Ok((Stamp::of(&meta), container.to_vec()))
    }

    /// Puts a first container in place; never over a file that is there.
    pub(super) fn create(&self, container: &[u8]) -> Result<(), FileError> {
        let writing = self.lock_for_writing()?;
        let new = writing.write_new(container)?;
        let linked = fs::hard_link(&new, &self.path);
        fs::remove_file(&new).map_err(doing("removing its draft"))?;
        match linked {
            Ok(()) => self.flush_folder(),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(FileError::Exists),
            Err(e) => Err(doing("putting it in place")(e)),
        }
    }

    pub(super) fn lock_for_writing(&self) -> Result<Writing<'_>, FileError> {
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.beside(".lock"))
            .map_err(doing("opening its lock file"))?;
        let until = Instant::now() + LOCK_PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Writing { file: self, _lock: lock }),
                Err(fs::TryLockError::WouldBlock) if Instant::now() < until => {
                    thread::sleep(Duration::from_millis(20));
                }
                Err(fs::TryLockError::WouldBlock) => return Err(FileError::Locked),
                Err(fs::TryLockError::Error(e)) => return Err(doing("locking it")(e)),
            }
        }
    }

    fn flush_folder(&self) -> Result<(), FileError> {
        File::open(&self.folder).and_then(|f| f.sync_all()).map_err(doing("flushing its folder"))
    }

    /// What lets others meddle with the file without reading it.
    pub(super) fn warnings(&self) -> Result<Vec<String>, FileError> {
        let meta = fs::metadata(&self.folder).map_err(doing("looking at its folder"))?;
        let (mode, folder) = (meta.mode() & 0o1777, self.folder.display());
        let mut warnings = Vec::new();
        if mode & 0o022 != 0 && mode & 0o1000 == 0 {
            warnings.push(format!(
                "the folder {folder} can be changed by others, who could replace the key file; \
                 run chmod 700 on it"
            ));
        }
        Ok(warnings)
    }
}

/// The right to change a key file, until dropped.
pub(super) struct Writing<'a> {
    file: &'a KeyFile,
    _lock: File,
}

impl Writing<'_> {
    /// Writes and flushes a draft beside the file, having removed what a crash left of another.
    fn write_new(&self, container: &[u8]) -> Result<PathBuf, FileError> {
        let path = self.file.beside(".new");
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(doing("removing an old draft")(e)),
        }
        let mut new = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(doing("making a draft"))?;
        let content = [MAGIC.as_slice(), Digest::of(container).as_bytes(), container].concat();
        let written = new.write_all(&content).and_then(|()| new.sync_all());
        if let Err(e) = written {
            // The first failure is the one to tell.
            let _ = fs::remove_file(&path);
            return Err(doing("writing a draft")(e));
        }
        Ok(path)
    }

    /// Puts a new container in the file's place, whole or not at all.
    pub(super) fn replace(&self, container: &[u8], replaced: Replaced) -> Result<Stamp, FileError> {
        let old = match replaced {
            Replaced::Unlinked => None,
            Replaced::Overwritten => Some(
                OpenOptions::new()
                    .write(true)
                    .open(&self.file.path)
                    .map_err(doing("opening it to overwrite"))?,
            ),
        };
        let new = self.write_new(container)?;
        fs::rename(&new, &self.file.path).map_err(doing("putting the draft in place"))?;
        self.file.flush_folder()?;
        if let Some(old) = old {
            overwrite(old).map_err(doing("overwriting the replaced file"))?;
        }
        self.file.stamp()
    }
}

fn overwrite(mut old: File) -> io::Result<()> {
    let length = old.metadata()?.len().min(BYTES_MAX);
    io::copy(&mut io::repeat(0).take(length), &mut old)?;
    old.sync_all()
}
