use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use object_store::path::Path;
use salus_model::{DatasetId, DatasetVersion, Timestamp};
use salus_spine::{Upkeep, UpkeepAuthorised};

use super::ONE_AT_A_TIME;
use crate::lake::{Lake, LakeError, Snapshot};
use crate::manifest::Manifest;
use crate::storage::StorageError;

/// How long a version is kept after it was replaced, and an unnamed file after it was written.
const COURTESY_MICROS: i64 = 60 * 60 * 1_000_000;
/// How often the giving up of files is prepared anew because others published first.
const ATTEMPTS: usize = 16;

/// What expiry removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expired {
    /// Versions.
    pub versions: usize,
    /// Files with their key material, and other objects beside them.
    pub objects: usize,
}

/// The version in whose number a file's name begins.
fn written_for(name: &str) -> Option<DatasetVersion> {
    DatasetVersion::new(name.get(..20)?.parse().ok()?)
}

/// The file to which an object in the data folder belongs: itself, or the one whose keys it has.
fn belongs_to(object: &str) -> &str {
    let beside = object.strip_prefix("_KEY_MATERIAL_FOR_").and_then(|o| o.strip_suffix(".json"));
    beside.unwrap_or(object)
}

impl Lake {
    /// Removes all but the newest `keep` versions, and the files that no kept version names,
    /// those of crashed writers included.
    ///
    /// Versions replaced, and files written, within the last hour stay. See the module's
    /// documentation for why nothing is removed that a writer could still publish.
    ///
    /// # Errors
    /// When the order does not cover it, or the storage refuses; what was removed until then
    /// stays removed, and doing it again goes on.
    pub async fn expire_versions(
        self: &Arc<Self>,
        order: &UpkeepAuthorised,
        dataset: &DatasetId,
        keep: NonZeroUsize,
    ) -> Result<Expired, LakeError> {
        let not_ordered = |source| LakeError::Upkeep { dataset: dataset.clone(), source };
        order.covers(dataset, Upkeep::Expire).map_err(not_ordered)?;
        let _one_at_a_time = ONE_AT_A_TIME.lock().await;
        let old = self.clock.now().saturating_add_micros(-COURTESY_MICROS);
        let mut expired = Expired::default();
        let versions = self.versions(dataset).await?;
        let surplus = versions.len().saturating_sub(keep.get());
        for pair in versions.windows(2).take(surplus) {
            let [version, successor] = pair else { break };
            if self.read_manifest(dataset, *successor).await?.0.created > old {
                break;
            }
            // The oldest goes first, so that a crash leaves no gap.
            self.storage.remove(&Self::manifest_path(dataset, *version)).await?;
            expired.versions += 1;
        }
        expired.objects = self.remove_unnamed(dataset, old).await?;
        Ok(expired)
    }

    async fn remove_unnamed(
        self: &Arc<Self>,
        dataset: &DatasetId,
        old: Timestamp,
    ) -> Result<usize, LakeError> {
        let candidates = self.unnamed(dataset).await?;
        let mut old_ones: Vec<(Path, DatasetVersion)> = Vec::new();
        let mut youngest_kept: Option<DatasetVersion> = None;
        for (path, version) in candidates {
            if self.storage.written(&path).await?.is_some_and(|written| written <= old) {
                old_ones.push((path, version));
            } else {
                let least = youngest_kept.map_or(version, |v| v.min(version));
                youngest_kept = Some(least);
            }
        }
        // A writer gives all of its files one number: none of a young one's may be given up.
        old_ones.retain(|(_, version)| youngest_kept.is_none_or(|young| *version < young));
        if let Some(last) = old_ones.iter().map(|(_, version)| *version).max() {
            self.give_up_before(dataset, last.next()).await?;
        }
        // What was published before the giving up is named now.
        let named = self.named(dataset).await?;
        let mut removed = 0;
        for (path, _) in old_ones {
            let name = path.filename().map(belongs_to).unwrap_or_default();
            if !named.contains(name) {
                self.storage.remove(&path).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    async fn named(&self, dataset: &DatasetId) -> Result<BTreeSet<String>, LakeError> {
        let mut named = BTreeSet::new();
        for version in self.versions(dataset).await? {
            let (manifest, _) = self.read_manifest(dataset, version).await?;
            let files = manifest.files.into_iter().chain(manifest.superseded);
            named.extend(files.map(|file| file.name));
        }
        Ok(named)
    }

    /// Objects in the data folder that belong to no file of any version.
    async fn unnamed(&self, dataset: &DatasetId) -> Result<Vec<(Path, DatasetVersion)>, LakeError> {
        let objects = self.storage.list(&Self::folder(dataset).join("data")).await?;
        let named = self.named(dataset).await?;
        let mut found = Vec::new();
        for (path, _) in objects {
            let name = path.filename().map(belongs_to).unwrap_or_default();
            // What Salus did not name is not for Salus to remove.
            if let Some(version) = written_for(name).filter(|_| !named.contains(name)) {
                found.push((path, version));
            }
        }
        Ok(found)
    }

    /// Publishes that unpublished files written for versions before `retired` are given up.
    async fn give_up_before(
        self: &Arc<Self>,
        dataset: &DatasetId,
        retired: DatasetVersion,
    ) -> Result<(), LakeError> {
        for _ in 0..ATTEMPTS {
            let newest = self.versions(dataset).await?.last().copied();
            let base: Arc<Snapshot> = self.snapshot(dataset, newest).await?;
            if base.manifest.retired_before >= retired {
                return Ok(());
            }
            let manifest = Manifest {
                version: base.manifest.version.next(),
                previous: Some(base.digest),
                created: self.clock.now(),
                retired_before: retired,
                ..base.manifest.clone()
            };
            match self.publish(&manifest).await {
                Ok(_) => return Ok(()),
                Err(LakeError::Storage(StorageError::Exists { .. })) => {}
                Err(e) => return Err(e),
            }
        }
        Err(LakeError::Busy { dataset: dataset.clone() })
    }
}

#[cfg(test)]
mod tests {
    use salus_crypto::pkmt1::external_material_file_name;

    use super::*;

    #[test]
    fn objects_are_assigned_to_their_files() {
        let name = "00000000000000000012-00000000deadbeef.parquet";
        assert_eq!(belongs_to(&external_material_file_name(name)), name);
        assert_eq!(belongs_to(name), name);
        assert_eq!(written_for(name), DatasetVersion::new(12));
        assert_eq!(written_for("notes.txt"), None);
        assert_eq!(written_for("0000000000000000001é"), None);
    }
}
