//! What a pull keeps between two runs of the program.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use salus_crypto::aead::{Aad, AeadKey};
use salus_crypto::{Digest, OsEntropy, PseudonymKey};
use salus_keys::KeyStore;
use salus_model::{Entropy as _, HolderId, KeyName, Secret};
use salus_store::{open_sealed, seal_object};
use serde::{Deserialize, Serialize};

use super::config::SourceName;
use super::download::Progress;
use super::error::PullError;
use super::manifest::Manifest;
use super::seen::SeenIndex;

const FORMAT: u32 = 1;
const KEY_FILE: &str = "index.key";
const INDEX_FILE: &str = "seen.redb";

/// The folder in which a site keeps how far its pulls have come.
///
/// # Privacy
/// Every file in it is sealed under the site's key: addresses of jobs and files may be
/// credentials, or name patients.
#[derive(Clone)]
pub struct PullFolder {
    folder: PathBuf,
    keys: Arc<dyn KeyStore>,
    master: KeyName,
    holder: HolderId,
}

/// How far the pulls of one source have come.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    format: u32,
    /// The index that what was pulled stands in; with another one all is pulled anew.
    pub(crate) epoch: String,
    /// What was asked for; when it changes, all is pulled anew.
    pub(crate) request: Digest,
    /// Up to when everything is here, in the server's time.
    pub(crate) since: Option<String>,
    pub(crate) phase: Phase,
}

/// What a pull is at.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Phase {
    Idle,
    /// The server makes an export.
    Waiting {
        run: String,
        status: String,
    },
    /// Its files are downloaded.
    Files {
        run: String,
        status: String,
        manifest: Manifest,
        progress: Vec<Progress>,
    },
    /// Pages of searches are read: of the first type those from `next` on, then the other types.
    Pages {
        run: String,
        began: String,
        history: bool,
        types: Vec<String>,
        next: Option<String>,
    },
}

impl State {
    pub(crate) const fn new(epoch: String, request: Digest) -> Self {
        Self { format: FORMAT, epoch, request, since: None, phase: Phase::Idle }
    }

    /// The address at which a job is asked for, if there is one.
    pub(crate) fn status(&self) -> Option<&str> {
        match &self.phase {
            Phase::Waiting { status, .. } | Phase::Files { status, .. } => Some(status),
            Phase::Idle | Phase::Pages { .. } => None,
        }
    }
}

impl PullFolder {
    /// The folder at `folder`, made when it is first needed; sealed under the key `master`.
    #[must_use]
    pub fn new(
        folder: PathBuf,
        keys: Arc<dyn KeyStore>,
        master: KeyName,
        holder: HolderId,
    ) -> Self {
        Self { folder, keys, master, holder }
    }

    fn aad(&self, what: &str) -> Aad {
        let holder = self.holder.as_str().as_bytes();
        Aad::new("salus fhir pull v1", &[holder, what.as_bytes()])
    }

    async fn read_sealed(
        &self,
        name: &str,
    ) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, PullError> {
        let sealed = match std::fs::read(self.folder.join(name)) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            sealed => sealed?,
        };
        Ok(Some(open_sealed(&*self.keys, &self.master, &self.aad(name), &sealed).await?))
    }

    async fn write_sealed(&self, name: &str, bytes: &[u8]) -> Result<(), PullError> {
        let sealed = seal_object(&*self.keys, &self.master, &self.aad(name), bytes).await?;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        Ok(replace(&self.folder, name, &sealed)?)
    }

    /// The index of what was pulled; one process at a time has it.
    pub(crate) async fn index(&self) -> Result<SeenIndex, PullError> {
        let secret = match self.read_sealed(KEY_FILE).await? {
            Some(secret) => secret,
            None => {
                let mut secret = zeroize::Zeroizing::new(vec![0; 64]);
                OsEntropy.fill(&mut secret)?;
                self.write_sealed(KEY_FILE, &secret).await?;
                // An index without its key tells nothing.
                match std::fs::remove_file(self.folder.join(INDEX_FILE)) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
                    _ => secret,
                }
            }
        };
        let (first, second) = secret.split_first_chunk::<32>().ok_or(PullError::Damaged)?;
        let second: [u8; 32] = second.try_into().map_err(|_| PullError::Damaged)?;
        let pseudonyms = PseudonymKey::from_secret(Secret::new(*first));
        let values = AeadKey::from_secret(Secret::new(second));
        SeenIndex::open(&self.folder.join(INDEX_FILE), pseudonyms, values)
    }

    pub(crate) async fn read(&self, source: &SourceName) -> Result<Option<State>, PullError> {
        let Some(bytes) = self.read_sealed(&state_file(source)).await? else { return Ok(None) };
        let state: State = serde_json::from_slice(&bytes).map_err(|_| PullError::Damaged)?;
        if state.format == FORMAT { Ok(Some(state)) } else { Err(PullError::Damaged) }
    }

    pub(crate) async fn write(&self, source: &SourceName, state: &State) -> Result<(), PullError> {
        let bytes = serde_json::to_vec(state).map_err(|_| PullError::Damaged)?;
        self.write_sealed(&state_file(source), &bytes).await
    }
}

fn state_file(source: &SourceName) -> String {
    format!("{source}.state")
}

/// Puts a file in place of another, so that a crash leaves one of the two.
fn replace(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, folder.join(name))?;
    std::fs::File::open(folder)?.sync_all()
}
