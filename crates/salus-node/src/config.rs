use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use salus_keys::{CacheLifetime, CacheLifetimeRefused};
use salus_model::{Class, Classified, HolderId, RoleName};
use salus_store::audit::{Retention, RetentionTooShort};
use serde::{Deserialize, Serialize};

use crate::pull::FhirConfig;

const FORMAT: u32 = 1;
const FILE: &str = "salus.toml";

/// A site's configuration, `salus.toml` in its folder. Relative paths start at that folder.
///
/// # Privacy
/// It holds no secret: passphrase, PIN, tokens and credentials come from the environment, from
/// files that it names, or from the person who is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The format of this file.
    pub format: u32,
    /// Whose site it is.
    pub holder: HolderId,
    /// Where datasets lie. Journals and the access log lie in the site's folder, always: they are
    /// synced record by record, which no object store does.
    pub lake: LakeConfig,
    /// Where master keys live.
    pub keys: KeyStoreConfig,
    /// Where the services listen.
    pub listen: ListenConfig,
    /// The FHIR servers that the site keeps up with.
    #[serde(default, skip_serializing_if = "FhirConfig::is_empty")]
    pub fhir: FhirConfig,
    /// How the services prove who they are.
    #[serde(default = "TlsConfig::site_authority")]
    pub tls: TlsConfig,
    /// For how long the access log is kept.
    #[serde(default = "AuditConfig::a_year")]
    pub audit: AuditConfig,
    /// Who may read the node's counters.
    #[serde(default = "MonitoringConfig::by_role_monitor")]
    pub monitoring: MonitoringConfig,
    /// The ledger that the site's organisation is a member of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerConfig>,
    /// Where the accounts of people who sign in at the console are kept.
    #[serde(default, skip_serializing_if = "AccountsConfig::is_embedded")]
    pub accounts: AccountsConfig,
}

/// Where accounts are kept: a file of the site's folder, or a database of PostgreSQL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountsConfig {
    /// A file with the URL of a PostgreSQL database, which its owner alone may read; without it,
    /// accounts are in a file of the site's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres_url_file: Option<PathBuf>,
}

impl AccountsConfig {
    const fn is_embedded(&self) -> bool {
        self.postgres_url_file.is_none()
    }
}

/// The ledger that an organisation is a member of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerConfig {
    /// Where validators serve members, such as `https://10.0.0.1:7443`. Several, because none is
    /// trusted and one may be away.
    pub validators: Vec<String>,
    /// Where membership and genesis lie.
    #[serde(default = "LedgerConfig::usual_folder")]
    pub folder: PathBuf,
    /// Who may come with a question under a permit.
    #[serde(default = "LedgerConfig::questions_from_anyone")]
    pub questions_from: QuestionsFrom,
}

/// Who may come with a question under a permit. The permit's own signature is wanted of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuestionsFrom {
    /// Whoever can sign with a permit's key.
    Anyone,
    /// Only who shows a certificate of a member of the ledger besides.
    Members,
}

impl LedgerConfig {
    const fn questions_from_anyone() -> QuestionsFrom {
        QuestionsFrom::Anyone
    }

    fn usual_folder() -> PathBuf {
        "ledger".into()
    }

    /// These validators, in the usual folder.
    ///
    /// # Errors
    /// When an address is not https, or there is none.
    pub fn of(validators: Vec<String>) -> Result<Self, ConfigError> {
        let (folder, questions_from) = (Self::usual_folder(), Self::questions_from_anyone());
        let config = Self { validators, folder, questions_from };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.validators.is_empty() {
            return Err(ConfigError::NoValidators);
        }
        let secure = |url: &str| url::Url::parse(url).is_ok_and(|url| url.scheme() == "https");
        match self.validators.iter().find(|url| !secure(url)) {
            None => Ok(()),
            Some(address) => Err(ConfigError::Validator { address: address.clone() }),
        }
    }
}

/// Where datasets lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum LakeConfig {
    /// A local folder.
    Local {
        /// The folder.
        folder: PathBuf,
    },
    /// A bucket in S3 or in a store that speaks its protocol and knows `If-None-Match` on PUT.
    S3 {
        /// The bucket.
        bucket: String,
        /// Below which prefix the lake lies.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        prefix: String,
        /// The region.
        region: String,
        /// The endpoint where the store is not Amazon's: https, or http to this machine.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<String>,
        /// A file with `access_key_id`, `secret_access_key` and perhaps `session_token`; without
        /// it, `AWS_ACCESS_KEY_ID` and its like in the environment count.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credentials_file: Option<PathBuf>,
        /// Certificate authorities to trust besides the public ones, as PEM.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca_file: Option<PathBuf>,
    },
}

