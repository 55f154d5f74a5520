//! The repository against an oracle of everything that was acknowledged, at every stage of a
//! version's life: in the journal, moved into files, opened again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type};
use salus_fhir::bundle::{BundleRequest, Status};
use salus_fhir::search::SearchQuery;
use salus_fhir::{ResourceId, ResourceKey};
use salus_ingest::fhir::repository::*;
use salus_ingest::fhir::{FhirFormat, FhirImporter, Repository};
use salus_model::{Class, Classified as _, ColumnPath};
use salus_spine::{RowRule, SubjectSet};
use salus_store::EncryptionSettings;
use salus_store::journal::{LocalMedium, Medium, SegmentFile};
use serde_json::{Value as Json, json};

use crate::site::TestSite;

pub(crate) fn author() -> Author {
    Author { staff: "ann".parse().unwrap(), role: "dietitian".parse().unwrap() }
}

pub(crate) fn key(text: &str) -> ResourceKey {
    let (name, id) = text.split_once('/').unwrap();
    ResourceKey::new(name, ResourceId::new(id).unwrap()).unwrap()
}

pub(crate) fn patient(id: &str, family: &str) -> Json {
    json!({"resourceType": "Patient", "id": id, "name": [{"family": family}]})
}

pub(crate) fn weight(id: &str, patient: &str, value: f64) -> Json {
    json!({
        "resourceType": "Observation", "id": id, "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
        "subject": {"reference": format!("Patient/{patient}")},
        "valueQuantity": {"value": value, "unit": "kg"},
    })
}

pub(crate) fn put(resource: Json) -> Json {
    let url = format!(
        "{}/{}",
        resource["resourceType"].as_str().unwrap(),
        resource["id"].as_str().unwrap()
    );
    json!({"resource": resource, "request": {"method": "PUT", "url": url}})
}

fn remove(key: &str) -> Json {
    json!({"request": {"method": "DELETE", "url": key}})
}

pub(crate) async fn carry(
    site: &TestSite,
    repository: &Repository,
    rules: &[RowRule],
    entries: Vec<Json>,
) -> Result<Carried, RepositoryError> {
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
    let request = BundleRequest::parse(bundle).unwrap();
    let release = site.fhir_release(rules).await;
    let carried = repository.carry_out(release, &author(), &request).await?;
    Ok(site.taken_out(carried))
}

/// What was stored, in the order of the steps; a refusal fails the test.
async fn stored(site: &TestSite, repository: &Repository, entries: Vec<Json>) -> Vec<Stored> {
    match carry(site, repository, &[], entries).await.unwrap() {
        Carried::Refused { issues, .. } => panic!("{issues:?}"),
        Carried::Done { steps, .. } => {
            let version = |done| match done {
                Done::Stored { stored, .. } => Some(stored),
                _ => None,
            };
            steps.into_iter().filter_map(version).collect()
        }
    }
}

async fn refused(
    site: &TestSite,
    repository: &Repository,
    rules: &[RowRule],
    entries: Vec<Json>,
) -> (Status, String) {
    match carry(site, repository, rules, entries).await.unwrap() {
        Carried::Refused { status, issues } => (status, issues[0].diagnostics.clone()),
        done => panic!("carried out: {done:?}"),
    }
}

pub(crate) async fn ask(
    site: &TestSite,
    repository: &Repository,
    rules: &[RowRule],
    ask: Ask,
) -> Answer {
    let release = site.fhir_release(rules).await;
    let answers = repository.answer(release, vec![ask]).await.unwrap();
    site.taken_out(answers).pop().unwrap()
}

async fn search(
    site: &TestSite,
    repository: &Repository,
    rules: &[RowRule],
    query: &str,
) -> SearchPage {
    let (name, query) = query.split_once('?').unwrap();
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let query = Box::new(SearchQuery::parse(name, query, now).unwrap());
    let count = query.count.unwrap_or(100);
    match ask(site, repository, rules, Ask::Search { query, after: None, count }).await {
        Answer::Matches(page) => page,
        other => panic!("{other:?}"),
    }
}

fn found(page: &SearchPage) -> Vec<String> {
    page.matches.iter().map(|stored| stored.key.to_string()).collect()
}

fn only(patients: &[&str]) -> Vec<RowRule> {
    let subjects = SubjectSet::new(patients.iter().map(|p| format!("Patient/{p}")));
    vec![RowRule::SubjectIn { column: ColumnPath::new("patient_id").unwrap(), subjects }]
}

