//! The access log on the command line, beside a running node and without one.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_model::{ManualClock, Purpose, Secret};
use salus_store::audit::{AccessKind, AuditEntry, Outcome};
use serde_json::Value as Json;

use crate::node::{Http, Node};
use crate::site::Site;

fn site() -> Site {
    let site = Site::new();
    site.import("visits", "patient_id,pulse\np1,70\np2,80\n");
    site.import("meals", "patient_id,kcal\np1,200\n");
    site
}

fn statements(records: &Json) -> Vec<&str> {
    let of = |r: &'_ Json| r["entry"]["statement"].as_str().map(str::len);
    assert!(records.as_array().unwrap().iter().all(|r| of(r).is_some()), "{records}");
    records.as_array().unwrap().iter().map(|r| r["entry"]["statement"].as_str().unwrap()).collect()
}

#[test]
fn the_log_is_listed_by_person_dataset_role_and_time() {
    let site = site();
    let list = |words: &[&str]| {
        let mut all = vec!["audit", "list"];
        all.extend(words);
        site.json(&all)
    };
    site.json(&["sql", "SELECT pulse FROM visits"]);
    site.json(&["sql", "SELECT kcal FROM meals", "--role", "analyst"]);
    site.failure(&["sql", "SELECT kcal FROM meals", "--role", "janitor"]);
    let middle = list(&["--latest", "1"])[0]["at"].as_str().unwrap().to_owned();
    site.json(&["sql", "SELECT patient_id FROM visits"]);

    let of_visits = list(&["--dataset", "visits"]);
    assert_eq!(
        statements(&of_visits),
        ["SELECT pulse FROM visits", "SELECT patient_id FROM visits"]
    );
    assert_eq!(of_visits[0]["entry"]["datasets"]["visits"], serde_json::json!(["pulse"]));
    assert_eq!(statements(&list(&["--role", "analyst"])), ["SELECT kcal FROM meals"]);
    let refused = list(&["--role", "janitor"]);
    assert!(refused[0]["entry"]["outcome"]["refused"].is_object(), "{refused}");
    assert_eq!(
        statements(&list(&["--kind", "sql", "--from", &middle])),
        ["SELECT kcal FROM meals", "SELECT patient_id FROM visits"],
        "from that moment on, it included"
    );
    let before = list(&["--kind", "sql", "--until", &middle]);
    assert!(statements(&before).len() >= 2 && !before.to_string().contains("SELECT patient_id"));
    assert_eq!(list(&["--staff", "nobody"]), serde_json::json!([]));
    // The account that the system knows; what the environment says (tester) is believed of nobody.
    let mine = list(&["--staff", &operator(), "--kind", "sql"]);
    assert_eq!(list(&["--staff", "operator:tester"]), serde_json::json!([]));
    assert_eq!(statements(&mine).len(), 4);
    // Reading it is on record too.
    let readings = list(&["--kind", "audit-reading"]);
    assert!(readings.as_array().unwrap().len() >= 7, "{readings}");

    let shown = site.json(&["audit", "show", "1"]);
    assert_eq!(shown["sequence"], 1);
    let (code, said) = site.failure(&["audit", "show", "100000"]);
    assert!(code == 2 && said.contains("no access record"), "{said}");
}

#[test]
fn a_changed_log_and_one_taken_back_are_found() {
    let site = site();
    site.json(&["sql", "SELECT pulse FROM visits"]);
    let audit = site.path("site/audit");
    crate::site::copy(&audit, &site.path("earlier"));
    site.json(&["sql", "SELECT kcal FROM meals"]);
    let head = site.json(&["audit", "verify"])["head"].clone();
    let kept = format!("{}:{}", head["sequence"], head["head"].as_str().unwrap());
    let again = site.json(&["audit", "verify", "--head", &kept]);
    assert_eq!(again["compared"], 1, "{again}");

    // The whole log as it was before opens, and is told by the head that was kept.
    std::fs::remove_dir_all(&audit).unwrap();
    crate::site::copy(&site.path("earlier"), &audit);
    site.json(&["audit", "verify"]);
    let (code, said) = site.failure(&["audit", "verify", "--head", &kept]);
    assert!(code == 5 && said.contains("missing"), "{code}: {said}");

    // One flipped byte in an old record is found by whoever opens it. (In the very last one it
    // would look like what a crash tore.)
    for i in 0..3 {
        site.json(&["sql", &format!("SELECT {i} AS n")]);
    }
    let segment = std::fs::read_dir(&audit)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_file() && p.file_name().is_some_and(|n| n != "lock"))
        .max_by_key(|p| p.metadata().unwrap().len())
        .unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let early = bytes.len() / 4;
    bytes[early] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let (code, said) = site.failure(&["audit", "verify"]);
    assert_eq!(code, 5, "{said}");
    let output = site.salus(&["doctor"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && text.contains("MEND  access log"), "{text}");
}

