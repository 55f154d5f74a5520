//! Files that are written: never over what is read, in a device's or a link's place, or in part.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{Folder, json, refusal, run, text, unparsed};

/// All that is in a folder, and what files hold.
fn all(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.symlink_metadata().unwrap().file_type();
        if kind.is_dir() {
            found.extend(all(&path));
        }
        found.insert(path.clone(), std::fs::read(&path).unwrap_or_default());
    }
    found
}

/// What is said of a command that is refused and changes nothing.
fn unchanged(folder: &Folder, words: &[&str]) -> String {
    let before = all(&folder.path(""));
    let said = refusal(words);
    println!("{said}");
    assert!(all(&folder.path("")) == before, "{words:?} changed files, and said {said}");
    said
}

/// Alike records, of which each has two values.
fn people(folder: &Folder, rows: usize) -> PathBuf {
    let mut csv = "age,sex\n".to_owned();
    (0..rows).for_each(|i| csv.push_str(&format!("{},{}\n", 20 + i / 2 % 10, ["f", "m"][i % 2])));
    folder.write("t.csv", csv)
}

/// Words with the names of files replaced by their paths in the folder.
fn placed(folder: &Folder, words: &str) -> Vec<String> {
    let word = |word: &str| match word.strip_prefix('@') {
        Some(name) => text(&folder.path(name)).to_owned(),
        None => word.to_owned(),
    };
    words.split_whitespace().map(word).collect()
}

