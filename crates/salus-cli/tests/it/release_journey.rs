//! What a data steward does in the release studio, in a real browser against the real program.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::journeys::{Journey, code};
use crate::world::World;

/// People of the hospital's stays; one has one stay.
const PEOPLE: usize = 3000;
/// People who opted out.
const GONE: usize = 40;
/// Stands in every id and note, and in every town, which studies read; nowhere else may it turn up.
const PLANTED: &str = "Plantedstay";

const STAYS: &str = r#"
dataset = "stays"
subject = "patient_id"
[[column]]
name = "patient_id"
type = "text"
class = "identifiers"
required = true
[[column]]
name = "sex"
type = "text"
class = "quasi"
[[column]]
name = "age"
type = "integer"
class = "quasi"
[[column]]
name = "region"
type = "text"
class = "quasi"
[[column]]
name = "ward"
type = "text"
class = "clinical"
[[column]]
name = "admitted"
type = "date"
class = "clinical"
[[column]]
name = "outcome"
type = "text"
class = "clinical"
[[column]]
name = "town"
type = "text"
class = "clinical"
[[column]]
name = "note"
type = "text"
class = "freetext"
"#;

const BEDS: &str = r#"
dataset = "beds"
subject = "patient_id"
[[column]]
name = "patient_id"
type = "text"
class = "identifiers"
required = true
[[column]]
name = "ward"
type = "text"
class = "quasi"
"#;

const PROFILE: &str = r#"
[stays]
unit_column = "patient_id"
unit = "patient"
contribution = [1, 1]
rows_per_unit = "one"
[stays.columns]
sex = { category = ["female", "male"] }
age = { number = [0, 120, 0] }
region = { category = ["north", "east", "south", "west"] }
ward = { category = ["cardiology", "geriatrics", "oncology", "surgery"] }
admitted = { instant = [1767225600, 1798761600, 0] }
outcome = { category = ["home", "rehabilitation", "died"] }
town = "open"
note = "open"
"#;

/// A number below `below` that looks drawn and is the same each time.
fn drawn(n: usize, salt: u64, below: usize) -> usize {
    let mut mixed = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt;
    mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed ^ (mixed >> 29)) % below as u64) as usize
}

/// An age that others have too: whoever has one alone, and comes out of a model as they are by
/// chance, would take the whole score away.
fn age(n: usize) -> usize {
    (20 + drawn(n, 2, 38) + drawn(n, 3, 38)).clamp(24, 90) / 2 * 2
}

/// Stays whose outcome depends on the age, so that there is something to learn and to infer.
fn stays(world: &World) {
    const WARDS: [&str; 4] = ["cardiology", "geriatrics", "oncology", "surgery"];
    const REGIONS: [&str; 4] = ["north", "east", "south", "west"];
    let mut csv = "patient_id,sex,age,region,ward,admitted,outcome,town,note\n".to_owned();
    let (mut gone, mut of_age) = (String::new(), BTreeMap::<usize, usize>::new());
    for n in 0..PEOPLE + GONE {
        let sex = ["female", "male"][drawn(n, 1, 2)];
        let age = age(n);
        *of_age.entry(age).or_insert(0) += usize::from(n < PEOPLE);
        let (region, ward) = (REGIONS[drawn(n, 4, 4)], WARDS[drawn(n, 5, 4)]);
        let outcome = match drawn(n, 6, 100) + age {
            ..110 => "home",
            110..150 => "rehabilitation",
            _ => "died",
        };
        let (month, day) = (1 + drawn(n, 7, 12), 1 + drawn(n, 8, 28));
        let town = drawn(n, 9, 6);
        csv.push_str(&format!(
            "{PLANTED}{n},{sex},{age},{region},{ward},2026-{month:02}-{day:02},{outcome},\
             {PLANTED}town{town},by {PLANTED}\n"
        ));
        if n >= PEOPLE {
            gone.push_str(&format!("{PLANTED}{n}\n"));
        }
    }
    assert!(of_age.values().all(|people| *people >= 5), "{of_age:?}");
    let profiles = world.path("st-mary/privacy.toml");
    let before = std::fs::read_to_string(&profiles).unwrap();
    std::fs::write(&profiles, before + PROFILE).unwrap();
    let beds = (0..30).map(|n| format!("{PLANTED}{n},surgery\n")).collect::<String>();
    let beds = format!("patient_id,ward\n{beds}");
    for (name, schema, rows) in [("stays", STAYS, &csv), ("beds", BEDS, &beds)] {
        let (file, toml) = (format!("{name}.csv"), format!("{name}.toml"));
        std::fs::write(world.path(&file), rows).unwrap();
        std::fs::write(world.path(&toml), schema).unwrap();
        world.json("st-mary", &["import", &world.text(&file), "--schema", &world.text(&toml)]);
        std::fs::remove_file(world.path(&file)).unwrap();
    }
    std::fs::write(world.path("gone"), gone).unwrap();
    world.json("st-mary", &["dataset", "share", "stays", "--epsilon", "10", "--allow-gate"]);
    world.json("st-mary", &["optout", "add", "--from", &world.text("gone")]);
}

/// What the account has spent, in micro-ρ.
fn spent(world: &World) -> u64 {
    world.json("st-mary", &["dataset", "share", "stays"])["spent"].as_u64().unwrap()
}

/// A steward opens a dataset, measures it, changes roles, has the best anonymisation searched for,
/// rehearses it, and publishes a synthetic table; every state on the way is free of violations that
/// axe finds. The plan that the page shows is the one that was carried out: the command line goes
/// on with it and charges nothing.
#[test]
fn a_steward_releases_a_dataset_in_a_browser() {
    assert!(salus_console::is_built(), "the console is not in this build: Node 20 and npm needed");
    let world = World::prepared(1, "[explorer]\n", stays);
    let ground = "st-mary/stays:patient_id,sex,age,region,ward,admitted,outcome:4";
    let words = ["permit", "apply", "--ground", ground, "--allow-gate"];
    let permit = world.json("st-mary", &words)["permit"].as_str().unwrap().to_owned();
    world.json("hub", &["permit", "grant", &permit]);
    let plan = world.text("plan.toml");
    Journey::new("releases.mjs")
        .tell("SALUS_HOSPITAL", world.node().told("http"))
        .tell("SALUS_HOSPITAL_CODE", code(&world, "st-mary", "s.roth", "Sara Roth", "steward"))
        .tell("SALUS_PLANTED", PLANTED)
        .tell("SALUS_PEOPLE", PEOPLE.to_string())
        .tell("SALUS_PLAN", &plan)
        .go();
    let charged = spent(&world);
    assert!(charged > 0, "a synthetic table was published for nothing");
    let again = ["release", "stays", "--plan", &plan, "--permit", &permit];
    let again = world.json("st-mary", &again);
    assert_eq!(again["charged"], Json::Null, "{again}");
    assert_eq!(spent(&world), charged, "{again}");
    let listed = world.json("st-mary", &["published", "list"]);
    let names: Vec<&str> =
        listed.as_array().unwrap().iter().map(|p| p["dataset"].as_str().unwrap()).collect();
    assert_eq!(names, ["stays_synthetic"], "what was withheld is published");
}
