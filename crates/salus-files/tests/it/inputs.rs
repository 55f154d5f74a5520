//! Files that are not what they seem: columns that a scheme never saw, quotes that never end,
//! control people who are the real ones, models of another kind.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::person::Draws;
use crate::{Folder, json, refusal, run, text};

/// Visits with who came, and an age and a sex that ten of 400 share.
fn visits(from: u32, number: u32) -> String {
    let mut csv = "patient,visit,age,sex,city\n".to_owned();
    for i in from..from + number {
        let (sex, city) = (["f", "m"][i as usize % 2], ["Basel", "Genève"][i as usize % 2]);
        writeln!(csv, "P4{i:05},V{i},{},{sex},{city}", 20 + i % 40).unwrap();
    }
    csv
}

/// The scheme that 400 of them give, at k = 5.
fn scheme(folder: &Folder) -> PathBuf {
    let table = folder.write("visits.csv", visits(0, 400));
    let (out, scheme) = (folder.path("anonymous.csv"), folder.path("scheme.json"));
    json(&[
        "anonymise",
        text(&table),
        "--identifiers",
        "patient,visit",
        "--quasi-identifiers",
        "age,sex",
        "--k",
        "5",
        "--no-attacks",
        "--save-scheme",
        text(&scheme),
        "--out",
        text(&out),
    ]);
    assert!(std::fs::read_to_string(&out).unwrap().starts_with("age,sex,city\n"));
    scheme
}

fn recode<'a>(file: &'a Path, scheme: &'a Path, out: &'a Path) -> Vec<&'a str> {
    vec!["recode", text(file), "--scheme", text(scheme), "--out", text(out)]
}

#[test]
fn what_anonymise_left_out_recode_leaves_out_and_other_columns_are_refused() {
    let folder = Folder::new();
    let (scheme, out) = (scheme(&folder), folder.path("out.csv"));
    let more = folder.write("more.csv", visits(400, 400));
    let answer = json(&recode(&more, &scheme, &out));
    assert_eq!(answer["left_out"], serde_json::json!(["patient", "visit"]));
    assert_eq!((&answer["records"], &answer["suppressed"]), (&400.into(), &0.into()));
    let written = std::fs::read_to_string(&out).unwrap();
    assert!(written.starts_with("age,sex,city\n") && !written.contains("P4"), "{written}");
    // A column that the scheme never saw may name somebody.
    std::fs::remove_file(&out).unwrap();
    let wider = visits(400, 40).replace(",sex,", ",sex,phone,").replace(",f,", ",f,0171,");
    let wider = folder.write("wider.csv", wider.replace(",m,", ",m,0172,"));
    let said = refusal(&recode(&wider, &scheme, &out));
    println!("{said}");
    for part in ["wider.csv", "columns phone", "leave them out"] {
        assert!(said.contains(part), "{said}");
    }
    // A second column of one name would be written as it is.
    let twice = folder.write("twice.csv", "age,sex,city,age\n20,f,Basel,20\n");
    let said = refusal(&recode(&twice, &scheme, &out));
    assert!(said.contains("twice.csv") && said.contains("'age'"), "{said}");
    assert!(!out.exists(), "nothing is written when something is refused");
    // What an earlier version stored does not say what was left out.
    let stored = std::fs::read_to_string(&scheme).unwrap();
    let old = folder.write("old.json", stored.replace("\"version\": 2", "\"version\": 1"));
    let said = refusal(&recode(&more, &old, &out));
    assert!(said.contains("old.json") && said.contains("Make it anew"), "{said}");
}

