//! A validator whose folder is lost is replaced, by the commands of `salus`, while the ledger goes on.

use std::path::Path;
use std::time::{Duration, Instant};

use salus_model::Clock as _;
use salus_node::SystemClock;
use salus_validator::dev::Authority;
use serde_json::Value as Json;

use crate::founding::{certify, pem, request};
use crate::node::Served;
use crate::world::World;

const PATIENCE: Duration = Duration::from_secs(60);
const NAMES: [&str; 4] = ["north", "east", "south", "west"];

/// Four organisations that validate, two of which govern; each its own folder and process.
struct Network {
    world: World,
    authority: Authority,
    listen: [String; 4],
    served: Vec<Option<Served>>,
}

fn address() -> String {
    format!("127.0.0.1:{}", salus_testkit::free_port())
}

fn certified(world: &World, authority: &Authority, name: &str) -> [String; 2] {
    let year = SystemClock.now().saturating_add_micros(365 * 86_400_000_000);
    certify(world, authority, name, year)
}

impl Network {
    fn found() -> Self {
        let world = World::empty();
        let authority = Authority::new("A real authority").unwrap();
        let (root, genesis) = (world.text("root.pem"), world.text("genesis.cbor"));
        std::fs::write(&root, pem(authority.root().as_bytes())).unwrap();
        let mut found = vec!["ledger", "found", "--agree", "2", "--root", &root, "--out", &genesis];
        let members = [("hub", "administrator"), ("state", "administrator")];
        let members = members.into_iter().chain(NAMES.map(|name| (name, "validator")));
        let mut requests = Vec::new();
        for (name, role) in members {
            request(&world, &certified(&world, &authority, name), name, &[role]);
            requests.push(world.text(&format!("{name}.request")));
        }
        for file in &requests {
            found.extend(["--request", file]);
        }
        world.json("none", &found);
        let listen = [(); 4].map(|()| address());
        let mut network = Self { world, authority, listen, served: Vec::new() };
        let mut urls = Vec::new();
        for name in NAMES {
            let api = network.init(name, &network.world.text(name), &[]);
            network.served.push(Some(network.serve(name)));
            urls.push(format!("https://{api}"));
        }
        for name in ["hub", "state"] {
            std::fs::create_dir_all(network.world.path(name)).unwrap();
            network.world.json(name, &["init", "--holder", name]);
            let keys = network.world.text(&format!("{name}.keys"));
            let mut join = vec!["ledger", "join", &keys, "--genesis", &genesis];
            join.extend(urls.iter().flat_map(|url| ["--validator", url]));
            network.world.json(name, &join);
        }
        network
    }

    /// Makes an organisation's folder out of its keys; where members reach it.
    fn init(&self, name: &str, folder: &str, more: &[&str]) -> String {
        let (words, api) = self.init_words(name, folder);
        let words: Vec<&str> =
            words.iter().map(String::as_str).chain(more.iter().copied()).collect();
        self.world.json("none", &words);
        api
    }

    fn init_words(&self, name: &str, folder: &str) -> (Vec<String>, String) {
        let api = address();
        let own = NAMES.iter().position(|n| *n == name).unwrap();
        let mut words: Vec<String> =
            ["ledger", "init", folder, "--genesis"].map(str::to_owned).into();
        words.push(self.world.text("genesis.cbor"));
        words.extend(["--keys".to_owned(), self.world.text(&format!("{name}.keys"))]);
        words.extend(["--listen".to_owned(), self.listen[own].clone()]);
        words.extend(["--api".to_owned(), api.clone()]);
        for (other, listen) in NAMES.iter().zip(&self.listen).filter(|(other, _)| **other != name) {
            words.extend(["--peer".to_owned(), format!("{other}@{listen}")]);
        }
        (words, api)
    }

    fn serve(&self, folder: &str) -> Served {
        let folder = self.world.text(folder);
        let mut served = Served::spawn(self.world.command("none", &["ledger", "serve", &folder]));
        served.json();
        served
    }

    /// Proposes as the hub, has the state endorse it, and hands it in.
    fn decide(&self, change: &[&str]) -> Json {
        let file = self.world.text("decision.cose");
        let _ = std::fs::remove_file(&file);
        self.world.json("hub", &[&["ledger", "propose"], change, &["--out", &file]].concat());
        self.world.json("state", &["ledger", "endorse", &file]);
        self.world.json("hub", &["ledger", "submit", &file])
    }

    fn heights(&self) -> Vec<Option<u64>> {
        let status = self.world.json("hub", &["ledger", "status"]);
        status.as_array().unwrap().iter().map(|s| s["height"].as_u64()).collect()
    }
}

