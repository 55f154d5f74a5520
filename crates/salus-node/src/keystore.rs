//! The site's key store, as its configuration says.

use std::num::NonZeroU32;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_keys::{
    KeyStore, LocalKeyStore, Pkcs11Config, Pkcs11KeyStore, RetryPolicy, VaultConfig, VaultKeyStore,
};
use salus_model::{Class, Classified, Clock, Secret};
use salus_store::{S3Credentials, S3Settings, S3Transport, Storage};
use serde::Deserialize;
use zeroize::Zeroize as _;

use crate::config::{KeyStoreConfig, LakeConfig, Protection, protected};
use crate::site::SiteError;

/// How a key server is asked again: for some seconds, as the statement waits.
const RETRY: RetryPolicy = RetryPolicy {
    attempts: NonZeroU32::MIN.saturating_add(3),
    first_pause: Duration::from_millis(200),
    longest_pause: Duration::from_secs(2),
};
const TIMEOUT: Duration = Duration::from_secs(10);
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// What opens a site's key store.
#[derive(Debug)]
pub enum Unlock {
    /// A key file's passphrase.
    Passphrase(Passphrase),
    /// A hardware token's PIN.
    Pin(Secret<String>),
    /// A key server's access token.
    Token(Secret<String>),
}

impl From<Passphrase> for Unlock {
    fn from(passphrase: Passphrase) -> Self {
        Self::Passphrase(passphrase)
    }
}

impl Unlock {
    const fn word(&self) -> &'static str {
        match self {
            Self::Passphrase(_) => "a passphrase",
            Self::Pin(_) => "a PIN",
            Self::Token(_) => "an access token",
        }
    }
}

/// Why a file with a secret is refused.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// It cannot be read.
    #[error("{} cannot be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others can read it.
    #[error("{} has mode {mode:03o}, so others can read the secret in it; run chmod 600 on it", path.display())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is no text, or far too long.
    #[error("{} is no short text", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// It lacks what it should have; the message never quotes it.
    #[error("{} must have {wanted}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it must have.
        wanted: &'static str,
    },
}

impl Classified for SecretFileError {
    fn class(&self) -> Class {
        match self {
            Self::OpenToOthers { .. } => Class::Refused,
            _ => Class::BadRequest,
        }
    }
}

/// Reads a secret from a file that nobody but its owner may read; a line break at the end goes.
///
/// # Errors
/// When it cannot be read, others can read it, or it is no short text.
pub fn read_secret(path: &Path) -> Result<Secret<String>, SecretFileError> {
    use std::io::Read as _;
    let io = |source| SecretFileError::Io { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(io)?;
    // Of the open file, so that nothing can be swapped in between check and use.
    let mode = file.metadata().map_err(io)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretFileError::OpenToOthers { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::with_capacity(1024);
    let read = file.take(SECRET_BYTES_MAX).read_to_end(&mut bytes).map_err(io)?;
    let not_text = || SecretFileError::NotText { path: path.to_owned() };
    if read as u64 == SECRET_BYTES_MAX {
        return Err(not_text());
    }
    let mut text = String::from_utf8(bytes).map_err(|e| {
        e.into_bytes().zeroize();
        not_text()
    })?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(Secret::new(text))
}

fn bytes_of(folder: &Path, file: Option<&PathBuf>) -> Result<Option<Vec<u8>>, SiteError> {
    let read = |file: &PathBuf| {
        let path = folder.join(file);
        std::fs::read(&path).map_err(|source| SiteError::Io { path, source })
    };
    file.map(read).transpose()
}

/// Where the site stands: its folder and the clock.
pub(crate) struct Place<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) clock: &'a Arc<dyn Clock>,
}

/// Whether a key file is to be made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    New,
    Known,
}

