//! Questions over three hospitals: each by itself, and all together without anybody seeing one's own.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value as Json;

use crate::recorder::{Heard, Recorder};
use crate::world::{ANY_PORTS, Serving, World};

pub(crate) const HOSPITALS: [&str; 3] = ["st-anna", "st-berta", "st-clara"];
/// Devices at each: enough that a group's own count is no number that turns up by chance.
pub(crate) const DEVICES: [u32; 3] = [2_103, 2_411, 2_717];
pub(crate) const PARTIES: [&str; 2] = ["hub", "registry"];
const BY_OS: &str = "SELECT os_version, count(*) FROM devices GROUP BY os_version";

/// Whether a number stands in a message: as a JSON number, as a text that is one, or in eight or
/// sixteen bytes of either order in hexadecimal texts and byte arrays.
fn holds(message: &Json, number: u64) -> bool {
    let digits = number.to_string();
    let forms: Vec<Vec<u8>> = vec![
        number.to_le_bytes().to_vec(),
        number.to_be_bytes().to_vec(),
        u128::from(number).to_le_bytes().to_vec(),
        u128::from(number).to_be_bytes().to_vec(),
    ];
    let within = |bytes: &[u8]| {
        forms.iter().any(|form| bytes.windows(form.len()).any(|window| window == form))
    };
    match message {
        Json::Number(found) => found.to_string() == digits,
        Json::String(text) => {
            let bytes: Option<Vec<u8>> = (text.len() % 2 == 0 && text.len() > 8)
                .then(|| {
                    (0..text.len())
                        .step_by(2)
                        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
                        .collect()
                })
                .flatten();
            *text == digits
                || bytes.is_some_and(|bytes| within(&bytes))
                || serde_json::from_str::<Json>(text)
                    .is_ok_and(|inner| !inner.is_string() && holds(&inner, number))
        }
        Json::Array(entries) => {
            let bytes: Option<Vec<u8>> =
                entries.iter().map(|e| e.as_u64().and_then(|n| u8::try_from(n).ok())).collect();
            entries.iter().any(|entry| holds(entry, number))
                || bytes.is_some_and(|bytes| within(&bytes))
        }
        Json::Object(fields) => fields.values().any(|value| holds(value, number)),
        Json::Bool(_) | Json::Null => false,
    }
}

/// A ledger, a hub and another party, a university, and three hospitals, each with a node of its own
/// or a command line; whoever is asked is asked through a recorder.
pub(crate) struct Space {
    pub(crate) world: World,
    nodes: BTreeMap<&'static str, Serving>,
    pub(crate) recorders: BTreeMap<&'static str, Recorder>,
    /// How much each hospital lets its account spend, in ε.
    epsilon: &'static str,
}

/// The name of the recorder before the validator.
pub(crate) const VALIDATOR: &str = "validator";
/// The member whose certificate the recorder before the validator shows.
const LISTENER: &str = "listener";

impl Space {
    fn new() -> Self {
        Self::with("10")
    }

    pub(crate) fn with(epsilon: &'static str) -> Self {
        let mut world = World::empty();
        let ledger = world.text("ledger");
        let mut words = vec!["ledger", "dev", "1", "--folder", &ledger];
        words.extend(["--member", "hub:administrator,officer", "--member", "uni:research"]);
        let listener = format!("{LISTENER}:auditor");
        words.extend(["--member", &listener]);
        let members: Vec<String> = HOSPITALS.iter().map(|name| format!("{name}:holder")).collect();
        members.iter().for_each(|member| words.extend(["--member", member]));
        world.json("hub", &words);
        let served = world.serve_validator(1);
        world.validators.push(served);
        let membership = world.path(&format!("ledger/members/{LISTENER}.member"));
        let before_ledger = Recorder::before_validator(&std::fs::read(membership).unwrap());
        for name in ["hub", "registry", "uni"].into_iter().chain(HOSPITALS) {
            std::fs::create_dir_all(world.path(name)).unwrap();
            let mut words = vec!["init", "--holder", name];
            words.extend(ANY_PORTS);
            world.json(name, &words);
            if name != "registry" {
                let file = world.text(&format!("ledger/members/{name}.member"));
                world.json(name, &["ledger", "join", &file]);
                // From here on it goes to the validator through the recorder.
                let config = world.path(name).join("salus.toml");
                let text = std::fs::read_to_string(&config).unwrap();
                assert!(text.contains(&before_ledger.target), "{text}");
                let text = text.replace(&before_ledger.target, &before_ledger.url);
                std::fs::write(&config, text).unwrap();
            }
        }
        let recorders = BTreeMap::from([(VALIDATOR, before_ledger)]);
        let mut space = Self { world, nodes: BTreeMap::new(), recorders, epsilon };
        space.trust();
        for (name, devices) in HOSPITALS.into_iter().zip(DEVICES) {
            space.collect(name, devices);
        }
        for name in PARTIES.into_iter().chain(HOSPITALS) {
            space.start(name);
        }
        space
    }

