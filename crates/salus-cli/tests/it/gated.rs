//! Anonymised releases of a site's dataset through the release gate, and those who try to get one
//! out without it.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::permits::SlowLine;
use crate::release::{COLUMNS, PLANTED, plan, stays};
use crate::site::stands_below;
use crate::world::World;

const PLAN: &str = r#"
purpose = "show students how stays differ by ward"
columns = ["sex", "ward"]
[anonymise]
quasi-identifiers = ["sex", "ward"]
k = 10
suppression = 0.05
[publish]
dataset = "stays_anonymous"
certificate = "stays.html"
least-score = 1
"#;

/// Another plan, since it says another purpose.
fn another(words: &str) -> String {
    PLAN.replace("by ward", &format!("by ward, {words}"))
}

/// Two organisations whose officers review, and a hospital that asks; its own reviewer is the
/// person's organisation, and so may not.
pub(crate) fn world() -> World {
    let members = [
        "hub:administrator,officer",
        "authority:officer",
        "st-mary:holder,reviewer",
        "uni:research",
    ];
    let mut world = World::founded(1, "", &members);
    world.import();
    stays(&world, &["--epsilon", "10", "--allow-gate"]);
    world.start_hospital();
    world
}

pub(crate) fn permit(world: &World, more: &[&str]) -> String {
    let ground = format!("st-mary/stays:{COLUMNS}:5");
    let words = [&["permit", "apply", "--ground", &ground], more].concat();
    let applied = world.json("st-mary", &words);
    let permit = applied["permit"].as_str().unwrap().to_owned();
    world.json("hub", &["permit", "grant", &permit]);
    permit
}

/// What a command answers that does not publish; it must end with 3.
pub(crate) fn stops(world: &World, words: &[&str]) -> Json {
    let output = world.command("st-mary", words).output().unwrap();
    let (said, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(3), "{words:?}: {said}{errors}");
    serde_json::from_str(&said).unwrap()
}

pub(crate) fn approve(world: &World, site: &str, review: &str) -> Json {
    let report = world.text("given.review");
    world.json("st-mary", &["gate", "report", review, "--out", &report]);
    world.json(site, &["gate", "approve", review, "--report", &report])
}

pub(crate) fn not_bounded(world: &World) -> u64 {
    world.json("st-mary", &["dataset", "share", "stays"])["not_bounded"].as_u64().unwrap()
}

fn is_published(world: &World) -> bool {
    !world.json("st-mary", &["published", "list"]).as_array().unwrap().is_empty()
}

fn review_of(said: &Json) -> String {
    assert!(said["published"].is_null() && said["receipt"].is_null(), "{said}");
    said["under_review"]["review"].as_str().unwrap_or_else(|| panic!("{said}")).to_owned()
}

