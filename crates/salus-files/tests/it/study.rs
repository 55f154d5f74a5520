//! What the release studio measures of a table in memory, against the commands on the same records.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use salus_crypto::OsEntropy;
use salus_deid::{Column, CsvFormat, Table};
use salus_files::release::{DatasetPlan, Given, Outcome, plan_text};
use salus_files::study::{
    Advice, AdviseWanted, AssessWanted, Holds, Purpose, Role, Subject, SubjectColumn, Tried,
    advise, assess,
};
use salus_files::watch::{Unwatched, Watch};
use salus_files::{FilesError, SystemClock};
use salus_model::KeyClass;
use serde_json::{Value, json};

use crate::adjust::some;
use crate::{Folder, adult, json, said, text};

const ALL: [&str; 9] = [
    "sex",
    "age",
    "race",
    "marital-status",
    "education",
    "native-country",
    "workclass",
    "occupation",
    "salary-class",
];

fn read(path: &std::path::Path) -> Table {
    let file = std::fs::File::open(path).unwrap();
    Table::read_csv(file, CsvFormat::with_delimiter(b';')).unwrap()
}

/// The table as a dataset has it: each record with its person.
fn subject(table: Table) -> Subject {
    let people: Vec<String> = (0..table.rows()).map(|n| format!("person-{n}")).collect();
    of_people(table, people)
}

fn of_people(table: Table, people: Vec<String>) -> Subject {
    let column = |name: &str, class, holds| SubjectColumn { name: name.to_owned(), class, holds };
    let mut columns = vec![column("who", Some(KeyClass::Identifiers), Holds::Words)];
    columns.extend(table.columns().iter().map(|c| match c.name() {
        "occupation" | "salary-class" => column(c.name(), Some(KeyClass::Clinical), Holds::Words),
        "age" => column(c.name(), Some(KeyClass::Quasi), Holds::Numbers),
        name => column(name, Some(KeyClass::Quasi), Holds::Words),
    }));
    columns.push(column("letter", Some(KeyClass::Freetext), Holds::Words));
    let table = table.with_column(Column::from_values("who", people).unwrap()).unwrap();
    Subject { name: "adults".to_owned(), table, person: Some("who".to_owned()), columns }
}

fn names(of: &[&str]) -> Vec<String> {
    of.iter().map(|name| (*name).to_owned()).collect()
}

/// Alike but for the order in which shares were summed.
fn alike(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => (one - other).abs() < 1e-9,
        _ => one == other,
    }
}

#[test]
fn the_risk_of_a_table_in_memory_is_that_of_the_command_on_its_file() {
    let folder = Folder::new();
    let path = adult("adult_arx_30162x9.csv");
    let commanded = json(&["risk", text(&path), "--population-size", "1000000", "--no-attacks"]);
    let wanted = AssessWanted {
        quasi_identifiers: Some(names(&ALL)),
        population_size: Some(1_000_000),
        least_score: 80.0,
    };
    let found = assess(&subject(read(&path)), &wanted, &Unwatched, &mut OsEntropy).unwrap();
    let risk = serde_json::to_value(&found.risk).unwrap();
    for field in [
        "records",
        "classes",
        "average_risk",
        "highest_risk",
        "records_at_highest_risk",
        "sample_unique",
        "population_unique",
        "population_estimator",
    ] {
        assert!(alike(&risk[field], &commanded[field]), "{field}: {risk}");
        assert!(!risk[field].is_null(), "{field}");
    }
    // As the field's reference has it.
    assert!((found.risk.average_risk - 0.646_575).abs() < 1e-6, "{}", found.risk.average_risk);
    assert!((found.risk.sample_unique - 0.514).abs() < 5e-4, "{}", found.risk.sample_unique);

    // The attacks are drawn by lot, so they are compared on a smaller table by their intervals.
    let small = some(&folder, "t.csv", 2_000);
    let commanded = json(&["risk", text(&small), "--least-score", "80"]);
    let wanted = AssessWanted { population_size: None, ..wanted };
    let found = assess(&subject(read(&small)), &wanted, &Unwatched, &mut OsEntropy).unwrap();
    let risk = serde_json::to_value(&found.risk).unwrap();
    let (here, there) = (risk["attacks"].as_array().unwrap(), &commanded["attacks"]);
    let there = there.as_array().unwrap();
    assert_eq!(here.len(), there.len());
    let mut ran = 0;
    for (one, other) in here.iter().zip(there) {
        assert_eq!((&one["attack"], &one["secret"]), (&other["attack"], &other["secret"]));
        // Which columns each of two linked files has is drawn for each run, and some tell more.
        if one["attack"].as_str().unwrap().starts_with("linkability") {
            continue;
        }
        // One may find too few ways of isolating a record where the other finds enough.
        let (Some(a), Some(b)) = (one["interval"].as_array(), other["interval"].as_array()) else {
            continue;
        };
        let (a, b) = ((a[0].as_f64(), a[1].as_f64()), (b[0].as_f64(), b[1].as_f64()));
        println!("{} {:?}: {a:?} and {b:?}", one["attack"], one["secret"]);
        assert!(a.0 <= b.1 && b.0 <= a.1, "{one} and {other} are apart");
        ran += 1;
    }
    assert!(ran >= 8, "{ran} attacks ran");
    // The person's column is nothing that an attacker finds in the release.
    assert!(here.iter().all(|line| line["secret"] != "who"));
    assert_eq!(risk["next"]["option"], "--k 5");
}

