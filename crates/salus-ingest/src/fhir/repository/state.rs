//! What the repository knows in memory of every resource: its version and what finds it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use salus_fhir::ResourceKey;
use salus_fhir::search::{
    Criterion, IndexValue, Others, ResourceIndex, SearchQuery, SharedValues, Wanted,
};
use salus_model::Timestamp;

use super::rules::Rules;
use super::texts::Texts;

/// What is stored under a key now.
#[derive(Clone)]
pub(super) enum Content {
    /// A resource, by what it is found.
    Stored(Arc<ResourceIndex>),
    /// It was removed.
    Deleted,
}

/// Where earlier versions of a resource are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Each version is in the history.
    Written,
    /// It came from a file, and the history does not have it.
    Imported,
}

/// The newest version of one resource.
#[derive(Clone)]
pub(super) struct Slot {
    pub(super) key: ResourceKey,
    pub(super) version: u64,
    pub(super) sequence: i64,
    pub(super) last_updated: Timestamp,
    pub(super) patient: Option<Arc<str>>,
    pub(super) origin: Origin,
    pub(super) content: Content,
}

impl Slot {
    pub(super) fn index(&self) -> Option<&ResourceIndex> {
        match &self.content {
            Content::Stored(index) => Some(index),
            Content::Deleted => None,
        }
    }
}

/// The current versions, and what finds them.
pub(super) struct State {
    slots: Vec<Slot>,
    by_key: HashMap<ResourceKey, u32>,
    by_type: HashMap<&'static str, Vec<u32>>,
    /// Slots that have, or once had, a reference or token of this hash; a search compares again.
    postings: HashMap<u64, Vec<u32>>,
    shared: SharedValues,
    pub(super) texts: Texts,
    /// The sequence of the newest change.
    pub(super) newest: i64,
    /// Up to which position the journal's records are in here.
    pub(super) position: u64,
}

fn posting(resource_type: &str, parameter: &str, value: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (resource_type, parameter, value).hash(&mut hasher);
    hasher.finish()
}

fn postings_of(index: &ResourceIndex) -> impl Iterator<Item = u64> {
    let one = |parameter: &'static str, value: &IndexValue| match value {
        IndexValue::Token { code: Some(code), .. } => Some((parameter, code.clone())),
        IndexValue::Reference { target: Some((_, id)), .. } => Some((parameter, id.clone())),
        _ => None,
    };
    index
        .iter()
        .flat_map(move |(parameter, values)| values.iter().filter_map(move |v| one(parameter, v)))
        .map(|(parameter, value)| posting(index.resource_type, parameter, &value))
}

/// The other resources, as a search may look at them.
pub(super) struct Neighbours<'a, 's> {
    pub(super) state: &'s State,
    /// Which of them may be looked at.
    pub(super) admitted: &'a dyn Fn(&Slot) -> bool,
    /// The contents of keys that differ from the state. A resource that is only there, and refers
    /// to one, is not seen as referring yet.
    pub(super) newer: &'a dyn Fn(&ResourceKey) -> Option<&'s Slot>,
}

impl<'s> Others<'s> for Neighbours<'_, 's> {
    fn find(&self, resource_type: &str, id: &str) -> Option<&'s ResourceIndex> {
        let key = ResourceKey::new(resource_type, salus_fhir::ResourceId::new(id).ok()?)?;
        let slot = (self.newer)(&key).or_else(|| self.state.find(&key));
        slot.filter(|slot| (self.admitted)(slot)).and_then(Slot::index)
    }

    fn referring(&self, source: &str, parameter: &str, id: &str) -> Vec<&'s ResourceIndex> {
        let places = self.state.referring(source, parameter, id);
        let slots = places.into_iter().filter_map(|place| self.state.slot(place));
        slots
            .map(|slot| (self.newer)(&slot.key).unwrap_or(slot))
            .filter(|slot| (self.admitted)(slot))
            .filter_map(Slot::index)
            .collect()
    }
}

impl State {
    pub(super) fn new(cache_bytes: usize) -> Self {
        Self {
            slots: Vec::new(),
            by_key: HashMap::new(),
            by_type: HashMap::new(),
            postings: HashMap::new(),
            shared: SharedValues::default(),
            texts: Texts::new(cache_bytes),
            newest: 0,
            position: 0,
        }
    }

    pub(super) fn place(&self, key: &ResourceKey) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    pub(super) fn slot(&self, place: u32) -> Option<&Slot> {
        self.slots.get(place as usize)
    }

    pub(super) fn find(&self, key: &ResourceKey) -> Option<&Slot> {
        self.slot(self.place(key)?)
    }

    /// Slots in the order in which their resources first came.
    pub(super) fn slots_from(&self, place: u32) -> impl Iterator<Item = (u32, &Slot)> {
        let from = (place as usize).min(self.slots.len());
        (place..).zip(self.slots.iter().skip(from))
    }

