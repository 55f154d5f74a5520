//! What people look transactions up by, beside the ledger's own database.
//!
//! The index is derived: it can be deleted at any time and is built anew from the ledger. It is
//! written after a block is committed and acknowledged, so that it costs no transaction any time,
//! and it is allowed to lose its last seconds in a crash, which it catches up on at the next start.
//!
//! # Cost
//! A page costs one seek per line and per filter; lists that have little in common cost more, up to
//! [`MOST_SEEKS`], after which the page ends early and says where it goes on.

mod pages;
mod subject;

use std::path::Path;
use std::sync::Arc;

use redb::{Database, ReadTransaction, ReadableDatabase as _, ReadableTable, TableDefinition};
use salus_ledger::block::{HistoryEntry, Outcome};
use salus_ledger::contract::records::KeyRecord;
use salus_ledger::state::StateStore as _;
use salus_ledger::transaction::Envelope;
use salus_ledger::{Height, LedgerId, Opaque, PublicKey, TxId, cbor, query};
use salus_model::MemberId;

pub use pages::{Filter, List, MOST_SEEKS, Page, Tally};
pub use subject::Subject;
pub(crate) use subject::{Half, Named};

use crate::store::{StoreError, View, failed};

type Bytes = &'static [u8];

/// Format, ledger, next height, first height with content.
const META: TableDefinition<'static, &'static str, Bytes> = TableDefinition::new("meta");
/// Kind, name and place in the history: one line per transaction and subject.
const POSTINGS: TableDefinition<'static, Bytes, ()> = TableDefinition::new("postings");
/// What each transaction is about, by its place in the history.
const SUBJECTS: TableDefinition<'static, u64, Bytes> = TableDefinition::new("subjects");
/// Transactions by their ids, in order, so that the beginning of an id finds them.
const IDS: TableDefinition<'static, Bytes, u64> = TableDefinition::new("ids");
/// Blocks by their hashes, in order.
const HASHES: TableDefinition<'static, Bytes, u64> = TableDefinition::new("hashes");
/// How many transactions, by kind and outcome, in all and day by day.
const COUNTS: TableDefinition<'static, Bytes, u64> = TableDefinition::new("counts");
/// The keys of each member.
const KEYS: TableDefinition<'static, Bytes, ()> = TableDefinition::new("keys");

const FORMAT: u8 = 1;
const CACHE_BYTES: usize = 16 * 1024 * 1024;
const MAX_SUBJECTS_BYTES: usize = 1024 * 1024;
/// How many blocks are read at most before they are written.
const BATCH: u64 = 500;
/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// By what a posting finds a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tag {
    Contract = b'c',
    Method = b'm',
    Member = b'o',
    Dataset = b'd',
    Permit = b'p',
    /// Applications for permits that took effect.
    Application = b'a',
    /// Releases that took effect.
    Release = b'r',
    Outcome = b'x',
}

/// The beginning of all postings of one kind and name.
pub(crate) fn posting(tag: Tag, name: &str) -> Vec<u8> {
    let mut key = vec![tag as u8];
    key.extend_from_slice(name.as_bytes());
    // No name has a NUL, so that none is the beginning of another.
    key.push(0);
    key
}

pub(crate) const APPLIED: &str = "applied";
pub(crate) const REFUSED: &str = "refused";

pub(crate) const fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Applied => APPLIED,
        Outcome::Refused(_) => REFUSED,
    }
}

/// The index of one validator.
#[derive(Debug, Clone)]
pub struct Index(Arc<Database>);

/// How far the index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The first block that is not in the index yet.
    pub next: Height,
    /// The first block of which the index knows what its transactions are about; of earlier ones,
    /// which were pruned before the index was made, it knows kind and outcome only.
    pub content_from: Height,
}

fn damaged() -> StoreError {
    StoreError::Damaged { what: "explorer's index" }
}

