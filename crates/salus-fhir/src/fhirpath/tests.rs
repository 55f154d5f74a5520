#![allow(clippy::unwrap_used)]

use serde_json::{Value as Json, json};

use super::Expression;

fn patient() -> Json {
    json!({
        "resourceType": "Patient", "id": "p1", "birthDate": "1974-12-25",
        "_birthDate": {"extension": [{"url": "http://x/birthTime", "valueDateTime": "1974-12-25T14:35:45-05:00"}]},
        "active": true, "multipleBirthInteger": 2,
        "name": [
            {"use": "official", "family": "Chalmers", "given": ["Peter", "James"]},
            {"use": "usual", "given": ["Jim", null], "_given": [null, {"extension": [{"url": "http://x/absent", "valueBoolean": true}]}]}
        ],
        "managingOrganization": {"reference": "Organization/1"},
        "generalPractitioner": [{"reference": "https://h.example/fhir/Practitioner/7/_history/2"}, {"reference": "#d"}],
        "contained": [{"resourceType": "Practitioner", "id": "d"}],
        "deceasedDateTime": "2015-02",
        "contact": [{"period": {"start": "2010"}}]
    })
}

fn run(text: &str) -> String {
    let json = patient();
    let expression = match Expression::parse(text) {
        Ok(expression) => expression,
        Err(error) => return format!("syntax: {error}"),
    };
    match expression.evaluate(&json) {
        Ok(items) => items
            .iter()
            .map(|i| i.scalar().map_or_else(|| "<node>".to_owned(), |s| s.to_text().into_owned()))
            .collect::<Vec<_>>()
            .join(","),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn expressions_yield_what_the_specification_says() {
    let cases = include_str!("../../testdata/fhirpath/cases.tsv");
    let mut count = 0;
    for line in cases.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (text, expected) = line.split_once('\t').unwrap();
        assert_eq!(run(text), expected, "{text}");
        count += 1;
    }
    assert!(count > 100, "only {count} cases");
}

#[test]
fn syntax_errors_say_where() {
    for (text, position) in [
        ("name.", 5),
        ("name.given(", 5),
        ("@@", 0),
        ("1 + ", 4),
        ("a b", 2),
        ("'x", 0),
        ("%no", 0),
    ] {
        let error = Expression::parse(text).unwrap_err();
        assert_eq!(error.position, position, "{text}: {error}");
    }
    assert!(run("foo()").contains("there is no function 'foo'"));
    assert!(run("value.ofType(Nonsense)").contains("there is no type 'Nonsense'"));
    assert!(run("name.first(1)").contains("takes 0 arguments"));
}

#[test]
fn hostile_nesting_is_refused_without_exhausting_the_stack() {
    for (open, middle, close) in
        [("(", "1", ")"), ("-", "1", ""), ("a[", "1", "]"), ("where(", "1", ")"), ("1+(", "1", ")")]
    {
        let text = format!("{}{middle}{}", open.repeat(20_000), close.repeat(20_000));
        assert!(run(&text).contains("syntax:"), "{open}");
        let fine = format!("{}{middle}{}", open.repeat(20), close.repeat(20));
        assert!(!run(&fine).contains("syntax:"), "{open}: {}", run(&fine));
    }
    assert!(run(&"1+".repeat(5000)).contains("syntax:"));
}

#[test]
fn constants_and_the_clock_come_from_the_caller() {
    use super::{Environment, Item, Node, Scalar};
    let json = patient();
    let root = Item::Node(Node::resource(&json));
    let expression = Expression::parse_with("name.where(use = %u).family", &["u"]).unwrap();
    let constants = [Scalar::String("official".into())];
    let environment = Environment { constants: &constants, ..Environment::EMPTY };
    let found = expression.evaluate_at(&root, &root, environment).unwrap();
    assert_eq!(found.len(), 1);
    let now = Expression::parse("now() > @2020-01-01").unwrap();
    assert!(now.evaluate(&json).is_err());
    let at = Environment { now: "2026-01-01T00:00:00Z".parse().ok(), ..Environment::EMPTY };
    let later = now.evaluate_at(&root, &root, at).unwrap();
    assert!(matches!(later[..], [Item::Scalar(Scalar::Boolean(true))]));
}

#[test]
fn a_choice_that_has_only_extensions_is_found() {
    let text = r#"{"resourceType": "Observation", "_valueString": {"extension": [{"url": "u", "valueCode": "unknown"}]}}"#;
    let json: Json = serde_json::from_str(text).unwrap();
    for (path, expected) in [
        ("value.extension('u').value = 'unknown'", true),
        ("value.exists()", true),
        ("value.hasValue()", false),
        ("value is string", true),
        ("value.ofType(Quantity).empty()", true),
    ] {
        let expression = Expression::parse(path).unwrap();
        let found = expression.evaluate(&json).unwrap();
        let scalar = found.first().and_then(super::Item::scalar);
        assert!(
            matches!(scalar, Some(super::Scalar::Boolean(b)) if b == expected),
            "{path}: {found:?}"
        );
    }
}
