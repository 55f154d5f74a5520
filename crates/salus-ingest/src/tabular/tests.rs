#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::reader::{Format, records};
use super::value::{self, Unfit, Value};
use super::{Column, ColumnKind, ReadError, SchemaFile, SchemaFileError, infer};

const SCHEMA: &str = r#"
dataset = "visits"
subject = "patient"
ignore = ["comment"]

[[column]]
name = "patient"
type = "text"
class = "identifiers"
required = true

[[column]]
name = "pulse"
type = "integer"
class = "clinical"
unit = "/min"
min = 0
max = 300

[[column]]
name = "day"
source = "visit.day"
type = "date"
class = "quasi"
"#;

fn column(kind: ColumnKind) -> Column {
    let mut schema = SchemaFile::parse(SCHEMA).unwrap();
    let mut column = schema.columns.remove(2);
    column.kind = kind;
    column
}

fn refused(schema: &str) -> String {
    SchemaFile::parse(schema).unwrap_err().to_string()
}

#[test]
fn a_schema_file_survives_its_text() {
    let schema = SchemaFile::parse(SCHEMA).unwrap();
    assert_eq!(SchemaFile::parse(&schema.to_toml().unwrap()).unwrap(), schema);
}

#[test]
fn a_faulty_schema_file_names_what_is_wrong() {
    let message = refused(&SCHEMA.replace("\"quasi\"", "\"private\""));
    assert!(message.contains("private") && message.contains("line"), "{message}");
    let message = refused(&SCHEMA.replace("subject = \"patient\"", "subject = \"person\""));
    assert!(message.contains("person"), "{message}");
    let message = refused(&SCHEMA.replace("name = \"day\"", "name = \"pulse\""));
    assert!(message.contains("twice"), "{message}");
    let message = refused(&SCHEMA.replace("min = 0", "min = 301"));
    assert!(message.contains("min above its max"), "{message}");
    let message = refused(&SCHEMA.replace("required = true", "max = 3"));
    assert!(message.contains("'max' means nothing"), "{message}");
    let message = refused(&SCHEMA.replace("\"quasi\"", "\"footer\""));
    assert!(message.contains("footers alone"), "{message}");
    let message = refused(&SCHEMA.replace("name = \"day\"", "name = \"visit.day\""));
    assert!(message.contains("no dots"), "{message}");
    assert!(matches!(
        SchemaFile::parse("dataset = \"x\"\ncolumn = []"),
        Err(SchemaFileError::Empty)
    ));
}

#[test]
fn values_are_read_strictly() {
    let read = |kind, text| value::read(&column(kind), Some(text));
    assert_eq!(read(ColumnKind::Integer, "9223372036854775807"), Ok(Value::Integer(i64::MAX)));
    assert_eq!(read(ColumnKind::Integer, "9223372036854775808"), Err(Unfit::Integer));
    assert_eq!(read(ColumnKind::Integer, "1.0"), Err(Unfit::Integer));
    assert_eq!(read(ColumnKind::Number, "NaN"), Err(Unfit::Number));
    assert_eq!(read(ColumnKind::Number, "1e999"), Err(Unfit::Number));
    assert_eq!(read(ColumnKind::Number, "-1.5e3"), Ok(Value::Number(-1500.0)));
    assert_eq!(read(ColumnKind::Boolean, "Yes"), Ok(Value::Boolean(true)));
    assert_eq!(read(ColumnKind::Boolean, "2"), Err(Unfit::Boolean));
    assert_eq!(read(ColumnKind::Date, "1970-01-02"), Ok(Value::Date(1)));
    assert_eq!(read(ColumnKind::Date, "2023-02-29"), Err(Unfit::Date));
    assert_eq!(read(ColumnKind::Date, "70-01-02"), Err(Unfit::Date));
    let second = Ok(Value::Timestamp(1_000_000));
    assert_eq!(read(ColumnKind::Timestamp, "1970-01-01T01:00:01+01:00"), second);
    assert_eq!(read(ColumnKind::Timestamp, "1970-01-01 00:00:01"), second);
    assert_eq!(read(ColumnKind::Timestamp, "yesterday"), Err(Unfit::Timestamp));
    assert_eq!(read(ColumnKind::Text, ""), Ok(Value::Null));
}

fn fields(text: &str, format: Format) -> Vec<Result<Vec<Option<String>>, Unfit>> {
    let schema = SchemaFile::parse(SCHEMA).unwrap();
    let source = Box::new(std::io::Cursor::new(text.to_owned()));
    let rows = records(source, format, &schema).unwrap();
    rows.map(|r| match r.unwrap().fields {
        Ok(fields) => fields.into_iter().collect(),
        Err((_, unfit)) => Err(unfit),
    })
    .collect()
}

