//! The cache: whom it answers, for how long, and what it forgets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_keys::{
    CacheLifetime, CachedKeys, Caller, Health, KeyCache, KeyInfo, KeyStore, KeyStoreError,
    LocalKeyStore, WrapContext, WrappedKey,
};
use salus_model::{KeyName, ManualClock, RoleName, Secret, StaffId};
use salus_testkit::scratch;
use tempfile::TempDir;
use tokio::sync::Semaphore;

use crate::{clock, key, name};

const FREE: WrapContext<'static> = WrapContext::KeyTools;
const SECOND: i64 = 1_000_000;

/// A real store that counts how often it is asked, and can hold an answer back.
struct Counted {
    store: LocalKeyStore,
    asked: AtomicUsize,
    answers: Semaphore,
}

#[async_trait]
impl KeyStore for Counted {
    async fn create(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        self.store.create(name).await
    }
    async fn rotate(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        self.store.rotate(name).await
    }
    async fn wrap(
        &self,
        name: &KeyName,
        context: WrapContext<'_>,
        key: &Secret<Vec<u8>>,
    ) -> Result<WrappedKey, KeyStoreError> {
        self.store.wrap(name, context, key).await
    }
    async fn unwrap(
        &self,
        name: &KeyName,
        context: WrapContext<'_>,
        wrapped: &WrappedKey,
    ) -> Result<Secret<Vec<u8>>, KeyStoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.store.unwrap(name, context, wrapped).await;
        self.answers.acquire().await.unwrap().forget();
        answer
    }
    async fn describe(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        self.store.describe(name).await
    }
    async fn list(&self) -> Result<Vec<KeyInfo>, KeyStoreError> {
        self.store.list().await
    }
    async fn revoke(&self, name: &KeyName) -> Result<(), KeyStoreError> {
        self.store.revoke(name).await
    }
    async fn reinstate(&self, name: &KeyName) -> Result<(), KeyStoreError> {
        self.store.reinstate(name).await
    }
    async fn shred(&self, name: &KeyName) -> Result<(), KeyStoreError> {
        self.store.shred(name).await
    }
    async fn health(&self) -> Result<Health, KeyStoreError> {
        self.store.health().await
    }
}

struct World {
    store: Arc<Counted>,
    cache: Arc<KeyCache>,
    clock: Arc<ManualClock>,
    wrapped: WrappedKey,
    _dir: TempDir,
}

impl World {
    async fn new(lifetime: CacheLifetime) -> Self {
        let dir = scratch();
        let clock = clock();
        let phrase = Passphrase::new(Secret::new("correct horse".to_owned())).unwrap();
        let path = dir.path().join("keys");
        let store =
            LocalKeyStore::create(&path, phrase, GuessCost::OWASP_MINIMUM, clock.clone()).unwrap();
        store.create(&name("a")).await.unwrap();
        let wrapped = store.wrap(&name("a"), FREE, &key(1)).await.unwrap();
        let answers = Semaphore::new(1000);
        let store = Arc::new(Counted { store, asked: AtomicUsize::new(0), answers });
        let cache = KeyCache::new(lifetime, 3, clock.clone());
        Self { store, cache, clock, wrapped, _dir: dir }
    }

    fn view(&self, staff: &str, role: &str) -> CachedKeys {
        self.cache.view(caller(staff, role), self.store.clone())
    }

    fn asked(&self) -> usize {
        self.store.asked.load(Ordering::SeqCst)
    }
}

fn caller(staff: &str, role: &str) -> Caller {
    Caller::staff(&StaffId::new(staff).unwrap(), &RoleName::new(role).unwrap())
}

fn lifetime(seconds: u64) -> CacheLifetime {
    CacheLifetime::new(Duration::from_secs(seconds)).unwrap()
}

#[tokio::test]
async fn a_key_is_kept_for_its_lifetime_and_not_longer() {
    let world = World::new(lifetime(60)).await;
    let ann = world.view("ann", "dietitian");
    for _ in 0..3 {
        assert_eq!(ann.unwrap(&name("a"), FREE, &world.wrapped).await.unwrap(), key(1));
    }
    assert_eq!(world.asked(), 1);
    world.clock.advance_micros(60 * SECOND - 1);
    ann.unwrap(&name("a"), FREE, &world.wrapped).await.unwrap();
    assert_eq!(world.asked(), 1);
    world.clock.advance_micros(1);
    ann.unwrap(&name("a"), FREE, &world.wrapped).await.unwrap();
    assert_eq!(world.asked(), 2);
    // A clock that is set back does not lengthen a life.
    world.clock.advance_micros(-3600 * SECOND);
    ann.unwrap(&name("a"), FREE, &world.wrapped).await.unwrap();
    assert_eq!(world.asked(), 3);
    world.clock.advance_micros(61 * SECOND);
    assert_eq!(world.cache.len(), 1);
    world.cache.sweep();
    assert!(world.cache.is_empty());
}

