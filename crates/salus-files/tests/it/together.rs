//! Hospitals that fit one model and hand no rows out.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Folder, json, refusal, text};

const CODEBOOK: &str = r#"
[[column]]
name = "sex"
values = ["f", "m"]

[[column]]
name = "smoker"
values = ["yes", "no"]

[[column]]
name = "copd"
values = ["yes", "no"]

[[column]]
name = "age"
between = [18, 90]

[[column]]
name = "visit"
days = ["2026-01-01", "2026-12-31"]
bins = 12
"#;

/// A hospital's own table, with its own way to write dates; smokers have COPD.
fn hospital(folder: &Folder, name: &str, people: u32, form: &str) -> PathBuf {
    let mut csv = "record,age,copd,visit,sex,smoker,note\n".to_owned();
    for i in 0..people {
        let smoker = if i % 4 == 0 { "yes" } else { "no" };
        let copd = if smoker == "yes" && i % 8 < 6 { "yes" } else { "no" };
        let day = chrono::NaiveDate::from_yo_opt(2026, 1 + i * 13 % 365).unwrap();
        let sex = ["f", "m"][(i % 2) as usize];
        writeln!(csv, "{name}-{i},{},{copd},{},{sex},{smoker},n{i}", 18 + i % 70, day.format(form))
            .unwrap();
    }
    folder.write(&format!("{name}.csv"), csv)
}

struct Site {
    name: &'static str,
    records: PathBuf,
    account: PathBuf,
}

fn sites(folder: &Folder, people: [u32; 3]) -> Vec<Site> {
    [("north", "%Y-%m-%d"), ("south", "%d.%m.%Y"), ("west", "%Y/%m/%d")]
        .into_iter()
        .zip(people)
        .map(|((name, form), people)| Site {
            name,
            records: hospital(folder, name, people, form),
            account: folder.path(&format!("{name}.account.json")),
        })
        .collect()
}

fn planned(folder: &Folder, epsilon: &str) -> PathBuf {
    let codebook = folder.write("codebook.toml", CODEBOOK);
    let plan = folder.path("plan.json");
    let answer = json(&[
        "synthesise-together",
        "plan",
        text(&codebook),
        "--hospital",
        "north",
        "--hospital",
        "south",
        "--hospital",
        "west",
        "--epsilon",
        epsilon,
        "--pair",
        "smoker:copd",
        "--out",
        text(&plan),
    ]);
    assert_eq!(answer["epsilon_spent"], 0.0, "a plan looks at nobody");
    plan
}

fn answer_words<'a>(
    site: &'a Site,
    question: &'a Path,
    epsilon: &'a str,
    out: &'a Path,
) -> Vec<&'a str> {
    vec![
        "synthesise-together",
        "answer",
        text(question),
        text(&site.records),
        "--hospital",
        site.name,
        "--person",
        "record",
        "--epsilon",
        epsilon,
        "--account",
        text(&site.account),
        "--out",
        text(out),
    ]
}

