//! The durable store: blocks, state, history, receipts and certificates in one database, and one
//! durable transaction per block.
//!
//! # Privacy
//! Everything in here is what the ledger shows to each of its members. Nothing about patients can
//! be written to the ledger, and nothing else is written here but the ledger and the proofs of
//! other validators' misbehaviour.

mod prune;
mod snapshot;
mod tables;
mod view;

use std::path::Path;
use std::sync::Arc;

use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, StorageBackend};
use salus_ledger::block::{Block, BlockHeader, Equivocation, FinalBlock};
use salus_ledger::cbor;
use salus_ledger::genesis::Genesis;
use salus_ledger::order::Commit;
use salus_ledger::proof::{FinalityProof, Handover, SignedCheckpoint};
use salus_ledger::{BlockHash, Height, LedgerId};
use salus_model::{Class, Classified};

pub use prune::Pruned;
pub use snapshot::{SnapshotError, restore_snapshot, write_snapshot};
pub use view::{Recorded, View};

use crate::order::EngineFault;
use tables::{
    BLOCKS, BODIES, CERTIFICATES, CHECKPOINT, ENTRIES, EVIDENCE, FAULTS, HANDOVERS, META, NODES,
    PLACES, PROPOSALS, Proofs, VALUES,
};

/// The format of the database; a program refuses any other.
pub const FORMAT: u64 = 1;

const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// Why the store does not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file.
    #[error("the ledger's database is in use by another process; stop that one first")]
    InUse,
    /// There is no ledger in the file.
    #[error("there is no ledger in this database; found one, or restore a snapshot")]
    Empty,
    /// There is one already.
    #[error("this database holds ledger {found} already")]
    Occupied {
        /// Which one.
        found: LedgerId,
    },
    /// Another format.
    #[error("the database has format {found}, this program knows {FORMAT}")]
    Format {
        /// Which one.
        found: u64,
    },
    /// A write or an fsync failed before; nobody knows what the disk holds.
    #[error("the store is frozen since a write failed; check the disk and restart the validator")]
    Frozen,
    /// The database failed.
    #[error("the database failed while it should {task}")]
    Failed {
        /// What it should do.
        task: &'static str,
        /// What it says.
        #[source]
        source: Box<redb::Error>,
    },
    /// A stored value cannot be read.
    #[error("what is stored as {what} is damaged; restore a snapshot")]
    Damaged {
        /// Which kind of value.
        what: &'static str,
    },
    /// A block that was pruned, or that is not there yet.
    #[error("block {height} is not in this store; it was pruned, or is not final yet")]
    NoBlock {
        /// Which one.
        height: Height,
    },
    /// The genesis does not begin a ledger.
    #[error("the genesis begins no ledger")]
    Genesis(#[source] salus_ledger::genesis::GenesisError),
}

impl Classified for StoreError {
    fn class(&self) -> Class {
        match self {
            Self::InUse | Self::Empty | Self::Frozen | Self::Failed { .. } => Class::Unavailable,
            Self::Occupied { .. } | Self::NoBlock { .. } => Class::BadRequest,
            Self::Format { .. } | Self::Damaged { .. } => Class::Corrupt,
            Self::Genesis(error) => error.class(),
        }
    }
}

/// Turns any of redb's errors into ours.
pub(crate) fn failed<E: Into<redb::Error>>(task: &'static str) -> impl Fn(E) -> StoreError {
    move |error| StoreError::Failed { task, source: Box::new(error.into()) }
}

fn damaged<E>(what: &'static str) -> impl Fn(E) -> StoreError {
    move |_| StoreError::Damaged { what }
}

/// Reads views of a store from any thread.
#[derive(Debug, Clone)]
pub struct Reader(Arc<Database>);

impl Reader {
    /// The ledger as it was committed last.
    ///
    /// # Errors
    /// When the database fails.
    pub fn view(&self) -> Result<View, StoreError> {
        View::open(&self.0)
    }
}

/// The only writer of a validator's database.
pub struct Store {
    database: Arc<Database>,
    view: View,
    frozen: bool,
    bodies: Durability,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("frozen", &self.frozen).finish_non_exhaustive()
    }
}

