use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use salus_ingest::fhir::pull::*;
use salus_model::{Clock, KeyName, Timestamp};
use salus_store::EncryptionSettings;
use salus_testkit::{Server, Venv};
use serde_json::{Value as Json, json};

use crate::site::TestSite;

/// The machine's clock.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap()).unwrap()
    }
}

/// A Bulk Data server in a process of its own; see `testdata/bulk_server`.
pub(crate) struct BulkServer {
    _process: Server,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) main: String,
    pub(crate) other: String,
    pub(crate) tls: String,
    http: reqwest::Client,
}

impl BulkServer {
    pub(crate) fn start() -> Self {
        let folder = salus_testkit::scratch();
        let venv = Venv::with(&["pyjwt==2.15.1", "cryptography==50.0.2"]);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/bulk_server/server.py");
        let mut command = venv.script(script);
        command.arg(folder.path());
        let process = Server::spawn(command);
        let file = folder.path().join("ports.json");
        let until = Instant::now() + Duration::from_secs(30);
        while !file.exists() {
            assert!(Instant::now() < until, "no server: {}", process.printed());
            std::thread::sleep(Duration::from_millis(20));
        }
        let ports: Json = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let at = |scheme: &str, name: &str| format!("{scheme}://127.0.0.1:{}", ports[name]);
        Self {
            _process: process,
            main: at("http", "main"),
            other: at("http", "other"),
            tls: at("https", "tls"),
            folder,
            http: reqwest::Client::new(),
        }
    }

    async fn post(&self, path: &str, body: &Json) {
        let sent = self.http.post(format!("{}{path}", self.main)).json(body).send().await.unwrap();
        assert!(sent.status().is_success());
    }

    pub(crate) async fn control(&self, knobs: Json) {
        self.post("/_control", &knobs).await;
    }

    pub(crate) async fn store(&self, resources: Vec<Json>) {
        self.post("/_store", &Json::Array(resources)).await;
    }

    pub(crate) async fn delete(&self, keys: &[&str]) {
        self.post("/_delete", &json!(keys)).await;
    }

    pub(crate) async fn revoke_tokens(&self) {
        self.post("/_revoke", &json!(null)).await;
    }

    pub(crate) async fn log(&self) -> Vec<Json> {
        let log = self.http.get(format!("{}/_log", self.main)).send().await.unwrap();
        log.json().await.unwrap()
    }

    /// Requests whose path has `part` in it.
    pub(crate) async fn asked(&self, method: &str, part: &str) -> usize {
        let is = |e: &&Json| e["method"] == method && e["path"].as_str().unwrap().contains(part);
        self.log().await.iter().filter(is).count()
    }

    pub(crate) fn config(&self) -> SourceConfig {
        SourceConfig::new(format!("{}/fhir", self.main).parse().unwrap())
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

pub(crate) const PACE: Pace = Pace {
    first: Duration::from_millis(5),
    most: Duration::from_millis(40),
    longest: Duration::from_secs(2),
    patience: Duration::from_secs(30),
    attempts: 4,
};

pub(crate) fn source(config: &SourceConfig) -> PullSource {
    let mut source = config.open(std::path::Path::new("/")).unwrap();
    source.pace = PACE;
    source
}

impl TestSite {
    pub(crate) async fn pull_into(&self) -> PullInto {
        let name = KeyName::new("site").unwrap();
        // The second time it is there.
        let _ = self.keys.create(&name).await;
        let holder = "st-mary".parse().unwrap();
        let folder = self.folder.path().join("pull");
        PullInto {
            lake: Arc::clone(&self.lake),
            clock: Arc::new(SystemClock),
            encryption: EncryptionSettings::STRICT,
            folder: PullFolder::new(folder, Arc::clone(&self.keys), name, holder),
        }
    }

    pub(crate) async fn puller(&self, config: &SourceConfig) -> Puller {
        Puller::open(source(config), self.pull_into().await).await.unwrap()
    }

    /// Pulls once, with a puller of its own, as a new process would.
    pub(crate) async fn pull(&self, config: &SourceConfig) -> Result<PullReport, PullError> {
        self.puller(config).await.pull(|_| ()).await
    }

    /// A text column of a dataset, sorted.
    pub(crate) async fn column(&self, dataset: &str, column: &str) -> Vec<String> {
        let rows = self.rows(dataset).await;
        let column = rows.column_by_name(column).unwrap().as_string::<i32>().clone();
        let mut values: Vec<String> = column.iter().flatten().map(str::to_owned).collect();
        values.sort();
        values
    }

    pub(crate) async fn version(&self, dataset: &str) -> u64 {
        let snapshot = self.lake.snapshot(&dataset.parse().unwrap(), None).await.unwrap();
        snapshot.manifest().version.number()
    }
}

/// Every byte of every file below a folder.
pub(crate) fn bytes_below(folder: &std::path::Path) -> Vec<u8> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(bytes_below(&path));
        } else {
            found.extend(std::fs::read(path).unwrap());
        }
    }
    found
}

pub(crate) fn patient(id: &str, family: &str) -> Json {
    json!({"resourceType": "Patient", "id": id, "name": [{"family": family}]})
}

pub(crate) fn observation(id: &str, patient: &str) -> Json {
    json!({
        "resourceType": "Observation", "id": id, "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
        "subject": {"reference": format!("Patient/{patient}")},
        "valueQuantity": {"value": 70.50, "unit": "/min"},
    })
}

/// Counts what it hears.
#[derive(Default)]
pub(crate) struct Counter(AtomicI64);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn count(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}
