use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::compute::kernels::cmp::gt_eq;
use arrow::datatypes::{DataType, Field, Fields, Schema};
use arrow::error::ArrowError;
use salus_keys::KeyStore;
use salus_model::*;
use salus_spine::RowRule;
use salus_store::*;

use crate::site::*;

fn version(number: u64) -> DatasetVersion {
    DatasetVersion::new(number).unwrap()
}

fn texts(of: &[(&str, i64)]) -> Vec<String> {
    let batches = vec![rows(of)];
    Scanned { schema: schema(), batches, rows_if_open: None }.texts()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_appended_are_read_back_at_their_version() {
    let (first, second) = ([("ann", 1), ("bob", 2)], [("cid", 3)]);
    let site = Site::with("meals", &[&first, &second]).await;
    let all = [first.as_slice(), &second].concat();
    assert_eq!(site.texts("meals").await.unwrap(), texts(&all));
    for (number, wanted) in [(1, &[][..]), (2, &first), (3, &all)] {
        let how = How { version: Some(version(number)), ..How::default() };
        let found = site.scan("meals", all_of(&schema()), how).await.unwrap();
        assert_eq!(found.texts(), texts(wanted), "version {number}");
        assert_eq!(found.rows_if_open, Some(wanted.len() as u64));
    }
    assert_eq!(site.lake.datasets().await.unwrap(), [dataset("meals")]);
    let versions = site.lake.versions(&dataset("meals")).await.unwrap();
    assert_eq!(versions, [version(1), version(2), version(3)]);
    let newest = site.again().snapshot(&dataset("meals"), None).await.unwrap();
    let before = site.again().snapshot(&dataset("meals"), Some(version(2))).await.unwrap();
    assert_eq!(newest.manifest().previous, Some(before.digest()));
    assert_eq!((newest.manifest().rows(), newest.manifest().files.len()), (3, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_named() {
    let site = Site::with("meals", &[]).await;
    let refused = site.lake.snapshot(&dataset("beds"), None).await.err().unwrap();
    assert!(matches!(refused, LakeError::NoDataset { .. }) && refused.class() == Class::BadRequest);
    let refused = site.lake.snapshot(&dataset("meals"), Some(version(9))).await.err().unwrap();
    assert!(matches!(refused, LakeError::NoVersion { newest, .. } if newest == version(1)));
    let refused = site.lake.create(spec("meals")).await.err().unwrap();
    assert!(matches!(refused, LakeError::DatasetExists { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_takes_its_own_dataset_up_and_nobody_elses() {
    let site = Site::with("meals", &[&[("ann", 1)]]).await;
    let found = site.lake.open_or_create(spec("meals")).await.unwrap();
    assert_eq!(found.manifest().rows(), 1, "it is as it was");
    let made = site.lake.open_or_create(spec("beds")).await.unwrap();
    assert_eq!((made.manifest().rows(), made.manifest().version), (0, DatasetVersion::FIRST));
    let mut other = spec("meals");
    let fields = other.schema.fields().iter().skip(1).cloned();
    other.schema = Arc::new(Schema::new(fields.collect::<Fields>()));
    let refused = site.lake.open_or_create(other).await.err().unwrap();
    assert!(matches!(refused, LakeError::NameTaken { .. }), "{refused}");
    assert!(refused.to_string().contains("columns are wanted"), "{refused}");
    assert_eq!(refused.class(), Class::BadRequest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_that_would_leave_a_leaf_in_plaintext_is_not_made() {
    let site = Site::new();
    let mut unmapped = spec("meals");
    unmapped.policy = KeyPolicy::new([("patient".to_owned(), class(KeyClass::Identifiers))]);
    let refused = site.lake.create(unmapped).await.err().unwrap();
    assert!(chain(&refused).contains("no key is named for column 'seq'"), "{}", chain(&refused));
    let mut misspelt = spec("meals");
    misspelt.policy = KeyPolicy::new([
        ("*".to_owned(), class(KeyClass::Clinical)),
        ("pateint".to_owned(), class(KeyClass::Identifiers)),
    ]);
    let refused = site.lake.create(misspelt).await.err().unwrap();
    assert!(chain(&refused).contains("'pateint' covers no column"));
    let mut no_subject = spec("meals");
    no_subject.subject = Some(column("person"));
    let refused = site.lake.create(no_subject).await.err().unwrap();
    assert!(matches!(refused, LakeError::NoColumn { what: "subject", .. }));
    assert!(site.lake.datasets().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_another_schema_are_refused() {
    let site = Site::with("meals", &[&[("ann", 1)]]).await;
    let mut writer = site.lake.append(&dataset("meals")).await.unwrap();
    let fewer = rows(&[("ann", 2)]).project(&[0, 1, 2, 3]).unwrap();
    let refused = writer.write(&fewer).await.unwrap_err();
    assert!(refused.to_string().contains("5 columns are wanted, there are 4"), "{refused}");
    let mut fields: Vec<_> = schema().fields().iter().cloned().collect();
    fields[3] = Arc::new(Field::new("value", DataType::Int64, true));
    let mut columns = rows(&[("ann", 2)]).columns().to_vec();
    columns[3] = Arc::new(Int64Array::from(vec![1]));
    let other = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let refused = writer.write(&other).await.unwrap_err();
    assert!(refused.to_string().contains("column 'value'"), "{refused}");
    assert_eq!(refused.class(), Class::BadRequest);
    writer.publish().await.unwrap();
    assert_eq!(site.texts("meals").await.unwrap(), texts(&[("ann", 1)]));
    assert_eq!(site.lake.versions(&dataset("meals")).await.unwrap().len(), 2, "nothing to publish");
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_that_publish_at_once_all_survive() {
    let site = Site::with("meals", &[]).await;
    let writers = (0..8).map(|n| {
        let lake = site.again();
        tokio::spawn(async move {
            let mut writer = lake.append(&dataset("meals")).await.unwrap();
            writer.write(&rows(&[("ann", n)])).await.unwrap();
            writer.publish().await.unwrap();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let wanted: Vec<_> = (0..8).map(|n| ("ann", n)).collect();
    assert_eq!(site.texts("meals").await.unwrap(), texts(&wanted));
    assert_eq!(site.lake.versions(&dataset("meals")).await.unwrap().len(), 9);
    assert!(site.verify("meals").await.findings.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_dataset_has_its_schema_and_no_rows() {
    let site = Site::with("meals", &[]).await;
    let found = site.scan("meals", all_of(&schema()), How::default()).await.unwrap();
    assert_eq!((found.schema, found.batches.len()), (schema(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_column_is_null_and_its_key_is_not_touched() {
    let site = Site::with("meals", &[&[("ann", 1), ("bob", 2)]]).await;
    site.keys.shred(&KeyName::new("meals.freetext").unwrap()).await.unwrap();
    let mut access = all_of(&schema());
    access.columns.retain(|c| c.as_str() != "note");
    access.masked = vec![column("note")];
    let found = site.scan("meals", access, How::default()).await.unwrap();
    let wanted = ["ann|1|LOINC-1|0.5|null", "bob|2|LOINC-2|1.0|null"];
    assert_eq!(found.texts(), wanted);
    assert!(found.schema.field(4).is_nullable());
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_come_as_codes_where_the_file_keeps_them_so() {
    // More notes than a file's dictionary holds, so that their pages have them in full.
    let patients: Vec<String> = (0..60_000).map(|n| format!("patient {n:040}")).collect();
    let of: Vec<(&str, i64)> = patients.iter().map(String::as_str).zip(0..).collect();
    let site = Site::with("meals", &[&of[..200], &of[200..]]).await;
    let coded = |coded: &[usize]| How { coded: coded.to_vec(), ..How::default() };
    let types = |found: &Scanned, place: usize| {
        let types: BTreeSet<String> =
            found.batches.iter().map(|b| b.column(place).data_type().to_string()).collect();
        types.into_iter().collect::<Vec<_>>()
    };
    let plain = site.scan("meals", all_of(&schema()), How::default()).await.unwrap();
    let found = site.scan("meals", all_of(&schema()), coded(&[0, 1, 2, 4])).await.unwrap();
    assert_eq!(found.texts(), plain.texts());
    assert_eq!(types(&plain, 2), ["Utf8"]);
    assert_eq!(types(&found, 1), ["Int64"]);
    assert_eq!(types(&found, 2), ["Dictionary(Int32, Utf8)"]);
    // The first file's 200 fit a dictionary, the second file's do not.
    assert_eq!(types(&found, 4), ["Dictionary(Int32, Utf8)", "Utf8"]);
    // What decides about rows comes as it is, and masked columns are null.
    let mut access = all_of(&schema());
    access.rules = vec![only(&[&patients[0], &patients[7]])];
    access.columns.retain(|c| c.as_str() != "code");
    access.masked = vec![column("code")];
    let found = site.scan("meals", access, coded(&[0, 2])).await.unwrap();
    assert_eq!(types(&found, 0), ["Utf8"]);
    assert_eq!(
        found.texts(),
        [
            format!("{}|0|null|0.0|null", patients[0]),
            format!("{0}|7|null|3.5|{0} said 7", patients[7]),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_one_columns_key_that_column_is_refused_and_the_others_are_read() {
    let site = Site::with("meals", &[&[("ann", 1), ("bob", 2)]]).await;
    site.keys.revoke(&KeyName::new("meals.freetext").unwrap()).await.unwrap();
    let columns = |projection: Vec<usize>| How { projection: Some(projection), ..How::default() };
    let found = site.scan("meals", all_of(&schema()), columns(vec![3, 0])).await.unwrap();
    assert_eq!(found.texts(), ["0.5|ann", "1.0|bob"]);
    let refused = site.scan("meals", all_of(&schema()), columns(vec![0, 4])).await.err().unwrap();
    let text = chain(&refused);
    assert!(text.contains("meals.freetext") && text.contains("column 'note'"), "{text}");
    assert_eq!(refused.class(), Class::Refused);
    // A column that was not granted is not there at all.
    let mut access = all_of(&schema());
    access.columns.retain(|c| c.as_str() != "value");
    let found = site.scan("meals", access, columns(vec![0])).await.unwrap();
    assert!(found.schema.field_with_name("value").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_footers_key_or_with_other_keys_nothing_opens() {
    let site = Site::with("meals", &[&[("ann", 1)]]).await;
    let strangers = crate::keys::MemoryKeys::new();
    for name in site.keys.names() {
        strangers.ensure(&name).await.unwrap();
    }
    let stranger = Site::at(site.folder.clone(), strangers, "st-mary");
    let refused = stranger.lake.snapshot(&dataset("meals"), None).await.err().unwrap();
    assert!(matches!(refused, LakeError::Locked { .. }), "{refused}");
    site.keys.shred(&KeyName::new("meals.footer").unwrap()).await.unwrap();
    let refused = site.lake.snapshot(&dataset("meals"), None).await.err().unwrap();
    assert!(matches!(refused, LakeError::Locked { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_rules_hide_rows_from_files_and_from_memory() {
    let site = Site::with("meals", &[&[("ann", 1), ("bob", 2), ("cid", 3)]]).await;
    let live = Live { batches: vec![rows(&[("ann", 4), ("bob", 5)])], superseded: &[] };
    site.lake.attach(dataset("meals"), Arc::new(live));
    let with = |rules| Access { rules, ..all_of(&schema()) };
    let found =
        site.scan("meals", with(vec![only(&["ann", "cid"])]), How::default()).await.unwrap();
    assert_eq!(found.texts(), texts(&[("ann", 1), ("cid", 3), ("ann", 4)]));
    assert_eq!(found.rows_if_open, None, "the count would tell of hidden rows");
    let RowRule::SubjectIn { column, subjects } = only(&["ann"]) else { unreachable!() };
    let rules = vec![only(&["ann", "cid"]), RowRule::SubjectNotIn { column, subjects }];
    let found = site.scan("meals", with(rules), How::default()).await.unwrap();
    assert_eq!(found.texts(), texts(&[("cid", 3)]));
    // The deciding column need not be shown, or even granted.
    let mut access = with(vec![only(&["bob"])]);
    access.columns = vec![crate::site::column("value")];
    let found = site.scan("meals", access, How::default()).await.unwrap();
    assert_eq!(found.texts(), ["1.0", "2.5"]);
    let found = site.scan("meals", with(vec![only(&[])]), How::default()).await.unwrap();
    assert!(found.texts().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_closes_its_columns_in_memory_too() {
    // No row is in a file, so that nothing but the rows in memory can refuse.
    let site = Site::with("meals", &[]).await;
    let live = Live { batches: vec![rows(&[("ann", 1), ("bob", 5)])], superseded: &[] };
    site.lake.attach(dataset("meals"), Arc::new(live));
    let columns = |of: Vec<usize>| How { projection: Some(of), ..How::default() };
    let key = KeyName::new("meals.freetext").unwrap();
    site.keys.revoke(&key).await.unwrap();
    let refused = site.scan("meals", all_of(&schema()), columns(vec![4])).await.err().unwrap();
    let text = chain(&refused);
    assert!(text.contains("meals.freetext") && text.contains("column 'note'"), "{text}");
    assert_eq!(refused.class(), Class::Refused);
    let others = site.scan("meals", all_of(&schema()), columns(vec![3])).await.unwrap();
    assert_eq!(others.texts().len(), 2);
    site.keys.reinstate(&key).await.unwrap();
    let again = site.scan("meals", all_of(&schema()), columns(vec![4])).await.unwrap();
    assert_eq!(again.texts().len(), 2);
    site.keys.shred(&key).await.unwrap();
    assert!(site.scan("meals", all_of(&schema()), columns(vec![4])).await.is_err());
}

struct Live {
    batches: Vec<RecordBatch>,
    superseded: &'static [(&'static str, i64)],
}

fn superseded(of: &[(&str, i64)]) -> Superseded {
    Superseded::new(of.iter().map(|(k, from)| ((*k).to_owned(), *from)).collect())
}

impl LiveRows for Live {
    fn after(&self, position: u64) -> Option<(Vec<RecordBatch>, Superseded)> {
        assert_eq!(position, 0);
        Some((self.batches.clone(), superseded(self.superseded)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn superseded_rows_are_gone_and_live_rows_are_merged_at_the_newest_version_only() {
    let site = Site::with("meals", &[&[("ann", 1), ("bob", 2), ("cid", 3)]]).await;
    let mut writer = site.lake.append(&dataset("meals")).await.unwrap();
    writer.write(&rows(&[("ann", 4)])).await.unwrap();
    writer.supersede(&superseded(&[("ann", 4)]));
    writer.publish().await.unwrap();
    assert_eq!(site.texts("meals").await.unwrap(), texts(&[("ann", 4), ("bob", 2), ("cid", 3)]));
    let at = |number| How { version: Some(version(number)), ..How::default() };
    let found = site.scan("meals", all_of(&schema()), at(2)).await.unwrap();
    assert_eq!(found.texts(), texts(&[("ann", 1), ("bob", 2), ("cid", 3)]));
    // Live: bob is changed, cid deleted, ann changed twice of which the last counts.
    let live = Live {
        batches: vec![rows(&[("bob", 5), ("ann", 6)]), rows(&[("ann", 7)])],
        superseded: &[("bob", 5), ("cid", 6), ("ann", 7)],
    };
    site.lake.attach(dataset("meals"), Arc::new(live));
    assert_eq!(site.texts("meals").await.unwrap(), texts(&[("bob", 5), ("ann", 7)]));
    let found = site.scan("meals", all_of(&schema()), at(3)).await.unwrap();
    assert_eq!(found.texts(), texts(&[("ann", 4), ("bob", 2), ("cid", 3)]));
    // A later list does not lose what an earlier one says.
    let mut writer = site.again().append(&dataset("meals")).await.unwrap();
    writer.supersede(&superseded(&[("bob", 9), ("ann", 2)]));
    let published = writer.publish().await.unwrap();
    assert_eq!(published.manifest().version, version(4));
    let found = site.scan("meals", all_of(&schema()), at(4)).await.unwrap();
    assert_eq!(found.texts(), texts(&[("ann", 4), ("cid", 3)]));
}

struct AtLeast {
    columns: [usize; 1],
    least: i64,
}

impl ScanFilter for AtLeast {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn passes(&self, batch: &RecordBatch) -> Result<BooleanArray, ArrowError> {
        gt_eq(batch.column(0), &Int64Array::new_scalar(self.least))
    }

    fn may_pass(&self, statistics: &RowGroupStatistics) -> Vec<bool> {
        let Some(column) = statistics.column(self.columns[0]) else {
            return vec![true; statistics.row_groups];
        };
        let max = column.max.as_primitive::<arrow::datatypes::Int64Type>();
        max.iter().map(|max| max.is_none_or(|max| max >= self.least)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pruned_and_filtered_scans_equal_brute_force() {
    let site = Site::with("meals", &[]).await;
    let mut writer = site.lake.append(&dataset("meals")).await.unwrap();
    // More than one row group in one file, and a second file.
    let many: Vec<(String, i64)> = (0..300_000).map(|n| (format!("p{}", n % 97), n)).collect();
    for part in many.chunks(50_000) {
        let part: Vec<_> = part.iter().map(|(p, n)| (p.as_str(), *n)).collect();
        writer.write(&rows(&part)).await.unwrap();
    }
    writer.publish().await.unwrap();
    site.append("meals", &[("p1", 300_001), ("p2", 5)]).await;
    let all = [many.as_slice(), &[("p1".into(), 300_001), ("p2".into(), 5)]].concat();
    for least in [-1, 5, 250_000, 262_144, 299_999, 300_001, 300_002] {
        for rules in [vec![], vec![only(&["p1", "p2"])]] {
            let admitted = |p: &str| rules.is_empty() || p == "p1" || p == "p2";
            let brute = all.iter().filter(|(p, n)| *n >= least && admitted(p));
            let mut wanted: Vec<String> = brute.map(|(_, n)| n.to_string()).collect();
            wanted.sort();
            let filters: Vec<Arc<dyn ScanFilter>> = vec![Arc::new(AtLeast { columns: [1], least })];
            let how = How { projection: Some(vec![1]), filters, ..How::default() };
            let access = Access { rules, ..all_of(&schema()) };
            let found = site.scan("meals", access, how).await.unwrap().texts();
            assert!(found == wanted, "{least}: {} found, {} wanted", found.len(), wanted.len());
        }
    }
    let how = How { limit: Some(10), projection: Some(vec![]), ..How::default() };
    let found = site.scan("meals", all_of(&schema()), how).await.unwrap();
    // The limit holds for each partition: the first row group, and the second with the other file.
    let counts: Vec<usize> = found.batches.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(counts, [10, 10]);
}

fn nested() -> RecordBatch {
    let codes = StringArray::from(vec!["a", "b", "c"]);
    let values = Int64Array::from(vec![Some(1), None, Some(3)]);
    let fields = Fields::from(vec![
        Field::new("system", DataType::Utf8, true),
        Field::new("value", DataType::Int64, true),
    ]);
    let items = StructArray::new(fields.clone(), vec![Arc::new(codes), Arc::new(values)], None);
    let item = Arc::new(Field::new("element", DataType::Struct(fields), true));
    let offsets = OffsetBuffer::new(vec![0, 2, 2, 3].into());
    let codings = ListArray::new(item, offsets, Arc::new(items), None);
    let mut tags = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    for n in 0..3 {
        for m in 0..n {
            tags.keys().append_value(format!("k{m}"));
            tags.values().append_value(m * n);
        }
        tags.append(true).unwrap();
    }
    let inner = Fields::from(vec![Field::new("city", DataType::Utf8, true)]);
    let address = StructArray::new(
        inner,
        vec![Arc::new(StringArray::from(vec![Some("Delft"), None, Some("Ghent")]))],
        None,
    );
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("coding", Arc::new(codings)),
        ("tags", Arc::new(tags.finish())),
        ("address", Arc::new(address)),
        ("id", Arc::new(StringArray::from(vec!["x", "y", "z"]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nested_columns_round_trip_and_each_leaf_has_a_key() {
    for settings in every_setting() {
        let site = Site::new();
        let batch = nested();
        let paths: Vec<String> = leaves(&batch.schema()).iter().map(ToString::to_string).collect();
        let wanted = [
            "coding.list.element.system",
            "coding.list.element.value",
            "tags.entries.keys",
            "tags.entries.values",
            "address.city",
            "id",
        ];
        assert_eq!(paths, wanted);
        let policy = KeyPolicy::new([
            ("coding.*".to_owned(), class(KeyClass::Clinical)),
            ("tags.*".to_owned(), class(KeyClass::Freetext)),
            ("address.city".to_owned(), class(KeyClass::Quasi)),
            ("id".to_owned(), KeyChoice::Key(KeyName::new("special").unwrap())),
        ]);
        let spec = DatasetSpec {
            schema: batch.schema(),
            subject: None,
            identity: None,
            policy,
            encryption: settings,
            ..spec("nested")
        };
        site.lake.create(spec).await.unwrap();
        let mut writer = site.lake.append(&dataset("nested")).await.unwrap();
        writer.write(&batch).await.unwrap();
        writer.publish().await.unwrap();
        let snapshot = site.lake.snapshot(&dataset("nested"), None).await.unwrap();
        let export = KeyExport::of(snapshot.manifest()).unwrap();
        assert_eq!(
            export.column_keys(),
            "nested.clinical: coding.list.element.system, coding.list.element.value; \
             nested.freetext: tags.key_value.key, tags.key_value.value; \
             nested.quasi: address.city; special: id"
        );
        assert_eq!((export.footer.as_str(), export.encryption), ("nested.footer", settings));
        let access = all_of(&batch.schema());
        let found = site.scan("nested", access.clone(), How::default()).await.unwrap();
        assert_eq!(found.batches, std::slice::from_ref(&batch));
        let report = site.verify("nested").await;
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        let file = site.files("nested").await.remove(0);
        let beside = settings.material == MaterialStorage::External;
        assert_eq!(site.material_file("nested", &file).exists(), beside);
        // Half of a nested value is never shown: one leaf not granted hides the column.
        let mut half = access.clone();
        half.columns.retain(|c| c.as_str() != "coding.list.element.value");
        let found = site.scan("nested", half, How::default()).await.unwrap();
        let names: Vec<&str> = found.schema.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(names, ["tags", "address", "id"]);
        // One masked leaf masks it.
        let mut masked = access;
        masked.columns.retain(|c| c.as_str() != "coding.list.element.value");
        masked.masked = vec![column("coding.list.element.value")];
        let found = site.scan("nested", masked, How::default()).await.unwrap();
        assert_eq!(found.batches[0].column(0).null_count(), 3);
        site.keys.shred(&KeyName::new("nested.freetext").unwrap()).await.unwrap();
        let how = How { projection: Some(vec![0, 2, 3]), ..How::default() };
        let found = site.scan("nested", all_of(&batch.schema()), how).await.unwrap();
        assert_eq!(found.batches, [batch.project(&[0, 2, 3]).unwrap()]);
    }
}

/// Looks for the markers in every byte of every file below the lake's folder; how many files.
fn search(site: &Site, markers: &[&str]) -> usize {
    let (mut files, mut folders) = (0, vec![site.folder.path().to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let bytes = std::fs::read(&path).unwrap();
            for marker in markers {
                let found = bytes.windows(marker.len()).any(|w| w == marker.as_bytes());
                assert!(!found, "'{marker}' can be read in {}", path.display());
            }
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_the_lakes_folder_is_readable() {
    for footer in [FooterMode::Encrypted, FooterMode::SignedPlaintext] {
        let site = Site::new();
        let fields = ["hivstatuscolumn", "patientnamecolumn"];
        let columns = fields.map(|name| {
            let values = vec![format!("MARKER-{}-7731", name.len()); 50];
            (name, Arc::new(StringArray::from(values)) as ArrayRef)
        });
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let spec = DatasetSpec {
            schema: batch.schema(),
            subject: Some(column("patientnamecolumn")),
            identity: None,
            policy: KeyPolicy::new([("*".to_owned(), class(KeyClass::Clinical))]),
            encryption: EncryptionSettings { footer, ..EncryptionSettings::STRICT },
            ..spec("secrets")
        };
        site.lake.create(spec).await.unwrap();
        let mut writer = site.lake.append(&dataset("secrets")).await.unwrap();
        writer.write(&batch).await.unwrap();
        writer.supersede(&superseded(&[("MARKER-superseded-7731", 1)]));
        writer.publish().await.unwrap();
        // A plaintext footer names the columns; it has least and largest values of none.
        let markers: &[&str] = match footer {
            FooterMode::Encrypted => &["MARKER", "7731", "hivstatus", "patientname"],
            FooterMode::SignedPlaintext => &["MARKER", "7731"],
        };
        let files = search(&site, markers);
        assert_eq!(files, 5, "two manifests, a file, its key material, the superseded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_ended_or_is_anothers_opens_nothing() {
    let site = Site::with("meals", &[&[("ann", 1)]]).await;
    let release = site.key_release(&[("meals", all_of(&schema()))]);
    site.clock.advance_micros(HOUR);
    assert!(matches!(site.lake.open(release).await.err(), Some(ScanError::Ended { .. })));
    let other = Site::new();
    let other = Site::at(other.folder.clone(), other.keys.clone(), "st-john");
    let release = other.key_release(&[("meals", all_of(&schema()))]);
    assert!(matches!(site.lake.open(release).await.err(), Some(ScanError::OtherHolder { .. })));
    // It ends in the middle of a scan, too.
    let session = site.lake.open(site.key_release(&[("meals", all_of(&schema()))])).await.unwrap();
    let clock = site.clock.clone();
    let result = session.compute(|tables| async move {
        let table = &tables[&dataset("meals")];
        clock.advance_micros(HOUR);
        let partition = table.partitions(1).remove(0);
        let stream = table.scan(partition, vec![0], vec![], None);
        futures::TryStreamExt::try_collect::<Vec<_>>(stream).await.err().map(|e| e.class())
    });
    let site = Site { clock: Arc::new(ManualClock::new(site.clock.now())), ..site };
    assert_eq!(site.released(result.await), Some(Class::Refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_store_serves_as_well_as_a_folder() {
    let site = Site::new();
    let objects = Arc::new(object_store::memory::InMemory::new());
    let lake = || {
        let storage = Storage::remote(objects.clone());
        Lake::new(storage, site.keys.clone(), site.authority.clone(), site.clock.clone())
    };
    lake().create(spec("meals")).await.unwrap();
    let writers = (0..4).map(|n| {
        let lake = lake();
        tokio::spawn(async move {
            let mut writer = lake.append(&dataset("meals")).await.unwrap();
            writer.write(&rows(&[("ann", n)])).await.unwrap();
            writer.publish().await.unwrap();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let remote = lake();
    let site = Site { lake: remote, ..site };
    assert_eq!(site.texts("meals").await.unwrap().len(), 4);
    let order = site.upkeep("meals", salus_spine::Upkeep::Compact);
    let settings = CompactSettings { small_bytes: 1 << 20, superseded_percent: 1 };
    let compacted = site.lake.compact(&order, &dataset("meals"), settings).await.unwrap();
    assert!(matches!(compacted, Compacted::Published { replaced: 4, .. }));
    site.clock.advance_micros(2 * HOUR);
    let order = site.upkeep("meals", salus_spine::Upkeep::Expire);
    let one = std::num::NonZeroUsize::MIN;
    let expired = site.lake.expire_versions(&order, &dataset("meals"), one).await.unwrap();
    assert_eq!(expired, Expired { versions: 5, objects: 8 });
    assert_eq!(site.lake.datasets().await.unwrap(), [dataset("meals")]);
    assert_eq!(site.texts("meals").await.unwrap().len(), 4);
    assert!(site.verify("meals").await.findings.is_empty());
}
