//! A hospital with a lake in a folder, and devices with keys.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use futures::TryStreamExt as _;
use salus_collect::{
    CollectError, Collector, CollectorParts, DeviceRecord, DeviceSigner, Enrolment, FleetSettings,
    FleetSimulation, Incoming, ReportSealer,
};
use salus_crypto::hpke::RecipientKey;
use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_crypto::{Digest, OsEntropy, SigningKey};
use salus_dp::PrivacyUnit;
use salus_keys::{KeyStore, LocalKeyStore};
use salus_model::{Clock, DatasetId, DealId, HolderId, ManualClock, Purpose, Secret, Timestamp};
use salus_spine::{
    AccessRecord, AccessRecorded, Authority, CareAccess, CareDisclosure, CareGrant, CareRestricted,
    CareSession, OnPremises, PermitChecked, Place, PremisesStatement, Scope, SignedStatement,
    authorise, seal,
};
use salus_store::journal::{LocalMedium, Medium};
use salus_store::{EncryptionSettings, Lake, Storage, leaves};

pub(crate) const START: &str = "2026-06-01T00:00:00Z";

pub(crate) fn holder() -> HolderId {
    HolderId::new("st-mary").unwrap()
}

fn scope() -> Scope {
    Scope::new(holder(), DealId::new("s1").unwrap())
}

fn passphrase() -> Passphrase {
    Passphrase::new(Secret::new("correct horse battery".to_owned())).unwrap()
}

pub(crate) fn recipient() -> RecipientKey {
    RecipientKey::from_secret(&Secret::new([9; 32])).unwrap()
}

/// The key of the device with this id: derived, so that another process has the same.
pub(crate) fn device_key(device: &str) -> SigningKey {
    let digest = Digest::of_parts("test device key", &[device.as_bytes()]);
    SigningKey::from_secret(&Secret::new(*digest.as_bytes()))
}

pub(crate) fn signer(device: &str) -> DeviceSigner {
    let to = ReportSealer { holder: holder(), collector: recipient().public_key() };
    DeviceSigner::new(device_key(device), to)
}

pub(crate) fn sealed(record: &DeviceRecord) -> Vec<u8> {
    signer(record.device_id.as_str()).report(record, &mut OsEntropy).unwrap()
}

pub(crate) fn reports(records: &[DeviceRecord]) -> Vec<Incoming> {
    records.iter().map(|record| Incoming::Report(sealed(record))).collect()
}

pub(crate) fn enrolled(records: &[DeviceRecord]) -> Enrolment {
    let mut list = Enrolment::default();
    for record in records {
        let key = device_key(record.device_id.as_str()).verifying_key();
        list.enrol(record.device_id.clone(), key);
    }
    list
}

pub(crate) fn fleet(devices: u32) -> FleetSimulation {
    let start: Timestamp = START.parse().unwrap();
    FleetSimulation::new(FleetSettings { seed: 4, hospital: holder(), devices, start }).unwrap()
}

/// What every test that sends simulated records uses as the present.
pub(crate) fn late() -> Timestamp {
    "2026-09-01T00:00:00Z".parse().unwrap()
}

pub(crate) struct Site {
    pub(crate) folder: PathBuf,
    pub(crate) lake: Arc<Lake>,
    pub(crate) keys: Arc<dyn KeyStore>,
    pub(crate) clock: Arc<ManualClock>,
    authority: Arc<Authority>,
}

impl Site {
    pub(crate) fn new(folder: &Path) -> Self {
        let clock = Arc::new(ManualClock::new(late()));
        let file = folder.join("keystore");
        let cost = GuessCost::OWASP_MINIMUM;
        let keys = if file.exists() {
            LocalKeyStore::open(&file, passphrase(), cost, clock.clone()).unwrap()
        } else {
            LocalKeyStore::create(&file, passphrase(), cost, clock.clone()).unwrap()
        };
        let keys: Arc<dyn KeyStore> = Arc::new(keys);
        let key = SigningKey::from_secret(&Secret::new([7; 32]));
        let authority = Arc::new(Authority::new(holder(), key));
        let storage = Storage::local(&folder.join("lake")).unwrap();
        let as_clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let lake = Lake::new(storage, Arc::clone(&keys), Arc::clone(&authority), as_clock);
        Self { folder: folder.to_owned(), lake, keys, clock, authority }
    }

