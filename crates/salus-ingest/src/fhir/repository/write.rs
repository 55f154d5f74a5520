//! Writes: decided one after the other, on the disk together, visible once they are there.

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::Bytes;
use salus_crypto::OsEntropy;
use salus_fhir::bundle::{
    BundlePlan, BundleRequest, Lookup, LookupAnswer, Operation, PlanError, Status,
};
use salus_fhir::search::SearchQuery;
use salus_fhir::{Issue, IssueCode, ResourceKey, stamp};
use salus_model::{DatasetId, Timestamp};
use salus_spine::{Care, KeyRelease, Unreleased};
use salus_store::journal::Reserved;
use serde_json::Value as Json;
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::error::RepositoryError;
use super::load::{Prepared, moment, take_in};
use super::read::{Answer, Ask, fetch, stamped};
use super::record::{Change, Method, Record};
use super::rules::Rules;
use super::scan::own_release;
use super::state::{Content, Neighbours, Origin, Slot, State};
use super::{Author, Repository, Stored};
use crate::fhir::resources::{FHIR_DATASET, patient_of};
use crate::fhir::table::SEQUENCE;

/// Matches on the page of a search inside a Bundle.
const BUNDLE_PAGE: usize = 1000;

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Carried {
    /// Nothing was stored.
    Refused {
        /// How to answer.
        status: Status,
        /// Why.
        issues: Vec<Issue>,
    },
    /// All of it was done.
    Done {
        /// The plan.
        plan: BundlePlan,
        /// What became of its steps, in the order of the steps.
        steps: Vec<Done>,
    },
}

/// What became of one step.
#[derive(Debug, Clone, PartialEq)]
pub enum Done {
    /// A version was written.
    Stored {
        /// [`Status::Created`] or [`Status::Ok`].
        status: Status,
        /// The version.
        stored: Stored,
    },
    /// The resource is no longer there; with the version that removed it, when this step did.
    Removed(Option<u64>),
    /// Something was read, or the match of a conditional create is there already.
    Answered(Answer),
}

impl Carried {
    /// How many resources it shows or stored, for the record of the access.
    #[must_use]
    pub fn resources(&self) -> u64 {
        let Self::Done { steps, .. } = self else { return 0 };
        let one = |done: &Done| match done {
            Done::Stored { .. } | Done::Removed(Some(_)) => 1,
            Done::Removed(None) => 0,
            Done::Answered(answer) => answer.resources(),
        };
        steps.iter().map(one).sum()
    }
}

struct InFlight {
    position: u64,
    record: Record,
    prepared: Vec<Prepared>,
}

/// What has been decided and is not known to be on the disk.
pub(super) struct Pending {
    /// The journal position that the next record gets.
    next: u64,
    /// The sequence of the newest change that was decided.
    newest: i64,
    /// Grows with every failure: what was decided before it does not count any more.
    era: u64,
    queue: VecDeque<InFlight>,
    overlay: HashMap<ResourceKey, (u64, Slot)>,
}

impl Pending {
    pub(super) fn new(next: u64, newest: i64) -> Self {
        Self { next, newest, era: 0, queue: VecDeque::new(), overlay: HashMap::new() }
    }

    fn push(&mut self, record: Record, prepared: Vec<Prepared>) -> (u64, u64) {
        let position = self.next;
        self.next += 1;
        for Prepared { slot, .. } in &prepared {
            self.newest = self.newest.max(slot.sequence);
            self.overlay.insert(slot.key.clone(), (position, slot.clone()));
        }
        self.queue.push_back(InFlight { position, record, prepared });
        (position, self.era)
    }
}

/// A record that can be written, with what the answer needs.
struct Decided {
    record: Record,
    prepared: Vec<Prepared>,
    plan: BundlePlan,
    steps: Vec<Step>,
}

enum Step {
    Done(Done),
    Ask(Ask),
}

enum Decision {
    Go(Box<Decided>),
    Refused {
        status: Status,
        issues: Vec<Issue>,
    },
    /// Versions from files that are to be kept in the history before they are replaced.
    NeedsTexts(HashSet<String>),
}

type Refusal = (Status, Issue);

fn refusal(status: Status, code: IssueCode, entry: usize, message: impl Into<String>) -> Refusal {
    (status, Issue::error(code, format!("Bundle.entry[{entry}]"), message))
}