#[test]
fn an_export_is_private_and_harmless_in_a_spreadsheet() {
    let site = site();
    site.failure(&["sql", "=HYPERLINK(\"http://evil.example\")"]);
    let (ndjson, csv) = (site.text_path("out.ndjson"), site.text_path("out.csv"));
    let exported = site.json(&["audit", "export", &ndjson]);
    let lines = std::fs::read_to_string(&ndjson).unwrap();
    assert_eq!(exported["records"], lines.lines().count(), "{exported}");
    assert!(lines.lines().all(|l| serde_json::from_str::<Json>(l).is_ok()));
    let mode = std::fs::metadata(&ndjson).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    site.json(&["audit", "export", &csv, "--format", "csv", "--kind", "sql"]);
    let text = std::fs::read_to_string(&csv).unwrap();
    assert!(text.contains("\"'=HYPERLINK") && !text.contains(",\"=HYPERLINK"), "{text}");
    let (code, _) = site.failure(&["audit", "export", &ndjson]);
    assert_eq!(code, 4, "a file was overwritten");
}

#[test]
fn operators_work_through_the_node_that_runs() {
    let site = site();
    let ann = site.token("ann", &["physician"], "treatment");
    let node = Node::start(&site);
    let http = Http::of(&site);
    assert_eq!(http.sql(&node, &ann, "physician", "SELECT pulse FROM visits").unwrap().0, 200);
    let rows = site.json(&["sql", "SELECT pulse FROM visits ORDER BY pulse"]);
    assert_eq!(rows.to_string(), r#"[{"pulse":70},{"pulse":80}]"#);
    let (code, said) = site.failure(&["sql", "SELECT nothing FROM visits"]);
    assert!(code == 2 && said.contains("nothing"), "{code}: {said}");
    let (code, _) = site.failure(&["sql", "SELECT pulse FROM visits", "--role", "janitor"]);
    assert_eq!(code, 3);
    let listed = site.json(&["audit", "list", "--dataset", "visits"]);
    let staff: Vec<&str> =
        listed.as_array().unwrap().iter().map(|r| r["entry"]["staff"].as_str().unwrap()).collect();
    assert!(staff.contains(&"ann") && staff.contains(&operator().as_str()), "{staff:?}");
    let well = site.json(&["doctor"]);
    assert!(well.as_array().unwrap().iter().all(|f| f["ok"] == true), "{well}");
    assert!(well.to_string().contains("is the running node's"), "{well}");
    site.json(&["audit", "verify"]);
    // Whoever cannot open the site cannot have the node do it for them.
    let wrong = site
        .command(&["sql", "SELECT pulse FROM visits"])
        .env("SALUS_PASSPHRASE", "incorrect horse battery")
        .output()
        .unwrap();
    assert!(!wrong.status.success());
    let stranger = Site::new();
    let run = stranger.path("site/run");
    std::fs::create_dir_all(&run).unwrap();
    std::os::unix::fs::symlink(site.path("site/run/node.sock"), run.join("node.sock")).unwrap();
    let (code, said) = stranger.failure(&["sql", "SELECT pulse FROM visits"]);
    assert!(code == 3 && said.contains("does not prove"), "{code}: {said}");
    let mode = std::fs::metadata(site.path("site/run")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700, "others can reach the socket");

    drop(node);
    // What a killed node left is no hindrance.
    assert_eq!(site.json(&["sql", "SELECT count(*) AS n FROM visits"])[0]["n"], 2);
}

#[test]
fn records_go_only_beyond_their_retention() {
    let refused = Site::unmade(&[]).init(&["--audit-keep-days", "30"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("at least 366 days"), "{said}");

    let site = Site::with(&["--audit-keep-days", "400"], &[]);
    site.import("visits", "patient_id,pulse\np1,70\n");
    site.json(&["sql", "SELECT pulse FROM visits"]);
    let removed = site.json(&["audit", "expire"]);
    assert_eq!(removed["segments"], 0, "{removed}");
    assert_eq!(site.json(&["audit", "list", "--kind", "sql"]).as_array().unwrap().len(), 1);
    // By hand the file cannot be made to keep less than a year either.
    let toml = site.path("site/salus.toml");
    let text = std::fs::read_to_string(&toml).unwrap().replace("keep_days = 400", "keep_days = 7");
    std::fs::write(&toml, text).unwrap();
    let (code, said) = site.failure(&["audit", "list"]);
    assert!(code == 2 && said.contains("at least 366 days"), "{code}: {said}");
}

/// Writes records into the site's log as they would have been written so many days ago.
async fn recorded(site: &Site, days_ago: &[i64]) {
    let phrase = Passphrase::new(Secret::new("correct horse battery".to_owned())).unwrap();
    let folder = site.path("site");
    let opened = salus_node::Site::open(&folder, phrase, GuessCost::RFC_9106_SECOND).await.unwrap();
    let now = opened.clock.now();
    for days in days_ago {
        let at = now.saturating_add_micros(-days * 24 * 3_600_000_000);
        let then = salus_node::Site { clock: Arc::new(ManualClock::new(at)), ..opened.clone() };
        let log = then.open_audit().await.unwrap();
        let entry = AuditEntry {
            deal: format!("d-{days}").parse().unwrap(),
            staff: "ann".parse().unwrap(),
            role: "physician".parse().unwrap(),
            purpose: Purpose::Treatment,
            kind: AccessKind::Sql,
            statement: format!("{days} days ago"),
            datasets: std::collections::BTreeMap::new(),
            outcome: Outcome::Answered { rows: 1 },
        };
        log.append(entry).await.unwrap();
        Arc::try_unwrap(log).ok().unwrap().close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_records_expire_with_their_segment_and_younger_ones_stay() {
    // One segment that began long ago and is continued: it ends here, and stays for its young.
    let site = Site::new();
    recorded(&site, &[400, 390, 300]).await;
    let removed = site.json(&["audit", "expire"]);
    assert_eq!(removed["segments"], 0, "{removed}");
    let of_ann = |site: &Site| {
        let found = site.json(&["audit", "list", "--staff", "ann"]);
        statements(&found).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of_ann(&site), ["400 days ago", "390 days ago", "300 days ago"]);
    let listed = site.json(&["audit", "list", "--kind", "upkeep"]);
    assert_eq!(statements(&listed), ["began a new segment of the access log"]);
    // One in which all is old.
    let site = Site::new();
    recorded(&site, &[500, 400, 367]).await;
    let head = site.json(&["audit", "verify"])["head"].clone();
    let removed = site.json(&["audit", "expire"]);
    assert_eq!(removed["segments"], 1, "{removed}");
    assert_eq!(of_ann(&site), Vec::<String>::new());
    let checked = site.json(&["audit", "verify"]);
    assert!(checked["first"].as_u64() > head["sequence"].as_u64(), "{checked}");
    let listed = site.json(&["audit", "list", "--kind", "upkeep"]);
    let told = statements(&listed);
    assert!(told.len() == 2 && told[1].starts_with("removed access records before"), "{told:?}");
    // The running node does so by itself.
    let site = Site::new();
    recorded(&site, &[500, 400]).await;
    let node = Node::start(&site);
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !of_ann(&site).is_empty() {
        assert!(std::time::Instant::now() < until, "the node keeps them");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    drop(node);
}

/// The account that runs the tests, as the access log names it.
fn operator() -> String {
    let id = std::process::Command::new("id").arg("-un").output().unwrap();
    format!("operator:{}", String::from_utf8(id.stdout).unwrap().trim())
}
