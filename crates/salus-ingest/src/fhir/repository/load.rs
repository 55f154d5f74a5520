//! What is in files and in the journal when the repository opens.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use salus_fhir::search::index as index_of;
use salus_fhir::shipped::views;
use salus_fhir::{ResourceId, ResourceKey};
use salus_model::{Clock, DatasetId, DatasetVersion, Timestamp};
use salus_spine::{Authority, Care, KeyRelease};
use salus_store::{DatasetSpec, EncryptionSettings, Lake};
use serde_json::Value as Json;

use super::Tails;
use super::error::RepositoryError;
use super::history::{self, FHIR_HISTORY, HistoryBuilder};
use super::record::{Change, Method, Record};
use super::scan::{Sight, Wanted, own_release, scan};
use super::state::{Content, Origin, Slot, State};
use super::tail::{Rows, Tail, push_view};
use crate::fhir::resources::{FHIR_DATASET, ResourceBuilder, resources_spec};
use crate::fhir::table::{SEQUENCE, TableBuilder, spec};

/// Which version of the resources' dataset is in the index, and how to read another.
pub(super) struct Taken {
    pub(super) resources: DatasetVersion,
    /// Whether rows of that version were compared with the journal's: an import and a write of
    /// the same id may have come without knowing of each other.
    pub(super) compared: bool,
}

/// The newest version and sequence of every key that the history knows.
pub(super) type NewestWritten = BTreeMap<ResourceKey, (u64, i64)>;

/// Who reads the lake for the index.
pub(super) struct Reader<'r> {
    pub(super) lake: &'r Arc<Lake>,
    pub(super) authority: &'r Authority,
    pub(super) clock: &'r dyn Clock,
}

impl Reader<'_> {
    pub(super) fn release(
        &self,
        dataset: &DatasetId,
        columns: &[&str],
    ) -> Result<KeyRelease<Care>, RepositoryError> {
        own_release(self.lake.holder(), self.authority, self.clock, &[(dataset, columns)])
    }
}

/// Makes the datasets that are not there; up to which journal position each one's files go.
pub(super) async fn make_datasets(
    lake: &Lake,
    encryption: EncryptionSettings,
) -> Result<BTreeMap<DatasetId, u64>, RepositoryError> {
    let mut specs: Vec<DatasetSpec> = vec![resources_spec(encryption)?, history::spec(encryption)?];
    for view in views() {
        specs.push(spec(view, encryption)?);
    }
    let mut through = BTreeMap::new();
    for spec in specs {
        let dataset = spec.dataset.clone();
        let snapshot = lake.open_or_create(spec).await?;
        through.insert(dataset, snapshot.manifest().journal_through);
    }
    Ok(through)
}

pub(super) fn tails(through: &BTreeMap<DatasetId, u64>) -> Result<Tails, RepositoryError> {
    let tail = |dataset: DatasetId, rows| {
        let after = through.get(&dataset).copied().unwrap_or(0);
        (dataset, Arc::new(Tail::new(rows, after)))
    };
    let mut all = Vec::new();
    for view in views() {
        let (dataset, tail) = tail(DatasetId::new(view.name)?, Rows::View(TableBuilder::new(view)));
        all.push((dataset, view, tail));
    }
    Ok(Tails {
        resources: tail(DatasetId::new(FHIR_DATASET)?, Rows::Resources(ResourceBuilder::new())),
        history: tail(DatasetId::new(FHIR_HISTORY)?, Rows::History(HistoryBuilder::new())),
        views: all,
    })
}

/// Reads what is in files into the index.
pub(super) async fn index(
    reader: &Reader<'_>,
    state: &mut State,
) -> Result<Taken, RepositoryError> {
    let newest = newest_written(reader, state).await?;
    let mut found = Vec::new();
    let resources = read_resources(reader, &newest, Wanted::All, &mut |slot, _| {
        found.push(slot);
    })
    .await?;
    for slot in found {
        state.put(slot);
    }
    Ok(Taken { resources, compared: false })
}

