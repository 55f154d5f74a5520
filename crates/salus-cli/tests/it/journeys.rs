//! What each role does in the console, in a real browser against the real program.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use crate::world::{Serving, World};

const VITALS: &str = r#"
dataset = "vitals"
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
[[column]]
name = "age"
type = "integer"
class = "clinical"
[[column]]
name = "stay"
type = "integer"
class = "clinical"
"#;

const PROFILE: &str = r#"
[vitals]
unit_column = "patient_id"
unit = "patient"
contribution = [1, 1]
rows_per_unit = "one"
[vitals.columns]
sex = { category = ["female", "male"] }
ward = { category = ["cardiology", "geriatrics", "intensive care", "oncology", "surgery"] }
age = { number = [0, 110, 0] }
stay = { number = [0, 40, 0] }
"#;

/// Patients whose ages are not alike from ward to ward, so that the charts have something to show.
fn vitals(world: &World) {
    const WARDS: [(&str, u32); 5] = [
        ("cardiology", 58),
        ("geriatrics", 74),
        ("intensive care", 50),
        ("oncology", 54),
        ("surgery", 38),
    ];
    let mut csv = "patient_id,sex,ward,age,stay\n".to_owned();
    for n in 0..3000u32 {
        // A few of these leave a lopsided number in each ward, and hills of ages.
        let ward = (n % 7).min(4) as usize;
        let (name, middle) = WARDS[ward];
        let spread = (n * 37 % 23 + n * 53 % 19) / 2;
        let sex = if (n / 3) % 2 == 0 { "female" } else { "male" };
        let age = middle + spread;
        // An eighth of a day more for each year, and up to six days more or less by chance.
        let stay = 1 + age / 8 + n / 7 % 7;
        csv.push_str(&format!("V{n},{sex},{name},{age},{stay}\n"));
    }
    // One record that no import takes, for the quarantine.
    csv.push_str("V9999,female,surgery,unknown,3\n");
    std::fs::write(world.path("vitals.csv"), csv).unwrap();
    std::fs::write(world.path("vitals.toml"), VITALS).unwrap();
    let path = world.path("st-mary/privacy.toml");
    let profiles = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{profiles}{PROFILE}")).unwrap();
    let (file, schema) = (world.text("vitals.csv"), world.text("vitals.toml"));
    world.json("st-mary", &["import", &file, "--schema", &schema]);
    world.json("st-mary", &["dataset", "share", "vitals", "--epsilon", "10"]);
}

