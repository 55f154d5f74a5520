//! Files that were made at a site and that somebody wants out: checked, reviewed, fetched.

use serde_json::{Value as Json, json};

use crate::gated::{approve, not_bounded, permit, stops, world};
use crate::release::PLANTED;
use crate::site::stands_below;
use crate::world::World;

const GOOD: &str = "ward,count\nmedicine,Plantedcount\nsurgery,720\ntotal,2120\n";

fn table(world: &World, name: &str, text: &str) -> String {
    std::fs::write(world.path(name), text.replace("Plantedcount", "1400")).unwrap();
    world.text(name)
}

fn submit<'a>(file: &'a str, permit: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let words = ["gate", "submit", file, "--dataset", "stays", "--permit", permit];
    [&words[..], more].concat()
}

#[test]
fn a_table_of_counts_is_checked_submitted_approved_and_fetched_once() {
    let world = world();
    let permit = permit(&world, &["--allow-gate"]);
    let kind = ["--kind", "table"];
    // What objects is not submitted, unless its submitter says why.
    let small = table(&world, "beds.csv", &GOOD.replace("720", "3").replace("2120", "1403"));
    let (code, said) = world.failure("st-mary", &submit(&small, &permit, &kind));
    assert!(code == 3 && said.contains("cells: ") && said.contains("--reason"), "{code} {said}");
    assert_eq!(world.json("hub", &["gate", "list", "--all"]), json!([]));
    let good = table(&world, "beds.csv", GOOD);
    let report = world.text("beds.review");
    let more = ["--kind", "table", "--columns", "patient_id,ward", "--report", &report];
    let said = world.json("st-mary", &submit(&good, &permit, &more));
    assert_eq!((&said["state"], &said["name"]), (&json!("waiting"), &json!("beds.csv")));
    let review = said["review"].as_str().unwrap().to_owned();
    let shown = world.json("hub", &["gate", "show", &review, "--report", &report]);
    assert_eq!(shown["checks"]["of"], "table", "{shown}");
    assert_eq!(shown["checks"]["checks"][2]["verdict"], "not-checked", "{shown}");
    let text = std::fs::read_to_string(&report).unwrap();
    assert!(!text.contains("1400"), "the report has the table in it");

    // Again it is the same review, and it is not fetched before two approved.
    let again = world.json("st-mary", &submit(&good, &permit, &more));
    assert_eq!(again["review"], review.as_str());
    let out = world.text("out.csv");
    let fetch = ["gate", "fetch", &review, "--out", &out];
    assert_eq!(stops(&world, &fetch)["state"], "waiting");
    approve(&world, "hub", &review);
    assert_eq!(stops(&world, &fetch)["under_review"]["approvals"], 1);
    assert!(!std::path::Path::new(&out).exists());
    assert!(!stands_below(&world.path("st-mary/gate"), "medicine,1400"), "it lies in the clear");
    let here = world.json("st-mary", &["gate", "list", "--here"]);
    assert_eq!((&here[0]["name"], &here[0]["of"]), (&json!("beds.csv"), &json!("table")));

    // The file is changed after its review: what goes out is what was approved.
    table(&world, "beds.csv", &GOOD.replace("720", "721").replace("2120", "2121"));
    approve(&world, "authority", &review);
    let done = world.json("st-mary", &fetch);
    assert_eq!((&done["state"], not_bounded(&world)), (&json!("out"), 1), "{done}");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), GOOD.replace("Plantedcount", "1400"));
    let uses = &done["receipt"]["uses"][0];
    assert_eq!(uses["columns"], json!(["patient_id", "ward"]), "{uses}");
    let receipt = done["receipt"]["file"].as_str().unwrap();
    let genesis = world.text("ledger/genesis.cbor");
    let words = ["ledger", "verify", "receipt", receipt, "--genesis", &genesis];
    let proved = world.json("none", &words);
    assert_eq!(proved["gate"]["review"], review.as_str(), "{proved}");
    // Once more it is the same file, and nothing is booked.
    let again = world.json("st-mary", &fetch);
    assert_eq!(
        (&again["receipt"]["receipt"], not_bounded(&world)),
        (&done["receipt"]["receipt"], 1)
    );
    changed_files_need_a_review_of_their_own(&world, &permit, &review);
}

