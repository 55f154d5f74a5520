//! All segments in order, checked against each other.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use salus_crypto::Digest;
use salus_crypto::aead::Aad;
use salus_keys::{KeyStore, WrappedKey};

use super::frame::{Owner, SegmentSeal, genesis};
use super::segment::{Ending, SegmentReader, key_path};
use super::{Damage, Head, JournalError, JournalSettings, TornTail};
use crate::sealed;

const KEY_MAGIC: &str = "salus journal key 1\n";
const TRIMMED: &str = "trimmed";

/// A record with its place.
#[derive(Clone, PartialEq, Eq)]
pub struct JournalRecord {
    /// Its place, counted from 1 without gaps.
    pub position: u64,
    /// What was appended.
    pub bytes: Bytes,
}

/// Reads a journal's records in order, in bounded memory.
///
/// Whatever is not what was written is an error; nothing is skipped.
pub struct JournalReader {
    settings: JournalSettings,
    keys: Arc<dyn KeyStore>,
    waiting: VecDeque<u64>,
    current: Option<SegmentReader>,
    records: VecDeque<JournalRecord>,
    /// What the next segment must continue; none when reading begins in the middle.
    expected: Option<(u64, Digest)>,
    /// How far the last segment is known to be on the disk.
    bound: Option<(u64, u64)>,
    torn: Option<TornTail>,
    from: u64,
    ended: bool,
}

pub(super) fn owner(settings: &JournalSettings) -> Owner {
    Owner { holder: settings.holder.clone(), name: settings.name.clone() }
}

/// The first positions of the segments in a folder, ascending, by the files' ending.
pub(super) fn numbered(folder: &Path, ending: &str) -> Result<BTreeSet<u64>, JournalError> {
    let failed = |source| JournalError::Read { path: folder.to_owned(), source };
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = PathBuf::from(entry.map_err(failed)?.file_name());
        let number: Option<u64> = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if path.extension().is_some_and(|e| e == ending) {
            found.extend(number);
        }
    }
    Ok(found)
}

fn read_file(path: &Path) -> Result<Vec<u8>, JournalError> {
    std::fs::read(path).map_err(|source| JournalError::Read { path: path.to_owned(), source })
}

pub(super) fn key_file(wrapped: &WrappedKey) -> Vec<u8> {
    format!("{KEY_MAGIC}{wrapped}").into_bytes()
}

/// The wrapped key of a segment.
pub(super) fn read_key_file(folder: &Path, segment: u64) -> Result<WrappedKey, JournalError> {
    let damaged = JournalError::Corrupt { segment, offset: 0, damage: Damage::Key };
    let path = key_path(folder, segment);
    if !path.is_file() {
        return Err(damaged);
    }
    let text = String::from_utf8(read_file(&path)?).ok();
    text.and_then(|text| text.strip_prefix(KEY_MAGIC)?.parse().ok()).ok_or(damaged)
}

fn trimmed_aad(settings: &JournalSettings) -> Aad {
    let parts = [settings.holder.as_str().as_bytes(), settings.name.as_str().as_bytes()];
    Aad::new("salus journal trimmed v1", &parts)
}

/// Seals from which position on a trimmed journal has records.
pub(super) async fn seal_trimmed(
    settings: &JournalSettings,
    keys: &dyn KeyStore,
    first: u64,
) -> Result<Vec<u8>, JournalError> {
    let plaintext = first.to_be_bytes();
    sealed::seal(keys, &settings.master, &trimmed_aad(settings), &plaintext)
        .await
        .map_err(|source| JournalError::Sealed { source })
}

pub(super) fn trimmed_path(settings: &JournalSettings) -> PathBuf {
    settings.folder.join(TRIMMED)
}

/// From which position on the journal has records.
pub(super) async fn read_trimmed(
    settings: &JournalSettings,
    keys: &dyn KeyStore,
) -> Result<u64, JournalError> {
    let path = trimmed_path(settings);
    if !path.is_file() {
        return Ok(1);
    }
    let object = read_file(&path)?;
    let failed = |source| JournalError::Sealed { source };
    let aad = trimmed_aad(settings);
    let opened = sealed::open(keys, &settings.master, &aad, &object).await.map_err(failed)?;
    let first = opened.as_slice().try_into().map_err(|_| sealed::SealedError::Malformed);
    Ok(u64::from_be_bytes(first.map_err(failed)?))
}

