//! What a key release lets a caller read.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use salus_fhir::ResourceKey;
use salus_fhir::search::{Include, IndexValue, SearchQuery};
use salus_model::{DatasetId, Timestamp};
use salus_spine::{Care, KeyRelease, Unreleased};
use salus_store::TableSource;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::RepositoryError;
use super::history::FHIR_HISTORY;
use super::load::{HistoryRows, Meta, moment, resource_rows, shown};
use super::record::Method;
use super::rules::Rules;
use super::scan::{Sight, Wanted, scan};
use super::state::{Content, Neighbours, Origin, Slot, State};
use super::{Repository, Stored};
use crate::fhir::resources::FHIR_DATASET;
use crate::fhir::table::SEQUENCE;

/// More resources are not included beside the matches of one page.
const MOST_INCLUDED: usize = 5000;

/// Where a page ended; the next one begins behind it.
///
/// # Privacy
/// The numbers count all resources, so they go to nobody in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    /// How many there were up to the page's end.
    pub offset: u64,
    /// The last one's place.
    pub last: u64,
}

/// Whose history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryOf {
    /// Of one resource.
    Instance(ResourceKey),
    /// Of all resources of a type.
    Type(&'static str),
    /// Of all resources.
    System,
}

/// What a caller wants to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// The current version.
    Read(ResourceKey),
    /// One version.
    VersionRead(ResourceKey, u64),
    /// A page of what a search finds.
    Search {
        /// The search.
        query: Box<SearchQuery>,
        /// Where the page before ended.
        after: Option<After>,
        /// The most matches on the page; with none, only their number is told.
        count: usize,
    },
    /// Those of some resources that meet conditions.
    Among {
        /// The conditions.
        query: Box<SearchQuery>,
        /// Which resources.
        keys: Vec<ResourceKey>,
    },
    /// A page of versions, the newest first.
    History {
        /// Whose.
        of: HistoryOf,
        /// Only versions from this moment on.
        since: Option<Timestamp>,
        /// Where the page before ended.
        after: Option<After>,
        /// The most versions on the page.
        count: usize,
    },
    /// A page of all current resources, in the order in which they first came.
    Export {
        /// Only of these types.
        types: Option<BTreeSet<&'static str>>,
        /// Only what was written from this moment on, and what was removed since.
        since: Option<Timestamp>,
        /// Where the page before ended.
        after: Option<After>,
        /// The most resources on the page.
        count: usize,
    },
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The resource.
    Found(Stored),
    /// It was removed.
    Deleted {
        /// The version that removed it.
        version: u64,
        /// When.
        last_updated: Timestamp,
    },
    /// There is none, or none that the caller may see.
    Absent,
    /// What a search found.
    Matches(SearchPage),
    /// Versions.
    History(HistoryPage),
    /// Current resources.
    Export(ExportPage),
}

impl Answer {
    /// How many resources it shows, for the record of the access.
    #[must_use]
    pub fn resources(&self) -> u64 {
        let shown = match self {
            Self::Found(_) => 1,
            Self::Deleted { .. } | Self::Absent => 0,
            Self::Matches(page) => page.matches.len() + page.included.len(),
            Self::History(page) => page.versions.len(),
            Self::Export(page) => page.resources.len() + page.deleted.len(),
        };
        shown as u64
    }
}

/// A page of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPage {
    /// How many match, on all pages, of those that the caller may see.
    pub total: usize,
    /// The matches on this page.
    pub matches: Vec<Stored>,
    /// What `_include` and `_revinclude` add.
    pub included: Vec<Stored>,
    /// Whether all of what they ask for is there; a page takes so many and no more.
    pub included_all: bool,
    /// Where it ended, when there are more.
    pub next: Option<After>,
}

/// One version in a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastVersion {
    /// Type and id.
    pub key: ResourceKey,
    /// The version.
    pub version: u64,
    /// When it was written.
    pub last_updated: Timestamp,
    /// How.
    pub method: Method,
    /// Whether it was the first version of its resource.
    pub first: bool,
    /// The resource; none when this version removed it.
    pub text: Option<Arc<str>>,
}

/// A page of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPage {
    /// How many versions there are on all pages.
    pub total: usize,
    /// The versions on this page.
    pub versions: Vec<PastVersion>,
    /// Where it ended, when there are more.
    pub next: Option<After>,
}

