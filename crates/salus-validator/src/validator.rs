use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::thread::JoinHandle;
use std::time::Duration;

use commonware_codec::{Copying, DecodeExt as _};
use commonware_cryptography::ChaCha20Poly1305;
use commonware_cryptography::ed25519::{PrivateKey, PublicKey as EngineKey};
use commonware_p2p::authenticated::lookup::{self, Network as PeerNetwork};
use commonware_p2p::{Address, AddressableManager as _};
use commonware_runtime::{Quota, Runner as _, Supervisor as _, tokio as engine_runtime};
use commonware_stream::cups::{self, Cups};
use commonware_stream::sake::{self, Sake};
use commonware_utils::NZUsize;
use commonware_utils::ordered::Map;
use salus_crypto::passphrase::Passphrase;
use salus_ledger::order::SoloOrderer;
use salus_ledger::query::{self, Warning};
use salus_ledger::{Height, LedgerId, PublicKey};
use salus_model::{Class, Classified};

use crate::api;
use crate::clock;
use crate::driver::{
    Core, CoreError, Engines, Handle, Links, Network, Pace, Request, Shell, engine_key, ledger_key,
};
use crate::explorer::{Explorer, console};
use crate::folder::{ExplorerConfig, Folder, FolderError, Identity, ValidatorConfig};
use crate::order::{CommonwareOrderer, EngineQueue};
use crate::packet::MAX_PACKET_BYTES;
use crate::store::{Store, StoreError};

/// Messages that one validator may send another in a second on one channel. A quota reserves
/// memory for its whole burst, peer by peer.
const MESSAGES_A_SECOND: u32 = 2_000;
/// How often old transactions are looked for.
const PRUNING: Duration = Duration::from_secs(600);
const MAX_PEERS: usize = salus_ledger::config::MAX_VALIDATORS;

/// Why a validator does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its folder cannot be used.
    #[error("the validator's folder cannot be used")]
    Folder(#[from] FolderError),
    /// Its store cannot be used.
    #[error("the validator's store cannot be used")]
    Store(#[from] StoreError),
    /// The ledger cannot be taken up.
    #[error("the ledger cannot be taken up where it was left")]
    Core(#[from] CoreError),
    /// Its keys cannot be used.
    #[error("the validator's {what} cannot be used")]
    Keys {
        /// Which one.
        what: &'static str,
    },
    /// A port cannot be used.
    #[error("{address} cannot be listened on")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The console would be open to other machines.
    #[error(
        "the console speaks HTTP and listens on a loopback address such as 127.0.0.1:8790, not on {address}; change 'console' in validator.toml"
    )]
    NotLoopback {
        /// What is configured.
        address: SocketAddr,
    },
    /// The folder's database holds another ledger than its genesis begins.
    #[error("the database holds ledger {found}, the folder's genesis begins {wanted}")]
    OtherLedger {
        /// What the database holds.
        found: LedgerId,
        /// What the genesis begins.
        wanted: LedgerId,
    },
    /// A thread cannot be started, or ended at once.
    #[error("the validator's thread ended before it was ready")]
    Thread,
}

impl Classified for StartError {
    fn class(&self) -> Class {
        match self {
            Self::Folder(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Core(error) => error.class(),
            Self::Listen { .. } | Self::Thread => Class::Unavailable,
            Self::Keys { .. } | Self::OtherLedger { .. } | Self::NotLoopback { .. } => {
                Class::BadRequest
            }
        }
    }
}

/// A validator that runs in this process on threads of its own, until it is stopped or dropped.
#[derive(Debug)]
pub struct Validator {
    handle: Handle,
    api: SocketAddr,
    console: Option<SocketAddr>,
    key: PublicKey,
    thread: Option<JoinHandle<()>>,
}

impl Validator {
    /// Starts the validator of a folder: opens its keys, its database (or founds the ledger of its
    /// genesis), its engine and its ports, and returns once its API answers.
    ///
    /// One validator alone orders by itself and speaks to no others; with the same API.
    ///
    /// # Errors
    /// Names what cannot be used.
    pub fn start(folder: &Folder, passphrase: &Passphrase) -> Result<Self, StartError> {
        Self::start_with(folder, folder.open(passphrase)?, Pace::wide_area())
    }