/// Which configuration decides who validates, and from which block on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    /// The configuration's version.
    pub version: u64,
    /// The block that made it effective; the genesis for the first.
    pub since: BlockHash,
}

impl Epoch {
    fn to_bytes(self) -> Vec<u8> {
        [self.version.to_be_bytes().as_slice(), self.since.as_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, since) = bytes.split_at_checked(8)?;
        let version = u64::from_be_bytes(version.try_into().ok()?);
        Some(Self { version, since: BlockHash::try_from(since).ok()? })
    }
}

fn database(path: &Path) -> Result<Database, StoreError> {
    let opened = Database::builder().set_cache_size(CACHE_BYTES).create(path);
    opened.map_err(|error| match error {
        redb::DatabaseError::DatabaseAlreadyOpen => StoreError::InUse,
        other => failed("open the file")(other),
    })
}

impl Store {
    /// Opens a file that holds a ledger, and locks it until the store is dropped.
    ///
    /// # Errors
    /// When another process has the file, there is no ledger in it, or its format is another.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Empty);
        }
        Self::resume(database(path)?)
    }

    /// Begins a ledger in a file that holds none.
    ///
    /// # Errors
    /// When there is one already, or the genesis begins none.
    pub fn found(path: &Path, genesis: &Genesis) -> Result<Self, StoreError> {
        Self::begin(database(path)?, genesis)
    }

    /// [`Store::open`] on a disk of the caller's.
    ///
    /// # Errors
    /// As there.
    pub fn open_on(disk: impl StorageBackend) -> Result<Self, StoreError> {
        let builder = Database::builder().create_with_backend(disk);
        Self::resume(builder.map_err(failed("open the disk"))?)
    }

    /// [`Store::found`] on a disk of the caller's.
    ///
    /// # Errors
    /// As there.
    pub fn found_on(disk: impl StorageBackend, genesis: &Genesis) -> Result<Self, StoreError> {
        let builder = Database::builder().create_with_backend(disk);
        Self::begin(builder.map_err(failed("open the disk"))?, genesis)
    }

    fn resume(database: Database) -> Result<Self, StoreError> {
        let database = Arc::new(database);
        let read = database.begin_read().map_err(failed("begin to read"))?;
        let meta = match read.open_table(META) {
            Ok(meta) => meta,
            Err(redb::TableError::TableDoesNotExist(_)) => return Err(StoreError::Empty),
            Err(error) => return Err(failed("read its format")(error)),
        };
        let format = meta.get("format").map_err(failed("read its format"))?;
        let format = format.ok_or(StoreError::Empty)?.value().to_vec();
        let found = u64::from_be_bytes(format.try_into().map_err(damaged("format"))?);
        if found != FORMAT {
            return Err(StoreError::Format { found });
        }
        let view = View::open(&database)?;
        Ok(Self { database, view, frozen: false, bodies: Durability::Immediate })
    }

    fn begin(database: Database, genesis: &Genesis) -> Result<Self, StoreError> {
        let founded = genesis.found().map_err(StoreError::Genesis)?;
        let first = founded.block.header.hash().map_err(damaged("genesis"))?;
        let epoch = Epoch { version: genesis.config.form().version, since: first };
        let base = Base {
            genesis,
            header: &founded.block.header,
            certificate: None,
            epoch,
            handovers: &[],
            entries: &[],
            changes: &founded.changes,
        };
        Self::lay(database, &base)
    }

    /// Writes what a store begins with: a genesis, or a snapshot.
    fn lay(database: Database, base: &Base<'_>) -> Result<Self, StoreError> {
        let task = "write its first state";
        let write = database.begin_write().map_err(failed(task))?;
        tables::create_all(&write).map_err(failed(task))?;
        {
            let mut meta = write.open_table(META).map_err(failed(task))?;
            let holds = meta.get("genesis").map_err(failed(task))?.map(|g| g.value().to_vec());
            if let Some(genesis) = holds {
                let genesis: Genesis =
                    cbor::decode(&genesis, usize::MAX).map_err(damaged("genesis"))?;
                let found = genesis.ledger_id().map_err(damaged("genesis"))?;
                return Err(StoreError::Occupied { found });
            }
            let genesis = cbor::encode(base.genesis).map_err(damaged("genesis"))?;
            let height = base.header.height.get();
            for (key, value) in [
                ("format", FORMAT.to_be_bytes().to_vec()),
                ("genesis", genesis),
                ("tip", height.to_be_bytes().to_vec()),
                ("base", height.to_be_bytes().to_vec()),
                ("epoch", base.epoch.to_bytes()),
            ] {
                meta.insert(key, value.as_slice()).map_err(failed(task))?;
            }
        }
        base.write(&write)?;
        write.commit().map_err(failed(task))?;
        Self::resume(database)
    }

    /// The ledger as it was committed last; also what the replica reads its state from.
    #[must_use]
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// Reads views from other threads.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader(Arc::clone(&self.database))
    }

    /// Whether a write failed, so that nothing is written any more.
    #[must_use]
    pub const fn is_frozen(&self) -> bool {
        self.frozen
    }

    fn check_awake(&self) -> Result<(), StoreError> {
        if self.frozen { Err(StoreError::Frozen) } else { Ok(()) }
    }

    /// Keeps proposals without syncing them: the fault that the simulation has to find.
    #[cfg(test)]
    pub(crate) const fn plant_unsynced_bodies(&mut self) {
        self.bodies = Durability::None;
    }

    /// Writes one transaction durably; any failure freezes the store.
    fn write<T>(
        &mut self,
        task: &'static str,
        change: impl FnOnce(&redb::WriteTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.write_with(Durability::Immediate, task, change)
    }

    fn write_with<T>(
        &mut self,
        durability: Durability,
        task: &'static str,
        change: impl FnOnce(&redb::WriteTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.check_awake()?;
        let done = (|| {
            let mut write = self.database.begin_write().map_err(failed(task))?;
            write.set_durability(durability).map_err(failed(task))?;
            let value = change(&write)?;
            write.commit().map_err(failed(task))?;
            Ok(value)
        })();
        if done.is_err() {
            self.frozen = true;
        }
        done
    }

    /// Makes a final block durable with everything that follows from it, as a whole.
    ///
    /// # Errors
    /// When the disk fails; the store is frozen then.
    pub fn commit(&mut self, commit: &Commit) -> Result<(), StoreError> {
        let parent = self.view.tip().clone();
        self.write("commit a block", |write| write_block(write, &parent, commit))?;
        self.refresh()
    }

    /// Looks at the database anew; where that fails after a write, nothing more is written.
    fn refresh(&mut self) -> Result<(), StoreError> {
        match View::open(&self.database) {
            Ok(view) => {
                self.view = view;
                Ok(())
            }
            Err(error) => {
                self.frozen = true;
                Err(error)
            }
        }
    }

    /// Keeps a checked proposal, durably, before this validator's engine votes for it: a quorum
    /// that has voted can always bring the block itself.
    ///
    /// # Errors
    /// When the disk fails; the store is frozen then.
    pub fn keep_proposal(&mut self, hash: &BlockHash, block: &Block) -> Result<(), StoreError> {
        let height = block.header.height.get().to_be_bytes();
        let bytes = block.to_bytes().map_err(damaged("proposal"))?;
        let task = "keep a proposal";
        self.write_with(self.bodies, task, |write| {
            let mut table = write.open_table(PROPOSALS).map_err(failed(task))?;
            let value = [height.as_slice(), &bytes].concat();
            table.insert(hash.as_bytes().as_slice(), value.as_slice()).map_err(failed(task))?;
            Ok(())
        })
    }

    /// Whether a proposal is kept already.
    ///
    /// # Errors
    /// When the database fails.
    pub fn has_proposal(&self, hash: &BlockHash) -> Result<bool, StoreError> {
        let read = self.database.begin_read().map_err(failed("read a proposal"))?;
        let table = read.open_table(PROPOSALS).map_err(failed("read a proposal"))?;
        let found = table.get(hash.as_bytes().as_slice()).map_err(failed("read a proposal"))?;
        Ok(found.is_some())
    }

    /// A proposal that was kept and is not committed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn proposal(&self, hash: &BlockHash) -> Result<Option<Block>, StoreError> {
        let read = self.database.begin_read().map_err(failed("read a proposal"))?;
        let table = read.open_table(PROPOSALS).map_err(failed("read a proposal"))?;
        let found = table.get(hash.as_bytes().as_slice()).map_err(failed("read a proposal"))?;
        let Some(found) = found else { return Ok(None) };
        let bytes = found.value().get(8..).unwrap_or_default();
        Block::from_bytes(bytes).map(Some).map_err(damaged("proposal"))
    }

    /// Keeps the proof that a validator voted for two blocks of one height. One per validator: who
    /// goes on voting twice makes nobody write more.
    ///
    /// # Errors
    /// When the disk fails; the store is frozen then.
    pub fn keep_evidence(&mut self, evidence: &Equivocation) -> Result<(), StoreError> {
        let bytes = cbor::encode(evidence).map_err(damaged("evidence"))?;
        self.keep_proof(EVIDENCE, evidence.validator().as_bytes(), &bytes)
    }

    /// Keeps the verified proof that a validator broke a rule of consensus; one per validator and
    /// rule.
    ///
    /// # Errors
    /// When the disk fails; the store is frozen then.
    pub fn keep_fault(&mut self, fault: &EngineFault) -> Result<(), StoreError> {
        let bytes = cbor::encode(fault).map_err(damaged("evidence"))?;
        let key = [fault.validator.as_bytes().as_slice(), &[fault.rule as u8]].concat();
        self.keep_proof(FAULTS, &key, &bytes)
    }

    fn keep_proof(&mut self, table: Proofs, key: &[u8], proof: &[u8]) -> Result<(), StoreError> {
        let task = "keep the proof of a misbehaviour";
        if self.view.has_proof(table, key)? {
            return Ok(());
        }
        self.write(task, |write| {
            let mut table = write.open_table(table).map_err(failed(task))?;
            table.insert(key, proof).map_err(failed(task))?;
            Ok(())
        })?;
        self.refresh()
    }
}

