use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use salus_crypto::OsEntropy;
use salus_crypto::aead::{Aad, AeadKey};
use salus_model::{Class, Classified, EntropyFailed};

/// Bytes of plaintext in each frame but the last.
pub const FRAME_BYTES: usize = 1 << 20;

/// Why a spooled file cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The disk.
    #[error("the folder for exports cannot be used")]
    Io(#[from] std::io::Error),
    /// No random bytes.
    #[error("no key can be made")]
    Entropy(#[from] EntropyFailed),
    /// The bytes on the disk are not those that were written.
    #[error("a file of the export was altered on the disk")]
    Altered,
}

impl Classified for SpoolError {
    fn class(&self) -> Class {
        match self {
            Self::Io(_) | Self::Entropy(_) => Class::Unavailable,
            Self::Altered => Class::Corrupt,
        }
    }
}

/// A folder in which exports wait to be fetched.
///
/// # Privacy
/// Each file is encrypted under a key of its own that is in memory alone: a crash, or taking the
/// disk away, leaves bytes that nobody can read. What an earlier process left is removed.
#[derive(Debug)]
pub struct SpoolFolder(PathBuf);

impl SpoolFolder {
    /// The folder, emptied.
    ///
    /// # Errors
    /// When it cannot be made or emptied.
    pub fn open(folder: PathBuf) -> Result<Self, SpoolError> {
        match std::fs::remove_dir_all(&folder) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }

    /// A new file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(&self) -> Result<SpoolWriter, SpoolError> {
        let key = AeadKey::generate(&mut OsEntropy)?;
        let mut name = [0; 16];
        salus_model::Entropy::fill(&mut OsEntropy, &mut name)?;
        let path = self.0.join(hex::encode(name));
        let mut options = File::options();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        let on_disk = OnDisk { path, file, key };
        Ok(SpoolWriter { on_disk, frame: Vec::new(), frames: 0, bytes: 0, lines: 0 })
    }
}

/// The file, which is removed with its last user.
struct OnDisk {
    path: PathBuf,
    file: File,
    key: AeadKey,
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, "a file of an export could not be removed");
        }
    }
}

fn aad(frame: u64) -> Aad {
    Aad::new("salus export spool v1", &[&frame.to_be_bytes()])
}

/// A file being written, in lines.
pub struct SpoolWriter {
    on_disk: OnDisk,
    frame: Vec<u8>,
    frames: u64,
    bytes: u64,
    lines: u64,
}

impl SpoolWriter {
    /// Adds a line.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn line(&mut self, line: &[u8]) -> Result<(), SpoolError> {
        for part in [line, b"\n"] {
            let mut rest = part;
            while !rest.is_empty() {
                let room = FRAME_BYTES - self.frame.len();
                let (now, later) = rest.split_at(room.min(rest.len()));
                self.frame.extend_from_slice(now);
                rest = later;
                if self.frame.len() == FRAME_BYTES {
                    self.flush()?;
                }
            }
            self.bytes += part.len() as u64;
        }
        self.lines += 1;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SpoolError> {
        let sealed = self.on_disk.key.seal(&mut OsEntropy, &aad(self.frames), &self.frame);
        let sealed = sealed.map_err(|_| EntropyFailed)?;
        self.on_disk.file.write_all(&sealed)?;
        self.frames += 1;
        zeroize::Zeroize::zeroize(&mut self.frame);
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn finish(mut self) -> Result<SpoolFile, SpoolError> {
        if !self.frame.is_empty() {
            self.flush()?;
        }
        let Self { on_disk, bytes, lines, .. } = self;
        Ok(SpoolFile { on_disk: Arc::new(on_disk), bytes, lines })
    }
}

/// A whole file; cheap to clone.
#[derive(Clone)]
pub struct SpoolFile {
    on_disk: Arc<OnDisk>,
    bytes: u64,
    lines: u64,
}

impl SpoolFile {
    /// How many bytes it has, in plaintext.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many lines.
    #[must_use]
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// Where it lies, for tests of what the disk shows.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.on_disk.path
    }

