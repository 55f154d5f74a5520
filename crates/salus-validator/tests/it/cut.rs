//! Four validators, each in a network namespace of its own, and a link between them that is cut.
//!
//! The test starts itself again in fresh network and mount namespaces, so that nothing of it
//! reaches the machine's own network. It needs root or user namespaces, and `unshare` and `ip`
//! (Debian packages `util-linux` and `iproute2`).

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use salus_ledger::Height;
use salus_validator::client::LedgerClient;
use salus_validator::{Folder, ValidatorConfig};

use crate::network::{PASSPHRASE, Stage, program};
use crate::processes::{Load, assert_everywhere};

const INSIDE: &str = "SALUS_TEST_NAMESPACES";
const NAME: &str = "cut::the_smaller_side_of_a_cut_commits_nothing_and_catches_up_when_it_heals";

#[test]
fn the_smaller_side_of_a_cut_commits_nothing_and_catches_up_when_it_heals() {
    if std::env::var_os(INSIDE).is_none() {
        let id = Command::new("id").arg("-u").output().expect("id is needed");
        // Whoever is not root is root in a user namespace, where the kernel lets people have one.
        let root = id.stdout.trim_ascii() == b"0";
        let become_root: &[&str] = if root { &[] } else { &["--user", "--map-root-user"] };
        let status = Command::new("unshare")
            .args(become_root)
            .args(["--mount", "--net", "--"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(INSIDE, "yes")
            .status();
        let status = status.expect("unshare (Debian package util-linux) is needed");
        assert!(status.success(), "the test inside the namespaces failed, or none could be made");
        return;
    }
    lay_cables();
    let stage = Arc::new(Stage::new(4));
    move_in(&stage);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(cut_and_heal(&stage));
}

fn run(words: &str) {
    let mut parts = words.split_whitespace();
    let tool = parts.next().unwrap();
    let status = Command::new(tool).args(parts).status();
    let status = status.unwrap_or_else(|error| panic!("{tool} is needed for this test: {error}"));
    assert!(status.success(), "{words}: {status}");
}

/// Every validator has a cable to a switch, and another for its clients. A second switch takes
/// those that are cut off.
fn lay_cables() {
    run("mount -t tmpfs none /run");
    run("ip link set lo up");
    for switch in ["one", "two"] {
        run(&format!("ip link add {switch} type bridge"));
        run(&format!("ip link set {switch} up"));
    }
    for n in 1..=4 {
        run(&format!("ip netns add val{n}"));
        run(&format!("ip -n val{n} link set lo up"));
        run(&format!("ip link add peer{n} type veth peer name peers netns val{n}"));
        run(&format!("ip link set peer{n} master one up"));
        run(&format!("ip -n val{n} addr add 10.77.0.{n}/24 dev peers"));
        run(&format!("ip -n val{n} link set peers up"));
        run(&format!("ip link add api{n} type veth peer name api netns val{n}"));
        run(&format!("ip addr add 10.78.{n}.1/24 dev api{n}"));
        run(&format!("ip link set api{n} up"));
        run(&format!("ip -n val{n} addr add 10.78.{n}.2/24 dev api"));
        run(&format!("ip -n val{n} link set api up"));
    }
}

/// Plugs a validator's cable into a switch.
fn plug(validator: usize, switch: &str) {
    run(&format!("ip link set peer{validator} master {switch}"));
}

fn peer_address(n: usize) -> SocketAddr {
    format!("10.77.0.{n}:7000").parse().unwrap()
}

/// Gives every validator the addresses of its namespace.
fn move_in(stage: &Stage) {
    let number = |key| {
        let found =
            stage.network.validators.iter().position(|(_, i)| i.signer().public_key() == key);
        found.unwrap() + 1
    };
    for (at, folder) in stage.folders.iter().enumerate() {
        let mut peers = folder.config().unwrap().peers;
        for peer in &mut peers {
            peer.address = peer_address(number(peer.key));
        }
        let n = at + 1;
        let api = format!("10.78.{n}.2:7443").parse().unwrap();
        folder
            .set_config(&ValidatorConfig {
                listen: peer_address(n),
                api,
                keep_blocks: None,
                explorer: None,
                peers,
            })
            .unwrap();
    }
}

struct Process(Child);

impl Process {
    fn start(number: usize, folder: &Folder) -> Self {
        let child = Command::new("ip")
            .args(["netns", "exec", &format!("val{number}")])
            .arg(program())
            .arg("serve")
            .arg(folder.path())
            .env("SALUS_PASSPHRASE", PASSPHRASE)
            .stdout(Stdio::piped())
            .spawn();
        let mut process = Self(child.unwrap());
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("ready"), "a validator did not start: {line}");
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn only(stage: &Stage, at: usize) -> LedgerClient {
    let identity = &stage.network.members["hub"];
    LedgerClient::new(&stage.urls()[at..=at], &stage.network.genesis, identity).unwrap()
}

async fn height(stage: &Stage, at: usize) -> Height {
    let url = &stage.urls()[at];
    only(stage, at).status(url).await.unwrap().height
}

async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

async fn highest(stage: &Stage, of: &[usize]) -> Height {
    let mut highest = height(stage, of[0]).await;
    for at in &of[1..] {
        highest = highest.max(height(stage, *at).await);
    }
    highest
}

async fn lowest(stage: &Stage) -> Height {
    let mut lowest = height(stage, 0).await;
    for at in 1..4 {
        lowest = lowest.min(height(stage, at).await);
    }
    lowest
}

/// How long a busy machine may take for what has to come.
const PATIENCE: Duration = Duration::from_secs(90);

async fn until_count(load: &Load, least: usize) {
    let patience = Instant::now() + PATIENCE;
    while load.count() < least {
        assert!(Instant::now() < patience, "recorded {} of {least}: it stands still", load.count());
        pause(50).await;
    }
}

/// The highest block of some validators, once none has come for three seconds.
async fn quiet(stage: &Stage, of: &[usize]) -> Height {
    let patience = Instant::now() + PATIENCE;
    let (mut seen, mut since) = (highest(stage, of).await, Instant::now());
    while since.elapsed() < Duration::from_secs(3) {
        assert!(Instant::now() < patience, "validators {of:?} go on making blocks");
        pause(100).await;
        let now = highest(stage, of).await;
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
    seen
}

async fn cut_and_heal(stage: &Arc<Stage>) {
    let _processes: Vec<Process> = std::thread::scope(|scope| {
        let started: Vec<_> = (1..=4)
            .map(|n| scope.spawn(move || Process::start(n, &stage.folders[n - 1])))
            .collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let load = Load::start(stage, 2);
    until_count(&load, 5).await;
    // One against three. What was on its way to the one arrives; then it stands still.
    plug(4, "two");
    until_count(&load, load.count() + 10).await;
    let (stuck, before) = (quiet(stage, &[3]).await, load.count());
    let alone = stage.issue();
    let (lonely, id) = (only(stage, 3), alone.id());
    let handed_in = tokio::time::timeout(Duration::from_secs(8), lonely.submit(&alone)).await;
    assert!(!matches!(handed_in, Ok(Ok(_))), "one validator of four recorded something");
    until_count(&load, before + 10).await;
    assert_eq!(height(stage, 3).await, stuck, "one validator of four committed a block");
    let meanwhile = load.count() - before;
    println!("one of four cut off: the three others recorded {meanwhile}, it recorded none");
    // Two against two: nobody has a quorum. One of them may still take in what the others have;
    // nothing new is made.
    plug(3, "two");
    let halves = [0, 1, 2];
    let most = quiet(stage, &halves).await;
    pause(5_000).await;
    assert_eq!(highest(stage, &halves).await, most, "half of the validators committed a block");
    // The fourth may have caught up with the third, and no further.
    assert!(height(stage, 3).await <= most);
    let frozen = load.count();
    plug(3, "one");
    plug(4, "one");
    let healed = Instant::now();
    until_count(&load, frozen + 10).await;
    println!("the first ten after the cut healed: {:?}", healed.elapsed());
    let mut acknowledged = load.finish().await;
    // What was handed in on the small side was not lost either: it waited.
    let recorded = stage.client("hub").submit(&alone).await.unwrap();
    acknowledged.insert(id, recorded.entry);
    let counted: HashMap<_, _> = acknowledged;
    assert_everywhere(stage, &counted).await;
    println!("{} acknowledged transactions are on each of the four", counted.len());
    let patience = Instant::now() + PATIENCE;
    while highest(stage, &[0, 1, 2, 3]).await != lowest(stage).await {
        assert!(Instant::now() < patience, "the four do not reach one height");
        pause(100).await;
    }
}
