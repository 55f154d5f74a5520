//! A source in `salus.toml`, and what it amounts to once it is checked.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use salus_crypto::Digest;
use salus_fhir::{ResourceId, definitions};
use salus_model::{Class, Classified, Secret, Timestamp};
use serde::{Deserialize, Serialize};

use super::export::ExportLevel;
use super::key::{ClientKey, KeyFileError, read_private};
use super::origin::{AddressError, BaseUrl, Origin};
use super::pace::Pace;
use super::token::{BackendServices, Credentials};

/// Why a source is refused.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Its name does not fit.
    #[error("'{0}' is no source's name: 1 to 64 of a-z, 0-9, '-' and '_'")]
    Name(String),
    /// An address is refused.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A secret file is refused.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// No such resource type.
    #[error("'{0}' is no resource type of FHIR R4")]
    Type(String),
    /// Neither a key nor a token.
    #[error(
        "{origin} is not on this machine: give a client id with its key (SMART Backend Services), \
         or a file with an access token"
    )]
    NoCredential {
        /// Where.
        origin: Origin,
    },
    /// Both, or half of one.
    #[error("a client id and a key belong together, and a token file excludes both")]
    Credentials,
    /// No level.
    #[error("'{0}' is no level; it is 'system', 'patients' or 'group/' with a Group's id")]
    Level(String),
    /// Search cannot do it.
    #[error("patients and groups are exported by $export alone; search reads a whole system")]
    LevelBySearch,
    /// Subscriptions to everything.
    #[error("a subscription is to one resource type: list those that are pulled in `types`")]
    SubscribeToWhat,
    /// A token file with something else in it.
    #[error("the file {path} does not hold one access token on one line")]
    TokenFile {
        /// The file.
        path: PathBuf,
    },
    /// A certificate file cannot be read.
    #[error("the file {path} cannot be read")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Classified for SourceError {
    fn class(&self) -> Class {
        match self {
            Self::Address(e) => e.class(),
            Self::KeyFile(e) => e.class(),
            Self::Io { .. } => Class::Unavailable,
            _ => Class::BadRequest,
        }
    }
}

/// What a site calls a server that it pulls from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SourceName(String);

impl SourceName {
    /// A name made of an address: the same for the same one.
    #[must_use]
    pub fn of(base: &BaseUrl) -> Self {
        let readable: String = base
            .as_str()
            .split_once("://")
            .map_or("", |(_, rest)| rest)
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .take(40)
            .collect();
        let digest = Digest::of(base.as_str().as_bytes()).to_string();
        Self(format!("{readable}-{}", digest.get(..12).unwrap_or_default()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for SourceName {
    type Error = SourceError;

    fn try_from(text: String) -> Result<Self, SourceError> {
        let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_');
        if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text))
        } else {
            Err(SourceError::Name(text.chars().take(80).collect()))
        }
    }
}

impl From<SourceName> for String {
    fn from(name: SourceName) -> Self {
        name.0
    }
}

/// How records are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// As the server's CapabilityStatement says: `$export` where there is one.
    Detect,
    /// By `$export`.
    Bulk,
    /// By search and history.
    Search,
}

/// A server to pull from, as `[[fhir.source]]` in `salus.toml` describes it. Relative paths start
/// at the site's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// What the site calls it; by default a name made of the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SourceName>,
    /// Its FHIR endpoint.
    pub url: BaseUrl,
    /// The client's id, as registered with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The client's private key: PEM or JWK, readable by its owner alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Under which `kid` the server knows the key; by default as the JWK says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The scopes to ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Where tokens are issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_url: Option<BaseUrl>,
    /// A file with an access token, instead of a client and its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// `system`, `patients` or `group/id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// The resource types; all by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// From when on at the first pull; everything by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// How records are asked for.
    #[serde(default = "detect")]
    pub way: Way,
    /// Further hosts of the same holder, which may see the token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted: Vec<Origin>,
    /// Authorities, as PEM, whose certificates are accepted besides the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Whether the server is asked to tell us of changes (a Subscription for each of `types`), so
    /// that a pull begins at once.
    #[serde(default, skip_serializing_if = "Told::is_polling")]
    pub told: Told,
    /// Seconds between two pulls when a node keeps up with it.
    #[serde(default = "five_minutes")]
    pub every_seconds: u32,
}

/// How a site learns that something changed at a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// By asking from time to time.
    #[default]
    ByPolling,
    /// By Subscriptions there, and by asking from time to time as well.
    BySubscription,
}

impl Told {
    const fn is_polling(&self) -> bool {
        matches!(self, Self::ByPolling)
    }
}

const fn detect() -> Way {
    Way::Detect
}

const fn five_minutes() -> u32 {
    300
}

/// How much a pull may take at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullLimits {
    /// After so many bytes what came is published, and how far it is kept.
    pub piece_bytes: u64,
    /// The most that one file of an export may have, decompressed.
    pub file_bytes: u64,
}

impl PullLimits {
    /// Pieces of 256 MiB; files of a tebibyte.
    pub const AMPLE: Self = Self { piece_bytes: 256 << 20, file_bytes: 1 << 40 };
}

