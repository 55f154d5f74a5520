//! The release studio over HTTPS: what it measures against the commands on the same people's
//! records, and those who try otherwise.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::browser::{Answer, Browser};
use crate::world::World;

const GOOD: &str = "granite lamp ferry plum";
/// Stands in every id, and nowhere else may it turn up.
const PLANTED: &str = "Plantedadult";
/// What only those who opted out have.
const ABSENT: &str = "Plantededucation";
/// People whose records are studied.
const PEOPLE: usize = 2_500;
/// People who opted out.
const GONE: usize = 200;
/// Rows of nobody.
const NOBODY: usize = 20;

const SCHEMA: &str = r#"
dataset = "adults"
subject = "patient_id"
[[column]]
name = "patient_id"
type = "text"
class = "identifiers"
[[column]]
name = "sex"
type = "text"
class = "quasi"
[[column]]
name = "age"
type = "integer"
class = "quasi"
[[column]]
name = "race"
type = "text"
class = "quasi"
[[column]]
name = "education"
type = "text"
class = "quasi"
[[column]]
name = "salary"
type = "text"
class = "clinical"
[[column]]
name = "note"
type = "text"
class = "freetext"
"#;

const PROFILE: &str = r#"
[adults]
unit_column = "patient_id"
unit = "patient"
contribution = [1, 1]
rows_per_unit = "one"
[adults.columns]
sex = { category = ["Female", "Male"] }
age = { number = [0, 120, 0] }
salary = { category = ["<=50K", ">50K"] }
education = "open"
"#;

const QUASI: [&str; 4] = ["sex", "age", "race", "education"];

/// Sex, age, race, education and salary class of the Adult data's first records. The youngest and
/// the oldest are of one age each, so that at least 26 people have each age: a synthetic record that
/// repeats the one person of an age by chance would score nothing.
fn adults(rows: usize) -> Vec<[String; 5]> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/adult/adult_arx_30162x9.csv");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().skip(1).take(rows);
    lines
        .map(|line| {
            let f: Vec<&str> = line.split(';').collect();
            let age = f[1].parse::<u32>().unwrap().clamp(18, 60).to_string();
            [f[0], age.as_str(), f[2], f[4], f[8]].map(str::to_owned)
        })
        .collect()
}

/// The dataset at the hospital, some of its people opted out; and the CSV of the others.
fn prepare(world: &World, people: usize) {
    let mut all = "patient_id,sex,age,race,education,salary,note\n".to_owned();
    let mut own = "sex,age,race,education,salary\n".to_owned();
    for (n, [sex, age, race, education, salary]) in adults(people + NOBODY).iter().enumerate() {
        let who = if n < people { format!("{PLANTED}{n}") } else { String::new() };
        all.push_str(&format!("{who},{sex},{age},{race},{education},{salary},seen by {PLANTED}\n"));
        if n < people {
            own.push_str(&format!("{sex},{age},{race},{education},{salary}\n"));
        }
    }
    let mut gone = String::new();
    for n in people..people + GONE {
        all.push_str(&format!("{PLANTED}{n},Male,97,Other,{ABSENT},>50K,none\n"));
        gone.push_str(&format!("{PLANTED}{n}\n"));
    }
    for (name, text) in [("adults.csv", &all), ("own.csv", &own), ("gone", &gone)] {
        std::fs::write(world.path(name), text).unwrap();
    }
    std::fs::write(world.path("adults.toml"), SCHEMA).unwrap();
    let profiles = world.path("st-mary/privacy.toml");
    let before = std::fs::read_to_string(&profiles).unwrap();
    std::fs::write(&profiles, before + PROFILE).unwrap();
    let (csv, schema) = (world.text("adults.csv"), world.text("adults.toml"));
    world.json("st-mary", &["import", &csv, "--schema", &schema]);
    std::fs::remove_file(world.path("adults.csv")).unwrap();
    world.json("st-mary", &["dataset", "share", "adults", "--epsilon", "10"]);
    world.json("st-mary", &["optout", "add", "--from", &world.text("gone")]);
}

fn world() -> World {
    World::prepared(1, "", |world| prepare(world, PEOPLE))
}