    /// Everybody tells everybody the keys, as operators would.
    fn trust(&self) {
        for party in PARTIES {
            let keys = self.world.json(party, &["joint", "keys"]);
            let key = keys["party"].as_str().unwrap();
            for who in HOSPITALS.into_iter().chain(["uni"]) {
                self.world.json(who, &["joint", "trust-party", party, "--key", key]);
            }
        }
        for holder in HOSPITALS {
            let keys = self.world.json(holder, &["joint", "keys"]);
            let key = keys["holder"].as_str().unwrap();
            for party in PARTIES {
                self.world.json(party, &["joint", "trust-holder", holder, "--key", key]);
            }
        }
    }

    /// A fleet's reports through the collector, the profile, and the account on the ledger.
    fn collect(&self, name: &str, devices: u32) {
        let world = &self.world;
        let folder = world.path(name).join("drop");
        std::fs::create_dir_all(&folder).unwrap();
        let config = "publish_seconds = 1\n[folder]\npath = \"drop\"\n";
        std::fs::write(world.path(name).join("collect.toml"), config).unwrap();
        let (devices, domains) = (devices.to_string(), world.text("domains.toml"));
        let csv = folder.join("fleet.csv").display().to_string();
        let words = [
            "collect",
            "simulate",
            "--devices",
            &devices,
            "--seed",
            &devices,
            "--rounds",
            "1",
            "--csv",
            &csv,
            "--domains",
            &domains,
        ];
        world.json(name, &words);
        let collector = world.serve(name, &["collect", "run"]);
        let begun = std::time::Instant::now();
        while std::path::Path::new(&csv).exists() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the folder is not taken in");
            std::thread::sleep(Duration::from_millis(100));
        }
        collector.stop();
        let printed = world.json(name, &["collect", "profile", "--domains", &domains]);
        let toml = printed["toml"].as_str().unwrap();
        std::fs::write(world.path(name).join("privacy.toml"), toml).unwrap();
        world.json(name, &["dataset", "share", "devices", "--epsilon", self.epsilon]);
    }

    /// Starts a node; the university goes to it through a recorder.
    fn start(&mut self, name: &'static str) {
        let node = self.world.serve(name, &["node", "run"]);
        let recorder = Recorder::before(&node);
        let file = self.world.path(&format!("{name}.pem"));
        std::fs::write(&file, &recorder.ca).unwrap();
        let ca = file.display().to_string();
        self.world.json("uni", &["holder", "add", name, "--url", &recorder.url, "--ca", &ca]);
        self.nodes.insert(name, node);
        self.recorders.insert(name, recorder);
    }

    /// Kills a node; nobody listens where the university looks for it.
    fn kill(&mut self, name: &str) {
        let node = self.nodes.remove(name).unwrap();
        let url = node.told("http");
        node.kill();
        let ca = self.world.text(&format!("{name}.pem"));
        self.world.json("uni", &["holder", "add", name, "--url", &url, "--ca", &ca]);
    }

    fn permit(&self) -> String {
        self.permit_for("device_id,os_version,category,battery_percent,speciality:8")
    }

    /// A permit for these columns, and this much ε, at every hospital.
    pub(crate) fn permit_for(&self, columns: &str) -> String {
        let grounds: Vec<String> =
            HOSPITALS.iter().map(|name| format!("{name}/devices:{columns}")).collect();
        let mut words = vec!["permit", "apply"];
        grounds.iter().for_each(|ground| words.extend(["--ground", ground]));
        let applied = self.world.json("uni", &words)["permit"].as_str().unwrap().to_owned();
        self.world.json("hub", &["permit", "grant", &applied]);
        applied
    }

    /// What a hospital's own staff count, exactly.
    fn exact(&self, name: &str) -> BTreeMap<String, u64> {
        let sql = "SELECT os_version, count(*) AS n FROM devices GROUP BY os_version";
        let rows = self.world.json(name, &["sql", sql, "--role", "technician"]);
        let row = |row: &Json| {
            (row["os_version"].as_str().unwrap().to_owned(), row["n"].as_u64().unwrap())
        };
        rows.as_array().unwrap().iter().map(row).collect()
    }

    /// What each hospital's account has spent, in micro-ρ.
    fn spent(&self) -> Vec<u64> {
        let share = ["dataset", "share", "devices"];
        HOSPITALS
            .iter()
            .map(|name| self.world.json(name, &share)["spent"].as_u64().unwrap())
            .collect()
    }

    pub(crate) fn all_heard(&self) -> BTreeMap<&'static str, Vec<Heard>> {
        self.recorders.iter().map(|(name, recorder)| (*name, recorder.taken())).collect()
    }
}

