//! The explorer: what the ledger says, for people, read-only.
//!
//! | Request below `/v1/explorer` | Answer |
//! | --- | --- |
//! | `overview`, `statistics`, `configuration` | the ledger as a whole |
//! | `blocks`, `blocks/H`, `transactions`, `transactions/ID`, `receipts`, `receipts/ID` | newest first, paged by `before` |
//! | `members`, `datasets`, `permits`, `opt-outs`, and each by its id | the state after the last block |
//! | `search?q=` | heights, hashes, ids and names |
//! | `tail?after=H` | each block as it is committed (server-sent events) |
//! | `genesis`, `blocks/H/proof`, `transactions/ID/proof`, `transactions/ID/envelope`, `receipts/ID/file` | what whoever wants to check needs (CBOR) |
//!
//! `web/openapi/explorer.json` describes them; [`openapi`] writes it.
//!
//! **Invariant:** nothing can be changed through it, and it answers nothing that the ledger does
//! not hold, except what [`answers::Observed`] says to be this validator's own observation.
//!
//! # Who may read
//! Members, by their certificates, on the validator's API; and whoever has the folder's token, on a
//! loopback listener of its own for a browser ([`console`]).

pub mod answers;
pub mod client;
pub mod console;
pub mod index;
pub mod openapi;
mod read;
mod routes;
mod search;
mod tail;
pub mod terminal;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use salus_ledger::genesis::Genesis;
use salus_ledger::{Height, Signer};
use tokio::sync::watch;

use crate::clock;
use crate::driver::{Handle, Status};
use crate::folder::Folder;
use crate::store::{StoreError, View};
use index::{Grown, Index};

pub(crate) use routes::router;

/// How long a request waits for the index to take in the last block.
const SETTLE: Duration = Duration::from_secs(2);
/// How long the index may keep what it took in off the disk.
const FLUSH: Duration = Duration::from_secs(5);
/// Over how many blocks the time to finality is told.
const SEEN: usize = 200;

/// What every handler of the explorer has.
#[derive(Clone)]
pub(crate) struct Explorer {
    pub(crate) handle: Handle,
    pub(crate) index: Index,
    pub(crate) signer: Arc<Signer>,
    pub(crate) genesis: Arc<Genesis>,
    indexed: watch::Receiver<Height>,
    seen: Arc<Mutex<Seen>>,
}

impl Explorer {
    /// Opens the folder's index and keeps it up with the ledger until the validator stops.
    pub(crate) fn start(
        folder: &Folder,
        handle: &Handle,
        signer: Signer,
    ) -> Result<Self, StoreError> {
        let view = handle.reader().view()?;
        let genesis = Arc::new(view.genesis()?);
        let index = Index::open(&folder.index(), view.ledger())?;
        let (indexed, known) = watch::channel(index.progress()?.next);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let follower = Follower {
            handle: handle.clone(),
            index: index.clone(),
            indexed,
            seen: Arc::clone(&seen),
        };
        tokio::spawn(follower.run());
        let (handle, signer) = (handle.clone(), Arc::new(signer));
        Ok(Self { handle, index, signer, genesis, indexed: known, seen })
    }

    /// The ledger as it was committed last, once the index has it too: whoever was told of a
    /// transaction finds it.
    pub(crate) async fn settled(&self) -> Result<View, StoreError> {
        // The store's own height: a client is answered before the status is told around.
        let height = self.handle.reader().view()?.tip().height;
        let mut indexed = self.indexed.clone();
        let reached = indexed.wait_for(|next| *next > height);
        // An index that lags behind answers with what it has, and the overview says how far it is.
        let _ = tokio::time::timeout(SETTLE, reached).await;
        self.handle.reader().view()
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().clone()
    }
}

/// How long blocks took from their time to their commit here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    millis: VecDeque<u64>,
}

impl Seen {
    fn add(&mut self, millis: u64) {
        if self.millis.len() >= SEEN {
            self.millis.pop_front();
        }
        self.millis.push_back(millis);
    }

    pub(crate) fn blocks(&self) -> u64 {
        self.millis.len() as u64
    }

    /// The nearest-rank percentile.
    pub(crate) fn percentile(&self, of_hundred: usize) -> Option<u64> {
        let mut sorted: Vec<u64> = self.millis.iter().copied().collect();
        sorted.sort_unstable();
        let rank = (sorted.len() * of_hundred).div_ceil(100).saturating_sub(1);
        sorted.get(rank).copied()
    }
}

/// The next height above one; none when the validator stops.
async fn higher(status: &mut watch::Receiver<Status>, last: Height) -> Option<Height> {
    let changed = status.wait_for(|status| status.height > last).await;
    changed.ok().map(|status| status.height)
}

/// Keeps the index up with the ledger.
struct Follower {
    handle: Handle,
    index: Index,
    indexed: watch::Sender<Height>,
    seen: Arc<Mutex<Seen>>,
}

impl Follower {
    async fn run(self) {
        let mut status = self.handle.follow();
        let mut last = self.handle.status().height;
        let (mut dirty, mut flushed) = (Grown::No, Instant::now());
        loop {
            match self.catch_up().await {
                Ok(Grown::Yes) => dirty = Grown::Yes,
                Ok(Grown::No) => {}
                Err(error) => tracing::warn!(%error, "the explorer's index is behind"),
            }
            if dirty == Grown::Yes && flushed.elapsed() >= FLUSH {
                self.flush().await;
                (dirty, flushed) = (Grown::No, Instant::now());
            }
            match tokio::time::timeout(FLUSH, higher(&mut status, last)).await {
                Ok(Some(height)) => {
                    self.observe(height);
                    last = height;
                }
                Ok(None) => break,
                // Nothing new: time to write what is not on the disk yet.
                Err(_) => {}
            }
        }
        self.flush().await;
    }

    fn observe(&self, height: Height) {
        let now = clock::now();
        let header = self.handle.reader().view().and_then(|view| view.header(height));
        if let Ok(Some(header)) = header {
            let millis = now.micros_since(header.time).max(0) / 1_000;
            self.seen.lock().add(millis.unsigned_abs());
        }
    }

    async fn catch_up(&self) -> Result<Grown, StoreError> {
        let (index, reader) = (self.index.clone(), self.handle.reader().clone());
        let work = move || -> Result<(Grown, Height), StoreError> {
            let grown = index.catch_up(&reader.view()?)?;
            Ok((grown, index.progress()?.next))
        };
        let done = tokio::task::spawn_blocking(work).await;
        let (grown, next) = done.unwrap_or(Err(StoreError::Frozen))?;
        self.indexed.send_replace(next);
        Ok(grown)
    }

    async fn flush(&self) {
        let index = self.index.clone();
        let done = tokio::task::spawn_blocking(move || index.flush()).await;
        if let Ok(Err(error)) = done {
            tracing::warn!(%error, "the explorer's index is not on the disk; a restart catches up");
        }
    }
}

#[cfg(test)]
mod tests;
