//! The figures of the ledger, measured over real processes on one machine.

mod history;
mod table;

use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use salus_crypto::OsEntropy;
use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_ledger::call::IssueFunds;
use salus_ledger::policy::{Policy, Role};
use salus_ledger::transaction::{SignedTransaction, Transaction};
use salus_ledger::{Commitment, Height, LedgerId, Money, Nonce, Signer};
use salus_model::{Entropy as _, MemberId, Secret};
use tokio::sync::Semaphore;

use crate::client::LedgerClient;
use crate::clock;
use crate::dev::DevNetwork;
use crate::folder::Folder;

pub use history::HistoryFigures;

/// The passphrase of the folders that a measurement makes and throws away.
const PASSPHRASE: &str = "a passphrase for measurements only";
/// How many transactions are under way at once when throughput is measured: so many that 1,500 a
/// second have a latency of 213 ms each.
const IN_FLIGHT: usize = 320;

/// Any failure of a measurement, told in words.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// For how many validators each.
    pub validators: Vec<usize>,
    /// How many transactions, one after the other, at light load.
    pub light: usize,
    /// How many transactions as fast as they are taken.
    pub heavy: usize,
    /// At which lengths of history.
    pub history: Vec<u64>,
}

impl Plan {
    /// What the published figures are made with.
    #[must_use]
    pub fn full() -> Self {
        let history = vec![1_000, 10_000, 100_000, 1_000_000];
        Self { validators: vec![1, 4, 7, 10], light: 200, heavy: 20_000, history }
    }

    /// The same with a history of ten million transactions: about an hour on an idle machine.
    #[must_use]
    pub fn long() -> Self {
        let history = vec![1_000, 10_000, 100_000, 1_000_000, 10_000_000];
        Self { history, ..Self::full() }
    }

    /// A minute's worth, as an indication.
    #[must_use]
    pub fn short() -> Self {
        Self { validators: vec![1, 4], light: 40, heavy: 3_000, history: vec![1_000, 10_000] }
    }
}

/// How long nothing was final after a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gaps {
    /// Of half the kills.
    pub median: Duration,
    /// Of the worst.
    pub worst: Duration,
}

/// The figures for one number of validators.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// How many validators, each its own process.
    pub validators: usize,
    /// From nothing (no keys, no folders) to the first transaction that is final and proved.
    pub to_first: Duration,
    /// Time to proved finality of half the transactions, one at a time.
    pub light_p50: Duration,
    /// The same of 99 in a hundred.
    pub light_p99: Duration,
    /// Durable transactions a second.
    pub a_second: f64,
    /// Time to finality of half the transactions under that load.
    pub heavy_p50: Duration,
    /// The longest time without any finality while each validator in turn was killed; none where
    /// that stops the ledger.
    pub gaps: Option<Gaps>,
    /// The most resident memory of one validator, in bytes.
    pub memory_bytes: u64,
}

/// All figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// By number of validators.
    pub processes: Vec<Figures>,
    /// By length of history.
    pub history: Vec<HistoryFigures>,
}

impl Report {
    /// Replaces the ledger's section of a Markdown file, or adds it.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn write_into(&self, path: &Path) -> Result<(), Failure> {
        table::write_into(path, self)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "validators  first receipt  light p50  light p99  tx/s  load p50  gap median/worst  MB each"
        )?;
        for row in &self.processes {
            let both = |gaps: Gaps| format!("{}/{}", millis(gaps.median), millis(gaps.worst));
            writeln!(
                f,
                "{:>10}  {:>13}  {:>9}  {:>9}  {:>4.0}  {:>8}  {:>16}  {:>7}",
                row.validators,
                millis(row.to_first),
                millis(row.light_p50),
                millis(row.light_p99),
                row.a_second,
                millis(row.heavy_p50),
                row.gaps.map_or("stops".to_owned(), both),
                row.memory_bytes / 1_000_000,
            )?;
        }
        writeln!(f, "\n   history  tx/s in full blocks  block of one  proofs  MB on disk")?;
        for row in &self.history {
            writeln!(
                f,
                "{:>10}  {:>19.0}  {:>9} us  {:>3} us  {:>10}",
                row.transactions,
                row.a_second,
                row.block_p50.as_micros(),
                row.proof_p50.as_micros(),
                row.disk_bytes / 1_000_000,
            )?;
        }
        Ok(())
    }
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

/// Starts real processes of `program` (`program serve FOLDER`) and measures.
///
/// # Errors
/// When a process does not start or a transaction is not recorded.
pub fn run(plan: &Plan, program: &Path) -> Result<Report, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut processes = Vec::new();
    for validators in &plan.validators {
        processes.push(runtime.block_on(measure(plan, *validators, program))?);
    }
    Ok(Report { processes, history: history::measure(&plan.history)? })
}

