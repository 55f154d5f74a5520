//! Sealed answers that outlive the process: kept before the ledger records them, so that a crash
//! between receipt and release costs nobody an answer that was paid for.

use std::collections::{HashMap, VecDeque};

use salus_crypto::aead::{Aad, AeadKey};
use salus_crypto::{Digest, OsEntropy};
use salus_ledger::{Opaque, TxId, cbor};
use salus_model::{HolderId, Timestamp};
use salus_spine::KeepError;
use serde::{Deserialize, Serialize};

use crate::desk::Reply;

/// Answers that are remembered, to repeat them for nothing.
const REMEMBERED: usize = 4096;
const MAX_ENTRY_BYTES: usize = 80 * 1024 * 1024;

/// A release that the holder signed, ready for the ledger; handing it in twice is harmless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRelease {
    /// The transaction.
    pub transaction: TxId,
    /// Its bytes.
    pub bytes: Opaque,
}

/// Where sealed answers lie until they are forgotten; whoever implements it sees ciphertext alone.
#[async_trait::async_trait]
pub trait Outbox: Send + Sync {
    /// Keeps an entry under a name, on the disk before it returns.
    ///
    /// # Errors
    /// When it cannot be written.
    async fn put(&self, name: &Digest, entry: &[u8]) -> std::io::Result<()>;

    /// The entry of a name.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn get(&self, name: &Digest) -> std::io::Result<Option<Vec<u8>>>;

    /// Forgets an entry; one that is not there is no error.
    ///
    /// # Errors
    /// When it cannot be removed.
    async fn remove(&self, name: &Digest) -> std::io::Result<()>;

    /// Every entry that is kept.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn all(&self) -> std::io::Result<Vec<Vec<u8>>>;
}

/// An answer on its way: held, with the transaction that charges it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// What was asked, by whom, of which version at which opt-out epoch.
    pub(crate) memory: Digest,
    /// The request, so that a recording of it is known again after a restart.
    pub(crate) request: Digest,
    /// Until when the request holds.
    pub(crate) request_expires: Timestamp,
    pub(crate) since: Timestamp,
    /// The held result, under the holder's key.
    pub(crate) held: Opaque,
    pub(crate) signed: SignedRelease,
}

fn aad(holder: &HolderId) -> Aad {
    Aad::new("salus outbox entry v1", &[holder.as_str().as_bytes()])
}

impl Entry {
    pub(crate) fn seal(&self, holder: &HolderId, key: &AeadKey) -> Result<Vec<u8>, KeepError> {
        Ok(key.seal(&mut OsEntropy, &aad(holder), &cbor::encode(self)?)?)
    }

    pub(crate) fn open(bytes: &[u8], holder: &HolderId, key: &AeadKey) -> Result<Self, KeepError> {
        Ok(cbor::decode(&key.open(&aad(holder), bytes)?, MAX_ENTRY_BYTES)?)
    }
}

/// What the desk knows of earlier answers.
#[derive(Default)]
pub(crate) struct Remembered {
    /// Released in this process.
    replies: HashMap<Digest, Reply>,
    /// Kept, and not known to be released.
    waiting: HashMap<Digest, Entry>,
    order: VecDeque<Digest>,
}

impl Remembered {
    pub(crate) fn reply(&self, memory: &Digest) -> Option<Reply> {
        self.replies.get(memory).cloned()
    }

    pub(crate) fn waiting(&self, memory: &Digest) -> Option<Entry> {
        self.waiting.get(memory).cloned()
    }

    /// Remembers a reply; returned is what is forgotten for it.
    pub(crate) fn released(&mut self, memory: Digest, reply: Reply) -> Option<Digest> {
        self.waiting.remove(&memory);
        self.replies.insert(memory, reply);
        self.noted(memory)
    }

    /// Remembers an answer that has no receipt yet; returned is what is forgotten for it.
    pub(crate) fn waits(&mut self, entry: Entry) -> Option<Digest> {
        let memory = entry.memory;
        self.waiting.insert(memory, entry);
        self.noted(memory)
    }

    pub(crate) fn forget(&mut self, memory: &Digest) {
        self.waiting.remove(memory);
        self.replies.remove(memory);
        self.order.retain(|known| known != memory);
    }

    fn noted(&mut self, memory: Digest) -> Option<Digest> {
        if !self.order.contains(&memory) {
            self.order.push_back(memory);
        }
        if self.order.len() <= REMEMBERED {
            return None;
        }
        let oldest = self.order.pop_front()?;
        self.replies.remove(&oldest);
        self.waiting.remove(&oldest);
        Some(oldest)
    }
}
