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
    let said = refusal(&words);
    assert!(said.contains("'south' answered question 2 in") && said.contains("already"), "{said}");
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
    let answered = json(&answer_words(north, &plan, "1", &out));
    assert!(answered["epsilon_spent"].as_f64().unwrap() > 0.0);
    assert_eq!(answered["account_budget"], answered["epsilon"]);
    let first = std::fs::read(&out).unwrap();
    // The same question has the same answer, for nothing.
    let again = json(&answer_words(north, &plan, "1", &out));
    assert_eq!(again["epsilon_spent"], 0.0);
    assert_eq!(again["account_epsilon"], answered["account_epsilon"]);
    assert_eq!(std::fs::read(&out).unwrap(), first);
    // A coordinator who asks for more accuracy than the plan pays for: another question of the
    // same plan, and one that says it is the second.
    let question = std::fs::read_to_string(&plan).unwrap();
    let mut greedy: Value = serde_json::from_str(&question).unwrap();
    greedy["ask"]["round"] = 2.into();
    greedy["ask"]["rho"] = 1_000_000_000u64.into();
    greedy["ask"]["scopes"] = serde_json::json!([[0, 1]]);
    let greedy = folder.write("greedy.json", greedy.to_string());
    let said = refusal(&answer_words(north, &greedy, "1", &folder.path("more.json")));
    assert!(said.contains("asks for more than is left"), "{said}");
    assert!(!folder.path("more.json").exists());
    // A question with a loss that does not fit a number is no way around.
    let mut huge: Value = serde_json::from_str(&question).unwrap();
    huge["ask"]["rho"] = u64::MAX.into();
    huge["ask"]["scopes"] = serde_json::json!([[0, 1]]);
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

/// The plan with another number, and otherwise changed.
fn copied(folder: &Folder, plan: &Path, number: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let mut copy: Value = serde_json::from_slice(&std::fs::read(plan).unwrap()).unwrap();
    copy["plan"] = number.into();
    change(&mut copy);
    folder.write(&format!("{number}.json"), copy.to_string())
}

#[test]
fn copies_of_a_plan_under_other_numbers_tell_no_more() {
    let folder = Folder::new();
    let site = &sites(&folder, [300, 300, 300])[0];
    let plan = planned(&folder, "1");
    let out = folder.path("answer.json");
    let first = json(&answer_words(site, &plan, "1", &out));
    let told = counts(&out);
    // Copies with edited numbers: the same counts, however often, and whatever accuracy they want.
    for i in 0..5u64 {
        let copy = copied(&folder, &plan, &format!("copy-{i}"), |copy| {
            copy["ask"]["rho"] = (copy["ask"]["rho"].as_u64().unwrap() - i).into();
        });
        let answer = json(&answer_words(site, &copy, "1", &out));
        assert_eq!(counts(&out), told);
        assert_eq!(answer["epsilon_spent"], 0.0);
        assert_eq!(answer["account_epsilon"], first["account_epsilon"]);
    }
    // Another question is one: it is paid for, until nothing is left of what was agreed to.
    let other = |number: &str, bins: u64| {
        copied(&folder, &plan, number, |copy| {
            copy["ask"]["attributes"][4]["kind"]["number"]["bins"] = bins.into();
        })
    };
    let mut answered = 0;
    let mut said = String::new();
    for i in 0..5u64 {
        let plan = other(&format!("other-{i}"), 5 + i);
        match crate::run(&answer_words(site, &plan, "1", &out)) {
            Ok(_) => answered += 1,
            Err(error) => said = error.to_string(),
        }
    }
    println!("{answered} more answers, then: {said}");
    assert_eq!(answered, 1, "a first answer is half a plan");
    assert!(said.contains("the account's budget is ε") && said.contains("--budget"), "{said}");
    // Only who answers for the patients allows more; it is remembered.
    let more = other("other-9", 30);
    let words = answer_words(site, &more, "1", &out);
    let allowed = json(&[words.as_slice(), &["--budget", "3"]].concat());
    assert!((allowed["account_budget"].as_f64().unwrap() - 3.0).abs() < 0.01);
    let kept = json(&answer_words(site, &other("other-10", 31), "1", &out));
    assert_eq!(kept["account_budget"], allowed["account_budget"]);
    assert!(kept["account_epsilon"].as_f64() > Some(1.0));
}

