//! Parquet that pyarrow wrote, with nested columns, into a lake and out again.

use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::*;
use salus_ingest::tabular::{ImportReport, Importer, SchemaFile, Source, infer_parquet};
use salus_model::Classified as _;
use salus_store::{EncryptionSettings, ParquetSource, SourceKeys};
use salus_testkit::Venv;
use serde_json::{Map, Value as Json};

use crate::site::TestSite;

async fn written() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_owned();
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/python_scripts/nested_parquet.py");
    let work = move || {
        Venv::with(&["hvac==2.4.0", "pyarrow==26.0.1"]).run(script, |command| {
            command.arg(at);
        })
    };
    tokio::task::spawn_blocking(work).await.unwrap();
    folder
}

async fn source(path: &Path) -> ParquetSource {
    ParquetSource::open(path, &SourceKeys::None, None).await.unwrap()
}

async fn import(site: &TestSite, schema: SchemaFile, path: &Path) -> ImportReport {
    let importer = Importer::new(site.lake.clone(), schema, EncryptionSettings::STRICT);
    let source = Source::Parquet(Box::new(source(path).await));
    importer.run("stays.parquet", source, |_| ()).await.unwrap()
}

fn value(array: &ArrayRef, row: usize) -> Json {
    if array.is_null(row) {
        return Json::Null;
    }
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).into(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            array.as_primitive::<TimestampMicrosecondType>().value(row).into()
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            (0..items.len()).map(|at| value(&items, at)).collect()
        }
        DataType::Struct(fields) => {
            let parts = array.as_struct();
            let pairs = fields.iter().zip(parts.columns());
            pairs.map(|(f, column)| (f.name().clone(), value(column, row))).collect()
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            let pair = |at| (keys.as_string::<i32>().value(at).to_owned(), value(values, at));
            (0..entries.len()).map(pair).collect::<Map<_, _>>().into()
        }
        other => panic!("{other} is not expected"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nested_columns_come_through_as_pyarrow_wrote_them() {
    let folder = written().await;
    let path = folder.path().join("stays.parquet");
    let proposed = infer_parquet("stays".parse().unwrap(), source(&path).await.schema()).unwrap();
    let text = proposed.to_toml().unwrap();
    println!("{text}");
    let mut confirmed = SchemaFile::parse(&text).unwrap();
    assert_eq!(confirmed, proposed);
    assert_eq!(confirmed.subject.as_deref(), Some("patient"));
    let keys: Vec<(String, String)> = confirmed
        .columns
        .iter()
        .flat_map(|c| c.leaves())
        .map(|(path, key)| (path, key.into()))
        .collect();
    let wanted = [
        ("patient", "identifiers"),
        ("codings.list.element.system", "clinical"),
        ("codings.list.element.value", "clinical"),
        ("tags.key_value.key", "clinical"),
        ("tags.key_value.value.list.element", "clinical"),
        ("address.city", "identifiers"),
        ("address.zip", "identifiers"),
        ("when", "clinical"),
        ("small", "clinical"),
        ("price", "clinical"),
    ];
    assert_eq!(keys, wanted.map(|(path, key)| (path.to_owned(), key.to_owned())));

    let site = TestSite::new();
    confirmed.columns.iter_mut().find(|c| c.name == "small").unwrap().max = Some(125.0);
    let report = import(&site, confirmed, &path).await;
    let expected = std::fs::read_to_string(folder.path().join("expected.ndjson")).unwrap();
    let mut expected: Vec<Json> =
        expected.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let too_large = expected.iter().filter(|row| row["small"].as_i64().unwrap() > 125).count();
    assert_eq!(report.quarantined, too_large as u64);
    assert_eq!(report.accepted + report.quarantined, 10_000);
    expected.retain(|row| row["small"].as_i64().unwrap() <= 125);

    let rows = site.rows("stays").await;
    let schema = rows.schema();
    let mut found: Vec<Json> = (0..rows.num_rows())
        .map(|row| {
            let pairs = schema.fields().iter().zip(rows.columns());
            pairs.map(|(f, column)| (f.name().clone(), value(column, row))).collect()
        })
        .collect();
    let by_time = |row: &Json| row["when"].as_i64();
    found.sort_by_key(by_time);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    let refused = site.rows("stays_quarantine").await;
    let records = refused.column_by_name("record").unwrap();
    let lines = refused.column_by_name("line").unwrap();
    let first: &str = records.as_string::<i32>().value(0);
    assert_eq!(lines.as_primitive::<Int64Type>().value(0), 127, "rows are counted from 1");
    assert!(first.starts_with("p29\t") && first.ends_with("\t126\t31.50"), "{first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_deep_inside_that_does_not_fit_quarantines_its_row() {
    let folder = written().await;
    let path = folder.path().join("bad.parquet");
    let mut schema = infer_parquet("bad".parse().unwrap(), source(&path).await.schema()).unwrap();
    schema.columns[0].required = true.into();
    let site = TestSite::new();
    let report = import(&site, schema.clone(), &path).await;
    assert_eq!((report.accepted, report.quarantined), (1, 3), "{report:?}");
    let reasons: Vec<(&str, &str)> =
        report.reasons.iter().map(|r| (r.field.as_str(), r.reason.as_str())).collect();
    assert_eq!(
        reasons,
        [
            ("patient", "a value is required and missing"),
            ("ratio", "is not a finite number"),
            ("readings.list.element", "is not a whole number of 64 bits"),
        ]
    );
    assert_eq!(site.rows("bad").await.num_rows(), 1);

    // What the file's types cannot become is refused before a row is read.
    let text = schema.to_toml().unwrap();
    let other = [
        (
            text.replace("type = \"list\"", "type = \"text\"").replace("[column.item]", "[x]"),
            "'readings'",
        ),
        (text.replace("name = \"ratio\"", "name = \"quota\""), "'ratio'"),
    ];
    for (text, told) in other {
        let Ok(schema) = SchemaFile::parse(&text.replace("[x]\ntype = \"integer\"\n", "")) else {
            panic!("{text}")
        };
        let importer = Importer::new(site.lake.clone(), schema, EncryptionSettings::STRICT);
        let source = Source::Parquet(Box::new(source(&path).await));
        let refused = importer.run("bad.parquet", source, |_| ()).await.unwrap_err();
        let cause = std::error::Error::source(&refused).unwrap().to_string();
        assert!(cause.contains(told), "{cause}");
        assert_eq!(refused.class(), salus_model::Class::BadRequest);
    }
}