    /// Puts a version in the place of an older one; none when what is there is as new.
    pub(super) fn put(&mut self, mut slot: Slot) -> Option<u32> {
        if let Content::Stored(index) = slot.content {
            let index = Arc::unwrap_or_clone(index).shared(&mut self.shared);
            slot.content = Content::Stored(Arc::new(index));
        }
        self.newest = self.newest.max(slot.sequence);
        let known = self.by_key.get(&slot.key).copied();
        let place = match known {
            Some(place) => {
                let present = self.slots.get_mut(place as usize)?;
                if present.sequence == slot.sequence {
                    // Files had it already; that it was written here, they do not tell.
                    present.origin = slot.origin;
                }
                if present.sequence >= slot.sequence {
                    return None;
                }
                place
            }
            None => {
                let place = u32::try_from(self.slots.len()).ok()?;
                self.by_key.insert(slot.key.clone(), place);
                self.by_type.entry(slot.key.resource_type()).or_default().push(place);
                place
            }
        };
        self.post(place, &slot);
        match known.and_then(|place| self.slots.get_mut(place as usize)) {
            Some(present) => *present = slot,
            None => self.slots.push(slot),
        }
        Some(place)
    }

    fn post(&mut self, place: u32, slot: &Slot) {
        let Some(index) = slot.index() else { return };
        let before: Vec<u64> = self
            .slots
            .get(place as usize)
            .and_then(Slot::index)
            .map(|index| postings_of(index).collect())
            .unwrap_or_default();
        let mut new: Vec<u64> = postings_of(index).filter(|p| !before.contains(p)).collect();
        new.sort_unstable();
        new.dedup();
        for posting in new {
            let places = self.postings.entry(posting).or_default();
            // A value that comes back after a change is posted already.
            if places.last() != Some(&place) && (before.is_empty() || !places.contains(&place)) {
                places.push(place);
            }
        }
    }

    /// The places that can match, by the condition that leaves the fewest.
    fn candidates(&self, query: &SearchQuery) -> Vec<u32> {
        let of_type = self.by_type.get(query.resource_type).map_or(&[][..], Vec::as_slice);
        let narrowed = query
            .criteria
            .iter()
            .filter_map(|criterion| postings_wanted(query.resource_type, criterion))
            .min_by_key(|wanted| self.count(wanted));
        match narrowed {
            Some(wanted) if self.count(&wanted) < of_type.len() => {
                let mut places: Vec<u32> =
                    wanted.iter().filter_map(|p| self.postings.get(p)).flatten().copied().collect();
                places.sort_unstable();
                places.dedup();
                places
            }
            _ => of_type.to_vec(),
        }
    }

    fn count(&self, wanted: &[u64]) -> usize {
        wanted.iter().filter_map(|p| self.postings.get(p)).map(Vec::len).sum()
    }

    /// The visible resources that match, in the order of the query or else of their coming.
    pub(super) fn search(&self, query: &SearchQuery, rules: &Rules) -> Vec<u32> {
        self.search_over(query, rules, &|_| None)
    }

    /// As [`State::search`], where `newer` has the contents of keys that differ from here.
    pub(super) fn search_over<'s>(
        &'s self,
        query: &SearchQuery,
        rules: &Rules,
        newer: &dyn Fn(&ResourceKey) -> Option<&'s Slot>,
    ) -> Vec<u32> {
        let admitted = |slot: &Slot| rules.admit(&slot.key, slot.patient.as_deref());
        let others = Neighbours { state: self, admitted: &admitted, newer };
        let matches = |place: &u32| {
            let slot = self.slot(*place).map(|slot| newer(&slot.key).unwrap_or(slot));
            let index = slot.filter(|slot| admitted(slot)).and_then(Slot::index);
            index.is_some_and(|index| query.matches(index, &others))
        };
        let mut found: Vec<u32> = self.candidates(query).into_iter().filter(matches).collect();
        if !query.sort.is_empty() {
            found.sort_by(|a, b| match (self.index(*a), self.index(*b)) {
                (Some(a), Some(b)) => query.compare(a, b),
                _ => std::cmp::Ordering::Equal,
            });
        }
        found
    }

    pub(super) fn index(&self, place: u32) -> Option<&ResourceIndex> {
        self.slot(place).and_then(Slot::index)
    }

    /// The visible resources of a type, or of all, that refer to one by a parameter.
    pub(super) fn referring(&self, source: &str, parameter: &str, id: &str) -> Vec<u32> {
        self.postings.get(&posting(source, parameter, id)).cloned().unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}

/// The postings of which a match must have one; none when the condition has no postings.
fn postings_wanted(resource_type: &str, criterion: &Criterion) -> Option<Vec<u64>> {
    let Criterion::Has { parameter, modifier, any } = criterion else { return None };
    use salus_fhir::search::Modifier;
    if !matches!(modifier, None | Some(Modifier::Type(_))) {
        return None;
    }
    any.iter()
        .map(|wanted| match wanted {
            Wanted::Token { code: Some(code), .. } => Some(posting(resource_type, parameter, code)),
            Wanted::Reference { id: Some(id), .. } => Some(posting(resource_type, parameter, id)),
            _ => None,
        })
        .collect()
}
