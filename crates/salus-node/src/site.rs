use std::path::{Path, PathBuf};
use std::sync::Arc;

use salus_crypto::aead::Aad;
use salus_crypto::passphrase::GuessCost;
use salus_crypto::{OsEntropy, SigningKey};
use salus_keys::{
    Caller, KeyCache, KeyStore, KeyStoreError, LocalOpenError, Pkcs11OpenError, VaultOpenError,
};
use salus_model::{
    Class, Classified, Clock, DatasetId, Entropy as _, EntropyFailed, HolderId, KeyName, Secret,
};
use salus_spine::{Authority, StatementRefused, Upkeep, UpkeepAuthorised};
use salus_store::{Lake, SealedError, StorageError, open_sealed, seal_object};

use crate::clock::SystemClock;
use crate::config::{Config, ConfigError, LakeConfig};
use crate::following::Following;
use crate::keystore::{Opening, Place, SecretFileError, Unlock, open_keys, open_storage};
use crate::metrics::SiteMetrics;
use crate::tls::TlsError;

/// The master key under which a site seals what it keeps for itself; named after the holder, so
/// that the sites of several holders can have one key server.
fn master_key(holder: &HolderId) -> Result<KeyName, salus_model::IdError> {
    KeyName::new(format!("site.{holder}"))
}

const AUTHORITY_FILE: &str = "authority";
/// How many unwrapped keys are kept at most.
const CACHED_KEYS: usize = 10_000;
/// How long an order for upkeep holds.
pub(crate) const ORDER_MICROS: i64 = 3_600_000_000;

