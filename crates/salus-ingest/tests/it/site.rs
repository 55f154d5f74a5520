use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use futures::TryStreamExt;
use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_crypto::{Digest, OsEntropy, SigningKey};
use salus_keys::LocalKeyStore;
use salus_model::{Clock, DatasetId, DealId, HolderId, ManualClock, Purpose, Secret, Timestamp};
use salus_spine::*;
use salus_store::{Lake, Storage, leaves};

/// A lake in a folder of its own, with a clock that stands still.
pub(crate) struct TestSite {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) lake: Arc<Lake>,
    authority: Arc<Authority>,
    clock: Arc<ManualClock>,
}

impl TestSite {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
        let as_clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let passphrase = Passphrase::new(Secret::new("correct horse battery".to_owned())).unwrap();
        let cost = GuessCost::OWASP_MINIMUM;
        let file = folder.path().join("keystore");
        let keys = LocalKeyStore::create(&file, passphrase, cost, Arc::clone(&as_clock)).unwrap();
        let key = SigningKey::generate(&mut OsEntropy).unwrap();
        let authority = Arc::new(Authority::new(HolderId::new("st-mary").unwrap(), key));
        let storage = Storage::local(&folder.path().join("lake")).unwrap();
        let lake = Lake::new(storage, Arc::new(keys), Arc::clone(&authority), as_clock);
        Self { folder, lake, authority, clock }
    }

    fn release_of(
        &self,
        dataset: &DatasetId,
        columns: BTreeSet<salus_model::ColumnPath>,
    ) -> KeyRelease<Care> {
        let scope = Scope::new(HolderId::new("st-mary").unwrap(), DealId::new("s1").unwrap());
        let (issued, expires) =
            (self.clock.now(), self.clock.now().saturating_add_micros(60_000_000));
        let access = CareAccess { columns, masked: BTreeSet::new(), rules: Vec::new() };
        let grant = self.authority.sign(CareGrant {
            scope: scope.clone(),
            staff: "Ann".parse().unwrap(),
            role: "steward".parse().unwrap(),
            purpose: Purpose::Operations,
            datasets: BTreeMap::from([(dataset.clone(), access)]),
            issued,
            expires,
        });
        let verifier = self.authority.verifier();
        let place = self.authority.sign(PremisesStatement { scope, issued, expires });
        let now = self.clock.now();
        authorise(
            PermitChecked::verify(&grant, &verifier, now).unwrap(),
            CareRestricted::bind(&grant, &verifier, now).unwrap(),
            Place::Premises(OnPremises::verify(&place, &verifier, now).unwrap()),
        )
        .unwrap()
    }

    /// Every row of a dataset, taken out by the spine's whole path.
    pub(crate) async fn rows(&self, dataset: &str) -> RecordBatch {
        let dataset: DatasetId = dataset.parse().unwrap();
        let snapshot = self.lake.snapshot(&dataset, None).await.unwrap();
        let columns: BTreeSet<_> = leaves(&snapshot.manifest().schema).into_iter().collect();
        let session = self.lake.open(self.release_of(&dataset, columns)).await.unwrap();
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
        let scope = Scope::new(HolderId::new("st-mary").unwrap(), DealId::new("s1").unwrap());
        let held = seal(result, CareSession::new(scope.clone())).unwrap();
        let verifier = self.authority.verifier();
        let record = AccessRecord { scope, sequence: 1, head: Digest::of(b"") };
        let receipt = AccessRecorded::verify(&self.authority.sign(record), &verifier).unwrap();
        let clearance = self.disclosure(&dataset, self.clock.now());
        release(held, clearance, receipt).unwrap().into_inner()
    }

    fn disclosure(&self, dataset: &DatasetId, now: Timestamp) -> CareDisclosure {
        let access =
            CareAccess { columns: BTreeSet::new(), masked: BTreeSet::new(), rules: Vec::new() };
        let grant = self.authority.sign(CareGrant {
            scope: Scope::new(HolderId::new("st-mary").unwrap(), DealId::new("s1").unwrap()),
            staff: "Ann".parse().unwrap(),
            role: "steward".parse().unwrap(),
            purpose: Purpose::Operations,
            datasets: BTreeMap::from([(dataset.clone(), access)]),
            issued: now,
            expires: now.saturating_add_micros(60_000_000),
        });
        let ann = "Ann".parse().unwrap();
        CareDisclosure::verify(&grant, &self.authority.verifier(), now, &ann).unwrap()
    }
}
