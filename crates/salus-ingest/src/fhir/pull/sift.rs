//! Decides what of an export is new.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use salus_model::Timestamp;
use serde_json::Value as Json;

use super::error::PullError;
use super::seen::{Entry, Key, Looking, SeenIndex, Tag};
use crate::fhir::{Deletion, Intake, Verdict};

/// What a source ought to have.
pub(crate) struct Expected {
    /// The resource type, where all are of one.
    pub(crate) resource_type: Option<String>,
    /// How many the manifest promises.
    pub(crate) count: Option<u64>,
    /// Lines and items of it that were taken in earlier.
    pub(crate) lines_before: u64,
    pub(crate) items_before: u64,
    /// Set when the source has come to its end, rather than to the end of a piece.
    pub(crate) ended: Arc<AtomicBool>,
    /// Items now.
    pub(crate) items: u64,
}

/// In which order a source tells of the versions of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Any; times decide.
    Unordered,
    /// As a history does: what comes first in a pull is how it stands.
    NewestFirst,
}

/// Takes what is new of what one pull of one source brings.
pub(crate) struct Sift {
    seen: Looking,
    source: Tag,
    run: Tag,
    order: Order,
    expected: Vec<Expected>,
    failed: Option<PullError>,
}

/// What stands in place of a version when a resource is deleted.
const DELETED: &[u8] = b"deleted";
const UNKNOWN: i64 = i64::MIN;

impl Sift {
    pub(crate) fn new(
        index: Arc<SeenIndex>,
        source: &str,
        run: &str,
        order: Order,
        expected: Vec<Expected>,
    ) -> Self {
        let source = index.tag("salus pull source v1", &[source.as_bytes()]);
        let run = index.tag("salus pull run v1", &[run.as_bytes()]);
        Self { seen: Looking::new(index), source, run, order, expected, failed: None }
    }

    /// Keeps what was taken in; and how many items each source had.
    pub(crate) fn keep(self, lake: &[u8]) -> Result<Vec<u64>, PullError> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        self.seen.keep(lake)?;
        Ok(self.expected.iter().map(|expected| expected.items).collect())
    }

    fn known(&mut self, key: &Key) -> Option<Entry> {
        self.seen.entry(key).unwrap_or_else(|error| {
            // What is taken twice replaces itself; the pull fails before it counts this as done.
            self.failed.get_or_insert(error);
            None
        })
    }

    fn resource_key(&self, kind: &str, id: &str) -> Key {
        self.seen.index().key("salus pulled resource v1", &[kind.as_bytes(), id.as_bytes()])
    }

    fn tag(&self, parts: &[&[u8]]) -> Tag {
        self.seen.index().tag("salus pulled version v1", parts)
    }

    /// Whether a newer version came earlier in this pull.
    fn is_decided(&self, known: &Entry) -> bool {
        self.order == Order::NewestFirst && known.run == self.run
    }

    fn count(&mut self, source: usize) {
        if let Some(expected) = self.expected.get_mut(source) {
            expected.items += 1;
        }
    }

    fn decide(&mut self, kind: &str, id: &str, resource: &Json) -> Verdict {
        let key = self.resource_key(kind, id);
        let meta = |name: &str| {
            resource.get("meta").and_then(|meta| meta.get(name)).and_then(Json::as_str)
        };
        let (version, updated) = (meta("versionId"), meta("lastUpdated"));
        let content = self.tag(&[b"content", resource.to_string().as_bytes()]);
        let is_versioned = version.is_some() || updated.is_some();
        let version = match is_versioned {
            true => {
                let parts = [version.unwrap_or_default(), updated.unwrap_or_default()];
                self.tag(&[b"version", parts[0].as_bytes(), parts[1].as_bytes()])
            }
            false => content,
        };
        let updated = updated.and_then(|at| at.parse::<Timestamp>().ok());
        let updated = updated.map_or(UNKNOWN, Timestamp::as_micros);
        let (source, run) = (self.source, self.run);
        let new = Entry { updated, version, content, source, run };
        match self.known(&key) {
            Some(known) if known.source != source => {
                let reason = "a resource of this type and id came from another source; ids of \
                              different servers must not meet in one lake";
                return refuse(format!("{kind}.id"), reason);
            }
            Some(known) if self.is_decided(&known) => return Verdict::Known,
            Some(known) if known.version == version => {
                if known.run == run && known.content != content {
                    let reason = "the same version came before with other content";
                    return refuse(format!("{kind}.meta.versionId"), reason);
                }
                return Verdict::Known;
            }
            // An older version, which comes late or again.
            Some(known) if updated != UNKNOWN && updated < known.updated => return Verdict::Known,
            _ => {}
        }
        self.seen.note(key, new);
        Verdict::Take
    }
}

fn refuse(element: String, reason: &str) -> Verdict {
    Verdict::Refuse { element, reason: reason.to_owned() }
}

impl Intake for Sift {
    fn resource(&mut self, source: usize, resource: &Json) -> Verdict {
        self.count(source);
        let text = |name: &str| resource.get(name).and_then(Json::as_str).unwrap_or_default();
        let (kind, id) = (text("resourceType"), text("id"));
        let wanted = self.expected.get(source).and_then(|e| e.resource_type.as_deref());
        match wanted {
            Some(wanted) if wanted != kind => {
                let reason = format!("the manifest says that the file is of {wanted}");
                Verdict::Refuse { element: "resourceType".to_owned(), reason }
            }
            _ => self.decide(kind, id, resource),
        }
    }

    fn deletion(&mut self, source: usize, deletion: &Deletion) -> Verdict {
        self.count(source);
        let kind = deletion.key.resource_type();
        let key = self.resource_key(kind, deletion.key.id().as_str());
        let version = self.tag(&[DELETED]);
        let at = deletion.at.map(Timestamp::as_micros);
        let known = self.known(&key);
        let updated = match &known {
            Some(known) if known.source != self.source => {
                let reason = "a deletion of a resource that came from another source";
                return refuse(format!("{kind}.id"), reason);
            }
            Some(known) if self.is_decided(known) => return Verdict::Known,
            Some(known) if known.version == version => return Verdict::Known,
            // It was made again after that.
            Some(known) if at.is_some_and(|at| at < known.updated) => return Verdict::Known,
            Some(known) => at.unwrap_or(known.updated),
            None => at.unwrap_or(UNKNOWN),
        };
        let (source, run) = (self.source, self.run);
        self.seen.note(key, Entry { updated, version, content: version, source, run });
        Verdict::Take
    }

    fn refused(&mut self, raw: &str) -> Verdict {
        let key = self.seen.index().key("salus pulled and refused v1", &[raw.as_bytes()]);
        let tag = self.tag(&[b"refused"]);
        if self.known(&key).is_some() {
            return Verdict::Known;
        }
        let (source, run) = (self.source, self.run);
        self.seen.note(key, Entry { updated: UNKNOWN, version: tag, content: tag, source, run });
        Verdict::Take
    }

    fn malformed(&mut self, source: usize) {
        self.count(source);
    }

    fn lines_before(&self, source: usize) -> u64 {
        self.expected.get(source).map_or(0, |expected| expected.lines_before)
    }

    fn end(&mut self, source: usize) -> Option<(String, String)> {
        let expected = self.expected.get(source)?;
        let wanted = expected.count.filter(|_| expected.ended.load(Ordering::Acquire))?;
        let found = expected.items_before + expected.items;
        let reason = format!("the manifest promises {wanted}, the file has {found}");
        (found != wanted).then(|| ("manifest.output.count".to_owned(), reason))
    }
}
