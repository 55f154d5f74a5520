//! Answers under permits, as the site gives them, and the list of those who opted out.

use std::path::PathBuf;
use std::sync::Arc;

use salus_crypto::aead::{Aad, AeadKey};
use salus_crypto::{Digest, OsEntropy};
use salus_ledger::proof::TrustAnchor;
use salus_model::Secret;
use salus_private::{Desk, DeskParts, Ledger, Outbox, Profiles};
use salus_spine::{Freshness, OptOutList};
use salus_store::audit::AuditLog;
use salus_store::{open_sealed, seal_object};
use serde::{Deserialize, Serialize};

use crate::config::QuestionsFrom;
use crate::door::MemberDoor;
use crate::ledger::HolderLedger;
use crate::site::{Site, SiteError};

/// What is publicly known of the site's datasets, for answers under permits.
pub const PROFILES_FILE: &str = "privacy.toml";
const OPT_OUTS_FILE: &str = "opt-outs";
const ANSWERS_FOLDER: &str = "answers";
const STANDING_FOLDER: &str = "standing";
const ANSWERS_KEY_FILE: &str = "answers.key";
/// How old the ledger's state may be: a revocation takes effect within this time.
const FRESHNESS: Freshness = Freshness { max_age_micros: 60_000_000, max_ahead_micros: 5_000_000 };

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredOptOuts {
    format: u32,
    epoch: u64,
    salt: String,
    people: Vec<String>,
}

/// Sealed answers as files of the site's folder, one each.
struct AnswerFiles(PathBuf);

impl AnswerFiles {
    fn path(&self, name: &Digest) -> PathBuf {
        self.0.join(hex::encode(name.as_bytes()))
    }
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

#[async_trait::async_trait]
impl Outbox for AnswerFiles {
    async fn put(&self, name: &Digest, entry: &[u8]) -> std::io::Result<()> {
        let (path, entry) = (self.path(name), entry.to_vec());
        on_disk(move || crate::staff::write_private(&path, &entry)).await
    }

    async fn get(&self, name: &Digest) -> std::io::Result<Option<Vec<u8>>> {
        let path = self.path(name);
        on_disk(move || match std::fs::read(&path) {
            Ok(entry) => Ok(Some(entry)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        })
        .await
    }

    async fn remove(&self, name: &Digest) -> std::io::Result<()> {
        let path = self.path(name);
        on_disk(move || match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        })
        .await
    }

    async fn all(&self) -> std::io::Result<Vec<Vec<u8>>> {
        let folder = self.0.clone();
        on_disk(move || {
            let mut found = Vec::new();
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                // What a crash left half written was never acknowledged.
                if path.extension().is_none() {
                    found.push(std::fs::read(path)?);
                }
            }
            Ok(found)
        })
        .await
    }
}

fn key_aad(site: &Site) -> Aad {
    Aad::new("salus answers key v1", &[site.config.holder.as_str().as_bytes()])
}

fn aad(site: &Site) -> Aad {
    Aad::new("salus opt-outs v1", &[site.config.holder.as_str().as_bytes()])
}

impl Site {
    fn opt_outs_path(&self) -> PathBuf {
        self.folder.join(OPT_OUTS_FILE)
    }

