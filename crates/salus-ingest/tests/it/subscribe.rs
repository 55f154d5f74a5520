//! Subscriptions against a real endpoint: what is told, and that nothing is lost.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use salus_fhir::ResourceId;
use salus_fhir::search::SearchQuery;
use salus_ingest::fhir::pull::Origin;
use salus_ingest::fhir::repository::*;
use salus_ingest::fhir::subscribe::*;
use salus_ingest::fhir::{FhirFormat, FhirImporter, Repository};
use salus_model::{Clock, KeyName};
use salus_store::EncryptionSettings;
use serde_json::{Value as Json, json};

use crate::hook::{Hook, Told};
use crate::repository::{carry, patient, put, weight};
use crate::site::TestSite;

const PACE: NotifyPace = NotifyPace {
    first: Duration::from_millis(20),
    most: Duration::from_millis(50),
    failures: 3,
    answer: Duration::from_secs(5),
};

/// Reads all that the repository has, or nothing any more.
struct Everything {
    site: TestSite,
    repository: Repository,
    refuses: Mutex<bool>,
}

#[async_trait::async_trait]
impl Standing for Everything {
    async fn matching(
        &self,
        _: &Subscriber,
        candidates: Candidates,
    ) -> Result<Vec<Stored>, StandingError> {
        if *self.refuses.lock() {
            return Err(StandingError::Refused);
        }
        let Candidates { query, keys, .. } = candidates;
        let ask = Ask::Among { query: Box::new(query), keys };
        let release = self.site.fhir_release(&[]).await;
        let answer = self.repository.answer_counted(release, ask).await.unwrap();
        match self.site.taken_out(answer).0 {
            Answer::Matches(page) => Ok(page.matches),
            other => panic!("{other:?}"),
        }
    }
}

struct World {
    site: TestSite,
    repository: Repository,
    standing: Arc<Everything>,
    subscriptions: Subscriptions,
    hook: Hook,
}

fn ann() -> Subscriber {
    Subscriber {
        staff: "ann".parse().unwrap(),
        role: "dietitian".parse().unwrap(),
        purpose: salus_model::Purpose::Treatment,
    }
}

async fn opened(
    site: &TestSite,
    repository: &Repository,
    standing: &Arc<Everything>,
    hook: &Hook,
) -> Result<Subscriptions, SubscribeError> {
    let master = KeyName::new("fhir_resources.freetext").unwrap();
    let allowed = BTreeSet::from([Origin::try_from(hook.origin.clone()).unwrap()]);
    Subscriptions::open(SubscriptionParts {
        repository: repository.clone(),
        standing: Arc::<Everything>::clone(standing),
        clock: Arc::<salus_model::ManualClock>::clone(&site.clock) as Arc<dyn Clock>,
        keys: Arc::clone(&site.keys),
        master,
        holder: "st-mary".parse().unwrap(),
        folder: site.folder.path().join("subscriptions"),
        allowed,
        authorities: Vec::new(),
        pace: PACE,
    })
    .await
}

impl World {
    async fn new() -> Self {
        let (site, hook) = (TestSite::new(), Hook::start().await);
        let repository = site.repository().await;
        Self::of(site, repository, hook).await
    }

    async fn of(site: TestSite, repository: Repository, hook: Hook) -> Self {
        let standing = Arc::new(Everything {
            site: site.again(),
            repository: repository.clone(),
            refuses: Mutex::new(false),
        });
        let subscriptions = opened(&site, &repository, &standing, &hook).await.unwrap();
        Self { site, repository, standing, subscriptions, hook }
    }

    /// The node stops, and starts again on the same disk.
    async fn again(self) -> Self {
        let Self { site, repository, standing, subscriptions, hook } = self;
        drop((subscriptions, standing, repository));
        // The journal's writer and the workers end with their last owners.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let next = site.again();
        let repository = next.repository().await;
        Self::of(next, repository, hook).await
    }

    fn wish(&self, criteria: &str, payload: Option<&str>) -> Json {
        let mut wish = json!({
            "resourceType": "Subscription", "status": "requested", "reason": "results",
            "criteria": criteria,
            "channel": {"type": "rest-hook", "endpoint": format!("{}/hook", self.hook.origin),
                "header": ["Authorization: Bearer s3cret"]},
        });
        if let Some(payload) = payload {
            wish["channel"]["payload"] = json!(payload);
        }
        wish
    }

