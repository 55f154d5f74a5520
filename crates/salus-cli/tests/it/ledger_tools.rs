//! Witnesses, channels and the explorer, by the commands of `salus`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use salus_crypto::passphrase::Passphrase;
use salus_ledger::call::MarkTime;
use salus_ledger::proof::{CheckpointTrust, WitnessKey};
use salus_model::{Clock as _, Secret};
use salus_node::membership::{Enrolment, Membership};
use salus_node::{HolderLedger, SystemClock};
use salus_validator::client::LedgerClient;
use serde_json::{Value as Json, json};

use salus_validator::dev::Authority;

use crate::founding::{certify, pem, request};
use crate::node::Served;
use crate::world::World;

const PATIENCE: Duration = Duration::from_secs(60);

fn passphrase() -> Passphrase {
    Passphrase::new(Secret::new("correct horse battery".to_owned())).unwrap()
}

/// A ledger of one validator, its members' files still in the folder.
fn network(world: &World) {
    let folder = world.text("ledger");
    let mut words = vec!["ledger", "dev", "1", "--folder", &folder];
    for member in ["hub:administrator,officer", "st-mary:holder", "uni:research"] {
        words.extend(["--member", member]);
    }
    world.json("none", &words);
}

fn site(world: &World, folder: &str, holder: &str, file: &str) {
    std::fs::create_dir_all(world.path(folder)).unwrap();
    world.json(folder, &["init", "--holder", holder]);
    world.json(folder, &["ledger", "join", &world.text(file)]);
}

/// The hub's hand on the ledger, by its membership file.
struct Hub(HolderLedger);

impl Hub {
    fn new(world: &World) -> Self {
        let file = std::fs::read(world.path("ledger/members/hub.member")).unwrap();
        let Membership { member, genesis, identity, validators } =
            Membership::open(&passphrase(), &file).unwrap();
        let client = LedgerClient::new(&validators, &genesis, &identity).unwrap();
        let clock = Arc::new(SystemClock);
        Self(HolderLedger::new((member, genesis), client, identity, clock))
    }

    /// Puts so many transactions on record.
    async fn submit(&self, count: usize) {
        for _ in 0..count {
            self.0.submit(MarkTime {}).await.unwrap();
        }
    }

