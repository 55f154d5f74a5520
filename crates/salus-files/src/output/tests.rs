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
    OutputKind::Table { count, total, least: 10, by: Vec::new() }
}

fn by(names: &[&str]) -> OutputKind {
    let (count, total) = ("count".to_owned(), "total".to_owned());
    let by = names.iter().map(|name| (*name).to_owned()).collect();
    OutputKind::Table { count, total, least: 10, by }
}

fn of(csv: &str, kind: &OutputKind) -> OutputChecks {
    check((Path::new("table.csv"), csv.as_bytes()), kind, &[]).unwrap()
}

fn verdict(csv: &str, kind: &OutputKind, check: &str) -> CheckVerdict {
    said(&of(csv, kind).checks, check).verdict
}

#[test]
fn a_table_of_counts_is_checked_cell_by_cell_and_against_what_went_out_before() {
    let path = Path::new("beds.csv");
    let good = "ward,count\na,40\nb,25\ntotal,65\n";
    let passes = check((path, good.as_bytes()), &counts(), &[]).unwrap();
    assert!(!passes.objects(), "{passes:?}");
    for (check, verdict) in verdicts(&passes.checks) {
        let open = ["earlier tables", "dominance"].contains(&check);
        let wanted = if open { CheckVerdict::NotChecked } else { CheckVerdict::Passes };
        assert_eq!(verdict, wanted, "{check}");
    }
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
    assert_eq!(said(&objected.checks, "earlier tables").verdict, CheckVerdict::Objects);
    assert_eq!(objected.details["passes"], json!(false));
    let wrong = check((path, b"ward,count\na,forty\nb,1\n"), &counts(), &[]).unwrap_err();
    assert!(wrong.to_string().contains("no whole number"), "{wrong}");
}

#[test]
fn a_share_beside_the_count_does_not_hide_that_a_total_is_one() {
    let table = "ward,count,share\na,40,0.93\nb,,0.07\ntotal,43,1.0\n";
    let found = of(table, &counts());
    let columns = said(&found.checks, "columns");
    assert_eq!(columns.verdict, CheckVerdict::Objects);
    assert!(columns.words.contains("share") && columns.words.contains("--by"), "{columns:?}");
    assert!(found.objects());
    // Named as a category all the same, or in other words than numbers.
    assert_eq!(verdict(table, &by(&["ward", "share"]), "columns"), CheckVerdict::Objects);
    let words = table.replace("0.93", "most").replace("0.07", "few").replace("1.0", "whole");
    assert_eq!(verdict(&words, &counts(), "totals"), CheckVerdict::Objects);
    // Named rightly, the ward is worked out, and the share gives it away as well.
    let right = of(table, &by(&["ward"]));
    assert_eq!(said(&right.checks, "worked out").verdict, CheckVerdict::Objects);
    assert_eq!(said(&right.checks, "columns").verdict, CheckVerdict::Objects);
    // With every count shown there is nothing to give away: somebody looks at the shares.
    let shown = "ward,count,share\na,40,0.5\nb,40,0.5\ntotal,80,1.0\n";
    assert_eq!(verdict(shown, &by(&["ward"]), "columns"), CheckVerdict::Look);
    assert!(!of(shown, &by(&["ward"])).objects());
    let percent = shown.replace("0.5", "50 %").replace("1.0", "100 %");
    assert_eq!(verdict(&percent, &counts(), "columns"), CheckVerdict::Objects);
}

#[test]
fn the_counts_again_under_another_name_are_no_categories() {
    let again = "ward,people,count\na,40,40\nb,3,\nc,55,55\n";
    assert_eq!(verdict(again, &counts(), "columns"), CheckVerdict::Objects);
    assert_eq!(verdict(again, &by(&["ward", "people"]), "columns"), CheckVerdict::Objects);
    assert_eq!(verdict("n,count\n40,40\n3,\n", &counts(), "columns"), CheckVerdict::Objects);
    // Years and ages are categories.
    let years = "year,count\n2021,40\n2022,55\n2023,61\n";
    assert_eq!(verdict(years, &counts(), "columns"), CheckVerdict::Passes);
    let ages = "age,sex,count\n20,f,40\n20,m,45\n30,f,50\n30,m,52\n";
    assert_eq!(verdict(ages, &counts(), "columns"), CheckVerdict::Passes);
    let held = "age,count\n20,40\n30,\n40,52\n50,\n";
    assert_eq!(verdict(held, &counts(), "columns"), CheckVerdict::Objects);
    assert_eq!(verdict(held, &by(&["age"]), "columns"), CheckVerdict::Look);
    let wrong = check((Path::new("t"), held.as_bytes()), &by(&["count"]), &[]).unwrap_err();
    assert!(wrong.to_string().contains("--by"), "{wrong}");
}

