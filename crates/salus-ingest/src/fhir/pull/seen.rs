//! What has been pulled already, so that pulling it again changes nothing.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use salus_crypto::aead::{Aad, AeadKey};
use salus_crypto::{OsEntropy, PseudonymKey};
use salus_model::{Entropy as _, EntropyFailed};

use super::error::PullError;

const ENTRIES: TableDefinition<'_, [u8; 16], &[u8]> = TableDefinition::new("entries-1");
const FACTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("facts-1");
const LAKE: &str = "lake";
const EPOCH: &str = "epoch";

pub(crate) type Tag = [u8; 8];
pub(crate) type Key = [u8; 16];

/// What is known of one resource. A moment is in microseconds, the least number where the server
/// gives none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) updated: i64,
    pub(crate) version: Tag,
    pub(crate) content: Tag,
    pub(crate) source: Tag,
    pub(crate) run: Tag,
}

const ENTRY_BYTES: usize = 40;

impl Entry {
    fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        let parts = [self.updated.to_be_bytes(), self.version, self.content, self.source, self.run];
        for (slot, part) in bytes.chunks_exact_mut(8).zip(parts) {
            slot.copy_from_slice(&part);
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut parts = bytes.chunks_exact(8).filter_map(|part| <[u8; 8]>::try_from(part).ok());
        let entry = Self {
            updated: i64::from_be_bytes(parts.next()?),
            version: parts.next()?,
            content: parts.next()?,
            source: parts.next()?,
            run: parts.next()?,
        };
        (bytes.len() == ENTRY_BYTES).then_some(entry)
    }
}

/// The index of everything that was pulled into a lake, from all sources.
///
/// # Privacy
/// A resource stands in it under the pseudonym of its type and id, with its version as another
/// one, sealed; without the site's key the file tells how many resources there are, roughly, and
/// nothing else. It is of no use once the key is destroyed.
pub(crate) struct SeenIndex {
    database: Database,
    pseudonyms: PseudonymKey,
    values: AeadKey,
}

fn failed(error: impl Into<redb::Error>) -> PullError {
    PullError::Index(Box::new(error.into()))
}

impl SeenIndex {
    /// Opens the index, or makes it; one process at a time has it.
    pub(crate) fn open(
        path: &Path,
        pseudonyms: PseudonymKey,
        values: AeadKey,
    ) -> Result<Self, PullError> {
        let database = Database::create(path).map_err(|e| match e {
            redb::DatabaseError::DatabaseAlreadyOpen => PullError::Busy,
            e => failed(e),
        })?;
        let index = Self { database, pseudonyms, values };
        let write = index.database.begin_write().map_err(failed)?;
        {
            write.open_table(ENTRIES).map_err(failed)?;
            let mut facts = write.open_table(FACTS).map_err(failed)?;
            if facts.get(EPOCH).map_err(failed)?.is_none() {
                facts.insert(EPOCH, new_epoch()?.as_slice()).map_err(failed)?;
            }
        }
        write.commit().map_err(failed)?;
        Ok(index)
    }

