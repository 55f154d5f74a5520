#![allow(clippy::unwrap_used)]

use std::num::NonZeroU32;

use super::{
    Average, Bounds, DateShift, Pseudonyms, Scheme, StreamColumns, TransformError, UnknownValue,
    mdav, microaggregate, round_to, sample, suppress_rare, top_and_bottom_code,
};
use crate::test_entropy::Sequence;
use crate::{Column, CsvFormat, Hierarchy, Levels, QuasiIdentifier, QuasiIdentifiers, Table};

fn quasi() -> QuasiIdentifiers {
    let rows = [["31", "30s", "*"], ["35", "30s", "*"], ["42", "40s", "*"]].map(|r| r.to_vec());
    let hierarchy = Hierarchy::from_rows(&rows).unwrap();
    QuasiIdentifiers::new(vec![QuasiIdentifier { column: "age".into(), hierarchy }]).unwrap()
}

const CSV: CsvFormat = CsvFormat::with_delimiter(b',');
const TEXT: &str = "name,age,note\nA,31,\"x,y\"\nB,42,\nC,35,z\n";

#[test]
fn a_scheme_generalises_and_suppresses() {
    let quasi = quasi();
    let table = Table::read_csv(TEXT.as_bytes(), CSV).unwrap();
    let scheme = Scheme::new(&quasi, Levels::new(vec![1]), UnknownValue::Refuse).unwrap();
    let coarse = scheme.apply(&table, &[1], &["name"]).unwrap();
    let texts = |name: &str| {
        let column = coarse.column(name).unwrap();
        (0..3).map(|r| column.value(r).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(texts("age"), ["30s", "*", "30s"]);
    assert_eq!(texts("name"), ["A", "*", "C"]);
    assert_eq!(texts("note"), ["x,y", "", "z"]);
    assert!(Scheme::new(&quasi, Levels::new(vec![3]), UnknownValue::Refuse).is_err());
    assert!(Scheme::new(&quasi, Levels::new(vec![1, 1]), UnknownValue::Refuse).is_err());
}

#[test]
fn a_stream_gives_what_the_table_gives() {
    let quasi = quasi();
    let scheme = Scheme::new(&quasi, Levels::new(vec![1]), UnknownValue::Refuse).unwrap();
    let counts = scheme.count(TEXT.as_bytes(), CSV).unwrap();
    assert_eq!(counts.records, 3);
    let mut out = Vec::new();
    let gone = scheme.stream(TEXT.as_bytes(), &mut out, CSV, &counts, 2).unwrap();
    assert_eq!(gone, 1);
    let streamed = Table::read_csv(out.as_slice(), CSV).unwrap();
    let table = Table::read_csv(TEXT.as_bytes(), CSV).unwrap();
    let mut whole = Vec::new();
    scheme.apply(&table, &[1], &[]).unwrap().write_csv(&mut whole, CSV).unwrap();
    assert_eq!(streamed, Table::read_csv(whole.as_slice(), CSV).unwrap());
}

#[test]
fn a_stream_loses_the_columns_that_it_may_not_show() {
    let quasi = quasi();
    let columns = StreamColumns {
        dropped: vec!["name".into()],
        written: vec!["age".into(), "note".into()],
        hidden: vec!["note".into()],
    };
    let scheme = Scheme::new(&quasi, Levels::new(vec![1]), UnknownValue::Refuse).unwrap();
    let scheme = scheme.for_columns(columns);
    let counts = scheme.count(TEXT.as_bytes(), CSV).unwrap();
    assert_eq!(counts.dropped, ["name"]);
    let mut out = Vec::new();
    scheme.stream(TEXT.as_bytes(), &mut out, CSV, &counts, 2).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "age,note\n30s,\"x,y\"\n*,*\n30s,z\n");
    let more = "age,ward,street\n31,a,b\n";
    match scheme.count(more.as_bytes(), CSV) {
        Err(TransformError::UnknownColumns { names }) => assert_eq!(names, "ward, street"),
        other => panic!("{other:?}"),
    }
    // The second of two columns of one name would be written as it is.
    let twice = scheme.count("age,age\n31,31\n".as_bytes(), CSV);
    assert!(twice.unwrap_err().to_string().contains("'age'"));
    let cut = scheme.count("age,note\n31,\"a\n35,b\n".as_bytes(), CSV).unwrap_err().to_string();
    assert!(cut.starts_with("line 2:"), "{cut}");
}

#[test]
fn new_data_with_unknown_values_is_refused_or_suppressed_as_told() {
    let quasi = quasi();
    let text = "age\n31\n99\n";
    let refuse = Scheme::new(&quasi, Levels::new(vec![0]), UnknownValue::Refuse).unwrap();
    let message = refuse.count(text.as_bytes(), CSV).unwrap_err().to_string();
    assert_eq!(message, "column 'age', record 2: the value is not in the hierarchy; add it");
    let hide = Scheme::new(&quasi, Levels::new(vec![0]), UnknownValue::Suppress).unwrap();
    let counts = hide.count(text.as_bytes(), CSV).unwrap();
    let mut out = Vec::new();
    hide.stream(text.as_bytes(), &mut out, CSV, &counts, 1).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "age\n31\n*\n");
}

