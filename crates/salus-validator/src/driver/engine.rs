//! Starts and stops the engine of one configuration.

use std::num::NonZeroUsize;
use std::time::Duration;

use commonware_codec::{Copying, DecodeExt as _};
use commonware_consensus::simplex::Engine;
use commonware_consensus::simplex::config::{Config, Floor, ForwardPolicy, SkipBudget, SkipPolicy};
use commonware_consensus::simplex::elector::RoundRobin;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::types::{Epoch as EngineEpoch, ViewDelta};
use commonware_cryptography::ed25519::{PrivateKey, PublicKey as EngineKey};
use commonware_cryptography::{Sha256, Signer as _};
use commonware_p2p::utils::mux::{MuxHandle, Muxer};
use commonware_p2p::{Blocker, Receiver, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::buffer::paged::CacheRef;
use commonware_runtime::{Clock, Handle, Metrics, Spawner, Storage};
use commonware_utils::{NZU16, NZUsize, NonZeroDuration};
use rand_core::CryptoRng;
use salus_ledger::{LedgerId, PublicKey};
use salus_model::Secret;

use crate::order::{Application, EngineQueue, engine_namespace, participants, to_digest};
use crate::store::Epoch;

/// How patient validators are with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How long a leader may take to propose; while nothing waits, views pass at this pace.
    pub leader: Duration,
    /// How long a view may take.
    pub view: Duration,
    /// How soon a stuck view is tried again.
    pub retry: Duration,
    /// After how long without a sign a leader is skipped at once.
    pub skip: Duration,
}

impl Pace {
    /// For validators within a continent. A leader that dies costs half a second, or one where it
    /// had proposed already, and once it has been silent for a second and a half its turns cost
    /// nothing. Half a second is five times a round trip across a continent: time enough for a
    /// full block and three syncs.
    #[must_use]
    pub const fn wide_area() -> Self {
        Self {
            leader: Duration::from_millis(500),
            view: Duration::from_millis(1_000),
            retry: Duration::from_millis(500),
            skip: Duration::from_millis(1_500),
        }
    }
}

/// A validator's key as the engine holds it.
///
/// # Errors
/// None in practice: any 32 bytes are an Ed25519 seed.
pub fn engine_key(key: &Secret<[u8; 32]>) -> Result<PrivateKey, commonware_codec::Error> {
    PrivateKey::decode(Copying(key.expose()))
}

/// A validator's public key as the ledger writes it.
#[must_use]
pub fn ledger_key(key: &EngineKey) -> PublicKey {
    let bytes: [u8; 32] = key.as_ref().try_into().unwrap_or([0; 32]);
    PublicKey::new(bytes)
}

/// The engine's three channels, shared by the engines of all configurations.
pub(crate) struct Links<S: Sender> {
    votes: MuxHandle<S>,
    certificates: MuxHandle<S>,
    resolver: MuxHandle<S>,
}

impl<S: Sender<PublicKey = EngineKey>> Links<S> {
    pub(crate) fn new<E, R>(context: &E, channels: [(S, R); 3]) -> Self
    where
        E: Spawner,
        R: Receiver<PublicKey = EngineKey>,
    {
        let [votes, certificates, resolver] = channels.map(|(sender, receiver)| {
            let (mux, handle) = Muxer::new(context.child("mux"), sender, receiver);
            drop(mux.start());
            handle
        });
        Self { votes, certificates, resolver }
    }
}

/// Runs the engine of the configuration in force.
pub(crate) struct Engines<E, S: Sender, B> {
    pub(crate) context: E,
    pub(crate) links: Links<S>,
    pub(crate) blocker: B,
    pub(crate) key: PrivateKey,
    pub(crate) ledger: LedgerId,
    pub(crate) queue: EngineQueue,
    pub(crate) pace: Pace,
    pub(crate) partition: String,
    pub(crate) running: Option<(u64, Handle<()>)>,
}

impl<E, S, B> Engines<E, S, B>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
    S: Sender<PublicKey = EngineKey>,
    B: Blocker<PublicKey = EngineKey>,
{
    /// Stops the engine of an earlier configuration, and starts the one of `epoch` when this
    /// validator is among its validators.
    pub(crate) async fn run(&mut self, epoch: Epoch, validators: &[PublicKey]) {
        if self.running.as_ref().is_some_and(|(version, _)| *version == epoch.version) {
            return;
        }
        self.stop();
        let ours = ledger_key(&self.key.public_key());
        if !validators.contains(&ours) || validators.len() < 2 {
            return;
        }
        match self.start(epoch, validators).await {
            Some(handle) => self.running = Some((epoch.version, handle)),
            None => tracing::error!(
                version = epoch.version,
                "the engine of this configuration cannot be started"
            ),
        }
    }

    pub(crate) fn stop(&mut self) {
        if let Some((_, handle)) = self.running.take() {
            handle.abort();
        }
    }

    async fn start(&mut self, epoch: Epoch, validators: &[PublicKey]) -> Option<Handle<()>> {
        let participants = participants(validators)?;
        let namespace = engine_namespace(&self.ledger);
        let scheme = Scheme::signer(&namespace, participants.clone(), self.key.clone())?;
        let application = Application::new(epoch.version, self.queue.clone(), participants);
        let context = self.context.child("engine").with_attribute("config", epoch.version);
        let config = Config {
            scheme,
            elector: RoundRobin::<Sha256>::default(),
            blocker: self.blocker.clone(),
            automaton: application.clone(),
            relay: application.clone(),
            reporter: application,
            // A second message of a leader often comes after the first has its quorum: kept for the
            // 64 views of `view_retention`, the first makes it evidence.
            track_historical_votes: true,
            strategy: Sequential,
            partition: format!("{}-{}", self.partition, epoch.version),
            mailbox_size: NZUsize!(1024),
            epoch: EngineEpoch::new(epoch.version),
            floor: Floor::Genesis(to_digest(&epoch.since)),
            replay_buffer: NZUsize!(256 * 1024),
            write_buffer: NZUsize!(64 * 1024),
            page_cache: CacheRef::new(NZU16!(4_084), PAGES),
            leader_timeout: self.pace.leader,
            certification_timeout: self.pace.view,
            timeout_retry: self.pace.retry,
            view_retention: ViewDelta::new(64),
            skip: SkipPolicy::Enabled { timeout: self.pace.skip, budget: SkipBudget::Participants },
            fetch_timeout: NonZeroDuration::new(Duration::from_millis(500))?,
            fetch_retry_delay: Duration::from_millis(100),
            forward: ForwardPolicy::Disabled,
        };
        let engine = Engine::new(context, config);
        let votes = self.links.votes.register(epoch.version).await.ok()?;
        let certificates = self.links.certificates.register(epoch.version).await.ok()?;
        let resolver = self.links.resolver.register(epoch.version).await.ok()?;
        Some(engine.start(votes, certificates, resolver))
    }
}

const PAGES: NonZeroUsize = NZUsize!(64);
