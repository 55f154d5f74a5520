//! A holder with a lake, and the whole way from a grant to rows.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use salus_crypto::pkmt1::DataKeyLength;
use salus_crypto::{Digest, SigningKey};
use salus_model::*;
use salus_spine::*;
use salus_store::*;
use tempfile::TempDir;

use crate::keys::MemoryKeys;

pub const HOUR: i64 = 3600 * 1_000_000;

pub struct Site {
    pub folder: Arc<TempDir>,
    pub keys: Arc<MemoryKeys>,
    pub authority: Arc<Authority>,
    pub clock: Arc<ManualClock>,
    pub lake: Arc<Lake>,
}

pub fn dataset(name: &str) -> DatasetId {
    DatasetId::new(name).unwrap()
}

pub fn column(path: &str) -> ColumnPath {
    ColumnPath::new(path).unwrap()
}

pub fn class(class: KeyClass) -> KeyChoice {
    KeyChoice::Class(class)
}

pub fn authority(holder: &str, seed: &[u8]) -> Arc<Authority> {
    let seed = Secret::new(*Digest::of(seed).as_bytes());
    Arc::new(Authority::new(HolderId::new(holder).unwrap(), SigningKey::from_secret(&seed)))
}

/// Patient, sequence, code, value, note.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("patient", DataType::Utf8, true),
        Field::new("seq", DataType::Int64, false),
        Field::new("code", DataType::Utf8, true),
        Field::new("value", DataType::Float64, true),
        Field::new("note", DataType::Utf8, true),
    ]))
}

pub fn policy() -> KeyPolicy {
    KeyPolicy::new([
        ("patient".to_owned(), class(KeyClass::Identifiers)),
        ("*".to_owned(), class(KeyClass::Clinical)),
        ("note".to_owned(), class(KeyClass::Freetext)),
    ])
}

/// Every way in which files can be encrypted.
pub fn every_setting() -> Vec<EncryptionSettings> {
    let mut all = Vec::new();
    for key_bits in [DataKeyLength::Bits128, DataKeyLength::Bits256] {
        for wrapping in [WrappingMode::Single, WrappingMode::Double] {
            for footer in [FooterMode::Encrypted, FooterMode::SignedPlaintext] {
                for material in [MaterialStorage::External, MaterialStorage::Internal] {
                    all.push(EncryptionSettings { key_bits, wrapping, footer, material });
                }
            }
        }
    }
    all
}

pub fn spec(name: &str) -> DatasetSpec {
    DatasetSpec {
        dataset: dataset(name),
        schema: schema(),
        subject: Some(column("patient")),
        identity: Some(Identity { key: column("patient"), sequence: column("seq") }),
        policy: policy(),
        encryption: EncryptionSettings::STRICT,
    }
}