#[test]
fn recode_reads_what_other_commands_read() {
    let folder = Folder::new();
    let (scheme, out) = (scheme(&folder), folder.path("out.csv"));
    let csv = visits(400, 400);
    let semicolons = csv.replace(',', ";");
    let latin = |text: &str| -> Vec<u8> {
        text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
    };
    let utf16: Vec<u8> = [0xFF, 0xFE]
        .into_iter()
        .chain(semicolons.encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    let hinted = format!("sep=;\r\n{}", semicolons.replace('\n', "\r\n"));
    let none: &[&str] = &[];
    for (name, bytes, options) in [
        ("plain", csv.clone().into_bytes(), none),
        ("mark", format!("\u{feff}{csv}").into_bytes(), none),
        ("hint", hinted.into_bytes(), none),
        ("utf-16", utf16, none),
        ("latin", latin(&semicolons), &["--encoding", "windows-1252"][..]),
        ("bar", csv.replace(',', "|").into_bytes(), &["--delimiter", "|"][..]),
    ] {
        let file = folder.write(name, bytes);
        let answer = json(&[&recode(&file, &scheme, &out)[..], options].concat());
        assert_eq!(answer["records"], 400, "{name}");
        let written = std::fs::read_to_string(&out).unwrap().replace([';', '|'], ",");
        assert!(
            written.starts_with("age,sex,city\n20,f,Basel\n21,m,Genève\n"),
            "{name}: {written}"
        );
        assert_eq!(written.lines().count(), 401, "{name}");
    }
}

#[test]
fn recode_names_the_file_and_the_place_and_says_when_nothing_is_left() {
    let folder = Folder::new();
    let (scheme, out) = (scheme(&folder), folder.path("out.csv"));
    let mut damaged = b"age,sex,city\n20,f,Basel\n21,m,Gen".to_vec();
    damaged.extend(b"\xE8ve\n");
    for (name, bytes, parts) in [
        ("empty.csv", Vec::new(), vec!["is empty"]),
        ("hint.csv", b"sep=;\n".to_vec(), vec!["is empty"]),
        ("names.csv", b"age,sex,city\n".to_vec(), vec!["no record"]),
        ("damaged.csv", damaged, vec!["line 3: byte 9", "--encoding windows-1252"]),
        ("ragged.csv", b"age,sex,city\n20,f,Basel\n21,m\n".to_vec(), vec!["line 3 has 2 fields"]),
        ("open.csv", b"age,sex,city\n20,f,\"Basel\n21,m,Basel\n".to_vec(), vec!["line 2"]),
        ("narrow.csv", b"age,city\n20,Basel\n".to_vec(), vec!["'sex'"]),
    ] {
        let file = folder.write(name, bytes);
        let said = refusal(&recode(&file, &scheme, &out));
        println!("{said}");
        assert!(said.contains(name), "{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        assert!(!out.exists(), "{name}");
    }
    let few = folder.write("few.csv", "age,sex,city\n20,f,Basel\n21,m,Basel\n");
    let answer = run(&recode(&few, &scheme, &out)).unwrap();
    assert_eq!(answer.json["suppressed"], 2);
    assert!(answer.json["notes"].to_string().contains("no record is left"), "{}", answer.json);
    assert!(!answer.text().contains("at least 5"), "{}", answer.text());
}

#[test]
fn a_quote_that_never_ends_swallows_no_records() {
    let folder = Folder::new();
    let rows = |stray: u32| -> String {
        (2..=1_500).fold("age,city\n".to_owned(), |mut csv, line| {
            let quote = if line == stray { "\"" } else { "" };
            writeln!(csv, "{},{quote}Basel", 20 + line % 40).unwrap();
            csv
        })
    };
    let said = |name: &str, text_of: String| {
        let file = folder.write(name, text_of);
        refusal(&["risk", text(&file), "--no-attacks"])
    };
    let stray = said("stray.csv", rows(701));
    println!("{stray}");
    assert!(stray.contains("stray.csv") && stray.contains("line 701:"), "{stray}");
    let hinted = said("hinted.csv", format!("sep=,\n{}", rows(701)));
    assert!(hinted.contains("line 702:"), "{hinted}");
    let short = said("short.csv", "a,b\n1,\"2\n3,4".to_owned());
    assert!(short.contains("line 2:"), "{short}");
    // Two stray quotes make one field of what is between them: that may be a text, and is noted.
    let mut lines: Vec<String> = rows(701).lines().map(str::to_owned).collect();
    lines[900].push('"');
    let file = folder.write("two.csv", lines.join("\n"));
    let answer = json(&["risk", text(&file), "--no-attacks"]);
    assert_eq!(answer["records"], 1_499 - 200);
    let notes = answer["notes"].to_string();
    assert!(notes.contains("line 701 goes on over 200 more lines"), "{notes}");
}

/// People with values that hardly two of them share.
fn people(from: u64, number: u64) -> String {
    let mut csv = "age,height,income\n".to_owned();
    for person in from..from + number {
        let mut draws = Draws::of(person);
        let (age, height) = (18 + draws.below(72), 150 + draws.below(50));
        writeln!(csv, "{age},{height},{}", draws.below(1_000_000)).unwrap();
    }
    csv
}

/// People of whom many are alike.
fn alike(from: u64, number: u64) -> String {
    let mut csv = "age,ward,sex\n".to_owned();
    for person in from..from + number {
        let mut draws = Draws::of(person);
        let (age, ward) = (draws.below(8), ["a", "b", "c"][draws.below(3) as usize]);
        writeln!(csv, "{age}0s,{ward},{}", ["f", "m"][draws.below(2) as usize]).unwrap();
    }
    csv
}

fn attack<'a>(real: &'a Path, control: &'a Path, released: &'a Path) -> Vec<&'a str> {
    let files = ["--real", text(real), "--control", text(control), "--released", text(released)];
    [&["attack", "--attempts", "50"][..], &files].concat()
}