fn borrowed(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn what_is_read_is_never_written_over_and_the_option_is_named() {
    let folder = Folder::new();
    people(&folder, 40);
    std::fs::create_dir(folder.path("h")).unwrap();
    for name in ["h/age.csv", "visits.csv", "p.csv", "names.txt", "model.json", "m.toml"] {
        folder.write(name, "age,sex\n20,f\n");
    }
    folder.write("key", [7; 32]);
    let read = "is a file that is read";
    for (words, parts) in [
        ("synthesise @t.csv --epsilon 1 --out @o.csv --model @t.csv", ["--model", read]),
        (
            "synthesise @t.csv --series age --person sex --time age --longest 4 --epsilon 1 \
             --out @o.csv --model @t.csv",
            ["--model", read],
        ),
        (
            "synthesise @t.csv --linked @visits.csv --key age --linked-out @l.csv --epsilon 1 \
             --out @o.csv --model @visits.csv",
            ["--model", "(--linked)"],
        ),
        ("synthesise @t.csv --epsilon 1 --rules @m.toml --out @m.toml", ["--out", "(--rules)"]),
        ("synthesise @t.csv --epsilon 1 --hierarchies @h --out @h/age.csv", ["--out", read]),
        (
            "synthesise @t.csv --epsilon 1 --out @o.csv --certificate @t.csv",
            ["--certificate", read],
        ),
        ("synthesise @t.csv --epsilon 1 --out @x --model @x", ["--out and --model", "same file"]),
        (
            "synthesise @t.csv --epsilon 1 --out @o.csv --model @m.json --certificate @h/../m.json",
            ["--model and --certificate", "same file"],
        ),
        ("anonymise @t.csv --k 2 --hierarchies @h --out @h/age.csv", ["--out", "--hierarchies"]),
        ("anonymise @t.csv --k-map 2 --population @p.csv --out @p.csv", ["--out", "--population"]),
        ("anonymise @t.csv --k 2 --out @o.csv --save-scheme @t.csv", ["--save-scheme", read]),
        ("recode @t.csv --scheme @model.json --out @model.json", ["--out", "(--scheme)"]),
        ("sample @model.json --out @o.csv --linked-out @model.json", ["--linked-out", read]),
        ("sample @model.json --out @o.csv --linked-out @o.csv", ["--linked-out", "same file"]),
        ("transform @t.csv --pseudonyms sex --key-file @key --out @key", ["--out", "--key-file"]),
        (
            "unbias @t.csv --sensitive sex --favourable age=20 --reference @p.csv --out @p.csv",
            ["--out", "--reference"],
        ),
        ("review @t.csv --earlier @p.csv --out @p.csv", ["--out", "(--earlier)"]),
        (
            "genome @t.csv --members @names.txt --control @p.csv --out @p.csv",
            ["--out", "(--control)"],
        ),
        ("deidentify text @t.csv --known @names.txt --out @names.txt", ["--out", "(--known)"]),
        ("deidentify fhir @t.csv --key-file @key --out @t.csv", ["--out", read]),
        (
            "exam @model.json --students @names.txt --register @names.txt --out @exam",
            ["--register", "(--students)"],
        ),
    ] {
        let words = placed(&folder, words);
        let said = unchanged(&folder, &borrowed(&words));
        for part in parts {
            assert!(said.contains(part), "{part} is not in {said}");
        }
    }
}

#[cfg(unix)]
#[test]
fn devices_links_folders_and_a_dash_are_no_places_for_results() {
    let folder = Folder::new();
    let table = people(&folder, 40);
    let victim = folder.write("victim.csv", "old");
    std::os::unix::fs::symlink(&victim, folder.path("link.csv")).unwrap();
    std::os::unix::fs::symlink(folder.path("nowhere"), folder.path("dangling.csv")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path("socket")).unwrap();
    std::fs::create_dir(folder.path("folder")).unwrap();
    let paths = ["link.csv", "dangling.csv", "socket", "folder", "absent/o.csv"]
        .map(|name| text(&folder.path(name)).to_owned());
    for (path, part) in paths.iter().map(String::as_str).chain(["-"]).zip([
        "is a symbolic link",
        "is a symbolic link",
        "no plain file",
        "is a folder",
        "there is no folder",
        "not to the screen",
    ]) {
        for base in [&["anonymise", "--k", "2"][..], &["synthesise", "--epsilon", "1"]] {
            let words = [base, &[text(&table), "--out", path]].concat();
            let said = unchanged(&folder, &words);
            assert!(said.contains("--out") && said.contains(part), "{part} is not in {said}");
        }
    }
    assert!(folder.path("link.csv").symlink_metadata().unwrap().is_symlink());
}

#[test]
fn all_files_of_a_result_are_written_or_none() {
    let folder = Folder::new();
    people(&folder, 40);
    folder.write(
        "plan.toml",
        "purpose = \"teach\"\n[anonymise]\nk = 2\n[publish]\nout = \"o.csv\"\n\
         certificate = \"absent/c.html\"\nleast-score = 0\n",
    );
    for (words, part) in [
        ("anonymise @t.csv --k 2 --out @o.csv --certificate @absent/c.pdf", "--certificate"),
        ("anonymise @t.csv --k 2 --out @o.csv --save-scheme @absent/s.json", "--save-scheme"),
        ("synthesise @t.csv --epsilon 1 --out @o.csv --certificate @absent/c.pdf", "--certificate"),
        ("synthesise @t.csv --epsilon 1 --out @o.csv --model @absent/m.json", "--model"),
        ("release @t.csv --plan @plan.toml", "[publish] certificate"),
        // Before the model is looked at, which is none.
        ("sample @t.csv --rows 2000000 --out @absent/o.csv", "--out"),
    ] {
        let words = placed(&folder, words);
        let said = unchanged(&folder, &borrowed(&words));
        assert!(said.contains(part) && said.contains("there is no folder"), "{part}: {said}");
    }
}

#[test]
fn resources_go_to_a_folder_of_their_own_or_nowhere() {
    let folder = Folder::new();
    let input = folder.path("bundles");
    std::fs::create_dir(&input).unwrap();
    folder.write("bundles/1.json", "{\"resourceType\":\"Patient\",\"id\":\"p1\"}");
    folder.write("bundles/2.json", "{");
    std::fs::create_dir(folder.path("full")).unwrap();
    folder.write("full/note.txt", "x");
    folder.write("file", "x");
    for (out, part) in [
        ("bundles", "lies in the folder that is read"),
        ("bundles/clean", "lies in the folder that is read"),
        ("full", "is not empty"),
        ("file", "is no folder"),
        ("clean", "2.json, line 1"),
        ("new/clean", "2.json, line 1"),
    ] {
        let out = folder.path(out);
        let words = ["deidentify", "fhir", text(&input), "--out", text(&out)];
        let said = unchanged(&folder, &words);
        assert!(said.contains(part), "{part} is not in {said}");
    }
    std::fs::remove_file(input.join("2.json")).unwrap();
    let out = folder.path("clean");
    let answer = json(&["deidentify", "fhir", text(&input), "--out", text(&out)]);
    assert_eq!(answer["files"], 1);
    let left: Vec<_> = std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["00001.json"]);
}

