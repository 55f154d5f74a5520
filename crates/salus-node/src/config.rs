use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use salus_model::{Class, Classified, HolderId};
use serde::{Deserialize, Serialize};

use crate::pull::FhirConfig;

const FORMAT: u32 = 1;
const FILE: &str = "salus.toml";

/// A site's configuration, `salus.toml` in its folder. Relative paths start at that folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The format of this file.
    pub format: u32,
    /// Whose site it is.
    pub holder: HolderId,
    /// Where datasets lie.
    pub lake: LakeConfig,
    /// Where master keys live.
    pub keys: KeyStoreConfig,
    /// Where the services listen.
    pub listen: ListenConfig,
    /// The FHIR servers that the site keeps up with.
    #[serde(default, skip_serializing_if = "FhirConfig::is_empty")]
    pub fhir: FhirConfig,
}

/// Where datasets lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LakeConfig {
    /// A local folder.
    pub folder: PathBuf,
}

/// Where master keys live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum KeyStoreConfig {
    /// A file sealed with a passphrase.
    Local {
        /// The file; never inside the lake's folder.
        file: PathBuf,
    },
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
    /// The configuration that `salus init` writes.
    #[must_use]
    pub fn embedded(holder: HolderId, listen: ListenConfig) -> Self {
        Self {
            format: FORMAT,
            holder,
            lake: LakeConfig { folder: "lake".into() },
            keys: KeyStoreConfig::Local { file: "keys/keystore".into() },
            listen,
            fhir: FhirConfig::default(),
        }
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

    fn check(&self, folder: &Path) -> Result<(), ConfigError> {
        let KeyStoreConfig::Local { file } = &self.keys;
        let (file, lake) = (folder.join(file), folder.join(&self.lake.folder));
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
