//! Datasets of a site released as others: under a permit, charged, published, and those who try
//! otherwise.

use std::collections::BTreeMap;
use std::path::PathBuf;

use salus_crypto::aead::Aad;
use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_model::Secret;
use salus_node::Site;
use salus_store::{open_sealed, seal_object};

use crate::permits::SlowLine;
use crate::site::stands_below;
use crate::world::World;

/// People of the hospital's stays; one has one stay.
const PEOPLE: usize = 2400;
/// Of them, the last so many were alone in ward `isolation`.
const ISOLATED: usize = 400;
/// Stands in every id, and nowhere else may it turn up.
pub(crate) const PLANTED: &str = "Plantedstay";

const SCHEMA: &str = r#"
dataset = "stays"
subject = "patient_id"
[[column]]
name = "patient_id"
type = "text"
class = "identifiers"
required = true
[[column]]
name = "sex"
type = "text"
class = "quasi"
[[column]]
name = "age"
type = "integer"
class = "quasi"
[[column]]
name = "ward"
type = "text"
class = "clinical"
[[column]]
name = "admitted"
type = "date"
class = "clinical"
[[column]]
name = "note"
type = "text"
class = "freetext"
"#;

const PROFILE: &str = r#"
[stays]
unit_column = "patient_id"
unit = "patient"
contribution = [1, 1]
rows_per_unit = "one"
[stays.columns]
sex = { category = ["female", "male"] }
age = { number = [0, 120, 0] }
ward = { category = ["surgery", "medicine", "isolation"] }
admitted = { instant = [1767225600, 1798761600, 0] }
note = "open"
"#;

pub(crate) const COLUMNS: &str = "patient_id,sex,age,ward,admitted";

const PLAN: &str = r#"
purpose = "teach students what a ward's stays look like"
[synthesise]
method = "mst"
epsilon = 3
rows = 1500
[publish]
dataset = "stays_synthetic"
certificate = "stays.pdf"
least-score = 20
"#;

pub(crate) fn stays(world: &World, share: &[&str]) {
    let mut csv = "patient_id,sex,age,ward,admitted,note\n".to_owned();
    for n in 0..PEOPLE {
        let isolated = n >= PEOPLE - ISOLATED;
        let sex = if n % 2 == 0 { "female" } else { "male" };
        let ward = match (isolated, n % 3) {
            (true, _) => "isolation",
            (false, 0) => "surgery",
            (false, _) => "medicine",
        };
        // Nobody else is so old.
        let age = if isolated { 105 + n % 10 } else { 20 + n % 60 };
        let (month, day) = (1 + n % 12, 1 + n % 28);
        csv.push_str(&format!(
            "{PLANTED}{n},{sex},{age},{ward},2026-{month:02}-{day:02},seen by {PLANTED}doctor\n"
        ));
    }
    std::fs::write(world.path("stays.csv"), csv).unwrap();
    std::fs::write(world.path("stays.toml"), SCHEMA).unwrap();
    let profiles = world.path("st-mary/privacy.toml");
    let before = std::fs::read_to_string(&profiles).unwrap();
    std::fs::write(&profiles, before + PROFILE).unwrap();
    let (csv, schema) = (world.text("stays.csv"), world.text("stays.toml"));
    world.json("st-mary", &["import", &csv, "--schema", &schema]);
    std::fs::remove_file(world.path("stays.csv")).unwrap();
    world.json("st-mary", &[&["dataset", "share", "stays"], share].concat());
}

fn world() -> World {
    World::prepared(1, "", |world| stays(world, &["--epsilon", "10"]))
}

/// A permit of the hospital's own steward.
fn permit(world: &World, columns: &str, epsilon: &str) -> String {
    let ground = format!("st-mary/stays:{columns}:{epsilon}");
    let applied = world.json("st-mary", &["permit", "apply", "--ground", &ground]);
    let permit = applied["permit"].as_str().unwrap().to_owned();
    world.json("hub", &["permit", "grant", &permit]);
    permit
}

/// What the account has spent, in micro-ρ.
fn spent(world: &World) -> u64 {
    world.json("st-mary", &["dataset", "share", "stays"])["spent"].as_u64().unwrap()
}

