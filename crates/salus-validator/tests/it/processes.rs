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
struct Load {
    acknowledged: Arc<Mutex<HashMap<TxId, HistoryEntry>>>,
    longest: Arc<Mutex<Duration>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(stage: &Arc<Stage>, clients: usize) -> Self {
        let acknowledged = Arc::new(Mutex::new(HashMap::new()));
        let longest = Arc::new(Mutex::new(Duration::ZERO));
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..clients)
            .map(|_| {
                let client = stage.client("hub");
                let (stage, stop) = (Arc::clone(stage), Arc::clone(&stop));
                let (acknowledged, longest) = (Arc::clone(&acknowledged), Arc::clone(&longest));
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let tx = stage.issue();
                        let begun = Instant::now();
                        // While all are dead nobody answers; that is not what is measured here.
                        if let Ok(recorded) = client.submit(&tx).await {
                            acknowledged.lock().insert(tx.id(), recorded.entry);
                            let mut longest = longest.lock();
                            *longest = longest.max(begun.elapsed());
                        } else {
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                    }
                })
            })
            .collect();
        Self { acknowledged, longest, stop, tasks }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().len()
    }

    async fn finish(self) -> HashMap<TxId, HistoryEntry> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        Arc::try_unwrap(self.acknowledged).unwrap().into_inner()
    }
}

/// Asks each validator by itself for everything that was acknowledged.
async fn assert_everywhere(stage: &Stage, acknowledged: &HashMap<TxId, HistoryEntry>) {
    for url in stage.urls() {
        let identity = &stage.network.members["hub"];
        let one = LedgerClient::new(&[url.clone()], &stage.network.genesis, identity).unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stops_when_one_of_four_is_killed_and_it_catches_up_when_it_returns() {
    let stage = Arc::new(Stage::new(4));
    let mut processes = Process::start_all(&stage.folders);
    let load = Load::start(&stage, 4);
    tokio::time::sleep(Duration::from_secs(2)).await;
    // Every validator leads in turn: each of them is killed once, and one of them leads then.
    for number in 0..4 {
        let before = load.count();
        processes[number].kill();
        tokio::time::sleep(Duration::from_secs(5)).await;
        let meanwhile = load.count() - before;
        assert!(meanwhile > 5, "only {meanwhile} while validator {number} was dead");
        processes[number] = Process::start(&stage.folders[number]);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let longest = *load.longest.lock();
    println!("the longest gap when a validator was killed: {longest:?}");
    assert!(longest < Duration::from_secs(6), "{longest:?} without finality");
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
