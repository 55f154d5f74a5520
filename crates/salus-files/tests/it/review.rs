//! Tables of counts that want out.

use salus_files::Verdict;
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
