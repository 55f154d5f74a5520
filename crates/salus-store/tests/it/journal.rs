use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use salus_keys::KeyStore;
use salus_model::{HolderId, KeyName};
use salus_store::journal::*;
use tempfile::TempDir;

use crate::keys::MemoryKeys;

pub fn master() -> KeyName {
    KeyName::new("journal").unwrap()
}

pub fn settings(folder: &Path, segment_bytes: u64) -> JournalSettings {
    JournalSettings {
        folder: folder.to_owned(),
        holder: HolderId::new("st-mary").unwrap(),
        name: JournalName::new("fhir").unwrap(),
        master: master(),
        segment_bytes,
    }
}

pub async fn keys() -> Arc<MemoryKeys> {
    let keys = MemoryKeys::new();
    keys.ensure(&master()).await.unwrap();
    keys
}

/// Changes the files in a journal's folder.
type Attack = Box<dyn Fn(&Path)>;

pub type Records = Vec<(u64, Vec<u8>)>;

pub async fn open(
    settings: &JournalSettings,
    keys: &Arc<MemoryKeys>,
) -> Result<(Journal, Opened, Records), JournalError> {
    let mut records = Records::new();
    let mut visit = |position: u64, record: &[u8]| {
        records.push((position, record.to_vec()));
        Ok(())
    };
    let keys: Arc<dyn KeyStore> = keys.clone();
    let (journal, opened) = Journal::open(settings.clone(), keys, 0, &mut visit).await?;
    Ok((journal, opened, records))
}

async fn append(journal: &Journal, texts: &[&str]) -> u64 {
    let records = texts.iter().map(|t| Bytes::from(t.to_string())).collect();
    *journal.append(records).await.unwrap().end()
}

/// A journal with these appends, one frame each, closed.
async fn filled(folder: &Path, segment_bytes: u64, keys: &Arc<MemoryKeys>, appends: usize) {
    let (journal, ..) = open(&settings(folder, segment_bytes), keys).await.unwrap();
    for n in 0..appends {
        append(&journal, &[&format!("record {n}"), &format!("its twin {n}")]).await;
    }
    journal.close().await;
}

fn expected(appends: usize) -> Records {
    let texts = (0..appends).flat_map(|n| [format!("record {n}"), format!("its twin {n}")]);
    (1..).zip(texts.map(String::into_bytes)).collect()
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut found: Vec<_> = all.filter(|p| p.extension().is_some_and(|e| e == ending)).collect();
    found.sort();
    found
}

