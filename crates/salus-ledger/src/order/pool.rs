use std::collections::{BTreeMap, HashMap, HashSet};

use salus_model::{Class, Classified};
use sha2::{Digest as _, Sha256};

use crate::transaction::SignedTransaction;
use crate::words::{Height, TxId};

/// Why a transaction does not wait in the pool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolRefused {
    /// It waits already.
    #[error("transaction {id} waits already")]
    Known {
        /// Which one.
        id: TxId,
    },
    /// Too much waits.
    #[error("the pool is full; try again once a block has been made")]
    Full,
}

impl Classified for PoolRefused {
    fn class(&self) -> Class {
        match self {
            Self::Known { .. } => Class::BadRequest,
            Self::Full => Class::Unavailable,
        }
    }
}

/// Transactions that wait for a block, in the order in which they came.
#[derive(Debug)]
pub struct Pool {
    waiting: BTreeMap<u64, SignedTransaction>,
    places: HashMap<TxId, u64>,
    /// By the hash of the exact bytes: another set of signatures is not the same envelope.
    envelopes: HashMap<[u8; 32], u64>,
    next: u64,
    bytes: usize,
    max_bytes: usize,
}

impl Pool {
    /// A pool of at most so many bytes.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            places: HashMap::new(),
            envelopes: HashMap::new(),
            next: 0,
            bytes: 0,
            max_bytes,
        }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Lets a transaction wait.
    ///
    /// # Errors
    /// When it waits already, or too much does.
    pub fn add(&mut self, tx: SignedTransaction) -> Result<(), PoolRefused> {
        let id = tx.id();
        if self.places.contains_key(&id) {
            return Err(PoolRefused::Known { id });
        }
        let bytes = self.bytes + tx.as_bytes().len();
        if bytes > self.max_bytes {
            return Err(PoolRefused::Full);
        }
        self.bytes = bytes;
        self.places.insert(id, self.next);
        self.envelopes.insert(Sha256::digest(tx.as_bytes()).into(), self.next);
        self.waiting.insert(self.next, tx);
        self.next += 1;
        Ok(())
    }

    /// The first `count` that wait.
    #[must_use]
    pub fn first(&self, count: usize) -> Vec<SignedTransaction> {
        self.waiting.values().take(count).cloned().collect()
    }

    /// The first `count` that wait and are not among `taken`.
    #[must_use]
    pub fn first_besides(&self, count: usize, taken: &HashSet<TxId>) -> Vec<SignedTransaction> {
        let free = self.waiting.values().filter(|tx| !taken.contains(&tx.id()));
        free.take(count).cloned().collect()
    }

    /// Whether something waits that is not among `taken`.
    #[must_use]
    pub fn has_besides(&self, taken: &HashSet<TxId>) -> bool {
        self.waiting.values().any(|tx| !taken.contains(&tx.id()))
    }

    /// Whether a transaction waits.
    #[must_use]
    pub fn contains(&self, id: &TxId) -> bool {
        self.places.contains_key(id)
    }

    /// The waiting transaction with exactly these bytes, whose signatures were checked when it
    /// came in.
    #[must_use]
    pub fn verified(&self, envelope: &[u8]) -> Option<SignedTransaction> {
        let hash: [u8; 32] = Sha256::digest(envelope).into();
        let found = self.envelopes.get(&hash).and_then(|place| self.waiting.get(place));
        found.filter(|tx| tx.as_bytes() == envelope).cloned()
    }

    /// Forgets what is recorded, and what no block after `height` may carry.
    pub fn settle(&mut self, recorded: &[TxId], height: Height) {
        for id in recorded {
            if let Some(place) = self.places.remove(id) {
                self.drop_at(place);
            }
        }
        let over: Vec<(u64, TxId)> = self
            .waiting
            .iter()
            .filter(|(_, tx)| tx.transaction().last() <= height)
            .map(|(place, tx)| (*place, tx.id()))
            .collect();
        for (place, id) in over {
            self.places.remove(&id);
            self.drop_at(place);
        }
    }

    fn drop_at(&mut self, place: u64) {
        if let Some(tx) = self.waiting.remove(&place) {
            self.bytes -= tx.as_bytes().len();
            let hash: [u8; 32] = Sha256::digest(tx.as_bytes()).into();
            self.envelopes.remove(&hash);
        }
    }
}
