//! R4 Subscriptions: others are told of changes by rest-hook.
//!
//! ```text
//! Subscription ─▶ kept, sealed ─▶ worker: handshake ─▶ active
//! Repository::changes ─▶ touched? ─▶ Standing::matching, under the subscriber's rules of now,
//!                                    on record ─▶ POST, or PUT with the resource ─▶ mark
//! ```
//!
//! **Invariant:** a notification goes to origins alone that the holder listed, and follows no
//! redirect; nothing of the answer but its status is looked at.
//!
//! **Invariant:** what is sent was read under the subscriber's own role, as it is at that moment:
//! whoever loses the role, or a patient, hears no more of them.
//!
//! **Invariant:** no change is lost. How far a subscriber has been told stands in a sealed file,
//! written after the notification was answered; after a crash, or when an endpoint was away, the
//! repository tells what changed since. So the same change may be told twice, and of a resource
//! that changed twice in between, the newest version alone.
//!
//! # Privacy
//! Values of headers, which are credentials, are kept sealed and shown to nobody again. A
//! notification without payload tells that something matched, and nothing of it.
//!
//! # Source
//! HL7 FHIR R4 "Subscription", "Subscriptions": channel `rest-hook`. The handshake follows R5.

mod error;
mod kept;
mod send;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::Client;
use salus_crypto::OsEntropy;
use salus_fhir::search::{Alone, SearchQuery, index};
use salus_fhir::subscription::{NotificationHeader, SubscriptionRequest};
use salus_fhir::{Issue, IssueCode, ResourceId, ResourceKey};
use salus_keys::KeyStore;
use salus_model::{Clock, HolderId, KeyName, Purpose, RoleName, StaffId};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio::task::JoinHandle;

pub use self::error::{StandingError, SubscribeError};
pub use self::kept::SubscriptionStatus;
use self::kept::{Kept, SEALED_VALUE};
use super::pull::{Origin, address, http_client};
use super::repository::Stored;
use super::sealed_folder::SealedFolder;
use super::{Repository, pull};

/// Subscriptions that a site keeps at most.
const MOST: usize = 1000;
const RESOURCE_TYPE: &str = "Subscription";

/// Who is told, and in which role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscriber {
    /// The person or program.
    pub staff: StaffId,
    /// The role whose rules decide what they are told of.
    pub role: RoleName,
    /// What for.
    pub purpose: Purpose,
}

/// What a subscriber may be told of, if they may see it.
#[derive(Debug, Clone)]
pub struct Candidates {
    /// Which subscription.
    pub subscription: ResourceId,
    /// Its conditions.
    pub query: SearchQuery,
    /// Resources that changed and meet them.
    pub keys: Vec<ResourceKey>,
}

/// Reads for somebody who is not there, under what they may see at this moment, on record.
#[async_trait::async_trait]
pub trait Standing: Send + Sync {
    /// Those of the candidates that the subscriber may see.
    ///
    /// # Errors
    /// When the subscriber has the role no more, or nothing can be read now.
    async fn matching(
        &self,
        subscriber: &Subscriber,
        candidates: Candidates,
    ) -> Result<Vec<Stored>, StandingError>;
}

/// How patiently an endpoint is told again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotifyPace {
    /// The first wait; it doubles with every failure.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
    /// After so many failures in a row the subscription says `error`; it is tried on.
    pub failures: u32,
    /// How long an endpoint may take to answer.
    pub answer: Duration,
}

impl NotifyPace {
    /// 1 s to 5 min, `error` after five failures, 30 s for an answer.
    pub const CONSIDERATE: Self = Self {
        first: Duration::from_secs(1),
        most: Duration::from_secs(300),
        failures: 5,
        answer: Duration::from_secs(30),
    };
}

/// What subscriptions are made of.
pub struct SubscriptionParts {
    /// Whose changes are told.
    pub repository: Repository,
    /// Reads for subscribers.
    pub standing: Arc<dyn Standing>,
    /// The present moment.
    pub clock: Arc<dyn Clock>,
    /// The key store with the site's key, under which subscriptions are sealed.
    pub keys: Arc<dyn KeyStore>,
    /// That key.
    pub master: KeyName,
    /// Whose site it is.
    pub holder: HolderId,
    /// Where subscriptions are kept.
    pub folder: PathBuf,
    /// Where notifications may go.
    pub allowed: BTreeSet<Origin>,
    /// Authorities, as PEM, whose certificates are accepted besides the public ones.
    pub authorities: Vec<Vec<u8>>,
    /// How patiently endpoints are told again.
    pub pace: NotifyPace,
}