/// Every group is within four half widths of the truth, of which each is missed once in 10^14.
fn near(answer: &Json, exact: &BTreeMap<String, u64>) {
    let rows = answer["rows"].as_array().unwrap();
    assert!(rows.len() >= exact.len(), "{answer}");
    for row in rows {
        let os = row["key"][0].as_str().unwrap();
        let truth = exact.get(os).copied().unwrap_or(0) as f64;
        let (value, upper) = (row["estimate"].as_f64().unwrap(), row["upper"].as_f64().unwrap());
        let half = upper - value;
        assert!(half > 0.0 && (value - truth).abs() <= 4.0 * half, "{os}: {row} for {truth}");
    }
}

fn total(parts: &[BTreeMap<String, u64>]) -> BTreeMap<String, u64> {
    let mut sum = BTreeMap::new();
    for part in parts {
        part.iter().for_each(|(os, n)| *sum.entry(os.clone()).or_insert(0) += n);
    }
    sum
}

/// The error that an answer states for its first group.
fn stated(answer: &Json) -> f64 {
    let row = &answer["rows"][0];
    row["upper"].as_f64().unwrap() - row["estimate"].as_f64().unwrap()
}

#[test]
fn devices_are_counted_over_three_hospitals_each_by_itself_and_all_together() {
    let mut space = Space::new();
    let permit = space.permit();
    let exact: Vec<_> = HOSPITALS.iter().map(|name| space.exact(name)).collect();
    let ask = |space: &Space, sql: &str, more: &[&str]| {
        let mut words = vec!["query", sql, "--permit", &permit, "--epsilon", "0.5"];
        words.extend(more);
        space.world.json("uni", &words)
    };

    let plan = ask(&space, BY_OS, &["--explain"]);
    assert_eq!(plan["holders"].as_array().unwrap().len(), 3, "{plan}");
    assert_eq!(space.spent(), [0, 0, 0], "a plan costs nothing");

    // Independently: three noises, three charges, three receipts.
    let apart = ask(&space, BY_OS, &[]);
    near(&apart, &total(&exact));
    assert_eq!(
        (apart["mode"].as_str(), apart["missing"].as_array().unwrap().len()),
        (Some("independent"), 0)
    );
    assert_eq!(apart["noise"][0].as_array().unwrap().len(), 3);
    assert!((apart["epsilon_spent"].as_f64().unwrap() - 0.5).abs() < 0.01, "{apart}");
    let once = space.spent();
    assert!(once.iter().all(|spent| *spent > 0 && *spent == once[0]), "{once:?}");
    let genesis = space.world.text("ledger/genesis.cbor");
    for receipt in apart["receipts"].as_array().unwrap() {
        let file = receipt.as_str().unwrap();
        let verify = ["ledger", "verify", "receipt", file, "--genesis", &genesis];
        let shown = space.world.json("none", &verify);
        assert_eq!(shown["permit"], permit.as_str());
    }
    let again = ask(&space, BY_OS, &[]);
    assert_eq!((again["repeated"].as_bool(), &again["rows"]), (Some(true), &apart["rows"]));
    assert_eq!(space.spent(), once);

    // Jointly: what passes is kept.
    let _ = space.all_heard();
    let joint = ask(&space, BY_OS, &["--joint"]);
    let heard = space.all_heard();
    near(&joint, &total(&exact));
    assert_eq!(joint["mode"], "joint");
    assert!(
        stated(&joint) < 0.8 * stated(&apart),
        "joint {} apart {}",
        stated(&joint),
        stated(&apart)
    );
    for receipt in joint["receipts"].as_array().unwrap() {
        let file = receipt.as_str().unwrap();
        space.world.json("none", &["ledger", "verify", "receipt", file, "--genesis", &genesis]);
    }
    let twice = space.spent();
    assert!(
        twice.iter().zip(&once).all(|(now, then)| *now == 2 * then),
        "{twice:?} after {once:?}"
    );
    let again = ask(&space, BY_OS, &["--joint"]);
    assert_eq!((again["repeated"].as_bool(), &again["rows"]), (Some(true), &joint["rows"]));
    assert_eq!(space.spent(), twice);
    nobody_heard_a_number(&heard, &exact);

    failures(&mut space, &permit, &exact);
}

