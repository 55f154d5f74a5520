//! What a pull keeps between two runs of the program.

use std::path::PathBuf;
use std::sync::Arc;

use salus_crypto::aead::AeadKey;
use salus_crypto::{Digest, OsEntropy, PseudonymKey};
use salus_keys::KeyStore;
use salus_model::{Entropy as _, HolderId, KeyName, Secret};
use serde::{Deserialize, Serialize};

use super::config::SourceName;
use super::download::Progress;
use super::error::PullError;
use super::hook::Hook;
use super::manifest::Manifest;
use super::seen::SeenIndex;
use crate::fhir::sealed_folder::SealedFolder;

const FORMAT: u32 = 1;
const KEY_FILE: &str = "index.key";
const INDEX_FILE: &str = "seen.redb";

/// The folder in which a site keeps how far its pulls have come.
///
/// # Privacy
/// Every file in it is sealed under the site's key: addresses of jobs and files may be
/// credentials, or name patients.
#[derive(Clone)]
pub struct PullFolder(SealedFolder);

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
        Self(SealedFolder::new(folder, (keys, master), holder, "salus fhir pull v1"))
    }

    /// The index of what was pulled; one process at a time has it.
    pub(crate) async fn index(&self) -> Result<SeenIndex, PullError> {
        let secret = match self.0.read(KEY_FILE).await? {
            Some(secret) => secret,
            None => {
                let mut secret = zeroize::Zeroizing::new(vec![0; 64]);
                OsEntropy.fill(&mut secret)?;
                self.0.write(KEY_FILE, &secret).await?;
                // An index without its key tells nothing.
                self.0.remove(INDEX_FILE)?;
                secret
            }
        };
        let (first, second) = secret.split_first_chunk::<32>().ok_or(PullError::Damaged)?;
        let second: [u8; 32] = second.try_into().map_err(|_| PullError::Damaged)?;
        let pseudonyms = PseudonymKey::from_secret(Secret::new(*first));
        let values = AeadKey::from_secret(Secret::new(second));
        SeenIndex::open(&self.0.path(INDEX_FILE), pseudonyms, values)
    }

    pub(super) async fn read_hook(&self, source: &SourceName) -> Result<Option<Hook>, PullError> {
        let Some(bytes) = self.0.read(&hook_file(source)).await? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|_| PullError::Damaged)
    }

    pub(super) async fn write_hook(
        &self,
        source: &SourceName,
        hook: &Hook,
    ) -> Result<(), PullError> {
        let bytes = serde_json::to_vec(hook).map_err(|_| PullError::Damaged)?;
        Ok(self.0.write(&hook_file(source), &zeroize::Zeroizing::new(bytes)).await?)
    }

    pub(crate) async fn read(&self, source: &SourceName) -> Result<Option<State>, PullError> {
        let Some(bytes) = self.0.read(&state_file(source)).await? else { return Ok(None) };
        let state: State = serde_json::from_slice(&bytes).map_err(|_| PullError::Damaged)?;
        if state.format == FORMAT { Ok(Some(state)) } else { Err(PullError::Damaged) }
    }

    pub(crate) async fn write(&self, source: &SourceName, state: &State) -> Result<(), PullError> {
        let bytes = serde_json::to_vec(state).map_err(|_| PullError::Damaged)?;
        Ok(self.0.write(&state_file(source), &bytes).await?)
    }
}

fn hook_file(source: &SourceName) -> String {
    format!("{source}.hook")
}

fn state_file(source: &SourceName) -> String {
    format!("{source}.state")
}
