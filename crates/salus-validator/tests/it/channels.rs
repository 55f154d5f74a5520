//! Channels between processes: what is on one ledger shows nowhere on another.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use salus_crypto::OsEntropy;
use salus_crypto::passphrase::GuessCost;
use salus_ledger::block::Outcome;
use salus_ledger::call::IssueFunds;
use salus_ledger::channel::Charter;
use salus_ledger::genesis::Genesis;
use salus_ledger::transaction::{SignedTransaction, Transaction};
use salus_ledger::{Commitment, Height, LedgerId, Money, Nonce, query};
use salus_validator::channels;
use salus_validator::client::{ClientError, LedgerClient};
use salus_validator::dev::http_client;
use salus_validator::{Folder, ValidatorConfig};

use crate::network::{PASSPHRASE, Stage, member, now, passphrase, program};

/// What is written to one ledger only.
const OF_MAIN: [u8; 32] = *b"planted on the ledger of all----";
const OF_CHANNEL: [u8; 32] = *b"planted on the channel of a few-";

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(folder: &Folder) -> Process {
    let child = Command::new(program())
        .arg("serve")
        .arg(folder.path())
        .env("SALUS_PASSPHRASE", PASSPHRASE)
        .stdout(Stdio::piped())
        .spawn();
    let mut process = Process(child.unwrap());
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("ready"), "{line}");
    process
}