#[test]
fn records_free_text_and_formulas_are_found_in_a_table_of_counts() {
    let mut records = "person,diagnosis,count\n".to_owned();
    let mut notes = "note,count\n".to_owned();
    let mut wards = "ward,count\n".to_owned();
    for n in 0..24 {
        records.push_str(&format!("Planted{n},{},40\n", ["flu", "asthma"][n % 2]));
        notes.push_str(&format!("Planted {n} {},{}\n", "words ".repeat(12), 40 + n));
        wards.push_str(&format!("ward-{n},{}\n", 40 + n));
    }
    assert_eq!(verdict(&records, &counts(), "columns"), CheckVerdict::Objects);
    assert_eq!(verdict(&notes, &counts(), "columns"), CheckVerdict::Objects);
    assert_eq!(verdict(&wards, &counts(), "columns"), CheckVerdict::Passes);
    for formula in ["=HYPERLINK(1)", "+cmd", "-cmd", "@SUM(A1)"] {
        let table = format!("ward,count\n{formula},40\nb,25\n");
        assert_eq!(verdict(&table, &counts(), "columns"), CheckVerdict::Objects, "{formula}");
    }
    let numbers = "change,sex,count\n-5,f,40\n-5,m,25\n+5,f,31\n+5,m,52\n";
    assert_eq!(verdict(numbers, &counts(), "columns"), CheckVerdict::Passes);
    for checks in [of(&records, &counts()), of(&notes, &counts())] {
        let words = serde_json::to_string(&(checks.checks, checks.details)).unwrap();
        assert!(!words.contains("Planted"), "{words}");
    }
}

#[test]
fn white_space_and_marks_do_not_say_what_is_held_back() {
    let spaces = "ward,count\na,40\nb,   \nc,50\n";
    assert_eq!(verdict(spaces, &counts(), "columns"), CheckVerdict::Look);
    let marks = "ward,count\na,40\nb,NA\nc,?\nd,50\n";
    assert_eq!(verdict(marks, &counts(), "columns"), CheckVerdict::Objects);
    let zeros = "ward,count\na,00040\nb,50\n";
    assert_eq!(verdict(zeros, &counts(), "columns"), CheckVerdict::Objects);
    let quoted = "\"ward\",\"count\"\r\n\"a\",40\r\n\"b\",25\r\n";
    assert_eq!(verdict(quoted, &counts(), "columns"), CheckVerdict::Passes);
}

#[test]
fn a_total_under_another_name_is_found() {
    let totals = |table: &str| verdict(table, &counts(), "totals");
    for word in ["all", "Gesamt", "SUMME", "overall", "(Total)", "Totale"] {
        let table = format!("ward,count\na,40\nb,25\n{word},90\n");
        assert_eq!(totals(&table), CheckVerdict::Objects, "{word}");
    }
    // The word itself, however it is written, is the total: the ward that is held back follows.
    let other = "ward,count\na,40\nb,\nTOTAL,43\n";
    assert_eq!(verdict(other, &counts(), "worked out"), CheckVerdict::Objects);
    // A word that nobody has heard of: the sum tells, also of three less one.
    assert_eq!(totals("ward,count\na,40\nb,25\neach,65\n"), CheckVerdict::Objects);
    assert_eq!(totals("ward,count\na,40\nc,25\nb,\neach,68\n"), CheckVerdict::Objects);
    assert_eq!(totals("ward,count\na,40\nb,\neach,43\n"), CheckVerdict::Look);
    let crossed = "ward,sex,count\na,f,20\na,m,25\na,each,45\nb,f,31\nb,m,52\nb,each,83\n";
    assert_eq!(totals(crossed), CheckVerdict::Objects);
    for fine in [
        "ward,count\na,40\nb,40\n",
        "ward,count\na,40\nb,25\ntotal,65\n",
        "ward,count\na,20\nb,30\nc,50\ntotal,100\n",
        "ward,count\na,40\nb,90\nc,\n",
        "ward,count\nnot at all,40\ntotal hip replacement,70\nc,95\n",
    ] {
        assert_eq!(totals(fine), CheckVerdict::Passes, "{fine}");
    }
}

