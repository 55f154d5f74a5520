use std::path::{Path, PathBuf};
use std::sync::Arc;

use salus_crypto::aead::Aad;
use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_crypto::{OsEntropy, SigningKey};
use salus_keys::{KeyStore, KeyStoreError, LocalKeyStore, LocalOpenError};
use salus_model::{Class, Classified, Clock, DatasetId, EntropyFailed, HolderId, KeyName, Secret};
use salus_spine::{Authority, StatementRefused, Upkeep, UpkeepAuthorised};
use salus_store::{Lake, SealedError, Storage, StorageError, open_sealed, seal_object};

use crate::clock::SystemClock;
use crate::config::{Config, ConfigError, KeyStoreConfig};

/// The master key under which a site seals what it keeps for itself.
pub(crate) const SITE_KEY: &str = "site";
const AUTHORITY_FILE: &str = "authority";
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
            Self::KeyStore(e) => e.class(),
            Self::Storage(e) => e.class(),
            Self::Authority(e) => e.class(),
            Self::AuthorityKey | Self::OptOuts { .. } => Class::Corrupt,
            Self::Profiles(e) => e.class(),
            Self::Entropy(_) | Self::Io { .. } => Class::Unavailable,
            Self::Roles(_) => Class::BadRequest,
            Self::Audit(e) => e.class(),
            Self::Fhir(e) => e.class(),
            Self::Order(_) | Self::Name(_) => Class::Bug,
        }
    }
}

/// A holder's site, opened.
pub struct Site {
    /// The site's folder.
    pub folder: PathBuf,
    /// Its configuration.
    pub config: Config,
    /// Its key store.
    pub keys: Arc<dyn KeyStore>,
    /// The holder's authority, which signs grants, orders and manifests.
    pub authority: Arc<Authority>,
    /// Its datasets.
    pub lake: Arc<Lake>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

fn authority_aad(holder: &HolderId) -> Aad {
    Aad::new("salus authority key v1", &[holder.as_str().as_bytes()])
}

impl Site {
    /// Makes a site in `folder`: key store, authority, empty lake, and last its configuration.
    ///
    /// # Errors
    /// When there is one already, or the folder cannot be written.
    pub async fn init(
        folder: &Path,
        config: &Config,
        passphrase: Passphrase,
        cost: GuessCost,
    ) -> Result<(), SiteError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| SiteError::Io { path, source }
        };
        if Config::is_site(folder) {
            return Err(ConfigError::SiteExists { folder: folder.to_owned() }.into());
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let KeyStoreConfig::Local { file } = &config.keys;
        let file = folder.join(file);
        let parent = file.parent().unwrap_or(folder);
        make_private_folder(parent).map_err(io(parent))?;
        let keys = LocalKeyStore::create(&file, passphrase, cost, clock)?;
        let site_key = KeyName::new(SITE_KEY)?;
        keys.create(&site_key).await?;
        let authority = SigningKey::generate(&mut OsEntropy)?;
        let secret = authority.to_secret();
        let sealed = seal_object(&keys, &site_key, &authority_aad(&config.holder), secret.expose())
            .await
            .map_err(SiteError::Authority)?;
        let path = folder.join(AUTHORITY_FILE);
        crate::staff::write_private(&path, &sealed).map_err(io(&path))?;
        let path = folder.join(crate::ROLES_FILE);
        crate::staff::write_private(&path, crate::ROLES_DEFAULT.as_bytes()).map_err(io(&path))?;
        Storage::local(&folder.join(&config.lake.folder))?;
        Ok(config.write_new(folder)?)
    }

    /// Opens the site in `folder`; `cost` is what later changes to its key file are sealed with.
    ///
    /// # Errors
    /// When there is none, the passphrase is another, or a part of it is damaged.
    pub async fn open(
        folder: &Path,
        passphrase: Passphrase,
        cost: GuessCost,
    ) -> Result<Self, SiteError> {
        let config = Config::read(folder)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let KeyStoreConfig::Local { file } = &config.keys;
        let file = folder.join(file);
        let keys = LocalKeyStore::open(&file, passphrase, cost, Arc::clone(&clock))?;
        let keys: Arc<dyn KeyStore> = Arc::new(keys);
        let path = folder.join(AUTHORITY_FILE);
        let sealed = std::fs::read(&path).map_err(|source| SiteError::Io { path, source })?;
        let site_key = KeyName::new(SITE_KEY)?;
        let secret = open_sealed(&*keys, &site_key, &authority_aad(&config.holder), &sealed)
            .await
            .map_err(SiteError::Authority)?;
        let secret: [u8; 32] = secret.as_slice().try_into().map_err(|_| SiteError::AuthorityKey)?;
        let key = SigningKey::from_secret(&Secret::new(secret));
        let authority = Arc::new(Authority::new(config.holder.clone(), key));
        let storage = Storage::local(&folder.join(&config.lake.folder))?;
        let lake =
            Lake::new(storage, Arc::clone(&keys), Arc::clone(&authority), Arc::clone(&clock));
        Ok(Self { folder: folder.to_owned(), config, keys, authority, lake, clock })
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

fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
