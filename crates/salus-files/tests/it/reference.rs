//! The figures of the field's reference implementation and of published methods, through the
//! commands.

use crate::{Folder, adult, json, refusal, run, text};

const TABLE: &str = "adult_arx_30162x9.csv";

fn near(found: &serde_json::Value, wanted: f64, within: f64) {
    let found = found.as_f64().unwrap();
    println!("found {found:.8}, reference {wanted:.8}, allowed difference {within:e}");
    assert!((found - wanted).abs() <= within, "{found} is not {wanted}");
}

fn anonymised(words: &[&str]) -> serde_json::Value {
    let folder = Folder::new();
    let (table, hierarchies, out) = (adult(TABLE), adult(""), folder.path("out.csv"));
    let mut all = vec!["anonymise", text(&table), "--hierarchies", text(&hierarchies)];
    all.extend(words);
    all.extend(["--out", text(&out)]);
    let answer = json(&all);
    let written = std::fs::read_to_string(out).unwrap();
    assert_eq!(written.lines().count(), 30_163);
    assert!(written.starts_with("sex;age;race;"));
    answer
}

#[test]
fn the_risk_of_adult_is_the_references() {
    let answer = json(&[
        "risk",
        text(&adult(TABLE)),
        "--delimiter",
        ";",
        "--quasi-identifiers",
        "all",
        "--population-size",
        "300000000",
        "--no-attacks",
    ]);
    assert_eq!(answer["records"], 30_162);
    near(&answer["average_risk"], 0.646_575, 5e-7);
    near(&answer["sample_unique"], 0.514, 5e-4);
    near(&answer["highest_risk"], 1.0, 0.0);
    let unique = answer["population_unique"].as_f64().unwrap();
    assert!((0.0..0.514).contains(&unique), "{unique}");
}

#[test]
fn the_optima_of_adult_are_the_references() {
    for (k, loss) in [("2", 0.169_005_86), ("3", 0.213_340_99), ("10", 0.291_270_02)] {
        let answer = anonymised(&["--k", k, "--suppression", "0.05", "--no-attacks"]);
        near(&answer["loss"], loss, 5e-9);
        assert_eq!(answer["optimal"], true);
    }
    for (suppression, loss) in [("0", 0.573_15), ("1", 0.220_41)] {
        let answer = anonymised(&["--k", "5", "--suppression", suppression, "--no-attacks"]);
        near(&answer["loss"], loss, 5e-6);
    }
}

#[test]
fn five_anonymity_has_the_references_levels_and_a_score() {
    let answer = anonymised(&["--delimiter", ";", "--k", "5", "--suppression", "0.05"]);
    near(&answer["loss"], 0.241_932_37, 5e-9);
    let levels = serde_json::json!({
        "sex": 0, "age": 3, "race": 0, "marital-status": 0, "education": 2, "native-country": 1,
        "workclass": 1, "occupation": 2, "salary-class": 0
    });
    assert_eq!(answer["levels"], levels);
    assert_eq!(answer["suppressed"], 1_346);
    assert!(answer["smallest_group"].as_u64().unwrap() >= 5);
    println!("cpu {} ms, score {}", answer["cpu_ms"], answer["score"]);
    assert!(answer["score"].as_f64().unwrap() > 80.0);
    for line in answer["attacks"].as_array().unwrap() {
        assert_ne!(line["leak"], true, "{line}");
    }
}

#[test]
fn diversity_of_occupations_has_the_references_loss() {
    let answer = anonymised(&[
        "--quasi-identifiers",
        "all",
        "--k",
        "5",
        "--l",
        "3",
        "--sensitive",
        "occupation",
        "--suppression",
        "0.05",
        "--no-attacks",
    ]);
    near(&answer["loss"], 0.171_70, 5e-6);
    assert_eq!(answer["quasi_identifiers"].as_array().unwrap().len(), 8);
}