/// What is there once everything that was decided is on the disk.
struct Latest<'l> {
    state: &'l State,
    pending: &'l Pending,
}

impl<'l> Latest<'l> {
    fn find(&self, key: &ResourceKey) -> Option<&'l Slot> {
        self.pending.overlay.get(key).map(|(_, slot)| slot).or_else(|| self.state.find(key))
    }

    fn look_up(&self, lookup: &Lookup, rules: &Rules, now: Timestamp) -> LookupAnswer {
        let query = match SearchQuery::parse(lookup.resource_type, &lookup.query, now) {
            Ok(query) if query.criteria.is_empty() => {
                return LookupAnswer::Refused("a condition names a search parameter".to_owned());
            }
            Ok(query) => query,
            Err(e) => return LookupAnswer::Refused(e.to_string()),
        };
        let newer = |key: &ResourceKey| self.pending.overlay.get(key).map(|(_, slot)| slot);
        let mut found: HashSet<&ResourceKey> = HashSet::new();
        for place in self.state.search_over(&query, rules, &newer) {
            found.extend(self.state.slot(place).map(|slot| &slot.key));
        }
        let admitted = |slot: &Slot| rules.admit(&slot.key, slot.patient.as_deref());
        let others = Neighbours { state: self.state, admitted: &admitted, newer: &newer };
        for (_, slot) in self.pending.overlay.values() {
            if admitted(slot) && slot.index().is_some_and(|index| query.matches(index, &others)) {
                found.insert(&slot.key);
            }
        }
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (None, _) => LookupAnswer::None,
            (Some(key), None) => LookupAnswer::One(key.id().clone()),
            (Some(_), Some(_)) => LookupAnswer::Several,
        }
    }
}

/// Decides the steps of a plan.
struct Decider<'d> {
    latest: Latest<'d>,
    rules: &'d Rules,
    author: &'d Author,
    now: Timestamp,
    newest: i64,
    changes: Vec<Change>,
    prepared: Vec<Prepared>,
    wanted_texts: HashSet<String>,
}