impl Store {
    /// Keeps the checkpoint that witnesses cosigned last, as text.
    ///
    /// # Errors
    /// When the disk fails; the store is frozen then.
    pub fn keep_checkpoint(&mut self, cosigned: &SignedCheckpoint) -> Result<(), StoreError> {
        let task = "keep a cosigned checkpoint";
        self.write(task, |write| {
            let mut meta = write.open_table(META).map_err(failed(task))?;
            let text = cosigned.to_string();
            meta.insert(CHECKPOINT, text.as_bytes()).map_err(failed(task))?;
            Ok(())
        })?;
        self.refresh()
    }
}

/// What a store begins with.
struct Base<'a> {
    genesis: &'a Genesis,
    header: &'a BlockHeader,
    certificate: Option<&'a salus_ledger::block::Certificate>,
    epoch: Epoch,
    handovers: &'a [Handover],
    entries: &'a [salus_ledger::block::HistoryEntry],
    changes: &'a salus_ledger::state::StateChanges,
}

impl Base<'_> {
    fn write(&self, write: &redb::WriteTransaction) -> Result<(), StoreError> {
        write_changes(write, self.changes)?;
        write_header(write, self.header, self.certificate)?;
        write_entries(write, 0, self.entries)?;
        for handover in self.handovers {
            write_handover(write, handover)?;
        }
        Ok(())
    }
}