#[test]
fn columns_get_the_roles_that_class_and_values_speak_for() {
    let folder = Folder::new();
    let table = read(&some(&folder, "t.csv", 1_000));
    let visits = (0..1_000).map(|n| format!("v{n}"));
    let table = table.with_column(Column::from_values("visit", visits).unwrap()).unwrap();
    let ward = vec!["w1"; 1_000];
    let table = table.with_column(Column::from_values("site", ward).unwrap()).unwrap();
    let mut subject = subject(table);
    subject.columns.iter_mut().for_each(|c| {
        if c.name == "visit" {
            c.class = Some(KeyClass::Clinical);
        }
    });
    let wanted = AssessWanted { quasi_identifiers: None, population_size: None, least_score: 80.0 };
    let found = assess(&subject, &wanted, &Unwatched, &mut OsEntropy).unwrap();
    let roles: BTreeMap<&str, Role> =
        found.roles.iter().map(|r| (r.column.as_str(), r.role)).collect();
    for (column, role) in [
        ("who", Role::Identifier),
        ("letter", Role::Identifier),
        ("visit", Role::Identifier),
        ("site", Role::Other),
        ("age", Role::Quasi),
        ("occupation", Role::Sensitive),
    ] {
        assert_eq!(roles[column], role, "{column}");
    }
    // What was not read was not measured, and what names people is not taken as known.
    let letter = found.roles.iter().find(|r| r.column == "letter").unwrap();
    assert_eq!((letter.distinct, letter.missing), (None, None));
    let mut taken = found.risk.quasi_identifiers.clone();
    taken.sort();
    let mut all = names(&ALL);
    all.sort();
    assert_eq!(taken, all);
}

#[test]
fn records_of_one_person_are_attacked_together() {
    // Everybody has ten records, alike but for a number that tells nothing: where they were divided
    // between members and control people, both would be recognised alike, and no risk be seen.
    let (people, records) = (60, 600);
    let who: Vec<String> = (0..records).map(|n| format!("p{}", n % people)).collect();
    let mark: Vec<String> =
        (0..records).map(|n| format!("m{}", (n % people) * 7 % people)).collect();
    let seen: Vec<String> = (0..records).map(|n| format!("{}", n / people)).collect();
    let table = Table::from_columns(vec![
        Column::from_values("mark", mark).unwrap(),
        Column::from_values("seen", seen).unwrap(),
    ])
    .unwrap();
    let wanted = AssessWanted {
        quasi_identifiers: Some(names(&["mark"])),
        population_size: None,
        least_score: 80.0,
    };
    let found = assess(&of_people(table, who), &wanted, &Unwatched, &mut OsEntropy).unwrap();
    println!("score {:?}: {:?}", found.risk.score, found.risk.attacks);
    assert_eq!(found.risk.score, Some(0.0), "whole records of members are in the release");
    assert!(
        found.risk.notes.iter().any(|n| n.contains("several records")),
        "{:?}",
        found.risk.notes
    );
}

/// Keeps what it is told, and stops after so many attempts.
struct Kept {
    tried: Mutex<Vec<Tried>>,
    stages: Mutex<Vec<String>>,
    most: usize,
}

