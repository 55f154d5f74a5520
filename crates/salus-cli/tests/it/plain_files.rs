//! The commands on a person's own files, through the binary: no site, no account, no set-up.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

/// Runs `salus` in an empty folder with nothing of a site in the environment.
fn salus(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_salus"));
    command.current_dir(folder).args(words).env_clear();
    command.output().unwrap()
}

fn json(folder: &Path, words: &[&str]) -> Json {
    let output = salus(folder, words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn adult() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/adult")
}

#[test]
fn a_table_is_measured_and_anonymised_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::copy(adult().join("adult_arx_30162x9.csv"), at.join("patients.csv")).unwrap();
    let hierarchies = adult();
    let risk =
        json(at, &["risk", "patients.csv", "--quasi-identifiers", "all", "--no-attacks", "--json"]);
    assert!((risk["average_risk"].as_f64().unwrap() - 0.646_575).abs() < 1e-6);
    let words = [
        "anonymise",
        "patients.csv",
        "--delimiter",
        ";",
        "--hierarchies",
        hierarchies.to_str().unwrap(),
        "--quasi-identifiers",
        "all",
        "--k",
        "5",
        "--suppression",
        "0.05",
        "--out",
        "anonymous.csv",
        "--json",
    ];
    let answer = json(at, &words);
    assert!((answer["loss"].as_f64().unwrap() - 0.241_932_37).abs() < 1e-8);
    assert!(answer["score"].is_f64());
    let again = salus(at, &["risk", "anonymous.csv"]);
    let text = String::from_utf8(again.stdout).unwrap();
    assert!(text.contains("Re-identification risk") && text.contains("membership"), "{text}");
    // Nobody said how wide it is read: as wide as terminals are. Commands are copied whole.
    let fits = |line: &str| line.chars().count() <= 80 || line.starts_with("  salus ");
    assert!(text.lines().all(fits), "{text}");
    let mut left: Vec<String> = std::fs::read_dir(at)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["anonymous.csv", "patients.csv"], "no site is made");
}

#[test]
fn a_table_that_must_not_go_out_is_told_by_the_exit_code_and_in_one_object() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("counts.csv"), "ward,count\na,40\nb,3\ntotal,43\n").unwrap();
    let reviewed = |words: &[&str]| salus(at, &[&["review", "counts.csv"], words].concat());
    let objected = reviewed(&["--json"]);
    assert_eq!(objected.status.code(), Some(3));
    let answer: Json = serde_json::from_slice(&objected.stdout).unwrap();
    assert_eq!(answer["passes"], false);
    let for_people = reviewed(&[]);
    assert_eq!(for_people.status.code(), Some(3));
    let said = String::from_utf8(for_people.stdout).unwrap();
    assert!(said.contains("not to be released as they are"), "{said}");
    let passing = reviewed(&["--least", "3", "--json"]);
    assert_eq!(passing.status.code(), Some(0));
    let answer: Json = serde_json::from_slice(&passing.stdout).unwrap();
    assert_eq!(answer["passes"], true);
}

#[test]
fn wrong_requests_have_their_exit_codes_and_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mut csv = "age,sex,note\n".to_owned();
    for i in 0..40 {
        csv.push_str(&format!("{},{},SECRETMARKER{i}\n", 20 + i, ["f", "m"][i % 2]));
    }
    std::fs::write(at.join("t.csv"), csv).unwrap();
    for (code, words) in [
        (2, vec!["risk", "absent.csv"]),
        (2, vec!["risk", "t.csv", "--quasi-identifiers", "weight"]),
        (2, vec!["anonymise", "t.csv", "--k", "41", "--out", "o.csv"]),
        (3, vec!["anonymise", "t.csv", "--k", "2", "--least-score", "100", "--out", "o.csv"]),
        (2, vec!["synthesise", "t.csv", "--epsilon", "1", "--delta", "0.5", "--out", "o.csv"]),
        (2, vec!["sample", "t.csv", "--out", "o.csv"]),
        (
            2,
            vec![
                "synthesise-together",
                "plan",
                "t.csv",
                "--hospital",
                "a",
                "--epsilon",
                "1",
                "--out",
                "o.csv",
            ],
        ),
        (2, vec!["synthesise-together", "ask", "t.csv", "t.csv", "--out", "o.csv"]),
        (2, vec!["recode", "t.csv", "--scheme", "t.csv", "--out", "o.csv"]),
        (2, vec!["transform", "t.csv", "--round", "sex=5", "--out", "o.csv"]),
        (2, vec!["release", "t.csv", "--plan", "t.csv"]),
        (2, vec!["exam", "t.csv", "--sheets", "1", "--register", "r.json", "--out", "o.csv"]),
        (2, vec!["genome", "t.csv", "--members", "t.csv", "--out", "o.csv"]),
        (2, vec!["deidentify", "fhir", "t.csv", "--out", "o.csv"]),
        (2, vec!["deidentify", "text", "absent.txt", "--out", "o.csv"]),
        (2, vec!["attack", "--real", "t.csv", "--control", "t.csv", "--released", "absent.csv"]),
        (
            2,
            vec![
                "unbias",
                "t.csv",
                "--sensitive",
                "sex",
                "--favourable",
                "age=99",
                "--out",
                "o.csv",
            ],
        ),
    ] {
        let output = salus(at, &words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(said.starts_with("salus: ") && !said.contains("SECRETMARKER"), "{said}");
        let with_json: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
        let output = salus(at, &with_json);
        let error: Json = serde_json::from_slice(&output.stdout).unwrap();
        assert!(error["error"].is_string() && error["class"].is_string(), "{error}");
        assert!(!at.join("o.csv").exists());
    }
}