fn changed_files_need_a_review_of_their_own(world: &World, permit: &str, first: &str) {
    // Two of a kind: one person more, which shows who came.
    let more = table(world, "more.csv", &GOOD.replace("720", "721").replace("2120", "2121"));
    let before = table(world, "beds.csv", GOOD);
    let words = submit(&more, permit, &["--kind", "table", "--earlier", &before]);
    let (code, said) = world.failure("st-mary", &words);
    assert!(code == 3, "{code} {said}");
    let reason = "the register counts visitors, and one left";
    let words =
        submit(&more, permit, &["--kind", "table", "--earlier", &before, "--reason", reason]);
    let said = world.json("st-mary", &words);
    let review = said["review"].as_str().unwrap().to_owned();
    assert_ne!(review, first);
    let report = world.text("given.review");
    world.json("st-mary", &["gate", "report", &review, "--out", &report]);
    let shown = world.json("hub", &["gate", "show", &review, "--report", &report]);
    assert_eq!(shown["checks"]["reason"], reason, "{shown}");

    // Somebody opts out after the approval: it is before the reviewers again, and not out.
    approve(world, "hub", &review);
    approve(world, "authority", &review);
    std::fs::write(world.path("people"), format!("{PLANTED}7\n")).unwrap();
    world.json("st-mary", &["optout", "add", "--from", &world.text("people")]);
    let out = world.text("more.out");
    let said = stops(world, &["gate", "fetch", &review, "--out", &out]);
    let next = said["review"].as_str().unwrap().to_owned();
    assert_eq!(said["under_review"]["supersedes"], json!([review]), "{said}");
    assert_eq!((not_bounded(world), std::path::Path::new(&out).exists()), (1, false));
    let (code, said) = world.failure("st-mary", &["gate", "fetch", &review, "--out", &out]);
    assert!(code == 2 && said.contains("nothing of review"), "{code} {said}");
    // A refusal stops it.
    approve(world, "hub", &next);
    world.json("authority", &["gate", "refuse", &next]);
    assert_eq!(stops(world, &["gate", "fetch", &next, "--out", &out])["state"], "refused");
    assert_eq!(stops(world, &words)["state"], "refused");
}

/// A picture with so many bytes beside its pixels.
fn picture(hidden: usize) -> Vec<u8> {
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        [&u32::try_from(data.len()).unwrap().to_be_bytes()[..], kind, data, &[0; 4]].concat()
    };
    let parts = [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &[0; 13]),
        chunk(b"tEXt", &vec![b'x'; hidden]),
        chunk(b"IDAT", &[1; 40]),
        chunk(b"IEND", &[]),
    ];
    parts.concat()
}

#[test]
fn plots_and_models_say_what_could_not_be_checked_and_only_the_holder_looks() {
    let world = world();
    let allowed = permit(&world, &["--allow-gate"]);
    let file = world.text("plot.png");
    std::fs::write(&file, picture(20_000)).unwrap();
    let (code, said) = world.failure("st-mary", &submit(&file, &allowed, &["--kind", "plot"]));
    assert!(code == 3 && said.contains("nobody sees"), "{code} {said}");
    std::fs::write(&file, picture(30)).unwrap();
    let said = world.json("st-mary", &submit(&file, &allowed, &["--kind", "plot"]));
    let review = said["review"].as_str().unwrap().to_owned();
    let verdicts = |review: &str| -> Vec<(String, String)> {
        let report = world.text("given.review");
        world.json("st-mary", &["gate", "report", review, "--out", &report]);
        let shown = world.json("hub", &["gate", "show", review, "--report", &report]);
        let text = |value: &Json| value.as_str().unwrap().to_owned();
        let checks = shown["checks"]["checks"].as_array().unwrap().clone();
        checks.iter().map(|c| (text(&c["check"]), text(&c["verdict"]))).collect()
    };
    assert_eq!(verdicts(&review)[1], ("what is seen".to_owned(), "not-checked".to_owned()));
    let looked = world.text("looked.png");
    world.json("st-mary", &["gate", "look", &review, "--out", &looked]);
    assert_eq!(std::fs::read(&looked).unwrap(), picture(30));
    let svg = world.text("plot.svg");
    std::fs::write(&svg, "<svg/>").unwrap();
    let (code, said) = world.failure("st-mary", &submit(&svg, &allowed, &["--kind", "plot"]));
    assert!(code == 2 && said.contains("every point"), "{code} {said}");
    let model = world.text("model.bin");
    std::fs::write(&model, b"weights").unwrap();
    let said = world.json("st-mary", &submit(&model, &allowed, &["--kind", "model"]));
    let found = verdicts(said["review"].as_str().unwrap());
    assert!(found.contains(&("membership".to_owned(), "not-checked".to_owned())), "{found:?}");

    // A permit without the gate, one of somebody else, a column that it does not cover.
    let bounded = permit(&world, &[]);
    let (code, said) = world.failure("st-mary", &submit(&model, &bounded, &["--kind", "model"]));
    assert!(code == 3 && said.contains("covers releases with a bounded"), "{code} {said}");
    let foreign =
        world.json("uni", &["permit", "apply", "--ground", "st-mary/stays:sex:1", "--allow-gate"]);
    let foreign = foreign["permit"].as_str().unwrap();
    world.json("hub", &["permit", "grant", foreign]);
    let (code, said) = world.failure("st-mary", &submit(&model, foreign, &["--kind", "model"]));
    assert!(code == 2 && said.contains("not in this site"), "{code} {said}");
    let words = submit(&model, &allowed, &["--kind", "model", "--columns", "note"]);
    let (code, said) = world.failure("st-mary", &words);
    assert!(code == 3 && said.contains("column note"), "{code} {said}");
}
