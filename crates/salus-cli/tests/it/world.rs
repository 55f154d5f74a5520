//! A ledger with a hub, a hospital and a university, worked on through the binary.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

use crate::node::{Http, Served};

/// Patients of the hospital; each has one visit, every second is female.
pub(crate) const PATIENTS: usize = 2000;
/// Stands in every name and id, and nowhere else may it turn up.
pub(crate) const PLANTED: &str = "Plantedperson";

const SCHEMA: &str = r#"
dataset = "visits"
subject = "patient_id"
[[column]]
name = "patient_id"
type = "text"
class = "identifiers"
required = true
[[column]]
name = "sex"
type = "text"
class = "clinical"
[[column]]
name = "ward"
type = "text"
class = "clinical"
"#;

const PROFILE: &str = r#"
[visits]
unit_column = "patient_id"
unit = "patient"
contribution = [1, 1]
rows_per_unit = "many"
[visits.columns]
sex = { category = ["female", "male"] }
ward = "open"
"#;

pub(crate) const ANY_PORTS: [&str; 6] =
    ["--http", "127.0.0.1:0", "--postgres", "127.0.0.1:0", "--flight", "127.0.0.1:0"];

pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) validators: Vec<Served>,
    pub(crate) hospital: Option<Serving>,
}

/// A process that serves, and what it said when it was ready.
pub(crate) struct Serving {
    served: Served,
    pub(crate) ready: Json,
}

impl Serving {
    pub(crate) fn told(&self, key: &str) -> String {
        self.ready[key].as_str().unwrap_or_else(|| panic!("no {key} in {}", self.ready)).to_owned()
    }

    pub(crate) fn kill(mut self) {
        self.served.kill();
    }

    /// Asks it to stop, and waits; it must end well.
    pub(crate) fn stop(self) {
        assert!(self.served.stop());
    }

    pub(crate) fn http(&self) -> Http {
        Http::trusting(self.told("certificate").as_bytes())
    }
}

/// A question that counts, as JSON; `filter` is a JSON object or null.
pub(crate) fn count(filter: &str) -> String {
    format!(
        r#"{{"dataset":"visits","query":"count","filter":{filter},"spend":{{"rho":1000}},"mechanism":"gaussian"}}"#
    )
}

impl World {
    /// A ledger of so many validators, its members on it, the hospital's visits shared, its node
    /// running.
    pub(crate) fn new(validators: usize) -> Self {
        Self::prepared(validators, "", |_| {})
    }

    /// The same, with lines at the end of each validator's configuration, and more work at the
    /// hospital before its node runs.
    pub(crate) fn prepared(validators: usize, lines: &str, more: impl FnOnce(&Self)) -> Self {
        let members = ["hub:administrator,officer", "st-mary:holder", "uni:research"];
        let mut world = Self::founded(validators, lines, &members);
        world.import();
        world.json("st-mary", &["dataset", "share", "visits", "--epsilon", "10"]);
        more(&world);
        world.start_hospital();
        world
    }

    /// A ledger of so many validators, and a site for each of its members, as `NAME:ROLE,ROLE`.
    pub(crate) fn founded(validators: usize, lines: &str, members: &[&str]) -> Self {
        let mut world = Self::empty();
        let (number, ledger) = (validators.to_string(), world.text("ledger"));
        let mut words = vec!["ledger", "dev", &number, "--folder", &ledger];
        members.iter().for_each(|member| words.extend(["--member", member]));
        world.json("hub", &words);
        for number in 1..=validators {
            let config = world.path(&format!("ledger/val-{number:02}/validator.toml"));
            let text = std::fs::read_to_string(&config).unwrap();
            std::fs::write(&config, format!("{text}\n{lines}")).unwrap();
            let served = world.serve_validator(number);
            world.validators.push(served);
        }
        for name in members.iter().filter_map(|member| member.split(':').next()) {
            std::fs::create_dir_all(world.path(name)).unwrap();
            let mut words = vec!["init", "--holder", name];
            words.extend(ANY_PORTS);
            world.json(name, &words);
            let file = world.text(&format!("ledger/members/{name}.member"));
            world.json(name, &["ledger", "join", &file]);
        }
        world
    }

