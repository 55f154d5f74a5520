//! A destroyed dataset stays destroyed, whatever is tried.

use crate::node::{Http, Node};
use crate::site::{Site, copy, stands_below};

const MARKER: &str = "SHREDMARKER";
/// Long enough that no name of a temporary folder contains it.
const PERSON: &str = "PERSONMARKER";

fn site() -> Site {
    let site = Site::new();
    let csv = format!("patient_id,pulse,note\n{PERSON},70,{MARKER}\np2,80,calm\n");
    let (file, schema) = site.csv("visits", &csv);
    std::fs::write(&file, csv + "p3,fast,QUARANTINEMARKER\n").unwrap();
    let report = site.json(&["import", &file, "--schema", &schema]);
    assert_eq!(report[0]["quarantined"], 1, "{report}");
    std::fs::remove_file(&file).unwrap();
    site.import("visits.clinical", "patient_id,value\nq1,5\n");
    site
}

/// Every command that could show something of a dataset, with the backup back in its place.
fn nothing_shows(site: &Site) {
    let out = site.text_path("out");
    let attempts: [&[&str]; 14] = [
        &["sql", "SELECT * FROM visits"],
        &["sql", "SELECT note FROM visits"],
        &["sql", "SELECT count(*) FROM visits"],
        &["sql", "SELECT * FROM visits_quarantine"],
        &["dataset", "show", "visits"],
        &["dataset", "verify", "visits"],
        &["dataset", "compact", "visits"],
        &["dataset", "shred", "visits", "--yes-destroy", "visits"],
        &["keys", "rotate", "visits.freetext"],
        &["keys", "reinstate", "visits.freetext"],
        &["keys", "revoke", "visits.freetext"],
        &["dataset", "list"],
        &["keys", "list"],
        &["audit", "export", &out],
    ];
    for words in attempts {
        let output = site.salus(words);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        for marker in [MARKER, "QUARANTINEMARKER", PERSON] {
            assert!(!said.contains(marker), "{words:?}: {said}");
        }
        let lists = matches!(words, ["dataset", "list"] | ["keys", "list"] | ["audit", ..]);
        let destroys_again = words.contains(&"shred");
        assert!(lists || destroys_again || !output.status.success(), "{words:?}: {said}");
    }
}

#[test]
fn a_destroyed_dataset_is_got_back_by_no_command_and_no_backup_of_the_lake() {
    let site = site();
    assert_eq!(site.json(&["sql", "SELECT count(note) AS n FROM visits"])[0]["n"], 2);
    copy(&site.path("site/lake"), &site.path("backup"));
    // Neither by accident nor half.
    let (code, said) = site.failure(&["dataset", "shred", "visits"]);
    assert!(code == 2 && said.contains("--yes-destroy visits"), "{said}");
    let (code, _) = site.failure(&["dataset", "shred", "visits", "--yes-destroy", "visit"]);
    assert_eq!(code, 2);
    assert_eq!(site.json(&["sql", "SELECT count(note) AS n FROM visits"])[0]["n"], 2);

    let output = site.salus(&["dataset", "shred", "visits", "--yes-destroy", "visits"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("Backups of the lake"), "{said}");
    assert!(said.contains("visits_quarantine"), "{said}");
    assert!(!site.path("site/lake/datasets/visits").exists(), "files are left");
    let (code, said) = site.failure(&["sql", "SELECT note FROM visits"]);
    assert!(code == 3 && said.contains("no dataset 'visits'"), "{code}: {said}");

    copy(&site.path("backup"), &site.path("site/lake"));
    nothing_shows(&site);
    assert!(!stands_below(&site.path("site"), MARKER));
    // A dataset whose name begins alike has lost nothing.
    assert_eq!(site.json(&["sql", "SELECT value FROM \"visits.clinical\""])[0]["value"], 5);
    let done = site.json(&["audit", "list", "--kind", "key-operation"]);
    let done = done.as_array().unwrap();
    assert!(done.iter().any(|r| r["entry"]["statement"] == "shred dataset visits"), "{done:?}");
}

#[test]
fn a_running_node_forgets_a_destroyed_dataset_at_once() {
    let site = site();
    let ann = site.token("ann", &["physician"], "treatment");
    let node = Node::start(&site);
    let http = Http::of(&site);
    let ask = || http.sql(&node, &ann, "physician", "SELECT note FROM visits").unwrap();
    let before = ask();
    assert!(before.0 == 200 && before.1.contains(MARKER), "{before:?}");
    copy(&site.path("site/lake"), &site.path("backup"));
    site.json(&["dataset", "shred", "visits", "--yes-destroy", "visits"]);
    copy(&site.path("backup"), &site.path("site/lake"));
    let after = ask();
    assert!(after.0 != 200 && !after.1.contains(MARKER), "{after:?}");
}

#[test]
fn a_key_that_protects_two_datasets_is_destroyed_with_neither_alone() {
    let site = Site::new();
    for dataset in ["one", "two"] {
        let (file, schema) = site.csv(dataset, "patient_id,pulse\np1,70\n");
        let text = std::fs::read_to_string(&schema).unwrap();
        let shared = text.replacen("class = \"clinical\"", "class = \"key:shared\"", 1);
        assert_ne!(text, shared, "{text}");
        std::fs::write(&schema, shared).unwrap();
        site.json(&["import", &file, "--schema", &schema]);
    }
    let (code, said) = site.failure(&["dataset", "shred", "one", "--yes-destroy", "one"]);
    assert!(code == 2 && said.contains("'shared' protects dataset two"), "{code}: {said}");
    assert_eq!(site.json(&["sql", "SELECT pulse FROM one"])[0]["pulse"], 70);
}