/// Neither what parties nor what the asker received holds a hospital's own count, in any form.
fn nobody_heard_a_number(
    heard: &BTreeMap<&'static str, Vec<Heard>>,
    exact: &[BTreeMap<String, u64>],
) {
    let messages: Vec<Json> = heard
        .values()
        .flatten()
        .flat_map(|heard| [&heard.request, &heard.answer])
        .filter_map(|bytes| serde_json::from_slice(bytes).ok())
        .collect();
    assert!(heard.values().all(|of| !of.is_empty()), "a party or hospital was not heard at all");
    assert!(messages.len() >= 10, "{}", messages.len());
    let mut looked = 0;
    for own in exact {
        let all: u64 = own.values().sum();
        // Below 256 a number is a byte, which stands in every message.
        for number in own.values().copied().chain([all]).filter(|n| *n >= 256) {
            looked += 1;
            let found = messages.iter().any(|message| holds(message, number));
            assert!(!found, "a hospital's own number, {number}, is in the recording");
        }
    }
    println!("{} messages searched for {looked} numbers", messages.len());
    assert!(looked >= 9, "{looked}");
    // The search finds what is planted, in each of the forms.
    let own = exact[0].values().copied().max().unwrap();
    for planted in [
        serde_json::json!({ "count": own }),
        serde_json::json!({ "text": own.to_string() }),
        serde_json::json!({ "hex": u128::from(own).to_be_bytes().iter().map(|b| format!("{b:02x}")).collect::<String>() }),
        serde_json::json!({ "bytes": own.to_le_bytes() }),
        serde_json::json!({ "inner": serde_json::json!({ "count": own }).to_string() }),
    ] {
        assert!(holds(&planted, own), "{planted}");
    }
}

/// Hospitals fail before and after they are charged; nobody pays twice.
fn failures(space: &mut Space, permit: &str, exact: &[BTreeMap<String, u64>]) {
    let joint = |filter: &str, more: &[&'static str]| {
        let sql = BY_OS.replace("GROUP", &format!("WHERE {filter} GROUP"));
        let mut words = vec!["query".to_owned(), sql, "--permit".to_owned(), permit.to_owned()];
        words.extend(["--epsilon", "0.5"].map(str::to_owned));
        words.extend(more.iter().map(|word| (*word).to_owned()));
        words
    };
    let run = |space: &Space, asked: &[String]| {
        let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
        space.world.json("uni", &asked)
    };
    let before = space.spent();
    space.kill("st-clara");
    // Independent mode completes without it, and says so.
    let apart = run(space, &joint("speciality <> 'surgery'", &[]));
    assert_eq!(apart["missing"][0]["holder"], "st-clara", "{apart}");
    assert_eq!(apart["missing"][0]["reason"], "unreachable");
    near(&apart, &total(&exact[..2]));
    // Joint mode does, as far as the noise was sized for it.
    let asked = joint("speciality <> 'surgery'", &["--joint"]);
    let together = run(space, &asked);
    assert_eq!(together["missing"][0]["holder"], "st-clara", "{together}");
    near(&together, &total(&exact[..2]));
    let after = space.spent();
    let cost = after[0] - before[0];
    assert_eq!((after[1] - before[1], after[2] - before[2]), (cost, 0));
    // Where nobody may fail it fails clearly; the others are charged.
    let strict = joint("speciality <> 'podiatry'", &["--joint", "--may-fail", "0"]);
    let strict_words: Vec<&str> = strict.iter().map(String::as_str).collect();
    let (code, said) = space.world.failure("uni", &strict_words);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("st-clara") && said.contains("nothing was revealed"), "{said}");
    let charged = space.spent();
    assert_eq!(charged[0] - after[0], cost / 2);
    // It is back, and is asked again: it pays its part, and nobody else pays anything.
    space.start("st-clara");
    let answer = run(space, &strict);
    near(&answer, &total(exact));
    let last = space.spent();
    assert_eq!((last[0], last[1]), (charged[0], charged[1]), "charged twice");
    assert_eq!(last[2] - charged[2], cost / 2);
    // What was answered without it stays answered without it, for nothing.
    let same = run(space, &asked);
    assert_eq!(same["rows"], together["rows"]);
    assert_eq!(same["missing"][0]["holder"], "st-clara", "{same}");
    assert_eq!(space.spent(), last);
    // A party that is away stops the joint answer and says which.
    space.kill("registry");
    let other = joint("speciality <> 'dentistry'", &["--joint"]);
    let other: Vec<&str> = other.iter().map(String::as_str).collect();
    let (code, said) = space.world.failure("uni", &other);
    assert!(code == 4 && said.contains("registry"), "{code} {said}");
    assert_eq!(space.spent(), last, "nobody is asked when a party is away");
}

