use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use salus_crypto::Digest;
use salus_model::{Class, Classified, Clock, KeyName, RoleName, Secret, StaffId, Timestamp};

use crate::{Health, KeyInfo, KeyStore, KeyStoreError, WrapContext, WrappedKey};

/// The longest that an unwrapped key may be kept.
const LIFETIME_MAX: Duration = Duration::from_secs(3600);

/// How long an unwrapped key may be used without asking its store again: a revocation takes effect
/// within this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLifetime(Duration);

/// A lifetime that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unwrapped keys are kept for at most an hour, {} s are longer", wanted.as_secs())]
pub struct CacheLifetimeRefused {
    wanted: Duration,
}

impl Classified for CacheLifetimeRefused {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

impl CacheLifetime {
    /// Every use asks the store.
    pub const NONE: Self = Self(Duration::ZERO);

    /// A lifetime of at most an hour.
    ///
    /// # Errors
    /// When it is longer.
    pub const fn new(lifetime: Duration) -> Result<Self, CacheLifetimeRefused> {
        if lifetime.as_micros() > LIFETIME_MAX.as_micros() {
            Err(CacheLifetimeRefused { wanted: lifetime })
        } else {
            Ok(Self(lifetime))
        }
    }

    /// The lifetime.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }

    fn micros(self) -> i64 {
        i64::try_from(self.0.as_micros()).unwrap_or(i64::MAX)
    }
}

/// On whose behalf keys are unwrapped.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller(String);

impl Caller {
    /// A member of staff in a care role; the same person in another role is another caller.
    #[must_use]
    pub fn staff(staff: &StaffId, role: &RoleName) -> Self {
        // A role name has no control characters, so the two cannot run into each other.
        Self(format!("staff\u{1f}{role}\u{1f}{staff}"))
    }

    /// A part of Salus itself, such as `ingest`.
    #[must_use]
    pub fn service(name: &'static str) -> Self {
        Self(format!("service\u{1f}{name}"))
    }
}

/// Which use of which wrapped key an entry answers; wrapped key and context as one digest.
#[derive(PartialEq, Eq, Hash)]
struct Use {
    caller: Caller,
    name: KeyName,
    wrapped: Digest,
}

struct Entry {
    key: Secret<Vec<u8>>,
    until: Timestamp,
    asked: Timestamp,
}

/// Unwrapped keys in memory, apart for each caller, for a stated time.
///
/// # Privacy
/// An entry answers only the caller for whom the store unwrapped it. A caller that may not use a
/// key learns neither its bytes nor whether another one used it. Entries are overwritten when they
/// go; refusals are never kept. Revoking, rotating or shredding through any view drops the key's
/// entries at once; done elsewhere, it takes effect within the lifetime.
pub struct KeyCache {
    lifetime: CacheLifetime,
    capacity: usize,
    clock: Arc<dyn Clock>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    entries: HashMap<Use, Entry>,
    /// Counts what was forgotten, so that an answer asked for before is not kept after.
    forgotten: u64,
}

impl KeyCache {
    /// An empty cache of at most `capacity` keys.
    #[must_use]
    pub fn new(lifetime: CacheLifetime, capacity: usize, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { lifetime, capacity, clock, held: Mutex::default() })
    }

    /// `store` as seen by one caller through this cache.
    #[must_use]
    pub fn view(self: &Arc<Self>, caller: Caller, store: Arc<dyn KeyStore>) -> CachedKeys {
        CachedKeys { cache: Arc::clone(self), caller, store }
    }

    /// Drops everything kept for a caller, as when a session ends or a role is taken away.
    pub fn forget_caller(&self, caller: &Caller) {
        let mut held = self.held.lock();
        held.forgotten += 1;
        held.entries.retain(|of, _| of.caller != *caller);
    }

    /// Drops everything kept under a master key, for all callers.
    pub fn forget_key(&self, name: &KeyName) {
        let mut held = self.held.lock();
        held.forgotten += 1;
        held.entries.retain(|of, _| of.name != *name);
    }

    /// Drops what has expired, so that no key stays in memory longer than its lifetime plus the
    /// time between calls of this.
    pub fn sweep(&self) {
        let now = self.clock.now();
        self.held.lock().entries.retain(|_, entry| fresh(entry, now));
    }

