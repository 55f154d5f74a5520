use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_ledger::genesis::Genesis;
use salus_ledger::proof::{Fork, SignedCheckpoint, WitnessName};
use salus_model::Entropy;
use serde::{Deserialize, Serialize};

use crate::folder::{Folder, FolderError, Identity};

const CONFIG: &str = "witness.toml";
const COSIGNED: &str = "cosigned.txt";
const FORKS: &str = "forks";

/// What a witness's operator decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessConfig {
    /// The witness's name, such as `witness.example.org/salus`.
    pub name: WitnessName,
    /// The validators, such as `https://10.0.0.1:7443`. Name all of them: one that shows others
    /// another history than this witness is found only when it is looked at.
    pub validators: Vec<String>,
    /// Where to answer `add-checkpoint` over HTTP; nowhere when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// How long to wait between two looks, in milliseconds.
    pub every_ms: u64,
}

/// A witness's folder: its configuration, its sealed keys, its certificate, the genesis, what it
/// cosigned last, and the proofs of forks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessFolder(Folder);

impl WitnessFolder {
    /// The folder at a path; nothing is read yet.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(Folder::at(path))
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Lays a folder out. The identity is a member's: its ledger key signs the cosignatures, so
    /// that everybody on the ledger can tell whose they are.
    ///
    /// # Errors
    /// When a file cannot be written, or no salt can be drawn.
    pub fn create(
        &self,
        config: &WitnessConfig,
        identity: &Identity,
        genesis: &Genesis,
        passphrase: &Passphrase,
        cost: GuessCost,
        entropy: &mut dyn Entropy,
    ) -> Result<(), FolderError> {
        let text = toml::to_string(config)
            .map_err(|error| FolderError::Config { reason: error.to_string() })?;
        self.0.write(CONFIG, text.as_bytes())?;
        self.0.create_identity(identity, genesis, passphrase, cost, entropy)
    }

    /// The operator's configuration.
    ///
    /// # Errors
    /// Names the line that is wrong.
    pub fn config(&self) -> Result<WitnessConfig, FolderError> {
        let text = String::from_utf8(self.0.read(CONFIG)?)
            .map_err(|_| FolderError::Damaged { file: CONFIG })?;
        toml::from_str(&text).map_err(|error| FolderError::Config { reason: error.to_string() })
    }

    /// What the ledger began with.
    ///
    /// # Errors
    /// When the file is missing or damaged.
    pub fn genesis(&self) -> Result<Genesis, FolderError> {
        self.0.genesis()
    }

    pub(super) fn identity(&self, passphrase: &Passphrase) -> Result<Identity, FolderError> {
        self.0.open(passphrase)
    }

    /// What was cosigned last, with the validators' signatures and this witness's.
    ///
    /// # Errors
    /// When the file is damaged. A witness that has lost it must not go on under the same key.
    pub fn cosigned(&self) -> Result<Option<SignedCheckpoint>, FolderError> {
        let bytes = match self.0.read(COSIGNED) {
            Ok(bytes) => bytes,
            Err(FolderError::File { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let damaged = || FolderError::Damaged { file: COSIGNED };
        let text = std::str::from_utf8(&bytes).map_err(|_| damaged())?;
        SignedCheckpoint::from_text(text).map(Some).map_err(|_| damaged())
    }

    /// On the disk when it returns.
    pub(super) fn keep_cosigned(&self, checkpoint: &SignedCheckpoint) -> Result<(), FolderError> {
        self.0.write(COSIGNED, checkpoint.to_string().as_bytes())
    }

    /// Keeps the proof of a fork under its hash.
    pub(super) fn keep_fork(&self, fork: &Fork) -> Result<PathBuf, FolderError> {
        use sha2::{Digest as _, Sha256};
        let bytes = fork.to_bytes().map_err(|_| FolderError::Damaged { file: FORKS })?;
        let name = hex::encode(&Sha256::digest(&bytes)[..8]);
        let path = self.path().join(FORKS).join(name);
        Folder::at(path.clone()).write("fork.cbor", &bytes)?;
        Ok(path.join("fork.cbor"))
    }

    /// The files with proofs of forks, as [`Fork::from_bytes`] reads them.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn forks(&self) -> Result<Vec<PathBuf>, FolderError> {
        let failed = |source| FolderError::File { file: FORKS, source };
        let entries = match std::fs::read_dir(self.path().join(FORKS)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            files.push(entry.map_err(failed)?.path().join("fork.cbor"));
        }
        files.sort();
        Ok(files)
    }
}
