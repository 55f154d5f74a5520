//! Tables of counts that want out.

use std::path::Path;

use salus_files::Verdict;
use salus_files::output::{CheckVerdict, OutputCheck, OutputKind};
use serde_json::{Value, json};

use crate::{Folder, json, refusal, run, text};

const COUNTS: &str = "\
ward,outcome,count
a,cured,40
a,ill,50
a,died,3
a,total,93
b,cured,20
b,ill,30
b,died,25
b,total,75
total,cured,60
total,ill,80
total,died,28
total,total,168
";

/// Scripts go by the exit code, which the verdict makes; `json` and `text` are the same either way.
#[test]
fn a_table_that_does_not_pass_is_objected_to_whether_or_not_a_protected_one_is_written() {
    let folder = Folder::new();
    let (table, out) = (folder.write("counts.csv", COUNTS), folder.path("shown.csv"));
    let of = |words: &[&str]| run(words).unwrap().verdict();
    assert_eq!(of(&["review", text(&table)]), Verdict::Objected);
    assert_eq!(of(&["review", text(&table), "--out", text(&out)]), Verdict::Objected);
    assert_eq!(of(&["review", text(&out)]), Verdict::Passes);
    assert_eq!(of(&["review", text(&table), "--least", "3"]), Verdict::Passes);
}

fn lines(answer: &Value, field: &str) -> Vec<u64> {
    answer[field].as_array().unwrap().iter().map(|line| line.as_u64().unwrap()).collect()
}

#[test]
fn a_small_count_is_found_by_its_line_and_cannot_be_worked_out_of_what_is_written() {
    let folder = Folder::new();
    let (table, out) = (folder.write("counts.csv", COUNTS), folder.path("shown.csv"));
    let answer = json(&["review", text(&table), "--out", text(&out)]);
    assert_eq!(answer["passes"], false);
    assert_eq!(
        answer["objections"],
        json!([{"line": 4, "kind": "small-count", "cell": 4, "count": 3, "words": "too few people: 3"}])
    );
    assert_eq!(lines(&answer, "primary"), [4]);
    // One more in its ward, one more with its outcome, and the cell where those meet.
    assert_eq!(lines(&answer, "secondary").len(), 3);
    let shown = std::fs::read_to_string(&out).unwrap();
    assert_eq!(shown.lines().filter(|line| line.ends_with(',')).count(), 4, "{shown}");
    // The written table passes, and with any one of its gaps filled again it does not.
    assert_eq!(json(&["review", text(&out)])["passes"], true);
    for line in lines(&answer, "secondary") {
        let at = line as usize - 1;
        let filled = shown
            .lines()
            .enumerate()
            .map(|(i, line)| if i == at { COUNTS.lines().nth(at).unwrap() } else { line });
        let filled = filled.collect::<Vec<_>>().join("\n");
        let refilled = json(&["review", text(&folder.write("filled.csv", filled))]);
        assert_eq!(refilled["passes"], false, "line {line} was held back for nothing");
        let place = &refilled["inferred"][0];
        assert_eq!((&place["low"], &place["high"]), (&json!(3), &json!(3)), "{refilled}");
    }
}

#[test]
fn a_table_is_compared_with_what_went_out_before() {
    let folder = Folder::new();
    let table = folder.write("now.csv", "ward,count\na,31\nb,50\n");
    let before = folder.write("before.csv", "ward,count\na,30\nb,50\nc,\n");
    assert_eq!(json(&["review", text(&table)])["passes"], true);
    let answer = json(&["review", text(&table), "--earlier", text(&before)]);
    assert_eq!(answer["objections"][0]["line"], 2);
    assert_eq!(answer["objections"][0]["words"], "differs by 1 from what went out before");
    let said = run(&["review", text(&table), "--earlier", text(&before)]).unwrap();
    println!("{}", said.text());
    assert!(said.text().contains("not to be released"), "{}", said.text());
}