pub(crate) fn plan(world: &World, text: &str) -> String {
    let path = world.text("plan.toml");
    std::fs::write(&path, text).unwrap();
    path
}

/// The table that another organisation fetches, which has no permit.
fn fetched(world: &World, dataset: &str) -> Vec<BTreeMap<String, String>> {
    let (out, name) = (world.text("fetched.csv"), format!("st-mary/{dataset}"));
    let said = world.json("uni", &["published", "fetch", &name, "--out", &out]);
    assert_eq!(said["verified"], true, "{said}");
    let text = std::fs::read_to_string(&out).unwrap();
    std::fs::remove_file(&out).unwrap();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines
        .map(|line| {
            let fields = line.split(',').map(str::to_owned);
            names.iter().map(|n| (*n).to_owned()).zip(fields).collect()
        })
        .collect()
}

fn share_of(rows: &[BTreeMap<String, String>], column: &str, value: &str) -> f64 {
    rows.iter().filter(|row| row[column] == value).count() as f64 / rows.len() as f64
}

#[test]
fn a_dataset_is_released_under_a_permit_and_everybody_can_fetch_what_came_of_it() {
    let mut world = world();
    let permit = permit(&world, COLUMNS, "5");
    let path = plan(&world, PLAN);
    let words = ["release", "stays", "--plan", &path, "--permit", &permit];
    let done = world.json("st-mary", &words);
    assert_eq!(done["of"], "dataset");
    let published = &done["published"];
    assert_eq!(
        (published["source"].as_str(), published["kind"].as_str()),
        (Some("stays"), Some("synthetic"))
    );
    assert_eq!(published["records"], 1500);
    let columns: Vec<(&str, &str)> = published["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["name"].as_str().unwrap(), c["holds"].as_str().unwrap()))
        .collect();
    let wanted = [("admitted", "date"), ("age", "integer"), ("sex", "text"), ("ward", "text")];
    assert_eq!(columns, wanted, "{published}");
    // Charged what the synthesis says, once, on the dataset's one account.
    let charged = done["charged"]["micro_rho"].as_u64().unwrap();
    assert!(charged > 0 && published["micro_rho"] == charged, "{done}");
    assert!(done["charged"]["epsilon"].as_f64().unwrap() <= 3.0 + 1e-9, "{done}");
    assert_eq!(spent(&world), charged);
    let used = &done["receipt"]["uses"][0];
    assert_eq!((used["dataset"].as_str(), used["optout_epoch"].as_u64()), (Some("stays"), Some(0)));
    assert_eq!(
        used["columns"],
        serde_json::json!(["admitted", "age", "patient_id", "sex", "ward"])
    );
    assert_eq!(published["artefact"].as_str().unwrap().len(), 64, "{published}");
    let certificate = std::fs::read(done["certificate"].as_str().unwrap()).unwrap();
    assert!(certificate.starts_with(b"%PDF"));
    // What was measured on the records is for the steward, and not in the certificate for all.
    assert!(done["report"]["assessment"]["sample_unique"].is_number(), "{done}");

    // In the lake, encrypted like every dataset, and on the ledger with nothing left to spend.
    let shown = world.json("st-mary", &["dataset", "show", "stays_synthetic"]);
    assert_eq!(shown["rows"], 1500, "{shown}");
    let verified = world.json("st-mary", &["dataset", "verify", "stays_synthetic"]);
    assert_eq!(verified[0]["findings"], serde_json::json!([]), "{verified}");
    let account = world.json("st-mary", &["dataset", "share", "stays_synthetic"]);
    assert_eq!(
        (account["account"]["budget"].as_u64(), account["committed"].as_u64()),
        (Some(0), Some(0))
    );
    for needle in ["admitted,age,sex,ward", "isolation,2026", PLANTED] {
        assert!(!stands_below(&world.path("st-mary"), needle), "{needle} lies in the clear");
    }

    // The same command once more: nothing is computed or charged.
    let again = world.json("st-mary", &words);
    assert!(again["charged"].is_null(), "{again}");
    assert_eq!(again["published"], *published);
    assert_eq!(spent(&world), charged);
    // Another plan cannot take the name, nor can a dataset that is there.
    let other = plan(&world, &PLAN.replace("rows = 1500", "rows = 1000"));
    let words = ["release", "stays", "--plan", &other, "--permit", &permit];
    let (code, said) = world.failure("st-mary", &words);
    assert!(code == 2 && said.contains("another plan"), "{code} {said}");
    let taken = plan(&world, &PLAN.replace("stays_synthetic", "visits"));
    let words = ["release", "stays", "--plan", &taken, "--permit", &permit];
    let (code, said) = world.failure("st-mary", &words);
    assert!(code == 2 && said.contains("dataset visits already"), "{code} {said}");

    // A researcher of another organisation, without a permit.
    let listed = world.json("uni", &["published", "list", "--holder", "st-mary"]);
    assert_eq!(listed[0], *published, "{listed}");
    let rows = fetched(&world, "stays_synthetic");
    assert_eq!(rows.len(), 1500);
    // Like the real ones: at ρ of ε = 3 a share of 2,400 people has a standard error below 0.01,
    // and one of 1,500 sampled records 0.013.
    for (column, value, share) in
        [("sex", "female", 0.5), ("ward", "isolation", ISOLATED as f64 / PEOPLE as f64)]
    {
        let found = share_of(&rows, column, value);
        println!("{column} = {value}: n = 1500, share {found:.4}, expected {share:.4} ± 0.08");
        assert!((found - share).abs() < 0.08, "{column} = {value}: {found}");
    }
    // A page of certificates never runs in the console's origin.
    let (http, node) = (world.node().http(), world.node().told("http"));
    let page = format!("{node}/v1/published/stays_synthetic/certificate.html");
    let (status, html) = http.ask("GET", &page, None, None).unwrap();
    assert_eq!(status, 200, "{html}");
    assert!(html.contains("differential privacy") && !html.contains("Assessed:"), "{html}");
    for wrong in ["stays/records.csv", "stays_synthetic/records.xls", "..%2f/records.csv"] {
        let (status, said) =
            http.ask("GET", &format!("{node}/v1/published/{wrong}"), None, None).unwrap();
        assert_eq!(status, 404, "{wrong}: {said}");
    }
    // Without a node the list is the same.
    world.hospital.take().unwrap().stop();
    assert_eq!(world.json("st-mary", &["published", "list"])[0], *published);
}

#[test]
fn who_opts_out_is_in_nothing_that_is_released() {
    let world = world();
    let permit = permit(&world, COLUMNS, "8");
    let released = |name: &str| {
        let path = plan(&world, &PLAN.replace("stays_synthetic", name));
        let words = ["release", "stays", "--plan", &path, "--permit", &permit];
        let done = world.json("st-mary", &words);
        (fetched(&world, name), done)
    };
    let old = |rows: &[BTreeMap<String, String>]| {
        let age = |row: &BTreeMap<String, String>| row["age"].parse::<u32>().unwrap_or(0);
        rows.iter().filter(|row| age(row) >= 105).count()
    };
    let (before, _) = released("before");
    println!(
        "before: n = {}, isolated {}, aged {}",
        before.len(),
        share_of(&before, "ward", "isolation"),
        old(&before)
    );
    assert!(share_of(&before, "ward", "isolation") > 0.08 && old(&before) > 100);
    let people: String = (PEOPLE - ISOLATED..PEOPLE).map(|n| format!("{PLANTED}{n}\n")).collect();
    std::fs::write(world.path("people"), people).unwrap();
    let from = world.text("people");
    world.json("st-mary", &["optout", "add", "--from", &from]);
    std::fs::remove_file(world.path("people")).unwrap();
    let (after, done) = released("after");
    assert_eq!(done["receipt"]["uses"][0]["optout_epoch"], 1, "{done}");
    // Those alone were in isolation and so old: what is left of either is the noise of empty
    // values, a few standard errors of 1/2000 each.
    println!(
        "after: n = {}, isolated {}, aged {}",
        after.len(),
        share_of(&after, "ward", "isolation"),
        old(&after)
    );
    assert!(share_of(&after, "ward", "isolation") < 0.02, "opted out, and released");
    assert!(old(&after) < 60, "opted out, and released: {}", old(&after));
}

#[test]
fn what_permit_profile_or_account_do_not_allow_is_not_released() {
    let world = world();
    let narrow = permit(&world, "patient_id,sex,age", "2");
    let refused = |text: &str, permit: &str, parts: &[&str]| {
        let path = plan(&world, text);
        let words = ["release", "stays", "--plan", &path, "--permit", permit];
        let (code, said) = world.failure("st-mary", &words);
        println!("{code} {said}");
        for part in parts {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        code
    };
    let small = PLAN.replace("epsilon = 3", "epsilon = 1");
    // A column outside the permit.
    let outside = small.replace("[synthesise]", "columns = [\"sex\", \"ward\"]\n[synthesise]");
    assert_eq!(refused(&outside, &narrow, &["column ward"]), 3);
    // A column whose values are not publicly known.
    let all = permit(&world, "patient_id,sex,age,note", "2");
    assert_eq!(refused(&small, &all, &["column 'note'", "no public domain"]), 2);
    let closed = small.replace("rows =", "without = [\"note\"]\nrows =");
    let unknown = small.replace("rows =", "without = [\"shoe-size\"]\nrows =");
    assert_eq!(refused(&unknown, &all, &["shoe-size"]), 2);
    // More than is left.
    assert_eq!(refused(PLAN, &narrow, &["may cost up to ε = 3", "nothing was read"]), 3);
    // A file of records without a bound, from a dataset that takes bounded releases only.
    let anonymising =
        "purpose = \"p\"\n[anonymise]\nk = 5\n[publish]\ndataset = \"x\"\nleast-score = 1\n";
    assert_eq!(refused(anonymising, &narrow, &["bounded privacy loss only"]), 3);
    // What a site's dataset has elsewhere.
    for (line, part) in [
        ("domains-are-public = true", "'domains-are-public'"),
        ("person = \"sex\"", "'person'"),
        ("delta = 1e-3", "'delta'"),
        ("bounds = [\"age=0:5\"]", "'bounds'"),
    ] {
        let text = small.replace("rows =", &format!("{line}\nrows ="));
        assert_eq!(refused(&text, &narrow, &[part]), 2);
    }
    let to_file = small.replace("dataset = \"stays_synthetic\"", "out = \"x.csv\"");
    assert_eq!(refused(&to_file, &narrow, &["plain files"]), 2);
    // Not granted, and not one's own.
    let ground = format!("st-mary/stays:{COLUMNS}:2");
    let applied = world.json("st-mary", &["permit", "apply", "--ground", &ground]);
    let applied = applied["permit"].as_str().unwrap();
    assert_eq!(refused(&small, applied, &["not granted"]), 3);
    let foreign = world.apply("patient_id,sex", &[]);
    assert_eq!(refused(&small, &foreign, &["not in this site"]), 2);
    // A key that was taken away.
    world.json("st-mary", &["keys", "revoke", "stays.quasi"]);
    let code = refused(&closed, &all, &["key"]);
    assert_eq!(code, 3);
    world.json("st-mary", &["keys", "reinstate", "stays.quasi"]);
    assert_eq!(spent(&world), 0, "nothing was charged for what was refused");
    assert_eq!(world.json("st-mary", &["published", "list"]), serde_json::json!([]));
    let path = plan(&world, &closed);
    world.json("st-mary", &["release", "stays", "--plan", &path, "--permit", &all]);
}

#[test]
fn a_plan_below_its_threshold_publishes_nothing_and_says_what_was_charged() {
    let world = world();
    let permit = permit(&world, COLUMNS, "5");
    let path = plan(&world, &PLAN.replace("least-score = 20", "least-score = 100"));
    let words = ["release", "stays", "--plan", &path, "--permit", &permit];
    let withheld = || {
        let output = world.command("st-mary", &words).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let said = withheld();
    assert!(said["withheld"].as_str().unwrap().contains("nothing was published"), "{said}");
    let charged = said["charged"]["micro_rho"].as_u64().unwrap();
    assert!(charged > 0 && said["published"].is_null() && said["certificate"].is_null(), "{said}");
    assert_eq!(spent(&world), charged);
    let (code, _) = world.failure("st-mary", &["dataset", "show", "stays_synthetic"]);
    assert_eq!(code, 2);
    // Asked again it is the same attempt, and not another one until it passes.
    let again = withheld();
    assert_eq!((&again["withheld"], again["charged"].is_null()), (&said["withheld"], true));
    assert_eq!(spent(&world), charged);
    // The steward who lowers the threshold pays for another attempt.
    let path = plan(&world, PLAN);
    let words = ["release", "stays", "--plan", &path, "--permit", &permit];
    let done = world.json("st-mary", &words);
    assert_eq!(spent(&world), charged + done["charged"]["micro_rho"].as_u64().unwrap());
}

#[test]
fn a_node_killed_between_charge_and_publication_publishes_later_for_nothing() {
    let mut world = world();
    // No more than the plan may cost: what was paid for is to be had without anything left.
    let permit = permit(&world, COLUMNS, "3");
    let validator = world.json("uni", &["ledger", "status"])[0]["validator"].clone();
    let validator = validator.as_str().unwrap().trim_start_matches("https://").to_owned();
    let line = SlowLine::to(&validator);
    world.hospital.take().unwrap().kill();
    let settings = world.path("st-mary/salus.toml");
    let direct = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, direct.replace(&validator, &line.address)).unwrap();
    world.start_hospital();
    line.slow.store(true, std::sync::atomic::Ordering::SeqCst);

    let path = plan(&world, PLAN);
    let words = ["release", "stays", "--plan", &path, "--permit", &permit];
    let mut releasing = world.command("st-mary", &words);
    let releasing = releasing.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let spent_by = |world: &World| {
        let shown = world.json("uni", &["permit", "show", &permit]);
        shown["grounds"][0]["epsilon_spent"].as_f64().unwrap()
    };
    let until = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while spent_by(&world) == 0.0 {
        assert!(std::time::Instant::now() < until, "the ledger recorded no charge");
    }
    // Charged and receipted; the node has not heard of it yet.
    world.hospital.take().unwrap().kill();
    let ended = releasing.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(4), "{}", String::from_utf8_lossy(&ended.stdout));
    let charged = spent_by(&world);
    std::fs::write(&settings, direct).unwrap();
    // Without a node the command takes it up itself.
    let done = world.json("st-mary", &words);
    assert!(done["charged"].is_null(), "{done}");
    assert_eq!(done["published"]["records"], 1500);
    assert!(done["published"]["epsilon"].as_f64().unwrap() > 0.0);
    assert!((spent_by(&world) - charged).abs() < 1e-12, "it was charged twice");
    assert_eq!(world.json("st-mary", &["dataset", "show", "stays_synthetic"])["rows"], 1500);
    world.start_hospital();
    assert_eq!(fetched(&world, "stays_synthetic").len(), 1500);
}

#[test]
fn a_release_that_fails_after_its_charge_says_so_and_costs_nothing_more() {
    let world = world();
    // No more than the plan may cost once.
    let permit = permit(&world, COLUMNS, "3");
    // Where the records are to be kept there is a folder, which no file replaces.
    let folder = world.path("st-mary/published");
    let place = folder.join(format!("{}.csv", hex::encode("stays_synthetic")));
    std::fs::create_dir_all(&place).unwrap();
    let path = plan(&world, PLAN);
    let words = ["release", "stays", "--plan", &path, "--permit", &permit];
    for _ in 0..2 {
        let (code, said) = world.failure("st-mary", &words);
        println!("{code} {said}");
        assert_eq!(code, 4, "{said}");
        for part in ["was charged", "exactly the same release again", "costs nothing more"] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
    }
    let charged = spent(&world);
    assert!(charged > 0);
    assert_eq!(world.json("st-mary", &["published", "list"]), serde_json::json!([]));
    std::fs::remove_dir(&place).unwrap();
    let done = world.json("st-mary", &words);
    assert!(done["charged"].is_null(), "{done}");
    assert_eq!(done["published"]["records"], 1500);
    assert_eq!(spent(&world), charged, "it was charged twice");
}

#[test]
fn a_twin_is_paid_for_once_and_open_to_everybody() {
    let world = world();
    // The steward's own wish needs a permit as well, for exactly this.
    let words = ["twin", "stays", "--epsilon", "0.5", "--rows", "800"];
    let asked = || {
        let output = world.command("st-mary", &words).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (said["permit"].as_str().unwrap().to_owned(), said["state"].as_str().unwrap().to_owned())
    };
    let (permit, state) = asked();
    assert_eq!(state, "is applied for");
    assert_eq!(asked(), (permit.clone(), "waits for its grant".to_owned()));
    assert_eq!(spent(&world), 0);
    world.json("hub", &["permit", "grant", &permit]);
    let done = world.json("st-mary", &words);
    let published = &done["published"];
    assert_eq!(
        (published["dataset"].as_str(), published["records"].as_u64()),
        (Some("stays_twin"), Some(800))
    );
    assert!(done["charged"]["epsilon"].as_f64().unwrap() <= 0.5 + 1e-9, "{done}");
    let charged = done["charged"]["micro_rho"].as_u64().unwrap();
    assert_eq!(spent(&world), charged);
    let columns = published["columns"].as_array().unwrap();
    assert!(
        columns.iter().all(|c| c["name"] != "note" && c["name"] != "patient_id"),
        "{published}"
    );
    let listed = world.json("uni", &["published", "list", "--holder", "st-mary"]);
    assert!(listed[0]["epsilon"].as_f64().unwrap() <= 0.5 + 1e-9, "{listed}");
    assert_eq!(fetched(&world, "stays_twin").len(), 800);
    // Given again, the command shows the same twin, for nothing and without another permit.
    let again = world.json("st-mary", &words);
    assert_eq!((&again["published"], again["charged"].is_null()), (published, true), "{again}");
    assert_eq!(spent(&world), charged);
    // Its permit is for that code alone: no question goes through it, and it is used up.
    let question = r#"{"dataset":"stays","query":"count","filter":null,"spend":{"rho":100},"mechanism":"gaussian"}"#;
    let file = world.text("question.json");
    std::fs::write(&file, question).unwrap();
    let words = ["query", "--permit", &permit, "--question", &file, "--epsilon", "0.1"];
    world.json(
        "st-mary",
        &[
            "holder",
            "add",
            "st-mary",
            "--url",
            &world.node().told("http"),
            "--ca",
            &world.text("st-mary.pem"),
        ],
    );
    let (code, said) = world.failure("st-mary", &words);
    assert!(code == 3 && said.contains("code"), "{code} {said}");
}

/// What only a site's own operator can do: its publication's files, opened and sealed anew.
struct Operator {
    site: Site,
    folder: PathBuf,
}

impl Operator {
    async fn of(world: &World) -> Self {
        let word = Passphrase::new(Secret::new("correct horse battery".to_owned())).unwrap();
        let folder = world.path("st-mary");
        let site = Site::open(&folder, word, GuessCost::OWASP_MINIMUM).await.unwrap();
        Self { site, folder: folder.join("published") }
    }

    fn place(&self, dataset: &str, suffix: &str) -> (PathBuf, Aad) {
        let path = self.folder.join(format!("{}.{suffix}", hex::encode(dataset)));
        let parts: [&[u8]; 3] = [b"st-mary", dataset.as_bytes(), suffix.as_bytes()];
        (path, Aad::new("salus published v1", &parts))
    }

    async fn read(&self, dataset: &str, suffix: &str) -> Vec<u8> {
        let (path, aad) = self.place(dataset, suffix);
        let sealed = std::fs::read(path).unwrap();
        let (keys, master) = (&*self.site.keys, &self.site.master);
        open_sealed(keys, master, &aad, &sealed).await.unwrap().to_vec()
    }

    async fn write(&self, dataset: &str, suffix: &str, bytes: &[u8]) {
        let (path, aad) = self.place(dataset, suffix);
        let (keys, master) = (&*self.site.keys, &self.site.master);
        std::fs::write(path, seal_object(keys, master, &aad, bytes).await.unwrap()).unwrap();
    }

    /// Announces other things of a publication.
    async fn announce(&self, dataset: &str, change: impl FnOnce(&mut serde_json::Value)) {
        let record = self.read(dataset, "record").await;
        let mut record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        change(&mut record["record"]);
        self.write(dataset, "record", &serde_json::to_vec(&record).unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_swaps_a_published_table_is_caught_whatever_else_it_changes() {
    let world = world();
    let permit = permit(&world, COLUMNS, "8");
    for name in ["one", "other"] {
        let path = plan(&world, &PLAN.replace("stays_synthetic", name));
        world.json("st-mary", &["release", "stays", "--plan", &path, "--permit", &permit]);
    }
    let operator = Operator::of(&world).await;
    let (honest, record) =
        (operator.read("one", "csv").await, operator.read("one", "record").await);
    let out = world.text("fetched.csv");
    let fetch = ["published", "fetch", "st-mary/one", "--out", &out];
    let caught = |part: &str| {
        let (code, said) = world.failure("uni", &fetch);
        assert!(code == 3 && said.contains(part), "{code} {said}");
        assert!(!world.path("fetched.csv").exists(), "it was written all the same");
    };
    // Another table under the announced hash.
    let text = String::from_utf8(honest.clone()).unwrap().replacen("female", "male", 40);
    let sha256 = salus_crypto::Digest::of(text.as_bytes()).to_string();
    operator.write("one", "csv", text.as_bytes()).await;
    caught("not those that the holder announces");
    // With its own hash announced; the ledger has another commitment.
    operator.announce("one", |said| said["sha256"] = sha256.clone().into()).await;
    caught("not those that were put on the ledger");
    operator.announce("one", |said| said["salt"] = "00".repeat(32).into()).await;
    caught("not those that were put on the ledger");
    operator.announce("one", |said| said["artefact"] = serde_json::Value::Null).await;
    // What names no artefact is not offered at all.
    let (code, said) = world.failure("uni", &fetch);
    assert!(code == 2 && said.contains("published no one"), "{code} {said}");
    operator.announce("one", |said| said["artefact"] = "ab".repeat(32).into()).await;
    caught("there is no artefact");
    // Another release of the same site, whole, under this name and receipt.
    let other: serde_json::Value =
        serde_json::from_slice(&operator.read("other", "record").await).unwrap();
    let other = other["record"].clone();
    operator.write("one", "csv", &operator.read("other", "csv").await).await;
    operator
        .announce("one", |said| {
            for key in ["sha256", "salt", "artefact", "files"] {
                said[key] = other[key].clone();
            }
        })
        .await;
    caught("of another release");
    // Another loss than the one that was booked, as before.
    operator.write("one", "csv", &honest).await;
    operator.write("one", "record", &record).await;
    operator.announce("one", |said| said["micro_rho"] = 1.into()).await;
    caught("receipt is for another release");
    // The number that people read, made smaller than what was booked.
    operator.write("one", "record", &record).await;
    operator.announce("one", |said| said["epsilon"] = 0.1.into()).await;
    caught("announces another ε");
    operator.write("one", "record", &record).await;
    operator.announce("one", |said| said["kind"] = "anonymised".into()).await;
    caught("of another release");
    operator.write("one", "record", &record).await;
    operator
        .announce("one", |said| {
            said["review"] = serde_json::json!({ "review": "ab".repeat(32), "approvals": [] });
        })
        .await;
    caught("names another review");
    // Another certificate, announced as such or not.
    operator.write("one", "record", &record).await;
    let certificate = operator.read("one", "html").await;
    operator.write("one", "html", b"<p>nobody can be found</p>").await;
    let page = world.text("certificate.html");
    let with_page = ["published", "fetch", "st-mary/one", "--out", &out, "--certificate", &page];
    let (code, said) = world.failure("uni", &with_page);
    assert!(code == 3 && said.contains("the certificate is not the one"), "{code} {said}");
    let digest = salus_crypto::Digest::of(b"<p>nobody can be found</p>").to_string();
    operator.announce("one", |said| said["files"]["html"] = digest.clone().into()).await;
    caught("not those that were put on the ledger");
    operator.write("one", "html", &certificate).await;
    // As it was, it is fetched.
    operator.write("one", "record", &record).await;
    assert!(world.command("uni", &with_page).output().unwrap().status.success());
    assert_eq!(std::fs::read(&page).unwrap(), certificate);
    assert_eq!(fetched(&world, "one").len(), 1500);
}
