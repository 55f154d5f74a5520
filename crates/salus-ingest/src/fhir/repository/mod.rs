//! A FHIR repository over an encrypted journal: versions written one by one or in transactions,
//! read and searched under the spine.
//!
//! ```text
//! BundleRequest ─carry_out─▶ decided on versions, rules, views ─▶ one journal append ─fsync─▶ state
//! KeyRelease<Care> + Ask ─answer─▶ row rules, search, texts ─▶ Unreleased<Answer, Care>
//! state's tail ──LiveRows──▶ SQL at once      ──compaction──▶ Parquet, then the journal is trimmed
//! ```
//!
//! **Invariant:** a write is answered only when its record is on the disk; a transaction is one
//! record. What is not on the disk is seen by no reader, not even by a search.
//!
//! **Invariant:** every version stays readable: those that were written in [`FHIR_HISTORY`], and
//! one that came from a file moves there with the first change.
//!
//! **Invariant:** what is read leaves as [`Unreleased`] alone, under the caller's key release, and
//! only resources that its row rules admit are counted, sorted, included or read.
//!
//! # Privacy
//! The process holds the search index of all resources in plaintext, and of some their texts,
//! as a holder's node may; nothing of it is written outside the journal and the lake. Each
//! answer asks the key store first whether the resources' keys may still be used, so that a
//! revoked key stops FHIR as it stops SQL.
//!
//! # Cost
//! In memory, for each resource: its search index and some hundred bytes beside it. A process that
//! has read 73,847 resources of the Synthea data (100 MB of NDJSON) is 325 MB larger than one that
//! has read none: 4.5 kB a resource. Texts are kept for what is not in files yet, and a
//! bounded cache of others. A search narrows down by tokens and references, and otherwise looks
//! at each resource of the type. A text that is not in memory is read from the lake, which reads
//! the `id` column of the dataset.

mod changes;
mod compact;
mod error;
mod history;
mod load;
mod read;
mod record;
mod rules;
mod scan;
mod state;
mod tail;
mod texts;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use salus_fhir::ResourceKey;
use salus_fhir::shipped::ShippedView;
use salus_keys::{KeyState, KeyStore};
use salus_model::{Clock, DatasetId, JournalName, KeyClass, KeyName, RoleName, StaffId, Timestamp};
use salus_spine::{Authority, Unreleased};
use salus_store::journal::{Journal, JournalSettings, LocalMedium, Medium};
use salus_store::{EncryptionSettings, KeyChoice, Lake};

pub use self::changes::{ChangeMark, Changed};
pub use self::compact::Moved;
pub use self::error::RepositoryError;
pub use self::history::FHIR_HISTORY;
pub use self::read::{
    After, Answer, Ask, ExportPage, HistoryOf, HistoryPage, PastVersion, SearchPage,
};
pub use self::record::Method;
pub use self::write::{Carried, Done};

use self::state::State;
use self::tail::Tail;
use self::write::Pending;
use super::resources::FHIR_DATASET;

/// A segment of the journal is closed when it has this many bytes.
const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// What a repository is made of.
pub struct RepositoryParts {
    /// The holder's datasets.
    pub lake: Arc<Lake>,
    /// The holder's key store.
    pub keys: Arc<dyn KeyStore>,
    /// The holder's authority, which orders the reading of resources into the search index.
    pub authority: Arc<Authority>,
    /// The present moment.
    pub clock: Arc<dyn Clock>,
    /// How datasets that are not there yet are made.
    pub encryption: EncryptionSettings,
    /// The journal's folder, outside the lake's; nothing else uses it.
    pub folder: PathBuf,
    /// How many bytes of texts are cached.
    pub cache_bytes: usize,
}

/// Who writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The person.
    pub staff: StaffId,
    /// In which role.
    pub role: RoleName,
}

/// A stored version of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Type and id.
    pub key: ResourceKey,
    /// The version.
    pub version: u64,
    /// When it was written.
    pub last_updated: Timestamp,
    /// The resource as JSON, with id, version and time.
    pub text: Arc<str>,
}

/// A FHIR repository; cheap to clone.
#[derive(Clone)]
pub struct Repository(Arc<Inner>);

struct Inner {
    lake: Arc<Lake>,
    keys: Arc<dyn KeyStore>,
    authority: Arc<Authority>,
    clock: Arc<dyn Clock>,
    journal: Journal,
    /// Keys without which no resource may be shown.
    needed_keys: Vec<KeyName>,
    state: RwLock<State>,
    tails: Tails,
    /// One at a time decides what is written next.
    deciding: tokio::sync::Mutex<()>,
    pending: Mutex<Pending>,
    feed: changes::Feed,
    /// One at a time moves rows into files, or takes in what others put there.
    upkeep: tokio::sync::Mutex<load::Taken>,
}

