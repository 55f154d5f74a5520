use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use salus_keys::KeyStore;
use salus_model::*;
use salus_spine::Upkeep;
use salus_store::*;

use crate::site::*;

const SMALL: CompactSettings = CompactSettings { small_bytes: 1 << 20, superseded_percent: 20 };

fn superseded(of: &[(&str, i64)]) -> Superseded {
    Superseded::new(of.iter().map(|(k, from)| ((*k).to_owned(), *from)).collect())
}

fn keep(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

fn objects(site: &Site, name: &str, folder: &str) -> Vec<PathBuf> {
    let path = site.folder.path().join("datasets").join(name).join(folder);
    let mut found: Vec<_> = std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()).collect();
    found.sort();
    found
}

/// Four small files; ann was changed twice and cid deleted.
async fn changed() -> Site {
    let site = Site::with("meals", &[&[("ann", 1), ("bob", 2)], &[("cid", 3)]]).await;
    for n in [4, 5] {
        let mut writer = site.lake.append(&dataset("meals")).await.unwrap();
        writer.write(&rows(&[("ann", n)])).await.unwrap();
        writer.supersede(&superseded(&[("ann", n), ("cid", 4)]));
        writer.publish().await.unwrap();
    }
    site
}

async fn compact(site: &Site, settings: CompactSettings) -> Compacted {
    let order = site.upkeep("meals", Upkeep::Compact);
    site.lake.compact(&order, &dataset("meals"), settings).await.unwrap()
}