#[test]
fn control_people_who_are_the_real_ones_are_refused() {
    let folder = Folder::new();
    let csv = people(0, 600);
    let real = folder.write("real.csv", &csv);
    let apart = folder.write("apart.csv", people(9_000, 600));
    let backwards: Vec<&str> = csv.lines().skip(1).collect();
    let backwards: Vec<&str> = backwards.into_iter().rev().collect();
    let backwards = format!("age,height,income\n{}\n", backwards.join("\n"));
    let all = "600 of its records are in --real";
    for (name, control, says) in [
        ("real.csv", csv.clone(), "is the file of --real"),
        ("copy.csv", csv.clone(), "holds the same records as --real"),
        ("semicolons.csv", csv.replace(',', ";"), "holds the same records as --real"),
        ("backwards.csv", backwards, all),
        ("part.csv", people(100, 200), "200 of its records are in --real"),
        ("overlap.csv", people(550, 600), "50 of its records are in --real"),
    ] {
        let control = folder.write(name, control);
        for released in [&real, &apart] {
            let said = refusal(&attack(&real, &control, released));
            println!("{said}");
            assert!(said.contains("--control") && said.contains(says), "{name}: {said}");
            assert!(said.contains("who are not in the data"), "{name}: {said}");
        }
    }
    // A handful may be chance: it is noted.
    let few = folder.write("few.csv", people(597, 600));
    let notes = json(&attack(&real, &few, &apart))["notes"].to_string();
    assert!(notes.contains("3 of the control records are among the real ones"), "{notes}");
    // And where few values make a record, different people have equal ones.
    let (real, control) = (alike(0, 600), alike(5_000, 600));
    let (real, control) = (folder.write("a.csv", real), folder.write("b.csv", control));
    let released = folder.write("c.csv", alike(9_000, 600));
    let answer = json(&attack(&real, &control, &released));
    let notes = answer["notes"].to_string();
    assert!(notes.contains("of the control records are among the real ones"), "{notes}");
    assert!(answer["score"].is_number(), "{answer}");
}

#[test]
fn files_that_an_attack_cannot_use_are_refused_and_others_are_said() {
    let folder = Folder::new();
    let real = folder.write("real.csv", people(0, 300));
    let control = folder.write("control.csv", people(5_000, 300));
    let released = folder.write("released.csv", people(9_000, 300));
    let visits = folder.write("foreign.csv", "patient,visit\n1,2\n3,4\n");
    let counts = folder.write("counts.csv", "age,count\n20,4\n30,5\n");
    let base = attack(&real, &control, &released);
    for (option, says) in [
        ("--population", "no column is in --real, --control and --released as well"),
        ("--earlier", "no column is in --real and --control as well"),
        ("--aggregates", "there is no column 'count'"),
    ] {
        let said = refusal(&[&base[..], &[option, text(&visits)]].concat());
        println!("{said}");
        assert!(said.contains(&format!("{option} ")) && said.contains(says), "{said}");
        assert!(said.contains("foreign.csv") && said.contains("patient, visit"), "{said}");
    }
    let said = refusal(&attack(&real, &control, &visits));
    assert!(said.contains("--released") && said.contains("no column is in --real"), "{said}");
    let only = folder.write("only.csv", "count\n3\n4\n");
    let said = refusal(&[&base[..], &["--aggregates", text(&only)]].concat());
    assert!(said.contains("--aggregates") && said.contains("no column is in"), "{said}");
    // Files that can be used are named with the columns that are.
    let more = ["--population", text(&released), "--aggregates", text(&counts)];
    let notes = json(&[&base[..], &more].concat())["notes"].to_string();
    for part in ["released.csv: attacks use its columns age, height", "counts.csv: attacks use"] {
        assert!(notes.contains(part), "{notes}");
    }
    // A control group of one tells nothing of chance.
    let one = folder.write("one.csv", people(5_000, 1));
    let notes = json(&attack(&real, &one, &released))["notes"].to_string();
    assert!(notes.contains("--control has 1 record: fewer than 20"), "{notes}");
}

#[test]
fn a_model_of_another_kind_is_called_by_what_it_is() {
    let folder = Folder::new();
    let (mut first, mut second) = ("patient,sex\n".to_owned(), "patient,reason\n".to_owned());
    for i in 0..600 {
        writeln!(first, "p{i},{}", ["f", "m"][i % 2]).unwrap();
        writeln!(second, "p{i},{}", ["check-up", "pain", "wound"][i % 3]).unwrap();
    }
    let (people, visits) = (folder.write("people.csv", first), folder.write("visits.csv", second));
    let (out, linked, model) = (folder.path("p.csv"), folder.path("v.csv"), folder.path("m.json"));
    json(&[
        "synthesise",
        text(&people),
        "--linked",
        text(&visits),
        "--key",
        "patient",
        "--linked-per-person",
        "1",
        "--epsilon",
        "4",
        "--model",
        text(&model),
        "--out",
        text(&out),
        "--linked-out",
        text(&linked),
    ]);
    let (register, sheets) = (folder.path("register.json"), folder.path("sheets"));
    let exam = [
        "exam",
        text(&model),
        "--sheets",
        "1",
        "--register",
        text(&register),
        "--out",
        text(&sheets),
    ];
    let real = folder.write("real.csv", self::people(0, 40));
    let control = folder.write("control.csv", self::people(5_000, 40));
    let attacked = attack(&real, &control, &real);
    let attacked = [&attacked[..], &["--generator", text(&model)]].concat();
    for words in [&exam[..], &attacked[..]] {
        let said = refusal(words);
        println!("{said}");
        assert!(said.contains("m.json: this is a model of two linked tables"), "{said}");
        assert!(said.contains("salus sample") && !said.contains("unknown field"), "{said}");
    }
}