/// A page of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportPage {
    /// Current resources.
    pub resources: Vec<Stored>,
    /// What was removed, and when; only with a moment since when.
    pub deleted: Vec<(ResourceKey, Timestamp)>,
    /// Where it ended, when there are more.
    pub next: Option<After>,
}

/// A current resource that was chosen, with its text when it is in memory.
struct Pick {
    place: u32,
    slot: Slot,
    text: Option<Arc<str>>,
}

enum Chosen {
    Ready(Answer),
    One(Pick),
    Version(ResourceKey, u64),
    Page {
        page: SearchPage,
        matches: Vec<Pick>,
        included: Vec<Pick>,
    },
    History {
        of: HistoryOf,
        since: Option<Timestamp>,
        after: Option<After>,
        count: usize,
        imported: Vec<Pick>,
    },
    Export {
        page: ExportPage,
        resources: Vec<Pick>,
    },
}

impl Chosen {
    fn picks(&self) -> Vec<&Pick> {
        match self {
            Self::Ready(_) | Self::Version(..) => Vec::new(),
            Self::One(pick) => vec![pick],
            Self::Page { matches, included, .. } => matches.iter().chain(included).collect(),
            // Which of these are shown is known when the history has been read.
            Self::History { .. } => Vec::new(),
            Self::Export { resources, .. } => resources.iter().collect(),
        }
    }

    const fn needs_history(&self) -> bool {
        matches!(self, Self::Version(..) | Self::History { .. })
    }
}

/// Texts that were read from the lake, by `Type/id`, each with its sequence.
type Fetched = HashMap<String, (i64, Arc<str>)>;

fn pick(state: &State, place: u32) -> Option<Pick> {
    let slot = state.slot(place)?.clone();
    let text = state.texts.of(place, slot.sequence);
    Some(Pick { place, slot, text })
}

/// A page of places behind `after`, and where it ends when there are more.
fn page(
    found: &[u32],
    sorted: bool,
    after: Option<After>,
    count: usize,
) -> (&[u32], Option<After>) {
    let start = after.map_or(0, |after| {
        let place = u32::try_from(after.last).unwrap_or(u32::MAX);
        match found.iter().position(|p| *p == place) {
            Some(at) => at + 1,
            // It matches no more. Without an order of its own the next are still known.
            None if !sorted => found.partition_point(|p| *p <= place),
            None => usize::try_from(after.offset).unwrap_or(usize::MAX).min(found.len()),
        }
    });
    let rest = found.get(start..).unwrap_or_default();
    let shown = rest.get(..count.min(rest.len())).unwrap_or_default();
    let next = shown
        .last()
        .filter(|_| shown.len() < rest.len())
        .map(|last| After { offset: (start + shown.len()) as u64, last: u64::from(*last) });
    (shown, next)
}

impl Repository {
    /// Reads what a key release covers: one answer for each ask.
    ///
    /// The release has to cover columns `id`, `resource_type`, `patient_id`, `resource` and
    /// `sequence_` of [`FHIR_DATASET`], and for earlier versions all of [`FHIR_HISTORY`].
    ///
    /// # Privacy
    /// A resource that the row rules hide is absent, and is not counted.
    ///
    /// # Errors
    /// When a key is revoked, or the lake cannot be read.
    pub async fn answer(
        &self,
        release: KeyRelease<Care>,
        asks: Vec<Ask>,
    ) -> Result<Unreleased<Vec<Answer>, Care>, RepositoryError> {
        self.keys_usable().await?;
        // A search may look at every resource of a type.
        let chosen: Vec<Chosen> = tokio::task::block_in_place(|| {
            let rules = Rules::of(&release)?;
            let state = self.0.state.read();
            Ok::<_, RepositoryError>(
                asks.into_iter().map(|ask| choose(&state, &rules, ask)).collect(),
            )
        })?;
        let cold: HashSet<String> = chosen
            .iter()
            .flat_map(Chosen::picks)
            .filter(|pick| pick.text.is_none())
            .map(|pick| pick.slot.key.to_string())
            .collect();
        if cold.is_empty() && !chosen.iter().any(Chosen::needs_history) {
            let none = Fetched::new();
            let answers: Result<Vec<Answer>, _> =
                chosen.into_iter().map(|chosen| ready(chosen, &none)).collect();
            return Ok(release.enclose(answers?));
        }
        let resources = DatasetId::new(FHIR_DATASET)?;
        let history = DatasetId::new(FHIR_HISTORY)?;
        let session = self.0.lake.open(release).await?;
        let answered = session.compute(async |tables| {
            let table = tables.get(&resources).ok_or(RepositoryError::NotCovered)?;
            let fetched = fetch(table, cold).await?;
            self.keep(&chosen, &fetched);
            let mut answers = Vec::with_capacity(chosen.len());
            for chosen in chosen {
                answers.push(if chosen.needs_history() {
                    let past = tables.get(&history).ok_or(RepositoryError::NotCovered)?;
                    history_answer(chosen, past, table).await?
                } else {
                    ready(chosen, &fetched)?
                });
            }
            Ok(answers)
        });
        answered.await.transpose()
    }