/// What has been acknowledged: by key, each version's text, none where it was removed.
#[derive(Default, Clone)]
pub(crate) struct Oracle(pub(crate) BTreeMap<String, Vec<Option<String>>>);

impl Oracle {
    fn note(&mut self, stored: &[Stored]) {
        for Stored { key, version, text, .. } in stored {
            let versions = self.0.entry(key.to_string()).or_default();
            versions.push(Some(text.to_string()));
            assert_eq!(versions.len() as u64, *version, "versions follow each other");
        }
    }

    fn note_removed(&mut self, key: &str) {
        self.0.get_mut(key).unwrap().push(None);
    }

    fn current(&self) -> BTreeMap<&str, &str> {
        let newest = |versions: &'_ Vec<Option<String>>| versions.last().cloned().flatten();
        let current = self.0.iter().filter(|(_, versions)| newest(versions).is_some());
        current.map(|(k, v)| (k.as_str(), v.last().unwrap().as_deref().unwrap())).collect()
    }

    /// Every acknowledged version is readable, the newest is current, and SQL sees exactly it.
    pub(crate) async fn invariant_holds(&self, site: &TestSite, repository: &Repository) {
        for (name, versions) in &self.0 {
            for (version, text) in (1_u64..).zip(versions) {
                let answer = ask(site, repository, &[], Ask::VersionRead(key(name), version)).await;
                match (answer, text) {
                    (Answer::Found(stored), Some(text)) => assert_eq!(*stored.text, **text),
                    (Answer::Deleted { version: gone, .. }, None) => assert_eq!(gone, version),
                    (answer, _) => panic!("{name} version {version}: {answer:?}"),
                }
            }
            let (of, count) = (HistoryOf::Instance(key(name)), 1000);
            let history = Ask::History { of, since: None, after: None, count };
            let Answer::History(history) = ask(site, repository, &[], history).await else {
                panic!("no history");
            };
            let told: Vec<u64> = history.versions.iter().map(|v| v.version).collect();
            let all: Vec<u64> = (1..=versions.len() as u64).rev().collect();
            assert_eq!(told, all, "{name}: each version once, the newest first");
        }
        self.current_holds(site, repository).await;
    }

