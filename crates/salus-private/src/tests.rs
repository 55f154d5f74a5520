#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use proptest::prelude::*;

use crate::{Literal, Predicate, Profile, Profiles, Question};

const PROFILES: &str = r#"
[devices]
unit_column = "device"
unit = "device"
contribution = [1, 1]
rows_per_unit = "one"

[devices.columns]
os = { category = ["9", "10", "11"] }
battery = { number = [0, 100, 0] }
synced = { instant = [0, 4102444800, 0] }
firmware = "open"
"#;

fn profile() -> Profile {
    let profiles = Profiles::parse(PROFILES).unwrap();
    profiles.of(&"devices".parse().unwrap()).unwrap().clone()
}

fn batch() -> RecordBatch {
    let moment = DataType::Timestamp(TimeUnit::Microsecond, None);
    let schema = Schema::new(vec![
        Field::new("os", DataType::Utf8, true),
        Field::new("battery", DataType::Float64, true),
        Field::new("synced", moment, true),
    ]);
    let os = StringArray::from(vec![Some("9"), Some("10"), None, Some("11")]);
    let battery = Float64Array::from(vec![Some(5.0), Some(50.0), Some(f64::NAN), None]);
    let day = 86_400_000_000;
    let synced = TimestampMicrosecondArray::from(vec![Some(0), Some(day), Some(2 * day), None]);
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(os), Arc::new(battery), Arc::new(synced)];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn passes(filter: &str) -> Vec<bool> {
    let filter: Predicate = serde_json::from_str(filter).unwrap();
    filter.check(&profile()).unwrap();
    filter.passes(&batch()).unwrap().iter().map(Option::unwrap).collect()
}

#[test]
fn every_condition_decides_and_missing_values_pass_none_but_is_null() {
    let case = |filter: &str, wanted: [bool; 4]| assert_eq!(passes(filter), wanted, "{filter}");
    let (t, f) = (true, false);
    case(r#"{"compare":{"column":"os","is":"=","value":"10"}}"#, [f, t, f, f]);
    case(r#"{"compare":{"column":"os","is":"!=","value":"10"}}"#, [t, f, f, t]);
    case(r#"{"not":{"compare":{"column":"os","is":"=","value":"10"}}}"#, [t, f, f, t]);
    case(r#"{"compare":{"column":"battery","is":"<","value":50}}"#, [t, f, f, f]);
    case(r#"{"compare":{"column":"battery","is":"<=","value":50}}"#, [t, t, f, f]);
    case(r#"{"compare":{"column":"battery","is":">","value":5}}"#, [f, t, f, f]);
    case(r#"{"compare":{"column":"battery","is":">=","value":5}}"#, [t, t, f, f]);
    case(r#"{"between":{"column":"battery","low":5,"high":49}}"#, [t, f, f, f]);
    case(r#"{"in":{"column":"os","values":["9","11"]}}"#, [t, f, f, t]);
    case(r#"{"contains":{"column":"os","text":"1"}}"#, [f, t, f, t]);
    case(r#"{"starts-with":{"column":"os","text":"1"}}"#, [f, t, f, t]);
    case(r#"{"ends-with":{"column":"os","text":"0"}}"#, [f, t, f, f]);
    case(r#"{"is-null":{"column":"os"}}"#, [f, f, t, f]);
    case(r#"{"not":{"is-null":{"column":"os"}}}"#, [t, t, f, t]);
    let after = r#"{"compare":{"column":"synced","is":">","value":"1970-01-01T12:00:00Z"}}"#;
    case(after, [f, t, t, f]);
    let both = r#"{"and":[{"contains":{"column":"os","text":"1"}},{"compare":{"column":"battery","is":">","value":0}}]}"#;
    case(both, [f, t, f, f]);
    let either = r#"{"or":[{"is-null":{"column":"battery"}},{"compare":{"column":"os","is":"=","value":"9"}}]}"#;
    case(either, [t, f, f, t]);
}

#[test]
fn a_filter_that_does_not_fit_is_named() {
    let refused = |filter: &str| {
        let filter: Predicate = serde_json::from_str(filter).unwrap();
        filter.check(&profile()).unwrap_err().to_string()
    };
    assert!(refused(r#"{"is-null":{"column":"name"}}"#).contains("'name'"));
    assert!(
        refused(r#"{"compare":{"column":"battery","is":"<","value":"x"}}"#).contains("numbers")
    );
    assert!(refused(r#"{"compare":{"column":"synced","is":"<","value":"x"}}"#).contains("moments"));
    assert!(refused(r#"{"contains":{"column":"battery","text":"1"}}"#).contains("no text"));
    assert!(refused(r#"{"and":[]}"#).contains("at least one"));
    let deep = (0..20).fold(Predicate::IsNull { column: "os".parse().unwrap() }, |p, _| {
        Predicate::Not(Box::new(p))
    });
    assert!(deep.check(&profile()).unwrap_err().to_string().contains("deep"));
}

#[test]
fn a_question_is_read_strictly_and_priced_before_it_is_asked() {
    let text =
        r#"{"dataset":"devices","query":"count","spend":{"rho":1000},"mechanism":"gaussian"}"#;
    let prepared = Question::parse(text).unwrap().prepare(&profile()).unwrap();
    assert_eq!(prepared.cost().rho, salus_model::MicroRho::new(1000));
    assert_ne!(Question::digest(text), Question::digest(&text.replace("1000", "1001")));
    let wrong = text.replace("\"spend\"", "\"spent\"");
    assert!(Question::parse(&wrong).unwrap_err().to_string().contains("line 1"));
    let unknown = text.replace("\"count\"", r#"{"sum":{"column":"salary"}}"#);
    let refused = Question::parse(&unknown).unwrap().prepare(&profile()).unwrap_err();
    assert!(refused.to_string().contains("salary"));
    let open = r#"{"grouped-count":{"keys":["firmware"],"threshold_delta":1000000000}}"#;
    let open = Question::parse(&text.replace("\"count\"", open)).unwrap();
    assert!(matches!(open.prepare(&profile()), Err(crate::QuestionError::Threshold)));
}

#[test]
fn texts_of_version_1_are_read_and_written_for_ever() {
    for line in include_str!("../testdata/questions/v1.jsonl").lines() {
        let question = Question::parse(line).unwrap();
        assert_eq!(serde_json::to_string(&question).unwrap(), line);
        // Texts from before versions were told are of the first.
        let untold = line.replacen("\"version\":1,", "", 1);
        assert_eq!(Question::parse(&untold).unwrap(), question);
        let next = line.replacen("\"version\":1,", "\"version\":2,", 1);
        let refused = Question::parse(&next).unwrap_err().to_string();
        assert!(refused.contains("version 2"), "{refused}");
    }
}

proptest! {
    /// The columns named are those that a filter looks at: reading no other never fails.
    #[test]
    fn no_value_makes_a_filter_fail(number in any::<f64>(), text in ".*") {
        let filters = [
            Predicate::In {
                column: "battery".parse().unwrap(),
                values: vec![Literal::Number(number)],
            },
            Predicate::Contains { column: "os".parse().unwrap(), text: text.clone() },
            Predicate::In { column: "os".parse().unwrap(), values: vec![Literal::Text(text)] },
        ];
        for filter in filters {
            prop_assert_eq!(filter.passes(&batch()).unwrap().len(), 4);
        }
    }
}
