use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use futures::TryStreamExt;
use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_crypto::{Digest, SigningKey};
use salus_ingest::fhir::Repository;
use salus_ingest::fhir::repository::{FHIR_HISTORY, RepositoryError, RepositoryParts};
use salus_keys::{KeyStore, LocalKeyStore};
use salus_model::{Clock, DatasetId, DealId, HolderId, ManualClock, Purpose, Secret};
use salus_spine::*;
use salus_store::journal::{LocalMedium, Medium};
use salus_store::{EncryptionSettings, Lake, Storage, leaves};

/// A folder, removed with its last owner when the test made it.
#[derive(Clone)]
pub(crate) struct Folder(PathBuf, Option<Arc<tempfile::TempDir>>);

impl Folder {
    pub(crate) fn path(&self) -> &Path {
        self.1.as_ref().map_or(&self.0, |own| own.path())
    }
}

/// A lake in a folder, with a clock that stands still.
pub(crate) struct TestSite {
    pub(crate) folder: Folder,
    pub(crate) lake: Arc<Lake>,
    pub(crate) keys: Arc<dyn KeyStore>,
    pub(crate) clock: Arc<ManualClock>,
    authority: Arc<Authority>,
}

fn passphrase() -> Passphrase {
    Passphrase::new(Secret::new("correct horse battery".to_owned())).unwrap()
}

const COST: GuessCost = GuessCost::OWASP_MINIMUM;

fn scope() -> Scope {
    Scope::new(HolderId::new("st-mary").unwrap(), DealId::new("s1").unwrap())
}

impl TestSite {
    pub(crate) fn new() -> Self {
        let own = Arc::new(tempfile::tempdir().unwrap());
        let folder = Folder(own.path().to_owned(), Some(own));
        let clock = Arc::new(ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
        let file = folder.path().join("keystore");
        let keys = LocalKeyStore::create(&file, passphrase(), COST, clock.clone()).unwrap();
        Self::of(folder, clock, Arc::new(keys))
    }

    /// The site in a folder that another process made; the folder stays.
    pub(crate) fn at(path: &Path) -> Self {
        let clock = Arc::new(ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
        let file = path.join("keystore");
        let keys = LocalKeyStore::open(&file, passphrase(), COST, clock.clone()).unwrap();
        Self::of(Folder(path.to_owned(), None), clock, Arc::new(keys))
    }

    /// The same folder, opened anew.
    pub(crate) fn again(&self) -> Self {
        Self::of(self.folder.clone(), Arc::clone(&self.clock), Arc::clone(&self.keys))
    }

    fn of(folder: Folder, clock: Arc<ManualClock>, keys: Arc<dyn KeyStore>) -> Self {
        let key = SigningKey::from_secret(&Secret::new([7; 32]));
        let authority = Arc::new(Authority::new(HolderId::new("st-mary").unwrap(), key));
        let storage = Storage::local(&folder.path().join("lake")).unwrap();
        let as_clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let lake = Lake::new(storage, Arc::clone(&keys), Arc::clone(&authority), as_clock);
        Self { folder, lake, keys, clock, authority }
    }

    pub(crate) async fn repository(&self) -> Repository {
        self.repository_on(Arc::new(LocalMedium)).await.unwrap()
    }

    pub(crate) async fn repository_on(
        &self,
        medium: Arc<dyn Medium>,
    ) -> Result<Repository, RepositoryError> {
        let parts = RepositoryParts {
            lake: Arc::clone(&self.lake),
            keys: Arc::clone(&self.keys),
            authority: Arc::clone(&self.authority),
            clock: Arc::<ManualClock>::clone(&self.clock) as Arc<dyn Clock>,
            encryption: EncryptionSettings::STRICT,
            folder: self.folder.path().join("fhir"),
            cache_bytes: 20_000,
        };
        Repository::open_on(medium, parts).await
    }

    fn grant(&self, datasets: BTreeMap<DatasetId, CareAccess>) -> SignedStatement<CareGrant> {
        let issued = self.clock.now();
        self.authority.sign(CareGrant {
            scope: scope(),
            staff: "Ann".parse().unwrap(),
            role: "steward".parse().unwrap(),
            purpose: Purpose::Operations,
            datasets,
            issued,
            expires: issued.saturating_add_micros(60_000_000),
        })
    }

    /// A release of all columns of datasets, with row rules.
    pub(crate) async fn release(&self, names: &[&str], rules: &[RowRule]) -> KeyRelease<Care> {
        let mut datasets = BTreeMap::new();
        for name in names {
            let dataset: DatasetId = name.parse().unwrap();
            let snapshot = self.lake.snapshot(&dataset, None).await.unwrap();
            let columns = leaves(&snapshot.manifest().schema).into_iter().collect();
            let access = CareAccess { columns, masked: BTreeSet::new(), rules: rules.to_vec() };
            datasets.insert(dataset, access);
        }
        let grant = self.grant(datasets);
        let (issued, expires) =
            (self.clock.now(), self.clock.now().saturating_add_micros(60_000_000));
        let verifier = self.authority.verifier();
        let place = self.authority.sign(PremisesStatement { scope: scope(), issued, expires });
        authorise(
            PermitChecked::verify(&grant, &verifier, issued).unwrap(),
            CareRestricted::bind(&grant, &verifier, issued).unwrap(),
            Place::Premises(OnPremises::verify(&place, &verifier, issued).unwrap()),
        )
        .unwrap()
    }

    /// A release of the resources and their history.
    pub(crate) async fn fhir_release(&self, rules: &[RowRule]) -> KeyRelease<Care> {
        self.release(&["fhir_resources", FHIR_HISTORY], rules).await
    }

    /// Every row of a dataset, taken out by the spine's whole path.
    pub(crate) async fn rows(&self, dataset: &str) -> RecordBatch {
        let session = self.lake.open(self.release(&[dataset], &[]).await).await.unwrap();
        let result = session
            .compute(async |tables| {
                let table = tables.values().next().unwrap();
                let all: Vec<usize> = (0..table.schema().fields().len()).collect();
                let mut batches = Vec::new();
                for part in table.partitions(2) {
                    let found = table.scan(part, all.clone(), Vec::new(), None);
                    batches.extend(found.try_collect::<Vec<_>>().await.unwrap());
                }
                concat_batches(&table.schema(), &batches).unwrap()
            })
            .await;
        self.taken_out(result)
    }

    /// What was computed, sealed, recorded and released.
    pub(crate) fn taken_out<T>(&self, result: Unreleased<T, Care>) -> T {
        let held = seal(result, CareSession::new(scope())).unwrap();
        let verifier = self.authority.verifier();
        let record = AccessRecord { scope: scope(), sequence: 1, head: Digest::of(b"") };
        let receipt = AccessRecorded::verify(&self.authority.sign(record), &verifier).unwrap();
        let (grant, ann) = (self.grant(BTreeMap::new()), "Ann".parse().unwrap());
        let now = self.clock.now();
        let clearance = CareDisclosure::verify(&grant, &verifier, now, &ann).unwrap();
        release(held, clearance, receipt).unwrap().into_inner()
    }
}