#[tokio::test]
async fn a_revocation_made_elsewhere_takes_effect_within_the_lifetime() {
    let world = World::new(lifetime(60)).await;
    let ann = world.view("ann", "dietitian");
    ann.unwrap(&name("a"), FREE, &world.wrapped).await.unwrap();
    world.store.revoke(&name("a")).await.unwrap();
    assert!(ann.unwrap(&name("a"), FREE, &world.wrapped).await.is_ok());
    world.clock.advance_micros(60 * SECOND);
    let refused = ann.unwrap(&name("a"), FREE, &world.wrapped).await;
    assert!(matches!(refused, Err(KeyStoreError::Revoked { .. })));
    // And so does its end: a refusal is not kept.
    world.store.reinstate(&name("a")).await.unwrap();
    assert!(ann.unwrap(&name("a"), FREE, &world.wrapped).await.is_ok());
}

#[tokio::test]
async fn one_callers_key_never_serves_another() {
    let world = World::new(lifetime(60)).await;
    world.view("ann", "dietitian").unwrap(&name("a"), FREE, &world.wrapped).await.unwrap();
    world.store.revoke(&name("a")).await.unwrap();
    // Another person, and the same person in another role.
    for other in [world.view("bob", "dietitian"), world.view("ann", "accounts")] {
        let refused = other.unwrap(&name("a"), FREE, &world.wrapped).await;
        assert!(matches!(refused, Err(KeyStoreError::Revoked { .. })));
    }
    // Another context of the same caller is another question.
    let ann = world.view("ann", "dietitian");
    assert!(ann.unwrap(&name("a"), WrapContext::Bound(b""), &world.wrapped).await.is_err());
    assert!(ann.unwrap(&name("a"), FREE, &world.wrapped).await.is_ok());
    world.cache.forget_caller(&caller("ann", "dietitian"));
    assert!(ann.unwrap(&name("a"), FREE, &world.wrapped).await.is_err());
}

#[tokio::test]
async fn revoking_and_shredding_through_any_view_is_immediate() {
    let world = World::new(lifetime(60)).await;
    let (ann, bob) = (world.view("ann", "dietitian"), world.view("bob", "owner"));
    ann.unwrap(&name("a"), FREE, &world.wrapped).await.unwrap();
    bob.revoke(&name("a")).await.unwrap();
    assert!(ann.unwrap(&name("a"), FREE, &world.wrapped).await.is_err());
    bob.reinstate(&name("a")).await.unwrap();
    ann.unwrap(&name("a"), FREE, &world.wrapped).await.unwrap();
    bob.shred(&name("a")).await.unwrap();
    assert!(world.cache.is_empty());
    assert!(ann.unwrap(&name("a"), FREE, &world.wrapped).await.is_err());
}

#[tokio::test]
async fn an_answer_that_was_under_way_during_a_revocation_is_not_kept() {
    let world = World::new(lifetime(60)).await;
    world.store.answers.forget_permits(1000);
    let ann = Arc::new(world.view("ann", "dietitian"));
    let asking = {
        let (ann, wrapped) = (Arc::clone(&ann), world.wrapped.clone());
        tokio::spawn(async move { ann.unwrap(&name("a"), FREE, &wrapped).await })
    };
    while world.asked() == 0 {
        tokio::task::yield_now().await;
    }
    ann.revoke(&name("a")).await.unwrap();
    world.store.answers.add_permits(1000);
    // Whether the store answered before or after the revocation, nothing of it stays.
    let _ = asking.await.unwrap();
    assert!(world.cache.is_empty());
    assert!(ann.unwrap(&name("a"), FREE, &world.wrapped).await.is_err());
}

#[tokio::test]
async fn no_lifetime_keeps_nothing_and_capacity_is_a_bound() {
    let world = World::new(CacheLifetime::NONE).await;
    let ann = world.view("ann", "dietitian");
    for _ in 0..2 {
        ann.unwrap(&name("a"), FREE, &world.wrapped).await.unwrap();
    }
    assert_eq!((world.asked(), world.cache.len()), (2, 0));
    assert!(CacheLifetime::new(Duration::from_secs(3601)).is_err());

    let world = World::new(lifetime(60)).await;
    for staff in ["a", "b", "c", "d", "e"] {
        world.view(staff, "r").unwrap(&name("a"), FREE, &world.wrapped).await.unwrap();
    }
    assert_eq!(world.cache.len(), 3);
    // What has expired makes room.
    world.clock.advance_micros(60 * SECOND);
    world.view("f", "r").unwrap(&name("a"), FREE, &world.wrapped).await.unwrap();
    assert_eq!(world.cache.len(), 1);
}