async fn expire(site: &Site, n: usize) -> Expired {
    let order = site.upkeep("meals", Upkeep::Expire);
    site.lake.expire_versions(&order, &dataset("meals"), keep(n)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn upkeep_needs_an_order_for_this_work_on_this_dataset() {
    let site = Site::with("meals", &[]).await;
    let meals = dataset("meals");
    let wrong = site.upkeep("meals", Upkeep::Verify);
    let refused = site.lake.compact(&wrong, &meals, SMALL).await.unwrap_err();
    assert_eq!(refused.class(), Class::Refused);
    assert!(site.lake.expire_versions(&wrong, &meals, keep(1)).await.is_err());
    let elsewhere = site.upkeep("beds", Upkeep::Verify);
    let refused = site.lake.verify(&elsewhere, &meals).await.unwrap_err();
    assert!(matches!(refused, LakeError::Upkeep { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn verification_passes_what_is_whole_and_counts_it() {
    let site = changed().await;
    let report = site.verify("meals").await;
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!((report.versions, report.files), (5, 6), "four files, two superseded lists");
}

fn told(report: &VerifyReport) -> Vec<(u64, Option<&str>, String)> {
    let found = report.findings.iter();
    found.map(|f| (f.version.number(), f.file.as_deref(), chain(&f.problem))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn verification_names_every_damage_and_does_not_stop_at_the_first() {
    let site = changed().await;
    let names = site.files("meals").await;
    // One file cut, one gone, one key shred, one manifest gone, one altered.
    let cut = site.data_file("meals", &names[0]);
    let bytes = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    std::fs::remove_file(site.data_file("meals", &names[1])).unwrap();
    site.keys.shred(&KeyName::new("meals.freetext").unwrap()).await.unwrap();
    let list = site.lake.snapshot(&dataset("meals"), None).await.unwrap();
    let list = list.manifest().superseded.clone().unwrap().name;
    let mut bytes = std::fs::read(site.data_file("meals", &list)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(site.data_file("meals", &list), bytes).unwrap();
    let manifest = site.manifest_file("meals", 2);
    let mut bytes = std::fs::read(&manifest).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&manifest, bytes).unwrap();
    let report = site.verify("meals").await;
    let told = told(&report);
    for finding in &told {
        println!("{finding:?}");
    }
    let has = |version: u64, file: Option<&str>, words: &str| {
        let found = told.iter().any(|(v, f, t)| *v == version && *f == file && t.contains(words));
        assert!(found, "version {version}, {file:?}: {words}");
    };
    has(2, None, "manifest does not open");
    has(3, Some(&names[0]), "the manifest says");
    has(3, Some(&names[0]), "SHA-256");
    has(3, Some(&names[0]), "does not open");
    has(3, Some(&names[1]), "cannot be read");
    has(4, Some(&names[2]), "the key of column 'note'");
    has(5, Some(&names[3]), "the key of column 'note'");
    has(5, Some(&list), "SHA-256");
    has(5, Some(&list), "superseded rows does not open");
    assert_eq!(told.len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn verification_finds_versions_that_are_missing_or_do_not_follow() {
    let site = changed().await;
    std::fs::remove_file(site.manifest_file("meals", 3)).unwrap();
    let report = site.verify("meals").await;
    assert_eq!(told(&report), [(3, None, "it is missing between its neighbours".to_owned())]);
    // A history written anew by somebody with all keys: version 2 of another beginning.
    let (site, other) = (changed().await, Site::new());
    let other = Site::at(other.folder.clone(), site.keys.clone(), "st-mary");
    other.lake.create(spec("meals")).await.unwrap();
    other.append("meals", &[("eve", 9)]).await;
    std::fs::copy(other.manifest_file("meals", 2), site.manifest_file("meals", 2)).unwrap();
    let report = site.verify("meals").await;
    let chains: Vec<u64> = told(&report)
        .iter()
        .filter(|(_, _, t)| t.contains("does not follow"))
        .map(|(v, ..)| *v)
        .collect();
    assert_eq!(chains, [2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_merges_files_drops_superseded_rows_and_keeps_the_past() {
    let site = changed().await;
    let before = site.texts("meals").await.unwrap();
    let compacted = compact(&site, SMALL).await;
    let version = DatasetVersion::new(6).unwrap();
    assert_eq!(compacted, Compacted::Published { version, replaced: 4, dropped_rows: 3 });
    assert_eq!(site.texts("meals").await.unwrap(), before);
    assert_eq!(site.files("meals").await.len(), 1);
    let newest = site.lake.snapshot(&dataset("meals"), None).await.unwrap();
    assert_eq!(newest.manifest().rows(), 2);
    for number in 1..=5 {
        let how = How { version: DatasetVersion::new(number), ..How::default() };
        let found = site.scan("meals", all_of(&schema()), how).await.unwrap();
        assert_eq!(found.texts().len(), [0, 2, 3, 2, 2][number as usize - 1]);
    }
    assert!(site.verify("meals").await.findings.is_empty());
    assert_eq!(compact(&site, SMALL).await, Compacted::NothingToDo);
    // A single large file is rewritten once enough of it is superseded.
    let mut writer = site.lake.append(&dataset("meals")).await.unwrap();
    writer.supersede(&superseded(&[("bob", 9)]));
    writer.publish().await.unwrap();
    let large = CompactSettings { small_bytes: 0, superseded_percent: 51 };
    assert_eq!(compact(&site, large).await, Compacted::NothingToDo);
    let large = CompactSettings { superseded_percent: 50, ..large };
    assert!(matches!(compact(&site, large).await, Compacted::Published { dropped_rows: 1, .. }));
    assert_eq!(site.texts("meals").await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_beside_appends_loses_nothing() {
    let site = Site::with("meals", &[&[("p", -1)], &[("p", -2)]]).await;
    let appending: Vec<_> = (0..3)
        .map(|w| {
            let lake = site.again();
            tokio::spawn(async move {
                for n in 0..8 {
                    let mut writer = lake.append(&dataset("meals")).await.unwrap();
                    writer.write(&rows(&[("p", w * 100 + n)])).await.unwrap();
                    writer.publish().await.unwrap();
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            })
        })
        .collect();
    let mut published = 0;
    while !appending.iter().all(tokio::task::JoinHandle::is_finished) {
        let order = site.upkeep("meals", Upkeep::Compact);
        match site.lake.compact(&order, &dataset("meals"), SMALL).await {
            Ok(Compacted::Published { .. }) => published += 1,
            Ok(_) | Err(LakeError::Busy { .. }) => {}
            Err(e) => panic!("{}", chain(&e)),
        }
        expire(&site, 1).await;
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
    for task in appending {
        task.await.unwrap();
    }
    println!("{published} compactions beside 24 appends");
    assert!(published > 0);
    assert_eq!(site.texts("meals").await.unwrap().len(), 26);
    assert!(site.verify("meals").await.findings.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn expiry_removes_old_versions_and_what_only_they_name() {
    let site = changed().await;
    let before = site.texts("meals").await.unwrap();
    compact(&site, SMALL).await;
    assert_eq!(expire(&site, 1).await, Expired::default(), "all are younger than an hour");
    site.clock.advance_micros(2 * HOUR);
    assert_eq!(expire(&site, 10).await, Expired::default());
    // Versions 1 to 5 go; with them four files, their key material, and two superseded lists.
    assert_eq!(expire(&site, 1).await, Expired { versions: 5, objects: 10 });
    assert_eq!(site.texts("meals").await.unwrap(), before);
    assert!(site.verify("meals").await.findings.is_empty());
    assert_eq!(objects(&site, "meals", "data").len(), 3);
    let refused = site.lake.snapshot(&dataset("meals"), DatasetVersion::new(2)).await.err();
    assert!(matches!(refused, Some(LakeError::NoVersion { .. })));
    site.append("meals", &[("eve", 9)]).await;
    assert!(site.verify("meals").await.findings.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_crashed_writers_go_and_a_slow_writer_publishes_nothing_that_is_gone() {
    let site = Site::with("meals", &[&[("ann", 1)]]).await;
    let before = objects(&site, "meals", "data").len();
    let foreign = site.data_file("meals", "notes of the administrator.txt");
    std::fs::write(&foreign, "keep").unwrap();
    // A writer that has stored a file and not published it, and one that never will.
    let mut slow = site.lake.append(&dataset("meals")).await.unwrap();
    let mut crashed = site.lake.append(&dataset("meals")).await.unwrap();
    for writer in [&mut slow, &mut crashed] {
        writer.write(&rows(&[("bob", 2)])).await.unwrap();
        writer.flush().await.unwrap();
    }
    drop(crashed);
    assert_eq!(objects(&site, "meals", "data").len(), before + 5);
    assert_eq!(expire(&site, 1).await.objects, 0, "they are young");
    site.clock.advance_micros(2 * HOUR);
    assert_eq!(expire(&site, 1).await.objects, 4);
    let left = objects(&site, "meals", "data");
    assert_eq!(left.len(), before + 1);
    assert!(left.contains(&foreign));
    let refused = slow.publish().await.err().unwrap();
    assert!(matches!(refused, LakeError::Retired { .. }), "{refused}");
    assert_eq!(site.texts("meals").await.unwrap().len(), 1);
    assert!(site.verify("meals").await.findings.is_empty());
    // Who begins anew is not held up.
    site.append("meals", &[("bob", 2)]).await;
    assert_eq!(site.texts("meals").await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_publishes_before_its_files_are_given_up_keeps_them() {
    let site = Site::with("meals", &[&[("ann", 1)]]).await;
    let mut slow = site.lake.append(&dataset("meals")).await.unwrap();
    slow.write(&rows(&[("bob", 2)])).await.unwrap();
    slow.flush().await.unwrap();
    site.clock.advance_micros(2 * HOUR);
    slow.publish().await.unwrap();
    expire(&site, 1).await;
    assert_eq!(site.texts("meals").await.unwrap().len(), 2);
    assert!(site.verify("meals").await.findings.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_rewraps_all_keys_and_touches_no_data() {
    for wrapping in [WrappingMode::Double, WrappingMode::Single] {
        let site = Site::new();
        let encryption = EncryptionSettings { wrapping, ..EncryptionSettings::STRICT };
        site.lake.create(DatasetSpec { encryption, ..spec("meals") }).await.unwrap();
        for n in 1..4 {
            let mut writer = site.lake.append(&dataset("meals")).await.unwrap();
            writer.write(&rows(&[("ann", n)])).await.unwrap();
            writer.supersede(&superseded(&[("ann", n)]));
            writer.publish().await.unwrap();
        }
        let before = site.texts("meals").await.unwrap();
        let data = || -> Vec<(PathBuf, Vec<u8>)> {
            let all = objects(&site, "meals", "data").into_iter();
            let files = all.filter(|p| p.extension().is_some_and(|e| e == "parquet"));
            files.map(|p| (p.clone(), std::fs::read(p).unwrap())).collect()
        };
        let unchanged = data();
        for key in site.keys.names() {
            site.keys.rotate(&key).await.unwrap();
        }
        let done = site.lake.rewrap(&dataset("meals")).await.unwrap();
        assert_eq!((done.files, done.objects), (3, 4 + 3), "{done:?}");
        for key in site.keys.names() {
            site.keys.forget_old_versions(&key);
        }
        let lake = site.again();
        assert_eq!(lake.versions(&dataset("meals")).await.unwrap().len(), 4);
        assert_eq!(site.texts("meals").await.unwrap(), before);
        assert!(site.verify("meals").await.findings.is_empty());
        assert!(data() == unchanged, "a data file was rewritten");
        site.append("meals", &[("bob", 9)]).await;
        assert_eq!(site.texts("meals").await.unwrap().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_says_which_files_keep_their_keys_inside() {
    for wrapping in [WrappingMode::Double, WrappingMode::Single] {
        let site = Site::new();
        let material = MaterialStorage::Internal;
        let encryption = EncryptionSettings { wrapping, material, ..EncryptionSettings::STRICT };
        site.lake.create(DatasetSpec { encryption, ..spec("meals") }).await.unwrap();
        site.append("meals", &[("ann", 1)]).await;
        site.append("meals", &[("bob", 2)]).await;
        let before = site.texts("meals").await.unwrap();
        let key = KeyName::new("meals.clinical").unwrap();
        site.keys.rotate(&key).await.unwrap();
        let done = site.lake.rewrap(&dataset("meals")).await.unwrap();
        assert_eq!((done.files, done.objects, done.internal), (0, 3, 2), "{done:?}");
        // They still open, as long as the key store keeps the version that they name.
        assert_eq!(site.texts("meals").await.unwrap(), before);
        let order = site.upkeep("meals", Upkeep::Compact);
        let eager = CompactSettings { small_bytes: u64::MAX, superseded_percent: 0 };
        site.lake.compact(&order, &dataset("meals"), eager).await.unwrap();
        site.keys.forget_old_versions(&key);
        assert_eq!(site.texts("meals").await.unwrap(), before, "written anew by compaction");
        let first = How { version: DatasetVersion::new(2), ..How::default() };
        let refused = site.scan("meals", all_of(&schema()), first).await.err().unwrap();
        assert!(chain(&refused).contains("meals.clinical"), "{}", chain(&refused));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_that_fails_half_way_leaves_everything_readable() {
    let site = changed().await;
    let before = site.texts("meals").await.unwrap();
    site.keys.rotate(&KeyName::new("meals.clinical").unwrap()).await.unwrap();
    let gone = site.files("meals").await.pop().unwrap();
    let path = site.material_file("meals", &gone);
    let material = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(site.lake.rewrap(&dataset("meals")).await.is_err());
    std::fs::write(&path, material).unwrap();
    assert_eq!(site.texts("meals").await.unwrap(), before);
    site.lake.rewrap(&dataset("meals")).await.unwrap();
    site.keys.forget_old_versions(&KeyName::new("meals.clinical").unwrap());
    assert_eq!(site.texts("meals").await.unwrap(), before);
    assert!(Arc::strong_count(&site.lake) > 0);
}

fn listed(snapshot: &Snapshot) -> u64 {
    snapshot.manifest().superseded.as_ref().map_or(0, |list| list.rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_superseded_rows_shrinks_to_what_was_removed() {
    let site = Site::with("meals", &[]).await;
    let meals = dataset("meals");
    let mut before = 0;
    for round in 0..4 {
        let people: Vec<String> = (0..50).map(|p| format!("p{p}")).collect();
        let changed: Vec<(&str, i64)> = people.iter().map(|p| (p.as_str(), round)).collect();
        let mut writer = site.lake.append(&meals).await.unwrap();
        writer.write(&rows(&changed)).await.unwrap();
        writer.supersede(&superseded(&changed));
        writer.supersede(&superseded(&[("gone", 2)]));
        before = listed(&writer.publish().await.unwrap());
    }
    assert_eq!(before, 51);
    assert!(matches!(compact(&site, SMALL).await, Compacted::Published { dropped_rows: 150, .. }));
    let after = site.lake.snapshot(&meals, None).await.unwrap();
    assert_eq!((listed(&after), after.manifest().settled_below), (1, Some(3)));
    assert_eq!(after.manifest().format, 2, "an older program must not publish on top of it");
    assert_eq!(site.texts("meals").await.unwrap().len(), 50);
    assert!(site.verify("meals").await.findings.is_empty());
    // Rows that arrive late lose against newer ones and against what was removed.
    site.append("meals", &[("p7", 1), ("p7", 2), ("gone", 1), ("new", 0)]).await;
    let texts = site.texts("meals").await.unwrap();
    assert_eq!(texts.len(), 51, "{texts:?}");
    assert!(texts.iter().any(|t| t.starts_with("new|0")));
    assert!(texts.iter().all(|t| !t.starts_with("gone") && !t.starts_with("p7|1")));
    // What that needed goes again, with the rows.
    compact(&site, SMALL).await;
    assert_eq!(listed(&site.lake.snapshot(&meals, None).await.unwrap()), 1);
    assert_eq!(site.texts("meals").await.unwrap(), texts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_began_before_the_list_shrank_still_loses() {
    let site = Site::with("meals", &[&[("ann", 1)], &[("bob", 2)]]).await;
    let meals = dataset("meals");
    let mut late = site.lake.append(&meals).await.unwrap();
    late.write(&rows(&[("ann", 3), ("bob", 3)])).await.unwrap();
    late.flush().await.unwrap();
    let mut writer = site.lake.append(&meals).await.unwrap();
    writer.write(&rows(&[("ann", 4)])).await.unwrap();
    writer.supersede(&superseded(&[("ann", 4)]));
    writer.publish().await.unwrap();
    compact(&site, SMALL).await;
    assert_eq!(listed(&site.lake.snapshot(&meals, None).await.unwrap()), 0);
    late.supersede(&superseded(&[("ann", 3), ("bob", 3)]));
    late.publish().await.unwrap();
    let texts = site.texts("meals").await.unwrap();
    let shown: Vec<&str> = texts.iter().map(|t| &t[..5]).collect();
    assert_eq!(shown, ["ann|4", "bob|3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_stay_when_somebody_publishes_between_looking_and_dropping() {
    let site = Site::with("meals", &[&[("ann", 1)], &[("bob", 2)]]).await;
    let meals = dataset("meals");
    // Found settled in one version, published on top of another.
    let mut writer = site.lake.append(&meals).await.unwrap();
    writer.write(&rows(&[("ann", 4)])).await.unwrap();
    writer.supersede(&superseded(&[("ann", 4)]));
    writer.publish().await.unwrap();
    let racing = {
        let lake = site.again();
        tokio::spawn(async move {
            for n in 0..20 {
                let mut writer = lake.append(&dataset("meals")).await.unwrap();
                writer.write(&rows(&[("ann", 3 - n % 3)])).await.unwrap();
                writer.publish().await.unwrap();
            }
        })
    };
    while !racing.is_finished() {
        let order = site.upkeep("meals", Upkeep::Compact);
        match site.lake.compact(&order, &meals, SMALL).await {
            Ok(_) | Err(LakeError::Busy { .. }) => {}
            Err(e) => panic!("{}", chain(&e)),
        }
    }
    racing.await.unwrap();
    let texts = site.texts("meals").await.unwrap();
    let shown: Vec<&str> = texts.iter().map(|t| &t[..5]).collect();
    assert_eq!(shown, ["ann|4", "bob|2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_both_began_on_an_empty_dataset_replace_each_other() {
    let site = Site::with("meals", &[]).await;
    let meals = dataset("meals");
    let mut writers = Vec::new();
    for sequence in [5, 6] {
        let mut writer = site.lake.append(&meals).await.unwrap();
        writer.write(&rows(&[("ann", sequence)])).await.unwrap();
        writer.replace(Arc::new(move |key: &str| (key == "ann").then_some(sequence)));
        writers.push(writer);
    }
    // The newer one first: the older one loses although it comes later.
    for writer in writers.into_iter().rev() {
        writer.publish().await.unwrap();
    }
    let texts = site.texts("meals").await.unwrap();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].starts_with("ann|6"));
}
