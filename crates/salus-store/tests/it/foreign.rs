//! Parquet that others encrypted: the official fixtures, and what is wrong with some of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Builder, ListBuilder, RecordBatch, StringArray};
use arrow::datatypes::*;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use salus_crypto::pkmt1::{DataKey, MasterKeyId, UnwrapRefused, unwrap_locally};
use salus_model::*;
use salus_store::*;
use serde_json::Value as Json;

use crate::site::chain;

const KEYS: [(&str, &str); 3] =
    [("kf", "0123456789012345"), ("kc1", "1234567890123450"), ("kc2", "1234567890123451")];

fn fixture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/parquet_testing");
    folder.join(format!("{name}.parquet.encrypted"))
}

fn named(keys: &[(&str, &str)]) -> SourceKeys {
    let secret =
        |(name, key): &(&str, &str)| ((*name).to_owned(), Secret::new(key.as_bytes().to_vec()));
    SourceKeys::Named(Arc::new(keys.iter().map(secret).collect()))
}

/// As parquet-java's test class of that name: wraps locally, with the key's name as context.
struct InMemoryKms;

#[async_trait::async_trait]
impl MasterKeys for InMemoryKms {
    async fn unwrap(
        &self,
        master: &MasterKeyId,
        wrapped: &str,
    ) -> Result<Secret<Vec<u8>>, MasterKeyError> {
        let known = KEYS.iter().find(|(name, _)| *name == master.as_str());
        let (_, key) = known.ok_or(MasterKeyError::Name)?;
        let key = DataKey::new(Secret::new(key.as_bytes().to_vec())).map_err(|_| UnwrapRefused)?;
        let opened = unwrap_locally(&key, master.as_str().as_bytes(), wrapped)?;
        Ok(Secret::new(opened.expose().to_vec()))
    }
}

fn hex(bytes: &[u8]) -> Json {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<String>().into()
}

fn value(array: &ArrayRef, row: usize) -> Json {
    if array.is_null(row) {
        return Json::Null;
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Time32(_) => array.as_primitive::<Time32MillisecondType>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::Timestamp(..) => {
            array.as_primitive::<TimestampNanosecondType>().value(row).into()
        }
        DataType::Float32 => f64::from(array.as_primitive::<Float32Type>().value(row)).into(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).into(),
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::Binary => hex(array.as_binary::<i32>().value(row)),
        DataType::FixedSizeBinary(_) => hex(array.as_fixed_size_binary().value(row)),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            (0..items.len()).map(|at| value(&items, at)).collect()
        }
        other => panic!("{other} is not expected"),
    }
}

async fn read(
    source: ParquetSource,
    columns: &[String],
) -> Result<BTreeMap<String, Vec<Json>>, SourceError> {
    let mut found: BTreeMap<String, Vec<Json>> = BTreeMap::new();
    for batch in source.batches(columns).await? {
        let batch = batch.unwrap();
        for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
            let values = found.entry(field.name().clone()).or_default();
            values.extend((0..batch.num_rows()).map(|row| value(array, row)));
        }
    }
    Ok(found)
}

async fn read_all(
    path: &Path,
    keys: &SourceKeys,
    prefix: Option<&str>,
) -> Result<BTreeMap<String, Vec<Json>>, SourceError> {
    let source = ParquetSource::open(path, keys, prefix.map(|p| p.as_bytes().to_vec())).await?;
    assert!(source.is_encrypted());
    let columns: Vec<String> = source.schema().fields().iter().map(|f| f.name().clone()).collect();
    read(source, &columns).await
}

fn expected(file: &str) -> BTreeMap<String, Vec<Json>> {
    let path = fixture(file);
    let all = std::fs::read(path.with_file_name("expected.json")).unwrap();
    let all: BTreeMap<String, BTreeMap<String, Vec<Json>>> = serde_json::from_slice(&all).unwrap();
    all[path.file_name().unwrap().to_str().unwrap()].clone()
}

