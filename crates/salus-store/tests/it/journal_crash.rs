//! Crashes: of the process by SIGKILL, of the machine, of the disk.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use salus_crypto::Digest;
use salus_keys::KeyStore;
use salus_store::journal::*;
use tempfile::TempDir;

use crate::journal::{Records, keys, master, open, settings};
use crate::keys::MemoryKeys;

const SEED: &str = "shared by parent and child";
const CHILD: &str = "SALUS_JOURNAL_CHILD";
const TASKS: u64 = 8;

/// What task `task` appends as its number `number`: one to three records of varying lengths.
fn submission(round: u64, task: u64, number: u64) -> Vec<Bytes> {
    let parts = [round.to_be_bytes(), task.to_be_bytes(), number.to_be_bytes()];
    let parts: Vec<&[u8]> = parts.iter().map(<[u8; 8]>::as_slice).collect();
    let noise = Digest::of_parts("submission", &parts);
    let records = 1 + number % 3;
    (0..records)
        .map(|r| {
            let text = format!("{round} {task} {number} {r}/{records} {noise}");
            let length = (number * 97 + r * 31) % 700;
            Bytes::from([text.as_bytes(), &vec![b'.'; length as usize]].concat())
        })
        .collect()
}

async fn seeded_keys() -> Arc<MemoryKeys> {
    let keys = MemoryKeys::seeded(SEED);
    keys.ensure(&master()).await.unwrap();
    keys
}

/// Starts this test executable again to run one ignored test in it, with these settings.
pub fn child(test: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    command.envs(variables.iter().copied());
    command
}

#[test]
#[ignore = "the process that is killed; started by the test below"]
fn child_that_appends() {
    let Ok(argument) = std::env::var(CHILD) else { return };
    let (round, folder) = argument.split_once(' ').unwrap();
    let (round, folder) = (round.parse::<u64>().unwrap(), PathBuf::from(folder));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(async move {
        let keys = seeded_keys().await;
        let (journal, ..) = open(&settings(&folder, 20_000), &keys).await.unwrap();
        let journal = Arc::new(journal);
        println!("open");
        let trimming = Arc::clone(&journal);
        for task in 0..TASKS {
            let journal = Arc::clone(&journal);
            tokio::spawn(async move {
                for number in 0.. {
                    let at = journal.append(submission(round, task, number)).await.unwrap();
                    let mut out = io::stdout().lock();
                    writeln!(out, "done {task} {number} {} {}", at.start(), at.end()).unwrap();
                    out.flush().unwrap();
                }
            });
        }
        loop {
            tokio::time::sleep(Duration::from_millis(7)).await;
            trimming.rewrap().await.unwrap();
        }
    });
}

/// What the killed child was told is done: the places of each submission.
type Acknowledged = BTreeMap<(u64, u64, u64), (u64, u64)>;

fn run_and_kill(round: u64, folder: &Path, after: Duration, acknowledged: &mut Acknowledged) {
    let argument = format!("{round} {}", folder.display());
    let mut child = child("journal_crash::child_that_appends", &[(CHILD, &argument)])
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let reading =
        std::thread::spawn(move || output.lines().map_while(Result::ok).collect::<Vec<String>>());
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    let lines = reading.join().unwrap();
    for line in lines {
        let Some(done) = line.find("done ").map(|at| &line[at + 5..]) else { continue };
        let numbers: Vec<u64> = done.split(' ').filter_map(|n| n.parse().ok()).collect();
        // A line that was cut off was not heard.
        if let [task, number, first, last] = numbers[..] {
            acknowledged.insert((round, task, number), (first, last));
        }
    }
}