    pub(crate) async fn current_holds(&self, site: &TestSite, repository: &Repository) {
        for (name, versions) in &self.0 {
            match (ask(site, repository, &[], Ask::Read(key(name))).await, versions.last().unwrap())
            {
                (Answer::Found(stored), Some(text)) => assert_eq!(*stored.text, **text),
                (Answer::Deleted { .. }, None) => {}
                (answer, _) => panic!("{name}: {answer:?}"),
            }
        }
        let rows = site.rows("fhir_resources").await;
        let texts = rows.column_by_name("resource").unwrap().as_string::<i32>().iter();
        let ids = rows.column_by_name("id").unwrap().as_string::<i32>().iter();
        let seen: Vec<(&str, &str)> = ids.flatten().zip(texts.flatten()).collect();
        let as_map: BTreeMap<&str, &str> = seen.iter().copied().collect();
        assert_eq!(seen.len(), as_map.len(), "SQL sees a resource twice");
        assert_eq!(as_map, self.current());
        let rows = site.rows("observations").await;
        let ids = rows.column_by_name("id").unwrap().as_string::<i32>().iter().flatten();
        let values = rows.column_by_name("value_number").unwrap().as_primitive::<Float64Type>();
        let mut seen: Vec<(String, f64)> =
            ids.map(str::to_owned).zip(values.iter().flatten()).collect();
        seen.sort_by(|a, b| a.0.cmp(&b.0));
        let observations = self.current().into_iter().filter_map(|(k, text)| {
            let resource: Json = serde_json::from_str(text).unwrap();
            let id = k.strip_prefix("Observation/")?;
            Some((id.to_owned(), resource["valueQuantity"]["value"].as_f64().unwrap()))
        });
        let wanted: Vec<(String, f64)> = observations.collect();
        assert_eq!(seen, wanted, "SQL's observations are the current ones");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_outlive_the_journal_and_sql_sees_the_newest_at_every_stage() {
    let site = TestSite::new();
    let mut repository = site.repository().await;
    let mut oracle = Oracle::default();
    let mut site = site;
    for round in 0..4_i32 {
        let value = f64::from(round) + 50.5;
        // The same id in two types: one is never taken for the other.
        let entries = vec![
            put(patient("a", &format!("Family{round}"))),
            put(weight("a", "a", value)),
            put(weight(&format!("w{round}"), "a", value + 1.0)),
        ];
        oracle.note(&stored(&site, &repository, entries).await);
        oracle.invariant_holds(&site, &repository).await;
        if round == 1 {
            stored(&site, &repository, vec![remove("Observation/w0")]).await;
            oracle.note_removed("Observation/w0");
        }
        if round == 2 {
            oracle.note(&stored(&site, &repository, vec![put(weight("w0", "a", 9.0))]).await);
        }
        oracle.invariant_holds(&site, &repository).await;
        if round % 2 == 1 {
            let moved = repository.move_to_files().await.unwrap();
            assert!(moved.rows > 0, "{moved:?}");
            oracle.invariant_holds(&site, &repository).await;
            assert_eq!(repository.move_to_files().await.unwrap().rows, 0, "moved once");
        }
        drop(repository);
        site = site.again();
        repository = site.repository().await;
        oracle.invariant_holds(&site, &repository).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_any_two_published_datasets_loses_and_doubles_nothing() {
    let mut site = TestSite::new();
    let mut oracle = Oracle::default();
    let mut repository = site.repository().await;
    oracle.note(
        &stored(&site, &repository, vec![put(patient("p", "A")), put(weight("w", "p", 1.0))]).await,
    );
    repository.move_to_files().await.unwrap();
    // Each of these stops the move before another dataset is published.
    for (n, key) in [
        "fhir_history.footer",
        "fhir_resources.clinical",
        "observations.clinical",
        "patients.identifiers",
    ]
    .into_iter()
    .enumerate()
    {
        let value = f64::from(u32::try_from(n).unwrap()) + 2.0;
        let entries = vec![
            put(patient("p", &format!("B{n}"))),
            put(weight("w", "p", value)),
            put(weight(&format!("n{n}"), "p", value)),
        ];
        oracle.note(&stored(&site, &repository, entries).await);
        let key = key.parse().unwrap();
        site.keys.revoke(&key).await.unwrap();
        assert!(repository.move_to_files().await.is_err(), "{key} is needed");
        drop(repository);
        site.keys.reinstate(&key).await.unwrap();
        site = site.again();
        repository = site.repository().await;
        oracle.invariant_holds(&site, &repository).await;
        repository.move_to_files().await.unwrap();
        oracle.invariant_holds(&site, &repository).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_stored_whole_or_not_at_all() {
    let site = TestSite::new();
    let repository = site.repository().await;
    stored(&site, &repository, vec![put(patient("p", "A"))]).await;
    let mut stale = put(patient("p", "B"));
    stale["request"]["ifMatch"] = json!("W/\"7\"");
    let (status, _) =
        refused(&site, &repository, &[], vec![put(weight("w", "p", 1.0)), stale]).await;
    assert_eq!(status, Status::PreconditionFailed);
    assert_eq!(ask(&site, &repository, &[], Ask::Read(key("Observation/w"))).await, Answer::Absent);
    let page = search(&site, &repository, &[], "Patient?family=A").await;
    assert_eq!((page.total, page.matches[0].version), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn row_rules_hold_for_reads_totals_includes_history_conditions_and_writes() {
    let site = TestSite::new();
    let repository = site.repository().await;
    let entries = vec![
        put(patient("mine", "Mine")),
        put(patient("theirs", "Theirs")),
        put(weight("m", "mine", 1.0)),
        put(weight("t", "theirs", 2.0)),
    ];
    stored(&site, &repository, entries).await;
    stored(&site, &repository, vec![put(weight("t", "theirs", 3.0))]).await;
    for stage in ["journal", "files"] {
        if stage == "files" {
            repository.move_to_files().await.unwrap();
        }
        let rules = only(&["mine"]);
        let read = |text| ask(&site, &repository, &rules, Ask::Read(key(text)));
        assert!(matches!(read("Observation/m").await, Answer::Found(_)));
        assert_eq!(read("Observation/t").await, read("Observation/none").await, "{stage}");
        let version = Ask::VersionRead(key("Observation/t"), 1);
        assert_eq!(ask(&site, &repository, &rules, version).await, Answer::Absent);
        let page = search(&site, &repository, &rules, "Observation?code=29463-7&_count=0").await;
        assert_eq!((page.total, page.matches.len()), (1, 0), "{stage}: the total tells of nobody");
        let page =
            search(&site, &repository, &rules, "Observation?subject:Patient.family=Theirs").await;
        assert_eq!(page.total, 0, "a chain does not look at hidden patients");
        let both = search(&site, &repository, &[], "Patient?_revinclude=Observation:subject").await;
        assert_eq!((both.total, both.included.len()), (2, 2));
        let page =
            search(&site, &repository, &rules, "Patient?_revinclude=Observation:subject").await;
        assert_eq!((page.total, page.included.len()), (1, 1), "{stage}");
        for of in [HistoryOf::Type("Observation"), HistoryOf::System] {
            let history = Ask::History { of, since: None, after: None, count: 100 };
            let Answer::History(page) = ask(&site, &repository, &rules, history).await else {
                panic!("no history");
            };
            let keys: BTreeSet<String> = page.versions.iter().map(|v| v.key.to_string()).collect();
            assert!(!keys.iter().any(|k| k.ends_with("/t") || k.ends_with("theirs")), "{keys:?}");
            assert_eq!(page.total, page.versions.len());
        }
        // Neither into their record, nor out of it, nor into mine from theirs.
        for entry in [
            put(weight("n", "theirs", 1.0)),
            put(weight("m", "theirs", 1.0)),
            put(weight("t", "mine", 1.0)),
            put(patient("theirs", "X")),
        ] {
            let (status, told) = refused(&site, &repository, &rules, vec![entry]).await;
            assert_eq!(status, Status::Forbidden);
            assert!(told.contains("'dietitian'"), "{told}");
        }
        // A condition does not match what is hidden, and a removal leaves it alone.
        let done = carry(&site, &repository, &rules, vec![remove("Observation/t")]).await.unwrap();
        assert!(matches!(done, Carried::Done { steps, .. } if steps == [Done::Removed(None)]));
        assert!(matches!(
            ask(&site, &repository, &[], Ask::Read(key("Observation/t"))).await,
            Answer::Found(_)
        ));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_clients_get_versions_of_their_own_and_share_commits() {
    let site = Arc::new(TestSite::new());
    let repository = site.repository().await;
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let (site, repository) = (Arc::clone(&site), repository.clone());
            tokio::spawn(async move {
                let entries = vec![put(patient("shared", &format!("F{n}"))), put(weight(&format!("o{n}"), "shared", 1.0))];
                let mut all = stored(&site, &repository, entries).await;
                let unique = json!({
                    "resource": {"resourceType": "Device", "identifier": [{"system": "s", "value": "one"}]},
                    "request": {"method": "POST", "url": "Device", "ifNoneExist": "identifier=s|one"},
                });
                all.extend(stored(&site, &repository, vec![unique]).await);
                all
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    let versions: BTreeSet<u64> =
        all.iter().filter(|s| s.key == key("Patient/shared")).map(|s| s.version).collect();
    assert_eq!(versions, (1..=64).collect());
    let devices = all.iter().filter(|s| s.key.resource_type() == "Device").count();
    assert_eq!(devices, 1, "of 64 conditional creates one creates");
    let times: BTreeSet<_> = all.iter().map(|s| s.last_updated).collect();
    assert_eq!(times.len(), all.len(), "each version has its own time");
    // In the order of versions, time only grows, although the clock stands still.
    let mut shared: Vec<_> = all.iter().filter(|s| s.key == key("Patient/shared")).collect();
    shared.sort_by_key(|s| s.version);
    assert!(shared.is_sorted_by_key(|s| s.last_updated));
    assert_eq!(search(&site, &repository, &[], "Observation?patient=shared").await.total, 64);
}

/// A disk that is full when it is told to be.
struct FullDisk(Arc<AtomicBool>);

struct FullFile(Box<dyn SegmentFile>, Arc<AtomicBool>);

impl SegmentFile for FullFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.1.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
}

impl Medium for FullDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(FullFile(LocalMedium.open(path)?, Arc::clone(&self.0))))
    }

    fn publish(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        LocalMedium.publish(path, bytes)
    }

    fn cut(&self, path: &Path, length: u64) -> io::Result<()> {
        LocalMedium.cut(path, length)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        LocalMedium.remove(path)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_acknowledges_nothing_and_shows_nothing_of_it() {
    let site = TestSite::new();
    let full = Arc::new(AtomicBool::new(false));
    let repository = site.repository_on(Arc::new(FullDisk(Arc::clone(&full)))).await.unwrap();
    let mut oracle = Oracle::default();
    oracle.note(&stored(&site, &repository, vec![put(weight("w", "p", 1.0))]).await);
    full.store(true, Ordering::SeqCst);
    for n in 0..3 {
        let entries = vec![put(weight("w", "p", 2.0)), put(weight(&format!("n{n}"), "p", 2.0))];
        let failed = carry(&site, &repository, &[], entries).await.unwrap_err();
        assert_eq!(failed.class(), Class::Unavailable, "{failed}");
    }
    full.store(false, Ordering::SeqCst);
    assert!(carry(&site, &repository, &[], vec![put(weight("w", "p", 3.0))]).await.is_err());
    assert!(repository.frozen().is_some());
    oracle.invariant_holds(&site, &repository).await;
    drop(repository);
    let site = site.again();
    let repository = site.repository().await;
    oracle.invariant_holds(&site, &repository).await;
    oracle.note(&stored(&site, &repository, vec![put(weight("w", "p", 4.0))]).await);
    oracle.invariant_holds(&site, &repository).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_stops_reads_and_writes() {
    let site = TestSite::new();
    let repository = site.repository().await;
    stored(&site, &repository, vec![put(patient("p", "A"))]).await;
    let key = "fhir_resources.freetext".parse().unwrap();
    site.keys.revoke(&key).await.unwrap();
    let release = site.fhir_release(&[]).await;
    let asks = vec![Ask::Read(self::key("Patient/p"))];
    let refused = repository.answer(release, asks).await.err().unwrap();
    assert_eq!(refused.class(), Class::Refused);
    assert!(refused.to_string().contains("fhir_resources.freetext"), "{refused}");
    assert!(carry(&site, &repository, &[], vec![put(patient("q", "B"))]).await.is_err());
    site.keys.reinstate(&key).await.unwrap();
    assert!(matches!(
        ask(&site, &repository, &[], Ask::Read(self::key("Patient/p"))).await,
        Answer::Found(_)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn destroying_the_text_key_destroys_history_and_journal_too() {
    let site = TestSite::new();
    let repository = site.repository().await;
    stored(&site, &repository, vec![put(patient("p", "A"))]).await;
    repository.move_to_files().await.unwrap();
    stored(&site, &repository, vec![put(patient("p", "B"))]).await;
    site.keys.shred(&"fhir_resources.freetext".parse().unwrap()).await.unwrap();
    drop(repository);
    let site = site.again();
    assert!(site.repository_on(Arc::new(LocalMedium)).await.is_err(), "the journal is lost");
    for name in ["fhir_resources", FHIR_HISTORY] {
        let session = site.lake.open(site.release(&[name], &[]).await).await.unwrap();
        let read = session.compute(async |tables| {
            let table = tables.values().next().unwrap();
            let all: Vec<usize> = (0..table.schema().fields().len()).collect();
            let part = table.partitions(1).remove(0);
            let found = table.scan(part, all, Vec::new(), None);
            futures::TryStreamExt::try_collect::<Vec<_>>(found).await.is_err()
        });
        assert!(site.taken_out(read.await), "{name} is lost");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_without_the_text_column_shows_nothing() {
    let site = TestSite::new();
    let repository = site.repository().await;
    stored(&site, &repository, vec![put(patient("p", "A"))]).await;
    let release = site.release(&["patients"], &[]).await;
    let refused =
        repository.answer(release, vec![Ask::Read(key("Patient/p"))]).await.err().unwrap();
    assert!(matches!(refused, RepositoryError::NotCovered));
    let subjects = SubjectSet::new(["x".to_owned()]);
    let rule = RowRule::SubjectIn { column: ColumnPath::new("resource").unwrap(), subjects };
    let release = site.fhir_release(&[rule]).await;
    let refused =
        repository.answer(release, vec![Ask::Read(key("Patient/p"))]).await.err().unwrap();
    assert!(matches!(refused, RepositoryError::RuleColumn { .. }), "fails closed");
}

async fn import(site: &TestSite, resources: &[Json]) {
    let lines: Vec<String> = resources.iter().map(Json::to_string).collect();
    let source: Box<dyn io::Read + Send> = Box::new(io::Cursor::new(lines.join("\n").into_bytes()));
    let importer =
        FhirImporter::new(site.lake.clone(), site.clock.clone(), EncryptionSettings::STRICT);
    let report =
        importer.run(vec![("x".into(), FhirFormat::Ndjson, source)], |_| ()).await.unwrap();
    assert_eq!(report.accepted, resources.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn imported_resources_are_read_searched_changed_and_kept_in_the_history() {
    let site = TestSite::new();
    let mut old = patient("i", "Old");
    old["meta"] = json!({"versionId": "7", "lastUpdated": "2020-02-03T04:05:06Z"});
    import(&site, &[old, patient("j", "Other"), weight("i", "i", 5.0)]).await;
    site.clock.advance_micros(10_000_000);
    let repository = site.repository().await;
    assert_eq!(found(&search(&site, &repository, &[], "Patient?family=old").await), ["Patient/i"]);
    assert_eq!(search(&site, &repository, &[], "Observation?patient=i").await.total, 1);
    let Answer::Found(read) = ask(&site, &repository, &[], Ask::Read(key("Patient/i"))).await
    else {
        panic!()
    };
    assert_eq!(
        (read.version, read.last_updated.to_string().as_str()),
        (7, "2020-02-03T04:05:06.000000Z")
    );
    let Answer::Found(read) = ask(&site, &repository, &[], Ask::Read(key("Patient/j"))).await
    else {
        panic!()
    };
    assert_eq!(read.version, 1);
    let shown: Json = serde_json::from_str(&read.text).unwrap();
    assert_eq!(shown["meta"]["versionId"], "1", "what a file left out, the server tells");
    let new =
        stored(&site, &repository, vec![put(patient("i", "New")), put(patient("j", "Newer"))])
            .await;
    assert_eq!((new[0].version, new[1].version), (8, 2));
    for stage in 0..3 {
        if stage == 1 {
            repository.move_to_files().await.unwrap();
        }
        let Answer::Found(before) =
            ask(&site, &repository, &[], Ask::VersionRead(key("Patient/i"), 7)).await
        else {
            panic!("lost at {stage}")
        };
        assert!(before.text.contains("Old"));
        let of = HistoryOf::Instance(key("Patient/i"));
        let history = Ask::History { of, since: None, after: None, count: 10 };
        let Answer::History(page) = ask(&site, &repository, &[], history).await else { panic!() };
        let versions: Vec<u64> = page.versions.iter().map(|v| v.version).collect();
        assert_eq!(versions, [8, 7], "stage {stage}");
        assert!(search(&site, &repository, &[], "Patient?family=old").await.matches.is_empty());
    }
    // An import beside the running repository.
    site.clock.advance_micros(10_000_000);
    import(&site, &[patient("k", "Late"), patient("j", "Again")]).await;
    assert_eq!(repository.take_in_imports().await.unwrap(), 2);
    assert_eq!(repository.take_in_imports().await.unwrap(), 0);
    assert_eq!(
        found(&search(&site, &repository, &[], "Patient?family=late,again&_sort=_id").await),
        ["Patient/j", "Patient/k"]
    );
    let Answer::Found(read) = ask(&site, &repository, &[], Ask::Read(key("Patient/j"))).await
    else {
        panic!()
    };
    assert_eq!(read.version, 3);
    let site = site.again();
    drop(repository);
    let repository = site.repository().await;
    assert_eq!(search(&site, &repository, &[], "Patient?_count=100").await.total, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_exports_go_through_all_without_gaps_or_repeats() {
    let site = TestSite::new();
    let repository = site.repository().await;
    let entries: Vec<Json> =
        (0..25).map(|n| put(patient(&format!("p{n}"), &format!("F{:02}", 24 - n)))).collect();
    stored(&site, &repository, entries).await;
    stored(&site, &repository, vec![remove("Patient/p3")]).await;
    for (query, sorted) in [("Patient?_count=7", false), ("Patient?_sort=family&_count=7", true)] {
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let (name, text) = query.split_once('?').unwrap();
            let now = "2026-01-01T00:00:00Z".parse().unwrap();
            let parsed = Box::new(SearchQuery::parse(name, text, now).unwrap());
            let Answer::Matches(page) =
                ask(&site, &repository, &[], Ask::Search { query: parsed, after, count: 7 }).await
            else {
                panic!()
            };
            assert_eq!(page.total, 24);
            seen.extend(found(&page));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), 24);
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 24);
        if sorted {
            assert_eq!(seen.first().unwrap(), "Patient/p24");
        }
    }
    let (mut after, mut resources, mut deleted) = (None, Vec::new(), Vec::new());
    let since = Some("2020-01-01T00:00:00Z".parse().unwrap());
    loop {
        let types = Some(BTreeSet::from(["Patient"]));
        let Answer::Export(page) =
            ask(&site, &repository, &[], Ask::Export { types, since, after, count: 10 }).await
        else {
            panic!()
        };
        resources.extend(page.resources.iter().map(|r| r.key.to_string()));
        deleted.extend(page.deleted.iter().map(|(key, _)| key.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((resources.len(), deleted.as_slice()), (24, &["Patient/p3".to_owned()][..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_resource_is_on_the_disk_in_plaintext_and_the_author_is_kept() {
    let site = TestSite::new();
    let repository = site.repository().await;
    stored(&site, &repository, vec![put(patient("idmarker", "FAMILYMARKER"))]).await;
    let looked = |folder: &Path| {
        let (mut bytes, mut waiting) = (Vec::new(), vec![folder.to_owned()]);
        while let Some(path) = waiting.pop() {
            if path.is_dir() {
                waiting.extend(std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()));
            } else {
                bytes.extend(std::fs::read(path).unwrap());
            }
        }
        bytes
    };
    for stage in 0..2 {
        if stage == 1 {
            repository.move_to_files().await.unwrap();
        }
        let bytes = looked(site.folder.path());
        for marker in ["idmarker", "FAMILYMARKER", "resourceType", "dietitian"] {
            assert!(!bytes.windows(marker.len()).any(|w| w == marker.as_bytes()), "{marker}");
        }
    }
    let rows = site.rows(FHIR_HISTORY).await;
    assert_eq!(rows.column_by_name("staff").unwrap().as_string::<i32>().value(0), "ann");
    assert_eq!(rows.column_by_name("version").unwrap().as_primitive::<Int64Type>().value(0), 1);
}

async fn patients_in_sql(site: &TestSite) -> Vec<(String, String)> {
    let rows = site.rows("patients").await;
    let column = |name: &str| {
        let column = rows.column_by_name(name).unwrap().as_string::<i32>();
        column.iter().map(|v| v.unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let mut found: Vec<_> = column("id").into_iter().zip(column("family_name")).collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_and_a_write_of_one_new_id_show_the_newer_one_alone() {
    let one = |id: &str, family: &str| (id.to_owned(), family.to_owned());
    // Whether the node stops between the two and the comparison, and where the write lies then.
    for (stops, moved) in [(false, false), (false, true), (true, false), (true, true)] {
        let site = TestSite::new();
        let repository = site.repository().await;
        assert_eq!(repository.take_in_imports().await.unwrap(), 0);
        // The import is older for p, and newer for q; the repository knows of neither.
        import(&site, &[patient("p", "Imported")]).await;
        site.clock.advance_micros(1_000_000);
        stored(&site, &repository, vec![put(patient("p", "Put")), put(patient("q", "Put"))]).await;
        site.clock.advance_micros(1_000_000);
        import(&site, &[patient("q", "Imported")]).await;
        if moved {
            repository.move_to_files().await.unwrap();
        }
        let (site, repository) = if stops {
            let again = site.again();
            drop(repository);
            let repository = again.repository().await;
            (again, repository)
        } else {
            (site, repository)
        };
        repository.take_in_imports().await.unwrap();
        let wanted = vec![one("p", "Put"), one("q", "Imported")];
        assert_eq!(patients_in_sql(&site).await, wanted, "stops {stops}, moved {moved}");
        assert_eq!(site.rows("fhir_resources").await.num_rows(), 2);
        let page = search(&site, &repository, &[], "Patient?family=put").await;
        assert_eq!(found(&page), ["Patient/p"], "stops {stops}, moved {moved}");
        repository.move_to_files().await.unwrap();
        repository.take_in_imports().await.unwrap();
        assert_eq!(patients_in_sql(&site).await, wanted, "moved later");
    }
}
