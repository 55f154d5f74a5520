//! Permits, questions and receipts over the binary, and those who try without.

use std::path::Path;

use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_model::{Clock as _, HolderId, PermitId, Purpose, Secret};
use salus_node::permits::Asked;
use salus_node::{Site, SystemClock};

use crate::site::stands_below;
use crate::world::{PATIENTS, PLANTED, World, count};

const FEMALE: &str = r#"{"compare":{"column":"sex","is":"=","value":"female"}}"#;

fn estimate(answer: &serde_json::Value) -> (f64, f64) {
    let row = &answer["rows"][0];
    let (value, lower) = (row["estimate"].as_f64().unwrap(), row["lower"].as_f64().unwrap());
    (value, value - lower)
}

#[test]
fn a_permit_is_applied_for_granted_used_and_the_receipt_verified_without_network() {
    let mut world = World::new(1);
    let permit = world.permit("patient_id,sex");
    let listed = world.json("hub", &["permit", "list"]);
    assert_eq!(listed[0]["permit"], permit.as_str());
    assert!(listed[0]["state"].as_str().unwrap().starts_with("granted"), "{listed}");

    let file = world.text("planned.json");
    std::fs::write(&file, count(FEMALE)).unwrap();
    let explain =
        ["query", "--permit", &permit, "--question", &file, "--epsilon", "1", "--explain"];
    let plan = world.json("uni", &explain);
    assert_eq!(plan["covered"], true, "{plan}");
    assert!((plan["epsilon"].as_f64().unwrap() - 1.0).abs() < 0.01, "{plan}");
    assert_eq!(world.spent(), 0, "a plan costs nothing");

    let answer = world.ask(&permit, &count(FEMALE), "1");
    let (value, half) = estimate(&answer);
    // Four half widths of a 95 % interval miss once in 10^14.
    assert!((value - PATIENTS as f64 / 2.0).abs() <= 4.0 * half, "{answer}");
    assert!((answer["epsilon_spent"].as_f64().unwrap() - 1.0).abs() < 0.01, "{answer}");
    let spent = world.spent();
    assert!(spent > 0);
    let again = world.ask(&permit, &count(FEMALE), "1");
    assert_eq!((again["repeated"].as_bool(), world.spent()), (Some(true), spent), "{again}");
    // In SQL it is the same question, which is answered for nothing.
    let asked = "SELECT count(*) FROM visits WHERE sex = 'female'";
    let in_sql = world.json("uni", &["query", asked, "--permit", &permit, "--epsilon", "1"]);
    assert_eq!((in_sql["repeated"].as_bool(), world.spent()), (Some(true), spent), "{in_sql}");
    assert_eq!(in_sql["rows"], answer["rows"]);

    // Everything that serves is gone: what is left is the receipt and the genesis.
    world.hospital.take().unwrap().kill();
    world.validators.clear();
    let receipt = answer["receipt"]["file"].as_str().unwrap();
    let genesis = world.text("ledger/genesis.cbor");
    let shown =
        world.json("none", &["ledger", "verify", "receipt", receipt, "--genesis", &genesis]);
    assert_eq!(shown["permit"], permit.as_str());
    let used = &shown["uses"][0];
    assert_eq!(
        (used["holder"].as_str(), used["dataset"].as_str()),
        (Some("st-mary"), Some("visits"))
    );
    assert_eq!(used["columns"], serde_json::json!(["patient_id", "sex"]));
    assert!(used["charge_rho"].as_f64().unwrap() > 0.0);
    assert!(shown["time"].as_str().unwrap().starts_with("20"));
    assert!(shown["demonstration"].as_bool().unwrap());
}