impl Kept {
    fn until(most: usize) -> Self {
        Self { tried: Mutex::default(), stages: Mutex::default(), most }
    }
}

impl Watch for Kept {
    fn stage(&self, words: &str) {
        self.stages.lock().unwrap().push(words.to_owned());
    }

    fn tried(&self, tried: Tried) {
        self.tried.lock().unwrap().push(tried);
    }

    fn is_wanted(&self) -> bool {
        self.tried.lock().unwrap().len() < self.most
    }
}

fn wanted(purpose: Purpose, least_score: f64) -> AdviseWanted {
    AdviseWanted {
        purpose,
        quasi_identifiers: names(&["sex", "age", "race", "education"]),
        sensitive: names(&["salary-class"]),
        unchanged: Vec::new(),
        least_score,
    }
}

fn advised(rows: usize, wanted: &AdviseWanted) -> (Folder, Subject, Advice) {
    let folder = Folder::new();
    let subject = subject(read(&some(&folder, "t.csv", rows)));
    let kept = Kept::until(usize::MAX);
    let advice = advise(&subject, wanted, &kept, &SystemClock, &mut OsEntropy).unwrap();
    for tried in &advice.tried {
        let figures = tried.figures().map(|f| (f.score, f.passes, f.utility, f.granularity));
        println!("try {}: {} → {figures:?}", tried.number, tried.options.join(" "));
    }
    println!("{:?}: {:#?}", advice.recommended, advice.why);
    // Whoever watched has seen every try, in its order.
    let seen: Vec<Value> =
        kept.tried.lock().unwrap().iter().map(|t| serde_json::to_value(t).unwrap()).collect();
    assert_eq!(json!(seen), serde_json::to_value(&advice.tried).unwrap());
    assert!(kept.stages.lock().unwrap().len() >= seen.len());
    (folder, subject, advice)
}

#[test]
fn advice_is_the_best_that_passes_and_the_command_makes_the_same_of_it() {
    let wanted = wanted(Purpose::Statistics, 70.0);
    let (folder, subject, advice) = advised(4_000, &wanted);
    let best = advice.tried.iter().find(|t| Some(t.number) == advice.recommended).unwrap();
    let figures = best.figures().unwrap();
    assert!(figures.passes && figures.score.unwrap() >= 70.0);
    for other in advice.tried.iter().filter_map(Tried::figures).filter(|f| f.passes) {
        assert!(figures.utility >= other.utility);
    }
    // Three ways of seven steps could have been tried.
    assert_eq!(advice.looks, 21);
    // A way ends with the first step that passes.
    let passing = advice.tried.iter().filter_map(Tried::figures).filter(|f| f.passes).count();
    assert!(passing <= 3, "{passing}");

    // The command, on the file that has exactly the plan's columns, by the options as they stand.
    let plan = advice.plan.as_ref().unwrap();
    let columns: Vec<&str> =
        plan["columns"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
    assert_eq!(columns, ["age", "education", "race", "salary-class", "sex"]);
    let mut bytes = Vec::new();
    let own = columns.iter().map(|c| subject.table.column(c).unwrap().clone()).collect();
    let own = Table::from_columns(own).unwrap();
    own.write_csv(&mut bytes, CsvFormat::with_delimiter(b',')).unwrap();
    let file = folder.write("own.csv", bytes);
    let out = folder.path("out.csv");
    let mut words = vec!["anonymise", text(&file), "--out", text(&out), "--no-attacks"];
    words.extend(["--quasi-identifiers", "sex,age,race,education", "--sensitive", "salary-class"]);
    let options: Vec<&str> = best.options.iter().flat_map(|o| o.split(' ')).collect();
    let attempts = options.iter().position(|o| *o == "--attempts").unwrap();
    words.extend(
        options
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != attempts && *i != attempts + 1)
            .map(|(_, o)| *o),
    );
    let made = json(&words);
    for (field, here) in [("granularity", figures.granularity), ("loss", figures.loss)] {
        assert!((made[field].as_f64().unwrap() - here).abs() < 1e-12, "{field}: {made}");
    }
    assert_eq!(made["smallest_group"], figures.smallest_group);
    assert_eq!(made["suppressed"], figures.suppressed);
    assert_eq!(made["models"], json!(figures.models));

    // And its plan, rehearsed: the same levels, attacked once more.
    let text = advice.plan_toml.as_ref().unwrap();
    assert_eq!(&plan_text(plan).unwrap(), text);
    let plan = DatasetPlan::parse(text, std::path::Path::new("")).unwrap();
    let columns = plan.columns().unwrap().unwrap();
    let mut table: Vec<Column> =
        columns.iter().map(|c| subject.table.column(c).unwrap().clone()).collect();
    table.push(subject.table.column("who").unwrap().clone());
    let given = given(Table::from_columns(table).unwrap());
    let done = plan.rehearse(given, &Unwatched, &SystemClock, &mut OsEntropy).unwrap();
    let anonymised = done.report.anonymised.as_ref().unwrap();
    assert!((anonymised.granularity - figures.granularity).abs() < 1e-12);
    assert_eq!(done.report.records, 4_000 - figures.suppressed);
    assert!(done.report.assessment.score.is_some());
}