impl Index {
    /// Opens the index of a ledger, or begins one. An index of another format or another ledger is
    /// removed and begun anew: everything in it can be derived again.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn open(path: &Path, ledger: &LedgerId) -> Result<Self, StoreError> {
        match Self::open_as_it_is(path) {
            Ok(index) if index.is_of(ledger)? => return Ok(index),
            // Somebody else's work is not removed under their hands.
            Err(StoreError::InUse) => return Err(StoreError::InUse),
            _ => {}
        }
        if path.exists() {
            let broken = |source: std::io::Error| StoreError::Failed {
                task: "remove the old index",
                source: Box::new(redb::Error::Io(source)),
            };
            std::fs::remove_file(path).map_err(broken)?;
        }
        let index = Self::open_as_it_is(path)?;
        index.begin(ledger)?;
        Ok(index)
    }

    fn open_as_it_is(path: &Path) -> Result<Self, StoreError> {
        let opened = Database::builder().set_cache_size(CACHE_BYTES).create(path);
        match opened {
            Ok(database) => Ok(Self(Arc::new(database))),
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => Err(StoreError::InUse),
            Err(error) => Err(failed("open the index")(error)),
        }
    }

    fn is_of(&self, ledger: &LedgerId) -> Result<bool, StoreError> {
        let read = self.read()?;
        let Ok(meta) = read.open_table(META) else { return Ok(false) };
        let format = meta.get("format").map_err(failed("read the index"))?;
        let of = meta.get("ledger").map_err(failed("read the index"))?;
        let fits = format.is_some_and(|format| format.value() == [FORMAT]);
        Ok(fits && of.is_some_and(|of| of.value() == ledger.as_bytes()))
    }

    fn begin(&self, ledger: &LedgerId) -> Result<(), StoreError> {
        let task = "begin the index";
        let write = self.0.begin_write().map_err(failed(task))?;
        {
            let mut meta = write.open_table(META).map_err(failed(task))?;
            meta.insert("format", [FORMAT].as_slice()).map_err(failed(task))?;
            meta.insert("ledger", ledger.as_bytes().as_slice()).map_err(failed(task))?;
            write.open_table(POSTINGS).map_err(failed(task))?;
            write.open_table(SUBJECTS).map_err(failed(task))?;
            write.open_table(IDS).map_err(failed(task))?;
            write.open_table(HASHES).map_err(failed(task))?;
            write.open_table(COUNTS).map_err(failed(task))?;
            write.open_table(KEYS).map_err(failed(task))?;
        }
        write.commit().map_err(failed(task))
    }

    fn read(&self) -> Result<ReadTransaction, StoreError> {
        self.0.begin_read().map_err(failed("read the index"))
    }

    /// How far it is.
    ///
    /// # Errors
    /// When the database fails.
    pub fn progress(&self) -> Result<Progress, StoreError> {
        let read = self.read()?;
        let meta = read.open_table(META).map_err(failed("read the index"))?;
        let number = |key| -> Result<Height, StoreError> {
            let found = meta.get(key).map_err(failed("read the index"))?;
            let bytes = found.and_then(|found| found.value().first_chunk::<8>().copied());
            Ok(Height::new(bytes.map_or(0, u64::from_be_bytes)))
        };
        Ok(Progress { next: number("next")?, content_from: number("content-from")? })
    }

    /// Takes in what was committed since, batch by batch, and gives whether there was anything.
    ///
    /// # Errors
    /// When either database fails.
    pub fn catch_up(&self, view: &View) -> Result<Grown, StoreError> {
        let mut grown = Grown::No;
        loop {
            let Progress { next, .. } = self.progress()?;
            let tip = view.tip().height;
            if next > tip {
                return Ok(grown);
            }
            let last = Height::new(tip.get().min(next.get().saturating_add(BATCH)));
            self.take_in(view, next, last)?;
            grown = Grown::Yes;
        }
    }

    fn take_in(&self, view: &View, first: Height, last: Height) -> Result<(), StoreError> {
        let task = "write the index";
        let mut write = self.0.begin_write().map_err(failed(task))?;
        // What is lost in a crash is derived again; blocks are never waited for by a client.
        write.set_durability(redb::Durability::None).map_err(failed(task))?;
        {
            let mut batch = Batch::open(&write)?;
            let mut first = first;
            if first == Height::GENESIS {
                batch.members_of_the_beginning(view)?;
                // A store that began with a snapshot has no earlier headers.
                first = view.base()?;
            }
            let last = last.max(first);
            for height in first.get()..=last.get() {
                batch.block(view, Height::new(height))?;
            }
            let next = last.next().get().to_be_bytes();
            batch.meta.insert("next", next.as_slice()).map_err(failed(task))?;
        }
        write.commit().map_err(failed(task))
    }

    /// Makes durable what was taken in.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn flush(&self) -> Result<(), StoreError> {
        let task = "write the index";
        let mut write = self.0.begin_write().map_err(failed(task))?;
        write.set_durability(redb::Durability::Immediate).map_err(failed(task))?;
        write.commit().map_err(failed(task))
    }
}