#[tokio::test]
async fn every_official_file_that_gcm_covers_reads_as_pyarrow_reads_it() {
    let cases = [
        ("uniform_encryption", None),
        ("encrypt_columns_and_footer", None),
        ("encrypt_columns_plaintext_footer", None),
        ("encrypt_columns_and_footer_aad", None),
        ("encrypt_columns_and_footer_aad", Some("tester")),
        ("encrypt_columns_and_footer_disable_aad_storage", Some("tester")),
    ];
    let expected = expected("uniform_encryption");
    assert_eq!(expected.len(), 8);
    for (file, prefix) in cases {
        let found = read_all(&fixture(file), &named(&KEYS), prefix).await.unwrap();
        assert_eq!(found, expected, "{file}");
    }
    // Bloom filters, which are encrypted as well, beside fewer columns.
    let blooms = fixture("encrypt_columns_and_footer_bloom_filter");
    let found = read_all(&blooms, &named(&KEYS), None).await.unwrap();
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(names, ["double_field", "float_field", "int32_field", "name"]);
    assert!(found.values().all(|column| column.len() == found["name"].len()));
    println!("{:?}", found.iter().map(|(n, c)| (n, c.len(), &c[..3])).collect::<Vec<_>>());
}

#[tokio::test]
async fn material_beside_a_file_that_java_wrote_opens_it() {
    let path = fixture("external_key_material_java");
    let keys = SourceKeys::KeyTools(Arc::new(InMemoryKms));
    let found = read_all(&path, &keys, None).await.unwrap();
    assert_eq!(found, expected("external_key_material_java"));
    // Without the material beside it, the error says which file is wanted.
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("alone.parquet");
    std::fs::copy(&path, &alone).unwrap();
    let refused = read_all(&alone, &keys, None).await.unwrap_err();
    assert!(refused.to_string().contains("_KEY_MATERIAL_FOR_alone.parquet.json"), "{refused}");
    assert_eq!(refused.class(), Class::BadRequest);
}

#[tokio::test]
async fn counter_mode_is_refused_by_its_name() {
    let path = fixture("encrypt_columns_and_footer_ctr");
    let refused = read_all(&path, &named(&KEYS), None).await.unwrap_err();
    assert!(
        refused.to_string().starts_with(
            "encrypt_columns_and_footer_ctr.parquet.encrypted: not supported: AES_GCM_CTR_V1"
        ),
        "{refused}"
    );
    assert_eq!(refused.class(), Class::BadRequest);
}

#[tokio::test]
async fn without_a_columns_key_the_others_are_read_and_the_error_names_both() {
    for file in ["encrypt_columns_and_footer", "encrypt_columns_plaintext_footer"] {
        let path = fixture(file);
        let keys = named(&KEYS[..2]);
        let refused = read_all(&path, &keys, None).await.unwrap_err();
        let told = refused.to_string();
        assert!(told.contains("column 'float_field'") && told.contains("'kc2'"), "{told}");
        let source = ParquetSource::open(&path, &keys, None).await.unwrap();
        let wanted = ["double_field".to_owned(), "int32_field".to_owned()];
        let found = read(source, &wanted).await.unwrap();
        let expected = expected("uniform_encryption");
        assert_eq!(found.len(), 2);
        assert!(wanted.iter().all(|name| found[name] == expected[name]));
    }
}

#[tokio::test]
async fn wrong_keys_prefixes_and_bytes_are_told_apart() {
    let open = async |file: &str, keys: &SourceKeys, prefix| {
        read_all(&fixture(file), keys, prefix).await.unwrap_err()
    };
    let all = named(&KEYS);
    let swapped = named(&[("kf", KEYS[1].1), KEYS[1], KEYS[2]]);
    for file in ["encrypt_columns_and_footer", "encrypt_columns_plaintext_footer"] {
        let refused = open(file, &SourceKeys::None, None).await;
        assert!(matches!(refused, SourceError::KeysWanted { .. }), "{refused}");
        let refused = open(file, &swapped, None).await;
        assert!(matches!(refused, SourceError::Footer { .. }), "{refused}");
        assert!(!chain(&refused).contains("omputed"), "{}", chain(&refused));
        let refused = open(file, &all, Some("other")).await;
        assert!(matches!(refused, SourceError::Footer { .. }), "{refused}");
        let refused = open(file, &named(&KEYS[1..]), None).await;
        assert!(refused.to_string().contains("'kf' of the footer"), "{refused}");
        let refused = open(file, &SourceKeys::KeyTools(Arc::new(InMemoryKms)), None).await;
        assert!(matches!(refused, SourceError::Material { .. }), "{}", chain(&refused));
    }
    let unstored = "encrypt_columns_and_footer_disable_aad_storage";
    let refused = open(unstored, &all, None).await;
    assert!(matches!(refused, SourceError::PrefixWanted { .. }), "{refused}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.parquet");
    let whole = std::fs::read(fixture("encrypt_columns_plaintext_footer")).unwrap();
    for length in [0, 7, 11, 40, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let refused = read_all(&path, &all, None).await.unwrap_err();
        assert!(matches!(refused, SourceError::NotParquet { .. }), "{length}: {refused}");
    }
    // A footer as short as a signature, which some readers would run off the end of.
    for length in 0..40u32 {
        let mut bytes = b"PAR1".to_vec();
        bytes.extend(std::iter::repeat_n(0x15, length as usize));
        bytes.extend(length.to_le_bytes());
        bytes.extend(b"PAR1");
        std::fs::write(&path, &bytes).unwrap();
        assert!(ParquetSource::open(&path, &all, None).await.is_err(), "{length}");
    }
}

