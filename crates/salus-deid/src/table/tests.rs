#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::{Column, CsvFormat, Header, LongField, QuotedFields, Table, TableError, Whitespace};

const COMMA: CsvFormat = CsvFormat::with_delimiter(b',');

fn read(text: &str) -> Result<Table, TableError> {
    Table::read_csv(text.as_bytes(), COMMA)
}

#[test]
fn values_are_coded_once_and_kept_exactly() {
    let table = read("\u{feff}id,note\n1,\"a, \"\"b\"\"\n c\"\n2,x\n1,x\n").unwrap();
    assert_eq!(table.rows(), 3);
    let id = table.column("id").unwrap();
    assert_eq!((id.dictionary().len(), id.codes()), (2, &[0, 1, 0][..]));
    assert_eq!(table.column("note").unwrap().value(0), Some("a, \"b\"\n c"));
}

#[test]
fn a_ragged_line_is_refused_by_its_number() {
    match read("a,b\n1,2\n\"x\ny\",2\n1,2,3\n") {
        Err(TableError::Ragged { line: 5, found: 3, expected: 2 }) => {}
        other => panic!("{other:?}"),
    }
    assert!(matches!(read("a,b\n1\n"), Err(TableError::Ragged { line: 2, found: 1, .. })));
}

#[test]
fn a_quoted_field_that_never_ends_is_refused_by_the_line_it_opens_on() {
    let many = |rows: u32, stray: u32, end: &str| {
        (1..rows).fold(format!("a,b{end}"), |csv, i| {
            let quote = if i + 1 == stray { "\"" } else { "" };
            csv + &format!("{i},{quote}x{end}")
        })
    };
    for (text, line) in [
        ("a,b\n1,\"2\n3,4".to_owned(), 2),
        ("a,b\n1,\"2\n3,4\n".to_owned(), 2),
        // Fewer fields than the others have.
        ("a,b\n\"1,2\n3,4\n".to_owned(), 2),
        ("a,b\r\n\r\n1,\"".to_owned(), 3),
        ("\u{feff}\"a,b\n1,2\n".to_owned(), 1),
        ("a,b\n\"x\ny\",1\n1,\"a\"\"".to_owned(), 4),
        // More than a reader holds at once.
        (many(20_000, 701, "\n"), 701),
        (many(20_000, 19_999, "\r\n"), 19_999),
    ] {
        match read(&text) {
            Err(TableError::UnclosedQuote { line: found }) => assert_eq!(found, line),
            other => panic!("line {line}: {:?}", other.map(|table| table.rows())),
        }
    }
}

#[test]
fn quotes_that_are_none_or_that_end_are_no_fault() {
    for (text, last) in [
        ("a,b\n1,\"x\ny\r\nz\"\n", "x\ny\r\nz"),
        ("a,b\n1,5\" tall\n", "5\" tall"),
        ("a,b\n1, \"x\n", " \"x"),
        ("a,b\r\n1,\"x\"\r\n", "x"),
        ("a,b\n1,\"x\"", "x"),
        ("a,b\n1,\"\"", ""),
        ("a,b\n1,\"x\"\"\"", "x\""),
        ("a,b\n1,\"x\"y\"\n", "xy\""),
    ] {
        let table = read(text).unwrap();
        assert_eq!(table.rows(), 1, "{text:?}");
        assert_eq!(table.column("b").unwrap().value(0), Some(last), "{text:?}");
    }
}

#[test]
fn the_longest_quoted_field_is_known_by_its_line() {
    let text = format!("a,b\r\n1,\"x\r\ny\"\r\n2,\"{}\"\r\n3,4\r\n", "line\r\n".repeat(120));
    let mut fields = QuotedFields::new(text.as_bytes(), COMMA);
    assert_eq!(Table::read_csv(&mut fields, COMMA).unwrap().rows(), 3);
    assert_eq!(fields.longest(), Some(LongField { line: 4, breaks: 120 }));
    assert_eq!(fields.unclosed(), None);
}

#[test]
fn lines_that_end_in_crlf_are_counted_once() {
    assert!(matches!(read("a,b\r\n1,2\r\n3\r\n4,5\r\n"), Err(TableError::Ragged { line: 3, .. })));
}

#[test]
fn bytes_that_are_no_text_are_refused_by_line_and_column() {
    let bad = Table::read_csv(&b"a,b\n1,\xff\n"[..], COMMA);
    assert!(matches!(bad, Err(TableError::NotUtf8 { line: 2, column: 2 })));
}

#[test]
fn nothing_to_read_is_an_error() {
    assert!(matches!(read(""), Err(TableError::Empty)));
    assert!(matches!(read("a,b\n"), Err(TableError::Empty)));
    assert!(matches!(read("a,a\n1,2\n"), Err(TableError::DuplicateColumn { .. })));
    let message = read("a,b\n1,2\n").unwrap().column("c").unwrap_err().to_string();
    assert_eq!(message, "there is no column 'c'; the columns are a, b");
}

#[test]
fn a_file_without_header_and_with_blanks_reads_as_told() {
    let format = CsvFormat { header: Header::Absent, whitespace: Whitespace::Trim, ..COMMA };
    let table = Table::read_csv("39, State-gov\n50, Private\n".as_bytes(), format).unwrap();
    assert_eq!(table.rows(), 2);
    assert_eq!(table.column("column-2").unwrap().value(0), Some("State-gov"));
}

#[test]
fn rewriting_merges_equal_results() {
    let column = Column::from_values("c", ["a", "b", "a", "c"]).unwrap();
    let short = column.map(|v| if v == "c" { "z".into() } else { "y".into() });
    assert_eq!((short.dictionary().len(), short.codes()), (2, &[0, 0, 0, 1][..]));
}

#[test]
fn printing_shows_no_value() {
    let table = read("name\nMiller\n").unwrap();
    assert!(!format!("{table:?}").contains("Miller"));
}

proptest! {
    #[test]
    fn a_written_table_reads_back_the_same(
        cells in prop::collection::vec(("\\PC{0,9}", "[a-z,\"\n;]{0,9}"), 1..20)
    ) {
        let columns = vec![
            Column::from_values("first", cells.iter().map(|c| &c.0)).unwrap(),
            Column::from_values("second", cells.iter().map(|c| &c.1)).unwrap(),
        ];
        let table = Table::from_columns(columns).unwrap();
        let mut bytes = Vec::new();
        table.write_csv(&mut bytes, COMMA).unwrap();
        prop_assert_eq!(Table::read_csv(bytes.as_slice(), COMMA).unwrap(), table);
    }
}