    async fn stored_opt_outs(&self) -> Result<Option<StoredOptOuts>, SiteError> {
        let path = self.opt_outs_path();
        let sealed = match std::fs::read(&path) {
            Ok(sealed) => sealed,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SiteError::Io { path, source }),
        };
        let bytes = open_sealed(&*self.keys, &self.master, &aad(self), &sealed)
            .await
            .map_err(|source| SiteError::OptOuts { path: path.clone(), source: Some(source) })?;
        let damaged = |_| SiteError::OptOuts { path, source: None };
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }

    /// The list of those who opted out; the empty one of epoch 0 before the first.
    ///
    /// # Errors
    /// When the file cannot be read, or was altered.
    pub async fn opt_outs(&self) -> Result<OptOutList, SiteError> {
        let Some(stored) = self.stored_opt_outs().await? else { return Ok(OptOutList::none()) };
        let path = self.opt_outs_path();
        let salt = hex::decode(&stored.salt).ok().and_then(|bytes| bytes.try_into().ok());
        let salt: [u8; 32] = salt.ok_or(SiteError::OptOuts { path, source: None })?;
        Ok(OptOutList::stored(stored.epoch, Secret::new(salt), stored.people))
    }

    /// Those who opted out, as they were named.
    ///
    /// # Errors
    /// When the file cannot be read, or was altered.
    pub async fn opted_out(&self) -> Result<Vec<String>, SiteError> {
        Ok(self.stored_opt_outs().await?.map(|stored| stored.people).unwrap_or_default())
    }

    /// Writes the list of the next epoch, sealed, and returns it; it holds once its root is on the
    /// ledger.
    ///
    /// # Errors
    /// When the file cannot be written or no salt can be drawn.
    pub async fn next_opt_outs(
        &self,
        change: impl FnOnce(&mut Vec<String>),
    ) -> Result<OptOutList, SiteError> {
        let before = self.stored_opt_outs().await?;
        let epoch = before.as_ref().map_or(0, |stored| stored.epoch);
        let mut people = before.map(|stored| stored.people).unwrap_or_default();
        change(&mut people);
        people.sort();
        people.dedup();
        let list = OptOutList::after(epoch, people.iter().cloned(), &mut OsEntropy)?;
        let salt = hex::encode(list.salt().expose());
        let stored = StoredOptOuts { format: 1, epoch: list.epoch(), salt, people };
        let path = self.opt_outs_path();
        let encoded = serde_json::to_vec(&stored)
            .map_err(|_| SiteError::OptOuts { path: path.clone(), source: None })?;
        let sealed = seal_object(&*self.keys, &self.master, &aad(self), &encoded)
            .await
            .map_err(|source| SiteError::OptOuts { path: path.clone(), source: Some(source) })?;
        crate::staff::write_private(&path, &sealed)
            .map_err(|source| SiteError::Io { path, source })?;
        Ok(list)
    }

    /// The key of the answers that are kept, sealed under the site's master key; made once.
    async fn answers_key(&self) -> Result<AeadKey, SiteError> {
        let path = self.folder.join(ANSWERS_KEY_FILE);
        let failed = |source| SiteError::AnswersKey { path: path.clone(), source };
        match std::fs::read(&path) {
            Ok(sealed) => {
                let opened = open_sealed(&*self.keys, &self.master, &key_aad(self), &sealed)
                    .await
                    .map_err(|e| failed(Some(e)))?;
                let key: [u8; 32] = opened.as_slice().try_into().map_err(|_| failed(None))?;
                Ok(AeadKey::from_secret(Secret::new(key)))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let key = AeadKey::generate(&mut OsEntropy)?;
                let bytes = key.secret().expose();
                let sealed = seal_object(&*self.keys, &self.master, &key_aad(self), bytes)
                    .await
                    .map_err(|e| failed(Some(e)))?;
                crate::staff::write_private(&path, &sealed)
                    .map_err(|source| SiteError::Io { path: path.clone(), source })?;
                Ok(key)
            }
            Err(source) => Err(SiteError::Io { path, source }),
        }
    }

    /// What is publicly known of the site's datasets.
    ///
    /// # Errors
    /// When the file cannot be read, or is refused; the message names line and column.
    pub fn profiles(&self) -> Result<Profiles, SiteError> {
        let path = self.folder.join(PROFILES_FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Profiles::parse(&text)?),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Profiles::default()),
            Err(source) => Err(SiteError::Io { path, source }),
        }
    }

    /// Who may come with a question, where that is not anybody with a permit's signature.
    #[must_use]
    pub fn door(&self, ledger: &Arc<HolderLedger>) -> Option<MemberDoor> {
        let from = self.config.ledger.as_ref().map(|config| config.questions_from);
        let clock = Arc::clone(&self.clock);
        match from {
            Some(QuestionsFrom::Members) => {
                Some(MemberDoor::new(Arc::clone(ledger), clock, FRESHNESS))
            }
            Some(QuestionsFrom::Anyone) | None => None,
        }
    }

    /// Where the site answers questions under permits.
    ///
    /// # Errors
    /// When the privacy profiles or the opt-out list cannot be read.
    pub async fn desk(
        &self,
        ledger: Arc<dyn Ledger>,
        anchor: TrustAnchor,
        audit: Arc<AuditLog>,
    ) -> Result<Desk, SiteError> {
        let profiles = self.profiles()?;
        let files = |name| {
            let folder = self.folder.join(name);
            crate::site::make_private_folder(&folder)
                .map_err(|source| SiteError::Io { path: folder.clone(), source })?;
            Ok::<_, SiteError>(Arc::new(AnswerFiles(folder)))
        };
        let partitions = std::thread::available_parallelism().map_or(1, usize::from);
        let desk = Desk::open(DeskParts {
            lake: Arc::clone(&self.lake),
            authority: Arc::clone(&self.authority),
            clock: Arc::clone(&self.clock),
            ledger,
            anchor,
            freshness: FRESHNESS,
            audit,
            profiles,
            opt_outs: self.opt_outs().await?,
            joint: crate::joint::JointTrust::read(&self.folder)?.policy(),
            partitions,
            outbox: files(ANSWERS_FOLDER)?,
            standing: files(STANDING_FOLDER)?,
            keeping: self.answers_key().await?,
        })
        .await
        .map_err(|e| SiteError::Answers(Box::new(e)))?;
        if desk.unreadable() > 0 {
            tracing::warn!(entries = desk.unreadable(), "kept answers are damaged and left aside");
        }
        Ok(desk)
    }
}
