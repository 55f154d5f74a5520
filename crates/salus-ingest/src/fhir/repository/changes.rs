//! What changed, for those who want to be told: as it becomes visible, and since a mark that
//! outlives the process.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use salus_fhir::ResourceKey;
use salus_fhir::search::SearchQuery;
use salus_model::{DatasetId, DatasetVersion};
use salus_store::LakeError;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use super::Repository;
use super::error::RepositoryError;
use super::load::{self, Reader};
use super::state::{Neighbours, Origin, Slot, State};
use crate::fhir::resources::FHIR_DATASET;

/// Changes that wait for a listener; one that is slower reads on from its mark.
const WAITING: usize = 1024;

/// Up to where changes have been seen.
///
/// What is written here has sequences that grow. What comes by import has older ones, and is told
/// apart by the version of the resources' dataset that it is not in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeMark {
    sequence: i64,
    imported: DatasetVersion,
}

/// Resources that became visible together.
#[derive(Debug, Clone)]
pub struct Changed {
    /// Which; a resource that was removed is not among them.
    pub keys: Vec<ResourceKey>,
    /// Up to where changes have been seen with these.
    pub mark: ChangeMark,
}

/// Tells listeners of changes.
pub(super) struct Feed {
    send: broadcast::Sender<Arc<Changed>>,
    imported: AtomicU64,
}

impl Feed {
    pub(super) fn new(imported: DatasetVersion) -> Self {
        let (send, _) = broadcast::channel(WAITING);
        Self { send, imported: AtomicU64::new(imported.number()) }
    }

    /// Up to which version imports have been taken in.
    pub(super) fn reached(&self, version: DatasetVersion) {
        self.imported.store(version.number(), Ordering::Release);
    }

    fn mark(&self, state: &State) -> ChangeMark {
        let imported = DatasetVersion::new(self.imported.load(Ordering::Acquire));
        ChangeMark { sequence: state.newest, imported: imported.unwrap_or(DatasetVersion::FIRST) }
    }

    /// Tells of resources that are visible in `state` now.
    pub(super) fn tell(&self, state: &State, keys: Vec<ResourceKey>) {
        if keys.is_empty() || self.send.receiver_count() == 0 {
            return;
        }
        let change = Changed { keys, mark: self.mark(state) };
        // The last listener may have gone a moment ago.
        let _ = self.send.send(Arc::new(change));
    }
}

impl Repository {
    /// Changes from now on.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Arc<Changed>> {
        self.0.feed.send.subscribe()
    }

    /// Up to where changes are visible now.
    #[must_use]
    pub fn change_mark(&self) -> ChangeMark {
        self.0.feed.mark(&self.0.state.read())
    }

    /// What changed since a mark, and the mark of now; some of it may have been seen before.
    ///
    /// # Errors
    /// When the lake cannot be read.
    pub async fn changed_since(
        &self,
        mark: ChangeMark,
    ) -> Result<(Vec<ResourceKey>, ChangeMark), RepositoryError> {
        // Nobody takes imports in meanwhile.
        let taken = self.0.upkeep.lock().await;
        let before = if taken.resources == mark.imported {
            Before::Same
        } else {
            self.resources_at(mark.imported).await?
        };
        let state = self.0.state.read();
        let is_new = |slot: &Slot| match (slot.origin, &before) {
            (Origin::Written, _) | (Origin::Imported, Before::Gone) => {
                slot.sequence > mark.sequence
            }
            (Origin::Imported, Before::Same) => false,
            (Origin::Imported, Before::Known(known)) => {
                known.get(&slot.key) != Some(&slot.sequence)
            }
        };
        let changed = state.slots_from(0).map(|(_, slot)| slot);
        let changed = changed.filter(|slot| slot.index().is_some() && is_new(slot));
        Ok((changed.map(|slot| slot.key.clone()).collect(), self.0.feed.mark(&state)))
    }

    async fn resources_at(&self, version: DatasetVersion) -> Result<Before, RepositoryError> {
        let dataset = DatasetId::new(FHIR_DATASET)?;
        match self.0.lake.snapshot(&dataset, Some(version)).await {
            Err(LakeError::NoVersion { .. }) => {
                tracing::warn!(
                    "old versions were removed: imports from before the last notification and not \
                     told of by then are not told of any more"
                );
                return Ok(Before::Gone);
            }
            snapshot => drop(snapshot?),
        }
        let (lake, authority, clock) = (&self.0.lake, &*self.0.authority, &*self.0.clock);
        let reader = Reader { lake, authority, clock };
        let known = load::keys_and_sequences(&reader, Some(version)).await?;
        Ok(Before::Known(known.into_iter().collect()))
    }

    /// Those of `keys` whose resources meet the conditions, without regard to who asks.
    ///
    /// # Privacy
    /// For deciding whether to ask under somebody's rules at all; nothing but the keys that the
    /// caller named comes out, and they go no further.
    #[must_use]
    pub fn touched(&self, query: &SearchQuery, keys: &[ResourceKey]) -> Vec<ResourceKey> {
        let state = self.0.state.read();
        let others = Neighbours { state: &state, admitted: &|_| true, newer: &|_| None };
        let meets = |key: &&ResourceKey| {
            let index = state.find(key).and_then(Slot::index);
            index.is_some_and(|index| query.matches(index, &others))
        };
        let mut seen = HashSet::new();
        keys.iter().filter(meets).filter(|key| seen.insert(*key)).cloned().collect()
    }
}

/// What was there at a mark.
enum Before {
    /// Nothing was imported since.
    Same,
    /// Each resource with its sequence.
    Known(HashMap<ResourceKey, i64>),
    /// Its version has been removed.
    Gone,
}