#[test]
fn what_is_no_table_of_counts_is_refused_with_its_place() {
    let folder = Folder::new();
    let words = |table: &str, more: &[&str]| {
        let file = folder.write("t.csv", table);
        let mut words = vec!["review", text(&file)];
        words.extend_from_slice(more);
        refusal(&words)
    };
    let said = words("ward,count\na,12\nb,many\n", &[]);
    assert!(said.contains("line 3") && said.contains("whole number"), "{said}");
    assert!(!said.contains("many"), "{said}");
    let said = words("ward,n\na,12\nb,13\n", &[]);
    assert!(said.contains("--count"), "{said}");
    let said = words("ward,count\na,12\nb,13\ntotal,26\n", &[]);
    assert!(said.contains("contradict"), "{said}");
    let said = words("ward,count\na,12\nb,13\n", &["--least", "1"]);
    assert!(said.contains("below 2"), "{said}");
    let out = folder.path("out.csv");
    let said = words("ward,count\na,12\nb,\n", &["--out", text(&out)]);
    assert!(said.contains("every count") && !out.exists(), "{said}");
}

const SUMS: &str = "\
ward,drug,count,cost,most,next
a,x,40,4000,200,190
a,y,30,9000,8200,100
a,total,70,13000,8200,200
b,x,25,2500,150,140
b,y,35,3500,160,150
b,total,60,6000,160,150
total,x,65,6500,200,190
total,y,65,12500,8200,160
total,total,130,19000,8200,200
";

/// One patient's treatment makes up nine tenths of a sum.
#[test]
fn sums_that_a_few_people_make_up_are_objected_to_and_held_back() {
    let folder = Folder::new();
    let (table, out) = (folder.write("sums.csv", SUMS), folder.path("shown.csv"));
    let told = ["--sum", "cost", "--largest", "most", "--second", "next"];
    let words = [&["review", text(&table)][..], &told].concat();
    let answer = json(&words);
    let objections: Vec<(u64, &str)> = answer["objections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| (o["line"].as_u64().unwrap(), o["kind"].as_str().unwrap()))
        .collect();
    // 8,300 of 9,000 are above nine tenths; 700 beside 8,200 are below a tenth.
    assert_eq!(objections, [(3, "dominance"), (3, "estimable")]);
    assert_eq!(run(&words).unwrap().verdict(), Verdict::Objected);
    // With milder rules it passes.
    let milder = [&words[..], &["--dominance", "0.95", "--prior", "0.05"]].concat();
    assert_eq!(run(&milder).unwrap().verdict(), Verdict::Passes);
    // Its sum is not shown, nor any total that it could be subtracted from, nor what single people
    // contribute.
    let answer = json(&[&words[..], &["--out", text(&out)]].concat());
    assert_eq!(lines(&answer, "sums"), [3, 4, 9, 10]);
    let shown = std::fs::read_to_string(&out).unwrap();
    assert_eq!(
        shown,
        "ward,drug,count,cost\na,x,40,4000\na,y,30,\na,total,70,\nb,x,25,2500\nb,y,35,3500\n\
         b,total,60,6000\ntotal,x,65,6500\ntotal,y,65,\ntotal,total,130,\n"
    );
    // Forty people with at most 20 each cannot make up 4,000.
    let wrong = folder.write("wrong.csv", SUMS.replace("a,x,40,4000,200,190", "a,x,40,4000,20,19"));
    let refused = refusal(&[&["review", text(&wrong)][..], &told].concat());
    assert!(refused.contains("line 2") && refused.contains("cannot make up"), "{refused}");
}

#[test]
fn columns_beside_the_count_are_categories_only_where_they_are_named() {
    let folder = Folder::new();
    let shares = "ward,count,share\na,40,0.93\nb,,0.07\ntotal,43,1.0\n";
    let table = folder.write("shares.csv", shares);
    let unnamed = json(&["review", text(&table)]);
    assert_eq!(unnamed["passes"], false, "{unnamed}");
    assert_eq!(unnamed["findings"][0]["kind"], "measures");
    assert_eq!(unnamed["findings"][0]["columns"], json!(["share"]));
    let said = run(&["review", text(&table)]).unwrap();
    assert!(said.text().contains("--by"), "{}", said.text());
    let named = json(&["review", text(&table), "--by", "ward"]);
    assert_eq!((&named["by"], &named["passes"]), (&json!(["ward"]), &json!(false)), "{named}");
    assert_eq!(named["inferred"][0]["low"], 3);
    let wrong = refusal(&["review", text(&table), "--by", "wards"]);
    assert!(wrong.contains("--by") && wrong.contains("wards"), "{wrong}");
    // What is held back is not given away by another column of what is written.
    let whole = "ward,count,cost\na,40,7.5\nb,3,2.5\nc,55,9.5\nd,60,3.25\ntotal,158,6.0\n";
    let table = folder.write("costs.csv", whole);
    let out = folder.path("shown.csv");
    json(&["review", text(&table), "--by", "ward", "--out", text(&out)]);
    assert_eq!(json(&["review", text(&out)])["passes"], true);
    assert!(!std::fs::read_to_string(&out).unwrap().contains("cost"));
}

#[test]
fn an_earlier_table_of_other_columns_cannot_be_subtracted() {
    let folder = Folder::new();
    let table = folder.write("now.csv", "ward,count\na,31\nb,50\n");
    let before = folder.write("before.csv", "drug,count\nx,30\n");
    let said = refusal(&["review", text(&table), "--earlier", text(&before)]);
    assert!(said.contains("--earlier") && said.contains("other columns"), "{said}");
    let alike = folder.write("alike.csv", "count,ward\n31,A\n50,B\n");
    let answer = json(&["review", text(&table), "--earlier", text(&alike)]);
    assert_eq!(answer["passes"], true);
    assert_eq!(answer["earlier"], json!([{"state": "subtracted", "alike": 2, "new": 0}]));
}

/// People and their visits, and heart rates of each.
fn patients(folder: &Folder) -> [std::path::PathBuf; 3] {
    let mut people = "patient,sex,ward\n".to_owned();
    let mut visits = "patient,reason,by\n".to_owned();
    let mut rates = "patient,at,rate\n".to_owned();
    for n in 0..400 {
        people.push_str(&format!("p{n},{},{}\n", ["f", "m"][n % 2], ["a", "b", "c"][n % 3]));
        visits.push_str(&format!(
            "p{n},{},{}\n",
            ["flu", "fall"][n % 2],
            ["car", "foot"][n / 2 % 2]
        ));
        for at in 0..4 {
            rates.push_str(&format!("p{n},{at},{}\n", 60 + (n + at) % 30));
        }
    }
    [
        folder.write("people.csv", people),
        folder.write("visits.csv", visits),
        folder.write("rates.csv", rates),
    ]
}

fn checks_of(model: &[u8]) -> Vec<OutputCheck> {
    let file = (Path::new("model.json"), model);
    salus_files::output::check(file, &OutputKind::Model, &[]).unwrap().checks
}

fn of<'c>(checks: &'c [OutputCheck], check: &str) -> &'c OutputCheck {
    checks.iter().find(|found| found.check == check).unwrap()
}