/// Opens the configured key store; makes the key file first when it is to be new.
pub(crate) fn open_keys(
    config: &KeyStoreConfig,
    place: &Place<'_>,
    unlock: Unlock,
    cost: GuessCost,
    opening: Opening,
) -> Result<Arc<dyn KeyStore>, SiteError> {
    let clock = Arc::clone(place.clock);
    match (config, unlock) {
        (KeyStoreConfig::Local { file, .. }, Unlock::Passphrase(passphrase)) => {
            let file = place.folder.join(file);
            if opening == Opening::New {
                let parent = file.parent().unwrap_or(place.folder);
                crate::site::make_private_folder(parent)
                    .map_err(|source| SiteError::Io { path: parent.to_owned(), source })?;
                Ok(Arc::new(LocalKeyStore::create(&file, passphrase, cost, clock)?))
            } else {
                Ok(Arc::new(LocalKeyStore::open(&file, passphrase, cost, clock)?))
            }
        }
        (KeyStoreConfig::Pkcs11 { module, token_label, .. }, Unlock::Pin(pin)) => {
            let module = place.folder.join(module);
            let config = Pkcs11Config { module, token_label: token_label.clone(), pin };
            Ok(Arc::new(Pkcs11KeyStore::open(config, clock)?))
        }
        (
            KeyStoreConfig::Vault { address, mount, namespace, ca_file, .. },
            Unlock::Token(token),
        ) => {
            let ca_pem = bytes_of(place.folder, ca_file.as_ref())?;
            Ok(Arc::new(VaultKeyStore::new(VaultConfig {
                address: address.clone(),
                mount: mount.clone(),
                token,
                namespace: namespace.clone(),
                ca_pem,
                timeout: TIMEOUT,
                retry: RETRY,
            })?))
        }
        (config, unlock) => Err(SiteError::OtherUnlock {
            wanted: match config {
                KeyStoreConfig::Local { .. } => "a passphrase",
                KeyStoreConfig::Pkcs11 { .. } => "a PIN",
                KeyStoreConfig::Vault { .. } => "an access token",
            },
            found: unlock.word(),
        }),
    }
}

/// A credentials file: TOML with an access key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialsFile {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

fn credentials(folder: &Path, file: Option<&PathBuf>) -> Result<S3Credentials, SiteError> {
    if let Some(file) = file {
        let path = folder.join(file);
        let text = read_secret(&path)?;
        // The parser's own message would quote the line.
        let found: CredentialsFile =
            toml::from_str(text.expose()).map_err(|_| SecretFileError::Content {
                path,
                wanted: "access_key_id = \"…\" and secret_access_key = \"…\", as TOML",
            })?;
        return Ok(S3Credentials {
            access_key_id: found.access_key_id,
            secret_access_key: Secret::new(found.secret_access_key),
            session_token: found.session_token.map(Secret::new),
        });
    }
    let variable = |name: &'static str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let wanted = |name| variable(name).ok_or(SiteError::NoCredentials { variable: name });
    Ok(S3Credentials {
        access_key_id: wanted("AWS_ACCESS_KEY_ID")?,
        secret_access_key: Secret::new(wanted("AWS_SECRET_ACCESS_KEY")?),
        session_token: variable("AWS_SESSION_TOKEN").map(Secret::new),
    })
}

/// The storage of the lake, as the configuration says.
pub(crate) fn open_storage(config: &LakeConfig, folder: &Path) -> Result<Storage, SiteError> {
    match config {
        LakeConfig::Local { folder: lake } => Ok(Storage::local(&folder.join(lake))?),
        LakeConfig::S3 { bucket, prefix, region, endpoint, credentials_file, ca_file } => {
            let transport = match endpoint.as_deref().map(protected).transpose()? {
                Some(Protection::Loopback) => S3Transport::DangerousPlaintext,
                Some(Protection::Tls) | None => S3Transport::Tls,
            };
            Ok(Storage::s3(S3Settings {
                bucket: bucket.clone(),
                prefix: prefix.clone(),
                region: region.clone(),
                endpoint: endpoint.clone(),
                credentials: credentials(folder, credentials_file.as_ref())?,
                ca_pem: bytes_of(folder, ca_file.as_ref())?,
                transport,
            })?)
        }
    }
}