/// Every acknowledged submission is in its place, and all else was submitted, whole, in order.
fn invariant_holds(records: &Records, acknowledged: &Acknowledged) {
    let by_position: BTreeMap<u64, &[u8]> =
        records.iter().map(|(at, bytes)| (*at, bytes.as_slice())).collect();
    assert_eq!(by_position.len() as u64, records.last().map_or(0, |r| r.0), "no gaps");
    for (&(round, task, number), &(first, last)) in acknowledged {
        let sent = submission(round, task, number);
        assert_eq!(last - first + 1, sent.len() as u64);
        for (at, record) in (first..=last).zip(sent) {
            let found = by_position.get(&at);
            assert_eq!(found, Some(&record.as_ref()), "acknowledged {round}/{task}/{number}");
        }
    }
    let mut next: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    let mut rest = records.as_slice();
    while let Some((_, bytes)) = rest.first() {
        let text = String::from_utf8_lossy(bytes);
        let numbers: Vec<u64> = text.split(' ').take(3).map(|n| n.parse().unwrap()).collect();
        let (round, task, number) = (numbers[0], numbers[1], numbers[2]);
        let expected = next.entry((round, task)).or_insert(0);
        assert_eq!(number, *expected, "task {round}/{task} skipped or repeated one");
        *expected += 1;
        let sent = submission(round, task, number);
        assert!(rest.len() >= sent.len(), "half an append at the end");
        for (record, (_, found)) in sent.iter().zip(rest) {
            assert_eq!(record.as_ref(), found.as_slice());
        }
        rest = &rest[sent.len()..];
        // One submission a task can be under way, so at most one is there unacknowledged.
        if !acknowledged.contains_key(&(round, task, number)) {
            *next.get_mut(&(round, task)).unwrap() = u64::MAX;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_random_moments_loses_nothing_acknowledged() {
    let (folder, keys) = (TempDir::new().unwrap(), seeded_keys().await);
    let mut acknowledged = Acknowledged::new();
    let (mut torn, mut unheard) = (0, 0);
    const ROUNDS: u64 = 25;
    for round in 0..ROUNDS {
        let noise = Digest::of_parts("when to kill", &[&round.to_be_bytes()]);
        let after = Duration::from_millis(20 + u64::from(noise.as_bytes()[0]) / 2);
        run_and_kill(round, folder.path(), after, &mut acknowledged);
        let (journal, opened, records) =
            open(&settings(folder.path(), 20_000), &keys).await.unwrap();
        invariant_holds(&records, &acknowledged);
        torn += usize::from(opened.torn.is_some());
        let heard: u64 = acknowledged.values().map(|(first, last)| last - first + 1).sum();
        unheard = records.len() as u64 - heard;
        journal.close().await;
    }
    let appends = acknowledged.len();
    println!(
        "{ROUNDS} kills: {appends} acknowledged appends, none lost; {unheard} records were on \
              disk without having been heard of; {torn} tails were torn"
    );
    assert!(appends > 100, "the child hardly ran: {appends}");
}

/// A disk that loses what was not synced when its power is cut, and fails at a chosen step.
struct FragileDisk {
    state: Arc<Mutex<DiskState>>,
}

#[derive(Default)]
struct DiskState {
    /// By file: bytes synced, bytes written.
    files: BTreeMap<PathBuf, (u64, u64)>,
    steps: u64,
    fail_at: Option<(u64, Fault)>,
    dead: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// From this step on nothing works any more.
    PowerCut,
    /// This one step fails; the disk seems to work afterwards.
    Once,
}

impl DiskState {
    fn step(&mut self) -> io::Result<()> {
        self.steps += 1;
        match self.fail_at {
            _ if self.dead => Err(io::Error::other("no power")),
            Some((at, Fault::PowerCut)) if self.steps >= at => {
                self.dead = true;
                Err(io::Error::other("no power"))
            }
            Some((at, Fault::Once)) if self.steps == at => Err(io::Error::other("bad sector")),
            _ => Ok(()),
        }
    }
}

struct FragileFile {
    path: PathBuf,
    file: Box<dyn SegmentFile>,
    state: Arc<Mutex<DiskState>>,
}

impl SegmentFile for FragileFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        let fails = state.step();
        let written = if fails.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        if !state.dead || fails.is_err() {
            self.file.append(written)?;
            state.files.get_mut(&self.path).unwrap().1 += written.len() as u64;
        }
        fails
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step()?;
        let file = state.files.get_mut(&self.path).unwrap();
        file.0 = file.1;
        Ok(())
    }
}

impl Medium for FragileDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        let length = std::fs::metadata(path)?.len();
        let mut state = self.state.lock();
        state.step()?;
        state.files.insert(path.to_owned(), (length, length));
        let file = LocalMedium.open(path)?;
        Ok(Box::new(FragileFile { path: path.to_owned(), file, state: Arc::clone(&self.state) }))
    }

    fn publish(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.state.lock().step()?;
        LocalMedium.publish(path, bytes)
    }

    fn cut(&self, path: &Path, length: u64) -> io::Result<()> {
        self.state.lock().step()?;
        LocalMedium.cut(path, length)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state.lock().step()?;
        LocalMedium.remove(path)
    }
}