/// The rows of each dataset that are in no file yet.
struct Tails {
    resources: (DatasetId, Arc<Tail>),
    history: (DatasetId, Arc<Tail>),
    views: Vec<(DatasetId, &'static ShippedView, Arc<Tail>)>,
}

impl Tails {
    fn all(&self) -> BTreeMap<&DatasetId, &Arc<Tail>> {
        let views = self.views.iter().map(|(dataset, _, tail)| (dataset, tail));
        let own = [&self.resources, &self.history].map(|(dataset, tail)| (dataset, tail));
        views.chain(own).collect()
    }
}

impl Repository {
    /// Opens the repository: makes the datasets that are not there, replays the journal, reads
    /// the resources that are in files into the search index, and shows the journal's rows to SQL.
    ///
    /// # Errors
    /// When another process has the journal open, its bytes are not what was written, or the
    /// lake or a key is not available.
    pub async fn open(parts: RepositoryParts) -> Result<Self, RepositoryError> {
        Self::open_on(Arc::new(LocalMedium), parts).await
    }

    /// As [`Repository::open`], where `medium` writes the journal.
    ///
    /// # Errors
    /// As [`Repository::open`].
    pub async fn open_on(
        medium: Arc<dyn Medium>,
        parts: RepositoryParts,
    ) -> Result<Self, RepositoryError> {
        let dataset = DatasetId::new(FHIR_DATASET)?;
        let history = DatasetId::new(FHIR_HISTORY)?;
        let through = load::make_datasets(&parts.lake, parts.encryption).await?;
        let tails = load::tails(&through)?;
        let mut state = State::new(parts.cache_bytes);
        let taken = {
            let (lake, authority, clock) = (&parts.lake, &*parts.authority, &*parts.clock);
            load::index(&load::Reader { lake, authority, clock }, &mut state).await?
        };
        let settings = JournalSettings {
            folder: parts.folder.clone(),
            holder: parts.lake.holder().clone(),
            name: JournalName::new("fhir")?,
            master: KeyChoice::Class(KeyClass::Freetext).key_name(&dataset)?,
            segment_bytes: SEGMENT_BYTES,
        };
        let reached = through.values().copied().max().unwrap_or(0);
        let mut visit = |position: u64, bytes: &[u8]| {
            load::replay(&mut state, &tails, position, bytes).map_err(Into::into)
        };
        let keys = Arc::clone(&parts.keys);
        let opened = Journal::open_on(medium, settings, keys, reached, &mut visit).await;
        let (journal, opened) = opened?;
        if let Some(torn) = opened.torn {
            tracing::warn!(bytes = torn.bytes, "cut off what a crash left at the journal's end");
        }
        let needed = [KeyClass::Freetext, KeyClass::Identifiers];
        let needed = needed.map(|class| KeyChoice::Class(class).key_name(&dataset));
        for (dataset, tail) in tails.all() {
            parts.lake.attach(dataset.clone(), Arc::<Tail>::clone(tail) as _);
        }
        let pending = Mutex::new(Pending::new(opened.head.position + 1, state.newest));
        let feed = changes::Feed::new(taken.resources);
        tracing::info!(resources = state.len(), history = %history, "FHIR repository open");
        Ok(Self(Arc::new(Inner {
            lake: parts.lake,
            keys: parts.keys,
            authority: parts.authority,
            clock: parts.clock,
            journal,
            needed_keys: needed.into_iter().collect::<Result<_, _>>()?,
            state: RwLock::new(state),
            tails,
            deciding: tokio::sync::Mutex::new(()),
            pending,
            feed,
            upkeep: tokio::sync::Mutex::new(taken),
        })))
    }

    /// Why nothing more can be written until the repository is opened again, if so.
    #[must_use]
    pub fn frozen(&self) -> Option<Arc<salus_store::journal::JournalError>> {
        self.0.journal.frozen()
    }

    /// The key store's word that the resources' keys may be used.
    async fn keys_usable(&self) -> Result<(), RepositoryError> {
        for key in &self.0.needed_keys {
            let described = self.0.keys.describe(key).await;
            let info =
                described.map_err(|source| RepositoryError::Key { key: key.clone(), source })?;
            if info.state == KeyState::Revoked {
                return Err(RepositoryError::KeyRevoked { key: key.clone() });
            }
        }
        Ok(())
    }

    /// The datasets that the repository writes.
    #[must_use]
    pub fn datasets(&self) -> Vec<DatasetId> {
        self.0.tails.all().into_keys().cloned().collect()
    }

    /// Bytes of texts and how many appends are only in the journal so far.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        let bytes = self.0.state.read().texts.pinned_bytes();
        Waiting { bytes, position: self.0.journal.head().position }
    }
}

/// What is only in the journal so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Bytes of texts.
    pub bytes: usize,
    /// The journal's last position.
    pub position: u64,
}

/// What a care use of the repository yields.
pub type CareUnreleased<T> = Unreleased<T, salus_spine::Care>;

#[cfg(test)]
mod tests;