fn start_all(folders: &[Folder]) -> Vec<Process> {
    std::thread::scope(|scope| {
        let all: Vec<_> = folders.iter().map(|folder| scope.spawn(|| start(folder))).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Everybody but the university.
fn founders() -> BTreeSet<salus_model::MemberId> {
    let validators = (1..=4).map(|number| format!("val-{number:02}"));
    validators.chain(["hub".to_owned(), "st-anna".to_owned()]).map(|name| member(&name)).collect()
}

fn genesis(stage: &Stage) -> Genesis {
    channels::draft(&stage.network.genesis, &founders(), Vec::new(), now(), Nonce::new([9; 16]))
        .unwrap()
}

fn charter(stage: &Stage, genesis: Genesis, refuses: Option<&str>) -> Charter {
    let mut charter = Charter::new(stage.ledger, genesis);
    for name in ["hub", "st-anna"].into_iter().filter(|name| Some(*name) != refuses) {
        charter = charter.agree(&stage.signer(name)).unwrap();
    }
    for (_, identity) in &stage.network.validators {
        charter = charter.agree(&identity.signer()).unwrap();
    }
    charter
}

/// Lays the channel out beside each validator, on ports of its own.
fn join_all(stage: &Stage, charter: &Charter) -> Vec<Folder> {
    let ports = salus_validator::dev::free_ports(8).unwrap();
    let (listen, api) = ports.split_at(4);
    let mut joined = Vec::new();
    for (number, parent) in stage.folders.iter().enumerate() {
        let mut peers = parent.config().unwrap().peers;
        for peer in &mut peers {
            let at = stage
                .network
                .validators
                .iter()
                .position(|(_, identity)| identity.signer().public_key() == peer.key)
                .unwrap();
            peer.address = listen[at];
        }
        let config = ValidatorConfig {
            listen: listen[number],
            api: api[number],
            keep_blocks: None,
            explorer: None,
            peers,
        };
        let cost = GuessCost::OWASP_MINIMUM;
        let folder = channels::join(parent, charter, &config, &passphrase(), cost, &mut OsEntropy);
        joined.push(folder.unwrap());
    }
    joined
}

fn client(stage: &Stage, genesis: &Genesis, folders: &[Folder], name: &str) -> LedgerClient {
    let url = |folder: &Folder| format!("https://{}", folder.config().unwrap().api);
    let urls: Vec<String> = folders.iter().map(url).collect();
    LedgerClient::new(&urls, genesis, &stage.network.members[name]).unwrap()
}

fn book(stage: &Stage, ledger: LedgerId, to: &str, planted: [u8; 32], n: u8) -> SignedTransaction {
    let reference = Commitment::new(planted);
    let call = IssueFunds { to: member(to), amount: Money::new(u64::from(n) + 1), reference };
    let tx = Transaction::new(ledger, Nonce::new([n; 16]), Height::new(9_000), call);
    tx.draft().unwrap().sign(&stage.signer("hub")).finish().unwrap()
}

async fn until_up(client: &LedgerClient, url: &str) {
    let patience = Instant::now() + Duration::from_secs(30);
    while let Err(error) = client.status(url).await {
        assert!(Instant::now() < patience, "the channel does not come up: {error:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn files_below(path: &Path, besides: Option<&str>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if besides.is_some_and(|name| path.ends_with(name)) {
            continue;
        }
        if path.is_dir() { files.extend(files_below(&path, besides)) } else { files.push(path) }
    }
    files
}

fn holds(bytes: &[u8], planted: &[u8]) -> bool {
    bytes.windows(planted.len()).any(|window| window == planted)
}

fn any_holds(files: &[PathBuf], planted: &[u8]) -> bool {
    files.iter().any(|file| holds(&std::fs::read(file).unwrap(), planted))
}

/// Everything that a validator's API gives a member, in one heap of bytes.
async fn everything(stage: &Stage, url: &str, last: u64, ids: &[String]) -> Vec<u8> {
    let roots = &stage.network.genesis.config.form().roots;
    let http = http_client(&stage.network.members["hub"], roots).unwrap();
    let mut paths: Vec<String> = [
        "/v1/status",
        "/v1/genesis",
        "/v1/blocks?after=0",
        "/v1/tip?after=0",
        "/v1/checkpoint",
        "/v1/misbehaviour",
        "/v1/snapshot",
    ]
    .map(str::to_owned)
    .into();
    paths.extend((1..=last).map(|height| format!("/v1/blocks/{height}")));
    paths.extend(ids.iter().map(|id| format!("/v1/transactions/{id}")));
    let mut all = Vec::new();
    for path in paths {
        let answer = http.get(format!("{url}{path}")).send().await.unwrap();
        all.extend_from_slice(&answer.bytes().await.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_channel_shows_on_the_ledger_of_all_nor_the_other_way_round() {
    let stage = Stage::new(4);
    let _processes = start_all(&stage.folders);
    let main = stage.client("hub");
    let on_main = book(&stage, stage.ledger, "uni", OF_MAIN, 1);
    main.submit(&on_main).await.unwrap();
    // Founded while the validators run.
    let charter = charter(&stage, genesis(&stage), None);
    let genesis = &charter.genesis;
    let ledger = genesis.ledger_id().unwrap();
    let folders = join_all(&stage, &charter);
    let channel = client(&stage, genesis, &folders, "hub");
    for folder in &folders {
        until_up(&channel, &format!("https://{}", folder.config().unwrap().api)).await;
    }
    let on_channel = book(&stage, ledger, "st-anna", OF_CHANNEL, 2);
    let recorded = channel.submit(&on_channel).await.unwrap();
    assert_eq!(recorded.entry.outcome, Outcome::Applied);
    // Each has its own state and its own order.
    main.submit(&book(&stage, stage.ledger, "uni", OF_MAIN, 3)).await.unwrap();
    let wallet = query::wallet_key(&member("st-anna"));
    assert_eq!(main.state(&wallet).await.unwrap().value, None);
    assert!(channel.state(&wallet).await.unwrap().value.is_some());
    // A transaction of one is none of the other's, and an answer of one proves nothing in it.
    let refused = main.submit(&on_channel).await;
    assert!(matches!(refused, Err(ClientError::Refused { .. })), "{refused:?}");
    assert!(main.recorded(&on_channel.id()).await.is_err());
    assert!(channel.recorded(&on_main.id()).await.is_err());
    let astray = client(&stage, genesis, &stage.folders, "hub");
    assert!(matches!(astray.tip(Height::GENESIS).await, Err(ClientError::NotProved { .. })));
    // Who is no member of the channel is not let in, although the ledger of all knows them.
    let outside = client(&stage, genesis, &folders, "uni");
    let refused = outside.tip(Height::GENESIS).await;
    assert!(matches!(refused, Err(ClientError::Unreachable { .. })), "{refused:?}");
    stage.client("uni").tip(Height::GENESIS).await.unwrap();
    // What is planted is where it belongs, and nowhere else.
    let ids = [on_main.id().to_string(), on_channel.id().to_string()];
    let url = |folder: &Folder| format!("https://{}", folder.config().unwrap().api);
    for (parent, folder) in stage.folders.iter().zip(&folders) {
        let of_main = files_below(parent.path(), Some("channels"));
        let of_channel = files_below(folder.path(), None);
        assert!(any_holds(&of_main, &OF_MAIN) && any_holds(&of_channel, &OF_CHANNEL));
        assert!(!any_holds(&of_main, &OF_CHANNEL), "the channel shows in {of_main:?}");
        assert!(!any_holds(&of_channel, &OF_MAIN), "the ledger shows in {of_channel:?}");
        assert!(!any_holds(&of_main, ledger.as_bytes()), "the ledger knows of the channel");
        let said = everything(&stage, &url(parent), 2, &ids).await;
        assert!(holds(&said, &OF_MAIN) && !holds(&said, &OF_CHANNEL));
        let said = everything(&stage, &url(folder), 1, &ids).await;
        assert!(holds(&said, &OF_CHANNEL) && !holds(&said, &OF_MAIN));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_outlives_its_processes_and_one_without_consent_is_not_taken_up() {
    let stage = Stage::new(4);
    // St. Anna has not agreed.
    let genesis = genesis(&stage);
    let without = join_all(&stage, &charter(&stage, genesis.clone(), Some("st-anna")));
    {
        let _processes = start_all(&stage.folders);
        tokio::time::sleep(Duration::from_secs(3)).await;
        let channel = client(&stage, &genesis, &without, "hub");
        for folder in &without {
            let url = format!("https://{}", folder.config().unwrap().api);
            assert!(channel.status(&url).await.is_err());
            assert!(!folder.database().exists());
        }
    }
    let folders = join_all(&stage, &charter(&stage, genesis.clone(), None));
    let channel = client(&stage, &genesis, &folders, "hub");
    let mut recorded = BTreeMap::new();
    for round in 0..3 {
        let _processes = start_all(&stage.folders);
        for folder in &folders {
            until_up(&channel, &format!("https://{}", folder.config().unwrap().api)).await;
        }
        let tx = book(&stage, *channel.ledger(), "st-anna", OF_CHANNEL, round);
        recorded.insert(tx.id(), channel.submit(&tx).await.unwrap().entry);
        for (id, entry) in &recorded {
            assert_eq!(channel.recorded(id).await.unwrap().entry, *entry);
        }
    }
}