/// The subscriptions of a site; cheap to clone. Nobody is told any more when the last is dropped.
#[derive(Clone)]
pub struct Subscriptions(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    workers: tokio::sync::Mutex<BTreeMap<ResourceId, JoinHandle<()>>>,
}

/// What workers have too.
struct Shared {
    repository: Repository,
    standing: Arc<dyn Standing>,
    clock: Arc<dyn Clock>,
    folder: SealedFolder,
    allowed: BTreeSet<Origin>,
    pace: NotifyPace,
    http: Client,
    kept: Mutex<BTreeMap<ResourceId, Kept>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.workers.get_mut().values().for_each(JoinHandle::abort);
    }
}

impl Subscriptions {
    /// Opens what is kept, and goes on telling.
    ///
    /// # Errors
    /// When a file does not open, or a certificate is none.
    pub async fn open(parts: SubscriptionParts) -> Result<Self, SubscribeError> {
        let (key, used_for) = ((parts.keys, parts.master), "salus fhir subscription v1");
        let folder = SealedFolder::new(parts.folder, key, parts.holder, used_for);
        let shared = Arc::new(Shared {
            repository: parts.repository,
            standing: parts.standing,
            clock: parts.clock,
            folder,
            allowed: parts.allowed,
            pace: parts.pace,
            http: http_client(&parts.authorities).map_err(SubscribeError::Client)?,
            kept: Mutex::default(),
        });
        let mut workers = BTreeMap::new();
        for kept in kept::read_all(&shared.folder).await? {
            let id = kept.id.clone();
            shared.kept.lock().insert(id.clone(), kept);
            workers.insert(id.clone(), worker::start(&shared, id));
        }
        let workers = tokio::sync::Mutex::new(workers);
        Ok(Self(Arc::new(Inner { shared, workers })))
    }

    /// A subscription, as its subscriber sees it.
    #[must_use]
    pub fn read(&self, staff: &StaffId, id: &ResourceId) -> Option<Stored> {
        let kept = self.0.shared.kept.lock();
        kept.get(id).filter(|kept| kept.subscriber.staff == *staff).and_then(Kept::shown)
    }

    /// A subscriber's own subscriptions that meet conditions.
    #[must_use]
    pub fn search(&self, staff: &StaffId, query: &SearchQuery) -> Vec<Stored> {
        let kept = self.0.shared.kept.lock();
        let own = kept.values().filter(|kept| kept.subscriber.staff == *staff);
        let mut found: Vec<_> = own
            .filter_map(|kept| {
                let resource = kept.resource_now();
                let index = index(&resource).ok().flatten()?;
                query.matches(&index, &Alone).then_some(())?;
                Some((index, kept.shown()?))
            })
            .collect();
        found.sort_by(|(a, _), (b, _)| query.compare(a, b));
        found.into_iter().map(|(_, stored)| stored).collect()
    }

    /// Keeps a new subscription and begins to tell, from the changes of now on.
    ///
    /// # Errors
    /// When it asks for what is not offered or allowed, or cannot be kept.
    pub async fn create(
        &self,
        subscriber: Subscriber,
        resource: Json,
    ) -> Result<Stored, SubscribeError> {
        let shared = &self.0.shared;
        let id = ResourceId::generate(&mut OsEntropy)?;
        let request = self.0.request(&resource)?;
        let mut workers = self.0.workers.lock().await;
        if workers.len() >= MOST {
            return Err(SubscribeError::TooMany { most: MOST });
        }
        let mark = shared.repository.change_mark();
        let now = shared.clock.now();
        let kept = Kept::new(id, subscriber, (resource, request), mark, now)?;
        self.0.keep(&mut workers, kept).await
    }

    /// Puts a subscription in place of the subscriber's earlier one; what they have not been told
    /// of yet, they still are.
    ///
    /// # Errors
    /// As [`Subscriptions::create`], and when there is none of that id, or another version.
    pub async fn update(
        &self,
        subscriber: Subscriber,
        id: &ResourceId,
        resource: Json,
        if_match: Option<u64>,
    ) -> Result<Stored, SubscribeError> {
        let mut workers = self.0.workers.lock().await;
        let request = self.0.request(&resource)?;
        let before = self.0.own(&subscriber.staff, id, if_match)?;
        // It writes to the same file; nothing of it may come after.
        self.0.stop(&mut workers, id).await;
        let before = self.0.shared.kept.lock().get(id).cloned().unwrap_or(before);
        let now = self.0.shared.clock.now();
        let kept = before.replaced_by(subscriber, (resource, request), now)?;
        self.0.keep(&mut workers, kept).await
    }

