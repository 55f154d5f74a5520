//! A dataset on the ledger: its one privacy account, and a salted commitment to each version.

use std::collections::BTreeMap;
use std::path::PathBuf;

use salus_crypto::aead::Aad;
use salus_crypto::{Digest, OsEntropy};
use salus_ledger::call::{CommitDataset, DeltaExponent, RegisterDataset, ReleaseRule};
use salus_ledger::proof::{EvidenceError, Fact};
use salus_ledger::{Commitment, DatasetRef};
use salus_model::{
    Class, Classified, DatasetId, DatasetVersion, Entropy as _, EntropyFailed, MicroRho,
};
use salus_private::LedgerRefused;
use salus_store::{LakeError, SealedError, open_sealed, seal_object};
use serde::{Deserialize, Serialize};

use crate::ledger::HolderLedger;
use crate::site::Site;

/// The salts of the commitments, by dataset and version.
const SALTS_FILE: &str = "ledger/salts";

/// The account that a dataset gets once and for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountTerms {
    /// All that may ever be spent on the dataset.
    pub budget: MicroRho,
    /// The δ at which it is shown as ε.
    pub delta: DeltaExponent,
    /// Whether releases without a bound are possible.
    pub releases: ReleaseRule,
}

/// What sharing did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// The dataset.
    pub dataset: DatasetRef,
    /// Its version that permits refer to now.
    pub version: DatasetVersion,
    /// How many versions were committed to just now.
    pub committed: usize,
    /// Its account.
    pub account: AccountTerms,
    /// What was spent of it.
    pub spent: MicroRho,
    /// How many releases without a bound are booked on it besides.
    pub not_bounded: u64,
}