/// With so many people that a search goes on for a while on any machine.
fn wide_world() -> World {
    World::prepared(1, "", |world| prepare(world, 10 * PEOPLE))
}

/// A steward of the hospital, at its console.
fn steward(world: &World, login: &str) -> Browser {
    let words = ["account", "create", login, "--name", login, "--role", "steward"];
    let code = world.json("st-mary", &words)["code"].as_str().unwrap().to_owned();
    let node = world.node();
    let mut browser = Browser::new(&node.told("http"), node.told("certificate").as_bytes());
    browser.accept(&code, GOOD).unwrap();
    browser
}

const STUDIES: &str = "/v1/console/releases/adults/studies";

fn begin(steward: &mut Browser, wanted: Json) -> Answer {
    steward.ask("POST", STUDIES, Some(wanted))
}

fn begun(steward: &mut Browser, wanted: Json) -> Json {
    let answer = begin(steward, wanted);
    assert_eq!(answer.status, 202, "{}", answer.text);
    answer.json()
}

fn path(begun: &Json) -> String {
    format!("/v1/console/studies/{}", begun["study"].as_str().unwrap())
}

/// A study once it has ended, and everything that came to the browser meanwhile.
fn ended(steward: &mut Browser, begun: &Json) -> (Json, String) {
    let until = Instant::now() + Duration::from_secs(180);
    let (mut seen, mut tries) = (String::new(), 0);
    loop {
        let answer = steward.ask("GET", &path(begun), None);
        assert_eq!(answer.status, 200, "{}", answer.text);
        seen.push_str(&answer.text);
        let study = answer.json();
        // What was tried is told while more is being tried, and never less of it.
        let now = study["tried"].as_array().unwrap().len();
        assert!(now >= tries, "{study}");
        tries = now;
        if study["state"] != "running" {
            return (study, seen);
        }
        assert!(Instant::now() < until, "{study}");
        std::thread::sleep(Duration::from_millis(150));
    }
}

fn done(steward: &mut Browser, wanted: Json) -> (Json, String) {
    let begun = begun(steward, wanted);
    let (study, seen) = ended(steward, &begun);
    assert_eq!(study["state"], "done", "{study}");
    (study, seen)
}

fn number(of: &Json) -> f64 {
    of.as_f64().unwrap_or_else(|| panic!("{of} is no number"))
}

/// Alike but for the order in which shares were summed.
fn alike(one: &Json, other: &Json) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => (one - other).abs() < 1e-9,
        _ => one == other,
    }
}