    /// As [`Repository::answer`] for one ask, with how many resources it shows.
    ///
    /// # Errors
    /// As [`Repository::answer`].
    pub async fn answer_counted(
        &self,
        release: KeyRelease<Care>,
        ask: Ask,
    ) -> Result<Unreleased<(Answer, u64), Care>, RepositoryError> {
        let answers = self.answer(release, vec![ask]).await?;
        Ok(answers.compute(|mut answers| {
            let answer = answers.pop().unwrap_or(Answer::Absent);
            let count = answer.resources();
            (answer, count)
        }))
    }

    /// Puts fetched texts into the cache.
    fn keep(&self, chosen: &[Chosen], fetched: &Fetched) {
        let mut state = self.0.state.write();
        for pick in chosen.iter().flat_map(Chosen::picks) {
            let found = fetched.get(&pick.slot.key.to_string());
            if let Some((sequence, text)) = found.filter(|(s, _)| *s == pick.slot.sequence) {
                state.texts.keep(pick.place, *sequence, Arc::clone(text));
            }
        }
    }
}

fn choose(state: &State, rules: &Rules, ask: Ask) -> Chosen {
    match ask {
        Ask::Read(key) => read(state, rules, &key),
        Ask::VersionRead(key, version) => {
            let visible = |slot: &&Slot| rules.admit(&slot.key, slot.patient.as_deref());
            match state.find(&key).filter(visible) {
                Some(slot) if slot.version == version => read(state, rules, &key),
                // Earlier versions may have been about a patient whom the caller may see.
                _ => Chosen::Version(key, version),
            }
        }
        Ask::Search { query, after, count } => search(state, rules, &query, after, count),
        Ask::Among { query, keys } => among(state, rules, &query, &keys),
        Ask::History { of, since, after, count } => {
            let imported = imported(state, rules, &of);
            Chosen::History { of, since, after, count, imported }
        }
        Ask::Export { types, since, after, count } => {
            export(state, rules, (types.as_ref(), since), after, count)
        }
    }
}

fn read(state: &State, rules: &Rules, key: &ResourceKey) -> Chosen {
    let found = state.place(key).and_then(|place| pick(state, place));
    match found.filter(|pick| rules.admit(key, pick.slot.patient.as_deref())) {
        None => Chosen::Ready(Answer::Absent),
        Some(pick) => match pick.slot.content {
            Content::Stored(_) => Chosen::One(pick),
            Content::Deleted => Chosen::Ready(Answer::Deleted {
                version: pick.slot.version,
                last_updated: pick.slot.last_updated,
            }),
        },
    }
}

fn search(
    state: &State,
    rules: &Rules,
    query: &SearchQuery,
    after: Option<After>,
    count: usize,
) -> Chosen {
    let found = state.search(query, rules);
    let (shown, next) = page(&found, !query.sort.is_empty(), after, count);
    let (included, included_all) = included(state, rules, query, shown);
    let picks = |places: &[u32]| places.iter().filter_map(|p| pick(state, *p)).collect();
    let (matches, included): (Vec<Pick>, Vec<Pick>) = (picks(shown), picks(&included));
    let (no_matches, none_included) = (Vec::new(), Vec::new());
    let page = SearchPage {
        total: found.len(),
        matches: no_matches,
        included: none_included,
        included_all,
        next,
    };
    Chosen::Page { page, matches, included }
}

fn among(state: &State, rules: &Rules, query: &SearchQuery, keys: &[ResourceKey]) -> Chosen {
    let admitted = |slot: &Slot| rules.admit(&slot.key, slot.patient.as_deref());
    let others = Neighbours { state, admitted: &admitted, newer: &|_| None };
    let meets = |key: &&ResourceKey| {
        let slot = state.find(key).filter(|slot| admitted(slot));
        slot.and_then(Slot::index).is_some_and(|index| query.matches(index, &others))
    };
    let places = keys.iter().filter(meets).filter_map(|key| state.place(key));
    let matches: Vec<Pick> = places.filter_map(|place| pick(state, place)).collect();
    let page = SearchPage {
        total: matches.len(),
        matches: Vec::new(),
        included: Vec::new(),
        included_all: true,
        next: None,
    };
    Chosen::Page { page, matches, included: Vec::new() }
}

