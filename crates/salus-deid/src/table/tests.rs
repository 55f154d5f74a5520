#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::{Column, CsvFormat, Header, Table, TableError, Whitespace};

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