/// How soon a revocation that was made elsewhere takes effect at the latest, in seconds; 0 asks
/// the key store at every use. One that this node is told of takes effect at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct RevocationDelay(CacheLifetime);

impl RevocationDelay {
    /// A minute.
    #[must_use]
    pub fn a_minute() -> Self {
        Self(CacheLifetime::new(Duration::from_secs(60)).unwrap_or(CacheLifetime::NONE))
    }

    /// For how long unwrapped keys may be kept.
    #[must_use]
    pub const fn lifetime(self) -> CacheLifetime {
        self.0
    }
}

impl TryFrom<u64> for RevocationDelay {
    type Error = CacheLifetimeRefused;

    fn try_from(seconds: u64) -> Result<Self, CacheLifetimeRefused> {
        CacheLifetime::new(Duration::from_secs(seconds)).map(Self)
    }
}

impl From<RevocationDelay> for u64 {
    fn from(delay: RevocationDelay) -> Self {
        delay.0.duration().as_secs()
    }
}

/// Where master keys live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum KeyStoreConfig {
    /// A file sealed with a passphrase.
    Local {
        /// The file; never inside the lake's folder.
        file: PathBuf,
        /// How soon a revocation takes effect.
        #[serde(default = "RevocationDelay::a_minute")]
        revocation_seconds: RevocationDelay,
    },
    /// A hardware token. Each site has a token of its own.
    Pkcs11 {
        /// The module's shared library, such as `/usr/lib/softhsm/libsofthsm2.so`.
        module: PathBuf,
        /// The token's label.
        token_label: String,
        /// A file with the PIN, which its owner alone may read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pin_file: Option<PathBuf>,
        /// How soon a revocation takes effect.
        #[serde(default = "RevocationDelay::a_minute")]
        revocation_seconds: RevocationDelay,
    },
    /// HashiCorp Vault, OpenBao or `salus keys serve`. Each site has a mount of its own.
    Vault {
        /// Its address, such as `https://vault.example.org:8200`; http to this machine only.
        address: String,
        /// Where the transit engine is mounted.
        mount: String,
        /// The namespace, where the server has any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        /// A file with the token, which its owner alone may read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token_file: Option<PathBuf>,
        /// Certificate authorities to trust in place of the public ones, as PEM.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca_file: Option<PathBuf>,
        /// How soon a revocation takes effect.
        #[serde(default = "RevocationDelay::a_minute")]
        revocation_seconds: RevocationDelay,
    },
}

impl KeyStoreConfig {
    /// For how long unwrapped keys may be kept.
    #[must_use]
    pub const fn lifetime(&self) -> CacheLifetime {
        let (Self::Local { revocation_seconds, .. }
        | Self::Pkcs11 { revocation_seconds, .. }
        | Self::Vault { revocation_seconds, .. }) = self;
        revocation_seconds.lifetime()
    }
}

/// How the services prove who they are: by certificates of the site's own authority, or by one
/// that somebody else issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "TlsWire", into = "TlsWire")]
pub enum TlsConfig {
    /// Short-lived certificates that the site's own authority issues at the start.
    SiteAuthority {
        /// DNS names and addresses in them, besides those of this machine's loopback.
        names: Vec<String>,
    },
    /// A certificate from elsewhere, read anew when it changes.
    Files {
        /// The chain, the node's own certificate first, as PEM.
        certificate: PathBuf,
        /// Its private key as PEM, in a file which its owner alone may read.
        key: PathBuf,
    },
}

impl TlsConfig {
    fn site_authority() -> Self {
        Self::SiteAuthority { names: Vec::new() }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsWire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<PathBuf>,
    #[serde(default)]
    names: Vec<String>,
}

impl TryFrom<TlsWire> for TlsConfig {
    type Error = &'static str;