fn put(
    table: &mut redb::Table<'_, &'static [u8], &'static [u8]>,
    key: &[u8],
    value: &[u8],
) -> Result<(), StoreError> {
    table.insert(key, value).map_err(failed("write"))?;
    Ok(())
}

fn write_changes(
    write: &redb::WriteTransaction,
    changes: &salus_ledger::state::StateChanges,
) -> Result<(), StoreError> {
    let mut values = write.open_table(VALUES).map_err(failed("write the state"))?;
    for (key, value) in &changes.values {
        match value {
            Some(value) => put(&mut values, key, value)?,
            None => drop(values.remove(key.as_slice()).map_err(failed("write the state"))?),
        }
    }
    let mut nodes = write.open_table(NODES).map_err(failed("write the trees"))?;
    for key in &changes.stale {
        nodes.remove(key.as_slice()).map_err(failed("write the trees"))?;
    }
    for (key, node) in &changes.nodes {
        put(&mut nodes, key, node)?;
    }
    Ok(())
}

fn write_header(
    write: &redb::WriteTransaction,
    header: &BlockHeader,
    certificate: Option<&salus_ledger::block::Certificate>,
) -> Result<(), StoreError> {
    let task = "write a block";
    let height = header.height.get();
    let bytes = cbor::encode(header).map_err(damaged("header"))?;
    let mut blocks = write.open_table(BLOCKS).map_err(failed(task))?;
    blocks.insert(height, bytes.as_slice()).map_err(failed(task))?;
    if let Some(certificate) = certificate {
        let bytes = cbor::encode(certificate).map_err(damaged("certificate"))?;
        let mut certificates = write.open_table(CERTIFICATES).map_err(failed(task))?;
        certificates.insert(height, bytes.as_slice()).map_err(failed(task))?;
    }
    let hash = header.hash().map_err(damaged("header"))?;
    let mut places = write.open_table(PLACES).map_err(failed(task))?;
    let key = tables::place_of_block(&hash);
    places.insert(key.as_slice(), height).map_err(failed(task))?;
    Ok(())
}

