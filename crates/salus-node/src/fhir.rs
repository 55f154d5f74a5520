//! The site's FHIR repository, and what keeps it in order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use salus_ingest::fhir::Repository;
use salus_ingest::fhir::repository::{RepositoryError, RepositoryParts};
use salus_model::{Clock, DatasetId, HolderId};
use salus_spine::{Authority, StatementRefused, Upkeep, UpkeepAuthorised, UpkeepOrder};
use salus_store::{CompactSettings, EncryptionSettings, Lake};

use crate::site::{ORDER_MICROS, Site, SiteError};

const FOLDER: &str = "fhir";
/// Texts that are in files already and stay in memory at most.
const CACHE_BYTES: usize = 256 * 1024 * 1024;
/// How often the upkeep looks whether there is something to do.
const PAUSE: Duration = Duration::from_millis(500);
/// Rows are moved into files after this time at the latest.
const MOVE_AFTER: Duration = Duration::from_secs(60);
/// Rows are moved into files when so many bytes of resources wait.
const MOVE_BYTES: usize = 32 * 1024 * 1024;
/// Every so many moves, small files are merged.
const MERGE_EVERY: u32 = 16;
const MERGE: CompactSettings =
    CompactSettings { small_bytes: 16 * 1024 * 1024, superseded_percent: 30 };

impl Site {
    /// Opens the site's FHIR repository: its journal, and the resources in its lake.
    ///
    /// # Errors
    /// When another process has it open, or journal, lake or keys are not available.
    pub async fn open_fhir(&self) -> Result<Repository, SiteError> {
        let parts = RepositoryParts {
            lake: Arc::clone(&self.lake),
            keys: Arc::clone(&self.keys),
            authority: Arc::clone(&self.authority),
            clock: Arc::clone(&self.clock),
            encryption: EncryptionSettings::STRICT,
            folder: self.folder.join(FOLDER),
            cache_bytes: CACHE_BYTES,
        };
        Ok(Repository::open(parts).await?)
    }

    /// What keeps the FHIR repository in order, to be run beside the services.
    #[must_use]
    pub fn fhir_upkeep(&self, repository: Repository) -> FhirUpkeep {
        FhirUpkeep {
            repository,
            lake: Arc::clone(&self.lake),
            authority: Arc::clone(&self.authority),
            clock: Arc::clone(&self.clock),
        }
    }
}

/// Moves the journal's rows into files, merges small files, and takes in what imports put there.
pub struct FhirUpkeep {
    repository: Repository,
    lake: Arc<Lake>,
    authority: Arc<Authority>,
    clock: Arc<dyn Clock>,
}

/// The holder's order for upkeep of a dataset, as a token for the store.
pub(crate) fn order(
    (holder, authority): (&HolderId, &Authority),
    clock: &dyn Clock,
    dataset: &DatasetId,
    work: Upkeep,
) -> Result<UpkeepAuthorised, StatementRefused> {
    let issued = clock.now();
    let expires = issued.saturating_add_micros(ORDER_MICROS);
    let (holder, dataset) = (holder.clone(), dataset.clone());
    let signed = authority.sign(UpkeepOrder { holder, dataset, work, issued, expires });
    UpkeepAuthorised::verify(&signed, &authority.verifier(), issued)
}

impl FhirUpkeep {
    /// Works until it is dropped; what fails is told in the log and tried again.
    pub async fn run(self) -> std::convert::Infallible {
        let (mut moved, mut moves) = (Instant::now(), 0_u32);
        let mut through = self.repository.waiting().position;
        loop {
            tokio::time::sleep(PAUSE).await;
            if let Err(error) = self.repository.take_in_imports().await {
                tracing::warn!(%error, "imports could not be taken in; trying again");
            }
            let waiting = self.repository.waiting();
            let due = moved.elapsed() >= MOVE_AFTER && waiting.position > through;
            if !due && waiting.bytes < MOVE_BYTES {
                continue;
            }
            match self.repository.move_to_files().await {
                Ok(done) => {
                    through = done.through;
                    moves += 1;
                }
                Err(error) => tracing::warn!(%error, "rows stay in the journal; trying again"),
            }
            if moves >= MERGE_EVERY {
                moves = 0;
                self.merge().await;
            }
            moved = Instant::now();
        }
    }

    async fn merge(&self) {
        for dataset in self.repository.datasets() {
            let holder = (self.lake.holder(), &*self.authority);
            let ordered = order(holder, &*self.clock, &dataset, Upkeep::Compact);
            let merged = match ordered {
                Ok(order) => self.lake.compact(&order, &dataset, MERGE).await.map(|_| ()),
                Err(error) => {
                    tracing::error!(%error, "the site's own order is refused");
                    return;
                }
            };
            if let Err(error) = merged {
                tracing::warn!(%dataset, %error, "small files stay as they are; trying again later");
            }
        }
    }
}

impl From<RepositoryError> for SiteError {
    fn from(error: RepositoryError) -> Self {
        Self::Fhir(Box::new(error))
    }
}
