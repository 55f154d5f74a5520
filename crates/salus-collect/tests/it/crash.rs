//! kill -9 at random moments, while reports come in and go out.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use salus_collect::{DEVICES, DEVICES_HISTORY, DeviceRecord, Source};
use salus_crypto::Digest;

use crate::world::{START, Site, enrolled, fleet, ids, newest, reports};

const FOLDER: &str = "SALUS_COLLECT_CRASH_FOLDER";
/// The first report that the child sends.
const FROM: &str = "SALUS_COLLECT_CRASH_FROM";
const TOGETHER: usize = 10;

fn records() -> Vec<DeviceRecord> {
    let start: salus_model::Timestamp = START.parse().unwrap();
    fleet(30).advance(start.saturating_add_micros(24 * 3_600_000_000)).unwrap()
}

/// Runs only as a child of the test below: takes in and publishes until it is killed.
#[test]
fn child_that_collects() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let from: usize = std::env::var(FROM).unwrap().parse().unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async move {
        let records = records();
        let site = Site::new(Path::new(&folder));
        let collector = std::sync::Arc::new(site.collector(enrolled(&records)).await);
        println!("open");
        let publisher = std::sync::Arc::clone(&collector);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(15)).await;
                publisher.publish().await.unwrap();
            }
        });
        for (number, some) in records.chunks(TOGETHER).enumerate().skip(from) {
            collector.take(Source::Mqtt, reports(some)).await.unwrap();
            let mut out = std::io::stdout().lock();
            writeln!(out, "done {number}").unwrap();
            out.flush().unwrap();
        }
        // The parent sees that everything has been sent.
        println!("all");
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
}

/// The number of chunks that were acknowledged, and whether that is all.
fn run_and_kill(folder: &Path, from: usize, after: Duration) -> (usize, bool) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::child_that_collects", "--exact", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(FROM, from.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.by_ref().map_while(Result::ok).find(|line| line.contains("open")).unwrap();
    let reading = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<String>>());
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    let lines = reading.join().unwrap();
    let done = lines.iter().filter_map(|l| l.strip_prefix("done ")?.parse::<usize>().ok()).max();
    (done.map_or(from, |done| done + 1), lines.iter().any(|line| line == "all"))
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_and_doubles_no_acknowledged_report() {
    const ROUNDS: u8 = 8;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    let records = records();
    let mut next = 0;
    for round in 0..ROUNDS {
        let noise = Digest::of_parts("when to kill the collector", &[&[round]]);
        let after = Duration::from_millis(40 + u64::from(noise.as_bytes()[0]) * 2);
        // The last acknowledged ones are sent again, as a device does that heard no answer.
        let (done, all) = run_and_kill(&path, next, after);
        println!("round {round}: killed after {after:?}, {done} chunks acknowledged");
        next = done.saturating_sub(3);
        let acknowledged = &records[..(done * TOGETHER).min(records.len())];
        let site = Site::new(&path);
        let collector = site.collector(enrolled(&records)).await;
        // Everything acknowledged is in the collector's memory or in the lake, once.
        collector.publish().await.unwrap();
        let history = site.reports(DEVICES_HISTORY).await;
        let mut once = history.clone();
        once.dedup();
        assert_eq!(once.len(), history.len(), "a report is there twice");
        for id in ids(acknowledged) {
            assert!(history.binary_search(&id).is_ok(), "{id:?} was acknowledged and is lost");
        }
        // State and history agree on the newest report of each device.
        let kept: Vec<DeviceRecord> = records
            .iter()
            .filter(|r| history.binary_search(&(r.device_id.to_string(), r.sequence)).is_ok())
            .cloned()
            .collect();
        assert_eq!(site.reports(DEVICES).await, newest(&kept));
        collector.close().await;
        if all {
            break;
        }
    }
    assert!(next > 0, "the children took something in");
}