#[test]
fn words_that_are_no_command_are_answered_in_json_where_that_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let rows: String = (0..40).map(|i| format!("{},{}\n", 20 + i, ["f", "m"][i % 2])).collect();
    std::fs::write(at.join("t.csv"), format!("age,sex\n{rows}")).unwrap();
    for (words, part) in [
        (&["risk", "--json"][..], "<FILE>"),
        (&["risk", "t.csv", "--json", "--bogus"], "--bogus"),
        (&["--json", "anonymise", "t.csv", "--k", "-1", "--out", "o.csv"], "--k"),
        (&["risk", "t.csv", "--least-score", "101", "--json"], "between 0 and 100"),
        (&["--json"], "subcommand"),
    ] {
        let output = salus(at, words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        let said: Json = serde_json::from_slice(&output.stdout).unwrap();
        let error = said["error"].as_str().unwrap();
        assert!(error.contains(part) && !error.contains("Usage"), "{words:?}: {error}");
        assert_eq!(said["class"], "bad-request");
    }
    // For people nothing is another than it was; after -- nothing is an option; help is no failure.
    let plain = salus(at, &["risk", "t.csv", "--bogus"]);
    assert_eq!((plain.status.code(), plain.stdout.is_empty()), (Some(2), true));
    assert!(String::from_utf8_lossy(&plain.stderr).contains("Usage"));
    let named = salus(at, &["risk", "--bogus", "--", "--json"]);
    assert_eq!((named.status.code(), named.stdout.is_empty()), (Some(2), true));
    let help = salus(at, &["risk", "--help", "--json"]);
    let said = String::from_utf8(help.stdout).unwrap();
    assert_eq!(help.status.code(), Some(0));
    let (own, global) = said.split_once("Global options:").unwrap();
    assert!(own.contains("--least-score") && !own.contains("--site"), "{said}");
    assert!(global.contains("--site") && global.contains("--json") && global.contains("--log"));
}

#[test]
fn a_score_that_is_never_reached_gives_its_attempts_as_an_array() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let rows: String = (0..80).map(|i| format!("{},{}\n", 20 + i, ["f", "m"][i % 2])).collect();
    std::fs::write(at.join("t.csv"), format!("age,sex\n{rows}")).unwrap();
    let words = ["anonymise", "t.csv", "--k", "2", "--until-score", "100", "--out", "o.csv"];
    let output = salus(at, &[&words[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(3));
    let said: Json = serde_json::from_slice(&output.stdout).unwrap();
    let error = said["error"].as_str().unwrap();
    assert!(
        error.contains("no release reaches a score of 100") && !error.contains('\n'),
        "{error}"
    );
    assert_eq!(said["attempts"][0]["attempt"], 1);
    assert!(said["attempts"][0]["settings"].to_string().contains("--k 2"));
    let people = salus(at, &words);
    assert!(String::from_utf8_lossy(&people.stderr).contains("settings"), "people get a table");
    assert!(!at.join("o.csv").exists());
}

/// `salus risk … | head -1`: who reads has enough, and what was done has its exit code.
#[test]
fn a_reader_who_leaves_is_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let rows: String = (0..40).map(|i| format!("{},{}\n", 20 + i % 7, ["f", "m"][i % 2])).collect();
    std::fs::write(at.join("people.csv"), format!("age,sex\n{rows}")).unwrap();
    std::fs::write(at.join("counts.csv"), "ward,count\na,40\nb,3\n").unwrap();
    let risk = ["risk", "people.csv", "--no-attacks"];
    for (words, code) in [
        (&risk[..], 0),
        (&["risk", "people.csv", "--no-attacks", "--json"], 0),
        (&["review", "counts.csv"], 3),
        (&["risk", "absent.csv", "--json"], 2),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_salus"));
        command.current_dir(at).args(words).env_clear();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(!said.contains("panicked"), "{words:?}: {said}");
    }
}