    fn try_from(wire: TlsWire) -> Result<Self, &'static str> {
        match wire {
            TlsWire { certificate: None, key: None, names } => Ok(Self::SiteAuthority { names }),
            TlsWire { certificate: Some(certificate), key: Some(key), names }
                if names.is_empty() =>
            {
                Ok(Self::Files { certificate, key })
            }
            TlsWire { certificate: Some(_), key: Some(_), .. } => {
                Err("names belong to the site's own authority; a certificate has its own")
            }
            _ => Err("certificate and key belong together; give both or neither"),
        }
    }
}

impl From<TlsConfig> for TlsWire {
    fn from(config: TlsConfig) -> Self {
        match config {
            TlsConfig::SiteAuthority { names } => Self { certificate: None, key: None, names },
            TlsConfig::Files { certificate, key } => {
                Self { certificate: Some(certificate), key: Some(key), names: Vec::new() }
            }
        }
    }
}

/// For how long the access log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditConfig {
    /// For how many days at least; never less than a year.
    pub keep_days: KeepDays,
}

impl AuditConfig {
    fn a_year() -> Self {
        Self { keep_days: KeepDays(Retention::LEAST) }
    }
}

/// A retention in days, of at least a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct KeepDays(Retention);

impl KeepDays {
    /// The retention.
    #[must_use]
    pub const fn retention(self) -> Retention {
        self.0
    }
}

impl TryFrom<u32> for KeepDays {
    type Error = RetentionTooShort;

    fn try_from(days: u32) -> Result<Self, RetentionTooShort> {
        Retention::new(days).map(Self)
    }
}

impl From<KeepDays> for u32 {
    fn from(days: KeepDays) -> Self {
        days.0.days()
    }
}

/// Who may read the node's counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MonitoringConfig {
    /// The role that a token must have.
    pub role: RoleName,
}

impl MonitoringConfig {
    fn by_role_monitor() -> Self {
        // A fixed name that fits; were it ever changed to one that does not, the first test fails.
        #[allow(clippy::expect_used, reason = "a constant")]
        Self { role: RoleName::new("monitor").expect("a role name") }
    }
}