/// Whether an index took anything in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grown {
    /// Nothing was new.
    No,
    /// There were blocks.
    Yes,
}

/// The tables while blocks are written.
struct Batch<'w> {
    meta: redb::Table<'w, &'static str, Bytes>,
    postings: redb::Table<'w, Bytes, ()>,
    subjects: redb::Table<'w, u64, Bytes>,
    ids: redb::Table<'w, Bytes, u64>,
    hashes: redb::Table<'w, Bytes, u64>,
    counts: redb::Table<'w, Bytes, u64>,
    keys: redb::Table<'w, Bytes, ()>,
}

const WRITE: &str = "write the index";

impl<'w> Batch<'w> {
    fn open(write: &'w redb::WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            meta: write.open_table(META).map_err(failed(WRITE))?,
            postings: write.open_table(POSTINGS).map_err(failed(WRITE))?,
            subjects: write.open_table(SUBJECTS).map_err(failed(WRITE))?,
            ids: write.open_table(IDS).map_err(failed(WRITE))?,
            hashes: write.open_table(HASHES).map_err(failed(WRITE))?,
            counts: write.open_table(COUNTS).map_err(failed(WRITE))?,
            keys: write.open_table(KEYS).map_err(failed(WRITE))?,
        })
    }

    /// The keys that the state knows: those of the genesis, or of a snapshot.
    fn members_of_the_beginning(&mut self, view: &View) -> Result<(), StoreError> {
        let prefix = b"key/";
        for (slot, value) in view.scan(prefix).map_err(|_| damaged())? {
            let key = slot.get(prefix.len()..).unwrap_or_default();
            let record: KeyRecord = cbor::decode(&value, 1 << 22).map_err(|_| damaged())?;
            self.key(&record.member, key)?;
        }
        Ok(())
    }

    fn key(&mut self, member: &MemberId, key: &[u8]) -> Result<(), StoreError> {
        let line = [member.as_str().as_bytes(), &[0], key].concat();
        self.keys.insert(line.as_slice(), ()).map_err(failed(WRITE))?;
        Ok(())
    }

    fn block(&mut self, view: &View, height: Height) -> Result<(), StoreError> {
        let header = view.header(height)?.ok_or(StoreError::NoBlock { height })?;
        let hash = header.hash().map_err(|_| damaged())?;
        self.hashes.insert(hash.as_bytes().as_slice(), height.get()).map_err(failed(WRITE))?;
        if height == view.base()? && height != Height::GENESIS {
            return self.entries_before(view, header.history_size);
        }
        if height == Height::GENESIS {
            return Ok(());
        }
        let entries = view.entries_of(height)?;
        let first = header.history_size - entries.len() as u64;
        let body = view.transactions(height)?;
        if body.is_none() {
            self.without_content(height)?;
        }
        for (place, entry) in entries.iter().enumerate() {
            let bytes = body.as_ref().and_then(|body| body.get(place));
            self.entry(view, first + place as u64, entry, bytes)?;
        }
        Ok(())
    }

    fn without_content(&mut self, height: Height) -> Result<(), StoreError> {
        let from = height.next().get().to_be_bytes();
        self.meta.insert("content-from", from.as_slice()).map_err(failed(WRITE))?;
        Ok(())
    }

    /// All that the history says before a snapshot's block, which is included.
    fn entries_before(&mut self, view: &View, size: u64) -> Result<(), StoreError> {
        let mut first = 0;
        while first < size {
            let entries = view.entries(first, BATCH.min(size - first))?;
            if entries.is_empty() {
                break;
            }
            for (place, entry) in (first..).zip(&entries) {
                self.entry(view, place, entry, None)?;
            }
            first += entries.len() as u64;
        }
        self.without_content(view.base()?)
    }

    fn entry(
        &mut self,
        view: &View,
        at: u64,
        entry: &HistoryEntry,
        bytes: Option<&Opaque>,
    ) -> Result<(), StoreError> {
        self.ids.insert(entry.transaction.as_bytes().as_slice(), at).map_err(failed(WRITE))?;
        let method = entry.method;
        self.post(Tag::Method, method.as_str(), at)?;
        self.post(Tag::Contract, method.contract().as_str(), at)?;
        self.post(Tag::Outcome, outcome_word(&entry.outcome), at)?;
        self.count(entry)?;
        let envelope = bytes.and_then(|bytes| Envelope::from_bytes(bytes.as_bytes()).ok());
        let Some(envelope) = envelope else { return Ok(()) };
        let subjects = self.subjects_of(view, &envelope, &entry.transaction)?;
        for subject in &subjects {
            let (tag, name) = name_of(subject);
            self.post(tag, &name, at)?;
        }
        let written = cbor::encode(&subjects).map_err(|_| damaged())?;
        self.subjects.insert(at, written.as_slice()).map_err(failed(WRITE))?;
        if entry.outcome == Outcome::Applied {
            self.applied(&envelope, at)?;
        }
        Ok(())
    }

    /// Lists of their own for what took effect: permits, receipts, keys.
    fn applied(&mut self, envelope: &Envelope, at: u64) -> Result<(), StoreError> {
        use salus_ledger::call::Call;
        match envelope.transaction().call() {
            Call::ApplyForPermit(_) => self.post(Tag::Application, "", at),
            call if call.release().is_some() => self.post(Tag::Release, "", at),
            Call::AdmitMember(call) => {
                call.keys.iter().try_for_each(|key| self.key(&call.member, key.key.as_bytes()))
            }
            Call::BindKey(call) => self.key(&call.member, call.key.key.as_bytes()),
            _ => Ok(()),
        }
    }

    fn subjects_of(
        &self,
        view: &View,
        envelope: &Envelope,
        id: &TxId,
    ) -> Result<Vec<Subject>, StoreError> {
        let Named { mut subjects, earlier } = Named::by(envelope.transaction().call(), id);
        for key in envelope.claimed_keys() {
            subjects.extend(member_of(view, key)?.map(Subject::Member));
        }
        for half in earlier {
            subjects.extend(self.subjects_at(&half)?);
        }
        Ok(subjects.into_iter().collect())
    }

    fn subjects_at(&self, half: &Half) -> Result<Vec<Subject>, StoreError> {
        let mut range = self.ids.range(half.as_bytes().as_slice()..).map_err(failed(WRITE))?;
        let Some(found) = range.next() else { return Ok(Vec::new()) };
        let (id, at) = found.map_err(failed(WRITE))?;
        if !id.value().starts_with(half.as_bytes()) {
            return Ok(Vec::new());
        }
        let stored = self.subjects.get(at.value()).map_err(failed(WRITE))?;
        stored.map_or_else(|| Ok(Vec::new()), |stored| read_subjects(stored.value()))
    }

    fn post(&mut self, tag: Tag, name: &str, at: u64) -> Result<(), StoreError> {
        let mut key = posting(tag, name);
        key.extend_from_slice(&at.to_be_bytes());
        self.postings.insert(key.as_slice(), ()).map_err(failed(WRITE))?;
        Ok(())
    }

    fn count(&mut self, entry: &HistoryEntry) -> Result<(), StoreError> {
        let (method, outcome) = (entry.method.as_str(), outcome_word(&entry.outcome));
        let day = u32::try_from(entry.time.as_micros().div_euclid(DAY)).unwrap_or(0);
        let rule = match &entry.outcome {
            Outcome::Applied => None,
            Outcome::Refused(rule) => Some(format!("r{}", rule.as_str()).into_bytes()),
        };
        let line = format!("{method} {outcome}");
        let total = [b"m".as_slice(), line.as_bytes()].concat();
        let daily = [b"d".as_slice(), &day.to_be_bytes(), line.as_bytes()].concat();
        for key in [Some(total), Some(daily), rule].into_iter().flatten() {
            let before = self.counts.get(key.as_slice()).map_err(failed(WRITE))?;
            let before = before.map_or(0, |count| count.value());
            self.counts.insert(key.as_slice(), before + 1).map_err(failed(WRITE))?;
        }
        Ok(())
    }
}

/// The organisation behind a key; none for a pseudonym.
pub(crate) fn member_of(view: &View, key: &PublicKey) -> Result<Option<MemberId>, StoreError> {
    Ok(query::key(view, key).map_err(|_| damaged())?.map(|record| record.member))
}

fn read_subjects(bytes: &[u8]) -> Result<Vec<Subject>, StoreError> {
    cbor::decode(bytes, MAX_SUBJECTS_BYTES).map_err(|_| damaged())
}

fn name_of(subject: &Subject) -> (Tag, String) {
    match subject {
        Subject::Member(member) => (Tag::Member, member.as_str().to_owned()),
        Subject::Dataset(dataset) => (Tag::Dataset, dataset.to_string()),
        Subject::Permit(permit) => (Tag::Permit, permit.as_str().to_owned()),
    }
}