#[test]
fn fewer_people_than_usual_and_the_rules_of_the_check_are_told() {
    let table = "ward,n\na,40\nb,4\nSumme,44\n";
    let (count, total) = ("n".to_owned(), "summe".to_owned());
    let kind = OutputKind::Table { count, total, least: 3, by: vec!["ward".to_owned()] };
    let found = of(table, &kind);
    assert_eq!(said(&found.checks, "cells").verdict, CheckVerdict::Passes);
    let words = &said(&found.checks, "cells").words;
    for part in ["people in: n", "totals written: summe", "by: ward", "fewest people 3"] {
        assert!(words.contains(part), "{words}");
    }
    let fewest = said(&found.checks, "fewest people");
    assert_eq!(fewest.verdict, CheckVerdict::Objects);
    assert!(fewest.words.contains("3 people"), "{fewest:?}");
    assert!(found.objects());
    assert_eq!(said(&found.checks, "dominance").verdict, CheckVerdict::NotChecked);
    // What was odd about the reading goes along.
    let bare = "a,f,40\na,m,25\nb,f,33\nb,m,61\n";
    let (count, total) = ("column-3".to_owned(), "total".to_owned());
    let found = of(bare, &OutputKind::Table { count, total, least: 10, by: Vec::new() });
    assert!(found.notes.iter().any(|note| note.contains("looks like a record")), "{found:?}");
}

fn earlier(now: &str, before: &[&str]) -> (CheckVerdict, String) {
    let before: Vec<(&Path, Vec<u8>)> =
        before.iter().map(|text| (Path::new("before.csv"), text.as_bytes().to_vec())).collect();
    let found = check((Path::new("now.csv"), now.as_bytes()), &counts(), &before).unwrap();
    let check = said(&found.checks, "earlier tables");
    (check.verdict, check.words.clone())
}

#[test]
fn tables_that_went_out_before_pass_only_where_they_were_subtracted() {
    let now = "ward,sex,count\na,f,40\na,m,55\nb,f,31\nb,m,90\n";
    assert_eq!(earlier(now, &[now]).0, CheckVerdict::Passes);
    // Another order of columns and another case are no disguise.
    let turned = "sex,count,ward\nF,39,A\nM,55,A\nF,31,B\nM,90,B\n";
    assert_eq!(earlier(now, &[turned]).0, CheckVerdict::Objects);
    assert_eq!(earlier(now, &[now, turned]).0, CheckVerdict::Objects);
    let (verdict, words) = earlier(now, &["drug,count\nx,39\ny,60\n"]);
    assert_eq!(verdict, CheckVerdict::NotChecked);
    assert!(words.contains("subtracted from 0 of 1"), "{words}");
    for other in ["drug,n\nx,39\n", "ward,sex,count\na,f,many\nb,m,1\n", "\u{0}", ""] {
        assert_eq!(earlier(now, &[other]).0, CheckVerdict::NotChecked, "{other:?}");
    }
    assert_eq!(earlier(now, &[now, "drug,count\nx,39\n"]).0, CheckVerdict::Look);
    let renamed = now.replace("a,f", "c,f");
    assert_eq!(earlier(now, &[&renamed]).0, CheckVerdict::Look);
}

#[test]
fn what_goes_to_reviewers_has_no_category_and_no_count_of_a_cell() {
    let table = "ward,sex,count\nPlanted,f,40\nPlanted,m,\nPlanted,total,47\n\
                 Planted2,f,6\nPlanted2,m,55\nPlanted2,total,61\n";
    let found = of(table, &counts());
    assert_eq!(said(&found.checks, "worked out").verdict, CheckVerdict::Objects);
    assert_eq!(found.details["worked_out"], json!(1));
    assert_eq!(found.details["objections"], json!({"differencing": 1, "small-count": 1}));
    assert_eq!(found.details["by"], json!(["ward", "sex"]));
    let all = serde_json::to_string(&(&found.checks, &found.details, &found.notes)).unwrap();
    for value in ["Planted", "47", "55", ": 7", ":7"] {
        assert!(!all.contains(value), "{value}: {all}");
    }
}

#[test]
fn what_is_no_table_of_counts_by_its_size_is_refused_at_once() {
    let refused = |csv: &str| {
        let error = check((Path::new("big.csv"), csv.as_bytes()), &counts(), &[]).unwrap_err();
        error.to_string()
    };
    let names: Vec<String> = (0..1000).map(|n| format!("c{n}")).collect();
    let wide = format!("{},count\n{}40\n", names.join(","), "x,".repeat(1000));
    assert!(refused(&wide).contains("at most 10000 and 32"), "{}", refused(&wide));
    let long: String = (0..10_001).map(|n| format!("w{n},40\n")).collect();
    let long = format!("ward,count\n{long}");
    assert!(refused(&long).contains("at most 10000"), "{}", refused(&long));
    let many: String = (0..60).map(|n| format!("w{n},d{n},40\n")).collect();
    let many = format!("ward,drug,count\n{many}");
    let said = refused(&many);
    assert!(said.contains("3600 combinations") && said.contains("--by"), "{said}");
    let huge = format!("ward,count\n{}", "a,40\n".repeat(1_000_000));
    assert!(refused(&huge).contains("bytes"), "{}", refused(&huge));
    let people = refused("ward,count\na,18446744073709551615\nb,18446744073709551615\n");
    assert!(people.contains("no whole number of people"), "{people}");
    let twice = refused("ward,count\na,40\nA,40\n");
    assert!(twice.contains("lines 2 and 3"), "{twice}");
}