#[test]
fn three_hospitals_fit_one_model_from_files_and_sample_it() {
    let folder = Folder::new();
    let sites = sites(&folder, [4_000, 5_000, 6_000]);
    let plan = planned(&folder, "2");
    let mut answers: Vec<PathBuf> = Vec::new();
    for site in &sites {
        let out = folder.path(&format!("{}-1.json", site.name));
        json(&answer_words(site, &plan, "2", &out));
        answers.push(out);
    }
    let question = folder.path("question.json");
    let mut words = vec!["synthesise-together", "ask", text(&plan), "--out", text(&question)];
    words.extend(answers.iter().map(|a| text(a)));
    assert_eq!(json(&words)["question"], 2);
    for site in &sites {
        let out = folder.path(&format!("{}-2.json", site.name));
        let answer = json(&answer_words(site, &question, "2", &out));
        let total = answer["account_epsilon"].as_f64().unwrap();
        println!("{}: ε = {total:.4} in all, 2 agreed", site.name);
        assert!(total <= 2.0 && total > 1.95);
        answers.insert(0, out);
    }
    let model = folder.path("model.json");
    let mut words = vec!["synthesise-together", "fit", text(&plan), "--model", text(&model)];
    words.extend(answers.iter().map(|a| text(a)));
    let fitted = json(&words);
    let records = fitted["records"].as_f64().unwrap();
    println!("about {records:.0} records of 15,000");
    assert!((records - 15_000.0).abs() < 300.0);
    let out = folder.path("out.csv");
    let drawn = json(&[
        "sample",
        text(&model),
        "--rows",
        "4000",
        "--only",
        "visit=2026-03-01:2026-06-30",
        "--only",
        "copd=yes",
        "--out",
        text(&out),
    ]);
    assert_eq!(drawn["epsilon_spent"], 0.0);
    let written = std::fs::read_to_string(&out).unwrap();
    let smokers = written.lines().filter(|l| l.starts_with("f,yes") || l.starts_with("m,yes"));
    let smokers = smokers.count();
    println!("{smokers} of 4,000 with COPD smoke; all real ones do");
    assert!(smokers > 3_700);
    assert!(
        written
            .lines()
            .skip(1)
            .all(|l| { ("2026-03-01"..="2026-06-30").contains(&l.rsplit(',').next().unwrap()) })
    );
    // What hospitals handed out holds none of their words.
    for file in answers.iter().chain([&question, &plan]) {
        let handed = std::fs::read_to_string(file).unwrap();
        for planted in ["north-17,", "north-3999", "n3999"] {
            assert!(!handed.contains(planted), "{planted} in {}", file.display());
        }
    }
    // A missing answer is named.
    let mut words = vec!["synthesise-together", "fit", text(&plan), "--model", text(&model)];
    words.extend(answers.iter().skip(1).map(|a| text(a)));
    let said = refusal(&words);
    assert!(said.contains("answers to question 2 are missing: west"), "{said}");
    // And one that came twice is not taken for another hospital's.
    words.extend([text(&answers[1]), text(&answers[1])]);
    assert!(refusal(&words).contains("replied already"), "twice");
}

/// The counts of the first question, column by column.
fn counts(path: &Path) -> Vec<Vec<f64>> {
    let value: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let tables = value["answer"]["counts"].as_array().unwrap();
    let cells = |t: &Value| t.as_array().unwrap().iter().map(|c| c.as_f64().unwrap()).collect();
    tables.iter().map(cells).collect()
}

#[test]
fn what_a_hospital_hands_out_has_its_own_noise_and_as_much_as_it_says() {
    const RUNS: usize = 60;
    let folder = Folder::new();
    let site = &sites(&folder, [400, 10, 10])[0];
    let plan = planned(&folder, "1");
    let parsed: Value = serde_json::from_slice(&std::fs::read(&plan).unwrap()).unwrap();
    let rho = parsed["micro-rho"].as_f64().unwrap() / 1e6;
    // Half of ρ, in five tables alike: each has a variance of 1/(2ρ/10).
    let variance = 10.0 / (2.0 * rho);
    let exact = [vec![200.0, 200.0, 0.0], vec![100.0, 300.0, 0.0], vec![100.0, 300.0, 0.0]];
    let out = folder.path("answer.json");
    let (mut sum, mut squares, mut n, mut same) = (0.0, 0.0, 0.0, 0);
    for _ in 0..RUNS {
        std::fs::remove_file(&site.account).ok();
        json(&answer_words(site, &plan, "1", &out));
        for (own, exact) in counts(&out).iter().zip(&exact) {
            for (noisy, exact) in own.iter().zip(exact) {
                sum += noisy - exact;
                squares += (noisy - exact).powi(2);
                n += 1.0;
                same += usize::from((noisy - exact).abs() < 0.5);
            }
        }
    }
    let (mean, found) = (sum / n, squares / n);
    // Normal and chi-square bounds at alpha = 1e-6 for n cells: 4.9 deviations.
    let (of_mean, of_variance) = (4.9 * (variance / n).sqrt(), 4.9 * (2.0 / n).sqrt());
    println!(
        "n {n}: mean {mean:.2} (bound {of_mean:.2}), variance {found:.0} of {variance:.0} (bound \
         {of_variance:.2} of it), {same} cells exact; alpha 1e-6 each"
    );
    assert!(mean.abs() < of_mean && (found / variance - 1.0).abs() < of_variance);
    // The mode of the noise has a chance of 1/√(2π·variance).
    let expected = n / (2.0 * std::f64::consts::PI * variance).sqrt();
    assert!((same as f64) < expected + 4.9 * expected.sqrt() + 5.0, "{same} of {expected:.1}");
}