#[test]
fn a_record_that_was_not_counted_is_suppressed() {
    let quasi = quasi();
    let scheme = Scheme::new(&quasi, Levels::new(vec![0]), UnknownValue::Refuse).unwrap();
    let counts = scheme.count("age\n31\n31\n".as_bytes(), CSV).unwrap();
    let mut out = Vec::new();
    let gone = scheme.stream("age\n31\n42\n".as_bytes(), &mut out, CSV, &counts, 2).unwrap();
    assert_eq!((gone, String::from_utf8(out).unwrap().as_str()), (1, "age\n31\n*\n"));
}

#[test]
fn numbers_are_coded_and_rounded() {
    let column = Column::from_values("age", ["17", "45", "93"]).unwrap();
    let coded = top_and_bottom_code(&column, Bounds { lowest: 18.0, highest: 89.0 }).unwrap();
    assert_eq!(coded.dictionary(), ["<18", "45", ">89"]);
    assert_eq!(round_to(&column, 5.0).unwrap().dictionary(), ["15", "45", "95"]);
    let fine = Column::from_values("x", ["0.125", "-0.04", "2.675"]).unwrap();
    assert_eq!(round_to(&fine, 0.1).unwrap().dictionary(), ["0.1", "0.0", "2.7"]);
    let words = Column::from_values("x", ["1", "two"]).unwrap();
    assert!(matches!(
        round_to(&words, 1.0),
        Err(TransformError::Value { record: 2, expected: "number", .. })
    ));
    assert!(round_to(&fine, 0.0).is_err());
    let rare = Column::from_values("c", ["a", "a", "b"]).unwrap();
    assert_eq!(suppress_rare(&rare, 2).dictionary(), ["a", "*"]);
}

#[test]
fn microaggregation_keeps_group_sizes_and_the_total() {
    let values: Vec<String> = (0..103).map(|i| ((i * 37) % 101).to_string()).collect();
    let other: Vec<String> = (0..103).map(|i| ((i * 11) % 53).to_string()).collect();
    let x = Column::from_values("x", &values).unwrap();
    let y = Column::from_values("y", &other).unwrap();
    let groups = mdav(&[&x, &y], 5).unwrap();
    let mut sizes = std::collections::BTreeMap::new();
    for g in &groups {
        *sizes.entry(*g).or_insert(0) += 1;
    }
    assert!(sizes.values().all(|&n| (5..10).contains(&n)), "{sizes:?}");
    let mean = microaggregate(&x, &groups, Average::Mean).unwrap();
    let sum =
        |c: &Column| (0..103).map(|r| c.value(r).unwrap().parse::<f64>().unwrap()).sum::<f64>();
    assert!((sum(&x) - sum(&mean)).abs() < 1e-9);
    let three = Column::from_values("x", ["1", "2", "9"]).unwrap();
    let median = microaggregate(&three, &[0, 0, 0], Average::Median).unwrap();
    assert_eq!(median.dictionary(), ["2"]);
    assert_eq!(mdav(&[&three], 5).unwrap(), [0, 0, 0]);
}