    /// The bytes from `offset` on, to the end of the frame in which that lies; none at the end.
    ///
    /// # Errors
    /// When the disk fails, or its bytes are not those that were written.
    pub fn read_at(&self, offset: u64) -> Result<Vec<u8>, SpoolError> {
        if offset >= self.bytes {
            return Ok(Vec::new());
        }
        let size = FRAME_BYTES as u64;
        let frame = offset / size;
        let plain = (self.bytes - frame * size).min(size);
        let overhead = AeadKey::OVERHEAD_BYTES as u64;
        let mut sealed = vec![0; usize::try_from(plain + overhead).unwrap_or(usize::MAX)];
        let at = frame * (size + overhead);
        self.on_disk.file.read_exact_at(&mut sealed, at).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => SpoolError::Altered,
            _ => SpoolError::Io(e),
        })?;
        let opened = self.on_disk.key.open(&aad(frame), &sealed);
        let mut opened = opened.map_err(|_| SpoolError::Altered)?;
        let within = usize::try_from(offset - frame * size).unwrap_or(usize::MAX);
        let within = within.min(opened.len());
        Ok(opened.split_off(within))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn whole(file: &SpoolFile, from: u64) -> Vec<u8> {
        let mut read = Vec::new();
        loop {
            let piece = file.read_at(from + read.len() as u64).unwrap();
            if piece.is_empty() {
                return read;
            }
            read.extend(piece);
        }
    }

    #[test]
    fn what_is_written_comes_back_from_every_offset_and_the_disk_shows_none_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let spool = SpoolFolder::open(folder.path().join("exports")).unwrap();
        let mut writer = spool.create().unwrap();
        let mut wanted = Vec::new();
        for i in 0..3000 {
            let line = format!("MARKER {i} {}", "x".repeat(i));
            writer.line(line.as_bytes()).unwrap();
            wanted.extend(line.as_bytes());
            wanted.push(b'\n');
        }
        let file = writer.finish().unwrap();
        assert_eq!((file.bytes(), file.lines()), (wanted.len() as u64, 3000));
        assert!(wanted.len() > 4 * FRAME_BYTES);
        let offsets = [0, 1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, wanted.len() - 1];
        for from in offsets.into_iter().chain([wanted.len(), wanted.len() + 5]) {
            let expected = wanted.get(from..).unwrap_or_default();
            assert!(whole(&file, from as u64) == expected, "from {from}");
        }
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(!bytes.windows(6).any(|w| w == b"MARKER"));
        let path = file.path().to_owned();
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn altered_cut_and_swapped_frames_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let spool = SpoolFolder::open(folder.path().join("exports")).unwrap();
        let mut writer = spool.create().unwrap();
        for _ in 0..3 {
            writer.line(&vec![b'x'; FRAME_BYTES]).unwrap();
        }
        let file = writer.finish().unwrap();
        let good = std::fs::read(file.path()).unwrap();
        let frame = FRAME_BYTES + AeadKey::OVERHEAD_BYTES;
        let mut swapped = good.clone();
        let (first, second) = swapped.split_at_mut(frame);
        first.swap_with_slice(&mut second[..frame]);
        let mut altered = good.clone();
        altered[100] ^= 1;
        let cut = good[..frame - 1].to_vec();
        for bad in [swapped, altered, cut] {
            std::fs::write(file.path(), bad).unwrap();
            assert!(matches!(file.read_at(0), Err(SpoolError::Altered)));
        }
        std::fs::write(file.path(), &good).unwrap();
        assert!(file.read_at(0).is_ok());
    }

    #[test]
    fn what_an_earlier_process_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exports");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("left"), "x").unwrap();
        let _spool = SpoolFolder::open(path.clone()).unwrap();
        assert_eq!(std::fs::read_dir(path).unwrap().count(), 0);
    }
}