    /// A folder in which nothing has been made yet.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), validators: Vec::new(), hospital: None }
    }

    pub(crate) fn import(&self) {
        let mut csv = "patient_id,sex,ward\n".to_owned();
        for n in 0..PATIENTS {
            let sex = if n % 2 == 0 { "female" } else { "male" };
            csv.push_str(&format!("{PLANTED}{n},{sex},w{}\n", n % 5));
        }
        std::fs::write(self.path("visits.csv"), csv).unwrap();
        std::fs::write(self.path("visits.toml"), SCHEMA).unwrap();
        std::fs::write(self.path("st-mary/privacy.toml"), PROFILE).unwrap();
        let (csv, schema) = (self.text("visits.csv"), self.text("visits.toml"));
        self.json("st-mary", &["import", &csv, "--schema", &schema]);
        std::fs::remove_file(self.path("visits.csv")).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn command(&self, site: &str, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_salus"));
        command
            .arg("--json")
            .arg("--site")
            .arg(self.path(site))
            .args(words)
            .env("SALUS_PASSPHRASE", "correct horse battery")
            .env("SALUS_MEMBER_PASSPHRASE", "correct horse battery")
            .env("USER", "tester");
        command
    }

    pub(crate) fn serve_validator(&self, number: usize) -> Served {
        let folder = self.text(&format!("ledger/val-{number:02}"));
        let mut served = Served::spawn(self.command("none", &["ledger", "serve", &folder]));
        served.json();
        served
    }

    /// Starts a command of a site that serves until it is stopped.
    pub(crate) fn serve(&self, site: &str, words: &[&str]) -> Serving {
        let mut served = Served::spawn(self.command(site, words));
        let ready = served.json();
        Serving { served, ready }
    }

    pub(crate) fn start_hospital(&mut self) {
        let node = self.serve("st-mary", &["node", "run"]);
        std::fs::write(self.path("st-mary.pem"), node.told("certificate")).unwrap();
        let (url, ca) = (node.told("http"), self.text("st-mary.pem"));
        self.json("uni", &["holder", "add", "st-mary", "--url", &url, "--ca", &ca]);
        self.hospital = Some(node);
    }

    pub(crate) fn node(&self) -> &Serving {
        self.hospital.as_ref().unwrap()
    }

    fn run(&self, site: &str, words: &[&str]) -> Output {
        self.command(site, words).stdin(Stdio::null()).output().unwrap()
    }

    /// The JSON that a command prints; it must succeed.
    pub(crate) fn json(&self, site: &str, words: &[&str]) -> Json {
        let output = self.run(site, words);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{site} {words:?}: {text}{errors}");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{words:?}: {e}: {text}"))
    }

    /// The exit code and the message of a command that must fail.
    pub(crate) fn failure(&self, site: &str, words: &[&str]) -> (i32, String) {
        let output = self.run(site, words);
        assert!(!output.status.success(), "{site} {words:?} succeeded");
        let said: Json = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), said["error"].as_str().unwrap().to_owned())
    }

    /// A permit's id, applied for over these columns.
    pub(crate) fn apply(&self, columns: &str, more: &[&str]) -> String {
        let ground = format!("st-mary/visits:{columns}:5");
        let mut words = vec!["permit", "apply", "--ground", &ground];
        words.extend(more);
        self.json("uni", &words)["permit"].as_str().unwrap().to_owned()
    }

    pub(crate) fn permit(&self, columns: &str) -> String {
        let permit = self.apply(columns, &[]);
        self.json("hub", &["permit", "grant", &permit]);
        permit
    }

    fn question(&self, text: &str) -> String {
        let path = self.text("question.json");
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn ask(&self, permit: &str, question: &str, epsilon: &str) -> Json {
        let file = self.question(question);
        self.json("uni", &["query", "--permit", permit, "--question", &file, "--epsilon", epsilon])
    }

    pub(crate) fn refused(&self, permit: &str, question: &str) -> (i32, String) {
        let file = self.question(question);
        self.failure("uni", &["query", "--permit", permit, "--question", &file, "--epsilon", "0.5"])
    }

    /// What the dataset's account has spent, as `dataset share` tells it, in micro-ρ.
    pub(crate) fn spent(&self) -> u64 {
        self.json("st-mary", &["dataset", "share", "visits"])["spent"].as_u64().unwrap()
    }
}