fn write_entries(
    write: &redb::WriteTransaction,
    first: u64,
    entries: &[salus_ledger::block::HistoryEntry],
) -> Result<(), StoreError> {
    let task = "write the history";
    let mut table = write.open_table(ENTRIES).map_err(failed(task))?;
    let mut places = write.open_table(PLACES).map_err(failed(task))?;
    for (index, entry) in (first..).zip(entries) {
        let bytes = cbor::encode(entry).map_err(damaged("entry"))?;
        table.insert(index, bytes.as_slice()).map_err(failed(task))?;
        let key = tables::place_of_transaction(&entry.transaction);
        places.insert(key.as_slice(), index).map_err(failed(task))?;
    }
    Ok(())
}

fn write_handover(write: &redb::WriteTransaction, handover: &Handover) -> Result<(), StoreError> {
    let task = "write a change of validators";
    let bytes = cbor::encode(handover).map_err(damaged("handover"))?;
    let mut table = write.open_table(HANDOVERS).map_err(failed(task))?;
    let height = handover.finality.header.height.get();
    table.insert(height, bytes.as_slice()).map_err(failed(task))?;
    Ok(())
}

fn write_block(
    write: &redb::WriteTransaction,
    parent: &BlockHeader,
    commit: &Commit,
) -> Result<(), StoreError> {
    let task = "commit a block";
    let FinalBlock { block, certificate } = &commit.block;
    let header = &block.header;
    let height = header.height.get();
    write_changes(write, &commit.changes)?;
    write_header(write, header, Some(certificate))?;
    write_entries(write, parent.history_size, &commit.entries)?;
    let body = cbor::encode(&block.transactions).map_err(damaged("block"))?;
    let mut bodies = write.open_table(BODIES).map_err(failed(task))?;
    bodies.insert(height, body.as_slice()).map_err(failed(task))?;
    let mut meta = write.open_table(META).map_err(failed(task))?;
    meta.insert("tip", height.to_be_bytes().as_slice()).map_err(failed(task))?;
    if header.config != parent.config {
        let finality = FinalityProof { header: header.clone(), certificate: certificate.clone() };
        write_handover(write, &Handover { finality, config: commit.config().clone() })?;
        let epoch = Epoch { version: commit.config().form().version, since: certificate.block };
        meta.insert("epoch", epoch.to_bytes().as_slice()).map_err(failed(task))?;
    }
    drop_proposals(write, height)
}

/// Proposals of this height and of earlier ones: one of them is the block, the others are void.
fn drop_proposals(write: &redb::WriteTransaction, height: u64) -> Result<(), StoreError> {
    let task = "drop old proposals";
    let mut proposals = write.open_table(PROPOSALS).map_err(failed(task))?;
    let old = |_: &[u8], value: &[u8]| {
        let at = value.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        at <= height
    };
    let mut keys = Vec::new();
    for found in proposals.iter().map_err(failed(task))? {
        let (key, value) = found.map_err(failed(task))?;
        if old(key.value(), value.value()) {
            keys.push(key.value().to_vec());
        }
    }
    for key in keys {
        proposals.remove(key.as_slice()).map_err(failed(task))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
