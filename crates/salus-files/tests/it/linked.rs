//! Tables that refer to each other, and series.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::{Folder, json, refusal, run, text};

/// People, and their visits: the older come more often, men are never pregnant.
fn hospital(folder: &Folder, people: u32) -> [std::path::PathBuf; 2] {
    let mut first = "patient,sex,age\n".to_owned();
    let mut second = "reason,patient,days\n".to_owned();
    for i in 0..people {
        let (sex, age) = (["f", "m"][(i % 2) as usize], (i * 37) % 100);
        writeln!(first, "Mrs-or-Mr-{i},{sex},{age}").unwrap();
        for visit in 0..age / 25 {
            let reason = match (sex, age) {
                ("f", 25..45) => "pregnancy",
                ("m", 60..) => "prostate",
                _ => "check-up",
            };
            let days = if (i + visit) % 10 == 0 { "" } else { &(age / 4).to_string() };
            writeln!(second, "{reason},Mrs-or-Mr-{i},{days}").unwrap();
        }
    }
    [folder.write("people.csv", first), folder.write("visits.csv", second)]
}

fn table(path: &std::path::Path) -> Vec<Vec<String>> {
    let written = std::fs::read_to_string(path).unwrap();
    written.lines().skip(1).map(|l| l.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn synthetic_visits_belong_to_synthetic_people_whom_they_fit() {
    let folder = Folder::new();
    let [people, visits] = hospital(&folder, 16_000);
    let (out, linked) = (folder.path("p.csv"), folder.path("v.csv"));
    let model = folder.path("model.json");
    let words = [
        "synthesise",
        text(&people),
        "--linked",
        text(&visits),
        "--key",
        "patient",
        "--linked-per-person",
        "3",
        "--epsilon",
        "4",
        "--rows",
        "4000",
        "--seed",
        "2",
        "--bounds",
        "age=0:99",
        "--bounds",
        "days=0:30",
        "--model",
        text(&model),
        "--out",
        text(&out),
        "--linked-out",
        text(&linked),
    ];
    let answer = json(&words);
    println!("{answer}");
    assert!(answer["epsilon_spent"].as_f64().unwrap() <= 4.0);
    assert!(answer["epsilon_spent"].as_f64().unwrap() > 3.9, "all of it is used");
    let (drawn, theirs) = (table(&out), table(&linked));
    assert_eq!((drawn.len(), answer["records"].as_u64()), (4_000, Some(4_000)));
    let by_key: BTreeMap<&str, &Vec<String>> = drawn.iter().map(|r| (r[0].as_str(), r)).collect();
    assert_eq!(by_key.len(), 4_000, "keys are unique");
    let (mut special, mut wrong) = (0, 0);
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for visit in &theirs {
        // Looking a key up is the check: every visit is of somebody.
        let person = by_key[visit[0].as_str()];
        *counts.entry(visit[0].as_str()).or_insert(0) += 1;
        let age: f64 = person[2].parse().unwrap_or(50.0);
        let fits = match visit[1].as_str() {
            "pregnancy" => person[1] == "f" && (20.0..50.0).contains(&age),
            "prostate" => person[1] == "m" && age >= 55.0,
            _ => continue,
        };
        special += 1;
        wrong += u32::from(!fits);
    }
    let [real, made] = [0, 1].map(|i| answer["linked_per_person"][i].as_f64().unwrap());
    println!("{wrong} of {special} special visits do not fit; {made:.3} a person, real {real:.3}");
    assert!(special > 500 && f64::from(wrong) < 0.05 * f64::from(special));
    assert!(counts.values().all(|n| *n <= 3) && (made / real - 1.0).abs() < 0.1);
    assert!(answer["quality"].as_f64().unwrap() > 0.9);
    assert!(answer["linked_quality"].as_f64().unwrap() > 0.9);
    for file in [&out, &linked, &model] {
        let written = std::fs::read_to_string(file).unwrap();
        assert!(!written.contains("Mrs-or-Mr"), "no key leaves: {}", file.display());
    }
    // More of the same, for nothing: women only, and no visits for nothing.
    let again = json(&[
        "sample",
        text(&model),
        "--rows",
        "300",
        "--only",
        "sex=f",
        "--only",
        "reason=check-up",
        "--out",
        text(&out),
        "--linked-out",
        text(&linked),
    ]);
    assert_eq!((&again["records"], &again["epsilon_spent"]), (&300.into(), &0.0.into()));
    assert!(table(&out).iter().all(|r| r[1] == "f"));
    assert!(table(&linked).iter().all(|r| r[1] == "check-up"));
    assert_eq!(again["linked_records"].as_u64().unwrap() as usize, table(&linked).len());
}

#[test]
fn linked_resources_refer_to_the_patients_that_are_there() {
    let folder = Folder::new();
    let mut people = "id,gender,birth_date\n".to_owned();
    let mut conditions = "id,snomed_code,onset\n".to_owned();
    for i in 0..2_000 {
        let gender = ["female", "male"][i % 2];
        writeln!(people, "{i},{gender},{}-0{}-11", 1940 + i % 50, 1 + i % 9).unwrap();
        for _ in 0..i % 3 {
            writeln!(
                conditions,
                "{i},{},20{:02}-05-0{}",
                ["38341003", "44054006"][i % 2],
                10 + i % 10,
                1 + i % 9
            )
            .unwrap();
        }
    }
    let people = folder.write("people.csv", people);
    let conditions = folder.write("conditions.csv", conditions.replace(",onset", ",onset_date"));
    let (out, linked) = (folder.path("p.ndjson"), folder.path("c.ndjson"));
    let words = [
        "synthesise",
        text(&people),
        "--linked",
        text(&conditions),
        "--key",
        "id",
        "--linked-per-person",
        "2",
        "--method",
        "mst",
        "--epsilon",
        "4",
        "--rows",
        "200",
        "--domains-are-public",
        "--without",
        "onset_date",
        "--fhir",
        "Patient",
        "--linked-fhir",
        "Condition",
        "--out",
        text(&out),
        "--linked-out",
        text(&linked),
    ];
    json(&words);
    let lines = |path: &std::path::Path| -> Vec<serde_json::Value> {
        let written = std::fs::read_to_string(path).unwrap();
        written.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    };
    let (patients, found) = (lines(&out), lines(&linked));
    let ids: Vec<String> =
        patients.iter().map(|p| format!("Patient/{}", p["id"].as_str().unwrap())).collect();
    assert_eq!(ids.len(), 200);
    assert!(found.len() > 100, "{}", found.len());
    for condition in &found {
        assert_eq!(salus_fhir::validate(condition), [], "{condition}");
        let of = condition["subject"]["reference"].as_str().unwrap();
        assert!(ids.iter().any(|id| id == of), "{of} is nobody");
    }
}

#[test]
fn linked_tables_that_do_not_fit_are_refused_before_anything_is_spent() {
    let folder = Folder::new();
    let [people, visits] = hospital(&folder, 200);
    let (out, linked) = (folder.path("p.csv"), folder.path("v.csv"));
    let words = |extra: &[&'static str]| {
        let mut words: Vec<String> = [
            "synthesise",
            text(&people),
            "--linked",
            text(&visits),
            "--epsilon",
            "5",
            "--domains-are-public",
            "--out",
            text(&out),
            "--linked-out",
            text(&linked),
        ]
        .map(str::to_owned)
        .to_vec();
        words.extend(extra.iter().map(|w| (*w).to_owned()));
        words
    };
    let said = |extra: &[&'static str]| {
        let words = words(extra);
        refusal(&words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    for (extra, part) in [
        (&["--key", "name"][..], "no column 'name'"),
        (&["--key", "patient", "--depends-on", "patient"], "who a person is"),
        (&["--key", "patient", "--only", "shoe=3"], "neither table has a column 'shoe'"),
        (&["--key", "patient", "--not-above", "age:days"], "columns of one table"),
        (&["--key", "patient", "--bounds", "shoe=1:2"], "no column 'shoe'"),
    ] {
        let said = said(extra);
        println!("{said}");
        assert!(said.contains(part), "{extra:?}: {said}");
    }
    // Visits that say nobody's name would pass for one person's.
    let whole = std::fs::read_to_string(&visits).unwrap();
    std::fs::write(&visits, format!("{whole}check-up,,3\n")).unwrap();
    let nobodys = said(&["--key", "patient"]);
    assert!(nobodys.contains("it is not said whose the record is"), "{nobodys}");
    std::fs::write(&visits, whole).unwrap();
    // A visit of nobody.
    let mut more = std::fs::read_to_string(&visits).unwrap();
    more.push_str("check-up,a-stranger,3\n");
    std::fs::write(&visits, more).unwrap();
    let strange = said(&["--key", "patient"]);
    assert!(strange.contains("refers to nobody in the first"), "{strange}");
    assert!(!out.exists() && !linked.exists());
}

/// Heart rates every five minutes, around a mean of one's own.
fn heart_rates(folder: &Folder, people: u32) -> std::path::PathBuf {
    let mut state = 7u64;
    let mut unit = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut csv = "patient,at,rate,ward\n".to_owned();
    for person in 0..people {
        let middle = 60.0 + 30.0 * unit();
        let mut now = middle;
        let mut lines = Vec::new();
        for minute in 0..20 {
            now += 0.3 * (middle - now) + 6.0 * (unit() - 0.5);
            lines.push(format!(
                "person-{person},2026-03-01T{:02}:{:02}:00,{now:.0},a",
                8 + minute * 5 / 60,
                minute * 5 % 60
            ));
        }
        // The file is in no order.
        if person % 2 == 0 {
            lines.reverse();
        }
        csv.push_str(&lines.join("\n"));
        csv.push('\n');
    }
    csv.push_str("person-0,2026-03-01T23:00:00,,a\nperson-1,whenever,70,a\n");
    folder.write("rates.csv", csv)
}

#[test]
fn synthetic_series_move_as_the_real_ones_do() {
    let folder = Folder::new();
    let source = heart_rates(&folder, 20_000);
    let (out, model) = (folder.path("out.csv"), folder.path("model.json"));
    let answer = json(&[
        "synthesise",
        text(&source),
        "--series",
        "rate",
        "--person",
        "patient",
        "--time",
        "at",
        "--longest",
        "20",
        "--bins",
        "24",
        "--every",
        "5",
        "--epsilon",
        "4",
        "--seed",
        "9",
        "--model",
        text(&model),
        "--out",
        text(&out),
    ]);
    println!("{answer}");
    let spent = answer["epsilon_spent"].as_f64().unwrap();
    assert!(spent <= 4.0 && spent > 3.99);
    let of = |side: &str, what: &str| answer[side][what].as_f64().unwrap();
    for (what, allowed) in [
        ("mean", 2.0),
        ("deviation", 2.0),
        ("step", 1.0),
        ("autocorrelation", 0.08),
        ("length", 1.5),
    ] {
        let (real, made) = (of("real", what), of("synthetic", what));
        println!("{what}: real {real:.3}, synthetic {made:.3}, allowed difference {allowed}");
        assert!((real - made).abs() < allowed, "{what}");
    }
    assert!(of("real", "autocorrelation") > 0.9, "read in the order of time, not of the file");
    let notes = answer["notes"].to_string();
    assert!(notes.contains("2 records") && notes.contains("bounds found privately"), "{notes}");
    let written = std::fs::read_to_string(&out).unwrap();
    assert!(written.starts_with("patient,at,rate\n1,0,"), "{}", &written[..40]);
    assert!(written.contains("\n1,5,") && !written.contains("person-"));
    // Its noise is drawn anew each time: the same command gives another model.
    let again = folder.path("again.json");
    json(&[
        "synthesise",
        text(&source),
        "--series",
        "rate",
        "--person",
        "patient",
        "--time",
        "at",
        "--longest",
        "20",
        "--bounds",
        "rate=40:110",
        "--epsilon",
        "4",
        "--seed",
        "9",
        "--model",
        text(&again),
        "--out",
        text(&out),
    ]);
    assert_ne!(std::fs::read(&model).unwrap(), std::fs::read(&again).unwrap());
    let more = json(&["sample", text(&model), "--rows", "50", "--seed", "1", "--out", text(&out)]);
    assert_eq!((&more["records"], &more["epsilon_spent"]), (&50.into(), &0.0.into()));
    let said = refusal(&["sample", text(&model), "--only", "rate=50:60", "--out", text(&out)]);
    assert!(said.contains("series"), "{said}");
}

#[test]
fn series_that_cannot_be_read_are_refused() {
    let folder = Folder::new();
    let source = heart_rates(&folder, 50);
    let out = folder.path("out.csv");
    let words = |series: &'static str| {
        [
            "synthesise",
            text(&source),
            "--series",
            series,
            "--person",
            "patient",
            "--time",
            "at",
            "--longest",
            "20",
            "--epsilon",
            "4",
            "--out",
            text(&out),
        ]
    };
    assert!(refusal(&words("ward")).contains("holds no numbers"));
    assert!(refusal(&words("pulse")).contains("no column 'pulse'"));
    let zero = [words("rate").as_slice(), &["--every", "0"]].concat();
    assert!(refusal(&zero).contains("--every"));
    assert!(run(&[words("rate").as_slice(), &["--bounds", "rate=90:20"]].concat()).is_err());
    assert!(!out.exists());
}

#[test]
fn one_value_does_not_say_how_a_series_is_written() {
    let folder = Folder::new();
    let source = heart_rates(&folder, 2_000);
    let mut csv = std::fs::read_to_string(&source).unwrap();
    // Somebody's values have many decimals, and a comma.
    for minute in 0..20 {
        csv.push_str(&format!("person-odd,2026-03-02T08:{minute:02}:00,\"72,34567\",a\n"));
    }
    std::fs::write(&source, csv).unwrap();
    let out = folder.path("out.csv");
    let words = [
        "synthesise",
        text(&source),
        "--series",
        "rate",
        "--person",
        "patient",
        "--time",
        "at",
        "--longest",
        "20",
        "--epsilon",
        "2",
        "--rows",
        "200",
        "--out",
        text(&out),
    ];
    let odd = |_: &i32| {
        json(&words);
        let written = table(&out);
        written.iter().any(|row| !row[2].bytes().all(|b| b.is_ascii_digit()))
    };
    // A finer level that nobody needs: one run in 3,000; three of 12 have alpha below 1e-7.
    let odd = (0..12).filter(odd).count();
    println!("{odd} of 12 series have decimals or commas");
    assert!(odd < 3);
}
