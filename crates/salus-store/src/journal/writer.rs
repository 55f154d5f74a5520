//! The one thread that writes.

use std::collections::BTreeSet;
use std::fs::File;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use salus_crypto::Digest;
use salus_keys::KeyStore;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::frame::{Owner, SEGMENT_HEAD_BYTES, SegmentSeal};
use super::reader::{key_file, owner};
use super::segment::{key_path, segment_path};
use super::{COMMIT_BYTES, Head, JournalError, JournalSettings, Medium, SegmentFile, write_error};
use crate::sealed;

/// A segment grows to this many times its size when no key for the next one can be had.
const PATIENCE: u64 = 4;

/// One append in the queue.
pub(super) struct Request {
    pub(super) records: Vec<Bytes>,
    pub(super) answer: oneshot::Sender<Result<RangeInclusive<u64>, JournalError>>,
    /// The place that the first record is to have, when the caller has promised it.
    pub(super) expected: Option<u64>,
    /// Gives the room in the queue back when the request is done with.
    pub(super) room: OwnedSemaphorePermit,
}

/// What the journal's callers see of the writer.
pub(super) struct Shared {
    pub(super) head: Head,
    /// The last segment, and how much of it is on the disk.
    pub(super) written: (u64, u64),
    pub(super) segments: BTreeSet<u64>,
    /// The segment after which the next record begins another.
    pub(super) ends: Option<u64>,
    pub(super) frozen: Option<Arc<JournalError>>,
}

pub(super) struct Disk {
    pub(super) medium: Arc<dyn Medium>,
    pub(super) keys: Arc<dyn KeyStore>,
}

struct Active {
    file: Box<dyn SegmentFile>,
    seal: SegmentSeal,
    segment: u64,
    length: u64,
}

/// Seals, writes and syncs; everything in it belongs to one thread.
pub(super) struct Writer {
    disk: Disk,
    settings: JournalSettings,
    owner: Owner,
    head: Head,
    active: Active,
    shared: Arc<Mutex<Shared>>,
    /// Held for as long as this writer may write.
    _lock: File,
}

async fn new_segment(
    disk: &Disk,
    settings: &JournalSettings,
    (segment, chain): (u64, Digest),
) -> Result<Active, JournalError> {
    let new_key = sealed::new_key(&*disk.keys, &settings.master).await;
    let (key, wrapped) = new_key.map_err(|source| JournalError::SegmentKey { segment, source })?;
    let seal = SegmentSeal::new(owner(settings), segment, key);
    let publish = |path: std::path::PathBuf, bytes: &[u8]| {
        disk.medium.publish(&path, bytes).map_err(|e| write_error(&path, e))
    };
    publish(key_path(&settings.folder, segment), &key_file(&wrapped))?;
    publish(segment_path(&settings.folder, segment), &seal.seal_head(chain)?)?;
    let path = segment_path(&settings.folder, segment);
    let file = disk.medium.open(&path).map_err(|e| write_error(&path, e))?;
    Ok(Active { file, seal, segment, length: SEGMENT_HEAD_BYTES as u64 })
}

impl Writer {
    /// Continues the last segment, or begins the first.
    pub(super) async fn new(
        disk: Disk,
        settings: JournalSettings,
        head: Head,
        last: Option<(u64, u64, SegmentSeal)>,
        lock: File,
    ) -> Result<Self, JournalError> {
        let active = match last {
            Some((segment, length, seal)) => {
                let path = segment_path(&settings.folder, segment);
                let file = disk.medium.open(&path).map_err(|e| write_error(&path, e))?;
                Active { file, seal, segment, length }
            }
            None => new_segment(&disk, &settings, (head.position + 1, head.chain)).await?,
        };
        let segments = super::reader::numbered(&settings.folder, "journal")?;
        let written = (active.segment, active.length);
        let shared =
            Arc::new(Mutex::new(Shared { head, written, segments, ends: None, frozen: None }));
        let owner = owner(&settings);
        Ok(Self { disk, settings, owner, head, active, shared, _lock: lock })
    }

    pub(super) fn shared(&self) -> Arc<Mutex<Shared>> {
        Arc::clone(&self.shared)
    }

    /// Starts the thread; the receiver is told when it has ended and the lock is free.
    pub(super) fn start(
        mut self,
        mut requests: mpsc::UnboundedReceiver<Request>,
    ) -> Result<oneshot::Receiver<()>, JournalError> {
        let (ended, end) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Handle::current();
        let folder = self.settings.folder.clone();
        let work = move || {
            while let Some(request) = requests.blocking_recv() {
                let batch = take_more(request, &mut requests);
                self.answer(batch, &runtime);
            }
            drop(self);
            drop(ended);
        };
        std::thread::Builder::new()
            .name("salus-journal".to_owned())
            .spawn(work)
            .map_err(|source| JournalError::Write { path: folder, source })?;
        Ok(end)
    }