#[test]
fn models_of_one_table_of_linked_tables_and_of_series_are_known_and_hold_nothing_else() {
    let folder = Folder::new();
    let [people, visits, rates] = patients(&folder);
    let (out, linked, model) = (folder.path("o.csv"), folder.path("l.csv"), folder.path("m.json"));
    let ends = ["--epsilon", "50", "--model", text(&model), "--out", text(&out)];
    let one = ["synthesise", text(&people), "--person", "patient"];
    let both = ["synthesise", text(&people), "--linked", text(&visits), "--key", "patient"];
    let both = [&both[..], &["--linked-out", text(&linked)]].concat();
    let series = ["synthesise", text(&rates), "--series", "rate", "--person", "patient"];
    let series =
        [&series[..], &["--time", "at", "--longest", "4", "--bounds", "rate=0:120"]].concat();
    for (words, said) in [
        (&one[..], "one table"),
        (both.as_slice(), "two linked tables"),
        (series.as_slice(), "series of people"),
    ] {
        json(&[words, &ends[..]].concat());
        let bytes = std::fs::read(&model).unwrap();
        let checks = checks_of(&bytes);
        let stated = of(&checks, "stated loss");
        assert_eq!(stated.verdict, CheckVerdict::Look, "{said}: {stated:?}");
        assert!(stated.words.contains(said), "{stated:?}");
        assert_eq!(of(&checks, "form").verdict, CheckVerdict::Look);
        // White space that no model needs.
        let padded = [&bytes[..], &[b' '; 5000]].concat();
        assert_eq!(of(&checks_of(&padded), "form").verdict, CheckVerdict::Objects, "{said}");
        // Fields that no model has, wherever they stand, make it another thing.
        for at in ["{", "\"attributes\":[{", "\"shape\":{"] {
            let text = String::from_utf8(bytes.clone()).unwrap();
            let more = text.replacen(at, &format!("{at}\"records\":\"Planted\","), 1);
            if more == text {
                continue;
            }
            let found = checks_of(more.as_bytes());
            assert_eq!(of(&found, "stated loss").verdict, CheckVerdict::NotChecked, "{said} {at}");
        }
    }
}
