use salus_ledger::block::{BlockHeader, FinalBlock, HistoryEntry};
use salus_ledger::order::{Commit, Voted};
use salus_ledger::state::MemoryStore;

/// What a replica's disk holds once everything unsynced is gone.
#[derive(Debug, Clone)]
struct Durable {
    store: MemoryStore,
    header: BlockHeader,
    log: Vec<FinalBlock>,
    entries: Vec<HistoryEntry>,
    voted: Option<Voted>,
}

/// A disk whose writes survive a crash only after a sync.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    synced: Durable,
    cached: Durable,
}

impl Disk {
    pub(super) fn new(store: MemoryStore, header: BlockHeader) -> Self {
        let first = Durable { store, header, log: Vec::new(), entries: Vec::new(), voted: None };
        Self { synced: first.clone(), cached: first }
    }

    /// One transaction of block, state, history and vote.
    pub(super) fn write(&mut self, commit: &Commit, forget: Option<&str>) {
        let mut changes = commit.changes.clone();
        if let Some(prefix) = forget {
            changes.values.retain(|key, _| !key.starts_with(prefix.as_bytes()));
        }
        self.cached.store.commit(&changes);
        self.cached.header = commit.block.block.header.clone();
        self.cached.log.push(commit.block.clone());
        self.cached.entries.extend(commit.entries.iter().cloned());
    }

    pub(super) fn write_vote(&mut self, voted: Option<Voted>) {
        self.cached.voted = voted;
        self.synced.voted = voted;
    }

    pub(super) fn sync(&mut self) {
        self.synced = self.cached.clone();
    }

    pub(super) fn crash(&mut self) {
        self.cached = self.synced.clone();
    }

    pub(super) fn store(&self) -> &MemoryStore {
        &self.cached.store
    }

    pub(super) fn header(&self) -> &BlockHeader {
        &self.cached.header
    }

    pub(super) fn log(&self) -> &[FinalBlock] {
        &self.cached.log
    }

    pub(super) fn entries(&self) -> &[HistoryEntry] {
        &self.cached.entries
    }

    pub(super) fn voted(&self) -> Option<Voted> {
        self.cached.voted
    }
}
