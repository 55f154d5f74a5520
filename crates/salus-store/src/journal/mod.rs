//! An encrypted write-ahead journal on the local disk.
//!
//! Callers append opaque records, each of which gets the next position. Concurrent appends share
//! one write and one sync (group commit), and an append returns only when its records are on the
//! disk; the records of one append are found whole after a crash, or not at all.
//!
//! **Invariant:** a record that was acknowledged is returned, unaltered and in its place, by every
//! later opening, or opening fails and names the damage. Nothing is skipped.
//!
//! **Invariant:** after a write or sync that failed, nothing more is acknowledged: what is on the
//! disk is unknown until the journal is opened again.
//!
//! # Privacy
//! Segments are sealed under a key each, which a master key wraps. What lies on the disk tells
//! how long records are and when they came, not what they say. Each frame is bound to holder,
//! journal, segment, positions and the chain of everything before it, so that nothing can be
//! altered, reordered, left out of the middle, repeated or moved to another journal.
//! A journal that was taken back as a whole to an earlier state, marker file and all, opens; it
//! is told by the position or [`Head`] that the caller remembers from elsewhere. One exception at
//! the end: damage to the very last frame looks like one that a crash tore, and is reported as
//! [`TornTail`].

mod error;
mod frame;
mod medium;
mod reader;
mod segment;
mod writer;

use std::fs::{File, TryLockError};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use salus_crypto::Digest;
use salus_keys::KeyStore;
pub use salus_model::JournalName;
use salus_model::{HolderId, KeyName};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use self::error::write_error;
pub use self::error::{Damage, JournalError};
pub use self::medium::{LocalMedium, Medium, SegmentFile};
pub use self::reader::{JournalReader, JournalRecord};
use self::writer::{Request, Shared, Writer};
use crate::sealed;

/// The most bytes of records in one append.
pub const MAX_APPEND_BYTES: usize = 32 * 1024 * 1024;
/// A commit takes no further append in once it has this many bytes.
const COMMIT_BYTES: usize = 4 * 1024 * 1024;
/// No frame is longer: one commit and the envelopes around it.
const MAX_FRAME_BYTES: usize = MAX_APPEND_BYTES + COMMIT_BYTES + 4096;
/// Appends wait when this many bytes are under way.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// What an append costs the queue besides its bytes.
const RECORD_COST_BYTES: usize = 64;

/// Which journal, where it lies, and which key protects it.
#[derive(Debug, Clone)]
pub struct JournalSettings {
    /// The folder, which nothing else uses.
    pub folder: PathBuf,
    /// Whose journal.
    pub holder: HolderId,
    /// Which journal.
    pub name: JournalName,
    /// The master key that wraps the segments' keys.
    pub master: KeyName,
    /// A segment is closed when it has this many bytes.
    pub segment_bytes: u64,
}

/// The last record of a journal, and the hash chain up to it; who remembers it finds out when the
/// journal was cut or taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The record's place; 0 before the first.
    pub position: u64,
    /// The chain.
    pub chain: Digest,
}

/// What a crash left at the end: part of a commit that was never acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The segment, by the position of its first record.
    pub segment: u64,
    /// Where in the segment's file the torn part begins.
    pub offset: u64,
    /// How many bytes were cut off.
    pub bytes: u64,
}

/// What opening a journal found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The last record.
    pub head: Head,
    /// What was cut off.
    pub torn: Option<TornTail>,
}

/// An open journal; the only one on its folder.
pub struct Journal {
    settings: JournalSettings,
    keys: Arc<dyn KeyStore>,
    medium: Arc<dyn Medium>,
    shared: Arc<Mutex<Shared>>,
    queue: Arc<Semaphore>,
    requests: mpsc::UnboundedSender<Request>,
    ended: oneshot::Receiver<()>,
    /// One at a time changes which segments there are, or their key files.
    upkeep: tokio::sync::Mutex<()>,
}

