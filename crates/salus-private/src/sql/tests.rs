#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use proptest::prelude::*;
use salus_dp::{Bounds, Edges, Mechanism, Query, Rank, Spend};
use salus_model::{ColumnPath, MicroRho, Timestamp};

use super::{Ask, Bins, Period, RenderError, SqlFault, parse, render};
use crate::predicate::{Comparison, Literal, Predicate};
use crate::{Profile, Profiles, Question};

const PROFILES: &str = r#"
[devices]
unit_column = "device"
unit = "device"
contribution = [4, 2]
rows_per_unit = "many"

[devices.columns]
os = { category = ["9", "10", "11"] }
category = { category = ["portable", "wearable"] }
active = { category = ["true", "false"] }
battery = { number = [0, 100, 0] }
hours = { number = [-50, 1000000, 1] }
synced = { instant = [1577836800, 1893456000, 0] }
"last service" = { instant = [1577836800, 1893456000, 0] }
firmware = "open"
"#;

const SPEND: Spend = Spend::Rho(MicroRho::new(1000));

fn profile() -> Profile {
    let profiles = Profiles::parse(PROFILES).unwrap();
    profiles.of(&"devices".parse().unwrap()).unwrap().clone()
}

fn column(name: &str) -> ColumnPath {
    name.parse().unwrap()
}