/// Why a dataset is not shared.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// It has no account yet, and none was stated.
    #[error(
        "dataset {dataset} has no account on the ledger yet; state once and for ever what may be spent on it, such as --epsilon 8"
    )]
    NoAccount {
        /// The dataset.
        dataset: DatasetId,
    },
    /// It has an account already, which never changes.
    #[error(
        "dataset {dataset} has its account on the ledger already, and that never changes; leave the budget out to commit to its newest version"
    )]
    HasAccount {
        /// The dataset.
        dataset: DatasetId,
    },
    /// The lake refused.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The ledger refused.
    #[error(transparent)]
    Ledger(#[from] LedgerRefused),
    /// The ledger's proofs do not hold.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// No salt can be drawn.
    #[error("no salt can be drawn")]
    Entropy(#[from] EntropyFailed),
    /// The salts do not open.
    #[error("the commitments' salts in {path} do not open: restore the file from a backup")]
    Salts {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Option<SealedError>,
    },
    /// A file cannot be read or written.
    #[error("{path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Classified for ShareError {
    fn class(&self) -> Class {
        match self {
            Self::NoAccount { .. } | Self::HasAccount { .. } => Class::BadRequest,
            Self::Lake(e) => e.class(),
            Self::Ledger(e) => e.class(),
            Self::Evidence(e) => e.class(),
            Self::Entropy(_) | Self::Io { .. } => Class::Unavailable,
            Self::Salts { .. } => Class::Corrupt,
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Salts {
    of: BTreeMap<DatasetId, BTreeMap<u64, String>>,
}

impl Site {
    fn salts_aad(&self) -> Aad {
        Aad::new("salus commitment salts v1", &[self.config.holder.as_str().as_bytes()])
    }

    async fn salts(&self) -> Result<Salts, ShareError> {
        let path = self.folder.join(SALTS_FILE);
        let sealed = match std::fs::read(&path) {
            Ok(sealed) => sealed,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Salts::default()),
            Err(source) => return Err(ShareError::Io { path, source }),
        };
        let bytes = open_sealed(&*self.keys, &self.master, &self.salts_aad(), &sealed)
            .await
            .map_err(|e| ShareError::Salts { path: path.clone(), source: Some(e) })?;
        serde_json::from_slice(&bytes).map_err(|_| ShareError::Salts { path, source: None })
    }

    async fn keep_salts(&self, salts: &Salts) -> Result<(), ShareError> {
        let path = self.folder.join(SALTS_FILE);
        let bytes = serde_json::to_vec(salts)
            .map_err(|_| ShareError::Salts { path: path.clone(), source: None })?;
        let sealed = seal_object(&*self.keys, &self.master, &self.salts_aad(), &bytes)
            .await
            .map_err(|e| ShareError::Salts { path: path.clone(), source: Some(e) })?;
        crate::staff::write_private(&path, &sealed)
            .map_err(|source| ShareError::Io { path, source })
    }

    /// Forgets the salts of a dataset: with them gone, nobody can show what was committed to.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub async fn forget_salts(&self, dataset: &DatasetId) -> Result<(), ShareError> {
        let mut salts = self.salts().await?;
        if salts.of.remove(dataset).is_some() {
            self.keep_salts(&salts).await?;
        }
        Ok(())
    }

    /// A salted commitment to one version, whose salt is on the disk before the ledger has it.
    async fn commitment(
        &self,
        salts: &mut Salts,
        dataset: &DatasetId,
        version: DatasetVersion,
    ) -> Result<Commitment, ShareError> {
        let mut salt = [0; 32];
        OsEntropy.fill(&mut salt)?;
        // A version that was destroyed cannot be looked at; its place is taken by the salt alone.
        let digest = match self.lake.snapshot(dataset, Some(version)).await {
            Ok(snapshot) => snapshot.digest(),
            Err(LakeError::NoVersion { .. }) => Digest::of(&salt),
            Err(e) => return Err(e.into()),
        };
        salts.of.entry(dataset.clone()).or_default().insert(version.number(), hex::encode(salt));
        self.keep_salts(salts).await?;
        let parts: [&[u8]; 2] = [&salt, digest.as_bytes()];
        let commitment = Digest::of_parts("salus dataset commitment v1", &parts);
        Ok(Commitment::new(*commitment.as_bytes()))
    }

    /// Registers a dataset on the ledger where it is not there yet, and commits to each of its
    /// versions up to the newest.
    ///
    /// # Errors
    /// When it needs an account and none is stated, or the ledger refuses.
    pub async fn share(
        &self,
        ledger: &HolderLedger,
        dataset: &DatasetId,
        terms: Option<AccountTerms>,
    ) -> Result<Shared, ShareError> {
        let versions = self.lake.versions(dataset).await?;
        let newest = versions.last().copied().unwrap_or(DatasetVersion::FIRST);
        let reference = DatasetRef { holder: ledger.member().clone(), dataset: dataset.clone() };
        let facts = [Fact::Dataset(reference.clone()), Fact::Account(reference.clone())];
        let state = ledger.state(&facts).await?;
        let known = state.dataset(&reference)?.zip(state.account(&reference)?);
        let mut salts = self.salts().await?;
        let mut committed = 0;
        let (mut version, account, (spent, not_bounded)) = match (known, terms) {
            (Some(_), Some(_)) => {
                return Err(ShareError::HasAccount { dataset: dataset.clone() });
            }
            (None, None) => return Err(ShareError::NoAccount { dataset: dataset.clone() }),
            (Some((record, account)), None) => {
                let terms = AccountTerms {
                    budget: account.budget,
                    delta: account.delta,
                    releases: account.releases,
                };
                (record.version, terms, (account.spent, account.not_bounded))
            }
            (None, Some(terms)) => {
                let first = DatasetVersion::FIRST;
                let commitment = self.commitment(&mut salts, dataset, first).await?;
                let AccountTerms { budget, delta, releases } = terms;
                let dataset = reference.clone();
                let call = RegisterDataset { dataset, budget, delta, releases, commitment };
                ledger.submit(call).await?;
                committed += 1;
                (first, terms, (MicroRho::ZERO, 0))
            }
        };
        while version < newest {
            version = version.next();
            let commitment = self.commitment(&mut salts, dataset, version).await?;
            ledger
                .submit(CommitDataset { dataset: reference.clone(), version, commitment })
                .await?;
            committed += 1;
        }
        Ok(Shared { dataset: reference, version, committed, account, spent, not_bounded })
    }
}