/// Room in the queue for one append.
pub struct Reserved(OwnedSemaphorePermit);

/// An append that is under way.
pub struct Pending(oneshot::Receiver<Result<RangeInclusive<u64>, JournalError>>);

impl Pending {
    /// Waits until the records are on the disk; their places.
    ///
    /// # Errors
    /// When they are not, or it is unknown.
    pub async fn durable(self) -> Result<RangeInclusive<u64>, JournalError> {
        self.0.await.unwrap_or(Err(JournalError::Closed))
    }
}

/// Who takes the records in that are in a journal when it is opened.
pub type Visit<'v> =
    dyn FnMut(u64, &[u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + Send + 'v;

/// For how long a predecessor in this or another process may take to write its last commit.
const HANDOVER: Duration = Duration::from_millis(500);

async fn lock(settings: &JournalSettings) -> Result<File, JournalError> {
    let path = settings.folder.join("lock");
    let failed = |source| JournalError::Write { path: path.clone(), source };
    std::fs::create_dir_all(&settings.folder).map_err(failed)?;
    let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begun.elapsed() < HANDOVER => {
                tokio::time::sleep(HANDOVER / 20).await;
            }
            Err(TryLockError::WouldBlock) => {
                return Err(JournalError::InUse { folder: settings.folder.clone() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
}

impl Journal {
    /// Opens a journal, or makes it, and shows `visit` every record in it, in order.
    ///
    /// `reached` is a position that is known to have been acknowledged, such as the one up to
    /// which a dataset's files hold the journal's rows: a journal that ends before it was cut.
    ///
    /// # Errors
    /// When another process has it open, a byte is not what was written, a key is not available,
    /// or `visit` refuses a record.
    pub async fn open(
        settings: JournalSettings,
        keys: Arc<dyn KeyStore>,
        reached: u64,
        visit: &mut Visit<'_>,
    ) -> Result<(Self, Opened), JournalError> {
        Self::open_on(Arc::new(LocalMedium), settings, keys, reached, visit).await
    }

    /// As [`Journal::open`], where `medium` writes.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub async fn open_on(
        medium: Arc<dyn Medium>,
        settings: JournalSettings,
        keys: Arc<dyn KeyStore>,
        reached: u64,
        visit: &mut Visit<'_>,
    ) -> Result<(Self, Opened), JournalError> {
        let lock = lock(&settings).await?;
        clean(&*medium, &settings, &*keys).await?;
        let mut reader = JournalReader::open(settings.clone(), Arc::clone(&keys), 0).await?;
        while let Some(JournalRecord { position, bytes }) = reader.next().await? {
            visit(position, &bytes).map_err(|source| JournalError::Visitor { position, source })?;
        }
        let genesis = frame::genesis(&reader::owner(&settings));
        let head = reader.head().unwrap_or(Head { position: 0, chain: genesis });
        if head.position < reached {
            return Err(JournalError::Truncated { found: head.position, reached });
        }
        let opened = Opened { head, torn: reader.torn().cloned() };
        if let Some(TornTail { segment, offset, .. }) = &opened.torn {
            let path = segment::segment_path(&settings.folder, *segment);
            medium.cut(&path, *offset).map_err(|e| write_error(&path, e))?;
        }
        let disk = writer::Disk { medium: Arc::clone(&medium), keys: Arc::clone(&keys) };
        let writer = Writer::new(disk, settings.clone(), head, reader.into_last(), lock).await?;
        let shared = writer.shared();
        let (requests, received) = mpsc::unbounded_channel();
        let ended = writer.start(received)?;
        let queue = Arc::new(Semaphore::new(QUEUE_BYTES));
        let upkeep = tokio::sync::Mutex::new(());
        Ok((Self { settings, keys, medium, shared, queue, requests, ended, upkeep }, opened))
    }

    /// Appends records, and returns their places once they are on the disk.
    ///
    /// # Errors
    /// When they are not, or it is unknown: then [`JournalError::Frozen`] names the cause, and
    /// the journal takes nothing more until it is opened again.
    pub async fn append(&self, records: Vec<Bytes>) -> Result<RangeInclusive<u64>, JournalError> {
        self.submit(self.reserve(&records).await?, records, None)?.durable().await
    }

    /// Waits for room in the queue.
    ///
    /// # Errors
    /// When the append is empty or too long.
    pub async fn reserve(&self, records: &[Bytes]) -> Result<Reserved, JournalError> {
        let found: usize = records.iter().map(Bytes::len).sum();
        let cost = found + records.len().saturating_mul(RECORD_COST_BYTES);
        if records.is_empty() {
            return Err(JournalError::Empty);
        }
        // The lengths before the records count too, so that millions of empty ones do not pass.
        if cost > MAX_APPEND_BYTES + RECORD_COST_BYTES {
            return Err(JournalError::TooLong { found });
        }
        let cost = u32::try_from(cost).map_err(|_| JournalError::TooLong { found })?;
        let room = Arc::clone(&self.queue).acquire_many_owned(cost).await;
        room.map(Reserved).map_err(|_| JournalError::Closed)
    }

    /// Puts records into the queue. Positions are given in the order of these calls; records that
    /// would not get the `expected` one are turned away.
    ///
    /// # Errors
    /// When the journal is frozen or closed; nothing has been queued then.
    pub fn submit(
        &self,
        room: Reserved,
        records: Vec<Bytes>,
        expected: Option<u64>,
    ) -> Result<Pending, JournalError> {
        if let Some(cause) = self.shared.lock().frozen.clone() {
            return Err(JournalError::Frozen { cause });
        }
        let (answer, pending) = oneshot::channel();
        let request = Request { records, answer, expected, room: room.0 };
        self.requests.send(request).map_err(|_| JournalError::Closed)?;
        Ok(Pending(pending))
    }

    /// The last record that is on the disk.
    #[must_use]
    pub fn head(&self) -> Head {
        self.shared.lock().head
    }

    /// Why the journal takes nothing more, if so.
    #[must_use]
    pub fn frozen(&self) -> Option<Arc<JournalError>> {
        self.shared.lock().frozen.clone()
    }

    /// Reads the records from `from` on that are on the disk now. A reader that a trim overtakes
    /// ends with an error.
    ///
    /// # Errors
    /// As [`JournalReader::open`].
    pub async fn read(&self, from: u64) -> Result<JournalReader, JournalError> {
        // Not between the mark of a trim and its end.
        let _no_trim_meanwhile = self.upkeep.lock().await;
        let (segment, length) = self.shared.lock().written;
        let reader = JournalReader::open(self.settings.clone(), Arc::clone(&self.keys), from);
        Ok(reader.await?.bounded(segment, length))
    }

    /// The first positions of the segments, oldest first.
    #[must_use]
    pub fn segments(&self) -> Vec<u64> {
        self.shared.lock().segments.iter().copied().collect()
    }

    /// Has the next record begin a new segment, so that the present one can be trimmed one day
    /// however short it is.
    pub fn end_segment(&self) {
        let mut shared = self.shared.lock();
        shared.ends = Some(shared.written.0);
    }

    /// Removes the segments whose records all lie at or before `through`; never the last one.
    ///
    /// The caller says by this that they are kept elsewhere. Returns how many were removed.
    ///
    /// # Errors
    /// When the disk refuses; after a crash or error in between, the next opening finishes it.
    pub async fn trim(&self, through: u64) -> Result<usize, JournalError> {
        let _one_at_a_time = self.upkeep.lock().await;
        let segments = self.shared.lock().segments.clone();
        let kept = segments.range(..=through.saturating_add(1)).next_back().copied();
        let (Some(first), Some(kept)) = (segments.first().copied(), kept) else { return Ok(0) };
        if kept == first {
            return Ok(0);
        }
        let mark = reader::seal_trimmed(&self.settings, &*self.keys, kept).await?;
        let removed: Vec<u64> = segments.range(..kept).copied().collect();
        let (medium, settings) = (Arc::clone(&self.medium), self.settings.clone());
        let (count, gone) = (removed.len(), removed.clone());
        let work = tokio::task::spawn_blocking(move || {
            // First the mark: from then on a segment before it is a remainder, not a loss.
            let path = reader::trimmed_path(&settings);
            medium.publish(&path, &mark).map_err(|e| write_error(&path, e))?;
            removed.iter().try_for_each(|&s| remove_segment(&*medium, &settings, s))
        });
        let done = work.await.unwrap_or(Err(JournalError::Closed));
        self.shared.lock().segments.retain(|s| !gone.contains(s));
        done.map(|()| count)
    }

    /// Wraps the segments' keys anew, under the master key's newest version; no record is
    /// touched. Returns how many keys were wrapped.
    ///
    /// # Errors
    /// When the key store or the disk refuse; what was wrapped until then stays valid.
    pub async fn rewrap(&self) -> Result<usize, JournalError> {
        let _one_at_a_time = self.upkeep.lock().await;
        let segments = self.segments();
        for &segment in &segments {
            let wrapped = reader::read_key_file(&self.settings.folder, segment)?;
            let wrapped = sealed::rewrap_key(&*self.keys, &self.settings.master, &wrapped).await;
            let wrapped = wrapped.map_err(|source| JournalError::SegmentKey { segment, source })?;
            let path = segment::key_path(&self.settings.folder, segment);
            self.publish(path, reader::key_file(&wrapped)).await?;
        }
        let path = reader::trimmed_path(&self.settings);
        if path.is_file() {
            let first = reader::read_trimmed(&self.settings, &*self.keys).await?;
            let mark = reader::seal_trimmed(&self.settings, &*self.keys, first).await?;
            self.publish(path, mark).await?;
        }
        Ok(segments.len())
    }

    async fn publish(&self, path: PathBuf, bytes: Vec<u8>) -> Result<(), JournalError> {
        let medium = Arc::clone(&self.medium);
        let work = tokio::task::spawn_blocking(move || {
            medium.publish(&path, &bytes).map_err(|e| write_error(&path, e))
        });
        work.await.unwrap_or(Err(JournalError::Closed))
    }

    /// Writes what is queued, and gives the folder free for another opening.
    pub async fn close(self) {
        let Self { requests, ended, .. } = self;
        drop(requests);
        // The writer has ended in either case.
        drop(ended.await);
    }
}

fn remove_segment(
    medium: &dyn Medium,
    settings: &JournalSettings,
    segment: u64,
) -> Result<(), JournalError> {
    // A key without a segment is a remainder; a segment without its key would be damage.
    for path in [
        segment::segment_path(&settings.folder, segment),
        segment::key_path(&settings.folder, segment),
    ] {
        medium.remove(&path).map_err(|e| write_error(&path, e))?;
    }
    Ok(())
}

/// Removes what a crash left: trimmed segments, keys without segments, files half written.
async fn clean(
    medium: &dyn Medium,
    settings: &JournalSettings,
    keys: &dyn KeyStore,
) -> Result<(), JournalError> {
    let first = reader::read_trimmed(settings, keys).await?;
    let segments = reader::numbered(&settings.folder, "journal")?;
    for &segment in segments.range(..first) {
        remove_segment(medium, settings, segment)?;
    }
    for key in reader::numbered(&settings.folder, "key")? {
        if !segments.contains(&key) {
            let path = segment::key_path(&settings.folder, key);
            medium.remove(&path).map_err(|e| write_error(&path, e))?;
        }
    }
    let failed = |source| JournalError::Read { path: settings.folder.clone(), source };
    for entry in std::fs::read_dir(&settings.folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|e| e == medium::STAGED) {
            medium.remove(&path).map_err(|e| write_error(&path, e))?;
        }
    }
    Ok(())
}