impl Decider<'_> {
    fn refused_for_patient(&self, key: &ResourceKey, entry: usize) -> Refusal {
        let message = format!(
            "role '{}' may not write this {}: its row rules do not cover the patient",
            self.author.role,
            key.resource_type()
        );
        refusal(Status::Forbidden, IssueCode::Forbidden, entry, message)
    }

    fn step(
        &mut self,
        entry: usize,
        operation: &Operation,
    ) -> Result<Result<Step, (Status, Vec<Issue>)>, RepositoryError> {
        let one = |(status, issue): Refusal| (status, vec![issue]);
        Ok(match operation {
            Operation::Create { key, resource } => {
                self.put(entry, key, (resource, None), Method::Create)?.map_err(one)
            }
            Operation::Update { key, resource, if_match } => {
                self.put(entry, key, (resource, *if_match), Method::Update)?.map_err(one)
            }
            Operation::Delete { key: None, .. } => Ok(Step::Done(Done::Removed(None))),
            Operation::Delete { key: Some(key), if_match } => {
                self.remove(entry, key, *if_match)?.map_err(one)
            }
            Operation::Exists { key } | Operation::Read { key } => {
                Ok(Step::Ask(Ask::Read(key.clone())))
            }
            Operation::ReadVersion { key, version } => {
                Ok(Step::Ask(Ask::VersionRead(key.clone(), *version)))
            }
            Operation::Search { resource_type, query } => {
                self.search(entry, resource_type, query).map_err(one)
            }
            Operation::Refused { status, issues } => Err((*status, issues.clone())),
        })
    }

    fn search(&self, entry: usize, resource_type: &str, query: &str) -> Result<Step, Refusal> {
        match SearchQuery::parse(resource_type, query, self.now) {
            Ok(query) => {
                let count = query.count.unwrap_or(BUNDLE_PAGE).min(BUNDLE_PAGE);
                Ok(Step::Ask(Ask::Search { query: Box::new(query), after: None, count }))
            }
            Err(e) => Err(refusal(Status::BadRequest, IssueCode::Invalid, entry, e.to_string())),
        }
    }

    /// The version that is there, after what it takes to write over it.
    fn present(
        &self,
        entry: usize,
        key: &ResourceKey,
        if_match: Option<u64>,
    ) -> Result<Option<Slot>, Refusal> {
        let present = self.latest.find(key);
        if let Some(slot) = present
            && !self.rules.admit(key, slot.patient.as_deref())
        {
            return Err(self.refused_for_patient(key, entry));
        }
        let current = present.filter(|slot| slot.index().is_some()).map(|slot| slot.version);
        match if_match {
            Some(wanted) if current != Some(wanted) => {
                let message =
                    "the resource has another version now; read it again and redo the change";
                Err(refusal(Status::PreconditionFailed, IssueCode::Conflict, entry, message))
            }
            _ => Ok(present.cloned()),
        }
    }

    fn next_sequence(&mut self) -> i64 {
        self.newest = self.newest.saturating_add(1).max(self.now.as_micros());
        self.newest
    }

    /// Keeps a version that came from a file, before another takes its place.
    fn keep_imported(&mut self, present: Option<&Slot>) -> Result<(), RepositoryError> {
        let Some(slot) = present.filter(|s| s.origin == Origin::Imported && s.index().is_some())
        else {
            return Ok(());
        };
        let place = self.latest.state.place(&slot.key);
        let text = place.and_then(|place| self.latest.state.texts.of(place, slot.sequence));
        let Some(text) = text else {
            self.wanted_texts.insert(slot.key.to_string());
            return Ok(());
        };
        let text = stamped(&text, &slot.key, slot.version, slot.sequence)?;
        let change = Change {
            method: Method::Import,
            resource_type: slot.key.resource_type().to_owned(),
            id: slot.key.id().clone(),
            version: slot.version,
            sequence: slot.sequence,
            patient: slot.patient.as_deref().map(str::to_owned),
            resource: Some(RawValue::from_string(text.to_string())?),
        };
        // Nothing of it becomes visible but its place in the history.
        let prepared = Prepared { slot: slot.clone(), rows: Vec::new() };
        self.changes.push(change);
        self.prepared.push(prepared);
        Ok(())
    }

    fn put(
        &mut self,
        entry: usize,
        key: &ResourceKey,
        (resource, if_match): (&Json, Option<u64>),
        method: Method,
    ) -> Result<Result<Step, Refusal>, RepositoryError> {
        let present = match self.present(entry, key, if_match) {
            Ok(present) => present,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let patient = patient_of(key.resource_type(), &key.to_string(), resource);
        if !self.rules.admit(key, patient.as_deref()) {
            return Ok(Err(self.refused_for_patient(key, entry)));
        }
        self.keep_imported(present.as_ref())?;
        let there = present.as_ref().is_some_and(|slot| slot.index().is_some());
        let status = if there { Status::Ok } else { Status::Created };
        let version = present.map_or(1, |slot| slot.version.saturating_add(1));
        let sequence = self.next_sequence();
        let last_updated = moment(sequence)?;
        let mut resource = resource.clone();
        stamp(&mut resource, key.id(), version, last_updated);
        let text = resource.to_string();
        let change = Change {
            method,
            resource_type: key.resource_type().to_owned(),
            id: key.id().clone(),
            version,
            sequence,
            patient,
            resource: Some(RawValue::from_string(text.clone())?),
        };
        match Prepared::from_parts(&change, Some(&resource))? {
            Ok(prepared) => self.prepared.push(prepared),
            Err((view, reason)) => {
                let message = format!("the resource does not fit the table '{view}': {reason}");
                let refused =
                    refusal(Status::Unprocessable, IssueCode::BusinessRule, entry, message);
                return Ok(Err(refused));
            }
        }
        self.changes.push(change);
        let stored = Stored { key: key.clone(), version, last_updated, text: text.into() };
        Ok(Ok(Step::Done(Done::Stored { status, stored })))
    }

    fn remove(
        &mut self,
        entry: usize,
        key: &ResourceKey,
        if_match: Option<u64>,
    ) -> Result<Result<Step, Refusal>, RepositoryError> {
        // One that is hidden is as good as none, and removing none is no error.
        let visible =
            |slot: &&Slot| slot.index().is_some() && self.rules.admit(key, slot.patient.as_deref());
        let Some(present) = self.latest.find(key).filter(visible).cloned() else {
            return Ok(match if_match {
                None => Ok(Step::Done(Done::Removed(None))),
                Some(_) => {
                    let message = "there is no such version to remove";
                    Err(refusal(Status::PreconditionFailed, IssueCode::Conflict, entry, message))
                }
            });
        };
        if let Err(refusal) = self.present(entry, key, if_match) {
            return Ok(Err(refusal));
        }
        self.keep_imported(Some(&present))?;
        let (version, sequence) = (present.version.saturating_add(1), self.next_sequence());
        let change = Change {
            method: Method::Delete,
            resource_type: key.resource_type().to_owned(),
            id: key.id().clone(),
            version,
            sequence,
            patient: present.patient.as_deref().map(str::to_owned),
            resource: None,
        };
        let content = Content::Deleted;
        let last_updated = moment(sequence)?;
        let origin = Origin::Written;
        let slot = Slot { version, sequence, last_updated, origin, content, ..present };
        self.prepared.push(Prepared { slot, rows: Vec::new() });
        self.changes.push(change);
        Ok(Ok(Step::Done(Done::Removed(Some(version)))))
    }
}

