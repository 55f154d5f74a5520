//! Moves what is only in the journal into files, and takes in what others put there.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use salus_fhir::ResourceKey;
use salus_model::DatasetId;
use salus_store::{LakeError, Superseded};

use super::Repository;
use super::error::RepositoryError;
use super::load::{self, NewestWritten, Reader, Taken};
use super::scan::Wanted;
use super::state::Origin;
use super::tail::Tail;
use crate::fhir::resources::FHIR_DATASET;

/// What moving rows into files did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    /// Up to which journal position everything is in files.
    pub through: u64,
    /// Rows that were written, over all datasets.
    pub rows: u64,
    /// Journal segments that were removed.
    pub segments: usize,
}

impl Repository {
    /// Moves acknowledged rows from the journal into Parquet, and removes the journal's segments
    /// that are no longer needed.
    ///
    /// Each dataset is published with the journal position up to which its files go, so a crash
    /// between any two steps leaves every row in exactly one place that counts: a dataset that was
    /// published does not take its rows from the journal again, one that was not still does.
    ///
    /// # Errors
    /// When the lake or the disk refuse; what was moved until then stays moved, and doing it again
    /// goes on.
    pub async fn move_to_files(&self) -> Result<Moved, RepositoryError> {
        let mut taken = self.0.upkeep.lock().await;
        let through = self.0.state.read().position;
        let mut moved = Moved { through, ..Moved::default() };
        // The history first: a resource in files is then never newer than its history.
        let tails = &self.0.tails;
        let own = [&tails.history, &tails.resources].map(|(dataset, tail)| (dataset, tail));
        let views = tails.views.iter().map(|(dataset, _, tail)| (dataset, tail));
        for (dataset, tail) in own.into_iter().chain(views) {
            let known = (dataset.as_str() == FHIR_DATASET).then_some(taken.resources);
            let (rows, version) = self.move_one(dataset, tail, through).await?;
            moved.rows += rows;
            // Others published meanwhile unless the versions follow each other.
            if let (Some(known), Some(version)) = (known, version)
                && version == known.next()
            {
                taken.resources = version;
                self.0.feed.reached(version);
            }
        }
        self.0.state.write().texts.unpin_through(through);
        moved.segments = self.0.journal.trim(through).await?;
        Ok(moved)
    }

    async fn move_one(
        &self,
        dataset: &DatasetId,
        tail: &Arc<Tail>,
        through: u64,
    ) -> Result<(u64, Option<salus_model::DatasetVersion>), RepositoryError> {
        let lake = &self.0.lake;
        let newest = lake.versions(dataset).await?.last().copied();
        let in_files = lake.snapshot(dataset, newest).await?.manifest().journal_through;
        let (batches, superseded) = tail.between(in_files, through)?;
        if batches.is_empty() && superseded.is_empty() {
            tail.trim(in_files.min(through));
            return Ok((0, None));
        }
        let mut writer = lake.append(dataset).await?;
        let mut rows = 0;
        for batch in &batches {
            rows += batch.num_rows() as u64;
            writer.write(batch).await?;
        }
        writer.supersede(&superseded);
        writer.set_journal_through(through);
        let version = writer.publish_version().await?;
        tail.trim(through);
        Ok((rows, Some(version)))
    }

    /// Takes resources into the index that others have put into files since, such as an import;
    /// how many.
    ///
    /// Where an import and a write of the same id did not know of each other, the newer one
    /// replaces the older one from now on, also in files.
    ///
    /// # Errors
    /// When the lake cannot be read.
    pub async fn take_in_imports(&self) -> Result<usize, RepositoryError> {
        let mut taken = self.0.upkeep.lock().await;
        let dataset = DatasetId::new(FHIR_DATASET)?;
        let newest = self.0.lake.versions(&dataset).await?.last().copied();
        let newest = newest.ok_or(LakeError::NoDataset { dataset })?;
        if newest == taken.resources && taken.compared {
            return Ok(0);
        }
        let (lake, authority, clock) = (&self.0.lake, &*self.0.authority, &*self.0.clock);
        let reader = Reader { lake, authority, clock };
        let mut candidates = load::keys_and_sequences(&reader, None).await?;
        candidates.sort_unstable();
        let (mut wanted, mut written) = (HashSet::new(), NewestWritten::new());
        // Of two rows of a key that both count, neither knew of the other; the newer one is last.
        let strange = |pair: &[(ResourceKey, i64)]| match pair {
            [(one, older), (other, newer)] if one == other && older != newer => {
                Some((other.clone(), *newer))
            }
            _ => None,
        };
        let mut strangers: BTreeMap<ResourceKey, i64> =
            candidates.windows(2).filter_map(strange).collect();
        {
            let state = self.0.state.read();
            for (key, sequence) in candidates {
                let known = state.find(&key);
                if known.is_none_or(|slot| slot.sequence < sequence) {
                    wanted.insert(key.to_string());
                }
                if let Some(slot) = known {
                    written.insert(key, (slot.version, slot.sequence));
                }
            }
        }
        let mut found = Vec::new();
        let mut take = |slot, _: &str| found.push(slot);
        let version =
            load::read_resources(&reader, &written, Wanted::Keys(wanted), &mut take).await?;
        let count = {
            // Who decides on a write must not look at an index that changes meanwhile.
            let _nobody_decides = self.0.deciding.lock().await;
            self.quiet().await;
            let mut state = self.0.state.write();
            let mut new_ones = Vec::new();
            for slot in found.into_iter().filter(|slot| slot.origin == Origin::Imported) {
                // Written as new while this was being read.
                let new = state.find(&slot.key).filter(|_| !written.contains_key(&slot.key));
                if let Some(known) = new {
                    strangers.insert(slot.key.clone(), slot.sequence.max(known.sequence));
                }
                let key = slot.key.clone();
                new_ones.extend(state.put(slot).map(|_| key));
            }
            let count = new_ones.len();
            self.0.feed.reached(version);
            self.0.feed.tell(&state, new_ones);
            count
        };
        self.settle_strangers(&strangers).await?;
        *taken = Taken { resources: version, compared: true };
        Ok(count)
    }

    /// Publishes from which sequence on the rows of resources count that came twice, each time as
    /// if they were new.
    async fn settle_strangers(
        &self,
        strangers: &BTreeMap<ResourceKey, i64>,
    ) -> Result<(), RepositoryError> {
        if strangers.is_empty() {
            return Ok(());
        }
        let by_type = |resource_type: Option<&str>| {
            let of_type = strangers
                .iter()
                .filter(|(key, _)| resource_type.is_none_or(|name| key.resource_type() == name));
            let entry = |(key, from): (&ResourceKey, &i64)| match resource_type {
                Some(_) => (key.id().to_string(), *from),
                None => (key.to_string(), *from),
            };
            Superseded::new(of_type.map(entry).collect())
        };
        let tails = &self.0.tails;
        let views = tails
            .views
            .iter()
            .map(|(dataset, view, _)| (dataset, by_type(Some(view.view.resource()))));
        let all = std::iter::once((&tails.resources.0, by_type(None))).chain(views);
        for (dataset, superseded) in all.filter(|(_, superseded)| !superseded.is_empty()) {
            let mut writer = self.0.lake.append(dataset).await?;
            writer.supersede(&superseded);
            writer.publish_version().await?;
        }
        Ok(())
    }
}
