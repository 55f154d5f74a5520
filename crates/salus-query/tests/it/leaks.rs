//! What a person without access must not learn, whoever asked before.

use std::sync::Arc;

use salus_model::Class;
use salus_query::{AccessToken, Outcome, QueryError, Request};

use crate::world::{World, cells};

const SECRET: &str = "INS-SECRET";

/// Questions that a cache of statistics, a plan or a message could answer.
const PROBES: &[&str] = &[
    "SELECT min(insurance), max(insurance) FROM meals",
    "SELECT count(insurance) FROM meals",
    "SELECT count(DISTINCT insurance) FROM meals",
    "EXPLAIN VERBOSE SELECT insurance FROM meals WHERE insurance > 'INS-SECRET-2'",
    "EXPLAIN ANALYZE SELECT count(*) FROM meals WHERE insurance = 'INS-SECRET-1'",
    "SELECT CAST(insurance AS INT) FROM meals",
    "SELECT id FROM meals WHERE CAST(insurance AS INT) > 1",
    "SELECT arrow_cast(insurance, 'Int8') FROM meals",
    "DESCRIBE SELECT insurance FROM meals",
];

#[tokio::test(flavor = "multi_thread")]
async fn two_users_share_no_statistics() {
    let world = World::new().await;
    // The one with access asks first, so that whatever could be cached is.
    for probe in PROBES {
        let _ = world.sql("dora", probe).await;
    }
    assert_eq!(
        world.rows("dora", "SELECT min(insurance), max(insurance) FROM meals").await,
        ["INS-SECRET-1|INS-SECRET-4"]
    );
    world.keys.take_asked();
    for probe in PROBES {
        let told = world.refusal("ann", probe).await;
        assert!(!told.replace(probe, "").contains("SECRET-"), "{probe}: {told}");
    }
    let asked = world.keys.take_asked();
    assert!(!asked.contains(&"insurance".to_owned()), "the denied column's key was asked for");

    // The plan of what she may ask tells neither bounds nor counts of rows hidden from her.
    let plans = [
        "EXPLAIN VERBOSE SELECT id FROM meals WHERE kcal > 5",
        "EXPLAIN SELECT count(*) FROM meals",
    ];
    for plan in plans {
        let told = world.rows("ann", plan).await.join("\n");
        assert!(!told.contains(SECRET) && !told.contains("610") && !told.contains("Exact(6)"));
    }
    assert_eq!(world.rows("ann", "SELECT count(*) FROM meals").await, ["3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_column_is_null_and_its_key_is_never_asked_for() {
    let world = World::new().await;
    world.rows("dora", "SELECT max(insurance) FROM meals").await;
    world.keys.take_asked();
    assert_eq!(world.rows("tom", "SELECT max(insurance) FROM meals").await, ["NULL"]);
    assert_eq!(world.rows("tom", "SELECT id FROM meals WHERE insurance > ''").await.len(), 0);
    let asked = world.keys.take_asked();
    assert!(!asked.iter().any(|k| k == "insurance" || k == "meals.quasi"), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_key_exactly_that_column_is_refused_everywhere() {
    let world = World::new().await;
    world.keys.remove("insurance");
    for sql in [
        "SELECT insurance FROM meals",
        "SELECT * FROM meals",
        "SELECT count(*) FROM meals WHERE insurance = 'x'",
        "SELECT count(insurance) FROM meals GROUP BY insurance",
        "SELECT max(insurance) FROM meals",
        "SELECT id FROM meals ORDER BY insurance",
        "SELECT a.id FROM meals a JOIN meals b ON a.insurance = b.insurance",
    ] {
        match world.sql("dora", sql).await {
            Err(QueryError::KeyUnavailable { what, key, class }) => {
                assert_eq!((what.as_str(), key.as_str()), ("column 'insurance'", "insurance"));
                assert_eq!(class, Class::Refused);
            }
            other => panic!("{sql}: {:?}", other.map(|a| cells(&a))),
        }
    }
    let rest = "SELECT id, patient, food, kcal, weight, eaten FROM meals";
    assert_eq!(world.rows("dora", rest).await.len(), 6);
    assert_eq!(world.rows("dora", "SELECT count(*) FROM meals").await, ["6"]);
    assert_eq!(world.rows("tom", "SELECT * FROM meals").await.len(), 6, "masked, so not needed");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_no_value_of_a_row() {
    let world = World::new().await;
    for sql in [
        "SELECT CAST(insurance AS INT) FROM meals",
        "SELECT insurance::date FROM meals",
        "SELECT to_timestamp(insurance) FROM meals",
        "SELECT arrow_cast(insurance, 'Decimal128(5,2)') FROM meals",
        "SELECT id FROM meals WHERE CAST(insurance AS INT) = 1",
        "SELECT decode(insurance, 'hex') FROM meals",
        "SELECT regexp_replace('a', insurance || '(', 'b') FROM meals",
        "SELECT CAST(kcal AS TINYINT) FROM meals",
        "SELECT kcal * 9223372036854775807 FROM meals",
        "SELECT (SELECT insurance FROM meals)",
    ] {
        let Err(e) = world.sql("dora", sql).await else { continue };
        let mut told = format!("{e} {e:?}");
        let mut cause = std::error::Error::source(&e);
        while let Some(inner) = cause {
            told.push_str(&format!(" {inner} {inner:?}"));
            cause = inner.source();
        }
        let recorded = format!("{:?}", world.audit.last().outcome);
        for text in [told, recorded] {
            assert!(!text.contains("SECRET-") && !text.contains("610"), "{sql}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_rule_is_bound_to_the_person_and_not_pasted_into_sql() {
    let world = World::new().await;
    assert_eq!(
        world.rows("ann", "SELECT DISTINCT patient FROM meals ORDER BY 1").await,
        ["p1", "p2"]
    );
    assert_eq!(world.rows("bob", "SELECT DISTINCT patient FROM meals").await, ["p3"]);
    // A member of staff whose very name is an attempt at injection sees the clients on record for
    // that name, and nobody else's.
    let name = "x' OR '1'='1";
    assert_eq!(world.rows(name, "SELECT DISTINCT patient FROM meals").await, ["p3"]);
    let looked_up =
        world.audit.events().into_iter().rfind(|e| e.role.as_str() == "policy").unwrap();
    assert_eq!(looked_up.statement, "SELECT patient FROM careteam WHERE member = $staff");
    assert_eq!(looked_up.staff.as_str(), name);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_cannot_be_evaluated_shows_no_row() {
    let world = World::new().await;
    world.keys.remove("careteam.clinical");
    let told = world.refusal("ann", "SELECT id FROM meals").await;
    assert!(told.contains("the row rule of role 'dietitian' for 'meals' cannot be evaluated"));
    assert!(world.sql("ann", "SELECT count(*) FROM meals").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_is_on_record_with_its_outcome() {
    let world = World::new().await;
    world.rows("dora", "SELECT id, food FROM meals WHERE kcal > 200").await;
    let event = world.audit.last();
    assert_eq!(event.outcome, Outcome::Answered { rows: 3 });
    let columns = event.columns.values().next().unwrap();
    let columns: Vec<&str> = columns.iter().map(salus_model::ColumnPath::as_str).collect();
    assert_eq!(columns, ["food", "id", "kcal"]);
    assert_eq!((event.staff.as_str(), event.role.as_str()), ("dora", "physician"));

    world.refusal("ann", "SELECT insurance FROM meals").await;
    let event = world.audit.last();
    assert!(matches!(event.outcome, Outcome::Refused { .. }));
    assert!(event.columns.values().next().unwrap().iter().any(|c| c.as_str() == "insurance"));

    world.refusal("dora", "SELEC").await;
    assert!(matches!(world.audit.last().outcome, Outcome::Failed { .. }));
    world.refusal("dora", "DROP TABLE meals").await;
    assert!(matches!(world.audit.last().outcome, Outcome::Refused { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_off_the_record() {
    let world = World::new().await;
    *world.audit.full.lock() = true;
    let told = world.refusal("dora", "SELECT id FROM meals").await;
    assert!(told.contains("audit log cannot be written, so the answer is withheld"));
    *world.audit.full.lock() = false;
    assert_eq!(world.rows("dora", "SELECT count(*) FROM meals").await, ["6"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_ones_own_and_never_the_gateways() {
    let world = World::new().await;
    let ask = async |token: &str, role: Option<&str>| {
        let role = role.map(|r| salus_model::RoleName::new(r).unwrap());
        let request = Request { sql: "SELECT 1".to_owned(), role, parameters: Vec::new() };
        world.gateway.answer(&AccessToken::new(token.to_owned()), request).await.map(|_| ())
    };
    assert!(matches!(ask("both", None).await, Err(QueryError::WhichRole { .. })));
    assert!(ask("both", Some("accounts")).await.is_ok());
    assert!(matches!(ask("ann", Some("physician")).await, Err(QueryError::NotYourRole { .. })));
    world.tokens.issue("sly", &["policy"]);
    assert!(matches!(ask("sly", Some("policy")).await, Err(QueryError::NotYourRole { .. })));
    assert!(matches!(ask("sly", None).await, Err(QueryError::NotYourRole { .. })));
    world.tokens.revoke("ann");
    assert!(matches!(ask("ann", None).await, Err(QueryError::Authentication(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_ends_while_reading_ends_the_reading() {
    use arrow::array::RecordBatch;
    use salus_model::ManualClock;
    use salus_store::{LiveRows, Superseded};

    /// Live rows that, when looked at, let the grant's time pass.
    struct Slow(Arc<ManualClock>);
    impl LiveRows for Slow {
        fn after(&self, _: u64) -> Option<(Vec<RecordBatch>, Superseded)> {
            self.0.advance_micros(60_000_000);
            Some((Vec::new(), Superseded::default()))
        }
    }
    let world = World::new().await;
    let dataset = salus_model::DatasetId::new("meals").unwrap();
    assert_eq!(world.rows("dora", "SELECT count(id) FROM meals").await, ["6"]);
    world.lake.attach(dataset, Arc::new(Slow(Arc::clone(&world.clock))));
    // The first look is before the grant is signed, the second one after it.
    let told = world.refusal("dora", "SELECT sum(kcal) FROM meals").await;
    assert!(told.contains("ended at") || told.contains("expired at"), "{told}");
    assert_eq!(world.audit.last().outcome, Outcome::Refused { reason: told });
}
