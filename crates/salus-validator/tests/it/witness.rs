//! An external witness: follows, cosigns, remembers, and proves a fork.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use salus_crypto::OsEntropy;
use salus_crypto::passphrase::GuessCost;
use salus_ledger::cbor;
use salus_ledger::proof::{
    AddCheckpoint, CheckpointTrust, Fork, SignedCheckpoint, WitnessKey, WitnessName,
};
use salus_validator::client::LedgerClient;
use salus_validator::witness::{
    DeskError, WitnessConfig, WitnessError, WitnessFolder, WitnessService, serve,
};
use salus_validator::{Folder, Validator};

use crate::network::{Stage, passphrase};

fn lay_out(stage: &Stage, path: &Path, urls: Vec<String>) -> WitnessFolder {
    let folder = WitnessFolder::at(path);
    let config = WitnessConfig {
        name: WitnessName::new("witness.example.org/uni").unwrap(),
        validators: urls,
        listen: Some("127.0.0.1:0".parse().unwrap()),
        every_ms: 100,
    };
    let identity = &stage.network.members["uni"];
    let cost = GuessCost::OWASP_MINIMUM;
    folder
        .create(&config, identity, &stage.network.genesis, &passphrase(), cost, &mut OsEntropy)
        .unwrap();
    folder
}

fn trust(stage: &Stage, witness: &WitnessKey, threshold: usize) -> CheckpointTrust {
    CheckpointTrust {
        ledger: stage.ledger,
        validators: stage.network.genesis.config.validator_keys(),
        witnesses: BTreeMap::from([(witness.name.clone(), witness.key)]),
        threshold,
    }
}

