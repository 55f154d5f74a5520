//! Fair outcomes, and measures of quality, through the commands.

use std::path::Path;

use salus_testkit::Venv;

use crate::{Folder, adult, json, refusal, text};

fn rules(folder: &Folder) -> std::path::PathBuf {
    folder.write(
        "rules.toml",
        "[[implausible]]\nwhat = \"A husband is a woman.\"\nwhen = [\"sex = Female\", \
         \"marital-status = Married-civ-spouse\"]\n\
         [[implausible]]\nwhat = \"A young widow.\"\nwhen = [\"marital-status = Widowed\", \
         \"age < 25\"]\n\
         [[implausible]]\nwhat = \"Never.\"\nwhen = [\"age < 17\"]\n\
         [[implausible]]\nwhat = \"Columns are compared.\"\nwhen = [\"sex = race\"]\n",
    )
}

#[test]
fn adults_outcome_is_made_fair_for_sex_and_race_together_and_the_cost_is_told() {
    let folder = Folder::new();
    let (table, rules) = (adult("adult_arx_30162x9.csv"), rules(&folder));
    let (out, model) = (folder.path("fair.csv"), folder.path("fair.json"));
    let words = [
        "synthesise",
        text(&table),
        "--method",
        "mst",
        "--epsilon",
        "3",
        "--rows",
        "150000",
        "--domains-are-public",
        "--seed",
        "4",
        "--target",
        "salary-class",
        "--rules",
        text(&rules),
        "--model",
        text(&model),
        "--out",
        text(&out),
    ];
    let plain = json(&words);
    let fair = json(
        &[words.as_slice(), &["--sensitive", "sex,race", "--favourable", "salary-class=>50K"]]
            .concat(),
    );
    let of = |answer: &serde_json::Value, path: &str| {
        answer.pointer(path).and_then(serde_json::Value::as_f64).unwrap()
    };
    let impact = of(&fair, "/fairness/disparate_impact");
    println!(
        "disparate impact over {} groups: {:.4} before, {impact:.4} after; quality {:.4} and {:.4}; \
         AUC of the target {:.4} from real records, {:.4} from synthetic and {:.4} from fair ones",
        fair["fairness"]["groups"],
        of(&fair, "/fairness/disparate_impact_before"),
        of(&plain, "/quality"),
        of(&fair, "/quality"),
        of(&fair, "/target/auc_real"),
        of(&plain, "/target/auc_synthetic"),
        of(&fair, "/target/auc_synthetic"),
    );
    let written = std::fs::read_to_string(&out).unwrap();
    let mut sizes: std::collections::BTreeMap<(&str, &str), f64> = Default::default();
    for line in written.lines().skip(1) {
        let fields: Vec<&str> = line.split(';').collect();
        if ![fields[0], fields[2], fields[8]].contains(&"") {
            *sizes.entry((fields[0], fields[2])).or_insert(0.0) += 1.0;
        }
    }
    let least = sizes.values().copied().filter(|n| *n >= 30.0).fold(f64::MAX, f64::min);
    // A quarter has the good outcome; of the smallest group's rate four standard errors either way
    // are what chance leaves of ten groups at alpha = 6e-4.
    let error = 4.0 * (0.25f64 * 0.75 / least).sqrt();
    let bound = (0.25 - error) / (0.25 + error);
    println!("smallest group {least}, bound {bound:.4}, alpha 6e-4");
    assert!(impact > bound && of(&fair, "/fairness/disparate_impact_before") < 0.2);
    assert!(of(&fair, "/fairness/statistical_parity") < 2.0 * error);
    assert_eq!(fair["fairness"]["groups"], 10);
    assert_eq!(fair["epsilon_spent"], plain["epsilon_spent"], "fairness costs no ε");
    assert!(of(&fair, "/quality") > of(&plain, "/quality") - 0.02);
    assert!(of(&fair, "/target/auc_synthetic") > 0.65);
    // The reference counts the same.
    let script = folder.write(
        "impact.py",
        "import csv, sys\nfrom fairlearn.metrics import demographic_parity_ratio\n\
         rows = list(csv.DictReader(open(sys.argv[1]), delimiter=';'))\n\
         rows = [r for r in rows if r['sex'] and r['race'] and r['salary-class']]\n\
         n = {}\n\
         for r in rows: n[r['sex'], r['race']] = n.get((r['sex'], r['race']), 0) + 1\n\
         rows = [r for r in rows if n[r['sex'], r['race']] >= 30]\n\
         y = [r['salary-class'] == '>50K' for r in rows]\n\
         g = [r['sex'] + '/' + r['race'] for r in rows]\n\
         print(demographic_parity_ratio(y, y, sensitive_features=g))\n",
    );
    let printed = Venv::with(&["fairlearn==0.13.0", "scikit-learn==1.7.2", "pandas==2.3.3"]).run(
        script,
        |command| {
            command.arg(&out);
        },
    );
    let reference: f64 = printed.trim().parse().unwrap();
    println!("fairlearn says {reference:.6}");
    assert!((impact - reference).abs() < 1e-9);
    // What is sampled from the stored model later is fair as well: what was made fair is the model.
    let more = folder.path("more.csv");
    let only = ["--only", "sex=Male", "--only", "sex=Female"];
    let rate = |sex: &str| {
        json(&["sample", text(&model), "--rows", "40000", only[0], sex, "--out", text(&more)]);
        let written = std::fs::read_to_string(&more).unwrap();
        written.lines().filter(|l| l.ends_with(">50K")).count() as f64
    };
    let ratio = rate(only[3]) / rate(only[1]);
    println!("40,000 women and 40,000 men more: ratio {ratio:.4}");
    // Five standard errors of two rates of a quarter.
    assert!((ratio - 1.0).abs() < 5.0 * (2.0 * 3.0 / 40_000.0f64).sqrt());
    quality(&plain);
}

