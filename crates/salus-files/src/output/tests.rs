#![allow(clippy::unwrap_used)]

use std::path::Path;

use salus_deid::{CsvFormat, Table};
use serde_json::json;

use super::*;

fn table(csv: &str) -> Table {
    Table::read_csv(csv.as_bytes(), CsvFormat::with_delimiter(b',')).unwrap()
}

fn verdicts(checks: &[OutputCheck]) -> Vec<(&str, CheckVerdict)> {
    checks.iter().map(|c| (c.check.as_str(), c.verdict)).collect()
}

fn said<'a>(checks: &'a [OutputCheck], check: &str) -> &'a OutputCheck {
    checks.iter().find(|c| c.check == check).unwrap()
}

#[test]
fn records_alike_in_large_groups_pass() {
    let mut csv = "age,sex\n".to_owned();
    for n in 0..60 {
        csv.push_str(if n % 2 == 0 { "20-39,f\n" } else { "40-59,m\n" });
    }
    let checks = of_records(&table(&csv), &["age".to_owned()], 0).unwrap();
    let all = verdicts(&checks);
    assert_eq!(all.last().unwrap(), &("other releases", CheckVerdict::NotChecked));
    assert!(all[..all.len() - 1].iter().all(|(_, v)| *v == CheckVerdict::Passes), "{all:?}");
}

#[test]
fn a_lonely_record_an_identifier_a_rare_value_and_a_text_are_told_without_their_values() {
    let mut csv = "age,number,ward,note\n".to_owned();
    for n in 0..40 {
        let ward = if n == 7 { "Plantedward" } else { "medicine" };
        let note = if n == 3 { "Plantednote ".repeat(8) } else { String::new() };
        let age = if n == 0 { "104" } else { "20-39" };
        csv.push_str(&format!("{age},Plantednumber{n},{ward},{note}\n"));
    }
    let checks = of_records(&table(&csv), &["age".to_owned()], 2).unwrap();
    for (check, verdict) in [
        ("groups", CheckVerdict::Objects),
        ("whole records", CheckVerdict::Objects),
        ("identifiers", CheckVerdict::Objects),
        ("rare values", CheckVerdict::Look),
        ("free text", CheckVerdict::Objects),
    ] {
        assert_eq!(said(&checks, check).verdict, verdict, "{check}");
    }
    assert!(said(&checks, "identifiers").words.ends_with("in: number"));
    assert!(said(&checks, "rare values").words.contains("ward (1)"));
    let words = serde_json::to_string(&checks).unwrap();
    assert!(!words.contains("Planted"), "a record stands in the report: {words}");
}

fn counts() -> OutputKind {
    let (count, total) = ("count".to_owned(), "total".to_owned());
    OutputKind::Table { count, total, least: 10 }
}

#[test]
fn a_table_of_counts_is_checked_cell_by_cell_and_against_what_went_out_before() {
    let path = Path::new("beds.csv");
    let good = "ward,count\na,40\nb,25\ntotal,65\n";
    let passes = check((path, good.as_bytes()), &counts(), &[]).unwrap();
    assert!(!passes.objects(), "{passes:?}");
    assert_eq!(said(&passes.checks, "earlier tables").verdict, CheckVerdict::NotChecked);
    let small = good.replace("b,25", "b,3").replace("65", "43");
    let objected = check((path, small.as_bytes()), &counts(), &[]).unwrap();
    assert!(objected.objects(), "{objected:?}");
    // Held back, and given away by the total all the same.
    let hidden = small.replace("b,3", "b,");
    let objected = check((path, hidden.as_bytes()), &counts(), &[]).unwrap();
    assert_eq!(said(&objected.checks, "worked out").verdict, CheckVerdict::Objects);
    // One person more than last time: the difference is that person.
    let before = (Path::new("before.csv"), b"ward,count\na,39\nb,25\ntotal,64\n".to_vec());
    let objected = check((path, good.as_bytes()), &counts(), &[before]).unwrap();
    assert!(objected.objects(), "{objected:?}");
    assert_eq!(objected.details["passes"], json!(false));
    let wrong = check((path, b"ward,count\na,forty\nb,1\n"), &counts(), &[]).unwrap_err();
    assert!(wrong.to_string().contains("no whole number"), "{wrong}");
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    [&length[..], kind, data, &[0; 4]].concat()
}