#[test]
fn without_a_permit_that_covers_it_no_question_is_answered() {
    let world = World::new(1);
    let applied = world.apply("patient_id,sex", &[]);
    let (code, said) = world.refused(&applied, &count(FEMALE));
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("not granted"), "{said}");
    world.json("hub", &["permit", "grant", &applied]);

    let ward = r#"{"compare":{"column":"ward","is":"=","value":"w1"}}"#;
    let (code, said) = world.refused(&applied, &count(ward));
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("column ward"), "{said}");

    // The key of a permit opens its own permit alone.
    let other = world.permit("patient_id,sex");
    let keys = world.path("uni/permits");
    std::fs::rename(keys.join(&other), keys.join("kept")).unwrap();
    std::fs::copy(keys.join(&applied), keys.join(&other)).unwrap();
    let (code, said) = world.refused(&other, &count(FEMALE));
    assert_eq!(code, 5, "{said}");
    std::fs::rename(keys.join("kept"), keys.join(&other)).unwrap();

    // Beyond the permit's budget.
    let file = world.text("question.json");
    std::fs::write(&file, count(FEMALE)).unwrap();
    let words = ["query", "--permit", &other, "--question", &file, "--epsilon", "6"];
    let (code, said) = world.failure("uni", &words);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("budget"), "{said}");
    assert_eq!(world.spent(), 0, "nothing was charged");

    // Revoked, and expired.
    world.json("hub", &["permit", "revoke", &other]);
    let (code, said) = world.refused(&other, &count(FEMALE));
    assert!(code == 3 && said.contains("revoked"), "{code} {said}");
    let soon = SystemClock.now().saturating_add_micros(10_000_000);
    let brief = world.apply("patient_id,sex", &["--until", &soon.to_string()]);
    world.json("hub", &["permit", "grant", &brief]);
    while SystemClock.now() < soon {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let (code, said) = world.refused(&brief, &count(FEMALE));
    assert!(code == 3 && said.contains("expired"), "{code} {said}");

    a_signed_request_is_answered_once_and_for_its_own_question(&world, &applied);
}

/// What somebody can do who recorded a request, or sits between researcher and hospital.
fn a_signed_request_is_answered_once_and_for_its_own_question(world: &World, permit: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let question = count(FEMALE);
    let word = Passphrase::new(Secret::new("correct horse battery".to_owned())).unwrap();
    let (request, foreign) = runtime.block_on(async {
        let site = Site::open(&world.path("uni"), word, GuessCost::OWASP_MINIMUM).await.unwrap();
        let ledger = site.ledger().await.unwrap();
        let permit: PermitId = permit.parse().unwrap();
        let key = site.permit_key(&permit).await.unwrap();
        let asked = |holder: &HolderId| {
            let asked = Asked {
                ledger: *ledger.anchor().ledger(),
                permit: &permit,
                purpose: Purpose::Research,
                holder,
                question: &question,
                now: SystemClock.now(),
            };
            serde_json::to_value(key.request(&asked).unwrap()).unwrap()
        };
        (asked(&HolderId::new("st-mary").unwrap()), asked(&HolderId::new("elsewhere").unwrap()))
    });
    let (http, node) = (world.node().http(), world.node().told("http"));
    let send = |request: &serde_json::Value, question: &str| {
        let body = serde_json::json!({ "request": request, "question": question }).to_string();
        http.ask("POST", &format!("{node}/v1/questions"), None, Some(&body)).unwrap()
    };
    let (status, said) = send(&request, &question.replace("female", "male"));
    assert!(status == 403 && said.contains("another question"), "{status} {said}");
    let (status, said) = send(&foreign, &question);
    assert!(status == 403 && said.contains("holder elsewhere"), "{status} {said}");
    let mut forged = request.clone();
    forged["request"]["deal"] = "q-another".into();
    let (status, said) = send(&forged, &question);
    assert!(status == 403 && said.contains("signature"), "{status} {said}");
    let (status, said) = send(&request, &question);
    assert_eq!(status, 200, "{said}");
    let (status, said) = send(&request, &question);
    assert!(status == 403 && said.contains("already"), "{status} {said}");
    let (status, said) =
        http.ask("POST", &format!("{node}/v1/questions"), None, Some("{\"request\":1}")).unwrap();
    assert!(status == 422 || status == 400, "{status} {said}");
}

