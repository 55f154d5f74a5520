//! Rows that replace each other: what a publication adds to the list of superseded rows, and what
//! compaction may drop from it.
//!
//! # The rule on sequences
//! An entry `(key, from)` hides the rows of the key below `from`. It is *settled* when no file has
//! such a row any more and some file has a row that counts: then it hides nothing, and a row that
//! arrives late can still be told to lose, because the newer row is there to be compared with.
//! Compaction drops settled entries and raises the manifest's `settled_below` to the highest of
//! them. Whoever publishes a row below that sequence reads keys and sequences of the files first,
//! and adds an entry where it finds a newer row. Entries of things that were removed have no newer
//! row to compare with, and stay.
//!
//! Entries are dropped only from the very version in which they were found settled; when another
//! was published meanwhile, its files may need them, and they stay until the next compaction.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::TryStreamExt;

use crate::admit::{Identity, Superseded};
use crate::keytools::Unwrapped;
use crate::lake::{Lake, LakeError, Snapshot};
use crate::manifest::{DataFile, Manifest};
use crate::upkeep::rewritten;

/// From which sequence on the rows of a key count, as far as a writer knows the key.
pub type Newest = Arc<dyn Fn(&str) -> Option<i64> + Send + Sync>;

/// What a version's list of superseded rows hides, and what stands in its place.
pub(crate) struct Census {
    /// By file: how many rows are hidden.
    hidden: Vec<u64>,
    /// By file: the keys of hidden rows.
    stale: Vec<HashSet<String>>,
    /// Keys in the list that have a row which counts.
    current: HashSet<String>,
}

impl Census {
    /// How many rows of a file later ones replace.
    pub(crate) fn hidden(&self, file: usize) -> u64 {
        self.hidden.get(file).copied().unwrap_or(0)
    }

    /// The entries that hide nothing once the chosen files have lost their hidden rows.
    pub(crate) fn settled(&self, base: &Snapshot, chosen: &[DataFile]) -> Vec<(String, i64)> {
        let files = base.manifest.files.iter().zip(&self.stale);
        let left: Vec<&HashSet<String>> = files
            .filter(|(file, _)| !chosen.iter().any(|c| c.name == file.name))
            .map(|(_, stale)| stale)
            .collect();
        let settled =
            |key: &str| self.current.contains(key) && !left.iter().any(|stale| stale.contains(key));
        let entries = base.superseded.iter().filter(|(key, _)| settled(key));
        entries.map(|(key, from)| (key.to_owned(), from)).collect()
    }
}

impl Lake {
    /// Key and sequence of every row of files, with the file's place among them.
    async fn key_rows(
        &self,
        manifest: &Manifest,
        identity: &Identity,
        files: &[DataFile],
        mut take: impl FnMut(usize, &str, i64) + Send,
    ) -> Result<(), LakeError> {
        let session = Unwrapped::default();
        let failed = |e| rewritten(&manifest.dataset, e);
        for (at, file) in files.iter().enumerate() {
            let columns = vec![identity.key.clone(), identity.sequence.clone()];
            let mut batches = self.rows(manifest, file, columns, &session).await?;
            while let Some(batch) = batches.try_next().await.map_err(failed)? {
                let taken = identity.rows(&batch, |key, sequence| take(at, key, sequence));
                taken.map_err(|e| failed(e.into()))?;
            }
        }
        Ok(())
    }

    /// Looks at keys and sequences of all files; none when the list is empty.
    pub(crate) async fn census(&self, base: &Snapshot) -> Result<Option<Census>, LakeError> {
        let manifest = &base.manifest;
        let Some(identity) = manifest.identity.as_ref().filter(|_| !base.superseded.is_empty())
        else {
            return Ok(None);
        };
        let files = manifest.files.len();
        let mut census = Census {
            hidden: vec![0; files],
            stale: vec![HashSet::new(); files],
            current: HashSet::new(),
        };
        self.key_rows(manifest, identity, &manifest.files, |file, key, sequence| {
            match base.superseded.from(key) {
                Some(from) if sequence < from => {
                    census.hidden[file] += 1;
                    census.stale[file].insert(key.to_owned());
                }
                Some(_) if !census.current.contains(key) => {
                    census.current.insert(key.to_owned());
                }
                _ => {}
            }
        })
        .await?;
        Ok(Some(census))
    }

    /// The entries without which rows that are published now and rows of `base` would both count.
    ///
    /// `newest` tells what the publication replaces; `late` are files of it with rows below the
    /// sequence up to which entries may be missing.
    pub(crate) async fn replaced(
        &self,
        base: &Snapshot,
        newest: Option<&Newest>,
        late: Option<(&[DataFile], i64)>,
    ) -> Result<Superseded, LakeError> {
        let manifest = &base.manifest;
        let Some(identity) = &manifest.identity else { return Ok(Superseded::default()) };
        if manifest.files.is_empty() || (newest.is_none() && late.is_none()) {
            return Ok(Superseded::default());
        }
        let mut below: HashMap<String, i64> = HashMap::new();
        if let Some((files, settled_below)) = late {
            self.key_rows(manifest, identity, files, |_, key, sequence| {
                if sequence < settled_below {
                    let known = below.entry(key.to_owned()).or_insert(sequence);
                    *known = sequence.max(*known);
                }
            })
            .await?;
        }
        let mut found: HashMap<String, i64> = HashMap::new();
        self.key_rows(manifest, identity, &manifest.files, |_, key, sequence| {
            let ours = newest.and_then(|newest| newest(key)).max(below.get(key).copied());
            if let Some(ours) = ours.filter(|ours| *ours != sequence) {
                let from = found.entry(key.to_owned()).or_insert(ours);
                *from = sequence.max(*from);
            }
        })
        .await?;
        Ok(Superseded::new(found))
    }
}
