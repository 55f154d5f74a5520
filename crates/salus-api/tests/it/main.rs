//! The transit endpoint as its clients see it.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

/// The same contract that every key store keeps, here through HTTP.
#[path = "../../../salus-keys/tests/it/contract.rs"]
mod contract;
mod fhir;
mod python;
mod transit;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use salus_api::transit::{
    Accessor, AuditFailed, Grant, KeyGlob, Operation, Policy, Tokens, Transit, TransitAudit,
    TransitEvent, router,
};
use salus_crypto::OsEntropy;
use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_keys::{KeyStore, LocalKeyStore, RetryPolicy, VaultConfig, VaultKeyStore};
use salus_model::{Clock as _, KeyName, ManualClock, Secret};
use tempfile::TempDir;

pub(crate) fn name(text: &str) -> KeyName {
    KeyName::new(text).unwrap()
}

pub(crate) fn key(byte: u8) -> Secret<Vec<u8>> {
    Secret::new(vec![byte; 32])
}

/// Keeps what it is told, until it is told to fail.
#[derive(Default)]
pub(crate) struct Audit {
    pub(crate) events: Mutex<Vec<TransitEvent>>,
    pub(crate) fails_after: Mutex<Option<usize>>,
}

#[async_trait]
impl TransitAudit for Audit {
    async fn record(&self, event: &TransitEvent) -> Result<(), AuditFailed> {
        let mut events = self.events.lock().unwrap();
        if self.fails_after.lock().unwrap().is_some_and(|n| events.len() >= n) {
            return Err(AuditFailed);
        }
        events.push(event.clone());
        Ok(())
    }
}

/// A served endpoint over a real key file.
pub(crate) struct World {
    pub(crate) store: LocalKeyStore,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) address: SocketAddr,
    _dir: TempDir,
}

const EVERYTHING: &[Operation] = &[
    Operation::Encrypt,
    Operation::Decrypt,
    Operation::Rewrap,
    Operation::DatakeyPlaintext,
    Operation::DatakeyWrapped,
    Operation::Read,
    Operation::Create,
    Operation::Rotate,
    Operation::Configure,
    Operation::Revoke,
    Operation::Reinstate,
    Operation::Shred,
];

impl World {
    pub(crate) async fn new() -> Self {
        let dir = salus_testkit::scratch();
        let clock = Arc::new(ManualClock::new("2026-03-01T12:00:00Z".parse().unwrap()));
        let phrase = Passphrase::new(Secret::new("correct horse".to_owned())).unwrap();
        let path = dir.path().join("keys");
        let cost = GuessCost::OWASP_MINIMUM;
        let store = LocalKeyStore::create(&path, phrase, cost, clock.clone()).unwrap();
        let (tokens, audit) = (Arc::new(Tokens::default()), Arc::new(Audit::default()));
        let transit = Transit::new(
            Arc::new(store.clone()),
            Arc::clone(&tokens),
            audit.clone(),
            clock.clone(),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router(transit)).await });
        Self { store, tokens, audit, clock, address, _dir: dir }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A token for an hour.
    pub(crate) fn token(&self, grants: &[(&str, &[Operation])]) -> (String, Accessor) {
        let grant = |(keys, operations): &(&str, &[Operation])| Grant {
            keys: KeyGlob::new(*keys).unwrap(),
            operations: operations.iter().copied().collect(),
        };
        let policy =
            Policy { name: "test-policy".to_owned(), grants: grants.iter().map(grant).collect() };
        let now = self.clock.now();
        let until = now.saturating_add_micros(3_600_000_000);
        let issued = self.tokens.issue(&mut OsEntropy, "test", policy, now, until).unwrap();
        (issued.token.expose().clone(), issued.record.accessor)
    }

    pub(crate) fn root(&self) -> String {
        self.token(&[("*", EVERYTHING)]).0
    }

    pub(crate) fn vault(&self, token: &str) -> VaultKeyStore {
        VaultKeyStore::new(VaultConfig {
            address: self.url(),
            mount: "transit".to_owned(),
            token: Secret::new(token.to_owned()),
            namespace: None,
            ca_pem: None,
            timeout: Duration::from_secs(20),
            retry: RetryPolicy {
                attempts: NonZeroU32::MIN,
                first_pause: Duration::ZERO,
                longest_pause: Duration::ZERO,
            },
        })
        .unwrap()
    }

    pub(crate) async fn create(&self, names: &[&str]) {
        for text in names {
            self.store.create(&name(text)).await.unwrap();
        }
    }
}
