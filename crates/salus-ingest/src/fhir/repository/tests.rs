#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::RepositoryError;
use super::record::{Method, Record};
use super::texts::Texts;

const V1: &str = include_str!("../../../testdata/journal/v1.json");

#[test]
fn a_record_of_format_1_is_read_and_written_as_it_stands() {
    let record = Record::parse(V1.as_bytes()).unwrap();
    assert_eq!((record.staff.as_str(), record.role.as_str()), ("ann", "dietitian"));
    let [created, removed] = record.changes.as_slice() else { panic!("two changes") };
    assert_eq!(
        (created.method, created.key().unwrap().to_string()),
        (Method::Create, "Patient/p1".to_owned())
    );
    assert_eq!(created.last_updated().unwrap().to_string(), "2026-01-01T00:00:00.000000Z");
    assert_eq!(
        (removed.method, removed.version, removed.resource.is_none()),
        (Method::Delete, 2, true)
    );
    assert_eq!(serde_json::to_string(&record).unwrap(), V1.trim());
}

#[test]
fn records_of_other_formats_and_malformed_ones_are_refused() {
    let newer = V1.replace("\"format\":1", "\"format\":2");
    let refused = Record::parse(newer.as_bytes()).unwrap_err();
    assert!(matches!(refused, RepositoryError::Format { found: 2 }), "{refused}");
    for (from, to) in [
        ("\"role\"", "\"rolle\""),
        ("\"p1\",\"version\"", "\"a b\",\"version\""),
        ("POST", "PATCH"),
        ("]}", ""),
    ] {
        let refused = Record::parse(V1.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(matches!(refused, RepositoryError::Record { .. }), "{from}: {refused}");
    }
}

#[test]
fn the_cache_stays_within_its_bytes_and_forgets_no_text_that_is_in_no_file() {
    let mut texts = Texts::new(1000);
    let text = |n: u32| -> Arc<str> { format!("{n:0100}").into() };
    texts.pin(7, (1, text(7)), 5);
    for n in 100..200 {
        texts.keep(n, 1, text(n));
    }
    let cached = (100..200).filter(|n| texts.of(*n, 1).is_some()).count();
    assert!((1..=12).contains(&cached), "{cached} texts of 100 bytes");
    assert!(texts.of(7, 1).is_some() && texts.of(7, 2).is_none(), "of that version alone");
    assert_eq!(texts.pinned_bytes(), 100);
    texts.unpin_through(4);
    assert_eq!(texts.pinned_bytes(), 100, "its position is 5");
    texts.unpin_through(5);
    assert_eq!(texts.pinned_bytes(), 0);
    assert!(texts.of(7, 1).is_some(), "for a while");
}