/// A folder that is removed when it is dropped.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Result<Self, Failure> {
        let mut name = [0; 8];
        OsEntropy.fill(&mut name)?;
        let path = std::env::temp_dir().join(format!("salus-ledger-{}", hex::encode(name)));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A validator process, killed when it is dropped.
struct Process {
    child: Child,
    folder: Folder,
}

impl Process {
    fn start(program: &Path, folder: &Folder) -> Result<Self, Failure> {
        let mut child = Command::new(program)
            .arg("serve")
            .arg(folder.path())
            .env("SALUS_PASSPHRASE", PASSPHRASE)
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        if !line.starts_with("ready") {
            return Err("a validator did not start".into());
        }
        Ok(Self { child, folder: folder.clone() })
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn memory_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Signs transactions that only differ in their nonces.
struct Mint {
    ledger: LedgerId,
    treasurer: Signer,
    next: AtomicU64,
}

impl Mint {
    fn of(network: &DevNetwork) -> Result<Self, Failure> {
        let treasurer = network.members.get("hub").ok_or("no hub")?.signer();
        Ok(Self { ledger: network.genesis.ledger_id()?, treasurer, next: AtomicU64::new(0) })
    }

    fn make(&self) -> Result<SignedTransaction, Failure> {
        self.make_until(Height::new(9_000))
    }

    fn make_until(&self, last: Height) -> Result<SignedTransaction, Failure> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&number.to_be_bytes());
        let to = MemberId::new("uni")?;
        let reference = Commitment::new([1; 32]);
        let call = IssueFunds { to, amount: Money::new(1), reference };
        let tx = Transaction::new(self.ledger, Nonce::new(nonce), last, call);
        Ok(tx.draft()?.sign(&self.treasurer).finish()?)
    }
}

fn network(validators: usize) -> Result<DevNetwork, Failure> {
    let members: &[(&str, &[Role])] =
        &[("hub", &[Role::Administrator, Role::Treasurer]), ("uni", &[Role::Research])];
    let governance = Policy::role(Role::Administrator);
    Ok(DevNetwork::new(validators, members, governance, clock::now())?)
}

async fn measure(plan: &Plan, validators: usize, program: &Path) -> Result<Figures, Failure> {
    let scratch = Scratch::new()?;
    let begun = Instant::now();
    let network = network(validators)?;
    let passphrase = Passphrase::new(Secret::new(PASSPHRASE.to_owned()))?;
    let folders = network.lay_out(&scratch.0, &passphrase, GuessCost::OWASP_MINIMUM)?;
    // All at once: a validator is ready before the others answer it.
    let mut processes = std::thread::scope(|scope| {
        let started: Vec<_> =
            folders.iter().map(|f| scope.spawn(|| Process::start(program, f))).collect();
        started
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("a thread ended".into())))
            .collect::<Result<Vec<_>, Failure>>()
    })?;
    let urls: Vec<String> = folders
        .iter()
        .map(|folder| folder.config().map(|config| format!("https://{}", config.api)))
        .collect::<Result<_, _>>()?;
    let hub = network.members.get("hub").ok_or("no hub")?;
    let client = Arc::new(LedgerClient::new(&urls, &network.genesis, hub)?);
    let mint = Arc::new(Mint::of(&network)?);
    client.submit(&mint.make()?).await?;
    let to_first = begun.elapsed();
    settle(&client, &urls, &mint).await?;
    let (light_p50, light_p99) = light(plan, &client, &mint).await?;
    let (a_second, heavy_p50) = heavy(plan, &urls, &network, &mint).await?;
    let memory_bytes = processes.iter().map(Process::memory_bytes).max().unwrap_or(0);
    let gaps = match validators {
        0..4 => None,
        _ => Some(kill_in_turn(program, &mut processes, (&client, &urls), &mint).await?),
    };
    Ok(Figures {
        validators,
        to_first,
        light_p50,
        light_p99,
        a_second,
        heavy_p50,
        gaps,
        memory_bytes,
    })
}

fn percentile(times: &mut [Duration], hundredths: usize) -> Duration {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    times.get((times.len() * hundredths / 100).min(last)).copied().unwrap_or_default()
}

fn median(times: &mut [Duration]) -> Duration {
    percentile(times, 50)
}

async fn light(
    plan: &Plan,
    client: &LedgerClient,
    mint: &Mint,
) -> Result<(Duration, Duration), Failure> {
    let mut times = Vec::new();
    for _ in 0..plan.light {
        let tx = mint.make()?;
        let begun = Instant::now();
        client.submit(&tx).await?;
        times.push(begun.elapsed());
    }
    Ok((percentile(&mut times, 50), percentile(&mut times, 99)))
}