async fn cosigned_of(
    client: &LedgerClient,
    trust: &CheckpointTrust,
    size: u64,
) -> SignedCheckpoint {
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        match client.checkpoint(trust).await {
            Ok(found) if found.checkpoint().size >= size => return found,
            other if Instant::now() > patience => panic!("no cosigned checkpoint: {other:?}"),
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_of_four_validators_are_cosigned_and_served() {
    let stage = Stage::new(4);
    let validators: Vec<Validator> = stage
        .folders
        .iter()
        .map(|folder| Validator::start(folder, &passphrase()).unwrap())
        .collect();
    let client = stage.client("hub");
    client.submit(&stage.issue()).await.unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let folder = lay_out(&stage, scratch.path(), stage.urls());
    let service = WitnessService::open(&folder, &passphrase()).unwrap();
    let key = service.key().clone();
    assert_eq!(key.to_string().parse::<WitnessKey>().unwrap(), key);
    let running = tokio::spawn(serve(service));
    let trusting = trust(&stage, &key, 1);
    let first = cosigned_of(&client, &trusting, 1).await;
    for _ in 0..3 {
        client.submit(&stage.issue()).await.unwrap();
    }
    let later = cosigned_of(&client, &trusting, 4).await;
    assert!(later.checkpoint().size > first.checkpoint().size);
    // What the witness has on its disk is not behind what it gave away.
    let kept = folder.cosigned().unwrap().unwrap();
    assert!(kept.checkpoint().size >= later.checkpoint().size);
    // Trusting another key under the same name gives nothing.
    let mut other = trusting.clone();
    other.witnesses.insert(key.name.clone(), stage.signer("hub").public_key());
    assert!(client.checkpoint(&other).await.is_err());
    // One witness is not two.
    let mut two = trusting.clone();
    two.threshold = 2;
    assert!(client.checkpoint(&two).await.is_err());
    running.abort();
    drop(validators);
    // Nothing forked.
    assert!(folder.forks().unwrap().is_empty());
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// A ledger whose one validator goes on twice from the same state, with the same key.
struct Forked {
    stage: Stage,
    honest: Validator,
    other: Validator,
    witness: WitnessService,
    folder: WitnessFolder,
    _scratch: tempfile::TempDir,
}

impl Forked {
    /// The witness has cosigned `honest` transactions of the first history; the second has `other`.
    async fn new(honest: usize, other: usize) -> Self {
        let stage = Stage::new(1);
        let scratch = tempfile::tempdir().unwrap();
        let validator = Validator::start(&stage.folders[0], &passphrase()).unwrap();
        let client = stage.client("hub");
        client.submit(&stage.issue()).await.unwrap();
        validator.stop();
        let second = Folder::at(scratch.path().join("second"));
        copy(stage.folders[0].path(), second.path());
        // First the one history, then the other, at one address.
        let running = Validator::start(&second, &passphrase()).unwrap();
        for _ in 0..other {
            client.submit(&stage.issue()).await.unwrap();
        }
        running.stop();
        let running = Validator::start(&stage.folders[0], &passphrase()).unwrap();
        for _ in 0..honest {
            client.submit(&stage.issue()).await.unwrap();
        }
        let folder = lay_out(&stage, &scratch.path().join("witness"), stage.urls());
        let witness = WitnessService::open(&folder, &passphrase()).unwrap();
        assert_eq!(witness.look().await.unwrap(), 1 + honest as u64);
        let mut config = second.config().unwrap();
        config.api = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        second.set_config(&config).unwrap();
        let other = Validator::start(&second, &passphrase()).unwrap();
        Self { stage, honest: running, other, witness, folder, _scratch: scratch }
    }

    /// The witness goes on at the other history, as if the validator had moved.
    async fn look_at_other(&self) -> Result<u64, WitnessError> {
        let url = format!("https://{}", self.other.api());
        let folder = WitnessFolder::at(self.folder.path());
        let mut text = std::fs::read_to_string(folder.path().join("witness.toml")).unwrap();
        text = text.replace(&self.stage.urls()[0], &url);
        std::fs::write(folder.path().join("witness.toml"), text).unwrap();
        let moved = WitnessService::open(&folder, &passphrase()).unwrap();
        moved.look().await
    }

    fn assert_proved(&self) {
        let files = self.folder.forks().unwrap();
        assert_eq!(files.len(), 1, "{files:?}");
        let fork = Fork::from_bytes(&std::fs::read(&files[0]).unwrap()).unwrap();
        let genesis = &self.stage.network.genesis;
        let validators = genesis.config.validator_keys();
        let guilty = fork.verify(&self.stage.ledger, &validators).unwrap();
        assert_eq!(guilty, BTreeSet::from([self.honest.key()]));
        // It proves nothing about another ledger.
        let elsewhere = Stage::new(1);
        assert!(fork.verify(&elsewhere.ledger, &validators).is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_of_the_same_size_is_not_cosigned_and_is_proved() {
    let forked = Forked::new(2, 2).await;
    let before = forked.folder.cosigned().unwrap();
    let refused = forked.look_at_other().await;
    let is_fork = matches!(refused, Err(WitnessError::Desk(DeskError::Forked { .. })));
    assert!(is_fork, "{refused:?}");
    assert_eq!(forked.folder.cosigned().unwrap(), before);
    forked.assert_proved();
    // The honest history is still cosigned.
    forked.witness.look().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_fork_is_not_cosigned_and_is_proved() {
    let forked = Forked::new(2, 5).await;
    let before = forked.folder.cosigned().unwrap();
    let refused = forked.look_at_other().await;
    let is_fork = matches!(refused, Err(WitnessError::Desk(DeskError::Forked { .. })));
    assert!(is_fork, "{refused:?}");
    assert_eq!(forked.folder.cosigned().unwrap(), before);
    forked.assert_proved();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_takes_no_cosignature_of_another_history_or_of_nobody() {
    let forked = Forked::new(1, 3).await;
    let client = forked.stage.client("uni");
    let cosigned = forked.folder.cosigned().unwrap().unwrap();
    let post = |name: &str, url: String, text: String| {
        let identity = &forked.stage.network.members[name];
        let tls = reqwest_of(&forked.stage, identity);
        async move { tls.post(format!("{url}/v1/checkpoint")).body(text).send().await.unwrap() }
    };
    let urls = (forked.stage.urls()[0].clone(), format!("https://{}", forked.other.api()));
    let taken = post("uni", urls.0.clone(), cosigned.to_string()).await;
    assert!(taken.status().is_success(), "{taken:?}");
    // By another member than the one that cosigned.
    let refused = post("hub", urls.0.clone(), cosigned.to_string()).await;
    assert_eq!(refused.status(), 400);
    // To a validator that follows another history.
    let refused = post("uni", urls.1, cosigned.to_string()).await;
    assert_eq!(refused.status(), 409);
    // A cosigned checkpoint without the validators' signatures, of a size that is not kept yet.
    client.submit(&forked.stage.issue()).await.unwrap();
    let refused = post("uni", urls.0, "nothing of the kind".to_owned()).await;
    assert_eq!(refused.status(), 400);
}

fn reqwest_of(stage: &Stage, identity: &salus_validator::Identity) -> reqwest::Client {
    let roots = &stage.network.genesis.config.form().roots;
    salus_validator::dev::http_client(identity, roots).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn add_checkpoint_answers_as_tlog_witness_says() {
    let forked = Forked::new(2, 3).await;
    let last = forked.folder.cosigned().unwrap().unwrap();
    let service = WitnessService::open(&forked.folder, &passphrase()).unwrap();
    let (url, key) = (format!("http://{}", service.address().unwrap()), service.key().clone());
    let running = tokio::spawn(serve(service));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = |text: String| {
        let post = http.post(format!("{url}/add-checkpoint")).body(text);
        async move {
            let answer = post.send().await.unwrap();
            let kind = answer.headers().get("content-type").cloned();
            (answer.status().as_u16(), kind, answer.text().await.unwrap())
        }
    };
    let size = last.checkpoint().size;
    let validators = forked.stage.network.genesis.config.validator_keys();
    let own = last.only_validators(&validators).unwrap();
    let request = |old, path, checkpoint: &SignedCheckpoint| {
        AddCheckpoint { old, path, checkpoint: checkpoint.clone() }.to_string()
    };
    let (status, _, text) = ask(request(size, vec![], &own)).await;
    assert_eq!(status, 200, "{text}");
    let line = salus_ledger::proof::NoteSignature::from_line(text.trim_end()).unwrap();
    assert_eq!(line.name(), key.name.as_str());
    let cosigned = own.clone().with(line);
    cosigned.verify(&trust(&forked.stage, &key, 1)).unwrap();
    // Garbage, no validator's signature, another ledger.
    assert_eq!(ask("old 1\n\nnothing\n".to_owned()).await.0, 400);
    let stranger = forked.stage.signer("hub");
    let unsigned = SignedCheckpoint::new(*last.checkpoint()).sign(&stranger);
    assert_eq!(ask(request(size, vec![], &unsigned)).await.0, 403);
    let mut elsewhere = *last.checkpoint();
    elsewhere.ledger = Stage::new(1).ledger;
    assert_eq!(
        ask(request(size, vec![], &SignedCheckpoint::new(elsewhere).sign(&stranger))).await.0,
        404
    );
    // The other history: of another size, first from the wrong size, then without a proof.
    let theirs = checkpoint_of(&forked).await;
    let (status, kind, text) = ask(request(1, vec![], &theirs)).await;
    assert_eq!((status, kind.unwrap().to_str().unwrap()), (409, "text/x.tlog.size"));
    assert_eq!(text, format!("{size}\n"));
    assert_eq!(ask(request(size, vec![], &theirs)).await.0, 422);
    running.abort();
}

/// What the other history's validator signs.
async fn checkpoint_of(forked: &Forked) -> SignedCheckpoint {
    let http = reqwest_of(&forked.stage, &forked.stage.network.members["uni"]);
    let url = format!("https://{}/v1/checkpoint", forked.other.api());
    let text = http.get(url).send().await.unwrap().text().await.unwrap();
    SignedCheckpoint::from_text(&text).unwrap()
}

#[test]
fn requests_to_a_witness_have_one_form() {
    let stage = Stage::new(1);
    let checkpoint = salus_ledger::proof::Checkpoint {
        ledger: stage.ledger,
        size: 7,
        root: salus_ledger::TreeRoot::new([7; 32]),
    };
    let signed = SignedCheckpoint::new(checkpoint).sign(&stage.signer("hub"));
    let path = vec![salus_crypto::Digest::of(b"node")];
    let request = AddCheckpoint { old: 3, path, checkpoint: signed };
    let text = request.to_string();
    assert_eq!(AddCheckpoint::from_text(&text).unwrap(), request);
    for bad in [
        text.replace("old 3", "old 03"),
        text.replace("old 3", "old -3"),
        text.replacen('\n', "\n\n", 1),
        text.replace("old 3\n", "old 3\nAAAA\n"),
        format!("old 3\n{}\n{}", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n".repeat(64), text),
    ] {
        assert!(AddCheckpoint::from_text(&bad).is_err(), "{bad}");
    }
    let decoded: Result<salus_ledger::proof::WitnessKey, _> = cbor::decode(b"\x61x", 10);
    assert!(decoded.is_err());
}
