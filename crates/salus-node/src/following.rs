//! How the pulls of a site's FHIR sources go, for whoever looks after them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use salus_ingest::fhir::pull::{PullReport, SourceName, Told};
use salus_model::Timestamp;

/// A source that a node keeps up with, as far as this process has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// Its address, as configured.
    pub url: String,
    /// How the site learns of changes there.
    pub told: Told,
    /// Seconds between two pulls.
    pub every_seconds: u32,
    /// The last pull that came to its end.
    pub last: Option<Pulled>,
    /// What went wrong since then.
    pub trouble: Option<PullTrouble>,
}

/// A pull that came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulled {
    /// When it did.
    pub at: Timestamp,
    /// Resources accepted.
    pub accepted: u64,
    /// Resources deleted.
    pub deleted: u64,
    /// Resources quarantined.
    pub quarantined: u64,
}

/// Why a pull did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullTrouble {
    /// When.
    pub at: Timestamp,
    /// In a sentence.
    pub said: String,
    /// How many pulls failed one after the other.
    pub times: u32,
    /// Whether the source is not pulled any more.
    pub is_final: bool,
}

/// The sources that a node keeps up with; a clone is the same list.
#[derive(Debug, Clone, Default)]
pub struct Following(Arc<Mutex<BTreeMap<SourceName, Followed>>>);

impl Following {
    /// Every source, by name.
    #[must_use]
    pub fn all(&self) -> BTreeMap<SourceName, Followed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn begin(&self, name: SourceName, followed: Followed) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, followed);
    }

    fn change(&self, name: &SourceName, change: impl FnOnce(&mut Followed)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(followed) = all.get_mut(name) {
            change(followed);
        }
    }

    pub(crate) fn pulled(&self, report: &PullReport, at: Timestamp) {
        let PullReport { accepted, deleted, quarantined, .. } = *report;
        self.change(&report.source, |followed| {
            followed.last = Some(Pulled { at, accepted, deleted, quarantined });
            followed.trouble = None;
        });
    }

    pub(crate) fn failed(&self, name: &SourceName, said: String, at: Timestamp, is_final: bool) {
        self.change(name, |followed| {
            let before = followed.trouble.as_ref().map_or(0, |trouble| trouble.times);
            let times = before.saturating_add(1);
            followed.trouble = Some(PullTrouble { at, said, times, is_final });
        });
    }
}

#[cfg(test)]
mod tests;