#[test]
fn the_studio_measures_what_the_commands_do_of_those_who_did_not_opt_out() {
    let world = world();
    let mut steward = steward(&world, "s.ode");
    let outset = steward.ask("GET", "/v1/console/releases/adults", None);
    assert_eq!(outset.status, 200, "{}", outset.text);
    let shown = outset.json();
    assert_eq!(shown["rows"], PEOPLE + GONE + NOBODY);
    assert_eq!((&shown["person"], &shown["withheld"]), (&json!("patient_id"), &Json::Null));
    let column = |name: &str| {
        let columns = shown["columns"].as_array().unwrap();
        columns.iter().find(|c| c["name"] == name).unwrap().clone()
    };
    assert_eq!(
        column("age"),
        json!({
            "name": "age", "kind": "integer", "key_class": "quasi", "readable": true,
            "domain": { "kind": "number", "low": 0.0, "high": 120.0, "decimals": 0 },
        })
    );
    assert_eq!(column("sex")["domain"]["values"], json!(["Female", "Male"]));
    assert_eq!(column("education")["domain"]["kind"], "open");
    assert_eq!(column("race")["domain"]["kind"], "none");
    assert!((number(&shown["account"]["epsilon_left"]) - 10.0).abs() < 1e-3, "{shown}");
    assert_eq!(shown["account"]["releases"], "dp-only");

    // Assessed: the figures of the command on the file of the people who are left.
    let own = world.text("own.csv");
    let quasi = QUASI.join(",");
    let words = ["risk", &own, "--quasi-identifiers", &quasi, "--population-size", "1000000"];
    let commanded = world.json("st-mary", &words);
    let wanted = json!({ "assess": { "quasi_identifiers": QUASI, "population_size": 1_000_000 } });
    let (study, mut seen) = done(&mut steward, wanted);
    let rows = json!({ "read": PEOPLE + GONE + NOBODY, "opted_out": GONE, "of_nobody": NOBODY,
                       "studied": PEOPLE });
    assert_eq!(study["rows"], rows);
    let risk = &study["assessed"]["risk"];
    for field in [
        "records",
        "quasi_identifiers",
        "classes",
        "average_risk",
        "highest_risk",
        "records_at_highest_risk",
        "sample_unique",
        "population_unique",
        "population_estimator",
        "telling_columns",
    ] {
        assert!(alike(&risk[field], &commanded[field]), "{field}: {risk}");
    }
    let names = |of: &Json| -> Vec<Json> {
        of.as_array().unwrap().iter().map(|a| json!([a["attack"], a["secret"]])).collect()
    };
    assert_eq!(names(&risk["attacks"]), names(&commanded["attacks"]));
    let roles = study["assessed"]["roles"].as_array().unwrap();
    let role = |name: &str| roles.iter().find(|r| r["column"] == name).unwrap()["role"].clone();
    let told = ["patient_id", "note", "age", "salary"].map(role);
    assert_eq!(told, ["identifier", "identifier", "quasi", "sensitive"].map(|r| json!(r)));

    // Advised: the best that passes, and the command makes the same of it.
    let wanted = json!({ "advise": {
        "purpose": "statistics", "quasi_identifiers": QUASI, "sensitive": ["salary"],
        "least_score": 60,
    } });
    let (study, text) = done(&mut steward, wanted);
    seen.push_str(&text);
    let advised = &study["advised"];
    let tried = study["tried"].as_array().unwrap();
    let best = tried.iter().find(|t| t["number"] == advised["recommended"]);
    let best = best.unwrap_or_else(|| panic!("{advised}"));
    assert!(best["passes"] == true && number(&best["score"]) >= 60.0, "{best}");
    let passing = tried.iter().filter(|t| t["passes"] == true);
    assert!(passing.clone().all(|t| number(&t["utility"]) <= number(&best["utility"])));
    assert!(advised["looks"].as_u64().unwrap() >= tried.len() as u64);
    let out = world.text("out.csv");
    let mut words = vec!["anonymise", &own, "--out", &out, "--no-attacks"];
    words.extend(["--quasi-identifiers", &quasi, "--sensitive", "salary"]);
    let options = best["options"].as_array().unwrap();
    let options: Vec<&str> = options.iter().map(|o| o.as_str().unwrap()).collect();
    let options = options.iter().filter(|o| !o.starts_with("--attempts"));
    words.extend(options.flat_map(|o| o.split(' ')));
    let commanded = world.json("st-mary", &words);
    for field in ["granularity", "loss"] {
        let (here, there) = (number(&best[field]), number(&commanded[field]));
        assert!((here - there).abs() < 1e-9, "{field}: {here} and {there}");
    }
    for field in ["smallest_group", "suppressed", "models"] {
        assert_eq!(best[field], commanded[field], "{field}");
    }

    // Rehearsed: the recommended plan as it came, gone through in memory.
    let (study, text) = done(&mut steward, json!({ "rehearse": { "plan": advised["plan"] } }));
    seen.push_str(&text);
    let report = &study["rehearsed"]["report"];
    let there = number(&commanded["granularity"]);
    assert!((number(&report["anonymised"]["granularity"]) - there).abs() < 1e-9, "{report}");
    let suppressed = commanded["suppressed"].as_u64().unwrap();
    assert_eq!(report["records"], PEOPLE as u64 - suppressed);
    assert!(report["attacks"].as_array().unwrap().len() > 5, "{report}");
    let passes = study["rehearsed"]["passes"].as_bool().unwrap();
    assert_eq!(passes, number(&report["score"]) >= 60.0, "{}", study["rehearsed"]);
    assert_eq!(study["rehearsed"]["words"].is_null(), passes);

    // Nobody's id, no narrative, and nothing of those who opted out came to the browser.
    for secret in [PLANTED, ABSENT, "seen by", "Bachelors", "HS-grad"] {
        assert!(!seen.contains(secret), "{secret} came to the browser");
    }
    // Each look is on record, under the account and in the role, and names the columns.
    let log = world.json("st-mary", &["audit", "list"]).to_string();
    assert!(log.contains("FROM \\\"adults\\\"") && log.contains("account-"), "{log}");
    // Nothing was charged, kept or published.
    assert_eq!(world.json("st-mary", &["dataset", "share", "adults"])["spent"], 0);
    assert_eq!(world.json("st-mary", &["published", "list"]), json!([]));
}

