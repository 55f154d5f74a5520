//! Certificates as PDF, read by programs that know nothing of us.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use salus_testkit::Venv;
use serde_json::Value;

use crate::{Folder, json, text};

/// What pypdf and PDFium read in a document, and a picture of it.
pub(crate) fn read(pdf: &Path, picture: &Path) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/pdf/read.py");
    let printed = Venv::with(&["pypdf==7.1.0", "pypdfium2==5.15.2", "pillow==13.0.0"]).run(
        script,
        |command| {
            command.args([pdf, picture]);
        },
    );
    serde_json::from_str(&printed).unwrap()
}

/// Where a person finds the picture of a document that a test drew.
pub(crate) fn picture(name: &str) -> PathBuf {
    let folder = salus_testkit::cache_dir().join("pictures");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

fn table(folder: &Folder) -> PathBuf {
    let mut csv = "age,Größe in cm,<b>city</b>,sex\n".to_owned();
    for i in 0..400 {
        let city = ["Ulm", "Jena & Co"][i % 2];
        writeln!(csv, "{},{},{city},{}", 20 + i % 40, 150 + i % 30, ["f", "m"][i / 7 % 2]).unwrap();
    }
    folder.write("t.csv", csv)
}

/// Words of an HTML page, tags and entities removed.
fn words_of_html(html: &str) -> BTreeSet<String> {
    let body = html.split_once("<body>").unwrap().1;
    let mut plain = String::new();
    let mut inside = false;
    for c in body.chars() {
        match c {
            '<' => {
                inside = true;
                plain.push(' ');
            }
            '>' => inside = false,
            c if !inside => plain.push(c),
            _ => {}
        }
    }
    let plain = plain
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&");
    plain.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_certificate_as_pdf_says_what_the_page_says_and_can_be_read_aloud() {
    let folder = Folder::new();
    let table = table(&folder);
    let (out, pdf, html) =
        (folder.path("out.csv"), folder.path("certificate.pdf"), folder.path("certificate.html"));
    // One release, two certificates: with attacks both would be of other random halves.
    for certificate in [&pdf, &html] {
        json(&[
            "anonymise",
            text(&table),
            "--k",
            "5",
            "--suppression",
            "0.1",
            "--no-attacks",
            "--out",
            text(&out),
            "--certificate",
            text(certificate),
        ]);
    }
    let found = read(&pdf, &picture("certificate.png"));
    let page = std::fs::read_to_string(&html).unwrap();
    for reader in ["text", "text_pypdf"] {
        let said = found[reader].as_str().unwrap();
        let own: BTreeSet<String> = said.split_whitespace().map(str::to_owned).collect();
        let missing: Vec<String> =
            words_of_html(&page).into_iter().filter(|w| !own.contains(w) && w != "–").collect();
        // A word that is broken at the end of a line is no loss.
        assert!(missing.is_empty(), "{reader} lacks {missing:?} in {said}");
    }
    assert!(found["text"].as_str().unwrap().contains("Größe in cm"));
    assert_eq!(found["language"], "en");
    assert_eq!(found["title"], "Anonymised table");
    for truth in ["marked", "shows_title"] {
        assert_eq!(found[truth], true, "{truth}");
    }
    assert!(found["xmp"].as_str().unwrap().contains("<pdfuaid:part>1</pdfuaid:part>"));
    assert_eq!(found["parents"], found["pages"]);
    let roles: Vec<&str> =
        found["roles"].as_array().unwrap().iter().map(|r| r.as_str().unwrap()).collect();
    println!("{} pages, roles {roles:?}", found["pages"]);
    assert_eq!(&roles[..3], ["/Document", "/P", "/H1"]);
    for role in ["/H2", "/Table", "/TR", "/TH", "/TD", "/L", "/LI", "/LBody"] {
        assert!(roles.contains(&role), "{role}");
    }
    for font in found["fonts"].as_array().unwrap() {
        assert_eq!((&font["embedded"], &font["unicode"]), (&true.into(), &true.into()), "{font}");
    }
    assert!(found["dark"].as_u64().unwrap() > 500, "the picture is empty");
}

#[test]
fn a_long_certificate_runs_over_several_sheets_with_attacks_drawn() {
    let folder = Folder::new();
    let mut csv =
        (0..40).map(|c| format!("question {c} of the survey")).collect::<Vec<_>>().join(",");
    csv.push('\n');
    for i in 0..200u64 {
        let row: Vec<String> =
            (0..40u64).map(|c| ((i * (c + 3) + i / 7) % 3).to_string()).collect();
        writeln!(csv, "{}", row.join(",")).unwrap();
    }
    let table = folder.write("t.csv", csv);
    let (out, pdf) = (folder.path("out.csv"), folder.path("certificate.PDF"));
    let answer = json(&[
        "anonymise",
        text(&table),
        "--k",
        "2",
        "--suppression",
        "0.5",
        "--seconds",
        "0.5",
        "--attempts",
        "50",
        "--out",
        text(&out),
        "--certificate",
        text(&pdf),
    ]);
    let found = read(&pdf, &picture("long.png"));
    assert!(found["pages"].as_u64().unwrap() >= 2);
    assert_eq!(found["parents"], found["pages"]);
    let said = found["text"].as_str().unwrap();
    let plain: String = said.chars().filter(|c| !c.is_whitespace()).collect();
    let digest = salus_crypto::Digest::of(&std::fs::read(&out).unwrap()).to_string();
    assert!(plain.contains(&digest), "the certificate is of another file");
    assert!(plain.contains(&format!("{:.1}of100", answer["score"].as_f64().unwrap())));
    for part in ["question 39 of the survey", "membership by nearness", "not run: "] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let rows = found["roles"].as_array().unwrap().iter().filter(|r| *r == "/TR").count();
    assert!(rows > 40, "{rows}");
}
