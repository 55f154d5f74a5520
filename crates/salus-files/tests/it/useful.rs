//! What an anonymised table is still good for.

use crate::{Folder, adult, json, run, text};

/// Adult at k = 5 as the reference anonymises it.
fn words<'a>(out: &'a str, table: &'a str, hierarchies: &'a str) -> Vec<&'a str> {
    vec![
        "anonymise",
        table,
        "--hierarchies",
        hierarchies,
        "--quasi-identifiers",
        "sex,age,race,marital-status,education,native-country,workclass,occupation",
        "--sensitive",
        "salary-class",
        "--k",
        "5",
        "--suppression",
        "0.05",
        "--no-attacks",
        "--out",
        out,
    ]
}

#[test]
fn utility_is_in_the_answer_the_text_and_the_certificate() {
    let folder = Folder::new();
    let (out, page) = (folder.path("out.csv"), folder.path("certificate.html"));
    let (table, hierarchies) = (adult("adult_arx_30162x9.csv"), adult(""));
    let base = words(text(&out), text(&table), text(&hierarchies));
    let more = ["--target", "salary-class", "--certificate", text(&page)];
    let done = run(&[&base[..], &more].concat()).unwrap();
    let answer = &done.json;
    let released = std::fs::read_to_string(&out).unwrap();
    // Discernibility and group size by the definitions, from the file.
    let mut groups: std::collections::BTreeMap<Vec<&str>, f64> = Default::default();
    let (mut gone, mut all) = (0.0, 0.0);
    for line in released.lines().skip(1) {
        let fields: Vec<&str> = line.split(';').collect();
        let known: Vec<&str> = fields[..8].to_vec();
        all += 1.0;
        if known.iter().all(|field| *field == "*") {
            gone += 1.0;
        } else {
            *groups.entry(known).or_default() += 1.0;
        }
    }
    let squares: f64 = groups.values().map(|size| size * size).sum();
    let near = |field: &str, expected: f64| {
        let found = answer["utility"][field].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-9, "{field}: {found} where {expected}");
    };
    near("discernibility", (squares + gone * all) / (all * all));
    near("average_class_size", (all - gone) / groups.len() as f64);
    near("granularity", answer["granularity"].as_f64().unwrap());
    assert_eq!(answer["utility"]["columns"].as_array().unwrap().len(), 8);
    // Anonymised, the salary is guessed better than by the most frequent class alone, and not
    // much better than before: 22,654 of 30,162 earn at most 50K.
    let accuracy = |at: &str| answer["accuracy"][at].as_f64().unwrap();
    println!("right: {} before, {} after", accuracy("input"), accuracy("output"));
    assert!((accuracy("baseline") - 22_654.0 / 30_162.0).abs() < 1e-9);
    assert!(accuracy("output") > accuracy("baseline") + 0.01);
    assert!(accuracy("output") < accuracy("input") + 0.02);
    let certificate = std::fs::read_to_string(&page).unwrap();
    for words in ["Entropy lost", "Discernibility", "Average group", "Target guessed right"] {
        assert!(certificate.contains(words), "{words}");
    }
    assert!(done.text().contains("target guessed right"));
    let none = json(&base);
    assert!(none.get("accuracy").is_none());
}

#[test]
fn likeness_and_partition_can_be_chosen() {
    let folder = Folder::new();
    let out = folder.path("out.csv");
    let (table, hierarchies) = (adult("adult_arx_30162x9.csv"), adult(""));
    let base = words(text(&out), text(&table), text(&hierarchies));
    let with = |more: &[&str]| json(&[&base[..], more].concat());
    let enhanced = with(&["--beta", "2.5"]);
    let basic = with(&["--beta", "2.5", "--likeness", "basic"]);
    assert!(enhanced["models"].to_string().contains("enhanced 2.5-likeness"));
    assert!(basic["models"].to_string().contains("basic 2.5-likeness"));
    // The enhanced one demands more: min(β, −ln p) in place of β.
    println!("loss {} enhanced, {} basic", enhanced["loss"], basic["loss"]);
    assert!(basic["loss"].as_f64().unwrap() <= enhanced["loss"].as_f64().unwrap());
    // Local recoding suppresses nothing, and takes no limit on it.
    let at = base.iter().position(|word| *word == "--suppression").unwrap();
    let kept = [&base[..at], &base[at + 2..]].concat();
    let local = |more: &[&str]| json(&[&kept[..], more].concat());
    let swept = local(&["--local"]);
    let mondrian = local(&["--local", "--partition", "mondrian"]);
    println!("granularity {} swept, {} Mondrian", swept["granularity"], mondrian["granularity"]);
    assert_ne!(swept["granularity"], mondrian["granularity"]);
    for answer in [&swept, &mondrian] {
        assert!(answer["smallest_group"].as_u64().unwrap() >= 5);
        assert_eq!(answer["suppressed"], 0);
    }
}
