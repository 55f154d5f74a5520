//! Arguments that make no sense: refused before any work, with the option and the remedy.

use std::fmt::Write as _;

use crate::{Folder, json, refusal, run, text, unparsed};

/// Records in eight groups of 75 alike ones by sex and ward, with a number, an outcome and a chance.
fn stays() -> String {
    let mut csv = "patient,visit,bmi,sex,ward,outcome,chance\n".to_owned();
    for i in 0..600usize {
        let (sex, ward) = (["f", "m"][i % 2], ["heart", "lung", "skin", "eye"][i / 2 % 4]);
        let (bmi, outcome) = (18 + i % 23, ["good", "bad"][i / 8 % 2]);
        let chance = (i % 11) as f64 / 10.0;
        writeln!(csv, "P{i:04},{},{bmi},{sex},{ward},{outcome},{chance}", i / 2).unwrap();
    }
    csv
}

#[test]
fn numbers_out_of_range_are_refused_while_the_words_are_read() {
    let anonymise = ["anonymise", "t.csv", "--out", "o.csv"];
    let synthesise = ["synthesise", "t.csv", "--out", "o.csv", "--epsilon"];
    for (base, more, parts) in [
        (&anonymise[..], &["--k", "-1"][..], ["'-1' for '--k <K>'", "-1 is not in"]),
        (&anonymise, &["--k", "2", "--seconds", "-1"], ["--seconds", "above 0"]),
        (&anonymise, &["--k", "2", "--seconds", "0"], ["--seconds", "above 0"]),
        (&anonymise, &["--epsilon", "0"], ["--epsilon", "ε is a number above 0"]),
        (&anonymise, &["--epsilon", "-1"], ["--epsilon", "ε is a number above 0"]),
        (&anonymise, &["--epsilon", "1", "--delta", "0"], ["--delta", "at least 1e-18"]),
        (&anonymise, &["--k", "2", "--until-score", "200"], ["--until-score", "between 0 and 100"]),
        (&anonymise, &["--k", "2", "--population-size", "-5"], ["--population-size", "from 1 on"]),
        (
            &anonymise,
            &["--k", "2", "--until-score", "50", "--utility-floor", "2"],
            ["--utility-floor", "between 0 and 1"],
        ),
        (&synthesise, &["-1"], ["--epsilon", "ε is a number above 0"]),
        (&synthesise, &["1", "--until-score", "200"], ["--until-score", "between 0 and 100"]),
        (&synthesise, &["1", "--least-score", "-1"], ["--least-score", "between 0 and 100"]),
        (&synthesise, &["1", "--seed", "-1"], ["--seed", "from 0 on"]),
        (
            &synthesise,
            &["1", "--never", "sex=f:sex=f"],
            ["--never", "a record has one value of 'sex'"],
        ),
        (&["risk", "t.csv"], &["--least-score", "101"], ["--least-score", "between 0 and 100"]),
        (
            &["unbias", "t.csv", "--sensitive", "sex", "--favourable", "o=y"],
            &["--threshold", "5"],
            ["--threshold", "between 0 and 1"],
        ),
        (
            &["synthesise-together", "plan", "c.toml", "--hospital", "a", "--out", "o.json"],
            &["--epsilon", "0"],
            ["--epsilon", "ε is a number above 0"],
        ),
        (
            &["deidentify", "fhir", "in", "--out", "out", "--profile", "expert"],
            &["--most-days", "-3"],
            ["--most-days", "from 1 on"],
        ),
    ] {
        let said = unparsed(&[base, more].concat());
        println!("{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{more:?}: {said}");
        assert!(!said.contains("unexpected argument"), "{said}");
    }
}