fn anonymising() -> Json {
    json!({
        "purpose": "p", "columns": ["sex", "age", "race", "education", "salary"],
        "volume": { "target": "education", "gain": 0.1, "least-per-class": 1 },
        "anonymise": { "k": 5, "suppression": 0.1, "quasi-identifiers": ["sex", "age", "race"],
                       "sensitive": ["education", "salary"] },
        "unbias": { "sensitive": ["sex", "race"], "favourable": "salary=>50K" },
        "publish": { "dataset": "adults_anonymous", "least-score": 1 },
    })
}

/// A plan that would publish narrative.
fn narrative() -> Json {
    let mut plan = anonymising();
    plan["columns"].as_array_mut().unwrap().push(json!("note"));
    json!({ "rehearse": { "plan": plan } })
}

fn private(rows: u32, least_score: u32) -> Json {
    json!({
        "purpose": "teach", "columns": ["sex", "age", "salary"],
        "synthesise": { "method": "mst", "epsilon": 2, "rows": rows },
        "publish": { "dataset": "adults_synthetic", "least-score": least_score },
    })
}

#[test]
fn what_the_studio_does_not_do_is_refused_before_a_row_is_read() {
    let mut world = wide_world();
    let (mut ode, mut bea) = (steward(&world, "s.ode"), steward(&world, "s.bea"));
    let mut cleo = steward(&world, "s.cleo");
    let looks = |world: &World| {
        let log = world.json("st-mary", &["audit", "list"]).to_string();
        log.matches("FROM \\\"adults\\\"").count()
    };
    let refused = |steward: &mut Browser, wanted: Json, status: u16, part: &str| {
        let answer = begin(steward, wanted.clone());
        assert_eq!(answer.status, status, "{wanted}: {}", answer.text);
        assert!(answer.text.contains(part), "{wanted}: {part} is not in {}", answer.text);
        answer.reason()
    };
    // A private plan is charged whatever comes of it.
    let plan = private(500, 1);
    let reason = refused(&mut ode, json!({ "rehearse": { "plan": plan } }), 403, "ε = 2");
    assert_eq!(reason, "private");
    let cost = ode.ask("POST", "/v1/console/releases/adults/plan", Some(json!({ "plan": plan })));
    let cost = cost.json();
    assert_eq!((&cost["makes"], &cost["bounded"]), (&json!("synthetic"), &json!(true)));
    assert!((number(&cost["most"]["epsilon"]) - 2.0).abs() < 1e-3, "{cost}");
    assert!(cost["plan_toml"].as_str().unwrap().contains("[synthesise]"), "{cost}");
    // Files of the node are nobody's business, however they are named.
    let with = |option: &str, value: Json| {
        let mut plan = anonymising();
        plan["anonymise"][option] = value;
        json!({ "rehearse": { "plan": plan } })
    };
    refused(&mut ode, with("hierarchies", json!("/")), 400, "names a file");
    refused(&mut ode, with("hierarchies=/", json!(true)), 400, "is no option");
    refused(&mut ode, with("seconds", json!(3600)), 400, "'seconds' is 60");
    refused(&mut ode, with("save-scheme", json!("/x")), 400, "save-scheme");
    refused(&mut ode, with("k", json!("--hierarchies=/")), 400, "k");
    let mut certified = anonymising();
    certified["publish"]["certificate"] = json!("/x.pdf");
    refused(&mut ode, json!({ "rehearse": { "plan": certified } }), 422, "certificate");
    // Nonsense.
    let quasi = json!(["sex", "age"]);
    for (wanted, part) in [
        (
            json!({ "advise": { "purpose": { "train": { "target": "age" } },
            "quasi_identifiers": quasi, "least_score": 80 } }),
            "'age' is a quasi-identifier",
        ),
        (
            json!({ "advise": { "purpose": "statistics",
            "quasi_identifiers": ["patient_id"], "least_score": 80 } }),
            "names the person",
        ),
        (json!({ "assess": { "quasi_identifiers": ["patient_id"] } }), "names the person"),
        (json!({ "assess": { "quasi_identifiers": ["shoe_size"] } }), "no column 'shoe_size'"),
        // Narrative, which the default roles show the steward, and which no study reads.
        (json!({ "assess": { "quasi_identifiers": ["age", "note"] } }), "is of class freetext"),
        (
            json!({ "advise": { "purpose": "statistics", "quasi_identifiers": quasi,
            "unchanged": ["note"], "least_score": 80 } }),
            "'note' of adults is of class freetext",
        ),
        (narrative(), "leave it out"),
    ] {
        refused(&mut ode, wanted, 400, part);
    }
    let nowhere = ode.ask("GET", "/v1/console/releases/nothing", None);
    assert_eq!((nowhere.status, nowhere.reason()), (404, "no-dataset".into()));
    assert_eq!(looks(&world), 0, "a row was read for what was refused");

    // What classes and groups are called, where the profile does not publish it, stays here.
    let (study, seen) = done(&mut ode, json!({ "rehearse": { "plan": anonymising() } }));
    let report = &study["rehearsed"]["report"];
    let class = &report["volume"]["classes"][0]["class"];
    assert!(class.as_str().unwrap().starts_with("class "), "{report}");
    assert!(
        report["unbiased"]["before"]["groups"][0]["group"].as_str().unwrap().starts_with("group ")
    );
    assert!(number(&report["unbiased"]["before"]["disparate_impact"]) < 1.0);
    for value in ["Bachelors", "HS-grad", "Black", "White", PLANTED] {
        assert!(!seen.contains(value), "{value} came to the browser");
    }

    // One at a time; others neither see it nor stop it; its own stops it between two attempts.
    // What is good enough to predict from takes a model for each of its tries.
    let long = json!({ "advise": { "purpose": { "train": { "target": "salary" } },
        "quasi_identifiers": QUASI, "sensitive": [], "least_score": 99 } });
    let begun = begun(&mut ode, long.clone());
    let reason = refused(&mut ode, json!({ "assess": {} }), 409, "is running");
    assert_eq!(reason, "running");
    let outset = ode.ask("GET", "/v1/console/releases/adults", None).json();
    assert_eq!(outset["running"], begun["study"]);
    let others = bea.ask("GET", "/v1/console/releases/adults", None).json();
    assert!(others["running"].is_null(), "{others}");
    for method in ["GET", "DELETE"] {
        let foreign = bea.ask(method, &path(&begun), None);
        let unknown = format!("/v1/console/studies/study-{}", "0".repeat(32));
        let unknown = bea.ask(method, &unknown, None);
        assert_eq!((foreign.status, foreign.reason()), (404, "no-study".into()));
        assert_eq!(foreign.text, unknown.text, "others' studies are told from none");
    }
    // Two at a time, of all accounts together.
    let beside = self::begun(&mut bea, long.clone());
    let third = begin(&mut cleo, json!({ "assess": {} }));
    for (whose, study) in [(&mut ode, &begun), (&mut bea, &beside)] {
        let state = whose.ask("GET", &path(study), None).json();
        assert_eq!(state["state"], "running", "it ended before it was of use here: {state}");
    }
    assert_eq!((third.status, third.reason()), (503, "busy".into()), "{}", third.text);
    assert!(third.text.contains("as many studies as it may"), "{}", third.text);
    assert_eq!(bea.ask("DELETE", &path(&beside), None).status, 204);
    assert_eq!(ended(&mut bea, &beside).0["state"], "stopped");
    assert_eq!(ode.ask("DELETE", &path(&begun), None).status, 204);
    let (stopped, _) = ended(&mut ode, &begun);
    assert_eq!(stopped["state"], "stopped", "{stopped}");
    assert!(stopped["tried"].as_array().unwrap().len() < 21 && stopped["advised"].is_null());
    assert_eq!(ode.ask("DELETE", &path(&begun), None).status, 204);
    let (again, _) = done(&mut ode, json!({ "assess": {} }));
    assert_eq!(again["assessed"]["risk"]["quasi_identifiers"].as_array().unwrap().len(), 5);

    // Where the site's policies withhold a column, or all of it, so does the studio.
    let roles = world.path("st-mary/roles.toml");
    let open = std::fs::read_to_string(&roles).unwrap();
    let forbid = |when: &str| {
        let policy = format!(
            "policies = '''\nforbid(principal in Salus::Role::\"steward\", action, resource)\n  \
             when {{ resource.dataset == \"adults\"{when} }};\n"
        );
        std::fs::write(&roles, open.replacen("policies = '''\n", &policy, 1)).unwrap();
    };
    let before = looks(&world);
    forbid(" && resource.path == \"race\"");
    let wanted = json!({ "assess": { "quasi_identifiers": QUASI } });
    assert_eq!(refused(&mut ode, wanted.clone(), 403, "race"), "policy");
    let outset = ode.ask("GET", "/v1/console/releases/adults", None).json();
    let race = outset["columns"].as_array().unwrap().iter().find(|c| c["name"] == "race").unwrap();
    assert_eq!((&race["readable"], &outset["withheld"]), (&json!(false), &Json::Null), "{outset}");
    forbid("");
    assert_eq!(refused(&mut ode, wanted, 403, "roles.toml"), "policy");
    let outset = ode.ask("GET", "/v1/console/releases/adults", None).json();
    assert!(outset["withheld"].as_str().unwrap().contains("policies"), "{outset}");
    assert_eq!(looks(&world), before);
    std::fs::write(&roles, open).unwrap();

    // A node that is told to stop does not wait for a study's end. After a restart, studies are
    // forgotten, and nobody is told more than that.
    self::begun(&mut ode, long);
    let cookie = ode.cookie.clone();
    let asked = Instant::now();
    world.hospital.take().unwrap().stop();
    assert!(asked.elapsed() < Duration::from_secs(45), "{:?}", asked.elapsed());
    world.start_hospital();
    let node = world.node();
    let mut ode = Browser::new(&node.told("http"), node.told("certificate").as_bytes());
    ode.cookie = cookie;
    let gone = ode.ask("GET", &path(&begun), None);
    assert_eq!((gone.status, gone.reason()), (404, "no-study".into()), "{}", gone.text);
    assert!(gone.text.contains("started anew"), "{}", gone.text);
}