fn question(text: &str) -> Question {
    let statement = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let fitted = statement.question(&profile(), SPEND, Mechanism::Gaussian);
    fitted.unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// The query's JSON, and the filter's.
fn said(text: &str) -> (String, String) {
    let question = question(text);
    let json = |value: serde_json::Value| value.to_string();
    (
        json(serde_json::to_value(&question.query).unwrap()),
        json(serde_json::to_value(&question.filter).unwrap()),
    )
}

#[test]
fn every_kind_of_question_is_read() {
    let case = |text: &str, wanted: &str| assert_eq!(said(text).0, wanted, "{text}");
    case("select count(*) from devices", r#""count""#);
    case("SELECT COUNT(*) AS n FROM Devices d;", r#""count""#);
    case("SELECT count(DISTINCT device) FROM devices", r#""distinct-units""#);
    case("SELECT count(DISTINCT d.os) FROM devices AS d", r#"{"distinct-count":{"column":"os"}}"#);
    let one = r#"{"grouped-count":{"keys":["os"],"threshold_delta":null}}"#;
    case("SELECT os, count(*) FROM devices GROUP BY os", one);
    case("SELECT count(*), devices.os FROM devices GROUP BY 2", one);
    case("SELECT os AS version, count(*) FROM devices GROUP BY version", one);
    let two = r#"{"grouped-count":{"keys":["os","category"],"threshold_delta":null}}"#;
    case("SELECT os, category, count(*) FROM devices GROUP BY category, os", two);
    let top = r#"{"top-k":{"keys":["os"],"k":2,"threshold_delta":null}}"#;
    case("SELECT os, count(*) FROM devices GROUP BY os ORDER BY count(*) DESC LIMIT 2", top);
    case("SELECT os, count(*) n FROM devices GROUP BY 1 ORDER BY n DESC LIMIT 2", top);
    case("SELECT os, count(*) FROM devices GROUP BY 1 ORDER BY 2 DESC LIMIT 2", top);
    case("SELECT os, count(*) FROM devices GROUP BY 1 ORDER BY count DESC LIMIT 2", top);
    case("SELECT sum(battery) FROM devices", r#"{"sum":{"column":"battery"}}"#);
    case("SELECT avg(battery) FROM devices", r#"{"mean":{"column":"battery"}}"#);
    let spread = r#"{"variance":{"column":"battery"}}"#;
    case("SELECT stddev_pop(battery) FROM devices", spread);
    case("SELECT avg(battery), variance(battery), stddev(battery) FROM devices", spread);
    case("SELECT min(hours) FROM devices", r#"{"minimum":{"column":"hours"}}"#);
    case(r#"SELECT max("last service") FROM devices"#, r#"{"maximum":{"column":"last service"}}"#);
    let quartiles = r#"{"quantiles":{"column":"hours","ranks":[0.25,0.5]}}"#;
    case("SELECT quantile(hours, 0.25), median(hours) FROM devices", quartiles);
    let ninth = r#"{"quantiles":{"column":"hours","ranks":[0.9]}}"#;
    case("SELECT percentile_cont(0.9) WITHIN GROUP (ORDER BY hours) FROM devices", ninth);
    let line = r#"{"linear-regression":{"x":"hours","y":"battery"}}"#;
    case("SELECT regr_slope(battery, hours), regr_intercept(battery, hours) FROM devices", line);
}

#[test]
fn bins_are_cut_where_the_text_says() {
    let edges = |text: &str| match question(text).query {
        Query::Histogram { edges, .. } => edges.steps().to_vec(),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(edges("SELECT histogram(battery, 4) FROM devices"), [0, 25, 50, 75, 100]);
    assert_eq!(edges("SELECT histogram(battery, ARRAY[10, 50]) FROM devices"), [0, 10, 50, 100]);
    // Hours are held in tenths.
    let tenths = edges("SELECT histogram(hours, ARRAY[-1.5, 0.2, 3e2]) FROM devices");
    assert_eq!(tenths, [-50, -15, 2, 3000, 1_000_000]);
    let bucket = "SELECT width_bucket(battery, 20, 80, 3), count(*) FROM devices GROUP BY 1";
    assert_eq!(edges(bucket), [0, 20, 40, 60, 80, 100]);
    let whole = "SELECT width_bucket(battery, 0, 100, 4) b, count(*) FROM devices GROUP BY b";
    assert_eq!(edges(whole), [0, 25, 50, 75, 100]);
    let years = "SELECT date_trunc('year', synced), count(*) FROM devices \
                 GROUP BY date_trunc('year', synced)";
    let starts: Vec<String> = edges(years)
        .into_iter()
        .map(|s| Timestamp::from_micros(s * 1_000_000).unwrap().to_string()[..10].to_owned())
        .collect();
    let wanted: Vec<String> = (2020..=2030).map(|y| format!("{y}-01-01")).collect();
    assert_eq!(starts, wanted);
    let weeks = edges("SELECT date_trunc('week', synced), count(*) FROM devices GROUP BY 1");
    // 2020-01-01 is a Wednesday; the first Monday after it is the 6th.
    assert_eq!(weeks[1] - weeks[0], 5 * 86_400);
    assert!(weeks[1..weeks.len() - 1].windows(2).all(|w| w[1] - w[0] == 7 * 86_400));
    let quarters = edges("SELECT date_trunc('quarter', synced), count(*) FROM devices GROUP BY 1");
    assert_eq!(quarters.len(), 41);
    let at = edges("SELECT histogram(synced, ARRAY[DATE '2024-02-29']) FROM devices");
    assert_eq!(at[1], 1_709_164_800);
}

#[test]
fn conditions_are_read() {
    let case = |filter: &str, wanted: &str| {
        let text = format!("SELECT count(*) FROM devices WHERE {filter}");
        assert_eq!(said(&text).1, wanted, "{filter}");
    };
    case("battery < 20", r#"{"compare":{"column":"battery","is":"<","value":20.0}}"#);
    case("-1.5 <= hours", r#"{"compare":{"column":"hours","is":">=","value":-1.5}}"#);
    case("os <> '9'", r#"{"compare":{"column":"os","is":"!=","value":"9"}}"#);
    case("active = TRUE", r#"{"compare":{"column":"active","is":"=","value":"true"}}"#);
    case("os IN ('9', '10')", r#"{"in":{"column":"os","values":["9","10"]}}"#);
    case(
        "battery NOT BETWEEN 5 AND 10",
        r#"{"not":{"between":{"column":"battery","low":5.0,"high":10.0}}}"#,
    );
    case("firmware LIKE 'v1%'", r#"{"starts-with":{"column":"firmware","text":"v1"}}"#);
    case("firmware LIKE '%-rc'", r#"{"ends-with":{"column":"firmware","text":"-rc"}}"#);
    case(r"firmware LIKE '%50\%%'", r#"{"contains":{"column":"firmware","text":"50%"}}"#);
    case("firmware LIKE '%a!_b%' ESCAPE '!'", r#"{"contains":{"column":"firmware","text":"a_b"}}"#);
    case("firmware LIKE 'it''s'", r#"{"compare":{"column":"firmware","is":"=","value":"it's"}}"#);
    case("os IS NOT NULL", r#"{"not":{"is-null":{"column":"os"}}}"#);
    let midnight =
        r#"{"compare":{"column":"synced","is":">","value":"2026-01-31T00:00:00.000000Z"}}"#;
    case("synced > DATE '2026-01-31'", midnight);
    case("synced > '2026-01-31'", midnight);
    case("synced > TIMESTAMP '2026-01-31 02:00:00+02:00'", midnight);
    case(
        "synced > TIMESTAMP '2026-01-31 08:30'",
        r#"{"compare":{"column":"synced","is":">","value":"2026-01-31T08:30:00.000000Z"}}"#,
    );
    case(
        "NOT (os = '9' OR battery < 5)",
        r#"{"and":[{"not":{"compare":{"column":"os","is":"=","value":"9"}}},{"not":{"compare":{"column":"battery","is":"<","value":5.0}}}]}"#,
    );
    case(
        "(os = '9' OR battery < 5) IS NOT TRUE",
        r#"{"not":{"or":[{"compare":{"column":"os","is":"=","value":"9"}},{"compare":{"column":"battery","is":"<","value":5.0}}]}}"#,
    );
}

/// What is refused, where, and what the message must say.
const REFUSED: &[(&str, (u64, u64), &str)] = &[
    ("SELEC count(*) FROM devices", (1, 1), "Expected"),
    ("SELECT count(*) FROM devices WHERE os = 'x", (1, 41), "Unterminated"),
    ("DELETE FROM devices", (1, 1), "SELECT"),
    ("SELECT * FROM devices", (1, 8), "count(*)"),
    ("SELECT os FROM devices", (1, 8), "GROUP BY"),
    ("SELECT count(os) FROM devices", (1, 8), "IS NOT NULL"),
    ("SELECT count(*) FROM devices; SELECT 1", (1, 31), "one SELECT"),
    ("SELECT count(*)\nFROM devices, wards", (2, 15), "one dataset"),
    ("SELECT count(*)\nFROM devices\nJOIN wards ON TRUE", (3, 6), "one dataset"),
    ("SELECT count(*) FROM (SELECT 1) x", (1, 23), "one dataset"),
    ("SELECT count(*) FROM devices TABLESAMPLE BERNOULLI (5)", (1, 22), "one dataset"),
    ("SELECT sum(battery), sum(hours) FROM devices", (1, 22), "its own"),
    ("SELECT sum(battery * 2) FROM devices", (1, 12), "one column"),
    ("SELECT count(*) * 2 FROM devices", (1, 8), "costs nothing"),
    ("SELECT count(*) FILTER (WHERE battery < 5) FROM devices", (1, 8), "WHERE"),
    ("SELECT count(*) OVER () FROM devices", (1, 8), "window"),
    ("SELECT var_samp(hours) FROM devices", (1, 8), "var_pop"),
    ("SELECT quantile(hours, 1) FROM devices", (1, 8), "min or max"),
    ("SELECT corr(hours, battery) FROM devices", (1, 8), "the functions are"),
    ("SELECT os, count(*) FROM devices GROUP BY os, category", (1, 47), "select list"),
    ("SELECT os, sum(hours) FROM devices GROUP BY os", (1, 12), "WHERE"),
    ("SELECT os, count(*) FROM devices GROUP BY os ORDER BY os", (1, 55), "LIMIT 5"),
    ("SELECT os, count(*) FROM devices GROUP BY os LIMIT 5", (1, 52), "ORDER BY"),
    ("SELECT os, count(*) FROM devices GROUP BY os HAVING count(*) > 5", (1, 1), "costs nothing"),
    ("SELECT os, count(*) FROM devices GROUP BY ROLLUP(os)", (1, 50), "select list"),
    ("SELECT DISTINCT os FROM devices", (1, 1), "count(DISTINCT"),
    ("WITH a AS (SELECT 1) SELECT count(*) FROM a", (1, 1), "directly"),
    ("SELECT count(*) FROM devices UNION SELECT count(*) FROM devices", (1, 1), "by itself"),
    ("SELECT count(*) FROM devices WHERE active", (1, 36), "active = TRUE"),
    ("SELECT count(*) FROM devices WHERE os = \"10\"", (1, 41), "'10'"),
    ("SELECT count(*) FROM devices WHERE os = NULL", (1, 41), "IS NULL"),
    ("SELECT count(*) FROM devices WHERE os = $1", (1, 41), "signed"),
    ("SELECT count(*) FROM devices WHERE os = category", (1, 41), "each with a value"),
    ("SELECT count(*) FROM devices WHERE synced > now()", (1, 45), "DATE"),
    ("SELECT count(*) FROM devices WHERE synced > DATE '31.1.2026'", (1, 50), "2026-01-31"),
    ("SELECT count(*) FROM devices WHERE os ILIKE 'a%'", (1, 36), "LIKE"),
    ("SELECT count(*) FROM devices WHERE os LIKE 'a_b'", (1, 44), "starts with"),
    ("SELECT count(*) FROM devices WHERE os IN (SELECT 1)", (1, 36), "subquery"),
    ("SELECT count(*) FROM devices WHERE os ~ 'a'", (1, 36), "operator"),
    ("SELECT count(*) FROM devices WHERE battery + 1 < 5", (1, 36), "one column"),
    ("SELECT count(*) FROM devices WHERE\n  lower(os) = 'a'", (2, 3), "one column"),
    ("SELECT count(*) FROM devices LIMIT 5", (1, 36), "without groups"),
];

#[test]
fn what_the_subset_cannot_say_is_refused_at_its_place() {
    let mut faults = Vec::new();
    for (text, place, says) in REFUSED {
        let error = parse(text).map(|s| s.to_string()).unwrap_err();
        let found = (error.place.line, error.place.column);
        if !error.to_string().contains(says) || found != *place {
            faults.push(format!("{text}\n  {error}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_the_profile_refuses_has_a_place_too() {
    let refused = |text: &str| {
        let statement = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        statement.question(&profile(), SPEND, Mechanism::Gaussian).unwrap_err()
    };
    let case = |text: &str, column: u64, says: &str| {
        let error = refused(text);
        assert!(error.to_string().contains(says), "{text}\n{error}");
        assert_eq!((error.place.line, error.place.column), (1, column), "{text}\n{error}");
    };
    case("SELECT count(*) FROM devices WHERE ward = 'a'", 36, "battery, category");
    case("SELECT sum(os) FROM devices", 12, "no number column");
    case("SELECT count(*) FROM devices WHERE battery = 'low'", 36, "numbers");
    case("SELECT count(*) FROM devices WHERE synced < 5", 36, "moments");
    case("SELECT count(*) FROM devices WHERE os = DATE '2026-01-31'", 46, "no dates");
    case("SELECT count(*) FROM devices WHERE battery LIKE '5%'", 36, "no text");
    case("SELECT battery, count(*) FROM devices GROUP BY battery", 8, "no category column");
    case("SELECT firmware, count(*) FROM devices GROUP BY firmware", 8, "threshold");
    case("SELECT histogram(battery, ARRAY[5, 200]) FROM devices", 18, "0 to 100");
    case("SELECT histogram(battery, 200) FROM devices", 18, "0 to 100");
    case("SELECT histogram(battery, ARRAY[DATE '2026-01-31']) FROM devices", 18, "write a number");
    case("SELECT histogram(os, 3) FROM devices", 18, "number or date");
    case("SELECT date_trunc('hour', battery), count(*) FROM devices GROUP BY 1", 27, "no date");
    case("SELECT date_trunc('hour', synced), count(*) FROM devices GROUP BY 1", 27, "65,536");
    // The unit's own column counts units, and is nothing else.
    case("SELECT count(*) FROM devices WHERE device = 'd7'", 36, "no column 'device'");
    case(
        "SELECT count(DISTINCT device) FROM devices WHERE device = 'd7'",
        50,
        "no column 'device'",
    );
}

#[test]
fn long_and_deep_texts_are_refused_before_they_hurt() {
    let long = format!("SELECT count(*) FROM devices WHERE os = '{}'", "x".repeat(300_000));
    assert!(matches!(parse(&long).unwrap_err().fault, SqlFault::Long { .. }));
    let chain =
        format!("SELECT count(*) FROM devices WHERE os = '9'{}", " AND os = '9'".repeat(5000));
    assert!(matches!(parse(&chain).unwrap_err().fault, SqlFault::Long { .. }));
    let deep = |n: usize| {
        format!("SELECT count(*) FROM devices WHERE {}os = '9'{}", "(".repeat(n), ")".repeat(n))
    };
    assert!(matches!(parse(&deep(500)).unwrap_err().fault, SqlFault::Syntax { .. }));
    assert!(parse(&deep(20)).is_ok());
}

#[test]
fn texts_are_written_for_people() {
    let case = |text: &str| assert_eq!(render(&question(text), &profile()).unwrap(), text);
    case("SELECT count(*)\nFROM devices");
    case("SELECT count(DISTINCT device)\nFROM devices");
    case(
        "SELECT os, category, count(*)\nFROM devices\nWHERE battery < 20 AND (os = '9' OR \
         firmware LIKE '%1.2%') AND synced >= DATE '2026-01-31'\nGROUP BY os, category\nORDER BY \
         count(*) DESC\nLIMIT 5",
    );
    case("SELECT histogram(hours, ARRAY[-1.5, 0.2, 300])\nFROM devices");
    case(
        "SELECT histogram(synced, ARRAY[DATE '2024-02-29', TIMESTAMP '2024-03-01 08:30:00'])\nFROM devices",
    );
    case("SELECT max(\"last service\")\nFROM devices\nWHERE NOT (os = '9') OR os IS NOT NULL");
    case("SELECT count(*)\nFROM devices\nWHERE (os = '9' OR os = '10') IS NOT TRUE");
    let statement = parse("SELECT date_trunc('month', synced), count(*) FROM devices GROUP BY 1");
    let statement = statement.unwrap();
    let months = Ask::Histogram { column: column("synced"), bins: Bins::Calendar(Period::Month) };
    assert_eq!(statement.ask, months);
    assert_eq!(parse(&statement.to_string()).unwrap(), statement);
    let statement = parse("SELECT width_bucket(hours, 0, 10, 5), count(*) FROM devices GROUP BY 1");
    let statement = statement.unwrap();
    assert_eq!(parse(&statement.to_string()).unwrap(), statement);
}

#[test]
fn what_sql_cannot_say_is_not_written() {
    let mut open = question("SELECT count(*) FROM devices");
    open.query = Query::GroupedCount {
        keys: vec![column("firmware")],
        threshold_delta: salus_dp::Delta::new(1e-6).ok(),
    };
    assert_eq!(render(&open, &profile()), Err(RenderError::Threshold));
    let mut endless = question("SELECT count(*) FROM devices WHERE battery < 5");
    endless.filter = Some(Predicate::Compare {
        column: column("battery"),
        is: Comparison::Less,
        value: Literal::Number(f64::INFINITY),
    });
    assert_eq!(render(&endless, &profile()), Err(RenderError::Filter));
    let mut strange = question("SELECT histogram(battery, 4) FROM devices");
    strange.query = Query::Histogram {
        column: column("os"),
        edges: Edges::equal(Bounds::new(0.0, 9.0, 0).unwrap(), 3).unwrap(),
    };
    assert!(matches!(render(&strange, &profile()), Err(RenderError::Bounds { .. })));
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z%_\\\\' \"]{1,6}", "\\PC{1,4}", Just("2026-01-31".to_owned())]
}

/// Conditions on columns of every kind, as a condition may stand alone.
fn single() -> impl Strategy<Value = Predicate> {
    let is = prop::sample::select(vec![
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::AtMost,
        Comparison::More,
        Comparison::AtLeast,
    ]);
    let number = prop_oneof![
        (-1000i32..1000).prop_map(|n| f64::from(n) / 8.0),
        any::<f64>().prop_filter("finite", |n| n.is_finite()),
    ];
    let number = (prop::sample::select(vec!["battery", "hours"]), number.prop_map(Literal::Number));
    let moment = (1_577_836_800_000_000i64..1_893_456_000_000_000)
        .prop_flat_map(|micros| {
            prop::sample::select(vec![micros, micros / 86_400_000_000 * 86_400_000_000])
        })
        .prop_map(|micros| Literal::Text(Timestamp::from_micros(micros).unwrap().to_string()));
    let moment = (prop::sample::select(vec!["synced", "last service"]), moment);
    let word = prop_oneof![texts(), Just("9".to_owned()), Just("10".to_owned())];
    let text =
        (prop::sample::select(vec!["os", "firmware", "active"]), word.prop_map(Literal::Text));
    let against =
        prop_oneof![number, moment, text].prop_map(|(name, value)| (column(name), value)).boxed();
    let text_column = prop::sample::select(vec!["os", "firmware", "category"]).prop_map(column);
    prop_oneof![
        (against.clone(), is).prop_map(|((column, value), is)| Predicate::Compare {
            column,
            is,
            value
        }),
        (against.clone(), 1usize..4)
            .prop_map(|((column, value), n)| Predicate::In { column, values: vec![value; n] }),
        against.clone().prop_map(|(column, value)| Predicate::Between {
            column,
            low: value.clone(),
            high: value
        }),
        (text_column.clone(), texts())
            .prop_map(|(column, text)| Predicate::Contains { column, text }),
        (text_column.clone(), texts())
            .prop_map(|(column, text)| Predicate::StartsWith { column, text }),
        (text_column, texts()).prop_map(|(column, text)| Predicate::EndsWith { column, text }),
        against.prop_map(|(column, _)| Predicate::IsNull { column }),
    ]
}

fn filters(fewest: usize) -> impl Strategy<Value = Predicate> {
    single().prop_recursive(4, 24, 3, move |inner| {
        let parts = prop::collection::vec(inner.clone(), fewest..4);
        prop_oneof![
            parts.clone().prop_map(Predicate::And),
            parts.prop_map(Predicate::Or),
            inner.prop_map(|p| Predicate::Not(Box::new(p))),
        ]
    })
}

fn queries() -> impl Strategy<Value = Query> {
    let number = || prop::sample::select(vec!["battery", "hours"]).prop_map(column);
    let keys = || {
        prop::sample::subsequence(vec!["os", "category", "active"], 1..=2)
            .prop_shuffle()
            .prop_map(|keys| keys.into_iter().map(column).collect::<Vec<_>>())
    };
    let rank = (1u32..1000).prop_map(|n| Rank::new(f64::from(n) / 1000.0).unwrap());
    let hours = Bounds::from_steps(-50, 1_000_000, 1).unwrap();
    let edges = prop::collection::btree_set(-49i64..1_000_000, 1..20).prop_map(move |inner| {
        let mut steps = vec![hours.low()];
        steps.extend(inner);
        steps.push(hours.high());
        Edges::try_from(steps).unwrap()
    });
    let instants = prop::collection::btree_set(1_577_836_801i64..1_893_456_000, 1..20);
    let instants = instants.prop_map(|inner| {
        let mut steps = vec![1_577_836_800];
        steps.extend(inner);
        steps.push(1_893_456_000);
        Edges::try_from(steps).unwrap()
    });
    prop_oneof![
        Just(Query::Count),
        Just(Query::DistinctUnits),
        Just(Query::DistinctCount { column: column("last service") }),
        keys().prop_map(|keys| Query::GroupedCount { keys, threshold_delta: None }),
        (keys(), 1u32..100).prop_map(|(keys, k)| Query::TopK { keys, k, threshold_delta: None }),
        number().prop_map(|column| Query::Sum { column }),
        number().prop_map(|column| Query::Mean { column }),
        number().prop_map(|column| Query::Variance { column }),
        number().prop_map(|column| Query::Minimum { column }),
        Just(Query::Maximum { column: column("synced") }),
        (number(), prop::collection::vec(rank, 1..4))
            .prop_map(|(column, ranks)| Query::Quantiles { column, ranks }),
        edges.prop_map(|edges| Query::Histogram { column: column("hours"), edges }),
        (1u32..1000).prop_map(move |bins| Query::Histogram {
            column: column("hours"),
            edges: Edges::equal(hours, bins).unwrap()
        }),
        instants.prop_map(|edges| Query::Histogram { column: column("synced"), edges }),
        Just(Query::LinearRegression { x: column("hours"), y: column("battery") }),
    ]
}

fn batch() -> RecordBatch {
    let moment = DataType::Timestamp(TimeUnit::Microsecond, None);
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let schema = Schema::new(vec![
        text("os"),
        text("firmware"),
        text("category"),
        text("active"),
        Field::new("battery", DataType::Float64, true),
        Field::new("hours", DataType::Float64, true),
        Field::new("synced", moment.clone(), true),
        Field::new("last service", moment, true),
    ]);
    let texts =
        |values: [Option<&str>; 4]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let numbers =
        |values: [Option<f64>; 4]| Arc::new(Float64Array::from(values.to_vec())) as ArrayRef;
    let moments = |values: [Option<i64>; 4]| {
        Arc::new(TimestampMicrosecondArray::from(values.to_vec())) as ArrayRef
    };
    let day = 86_400_000_000;
    let columns = vec![
        texts([Some("9"), Some("10"), None, Some("a%b")]),
        texts([Some("v1.2"), None, None, Some("a_b")]),
        texts([Some("portable"), Some("wearable"), None, None]),
        texts([Some("true"), None, Some("false"), None]),
        numbers([Some(5.0), Some(50.0), None, Some(0.0)]),
        numbers([None, Some(0.5), Some(-1.0), None]),
        moments([Some(18_300 * day), Some(20_484 * day), None, None]),
        moments([Some(19_000 * day + 1), None, Some(20_000 * day), None]),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn passing(filter: &Predicate) -> Vec<bool> {
    filter.passes(&batch()).unwrap().iter().map(Option::unwrap).collect()
}

/// A condition of SQL with three truth values, told apart from the crate's own reading of it.
#[derive(Debug, Clone)]
enum Oracle {
    Battery(&'static str, f64),
    Os(&'static str),
    OsIsNull,
    And(Box<Oracle>, Box<Oracle>),
    Or(Box<Oracle>, Box<Oracle>),
    Not(Box<Oracle>),
    IsTrue(Box<Oracle>),
    IsNotFalse(Box<Oracle>),
}

impl Oracle {
    fn text(&self) -> String {
        match self {
            Self::Battery(sign, value) => format!("battery {sign} {value}"),
            Self::Os(value) => format!("os = '{value}'"),
            Self::OsIsNull => "os IS NULL".to_owned(),
            Self::And(a, b) => format!("({} AND {})", a.text(), b.text()),
            Self::Or(a, b) => format!("({} OR {})", a.text(), b.text()),
            Self::Not(a) => format!("NOT ({})", a.text()),
            Self::IsTrue(a) => format!("({}) IS TRUE", a.text()),
            Self::IsNotFalse(a) => format!("({}) IS NOT FALSE", a.text()),
        }
    }

    /// Kleene's logic, as the SQL standard has it; none is unknown.
    fn truth(&self, os: Option<&str>, battery: Option<f64>) -> Option<bool> {
        match self {
            Self::Battery("<", value) => battery.map(|b| b < *value),
            Self::Battery(_, value) => battery.map(|b| b >= *value),
            Self::Os(value) => os.map(|os| os == *value),
            Self::OsIsNull => Some(os.is_none()),
            Self::And(a, b) => match (a.truth(os, battery), b.truth(os, battery)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(a, b) => match (a.truth(os, battery), b.truth(os, battery)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::Not(a) => a.truth(os, battery).map(|t| !t),
            Self::IsTrue(a) => Some(a.truth(os, battery) == Some(true)),
            Self::IsNotFalse(a) => Some(a.truth(os, battery) != Some(false)),
        }
    }
}

fn oracles() -> impl Strategy<Value = Oracle> {
    let single = prop_oneof![
        (prop::sample::select(vec!["<", ">="]), prop::sample::select(vec![5.0, 20.0]))
            .prop_map(|(sign, value)| Oracle::Battery(sign, value)),
        prop::sample::select(vec!["9", "10"]).prop_map(Oracle::Os),
        Just(Oracle::OsIsNull),
    ];
    single.prop_recursive(5, 32, 2, |inner| {
        let two = (inner.clone().prop_map(Box::new), inner.clone().prop_map(Box::new));
        let one = inner.prop_map(Box::new);
        prop_oneof![
            two.clone().prop_map(|(a, b)| Oracle::And(a, b)),
            two.prop_map(|(a, b)| Oracle::Or(a, b)),
            one.clone().prop_map(Oracle::Not),
            one.clone().prop_map(Oracle::IsTrue),
            one.prop_map(Oracle::IsNotFalse),
        ]
    })
}

/// Words that texts are made of, in an order that mostly makes no sense.
fn soup() -> impl Strategy<Value = String> {
    let words = vec![
        "SELECT",
        "count(*)",
        "FROM",
        "devices",
        "WHERE",
        "os",
        "=",
        "'9'",
        "AND",
        "NOT",
        "(",
        ")",
        "IN",
        "GROUP BY",
        "1",
        ",",
        "ORDER BY",
        "DESC",
        "LIMIT",
        "histogram(",
        "ARRAY[",
        "]",
        "DATE",
        "BETWEEN",
        "LIKE",
        "IS",
        "NULL",
        "-",
        "\"",
        "quantile(",
        "::",
        "$1",
        "ROLLUP",
    ];
    prop::collection::vec(prop::sample::select(words), 0..24).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_question_written_and_read_again_is_the_same(
        query in queries(),
        filter in prop::option::of(filters(2)),
    ) {
        let dataset = "devices".parse().unwrap();
        let asked = Question { dataset, query, filter, spend: SPEND, mechanism: Mechanism::Gaussian };
        let text = render(&asked, &profile()).unwrap();
        let statement = parse(&text);
        prop_assert!(statement.is_ok(), "{text}\n{}", statement.unwrap_err());
        let read = statement.unwrap().question(&profile(), SPEND, Mechanism::Gaussian);
        prop_assert!(read.is_ok(), "{text}\n{}", read.unwrap_err());
        let read = read.unwrap();
        prop_assert_eq!(&asked, &read, "{}", text);
        prop_assert_eq!(render(&read, &profile()).unwrap(), text);
    }

    #[test]
    fn chains_of_one_mean_the_same_when_read_again(filter in filters(1)) {
        let mut asked = question("SELECT count(*) FROM devices");
        asked.filter = Some(filter.clone());
        let text = render(&asked, &profile()).unwrap();
        let read = parse(&text).unwrap().question(&profile(), SPEND, Mechanism::Gaussian).unwrap();
        prop_assert_eq!(passing(&filter), passing(&read.filter.unwrap()), "{}", text);
    }

    #[test]
    fn missing_values_pass_as_the_sql_standard_says(oracle in oracles()) {
        let text = format!("SELECT count(*) FROM devices WHERE {}", oracle.text());
        let filter = parse(&text).unwrap().filter.unwrap();
        let rows = [
            (Some("9"), Some(5.0)),
            (Some("10"), Some(50.0)),
            (None, None),
            (Some("a%b"), Some(0.0)),
        ];
        let wanted: Vec<bool> =
            rows.iter().map(|(os, battery)| oracle.truth(*os, *battery) == Some(true)).collect();
        prop_assert_eq!(passing(&filter), wanted, "{}", text);
    }

    #[test]
    fn no_text_breaks_the_reader(text in prop_oneof![soup(), "\\PC{0,60}"]) {
        if let Ok(statement) = parse(&text) {
            let again = parse(&statement.to_string());
            prop_assert!(again.is_ok(), "{text}\n{statement}");
        }
    }
}