    fn answer(&mut self, batch: Vec<Request>, runtime: &tokio::runtime::Handle) {
        let batch = self.in_place(batch);
        if batch.is_empty() {
            return;
        }
        let mut first = match self.commit(&batch, runtime) {
            Ok(first) => first,
            Err(refusal) => {
                for request in batch {
                    drop(request.answer.send(Err(refusal.for_one())));
                }
                return;
            }
        };
        for Request { records, answer, room, .. } in batch {
            let next = first + records.len() as u64;
            // Whoever no longer waits has no need of the answer; the records are there all the same.
            drop(answer.send(Ok(first..=next - 1)));
            drop(room);
            first = next;
        }
    }

    /// Turns away what would not get the place that it expects.
    fn in_place(&self, batch: Vec<Request>) -> Vec<Request> {
        let (mut next, mut fitting) = (self.head.position + 1, Vec::with_capacity(batch.len()));
        for request in batch {
            if let Some(expected) = request.expected.filter(|&expected| expected != next) {
                let refused = JournalError::OtherPlace { expected, found: next };
                drop(request.answer.send(Err(refused)));
                continue;
            }
            next += request.records.len() as u64;
            fitting.push(request);
        }
        fitting
    }

    /// Puts a batch on the disk as one frame; the position of its first record.
    fn commit(
        &mut self,
        batch: &[Request],
        runtime: &tokio::runtime::Handle,
    ) -> Result<u64, Refusal> {
        if let Some(cause) = self.shared.lock().frozen.clone() {
            return Err(Refusal::Frozen(cause));
        }
        self.rotate(runtime)?;
        let first = self.head.position + 1;
        let records = batch.iter().flat_map(|r| r.records.iter());
        let bytes = records.clone().map(AsRef::as_ref);
        let sealed = self.active.seal.seal_frame((first, self.head.chain), bytes);
        // Nothing has been written yet when sealing fails.
        let (frame, chain) = sealed.map_err(|e| Refusal::NotTaken(Arc::new(e.into())))?;
        let file = &mut self.active.file;
        if let Err(source) = file.append(&frame).and_then(|()| file.sync()) {
            let path = segment_path(&self.settings.folder, self.active.segment);
            return Err(self.freeze(write_error(&path, source)));
        }
        self.active.length += frame.len() as u64;
        self.head = Head { position: self.head.position + records.count() as u64, chain };
        let mut shared = self.shared.lock();
        shared.head = self.head;
        shared.written = (self.active.segment, self.active.length);
        Ok(first)
    }

    /// Begins a new segment when the present one is long enough, or is to end.
    fn rotate(&mut self, runtime: &tokio::runtime::Handle) -> Result<(), Refusal> {
        let wanted = self.settings.segment_bytes.max(1);
        let begun = self.active.length > SEGMENT_HEAD_BYTES as u64;
        let ends = self.shared.lock().ends == Some(self.active.segment);
        if !begun || (self.active.length < wanted && !ends) {
            return Ok(());
        }
        let next = (self.head.position + 1, self.head.chain);
        match runtime.block_on(new_segment(&self.disk, &self.settings, next)) {
            Ok(active) => {
                let mut shared = self.shared.lock();
                shared.segments.insert(active.segment);
                shared.written = (active.segment, active.length);
                drop(shared);
                self.active = active;
                Ok(())
            }
            // The key store is away: what is there can be written under the present key for a
            // while. That nothing was begun on the disk is certain here.
            Err(e @ JournalError::SegmentKey { .. }) => {
                tracing::warn!(journal = %self.owner.name, error = %e, "no key for a new segment");
                if self.active.length < PATIENCE.saturating_mul(wanted) {
                    Ok(())
                } else {
                    Err(Refusal::NotTaken(Arc::new(e)))
                }
            }
            Err(e) => Err(self.freeze(e)),
        }
    }

    fn freeze(&self, cause: JournalError) -> Refusal {
        let cause = Arc::new(cause);
        self.shared.lock().frozen = Some(Arc::clone(&cause));
        Refusal::Frozen(cause)
    }
}

/// Why a whole batch is not on the disk.
enum Refusal {
    Frozen(Arc<JournalError>),
    NotTaken(Arc<JournalError>),
}

impl Refusal {
    fn for_one(&self) -> JournalError {
        match self {
            Self::Frozen(cause) => JournalError::Frozen { cause: Arc::clone(cause) },
            Self::NotTaken(cause) => JournalError::NotTaken { cause: Arc::clone(cause) },
        }
    }
}

/// What waits already joins the commit.
fn take_more(first: Request, requests: &mut mpsc::UnboundedReceiver<Request>) -> Vec<Request> {
    let size = |r: &Request| r.room.num_permits();
    let mut bytes = size(&first);
    let mut batch = vec![first];
    while bytes < COMMIT_BYTES {
        let Ok(request) = requests.try_recv() else { break };
        bytes += size(&request);
        batch.push(request);
    }
    batch
}