/// Why a site cannot be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The key file cannot be made or opened.
    #[error("the key file cannot be opened")]
    KeyFile(#[from] LocalOpenError),
    /// The token cannot be opened.
    #[error("the hardware token cannot be used")]
    Token(#[from] Pkcs11OpenError),
    /// The key server's settings do not fit.
    #[error("the key server cannot be used")]
    Vault(#[from] VaultOpenError),
    /// Another kind of secret than the key store wants.
    #[error("this site's key store wants {wanted}, not {found}")]
    OtherUnlock {
        /// What it wants.
        wanted: &'static str,
        /// What it got.
        found: &'static str,
    },
    /// A file with a secret is refused.
    #[error(transparent)]
    SecretFile(#[from] SecretFileError),
    /// The object store's credentials are missing.
    #[error(
        "the lake's credentials are missing: set {variable}, or credentials_file in salus.toml"
    )]
    NoCredentials {
        /// The variable.
        variable: &'static str,
    },
    /// The key store has a site's key already.
    #[error("the key store serves a site already; give each a token, mount or key file of its own")]
    KeysTaken,
    /// The certificates cannot be made or read.
    #[error("the site's certificates cannot be used")]
    Tls(#[from] TlsError),
    /// The key store refused.
    #[error("the key store failed")]
    KeyStore(#[from] KeyStoreError),
    /// The lake's storage failed.
    #[error("the lake cannot be opened")]
    Storage(#[from] StorageError),
    /// The authority's key does not open.
    #[error("the site's authority key does not open")]
    Authority(#[source] SealedError),
    /// The authority's key has been altered.
    #[error("the site's authority key is damaged")]
    AuthorityKey,
    /// No random bytes.
    #[error("no key can be made")]
    Entropy(#[from] EntropyFailed),
    /// A file cannot be read or written.
    #[error("{path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The roles file is refused.
    #[error(transparent)]
    Roles(#[from] salus_query::RolesError),
    /// The audit log does not open.
    #[error("the access log does not open")]
    Audit(#[from] salus_store::audit::AuditError),
    /// The FHIR repository does not open.
    #[error("the FHIR repository does not open")]
    Fhir(#[source] Box<salus_ingest::fhir::repository::RepositoryError>),
    /// The subscriptions do not open.
    #[error("the FHIR subscriptions do not open")]
    Subscriptions(#[source] Box<salus_ingest::fhir::subscribe::SubscribeError>),
    /// The opt-out list does not open.
    #[error(
        "the opt-out list {path} does not open: restore it from a backup; nothing is answered under permits without it"
    )]
    OptOuts {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Option<SealedError>,
    },
    /// The key of the kept answers does not open.
    #[error("the key of the kept answers, {path}, does not open: restore it from a backup")]
    AnswersKey {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Option<SealedError>,
    },
    /// The kept answers cannot be read.
    #[error("the answers that were kept cannot be read")]
    Answers(#[source] Box<salus_private::DeskError>),
    /// Joint answers cannot be taken part in.
    #[error(transparent)]
    Joint(#[from] crate::joint::JointError),
    /// The privacy profiles are refused.
    #[error(transparent)]
    Profiles(#[from] salus_private::ProfileError),
    /// An order was refused, which is a bug.
    #[error("the site's own order is refused")]
    Order(#[from] StatementRefused),
    /// A fixed name does not fit, which is a bug.
    #[error("a fixed key name does not fit")]
    Name(#[from] salus_model::IdError),
}

impl Classified for SiteError {
    fn class(&self) -> Class {
        match self {
            Self::Config(e) => e.class(),
            Self::KeyFile(e) => e.class(),
            Self::Token(e) => e.class(),
            Self::Vault(e) => e.class(),
            Self::OtherUnlock { .. } | Self::NoCredentials { .. } | Self::KeysTaken => {
                Class::BadRequest
            }
            Self::SecretFile(e) => e.class(),
            Self::Tls(e) => e.class(),
            Self::KeyStore(e) => e.class(),
            Self::Storage(e) => e.class(),
            Self::Authority(e) => e.class(),
            Self::AuthorityKey | Self::OptOuts { .. } | Self::AnswersKey { .. } => Class::Corrupt,
            Self::Answers(e) => e.class(),
            Self::Profiles(e) => e.class(),
            Self::Joint(e) => e.class(),
            Self::Entropy(_) | Self::Io { .. } => Class::Unavailable,
            Self::Roles(_) => Class::BadRequest,
            Self::Audit(e) => e.class(),
            Self::Fhir(e) => e.class(),
            Self::Subscriptions(e) => e.class(),
            Self::Order(_) | Self::Name(_) => Class::Bug,
        }
    }
}

/// A holder's site, opened; a clone is the same site.
#[derive(Clone)]
pub struct Site {
    /// The site's folder.
    pub folder: PathBuf,
    /// Its configuration.
    pub config: Config,
    /// The master key under which it seals what it keeps for itself.
    pub master: KeyName,
    /// Its key store, as the site itself sees it.
    pub keys: Arc<dyn KeyStore>,
    /// Keys that were unwrapped lately, apart for each caller.
    pub cache: Arc<KeyCache>,
    /// The holder's authority, which signs grants, orders and manifests.
    pub authority: Arc<Authority>,
    /// Its datasets.
    pub lake: Arc<Lake>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: SiteMetrics,
    /// How the pulls of its FHIR sources go.
    pub following: Following,
}

fn random_name() -> Result<String, EntropyFailed> {
    let mut random = [0; 8];
    OsEntropy.fill(&mut random)?;
    Ok(hex::encode(random))
}

fn authority_aad(holder: &HolderId) -> Aad {
    Aad::new("salus authority key v1", &[holder.as_str().as_bytes()])
}

impl Site {
    /// Makes a site in `folder`: key store, authority, certificate authority, empty lake, and last
    /// its configuration.
    ///
    /// # Errors
    /// When there is one already, the folder cannot be written, the key store serves another site,
    /// or the lake's store does not publish atomically.
    pub async fn init(
        folder: &Path,
        config: &Config,
        unlock: impl Into<Unlock>,
        cost: GuessCost,
    ) -> Result<(), SiteError> {
        if Config::is_site(folder) {
            return Err(ConfigError::SiteExists { folder: folder.to_owned() }.into());
        }
        config.check(folder)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let place = Place { folder, clock: &clock };
        // Before a key is made: whether the lake can be used at all.
        let storage = open_storage(&config.lake, folder)?;
        if matches!(config.lake, LakeConfig::S3 { .. }) {
            storage.try_conditional_put(&random_name()?).await?;
        }
        let keys = open_keys(&config.keys, &place, unlock.into(), cost, Opening::New)?;
        let site_key = master_key(&config.holder)?;
        keys.create(&site_key).await.map_err(|e| match e {
            KeyStoreError::Exists { .. } => SiteError::KeysTaken,
            other => other.into(),
        })?;
        let made = Self::furnish(folder, config, &*keys, &site_key).await;
        if made.is_err() {
            // So that a second try finds the key store as this one did.
            let _ = keys.shred(&site_key).await;
        }
        made
    }

    async fn furnish(
        folder: &Path,
        config: &Config,
        keys: &dyn KeyStore,
        site_key: &KeyName,
    ) -> Result<(), SiteError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| SiteError::Io { path, source }
        };
        let authority = SigningKey::generate(&mut OsEntropy)?;
        let secret = authority.to_secret();
        let sealed = seal_object(keys, site_key, &authority_aad(&config.holder), secret.expose())
            .await
            .map_err(SiteError::Authority)?;
        let path = folder.join(AUTHORITY_FILE);
        crate::staff::write_private(&path, &sealed).map_err(io(&path))?;
        crate::tls::make_authority(folder, &config.holder, keys, site_key).await?;
        let path = folder.join(crate::ROLES_FILE);
        crate::staff::write_private(&path, crate::ROLES_DEFAULT.as_bytes()).map_err(io(&path))?;
        Ok(config.write_new(folder)?)
    }

    /// Opens the site in `folder`; `cost` is what later changes to a key file are sealed with.
    ///
    /// # Errors
    /// When there is none, what unlocks it is another, or a part of it is damaged.
    pub async fn open(
        folder: &Path,
        unlock: impl Into<Unlock>,
        cost: GuessCost,
    ) -> Result<Self, SiteError> {
        let config = Config::read(folder)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let place = Place { folder, clock: &clock };
        let store = open_keys(&config.keys, &place, unlock.into(), cost, Opening::Known)?;
        let path = folder.join(AUTHORITY_FILE);
        let sealed = std::fs::read(&path).map_err(|source| SiteError::Io { path, source })?;
        let site_key = master_key(&config.holder)?;
        let secret = open_sealed(&*store, &site_key, &authority_aad(&config.holder), &sealed)
            .await
            .map_err(SiteError::Authority)?;
        let secret: [u8; 32] = secret.as_slice().try_into().map_err(|_| SiteError::AuthorityKey)?;
        let key = SigningKey::from_secret(&Secret::new(secret));
        let authority = Arc::new(Authority::new(config.holder.clone(), key));
        let storage = open_storage(&config.lake, folder)?;
        let cache = KeyCache::new(config.keys.lifetime(), CACHED_KEYS, Arc::clone(&clock));
        // Changes through this view take effect for every caller at once.
        let keys: Arc<dyn KeyStore> =
            Arc::new(cache.view(Caller::service("site"), Arc::clone(&store)));
        let lake = Lake::with_cache(
            storage,
            Arc::clone(&keys),
            (Arc::clone(&cache), store),
            Arc::clone(&authority),
            Arc::clone(&clock),
        );
        let (folder, metrics) = (folder.to_owned(), SiteMetrics::default());
        let (master, following) = (site_key, Following::default());
        Ok(Self { folder, config, master, keys, cache, authority, lake, clock, metrics, following })
    }

    /// Tries whether the lake's store publishes atomically.
    ///
    /// # Errors
    /// When it does not, or does not answer.
    pub async fn try_publication(&self) -> Result<(), SiteError> {
        let storage = open_storage(&self.config.lake, &self.folder)?;
        Ok(storage.try_conditional_put(&random_name()?).await?)
    }

    /// The holder's order for upkeep of a dataset, as a token for the store.
    ///
    /// # Errors
    /// When the site's own signature does not verify, which is a bug.
    pub fn order_upkeep(
        &self,
        dataset: &DatasetId,
        work: Upkeep,
    ) -> Result<UpkeepAuthorised, SiteError> {
        let holder = (&self.config.holder, &*self.authority);
        Ok(crate::fhir::order(holder, &*self.clock, dataset, work)?)
    }
}

pub(crate) fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