#[test]
fn who_may_not_decide_decides_nothing() {
    let world = World::new(1);
    let permit = world.apply("patient_id,sex", &[]);
    for decider in ["uni", "st-mary"] {
        for decision in ["grant", "refuse"] {
            let (code, said) = world.failure(decider, &["permit", decision, &permit]);
            assert_eq!(code, 3, "{decider} {decision}: {said}");
            assert!(said.contains("rule "), "{said}");
        }
    }
    world.json("hub", &["permit", "grant", &permit]);
    let (code, said) = world.failure("uni", &["permit", "revoke", &permit]);
    assert_eq!(code, 3, "{said}");
    // Nor may one hospital speak for another, nor state its account twice.
    let (code, said) = world.failure("st-mary", &["dataset", "share", "visits", "--epsilon", "99"]);
    assert!(code == 2 && said.contains("never changes"), "{code} {said}");
    let (code, said) = world.failure("uni", &["dataset", "share", "visits"]);
    assert_eq!(code, 2, "{said}");
    // The hub's officer amends; an amendment that is based on an older revision loses.
    let ground = "st-mary/visits:patient_id,sex:2";
    world.json("hub", &["permit", "amend", &permit, "--ground", ground]);
    let shown = world.json("uni", &["permit", "show", &permit]);
    assert_eq!(shown["revision"], 1, "{shown}");
    assert!((shown["grounds"][0]["epsilon"].as_f64().unwrap() - 2.0).abs() < 0.01, "{shown}");
    // A site that is on no ledger says how to get onto one.
    std::fs::create_dir_all(world.path("alone")).unwrap();
    world.json("alone", &["init", "--holder", "alone"]);
    let (code, said) = world.failure("alone", &["permit", "list"]);
    assert!(code == 2 && said.contains("salus ledger join"), "{code} {said}");
}

#[test]
fn a_node_that_is_another_is_not_believed() {
    let world = World::new(1);
    let permit = world.permit("patient_id,sex");
    let other = world.text("hub/ca.pem");
    let url = world.node().told("http");
    world.json("uni", &["holder", "add", "st-mary", "--url", &url, "--ca", &other]);
    let (code, said) = world.refused(&permit, &count(FEMALE));
    assert!(code == 4 && said.contains("cannot be reached"), "{code} {said}");
    let (code, said) = world
        .failure("uni", &["holder", "add", "x", "--url", "http://127.0.0.1:1", "--ca", &other]);
    assert!(code == 2 && said.contains("https"), "{code} {said}");
    world.json("uni", &["holder", "remove", "st-mary"]);
    let (code, said) = world.refused(&permit, &count(FEMALE));
    assert!(code == 2 && said.contains("salus holder add"), "{code} {said}");
}

/// Counts of groups, made whole, not negative and adding up to the same; what was released stays.
#[test]
fn counts_of_groups_are_made_consistent_for_nothing() {
    let world = World::new(1);
    let permit = world.permit("patient_id,sex");
    let asked = "SELECT sex, count(*) FROM visits WHERE sex = 'female' GROUP BY sex";
    let words = ["query", asked, "--permit", &permit, "--epsilon", "0.05"];
    let bare = world.json("uni", &words);
    let spent = world.spent();
    assert!(bare["rows"][0]["consistent"].is_null(), "{bare}");
    let made = world.json("uni", &[&words[..], &["--consistent"]].concat());
    assert_eq!((made["repeated"].as_bool(), world.spent()), (Some(true), spent), "{made}");
    let rows = made["rows"].as_array().unwrap();
    let noisy: Vec<f64> = rows.iter().map(|row| row["estimate"].as_f64().unwrap()).collect();
    let counts: Vec<u64> = rows.iter().map(|row| row["consistent"].as_u64().unwrap()).collect();
    assert_eq!(bare["rows"][1]["estimate"].as_f64(), Some(noisy[1]), "what was released stays");
    // Nobody male passes the condition: where the noise says fewer than none, the count is none.
    assert!((counts.iter().sum::<u64>() as f64 - noisy.iter().sum::<f64>()).abs() <= 1.0);
    let expected: Vec<u64> = match (noisy[0] < 0.0, noisy[1] < 0.0) {
        (false, true) => vec![(noisy[0] + noisy[1]).round() as u64, 0],
        _ => noisy.iter().map(|n| n.round() as u64).collect(),
    };
    assert_eq!(counts, expected, "{noisy:?}");
}

