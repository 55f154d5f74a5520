//! A hospital with datasets, staff, an audit log and a gateway.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use parking_lot::Mutex;
use salus_crypto::{Digest, OsEntropy, SigningKey};
use salus_model::{
    Clock, DatasetId, HolderId, KeyClass, ManualClock, Purpose, RoleName, StaffId, Timestamp,
};
use salus_query::{
    AccessEvent, AccessToken, Answer, AuditFailed, AuditSink, AuthenticationFailed, Authenticator,
    Gateway, GatewayParts, Limits, QueryError, Request, Roles, StaffIdentity,
};
use salus_spine::{AccessRecord, Authority, SignedStatement};
use salus_store::{DatasetSpec, EncryptionSettings, KeyChoice, KeyPolicy, Lake, Storage};

use crate::keys::MemoryKeys;

pub const ROLES: &str = r#"
format = 1
policies = '''
permit(principal in Salus::Role::"physician", action, resource);
permit(principal in Salus::Role::"dietitian", action, resource in Salus::Dataset::"meals")
  unless { resource.path == "insurance" };
permit(principal in Salus::Role::"trainee", action, resource in Salus::Dataset::"meals")
  when { context.purpose == "treatment" && resource.keyClass == "clinical" };
permit(principal in Salus::Role::"accounts", action, resource in Salus::Dataset::"billing");
permit(principal in Salus::Role::"policy", action, resource in Salus::Dataset::"careteam");
'''

[role.physician]
[role.accounts]

[role.dietitian]
[[role.dietitian.rows]]
dataset = "meals"
subject = "patient"
among = "SELECT patient FROM careteam WHERE member = $staff"

[role.trainee]
mask = true
"#;

pub const LIMITS: Limits = Limits {
    memory_bytes: 64 * 1024 * 1024,
    time: Duration::from_secs(20),
    rows: 50_000,
    statement_bytes: 64 * 1024,
    nesting: 50,
    partitions: NonZeroUsize::new(2).unwrap(),
    at_once: NonZeroUsize::new(4).unwrap(),
};

/// Tokens, as an account service would keep them.
#[derive(Default)]
pub struct Tokens(Mutex<HashMap<String, StaffIdentity>>);

impl Tokens {
    pub fn revoke(&self, token: &str) {
        self.0.lock().remove(token);
    }

    pub fn issue(&self, token: &str, roles: &[&str]) {
        let roles: BTreeSet<_> = roles.iter().map(|r| RoleName::new(*r).unwrap()).collect();
        let staff = StaffId::new(token).unwrap();
        let identity = StaffIdentity { staff, roles, purpose: Purpose::Treatment };
        self.0.lock().insert(token.to_owned(), identity);
    }
}

#[async_trait::async_trait]
impl Authenticator for Tokens {
    async fn authenticate(
        &self,
        token: &AccessToken,
    ) -> Result<StaffIdentity, AuthenticationFailed> {
        self.0.lock().get(token.expose()).cloned().ok_or(AuthenticationFailed::Token)
    }
}

/// An append-only, hash-chained audit log in memory.
pub struct Audit {
    authority: Arc<Authority>,
    events: Mutex<(Vec<AccessEvent>, Digest)>,
    pub full: Mutex<bool>,
}

impl Audit {
    pub fn events(&self) -> Vec<AccessEvent> {
        self.events.lock().0.clone()
    }

    pub fn last(&self) -> AccessEvent {
        self.events.lock().0.last().unwrap().clone()
    }
}

#[async_trait::async_trait]
impl AuditSink for Audit {
    async fn append(
        &self,
        event: AccessEvent,
    ) -> Result<SignedStatement<AccessRecord>, AuditFailed> {
        if *self.full.lock() {
            return Err(AuditFailed);
        }
        let mut log = self.events.lock();
        let line = serde_json::to_vec(&event).unwrap();
        log.1 = Digest::of_parts("test audit", &[log.1.as_bytes(), &line]);
        let (scope, sequence, head) = (event.scope.clone(), log.0.len() as u64, log.1);
        log.0.push(event);
        Ok(self.authority.sign(AccessRecord { scope, sequence, head }))
    }
}

pub struct World {
    pub lake: Arc<Lake>,
    pub keys: Arc<MemoryKeys>,
    pub clock: Arc<ManualClock>,
    pub tokens: Arc<Tokens>,
    pub audit: Arc<Audit>,
    pub gateway: Gateway,
    folder: tempfile::TempDir,
}