/// Each transaction goes to one validator in turn: to all of them would only measure that they
/// throw away what they know.
async fn heavy(
    plan: &Plan,
    urls: &[String],
    network: &DevNetwork,
    mint: &Mint,
) -> Result<(f64, Duration), Failure> {
    let hub = network.members.get("hub").ok_or("no hub")?;
    let clients: Vec<Arc<LedgerClient>> = urls
        .iter()
        .map(|url| {
            LedgerClient::new(std::slice::from_ref(url), &network.genesis, hub).map(Arc::new)
        })
        .collect::<Result<_, _>>()?;
    let transactions: Vec<_> = (0..plan.heavy).map(|_| mint.make()).collect::<Result<_, _>>()?;
    let gate = Arc::new(Semaphore::new(IN_FLIGHT));
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for (number, tx) in transactions.into_iter().enumerate() {
        let permit = Arc::clone(&gate).acquire_owned().await?;
        let client = clients.get(number % clients.len()).cloned().ok_or("no client")?;
        tasks.spawn(async move {
            let begun = Instant::now();
            let answer = client.hand_in_one(&tx).await;
            drop(permit);
            answer.map(|_| begun.elapsed())
        });
    }
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.push(done??);
    }
    let a_second = plan.heavy as f64 / begun.elapsed().as_secs_f64();
    Ok((a_second, percentile(&mut times, 50)))
}

/// Kills one validator after the other while transactions go on, and gives each the time to come
/// back and to catch up before the next.
async fn kill_in_turn(
    program: &Path,
    processes: &mut [Process],
    (client, urls): (&Arc<LedgerClient>, &[String]),
    mint: &Arc<Mint>,
) -> Result<Gaps, Failure> {
    let mut gaps = Vec::new();
    for process in processes.iter_mut() {
        level(client, urls).await?;
        let load = Load::start(client, mint);
        tokio::time::sleep(Duration::from_secs(1)).await;
        process.kill();
        let killed = Instant::now();
        tokio::time::sleep(Duration::from_secs(6)).await;
        gaps.push(load.stop(killed).await?);
        *process = Process::start(program, &process.folder.clone())?;
    }
    gaps.sort_unstable();
    let worst = gaps.last().copied().unwrap_or_default();
    Ok(Gaps { median: median(&mut gaps), worst })
}

/// Waits until every validator has led views. Those that start a moment apart skip each other's
/// first turns as inactive, and votes that split over that cost a view its whole time: what a
/// ledger does in its first second belongs to the time of the first transaction.
async fn settle(client: &LedgerClient, urls: &[String], mint: &Mint) -> Result<(), Failure> {
    level(client, urls).await?;
    for _ in 0..urls.len() * 5 {
        client.submit(&mint.make()?).await?;
    }
    Ok(())
}

/// Waits until every validator has the same last block.
async fn level(client: &LedgerClient, urls: &[String]) -> Result<(), Failure> {
    for _ in 0..300 {
        let mut heights = std::collections::BTreeSet::new();
        for url in urls {
            heights.insert(client.status(url).await.map_or(Height::GENESIS, |s| s.height));
        }
        if heights.len() == 1 && !heights.contains(&Height::GENESIS) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("a validator does not catch up".into())
}

/// Four clients that hand in without pause.
struct Load {
    stop: Arc<std::sync::atomic::AtomicBool>,
    clients: tokio::task::JoinSet<Result<Vec<Instant>, Failure>>,
}

impl Load {
    fn start(client: &Arc<LedgerClient>, mint: &Arc<Mint>) -> Self {
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (client, mint, stop) = (Arc::clone(client), Arc::clone(mint), Arc::clone(&stop));
            clients.spawn(async move {
                let mut moments = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    client.submit(&mint.make()?).await?;
                    moments.push(Instant::now());
                }
                Ok(moments)
            });
        }
        Self { stop, clients }
    }

    /// The longest time after a moment in which nothing became final.
    async fn stop(mut self, since: Instant) -> Result<Duration, Failure> {
        let end = Instant::now();
        self.stop.store(true, Ordering::Relaxed);
        let mut moments = vec![since, end];
        while let Some(client) = self.clients.join_next().await {
            moments.extend(client??.into_iter().filter(|at| (since..end).contains(at)));
        }
        moments.sort_unstable();
        let pairs = moments.iter().zip(moments.iter().skip(1));
        Ok(pairs.map(|(a, b)| b.saturating_duration_since(*a)).max().unwrap_or_default())
    }
}