/// Where the services listen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenConfig {
    /// FHIR, SQL over HTTP.
    pub http: SocketAddr,
    /// The PostgreSQL wire.
    pub postgres: SocketAddr,
    /// Flight SQL.
    pub flight: SocketAddr,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no site in the folder.
    #[error("{folder} holds no site (no {FILE}); make one with: salus init --site {folder}")]
    NoSite {
        /// The folder.
        folder: PathBuf,
    },
    /// There is a site in the folder already.
    #[error("{folder} holds a site already")]
    SiteExists {
        /// The folder.
        folder: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("{path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file does not parse; the message has line and column.
    #[error("{path} is refused: {source}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The file comes from a newer Salus.
    #[error("{path} has format {found}; this Salus reads {FORMAT}, a newer one is needed")]
    Format {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: u32,
    },
    /// The key file lies in the lake, where a backup of the lake would take it along.
    #[error("the key file {file} lies inside the lake's folder {lake}; move it elsewhere")]
    KeysInLake {
        /// The key file.
        file: PathBuf,
        /// The lake.
        lake: PathBuf,
    },
    /// A store would be asked in the clear over a network.
    #[error("'{address}' is plain HTTP to another machine, or no URL; use https")]
    Clear {
        /// The address.
        address: String,
    },
    /// The ledger has no validators.
    #[error("[ledger] names no validators; list at least one, such as https://10.0.0.1:7443")]
    NoValidators,
    /// A validator's address is no https URL.
    #[error("'{address}' is no https address of a validator")]
    Validator {
        /// The address.
        address: String,
    },
    /// A configuration that cannot be written as TOML, which is a bug.
    #[error("the configuration cannot be written")]
    Encode(#[from] toml::ser::Error),
}

impl Classified for ConfigError {
    fn class(&self) -> Class {
        match self {
            Self::Io { .. } => Class::Unavailable,
            Self::Encode(_) => Class::Bug,
            _ => Class::BadRequest,
        }
    }
}

impl Config {
    /// The configuration that `salus init` writes when nothing else is asked for.
    #[must_use]
    pub fn embedded(holder: HolderId, listen: ListenConfig) -> Self {
        Self {
            format: FORMAT,
            holder,
            lake: LakeConfig::Local { folder: "lake".into() },
            keys: KeyStoreConfig::Local {
                file: "keys/keystore".into(),
                revocation_seconds: RevocationDelay::a_minute(),
            },
            listen,
            fhir: FhirConfig::default(),
            tls: TlsConfig::site_authority(),
            audit: AuditConfig::a_year(),
            monitoring: MonitoringConfig::by_role_monitor(),
            ledger: None,
            accounts: AccountsConfig::default(),
        }
    }

    /// Adds `[ledger]` to the configuration in `folder`; what stands there stays as it is.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn add_ledger(folder: &Path, ledger: &LedgerConfig) -> Result<(), ConfigError> {
        #[derive(Serialize)]
        struct Section<'a> {
            ledger: &'a LedgerConfig,
        }
        let path = folder.join(FILE);
        let io = |source| ConfigError::Io { path: path.clone(), source };
        let mut text = std::fs::read_to_string(&path).map_err(io)?;
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text = format!("{text}\n{}", toml::to_string(&Section { ledger })?);
        let staged = path.with_extension("new");
        let mut file = std::fs::File::create(&staged).map_err(io)?;
        std::io::Write::write_all(&mut file, text.as_bytes()).map_err(io)?;
        file.sync_all().map_err(io)?;
        std::fs::rename(&staged, &path).map_err(io)
    }

    /// Whether the folder holds a site.
    #[must_use]
    pub fn is_site(folder: &Path) -> bool {
        folder.join(FILE).is_file()
    }

    /// Reads the configuration of the site in `folder`.
    ///
    /// # Errors
    /// When there is none, or it does not parse; the message names line and column.
    pub fn read(folder: &Path) -> Result<Self, ConfigError> {
        let path = folder.join(FILE);
        if !path.is_file() {
            return Err(ConfigError::NoSite { folder: folder.to_owned() });
        }
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ConfigError::Io { path: path.clone(), source })?;
        let config: Self = toml::from_str(&text)
            .map_err(|source| ConfigError::Toml { path: path.clone(), source: Box::new(source) })?;
        if config.format != FORMAT {
            return Err(ConfigError::Format { path, found: config.format });
        }
        config.check(folder)?;
        Ok(config)
    }

    pub(crate) fn check(&self, folder: &Path) -> Result<(), ConfigError> {
        if let Some(ledger) = &self.ledger {
            ledger.check()?;
        }
        if let LakeConfig::S3 { endpoint: Some(address), .. } = &self.lake {
            protected(address)?;
        }
        let (KeyStoreConfig::Local { file, .. }, LakeConfig::Local { folder: lake }) =
            (&self.keys, &self.lake)
        else {
            return Ok(());
        };
        let (file, lake) = (folder.join(file), folder.join(lake));
        if normal(&file).starts_with(normal(&lake)) {
            return Err(ConfigError::KeysInLake { file, lake });
        }
        Ok(())
    }

    /// Writes the configuration of a new site into `folder`.
    ///
    /// # Errors
    /// When there is one already, or the folder cannot be written.
    pub fn write_new(&self, folder: &Path) -> Result<(), ConfigError> {
        self.check(folder)?;
        let path = folder.join(FILE);
        let io = |source| ConfigError::Io { path: path.clone(), source };
        let text = toml::to_string(self)?;
        let mut file = match std::fs::File::create_new(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(ConfigError::SiteExists { folder: folder.to_owned() });
            }
            file => file.map_err(io)?,
        };
        std::io::Write::write_all(&mut file, text.as_bytes()).map_err(io)?;
        file.sync_all().map_err(io)
    }
}

/// Whether requests to an address are protected: by TLS, or because they stay on this machine.
pub(crate) fn protected(address: &str) -> Result<Protection, ConfigError> {
    let refused = || ConfigError::Clear { address: address.to_owned() };
    let url = url::Url::parse(address).map_err(|_| refused())?;
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match (url.scheme(), loopback) {
        ("https", _) => Ok(Protection::Tls),
        ("http", true) => Ok(Protection::Loopback),
        _ => Err(refused()),
    }
}

/// What protects requests to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    Tls,
    Loopback,
}

/// The path without `.` and `..`, as far as can be told without looking at the disk.
fn normal(path: &Path) -> PathBuf {
    use std::path::Component;
    path.components().fold(PathBuf::new(), |mut done, part| {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                done.pop();
            }
            part => done.push(part),
        }
        done
    })
}