#[test]
fn an_anonymised_release_waits_for_two_reviewers_and_goes_out_on_their_approvals_once() {
    let world = world();
    let permit = permit(&world, &["--allow-gate"]);
    let path = plan(&world, PLAN);
    let report = world.text("first.review");
    let words = ["release", "stays", "--plan", &path, "--permit", &permit];
    let said = stops(&world, &[&words[..], &["--report", &report]].concat());
    let waits = &said["under_review"];
    let review = review_of(&said);
    assert_eq!((&waits["state"], &waits["submission"]), (&json!("waiting"), &json!("now")));
    assert_eq!((&waits["approvals"], &waits["needed"]), (&json!(0), &json!(2)), "{waits}");
    let score = waits["score"].as_u64().unwrap();

    // The report has what was measured, and no record; what waits lies sealed.
    let shown = world.json("hub", &["gate", "show", &review, "--report", &report]);
    let checks = &shown["checks"];
    assert_eq!((&checks["of"], &shown["score"]), (&json!("dataset"), &json!(score)));
    assert!(checks["about"].to_string().contains("10-anonymity"), "{checks}");
    assert!(checks["plan"].as_str().unwrap().contains("k = 10"));
    let verdicts: Vec<&str> =
        checks["checks"].as_array().unwrap().iter().map(|c| c["check"].as_str().unwrap()).collect();
    let wanted =
        ["groups", "whole records", "identifiers", "rare values", "free text", "other releases"];
    assert_eq!(verdicts, wanted);
    let ran =
        checks["attacks"].as_array().unwrap().iter().filter(|a| !a["result"]["ran"].is_null());
    assert!(ran.count() >= 3, "{checks}");
    let text = std::fs::read_to_string(&report).unwrap();
    for value in [PLANTED, "surgery", "isolation", "female"] {
        assert!(!text.contains(value), "the report tells '{value}'");
    }
    for planted in [PLANTED, "\"csv\":\"sex,ward"] {
        assert!(!stands_below(&world.path("st-mary/gate"), planted), "{planted} lies in the clear");
    }
    let page = world.text("waits.html");
    world.json("hub", &["gate", "show", &review, "--report", &report, "--certificate", &page]);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("10-anonymity") && !page.contains("Release gate"), "{page}");
    let told = world.command("hub", &["gate", "show", &review, "--report", &report]);
    for_people(told, &["What wants out", "Attacks, on people in the data", "The plan"]);

    // The holder's own people look at the table itself; nobody else can, nor decides for them.
    let looked = world.text("looked.csv");
    world.json("st-mary", &["gate", "look", &review, "--out", &looked]);
    let looked = std::fs::read(looked).unwrap();
    let lines = looked.iter().filter(|b| **b == b'\n').count();
    assert!(lines > 2000 && looked.starts_with(b"sex,ward\n"), "{lines}");
    let audit = world.json("st-mary", &["audit", "list"]).to_string();
    assert!(audit.contains(&format!("look at what is under review {review}")), "{audit}");
    for words in [["gate", "look"], ["gate", "report"]] {
        let words = [&words[..], &[&review, "--out", "x"]].concat();
        let (code, said) = world.failure("hub", &words);
        assert!(code == 2 && said.contains("is kept at this site"), "{code} {said}");
    }
    let (code, said) = world.failure("st-mary", &["gate", "approve", &review, "--report", &report]);
    assert!(code == 3 && said.contains("reviews.own"), "{code} {said}");

    // Unapproved, and with one approval of two, the same command says so and nothing goes out.
    let again = stops(&world, &words);
    assert_eq!(
        (review_of(&again), &again["under_review"]["submission"]),
        (review.clone(), &json!("earlier"))
    );
    assert_eq!(approve(&world, "hub", &review)["state"], "waiting");
    let one = stops(&world, &words);
    assert_eq!((review_of(&one), &one["under_review"]["approvals"]), (review.clone(), &json!(1)));
    assert_eq!(one["under_review"]["decisions"][0]["member"], "hub", "{one}");
    assert_eq!((is_published(&world), not_bounded(&world)), (false, 0));
    let told = world.command("st-mary", &words);
    for_people(told, &["Under review, and not out yet", "1 of 2 keys", "salus gate approve"]);

    assert_eq!(approve(&world, "authority", &review)["state"], "approved");
    let done = world.json("st-mary", &words);
    let published = &done["published"];
    assert_eq!((&published["kind"], &published["epsilon"]), (&json!("anonymised"), &Json::Null));
    assert_eq!(published["review"]["review"], review.as_str(), "{published}");
    assert_eq!(published["review"]["approvals"].as_array().unwrap().len(), 2);
    assert!(done["receipt"]["uses"][0]["charge_rho"].is_null(), "{}", done["receipt"]);
    let certificate = std::fs::read_to_string(done["certificate"].as_str().unwrap()).unwrap();
    for part in ["Release gate", "Approved by hub", "Approved by authority", &review[..8]] {
        assert!(certificate.contains(part), "{part} is not in the certificate");
    }
    assert_eq!(not_bounded(&world), 1);

    // Everybody fetches what the reviewers' approvals were for.
    let out = world.text("fetched.csv");
    let fetch = ["published", "fetch", "st-mary/stays_anonymous", "--out", &out];
    assert_eq!(world.json("uni", &fetch)["verified"], true);
    assert_eq!(std::fs::read(&out).unwrap(), looked);
    assert_eq!(world.json("st-mary", &["dataset", "show", "stays_anonymous"])["rows"], lines - 1);
    let after = world.json("hub", &["gate", "show", &review]);
    assert_eq!((&after["state"], &after["led_to"]), (&json!("released"), &published["receipt"]));

    // Once more: the same, for nothing, and the folder of what waits is empty.
    let again = world.json("st-mary", &words);
    assert_eq!((&again["published"], not_bounded(&world)), (published, 1));
    assert_eq!(world.json("st-mary", &["gate", "list", "--here"]), json!([]));
    another_plan_cannot_take_the_name(&world, &permit);
}