    pub(crate) fn parts(&self, enrolment: Enrolment) -> CollectorParts {
        CollectorParts {
            lake: Arc::clone(&self.lake),
            keys: Arc::clone(&self.keys),
            clock: Arc::<ManualClock>::clone(&self.clock) as Arc<dyn Clock>,
            medium: Arc::new(LocalMedium),
            folder: self.folder.join("collector"),
            segment_bytes: 64 * 1024,
            encryption: EncryptionSettings::STRICT,
            unit: PrivacyUnit::Device,
            key: recipient(),
            enrolment,
            most_waiting: 100_000,
        }
    }

    pub(crate) async fn collector(&self, enrolment: Enrolment) -> Collector {
        Collector::open(self.parts(enrolment)).await.unwrap()
    }

    pub(crate) async fn collector_on(
        &self,
        medium: Arc<dyn Medium>,
        enrolment: Enrolment,
    ) -> Result<Collector, CollectError> {
        Collector::open(CollectorParts { medium, ..self.parts(enrolment) }).await
    }

    fn grant(&self, datasets: BTreeMap<DatasetId, CareAccess>) -> SignedStatement<CareGrant> {
        let issued = self.clock.now();
        self.authority.sign(CareGrant {
            scope: scope(),
            staff: "Ann".parse().unwrap(),
            role: "technician".parse().unwrap(),
            purpose: Purpose::Operations,
            datasets,
            issued,
            expires: issued.saturating_add_micros(60_000_000),
        })
    }

    /// Every row of a dataset, taken out by the spine's whole path.
    pub(crate) async fn rows(&self, dataset: &str) -> RecordBatch {
        let dataset: DatasetId = dataset.parse().unwrap();
        let snapshot = self.lake.snapshot(&dataset, None).await.unwrap();
        let columns = leaves(&snapshot.manifest().schema).into_iter().collect();
        let access = CareAccess { columns, masked: BTreeSet::new(), rules: Vec::new() };
        let grant = self.grant(BTreeMap::from([(dataset, access)]));
        let (issued, verifier) = (self.clock.now(), self.authority.verifier());
        let expires = issued.saturating_add_micros(60_000_000);
        let place = self.authority.sign(PremisesStatement { scope: scope(), issued, expires });
        let release = authorise(
            PermitChecked::verify(&grant, &verifier, issued).unwrap(),
            CareRestricted::bind(&grant, &verifier, issued).unwrap(),
            Place::Premises(OnPremises::verify(&place, &verifier, issued).unwrap()),
        );
        let session = self.lake.open(release.unwrap()).await.unwrap();
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
        let held = seal(result, CareSession::new(scope())).unwrap();
        let record = AccessRecord { scope: scope(), sequence: 1, head: Digest::of(b"") };
        let receipt = AccessRecorded::verify(&self.authority.sign(record), &verifier).unwrap();
        let ann = "Ann".parse().unwrap();
        let clearance = CareDisclosure::verify(&grant, &verifier, issued, &ann).unwrap();
        salus_spine::release(held, clearance, receipt).unwrap().into_inner()
    }

    /// Device and sequence of every row of a dataset, in order; a row that is there twice shows.
    pub(crate) async fn reports(&self, dataset: &str) -> Vec<(String, u64)> {
        let rows = self.rows(dataset).await;
        let devices = rows.column_by_name("device_id").unwrap().as_string::<i32>().clone();
        let sequences = rows.column_by_name("sequence").unwrap().clone();
        let sequences = sequences.as_primitive::<Int64Type>();
        let mut found: Vec<(String, u64)> = (0..rows.num_rows())
            .map(|at| (devices.value(at).to_owned(), u64::try_from(sequences.value(at)).unwrap()))
            .collect();
        assert_eq!(sequences.null_count(), 0);
        found.sort();
        found
    }
}

/// Device and sequence of records, in order.
pub(crate) fn ids(records: &[DeviceRecord]) -> Vec<(String, u64)> {
    let mut ids: Vec<(String, u64)> =
        records.iter().map(|r| (r.device_id.to_string(), r.sequence)).collect();
    ids.sort();
    ids
}

/// The newest sequence of each device.
pub(crate) fn newest(records: &[DeviceRecord]) -> Vec<(String, u64)> {
    let mut newest: BTreeMap<String, u64> = BTreeMap::new();
    for (device, sequence) in ids(records) {
        newest.entry(device).and_modify(|s| *s = (*s).max(sequence)).or_insert(sequence);
    }
    newest.into_iter().collect()
}

/// Everything below a folder, file by file.
pub(crate) fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
    found
}

impl Site {
    pub(crate) fn clock_shows(&self) -> Timestamp {
        self.clock.now()
    }
}