fn png(more: &[Vec<u8>], after: &[u8]) -> Vec<u8> {
    let mut bytes = [PNG, &chunk(b"IHDR", &[0; 13]), &chunk(b"IDAT", &[1; 50])].concat();
    more.iter().for_each(|chunk| bytes.extend_from_slice(chunk));
    bytes.extend(chunk(b"IEND", &[]));
    bytes.extend_from_slice(after);
    bytes
}

fn form_of(bytes: &[u8]) -> CheckVerdict {
    let checks = check((Path::new("plot"), bytes), &OutputKind::Plot, &[]).unwrap();
    assert_eq!(said(&checks.checks, "what is seen").verdict, CheckVerdict::NotChecked);
    said(&checks.checks, "form").verdict
}

#[test]
fn what_hides_in_a_picture_beside_its_pixels_is_found() {
    assert_eq!(form_of(&png(&[], &[])), CheckVerdict::Passes);
    let signed = chunk(b"tEXt", b"Software\0Matplotlib version3.9");
    assert_eq!(form_of(&png(&[signed], &[])), CheckVerdict::Look);
    let rows = chunk(b"zTXt", &[7; 5000]);
    assert_eq!(form_of(&png(&[rows], &[])), CheckVerdict::Objects);
    assert_eq!(form_of(&png(&[chunk(b"saLu", &[7; 5000])], &[])), CheckVerdict::Objects);
    assert_eq!(form_of(&png(&[], &[7; 5000])), CheckVerdict::Objects, "after its end");
    let whole = png(&[], &[]);
    assert_eq!(form_of(&whole[..whole.len() - 6]), CheckVerdict::Objects, "cut short");

    let jpeg = |more: &[u8], after: &[u8]| {
        let jfif = [&[0xff, 0xe0, 0, 16][..], &[0; 14]].concat();
        let scan = [0xff, 0xda, 0, 4, 0, 0, 1, 2, 0xff, 0, 3, 0xff, 0xd0, 4];
        [&[0xff, 0xd8][..], &jfif, more, &scan, &[0xff, 0xd9], after].concat()
    };
    let segment = |marker: u8, length: usize| {
        let stated = u16::try_from(length + 2).unwrap().to_be_bytes();
        [&[0xff, marker][..], &stated, &vec![7; length]].concat()
    };
    assert_eq!(form_of(&jpeg(&[], &[])), CheckVerdict::Passes);
    assert_eq!(form_of(&jpeg(&segment(0xfe, 40), &[])), CheckVerdict::Look);
    assert_eq!(form_of(&jpeg(&segment(0xe1, 4000), &[])), CheckVerdict::Objects);
    assert_eq!(form_of(&jpeg(&[], &[7; 4000])), CheckVerdict::Objects);
    assert_eq!(form_of(&jpeg(&[], &[])[..20]), CheckVerdict::Objects);

    assert_eq!(form_of(b"%PDF-1.7 ..."), CheckVerdict::Look);
    let svg = check((Path::new("plot.svg"), b"<svg/>"), &OutputKind::Plot, &[]).unwrap_err();
    assert!(svg.to_string().contains("holds every point"), "{svg}");
}

#[test]
fn of_a_model_the_report_says_what_nobody_has_checked() {
    let checks = check((Path::new("m"), b"weights"), &OutputKind::Model, &[]).unwrap();
    let not_checked = |check: &str| said(&checks.checks, check).verdict;
    assert_eq!(not_checked("stated loss"), CheckVerdict::NotChecked);
    assert_eq!(not_checked("membership"), CheckVerdict::NotChecked);
    assert!(!checks.objects());
}