/// A server to pull from, checked, with its credentials.
#[derive(Debug)]
pub struct PullSource {
    pub(crate) name: SourceName,
    pub(crate) base: BaseUrl,
    pub(crate) level: ExportLevel,
    pub(crate) types: BTreeSet<&'static str>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) way: Way,
    pub(crate) trusted: Vec<Origin>,
    pub(crate) authorities: Vec<Vec<u8>>,
    pub(crate) credentials: Credentials,
    pub(crate) every: Duration,
    pub(crate) told: Told,
    /// How patient it is.
    pub pace: Pace,
    /// How much it takes at once.
    pub limits: PullLimits,
}

impl SourceConfig {
    /// A source at an address, with everything else as by default.
    #[must_use]
    pub const fn new(url: BaseUrl) -> Self {
        Self {
            name: None,
            url,
            client_id: None,
            key: None,
            key_id: None,
            scope: None,
            token_url: None,
            token_file: None,
            level: None,
            types: Vec::new(),
            since: None,
            way: Way::Detect,
            trusted: Vec::new(),
            ca: None,
            told: Told::ByPolling,
            every_seconds: five_minutes(),
        }
    }

    /// Checks the source and reads its credentials; `folder` is where relative paths start.
    ///
    /// # Errors
    /// When a part of it is refused; the message names it.
    pub fn open(&self, folder: &Path) -> Result<PullSource, SourceError> {
        let types = self.resource_types()?;
        let level = self.export_level()?;
        if self.way == Way::Search && level != ExportLevel::System {
            return Err(SourceError::LevelBySearch);
        }
        if self.told == Told::BySubscription && types.is_empty() {
            return Err(SourceError::SubscribeToWhat);
        }
        let authorities = match &self.ca {
            None => Vec::new(),
            Some(path) => {
                let path = folder.join(path);
                vec![std::fs::read(&path).map_err(|source| SourceError::Io { path, source })?]
            }
        };
        Ok(PullSource {
            name: self.name.clone().unwrap_or_else(|| SourceName::of(&self.url)),
            base: self.url.clone(),
            level,
            credentials: self.credentials(folder, &types)?,
            types,
            since: self.since,
            way: self.way,
            trusted: self.trusted.clone(),
            authorities,
            every: Duration::from_secs(u64::from(self.every_seconds.max(1))),
            told: self.told,
            pace: Pace::CONSIDERATE,
            limits: PullLimits::AMPLE,
        })
    }

    fn resource_types(&self) -> Result<BTreeSet<&'static str>, SourceError> {
        let known = |name: &String| {
            let id = definitions().resource_named(name);
            let id = id.ok_or_else(|| SourceError::Type(name.chars().take(80).collect()))?;
            Ok(definitions().definition(id).name)
        };
        self.types.iter().map(known).collect()
    }

    fn export_level(&self) -> Result<ExportLevel, SourceError> {
        let text = self.level.as_deref().unwrap_or("system");
        let refused = || SourceError::Level(text.chars().take(80).collect());
        match text {
            "system" => Ok(ExportLevel::System),
            "patients" => Ok(ExportLevel::Patients),
            group => {
                let id = group.strip_prefix("group/").ok_or_else(refused)?;
                Ok(ExportLevel::Group(ResourceId::new(id).map_err(|_| refused())?))
            }
        }
    }

    fn credentials(
        &self,
        folder: &Path,
        types: &BTreeSet<&'static str>,
    ) -> Result<Credentials, SourceError> {
        match (&self.client_id, &self.key, &self.token_file) {
            (Some(client_id), Some(key), None) => Ok(Credentials::Backend(BackendServices {
                client_id: client_id.clone(),
                key: ClientKey::read(&folder.join(key), self.key_id.as_deref())?,
                scope: self.scope.clone(),
                token_url: self.token_url.clone(),
                types: types.clone(),
                told: self.told,
            })),
            (None, None, Some(file)) => {
                let path = folder.join(file);
                let bytes = read_private(&path)?;
                let text = std::str::from_utf8(&bytes).ok().map(str::trim);
                let token =
                    text.filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_graphic()));
                let token = token.ok_or(SourceError::TokenFile { path })?;
                Ok(Credentials::Bearer(Arc::new(Secret::new(token.to_owned()))))
            }
            (None, None, None) if self.url.is_loopback() => Ok(Credentials::None),
            (None, None, None) => Err(SourceError::NoCredential { origin: self.url.origin() }),
            _ => Err(SourceError::Credentials),
        }
    }
}

impl PullSource {
    /// What the site calls it.
    #[must_use]
    pub const fn name(&self) -> &SourceName {
        &self.name
    }

    /// How the site learns of changes.
    #[must_use]
    pub const fn told(&self) -> Told {
        self.told
    }

    /// What is asked for, as far as an earlier answer depends on it.
    pub(crate) fn request(&self) -> Digest {
        let level = match &self.level {
            ExportLevel::System => "system".to_owned(),
            ExportLevel::Patients => "patients".to_owned(),
            ExportLevel::Group(id) => format!("group/{id}"),
        };
        let since = self.since.map(|t| t.to_string()).unwrap_or_default();
        let types = self.types.iter().copied().collect::<Vec<_>>().join(",");
        let parts = [self.base.as_str(), &level, &since, &types].map(str::as_bytes);
        Digest::of_parts("salus fhir pull request v1", &parts)
    }
}