impl FragileDisk {
    fn new(fail_at: Option<(u64, Fault)>) -> (Arc<Self>, Arc<Mutex<DiskState>>) {
        let state = Arc::new(Mutex::new(DiskState { fail_at, ..DiskState::default() }));
        (Arc::new(Self { state: Arc::clone(&state) }), state)
    }
}

/// What a power cut leaves: of what was not synced a part, and of that, blocks of zeros.
fn cut_power(state: &DiskState, chance: Digest) {
    for (path, &(synced, written)) in &state.files {
        let Ok(mut bytes) = std::fs::read(path) else { continue };
        let lost = written - synced;
        let chance = chance.as_bytes();
        let kept = synced + lost * u64::from(chance[0]) / 255;
        bytes.truncate(kept as usize);
        for (n, block) in bytes[synced.min(kept) as usize..].chunks_mut(128).enumerate() {
            if chance[1 + n % 31].is_multiple_of(3) {
                block.fill(0);
            }
        }
        std::fs::write(path, bytes).unwrap();
    }
}

async fn run_until_it_fails(
    medium: Arc<FragileDisk>,
    folder: &Path,
    keys: &Arc<MemoryKeys>,
    round: u64,
) -> (Acknowledged, Option<JournalError>) {
    let shared: Arc<dyn KeyStore> = keys.clone();
    let mut visit = |_: u64, _: &[u8]| Ok(());
    let opened = Journal::open_on(medium, settings(folder, 4_000), shared, 0, &mut visit).await;
    let journal = match opened {
        Ok((journal, _)) => Arc::new(journal),
        Err(e) => return (Acknowledged::new(), Some(e)),
    };
    let tasks: Vec<_> = (0..4)
        .map(|task| {
            let journal = Arc::clone(&journal);
            tokio::spawn(async move {
                let mut done = Acknowledged::new();
                for number in 0..12 {
                    match journal.append(submission(round, task, number)).await {
                        Ok(at) => {
                            done.insert((round, task, number), (*at.start(), *at.end()));
                        }
                        Err(e) => return (done, Some(e)),
                    }
                }
                (done, None)
            })
        })
        .collect();
    let (mut acknowledged, mut failed) = (Acknowledged::new(), None);
    for task in tasks {
        let (done, error) = task.await.unwrap();
        acknowledged.extend(done);
        failed = error.or(failed);
    }
    if failed.is_some() {
        // Once frozen, always frozen.
        let again = journal.append(submission(round, 9, 0)).await;
        assert!(matches!(again, Err(JournalError::Frozen { .. })));
        assert!(journal.frozen().is_some());
    }
    Arc::into_inner(journal).unwrap().close().await;
    (acknowledged, failed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_at_any_step_loses_nothing_that_was_synced() {
    let (mut torn, mut cuts, mut acknowledged_in_all) = (0, 0, 0);
    for step in 1..120 {
        let (folder, keys) = (TempDir::new().unwrap(), keys().await);
        let (medium, state) = FragileDisk::new(Some((step, Fault::PowerCut)));
        let (acknowledged, failed) = run_until_it_fails(medium, folder.path(), &keys, step).await;
        cuts += usize::from(failed.is_some());
        acknowledged_in_all += acknowledged.len();
        let chance = Digest::of_parts("what is left", &[&step.to_be_bytes()]);
        cut_power(&state.lock(), chance);
        let (_, opened, records) = open(&settings(folder.path(), 4_000), &keys).await.unwrap();
        torn += usize::from(opened.torn.is_some());
        invariant_holds(&records, &acknowledged);
    }
    println!("{cuts} power cuts, {torn} torn tails, {acknowledged_in_all} acknowledged appends");
    assert!(cuts > 40 && torn > 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_or_sync_that_fails_once_freezes_the_journal() {
    let mut frozen = 0;
    for step in 5..40 {
        let (folder, keys) = (TempDir::new().unwrap(), keys().await);
        let (medium, _) = FragileDisk::new(Some((step, Fault::Once)));
        let (acknowledged, failed) = run_until_it_fails(medium, folder.path(), &keys, step).await;
        let Some(failed) = failed else { continue };
        assert!(matches!(failed, JournalError::Frozen { .. }), "{failed}");
        let mut cause: &dyn std::error::Error = &failed;
        while let Some(next) = cause.source() {
            cause = next;
        }
        assert_eq!(cause.to_string(), "bad sector");
        frozen += 1;
        let (_, _, records) = open(&settings(folder.path(), 4_000), &keys).await.unwrap();
        invariant_holds(&records, &acknowledged);
    }
    assert!(frozen > 20, "{frozen}");
}

#[test]
#[ignore = "the process whose disk is full; started by the test below"]
fn child_that_fills_the_disk() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(async move {
        let keys = seeded_keys().await;
        let folder = PathBuf::from(folder);
        let (journal, ..) = open(&settings(&folder, 40_000), &keys).await.unwrap();
        let mut acknowledged = Acknowledged::new();
        let refused = loop {
            let number = acknowledged.len() as u64;
            match journal.append(submission(0, 0, number)).await {
                Ok(at) => acknowledged.insert((0, 0, number), (*at.start(), *at.end())),
                Err(e) => break e,
            };
            assert!(number < 5_000, "the disk never filled");
        };
        let JournalError::Frozen { cause } = &refused else { panic!("{refused:?}") };
        assert!(matches!(**cause, JournalError::Full { .. }), "{cause:?}");
        println!("full after {}: {refused}: {cause}", acknowledged.len());
        assert!(matches!(
            journal.append(submission(0, 1, 0)).await,
            Err(JournalError::Frozen { .. })
        ));
        // While the disk is full, it can be read, closed and opened again.
        let mut reader = journal.read(0).await.unwrap();
        let mut records = Records::new();
        while let Some(record) = reader.next().await.unwrap() {
            records.push((record.position, record.bytes.to_vec()));
        }
        invariant_holds(&records, &acknowledged);
        journal.close().await;
        let (_, _, records) = open(&settings(&folder, 40_000), &keys).await.unwrap();
        invariant_holds(&records, &acknowledged);
        assert!(acknowledged.len() > 10);
        println!("still readable");
    });
}

fn run_on_full_disk(shell: &str, setup: &str, folder: &Path) -> (bool, String) {
    let child = child("journal_crash::child_that_fills_the_disk", &[]);
    let mut words: Vec<&std::ffi::OsStr> = vec![child.get_program()];
    words.extend(child.get_args());
    let output = Command::new("unshare")
        .args(shell.split_whitespace())
        .args(["sh", "-c", &format!("{setup} && exec \"$@\""), "sh"])
        .args(words)
        .env(CHILD, folder)
        .output();
    match output {
        Err(e) => (false, e.to_string()),
        Ok(o) => {
            let text = [o.stdout, o.stderr].concat();
            (o.status.success(), String::from_utf8_lossy(&text).into_owned())
        }
    }
}

#[test]
fn a_full_disk_is_a_clear_error_and_loses_nothing_acknowledged() {
    let folder = TempDir::new().unwrap();
    // A file system of 300 KiB, seen by this child only; where mounting is not allowed, files
    // that may grow to 30,000 bytes only, which fails in the same call.
    let mount = format!("mount -t tmpfs -o size=300k tmpfs {}", folder.path().display());
    let (done, output) = run_on_full_disk("--mount --map-root-user", &mount, folder.path());
    println!("{output}");
    if done && output.contains("still readable") {
        return;
    }
    assert!(!output.contains("panicked"), "{output}");
    let limit = "trap '' XFSZ && ulimit -f 30";
    let (done, output) = run_on_full_disk("--fork", limit, folder.path());
    println!("{output}");
    assert!(done && output.contains("still readable"), "{output}");
}