/// The newest version of every key that the history knows; removed ones go into the state.
async fn newest_written(
    reader: &Reader<'_>,
    state: &mut State,
) -> Result<NewestWritten, RepositoryError> {
    let dataset = DatasetId::new(FHIR_HISTORY)?;
    let columns = ["id", "patient_id", "version", "method", SEQUENCE];
    let release = reader.release(&dataset, &columns)?;
    let mut newest = NewestWritten::new();
    let mut removed: BTreeMap<ResourceKey, (u64, i64, Option<String>)> = BTreeMap::new();
    let session = reader.lake.open(release).await?;
    let done = session
        .compute(async |tables| {
            let table = tables.get(&dataset).ok_or(RepositoryError::NotCovered)?;
            let sight = Sight::of(table, &columns)?;
            scan(table, &sight, Wanted::All, |batch| {
                let rows = HistoryRows::of(batch)?;
                for at in 0..batch.num_rows() {
                    let (key, version, sequence, method) = rows.row(at)?;
                    if method == Method::Delete {
                        let patient = rows.patient(at).map(str::to_owned);
                        let known = removed.entry(key.clone()).or_insert((0, i64::MIN, None));
                        if known.1 < sequence {
                            *known = (version, sequence, patient);
                        }
                    }
                    let known = newest.entry(key).or_insert((0, i64::MIN));
                    if known.1 < sequence {
                        *known = (version, sequence);
                    }
                }
                Ok(())
            })
            .await
        })
        .await;
    // The index stays inside this process; what is enclosed here is that it was built.
    drop(done.transpose()?);
    for (key, (version, sequence, patient)) in removed {
        let last_updated = moment(sequence)?;
        let patient = patient.map(Arc::from);
        let (origin, content) = (Origin::Written, Content::Deleted);
        state.put(Slot { key, version, sequence, last_updated, patient, origin, content });
    }
    Ok(newest)
}

pub(super) fn moment(micros: i64) -> Result<Timestamp, RepositoryError> {
    Timestamp::from_micros(micros).map_err(|_| RepositoryError::Record { what: "its time is none" })
}

/// Reads current resources, each with its text; the version of the dataset.
pub(super) async fn read_resources(
    reader: &Reader<'_>,
    written: &NewestWritten,
    wanted: Wanted,
    take: &mut (dyn FnMut(Slot, &str) + Send),
) -> Result<DatasetVersion, RepositoryError> {
    let dataset = DatasetId::new(FHIR_DATASET)?;
    let version = reader.lake.snapshot(&dataset, None).await?.manifest().version;
    let columns = ["id", "patient_id", "resource", SEQUENCE];
    let session = reader.lake.open(reader.release(&dataset, &columns)?).await?;
    let done = session
        .compute(async |tables| {
            let table = tables.get(&dataset).ok_or(RepositoryError::NotCovered)?;
            let sight = Sight::of(table, &columns)?;
            scan(table, &sight, wanted, |batch| loaded(batch, written, take)).await
        })
        .await;
    drop(done.transpose()?);
    Ok(version)
}

fn text<'b>(
    batch: &'b RecordBatch,
    name: &str,
) -> Result<&'b arrow::array::StringArray, RepositoryError> {
    batch
        .column_by_name(name)
        .and_then(|column| column.as_string_opt::<i32>())
        .ok_or(RepositoryError::Record { what: "a column is missing" })
}

fn numbers<'b>(
    batch: &'b RecordBatch,
    name: &str,
) -> Result<&'b arrow::array::Int64Array, RepositoryError> {
    batch
        .column_by_name(name)
        .and_then(|column| column.as_primitive_opt::<Int64Type>())
        .ok_or(RepositoryError::Record { what: "a column is missing" })
}

/// `Type/id` as a key.
pub(super) fn parse_key(text: &str) -> Option<ResourceKey> {
    let (resource_type, id) = text.split_once('/')?;
    ResourceKey::new(resource_type, ResourceId::new(id).ok()?)
}

/// The columns of a batch of the history.
pub(super) struct HistoryRows<'b> {
    ids: &'b arrow::array::StringArray,
    patients: &'b arrow::array::StringArray,
    methods: &'b arrow::array::StringArray,
    versions: &'b arrow::array::Int64Array,
    sequences: &'b arrow::array::Int64Array,
    resources: Option<&'b arrow::array::StringArray>,
}

impl<'b> HistoryRows<'b> {
    pub(super) fn of(batch: &'b RecordBatch) -> Result<Self, RepositoryError> {
        Ok(Self {
            ids: text(batch, "id")?,
            patients: text(batch, "patient_id")?,
            methods: text(batch, "method")?,
            versions: numbers(batch, "version")?,
            sequences: numbers(batch, SEQUENCE)?,
            resources: text(batch, "resource").ok(),
        })
    }

    pub(super) fn row(
        &self,
        at: usize,
    ) -> Result<(ResourceKey, u64, i64, Method), RepositoryError> {
        let wrong = RepositoryError::Record { what: "a row of the history does not parse" };
        let key = parse_key(self.ids.value(at));
        let method = Method::parse(self.methods.value(at));
        let version = u64::try_from(self.versions.value(at)).ok();
        match (key, version, method) {
            (Some(key), Some(version), Some(method)) => {
                Ok((key, version, self.sequences.value(at), method))
            }
            _ => Err(wrong),
        }
    }

