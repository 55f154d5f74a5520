//! What each role does in the console, in a real browser against the real program.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::world::World;

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
        let stay = 1 + age / 8 + n * 29 % 7;
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

fn web() -> PathBuf {
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

/// The journey's scripts beside their packages, outside of the source tree.
fn workplace() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for file in ["sites.mjs", "totp.mjs"] {
        std::fs::copy(web().join("test").join(file), place.path().join(file)).unwrap();
    }
    let packages = packages().join("node_modules");
    std::os::unix::fs::symlink(packages, place.path().join("node_modules")).unwrap();
    place
}

fn code(world: &World, site: &str, login: &str, name: &str, role: &str) -> String {
    let words = ["account", "create", login, "--name", name, "--role", role];
    world.json(site, &words)["code"].as_str().unwrap().to_owned()
}

/// Administrator, officer, researcher, steward and auditor do their work, by mouse and keyboard,
/// without any violation that axe finds; no request leaves the origin, and the researcher's keys
/// do not reach the node.
#[test]
fn each_role_does_its_work_in_a_browser() {
    assert!(salus_console::is_built(), "the console is not in this build: Node 20 and npm needed");
    let world = World::prepared(1, "[explorer]\n", vitals);
    let ground = "st-mary/vitals:patient_id,sex,ward,age,stay:5";
    let applied = world.json("uni", &["permit", "apply", "--ground", ground]);
    let permit = applied["permit"].as_str().unwrap().to_owned();
    let key = world.json("uni", &["permit", "key", &permit, "--out", &world.text("permit.json")]);
    let (uni, hub) = (world.serve("uni", &["node", "run"]), world.serve("hub", &["node", "run"]));
    let place = workplace();
    let mut journey = Command::new(salus_testkit::program("node", "nodejs"));
    journey
        .current_dir(place.path())
        .arg("sites.mjs")
        .env("SALUS_CHROMIUM", salus_testkit::program("chromium", "chromium"))
        .env("SALUS_UNI", uni.told("http"))
        .env("SALUS_HUB", hub.told("http"))
        .env("SALUS_HOSPITAL", world.node().told("http"))
        .env("SALUS_UNI_CODE", code(&world, "uni", "h.lind", "Hanna Lind", "administrator"))
        .env("SALUS_HUB_CODE", code(&world, "hub", "o.berg", "Olga Berg", "steward"))
        .env("SALUS_HOSPITAL_CODE", code(&world, "st-mary", "s.roth", "Sara Roth", "steward"))
        .env("SALUS_PERMIT", &permit)
        .env("SALUS_KEY_FILE", world.path("permit.json"))
        .env("SALUS_KEY_CODE", key["code"].as_str().unwrap());
    if std::env::var_os("SALUS_SCREENSHOTS").is_some_and(|v| v == "write") {
        let folder = web().join("../docs/screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        journey.env("SALUS_SCREENSHOTS", folder.canonicalize().unwrap());
    }
    let output = journey.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{errors}");
    println!("{told}");

    // What the browser asked, the ledger has: two answers, one of them repeated for nothing.
    let shown = world.json("uni", &["permit", "show", &permit]);
    let spent = shown["grounds"][0]["epsilon_spent"].as_f64().unwrap();
    assert!(spent > 0.0, "{shown}");
}
