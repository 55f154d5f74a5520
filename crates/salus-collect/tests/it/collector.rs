//! Each report once, whatever happens to it.

use std::sync::Arc;

use arrow::array::AsArray as _;
use salus_collect::{
    CollectError, CollectorParts, DEVICES, DEVICES_HISTORY, DEVICES_QUARANTINE, DeviceSigner,
    Incoming, ReportSealer, Source, Taken,
};
use salus_crypto::OsEntropy;
use salus_crypto::hpke::RecipientKey;
use salus_model::HolderId;
use serde_json::json;

use crate::world::{
    Site, device_key, enrolled, files, fleet, holder, ids, late, newest, recipient, reports,
    sealed, signer,
};

fn records(devices: u32, hours: i64) -> Vec<salus_collect::DeviceRecord> {
    let start: salus_model::Timestamp = crate::world::START.parse().unwrap();
    fleet(devices).advance(start.saturating_add_micros(hours * 3_600_000_000)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_reach_state_history_and_quarantine_once() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path());
    let records = records(12, 2);
    let collector = site.collector(enrolled(&records)).await;
    let mut sent = reports(&records);
    // Everything twice, the second time backwards.
    let mut again = sent.clone();
    again.reverse();
    sent.extend(again);
    let taken = collector.take(Source::Mqtt, sent).await.unwrap();
    assert_eq!(taken.accepted, records.len() as u64);
    assert_eq!(taken.duplicates, records.len() as u64);
    assert_eq!((taken.late, taken.quarantined, taken.unauthentic), (0, 0, 0));

    let published = collector.publish().await.unwrap();
    assert_eq!(published.history, records.len());
    assert_eq!(published.devices, newest(&records).len());
    assert_eq!(site.reports(DEVICES_HISTORY).await, ids(&records));
    assert_eq!(site.reports(DEVICES).await, newest(&records));
    // Nothing new is no new version.
    assert!(collector.publish().await.unwrap().versions.is_empty());
    collector.close().await;

    // Another process: what was taken in is known.
    let collector = site.collector(enrolled(&records)).await;
    let taken = collector.take(Source::Http, reports(&records)).await.unwrap();
    assert_eq!((taken.accepted, taken.duplicates), (0, records.len() as u64));
    assert_eq!(collector.with_fleet(salus_collect::Fleet::len), newest(&records).len());
    assert!(collector.publish().await.unwrap().versions.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_out_of_order_go_to_the_history_and_leave_the_state() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path());
    let records = records(3, 3);
    let collector = site.collector(enrolled(&records)).await;
    let mut backwards = records.clone();
    backwards.reverse();
    for some in backwards.chunks(7) {
        collector.take(Source::Mqtt, reports(some)).await.unwrap();
        collector.publish().await.unwrap();
    }
    assert_eq!(site.reports(DEVICES_HISTORY).await, ids(&records));
    assert_eq!(site.reports(DEVICES).await, newest(&records));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_enrolled_devices_are_heard() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path());
    let records = records(2, 2);
    let (mine, other) = (&records[0], records.iter().find(|r| r.device_id != records[0].device_id));
    let other = other.unwrap();
    let collector = site.collector(enrolled(std::slice::from_ref(mine))).await;
    let unauthentic = async |report: Vec<u8>| {
        let taken = collector.take(Source::Mqtt, vec![Incoming::Report(report)]).await.unwrap();
        assert_eq!(taken, Taken { unauthentic: 1, ..Taken::default() });
    };
    // Not enrolled; another device's key; sealed to another collector; for another holder; altered.
    unauthentic(sealed(other)).await;
    let entropy = &mut OsEntropy;
    unauthentic(signer("another").report(mine, entropy).unwrap()).await;
    let key = || device_key(mine.device_id.as_str());
    let stranger = RecipientKey::generate(entropy).unwrap().public_key();
    let to = ReportSealer { holder: holder(), collector: stranger };
    unauthentic(DeviceSigner::new(key(), to).report(mine, entropy).unwrap()).await;
    let elsewhere = HolderId::new("st-john").unwrap();
    let to = ReportSealer { holder: elsewhere, collector: recipient().public_key() };
    unauthentic(DeviceSigner::new(key(), to).report(mine, entropy).unwrap()).await;
    let report = sealed(mine);
    for at in [0, 1, 40, report.len() - 1] {
        let mut altered = report.clone();
        altered[at] ^= 1;
        unauthentic(altered).await;
    }
    for cut in [0, 1, 33, report.len() - 1] {
        unauthentic(report[..cut].to_vec()).await;
    }
    unauthentic(vec![1; 100_000]).await;
    // The report itself is good, and revoking the device ends that.
    let good = vec![Incoming::Report(report)];
    assert_eq!(collector.take(Source::Mqtt, good).await.unwrap().accepted, 1);
    collector.enrol(salus_collect::Enrolment::default());
    unauthentic(sealed(mine)).await;
    let known = collector.with_fleet(salus_collect::Fleet::len);
    assert_eq!((known, collector.waiting().await), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_quarantined_with_field_and_reason() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path());
    let records = records(2, 2);
    let collector = site.collector(enrolled(&records)).await;
    let record = &records[0];
    let mut fields = serde_json::to_value(record).unwrap();
    fields["battery_percent"] = json!(170);
    let signer = signer(record.device_id.as_str());
    let low = signer.report_text(fields.to_string().as_bytes(), &mut OsEntropy).unwrap();
    let mut incoming = reports(&records);
    incoming.push(Incoming::Report(low));
    let taken = collector.take(Source::Http, incoming).await.unwrap();
    assert_eq!((taken.accepted, taken.quarantined), (records.len() as u64, 1));
    collector.publish().await.unwrap();
    let rows = site.rows(DEVICES_QUARANTINE).await;
    let text =
        |name: &str| rows.column_by_name(name).unwrap().as_string::<i32>().value(0).to_owned();
    assert_eq!(rows.num_rows(), 1);
    assert_eq!((text("source"), text("field")), ("http".to_owned(), "battery_percent".to_owned()));
    assert!(text("reason").contains("bounds"));
    assert!(text("record").contains("170"));
    // It came once: reopening does not bring it again.
    collector.close().await;
    let collector = site.collector(enrolled(&records)).await;
    assert!(collector.publish().await.unwrap().versions.is_empty());
    assert_eq!(site.rows(DEVICES_QUARANTINE).await.num_rows(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_segments_go_and_what_they_told_stays() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path());
    let records = records(20, 8);
    let collector = site.collector(enrolled(&records)).await;
    let segments = || {
        let names = std::fs::read_dir(folder.path().join("collector")).unwrap();
        names
            .filter(|n| n.as_ref().unwrap().path().extension().is_some_and(|e| e == "journal"))
            .count()
    };
    let mut most = 0;
    for some in records.chunks(200) {
        collector.take(Source::Mqtt, reports(some)).await.unwrap();
        most = most.max(segments());
        collector.publish().await.unwrap();
    }
    assert!(most > 1 && segments() < most, "{most} segments, {} now", segments());
    collector.close().await;
    let collector = site.collector(enrolled(&records)).await;
    let taken = collector.take(Source::Mqtt, reports(&records)).await.unwrap();
    assert_eq!((taken.accepted, taken.duplicates), (0, records.len() as u64));
    collector.with_fleet(|fleet| {
        let known: Vec<(String, u64)> =
            fleet.iter().map(|k| (k.latest.device_id.to_string(), k.latest.sequence)).collect();
        assert_eq!(known, newest(&records));
    });
    assert_eq!(site.reports(DEVICES_HISTORY).await, ids(&records));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_on_the_disk_is_in_plaintext() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path());
    let records = records(6, 2);
    let collector = site.collector(enrolled(&records)).await;
    let mut fields = serde_json::to_value(&records[0]).unwrap();
    fields["model"] = json!("");
    fields["manufacturer"] = json!("Plantedmaker");
    let signer = signer(records[0].device_id.as_str());
    let bad = signer.report_text(fields.to_string().as_bytes(), &mut OsEntropy).unwrap();
    let mut incoming = reports(&records);
    incoming.push(Incoming::Report(bad));
    collector.take(Source::Mqtt, incoming).await.unwrap();
    let search = || {
        let files = files(folder.path());
        assert!(files.iter().any(|(path, _)| path.starts_with(folder.path().join("collector"))));
        let words =
            ["Plantedmaker", "Kestrel Medical", "infusion pump", "battery_percent", "usage_hours"];
        let devices: Vec<String> = records.iter().map(|r| r.device_id.to_string()).collect();
        for (path, bytes) in files {
            for word in words.iter().copied().chain(devices.iter().map(String::as_str)) {
                let found = bytes.windows(word.len()).any(|w| w == word.as_bytes());
                assert!(!found, "'{word}' is in {}", path.display());
            }
        }
    };
    search();
    collector.publish().await.unwrap();
    search();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_may_wait_is_not_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path());
    let records = records(4, 2);
    let parts = CollectorParts { most_waiting: 10, ..site.parts(enrolled(&records)) };
    let collector = salus_collect::Collector::open(parts).await.unwrap();
    collector.take(Source::Mqtt, reports(&records[..10])).await.unwrap();
    let refused = collector.take(Source::Mqtt, reports(&records[10..12])).await.unwrap_err();
    assert!(matches!(refused, CollectError::Waiting { waiting: 10 }), "{refused}");
    collector.publish().await.unwrap();
    assert_eq!(collector.take(Source::Mqtt, reports(&records[10..12])).await.unwrap().accepted, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_publications_at_once_bring_each_report_once() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path());
    let records = records(8, 2);
    let collector = Arc::new(site.collector(enrolled(&records)).await);
    for some in records.chunks(60) {
        collector.take(Source::Mqtt, reports(some)).await.unwrap();
        let (a, b) = tokio::join!(collector.publish(), collector.publish());
        a.unwrap();
        b.unwrap();
    }
    assert_eq!(site.reports(DEVICES_HISTORY).await, ids(&records));
    assert_eq!(site.clock_shows(), late());
}