    pub(super) fn patient(&self, at: usize) -> Option<&'b str> {
        self.patients.is_valid(at).then(|| self.patients.value(at))
    }

    pub(super) fn resource(&self, at: usize) -> Option<&'b str> {
        self.resources.filter(|texts| texts.is_valid(at)).map(|texts| texts.value(at))
    }
}

/// The rows of a batch of the resources' dataset: key, sequence, patient and text.
pub(super) fn resource_rows(
    batch: &RecordBatch,
) -> Result<impl Iterator<Item = (&str, i64, Option<&str>, &str)>, RepositoryError> {
    let (ids, texts) = (text(batch, "id")?, text(batch, "resource")?);
    let (patients, sequences) = (text(batch, "patient_id")?, numbers(batch, SEQUENCE)?);
    Ok((0..batch.num_rows()).map(move |at| {
        let patient = patients.is_valid(at).then(|| patients.value(at));
        (ids.value(at), sequences.value(at), patient, texts.value(at))
    }))
}

fn loaded(
    batch: &RecordBatch,
    written: &NewestWritten,
    take: &mut (dyn FnMut(Slot, &str) + Send),
) -> Result<(), RepositoryError> {
    for (id, sequence, patient, text) in resource_rows(batch)? {
        let (Some(key), Ok(resource)) = (parse_key(id), serde_json::from_str::<Json>(text)) else {
            return Err(RepositoryError::Record { what: "a resource does not parse" });
        };
        let meta = Meta::of(&resource, sequence);
        let (origin, version) = match (written.get(&key), meta.version) {
            (Some((known, newest)), own) if sequence <= *newest => {
                (Origin::Written, own.unwrap_or(*known))
            }
            // A file came later than a version that was written here under the same id.
            (Some((known, _)), _) => (Origin::Imported, known.saturating_add(1)),
            (None, own) => (Origin::Imported, own.unwrap_or(1)),
        };
        let resource = shown(resource, &key, version, &meta);
        let index = index_of(&resource)
            .ok()
            .flatten()
            .ok_or(RepositoryError::Record { what: "a resource cannot be indexed" })?;
        let slot = Slot {
            key,
            version,
            sequence,
            last_updated: meta.last_updated,
            patient: patient.map(Arc::from),
            origin,
            content: Content::Stored(Arc::new(index)),
        };
        take(slot, text);
    }
    Ok(())
}

/// What a stored resource says of its version.
pub(super) struct Meta {
    pub(super) version: Option<u64>,
    pub(super) last_updated: Timestamp,
    has_time: bool,
}

impl Meta {
    pub(super) fn of(resource: &Json, sequence: i64) -> Self {
        let meta = |name: &str| resource.get("meta")?.get(name)?.as_str();
        let version = meta("versionId").and_then(|v| v.parse().ok()).filter(|v| *v > 0);
        let written: Option<Timestamp> = meta("lastUpdated").and_then(|t| t.parse().ok());
        let imported = || Timestamp::from_micros(sequence).unwrap_or(Timestamp::EPOCH);
        let (last_updated, has_time) = (written.unwrap_or_else(imported), written.is_some());
        Self { version, last_updated, has_time }
    }
}

/// The resource as the server shows it, also when a file named no version, or another.
pub(super) fn shown(mut resource: Json, key: &ResourceKey, version: u64, meta: &Meta) -> Json {
    if meta.version != Some(version) || !meta.has_time {
        salus_fhir::stamp(&mut resource, key.id(), version, meta.last_updated);
    }
    resource
}

/// Takes a record of the journal in.
pub(super) fn replay(
    state: &mut State,
    tails: &Tails,
    position: u64,
    bytes: &[u8],
) -> Result<(), RepositoryError> {
    let record = Record::parse(bytes)?;
    let prepared: Result<Vec<Prepared>, _> = record.changes.iter().map(Prepared::of).collect();
    take_in(state, tails, (position, &record), &prepared?);
    Ok(())
}

/// A change with what is computed from it.
pub(super) struct Prepared {
    pub(super) slot: Slot,
    /// Rows by view, in the order of [`views`]; only of views of the type.
    pub(super) rows: Vec<(usize, Vec<Vec<salus_fhir::view::Value>>)>,
}

