//! Joint answers: with whom the site answers, and for whom it adds up shares.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use salus_crypto::aead::Aad;
use salus_crypto::hpke::{RecipientKey, RecipientPublicKey};
use salus_crypto::{Digest, OsEntropy, VerifyingKey};
use salus_model::{Class, Classified, EntropyFailed, HolderId, Secret};
use salus_private::joint::{HolderPolicy, Party, RevealLog, Revealed};
use salus_store::{SealedError, open_sealed, seal_object};
use serde::{Deserialize, Serialize};

use crate::site::{Site, make_private_folder};
use crate::staff::write_private;

const FILE: &str = "joint.toml";
const KEY_FILE: &str = "joint.key";
/// What this site has revealed as a party: one small file for each, for ever.
const REVEALED_FOLDER: &str = "joint";
/// How many honest holders a site relies on when its operator does not say otherwise.
const FEWEST_HONEST: u32 = 2;

/// Whom an operator trusts in joint answers: `joint.toml` in the site's folder.
///
/// ```toml
/// fewest_honest = 2
///
/// [parties]      # as a holder: organisations that do not collude, each with its key
/// hub = "f6c5…"
/// university = "03aa…"
///
/// [holders]      # as a party: whose shares to add up, each with the key of its authority
/// st-mary = "77b2…"
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JointTrust {
    /// How many honest holders, itself among them, the site relies on at least.
    #[serde(default = "JointTrust::usual")]
    pub fewest_honest: u32,
    /// The parties that it trusts not to collude.
    #[serde(default)]
    pub parties: BTreeMap<HolderId, RecipientPublicKey>,
    /// The holders that it knows, as a party.
    #[serde(default)]
    pub holders: BTreeMap<HolderId, VerifyingKey>,
}

/// Why joint answers cannot be taken part in.
#[derive(Debug, thiserror::Error)]
pub enum JointError {
    /// A file cannot be read or written.
    #[error("{path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The trusted keys do not parse; the message has line and column.
    #[error("{path} is refused: {source}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The key does not open.
    #[error("the site's key for shares, {path}, does not open: restore it from a backup")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Option<SealedError>,
    },
    /// The trusted keys cannot be written, which is a bug.
    #[error("the trusted keys cannot be written")]
    Encode(#[from] toml::ser::Error),
    /// No key can be drawn.
    #[error("no key can be drawn")]
    Entropy(#[from] EntropyFailed),
}

impl Classified for JointError {
    fn class(&self) -> Class {
        match self {
            Self::Io { .. } | Self::Entropy(_) => Class::Unavailable,
            Self::Toml { .. } => Class::BadRequest,
            Self::Key { .. } => Class::Corrupt,
            Self::Encode(_) => Class::Bug,
        }
    }
}

impl JointTrust {
    const fn usual() -> u32 {
        FEWEST_HONEST
    }

    /// What the site in `folder` trusts; nobody before its operator said so.
    ///
    /// # Errors
    /// When the file does not parse; the message names line and column.
    pub fn read(folder: &Path) -> Result<Self, JointError> {
        let path = folder.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text)
                .map_err(|source| JointError::Toml { path, source: Box::new(source) }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let (parties, holders) = (BTreeMap::new(), BTreeMap::new());
                Ok(Self { fewest_honest: FEWEST_HONEST, parties, holders })
            }
            Err(source) => Err(JointError::Io { path, source }),
        }
    }

    /// Writes it down; a node takes it up when it starts.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), JointError> {
        let path = folder.join(FILE);
        let text = toml::to_string(self)?;
        write_private(&path, text.as_bytes()).map_err(|source| JointError::Io { path, source })
    }

    /// Under which conditions the site answers jointly; it does not before two parties are named.
    #[must_use]
    pub fn policy(&self) -> Option<HolderPolicy> {
        let (fewest_honest, parties) = (self.fewest_honest, self.parties.clone());
        (parties.len() >= 2).then_some(HolderPolicy { fewest_honest, parties })
    }
}

