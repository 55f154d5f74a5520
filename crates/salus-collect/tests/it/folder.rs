//! Files that another system leaves.

use std::sync::Arc;

use salus_collect::{AfterImport, DEVICES, DEVICES_HISTORY, DropFolder, Enrolment, write_csv};

use crate::world::{START, Site, fleet, ids, newest};

#[tokio::test(flavor = "multi_thread")]
async fn files_are_taken_in_once_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path());
    let start: salus_model::Timestamp = START.parse().unwrap();
    let records = fleet(5).advance(start.saturating_add_micros(2 * 3_600_000_000)).unwrap();
    let drops = folder.path().join("drops");
    let kept = folder.path().join("kept");
    std::fs::create_dir_all(&drops).unwrap();
    std::fs::create_dir_all(&kept).unwrap();
    let write = |name: &str, records: &[salus_collect::DeviceRecord]| {
        write_csv(std::fs::File::create(drops.join(name)).unwrap(), records).unwrap();
    };
    let half = records.len() / 2;
    write("a.csv", &records[..half]);
    write("b.csv", &records[half / 2..]);
    // Not whole yet, no table, and no Bundle.
    write("c.csv.part", &records);
    std::fs::write(drops.join("d.csv"), "name;age\n").unwrap();
    std::fs::write(drops.join("e.json"), "{}").unwrap();
    let collector = Arc::new(site.collector(Enrolment::default()).await);
    let dropped = DropFolder::new(drops.clone(), AfterImport::Remove).take_in(&collector).await;
    let dropped = dropped.unwrap();
    assert_eq!((dropped.files, dropped.refused.len()), (2, 2));
    assert_eq!(dropped.taken.accepted, records.len() as u64);
    assert_eq!(dropped.taken.duplicates, (half - half / 2) as u64);
    let mut left: Vec<String> = std::fs::read_dir(&drops)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["c.csv.part", "d.csv.refused", "e.json.refused"]);
    // The same file once more changes nothing, and is kept where that is wanted.
    write("a.csv", &records[..half]);
    let keeping = DropFolder::new(drops, AfterImport::MoveTo(kept.clone()));
    let again = keeping.take_in(&collector).await.unwrap();
    assert_eq!((again.taken.accepted, again.taken.duplicates), (0, half as u64));
    assert!(kept.join("a.csv").is_file());
    collector.publish().await.unwrap();
    assert_eq!(site.reports(DEVICES_HISTORY).await, ids(&records));
    assert_eq!(site.reports(DEVICES).await, newest(&records));
}