    /// How many keys are in memory.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.lock().entries.len()
    }

    /// Whether no key is in memory.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key, or when and after how much forgetting the store is being asked for it.
    fn find(&self, of: &Use) -> Result<Secret<Vec<u8>>, Asked> {
        let now = self.clock.now();
        let mut held = self.held.lock();
        let asked = Asked { at: now, forgotten: held.forgotten };
        match held.entries.get(of) {
            Some(entry) if fresh(entry, now) => Ok(Secret::new(entry.key.expose().clone())),
            Some(_) => {
                held.entries.remove(of);
                Err(asked)
            }
            None => Err(asked),
        }
    }

    fn keep(&self, of: Use, key: &Secret<Vec<u8>>, Asked { at: asked, forgotten }: Asked) {
        let mut held = self.held.lock();
        if self.lifetime == CacheLifetime::NONE || held.forgotten != forgotten {
            return;
        }
        let entries = &mut held.entries;
        if entries.len() >= self.capacity {
            entries.retain(|_, entry| fresh(entry, asked));
        }
        if entries.len() < self.capacity {
            let until = asked.saturating_add_micros(self.lifetime.micros());
            entries.insert(of, Entry { key: Secret::new(key.expose().clone()), until, asked });
        }
    }
}

struct Asked {
    at: Timestamp,
    forgotten: u64,
}

/// A clock that was set back must not lengthen a key's life.
fn fresh(entry: &Entry, now: Timestamp) -> bool {
    entry.asked <= now && now < entry.until
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCache").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// A key store as one caller sees it through a [`KeyCache`].
pub struct CachedKeys {
    cache: Arc<KeyCache>,
    caller: Caller,
    store: Arc<dyn KeyStore>,
}

impl CachedKeys {
    fn used(&self, name: &KeyName, context: WrapContext<'_>, wrapped: &WrappedKey) -> Use {
        let kind: &[u8] = match context {
            WrapContext::KeyTools => b"key-tools",
            WrapContext::Bound(_) => b"bound",
        };
        let parts = [kind, context.as_bytes(), wrapped.as_str().as_bytes()];
        let wrapped = Digest::of_parts("salus/key-cache/v1", &parts);
        Use { caller: self.caller.clone(), name: name.clone(), wrapped }
    }
}

#[async_trait]
impl KeyStore for CachedKeys {
    async fn create(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        self.store.create(name).await
    }

    async fn rotate(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        let done = self.store.rotate(name).await;
        self.cache.forget_key(name);
        done
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
        let of = self.used(name, context, wrapped);
        // The lifetime counts from before the question: a revocation while it is under way must
        // not be outlived by the answer.
        let asked = match self.cache.find(&of) {
            Ok(key) => return Ok(key),
            Err(asked) => asked,
        };
        let key = self.store.unwrap(name, context, wrapped).await?;
        self.cache.keep(of, &key, asked);
        Ok(key)
    }

    async fn rewrap(
        &self,
        name: &KeyName,
        context: WrapContext<'_>,
        wrapped: &WrappedKey,
    ) -> Result<WrappedKey, KeyStoreError> {
        self.store.rewrap(name, context, wrapped).await
    }

    async fn describe(&self, name: &KeyName) -> Result<KeyInfo, KeyStoreError> {
        self.store.describe(name).await
    }

    async fn list(&self) -> Result<Vec<KeyInfo>, KeyStoreError> {
        self.store.list().await
    }

    async fn revoke(&self, name: &KeyName) -> Result<(), KeyStoreError> {
        let done = self.store.revoke(name).await;
        // After the store: what was unwrapped before it refused goes now, or is not kept at all.
        self.cache.forget_key(name);
        done
    }

    async fn reinstate(&self, name: &KeyName) -> Result<(), KeyStoreError> {
        self.store.reinstate(name).await
    }

    async fn shred(&self, name: &KeyName) -> Result<(), KeyStoreError> {
        let done = self.store.shred(name).await;
        self.cache.forget_key(name);
        done
    }

    async fn health(&self) -> Result<Health, KeyStoreError> {
        self.store.health().await
    }
}