fn another_plan_cannot_take_the_name(world: &World, permit: &str) {
    let other = plan(world, &another("other"));
    let words = ["release", "stays", "--plan", &other, "--permit", permit];
    let (code, said) = world.failure("st-mary", &words);
    assert!(code == 2 && said.contains("another plan"), "{code} {said}");
}

/// What a person reads on the terminal.
fn for_people(command: std::process::Command, parts: &[&str]) {
    let words: Vec<_> = command.get_args().skip(1).map(ToOwned::to_owned).collect();
    let mut people = std::process::Command::new(command.get_program());
    people.args(words).envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
    let output = people.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{text}");
    for part in parts {
        assert!(text.contains(part), "'{part}' is not in:\n{text}");
    }
}

#[test]
fn a_refusal_another_plan_an_opt_out_or_a_new_version_need_a_review_of_their_own() {
    let world = world();
    let permit = permit(&world, &["--allow-gate"]);
    let release = |text: &str| {
        let path = plan(&world, text);
        stops(&world, &["release", "stays", "--plan", &path, "--permit", &permit])
    };
    let both = |review: &str| {
        approve(&world, "hub", review);
        assert_eq!(approve(&world, "authority", review)["state"], "approved");
    };
    let replaced = |said: &Json, old: &str| {
        let review = review_of(said);
        assert_ne!(review, old);
        assert_eq!(said["under_review"]["supersedes"], json!([old]), "{said}");
        assert_eq!(said["under_review"]["approvals"], 0, "{said}");
        let old = world.json("hub", &["gate", "show", old]);
        assert_eq!((&old["state"], &old["led_to"]), (&json!("superseded"), &json!(review)));
        assert_eq!((is_published(&world), not_bounded(&world)), (false, 0));
        review
    };

    // Refused, whatever others say; the same command says so, and a changed plan begins anew.
    let first = review_of(&release(PLAN));
    approve(&world, "hub", &first);
    world.json("authority", &["gate", "refuse", &first]);
    let refused = release(PLAN);
    assert_eq!(
        (review_of(&refused), &refused["under_review"]["state"]),
        (first.clone(), &json!("refused"))
    );
    let kept = world.path("st-mary/gate");
    let old = only_file(&kept);
    let old_bytes = std::fs::read(&old).unwrap();
    let second = replaced(&release(&another("the second")), &first);

    // Approved is one plan, and not another under its review; nor one put back from a backup.
    both(&second);
    let new_bytes = std::fs::read(only_file(&kept)).unwrap();
    std::fs::write(&old, &old_bytes).unwrap();
    let back = release(PLAN);
    let third = review_of(&back);
    assert!(third != first && third != second, "{back}");
    assert_eq!(back["under_review"]["approvals"], 0);
    assert_eq!((is_published(&world), not_bounded(&world)), (false, 0));
    std::fs::write(&old, &new_bytes).unwrap();
    let fourth = replaced(&release(&another("the third")), &second);

    // Somebody opts out after the approval.
    both(&fourth);
    let text = another("the third");
    std::fs::write(world.path("people"), format!("{PLANTED}7\n")).unwrap();
    world.json("st-mary", &["optout", "add", "--from", &world.text("people")]);
    let fifth = replaced(&release(&text), &fourth);
    let looked = world.text("looked.csv");
    world.json("st-mary", &["gate", "look", &fifth, "--out", &looked]);

    // The dataset has another version after the approval.
    both(&fifth);
    let line = format!("{PLANTED}new,female,33,medicine,2026-05-05,seen\n");
    std::fs::write(
        world.path("more.csv"),
        format!("patient_id,sex,age,ward,admitted,note\n{line}"),
    )
    .unwrap();
    let (csv, schema) = (world.text("more.csv"), world.text("stays.toml"));
    world.json("st-mary", &["import", &csv, "--schema", &schema]);
    world.json("st-mary", &["dataset", "share", "stays"]);
    let sixth = replaced(&release(&text), &fifth);

    both(&sixth);
    let path = plan(&world, &text);
    let done = world.json("st-mary", &["release", "stays", "--plan", &path, "--permit", &permit]);
    assert_eq!(done["published"]["review"]["review"], sixth.as_str());
    assert_eq!(done["receipt"]["uses"][0]["optout_epoch"], 1, "{done}");
    assert_eq!(not_bounded(&world), 1);
}