/// Patients as FHIR, one of whom no import takes, and a server to pull from that refuses everybody.
fn fhir(world: &World) {
    let mut lines: Vec<String> = (0..40)
        .map(|n| format!(r#"{{"resourceType":"Patient","id":"p{n}","gender":"female"}}"#))
        .collect();
    lines.push(r#"{"resourceType":"Patient","id":"p40","birthDate":"last spring"}"#.to_owned());
    std::fs::write(world.path("patients.ndjson"), lines.join("\n")).unwrap();
    world.json("st-mary", &["import", "--fhir", &world.text("patients.ndjson")]);
    let path = world.path("st-mary/salus.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let source = format!(
        "\n[[fhir.source]]\nname = \"clinic\"\nurl = \"http://127.0.0.1:{}/fhir\"\n",
        refusing()
    );
    std::fs::write(&path, config + &source).unwrap();
}

/// The port of a server that answers every request with 403.
fn refusing() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(
                b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
    });
    port
}

/// How many devices the hospital has.
const DEVICES: u32 = 60;

/// A collector at the hospital, to which its whole fleet has reported.
fn fleet(world: &World) -> Serving {
    let config = "publish_seconds = 1\n[http]\nlisten = \"127.0.0.1:0\"\n\
                  [alerts]\nmissed_intervals = 5\nlow_battery_percent = 40.0\nadvisories = []\n";
    std::fs::write(world.path("st-mary/collect.toml"), config).unwrap();
    let collector = world.serve("st-mary", &["collect", "run"]);
    std::fs::write(world.path("collector.pem"), collector.told("certificate")).unwrap();
    let (devices, secret) = (DEVICES.to_string(), world.text("devices.secret"));
    let (http, ca) = (collector.told("http"), world.text("collector.pem"));
    let simulate = |more: &[&str]| {
        let mut words = vec!["collect", "simulate", "--devices", &devices, "--rounds", "2"];
        words.extend(["--secret", &secret]);
        words.extend(more);
        world.json("st-mary", &words)
    };
    simulate(&["--enrol"]);
    // The list is taken up within a second, while the collector runs.
    std::thread::sleep(Duration::from_millis(2_500));
    simulate(&["--http", &http, "--ca", &ca, "--until", "2026-09-01T00:00:00Z"]);
    let begun = Instant::now();
    loop {
        // None before the first report was published.
        let status = world.json("st-mary", &["collect", "status"]);
        if status["devices"].as_u64() == Some(DEVICES.into()) {
            return collector;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{status}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

pub(crate) fn web() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web")
}

/// The packages of the lock file, as the test of the explorer keeps them too.
fn packages() -> PathBuf {
    let lock = std::fs::read(web().join("package-lock.json")).unwrap();
    let cache = salus_testkit::cache_dir().join("npm");
    let kept = cache.join(format!("salus-console-{}", hex::encode(&Sha256::digest(&lock)[..8])));
    if kept.exists() {
        return kept;
    }
    std::fs::create_dir_all(&cache).unwrap();
    let beside = tempfile::tempdir_in(&cache).unwrap();
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(web().join(file), beside.path().join(file)).unwrap();
    }
    let mut npm = Command::new(salus_testkit::program("npm", "npm"));
    npm.current_dir(beside.path()).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    assert!(npm.status().unwrap().success(), "npm ci failed");
    if std::fs::rename(beside.path(), &kept).is_err() {
        assert!(kept.exists(), "the packages cannot be kept in {}", kept.display());
    }
    kept
}

/// A journey in a browser: its script, beside what it shares with others and its packages, outside
/// of the source tree.
pub(crate) struct Journey {
    place: tempfile::TempDir,
    command: Command,
}

impl Journey {
    pub(crate) fn new(script: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        for file in [script, "browser.mjs", "totp.mjs"] {
            std::fs::copy(web().join("test").join(file), place.path().join(file)).unwrap();
        }
        let packages = packages().join("node_modules");
        std::os::unix::fs::symlink(packages, place.path().join("node_modules")).unwrap();
        let mut command = Command::new(salus_testkit::program("node", "nodejs"));
        let chromium = salus_testkit::program("chromium", "chromium");
        command.current_dir(place.path()).arg(script).env("SALUS_CHROMIUM", chromium);
        if std::env::var_os("SALUS_SCREENSHOTS").is_some_and(|v| v == "write") {
            let folder = web().join("../docs/screenshots");
            std::fs::create_dir_all(&folder).unwrap();
            command.env("SALUS_SCREENSHOTS", folder.canonicalize().unwrap());
        } else {
            command.env_remove("SALUS_SCREENSHOTS");
        }
        Self { place, command }
    }

    pub(crate) fn tell(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Goes it to its end.
    pub(crate) fn go(mut self) {
        let output = self.command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}\n{errors}");
        println!("{told}");
        drop(self.place);
    }
}

pub(crate) fn code(world: &World, site: &str, login: &str, name: &str, role: &str) -> String {
    let words = ["account", "create", login, "--name", name, "--role", role];
    world.json(site, &words)["code"].as_str().unwrap().to_owned()
}

/// Administrator, officer, researcher, steward, technician and auditor do their work, by mouse and keyboard,
/// without any violation that axe finds; no request leaves the origin, and the researcher's keys
/// do not reach the node.
#[test]
fn each_role_does_its_work_in_a_browser() {
    assert!(salus_console::is_built(), "the console is not in this build: Node 20 and npm needed");
    let world = World::prepared(1, "[explorer]\n", |world| {
        vitals(world);
        fhir(world);
    });
    let _collector = fleet(&world);
    let ground = "st-mary/vitals:patient_id,sex,ward,age,stay:5";
    let applied = world.json("uni", &["permit", "apply", "--ground", ground]);
    let permit = applied["permit"].as_str().unwrap().to_owned();
    let key = world.json("uni", &["permit", "key", &permit, "--out", &world.text("permit.json")]);
    let (uni, hub) = (world.serve("uni", &["node", "run"]), world.serve("hub", &["node", "run"]));
    Journey::new("sites.mjs")
        .tell("SALUS_UNI", uni.told("http"))
        .tell("SALUS_HUB", hub.told("http"))
        .tell("SALUS_HOSPITAL", world.node().told("http"))
        .tell("SALUS_UNI_CODE", code(&world, "uni", "h.lind", "Hanna Lind", "administrator"))
        .tell(
            "SALUS_HUB_ADMINISTRATOR_CODE",
            code(&world, "hub", "k.holm", "Karl Holm", "administrator"),
        )
        .tell("SALUS_HUB_CODE", code(&world, "hub", "o.berg", "Olga Berg", "steward"))
        .tell("SALUS_HOSPITAL_CODE", code(&world, "st-mary", "s.roth", "Sara Roth", "steward"))
        .tell(
            "SALUS_TECHNICIAN_CODE",
            code(&world, "st-mary", "t.novak", "Tereza Novák", "technician"),
        )
        .tell("SALUS_FLEET", world.json("st-mary", &["collect", "status"]).to_string())
        .tell("SALUS_PERMIT", &permit)
        .tell("SALUS_KEY_FILE", world.path("permit.json"))
        .tell("SALUS_KEY_CODE", key["code"].as_str().unwrap())
        .go();

    // What the browser asked, the ledger has: two answers, one of them repeated for nothing.
    let shown = world.json("uni", &["permit", "show", &permit]);
    let spent = shown["grounds"][0]["epsilon_spent"].as_f64().unwrap();
    assert!(spent > 0.0, "{shown}");
}