#[test]
fn losses_are_shown_at_the_hospitals_own_delta() {
    let folder = Folder::new();
    let site = &sites(&folder, [300, 300, 300])[0];
    let plan = planned(&folder, "1");
    let (out, shy) = (folder.path("answer.json"), folder.path("shy.account.json"));
    // A δ close to one makes every loss look like nothing.
    let vague = copied(&folder, &plan, "vague", |copy| {
        copy["delta"] = 990_000_000_000_000_000u64.into();
    });
    let answer = json(&answer_words(site, &vague, "1", &out));
    assert!((answer["epsilon"].as_f64().unwrap() - 1.0).abs() < 0.01, "{answer}");
    assert_eq!(answer["delta"], 1e-6);
    let shy = Site { name: site.name, records: site.records.clone(), account: shy };
    assert!(refusal(&answer_words(&shy, &vague, "0.5", &out)).contains("ε = 1.0"));
}

#[test]
fn two_answers_at_a_time_are_charged_one_after_the_other() {
    let folder = Folder::new();
    let site = &sites(&folder, [300, 300, 300])[0];
    let plan = planned(&folder, "1");
    let plans: Vec<PathBuf> = (0..6u64)
        .map(|i| {
            copied(&folder, &plan, &format!("at-once-{i}"), |copy| {
                copy["ask"]["attributes"][4]["kind"]["number"]["bins"] = (5 + i).into();
            })
        })
        .collect();
    let answered = std::thread::scope(|scope| {
        let one = |i: usize| {
            let (plan, out) = (&plans[i], folder.path(&format!("at-once-{i}.answer.json")));
            scope.spawn(move || crate::run(&answer_words(site, plan, "1", &out)).is_ok())
        };
        let all: Vec<_> = (0..plans.len()).map(one).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).filter(|answered| *answered).count()
    });
    // Two halves of a plan are what ε = 1 pays for.
    assert_eq!(answered, 2);
    let account: Value = serde_json::from_slice(&std::fs::read(&site.account).unwrap()).unwrap();
    assert_eq!(account["plans"].as_object().unwrap().len(), 2);
}

#[test]
fn one_records_way_to_write_dates_changes_nothing_for_the_others() {
    let folder = Folder::new();
    let plan = planned(&folder, "60");
    let mut csv = "record,age,copd,visit,sex,smoker\n".to_owned();
    // Nearly one half of either form: no form holds for 95 of 100.
    for i in 0..400u32 {
        let day = chrono::NaiveDate::from_yo_opt(2026, 1 + i * 13 % 365).unwrap();
        let form = ["%Y-%m-%d", "%d.%m.%Y", "%Y/%m/%d"][(i % 3) as usize];
        writeln!(csv, "p{i},40,no,{},f,no", day.format(form)).unwrap();
    }
    csv.push_str("p-odd,40,no,some day,f,no\n");
    let records = folder.write("mixed.csv", csv);
    let site = Site { name: "north", records, account: folder.path("account.json") };
    let out = folder.path("answer.json");
    json(&answer_words(&site, &plan, "60", &out));
    let visits = counts(&out).pop().unwrap();
    let (missing, read) = visits.split_last().unwrap();
    println!("{:.0} days were read and {missing:.0} were not", read.iter().sum::<f64>());
    // 400 and 1, with noise of a standard deviation below 1 in each of 13 cells.
    assert!((read.iter().sum::<f64>() - 400.0).abs() < 25.0 && missing.abs() < 10.0);
}

#[test]
fn records_without_a_person_are_left_out_and_counted() {
    let folder = Folder::new();
    let plan = planned(&folder, "60");
    let mut csv = "record,age,copd,visit,sex,smoker\n".to_owned();
    for i in 0..200u32 {
        writeln!(csv, "p{i},40,no,2026-03-01,f,no").unwrap();
    }
    for none in ["", "NA", "?"] {
        writeln!(csv, "{none},40,no,2026-03-01,m,no").unwrap();
    }
    let records = folder.write("some.csv", csv);
    let site = Site { name: "north", records, account: folder.path("account.json") };
    let out = folder.path("answer.json");
    let answer = json(&answer_words(&site, &plan, "60", &out));
    assert_eq!(answer["left_out"], 3);
    let sex = counts(&out).remove(0);
    assert!((sex[0] - 200.0).abs() < 10.0 && sex[1].abs() < 10.0, "{sex:?}");
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