impl JournalReader {
    /// Reads a journal from position `from` on without locking it, such as that of a running node.
    ///
    /// Only the segment that holds `from` and those behind it are read and checked. The commit that is under way while reading appears as a torn tail.
    ///
    /// # Errors
    /// When the folder or a key is out of reach, or a segment is missing.
    pub async fn open(
        settings: JournalSettings,
        keys: Arc<dyn KeyStore>,
        from: u64,
    ) -> Result<Self, JournalError> {
        let first = read_trimmed(&settings, &*keys).await?;
        let mut segments = numbered(&settings.folder, "journal")?.split_off(&first);
        let begins = segments.range(..=from.max(first)).next_back().copied();
        let expected = if begins == Some(1) || begins.is_none() {
            Some((1, genesis(&owner(&settings))))
        } else {
            None
        };
        if let Some(&found) = segments.first().filter(|&&found| found != first) {
            return Err(JournalError::MissingSegment { first, found });
        }
        if segments.is_empty() && first > 1 {
            return Err(JournalError::MissingSegment { first, found: 0 });
        }
        if let Some(begins) = begins {
            segments = segments.split_off(&begins);
        }
        let waiting = segments.into_iter().collect();
        let (current, torn, bound, records) = (None, None, None, VecDeque::new());
        let ended = false;
        Ok(Self { settings, keys, waiting, current, records, expected, bound, torn, from, ended })
    }

    /// Reads nothing that lies behind this length of this segment.
    pub(super) fn bounded(mut self, segment: u64, length: u64) -> Self {
        self.waiting.retain(|&s| s <= segment);
        self.bound = Some((segment, length));
        self
    }

    /// The next record; none at the end.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] with segment and offset when a byte is not what was written.
    pub async fn next(&mut self) -> Result<Option<JournalRecord>, JournalError> {
        loop {
            if let Some(record) = self.records.pop_front() {
                return Ok(Some(record));
            }
            if self.ended {
                return Ok(None);
            }
            self.fill().await?;
        }
    }

    /// What a crash tore at the end, once the end has been reached.
    #[must_use]
    pub const fn torn(&self) -> Option<&TornTail> {
        self.torn.as_ref()
    }

    /// The last record read, and the chain up to it.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        let (next, chain) = match &self.current {
            Some(segment) => (segment.next, segment.chain),
            None => self.expected?,
        };
        Some(Head { position: next - 1, chain })
    }

    /// The last segment, open at its end: first position, length without a torn tail, seal.
    pub(super) fn into_last(self) -> Option<(u64, u64, SegmentSeal)> {
        let last = self.current?;
        Some((last.segment(), last.offset, last.into_seal()))
    }

    /// Reads more records, or begins the next segment, or finds the end.
    async fn fill(&mut self) -> Result<(), JournalError> {
        let Some(mut segment) = self.current.take() else {
            return self.begin().await;
        };
        let read = tokio::task::spawn_blocking(move || {
            let read = segment.read_some();
            (segment, read)
        });
        let (segment, read) = read.await.map_err(|_| JournalError::Closed)?;
        let (number, offset) = (segment.segment(), segment.offset);
        let (next, chain) = (segment.next, segment.chain);
        self.current = Some(segment);
        let (frames, ending) = read?;
        for frame in frames {
            for (position, mut bytes) in (frame.first..).zip(frame.records) {
                let bytes = Bytes::from(std::mem::take(&mut *bytes));
                if position >= self.from {
                    self.records.push_back(JournalRecord { position, bytes });
                }
            }
        }
        match ending {
            None => return Ok(()),
            Some(Ending::Torn(bytes)) if self.waiting.is_empty() => {
                self.torn = Some(TornTail { segment: number, offset, bytes });
            }
            Some(Ending::Torn(_)) => {
                // A segment is begun only when the one before is on the disk to its end.
                let damage = Damage::Cut;
                return Err(JournalError::Corrupt { segment: number, offset, damage });
            }
            Some(Ending::Whole) => {}
        }
        if self.waiting.is_empty() {
            self.ended = true;
        } else {
            self.expected = Some((next, chain));
            self.current = None;
        }
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), JournalError> {
        let Some(segment) = self.waiting.pop_front() else {
            self.ended = true;
            return Ok(());
        };
        let wrapped = read_key_file(&self.settings.folder, segment)?;
        let key = sealed::known_key(&*self.keys, &self.settings.master, &wrapped);
        let key = key.await.map_err(|source| JournalError::SegmentKey { segment, source })?;
        let seal = SegmentSeal::new(owner(&self.settings), segment, key);
        let length = self.bound.filter(|(s, _)| *s == segment).map(|(_, length)| length);
        let reader = SegmentReader::open(&self.settings.folder, (segment, length), seal)?;
        if self.expected.is_some_and(|expected| expected != (segment, reader.chain)) {
            let damage = Damage::Order;
            return Err(JournalError::Corrupt { segment, offset: 0, damage });
        }
        self.current = Some(reader);
        Ok(())
    }
}