/// What a page's includes add, and whether that is all of it.
fn included(
    state: &State,
    rules: &Rules,
    query: &SearchQuery,
    matches: &[u32],
) -> (Vec<u32>, bool) {
    let mut known: HashSet<u32> = matches.iter().copied().collect();
    let mut added = Vec::new();
    let mut from: Vec<u32> = matches.to_vec();
    let mut iterating = false;
    while !from.is_empty() {
        let applies = |include: &&Include| include.iterate || !iterating;
        let mut found = Vec::new();
        for place in &from {
            for include in query.include.iter().filter(applies) {
                found.extend(referred(state, *place, include));
            }
            for include in query.revinclude.iter().filter(applies) {
                found.extend(referring(state, *place, include));
            }
        }
        let visible = |place: &u32| {
            let slot = state.slot(*place).filter(|slot| slot.index().is_some());
            slot.is_some_and(|slot| rules.admit(&slot.key, slot.patient.as_deref()))
        };
        from = found.into_iter().filter(visible).filter(|place| known.insert(*place)).collect();
        added.extend(&from);
        if added.len() > MOST_INCLUDED {
            added.truncate(MOST_INCLUDED);
            return (added, false);
        }
        iterating = true;
    }
    (added, true)
}

fn referred(state: &State, place: u32, include: &Include) -> Vec<u32> {
    let Some(index) = state.index(place).filter(|i| i.resource_type == include.source) else {
        return Vec::new();
    };
    let target = |value: &IndexValue| match value {
        IndexValue::Reference { target: Some((name, id)), .. }
            if include.target.is_none_or(|wanted| wanted == *name) =>
        {
            let id = salus_fhir::ResourceId::new(id.as_str()).ok()?;
            state.place(&ResourceKey::new(name, id)?)
        }
        _ => None,
    };
    index.of(include.parameter).iter().filter_map(target).collect()
}

fn referring(state: &State, place: u32, include: &Include) -> Vec<u32> {
    let Some(slot) = state.slot(place) else { return Vec::new() };
    let (name, id) = (slot.key.resource_type(), slot.key.id().as_str());
    if include.target.is_some_and(|wanted| wanted != name) {
        return Vec::new();
    }
    let refers = |place: &u32| {
        state.index(*place).is_some_and(|index| {
            index.of(include.parameter).iter().any(|value| {
                matches!(value, IndexValue::Reference { target: Some((n, i)), .. }
                    if *n == name && i == id)
            })
        })
    };
    let posted = state.referring(include.source, include.parameter, id);
    posted.into_iter().filter(refers).collect()
}

/// Current versions that came from files, which the history does not have.
fn imported(state: &State, rules: &Rules, of: &HistoryOf) -> Vec<Pick> {
    let wanted = |slot: &Slot| {
        slot.origin == Origin::Imported
            && slot.index().is_some()
            && rules.admit(&slot.key, slot.patient.as_deref())
    };
    let places: Vec<u32> = match of {
        HistoryOf::Instance(key) => state.place(key).into_iter().collect(),
        HistoryOf::Type(name) => {
            let of_type = |(_, slot): &(u32, &Slot)| slot.key.resource_type() == *name;
            state.slots_from(0).filter(of_type).map(|(place, _)| place).collect()
        }
        HistoryOf::System => state.slots_from(0).map(|(place, _)| place).collect(),
    };
    let wanted = |place: &u32| state.slot(*place).is_some_and(wanted);
    places.into_iter().filter(wanted).filter_map(|place| pick(state, place)).collect()
}

