//! A plan carried out on a site's dataset, which its caller has in memory.

use std::collections::BTreeMap;
use std::path::Path;

use salus_crypto::OsEntropy;
use salus_deid::{Column, Table};
use salus_dp::{Bounds, Delta, Domain, Epsilon, rho_from_epsilon};
use salus_files::SystemClock;
use salus_files::release::{Carried, DatasetPlan, Given, Outcome, Publication, Spent};
use salus_files::synthesise::Stated;

use crate::said;

const PEOPLE: usize = 640;

/// A record for each of 640 people.
fn given() -> Given {
    let people: Vec<String> = (0..PEOPLE).map(|n| format!("person-{n}")).collect();
    let days: Vec<String> = (0..PEOPLE).map(|n| format!("2026-0{}-11", 1 + n % 9)).collect();
    let column = |name: &str, value: &dyn Fn(usize) -> String| {
        let values: Vec<String> = (0..PEOPLE).map(value).collect();
        Column::from_values(name, values.iter().map(String::as_str)).unwrap()
    };
    let table = Table::from_columns(vec![
        column("patient_id", &|n| people[n].clone()),
        column("gender", &|n| ["female", "male"][n % 2].to_owned()),
        column("ward", &|n| ["north", "south", "west"][n % 3].to_owned()),
        column("age", &|n| (20 + n % 60).to_string()),
        column("admitted", &|n| days[n].clone()),
    ])
    .unwrap();
    let list = |values: &[&str]| {
        Stated::Category(Domain::new(values.iter().map(|v| (*v).to_owned()).collect()).unwrap())
    };
    Given {
        name: "stays".to_owned(),
        table,
        person: "patient_id".to_owned(),
        records_per_person: 1,
        stated: BTreeMap::from([
            ("gender".to_owned(), list(&["female", "male"])),
            ("ward".to_owned(), list(&["east", "north", "south", "west"])),
            ("age".to_owned(), Stated::Number(Bounds::new(0.0, 120.0, 0).unwrap())),
            ("admitted".to_owned(), Stated::Day(Bounds::new(20_000.0, 21_000.0, 0).unwrap())),
        ]),
        delta: 1e-6,
    }
}

fn plan(synthesise: &str, rest: &str, publish: &str) -> String {
    format!(
        "purpose = \"tests\"\n[synthesise]\nmethod = \"mst\"\nepsilon = 2\n{synthesise}\n{rest}\n\
         [publish]\ndataset = \"stays_synthetic\"\nleast-score = 0\n{publish}\n"
    )
}

fn carried(text: &str) -> Result<Carried, String> {
    let plan = DatasetPlan::parse(text, Path::new("plans")).map_err(|e| said(&e))?;
    plan.carry_out(given(), &SystemClock, &mut OsEntropy).map_err(|e| said(&e))
}

fn published(text: &str) -> Publication {
    match carried(text).unwrap().outcome {
        Outcome::Published(published) => *published,
        Outcome::Withheld(why) => panic!("withheld: {why}"),
    }
}

/// Whatever can be seen from the plan and the public domains is refused before anything is spent.
#[test]
fn what_a_plan_gets_wrong_is_told_before_it_costs_anything() {
    let wrong = [
        (plan("", "", "fhir = \"Patiant\""), "rows become"),
        (plan("", "", "fhir = \"Patient\""), "'ward' has no place"),
        (plan("without = [\"ward\", \"age\", \"admitted\"]", "", ""), "1"),
        (plan("only = [\"wing=north\"]", "", ""), "'wing'"),
        (plan("only = [\"ward=attic\"]", "", ""), "'ward'"),
        (plan("only = [\"age=200:300\"]", "", ""), "--only age=200:300"),
        (plan("not-above = [\"ward:age\"]", "", ""), "'ward'"),
        (plan("not-above = [\"admitted:discharged\"]", "", ""), "'discharged'"),
        (
            plan("", "[unbias]\nsensitive = [\"race\"]\nfavourable = \"ward=north\"", ""),
            "'race' is not among the columns",
        ),
        (
            plan("", "[unbias]\nsensitive = [\"gender\"]\nfavourable = \"ward=attic\"", ""),
            "has no value 'attic'",
        ),
        (
            plan("", "[volume]\ntarget = \"outcome\"\ngain = 0.01\nleast-per-class = 10", ""),
            "'outcome' is not among the columns",
        ),
        (plan("rows = 4294967295", "", ""), "at most 2000000"),
        (plan("", "[augment]\nto = 4294967295", ""), "at most 2000000"),
        (
            plan("", "[volume]\ntarget = \"ward\"\ngain = 0.01\nleast-per-class = 600000", ""),
            "600000 for each of 4 classes",
        ),
        (plan("", "", "certificate = \"/etc/salus.html\""), "not beside the plan"),
        (plan("", "", "certificate = \"../salus.html\""), "not beside the plan"),
        (plan("", "", "certificate = \"salus.toml\""), "neither in .pdf nor in .html"),
        (
            plan(
                "",
                "[unbias]\nsensitive = [\"gender\"]\nfavourable = \"ward=north\"\nreference = \
                 \"../people.csv\"",
                "",
            ),
            "not beside the plan",
        ),
    ];
    for (text, words) in wrong {
        match carried(&text) {
            Err(told) => assert!(told.contains(words), "{text}\n{told}"),
            // A charge, for nothing.
            Ok(Carried { spent, .. }) => panic!("{text}\nspent {spent:?}"),
        }
    }
}