#[test]
fn a_hospital_answers_once_and_no_more_than_it_agreed_to() {
    let folder = Folder::new();
    let sites = sites(&folder, [300, 300, 300]);
    let plan = planned(&folder, "1");
    let (north, out) = (&sites[0], folder.path("answer.json"));
    // A plan that costs more than the hospital allows.
    let said = refusal(&answer_words(north, &plan, "0.5", &out));
    assert!(said.contains("more than --epsilon 0.5"), "{said}");
    assert!(!out.exists() && !north.account.exists());
    json(&answer_words(north, &plan, "1", &out));
    let first = std::fs::read(&out).unwrap();
    let said = refusal(&answer_words(north, &plan, "1", &out));
    assert!(said.contains("answered already") && said.contains("hand the same file out"), "{said}");
    assert_eq!(std::fs::read(&out).unwrap(), first);
    // A coordinator who asks for more accuracy than the plan pays for: another question of the
    // same plan, and one that says it is the second.
    let question = std::fs::read_to_string(&plan).unwrap();
    let mut greedy: Value = serde_json::from_str(&question).unwrap();
    greedy["ask"]["round"] = 2.into();
    greedy["ask"]["rho"] = 1_000_000_000u64.into();
    let greedy = folder.write("greedy.json", greedy.to_string());
    let said = refusal(&answer_words(north, &greedy, "1", &folder.path("more.json")));
    assert!(said.contains("asks for more than is left"), "{said}");
    assert!(!folder.path("more.json").exists());
    // A question with a loss that does not fit a number is no way around.
    let mut huge: Value = serde_json::from_str(&question).unwrap();
    huge["ask"]["rho"] = u64::MAX.into();
    huge["plan"] = "another".into();
    let huge = folder.write("huge.json", huge.to_string());
    assert!(
        refusal(&answer_words(north, &huge, "1", &folder.path("more.json")))
            .contains("asks for more")
    );
    // Answers to another plan, of hospitals that are not in it, and files that are none.
    let other = planned(&folder, "1");
    let words = |answer| ["synthesise-together", "ask", text(&other), "--out", "q.json", answer];
    let said = refusal(&words(text(&out)));
    assert!(said.contains("it answers plan"), "{said}");
    assert!(refusal(&words(text(&north.records))).contains("no answer of"), "no answer");
    let strange = Site { name: "east", ..sites.into_iter().next().unwrap() };
    let said = refusal(&answer_words(&strange, &plan, "1", &folder.path("x.json")));
    assert!(said.contains("no hospital 'east'; it has north, south, west"), "{said}");
}

#[test]
fn codebooks_that_make_no_plan_are_refused() {
    let folder = Folder::new();
    let out = folder.path("plan.json");
    for (codebook, part) in [
        ("[[column]]\nname = \"a\"\n", "needs one of values, between and days"),
        (
            "[[column]]\nname = \"a\"\nvalues = [\"x\"]\n[[column]]\nname = \"a\"\nvalues = [\"x\"]\n",
            "is there twice",
        ),
        (
            "[[column]]\nname = \"a\"\ndays = [\"March\", \"2026-01-01\"]\n",
            "days that are no dates",
        ),
        ("[[column]]\nname = \"a\"\nvalues = [\"x\", \"y\"]\n", "2 to 64 attributes"),
        ("column = 3", "codebook.toml"),
    ] {
        let path = folder.write("codebook.toml", codebook);
        let said = refusal(&[
            "synthesise-together",
            "plan",
            text(&path),
            "--hospital",
            "a",
            "--epsilon",
            "1",
            "--out",
            text(&out),
        ]);
        println!("{said}");
        assert!(said.contains(part), "{said}");
    }
    assert!(!out.exists());
}
