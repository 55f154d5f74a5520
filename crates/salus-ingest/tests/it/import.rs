use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use salus_ingest::tabular::{ImportReport, Importer, LineFormat, SchemaFile, Source};
use salus_store::EncryptionSettings;

use crate::site::TestSite;

const SCHEMA: &str = r#"
dataset = "visits"
subject = "patient"
[[column]]
name = "patient"
type = "text"
class = "identifiers"
required = true
[[column]]
name = "pulse"
type = "integer"
class = "clinical"
min = 0
max = 300
[[column]]
name = "note"
type = "text"
class = "freetext"
"#;

const CSV: LineFormat = LineFormat::Csv { delimiter: b',' };

async fn import(site: &TestSite, text: impl Into<Vec<u8>>, format: LineFormat) -> ImportReport {
    let schema = SchemaFile::parse(SCHEMA).unwrap();
    let importer = Importer::new(site.lake.clone(), schema, EncryptionSettings::STRICT);
    let source = Box::new(std::io::Cursor::new(text.into()));
    importer.run("visits.csv", Source::Lines(source, format), |_| ()).await.unwrap()
}

fn every_byte_below(folder: &Path, found: &mut Vec<u8>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            every_byte_below(&path, found);
        } else {
            found.extend(std::fs::read(path).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_accepted_or_quarantined_and_none_is_lost() {
    let site = TestSite::new();
    let text = "patient,pulse,note\n\
                p1,70,calm\n\
                ,71,who\n\
                p3,fast,SECRETMARKER\n\
                p4,301,\n\
                p5,,\n\
                p6,1\n";
    let report = import(&site, text, CSV).await;
    assert_eq!((report.accepted, report.quarantined), (2, 4));
    let reasons: Vec<(&str, u64)> =
        report.reasons.iter().map(|r| (r.field.as_str(), r.records)).collect();
    assert_eq!(reasons, [("", 1), ("patient", 1), ("pulse", 1), ("pulse", 1)]);

    let rows = site.rows("visits").await;
    let patients: Vec<_> = rows.column(0).as_string::<i32>().iter().flatten().collect();
    assert_eq!(patients, ["p1", "p5"]);
    let pulses = rows.column(1).as_primitive::<Int64Type>();
    assert_eq!((pulses.value(0), pulses.is_null(1)), (70, true));

    let kept = site.rows(report.quarantine.unwrap().as_str()).await;
    let lines = kept.column_by_name("line").unwrap().as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(lines, [3, 4, 5, 7]);
    let records = kept.column_by_name("record").unwrap().as_string::<i32>().clone();
    assert_eq!(records.value(1), "p3,fast,SECRETMARKER");
    for reason in &report.reasons {
        assert!(!reason.reason.contains("fast"), "a reason holds a value");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_record_is_on_disk_in_plaintext() {
    let site = TestSite::new();
    let text = "patient,pulse,note\nPATIENTMARKER,70,NOTEMARKER\nBADMARKER,x,y\n";
    import(&site, text, CSV).await;
    let mut bytes = Vec::new();
    every_byte_below(site.folder.path(), &mut bytes);
    for marker in ["PATIENTMARKER", "NOTEMARKER", "BADMARKER", "patient", "pulse"] {
        let found = bytes.windows(marker.len()).any(|w| w == marker.as_bytes());
        assert!(!found, "{marker} is on disk");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_add_up_and_large_ones_come_whole() {
    let site = TestSite::new();
    let mut text = String::from("patient,pulse,note\n");
    for i in 0..50_000 {
        text.push_str(&format!("p{i},{},n{i}\n", i % 300));
    }
    import(&site, text, CSV).await;
    let lines = "{\"patient\":\"q\",\"pulse\":1}\n".repeat(10);
    let report = import(&site, lines, LineFormat::Ndjson).await;
    assert_eq!(report.version.number(), 3);
    let rows = site.rows("visits").await;
    assert_eq!(rows.num_rows(), 50_010);
    let sum: i64 = rows.column(1).as_primitive::<Int64Type>().iter().flatten().sum();
    let wanted: i64 = (0..50_000).map(|i| i % 300).sum::<i64>() + 10;
    assert_eq!(sum, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cannot_be_read_publishes_nothing() {
    let site = TestSite::new();
    let schema = SchemaFile::parse(SCHEMA).unwrap();
    let importer = Importer::new(site.lake.clone(), schema, EncryptionSettings::STRICT);
    let source = Box::new("patient,pulse,weight\np1,2,3\n".as_bytes());
    let refused = importer.run("x.csv", Source::Lines(source, CSV), |_| ()).await.unwrap_err();
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert!(cause.contains("'weight'"), "{cause}");
    assert_eq!(site.rows("visits").await.num_rows(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_keeps_the_encryption_that_it_was_made_with() {
    let site = TestSite::new();
    let with = |material: &str| {
        let settings = format!(
            "dataset = \"visits\"\n[encryption]\nkey_bits = 128\nwrapping = \"single\"\n\
             footer = \"encrypted\"\nmaterial = \"{material}\"\n"
        );
        let text = SCHEMA.replace("dataset = \"visits\"\nsubject = \"patient\"\n", &settings);
        SchemaFile::parse(&text).unwrap()
    };
    let run = async |schema: SchemaFile| {
        let importer = Importer::new(site.lake.clone(), schema, EncryptionSettings::STRICT);
        let source = Box::new("patient,pulse,note\np1,70,calm\n".as_bytes());
        importer.run("visits.csv", Source::Lines(source, CSV), |_| ()).await
    };
    run(with("internal")).await.unwrap();
    run(with("internal")).await.unwrap();
    let refused = run(with("external")).await.unwrap_err();
    assert!(refused.to_string().contains("[encryption]"), "{refused}");
    // A schema that says nothing adds to it as it is.
    run(SchemaFile::parse(SCHEMA).unwrap()).await.unwrap();
    let dataset = "visits".parse().unwrap();
    let snapshot = site.lake.snapshot(&dataset, None).await.unwrap();
    let found = snapshot.manifest().encryption;
    assert_eq!(found.material, salus_store::MaterialStorage::Internal);
    assert_eq!(found.key_bits.bits(), 128);
    assert_eq!(site.rows("visits").await.num_rows(), 3);
}

const MEALS: &str = r#"
dataset = "meals"
[identity]
key = "meal"
sequence = "revision"
[[column]]
name = "meal"
type = "text"
class = "clinical"
required = true
[[column]]
name = "revision"
type = "integer"
class = "quasi"
required = true
[[column]]
name = "kcal"
type = "integer"
class = "clinical"
"#;

async fn meals(site: &TestSite) -> Vec<(String, i64)> {
    let rows = site.rows("meals").await;
    let (names, revisions) = (rows.column(0).as_string::<i32>(), rows.column(1));
    let revisions = revisions.as_primitive::<Int64Type>();
    let mut found: Vec<(String, i64)> =
        (0..rows.num_rows()).map(|i| (names.value(i).to_owned(), revisions.value(i))).collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_one_identity_replace_each_other_within_and_across_imports() {
    let site = TestSite::new();
    let import = async |text: &str| {
        let schema = SchemaFile::parse(MEALS).unwrap();
        let importer = Importer::new(site.lake.clone(), schema, EncryptionSettings::STRICT);
        let source = Source::Lines(Box::new(std::io::Cursor::new(text.to_owned())), CSV);
        importer.run("meals.csv", source, |_| ()).await.unwrap();
    };
    let shown = |of: &[(&str, i64)]| -> Vec<(String, i64)> {
        of.iter().map(|(meal, revision)| ((*meal).to_owned(), *revision)).collect()
    };
    import("meal,revision,kcal\na,2,20\na,1,10\nb,1,30\nb,3,31\nb,2,32\n").await;
    assert_eq!(meals(&site).await, shown(&[("a", 2), ("b", 3)]));
    // A newer row replaces, an older one loses, another thing is added.
    import("meal,revision,kcal\na,5,50\nb,2,33\nc,1,1\n").await;
    assert_eq!(meals(&site).await, shown(&[("a", 5), ("b", 3), ("c", 1)]));
}
