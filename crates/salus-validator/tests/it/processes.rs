//! Four validators in processes of their own, killed in every way.

use std::collections::HashMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use parking_lot::Mutex;
use salus_ledger::block::HistoryEntry;
use salus_ledger::{Height, TxId};
use salus_validator::Folder;
use salus_validator::client::LedgerClient;

use crate::network::{PASSPHRASE, Stage, program};

pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn spawn(folder: &Folder) -> Self {
        let child = Command::new(program())
            .arg("serve")
            .arg(folder.path())
            .env("SALUS_PASSPHRASE", PASSPHRASE)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    pub(crate) fn ready(&mut self) {
        assert!(self.line().starts_with("ready"), "a validator did not start");
    }

    /// The next line that it writes.
    pub(crate) fn line(&mut self) -> String {
        let out = self.0.stdout.as_mut().unwrap();
        let (mut line, mut byte) = (Vec::new(), [0]);
        while std::io::Read::read(out, &mut byte).unwrap() == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    fn start(folder: &Folder) -> Self {
        let mut process = Self::spawn(folder);
        process.ready();
        process
    }

    fn start_all(folders: &[Folder]) -> Vec<Self> {
        let mut all: Vec<Self> = folders.iter().map(Self::spawn).collect();
        all.iter_mut().for_each(Self::ready);
        all
    }

    /// SIGKILL: nothing is flushed, nothing is said.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Clients that hand transactions in without pause, and remember what was acknowledged.
pub(crate) struct Load {
    acknowledged: Arc<Mutex<HashMap<TxId, HistoryEntry>>>,
    moments: Arc<Mutex<Vec<Instant>>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(stage: &Arc<Stage>, clients: usize) -> Self {
        let acknowledged = Arc::new(Mutex::new(HashMap::new()));
        let moments = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..clients)
            .map(|_| {
                let client = stage.client("hub");
                let (stage, stop) = (Arc::clone(stage), Arc::clone(&stop));
                let (acknowledged, moments) = (Arc::clone(&acknowledged), Arc::clone(&moments));
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let tx = stage.issue();
                        // While all are dead nobody answers; that is not what is measured here.
                        if let Ok(recorded) = client.submit(&tx).await {
                            acknowledged.lock().insert(tx.id(), recorded.entry);
                            moments.lock().push(Instant::now());
                        } else {
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                    }
                })
            })
            .collect();
        Self { acknowledged, moments, stop, tasks }
    }

    pub(crate) fn count(&self) -> usize {
        self.acknowledged.lock().len()
    }

    /// The longest time in which nothing was acknowledged, between two moments.
    fn gap(&self, from: Instant, to: Instant) -> Duration {
        let moments = self.moments.lock();
        let within = moments.iter().copied().filter(|at| (from..to).contains(at));
        let (mut longest, mut last) = (Duration::ZERO, from);
        for at in within.chain([to]) {
            longest = longest.max(at.saturating_duration_since(last));
            last = at;
        }
        longest
    }

    pub(crate) async fn finish(self) -> HashMap<TxId, HistoryEntry> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        Arc::try_unwrap(self.acknowledged).unwrap().into_inner()
    }
}

/// Asks each validator by itself for everything that was acknowledged.
pub(crate) async fn assert_everywhere(stage: &Stage, acknowledged: &HashMap<TxId, HistoryEntry>) {
    for url in stage.urls() {
        let identity = &stage.network.members["hub"];
        let one = LedgerClient::new(std::slice::from_ref(&url), &stage.network.genesis, identity)
            .unwrap();
        let one = &one;
        futures::stream::iter(acknowledged)
            .for_each_concurrent(16, |(id, entry)| assert_has(one, id, entry))
            .await;
    }
}

async fn assert_has(one: &LedgerClient, id: &TxId, entry: &HistoryEntry) {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        match one.recorded(id).await {
            Ok(found) => return assert_eq!(found.entry, *entry, "something else is recorded"),
            // It may still be catching up.
            Err(_) if Instant::now() < patience => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => panic!("{id} is lost: {error:?}"),
        }
    }
}