    /// Removes a subscription; whether there was one.
    ///
    /// # Errors
    /// When it has another version, or the file cannot be removed.
    pub async fn remove(
        &self,
        staff: &StaffId,
        id: &ResourceId,
        if_match: Option<u64>,
    ) -> Result<bool, SubscribeError> {
        let mut workers = self.0.workers.lock().await;
        match self.0.own(staff, id, if_match) {
            Err(SubscribeError::Absent) if if_match.is_none() => return Ok(false),
            own => drop(own?),
        }
        self.0.stop(&mut workers, id).await;
        self.0.shared.folder.remove(&kept::file_name(id))?;
        self.0.shared.kept.lock().remove(id);
        Ok(true)
    }
}

impl Inner {
    /// What a resource asks for, and may.
    fn request(&self, resource: &Json) -> Result<SubscriptionRequest, SubscribeError> {
        let now = self.shared.clock.now();
        let request = SubscriptionRequest::parse(resource, now).map_err(SubscribeError::Refused)?;
        self.shared.endpoint(&request.endpoint).map_err(|why| {
            let element = "Subscription.channel.endpoint";
            SubscribeError::Refused(vec![Issue::error(IssueCode::BusinessRule, element, why)])
        })?;
        Ok(request)
    }

    /// The subscriber's own subscription.
    fn own(
        &self,
        staff: &StaffId,
        id: &ResourceId,
        if_match: Option<u64>,
    ) -> Result<Kept, SubscribeError> {
        let kept = self.shared.kept.lock();
        let own = kept.get(id).filter(|kept| kept.subscriber.staff == *staff);
        let own = own.ok_or(SubscribeError::Absent)?;
        match if_match {
            Some(wanted) if wanted != own.version => Err(SubscribeError::OtherVersion),
            _ => Ok(own.clone()),
        }
    }

    async fn stop(&self, workers: &mut BTreeMap<ResourceId, JoinHandle<()>>, id: &ResourceId) {
        if let Some(worker) = workers.remove(id) {
            worker.abort();
            // Ended either way.
            let _ = worker.await;
        }
    }

    async fn keep(
        &self,
        workers: &mut BTreeMap<ResourceId, JoinHandle<()>>,
        kept: Kept,
    ) -> Result<Stored, SubscribeError> {
        let id = kept.id.clone();
        let shown = kept.shown().ok_or(SubscribeError::Damaged)?;
        kept.write(&self.shared.folder).await?;
        self.shared.kept.lock().insert(id.clone(), kept);
        workers.insert(id.clone(), worker::start(&self.shared, id));
        Ok(shown)
    }
}

impl Shared {
    /// An endpoint's address, when notifications may go there.
    fn endpoint(&self, text: &str) -> Result<reqwest::Url, String> {
        let (url, origin) = address(text).map_err(|e: pull::AddressError| e.to_string())?;
        if self.allowed.contains(&origin) {
            return Ok(url);
        }
        Err(format!(
            "notifications do not go to {origin}: the holder lists origins in salus.toml, \
             [fhir.subscriptions] allow"
        ))
    }

    /// Changes what is kept of a subscription, on the disk first.
    async fn change(
        &self,
        id: &ResourceId,
        change: impl FnOnce(&mut Kept) + Send,
    ) -> Result<(), SubscribeError> {
        let Some(mut kept) = self.kept.lock().get(id).cloned() else { return Ok(()) };
        change(&mut kept);
        kept.write(&self.folder).await?;
        self.kept.lock().insert(id.clone(), kept);
        Ok(())
    }
}

/// The headers of an update, where a value that was shown sealed is the one that is kept.
fn with_kept_values(
    headers: Vec<NotificationHeader>,
    kept: &[NotificationHeader],
) -> Result<Vec<NotificationHeader>, SubscribeError> {
    let one = |(at, header): (usize, NotificationHeader)| {
        if header.value != SEALED_VALUE {
            return Ok(header);
        }
        let same = |k: &&NotificationHeader| k.name.eq_ignore_ascii_case(&header.name);
        kept.iter().find(same).cloned().ok_or_else(|| {
            let element = format!("Subscription.channel.header[{at}]");
            let message = "no value of this header is kept; send it";
            SubscribeError::Refused(vec![Issue::error(IssueCode::Value, element, message)])
        })
    };
    headers.into_iter().enumerate().map(one).collect()
}