#[test]
fn local_recoding_keeps_the_references_granularity_and_everybody() {
    let answer = anonymised(&["--k", "5", "--local", "--no-attacks"]);
    let granularity = answer["granularity"].as_f64().unwrap();
    println!("granularity {granularity}, loss {}", answer["loss"]);
    assert!(granularity >= 0.932);
    assert_eq!(answer["suppressed"], 0);
    assert!(answer["smallest_group"].as_u64().unwrap() >= 5);
}

#[test]
fn reweighing_adult_by_sex_gives_the_published_weights() {
    let folder = Folder::new();
    let out = folder.path("out.csv");
    let answer = json(&[
        "unbias",
        text(&adult(TABLE)),
        "--sensitive",
        "sex",
        "--favourable",
        "salary-class=>50K",
        "--method",
        "reweigh",
        "--out",
        text(&out),
    ]);
    for (group, favourable, unfavourable) in
        [("Male", 0.793_16, 1.094_61), ("Female", 2.189_71, 0.847_41)]
    {
        let weights = answer["weights"].as_array().unwrap();
        let own = weights.iter().find(|w| w["group"] == group).unwrap();
        near(&own["favourable"], favourable, 5e-6);
        near(&own["unfavourable"], unfavourable, 5e-6);
    }
    near(&answer["before"]["disparate_impact"], 0.362_22, 5e-6);
    near(&answer["after"]["disparate_impact"], 1.0, 1e-9);
    let written = std::fs::read_to_string(out).unwrap();
    assert!(written.lines().next().unwrap().ends_with(";weight"));
}

#[test]
fn repair_takes_the_group_out_of_a_number() {
    let folder = Folder::new();
    let out = folder.path("out.csv");
    let answer = json(&[
        "unbias",
        text(&adult(TABLE)),
        "--sensitive",
        "sex",
        "--favourable",
        "salary-class=>50K",
        "--method",
        "repair",
        "--features",
        "age",
        "--out",
        text(&out),
    ]);
    let age = &answer["repaired"][0];
    println!("largest gap in age before {}, after {}", age["gap_before"], age["gap_after"]);
    assert!(age["gap_before"].as_f64().unwrap() > 0.1);
    assert!(age["gap_after"].as_f64().unwrap() < 0.01);
}

#[test]
fn synthetic_adult_spends_what_it_says_and_is_alike() {
    let folder = Folder::new();
    let (out, model) = (folder.path("out.csv"), folder.path("model.json"));
    let answer = json(&[
        "synthesise",
        text(&adult(TABLE)),
        "--delimiter",
        ";",
        "--method",
        "mst",
        "--epsilon",
        "1",
        "--delta",
        "1e-6",
        "--rows",
        "5000",
        "--seed",
        "7",
        "--model",
        text(&model),
        "--out",
        text(&out),
    ]);
    println!("{answer}");
    let spent = answer["epsilon_spent"].as_f64().unwrap();
    assert!(spent <= 1.0 && spent > 0.9, "{spent}");
    assert!(answer["quality"].as_f64().unwrap() > 0.93);
    let written = std::fs::read_to_string(out).unwrap();
    assert_eq!(written.lines().count(), 5_001);
    // Nothing is missing in the input, so nothing is in the output.
    assert!(!written.contains(";;"));
    assert!(std::fs::metadata(model).unwrap().len() > 1_000);
}