/// Waits until every validator has what the others have, give or take what is under way.
async fn until_level(stage: &Stage) {
    let client = stage.client("hub");
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        let mut heights = Vec::new();
        for url in stage.urls() {
            heights.push(client.status(&url).await.map_or(0, |status| status.height.get()));
        }
        let (least, most) = (heights.iter().min().unwrap(), heights.iter().max().unwrap());
        if *least > 0 && most - least <= 3 {
            return;
        }
        assert!(Instant::now() < patience, "a validator does not catch up: {heights:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stops_when_one_of_four_is_killed_and_it_catches_up_when_it_returns() {
    let stage = Arc::new(Stage::new(4));
    let mut processes = Process::start_all(&stage.folders);
    let load = Load::start(&stage, 4);
    let mut gaps = Vec::new();
    // Every validator leads in turn: each of them is killed once, and one of them leads then.
    for (number, folder) in stage.folders.iter().enumerate() {
        until_level(&stage).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (before, killed) = (load.count(), Instant::now());
        processes[number].kill();
        tokio::time::sleep(Duration::from_secs(5)).await;
        let meanwhile = load.count() - before;
        gaps.push(load.gap(killed, Instant::now()));
        assert!(meanwhile > 5, "only {meanwhile} while validator {number} was dead");
        processes[number] = Process::start(folder);
    }
    until_level(&stage).await;
    println!("the longest time without finality, kill by kill: {gaps:?}");
    gaps.sort_unstable();
    let median = gaps[gaps.len() / 2];
    assert!(median < Duration::from_secs(3), "{gaps:?} without finality");
    assert!(gaps.iter().all(|gap| *gap < Duration::from_secs(5)), "{gaps:?} without finality");
    let acknowledged = load.finish().await;
    println!("{} transactions acknowledged", acknowledged.len());
    assert_everywhere(&stage, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_all_are_killed_twenty_times() {
    let stage = Arc::new(Stage::new(4));
    let load = Load::start(&stage, 4);
    let mut random = 0x9e37_79b9_u64;
    for round in 0..20 {
        let mut processes = Process::start_all(&stage.folders);
        let (before, begun) = (load.count(), Instant::now());
        while load.count() < before + 3 {
            assert!(begun.elapsed() < Duration::from_secs(40), "round {round}: no progress");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let pause = Duration::from_millis(random >> 55);
        tokio::time::sleep(pause).await;
        // Not all at the same moment: some commit what others have not seen.
        for process in &mut processes {
            process.kill();
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            std::thread::sleep(Duration::from_millis(random >> 60));
        }
    }
    let _processes = Process::start_all(&stage.folders);
    let acknowledged = load.finish().await;
    println!("{} transactions acknowledged over 20 kills of all", acknowledged.len());
    assert!(acknowledged.len() >= 60);
    assert_everywhere(&stage, &acknowledged).await;
    let highest = acknowledged.values().map(|entry| entry.height).max().unwrap();
    assert!(highest > Height::new(20));
}

fn files_below(path: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_of_one_validators_journal_loses_nothing_and_stops_nobody() {
    let stage = Arc::new(Stage::new(4));
    let mut processes = Process::start_all(&stage.folders);
    let load = Load::start(&stage, 2);
    while load.count() < 20 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    processes.iter_mut().for_each(Process::kill);
    // The last write of the consensus engine came to the disk in part only.
    let journal = files_below(&stage.folders[0].engine())
        .into_iter()
        .filter(|file| file.metadata().unwrap().len() > 64)
        .max_by_key(|file| file.metadata().unwrap().modified().unwrap())
        .unwrap();
    let length = journal.metadata().unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&journal).unwrap().set_len(length - 5).unwrap();
    let before = load.count();
    let _processes = Process::start_all(&stage.folders);
    let begun = Instant::now();
    while load.count() < before + 20 {
        assert!(begun.elapsed() < Duration::from_secs(40), "the ledger does not go on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    until_level(&stage).await;
    let acknowledged = load.finish().await;
    assert_everywhere(&stage, &acknowledged).await;
}