/// A tool that knows nothing but Flight SQL asks under a permit: each answer is noised, charged and
/// receipted as any, and what the permit or the desk does not allow is refused by name.
#[test]
fn a_tool_asks_over_flight_sql_under_a_permit() {
    let world = World::new(1);
    let permit = world.permit("patient_id,sex");
    let words = [
        "query",
        "--serve",
        "127.0.0.1:0",
        "--permit",
        &permit,
        "--epsilon",
        "1",
        "--questions",
        "2",
    ];
    let desk = world.serve("uni", &words);
    let authority = world.text("desk.pem");
    std::fs::write(&authority, desk.told("certificate")).unwrap();
    let venv = salus_testkit::Venv::with(&[
        "adbc-driver-flightsql==1.13.0",
        "adbc-driver-manager==1.13.0",
        "pyarrow==26.0.1",
    ]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/scripts/permit_flight.py");
    let (uri, token) = (desk.told("flight"), desk.told("token"));
    let printed = venv.run(script, |command| {
        command.args([&uri, &authority, &token]);
    });
    let said: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let number = |row: &serde_json::Value, name: &str| row[name].as_f64().unwrap();
    let rows = said["count"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{said}");
    let half = number(&rows[0], "upper_95") - number(&rows[0], "estimate");
    // Four half widths of a 95 % interval miss once in 10^14.
    let error = (number(&rows[0], "estimate") - PATIENTS as f64 / 2.0).abs();
    assert!(error <= 4.0 * half, "{rows:?}");
    assert!((number(&rows[0], "epsilon_spent") - 1.0).abs() < 0.01, "{rows:?}");
    assert!(rows[0]["receipts"].as_str().unwrap().starts_with("receipt-"), "{rows:?}");
    let again = &said["again"][0];
    assert_eq!((number(again, "epsilon_spent"), &again["estimate"]), (0.0, &rows[0]["estimate"]));
    let keys: Vec<_> = said["groups"].as_array().unwrap().iter().map(|r| &r["key_1"]).collect();
    assert_eq!(keys, ["female", "male"], "{said}");
    let tables = said["tables"].to_string();
    assert!(tables.contains("visits") && tables.contains("sex"), "{tables}");
    assert!(!tables.contains("ward"), "columns outside the permit are not shown: {tables}");
    for (what, words) in [
        ("column", "ward"),
        ("rows", "differential privacy"),
        ("parameter", "write the value itself"),
        ("third", "--questions"),
        ("stranger", "token"),
        ("shorter", "token"),
    ] {
        let told = said[what].as_str().unwrap();
        assert!(told.contains(words), "{what}: {told}");
    }
    desk.stop();
}

/// A followed count is paid for once; it moves when the dataset does, and ends as it said.
#[test]
fn a_count_is_followed_over_time_for_one_charge() {
    let world = World::new(1);
    let permit = world.permit("patient_id,sex");
    let asked = "SELECT count(DISTINCT patient_id) FROM visits WHERE sex = 'female'";
    let words = ["query", asked, "--permit", &permit, "--epsilon", "1", "--ticks", "2"];
    let plan = world.json("uni", &[&words[..], &["--explain"]].concat());
    assert_eq!((plan["ticks"].as_u64(), world.spent()), (Some(2), 0), "{plan}");
    let half = plan["expected_error"]["value"]["half_width"].as_f64().unwrap();
    let value = |answer: &serde_json::Value, tick: usize| {
        answer["series"][tick]["estimate"].as_f64().unwrap()
    };
    let first = world.json("uni", &words);
    let female = PATIENTS as f64 / 2.0;
    // Four half widths of a 95 % interval miss once in 10^14.
    assert!((value(&first, 0) - female).abs() <= 4.0 * half, "{first} ± {half}");
    assert!((first["epsilon_spent"].as_f64().unwrap() - 1.0).abs() < 0.01, "{first}");
    let spent = world.spent();
    let again = world.json("uni", &words);
    assert_eq!((again["repeated"].as_bool(), again["tick"].as_u64()), (Some(true), Some(1)));
    assert_eq!(again["series"], first["series"]);

    let opt_out = |from: usize, to: usize| {
        let people: String = (from..to).map(|n| format!("{PLANTED}{n}\n")).collect();
        std::fs::write(world.path("people"), people).unwrap();
        world.json("st-mary", &["optout", "add", "--from", &world.text("people")]);
    };
    opt_out(0, 400);
    let second = world.json("uni", &words);
    assert_eq!((second["repeated"].as_bool(), second["tick"].as_u64()), (Some(false), Some(2)));
    assert_eq!(second["epsilon_spent"].as_f64(), Some(0.0), "{second}");
    assert_eq!(second["series"][0], first["series"][0]);
    assert!((value(&second, 1) - (female - 200.0)).abs() <= 4.0 * half, "{second} ± {half}");
    assert_eq!(world.spent(), spent, "charged once");
    let used = &second["receipt"]["uses"][0];
    assert_eq!((used["charge_rho"].as_f64(), used["optout_epoch"].as_u64()), (Some(0.0), Some(1)));
    opt_out(400, 401);
    let (code, said) = world.failure("uni", &words);
    assert!(code == 3 && said.contains("2 ticks"), "{code} {said}");
    // What cannot be followed is told by name, and costs nothing.
    let rows = "SELECT count(*) FROM visits";
    let words = ["query", rows, "--permit", &permit, "--epsilon", "1", "--ticks", "2"];
    let (code, said) = world.failure("uni", &words);
    assert!(code == 2 && said.contains("count of units"), "{code} {said}");
    assert_eq!(world.spent(), spent);
}

#[test]
fn who_opts_out_is_not_counted_and_is_named_nowhere() {
    let mut world = World::new(1);
    let permit = world.permit("patient_id,sex");
    let all = world.ask(&permit, &count("null"), "1.5");
    let (before, half) = estimate(&all);
    assert!((before - PATIENTS as f64).abs() <= 4.0 * half, "{all}");
    let people: String = (0..500).map(|n| format!("{PLANTED}{n}\n")).collect();
    std::fs::write(world.path("people"), people).unwrap();
    let from = world.text("people");
    let added = world.json("st-mary", &["optout", "add", "--from", &from]);
    assert_eq!((added["epoch"].as_u64(), added["changed"].as_u64()), (Some(1), Some(500)));
    assert!(!added.to_string().contains(PLANTED), "{added}");
    // The same question is another one now: the answer from before counts people who opted out.
    let without = world.ask(&permit, &count("null"), "1.5");
    let (after, half) = estimate(&without);
    assert_eq!(without["repeated"], false);
    assert!((after - (PATIENTS - 500) as f64).abs() <= 4.0 * half, "{without}");
    assert_eq!(without["receipt"]["uses"][0]["optout_epoch"], 1);
    // Without a node the command does it itself; the list survives.
    world.hospital.take().unwrap().kill();
    let one = format!("Patient/{PLANTED}7");
    let withdrawn = world.json("st-mary", &["optout", "withdraw", &one]);
    assert_eq!((withdrawn["epoch"].as_u64(), withdrawn["changed"].as_u64()), (Some(2), Some(1)));
    let list = world.json("st-mary", &["optout", "list"]);
    assert_eq!(list["people"].as_array().unwrap().len(), 499);
    world.start_hospital();
    world.ask(&permit, &count("null"), "0.5");
    // Counters and logs name nobody.
    let token = world.json(
        "st-mary",
        &["staff", "issue", "max", "--role", "monitor", "--purpose", "operations"],
    );
    let (http, node) = (world.node().http(), world.node().told("http"));
    let token = token["token"].as_str();
    let (status, said) = http.ask("GET", &format!("{node}/v1/metrics"), token, None).unwrap();
    assert!(status == 200 && said.contains("/v1/questions"), "{status} {said}");
    assert!(!said.contains(PLANTED) && !said.contains(&permit), "{said}");
    // Sealed at the hospital, a salted root on the ledger, and nowhere else.
    std::fs::remove_file(world.path("people")).unwrap();
    for place in ["ledger", "uni", "hub", "st-mary"] {
        assert!(!stands_below(&world.path(place), PLANTED), "a name stands in {place}");
    }
}

#[test]
fn forged_and_foreign_receipts_prove_nothing() {
    let world = World::new(1);
    let permit = world.permit("patient_id,sex");
    let answer = world.ask(&permit, &count(FEMALE), "1");
    let receipt = answer["receipt"]["file"].as_str().unwrap().to_owned();
    let genesis = world.text("ledger/genesis.cbor");
    let verify = ["ledger", "verify", "receipt", &receipt, "--genesis", &genesis];
    world.json("none", &verify);
    // Of another ledger.
    let elsewhere = world.text("elsewhere");
    world.json(
        "none",
        &["ledger", "dev", "1", "--folder", &elsewhere, "--member", "hub:officer,administrator"],
    );
    let foreign = world.text("elsewhere/genesis.cbor");
    let (code, said) =
        world.failure("none", &["ledger", "verify", "receipt", &receipt, "--genesis", &foreign]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("proves nothing"), "{said}");
    // Each of many single changes, anywhere in it.
    let bytes = std::fs::read(&receipt).unwrap();
    let forged = world.text("forged.cbor");
    for at in (0..bytes.len()).step_by(bytes.len() / 25) {
        let mut altered = bytes.clone();
        altered[at] ^= 0x01;
        std::fs::write(&forged, altered).unwrap();
        let words = ["ledger", "verify", "receipt", &forged, "--genesis", &genesis];
        let (code, said) = world.failure("none", &words);
        assert!(code == 3 && said.contains("proves nothing"), "byte {at}: {code} {said}");
    }
    // Cut short, and no receipt at all.
    std::fs::write(&forged, &bytes[..bytes.len() / 2]).unwrap();
    let words = ["ledger", "verify", "receipt", &forged, "--genesis", &genesis];
    assert_eq!(world.failure("none", &words).0, 3);
    let (code, said) = world.failure("none", &["ledger", "verify", "receipt", &receipt]);
    assert!(code == 2 && said.contains("--genesis"), "{code} {said}");
    exports_are_walked_through(&world, &genesis, &foreign);
}

fn exports_are_walked_through(world: &World, genesis: &str, foreign: &str) {
    let file = world.text("export");
    let exported = world.json("hub", &["ledger", "export", &file]);
    assert!(exported["blocks"].as_u64().unwrap() >= 5, "{exported}");
    let walked = world.json("none", &["ledger", "verify", "export", &file, "--genesis", genesis]);
    assert_eq!(walked["blocks"], exported["blocks"]);
    let (code, said) =
        world.failure("none", &["ledger", "verify", "export", &file, "--genesis", foreign]);
    assert!(code == 3 && said.contains("trusted is"), "{code} {said}");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 40;
    bytes[last] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    assert_eq!(
        world.failure("none", &["ledger", "verify", "export", &file, "--genesis", genesis]).0,
        3
    );
    assert!(!bytes.windows(PLANTED.len()).any(|w| w == PLANTED.as_bytes()));
    let watched = world.command("hub", &["ledger", "watch", "--after", "0", "--blocks", "2"]);
    let output = { watched }.output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((lines.lines().count(), first["block"].as_u64()), (2, Some(1)), "{lines}");
    let status = world.json("hub", &["ledger", "status"]);
    assert_eq!(status[0]["state"], "serves", "{status}");
}

#[test]
fn a_node_killed_between_receipt_and_release_answers_later_for_nothing() {
    let mut world = World::new(1);
    let permit = world.permit("patient_id,sex");
    let spent_by = |world: &World| {
        let shown = world.json("uni", &["permit", "show", &permit]);
        shown["grounds"][0]["epsilon_spent"].as_f64().unwrap()
    };
    // The hospital reaches the ledger over a slow line.
    let validator = world.json("uni", &["ledger", "status"])[0]["validator"].clone();
    let validator = validator.as_str().unwrap().trim_start_matches("https://").to_owned();
    let line = SlowLine::to(&validator);
    world.hospital.take().unwrap().kill();
    let settings = world.path("st-mary/salus.toml");
    let direct = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, direct.replace(&validator, &line.address)).unwrap();
    world.start_hospital();
    line.slow.store(true, std::sync::atomic::Ordering::SeqCst);

    let file = world.text("crash.json");
    std::fs::write(&file, count(FEMALE)).unwrap();
    let words = ["query", "--permit", &permit, "--question", &file, "--epsilon", "1"];
    let mut asking = world.command("uni", &words);
    let asking = asking.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while spent_by(&world) == 0.0 {
        assert!(std::time::Instant::now() < until, "the ledger recorded no charge");
    }
    // Charged and receipted; the node has not heard of it yet.
    world.hospital.take().unwrap().kill();
    let asked = asking.wait_with_output().unwrap();
    assert_eq!(asked.status.code(), Some(4), "{}", String::from_utf8_lossy(&asked.stdout));
    assert_eq!(std::fs::read_dir(world.path("st-mary/answers")).unwrap().count(), 1);
    let charged = spent_by(&world);

    std::fs::write(&settings, direct).unwrap();
    world.start_hospital();
    let answer = world.json("uni", &words);
    assert_eq!(answer["repeated"], true, "{answer}");
    let (value, half) = estimate(&answer);
    assert!((value - PATIENTS as f64 / 2.0).abs() <= 4.0 * half, "{answer}");
    assert!((spent_by(&world) - charged).abs() < 1e-12, "it was charged twice");
    assert!(!stands_below(&world.path("st-mary/answers"), "female"));
}

/// A line to a server on which every answer takes long, once it is told so.
pub(crate) struct SlowLine {
    pub(crate) address: String,
    pub(crate) slow: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl SlowLine {
    pub(crate) fn to(server: &str) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let slow = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (server, told) = (server.to_owned(), slow.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = std::net::TcpStream::connect(&server) else { continue };
                let (to_server, to_client) =
                    (server.try_clone().unwrap(), client.try_clone().unwrap());
                let told = told.clone();
                std::thread::spawn(move || relay(client, to_server, || ()));
                std::thread::spawn(move || {
                    relay(server, to_client, || {
                        if told.load(std::sync::atomic::Ordering::SeqCst) {
                            std::thread::sleep(std::time::Duration::from_millis(2_000));
                        }
                    });
                });
            }
        });
        Self { address, slow }
    }
}

/// Carries bytes until one side hangs up.
fn relay(mut from: std::net::TcpStream, mut to: std::net::TcpStream, before: impl Fn()) {
    use std::io::{Read as _, Write as _};
    let mut bytes = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        before();
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}