fn export(
    state: &State,
    rules: &Rules,
    (types, since): (Option<&BTreeSet<&'static str>>, Option<Timestamp>),
    after: Option<After>,
    count: usize,
) -> Chosen {
    let from = after.map_or(0, |after| u32::try_from(after.last).map_or(u32::MAX, |l| l + 1));
    let wanted = |(_, slot): &(u32, &Slot)| {
        types.is_none_or(|types| types.contains(slot.key.resource_type()))
            && since.is_none_or(|since| slot.last_updated >= since)
            && (slot.index().is_some() || since.is_some())
            && rules.admit(&slot.key, slot.patient.as_deref())
    };
    let mut found = state.slots_from(from).filter(wanted);
    let (mut resources, mut deleted, mut last) = (Vec::new(), Vec::new(), None);
    for (place, slot) in found.by_ref().take(count) {
        last = Some(place);
        match slot.content {
            Content::Stored(_) => resources.extend(pick(state, place)),
            Content::Deleted => deleted.push((slot.key.clone(), slot.last_updated)),
        }
    }
    let more = found.next().is_some();
    let offset = after.map_or(0, |after| after.offset) + (resources.len() + deleted.len()) as u64;
    let next = last.filter(|_| more).map(|last| After { offset, last: u64::from(last) });
    Chosen::Export { page: ExportPage { resources: Vec::new(), deleted, next }, resources }
}

/// Reads the texts of keys.
pub(super) async fn fetch(
    table: &TableSource,
    keys: HashSet<String>,
) -> Result<Fetched, RepositoryError> {
    let mut fetched = Fetched::new();
    if keys.is_empty() {
        return Ok(fetched);
    }
    let sight = Sight::of(table, &["id", "patient_id", "resource", SEQUENCE])?;
    scan(table, &sight, Wanted::Keys(keys), |batch| {
        for (id, sequence, _, text) in resource_rows(batch)? {
            fetched.insert(id.to_owned(), (sequence, Arc::from(text)));
        }
        Ok(())
    })
    .await?;
    Ok(fetched)
}

fn ready(chosen: Chosen, fetched: &Fetched) -> Result<Answer, RepositoryError> {
    let all = |picks: Vec<Pick>| -> Result<Vec<Stored>, RepositoryError> {
        // One that was removed while it was being read is gone.
        picks.into_iter().filter_map(|pick| stored(pick, fetched).transpose()).collect()
    };
    Ok(match chosen {
        Chosen::Ready(answer) => answer,
        Chosen::One(pick) => stored(pick, fetched)?.map_or(Answer::Absent, Answer::Found),
        Chosen::Page { page, matches, included } => {
            let (matches, included) = (all(matches)?, all(included)?);
            Answer::Matches(SearchPage { matches, included, ..page })
        }
        Chosen::Export { page, resources } => {
            Answer::Export(ExportPage { resources: all(resources)?, ..page })
        }
        Chosen::Version(..) | Chosen::History { .. } => Answer::Absent,
    })
}

fn stored(pick: Pick, fetched: &Fetched) -> Result<Option<Stored>, RepositoryError> {
    let Slot { key, version, sequence, last_updated, origin, .. } = pick.slot;
    let text = match pick.text {
        Some(text) => text,
        None => match fetched.get(&key.to_string()) {
            None => return Ok(None),
            Some((found, text)) if *found == sequence => Arc::clone(text),
            // A newer version came meanwhile.
            Some((found, text)) => {
                let resource = parsed(text)?;
                let meta = Meta::of(&resource, *found);
                let (version, last_updated) = (meta.version.unwrap_or(version), meta.last_updated);
                return Ok(Some(Stored { key, version, last_updated, text: Arc::clone(text) }));
            }
        },
    };
    let text = match origin {
        Origin::Written => text,
        Origin::Imported => stamped(&text, &key, version, sequence)?,
    };
    Ok(Some(Stored { key, version, last_updated, text }))
}

fn parsed(text: &str) -> Result<Json, RepositoryError> {
    let unreadable = |_| RepositoryError::Record { what: "a resource does not parse" };
    serde_json::from_str(text).map_err(unreadable)
}

/// An imported resource's text as the server shows it.
pub(super) fn stamped(
    text: &str,
    key: &ResourceKey,
    version: u64,
    sequence: i64,
) -> Result<Arc<str>, RepositoryError> {
    let resource = parsed(text)?;
    let meta = Meta::of(&resource, sequence);
    Ok(shown(resource, key, version, &meta).to_string().into())
}

/// What is known of a version before its text is read.
struct Known {
    key: ResourceKey,
    version: u64,
    sequence: i64,
    method: Method,
    /// For one that is not in the history itself.
    imported: Option<Pick>,
}

async fn history_answer(
    chosen: Chosen,
    past: &TableSource,
    current: &TableSource,
) -> Result<Answer, RepositoryError> {
    match chosen {
        Chosen::Version(key, version) => {
            let wanted = Wanted::Keys([key.to_string()].into());
            let known = known_versions(past, wanted).await?;
            let found: Vec<Known> = known.into_iter().filter(|k| k.version == version).collect();
            let mut versions = past_versions(found, past, current).await?;
            Ok(match versions.pop() {
                None => Answer::Absent,
                Some(PastVersion { text: None, version, last_updated, .. }) => {
                    Answer::Deleted { version, last_updated }
                }
                Some(PastVersion { text: Some(text), key, version, last_updated, .. }) => {
                    Answer::Found(Stored { key, version, last_updated, text })
                }
            })
        }
        Chosen::History { of, since, after, count, imported } => {
            let wanted = match &of {
                HistoryOf::Instance(key) => Wanted::Keys([key.to_string()].into()),
                HistoryOf::Type(name) => Wanted::Type((*name).to_owned()),
                HistoryOf::System => Wanted::All,
            };
            let mut known = known_versions(past, wanted).await?;
            known.extend(imported.into_iter().map(|pick| Known {
                key: pick.slot.key.clone(),
                version: pick.slot.version,
                sequence: pick.slot.sequence,
                method: Method::Import,
                imported: Some(pick),
            }));
            let since = since.map_or(i64::MIN, Timestamp::as_micros);
            known.retain(|k| k.sequence >= since);
            known.sort_by(|a, b| b.sequence.cmp(&a.sequence).then_with(|| a.key.cmp(&b.key)));
            let total = known.len();
            let skipped =
                after.map_or(0, |after| known.partition_point(|k| k.sequence as u64 >= after.last));
            let rest = known.split_off(skipped.min(total));
            let more = rest.len() > count;
            let shown: Vec<Known> = rest.into_iter().take(count).collect();
            let end = shown.last().map(|k| k.sequence as u64);
            let next = end
                .filter(|_| more)
                .map(|last| After { offset: (skipped + shown.len()) as u64, last });
            let versions = past_versions(shown, past, current).await?;
            Ok(Answer::History(HistoryPage { total, versions, next }))
        }
        other => ready(other, &Fetched::new()),
    }
}

async fn known_versions(past: &TableSource, wanted: Wanted) -> Result<Vec<Known>, RepositoryError> {
    let sight = Sight::of(past, &["id", "patient_id", "version", "method", SEQUENCE])?;
    let mut known = Vec::new();
    scan(past, &sight, wanted, |batch| {
        let rows = HistoryRows::of(batch)?;
        for at in 0..batch.num_rows() {
            let (key, version, sequence, method) = rows.row(at)?;
            known.push(Known { key, version, sequence, method, imported: None });
        }
        Ok(())
    })
    .await?;
    Ok(known)
}

/// The chosen versions with their texts.
async fn past_versions(
    chosen: Vec<Known>,
    past: &TableSource,
    current: &TableSource,
) -> Result<Vec<PastVersion>, RepositoryError> {
    let in_history = chosen.iter().filter(|k| k.imported.is_none() && k.method != Method::Delete);
    let sequences: HashSet<i64> = in_history.map(|k| k.sequence).collect();
    let mut texts: HashMap<(String, i64), Arc<str>> = HashMap::new();
    if !sequences.is_empty() {
        let sight =
            Sight::of(past, &["id", "patient_id", "version", "method", "resource", SEQUENCE])?;
        scan(past, &sight, Wanted::Sequences(sequences), |batch| {
            let rows = HistoryRows::of(batch)?;
            for at in 0..batch.num_rows() {
                let (key, _, sequence, _) = rows.row(at)?;
                if let Some(text) = rows.resource(at) {
                    texts.insert((key.to_string(), sequence), Arc::from(text));
                }
            }
            Ok(())
        })
        .await?;
    }
    let cold = chosen.iter().filter_map(|k| k.imported.as_ref()).filter(|p| p.text.is_none());
    let fetched = fetch(current, cold.map(|p| p.slot.key.to_string()).collect()).await?;
    let mut versions = Vec::with_capacity(chosen.len());
    for Known { key, version, sequence, method, imported } in chosen {
        let text = match imported {
            Some(pick) => stored(pick, &fetched)?.map(|stored| stored.text),
            None => texts.remove(&(key.to_string(), sequence)),
        };
        let last_updated = match (&text, method) {
            // A file may have told when it was written.
            (Some(text), Method::Import) => Meta::of(&parsed(text)?, sequence).last_updated,
            _ => moment(sequence)?,
        };
        let first = version == 1;
        versions.push(PastVersion { key, version, last_updated, method, first, text });
    }
    Ok(versions)
}