fn copy_folder(from: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_appended_is_there_in_order_after_reopening() {
    let (folder, keys) = (TempDir::new().unwrap(), keys().await);
    let settings = settings(folder.path(), 250);
    filled(folder.path(), 250, &keys, 10).await;
    let (journal, opened, records) = open(&settings, &keys).await.unwrap();
    assert_eq!(records, expected(10));
    assert_eq!((opened.head.position, opened.torn), (20, None));
    assert!(journal.segments().len() > 3, "{:?}", journal.segments());
    assert_eq!(append(&journal, &["later"]).await, 21);
    let mut reader = journal.read(20).await.unwrap();
    let mut texts = Vec::new();
    while let Some(record) = reader.next().await.unwrap() {
        texts.push((record.position, record.bytes));
    }
    assert_eq!(texts, [(20, Bytes::from("its twin 9")), (21, Bytes::from("later"))]);
    journal.close().await;
    let (_, opened, records) = open(&settings, &keys).await.unwrap();
    assert_eq!(opened.head.position, 21);
    assert_eq!(records.last().unwrap().1, b"later");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_record_is_readable_on_the_disk() {
    let (folder, keys) = (TempDir::new().unwrap(), keys().await);
    let (journal, ..) = open(&settings(folder.path(), 1000), &keys).await.unwrap();
    append(&journal, &["Jane Doe, HIV positive", "MARKER-7731"]).await;
    journal.close().await;
    let mut scanned = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        scanned += bytes.len();
        for marker in ["Jane", "HIV", "MARKER-7731"] {
            assert!(!bytes.windows(marker.len()).any(|w| w == marker.as_bytes()));
        }
    }
    assert!(scanned > 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_opening_is_refused_until_the_first_is_closed() {
    let (folder, keys) = (TempDir::new().unwrap(), keys().await);
    let settings = settings(folder.path(), 1000);
    let (journal, ..) = open(&settings, &keys).await.unwrap();
    assert!(matches!(open(&settings, &keys).await, Err(JournalError::InUse { .. })));
    journal.close().await;
    open(&settings, &keys).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_torn_at_any_byte_is_cut_and_reported_and_nothing_else_is_lost() {
    let (whole, keys) = (TempDir::new().unwrap(), keys().await);
    filled(whole.path(), 1 << 20, &keys, 3).await;
    let bytes = std::fs::read(&files(whole.path(), "journal")[0]).unwrap();
    let mut lost = BTreeSet::new();
    for length in 0..bytes.len() {
        let torn = copy_folder(whole.path());
        std::fs::write(&files(torn.path(), "journal")[0], &bytes[..length]).unwrap();
        match open(&settings(torn.path(), 1 << 20), &keys).await {
            Ok((journal, opened, records)) => {
                assert_eq!(records[..], expected(3)[..records.len()], "cut at {length}");
                let left = opened.torn.as_ref().map_or(0, |t| t.bytes);
                let begins = opened.torn.as_ref().map_or(length as u64, |t| t.offset);
                assert_eq!(begins + left, length as u64);
                lost.insert(expected(3).len() - records.len());
                // It goes on where it was cut.
                assert_eq!(append(&journal, &["next"]).await, records.len() as u64 + 1);
                journal.close().await;
                let (_, opened, again) =
                    open(&settings(torn.path(), 1 << 20), &keys).await.unwrap();
                assert_eq!((again.len(), opened.torn), (records.len() + 1, None));
            }
            // A segment's head is put in place whole: half a head is damage.
            Err(JournalError::Corrupt { offset: 0, damage: Damage::Head, .. }) => {
                assert!(length < 90, "cut at {length}");
            }
            Err(e) => panic!("cut at {length}: {e}"),
        }
    }
    assert_eq!(lost, [2, 4, 6].into(), "whole appends are lost, never half of one");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flipped_byte_is_found_or_lies_in_the_last_frame() {
    let (whole, keys) = (TempDir::new().unwrap(), keys().await);
    filled(whole.path(), 500, &keys, 6).await;
    let segments = files(whole.path(), "journal");
    assert!(segments.len() >= 2);
    let all = expected(6);
    let (mut found, mut torn, mut flips) = (0, 0, 0);
    for file in segments.iter().chain(&files(whole.path(), "key")) {
        let original = std::fs::read(file).unwrap();
        flips += original.len();
        for at in 0..original.len() {
            let mut bytes = original.clone();
            bytes[at] ^= 1 << (at % 8);
            let damaged = copy_folder(whole.path());
            std::fs::write(damaged.path().join(file.file_name().unwrap()), bytes).unwrap();
            match open(&settings(damaged.path(), 500), &keys).await {
                Err(JournalError::Corrupt { .. } | JournalError::SegmentKey { .. }) => found += 1,
                Err(e) => panic!("{} byte {at}: {e}", file.display()),
                Ok((_, opened, records)) => {
                    assert!(opened.torn.is_some());
                    assert_eq!(records, all[..10], "{} byte {at}", file.display());
                    torn += 1;
                }
            }
        }
    }
    println!("{found} flips refused, {torn} in the last frame reported as torn");
    assert_eq!(found + torn, flips);
    assert!(found > 500 && torn > 50 && torn < 250);
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_that_were_swapped_removed_or_moved_are_refused() {
    let (whole, keys) = (TempDir::new().unwrap(), keys().await);
    filled(whole.path(), 250, &keys, 6).await;
    let names: Vec<_> =
        files(whole.path(), "journal").iter().map(|p| p.file_name().unwrap().to_owned()).collect();
    assert!(names.len() >= 3);
    let key_of = |name: &std::ffi::OsStr| PathBuf::from(name).with_extension("key");
    let attempt = |attack: Attack| {
        let copy = copy_folder(whole.path());
        attack(copy.path());
        copy
    };
    let (one, two) = (names[0].clone(), names[1].clone());
    let last = names[names.len() - 1].clone();
    let swap = |folder: &Path, a: &Path, b: &Path| {
        let (a, b) = (folder.join(a), folder.join(b));
        let (x, y) = (std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
        std::fs::write(a, y).unwrap();
        std::fs::write(b, x).unwrap();
    };
    let other = TempDir::new().unwrap();
    let mut settings_of_other = settings(other.path(), 250);
    settings_of_other.name = JournalName::new("audit").unwrap();
    let (journal, ..) = open(&settings_of_other, &keys).await.unwrap();
    append(&journal, &["elsewhere"]).await;
    journal.close().await;
    let other_path = other.path().to_owned();
    let attacks: Vec<(&str, Attack)> = vec![
        ("segments swapped", {
            let (one, two) = (one.clone(), two.clone());
            Box::new(move |f| swap(f, one.as_ref(), two.as_ref()))
        }),
        ("segments swapped with their keys", {
            let (one, two) = (one.clone(), two.clone());
            Box::new(move |f| {
                swap(f, one.as_ref(), two.as_ref());
                swap(f, &key_of(&one), &key_of(&two));
            })
        }),
        ("a segment repeated in the next one's place", {
            let (one, two) = (one.clone(), two.clone());
            Box::new(move |f| {
                std::fs::copy(f.join(&one), f.join(&two)).unwrap();
                std::fs::copy(f.join(key_of(&one)), f.join(key_of(&two))).unwrap();
            })
        }),
        ("a middle segment removed", {
            let two = two.clone();
            Box::new(move |f| {
                std::fs::remove_file(f.join(&two)).unwrap();
                std::fs::remove_file(f.join(key_of(&two))).unwrap();
            })
        }),
        ("the oldest segment removed", {
            let one = one.clone();
            Box::new(move |f| std::fs::remove_file(f.join(&one)).unwrap())
        }),
        ("a key removed", {
            let two = two.clone();
            Box::new(move |f| std::fs::remove_file(f.join(key_of(&two))).unwrap())
        }),
        ("a segment cut that is not the last", {
            let one = one.clone();
            Box::new(move |f| {
                let bytes = std::fs::read(f.join(&one)).unwrap();
                std::fs::write(f.join(&one), &bytes[..bytes.len() - 1]).unwrap();
            })
        }),
        ("a segment of another journal", {
            let (one, other) = (one.clone(), other_path.clone());
            Box::new(move |f| {
                std::fs::copy(other.join(&one), f.join(&one)).unwrap();
                std::fs::copy(other.join(key_of(&one)), f.join(key_of(&one))).unwrap();
            })
        }),
    ];
    for (what, attack) in attacks {
        let copy = attempt(attack);
        let refused = open(&settings(copy.path(), 250), &keys).await.err();
        let refused = refused.unwrap_or_else(|| panic!("{what} was not found"));
        println!("{what}: {refused}");
        assert_eq!(salus_model::Classified::class(&refused), salus_model::Class::Corrupt, "{what}");
    }
    // The same bytes under another holder's name.
    let copy = copy_folder(whole.path());
    let mut stolen = settings(copy.path(), 250);
    stolen.holder = HolderId::new("st-john").unwrap();
    assert!(matches!(open(&stolen, &keys).await, Err(JournalError::Corrupt { .. })));
    // The last segment removed is an earlier state; who remembers how far it had come finds it.
    let copy = copy_folder(whole.path());
    std::fs::remove_file(copy.path().join(&last)).unwrap();
    let keys: Arc<dyn KeyStore> = keys;
    let opened = Journal::open(settings(copy.path(), 250), keys, 12, &mut |_, _| Ok(())).await;
    assert!(matches!(opened.err(), Some(JournalError::Truncated { reached: 12, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_were_moved_within_a_segment_are_refused() {
    let (whole, keys) = (TempDir::new().unwrap(), keys().await);
    let file = files(whole.path(), "journal");
    assert!(file.is_empty());
    let (journal, ..) = open(&settings(whole.path(), 1 << 20), &keys).await.unwrap();
    let path = files(whole.path(), "journal")[0].clone();
    let mut ends = vec![std::fs::metadata(&path).unwrap().len() as usize];
    for _ in 0..4 {
        append(&journal, &["all of one length"]).await;
        ends.push(std::fs::metadata(&path).unwrap().len() as usize);
    }
    journal.close().await;
    let bytes = std::fs::read(&path).unwrap();
    let frame = |n: usize| &bytes[ends[n]..ends[n + 1]];
    let bytes = bytes.as_slice();
    let head = &bytes[..ends[0]];
    let variants = [
        ("swapped", [head, frame(1), frame(0), frame(2), frame(3)].concat()),
        ("left out", [head, frame(0), frame(2), frame(3)].concat()),
        ("left out at the front", [head, frame(1), frame(2), frame(3)].concat()),
        ("repeated", [head, frame(0), frame(0), frame(2), frame(3)].concat()),
        ("repeated at the end", [bytes, frame(3)].concat()),
        ("repeated from the front", [bytes, frame(0)].concat()),
    ];
    for (what, bytes) in variants {
        let copy = copy_folder(whole.path());
        std::fs::write(&files(copy.path(), "journal")[0], bytes).unwrap();
        let refused = open(&settings(copy.path(), 1 << 20), &keys).await.err();
        assert!(matches!(refused, Some(JournalError::Corrupt { .. })), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trimming_removes_whole_covered_segments_and_survives_a_crash_in_between() {
    let (folder, keys) = (TempDir::new().unwrap(), keys().await);
    filled(folder.path(), 250, &keys, 8).await;
    let before = copy_folder(folder.path());
    let (journal, ..) = open(&settings(folder.path(), 250), &keys).await.unwrap();
    let segments = journal.segments();
    assert_eq!(journal.trim(segments[1] - 2).await.unwrap(), 0, "one record is not covered");
    assert_eq!(journal.trim(segments[2] - 1).await.unwrap(), 2);
    assert_eq!(journal.segments(), segments[2..]);
    assert_eq!(journal.trim(u64::MAX).await.unwrap(), segments.len() - 3, "the last one stays");
    assert_eq!(append(&journal, &["after"]).await, 17);
    journal.close().await;
    let (_, opened, records) = open(&settings(folder.path(), 250), &keys).await.unwrap();
    assert_eq!((opened.head.position, records.last().unwrap().0), (17, 17));
    assert_eq!(records[0].0, *segments.last().unwrap());
    let left = (files(folder.path(), "journal"), files(folder.path(), "key"));
    // A crash after the mark, before the files were gone: opening finishes it.
    for name in files(before.path(), "journal").iter().chain(&files(before.path(), "key")) {
        let target = folder.path().join(name.file_name().unwrap());
        if !target.exists() {
            std::fs::copy(name, target).unwrap();
        }
    }
    let (journal, _, again) = open(&settings(folder.path(), 250), &keys).await.unwrap();
    assert_eq!(again, records);
    assert_eq!((files(folder.path(), "journal"), files(folder.path(), "key")), left);
    journal.close().await;
    // Without the mark, what was trimmed counts as lost.
    std::fs::remove_file(folder.path().join("trimmed")).unwrap();
    let refused = open(&settings(folder.path(), 250), &keys).await.err();
    assert!(matches!(refused, Some(JournalError::MissingSegment { first: 1, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_rewraps_the_keys_and_touches_no_record() {
    let (folder, keys) = (TempDir::new().unwrap(), keys().await);
    filled(folder.path(), 250, &keys, 8).await;
    let (journal, ..) = open(&settings(folder.path(), 250), &keys).await.unwrap();
    journal.trim(4).await.unwrap();
    let records = || -> Vec<Vec<u8>> {
        files(folder.path(), "journal").iter().map(|p| std::fs::read(p).unwrap()).collect()
    };
    let before = records();
    keys.rotate(&master()).await.unwrap();
    assert_eq!(journal.rewrap().await.unwrap(), before.len());
    keys.forget_old_versions(&master());
    assert_eq!(records(), before);
    append(&journal, &["after"]).await;
    journal.close().await;
    let (_, opened, found) = open(&settings(folder.path(), 250), &keys).await.unwrap();
    assert_eq!(opened.head.position, 17);
    assert!(found.len() > 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_master_key_a_journal_does_not_open() {
    let (folder, keys) = (TempDir::new().unwrap(), keys().await);
    filled(folder.path(), 250, &keys, 2).await;
    let strangers = self::keys().await;
    let refused = open(&settings(folder.path(), 250), &strangers).await.err();
    assert!(matches!(refused, Some(JournalError::SegmentKey { segment: 1, .. })));
    keys.shred(&master()).await.unwrap();
    assert!(open(&settings(folder.path(), 250), &keys).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_store_that_is_away_stops_rotation_and_not_the_present_segment() {
    let (folder, keys) = (TempDir::new().unwrap(), keys().await);
    let (journal, ..) = open(&settings(folder.path(), 250), &keys).await.unwrap();
    append(&journal, &["one"]).await;
    keys.set_away(true);
    let mut taken = 1;
    let refused = loop {
        match journal.append(vec![Bytes::from_static(&[7; 40])]).await {
            Ok(_) => taken += 1,
            Err(e) => break e,
        }
        assert!(taken < 100, "it grows without bound");
    };
    assert!(matches!(refused, JournalError::NotTaken { .. }), "{refused}");
    assert!(taken > 4 && journal.frozen().is_none());
    keys.set_away(false);
    assert_eq!(append(&journal, &["two"]).await, taken + 1);
    journal.close().await;
    let (_, _, records) = open(&settings(folder.path(), 250), &keys).await.unwrap();
    assert_eq!(records.len() as u64, taken + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_that_are_empty_or_too_long_are_refused() {
    let (folder, keys) = (TempDir::new().unwrap(), keys().await);
    let (journal, ..) = open(&settings(folder.path(), 1 << 20), &keys).await.unwrap();
    assert!(matches!(journal.append(vec![]).await, Err(JournalError::Empty)));
    let long = Bytes::from(vec![0; MAX_APPEND_BYTES + 1]);
    assert!(matches!(journal.append(vec![long]).await, Err(JournalError::TooLong { .. })));
    let longest = Bytes::from(vec![5; MAX_APPEND_BYTES]);
    assert_eq!(journal.append(vec![longest.clone()]).await.unwrap(), 1..=1);
    assert_eq!(journal.append(vec![Bytes::new()]).await.unwrap(), 2..=2);
    journal.close().await;
    let (_, _, records) = open(&settings(folder.path(), 1 << 20), &keys).await.unwrap();
    assert!(records[0].1 == longest && records[1].1.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_taken_in_stops_opening() {
    let (folder, keys) = (TempDir::new().unwrap(), keys().await);
    filled(folder.path(), 250, &keys, 2).await;
    let keys: Arc<dyn KeyStore> = keys;
    let mut visit = |position: u64, _: &[u8]| {
        if position == 3 { Err("an unknown kind of record".into()) } else { Ok(()) }
    };
    let opened = Journal::open(settings(folder.path(), 250), keys, 0, &mut visit).await;
    assert!(matches!(opened.err(), Some(JournalError::Visitor { position: 3, .. })));
}

async fn appends_per_second(writers: usize, each: usize) -> (f64, f64) {
    let (folder, keys) = (TempDir::new().unwrap(), keys().await);
    let (journal, ..) = open(&settings(folder.path(), 64 << 20), &keys).await.unwrap();
    let journal = Arc::new(journal);
    let started = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let journal = Arc::clone(&journal);
            tokio::spawn(async move {
                for _ in 0..each {
                    journal.append(vec![Bytes::from_static(&[42; 1024])]).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let rate = (writers * each) as f64 / started.elapsed().as_secs_f64();
    assert_eq!(journal.head().position, (writers * each) as u64);
    Arc::into_inner(journal).unwrap().close().await;
    let started = Instant::now();
    let (_, _, records) = open(&settings(folder.path(), 64 << 20), &keys).await.unwrap();
    (rate, records.len() as f64 / started.elapsed().as_secs_f64())
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_appends_share_syncs() {
    let (alone, replay_alone) = appends_per_second(1, 200).await;
    let (together, replay_together) = appends_per_second(64, 50).await;
    println!("1 writer: {alone:.0} appends/s of 1 KiB, replayed at {replay_alone:.0}/s");
    println!("64 writers: {together:.0} appends/s of 1 KiB, replayed at {replay_together:.0}/s");
    assert!(together > alone, "group commit does not help: {together} against {alone}");
}