#[test]
fn a_validator_that_lost_its_folder_is_replaced_under_new_keys_and_its_vote_is_needed() {
    let mut network = Network::found();
    let config = network.world.json("hub", &["ledger", "config"]);
    assert_eq!(
        (config["version"].as_u64(), config["governance"].as_str()),
        (Some(0), Some("2 × administrator"))
    );
    let seats = config["validators"].as_array().unwrap();
    let lost = seats.iter().find(|seat| seat["member"] == "west").unwrap()["key"].clone();
    let lost = lost.as_str().unwrap();

    // One administrator alone changes nothing.
    let file = network.world.text("alone.cose");
    let limit = ["ledger", "propose", "configure", "--clock-skew-ms", "900", "--out", &file];
    network.world.json("hub", &limit);
    let (code, said) = network.world.failure("hub", &["ledger", "submit", &file]);
    assert!(code == 3 && said.contains("governance"), "{code} {said}");
    network.decide(&["configure", "--clock-skew-ms", "900"]);
    // What was proposed on the configuration before is refused now.
    network.world.json("state", &["ledger", "endorse", &file]);
    let (code, said) = network.world.failure("hub", &["ledger", "submit", &file]);
    assert_eq!(code, 3, "{said}");
    let config = network.world.json("hub", &["ledger", "config"]);
    assert_eq!(
        (config["version"].as_u64(), config["clock_skew_ms"].as_u64()),
        (Some(1), Some(900))
    );
    let before = network.world.json("hub", &["ledger", "config", "--version", "0"]);
    assert_ne!(before["clock_skew_ms"], config["clock_skew_ms"]);

    // The disk of one is gone, with its keys.
    network.served[3].take().unwrap().kill();
    std::fs::remove_dir_all(network.world.path("west")).unwrap();

    // New keys, bound to the organisation as its old ones were.
    let files = certified(&network.world, &network.authority, "west");
    request(&network.world, &files, "west", &["validator"]);
    network.decide(&["bind-key", &network.world.text("west.request")]);

    let snapshot = network.world.text("ledger.snapshot");
    let taken = network.world.json("hub", &["ledger", "snapshot", &snapshot]);
    assert!(taken["block"].as_u64() >= Some(2), "{taken}");
    let left: Vec<_> = std::fs::read_dir(network.world.path("")).unwrap().flatten().collect();
    let left = |name: &str| left.iter().any(|entry| entry.file_name() == name);
    assert!(!left("ledger.part") && !left("ledger.tried"));

    damaged_snapshots_make_no_folder(&network, &snapshot);
    let name = network.world.text("west");
    network.init("west", &name, &["--snapshot", &snapshot]);
    let new = salus_validator::Folder::at(&name);
    let listed = network.world.json("none", &["ledger", "peers", &name]);
    assert_eq!(listed.as_array().unwrap().len(), 3);

    let key = bound_key(&network, &new);
    for (place, other) in NAMES[..3].iter().enumerate() {
        let folder = network.world.text(other);
        let peer = format!("{key}@{}", network.listen[3]);
        let words = ["ledger", "peers", &folder, "--add", &peer, "--remove", lost];
        network.world.json("none", &words);
        assert!(network.served[place].take().unwrap().stop());
        network.served[place] = Some(network.serve(other));
    }
    network.served[3] = Some(network.serve("west"));
    let seat = format!("west:{key}");
    network.decide(&["configure", "--remove-validator", lost, "--add-validator", &seat]);

    // With another one down, three of four are left: nothing is final without the new one's vote.
    network.served[0].take().unwrap().kill();
    let until = Instant::now() + PATIENCE;
    let now = network.heights().into_iter().flatten().max().unwrap();
    network.decide(&["configure", "--clock-skew-ms", "800"]);
    while network.heights().into_iter().flatten().max().unwrap() <= now {
        assert!(Instant::now() < until, "the ledger stands");
    }
    let config = network.world.json("hub", &["ledger", "config"]);
    assert_eq!(
        (config["version"].as_u64(), config["clock_skew_ms"].as_u64()),
        (Some(3), Some(800))
    );
}

/// The key in a folder, by the configuration that would hold it.
fn bound_key(network: &Network, folder: &salus_validator::Folder) -> String {
    let passphrase = salus_crypto::passphrase::Passphrase::new(salus_model::Secret::new(
        "correct horse battery".to_owned(),
    ));
    let key = folder.open(&passphrase.unwrap()).unwrap().signer().public_key().to_string();
    let config = network.world.json("hub", &["ledger", "config"]);
    assert!(!config.to_string().contains(&key), "it validates already");
    key
}

/// A byte anywhere, or the end, and the folder is not made; nor for keys that voted before.
fn damaged_snapshots_make_no_folder(network: &Network, snapshot: &str) {
    let whole = std::fs::read(snapshot).unwrap();
    let bad = network.world.text("bad.snapshot");
    let folder = network.world.text("west");
    let (words, _) = network.init_words("west", &folder);
    let words: Vec<&str> =
        words.iter().map(String::as_str).chain(["--snapshot", bad.as_str()]).collect();
    let step = whole.len() / 7;
    for at in (step..whole.len()).step_by(step) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&bad, &bytes).unwrap();
        let (code, said) = network.world.failure("none", &words);
        assert!(code == 3 && said.contains("is not taken"), "byte {at}: {code} {said}");
        assert!(!Path::new(&folder).exists(), "byte {at}");
    }
    std::fs::write(&bad, &whole[..whole.len() - 5]).unwrap();
    let (code, said) = network.world.failure("none", &words);
    assert!(code == 3 && said.contains("is not taken"), "{code} {said}");
    assert!(!Path::new(&folder).exists());
    // Its keys are still there for the next try.
    assert!(network.world.path("west.keys").exists());
}