impl Prepared {
    fn of(change: &Change) -> Result<Self, RepositoryError> {
        let resource = match &change.resource {
            Some(text) => Some(serde_json::from_str(text.get())?),
            None => None,
        };
        let refused = |_| RepositoryError::Record { what: "a view refuses a stored resource" };
        Self::from_parts(change, resource.as_ref())?.map_err(refused)
    }

    /// None of it when a view refuses the resource, with the view and its reason.
    pub(super) fn from_parts(
        change: &Change,
        resource: Option<&Json>,
    ) -> Result<Result<Self, (String, String)>, RepositoryError> {
        let key = change.key()?;
        let mut rows = Vec::new();
        let content = match resource {
            None => Content::Deleted,
            Some(resource) => {
                for (at, view) in views().iter().enumerate() {
                    if view.view.resource() != key.resource_type() {
                        continue;
                    }
                    match view.view.rows(resource) {
                        Ok(found) => rows.push((at, found)),
                        Err(e) => return Ok(Err((view.name.to_owned(), e.to_string()))),
                    }
                }
                match index_of(resource) {
                    Ok(Some(index)) => Content::Stored(Arc::new(index)),
                    Ok(None) => {
                        return Err(RepositoryError::Record { what: "a resource has no id" });
                    }
                    Err(e) => return Ok(Err(("search".to_owned(), e.to_string()))),
                }
            }
        };
        let slot = Slot {
            key,
            version: change.version,
            sequence: change.sequence,
            last_updated: change.last_updated()?,
            patient: change.patient.as_deref().map(Arc::from),
            origin: Origin::Written,
            content,
        };
        Ok(Ok(Self { slot, rows }))
    }
}

/// Makes an acknowledged record visible: to reads, to searches and to SQL.
pub(super) fn take_in(
    state: &mut State,
    tails: &Tails,
    (position, record): (u64, &Record),
    prepared: &[Prepared],
) {
    state.position = state.position.max(position);
    for (change, Prepared { slot, rows }) in record.changes.iter().zip(prepared) {
        let author = (record.staff.as_str(), record.role.as_str());
        tails.history.1.push(position, |to| {
            if let Rows::History(builder) = to {
                builder.push(change, author);
            }
            1
        });
        if change.method == Method::Import {
            // Only the history did not have it.
            continue;
        }
        let name = slot.key.to_string();
        let replaces = change.version > 1;
        for (at, found) in rows {
            if let Some((_, _, tail)) = tails.views.get(*at) {
                tail.push(position, |to| push_view(to, found, change.sequence));
            }
        }
        if replaces {
            for (_, view, tail) in &tails.views {
                if view.view.resource() == slot.key.resource_type() {
                    tail.supersede(position, slot.key.id().to_string(), change.sequence);
                }
            }
            tails.resources.1.supersede(position, name.clone(), change.sequence);
        }
        let kind = slot.key.resource_type();
        let text = change.resource.as_ref().map(|r| r.get());
        if let Some(text) = text {
            tails.resources.1.push(position, |to| {
                if let Rows::Resources(builder) = to {
                    builder.push_text(
                        (&name, kind),
                        slot.patient.as_deref(),
                        text,
                        change.sequence,
                    );
                }
                1
            });
        }
        let Some(place) = state.put(slot.clone()) else { continue };
        match text {
            Some(text) => state.texts.pin(place, (change.sequence, Arc::from(text)), position),
            None => state.texts.forget(place),
        }
    }
}

/// Key and sequence of every current resource in files and journal, or of those in the files of
/// an earlier version.
pub(super) async fn keys_and_sequences(
    reader: &Reader<'_>,
    version: Option<DatasetVersion>,
) -> Result<Vec<(ResourceKey, i64)>, RepositoryError> {
    let dataset = DatasetId::new(FHIR_DATASET)?;
    let columns = ["id", SEQUENCE];
    let release = reader.release(&dataset, &columns)?;
    let versions = version.map(|version| (dataset.clone(), version)).into_iter().collect();
    let session = reader.lake.open_at(release, &versions).await?;
    let mut found = Vec::new();
    let done = session
        .compute(async |tables| {
            let table = tables.get(&dataset).ok_or(RepositoryError::NotCovered)?;
            scan(table, &Sight::of(table, &columns)?, Wanted::All, |batch| {
                let (ids, sequences) = (text(batch, "id")?, numbers(batch, SEQUENCE)?);
                let rows = ids.iter().flatten().zip(sequences.values());
                found.extend(rows.filter_map(|(id, s)| Some((parse_key(id)?, *s))));
                Ok::<_, RepositoryError>(())
            })
            .await
        })
        .await;
    drop(done.transpose()?);
    Ok(found)
}
