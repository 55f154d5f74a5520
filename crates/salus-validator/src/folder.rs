//! A validator's folder: its configuration, its sealed keys, its certificate, its database.

use std::io::Write as _;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use salus_crypto::passphrase::{self, GuessCost, Passphrase};
use salus_ledger::{Opaque, PublicKey, Signer, cbor};
use salus_model::{Class, Classified, Entropy, Secret};
use serde::{Deserialize, Serialize};

const CONFIG: &str = "validator.toml";
const KEYS: &str = "keys.sealed";
const CHAIN: &str = "certificate.cbor";
const GENESIS: &str = "genesis.cbor";
const TOKEN: &str = "console.token";
const PURPOSE: &str = "salus-validator/keys/v1";

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file cannot be read or written.
    #[error("{file} cannot be read or written")]
    File {
        /// Which one, inside the folder.
        file: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The configuration is none.
    #[error("{CONFIG} is no configuration: {reason}")]
    Config {
        /// Line, field and reason.
        reason: String,
    },
    /// The keys do not open.
    #[error("{KEYS} does not open")]
    Sealed(#[from] passphrase::OpenRefused),
    /// The keys cannot be sealed.
    #[error("the keys cannot be sealed")]
    Seal(#[from] passphrase::SealFailed),
    /// The operating system gave no random bytes.
    #[error("no random bytes could be drawn")]
    Entropy,
    /// A file is damaged.
    #[error("{file} is damaged; restore it from your backup")]
    Damaged {
        /// Which one, inside the folder.
        file: &'static str,
    },
}

impl Classified for FolderError {
    fn class(&self) -> Class {
        match self {
            Self::File { .. } | Self::Entropy => Class::Unavailable,
            Self::Config { .. } => Class::BadRequest,
            Self::Sealed(error) => error.class(),
            Self::Seal(error) => error.class(),
            Self::Damaged { .. } => Class::Corrupt,
        }
    }
}

/// Another validator and where it listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its key, in hexadecimal.
    pub key: PublicKey,
    /// Where it listens for validators.
    pub address: SocketAddr,
}

/// What a validator's operator decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidatorConfig {
    /// Where validators reach this one.
    pub listen: SocketAddr,
    /// Where members' nodes reach it, over HTTPS with mutual TLS.
    pub api: SocketAddr,
    /// How many of the last blocks keep their transactions here; all of them when it is left out.
    /// Of older ones what became of each transaction stays, with its proof. A validator that was
    /// away for longer needs a snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_blocks: Option<NonZeroU64>,
    /// The other validators, and followers.
    #[serde(default)]
    pub peers: Vec<Peer>,
    /// Whether it keeps an index for people who look at the ledger, and where a browser reaches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explorer: Option<ExplorerConfig>,
}

/// The explorer of a validator: `[explorer]` in its configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplorerConfig {
    /// Where a browser on this machine reaches the console, over HTTP: a loopback address. Without
    /// it, members alone reach the explorer, over the API.
    pub console: Option<SocketAddr>,
}

/// The secrets of a validator and its organisation's certificate.
#[derive(Debug)]
pub struct Identity {
    /// Signs votes and blocks; the key that the ledger knows.
    pub ledger: Secret<[u8; 32]>,
    /// The key of the certificate, as PKCS#8.
    pub tls: Secret<Vec<u8>>,
    /// The organisation's certificate, then its intermediates, as DER.
    pub chain: Vec<Opaque>,
}

