//! The loop on the score: an adjustment is proposed, and applied until score or floor is met.

use serde_json::Value;

use crate::{Folder, adult, json, refusal, run, text};

const TABLE: &str = "adult_arx_30162x9.csv";

/// The first lines of the Adult table.
pub(crate) fn some(folder: &Folder, name: &str, rows: usize) -> std::path::PathBuf {
    let whole = std::fs::read_to_string(adult(TABLE)).unwrap();
    let lines: Vec<&str> = whole.lines().take(rows + 1).collect();
    folder.write(name, lines.join("\n") + "\n")
}

#[test]
fn a_table_as_it_is_gets_a_first_step_proposed() {
    let folder = Folder::new();
    let table = some(&folder, "t.csv", 6_000);
    let answer = json(&["risk", text(&table), "--least-score", "90"]);
    println!("score {} next {}", answer["score"], answer["next"]);
    assert!(answer["score"].as_f64().unwrap() < 90.0);
    assert_eq!(answer["next"]["option"], "--k 5");
    assert!(answer["next"]["why"].as_str().unwrap().contains("reaches up to"));
    let content = run(&["risk", text(&table), "--least-score", "90"]).unwrap();
    // A whole command, as it is typed.
    let out = folder.path("t-anonymous.csv");
    let next = format!("salus anonymise {} --k 5 --out {}", text(&table), text(&out));
    assert!(content.text().contains(&next), "{}", content.text());
    let calm = json(&["risk", text(&table), "--least-score", "0"]);
    assert!(calm["next"].is_null());
}

#[test]
fn a_score_below_the_threshold_says_what_to_try() {
    let folder = Folder::new();
    let (table, hierarchies, out) =
        (some(&folder, "t.csv", 3_000), adult(""), folder.path("out.csv"));
    let said = refusal(&[
        "anonymise",
        text(&table),
        "--hierarchies",
        text(&hierarchies),
        "--k",
        "2",
        "--suppression",
        "0.05",
        "--attempts",
        "200",
        "--least-score",
        "97",
        "--out",
        text(&out),
    ]);
    println!("{said}");
    assert!(said.contains("below 97: nothing was written"));
    assert!(said.contains("Try --k ") || said.contains("Try --attempts"), "{said}");
    assert!(!out.exists());
}

/// The loop on Adult from k = 2, until a score.
fn until(score: &str, floor: &str, attempts: &str, more: &[&str]) -> Vec<String> {
    let mut words: Vec<String> = [
        "--k",
        "2",
        "--suppression",
        "0.05",
        "--attempts",
        attempts,
        "--until-score",
        score,
        "--utility-floor",
        floor,
    ]
    .map(str::to_owned)
    .to_vec();
    words.extend(more.iter().map(|w| (*w).to_owned()));
    words
}

// An attack that succeeds on nobody at all leaves 13 % open after 60 attempts, so that the first score
// is below 90 whatever is drawn. With all people tried k = 2 and the next few sizes score 92 and more,
// give or take 2: that none of the four does has a chance far below 1 in 1,000.
#[test]
fn the_loop_raises_what_it_says_until_the_score_is_met() {
    let folder = Folder::new();
    let (table, hierarchies) = (adult(TABLE), adult(""));
    let (out, certificate) = (folder.path("out.csv"), folder.path("c.html"));
    let mut words = vec!["anonymise", text(&table), "--hierarchies", text(&hierarchies)];
    let options = until("90", "0.3", "60", &["--certificate", text(&certificate)]);
    words.extend(options.iter().map(String::as_str));
    words.extend(["--out", text(&out)]);
    let answer = json(&words);
    let attempts = answer["attempts"].as_array().unwrap();
    for attempt in attempts {
        println!("{attempt}");
    }
    assert!(attempts.len() >= 2, "60 attempts leave more than 10 % open");
    assert!(answer["score"].as_f64().unwrap() >= 90.0);
    let (last, failed) = attempts.split_last().unwrap();
    assert_eq!(last["score"], answer["score"]);
    assert!(last["adjusted"].is_null() && answer["epsilon_spent"].is_null());
    let page = std::fs::read_to_string(certificate).unwrap();
    for (i, attempt) in failed.iter().enumerate() {
        let score = attempt["score"].as_f64().unwrap();
        assert!(score < 90.0);
        // The next attempt was made with what was proposed after this one.
        let option = attempt["adjusted"]["option"].as_str().unwrap();
        let settings = attempts[i + 1]["settings"].as_array().unwrap();
        assert!(settings.iter().any(|s| s == option), "{option} is not in {settings:?}");
        // And what it was made with, what it left open and why stay with the steward. Its bare
        // score is not looked for: some other number of the page may well be the same.
        let why = attempt["adjusted"]["why"].as_str().unwrap();
        assert!(!page.contains(why), "a failed attempt is in the certificate: {why}");
    }
    assert!(!page.contains("--attempts 60"), "failed attempts are in the certificate");
    assert!(page.contains("the first of at most 8 ways"));
    assert!(out.exists());
}