const CSV: Format = Format::Csv { delimiter: b',' };

#[test]
fn csv_fields_come_in_the_schemas_order() {
    let text = "\u{feff}visit.day,comment,patient,pulse\n2024-05-01,\"a\nb\",p1,70\n,,p2,\nx,y\n";
    let some = |s: &str| Some(s.to_owned());
    let empty = || some("");
    assert_eq!(
        fields(text, CSV),
        [
            Ok(vec![some("p1"), some("70"), some("2024-05-01")]),
            Ok(vec![some("p2"), empty(), empty()]),
            Err(Unfit::FieldCount),
        ]
    );
}

#[test]
fn ndjson_fields_are_found_by_path() {
    let text = concat!(
        "{\"patient\":\"p1\",\"pulse\":70,\"visit\":{\"day\":\"2024-05-01\"}}\n",
        "\n",
        "{\"patient\":\"p2\",\"pulse\":null,\"comment\":[1]}\r\n",
        "{\"patient\":{\"a\":1}}\n",
        "{\"patient\":\"p3\",\"weight\":3}\n",
        "[1]\n{\"patient\""
    );
    let some = |s: &str| Some(s.to_owned());
    assert_eq!(
        fields(text, Format::Ndjson),
        [
            Ok(vec![some("p1"), some("70"), some("2024-05-01")]),
            Ok(vec![some("p2"), None, None]),
            Err(Unfit::Nested),
            Err(Unfit::UnknownField),
            Err(Unfit::NotJson),
            Err(Unfit::NotJson),
        ]
    );
}

#[test]
fn a_header_that_would_lose_a_column_is_refused() {
    let schema = SchemaFile::parse(SCHEMA).unwrap();
    let open = |text: &'static str| records(Box::new(text.as_bytes()), CSV, &schema).err();
    let unknown = open("patient,pulse,visit.day,weight\n");
    assert!(matches!(unknown, Some(ReadError::Unknown { column }) if column == "weight"));
    let lacking = open("patient,pulse\n");
    assert!(matches!(lacking, Some(ReadError::Lacking { column }) if column == "visit.day"));
    assert!(matches!(open("patient,patient,pulse,visit.day\n"), Some(ReadError::Twice { .. })));
    assert!(matches!(open(""), Some(ReadError::NoHeader)));
}

#[test]
fn inference_keeps_leading_zeros_and_guesses_the_stricter_class() {
    let text = "Patient ID,zip,age,weight,born,seen at,note,ok\n\
                p1,01234,61,70.5,1963-01-01,2024-05-01T10:00:00Z,fine,yes\n\
                p2,98765,,71,1970-12-31,2024-05-02T10:00:00Z,,no\n";
    let schema = infer("visits".parse().unwrap(), text.as_bytes(), CSV).unwrap();
    let found: Vec<(String, &str, String)> = schema
        .columns
        .iter()
        .map(|c| (c.name.clone(), c.kind.as_str(), String::from(c.class.clone())))
        .collect();
    let wanted = [
        ("patient_id", "text", "identifiers"),
        ("zip", "text", "quasi"),
        ("age", "integer", "quasi"),
        ("weight", "number", "clinical"),
        ("born", "date", "quasi"),
        ("seen_at", "timestamp", "clinical"),
        ("note", "text", "freetext"),
        ("ok", "boolean", "clinical"),
    ];
    assert_eq!(found, wanted.map(|(n, k, c)| (n.to_owned(), k, c.to_owned())));
    assert_eq!(schema.subject.as_deref(), Some("patient_id"));
    assert_eq!(SchemaFile::parse(&schema.to_toml().unwrap()).unwrap(), schema);
}

proptest! {
    #[test]
    fn what_inference_proposes_accepts_what_it_saw(rows in proptest::collection::vec("[ -~]{0,12}", 1..20)) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["a", "b"]).unwrap();
        for row in &rows {
            writer.write_record([row.as_str(), "x"]).unwrap();
        }
        let text = writer.into_inner().unwrap();
        let schema = infer("t".parse().unwrap(), text.as_slice(), CSV).unwrap();
        for record in records(Box::new(std::io::Cursor::new(text)), CSV, &schema).unwrap() {
            for (column, field) in schema.columns.iter().zip(record.unwrap().fields.unwrap()) {
                prop_assert!(value::read(column, field.unwrap().as_deref()).is_ok());
            }
        }
    }

    #[test]
    fn no_line_breaks_the_ndjson_reader(lines in "\\PC{0,200}") {
        let _ = fields(&lines, Format::Ndjson);
    }
}