#[test]
fn planted_copies_are_flagged_and_an_independent_sample_is_cleared() {
    let folder = Folder::new();
    let whole = std::fs::read_to_string(adult(TABLE)).unwrap();
    let (header, lines) = whole.split_once('\n').unwrap();
    let lines: Vec<&str> = lines.lines().collect();
    let third = |r: usize| -> Vec<&str> {
        lines.iter().enumerate().filter(|(i, _)| i % 3 == r).map(|(_, l)| *l).collect()
    };
    let (real, control, others) = (third(0), third(1), third(2));
    let mut copies = others.clone();
    let tenth = copies.len() / 10;
    copies[..tenth].copy_from_slice(&real[..tenth]);
    let tail = "Male;123;White;Never-married;Bachelors;Nowhere;State-gov;Adm-clerical;<=50K";
    let mut with_tail = real.clone();
    with_tail[0] = tail;
    let mut released_tail = others.clone();
    released_tail[5] = tail;
    let write = |name: &str, lines: &[&str]| {
        folder.write(name, format!("{header}\n{}\n", lines.join("\n")))
    };
    let files = [
        write("real.csv", &real),
        write("control.csv", &control),
        write("independent.csv", &others),
        write("copies.csv", &copies),
        write("with_tail.csv", &with_tail),
        write("released_tail.csv", &released_tail),
    ];
    let [real, control, independent, copies, with_tail, released_tail] =
        files.each_ref().map(|p| text(p));
    let attack = |real: &str, released: &str| {
        let words = ["--real", real, "--control", control, "--released", released];
        json(&[&["attack"], words.as_slice(), &["--secrets", "salary-class"]].concat())
    };
    let leaks = |answer: &serde_json::Value| {
        let lines = answer["attacks"].as_array().unwrap();
        lines.iter().filter(|l| l["leak"] == true).count()
    };
    let cleared = attack(real, independent);
    println!("independent: score {}, {}", cleared["score"], cleared["words"]);
    assert_eq!(leaks(&cleared), 0);
    assert!(cleared["score"].as_f64().unwrap() > 80.0);
    let flagged = attack(real, copies);
    println!("a tenth copied: score {}, {}", flagged["score"], flagged["words"]);
    assert!(leaks(&flagged) >= 1);
    assert!(flagged["score"].as_f64().unwrap() < cleared["score"].as_f64().unwrap());
    let tail = attack(with_tail, released_tail);
    assert_eq!(tail["score"], 0.0);
    assert_eq!(tail["published_verbatim"], 1);
    for line in flagged["attacks"].as_array().unwrap() {
        assert!(line["not_run"].is_string() || line["interval"].is_array(), "{line}");
    }
}

#[test]
fn people_read_tables_and_plain_words() {
    let answer = run(&["risk", text(&adult(TABLE))]).unwrap();
    println!("{}", answer.text());
    for word in ["Re-identification risk", "30,162", "64.7 %", "51.4 %", "membership"] {
        assert!(answer.text().contains(word), "{word}");
    }
}

#[test]
fn two_files_are_linked_by_the_columns_and_neighbours_that_are_asked_for() {
    let folder = Folder::new();
    let crowd = |mark: &str| {
        let rows = (0..1_200).map(|i| format!("w{},{mark}{}\n", i % 60, i / 60));
        format!("ward,code\n{}", rows.collect::<String>())
    };
    let real = folder.write("real.csv", crowd("c"));
    let control = folder.write("control.csv", crowd("d"));
    let attack = ["attack", "--real", text(&real), "--control", text(&control), "--released"];
    let attack = [&attack[..], &[text(&real), "--attempts", "400"]].concat();
    // A ward has 20 people and a code 60, so that 60 of the nearest hold everybody of both.
    let answer = json(&[&attack[..], &["--first-file", "ward", "--neighbours", "60"]].concat());
    let of = |kind: &str| {
        let lines = answer["attacks"].as_array().unwrap();
        lines.iter().find(|line| line["attack"] == kind).unwrap().clone()
    };
    assert_eq!(of("linkability")["successes"], 400);
    let all = of("linkability-all-nearest");
    assert_eq!((&all["successes"], &all["control_successes"]), (&400.into(), &0.into()));
    // By one neighbour, lots meet once in 1,200 people: more than 6 of 400 in 7 of 10⁸ runs.
    let answer = json(&[&attack[..], &["--first-file", "ward"]].concat());
    let lines = answer["attacks"].as_array().unwrap();
    let line = lines.iter().find(|line| line["attack"] == "linkability").unwrap();
    assert!(line["successes"].as_u64().unwrap() <= 6, "{line}");
    let refused = refusal(&[&attack[..], &["--first-file", "height"]].concat());
    assert!(refused.contains("--first-file") && refused.contains("height"), "{refused}");
}