impl Repository {
    /// Carries out a Bundle: all of it, or nothing; answered once it is on the disk.
    ///
    /// A batch is carried out as a whole too, so its entries are handed in one by one. What
    /// conditions match and what the entries read is limited by the release, as for
    /// [`Repository::answer`]; a resource is written only when the row rules admit its patient,
    /// before and after.
    ///
    /// # Errors
    /// When the journal or the lake fail: then it is not known to be stored, and not acknowledged.
    pub async fn carry_out(
        &self,
        release: KeyRelease<Care>,
        author: &Author,
        request: &BundleRequest,
    ) -> Result<Unreleased<Carried, Care>, RepositoryError> {
        self.keys_usable().await?;
        let (plan, steps) = loop {
            let deciding = self.0.deciding.lock().await;
            let decision = tokio::task::block_in_place(|| {
                self.decide(&Rules::of(&release)?, author, request.clone())
            })?;
            match decision {
                Decision::Refused { status, issues } => {
                    return Ok(release.enclose(Carried::Refused { status, issues }));
                }
                Decision::NeedsTexts(keys) => {
                    drop(deciding);
                    self.warm(keys).await?;
                }
                Decision::Go(decided) => {
                    let Decided { record, prepared, plan, steps } = *decided;
                    if !record.changes.is_empty() {
                        let bytes = Bytes::from(serde_json::to_vec(&record)?);
                        let room = self.0.journal.reserve(std::slice::from_ref(&bytes)).await?;
                        let visible = self.write(room, bytes, record, prepared)?;
                        drop(deciding);
                        visible
                            .await
                            .unwrap_or(Err(salus_store::journal::JournalError::Closed.into()))?;
                    }
                    break (plan, steps);
                }
            }
        };
        let asks = steps.iter().filter_map(|step| match step {
            Step::Ask(ask) => Some(ask.clone()),
            Step::Done(_) => None,
        });
        let answered = self.answer(release, asks.collect()).await?;
        Ok(answered.compute(|answers| {
            let mut answers = answers.into_iter();
            let done = |step| match step {
                Step::Done(done) => done,
                Step::Ask(_) => Done::Answered(answers.next().unwrap_or(Answer::Absent)),
            };
            Carried::Done { plan, steps: steps.into_iter().map(done).collect() }
        }))
    }

    fn decide(
        &self,
        rules: &Rules,
        author: &Author,
        request: BundleRequest,
    ) -> Result<Decision, RepositoryError> {
        let state = self.0.state.read();
        let pending = self.0.pending.lock();
        let latest = Latest { state: &state, pending: &pending };
        let now = self.0.clock.now();
        let lookups = request.lookups().iter();
        let answers: Vec<LookupAnswer> =
            lookups.map(|lookup| latest.look_up(lookup, rules, now)).collect();
        let plan = match request.plan(&answers, &mut OsEntropy) {
            Ok(plan) => plan,
            Err(PlanError::Refused { status, issues }) => {
                return Ok(Decision::Refused { status, issues });
            }
            Err(PlanError::Entropy(e)) => return Err(e.into()),
            Err(PlanError::Answers { .. }) => {
                return Err(RepositoryError::Record { what: "lookups were not answered" });
            }
        };
        let newest = pending.newest.max(state.newest);
        let mut decider = Decider {
            latest,
            rules,
            author,
            now,
            newest,
            changes: Vec::new(),
            prepared: Vec::new(),
            wanted_texts: HashSet::new(),
        };
        let mut steps = Vec::with_capacity(plan.steps().len());
        for step in plan.steps() {
            match decider.step(step.entry, &step.operation)? {
                Ok(step) => steps.push(step),
                Err((status, issues)) => return Ok(Decision::Refused { status, issues }),
            }
        }
        let Decider { changes, prepared, wanted_texts, .. } = decider;
        if !wanted_texts.is_empty() {
            return Ok(Decision::NeedsTexts(wanted_texts));
        }
        let (staff, role) = (author.staff.clone(), author.role.clone());
        let record = Record { format: Record::FORMAT, staff, role, changes };
        Ok(Decision::Go(Box::new(Decided { record, prepared, plan, steps })))
    }