impl Identity {
    /// Signs for the ledger.
    #[must_use]
    pub fn signer(&self) -> Signer {
        Signer::new(&salus_crypto::SigningKey::from_secret(&self.ledger))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    ledger: Opaque,
    tls: Opaque,
}

/// A validator's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at a path; nothing is read yet.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.0.join("ledger.redb")
    }

    /// The explorer's index, which can be deleted at any time.
    #[must_use]
    pub fn index(&self) -> PathBuf {
        self.0.join("explorer.redb")
    }

    /// The console's token; made on first use, and made anew when the file is deleted.
    ///
    /// # Errors
    /// When the file cannot be read or written, is damaged, or no random bytes can be drawn.
    pub fn console_token(&self, entropy: &mut dyn Entropy) -> Result<Secret<String>, FolderError> {
        if !self.0.join(TOKEN).exists() {
            let mut bytes = [0; 32];
            entropy.fill(&mut bytes).map_err(|_| FolderError::Entropy)?;
            self.write(TOKEN, hex::encode(bytes).as_bytes())?;
        }
        let damaged = FolderError::Damaged { file: TOKEN };
        let Ok(text) = String::from_utf8(self.read(TOKEN)?) else { return Err(damaged) };
        let token = text.trim().to_owned();
        let fits = token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit());
        if fits { Ok(Secret::new(token)) } else { Err(damaged) }
    }

    /// The engine's journals.
    #[must_use]
    pub fn engine(&self) -> PathBuf {
        self.0.join("engine")
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn read(&self, file: &'static str) -> Result<Vec<u8>, FolderError> {
        std::fs::read(self.0.join(file)).map_err(|source| FolderError::File { file, source })
    }

    /// Writes a file as a whole: the old one stays until the new one is on the disk.
    pub(crate) fn write(&self, file: &'static str, bytes: &[u8]) -> Result<(), FolderError> {
        let failed = |source| FolderError::File { file, source };
        std::fs::create_dir_all(&self.0).map_err(failed)?;
        let (path, next) = (self.0.join(file), self.0.join(format!("{file}.next")));
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut to = options.open(&next).map_err(failed)?;
        to.write_all(bytes).and_then(|()| to.sync_all()).map_err(failed)?;
        std::fs::rename(&next, &path).map_err(failed)?;
        std::fs::File::open(&self.0).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    /// Lays a folder out: configuration, sealed keys, certificate and genesis.
    ///
    /// # Errors
    /// When a file cannot be written, or no salt can be drawn.
    pub fn create(
        &self,
        config: &ValidatorConfig,
        identity: &Identity,
        genesis: &salus_ledger::genesis::Genesis,
        passphrase: &Passphrase,
        cost: GuessCost,
        entropy: &mut dyn Entropy,
    ) -> Result<(), FolderError> {
        self.set_config(config)?;
        self.create_identity(identity, genesis, passphrase, cost, entropy)
    }

    /// The part of a folder that a witness has as well: sealed keys, certificate and genesis.
    pub(crate) fn create_identity(
        &self,
        identity: &Identity,
        genesis: &salus_ledger::genesis::Genesis,
        passphrase: &Passphrase,
        cost: GuessCost,
        entropy: &mut dyn Entropy,
    ) -> Result<(), FolderError> {
        let keys = Keys {
            ledger: Opaque::new(identity.ledger.expose().to_vec()),
            tls: Opaque::new(identity.tls.expose().clone()),
        };
        let keys = cbor::encode(&keys).map_err(|_| FolderError::Damaged { file: KEYS })?;
        let keys = Secret::new(keys);
        let sealed = passphrase::seal(entropy, passphrase, cost, PURPOSE, keys.expose())?;
        self.write(KEYS, &sealed)?;
        let chain =
            cbor::encode(&identity.chain).map_err(|_| FolderError::Damaged { file: CHAIN })?;
        self.write(CHAIN, &chain)?;
        let genesis = cbor::encode(genesis).map_err(|_| FolderError::Damaged { file: GENESIS })?;
        self.write(GENESIS, &genesis)
    }

    /// The operator's configuration.
    ///
    /// # Errors
    /// Names the line that is wrong.
    pub fn config(&self) -> Result<ValidatorConfig, FolderError> {
        let text = String::from_utf8(self.read(CONFIG)?)
            .map_err(|_| FolderError::Damaged { file: CONFIG })?;
        toml::from_str(&text).map_err(|error| FolderError::Config { reason: error.to_string() })
    }

    /// Replaces the operator's configuration.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_config(&self, config: &ValidatorConfig) -> Result<(), FolderError> {
        let text = toml::to_string(config)
            .map_err(|error| FolderError::Config { reason: error.to_string() })?;
        self.write(CONFIG, text.as_bytes())
    }

    /// What the ledger began with.
    ///
    /// # Errors
    /// When the file is missing or damaged.
    pub fn genesis(&self) -> Result<salus_ledger::genesis::Genesis, FolderError> {
        cbor::decode(&self.read(GENESIS)?, salus_ledger::genesis::MAX_GENESIS_BYTES)
            .map_err(|_| FolderError::Damaged { file: GENESIS })
    }

    /// Opens the keys.
    ///
    /// # Errors
    /// When the passphrase is another, or a file is missing or damaged.
    pub fn open(&self, passphrase: &Passphrase) -> Result<Identity, FolderError> {
        let bytes = passphrase::open(passphrase, PURPOSE, &self.read(KEYS)?)?;
        let keys: Keys =
            cbor::decode(&bytes, 64 * 1024).map_err(|_| FolderError::Damaged { file: KEYS })?;
        let chain = cbor::decode(&self.read(CHAIN)?, 256 * 1024)
            .map_err(|_| FolderError::Damaged { file: CHAIN })?;
        let ledger: [u8; 32] =
            keys.ledger.as_bytes().try_into().map_err(|_| FolderError::Damaged { file: KEYS })?;
        let tls = Secret::new(keys.tls.as_bytes().to_vec());
        Ok(Identity { ledger: Secret::new(ledger), tls, chain })
    }
}
