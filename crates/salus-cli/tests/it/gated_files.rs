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

    // Somebody opts out after the approval: nothing here can tell whether they are in the file.
    approve(world, "hub", &review);
    approve(world, "authority", &review);
    std::fs::write(world.path("people"), format!("{PLANTED}7\n")).unwrap();
    world.json("st-mary", &["optout", "add", "--from", &world.text("people")]);
    let out = world.text("more.out");
    let (code, said) = world.failure("st-mary", &["gate", "fetch", &review, "--out", &out]);
    assert!(code == 3 && said.contains("make it anew"), "{code} {said}");
    assert_eq!((not_bounded(world), std::path::Path::new(&out).exists()), (1, false));
    // Submitted once more, it is before everybody again, and says what nobody has checked.
    let said = world.json("st-mary", &words);
    let next = said["review"].as_str().unwrap().to_owned();
    assert_eq!(said["under_review"]["supersedes"], json!([review]), "{said}");
    world.json("st-mary", &["gate", "report", &next, "--out", &report]);
    let shown = world.json("hub", &["gate", "show", &next, "--report", &report]);
    let checks = shown["checks"]["checks"].as_array().unwrap();
    let made_from = checks.iter().find(|c| c["check"] == "made from").unwrap();
    assert_eq!(made_from["verdict"], "not-checked", "{made_from}");
    let (code, said) = world.failure("st-mary", &["gate", "fetch", &review, "--out", &out]);
    assert!(code == 2 && said.contains("nothing of review"), "{code} {said}");
    // A refusal stops it.
    approve(world, "hub", &next);
    world.json("authority", &["gate", "refuse", &next]);
    let fetch = ["gate", "fetch", &next, "--out", &out];
    assert_eq!(stops(world, &fetch)["state"], "refused");
    assert_eq!(stops(world, &words)["state"], "refused");
    next_month_is_another_file(world, permit, &report);
}

/// A file of the same name as one that is out, under the same permit.
fn next_month_is_another_file(world: &World, permit: &str, report: &str) {
    let next = table(world, "beds.csv", &GOOD.replace("720", "820").replace("2120", "2220"));
    let said = world.json("st-mary", &submit(&next, permit, &["--kind", "table"]));
    let review = said["review"].as_str().unwrap().to_owned();
    assert_eq!(said["state"], "waiting", "{said}");
    // It was compared with the one that went out, which nobody had to name.
    world.json("st-mary", &["gate", "report", &review, "--out", report]);
    let shown = world.json("hub", &["gate", "show", &review, "--report", report]);
    let about = shown["checks"]["about"].as_array().unwrap();
    assert!(about.contains(&json!(["Went out before", "beds.csv"])), "{shown}");
    // A corrected one takes its place before it is decided on, and what is out stays as it is.
    let corrected = table(world, "beds.csv", &GOOD.replace("720", "840").replace("2120", "2240"));
    let said = world.json("st-mary", &submit(&corrected, permit, &["--kind", "table"]));
    assert_eq!(said["under_review"]["supersedes"], json!([review]), "{said}");
    let names =
        |here: Json| here.as_array().unwrap().iter().filter(|k| k["name"] == "beds.csv").count();
    assert_eq!(names(world.json("st-mary", &["gate", "list", "--here"])), 3);
    // A name that would draw on a reviewer's screen is none.
    let forged = world.path("beds\u{1b}[2K.csv");
    std::fs::write(&forged, GOOD).unwrap();
    let words = submit(forged.to_str().unwrap(), permit, &["--kind", "table"]);
    let (code, said) = world.failure("st-mary", &words);
    assert!(code == 2 && said.contains("control characters"), "{code} {said}");
    // One damaged item hides no other.
    let folder = world.path("st-mary/gate");
    let heads = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path());
    let head = heads.into_iter().find(|p| p.extension().is_some_and(|e| e == "head")).unwrap();
    for path in [head.with_extension(""), head] {
        std::fs::write(path, b"damaged").unwrap();
    }
    let here = world.json("st-mary", &["gate", "list", "--here"]);
    assert!(here.as_array().unwrap().len() >= 3, "{here}");
}