    /// The size of the history that the witness has cosigned, once it is at least so large.
    async fn cosigned(&self, witness: &WitnessKey, least: u64) -> u64 {
        let trust = CheckpointTrust {
            ledger: *self.0.client().ledger(),
            validators: self.0.genesis().config.validator_keys(),
            witnesses: BTreeMap::from([(witness.name.clone(), witness.key)]),
            threshold: 1,
        };
        let until = Instant::now() + PATIENCE;
        loop {
            match self.0.client().checkpoint(&trust).await {
                Ok(found) if found.checkpoint().size >= least => return found.checkpoint().size,
                other => assert!(Instant::now() < until, "not cosigned: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

fn forks(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder.join("forks")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path().join("fork.cbor")).collect()
}

fn serve_witness(world: &World) -> (Served, Json) {
    let folder = world.text("witness");
    let mut served = Served::spawn(world.command("none", &["ledger", "witness", "serve", &folder]));
    let ready = served.json();
    (served, ready)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_cosigns_one_history_and_proves_that_there_are_two() {
    let world = World::empty();
    network(&world);
    let mut validator = world.serve_validator(1);
    let hub = Hub::new(&world);
    hub.submit(1).await;
    let (folder, file) = (world.text("witness"), world.text("ledger/members/uni.member"));
    let init = [
        "ledger",
        "witness",
        "init",
        &folder,
        &file,
        "--name",
        "witness.example.org/uni",
        "--listen",
        "127.0.0.1:0",
        "--every-ms",
        "50",
    ];
    world.json("none", &init);
    assert!(!world.path("ledger/members/uni.member").exists(), "its keys are in two places");
    let (code, said) = world.failure("none", &init);
    assert!(code == 2 && said.contains("is there already"), "{code} {said}");
    let mut strange = world.command("none", &["ledger", "witness", "serve", &folder]);
    strange.env("SALUS_PASSPHRASE", "the passphrase of somebody else");
    assert_eq!(strange.output().unwrap().status.code(), Some(3));

    let (mut witness, ready) = serve_witness(&world);
    let key: WitnessKey = ready["witness"].as_str().unwrap().parse().unwrap();
    assert_eq!(key.name.as_str(), "witness.example.org/uni");
    assert_eq!(hub.cosigned(&key, 1).await, 1);
    // The validator's state of now goes on twice: here, and in a copy, with the same key.
    assert!(validator.stop());
    copy(&world.path("ledger/val-01"), &world.path("second"));
    validator = world.serve_validator(1);
    hub.submit(2).await;
    assert_eq!(hub.cosigned(&key, 3).await, 3);
    assert!(forks(&world.path("witness")).is_empty(), "one history is no fork");
    witness.kill();
    validator.kill();
    let mut second =
        Served::spawn(world.command("none", &["ledger", "serve", &world.text("second")]));
    second.json();
    Hub::new(&world).submit(4).await;
    let (_witness, _) = serve_witness(&world);
    let until = Instant::now() + PATIENCE;
    while forks(&world.path("witness")).is_empty() {
        assert!(Instant::now() < until, "the second history was not noticed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let kept = forks(&world.path("witness"));
    let fork = kept[0].to_str().unwrap();
    let genesis = world.text("ledger/genesis.cbor");
    let proved = world.json("none", &["ledger", "check-fork", fork, "--genesis", &genesis]);
    assert_eq!(
        (&proved["forked"], &proved["validators"][0]["member"]),
        (&json!(true), &json!("val-01"))
    );
    // Another ledger's genesis, a bent proof, and what is none.
    let elsewhere = world.text("elsewhere");
    world.json(
        "none",
        &["ledger", "dev", "1", "--folder", &elsewhere, "--member", "hub:administrator"],
    );
    let other = world.text("elsewhere/genesis.cbor");
    let (code, said) = world.failure("none", &["ledger", "check-fork", fork, "--genesis", &other]);
    assert!(code == 3 && said.contains("proves nothing"), "{code} {said}");
    let mut bytes = std::fs::read(fork).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(world.path("bent"), &bytes).unwrap();
    for bad in [world.text("bent"), genesis.clone()] {
        let (code, said) =
            world.failure("none", &["ledger", "check-fork", &bad, "--genesis", &genesis]);
        assert!(code == 3 && said.contains("proves nothing"), "{code} {said}");
    }
}

#[test]
fn a_channel_is_founded_by_all_that_are_in_it_and_entered_by_nobody_else() {
    let world = World::empty();
    network(&world);
    for name in ["hub", "st-mary", "uni"] {
        site(&world, name, name, &format!("ledger/members/{name}.member"));
    }
    let mut validator = world.serve_validator(1);
    let (charter, copy) = (world.text("trial.charter"), world.text("copy.charter"));
    let mut draft = vec!["ledger", "channel", "draft", "--out", &charter];
    for member in ["hub", "st-mary", "val-01"] {
        draft.extend(["--member", member]);
    }
    let (code, said) = world.failure("hub", &[&draft[..], &["--member", "nobody"]].concat());
    assert!(code == 2 && said.contains("nobody"), "{code} {said}");
    let drafted = world.json("hub", &draft);
    let agreed = |shown: &Json| -> Vec<String> {
        let members = shown["members"].as_array().unwrap().iter();
        let agreed = members.filter(|m| m["agreed"] == true);
        agreed.map(|m| m["member"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((agreed(&drafted).len(), &drafted["validators"]), (0, &json!(1)));
    std::fs::copy(&charter, &copy).unwrap();

    let agree =
        |site: &str, charter: &str| world.json(site, &["ledger", "channel", "agree", charter]);
    agree("hub", &charter);
    let operator = world.text("ledger/val-01");
    let words = ["ledger", "channel", "agree", &charter, "--validator", &operator];
    assert_eq!(agreed(&world.json("none", &words)), ["hub", "val-01"]);
    let (code, said) = world.failure("uni", &["ledger", "channel", "agree", &charter]);
    assert!(code == 2 && said.contains("no member"), "{code} {said}");
    let ports = [salus_testkit::free_port(), salus_testkit::free_port()];
    let [listen, api] = ports.map(|port| format!("127.0.0.1:{port}"));
    let join =
        ["ledger", "channel", "join", &operator, &charter, "--listen", &listen, "--api", &api];
    let (code, said) = world.failure("none", &join);
    assert!(code == 3 && said.contains("st-mary has not agreed"), "{code} {said}");
    // The hospital agrees on its own copy, which is put together with the hub's.
    agree("st-mary", &copy);
    let together = world.json("hub", &["ledger", "channel", "agree", &charter, "--with", &copy]);
    assert_eq!(agreed(&together), ["hub", "st-mary", "val-01"]);
    // A consent that somebody altered is no consent.
    let mut bytes = std::fs::read(&charter).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let bent = world.text("bent.charter");
    std::fs::write(&bent, bytes).unwrap();
    let (code, said) = world.failure("none", &["ledger", "channel", "show", &bent]);
    assert!(code == 3 && said.contains("forged"), "{code} {said}");

    let joined = world.json("none", &join);
    let told: Json = serde_json::from_str(&next_line(&mut validator)).unwrap();
    assert_eq!(told["channel"], joined["channel"], "{told}");
    // Its members enter with sites of their own; who is not in it has nothing to enter with.
    let url = format!("https://{api}");
    let (file, strange) = (world.text("hub.member"), world.text("uni.member"));
    let membership = ["ledger", "channel", "membership", &charter, "--validator", &url, "--out"];
    let (code, said) = world.failure("uni", &[&membership[..], &[strange.as_str()]].concat());
    assert!(code == 2 && said.contains("uni is not in the channel"), "{code} {said}");
    world.json("hub", &[&membership[..], &[file.as_str()]].concat());
    site(&world, "hub-channel", "hub", "hub.member");
    let status = world.json("hub-channel", &["ledger", "status"]);
    assert_eq!((&status[0]["state"], &status[0]["validator"]), (&json!("serves"), &json!(url)));
    let main = world.json("hub", &["ledger", "status"]);
    assert_ne!(main[0]["validator"], status[0]["validator"]);
    // With a certificate of the ledger of all alone, nobody is let in.
    let toml = std::fs::read_to_string(world.path("uni/salus.toml")).unwrap();
    let main_url = main[0]["validator"].as_str().unwrap();
    assert!(toml.contains(main_url));
    std::fs::write(world.path("uni/salus.toml"), toml.replace(main_url, &url)).unwrap();
    assert_eq!(world.failure("uni", &["ledger", "watch", "--blocks", "1"]).0, 4);
    // After a restart the channel is there without a word.
    assert!(validator.stop());
    let mut validator = world.serve_validator(1);
    let told: Json = serde_json::from_str(&next_line(&mut validator)).unwrap();
    assert_eq!(told["channel"], joined["channel"]);
    assert_eq!(world.json("hub-channel", &["ledger", "status"])[0]["state"], "serves");
}

/// The next line that says anything.
fn next_line(served: &mut Served) -> String {
    loop {
        let line = served.line();
        if !line.trim().is_empty() {
            return line;
        }
    }
}

/// A ledger on which two administrators have to agree, and where its members reach it.
struct Founded {
    world: World,
    authority: Authority,
    genesis: String,
    url: String,
    _served: Served,
}

impl Founded {
    fn new() -> Self {
        let world = World::empty();
        let authority = Authority::new("A real authority").unwrap();
        let (root, genesis) = (world.text("root.pem"), world.text("genesis.cbor"));
        std::fs::write(&root, pem(authority.root().as_bytes())).unwrap();
        let members: [(&str, &[&str]); 3] = [
            ("hub", &["administrator", "officer"]),
            ("st-mary", &["administrator", "holder"]),
            ("operator", &["validator"]),
        ];
        let mut found = vec!["ledger", "found", "--agree", "2", "--root", &root, "--out", &genesis];
        let files = members.map(|(name, _)| world.text(&format!("{name}.request")));
        for ((name, roles), file) in members.iter().zip(&files) {
            request(&world, &certify(&world, &authority, name, in_a_year()), name, roles);
            found.extend(["--request", file]);
        }
        world.json("none", &found);
        let ports = [salus_testkit::free_port(), salus_testkit::free_port()];
        let [listen, api] = ports.map(|port| format!("127.0.0.1:{port}"));
        let (folder, own) = (world.text("val"), world.text("operator.keys"));
        let init = ["ledger", "init", &folder, "--genesis", &genesis, "--keys", &own];
        world.json("none", &[&init[..], &["--listen", &listen, "--api", &api]].concat());
        let mut served = Served::spawn(world.command("none", &["ledger", "serve", &folder]));
        served.json();
        let url = format!("https://{api}");
        Self { world, authority, genesis, url, _served: served }
    }

    fn site(&self, name: &str) {
        std::fs::create_dir_all(self.world.path(name)).unwrap();
        self.world.json(name, &["init", "--holder", name]);
        self.join(name, &[]);
    }

    fn join(&self, name: &str, more: &[&str]) {
        let keys = self.world.text(&format!("{name}.keys"));
        let join = ["ledger", "join", &keys, "--genesis", &self.genesis, "--validator", &self.url];
        self.world.json(name, &[&join[..], more].concat());
    }

    /// Proposed by the hub; with the hospital's signature it takes effect.
    fn decide(&self, file: &str, change: &[&str]) {
        let file = self.world.text(file);
        let words = [&["ledger", "propose"][..], change, &["--out", &file]].concat();
        let proposed = self.world.json("hub", &words);
        assert_eq!(proposed["signed_by"], json!(["hub"]));
        let (code, said) = self.world.failure("hub", &["ledger", "submit", &file]);
        assert!(code == 3 && said.contains("governance policy"), "{code} {said}");
        let endorsed = self.world.json("st-mary", &["ledger", "endorse", &file]);
        assert_eq!(endorsed["signed_by"].as_array().unwrap().len(), 2, "{endorsed}");
        assert_eq!(endorsed["transaction"], proposed["transaction"]);
        self.world.json("hub", &["ledger", "submit", &file]);
    }

    fn key(&self, name: &str) -> String {
        let file = std::fs::read(self.world.path(&format!("{name}.keys"))).unwrap();
        let keys = Enrolment::open(&passphrase(), &file).unwrap();
        keys.identity.signer().public_key().to_string()
    }
}

fn in_a_year() -> salus_model::Timestamp {
    SystemClock.now().saturating_add_micros(365 * 86_400_000_000)
}

#[test]
fn members_decide_together_and_nobody_decides_alone() {
    let founded = Founded::new();
    let (world, authority) = (&founded.world, &founded.authority);
    let first = founded.key("st-mary");
    founded.site("hub");
    founded.site("st-mary");
    // An organisation that comes later.
    request(world, &certify(world, authority, "lab", in_a_year()), "lab", &["research"]);
    founded.decide("admit.cose", &["admit", &world.text("lab.request")]);
    founded.site("lab");
    assert_eq!(world.json("lab", &["ledger", "status"])[0]["state"], "serves");
    // It is no administrator: its signature adds nothing.
    let alone = world.text("alone.cose");
    let revoke = ["ledger", "propose", "revoke-member", "st-mary", "--out", &alone];
    world.json("lab", &revoke);
    world.json("hub", &["ledger", "endorse", &alone]);
    let (code, said) = world.failure("lab", &["ledger", "submit", &alone]);
    assert!(code == 3 && said.contains("governance policy"), "{code} {said}");
    // What was altered on its way is endorsed by nobody.
    let mut bytes = std::fs::read(&alone).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let bent = world.text("bent.cose");
    std::fs::write(&bent, bytes).unwrap();
    let (code, said) = world.failure("st-mary", &["ledger", "endorse", &bent]);
    assert!(code == 3 && said.contains("not endorsed"), "{code} {said}");
    // The hospital's certificate is renewed, with new keys; the old ones end.
    let roles = ["administrator", "holder"];
    request(world, &certify(world, authority, "st-mary", in_a_year()), "st-mary", &roles);
    founded.decide("bind.cose", &["bind-key", &world.text("st-mary.request")]);
    let keys = world.text("lab.keys");
    request(world, &certify(world, authority, "lab", in_a_year()), "lab", &["research"]);
    let words =
        ["ledger", "join", &keys, "--genesis", &founded.genesis, "--validator", &founded.url];
    let (code, said) = world.failure("st-mary", &[&words[..], &["--renew"]].concat());
    assert!(code == 2 && said.contains("of lab"), "{code} {said}");
    founded.join("st-mary", &["--renew"]);
    assert_eq!(world.json("st-mary", &["ledger", "status"])[0]["state"], "serves");
    founded.decide("end.cose", &["revoke-key", &first]);
    assert_eq!(world.json("st-mary", &["ledger", "status"])[0]["state"], "serves");
    // And a membership that ends.
    founded.decide("revoke.cose", &["revoke-member", "lab"]);
    assert_eq!(world.failure("lab", &["ledger", "watch", "--after", "0", "--blocks", "1"]).0, 4);
}

#[test]
fn the_explorer_is_shown_to_members_alone() {
    let world = World::empty();
    network(&world);
    site(&world, "hub", "hub", "ledger/members/hub.member");
    let config = world.path("ledger/val-01/validator.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n[explorer]\n")).unwrap();
    let mut served =
        Served::spawn(world.command("none", &["ledger", "serve", &world.text("ledger/val-01")]));
    let url = served.json()["validator"].as_str().unwrap().to_owned();
    let folder = world.text("ledger/val-01");
    for (site, at) in [("none", &folder), ("hub", &url)] {
        let overview = world.json(site, &["ledger", "explore", at]);
        assert_eq!(overview["height"], 0, "{overview}");
    }
    // A member of another ledger, a folder that is none, a passphrase that is another.
    let elsewhere = world.text("elsewhere");
    world.json(
        "none",
        &["ledger", "dev", "1", "--folder", &elsewhere, "--member", "hub:administrator"],
    );
    site(&world, "stranger", "hub", "elsewhere/members/hub.member");
    assert_eq!(world.failure("stranger", &["ledger", "explore", &url]).0, 4);
    assert_eq!(world.failure("none", &["ledger", "explore", &world.text("no-folder")]).0, 4);
    let mut strange = world.command("none", &["ledger", "explore", &folder]);
    strange.env("SALUS_PASSPHRASE", "the passphrase of somebody else");
    assert_eq!(strange.output().unwrap().status.code(), Some(3));
    // Without a terminal there is nothing to draw on; in one, `q` leaves it.
    let program = env!("CARGO_BIN_EXE_salus");
    let piped = std::process::Command::new(program)
        .args(["ledger", "explore", &folder])
        .env("SALUS_PASSPHRASE", "correct horse battery")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(piped.status.code(), Some(2), "{piped:?}");
    let shown = in_a_terminal(&format!("{program} ledger explore {folder}"));
    assert!(shown.contains("latest blocks"), "{shown}");
}

/// What a command draws in a terminal until `q` ends it.
fn in_a_terminal(command: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut child = std::process::Command::new(salus_testkit::program("script", "bsdutils"))
        .args(["--quiet", "--return", "--command"])
        .arg(format!("stty rows 40 cols 120 && exec {command}"))
        .arg("/dev/null")
        .env("SALUS_PASSPHRASE", "correct horse battery")
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut keys = child.stdin.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut drawn = Vec::new();
        out.read_to_end(&mut drawn).unwrap();
        String::from_utf8_lossy(&drawn).into_owned()
    });
    // Keys come in when the screen is there, and again until one is heard.
    let until = Instant::now() + PATIENCE;
    loop {
        std::thread::sleep(Duration::from_secs(2));
        let _ = keys.write_all(b"q").and_then(|()| keys.flush());
        match child.try_wait().unwrap() {
            Some(status) => {
                assert!(status.success(), "{status}");
                return reader.join().unwrap();
            }
            None => assert!(Instant::now() < until, "'q' does not leave the explorer"),
        }
    }
}