#[test]
fn nearby_points_share_a_group() {
    let x = Column::from_values("x", ["0", "100", "1", "101", "2", "102"]).unwrap();
    let groups = mdav(&[&x], 3).unwrap();
    assert!(groups[0] == groups[2] && groups[2] == groups[4]);
    assert!(groups[1] == groups[3] && groups[0] != groups[1]);
}

#[test]
fn pseudonyms_depend_on_key_domain_and_identifier() {
    let make = |byte: u8, domain: &str| Pseudonyms::new(vec![byte; 32], domain).unwrap();
    let base = make(1, "study-a");
    assert_eq!(base.of("p1"), make(1, "study-a").of("p1"));
    assert_eq!(base.of("p1").len(), 32);
    assert_ne!(base.of("p1"), base.of("p2"));
    assert_ne!(base.of("p1"), make(2, "study-a").of("p1"));
    assert_ne!(base.of("p1"), make(1, "study-b").of("p1"));
    // Moving a character from the domain to the identifier must change the pseudonym.
    assert_ne!(make(1, "ab").of("c"), make(1, "a").of("bc"));
    // Keys beyond one block of the hash count in full.
    let long = |last: u8| Pseudonyms::new([vec![9; 80], vec![last]].concat(), "s").unwrap();
    assert_ne!(long(1).of("p1"), long(2).of("p1"));
    assert!(Pseudonyms::new(vec![1; 31], "x").is_err());
    assert!(!format!("{base:?}").contains("1, 1"));
}

#[test]
fn dates_of_a_patient_move_together() {
    let shift = DateShift::new(vec![7; 32], NonZeroU32::new(30).unwrap()).unwrap();
    let dates = ["2024-02-27", "2024-03-01T23:15:00+02:00", "", "2024-02-27"];
    let dates = Column::from_values("d", dates).unwrap();
    let patients = Column::from_values("p", ["a", "a", "a", "b"]).unwrap();
    let moved = shift.shift(&dates, &patients).unwrap();
    let day = |row: usize| {
        chrono::NaiveDate::parse_from_str(&moved.value(row).unwrap()[..10], "%Y-%m-%d").unwrap()
    };
    assert_eq!((day(1) - day(0)).num_days(), 3);
    assert!(moved.value(1).unwrap().ends_with("T23:15:00+02:00"));
    assert_eq!(moved.value(2), Some(""));
    let all: Vec<i64> = (0..2_000).map(|p| shift.days(&p.to_string())).collect();
    assert!(all.iter().all(|&d| d != 0 && (-30..=30).contains(&d)));
    for end in [-30, -1, 1, 30] {
        assert!(all.contains(&end), "{end} is never drawn");
    }
    let bad = Column::from_values("d", ["2024-02-30", "x", "y", "z"]).unwrap();
    assert!(matches!(shift.shift(&bad, &patients), Err(TransformError::Value { record: 1, .. })));
}

#[test]
fn samples_draw_each_record_at_most_once() {
    let ids: Vec<String> = (0..100).map(|i| i.to_string()).collect();
    let table = Table::from_columns(vec![Column::from_values("id", ids).unwrap()]).unwrap();
    let drawn = sample(&table, 40, &mut Sequence::new(1)).unwrap();
    let codes: std::collections::HashSet<u32> =
        drawn.column("id").unwrap().codes().iter().copied().collect();
    assert_eq!((drawn.rows(), codes.len()), (40, 40));
}