#[test]
fn no_question_counts_as_given_where_sheets_cannot_go() {
    let folder = Folder::new();
    people(&folder, 40);
    folder.write("model.json", "{}");
    for (out, part) in [("@t.csv", "is no folder"), ("@t.csv/exam", "cannot be made")] {
        let words = format!("exam @model.json --sheets 1 --register @register.json --out {out}");
        let words = placed(&folder, &words);
        let said = unchanged(&folder, &borrowed(&words));
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

#[test]
fn more_records_than_fit_into_memory_are_refused_at_once() {
    for base in [&["sample", "m.json"][..], &["synthesise", "t.csv", "--epsilon", "1"]] {
        let words = [base, &["--rows", "4294967295", "--out", "o.csv"]].concat();
        let said = unparsed(&words);
        assert!(said.contains("--rows") && said.contains("at most 2000000"), "{said}");
    }
}

#[test]
fn the_answer_names_every_file_that_was_written() {
    let folder = Folder::new();
    people(&folder, 200);
    for words in [
        "anonymise @t.csv --k 2 --no-attacks --out @a.csv --save-scheme @s.json --certificate \
         @a.html",
        "synthesise @t.csv --method mst --epsilon 5 --domains-are-public --out @b.csv --model \
         @m.json --certificate @b.html",
    ] {
        let words = placed(&folder, words);
        let answer = run(&borrowed(&words)).unwrap();
        for path in words.iter().filter(|word| word.contains('/') && !word.ends_with("t.csv")) {
            assert!(Path::new(path).exists(), "{path} was not written");
            assert!(answer.text().contains(path.as_str()), "{path}: {}", answer.text());
            assert!(answer.json.to_string().contains(path.as_str()), "{}", answer.json);
        }
    }
    // And of a model of two tables.
    let mut visits = "age,ward\n".to_owned();
    let mut persons = "age,sex\n".to_owned();
    for i in 0..100 {
        persons.push_str(&format!("p{i},{}\n", ["f", "m"][i % 2]));
        visits.push_str(&format!("p{i},{}\n", ["heart", "lung"][i / 2 % 2]));
    }
    folder.write("t.csv", persons);
    folder.write("v.csv", visits);
    let words = placed(
        &folder,
        "synthesise @t.csv --linked @v.csv --key age --method mst --epsilon 5 \
         --domains-are-public --out @c.csv --linked-out @d.csv --model @two.json",
    );
    let answer = run(&borrowed(&words)).unwrap();
    assert!(answer.text().contains("two.json") && answer.text().contains("d.csv"));
    let words = placed(&folder, "sample @two.json --out @e.csv --linked-out @f.csv --rows 20");
    let answer = run(&borrowed(&words)).unwrap();
    assert!(answer.text().contains("e.csv") && answer.text().contains("f.csv"));
}

#[test]
fn bounds_of_words_are_refused_before_anything_is_spent() {
    let folder = Folder::new();
    people(&folder, 40);
    let words = placed(&folder, "synthesise @t.csv --epsilon 1 --bounds sex=0:1 --out @o.csv");
    let said = unchanged(&folder, &borrowed(&words));
    assert!(said.contains("--bounds sex") && said.contains("no numbers"), "{said}");
}

/// The words that carry out a plan with these parts.
fn plan(folder: &Folder, parts: &str) -> Vec<String> {
    folder.write("plan.toml", format!("purpose = \"teach\"\n{parts}"));
    placed(folder, "release @t.csv --plan @plan.toml")
}

#[test]
fn a_private_release_that_is_withheld_says_what_it_cost() {
    let folder = Folder::new();
    people(&folder, 200);
    let words = plan(
        &folder,
        "[synthesise]\nmethod = \"mst\"\nepsilon = 1\ndomains-are-public = true\nrows = 100\n\
         attempts = 50\n[publish]\nout = \"o.csv\"\nleast-score = 100\n",
    );
    let said = unchanged(&folder, &borrowed(&words));
    assert!(said.contains("ε = ") && said.contains("is charged all the same"), "{said}");
    assert!(said.contains("a smaller epsilon") && said.contains("[synthesise]"), "{said}");
    assert!(!said.contains("volume") && !said.contains("[augment]"), "{said}");
}

#[test]
fn augmenting_to_fewer_records_than_there_are_adds_nothing_and_says_so() {
    let folder = Folder::new();
    people(&folder, 200);
    let words = plan(
        &folder,
        "[anonymise]\nk = 2\nattempts = 50\n[augment]\nto = 10\n[publish]\nout = \"o.csv\"\n\
         least-score = 0\n",
    );
    let answer = run(&borrowed(&words)).unwrap();
    assert_eq!(answer.json["augmented"]["added"], 0);
    assert_eq!(answer.json["augmented"]["to"], 10);
    let notes = answer.json["notes"].to_string();
    assert!(notes.contains("nothing was added") && !notes.contains("synthetic = yes"), "{notes}");
    assert!(answer.text().contains("Not augmented"), "{}", answer.text());
    let written = std::fs::read_to_string(folder.path("o.csv")).unwrap();
    assert_eq!(written.lines().next(), Some("age,sex"));
}

#[test]
fn columns_that_a_plan_leaves_out_are_missed_before_the_work() {
    let folder = Folder::new();
    people(&folder, 40);
    for (unbias, part) in [
        ("sensitive = [\"species\"]\nfavourable = \"sex=f\"", "no column 'species'"),
        ("sensitive = [\"age\"]\nfavourable = \"sex=f\"", "left out of the release by"),
    ] {
        let words = plan(
            &folder,
            &format!(
                "[anonymise]\nk = 30\nidentifiers = [\"age\"]\n[unbias]\n{unbias}\n[publish]\n\
                 out = \"o.csv\"\nleast-score = 0\n"
            ),
        );
        let said = unchanged(&folder, &borrowed(&words));
        assert!(said.contains("plan, [unbias] sensitive") && said.contains(part), "{said}");
    }
}