#[test]
fn contradictions_are_named_at_once() {
    let folder = Folder::new();
    let (table, out) = (folder.write("t.csv", stays()), folder.path("o.csv"));
    let quasi = ["--quasi-identifiers", "sex,ward", "--no-attacks", "--out", text(&out)];
    for (more, parts) in [
        (&["--k", "2", "--local", "--suppression", "0.1"][..], ["--local", "--suppression"]),
        (&["--k", "1000000"], ["--k 1000000", "more than the records"]),
        (
            &["--k", "2", "--l", "100", "--sensitive", "outcome"],
            ["--l 100", "the different values of the sensitive column 'outcome'"],
        ),
        (
            &["--k", "2", "--identifiers", "patient", "--sensitive", "patient"],
            ["'patient'", "leave it out of one"],
        ),
        (&["--k", "2", "--sensitive", "outcome,outcome"], ["'outcome'", "named twice"]),
        (
            &["--population-unique", "0.1", "--population-size", "10"],
            ["--population-size 10", "smaller than the table's records"],
        ),
    ] {
        let said = refusal(&[&["anonymise", text(&table)][..], more, &quasi].concat());
        println!("{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{more:?}: {said}");
    }
    let said = refusal(&["risk", text(&table), "--population-size", "10", "--no-attacks"]);
    assert!(said.contains("smaller than the table's records"), "{said}");
    let unbias = ["unbias", text(&table), "--favourable", "outcome=good", "--sensitive"];
    for (more, parts) in [
        (&["sex,sex"][..], ["'sex'", "named twice"]),
        (&["sex", "--score", "bmi"], ["'bmi', record 1: this is no chance", "between 0 and 1"]),
    ] {
        let said = refusal(&[&unbias[..], more].concat());
        println!("{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{more:?}: {said}");
    }
    json(&[&unbias[..], &["sex", "--score", "chance"]].concat());
    let synthesise = ["synthesise", text(&table), "--epsilon", "1", "--out", text(&out)];
    let said = refusal(&[&synthesise[..], &["--delta", "0.5"]].concat());
    assert!(said.contains("--delta 5e-1") && said.contains("600 people"), "{said}");
    let said = refusal(&[&synthesise[..], &["--only", "nope=1"]].concat());
    assert!(said.contains("--only") && said.contains("no column 'nope'; its columns are patient"));
    let fhir = ["deidentify", "fhir", text(&table), "--out", text(&out), "--most-days", "30"];
    let said = refusal(&fhir);
    assert!(said.contains("--most-days") && said.contains("--profile expert"), "{said}");
    let register = folder.path("r.json");
    let exam = ["exam", text(&table), "--register", text(&register), "--out", text(&out)];
    let said = refusal(&exam);
    assert!(said.contains("--students") && said.contains("--sheets"), "{said}");
    assert!(!out.exists());
}

#[test]
fn a_group_of_one_protects_nobody_and_a_persons_number_settles_whose_a_record_is() {
    let folder = Folder::new();
    let (table, out) = (folder.write("t.csv", stays()), folder.path("o.csv"));
    let words = |more: &[&'static str]| {
        let base = ["anonymise", text(&table), "--quasi-identifiers", "sex,ward", "--no-attacks"];
        json(&[&base[..], more, &["--out", text(&out)]].concat())["notes"].to_string()
    };
    let all = "patient,visit,bmi";
    assert!(words(&["--k", "1", "--identifiers", all]).contains("it protects nobody"));
    let noted = words(&["--k", "2", "--identifiers", all]);
    assert!(!noted.contains("protects nobody") && !noted.contains("--person"), "{noted}");
    // A visit's number tells all records apart as well, and says nothing of whose they are.
    let noted = words(&["--k", "2", "--identifiers", "bmi,visit,chance"]);
    assert!(noted.contains("say --person visit"), "{noted}");
}

/// Groups of 75 make every k up to that the same release, which one attack is enough for.
#[test]
fn the_loop_proposes_no_size_that_groups_have_already() {
    let folder = Folder::new();
    let (table, out) = (folder.write("t.csv", stays()), folder.path("o.csv"));
    let words = [
        "anonymise",
        text(&table),
        "--quasi-identifiers",
        "sex,ward",
        "--identifiers",
        "patient,visit,bmi,chance",
        "--k",
        "2",
        "--attempts",
        "250",
        "--until-score",
        "90",
        "--out",
        text(&out),
    ];
    let attempts = match run(&words) {
        Ok(answer) => answer.json["attempts"].clone(),
        Err(error) => {
            let (why, attempts) = error.attempts().unwrap();
            println!("{why}");
            assert!(why.contains("no release reaches a score of 90") && !why.contains('\n'));
            assert!(error.to_string().contains("settings"), "people get the table");
            serde_json::to_value(attempts).unwrap()
        }
    };
    for attempt in attempts.as_array().unwrap() {
        println!("{attempt}");
        if let Some(option) = attempt["adjusted"]["option"].as_str()
            && let Some(size) = option.strip_prefix("--k ")
        {
            assert!(size.parse::<u32>().unwrap() > 75, "{option}");
        }
    }
}

