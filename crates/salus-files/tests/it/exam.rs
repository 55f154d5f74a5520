//! `salus exam`: sheets from a synthetic cohort, read again by programs that know nothing of us.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use salus_testkit::Venv;
use serde_json::Value;

use crate::pdf::{picture, read};
use crate::{Folder, json, refusal, text};

/// Patients with blood pressure, weight and a diagnosis that follows from smoking.
fn patients(folder: &Folder) -> PathBuf {
    let mut csv = "age,sex,smoking,systolic,diastolic,bmi,diagnosis\n".to_owned();
    let mut state = 11u64;
    let mut below = |n: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    for _ in 0..4_000 {
        let (age, smokes) = (25 + below(60), below(3));
        let systolic = 105 + age / 3 + below(35);
        let bmi = 165 + below(120) + below(60);
        let ill = below(10) < 2 + 2 * smokes;
        let diagnosis = if ill { "COPD" } else { ["asthma {mild}", "none"][below(2) as usize] };
        writeln!(
            csv,
            "{age},{},{},{systolic},{},{}.{},{diagnosis}",
            ["f", "m"][below(2) as usize],
            ["never", "former", "now: > 5/day"][smokes as usize],
            60 + below(40),
            bmi / 10,
            bmi % 10
        )
        .unwrap();
    }
    folder.write("patients.csv", csv)
}

/// A private model of them.
fn model(folder: &Folder) -> PathBuf {
    let (table, out, model) =
        (patients(folder), folder.path("synthetic.csv"), folder.path("model.json"));
    let answer = json(&[
        "synthesise",
        text(&table),
        "--method",
        "mst",
        "--epsilon",
        "2",
        "--model",
        text(&model),
        "--out",
        text(&out),
    ]);
    assert_eq!(answer["left_out"], serde_json::json!([]));
    model
}

fn rules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/exam/rules.toml")
}

fn exam(folder: &Folder, model: &Path, out: &str, more: &[&str]) -> Value {
    let (register, out, rules) = (folder.path("register.json"), folder.path(out), rules());
    let mut words =
        vec!["exam", text(model), "--register", text(&register), "--rules", text(&rules)];
    words.extend(["--out", text(&out)]);
    words.extend(more);
    json(&words)
}

/// What pygiftparser reads.
fn gift(path: &Path) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/exam/gift.py");
    let printed = Venv::with(&["pygiftparser==1.1"]).run(script, |command| {
        command.arg(path);
    });
    serde_json::from_str(&printed).unwrap()
}

