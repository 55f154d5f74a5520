//! Resources' texts in memory: those of the journal's tail, and a bounded cache of others.

use std::collections::HashMap;
use std::sync::Arc;

/// A text with the sequence of its version.
type Kept = (i64, Arc<str>);

/// Texts by slot.
///
/// The cache has two generations: what is used moves to the young one, and when that has half of
/// the bytes, the old one is forgotten.
pub(super) struct Texts {
    /// With the journal position of each.
    pinned: HashMap<u32, (Kept, u64)>,
    young: HashMap<u32, Kept>,
    old: HashMap<u32, Kept>,
    young_bytes: usize,
    most_bytes: usize,
}

impl Texts {
    pub(super) fn new(most_bytes: usize) -> Self {
        let (pinned, young, old) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { pinned, young, old, young_bytes: 0, most_bytes }
    }

    /// Keeps the text of a version that is in no file yet.
    pub(super) fn pin(&mut self, slot: u32, text: Kept, position: u64) {
        self.pinned.insert(slot, (text, position));
        self.young.remove(&slot);
        self.old.remove(&slot);
    }

    /// Lets texts go that are in files now; they may stay in the cache for a while.
    pub(super) fn unpin_through(&mut self, through: u64) {
        let moved = self.pinned.extract_if(|_, (_, position)| *position <= through);
        for (slot, ((sequence, text), _)) in moved.collect::<Vec<_>>() {
            self.keep(slot, sequence, text);
        }
    }

    /// Forgets what is kept of a slot.
    pub(super) fn forget(&mut self, slot: u32) {
        self.pinned.remove(&slot);
        self.young.remove(&slot);
        self.old.remove(&slot);
    }

    pub(super) fn keep(&mut self, slot: u32, sequence: i64, text: Arc<str>) {
        self.young_bytes += text.len();
        self.young.insert(slot, (sequence, text));
        if self.young_bytes > self.most_bytes / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }

    /// The text of a version.
    pub(super) fn of(&self, slot: u32, sequence: i64) -> Option<Arc<str>> {
        let cached = || [&self.young, &self.old].into_iter().find_map(|g| g.get(&slot));
        let found = self.pinned.get(&slot).map(|(kept, _)| kept).or_else(cached);
        found.filter(|(of, _)| *of == sequence).map(|(_, text)| Arc::clone(text))
    }

    /// Bytes of texts that are in no file yet.
    pub(super) fn pinned_bytes(&self) -> usize {
        self.pinned.values().map(|((_, text), _)| text.len()).sum()
    }
}