    /// [`Validator::start`] with keys that came from elsewhere.
    ///
    /// # Errors
    /// As there.
    pub fn start_with(folder: &Folder, identity: Identity, pace: Pace) -> Result<Self, StartError> {
        let store = open_store(folder)?;
        warn_of(&store);
        let key = identity.signer().public_key();
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let (engine_folder, own_folder) = (folder.engine(), folder.clone());
        let thread = std::thread::Builder::new().name("salus-validator".into()).spawn(move || {
            let runtime = engine_runtime::Config::new()
                .with_worker_threads(2)
                .with_tcp_nodelay(Some(true))
                .with_storage_directory(engine_folder);
            engine_runtime::Runner::new(runtime).start(|context| async move {
                match launch(context, &own_folder, identity, store, pace).await {
                    Ok(Launched { handle, api, console, driver }) => {
                        let _ = ready.send(Ok((handle, api, console)));
                        let _ = driver.await;
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            });
        });
        let thread = thread.map_err(|_| StartError::Thread)?;
        let (handle, api, console) = started.recv().map_err(|_| StartError::Thread)??;
        Ok(Self { handle, api, console, key, thread: Some(thread) })
    }

    /// The running validator, for use in the same process.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Where its API listens.
    #[must_use]
    pub const fn api(&self) -> SocketAddr {
        self.api
    }

    /// Where a browser on this machine reaches its console, if it has one.
    #[must_use]
    pub const fn console(&self) -> Option<SocketAddr> {
        self.console
    }

    /// Its key.
    #[must_use]
    pub const fn key(&self) -> PublicKey {
        self.key
    }

    /// Stops it, and returns once everything is closed.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.handle.requests.try_send(Request::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Validator {
    fn drop(&mut self) {
        self.end();
    }
}

fn open_store(folder: &Folder) -> Result<Store, StartError> {
    let path = folder.database();
    let genesis = folder.genesis()?;
    let store = match Store::open(&path) {
        Err(StoreError::Empty) => Store::found(&path, &genesis)?,
        other => other?,
    };
    let wanted = genesis.ledger_id().map_err(|_| StartError::Keys { what: "genesis" })?;
    let found = *store.view().ledger();
    if found == wanted { Ok(store) } else { Err(StartError::OtherLedger { found, wanted }) }
}

/// Says on the log what somebody has to see to before it hurts.
fn warn_of(store: &Store) {
    match query::warnings(store.view(), clock::now()) {
        Ok(warnings) => {
            for warning in &warnings {
                tracing::warn!("{}", warning_text(warning));
            }
        }
        Err(error) => tracing::warn!(%error, "the certificates cannot be looked at"),
    }
}

/// A warning as a sentence for people.
#[must_use]
pub fn warning_text(warning: &Warning) -> String {
    match warning {
        Warning::CertificateExpires { member, at, .. } => {
            format!("the certificate of {member} expires at {at}; bind a newer one before")
        }
        Warning::CertificateExpired { member, at, .. } => format!(
            "the certificate of {member} expired at {at}; its key signs nothing until a newer one is bound"
        ),
        Warning::ValidatorCertificateExpired { member, at } => format!(
            "the certificate of validator {member} expired at {at}; it goes on, renew it soon"
        ),
        Warning::RevocationListOverdue { since, .. } => {
            format!("a revocation list is overdue since {since}; publish the authority's newer one")
        }
    }
}

/// A validator that runs.
struct Launched {
    handle: Handle,
    api: SocketAddr,
    console: Option<SocketAddr>,
    driver: commonware_runtime::Handle<()>,
}

async fn launch(
    context: engine_runtime::Context,
    folder: &Folder,
    identity: Identity,
    store: Store,
    pace: Pace,
) -> Result<Launched, StartError> {
    let config = &folder.config()?;
    let listener = tokio::net::TcpListener::bind(config.api)
        .await
        .map_err(|source| StartError::Listen { address: config.api, source })?;
    let api = listener
        .local_addr()
        .map_err(|source| StartError::Listen { address: config.api, source })?;
    let signer = identity.signer();
    let genesis = store.view().genesis()?;
    let alone = genesis.config.form().validators.len() == 1 && config.peers.is_empty();
    let (handle, driver) = if alone {
        start_alone(&context, store, identity.signer())?
    } else {
        start_among_others(&context, config, &identity, store, pace)?
    };
    let tls = api::server_config(&identity, handle.reader().clone())
        .map_err(|_| StartError::Keys { what: "certificate" })?;
    let (explorer, console) = match &config.explorer {
        Some(explorer) => start_explorer(folder, explorer, &handle, identity.signer()).await?,
        None => (None, None),
    };
    if let Some(keep) = config.keep_blocks {
        tokio::spawn(prune(handle.clone(), keep));
    }
    tokio::spawn(api::serve(listener, tls, handle.clone(), signer, explorer));
    Ok(Launched { handle, api, console, driver })
}

/// Drops the transactions of blocks that are older than the operator keeps, now and from time to
/// time.
async fn prune(handle: Handle, keep: NonZeroU64) {
    let mut looks = tokio::time::interval(PRUNING);
    loop {
        looks.tick().await;
        let Some(dropped) = handle.status().height.get().checked_sub(keep.get()) else { continue };
        match handle.prune_below(Height::new(dropped).next()).await {
            Ok(pruned) => {
                tracing::debug!(blocks = pruned.blocks, "old transactions are dropped");
            }
            Err(StoreError::Frozen) => return,
            Err(error) => {
                tracing::warn!(%error, "old transactions stay");
            }
        }
    }
}

async fn start_explorer(
    folder: &Folder,
    config: &ExplorerConfig,
    handle: &Handle,
    signer: salus_ledger::Signer,
) -> Result<(Option<Explorer>, Option<SocketAddr>), StartError> {
    let explorer = Explorer::start(folder, handle, signer)?;
    let Some(address) = config.console else { return Ok((Some(explorer), None)) };
    let token = folder.console_token(&mut salus_crypto::OsEntropy)?;
    let console = console::start(address, &token, explorer.clone()).await?;
    Ok((Some(explorer), Some(console)))
}

type Alone = Shell<
    engine_runtime::Context,
    SoloOrderer,
    commonware_p2p::authenticated::lookup::Sender<EngineKey, engine_runtime::Context>,
    commonware_p2p::authenticated::lookup::Receiver<EngineKey>,
    lookup::Oracle<EngineKey>,
>;

fn start_alone(
    context: &engine_runtime::Context,
    store: Store,
    signer: salus_ledger::Signer,
) -> Result<(Handle, commonware_runtime::Handle<()>), StartError> {
    use commonware_runtime::Spawner as _;
    let tip = store.view().tip().clone();
    let hash = tip.hash().map_err(|_| StoreError::Damaged { what: "tip" })?;
    let orderer = SoloOrderer::new(tip.ledger, signer.public_key(), tip.height, hash);
    let core = Core::new(store, orderer, signer)?;
    let (shell, handle) = Alone::new(context.child("driver"), core, EngineQueue::default(), None);
    let driver = context.child("alone").dedicated().spawn(|_| shell.run());
    Ok((handle, driver))
}

fn start_among_others(
    context: &engine_runtime::Context,
    config: &ValidatorConfig,
    identity: &Identity,
    store: Store,
    pace: Pace,
) -> Result<(Handle, commonware_runtime::Handle<()>), StartError> {
    use commonware_runtime::Spawner as _;
    let key = engine_key(&identity.ledger).map_err(|_| StartError::Keys { what: "ledger key" })?;
    let ledger = *store.view().ledger();
    let settings = network_settings(key.clone(), &ledger, config);
    let (mut network, mut oracle) = PeerNetwork::new(context.child("network"), settings);
    oracle.track(0, addresses(&key, config)?);
    let quota = Quota::per_second(NonZeroU32::new(MESSAGES_A_SECOND).unwrap_or(NonZeroU32::MIN));
    let engine_channels = [0, 1, 2].map(|channel| network.register(channel, quota));
    let (sender, receiver) = network.register(3, quota);
    drop(network.start());
    let validators = query::config(store.view())
        .ok()
        .flatten()
        .ok_or(StoreError::Damaged { what: "configuration" })?;
    let orderer = CommonwareOrderer::new(
        store.view().tip(),
        validators.validator_keys(),
        validators.form().version,
    )
    .map_err(|_| StoreError::Damaged { what: "tip" })?;
    let queue = orderer.queue();
    let engines = Engines {
        context: context.child("engines"),
        links: Links::new(&context.child("links"), engine_channels),
        blocker: oracle,
        key,
        ledger,
        queue: queue.clone(),
        pace,
        partition: "simplex".into(),
        running: None,
    };
    let core = Core::new(store, orderer, identity.signer())?;
    let network = Network { sender, receiver, engines };
    let (shell, handle) = Shell::new(context.child("driver"), core, queue, Some(network));
    let driver = context.child("validator").dedicated().spawn(|_| shell.run());
    Ok((handle, driver))
}

fn network_settings(
    key: PrivateKey,
    ledger: &LedgerId,
    config: &ValidatorConfig,
) -> lookup::Config<Cups<Sake<PrivateKey>, ChaCha20Poly1305>> {
    let handshake = Cups::<_, ChaCha20Poly1305>::new(
        Sake {
            signer: key,
            synchrony_bound: Duration::from_secs(5),
            max_handshake_age: Duration::from_secs(10),
            version: sake::Version::V1,
        },
        cups::Version::V1,
    );
    let namespace = [b"salus-ledger/p2p/v1/".as_slice(), ledger.as_bytes()].concat();
    let size = u32::try_from(MAX_PACKET_BYTES).unwrap_or(u32::MAX);
    let peers = NonZeroUsize::new(config.peers.len() + 1).unwrap_or(NZUsize!(1));
    // Peers are named one by one with their keys, so private addresses are no danger; validators
    // of one consortium often share a network.
    let mut settings =
        lookup::Config::local(handshake, &namespace, config.listen, peers, size, NZUsize!(1024));
    settings.dial_frequency = Duration::from_millis(200);
    settings.peer_connection_cooldown = Duration::from_millis(500);
    settings.tracked_peer_sets = NZUsize!(1);
    settings.block_duration = Duration::from_secs(600);
    settings
}

fn addresses(
    key: &PrivateKey,
    config: &ValidatorConfig,
) -> Result<Map<EngineKey, Address>, StartError> {
    use commonware_cryptography::Signer as _;
    let wrong = || StartError::Keys { what: "list of peers" };
    let own = key.public_key();
    if config.peers.len() >= MAX_PEERS {
        return Err(wrong());
    }
    let mut addresses = vec![(own.clone(), Address::from(config.listen))];
    for peer in &config.peers {
        let other = EngineKey::decode(Copying(peer.key.as_bytes())).map_err(|_| wrong())?;
        if ledger_key(&other) != ledger_key(&own) {
            addresses.push((other, Address::from(peer.address)));
        }
    }
    Map::try_from(addresses).map_err(|_| wrong())
}