/// The other measures, on the same run.
fn quality(answer: &serde_json::Value) {
    println!("{}, {}", answer["correlations"], answer["propensity"]);
    let alike = answer["correlations"]["similarity"].as_f64().unwrap();
    assert!((0.9..=1.0).contains(&alike) && answer["correlations"]["pairs"] == 36);
    let told = answer["propensity"]["auc"].as_f64().unwrap();
    // Half is not at all, and of 180,000 records chance leaves a few thousandths either way.
    assert!((0.47..0.65).contains(&told), "{told}");
    let rules = answer["plausibility"].as_array().unwrap();
    let of = |i: usize, side: &str| rules[i][side].as_f64().unwrap();
    println!("{}", answer["plausibility"]);
    // Counted in the file itself with another tool: 2,081 women of 30,162 have a husband.
    let counted = {
        let file = adult("adult_arx_30162x9.csv");
        let text = std::fs::read_to_string(Path::new(&file)).unwrap();
        let lines = text.lines().skip(1);
        let wives = lines.filter(|l| l.starts_with("Female;") && l.contains("Married-civ-spouse"));
        wives.count() as f64 / 30_162.0
    };
    assert!((of(0, "real") - counted).abs() < 1e-12 && (of(0, "synthetic") - counted).abs() < 0.05);
    assert!(of(2, "real") == 0.0 && of(3, "real") == 0.0 && of(3, "synthetic") == 0.0);
}

#[test]
fn what_cannot_be_fair_or_plausible_is_refused_before_anything_is_spent() {
    let folder = Folder::new();
    let (table, out) = (adult("adult_arx_30162x9.csv"), folder.path("out.csv"));
    let words =
        ["synthesise", text(&table), "--epsilon", "1", "--domains-are-public", "--out", text(&out)];
    let unreadable = folder.write("r1.toml", "[[implausible]]\nwhat = \"x\"\nwhen = [\"age\"]\n");
    let unknown = folder.write("r2.toml", "[[implausible]]\nwhat = \"x\"\nwhen = [\"bmi > 3\"]\n");
    let empty = folder.write("r3.toml", "[[rule]]\nask = \"?\"\n");
    for (extra, part) in [
        (
            vec!["--sensitive", "salary-class", "--favourable", "salary-class=>50K"],
            "not the outcome",
        ),
        (vec!["--sensitive", "height", "--favourable", "salary-class=>50K"], "no column 'height'"),
        (vec!["--sensitive", "sex", "--favourable", "salary-class=100K"], "never has the value"),
        (
            vec!["--sensitive", "sex", "--favourable", "salary-class=>50K", "--method", "copula"],
            "a copula cannot be made fair",
        ),
        (
            vec!["--sensitive", "sex", "--favourable", "salary-class=>50K", "--without", "sex"],
            "'sex' is left out",
        ),
        (vec!["--target", "height"], "no column 'height'"),
        (vec!["--rules", text(&unreadable)], "'age' is no condition"),
        (vec!["--rules", text(&unknown)], "no column 'bmi'"),
        (vec!["--rules", text(&empty)], "no [[implausible]]"),
    ] {
        let said = refusal(&[words.as_slice(), &extra].concat());
        println!("{said}");
        assert!(said.contains(part), "{extra:?}: {said}");
    }
    assert!(!out.exists());
}