/// What was revealed, as files that are made once and never changed.
struct RevealedFiles(PathBuf);

impl RevealedFiles {
    fn path(&self, invitation: &Digest) -> PathBuf {
        self.0.join(invitation.to_string())
    }
}

impl RevealLog for RevealedFiles {
    fn first(&self, invitation: &Digest, revealed: &Revealed) -> std::io::Result<Revealed> {
        let path = self.path(invitation);
        let text = serde_json::to_vec(revealed)?;
        // Whole before it has its name, and a name that is there is never taken: of two that race,
        // one is first, and a crash leaves nothing that passes for a record.
        let mut new = tempfile_in(&self.0)?;
        new.1.write_all(&text)?;
        new.1.sync_all()?;
        let linked = std::fs::hard_link(&new.0, &path);
        std::fs::remove_file(&new.0)?;
        match linked {
            Ok(()) => {
                std::fs::File::open(&self.0)?.sync_all()?;
                Ok(revealed.clone())
            }
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                Ok(serde_json::from_slice(&std::fs::read(path)?)?)
            }
            Err(e) => Err(e),
        }
    }

    fn look(&self, invitation: &Digest) -> std::io::Result<Option<Revealed>> {
        match std::fs::read(self.path(invitation)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// A new file that nobody else has.
fn tempfile_in(folder: &Path) -> std::io::Result<(PathBuf, std::fs::File)> {
    use salus_model::Entropy as _;
    let mut random = [0; 16];
    OsEntropy.fill(&mut random).map_err(std::io::Error::other)?;
    let path = folder.join(format!("{}.new", hex::encode(random)));
    let file = std::fs::File::create_new(&path)?;
    Ok((path, file))
}

fn key_aad(site: &Site) -> Aad {
    Aad::new("salus joint key v1", &[site.config.holder.as_str().as_bytes()])
}

impl Site {
    /// The key that shares for this site as a party are sealed to; made once.
    ///
    /// # Errors
    /// When it does not open, or cannot be made.
    pub async fn joint_key(&self) -> Result<RecipientKey, JointError> {
        let path = self.folder.join(KEY_FILE);
        let failed = |source| JointError::Key { path: path.clone(), source };
        match std::fs::read(&path) {
            Ok(sealed) => {
                let opened = open_sealed(&*self.keys, &self.master, &key_aad(self), &sealed)
                    .await
                    .map_err(|e| failed(Some(e)))?;
                let secret: [u8; 32] = opened.as_slice().try_into().map_err(|_| failed(None))?;
                RecipientKey::from_secret(&Secret::new(secret)).ok_or_else(|| failed(None))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let key = RecipientKey::generate(&mut OsEntropy)?;
                let secret = key.to_secret();
                let sealed =
                    seal_object(&*self.keys, &self.master, &key_aad(self), secret.expose())
                        .await
                        .map_err(|e| failed(Some(e)))?;
                write_private(&path, &sealed)
                    .map_err(|source| JointError::Io { path: path.clone(), source })?;
                Ok(key)
            }
            Err(source) => Err(JointError::Io { path, source }),
        }
    }

    /// The site as a party that adds up shares; none before its operator has named holders.
    ///
    /// # Errors
    /// When the key or what was revealed cannot be used.
    pub async fn party(&self) -> Result<Option<Party>, JointError> {
        let trust = JointTrust::read(&self.folder)?;
        if trust.holders.is_empty() {
            return Ok(None);
        }
        let folder = self.folder.join(REVEALED_FOLDER);
        make_private_folder(&folder)
            .map_err(|source| JointError::Io { path: folder.clone(), source })?;
        let log: Arc<dyn RevealLog> = Arc::new(RevealedFiles(folder));
        Ok(Some(Party::new(self.joint_key().await?, trust.holders, log)))
    }
}

#[cfg(test)]
mod tests;