    /// Queues a record; what comes back tells when it is on the disk and visible.
    ///
    /// In a task of its own, so that a record that reached the disk becomes visible also when
    /// nobody waits for it any more.
    fn write(
        &self,
        room: Reserved,
        bytes: Bytes,
        record: Record,
        prepared: Vec<Prepared>,
    ) -> Result<oneshot::Receiver<Result<(), RepositoryError>>, RepositoryError> {
        let (on_disk, position, era) = {
            let mut pending = self.0.pending.lock();
            let expected = Some(pending.next);
            let on_disk = self.0.journal.submit(room, vec![bytes], expected)?;
            let (position, era) = pending.push(record, prepared);
            (on_disk, position, era)
        };
        let (tell, told) = oneshot::channel();
        let repository = self.clone();
        tokio::spawn(async move {
            let durable = on_disk.durable().await;
            repository.settle(durable.as_ref().map_or(0, |_| position));
            if durable.is_err() {
                repository.give_up(era);
            }
            // Whoever no longer waits finds it there.
            let _ = tell.send(durable.map(|_| ()).map_err(Into::into));
        });
        Ok(told)
    }

    /// Makes visible what is on the disk, in the order of positions.
    fn settle(&self, position: u64) {
        let mut state = self.0.state.write();
        let mut pending = self.0.pending.lock();
        let through = position.max(self.0.journal.head().position);
        let mut changed = Vec::new();
        while pending.queue.front().is_some_and(|first| first.position <= through) {
            let Some(InFlight { position, record, prepared }) = pending.queue.pop_front() else {
                break;
            };
            take_in(&mut state, &self.0.tails, (position, &record), &prepared);
            pending.overlay.retain(|_, (of, _)| *of > position);
            let stored = prepared.iter().filter(|p| p.slot.index().is_some());
            changed.extend(stored.map(|p| p.slot.key.clone()));
        }
        self.0.feed.tell(&state, changed);
    }

    /// Forgets what was decided and will not be on the disk.
    fn give_up(&self, era: u64) {
        let mut pending = self.0.pending.lock();
        // Later failures of the same cause find that this was done, and leave newer ones alone.
        if pending.era == era {
            pending.era += 1;
            pending.queue.clear();
            pending.overlay.clear();
            pending.next = self.0.journal.head().position + 1;
        }
    }

    /// Waits until nothing that was decided is under way.
    pub(super) async fn quiet(&self) {
        while !self.0.pending.lock().queue.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    /// Reads texts into the cache.
    async fn warm(&self, keys: HashSet<String>) -> Result<(), RepositoryError> {
        let dataset = DatasetId::new(FHIR_DATASET)?;
        let columns = ["id", "patient_id", "resource", SEQUENCE];
        let (lake, authority, clock) = (&self.0.lake, &self.0.authority, &*self.0.clock);
        let own = own_release(lake.holder(), authority, clock, &[(&dataset, &columns)])?;
        let session = lake.open(own).await?;
        let read = session.compute(async |tables| {
            let table = tables.get(&dataset).ok_or(RepositoryError::NotCovered)?;
            let fetched = fetch(table, keys).await?;
            let mut state = self.0.state.write();
            for (key, (sequence, text)) in fetched {
                let place = super::load::parse_key(&key).and_then(|key| state.place(&key));
                if let Some(place) = place {
                    state.texts.keep(place, sequence, text);
                }
            }
            Ok::<_, RepositoryError>(())
        });
        drop(read.await.transpose()?);
        Ok(())
    }
}