    /// Names this index; another after it was emptied.
    pub(crate) fn epoch(&self) -> Result<String, PullError> {
        let read = self.database.begin_read().map_err(failed)?;
        let facts = read.open_table(FACTS).map_err(failed)?;
        let epoch = facts.get(EPOCH).map_err(failed)?.ok_or(PullError::Damaged)?;
        Ok(epoch.value().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Which state of the lake the index belongs to.
    pub(crate) fn lake(&self) -> Result<Option<Vec<u8>>, PullError> {
        let read = self.database.begin_read().map_err(failed)?;
        let facts = read.open_table(FACTS).map_err(failed)?;
        Ok(facts.get(LAKE).map_err(failed)?.map(|lake| lake.value().to_vec()))
    }

    /// Forgets everything: the lake is not the one that the index belongs to.
    pub(crate) fn clear(&self) -> Result<(), PullError> {
        let write = self.database.begin_write().map_err(failed)?;
        {
            write.delete_table(ENTRIES).map_err(failed)?;
            write.open_table(ENTRIES).map_err(failed)?;
            let mut facts = write.open_table(FACTS).map_err(failed)?;
            facts.remove(LAKE).map_err(failed)?;
            facts.insert(EPOCH, new_epoch()?.as_slice()).map_err(failed)?;
        }
        write.commit().map_err(failed)
    }

    /// Keeps what an import took in, with the state of the lake after it.
    pub(crate) fn keep(&self, new: &HashMap<Key, Entry>, lake: &[u8]) -> Result<(), PullError> {
        let write = self.database.begin_write().map_err(failed)?;
        {
            let mut entries = write.open_table(ENTRIES).map_err(failed)?;
            for (key, entry) in new {
                let sealed = self.values.seal(&mut OsEntropy, &aad(key), &entry.to_bytes());
                let sealed = sealed.map_err(|_| PullError::Entropy(EntropyFailed))?;
                entries.insert(*key, sealed.as_slice()).map_err(failed)?;
            }
            write.open_table(FACTS).map_err(failed)?.insert(LAKE, lake).map_err(failed)?;
        }
        write.commit().map_err(failed)
    }

    /// What is known of a key.
    pub(crate) fn entry(&self, key: &Key) -> Result<Option<Entry>, PullError> {
        let read = self.database.begin_read().map_err(failed)?;
        let entries = read.open_table(ENTRIES).map_err(failed)?;
        let Some(found) = entries.get(*key).map_err(failed)? else { return Ok(None) };
        let opened = self.values.open(&aad(key), found.value()).map_err(|_| PullError::Damaged)?;
        Entry::from_bytes(&opened).map(Some).ok_or(PullError::Damaged)
    }

    pub(crate) fn key(&self, domain: &'static str, parts: &[&[u8]]) -> Key {
        first(self.pseudonyms.of_parts(domain, parts).as_bytes())
    }

    pub(crate) fn tag(&self, domain: &'static str, parts: &[&[u8]]) -> Tag {
        first(self.pseudonyms.of_parts(domain, parts).as_bytes())
    }
}

fn first<const N: usize>(bytes: &[u8; 32]) -> [u8; N] {
    let mut taken = [0; N];
    for (to, from) in taken.iter_mut().zip(bytes) {
        *to = *from;
    }
    taken
}

fn aad(key: &Key) -> Aad {
    Aad::new("salus pulled resource v1", &[key])
}

fn new_epoch() -> Result<[u8; 16], EntropyFailed> {
    let mut epoch = [0; 16];
    OsEntropy.fill(&mut epoch)?;
    Ok(epoch)
}

/// The index with what the present import adds to it.
pub(crate) struct Looking {
    index: Arc<SeenIndex>,
    new: HashMap<Key, Entry>,
}

impl Looking {
    pub(crate) fn new(index: Arc<SeenIndex>) -> Self {
        Self { index, new: HashMap::new() }
    }

    pub(crate) fn index(&self) -> &SeenIndex {
        &self.index
    }

    pub(crate) fn entry(&self, key: &Key) -> Result<Option<Entry>, PullError> {
        match self.new.get(key) {
            Some(entry) => Ok(Some(*entry)),
            None => self.index.entry(key),
        }
    }

    pub(crate) fn note(&mut self, key: Key, entry: Entry) {
        self.new.insert(key, entry);
    }

    pub(crate) fn keep(&self, lake: &[u8]) -> Result<(), PullError> {
        self.index.keep(&self.new, lake)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn open(path: &Path, key: u8) -> SeenIndex {
        let secret = || salus_model::Secret::new([key; 32]);
        let pseudonyms = PseudonymKey::from_secret(secret());
        SeenIndex::open(path, pseudonyms, AeadKey::from_secret(secret())).unwrap()
    }

    fn entry(updated: i64) -> Entry {
        Entry { updated, version: [1; 8], content: [2; 8], source: [3; 8], run: [4; 8] }
    }

    #[test]
    fn entries_outlive_the_process_and_open_with_the_same_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seen");
        let index = open(&path, 1);
        let epoch = index.epoch().unwrap();
        let key = index.key("d", &[b"Patient", b"MARKER"]);
        index.keep(&HashMap::from([(key, entry(7))]), b"v1").unwrap();
        drop(index);
        let index = open(&path, 1);
        assert_eq!(index.entry(&key).unwrap(), Some(entry(7)));
        assert_eq!(index.entry(&[0; 16]).unwrap(), None);
        assert_eq!(index.lake().unwrap().as_deref(), Some(&b"v1"[..]));
        assert_eq!(index.epoch().unwrap(), epoch);
        drop(index);
        let other = open(&path, 2);
        assert_ne!(other.key("d", &[b"Patient", b"MARKER"]), key);
        assert!(matches!(other.entry(&key), Err(PullError::Damaged)));
        other.clear().unwrap();
        assert_eq!(other.entry(&key).unwrap(), None);
        assert_ne!(other.epoch().unwrap(), epoch);
        drop(other);
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(6).any(|w| w == b"MARKER"));
    }

    #[test]
    fn an_entry_moved_to_another_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let index = open(&folder.path().join("seen"), 1);
        index.keep(&HashMap::from([([1; 16], entry(7))]), b"").unwrap();
        let write = index.database.begin_write().unwrap();
        {
            let mut table = write.open_table(ENTRIES).unwrap();
            let sealed = table.get([1; 16]).unwrap().unwrap().value().to_vec();
            table.insert([2; 16], sealed.as_slice()).unwrap();
        }
        write.commit().unwrap();
        assert!(matches!(index.entry(&[2; 16]), Err(PullError::Damaged)));
    }

    #[test]
    fn one_process_at_a_time_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seen");
        let _index = open(&path, 1);
        let second = SeenIndex::open(
            &path,
            PseudonymKey::from_secret(salus_model::Secret::new([1; 32])),
            AeadKey::from_secret(salus_model::Secret::new([1; 32])),
        );
        assert!(matches!(second, Err(PullError::Busy)));
    }
}