#[test]
fn a_plan_names_the_option_and_what_it_may_be() {
    let folder = Folder::new();
    let table = folder.write("t.csv", stays());
    let synthesise = "[synthesise]\nepsilon = 1";
    for (body, volume, least, parts) in [
        ("[anonymise]\nk = -5", "", "0", ["[anonymise]", "'-5' for '--k <K>'"]),
        ("[anonymise]\nk = 2\nuntil-score = 500", "", "0", ["--until-score", "between 0 and 100"]),
        ("[synthesise]\nmethod = \"mst\"", "", "0", ["not provided", "--epsilon"]),
        ("[synthesise]\nepsilon = 1\nmethod = \"magic\"", "", "0", ["--method", "aim, mst"]),
        ("[synthesise]\nepsilon = 1\nperson = \"-x\"", "", "0", ["--person", "no column '-x'"]),
        (synthesise, "", "101", ["[publish] least-score", "between 0 and 100"]),
        (
            synthesise,
            "[volume]\ntarget = \"sex\"\ngain = -1\nleast-per-class = 1\n",
            "0",
            ["[volume] gain", "between 0 and 1"],
        ),
        (
            synthesise,
            "[augment]\nto = 700\nmethod = \"magic\"\n",
            "0",
            ["method is one of aim, mst", "not 'magic'"],
        ),
    ] {
        let plan = folder.write(
            "plan.toml",
            format!(
                "purpose = \"p\"\n{body}\n{volume}[publish]\nout = \"o.csv\"\nleast-score = {least}\n"
            ),
        );
        let said = refusal(&["release", text(&table), "--plan", text(&plan)]);
        println!("{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{body}: {said}");
        assert!(!said.contains("Usage"), "{said}");
    }
}

#[test]
fn hospitals_have_names_and_enough_to_spend() {
    let folder = Folder::new();
    let codebook = folder.write(
        "c.toml",
        "[[column]]\nname = \"a\"\nvalues = [\"x\"]\n[[column]]\nname = \"b\"\nvalues = [\"x\"]\n",
    );
    let out = folder.path("plan.json");
    let plan = |hospital: &str, epsilon: &str| {
        refusal(&[
            "synthesise-together",
            "plan",
            text(&codebook),
            "--hospital",
            "north",
            "--hospital",
            hospital,
            "--epsilon",
            epsilon,
            "--out",
            text(&out),
        ])
    };
    assert!(plan(" ", "1").contains("one has no name"));
    assert!(plan("north", "1").contains("the same name"));
    let said = plan("south", "0.0001");
    println!("{said}");
    assert!(said.contains("2 columns take at least ε = 0.0") && !said.contains("µρ"), "{said}");
    assert!(!out.exists());
}

#[test]
fn an_account_that_holds_more_than_its_budget_says_so() {
    let folder = Folder::new();
    let codebook = folder.write(
        "c.toml",
        "[[column]]\nname = \"sex\"\nvalues = [\"f\", \"m\"]\n\
         [[column]]\nname = \"outcome\"\nvalues = [\"good\", \"bad\"]\n",
    );
    let (table, plan) = (folder.write("t.csv", stays()), folder.path("plan.json"));
    let (account, out) = (folder.path("account.json"), folder.path("answer.json"));
    json(&[
        "synthesise-together",
        "plan",
        text(&codebook),
        "--hospital",
        "north",
        "--epsilon",
        "1",
        "--out",
        text(&plan),
    ]);
    let answer = [
        "synthesise-together",
        "answer",
        text(&plan),
        text(&table),
        "--hospital",
        "north",
        "--epsilon",
        "1",
        "--account",
        text(&account),
        "--out",
        text(&out),
    ];
    json(&answer);
    let said = run(&[&answer[..], &["--budget", "0"]].concat()).unwrap();
    assert!(said.text().contains("no other question is answered"), "{}", said.text());
}