#[test]
fn a_rehearsal_is_of_the_version_that_a_release_reads() {
    let mut world = world();
    let mut ode = steward(&world, "s.ode");
    let wanted = json!({ "rehearse": { "plan": anonymising() } });
    let version_of = |study: &Json| {
        let notes = study["rehearsed"]["report"]["notes"].as_array().unwrap();
        let told = notes.iter().filter_map(Json::as_str);
        let told: Vec<&str> =
            told.filter_map(|note| note.strip_prefix("measured on version ")).collect();
        assert_eq!(told.len(), 1, "{study}");
        told[0].split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let (study, _) = done(&mut ode, wanted.clone());
    let (first, records) = (version_of(&study), study["rows"]["read"].as_u64().unwrap());

    // More people come, and the ledger does not know of them yet: a release would not read them.
    let cookie = ode.cookie.clone();
    world.hospital.take().unwrap().stop();
    let mut more = "patient_id,sex,age,race,education,salary,note\n".to_owned();
    for n in 0..40 {
        more.push_str(&format!("{PLANTED}more{n},Female,40,White,HS-grad,<=50K,none\n"));
    }
    std::fs::write(world.path("more.csv"), more).unwrap();
    let (csv, schema) = (world.text("more.csv"), world.text("adults.toml"));
    world.json("st-mary", &["import", &csv, "--schema", &schema]);
    world.start_hospital();
    let node = world.node();
    let mut ode = Browser::new(&node.told("http"), node.told("certificate").as_bytes());
    ode.cookie = cookie;
    let refused = begin(&mut ode, wanted.clone());
    assert_eq!(refused.status, 400, "{}", refused.text);
    for part in [format!("reads version {first} of adults"), "dataset share adults".to_owned()] {
        assert!(refused.text.contains(&part), "{part} is not in {}", refused.text);
    }
    // What is not of a release may be looked at as it is.
    done(&mut ode, json!({ "assess": { "quasi_identifiers": QUASI } }));

    world.json("st-mary", &["dataset", "share", "adults"]);
    let (study, _) = done(&mut ode, wanted);
    assert!(version_of(&study) > first, "{study}");
    assert_eq!(study["rows"]["read"].as_u64().unwrap(), records + 40);
}

#[test]
fn a_release_from_the_studio_is_the_one_of_the_command() {
    let world = world();
    let mut steward = steward(&world, "s.ode");
    let ground = "st-mary/adults:patient_id,sex,age,salary:5";
    let applied = world.json("st-mary", &["permit", "apply", "--ground", ground]);
    let permit = applied["permit"].as_str().unwrap().to_owned();
    let held = |steward: &mut Browser| {
        let outset = steward.ask("GET", "/v1/console/releases/adults", None).json();
        assert_eq!(outset["permits"].as_array().unwrap().len(), 1, "{outset}");
        (outset["permits"][0].clone(), outset["published"].clone())
    };
    let (line, _) = held(&mut steward);
    assert_eq!((&line["state"], &line["usable"]), (&json!("applied"), &json!(false)), "{line}");
    let release = |plan: Json| json!({ "release": { "plan": plan, "permit": permit } });
    let early = begun(&mut steward, release(private(500, 1)));
    let (failed, _) = ended(&mut steward, &early);
    assert_eq!(
        (&failed["state"], &failed["problem"]["class"]),
        (&json!("failed"), &json!("refused"))
    );
    world.json("hub", &["permit", "grant", &permit]);
    let (line, published) = held(&mut steward);
    assert_eq!((&line["usable"], &line["why_not"]), (&json!(true), &Json::Null), "{line}");
    assert!((number(&line["epsilon_left"]) - 5.0).abs() < 1e-3 && published == json!([]));

    // The most that it costs is told before it does; it cannot be stopped any more.
    let begun_now = begun(&mut steward, release(private(500, 1)));
    assert!((number(&begun_now["most"]["epsilon"]) - 2.0).abs() < 1e-3, "{begun_now}");
    let stop = steward.ask("DELETE", &path(&begun_now), None);
    assert_eq!((stop.status, stop.reason()), (409, "release".into()), "{}", stop.text);
    let (study, seen) = ended(&mut steward, &begun_now);
    assert_eq!(study["state"], "done", "{study}");
    let released = &study["released"];
    let published = &released["outcome"]["published"]["published"];
    assert_eq!((&published["records"], &published["kind"]), (&json!(500), &json!("synthetic")));
    let charged = released["charged"]["micro_rho"].as_u64().unwrap();
    assert_eq!(world.json("st-mary", &["dataset", "share", "adults"])["spent"], charged);
    assert!(number(&released["outcome"]["published"]["report"]["score"]) >= 1.0, "{released}");
    assert!(!seen.contains(PLANTED) && !seen.contains("<html"), "{seen}");
    // The same text is the same plan for the command, which charges nothing a second time.
    let plan = world.text("plan.toml");
    std::fs::write(&plan, begun_now["plan_toml"].as_str().unwrap()).unwrap();
    let words = ["release", "adults", "--plan", &plan, "--permit", &permit];
    let commanded = world.json("st-mary", &words);
    assert!(commanded["charged"].is_null(), "{commanded}");
    assert_eq!(commanded["published"]["receipt"], published["receipt"]);
    assert_eq!(commanded["published"]["sha256"], published["sha256"]);
    let (_, listed) = held(&mut steward);
    assert_eq!(listed[0]["receipt"], published["receipt"], "{listed}");
    assert_eq!((&listed[0]["complete"], listed.as_array().unwrap().len()), (&json!(true), 1));

    // One that scores too low is withheld, charged all the same, and says so.
    let mut low = private(400, 100);
    low["publish"]["dataset"] = json!("adults_other");
    let (study, _) = done(&mut steward, release(low));
    let words = &study["released"]["outcome"]["withheld"]["words"];
    assert!(words.as_str().unwrap().contains("below 100"), "{study}");
    assert!(study["released"]["charged"]["micro_rho"].as_u64().unwrap() > 0, "{study}");
}

/// The studio without its pages: a token in place of a session.
#[test]
fn a_script_studies_with_a_stewards_token_and_no_other() {
    let world = world();
    let token = |who: &str, role: &str, purpose: &str| {
        let words = ["staff", "issue", who, "--role", role, "--purpose", purpose];
        world.json("st-mary", &words)["token"].as_str().unwrap().to_owned()
    };
    let ann = token("ann", "steward", "operations");
    let bob = token("bob", "steward", "operations");
    let revoked = token("eve", "steward", "operations");
    world.json("st-mary", &["staff", "revoke", "eve"]);
    let others = [
        token("phil", "physician", "treatment"),
        token("tess", "technician", "operations"),
        token("tom", "steward", "treatment"),
    ];
    let (http, node) = (world.node().http(), world.node().told("http"));
    let ask = |method: &str, path: &str, token: Option<&str>, body: Option<&Json>| {
        let body = body.map(ToString::to_string);
        http.ask(method, &format!("{node}{path}"), token, body.as_deref()).unwrap()
    };
    let none = format!("study-{}", "0".repeat(32));
    let assess = json!({ "assess": { "quasi_identifiers": QUASI } });
    for route in &salus_api::studies::ROUTES {
        let path = route.path.replace("{dataset}", "adults").replace("{study}", &none);
        let body = match route.path.rsplit('/').next().unwrap() {
            "plan" => Some(json!({ "plan": anonymising() })),
            "studies" => Some(assess.clone()),
            _ => None,
        };
        for token in [None, Some("salus_0"), Some(revoked.as_str()), Some("")] {
            let (status, said) = ask(route.method, &path, token, body.as_ref());
            assert_eq!(status, 401, "{route:?} with {token:?}: {said}");
            assert!(!said.contains("patient_id"), "{route:?}: {said}");
        }
        for token in &others {
            let (status, said) = ask(route.method, &path, Some(token), body.as_ref());
            assert_eq!(status, 403, "{route:?}: {said}");
            assert!(said.contains("role steward, for operations"), "{route:?}: {said}");
        }
    }
    let plan = private(500, 1);
    let release =
        json!({ "release": { "plan": plan, "permit": format!("permit-{}", "0".repeat(32)) } });
    let studies = "/v1/releases/adults/studies";
    let (status, said) = ask("POST", studies, Some(&ann), Some(&release));
    assert!(status == 403 && said.contains("spends the dataset's budget"), "{status} {said}");

    let (status, said) = ask("POST", studies, Some(&ann), Some(&assess));
    assert_eq!(status, 202, "{said}");
    let begun: Json = serde_json::from_str(&said).unwrap();
    let path = format!("/v1/studies/{}", begun["study"].as_str().unwrap());
    assert_eq!(ask("GET", &path, Some(&bob), None).0, 404, "another steward's study");
    assert_eq!(ask("DELETE", &path, Some(&bob), None).0, 404, "another steward's study");
    let until = Instant::now() + Duration::from_secs(120);
    let study = loop {
        let (status, said) = ask("GET", &path, Some(&ann), None);
        assert_eq!(status, 200, "{said}");
        let study: Json = serde_json::from_str(&said).unwrap();
        if study["state"] != "running" {
            break study;
        }
        assert!(Instant::now() < until, "{study}");
        std::thread::sleep(Duration::from_millis(200));
    };
    let own = world.text("own.csv");
    let words = ["risk", &own, "--quasi-identifiers", &QUASI.join(","), "--no-attacks"];
    let commanded = world.json("st-mary", &words);
    let risk = &study["assessed"]["risk"];
    for field in ["records", "average_risk", "sample_unique", "classes"] {
        assert!(alike(&risk[field], &commanded[field]), "{field}: {study}");
    }
    // The read is on record under the name that the token is of.
    let log = world.json("st-mary", &["audit", "list"]);
    let looks: Vec<&Json> = log
        .as_array()
        .unwrap()
        .iter()
        .filter(|r| r.to_string().contains("FROM \\\"adults\\\""))
        .collect();
    assert!(looks.len() == 1 && looks[0].to_string().contains("\"ann\""), "{looks:?}");
}
