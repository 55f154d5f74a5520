#![allow(clippy::unwrap_used, clippy::print_stdout)]

use proptest::prelude::*;

use super::reader::{LineFormat, records};
use super::value::{self, Unfit, Value};
use super::{Column, ColumnKind, ReadError, SchemaFile, SchemaFileError, Shape, infer};

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
    column.shape = Shape::One(kind);
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
    let read = |kind, text| value::read(&column(kind), kind, Some(text));
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

fn fields(text: &str, format: LineFormat) -> Vec<Result<Vec<Option<String>>, Unfit>> {
    let schema = SchemaFile::parse(SCHEMA).unwrap();
    let source = Box::new(std::io::Cursor::new(text.to_owned()));
    let rows = records(source, format, &schema).unwrap();
    rows.map(|r| match r.unwrap().fields {
        Ok(fields) => fields.into_iter().collect(),
        Err((_, unfit)) => Err(unfit),
    })
    .collect()
}

const CSV: LineFormat = LineFormat::Csv { delimiter: b',' };

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
        fields(text, LineFormat::Ndjson),
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
        .map(|c| (c.name.clone(), c.shape.as_str(), String::from(c.class.clone())))
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

const NESTED: &str = r#"
dataset = "stays"

[encryption]
key_bits = 128
wrapping = "single"
footer = "signed-plaintext"
material = "internal"

[[column]]
name = "codings"
type = "list"
class = "clinical"
[column.item]
type = "struct"
[[column.item.field]]
name = "system"
type = "text"
[[column.item.field]]
name = "value"
type = "integer"
class = "key:codes"

[[column]]
name = "tags"
type = "map"
class = "freetext"
key = { type = "text", class = "quasi" }
value = { type = "list", item = { type = "number" } }
"#;

#[test]
fn nested_columns_become_leaves_with_their_own_keys() {
    let schema = SchemaFile::parse(NESTED).unwrap();
    assert_eq!(SchemaFile::parse(&schema.to_toml().unwrap()).unwrap(), schema);
    let spec = schema.spec(salus_store::EncryptionSettings::STRICT).unwrap();
    assert_eq!(spec.encryption.material, salus_store::MaterialStorage::Internal);
    assert_eq!(spec.encryption.key_bits.bits(), 128);
    let leaves = salus_store::leaves(&spec.schema);
    let keys = spec.policy.expand(&leaves).unwrap();
    let found: Vec<(String, String)> =
        keys.into_iter().map(|(path, key)| (path.to_string(), key.into())).collect();
    let wanted = [
        ("codings.list.element.system", "clinical"),
        ("codings.list.element.value", "key:codes"),
        ("tags.key_value.key", "quasi"),
        ("tags.key_value.value.list.element", "freetext"),
    ];
    assert_eq!(found, wanted.map(|(path, key)| (path.to_owned(), key.to_owned())));
}

#[test]
fn a_nested_column_that_makes_no_sense_is_refused_with_its_name() {
    let cases = [
        ("[column.item]\ntype = \"struct\"", "[column.item]\ntype = \"text\"", "no parts"),
        ("key = {", "item = {", "map"),
        ("type = \"map\"", "type = \"list\"", "list"),
        (
            "value = { type = \"list\", item",
            "value = { type = \"list\", name = \"x\", item",
            "name",
        ),
        ("name = \"value\"", "name = \"system\"", "one name"),
        ("name = \"value\"", "name = \"a.b\"", "no dots"),
        ("class = \"key:codes\"", "class = \"footer\"", "footers alone"),
        ("{ type = \"number\" }", "{ class = \"quasi\" }", "without a type"),
        ("{ type = \"number\" }", "{ type = \"number\", max = 3 }", "max"),
        ("class = \"freetext\"", "class = \"freetext\"\nmax = 3", "'max' means nothing"),
        ("key_bits = 128", "key_bits = 192", "128 or 256"),
    ];
    for (from, to, told) in cases {
        assert!(NESTED.contains(from), "{from}");
        let message = refused(&NESTED.replace(from, to));
        println!("{message}");
        let told = if told == "no parts" { "has parts, and a type that has none" } else { told };
        assert!(message.contains(told), "{from} -> {to}: {message}");
    }
    let mut deep = "{ type = \"text\" }".to_owned();
    for _ in 0..20 {
        deep = format!("{{ type = \"list\", item = {deep} }}");
    }
    let message = refused(&NESTED.replace("{ type = \"number\" }", &deep));
    assert!(message.contains("too deeply"), "{message}");
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
                let Shape::One(kind) = column.shape else { panic!("{column:?}") };
                prop_assert!(value::read(column, kind, field.unwrap().as_deref()).is_ok());
            }
        }
    }

    #[test]
    fn no_line_breaks_the_ndjson_reader(lines in "\\PC{0,200}") {
        let _ = fields(&lines, LineFormat::Ndjson);
    }
}