#[test]
fn columns_that_a_step_adds_are_not_written_as_fhir() {
    let only = "without = [\"ward\", \"age\", \"admitted\"]";
    let two = "without = [\"ward\", \"age\"]";
    let reweigh = "[unbias]\nsensitive = [\"gender\"]\nfavourable = \"gender=male\"";
    for rest in ["[augment]\nto = 5000", reweigh] {
        let text = plan(only, rest, "fhir = \"Patient\"");
        let told = carried(&text).err().unwrap();
        assert!(told.contains("adds a column"), "{told}");
    }
    // The days of a stay are none of a Patient's elements.
    let told = carried(&plan(two, "", "fhir = \"Patient\"")).err().unwrap();
    assert!(told.contains("'admitted' has no place"), "{told}");
}

/// The number of attempts is that of the people, up to a limit; so is the width of an interval.
#[test]
fn a_certificate_for_everybody_does_not_tell_how_many_people_there_were() {
    let published = published(&plan("rows = 300", "", ""));
    assert_eq!(published.records, 300);
    let half = (PEOPLE / 2).to_string();
    let steward = serde_json::to_string(&published.report.attacks).unwrap();
    assert!(steward.contains(&format!("\"attempts\":{half}")), "{steward}");
    let html = published.certificate.html();
    assert!(!html.contains(&format!("of {half}")), "{}", html);
    assert!(html.contains("not told"));
    // As a number: in a digest it may stand by chance.
    let mut words = html.split(|c: char| !c.is_ascii_alphanumeric());
    assert!(words.all(|word| word != PEOPLE.to_string()));
    // What stands there is in hundredths: an interval of 320 attempts is as wide as one of 300.
    for attack in &published.report.attacks {
        let line = serde_json::to_value(attack).unwrap();
        let Some(high) = line["interval"][1].as_f64() else { continue };
        let fine = format!("{:.1} %", high * 100.0);
        let name = attack.attack.name();
        // In the attack's own line: another number of the page may be the same.
        let rows = html.match_indices(name).map(|(at, _)| &html[at..]);
        let mut rows = rows.map(|rest| rest.split("</tr>").next().unwrap_or(rest));
        assert!(fine.ends_with(".0 %") || rows.all(|row| !row.contains(&fine)), "{fine} {name}");
    }
    let score = published.report.score.unwrap();
    let (shown, fine) = (html.split("of 100").next().unwrap(), format!("{score:.1}"));
    assert!(fine.ends_with(".0") || !shown.contains(&fine), "{score}");
}

/// How many people are as a plan wants them is counted without noise: nobody is told by a
/// certificate, and nobody finds out by asking for people of a hundred and one.
#[test]
fn a_certificate_for_everybody_does_not_tell_how_many_people_are_as_was_asked_for() {
    // Eleven are twenty years old, and 214 in ward north.
    for (only, count) in [("age=20:20", "11 real records"), ("ward=north", "214 real records")] {
        let published = published(&plan(&format!("only = [\"{only}\"]\nrows = 300"), "", ""));
        let steward = published.report.notes.join("\n");
        assert!(steward.contains(count), "{only}: {steward}");
        let html = published.certificate.html();
        for told in ["real records", "as was asked for", "quality", "Quality"] {
            assert!(!html.contains(told), "{only}: '{told}' is in {html}");
        }
        assert!(html.contains("no ε covers what they tell"), "{html}");
    }
}

#[test]
fn a_certificate_for_everybody_does_not_tell_which_attempt_passed() {
    let published = published(&plan("until-score = 1\nmost-attempts = 3", "", ""));
    let steward = published.report.notes.join("\n");
    assert!(steward.contains("attempts are charged"), "{steward}");
    let html = published.certificate.html();
    assert!(!html.contains("attempts are charged"), "{html}");
    assert!(html.contains("the first of at most 3 ways"), "{html}");
}

/// What follows from the published records, or from the plan, may be told.
#[test]
fn notes_that_follow_from_the_plan_or_the_published_records_are_for_everybody() {
    let unbias = "[unbias]\nsensitive = [\"gender\"]\nfavourable = \"ward=north\"";
    let text = plan("rows = 40", unbias, "").replace("epsilon = 2", "epsilon = 11");
    let published = published(&text);
    let html = published.certificate.html();
    assert!(html.contains("ε = 11 bounds next to nothing"), "{html}");
    assert!(published.report.notes.iter().any(|note| note.contains("fewer than 30 records")));
    assert!(html.contains("fewer than 30 records"), "{html}");
}

#[test]
fn days_are_synthesised_as_days_within_their_public_bounds() {
    let published = published(&plan("rows = 200", "", ""));
    let csv = String::from_utf8(published.csv).unwrap();
    let mut lines = csv.lines();
    let place = lines.next().unwrap().split(',').position(|name| name == "admitted").unwrap();
    let days: Vec<&str> = lines.map(|line| line.split(',').nth(place).unwrap()).collect();
    let known = days.iter().filter(|day| !day.is_empty()).count();
    assert!(known > 150, "{known} of {} are known", days.len());
    for day in days.iter().filter(|day| !day.is_empty()) {
        let date = chrono::NaiveDate::parse_from_str(day, "%Y-%m-%d").unwrap();
        assert!((20_000..=21_000).contains(&date.to_epoch_days()), "{day}");
    }
}

#[test]
fn what_is_withheld_is_charged_all_the_same() {
    // Of so few people no attack can show as much.
    let carried = carried(&plan("until-score = 100\nmost-attempts = 3", "", "")).unwrap();
    assert!(matches!(carried.outcome, Outcome::Withheld(_)));
    let (epsilon, delta) = (Epsilon::new(2.0).unwrap(), Delta::new(1e-6).unwrap());
    let one = rho_from_epsilon(epsilon, delta);
    match carried.spent {
        Spent::Bounded(rho) => assert!(rho <= one && 10 * rho.get() > 9 * one.get(), "{rho:?}"),
        Spent::NotBounded => panic!("a synthesis is bounded"),
    }
}