pub fn text(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn all_text(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

pub fn meals() -> RecordBatch {
    let at = |hour: i64| 1_767_225_600_000_000 + hour * 3_600_000_000;
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5, 6])), false),
        (
            "patient",
            text(&[Some("p1"), Some("p1"), Some("p2"), Some("p3"), Some("p3"), None]),
            true,
        ),
        (
            "food",
            text(&[Some("soup"), Some("bread"), Some("soup"), Some("liver"), None, Some("tea")]),
            true,
        ),
        ("kcal", Arc::new(Int64Array::from(vec![250, 180, 240, 610, 90, 2])), false),
        (
            "weight",
            Arc::new(Float64Array::from(vec![
                Some(70.5),
                Some(70.25),
                None,
                Some(91.0),
                Some(90.5),
                Some(60.0),
            ])),
            true,
        ),
        (
            "insurance",
            all_text(&[
                "INS-SECRET-1",
                "INS-SECRET-1",
                "INS-SECRET-2",
                "INS-SECRET-3",
                "INS-SECRET-3",
                "INS-SECRET-4",
            ]),
            false,
        ),
        ("eaten", Arc::new(TimestampMicrosecondArray::from_iter_values((0..6).map(at))), false),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn careteam() -> RecordBatch {
    let columns = vec![
        ("patient", all_text(&["p1", "p2", "p3", "p3"]), false),
        ("member", all_text(&["ann", "ann", "bob", "x' OR '1'='1"]), false),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn billing() -> RecordBatch {
    let amounts: ArrayRef = Arc::new(Int64Array::from(vec![1200, 80, 999]));
    let columns =
        vec![("patient", all_text(&["p1", "p2", "p3"]), false), ("amount", amounts, false)];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

impl World {
    pub async fn new() -> Self {
        Self::with(LIMITS).await
    }

    pub async fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let holder = HolderId::new("st-mary").unwrap();
        let signing = SigningKey::generate(&mut OsEntropy).unwrap();
        let authority = Arc::new(Authority::new(holder, signing));
        let clock: Arc<ManualClock> =
            Arc::new(ManualClock::new("2026-01-02T03:04:05Z".parse::<Timestamp>().unwrap()));
        let keys = Arc::new(MemoryKeys::default());
        let storage = Storage::local(&folder.path().join("lake")).unwrap();
        let time: Arc<dyn Clock> = clock.clone();
        let lake = Lake::new(storage, keys.clone(), authority.clone(), time.clone());
        let tokens = Arc::new(Tokens::default());
        tokens.issue("ann", &["dietitian"]);
        tokens.issue("bob", &["dietitian"]);
        tokens.issue("tom", &["trainee"]);
        tokens.issue("eve", &["accounts"]);
        tokens.issue("dora", &["physician"]);
        tokens.issue("both", &["physician", "accounts"]);
        tokens.issue("x' OR '1'='1", &["dietitian"]);
        let head = Digest::of(b"start");
        let events = Mutex::new((Vec::new(), head));
        let audit =
            Arc::new(Audit { authority: authority.clone(), events, full: Mutex::new(false) });
        let roles = Roles::parse("roles.toml", ROLES, &limits).unwrap();
        let gateway = Gateway::new(GatewayParts {
            lake: lake.clone(),
            authority,
            clock: time,
            authenticator: tokens.clone(),
            audit: audit.clone(),
            roles,
            limits,
        });
        let world = Self { lake, keys, clock, tokens, audit, gateway, folder };
        let clinical = KeyChoice::Class(KeyClass::Clinical);
        let own = |name: &str| KeyChoice::try_from(format!("key:{name}")).unwrap();
        let quasi = KeyChoice::Class(KeyClass::Quasi);
        world
            .dataset(
                "meals",
                &[meals().slice(0, 3), meals().slice(3, 3)],
                &[("*", clinical.clone()), ("patient", quasi), ("insurance", own("insurance"))],
            )
            .await;
        world.dataset("careteam", &[careteam()], &[("*", clinical.clone())]).await;
        world.dataset("billing", &[billing()], &[("*", clinical)]).await;
        world
    }

    /// A folder of the test's own; the lake has its place below.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Makes a dataset with one file for each batch.
    pub async fn dataset(&self, name: &str, files: &[RecordBatch], keys: &[(&str, KeyChoice)]) {
        let dataset = DatasetId::new(name).unwrap();
        let policy = keys.iter().map(|(pattern, key)| ((*pattern).to_owned(), key.clone()));
        let spec = DatasetSpec {
            dataset: dataset.clone(),
            schema: files[0].schema(),
            subject: None,
            identity: None,
            policy: KeyPolicy::new(policy),
            encryption: EncryptionSettings::STRICT,
        };
        self.lake.create(spec).await.unwrap();
        for file in files {
            let mut writer = self.lake.append(&dataset).await.unwrap();
            writer.write(file).await.unwrap();
            writer.publish().await.unwrap();
        }
    }

    pub async fn sql(&self, token: &str, sql: &str) -> Result<Answer, QueryError> {
        let request = Request { sql: sql.to_owned(), role: None, parameters: Vec::new() };
        self.gateway.answer(&AccessToken::new(token.to_owned()), request).await
    }

    /// The answer's rows, each as text with `|` between.
    pub async fn rows(&self, token: &str, sql: &str) -> Vec<String> {
        let answer = self.sql(token, sql).await;
        cells(&answer.unwrap_or_else(|e| panic!("{sql}: {e}")))
            .iter()
            .map(|row| row.join("|"))
            .collect()
    }

    /// The message of the refusal.
    pub async fn refusal(&self, token: &str, sql: &str) -> String {
        match self.sql(token, sql).await {
            Ok(answer) => panic!("answered: {sql}: {:?}", cells(&answer)),
            Err(e) => e.to_string(),
        }
    }
}

pub fn cells(answer: &Answer) -> Vec<Vec<String>> {
    let options = arrow::util::display::FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in answer.batches() {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|c| arrow::util::display::ArrayFormatter::try_new(c, &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|c| c.value(row).to_string()).collect());
        }
    }
    rows
}