/// Files with one bit flipped, each byte in turn: read, or refused with an error.
#[tokio::test]
async fn a_malformed_file_is_an_error_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.parquet");
    let plain = {
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("ann"), None, Some("cid")]));
        let mut lists = ListBuilder::new(Int64Builder::new());
        lists.append_value([Some(1), None]);
        lists.append_null();
        lists.append_value([Some(3)]);
        let lists: ArrayRef = Arc::new(lists.finish());
        let batch =
            RecordBatch::try_from_iter_with_nullable([("n", names, true), ("l", lists, true)])
                .unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    };
    let signed = std::fs::read(fixture("encrypt_columns_plaintext_footer")).unwrap();
    let sealed = std::fs::read(fixture("uniform_encryption")).unwrap();
    let keys = named(&KEYS);
    let (mut read_on, mut refused) = (0, 0);
    for (bytes, step) in [(plain, 1), (signed, 3), (sealed, 7)] {
        for at in (0..bytes.len()).step_by(step) {
            let mut broken = bytes.clone();
            broken[at] ^= 1 << (at % 8);
            std::fs::write(&path, broken).unwrap();
            let opened = async {
                let source = ParquetSource::open(&path, &keys, None).await.ok()?;
                let fields = source.schema().fields().iter();
                let columns: Vec<String> = fields.map(|f| f.name().clone()).collect();
                let mut batches = source.batches(&columns).await.ok()?;
                batches.all(|batch| batch.is_ok()).then_some(())
            };
            *(if opened.await.is_some() { &mut read_on } else { &mut refused }) += 1;
        }
    }
    println!("{refused} refused, {read_on} read");
    assert!(refused > 1000 && read_on > 0);
}

/// The most memory that this process has held so far, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test]
async fn a_large_file_is_read_with_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.parquet");
    let fields = (0..4).map(|n| Field::new(format!("c{n}"), DataType::Float64, false));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, schema.clone(), Some(properties)).unwrap();
    let (groups, rows) = (64_u64, 64 * 1024_u64);
    for group in 0..groups {
        // Digits that do not compress, and that tell afterwards whether all came.
        let column = |n: u64| -> ArrayRef {
            let value = |row| ((group * rows + row) * 4 + n) as f64;
            Arc::new((0..rows).map(value).collect::<arrow::array::Float64Array>())
        };
        let batch = RecordBatch::try_new(schema.clone(), (0..4).map(column).collect()).unwrap();
        writer.write(&batch).unwrap();
        writer.flush().unwrap();
    }
    writer.close().unwrap();
    let bytes_mib = std::fs::metadata(&path).unwrap().len() >> 20;
    let before = peak_mib();

    let source = ParquetSource::open(&path, &SourceKeys::None, None).await.unwrap();
    assert_eq!(source.rows(), groups * rows);
    let columns: Vec<String> = (0..4).map(|n| format!("c{n}")).collect();
    let (mut seen, mut sum) = (0, 0.0);
    for batch in source.batches(&columns).await.unwrap() {
        let batch = batch.unwrap();
        seen += batch.num_rows() as u64;
        for column in batch.columns() {
            sum += arrow::compute::sum(column.as_primitive::<Float64Type>()).unwrap();
        }
    }
    let n = (groups * rows * 4) as f64;
    assert_eq!((seen, sum), (groups * rows, n * (n - 1.0) / 2.0));
    let grown = peak_mib() - before;
    println!("{bytes_mib} MiB read, peak grew by {grown} MiB");
    assert!(bytes_mib >= 120 && grown <= 24, "{bytes_mib} MiB: {grown} MiB");
}