/// How often the plan was carried out on the records, as the access log has it.
fn computed(world: &World) -> usize {
    let all = world.json("st-mary", &["audit", "list"]);
    let all = all.as_array().unwrap().clone();
    let carried_out = |record: &&Json| {
        let text = record.to_string();
        text.contains("as stays_anonymous, plan") && text.contains("\"rows\":1")
    };
    let found = all.iter().filter(carried_out);
    found.inspect(|record| println!("{record}")).count()
}

fn only_file(folder: &std::path::Path) -> PathBuf {
    let files = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    // What an item is known by lies beside it.
    let files: Vec<_> = files.filter(|path| path.extension().is_none()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn what_must_not_go_out_at_all_is_stopped_before_anybody_is_asked() {
    let mut world = world();
    let path = plan(&world, PLAN);
    // A permit for bounded releases, and a dataset for them.
    let bounded = permit(&world, &[]);
    let refused = |permit: &str, dataset: &str, part: &str| {
        let words = ["release", dataset, "--plan", &path, "--permit", permit];
        let (code, said) = world.failure("st-mary", &words);
        assert!(code == 3 && said.contains(part), "{code} {said}");
    };
    refused(&bounded, "stays", "covers releases with a bounded privacy loss only");
    let schema = std::fs::read_to_string(world.path("stays.toml")).unwrap();
    std::fs::write(world.path("o.toml"), schema.replace("\"stays\"", "\"others\"")).unwrap();
    let rows = format!(
        "patient_id,sex,age,ward,admitted,note\n{PLANTED}x,female,40,surgery,2026-01-01,n\n"
    );
    std::fs::write(world.path("o.csv"), rows).unwrap();
    world.json("st-mary", &["import", &world.text("o.csv"), "--schema", &world.text("o.toml")]);
    world.json("st-mary", &["dataset", "share", "others", "--epsilon", "3"]);
    let profiles = std::fs::read_to_string(world.path("st-mary/privacy.toml")).unwrap();
    let own = profiles.split("[stays]").nth(1).unwrap().replace("[stays.", "[others.");
    std::fs::write(world.path("st-mary/privacy.toml"), format!("{profiles}\n[others]{own}"))
        .unwrap();
    world.hospital.take().unwrap().stop();
    world.start_hospital();
    let path = plan(&world, PLAN);
    let ground = "st-mary/others:patient_id,sex,age,ward:2";
    let words = ["permit", "apply", "--ground", ground, "--allow-gate"];
    let applied = world.json("st-mary", &words);
    let permit_of_others = applied["permit"].as_str().unwrap();
    world.json("hub", &["permit", "grant", permit_of_others]);
    let words = ["release", "others", "--plan", &path, "--permit", permit_of_others];
    let (code, said) = world.failure("st-mary", &words);
    assert!(code == 3 && said.contains("others takes releases with a bounded"), "{code} {said}");
    // Nothing was read for either: no scan under a permit is on record.
    assert_eq!(computed(&world), 0);

    // Below the plan's score: withheld before the gate.
    let allowed = permit(&world, &["--allow-gate"]);
    let high = plan(&world, &PLAN.replace("least-score = 1", "least-score = 100"));
    let words = ["release", "stays", "--plan", &high, "--permit", &allowed];
    let said = stops(&world, &words);
    assert!(said["withheld"].as_str().unwrap().contains("below 100"), "{said}");
    assert!(said["receipt"].is_null() && said["under_review"].is_null(), "{said}");
    // The holder's own rule asks for a score that the report does not have.
    assert_eq!(world.json("hub", &["gate", "list", "--all"]), json!([]));
    world.json("st-mary", &["gate", "rule", "stays", "--reviewers", "2", "--least-score", "100"]);
    let path = plan(&world, PLAN);
    let words = ["release", "stays", "--plan", &path, "--permit", &allowed];
    let (code, said) = world.failure("st-mary", &words);
    assert!(code == 3 && said.contains("reviews.score"), "{code} {said}");
    assert_eq!((is_published(&world), not_bounded(&world)), (false, 0));
}

/// Waits until something is so, which takes a node at work.
fn until(what: &str, so: impl Fn() -> bool) {
    let late = Instant::now() + Duration::from_secs(120);
    while !so() {
        assert!(Instant::now() < late, "it never came to this: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_node_killed_at_any_step_leads_to_one_review_and_one_release() {
    let mut world = world();
    let permit = permit(&world, &["--allow-gate"]);
    let validator = world.json("uni", &["ledger", "status"])[0]["validator"].clone();
    let validator = validator.as_str().unwrap().trim_start_matches("https://").to_owned();
    let line = SlowLine::to(&validator);
    world.hospital.take().unwrap().kill();
    let settings = world.path("st-mary/salus.toml");
    let direct = std::fs::read_to_string(&settings).unwrap();
    let slow = direct.replace(&validator, &line.address);
    let path = plan(&world, PLAN);
    let words = ["release", "stays", "--plan", &path, "--permit", &permit];
    // Runs the command through a node that hears of the ledger late, and kills that in between.
    let killed_when = |world: &mut World, what: &str, so: &dyn Fn(&World) -> bool| {
        std::fs::write(&settings, &slow).unwrap();
        world.start_hospital();
        line.slow.store(true, Ordering::SeqCst);
        let mut command = world.command("st-mary", &words);
        let running = command.stdout(Stdio::piped()).spawn().unwrap();
        until(what, || so(world));
        world.hospital.take().unwrap().kill();
        let ended = running.wait_with_output().unwrap();
        assert_eq!(
            ended.status.code(),
            Some(4),
            "{what}: {}",
            String::from_utf8_lossy(&ended.stdout)
        );
        line.slow.store(false, Ordering::SeqCst);
        std::fs::write(&settings, &direct).unwrap();
    };
    let reviews =
        |world: &World| world.json("hub", &["gate", "list", "--all"]).as_array().unwrap().clone();

    // On the disk, and not submitted.
    let gate = world.path("st-mary/gate");
    let kept = || std::fs::read_dir(&gate).is_ok_and(|mut files| files.next().is_some());
    killed_when(&mut world, "kept", &|_| kept());
    assert_eq!(reviews(&world), Vec::<Json>::new(), "it was submitted before it was killed");

    // Submitted, and the node has not heard of it. The review is of what was on the disk already.
    killed_when(&mut world, "submitted", &|world| !reviews(world).is_empty());
    let said = stops(&world, &words);
    let review = review_of(&said);
    let all = reviews(&world);
    assert_eq!((all.len(), &all[0]["review"]), (1, &json!(review)), "submitted twice");

    assert_eq!(computed(&world), 1, "it was computed anew");

    // Released, and the node has not heard of it.
    approve(&world, "hub", &review);
    approve(&world, "authority", &review);
    killed_when(&mut world, "released", &|world| reviews(world)[0]["state"] == "released");
    assert!(!is_published(&world));

    // Kept for good, and in nobody's lake yet.
    let published = world.path("st-mary/published");
    let record = || {
        let files = std::fs::read_dir(&published).into_iter().flatten().flatten();
        files.into_iter().any(|file| file.path().extension().is_some_and(|e| e == "record"))
    };
    killed_when(&mut world, "published", &|_| record());

    // Without a node the command does the rest itself.
    let done = world.json("st-mary", &words);
    assert_eq!(done["published"]["review"]["review"], review.as_str(), "{done}");
    assert_eq!(not_bounded(&world), 1, "it was booked twice");
    let all = reviews(&world);
    assert_eq!((all.len(), &all[0]["led_to"]), (1, &done["published"]["receipt"]));
    world.start_hospital();
    let out = world.text("fetched.csv");
    let fetch = ["published", "fetch", "st-mary/stays_anonymous", "--out", &out];
    assert_eq!(world.json("uni", &fetch)["verified"], true);
}