fn given(table: Table) -> Given {
    Given {
        name: "adults".to_owned(),
        table,
        person: "who".to_owned(),
        records_per_person: 1,
        stated: BTreeMap::new(),
        delta: 1e-6,
    }
}

#[test]
fn advice_for_training_keeps_what_tells_the_target() {
    let wanted = wanted(Purpose::Train { target: "salary-class".to_owned() }, 60.0);
    let (_folder, _, advice) = advised(3_000, &wanted);
    let best = advice.tried.iter().find(|t| Some(t.number) == advice.recommended).unwrap();
    let kept = best.figures().unwrap().accuracy.unwrap();
    // Three in four earn less; education and age tell more than that.
    assert!(kept.accuracy.baseline > 0.7 && kept.accuracy.input > kept.accuracy.baseline + 0.01);
    assert!(kept.accuracy.output <= kept.accuracy.input + 0.02, "{kept:?}");
    let gain = kept.accuracy.input - kept.accuracy.baseline;
    let expected = (kept.accuracy.output - kept.accuracy.baseline) / gain;
    assert!((kept.relative - expected).abs() < 1e-12);
    assert!((best.figures().unwrap().utility - kept.relative).abs() < 1e-12);
    assert!(advice.why.iter().any(|w| w.contains("salary-class")), "{:?}", advice.why);
}