/// What a reader of QTI packages finds.
fn qti(folder: &Path) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/exam/qti.py");
    let python = salus_testkit::program("python3", "python3");
    let output =
        std::process::Command::new(python).arg("-I").arg(script).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_student_gets_other_questions_and_all_formats_say_the_same() {
    let folder = Folder::new();
    let model = model(&folder);
    let students = folder.write("students.txt", "Ada Lovelace\nÉmilie du Châtelet\n<b>Bobby</b>\n");
    let answer = exam(
        &folder,
        &model,
        "spring",
        &["--students", text(&students), "--questions", "10", "--title", "Epidemiology & more"],
    );
    println!("{}", answer["kinds"]);
    assert_eq!((&answer["sheets"], &answer["questions"]), (&3.into(), &30.into()));
    for kind in ["rule", "association", "test", "median", "case"] {
        assert!(answer["kinds"][kind].as_u64().unwrap_or(0) > 0, "{kind}");
    }
    let epsilon = answer["epsilon"].as_f64().unwrap();
    assert!(epsilon > 1.5 && epsilon <= 2.0, "{epsilon}");

    let tests = qti(&folder.path("spring/qti"));
    let mut all = BTreeSet::new();
    for (n, test) in tests.iter().enumerate() {
        let name = format!("spring/{:03}", n + 1);
        let parsed = gift(&folder.path(&format!("{name}.gift")));
        let questions = test["questions"].as_array().unwrap();
        assert_eq!((parsed.len(), questions.len()), (10, 10));
        let pdf = folder.path(&format!("{name}.pdf"));
        let sheet = read(&pdf, &picture(&format!("exam-{n}.png")));
        let said = sheet["text"].as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        let origin = format!("ε = {epsilon:.4} at δ = 1e-6");
        assert!(said.contains(&origin), "the sheet does not say its ε: {said}");
        assert!(test["text"].as_str().unwrap().contains(&origin));
        for (theirs, ours) in parsed.iter().zip(questions) {
            assert_eq!(theirs["valid"], true, "{theirs}");
            assert_eq!(theirs["tail"], "");
            let right: Vec<&Value> = theirs["answers"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|a| a["fraction"].as_f64().unwrap() > 0.0)
                .collect();
            assert_eq!(right.len(), 1);
            let plain = |v: &Value| {
                v.as_str().unwrap().replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&")
            };
            assert_eq!(plain(&right[0]["text"]), ours["right"].as_str().unwrap());
            assert_eq!(
                theirs["answers"].as_array().unwrap().len(),
                ours["choices"].as_array().unwrap().len()
            );
            assert_eq!(plain(&theirs["general"]), ours["explanation"].as_str().unwrap());
            for choice in ours["choices"].as_array().unwrap() {
                let words =
                    choice.as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(said.contains(&words), "{words} is not on the sheet");
            }
            // What is asked of one student is asked of no other.
            assert!(all.insert(ours["body"].to_string()), "a question twice: {}", ours["body"]);
        }
        // Answers are not on the sheet.
        let explanation = questions[0]["explanation"].as_str().unwrap();
        assert!(!said.contains(explanation));
    }
    let key = read(&folder.path("spring/answers.pdf"), &picture("exam-answers.png"));
    let key = key["text"].as_str().unwrap();
    assert!(key.contains("Émilie du Châtelet") && key.contains("<b>Bobby</b>"));
    let register = std::fs::read_to_string(folder.path("register.json")).unwrap();
    assert!(!register.contains("Lovelace"), "the register names no student");
}

#[test]
fn the_register_keeps_a_question_from_being_given_twice() {
    let folder = Folder::new();
    let model = model(&folder);
    let more = ["--sheets", "2", "--questions", "20", "--formats", "qti"];
    let mut asked = BTreeSet::new();
    for year in ["2026", "2027", "2028"] {
        exam(&folder, &model, year, &more);
        for test in qti(&folder.path(&format!("{year}/qti"))) {
            for question in test["questions"].as_array().unwrap() {
                assert!(asked.insert(question["body"].to_string()), "given before");
            }
        }
    }
    assert_eq!(asked.len(), 120);
    // Rules about a cohort of few patients are soon all given.
    let few = json(&[
        "exam",
        text(&model),
        "--register",
        text(&folder.path("few.json")),
        "--cohort",
        "200",
        "--sheets",
        "2",
        "--questions",
        "100",
        "--rules",
        text(&rules()),
        "--formats",
        "gift",
        "--out",
        text(&folder.path("few")),
    ]);
    println!("200 questions: {} met again, kinds {}", few["met_again"], few["kinds"]);
    assert_eq!(few["registered"], 200);
}

#[test]
fn what_is_no_model_register_or_rule_is_refused() {
    let folder = Folder::new();
    let model = model(&folder);
    let register = folder.path("register.json");
    let bad = folder.write("bad.json", "{\"version\":1,\"given\":7}");
    let rule = folder.write(
        "rules.toml",
        "[[rule]]\nask = \"x\"\nshow = [\"age\"]\n\
         [[rule.case]]\nanswer = \"a\"\nwhen = [\"heart rate > 3\"]\nexplain = \"\"\n\
         [[rule.case]]\nanswer = \"b\"\nexplain = \"\"\n[[rule.case]]\nanswer = \"c\"\nexplain = \"\"\n",
    );
    let out = folder.path("out");
    for (own, register, rules, part) in [
        (&bad, &register, None, "no model"),
        (&model, &bad, None, "no register"),
        (&model, &register, Some(&rule), "no column 'heart rate'"),
        (&model, &register, Some(&bad), "bad.json"),
    ] {
        let mut words = vec!["exam", text(own), "--register", text(register), "--sheets", "1"];
        if let Some(rules) = rules {
            words.extend(["--rules", text(rules)]);
        }
        words.extend(["--out", text(&out)]);
        let said = refusal(&words);
        println!("{said}");
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(!out.exists());
}
