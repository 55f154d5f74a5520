//! What people read: lines that fit a terminal, words in the right number, columns that say
//! something.

use std::path::PathBuf;

use salus_files::Answer;

use super::{Folder, json, run, text};

const WIDTH: usize = 80;

/// A table of people who differ in a few columns.
fn people(folder: &Folder, name: &str, many: u32) -> PathBuf {
    let mut csv = "age,sex,marital status of the person,employment,outcome\n".to_owned();
    let married = ["never married", "married", "divorced", "widowed"];
    let work = ["private", "public", "none", "self-employed", "retired"];
    // Other people in another file.
    let first = if name == "control.csv" { 70_000 } else { 0 };
    for i in first..first + many {
        // Spread without any order that the columns would share.
        let at =
            |salt: u32, many: usize| (i.wrapping_mul(2_654_435_761 + salt) >> 16) as usize % many;
        csv.push_str(&format!(
            "{},{},{},{},{}\n",
            20 + at(0, 60),
            ["m", "f"][i as usize % 2],
            married[at(7, 4)],
            work[at(13, 5)],
            if at(29, 10) < 3 + i as usize % 2 { "good" } else { "bad" }
        ));
    }
    folder.write(name, csv)
}

/// Lines that are too long, but for commands, which are copied.
fn too_long(said: &str) -> Vec<&str> {
    let command = |line: &&str| line.starts_with("  salus ");
    // Nor are paths broken, and temporary files may lie deep.
    let path =
        |line: &&str| line.split_whitespace().any(|w| w.starts_with('/') && w.len() > WIDTH / 2);
    let long = |line: &&str| line.chars().count() > WIDTH;
    said.lines().filter(|line| long(line) && !command(line) && !path(line)).collect()
}

/// What is read at that width, which has the same words as what is not laid out.
fn fitted(answer: &Answer) -> String {
    let said = answer.text_within(WIDTH);
    assert_eq!(too_long(&said), Vec::<&str>::new(), "{said}");
    assert!(!said.contains("\n\n\n"), "{said}");
    assert!(!said.contains("-0.00000"), "{said}");
    let words = |text: &str| {
        let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        words.retain(|word| !word.starts_with("--"));
        words.sort();
        words
    };
    assert_eq!(words(&said), words(answer.text()));
    said
}

#[test]
fn what_is_said_of_risks_and_attacks_fits_a_terminal() {
    let folder = Folder::new();
    let (real, control) =
        (people(&folder, "real.csv", 1_200), people(&folder, "control.csv", 1_100));
    let risk = run(&["risk", text(&real), "--least-score", "99"]).unwrap();
    let said = fitted(&risk);
    for part in ["score as it is", "Columns that tell most", "Not run, and no risk in the score"] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    // Those that had the same reason are told together, and not in the table.
    let not_run = said.lines().find(|line| line.contains("  - membership by likelihood"));
    assert!(not_run.is_some_and(|line| line.contains("membership by shadow models")), "{said}");
    assert!(!said.contains("not run:"), "{said}");
    let words = ["attack", "--real", text(&real), "--control", text(&control)];
    let answer = run(&[&words[..], &["--released", text(&real)]].concat()).unwrap();
    let said = fitted(&answer);
    let numbers: Vec<usize> = said
        .lines()
        .filter(|line| line.starts_with("  inference of"))
        .filter_map(|line| line.find(" %").map(|at| line[..at].chars().count()))
        .collect();
    assert!(numbers.len() >= 4, "{said}");
    assert!(numbers.iter().all(|at| Some(at) == numbers.first()), "{said}");
}

#[test]
fn the_most_successful_attack_is_named_with_its_column_and_counts_as_in_the_table() {
    let folder = Folder::new();
    let real = people(&folder, "real.csv", 1_200);
    let control = people(&folder, "control.csv", 1_100);
    // Of a release that tells the outcome and nothing else of anybody, inference and membership are
    // left, and lots decide which of them does better.
    let mut lone = "sex,outcome\n".to_owned();
    for i in 0..1_200 {
        lone.push_str(["m,bad\n", "f,good\n"][i % 2]);
    }
    let lone = folder.write("lone.csv", lone);
    let words =
        ["attack", "--real", text(&real), "--control", text(&control), "--secrets", "outcome"];
    let said: Vec<String> = (0..30)
        .map(|_| {
            let answer = json(&[&words[..], &["--released", text(&lone)]].concat());
            let of = |line: &serde_json::Value| {
                line["attack"] == "inference" && line["risk"].is_number()
            };
            assert!(answer["attacks"].as_array().unwrap().iter().any(of), "{answer}");
            answer["words"].as_str().unwrap().to_owned()
        })
        .collect();
    let named = said.iter().find(|s| s.contains("the most successful was inference of outcome:"));
    assert!(named.is_some_and(|said| said.contains("of 1,100 attempts")), "{said:?}");
}

#[test]
fn what_is_said_of_a_release_fits_a_terminal_and_explains_itself() {
    let folder = Folder::new();
    let table = people(&folder, "t.csv", 600);
    let out = folder.path("anonymous.csv");
    let words = ["anonymise", text(&table), "--quasi-identifiers", "age,sex", "--k", "3"];
    let made = run(&[&words[..], &["--suppression", "0.1", "--out", text(&out)]].concat()).unwrap();
    let said = fitted(&made);
    assert!(said.contains("total variation") && said.contains("0 % is alike"), "{said}");
    let out = folder.path("synthetic.csv");
    let words = ["synthesise", text(&table), "--domains-are-public", "--out", text(&out)];
    for (method, name) in [("mst", "MST"), ("copula", "Gaussian copula")] {
        let own = ["--method", method, "--epsilon", "2000", "--attacks"];
        let said = fitted(&run(&[&words[..], &own].concat()).unwrap());
        assert!(
            said.lines()
                .any(|line| line.split_once("method").is_some_and(|(_, m)| m.trim() == name)),
            "{said}"
        );
        assert!(!said.contains("000.0000") && said.contains("score  "), "{said}");
    }
}

#[test]
fn a_review_has_no_gaps_and_counts_in_the_right_number() {
    let folder = Folder::new();
    let rows = "a,f,20\na,m,3\na,total,23\nb,f,31\nb,m,52\nb,each,83\n";
    let table = folder.write("c.csv", format!("ward,sex,count\n{rows}"));
    let out = folder.path("shown.csv");
    let said = fitted(&run(&["review", text(&table), "--out", text(&out)]).unwrap());
    assert!(said.starts_with("6 cells: not to be released as they are."), "{said}");
    let unbroken = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(unbroken.contains("1 small cell left empty"), "{said}");
    assert!(unbroken.contains("write totals as one word, and name it with --total"), "{said}");
}

#[test]
fn groups_are_told_in_their_order_and_numbers_without_noise() {
    let folder = Folder::new();
    let table = people(&folder, "t.csv", 900);
    let words = ["unbias", text(&table), "--sensitive", "sex", "--favourable", "outcome=good"];
    let said = fitted(&run(&words).unwrap());
    let at = |group: &str| said.lines().position(|line| line.starts_with(group));
    assert!(at("  f  ").is_some() && at("  f  ") < at("  m  "), "{said}");
    let digits = |word: &str| word.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    assert!(said.split_whitespace().all(|word| digits(word) <= 5), "{said}");
}