#[test]
fn what_cannot_be_advised_on_is_said_before_anything_is_tried() {
    let wanted = |change: &dyn Fn(&mut AdviseWanted)| {
        let mut wanted = wanted(Purpose::Statistics, 80.0);
        change(&mut wanted);
        wanted
    };
    let (_folder, subject, advice) = advised(60, &wanted(&|_| {}));
    assert!(advice.recommended.is_none() && advice.plan.is_none() && advice.tried.is_empty());
    assert!(advice.attainable < 80.0 && advice.why[0].contains("30 people"), "{:?}", advice.why);

    let refused = |subject: &Subject, wanted: &AdviseWanted| {
        let kept = Kept::until(usize::MAX);
        let error = advise(subject, wanted, &kept, &SystemClock, &mut OsEntropy).unwrap_err();
        assert!(kept.tried.lock().unwrap().is_empty());
        said(&error)
    };
    type Change<'c> = &'c dyn Fn(&mut AdviseWanted);
    let cases: [(Change<'_>, &str); 6] = [
        (
            &|w| w.purpose = Purpose::Train { target: "age".to_owned() },
            "'age' is a quasi-identifier",
        ),
        (&|w| w.quasi_identifiers.push("who".to_owned()), "'who' names the person"),
        (&|w| w.unchanged.push("age".to_owned()), "'age' is named twice"),
        (&|w| w.quasi_identifiers.clear(), "name the quasi-identifiers"),
        (&|w| w.sensitive.push("shoe-size".to_owned()), "no column 'shoe-size'"),
        (&|w| w.least_score = 101.0, "between 0 and 100"),
    ];
    for (change, part) in cases {
        let said = refused(&subject, &wanted(change));
        assert!(said.contains(part), "{part} is not in {said}");
    }
    // Groups count records, so several of one person would bound nothing.
    let twice = Subject {
        table: subject.table.select((0..60).chain(0..1)).unwrap(),
        ..subject_like(&subject)
    };
    let said = refused(&twice, &wanted(&|_| {}));
    assert!(said.contains("several records"), "{said}");
}

fn subject_like(subject: &Subject) -> Subject {
    Subject {
        name: subject.name.clone(),
        table: subject.table.clone(),
        person: subject.person.clone(),
        columns: subject.columns.clone(),
    }
}

#[test]
fn work_that_is_stopped_ends_with_the_attempt_that_it_is_at() {
    let folder = Folder::new();
    let subject = subject(read(&some(&folder, "t.csv", 2_000)));
    let kept = Kept::until(1);
    let wanted = wanted(Purpose::Statistics, 80.0);
    let ended = advise(&subject, &wanted, &kept, &SystemClock, &mut OsEntropy);
    assert!(matches!(ended, Err(FilesError::Stopped)), "{:?}", ended.map(|a| a.why));
    assert_eq!(kept.tried.lock().unwrap().len(), 1);
    // A loop on the score is stopped alike, and nothing is assessed for nobody.
    let looping = "purpose = \"p\"\n[anonymise]\nk = 2\nuntil-score = 98\n[publish]\ndataset = \"x\"\nleast-score = 1\n";
    let plan = DatasetPlan::parse(looping, std::path::Path::new("")).unwrap();
    let kept = Kept::until(1);
    let ended = plan.rehearse(given(subject.table.clone()), &kept, &SystemClock, &mut OsEntropy);
    assert!(matches!(ended, Err(FilesError::Stopped)), "{:?}", ended.err());
    assert_eq!(kept.tried.lock().unwrap().len(), 1);
    let kept = Kept::until(0);
    let wanted = AssessWanted { quasi_identifiers: None, population_size: None, least_score: 80.0 };
    let ended = assess(&subject, &wanted, &kept, &mut OsEntropy);
    assert!(matches!(ended, Err(FilesError::Stopped)));
}

/// Wants the work until it has been asked so often.
struct Patience {
    asked: AtomicUsize,
    most: usize,
}

impl Watch for Patience {
    fn stage(&self, _: &str) {}

    fn tried(&self, _: Tried) {}

    fn is_wanted(&self) -> bool {
        self.asked.fetch_add(1, Ordering::SeqCst) < self.most
    }
}

fn searching(search: &str, seconds: f64) -> DatasetPlan {
    let plan = json!({
        "purpose": "p",
        "anonymise": { "k": 3, "suppression": 0.05, "search": search, "seconds": seconds,
                       "sensitive": ["salary-class"] },
        "publish": { "dataset": "x", "least-score": 0 },
    });
    DatasetPlan::parse(&plan_text(&plan).unwrap(), std::path::Path::new("")).unwrap()
}

/// A thousand people with a few of their columns.
fn thousand(folder: &Folder) -> Table {
    let subject = subject(read(&some(folder, "t.csv", 1_000)));
    let columns = ["sex", "age", "race", "education", "salary-class", "who"];
    let columns = columns.map(|name| subject.table.column(name).unwrap().clone());
    Table::from_columns(columns.to_vec()).unwrap()
}

#[test]
fn a_search_on_a_dataset_ends_within_its_time_however_it_is_to_search() {
    let folder = Folder::new();
    let table = thousand(&folder);
    for search in ["optimal", "auto"] {
        let found = |seconds: f64| {
            let plan = searching(search, seconds);
            let given = given(table.clone());
            let done = plan.rehearse(given, &Unwatched, &SystemClock, &mut OsEntropy).unwrap();
            done.report.anonymised.unwrap()
        };
        let (hurried, whole) = (found(1e-9), found(60.0));
        println!("{search}: loss {} in no time, {} proven", hurried.loss, whole.loss);
        assert!(!hurried.optimal && whole.optimal, "{search}");
        assert!(hurried.smallest_group >= 3 && hurried.loss >= whole.loss);
    }
    // A release alike.
    let carried = searching("optimal", 1e-9).carry_out(given(table), &SystemClock, &mut OsEntropy);
    let Outcome::Published(published) = carried.unwrap().outcome else { panic!("withheld") };
    assert!(!published.report.anonymised.unwrap().optimal);
}

#[test]
fn a_search_that_nobody_wants_any_more_ends_at_once() {
    let folder = Folder::new();
    let table = thousand(&folder);
    for search in ["optimal", "anytime"] {
        let patience = Patience { asked: AtomicUsize::new(0), most: 10 };
        let plan = searching(search, 60.0);
        let begun = std::time::Instant::now();
        let ended = plan.rehearse(given(table.clone()), &patience, &SystemClock, &mut OsEntropy);
        assert!(matches!(ended, Err(FilesError::Stopped)), "{search}: {:?}", ended.err());
        let asked = patience.asked.load(Ordering::SeqCst);
        println!("{search}: asked {asked} times, {:?}", begun.elapsed());
        // Asked while it searched, and little more once it was told to end.
        assert!((11..500).contains(&asked), "{search}: {asked}");
        assert!(begun.elapsed().as_secs() < 50, "{search}");
    }
}

#[test]
fn a_rehearsal_shows_what_scores_too_low_and_takes_no_private_plan() {
    let folder = Folder::new();
    let subject = subject(read(&some(&folder, "t.csv", 2_000)));
    let rehearse = |plan: &Value| {
        let plan = DatasetPlan::parse(&plan_text(plan).unwrap(), std::path::Path::new("")).unwrap();
        plan.rehearse(given(subject.table.clone()), &Unwatched, &SystemClock, &mut OsEntropy)
    };
    let plan = json!({
        "purpose": "p", "columns": null, "volume": null,
        "anonymise": { "k": 2, "suppression": 0.05, "sensitive": ["salary-class"], "l": null },
        "publish": { "dataset": "x", "least-score": 100 },
    });
    let done = rehearse(&plan).unwrap();
    let words = done.withheld.unwrap();
    assert!(words.contains("below 100") && done.report.score.is_some_and(|s| s < 100.0), "{words}");
    assert!(!done.report.attacks.is_empty() && done.report.records > 0);

    let private = json!({
        "purpose": "p",
        "synthesise": { "method": "mst", "epsilon": 1.5, "until-score": 80, "most-attempts": 4 },
        "publish": { "dataset": "x", "least-score": 1 },
    });
    let said = said(&rehearse(&private).err().unwrap());
    assert!(said.contains("up to 4 times ε = 1.5") && said.contains("charged"), "{said}");
}

#[test]
fn an_option_cannot_bring_another_with_it() {
    let parse = |anonymise: Value| {
        let plan = json!({
            "purpose": "p", "anonymise": anonymise,
            "publish": { "dataset": "x", "least-score": 1 },
        });
        DatasetPlan::parse_alone(&plan_text(&plan).unwrap())
    };
    for sly in [
        json!({ "k": 5, "hierarchies=/etc": true }),
        json!({ "k": 5, "Hierarchies": "/etc" }),
        json!({ "k": "--hierarchies=/etc" }),
        json!({ "k": 5, "save-scheme": "/etc/scheme" }),
        json!({ "k": 5, "certificate": "/etc/certificate" }),
        json!({ "k": 5, "out": "/etc/out" }),
    ] {
        let refused = parse(sly.clone()).err();
        println!("{sly}: {refused:?}");
        assert!(refused.is_some(), "{sly}");
    }
    // A value that looks like an option is a value: here, a column that there is not.
    let column = json!({ "k": 5, "quasi-identifiers": ["--hierarchies=/etc"] });
    let rehearsed = parse(column).unwrap().rehearse(
        given(thousand(&Folder::new())),
        &Unwatched,
        &SystemClock,
        &mut OsEntropy,
    );
    let refused = said(&rehearsed.err().unwrap());
    assert!(refused.contains("no column '--hierarchies=/etc'"), "{refused}");
    // What is named openly is seen to be a file.
    let folder = Folder::new();
    folder.write("p.csv", "a\n1\n");
    let plan = |anonymise: Value| {
        let publish = json!({ "dataset": "x", "least-score": 1 });
        plan_text(&json!({ "purpose": "p", "anonymise": anonymise, "publish": publish })).unwrap()
    };
    let named = plan(json!({ "k-map": 5, "population": "p.csv" }));
    let beside = DatasetPlan::parse(&named, &folder.path(""));
    assert!(beside.is_ok(), "{:?}", beside.err());
    // Whether there is such a file is not found out either.
    let nowhere = plan(json!({ "k": 5, "hierarchies": "/no/such/folder" }));
    for (text, option) in [(named, "population"), (nowhere, "hierarchies")] {
        let refused = said(&DatasetPlan::parse_alone(&text).unwrap_err());
        assert!(refused.contains(&format!("'{option}' names a file")), "{refused}");
    }
    assert!(DatasetPlan::parse_alone(&plan(json!({ "k": 5 }))).is_ok());
}