/// Rows of these patients with these sequences; the rest follows from them.
pub fn rows(of: &[(&str, i64)]) -> RecordBatch {
    let patients: StringArray = of.iter().map(|(p, _)| Some(*p)).collect();
    let sequences: Int64Array = of.iter().map(|(_, s)| Some(*s)).collect();
    let codes: StringArray = of.iter().map(|(_, s)| Some(format!("LOINC-{}", s % 5))).collect();
    let values: Float64Array = of.iter().map(|(_, s)| Some(*s as f64 / 2.0)).collect();
    let notes: StringArray =
        of.iter().map(|(p, s)| (s % 3 != 0).then(|| format!("{p} said {s}"))).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(patients),
        Arc::new(sequences),
        Arc::new(codes),
        Arc::new(values),
        Arc::new(notes),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// What one reader may see.
#[derive(Clone)]
pub struct Access {
    pub columns: Vec<ColumnPath>,
    pub masked: Vec<ColumnPath>,
    pub rules: Vec<RowRule>,
}

pub fn all_of(schema: &Schema) -> Access {
    Access { columns: leaves(schema), masked: vec![], rules: vec![] }
}

pub fn only(subjects: &[&str]) -> RowRule {
    let subjects = SubjectSet::new(subjects.iter().map(|s| (*s).to_owned()));
    RowRule::SubjectIn { column: column("patient"), subjects }
}

impl Site {
    pub fn new() -> Self {
        Self::at(Arc::new(TempDir::new().unwrap()), MemoryKeys::new(), "st-mary")
    }

    pub fn at(folder: Arc<TempDir>, keys: Arc<MemoryKeys>, holder: &str) -> Self {
        let authority = authority(holder, holder.as_bytes());
        // The store stamps files with the real time, which expiry compares with this clock.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let now = Timestamp::from_micros(now.as_micros() as i64).unwrap();
        let clock = Arc::new(ManualClock::new(now));
        let storage = Storage::local(folder.path()).unwrap();
        let lake = Lake::new(storage, keys.clone(), authority.clone(), clock.clone());
        Self { folder, keys, authority, clock, lake }
    }

    /// The same lake, opened by another process.
    pub fn again(&self) -> Arc<Lake> {
        let storage = Storage::local(self.folder.path()).unwrap();
        Lake::new(storage, self.keys.clone(), self.authority.clone(), self.clock.clone())
    }

    pub async fn with(name: &str, appends: &[&[(&str, i64)]]) -> Self {
        let site = Self::new();
        site.lake.create(spec(name)).await.unwrap();
        for of in appends {
            site.append(name, of).await;
        }
        site
    }

    pub async fn append(&self, name: &str, of: &[(&str, i64)]) -> Arc<Snapshot> {
        let mut writer = self.lake.append(&dataset(name)).await.unwrap();
        writer.write(&rows(of)).await.unwrap();
        writer.publish().await.unwrap()
    }

    fn scope(&self) -> Scope {
        Scope::new(self.lake.holder().clone(), DealId::new("statement-1").unwrap())
    }

    fn grant(&self, of: &[(&str, Access)]) -> SignedStatement<CareGrant> {
        let now = self.clock.now();
        let datasets = of.iter().map(|(name, access)| {
            let Access { columns, masked, rules } = access.clone();
            let (columns, masked) = (columns.into_iter().collect(), masked.into_iter().collect());
            (dataset(name), CareAccess { columns, masked, rules })
        });
        self.authority.sign(CareGrant {
            scope: self.scope(),
            staff: StaffId::new("Ann").unwrap(),
            role: RoleName::new("dietitian").unwrap(),
            purpose: Purpose::Treatment,
            datasets: datasets.collect(),
            issued: now,
            expires: now.saturating_add_micros(HOUR),
        })
    }

    pub fn key_release(&self, of: &[(&str, Access)]) -> KeyRelease<Care> {
        let (grant, verifier, now) = (self.grant(of), self.authority.verifier(), self.clock.now());
        let premises = self.authority.sign(PremisesStatement {
            scope: self.scope(),
            issued: now,
            expires: now.saturating_add_micros(HOUR),
        });
        let place = Place::Premises(OnPremises::verify(&premises, &verifier, now).unwrap());
        let permit = PermitChecked::verify(&grant, &verifier, now).unwrap();
        let rows = CareRestricted::bind(&grant, &verifier, now).unwrap();
        authorise(permit, rows, place).unwrap()
    }

    /// Takes a result out the only way there is.
    pub fn released<T>(&self, result: Unreleased<T, Care>) -> T {
        let (verifier, now) = (self.authority.verifier(), self.clock.now());
        let held = seal(result, CareSession::new(self.scope())).unwrap();
        let ann = StaffId::new("Ann").unwrap();
        let cleared = CareDisclosure::verify(&self.grant(&[]), &verifier, now, &ann).unwrap();
        let record = self.authority.sign(AccessRecord {
            scope: self.scope(),
            sequence: 1,
            head: Digest::of(b""),
        });
        let recorded = AccessRecorded::verify(&record, &verifier).unwrap();
        release(held, cleared, recorded).unwrap().into_inner()
    }

    /// Scans a dataset as `access` shows it.
    pub async fn scan(&self, name: &str, access: Access, how: How) -> Result<Scanned, ScanError> {
        let release = self.key_release(&[(name, access)]);
        let versions: BTreeMap<_, _> =
            how.version.map(|v| (dataset(name), v)).into_iter().collect();
        let session = self.lake.open_at(release, &versions).await?;
        let name = dataset(name);
        let result = session.compute(|tables| async move { scan_table(&tables[&name], how).await });
        self.released(result.await)
    }

    /// All rows as text, sorted.
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, ScanError> {
        let snapshot = self.lake.snapshot(&dataset(name), None).await?;
        let access = all_of(&snapshot.manifest().schema);
        Ok(self.scan(name, access, How::default()).await?.texts())
    }

    pub fn upkeep(&self, name: &str, work: Upkeep) -> UpkeepAuthorised {
        let now = self.clock.now();
        let order = self.authority.sign(UpkeepOrder {
            holder: self.lake.holder().clone(),
            dataset: dataset(name),
            work,
            issued: now,
            expires: now.saturating_add_micros(HOUR),
        });
        UpkeepAuthorised::verify(&order, &self.authority.verifier(), now).unwrap()
    }

    pub async fn verify(&self, name: &str) -> VerifyReport {
        let order = self.upkeep(name, Upkeep::Verify);
        self.lake.verify(&order, &dataset(name)).await.unwrap()
    }

    pub fn data_file(&self, name: &str, file: &str) -> PathBuf {
        self.folder.path().join("datasets").join(name).join("data").join(file)
    }

    pub fn material_file(&self, name: &str, file: &str) -> PathBuf {
        self.data_file(name, &format!("_KEY_MATERIAL_FOR_{file}.json"))
    }

    pub fn manifest_file(&self, name: &str, version: u64) -> PathBuf {
        let versions = self.folder.path().join("datasets").join(name).join("versions");
        versions.join(format!("{version:020}"))
    }

    pub async fn files(&self, name: &str) -> Vec<String> {
        let snapshot = self.lake.snapshot(&dataset(name), None).await.unwrap();
        snapshot.manifest().files.iter().map(|f| f.name.clone()).collect()
    }
}

#[derive(Default)]
pub struct How {
    pub version: Option<DatasetVersion>,
    pub projection: Option<Vec<usize>>,
    pub filters: Vec<Arc<dyn ScanFilter>>,
    pub limit: Option<usize>,
    /// Columns that may come as codes.
    pub coded: Vec<usize>,
}

pub struct Scanned {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    pub rows_if_open: Option<u64>,
}

impl Scanned {
    pub fn texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        let options = FormatOptions::default().with_null("null");
        for batch in &self.batches {
            let columns: Vec<_> = batch
                .columns()
                .iter()
                .map(|c| ArrayFormatter::try_new(c, &options).unwrap())
                .collect();
            for row in 0..batch.num_rows() {
                let values: Vec<String> =
                    columns.iter().map(|c| c.value(row).to_string()).collect();
                texts.push(values.join("|"));
            }
        }
        texts.sort();
        texts
    }
}

async fn scan_table(table: &TableSource, how: How) -> Result<Scanned, ScanError> {
    let schema = table.schema();
    let table = table.clone().with_codes(how.coded);
    let projection = how.projection.unwrap_or_else(|| (0..schema.fields().len()).collect());
    let mut batches = Vec::new();
    for partition in table.partitions(2) {
        let stream = table.scan(partition, projection.clone(), how.filters.clone(), how.limit);
        batches.extend(stream.try_collect::<Vec<_>>().await?);
    }
    Ok(Scanned { schema, batches, rows_if_open: table.rows_if_open() })
}

/// An error with its causes, as a log would show it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