/// A picture of four by four grey pixels, with so many bytes beside them.
fn picture(hidden: usize) -> Vec<u8> {
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        [&u32::try_from(data.len()).unwrap().to_be_bytes()[..], kind, data, &[0; 4]].concat()
    };
    // Four rows of a filter and four pixels, in one block that is not compressed; Adler-32 last.
    let block: [&[u8]; 4] = [&[0x78, 0x01], &[1, 20, 0, 0xeb, 0xff], &[0; 20], &[0, 20, 0, 1]];
    let parts = [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &[0, 0, 0, 4, 0, 0, 0, 4, 8, 0, 0, 0, 0]),
        chunk(b"tEXt", &vec![b'x'; hidden]),
        chunk(b"IDAT", &block.concat()),
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
    models_are_attacked_by_whom_they_were_fitted_to(&world, &allowed, &model);

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

/// Losses of so many people of whom everybody is planted, and found nowhere.
fn losses(world: &World, name: &str, people: u32, from: f64) -> String {
    let loss = |i: u32| from + f64::from(i * 7919 % 1000) / 1000.0;
    let lines: String = (0..people).map(|i| format!("{PLANTED}{i},{:.4}\n", loss(i))).collect();
    std::fs::write(world.path(name), format!("person,loss\n{lines}")).unwrap();
    world.text(name)
}

fn models_are_attacked_by_whom_they_were_fitted_to(world: &World, permit: &str, model: &str) {
    let members = losses(world, "members.csv", 600, 0.0);
    let (others, alike) =
        (losses(world, "others.csv", 700, 0.5), losses(world, "alike.csv", 700, 0.0));
    let kind = ["--kind", "model", "--trained-on", &members, "--control"];
    let against_others = [&submit(model, permit, &kind)[..], &[&others]].concat();
    let against_alike = [&submit(model, permit, &kind)[..], &[&alike]].concat();
    let words = |more: &[&'static str]| [&against_others[..], more].concat();
    // Of another program's model the losses are needed; what leaks needs a reason.
    let (code, said) = world.failure("st-mary", &words(&[]));
    assert!(code == 2 && said.contains("--loss"), "{code} {said}");
    let (code, said) = world.failure("st-mary", &words(&["--loss", "loss"]));
    assert!(code == 3 && said.contains("told from others beyond chance"), "{code} {said}");
    assert!(said.contains("--reason") && !said.contains(PLANTED), "{said}");
    let reason = ["--loss", "loss", "--reason", "for the ward's own use"];
    let leaks = world.json("st-mary", &words(&reason));
    let passes = world.json("st-mary", &[&against_alike[..], &["--loss", "loss"]].concat());
    assert_ne!(leaks["review"], passes["review"]);
    for (said, verdict) in [(leaks, "objects"), (passes, "look")] {
        let review = said["review"].as_str().unwrap();
        // Nobody here computed the losses: they count for no score.
        assert!(said["under_review"]["score"].is_null(), "{said}");
        let report = world.text("given.review");
        world.json("st-mary", &["gate", "report", review, "--out", &report]);
        let shown = world.json("hub", &["gate", "show", review, "--report", &report]);
        let checks = shown["checks"]["checks"].as_array().unwrap();
        let membership = checks.iter().find(|c| c["check"] == "membership").unwrap();
        assert_eq!(membership["verdict"], verdict, "{membership}");
        assert_eq!(shown["checks"]["attacks"][0]["attack"], "membership by a small loss");
        let training = checks.iter().find(|c| c["check"] == "training data").unwrap();
        assert_eq!(training["verdict"], "not-checked", "{training}");
        assert!(!std::fs::read_to_string(&report).unwrap().contains(PLANTED));
    }
    assert!(!stands_below(&world.path("st-mary/gate"), PLANTED), "records were kept");
    let plot = ["--kind", "plot", "--trained-on", &members, "--control", &alike];
    let (code, said) = world.failure("st-mary", &submit(model, permit, &plot));
    assert!(code == 2 && said.contains("are for models"), "{code} {said}");
}