    /// Subscribes, and waits until the endpoint has answered.
    async fn subscribed(&self, criteria: &str, payload: Option<&str>) -> ResourceId {
        let wish = self.wish(criteria, payload);
        let stored = self.subscriptions.create(ann(), wish).await.unwrap();
        let id = stored.key.id().clone();
        self.reaches(&id, "active").await;
        let shaken = self.hook.take();
        assert_eq!((shaken.len(), shaken[0].method.as_str()), (1, "POST"), "the handshake");
        assert_eq!(shaken[0].header("authorization"), "Bearer s3cret");
        id
    }

    fn shown(&self, id: &ResourceId) -> Json {
        let shown = self.subscriptions.read(&ann().staff, id).unwrap();
        serde_json::from_str(&shown.text).unwrap()
    }

    async fn reaches(&self, id: &ResourceId, status: &str) -> Json {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let shown = self.shown(id);
            if shown["status"] == status {
                return shown;
            }
            assert!(Instant::now() < until, "{status} is not reached: {shown}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn put(&self, resources: Vec<Json>) {
        self.site.clock.advance_micros(1_000);
        let entries = resources.into_iter().map(put).collect();
        assert!(matches!(
            carry(&self.site, &self.repository, &[], entries).await.unwrap(),
            Carried::Done { .. }
        ));
    }

    async fn import(&self, resources: &[Json]) {
        let lines: Vec<String> = resources.iter().map(Json::to_string).collect();
        let source = Box::new(std::io::Cursor::new(lines.join("\n").into_bytes()));
        let importer = FhirImporter::new(
            self.site.lake.clone(),
            self.site.clock.clone(),
            EncryptionSettings::STRICT,
        );
        importer.run(vec![("x".into(), FhirFormat::Ndjson, source)], |_| ()).await.unwrap();
    }

    /// Nothing comes for a while.
    async fn quiet(&self) {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(self.hook.take(), []);
    }
}

fn paths(told: &[Told]) -> Vec<&str> {
    let mut paths: Vec<&str> = told.iter().map(|t| t.path.as_str()).collect();
    paths.sort_unstable();
    paths
}

const JSON: Option<&str> = Some("application/fhir+json");

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_is_told_of_what_matches() {
    let world = World::new().await;
    world.put(vec![patient("p", "Before")]).await;
    world.subscribed("Observation?code=29463-7&patient.family=known", JSON).await;
    world.put(vec![patient("p", "Known"), patient("q", "Other")]).await;
    world.put(vec![weight("w1", "p", 70.5), weight("w2", "q", 71.0)]).await;
    let told = world.hook.heard(1).await;
    assert_eq!((told[0].method.as_str(), told[0].path.as_str()), ("PUT", "/hook/Observation/w1"));
    assert_eq!(told[0].header("authorization"), "Bearer s3cret");
    assert!(told[0].header("content-type").starts_with("application/fhir+json"));
    let resource: Json = serde_json::from_str(&told[0].body).unwrap();
    assert_eq!((&resource["id"], &resource["meta"]["versionId"]), (&json!("w1"), &json!("1")));
    world.quiet().await;
    world.put(vec![weight("w1", "p", 72.0)]).await;
    assert!(world.hook.heard(1).await[0].body.contains("\"versionId\":\"2\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_payload_nothing_of_the_resource_goes_out() {
    let world = World::new().await;
    world.subscribed("Patient?family=known", None).await;
    world.put(vec![patient("p", "Known")]).await;
    let told = world.hook.heard(1).await;
    let Told { method, path, body, headers } = &told[0];
    assert_eq!((method.as_str(), path.as_str(), body.as_str()), ("POST", "/hook", ""));
    assert!(!format!("{headers:?}").contains("Known") && !format!("{headers:?}").contains("/p"));
    world.put(vec![patient("q", "Stranger")]).await;
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_an_endpoint_is_away_and_the_node_restarts() {
    let world = World::new().await;
    let id = world.subscribed("Patient", JSON).await;
    world.put(vec![patient("a", "First")]).await;
    assert_eq!(paths(&world.hook.heard(1).await), ["/hook/Patient/a"]);
    world.hook.answers("503 Busy");
    world.put(vec![patient("b", "Second")]).await;
    let shown = world.reaches(&id, "error").await;
    assert_eq!(shown["error"], "the endpoint answers 503");
    // Written, moved into files, imported before and after the node stops; changed twice.
    world.repository.move_to_files().await.unwrap();
    world.put(vec![patient("c", "Third")]).await;
    world.put(vec![patient("c", "Again")]).await;
    world.import(&[patient("d", "Imported")]).await;
    world.repository.take_in_imports().await.unwrap();
    world.import(&[patient("e", "NotTakenIn")]).await;
    let world = world.again().await;
    world.repository.take_in_imports().await.unwrap();
    world.put(vec![patient("f", "AfterStart")]).await;
    world.hook.take();
    world.hook.answers("");
    world.reaches(&id, "active").await;
    let until = Instant::now() + Duration::from_secs(20);
    let wanted: BTreeSet<String> =
        ["b", "c", "d", "e", "f"].iter().map(|p| format!("/hook/Patient/{p}")).collect();
    let mut told = Vec::new();
    loop {
        told.extend(world.hook.take());
        let heard: BTreeSet<String> =
            told.iter().filter(|t| t.method == "PUT").map(|t| t.path.clone()).collect();
        if wanted.is_subset(&heard) {
            assert!(!heard.contains("/hook/Patient/a"), "it was told before");
            break;
        }
        assert!(Instant::now() < until, "only {heard:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let newest = told.iter().rev().find(|t| t.path.ends_with("/c")).unwrap();
    assert!(newest.body.contains("Again"));
    // Once it has been told, a restart tells nothing again.
    world.put(vec![patient("g", "Mark")]).await;
    world.hook.heard(1).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let world = world.again().await;
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_changes_than_wait_for_a_slow_endpoint_are_all_told() {
    let world = World::new().await;
    world.subscribed("Patient", None).await;
    world.hook.answers("503 Busy");
    // Each transaction is one message, of which 1024 wait.
    for round in 0..1100 {
        world.put(vec![patient(&format!("p{round}"), "Many")]).await;
    }
    let id = {
        let all = SearchQuery::parse("Subscription", "", world.site.clock.now());
        let found = world.subscriptions.search(&ann().staff, &all.unwrap());
        found[0].key.id().clone()
    };
    world.hook.take();
    world.hook.answers("");
    world.reaches(&id, "active").await;
    assert!(!world.hook.take().is_empty());
    // With payload one can count them.
    let world = world.again().await;
    world.hook.answers("503 Busy");
    let wish = world.wish("Patient?family=many", JSON);
    world.subscriptions.create(ann(), wish).await.unwrap();
    for round in 0..1100 {
        world.put(vec![patient(&format!("q{round}"), "Many")]).await;
    }
    world.hook.take();
    world.hook.answers("");
    let until = Instant::now() + Duration::from_secs(30);
    let mut heard = BTreeSet::new();
    while heard.len() < 1100 {
        assert!(Instant::now() < until, "only {}", heard.len());
        let puts = world.hook.take().into_iter().filter(|t| t.method == "PUT");
        heard.extend(puts.map(|t| t.path));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(heard.iter().all(|path| path.starts_with("/hook/Patient/q")), "none from before it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_who_may_see_no_more_is_told_no_more() {
    let world = World::new().await;
    let id = world.subscribed("Patient", JSON).await;
    *world.standing.refuses.lock() = true;
    world.put(vec![patient("p", "Hidden")]).await;
    let shown = world.reaches(&id, "error").await;
    assert!(shown["error"].as_str().unwrap().contains("may not see"), "{shown}");
    assert!(world.hook.take().iter().all(|t| t.method == "POST" && t.body.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_not_followed_and_gone_means_off() {
    let world = World::new().await;
    let inside = Hook::start().await;
    let id = world.subscribed("Patient", JSON).await;
    world.hook.answers(&format!("307 Elsewhere\r\nlocation: {}/inside", inside.origin));
    world.put(vec![patient("p", "Sent")]).await;
    let shown = world.reaches(&id, "error").await;
    assert!(shown["error"].as_str().unwrap().contains("redirect"), "{shown}");
    assert_eq!(inside.told(), [], "the other address was never asked");
    world.hook.answers("410 Gone");
    world.reaches(&id, "off").await;
    world.hook.take();
    world.put(vec![patient("q", "Sent")]).await;
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_outside_the_list_are_refused_in_every_spelling() {
    let world = World::new().await;
    let inside = Hook::start().await;
    let port = inside.origin.rsplit(':').next().unwrap().to_owned();
    let allowed = world.hook.origin.trim_start_matches("http://").to_owned();
    let spellings = [
        inside.origin.clone(),
        format!("http://localhost:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0x7f.1:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://{allowed}@127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{port}/#@{allowed}"),
        format!("http://{allowed}.evil.example/"),
        format!("{}\\@127.0.0.1:{port}/", world.hook.origin),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "https://10.0.0.1/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "gopher://127.0.0.1/".to_owned(),
        String::new(),
    ];
    for endpoint in spellings {
        let mut wish = world.wish("Patient", JSON);
        wish["channel"]["endpoint"] = json!(endpoint);
        match world.subscriptions.create(ann(), wish).await {
            Err(SubscribeError::Refused(issues)) => {
                let place = issues[0].expression.as_deref();
                assert_eq!(place, Some("Subscription.channel.endpoint"), "{endpoint}");
            }
            // The one spelling that leads to the listed origin after all.
            Ok(_) => {
                assert!(endpoint.starts_with(&format!("{}\\", world.hook.origin)), "{endpoint}")
            }
            Err(other) => panic!("{endpoint}: {other}"),
        }
    }
    world.put(vec![patient("p", "Sent")]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(inside.told(), []);
}

fn on_disk(folder: &std::path::Path) -> Vec<u8> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| std::fs::read(e.unwrap().path()));
    entries.flat_map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_kept_sealed_shown_to_nobody_and_stay_over_an_update() {
    let world = World::new().await;
    let id = world.subscribed("Patient", JSON).await;
    let shown = world.shown(&id);
    assert_eq!(shown["channel"]["header"], json!(["Authorization: (sealed)"]));
    let disk = on_disk(&world.site.folder.path().join("subscriptions"));
    for secret in ["s3cret", "Authorization", "/hook", "Patient"] {
        assert!(!disk.windows(secret.len()).any(|w| w == secret.as_bytes()), "{secret}");
    }
    // What was shown is sent back with another criterion; the credential is still there.
    let mut changed = shown.clone();
    changed["status"] = json!("requested");
    changed["criteria"] = json!("Patient?family=known");
    let updated = world.subscriptions.update(ann(), &id, changed.clone(), Some(1)).await.unwrap();
    assert_eq!(updated.version, 2);
    world.reaches(&id, "active").await;
    assert_eq!(world.hook.heard(1).await[0].header("authorization"), "Bearer s3cret");
    let stale = world.subscriptions.update(ann(), &id, changed.clone(), Some(1)).await;
    assert!(matches!(stale, Err(SubscribeError::OtherVersion)));
    // Somebody else neither sees nor changes it.
    let bob = Subscriber { staff: "bob".parse().unwrap(), ..ann() };
    assert!(world.subscriptions.read(&bob.staff, &id).is_none());
    let theirs = world.subscriptions.update(bob.clone(), &id, changed, None).await;
    assert!(matches!(theirs, Err(SubscribeError::Absent)));
    assert!(!world.subscriptions.remove(&bob.staff, &id, None).await.unwrap());
    let mut borrowed = world.wish("Patient", JSON);
    borrowed["channel"]["header"] = json!(["Authorization: (sealed)"]);
    let refused = world.subscriptions.create(bob, borrowed).await;
    assert!(matches!(refused, Err(SubscribeError::Refused(_))));
    assert!(world.subscriptions.remove(&ann().staff, &id, None).await.unwrap());
    world.put(vec![patient("p", "Known")]).await;
    world.quiet().await;
    assert_eq!(on_disk(&world.site.folder.path().join("subscriptions")), Vec::<u8>::new());
}