fn model(bytes: &[u8]) -> OutputChecks {
    check((Path::new("m"), bytes), &OutputKind::Model, &[]).unwrap()
}

#[test]
fn of_a_model_the_report_says_what_nobody_has_checked() {
    let checks = model(b"weights");
    let not_checked = |check: &str| said(&checks.checks, check).verdict;
    assert_eq!(not_checked("stated loss"), CheckVerdict::NotChecked);
    assert_eq!(not_checked("membership"), CheckVerdict::NotChecked);
    assert_eq!(not_checked("form"), CheckVerdict::Look);
    assert!(!checks.objects());
}

#[test]
fn what_is_called_a_model_and_is_something_else_is_named() {
    let lines = |line: &str| line.repeat(30).into_bytes();
    let latin = lines("M\u{1}ller;40;flu\n");
    let latin: Vec<u8> = latin.into_iter().map(|b| if b == 1 { 0xfc } else { b }).collect();
    let wide: Vec<u8> = String::from_utf8(lines("Anna,40,flu\n"))
        .unwrap()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let bundle = br#"{"resourceType": "Bundle", "entry": []}"#.to_vec();
    for (bytes, wanted) in [
        (b"\x89PNG\r\n\x1a\n....".to_vec(), "PNG"),
        (b"\xff\xd8\xff\xe0....".to_vec(), "JPEG"),
        (b"GIF89a....".to_vec(), "GIF"),
        (b"\n%PDF-1.7 ....".to_vec(), "PDF"),
        (b" <?xml version='1.0'?><svg/>".to_vec(), "tags"),
        (b"<!DOCTYPE html>".to_vec(), "tags"),
        (b"\x80\x04\x95....".to_vec(), "pickle"),
        (b"ccopy_reg\n_reconstructor\n(c__builtin__\n.".to_vec(), "pickle"),
        (b"PK\x03\x04....archive/data.pkl....".to_vec(), "pickle"),
        (b"PK\x03\x04....xl/workbook.xml....".to_vec(), "Office"),
        (b"PAR1....PAR1".to_vec(), "Parquet"),
        (b"SQLite format 3\0....".to_vec(), "database"),
        (lines("Anna,40,flu\n"), "delimiters"),
        (lines("\"Anna, K.\"\t40\n"), "delimiters"),
        (latin, "delimiters"),
        ([b"\xff\xfe".to_vec(), wide].concat(), "delimiters"),
        (lines("{\"name\": \"Anna\"}\n"), "NDJSON"),
        (bundle, "FHIR"),
    ] {
        let checks = model(&bytes);
        let form = said(&checks.checks, "form");
        assert_eq!(form.verdict, CheckVerdict::Objects, "{wanted}: {form:?}");
        assert!(form.words.contains(wanted), "{wanted}: {form:?}");
        assert!(!form.words.contains("Anna"), "{form:?}");
    }
}

#[test]
fn what_may_be_a_model_is_for_a_person_to_look_at() {
    let header = br#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let tensors = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 4]].concat();
    let numbers = format!("[\n{}\n0.5]", "  0.25,\n".repeat(40));
    for (bytes, wanted) in [
        (b"PK\x03\x04....weights.npy....".to_vec(), "members"),
        (b"\x89HDF\r\n\x1a\n....".to_vec(), "HDF5"),
        (b"GGUF....".to_vec(), "GGUF"),
        (b"\x1f\x8b....".to_vec(), "gzip"),
        (b"\x08\x07\x12\x07pytorch".to_vec(), "ONNX"),
        (tensors, "safetensors"),
        (numbers.into_bytes(), "JSON"),
        (b"\x00\x01\x02".to_vec(), "no form"),
        (b"".to_vec(), "no form"),
        (u64::MAX.to_le_bytes().to_vec(), "no form"),
    ] {
        let checks = model(&bytes);
        let form = said(&checks.checks, "form");
        assert_eq!(form.verdict, CheckVerdict::Look, "{wanted}: {form:?}");
        assert!(form.words.contains(wanted), "{wanted}: {form:?}");
    }
}