#[test]
fn the_loop_stops_at_the_utility_floor_and_writes_nothing() {
    let folder = Folder::new();
    let (table, hierarchies, out) =
        (some(&folder, "t.csv", 4_000), adult(""), folder.path("out.csv"));
    let mut words = vec!["anonymise", text(&table), "--hierarchies", text(&hierarchies)];
    let options = until("97", "0.99", "150", &[]);
    words.extend(options.iter().map(String::as_str));
    words.extend(["--out", text(&out)]);
    let said = refusal(&words);
    println!("{said}");
    assert!(said.contains("the utility fell below 0.99"), "{said}");
    assert!(said.contains("Nothing was written") && said.contains("attempt"));
    assert!(!out.exists());
}

fn epsilons(answer: &Value) -> (f64, f64, usize) {
    let attempts = answer["attempts"].as_array().unwrap();
    let charged: f64 = attempts.iter().map(|a| a["epsilon_charged"].as_f64().unwrap()).sum();
    (charged, answer["epsilon_spent"].as_f64().unwrap(), attempts.len())
}

#[test]
fn every_attempt_of_a_private_generalisation_is_charged_and_said() {
    let folder = Folder::new();
    let (table, hierarchies, out) = (adult(TABLE), adult(""), folder.path("out.csv"));
    let words = [
        "anonymise",
        text(&table),
        "--hierarchies",
        text(&hierarchies),
        "--quasi-identifiers",
        "sex,age,race,education",
        "--epsilon",
        "2",
        "--attempts",
        "60",
        "--until-score",
        "90",
        "--out",
        text(&out),
    ];
    let answer = json(&words);
    for attempt in answer["attempts"].as_array().unwrap() {
        println!("{attempt}");
    }
    let (charged, spent, attempts) = epsilons(&answer);
    assert!((charged - spent).abs() < 1e-9 && attempts >= 2, "{charged} {spent} {attempts}");
    let delta = answer["delta_spent"].as_f64().unwrap();
    assert!((delta - 1e-6 * attempts as f64).abs() < 1e-12);
    assert!(answer["notes"].to_string().contains("ε does not cover that"));
    assert!(answer["models"].to_string().contains("differential privacy"));
    let written = std::fs::read_to_string(&out).unwrap();
    // Nothing but the quasi-identifiers is published, and no suppressed record.
    assert_eq!(written.lines().next().unwrap(), "sex;age;race;education");
    let published = 30_162 - answer["suppressed"].as_u64().unwrap() as usize;
    assert_eq!(written.lines().count(), published + 1);
    let said = refusal(&[
        "anonymise",
        text(&table),
        "--hierarchies",
        folder.path("").to_str().unwrap(),
        "--epsilon",
        "1",
        "--out",
        text(&out),
    ]);
    assert!(said.contains("hierarchies that do not come from the table"), "{said}");
}

#[test]
fn a_private_synthesis_is_charged_for_each_attempt() {
    let folder = Folder::new();
    let (table, hierarchies, out) =
        (some(&folder, "t.csv", 2_000), adult(""), folder.path("out.csv"));
    let words = |until: &'static str, least: &'static str| {
        vec![
            "synthesise",
            text(&table),
            "--hierarchies",
            text(&hierarchies),
            "--method",
            "mst",
            "--epsilon",
            "1",
            // So few that no column whose values are guessed half of the time, and there are
            // several, can be shown to score 40; ten times as many can.
            "--attempts",
            "40",
            until,
            least,
            "--out",
            text(&out),
        ]
    };
    let answer = json(&words("--until-score", "40"));
    for attempt in answer["attempts"].as_array().unwrap() {
        println!("{attempt}");
    }
    let (charged, spent, attempts) = epsilons(&answer);
    println!("{attempts} attempts: ε {charged} one by one, {spent} together");
    assert!(attempts >= 2, "40 attempts cannot show a score of 40");
    // ρ adds up, so together they cost less than the sum of their ε, and more than one.
    assert!(spent <= charged && spent > answer["attempts"][0]["epsilon_charged"].as_f64().unwrap());
    assert!(answer["score"].as_f64().unwrap() >= 40.0);
    let said = refusal(&words("--least-score", "99.9"));
    assert!(said.contains("is charged all the same") && said.contains("below 99.9"), "{said}");
}