#[test]
fn who_is_not_trusted_takes_no_part_in_a_joint_answer() {
    let mut world = World::new(1);
    let permit = world.permit("patient_id,sex");
    let count = "SELECT count(*) FROM visits";
    let words = ["query", count, "--permit", &permit, "--epsilon", "0.5", "--joint"];
    let (code, said) = world.failure("uni", &words);
    assert!(code == 2 && said.contains("two parties"), "{code} {said}");
    // The university would like to be both parties itself.
    let own = world.json("uni", &["joint", "keys"]);
    let key = own["party"].as_str().unwrap().to_owned();
    let http = world.node().http();
    for party in ["one", "two"] {
        world.json("uni", &["joint", "trust-party", party, "--key", &key]);
    }
    let listed = world.json("uni", &["joint", "list"]);
    assert_eq!(listed["parties"].as_object().unwrap().len(), 2, "{listed}");
    let (code, said) = world.failure("uni", &words);
    assert!(code == 2 && said.contains("salus holder add"), "{code} {said}");
    // A node whose operator named nobody has no such routes, and answers no such question.
    let url = format!("{}/v1/joint/sums", world.node().told("http"));
    let (status, _) = http.ask("POST", &url, None, Some("{}")).unwrap();
    assert_eq!(status, 404);
    world.json("uni", &["joint", "distrust", "one"]);
    let (code, said) = world.failure("uni", &["joint", "distrust", "one"]);
    assert!(code == 2 && said.contains("not trusted"), "{code} {said}");
    assert_eq!(world.spent(), 0);
    // A party refuses what no holder sealed to it.
    let holder = world.json("st-mary", &["joint", "keys"]);
    let trusted = ["joint", "trust-holder", "st-mary", "--key", holder["holder"].as_str().unwrap()];
    world.json("st-mary", &trusted);
    world.hospital.take().unwrap().kill();
    world.start_hospital();
    let http = world.node().http();
    let url = format!("{}/v1/joint/sums", world.node().told("http"));
    let (status, said) = http.ask("POST", &url, None, Some("{}")).unwrap();
    assert!(status == 422 || status == 400, "{status} {said}");
    let keys = [own["party"].as_str().unwrap(), holder["party"].as_str().unwrap()];
    let invitation = serde_json::json!({
        "round": "r-1", "question": "00".repeat(32), "holders": ["st-mary", "uni"], "dishonest": 0,
        "unit_holders": 1, "most_rows": 10, "parties": keys,
    });
    let share =
        serde_json::json!({ "holder": "st-mary", "party": 1, "sealed": [1, 2], "signature": [3] });
    let body = serde_json::json!({
        "invitation": invitation, "holders": ["st-mary", "uni"], "shares": [share],
    });
    let (status, said) = http.ask("POST", &url, None, Some(&body.to_string())).unwrap();
    assert!(status == 403 && said.contains("not known"), "{status} {said}");
}
